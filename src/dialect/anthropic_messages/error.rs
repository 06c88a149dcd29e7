//! Errors: `{"type":"error","error":{"type","message"},"request_id"}`. Read as well: Bedrock's
//! `{"message"}`, and what Vertex AI says before it asks Claude (`{"error":{"code","message","status"}}`,
//! sometimes in a list).

use serde_json::{Value, json};

use crate::{
    chat::{ProviderError, redact},
    error::{Error, ErrorKind},
};

/// Reads an error body; whatever it is, nothing of it is trusted.
pub fn read_error(_status: u16, body: &[u8]) -> ProviderError {
    serde_json::from_slice::<Value>(body).map(|value| from_value(&value)).unwrap_or_default()
}

/// Reads an error that is JSON already.
pub fn from_value(value: &Value) -> ProviderError {
    let value = value.get(0).unwrap_or(value);
    let error = value.get("error").filter(|error| !error.is_null()).unwrap_or(value);
    let text = |key: &str| match error.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(redact(text)),
        _ => None,
    };
    let message = match error {
        Value::String(text) => Some(redact(text)),
        _ => text("message").or_else(|| text("Message")),
    };
    let code = text("type").filter(|word| word != "error").or_else(|| text("status"));
    let number = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let status = number.filter(|status| (400..600).contains(status));
    ProviderError { status: status.or_else(|| code.as_deref().and_then(status_of)), message, code, param: None }
}

/// The status that goes with a word: errors inside a stream have no other. AWS's exceptions are there
/// for Claude on Bedrock.
pub fn status_of(code: &str) -> Option<u16> {
    Some(match code {
        "invalid_request_error" | "validationException" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" | "accessDeniedException" => 403,
        "not_found_error" | "resourceNotFoundException" => 404,
        "modelTimeoutException" => 408,
        "request_too_large" => 413,
        "rate_limit_error" | "throttlingException" | "serviceQuotaExceededException" => 429,
        "api_error" | "internalServerException" | "modelStreamErrorException" | "modelErrorException" => 500,
        "serviceUnavailableException" | "modelNotReadyException" => 503,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => return None,
    })
}

/// Writes an error for a client of this format, with what OpenRouter adds.
pub fn write_error(error: &Error) -> Value {
    let mut body = json!({
        "type": word(error.kind),
        "message": message(error),
        "error_type": error.kind.facts().error_type,
    });
    if let Value::Object(members) = &mut body {
        if let Some(param) = &error.param {
            members.insert("param".to_owned(), param.as_str().into());
        }
        if let Some(code) = error.code {
            members.insert("code".to_owned(), code.into());
        }
        if !error.metadata.is_empty() {
            members.insert("metadata".to_owned(), Value::Object(Clone::clone(&error.metadata)));
        }
        if let Some(availability) = &error.availability {
            members.insert("availability".to_owned(), availability.clone());
        }
    }
    json!({ "type": "error", "error": body })
}

/// Clients of this format know an overlong prompt by these words, and shorten it.
fn message(error: &Error) -> String {
    const WORDS: &str = "prompt is too long";
    if error.kind == ErrorKind::ContextLength && !error.message.contains(WORDS) {
        return format!("{WORDS}: {}", error.message);
    }
    error.message.clone()
}

fn word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest
        | ErrorKind::ModelNotFound
        | ErrorKind::ContextLength
        | ErrorKind::ContentPolicy
        | ErrorKind::MethodNotAllowed
        | ErrorKind::Conflict => "invalid_request_error",
        ErrorKind::Unauthorized => "authentication_error",
        ErrorKind::PaymentRequired => "billing_error",
        ErrorKind::Forbidden => "permission_error",
        ErrorKind::NotFound | ErrorKind::NoEndpoints => "not_found_error",
        ErrorKind::RequestTimeout | ErrorKind::ProviderTimeout => "timeout_error",
        ErrorKind::PayloadTooLarge => "request_too_large",
        ErrorKind::RateLimited => "rate_limit_error",
        ErrorKind::ProviderOverloaded => "overloaded_error",
        ErrorKind::Internal
        | ErrorKind::ProviderUnavailable
        | ErrorKind::ProviderCredential
        | ErrorKind::StoreUnavailable => "api_error",
    }
}
