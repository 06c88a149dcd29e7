//! Content blocks, one small function a kind: of a request and of an answer in, into a request out.
//! (An answer's blocks out: `response.rs`.)

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::{
    WIRE, citation,
    fields::{Fields, Path, cache_control, object},
    media, reasoning,
};
use crate::{
    chat::{Citation, Extra, Losses, Part, PartKind, ToolCall, ToolResult},
    error::{Error, Result},
};

/// What is the same for a whole translation into this format.
#[derive(Debug, Default)]
pub struct Cx<'t> {
    /// What is not carried.
    pub losses: Losses,
    /// Named quirks of the provider.
    pub quirks: &'t [String],
    /// Those of the model.
    pub model_quirks: &'static [&'static str],
    /// Images and documents must be given as bytes.
    pub bytes_only: bool,
}

impl Cx<'_> {
    /// Whether the provider or the model has this quirk.
    pub fn has(&self, quirk: &str) -> bool {
        self.quirks.iter().any(|known| known == quirk) || self.model_quirks.contains(&quirk)
    }

    /// Adds members that only this format knows; those of other formats are lost.
    pub fn extend(&mut self, members: &mut Map<String, Value>, extra: &Extra, at: &str) {
        for lost in extra.lost(WIRE) {
            self.losses.add(if at.is_empty() { lost.to_owned() } else { format!("{at}.{lost}") });
        }
        for (key, value) in extra.own(WIRE).into_iter().flatten() {
            match (members.get_mut(key), value) {
                // Part of the object was understood, the rest of it not. With its type, it is all of it.
                (Some(Value::Object(known)), Value::Object(more)) if !more.contains_key("type") => {
                    known.extend(more.clone());
                }
                _ => drop(members.insert(key.clone(), value.clone())),
            }
        }
    }
}

/// Reads content: text, or a list of blocks.
pub fn decode_content(content: Value, path: &Path<'_>) -> Result<Vec<Part>> {
    match content {
        Value::String(text) => Ok(vec![Part::text(text)]),
        Value::Array(blocks) => {
            blocks.into_iter().enumerate().map(|(at, block)| decode(block, &Path::Item(path, at))).collect()
        }
        other => Err(path.must_be("a string or an array of content blocks", &other)),
    }
}

/// Reads a block.
pub fn decode(block: Value, path: &Path<'_>) -> Result<Part> {
    let mut fields = Fields::of(block, path)?;
    let Some(name) = fields.kind().map(str::to_owned) else { return Err(fields.at("type").missing()) };
    let kind = match name.as_str() {
        "text" => Some(text(&mut fields)?),
        "image" => media::decode_image(&mut fields)?,
        "document" => media::decode_document(&mut fields)?,
        "search_result" => {
            let kind = media::decode_search_result(&mut fields)?;
            if let Some(kind) = kind {
                let cache = fields.cache();
                return Ok(Part { kind, cache, extra: fields.rest() });
            }
            None
        }
        "thinking" => Some(reasoning::decode_thinking(&mut fields)?),
        "redacted_thinking" => Some(reasoning::decode_redacted(&mut fields)?),
        "tool_use" => Some(tool_call(&mut fields)?),
        "tool_result" => Some(tool_result(&mut fields)?),
        _ => None,
    };
    let Some(kind) = kind else {
        return Ok(Part::new(PartKind::Foreign(WIRE, Value::Object(fields.members))));
    };
    fields.members.remove("type");
    let cache = fields.cache();
    Ok(Part { kind, cache, extra: fields.rest() })
}

fn text(fields: &mut Fields<'_>) -> Result<PartKind> {
    let text = fields.needed("text")?;
    let citations = fields.array("citations")?.unwrap_or_default();
    Ok(PartKind::Text { text, citations: citations.into_iter().map(citation::decode).collect() })
}

fn tool_call(fields: &mut Fields<'_>) -> Result<PartKind> {
    let (id, name) = (fields.needed("id")?, fields.needed("name")?);
    let input = fields.take("input").unwrap_or_else(|| json!({}));
    // Who called is told only where it was not the model itself, but a program of its making.
    if fields.members.get("caller").is_some_and(|caller| caller.get("type").is_some_and(|kind| kind == "direct")) {
        fields.members.remove("caller");
    }
    Ok(PartKind::ToolCall(ToolCall { id, name, arguments: input.to_string(), signature: None, custom: false }))
}

fn tool_result(fields: &mut Fields<'_>) -> Result<PartKind> {
    let call_id = fields.needed("tool_use_id")?;
    let is_error = fields.bool("is_error")?.unwrap_or(false);
    let parts = match fields.take("content") {
        None => Vec::new(),
        Some(content) => decode_content(content, &fields.at("content"))?,
    };
    Ok(PartKind::ToolResult(ToolResult { call_id, name: None, parts, is_error }))
}

/// Writes a part; `None` where nothing of it is left. `assistant`: it is the model's.
pub fn encode(part: &Part, assistant: bool, cx: &mut Cx<'_>, at: &str) -> Result<Option<Value>> {
    let Part { kind, cache, extra } = part;
    let block = match kind {
        PartKind::Text { text, citations } => encode_text(text, citations, cx, at),
        PartKind::Refusal(text) => {
            cx.losses.add(format!("{at}.refusal"));
            encode_text(text, &[], cx, at)
        }
        PartKind::Media(_) if media::is_kept_whole(extra) => Some(kept_whole(part)),
        PartKind::Media(_) if assistant => {
            return Err(Losses::refuse(at, "This provider takes images and files from users only."));
        }
        PartKind::Media(media) => Some(media::encode(media, cx, at)?),
        PartKind::Reasoning(thoughts) => {
            let block = reasoning::encode(thoughts).filter(|_| assistant);
            if block.is_none() {
                cx.losses.add(format!("{at}.reasoning"));
            }
            block
        }
        PartKind::ToolCall(call) => Some(encode_call(call, cx, at)),
        PartKind::ToolResult(result) => Some(encode_result(result, cx, at)?),
        PartKind::Foreign(WIRE, value) => Some(joined(value)),
        // What tools of another provider did is part of what was said: the answer drawn from it stays.
        PartKind::Foreign(..) if assistant => {
            cx.losses.add(at);
            None
        }
        PartKind::Foreign(..) => return Err(unknown(at)),
    };
    let Some(mut block) = block else {
        if cache.is_some() {
            cx.losses.add(format!("{at}.cache_control"));
        }
        return Ok(None);
    };
    if let Some(cache) = cache {
        block.insert("cache_control".to_owned(), cache_control(*cache));
    }
    cx.extend(&mut block, extra, at);
    Ok(Some(Value::Object(block)))
}

/// A 400: content that only another format has.
fn unknown(at: &str) -> Error {
    Losses::refuse(at, "This provider has nothing of this kind; leave it out or choose another provider.")
}

/// Text of nothing but white space is refused by the vendor, and says nothing.
fn encode_text(text: &str, citations: &[Citation], cx: &mut Cx<'_>, at: &str) -> Option<Map<String, Value>> {
    let kept: Vec<Value> = citations.iter().filter_map(citation::encode).collect();
    if kept.len() < citations.len() {
        cx.losses.add(format!("{at}.citations"));
    }
    let citations = (!kept.is_empty()).then(|| kept.into());
    (!text.trim().is_empty())
        .then(|| object([("type", Some("text".into())), ("text", Some(text.into())), ("citations", citations)]))
}

/// A search result, as it came.
fn kept_whole(part: &Part) -> Map<String, Value> {
    let name = match &part.kind {
        PartKind::Media(media) => media.name.clone().map(Value::from),
        _ => None,
    };
    object([("title", name)])
}

fn encode_call(call: &ToolCall, cx: &mut Cx<'_>, at: &str) -> Map<String, Value> {
    if call.signature.is_some() {
        cx.losses.add(format!("{at}.signature"));
    }
    let (input, faithful) = input(call);
    if !faithful {
        cx.losses.add(format!("{at}.arguments"));
    }
    tool_use(&tool_id(&call.id), &call.name, input)
}

/// A block that calls a tool.
pub fn tool_use(id: &str, name: &str, input: Value) -> Map<String, Value> {
    object([
        ("type", Some("tool_use".into())),
        ("id", Some(id.into())),
        ("name", Some(name.into())),
        ("input", Some(input)),
    ])
}

/// A call's arguments as the object that this format insists on, and whether that is what was written.
/// What is no object is put into one, under the name that the vendor's guide to broken arguments uses.
pub fn input(call: &ToolCall) -> (Value, bool) {
    if call.custom {
        return (json!({ "input": call.arguments }), false);
    }
    if call.arguments.trim().is_empty() {
        return (json!({}), true);
    }
    match serde_json::from_str(&call.arguments) {
        Ok(input @ Value::Object(_)) => (input, true),
        Ok(Value::Null) => (json!({}), true),
        _ => (json!({ "INVALID_JSON": call.arguments }), false),
    }
}

/// Ids may hold letters, digits, `_` and `-` only. They join a call and its result, and say nothing else.
fn tool_id(id: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if id.chars().all(fits) { id.into() } else { id.chars().map(|c| if fits(c) { c } else { '_' }).collect() }
}

fn encode_result(result: &ToolResult, cx: &mut Cx<'_>, at: &str) -> Result<Map<String, Value>> {
    let ToolResult { call_id, name: _, parts, is_error } = result;
    let content = match parts.as_slice() {
        [] => None,
        [Part { kind: PartKind::Text { text, citations }, cache: None, extra }]
            if citations.is_empty() && *extra == Extra::default() =>
        {
            Some(Value::from(text.as_str()))
        }
        parts => {
            let mut blocks = Vec::with_capacity(parts.len());
            for (index, part) in parts.iter().enumerate() {
                blocks.extend(encode(part, false, cx, &format!("{at}.content[{index}]"))?);
            }
            Some(Value::Array(blocks))
        }
    };
    Ok(object([
        ("type", Some("tool_result".into())),
        ("tool_use_id", Some((&*tool_id(call_id)).into())),
        ("content", content),
        ("is_error", is_error.then_some(true.into())),
    ]))
}

/// A block of this format alone. Out of a stream it comes as it was opened, followed by its deltas.
pub fn joined(value: &Value) -> Map<String, Value> {
    match value {
        Value::Object(block) => block.clone(),
        Value::Array(pieces) => {
            let mut block = pieces.first().and_then(Value::as_object).cloned().unwrap_or_default();
            let mut arguments = String::new();
            for delta in pieces.iter().skip(1) {
                match (delta.get("partial_json").and_then(Value::as_str), delta) {
                    (Some(piece), _) => arguments.push_str(piece),
                    (None, Value::Object(members)) => {
                        let told = members.iter().filter(|(key, _)| *key != "type");
                        block.extend(told.map(|(key, value)| (key.clone(), value.clone())));
                    }
                    _ => {}
                }
            }
            if let Ok(input) = serde_json::from_str::<Value>(&arguments) {
                block.insert("input".to_owned(), input);
            }
            block
        }
        _ => Map::new(),
    }
}
