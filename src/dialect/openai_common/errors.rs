//! What a provider of these formats says when it fails, and how the gateway says it to a client.
//!
//! Read: OpenAI's `{"error":{"message","type","param","code"}}`, a string instead of the object, `message`
//! or `detail` at the top (Mistral, FastAPI servers, where `detail` may be a list of `{msg, loc}`), a list
//! of one error (Google's compatible endpoint), and plain text. Markup is not passed on.

use serde_json::{Value, json};

use crate::{
    chat::{ProviderError, redact},
    dialect::Names,
    error::Error,
};

/// Reads an error body; whatever it is, nothing of it is trusted.
pub fn read_error(body: &[u8]) -> ProviderError {
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        return error_of(&value);
    }
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    // What was to be JSON or events is no text, and may be a part of an answer.
    let is_text = !text.starts_with(['{', '[']) && !text.starts_with("data:") && !text.starts_with("event:");
    ProviderError { message: words(text).filter(|_| is_text), ..ProviderError::default() }
}

/// The same, of a body or of an `error` member's envelope.
pub fn error_of(value: &Value) -> ProviderError {
    let value = value.get(0).unwrap_or(value);
    let error = value.get("error").filter(|error| !error.is_null()).unwrap_or(value);
    let text = |key: &str| match error.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let message = match error {
        Value::String(text) => words(text),
        _ => ["message", "detail", "msg"].iter().find_map(|key| message_in(error.get(*key)?)),
    };
    let status = ["code", "status", "status_code", "raw_status_code"].iter().find_map(|key| error.get(*key)?.as_u64());
    ProviderError {
        message,
        code: text("code").or_else(|| text("type")).map(|text| redact(&text)),
        param: text("param").map(|text| redact(&text)),
        status: status.and_then(|status| u16::try_from(status).ok()).filter(|status| (400..600).contains(status)),
    }
}

/// A message is words; where it is an object or a list, the first words in it.
fn message_in(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => words(text),
        Value::Array(items) => items.iter().find_map(message_in),
        Value::Object(object) => ["message", "msg", "detail"].iter().find_map(|key| message_in(object.get(*key)?)),
        _ => None,
    }
}

fn words(text: &str) -> Option<String> {
    (!text.is_empty() && !text.starts_with('<')).then(|| redact(text))
}

/// The body of an error answer.
pub fn write_error(error: &Error) -> Value {
    json!({ "error": error.to_json(false) })
}

/// The chunk that ends a stream which broke, in OpenRouter's shape: `choice` is its only choice.
pub fn error_chunk(names: &Names, object: &str, created: i64, error: &Error, choice: &Value) -> Value {
    let mut shown = error.to_json(true);
    if let Some(metadata) = shown.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("provider_name".to_owned(), names.provider.clone().into());
    }
    json!({
        "id": names.id,
        "object": object,
        "created": created,
        "model": names.model,
        "provider": names.provider,
        "error": shown,
        "choices": [choice],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_in_every_shape() {
        for (body, message, code, status) in [
            (r#"{"error":{"message":"bad","type":"t","param":"x","code":null}}"#, Some("bad"), Some("t"), None),
            (r#"{"error":{"message":"bad","code":429}}"#, Some("bad"), Some("429"), Some(429)),
            (r#"{"error":"bad"}"#, Some("bad"), None, None),
            (r#"{"detail":"bad"}"#, Some("bad"), None, None),
            (r#"{"detail":[{"loc":["body"],"msg":"bad"}]}"#, Some("bad"), None, None),
            (
                r#"{"object":"error","message":{"detail":[{"msg":"bad"}]},"type":"t","raw_status_code":422}"#,
                Some("bad"),
                Some("t"),
                Some(422),
            ),
            (r#"[{"error":{"code":400,"message":"bad","status":"INVALID"}}]"#, Some("bad"), Some("400"), Some(400)),
            ("no such model", Some("no such model"), None, None),
            ("<html>bad</html>", None, None, None),
            ("", None, None, None),
            ("null", None, None, None),
        ] {
            let error = read_error(body.as_bytes());
            assert_eq!(
                (error.message.as_deref(), error.code.as_deref(), error.status),
                (message, code, status),
                "{body}"
            );
        }
    }
}
