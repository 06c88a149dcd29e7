//! Turns and their parts as Ollama takes them.

use serde_json::{Map, Value, json};

use super::WIRE;
use crate::{
    chat::{
        Extra, Losses, Media, MediaKind, MediaSource, Part, PartKind, Reasoning, ReasoningFormat, Role, ToolCall,
        ToolResult, Turn,
    },
    dialect::fields::{add, object},
    error::{Error, Result},
};

/// A conversation being written.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) losses: Losses,
    pub(super) messages: Vec<Value>,
    /// Ids and tools of the calls so far: results name the tool.
    called: Vec<(String, String)>,
}

/// A message being written.
#[derive(Default)]
struct Message {
    text: Vec<String>,
    images: Vec<Value>,
    thinking: Vec<String>,
    calls: Vec<Value>,
}

impl Message {
    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.images.is_empty() && self.thinking.is_empty() && self.calls.is_empty()
    }

    fn written(self, role: &str, tool: Option<String>) -> Value {
        let list = |items: Vec<Value>| (!items.is_empty()).then(|| Value::from(items));
        object([
            ("role", Some(role.into())),
            ("content", Some(self.text.join("\n").into())),
            ("thinking", (!self.thinking.is_empty()).then(|| self.thinking.join("\n").into())),
            ("images", list(self.images)),
            ("tool_calls", list(self.calls)),
            ("tool_name", tool.map(Value::from)),
        ])
    }
}

impl Writer {
    /// Notes the members of another format, and gives those of this one.
    pub(super) fn extra<'e>(&mut self, extra: &'e Extra, path: &str) -> Option<&'e Map<String, Value>> {
        for name in extra.lost(WIRE) {
            self.losses.add(if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") });
        }
        extra.own(WIRE)
    }

    pub(super) fn turn(&mut self, turn: &Turn, path: &str) -> Result<()> {
        let Turn { role, parts, name, extra } = turn;
        let own = self.extra(extra, path);
        if name.is_some() {
            self.losses.add(format!("{path}.name"));
        }
        let role = match role {
            Role::System | Role::Developer => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        let before = self.messages.len();
        let mut message = Message::default();
        for (i, part) in parts.iter().enumerate() {
            let path = format!("{path}.content[{i}]");
            if let PartKind::ToolResult(result) = &part.kind {
                self.push(role, std::mem::take(&mut message));
                self.marks(part, &path);
                self.tool_result(result, &path)?;
            } else {
                self.part(part, role, &path, &mut message)?;
            }
        }
        self.push(role, message);
        if let Some(last) = self.messages.get_mut(before..).and_then(<[Value]>::last_mut) {
            add(last, own);
        }
        Ok(())
    }

    fn push(&mut self, role: &str, message: Message) {
        if !message.is_empty() {
            self.messages.push(message.written(role, None));
        }
    }

    /// What a part has beside its kind.
    fn marks<'p>(&mut self, part: &'p Part, path: &str) -> Option<&'p Map<String, Value>> {
        // Servers of one's own cache by themselves.
        if part.cache.is_some() {
            self.losses.add(format!("{path}.cache_control"));
        }
        self.extra(&part.extra, path)
    }

    fn part(&mut self, part: &Part, role: &str, path: &str, message: &mut Message) -> Result<()> {
        let own = self.marks(part, path);
        match &part.kind {
            PartKind::Text { text, citations } => {
                if !citations.is_empty() {
                    self.losses.add(format!("{path}.citations"));
                }
                message.text.push(text.clone());
            }
            PartKind::Refusal(text) => message.text.push(text.clone()),
            PartKind::Media(media) => self.media(media, path, message)?,
            PartKind::Reasoning(reasoning) => message.thinking.extend(self.thoughts(reasoning, path)),
            PartKind::ToolCall(call) => {
                let mut call = self.tool_call(call, path)?;
                add(&mut call, own);
                message.calls.push(call);
            }
            PartKind::Foreign(..) if role == "assistant" => self.losses.add(path),
            PartKind::Foreign(..) | PartKind::ToolResult(_) => {
                return Err(Losses::refuse(path, format!("{path} is of a kind that Ollama does not know.")));
            }
        }
        Ok(())
    }

    fn media(&mut self, media: &Media, path: &str, message: &mut Message) -> Result<()> {
        let Media { kind, mime: _, source, name, detail, transcript } = media;
        for (member, lost) in [("detail", detail.is_some()), ("transcript", transcript.is_some())] {
            if lost {
                self.losses.add(format!("{path}.{member}"));
            }
        }
        match (kind, source) {
            (MediaKind::Image, MediaSource::Base64(data)) => {
                if name.is_some() {
                    self.losses.add(format!("{path}.name"));
                }
                message.images.push(data.as_str().into());
                Ok(())
            }
            (MediaKind::Document, MediaSource::Text(text)) => {
                message.text.extend(name.clone());
                message.text.push(text.clone());
                Ok(())
            }
            (MediaKind::Image, MediaSource::Url(_)) => {
                Err(Losses::refuse(path, format!("Ollama takes {path} as base64 only, not by its address.")))
            }
            _ => Err(Losses::refuse(path, format!("Ollama takes images and plain texts, not {path}."))),
        }
    }

    /// Thoughts in plain words; those that are signed or encrypted belong to others.
    fn thoughts(&mut self, reasoning: &Reasoning, path: &str) -> Option<String> {
        let Reasoning { text, summary, signature, encrypted, id: _, format } = reasoning;
        let plain = matches!(format, None | Some(ReasoningFormat::Unknown)) && signature.is_none();
        let words = text.clone().or_else(|| (!summary.is_empty()).then(|| summary.join("\n\n")));
        if !plain || encrypted.is_some() || words.is_none() {
            self.losses.add(path);
        }
        words.filter(|_| plain)
    }

    fn tool_call(&mut self, call: &ToolCall, path: &str) -> Result<Value> {
        let ToolCall { id, name, arguments, signature, custom } = call;
        if *custom {
            return Err(Losses::refuse(path, format!("{path}: Ollama has no tools that take free text.")));
        }
        if signature.is_some() {
            self.losses.add(format!("{path}.signature"));
        }
        let text = if arguments.trim().is_empty() { "{}" } else { arguments };
        let arguments = serde_json::from_str::<Value>(text).ok().filter(Value::is_object).ok_or_else(|| {
            Error::invalid(format!("{path}.arguments"), "The arguments of a call must be a JSON object for Ollama.")
        })?;
        self.called.push((id.clone(), name.clone()));
        Ok(json!({ "type": "function", "function": { "name": name, "arguments": arguments } }))
    }

    fn tool_result(&mut self, result: &ToolResult, path: &str) -> Result<()> {
        let ToolResult { call_id, name, parts, is_error } = result;
        let known = || self.called.iter().rev().find(|(id, _)| id == call_id).map(|(_, tool)| tool.clone());
        let tool = name.clone().or_else(known);
        let mut message = Message::default();
        for (i, part) in parts.iter().enumerate() {
            self.part(part, "tool", &format!("{path}.content[{i}]"), &mut message)?;
        }
        if *is_error {
            self.losses.add(format!("{path}.is_error"));
        }
        self.messages.push(message.written("tool", tool));
        Ok(())
    }
}
