//! Every recorded exchange of this format.

use serde_json::{Map, Value, json};

use super::{super::*, chunks, collected, events, names, quirks, target, walk, written};
use crate::dialect::testing::{Record, records};

/// Requests that do not come back as they were, and why.
const REQUESTS: [(&str, &str); 1] =
    [("openai/chat-unary-error-86ba5224", "refused as OpenAI refused it: a message inside a message's content")];

/// Streams that have no whole answer, and why.
const BROKEN: [(&str, &str); 2] = [
    ("groq/chat-stream-mid-stream-error-b7b14af5", "an error event in mid-stream"),
    ("openrouter/chat-stream-mid-stream-error-8ed1276d", "an error in a chunk"),
];

fn explained(table: &[(&str, &str)], record: &Record) -> bool {
    table.iter().any(|(name, _)| *name == record.name)
}

fn report(what: &str, cases: usize, failures: &[String]) {
    println!("{what}: {} of {cases}", cases - failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn every_recorded_request_comes_back_as_it_was() {
    let (mut cases, mut failures) = (0, Vec::new());
    for record in records("openai.chat").into_iter().filter(|record| record.request.is_object()) {
        cases += 1;
        let quirks = quirks(match record.provider.as_str() {
            "mistral" => &["document_url", "thinking_parts", "random_seed", "media_in_tool_results"],
            "perplexity" => &["file_url"],
            _ => &["openrouter", "media_in_tool_results"],
        });
        let back =
            decode_request(record.request.clone()).and_then(|request| encode_request(&request, &target(&quirks)));
        match back {
            _ if explained(&REQUESTS, &record) => assert!(back.is_err(), "{} is explained, but passes", record.name),
            Err(error) => failures.push(format!("{}: {:?} {error}", record.name, error.param)),
            Ok(encoded) => {
                let (was, is) = (meaning(record.request.clone()), meaning(encoded.body));
                let losses = encoded.losses.list();
                if was != is || !losses.is_empty() {
                    failures.push(format!("{}: {losses:?}\n{}", record.name, difference("", &was, &is).join("\n")));
                }
            }
        }
    }
    report("requests", cases, &failures);
}

#[test]
fn every_recorded_answer_keeps_what_it_says() {
    let (mut cases, mut failures) = (0, Vec::new());
    for record in records("openai.chat").into_iter().filter(|record| record.status == 200) {
        let Some(body) = record.body.clone() else { continue };
        cases += 1;
        let expected = walk::of_body(&body);
        let answer = match decode_answer(body) {
            Ok(answer) => answer,
            Err(error) => {
                failures.push(format!("{}: {error:?}", record.name));
                continue;
            }
        };
        let read = walk::of_answer(&answer);
        let again = walk::of_body(&encode_answer(&answer, &names()));
        for (what, gist) in [("read", &read), ("written", &again)] {
            if *gist != expected {
                failures.push(format!("{} {what}:\n{gist:?}\n{expected:?}", record.name));
            }
        }
        let twice = decode_answer(encode_answer(&answer, &names())).unwrap();
        assert_eq!(
            twice.choices.iter().map(|c| &c.parts).collect::<Vec<_>>(),
            answer.choices.iter().map(|c| &c.parts).collect::<Vec<_>>(),
            "{}",
            record.name
        );
    }
    report("answers", cases, &failures);
}

#[test]
fn every_recorded_stream_keeps_what_it_says() {
    let (mut cases, mut failures) = (0, Vec::new());
    for record in records("openai.chat").into_iter().filter(|record| record.status == 200) {
        let Some(text) = &record.text else { continue };
        cases += 1;
        let seen = events(text.as_bytes(), text.len());
        for piece in [1, 7, 64, 1000] {
            assert_eq!(events(text.as_bytes(), piece), seen, "{} in pieces of {piece}", record.name);
        }
        let answer = collected(&seen);
        if explained(&BROKEN, &record) {
            let error = answer.expect_err(&record.name);
            assert!(error.message.is_some(), "{}", record.name);
            continue;
        }
        let Ok(mut answer) = answer else {
            failures.push(format!("{}: {answer:?}", record.name));
            continue;
        };
        let expected = walk::of_chunks(&chunks(text.as_bytes()));
        let client = written(&seen, names());
        let mut again = collected(&events(&client, 50)).unwrap();
        assert!(client.ends_with(b"data: [DONE]\n\n"));
        for (what, gist) in [
            ("read", walk::of_answer(&answer)),
            ("written", ended(walk::of_chunks(&chunks(&client)), &expected)),
            ("read again", ended(walk::of_answer(&again), &expected)),
        ] {
            if gist != expected {
                failures.push(format!("{} {what}:\n{gist:?}\n{expected:?}", record.name));
            }
        }
        for answer in [&mut answer, &mut again] {
            for choice in &mut answer.choices {
                choice.finish = None;
            }
        }
        if again.choices != answer.choices {
            failures.push(format!("{}:\n{:?}\n{:?}", record.name, again.choices, answer.choices));
        }
    }
    report("streams", cases, &failures);
}

/// The gateway says how an answer ended even where its provider does not.
fn ended(mut gist: walk::Gist, expected: &walk::Gist) -> walk::Gist {
    for (said, was) in gist.choices.iter_mut().zip(&expected.choices) {
        if was.finish.is_none() {
            assert_eq!(said.finish.take(), Some("stop"));
        }
    }
    gist
}

#[test]
fn every_recorded_error_has_a_message() {
    let mut cases = 0;
    for record in records("openai.chat").into_iter().filter(|record| record.status != 200) {
        cases += 1;
        let body = record.body.map(|body| body.to_string()).or(record.text).unwrap();
        let error = read_error(record.status, body.as_bytes());
        assert!(error.message.is_some_and(|message| message.len() > 3), "{}: {body}", record.name);
    }
    println!("errors: {cases} of {cases}");
}

/// Where two values differ.
fn difference(path: &str, was: &Value, is: &Value) -> Vec<String> {
    let short = |value: &Value| value.to_string().chars().take(1500).collect::<String>();
    match (was, is) {
        _ if was == is => Vec::new(),
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            keys.into_iter().flat_map(|key| difference(&format!("{path}.{key}"), &was[key], &is[key])).collect()
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().flat_map(|(n, (a, b))| difference(&format!("{path}[{n}]"), a, b)).collect()
        }
        _ => vec![format!("  {path}: {} became {}", short(was), short(is))],
    }
}

/// A request with every documented synonym in one spelling.
pub fn meaning(body: Value) -> Value {
    let Value::Object(mut body) = without_nulls(body) else { panic!("a request that is no object") };
    for owned in ["model", "stream_options", "models", "provider", "transforms", "usage"] {
        body.shift_remove(owned);
    }
    rename(&mut body, "max_completion_tokens", "max_tokens");
    rename(&mut body, "random_seed", "seed");
    body.retain(|key, value| !(key == "stream" && *value == json!(false)));
    if let Some(Value::String(word)) = body.get("stop").cloned() {
        body.insert("stop".to_owned(), json!([word]));
    }
    let mut reasoning = body.shift_remove("reasoning").unwrap_or_else(|| json!({}));
    if let Some(effort) = body.shift_remove("reasoning_effort") {
        reasoning["effort"] = effort;
    }
    if let Some(switch) = body.shift_remove("enable_thinking") {
        reasoning["enabled"] = switch;
    }
    if let Some(Value::Object(mut switch)) = body.shift_remove("thinking") {
        if let Some(word) = switch.shift_remove("type") {
            reasoning["enabled"] = json!(word == "enabled");
        }
        for (key, value) in switch {
            reasoning[&key] = value;
        }
    }
    if reasoning != json!({}) {
        body.insert("reasoning".to_owned(), reasoning);
    }
    if let Some(Value::Array(functions)) = body.shift_remove("functions") {
        let tools = functions.into_iter().map(|function| json!({ "type": "function", "function": function }));
        body.insert("tools".to_owned(), tools.collect());
    }
    if let Some(choice) = body.shift_remove("function_call") {
        let choice = if choice.is_object() { json!({ "type": "function", "function": choice }) } else { choice };
        body.insert("tool_choice".to_owned(), choice);
    }
    if let Some(choice) = body.get_mut("tool_choice") {
        match choice {
            Value::Object(choice) => {
                choice.entry("type").or_insert_with(|| "function".into());
            }
            word if word == "any" => *word = "required".into(),
            _ => {}
        }
    }
    for tool in body.get_mut("tools").and_then(Value::as_array_mut).into_iter().flatten() {
        tool.as_object_mut().unwrap().entry("type").or_insert_with(|| "function".into());
    }
    body.retain(|key, value| !(["tools", "stop"].contains(&key.as_str()) && *value == json!([])));
    body.retain(|key, value| !(key == "response_format" && value["type"] == "text"));
    if let Some(schema) = body.shift_remove("json_schema") {
        let format = json!({ "type": "json_schema", "json_schema": { "name": "answer", "schema": schema } });
        body.insert("response_format".to_owned(), format);
    }
    let mut old = Vec::new();
    for message in body["messages"].as_array_mut().unwrap() {
        message_meaning(message.as_object_mut().unwrap(), &mut old);
    }
    Value::Object(body)
}

fn message_meaning(message: &mut Map<String, Value>, old: &mut Vec<Value>) {
    if message["role"] == "function" {
        message.insert("role".to_owned(), "tool".into());
        message.insert("tool_call_id".to_owned(), old.pop().unwrap());
    }
    if let Some(function) = message.shift_remove("function_call") {
        old.push(json!(format!("call_{}", old.len())));
        let call = json!([{ "id": old.last(), "type": "function", "function": function }]);
        message.insert("tool_calls".to_owned(), call);
    }
    let content = match message.shift_remove("content") {
        None => json!([]),
        Some(Value::String(text)) if text.is_empty() => json!([]),
        Some(Value::String(text)) => json!([{ "type": "text", "text": text }]),
        Some(list) => list,
    };
    message.insert("content".to_owned(), content);
    let mark = message.shift_remove("cache_control");
    let parts = message["content"].as_array_mut().unwrap();
    for part in parts.iter_mut() {
        let part = part.as_object_mut().unwrap();
        part.shift_remove("closed");
        if let Some(Value::String(url)) = part.get("image_url").cloned() {
            part.insert("image_url".to_owned(), json!({ "url": url }));
        }
        if let Some(Value::String(data)) = part.get("input_audio").cloned() {
            part.insert("input_audio".to_owned(), json!({ "data": data, "format": "mp3" }));
        }
        if let Some(texts) = part.get("thinking").and_then(Value::as_array).cloned() {
            let text: String = texts.iter().map(|text| text["text"].as_str().unwrap()).collect();
            part.insert("thinking".to_owned(), json!([{ "type": "text", "text": text }]));
        }
    }
    if let (Some(mark), Some(last)) = (mark, parts.last_mut()) {
        last["cache_control"] = mark;
    }
    let plain = [message.shift_remove("reasoning"), message.shift_remove("reasoning_content")];
    let plain = plain.into_iter().flatten().find(|text| text != "");
    let mut details = message.shift_remove("reasoning_details").and_then(|d| d.as_array().cloned()).unwrap_or_default();
    if let (Some(text), true) = (plain, details.iter().all(|detail| detail["text"].is_null())) {
        details.push(json!({ "type": "reasoning.text", "text": text }));
    }
    details.retain(|detail| ["text", "summary", "data", "signature"].iter().any(|key| detail[*key] != Value::Null));
    for detail in &mut details {
        let detail = detail.as_object_mut().unwrap();
        detail.shift_remove("index");
        let known = detail.get("format").and_then(Value::as_str).map(crate::chat::ReasoningFormat::parse);
        detail.insert("format".to_owned(), json!(known.unwrap_or(crate::chat::ReasoningFormat::Unknown).as_str()));
    }
    if !details.is_empty() {
        message.insert("reasoning_details".to_owned(), details.into());
    }
    message.retain(|key, value| !(key == "tool_calls" && *value == json!([])));
    for call in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        let call = call.as_object_mut().unwrap();
        call.shift_remove("index");
        call.entry("type").or_insert_with(|| "function".into());
    }
}

fn rename(object: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = object.shift_remove(from) {
        object.insert(to.to_owned(), value);
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let members = object.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(members.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}
