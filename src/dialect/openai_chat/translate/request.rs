//! A request of this format, as the canonical one.

use serde_json::{Map, Value};

use super::{WIRE, messages::read_messages, parts::read_cache, thinking::read_thinking};
use crate::{
    chat::{Extra, Format, Request, Tool, ToolChoice},
    dialect::openai_common::{Members, read_sampling, read_stop, take_owned},
    error::{Error, Result},
};

/// Reads a request.
pub fn decode_request(body: Value) -> Result<Request> {
    let mut body = Members::new(body, "")?;
    take_owned(&mut body);
    let messages = body.list("messages")?;
    let messages = body.needed("messages", messages)?;
    if messages.is_empty() {
        return Err(Error::invalid("messages", "messages must hold at least one message."));
    }
    let turns = read_messages(messages)?;
    let mut sampling = read_sampling(&mut body)?;
    sampling.logprobs = body.flag("logprobs")?;
    sampling.top_logprobs = body.count("top_logprobs")?;
    Ok(Request {
        model: body.string("model")?.unwrap_or_default(),
        turns,
        tools: read_tools(&mut body)?,
        tool_choice: read_tool_choice(&mut body)?,
        parallel_tool_calls: body.flag("parallel_tool_calls")?,
        format: read_format(&mut body)?,
        sampling,
        // Providers differ in which of the two they follow: the longer one is what an answer may be.
        max_tokens: body.count("max_tokens")?.max(body.count("max_completion_tokens")?),
        stop: read_stop(&mut body)?,
        choices: body.count("n")?,
        thinking: read_thinking(&mut body)?,
        verbosity: body.string("verbosity")?,
        stream: body.flag("stream")?.unwrap_or(false),
        service_tier: body.string("service_tier")?,
        user: body.string("user")?,
        cache_key: body.string("prompt_cache_key")?,
        cache: read_cache(&mut body)?,
        modalities: read_modalities(&mut body)?,
        extra: Extra::of(WIRE, body.rest()),
    })
}

/// Text is always among them.
fn read_modalities(body: &mut Members) -> Result<Vec<String>> {
    let words = body.strings("modalities")?;
    Ok(words.into_iter().filter(|word| word != "text").collect())
}

fn read_tools(body: &mut Members) -> Result<Vec<Tool>> {
    let tools = body.list("tools")?.unwrap_or_default().into_iter().enumerate();
    let mut tools = tools.map(|(n, tool)| read_tool(tool, format!("tools[{n}]"))).collect::<Result<Vec<_>>>()?;
    for (n, function) in body.list("functions")?.unwrap_or_default().into_iter().enumerate() {
        let function = Members::new(function, format!("functions[{n}]"))?;
        tools.push(read_function(function, None, Map::new())?);
    }
    Ok(tools)
}

fn read_tool(tool: Value, path: String) -> Result<Tool> {
    let mut tool = Members::new(tool, path)?;
    let word = tool.string("type")?;
    if word.as_deref().is_some_and(|word| word != "function") {
        let mut whole = tool.rest();
        whole.extend(word.map(|word| ("type".to_owned(), word.into())));
        return Ok(Tool::Foreign(WIRE, Value::Object(whole)));
    }
    let function = tool.object("function")?;
    let function = tool.needed("function", function)?;
    let cache = read_cache(&mut tool)?;
    read_function(function, cache, tool.rest())
}

/// Members of the function that nobody knows are told from those of the tool by their place: under
/// `function` in the extra.
fn read_function(
    mut function: Members,
    cache: Option<crate::chat::Cache>,
    mut extra: Map<String, Value>,
) -> Result<Tool> {
    let name = function.string("name")?;
    let name = function.needed("name", name)?;
    let description = function.string("description")?;
    let strict = function.flag("strict")?;
    let parameters = function.object("parameters")?.map(|parameters| Value::Object(parameters.into_map()));
    let more = function.rest();
    if !more.is_empty() {
        extra.insert("function".to_owned(), Value::Object(more));
    }
    Ok(Tool::Function { name, description, parameters, strict, cache, extra: Extra::of(WIRE, extra) })
}

fn read_tool_choice(body: &mut Members) -> Result<Option<ToolChoice>> {
    let old = body.take("function_call").map(|choice| match choice {
        Value::Object(function) => named(Value::Object(function), "function_call"),
        word => chosen(&word, "function_call"),
    });
    match body.take("tool_choice") {
        None => old.transpose(),
        Some(Value::Object(choice)) => read_choice(choice).map(Some),
        Some(word) => chosen(&word, "tool_choice").map(Some),
    }
}

fn chosen(word: &Value, path: &str) -> Result<ToolChoice> {
    match word.as_str() {
        Some("auto") => Ok(ToolChoice::Auto),
        Some("none") => Ok(ToolChoice::None),
        // `any` is Mistral's word.
        Some("required" | "any") => Ok(ToolChoice::Required),
        _ => Err(Error::invalid(
            path,
            format!("{path} must be \"auto\", \"none\", \"required\" or an object that names a tool."),
        )),
    }
}

fn named(function: Value, path: &str) -> Result<ToolChoice> {
    let mut function = Members::new(function, path)?;
    let name = function.string("name")?;
    Ok(ToolChoice::Function(function.needed("name", name)?))
}

fn read_choice(choice: Map<String, Value>) -> Result<ToolChoice> {
    let word = choice.get("type").and_then(Value::as_str).unwrap_or("function").to_owned();
    match word.as_str() {
        "function" => {
            let function = choice.get("function").cloned().unwrap_or_default();
            named(function, "tool_choice.function")
        }
        "auto" | "none" | "required" | "any" => chosen(&word.into(), "tool_choice.type"),
        "allowed_tools" => {
            let choice = Value::Object(choice);
            let inner = choice.get("allowed_tools").unwrap_or(&choice);
            let names = |tool: &Value| Some(tool.get("function")?.get("name")?.as_str()?.to_owned());
            let tools = inner.get("tools").and_then(Value::as_array);
            match tools.map(|tools| tools.iter().map(names).collect::<Option<Vec<_>>>()) {
                Some(Some(names)) => {
                    Ok(ToolChoice::Among(names, inner.get("mode").and_then(Value::as_str) == Some("required")))
                }
                _ => Ok(ToolChoice::Foreign(WIRE, choice)),
            }
        }
        _ => Ok(ToolChoice::Foreign(WIRE, Value::Object(choice))),
    }
}

/// `response_format`; and llama.cpp's `json_schema` and `grammar` at the top, which mean the same.
fn read_format(body: &mut Members) -> Result<Format> {
    let Some(mut format) = body.object("response_format")? else {
        if let Some(schema) = body.object("json_schema")? {
            let schema = Value::Object(schema.into_map());
            return Ok(Format::Schema { name: None, description: None, schema, strict: None });
        }
        let grammar = body.take("grammar");
        return Ok(grammar.map_or(Format::Text, |grammar| {
            let members = [("grammar".to_owned(), grammar)].into_iter().collect();
            Format::Foreign(WIRE, Value::Object(members))
        }));
    };
    let word = format.string("type")?;
    match format.needed("type", word)?.as_str() {
        "text" => Ok(Format::Text),
        "json_object" => Ok(Format::Json),
        "json_schema" => {
            let schema = format.object("json_schema")?;
            let mut schema = format.needed("json_schema", schema)?;
            let of = schema.object("schema")?;
            let of = schema.needed("schema", of)?;
            Ok(Format::Schema {
                name: schema.string("name")?,
                description: schema.string("description")?,
                schema: Value::Object(of.into_map()),
                strict: schema.flag("strict")?,
            })
        }
        word => {
            let mut whole = format.rest();
            whole.insert("type".to_owned(), word.into());
            Ok(Format::Foreign(WIRE, Value::Object(whole)))
        }
    }
}
