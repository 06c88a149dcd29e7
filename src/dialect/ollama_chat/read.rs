//! Requests as they are read, and the messages of requests and answers.

use serde_json::Value;

use super::WIRE;
use crate::{
    chat::{
        Effort, Format, Media, MediaKind, MediaSource, Part, PartKind, Reasoning, ReasoningFormat, Request, Role,
        Thinking, Tool, ToolCall, ToolResult, Turn,
    },
    dialect::fields::{Fields, string, wrong},
    error::{Error, Result},
};

/// Reads a request.
pub fn decode_request(body: Value) -> Result<Request> {
    let mut fields = Fields::of(body, "")?;
    let mut request = Request { model: fields.need_text("model")?, ..Request::default() };
    let mut calls = Calls::default();
    for (i, message) in fields.list("messages")?.into_iter().enumerate() {
        request.turns.push(turn(message, &format!("messages[{i}]"), &mut calls)?);
    }
    for (i, value) in fields.list("tools")?.into_iter().enumerate() {
        request.tools.push(tool(value, &format!("tools[{i}]"))?);
    }
    request.stream = fields.switch("stream")?.unwrap_or(true);
    request.format = match fields.take("format") {
        None => Format::Text,
        Some(Value::String(word)) if word.is_empty() => Format::Text,
        Some(Value::String(word)) if word == "json" => Format::Json,
        Some(schema @ Value::Object(_)) => Format::Schema { name: None, description: None, schema, strict: None },
        Some(_) => return Err(wrong("format", "\"json\" or a schema")),
    };
    request.thinking = match fields.take("think") {
        None => None,
        Some(Value::Bool(on)) => Some(Thinking { enabled: Some(on), ..Thinking::default() }),
        Some(level) => {
            let effort = level.as_str().and_then(Effort::parse);
            let effort = effort.ok_or_else(|| wrong("think", "a boolean, or low, medium, high or max"))?;
            Some(Thinking { effort: Some(effort), ..Thinking::default() })
        }
    };
    let sampling = &mut request.sampling;
    sampling.logprobs = fields.switch("logprobs")?;
    sampling.top_logprobs = fields.whole("top_logprobs")?;
    if let Some(mut options) = fields.object("options")? {
        // -1 is no limit, which is what no number says too.
        if options.peek("num_predict").and_then(Value::as_i64).is_some_and(|limit| limit >= 0) {
            request.max_tokens = options.whole("num_predict")?;
        }
        sampling.temperature = options.number("temperature")?;
        sampling.top_p = options.number("top_p")?;
        sampling.top_k = options.number("top_k")?;
        sampling.min_p = options.number("min_p")?;
        sampling.seed = options.number("seed")?;
        sampling.frequency_penalty = options.number("frequency_penalty")?;
        sampling.presence_penalty = options.number("presence_penalty")?;
        sampling.repetition_penalty = options.number("repeat_penalty")?;
        request.stop = match options.peek("stop") {
            Some(Value::String(_)) => options.text("stop")?.into_iter().collect(),
            _ => options.texts("stop")?,
        };
        fields.keep("options", options);
    }
    request.extra = fields.extra(WIRE);
    Ok(request)
}

/// Names for calls that have none.
#[derive(Debug, Default)]
pub(super) struct Calls {
    next: u32,
    /// Those without a result so far: tool and id.
    waiting: Vec<(String, String)>,
}

impl Calls {
    pub(super) fn call(&mut self, id: Option<String>, name: &str) -> String {
        let id = id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{}", self.next));
        self.next += 1;
        self.waiting.push((name.to_owned(), id.clone()));
        id
    }

    /// The call that a result of that tool answers: the first that waits.
    fn result(&mut self, name: Option<&str>) -> String {
        let found = self.waiting.iter().position(|(tool, _)| name.is_none_or(|name| tool == name));
        match found {
            Some(at) => self.waiting.remove(at).1,
            None => self.call(None, name.unwrap_or_default()),
        }
    }
}

fn turn(message: Value, path: &str, calls: &mut Calls) -> Result<Turn> {
    let mut fields = Fields::of(message, path)?;
    let role = match fields.need_text("role")?.as_str() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => {
            let name = fields.text("tool_name")?;
            let call_id = calls.result(name.as_deref());
            let parts = content(&mut fields)?;
            let part = Part::new(PartKind::ToolResult(ToolResult { call_id, name, parts, is_error: false }));
            return Ok(Turn { extra: fields.extra(WIRE), ..Turn::new(Role::User, vec![part]) });
        }
        other => {
            let roles = "system, user, assistant or tool";
            return Err(Error::invalid(fields.at("role"), format!("{other:?} is no role: {roles}.")));
        }
    };
    let parts = parts(&mut fields, calls)?;
    Ok(Turn { extra: fields.extra(WIRE), ..Turn::new(role, parts) })
}

/// What a message says: thoughts, content, calls.
pub(super) fn parts(fields: &mut Fields, calls: &mut Calls) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    if let Some(text) = fields.text("thinking")?.filter(|text| !text.is_empty()) {
        let format = Some(ReasoningFormat::Unknown);
        parts.push(Part::new(PartKind::Reasoning(Reasoning { text: Some(text), format, ..Reasoning::default() })));
    }
    parts.extend(content(fields)?);
    for (i, call) in fields.list("tool_calls")?.into_iter().enumerate() {
        let path = format!("{}[{i}]", fields.at("tool_calls"));
        parts.push(tool_call(call, path, calls)?);
    }
    Ok(parts)
}

fn content(fields: &mut Fields) -> Result<Vec<Part>> {
    let text = fields.text("content")?.filter(|text| !text.is_empty());
    let mut parts: Vec<Part> = text.map(Part::text).into_iter().collect();
    let path = fields.at("images");
    for (i, image) in fields.list("images")?.into_iter().enumerate() {
        let source = MediaSource::Base64(string(image, || format!("{path}[{i}]"))?);
        let kind = MediaKind::Image;
        let media = Media { kind, mime: None, source, name: None, detail: None, transcript: None };
        parts.push(Part::new(PartKind::Media(media)));
    }
    Ok(parts)
}

/// A call; its place in the answer (`index`) and its type say nothing new.
pub(super) fn tool_call(call: Value, path: String, calls: &mut Calls) -> Result<Part> {
    let mut fields = Fields::of(call, path)?;
    fields.take("type");
    let mut function = fields.need_object("function")?;
    function.take("index");
    let name = function.need_text("name")?;
    let arguments = match function.take("arguments") {
        None => "{}".to_owned(),
        Some(Value::String(text)) => text,
        Some(arguments) => arguments.to_string(),
    };
    let id = calls.call(fields.text("id")?, &name);
    fields.keep("function", function);
    let call = ToolCall { id, name, arguments, signature: None, custom: false };
    Ok(Part { extra: fields.extra(WIRE), ..Part::new(PartKind::ToolCall(call)) })
}

fn tool(value: Value, path: &str) -> Result<Tool> {
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
        strict: None,
        cache: None,
        extra: function.extra(WIRE),
    })
}
