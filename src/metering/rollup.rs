//! A batch of usage events becomes rows of D1 (`schema/sql/0001_usage.sql`).
//!
//! Queues deliver at least once, so the same event may come again, in another batch or in the same.
//! The statements are to run as one atomic batch: the events that are not there yet are stored, then
//! those beyond the cursor are summed up, then the cursor moves. Whatever is delivered, a generation is
//! counted once; of several with one id the first counts. Only an event of outcome `lost`, which an account
//! writes for an isolate that it believes dead, gives way to the true one, and is taken out of the sums.

use std::borrow::Cow;

use serde::Deserialize;

use crate::{catalog::Tokens, ports::Statement, time::Millis};

const STORE: &str = "\
INSERT INTO events (id, created_at, key_hash, upstream_id, event)
SELECT value ->> '$.id', value ->> '$.created_at', value ->> '$.key_hash', value ->> '$.upstream_id', value
FROM json_each(?1) WHERE true ORDER BY key
ON CONFLICT (id) DO UPDATE SET event = excluded.event, upstream_id = excluded.upstream_id, replaced = events.event
WHERE events.event ->> '$.outcome' = 'lost' AND excluded.event ->> '$.outcome' <> 'lost'";

/// Adds up events: those beyond the cursor, or those that took the place of a lost one.
fn sum(which: &str) -> String {
    format!(
        "INSERT INTO rollup_daily (day, org, workspace_id, key_hash, model, provider, tag, provider_name,
    requests, errors, cancelled, estimated, unpriced,
    prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens, cache_write_tokens,
    cost_nano, cache_discount_nano, latency_ms, generation_ms, ttft_ms, ttft_count)
SELECT date(created_at / 1000, 'unixepoch'), e ->> '$.org', e ->> '$.workspace_id', key_hash,
    coalesce(e ->> '$.model', ''), coalesce(e ->> '$.provider', ''), coalesce(e ->> '$.tag', ''), coalesce(max(e ->> '$.provider_name'), ''),
    count(*), sum(e ->> '$.outcome' NOT IN ('ok', 'cancelled')), sum(e ->> '$.cancelled'), sum(e ->> '$.estimated'), sum(e ->> '$.cost_nano' IS NULL),
    sum(coalesce(e ->> '$.tokens.prompt', 0)), sum(coalesce(e ->> '$.tokens.completion', 0)), sum(coalesce(e ->> '$.tokens.reasoning', 0)),
    sum(coalesce(e ->> '$.tokens.cached', 0)), sum(coalesce(e ->> '$.tokens.cache_write', 0)),
    sum(coalesce(e ->> '$.cost_nano', 0)), sum(coalesce(e ->> '$.cache_discount_nano', 0)),
    total(e ->> '$.latency_ms'), total(e ->> '$.generation_ms'), total(e ->> '$.ttft_ms'), count(e ->> '$.ttft_ms')
FROM (SELECT created_at, key_hash, event AS e FROM events WHERE {which})
WHERE true
GROUP BY 1, 2, 3, 4, 5, 6, 7
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

/// The statements that take in a JSON array of events, to be run as one atomic batch. Every event
/// must have passed [`check`].
pub fn statements(events_json: &str) -> Vec<Statement> {
    let plain = |sql: &str| Statement::new(sql, vec![]);
    vec![
        Statement::new(STORE, vec![events_json.into()]),
        plain(TAKE_OUT),
        plain(&sum(REPLACED)),
        plain(&sum(NEW)),
        plain(FORGET),
        plain(MOVE),
    ]
}

/// Says why a message cannot be taken in, if it cannot: such a one is a dead letter, and must not spoil
/// its batch. A message is a JSON array of usage events.
pub fn check(body: &str) -> Result<(), String> {
    for event in serde_json::from_str::<Vec<Required<'_>>>(body).map_err(|error| error.to_string())? {
        if event.v != 1 {
            return Err(format!("v must be 1, not {}", event.v));
        }
        if event.id.is_empty() || event.key_hash.is_empty() || event.org.is_empty() {
            return Err("id, org and key_hash must not be empty".to_owned());
        }
    }
    Ok(())
}

/// The members that the statements cannot do without. (Reading only these costs a third of reading all.)
#[derive(Deserialize)]
struct Required<'e> {
    v: u32,
    #[serde(borrow)]
    id: Cow<'e, str>,
    #[serde(borrow)]
    org: Cow<'e, str>,
    #[serde(borrow)]
    key_hash: Cow<'e, str>,
    #[serde(rename = "workspace_id", borrow)]
    _workspace_id: Cow<'e, str>,
    #[serde(rename = "outcome", borrow)]
    _outcome: Cow<'e, str>,
    #[serde(rename = "cancelled")]
    _cancelled: bool,
    #[serde(rename = "estimated")]
    _estimated: bool,
    #[serde(rename = "created_at")]
    _created_at: i64,
    #[serde(rename = "status")]
    _status: u16,
    #[serde(rename = "tokens")]
    _tokens: Tokens,
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

    pub(crate) const SCHEMA: &str = include_str!("../../schema/sql/0001_usage.sql");

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
        check(&json!([event]).to_string()).unwrap();
        event
    }

    pub(crate) fn database() -> Memory {
        let sql = Memory::new();
        sql.script(SCHEMA);
        sql
    }

    pub(crate) fn take_in(sql: &Memory, events: &[Value]) {
        sql.batch(&statements(&Value::from(events).to_string())).unwrap();
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
    fn every_member_of_an_event_is_stored() {
        let sql = database();
        take_in(
            &sql,
            &[event("1", json!({ "user": "u", "session_id": "s", "app_title": "t", "service_tier": "flex" }))],
        );
        let row = &sql.run("SELECT * FROM generations", &[]).unwrap()[0];
        assert_eq!(row.len(), 45);
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
            let said = check(&json!([bad]).to_string()).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
        for text in ["", "{}", "[1]", "[{}]", "text"] {
            assert!(check(text).is_err(), "{text}");
        }
    }
}
