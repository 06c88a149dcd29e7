//! Reads the wire as the vendor's SDKs do, without any of the code under test: what the format says, to
//! compare with what the translation says.

use serde_json::{Map, Value, json};

/// A request or an answer with all spellings of one meaning made one.
pub fn normal(mut body: Value) -> Value {
    tidy(&mut body);
    let Value::Object(top) = &mut body else { return body };
    for gone in ["model", "id"] {
        top.remove(gone);
    }
    if top.get("stream") == Some(&json!(false)) {
        top.remove("stream");
    }
    if let Some(system) = top.get_mut("system") {
        blocks(system);
    }
    for message in top.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten() {
        blocks(&mut message["content"]);
    }
    if let Some(Value::Array(messages)) = top.get_mut("messages") {
        *messages = combined(std::mem::take(messages));
    }
    if let Some(content) = top.get_mut("content") {
        blocks(content);
    }
    for tool in top.get_mut("tools").and_then(Value::as_array_mut).into_iter().flatten() {
        drop_default(tool, "type", &json!("custom"));
        drop_default(tool, "strict", &json!(false));
    }
    if let Some(choice) = top.get_mut("tool_choice") {
        drop_default(choice, "disable_parallel_tool_use", &json!(false));
    }
    if let Some(format) = top.remove("output_format") {
        top.entry("output_config").or_insert_with(|| json!({}))["format"] = format;
    }
    top.retain(|_, value| *value != json!({}) && *value != json!([]));
    body
}

/// Null is as good as absent.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Text is a list of one block of text.
fn listed(content: &mut Value) {
    if content.is_string() {
        *content = json!([{ "type": "text", "text": content.take() }]);
    }
}

fn blocks(content: &mut Value) {
    listed(content);
    // Empty text says nothing, and the vendor refuses it.
    if let Some(blocks) = content.as_array_mut() {
        blocks.retain(|block| block["text"] != "");
    }
    for block in content.as_array_mut().into_iter().flatten() {
        drop_default(block, "is_error", &json!(false));
        drop_default(block, "caller", &json!({ "type": "direct" }));
        drop_default(block, "citations", &json!([]));
        if block["type"] == "tool_result" {
            match block.get("content") {
                Some(_) => blocks(&mut block["content"]),
                None => drop(block.as_object_mut().unwrap().insert("content".to_owned(), json!([]))),
            }
        }
    }
}

/// Turns of one role after another are one turn, says the vendor.
fn combined(messages: Vec<Value>) -> Vec<Value> {
    let mut combined: Vec<Value> = Vec::new();
    for mut message in messages {
        match combined.last_mut().filter(|last| last["role"] == message["role"]) {
            Some(last) => {
                let more = message["content"].as_array_mut().unwrap();
                last["content"].as_array_mut().unwrap().append(more);
            }
            None => combined.push(message),
        }
    }
    combined
}

fn drop_default(value: &mut Value, key: &str, default: &Value) {
    if let Some(members) = value.as_object_mut()
        && members.get(key) == Some(default)
    {
        members.remove(key);
    }
}

/// Puts the answer together from the events of a stream; `Err` where one of them is an error, or the end
/// is missing.
pub fn accumulate(events: impl IntoIterator<Item = Value>) -> Result<Value, Value> {
    let (mut message, mut partial, mut ended) = (json!({}), Map::new(), false);
    for event in events {
        let index = usize::try_from(event["index"].as_u64().unwrap_or(0)).unwrap();
        match event["type"].as_str().unwrap_or_default() {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => {
                let content = message["content"].as_array_mut().unwrap();
                assert_eq!(content.len(), index, "blocks are numbered in order");
                content.push(event["content_block"].clone());
            }
            "content_block_delta" => {
                let (block, delta) = (&mut message["content"][index], &event["delta"]);
                let text = |key: &str| delta[key].as_str().unwrap().to_owned();
                match delta["type"].as_str().unwrap() {
                    "text_delta" => append(&mut block["text"], &text("text")),
                    "thinking_delta" => append(&mut block["thinking"], &text("thinking")),
                    "signature_delta" => append(&mut block["signature"], &text("signature")),
                    "input_json_delta" => {
                        append(partial.entry(index.to_string()).or_insert(Value::Null), &text("partial_json"));
                    }
                    "citations_delta" => match &mut block["citations"] {
                        Value::Array(citations) => citations.push(delta["citation"].clone()),
                        none => *none = json!([delta["citation"]]),
                    },
                    other => panic!("an unknown delta: {other}"),
                }
            }
            "content_block_stop" => {
                if let Some(Value::String(input)) = partial.remove(&index.to_string())
                    && !input.is_empty()
                {
                    message["content"][index]["input"] = serde_json::from_str(&input).unwrap();
                }
            }
            "message_delta" => {
                for (key, value) in event["delta"].as_object().unwrap() {
                    message[key] = value.clone();
                }
                for (key, value) in event["usage"].as_object().into_iter().flatten() {
                    message["usage"][key] = value.clone();
                }
                for (key, value) in event.as_object().unwrap() {
                    if !["type", "delta", "usage"].contains(&key.as_str()) {
                        message[key] = value.clone();
                    }
                }
            }
            "message_stop" => ended = true,
            "error" => return Err(event),
            _ => {}
        }
    }
    if ended { Ok(message) } else { Err(message) }
}

fn append(to: &mut Value, piece: &str) {
    *to = json!(to.as_str().unwrap_or_default().to_owned() + piece);
}
