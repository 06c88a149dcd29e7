//! What Cohere says when it fails: `{"id", "message"}`.

use serde_json::Value;

use crate::chat::{ProviderError, redact};

/// Reads an error body; whatever it is, nothing of it is trusted.
pub fn read_error(_status: u16, body: &[u8]) -> ProviderError {
    serde_json::from_slice::<Value>(body).map(|value| from_value(&value)).unwrap_or_default()
}

pub(super) fn from_value(value: &Value) -> ProviderError {
    let said = ["message", "error", "detail"].iter().find_map(|key| value.get(*key)?.as_str());
    let message = said.filter(|text| !text.is_empty()).map(redact);
    let too_long = message.as_ref().is_some_and(|message| message.starts_with("too many tokens"));
    let code = too_long.then(|| "context_length_exceeded".to_owned());
    ProviderError { message, code, ..ProviderError::default() }
}
