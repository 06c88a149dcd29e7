//! What Bedrock says when it fails: `{"message"}`, with the exception's name in a header
//! (`x-amzn-errortype`), in `__type`, or as the name of a stream's message.

use serde_json::Value;

use crate::chat::{ProviderError, redact};

/// Reads an error body; whatever it is, nothing of it is trusted.
pub fn read_error(_status: u16, body: &[u8]) -> ProviderError {
    serde_json::from_slice::<Value>(body).map(|value| from_value(&value, None)).unwrap_or_default()
}

/// The exceptions of a stream, by the first letters of their names in both spellings.
const STATUS: &[(&str, u16)] = &[
    ("validation", 400),
    ("accessdenied", 403),
    ("resourcenotfound", 404),
    ("modeltimeout", 408),
    ("modelerror", 424),
    ("modelstreamerror", 424),
    ("throttling", 429),
    ("modelnotready", 429),
    ("servicequota", 400),
    ("internal", 500),
    ("serviceunavailable", 503),
];

/// Of a body, or of a stream's message of that name.
pub(super) fn from_value(value: &Value, name: Option<&str>) -> ProviderError {
    let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let message = text("message").or_else(|| text("Message")).or_else(|| text("originalMessage"));
    let message = message.map(redact);
    let kind = name.or_else(|| text("__type")).map(|kind| kind.rsplit('#').next().unwrap_or(kind));
    let word = kind.unwrap_or_default().to_ascii_lowercase();
    let status = STATUS.iter().find(|(start, _)| word.starts_with(start)).map(|(_, status)| *status);
    let too_long = message.as_ref().is_some_and(|message| {
        ["Input is too long", "exceeds the maximum number of tokens", "input tokens exceed"]
            .iter()
            .any(|words| message.contains(words))
    });
    let code = if too_long { Some("context_length_exceeded".to_owned()) } else { kind.map(redact) };
    ProviderError { message, code, param: None, status }
}
