//! Google's errors, both ways: `{"error":{"code","message","status","details"}}`, or a list of one such
//! object (streams without `alt=sse`).
//!
//! `status` is a word of gRPC, `details` are typed: `ErrorInfo.reason` is the most exact word for the
//! cause, `RetryInfo.retryDelay` says when to come again, `BadRequest.fieldViolations` which field is at
//! fault.

use serde_json::{Map, Value, json};

use crate::{
    chat::{ProviderError, redact},
    error::{Error, ErrorKind},
};

/// Reads an error body; whatever it is, nothing of it is trusted.
pub fn read_error(status: u16, body: &[u8]) -> ProviderError {
    serde_json::from_slice::<Value>(body).map(|value| from_value(&value, Some(status))).unwrap_or_default()
}

pub(super) fn from_value(value: &Value, status: Option<u16>) -> ProviderError {
    let value = value.get(0).unwrap_or(value);
    let Some(error) = value.get("error") else { return ProviderError::default() };
    let text = |key: &str| error.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let message = match error {
        Value::String(text) => Some(text.as_str()),
        _ => text("message"),
    };
    let reason = detail(error, "ErrorInfo").and_then(|info| info.get("reason")?.as_str());
    let field = detail(error, "BadRequest").and_then(|bad| bad.get("fieldViolations")?.get(0)?.get("field")?.as_str());
    let own = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let status = own.or(status).filter(|status| (400..600).contains(status));
    // Google has no word for a prompt that is too long, and 400 for a key that is none.
    let too_long = message.is_some_and(|text| text.contains("exceeds the maximum number of tokens"));
    let bad_key = matches!(reason, Some("API_KEY_INVALID" | "API_KEY_EXPIRED" | "API_KEY_SERVICE_BLOCKED"));
    ProviderError {
        message: message.map(redact),
        code: if too_long { Some("context_length_exceeded".to_owned()) } else { reason.or(text("status")).map(redact) },
        param: field.map(redact),
        status: if bad_key { Some(401) } else { status },
    }
}

fn detail<'e>(error: &'e Value, kind: &str) -> Option<&'e Value> {
    let is = |detail: &&Value| {
        let name = detail.get("@type").and_then(Value::as_str).unwrap_or_default();
        name.strip_prefix("type.googleapis.com/google.rpc.") == Some(kind)
    };
    error.get("details")?.as_array()?.iter().find(is)
}

/// Seconds after which Google says that another try may help, rounded up; for when no `retry-after`
/// header came.
pub fn retry_after_s(body: &[u8]) -> Option<u32> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let value = value.get(0).unwrap_or(&value);
    let delay = detail(value.get("error")?, "RetryInfo")?.get("retryDelay")?.as_str()?.strip_suffix('s')?;
    let (whole, fraction) = delay.split_once('.').unwrap_or((delay, ""));
    let more = fraction.bytes().any(|digit| digit != b'0');
    whole.parse::<u32>().ok()?.checked_add(u32::from(more))
}

/// An error as a client of this format reads it.
pub fn write_error(error: &Error) -> Value {
    let facts = error.kind.facts();
    let code = error.code.unwrap_or(facts.code);
    let mut info = Map::clone(&error.metadata);
    info.insert("error_type".to_owned(), facts.error_type.into());
    info.insert("code".to_owned(), code.into());
    // `metadata` of an ErrorInfo holds text alone.
    for value in info.values_mut().filter(|value| !value.is_string()) {
        *value = value.to_string().into();
    }
    let reason = code.to_ascii_uppercase();
    let mut details = vec![json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "sluice",
        "metadata": info,
    })];
    if let Some(param) = &error.param {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{ "field": param, "description": error.message }],
        }));
    }
    if let Some(seconds) = error.retry_after_s {
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{seconds}s"),
        }));
    }
    json!({
        "error": { "code": facts.status, "message": error.message, "status": status_word(error.kind), "details": details }
    })
}

/// The word of gRPC for it.
fn status_word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest
        | ErrorKind::ModelNotFound
        | ErrorKind::ContextLength
        | ErrorKind::ContentPolicy
        | ErrorKind::PayloadTooLarge => "INVALID_ARGUMENT",
        ErrorKind::Unauthorized => "UNAUTHENTICATED",
        ErrorKind::PaymentRequired => "FAILED_PRECONDITION",
        ErrorKind::Forbidden => "PERMISSION_DENIED",
        ErrorKind::NotFound | ErrorKind::NoEndpoints => "NOT_FOUND",
        ErrorKind::MethodNotAllowed => "UNIMPLEMENTED",
        ErrorKind::RequestTimeout | ErrorKind::ProviderTimeout => "DEADLINE_EXCEEDED",
        ErrorKind::Conflict => "ABORTED",
        ErrorKind::RateLimited => "RESOURCE_EXHAUSTED",
        ErrorKind::Internal => "INTERNAL",
        ErrorKind::ProviderUnavailable
        | ErrorKind::ProviderCredential
        | ErrorKind::StoreUnavailable
        | ErrorKind::ProviderOverloaded => "UNAVAILABLE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_in_every_shape() {
        for (body, message, code, status) in [
            (
                r#"{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}"#,
                Some("bad"),
                Some("INVALID_ARGUMENT"),
                Some(400),
            ),
            (
                r#"[{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED"}}]"#,
                Some("slow"),
                Some("RESOURCE_EXHAUSTED"),
                Some(429),
            ),
            (
                r#"{"error":{"code":400,"message":"no key","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#,
                Some("no key"),
                Some("API_KEY_INVALID"),
                Some(401),
            ),
            (
                r#"{"error":{"code":400,"message":"The input token count (9) exceeds the maximum number of tokens allowed (8).","status":"INVALID_ARGUMENT"}}"#,
                Some("The input token count (9) exceeds the maximum number of tokens allowed (8)."),
                Some("context_length_exceeded"),
                Some(400),
            ),
            ("<html>bad</html>", None, None, None),
            ("", None, None, None),
        ] {
            let error = read_error(400, body.as_bytes());
            let read = (error.message.as_deref(), error.code.as_deref(), error.status);
            assert_eq!(read, (message, code, status), "{body}");
        }
    }

    #[test]
    fn when_to_come_again_is_rounded_up() {
        let body = |delay: &str| {
            format!(
                r#"{{"error":{{"details":[{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{delay}"}}]}}}}"#
            )
        };
        for (delay, seconds) in [("34.4s", Some(35)), ("7s", Some(7)), ("2.000s", Some(2)), ("soon", None)] {
            assert_eq!(retry_after_s(body(delay).as_bytes()), seconds, "{delay}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for kind in ErrorKind::ALL {
            let error = Error::new(kind, "words").param("contents").retry_after(Some(3)).meta("limit", 5);
            let body = write_error(&error).to_string();
            let read = read_error(500, body.as_bytes());
            assert_eq!(read.message.as_deref(), Some("words"));
            assert_eq!(read.status, Some(error.status()));
            assert_eq!(read.param.as_deref(), Some("contents"));
            assert_eq!(retry_after_s(body.as_bytes()), Some(3));
        }
    }
}
