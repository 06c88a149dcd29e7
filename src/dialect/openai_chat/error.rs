//! What a provider of this dialect says when it fails, in the shapes seen in the wild: OpenAI's
//! `{"error":{"message","type","param","code"}}`, a string instead of the object, `message` or `detail`
//! at the top (FastAPI servers), and a list of one error (Google's compatible endpoint).

use serde_json::Value;

use crate::error::ErrorKind;

/// Longest part of a provider's text that is passed on, in characters.
const MAX_MESSAGE: usize = 600;

/// A provider's error, fit to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderError {
    /// The provider's words, redacted.
    pub message: Option<String>,
    /// The provider's own code.
    pub code: Option<String>,
    /// The field it blames.
    pub param: Option<String>,
    /// The HTTP status it names inside a body.
    pub status: Option<u16>,
}

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

impl ProviderError {
    /// A more exact kind than the status alone gives, where the provider's words tell.
    pub fn kind(&self, by_status: ErrorKind) -> ErrorKind {
        let says = |words: &[&str]| {
            let of = |text: &Option<String>| {
                text.as_ref().is_some_and(|t| words.iter().any(|w| t.to_ascii_lowercase().contains(w)))
            };
            of(&self.code) || of(&self.message)
        };
        if by_status != ErrorKind::InvalidRequest {
            by_status
        } else if says(&["context_length_exceeded", "maximum context length", "context window", "prompt is too long"]) {
            ErrorKind::ContextLength
        } else if says(&["content_policy", "content_filter", "content management policy"]) {
            ErrorKind::ContentPolicy
        } else {
            by_status
        }
    }
}

/// Takes out what may be a secret or an address: words with `://` or `@`, and long words that mix
/// letters and digits as keys do. Control characters become spaces.
pub fn redact(text: &str) -> String {
    let secretive = |word: &str| {
        let core = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let digits = core.chars().any(|c| c.is_ascii_digit());
        let letters = core.chars().any(|c| c.is_ascii_alphabetic());
        word.contains("://")
            || word.contains('@')
            || core.starts_with("sk-")
            || core.len() >= 28 && digits && letters
            || core.contains("***")
    };
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words: Vec<&str> = clean.split(' ').map(|word| if secretive(word) { "[redacted]" } else { word }).collect();
    words.join(" ").chars().take(MAX_MESSAGE).collect()
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

    #[test]
    fn secrets_and_addresses_do_not_pass() {
        let shown = redact(
            "Incorrect API key provided: sk-proj-abc. Ask https://internal.example/x or a@b.c\nor 0123456789abcdef0123456789abcdef",
        );
        for secret in ["sk-proj", "internal.example", "a@b.c", "0123456789abcdef", "\n"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.starts_with("Incorrect API key provided: [redacted]"));
    }

    #[test]
    fn words_tell_a_context_overflow_from_other_bad_requests() {
        let error = read_error(br#"{"error":{"message":"This model's maximum context length is 8192 tokens","code":"context_length_exceeded"}}"#);
        assert_eq!(error.kind(ErrorKind::InvalidRequest), ErrorKind::ContextLength);
        assert_eq!(error.kind(ErrorKind::RateLimited), ErrorKind::RateLimited);
    }
}
