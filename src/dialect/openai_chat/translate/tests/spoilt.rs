//! Bodies in which something is missing or something else than expected: whatever they are, they are
//! read or refused, and nothing panics.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{super::*, collected, events, names, quirks, target, written};
use crate::dialect::testing::records;

/// Puts `put` in the place of the `at`-th value, counted over the whole body; or takes it away.
fn spoil(value: &mut Value, at: &mut usize, put: Option<&Value>) {
    match value {
        Value::Object(object) => {
            for key in object.keys().cloned().collect::<Vec<_>>() {
                if *at == 0 {
                    *at = usize::MAX;
                    match put {
                        Some(put) => object.insert(key, put.clone()),
                        None => object.shift_remove(&key),
                    };
                    return;
                }
                *at -= 1;
                if let Some(value) = object.get_mut(&key) {
                    spoil(value, at, put);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| spoil(item, at, put)),
        _ => {}
    }
}

fn put_in_place() -> Vec<Option<Value>> {
    let values = [
        json!(null),
        json!(""),
        json!(-1),
        json!(1e308),
        json!([]),
        json!({}),
        json!([[{}]]),
        json!({ "type": "text" }),
        json!(true),
    ];
    values.into_iter().map(Some).chain([None]).collect()
}

fn try_request(body: Value) {
    let all = quirks(&["openrouter", "document_url"]);
    for quirks in [&[][..], &all] {
        if let Ok(request) = decode_request(body.clone()) {
            drop(encode_request(&request, &target(quirks)));
        }
    }
}

fn try_answer(body: Value) {
    if let Ok(answer) = decode_answer(body) {
        encode_answer(&answer, &names());
    }
}

fn try_stream(chunks: &[Value]) {
    let text: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    let events = events((text + "data: [DONE]\n\n").as_bytes(), 1 << 20);
    drop(collected(&events));
    written(&events, names());
}

#[test]
fn recorded_bodies_with_anything_spoilt_do_no_harm() {
    let mut cases = 0;
    for (n, record) in records("openai.chat").into_iter().enumerate() {
        for (m, put) in put_in_place().iter().enumerate() {
            // A different place in each record, near the front where the shapes are.
            for at in [(n + 7 * m) % 11, (n * 5 + m) % 29] {
                cases += 1;
                let mut request = record.request.clone();
                spoil(&mut request, &mut at.clone(), put.as_ref());
                try_request(request);
                if let Some(mut body) = record.body.clone() {
                    spoil(&mut body, &mut at.clone(), put.as_ref());
                    try_answer(body);
                }
                if let Some(text) = &record.text {
                    let mut chunks: Vec<_> = super::chunks(text.as_bytes()).into_iter().take(9).collect();
                    let which = at % chunks.len().max(1);
                    if let Some(chunk) = chunks.get_mut(which) {
                        spoil(chunk, &mut at.clone(), put.as_ref());
                    }
                    try_stream(&chunks);
                }
            }
        }
    }
    println!("{cases} spoilt exchanges");
}

fn any_json() -> impl Strategy<Value = Value> {
    let words = ["text", "function", "reasoning.text", "data:image/png;base64,x", "a", "", "assistant", "tool", "é"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(words.to_vec()).prop_map(Value::from),
    ];
    let keys = [
        "type",
        "role",
        "content",
        "text",
        "messages",
        "choices",
        "delta",
        "message",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "id",
        "index",
        "reasoning_details",
        "reasoning",
        "annotations",
        "url_citation",
        "audio",
        "images",
        "image_url",
        "url",
        "usage",
        "prompt_tokens",
        "tools",
        "tool_choice",
        "response_format",
        "thinking",
        "error",
        "finish_reason",
        "logprobs",
        "signature",
        "data",
        "refusal",
        "function_call",
        "file",
        "cache_control",
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(keys.to_vec()), inner), 0..7).prop_map(|members| {
                Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_at_all_does_no_harm(body in any_json(), content in any_json(), delta in any_json(), role in prop::sample::select(vec!["user", "assistant", "tool"])) {
        try_request(body.clone());
        try_request(json!({ "messages": [{ "role": role, "tool_call_id": "c", "content": content, "tool_calls": delta, "reasoning_details": delta }] }));
        try_answer(body.clone());
        try_answer(json!({ "choices": [{ "message": delta, "finish_reason": content }] }));
        try_stream(&[json!({ "choices": [{ "delta": delta }] }), body, json!({ "choices": [{ "index": 0, "delta": { "content": content } }, delta] })]);
    }
}
