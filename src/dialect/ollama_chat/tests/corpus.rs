//! Against recorded traffic: a request comes out as it went in, an answer holds what the recording holds.

use super::*;
use crate::{
    chat::PartKind,
    dialect::{fields::mutants, testing::records},
    framing::lines::Splitter,
};
use serde_json::json;

/// What means the same: absent or empty; a stream, said or not; a call's type and place, said or not.
fn normal(mut body: Value) -> Value {
    let empty = |value: &Value| {
        value.is_null()
            || value == ""
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(serde_json::Map::is_empty)
    };
    body.as_object_mut().unwrap().retain(|_, value| !empty(value));
    if body["stream"].is_null() {
        body["stream"] = true.into();
    }
    for message in body["messages"].as_array_mut().into_iter().flatten() {
        message.as_object_mut().unwrap().retain(|_, value| !empty(value));
        for call in message["tool_calls"].as_array_mut().into_iter().flatten() {
            call.as_object_mut().unwrap().retain(|name, _| name == "function");
        }
        message.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    }
    body
}

#[test]
fn recorded_requests_come_out_as_they_went_in() {
    let mut count = 0;
    for record in records("ollama.chat") {
        let request = decode_request(record.request.clone()).unwrap_or_else(|e| panic!("{}: {e:?}", record.name));
        let encoded = encode_request(&request, &target(&request.model, &[])).unwrap();
        assert_eq!(normal(encoded.body), normal(record.request), "{}", record.name);
        assert_eq!(encoded.losses.list(), [], "{}", record.name);
        count += 1;
    }
    println!("{count} recorded requests");
}

/// An answer against what was recorded: words, calls in their order, the end.
fn same(name: &str, answer: &Answer, lines: &[Value]) {
    let last = lines.last().unwrap();
    let [choice] = &answer.choices[..] else { panic!("{name}: {answer:?}") };
    let (mut text, mut thinking, mut calls) = (String::new(), String::new(), Vec::new());
    for part in &choice.parts {
        match &part.kind {
            PartKind::Text { text: words, .. } => text.push_str(words),
            PartKind::Reasoning(reasoning) => thinking.push_str(reasoning.text.as_deref().unwrap()),
            PartKind::ToolCall(call) => {
                let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
                calls.push(json!([call.id, call.name, arguments]));
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    let all = |key: &str| -> String { lines.iter().filter_map(|line| line["message"][key].as_str()).collect() };
    assert_eq!((text, thinking), (all("content"), all("thinking")), "{name}");
    let recorded: Vec<Value> = lines
        .iter()
        .flat_map(|line| line["message"]["tool_calls"].as_array().into_iter().flatten())
        .map(|call| json!([call["id"], call["function"]["name"], call["function"]["arguments"]]))
        .collect();
    assert_eq!(calls, recorded, "{name}");
    assert_eq!(answer.model.as_deref(), last["model"].as_str(), "{name}");
    assert_eq!(choice.finish.as_ref().unwrap().native.as_deref(), last["done_reason"].as_str(), "{name}");
    let tokens = answer.usage.as_ref().unwrap().tokens;
    assert_eq!(tokens.prompt, last["prompt_eval_count"].as_u64().unwrap_or_default(), "{name}");
    assert_eq!(Some(tokens.completion), last["eval_count"].as_u64(), "{name}");
}

#[test]
fn recorded_answers_say_what_was_recorded() {
    let mut count = 0;
    for record in records("ollama.chat") {
        let (200, Some(body)) = (record.status, record.body) else { continue };
        let answer = decode_answer(body.clone()).unwrap_or_else(|e| panic!("{}: {e:?}", record.name));
        same(&record.name, &answer, &[body]);
        count += 1;
    }
    println!("{count} recorded answers");
}

#[test]
fn recorded_streams_say_what_was_recorded_however_they_are_cut() {
    let mut count = 0;
    for record in records("ollama.chat") {
        let Some(text) = &record.text else { continue };
        let run = |size: usize| {
            let (mut splitter, mut decoder, mut events) = (Splitter::default(), Decoder::default(), Vec::new());
            for chunk in text.as_bytes().chunks(size) {
                splitter.push(chunk, |data| decoder.push(&Frame { event: None, data }, &mut events)).unwrap();
            }
            assert!(splitter.take_rest().is_empty());
            decoder.finish(&mut events);
            events
        };
        let events = run(text.len());
        for size in [1, 13, 512] {
            assert_eq!(run(size), events, "{} by {size}", record.name);
        }
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let answer = collected(events).unwrap_or_else(|e| panic!("{}: {e:?}", record.name));
        same(&record.name, &answer, &lines);
        count += 1;
    }
    println!("{count} recorded streams");
}

#[test]
fn recorded_errors_have_a_message() {
    let mut count = 0;
    for record in records("ollama.chat").into_iter().filter(|record| record.status != 200) {
        let body = record.body.unwrap();
        let error = read_error(record.status, body.to_string().as_bytes());
        assert_eq!(error.message.as_deref(), body["error"].as_str(), "{}", record.name);
        count += 1;
    }
    println!("{count} recorded errors");
}

#[test]
fn recorded_embeddings_are_read_and_asked_for() {
    let mut count = 0;
    for record in records("ollama.embed") {
        let body = record.body.unwrap();
        let embeddings = decode_embeddings(&body).unwrap();
        let one = json!([body["embedding"]]);
        assert_eq!(&json!(embeddings.vectors), body.get("embeddings").unwrap_or(&one), "{}", record.name);
        assert_eq!(embeddings.tokens, body["prompt_eval_count"].as_u64(), "{}", record.name);
        count += 1;
    }
    println!("{count} recorded embeddings");
    assert_eq!(encode_embed(&["a".to_owned()], "m", Some(3)), json!({"model": "m", "input": ["a"], "dimensions": 3}));
    assert!(decode_embeddings(&json!({"embeddings": [["x"]]})).is_err());
}

#[test]
fn broken_bodies_are_survived() {
    for record in records("ollama.chat") {
        for mutant in mutants(&record.request, 80) {
            if let Ok(request) = decode_request(mutant) {
                let _ = encode_request(&request, &target("m", &[]));
            }
        }
        for mutant in record.body.iter().flat_map(|body| mutants(body, 80)) {
            let _ = decode_answer(mutant);
        }
        let lines: Vec<Value> = record
            .text
            .iter()
            .flat_map(|text| text.lines())
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        for line in &lines {
            for mutant in mutants(line, 6) {
                let changed = [lines[0].to_string(), mutant.to_string(), lines[lines.len() - 1].to_string()];
                let _ = collected(decoded(changed.iter().map(String::as_bytes)));
            }
        }
    }
}
