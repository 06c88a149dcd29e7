//! What isolates commit to their account: ended generations to the outbox, running ones to a list, so
//! that each is recorded once whatever dies (P5).
//!
//! | table | row |
//! |---|---|
//! | `sessions` | an isolate's life, and when it was last heard of |
//! | `batches` | numbers of batches taken: a repeated one has no effect |
//! | `marks` | below which number a session's batches are all taken, and its last question for slices |
//! | `open_generations` | a running generation, as the event it becomes if its isolate falls silent |
//! | `outbox` | usage events not yet in the queue, as JSON without the array's brackets |
//!
//! [`commit`] and [`sweep`] are one synchronous run of statements each, hence atomic. Events leave by
//! [`next_message`], then [`sent`]: at least once; the consumer counts each id once.

use serde_json::Value;

use super::{alerts, claims, credits, gathered, key_usage, keys, ledger::UsageLine, organization, rotation};
use crate::{
    auth::KeyRecord,
    budget::{
        AccountKind, book,
        wire::{MeterView, Told},
    },
    error::{Error, Result},
    metering::{ALIVE_EVERY_MS, CommitReply, CommitRequest},
    ports::{Sql, SqlError},
    time::Millis,
};

/// An isolate not heard of for so long is dead: three reports missed.
pub(super) const LOST_AFTER_MS: i64 = 3 * ALIVE_EVERY_MS;
/// Silent sessions are kept so long, with what they have told: an isolate that wakes up goes on from
/// there, or has begun a new life long before (`metering::Commit::is_old`).
const FORGET_AFTER_MS: i64 = 48 * 3_600_000;
/// Numbers of batches are forgotten so many at a time.
const FORGET_EVERY: i64 = 64;
/// How long events gather in the outbox before they are sent on.
const GATHER_MS: i64 = 500;
/// Most bytes of one queue message (limit: 128 KB). One that is half full is sent as it is.
const MESSAGE_BYTES: usize = 100_000;

/// Creates the tables.
pub fn migrate(sql: &dyn Sql) -> Result<(), SqlError> {
    for statement in [
        "CREATE TABLE IF NOT EXISTS sessions (session TEXT PRIMARY KEY, seen INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS batches (session TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (session, seq)) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS marks (
            session TEXT PRIMARY KEY, below INTEGER NOT NULL DEFAULT 0, asked INTEGER NOT NULL DEFAULT 0
        ) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS open_generations (id TEXT PRIMARY KEY, session TEXT NOT NULL, event TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL)",
    ] {
        sql.run(statement, &[])?;
    }
    claims::migrate(sql)?;
    book::migrate(sql)
}

/// Takes a batch and answers what the isolate has to know.
pub fn commit(sql: &dyn Sql, request: &CommitRequest, now: Millis) -> Result<CommitReply> {
    let balance = credits::held(sql)?;
    if request.seq > 0 {
        take(sql, request, now)?;
    }
    let told = tell(sql, request, now)?;
    credits::moved(sql, balance, now)?;
    let mut records = std::collections::HashMap::new();
    for hash in &request.keys {
        records.insert(hash.clone(), keys::record(sql, hash)?);
    }
    let keys::Changes { revision, changed } = keys::changes_since(sql, request.since)?;
    let mut claims_of = std::collections::HashMap::new();
    for claim in &request.claims {
        seen(sql, &request.session, now)?;
        let claimed = claims::claim(sql, &request.session, claim, now.plus(-LOST_AFTER_MS), now)?;
        claims_of.insert(claim.owner.clone(), claimed);
    }
    Ok(CommitReply { revision, changes: changed, keys: records, told, claims: claims_of })
}

/// Answers what is asked about meters.
fn tell(sql: &dyn Sql, request: &CommitRequest, now: Millis) -> Result<Option<Told>> {
    let mut ask = request.ask.clone();
    for hash in &request.charged {
        for account in keys::record(sql, hash)?.iter().flat_map(KeyRecord::accounts) {
            if !ask.accounts.contains(&account) {
                ask.accounts.push(account);
            }
        }
    }
    if !ask.wants.is_empty() {
        seen(sql, &request.session, now)?;
        if !is_new(sql, &request.session, ask.n)? {
            // Nobody waits for what it wants any more: it learns how things stand, and gets nothing.
            for want in &mut ask.wants {
                (want.base, want.need, want.more) = (0, 0, 0);
            }
            let told = book::tell(sql, &request.session, &ask, now)?;
            let meters = told.meters.into_iter().map(|view| MeterView { tight: None, ..view }).collect();
            return Ok(Some(Told { meters, ..told }));
        }
    }
    if ask.is_empty() {
        return Ok(None);
    }
    let mut told = book::tell(sql, &request.session, &ask, now)?;
    for charged in told.accounts.iter_mut().filter(|charged| charged.account.kind == AccountKind::Organization) {
        charged.policy = Some(organization::policy(sql)?);
    }
    Ok(Some(told))
}

/// Whether a question for slices is later than all that came before.
fn is_new(sql: &dyn Sql, session: &str, n: u64) -> Result<bool> {
    let n = i64::try_from(n).map_err(|_| Error::internal("the number of a question out of range"))?;
    let rows = sql.run(
        "INSERT INTO marks (session, asked) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET asked = excluded.asked WHERE asked < excluded.asked RETURNING asked",
        &[session.into(), n.into()],
    )?;
    Ok(plant!(AskedAgain, !rows.is_empty(), true))
}

/// The session lives.
fn seen(sql: &dyn Sql, session: &str, now: Millis) -> Result<()> {
    sql.run(
        "INSERT INTO sessions VALUES (?1, ?2) ON CONFLICT DO UPDATE SET seen = ?2",
        &[session.into(), now.0.into()],
    )?;
    Ok(())
}

fn take(sql: &dyn Sql, request: &CommitRequest, now: Millis) -> Result<()> {
    let session = request.session.as_str();
    let seq = i64::try_from(request.seq).map_err(|_| Error::internal("a batch number out of range"))?;
    seen(sql, session, now)?;
    let new = sql.run(
        "INSERT INTO batches SELECT ?1, ?2 WHERE ?2 >= coalesce((SELECT below FROM marks WHERE session = ?1), 0)
         ON CONFLICT DO NOTHING RETURNING seq",
        &[session.into(), seq.into()],
    )?;
    if plant!(NoDedup, new.is_empty(), false) {
        return Ok(());
    }
    let below = i64::try_from(request.below).unwrap_or_default();
    if below % FORGET_EVERY == 0 && below > 0 {
        // The mark takes the place of the numbers below it.
        sql.run(
            "INSERT INTO marks (session, below) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET below = max(below, excluded.below)",
            &[session.into(), plant!(MarkForgotten, below, 0).into()],
        )?;
        sql.run("DELETE FROM batches WHERE session = ?1 AND seq < ?2", &[session.into(), below.into()])?;
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
        key_usage::add_usage(sql, &request.usage)?;
        plant!(UsageTwice => key_usage::add_usage(sql, &request.usage)?);
    }
    for finished in &request.finished {
        claims::finish(sql, finished)?;
    }
    for crossed in book::report(sql, session, &request.totals, now)?.crossed {
        alerts::enqueue(sql, &crossed, now)?;
    }
    if !request.usage.is_empty() {
        let lines = request.usage.iter().map(|usage| {
            Ok(UsageLine {
                workspace: usage.workspace.clone(),
                key: rotation::account_of(sql, &usage.hash)?,
                provider: usage.provider.clone(),
                charged_nano: usage.nano,
                provider_nano: usage.provider_nano,
            })
        });
        gathered::usage(sql, &lines.collect::<Result<Vec<_>>>()?, now)?;
        alerts::check_balance(sql, now)?;
    }
    Ok(())
}

/// Turns the running generations of dead isolates into events, and forgets old sessions.
pub fn sweep(sql: &dyn Sql, now: Millis) -> Result<()> {
    let dead = now.plus(-LOST_AFTER_MS).0;
    let lost = sql.run(
        plant!(
            LostStays,
            "DELETE FROM open_generations WHERE session IN (SELECT session FROM sessions WHERE seen < ?1) RETURNING event",
            "SELECT event FROM open_generations WHERE session IN (SELECT session FROM sessions WHERE seen < ?1)"
        ),
        &[dead.into()],
    )?;
    for row in lost {
        if let Some(event) = row.get("event").and_then(Value::as_str) {
            sql.run("INSERT INTO outbox (body) VALUES (?1)", &[event.into()])?;
        }
    }
    plant!(SlotsNever, book::release_slots(sql, plant!(SlotsTooEarly, Millis(dead), now.plus(-10_000)))?, ());
    let old = now.plus(plant!(ForgottenEarly, -FORGET_AFTER_MS, -600_000)).0;
    // Whoever holds anything has a row here: without an old one there is nothing to look for.
    if !sql.run("SELECT 1 AS n FROM sessions WHERE seen < ?1 LIMIT 1", &[old.into()])?.is_empty() {
        let balance = credits::held(sql)?;
        book::write_off(sql, Millis(old))?;
        credits::written_off(sql, balance, now)?;
    }
    book::prune(sql, Millis(old))?;
    claims::forget(sql, now)?;
    for table in ["batches", "marks"] {
        let statement = format!("DELETE FROM {table} WHERE session IN (SELECT session FROM sessions WHERE seen < ?1)");
        sql.run(&statement, &[old.into()])?;
    }
    sql.run("DELETE FROM sessions WHERE seen < ?1", &[old.into()])?;
    Ok(())
}

/// What is to be sent next.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// Of a queue message: a JSON array of usage events.
    pub body: String,
    /// The outbox up to here.
    pub last_seq: i64,
}

/// The next message for the queue, within its limit; none when the outbox is empty. Busy traffic fills
/// a message with one row, idle traffic with many: rows are read a few at first, then more at a time.
pub fn next_message(sql: &dyn Sql) -> Result<Option<Message>> {
    let mut message = Message { body: String::new(), last_seq: 0 };
    for at_once in [1, 8, 64, 512] {
        let rows = sql.run(
            "SELECT seq, body FROM outbox WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            &[message.last_seq.into(), at_once.into()],
        )?;
        for row in rows {
            let body = row.get("body").and_then(Value::as_str).unwrap_or_default();
            if !message.body.is_empty() && message.body.len() + body.len() >= MESSAGE_BYTES {
                return Ok(Some(message.closed()));
            }
            message.body.push(if message.body.is_empty() { '[' } else { ',' });
            message.body.push_str(body);
            message.last_seq = row.get("seq").and_then(Value::as_i64).unwrap_or(message.last_seq);
        }
        if message.body.len() > MESSAGE_BYTES / 2 {
            break;
        }
    }
    Ok((!message.body.is_empty()).then(|| message.closed()))
}

impl Message {
    fn closed(mut self) -> Self {
        self.body.push(']');
        self
    }
}

/// The queue has it.
pub fn sent(sql: &dyn Sql, last_seq: i64) -> Result<()> {
    sql.run("DELETE FROM outbox WHERE seq <= ?1", &[plant!(SentTooMuch, last_seq, last_seq + 1).into()])?;
    Ok(())
}

/// When the object has to wake up by itself, if at all.
pub fn next_alarm(sql: &dyn Sql, now: Millis) -> Result<Option<Millis>> {
    let row = sql.run(
        "SELECT EXISTS (SELECT 1 FROM outbox) AS waiting,
                (SELECT min(seen) FROM sessions WHERE session IN (SELECT session FROM open_generations)) AS seen",
        &[],
    )?;
    let slots = book::slots_seen(sql)?.map(|seen| seen.0);
    let column = |name: &str| row.first().and_then(|row| row.get(name)?.as_i64());
    let send =
        column("waiting").filter(|waiting| plant!(AlarmForgotten, *waiting == 1, false)).map(|_| now.plus(GATHER_MS));
    let look = column("seen")
        .into_iter()
        .chain(slots)
        .min()
        .map(|seen| Millis(seen).plus(LOST_AFTER_MS + 1).max(now.plus(GATHER_MS)));
    Ok(match (send, look) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::RawValue};

    use super::*;
    use crate::{
        auth::{KeyHash, VirtualKey},
        ids::{GenerationId, Rng},
        metering::{KeyUsage, Outcome, UsageEvent},
        money::NanoUsd,
        testing::Memory,
    };

    const NOON: Millis = Millis(1_795_176_000_000);

    fn account() -> Memory {
        let sql = Memory::new();
        for _ in 0..2 {
            crate::account::migrate(&sql).unwrap();
        }
        sql
    }

    fn key() -> KeyHash {
        VirtualKey::generate(&[1; 48]).hash()
    }

    fn event(n: u64) -> UsageEvent {
        serde_json::from_value(json!({
            "v": 1, "id": GenerationId::new(NOON, &mut Rng::new(n)), "org": "default", "workspace_id": "default", "key_hash": key(),
            "created_at": NOON, "requested_model": "a/b", "model": "a/b", "provider": "p", "provider_name": "P", "tag": "p",
            "upstream_model": "m", "streamed": false, "cancelled": false, "outcome": Outcome::Lost, "status": 0, "latency_ms": 5,
            "generation_ms": 5, "tokens": { "prompt": 10, "completion": 5 }, "estimated": true, "price_version": "builtin",
            "strategy": "price", "attempts": [],
        }))
        .unwrap()
    }

    /// A batch of one ended generation.
    fn batch(session: &str, seq: u64, events: &[UsageEvent]) -> CommitRequest {
        let text = serde_json::to_string(events).unwrap();
        CommitRequest {
            session: session.to_owned(),
            seq,
            usage: vec![KeyUsage {
                hash: key(),
                workspace: "default".to_owned(),
                provider: "p".to_owned(),
                nano: NanoUsd(7),
                provider_nano: NanoUsd(7),
                requests: 1,
                at: NOON,
            }],
            events: Some(RawValue::from_string(text).unwrap()),
            ..CommitRequest::default()
        }
    }

    fn opening(session: &str, seq: u64, open: &[UsageEvent], closed: &[UsageEvent]) -> CommitRequest {
        let closed = closed.iter().map(|event| event.id.clone()).collect();
        CommitRequest { session: session.to_owned(), seq, open: open.to_vec(), closed, ..CommitRequest::default() }
    }

    fn events(sql: &Memory) -> Vec<UsageEvent> {
        let bodies = next_message(sql).unwrap().map(|message| message.body);
        bodies.iter().flat_map(|body| serde_json::from_str::<Vec<UsageEvent>>(body).unwrap()).collect()
    }

    fn column(sql: &Memory, query: &str) -> Vec<Value> {
        sql.run(query, &[]).unwrap().into_iter().flat_map(|row| row.into_iter().map(|(_, cell)| cell)).collect()
    }

    fn open_ids(sql: &Memory) -> Vec<Value> {
        column(sql, "SELECT id FROM open_generations ORDER BY id")
    }

    #[test]
    fn a_batch_is_taken_once_however_often_it_comes() {
        let sql = account();
        for (n, (session, seq)) in [("a", 1), ("a", 1), ("a", 2), ("b", 1), ("a", 1), ("b", 1)].into_iter().enumerate()
        {
            commit(&sql, &batch(session, seq, &[event(seq)]), NOON.plus(i64::try_from(n).unwrap())).unwrap();
        }
        assert_eq!(events(&sql), [event(1), event(2), event(1)]);
        assert_eq!(key_usage::used(&sql, key().as_str(), NOON).unwrap().own.total, NanoUsd(21));
        assert_eq!(key_usage::used(&sql, key().as_str(), NOON).unwrap().requests, 3);
    }

    #[test]
    fn batches_count_in_whatever_order_they_come() {
        let sql = account();
        for seq in [3, 1, 2, 3] {
            commit(&sql, &batch("a", seq, &[event(seq)]), NOON).unwrap();
        }
        assert_eq!(events(&sql), [event(3), event(1), event(2)]);
    }

    #[test]
    fn a_running_generation_is_listed_until_it_is_closed() {
        let sql = account();
        commit(&sql, &opening("a", 1, &[event(1), event(2)], &[]), NOON).unwrap();
        commit(&sql, &opening("a", 1, &[event(3)], &[]), NOON).unwrap();
        assert_eq!(open_ids(&sql).len(), 2, "what comes again under the same number has no effect");
        commit(&sql, &opening("a", 2, &[], &[event(1)]), NOON).unwrap();
        assert_eq!(open_ids(&sql), [event(2).id.as_str()]);
        // Began and ended within one batch.
        commit(&sql, &opening("a", 3, &[event(4)], &[event(4), event(2)]), NOON).unwrap();
        assert!(open_ids(&sql).is_empty() && events(&sql).is_empty());
    }

    #[test]
    fn what_a_silent_isolate_was_serving_is_recorded_as_lost() {
        let sql = account();
        commit(&sql, &opening("a", 1, &[event(1), event(2)], &[]), NOON).unwrap();
        commit(&sql, &opening("b", 1, &[event(3)], &[]), NOON.plus(1)).unwrap();
        sweep(&sql, NOON.plus(LOST_AFTER_MS)).unwrap();
        assert!(events(&sql).is_empty(), "not before its time");
        sweep(&sql, NOON.plus(LOST_AFTER_MS + 1)).unwrap();
        let mut lost: Vec<_> = events(&sql).into_iter().map(|event| event.id).collect();
        lost.sort();
        let mut expected = [event(1).id, event(2).id];
        expected.sort();
        assert_eq!(lost, expected);
        assert_eq!(open_ids(&sql), [event(3).id.as_str()], "another isolate's go on");
        sweep(&sql, NOON.plus(LOST_AFTER_MS + 1)).unwrap();
        assert_eq!(events(&sql).len(), 2, "each once");
    }

    #[test]
    fn a_sign_of_life_keeps_generations_open() {
        let sql = account();
        commit(&sql, &opening("a", 1, &[event(1)], &[]), NOON).unwrap();
        let mut now = NOON;
        for seq in 2..10 {
            now = now.plus(ALIVE_EVERY_MS);
            commit(&sql, &opening("a", seq, &[], &[]), now).unwrap();
            sweep(&sql, now).unwrap();
        }
        // A batch that comes again is a sign of life too.
        now = now.plus(LOST_AFTER_MS);
        commit(&sql, &opening("a", 9, &[], &[]), now).unwrap();
        sweep(&sql, now.plus(LOST_AFTER_MS)).unwrap();
        assert_eq!((open_ids(&sql).len(), events(&sql).len()), (1, 0));
        sweep(&sql, now.plus(LOST_AFTER_MS + 1)).unwrap();
        assert_eq!((open_ids(&sql).len(), events(&sql).len()), (0, 1));
    }

    #[test]
    fn old_sessions_and_their_batches_are_forgotten() {
        let sql = account();
        commit(&sql, &batch("old", 1, &[event(1)]), NOON).unwrap();
        commit(&sql, &batch("old", 2, &[event(2)]), NOON.plus(1)).unwrap();
        commit(&sql, &batch("new", 1, &[event(3)]), NOON.plus(2)).unwrap();
        let kept = || (column(&sql, "SELECT session FROM sessions"), column(&sql, "SELECT seq FROM batches"));
        sweep(&sql, NOON.plus(FORGET_AFTER_MS + 1)).unwrap();
        assert_eq!((kept().0.len(), kept().1.len()), (2, 3));
        sweep(&sql, NOON.plus(FORGET_AFTER_MS + 2)).unwrap();
        assert_eq!(kept(), (vec!["new".into()], vec![1.into()]));
        assert_eq!(events(&sql).len(), 3, "what they left in the outbox stays");
    }

    #[test]
    fn the_number_zero_asks_and_changes_nothing() {
        let sql = account();
        sql.script("INSERT INTO key_changes VALUES (1, 'x', 0); UPDATE key_revision SET revision = 4");
        let mut known = serde_json::to_value(crate::auth::KeyRecord::root(key())).unwrap();
        known["revision"] = 4.into();
        let doc = json!({ "record": known, "label": "sk-sl-v1-abc...xyz", "created_at": NOON }).to_string();
        sql.run("INSERT INTO keys (hash, doc) VALUES (?1, ?2)", &[key().as_str().into(), doc.into()]).unwrap();
        sql.run("INSERT INTO key_changes VALUES (4, ?1, 0)", &[key().as_str().into()]).unwrap();
        let unknown = VirtualKey::generate(&[2; 48]).hash();

        let mut request = batch("a", 0, &[event(1)]);
        (request.since, request.open) = (3, vec![event(2)]);
        request.keys = vec![key(), unknown.clone()];
        let reply = commit(&sql, &request, NOON).unwrap();
        assert_eq!((reply.revision, reply.changes), (4, Some(vec![(key().to_string(), 4)])));
        assert_eq!(reply.keys[&key()].as_ref().map(|record| record.revision), Some(4));
        assert_eq!((reply.keys.len(), &reply.keys[&unknown]), (2, &None));
        for table in ["sessions", "batches", "open_generations", "outbox", "key_usage"] {
            assert_eq!(column(&sql, &format!("SELECT count(*) FROM {table}")), [0], "{table}");
        }
        // A batch that changes something is answered the same.
        request.seq = 1;
        assert_eq!(commit(&sql, &request, NOON).unwrap().changes, Some(vec![(key().to_string(), 4)]));
        request.since = 9;
        assert_eq!(commit(&sql, &request, NOON).unwrap().changes, None, "a revision that was never given");
    }

    /// An outbox with rows of these sizes: JSON texts that say their number.
    fn outbox(sizes: &[usize]) -> Memory {
        let sql = account();
        for (n, size) in sizes.iter().enumerate() {
            let body = format!("\"{n:04}{}\"", "x".repeat(size - 6));
            assert_eq!(body.len(), *size);
            sql.run("INSERT INTO outbox (body) VALUES (?1)", &[body.into()]).unwrap();
        }
        sql
    }

    /// Sends all: of each message, its size and how many rows it held.
    fn send_all(sql: &Memory) -> Vec<(usize, usize)> {
        let (mut sizes, mut next) = (Vec::new(), 0);
        while let Some(message) = next_message(sql).unwrap() {
            let rows: Vec<String> = serde_json::from_str(&message.body).unwrap();
            for row in &rows {
                assert_eq!(row[..4].parse(), Ok(next), "in order, each once");
                next += 1;
            }
            sizes.push((message.body.len(), rows.len()));
            assert_eq!(next_message(sql).unwrap().as_ref(), Some(&message), "what was not acknowledged is sent again");
            sent(sql, message.last_seq).unwrap();
        }
        sizes
    }

    #[test]
    fn small_rows_are_joined_into_messages_within_the_limits_of_the_queue() {
        assert_eq!(send_all(&outbox(&[])), []);
        assert_eq!(send_all(&outbox(&[10, 20, 30])), [(64, 3)]);
        // As many rows as fit, then the next message.
        let messages = send_all(&outbox(&[1_000; 450]));
        assert_eq!(messages.iter().map(|(_, rows)| rows).sum::<usize>(), 450);
        assert_eq!((messages.len(), messages[0].1), (7, 73), "more than half full");
        // Large rows are messages of their own, in order with the small ones.
        assert_eq!(send_all(&outbox(&[90_000, 90_000, 90_000])), [(90_002, 1); 3]);
        assert_eq!(send_all(&outbox(&[9_000, 90_000, 8, 90_000])), [(99_012, 3), (90_002, 1)]);
        // One that is too large by itself does not stop the rest.
        assert_eq!(send_all(&outbox(&[210_000, 10])), [(210_002, 1), (12, 1)]);
        // More rows than are read for one message.
        assert_eq!(send_all(&outbox(&[6; 600])), [(585 * 7 + 1, 585), (15 * 7 + 1, 15)]);
    }

    proptest::proptest! {
        #[test]
        fn whatever_lies_in_the_outbox_leaves_it_in_order_and_fits(sizes in proptest::collection::vec(6_usize..90_000, 0..40)) {
            let messages = send_all(&outbox(&sizes));
            proptest::prop_assert_eq!(messages.iter().map(|(_, rows)| rows).sum::<usize>(), sizes.len());
            proptest::prop_assert!(messages.iter().all(|(size, _)| *size <= MESSAGE_BYTES + 1), "{:?}", messages);
        }
    }

    #[test]
    fn what_came_after_a_send_stays() {
        let sql = outbox(&[10, 10]);
        let message = next_message(&sql).unwrap().unwrap();
        sql.run("INSERT INTO outbox (body) VALUES ('1')", &[]).unwrap();
        sent(&sql, message.last_seq).unwrap();
        assert_eq!(next_message(&sql).unwrap().unwrap().body, "[1]");
    }

    #[test]
    fn the_object_wakes_when_there_is_something_to_do() {
        let sql = account();
        assert_eq!(next_alarm(&sql, NOON).unwrap(), None);
        // An isolate without running generations needs no looking after.
        commit(&sql, &opening("a", 1, &[], &[]), NOON).unwrap();
        assert_eq!(next_alarm(&sql, NOON).unwrap(), None);
        // Running generations: when the one silent longest would be lost.
        commit(&sql, &opening("a", 2, &[event(1)], &[]), NOON).unwrap();
        commit(&sql, &opening("b", 1, &[event(2)], &[]), NOON.plus(500)).unwrap();
        let due = NOON.plus(LOST_AFTER_MS + 1);
        assert_eq!(next_alarm(&sql, NOON.plus(600)).unwrap(), Some(due));
        sweep(&sql, due).unwrap();
        assert_eq!((open_ids(&sql).len(), events(&sql).len()), (1, 1), "at that moment it is");
        // Events wait: soon, whatever else runs.
        assert_eq!(next_alarm(&sql, due).unwrap(), Some(due.plus(GATHER_MS)));
        let message = next_message(&sql).unwrap().unwrap();
        sent(&sql, message.last_seq).unwrap();
        assert_eq!(next_alarm(&sql, due).unwrap(), Some(due.plus(500)));
        // Overdue: soon, not in the past.
        let late = due.plus(60_000);
        assert_eq!(next_alarm(&sql, late).unwrap(), Some(late.plus(GATHER_MS)));
    }
}
