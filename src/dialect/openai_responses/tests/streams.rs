//! Recorded streams.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{collect, events, facts::Facts, frames, names};
use crate::{
    chat::{Answer, Block, Delta, Event, Finish, FinishReason, PartKind, ProviderError, ReasoningFormat},
    dialect::{openai_responses::Encoder, testing::records},
    error::{Error, ErrorKind},
};

const DIALECT: &str = "openai.responses";

/// Streams whose deltas do not add up to what their ends say: what has been handed on stands.
const UNEQUAL: [(&str, &str); 1] =
    [("openai/responses-stream-server-tool-call-58f97f4a", "whoever recorded it cut the deltas, not the ends")];

/// What the frames say: items as their `done` events have them, the rest as the last event does.
fn walk(text: &str, name: &str) -> Option<Facts> {
    let (mut items, mut pieces, mut last) = (BTreeMap::new(), BTreeMap::<String, String>::new(), None);
    for (_, data) in frames(text.as_bytes(), usize::MAX) {
        let Ok(event) = serde_json::from_slice::<Value>(&data) else { continue };
        match event["type"].as_str()? {
            "response.output_item.done" => {
                items.insert(event["output_index"].as_u64()?, event["item"].clone());
            }
            "response.output_text.delta" => {
                let place = format!("{}/{}", event["output_index"], event["content_index"]);
                pieces.entry(place).or_default().push_str(event["delta"].as_str()?);
            }
            "response.completed" | "response.incomplete" => last = Some(event["response"].clone()),
            "error" | "response.failed" => return None,
            _ => {}
        }
    }
    for (place, text) in pieces {
        let (item, part) = place.split_once('/')?;
        let item = items.get_mut(&item.parse().unwrap())?;
        let whole = &mut item["content"][part.parse::<usize>().unwrap()]["text"];
        assert_eq!(*whole == text, !UNEQUAL.iter().any(|(unequal, _)| *unequal == name), "{name}");
        *whole = text.into();
    }
    let mut response = last?;
    response["output"] = items.into_values().collect();
    Some(Facts::of_wire(&response))
}

/// The stream as a client gets it.
pub(super) fn encode(events: &[Event], request: Value) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(names(request)), Vec::new());
    for event in events {
        encoder.push(event, &mut out);
    }
    let cost = Map::from_iter([("cost".to_owned(), json!(0.5))]);
    encoder.end(None, cost, &mut out);
    out
}

#[test]
fn recorded_streams_are_read_whole_and_written_whole() {
    let (mut cases, mut broken) = (0, 0);
    for record in records(DIALECT) {
        let Some(text) = record.text else { continue };
        let read = events(text.as_bytes(), usize::MAX);
        let Some(expected) = walk(&text, &record.name) else {
            let failure = collect(&read).unwrap_err();
            assert!(failure.message.is_some() && failure.code.is_some(), "{}", record.name);
            broken += 1;
            continue;
        };
        assert_eq!(Facts::of_answer(&collect(&read).unwrap()), expected, "{}", record.name);
        for chunk in [1, 7, 64, 1021] {
            assert_eq!(events(text.as_bytes(), chunk), read, "{} in chunks of {chunk}", record.name);
        }
        let written = encode(&read, record.request);
        let again = collect(&events(&written, usize::MAX)).unwrap();
        assert_eq!(Facts::of_answer(&again), expected, "{}", record.name);
        let last = check_order(&written, &record.name);
        assert_eq!(Facts::of_wire(&last), expected, "{}", record.name);
        assert_eq!((&last["id"], &last["usage"]["cost"]), (&json!("gen-1"), &json!(0.5)));
        cases += 1;
    }
    println!("{cases} streams, {broken} that break");
}

/// Checks the order of a stream's events; the response of the last one.
pub(super) fn check_order(stream: &[u8], name: &str) -> Value {
    let (mut added, mut parts, mut done) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    let all = frames(stream, usize::MAX);
    for (number, (event_name, data)) in all.iter().enumerate() {
        let event: Value = serde_json::from_slice(data).unwrap();
        let kind = event["type"].as_str().unwrap();
        assert_eq!(event_name.as_deref(), Some(kind), "{name}");
        assert_eq!(event["sequence_number"], number, "{name}");
        assert_eq!(kind == "response.created", number == 0, "{name}");
        assert_eq!(kind == "response.in_progress", number == 1, "{name}");
        let Some(place) = event["output_index"].as_u64() else { continue };
        assert!(!done.contains_key(&place), "{name}: {kind} after the end of its item");
        let part = (place, event["content_index"].as_u64(), event["summary_index"].as_u64());
        match kind {
            "response.output_item.added" => assert!(added.insert(place), "{name}"),
            "response.output_item.done" => {
                assert!(parts.is_empty() || parts.iter().all(|(p, ..): &(u64, _, _)| *p != place), "{name}");
                done.insert(place, event["item"].clone());
            }
            "response.content_part.added" | "response.reasoning_summary_part.added" => {
                assert!(parts.insert(part), "{name}");
            }
            "response.content_part.done" | "response.reasoning_summary_part.done" => {
                assert!(parts.remove(&part), "{name}");
            }
            _ if part.1.is_some() || part.2.is_some() => assert!(parts.contains(&part), "{name}: {kind}"),
            _ => assert!(added.contains(&place), "{name}: {kind}"),
        }
    }
    let (_, last) = all.last().unwrap();
    let last: Value = serde_json::from_slice(last).unwrap();
    assert_eq!(added.len(), done.len(), "{name}");
    assert_eq!(last["response"]["output"], done.into_values().collect::<Value>(), "{name}");
    last["response"].clone()
}

fn kinds(stream: &[u8]) -> Vec<String> {
    let kind = |data: Vec<u8>| {
        let event: Value = serde_json::from_slice(&data).unwrap();
        event["type"].as_str().unwrap().trim_start_matches("response.").to_owned()
    };
    frames(stream, usize::MAX).into_iter().map(|(_, data)| kind(data)).collect()
}

fn opened(block: u32, kind: Block) -> Event {
    Event::Open { block, choice: 0, kind }
}

fn more(block: u32, delta: Delta) -> Event {
    Event::Delta { block, delta }
}

fn tool(id: &str) -> Block {
    Block::ToolCall { id: id.to_owned(), name: "f".to_owned(), custom: false }
}

#[test]
fn another_formats_stream_becomes_items_in_order() {
    let text = |words: &str| Delta::Text(words.to_owned());
    let stream = encode(
        &[
            Event::Start { id: None, model: None, created: None },
            opened(0, Block::Reasoning { id: None, format: Some(ReasoningFormat::Anthropic) }),
            more(0, Delta::Reasoning("hm".to_owned())),
            more(0, Delta::Summary(0, "one".to_owned())),
            more(0, Delta::Summary(1, "two".to_owned())),
            more(0, Delta::Signature("SIG".to_owned())),
            Event::Close { block: 0 },
            opened(1, Block::Text),
            more(1, text("Hel")),
            more(1, text("lo")),
            Event::Close { block: 1 },
            opened(2, Block::Refusal),
            more(2, text("no")),
            // Calls of OpenAI's chat are open at the same time, and the text before them may be as well.
            opened(3, tool("c1")),
            Event::Close { block: 2 },
            opened(4, tool("c2")),
            more(3, Delta::Arguments("{}".to_owned())),
            more(4, Delta::Arguments("[]".to_owned())),
            Event::Close { block: 3 },
            Event::Close { block: 4 },
            Event::Finish { choice: 0, finish: Finish::new(FinishReason::ToolCalls, "tool_use") },
        ],
        json!({"instructions": "I"}),
    );
    let last = check_order(&stream, "ours");
    let items: Vec<&str> = last["output"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert_eq!(items, ["rs_gen-1_0", "msg_gen-1_1", "fc_gen-1_2", "fc_gen-1_3"]);
    assert_eq!(last["output"][1]["content"][0]["text"], "Hello");
    assert_eq!((&last["status"], &last["instructions"]), (&json!("completed"), &json!("I")));
    let reasoning: Vec<String> = kinds(&stream).into_iter().skip(2).take(15).collect();
    assert_eq!(
        reasoning,
        [
            "output_item.added",
            "content_part.added",
            "reasoning_text.delta",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_text.done",
            "content_part.done",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
        ]
    );
}

#[test]
fn a_cut_stream_and_a_broken_one_end_honestly() {
    let begun = [opened(0, Block::Text), more(0, Delta::Text("Hel".to_owned()))];
    let mut cut = begun.to_vec();
    cut.push(Event::Finish { choice: 0, finish: Finish::new(FinishReason::Length, "length") });
    let stream = encode(&cut, json!({}));
    assert_eq!(kinds(&stream).last().unwrap(), "incomplete");
    let last = check_order(&stream, "cut");
    assert_eq!(
        (&last["output"][0]["status"], &last["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );

    let (mut encoder, mut out) = (Encoder::new(names(json!({}))), Vec::new());
    for event in &begun {
        encoder.push(event, &mut out);
    }
    Encoder::keep_alive(&mut out);
    encoder.fail(&Error::new(ErrorKind::RateLimited, "Too much."), &mut out);
    let all = frames(&out, usize::MAX);
    let [(_, error), (_, failed)] = &all[all.len() - 2..] else { panic!() };
    let (error, failed): (Value, Value) =
        (serde_json::from_slice(error).unwrap(), serde_json::from_slice(failed).unwrap());
    assert_eq!(
        (&error["type"], &error["code"], &error["error"]["message"]),
        (&json!("error"), &json!("rate_limit_exceeded"), &json!("Too much."))
    );
    assert_eq!(
        (&failed["type"], &failed["response"]["error"]["code"]),
        (&json!("response.failed"), &json!("rate_limit_exceeded"))
    );
    assert_eq!(failed["response"]["status"], "failed");
    assert_eq!(collect(&events(&out, usize::MAX)).unwrap_err().message.as_deref(), Some("Too much."));
}

fn read(frames: &[Value]) -> Result<Answer, ProviderError> {
    let text: String = frames.iter().map(|frame| format!("data: {frame}\n\n")).collect();
    collect(&events(text.as_bytes(), usize::MAX))
}

#[test]
fn streams_with_holes_are_read_as_far_as_they_go() {
    let message =
        json!({"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]});
    let call = json!({"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": "{}"});
    let end =
        |output: Value| json!({"type": "response.completed", "response": {"status": "completed", "output": output}});
    let piece = |kind: &str, rest: Value| {
        let mut event = json!({"type": format!("response.{kind}"), "output_index": 0});
        event.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        event
    };
    let text = |frames: &[Value]| match &read(frames).unwrap().choices[0].parts[..] {
        [part] => match &part.kind {
            PartKind::Text { text, .. } => text.clone(),
            PartKind::ToolCall(call) => format!("{}({})", call.name, call.arguments),
            other => panic!("{other:?}"),
        },
        others => panic!("{others:?}"),
    };
    // Nothing but the end; items whole; deltas without beginnings; the end of a text longer than its deltas.
    assert_eq!(text(&[end(json!([message]))]), "Hi");
    assert_eq!(text(&[end(json!([call]))]), "f({})");
    assert_eq!(text(&[piece("output_item.done", json!({"item": message})), end(json!([message]))]), "Hi");
    assert_eq!(text(&[piece("output_item.done", json!({"item": call})), end(json!([]))]), "f({})");
    assert_eq!(text(&[piece("output_text.delta", json!({"delta": "Hi"})), end(json!([]))]), "Hi");
    let twice = [
        piece("output_item.added", json!({"item": call})),
        piece("output_item.added", json!({"item": call})),
        piece("function_call_arguments.done", json!({"arguments": "{}"})),
        end(json!([])),
    ];
    assert_eq!(text(&twice), "f({})");
    let short = [
        piece("output_text.delta", json!({"delta": "H"})),
        piece("output_text.done", json!({"text": "Hi"})),
        piece("output_text.delta", json!({"delta": "!"})),
        json!({"type": "response.debug"}),
        end(json!([])),
    ];
    assert_eq!(text(&short), "Hi!");
}

#[test]
fn streams_that_break_are_errors() {
    let begun = json!({"type": "response.created", "response": {"id": "r"}});
    assert!(read(std::slice::from_ref(&begun)).is_err());
    for (frame, message) in [
        (json!({"type": "error", "message": "flat", "code": "x"}), Some("flat")),
        (json!({"type": "error", "error": {"message": "nested"}}), Some("nested")),
        (
            json!({"type": "response.failed", "response": {"status": "failed", "error": {"message": "late"}}}),
            Some("late"),
        ),
        (json!({"type": "response.completed"}), None),
        (json!([1]), None),
    ] {
        assert_eq!(read(&[begun.clone(), frame]).unwrap_err().message.as_deref(), message);
    }
    let broken = events(b"data: {\"type\":\n\ndata: {}\n\n", usize::MAX);
    assert_eq!(broken, [Event::Error(ProviderError::default())]);
}
