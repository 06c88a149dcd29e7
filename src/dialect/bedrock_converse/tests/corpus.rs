//! Against recorded traffic: a request comes out as it went in, an answer holds what the recording holds.

use super::*;
use crate::{
    chat::{Answer, Part, PartKind, Request, Role, Turn},
    dialect::testing::{Record, records},
    framing::aws_event_stream::Splitter,
};
use serde_json::json;

fn model(record: &Record) -> String {
    let name = record.path.split('/').nth(2).unwrap_or_default();
    name.replace("%3A", ":").replace("%2F", "/")
}

/// What means the same: absent or empty; automatic choice, said or not; a success, said or not; one
/// message or two of the same role; a tool call's type, said or not; schemas by what they say.
fn normal(mut body: Value) -> Value {
    prune(&mut body);
    if let Some(config) = body.get_mut("toolConfig").and_then(Value::as_object_mut) {
        config.retain(|name, value| name != "toolChoice" || value.get("auto").is_none());
    }
    if let Some(Value::String(schema)) = body.pointer("/outputConfig/textFormat/structure/jsonSchema/schema") {
        let schema: Value = serde_json::from_str(schema).unwrap();
        body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"] = schema;
    }
    let mut messages: Vec<Value> = Vec::new();
    for mut message in body["messages"].as_array().cloned().unwrap_or_default() {
        for block in message["content"].as_array_mut().into_iter().flatten() {
            if let Some(result) = block.get_mut("toolResult").and_then(Value::as_object_mut) {
                let plain = !result.contains_key("type");
                result.retain(|name, value| !plain || name != "status" || value != "success");
            }
            if let Some(call) = block.get_mut("toolUse").and_then(Value::as_object_mut) {
                call.retain(|name, value| name != "type" || value != "tool_use");
            }
        }
        match messages.last_mut() {
            Some(last) if last["role"] == message["role"] => {
                let more = message["content"].as_array().cloned().unwrap_or_default();
                last["content"].as_array_mut().unwrap().extend(more);
            }
            _ => messages.push(message),
        }
    }
    body["messages"] = messages.into();
    body
}

fn prune(value: &mut Value) {
    let Value::Object(members) = value else { return };
    let empty = |v: &Value| {
        v.is_null() || v.as_array().is_some_and(Vec::is_empty) || v.as_object().is_some_and(serde_json::Map::is_empty)
    };
    members.retain(|_, value| !empty(value));
}

#[test]
fn recorded_requests_come_out_as_they_went_in() {
    let mut count = 0;
    for record in records("bedrock.converse") {
        if record.request.is_null() {
            continue;
        }
        let request = decode_request(record.request.clone()).unwrap_or_else(|e| panic!("{}: {e:?}", record.name));
        let model = model(&record);
        let encoded =
            encode_request(&request, &target(&model, &[])).unwrap_or_else(|e| panic!("{}: {e:?}", record.name));
        assert_eq!(normal(encoded.body), normal(record.request), "{}", record.name);
        assert_eq!(encoded.losses.list(), [], "{}", record.name);
        count += 1;
    }
    println!("{count} recorded requests");
}

/// The message of a recorded stream, put together without any of the code that is tested.
fn walked(frames: &[(String, Value)]) -> Value {
    let mut blocks: std::collections::BTreeMap<u64, Value> = std::collections::BTreeMap::new();
    let mut whole = json!({});
    for (name, data) in frames {
        let at = data["contentBlockIndex"].as_u64().unwrap_or_default();
        match name.as_str() {
            "contentBlockStart" => {
                blocks.insert(at, data["start"].clone());
            }
            "contentBlockDelta" => {
                let block = blocks.entry(at).or_insert_with(|| json!({}));
                let delta = &data["delta"];
                let append = |place: &mut Value, text: &Value| {
                    *place = format!("{}{}", place.as_str().unwrap_or_default(), text.as_str().unwrap()).into();
                };
                if let Some(text) = delta.get("text") {
                    append(&mut block["text"], text);
                } else if let Some(citation) = delta.get("citation") {
                    if !block["citations"].is_array() {
                        block["citations"] = json!([]);
                    }
                    block["citations"].as_array_mut().unwrap().push(citation.clone());
                } else if let Some(input) = delta.pointer("/toolUse/input") {
                    append(&mut block["toolUse"]["input"], input);
                } else if let Some(items) = delta.get("toolResult") {
                    block["toolResult"]["content"] = items.clone();
                } else if let Some(thought) = delta.get("reasoningContent") {
                    for (key, text) in thought.as_object().unwrap() {
                        append(&mut block["reasoningContent"]["reasoningText"][key], text);
                    }
                } else {
                    panic!("{delta}");
                }
            }
            "messageStop" => whole["stopReason"] = data["stopReason"].clone(),
            "metadata" => whole["usage"] = data["usage"].clone(),
            _ => {}
        }
    }
    let content: Vec<Value> = blocks
        .into_values()
        .map(|mut block| {
            if let Some(Value::String(input)) = block.pointer("/toolUse/input") {
                block["toolUse"]["input"] = serde_json::from_str(input).unwrap();
            }
            if block.get("citations").is_some() {
                let text = block["text"].as_str().unwrap_or_default();
                block = json!({"citationsContent": {"content": [{"text": text}], "citations": block["citations"]}});
            }
            block
        })
        .collect();
    whole["output"]["message"]["content"] = content.into();
    whole
}

/// What an answer says, against what was recorded; the content by sending it back.
fn same(name: &str, model: &str, answer: Answer, recorded: &Value) {
    let [choice] = &answer.choices[..] else { panic!("{name}: {answer:?}") };
    let native = recorded["stopReason"].as_str().unwrap();
    assert_eq!(choice.finish.as_ref().unwrap().native.as_deref(), Some(native), "{name}");
    let count = |key: &str| recorded["usage"][key].as_u64().unwrap_or_default();
    let tokens = answer.usage.as_ref().unwrap().tokens;
    assert_eq!(tokens.prompt + tokens.completion, count("totalTokens"), "{name}");
    assert_eq!(tokens.completion, count("outputTokens"), "{name}");
    assert_eq!(
        (tokens.cached, tokens.cache_write),
        (count("cacheReadInputTokens"), count("cacheWriteInputTokens")),
        "{name}"
    );

    let content = recorded["output"]["message"]["content"].as_array().unwrap();
    assert_eq!(choice.parts.len(), content.len(), "{name}");
    for (part, block) in choice.parts.iter().zip(content) {
        // Unsigned thoughts do not go back; here they are compared themselves.
        if let PartKind::Reasoning(reasoning) = &part.kind {
            let inner = &block["reasoningContent"]["reasoningText"];
            assert_eq!(reasoning.text.as_deref(), inner["text"].as_str(), "{name}");
            assert_eq!(reasoning.signature.as_deref(), inner["signature"].as_str(), "{name}");
            assert_eq!(
                reasoning.encrypted.is_some(),
                block["reasoningContent"].get("redactedContent").is_some(),
                "{name}"
            );
            if reasoning.signature.is_none() && reasoning.encrypted.is_none() {
                continue;
            }
        }
        let back = sent_back(part, model);
        let block = normal(json!({"messages": [{"role": "assistant", "content": [block]}]}));
        let block = block["messages"][0]["content"][0].clone();
        let blank = block["text"].as_str().is_some_and(|text| text.trim().is_empty());
        assert_eq!(back, if blank { Value::Null } else { block }, "{name}");
    }
}

fn sent_back(part: &Part, model: &str) -> Value {
    let turns = vec![Turn::new(Role::Assistant, vec![part.clone()])];
    let encoded = encode_request(&Request { turns, ..Request::default() }, &target(model, &[])).unwrap();
    encoded.body["messages"][0]["content"][0].clone()
}

#[test]
fn recorded_answers_say_what_was_recorded() {
    let mut count = 0;
    for record in records("bedrock.converse") {
        let (200, Some(body)) = (record.status, record.body.clone()) else { continue };
        let answer = decode_answer(body.clone()).unwrap_or_else(|e| panic!("{}: {e:?}", record.name));
        same(&record.name, &model(&record), answer, &body);
        count += 1;
    }
    println!("{count} recorded answers");
}

#[test]
fn recorded_streams_say_what_was_recorded_however_they_are_cut() {
    let mut count = 0;
    for record in records("bedrock.converse") {
        let Some(raw) = &record.raw else { continue };
        let model = model(&record);
        let run = |size: usize| {
            let (mut splitter, mut decoder) = (Splitter::default(), Decoder::of(&target(&model, &[])));
            let (mut frames, mut events) = (Vec::new(), Vec::new());
            for chunk in raw.chunks(size) {
                let each = |message: &crate::framing::aws_event_stream::Message<'_>| {
                    let (event, data) = (message.event(), message.data());
                    frames.push((event.unwrap().to_owned(), serde_json::from_slice::<Value>(&data).unwrap()));
                    decoder.push(&Frame { event, data: &data }, &mut events);
                };
                splitter.push(chunk, each).unwrap();
            }
            decoder.finish(&mut events);
            (frames, events)
        };
        let (frames, events) = run(raw.len());
        for size in [1, 13, 512] {
            assert_eq!(run(size).1, events, "{} by {size}", record.name);
        }
        let answer = collected(events).unwrap_or_else(|e| panic!("{}: {e:?}", record.name));
        same(&record.name, &model, answer, &walked(&frames));
        count += 1;
    }
    println!("{count} recorded streams");
}

#[test]
fn recorded_errors_have_a_message() {
    let mut count = 0;
    for record in records("bedrock.converse").into_iter().filter(|record| record.status != 200) {
        let body = record.body.unwrap();
        let error = read_error(record.status, body.to_string().as_bytes());
        assert_eq!(error.message.as_deref(), body["message"].as_str(), "{}", record.name);
        count += 1;
    }
    println!("{count} recorded errors");
}

#[test]
fn broken_bodies_are_survived() {
    for record in records("bedrock.converse") {
        for mutant in crate::dialect::fields::mutants(&record.request, 60) {
            if let Ok(request) = decode_request(mutant) {
                let _ = encode_request(&request, &target(CLAUDE, &[]));
            }
        }
        for mutant in record.body.iter().flat_map(|body| crate::dialect::fields::mutants(body, 60)) {
            let _ = decode_answer(mutant);
        }
        let Some(raw) = &record.raw else { continue };
        let mut frames = Vec::new();
        let each = |m: &crate::framing::aws_event_stream::Message<'_>| {
            frames.push((m.event().unwrap().to_owned(), serde_json::from_slice::<Value>(m.payload).unwrap()));
        };
        Splitter::default().push(raw, each).unwrap();
        for (i, (_, data)) in frames.iter().enumerate().take(40) {
            for mutant in crate::dialect::fields::mutants(data, 20) {
                let mut changed: Vec<(&str, Value)> =
                    frames.iter().map(|(name, data)| (name.as_str(), data.clone())).collect();
                changed[i].1 = mutant;
                let _ = collected(decoded(&changed));
            }
        }
    }
}
