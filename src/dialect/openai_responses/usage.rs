//! What was used, both ways.

use serde_json::{Map, Value, json};

use super::{
    WIRE,
    object::{Members, whole},
};
use crate::{catalog::Tokens, chat::Usage};

/// No provider means more tokens than this.
const MAX_TOKENS: u64 = 100_000_000;

/// xAI counts what it charges in these: so many are a USD (docs.x.ai/developers/cost-tracking).
const TICKS_PER_USD: f64 = 1e10;

/// Reads the `usage` of an answer. `None` where there is none, or where its numbers cannot be meant.
pub(super) fn read(usage: Value, web_searches: u64) -> Option<Usage> {
    let count = |object: &Value, key: &str| match object.get(key) {
        None | Some(Value::Null) => Some(None),
        Some(value) => whole(value).filter(|count| *count <= MAX_TOKENS).map(Some),
    };
    let of = |details: &str, key: &str| match usage.get(details) {
        Some(details) => count(details, key).map(Option::unwrap_or_default),
        None => Some(0),
    };
    let prompt = count(&usage, "input_tokens")??;
    let mut completion = count(&usage, "output_tokens")?.unwrap_or(0);
    let reasoning = of("output_tokens_details", "reasoning_tokens")?;
    // Reasoning is among the output tokens; where somebody counts it beside them, the total tells.
    if reasoning > 0 && count(&usage, "total_tokens")? == Some(prompt + completion + reasoning) {
        completion += reasoning;
    }
    let tokens = Tokens {
        prompt,
        completion,
        reasoning,
        cached: of("input_tokens_details", "cached_tokens")?,
        cache_write: of("input_tokens_details", "cache_write_tokens")?,
        prompt_audio: of("input_tokens_details", "audio_tokens")?,
        completion_audio: of("output_tokens_details", "audio_tokens")?,
        completion_image: of("output_tokens_details", "image_tokens")?,
        web_searches,
        ..Tokens::default()
    };
    let amount = |key: &str| usage.get(key).and_then(Value::as_f64).filter(|cost| cost.is_finite() && *cost >= 0.0);
    let provider_cost = amount("cost").or_else(|| amount("cost_in_usd_ticks").map(|ticks| ticks / TICKS_PER_USD));
    Some(Usage { tokens, provider_cost, native: Some((WIRE, usage)) })
}

/// Writes it, with what it costs.
pub(super) fn write(usage: &Usage, cost: Map<String, Value>) -> Value {
    let Usage { tokens, provider_cost: _, native } = usage;
    let Tokens { prompt, completion, cached, cache_write, prompt_audio, .. } = *tokens;
    let Tokens { reasoning, completion_audio, completion_image, .. } = *tokens;
    let mut written = match native {
        Some((WIRE, Value::Object(native))) => native.clone(),
        _ => Members::new(),
    };
    // What the provider charges is between it and the operator.
    for key in ["cost", "cost_details", "is_byok", "cost_in_usd_ticks"] {
        written.shift_remove(key);
    }
    written.insert("input_tokens".to_owned(), prompt.into());
    written.insert(
        "input_tokens_details".to_owned(),
        details([
            ("cached_tokens", cached, true),
            ("cache_write_tokens", cache_write, true),
            ("audio_tokens", prompt_audio, false),
        ]),
    );
    written.insert("output_tokens".to_owned(), completion.into());
    written.insert(
        "output_tokens_details".to_owned(),
        details([
            ("reasoning_tokens", reasoning, true),
            ("audio_tokens", completion_audio, false),
            ("image_tokens", completion_image, false),
        ]),
    );
    written.insert("total_tokens".to_owned(), prompt.saturating_add(completion).into());
    written.extend(cost);
    Value::Object(written)
}

/// Counts that are wanted always, and those that are told where there is something to tell.
fn details(counts: [(&str, u64, bool); 3]) -> Value {
    let told = counts.into_iter().filter(|(_, count, always)| *always || *count > 0);
    Value::Object(told.map(|(key, count, _)| (key.to_owned(), json!(count))).collect())
}
