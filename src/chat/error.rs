//! What a provider says when it fails: the same facts from every format.

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
        let error = ProviderError { code: Some("context_length_exceeded".to_owned()), ..ProviderError::default() };
        assert_eq!(error.kind(ErrorKind::InvalidRequest), ErrorKind::ContextLength);
        assert_eq!(error.kind(ErrorKind::RateLimited), ErrorKind::RateLimited);
    }
}
