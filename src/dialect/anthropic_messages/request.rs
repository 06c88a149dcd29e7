//! A client's request, read.

use serde_json::{Map, Value};

use super::{
    WIRE,
    fields::{Fields, Path},
    part::decode_content,
    thinking,
};
use crate::{
    chat::{Extra, Format, Part, Request, Role, Tool, ToolChoice, Turn},
    error::{Error, Result},
};

/// Reads a request for an answer, or for the count of its tokens (which says less of the answer).
pub fn decode_request(body: Value) -> Result<Request> {
    let mut fields = Fields::of(body, &Path::Root)?;
    let mut request = Request {
        model: fields.string("model")?.unwrap_or_default(),
        stream: fields.bool("stream")?.unwrap_or(false),
        max_tokens: fields.count("max_tokens")?,
        cache: fields.cache(),
        stop: strings(&mut fields, "stop_sequences")?,
        ..Request::default()
    };
    request.sampling.temperature = fields.number("temperature")?;
    request.sampling.top_p = fields.number("top_p")?;
    request.sampling.top_k = fields.number("top_k")?;
    request.turns = turns(&mut fields)?;
    for (at, tool) in fields.array("tools")?.unwrap_or_default().into_iter().enumerate() {
        request.tools.push(self::tool(tool, &Path::Item(&fields.at("tools"), at))?);
    }
    tool_choice(&mut fields, &mut request)?;
    output(&mut fields, &mut request)?;
    service_tier(&mut fields, &mut request)?;
    metadata(&mut fields, &mut request)?;
    request.extra = fields.rest();
    Ok(request)
}

fn strings(fields: &mut Fields<'_>, key: &str) -> Result<Vec<String>> {
    let items = fields.array(key)?.unwrap_or_default();
    let path = fields.at(key);
    let text = |(at, item)| match item {
        Value::String(text) => Ok(text),
        other => Err(Path::Item(&path, at).must_be("a string", &other)),
    };
    items.into_iter().enumerate().map(text).collect()
}

/// `system` and `messages`. System messages among the others stay where they are.
fn turns(fields: &mut Fields<'_>) -> Result<Vec<Turn>> {
    let mut turns = Vec::new();
    if let Some(system) = fields.take("system") {
        let parts: Vec<Part> = decode_content(system, &fields.at("system"))?;
        if !parts.is_empty() {
            turns.push(Turn::new(Role::System, parts));
        }
    }
    let messages = fields.array("messages")?;
    let path = fields.at("messages");
    let messages = messages.ok_or_else(|| path.missing())?;
    if messages.is_empty() {
        return Err(Error::invalid("messages", "messages must hold at least one message."));
    }
    for (at, message) in messages.into_iter().enumerate() {
        turns.push(turn(message, &Path::Item(&path, at))?);
    }
    Ok(turns)
}

fn turn(message: Value, path: &Path<'_>) -> Result<Turn> {
    let mut fields = Fields::of(message, path)?;
    let role = match fields.needed("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => {
            let at = fields.at("role").to_string();
            return Err(Error::invalid(at.clone(), format!("{at} must be user, assistant or system.")));
        }
    };
    let Some(content) = fields.take("content") else { return Err(fields.at("content").missing()) };
    let parts = decode_content(content, &fields.at("content"))?;
    Ok(Turn { extra: fields.rest(), ..Turn::new(role, parts) })
}

/// A tool without a type is the client's; those with one are run, or at least known, by the provider.
fn tool(tool: Value, path: &Path<'_>) -> Result<Tool> {
    let mut fields = Fields::of(tool, path)?;
    if fields.kind().is_some_and(|kind| kind != "custom") {
        return Ok(Tool::Foreign(WIRE, Value::Object(fields.members)));
    }
    fields.members.remove("type");
    let name = fields.needed("name")?;
    let description = fields.string("description")?;
    let parameters = fields.take("input_schema");
    let (strict, cache) = (fields.bool("strict")?, fields.cache());
    Ok(Tool::Function { name, description, parameters, strict, cache, extra: fields.rest() })
}

fn tool_choice(fields: &mut Fields<'_>, request: &mut Request) -> Result<()> {
    let Some(value) = fields.take("tool_choice") else { return Ok(()) };
    let path = fields.at("tool_choice");
    let mut inner = Fields::of(value, &path)?;
    let choice = match inner.kind() {
        Some("auto") => ToolChoice::Auto,
        Some("none") => ToolChoice::None,
        Some("any") => ToolChoice::Required,
        Some("tool") => ToolChoice::Function(inner.needed("name")?),
        Some(_) => ToolChoice::Foreign(WIRE, Value::Object(std::mem::take(&mut inner.members))),
        None => return Err(inner.at("type").missing()),
    };
    request.tool_choice = Some(choice);
    request.parallel_tool_calls = inner.bool("disable_parallel_tool_use")?.map(|disabled| !disabled);
    inner.members.remove("type");
    let rest = inner.members;
    if !rest.is_empty() {
        fields.members.insert("tool_choice".to_owned(), Value::Object(rest));
    }
    Ok(())
}

/// `output_config`, its older name `output_format`, and `thinking`, which shares the effort with it.
fn output(fields: &mut Fields<'_>, request: &mut Request) -> Result<()> {
    let mut config = match fields.take("output_config") {
        None => Map::new(),
        Some(config) => Fields::of(config, &fields.at("output_config"))?.members,
    };
    let newer = config.remove("format").filter(|format| !format.is_null());
    if let Some(format) = newer {
        request.format = self::format(format, &Path::Key(&fields.at("output_config"), "format"))?;
    } else if let Some(format) = fields.take("output_format") {
        request.format = self::format(format, &fields.at("output_format"))?;
    }
    thinking::decode(fields, &mut config, request)?;
    config.retain(|_, value| !value.is_null());
    if !config.is_empty() {
        fields.members.insert("output_config".to_owned(), Value::Object(config));
    }
    Ok(())
}

fn format(format: Value, path: &Path<'_>) -> Result<Format> {
    let mut fields = Fields::of(format, path)?;
    if fields.kind() != Some("json_schema") {
        return Ok(Format::Foreign(WIRE, Value::Object(fields.members)));
    }
    let Some(schema) = fields.take("schema") else { return Err(fields.at("schema").missing()) };
    let (name, description) = (fields.string("name")?, fields.string("description")?);
    Ok(Format::Schema { name, description, schema, strict: Some(true) })
}

/// In OpenAI's words. Others stay as they are.
fn service_tier(fields: &mut Fields<'_>, request: &mut Request) -> Result<()> {
    match fields.string("service_tier")? {
        Some(tier) if tier == "auto" => request.service_tier = Some(tier),
        Some(tier) if tier == "standard_only" => request.service_tier = Some("default".to_owned()),
        Some(tier) => drop(fields.members.insert("service_tier".to_owned(), tier.into())),
        None => {}
    }
    Ok(())
}

fn metadata(fields: &mut Fields<'_>, request: &mut Request) -> Result<()> {
    let Some(metadata) = fields.take("metadata") else { return Ok(()) };
    let path = fields.at("metadata");
    let mut inner = Fields::of(metadata, &path)?;
    request.user = inner.string("user_id")?;
    let Extra { members, .. } = inner.rest();
    if !members.is_empty() {
        fields.members.insert("metadata".to_owned(), Value::Object(members));
    }
    Ok(())
}
