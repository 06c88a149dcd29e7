//! Every task, from every format of a client to every format of a provider.

mod corpus;
mod damage;
mod embeddings;
mod media;
mod others;

use std::rc::Rc;

use serde_json::Value;

use super::*;
use crate::{
    dialect::single::{Given, Sent},
    framing::edit::apply,
};

pub(super) const ALL: [Dialect; 9] = [
    Dialect::Openai,
    Dialect::OpenaiResponses,
    Dialect::AzureOpenai,
    Dialect::Anthropic,
    Dialect::Gemini,
    Dialect::Vertex,
    Dialect::Bedrock,
    Dialect::Cohere,
    Dialect::Ollama,
];

pub(super) fn finish() -> Finish {
    finish_at(r#"{"prompt":"0.000001","completion":"0.000002"}"#)
}

pub(super) fn finish_at(pricing: &str) -> Finish {
    Finish {
        policy: Rc::default(),
        id: "gen-1-x".to_owned(),
        model: "a/b".to_owned(),
        provider: "P".to_owned(),
        pricing: serde_json::from_str(pricing).unwrap(),
        estimated_prompt: 9,
        created: 7,
        metadata: None,
    }
}

pub(super) fn target<'t>(model: &'t str, quirks: &'t [String]) -> Target<'t> {
    Target { model, quirks, longest: None, model_longest: None }
}

pub(super) fn quirks(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What a provider gets.
pub(super) fn sent(body: &str, outbound: &Outbound) -> Value {
    match &outbound.body {
        Sent::Edits(edits) => serde_json::from_slice(&apply(body.as_bytes(), edits)).unwrap(),
        Sent::Json(value) => value.clone(),
        Sent::Form { .. } => panic!("a form"),
    }
}

/// What a client gets.
pub(super) fn given(body: &[u8], answered: &Answered) -> Value {
    match &answered.body {
        Given::Edits(edits) => serde_json::from_slice(&apply(body, edits)).unwrap(),
        Given::Json(value) => value.clone(),
    }
}

pub(super) fn lost(outbound: &Outbound) -> Vec<&str> {
    outbound.losses.list().iter().map(|loss| loss.field.as_str()).collect()
}
