//! Items of a conversation, read: a flat list there, turns here.

use serde_json::{Value, json};

use super::{
    WIRE, content,
    object::{Members, Object},
    seal,
};
use crate::{
    chat::{Extra, Part, PartKind, Reasoning, ReasoningFormat, Role, ToolCall, ToolResult, Turn},
    error::{Error, Result},
};

/// The client's items.
pub(super) fn read_input(input: Value) -> Result<Vec<Turn>> {
    match input {
        Value::String(text) => Ok(vec![Turn::new(Role::User, vec![Part::text(text)])]),
        Value::Array(items) => {
            let mut turns = Vec::new();
            for (index, item) in items.into_iter().enumerate() {
                push(&mut turns, read_item(item, format!("input[{index}]"))?);
            }
            Ok(turns)
        }
        _ => Err(Error::invalid("input", "A string or a list of items is wanted here.")),
    }
}

/// What the model says, out of the items of an answer. Whoever wrote them, they are the answer.
pub(super) fn read_output(items: Vec<Value>) -> Result<Vec<Part>> {
    let mut turns = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        push(
            &mut turns,
            match read_item(item, format!("output[{index}]"))? {
                Item::Said(turn) => Item::Said(Turn { role: Role::Assistant, ..turn }),
                other => other,
            },
        );
    }
    Ok(turns.into_iter().flat_map(|turn| turn.parts).collect())
}

/// What an item is.
enum Item {
    /// Something said.
    Said(Turn),
    /// A result of a custom tool, which looks like any other.
    CustomResult(Part),
    /// Another maker's mark on a call.
    Mark { call: String, signature: String },
}

fn push(turns: &mut Vec<Turn>, item: Item) {
    match item {
        Item::Said(turn) => join(turns, turn),
        Item::Mark { call, signature } => {
            let marked = calls(turns).find(|made| made.id == call);
            if let Some(made) = marked {
                made.signature = Some(signature);
            }
        }
        Item::CustomResult(mut part) => {
            let PartKind::ToolResult(result) = &part.kind else { return };
            // Its call tells what it is; without one in sight it has to say so itself.
            if !calls(turns).any(|call| call.custom && call.id == result.call_id) {
                mark(&mut part, "type", "custom_tool_call_output".into());
            }
            join(turns, Turn::new(Role::User, vec![part]));
        }
    }
}

fn calls(turns: &mut [Turn]) -> impl Iterator<Item = &mut ToolCall> {
    turns.iter_mut().flat_map(|turn| &mut turn.parts).filter_map(|part| match &mut part.kind {
        PartKind::ToolCall(call) => Some(call),
        _ => None,
    })
}

/// Adds a turn; what the model says in several items is one turn, and so are results that come together.
fn join(turns: &mut Vec<Turn>, mut turn: Turn) {
    let is_result = |part: &Part| matches!(part.kind, PartKind::ToolResult(_));
    let belongs = |last: &&mut Turn| {
        last.role == turn.role
            && match turn.role {
                Role::Assistant => true,
                Role::User => last.parts.iter().chain(&turn.parts).all(is_result),
                Role::System | Role::Developer => false,
            }
    };
    let Some(last) = turns.last_mut().filter(belongs) else {
        turns.push(turn);
        return;
    };
    if let (Some(before), Some(first)) = (last.parts.last(), turn.parts.first_mut())
        && is_said(&before.kind)
        && is_said(&first.kind)
        && !first.extra.members.contains_key("message")
    {
        // Another message begins.
        mark(first, "message", json!({}));
    }
    last.parts.append(&mut turn.parts);
}

fn mark(part: &mut Part, key: &str, value: Value) {
    part.extra.wire = Some(WIRE);
    part.extra.members.insert(key.to_owned(), value);
}

/// Words of the model's, which stand in messages.
pub(super) fn is_said(kind: &PartKind) -> bool {
    matches!(kind, PartKind::Text { .. } | PartKind::Refusal(_))
}

fn read_item(value: Value, at: String) -> Result<Item> {
    let foreign = match value.get("type").and_then(Value::as_str) {
        None
        | Some(
            "message"
            | "reasoning"
            | "function_call"
            | "custom_tool_call"
            | "function_call_output"
            | "custom_tool_call_output",
        ) => None,
        Some(kind) if kind.ends_with("_output") || kind.ends_with("_response") => Some(Role::User),
        Some(_) => Some(Role::Assistant),
    };
    if let Some(role) = foreign {
        return Ok(Item::Said(Turn::new(role, vec![Part::new(PartKind::Foreign(WIRE, value))])));
    }
    let mut item = Object::read(value, at)?;
    if item.peek("status") == Some("completed") {
        // As good as nothing said.
        item.take("status");
    }
    let kind = item.text("type")?;
    match kind.as_deref() {
        Some("function_call") => read_call(item, false),
        Some("custom_tool_call") => read_call(item, true),
        Some("function_call_output") => Ok(Item::Said(Turn::new(Role::User, vec![read_result(item)?]))),
        Some("custom_tool_call_output") => Ok(Item::CustomResult(read_result(item)?)),
        Some("reasoning") => read_reasoning(item),
        _ => read_message(item),
    }
}

fn read_message(mut item: Object) -> Result<Item> {
    let role = match item.needed("role")?.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => return Err(item.invalid("role", "The role is none of user, assistant, system and developer.")),
    };
    let content = item.take("content");
    let mut parts = content::read(content, &item.path("content"))?;
    let extra = item.rest_if_any();
    if role != Role::Assistant {
        return Ok(Item::Said(Turn { extra, ..Turn::new(role, parts) }));
    }
    if parts.is_empty() {
        parts.push(Part::text(""));
    }
    if let (Some(first), false) = (parts.first_mut(), extra.members.is_empty()) {
        mark(first, "message", Value::Object(extra.members));
    }
    Ok(Item::Said(Turn::new(role, parts)))
}

fn with_rest(kind: PartKind, item: Object) -> Part {
    Part { extra: item.rest_if_any(), ..Part::new(kind) }
}

fn read_call(mut item: Object, custom: bool) -> Result<Item> {
    let id = match item.text("call_id")?.filter(|id| !id.is_empty()) {
        Some(id) => id,
        None => item.peek("id").ok_or_else(|| item.invalid("call_id", "`call_id` is missing."))?.to_owned(),
    };
    let name = item.needed("name")?;
    let arguments = match item.take(if custom { "input" } else { "arguments" }) {
        None => String::new(),
        Some(Value::String(arguments)) => arguments,
        Some(arguments) => arguments.to_string(),
    };
    let call = PartKind::ToolCall(ToolCall { id, name, arguments, signature: None, custom });
    Ok(Item::Said(Turn::new(Role::Assistant, vec![with_rest(call, item)])))
}

fn read_result(mut item: Object) -> Result<Part> {
    let call_id = item.needed("call_id")?;
    let output = item.take("output");
    let parts = content::read(output, &item.path("output"))?;
    Ok(with_rest(PartKind::ToolResult(ToolResult { call_id, name: None, parts, is_error: false }), item))
}

fn read_reasoning(mut item: Object) -> Result<Item> {
    let texts = |list: &[Value]| -> Vec<String> {
        list.iter().filter_map(|part| part.get("text").and_then(Value::as_str).map(str::to_owned)).collect()
    };
    let summary = item.list("summary")?.map(|list| texts(&list)).unwrap_or_default();
    let content = item.list("content")?.unwrap_or_default();
    let thoughts = texts(&content);
    let text = (!thoughts.is_empty()).then(|| thoughts.concat());
    if content.len() > 1 || content.len() != thoughts.len() {
        // For this format as it came; to others it is one text.
        item.put("content", content);
    }
    let opened = item.text("encrypted_content")?.map(seal::open).unwrap_or_default();
    if let (Some(call), Some(signature)) = (opened.call, &opened.signature) {
        return Ok(Item::Mark { call, signature: signature.clone() });
    }
    let named = item.text("format")?.map(|word| ReasoningFormat::parse(&word));
    let reasoning = Reasoning {
        text,
        summary,
        signature: opened.signature.or(item.text("signature")?),
        encrypted: opened.encrypted,
        id: item.text("id")?,
        format: named.or(opened.format).or(Some(ReasoningFormat::Openai)),
    };
    // The mark of this format: its own items go back as they came, even with nothing in them.
    Ok(Item::Said(Turn::new(
        Role::Assistant,
        vec![Part { extra: item.rest(), ..Part::new(PartKind::Reasoning(reasoning)) }],
    )))
}

/// Members of an item's own, or of its message's.
pub(super) fn own_members<'e>(extra: &'e Extra, key: &str) -> Option<&'e Members> {
    extra.own(WIRE)?.get(key)?.as_object()
}
