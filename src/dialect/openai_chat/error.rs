//! What a provider of this dialect says when it fails, in the shapes seen in the wild: OpenAI's
//! `{"error":{"message","type","param","code"}}`, a string instead of the object, `message` or `detail`
//! at the top (FastAPI servers), and a list of one error (Google's compatible endpoint).

use serde_json::Value;

use crate::{chat::ProviderError, dialect::openai_common::error_of};

/// Reads an error body; whatever it is, nothing of it is trusted.
pub fn read_error(body: &[u8]) -> ProviderError {
    serde_json::from_slice::<Value>(body).map(|value| error_of(&value)).unwrap_or_default()
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
