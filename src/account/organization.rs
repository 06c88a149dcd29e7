//! The organization's settings: `GET` and `PATCH /organization`.
//!
//! One row of one document. The webhook's secret is sealed under the master key, goes to no other host
//! than the one it was given for, and is never shown. Every change raises the account's revision, so
//! isolates learn of it within seconds.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Context, credits, keys};
use crate::{
    DEFAULT_ORG,
    admin::body::{self, Given},
    budget::{AccountKind, AccountRef, LoopDetection, Policy},
    catalog::credential::{Credential, MasterKey, SealedCredential},
    error::{Error, ErrorKind, Result},
    money::NanoUsd,
    ports::{AdminRequest, Sql, SqlError, text},
    time::Millis,
};

/// What the webhook's secret is bound to when it is sealed.
const SEALED_FOR: &str = "alert_webhook";
/// A signature's secret has at least so many characters, and at most.
const SECRET_CHARS: std::ops::RangeInclusive<usize> = 16..=256;

/// As stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Settings {
    name: String,
    /// Serves only what credits pay for.
    #[serde(default)]
    pub(super) prepaid: bool,
    #[serde(default)]
    policy: Policy,
    /// A balance of so little is told to the webhook.
    #[serde(default)]
    pub(super) low_balance: Option<NanoUsd>,
    #[serde(default)]
    pub(super) alert_webhook: Option<Webhook>,
}

/// Where alerts go.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Webhook {
    pub(super) url: String,
    pub(super) allow_private_network: bool,
    secret: SealedCredential,
}

impl Webhook {
    /// The secret that signs.
    pub(super) fn secret(&self, master: &MasterKey) -> Result<String, String> {
        match master.open(&self.secret, SEALED_FOR)? {
            Credential::Bearer { value } => Ok(value),
            _ => Err("it holds no secret".to_owned()),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: DEFAULT_ORG.to_owned(),
            prepaid: false,
            policy: Policy::default(),
            low_balance: None,
            alert_webhook: None,
        }
    }
}

/// What `PATCH /organization` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    name: Option<String>,
    prepaid: Option<bool>,
    margin_percent: Option<f64>,
    fee_per_request_usd: Option<f64>,
    #[serde(default)]
    low_balance_usd: Given<f64>,
    #[serde(default)]
    alert_webhook: Given<WebhookBody>,
    allow_unpriced: Option<bool>,
    #[serde(default)]
    loop_detection: Given<LoopDetection>,
    dedupe_window_s: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookBody {
    url: String,
    secret: Option<String>,
    allow_private_network: Option<bool>,
}

/// Creates the table.
pub(super) fn migrate(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS organization (
            one INTEGER PRIMARY KEY CHECK (one = 1), doc TEXT NOT NULL, low_told INTEGER NOT NULL DEFAULT 0
        )",
        &[],
    )?;
    Ok(())
}

/// The organization as an account of meters.
pub(super) fn account() -> AccountRef {
    AccountRef::new(AccountKind::Organization, DEFAULT_ORG)
}

/// The rules that isolates follow.
pub fn policy(sql: &dyn Sql) -> Result<Policy> {
    Ok(load(sql)?.policy)
}

pub(super) fn load(sql: &dyn Sql) -> Result<Settings> {
    let rows = sql.run("SELECT doc FROM organization", &[])?;
    let Some(row) = rows.first() else { return Ok(Settings::default()) };
    serde_json::from_str(text(row, "doc")).map_err(|error| Error::internal(format!("the organization: {error}")))
}

pub(super) fn get(sql: &dyn Sql) -> Result<Value> {
    Ok(shape(&load(sql)?))
}

pub(super) fn update(sql: &dyn Sql, request: &AdminRequest, context: &Context) -> Result<Value> {
    let change: Change = body::parse(request.body.as_ref())?;
    let settings = change.over(load(sql)?, context)?;
    let doc = serde_json::to_string(&settings).map_err(|error| Error::internal(error.to_string()))?;
    sql.run(
        "INSERT INTO organization (one, doc) VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET doc = excluded.doc, low_told = 0",
        &[doc.into()],
    )?;
    credits::refill(sql, context.now)?;
    noted(sql, context.now)?;
    Ok(shape(&settings))
}

/// Isolates are to ask for the organization again.
pub(super) fn noted(sql: &dyn Sql, now: Millis) -> Result<(), SqlError> {
    keys::note_change(sql, &account().to_string(), now)?;
    Ok(())
}

impl Change {
    /// Checks everything, then changes the settings.
    fn over(self, old: Settings, context: &Context) -> Result<Settings> {
        if let Some(name) = &self.name
            && (name.trim().is_empty() || name.chars().count() > 200)
        {
            return Err(Error::invalid("name", "name must have 1 to 200 characters."));
        }
        let mut policy = old.policy;
        if let Some(percent) = self.margin_percent {
            policy.margin_ppm = parts(percent)?;
        }
        if let Some(usd) = self.fee_per_request_usd {
            policy.fee_nano = amount("fee_per_request_usd", usd, 1000)?;
        }
        policy.allow_unpriced = self.allow_unpriced.unwrap_or(policy.allow_unpriced);
        policy.loop_detection = self.loop_detection.over(policy.loop_detection);
        if let Some(LoopDetection { repeats, window_s }) = policy.loop_detection {
            within("loop_detection.repeats", repeats, 2..=1000)?;
            within("loop_detection.window_s", window_s, 1..=86_400)?;
        }
        policy.dedupe_window_s = self.dedupe_window_s.unwrap_or(policy.dedupe_window_s);
        within("dedupe_window_s", policy.dedupe_window_s, 0..=3600)?;
        let low_balance = self.low_balance_usd.try_map(|usd| amount("low_balance_usd", usd, 9_000_000))?;
        let kept = old.alert_webhook.as_ref();
        let alert_webhook = self.alert_webhook.try_map(|given| given.checked(kept, context))?;
        Ok(Settings {
            name: self.name.unwrap_or(old.name),
            prepaid: self.prepaid.unwrap_or(old.prepaid),
            policy,
            low_balance: low_balance.over(old.low_balance),
            alert_webhook: alert_webhook.over(old.alert_webhook),
        })
    }
}

impl WebhookBody {
    fn checked(self, old: Option<&Webhook>, context: &Context) -> Result<Webhook> {
        let allow_private_network = self.allow_private_network.unwrap_or(false);
        let wrong = |why: &str| Error::invalid("alert_webhook.url", format!("alert_webhook.url {why}."));
        let rest = match (self.url.strip_prefix("https://"), self.url.strip_prefix("http://")) {
            (Some(rest), _) => rest,
            (None, Some(rest)) if allow_private_network => rest,
            _ => return Err(wrong("must begin with https:// (or http:// where allow_private_network is true)")),
        };
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if host.is_empty()
            || host.contains('@')
            || self.url.len() > 2000
            || !self.url.bytes().all(|b| b.is_ascii_graphic() && !b"\\\"<>".contains(&b))
        {
            return Err(wrong("must be a URL with a host, without a user name, of at most 2000 ASCII characters"));
        }
        let secret = match (self.secret, old) {
            (Some(secret), _) => seal(secret, context)?,
            (None, Some(old)) if origin(&old.url) == origin(&self.url) => old.secret.clone(),
            (None, _) => {
                return Err(Error::invalid(
                    "alert_webhook.secret",
                    "alert_webhook.secret is needed: alerts are signed with it, and an earlier one goes to no other host.",
                ));
            }
        };
        Ok(Webhook { url: self.url, allow_private_network, secret })
    }
}

fn seal(secret: String, context: &Context) -> Result<SealedCredential> {
    if !SECRET_CHARS.contains(&secret.len()) || !secret.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::invalid(
            "alert_webhook.secret",
            format!(
                "alert_webhook.secret must be {} to {} printable ASCII characters without spaces.",
                SECRET_CHARS.start(),
                SECRET_CHARS.end()
            ),
        ));
    }
    let credential = Credential::Bearer { value: secret };
    context.master()?.seal(&credential, SEALED_FOR, context.secret_nonce).map_err(Error::internal)
}

fn origin(url: &str) -> String {
    url.split(['/', '?', '#']).take(3).collect::<Vec<_>>().join("/").to_ascii_lowercase()
}

/// Percent, with at most four decimals, as parts per million.
fn parts(percent: f64) -> Result<u32> {
    let parts = percent * 1e4;
    let whole = parts.round();
    if !(0.0..=1e7).contains(&whole) || (parts - whole).abs() > 1e-6 {
        return Err(Error::invalid(
            "margin_percent",
            "margin_percent must be from 0 to 1000, with at most four decimals.",
        ));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    Ok(whole as u32)
}

fn amount(field: &str, usd: f64, most_usd: i64) -> Result<NanoUsd> {
    NanoUsd::from_usd(usd)
        .filter(|nano| (0..=most_usd * 1_000_000_000).contains(&nano.0))
        .ok_or_else(|| Error::invalid(field, format!("{field} must be an amount in USD from 0 to {most_usd}.")))
}

fn within(field: &str, number: u32, range: std::ops::RangeInclusive<u32>) -> Result<()> {
    if range.contains(&number) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("{field} must be a whole number from {} to {}.", range.start(), range.end())))
}

fn shape(settings: &Settings) -> Value {
    let Policy { margin_ppm, fee_nano, allow_unpriced, loop_detection, dedupe_window_s } = &settings.policy;
    let webhook = settings.alert_webhook.as_ref().map(|webhook| {
        json!({
            "url": webhook.url,
            "allow_private_network": webhook.allow_private_network,
            "secret": { "configured": true },
        })
    });
    json!({ "data": {
        "id": DEFAULT_ORG,
        "name": settings.name,
        "prepaid": settings.prepaid,
        "margin_percent": f64::from(*margin_ppm) / 1e4,
        "fee_per_request_usd": fee_nano.to_json(),
        "low_balance_usd": settings.low_balance.map(NanoUsd::to_json),
        "alert_webhook": webhook,
        "allow_unpriced": allow_unpriced,
        "loop_detection": loop_detection,
        "dedupe_window_s": dedupe_window_s,
    } })
}

impl Context {
    /// The master key, or why nothing can be sealed.
    pub(super) fn master(&self) -> Result<&MasterKey> {
        self.master.as_ref().map_err(|why| {
            Error::new(ErrorKind::StoreUnavailable, format!("The gateway cannot store secrets: {why}."))
                .code("master_key_missing")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::testing::Account;

    #[test]
    fn settings_are_kept_and_what_is_left_out_stays() {
        let account = Account::new();
        let fresh = account.ask("GET", "/organization", Value::Null).unwrap()["data"].clone();
        assert_eq!(
            (&fresh["prepaid"], &fresh["margin_percent"], &fresh["name"]),
            (&json!(false), &json!(0.0), &json!("default"))
        );
        let change = json!({
            "name": "Acme", "prepaid": true, "margin_percent": 12.3456, "fee_per_request_usd": 0.0001, "low_balance_usd": 5,
            "allow_unpriced": true, "loop_detection": { "repeats": 3, "window_s": 60 }, "dedupe_window_s": 30,
            "alert_webhook": { "url": "https://hooks.example/alerts", "secret": "0123456789abcdef" },
        });
        let changed = account.ask("PATCH", "/organization", change).unwrap()["data"].clone();
        assert_eq!(changed["margin_percent"], 12.3456);
        assert_eq!(
            changed["alert_webhook"],
            json!({ "url": "https://hooks.example/alerts", "allow_private_network": false, "secret": { "configured": true } })
        );
        assert_eq!(account.ask("GET", "/organization", Value::Null).unwrap()["data"], changed);
        let policy = policy(&account.sql).unwrap();
        assert_eq!((policy.margin_ppm, policy.fee_nano, policy.dedupe_window_s), (123_456, NanoUsd(100_000), 30));
        let again =
            account.ask("PATCH", "/organization", json!({ "low_balance_usd": null, "loop_detection": null })).unwrap();
        assert_eq!(
            (&again["data"]["low_balance_usd"], &again["data"]["loop_detection"], &again["data"]["name"]),
            (&Value::Null, &Value::Null, &json!("Acme"))
        );
        assert_eq!(keys::revision(&account.sql).unwrap(), 2, "each change is told");
    }

    #[test]
    fn every_wrong_member_is_named_and_nothing_is_changed() {
        let account = Account::new();
        let before = account.ask("GET", "/organization", Value::Null).unwrap();
        let hook = |url: &str, secret: Value| json!({ "alert_webhook": { "url": url, "secret": secret } });
        for (body, param) in [
            (json!({ "name": "" }), "name"),
            (json!({ "margin_percent": -1 }), "margin_percent"),
            (json!({ "margin_percent": 1000.1 }), "margin_percent"),
            (json!({ "margin_percent": 0.00001 }), "margin_percent"),
            (json!({ "margin_percent": "5" }), "margin_percent"),
            (json!({ "fee_per_request_usd": 1e300 }), "fee_per_request_usd"),
            (json!({ "fee_per_request_usd": -0.1 }), "fee_per_request_usd"),
            (json!({ "low_balance_usd": 9_000_001 }), "low_balance_usd"),
            (json!({ "loop_detection": { "repeats": 1, "window_s": 60 } }), "loop_detection.repeats"),
            (json!({ "loop_detection": { "repeats": 2, "window_s": 0 } }), "loop_detection.window_s"),
            (json!({ "loop_detection": { "repeats": 2 } }), "loop_detection.window_s"),
            (json!({ "dedupe_window_s": 3601 }), "dedupe_window_s"),
            (json!({ "prepaid": 1 }), "prepaid"),
            (json!({ "nonsense": 1 }), "nonsense"),
            (hook("ftp://x.example", json!("0123456789abcdef")), "alert_webhook.url"),
            (hook("http://x.example", json!("0123456789abcdef")), "alert_webhook.url"),
            (hook("https://", json!("0123456789abcdef")), "alert_webhook.url"),
            (hook("https://a@x.example", json!("0123456789abcdef")), "alert_webhook.url"),
            (hook("https://x.example/ü", json!("0123456789abcdef")), "alert_webhook.url"),
            (hook("https://x.example", json!("short")), "alert_webhook.secret"),
            (hook("https://x.example", Value::Null), "alert_webhook.secret"),
        ] {
            let error = account.ask("PATCH", "/organization", body.clone()).unwrap_err();
            assert_eq!((error.status(), error.param.as_deref()), (400, Some(param)), "{body}: {}", error.message);
        }
        assert_eq!(account.ask("GET", "/organization", Value::Null).unwrap(), before);
    }

    #[test]
    fn the_webhooks_secret_is_sealed_and_goes_to_no_other_host() {
        let account = Account::new();
        let set = |url: &str, secret: Option<&str>| {
            let mut hook = json!({ "url": url, "allow_private_network": url.starts_with("http:") });
            if let Some(secret) = secret {
                hook["secret"] = secret.into();
            }
            account.ask("PATCH", "/organization", json!({ "alert_webhook": hook }))
        };
        set("https://a.example/x", Some("0123456789abcdef")).unwrap();
        set("https://a.example/y", None).unwrap();
        for other in ["https://b.example/x", "http://a.example/x", "https://a.example:8443/x"] {
            assert_eq!(set(other, None).unwrap_err().param.as_deref(), Some("alert_webhook.secret"), "{other}");
        }
        let stored = account.sql.run("SELECT doc FROM organization", &[]).unwrap();
        assert!(!text(&stored[0], "doc").contains("0123456789abcdef"));
        let webhook = load(&account.sql).unwrap().alert_webhook.unwrap();
        let secret = webhook.secret(account.context().master.as_ref().unwrap()).unwrap();
        assert_eq!((webhook.url.as_str(), secret.as_str()), ("https://a.example/y", "0123456789abcdef"));
    }
}
