//! Tables of requests: as the client sent them, and as the provider gets them.

use serde_json::{Value, json};

use super::super::testing::Wire;
use crate::{
    catalog::{Endpoint, Provider},
    dialect::{anthropic_messages, gemini, openai_completions, openai_responses},
    error::Result,
    framing::{
        edit::{Edit, apply},
        json::scan_object,
    },
};

fn sent(wire: Wire, body: &Value, stream: bool, quirks: &[&str], longest: Option<u64>) -> Value {
    let text = body.to_string();
    let edits = edits(wire, &text, stream, quirks, longest).unwrap();
    serde_json::from_slice(&apply(text.as_bytes(), &edits)).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn edits(wire: Wire, text: &str, stream: bool, quirks: &[&str], longest: Option<u64>) -> Result<Vec<Edit>> {
    let endpoint: Endpoint =
        serde_json::from_value(json!({"provider": "p", "upstream_model": "m-1", "max_completion_tokens": 900}))
            .unwrap();
    let provider: Provider = serde_json::from_value(
        json!({"slug": "p", "name": "P", "dialect": "openai", "base_url": "https://p.example", "quirks": quirks}),
    )
    .unwrap();
    let object = scan_object(text.as_bytes()).unwrap();
    let edits = match wire {
        Wire::Anthropic => anthropic_messages::passing::outbound_edits,
        Wire::Responses => openai_responses::passing::outbound_edits,
        Wire::Gemini => gemini::passing::outbound_edits,
        Wire::Completions => openai_completions::passing::outbound_edits,
        Wire::Chat => unreachable!("its requests are read by its own parser"),
    };
    edits(&object, stream, &endpoint, &provider, longest)
}

#[test]
fn what_is_given_twice_is_refused() {
    for (wire, text, field) in [
        (Wire::Anthropic, r#"{"max_tokens":1,"messages":[],"max_tokens":9}"#, "max_tokens"),
        (
            Wire::Anthropic,
            r#"{"max_tokens":9,"thinking":{"budget_tokens":2,"budget_tokens":9}}"#,
            "thinking.budget_tokens",
        ),
        (Wire::Responses, r#"{"model":"a","mod\u0065l":"b"}"#, "model"),
        (Wire::Gemini, r#"{"generationConfig":{},"generation_config":{}}"#, "generation_config"),
        (
            Wire::Gemini,
            r#"{"generationConfig":{"max_output_tokens":1,"maxOutputTokens":9}}"#,
            "generationConfig.maxOutputTokens",
        ),
        (Wire::Completions, r#"{"prompt":"a","prompt":"b"}"#, "prompt"),
    ] {
        let error = edits(wire, text, false, &[], Some(5)).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(field), "{wire:?}");
    }
}

#[test]
fn requests_lose_what_is_the_gateways_and_keep_what_is_the_formats() {
    for (wire, quirks, longest, body, expected) in [
        (
            Wire::Anthropic,
            &[][..],
            Some(50),
            json!({"provider": {}, "model": "a/b", "max_tokens": 100, "x": 1.5, "metadata": {"user_id": "u"}, "user": "v", "usage": {"include": true}, "models": ["c"], "tags": [], "session_id": "s"}),
            json!({"model": "m-1", "max_tokens": 50, "x": 1.5, "metadata": {"user_id": "u"}}),
        ),
        (
            Wire::Anthropic,
            &[],
            Some(100),
            json!({"model": "a", "max_tokens": 100}),
            json!({"model": "m-1", "max_tokens": 100}),
        ),
        (Wire::Anthropic, &[], None, json!({"model": "a"}), json!({"model": "m-1", "max_tokens": 900})),
        (
            Wire::Anthropic,
            &[],
            Some(2000),
            json!({"model": "a", "max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 5000}}),
            json!({"model": "m-1", "max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1900}}),
        ),
        (
            Wire::Anthropic,
            &[],
            Some(1000),
            json!({"thinking": {"type": "enabled", "budget_tokens": 5000}, "model": "a", "max_tokens": 9000}),
            json!({"model": "m-1", "max_tokens": 1000}),
        ),
        (
            Wire::Anthropic,
            &["vertex"],
            None,
            json!({"model": "a", "max_tokens": 1, "stream": true}),
            json!({"max_tokens": 1, "stream": true, "anthropic_version": "vertex-2023-10-16"}),
        ),
        (
            Wire::Responses,
            &[],
            Some(20),
            json!({"model": "a", "input": "x", "metadata": {"k": "v"}, "user": "u", "trace": {}, "plugins": [], "preset": null}),
            json!({"model": "m-1", "input": "x", "metadata": {"k": "v"}, "user": "u", "max_output_tokens": 20, "store": false}),
        ),
        (
            Wire::Responses,
            &[],
            Some(20),
            json!({"model": "a", "store": true, "max_output_tokens": 30}),
            json!({"model": "m-1", "store": true, "max_output_tokens": 20}),
        ),
        (
            Wire::Responses,
            &["openrouter"],
            None,
            json!({"model": "a", "previous_response_id": "r", "plugins": [1], "route": "fallback", "store": null}),
            json!({"model": "m-1", "previous_response_id": "r", "plugins": [1], "store": null}),
        ),
        (
            Wire::Gemini,
            &[],
            Some(7),
            json!({"model": "models/g", "contents": [], "provider": {}, "labels": {"a": "b"}, "generationConfig": {"maxOutputTokens": "9", "topK": 1}}),
            json!({"contents": [], "labels": {"a": "b"}, "generationConfig": {"maxOutputTokens": 7, "topK": 1}}),
        ),
        (
            Wire::Gemini,
            &[],
            Some(7),
            json!({"contents": [], "generation_config": {"max_output_tokens": 5}}),
            json!({"contents": [], "generation_config": {"max_output_tokens": 5}}),
        ),
        (
            Wire::Gemini,
            &[],
            Some(7),
            json!({"contents": []}),
            json!({"contents": [], "generationConfig": {"maxOutputTokens": 7}}),
        ),
        (
            Wire::Completions,
            &[],
            Some(7),
            json!({"model": "a", "prompt": "x", "max_completion_tokens": 9, "debug": {}, "logprobs": 2}),
            json!({"model": "m-1", "prompt": "x", "logprobs": 2, "max_tokens": 7, "stream_options": {"include_usage": true}}),
        ),
        (
            Wire::Completions,
            &["random_seed", "no_stream_options"],
            None,
            json!({"model": "a", "max_completion_tokens": 9, "seed": 3, "stream_options": {}}),
            json!({"model": "m-1", "max_tokens": 9, "random_seed": 3}),
        ),
    ] {
        assert_eq!(sent(wire, &body, wire == Wire::Completions, quirks, longest), expected, "{wire:?}: {body}");
    }
}
