//! A batch of usage events becomes rows of D1 (`schema/sql/0001_usage.sql`).
//!
//! Queues deliver at least once, so the same event may come again, in another batch or in the same.
//! The statements are to run as one atomic batch: the events that are not there yet are stored, then
//! those beyond the cursor are summed up, then the cursor moves. Whatever is delivered, a generation is
//! counted once; of several with one id the first counts. Only an event of outcome `lost`, which an account
//! writes for an isolate that it believes dead, gives way to the true one, and is taken out of the sums.
//!
//! Nearly always every event of a batch is new. Its sums are then those that were made here while the
//! events were read ([`Sums`]), and SQL adds a row or two; only where fewer were new than came does it
//! read the stored events again, one by one, which costs more than storing them.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;

use crate::{catalog::Tokens, ports::Statement, time::Millis};

const STORE: &str = "\
INSERT INTO events (id, created_at, key_hash, upstream_id, event)
SELECT value ->> '$.id', value ->> '$.created_at', value ->> '$.key_hash', value ->> '$.upstream_id', value
FROM json_each(?1) WHERE true ORDER BY key
ON CONFLICT (id) DO UPDATE SET event = excluded.event, upstream_id = excluded.upstream_id, replaced = events.event
WHERE events.event ->> '$.outcome' = 'lost' AND excluded.event ->> '$.outcome' <> 'lost'";

/// Adds rows of sums, as a SELECT gives them, to the table.
fn add(rows: &str) -> String {
    format!(
        "INSERT INTO rollup_daily (day, org, workspace_id, key_hash, model, provider, tag, provider_name,
    requests, errors, cancelled, estimated, unpriced,
    prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens, cache_write_tokens,
    cost_nano, cache_discount_nano, latency_ms, generation_ms, ttft_ms, ttft_count)
{rows}
ON CONFLICT (day, org, workspace_id, key_hash, model, provider, tag) DO UPDATE SET
    provider_name = max(provider_name, excluded.provider_name),
    requests = requests + excluded.requests, errors = errors + excluded.errors, cancelled = cancelled + excluded.cancelled,
    estimated = estimated + excluded.estimated, unpriced = unpriced + excluded.unpriced,
    prompt_tokens = prompt_tokens + excluded.prompt_tokens, completion_tokens = completion_tokens + excluded.completion_tokens,
    reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens, cached_tokens = cached_tokens + excluded.cached_tokens,
    cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens,
    cost_nano = cost_nano + excluded.cost_nano, cache_discount_nano = cache_discount_nano + excluded.cache_discount_nano,
    latency_ms = latency_ms + excluded.latency_ms, generation_ms = generation_ms + excluded.generation_ms,
    ttft_ms = ttft_ms + excluded.ttft_ms, ttft_count = ttft_count + excluded.ttft_count"
    )
}

/// Sums of stored events: those beyond the cursor, or those that took the place of a lost one.
fn sum(which: &str) -> String {
    add(&format!(
        "SELECT date(created_at / 1000, 'unixepoch'), e ->> '$.org', e ->> '$.workspace_id', key_hash,
    coalesce(e ->> '$.model', ''), coalesce(e ->> '$.provider', ''), coalesce(e ->> '$.tag', ''), coalesce(max(e ->> '$.provider_name'), ''),
    count(*), sum(e ->> '$.outcome' NOT IN ('ok', 'cancelled')), sum(e ->> '$.cancelled'), sum(e ->> '$.estimated'), sum(e ->> '$.cost_nano' IS NULL),
    sum(coalesce(e ->> '$.tokens.prompt', 0)), sum(coalesce(e ->> '$.tokens.completion', 0)), sum(coalesce(e ->> '$.tokens.reasoning', 0)),
    sum(coalesce(e ->> '$.tokens.cached', 0)), sum(coalesce(e ->> '$.tokens.cache_write', 0)),
    sum(coalesce(e ->> '$.cost_nano', 0)), sum(coalesce(e ->> '$.cache_discount_nano', 0)),
    total(e ->> '$.latency_ms'), total(e ->> '$.generation_ms'), total(e ->> '$.ttft_ms'), count(e ->> '$.ttft_ms')
FROM (SELECT created_at, key_hash, event AS e FROM events WHERE {which})
WHERE true
GROUP BY 1, 2, 3, 4, 5, 6, 7"
    ))
}

/// Whether ?1 events that began at ?2 or later lie beyond the cursor. (By the index of times alone:
/// the rows themselves hold the events. Without the plus the cursor would be looked for in the rows.)
const ALL_NEW: &str =
    "(SELECT count(*) FROM events WHERE created_at >= ?2 AND +seq > (SELECT seq FROM rollup_cursor)) = ?1";

/// The sums made here, where all events were new.
fn add_sums() -> String {
    let columns: Vec<String> = (0..24).map(|at| format!("value ->> {at}")).collect();
    add(&format!("SELECT {} FROM json_each(?3) WHERE {ALL_NEW}", columns.join(", ")))
}

/// Takes the lost ones out of the sums again. (Their group is small: one a crash.)
const TAKE_OUT: &str = "\
UPDATE rollup_daily SET requests = requests - lost.n, errors = errors - lost.n, estimated = estimated - lost.n, unpriced = unpriced - lost.n,
    latency_ms = rollup_daily.latency_ms - lost.latency_ms, generation_ms = rollup_daily.generation_ms - lost.generation_ms
FROM (
    SELECT date(created_at / 1000, 'unixepoch') AS day, r ->> '$.org' AS org, r ->> '$.workspace_id' AS workspace_id, key_hash,
        coalesce(r ->> '$.model', '') AS model, coalesce(r ->> '$.provider', '') AS provider, coalesce(r ->> '$.tag', '') AS tag,
        count(*) AS n, total(r ->> '$.latency_ms') AS latency_ms, total(r ->> '$.generation_ms') AS generation_ms
    FROM (SELECT created_at, key_hash, replaced AS r FROM events
        WHERE replaced IS NOT NULL AND seq <= (SELECT seq FROM rollup_cursor))
    GROUP BY 1, 2, 3, 4, 5, 6, 7
) AS lost
WHERE (rollup_daily.day, rollup_daily.org, rollup_daily.workspace_id, rollup_daily.key_hash, rollup_daily.model, rollup_daily.provider, rollup_daily.tag)
    = (lost.day, lost.org, lost.workspace_id, lost.key_hash, lost.model, lost.provider, lost.tag)";

const REPLACED: &str = "replaced IS NOT NULL AND seq <= (SELECT seq FROM rollup_cursor)";
const NEW: &str = "seq > (SELECT seq FROM rollup_cursor)";
const FORGET: &str = "UPDATE events SET replaced = NULL WHERE replaced IS NOT NULL";

const MOVE: &str = "UPDATE rollup_cursor SET seq = coalesce((SELECT max(seq) FROM events), 0)";

/// An old event among new ones: the look behind the cursor would be a long one.
const MAX_SPAN_MS: i64 = 600_000;

/// The statements that take in the events of these messages, to be run as one atomic batch.
pub fn statements(messages: &[Message<'_>]) -> Vec<Statement> {
    let plain = |sql: &str| Statement::new(sql, vec![]);
    let lists: Vec<&str> = messages.iter().map(|message| message.list).filter(|list| !list.trim().is_empty()).collect();
    let mut statements = vec![Statement::new(
        plant!(LostWins, STORE.to_owned(), STORE.replace("= 'lost' AND", "<> '' OR").replace("<> 'lost'", "= 'lost'")),
        vec![format!("[{}]", lists.join(",")).into()],
    )];

    let events = || messages.iter().flat_map(|message| &message.events);
    let times = || events().map(|event| event.created_at);
    let (first, last) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
    if last.saturating_sub(first) <= MAX_SPAN_MS {
        let count = i64::try_from(times().count()).unwrap_or(i64::MAX);
        statements.push(Statement::new(add_sums(), vec![count.into(), first.into(), sums_of(events()).into()]));
        statements.push(Statement::new(format!("{MOVE} WHERE {ALL_NEW}"), vec![count.into(), first.into()]));
    }
    statements.extend([
        plain(plant!(LostSummed, TAKE_OUT, "SELECT 1")),
        plain(&sum(REPLACED)),
        plain(&sum(NEW)),
        plain(FORGET),
        plain(plant!(CursorStays, MOVE, "SELECT 1")),
    ]);
    statements
}

/// A message of the queue that can be taken in: a JSON array of usage events.
pub struct Message<'m> {
    /// What is between its brackets.
    list: &'m str,
    events: Vec<Event<'m>>,
}

/// Reads a message, or says why it cannot be taken in: such a one is a dead letter, and must not spoil
/// its batch.
pub fn read(body: &str) -> Result<Message<'_>, String> {
    let events = serde_json::from_str::<Vec<Event<'_>>>(body).map_err(|error| error.to_string())?;
    for event in &events {
        if event.v != 1 {
            return Err(format!("v must be 1, not {}", event.v));
        }
        if event.id.is_empty() || event.key_hash.is_empty() || event.org.is_empty() {
            return Err("id, org and key_hash must not be empty".to_owned());
        }
    }
    let list = body.trim().strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or_default();
    Ok(Message { list, events })
}

/// The members that the statements cannot do without, and those that are summed up.
#[derive(Deserialize)]
struct Event<'e> {
    v: u32,
    #[serde(borrow)]
    id: Cow<'e, str>,
    #[serde(borrow)]
    org: Cow<'e, str>,
    #[serde(borrow)]
    key_hash: Cow<'e, str>,
    #[serde(borrow)]
    workspace_id: Cow<'e, str>,
    #[serde(borrow)]
    outcome: Cow<'e, str>,
    cancelled: bool,
    estimated: bool,
    created_at: i64,
    #[serde(rename = "status")]
    _status: u16,
    tokens: Tokens,
    #[serde(borrow)]
    model: Option<Cow<'e, str>>,
    #[serde(borrow)]
    provider: Option<Cow<'e, str>>,
    #[serde(borrow)]
    provider_name: Option<Cow<'e, str>>,
    #[serde(borrow)]
    tag: Option<Cow<'e, str>>,
    cost_nano: Option<i64>,
    cache_discount_nano: Option<i64>,
    latency_ms: Option<f64>,
    generation_ms: Option<f64>,
    ttft_ms: Option<f64>,
}

/// What is summed up apart: all but the day, which is the first column.
type Group<'e> = (i64, [&'e str; 6]);

/// Columns of `rollup_daily` from `provider_name` on.
#[derive(Default)]
struct Sums<'e> {
    provider_name: &'e str,
    counts: [i64; 12],
    times: [f64; 3],
    ttft_count: i64,
}

/// Rows of `rollup_daily` as a JSON array of arrays.
fn sums_of<'e>(events: impl Iterator<Item = &'e Event<'e>>) -> String {
    const DAY_MS: i64 = 86_400_000;
    let mut groups: BTreeMap<Group<'_>, Sums<'_>> = BTreeMap::new();
    for event in events {
        let or_none = |text: &'e Option<Cow<'e, str>>| text.as_deref().unwrap_or_default();
        let names = [&*event.org, &*event.workspace_id, &*event.key_hash];
        let endpoint = [&event.model, &event.provider, &event.tag].map(or_none);
        let group = (
            event.created_at.div_euclid(DAY_MS),
            [names[0], names[1], names[2], endpoint[0], endpoint[1], endpoint[2]],
        );
        let sums = groups.entry(group).or_default();
        sums.provider_name = sums.provider_name.max(or_none(&event.provider_name));
        let failed = !matches!(&*event.outcome, "ok" | "cancelled");
        let Tokens { prompt, completion, cached, cache_write, reasoning, .. } = event.tokens;
        let tokens = [prompt, completion, reasoning, cached, cache_write].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        let facts = [true, failed, event.cancelled, event.estimated, event.cost_nano.is_none()].map(i64::from);
        let money = [event.cost_nano, event.cache_discount_nano].map(Option::unwrap_or_default);
        for (sum, more) in sums.counts.iter_mut().zip(facts.into_iter().chain(tokens).chain(money)) {
            *sum = sum.saturating_add(more);
        }
        for (sum, more) in sums.times.iter_mut().zip([event.latency_ms, event.generation_ms, event.ttft_ms]) {
            *sum += more.unwrap_or_default();
        }
        sums.ttft_count += i64::from(event.ttft_ms.is_some());
    }
    let rows: Vec<serde_json::Value> = groups
        .into_iter()
        .map(|((day, group), Sums { provider_name, counts, times, ttft_count })| {
            let mut row = vec![Millis(day.saturating_mul(DAY_MS)).day().into()];
            row.extend(group.into_iter().chain([provider_name]).map(serde_json::Value::from));
            row.extend(counts.map(serde_json::Value::from));
            row.extend(times.map(serde_json::Value::from));
            row.push(ttft_count.into());
            row.into()
        })
        .collect();
    serde_json::Value::from(rows).to_string()
}

/// Keeps a message that could not be taken in.
pub fn dead_letter(id: &str, received_at: Millis, queue: &str, reason: &str, body: &str) -> Statement {
    Statement::new(
        "INSERT INTO dead_letters (id, received_at, queue, reason, body) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO NOTHING",
        vec![id.into(), received_at.0.into(), queue.into(), reason.into(), body.into()],
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        ports::{Row, Sql, int, text},
        testing::Memory,
    };
    use serde_json::{Value, json};

    pub(crate) const SCHEMA: &str =
        concat!(include_str!("../../schema/sql/0001_usage.sql"), include_str!("../../schema/sql/0002_formats.sql"));

    pub(crate) fn event(id: &str, change: Value) -> Value {
        let mut event = json!({
            "v": 1, "id": id, "org": "default", "workspace_id": "default", "key_hash": "k1", "created_at": 1_795_176_000_000_i64,
            "requested_model": "a/m:floor", "model": "a/m", "provider": "p", "provider_name": "P", "tag": "p/fp8", "upstream_model": "m",
            "upstream_id": format!("up-{id}"), "streamed": true, "cancelled": false, "outcome": "ok", "status": 200, "error_type": null,
            "finish_reason": "stop", "native_finish_reason": "stop", "ttft_ms": 12.5, "latency_ms": 100, "generation_ms": 80,
            "tokens": { "prompt": 10, "completion": 5, "cached": 2, "cache_write": 0, "prompt_audio": 0, "reasoning": 1, "completion_audio": 0, "completion_image": 0 },
            "estimated": false, "cost_nano": 1500, "prompt_cost_nano": 1000, "completion_cost_nano": 500, "cache_discount_nano": 7,
            "provider_cost_usd": null, "price_version": "b1", "strategy": "price",
            "attempts": [{ "provider": "p", "tag": "p/fp8", "model": "a/m", "status": 200, "cause": null, "latency_ms": 12 }],
            "user": null, "session_id": null, "user_agent": "ua", "http_referer": null, "app_title": null, "service_tier": null,
        });
        for (name, value) in change.as_object().cloned().unwrap_or_default() {
            event[name] = value;
        }
        read(&json!([event]).to_string()).unwrap();
        event
    }

    pub(crate) fn database() -> Memory {
        let sql = Memory::new();
        sql.script(SCHEMA);
        sql
    }

    pub(crate) fn take_in(sql: &Memory, events: &[Value]) {
        let text = Value::from(events).to_string();
        sql.batch(&statements(&[read(&text).unwrap()])).unwrap();
    }

    fn sums(sql: &Memory) -> Vec<Row> {
        sql.run("SELECT * FROM rollup_daily ORDER BY day, key_hash, model, provider, tag", &[]).unwrap()
    }

    #[test]
    fn a_generation_counts_once_however_it_is_delivered() {
        let sql = database();
        let (one, two, three) =
            (event("1", json!({})), event("2", json!({ "cost_nano": 500 })), event("3", json!({ "cost_nano": null })));
        take_in(&sql, &[one.clone(), two.clone(), one.clone()]);
        take_in(&sql, &[two.clone(), three.clone(), one.clone()]);
        take_in(&sql, &[three, two, one]);
        let rows = sums(&sql);
        assert_eq!(rows.len(), 1);
        let figures = [
            "requests",
            "cost_nano",
            "unpriced",
            "prompt_tokens",
            "completion_tokens",
            "reasoning_tokens",
            "cached_tokens",
            "ttft_count",
        ];
        assert_eq!(figures.map(|name| int(&rows[0], name)), [3, 2000, 1, 30, 15, 3, 6, 3]);
        assert_eq!(rows[0]["ttft_ms"], 37.5);
        assert_eq!((text(&rows[0], "day"), text(&rows[0], "provider_name")), ("2026-11-20", "P"));
        assert_eq!(int(&sql.run("SELECT count(*) AS n FROM generations", &[]).unwrap()[0], "n"), 3);
    }

    #[test]
    fn of_several_with_one_id_the_first_counts_in_both_tables() {
        let sql = database();
        take_in(
            &sql,
            &[
                event("1", json!({ "cost_nano": 9 })),
                event("1", json!({ "cost_nano": 5 })),
                event("1", json!({ "cost_nano": 7 })),
            ],
        );
        assert_eq!(int(&sums(&sql)[0], "cost_nano"), 9);
        assert_eq!(int(&sql.run("SELECT cost_nano FROM generations", &[]).unwrap()[0], "cost_nano"), 9);
    }

    #[test]
    fn days_keys_and_endpoints_are_summed_apart_and_failures_counted() {
        let sql = database();
        take_in(
            &sql,
            &[
                event("1", json!({})),
                event("2", json!({ "created_at": 1_795_219_200_000_i64 })),
                event("3", json!({ "key_hash": "k2" })),
                event("4", json!({ "tag": "p/int4" })),
                event(
                    "5",
                    json!({ "outcome": "error", "model": null, "provider": null, "tag": null, "provider_name": null, "cost_nano": null }),
                ),
                event("6", json!({ "outcome": "cancelled", "cancelled": true })),
            ],
        );
        let rows = sums(&sql);
        let facts: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    text(row, "day"),
                    text(row, "key_hash"),
                    text(row, "tag"),
                    int(row, "requests"),
                    int(row, "errors"),
                    int(row, "cancelled"),
                )
            })
            .collect();
        assert_eq!(
            facts,
            [
                ("2026-11-20", "k1", "", 1, 1, 0),
                ("2026-11-20", "k1", "p/fp8", 2, 0, 1),
                ("2026-11-20", "k1", "p/int4", 1, 0, 0),
                ("2026-11-20", "k2", "p/fp8", 1, 0, 0),
                ("2026-11-21", "k1", "p/fp8", 1, 0, 0),
            ]
        );
    }

    #[test]
    fn sums_made_here_are_those_that_sql_would_make() {
        let changes = [
            json!({}),
            json!({ "key_hash": "k2", "ttft_ms": null, "latency_ms": 2.25, "estimated": true }),
            json!({ "created_at": 1_795_219_199_999_i64, "provider_name": "Q", "cancelled": true, "outcome": "cancelled" }),
            json!({ "provider_name": "A", "cost_nano": null, "cache_discount_nano": null, "tokens": { "prompt": 7, "completion": 0, "cache_write": 3 } }),
            json!({ "outcome": "broken", "model": null, "provider": null, "tag": null, "provider_name": null, "workspace_id": "w2" }),
        ];
        let events: Vec<Value> = (0..20)
            .map(|n| {
                let mut change = changes[n % 5].clone();
                let at = 1_795_219_200_000_i64 + i64::try_from(n).unwrap();
                change.as_object_mut().unwrap().entry("created_at").or_insert(at.into());
                event(&n.to_string(), change)
            })
            .collect();
        let (text, half) = (Value::from(events.clone()).to_string(), &events[..10]);
        let all = statements(&[read(&text).unwrap()]);
        let (here, sql) = (database(), database());
        // Alone they do the whole work; left out, nothing is missed.
        here.batch(&all[..3]).unwrap();
        sql.batch(&[&all[..1], &all[3..]].concat()).unwrap();
        assert_eq!(sums(&here), sums(&sql));
        assert_eq!(sums(&here).len(), 4);
        // Where not every event is new, they add nothing and leave the cursor.
        let known = database();
        take_in(&known, half);
        let (before, cursor) = (sums(&known), known.run("SELECT seq FROM rollup_cursor", &[]).unwrap());
        known.batch(&all[..3]).unwrap();
        assert_eq!((sums(&known), known.run("SELECT seq FROM rollup_cursor", &[]).unwrap()), (before, cursor));
        known.batch(&all[3..]).unwrap();
        assert_eq!(sums(&known), sums(&here));
    }

    #[test]
    fn every_member_of_an_event_is_stored() {
        let sql = database();
        take_in(
            &sql,
            &[event("1", json!({ "user": "u", "session_id": "s", "app_title": "t", "service_tier": "flex" }))],
        );
        let row = &sql.run("SELECT * FROM generations", &[]).unwrap()[0];
        assert_eq!(row.len(), 47);
        assert_eq!((text(row, "api"), text(row, "losses")), ("chat", "[]"));
        assert_eq!(
            (text(row, "user"), text(row, "app_title"), int(row, "cached_tokens"), int(row, "streamed")),
            ("u", "t", 2, 1)
        );
        let attempts: Value = serde_json::from_str(text(row, "attempts")).unwrap();
        assert_eq!(attempts[0]["latency_ms"], 12);
    }

    #[test]
    fn the_true_event_takes_the_place_of_a_lost_one() {
        let sql = database();
        let lost = || {
            event(
                "1",
                json!({ "outcome": "lost", "estimated": true, "cost_nano": null, "tokens": { "prompt": 0, "completion": 0 } }),
            )
        };
        let summed = || {
            let row = &sql.run("SELECT sum(requests) AS requests, sum(errors) AS errors, sum(unpriced) AS unpriced, sum(estimated) AS estimated, sum(cost_nano) AS cost, CAST(sum(generation_ms) AS INTEGER) AS ms FROM rollup_daily", &[]).unwrap()[0];
            ["requests", "errors", "unpriced", "estimated", "cost", "ms"].map(|name| int(row, name))
        };
        take_in(&sql, &[lost(), event("2", json!({}))]);
        assert_eq!(summed(), [2, 1, 1, 1, 1500, 160]);
        // Lost again, the truth, the truth again and lost once more: only the truth stays, counted once.
        for events in [[lost()], [event("1", json!({}))], [event("1", json!({}))], [lost()]] {
            take_in(&sql, &events);
        }
        assert_eq!(summed(), [2, 0, 0, 0, 3000, 160]);
        assert_eq!(text(&sql.run("SELECT outcome FROM generations WHERE id = '1'", &[]).unwrap()[0], "outcome"), "ok");
        // Both in one batch.
        let both = ["3", "3"].map(|id| event(id, json!({})));
        let mut first = lost();
        first["id"] = "3".into();
        take_in(&sql, &[first, both[0].clone()]);
        assert_eq!(summed()[0], 3);
        assert_eq!(summed()[4], 4500);
    }

    #[test]
    fn messages_that_cannot_be_taken_in_say_why() {
        for (change, why) in [
            (json!({ "v": 2 }), "v must be 1, not 2"),
            (json!({ "id": "" }), "must not be empty"),
            (json!({ "key_hash": null }), "invalid type: null"),
            (json!({ "created_at": "now" }), "invalid type: string"),
            (json!({ "tokens": [] }), "invalid length 0"),
            (json!({ "tokens": { "prompt": -1 } }), "invalid value: integer `-1`"),
        ] {
            let mut bad = event("1", json!({}));
            for (name, value) in change.as_object().unwrap() {
                bad[name] = value.clone();
            }
            let said = read(&json!([bad]).to_string()).err().unwrap();
            assert!(said.contains(why), "{said}");
        }
        for text in ["", "{}", "[1]", "[{}]", "text"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
