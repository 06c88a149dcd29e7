//! Whole answers.

use serde_json::{Map, Value};

use super::{WIRE, content::read_blocks, error::from_value};
use crate::{
    catalog::Tokens,
    chat::{Answer, Choice, Extra, Finish, FinishReason, ProviderError, Usage},
    dialect::fields::count,
};

/// Reads an answer.
pub fn decode_answer(mut body: Value) -> Result<Answer, ProviderError> {
    let content = body.pointer_mut("/output/message/content").map(Value::take);
    let Some(Value::Array(content)) = content else { return Err(from_value(&body, None)) };
    let Value::Object(mut members) = body else { return Err(ProviderError::default()) };
    members.shift_remove("output");
    let parts = read_blocks(content, "content").map_err(|_| ProviderError::default())?;
    let finish = members.shift_remove("stopReason");
    let finish = finish.as_ref().and_then(Value::as_str).map(|reason| finish_of(reason, &members));
    let choice = Choice { parts, finish, logprobs: None, extra: Extra::default() };
    let mut answer = Answer { choices: vec![choice], ..Answer::default() };
    answer.usage = members.shift_remove("usage").and_then(usage);
    answer.service_tier = service_tier(&mut members);
    answer.extra = Extra::of(WIRE, members);
    Ok(answer)
}

pub(super) fn service_tier(members: &mut Map<String, Value>) -> Option<String> {
    let tier = members.shift_remove("serviceTier")?;
    tier.get("type")?.as_str().map(str::to_owned)
}

/// Why it ended; the stop word that was met stands among what the model's maker says, where it was asked for.
pub(super) fn finish_of(reason: &str, members: &Map<String, Value>) -> Finish {
    let kind = match reason {
        "tool_use" => FinishReason::ToolCalls,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "guardrail_intervened" | "content_filtered" => FinishReason::ContentFilter,
        "malformed_model_output" | "malformed_tool_use" => FinishReason::Error,
        _ => FinishReason::Stop,
    };
    let stop = members.get("additionalModelResponseFields").and_then(|fields| fields.get("stop_sequence"));
    let stop_sequence = stop.and_then(Value::as_str).map(str::to_owned);
    Finish { stop_sequence, ..Finish::new(kind, reason) }
}

/// Counts; `None` where they cannot be meant.
pub(super) fn usage(native: Value) -> Option<Usage> {
    native.get("inputTokens")?;
    let [input, output, cached, written] =
        ["inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"]
            .map(|name| count(&native, name));
    let (cached, cache_write) = (cached?, written?);
    let details = native.get("cacheDetails").and_then(Value::as_array);
    let hour = details.into_iter().flatten().filter(|detail| detail["ttl"] == "1h");
    let cache_write_1h = hour.map(|detail| count(detail, "inputTokens")).sum::<Option<u64>>()?;
    let tokens = Tokens {
        prompt: input? + cached + cache_write,
        completion: output?,
        cached,
        cache_write,
        cache_write_1h: cache_write_1h.min(cache_write),
        ..Tokens::default()
    };
    Some(Usage { tokens, native: Some((WIRE, native)), ..Usage::default() })
}
