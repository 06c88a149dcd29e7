//! Access tokens: how one is asked for, read, and kept until it ends.
//!
//! The exchange is OAuth 2.0's (RFC 6749, section 4.4, and RFC 7523): a form is posted, JSON comes back.
//! Pure: the shell signs, posts, and hands the answer to [`read`].

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::access::Access;
use crate::{
    error::{Error, ErrorKind, Result},
    time::Millis,
};

/// A token is given up so long before it ends: a request that takes it along must still arrive.
const SPARE_MS: i64 = 120_000;

/// A token that says it lives for longer is asked for anew after a day.
const LONGEST_S: i64 = 86_400;

/// An access token. A secret: never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// What follows `Bearer`.
    pub value: String,
    /// Not to be used from then on.
    pub expires_at: Millis,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// What has to be fetched before a call can be made. Has secrets in it: never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// Where it is posted.
    pub url: String,
    /// The body, as `application/x-www-form-urlencoded`. Where something is to be signed, the signature
    /// is still missing at its end: base64 for URLs, without padding.
    pub form: String,
    /// What has to be signed for it.
    pub sign: Option<SignRequest>,
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRequest").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What has to be signed: RS256, in `WebCrypto`'s words `RSASSA-PKCS1-v1_5` with `SHA-256`. Has a key in
/// it: never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SignRequest {
    /// These bytes.
    pub message: String,
    /// With this key, PKCS #8 in DER.
    pub pkcs8_der: Vec<u8>,
}

impl fmt::Debug for SignRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignRequest").finish_non_exhaustive()
    }
}

/// The token in the answer of a token endpoint; an error says why there is none, without a word of what
/// was sent.
pub fn read(body: &[u8], now: Millis) -> Result<Token> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let seconds = answer.get("expires_in").and_then(Value::as_i64).filter(|seconds| *seconds > 0);
    if let (Some(value), Some(seconds)) = (text("access_token").filter(|value| is_plain(value)), seconds) {
        // Google fills some tokens up with dots; they belong to it.
        let expires_at = now.plus((seconds.min(LONGEST_S) * 1000 - SPARE_MS).max(0));
        return Ok(Token { value: value.to_owned(), expires_at });
    }
    let mut error =
        Error::new(ErrorKind::ProviderCredential, "The provider gave no access token for the operator's credential.");
    let words = [text("error"), text("error_description")].into_iter().flatten().collect::<Vec<_>>().join(": ");
    error.context = Some(format!("token exchange: {}", crate::chat::redact(&words)));
    Err(error)
}

/// Whether it can travel in a header.
fn is_plain(value: &str) -> bool {
    value.bytes().all(|b| (0x21..0x7f).contains(&b))
}

/// The tokens that were fetched, by provider. A token belongs to the access that it was fetched with: when
/// the operator changes that, it is not found any more.
#[derive(Debug, Default)]
pub struct Wallet {
    held: BTreeMap<String, (Access, Token)>,
}

impl Wallet {
    /// The token of a provider that is good at that moment.
    pub fn token(&self, slug: &str, access: &Access, now: Millis) -> Option<&Token> {
        let (with, token) = self.held.get(slug)?;
        (with == access && token.expires_at > now).then_some(token)
    }

    /// Keeps a token that was fetched with this access.
    pub fn keep(&mut self, slug: &str, access: &Access, token: Token) {
        self.held.insert(slug.to_owned(), (access.clone(), token));
    }

    /// Gives up a provider's token: it was refused.
    pub fn forget(&mut self, slug: &str) {
        self.held.remove(slug);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::access::{EntraApp, ServiceAccount};

    const NOW: Millis = Millis(1_795_000_000_123);

    #[test]
    fn a_token_is_given_up_before_it_ends() {
        for (seconds, lives_ms) in [(3599, 3_479_000), (60, 0), (1_000_000, 86_280_000)] {
            let body = format!(r#"{{"access_token":"ya29.x..","expires_in":{seconds},"token_type":"Bearer"}}"#);
            let token = read(body.as_bytes(), NOW).unwrap();
            assert_eq!((token.value.as_str(), token.expires_at), ("ya29.x..", NOW.plus(lives_ms)), "{seconds}");
            assert!(!format!("{token:?}").contains("ya29"));
        }
    }

    #[test]
    fn a_refusal_says_why() {
        let refused = br#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#;
        let error = read(refused, NOW).unwrap_err();
        assert_eq!(error.kind, ErrorKind::ProviderCredential);
        assert_eq!(error.context.as_deref(), Some("token exchange: invalid_grant: Invalid JWT Signature."));
        for bad in [
            &b""[..],
            b"<html>",
            b"{}",
            br#"{"access_token":"x"}"#,
            br#"{"access_token":"x","expires_in":-5}"#,
            br#"{"access_token":"x\ny","expires_in":3600}"#,
        ] {
            assert!(read(bad, NOW).is_err());
        }
    }

    #[test]
    fn a_token_is_found_for_its_own_access_until_it_ends() {
        let account = |json: &str| Access::Google(ServiceAccount { json: json.to_owned() });
        let app = Access::Entra(EntraApp { tenant_id: "t".into(), client_id: "c".into(), client_secret: "s".into() });
        let token = Token { value: "t1".to_owned(), expires_at: NOW };
        let mut wallet = Wallet::default();
        wallet.keep("vertex", &account("a"), token.clone());
        assert_eq!(wallet.token("vertex", &account("a"), NOW.plus(-1)), Some(&token));
        assert_eq!(wallet.token("vertex", &account("a"), NOW), None, "it has ended");
        assert_eq!(wallet.token("vertex", &account("b"), NOW.plus(-1)), None, "of another account");
        assert_eq!(wallet.token("azure", &app, NOW.plus(-1)), None);
        wallet.forget("vertex");
        assert_eq!(wallet.token("vertex", &account("a"), NOW.plus(-1)), None);
    }
}
