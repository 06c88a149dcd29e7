//! Whole answers.

use serde_json::Value;

use super::{
    WIRE,
    error::from_value,
    read::{assistant, logprobs},
};
use crate::{
    catalog::Tokens,
    chat::{Answer, Choice, Extra, Finish, FinishReason, ProviderError, Usage},
    dialect::fields::{Fields, count},
};

/// Reads an answer.
pub fn decode_answer(body: Value) -> Result<Answer, ProviderError> {
    if !body.get("message").is_some_and(Value::is_object) {
        return Err(from_value(&body));
    }
    read(body).unwrap_or_else(|_| Err(ProviderError::default()))
}

fn read(body: Value) -> crate::error::Result<Result<Answer, ProviderError>> {
    let mut fields = Fields::of(body, "")?;
    let mut message = fields.need_object("message")?;
    message.take("role");
    let turn = assistant(message)?;
    let finish = fields.text("finish_reason")?.map(|reason| finish_of(&reason));
    if turn.parts.is_empty() && finish.as_ref().is_some_and(|finish| finish.reason == FinishReason::Error) {
        return Ok(Err(from_value(&Value::from(fields.rest()))));
    }
    let probabilities = fields.list("logprobs")?;
    let logprobs = (!probabilities.is_empty()).then(|| logprobs(&probabilities));
    let answer = Answer {
        id: fields.text("id")?,
        usage: fields.take("usage").and_then(usage),
        choices: vec![Choice { parts: turn.parts, finish, logprobs, extra: turn.extra }],
        ..Answer::default()
    };
    let rest = fields.rest();
    Ok(Ok(Answer { extra: Extra::of(WIRE, rest), ..answer }))
}

pub(super) fn finish_of(word: &str) -> Finish {
    let reason = match word {
        "TOOL_CALL" => FinishReason::ToolCalls,
        "MAX_TOKENS" | "ERROR_LIMIT" => FinishReason::Length,
        "ERROR_TOXIC" => FinishReason::ContentFilter,
        "ERROR" | "TIMEOUT" => FinishReason::Error,
        _ => FinishReason::Stop,
    };
    Finish::new(reason, word)
}

/// What is charged; where Cohere does not say that, what the model saw.
pub(super) fn usage(native: Value) -> Option<Usage> {
    let counts = ["billed_units", "tokens"].iter().find_map(|key| {
        let counts = native.get(*key)?;
        counts.get("output_tokens")?;
        Some(counts)
    })?;
    let (prompt, completion) = (count(counts, "input_tokens")?, count(counts, "output_tokens")?);
    let reasoning = native.get("tokens").and_then(|tokens| count(tokens, "reasoning_tokens")).unwrap_or_default();
    let reasoning = reasoning.min(completion);
    let tokens = Tokens { prompt, completion, reasoning, ..Tokens::default() };
    Some(Usage { tokens, native: Some((WIRE, native)), ..Usage::default() })
}
