//! Content blocks as they are read: of requests and of answers.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{WIRE, media};
use crate::{
    chat::{Cache, Citation, Extra, Part, PartKind, Reasoning, ReasoningFormat, ToolCall, ToolResult},
    dialect::fields::{Fields, string, wrong},
    error::Result,
};

/// Reads a list of blocks.
pub(super) fn read_blocks(blocks: Vec<Value>, path: &str) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for (i, block) in blocks.into_iter().enumerate() {
        read_block(block, &format!("{path}[{i}]"), &mut parts)?;
    }
    Ok(parts)
}

fn read_block(block: Value, path: &str, parts: &mut Vec<Part>) -> Result<()> {
    let Value::Object(members) = block else { return Err(wrong(path, "an object")) };
    if members.len() != 1 {
        return Err(wrong(path, "an object with one member"));
    }
    for (name, inner) in members {
        let path = format!("{path}.{name}");
        let part = match name.as_str() {
            "text" => Part::text(string(inner, || path)?),
            "reasoningContent" => reasoning(inner, &path)?,
            "toolUse" => tool_use(inner, &path)?,
            "toolResult" => tool_result(inner, &path)?,
            "citationsContent" => cited(inner, &path)?,
            "cachePoint" => {
                if mark(&inner, parts) {
                    return Ok(());
                }
                Part::new(PartKind::Foreign(WIRE, json!({ name: inner })))
            }
            _ => match media::kind(&name) {
                Some(kind) => media::read(kind, inner, &path)?,
                None => Part::new(PartKind::Foreign(WIRE, json!({ name: inner }))),
            },
        };
        parts.push(part);
    }
    Ok(())
}

/// Marks the part before a cache point; says whether that tells all of it.
fn mark(point: &Value, parts: &mut [Part]) -> bool {
    let (Some(last), Some(cache)) = (parts.last_mut(), cache(point)) else { return false };
    last.cache.is_none() && {
        last.cache = Some(cache);
        true
    }
}

/// What a cache point says, where canonical words can say it.
pub(super) fn cache(point: &Value) -> Option<Cache> {
    let members = point.as_object()?;
    if members.get("type")? != "default" || members.keys().any(|key| key != "type" && key != "ttl") {
        return None;
    }
    match members.get("ttl").map(Value::as_str) {
        None => Some(Cache::Default),
        Some(Some("5m")) => Some(Cache::FiveMinutes),
        Some(Some("1h")) => Some(Cache::Hour),
        Some(_) => None,
    }
}

/// Claude's redacted thoughts: base64 of the text that Anthropic's own format calls `data`.
pub(super) fn redacted(blob: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(blob).ok()?).ok()
}

fn reasoning(value: Value, path: &str) -> Result<Part> {
    let mut fields = Fields::of(value, path)?;
    if let Some(encrypted) = fields.peek("redactedContent").and_then(Value::as_str).and_then(redacted) {
        let format = Some(ReasoningFormat::Anthropic);
        let reasoning = Reasoning { encrypted: Some(encrypted), format, ..Reasoning::default() };
        return Ok(Part::new(PartKind::Reasoning(reasoning)));
    }
    let Some(mut inner) = fields.object("reasoningText")? else {
        return Ok(Part::new(PartKind::Foreign(WIRE, json!({ "reasoningContent": Value::from(fields.rest()) }))));
    };
    let (text, signature) = (inner.text("text")?, inner.text("signature")?);
    fields.keep("reasoningText", inner);
    // Of those that Bedrock offers, Claude alone signs what it thinks.
    let format = signature.is_some().then_some(ReasoningFormat::Anthropic);
    let reasoning = Reasoning { text, signature, format, ..Reasoning::default() };
    Ok(Part { extra: fields.extra(WIRE), ..Part::new(PartKind::Reasoning(reasoning)) })
}

fn tool_use(value: Value, path: &str) -> Result<Part> {
    let mut fields = Fields::of(value, path)?;
    if is_server_tool(&fields) {
        return Ok(Part::new(PartKind::Foreign(WIRE, json!({ "toolUse": Value::from(fields.rest()) }))));
    }
    fields.take("type");
    let call = ToolCall {
        id: fields.need_text("toolUseId")?,
        name: fields.need_text("name")?,
        arguments: fields.take("input").map_or_else(|| "{}".to_owned(), |input| input.to_string()),
        signature: None,
        custom: false,
    };
    Ok(Part { extra: fields.extra(WIRE), ..Part::new(PartKind::ToolCall(call)) })
}

/// Whether the provider runs the tool itself: `type` is `server_tool_use`.
pub(super) fn is_server_tool(fields: &Fields) -> bool {
    fields.peek("type").is_some_and(|kind| kind != "tool_use")
}

fn tool_result(value: Value, path: &str) -> Result<Part> {
    let mut fields = Fields::of(value, path)?;
    // A `type` marks the result of a tool that the provider ran.
    if fields.peek("type").is_some() {
        return Ok(Part::new(PartKind::Foreign(WIRE, json!({ "toolResult": Value::from(fields.rest()) }))));
    }
    let result = ToolResult {
        call_id: fields.need_text("toolUseId")?,
        name: None,
        parts: read_blocks(fields.list("content")?, &fields.at("content"))?,
        is_error: fields.text("status")?.as_deref() == Some("error"),
    };
    Ok(Part { extra: fields.extra(WIRE), ..Part::new(PartKind::ToolResult(result)) })
}

fn cited(value: Value, path: &str) -> Result<Part> {
    let mut fields = Fields::of(value, path)?;
    let plain =
        |piece: &Value| piece.as_object().filter(|piece| piece.len() == 1)?.get("text")?.as_str().map(str::to_owned);
    let pieces = fields.peek("content").and_then(Value::as_array);
    let text: Option<String> = pieces.map_or(Some(String::new()), |pieces| pieces.iter().map(plain).collect());
    let Some(text) = text else {
        return Ok(Part::new(PartKind::Foreign(WIRE, json!({ "citationsContent": Value::from(fields.rest()) }))));
    };
    fields.take("content");
    let citations = fields.list("citations")?.into_iter().map(citation).collect();
    Ok(Part { extra: fields.extra(WIRE), ..Part::new(PartKind::Text { text, citations }) })
}

/// A citation: what others understand of it, and all of it for Bedrock.
pub(super) fn citation(value: Value) -> Citation {
    let text = |at: &str| value.pointer(at).and_then(Value::as_str).map(str::to_owned);
    let source = value.get("sourceContent").and_then(Value::as_array);
    let cited: String = source.into_iter().flatten().filter_map(|piece| piece.get("text")?.as_str()).collect();
    Citation {
        url: text("/location/web/url"),
        title: text("/title"),
        cited: Some(cited).filter(|cited| !cited.is_empty()),
        start: None,
        end: None,
        extra: match value {
            Value::Object(members) => Extra::of(WIRE, members),
            _ => Extra::default(),
        },
    }
}
