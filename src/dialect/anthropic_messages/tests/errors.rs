//! Errors, read and written.

use serde_json::{Value, json};

use super::super::*;
use crate::error::{Error, ErrorKind};

#[test]
fn errors_are_read_in_every_shape() {
    for (body, message, code, status) in [
        (
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"},"request_id":"req_1"}"#,
            Some("slow down"),
            Some("rate_limit_error"),
            Some(429),
        ),
        (r#"{"type":"error","error":{"type":"new_error","message":"m"}}"#, Some("m"), Some("new_error"), None),
        (
            r#"{"message":"The provided model identifier is invalid."}"#,
            Some("The provided model identifier is invalid."),
            None,
            None,
        ),
        (r#"{"Message":"m"}"#, Some("m"), None, None),
        (r#"[{"error":{"code":404,"message":"m","status":"NOT_FOUND"}}]"#, Some("m"), Some("NOT_FOUND"), Some(404)),
        (
            r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#,
            Some("m"),
            Some("RESOURCE_EXHAUSTED"),
            Some(429),
        ),
        (r#"{"error":"m"}"#, Some("m"), None, None),
        (
            r#"{"type":"error","error":{"type":"authentication_error","message":"bad sk-ant-1"}}"#,
            Some("bad [redacted]"),
            Some("authentication_error"),
            Some(401),
        ),
        ("<html>", None, None, None),
        ("", None, None, None),
    ] {
        let error = read_error(400, body.as_bytes());
        assert_eq!((error.message.as_deref(), error.code.as_deref(), error.status), (message, code, status), "{body}");
    }
}

#[test]
fn errors_are_written_in_the_formats_words() {
    let words = [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (408, "timeout_error"),
        (409, "invalid_request_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (504, "timeout_error"),
    ];
    for kind in ErrorKind::ALL {
        let error = Error::new(kind, "m");
        let body = write_error(&error);
        assert_eq!(body["type"], "error");
        assert_eq!(body["error"]["error_type"], kind.facts().error_type);
        let word = words.iter().find(|(status, _)| *status == error.status()).map(|(_, word)| *word);
        let word = word.unwrap_or(if kind == ErrorKind::ProviderOverloaded { "overloaded_error" } else { "api_error" });
        assert_eq!(body["error"]["type"], word, "{kind:?}");
        let again = read_error(error.status(), body.to_string().as_bytes());
        assert!(again.message.unwrap().ends_with('m'));
    }
    let error = Error::invalid("n", "no").code("unsupported_parameter").meta("provider_name", "P");
    assert_eq!(
        write_error(&error),
        json!({ "type": "error", "error": { "type": "invalid_request_error", "message": "no",
            "error_type": "invalid_request", "param": "n", "code": "unsupported_parameter",
            "metadata": { "provider_name": "P" } } })
    );
}

#[test]
fn clients_know_an_overlong_prompt_by_its_words() {
    for (says, told) in [
        ("too many tokens", "prompt is too long: too many tokens"),
        ("P said: prompt is too long: 9 > 8", "P said: prompt is too long: 9 > 8"),
    ] {
        let body: Value = write_error(&Error::new(ErrorKind::ContextLength, says));
        assert_eq!(body["error"]["message"], told);
    }
}
