//! Each kind of content once, both ways, in bodies of our own; and recorded traffic.

mod answers;
mod corpus;
mod requests;
mod spoilt;
mod streams;
mod written;

use serde_json::{Map, Value, json};

use super::*;
use crate::{
    catalog::Tokens,
    chat::{
        Answer, Block, Cache, Choice, Citation, Collector, Delta, Effort, Event, Extra, Finish, FinishReason, Format,
        Media, MediaKind, MediaSource, Part, PartKind, ProviderError, Reasoning, ReasoningFormat, Request, Role,
        Thinking, Tool, ToolCall, ToolChoice, ToolResult, Turn, Usage, Wire,
    },
    dialect::{Encoded, Frame, Names, Target},
    error::{Error, ErrorKind},
};

pub(super) fn encoded(request: &Request, quirks: &[&str]) -> Encoded {
    let quirks: Vec<String> = quirks.iter().map(|quirk| (*quirk).to_owned()).collect();
    let target = Target { model: "m", quirks: &quirks, longest: None, model_longest: Some(10_000) };
    encode_request(request, &target).unwrap()
}

pub(super) fn refused(request: &Request) -> Error {
    let target = Target { model: "m", quirks: &[], longest: None, model_longest: None };
    encode_request(request, &target).unwrap_err()
}

pub(super) fn lost(encoded: &Encoded) -> Vec<&str> {
    encoded.losses.list().iter().map(|loss| loss.field.as_str()).collect()
}

pub(super) fn user(parts: Vec<Part>) -> Turn {
    Turn::new(Role::User, parts)
}

pub(super) fn model(parts: Vec<Part>) -> Turn {
    Turn::new(Role::Assistant, parts)
}

pub(super) fn request(turns: Vec<Turn>) -> Request {
    Request { turns, ..Request::default() }
}

pub(super) fn call(id: &str, name: &str, arguments: &str) -> Part {
    let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.to_owned());
    Part::new(PartKind::ToolCall(ToolCall { id, name, arguments, signature: None, custom: false }))
}

pub(super) fn result(id: &str, said: &str) -> Part {
    let parts = vec![Part::text(said)];
    Part::new(PartKind::ToolResult(ToolResult { call_id: id.to_owned(), name: None, parts, is_error: false }))
}

pub(super) fn thought(reasoning: Reasoning) -> Part {
    Part::new(PartKind::Reasoning(reasoning))
}

pub(super) fn function(name: &str) -> Tool {
    let parameters = Some(json!({"type": "object", "properties": {}, "additionalProperties": false}));
    let (description, extra) = (None, Extra::default());
    Tool::Function { name: name.to_owned(), description, parameters, strict: None, cache: None, extra }
}

pub(super) fn media(kind: MediaKind, mime: Option<&str>, source: MediaSource) -> Part {
    let mime = mime.map(str::to_owned);
    Part::new(PartKind::Media(Media { kind, mime, source, name: None, detail: None, transcript: None }))
}

pub(super) fn names() -> Names {
    let mut cost = Map::new();
    cost.insert("cost".into(), json!(0.25));
    Names { id: "gen-1".into(), model: "a/m".into(), provider: "P".into(), cost, ..Names::default() }
}
