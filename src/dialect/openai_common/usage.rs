//! `usage`: `prompt_tokens` and `completion_tokens`, and what every company adds to them.
//!
//! | fact | where |
//! |---|---|
//! | cached | `prompt_tokens_details.cached_tokens`; `prompt_cache_hit_tokens` (DeepSeek); `cached_tokens` (Together, Moonshot); `num_cached_tokens` (Mistral) |
//! | written | `prompt_tokens_details.cache_write_tokens` (OpenRouter, OpenAI); `cache_creation_input_tokens` (Vercel) |
//! | reasoning | `completion_tokens_details.reasoning_tokens`; xAI counts it beside the completion; Google's compatible endpoint only in the total |
//! | sound | `prompt_tokens_details.audio_tokens`; `prompt_audio_seconds` (Mistral, whose tokens are only in the total) |
//! | searches | `server_tool_use_details.web_search_requests` (OpenRouter; `server_tool_use` before); `num_search_queries` (Perplexity) |
//! | cost | `cost` (OpenRouter, Vercel), `cost.total_cost` (Perplexity), `cost_in_usd_ticks` of 1e-10 USD (xAI) |

use serde_json::{Map, Value, json};

use crate::{
    catalog::Tokens,
    chat::{Usage, Wire},
};

/// No provider means more tokens than this.
const MAX_TOKENS: u64 = 100_000_000;
/// Nor searches for one answer.
const MAX_SEARCHES: u64 = 10_000;

/// Reads a usage object. `None` where it is none, or where its numbers cannot be meant: negative,
/// fractional, not numbers, or far too many.
pub fn read_usage(value: Value, wire: Wire) -> Option<Usage> {
    let usage = value.as_object()?;
    let details = |key: &str| usage.get(key).and_then(Value::as_object);
    let (sent, answered) = (details("prompt_tokens_details"), details("completion_tokens_details"));
    let of = |details: Option<&Map<String, Value>>, key: &str| {
        details.map_or(Some(0), |details| Some(count(details, key)?.unwrap_or(0)))
    };
    let mut tokens = Tokens {
        prompt: count(usage, "prompt_tokens")??,
        completion: count(usage, "completion_tokens")?.unwrap_or(0),
        cached: first(
            usage,
            sent,
            "cached_tokens",
            &["prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens"],
        )?,
        cache_write: first(usage, sent, "cache_write_tokens", &["cache_creation_input_tokens"])?,
        prompt_audio: first(usage, sent, "audio_tokens", &["audio_prompt_tokens"])?,
        reasoning: of(answered, "reasoning_tokens")?,
        completion_audio: of(answered, "audio_tokens")?,
        completion_image: of(answered, "image_tokens")?,
        web_searches: searches(usage),
        ..Tokens::default()
    };
    let beside =
        count(usage, "total_tokens")?.unwrap_or(0).saturating_sub(tokens.prompt.saturating_add(tokens.completion));
    if beside > 0 && usage.contains_key("prompt_audio_seconds") {
        tokens.prompt += beside;
        tokens.prompt_audio = tokens.prompt_audio.max(beside);
    } else if beside > 0 && (tokens.reasoning == 0 || tokens.reasoning == beside) {
        tokens.completion += beside;
        tokens.reasoning = beside;
    }
    Some(Usage { tokens, provider_cost: cost(usage), native: Some((wire, value)) })
}

/// The detail, or else the first of the other spellings that counts anything.
fn first(usage: &Map<String, Value>, details: Option<&Map<String, Value>>, key: &str, others: &[&str]) -> Option<u64> {
    let mut found = details.map_or(Some(None), |details| count(details, key))?.unwrap_or(0);
    for other in others {
        if found == 0 {
            found = count(usage, other)?.unwrap_or(0);
        }
    }
    Some(found)
}

fn searches(usage: &Map<String, Value>) -> u64 {
    let nested = ["server_tool_use_details", "server_tool_use"]
        .iter()
        .find_map(|key| usage.get(*key)?.get("web_search_requests")?.as_u64());
    nested
        .or_else(|| usage.get("num_search_queries")?.as_u64())
        .filter(|searches| *searches <= MAX_SEARCHES)
        .unwrap_or(0)
}

fn cost(usage: &Map<String, Value>) -> Option<f64> {
    let ticks = || Some(usage.get("cost_in_usd_ticks")?.as_f64()? / 1e10);
    let cost = usage.get("cost").and_then(|cost| cost.as_f64().or_else(|| cost.get("total_cost")?.as_f64()));
    cost.or_else(ticks).filter(|cost| cost.is_finite() && *cost >= 0.0)
}

/// A count: `Some(None)` where there is none, `None` where it cannot be one.
#[expect(clippy::option_option, reason = "absent and absurd lead different ways")]
fn count(object: &Map<String, Value>, key: &str) -> Option<Option<u64>> {
    match object.get(key) {
        None | Some(Value::Null) => Some(None),
        Some(value) => value.as_u64().or_else(|| whole(value.as_f64()?)).filter(|count| *count <= MAX_TOKENS).map(Some),
    }
}

/// `12.0` as 12.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
fn whole(number: f64) -> Option<u64> {
    (number.fract() == 0.0 && (0.0..=9e15).contains(&number)).then_some(number as u64)
}

/// Writes a usage object: the provider's own where it is of that format, with the gateway's cost in it.
pub fn write_usage(usage: &Usage, wire: Wire, cost: Map<String, Value>) -> Value {
    let Usage { tokens, provider_cost: _, native } = usage;
    let Tokens { prompt, completion, cached, cache_write, prompt_audio, .. } = tokens;
    let Tokens { reasoning, completion_audio, completion_image, web_searches, .. } = tokens;
    let mut written = match native {
        Some((of, Value::Object(own))) if *of == wire => {
            let mut own = own.clone();
            for price in ["cost", "cost_details", "is_byok"] {
                own.shift_remove(price);
            }
            own
        }
        _ => Map::new(),
    };
    let facts = [
        ("prompt_tokens", json!(prompt)),
        ("completion_tokens", json!(completion)),
        ("total_tokens", json!(prompt.saturating_add(*completion))),
        (
            "prompt_tokens_details",
            json!({ "cached_tokens": cached, "cache_write_tokens": cache_write, "audio_tokens": prompt_audio }),
        ),
        (
            "completion_tokens_details",
            json!({ "reasoning_tokens": reasoning, "audio_tokens": completion_audio, "image_tokens": completion_image }),
        ),
    ];
    for (name, fact) in facts {
        if written.get(name).is_none_or(Value::is_null) {
            written.insert(name.to_owned(), fact);
        }
    }
    if *web_searches > 0 && !written.contains_key("server_tool_use_details") {
        written.insert("server_tool_use_details".to_owned(), json!({ "web_search_requests": web_searches }));
    }
    written.extend(cost);
    Value::Object(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(usage: Value) -> Option<Tokens> {
        read_usage(usage, Wire::OpenaiChat).map(|usage| usage.tokens)
    }

    #[test]
    fn totals_contain_their_parts_whatever_a_provider_counts() {
        for (usage, prompt, completion, cached, reasoning) in [
            (
                json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
                    "completion_tokens_details": {"reasoning_tokens": 3}}),
                10,
                5,
                0,
                3,
            ),
            (
                json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 18,
                    "completion_tokens_details": {"reasoning_tokens": 3}}),
                10,
                8,
                0,
                3,
            ),
            (json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 45}), 10, 35, 0, 30),
            (
                json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 45, "prompt_audio_seconds": 3}),
                40,
                5,
                0,
                0,
            ),
            (json!({"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 6}), 10, 5, 6, 0),
            (json!({"prompt_tokens": 10.0, "completion_tokens": null, "cached_tokens": 4}), 10, 0, 4, 0),
        ] {
            let tokens = tokens(usage.clone()).unwrap();
            assert_eq!(
                (tokens.prompt, tokens.completion, tokens.cached, tokens.reasoning),
                (prompt, completion, cached, reasoning),
                "{usage}"
            );
        }
    }

    #[test]
    fn numbers_that_cannot_be_meant_are_no_usage() {
        for usage in [
            json!({"prompt_tokens": 1.5}),
            json!({"prompt_tokens": "7"}),
            json!({"prompt_tokens": -1}),
            json!({"prompt_tokens": 100_000_001}),
            json!({"completion_tokens": 1}),
            json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 1e300}),
            json!({"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": "many"}}),
            json!([]),
        ] {
            assert_eq!(tokens(usage.clone()), None, "{usage}");
        }
    }

    #[test]
    fn costs_and_searches_are_read_in_each_companys_way() {
        for (members, cost, searches) in [
            (json!({"cost": 0.5, "server_tool_use_details": {"web_search_requests": 2}}), Some(0.5), 2),
            (json!({"cost": {"total_cost": 0.25}, "num_search_queries": 3}), Some(0.25), 3),
            (json!({"cost_in_usd_ticks": 20_000_000_000_u64}), Some(2.0), 0),
            (json!({"cost": -1}), None, 0),
        ] {
            let mut usage = json!({"prompt_tokens": 1, "completion_tokens": 1});
            usage.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            let usage = read_usage(usage, Wire::OpenaiChat).unwrap();
            assert_eq!((usage.provider_cost, usage.tokens.web_searches), (cost, searches), "{members}");
        }
    }

    #[test]
    fn a_usage_object_of_the_same_format_keeps_what_it_had_but_its_price() {
        let own = json!({"prompt_tokens": 3, "completion_tokens": 1, "queue_time": 0.1, "cost": 9});
        let usage = read_usage(own, Wire::OpenaiChat).unwrap();
        let cost = json!({"cost": 0.125}).as_object().unwrap().clone();
        let same = write_usage(&usage, Wire::OpenaiChat, cost);
        assert_eq!(
            (&same["queue_time"], &same["cost"], &same["total_tokens"]),
            (&json!(0.1), &json!(0.125), &json!(4))
        );
        let other = write_usage(&usage, Wire::OpenaiCompletions, Map::new());
        assert_eq!((other.get("queue_time"), other.get("cost")), (None, None));
        assert_eq!(other["prompt_tokens_details"]["cached_tokens"], 0);
    }
}
