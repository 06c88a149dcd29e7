//! What only one maker's models understand: `additionalModelRequestFields`.
//!
//! | maker | thinking | top k |
//! |---|---|---|
//! | Anthropic | `thinking{type, budget_tokens, display}`, `output_config{effort}` | `top_k` |
//! | Amazon (Nova) | `reasoningConfig{type, maxReasoningEffort}` | `inferenceConfig{topK}` |
//! | OpenAI (gpt-oss) | `reasoning_effort` | none |
//! | Qwen | `reasoning_config` | none |
//! | Mistral, Cohere | none | `top_k`, `k` |
//!
//! Claude's newer models think adaptively only (quirk `adaptive_thinking`); the older ones by budget only.

use serde_json::{Map, Number, Value, json};

use crate::{
    chat::{Effort, Losses, Thinking},
    dialect::{
        Target,
        fields::{Fields, object},
    },
    error::Result,
};

/// Whose model it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    Anthropic,
    Amazon,
    Cohere,
    Mistral,
    Openai,
    Qwen,
    /// Somebody who takes nothing of this.
    Other,
    /// An ARN of the operator's own making does not tell.
    Unknown,
}

const MAKERS: &[(&str, Maker)] = &[
    ("anthropic", Maker::Anthropic),
    ("amazon", Maker::Amazon),
    ("cohere", Maker::Cohere),
    ("mistral", Maker::Mistral),
    ("openai", Maker::Openai),
    ("qwen", Maker::Qwen),
];

impl Maker {
    /// The one that an id names (`[<region>.]<maker>.<model>`, also at the end of an ARN), or a quirk
    /// `maker:<maker>` for names that do not tell.
    pub(super) fn of(target: &Target<'_>) -> Self {
        let known = |word: &str| MAKERS.iter().find(|(name, _)| *name == word).map(|(_, maker)| *maker);
        let named = target.quirks.iter().find_map(|quirk| known(quirk.strip_prefix("maker:")?));
        let id = target.model.rsplit('/').next().unwrap_or_default();
        let by_id = id.split('.').take(2).find_map(known);
        let other = if id.contains('.') { Self::Other } else { Self::Unknown };
        named.or(by_id).unwrap_or(other)
    }

    /// Whether its models take cache points.
    pub(super) fn caches(self) -> bool {
        matches!(self, Self::Anthropic | Self::Amazon | Self::Unknown)
    }

    /// Whether its models take signed thoughts back.
    pub(super) fn takes_thoughts(self) -> bool {
        matches!(self, Self::Anthropic | Self::Unknown)
    }
}

/// Writes how to think.
pub(super) fn write(
    thinking: &Thinking,
    longest: Option<u64>,
    maker: Maker,
    target: &Target<'_>,
    fields: &mut Map<String, Value>,
    losses: &mut Losses,
) {
    let Thinking { effort, max_tokens, adaptive, enabled, hidden, summary: _, encrypted: _ } = thinking;
    let off = thinking.is_off();
    let longest = longest.or(target.model_longest).unwrap_or(LONGEST);
    // In the words of those who know three efforts.
    let budget = max_tokens.map(|tokens| Effort::of_budget(tokens, longest));
    let word = match effort.or(budget) {
        _ if off => None,
        Some(Effort::None) => None,
        Some(Effort::Minimal | Effort::Low) => Some("low"),
        Some(Effort::Medium) | None => Some("medium"),
        Some(Effort::High | Effort::XHigh | Effort::Max) => Some("high"),
    };
    match (maker, word) {
        (Maker::Anthropic, _) => {
            let quirk = target.quirks.iter().any(|quirk| quirk == "adaptive_thinking");
            if off {
                fields.insert("thinking".to_owned(), json!({ "type": "disabled" }));
            } else if *adaptive || quirk {
                let display = hidden.map(|hidden| if hidden { "omitted" } else { "summarized" }.into());
                let how = object([("type", Some("adaptive".into())), ("display", display)]);
                fields.insert("thinking".to_owned(), how);
                if let Some(effort) = effort.or(budget) {
                    fields.insert("output_config".to_owned(), json!({ "effort": claude_effort(effort) }));
                }
            } else {
                let effort = effort.unwrap_or(Effort::Medium);
                let tokens = max_tokens.unwrap_or_else(|| effort.budget(longest));
                if max_tokens.is_none() && tokens >= longest {
                    // No room for the least budget that Claude takes.
                    losses.add("reasoning");
                } else {
                    fields.insert("thinking".to_owned(), json!({ "type": "enabled", "budget_tokens": tokens }));
                }
            }
        }
        (Maker::Amazon, Some(word)) => {
            fields.insert("reasoningConfig".to_owned(), json!({ "type": "enabled", "maxReasoningEffort": word }));
        }
        (Maker::Amazon, None) if *enabled == Some(false) => {
            fields.insert("reasoningConfig".to_owned(), json!({ "type": "disabled" }));
        }
        (Maker::Openai, Some(word)) => {
            fields.insert("reasoning_effort".to_owned(), word.into());
        }
        (Maker::Qwen, Some(word)) => {
            fields.insert("reasoning_config".to_owned(), word.into());
        }
        // Off is how the others are anyway.
        (Maker::Amazon | Maker::Qwen | Maker::Cohere | Maker::Mistral | Maker::Other, None) => {}
        (Maker::Openai, None) | (Maker::Cohere | Maker::Mistral | Maker::Other | Maker::Unknown, _) => {
            losses.add("reasoning");
        }
    }
}

/// Longest answer, in tokens, where nobody says: of Claude's older models.
const LONGEST: u64 = 32_000;

fn claude_effort(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::XHigh => "xhigh",
        Effort::Max => "max",
    }
}

/// Writes of how many likeliest tokens is drawn.
pub(super) fn write_top_k(top_k: &Number, maker: Maker, fields: &mut Map<String, Value>, losses: &mut Losses) {
    let (name, value) = match maker {
        Maker::Anthropic | Maker::Mistral => ("top_k", Value::from(top_k.clone())),
        Maker::Cohere => ("k", Value::from(top_k.clone())),
        Maker::Amazon => ("inferenceConfig", json!({ "topK": top_k })),
        Maker::Openai | Maker::Qwen | Maker::Other | Maker::Unknown => return losses.add("top_k"),
    };
    fields.insert(name.to_owned(), value);
}

/// Reads how to think out of the fields of any maker; those that are understood are taken.
pub(super) fn read(fields: &mut Fields) -> Result<Option<Thinking>> {
    let mut thinking = Thinking::default();
    let mut found = false;
    if let Some(mut how) = fields.object("thinking")? {
        found = true;
        match how.text("type")?.as_deref() {
            Some("adaptive") => thinking.adaptive = true,
            Some("disabled") => thinking.enabled = Some(false),
            _ => thinking.enabled = Some(true),
        }
        thinking.max_tokens = how.whole("budget_tokens")?;
        thinking.hidden = how.text("display")?.map(|display| display == "omitted");
        fields.keep("thinking", how);
    }
    if let Some(mut config) = fields.object("output_config")? {
        let effort = config.peek("effort").and_then(Value::as_str).and_then(Effort::parse);
        if effort.is_some() {
            found = true;
            thinking.effort = effort;
            config.take("effort");
        }
        fields.keep("output_config", config);
    }
    for name in ["reasoning_effort", "reasoning_config"] {
        if let Some(effort) = fields.peek(name).and_then(Value::as_str).and_then(Effort::parse) {
            found = true;
            thinking.effort = Some(effort);
            fields.take(name);
        }
    }
    if let Some(mut config) = fields.object("reasoningConfig")? {
        found = true;
        thinking.enabled = Some(config.text("type")?.as_deref() != Some("disabled"));
        thinking.effort = config.text("maxReasoningEffort")?.as_deref().and_then(Effort::parse);
        fields.keep("reasoningConfig", config);
    }
    Ok(found.then_some(thinking))
}
