//! What a provider of this dialect says when it fails, in the shapes seen in the wild: OpenAI's
//! `{"error":{"message","type","param","code"}}`, a string instead of the object, `message` or `detail`
//! at the top (FastAPI servers), and a list of one error (Google's compatible endpoint).

use serde_json::Value;

use crate::chat::{ProviderError, redact};

/// Reads an error body; whatever it is, nothing of it is trusted.
pub fn read_error(body: &[u8]) -> ProviderError {
    serde_json::from_slice::<Value>(body).map(|value| from_value(&value)).unwrap_or_default()
}

pub(super) fn from_value(value: &Value) -> ProviderError {
    let value = value.get(0).unwrap_or(value);
    let error = value.get("error").unwrap_or(value);
    let text = |key: &str| match error.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let message = match error {
        Value::String(text) => Some(text.clone()),
        _ => text("message").or_else(|| text("detail")),
    };
    let status =
        ["code", "status"].iter().find_map(|key| error.get(*key)?.as_u64()).and_then(|n| u16::try_from(n).ok());
    ProviderError {
        message: message.map(|text| redact(&text)),
        code: text("code").or_else(|| text("type")).map(|text| redact(&text)),
        param: text("param").map(|text| redact(&text)),
        status: status.filter(|status| (400..600).contains(status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_in_every_shape() {
        for (body, message, code, status) in [
            (
                r#"{"error":{"message":"bad","type":"invalid_request_error","param":"x","code":null}}"#,
                Some("bad"),
                Some("invalid_request_error"),
                None,
            ),
            (r#"{"error":{"message":"bad","code":"nope"}}"#, Some("bad"), Some("nope"), None),
            (r#"{"error":{"message":"bad","code":429}}"#, Some("bad"), Some("429"), Some(429)),
            (r#"{"error":"bad"}"#, Some("bad"), None, None),
            (r#"{"detail":"bad"}"#, Some("bad"), None, None),
            (r#"[{"error":{"code":400,"message":"bad","status":"INVALID"}}]"#, Some("bad"), Some("400"), Some(400)),
            ("<html>bad</html>", None, None, None),
            ("", None, None, None),
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
