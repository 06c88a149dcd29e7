//! Against recorded traffic: a request comes out as it went in, an answer holds what the recording holds.

use super::*;
use crate::{
    chat::PartKind,
    dialect::{fields::mutants, testing::records},
    framing::sse::{Splitter, data},
};
use serde_json::json;

/// What means the same: absent or empty, one text or a list of it, no stream, said or not.
fn normal(mut body: Value) -> Value {
    let empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value == "";
    if let Some(body) = body.as_object_mut() {
        body.retain(|name, value| !empty(value) && (name != "stream" || value != false));
    }
    for message in body["messages"].as_array_mut().into_iter().flatten() {
        if let Value::String(text) = &message["content"] {
            message["content"] = json!([{"type": "text", "text": text}]);
        }
        if message["content"] == json!([{"type": "text", "text": ""}]) {
            message["content"] = Value::Null;
        }
        message.as_object_mut().unwrap().retain(|_, value| !empty(value));
    }
    body
}

#[test]
fn recorded_requests_come_out_as_they_went_in() {
    let mut count = 0;
    for record in records("cohere.chat.v2") {
        if record.request.is_null() {
            continue;
        }
        let request = decode_request(record.request.clone()).unwrap_or_else(|e| panic!("{}: {e:?}", record.name));
        let encoded = encode_request(&request, &target(&request.model)).unwrap();
        assert_eq!(normal(encoded.body), normal(record.request), "{}", record.name);
        assert_eq!(encoded.losses.list(), [], "{}", record.name);
        count += 1;
    }
    println!("{count} recorded requests");
}

/// The answer of a recorded stream, put together without any of the code that is tested.
fn walked(frames: &[Value]) -> Value {
    let mut whole = json!({"message": {"content": [], "tool_calls": [], "citations": []}});
    for frame in frames {
        let at = usize::try_from(frame["index"].as_u64().unwrap_or_default()).unwrap();
        let append = |place: &mut Value, text: &Value| {
            *place = format!("{}{}", place.as_str().unwrap_or_default(), text.as_str().unwrap()).into();
        };
        let message = &frame["delta"]["message"];
        match frame["type"].as_str().unwrap() {
            "message-start" => whole["id"] = frame["id"].clone(),
            "content-start" => whole["message"]["content"].as_array_mut().unwrap().push(message["content"].clone()),
            "content-delta" => {
                for (key, text) in message["content"].as_object().unwrap() {
                    append(&mut whole["message"]["content"][at][key], text);
                }
            }
            "tool-plan-delta" => append(&mut whole["message"]["tool_plan"], &message["tool_plan"]),
            "tool-call-start" => {
                whole["message"]["tool_calls"].as_array_mut().unwrap().push(message["tool_calls"].clone());
            }
            "tool-call-delta" => {
                let place = &mut whole["message"]["tool_calls"][at]["function"]["arguments"];
                append(place, &message["tool_calls"]["function"]["arguments"]);
            }
            "citation-start" => {
                whole["message"]["citations"].as_array_mut().unwrap().push(message["citations"].clone());
            }
            "message-end" => {
                whole["finish_reason"] = frame["delta"]["finish_reason"].clone();
                whole["usage"] = frame["delta"]["usage"].clone();
            }
            _ => {}
        }
    }
    whole
}

/// An answer back in Cohere's words, against what was recorded.
fn same(name: &str, answer: Answer, recorded: &Value) {
    let [choice] = &answer.choices[..] else { panic!("{name}: {answer:?}") };
    assert_eq!(choice.finish.as_ref().unwrap().native.as_deref(), recorded["finish_reason"].as_str(), "{name}");
    assert_eq!(answer.id.as_deref(), recorded["id"].as_str(), "{name}");
    let tokens = answer.usage.as_ref().unwrap().tokens;
    let billed = &recorded["usage"]["billed_units"];
    assert_eq!(Some(tokens.prompt), billed["input_tokens"].as_u64(), "{name}");
    assert_eq!(Some(tokens.completion), billed["output_tokens"].as_u64(), "{name}");
    let reasoning = recorded["usage"]["tokens"]["reasoning_tokens"].as_u64().unwrap_or_default();
    assert_eq!(tokens.reasoning, reasoning.min(tokens.completion), "{name}");

    let mut back = json!({"content": [], "tool_calls": [], "citations": []});
    for part in &choice.parts {
        let push = |list: &mut Value, item: Value| list.as_array_mut().unwrap().push(item);
        match &part.kind {
            PartKind::Reasoning(reasoning) if reasoning.id.is_some() => back["tool_plan"] = json!(reasoning.text),
            PartKind::Reasoning(reasoning) => {
                push(&mut back["content"], json!({"type": "thinking", "thinking": reasoning.text}));
            }
            PartKind::Text { text, citations } => {
                push(&mut back["content"], json!({"type": "text", "text": text}));
                for citation in citations {
                    assert_eq!(citation.start, citation.extra.members["start"].as_u64());
                    push(&mut back["citations"], citation.extra.members.clone().into());
                }
            }
            PartKind::ToolCall(call) => push(
                &mut back["tool_calls"],
                json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}),
            ),
            other => panic!("{name}: {other:?}"),
        }
    }
    let mut message = recorded["message"].clone();
    message.as_object_mut().unwrap().retain(|key, _| key != "role");
    let bare = |message| normal(json!({"messages": [message]}));
    assert_eq!(bare(back), bare(message), "{name}");
}

#[test]
fn recorded_answers_say_what_was_recorded() {
    let mut count = 0;
    for record in records("cohere.chat.v2") {
        let (200, Some(body)) = (record.status, record.body) else { continue };
        let answer = decode_answer(body.clone()).unwrap_or_else(|e| panic!("{}: {e:?}", record.name));
        same(&record.name, answer, &body);
        count += 1;
    }
    println!("{count} recorded answers");
}

#[test]
fn recorded_streams_say_what_was_recorded_however_they_are_cut() {
    let mut count = 0;
    for record in records("cohere.chat.v2") {
        let Some(text) = &record.text else { continue };
        let run = |size: usize| {
            let (mut splitter, mut decoder) = (Splitter::default(), Decoder::default());
            let (mut frames, mut events) = (Vec::new(), Vec::new());
            let mut each = |event: &[u8]| {
                let Some(data) = data(event) else { return };
                frames.extend(serde_json::from_slice::<Value>(&data.bytes));
                decoder.push(&Frame { event: None, data: &data.bytes }, &mut events);
            };
            for chunk in text.as_bytes().chunks(size) {
                splitter.push(chunk, &mut each).unwrap();
            }
            let rest = splitter.take_rest();
            each(&rest);
            decoder.finish(&mut events);
            (frames, events)
        };
        let (frames, events) = run(text.len());
        for size in [1, 13, 512] {
            assert_eq!(run(size).1, events, "{} by {size}", record.name);
        }
        let answer = collected(events).unwrap_or_else(|e| panic!("{}: {e:?}", record.name));
        same(&record.name, answer, &walked(&frames));
        count += 1;
    }
    println!("{count} recorded streams");
}

#[test]
fn recorded_errors_have_a_message() {
    let mut count = 0;
    for record in records("cohere.chat.v2").into_iter().chain(records("cohere.embed.v2")) {
        if record.status == 200 {
            continue;
        }
        let body = record.body.unwrap();
        let error = read_error(record.status, body.to_string().as_bytes());
        assert!(error.message.is_some() && body["message"].is_string(), "{}", record.name);
        count += 1;
    }
    println!("{count} recorded errors");
}

#[test]
fn recorded_embeddings_are_read_and_asked_for() {
    let mut count = 0;
    for record in records("cohere.embed.v2").into_iter().chain(records("cohere.embed.v1")) {
        let asked = &record.request;
        let texts: Vec<String> = serde_json::from_value(asked["texts"].clone()).unwrap();
        let (model, kind) = (asked["model"].as_str().unwrap(), asked["input_type"].as_str().unwrap());
        let written = encode_embed(&texts, model, kind, asked["output_dimension"].as_u64());
        for key in ["model", "texts", "input_type", "output_dimension"] {
            assert_eq!(written[key], asked[key], "{}", record.name);
        }
        let (200, Some(body)) = (record.status, record.body) else { continue };
        let embeddings = decode_embeddings(&body).unwrap();
        let recorded = body["embeddings"].as_object().unwrap().values().next().unwrap();
        let recorded: Vec<Vec<f64>> = serde_json::from_value(recorded.clone()).unwrap();
        assert_eq!(embeddings.vectors, recorded, "{}", record.name);
        assert_eq!(embeddings.tokens, body["meta"]["billed_units"]["input_tokens"].as_u64(), "{}", record.name);
        count += 1;
    }
    println!("{count} recorded embeddings");
}

#[test]
fn broken_bodies_are_survived() {
    for record in records("cohere.chat.v2") {
        for mutant in mutants(&record.request, 60) {
            if let Ok(request) = decode_request(mutant) {
                let _ = encode_request(&request, &target("m"));
            }
        }
        for mutant in record.body.iter().flat_map(|body| mutants(body, 60)) {
            let _ = decode_answer(mutant);
        }
        let Some(text) = &record.text else { continue };
        let frames: Vec<Value> =
            text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?).ok()).collect();
        for (i, frame) in frames.iter().enumerate().take(25) {
            for mutant in mutants(frame, 12) {
                let mut changed = frames.clone();
                changed[i] = mutant;
                let changed: Vec<String> = changed.iter().take(60).map(Value::to_string).collect();
                let _ = collected(decoded(changed.iter().map(String::as_bytes)));
            }
        }
    }
}
