//! What an answer used and costs, and how it is told in it.

use serde_json::{Map, Value};

use super::{Finish, Usage, is_nothing};
use crate::{
    budget::estimate::estimate_tokens,
    catalog::{CostBreakdown, Tokens},
    chat,
    framing::{
        edit::{Edit, ObjectEdits},
        json::{self, Object},
    },
};

impl Finish {
    /// What an answer used that came with status 200: what the provider says, else what so many bytes of
    /// it may come to.
    pub fn used(&self, reported: Option<&chat::Usage>, bytes: usize) -> Usage {
        match reported {
            Some(usage) => Usage { tokens: usage.tokens, estimated: false, provider_cost: usage.provider_cost },
            None => Usage {
                tokens: Tokens {
                    prompt: self.estimated_prompt,
                    completion: estimate_tokens(bytes),
                    ..Tokens::default()
                },
                estimated: true,
                provider_cost: None,
            },
        }
    }
}

/// What an answer came to.
#[derive(Debug)]
pub struct Spent {
    /// What was used.
    pub usage: Usage,
    /// The same as the provider said it.
    pub reported: Option<chat::Usage>,
    /// What it costs.
    pub cost: Option<CostBreakdown>,
}

impl Spent {
    /// What the format is to write of it; it says so where it is an estimate.
    pub fn told(&self) -> (chat::Usage, Map<String, Value>) {
        let members = priced(self.cost.as_ref(), self.usage.estimated);
        let own = self.reported.clone().filter(|_| !self.usage.estimated);
        (own.unwrap_or_else(|| chat::Usage { tokens: self.usage.tokens, ..chat::Usage::default() }), members)
    }

    /// A usage object, written by the format.
    pub fn written(&self, write: impl FnOnce(&chat::Usage, Map<String, Value>) -> Value) -> Value {
        let (usage, members) = self.told();
        write(&usage, members)
    }
}

/// Members that every format adds to its usage object.
pub fn cost_members(cost: &CostBreakdown) -> Map<String, Value> {
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let members = [
        ("cost", json(&cost.total.to_string())),
        ("is_byok", false.into()),
        ("cost_details", json(&cost_details(cost))),
    ];
    members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The same, and `is_estimated` where the provider counted nothing.
pub fn priced(cost: Option<&CostBreakdown>, estimated: bool) -> Map<String, Value> {
    let mut members = cost.map(cost_members).unwrap_or_default();
    if estimated {
        members.insert("is_estimated".to_owned(), true.into());
    }
    members
}

/// Puts the cost into a provider's usage object, in place of what the provider itself charges: that is
/// between it and the operator.
pub fn set_cost(usage: &mut ObjectEdits<'_, '_>, cost: Option<&CostBreakdown>) {
    usage.cut(|key| key == "cost_in_usd_ticks");
    match cost {
        Some(cost) => {
            usage.set("cost", cost.total.to_string());
            usage.set("is_byok", "false".to_owned());
            usage.set("cost_details", cost_details(cost));
        }
        None => usage.cut(|key| matches!(key, "cost" | "cost_details" | "is_byok")),
    }
}

/// What the cost is made of, as OpenRouter tells it.
pub fn cost_details(cost: &CostBreakdown) -> String {
    format!(
        "{{\"upstream_inference_cost\":null,\"upstream_inference_prompt_cost\":{},\"upstream_inference_completions_cost\":{}}}",
        cost.prompt, cost.completion
    )
}

/// Sets the usage of an answer: the provider's own object with the cost, by the edits that are given back;
/// where it has none that can be meant, one that `write` makes. `needed` are counts that clients insist on
/// and some providers leave out.
pub fn set_usage(
    key: &str,
    object: &Object<'_>,
    changed: &mut ObjectEdits<'_, '_>,
    spent: &Spent,
    needed: &[(&str, String)],
    write: impl FnOnce(&chat::Usage, Map<String, Value>) -> Value,
) -> Vec<Edit> {
    let own = object.get(key).filter(|_| !spent.usage.estimated).and_then(json::Value::object);
    let Some(own) = own else {
        changed.set(key, spent.written(write).to_string());
        return Vec::new();
    };
    let mut priced = ObjectEdits::new(&own);
    for (key, json) in needed.iter().filter(|(key, _)| is_nothing(own.get(key))) {
        priced.set(key, json.clone());
    }
    set_cost(&mut priced, spent.cost.as_ref());
    priced.finish()
}
