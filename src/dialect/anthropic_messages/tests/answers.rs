//! Answers: of a provider, and for a client.

use serde_json::{Map, Value, json};

use super::{super::*, encoded, names};
use crate::{
    catalog::Tokens,
    chat::{
        Answer, Choice, Citation, Extra, Finish, FinishReason, Media, MediaKind, MediaSource, Part, PartKind,
        Reasoning, ReasoningFormat, ToolCall, Usage, Wire,
    },
    dialect::Names,
};

fn answer(parts: Vec<Part>, finish: Option<Finish>) -> Answer {
    let choice = Choice { parts, finish, logprobs: None, extra: Extra::default() };
    Answer { choices: vec![choice], ..Answer::default() }
}

fn body(members: &Value) -> Value {
    let mut body = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": "end_turn", "stop_sequence": null, "usage": { "input_tokens": 1, "output_tokens": 2 } });
    for (key, value) in members.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

#[test]
fn an_answer_has_its_names_and_its_cost() {
    let cost: Map<String, Value> = [("cost".to_owned(), json!(0.5))].into_iter().collect();
    let extra: Map<String, Value> = [("openrouter_metadata".to_owned(), json!({}))].into_iter().collect();
    let answer = decode_answer(body(&json!({
        "content": [{ "type": "text", "text": "hi" }],
        "container": { "id": "c" },
        "usage": { "input_tokens": 3, "output_tokens": 2, "service_tier": "standard", "odd": 1 },
    })));
    let written = encode_answer(&answer.unwrap(), &Names { cost, extra, ..names() });
    assert_eq!(
        written,
        json!({ "id": "gen-1", "type": "message", "role": "assistant", "model": "a/b", "provider": "P",
            "content": [{ "type": "text", "text": "hi" }], "stop_reason": "end_turn", "stop_sequence": null,
            "container": { "id": "c" },
            "usage": { "input_tokens": 3, "output_tokens": 2, "service_tier": "standard", "odd": 1,
                "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "cost": 0.5 },
            "openrouter_metadata": {} })
    );
}

#[test]
fn how_answers_end() {
    use FinishReason::{ContentFilter, Error, Length, Stop, ToolCalls};
    for (word, reason) in [
        ("end_turn", Stop),
        ("stop_sequence", Stop),
        ("pause_turn", Stop),
        ("compaction", Stop),
        ("from_the_future", Stop),
        ("max_tokens", Length),
        ("model_context_window_exceeded", Length),
        ("tool_use", ToolCalls),
        ("refusal", ContentFilter),
    ] {
        let sequence = if word == "stop_sequence" { json!("x") } else { Value::Null };
        let body = body(&json!({ "stop_reason": word, "stop_sequence": sequence }));
        let answer = decode_answer(body).unwrap();
        let finish = answer.choices[0].finish.clone().unwrap();
        assert_eq!((finish.reason, finish.native.as_deref()), (reason, Some(word)));
        let again = encode_answer(&answer, &names());
        assert_eq!(again["stop_reason"], if word == "from_the_future" { "end_turn" } else { word });
        assert_eq!(again["stop_sequence"], sequence);
    }
    for (reason, native, word) in [
        (Stop, "STOP", json!("end_turn")),
        (Length, "length", json!("max_tokens")),
        (ToolCalls, "STOP", json!("tool_use")),
        (ToolCalls, "end_turn", json!("tool_use")),
        (ContentFilter, "SAFETY", json!("refusal")),
        (Error, "error", Value::Null),
    ] {
        let written = encode_answer(&answer(Vec::new(), Some(Finish::new(reason, native))), &names());
        assert_eq!(written["stop_reason"], word, "{reason:?} {native}");
    }
    let refusal = answer(vec![Part::new(PartKind::Refusal("no".to_owned()))], Some(Finish::new(Stop, "stop")));
    let written = encode_answer(&refusal, &names());
    assert_eq!(written["stop_reason"], "refusal");
    assert_eq!(written["content"], json!([{ "type": "text", "text": "no" }]));
    assert_eq!(encode_answer(&Answer::default(), &names())["stop_reason"], Value::Null);
}

#[test]
fn what_other_formats_say_has_a_form_here() {
    let call = |arguments: &str, custom| {
        let (id, name, arguments) = ("call_1".to_owned(), "f".to_owned(), arguments.to_owned());
        Part::new(PartKind::ToolCall(ToolCall { id, name, arguments, signature: None, custom }))
    };
    let citation = Citation { url: Some("https://e.example".to_owned()), start: Some(0), ..Citation::default() };
    let image = Media {
        kind: MediaKind::Image,
        mime: None,
        source: MediaSource::Base64("/9j/".to_owned()),
        name: None,
        detail: None,
        transcript: None,
    };
    let sound = Media { kind: MediaKind::Audio, transcript: Some("la".to_owned()), ..image.clone() };
    let parts = vec![
        Part::text(""),
        Part::new(PartKind::Text { text: "a".to_owned(), citations: vec![citation, Citation::default()] }),
        call("{\"x\":1}", false),
        call("", false),
        call("[1]", false),
        call("free", true),
        Part::new(PartKind::Media(image)),
        Part::new(PartKind::Media(sound)),
        Part::new(PartKind::Foreign(Wire::OpenaiResponses, json!({ "type": "web_search_call" }))),
    ];
    let uses = |input: Value| json!({ "type": "tool_use", "id": "call_1", "name": "f", "input": input });
    assert_eq!(
        encode_answer(&answer(parts, None), &names())["content"],
        json!([
            { "type": "text", "text": "a", "citations": [{ "type": "web_search_result_location",
                "url": "https://e.example", "title": null, "cited_text": "", "encrypted_index": "" }] },
            uses(json!({ "x": 1 })),
            uses(json!({})),
            uses(json!({ "INVALID_JSON": "[1]" })),
            uses(json!({ "input": "free" })),
            { "type": "image", "source": { "type": "base64", "media_type": "image/jpeg", "data": "/9j/" } },
            { "type": "text", "text": "la" },
        ])
    );
}

#[test]
fn reasoning_of_other_families_passes_through_a_client() {
    let some = |text: &str| Some(text.to_owned());
    let openai = Some(ReasoningFormat::Openai);
    for (reasoning, kind, words) in [
        (Reasoning { text: some("t"), ..Reasoning::default() }, "thinking", json!("t")),
        (
            Reasoning {
                summary: vec!["s".to_owned()],
                encrypted: some("e"),
                id: some("rs_1"),
                format: openai,
                text: None,
                signature: None,
            },
            "thinking",
            json!("s"),
        ),
        (Reasoning { encrypted: some("e"), format: openai, ..Reasoning::default() }, "redacted_thinking", Value::Null),
        (
            Reasoning { signature: some("g"), format: Some(ReasoningFormat::Gemini), ..Reasoning::default() },
            "redacted_thinking",
            Value::Null,
        ),
    ] {
        let parts = vec![Part::new(PartKind::Reasoning(reasoning.clone()))];
        let block = encode_answer(&answer(parts, None), &names())["content"][0].take();
        assert_eq!((&block["type"], &block["thinking"]), (&json!(kind), &words));
        let request = json!({ "messages": [{ "role": "assistant", "content": [block] }] });
        let request = decode_request(request).unwrap();
        let back = Reasoning { format: reasoning.format.or(Some(ReasoningFormat::Unknown)), ..reasoning };
        assert_eq!(request.turns[0].parts[0].kind, PartKind::Reasoning(back));
        assert!(!encoded(&request, &[]).unwrap().losses.list().is_empty(), "it does not go to Anthropic");
    }
    assert_eq!(
        encode_answer(&answer(vec![Part::new(PartKind::Reasoning(Reasoning::default()))], None), &names())["content"],
        json!([])
    );
}

#[test]
fn the_prompt_has_all_its_tokens() {
    let wire = json!({
        "input_tokens": 100, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 500, "output_tokens": 50,
        "cache_creation": { "ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 200 },
        "output_tokens_details": { "thinking_tokens": 20 }, "server_tool_use": { "web_search_requests": 2, "web_fetch_requests": 0 },
    });
    let usage = decode_answer(body(&json!({ "usage": wire.clone() }))).unwrap().usage.unwrap();
    let tokens = Tokens {
        prompt: 1600,
        completion: 50,
        cached: 1000,
        cache_write: 500,
        cache_write_1h: 200,
        reasoning: 20,
        web_searches: 2,
        ..Tokens::default()
    };
    assert_eq!(usage.tokens, tokens);
    let foreign = Usage { native: None, ..usage };
    let again = encode_answer(&Answer { usage: Some(foreign), ..Answer::default() }, &names())["usage"].take();
    assert_eq!(again, wire);

    let compacted = json!({ "input_tokens": 5, "output_tokens": 1, "iterations": [
        { "type": "compaction", "input_tokens": 100, "output_tokens": 10 },
        { "type": "message", "input_tokens": 5, "output_tokens": 1 },
    ]});
    let usage = decode_answer(body(&json!({ "usage": compacted }))).unwrap().usage.unwrap();
    assert_eq!((usage.tokens.prompt, usage.tokens.completion), (105, 11));
}

#[test]
fn usage_that_cannot_be_meant_is_none() {
    for usage in [
        json!(null),
        json!({}),
        json!([]),
        json!({ "input_tokens": -1, "output_tokens": 1 }),
        json!({ "input_tokens": 1.5, "output_tokens": 1 }),
        json!({ "input_tokens": "1", "output_tokens": 1 }),
        json!({ "input_tokens": 100_000_001, "output_tokens": 1 }),
        json!({ "input_tokens": 1, "output_tokens": 1, "cache_creation": { "ephemeral_1h_input_tokens": -1 } }),
    ] {
        assert_eq!(decode_answer(body(&json!({ "usage": usage }))).unwrap().usage, None, "{usage}");
    }
    let written = encode_answer(&Answer::default(), &names())["usage"].take();
    assert_eq!((&written["input_tokens"], &written["output_tokens"]), (&json!(0), &json!(0)));
}

#[test]
fn what_is_no_answer_is_an_error() {
    for (wrong, message) in [
        (json!("<html>"), None),
        (json!({}), None),
        (json!({ "content": "text" }), None),
        (json!({ "content": [{}] }), None),
        (json!({ "content": [{ "type": "tool_use" }] }), None),
        (json!({ "type": "error", "error": { "type": "overloaded_error", "message": "busy" } }), Some("busy")),
    ] {
        assert_eq!(decode_answer(wrong).unwrap_err().message.as_deref(), message);
    }
    assert!(decode_count(&json!({})).is_err());
}
