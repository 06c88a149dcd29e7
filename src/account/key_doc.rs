//! A key as the account keeps it, how a request changes it, and how it is shown (OpenRouter's rows,
//! our additions after them).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::key_usage::{Used, end_of};
use crate::{
    admin::body::Given,
    auth::{Exhausted, KeyHash, KeyKind, KeyRecord, StreamUsage, VirtualKey},
    catalog::check_slug,
    error::{Error, Result},
    money::NanoUsd,
    time::{Millis, Window},
};

/// How often a key's limit starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LimitReset {
    Daily,
    Weekly,
    Monthly,
}

impl LimitReset {
    fn window(self) -> Window {
        match self {
            Self::Daily => Window::Day,
            Self::Weekly => Window::Week,
            Self::Monthly => Window::Month,
        }
    }
}

/// A key as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredKey {
    pub(super) record: KeyRecord,
    label: String,
    #[serde(default)]
    pub(super) limit: Option<NanoUsd>,
    #[serde(default)]
    limit_reset: Option<LimitReset>,
    #[serde(default)]
    include_byok_in_limit: bool,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
    #[serde(default)]
    external_user: Option<String>,
    #[serde(default)]
    creator_user_id: Option<String>,
    created_at: Millis,
    #[serde(default)]
    pub(super) updated_at: Option<Millis>,
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
    rate_limit: Given<Value>,
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
    pub(super) fn create(mut self, key: &mut StoredKey) -> Result<()> {
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

    /// Checks everything, then changes the key.
    pub(super) fn update(self, key: &mut StoredKey) -> Result<()> {
        for (field, given) in [
            ("management", self.management.is_some()),
            ("external", self.external.is_some()),
            ("creator_user_id", self.creator_user_id.is_some()),
        ] {
            if given {
                return Err(Error::invalid(field, format!("{field} is fixed when a key is created.")));
            }
        }
        if matches!(self.rate_limit, Given::Value(_)) {
            return Err(Error::invalid(
                "rate_limit",
                "rate_limit: this gateway does not limit rates yet; leave it out or send null.",
            ));
        }
        if matches!(self.guardrail_id, Given::Value(_)) {
            return Err(Error::invalid("guardrail_id", "guardrail_id: there is no guardrail of that id."));
        }
        let limit = self.limit.try_map(|usd| {
            NanoUsd::from_usd(usd)
                .filter(|limit| (0..=MOST_NANO).contains(&limit.0))
                .ok_or_else(|| Error::invalid("limit", "limit must be an amount in USD from 0 to 9000000."))
        })?;
        let expires_at = self.expires_at.try_map(|moment| {
            Millis::parse_iso(&moment).ok_or_else(|| {
                Error::invalid(
                    "expires_at",
                    "expires_at must be a date and time with seconds and offset, such as 2026-12-31T23:59:59Z.",
                )
            })
        })?;
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
        if let Some(id) = &self.workspace_id
            && (id.is_empty() || id.len() > 64 || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)))
        {
            return Err(Error::invalid(
                "workspace_id",
                "workspace_id must be 1 to 64 of A-Z, a-z, 0-9, '-', '_' and '.'.",
            ));
        }

        let record = &mut key.record;
        record.name = self.name.unwrap_or_else(|| record.name.clone());
        record.disabled = self.disabled.unwrap_or(record.disabled);
        record.expires_at = expires_at.over(record.expires_at);
        record.workspace_id = self.workspace_id.unwrap_or_else(|| record.workspace_id.clone());
        record.allowed_models = allowed_models.over(record.allowed_models.take());
        record.allowed_providers = allowed_providers.over(record.allowed_providers.take());
        record.stream_usage = self.stream_usage.unwrap_or(record.stream_usage);
        key.limit = limit.over(key.limit);
        key.limit_reset = self.limit_reset.over(key.limit_reset);
        key.include_byok_in_limit = self.include_byok_in_limit.unwrap_or(key.include_byok_in_limit);
        key.metadata = self.metadata.over(key.metadata.take());
        Ok(())
    }
}

/// Nine million dollars: exact as a JavaScript number.
const MOST_NANO: i64 = 9_000_000_000_000_000;

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
            limit: None,
            limit_reset: None,
            include_byok_in_limit: false,
            metadata: None,
            external_user: None,
            creator_user_id: None,
            created_at: now,
            updated_at: None,
        }
    }

    /// Whether, until when and how the limit is used up.
    pub(super) fn exhausted(&self, used: &Used, now: Millis) -> Option<Exhausted> {
        let (limit, spent) = (self.limit?, self.spent(used));
        let until = end_of(self.limit_reset.map(LimitReset::window), now);
        (spent >= limit).then_some(Exhausted { until, limit, spent })
    }

    fn spent(&self, used: &Used) -> NanoUsd {
        let window = self.limit_reset.map(LimitReset::window);
        let byok = if self.include_byok_in_limit { used.byok.within(window) } else { NanoUsd::ZERO };
        used.own.within(window).plus(byok)
    }

    fn remaining(&self, used: &Used) -> Option<Value> {
        self.limit.map(|limit| NanoUsd((limit.0 - self.spent(used).0).max(0)).to_json())
    }

    /// The row of `/keys`.
    pub(super) fn row(&self, used: &Used, last_used_at: Option<Millis>) -> Value {
        let record = &self.record;
        with_figures(
            used,
            json!({
                "hash": record.hash,
                "name": record.name,
                "label": self.label,
                "disabled": record.disabled,
                "limit": self.limit.map(NanoUsd::to_json),
                "limit_remaining": self.remaining(used),
                "limit_reset": self.limit_reset,
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
                "rate_limit": null,
                "guardrail_id": null,
            }),
        )
    }

    /// The answer of `GET /key`.
    pub(super) fn about_itself(&self, used: &Used, now: Millis) -> Value {
        let record = &self.record;
        let management = record.kind == KeyKind::Management;
        let budget = self.limit.map(|limit| {
            let spent = self.spent(used);
            json!({
                "scope": "key_limit",
                "limit_usd": limit.to_json(),
                "spend_usd": spent.to_json(),
                "remaining_usd": NanoUsd(limit.0 - spent.0).to_json(),
                "reset_interval": self.limit_reset,
                "resets_at": self.limit_reset.map(|reset| end_of(Some(reset.window()), now).iso()),
                "budget_id": null,
                "guardrail_id": null,
                "include_byok": self.include_byok_in_limit,
            })
        });
        with_figures(
            used,
            json!({
                "label": self.label,
                "limit": self.limit.map(NanoUsd::to_json),
                "limit_remaining": self.remaining(used),
                "limit_reset": self.limit_reset,
                "include_byok_in_limit": self.include_byok_in_limit,
                "is_free_tier": false,
                "is_management_key": management,
                "is_provisioning_key": management,
                "rate_limit": { "requests": -1, "interval": "10s", "note": "There is no rate limit; this member is for older clients." },
                "creator_user_id": self.creator_user_id,
                "organization_id": record.org,
                "workspace_id": record.workspace_id,
                "expires_at": record.expires_at.map(Millis::iso),
                "allowed_data_regions": ["global"],
                "free_model_daily_requests": { "limit": 0, "used": 0, "remaining": 0 },
                "budgets": budget.iter().collect::<Vec<_>>(),
                "effective_budget": budget,
                "hash": record.hash,
                "name": record.name,
                "allowed_models": record.allowed_models,
                "allowed_providers": record.allowed_providers,
                "stream_usage": record.stream_usage,
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
