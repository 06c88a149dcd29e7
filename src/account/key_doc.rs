//! A key as the account keeps it, how a request changes it, and how it is shown (OpenRouter's rows,
//! our additions after them).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    key_limits::{LimitChange, LimitReset, Limits, RateLimit},
    key_usage::Used,
    terms,
};
use crate::{
    admin::body::Given,
    auth::{KeyHash, KeyKind, KeyRecord, StreamUsage, VirtualKey},
    catalog::check_slug,
    error::{Error, Result},
    time::Millis,
};

/// A key as stored. Its limits are meters (`key_limits`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredKey {
    pub(super) record: KeyRecord,
    label: String,
    /// As it was asked for last: what a limit gets that is set later.
    #[serde(default)]
    pub(super) limit_reset: Option<LimitReset>,
    #[serde(default)]
    pub(super) include_byok_in_limit: bool,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
    #[serde(default)]
    external_user: Option<String>,
    #[serde(default)]
    creator_user_id: Option<String>,
    created_at: Millis,
    #[serde(default)]
    pub(super) updated_at: Option<Millis>,
    /// The key that it was rotated into.
    #[serde(default)]
    pub(super) replaced_by: Option<KeyHash>,
}

/// What `POST /keys` and `PATCH /keys/{hash}` take.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeyBody {
    name: Option<String>,
    disabled: Option<bool>,
    limit: Given<f64>,
    limit_reset: Given<LimitReset>,
    include_byok_in_limit: Option<bool>,
    expires_at: Given<String>,
    workspace_id: Option<String>,
    allowed_models: Given<Vec<String>>,
    allowed_providers: Given<Vec<String>>,
    stream_usage: Option<StreamUsage>,
    metadata: Given<Map<String, Value>>,
    rate_limit: Given<RateLimit>,
    allow_unpriced: Option<bool>,
    dedupe_window_s: Option<u64>,
    guardrail_id: Given<String>,
    // What a key is made with and keeps.
    management: Option<bool>,
    external: Option<External>,
    creator_user_id: Option<String>,
}

/// A user of somebody else's system.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct External {
    user: String,
}

impl KeyBody {
    /// Fills in a new key.
    pub(super) fn create(mut self, key: &mut StoredKey) -> Result<LimitChange> {
        if self.name.is_none() {
            return Err(Error::invalid("name", "name: missing field `name`."));
        }
        if self.management.take() == Some(true) {
            key.record.kind = KeyKind::Management;
        }
        key.external_user = self.external.take().map(|external| external.user);
        key.creator_user_id = self.creator_user_id.take();
        self.update(key)
    }

    /// The workspace that it names.
    pub(super) fn workspace(&self) -> Option<&str> {
        self.workspace_id.as_deref()
    }

    /// Names it by its id.
    pub(super) fn set_workspace(&mut self, id: String) {
        self.workspace_id = Some(id);
    }

    /// Checks everything, then changes the key; its limits are the caller's to change.
    pub(super) fn update(self, key: &mut StoredKey) -> Result<LimitChange> {
        for (field, given) in [
            ("management", self.management.is_some()),
            ("external", self.external.is_some()),
            ("creator_user_id", self.creator_user_id.is_some()),
        ] {
            if given {
                return Err(Error::invalid(field, format!("{field} is fixed when a key is created.")));
            }
        }
        if let Given::Value(rates) = &self.rate_limit {
            rates.check()?;
        }
        let dedupe_window_s = match self.dedupe_window_s.map(u16::try_from) {
            None => key.record.dedupe_window_s,
            Some(Ok(seconds @ 0..=600)) => seconds,
            Some(_) => {
                let message = "dedupe_window_s must be a whole number of seconds from 0 to 600.";
                return Err(Error::invalid("dedupe_window_s", message));
            }
        };
        if key.replaced_by.is_some() && self.expires_at != Given::Absent {
            return Err(Error::invalid("expires_at", "expires_at: this key was rotated and ends with its grace."));
        }
        if matches!(self.guardrail_id, Given::Value(_)) {
            return Err(Error::invalid("guardrail_id", "guardrail_id: there is no guardrail of that id."));
        }
        let limit = self.limit.try_map(|amount| terms::usd("limit", amount))?;
        let expires_at = self.expires_at.try_map(|text| terms::moment("expires_at", &text))?;
        let allowed_models =
            self.allowed_models.try_map(|entries| check_each("allowed_models", entries, check_model_pattern))?;
        let allowed_providers =
            self.allowed_providers.try_map(|entries| check_each("allowed_providers", entries, check_slug))?;
        if let Given::Value(metadata) = &self.metadata
            && Value::from(metadata.clone()).to_string().len() > 4096
        {
            return Err(Error::invalid("metadata", "metadata must be at most 4096 bytes of JSON."));
        }
        if let Some(name) = &self.name
            && (name.trim().is_empty() || name.chars().count() > 200)
        {
            return Err(Error::invalid("name", "name must have 1 to 200 characters."));
        }

        let record = &mut key.record;
        record.name = self.name.unwrap_or_else(|| record.name.clone());
        record.disabled = self.disabled.unwrap_or(record.disabled);
        record.expires_at = expires_at.over(record.expires_at);
        record.workspace_id = self.workspace_id.unwrap_or_else(|| record.workspace_id.clone());
        record.allowed_models = allowed_models.over(record.allowed_models.take());
        record.allowed_providers = allowed_providers.over(record.allowed_providers.take());
        record.stream_usage = self.stream_usage.unwrap_or(record.stream_usage);
        record.allow_unpriced = self.allow_unpriced.unwrap_or(record.allow_unpriced);
        record.dedupe_window_s = dedupe_window_s;
        let change = LimitChange { limit, reset: self.limit_reset.clone(), rates: self.rate_limit };
        key.limit_reset = self.limit_reset.over(key.limit_reset);
        key.include_byok_in_limit = self.include_byok_in_limit.unwrap_or(key.include_byok_in_limit);
        key.metadata = self.metadata.over(key.metadata.take());
        Ok(change)
    }
}

fn check_each(field: &str, entries: Vec<String>, check: fn(&str) -> Result<(), String>) -> Result<Vec<String>> {
    for (index, entry) in entries.iter().enumerate() {
        check(entry).map_err(|why| Error::invalid(format!("{field}[{index}]"), format!("{field}[{index}]: {why}")))?;
    }
    Ok(entries)
}

fn check_model_pattern(entry: &str) -> Result<(), String> {
    let stem = entry.strip_suffix('*').unwrap_or(entry);
    if entry.is_empty() || entry.len() > 200 || stem.contains('*') || !stem.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("{entry:?} must be a model id such as \"author/name\", or \"author/*\"."));
    }
    Ok(())
}

impl StoredKey {
    /// A new inference key, not named yet.
    pub(super) fn new(secret: &VirtualKey, now: Millis) -> Self {
        let mut key = Self::root(secret.hash(), now);
        key.record.kind = KeyKind::Inference;
        key.label = secret.label();
        key
    }

    /// The root management key, which is stored nowhere.
    pub(super) fn root(hash: KeyHash, now: Millis) -> Self {
        Self {
            record: KeyRecord::root(hash),
            label: "root management key".to_owned(),
            limit_reset: None,
            include_byok_in_limit: false,
            metadata: None,
            external_user: None,
            creator_user_id: None,
            created_at: now,
            updated_at: None,
            replaced_by: None,
        }
    }

    /// The key that this one is rotated into: another secret, the same account, name and rules.
    pub(super) fn rotated(&self, secret: &VirtualKey, now: Millis) -> Self {
        let record = KeyRecord { hash: secret.hash(), disabled: false, ..self.record.clone() };
        Self { record, label: secret.label(), created_at: now, updated_at: None, replaced_by: None, ..self.clone() }
    }

    /// The row of `/keys`.
    pub(super) fn row(&self, used: &Used, limits: &Limits, last_used_at: Option<Millis>, now: Millis) -> Value {
        let record = &self.record;
        let (limit, remaining, reset) = self.limit(limits, now);
        with_figures(
            used,
            json!({
                "hash": record.hash,
                "name": record.name,
                "label": self.label,
                "disabled": record.disabled,
                "limit": limit,
                "limit_remaining": remaining,
                "limit_reset": reset,
                "include_byok_in_limit": self.include_byok_in_limit,
                "created_at": self.created_at.iso(),
                "updated_at": self.updated_at.map(Millis::iso),
                "expires_at": record.expires_at.map(Millis::iso),
                "last_used_at": last_used_at.map(Millis::iso),
                "creator_user_id": self.creator_user_id,
                "external_user": self.external_user,
                "workspace_id": record.workspace_id,
                "management": record.kind == KeyKind::Management,
                "allowed_models": record.allowed_models,
                "allowed_providers": record.allowed_providers,
                "stream_usage": record.stream_usage,
                "metadata": self.metadata,
                "rate_limit": limits.rates(now),
                "guardrail_id": null,
                "allow_unpriced": record.allow_unpriced,
                "dedupe_window_s": record.dedupe_window_s,
                "account": record.account,
                "replaced_by": self.replaced_by,
            }),
        )
    }

    /// `limit`, what remains of it, and `limit_reset`.
    fn limit(&self, limits: &Limits, now: Millis) -> (Value, Value, Value) {
        let (limit, remaining, reset) =
            limits.limit(now).unwrap_or_else(|| (Value::Null, Value::Null, json!(self.limit_reset)));
        (limit, remaining, reset)
    }

    /// The answer of `GET /key`. `budgets` are those that apply, `effective` the tightest of them.
    pub(super) fn about_itself(
        &self,
        used: &Used,
        limits: &Limits,
        (budgets, effective): (Vec<Value>, Value),
        now: Millis,
    ) -> Value {
        let record = &self.record;
        let management = record.kind == KeyKind::Management;
        let (limit, remaining, reset) = self.limit(limits, now);
        with_figures(
            used,
            json!({
                "label": self.label,
                "limit": limit,
                "limit_remaining": remaining,
                "limit_reset": reset,
                "include_byok_in_limit": self.include_byok_in_limit,
                "is_free_tier": false,
                "is_management_key": management,
                "is_provisioning_key": management,
                "rate_limit": limits.rates_for_older_clients(now),
                "creator_user_id": self.creator_user_id,
                "organization_id": record.org,
                "workspace_id": record.workspace_id,
                "expires_at": record.expires_at.map(Millis::iso),
                "allowed_data_regions": ["global"],
                "free_model_daily_requests": { "limit": 0, "used": 0, "remaining": 0 },
                "budgets": budgets,
                "effective_budget": effective,
                "hash": record.hash,
                "name": record.name,
                "allowed_models": record.allowed_models,
                "allowed_providers": record.allowed_providers,
                "stream_usage": record.stream_usage,
                "allow_unpriced": record.allow_unpriced,
                "dedupe_window_s": record.dedupe_window_s,
            }),
        )
    }
}

/// Adds `usage`, `usage_daily`, ... and `byok_usage`, ... to a row.
fn with_figures(used: &Used, mut row: Value) -> Value {
    for (name, spent) in [("usage", used.own), ("byok_usage", used.byok)] {
        for (window, amount) in
            [("", spent.total), ("_daily", spent.day), ("_weekly", spent.week), ("_monthly", spent.month)]
        {
            if let Some(row) = row.as_object_mut() {
                row.insert(format!("{name}{window}"), amount.to_json());
            }
        }
    }
    row
}
