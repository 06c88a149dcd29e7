//! A conversation, written for Gemini: `systemInstruction` and `contents[]`.
//!
//! - System turns are gathered; where there is nothing else, they are said by the user, as `contents`
//!   must not be empty.
//! - Results of tools that stand in turns of their own one after the other become one content: Gemini
//!   wants as many results in it as there were calls.
//! - Gemini's marks find their place: that of a call by the call's id, others on the text or medium before
//!   them, else on the text or call after them, else on an empty text.

use serde_json::{Map, Value, json};

use super::{
    content::{is_made, object, write_said},
    media,
    signature::STAND_IN,
    wire::merge,
};
use crate::{
    chat::{Losses, Part, PartKind, Reasoning, ReasoningFormat, Role, ToolCall, ToolResult, Turn, Wire},
    error::{Error, Result},
};

/// The conversation as members of a body.
pub(super) fn write(turns: &[Turn], stand_in: bool, losses: &mut Losses) -> Result<Map<String, Value>> {
    let mut writer = Writer { losses, called: Vec::new(), stand_in };
    let (mut system, mut contents) = (Vec::new(), Vec::<Value>::new());
    let mut results_before = false;
    for (index, turn) in turns.iter().enumerate() {
        let mut parts = writer.turn(turn, index)?;
        let results = is_results(turn);
        match turn.role {
            Role::System | Role::Developer => system.append(&mut parts),
            Role::User if results && results_before => append(&mut contents, parts),
            Role::User => contents.push(content("user", parts, turn)),
            Role::Assistant => contents.push(content("model", parts, turn)),
        }
        results_before = results;
    }
    let mut body = Map::new();
    if contents.is_empty() && !system.is_empty() {
        contents.push(json!({ "role": "user", "parts": system }));
    } else if !system.is_empty() {
        body.insert("systemInstruction".to_owned(), json!({ "parts": system }));
    }
    body.insert("contents".to_owned(), contents.into());
    Ok(body)
}

fn is_results(turn: &Turn) -> bool {
    turn.role == Role::User
        && !turn.parts.is_empty()
        && turn.parts.iter().all(|part| matches!(part.kind, PartKind::ToolResult(_)))
}

fn append(contents: &mut [Value], mut parts: Vec<Value>) {
    if let Some(Value::Array(known)) = contents.last_mut().and_then(|content| content.get_mut("parts")) {
        known.append(&mut parts);
    }
}

fn content(role: &str, parts: Vec<Value>, turn: &Turn) -> Value {
    let mut content = Map::new();
    content.insert("role".to_owned(), role.into());
    content.insert("parts".to_owned(), parts.into());
    if let Some(own) = turn.extra.own(Wire::Gemini) {
        merge(&mut content, own);
    }
    Value::Object(content)
}

struct Writer<'w> {
    losses: &'w mut Losses,
    /// Id and name of the calls so far.
    called: Vec<(String, String)>,
    /// The model wants a mark on the first call of every turn.
    stand_in: bool,
}

/// The parts of one turn, as far as they are written.
#[derive(Default)]
struct Written {
    parts: Vec<Value>,
    /// A mark that waits for the text or call that it stands on.
    mark: Option<String>,
}

impl Written {
    fn last(&mut self) -> Option<&mut Map<String, Value>> {
        self.parts.last_mut().and_then(Value::as_object_mut)
    }

    fn mark(&mut self, mark: &str) {
        let fits = |part: &&mut Map<String, Value>| {
            ["text", "inlineData", "fileData"].iter().any(|name| part.contains_key(*name))
                && !part.contains_key("thought")
                && !part.contains_key("thoughtSignature")
        };
        if let Some(part) = self.last().filter(fits) {
            part.insert("thoughtSignature".to_owned(), mark.into());
        } else {
            self.flush();
            self.mark = Some(mark.to_owned());
        }
    }

    /// A mark for which nothing was found.
    fn flush(&mut self) {
        if let Some(mark) = self.mark.take() {
            self.parts.push(json!({ "text": "", "thoughtSignature": mark }));
        }
    }

    fn push(&mut self, mut part: Map<String, Value>, takes_mark: bool) {
        if takes_mark
            && !part.contains_key("thoughtSignature")
            && let Some(mark) = self.mark.take()
        {
            part.insert("thoughtSignature".to_owned(), mark.into());
        }
        self.parts.push(Value::Object(part));
    }
}

impl Writer<'_> {
    fn turn(&mut self, turn: &Turn, index: usize) -> Result<Vec<Value>> {
        let Turn { role, parts, name, extra } = turn;
        if name.is_some() {
            self.losses.add(format!("messages[{index}].name"));
        }
        for lost in extra.lost(Wire::Gemini) {
            self.losses.add(format!("messages[{index}].{lost}"));
        }
        let mut written = Written::default();
        for (number, part) in parts.iter().enumerate() {
            let at = || format!("messages[{index}].content[{number}]");
            self.part(part, *role, parts, &at, &mut written)?;
        }
        written.flush();
        if self.stand_in && *role == Role::Assistant {
            stand_in(&mut written.parts);
        }
        if is_results(turn) {
            self.sort(parts, &mut written.parts);
        }
        Ok(written.parts)
    }

    fn part(
        &mut self,
        part: &Part,
        role: Role,
        turn: &[Part],
        at: &dyn Fn() -> String,
        written: &mut Written,
    ) -> Result<()> {
        let Part { kind, cache, extra } = part;
        if cache.is_some() {
            self.losses.add(format!("{}.cache_control", at()));
        }
        for lost in extra.lost(Wire::Gemini) {
            self.losses.add(format!("{}.{lost}", at()));
        }
        let takes_mark = matches!(kind, PartKind::Text { .. } | PartKind::ToolCall(_));
        let mut members = match kind {
            PartKind::Text { text, citations } => {
                if !citations.is_empty() {
                    self.losses.add(format!("{}.citations", at()));
                }
                member("text", text.as_str())
            }
            PartKind::Refusal(text) => member("text", text.as_str()),
            PartKind::Media(media) => {
                if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
                    self.losses.add(format!("{}.detail", at()));
                }
                if media.name.is_some() && extra.own(Wire::Gemini).is_none() {
                    self.losses.add(format!("{}.filename", at()));
                }
                object_of(media::write(media, at)?)
            }
            PartKind::Reasoning(reasoning) => match thought(reasoning, turn) {
                Thought::Part(members) => members,
                Thought::Mark(mark) => {
                    written.mark(mark);
                    return Ok(());
                }
                Thought::OfCall => return Ok(()),
                Thought::NotOurs => {
                    self.losses.add(format!("{}.reasoning", at()));
                    return Ok(());
                }
            },
            PartKind::ToolCall(call) => {
                self.called.push((call.id.clone(), call.name.clone()));
                write_call(call, mark_of(call, turn))
            }
            PartKind::ToolResult(result) => self.result(result, at)?,
            PartKind::Foreign(Wire::Gemini, value) => object_of(value.clone()),
            PartKind::Foreign(..) if role == Role::Assistant => {
                self.losses.add(at());
                return Ok(());
            }
            PartKind::Foreign(..) => {
                return Err(Losses::refuse(at(), "This kind of content cannot be given to a Gemini model."));
            }
        };
        if let Some(own) = extra.own(Wire::Gemini) {
            merge(&mut members, own);
        }
        written.push(members, takes_mark);
        Ok(())
    }

    fn result(&mut self, result: &ToolResult, at: &dyn Fn() -> String) -> Result<Map<String, Value>> {
        let ToolResult { call_id, name, parts, is_error } = result;
        let called = || self.called.iter().rev().find(|(id, _)| id == call_id).map(|(_, name)| name);
        let Some(name) = name.as_ref().or_else(called) else {
            return Err(Error::invalid(at(), "This result answers no call that stands before it."));
        };
        let mut response = Map::new();
        if !is_made(call_id) {
            response.insert("id".to_owned(), call_id.as_str().into());
        }
        response.insert("name".to_owned(), name.as_str().into());
        let (mut said, mut media) = (None::<String>, Vec::new());
        for (number, part) in parts.iter().enumerate() {
            if part.cache.is_some() {
                self.losses.add(format!("{}.content[{number}].cache_control", at()));
            }
            match &part.kind {
                PartKind::Text { text, .. } | PartKind::Refusal(text) => match &mut said {
                    Some(said) => {
                        said.push('\n');
                        said.push_str(text);
                    }
                    None => said = Some(text.clone()),
                },
                PartKind::Media(given) => {
                    let mut part_of = object_of(media::write(given, at)?);
                    if let Some(own) = part.extra.own(Wire::Gemini) {
                        merge(&mut part_of, own);
                    }
                    media.push(Value::Object(part_of));
                }
                PartKind::Reasoning(_) | PartKind::ToolCall(_) | PartKind::ToolResult(_) | PartKind::Foreign(..) => {
                    let at = format!("{}.content[{number}]", at());
                    return Err(Losses::refuse(at, "This cannot stand in the result of a tool."));
                }
            }
        }
        response.insert("response".to_owned(), write_said(said.unwrap_or_default(), *is_error));
        if !media.is_empty() {
            response.insert("parts".to_owned(), media.into());
        }
        Ok(member("functionResponse", response))
    }

    /// Results without ids are told apart by their order alone: that of the calls.
    fn sort(&self, results: &[Part], written: &mut Vec<Value>) {
        let id = |part: &Part| match &part.kind {
            PartKind::ToolResult(result) => result.call_id.clone(),
            _ => String::new(),
        };
        let ids: Vec<String> = results.iter().map(id).collect();
        if ids.len() != written.len() || !ids.iter().all(|id| is_made(id)) {
            return;
        }
        let place = |id: &String| self.called.iter().rposition(|(called, _)| called == id).unwrap_or(usize::MAX);
        let mut order: Vec<(usize, Value)> = ids.iter().map(place).zip(std::mem::take(written)).collect();
        order.sort_by_key(|(place, _)| *place);
        *written = order.into_iter().map(|(_, result)| result).collect();
    }
}

fn member(name: &str, value: impl Into<Value>) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert(name.to_owned(), value.into());
    members
}

fn object_of(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => member("text", other.to_string()),
    }
}

enum Thought<'t> {
    Part(Map<String, Value>),
    Mark(&'t str),
    OfCall,
    NotOurs,
}

/// Reasoning goes back to the family that made it and to no other.
fn thought<'t>(reasoning: &'t Reasoning, turn: &[Part]) -> Thought<'t> {
    let Reasoning { text, summary, signature, encrypted, id, format } = reasoning;
    if *format != Some(ReasoningFormat::Gemini) {
        return Thought::NotOurs;
    }
    let said = text.clone().or_else(|| (!summary.is_empty()).then(|| summary.join("\n\n")));
    if let Some(said) = said {
        let mut members = member("text", said);
        members.insert("thought".to_owned(), true.into());
        if let Some(mark) = signature.as_ref().or(encrypted.as_ref()) {
            members.insert("thoughtSignature".to_owned(), mark.as_str().into());
        }
        return Thought::Part(members);
    }
    let of_call = |part: &Part| matches!(&part.kind, PartKind::ToolCall(call) if Some(&call.id) == id.as_ref());
    match encrypted.as_ref().or(signature.as_ref()) {
        Some(_) if turn.iter().any(of_call) => Thought::OfCall,
        Some(mark) => Thought::Mark(mark),
        None => Thought::OfCall,
    }
}

/// The mark on a call: its own, or one that came back as reasoning under the call's id.
fn mark_of<'t>(call: &'t ToolCall, turn: &'t [Part]) -> Option<&'t str> {
    let by_id = |part: &'t Part| match &part.kind {
        PartKind::Reasoning(Reasoning {
            encrypted: Some(mark),
            id: Some(id),
            text: None,
            format: Some(ReasoningFormat::Gemini),
            ..
        }) if *id == call.id => Some(mark.as_str()),
        _ => None,
    };
    call.signature.as_deref().or_else(|| turn.iter().find_map(by_id))
}

/// A call as a part.
pub(super) fn write_call(call: &ToolCall, mark: Option<&str>) -> Map<String, Value> {
    let mut written = Map::new();
    if !is_made(&call.id) && !call.id.is_empty() {
        written.insert("id".to_owned(), call.id.as_str().into());
    }
    written.insert("name".to_owned(), call.name.as_str().into());
    written.insert("args".to_owned(), write_arguments(&call.arguments, call.custom));
    let mut part = member("functionCall", written);
    if let Some(mark) = mark {
        part.insert("thoughtSignature".to_owned(), mark.into());
    }
    part
}

/// Arguments as the object that Gemini's format wants. What is none (the free text of a custom tool, JSON
/// that the model broke) is kept whole, as its only member.
fn write_arguments(arguments: &str, custom: bool) -> Value {
    match object(arguments).filter(|_| !custom) {
        Some(members) => Value::Object(members),
        None if matches!(arguments.trim(), "" | "null") => json!({}),
        None => json!({ "input": arguments }),
    }
}

/// Gemini 3 refuses calls without a mark; that on the first of a turn is enough.
fn stand_in(parts: &mut [Value]) {
    let first = parts.iter_mut().filter_map(Value::as_object_mut).find(|part| part.contains_key("functionCall"));
    if let Some(part) = first {
        part.entry("thoughtSignature").or_insert_with(|| STAND_IN.into());
    }
}
