//! The canonical request, as one of this format.

use serde_json::{Map, Value, json};

use super::{WIRE, thinking::write_thinking, turns::Turns};
use crate::{
    chat::{Cache, Extra, Format, Losses, Request, Tool, ToolChoice},
    dialect::{Encoded, Target, openai_common::write_sampling},
    error::Result,
};

/// Writes a request for a provider.
pub fn encode_request(request: &Request, target: &Target<'_>) -> Result<Encoded> {
    let Request {
        model: _,
        turns,
        tools,
        tool_choice,
        parallel_tool_calls,
        format,
        sampling,
        max_tokens,
        stop,
        choices,
        thinking,
        verbosity,
        stream,
        service_tier,
        user,
        cache_key,
        cache,
        modalities,
        extra,
    } = request;
    let quirk = |name: &str| has(target, name);
    let mut losses = Losses::default();
    let mut body = Map::new();
    let set = |body: &mut Map<String, Value>, name: &str, value: Option<Value>| {
        body.extend(value.map(|value| (name.to_owned(), value)));
    };
    set(&mut body, "model", Some(target.model.into()));
    set(&mut body, "messages", Some(Turns::new(target, &mut losses).write(turns)?));
    write_tools(tools, tool_choice.as_ref(), target, &mut body, &mut losses)?;
    set(&mut body, "parallel_tool_calls", parallel_tool_calls.map(Value::from));
    write_format(format, &mut body)?;
    write_sampling(sampling, quirk, &mut body, &mut losses);
    set(&mut body, "logprobs", sampling.logprobs.map(Value::from));
    set(&mut body, "top_logprobs", sampling.top_logprobs.map(Value::from));
    let longest = target.longest.or(*max_tokens);
    let longest_name = if quirk("max_completion_tokens") { "max_completion_tokens" } else { "max_tokens" };
    set(&mut body, longest_name, longest.map(Value::from));
    set(&mut body, "stop", (!stop.is_empty()).then(|| json!(stop)));
    set(&mut body, "n", choices.map(Value::from));
    if let Some(thinking) = thinking {
        write_thinking(thinking, longest.or(target.model_longest), quirk, &mut body, &mut losses);
    }
    set(&mut body, "verbosity", verbosity.clone().map(Value::from));
    set(&mut body, "service_tier", service_tier.clone().map(Value::from));
    set(&mut body, "user", user.clone().map(Value::from));
    set(&mut body, "prompt_cache_key", cache_key.clone().map(Value::from));
    match cache {
        Some(cache) if marks(target) => set(&mut body, "cache_control", Some(write_cache(*cache))),
        Some(_) => losses.add("cache_control"),
        None => {}
    }
    let modalities = ["text"].into_iter().chain(modalities.iter().map(String::as_str));
    let modalities: Vec<&str> = modalities.collect();
    set(&mut body, "modalities", (modalities.len() > 1).then(|| json!(modalities)));
    if *stream {
        set(&mut body, "stream", Some(true.into()));
        set(&mut body, "stream_options", (!quirk("no_stream_options")).then(|| json!({ "include_usage": true })));
    }
    add_own(&mut body, extra, "", &mut losses);
    Ok(Encoded { body: Value::Object(body), losses })
}

/// Whether the provider's row names a quirk.
pub fn has(target: &Target<'_>, quirk: &str) -> bool {
    target.quirks.iter().any(|known| known == quirk)
}

/// Whether the provider takes marks for its cache.
pub fn marks(target: &Target<'_>) -> bool {
    has(target, "cache_control") || has(target, "openrouter")
}

/// A mark.
pub fn write_cache(cache: Cache) -> Value {
    match cache {
        Cache::Default => json!({ "type": "ephemeral" }),
        Cache::FiveMinutes => json!({ "type": "ephemeral", "ttl": "5m" }),
        Cache::Hour => json!({ "type": "ephemeral", "ttl": "1h" }),
    }
}

/// Adds what only this format knows; what only another one knows is lost. Where a member is written
/// already, the two are one object.
pub fn add_own(object: &mut Map<String, Value>, extra: &Extra, path: &str, losses: &mut Losses) {
    for name in extra.lost(WIRE) {
        losses.add(if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") });
    }
    for (name, value) in extra.own(WIRE).into_iter().flatten() {
        match (object.get_mut(name), value) {
            (None, value) => {
                object.insert(name.clone(), value.clone());
            }
            (Some(Value::Object(written)), Value::Object(more)) => {
                written.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
            (Some(_), _) => {}
        }
    }
}

fn write_tools(
    tools: &[Tool],
    choice: Option<&ToolChoice>,
    target: &Target<'_>,
    body: &mut Map<String, Value>,
    losses: &mut Losses,
) -> Result<()> {
    let among = match choice {
        Some(ToolChoice::Among(names, _)) if has(target, "no_allowed_tools") => Some(names),
        _ => None,
    };
    let mut written = Vec::new();
    for (n, tool) in tools.iter().enumerate() {
        let path = format!("tools[{n}]");
        match tool {
            Tool::Function { name, .. } if among.is_some_and(|among| !among.contains(name)) => {}
            Tool::Function { name, description, parameters, strict, cache, extra } => {
                let members = [
                    ("name", Some(Value::from(name.as_str()))),
                    ("description", description.clone().map(Value::from)),
                    ("parameters", parameters.clone()),
                    ("strict", strict.map(Value::from)),
                ];
                let function: Map<_, _> =
                    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
                let mut tool = Map::new();
                tool.insert("type".to_owned(), "function".into());
                tool.insert("function".to_owned(), Value::Object(function));
                match cache {
                    Some(cache) if marks(target) => {
                        tool.insert("cache_control".to_owned(), write_cache(*cache));
                    }
                    Some(_) => losses.add(format!("{path}.cache_control")),
                    None => {}
                }
                add_own(&mut tool, extra, &path, losses);
                written.push(Value::Object(tool));
            }
            Tool::Foreign(wire, tool) if *wire == WIRE => written.push(tool.clone()),
            Tool::Foreign(..) => {
                return Err(Losses::refuse(
                    path,
                    "This provider has no tool of that kind; only functions can be called.",
                ));
            }
        }
    }
    if !written.is_empty() {
        body.insert("tools".to_owned(), written.into());
    }
    if let Some(choice) = choice {
        body.insert("tool_choice".to_owned(), write_tool_choice(choice, among.is_some())?);
    }
    Ok(())
}

fn write_tool_choice(choice: &ToolChoice, shortened: bool) -> Result<Value> {
    Ok(match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Function(name) => json!({ "type": "function", "function": { "name": name } }),
        ToolChoice::Among(_, must) if shortened => if *must { "required" } else { "auto" }.into(),
        ToolChoice::Among(names, must) => {
            let tools = names.iter().map(|name| json!({ "type": "function", "function": { "name": name } }));
            let mode = if *must { "required" } else { "auto" };
            json!({ "type": "allowed_tools", "allowed_tools": { "mode": mode, "tools": tools.collect::<Vec<_>>() } })
        }
        ToolChoice::Foreign(wire, choice) if *wire == WIRE => choice.clone(),
        ToolChoice::Foreign(..) => {
            return Err(Losses::refuse("tool_choice", "This provider cannot be made to choose a tool in that way."));
        }
    })
}

fn write_format(format: &Format, body: &mut Map<String, Value>) -> Result<()> {
    let written = match format {
        Format::Text => return Ok(()),
        Format::Json => json!({ "type": "json_object" }),
        Format::Schema { name, description, schema, strict } => {
            let mut inner = Map::new();
            inner.insert("name".to_owned(), name.as_deref().unwrap_or("answer").into());
            inner.extend(description.clone().map(|text| ("description".to_owned(), text.into())));
            inner.insert("schema".to_owned(), schema.clone());
            inner.extend(strict.map(|strict| ("strict".to_owned(), strict.into())));
            json!({ "type": "json_schema", "json_schema": inner })
        }
        // llama.cpp's grammar stands at the top.
        Format::Foreign(wire, Value::Object(format)) if *wire == WIRE && !format.contains_key("type") => {
            body.extend(format.iter().map(|(name, value)| (name.clone(), value.clone())));
            return Ok(());
        }
        Format::Foreign(wire, format) if *wire == WIRE => format.clone(),
        Format::Foreign(..) => {
            return Err(Losses::refuse("response_format", "This provider has no answers in that format."));
        }
    };
    body.insert("response_format".to_owned(), written);
    Ok(())
}
