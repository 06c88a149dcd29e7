//! Turns and their parts as Cohere takes them.

use serde_json::{Map, Value, json};

use super::{PLAN, WIRE};
use crate::{
    chat::{
        Extra, Losses, Media, MediaKind, MediaSource, Part, PartKind, Reasoning, ReasoningFormat, Role, ToolCall,
        ToolResult, Turn,
    },
    dialect::fields::{add, object},
    error::Result,
};

/// A conversation being written.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) losses: Losses,
    pub(super) messages: Vec<Value>,
    /// Texts that the answer is to rest on.
    pub(super) documents: Vec<Value>,
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
        let before = self.messages.len();
        match role {
            Role::System | Role::Developer => self.plain("system", parts, path)?,
            Role::User => self.plain("user", parts, path)?,
            Role::Assistant => self.assistant(parts, path)?,
        }
        if let Some(message) = self.messages.get_mut(before..).and_then(<[Value]>::last_mut) {
            add(message, own);
        }
        Ok(())
    }

    /// Results of tools are messages of their own.
    fn plain(&mut self, role: &str, parts: &[Part], path: &str) -> Result<()> {
        let mut content = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let path = format!("{path}.content[{i}]");
            let PartKind::ToolResult(result) = &part.kind else {
                content.extend(self.item(part, role, &path)?);
                continue;
            };
            self.message(role, &mut content);
            self.marks(part, &path);
            self.tool_result(result, &path)?;
        }
        self.message(role, &mut content);
        Ok(())
    }

    fn message(&mut self, role: &str, content: &mut Vec<Value>) {
        if !content.is_empty() {
            self.messages.push(json!({ "role": role, "content": short(std::mem::take(content)) }));
        }
    }

    /// What a part has beside its kind.
    fn marks<'p>(&mut self, part: &'p Part, path: &str) -> Option<&'p Map<String, Value>> {
        // Cohere caches by itself.
        if part.cache.is_some() {
            self.losses.add(format!("{path}.cache_control"));
        }
        self.extra(&part.extra, path)
    }

    /// A part as an item of content.
    fn item(&mut self, part: &Part, role: &str, path: &str) -> Result<Option<Value>> {
        let own = self.marks(part, path);
        let item = match &part.kind {
            PartKind::Text { text, citations } => {
                if citations.iter().any(|citation| citation.extra.own(WIRE).is_none()) {
                    self.losses.add(format!("{path}.citations"));
                }
                Some(json!({ "type": "text", "text": text }))
            }
            PartKind::Refusal(text) => Some(json!({ "type": "text", "text": text })),
            PartKind::Media(media) => self.media(media, role, path)?,
            PartKind::Foreign(WIRE, value) => Some(value.clone()),
            PartKind::Foreign(..) if role == "assistant" => {
                self.losses.add(path);
                None
            }
            PartKind::Foreign(..) | PartKind::Reasoning(_) | PartKind::ToolCall(_) | PartKind::ToolResult(_) => {
                return Err(Losses::refuse(path, format!("{path} is of a kind that Cohere does not take here.")));
            }
        };
        let Some(mut item) = item else { return Ok(None) };
        add(&mut item, own);
        Ok(Some(item))
    }

    fn media(&mut self, media: &Media, role: &str, path: &str) -> Result<Option<Value>> {
        let Media { kind, mime, source, name, detail, transcript } = media;
        if transcript.is_some() {
            self.losses.add(format!("{path}.transcript"));
        }
        match (kind, source, role) {
            (MediaKind::Image, MediaSource::Url(_) | MediaSource::Base64(_), "user") => {
                if name.is_some() {
                    self.losses.add(format!("{path}.name"));
                }
                let url = match source {
                    MediaSource::Url(url) => url.clone(),
                    MediaSource::Base64(data) => {
                        format!("data:{};base64,{data}", mime.as_deref().unwrap_or("image/png"))
                    }
                    MediaSource::Text(_) | MediaSource::Id(_) => String::new(),
                };
                let image = object([("url", Some(url.into())), ("detail", detail.as_deref().map(Value::from))]);
                Ok(Some(json!({ "type": "image_url", "image_url": image })))
            }
            (MediaKind::Document, MediaSource::Text(text), "user" | "tool") => {
                let title = name.as_deref().map(Value::from);
                let data = object([("title", title), ("text", Some(text.as_str().into()))]);
                if role == "tool" {
                    return Ok(Some(json!({ "type": "document", "document": { "data": data } })));
                }
                self.documents.push(json!({ "data": data }));
                Ok(None)
            }
            _ => Err(Losses::refuse(path, format!("Cohere takes images and plain texts of the user's, not {path}."))),
        }
    }

    fn tool_result(&mut self, result: &ToolResult, path: &str) -> Result<()> {
        let ToolResult { call_id, name: _, parts, is_error } = result;
        let mut content = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            content.extend(self.item(part, "tool", &format!("{path}.content[{i}]"))?);
        }
        if *is_error {
            self.losses.add(format!("{path}.is_error"));
        }
        self.messages.push(json!({ "role": "tool", "tool_call_id": call_id, "content": short(content) }));
        Ok(())
    }

    fn assistant(&mut self, parts: &[Part], path: &str) -> Result<()> {
        let (mut content, mut calls, mut citations) = (Vec::new(), Vec::new(), Vec::new());
        let mut plan: Option<String> = None;
        for (i, part) in parts.iter().enumerate() {
            let path = format!("{path}.content[{i}]");
            match &part.kind {
                PartKind::Reasoning(reasoning) => {
                    self.marks(part, &path);
                    let Some(text) = self.thoughts(reasoning, &path) else { continue };
                    if reasoning.id.as_deref() == Some(PLAN) {
                        plan.get_or_insert_default().push_str(&text);
                    } else {
                        content.push(json!({ "type": "thinking", "thinking": text }));
                    }
                }
                PartKind::ToolCall(call) => {
                    let own = self.marks(part, &path);
                    let mut call = self.tool_call(call, &path)?;
                    add(&mut call, own);
                    calls.push(call);
                }
                _ => {
                    content.extend(self.item(part, "assistant", &path)?);
                    if let PartKind::Text { citations: of, .. } = &part.kind {
                        citations.extend(of.iter().filter_map(|c| c.extra.own(WIRE)).cloned().map(Value::from));
                    }
                }
            }
        }
        let list = |items: Vec<Value>| (!items.is_empty()).then(|| Value::from(items));
        let message = object([
            ("role", Some("assistant".into())),
            ("content", (!content.is_empty()).then(|| short(content))),
            ("tool_plan", plan.map(Value::from)),
            ("tool_calls", list(calls)),
            ("citations", list(citations)),
        ]);
        if message.as_object().is_some_and(|message| message.len() > 1) {
            self.messages.push(message);
        }
        Ok(())
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
            return Err(Losses::refuse(path, format!("{path}: Cohere has no tools that take free text.")));
        }
        if signature.is_some() {
            self.losses.add(format!("{path}.signature"));
        }
        let function = json!({ "name": name, "arguments": arguments });
        Ok(json!({ "id": id, "type": "function", "function": function }))
    }
}

/// One text as a string.
fn short(mut items: Vec<Value>) -> Value {
    if items.is_empty() {
        return "".into();
    }
    if let [Value::Object(item)] = &mut items[..]
        && item.len() == 2
        && item.get("type").is_some_and(|kind| kind == "text")
        && let Some(text) = item.get_mut("text")
    {
        return text.take();
    }
    items.into()
}
