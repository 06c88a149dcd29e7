//! What was used. Here `input_tokens` are those of the prompt that were neither read from the cache nor
//! written to it; canonically the prompt has all of them. A compaction on the way (`iterations`) is not
//! in the totals, and is charged.

use serde_json::{Map, Value, json};

use super::WIRE;
use crate::{catalog::Tokens, chat::Usage};

/// No provider means more tokens than this.
const MAX_TOKENS: u64 = 100_000_000;

/// Counts that the SDKs look for.
pub const COUNTS: [&str; 4] =
    ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"];

/// Reads a whole usage object; `None` where it is none, or its numbers cannot be meant.
pub fn decode(usage: &Value) -> Option<Usage> {
    let usage = usage.as_object()?;
    if !usage.contains_key("input_tokens") && !usage.contains_key("output_tokens") {
        return None;
    }
    let (mut prompt, cached, cache_write, mut completion) = totals(usage)?;
    for iteration in usage.get("iterations").and_then(Value::as_array).into_iter().flatten() {
        if let Some(iteration) = iteration.as_object().filter(|it| it.get("type").is_some_and(|t| t == "compaction")) {
            let (more_prompt, _, _, more_completion) = totals(iteration)?;
            prompt += more_prompt;
            completion += more_completion;
        }
    }
    let inner = |object: &str, key: &str| match usage.get(object).and_then(Value::as_object) {
        Some(object) => count(object, key),
        None => Some(0),
    };
    Some(Usage {
        tokens: Tokens {
            prompt,
            completion,
            cached,
            cache_write,
            cache_write_1h: inner("cache_creation", "ephemeral_1h_input_tokens")?.min(cache_write),
            reasoning: inner("output_tokens_details", "thinking_tokens")?,
            web_searches: inner("server_tool_use", "web_search_requests")?,
            ..Tokens::default()
        },
        provider_cost: usage.get("cost").and_then(Value::as_f64).filter(|cost| cost.is_finite() && *cost >= 0.0),
        native: Some((WIRE, Value::Object(usage.clone()))),
    })
}

/// The prompt, of it read from the cache and written to it, and the answer.
fn totals(usage: &Map<String, Value>) -> Option<(u64, u64, u64, u64)> {
    let cached = count(usage, "cache_read_input_tokens")?;
    let written = count(usage, "cache_creation_input_tokens")?;
    Some((count(usage, "input_tokens")? + cached + written, cached, written, count(usage, "output_tokens")?))
}

/// A count: 0 where there is none, `None` where it cannot be one.
fn count(usage: &Map<String, Value>, key: &str) -> Option<u64> {
    match usage.get(key) {
        None | Some(Value::Null) => Some(0),
        Some(value) => value.as_u64().filter(|count| *count <= MAX_TOKENS),
    }
}

/// Writes a usage object. Every count is there that the SDKs put together from the events of a stream.
/// `tier`: the one that served, in OpenAI's words.
pub fn encode(usage: Option<&Usage>, tier: Option<&str>, cost: Map<String, Value>) -> Value {
    let mut members = match usage {
        Some(Usage { native: Some((WIRE, Value::Object(native))), .. }) => native.clone(),
        Some(usage) => own(usage),
        None => own(&Usage::default()),
    };
    for key in COUNTS {
        members.entry(key).or_insert_with(|| 0.into());
    }
    if let Some(tier) = tier {
        members.entry("service_tier").or_insert_with(|| if tier == "default" { "standard" } else { tier }.into());
    }
    members.extend(cost);
    Value::Object(members)
}

fn own(usage: &Usage) -> Map<String, Value> {
    let Usage { tokens, provider_cost: _, native: _ } = usage;
    let Tokens { prompt, completion, cached, cache_write, cache_write_1h, reasoning, web_searches, .. } = tokens;
    let mut object = json!({
        "input_tokens": prompt.saturating_sub(*cached).saturating_sub(*cache_write),
        "cache_creation_input_tokens": cache_write,
        "cache_read_input_tokens": cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": cache_write.saturating_sub(*cache_write_1h),
            "ephemeral_1h_input_tokens": cache_write_1h,
        },
        "output_tokens": completion,
    });
    let mut members = object.as_object_mut().map(std::mem::take).unwrap_or_default();
    if *reasoning > 0 {
        members.insert("output_tokens_details".to_owned(), json!({ "thinking_tokens": reasoning }));
    }
    if *web_searches > 0 {
        members.insert(
            "server_tool_use".to_owned(),
            json!({ "web_search_requests": web_searches, "web_fetch_requests": 0 }),
        );
    }
    members
}

/// The tier that served, in OpenAI's words.
pub fn tier(usage: &Value) -> Option<String> {
    match usage.get("service_tier")?.as_str()? {
        "standard" => Some("default".to_owned()),
        other => Some(other.to_owned()),
    }
}
