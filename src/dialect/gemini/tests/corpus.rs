//! Recorded traffic of AI Studio and Vertex, read and written again. What is expected is found by walkers
//! of the JSON that know nothing of the translator.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::*;
use crate::{
    chat::{Answer, Collector, Event, FinishReason, MediaSource, Part, PartKind, Reasoning},
    dialect::{
        Frame, Names, Target,
        testing::{Record, records},
    },
    framing::{json_array, sse},
};

/// Streams that have no whole answer, and why.
const BROKEN: [(&str, &str); 2] = [
    ("vertex/generate-stream-mid-stream-error-6ab182ac", "an error stands in the middle"),
    ("vertex/generate-stream-text-f9b7dcf3", "one frame without parts and without an end"),
];

pub(super) fn generate() -> Vec<Record> {
    records("gemini.generateContent")
}

pub(super) fn target(quirks: &[String]) -> Target<'_> {
    Target { model: "m", quirks, longest: None, model_longest: None }
}

pub(super) fn names() -> Names {
    Names { id: "gen-1".to_owned(), model: "a/m".to_owned(), ..Names::default() }
}

// --- Requests -----------------------------------------------------------------------------------------

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |sum, word| {
        let (head, rest) = word.split_at(usize::from(!word.is_empty()));
        sum + &head.to_uppercase() + rest
    })
}

/// A schema of either kind, as far as both say the same.
fn schema(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "property_ordering" | "propertyOrdering"))
            .map(|(name, value)| {
                let value = match (name.as_str(), value) {
                    ("type", Value::String(name)) => name.to_lowercase().into(),
                    ("type", Value::Number(n)) => ["", "string", "number", "integer", "boolean", "array", "object"]
                        [usize::try_from(n.as_u64().unwrap()).unwrap()]
                    .into(),
                    ("required" | "enum" | "description", value) => value.clone(),
                    (_, value) => schema(value),
                };
                (name.clone(), value)
            })
            .collect(),
        Value::Array(items) => items.iter().map(schema).collect(),
        other => other.clone(),
    }
}

/// A body without the liberties of proto JSON and without what says nothing.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut out = Map::new();
            for (name, value) in map {
                let name = camel(name);
                let value = match (name.as_str(), value) {
                    ("args" | "response", value) => value.clone(),
                    ("parameters" | "parametersJsonSchema", value) => {
                        out.insert("parametersJsonSchema".to_owned(), schema(value));
                        continue;
                    }
                    ("responseSchema" | "responseJsonSchema", value) => {
                        out.insert("responseJsonSchema".to_owned(), schema(value));
                        continue;
                    }
                    ("data", Value::String(data)) => data.replace('-', "+").replace('_', "/").into(),
                    ("thought" | "includeThoughts", Value::Bool(false)) => continue,
                    ("responseModalities", value) if value == &json!(["TEXT"]) => continue,
                    ("role", value) if value == "function" => "user".into(),
                    ("thinkingLevel", Value::String(level)) => level.to_uppercase().into(),
                    ("contents" | "tools" | "functionDeclarations" | "parts", one @ Value::Object(_)) => {
                        json!([plain(one)])
                    }
                    (_, value) => plain(value),
                };
                let nothing = match &value {
                    Value::Null => true,
                    Value::Object(map) => map.is_empty(),
                    Value::Array(items) => items.is_empty(),
                    _ => false,
                };
                if !nothing || matches!(name.as_str(), "codeExecution" | "googleSearch" | "urlContext") {
                    out.insert(name, value);
                }
            }
            Value::Object(out)
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn comparable(body: &Value) -> Value {
    let mut body = plain(body);
    let map = body.as_object_mut().unwrap();
    map.shift_remove("model");
    if let Some(system) = map.get_mut("systemInstruction").and_then(Value::as_object_mut) {
        system.shift_remove("role");
        if system.is_empty() {
            map.shift_remove("systemInstruction");
        }
    }
    for content in map.get_mut("contents").and_then(Value::as_array_mut).into_iter().flatten() {
        content.as_object_mut().unwrap().entry("role").or_insert_with(|| "user".into());
    }
    if let Some(Value::Array(tools)) = map.shift_remove("tools") {
        let (mut functions, mut others) = (Vec::new(), Vec::new());
        for tool in tools {
            for (name, value) in tool.as_object().unwrap() {
                match value {
                    Value::Array(items) if name == "functionDeclarations" => functions.extend(items.clone()),
                    value => others.push(json!({ name: value })),
                }
            }
        }
        if functions.is_empty() {
            // A choice between no functions says nothing.
            if let Some(config) = map.get_mut("toolConfig").and_then(Value::as_object_mut) {
                config.shift_remove("functionCallingConfig");
            }
        }
        map.insert("functions".to_owned(), functions.into());
        map.insert("tools".to_owned(), others.into());
    }
    body
}

#[test]
fn recorded_requests_survive() {
    let quirks = ["thinking_level".to_owned()];
    let mut count = 0;
    for record in generate().into_iter().filter(|record| !record.request.is_null()) {
        let request = decode_request(record.request.clone()).unwrap_or_else(|e| panic!("{}: {e:?}", record.name));
        let encoded = encode_request(&request, &target(&quirks)).unwrap_or_else(|e| panic!("{}: {e:?}", record.name));
        assert_eq!(encoded.losses.list(), [], "{}", record.name);
        assert_eq!(comparable(&encoded.body), comparable(&record.request), "{}", record.name);
        count += 1;
    }
    println!("{count} requests are the same after they were read and written");
}

#[test]
fn recorded_requests_fit_googles_own_schema() {
    for record in generate().into_iter().filter(|record| !record.request.is_null()) {
        let quirks = ["openapi_schema".to_owned(), "thought_signature_required".to_owned()];
        let request = decode_request(record.request).unwrap();
        let body = encode_request(&request, &target(&quirks)).unwrap().body.to_string();
        assert!(!body.contains("JsonSchema\":") || body.contains("\"responseJsonSchema\":{"), "{}", record.name);
        assert!(!body.contains("\"type\":\"object\",\"properties"), "{}", record.name);
    }
}

// --- Answers ------------------------------------------------------------------------------------------

/// What an answer says, however it is told.
#[derive(Debug, Default, PartialEq)]
struct Said {
    text: String,
    thoughts: String,
    calls: Vec<(String, BTreeMap<String, String>)>,
    marks: Vec<String>,
    media: Vec<String>,
    others: Vec<Value>,
    finish: Option<String>,
}

/// The leaves of a value by their path.
fn leaves(value: &Value, path: &str, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| leaves(value, &format!("{path}.{name}"), out)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, value)| leaves(value, &format!("{path}[{n}]"), out));
        }
        Value::String(text) => out.insert(path.to_owned(), text.clone()).map_or((), |_| ()),
        other => out.insert(path.to_owned(), other.to_string()).map_or((), |_| ()),
    }
}

fn leaves_of(value: &Value) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    leaves(value, "$", &mut out);
    out
}

/// Walks bodies: one of a whole answer, all of a stream.
fn walk(bodies: &[Value]) -> Said {
    let mut said = Said::default();
    for body in bodies {
        if let Some(reason) = body.pointer("/promptFeedback/blockReason") {
            said.finish = reason.as_str().map(str::to_owned);
        }
        for candidate in body["candidates"].as_array().into_iter().flatten() {
            match &candidate["finishReason"] {
                Value::String(word) => said.finish = Some(word.clone()),
                Value::Number(n) => {
                    said.finish =
                        Some(["", "STOP", "MAX_TOKENS"][usize::try_from(n.as_u64().unwrap()).unwrap()].into());
                }
                _ => {}
            }
            for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
                walk_part(part, &mut said);
            }
        }
    }
    said
}

fn walk_part(part: &Value, said: &mut Said) {
    let foreign = ["executableCode", "codeExecutionResult", "toolCall", "toolResponse"];
    if foreign.iter().any(|name| part.get(name).is_some()) {
        return said.others.push(part.clone());
    }
    said.marks.extend(part["thoughtSignature"].as_str().map(str::to_owned));
    let text = part["text"].as_str().unwrap_or_default();
    if part["thought"] == true {
        said.thoughts.push_str(text);
    } else {
        said.text.push_str(text);
    }
    said.media.extend(part["inlineData"]["data"].as_str().map(str::to_owned));
    let Some(call) = part.get("functionCall") else { return };
    if let Some(name) = call["name"].as_str() {
        said.calls.push((name.to_owned(), leaves_of(call.get("args").unwrap_or(&json!({})))));
    }
    for piece in call["partialArgs"].as_array().into_iter().flatten() {
        let (path, more) = (piece["jsonPath"].as_str().unwrap(), piece["stringValue"].as_str().unwrap());
        said.calls.last_mut().unwrap().1.entry(path.to_owned()).or_default().push_str(more);
    }
}

/// The same of the canonical answer.
fn told(answer: &Answer) -> Said {
    let mut said = Said::default();
    for choice in &answer.choices {
        said.finish = choice.finish.as_ref().and_then(|finish| finish.native.clone()).or(said.finish);
        choice.parts.iter().for_each(|part| told_part(part, &mut said));
    }
    said
}

fn told_part(part: &Part, said: &mut Said) {
    match &part.kind {
        PartKind::Text { text, .. } => said.text.push_str(text),
        PartKind::Reasoning(Reasoning { text, signature, encrypted, .. }) => {
            said.thoughts.push_str(text.as_deref().unwrap_or_default());
            said.marks.extend(signature.clone().or_else(|| encrypted.clone()));
        }
        PartKind::ToolCall(call) => {
            said.marks.extend(call.signature.clone());
            said.calls.push((call.name.clone(), leaves_of(&serde_json::from_str(&call.arguments).unwrap())));
        }
        PartKind::Media(media) => match &media.source {
            MediaSource::Base64(data) => said.media.push(data.clone()),
            other => panic!("{other:?}"),
        },
        PartKind::Foreign(_, value) => said.others.push(value.clone()),
        other => panic!("{other:?}"),
    }
}

/// Prompt, completion, cached, reasoning; by the numbers as they stand there.
fn counted(metadata: &Map<String, Value>) -> Option<[u64; 4]> {
    let count = |name: &str| metadata.get(name).and_then(Value::as_u64);
    count("promptTokenCount").or_else(|| count("candidatesTokenCount"))?;
    let n = |name: &str| count(name).unwrap_or(0);
    Some([
        n("promptTokenCount") + n("toolUsePromptTokenCount"),
        n("candidatesTokenCount") + n("thoughtsTokenCount"),
        n("cachedContentTokenCount"),
        n("thoughtsTokenCount"),
    ])
}

fn used(answer: &Answer) -> Option<[u64; 4]> {
    let tokens = answer.usage.as_ref()?.tokens;
    Some([tokens.prompt, tokens.completion, tokens.cached, tokens.reasoning])
}

fn check_reason(record: &Record, answer: &Answer) {
    let finish = answer.choices[0].finish.as_ref().unwrap();
    let calls = answer.choices[0].parts.iter().any(|part| matches!(part.kind, PartKind::ToolCall(_)));
    let expected = match finish.native.as_deref().unwrap() {
        "STOP" if calls => FinishReason::ToolCalls,
        "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "UNEXPECTED_TOOL_CALL" => FinishReason::Error,
        "SAFETY" | "RECITATION" | "MODEL_ARMOR" => FinishReason::ContentFilter,
        other => panic!("{}: {other}", record.name),
    };
    assert_eq!(finish.reason, expected, "{}", record.name);
}

#[test]
fn recorded_answers_survive() {
    let mut count = 0;
    for record in generate().into_iter().filter(|record| record.status == 200) {
        let Some(body) = &record.body else { continue };
        let name = &record.name;
        let answer = decode_answer(body.clone()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let said = walk(std::slice::from_ref(body));
        assert_eq!(told(&answer), said, "{name}");
        check_reason(&record, &answer);
        let metadata = body["usageMetadata"].as_object().cloned().unwrap_or_default();
        assert_eq!(used(&answer), counted(&metadata), "{name}");
        let written = encode_answer(&answer, &names());
        assert_eq!(walk(std::slice::from_ref(&written)), said, "{name}");
        if answer.usage.is_some() {
            assert_eq!(written["usageMetadata"], body["usageMetadata"], "{name}");
        }
        for (index, candidate) in body["candidates"].as_array().into_iter().flatten().enumerate() {
            for (member, value) in candidate.as_object().unwrap() {
                if !matches!(member.as_str(), "content" | "finishReason") {
                    assert_eq!(&written["candidates"][index][member], value, "{name}: {member}");
                }
            }
        }
        assert_eq!((&written["modelVersion"], &written["responseId"]), (&json!("a/m"), &json!("gen-1")));
        count += 1;
    }
    println!("{count} answers are the same after they were read and written");
}

// --- Streams ------------------------------------------------------------------------------------------

/// The events of a stream that comes in chunks of so many bytes.
fn events(text: &[u8], array: bool, chunk: usize) -> Vec<Event> {
    let (mut decoder, mut out) = (Decoder::default(), Vec::new());
    let frame = |decoder: &mut Decoder, data: &[u8], out: &mut Vec<Event>| {
        decoder.push(&Frame { event: None, data }, out);
    };
    if array {
        let mut splitter = json_array::Splitter::default();
        for chunk in text.chunks(chunk) {
            splitter.push(chunk, |data| frame(&mut decoder, data, &mut out)).unwrap();
        }
    } else {
        let mut splitter = sse::Splitter::default();
        for chunk in text.chunks(chunk) {
            let each = |event: &[u8]| {
                if let Some(data) = event_data(event) {
                    frame(&mut decoder, &data, &mut out);
                }
            };
            splitter.push(chunk, each).unwrap();
        }
        if let Some(data) = event_data(&splitter.take_rest()) {
            frame(&mut decoder, &data, &mut out);
        }
    }
    decoder.finish(&mut out);
    out
}

pub(super) fn collect(events: Vec<Event>) -> Result<Answer, crate::chat::ProviderError> {
    let mut collector = Collector::default();
    for event in events {
        collector.push(event);
    }
    collector.finish()
}

pub(super) fn bodies(record: &Record) -> Vec<Value> {
    let text = record.text.as_deref().unwrap();
    if record.framing == "json-array" {
        return serde_json::from_str(text).unwrap();
    }
    let lines = text.lines().filter_map(|line| line.strip_prefix("data:"));
    lines.map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// Every block is opened once, before its deltas, and closed once, after them; blocks are numbered in order.
fn check_order(name: &str, events: &[Event]) {
    let (mut open, mut next) = (Vec::new(), 0);
    for event in events {
        match event {
            Event::Open { block, .. } => {
                assert_eq!(*block, next, "{name}");
                next += 1;
                open.push(*block);
            }
            Event::Delta { block, .. } => assert!(open.contains(block), "{name}: {event:?}"),
            Event::Close { block } => {
                assert!(open.contains(block), "{name}: {event:?}");
                open.retain(|it| it != block);
            }
            Event::Finish { .. } => assert!(open.is_empty(), "{name}"),
            _ => {}
        }
    }
    assert!(matches!(events.first(), Some(Event::Start { .. })), "{name}");
}

#[test]
fn recorded_streams_survive() {
    let (mut count, mut broken) = (0, 0);
    for record in generate().into_iter().filter(|record| record.text.is_some()) {
        let (name, text) = (&record.name, record.text.as_deref().unwrap().as_bytes());
        let array = record.framing == "json-array";
        let whole = events(text, array, usize::MAX);
        for chunk in [1, 7, 64, 1000] {
            assert_eq!(events(text, array, chunk), whole, "{name} in chunks of {chunk}");
        }
        if BROKEN.iter().any(|(known, _)| known == name) {
            assert!(collect(whole).is_err(), "{name}");
            broken += 1;
            continue;
        }
        check_order(name, &whole);
        let answer = collect(whole.clone()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let bodies = bodies(&record);
        let said = walk(&bodies);
        assert_eq!(told(&answer), said, "{name}");
        check_reason(&record, &answer);
        let mut metadata = Map::new();
        for body in &bodies {
            metadata.extend(body["usageMetadata"].as_object().cloned().unwrap_or_default());
        }
        assert_eq!(used(&answer), counted(&metadata), "{name}");
        for alt in ["sse", "json"] {
            let request = Some(json!({ "alt": alt }));
            let mut encoder = Encoder::new(Names { request, ..names() });
            let mut bytes = Vec::new();
            for event in &whole {
                encoder.push(event, &mut bytes);
            }
            encoder.end(answer.usage.as_ref(), Map::new(), &mut bytes);
            if alt == "json" {
                serde_json::from_slice::<Value>(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
            }
            let again = collect(events(&bytes, alt == "json", usize::MAX)).unwrap_or_else(|e| panic!("{name}: {e:?}"));
            assert_eq!(told(&again), said, "{name} as {alt}");
            assert_eq!(used(&again), used(&answer), "{name} as {alt}");
            assert_eq!(again.id.as_deref(), Some("gen-1"));
        }
        count += 1;
    }
    println!("{count} streams are the same after they were read and written, {broken} are broken and say so");
}

// --- Errors -------------------------------------------------------------------------------------------

#[test]
fn recorded_errors_have_a_message() {
    let mut count = 0;
    for dialect in ["gemini.generateContent", "gemini.countTokens", "gemini.embedContent", "vertex.predict"] {
        for record in records(dialect).into_iter().filter(|record| record.status != 200) {
            let body = record.body.as_ref().unwrap();
            let read = read_error(record.status, body.to_string().as_bytes());
            let given = body.pointer("/error/message").or_else(|| body.pointer("/0/error/message")).unwrap();
            let (message, given) = (read.message.unwrap(), given.as_str().unwrap());
            let kept = given.split(' ').filter(|word| message.contains(word)).count();
            assert!(kept > 4, "{}: {message}", record.name);
            assert!(read.code.is_some() && read.status.is_some(), "{}", record.name);
            count += 1;
        }
    }
    println!("{count} errors have a message");
}
