//! Google: addresses of AI Studio and Vertex AI, and tokens for a service account.
//!
//! A service account is a JSON file with an RSA key. It is exchanged for an access token of about an hour:
//! an assertion is signed with the key (RS256) and posted to Google's token endpoint. The signing is the
//! shell's (`WebCrypto`, `RSASSA-PKCS1-v1_5` with SHA-256 over [`SigningInput::message`]); what is before
//! and after it is here:
//!
//! 1. [`assertion_input`] — what is to be signed, and with which key;
//! 2. [`token_request`] — address and form body of the exchange;
//! 3. [`token::read`](super::token::read) — the token and when it ends.
//!
//! Facts: <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>,
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/learn/locations> (November 2026).

use std::fmt;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    time::Millis,
};

/// Where assertions are exchanged. A service account names it, too, but only this one is believed: what
/// is posted there is worth a token.
pub const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// An assertion is good for an hour at most.
const ASSERTION_S: i64 = 3600;

/// What is to be signed. Has a key in it: never shown.
pub struct SigningInput {
    /// Header and claims of the assertion.
    pub message: String,
    /// The account's RSA key, PKCS #8 in DER.
    pub private_key_pkcs8_der: Vec<u8>,
}

impl fmt::Debug for SigningInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningInput").finish_non_exhaustive()
    }
}

/// The assertion of a service account (its JSON file), ready to be signed.
pub fn assertion_input(service_account: &str, now: Millis) -> Result<SigningInput> {
    let bad = |why: &str| Error::invalid("credential", format!("The service account {why}."));
    let account: Value =
        serde_json::from_str(service_account).map_err(|_| bad("must be the JSON that Google gives"))?;
    let text = |name: &str| account.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let email = text("client_email").ok_or_else(|| bad("has no `client_email`"))?;
    let key = text("private_key").ok_or_else(|| bad("has no `private_key`"))?;
    let private_key_pkcs8_der = pkcs8(key).ok_or_else(|| bad("has a `private_key` that is no PKCS #8 key in PEM"))?;
    let mut header = json!({ "alg": "RS256", "typ": "JWT" });
    if let (Some(header), Some(id)) = (header.as_object_mut(), text("private_key_id")) {
        header.insert("kid".to_owned(), id.into());
    }
    let from = now.seconds();
    let claims = json!({ "iss": email, "scope": SCOPE, "aud": TOKEN_URL, "iat": from, "exp": from + ASSERTION_S });
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    Ok(SigningInput { message: format!("{}.{}", part(header), part(claims)), private_key_pkcs8_der })
}

/// The project that a service account belongs to.
pub fn project(service_account: &str) -> Option<String> {
    let account: Value = serde_json::from_str(service_account).ok()?;
    account.get("project_id")?.as_str().map(str::to_owned)
}

fn pkcs8(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (base64, _) = rest.split_once("-----END PRIVATE KEY-----")?;
    let base64: String = base64.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(base64).ok().filter(|der| !der.is_empty())
}

/// Address and body (`application/x-www-form-urlencoded`) of the exchange, given the message and its
/// signature.
pub fn token_request(message: &str, signature: &[u8]) -> (&'static str, String) {
    let signature = URL_SAFE_NO_PAD.encode(signature);
    let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
    // Base64 for URLs and dots need no escape.
    (TOKEN_URL, format!("grant_type={grant}&assertion={message}.{signature}"))
}

/// Whose models they are on Vertex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publisher {
    /// Gemini.
    Google,
    /// Claude.
    Anthropic,
}

/// What is asked of a model: the verb at the end of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// A whole answer.
    Generate,
    /// An answer in pieces.
    Stream,
    /// How many tokens a request has.
    Count,
    /// One embedding.
    Embed,
    /// Many (AI Studio).
    BatchEmbed,
    /// Embeddings, by Vertex' older interface.
    Predict,
}

impl Verb {
    fn google(self) -> &'static str {
        match self {
            Self::Generate => "generateContent",
            Self::Stream => "streamGenerateContent?alt=sse",
            Self::Count => "countTokens",
            Self::Embed => "embedContent",
            Self::BatchEmbed => "batchEmbedContents",
            Self::Predict => "predict",
        }
    }
}

/// Address of a model in AI Studio; `base` is `https://generativelanguage.googleapis.com/v1beta`.
pub fn studio_url(base: &str, model: &str, verb: Verb) -> Result<String> {
    let base = base.trim_end_matches('/');
    // `tunedModels/x` stands where `models/x` does.
    let path = match model.split_once('/') {
        None => format!("models/{}", part("model", model)?),
        Some((kind @ ("models" | "tunedModels"), name)) => format!("{kind}/{}", part("model", name)?),
        Some(_) => return Err(unfit("model")),
    };
    Ok(format!("{base}/{path}:{}", verb.google()))
}

/// Address of a model on Vertex. `base` may be empty: then it is Google's own for the location
/// (`https://{location}-aiplatform.googleapis.com/v1`, without a prefix for `global`).
pub fn vertex_url(
    base: &str,
    project: &str,
    location: &str,
    publisher: Publisher,
    model: &str,
    verb: Verb,
) -> Result<String> {
    let (project, location, model) = (part("project", project)?, part("region", location)?, part("model", model)?);
    let base = match base.trim_end_matches('/') {
        "" => match location {
            "global" => "https://aiplatform.googleapis.com/v1".to_owned(),
            // Places that are more than one region have a name of their own.
            "us" | "eu" => format!("https://aiplatform.{location}.rep.googleapis.com/v1"),
            region => format!("https://{region}-aiplatform.googleapis.com/v1"),
        },
        given => given.to_owned(),
    };
    let (publisher, verb) = match (publisher, verb) {
        (Publisher::Google, verb) => ("google", verb.google()),
        (Publisher::Anthropic, Verb::Generate) => ("anthropic", "rawPredict"),
        (Publisher::Anthropic, Verb::Stream) => ("anthropic", "streamRawPredict"),
        (Publisher::Anthropic, Verb::Count) => {
            // Claude's tokens are counted by a model of their own; the one that is meant stands in the body.
            let path = format!("projects/{project}/locations/{location}/publishers/anthropic/models");
            return Ok(format!("{base}/{path}/count-tokens:rawPredict"));
        }
        (Publisher::Anthropic, Verb::Embed | Verb::BatchEmbed | Verb::Predict) => {
            return Err(Error::invalid("model", "Claude has no embeddings."));
        }
    };
    Ok(format!("{base}/projects/{project}/locations/{location}/publishers/{publisher}/models/{model}:{verb}"))
}

/// A name that may stand in a path: letters, digits, `-`, `_`, `.`, and the `@` of a model's version.
fn part<'n>(field: &str, name: &'n str) -> Result<&'n str> {
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    let fits = !name.is_empty() && name.len() <= 128 && name.chars().all(fit) && !name.starts_with('.');
    // A location becomes part of a host.
    let fits = fits && (field != "region" || name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
    if fits { Ok(name) } else { Err(unfit(field)) }
}

fn unfit(field: &str) -> Error {
    Error::invalid(field, format!("This {field} has a name that cannot stand in an address."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_795_000_000_123);

    fn account(key: &str) -> String {
        json!({"type": "service_account", "project_id": "p-1", "private_key_id": "k1", "client_email": "a@p-1.iam.gserviceaccount.com",
               "private_key": key, "token_uri": "https://evil.example/token"})
        .to_string()
    }

    #[test]
    fn an_assertion_says_who_wants_what_and_for_how_long() {
        let key = "-----BEGIN PRIVATE KEY-----\nAQID\nBAUG\n-----END PRIVATE KEY-----\n";
        let input = assertion_input(&account(key), NOW).unwrap();
        assert_eq!(input.private_key_pkcs8_der, [1, 2, 3, 4, 5, 6]);
        let (header, claims) = input.message.split_once('.').unwrap();
        let read = |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
        assert_eq!(read(header), json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
        assert_eq!(
            read(claims),
            json!({"iss": "a@p-1.iam.gserviceaccount.com", "scope": SCOPE, "aud": "https://oauth2.googleapis.com/token",
                   "iat": 1_795_000_000, "exp": 1_795_003_600})
        );
        assert_eq!(format!("{input:?}"), "SigningInput { .. }");
        assert_eq!(project(&account(key)).as_deref(), Some("p-1"));
        let (url, body) = token_request(&input.message, &[0xFF, 0xFE]);
        assert_eq!(url, "https://oauth2.googleapis.com/token");
        let end = body.strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=");
        assert_eq!(end.unwrap(), format!("{}.__4", input.message));
    }

    #[test]
    fn what_is_no_service_account_is_refused_without_repeating_it() {
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"client_email":"a"}"#,
            &account("not a key"),
            &account("-----BEGIN PRIVATE KEY-----secret!-----END PRIVATE KEY-----"),
        ] {
            let error = assertion_input(bad, NOW).unwrap_err();
            assert_eq!(error.param.as_deref(), Some("credential"));
            assert!(!error.message.contains("secret"), "{}", error.message);
        }
    }

    #[test]
    fn addresses() {
        let studio = "https://generativelanguage.googleapis.com/v1beta/";
        assert_eq!(
            studio_url(studio, "gemini-3-flash", Verb::Stream).unwrap(),
            "https://generativelanguage.googleapis.com/v1beta/models/gemini-3-flash:streamGenerateContent?alt=sse"
        );
        assert_eq!(
            studio_url(studio, "tunedModels/my-1", Verb::Generate).unwrap(),
            "https://generativelanguage.googleapis.com/v1beta/tunedModels/my-1:generateContent"
        );
        for (location, publisher, model, verb, expected) in [
            (
                "us-east5",
                Publisher::Anthropic,
                "claude-x@20260101",
                Verb::Stream,
                "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5/publishers/anthropic/models/claude-x@20260101:streamRawPredict",
            ),
            (
                "global",
                Publisher::Anthropic,
                "claude-x",
                Verb::Count,
                "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/anthropic/models/count-tokens:rawPredict",
            ),
            (
                "global",
                Publisher::Google,
                "gemini-x",
                Verb::Generate,
                "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google/models/gemini-x:generateContent",
            ),
            (
                "eu",
                Publisher::Google,
                "text-embedding-004",
                Verb::Predict,
                "https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/publishers/google/models/text-embedding-004:predict",
            ),
        ] {
            assert_eq!(vertex_url("", "p", location, publisher, model, verb).unwrap(), expected);
        }
        let own = vertex_url("http://127.0.0.1:1/v1/", "p", "global", Publisher::Google, "m", Verb::Generate).unwrap();
        assert_eq!(own, "http://127.0.0.1:1/v1/projects/p/locations/global/publishers/google/models/m:generateContent");
    }

    #[test]
    fn what_would_change_the_address_is_refused() {
        for bad in ["", "..", "a/b", "a:b", "a?b", "a#b", "a%2fb", "a b", "é", &"x".repeat(129)] {
            assert!(studio_url("https://x.example", bad, Verb::Generate).is_err(), "{bad}");
            let url =
                |project, location, model| vertex_url("", project, location, Publisher::Google, model, Verb::Generate);
            for result in [url(bad, "global", "m"), url("p", bad, "m"), url("p", "global", bad)] {
                assert!(result.is_err(), "{bad}");
            }
        }
        assert!(vertex_url("", "p", "evil.example", Publisher::Google, "m", Verb::Generate).is_err());
    }
}
