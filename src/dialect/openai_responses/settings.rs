//! What is asked beside the conversation: tools, their choice, the answer's form, thinking. Both ways.

use serde_json::{Value, json};

use super::{
    WIRE, is_own,
    object::{Members, Object, merge, string},
};
use crate::{
    chat::{Effort, Extra, Format, Losses, Sampling, Thinking, Tool, ToolChoice},
    error::{Error, Result},
};

/// Thoughts are to come encrypted.
const ENCRYPTED: &str = "reasoning.encrypted_content";
/// Probabilities of tokens are wanted.
const LOGPROBS: &str = "message.output_text.logprobs";

/// Reads `tools`.
pub(super) fn read_tools(tools: Option<Vec<Value>>) -> Result<Vec<Tool>> {
    tools.into_iter().flatten().enumerate().map(|(index, tool)| read_tool(tool, format!("tools[{index}]"))).collect()
}

fn read_tool(value: Value, at: String) -> Result<Tool> {
    match value.get("type").and_then(Value::as_str) {
        Some("function") => {}
        Some(_) => return Ok(Tool::Foreign(WIRE, value)),
        None => return Err(Error::invalid(format!("{at}.type"), "The tool does not say what it is.")),
    }
    let mut tool = Object::read(value, at)?;
    tool.take("type");
    let (name, description) = (tool.needed("name")?, tool.text("description")?);
    let (parameters, strict) = (tool.take("parameters"), tool.flag("strict")?);
    if parameters.as_ref().is_some_and(|schema| !schema.is_object()) {
        return Err(tool.invalid("parameters", "A JSON Schema is wanted here."));
    }
    // The mark: without `strict` a tool is strict here as far as its schema allows.
    Ok(Tool::Function { name, description, parameters, strict, cache: None, extra: tool.rest() })
}

/// Writes a tool.
pub(super) fn write_tool(tool: &Tool, at: &str, losses: &mut Losses) -> Result<Value> {
    match tool {
        Tool::Foreign(WIRE, tool) => Ok(tool.clone()),
        Tool::Foreign(..) => Err(Losses::refuse(
            at,
            "This kind of tool exists in another format only; the model is served in OpenAI's Responses format.",
        )),
        Tool::Function { name, description, parameters, strict, cache, extra } => {
            let mut tool =
                Members::from_iter([("type".to_owned(), "function".into()), ("name".to_owned(), name.as_str().into())]);
            if let Some(description) = description {
                tool.insert("description".to_owned(), description.as_str().into());
            }
            let empty = || json!({"type": "object", "properties": {}});
            tool.insert("parameters".to_owned(), parameters.clone().unwrap_or_else(empty));
            if strict.is_some() || !is_own(extra) {
                tool.insert("strict".to_owned(), strict.unwrap_or(false).into());
            }
            if cache.is_some() {
                losses.add("cache_control");
            }
            extra.lost(WIRE).for_each(|key| losses.add(format!("{at}.{key}")));
            merge(&mut tool, extra.own(WIRE).unwrap_or(&Members::new()));
            Ok(Value::Object(tool))
        }
    }
}

/// Reads `tool_choice`.
pub(super) fn read_choice(choice: Value) -> ToolChoice {
    let named = |tool: &Value| {
        let is_function = tool.get("type").is_some_and(|kind| kind == "function");
        tool.get("name").and_then(Value::as_str).filter(|_| is_function).map(str::to_owned)
    };
    match (choice.as_str(), choice.get("type").and_then(Value::as_str)) {
        (Some("auto"), _) => ToolChoice::Auto,
        (Some("none"), _) => ToolChoice::None,
        (Some("required"), _) => ToolChoice::Required,
        (_, Some("function")) => named(&choice).map_or(ToolChoice::Foreign(WIRE, choice), ToolChoice::Function),
        (_, Some("allowed_tools")) => {
            let tools = choice.get("tools").and_then(Value::as_array);
            let functions = tools.and_then(|tools| tools.iter().map(named).collect());
            let must = choice.get("mode").is_some_and(|mode| mode == "required");
            match functions {
                Some(functions) => ToolChoice::Among(functions, must),
                None => ToolChoice::Foreign(WIRE, choice),
            }
        }
        _ => ToolChoice::Foreign(WIRE, choice),
    }
}

/// Writes `tool_choice`.
pub(super) fn write_choice(choice: &ToolChoice) -> Result<Value> {
    Ok(match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Function(name) => json!({"type": "function", "name": name}),
        ToolChoice::Among(names, must) => {
            let tools: Vec<Value> = names.iter().map(|name| json!({"type": "function", "name": name})).collect();
            json!({"type": "allowed_tools", "mode": if *must { "required" } else { "auto" }, "tools": tools})
        }
        ToolChoice::Foreign(WIRE, choice) => choice.clone(),
        ToolChoice::Foreign(..) => {
            return Err(Losses::refuse(
                "tool_choice",
                "OpenAI's Responses format has no counterpart of this choice of tools.",
            ));
        }
    })
}

/// Reads `text`: the form of the answer, and how much is to be said. What else is in it goes to `rest`.
pub(super) fn read_text(text: Option<Object>, rest: &mut Members) -> Result<(Format, Option<String>)> {
    let Some(mut text) = text else { return Ok((Format::Text, None)) };
    let verbosity = text.text("verbosity")?;
    let mut format = Format::Text;
    if let Some(mut asked) = text.object("format")? {
        format = match asked.peek("type") {
            Some("text") => Format::Text,
            Some("json_object") => Format::Json,
            Some("json_schema") => Format::Schema {
                name: asked.text("name")?,
                description: asked.text("description")?,
                schema: asked.take("schema").ok_or_else(|| asked.invalid("schema", "`schema` is missing."))?,
                strict: asked.flag("strict")?,
            },
            Some(_) => Format::Foreign(WIRE, Value::Null),
            None => return Err(asked.invalid("type", "The format does not say what it is.")),
        };
        if let Format::Foreign(_, whole) = &mut format {
            *whole = Value::Object(asked.rest().members);
        } else {
            asked.take("type");
            keep_in(&mut text, "format", asked);
        }
    }
    keep(rest, "text", text);
    Ok((format, verbosity))
}

/// Writes `text`; `None` where nothing is asked.
pub(super) fn write_text(format: &Format, verbosity: Option<&String>) -> Result<Option<Value>> {
    let mut text = Members::new();
    let asked = match format {
        Format::Text => None,
        Format::Json => Some(json!({"type": "json_object"})),
        Format::Schema { name, description, schema, strict } => {
            // A schema must have a name.
            let mut asked =
                json!({"type": "json_schema", "name": name.as_deref().unwrap_or("answer"), "schema": schema});
            if let (Some(description), Some(asked)) = (description, asked.as_object_mut()) {
                asked.insert("description".to_owned(), description.as_str().into());
            }
            if let (Some(strict), Some(asked)) = (strict, asked.as_object_mut()) {
                asked.insert("strict".to_owned(), (*strict).into());
            }
            Some(asked)
        }
        Format::Foreign(WIRE, asked) => Some(asked.clone()),
        Format::Foreign(..) => {
            return Err(Losses::refuse(
                "response_format",
                "OpenAI's Responses format has no counterpart of this form of answer.",
            ));
        }
    };
    text.extend(asked.map(|asked| ("format".to_owned(), asked)));
    text.extend(verbosity.map(|verbosity| ("verbosity".to_owned(), verbosity.as_str().into())));
    Ok((!text.is_empty()).then_some(Value::Object(text)))
}

/// Reads `reasoning`. What else is in it goes to `rest`.
pub(super) fn read_reasoning(reasoning: Option<Object>, rest: &mut Members) -> Result<Option<Thinking>> {
    let Some(mut asked) = reasoning else { return Ok(None) };
    let word = asked.text("effort")?;
    let effort = word.as_deref().and_then(Effort::parse);
    if let (Some(word), None) = (&word, effort) {
        // One that came after this was written.
        asked.put("effort", word.as_str());
    }
    let (summary, older) = (asked.text("summary")?, asked.text("generate_summary")?);
    let thinking = Thinking {
        effort,
        max_tokens: asked.count("max_tokens")?,
        enabled: asked.flag("enabled")?,
        hidden: asked.flag("exclude")?,
        summary: summary.or(older),
        ..Thinking::default()
    };
    keep(rest, "reasoning", asked);
    Ok((thinking != Thinking::default()).then_some(thinking))
}

/// Writes `reasoning`. OpenRouter (`anybodys`) takes all there is to say; OpenAI an effort and a summary.
/// `longest`: tokens of the longest answer, of which a number of tokens is a share.
pub(super) fn write_reasoning(thinking: &Thinking, longest: u64, anybodys: bool) -> Option<Value> {
    let Thinking { effort, max_tokens, adaptive, enabled, hidden, summary, encrypted: _ } = thinking;
    let mut asked = Members::new();
    let mut set = |key: &str, value: Option<Value>| value.map(|value| asked.insert(key.to_owned(), value));
    if anybodys {
        set("effort", effort.map(|effort| effort.as_str().into()));
        set("max_tokens", max_tokens.map(Value::from));
        set("enabled", enabled.or(adaptive.then_some(true)).map(Value::from));
        set("exclude", hidden.map(Value::from));
    } else if thinking.is_off() {
        set("effort", Some(Effort::None.as_str().into()));
    } else {
        let by_tokens = max_tokens.map(|tokens| Effort::of_budget(tokens, longest));
        let on = (*adaptive || *enabled == Some(true)).then_some(Effort::Medium);
        set("effort", effort.or(by_tokens).or(on).map(|effort| effort.as_str().into()));
    }
    set("summary", summary.as_deref().filter(|_| *hidden != Some(true)).map(Value::from));
    (!asked.is_empty()).then_some(Value::Object(asked))
}

/// Reads `include`. What only this format knows of goes to `rest`.
pub(super) fn read_include(
    include: Option<Vec<Value>>,
    thinking: &mut Option<Thinking>,
    sampling: &mut Sampling,
    rest: &mut Members,
) {
    let mut others = Vec::new();
    for wanted in include.into_iter().flatten() {
        match wanted.as_str() {
            Some(ENCRYPTED) => thinking.get_or_insert_default().encrypted = true,
            Some(LOGPROBS) => sampling.logprobs = Some(true),
            _ => others.push(wanted),
        }
    }
    if !others.is_empty() {
        rest.insert("include".to_owned(), others.into());
    }
}

/// Writes `include`.
pub(super) fn write_include(thinking: Option<&Thinking>, sampling: &Sampling) -> Option<Value> {
    let encrypted = thinking.is_some_and(|thinking| thinking.encrypted).then_some(ENCRYPTED);
    let logprobs = (sampling.logprobs == Some(true)).then_some(LOGPROBS);
    let wanted: Vec<&str> = encrypted.into_iter().chain(logprobs).collect();
    (!wanted.is_empty()).then(|| wanted.into())
}

fn keep_in(object: &mut Object, key: &str, inner: Object) {
    let Extra { members, .. } = inner.rest();
    if !members.is_empty() {
        object.put(key, members);
    }
}

fn keep(rest: &mut Members, key: &str, object: Object) {
    let Extra { members, .. } = object.rest();
    if !members.is_empty() {
        rest.insert(key.to_owned(), Value::Object(members));
    }
}

/// Reads a member that is one string or several.
pub(super) fn read_words(value: Option<Value>, at: &str) -> Result<Vec<String>> {
    let read = match value {
        None => Some(Vec::new()),
        Some(Value::String(word)) => Some(vec![word]),
        Some(Value::Array(words)) => words.into_iter().map(string).collect(),
        Some(_) => None,
    };
    read.ok_or_else(|| Error::invalid(at, "A string or a list of strings is wanted here."))
}
