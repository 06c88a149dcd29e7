//! The management and read API: bodies and queries read strictly, answers built from rows. Everything
//! here is pure; `shell::cold` fetches what it needs and authorises before.

pub mod body;
pub mod models;
pub mod query;
pub mod records;
pub mod routes;

use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    ports::AdminResponse,
};

/// The answer to a request that may have failed. The error's context is for the caller to log.
pub fn respond(result: Result<AdminResponse>) -> AdminResponse {
    result.unwrap_or_else(|error| AdminResponse {
        status: error.status(),
        body: json!({ "error": error.to_json(false) }),
    })
}

/// Rewrites an error for OpenRouter's SDKs, which insist on the HTTP status as `code`: the word moves
/// into `metadata`, as [`Error::to_json`] does it.
pub fn with_numeric_code(response: &mut AdminResponse) {
    let Some(error) = response.body.get_mut("error").and_then(Value::as_object_mut) else { return };
    let word = error.insert("code".to_owned(), response.status.into());
    if let (Some(word), Some(metadata)) = (word, error.get_mut("metadata").and_then(Value::as_object_mut)) {
        metadata.insert("code".to_owned(), word);
    }
}

/// Whether the client is one of OpenRouter's own SDKs, by its `User-Agent`.
pub fn wants_numeric_code(user_agent: &str) -> bool {
    user_agent.to_ascii_lowercase().contains("openrouter")
}

/// Reads a request's body: nothing, or JSON.
pub fn read_json(body: &[u8]) -> Result<Option<Value>> {
    if body.is_empty() {
        return Ok(None);
    }
    let refuse = |error: serde_json::Error| {
        Error::new(crate::error::ErrorKind::InvalidRequest, format!("The body is not valid JSON: {error}."))
            .code("invalid_json")
    };
    serde_json::from_slice(body).map(Some).map_err(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewritten_error_is_the_one_that_the_error_itself_writes() {
        let error = Error::invalid("name", "m").code("key_limit_reached").meta("x", 1);
        let mut response = respond(Err(error.clone()));
        assert_eq!(response.body["error"], error.to_json(false));
        with_numeric_code(&mut response);
        assert_eq!((response.status, &response.body["error"]), (400, &error.to_json(true)));
        let mut fine = AdminResponse { status: 200, body: json!({ "data": {} }) };
        with_numeric_code(&mut fine);
        assert_eq!(fine.body, json!({ "data": {} }));
        assert!(
            wants_numeric_code("speakeasy-sdk/typescript 1.3.19 2.8 1.0.0 @openrouter/sdk")
                && !wants_numeric_code("OpenAI/Python 2.1")
        );
    }

    #[test]
    fn bodies_that_are_no_json_are_refused_without_an_echo() {
        let deep = "[".repeat(10_000);
        for bad in [b"{".as_slice(), b"\xff\xfe", b"{} {}", deep.as_bytes()] {
            let error = read_json(bad).unwrap_err();
            assert_eq!((error.status(), error.code), (400, Some("invalid_json")));
        }
        assert_eq!(read_json(b"").unwrap(), None);
        assert_eq!(read_json(b"{}").unwrap(), Some(json!({})));
    }
}
