//! `tools` and `toolConfig`, both ways. Functions of all tools are written as one tool, as Google asks;
//! what the provider runs itself (`googleSearch`, `codeExecution`, `urlContext`, ...) is this format's own.

use serde_json::{Map, Value, json};

use super::{
    schema::{to_json_schema, to_openapi},
    wire::{At, list, members, text, texts, word},
};
use crate::{
    chat::{Extra, Losses, Tool, ToolChoice, Wire},
    error::Result,
};

const MODES: [&str; 5] = ["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"];

/// Reads `tools`.
pub(super) fn read(value: Value, at: &At<'_>) -> Result<Vec<Tool>> {
    let mut tools = Vec::new();
    for (index, tool) in list(value).into_iter().enumerate() {
        let at = at.item(index);
        for (name, value) in members(tool, &at)? {
            if name == "functionDeclarations" {
                let at = at.key("functionDeclarations");
                for (index, declaration) in list(value).into_iter().enumerate() {
                    tools.push(read_function(declaration, &at.item(index))?);
                }
            } else {
                tools.push(Tool::Foreign(Wire::Gemini, json!({ name: value })));
            }
        }
    }
    Ok(tools)
}

fn read_function(value: Value, at: &At<'_>) -> Result<Tool> {
    let (mut function, mut description, mut parameters, mut extra) = (None, None, None, Map::new());
    for (name, value) in members(value, at)? {
        match name.as_str() {
            "name" => function = Some(text(value, &at.key("name"))?),
            "description" => description = Some(text(value, &at.key("description"))?),
            "parameters" => parameters = parameters.or(Some(to_json_schema(value))),
            "parametersJsonSchema" => parameters = Some(value),
            _ => {
                extra.insert(name, value);
            }
        }
    }
    let name = function.ok_or_else(|| at.key("name").invalid("given"))?;
    let extra = Extra::of(Wire::Gemini, extra);
    Ok(Tool::Function { name, description, parameters, strict: None, cache: None, extra })
}

/// Writes `tools`.
pub(super) fn write(tools: &[Tool], openapi: bool, losses: &mut Losses) -> Result<Vec<Value>> {
    let (mut functions, mut others) = (Vec::new(), Vec::new());
    for (index, tool) in tools.iter().enumerate() {
        let at = format!("tools[{index}]");
        match tool {
            Tool::Function { name, description, parameters, strict, cache, extra } => {
                let mut function = Map::new();
                function.insert("name".to_owned(), name.as_str().into());
                if let Some(description) = description {
                    function.insert("description".to_owned(), description.as_str().into());
                }
                match parameters {
                    Some(schema) if openapi => {
                        let schema = to_openapi(schema, &format!("{at}.function.parameters"), losses)?;
                        if takes_something(&schema) {
                            function.insert("parameters".to_owned(), schema);
                        }
                    }
                    Some(schema) => {
                        function.insert("parametersJsonSchema".to_owned(), schema.clone());
                    }
                    None => {}
                }
                if *strict == Some(true) {
                    losses.add(format!("{at}.function.strict"));
                }
                if cache.is_some() {
                    losses.add(format!("{at}.cache_control"));
                }
                for lost in extra.lost(Wire::Gemini) {
                    losses.add(format!("{at}.{lost}"));
                }
                let own = extra.own(Wire::Gemini).into_iter().flatten();
                function.extend(own.map(|(name, value)| (name.clone(), value.clone())));
                functions.push(Value::Object(function));
            }
            Tool::Foreign(Wire::Gemini, value) => others.push(value.clone()),
            Tool::Foreign(..) => {
                return Err(Losses::refuse(at, "This kind of tool is not one that a Gemini model can use."));
            }
        }
    }
    if !functions.is_empty() {
        others.insert(0, json!({ "functionDeclarations": functions }));
    }
    Ok(others)
}

/// Gemini's own schema of an object wants a property; a function without any has no parameters.
fn takes_something(schema: &Value) -> bool {
    let empty = |properties: &Value| properties.as_object().is_some_and(Map::is_empty);
    schema.get("properties").is_none_or(|properties| !empty(properties))
}

/// Reads `toolConfig`: the choice, and what else stands there.
pub(super) fn read_config(value: Value, at: &At<'_>) -> Result<(Option<ToolChoice>, Map<String, Value>)> {
    let (mut choice, mut extra) = (None, Map::new());
    for (name, value) in members(value, at)? {
        if name == "functionCallingConfig" {
            let (chosen, rest) = read_choice(value, &at.key("functionCallingConfig"))?;
            choice = Some(chosen);
            if !rest.is_empty() {
                extra.insert(name, Value::Object(rest));
            }
        } else {
            extra.insert(name, value);
        }
    }
    Ok((choice, extra))
}

fn read_choice(value: Value, at: &At<'_>) -> Result<(ToolChoice, Map<String, Value>)> {
    let (mut mode, mut names, mut extra) = (String::new(), Vec::new(), Map::new());
    for (name, value) in members(value, at)? {
        match name.as_str() {
            "mode" => mode = word(value, &MODES).ok_or_else(|| at.key("mode").invalid("a mode of calling"))?,
            "allowedFunctionNames" => names = texts(value, &at.key("allowedFunctionNames"))?,
            _ => {
                extra.insert(name, value);
            }
        }
    }
    let choice = match (mode.as_str(), names.len(), names.pop()) {
        ("NONE", ..) => ToolChoice::None,
        ("ANY", 1, Some(only)) => ToolChoice::Function(only),
        ("ANY", _, Some(last)) => {
            names.push(last);
            ToolChoice::Among(names, true)
        }
        ("ANY", _, None) => ToolChoice::Required,
        ("AUTO" | "VALIDATED" | "MODE_UNSPECIFIED" | "", _, last) => {
            names.extend(last);
            if names.is_empty() {
                // Calls that follow their schema to the letter, if any: only this format can ask for it.
                if mode == "VALIDATED" {
                    extra.insert("mode".to_owned(), mode.into());
                }
                ToolChoice::Auto
            } else {
                ToolChoice::Among(names, false)
            }
        }
        _ => return Err(at.key("mode").invalid("`AUTO`, `ANY`, `NONE` or `VALIDATED`")),
    };
    Ok((choice, extra))
}

/// Writes the choice as `functionCallingConfig`; `None` where there is nothing to say. Google refuses one
/// beside no functions, so that what needs none is left out there.
pub(super) fn write_choice(choice: &ToolChoice, functions: bool) -> Result<Option<Value>> {
    Ok(Some(match choice {
        ToolChoice::Auto | ToolChoice::None if !functions => return Ok(None),
        ToolChoice::Auto => json!({ "mode": "AUTO" }),
        ToolChoice::None => json!({ "mode": "NONE" }),
        ToolChoice::Required => json!({ "mode": "ANY" }),
        ToolChoice::Function(name) => json!({ "mode": "ANY", "allowedFunctionNames": [name] }),
        ToolChoice::Among(names, true) => json!({ "mode": "ANY", "allowedFunctionNames": names }),
        ToolChoice::Among(names, false) => json!({ "mode": "VALIDATED", "allowedFunctionNames": names }),
        ToolChoice::Foreign(Wire::Gemini, value) => value.clone(),
        ToolChoice::Foreign(..) => {
            return Err(Losses::refuse("tool_choice", "A Gemini model cannot be told to choose tools like this."));
        }
    }))
}
