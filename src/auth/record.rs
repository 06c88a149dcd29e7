//! What the gateway knows of a key, and what the key may do.

use std::rc::Rc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::KeyHash;
use crate::{
    budget::{AccountKind, AccountRef},
    error::{Error, ErrorKind, Result},
    time::Millis,
};

/// What a key is for. Each kind gets 403 where the other is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// Calls models.
    #[default]
    Inference,
    /// Manages keys, providers and models; cannot call models.
    Management,
}

/// How usage is shown in streams of the client's own dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamUsage {
    /// The closing chunk carries usage with cost, as OpenRouter's.
    #[default]
    Cost,
    /// The provider's bytes flow through unedited, its own usage chunk with them.
    Native,
}

/// The record of a key, as the `Account` object keeps it and KV distributes it
/// (schema/key-record.v1.json). Policy only: money never lives here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct KeyRecord {
    /// Version of this shape.
    pub v: u8,
    /// Identity.
    pub hash: KeyHash,
    /// What its budgets, limits and usage belong to: the hash of the first of the keys that were
    /// rotated into each other. A record that does not say it is the first.
    #[serde(default)]
    pub account: String,
    /// What it is for.
    #[serde(default)]
    pub kind: KeyKind,
    /// The operator's name for it.
    pub name: String,
    /// Name of the `Account` object that answers for it.
    pub org: String,
    /// The team it belongs to.
    pub workspace_id: String,
    /// Switched off by the operator.
    #[serde(default)]
    pub disabled: bool,
    /// No longer valid from this moment on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
    /// Models it may call; `None` is all. Entries are ids or `author/*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_models: Option<Vec<String>>,
    /// Providers that may serve it; `None` is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_providers: Option<Vec<String>>,
    /// How usage is shown in its streams.
    #[serde(default)]
    pub stream_usage: StreamUsage,
    /// May call models of which no price is known, though a budget applies to it.
    #[serde(default)]
    pub allow_unpriced: bool,
    /// The same body again within so many seconds is the same request; 0 is never.
    #[serde(default)]
    pub dedupe_window_s: u16,
    /// The account's revision at which this record was last changed: a copy with a smaller number
    /// than the account names is out of date.
    pub revision: u64,
}

impl Serialize for KeyRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for KeyRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut record = Self::deserialize(deserializer)?;
        if record.account.is_empty() {
            record.hash.as_str().clone_into(&mut record.account);
        }
        Ok(record)
    }
}

/// A key that was found, was valid at the time, and is of the kind that was needed.
#[derive(Clone, Debug)]
pub struct Principal(Rc<KeyRecord>);

impl KeyRecord {
    /// The record of the management key that is given to the gateway as a secret.
    pub fn root(hash: KeyHash) -> Self {
        Self {
            v: 1,
            account: hash.as_str().to_owned(),
            hash,
            kind: KeyKind::Management,
            name: "root management key".to_owned(),
            org: crate::DEFAULT_ORG.to_owned(),
            workspace_id: crate::DEFAULT_WORKSPACE.to_owned(),
            disabled: false,
            expires_at: None,
            allowed_models: None,
            allowed_providers: None,
            stream_usage: StreamUsage::Cost,
            allow_unpriced: false,
            dedupe_window_s: 0,
            revision: 0,
        }
    }

    /// What its requests are charged to, whatever they say of themselves: the widest first.
    pub fn accounts(&self) -> [AccountRef; 3] {
        [
            AccountRef::new(AccountKind::Organization, &*self.org),
            AccountRef::new(AccountKind::Workspace, &*self.workspace_id),
            AccountRef::new(AccountKind::Key, &*self.account),
        ]
    }

    /// The one way to a [`Principal`].
    pub fn admit(self: &Rc<Self>, wanted: KeyKind, now: Millis) -> Result<Principal> {
        if self.disabled {
            return Err(unauthorized("This API key is disabled. Ask whoever manages the gateway to enable it.")
                .code("api_key_disabled"));
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(unauthorized("This API key has expired. Ask whoever manages the gateway for a new one.")
                .code("api_key_expired"));
        }
        match (wanted, self.kind) {
            (KeyKind::Inference, KeyKind::Management) => Err(Error::new(
                ErrorKind::Forbidden,
                "This is a management key: it cannot call models. Use an inference key (create one with POST /v1/keys).",
            )
            .code("wrong_key_kind")),
            (KeyKind::Management, KeyKind::Inference) => Err(Error::new(
                ErrorKind::Forbidden,
                "This is an inference key: it cannot manage the gateway. Use a management key.",
            )
            .code("wrong_key_kind")),
            _ => Ok(Principal(Rc::clone(self))),
        }
    }

    /// A 401 for whatever was presented.
    pub fn refuse(what: &str) -> Error {
        unauthorized(what)
    }
}

impl Principal {
    /// The key's record.
    pub fn key(&self) -> &KeyRecord {
        &self.0
    }

    /// Whether it may call this model.
    pub fn may_call(&self, model: &str) -> bool {
        self.0.allowed_models.as_ref().is_none_or(|allowed| {
            allowed.iter().any(|entry| match entry.strip_suffix('*') {
                Some(prefix) => model.starts_with(prefix),
                None => entry == model,
            })
        })
    }

    /// Whether this provider may serve it.
    pub fn may_use(&self, provider: &str) -> bool {
        self.0.allowed_providers.as_ref().is_none_or(|allowed| allowed.iter().any(|entry| entry == provider))
    }
}

fn unauthorized(message: &str) -> Error {
    Error::new(ErrorKind::Unauthorized, message)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::auth::VirtualKey;

    pub(crate) fn record() -> KeyRecord {
        KeyRecord {
            kind: KeyKind::Inference,
            name: "test".to_owned(),
            ..KeyRecord::root(VirtualKey::generate(&[7; 48]).hash())
        }
    }

    #[test]
    fn a_key_is_admitted_only_while_valid_and_only_for_its_kind() {
        let now = Millis(1_000);
        let admit = |change: fn(&mut KeyRecord), wanted| {
            let mut record = record();
            change(&mut record);
            Rc::new(record).admit(wanted, now).map(|_| ()).map_err(|error| (error.status(), error.code))
        };
        assert_eq!(admit(|_| (), KeyKind::Inference), Ok(()));
        assert_eq!(admit(|_| (), KeyKind::Management), Err((403, Some("wrong_key_kind"))));
        assert_eq!(admit(|r| r.kind = KeyKind::Management, KeyKind::Inference), Err((403, Some("wrong_key_kind"))));
        assert_eq!(admit(|r| r.disabled = true, KeyKind::Inference), Err((401, Some("api_key_disabled"))));
        assert_eq!(
            admit(|r| r.expires_at = Some(Millis(1_000)), KeyKind::Inference),
            Err((401, Some("api_key_expired")))
        );
        assert_eq!(admit(|r| r.expires_at = Some(Millis(1_001)), KeyKind::Inference), Ok(()));
    }

    #[test]
    fn a_record_that_names_no_account_is_its_own() {
        let mut doc = serde_json::to_value(record()).unwrap();
        doc.as_object_mut().unwrap().remove("account");
        let read: KeyRecord = serde_json::from_value(doc).unwrap();
        assert_eq!((&read, read.account.as_str()), (&record(), record().hash.as_str()));
        let rotated = KeyRecord { account: "first".to_owned(), ..record() };
        let text = serde_json::to_string(&rotated).unwrap();
        assert_eq!(serde_json::from_str::<KeyRecord>(&text).unwrap(), rotated);
    }

    #[test]
    fn allow_lists_match_ids_and_authors() {
        let mut key = record();
        key.allowed_models = Some(vec!["openai/gpt-4o".to_owned(), "demo/*".to_owned()]);
        key.allowed_providers = Some(vec!["openai".to_owned()]);
        let principal = Rc::new(key).admit(KeyKind::Inference, Millis(0)).unwrap();
        for (model, may) in [("openai/gpt-4o", true), ("openai/gpt-4o-mini", false), ("demo/x", true), ("dem", false)] {
            assert_eq!(principal.may_call(model), may, "{model}");
        }
        assert!(principal.may_use("openai") && !principal.may_use("groq"));
    }
}
