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
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Result},
    ids::hex,
};

/// A credential in the clear. Deliberately without `Debug`, and never serialised but to be sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Credential {
    /// A key or a token, in the header in which the provider's format has it.
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
    /// An AWS key: requests are signed.
    Aws {
        /// `AKIA...` or `ASIA...`
        access_key_id: String,
        /// Its secret half.
        secret_access_key: String,
        /// Of temporary keys.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_token: Option<String>,
    },
    /// A Google service account: an access token is fetched with it.
    GoogleServiceAccount {
        /// The JSON that Google gives, as text or as it is.
        #[serde(deserialize_with = "text_of")]
        json: String,
    },
    /// An application of Microsoft Entra: an access token is fetched with it.
    Entra {
        /// The tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Its secret.
        client_secret: String,
    },
    /// The provider wants none (a model server on one's own network).
    None {},
}

/// The types, with the members that each must and may have.
const TYPES: [(&str, &[&str], &[&str]); 6] = [
    ("bearer", &["value"], &[]),
    ("header", &["name", "value"], &[]),
    ("aws", &["access_key_id", "secret_access_key"], &["session_token"]),
    ("google_service_account", &["json"], &[]),
    ("entra", &["tenant_id", "client_id", "client_secret"], &[]),
    ("none", &[], &[]),
];

impl Credential {
    /// Reads one as the operator gives it, and checks it. Errors name the member at fault and repeat no
    /// value: it may be the secret.
    pub fn read(given: &Value) -> Result<Self> {
        let field = |name: &str| format!("credential.{name}");
        let members = given
            .as_object()
            .ok_or_else(|| Error::invalid("credential", "credential must be an object with a `type`."))?;
        let kind = members.get("type").and_then(Value::as_str).unwrap_or_default();
        let Some((_, required, optional)) = TYPES.iter().find(|(name, ..)| *name == kind) else {
            let names: Vec<String> = TYPES.iter().map(|(name, ..)| format!("{name:?}")).collect();
            return Err(Error::invalid(field("type"), format!("credential.type must be one of {}.", names.join(", "))));
        };
        let is_value = |name: &str, value: &Value| value.is_string() || name == "json" && value.is_object();
        for name in *required {
            if !members.get(*name).is_some_and(|value| is_value(name, value)) {
                let what = if *name == "json" { "a string or an object" } else { "a string" };
                return Err(Error::invalid(field(name), format!("credential.{name} must be {what}.")));
            }
        }
        for name in *optional {
            if members.get(*name).is_some_and(|value| !value.is_string() && !value.is_null()) {
                return Err(Error::invalid(field(name), format!("credential.{name} must be a string.")));
            }
        }
        let known = |name: &str| name == "type" || required.contains(&name) || optional.contains(&name);
        if members.keys().any(|name| !known(name)) {
            let why = format!("a credential of type {kind:?} has no members but these: {}.", list(required, optional));
            return Err(Error::invalid("credential", why));
        }
        let credential: Self = serde_json::from_value(given.clone())
            .map_err(|_| Error::invalid("credential", "this is not a credential."))?;
        credential.check()?;
        Ok(credential)
    }

    /// Its type's name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bearer { .. } => "bearer",
            Self::Header { .. } => "header",
            Self::Aws { .. } => "aws",
            Self::GoogleServiceAccount { .. } => "google_service_account",
            Self::Entra { .. } => "entra",
            Self::None {} => "none",
        }
    }

    /// Checks that it can travel in a header or an address. Names the member at fault.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Bearer { value } => line("value", value),
            Self::Header { name, value } => {
                if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                    return Err(Error::invalid("credential.name", "credential.name must be a header name."));
                }
                line("value", value)
            }
            Self::Aws { access_key_id, secret_access_key, session_token } => {
                word("access_key_id", access_key_id)?;
                word("secret_access_key", secret_access_key)?;
                session_token.as_ref().map_or(Ok(()), |token| word("session_token", token))
            }
            Self::Entra { tenant_id, client_id, client_secret } => {
                name("tenant_id", tenant_id)?;
                name("client_id", client_id)?;
                line("client_secret", client_secret)
            }
            Self::GoogleServiceAccount { json } if json.is_empty() => {
                Err(Error::invalid("credential.json", "credential.json must be the JSON of a service account."))
            }
            Self::GoogleServiceAccount { .. } | Self::None {} => Ok(()),
        }
    }
}

fn list(required: &[&str], optional: &[&str]) -> String {
    std::iter::once("type")
        .chain(required.iter().copied())
        .chain(optional.iter().copied())
        .collect::<Vec<_>>()
        .join(", ")
}

fn line(field: &str, value: &str) -> Result<()> {
    if value.is_empty() || value.bytes().any(|b| !(0x21..0x7f).contains(&b) && b != b' ') {
        return Err(bad(field, "a non-empty line of printable ASCII"));
    }
    Ok(())
}

fn word(field: &str, value: &str) -> Result<()> {
    if value.is_empty() || value.bytes().any(|b| !(0x21..0x7f).contains(&b)) {
        return Err(bad(field, "printable ASCII without a space"));
    }
    Ok(())
}

fn name(field: &str, value: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
    if !(1..=128).contains(&value.len()) || !value.bytes().all(good) || value.starts_with('.') {
        return Err(bad(field, "made of letters, digits, '-' and '.'"));
    }
    Ok(())
}

fn bad(field: &str, what: &str) -> Error {
    Error::invalid(format!("credential.{field}"), format!("credential.{field} must be {what}."))
}

/// A string, or an object as its text.
fn text_of<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        other => other.to_string(),
    })
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
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let bytes = BASE64.decode(text.trim()).unwrap_or_default();
        let cipher = Aes256Gcm::new_from_slice(&bytes)
            .map_err(|_| "SLUICE_MASTER_KEY must be the base64 of 32 random bytes (openssl rand -base64 32)")?;
        let kid = hex(&Sha256::digest(&bytes)).chars().take(8).collect();
        Ok(Self { cipher, kid })
    }

    /// Seals a credential for one provider. The nonce must be fresh randomness.
    pub fn seal(
        &self,
        credential: &Credential,
        provider: &str,
        nonce: [u8; 12],
    ) -> std::result::Result<SealedCredential, String> {
        let plain = serde_json::to_vec(credential).map_err(|error| error.to_string())?;
        let payload = Payload { msg: &plain, aad: provider.as_bytes() };
        let data = self.cipher.encrypt(Nonce::from_slice(&nonce), payload).map_err(|_| "sealing failed")?;
        Ok(SealedCredential { v: 1, kid: self.kid.clone(), nonce: BASE64.encode(nonce), data: BASE64.encode(data) })
    }

    /// Opens a sealed credential of that provider.
    pub fn open(&self, sealed: &SealedCredential, provider: &str) -> std::result::Result<Credential, String> {
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
    use serde_json::json;

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
    impl ErrText for std::result::Result<Credential, String> {
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

    const SECRET: &str = "canary-secret";

    #[test]
    fn what_the_operator_gives_is_read_and_named_where_it_is_wrong() {
        for (given, kind) in [
            (json!({"type": "bearer", "value": "sk-x"}), "bearer"),
            (json!({"type": "header", "name": "X-Key", "value": "x"}), "header"),
            (json!({"type": "aws", "access_key_id": "AKIA1", "secret_access_key": "s/+="}), "aws"),
            (json!({"type": "aws", "access_key_id": "ASIA1", "secret_access_key": "s", "session_token": "t"}), "aws"),
            (json!({"type": "google_service_account", "json": "{\"a\":1}"}), "google_service_account"),
            (json!({"type": "google_service_account", "json": {"a": 1}}), "google_service_account"),
            (json!({"type": "entra", "tenant_id": "t-1.example", "client_id": "c", "client_secret": "~s p"}), "entra"),
            (json!({"type": "none"}), "none"),
        ] {
            let credential = Credential::read(&given).unwrap_or_else(|error| panic!("{given}: {error}"));
            assert_eq!(credential.kind(), kind);
            // Sealed and opened again it is the same.
            let text = serde_json::to_string(&credential).unwrap();
            assert!(serde_json::from_str::<Credential>(&text).unwrap() == credential, "{kind}");
        }
        let object = Credential::read(&json!({"type": "google_service_account", "json": {"b": 1, "a": "x"}})).unwrap();
        assert!(object == Credential::GoogleServiceAccount { json: r#"{"b":1,"a":"x"}"#.to_owned() });
        for (given, field) in [
            (json!(SECRET), "credential"),
            (json!({}), "credential.type"),
            (json!({"type": SECRET}), "credential.type"),
            (json!({"type": "bearer"}), "credential.value"),
            (json!({"type": "bearer", "value": [SECRET]}), "credential.value"),
            (json!({"type": "bearer", "value": "a\nb"}), "credential.value"),
            (json!({"type": "bearer", "value": "x", SECRET: "y"}), "credential"),
            (json!({"type": "header", "name": "a b", "value": SECRET}), "credential.name"),
            (json!({"type": "aws", "access_key_id": "AKIA"}), "credential.secret_access_key"),
            (json!({"type": "aws", "access_key_id": "A B", "secret_access_key": SECRET}), "credential.access_key_id"),
            (
                json!({"type": "aws", "access_key_id": "A", "secret_access_key": "s", "session_token": 1}),
                "credential.session_token",
            ),
            (json!({"type": "google_service_account", "json": [SECRET]}), "credential.json"),
            (json!({"type": "google_service_account", "json": ""}), "credential.json"),
            (
                json!({"type": "entra", "tenant_id": "a/b", "client_id": "c", "client_secret": SECRET}),
                "credential.tenant_id",
            ),
            (json!({"type": "none", "value": SECRET}), "credential"),
        ] {
            let error = Credential::read(&given).err().unwrap_or_else(|| panic!("{given}"));
            assert_eq!(error.param.as_deref(), Some(field), "{given}");
            assert!(!format!("{error:?} {error}").contains(SECRET), "{error:?}");
        }
    }
}
