//! Recorded traffic: every request, answer, stream and error of this format, from Anthropic, Vertex AI
//! and Bedrock.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    super::*,
    collected, decoded, encoded_for, frames, names,
    walker::{accumulate, normal},
    written,
};
use crate::{
    chat::{Answer, Usage},
    dialect::{
        Target,
        testing::{Record, records},
    },
};

/// Requests that are refused, as the vendor did.
const REFUSED: [(&str, &str); 1] = [("anthropic/messages-unary-error-a67f1c9a", "its messages are strings")];

/// Bodies of this format among all that goes to Bedrock's `InvokeModel`.
fn bedrock() -> Vec<Record> {
    let ours = |record: &Record| record.request.get("anthropic_version").is_some();
    records("bedrock.invoke").into_iter().filter(ours).collect()
}

fn all() -> Vec<Record> {
    let mut all = records("anthropic.messages");
    all.extend(bedrock());
    all
}

fn quirks(record: &Record) -> &'static [&'static str] {
    match record.provider.as_str() {
        "vertex" => &["vertex"],
        "bedrock" => &["bedrock_invoke"],
        _ => &[],
    }
}

/// Which model it was sent to: in the body, or in the path.
fn model(record: &Record) -> String {
    record.request["model"].as_str().unwrap_or(&record.path).to_owned()
}

/// The frames of a recorded stream: data alone, for AWS's as its messages' payloads.
fn recorded(record: &Record) -> Option<Vec<(Option<String>, Vec<u8>)>> {
    match (&record.text, &record.raw) {
        (Some(text), _) => Some(frames(&[text.as_bytes()])),
        (None, Some(raw)) => Some(aws(raw)),
        (None, None) => None,
    }
}

/// AWS event streams: total length, length of headers, a checksum, headers, payload, a checksum.
fn aws(mut raw: &[u8]) -> Vec<(Option<String>, Vec<u8>)> {
    let mut frames = Vec::new();
    while raw.len() > 16 {
        let number = |at: usize| u32::from_be_bytes(raw[at..at + 4].try_into().unwrap()) as usize;
        let (total, headers) = (number(0), number(4));
        frames.push((Some("chunk".to_owned()), raw[12 + headers..total - 4].to_vec()));
        raw = &raw[total..];
    }
    frames
}

/// The JSON of frames, for the walker.
fn events(frames: &[(Option<String>, Vec<u8>)]) -> Vec<Value> {
    let event = |(_, data): &(Option<String>, Vec<u8>)| {
        let value: Value = serde_json::from_slice(data).unwrap();
        match value["bytes"].as_str() {
            Some(bytes) => serde_json::from_slice(&STANDARD.decode(bytes).unwrap()).unwrap(),
            None => value,
        }
    };
    frames.iter().map(event).collect()
}

#[test]
fn requests_come_back_as_they_were() {
    let (mut passed, mut refused, mut failed) = (0, 0, Vec::new());
    for record in all() {
        let name = &record.name;
        if record.request.is_null() {
            println!("{name}: its request was not recorded");
            continue;
        }
        let Ok(request) = decode_request(record.request.clone()) else {
            assert!(REFUSED.iter().any(|(known, _)| known == name), "{name} is refused");
            refused += 1;
            continue;
        };
        // What a model took is not withheld from it; what it did not take may be.
        let served = record.status == 200;
        let model = if served { model(&record) } else { "m".to_owned() };
        let again = encoded_for(&request, &model, quirks(&record)).unwrap();
        let (after, before) = (normal(again.body), normal(record.request.clone()));
        if again.losses.list().is_empty() && after == before {
            passed += 1;
        } else {
            failed.push(format!("{name} ({model}): {:?}\n{after}\n{before}", again.losses));
        }
    }
    println!("{passed} requests came back, {refused} are refused");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn requests_for_counts_come_back_and_counts_are_read() {
    let mut passed = 0;
    for record in records("anthropic.count_tokens") {
        let request = decode_request(record.request.clone()).unwrap();
        let target = Target { model: "m", quirks: &[], longest: None, model_longest: None };
        let again = encode_count_request(&request, &target).unwrap();
        assert_eq!(normal(again.body), normal(record.request.clone()), "{}", record.name);
        let body = record.body.unwrap();
        match decode_count(&body) {
            Ok(tokens) => assert_eq!(encode_count(tokens), body),
            Err(error) => assert!(record.status != 200 && error.message.is_some(), "{}", record.name),
        }
        passed += 1;
    }
    println!("{passed} requests for counts came back");
}

/// The answer's content, end and use, from the wire.
fn told(message: &Value) -> Value {
    let message = normal(message.clone());
    let keys = ["content", "stop_reason", "stop_sequence", "usage", "container", "context_management", "stop_details"];
    let told = keys.into_iter().filter_map(|key| Some((key.to_owned(), message.get(key)?.clone())));
    Value::Object(told.collect())
}

/// Checks canonical counts by arithmetic of its own, and that they are split again without the original.
fn check_usage(usage: Option<&Usage>, wire: &Value, name: &str) {
    let count = |key: &str| wire[key].as_u64().unwrap_or(0);
    let usage = usage.unwrap_or_else(|| panic!("{name}: no usage"));
    let (input, read, written) =
        (count("input_tokens"), count("cache_read_input_tokens"), count("cache_creation_input_tokens"));
    assert_eq!(usage.tokens.prompt, input + read + written, "{name}");
    assert_eq!((usage.tokens.cached, usage.tokens.cache_write), (read, written), "{name}");
    assert_eq!(usage.tokens.completion, count("output_tokens"), "{name}");
    assert_eq!(usage.tokens.reasoning, wire["output_tokens_details"]["thinking_tokens"].as_u64().unwrap_or(0));
    let foreign = Usage { native: None, ..usage.clone() };
    let split = encode_answer(&Answer { usage: Some(foreign), ..Answer::default() }, &names())["usage"].take();
    for key in ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"] {
        assert_eq!(split[key].as_u64().unwrap(), count(key), "{name}: {key}");
    }
}

#[test]
fn answers_keep_all_they_say() {
    let mut passed = 0;
    for record in all() {
        let Some(body) = record.body.filter(|_| record.status == 200) else { continue };
        let answer = decode_answer(body.clone()).unwrap();
        check_usage(answer.usage.as_ref(), &body["usage"], &record.name);
        assert_eq!((answer.id.as_deref(), answer.model.as_deref()), (body["id"].as_str(), body["model"].as_str()));
        let mut again = told(&encode_answer(&answer, &names()));
        let mut before = told(&body);
        complete(&mut before);
        complete(&mut again);
        assert_eq!(again, before, "{}", record.name);
        passed += 1;
    }
    println!("{passed} answers kept all");
}

/// Counts that older answers left out are zero.
fn complete(told: &mut Value) {
    for key in ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"] {
        if told["usage"].get(key).is_none() {
            told["usage"][key] = json!(0);
        }
    }
}

#[test]
fn streams_keep_all_they_say() {
    let mut passed = 0;
    for record in all() {
        let (name, Some(recorded)) = (&record.name, recorded(&record)) else { continue };
        let mut wire = accumulate(events(&recorded)).unwrap_or_else(|event| panic!("{name}: {event}"));
        wire.as_object_mut().unwrap().remove("amazon-bedrock-invocationMetrics");
        let events_once = decoded(&recorded);
        let answer = collected(&events_once).unwrap();
        check_usage(answer.usage.as_ref(), &wire["usage"], name);
        let (mut before, mut once) = (told(&wire), told(&encode_answer(&answer, &names())));
        complete(&mut before);
        complete(&mut once);
        assert_eq!(once, before, "{name}: collected");

        let bytes = written(&events_once);
        let frames_again = frames(&[&bytes]);
        let mut again = told(&accumulate(events(&frames_again)).unwrap());
        complete(&mut again);
        assert_eq!(again, before, "{name}: written");
        let mut twice = collected(&decoded(&frames_again)).unwrap();
        assert_eq!((twice.id.as_deref(), twice.model.as_deref()), (Some("gen-1"), Some("a/b")));
        (twice.id, twice.model) = (answer.id.clone(), answer.model.clone());
        twice.extra.members.shift_remove("provider");
        twice.usage = answer.usage.clone();
        if twice.extra.members.is_empty() {
            twice.extra = answer.extra.clone();
        }
        assert_eq!(twice, answer, "{name}: read again");
        passed += 1;
    }
    println!("{passed} streams kept all");
}

#[test]
fn where_a_stream_is_cut_does_not_matter() {
    let mut passed = 0;
    for record in all() {
        let Some(text) = record.text.as_deref().map(str::as_bytes) else { continue };
        let whole = decoded(&frames(&[text]));
        for step in [1, 2, 3, 7, 64, 1021] {
            let pieces: Vec<&[u8]> = text.chunks(step).collect();
            assert_eq!(decoded(&frames(&pieces)), whole, "{} by {step}", record.name);
        }
        passed += 1;
    }
    println!("{passed} streams cut");
}

#[test]
fn a_stream_that_breaks_off_is_an_error() {
    let mut passed = 0;
    for record in all() {
        let Some(mut recorded) = recorded(&record) else { continue };
        recorded.retain(|(_, data)| {
            let text = String::from_utf8_lossy(data);
            !text.contains("message_stop") && !text.contains("message_delta") && !text.contains("\"bytes\"")
        });
        assert!(collected(&decoded(&recorded)).is_err(), "{}", record.name);
        passed += 1;
    }
    println!("{passed} streams broken off");
}

#[test]
fn errors_have_their_message() {
    let mut passed = 0;
    let failed = |record: &Record| record.status != 200;
    let dialects = ["anthropic.messages", "anthropic.count_tokens", "bedrock.invoke"];
    for record in dialects.into_iter().flat_map(records).filter(failed) {
        let body = record.body.unwrap();
        let error = read_error(record.status, body.to_string().as_bytes());
        assert!(error.message.is_some(), "{}: {body}", record.name);
        let kind = body["error"]["type"].as_str().map(str::to_owned);
        assert_eq!(error.code, kind, "{}", record.name);
        assert!(decode_answer(body).is_err(), "{}", record.name);
        passed += 1;
    }
    println!("{passed} errors read");
}
