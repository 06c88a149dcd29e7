//! What translating costs natively, for profilers: `cargo run --release --example translate -- request|stream [times]`.
//!
//! `request` reads a chat of 1 MB and writes it for Anthropic; `stream` relays 1,000 of Anthropic's chunks to a client of
//! chat. Both are what `npm run bench -- --formats` measures in workerd, without what is around it.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a tool for whoever works on the code, run natively"
)]

use std::{collections::BTreeMap, hint::black_box, rc::Rc, time::Instant};

use serde_json::json;
use sluice::{
    chat::Wire,
    dialect::{
        Target,
        passing::{Finish, StreamEnd},
    },
    formats::{Relay, Wanted, outbound, parse, route},
    time::Millis,
};

const CHUNKS: u32 = 1_000;
const PROMPT: usize = 1 << 20;

fn main() {
    let mut args = std::env::args().skip(1);
    let what = args.next().unwrap_or_default();
    let times: u32 = args.next().map_or(50, |text| text.parse().unwrap());
    let (work, unit): (Box<dyn Fn()>, u32) = match what.as_str() {
        "request" => {
            let body = chat();
            (Box::new(move || request(&body)), 1)
        }
        "stream" => {
            let pieces = message();
            (Box::new(move || stream(&pieces)), CHUNKS)
        }
        other => panic!("request or stream, not {other}"),
    };
    work();
    let begun = Instant::now();
    (0..times).for_each(|_| work());
    println!("{what}: {:?} each", begun.elapsed() / times / unit);
}

fn request(body: &str) {
    let row = serde_json::from_value(json!({
        "slug": "p", "name": "P", "dialect": "anthropic", "base_url": "https://p.example/v1",
    }));
    let endpoint = serde_json::from_value(json!({"provider": "p", "upstream_model": "claude-sonnet-4-5"}));
    let call = parse(route("/v1/chat/completions"), "application/json", body.as_bytes()).unwrap();
    let wanted = outbound(&call, &row.unwrap(), &endpoint.unwrap(), None, false, &BTreeMap::new()).unwrap();
    let Wanted::Call(made) = wanted else { panic!("{wanted:?}") };
    assert!(made.body.bytes(body.as_bytes()).len() > PROMPT / 2);
}

/// As the benchmark's load client writes it: turns of 2 KB with line ends and quotes.
fn chat() -> String {
    let line = "The function returns \"none\" when the list is empty; see the note below.\n".repeat(26);
    let roles = ["assistant", "user"].into_iter().cycle();
    let mut messages = vec![json!({"role": "user", "content": "Why does the fox jump?"})];
    messages.extend(roles.take(PROMPT / line.len()).map(|role| json!({"role": role, "content": line})));
    json!({"model": "a/b", "messages": messages, "temperature": 0.5, "max_tokens": 256}).to_string()
}

fn stream(pieces: &[String]) {
    let target = Target { model: "m", quirks: &[], longest: None, model_longest: None };
    let finish = Finish {
        id: "gen-1".to_owned(),
        model: "a/b".to_owned(),
        provider: "P".to_owned(),
        pricing: None,
        policy: Rc::default(),
        estimated_prompt: 7,
        created: 1_800_000_000,
        metadata: None,
    };
    let asked = json!({"model": "a/b", "stream": true, "stream_options": {"include_usage": true}});
    let mut relay = Relay::new(Wire::AnthropicMessages, Wire::OpenaiChat, &target, finish, false, Some(asked));
    let mut out = Vec::new();
    for piece in pieces {
        out.clear();
        relay.push(piece.as_bytes(), Millis(1), &mut out);
        black_box(&out);
    }
    relay.end(StreamEnd::Closed, Millis(1), &mut out);
    assert!(out.ends_with(b"data: [DONE]\n\n"));
}

fn message() -> Vec<String> {
    let event = |value: serde_json::Value| format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap());
    let usage = json!({"input_tokens": 19, "output_tokens": 1});
    let mut events = vec![
        event(
            json!({"type": "message_start", "message": {"id": "x", "role": "assistant", "content": [], "usage": usage}}),
        ),
        event(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})),
    ];
    for n in 0..CHUNKS {
        let delta = json!({"type": "text_delta", "text": format!("t={n}")});
        events.push(event(json!({"type": "content_block_delta", "index": 0, "delta": delta})));
    }
    events.push(event(json!({"type": "content_block_stop", "index": 0})));
    events.push(event(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage})));
    events.push(event(json!({"type": "message_stop"})));
    events
}
