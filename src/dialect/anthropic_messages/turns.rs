//! The conversation, written: the system prompt apart, turns of one role after another as one message,
//! and the results of all parallel calls at the head of the one message after them, where the vendor
//! looks for them.

use serde_json::{Map, Value};

use super::{WIRE, fields::object, part, part::Cx};
use crate::{
    chat::{Losses, PartKind, Request, Role, Turn},
    error::Result,
};

/// A conversation in this format.
#[derive(Debug, Default)]
pub struct Conversation {
    /// Blocks of the system prompt.
    pub system: Vec<Value>,
    /// The messages.
    pub messages: Vec<Message>,
}

/// A message.
#[derive(Debug)]
pub struct Message {
    role: &'static str,
    blocks: Vec<Value>,
    extra: Map<String, Value>,
}

/// Writes the turns.
pub fn encode(request: &Request, cx: &mut Cx<'_>) -> Result<Conversation> {
    let mut out = Conversation::default();
    for (index, turn) in request.turns.iter().enumerate() {
        let at = format!("messages[{index}]");
        if turn.name.is_some() {
            cx.losses.add(format!("{at}.name"));
        }
        let mut blocks = Vec::with_capacity(turn.parts.len());
        for (index, part) in turn.parts.iter().enumerate() {
            let at = format!("{at}.content[{index}]");
            blocks.extend(part::encode(part, turn.role == Role::Assistant, cx, &at)?);
        }
        let mut extra = Map::new();
        cx.extend(&mut extra, &turn.extra, &at);
        match turn.role {
            Role::User => out.say("user", blocks, extra),
            Role::Assistant => out.say("assistant", blocks, extra),
            Role::System | Role::Developer if stays(turn, &out, cx) => out.say("system", blocks, extra),
            Role::System | Role::Developer => out.instruct(blocks, &extra, &at, cx)?,
        }
    }
    if out.messages.is_empty() && !out.system.is_empty() {
        // The vendor answers messages only, and some clients put all they say into the system prompt.
        cx.losses.add("messages[0].role");
        let blocks = std::mem::take(&mut out.system);
        out.say("user", blocks, Map::new());
    }
    out.results_first();
    Ok(out)
}

/// Whether a system turn keeps its place among the messages: where the model takes it there, and where
/// only there it has a meaning (it adds tools).
fn stays(turn: &Turn, before: &Conversation, cx: &Cx<'_>) -> bool {
    let own = |kind: &PartKind| matches!(kind, PartKind::Foreign(WIRE, _));
    !before.messages.is_empty() && cx.has("system_turns") || turn.parts.iter().any(|part| own(&part.kind))
}

impl Conversation {
    fn say(&mut self, role: &'static str, blocks: Vec<Value>, extra: Map<String, Value>) {
        match self.messages.last_mut() {
            _ if blocks.is_empty() => {}
            Some(last) if last.role == role && role != "system" => {
                last.blocks.extend(blocks);
                last.extra.extend(extra);
            }
            _ => self.messages.push(Message { role, blocks, extra }),
        }
    }

    fn instruct(&mut self, blocks: Vec<Value>, extra: &Map<String, Value>, at: &str, cx: &mut Cx<'_>) -> Result<()> {
        for (index, block) in blocks.iter().enumerate() {
            if kind(block) != "text" {
                let at = format!("{at}.content[{index}]");
                return Err(Losses::refuse(at, "This provider takes text only in system messages."));
            }
        }
        for key in extra.keys() {
            cx.losses.add(format!("{at}.{key}"));
        }
        self.system.extend(blocks);
        Ok(())
    }

    fn results_first(&mut self) {
        let mut called = false;
        for message in &mut self.messages {
            if called && message.role == "user" {
                // A stable sort: results stay in their order, and so does all else.
                message.blocks.sort_by_key(|block| kind(block) != "tool_result");
            }
            called = message.role == "assistant";
        }
    }

    /// Whether results are given for a turn of the model's that does not begin with its thoughts.
    pub fn is_thoughtless(&self) -> bool {
        let mut backwards = self.messages.iter().rev().skip_while(|message| message.role == "system");
        let results = backwards.next().is_some_and(|last| last.blocks.iter().any(|block| kind(block) == "tool_result"));
        let begins = |message: &Message| message.blocks.first().map(kind).unwrap_or_default().ends_with("thinking");
        results && backwards.next().is_some_and(|message| !begins(message))
    }

    /// Marks the last block that can be marked, as a mark of the whole request does.
    pub fn mark_last(&mut self, mark: Value) {
        let blocks = self.messages.iter_mut().rev().flat_map(|message| message.blocks.iter_mut().rev());
        let mut markable = blocks.filter(|block| !kind(block).ends_with("thinking")).filter_map(Value::as_object_mut);
        if let Some(block) = markable.next() {
            block.entry("cache_control").or_insert(mark);
        }
    }

    /// `system` and `messages`.
    pub fn write(self, body: &mut Map<String, Value>) {
        if !self.system.is_empty() {
            body.insert("system".to_owned(), content(self.system));
        }
        let messages: Vec<Value> = self.messages.into_iter().map(Message::write).collect();
        body.insert("messages".to_owned(), messages.into());
    }
}

impl Message {
    fn write(self) -> Value {
        let mut message = object([("role", Some(self.role.into())), ("content", Some(content(self.blocks)))]);
        message.extend(self.extra);
        Value::Object(message)
    }
}

fn kind(block: &Value) -> &str {
    block.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// One block of nothing but text is text.
fn content(mut blocks: Vec<Value>) -> Value {
    if let [Value::Object(block)] = blocks.as_mut_slice()
        && block.len() == 2
        && block.get("type").is_some_and(|kind| kind == "text")
        && let Some(text @ Value::String(_)) = block.get_mut("text")
    {
        return text.take();
    }
    Value::Array(blocks)
}
