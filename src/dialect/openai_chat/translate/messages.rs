//! `messages` of a request, as turns.
//!
//! A `tool` message is a user turn with one result. The functions of before 2023-11 (`function_call` in an
//! assistant's message, the role `function`) become calls and results with ids of the gateway's.
//! A mark for the cache on a whole message is one on its last part.

use serde_json::{Map, Value};

use super::{
    WIRE,
    citations::citations,
    media::medium,
    parts::{read_cache, read_content},
    pieces::{Pieces, google_signature, text_of},
};
use crate::{
    chat::{
        Citation, Collector, Extra, Media, MediaKind, MediaSource, Part, PartKind, Reasoning, ReasoningFormat, Role,
        ToolCall, ToolResult, Turn,
    },
    dialect::openai_common::Members,
    error::{Error, Result},
};

/// The conversation.
pub fn read_messages(messages: Vec<Value>) -> Result<Vec<Turn>> {
    let mut reader = Reader::default();
    messages.into_iter().enumerate().map(|(n, message)| reader.read(message, format!("messages[{n}]"))).collect()
}

#[derive(Default)]
struct Reader {
    /// Calls without an id so far.
    nameless: usize,
    /// Calls of the old form that wait for their result: function and id.
    waiting: Vec<(String, String)>,
}

impl Reader {
    fn read(&mut self, message: Value, path: String) -> Result<Turn> {
        let mut message = Members::new(message, path)?;
        let role = message.string("role")?;
        let role = message.needed("role", role)?;
        let name = message.string("name")?;
        let content = message.take("content");
        let mut parts = read_content(content, &message.at("content"))?;
        let cache = read_cache(&mut message)?;
        let (role, name) = match role.as_str() {
            "system" => (Role::System, name),
            "developer" => (Role::Developer, name),
            "user" => (Role::User, name),
            "assistant" => {
                parts = self.assistant(parts, &mut message)?;
                (Role::Assistant, name)
            }
            "tool" => {
                let id = message.string("tool_call_id")?;
                let call_id = message.needed("tool_call_id", id)?;
                parts = vec![Part::new(PartKind::ToolResult(ToolResult { call_id, name, parts, is_error: false }))];
                (Role::User, None)
            }
            "function" => {
                let call_id = self.answered(name.as_deref().unwrap_or_default());
                parts = vec![Part::new(PartKind::ToolResult(ToolResult { call_id, name, parts, is_error: false }))];
                (Role::User, None)
            }
            _ => {
                let path = message.at("role");
                let known = "system, developer, user, assistant, tool, function";
                return Err(Error::invalid(path.clone(), format!("{path} must be one of {known}.")));
            }
        };
        if let (Some(cache), Some(last)) = (cache, parts.last_mut()) {
            last.cache.get_or_insert(cache);
        }
        Ok(Turn { role, parts, name, extra: Extra::of(WIRE, message.rest()) })
    }

    /// What an assistant's message holds beside its content: thoughts before it, the rest after.
    fn assistant(&mut self, content: Vec<Part>, message: &mut Members) -> Result<Vec<Part>> {
        let mut parts = reasoning(message);
        parts.extend(content);
        if let Some(annotations) = message.take("annotations") {
            let (citations, others) = citations(annotations);
            cite(&mut parts, citations);
            if !others.is_empty() {
                message.put_back("annotations", others.into());
            }
        }
        if let Some(refusal) = message.string("refusal")? {
            parts.push(Part::new(PartKind::Refusal(refusal)));
        }
        for image in message.list("images")?.unwrap_or_default() {
            parts.extend(read_content(Some(Value::Array(vec![image])), &message.at("images"))?);
        }
        if let Some(mut audio) = message.object("audio")? {
            let id = audio.string("id")?;
            let source = MediaSource::Id(audio.needed("id", id)?);
            let transcript = audio.string("transcript")?;
            let media = medium(MediaKind::Audio, None, source);
            parts.push(Part::new(PartKind::Media(Media { transcript, ..media })));
        }
        for (n, call) in message.list("tool_calls")?.unwrap_or_default().into_iter().enumerate() {
            let call = Members::new(call, format!("{}[{n}]", message.at("tool_calls")))?;
            parts.push(self.call(call)?);
        }
        if let Some(mut call) = message.object("function_call")? {
            let name = call.string("name")?;
            let name = call.needed("name", name)?;
            let id = self.next_id();
            self.waiting.push((name.clone(), id.clone()));
            let arguments = call.take("arguments").map(text_of).unwrap_or_default();
            parts.push(Part::new(PartKind::ToolCall(ToolCall { id, name, arguments, signature: None, custom: false })));
        }
        if let Some(signature) = message.get("extra_content").and_then(google_signature).map(str::to_owned) {
            message.take("extra_content");
            message.take("thought_signature");
            sign(&mut parts, signature);
        }
        claim_signatures(&mut parts);
        Ok(parts)
    }

    fn call(&mut self, mut call: Members) -> Result<Part> {
        let word = call.string("type")?;
        call.take("index");
        let custom = word.as_deref() == Some("custom");
        let (inside, input) = if custom { ("custom", "input") } else { ("function", "arguments") };
        let function = call.object(inside)?;
        let mut function = call.needed(inside, function)?;
        let name = function.string("name")?;
        let name = function.needed("name", name)?;
        let arguments = function.take(input).map(text_of).unwrap_or_default();
        let id = call.string("id")?.filter(|id| !id.is_empty()).unwrap_or_else(|| self.next_id());
        let signature = call.get("extra_content").and_then(google_signature).map(str::to_owned);
        if signature.is_some() {
            call.take("extra_content");
        }
        let cache = read_cache(&mut call)?;
        let kind = PartKind::ToolCall(ToolCall { id, name, arguments, signature, custom });
        Ok(Part { kind, cache, extra: Extra::of(WIRE, call.rest()) })
    }

    fn next_id(&mut self) -> String {
        self.nameless += 1;
        format!("call_{}", self.nameless - 1)
    }

    /// The id of the earliest waiting call of that function.
    fn answered(&mut self, function: &str) -> String {
        match self.waiting.iter().position(|(name, _)| name == function) {
            Some(at) => self.waiting.remove(at).1,
            None => format!("call_{function}"),
        }
    }
}

fn cite(parts: &mut [Part], found: Vec<Citation>) {
    let text = parts.iter_mut().rev().find_map(|part| match &mut part.kind {
        PartKind::Text { citations, .. } => Some(citations),
        _ => None,
    });
    if let Some(citations) = text {
        citations.extend(found);
    }
}

/// OpenRouter hands Gemini's mark on a call back as an encrypted thought with the call's id.
fn claim_signatures(parts: &mut Vec<Part>) {
    let mut claimed = Vec::new();
    parts.retain(|part| match &part.kind {
        PartKind::Reasoning(thought) if thought.format == Some(ReasoningFormat::Gemini) => {
            match (&thought.id, &thought.encrypted) {
                (Some(id), Some(data)) if thought.text.is_none() => {
                    claimed.push((id.clone(), data.clone()));
                    false
                }
                _ => true,
            }
        }
        _ => true,
    });
    for (id, data) in claimed {
        let call = parts.iter_mut().find_map(|part| match &mut part.kind {
            PartKind::ToolCall(call) if call.id == id => Some(call),
            _ => None,
        });
        match call {
            Some(call) => call.signature = Some(data),
            None => parts.insert(0, encrypted(Some(id), data, ReasoningFormat::Gemini)),
        }
    }
}

/// What an assistant's message in a request says of its thoughts.
fn reasoning(message: &mut Members) -> Vec<Part> {
    let keys = ["reasoning_details", "reasoning", "reasoning_content"];
    // OpenRouter's setting of the same name is an object and no thought.
    let mut said: Map<String, Value> =
        keys.iter().filter_map(|key| Some(((*key).to_owned(), message.take(key)?))).collect();
    if said.is_empty() {
        return Vec::new();
    }
    let (mut pieces, mut events, mut collector) = (Pieces::default(), Vec::new(), Collector::default());
    pieces.take(0, &mut said, &mut events);
    pieces.end(&mut events);
    for event in events {
        collector.push(event);
    }
    let answer = collector.finish().unwrap_or_default();
    answer.choices.into_iter().flat_map(|choice| choice.parts).collect()
}

/// Encrypted thoughts.
fn encrypted(id: Option<String>, data: String, format: ReasoningFormat) -> Part {
    Part::new(PartKind::Reasoning(Reasoning {
        id,
        encrypted: Some(data),
        format: Some(format),
        ..Reasoning::default()
    }))
}

/// Gemini's mark on a whole message: on its first call, or else a thought of its own.
fn sign(parts: &mut Vec<Part>, signature: String) {
    let call = parts.iter_mut().find_map(|part| match &mut part.kind {
        PartKind::ToolCall(call) => Some(call),
        _ => None,
    });
    match call {
        Some(call) => call.signature = Some(signature),
        None => parts.push(encrypted(None, signature, ReasoningFormat::Gemini)),
    }
}
