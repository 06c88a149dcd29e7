//! What a conversation is made of, read: `contents[]` and their `parts[]`, of requests and answers.
//!
//! A part's mark (`thoughtSignature`) on text or a medium becomes a part of its own after it: reasoning
//! that only Gemini can read. So it survives in formats that hand such reasoning back, and finds its
//! place again when the turn is written for Gemini.

use std::collections::VecDeque;

use serde_json::{Map, Value};

use super::{
    media::{self, nested},
    signature,
    wire::{At, flag, list, members, text},
};
use crate::{
    chat::{Extra, Part, PartKind, Reasoning, ReasoningFormat, Role, ToolCall, ToolResult, Turn, Wire},
    error::{Error, Result},
};

/// Names calls and finds the call that a result answers. Gemini leaves ids out as a rule: results come
/// under the function's name, in the order of the calls.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Stands in the ids that are made, so that those of two answers differ: later in the conversation
    /// they stand side by side, and some formats want them all different.
    answer: String,
    made: usize,
    open: VecDeque<(String, String)>,
}

/// Longest part of an answer's id in the id of a call: OpenAI takes 40 characters in all.
const LONGEST_ANSWER_ID: usize = 28;

impl Calls {
    /// Calls of one answer.
    pub(super) fn of_answer(id: Option<&str>) -> Self {
        let fit = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let answer = id.filter(|id| id.chars().all(fit)).unwrap_or_default();
        Self { answer: answer.chars().take(LONGEST_ANSWER_ID).collect(), ..Self::default() }
    }

    /// An id for a call that has none.
    pub(super) fn make(&mut self) -> String {
        let number = self.made;
        self.made += 1;
        if self.answer.is_empty() { format!("call_{number}") } else { format!("call_{}_{number}", self.answer) }
    }

    fn called(&mut self, id: Option<String>, name: &str) -> String {
        let id = id.unwrap_or_else(|| self.make());
        self.open.push_back((name.to_owned(), id.clone()));
        id
    }

    fn answered(&mut self, id: Option<String>, name: &str) -> String {
        let found = self.open.iter().position(|(its_name, its_id)| match &id {
            Some(id) => id == its_id,
            None => name == its_name,
        });
        match found.and_then(|index| self.open.remove(index)) {
            Some((_, id)) => id,
            None => id.unwrap_or_else(|| self.make()),
        }
    }
}

/// Whether [`Calls`] made this id: Gemini does not know it, and is not told.
pub(super) fn is_made(id: &str) -> bool {
    let number = id.strip_prefix("call_").map(|rest| rest.rsplit_once('_').map_or(rest, |(_, number)| number));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Reads `contents`.
pub(super) fn read_contents(value: Value, at: &At<'_>, turns: &mut Vec<Turn>) -> Result<()> {
    let mut calls = Calls::default();
    for (index, content) in list(value).into_iter().enumerate() {
        turns.push(read_content(content, &at.item(index), &mut calls)?);
    }
    Ok(())
}

fn read_content(value: Value, at: &At<'_>, calls: &mut Calls) -> Result<Turn> {
    let (mut role, mut parts, mut extra) = (Role::User, Vec::new(), Map::new());
    for (name, value) in members(value, at)? {
        match name.as_str() {
            "role" => role = read_role(value, &at.key("role"))?,
            "parts" => read_parts(value, &at.key("parts"), calls, &mut parts)?,
            _ => {
                extra.insert(name, value);
            }
        }
    }
    Ok(Turn { extra: Extra::of(Wire::Gemini, extra), ..Turn::new(role, parts) })
}

/// `function` is what results of tools stood under when Gemini was new.
fn read_role(value: Value, at: &At<'_>) -> Result<Role> {
    match text(value, at)?.as_str() {
        "user" | "function" | "" => Ok(Role::User),
        "model" => Ok(Role::Assistant),
        "system" => Ok(Role::System),
        _ => Err(at.invalid("`user` or `model`")),
    }
}

/// Reads `systemInstruction`: its role says nothing. SDKs send a string, too.
pub(super) fn read_system(value: Value, at: &At<'_>) -> Result<Turn> {
    if let Value::String(text) = value {
        return Ok(Turn::new(Role::System, vec![Part::text(text)]));
    }
    let mut content = members(value, at)?;
    content.shift_remove("role");
    Ok(Turn { role: Role::System, ..read_content(Value::Object(content), at, &mut Calls::default())? })
}

fn read_parts(value: Value, at: &At<'_>, calls: &mut Calls, parts: &mut Vec<Part>) -> Result<()> {
    for (index, part) in list(value).into_iter().enumerate() {
        read_part(part, &at.item(index), calls, parts)?;
    }
    Ok(())
}

/// Reads one part; a mark on it becomes another.
pub(super) fn read_part(value: Value, at: &At<'_>, calls: &mut Calls, parts: &mut Vec<Part>) -> Result<()> {
    let part = members(value, at)?;
    let thought = part.get("thought").map(|thought| flag(thought, &at.key("thought"))).transpose()? == Some(true);
    let known = |name: &str| matches!(name, "text" | "inlineData" | "fileData" | "functionCall" | "functionResponse");
    let bare = part.keys().all(|name| matches!(name.as_str(), "thought" | "thoughtSignature"));
    let plain = part.keys().filter(|name| known(name)).count() == 1 && (!thought || part.contains_key("text"));
    if !(plain || bare && part.contains_key("thoughtSignature")) {
        // Of Google's own tools, a thought that is a picture, or of a kind that is new.
        parts.push(Part::new(PartKind::Foreign(Wire::Gemini, Value::Object(part))));
        return Ok(());
    }
    let (mut read, mut mark, mut extra) = (None, None, Map::new());
    for (name, value) in part {
        match name.as_str() {
            "thought" => {}
            "thoughtSignature" => mark = Some(text(value, &at.key("thoughtSignature"))?),
            "text" => read = Some(Part::text(text(value, &at.key("text"))?)),
            "inlineData" | "fileData" => read = Some(media::read(&name, value, at)?),
            "functionCall" => read = Some(read_call(value, &at.key("functionCall"), calls)?),
            "functionResponse" => read = Some(read_result(value, &at.key("functionResponse"), calls)?),
            _ => {
                extra.insert(name, value);
            }
        }
    }
    let Some(mut part) = read else {
        parts.extend(mark.map(marked));
        return Ok(());
    };
    if !extra.is_empty() {
        extra.extend(std::mem::take(&mut part.extra.members));
        part.extra = Extra::of(Wire::Gemini, extra);
    }
    match &mut part.kind {
        PartKind::Text { text, .. } if thought => {
            part.kind = PartKind::Reasoning(read_thought(std::mem::take(text), mark));
            parts.push(part);
        }
        PartKind::ToolCall(call) => {
            call.signature = mark;
            parts.push(part);
        }
        _ => {
            parts.push(part);
            parts.extend(mark.map(marked));
        }
    }
    Ok(())
}

/// Gemini's mark on what is not a thought: reasoning that it alone can read.
pub(super) fn marked(mark: String) -> Part {
    let reasoning = Reasoning { encrypted: Some(mark), format: Some(ReasoningFormat::Gemini), ..Reasoning::default() };
    Part::new(PartKind::Reasoning(reasoning))
}

/// A thought of Gemini's, or of another family under its wrapped mark.
fn read_thought(text: String, mark: Option<String>) -> Reasoning {
    match mark.as_deref().and_then(signature::unwrap) {
        Some(reasoning) if text.is_empty() => reasoning,
        Some(reasoning) => Reasoning { text: Some(text), ..reasoning },
        None => Reasoning {
            text: Some(text),
            signature: mark,
            format: Some(ReasoningFormat::Gemini),
            ..Reasoning::default()
        },
    }
}

fn read_call(value: Value, at: &At<'_>, calls: &mut Calls) -> Result<Part> {
    let (mut id, mut name, mut arguments, mut extra) = (None, None, None, Map::new());
    for (member, value) in members(value, at)? {
        match member.as_str() {
            "id" => id = Some(text(value, &at.key("id"))?).filter(|id| !id.is_empty()),
            "name" => name = Some(text(value, &at.key("name"))?),
            "args" => arguments = Some(value),
            _ => {
                extra.insert(member, value);
            }
        }
    }
    let name = name.ok_or_else(|| at.key("name").invalid("given"))?;
    let arguments = match arguments {
        None => "{}".to_owned(),
        Some(arguments @ Value::Object(_)) => arguments.to_string(),
        Some(_) => return Err(at.key("args").invalid("an object")),
    };
    let call = ToolCall { id: calls.called(id, &name), name, arguments, signature: None, custom: false };
    Ok(Part { extra: nested("functionCall", extra), ..Part::new(PartKind::ToolCall(call)) })
}

fn read_result(value: Value, at: &At<'_>, calls: &mut Calls) -> Result<Part> {
    let (mut id, mut name, mut response, mut extra) = (None, None, None, Map::new());
    let mut media = Vec::new();
    for (member, value) in members(value, at)? {
        match member.as_str() {
            "id" => id = Some(text(value, &at.key("id"))?).filter(|id| !id.is_empty()),
            "name" => name = Some(text(value, &at.key("name"))?),
            "response" => response = Some(members_as_they_are(value, &at.key("response"))?),
            "parts" => read_parts(value, &at.key("parts"), &mut Calls::default(), &mut media)?,
            _ => {
                extra.insert(member, value);
            }
        }
    }
    let name = name.ok_or_else(|| at.key("name").invalid("given"))?;
    let (text, is_error) = said(response.unwrap_or_default());
    let mut parts = vec![Part::text(text)];
    parts.append(&mut media);
    let result = ToolResult { call_id: calls.answered(id, &name), name: Some(name), parts, is_error };
    Ok(Part { extra: nested("functionResponse", extra), ..Part::new(PartKind::ToolResult(result)) })
}

fn members_as_they_are(value: Value, at: &At<'_>) -> Result<Map<String, Value>, Error> {
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(at.invalid("an object")),
    }
}

/// What a tool said. `output` and `error` are the members that Google names for it; anything else is
/// passed on whole, as JSON. [`write_said`] is the way back.
fn said(mut response: Map<String, Value>) -> (String, bool) {
    let is_error = response.contains_key("error");
    if response.len() == 1 {
        for name in ["output", "error"] {
            if let Some(Value::String(text)) = response.get_mut(name)
                && object(text).is_none()
            {
                return (std::mem::take(text), is_error);
            }
        }
    }
    (Value::Object(response).to_string(), is_error)
}

/// What a tool said as the object that Gemini wants: an object as it is, anything else as `output` or
/// `error`.
pub(super) fn write_said(text: String, is_error: bool) -> Value {
    match object(&text) {
        Some(said) if !is_error || said.contains_key("error") => Value::Object(said),
        _ => {
            let mut said = Map::new();
            said.insert(if is_error { "error" } else { "output" }.to_owned(), text.into());
            Value::Object(said)
        }
    }
}

/// The members of JSON text that is an object.
pub(super) fn object(text: &str) -> Option<Map<String, Value>> {
    if text.trim_start().starts_with('{') { serde_json::from_str(text).ok() } else { None }
}
