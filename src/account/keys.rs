//! Virtual keys of an organization: the truth behind the copies in KV.
//!
//! Tables of the `Account` object: `keys` (a document a key, newest last), `key_revision` (the
//! account's revision; every change of a key raises it and stamps the record) and `key_changes` (which
//! key changed at which revision, kept for an hour). Every command runs synchronously: it checks, then
//! writes, so it happens whole or not at all. Secrets are shown once and never stored.
//!
//! | command | answers |
//! |---|---|
//! | `POST /keys` | 201 the row and, once, the secret |
//! | `GET /keys` | 200 rows, newest first |
//! | `GET`, `PATCH`, `DELETE /keys/{hash}` | 200, or 404 |
//! | `GET /key` | 200 the asking key about itself |
//! | `GET /records/{hash}` | 200 the [`KeyRecord`], or 404; for the gateway itself, never routed from outside |

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use super::key_usage::add_usage;
use super::{
    key_doc::{KeyBody, StoredKey},
    key_usage::{self, COLUMNS, Used, days},
    projection,
};
use crate::{
    admin::{body, query},
    auth::{Exhausted, KeyHash, KeyRecord, VirtualKey, kv_key},
    error::{Error, ErrorKind, Result},
    ports::{AdminRequest, AdminResponse, KvWrite, Param, Row, Sql, SqlError, int, text},
    time::Millis,
};

const MOST_ROWS: i64 = 100;
const CHANGES_KEPT_MS: i64 = 3_600_000;

/// What has changed since a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The account's revision now.
    pub revision: u64,
    /// Keys (their hash) and accounts (`kind:id`) with the revision of their last change; `None` is "any
    /// of them may have changed".
    pub changed: Option<Vec<(String, u64)>>,
}

/// Creates the tables.
pub fn migrate(sql: &dyn Sql) -> Result<(), SqlError> {
    for statement in [
        "CREATE TABLE IF NOT EXISTS keys (seq INTEGER PRIMARY KEY AUTOINCREMENT, hash TEXT NOT NULL UNIQUE, doc TEXT NOT NULL, last_used_at INTEGER)",
        "CREATE TABLE IF NOT EXISTS key_changes (revision INTEGER PRIMARY KEY, hash TEXT NOT NULL, at INTEGER NOT NULL)",
        "CREATE TABLE IF NOT EXISTS key_revision (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL, forgotten INTEGER NOT NULL)",
        "INSERT OR IGNORE INTO key_revision VALUES (1, 0, 0)",
    ] {
        sql.run(statement, &[])?;
    }
    key_usage::migrate(sql)?;
    projection::migrate(sql)
}

/// Answers a management request about keys.
pub fn handle(sql: &dyn Sql, request: &AdminRequest, now: Millis, random: &[u8; 48]) -> Result<AdminResponse> {
    let path: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let (status, body) = match (request.method.as_str(), path.as_slice()) {
        ("POST", ["keys"]) => (201, create(sql, request, now, random)?),
        ("GET", ["keys"]) => (200, list(sql, request, now)?),
        ("GET", ["keys", hash]) => (200, json!({ "data": row(&find(sql, hash)?, now, sql)? })),
        ("PATCH", ["keys", hash]) => (200, update(sql, hash, request, now)?),
        ("DELETE", ["keys", hash]) => (200, delete(sql, hash, now)?),
        ("GET", ["key"]) => (200, json!({ "data": about_itself(sql, &request.actor, now)? })),
        ("GET", ["records", hash]) => (200, json!({ "data": find(sql, hash)?.key.record })),
        _ => return Err(Error::internal(format!("the account does not know {} {}", request.method, request.path))),
    };
    Ok(AdminResponse { status, body })
}

/// A key's record.
pub fn record(sql: &dyn Sql, hash: &KeyHash) -> Result<Option<KeyRecord>> {
    Ok(load(sql, hash.as_str())?.map(|found| found.key.record))
}

/// The account's revision.
pub fn revision(sql: &dyn Sql) -> Result<u64, SqlError> {
    Ok(counters(sql)?.0)
}

/// Which keys have changed since a revision that an isolate knows.
pub fn changes_since(sql: &dyn Sql, since: u64) -> Result<Changes, SqlError> {
    let (revision, forgotten) = counters(sql)?;
    // A revision from the future was given by a state that is gone: nothing can be said about it.
    if since < forgotten || since > revision {
        return Ok(Changes { revision, changed: None });
    }
    let rows = sql.run(
        "SELECT hash, max(revision) AS revision FROM key_changes WHERE revision > ?1 GROUP BY hash ORDER BY 2",
        &[whole(since)],
    )?;
    let changed = rows.iter().map(|row| (text(row, "hash").to_owned(), int(row, "revision").unsigned_abs()));
    Ok(Changes { revision, changed: Some(changed.collect()) })
}

/// Notes when a key was last used.
pub(super) fn used(sql: &dyn Sql, hash: &KeyHash, at: Millis) -> Result<(), SqlError> {
    sql.run(
        "UPDATE keys SET last_used_at = max(coalesce(last_used_at, 0), ?2) WHERE hash = ?1",
        &[hash.as_str().into(), at.0.into()],
    )?;
    Ok(())
}

/// Marks a key whose limit is used up, or is no longer.
pub(super) fn close_if_exhausted(sql: &dyn Sql, hash: &KeyHash, now: Millis) -> Result<()> {
    let Some(Found { mut key, .. }) = load(sql, hash.as_str())? else { return Ok(()) };
    if key.limit.is_none() && key.record.exhausted.is_none() {
        return Ok(());
    }
    let exhausted = key.exhausted(&key_usage::used(sql, hash, now)?, now);
    let facts = |state: Option<Exhausted>| state.map(|state| (state.until, state.limit));
    if facts(exhausted) != facts(key.record.exhausted) {
        key.record.exhausted = exhausted;
        save(sql, &mut key, now)?;
    }
    Ok(())
}

fn create(sql: &dyn Sql, request: &AdminRequest, now: Millis, random: &[u8; 48]) -> Result<Value> {
    let body: KeyBody = body::parse(request.body.as_ref())?;
    let secret = VirtualKey::generate(random);
    let mut key = StoredKey::new(&secret, now);
    body.create(&mut key)?;
    key.record.exhausted = key.exhausted(&Used::default(), now);
    save(sql, &mut key, now)?;
    Ok(json!({ "data": key.row(&Used::default(), None), "key": secret.expose() }))
}

fn list(sql: &dyn Sql, request: &AdminRequest, now: Millis) -> Result<Value> {
    const KEPT: &str = "(?4 OR NOT coalesce(k.doc ->> '$.record.disabled', 0)) \
        AND (?5 OR coalesce(k.doc ->> '$.record.expires_at', ?6 + 1) > ?6) \
        AND (?7 IS NULL OR k.doc ->> '$.record.workspace_id' = ?7)";
    let (offset, limit) = query::page(&request.query, MOST_ROWS, MOST_ROWS)?;
    let [day, week, month] = days(now);
    let mut params: Vec<Param> = vec![
        day.into(),
        week.into(),
        month.into(),
        query::flag(&request.query, "include_disabled")?.into(),
        query::flag(&request.query, "include_expired")?.into(),
        now.0.into(),
        query::text(&request.query, "workspace_id").into(),
    ];
    // Every statement binds all of its parameters, so the count names the three it does not need.
    let count = format!(
        "SELECT count(*) AS n FROM keys k WHERE ?1 IS NOT NULL AND ?2 IS NOT NULL AND ?3 IS NOT NULL AND {KEPT}"
    );
    let total = sql.run(&count, &params)?.first().map_or(0, |row| int(row, "n"));
    params.extend([limit.into(), offset.into()]);
    let page = format!(
        "SELECT k.doc, k.last_used_at, {COLUMNS} FROM keys k LEFT JOIN key_usage u ON u.hash = k.hash \
         WHERE {KEPT} GROUP BY k.seq ORDER BY k.seq DESC LIMIT ?8 OFFSET ?9"
    );
    let rows = sql.run(&page, &params)?;
    let data = rows
        .iter()
        .map(|found| {
            let Found { key, last_used_at } = Found::read(found)?;
            Ok(key.row(&Used::read(found), last_used_at))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(json!({ "data": data, "total_count": total }))
}

fn update(sql: &dyn Sql, hash: &str, request: &AdminRequest, now: Millis) -> Result<Value> {
    let body: KeyBody = body::parse(request.body.as_ref())?;
    let mut found = find(sql, hash)?;
    body.update(&mut found.key)?;
    let used = key_usage::used(sql, &found.key.record.hash, now)?;
    found.key.record.exhausted = found.key.exhausted(&used, now);
    found.key.updated_at = Some(now);
    save(sql, &mut found.key, now)?;
    Ok(json!({ "data": found.key.row(&used, found.last_used_at) }))
}

fn delete(sql: &dyn Sql, hash: &str, now: Millis) -> Result<Value> {
    let key = find(sql, hash)?.key;
    let hash = &key.record.hash;
    sql.run("DELETE FROM keys WHERE hash = ?1", &[hash.as_str().into()])?;
    next_revision(sql, hash, now)?;
    projection::enqueue(sql, KvWrite { key: kv_key(hash), value: None })?;
    Ok(json!({ "deleted": true }))
}

/// A key and when it was last used.
struct Found {
    key: StoredKey,
    last_used_at: Option<Millis>,
}

impl Found {
    fn read(row: &Row) -> Result<Self> {
        let key = serde_json::from_str(text(row, "doc"))
            .map_err(|error| Error::internal(format!("a stored key: {error}")))?;
        Ok(Self { key, last_used_at: row.get("last_used_at").and_then(Value::as_i64).map(Millis) })
    }
}

fn load(sql: &dyn Sql, hash: &str) -> Result<Option<Found>> {
    sql.run("SELECT doc, last_used_at FROM keys WHERE hash = ?1", &[hash.into()])?.first().map(Found::read).transpose()
}

fn find(sql: &dyn Sql, hash: &str) -> Result<Found> {
    load(sql, hash)?.ok_or_else(|| Error::new(ErrorKind::NotFound, "There is no API key with this hash.").param("hash"))
}

/// Writes a new or changed key, under the next revision, with its copy for KV.
fn save(sql: &dyn Sql, key: &mut StoredKey, now: Millis) -> Result<()> {
    let broken = |error: serde_json::Error| Error::internal(format!("a key to store: {error}"));
    key.record.revision = next_revision(sql, &key.record.hash, now)?;
    let copy = serde_json::to_string(&key.record).map_err(broken)?;
    let doc = serde_json::to_string(&key).map_err(broken)?;
    sql.run(
        "INSERT INTO keys (hash, doc) VALUES (?1, ?2) ON CONFLICT (hash) DO UPDATE SET doc = excluded.doc",
        &[key.record.hash.as_str().into(), doc.into()],
    )?;
    projection::enqueue(sql, KvWrite { key: kv_key(&key.record.hash), value: Some(copy) })?;
    Ok(())
}

/// Raises the revision for a change of that key, and forgets changes that every isolate has seen.
fn next_revision(sql: &dyn Sql, hash: &KeyHash, now: Millis) -> Result<u64, SqlError> {
    sql.run("UPDATE key_revision SET revision = revision + 1", &[])?;
    let (revision, _) = counters(sql)?;
    sql.run("INSERT INTO key_changes VALUES (?1, ?2, ?3)", &[whole(revision), hash.as_str().into(), now.0.into()])?;
    let old = [now.plus(-CHANGES_KEPT_MS).0.into()];
    sql.run(
        "UPDATE key_revision SET forgotten = max(forgotten, (SELECT coalesce(max(revision), 0) FROM key_changes WHERE at < ?1))",
        &old,
    )?;
    sql.run("DELETE FROM key_changes WHERE at < ?1", &old)?;
    Ok(revision)
}

fn counters(sql: &dyn Sql) -> Result<(u64, u64), SqlError> {
    let rows = sql.run("SELECT revision, forgotten FROM key_revision", &[])?;
    let counter = |name| rows.first().map_or(0, |row| int(row, name).unsigned_abs());
    Ok((counter("revision"), counter("forgotten")))
}

fn whole(number: u64) -> Param {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

fn row(found: &Found, now: Millis, sql: &dyn Sql) -> Result<Value> {
    Ok(found.key.row(&key_usage::used(sql, &found.key.record.hash, now)?, found.last_used_at))
}

/// A key that is not stored here is the root management key.
fn about_itself(sql: &dyn Sql, hash: &KeyHash, now: Millis) -> Result<Value> {
    let used = key_usage::used(sql, hash, now)?;
    let key = load(sql, hash.as_str())?.map_or_else(|| StoredKey::root(hash.clone(), now), |found| found.key);
    Ok(key.about_itself(&used, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metering::KeyUsage;
    use crate::{
        auth::{KeyKind, kv_key},
        money::NanoUsd,
        testing::Memory,
    };

    const NOON: &str = "2026-11-20T12:00:00Z";

    struct Account {
        sql: Memory,
        now: Millis,
        made: u8,
    }

    impl Account {
        fn new() -> Self {
            let sql = Memory::new();
            migrate(&sql).unwrap();
            migrate(&sql).unwrap();
            Self { sql, now: Millis::parse_iso(NOON).unwrap(), made: 0 }
        }

        fn ask(&mut self, method: &str, target: &str, body: Value) -> Result<Value> {
            self.made += 1;
            let (path, search) = target.split_once('?').unwrap_or((target, ""));
            let pairs = search.split('&').filter_map(|pair| pair.split_once('='));
            let request = AdminRequest {
                method: method.to_owned(),
                path: path.to_owned(),
                query: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
                body: (!body.is_null()).then_some(body),
                actor: VirtualKey::generate(&[255; 48]).hash(),
            };
            handle(&self.sql, &request, self.now, &[self.made; 48]).map(|answer| answer.body)
        }

        fn create(&mut self, body: Value) -> KeyHash {
            let answer = self.ask("POST", "/keys", body).unwrap();
            KeyHash::parse(answer["data"]["hash"].as_str().unwrap()).unwrap()
        }

        fn copy(&self, hash: &KeyHash) -> Option<KeyRecord> {
            let writes = projection::pending(&self.sql, 100).unwrap();
            let write = writes.into_iter().find(|write| write.key == kv_key(hash)).expect("a copy waits");
            write.value.map(|value| serde_json::from_str(&value).unwrap())
        }

        fn spend(&self, hash: &KeyHash, usd: f64) {
            add_usage(
                &self.sql,
                &[KeyUsage { hash: hash.clone(), nano: NanoUsd::from_usd(usd).unwrap(), requests: 1, at: self.now }],
                self.now,
            )
            .unwrap();
        }
    }

    #[test]
    fn the_secret_is_shown_once_and_only_its_hash_is_kept() {
        let mut account = Account::new();
        let made =
            account.ask("POST", "/keys", json!({ "name": "team a", "limit": 5, "limit_reset": "daily" })).unwrap();
        let secret = VirtualKey::parse(made["key"].as_str().unwrap()).unwrap();
        assert_eq!(made["data"]["hash"], secret.hash().as_str());
        assert_eq!(made["data"]["limit_remaining"], 5.0);
        assert!(made["data"]["updated_at"].is_null());
        let read = account.ask("GET", &format!("/keys/{}", secret.hash()), Value::Null).unwrap();
        assert_eq!(read["data"], made["data"]);
        let stored = account.sql.run("SELECT * FROM keys", &[]).unwrap();
        assert!(!serde_json::to_string(&stored).unwrap().contains(secret.expose()));
        let copy = account.copy(&secret.hash()).unwrap();
        assert_eq!((copy.kind, copy.name.as_str(), copy.revision), (KeyKind::Inference, "team a", 1));
        assert_eq!(record(&account.sql, &secret.hash()).unwrap(), Some(copy));
    }

    #[test]
    fn every_wrong_member_is_named_and_nothing_is_written() {
        let mut account = Account::new();
        let hash = account.create(json!({ "name": "n" }));
        for (body, param) in [
            (json!({ "name": 1 }), "name"),
            (json!({ "name": " " }), "name"),
            (json!({ "name": "n", "limit": "5" }), "limit"),
            (json!({ "name": "n", "limit": -1 }), "limit"),
            (json!({ "name": "n", "limit": 1e7 }), "limit"),
            (json!({ "name": "n", "limit_reset": "hourly" }), "limit_reset"),
            (json!({ "name": "n", "expires_at": "2026-01-01" }), "expires_at"),
            (json!({ "name": "n", "allowed_models": ["a/b", "x*y"] }), "allowed_models[1]"),
            (json!({ "name": "n", "allowed_providers": ["../x"] }), "allowed_providers[0]"),
            (json!({ "name": "n", "workspace_id": "a b" }), "workspace_id"),
            (json!({ "name": "n", "stream_usage": "both" }), "stream_usage"),
            (json!({ "name": "n", "rate_limit": { "requests_per_minute": 1 } }), "rate_limit"),
            (json!({ "name": "n", "guardrail_id": "g" }), "guardrail_id"),
            (json!({ "name": "n", "metadata": { "x": "y".repeat(5000) } }), "metadata"),
            (json!({ "name": "n", "nonsense": true }), "nonsense"),
        ] {
            for (method, path) in [("POST", "/keys".to_owned()), ("PATCH", format!("/keys/{hash}"))] {
                let error = account.ask(method, &path, body.clone()).unwrap_err();
                assert_eq!((error.status(), error.param.as_deref()), (400, Some(param)), "{method} {body}");
            }
        }
        assert_eq!(account.ask("POST", "/keys", json!({})).unwrap_err().param.as_deref(), Some("name"));
        for fixed in ["management", "external", "creator_user_id"] {
            let value = if fixed == "management" {
                json!(true)
            } else if fixed == "external" {
                json!({ "user": "u" })
            } else {
                json!("c")
            };
            let error = account.ask("PATCH", &format!("/keys/{hash}"), json!({ fixed: value })).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(fixed));
        }
        assert_eq!(account.ask("GET", "/keys", Value::Null).unwrap()["total_count"], 1);
        assert_eq!(revision(&account.sql).unwrap(), 1);
    }

    #[test]
    fn lists_are_newest_first_paged_and_leave_out_what_cannot_be_used() {
        let mut account = Account::new();
        for name in ["a", "b", "c"] {
            account.create(json!({ "name": name }));
        }
        account.create(json!({ "name": "off", "disabled": true }));
        account.create(json!({ "name": "old", "expires_at": "2026-11-20T11:59:59Z" }));
        account.create(json!({ "name": "other", "workspace_id": "w2", "expires_at": "2026-11-20T12:00:01Z" }));
        let mut names = |target: &str| -> (Vec<String>, Value) {
            let answer = account.ask("GET", target, Value::Null).unwrap();
            let rows = answer["data"].as_array().unwrap();
            (rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect(), answer["total_count"].clone())
        };
        assert_eq!(names("/keys"), (["other", "c", "b", "a"].map(str::to_owned).to_vec(), json!(4)));
        assert_eq!(names("/keys?offset=1&limit=2"), (["c", "b"].map(str::to_owned).to_vec(), json!(4)));
        assert_eq!(names("/keys?include_disabled=true&include_expired=true&limit=3").0, ["other", "old", "off"]);
        assert_eq!(names("/keys?workspace_id=w2").0, ["other"]);
        assert_eq!(account.ask("GET", "/keys?limit=101", Value::Null).unwrap_err().param.as_deref(), Some("limit"));
    }

    #[test]
    fn a_change_raises_the_revision_and_replaces_the_copy() {
        let mut account = Account::new();
        let hash =
            account.create(json!({ "name": "n", "allowed_models": ["a/b"], "expires_at": "2027-01-01T00:00:00Z" }));
        let path = format!("/keys/{hash}");
        let row = account.ask("PATCH", &path, json!({ "disabled": true, "allowed_models": null })).unwrap();
        assert_eq!((&row["data"]["disabled"], &row["data"]["allowed_models"]), (&json!(true), &Value::Null));
        assert_eq!(row["data"]["expires_at"], "2027-01-01T00:00:00.000Z");
        assert_eq!(row["data"]["updated_at"], "2026-11-20T12:00:00.000Z");
        let copy = account.copy(&hash).unwrap();
        assert!(copy.disabled && copy.revision == 2 && copy.allowed_models.is_none());
        assert_eq!(account.ask("DELETE", &path, Value::Null).unwrap(), json!({ "deleted": true }));
        assert_eq!(account.copy(&hash), None);
        for method in ["GET", "PATCH", "DELETE"] {
            assert_eq!(account.ask(method, &path, json!({})).unwrap_err().status(), 404);
        }
        assert_eq!(
            changes_since(&account.sql, 2).unwrap(),
            Changes { revision: 3, changed: Some(vec![(hash.to_string(), 3)]) }
        );
    }

    #[test]
    fn changes_are_told_for_an_hour_and_then_it_is_all() {
        let mut account = Account::new();
        let first = account.create(json!({ "name": "1" }));
        let second = account.create(json!({ "name": "2" }));
        let told = |account: &Account, since| changes_since(&account.sql, since).unwrap().changed;
        assert_eq!(told(&account, 0), Some(vec![(first.to_string(), 1), (second.to_string(), 2)]));
        assert_eq!(told(&account, 2), Some(vec![]));
        assert_eq!(told(&account, 3), None, "a revision that this state never gave");
        account.now = account.now.plus(CHANGES_KEPT_MS + 1);
        account.ask("PATCH", &format!("/keys/{second}"), json!({ "name": "3" })).unwrap();
        assert_eq!(told(&account, 1), None);
        assert_eq!(told(&account, 2), Some(vec![(second.to_string(), 3)]));
    }

    #[test]
    fn usage_is_counted_in_its_utc_windows() {
        let mut account = Account::new();
        let hash = account.create(json!({ "name": "n", "limit": 10 }));
        for (at, usd) in
            [("2026-10-31T23:59:59Z", 1.0), ("2026-11-15T23:59:59Z", 2.0), ("2026-11-16T00:00:00Z", 0.5), (NOON, 0.25)]
        {
            let at = Millis::parse_iso(at).unwrap();
            add_usage(
                &account.sql,
                &[KeyUsage { hash: hash.clone(), nano: NanoUsd::from_usd(usd).unwrap(), requests: 1, at }],
                account.now,
            )
            .unwrap();
        }
        let row = account.ask("GET", &format!("/keys/{hash}"), Value::Null).unwrap()["data"].clone();
        let figures = ["usage", "usage_monthly", "usage_weekly", "usage_daily", "byok_usage", "limit_remaining"]
            .map(|name| row[name].as_f64().unwrap());
        assert_eq!(figures, [3.75, 2.75, 0.75, 0.25, 0.0, 6.25]);
        assert_eq!(row["last_used_at"], "2026-11-20T12:00:00.000Z");
        let listed = account.ask("GET", "/keys", Value::Null).unwrap();
        assert_eq!(listed["data"][0], row);
    }

    #[test]
    fn a_limit_that_is_reached_closes_the_key_until_its_window_ends() {
        let mut account = Account::new();
        let hash = account.create(json!({ "name": "n", "limit": 1, "limit_reset": "daily" }));
        account.spend(&hash, 0.4);
        assert_eq!(revision(&account.sql).unwrap(), 1, "usage alone changes no record");
        account.spend(&hash, 0.6);
        let closed = account.copy(&hash).unwrap();
        assert_eq!((closed.revision, closed.may_spend(account.now).unwrap_err().status()), (2, 402));
        assert_eq!(closed.exhausted.unwrap().until.iso(), "2026-11-21T00:00:00.000Z");
        account.spend(&hash, 0.1);
        assert_eq!(revision(&account.sql).unwrap(), 2, "closed once");
        account.now = account.now.plus(86_400_000);
        assert!(closed.may_spend(account.now).is_ok());
        account.spend(&hash, 1.0);
        assert_eq!(account.copy(&hash).unwrap().exhausted.unwrap().until.iso(), "2026-11-22T00:00:00.000Z");
        account.ask("PATCH", &format!("/keys/{hash}"), json!({ "limit": 5 })).unwrap();
        assert_eq!(account.copy(&hash).unwrap().exhausted, None);
        account.ask("PATCH", &format!("/keys/{hash}"), json!({ "limit": 0, "limit_reset": null })).unwrap();
        assert_eq!(account.copy(&hash).unwrap().exhausted.unwrap().until, Exhausted::FOR_EVER);
    }

    #[test]
    fn a_key_is_told_about_itself() {
        let mut account = Account::new();
        let hash = account.create(json!({ "name": "n", "limit": 2, "limit_reset": "weekly" }));
        account.spend(&hash, 2.5);
        let request = |actor: &KeyHash| AdminRequest {
            method: "GET".into(),
            path: "/key".into(),
            query: vec![],
            body: None,
            actor: actor.clone(),
        };
        let own = handle(&account.sql, &request(&hash), account.now, &[0; 48]).unwrap().body["data"].clone();
        assert_eq!(
            (&own["usage"], &own["limit_remaining"], &own["is_management_key"]),
            (&json!(2.5), &json!(0.0), &json!(false))
        );
        assert_eq!(own["effective_budget"]["remaining_usd"], -0.5);
        assert_eq!(own["budgets"][0]["resets_at"], "2026-11-23T00:00:00.000Z");
        let root = VirtualKey::generate(&[255; 48]).hash();
        let own = handle(&account.sql, &request(&root), account.now, &[0; 48]).unwrap().body["data"].clone();
        assert_eq!(
            (&own["is_management_key"], &own["limit"], &own["budgets"]),
            (&json!(true), &Value::Null, &json!([]))
        );
    }
}
