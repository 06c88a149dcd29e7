//! Requests, both ways.

use serde_json::{Map, Number, Value, json};

use super::{
    WIRE,
    content::{cache, read_blocks},
    thinking::{self, Maker},
    write::Writer,
};
use crate::{
    chat::{Format, Losses, Request, Role, Sampling, Tool, ToolChoice, Turn},
    dialect::{
        Encoded, Target,
        fields::{Fields, add, object},
    },
    error::{Error, Result},
};

/// Reads a request's body. The model and whether it is a stream stand in its path.
pub fn decode_request(body: Value) -> Result<Request> {
    let mut fields = Fields::of(body, "")?;
    let mut request = Request { model: fields.text("modelId")?.unwrap_or_default(), ..Request::default() };
    let system = read_blocks(fields.list("system")?, "system")?;
    if !system.is_empty() {
        request.turns.push(Turn::new(Role::System, system));
    }
    for (i, message) in fields.list("messages")?.into_iter().enumerate() {
        request.turns.push(read_message(message, &format!("messages[{i}]"))?);
    }
    if let Some(mut config) = fields.object("inferenceConfig")? {
        request.max_tokens = config.whole("maxTokens")?;
        request.sampling.temperature = config.number("temperature")?;
        request.sampling.top_p = config.number("topP")?;
        request.stop = config.texts("stopSequences")?;
        fields.keep("inferenceConfig", config);
    }
    if let Some(mut config) = fields.object("toolConfig")? {
        for (i, tool) in config.list("tools")?.into_iter().enumerate() {
            read_tool(tool, &format!("toolConfig.tools[{i}]"), &mut request.tools)?;
        }
        request.tool_choice = config.take("toolChoice").map(read_choice);
        fields.keep("toolConfig", config);
    }
    if let Some(mut config) = fields.object("outputConfig")? {
        request.format = read_format(&mut config)?;
        fields.keep("outputConfig", config);
    }
    if let Some(mut model) = fields.object("additionalModelRequestFields")? {
        request.thinking = thinking::read(&mut model)?;
        request.sampling.top_k = model.number("top_k")?;
        fields.keep("additionalModelRequestFields", model);
    }
    if let Some(mut tier) = fields.object("serviceTier")? {
        request.service_tier = tier.text("type")?;
        fields.keep("serviceTier", tier);
    }
    request.extra = fields.extra(WIRE);
    Ok(request)
}

fn read_message(message: Value, path: &str) -> Result<Turn> {
    let mut fields = Fields::of(message, path)?;
    let role = match fields.need_text("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            return Err(Error::invalid(fields.at("role"), format!("{other:?} is no role: user or assistant.")));
        }
    };
    let parts = read_blocks(fields.list("content")?, &fields.at("content"))?;
    Ok(Turn { extra: fields.extra(WIRE), ..Turn::new(role, parts) })
}

fn read_tool(tool: Value, path: &str, tools: &mut Vec<Tool>) -> Result<()> {
    if let (Some(point), Some(Tool::Function { cache: mark @ None, .. })) =
        (tool.get("cachePoint").and_then(cache), tools.last_mut())
    {
        *mark = Some(point);
        return Ok(());
    }
    let mut fields = Fields::of(tool, path)?;
    let Some(mut spec) = fields.object("toolSpec")? else {
        tools.push(Tool::Foreign(WIRE, fields.rest().into()));
        return Ok(());
    };
    let parameters = match spec.object("inputSchema")? {
        Some(mut schema) => {
            let json = schema.take("json");
            spec.keep("inputSchema", schema);
            json
        }
        None => None,
    };
    tools.push(Tool::Function {
        name: spec.need_text("name")?,
        description: spec.text("description")?,
        parameters,
        strict: spec.switch("strict")?,
        cache: None,
        extra: spec.extra(WIRE),
    });
    Ok(())
}

fn read_choice(choice: Value) -> ToolChoice {
    let name = choice.pointer("/tool/name").and_then(Value::as_str);
    match name {
        Some(name) => ToolChoice::Function(name.to_owned()),
        None if choice.get("auto").is_some() => ToolChoice::Auto,
        None if choice.get("any").is_some() => ToolChoice::Required,
        None => ToolChoice::Foreign(WIRE, choice),
    }
}

fn read_format(config: &mut Fields) -> Result<Format> {
    let Some(text) = config.object("textFormat")? else { return Ok(Format::Text) };
    let spec = text.peek("structure").and_then(|structure| structure.get("jsonSchema")).cloned();
    let mut spec = Fields::of(spec.unwrap_or_else(|| json!({})), "outputConfig.textFormat.structure.jsonSchema")?;
    let (name, description) = (spec.text("name")?, spec.text("description")?);
    let schema = spec.text("schema")?.and_then(|schema| serde_json::from_str(&schema).ok());
    match schema {
        Some(schema) if spec.rest().is_empty() => Ok(Format::Schema { name, description, schema, strict: Some(true) }),
        _ => Ok(Format::Foreign(WIRE, text.rest().into())),
    }
}

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
        stream: _,
        service_tier,
        user,
        cache_key,
        cache,
        modalities,
        extra,
    } = request;
    if choices.is_some_and(|n| n > 1) {
        return Err(Losses::refuse("n", "Bedrock gives one answer to a request."));
    }
    if let Some(modality) = modalities.iter().find(|modality| *modality != "text") {
        return Err(Losses::refuse("modalities", format!("Bedrock's Converse answers in text, not in {modality}.")));
    }
    let maker = Maker::of(target);
    let mut writer = Writer::new(maker);
    let own = writer.extra(extra, "");
    for (i, turn) in turns.iter().enumerate() {
        writer.turn(turn, &format!("messages[{i}]"))?;
    }
    if let (Some(cache), Some(content)) = (cache, last_content(&mut writer.messages))
        && content.last().is_some_and(|block| block.get("cachePoint").is_none())
        && let Some(point) = writer.cache_point(*cache, "cache_control")
        && let Some(content) = last_content(&mut writer.messages)
    {
        content.push(point);
    }
    let tool_config = write_tools(tools, tool_choice.as_ref(), target, &mut writer)?;
    let output = write_format(format)?;

    let mut losses = writer.losses;
    let longest = max_tokens.or(target.longest);
    let mut model = Map::new();
    if let Some(thinking) = thinking {
        thinking::write(thinking, longest, maker, target, &mut model, &mut losses);
    }
    let inference = write_sampling(sampling, maker, longest, stop, &mut model, &mut losses);
    if *parallel_tool_calls == Some(false) && !tools.is_empty() {
        match (maker, tool_choice) {
            // In the maker's words, and only where Bedrock's own do not say another choice.
            (Maker::Anthropic, None | Some(ToolChoice::Auto)) => {
                model.insert("tool_choice".to_owned(), json!({ "type": "auto", "disable_parallel_tool_use": true }));
            }
            _ => losses.add("parallel_tool_calls"),
        }
    }
    let tier = match service_tier.as_deref() {
        None | Some("auto") => None,
        Some(tier @ ("default" | "flex" | "priority" | "reserved")) => Some(json!({ "type": tier })),
        Some(_) => {
            losses.add("service_tier");
            None
        }
    };
    for (name, lost) in
        [("verbosity", verbosity.is_some()), ("user", user.is_some()), ("prompt_cache_key", cache_key.is_some())]
    {
        if lost {
            losses.add(name);
        }
    }
    let mut body = object([
        ("messages", Some(writer.messages.into())),
        ("system", some(writer.system.into())),
        ("inferenceConfig", some(inference.into())),
        ("toolConfig", tool_config),
        ("outputConfig", output),
        ("additionalModelRequestFields", some(model.into())),
        ("serviceTier", tier),
    ]);
    add(&mut body, own);
    Ok(Encoded { body, losses })
}

fn last_content(messages: &mut [Value]) -> Option<&mut Vec<Value>> {
    messages.last_mut()?.get_mut("content")?.as_array_mut()
}

/// A list or an object that has something in it.
fn some(value: Value) -> Option<Value> {
    let empty = value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
    (!empty).then_some(value)
}

fn write_sampling(
    sampling: &Sampling,
    maker: Maker,
    longest: Option<u64>,
    stop: &[String],
    model: &mut Map<String, Value>,
    losses: &mut Losses,
) -> Map<String, Value> {
    let Sampling {
        temperature,
        top_p,
        top_k,
        min_p,
        frequency_penalty,
        presence_penalty,
        repetition_penalty,
        seed,
        logit_bias,
        logprobs,
        top_logprobs,
    } = sampling;
    // Claude thinks at temperature 1 only, and with all tokens.
    let thinks = model.get("thinking").is_some_and(|thinking| thinking["type"] != "disabled");
    let fits = |temperature: &&Number| !thinks || temperature.as_f64() == Some(1.0);
    let mut config = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            config.insert(name.to_owned(), value);
        }
    };
    put("maxTokens", longest.map(Value::from));
    put("temperature", temperature.as_ref().filter(fits).map(|n| n.clone().into()));
    put("topP", top_p.clone().map(Value::from));
    put("stopSequences", some(stop.into()));
    if temperature.as_ref().is_some_and(|temperature| !fits(&temperature)) {
        losses.add("temperature");
    }
    match top_k {
        Some(_) if thinks => losses.add("top_k"),
        Some(top_k) => thinking::write_top_k(top_k, maker, model, losses),
        None => {}
    }
    for (name, lost) in [
        ("min_p", min_p.is_some()),
        ("frequency_penalty", frequency_penalty.is_some()),
        ("presence_penalty", presence_penalty.is_some()),
        ("repetition_penalty", repetition_penalty.is_some()),
        ("seed", seed.is_some()),
        ("logit_bias", logit_bias.is_some()),
        ("logprobs", *logprobs == Some(true)),
        ("top_logprobs", top_logprobs.is_some()),
    ] {
        if lost {
            losses.add(name);
        }
    }
    config
}

fn write_tools(
    tools: &[Tool],
    choice: Option<&ToolChoice>,
    target: &Target<'_>,
    writer: &mut Writer,
) -> Result<Option<Value>> {
    let none = matches!(choice, Some(ToolChoice::None));
    if none && writer.called.is_empty() {
        return Ok(None);
    }
    if none {
        let why = "Bedrock cannot be told to call no tool once tools were called in the conversation.";
        return Err(Losses::refuse("tool_choice", why));
    }
    let only = match choice {
        Some(ToolChoice::Among(names, _)) => Some(names),
        _ => None,
    };
    let mut written = Vec::new();
    for (i, tool) in tools.iter().enumerate() {
        let Tool::Function { name, .. } = tool else {
            written.push(foreign_tool(tool, i)?);
            continue;
        };
        if only.is_none_or(|names| names.contains(name)) {
            write_tool(tool, &format!("tools[{i}]"), target, writer, &mut written);
        }
    }
    if written.is_empty() && !writer.called.is_empty() {
        // Calls in the conversation want tools declared, though none is offered any more.
        writer.losses.add("tools");
        let mut called = std::mem::take(&mut writer.called);
        called.sort();
        called.dedup();
        let declared = called.into_iter().map(|name| json!({ "toolSpec": { "name": name, "inputSchema": any() } }));
        return Ok(Some(json!({ "tools": declared.collect::<Vec<_>>() })));
    }
    if written.is_empty() {
        return match choice {
            None | Some(ToolChoice::Auto | ToolChoice::None) => Ok(None),
            Some(_) => Err(Error::invalid("tool_choice", "tool_choice asks for a tool, but there is none to call.")),
        };
    }
    let chosen = match choice {
        None | Some(ToolChoice::Auto | ToolChoice::None | ToolChoice::Among(_, false)) => None,
        Some(ToolChoice::Required | ToolChoice::Among(_, true)) => Some(json!({ "any": {} })),
        Some(ToolChoice::Function(name)) => Some(json!({ "tool": { "name": name } })),
        Some(ToolChoice::Foreign(WIRE, value)) => Some(value.clone()),
        Some(ToolChoice::Foreign(..)) => {
            return Err(Losses::refuse("tool_choice", "Bedrock does not know this tool choice."));
        }
    };
    Ok(Some(object([("tools", Some(written.into())), ("toolChoice", chosen)])))
}

fn foreign_tool(tool: &Tool, i: usize) -> Result<Value> {
    match tool {
        Tool::Foreign(WIRE, value) => Ok(value.clone()),
        Tool::Foreign(..) | Tool::Function { .. } => {
            Err(Losses::refuse(format!("tools[{i}]"), "Bedrock does not know this kind of tool."))
        }
    }
}

fn write_tool(tool: &Tool, path: &str, target: &Target<'_>, writer: &mut Writer, out: &mut Vec<Value>) {
    let Tool::Function { name, description, parameters, strict, cache, extra } = tool else { return };
    let schema = match parameters {
        Some(schema @ Value::Object(_)) => json!({ "json": schema }),
        _ => any(),
    };
    // Only some models take it, and the others refuse the whole request.
    let takes_strict = target.quirks.iter().any(|quirk| quirk == "strict_tools");
    if *strict == Some(true) && !takes_strict {
        writer.losses.add(format!("{path}.strict"));
    }
    let mut spec = object([
        ("name", Some(name.as_str().into())),
        ("description", description.as_deref().filter(|text| !text.is_empty()).map(Value::from)),
        ("inputSchema", Some(schema)),
        ("strict", strict.filter(|_| takes_strict).map(Value::from)),
    ]);
    add(&mut spec, writer.extra(extra, path));
    out.push(json!({ "toolSpec": spec }));
    if let Some(cache) = cache {
        out.extend(writer.cache_point(*cache, &format!("{path}.cache_control")));
    }
}

/// The schema of tools that say nothing of their arguments.
fn any() -> Value {
    json!({ "json": { "type": "object", "properties": {} } })
}

fn write_format(format: &Format) -> Result<Option<Value>> {
    match format {
        Format::Text => Ok(None),
        Format::Json => {
            Err(Losses::refuse("response_format", "Bedrock has no JSON mode without a schema: use json_schema."))
        }
        Format::Schema { name, description, schema, strict: _ } => {
            let spec = object([
                ("schema", Some(schema.to_string().into())),
                ("name", name.as_deref().map(Value::from)),
                ("description", description.as_deref().map(Value::from)),
            ]);
            Ok(Some(json!({ "textFormat": { "type": "json_schema", "structure": { "jsonSchema": spec } } })))
        }
        Format::Foreign(WIRE, value) => Ok(Some(json!({ "textFormat": value }))),
        Format::Foreign(..) => Err(Losses::refuse("response_format", "Bedrock does not know this form of answer.")),
    }
}
