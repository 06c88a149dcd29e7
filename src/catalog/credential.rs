//! Provider credentials at rest: AES-256-GCM under the master key, bound to the provider's slug.
//!
//! The master key comes from a secret (`SLUICE_MASTER_KEY`, base64 of 32 bytes). A sealed credential
//! moved to another provider's row does not open; one sealed under another master key says so.

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::hex;

/// A credential in the clear. Deliberately without `Debug`, and never serialised but to be sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Credential {
    /// `Authorization: Bearer <value>`
    Bearer {
        /// The key.
        value: String,
    },
    /// A header of another name.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// The provider wants none (a model server on one's own network).
    None {},
}

impl Credential {
    /// The request header that carries it.
    pub fn header(&self) -> Option<(String, String)> {
        match self {
            Self::Bearer { value } => Some(("authorization".to_owned(), format!("Bearer {value}"))),
            Self::Header { name, value } => Some((name.to_ascii_lowercase(), value.clone())),
            Self::None {} => None,
        }
    }

    /// Checks that it can travel in a header.
    pub fn check(&self) -> Result<(), String> {
        let (Self::Bearer { value } | Self::Header { value, .. }) = self else { return Ok(()) };
        if value.is_empty() || value.bytes().any(|b| !(0x21..0x7f).contains(&b) && b != b' ') {
            return Err("the credential's value must be a non-empty line of printable ASCII.".to_owned());
        }
        match self {
            Self::Header { name, .. }
                if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') =>
            {
                Err("credential.name must be a header name.".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// What is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedCredential {
    /// Version of this shape.
    v: u8,
    /// Which master key sealed it: the first 8 hexadecimal digits of its SHA-256.
    kid: String,
    nonce: String,
    data: String,
}

/// The key that seals. Deliberately without `Debug`.
pub struct MasterKey {
    cipher: Aes256Gcm,
    kid: String,
}

impl MasterKey {
    /// From the secret's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bytes = BASE64.decode(text.trim()).unwrap_or_default();
        let cipher = Aes256Gcm::new_from_slice(&bytes)
            .map_err(|_| "SLUICE_MASTER_KEY must be the base64 of 32 random bytes (openssl rand -base64 32)")?;
        let kid = hex(&Sha256::digest(&bytes)).chars().take(8).collect();
        Ok(Self { cipher, kid })
    }

    /// Seals a credential for one provider. The nonce must be fresh randomness.
    pub fn seal(&self, credential: &Credential, provider: &str, nonce: [u8; 12]) -> Result<SealedCredential, String> {
        let plain = serde_json::to_vec(credential).map_err(|error| error.to_string())?;
        let payload = Payload { msg: &plain, aad: provider.as_bytes() };
        let data = self.cipher.encrypt(Nonce::from_slice(&nonce), payload).map_err(|_| "sealing failed")?;
        Ok(SealedCredential { v: 1, kid: self.kid.clone(), nonce: BASE64.encode(nonce), data: BASE64.encode(data) })
    }

    /// Opens a sealed credential of that provider.
    pub fn open(&self, sealed: &SealedCredential, provider: &str) -> Result<Credential, String> {
        if sealed.kid != self.kid {
            return Err(format!("sealed under master key {}, but SLUICE_MASTER_KEY is {}", sealed.kid, self.kid));
        }
        let (nonce, data) =
            (BASE64.decode(&sealed.nonce).unwrap_or_default(), BASE64.decode(&sealed.data).unwrap_or_default());
        let nonce: [u8; 12] = nonce.try_into().map_err(|_| "the nonce is damaged")?;
        let payload = Payload { msg: &data, aad: provider.as_bytes() };
        let plain = self
            .cipher
            .decrypt(Nonce::from_slice(&nonce), payload)
            .map_err(|_| "it does not open: damaged, or of another provider")?;
        serde_json::from_slice(&plain).map_err(|_| "it does not hold a credential".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_opens_only_for_its_provider_under_its_key() {
        let key = MasterKey::parse(&BASE64.encode([1_u8; 32])).unwrap();
        let other = MasterKey::parse(&BASE64.encode([2_u8; 32])).unwrap();
        let secret = Credential::Bearer { value: "sk-secret".to_owned() };
        let sealed = key.seal(&secret, "openai", [9; 12]).unwrap();
        assert!(key.open(&sealed, "openai").unwrap() == secret);
        assert!(key.open(&sealed, "groq").is_err());
        assert!(other.open(&sealed, "openai").unwrap_err_text().contains("sealed under"));
        assert!(!serde_json::to_string(&sealed).unwrap().contains("secret"));
    }

    trait ErrText {
        fn unwrap_err_text(self) -> String;
    }
    impl ErrText for Result<Credential, String> {
        fn unwrap_err_text(self) -> String {
            self.err().expect("an error")
        }
    }

    #[test]
    fn credentials_that_would_break_a_header_are_refused() {
        for value in ["", "a\nb", "ключ"] {
            assert!(Credential::Bearer { value: value.to_owned() }.check().is_err());
        }
        assert!(MasterKey::parse("short").is_err());
    }
}
