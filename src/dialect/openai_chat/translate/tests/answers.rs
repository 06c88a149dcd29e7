//! Answers of our own, both ways.

use serde_json::{Value, json};

use super::{super::*, names};
use crate::{
    chat::{
        Answer, Choice, Citation, Extra, Finish, FinishReason, MediaKind, MediaSource, Part, PartKind, Reasoning,
        ReasoningFormat, ToolCall, Usage,
    },
    dialect::Names,
};

fn choice(parts: Vec<Part>) -> Choice {
    Choice { parts, finish: None, logprobs: None, extra: Extra::default() }
}

fn shown(parts: Vec<Part>, names: &Names) -> Value {
    let answer = Answer { choices: vec![choice(parts)], ..Answer::default() };
    encode_answer(&answer, names)["choices"][0]["message"].clone()
}

fn call(id: &str, signature: Option<&str>) -> Part {
    Part::new(PartKind::ToolCall(ToolCall {
        id: id.to_owned(),
        name: "f".to_owned(),
        arguments: "{}".to_owned(),
        signature: signature.map(str::to_owned),
        custom: false,
    }))
}

#[test]
fn an_answer_with_everything_comes_back_as_it_was() {
    let body = json!({
        "id": "x", "object": "chat.completion", "created": 5, "model": "m", "provider": "Q", "service_tier": "flex", "system_fingerprint": "fp",
        "choices": [{ "index": 0, "finish_reason": "tool_calls", "native_finish_reason": "STOP", "odd": 1, "logprobs": { "content": [{ "token": "a" }], "refusal": null },
            "message": { "role": "assistant", "content": "see", "refusal": null, "strange": true, "reasoning": "hm",
                "reasoning_details": [
                    { "type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1", "index": 0 },
                    { "type": "reasoning.encrypted", "data": "mark", "format": "google-gemini-v1", "id": "c1", "index": 1 }],
                "annotations": [{ "type": "url_citation", "url_citation": { "url": "u", "title": "t", "start_index": 1, "end_index": 3, "content": "c" } }],
                "images": [{ "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBO" } }],
                "tool_calls": [{ "index": 0, "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{}" } }] } }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "prompt_tokens_details": { "cached_tokens": 1 } },
    });
    let answer = decode_answer(body.clone()).unwrap();
    assert_eq!(
        (answer.id.as_deref(), answer.service_tier.as_deref(), answer.created),
        (Some("x"), Some("flex"), Some(5))
    );
    assert_eq!(answer.choices[0].parts.len(), 4, "{:?}", answer.choices[0].parts);
    assert_eq!(answer.choices[0].finish, Some(Finish::new(FinishReason::ToolCalls, "STOP")));
    let cost = json!({ "cost": 0.5 }).as_object().unwrap().clone();
    let back = encode_answer(&answer, &Names { cost, ..names() });
    let mut expected = body;
    (expected["id"], expected["model"], expected["provider"]) = (json!("gen-1"), json!("a/b"), json!("P"));
    expected["usage"]["cost"] = json!(0.5);
    expected["usage"]["completion_tokens_details"] =
        json!({ "reasoning_tokens": 0, "audio_tokens": 0, "image_tokens": 0 });
    assert_eq!(back, expected);
}

#[test]
fn what_is_no_answer_is_told_apart() {
    for (body, message) in [
        (json!([]), None),
        (json!({}), None),
        (json!({ "choices": [] }), None),
        (json!({ "choices": [1] }), None),
        (json!({ "choices": [{ "finish_reason": "stop" }] }), None),
        (json!({ "choices": [{ "message": "hi" }] }), None),
        (json!({ "error": { "message": "no", "code": 429 } }), Some("no")),
        (json!({ "error": "no" }), Some("no")),
    ] {
        assert_eq!(decode_answer(body.clone()).unwrap_err().message.as_deref(), message, "{body}");
    }
}

#[test]
fn an_answer_may_be_silent_or_break_midway() {
    let answer =
        decode_answer(json!({ "choices": [{ "message": { "content": null }, "finish_reason": "stop" }] })).unwrap();
    assert_eq!(
        answer.choices,
        [Choice { finish: Some(Finish::new(FinishReason::Stop, "stop")), ..choice(Vec::new()) }]
    );
    let broken =
        json!({ "choices": [{ "message": { "content": "a" }, "finish_reason": "stop", "error": { "message": "x" } }] });
    let finish = decode_answer(broken).unwrap().choices[0].finish.clone().unwrap();
    assert_eq!(finish.reason, FinishReason::Error);
}

#[test]
fn citations_move_with_their_text() {
    let cited = |text: &str, start, end| {
        let citation =
            Citation { url: Some("u".to_owned()), start: Some(start), end: Some(end), ..Citation::default() };
        Part::new(PartKind::Text { text: text.to_owned(), citations: vec![citation] })
    };
    let message = shown(vec![cited("é1", 0, 2), cited("22", 1, 2)], &names());
    assert_eq!(message["content"], "é122");
    let places: Vec<_> = message["annotations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["url_citation"]["start_index"].as_u64(), a["url_citation"]["end_index"].as_u64()))
        .collect();
    assert_eq!(places, [(Some(0), Some(2)), (Some(3), Some(4))]);
}

#[test]
fn thoughts_of_every_kind_are_listed_and_hidden_where_that_was_asked() {
    let thought = Reasoning {
        summary: vec!["a".to_owned(), "b".to_owned()],
        encrypted: Some("e".to_owned()),
        id: Some("rs".to_owned()),
        format: Some(ReasoningFormat::Openai),
        ..Reasoning::default()
    };
    let parts = vec![Part::new(PartKind::Reasoning(thought)), call("c", Some("mark"))];
    let message = shown(parts.clone(), &names());
    assert_eq!(message["reasoning"], "a\n\nb");
    let kinds: Vec<_> = message["reasoning_details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| (d["type"].as_str().unwrap(), d["index"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        kinds,
        [("reasoning.summary", 0), ("reasoning.summary", 1), ("reasoning.encrypted", 2), ("reasoning.encrypted", 3)]
    );
    let back = decode_answer(json!({ "choices": [{ "message": message }] })).unwrap();
    assert_eq!(back.choices[0].parts, parts);
    for request in [json!({ "reasoning": { "exclude": true } }), json!({ "include_reasoning": false })] {
        let message = shown(parts.clone(), &Names { request: Some(request), ..names() });
        assert_eq!((&message["reasoning"], message["reasoning_details"].as_array().unwrap().len()), (&Value::Null, 1));
    }
}

#[test]
fn a_client_of_old_gets_a_function_call() {
    let request = json!({ "functions": [{ "name": "f" }] });
    let names = Names { request: Some(request), ..names() };
    let finish = Some(Finish::new(FinishReason::ToolCalls, "tool_use"));
    let answer = Answer { choices: vec![Choice { finish, ..choice(vec![call("c", None)]) }], ..Answer::default() };
    let body = encode_answer(&answer, &names);
    assert_eq!(body["choices"][0]["message"]["function_call"], json!({ "name": "f", "arguments": "{}" }));
    assert_eq!(
        (&body["choices"][0]["finish_reason"], &body["choices"][0]["native_finish_reason"]),
        (&json!("function_call"), &json!("tool_use"))
    );
}

#[test]
fn media_and_refusals_have_their_members() {
    let media = |kind, transcript: Option<&str>| {
        let medium = media::medium(kind, Some("image/jpeg".to_owned()), MediaSource::Base64("/9j/".to_owned()));
        Part::new(PartKind::Media(crate::chat::Media { transcript: transcript.map(str::to_owned), ..medium }))
    };
    let message = shown(
        vec![
            Part::new(PartKind::Refusal("no".to_owned())),
            media(MediaKind::Image, None),
            media(MediaKind::Audio, Some("la")),
        ],
        &names(),
    );
    assert_eq!((&message["refusal"], &message["content"]), (&json!("no"), &Value::Null));
    assert_eq!(message["images"][0]["image_url"]["url"], "data:image/jpeg;base64,/9j/");
    assert_eq!((&message["audio"]["data"], &message["audio"]["transcript"]), (&json!("/9j/"), &json!("la")));
}

#[test]
fn an_answer_without_usage_has_none() {
    let answer = Answer { choices: vec![choice(vec![Part::text("a")])], ..Answer::default() };
    assert_eq!(encode_answer(&answer, &names()).get("usage"), None);
    let answer = Answer { usage: Some(Usage::default()), ..answer };
    assert_eq!(encode_answer(&answer, &names())["usage"]["total_tokens"], 0);
}
