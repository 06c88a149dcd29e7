//! What an attempt's failure means: another attempt, or the end, and what the client is told then.
//!
//! | cause | next endpoint | next model | counts against health |
//! |---|---|---|---|
//! | no connection, time-outs, 5xx, not an answer | yes | yes | yes |
//! | 429 | yes | yes | yes, for as long as it asks |
//! | 401, 402, 403: our credential there | yes | yes | yes |
//! | 404: not served there under that name | yes | yes | yes |
//! | stopped by whoever manages the gateway | no | no | no |
//! | 400, 413, 422: the request itself | no | yes | no |
//!
//! At most [`MAX_ATTEMPTS`] attempts a request (field: Google SRE, three over all layers).

use crate::error::ErrorKind;

/// Attempts a request, over all endpoints and models.
pub const MAX_ATTEMPTS: usize = 3;

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The request did not reach the provider, or the connection broke before an answer.
    Connection,
    /// No head, or no first content, in time.
    Timeout,
    /// An answer with this status, which is no success.
    Status(u16),
    /// Status 200, but the body is an error, of this status where it says one.
    ErrorInBody(Option<u16>),
    /// Status 200, but no answer in this dialect.
    Malformed,
    /// Whoever manages the gateway stopped it.
    Stopped,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Another endpoint of the same model may do better.
    pub next_endpoint: bool,
    /// Another model may do better.
    pub next_model: bool,
    /// The endpoint is at fault.
    pub unhealthy: bool,
    /// What the client is told if nothing else works.
    pub kind: ErrorKind,
}

impl Cause {
    /// The table above.
    pub fn verdict(self) -> Verdict {
        let theirs = |kind| Verdict { next_endpoint: true, next_model: true, unhealthy: true, kind };
        let callers = |kind| Verdict { next_endpoint: false, next_model: true, unhealthy: false, kind };
        let status = match self {
            Self::Connection | Self::Malformed | Self::ErrorInBody(None) => {
                return theirs(ErrorKind::ProviderUnavailable);
            }
            Self::Stopped => {
                let kind = ErrorKind::Forbidden;
                return Verdict { next_endpoint: false, next_model: false, unhealthy: false, kind };
            }
            Self::Timeout => return theirs(ErrorKind::ProviderTimeout),
            Self::Status(status) | Self::ErrorInBody(Some(status)) => status,
        };
        match status {
            400 | 422 => callers(ErrorKind::InvalidRequest),
            413 => callers(ErrorKind::PayloadTooLarge),
            401..=403 => theirs(ErrorKind::ProviderCredential),
            408 | 504 | 524 => theirs(ErrorKind::ProviderTimeout),
            429 => theirs(ErrorKind::RateLimited),
            503 | 529 => theirs(ErrorKind::ProviderOverloaded),
            _ => theirs(ErrorKind::ProviderUnavailable),
        }
    }

    /// A word for records and explanations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::Status(_) => "status",
            Self::ErrorInBody(_) => "error_in_body",
            Self::Malformed => "malformed",
            Self::Stopped => "stopped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_lead_where_the_table_says() {
        for (cause, next_endpoint, unhealthy, kind) in [
            (Cause::Connection, true, true, ErrorKind::ProviderUnavailable),
            (Cause::Timeout, true, true, ErrorKind::ProviderTimeout),
            (Cause::Malformed, true, true, ErrorKind::ProviderUnavailable),
            (Cause::ErrorInBody(Some(429)), true, true, ErrorKind::RateLimited),
            (Cause::ErrorInBody(None), true, true, ErrorKind::ProviderUnavailable),
            (Cause::Status(400), false, false, ErrorKind::InvalidRequest),
            (Cause::Status(413), false, false, ErrorKind::PayloadTooLarge),
            (Cause::Status(422), false, false, ErrorKind::InvalidRequest),
            (Cause::Status(401), true, true, ErrorKind::ProviderCredential),
            (Cause::Status(402), true, true, ErrorKind::ProviderCredential),
            (Cause::Status(404), true, true, ErrorKind::ProviderUnavailable),
            (Cause::Status(301), true, true, ErrorKind::ProviderUnavailable),
            (Cause::Status(429), true, true, ErrorKind::RateLimited),
            (Cause::Status(500), true, true, ErrorKind::ProviderUnavailable),
            (Cause::Status(529), true, true, ErrorKind::ProviderOverloaded),
        ] {
            let verdict = cause.verdict();
            assert_eq!(
                (verdict.next_endpoint, verdict.unhealthy, verdict.kind),
                (next_endpoint, unhealthy, kind),
                "{cause:?}"
            );
            assert!(verdict.next_model);
        }
    }
}
