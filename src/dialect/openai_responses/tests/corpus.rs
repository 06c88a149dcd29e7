//! Recorded requests, whole answers and errors.

use serde_json::{Map, Value, json};

use super::{facts::Facts, names, target};
use crate::dialect::{
    openai_responses::{decode_answer, decode_request, encode_answer, encode_request, read_error},
    testing::records,
};

const DIALECT: &str = "openai.responses";

#[test]
fn recorded_requests_come_out_as_they_went_in() {
    let mut cases = 0;
    for record in records(DIALECT).into_iter().filter(|record| record.request.is_object()) {
        let request = decode_request(record.request.clone()).unwrap_or_else(|e| panic!("{}: {e}", record.name));
        let encoded = encode_request(&request, &target()).unwrap_or_else(|e| panic!("{}: {e}", record.name));
        assert!(encoded.losses.list().is_empty(), "{}: {:?}", record.name, encoded.losses);
        assert_eq!(meaning(encoded.body), meaning(record.request), "{}", record.name);
        cases += 1;
    }
    println!("{cases} requests");
}

/// The same for everything that means the same.
fn meaning(body: Value) -> Value {
    let Value::Object(mut body) = without_null(body) else { panic!("no object") };
    body.remove("model");
    for idle in ["stream", "store", "background"] {
        // `store`: the gateway keeps nothing unless it is told to, as OpenRouter.
        if body.get(idle) == Some(&json!(false)) {
            body.remove(idle);
        }
    }
    if let Some(include) = body.get_mut("include").and_then(Value::as_array_mut) {
        include.sort_by_key(Value::to_string);
    }
    if let Some(older) = body.get_mut("reasoning").and_then(|r| r.as_object_mut()?.remove("generate_summary")) {
        body["reasoning"]["summary"] = older;
    }
    if body.get("text").is_some_and(|text| text == &json!({"format": {"type": "text"}})) {
        body.remove("text");
    }
    for list in ["include", "tools"] {
        if body.get(list).is_some_and(|list| list == &json!([])) {
            body.remove(list);
        }
    }
    let input = match body.remove("input") {
        Some(Value::String(text)) => vec![json!({"role": "user", "content": text})],
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    body.insert("input".to_owned(), input.into_iter().map(meaning_of_item).collect());
    body.into()
}

fn meaning_of_item(item: Value) -> Value {
    let Value::Object(mut item) = item else { return item };
    let kind = item.entry("type").or_insert("message".into()).as_str().unwrap().to_owned();
    if item.get("status").is_some_and(|status| status == "completed")
        && !kind.ends_with("_search_call")
        && !kind.starts_with("tool_search")
    {
        item.remove("status");
    }
    if kind == "reasoning" && item.get("content").is_some_and(|content| content == &json!([])) {
        item.remove("content");
    }
    let words = if item.get("role").is_some_and(|role| role == "assistant") { "output_text" } else { "input_text" };
    for key in ["content", "output"] {
        let parts = match item.get_mut(key) {
            Some(Value::String(text)) => vec![json!({"type": words, "text": text})],
            Some(Value::Array(parts)) => parts.drain(..).map(meaning_of_part).collect(),
            _ => continue,
        };
        item.insert(key.to_owned(), parts.into());
    }
    item.into()
}

fn meaning_of_part(part: Value) -> Value {
    let Value::Object(mut part) = part else { return part };
    part.retain(|key, value| !(matches!(key.as_str(), "annotations" | "logprobs") && value == &json!([])));
    if part["type"] == "input_image" {
        part.entry("detail").or_insert("auto".into());
    }
    part.into()
}

fn without_null(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(_, value)| !value.is_null());
            kept.map(|(key, value)| (key, without_null(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.into_iter().map(without_null).collect(),
        other => other,
    }
}

#[test]
fn recorded_answers_are_read_whole_and_written_whole() {
    let mut cases = 0;
    for record in records(DIALECT).into_iter().filter(|record| record.status == 200) {
        let Some(body) = record.body else { continue };
        let expected = Facts::of_wire(&body);
        let answer = decode_answer(body.clone()).unwrap_or_else(|e| panic!("{}: {e:?}", record.name));
        assert_eq!(Facts::of_answer(&answer), expected, "{}", record.name);
        let written = encode_answer(&answer, &names(record.request));
        assert_eq!(Facts::of_wire(&written), expected, "{}", record.name);
        assert_eq!((&written["id"], &written["usage"]["cost"]), (&json!("gen-1"), &json!(0.5)));
        for key in ["temperature", "tools", "text", "max_output_tokens", "metadata"] {
            assert_eq!(written[key], *body.get(key).unwrap_or(&written[key]), "{}: {key}", record.name);
        }
        for (item, original) in written["output"].as_array().unwrap().iter().zip(body["output"].as_array().unwrap()) {
            assert_eq!(item.get("phase"), original.get("phase"), "{}", record.name);
            assert_eq!(item["id"], *original.get("id").unwrap_or(&item["id"]), "{}", record.name);
        }
        assert_eq!(decode_answer(written).map(|again| Facts::of_answer(&again)).unwrap(), expected, "{}", record.name);
        cases += 1;
    }
    println!("{cases} answers");
}

#[test]
fn recorded_errors_have_a_message() {
    let mut cases = 0;
    for record in records(DIALECT).into_iter().filter(|record| record.status != 200) {
        let body = record.body.unwrap_or_default();
        let error = read_error(record.status, body.to_string().as_bytes());
        assert!(error.message.is_some_and(|message| message.len() > 10), "{}", record.name);
        assert!(error.code.is_some(), "{}", record.name);
        cases += 1;
    }
    println!("{cases} errors");
}
