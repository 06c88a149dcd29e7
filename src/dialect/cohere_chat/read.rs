//! Requests as they are read, and the messages of requests and answers.

use serde_json::{Value, json};

use super::{PLAN, WIRE};
use crate::{
    chat::{
        Citation, Effort, Extra, Format, Media, MediaKind, MediaSource, Part, PartKind, Reasoning, ReasoningFormat,
        Request, Role, Thinking, Tool, ToolCall, ToolChoice, ToolResult, Turn,
    },
    dialect::fields::{Fields, wrong},
    error::{Error, Result},
};

/// Reads a request.
pub fn decode_request(body: Value) -> Result<Request> {
    let mut fields = Fields::of(body, "")?;
    let mut request = Request { model: fields.need_text("model")?, ..Request::default() };
    for (i, message) in fields.list("messages")?.into_iter().enumerate() {
        request.turns.push(turn(message, &format!("messages[{i}]"))?);
    }
    request.stream = fields.switch("stream")?.unwrap_or_default();
    let strict = fields.switch("strict_tools")?;
    for (i, value) in fields.list("tools")?.into_iter().enumerate() {
        request.tools.push(tool(value, &format!("tools[{i}]"), strict)?);
    }
    request.tool_choice = match fields.text("tool_choice")?.as_deref() {
        None => None,
        Some("REQUIRED") => Some(ToolChoice::Required),
        Some("NONE") => Some(ToolChoice::None),
        Some(other) => {
            return Err(Error::invalid("tool_choice", format!("{other:?} is no choice: REQUIRED or NONE.")));
        }
    };
    if let Some(mut format) = fields.object("response_format")? {
        let kind = format.text("type")?;
        let schema = format.take("json_schema").or_else(|| format.take("schema"));
        request.format = match (kind.as_deref(), schema) {
            (Some("json_object"), Some(schema)) => {
                Format::Schema { name: None, description: None, schema, strict: None }
            }
            (Some("json_object"), None) => Format::Json,
            (None | Some("text"), None) => Format::Text,
            _ => return Err(wrong("response_format.type", "text or json_object")),
        };
        fields.keep("response_format", format);
    }
    if let Some(mut thinking) = fields.object("thinking")? {
        let kind = thinking.text("type")?;
        let max_tokens = thinking.whole("token_budget")?;
        let enabled = Some(kind.as_deref() != Some("disabled"));
        request.thinking = Some(Thinking { max_tokens, enabled, ..Thinking::default() });
        fields.keep("thinking", thinking);
    }
    if let Some(effort) = fields.peek("reasoning_effort").and_then(Value::as_str).and_then(Effort::parse) {
        fields.take("reasoning_effort");
        request.thinking.get_or_insert_default().effort = Some(effort);
    }
    request.max_tokens = fields.whole("max_tokens")?;
    request.stop = fields.texts("stop_sequences")?;
    let sampling = &mut request.sampling;
    sampling.temperature = fields.number("temperature")?;
    sampling.top_p = fields.number("p")?;
    sampling.top_k = fields.number("k")?;
    sampling.seed = fields.number("seed")?;
    sampling.frequency_penalty = fields.number("frequency_penalty")?;
    sampling.presence_penalty = fields.number("presence_penalty")?;
    sampling.logprobs = fields.switch("logprobs")?;
    request.extra = fields.extra(WIRE);
    Ok(request)
}

fn turn(message: Value, path: &str) -> Result<Turn> {
    let mut fields = Fields::of(message, path)?;
    let role = match fields.need_text("role")?.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => return assistant(fields),
        "tool" => {
            let result = ToolResult {
                call_id: fields.need_text("tool_call_id")?,
                name: None,
                parts: content(&mut fields)?,
                is_error: false,
            };
            let part = Part::new(PartKind::ToolResult(result));
            return Ok(Turn { extra: fields.extra(WIRE), ..Turn::new(Role::User, vec![part]) });
        }
        other => {
            let roles = "system, user, assistant or tool";
            return Err(Error::invalid(fields.at("role"), format!("{other:?} is no role: {roles}.")));
        }
    };
    let parts = content(&mut fields)?;
    Ok(Turn { extra: fields.extra(WIRE), ..Turn::new(role, parts) })
}

/// What the assistant says: plan, content, calls.
pub(super) fn assistant(mut fields: Fields) -> Result<Turn> {
    let mut parts = Vec::new();
    if let Some(plan) = fields.text("tool_plan")?.filter(|plan| !plan.is_empty()) {
        parts.push(reasoning(plan, Some(PLAN)));
    }
    let first = parts.len();
    parts.extend(content(&mut fields)?);
    let citations = fields.list("citations")?;
    let mut homeless = Vec::new();
    for value in citations {
        // Where a citation does not say whose it is, it is the first text's.
        let named = value.get("content_index").and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok());
        let is_text = |part: &&mut Part| matches!(part.kind, PartKind::Text { .. });
        let at = named.filter(|at| parts.get(first + at).is_some_and(|p| matches!(p.kind, PartKind::Text { .. })));
        let part = match at {
            Some(at) => parts.get_mut(first + at),
            None => parts.iter_mut().find(is_text),
        };
        match part.map(|part| &mut part.kind) {
            Some(PartKind::Text { citations, .. }) => citations.push(citation(value)),
            _ => homeless.push(value),
        }
    }
    for (i, call) in fields.list("tool_calls")?.into_iter().enumerate() {
        parts.push(tool_call(call, &format!("{}[{i}]", fields.at("tool_calls")))?);
    }
    if !homeless.is_empty() {
        fields.put("citations", homeless.into());
    }
    Ok(Turn { extra: fields.extra(WIRE), ..Turn::new(Role::Assistant, parts) })
}

pub(super) fn reasoning(text: String, id: Option<&str>) -> Part {
    Part::new(PartKind::Reasoning(Reasoning {
        text: Some(text),
        id: id.map(str::to_owned),
        format: Some(ReasoningFormat::Unknown),
        ..Reasoning::default()
    }))
}

fn content(fields: &mut Fields) -> Result<Vec<Part>> {
    let path = fields.at("content");
    match fields.take("content") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(items)) => {
            items.into_iter().enumerate().map(|(i, item)| part(item, &format!("{path}[{i}]"))).collect()
        }
        Some(_) => Err(wrong(&path, "a string or a list")),
    }
}

fn part(item: Value, path: &str) -> Result<Part> {
    let mut fields = Fields::of(item, path)?;
    let part = match fields.peek("type").and_then(Value::as_str) {
        Some("text") => Part::text(fields.need_text("text")?),
        Some("thinking") => reasoning(fields.need_text("thinking")?, None),
        Some("image_url") => image(&mut fields)?,
        _ => return Ok(Part::new(PartKind::Foreign(WIRE, fields.rest().into()))),
    };
    fields.take("type");
    Ok(Part { extra: fields.extra(WIRE), ..part })
}

fn image(fields: &mut Fields) -> Result<Part> {
    let mut inner = fields.need_object("image_url")?;
    let url = inner.need_text("url")?;
    let (mime, source) = match url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
        Some((mime, data)) => (Some(mime.to_owned()), MediaSource::Base64(data.to_owned())),
        None => (None, MediaSource::Url(url)),
    };
    let detail = inner.text("detail")?;
    fields.keep("image_url", inner);
    let kind = MediaKind::Image;
    Ok(Part::new(PartKind::Media(Media { kind, mime, source, name: None, detail, transcript: None })))
}

fn tool_call(call: Value, path: &str) -> Result<Part> {
    let mut fields = Fields::of(call, path)?;
    fields.take("type");
    let mut function = fields.need_object("function")?;
    let call = ToolCall {
        id: fields.need_text("id")?,
        name: function.need_text("name")?,
        arguments: function.text("arguments")?.unwrap_or_default(),
        signature: None,
        custom: false,
    };
    fields.keep("function", function);
    Ok(Part { extra: fields.extra(WIRE), ..Part::new(PartKind::ToolCall(call)) })
}

fn tool(value: Value, path: &str, strict: Option<bool>) -> Result<Tool> {
    let mut fields = Fields::of(value, path)?;
    let plain = fields.peek("type").is_none_or(|kind| kind == "function");
    if !plain || !fields.has_only(&["type", "function"]) {
        return Ok(Tool::Foreign(WIRE, fields.rest().into()));
    }
    let mut function = fields.need_object("function")?;
    Ok(Tool::Function {
        name: function.need_text("name")?,
        description: function.text("description")?,
        parameters: function.take("parameters"),
        strict,
        cache: None,
        extra: function.extra(WIRE),
    })
}

/// A citation: what others understand of it, and all of it for Cohere.
pub(super) fn citation(value: Value) -> Citation {
    let document = |key: &str| {
        let sources = value.get("sources").and_then(Value::as_array);
        let found = sources.into_iter().flatten().find_map(|source| source.get("document")?.get(key)?.as_str());
        found.map(str::to_owned)
    };
    let place = |key: &str| value.get(key).and_then(Value::as_u64);
    Citation {
        url: document("url"),
        title: document("title"),
        cited: None,
        start: place("start"),
        end: place("end"),
        extra: match value {
            Value::Object(members) => Extra::of(WIRE, members),
            _ => Extra::default(),
        },
    }
}

/// Probabilities as OpenAI's chat has them, of pieces `{text, token_ids, logprobs}`: Cohere gives no text by
/// token, so the tokens of a piece count together.
pub(super) fn logprobs(pieces: &[Value]) -> Value {
    let item = |piece: &Value| {
        let sum: f64 = piece.get("logprobs")?.as_array()?.iter().filter_map(Value::as_f64).sum();
        let text = piece.get("text")?.as_str()?;
        Some(json!({ "token": text, "logprob": sum, "bytes": text.as_bytes(), "top_logprobs": [] }))
    };
    json!({ "content": pieces.iter().filter_map(item).collect::<Vec<_>>() })
}
