//! What a model answers.

use serde_json::Value;

use super::part::{Extra, Part, Turn, Wire};
use crate::catalog::Tokens;

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The provider's name of it.
    pub id: Option<String>,
    /// The model, as the provider names it.
    pub model: Option<String>,
    /// Unix seconds, where the provider says when.
    pub created: Option<i64>,
    /// The answers: one as a rule.
    pub choices: Vec<Choice>,
    /// What was used; `None` where the provider does not say, or nothing that can be meant.
    pub usage: Option<Usage>,
    /// The tier that served, in OpenAI's words.
    pub service_tier: Option<String>,
    /// What only one format knows.
    pub extra: Extra,
}

/// One of the answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// What the model says: reasoning, text and calls in the order in which they came.
    pub parts: Vec<Part>,
    /// How it ended; `None` where it did not.
    pub finish: Option<Finish>,
    /// Probabilities, in the form of OpenAI's chat (`{content, refusal}`).
    pub logprobs: Option<Value>,
    /// What only one format knows.
    pub extra: Extra,
}

impl Choice {
    /// As a turn of the next request.
    pub fn into_turn(self) -> Turn {
        Turn { extra: self.extra, ..Turn::new(super::part::Role::Assistant, self.parts) }
    }
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// In everybody's words.
    pub reason: FinishReason,
    /// In the provider's.
    pub native: Option<String>,
    /// The stop word that was met.
    pub stop_sequence: Option<String>,
}

impl Finish {
    /// That reason, for which the provider has that word.
    pub fn new(reason: FinishReason, native: impl Into<String>) -> Self {
        Self { reason, native: Some(native.into()), stop_sequence: None }
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// All was said, or a stop word met.
    Stop,
    /// It grew too long.
    Length,
    /// Tools are to be called.
    ToolCalls,
    /// Somebody did not like what was said.
    ContentFilter,
    /// It broke.
    Error,
}

impl FinishReason {
    /// OpenAI chat's word (`error` is OpenRouter's).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Error => "error",
        }
    }
}

/// What was used. Totals contain their parts: `tokens.prompt` has cached and written tokens in it, whatever
/// the format counts, and `tokens.completion` the reasoning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// In the provider's tokens, with what it bills by the piece.
    pub tokens: Tokens,
    /// What the provider itself says it charges, in USD.
    pub provider_cost: Option<f64>,
    /// What the provider said, for the same format.
    pub native: Option<(Wire, Value)>,
}
