//! Virtual keys of an organization: the truth behind the copies in KV; and the change feed.
//!
//! Tables of the `Account` object: `keys` (a document a key, newest last), `key_revision` (the
//! account's revision; every change raises it, and a key's stamps its record) and `key_changes` (what
//! changed at which revision, kept for an hour: a key's hash, or an account whose meters or stop did).
//! Every command runs synchronously: it checks, then writes, so it happens whole or not at all. Secrets
//! are shown once and never stored.
//!
//! | command | answers |
//! |---|---|
//! | `POST /keys` | 201 the row and, once, the secret |
//! | `GET /keys` | 200 rows, newest first |
//! | `GET`, `PATCH`, `DELETE /keys/{hash}` | 200, or 404 |
//! | `POST /keys/{hash}/rotate` | 200 the row of the new key and, once, its secret (`rotation`) |
//! | `GET /key` | 200 the asking key about itself |
//! | `GET /records/{hash}` | 200 the [`KeyRecord`], or 404; for the gateway itself, never routed from outside |
//! | `/workspaces`, `/budgets`, `/sessions`, `/users` | see the modules of these names; the last two are `stops` |

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use super::key_usage::add_usage;
use super::{
    budgets, key_budgets,
    key_doc::{KeyBody, StoredKey},
    key_limits::{self, Limits},
    key_usage::{self, COLUMNS, Used, days},
    projection, rotation, stops, workspaces,
};
use crate::{
    admin::{body, query},
    auth::{KeyHash, KeyRecord, VirtualKey, kv_key},
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
    rotation::migrate(sql)?;
    budgets::migrate(sql)?;
    workspaces::migrate(sql)?;
    projection::migrate(sql)
}

/// Answers a management request.
pub fn handle(sql: &dyn Sql, request: &AdminRequest, now: Millis, random: &[u8; 48]) -> Result<AdminResponse> {
    let path: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    if let ["keys", ..] = path.as_slice() {
        rotation::bury(sql, now)?;
    }
    let (status, body) = match (request.method.as_str(), path.as_slice()) {
        (_, ["budgets", ..]) => budgets::handle(sql, request, &path, now)?,
        (_, ["workspaces", ..]) => workspaces::handle(sql, request, &path, now, random)?,
        (_, ["sessions" | "users", ..]) => (200, stops::handle(sql, request, &path, now)?),
        ("POST", ["keys"]) => (201, create(sql, request, now, random)?),
        ("GET", ["keys"]) => (200, list(sql, request, now)?),
        ("GET", ["keys", hash]) => (200, json!({ "data": row(sql, &find(sql, hash)?, now)? })),
        ("PATCH", ["keys", hash]) => (200, update(sql, hash, request, now)?),
        ("DELETE", ["keys", hash]) => (200, delete(sql, hash, now)?),
        ("POST", ["keys", hash, "rotate"]) => (200, rotation::rotate(sql, hash, request, now, random)?),
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

/// Names of keys, by hash and by account.
pub(super) fn names(sql: &dyn Sql) -> Result<HashMap<String, String>, SqlError> {
    let rows = sql.run(
        "SELECT hash, coalesce(doc ->> '$.record.account', hash) AS account, doc ->> '$.record.name' AS name FROM keys ORDER BY seq",
        &[],
    )?;
    let named =
        |row: &Row| ["hash", "account"].map(|column| (text(row, column).to_owned(), text(row, "name").to_owned()));
    Ok(rows.iter().flat_map(named).collect())
}

/// The account's revision.
pub fn revision(sql: &dyn Sql) -> Result<u64, SqlError> {
    Ok(counters(sql)?.0)
}

/// The account id of the key with this hash or account id.
pub(super) fn account_of(sql: &dyn Sql, id: &str) -> Result<Option<String>> {
    let rows = sql.run(
        "SELECT doc ->> '$.record.account' AS account FROM keys WHERE hash = ?1 OR doc ->> '$.record.account' = ?1 LIMIT 1",
        &[id.into()],
    )?;
    Ok(rows.first().map(|row| text(row, "account").to_owned()))
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

fn create(sql: &dyn Sql, request: &AdminRequest, now: Millis, random: &[u8; 48]) -> Result<Value> {
    let body = read_body(sql, request)?;
    let secret = VirtualKey::generate(random);
    let mut key = StoredKey::new(&secret, now);
    let change = body.create(&mut key)?;
    save(sql, &mut key, now)?;
    apply(sql, &key, change, None, now)?;
    let row = row(sql, &Found { key, last_used_at: None }, now)?;
    Ok(json!({ "data": row, "key": secret.expose() }))
}

/// The body, with the workspace that it names by id or slug by its id.
fn read_body(sql: &dyn Sql, request: &AdminRequest) -> Result<KeyBody> {
    let mut body: KeyBody = body::parse(request.body.as_ref())?;
    if let Some(reference) = body.workspace() {
        let id = workspaces::id_of(sql, reference)?;
        body.set_workspace(id.ok_or_else(|| {
            Error::invalid(
                "workspace_id",
                "workspace_id: there is no workspace with this id or slug (POST /workspaces).",
            )
        })?);
    }
    Ok(body)
}

/// Changes the meters of a key's account. `reset` is its `limit_reset` from before.
fn apply(
    sql: &dyn Sql,
    key: &StoredKey,
    change: key_limits::LimitChange,
    reset: Option<key_limits::LimitReset>,
    now: Millis,
) -> Result<()> {
    let account = key_limits::account_of(&key.record.account);
    let used = key_usage::used(sql, &key.record.account, now)?;
    if key_limits::apply(sql, &account, change, reset, &used, now)? {
        budgets::changed(sql, &account, now)?;
    }
    Ok(())
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
        "SELECT k.doc, k.last_used_at, {COLUMNS} FROM keys k \
         LEFT JOIN key_usage u ON u.hash = k.doc ->> '$.record.account' \
         WHERE {KEPT} GROUP BY k.seq ORDER BY k.seq DESC LIMIT ?8 OFFSET ?9"
    );
    let rows = sql.run(&page, &params)?;
    let data = rows
        .iter()
        .map(|found| {
            let Found { key, last_used_at } = Found::read(found)?;
            let limits = Limits::read(sql, &key.record.account, now)?;
            Ok(key.row(&Used::read(found), &limits, last_used_at, now))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(json!({ "data": data, "total_count": total }))
}

fn update(sql: &dyn Sql, hash: &str, request: &AdminRequest, now: Millis) -> Result<Value> {
    let body = read_body(sql, request)?;
    let mut found = find(sql, hash)?;
    let reset = found.key.limit_reset;
    let change = body.update(&mut found.key)?;
    found.key.updated_at = Some(now);
    save(sql, &mut found.key, now)?;
    apply(sql, &found.key, change, reset, now)?;
    Ok(json!({ "data": row(sql, &found, now)? }))
}

fn delete(sql: &dyn Sql, hash: &str, now: Millis) -> Result<Value> {
    remove(sql, hash, now)?;
    Ok(json!({ "deleted": true }))
}

/// Deletes a key, and the meters of its account with the last key of it.
pub(super) fn remove(sql: &dyn Sql, hash: &str, now: Millis) -> Result<()> {
    let KeyRecord { hash, account, .. } = find(sql, hash)?.key.record;
    sql.run("DELETE FROM keys WHERE hash = ?1", &[hash.as_str().into()])?;
    note_change(sql, hash.as_str(), now)?;
    projection::enqueue(sql, KvWrite { key: kv_key(&hash), value: None })?;
    if account_of(sql, &account)?.is_none() {
        budgets::remove_all(sql, &key_limits::account_of(&account), now)?;
    }
    Ok(())
}

/// A key and when it was last used.
pub(super) struct Found {
    pub(super) key: StoredKey,
    pub(super) last_used_at: Option<Millis>,
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

pub(super) fn find(sql: &dyn Sql, hash: &str) -> Result<Found> {
    load(sql, hash)?.ok_or_else(|| Error::new(ErrorKind::NotFound, "There is no API key with this hash.").param("hash"))
}

/// Writes a new or changed key, under the next revision, with its copy for KV.
pub(super) fn save(sql: &dyn Sql, key: &mut StoredKey, now: Millis) -> Result<()> {
    let broken = |error: serde_json::Error| Error::internal(format!("a key to store: {error}"));
    key.record.revision = note_change(sql, key.record.hash.as_str(), now)?;
    let copy = serde_json::to_string(&key.record).map_err(broken)?;
    let doc = serde_json::to_string(&key).map_err(broken)?;
    sql.run(
        "INSERT INTO keys (hash, doc) VALUES (?1, ?2) ON CONFLICT (hash) DO UPDATE SET doc = excluded.doc",
        &[key.record.hash.as_str().into(), doc.into()],
    )?;
    projection::enqueue(sql, KvWrite { key: kv_key(&key.record.hash), value: Some(copy) })?;
    Ok(())
}

/// Raises the revision for a change of `what` (a key's hash, or an account as text), and forgets
/// changes that every isolate has seen.
pub(super) fn note_change(sql: &dyn Sql, what: &str, now: Millis) -> Result<u64, SqlError> {
    sql.run("UPDATE key_revision SET revision = revision + 1", &[])?;
    let (revision, _) = counters(sql)?;
    sql.run("INSERT INTO key_changes VALUES (?1, ?2, ?3)", &[whole(revision), what.into(), now.0.into()])?;
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

pub(super) fn row(sql: &dyn Sql, found: &Found, now: Millis) -> Result<Value> {
    let account = found.key.record.account.as_str();
    let limits = Limits::read(sql, account, now)?;
    Ok(found.key.row(&key_usage::used(sql, account, now)?, &limits, found.last_used_at, now))
}

/// A key that is not stored here is the root management key.
fn about_itself(sql: &dyn Sql, hash: &KeyHash, now: Millis) -> Result<Value> {
    let key = load(sql, hash.as_str())?.map_or_else(|| StoredKey::root(hash.clone(), now), |found| found.key);
    let account = key.record.account.as_str();
    let used = key_usage::used(sql, account, now)?;
    let limits = Limits::read(sql, account, now)?;
    let budgets = key_budgets::read(sql, &key.record, key.include_byok_in_limit, now)?;
    Ok(key.about_itself(&used, &limits, budgets, now))
}

#[cfg(test)]
mod tests;
