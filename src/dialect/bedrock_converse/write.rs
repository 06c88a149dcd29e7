//! Turns and their parts as Bedrock takes them.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{WIRE, media, thinking::Maker};
use crate::{
    chat::{
        Cache, Citation, Extra, Losses, Part, PartKind, Reasoning, ReasoningFormat, Role, ToolCall, ToolResult, Turn,
    },
    dialect::fields::{add, object},
    error::{Error, Result},
    ids::hex,
};

/// A conversation being written.
pub(super) struct Writer {
    maker: Maker,
    pub(super) losses: Losses,
    pub(super) system: Vec<Value>,
    pub(super) messages: Vec<Value>,
    /// Tools that the conversation has calls of.
    pub(super) called: Vec<String>,
    names: Vec<String>,
}

impl Writer {
    pub(super) fn new(maker: Maker) -> Self {
        Self {
            maker,
            losses: Losses::default(),
            system: Vec::new(),
            messages: Vec::new(),
            called: Vec::new(),
            names: Vec::new(),
        }
    }

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
        let mut blocks = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            self.part(part, *role, &format!("{path}.content[{i}]"), &mut blocks)?;
        }
        match role {
            Role::System | Role::Developer => self.system.append(&mut blocks),
            Role::User => self.message("user", blocks, own),
            Role::Assistant => self.message("assistant", blocks, own),
        }
        Ok(())
    }

    /// Roles alternate: what the same one says next belongs to its last message.
    fn message(&mut self, role: &str, blocks: Vec<Value>, own: Option<&Map<String, Value>>) {
        if blocks.is_empty() {
            return;
        }
        match self.messages.last_mut() {
            Some(last) if last["role"] == role => {
                if let Some(content) = last["content"].as_array_mut() {
                    content.extend(blocks);
                }
            }
            _ => self.messages.push(json!({ "role": role, "content": blocks })),
        }
        self.messages.last_mut().into_iter().for_each(|last| add(last, own));
    }

    fn part(&mut self, part: &Part, role: Role, path: &str, out: &mut Vec<Value>) -> Result<()> {
        out.extend(self.block(part, role, path)?);
        // A mark inside of a result stands behind the result.
        let inner = match &part.kind {
            PartKind::ToolResult(result) => result.parts.iter().find_map(|part| part.cache),
            _ => None,
        };
        if let Some(cache) = part.cache.or(inner)
            && !out.is_empty()
        {
            out.extend(self.cache_point(cache, &format!("{path}.cache_control")));
        }
        Ok(())
    }

    /// A part without its mark; nothing where there is nothing to say.
    fn block(&mut self, part: &Part, role: Role, path: &str) -> Result<Option<Value>> {
        let Part { kind, cache: _, extra } = part;
        let own = self.extra(extra, path);
        let block = match kind {
            PartKind::Text { text, citations } => self.text(text, citations, path),
            PartKind::Refusal(text) => self.text(text, &[], path),
            PartKind::Foreign(WIRE, value) => Some(value.clone()),
            PartKind::Foreign(..) if role == Role::Assistant => {
                self.losses.add(path);
                None
            }
            PartKind::Foreign(..) => {
                return Err(Losses::refuse(path, format!("{path} is of a kind that Bedrock does not know.")));
            }
            _ if matches!(role, Role::System | Role::Developer) => {
                return Err(Losses::refuse(path, format!("{path}: a system prompt is text for Bedrock.")));
            }
            PartKind::Media(_) if role == Role::Assistant => {
                return Err(Losses::refuse(path, format!("{path}: Bedrock takes no media from the assistant.")));
            }
            PartKind::Media(media) => Some(media::write(media, path, &mut self.names, &mut self.losses)?),
            PartKind::Reasoning(reasoning) => self.reasoning(reasoning, path),
            PartKind::ToolCall(call) => Some(self.tool_use(call, path)?),
            PartKind::ToolResult(result) => Some(self.tool_result(result, path)?),
        };
        let Some(mut block) = block else { return Ok(None) };
        if let Some(inner) = block.as_object_mut().and_then(|block| block.values_mut().next()) {
            add(inner, own);
        }
        Ok(Some(block))
    }

    /// The mark, for those who take it.
    pub(super) fn cache_point(&mut self, cache: Cache, path: &str) -> Option<Value> {
        if !self.maker.caches() {
            self.losses.add(path);
            return None;
        }
        let ttl = match cache {
            Cache::Default => None,
            Cache::FiveMinutes => Some("5m".into()),
            Cache::Hour => Some("1h".into()),
        };
        Some(json!({ "cachePoint": object([("type", Some("default".into())), ("ttl", ttl)]) }))
    }

    /// Bedrock refuses blank text.
    fn text(&mut self, text: &str, citations: &[Citation], path: &str) -> Option<Value> {
        let own: Vec<Value> = citations.iter().filter_map(|c| c.extra.own(WIRE)).cloned().map(Value::from).collect();
        if own.len() < citations.len() {
            self.losses.add(format!("{path}.citations"));
        }
        if !own.is_empty() {
            return Some(json!({ "citationsContent": { "content": [{ "text": text }], "citations": own } }));
        }
        (!text.trim().is_empty()).then(|| json!({ "text": text }))
    }

    /// Signed and redacted thoughts go back to Claude; nobody else wants theirs back.
    fn reasoning(&mut self, reasoning: &Reasoning, path: &str) -> Option<Value> {
        let Reasoning { text, summary: _, signature, encrypted, id: _, format } = reasoning;
        let returns = self.maker.takes_thoughts() && *format == Some(ReasoningFormat::Anthropic);
        match (encrypted, signature) {
            (Some(data), _) if returns => {
                Some(json!({ "reasoningContent": { "redactedContent": STANDARD.encode(data) } }))
            }
            (None, Some(signature)) if returns => {
                let text = text.as_deref().unwrap_or_default();
                Some(json!({ "reasoningContent": { "reasoningText": { "text": text, "signature": signature } } }))
            }
            _ => {
                self.losses.add(path);
                None
            }
        }
    }

    fn tool_use(&mut self, call: &ToolCall, path: &str) -> Result<Value> {
        let ToolCall { id, name, arguments, signature, custom } = call;
        if *custom {
            return Err(Losses::refuse(path, format!("{path}: tools that take free text do not exist on Bedrock.")));
        }
        // Another maker's mark means nothing here, and is never to be handed on.
        if signature.is_some() {
            self.losses.add(format!("{path}.signature"));
        }
        let text = if arguments.trim().is_empty() { "{}" } else { arguments };
        let input = serde_json::from_str::<Value>(text).ok().filter(Value::is_object).ok_or_else(|| {
            Error::invalid(format!("{path}.arguments"), "The arguments of a call must be a JSON object for Bedrock.")
        })?;
        self.called.push(name.clone());
        Ok(json!({ "toolUse": { "toolUseId": tool_id(id), "name": name, "input": input } }))
    }

    fn tool_result(&mut self, result: &ToolResult, path: &str) -> Result<Value> {
        let ToolResult { call_id, name: _, parts, is_error } = result;
        let mut content = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            content.extend(self.block(part, Role::User, &format!("{path}.content[{i}]"))?);
        }
        let block = object([
            ("toolUseId", Some(tool_id(call_id).into())),
            ("content", Some(content.into())),
            ("status", is_error.then(|| "error".into())),
        ]);
        Ok(json!({ "toolResult": block }))
    }
}

/// An id as Bedrock takes it: at most 64 of `[a-zA-Z0-9_.:-]`. Another one is named by its hash, so that
/// call and result still meet.
fn tool_id(id: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.:-".contains(&b);
    if (1..=64).contains(&id.len()) && id.bytes().all(plain) {
        id.to_owned()
    } else {
        let hash = hex(&Sha256::digest(id));
        format!("call_{}", hash.get(..32).unwrap_or_default())
    }
}
