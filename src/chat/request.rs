//! What a client asks of a model.

use serde_json::{Number, Value};

use super::part::{Cache, Extra, Turn};

/// A request for an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The model, as the format that was read names it; `encode` is told the provider's own name.
    pub model: String,
    /// The conversation. System turns stand where they stood; formats with one system prompt gather them.
    pub turns: Vec<Turn>,
    /// Tools of the client's that may be called.
    pub tools: Vec<Tool>,
    /// Whether they must be.
    pub tool_choice: Option<ToolChoice>,
    /// May several be called in one answer?
    pub parallel_tool_calls: Option<bool>,
    /// The form of the answer.
    pub format: Format,
    /// How the answer is drawn.
    pub sampling: Sampling,
    /// Longest answer, in tokens, reasoning included.
    pub max_tokens: Option<u64>,
    /// Words that end the answer.
    pub stop: Vec<String>,
    /// How many answers; `None` is one.
    pub choices: Option<u64>,
    /// Whether and how long the model is to think.
    pub thinking: Option<Thinking>,
    /// How much is to be said: `low`, `medium`, `high`.
    pub verbosity: Option<String>,
    /// The answer is to come in pieces.
    pub stream: bool,
    /// `flex`, `priority`, ...: OpenAI's words.
    pub service_tier: Option<String>,
    /// The application's end user.
    pub user: Option<String>,
    /// Requests with the same key share a provider's cache.
    pub cache_key: Option<String>,
    /// Marks the end of the whole prompt (OpenRouter's and Anthropic's top-level `cache_control`).
    pub cache: Option<Cache>,
    /// Kinds of output that are wanted beside text: `image`, `audio`.
    pub modalities: Vec<String>,
    /// What only one format knows.
    pub extra: Extra,
}

/// How an answer is drawn. Numbers as they came: no rounding on the way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0 to 2, or 0 to 1 (Anthropic, Cohere).
    pub temperature: Option<Number>,
    /// 0 to 1.
    pub top_p: Option<Number>,
    /// Of so many likeliest tokens.
    pub top_k: Option<Number>,
    /// 0 to 1.
    pub min_p: Option<Number>,
    /// -2 to 2.
    pub frequency_penalty: Option<Number>,
    /// -2 to 2.
    pub presence_penalty: Option<Number>,
    /// 0 to 2, 1 is none.
    pub repetition_penalty: Option<Number>,
    /// For the same answer to the same request.
    pub seed: Option<Number>,
    /// By token.
    pub logit_bias: Option<Value>,
    /// Probabilities of what was drawn are wanted.
    pub logprobs: Option<bool>,
    /// And of so many tokens beside each.
    pub top_logprobs: Option<u64>,
}

/// A tool.
#[derive(Clone, Debug, PartialEq)]
pub enum Tool {
    /// One that the client runs.
    Function {
        /// Its name.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// JSON Schema of its arguments.
        parameters: Option<Value>,
        /// Arguments follow the schema to the letter.
        strict: Option<bool>,
        /// The prompt is to be cached up to here.
        cache: Option<Cache>,
        /// What only one format knows of it.
        extra: Extra,
    },
    /// One that only one format has: run by the provider, or with arguments that are no JSON.
    Foreign(super::part::Wire, Value),
}

/// Whether tools must be called.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolChoice {
    /// As the model likes.
    Auto,
    /// None.
    None,
    /// At least one.
    Required,
    /// This one.
    Function(String),
    /// One of these (`allowed_tools`, Gemini's `allowedFunctionNames`); whether at least one must be.
    Among(Vec<String>, bool),
    /// As only one format says it.
    Foreign(super::part::Wire, Value),
}

/// The form of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Format {
    /// Text.
    #[default]
    Text,
    /// Any JSON object.
    Json,
    /// JSON of this schema.
    Schema {
        /// Its name; OpenAI's formats want one.
        name: Option<String>,
        /// What it is for.
        description: Option<String>,
        /// The schema.
        schema: Value,
        /// To the letter.
        strict: Option<bool>,
    },
    /// As only one format says it (grammars).
    Foreign(super::part::Wire, Value),
}

/// How hard to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effort {
    /// Not at all.
    None,
    /// Hardly.
    Minimal,
    /// A little.
    Low,
    /// As usual.
    Medium,
    /// Long.
    High,
    /// Longer.
    XHigh,
    /// As long as the model can.
    Max,
}

impl Effort {
    /// Every effort, least first.
    pub const ALL: [Self; 7] = [Self::None, Self::Minimal, Self::Low, Self::Medium, Self::High, Self::XHigh, Self::Max];

    /// OpenAI's and OpenRouter's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// Of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effort| effort.as_str() == word)
    }

    /// Share of the longest answer that may be spent on thinking, in per mille (OpenRouter's table).
    pub fn share(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Minimal => 100,
            Self::Low => 200,
            Self::Medium => 500,
            Self::High => 800,
            Self::XHigh | Self::Max => 950,
        }
    }

    /// Tokens to think with, where the longest answer has so many: at least 1024 (the least that
    /// Anthropic takes), at most 128000 (OpenRouter's bounds), and nothing for [`Effort::None`].
    pub fn budget(self, longest: u64) -> u64 {
        if self == Self::None { 0 } else { (longest.saturating_mul(self.share()) / 1000).clamp(1024, 128_000) }
    }

    /// The effort that comes nearest to so many tokens of the longest answer.
    pub fn of_budget(tokens: u64, longest: u64) -> Self {
        if tokens == 0 {
            return Self::None;
        }
        let share = tokens.saturating_mul(1000) / longest.max(1);
        let by_distance = |effort: &Self| effort.share().abs_diff(share);
        [Self::Minimal, Self::Low, Self::Medium, Self::High, Self::XHigh]
            .into_iter()
            .min_by_key(by_distance)
            .unwrap_or(Self::Medium)
    }
}

/// Whether and how the model is to think.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thinking {
    /// How hard.
    pub effort: Option<Effort>,
    /// With so many tokens.
    pub max_tokens: Option<u64>,
    /// As long as the model sees fit (Anthropic's `adaptive`, Gemini's `-1`).
    pub adaptive: bool,
    /// Switched on or off and nothing else said.
    pub enabled: Option<bool>,
    /// Thoughts are not to be shown.
    pub hidden: Option<bool>,
    /// A summary is wanted: `auto`, `concise`, `detailed`.
    pub summary: Option<String>,
    /// Thoughts are to come encrypted, so that they can be handed back (Responses' `include`).
    pub encrypted: bool,
}

impl Thinking {
    /// Whether it says that the model is not to think.
    pub fn is_off(&self) -> bool {
        self.enabled == Some(false) || self.effort == Some(Effort::None) || self.max_tokens == Some(0)
    }
}
