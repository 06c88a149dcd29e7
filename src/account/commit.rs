//! What isolates commit to their account: ended generations to the outbox, running ones to a list, so
//! that each is recorded once whatever dies (P5).
//!
//! | table | row |
//! |---|---|
//! | `sessions` | an isolate's life, and when it was last heard of |
//! | `batches` | numbers of batches taken: a repeated one has no effect |
//! | `open_generations` | a running generation, as the event it becomes if its isolate falls silent |
//! | `outbox` | usage events not yet in the queue, as JSON without the array's brackets |
//!
//! [`commit`] and [`sweep`] are one synchronous run of statements each, hence atomic. Events leave by
//! [`next_messages`], then [`sent`]: at least once; the consumer counts each id once.

use serde_json::Value;

use super::{key_usage, keys};
use crate::{
    error::{Error, Result},
    metering::{ALIVE_EVERY_MS, CommitReply, CommitRequest},
    ports::{Sql, SqlError},
    time::Millis,
};

/// An isolate not heard of for so long is dead: three reports missed.
const LOST_AFTER_MS: i64 = 3 * ALIVE_EVERY_MS;
/// Sessions without running generations are kept so long, for batches that come twice.
const FORGET_AFTER_MS: i64 = 3_600_000;
/// How long events gather in the outbox before they are sent on.
const GATHER_MS: i64 = 500;
/// Most bytes of one queue message and of one send (limits: 128 KB and 256 KB).
const MESSAGE_BYTES: usize = 100_000;
const SEND_BYTES: usize = 200_000;

/// Creates the tables.
pub fn migrate(sql: &dyn Sql) -> Result<(), SqlError> {
    for statement in [
        "CREATE TABLE IF NOT EXISTS sessions (session TEXT PRIMARY KEY, seen INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS batches (session TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (session, seq)) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS open_generations (id TEXT PRIMARY KEY, session TEXT NOT NULL, event TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL)",
    ] {
        sql.run(statement, &[])?;
    }
    Ok(())
}

/// Takes a batch and answers what the isolate has to know.
pub fn commit(sql: &dyn Sql, request: &CommitRequest, now: Millis) -> Result<CommitReply> {
    if request.seq > 0 {
        take(sql, request, now)?;
    }
    let mut records = std::collections::HashMap::new();
    for hash in &request.keys {
        records.insert(hash.clone(), keys::record(sql, hash)?);
    }
    let keys::Changes { revision, changed } = keys::changes_since(sql, request.since)?;
    Ok(CommitReply { revision, changes: changed, keys: records })
}

fn take(sql: &dyn Sql, request: &CommitRequest, now: Millis) -> Result<()> {
    let session = request.session.as_str();
    let seq = i64::try_from(request.seq).map_err(|_| Error::internal("a batch number out of range"))?;
    sql.run(
        "INSERT INTO sessions VALUES (?1, ?2) ON CONFLICT DO UPDATE SET seen = ?2",
        &[session.into(), now.0.into()],
    )?;
    let new = sql.run(
        "INSERT INTO batches VALUES (?1, ?2) ON CONFLICT DO NOTHING RETURNING seq",
        &[session.into(), seq.into()],
    )?;
    if new.is_empty() {
        return Ok(());
    }
    for event in &request.open {
        let text = serde_json::to_string(event).unwrap_or_default();
        sql.run(
            "INSERT INTO open_generations VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            &[event.id.as_str().into(), session.into(), text.into()],
        )?;
    }
    for id in &request.closed {
        sql.run("DELETE FROM open_generations WHERE id = ?1", &[id.as_str().into()])?;
    }
    if let Some(events) = &request.events {
        let inner = events.get().trim().strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or_default();
        if !inner.trim().is_empty() {
            sql.run("INSERT INTO outbox (body) VALUES (?1)", &[inner.into()])?;
        }
    }
    if !request.usage.is_empty() {
        key_usage::add_usage(sql, &request.usage, now)?;
    }
    Ok(())
}

/// Turns the running generations of dead isolates into events, and forgets old sessions.
pub fn sweep(sql: &dyn Sql, now: Millis) -> Result<()> {
    let dead = now.plus(-LOST_AFTER_MS).0;
    let lost = sql.run(
        "DELETE FROM open_generations WHERE session IN (SELECT session FROM sessions WHERE seen < ?1) RETURNING event",
        &[dead.into()],
    )?;
    for row in lost {
        if let Some(event) = row.get("event").and_then(Value::as_str) {
            sql.run("INSERT INTO outbox (body) VALUES (?1)", &[event.into()])?;
        }
    }
    let old = now.plus(-FORGET_AFTER_MS).0;
    sql.run("DELETE FROM batches WHERE session IN (SELECT session FROM sessions WHERE seen < ?1)", &[old.into()])?;
    sql.run("DELETE FROM sessions WHERE seen < ?1", &[old.into()])?;
    Ok(())
}

/// What is to be sent next.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// Bodies of queue messages: JSON arrays of usage events.
    pub bodies: Vec<String>,
    /// The outbox up to here.
    pub last_seq: i64,
}

/// The next messages for the queue, within its limits; empty when the outbox is.
pub fn next_messages(sql: &dyn Sql) -> Result<Messages> {
    let mut messages = Messages::default();
    let mut total = 0;
    for row in sql.run("SELECT seq, body FROM outbox ORDER BY seq LIMIT 500", &[])? {
        let body = row.get("body").and_then(Value::as_str).unwrap_or_default();
        total += body.len();
        if total > SEND_BYTES && !messages.bodies.is_empty() {
            break;
        }
        match messages.bodies.last_mut() {
            Some(last) if last.len() + body.len() < MESSAGE_BYTES => {
                last.push(',');
                last.push_str(body);
            }
            _ => messages.bodies.push(format!("[{body}")),
        }
        messages.last_seq = row.get("seq").and_then(Value::as_i64).unwrap_or(messages.last_seq);
    }
    messages.bodies.iter_mut().for_each(|body| body.push(']'));
    Ok(messages)
}

/// The queue has them.
pub fn sent(sql: &dyn Sql, last_seq: i64) -> Result<()> {
    sql.run("DELETE FROM outbox WHERE seq <= ?1", &[last_seq.into()])?;
    Ok(())
}

/// When the object has to wake up by itself, if at all.
pub fn next_alarm(sql: &dyn Sql, now: Millis) -> Result<Option<Millis>> {
    let row = sql.run(
        "SELECT EXISTS (SELECT 1 FROM outbox) AS waiting,
                (SELECT min(seen) FROM sessions WHERE session IN (SELECT session FROM open_generations)) AS seen",
        &[],
    )?;
    let column = |name: &str| row.first().and_then(|row| row.get(name)?.as_i64());
    let send = column("waiting").filter(|waiting| *waiting == 1).map(|_| now.plus(GATHER_MS));
    let look = column("seen").map(|seen| Millis(seen).plus(LOST_AFTER_MS + 1).max(now.plus(GATHER_MS)));
    Ok(match (send, look) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    })
}
