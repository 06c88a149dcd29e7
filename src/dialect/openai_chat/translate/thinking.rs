//! Whether and how long a model is to think, in the spellings of many companies.
//!
//! | spelling | whose |
//! |---|---|
//! | `reasoning_effort` | OpenAI, and most others |
//! | `reasoning: {effort, max_tokens, exclude, enabled, summary}`, `include_reasoning` | OpenRouter, Vercel |
//! | `thinking: {type: enabled \| disabled}` | DeepSeek, Z.ai, Moonshot |
//! | `enable_thinking` | Alibaba, and servers of Qwen |

use serde_json::{Map, Value, json};

use crate::{
    chat::{Effort, Losses, Thinking},
    dialect::openai_common::Members,
    error::{Error, Result},
};

/// Tokens that the longest answer is taken to have where nobody says.
const USUAL_LONGEST: u64 = 32_000;

/// Reads it in every spelling.
pub fn read_thinking(body: &mut Members) -> Result<Option<Thinking>> {
    let mut thinking = Thinking::default();
    if let Some(mut reasoning) = body.object("reasoning")? {
        if let Some(word) = reasoning.string("effort")? {
            thinking.effort = Some(Effort::parse(&word).ok_or_else(|| unknown_effort("reasoning.effort"))?);
        }
        thinking.max_tokens = reasoning.count("max_tokens")?;
        thinking.hidden = reasoning.flag("exclude")?;
        thinking.enabled = reasoning.flag("enabled")?;
        thinking.summary = reasoning.string("summary")?;
        put_rest(body, "reasoning", reasoning.rest());
    }
    if let Some(word) = body.string("reasoning_effort")? {
        match Effort::parse(&word) {
            // Groq's `default`, and what else a company may think of.
            None => body.put_back("reasoning_effort", word.into()),
            effort if thinking.effort.is_some() && thinking.effort != effort => {
                let message = "reasoning_effort and reasoning.effort differ; send one of them.";
                return Err(Error::invalid("reasoning_effort", message));
            }
            effort => thinking.effort = effort,
        }
    }
    if let Some(shown) = body.flag("include_reasoning")? {
        thinking.hidden.get_or_insert(!shown);
    }
    if let Some(mut switch) = body.object("thinking")? {
        let word = switch.string("type")?;
        match word.as_deref() {
            Some("enabled") => thinking.enabled = Some(true),
            Some("disabled") => thinking.enabled = Some(false),
            Some("adaptive" | "auto") => thinking.adaptive = true,
            _ => {
                let message = "thinking.type must be \"enabled\", \"disabled\" or \"adaptive\".";
                return Err(Error::invalid("thinking.type", message));
            }
        }
        thinking.max_tokens = thinking.max_tokens.or(switch.count("budget_tokens")?);
        put_rest(body, "thinking", switch.rest());
    }
    thinking.enabled = thinking.enabled.or(body.flag("enable_thinking")?);
    Ok((thinking != Thinking::default()).then_some(thinking))
}

fn unknown_effort(path: &str) -> Error {
    let words: Vec<_> = Effort::ALL.iter().map(|effort| effort.as_str()).collect();
    Error::invalid(path, format!("{path} must be one of {}.", words.join(", ")))
}

fn put_rest(body: &mut Members, key: &str, rest: Map<String, Value>) {
    if !rest.is_empty() {
        body.put_back(key, Value::Object(rest));
    }
}

/// Writes it in the spelling that the provider's quirks name. `longest`: the longest answer, as far as it
/// is known, which a number of tokens is measured against.
pub fn write_thinking(
    thinking: &Thinking,
    longest: Option<u64>,
    quirk: impl Fn(&str) -> bool,
    body: &mut Map<String, Value>,
    losses: &mut Losses,
) {
    if quirk("openrouter") {
        body.insert("reasoning".to_owned(), Value::Object(openrouter(thinking)));
        return;
    }
    // That thoughts are hidden is for the gateway: its own answer leaves them out.
    let Thinking { effort, max_tokens, adaptive, enabled: _, hidden: _, summary, encrypted } = thinking;
    for (asked, name) in [(summary.is_some(), "reasoning.summary"), (*encrypted, "include")] {
        if asked {
            losses.add(name);
        }
    }
    let (by_type, by_switch) = (quirk("thinking_type"), quirk("enable_thinking"));
    if by_type {
        let word = if thinking.is_off() { "disabled" } else { "enabled" };
        body.insert("thinking".to_owned(), json!({ "type": word }));
    } else if by_switch {
        body.insert("enable_thinking".to_owned(), (!thinking.is_off()).into());
    }
    let by_tokens = || max_tokens.map(|tokens| Effort::of_budget(tokens, longest.unwrap_or(USUAL_LONGEST)));
    let wanted = match effort {
        _ if thinking.is_off() => Some(Effort::None),
        Some(effort) => Some(*effort),
        // Left to the model, as its own default is.
        None if *adaptive && max_tokens.is_none() => None,
        None => by_tokens().or((!by_type && !by_switch).then_some(Effort::Medium)),
    };
    match wanted {
        Some(Effort::None) if by_type || by_switch => {}
        Some(effort) if !by_switch => {
            let effort = if effort == Effort::Max && !by_type { Effort::XHigh } else { effort };
            body.insert("reasoning_effort".to_owned(), effort.as_str().into());
        }
        Some(_) => losses.add("reasoning.effort"),
        None => {}
    }
}

fn openrouter(thinking: &Thinking) -> Map<String, Value> {
    let Thinking { effort, max_tokens, adaptive, enabled, hidden, summary, encrypted: _ } = thinking;
    let alone = effort.is_none() && max_tokens.is_none();
    let enabled = enabled.or((*adaptive && alone).then_some(true));
    let members = [
        ("effort", effort.map(|effort| json!(effort.as_str()))),
        ("max_tokens", max_tokens.map(Value::from)),
        ("exclude", hidden.map(Value::from)),
        ("enabled", enabled.map(Value::from)),
        ("summary", summary.clone().map(Value::from)),
    ];
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
