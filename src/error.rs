//! The one error type, and the one table that says what each kind means to a client.
//!
//! | kind | status | `type` | `error_type` (OpenRouter's) | blame |
//! |---|---|---|---|---|
//! see [`ErrorKind::facts`]; a test walks every row.
//!
//! `message` is for the client: what was wrong, where, what to do. `context` is for the log and never
//! leaves the gateway. Neither may hold a key, a prompt, a provider's host or a credential.

use serde_json::{Map, Value, json};

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The body or a parameter is wrong; `param` names it.
    InvalidRequest,
    /// No model of that name.
    ModelNotFound,
    /// The prompt or the answer asked for is larger than the model can take.
    ContextLength,
    /// The provider refused the content.
    ContentPolicy,
    /// Key missing, malformed, unknown, disabled or expired.
    Unauthorized,
    /// A budget or the credit is used up.
    PaymentRequired,
    /// The key is genuine but may not do this.
    Forbidden,
    /// The thing asked for does not exist (or belongs to somebody else).
    NotFound,
    /// The model exists, but a filter removed its last endpoint.
    NoEndpoints,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The client was too slow, or asked for a shorter time than was needed.
    RequestTimeout,
    /// A change collides with what is stored.
    Conflict,
    /// The body is larger than the gateway takes.
    PayloadTooLarge,
    /// A rate limit: ours or, where every provider answered so, theirs.
    RateLimited,
    /// A broken invariant of the gateway.
    Internal,
    /// Every provider tried failed, or answered something that is not an answer.
    ProviderUnavailable,
    /// A provider refused the operator's credential, or the operator's account there is empty.
    ProviderCredential,
    /// A store the gateway must not work without did not answer.
    StoreUnavailable,
    /// No provider has capacity.
    ProviderOverloaded,
    /// No provider answered in time.
    ProviderTimeout,
}

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The caller.
    Client,
    /// This gateway or its operator.
    Gateway,
    /// The provider.
    Provider,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// HTTP status.
    pub status: u16,
    /// `error.type`, OpenAI's word.
    pub openai_type: &'static str,
    /// `error.code`, OpenAI's machine-readable cause.
    pub code: &'static str,
    /// `error.metadata.error_type`, OpenRouter's stable word.
    pub error_type: &'static str,
    /// Who has to act.
    pub blame: Blame,
}

impl ErrorKind {
    /// Every kind, for tests and documentation.
    pub const ALL: [Self; 20] = [
        Self::InvalidRequest,
        Self::ModelNotFound,
        Self::ContextLength,
        Self::ContentPolicy,
        Self::Unauthorized,
        Self::PaymentRequired,
        Self::Forbidden,
        Self::NotFound,
        Self::NoEndpoints,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::Conflict,
        Self::PayloadTooLarge,
        Self::RateLimited,
        Self::Internal,
        Self::ProviderUnavailable,
        Self::ProviderCredential,
        Self::StoreUnavailable,
        Self::ProviderOverloaded,
        Self::ProviderTimeout,
    ];

    /// The table.
    #[rustfmt::skip]
    pub fn facts(self) -> Facts {
        use Blame::{Client, Gateway, Provider};
        let (status, openai_type, code, error_type, blame) = match self {
            Self::InvalidRequest      => (400, "invalid_request_error", "invalid_request", "invalid_request", Client),
            Self::ModelNotFound       => (400, "invalid_request_error", "model_not_found", "invalid_request", Client),
            Self::ContextLength       => (400, "invalid_request_error", "context_length_exceeded", "context_length_exceeded", Client),
            Self::ContentPolicy       => (400, "invalid_request_error", "content_policy_violation", "content_policy_violation", Client),
            Self::Unauthorized        => (401, "authentication_error", "invalid_api_key", "authentication", Client),
            Self::PaymentRequired     => (402, "insufficient_quota", "payment_required", "payment_required", Client),
            Self::Forbidden           => (403, "permission_error", "permission_denied", "permission_denied", Client),
            Self::NotFound            => (404, "invalid_request_error", "not_found", "not_found", Client),
            Self::NoEndpoints         => (404, "invalid_request_error", "no_endpoints", "not_found", Client),
            Self::MethodNotAllowed    => (405, "invalid_request_error", "method_not_allowed", "invalid_request", Client),
            Self::RequestTimeout      => (408, "timeout_error", "timeout", "timeout", Client),
            Self::Conflict            => (409, "invalid_request_error", "conflict", "precondition_failed", Client),
            Self::PayloadTooLarge     => (413, "invalid_request_error", "payload_too_large", "payload_too_large", Client),
            Self::RateLimited         => (429, "rate_limit_error", "rate_limit_exceeded", "rate_limit_exceeded", Client),
            Self::Internal            => (500, "server_error", "internal_error", "server", Gateway),
            Self::ProviderUnavailable => (502, "server_error", "provider_unavailable", "provider_unavailable", Provider),
            Self::ProviderCredential  => (502, "server_error", "provider_credential", "provider_unavailable", Gateway),
            Self::StoreUnavailable    => (503, "server_error", "store_unavailable", "server", Gateway),
            Self::ProviderOverloaded  => (503, "server_error", "provider_overloaded", "provider_overloaded", Provider),
            Self::ProviderTimeout     => (504, "timeout_error", "provider_timeout", "timeout", Provider),
        };
        Facts { status, openai_type, code, error_type, blame }
    }
}

/// An error on its way to a client.
#[derive(Clone, Debug)]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    /// For the client.
    pub message: String,
    /// The field at fault, as a path (`messages[0].role`).
    pub param: Option<String>,
    /// A code more exact than the kind's own.
    pub code: Option<&'static str>,
    /// For the log only.
    pub context: Option<String>,
    /// Seconds after which another try may help.
    pub retry_after_s: Option<u32>,
    /// Further members of `error.metadata`. Boxed, because results with this error are everywhere.
    pub metadata: Box<Map<String, Value>>,
    /// `error.availability`, where a model cannot be served.
    pub availability: Option<Value>,
}

/// A result with this error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of a kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            param: None,
            code: None,
            context: None,
            retry_after_s: None,
            metadata: Box::default(),
            availability: None,
        }
    }

    /// A 400 that names the field.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidRequest, message).param(param)
    }

    /// A broken invariant: the client learns only that it was not its fault.
    pub fn internal(context: impl Into<String>) -> Self {
        let mut error = Self::new(
            ErrorKind::Internal,
            "The gateway failed at this request. Nothing of it was charged; please try again.",
        );
        error.context = Some(context.into());
        error
    }

    /// A store did not answer: fail closed.
    pub fn store(what: &str, context: impl Into<String>) -> Self {
        let mut error = Self::new(
            ErrorKind::StoreUnavailable,
            format!(
                "The gateway cannot reach its {what} and does not serve requests without it. Please try again shortly."
            ),
        );
        error.context = Some(context.into());
        error.retry_after_s = Some(1);
        error
    }

    /// Names the field at fault.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Gives a more exact code.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Adds a member to `error.metadata`.
    #[must_use]
    pub fn meta(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.metadata.insert(name.to_owned(), value.into());
        self
    }

    /// Says when another try may help.
    #[must_use]
    pub fn retry_after(mut self, seconds: Option<u32>) -> Self {
        self.retry_after_s = seconds;
        self
    }

    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.kind.facts().status
    }

    /// The `error` member of the envelope, in OpenAI's shape with OpenRouter's additions.
    /// `numeric_code`: OpenRouter's SDKs insist on the HTTP status as `code`, OpenAI's on a word.
    pub fn to_json(&self, numeric_code: bool) -> Value {
        let facts = self.kind.facts();
        let word = self.code.unwrap_or(facts.code);
        let mut metadata = Map::clone(&self.metadata);
        metadata.insert("error_type".to_owned(), facts.error_type.into());
        if numeric_code {
            metadata.insert("code".to_owned(), word.into());
        }
        let mut error = json!({
            "message": self.message,
            "type": facts.openai_type,
            "param": self.param,
            "code": if numeric_code { Value::from(facts.status) } else { Value::from(word) },
            "metadata": metadata,
        });
        if let (Some(availability), Some(object)) = (&self.availability, error.as_object_mut()) {
            object.insert("availability".to_owned(), availability.clone());
        }
        error
    }

    /// The whole body.
    pub fn to_body(&self, numeric_code: bool) -> String {
        json!({ "error": self.to_json(numeric_code) }).to_string()
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_kind_has_a_status_a_word_of_its_own_and_a_body() {
        let codes: HashSet<_> = ErrorKind::ALL.iter().map(|kind| kind.facts().code).collect();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
        for kind in ErrorKind::ALL {
            let facts = kind.facts();
            assert!((400..600).contains(&facts.status), "{kind:?}");
            assert_eq!(facts.status >= 500, facts.blame != Blame::Client, "{kind:?}");
            let body: Value = serde_json::from_str(&Error::new(kind, "m").param("p").to_body(false)).unwrap();
            assert_eq!(body["error"]["param"], "p");
            assert_eq!(body["error"]["code"], facts.code);
            assert_eq!(body["error"]["metadata"]["error_type"], facts.error_type);
            assert_eq!(Error::new(kind, "m").to_json(true)["code"], facts.status);
        }
    }

    #[test]
    fn context_stays_out_of_the_body() {
        let body = Error::internal("secret detail").to_body(false);
        assert!(!body.contains("secret detail"));
    }
}
