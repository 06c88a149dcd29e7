//! Answers from D1: `/generation`, `/generations`, `/activity`, `/admin/dead-letters`. Each is a
//! statement and a shape for its rows; the shell runs the one and passes the rows to the other.

use serde_json::{Map, Value, json};

use super::query::{self, Query};
use crate::{
    auth::{KeyHash, KeyKind, KeyRecord},
    error::{Error, ErrorKind, Result},
    money::NanoUsd,
    ports::{Param, Row, Statement, int, text},
    time::Millis,
};

const OUTCOMES: [&str; 5] = ["ok", "error", "cancelled", "broken", "lost"];
const DAY_MS: i64 = 86_400_000;

/// A question to D1: the statements of one batch, and what is made of their rows.
pub struct Question {
    /// To be run as one batch.
    pub statements: Vec<Statement>,
    shape: Shape,
}

enum Shape {
    Generation,
    Generations { limit: usize },
    Activity,
    DeadLetters,
    DeadLetter,
    Deleted,
}

/// Reads a request; `path` is below the base URL, decoded.
pub fn ask(method: &str, path: &str, query: &Query, asker: &KeyRecord, now: Millis) -> Result<Question> {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (statements, shape) = match (method, segments.as_slice()) {
        ("GET", ["generation"]) => (vec![generation(query, asker)?], Shape::Generation),
        ("GET", ["generations"]) => generations(query, asker)?,
        ("GET", ["activity"]) => (vec![activity(query, asker, now)?], Shape::Activity),
        ("GET", ["admin", "dead-letters"]) => (dead_letters(query)?, Shape::DeadLetters),
        ("GET", ["admin", "dead-letters", id]) => {
            (vec![by_id("SELECT * FROM dead_letters WHERE id = ?1", id)], Shape::DeadLetter)
        }
        ("DELETE", ["admin", "dead-letters", id]) => {
            (vec![by_id("DELETE FROM dead_letters WHERE id = ?1 RETURNING id", id)], Shape::Deleted)
        }
        _ => return Err(Error::internal(format!("the records have nothing at {method} {path}"))),
    };
    Ok(Question { statements, shape })
}

impl Question {
    /// The answer, from the rows of each statement.
    pub fn answer(&self, results: &[Vec<Row>]) -> Result<Value> {
        let rows = results.first().map(Vec::as_slice).unwrap_or_default();
        let one = |what: &str| {
            rows.first().ok_or_else(|| Error::new(ErrorKind::NotFound, format!("There is no {what} of that id.")))
        };
        Ok(match self.shape {
            Shape::Generation => {
                let row = one("generation").map_err(|error| Error {
                    message: format!("{} It may take a few seconds to appear after its answer.", error.message),
                    ..error
                })?;
                json!({ "data": generation_row(row)? })
            }
            Shape::Generations { limit } => {
                let data = rows.iter().take(limit).map(generation_row).collect::<Result<Vec<_>>>()?;
                let last = rows.get(limit.saturating_sub(1)).filter(|_| rows.len() > limit);
                json!({ "data": data, "next_cursor": last.map(|row| format!("{}.{}", int(row, "created_at"), text(row, "id"))) })
            }
            Shape::Activity => json!({ "data": rows.iter().map(activity_row).collect::<Vec<_>>() }),
            Shape::DeadLetters => {
                let total = results.get(1).and_then(|rows| rows.first()).map_or(0, |row| int(row, "n"));
                json!({ "data": rows.iter().map(dead_letter_row).collect::<Vec<_>>(), "total_count": total })
            }
            Shape::DeadLetter => json!({ "data": dead_letter_row(one("dead letter")?) }),
            Shape::Deleted => {
                one("dead letter")?;
                json!({ "deleted": true })
            }
        })
    }
}

fn by_id(sql: &str, id: &str) -> Statement {
    Statement::new(sql, vec![id.into()])
}

/// By our id or the provider's. An inference key sees what it called itself.
fn generation(query: &Query, asker: &KeyRecord) -> Result<Statement> {
    let id = query::text(query, "id")
        .ok_or_else(|| Error::invalid("id", "id: give the id of a generation (?id=gen-...)."))?;
    let own = (asker.kind == KeyKind::Inference).then(|| asker.hash.as_str());
    // Two look-ups by index rather than one scan; ids come before the providers' ids.
    let sql = "SELECT * FROM (
            SELECT 0 AS place, * FROM generations WHERE id = ?1
            UNION ALL SELECT 1 AS place, * FROM generations WHERE upstream_id = ?1 AND upstream_id IS NOT NULL
        ) WHERE org = ?2 AND (?3 IS NULL OR key_hash = ?3) ORDER BY place, created_at DESC LIMIT 1";
    Ok(Statement::new(sql, vec![id.into(), asker.org.as_str().into(), own.into()]))
}

/// Newest first; the cursor is the last row's place.
fn generations(query: &Query, asker: &KeyRecord) -> Result<(Vec<Statement>, Shape)> {
    let limit = query::whole(query, "limit", 1..=1000)?.unwrap_or(100);
    let mut params: Vec<Param> = vec![asker.org.as_str().into()];
    let mut filters = vec!["org = ?1".to_owned()];
    let mut filter = |condition: &str, value: Param| {
        params.push(value);
        filters.push(condition.replace('#', &format!("?{}", params.len())));
    };
    if let Some(hash) = key_hash(query, "key_hash")? {
        filter("key_hash = #", hash.as_str().into());
    }
    for (name, condition) in [("model", "model = #"), ("provider", "provider = #")] {
        if let Some(value) = query::text(query, name) {
            filter(condition, value.into());
        }
    }
    if let Some(outcome) = query::text(query, "outcome") {
        if !OUTCOMES.contains(&outcome) {
            return Err(Error::invalid("outcome", format!("outcome must be one of {}.", OUTCOMES.join(", "))));
        }
        filter("outcome = #", outcome.into());
    }
    if let Some(since) = query::moment(query, "since")? {
        filter("created_at >= #", since.0.into());
    }
    if let Some(until) = query::moment(query, "until")? {
        filter("created_at < #", until.0.into());
    }
    if let Some(cursor) = query::text(query, "cursor") {
        let place = cursor.split_once('.').and_then(|(at, id)| Some((at.parse::<i64>().ok()?, id)));
        let (at, id) =
            place.ok_or_else(|| Error::invalid("cursor", "cursor must be the next_cursor of a former answer."))?;
        filter("created_at <= #", at.into());
        let bound = params.len();
        params.push(id.into());
        filters.push(format!("(created_at < ?{bound} OR id < ?{})", params.len()));
    }
    params.push((limit + 1).into());
    let sql = format!(
        "SELECT * FROM generations WHERE {} ORDER BY created_at DESC, id DESC LIMIT ?{}",
        filters.join(" AND "),
        params.len()
    );
    Ok((vec![Statement::new(sql, params)], Shape::Generations { limit: usize::try_from(limit).unwrap_or(0) }))
}

/// Thirty completed days and today.
fn activity(query: &Query, asker: &KeyRecord, now: Millis) -> Result<Statement> {
    let date = query::text(query, "date");
    if date.is_some_and(|date| Millis::parse_iso(&format!("{date}T00:00:00Z")).is_none()) {
        return Err(Error::invalid("date", "date must be a UTC day such as 2026-11-20."));
    }
    let workspace = match query::text(query, "group_by") {
        None => "",
        Some("workspace") => ", workspace_id",
        Some(_) => return Err(Error::invalid("group_by", "group_by must be \"workspace\".")),
    };
    let hash = key_hash(query, "api_key_hash")?;
    let sql = format!(
        "SELECT day, model, provider, tag, max(provider_name) AS provider_name{workspace}, sum(requests) AS requests,
            sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens,
            sum(reasoning_tokens) AS reasoning_tokens, sum(cached_tokens) AS cached_tokens, sum(cost_nano) AS cost_nano
         FROM rollup_daily
         WHERE org = ?1 AND day >= ?2 AND (?3 IS NULL OR day = ?3) AND (?4 IS NULL OR key_hash = ?4) AND (?5 IS NULL OR workspace_id = ?5)
         GROUP BY day, model, provider, tag{workspace} ORDER BY day DESC, model, tag{workspace}"
    );
    let params = vec![
        asker.org.as_str().into(),
        now.plus(-30 * DAY_MS).day().into(),
        date.into(),
        hash.as_ref().map(KeyHash::as_str).into(),
        query::text(query, "workspace_id").into(),
    ];
    Ok(Statement::new(sql, params))
}

fn dead_letters(query: &Query) -> Result<Vec<Statement>> {
    let (offset, limit) = query::page(query, 100, 100)?;
    Ok(vec![
        Statement::new(
            "SELECT * FROM dead_letters ORDER BY received_at DESC, id DESC LIMIT ?1 OFFSET ?2",
            vec![limit.into(), offset.into()],
        ),
        Statement::new("SELECT count(*) AS n FROM dead_letters", vec![]),
    ])
}

fn key_hash(query: &Query, name: &str) -> Result<Option<KeyHash>> {
    let parse = |value| {
        KeyHash::parse(value)
            .ok_or_else(|| Error::invalid(name, format!("{name} must be the hash of a key: 64 hexadecimal digits.")))
    };
    query::text(query, name).map(parse).transpose()
}

/// Members of `/generation` that are columns: first OpenRouter's, then ours.
const COPIED: [(&str, &str); 36] = [
    ("id", "id"),
    ("upstream_id", "upstream_id"),
    ("request_id", "id"),
    ("session_id", "session_id"),
    ("provider_name", "provider_name"),
    ("http_referer", "http_referer"),
    ("user_agent", "user_agent"),
    ("external_user", "user"),
    ("workspace_id", "workspace_id"),
    ("finish_reason", "finish_reason"),
    ("native_finish_reason", "native_finish_reason"),
    ("latency", "latency_ms"),
    ("generation_time", "generation_ms"),
    ("tokens_prompt", "prompt_tokens"),
    ("tokens_completion", "completion_tokens"),
    ("native_tokens_prompt", "prompt_tokens"),
    ("native_tokens_completion", "completion_tokens"),
    ("native_tokens_reasoning", "reasoning_tokens"),
    ("native_tokens_cached", "cached_tokens"),
    ("native_tokens_completion_images", "completion_image_tokens"),
    ("upstream_inference_cost", "provider_cost_usd"),
    ("service_tier", "service_tier"),
    ("key_hash", "key_hash"),
    ("requested_model", "requested_model"),
    ("provider", "provider"),
    ("tag", "tag"),
    ("upstream_model", "upstream_model"),
    ("outcome", "outcome"),
    ("status", "status"),
    ("error_type", "error_type"),
    ("ttft", "ttft_ms"),
    ("price_version", "price_version"),
    ("strategy", "strategy"),
    ("app_title", "app_title"),
    ("native_tokens_cache_write", "cache_write_tokens"),
    ("api", "api"),
];

/// Members of OpenRouter's that nothing here stands behind.
const NOTHING: [&str; 11] = [
    "router",
    "preset_id",
    "app_id",
    "moderation_latency",
    "num_media_prompt",
    "num_media_completion",
    "num_input_audio_prompt",
    "num_search_results",
    "num_fetches",
    "web_search_engine",
    "response_cache_source_id",
];

/// A row of `generations` in OpenRouter's shape, with our additions.
fn generation_row(row: &Row) -> Result<Value> {
    let usd = |name: &str| row.get(name).and_then(Value::as_i64).map_or(Value::Null, |nano| NanoUsd(nano).to_json());
    let truth = |name: &str| int(row, name) != 0;
    let attempts: Vec<Value> = serde_json::from_str(text(row, "attempts"))
        .map_err(|error| Error::internal(format!("attempts of a generation: {error}")))?;
    let losses: Vec<String> = serde_json::from_str(text(row, "losses"))
        .map_err(|error| Error::internal(format!("losses of a generation: {error}")))?;
    let cost = NanoUsd(int(row, "cost_nano")).to_json();
    let model = [text(row, "model"), text(row, "requested_model")].into_iter().find(|model| !model.is_empty());
    let mut shown = json!({
        "created_at": Millis(int(row, "created_at")).iso(),
        "model": model.unwrap_or_default(),
        "origin": text(row, "http_referer"),
        // OpenRouter's words; `api` says it more exactly.
        "api_type": match text(row, "api") {
            "embeddings" | "embed_content" => "embeddings",
            "rerank" => "rerank",
            "images" => "image",
            "speech" => "tts",
            "transcriptions" => "stt",
            _ => "completions",
        },
        "losses": losses,
        "data_region": "global",
        "streamed": truth("streamed"),
        "cancelled": truth("cancelled"),
        "usage": cost,
        "total_cost": cost,
        "cost_details": { "prompt": usd("prompt_cost_nano"), "completion": usd("completion_cost_nano") },
        "cache_discount": usd("cache_discount_nano"),
        "is_byok": false,
        "provider_responses": attempts.iter().map(provider_response).collect::<Vec<_>>(),
        "estimated": truth("estimated"),
        "priced": row.get("cost_nano").is_some_and(|cost| !cost.is_null()),
    });
    if let Some(members) = shown.as_object_mut() {
        members.extend(
            COPIED.iter().map(|&(name, column)| (name.to_owned(), row.get(column).cloned().unwrap_or_default())),
        );
        members.extend(NOTHING.iter().map(|&name| (name.to_owned(), Value::Null)));
    }
    Ok(shown)
}

fn provider_response(attempt: &Value) -> Value {
    let mut row = Map::new();
    row.insert("status".to_owned(), attempt.get("status").cloned().unwrap_or_default());
    row.insert("cause".to_owned(), attempt.get("cause").cloned().unwrap_or_default());
    row.insert("is_byok".to_owned(), false.into());
    for (name, from) in
        [("provider_name", "provider"), ("endpoint_id", "tag"), ("model_permaslug", "model"), ("latency", "latency_ms")]
    {
        if let Some(value) = attempt.get(from).filter(|value| !value.is_null()) {
            row.insert(name.to_owned(), value.clone());
        }
    }
    Value::Object(row)
}

fn activity_row(row: &Row) -> Value {
    let mut shown = json!({
        "date": text(row, "day"),
        "model": text(row, "model"),
        "model_permaslug": text(row, "model"),
        "endpoint_id": text(row, "tag"),
        "provider_name": text(row, "provider_name"),
        "usage": NanoUsd(int(row, "cost_nano")).to_json(),
        "byok_usage_inference": 0,
        "requests": int(row, "requests"),
        "prompt_tokens": int(row, "prompt_tokens"),
        "completion_tokens": int(row, "completion_tokens"),
        "reasoning_tokens": int(row, "reasoning_tokens"),
        "cached_tokens": int(row, "cached_tokens"),
    });
    if let (Some(workspace), Some(members)) = (row.get("workspace_id"), shown.as_object_mut()) {
        members.insert("workspace_id".to_owned(), workspace.clone());
    }
    shown
}

fn dead_letter_row(row: &Row) -> Value {
    json!({
        "id": text(row, "id"),
        "received_at": Millis(int(row, "received_at")).iso(),
        "queue": text(row, "queue"),
        "reason": text(row, "reason"),
        "body": text(row, "body"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::VirtualKey,
        metering::rollup::{
            dead_letter,
            tests::{database, event, take_in},
        },
        ports::Sql,
        testing::Memory,
    };

    const NOW: Millis = Millis(1_795_176_000_000);

    fn key(n: u8) -> KeyHash {
        VirtualKey::generate(&[n; 48]).hash()
    }

    fn inference(n: u8) -> KeyRecord {
        KeyRecord { kind: KeyKind::Inference, ..KeyRecord::root(key(n)) }
    }

    fn run(sql: &Memory, method: &str, target: &str, asker: &KeyRecord) -> Result<Value> {
        let (path, search) = target.split_once('?').unwrap_or((target, ""));
        let query: Vec<_> = search
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        let question = ask(method, path, &query, asker, NOW)?;
        let results: Vec<_> =
            question.statements.iter().map(|statement| sql.run(&statement.sql, &statement.params).unwrap()).collect();
        question.answer(&results)
    }

    fn filled() -> Memory {
        let sql = database();
        let at = |hours: i64| NOW.0 - hours * 3_600_000;
        take_in(
            &sql,
            &[
                event("gen-1", json!({ "key_hash": key(1).as_str(), "created_at": at(0) })),
                event("gen-2", json!({ "key_hash": key(1).as_str(), "created_at": at(1), "cost_nano": null })),
                event(
                    "gen-3",
                    json!({ "key_hash": key(2).as_str(), "created_at": at(1), "model": "b/n", "outcome": "error", "workspace_id": "w2" }),
                ),
                event("gen-4", json!({ "key_hash": key(1).as_str(), "created_at": at(24) })),
                event("gen-5", json!({ "key_hash": key(1).as_str(), "created_at": at(40 * 24) })),
                event("gen-6", json!({ "key_hash": key(1).as_str(), "org": "foreign" })),
            ],
        );
        sql
    }

    #[test]
    fn a_generation_is_shown_to_its_key_and_to_managers_of_its_organization() {
        let sql = filled();
        let root = KeyRecord::root(key(9));
        let get = |id: &str, asker: &KeyRecord| run(&sql, "GET", &format!("/generation?id={id}"), asker);
        let row = get("gen-1", &inference(1)).unwrap()["data"].clone();
        assert_eq!(
            (&row["id"], &row["total_cost"], &row["tokens_prompt"], &row["created_at"]),
            (&json!("gen-1"), &json!(0.000_001_5), &json!(10), &json!("2026-11-20T12:00:00.000Z"))
        );
        assert_eq!(
            row["provider_responses"][0],
            json!({ "status": 200, "cause": null, "is_byok": false, "provider_name": "p", "endpoint_id": "p/fp8", "model_permaslug": "a/m", "latency": 12 })
        );
        assert_eq!(get("up-gen-1", &inference(1)).unwrap()["data"]["id"], "gen-1");
        assert_eq!(get("gen-2", &root).unwrap()["data"]["priced"], false);
        assert_eq!(get("gen-1", &inference(2)).unwrap_err().status(), 404);
        assert_eq!(get("gen-6", &root).unwrap_err().status(), 404);
        assert_eq!(get("", &root).unwrap_err().param.as_deref(), Some("id"));
    }

    #[test]
    fn generations_are_listed_newest_first_by_cursor_and_filter() {
        let sql = filled();
        let root = KeyRecord::root(key(9));
        let list = |search: &str| {
            let answer = run(&sql, "GET", &format!("/generations?{search}"), &root).unwrap();
            let ids: Vec<String> =
                answer["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
            (ids.join(" "), answer["next_cursor"].as_str().map(str::to_owned))
        };
        assert_eq!(list(""), ("gen-1 gen-3 gen-2 gen-4 gen-5".to_owned(), None));
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let (page, next) = list(&format!("limit=1&cursor={}", cursor.unwrap_or_default()));
            seen.push(page);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen.join(" "), "gen-1 gen-3 gen-2 gen-4 gen-5");
        for (search, expected) in [
            (format!("key_hash={}", key(2)), "gen-3"),
            ("model=b/n&provider=p".to_owned(), "gen-3"),
            ("outcome=error".to_owned(), "gen-3"),
            ("since=2026-11-20T11:00:00Z&until=2026-11-20T12:00:00Z".to_owned(), "gen-3 gen-2"),
        ] {
            assert_eq!(list(&search).0, expected, "{search}");
        }
        for (search, param) in [
            ("cursor=x", "cursor"),
            ("key_hash=x", "key_hash"),
            ("outcome=fine", "outcome"),
            ("since=now", "since"),
            ("limit=0", "limit"),
        ] {
            assert_eq!(
                run(&sql, "GET", &format!("/generations?{search}"), &root).unwrap_err().param.as_deref(),
                Some(param)
            );
        }
    }

    #[test]
    fn activity_sums_thirty_days_and_today() {
        let sql = filled();
        let root = KeyRecord::root(key(9));
        let rows = |search: &str| {
            run(&sql, "GET", &format!("/activity?{search}"), &root).unwrap()["data"].as_array().unwrap().clone()
        };
        let brief = |rows: &[Value]| {
            rows.iter()
                .map(|row| {
                    format!("{} {} {}", row["date"].as_str().unwrap(), row["model"].as_str().unwrap(), row["requests"])
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(brief(&rows("")), ["2026-11-20 a/m 2", "2026-11-20 b/n 1", "2026-11-19 a/m 1"]);
        assert_eq!(brief(&rows("date=2026-11-19")), ["2026-11-19 a/m 1"]);
        assert_eq!(brief(&rows(&format!("api_key_hash={}", key(2)))), ["2026-11-20 b/n 1"]);
        assert_eq!(rows("group_by=workspace")[1]["workspace_id"], "w2");
        let row = &rows("")[0];
        assert_eq!(
            (&row["usage"], &row["prompt_tokens"], &row["endpoint_id"], row.get("workspace_id")),
            (&json!(0.000_001_5), &json!(20), &json!("p/fp8"), None)
        );
        for (search, param) in
            [("date=today", "date"), ("api_key_hash=x", "api_key_hash"), ("group_by=user", "group_by")]
        {
            assert_eq!(
                run(&sql, "GET", &format!("/activity?{search}"), &root).unwrap_err().param.as_deref(),
                Some(param)
            );
        }
    }

    #[test]
    fn dead_letters_are_listed_shown_and_removed() {
        let sql = database();
        let root = KeyRecord::root(key(9));
        sql.batch(&[
            dead_letter("m1", Millis(1), "usage-events", "v must be 1", "{}"),
            dead_letter("m2", Millis(2), "usage-events", "no JSON", "x"),
        ])
        .unwrap();
        let list = run(&sql, "GET", "/admin/dead-letters?limit=1", &root).unwrap();
        assert_eq!((&list["data"][0]["id"], &list["total_count"]), (&json!("m2"), &json!(2)));
        assert_eq!(run(&sql, "GET", "/admin/dead-letters/m1", &root).unwrap()["data"]["reason"], "v must be 1");
        assert_eq!(run(&sql, "DELETE", "/admin/dead-letters/m1", &root).unwrap(), json!({ "deleted": true }));
        for method in ["GET", "DELETE"] {
            assert_eq!(run(&sql, method, "/admin/dead-letters/m1", &root).unwrap_err().status(), 404);
        }
    }
}
