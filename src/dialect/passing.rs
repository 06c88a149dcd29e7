//! What answers have in common whose bytes are passed on: client and provider speak the same format, and
//! the gateway edits only names and cost. Each format's own part of it is in its folder.

mod cost;
mod look;
mod relay;
mod request;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use serde_json::Value;

pub use super::shape::text;
pub use cost::{Spent, cost_details, cost_members, priced, set_cost, set_usage};
pub use look::{kind, number_after, string_after, tree};
pub use relay::{Format, Look, Relay, Said};
pub use request::{clamp, cut_owned, is_nothing, number, only_once, ordered};

use crate::{
    budget::Policy,
    catalog::{CostBreakdown, Pricing, Tokens},
    chat::{self, ProviderError},
    dialect::Names,
    error::Error,
    framing::{
        edit::{Edit, ObjectEdits},
        json::quote,
    },
    routing::fallback::Cause,
};

/// How the gateway names an answer to its client.
#[derive(Clone, Debug)]
pub struct Finish {
    /// The generation id: `id` of the answer.
    pub id: String,
    /// The model that served.
    pub model: String,
    /// The provider that served, by its display name.
    pub provider: String,
    /// The prices in force; `None` where there are none.
    pub pricing: Option<Pricing>,
    /// What is charged on top of them.
    pub policy: Rc<Policy>,
    /// What the prompt may have been, in tokens, if the provider does not say.
    pub estimated_prompt: u64,
    /// When the request came, in Unix seconds: `created`, where the provider does not say.
    pub created: i64,
    /// The routing story as JSON, where the client asked for it: `openrouter_metadata`.
    pub metadata: Option<String>,
}

impl Finish {
    /// What so many tokens cost the client.
    pub fn cost(&self, tokens: &Tokens) -> Option<CostBreakdown> {
        let cost = self.pricing.as_ref()?.cost(tokens);
        Some(CostBreakdown { total: self.policy.charge(cost.total), ..cost })
    }

    /// The same for whoever writes an answer, or a part of one, anew.
    pub fn names(&self, cost: Option<&CostBreakdown>) -> Names {
        let metadata = self.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok());
        Names {
            id: self.id.clone(),
            model: self.model.clone(),
            provider: self.provider.clone(),
            created: self.created,
            cost: cost.map(cost_members).unwrap_or_default(),
            extra: metadata.map(|story: Value| ("openrouter_metadata".to_owned(), story)).into_iter().collect(),
            request: None,
        }
    }

    /// Sets the routing story, where the client wants it.
    pub fn tell_story(&self, changed: &mut ObjectEdits<'_, '_>) {
        if let Some(metadata) = &self.metadata {
            changed.set("openrouter_metadata", metadata.clone());
        }
    }
}

/// Names the answer, or the part of one, by the gateway's words for it.
pub fn name(finish: &Finish, changed: &mut ObjectEdits<'_, '_>) {
    changed.set("id", quote(&finish.id));
    changed.set("model", quote(&finish.model));
    changed.set("provider", quote(&finish.provider));
}

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// In the provider's tokens.
    pub tokens: Tokens,
    /// Not from the provider, which said nothing usable: derived from bytes.
    pub estimated: bool,
    /// What the provider itself says it charges, in USD.
    pub provider_cost: Option<f64>,
}

/// What an answer says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResponseFacts {
    /// The provider's id of it.
    pub upstream_id: Option<String>,
    /// Why it ended, in the words of OpenAI's chat.
    pub finish_reason: Option<String>,
    /// The same in the provider's.
    pub native_finish_reason: Option<String>,
    /// What was used.
    pub usage: Usage,
    /// The tier that served.
    pub service_tier: Option<String>,
    /// What of it the client's format has no place for.
    pub losses: Vec<String>,
}

impl ResponseFacts {
    /// Notes something that the client's format has no place for; the same counts once.
    pub fn lose(&mut self, what: String) {
        if !self.losses.contains(&what) {
            self.losses.push(what);
        }
    }
}

impl ResponseFacts {
    /// How it ended.
    pub fn ended(&mut self, finish: chat::Finish) {
        self.finish_reason = Some(finish.reason.as_str().to_owned());
        self.native_finish_reason = finish.native;
    }
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    /// What it says of itself.
    pub facts: ResponseFacts,
    /// Its cost.
    pub cost: Option<CostBreakdown>,
    /// What to change in it for the client.
    pub edits: Vec<Edit>,
}

/// How a stream ended, as seen from outside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The provider closed it.
    Closed,
    /// The connection broke.
    Broken,
    /// Nothing came for too long, or it took too long in all.
    TimedOut,
    /// The client has gone.
    ClientGone,
    /// The gateway ended it: a budget does not cover more of it.
    OutOfBudget,
    /// The gateway ended it: whoever manages it stopped whom it is charged to.
    Stopped,
}

/// What a client is told of a stream that broke in the middle, in whatever format.
pub fn broken(provider: &str, cause: Cause, error: &ProviderError) -> Error {
    let what = match cause {
        Cause::Timeout => "sent nothing for too long",
        Cause::Connection => "closed the connection before the answer was complete",
        Cause::Malformed => "sent something that is not part of an answer",
        Cause::Stopped => "was told to stop by whoever manages the gateway",
        Cause::Status(_) | Cause::ErrorInBody(_) => "failed",
    };
    let message = match &error.message {
        Some(words) => format!("{provider} {what} in mid-stream: {words}"),
        None => format!("{provider} {what}; what was received so far is incomplete."),
    };
    let failure = Error::new(error.kind(cause.verdict().kind), message).meta("provider_name", provider);
    match &error.code {
        Some(code) => failure.meta("provider_code", code.clone()),
        None => failure,
    }
}
