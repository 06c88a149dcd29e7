//! What the gateway knows of a key, and what the key may do.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::KeyHash;
use crate::{
    budget::{AccountKind, AccountRef},
    error::{Error, ErrorKind, Result},
    money::NanoUsd,
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
pub struct KeyRecord {
    /// Version of this shape.
    pub v: u8,
    /// Identity.
    pub hash: KeyHash,
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
    /// Its own limit is used up. Told by the account once usage has been counted; not a budget, which
    /// holds before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exhausted: Option<Exhausted>,
    /// The account's revision at which this record was last changed: a copy with a smaller number
    /// than the account names is out of date.
    pub revision: u64,
}

/// A key's limit that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exhausted {
    /// When the limit's window ends; [`Exhausted::FOR_EVER`] for a limit without one.
    pub until: Millis,
    /// The limit.
    pub limit: NanoUsd,
    /// What had been spent in the window when that was noticed.
    pub spent: NanoUsd,
}

impl Exhausted {
    /// The end of a window that has none (the largest moment that JavaScript holds exactly).
    pub const FOR_EVER: Millis = Millis((1 << 53) - 1);
}

/// A key that was found, was valid at the time, and is of the kind that was needed.
#[derive(Clone, Debug)]
pub struct Principal(Rc<KeyRecord>);

impl KeyRecord {
    /// The record of the management key that is given to the gateway as a secret.
    pub fn root(hash: KeyHash) -> Self {
        Self {
            v: 1,
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
            exhausted: None,
            revision: 0,
        }
    }

    /// What its requests are charged to, whatever they say of themselves: the widest first.
    pub fn accounts(&self) -> [AccountRef; 3] {
        [
            AccountRef::new(AccountKind::Organization, &*self.org),
            AccountRef::new(AccountKind::Workspace, &*self.workspace_id),
            AccountRef::new(AccountKind::Key, self.hash.as_str()),
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

    /// Whether it may spend: no, from when its limit was reached until its window ends.
    pub fn may_spend(&self, now: Millis) -> Result<()> {
        let Some(Exhausted { until, limit, spent }) = self.exhausted.filter(|exhausted| now < exhausted.until) else {
            return Ok(());
        };
        let resets_at = (until != Exhausted::FOR_EVER).then(|| until.iso());
        let then = match &resets_at {
            Some(moment) => format!("It resets at {moment}; whoever manages the gateway can raise it."),
            None => "It does not reset; whoever manages the gateway can raise it.".to_owned(),
        };
        Err(Error::new(
            ErrorKind::PaymentRequired,
            format!("This API key has used ${spent} of its limit of ${limit}. {then}"),
        )
        .code("key_limit_reached")
        .meta("account", serde_json::json!({ "kind": "key", "id": self.hash.as_str() }))
        .meta("limit_usd", limit.to_json())
        .meta("spent_usd", spent.to_json())
        .meta("resets_at", resets_at))
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
    fn a_key_whose_limit_is_used_up_spends_again_when_the_window_ends() {
        let mut key = record();
        assert!(key.may_spend(Millis(0)).is_ok());
        key.exhausted =
            Some(Exhausted { until: Millis(2_000), limit: NanoUsd(5_000_000_000), spent: NanoUsd(5_100_000_000) });
        let error = key.may_spend(Millis(1_999)).unwrap_err();
        assert_eq!((error.status(), error.code), (402, Some("key_limit_reached")));
        assert_eq!(error.metadata["resets_at"], "1970-01-01T00:00:02.000Z");
        assert_eq!((&error.metadata["limit_usd"], &error.metadata["spent_usd"]), (&5.0.into(), &5.1.into()));
        assert!(key.may_spend(Millis(2_000)).is_ok());
        key.exhausted = Some(Exhausted { until: Exhausted::FOR_EVER, limit: NanoUsd(0), spent: NanoUsd(0) });
        let error = key.may_spend(Millis(1 << 45)).unwrap_err();
        assert!(error.metadata["resets_at"].is_null() && error.message.contains("does not reset"));
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
