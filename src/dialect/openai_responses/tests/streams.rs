//! Recorded streams.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{collect, events, facts::Facts, frames, names};
use crate::{
    chat::Event,
    dialect::{openai_responses::Encoder, testing::records},
};

const DIALECT: &str = "openai.responses";

/// What the frames say: items as their `done` events have them, the rest as the last event does.
fn walk(text: &str) -> Option<Facts> {
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
        let item = &items[&item.parse().unwrap()];
        assert_eq!(item["content"][part.parse::<usize>().unwrap()]["text"], text);
    }
    let mut response = last?;
    response["output"] = items.into_values().collect();
    Some(Facts::of_wire(&response))
}

/// The stream as a client gets it.
pub(super) fn encode(events: &[Event], request: Value) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(names(request)), Vec::new());
    events.iter().for_each(|event| encoder.push(event, &mut out));
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
        let Some(expected) = walk(&text) else {
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
                assert!(parts.insert(part), "{name}")
            }
            "response.content_part.done" | "response.reasoning_summary_part.done" => {
                assert!(parts.remove(&part), "{name}")
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
