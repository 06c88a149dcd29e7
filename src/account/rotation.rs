//! Rotation of keys: a new secret for the same account, and a grace for the old one.
//!
//! Table `rotations(hash, account, until)`: every key that was rotated or came of it, its account, and
//! for the old ones when their grace ends. Rows outlive the keys, since usage may still come in under an
//! old hash. A key whose grace is over is refused by its `expires_at`; [`bury`] deletes it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::keys::{self, Found};
use crate::{
    admin::body,
    auth::{KeyHash, VirtualKey},
    error::{Error, ErrorKind, Result},
    ports::{AdminRequest, Sql, SqlError, text},
    time::Millis,
};

const MOST_GRACE_S: i64 = 7 * 86_400;

/// Creates the table.
pub(super) fn migrate(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS rotations (hash TEXT PRIMARY KEY, account TEXT NOT NULL, until INTEGER) WITHOUT ROWID",
        &[],
    )?;
    Ok(())
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RotateBody {
    grace_seconds: Option<i64>,
}

/// The account of a key, also of one that is gone.
pub(super) fn account_of(sql: &dyn Sql, hash: &KeyHash) -> Result<String, SqlError> {
    let rows = sql.run("SELECT account FROM rotations WHERE hash = ?1", &[hash.as_str().into()])?;
    Ok(rows.first().map_or(hash.as_str(), |row| text(row, "account")).to_owned())
}

/// `POST /keys/{hash}/rotate`: the new key's row and, once, its secret.
pub(super) fn rotate(
    sql: &dyn Sql,
    hash: &str,
    request: &AdminRequest,
    now: Millis,
    random: &[u8; 48],
) -> Result<Value> {
    let RotateBody { grace_seconds } = match &request.body {
        None => RotateBody::default(),
        some => body::parse(some.as_ref())?,
    };
    let grace = grace_seconds.unwrap_or(0);
    if !(0..=MOST_GRACE_S).contains(&grace) {
        let message = format!("grace_seconds must be a whole number from 0 to {MOST_GRACE_S}.");
        return Err(Error::invalid("grace_seconds", message));
    }
    let Found { key: mut old, .. } = keys::find(sql, hash)?;
    if let Some(newer) = &old.replaced_by {
        let message = format!("This key was rotated before: its successor is {newer}.");
        return Err(Error::new(ErrorKind::Conflict, message).param("hash"));
    }
    let secret = VirtualKey::generate(random);
    let mut new = old.rotated(&secret, now);
    let until = now.plus(grace * 1000);
    for (hash, until) in [(&new.record.hash, None), (&old.record.hash, Some(until.0))] {
        sql.run(
            "INSERT INTO rotations VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET until = excluded.until",
            &[hash.as_str().into(), old.record.account.as_str().into(), until.into()],
        )?;
    }
    keys::save(sql, &mut new, now)?;
    old.record.expires_at = Some(old.record.expires_at.map_or(until, |end| end.min(until)));
    old.replaced_by = Some(new.record.hash.clone());
    old.updated_at = Some(now);
    keys::save(sql, &mut old, now)?;
    bury(sql, now)?;
    let row = keys::row(sql, &Found { key: new, last_used_at: None }, now)?;
    Ok(json!({ "data": row, "key": secret.expose() }))
}

/// Deletes rotated keys whose grace is over.
pub fn bury(sql: &dyn Sql, now: Millis) -> Result<()> {
    let rows =
        sql.run("SELECT r.hash FROM rotations r JOIN keys k ON k.hash = r.hash WHERE r.until <= ?1", &[now.0.into()])?;
    rows.iter().try_for_each(|row| keys::remove(sql, text(row, "hash"), now))
}
