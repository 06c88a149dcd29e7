//! Alerts: a budget has reached a share of its limit, the balance is low. Each is told once to the
//! organization's webhook, signed ([`super::signature`]), at least once on the wire: the receiver knows
//! a repeated one by its `Sluice-Event-Id`.
//!
//! Table `alert_outbox`. States: `pending`; `delivered` (answered 2xx); `failed` (nobody took it for
//! 24 hours); `unsent` (there was no webhook). Rows are kept for 90 days.
//!
//! An alert is written in the same run of SQL as what it tells of. The object's alarm sends: [`due`]
//! puts the next try off before anything is sent, so two alarms never send the same one; [`done`] says
//! what came of it.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{ledger, organization, signature};
use crate::{
    DEFAULT_ORG,
    admin::query,
    budget::{Unit, book::Crossed},
    catalog::credential::MasterKey,
    error::{Error, Result},
    ids::hex,
    money::NanoUsd,
    ports::{AdminRequest, Row, Sql, SqlError, int, text},
    time::Millis,
};

/// How long one delivery may take.
pub const TIMEOUT_MS: u64 = 10_000;
/// While one is on its way, no other is tried.
const ON_ITS_WAY_MS: i64 = 30_000;
const FIRST_RETRY_MS: i64 = 5_000;
const LAST_RETRY_MS: i64 = 3_600_000;
const GIVE_UP_MS: i64 = 24 * 3_600_000;
const KEPT_MS: i64 = 90 * 24 * 3_600_000;
const AT_A_TIME: i64 = 10;
const STATES: [&str; 4] = ["pending", "delivered", "failed", "unsent"];

/// A request to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The alert.
    pub id: String,
    /// Where to.
    pub url: String,
    /// Whether it may go to a private address.
    pub private: bool,
    /// The value of `Sluice-Signature`.
    pub signature: String,
    /// JSON.
    pub body: String,
}

/// Creates the table.
pub(super) fn migrate(sql: &dyn Sql) -> Result<(), SqlError> {
    for statement in [
        "CREATE TABLE IF NOT EXISTS alert_outbox (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, type TEXT NOT NULL,
            body TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, next_at INTEGER,
            last_error TEXT, delivered_at INTEGER
        )",
        "CREATE INDEX IF NOT EXISTS alerts_next ON alert_outbox (next_at) WHERE next_at IS NOT NULL",
    ] {
        sql.run(statement, &[])?;
    }
    Ok(())
}

/// Tells of a threshold, once in each window of its meter.
pub fn enqueue(sql: &dyn Sql, crossed: &Crossed, now: Millis) -> Result<()> {
    let Crossed { meter, share } = crossed;
    let terms = &meter.terms;
    let shown = |amount: i64| match terms.unit {
        Unit::Usd => NanoUsd(amount).to_json(),
        Unit::Tokens | Unit::Requests | Unit::Parallel => amount.into(),
    };
    let limit = terms.limit_at(now);
    let forever = meter.until == crate::budget::meter::FOR_EVER;
    let data = json!({
        "account": { "kind": terms.account.kind, "id": terms.account.id },
        "budget": terms.name,
        "unit": terms.unit,
        "model": terms.model,
        "hard": terms.hard,
        "threshold": f64::from(*share) / 1000.0,
        "limit": shown(limit),
        "spent": shown(meter.spent),
        "window_start": meter.since.iso(),
        "resets_at": (!forever).then(|| meter.until.iso()),
    });
    add(sql, &format!("meter {} {} {share}", meter.id.0, meter.window), "budget.threshold", &data, now)
}

/// Tells when the balance has become low, and again only after it was not. For the commit path, after
/// usage was posted.
pub fn check_balance(sql: &dyn Sql, now: Millis) -> Result<()> {
    let rows = sql.run("SELECT doc ->> '$.low_balance' AS low, low_told FROM organization", &[])?;
    let Some((row, low)) = rows.first().and_then(|row| Some((row, row.get("low")?.as_i64()?))) else { return Ok(()) };
    let (balance, told) = (ledger::standing(sql)?.balance, int(row, "low_told") != 0);
    if (balance.0 <= low) == told {
        return Ok(());
    }
    if !told {
        let data = json!({ "balance": balance.to_json(), "low_balance_usd": NanoUsd(low).to_json() });
        add(sql, &format!("balance {}", now.0), "balance.low", &data, now)?;
    }
    sql.run("UPDATE organization SET low_told = ?1", &[(!told).into()])?;
    Ok(())
}

/// `once` is the alert's identity: the same again is not written.
fn add(sql: &dyn Sql, once: &str, kind: &str, data: &Value, now: Millis) -> Result<()> {
    let id: String = hex(&Sha256::digest(format!("{DEFAULT_ORG} {once}"))).chars().take(32).collect();
    let id = format!("alert-{id}");
    let body = json!({
        "id": id, "type": kind, "created_at": now.iso(), "organization_id": DEFAULT_ORG, "data": data,
    });
    let wanted = organization::load(sql)?.alert_webhook.is_some();
    let (state, next_at) = if wanted { ("pending", Some(now.0)) } else { ("unsent", None) };
    sql.run(
        "INSERT INTO alert_outbox (id, at, type, body, state, next_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        &[id.into(), now.0.into(), kind.into(), body.to_string().into(), state.into(), next_at.into()],
    )?;
    sql.run("DELETE FROM alert_outbox WHERE at < ?1", &[now.plus(-KEPT_MS).0.into()])?;
    Ok(())
}

/// When the next one is to be sent.
pub(super) fn next_alarm(sql: &dyn Sql) -> Result<Option<Millis>> {
    let rows = sql.run("SELECT min(next_at) AS at FROM alert_outbox WHERE next_at IS NOT NULL", &[])?;
    Ok(rows.first().and_then(|row| row.get("at")?.as_i64()).map(Millis))
}

/// What is to be sent now.
pub fn due(sql: &dyn Sql, master: &Result<MasterKey, String>, now: Millis) -> Result<Vec<Delivery>> {
    let rows = sql.run(
        "SELECT id, body FROM alert_outbox WHERE next_at IS NOT NULL AND next_at <= ?1 ORDER BY next_at LIMIT ?2",
        &[now.0.into(), AT_A_TIME.into()],
    )?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let Some(webhook) = organization::load(sql)?.alert_webhook else {
        sql.run("UPDATE alert_outbox SET state = 'unsent', next_at = NULL WHERE state = 'pending'", &[])?;
        return Ok(Vec::new());
    };
    let secret = master.as_ref().map_err(Clone::clone).and_then(|master| webhook.secret(master));
    let mut deliveries = Vec::new();
    for row in rows {
        let (id, body) = (text(&row, "id"), text(&row, "body"));
        let signed = secret
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|secret| signature::sign(secret, body, now).ok_or_else(|| "it cannot be used".to_owned()));
        match signed {
            Ok(signature) => {
                let later = now.plus(ON_ITS_WAY_MS).0;
                sql.run("UPDATE alert_outbox SET next_at = ?2 WHERE id = ?1", &[id.into(), later.into()])?;
                deliveries.push(Delivery {
                    id: id.to_owned(),
                    url: webhook.url.clone(),
                    private: webhook.allow_private_network,
                    signature,
                    body: body.to_owned(),
                });
            }
            Err(why) => done(sql, id, &Err(format!("the secret of the webhook: {why}")), now)?,
        }
    }
    Ok(deliveries)
}

/// What came of a delivery: the status of the answer, or why there was none.
pub fn done(sql: &dyn Sql, id: &str, result: &Result<u16, String>, now: Millis) -> Result<()> {
    let why = match result {
        Ok(200..=299) => {
            sql.run(
                "UPDATE alert_outbox SET state = 'delivered', attempts = attempts + 1, next_at = NULL, last_error = NULL,
                    delivered_at = ?2 WHERE id = ?1",
                &[id.into(), now.0.into()],
            )?;
            return Ok(());
        }
        Ok(status) => format!("the webhook answered {status}"),
        Err(why) => why.clone(),
    };
    let rows = sql.run(
        "UPDATE alert_outbox SET attempts = attempts + 1, last_error = ?2 WHERE id = ?1 AND state = 'pending' RETURNING attempts, at",
        &[id.into(), why.into()],
    )?;
    let Some(row) = rows.first() else { return Ok(()) };
    let pause = FIRST_RETRY_MS << (int(row, "attempts") - 1).clamp(0, 20);
    let next = now.plus(pause.min(LAST_RETRY_MS));
    if next.since(Millis(int(row, "at"))) > GIVE_UP_MS {
        sql.run("UPDATE alert_outbox SET state = 'failed', next_at = NULL WHERE id = ?1", &[id.into()])?;
    } else {
        sql.run("UPDATE alert_outbox SET next_at = ?2 WHERE id = ?1", &[id.into(), next.0.into()])?;
    }
    Ok(())
}

/// `GET /alerts`: newest first.
pub(super) fn list(sql: &dyn Sql, request: &AdminRequest) -> Result<Value> {
    let state = query::text(&request.query, "state");
    if state.is_some_and(|state| !STATES.contains(&state)) {
        return Err(Error::invalid("state", format!("state must be one of {}.", STATES.join(", "))));
    }
    let (offset, limit) = query::page(&request.query, 100, 1000)?;
    let rows = sql.run(
        "SELECT * FROM alert_outbox WHERE ?1 IS NULL OR state = ?1 ORDER BY seq DESC LIMIT ?2 OFFSET ?3",
        &[state.into(), limit.into(), offset.into()],
    )?;
    let total = sql.run("SELECT count(*) AS n FROM alert_outbox WHERE ?1 IS NULL OR state = ?1", &[state.into()])?;
    Ok(json!({
        "data": rows.iter().map(shape).collect::<Vec<_>>(),
        "total_count": total.first().map_or(0, |row| int(row, "n")),
    }))
}

fn shape(row: &Row) -> Value {
    let moment = |column: &str| row.get(column).and_then(Value::as_i64).map(|at| Millis(at).iso());
    let body: Value = serde_json::from_str(text(row, "body")).unwrap_or_default();
    json!({
        "id": row.get("id"),
        "type": row.get("type"),
        "created_at": moment("at"),
        "data": body.get("data"),
        "state": row.get("state"),
        "attempts": row.get("attempts"),
        "next_attempt_at": moment("next_at"),
        "delivered_at": moment("delivered_at"),
        "last_error": row.get("last_error"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::{ledger::tests::line, testing::Account},
        budget::{AccountKind, AccountRef, Meter, MeterId, Period, Terms},
    };

    const SECRET: &str = "0123456789abcdef";

    fn crossed(window: u32, share: u16) -> Crossed {
        let terms = Terms::budget(
            AccountRef::new(AccountKind::Key, "k"),
            "usd/daily",
            Unit::Usd,
            Period::Daily,
            10_000_000_000,
        );
        let (since, until) = Period::Daily.window(Millis(1_795_176_000_000));
        Crossed {
            meter: Meter { id: MeterId(3), terms, window, since, until, spent: 8_100_000_000, held: 0, alerted: 1 },
            share,
        }
    }

    fn with_webhook() -> Account {
        let account = Account::new();
        set_webhook(&account, json!({ "url": "https://hooks.example/a", "secret": SECRET }));
        account
    }

    fn set_webhook(account: &Account, hook: Value) {
        account.ask("PATCH", "/organization", json!({ "alert_webhook": hook })).unwrap();
    }

    fn sends(account: &Account) -> Vec<Delivery> {
        due(&account.sql, &account.context().master, account.now).unwrap()
    }

    fn states(account: &Account) -> Vec<String> {
        let listed = account.ask("GET", "/alerts", Value::Null).unwrap();
        listed["data"].as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_threshold_is_told_once_a_window_and_signed() {
        let account = with_webhook();
        for (window, share) in [(1, 800), (1, 800), (1, 900), (2, 800)] {
            enqueue(&account.sql, &crossed(window, share), account.now).unwrap();
        }
        assert_eq!(next_alarm(&account.sql).unwrap(), Some(account.now));
        let deliveries = sends(&account);
        assert_eq!(deliveries.len(), 3);
        let first = &deliveries[0];
        signature::verify(SECRET, &first.signature, first.body.as_bytes(), account.now).unwrap();
        let body: Value = serde_json::from_str(&first.body).unwrap();
        assert_eq!((&body["id"], &body["type"]), (&json!(first.id), &json!("budget.threshold")));
        assert_eq!(body["data"]["account"], json!({ "kind": "key", "id": "k" }));
        assert_eq!(
            [&body["data"]["limit"], &body["data"]["spent"], &body["data"]["threshold"]],
            [&json!(10.0), &json!(8.1), &json!(0.8)]
        );
        assert_eq!(body["data"]["resets_at"], "2026-11-21T00:00:00.000Z");
        assert!(sends(&account).is_empty(), "they are on their way");
        for delivery in &deliveries {
            done(&account.sql, &delivery.id, &Ok(204), account.now).unwrap();
        }
        assert_eq!((states(&account), next_alarm(&account.sql).unwrap()), (vec!["delivered".to_owned(); 3], None));
    }

    #[test]
    fn what_nobody_takes_is_tried_ever_more_rarely_for_a_day_and_stays_listed() {
        let mut account = with_webhook();
        enqueue(&account.sql, &crossed(1, 800), account.now).unwrap();
        let (start, mut pauses) = (account.now, Vec::new());
        while let Some(at) = next_alarm(&account.sql).unwrap() {
            pauses.push(at.since(account.now) / 1000);
            account.now = at;
            let deliveries = sends(&account);
            let [delivery] = deliveries.as_slice() else { panic!("{deliveries:?}") };
            let result = if pauses.len() % 2 == 0 { Ok(500) } else { Err("no answer".to_owned()) };
            done(&account.sql, &delivery.id, &result, account.now).unwrap();
        }
        assert_eq!(pauses[..12], [0, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600]);
        assert!(account.now.since(start) <= GIVE_UP_MS && account.now.since(start) > GIVE_UP_MS - LAST_RETRY_MS);
        let row = account.ask("GET", "/alerts?state=failed", Value::Null).unwrap()["data"][0].clone();
        assert_eq!((row["attempts"].as_u64(), &row["next_attempt_at"]), (Some(pauses.len() as u64), &Value::Null));
        assert!(["no answer", "the webhook answered 500"].contains(&row["last_error"].as_str().unwrap()));
    }

    #[test]
    fn a_delivery_whose_end_is_never_heard_of_is_tried_again() {
        let mut account = with_webhook();
        enqueue(&account.sql, &crossed(1, 800), account.now).unwrap();
        let first = sends(&account);
        account.now = next_alarm(&account.sql).unwrap().unwrap();
        let again = sends(&account);
        assert_eq!((first[0].id.as_str(), first[0].body.as_str()), (again[0].id.as_str(), again[0].body.as_str()));
        assert_ne!(first[0].signature, again[0].signature, "signed anew, or it would be too old");
    }

    #[test]
    fn without_a_webhook_alerts_are_listed_only() {
        let account = Account::new();
        enqueue(&account.sql, &crossed(1, 800), account.now).unwrap();
        assert_eq!((states(&account), next_alarm(&account.sql).unwrap()), (vec!["unsent".to_owned()], None));
        // And one that is taken away leaves nothing waiting.
        set_webhook(&account, json!({ "url": "https://hooks.example/a", "secret": SECRET }));
        enqueue(&account.sql, &crossed(1, 900), account.now).unwrap();
        set_webhook(&account, Value::Null);
        assert!(sends(&account).is_empty());
        assert_eq!((states(&account), next_alarm(&account.sql).unwrap()), (vec!["unsent".to_owned(); 2], None));
        assert_eq!(account.ask("GET", "/alerts?state=x", Value::Null).unwrap_err().param.as_deref(), Some("state"));
    }

    #[test]
    fn a_secret_that_does_not_open_is_a_failure_like_any_other() {
        let account = with_webhook();
        enqueue(&account.sql, &crossed(1, 800), account.now).unwrap();
        assert!(due(&account.sql, &MasterKey::parse("short"), account.now).unwrap().is_empty());
        let row = account.ask("GET", "/alerts", Value::Null).unwrap()["data"][0].clone();
        assert_eq!((&row["state"], &row["attempts"]), (&json!("pending"), &json!(1)));
        assert!(row["last_error"].as_str().unwrap().contains("secret"));
    }

    #[test]
    fn a_low_balance_is_told_once_until_it_was_not_low() {
        let mut account = with_webhook();
        account.ask("PATCH", "/organization", json!({ "low_balance_usd": 1 })).unwrap();
        let mut used = 0;
        let mut spend = |account: &mut Account, nano: i64| {
            used += 1;
            account.now = account.now.plus(1);
            ledger::post_usage(&account.sql, &format!("s:{used}"), &[line("w", "k", "p", nano, 0)], account.now)
                .unwrap();
            check_balance(&account.sql, account.now).unwrap();
            account.ask("GET", "/alerts", Value::Null).unwrap()["total_count"].as_i64().unwrap()
        };
        account.ask("POST", "/credits", json!({ "amount": 3, "reason": "r" })).unwrap();
        assert_eq!(spend(&mut account, 1_999_999_999), 0);
        assert_eq!(spend(&mut account, 1), 1);
        assert_eq!(spend(&mut account, 5), 1);
        account.ask("POST", "/credits", json!({ "amount": 3, "reason": "r" })).unwrap();
        assert_eq!(spend(&mut account, 1), 1);
        assert_eq!(spend(&mut account, 3_000_000_000), 2);
        let body: Value = serde_json::from_str(&sends(&account)[0].body).unwrap();
        assert_eq!((&body["type"], &body["data"]["balance"]), (&json!("balance.low"), &json!(1.0)));
    }
}
