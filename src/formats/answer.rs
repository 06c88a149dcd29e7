//! A whole answer, from the provider's format to the client's.

use serde_json::Value;

use super::wire::{decode_answer, encode_answer};
use crate::{
    budget::estimate::estimate_tokens,
    catalog::{CostBreakdown, Tokens},
    chat::{PartKind, ProviderError, Usage, Wire},
    dialect::{
        Names, anthropic_messages, gemini, openai_chat, openai_completions, openai_responses,
        passing::{self, Finish, ResponseFacts},
        single::{self, Given},
    },
    framing::{edit::Edit, write},
    routing::fallback::Cause,
};

pub use super::wire::read_error;

/// An answer, for the client.
#[derive(Debug)]
pub struct Answered {
    /// What it says of itself.
    pub facts: ResponseFacts,
    /// Its cost.
    pub cost: Option<CostBreakdown>,
    /// The provider's body with these edits made, or another body.
    pub body: Result<Vec<Edit>, Vec<u8>>,
}

/// Reads a body that came with status 200. `asked`: the client's request, as far as
/// answers depend on it, where its answer is translated.
pub fn read_answer(
    from: Wire,
    to: Wire,
    body: &[u8],
    finish: &Finish,
    asked: Option<&Value>,
) -> Result<Answered, (Cause, ProviderError)> {
    let Some(asked) = asked else {
        let passing::Answer { facts, cost, edits } = match from {
            Wire::OpenaiCompletions => openai_completions::passing::read_answer(body, finish),
            Wire::OpenaiResponses => openai_responses::passing::read_answer(body, finish),
            Wire::AnthropicMessages => anthropic_messages::passing::read_answer(body, finish),
            Wire::Gemini => gemini::passing::read_answer(body, finish),
            // No client speaks the formats that are for providers alone.
            Wire::OpenaiChat | Wire::BedrockConverse | Wire::CohereChat | Wire::OllamaChat => {
                openai_chat::read_answer(body, finish)
            }
        }?;
        return Ok(Answered { facts, cost, body: Ok(edits) });
    };
    let malformed = || (Cause::Malformed, ProviderError::default());
    let value = serde_json::from_slice(body).map_err(|_| malformed())?;
    let mut answer = decode_answer(from, value).map_err(|error| match &error {
        error if *error == ProviderError::default() => malformed(),
        error => (Cause::ErrorInBody(error.status), error.clone()),
    })?;
    let usage = answer.usage.take().unwrap_or_else(|| Usage {
        tokens: Tokens {
            prompt: finish.estimated_prompt,
            completion: estimate_tokens(body.len()),
            ..Tokens::default()
        },
        ..Usage::default()
    });
    let ending = answer.choices.first().and_then(|choice| choice.finish.as_ref());
    let mut facts = facts_of(
        ResponseFacts {
            upstream_id: answer.id.clone(),
            finish_reason: ending.map(|finish| finish.reason.as_str().to_owned()),
            native_finish_reason: ending.and_then(|finish| finish.native.clone()),
            service_tier: answer.service_tier.clone(),
            ..ResponseFacts::default()
        },
        &usage,
    );
    answer.usage = Some(usage);
    for choice in &answer.choices {
        for part in &choice.parts {
            match &part.kind {
                PartKind::Foreign(wire, value) if *wire != to => facts.lose(lost_block(value)),
                _ => {}
            }
        }
        if choice.logprobs.is_some() && !has_logprobs(to) {
            facts.lose("answer.logprobs".to_owned());
        }
    }
    let cost = finish.cost(&facts.usage.tokens);
    let priced = passing::priced(cost.as_ref(), facts.usage.estimated);
    let names = Names { request: Some(asked.clone()), cost: priced, ..finish.names(None) };
    let written = encode_answer(to, &answer, &names);
    Ok(Answered { facts, cost, body: Err(write::text(&written, body.len())) })
}

/// How a block is called that only its own format knows.
pub fn lost_block(value: &Value) -> String {
    let kind = value.get("type").and_then(Value::as_str);
    let name = kind.or_else(|| value.as_object()?.keys().next().map(String::as_str)).unwrap_or("block");
    format!("answer.{name}")
}

/// Whether a format has a place for probabilities.
pub fn has_logprobs(wire: Wire) -> bool {
    wire != Wire::AnthropicMessages
}

/// The facts of an answer with what it used. Usage that no provider told has no native form.
pub fn facts_of(facts: ResponseFacts, usage: &Usage) -> ResponseFacts {
    let Usage { tokens, provider_cost, native, .. } = usage;
    let usage = passing::Usage { tokens: *tokens, estimated: native.is_none(), provider_cost: *provider_cost };
    ResponseFacts { usage, ..facts }
}

/// The same of what is no conversation.
pub fn read_single(read: single::Read) -> Result<Answered, (Cause, ProviderError)> {
    let single::Answered { facts, cost, body } = read?;
    let body = match body {
        Given::Edits(edits) => Ok(edits),
        Given::Json(tree) => Err(write::text(&tree, 0)),
    };
    Ok(Answered { facts, cost, body })
}
