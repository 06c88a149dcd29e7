//! Streams: odd ones of providers, and those of other formats for a client.

use serde_json::{Map, Value, json};

use super::{super::*, collected, decoded, frames, names, walker::accumulate, written};
use crate::{
    catalog::Tokens,
    chat::{
        Block, Delta, Event, Finish, FinishReason, Media, MediaKind, MediaSource, PartKind, ProviderError, Reasoning,
        ReasoningFormat, Usage,
    },
    dialect::Names,
    error::{Error, ErrorKind},
};

/// Events of these bodies, as frames without names.
fn read(bodies: &[Value]) -> Vec<Event> {
    let frames: Vec<_> = bodies.iter().map(|body| (None, body.to_string().into_bytes())).collect();
    decoded(&frames)
}

fn start() -> Value {
    json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [], "stop_reason": null, "usage": { "input_tokens": 5, "output_tokens": 1, "service_tier": "priority" } } })
}

fn open(index: u32, block: &Value) -> Value {
    json!({ "type": "content_block_start", "index": index, "content_block": block })
}

fn delta(index: u32, kind: &str, key: &str, value: &str) -> Value {
    json!({ "type": "content_block_delta", "index": index, "delta": { "type": kind, key: value } })
}

fn end(reason: &str) -> Value {
    json!({ "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null }, "usage": { "output_tokens": 7 } })
}

/// What the client puts together of what is written.
fn shown(events: &[Event]) -> Value {
    let bytes = written(events);
    let read: Vec<Value> = frames(&[&bytes])
        .into_iter()
        .map(|(name, data)| {
            let event: Value = serde_json::from_slice(&data).unwrap();
            assert_eq!(event["type"], name.unwrap(), "events have their type as their name");
            event
        })
        .collect();
    accumulate(read).unwrap()
}

#[test]
fn odd_streams_are_read_as_clients_read_them() {
    let text = json!({ "type": "text", "text": "a" });
    let events = read(&[
        start(),
        json!({ "type": "ping" }),
        start(),
        json!({ "type": "from_the_future", "x": 1 }),
        open(0, &text),
        delta(0, "text_delta", "text", "b"),
        delta(0, "delta_from_the_future", "x", "y"),
        delta(9, "text_delta", "text", "of no block"),
        // Never closed: its number is taken by another.
        open(0, &json!({ "type": "tool_use", "id": "t", "name": "f", "input": { "x": 1 } })),
        open(1, &json!({ "type": "tool_use", "id": "u", "name": "f", "input": { "x": 1 } })),
        delta(1, "input_json_delta", "partial_json", ""),
        delta(1, "input_json_delta", "partial_json", "{}"),
        end("tool_use"),
        json!({ "type": "message_stop" }),
        delta(0, "text_delta", "text", "after the end"),
    ]);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Start { .. })).count(), 1);
    assert!(matches!(events[..3], [Event::Usage(_), Event::Start { .. }, Event::ServiceTier(_)]), "{events:?}");
    let answer = collected(&events).unwrap();
    assert_eq!(answer.service_tier.as_deref(), Some("priority"));
    assert_eq!(answer.usage.unwrap().tokens, Tokens { prompt: 5, completion: 7, ..Tokens::default() });
    let said: Vec<String> = answer.choices[0]
        .parts
        .iter()
        .map(|part| match &part.kind {
            PartKind::Text { text, .. } => text.clone(),
            PartKind::ToolCall(call) => format!("{} {}", call.id, call.arguments),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(said, ["ab", "t {\"x\":1}", "u {}"]);
    assert_eq!(answer.choices[0].finish, Some(Finish::new(FinishReason::ToolCalls, "tool_use")));
}

#[test]
fn a_stream_without_its_last_event_is_whole_if_it_told_how_it_ended() {
    let whole = [start(), open(0, &json!({ "type": "text", "text": "a" })), end("end_turn")];
    assert!(collected(&read(&whole)).unwrap().choices[0].finish.is_some());
    assert_eq!(collected(&read(&whole[..2])), Err(ProviderError::default()));
    assert_eq!(collected(&read(&[])), Err(ProviderError::default()));
}

#[test]
fn errors_in_a_stream_end_it() {
    let overloaded = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    let events = read(&[start(), overloaded, end("end_turn")]);
    let error = collected(&events).unwrap_err();
    assert_eq!((error.message.as_deref(), error.status), (Some("Overloaded"), Some(529)));
    assert!(matches!(events.last(), Some(Event::Error(_))));

    for (name, data, status) in [
        (Some("throttlingException"), &br#"{"message":"slow"}"#[..], Some(429)),
        (None, b"{broken", None),
        (None, b"[]", None),
        (Some("chunk"), br#"{"bytes":"!"}"#, None),
    ] {
        let frame = (name.map(str::to_owned), data.to_vec());
        let events = decoded(&[frame]);
        assert!(matches!(&events[..], [Event::Error(error)] if error.status == status), "{events:?}");
    }
}

#[test]
fn blocks_of_parallel_calls_are_written_one_after_another() {
    let call = |block, id: &str| Event::Open {
        block,
        choice: 0,
        kind: Block::ToolCall { id: id.to_owned(), name: "f".to_owned(), custom: false },
    };
    let piece = |block, text: &str| Event::Delta { block, delta: Delta::Arguments(text.to_owned()) };
    let events = [
        Event::Start { id: None, model: None, created: None },
        Event::Open { block: 0, choice: 0, kind: Block::Text },
        Event::Delta { block: 0, delta: Delta::Text("Grüße \"\n".to_owned()) },
        Event::Close { block: 0 },
        call(1, "a"),
        piece(1, "{\"x\":"),
        call(2, "b"),
        piece(2, "{\"y\":"),
        piece(1, "1}"),
        Event::Open { block: 3, choice: 1, kind: Block::Text },
        Event::Delta { block: 3, delta: Delta::Text("of another choice".to_owned()) },
        piece(2, "2}"),
        Event::Close { block: 2 },
        Event::Close { block: 1 },
        Event::Open { block: 4, choice: 0, kind: Block::Text },
        Event::Finish { choice: 0, finish: Finish::new(FinishReason::ToolCalls, "tool_calls") },
    ];
    let message = shown(&events);
    assert_eq!(
        message["content"],
        json!([
            { "type": "text", "text": "Grüße \"\n" },
            { "type": "tool_use", "id": "a", "name": "f", "input": { "x": 1 } },
            { "type": "tool_use", "id": "b", "name": "f", "input": { "y": 2 } },
        ])
    );
    assert_eq!(message["stop_reason"], "tool_use");
}

#[test]
fn reasoning_of_other_families_is_thinking_that_can_be_handed_back() {
    let format = Some(ReasoningFormat::Openai);
    let open = |block, format| Event::Open {
        block,
        choice: 0,
        kind: Block::Reasoning { id: Some("rs_1".to_owned()), format },
    };
    let delta = |block, delta| Event::Delta { block, delta };
    let events = [
        open(0, format),
        delta(0, Delta::Summary(0, "a".to_owned())),
        delta(0, Delta::Summary(0, "b".to_owned())),
        delta(0, Delta::Summary(1, "c".to_owned())),
        delta(0, Delta::Encrypted("e".to_owned())),
        Event::Close { block: 0 },
        open(1, format),
        delta(1, Delta::Encrypted("e".to_owned())),
        Event::Close { block: 1 },
        open(2, None),
        Event::Close { block: 2 },
        open(3, Some(ReasoningFormat::Anthropic)),
        delta(3, Delta::Signature("s".to_owned())),
        Event::Close { block: 3 },
        open(4, Some(ReasoningFormat::Anthropic)),
        delta(4, Delta::Encrypted("d".to_owned())),
        Event::Close { block: 4 },
    ];
    let content = shown(&events)["content"].take();
    assert_eq!(content[0]["thinking"], "ab\n\nc");
    assert_eq!(content[1]["type"], "redacted_thinking");
    assert_eq!(content[2], json!({ "type": "thinking", "thinking": "", "signature": "s" }));
    assert_eq!(content[3], json!({ "type": "redacted_thinking", "data": "d" }));
    assert_eq!(content.as_array().unwrap().len(), 4, "nothing is shown of nothing");
    let request = decode_request(json!({ "messages": [{ "role": "assistant", "content": content }] })).unwrap();
    let sealed =
        Reasoning { encrypted: Some("e".to_owned()), id: Some("rs_1".to_owned()), format, ..Reasoning::default() };
    let summed = Reasoning { summary: vec!["ab\n\nc".to_owned()], ..sealed.clone() };
    let parts = &request.turns[0].parts;
    assert_eq!((&parts[0].kind, &parts[1].kind), (&PartKind::Reasoning(summed), &PartKind::Reasoning(sealed)));
}

#[test]
fn thoughts_that_are_not_wanted_are_signatures_alone() {
    let request = Some(json!({ "thinking": { "type": "adaptive", "display": "omitted" } }));
    let events = [
        Event::Open { block: 0, choice: 0, kind: Block::Reasoning { id: None, format: None } },
        Event::Delta { block: 0, delta: Delta::Reasoning("secret".to_owned()) },
        Event::Close { block: 0 },
    ];
    let (mut encoder, mut out) = (Encoder::new(Names { request: request.clone(), ..names() }), Vec::new());
    for event in &events {
        encoder.push(event, &mut out);
    }
    encoder.end(None, Map::new(), &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("signature_delta") && !text.contains("secret"), "{text}");

    let answer = collected(&events).unwrap();
    let block = encode_answer(&answer, &Names { request, ..names() })["content"][0].take();
    assert_eq!((&block["type"], &block["thinking"]), (&json!("thinking"), &json!("")));
    assert_eq!(encode_answer(&answer, &names())["content"][0]["thinking"], "secret");
}

#[test]
fn what_is_whole_only_at_its_end_is_written_then() {
    let media = |kind, data: &str| {
        let source = MediaSource::Base64(data.to_owned());
        Block::Media(Media {
            kind,
            mime: Some("image/png".to_owned()),
            source,
            name: None,
            detail: None,
            transcript: None,
        })
    };
    let open = |block, kind| Event::Open { block, choice: 0, kind };
    let delta = |block, delta| Event::Delta { block, delta };
    let custom = Block::ToolCall { id: "a".to_owned(), name: "f".to_owned(), custom: true };
    let events = [
        open(0, media(MediaKind::Image, "AA")),
        delta(0, Delta::Media("==".to_owned())),
        Event::Close { block: 0 },
        open(1, media(MediaKind::Audio, "")),
        delta(1, Delta::Transcript("la".to_owned())),
        Event::Close { block: 1 },
        open(2, custom),
        delta(2, Delta::Arguments("fr".to_owned())),
        delta(2, Delta::Arguments("ee".to_owned())),
        open(3, Block::Refusal),
        delta(3, Delta::Text("no".to_owned())),
        Event::Finish { choice: 0, finish: Finish::new(FinishReason::Stop, "stop") },
    ];
    let message = shown(&events);
    assert_eq!(
        message["content"],
        json!([
            { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AA==" } },
            { "type": "text", "text": "la" },
            { "type": "tool_use", "id": "a", "name": "f", "input": { "input": "free" } },
            { "type": "text", "text": "no" },
        ])
    );
    assert_eq!(message["stop_reason"], "refusal");
}

#[test]
fn usage_is_known_at_the_start_where_it_can_be_and_whole_at_the_end() {
    let usage = |completion| Usage {
        tokens: Tokens { prompt: 10, cached: 4, completion, ..Tokens::default() },
        ..Usage::default()
    };
    let extra: Map<String, Value> = [("openrouter_metadata".to_owned(), json!({ "a": 1 }))].into_iter().collect();
    let mut encoder = Encoder::new(Names { extra, ..names() });
    let mut out = Vec::new();
    encoder.push(&Event::Usage(usage(0)), &mut out);
    encoder.push(&Event::Start { id: None, model: None, created: None }, &mut out);
    encoder.push(&Event::ServiceTier("default".to_owned()), &mut out);
    encoder.push(&Event::Usage(usage(2)), &mut out);
    let cost: Map<String, Value> = [("cost".to_owned(), json!(0.5))].into_iter().collect();
    encoder.end(Some(&usage(3)), cost, &mut out);
    let text = String::from_utf8(out).unwrap();
    let events: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["message_start", "ping", "message_delta", "message_stop"]);
    let first = &events[0]["message"];
    assert_eq!((&first["id"], &first["model"], &first["provider"]), (&json!("gen-1"), &json!("a/b"), &json!("P")));
    assert_eq!((&first["usage"]["input_tokens"], &first["usage"]["cache_read_input_tokens"]), (&json!(6), &json!(4)));
    let last = &events[2];
    assert_eq!(last["openrouter_metadata"], json!({ "a": 1 }));
    let used = &last["usage"];
    assert_eq!((&used["output_tokens"], &used["input_tokens"], &used["cost"]), (&json!(3), &json!(6), &json!(0.5)));
    assert_eq!(used["service_tier"], "standard");
}

#[test]
fn a_failure_is_said_and_nothing_ends_well_after_it() {
    let mut encoder = Encoder::new(names());
    let mut out = Vec::new();
    encoder.push(&Event::Start { id: None, model: None, created: None }, &mut out);
    encoder.push(&Event::Ping, &mut out);
    encoder.fail(&Error::new(ErrorKind::ProviderOverloaded, "P is busy"), &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.ends_with("\"error_type\":\"provider_overloaded\"}}\n\n") && text.contains("event: error\n"),
        "{text}"
    );
    assert!(!text.contains("message_stop"));
    let events = decoded(&frames(&[text.as_bytes()]));
    assert_eq!(collected(&events).unwrap_err().code.as_deref(), Some("overloaded_error"));
}
