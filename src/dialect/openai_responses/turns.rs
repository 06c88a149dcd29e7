//! Turns of a conversation, written as items.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    WIRE, content, is_own,
    items::{is_said, own_members},
    object::{Members, merge},
    output,
};
use crate::{
    chat::{Losses, Part, PartKind, Reasoning, ReasoningFormat, Role, ToolCall, ToolResult, Turn},
    error::Result,
};

/// Writes turns as items.
pub(super) struct Writer<'w> {
    /// What has been written.
    pub items: Vec<Value>,
    /// What could not be.
    pub losses: &'w mut Losses,
    custom: BTreeSet<String>,
    anybodys: bool,
}

impl<'w> Writer<'w> {
    /// `anybodys`: the provider takes back thoughts of every maker's, and knows what to do with them.
    pub(super) fn new(losses: &'w mut Losses, anybodys: bool) -> Self {
        Self { items: Vec::new(), losses, custom: BTreeSet::new(), anybodys }
    }

    /// Writes a turn that stands at `at`.
    pub(super) fn turn(&mut self, turn: &Turn, at: &str) -> Result<()> {
        let Turn { role, parts, name, extra } = turn;
        if name.is_some() {
            self.losses.add(format!("{at}.name"));
        }
        let mut members = extra.own(WIRE).cloned().unwrap_or_default();
        extra.lost(WIRE).for_each(|key| self.losses.add(format!("{at}.{key}")));
        let mut said: Vec<Value> = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let at = format!("{at}.content[{index}]");
            if *role == Role::Assistant {
                if !is_said(&part.kind) || part.extra.members.contains_key("message") && is_own(&part.extra) {
                    self.message(*role, &mut said, &mut members);
                }
                if is_said(&part.kind) {
                    members.extend(own_members(&part.extra, "message").cloned().unwrap_or_default());
                    said.push(self.words(part, &at));
                } else {
                    self.item(part, &at)?;
                }
            } else if stands_alone(part) {
                self.message(*role, &mut said, &mut members);
                self.item(part, &at)?;
            } else {
                said.push(content::write_input(part, &at, self.losses)?);
            }
        }
        if parts.is_empty() {
            said.push(json!({"type": if *role == Role::Assistant { "output_text" } else { "input_text" }, "text": ""}));
        }
        self.message(*role, &mut said, &mut members);
        Ok(())
    }

    /// Writes what has been said so far as a message: as a string, where it is nothing but words.
    fn message(&mut self, role: Role, said: &mut Vec<Value>, members: &mut Members) {
        if said.is_empty() {
            return;
        }
        let (mut content, mut members) = (std::mem::take(said), std::mem::take(members));
        let plain = match content.as_mut_slice() {
            [Value::Object(part)] if members.is_empty() && part.len() == 2 => part.get_mut("text").map(Value::take),
            _ => None,
        };
        let mut item = Members::new();
        if !members.is_empty() {
            item.insert("type".to_owned(), "message".into());
            members.entry("status").or_insert_with(|| "completed".into());
        }
        item.insert("role".to_owned(), role_word(role).into());
        item.insert("content".to_owned(), plain.unwrap_or(Value::Array(content)));
        if role != Role::Assistant {
            members.shift_remove("status");
        }
        merge(&mut item, &members);
        self.items.push(Value::Object(item));
    }

    /// Words of the model's, in its message.
    fn words(&mut self, part: &Part, at: &str) -> Value {
        let mut value = match &part.kind {
            PartKind::Refusal(text) => json!({"type": "refusal", "refusal": text}),
            PartKind::Text { text, citations } => {
                let mut value = json!({"type": "output_text", "text": text});
                let annotations: Vec<Value> =
                    citations.iter().map(|citation| content::write_citation(citation, text.chars().count())).collect();
                if let (false, Some(value)) = (annotations.is_empty(), value.as_object_mut()) {
                    value.insert("annotations".to_owned(), annotations.into());
                }
                value
            }
            _ => Value::Null,
        };
        if part.cache.is_some() {
            self.losses.add("cache_control");
        }
        if let Some(members) = value.as_object_mut() {
            content::finish(members, &part.extra, at, self.losses);
        }
        value
    }

    fn item(&mut self, part: &Part, at: &str) -> Result<()> {
        if part.cache.is_some() {
            self.losses.add("cache_control");
        }
        let mut item = match &part.kind {
            PartKind::ToolCall(call) => self.call(call),
            PartKind::ToolResult(result) => self.result(result, at)?,
            PartKind::Reasoning(reasoning) => {
                let Some(item) = self.reasoning(reasoning, part) else {
                    self.losses.add(format!("{at}.reasoning"));
                    return Ok(());
                };
                item
            }
            PartKind::Foreign(WIRE, value) => output::foreign_item(value).clone(),
            // What another format's provider did by its own tools; what the model said of it stays.
            PartKind::Foreign(..) => {
                self.losses.add(at);
                return Ok(());
            }
            PartKind::Media(_) => {
                return Err(Losses::refuse(
                    at,
                    "OpenAI's Responses format takes images, sounds and files from users and tools only.",
                ));
            }
            PartKind::Text { .. } | PartKind::Refusal(_) => return Ok(()),
        };
        if let Some(members) = item.as_object_mut() {
            content::finish(members, &part.extra, at, self.losses);
        }
        self.items.push(item);
        Ok(())
    }

    fn call(&mut self, call: &ToolCall) -> Value {
        // A signature is Gemini's, and means nothing to those who speak this format.
        let ToolCall { id, name, arguments, signature: _, custom } = call;
        if *custom {
            self.custom.insert(id.clone());
            json!({"type": "custom_tool_call", "call_id": id, "name": name, "input": arguments})
        } else {
            json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments})
        }
    }

    fn result(&mut self, result: &ToolResult, at: &str) -> Result<Value> {
        // The call names the tool.
        let ToolResult { call_id, name: _, parts, is_error } = result;
        if *is_error {
            self.losses.add(format!("{at}.is_error"));
        }
        let mut output = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            output.push(content::write_input(part, &format!("{at}.content[{index}]"), self.losses)?);
        }
        let plain = match output.as_mut_slice() {
            [] => Some("".into()),
            [Value::Object(part)] if part.len() == 2 => part.get_mut("text").map(Value::take),
            _ => None,
        };
        let kind = if self.custom.contains(call_id) { "custom_tool_call_output" } else { "function_call_output" };
        Ok(json!({"type": kind, "call_id": call_id, "output": plain.unwrap_or(Value::Array(output))}))
    }

    /// Thoughts go back to those who can read them: this format's own, and what OpenAI has encrypted.
    fn reasoning(&self, reasoning: &Reasoning, part: &Part) -> Option<Value> {
        use ReasoningFormat::{Anthropic, Gemini, Openai, Unknown, Xai};
        let own = is_own(&part.extra);
        let fits = match reasoning.format {
            None | Some(Unknown) => own || self.anybodys,
            Some(Openai | Xai) => own || self.anybodys || reasoning.encrypted.is_some(),
            Some(Anthropic | Gemini) => self.anybodys,
        };
        fits.then(|| output::thoughts(reasoning, self.anybodys))
    }
}

/// Whether a part of a client's turn is an item of its own.
fn stands_alone(part: &Part) -> bool {
    match &part.kind {
        PartKind::ToolResult(_) => true,
        PartKind::Foreign(wire, _) => *wire == WIRE && !is_own(&part.extra),
        _ => false,
    }
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}
