//! Moderations (`POST /v1/moderations`), as OpenAI and Mistral have them.
//!
//! Facts: platform.openai.com/docs/api-reference/moderations, docs.mistral.ai/api (Classifiers); as of
//! November 2026.
//!
//! - `input` is a text, several, or (`OpenAI`) a list of parts `{type: "text"}`, `{type: "image_url"}`.
//! - The answer: `{id, model, results}`; Mistral adds `usage`. `OpenAI` takes no money for it, and lets the
//!   model out: then it is its newest.

use serde_json::Value as Tree;

use super::{
    Target,
    passing::{Finish, ResponseFacts, Usage},
    shape::{Shape, check, invalid_json, text},
    single::{
        Answered, Asked, Given, Outbound, Read, count, edit_usage, in_order, malformed, name, outbound, priced,
        prompt_usage, provider_cost, scan_answer, tree,
    },
};
use crate::{
    error::{Error, Result},
    framing::{
        edit::ObjectEdits,
        json::{Kind, Object, scan_object},
    },
};

/// The model of requests that name none.
const DEFAULT_MODEL: &str = "openai/omni-moderation-latest";

#[rustfmt::skip]
const SHAPES: &[(&str, Shape)] = &[
    ("input",      Shape::StringOrArray),
    ("model",      Shape::String),
    ("models",     Shape::Array),
    ("provider",   Shape::Object),
    ("session_id", Shape::String),
    ("tags",       Shape::Array),
    ("trace",      Shape::Object),
    ("user",       Shape::String),
];

/// A request, checked.
#[derive(Debug)]
pub struct Call<'a> {
    object: Object<'a>,
    /// What the gateway knows of it.
    pub asked: Asked,
}

/// Reads and checks a request.
pub fn parse(body: &[u8]) -> Result<Call<'_>> {
    let object = scan_object(body).map_err(|malformed| invalid_json(&malformed, body.len()))?;
    check(&object, SHAPES, &["plugins", "preset"])?;
    let input = object.get("input").filter(|value| !matches!(value.text, "null" | "[]"));
    let input = input.ok_or_else(|| Error::invalid("input", "input is missing: send what is to be judged."))?;
    let named = ["model", "models"].iter().any(|key| object.get(key).is_some_and(|value| value.kind != Kind::Null));
    let mut asked = Asked::of(&object, (!named).then_some(DEFAULT_MODEL), &["input"])?;
    asked.weight.text = input.text.len();
    for (index, item) in input.items().iter().enumerate() {
        match item.kind {
            Kind::String => {}
            Kind::Object => {
                if item.members().iter().any(|member| member.key == "image_url") {
                    asked.weight.media = asked.weight.media.saturating_add(1);
                    asked.weight.media_bytes += item.text.len();
                    asked.weight.text = asked.weight.text.saturating_sub(item.text.len());
                }
            }
            other => {
                let at = format!("input[{index}]");
                let message = format!("{at} must be a text or an object, not {}.", other.name());
                return Err(Error::invalid(at, message));
            }
        }
    }
    Ok(Call { object, asked })
}

/// The request for a provider.
pub fn encode(call: &Call<'_>, target: &Target<'_>) -> Outbound {
    Outbound::edits("/moderations", outbound(&call.object, target).finish())
}

/// Reads a body that came with status 200.
pub fn read_answer(body: &[u8], finish: &Finish) -> Read {
    let object = scan_answer(body)?;
    if object.get("results").is_none_or(|results| results.items().is_empty()) {
        return Err(malformed());
    }
    let given = object.get("usage").map(tree).unwrap_or_default();
    let counted = count(&given, "prompt_tokens").or_else(|| count(&given, "total_tokens"));
    let usage = Usage { provider_cost: provider_cost(&given), ..prompt_usage(counted, finish) };
    let facts = ResponseFacts { upstream_id: text(&object, "id"), usage, ..ResponseFacts::default() };
    let cost = finish.cost(&facts.usage.tokens);
    let mut changed = ObjectEdits::new(&object);
    name(&mut changed, finish);
    let tokens = Tree::from(usage.tokens.prompt);
    let counts = [("prompt_tokens", tokens.clone()), ("total_tokens", tokens)];
    let mut edits = edit_usage(&object, &mut changed, &counts, &priced(cost.as_ref(), usage.estimated));
    edits.extend(changed.finish());
    Ok(Answered { facts, cost, body: Given::Edits(in_order(edits)) })
}
