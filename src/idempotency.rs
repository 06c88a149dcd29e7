//! `Idempotency-Key` on inference: the same key and body give the same answer, and are billed once.
//!
//! A request claims its key at the account before a provider is called; its answer is kept there for a
//! day, sealed with a key made of what only the client has: its API key and its `Idempotency-Key`. At
//! rest nobody can read it, the operator included. Where the owner of a key turned it on, the body
//! itself serves as the key for a short time: a retry of an SDK then costs nothing.

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    error::{Error, ErrorKind, Result},
    ids::hex,
};

/// How long an answer is kept for an `Idempotency-Key`.
pub const KEEP_MS: i64 = 86_400_000;
/// Longest key (field: Stripe's).
const MAX_KEY: usize = 255;
/// Largest answer that is kept.
pub const MAX_ANSWER: usize = 1 << 20;

/// A request that is to be answered once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The API key's account and the idempotency key, hashed.
    pub id: String,
    /// The request's body, hashed.
    pub body: String,
    /// Who claims: another one finds it taken, the same one may ask again.
    pub owner: String,
    /// How long the answer is kept, in milliseconds.
    pub keep_ms: i64,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claimed {
    /// It is the owner's.
    New,
    /// The first request of this key is still being served.
    Running,
    /// The key was used with another body.
    Conflict,
    /// It was answered.
    Done(Kept),
}

/// An answer, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The generation that answered.
    pub generation: String,
    /// It is an event stream.
    pub stream: bool,
    /// The sealed bytes; `None` where they were too many to keep.
    pub sealed: Option<String>,
}

/// The end of a request that had a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// [`Claim::id`]
    pub id: String,
    /// [`Claim::owner`]
    pub owner: String,
    /// The answer; `None` frees the key: nobody was served.
    pub kept: Option<Kept>,
}

/// A claim and what seals its answer. Deliberately without `Debug`.
#[derive(Clone)]
pub struct Wanted {
    /// What is claimed.
    pub claim: Claim,
    secret: [u8; 32],
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.claim.fmt(f)
    }
}

/// The claim of a request. `given`: its `Idempotency-Key`, empty where there is none; `window_s`: how
/// long its body serves instead, 0 for never; `api_key`: the key as the client holds it; `place`: what its
/// address says that a body may not: the same body asks for different things elsewhere.
pub fn wanted(
    account: &str,
    api_key: &str,
    given: &str,
    window_s: u32,
    place: &str,
    body: &[u8],
    owner: impl FnOnce() -> String,
) -> Result<Option<Wanted>> {
    if given.is_empty() && window_s == 0 {
        return Ok(None);
    }
    if given.len() > MAX_KEY || !given.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        let message = format!("Idempotency-Key must be at most {MAX_KEY} printable ASCII characters.");
        return Err(Error::invalid("Idempotency-Key", message));
    }
    let body = hex(&Sha256::new().chain_update(place).chain_update([0]).chain_update(body).finalize());
    let (name, keep_ms) = if given.is_empty() { (body.as_str(), i64::from(window_s) * 1000) } else { (given, KEEP_MS) };
    let kind = if given.is_empty() { "body" } else { "key" };
    let digest = |parts: &[&str]| {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize()
    };
    let id = hex(&digest(&["claim", account, kind, name]));
    let secret = digest(&["seal", api_key, kind, name]).into();
    Ok(Some(Wanted { claim: Claim { id, body, owner: owner(), keep_ms }, secret }))
}

impl Wanted {
    /// Seals an answer; `None` where it cannot be kept. The secret seals for one claim, and the generation
    /// makes each sealing another.
    pub fn seal(&self, generation: &str, stream: bool, answer: Option<&[u8]>) -> Kept {
        let sealed = answer
            .filter(|answer| answer.len() <= MAX_ANSWER)
            .and_then(|answer| {
                let payload = Payload { msg: answer, aad: self.claim.body.as_bytes() };
                self.cipher()?.encrypt(&Self::nonce(generation), payload).ok()
            })
            .map(|bytes| BASE64.encode(bytes));
        Kept { generation: generation.to_owned(), stream, sealed }
    }

    /// Opens an answer.
    pub fn open(&self, kept: &Kept) -> Result<Vec<u8>> {
        let Some(sealed) = &kept.sealed else {
            let message = format!(
                "This request was answered already (generation {}), but the answer was not kept: it was too large, or a sound.",
                kept.generation
            );
            return Err(Error::new(ErrorKind::Conflict, message).code("idempotency_answer_not_kept"));
        };
        let bytes = BASE64.decode(sealed).unwrap_or_default();
        let payload = Payload { msg: &bytes, aad: self.claim.body.as_bytes() };
        self.cipher().and_then(|cipher| cipher.decrypt(&Self::nonce(&kept.generation), payload).ok()).ok_or_else(|| {
            let message = "This request was answered already with another API key of the same account; the answer can only be read with that key.";
            Error::new(ErrorKind::Conflict, message).code("idempotency_answer_sealed")
        })
    }

    fn cipher(&self) -> Option<Aes256Gcm> {
        Aes256Gcm::new_from_slice(&self.secret).ok()
    }

    fn nonce(generation: &str) -> Nonce<aes_gcm::aead::consts::U12> {
        let digest = Sha256::digest(generation.as_bytes());
        *Nonce::from_slice(digest.get(..12).unwrap_or(&[0; 12]))
    }
}

/// The refusal of a claim that is somebody else's.
pub fn refused(claimed: &Claimed) -> Option<Error> {
    let (message, code, retry) = match claimed {
        Claimed::New | Claimed::Done(_) => return None,
        Claimed::Running => (
            "A request with this Idempotency-Key is being served. Its answer can be had with the same key when it has ended.",
            "idempotency_in_progress",
            Some(1),
        ),
        Claimed::Conflict => (
            "This Idempotency-Key was used with another request body. Use a new key for a new request.",
            "idempotency_key_reused",
            None,
        ),
    };
    Some(Error::new(ErrorKind::Conflict, message).code(code).retry_after(retry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(account: &str, api_key: &str, key: &str, window_s: u32, body: &str) -> Wanted {
        wanted(account, api_key, key, window_s, "chat", body.as_bytes(), || "me".to_owned()).unwrap().unwrap()
    }

    #[test]
    fn an_answer_opens_for_the_same_key_and_body_alone() {
        let first = claim("a", "sk-1", "k", 0, "body");
        let kept = first.seal("gen-1", true, Some(b"the answer"));
        assert!(!format!("{kept:?}").contains("answer"));
        assert_eq!(claim("a", "sk-1", "k", 0, "body").open(&kept).unwrap(), b"the answer");
        for other in [claim("a", "sk-2", "k", 0, "body"), claim("a", "sk-1", "k", 0, "other")] {
            assert_eq!(other.open(&kept).unwrap_err().status(), 409);
        }
        for lost in [None, Some(&*vec![0; MAX_ANSWER + 1])] {
            let kept = first.seal("gen-1", true, lost);
            assert_eq!(first.open(&kept).unwrap_err().code, Some("idempotency_answer_not_kept"));
        }
    }

    #[test]
    fn claims_are_told_apart_by_account_and_key_and_bodies_by_their_own_window() {
        let id = |account, key, window, body| claim(account, "sk", key, window, body).claim.id;
        assert_eq!(id("a", "k", 0, "x"), id("a", "k", 60, "y"));
        assert_ne!(id("a", "k", 0, "x"), id("b", "k", 0, "x"));
        assert_eq!(id("a", "", 60, "x"), id("a", "", 60, "x"));
        assert_ne!(id("a", "", 60, "x"), id("a", "", 60, "y"));
        let elsewhere = wanted("a", "sk", "", 60, "messages", b"x", String::new).unwrap().unwrap();
        assert_ne!(id("a", "", 60, "x"), elsewhere.claim.id);
        assert_ne!(claim("a", "sk", "k", 0, "x").claim.body, elsewhere.claim.body);
        assert!(wanted("a", "sk", "", 0, "chat", b"x", String::new).unwrap().is_none());
        assert!(wanted("a", "sk", &"k".repeat(256), 0, "chat", b"x", String::new).is_err());
    }
}
