//! Items of an answer, and the object around them: what unary answers and streams have in common.

use serde_json::{Value, json};

use super::{
    object::{Members, object},
    seal,
};
use crate::{
    chat::{Finish, FinishReason, Media, MediaSource, Reasoning, ReasoningFormat, ToolCall},
    dialect::Names,
};

/// Name of an item that the gateway makes: the same at every telling of the same answer.
pub(super) fn item_id(prefix: &str, names: &Names, index: usize) -> String {
    format!("{prefix}_{}_{index}", names.id)
}

/// A message of the model's.
pub(super) fn message(id: &str, status: &str, content: Vec<Value>) -> Value {
    object([
        ("id", id.into()),
        ("type", "message".into()),
        ("status", status.into()),
        ("role", "assistant".into()),
        ("content", content.into()),
    ])
}

/// A call of a tool.
pub(super) fn call(call: &ToolCall, id: &str, status: &str) -> Value {
    let ToolCall { id: call_id, name, arguments, signature: _, custom } = call;
    let (kind, input) = call_words(*custom);
    // A call without arguments is one with none: clients parse them.
    let none = arguments.is_empty() && !custom && status == "completed";
    let arguments = if none { "{}" } else { arguments.as_str() };
    json!({"id": id, "type": kind, "status": status, "call_id": call_id, "name": name, input: arguments})
}

/// Name of a call's item, and of what it is given.
pub(super) fn call_words(custom: bool) -> (&'static str, &'static str) {
    if custom { ("custom_tool_call", "input") } else { ("function_call", "arguments") }
}

/// The mark that the maker of a call wants back with it, as an item that clients hand back.
pub(super) fn call_mark(call: &ToolCall, id: &str) -> Option<Value> {
    let sealed = seal::call(call)?;
    let format = ReasoningFormat::Gemini.as_str();
    Some(json!({"id": id, "type": "reasoning", "summary": [], "encrypted_content": sealed, "format": format}))
}

/// Thoughts as a provider takes them back. `named`: it wants to know whose they are (OpenRouter).
pub(super) fn thoughts(reasoning: &Reasoning, named: bool) -> Value {
    let Reasoning { text, summary, signature, encrypted, id, format } = reasoning;
    let mut item = Members::from_iter([("type".to_owned(), "reasoning".into())]);
    let mut set = |key: &str, value: Option<Value>| value.map(|value| item.insert(key.to_owned(), value));
    set("id", id.as_deref().map(Value::from));
    set("summary", Some(summary.iter().map(|text| json!({"type": "summary_text", "text": text})).collect()));
    set("content", text.as_ref().map(|text| json!([{"type": "reasoning_text", "text": text}])));
    set("encrypted_content", encrypted.as_deref().map(Value::from));
    if named {
        set("signature", signature.as_deref().map(Value::from));
        set("format", format.map(|format| format.as_str().into()));
    }
    Value::Object(item)
}

/// Thoughts as a client gets them.
pub(super) fn shown_thoughts(reasoning: &Reasoning, id: &str) -> Members {
    let Value::Object(mut item) = thoughts(reasoning, false) else { return Members::new() };
    item.insert("id".to_owned(), id.into());
    if let Some(sealed) = seal::thoughts(reasoning) {
        item.insert("encrypted_content".to_owned(), sealed.into());
    }
    if let Some(format) = reasoning.format.filter(|format| *format != ReasoningFormat::Openai) {
        item.insert("format".to_owned(), format.as_str().into());
    }
    item
}

/// A medium that the model made. Only images have an item of their own; of sounds the words are told.
pub(super) fn image(media: &Media, id: &str, status: &str) -> Value {
    let result = match &media.source {
        MediaSource::Base64(data) | MediaSource::Url(data) | MediaSource::Text(data) | MediaSource::Id(data) => data,
    };
    json!({"id": id, "type": "image_generation_call", "status": status, "result": result})
}

/// The item that an item of this format's alone is, whether it came whole or in pieces.
pub(super) fn foreign_item(value: &Value) -> &Value {
    match value {
        Value::Array(pieces) => {
            pieces.iter().rev().find_map(|piece| piece.get("item")).or_else(|| pieces.first()).unwrap_or(value)
        }
        whole => whole,
    }
}

/// `status`, `incomplete_details` and `error` of an answer that ended so.
pub(super) fn ending(finish: Option<&Finish>) -> (&'static str, Value, Value) {
    match finish.map(|finish| finish.reason) {
        None | Some(FinishReason::Stop | FinishReason::ToolCalls) => ("completed", Value::Null, Value::Null),
        Some(FinishReason::Length) => ("incomplete", json!({"reason": "max_output_tokens"}), Value::Null),
        Some(FinishReason::ContentFilter) => ("incomplete", json!({"reason": "content_filter"}), Value::Null),
        Some(FinishReason::Error) => {
            ("failed", Value::Null, json!({"code": "server_error", "message": "The provider broke off its answer."}))
        }
    }
}

/// The object around the items, before there are any. The SDKs want the request's members again, and
/// those that were not given as OpenAI fills them in.
pub(super) fn frame(names: &Names, created: Option<i64>) -> Value {
    let asked =
        |key: &str| names.request.as_ref().and_then(|request| request.get(key)).filter(|v| !v.is_null()).cloned();
    let or_null = |key: &str| asked(key).unwrap_or_default();
    let mut reasoning = json!({"effort": null, "summary": null});
    let mut text = json!({"format": {"type": "text"}});
    for (echo, key) in [(&mut reasoning, "reasoning"), (&mut text, "text")] {
        if let (Some(Value::Object(given)), Some(echo)) = (asked(key), echo.as_object_mut()) {
            echo.extend(given.into_iter().filter(|(_, value)| !value.is_null()));
        }
    }
    let mut tools = asked("tools").unwrap_or_else(|| json!([]));
    for tool in tools.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        if tool.get("type").is_some_and(|kind| kind == "function") {
            tool.entry("parameters").or_insert(Value::Null);
            tool.entry("strict").or_insert(Value::Null);
        }
    }
    object([
        ("id", names.id.as_str().into()),
        ("object", "response".into()),
        ("created_at", created.unwrap_or(names.created).into()),
        ("status", "in_progress".into()),
        ("background", false.into()),
        ("completed_at", Value::Null),
        ("error", Value::Null),
        ("frequency_penalty", asked("frequency_penalty").unwrap_or_else(|| 0.into())),
        ("incomplete_details", Value::Null),
        ("instructions", or_null("instructions")),
        ("max_output_tokens", or_null("max_output_tokens")),
        ("max_tool_calls", or_null("max_tool_calls")),
        ("metadata", asked("metadata").unwrap_or_else(|| json!({}))),
        ("model", names.model.as_str().into()),
        ("output", Value::Array(Vec::new())),
        ("parallel_tool_calls", asked("parallel_tool_calls").unwrap_or(Value::Bool(true))),
        ("presence_penalty", asked("presence_penalty").unwrap_or_else(|| 0.into())),
        ("previous_response_id", Value::Null),
        ("prompt_cache_key", or_null("prompt_cache_key")),
        ("provider", names.provider.as_str().into()),
        ("reasoning", reasoning),
        ("safety_identifier", or_null("safety_identifier")),
        ("service_tier", or_null("service_tier")),
        ("store", false.into()),
        ("temperature", or_null("temperature")),
        ("text", text),
        ("tool_choice", asked("tool_choice").unwrap_or_else(|| "auto".into())),
        ("tools", tools),
        ("top_logprobs", asked("top_logprobs").unwrap_or_else(|| 0.into())),
        ("top_p", or_null("top_p")),
        ("truncation", asked("truncation").unwrap_or_else(|| "disabled".into())),
        ("usage", Value::Null),
        ("user", or_null("user")),
    ])
}

/// Sets members of the object around the items.
pub(super) fn set<const N: usize>(response: &mut Value, members: [(&str, Value); N]) {
    if let Some(response) = response.as_object_mut() {
        response.extend(members.into_iter().map(|(key, value)| (key.to_owned(), value)));
    }
}

/// Puts in what only this format knows of the whole answer; what the gateway says of it stays.
pub(super) fn overlay(response: &mut Value, own: &Members, extra: &Members) {
    let Some(response) = response.as_object_mut() else { return };
    for (key, value) in own.iter().filter(|(key, _)| *key != "provider") {
        response.insert(key.clone(), value.clone());
    }
    for (key, value) in extra {
        response.insert(key.clone(), value.clone());
    }
}
