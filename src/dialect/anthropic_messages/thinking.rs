//! Whether and how the model is to think: `thinking` and `output_config.effort`.
//!
//! Claude up to 4.5 thinks with a budget of tokens, from 4.7 on as it sees fit (`adaptive`), guided by an
//! effort; 4.6 takes both. While it thinks, the temperature is 1, `top_k` is not taken and `top_p` is at
//! least 0.95. With a budget, no tool may be forced, and the model's turn that results are given for has
//! to begin with its thoughts. (The vendor's page says so of forced tools with adaptive thinking as well;
//! its models take them.) Opus 5 and Sonnet 5 think unless told not to, and all from 4.7 on keep their
//! thoughts to themselves unless asked to show them.

use serde_json::{Map, Value};

use super::{
    fields::{Fields, object},
    part::Cx,
};
use crate::{
    chat::{Effort, Request, Thinking},
    error::Result,
};

/// Least budget that is taken.
pub const LEAST_BUDGET: u64 = 1024;

/// The words of `output_config.effort`.
const EFFORTS: [&str; 5] = ["low", "medium", "high", "xhigh", "max"];

/// Reads `thinking` and the effort beside it.
pub fn decode(fields: &mut Fields<'_>, output: &mut Map<String, Value>, request: &mut Request) -> Result<()> {
    if let Some(value) = fields.take("thinking") {
        let path = fields.at("thinking");
        let mut inner = Fields::of(value, &path)?;
        let mut thinking = Thinking::default();
        let known = match inner.kind() {
            Some("enabled") => {
                thinking.enabled = Some(true);
                thinking.max_tokens = inner.count("budget_tokens")?;
                true
            }
            Some("adaptive") => {
                thinking.adaptive = true;
                true
            }
            Some("disabled") => {
                thinking.enabled = Some(false);
                true
            }
            Some(_) => false,
            None => return Err(inner.at("type").missing()),
        };
        if known {
            inner.members.remove("type");
            let display = inner.members.get("display").and_then(Value::as_str).map(|display| display == "omitted");
            if let Some(hidden) = display {
                thinking.hidden = Some(hidden);
                inner.members.remove("display");
            }
            request.thinking = Some(thinking);
        }
        if !inner.members.is_empty() {
            let rest = inner.members;
            fields.members.insert("thinking".to_owned(), Value::Object(rest));
        }
    }
    let effort = output.get("effort").and_then(Value::as_str).filter(|word| EFFORTS.contains(word)).map(str::to_owned);
    if let Some(word) = effort {
        output.remove("effort");
        match &mut request.thinking {
            Some(thinking) if thinking.enabled != Some(false) => thinking.effort = Effort::parse(&word),
            _ => request.verbosity = Some(word),
        }
    }
    Ok(())
}

/// How the model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// Nothing is said of it.
    Unsaid,
    /// Not at all.
    Off,
    /// As it sees fit.
    Adaptive(Option<Effort>),
    /// With so many tokens.
    Budget(u64, Option<Effort>),
}

/// What else of the request thinking depends on.
#[derive(Clone, Copy, Debug)]
pub struct Around {
    /// The longest answer.
    pub longest: u64,
    /// A tool has to be called.
    pub forced: bool,
    /// Results are given for a turn that does not begin with thoughts.
    pub thoughtless: bool,
}

/// Writes `thinking` and `output_config.effort`; whether the model is going to think.
pub fn encode(request: &Request, around: Around, cx: &mut Cx<'_>, body: &mut Map<String, Value>) -> bool {
    let thinking = request.thinking.clone().unwrap_or_default();
    let plan = possible(plan(&thinking, around.longest, cx), around, cx);
    let display = thinking.hidden.or_else(|| {
        // Where nobody else would say so, newer models keep their thoughts to themselves; who asks for
        // thinking in other formats gets to see it.
        (!thinking.adaptive && cx.has("adaptive_thinking") || thinking.summary.is_some()).then_some(false)
    });
    let display = display.map(|hidden| if hidden { "omitted" } else { "summarized" }.into());
    let said = match plan {
        Plan::Unsaid => None,
        Plan::Off => Some(object([("type", Some("disabled".into()))])),
        Plan::Adaptive(_) => Some(object([("type", Some("adaptive".into())), ("display", display)])),
        Plan::Budget(tokens, _) => Some(object([
            ("type", Some("enabled".into())),
            ("budget_tokens", Some(tokens.into())),
            ("display", display),
        ])),
    };
    if let Some(said) = said {
        body.insert("thinking".to_owned(), Value::Object(said));
    }
    let (thinks, effort) = match plan {
        Plan::Unsaid | Plan::Off => (false, None),
        Plan::Adaptive(effort) | Plan::Budget(_, effort) => (true, effort),
    };
    if let Some(word) = effort_word(request, effort, cx) {
        body.insert("output_config".to_owned(), Value::Object(object([("effort", Some(word.into()))])));
    }
    thinks
}

fn plan(thinking: &Thinking, longest: u64, cx: &mut Cx<'_>) -> Plan {
    let Thinking { effort, max_tokens, adaptive, enabled, hidden: _, summary: _, encrypted: _ } = thinking;
    if thinking.is_off() {
        return Plan::Off;
    }
    let budget_only = cx.has("budget_thinking");
    match (max_tokens, effort) {
        _ if *adaptive && !budget_only => Plan::Adaptive(*effort),
        (Some(tokens), effort) if cx.has("adaptive_thinking") => {
            cx.losses.add("thinking.budget_tokens");
            Plan::Adaptive(Some(effort.unwrap_or_else(|| Effort::of_budget(*tokens, longest))))
        }
        (Some(tokens), effort) => Plan::Budget(*tokens, *effort),
        (None, Some(effort)) if budget_only => Plan::Budget(effort.budget(longest), None),
        (None, Some(effort)) => Plan::Adaptive(Some(*effort)),
        (None, None) if *adaptive || *enabled == Some(true) => {
            if budget_only {
                Plan::Budget(Effort::Medium.budget(longest), None)
            } else {
                Plan::Adaptive(None)
            }
        }
        (None, None) => Plan::Unsaid,
    }
}

/// What the vendor would refuse is left out, as a loss: an answer with less thought is still an answer.
fn possible(plan: Plan, around: Around, cx: &mut Cx<'_>) -> Plan {
    let Around { longest, forced, thoughtless } = around;
    match plan {
        Plan::Off if cx.has("no_thinking") => Plan::Unsaid,
        Plan::Off if cx.has("no_thinking_off") => {
            cx.losses.add("thinking");
            Plan::Unsaid
        }
        Plan::Adaptive(_) | Plan::Budget(..) if cx.has("no_thinking") => {
            cx.losses.add("thinking");
            Plan::Unsaid
        }
        Plan::Budget(..) if forced || thoughtless || longest <= LEAST_BUDGET => {
            cx.losses.add("thinking");
            Plan::Unsaid
        }
        Plan::Budget(tokens, effort) if tokens >= longest => {
            cx.losses.add("thinking.budget_tokens");
            Plan::Budget(Effort::Max.budget(longest).min(longest - 1), effort)
        }
        plan => plan,
    }
}

/// The effort to think, or else how much is to be said: the format has one word for both.
fn effort_word(request: &Request, effort: Option<Effort>, cx: &mut Cx<'_>) -> Option<String> {
    let verbosity = request.verbosity.as_deref();
    let word = match effort {
        Some(Effort::None) | None => verbosity,
        Some(Effort::Minimal) => {
            cx.losses.add("thinking.effort");
            Some("low")
        }
        Some(effort) => Some(effort.as_str()),
    };
    if verbosity.is_some() && verbosity != word {
        cx.losses.add("verbosity");
    }
    let word = word?;
    if cx.has("no_effort") || !EFFORTS.contains(&word) {
        cx.losses.add(if effort.is_some() { "thinking.effort" } else { "verbosity" });
        return None;
    }
    Some(word.to_owned())
}
