//! What providers of this format say when they fail, and what clients of it are told.
//!
//! `{"error":{"message","type","param","code"}}` as everywhere at OpenAI; xAI has a string for `error` and
//! `code` beside it; an `error` event of a stream has the same object or its members at the top.

use serde_json::{Value, json};

use crate::{
    chat::{ProviderError, redact},
    error::{Error, ErrorKind},
};

/// Reads an error body; whatever it is, nothing of it is trusted. The status tells nothing that the
/// caller does not know.
pub fn read_error(_status: u16, body: &[u8]) -> ProviderError {
    serde_json::from_slice::<Value>(body).map(|value| from_value(&value)).unwrap_or_default()
}

/// Reads an object that holds an error, or is one.
pub(super) fn from_value(value: &Value) -> ProviderError {
    let value = value.get(0).unwrap_or(value);
    let error = value.get("error").filter(|error| !error.is_null()).unwrap_or(value);
    let text = |key: &str| match error.get(key).or_else(|| value.get(key)) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let message = match error {
        Value::String(text) => Some(text.clone()),
        _ => text("message").or_else(|| text("detail")),
    };
    let kind = || text("type").filter(|kind| kind != "error");
    let status =
        ["code", "status"].iter().find_map(|key| error.get(*key)?.as_u64()).and_then(|n| u16::try_from(n).ok());
    ProviderError {
        message: message.map(|text| redact(&text)),
        code: text("code").or_else(kind).map(|text| redact(&text)),
        param: text("param").map(|text| redact(&text)),
        status: status.filter(|status| (400..600).contains(status)),
    }
}

/// The whole body for a client: OpenAI's envelope, with OpenRouter's word at the top.
pub fn write_error(error: &Error) -> Value {
    json!({"error": error.to_json(false), "error_type": error.kind.facts().error_type})
}

/// `response.error` of an answer that broke off: its codes are a closed list.
pub(super) fn response_error(error: &Error) -> Value {
    let code = match error.kind {
        ErrorKind::RateLimited => "rate_limit_exceeded",
        ErrorKind::ContextLength | ErrorKind::InvalidRequest => "invalid_prompt",
        ErrorKind::ContentPolicy => "image_content_policy_violation",
        _ => "server_error",
    };
    json!({"code": code, "message": error.message})
}
