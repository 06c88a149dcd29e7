//! A request, written for a provider.

use serde_json::{Map, Number, Value, json};

use super::{
    WIRE,
    fields::{cache_control, object},
    models,
    part::Cx,
    thinking::{self, Around},
    turns,
};
use crate::{
    chat::{Format, Losses, Request, Sampling, Tool, ToolChoice},
    dialect::{Encoded, Target},
    error::Result,
};

/// Longest answer asked for where nobody says how long it may be: every model can give so much.
pub const DEFAULT_MAX_TOKENS: u64 = 4096;

/// What a request for a count may have.
const COUNTED: [&str; 11] = [
    "model",
    "system",
    "messages",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "cache_control",
    "mcp_servers",
    "context_management",
    "speed",
];

/// Writes a request for an answer.
pub fn encode_request(request: &Request, target: &Target<'_>) -> Result<Encoded> {
    let mut cx = Cx { quirks: target.quirks, model_quirks: models::quirks(target.model), ..Cx::default() };
    let (vertex, bedrock) = (cx.has("vertex"), cx.has("bedrock_invoke"));
    cx.bytes_only = bedrock;
    let longest = target.longest.or(request.max_tokens).or(target.model_longest).unwrap_or(DEFAULT_MAX_TOKENS);

    let mut body = Map::new();
    if !vertex && !bedrock {
        body.insert("model".to_owned(), target.model.into());
    }
    body.insert("max_tokens".to_owned(), longest.into());
    let mut conversation = turns::encode(request, &mut cx)?;
    let thoughtless = conversation.is_thoughtless();
    match request.cache.map(cache_control) {
        Some(mark) if bedrock => conversation.mark_last(mark),
        Some(mark) => drop(body.insert("cache_control".to_owned(), mark)),
        None => {}
    }
    conversation.write(&mut body);
    let forced = tools(request, &mut cx, &mut body)?;
    let thinks = thinking::encode(request, Around { longest, forced, thoughtless }, &mut cx, &mut body);
    sampling(&request.sampling, thinks, &mut cx, &mut body);
    format(&request.format, &mut cx, &mut body)?;
    options(request, bedrock, &mut cx, &mut body)?;
    cx.extend(&mut body, &request.extra, "");
    if vertex {
        body.insert("anthropic_version".to_owned(), "vertex-2023-10-16".into());
    } else if bedrock {
        body.insert("anthropic_version".to_owned(), "bedrock-2023-05-31".into());
    }
    if request.stream && !bedrock {
        body.insert("stream".to_owned(), true.into());
    }
    Ok(Encoded { body: Value::Object(body), losses: cx.losses })
}

/// Writes a request for the count of its tokens: what concerns the answer alone is left out.
pub fn encode_count_request(request: &Request, target: &Target<'_>) -> Result<Encoded> {
    // Nothing is going to be answered: no budget for thinking is too large.
    let target = Target { longest: request.max_tokens.or(Some(u64::from(u32::MAX))), ..*target };
    let mut encoded = encode_request(request, &target)?;
    if let Value::Object(body) = &mut encoded.body {
        body.retain(|key, _| COUNTED.contains(&key.as_str()));
    }
    Ok(encoded)
}

/// Writes tools and the choice among them; whether one must be called.
fn tools(request: &Request, cx: &mut Cx<'_>, body: &mut Map<String, Value>) -> Result<bool> {
    let among = match &request.tool_choice {
        Some(ToolChoice::Among(names, _)) => Some(names),
        _ => None,
    };
    let mut tools = Vec::with_capacity(request.tools.len());
    for (index, tool) in request.tools.iter().enumerate() {
        let at = format!("tools[{index}]");
        match tool {
            // The format has no list of allowed ones: the others are not offered.
            Tool::Function { name, .. } if among.is_some_and(|names| !names.contains(name)) => {}
            tool => tools.push(self::tool(tool, cx, &at)?),
        }
    }
    let offered = !tools.is_empty();
    if offered {
        body.insert("tools".to_owned(), tools.into());
    }
    let kind = match &request.tool_choice {
        Some(ToolChoice::Required | ToolChoice::Function(_)) if !offered => {
            return Err(Losses::refuse("tool_choice", "tool_choice demands a call, but there are no tools."));
        }
        Some(ToolChoice::Among(..)) if !offered => {
            return Err(Losses::refuse("tool_choice", "tool_choice allows none of the tools."));
        }
        Some(ToolChoice::Foreign(WIRE, choice)) => {
            body.insert("tool_choice".to_owned(), choice.clone());
            return Ok(false);
        }
        Some(ToolChoice::Foreign(..)) => {
            return Err(Losses::refuse("tool_choice", "This provider does not know this kind of tool_choice."));
        }
        Some(ToolChoice::Required | ToolChoice::Among(_, true)) => Some("any"),
        Some(ToolChoice::Function(_)) => Some("tool"),
        Some(ToolChoice::None) => Some("none"),
        Some(ToolChoice::Auto | ToolChoice::Among(_, false)) => Some("auto"),
        None => None,
    };
    let single = request.parallel_tool_calls == Some(false) && kind != Some("none");
    if let Some(kind) = kind.or(single.then_some("auto")).filter(|_| offered) {
        let name = match &request.tool_choice {
            Some(ToolChoice::Function(name)) => Some(name.as_str().into()),
            _ => None,
        };
        let choice = object([
            ("type", Some(kind.into())),
            ("name", name),
            ("disable_parallel_tool_use", single.then_some(true.into())),
        ]);
        body.insert("tool_choice".to_owned(), Value::Object(choice));
    }
    Ok(matches!(kind, Some("any" | "tool")))
}

fn tool(tool: &Tool, cx: &mut Cx<'_>, at: &str) -> Result<Value> {
    match tool {
        Tool::Foreign(WIRE, tool) => Ok(tool.clone()),
        Tool::Foreign(..) => Err(Losses::refuse(at, "This provider does not have this tool.")),
        Tool::Function { name, description, parameters, strict, cache, extra } => {
            let strict = *strict == Some(true);
            if strict && cx.has("no_strict") {
                cx.losses.add(format!("{at}.strict"));
            }
            let mut tool = object([
                ("name", Some(name.as_str().into())),
                ("description", description.as_deref().map(Value::from)),
                ("input_schema", Some(input_schema(parameters.as_ref()))),
                ("strict", (strict && !cx.has("no_strict")).then_some(true.into())),
                ("cache_control", cache.map(cache_control)),
            ]);
            cx.extend(&mut tool, extra, at);
            Ok(Value::Object(tool))
        }
    }
}

/// The format insists on a schema, and on that it is one of an object.
fn input_schema(parameters: Option<&Value>) -> Value {
    match parameters {
        None | Some(Value::Null) => json!({ "type": "object", "properties": {} }),
        Some(Value::Object(schema)) if !schema.contains_key("type") => {
            let mut typed = object([("type", Some("object".into()))]);
            typed.extend(schema.clone());
            Value::Object(typed)
        }
        Some(schema) => schema.clone(),
    }
}

fn sampling(sampling: &Sampling, thinks: bool, cx: &mut Cx<'_>, body: &mut Map<String, Value>) {
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
    let above = |number: &Number, most: f64| number.as_f64().is_some_and(|number| number > most);
    let mut put = |key: &str, value: &Option<Number>, taken: &dyn Fn(&Number) -> bool, cx: &mut Cx<'_>| {
        let Some(number) = value else { return };
        if taken(number) {
            body.insert(key.to_owned(), Value::Number(number.clone()));
        } else {
            cx.losses.add(key);
        }
    };
    let allowed = !cx.has("no_sampling");
    let both = temperature.is_some() && top_p.is_some() && cx.has("one_sampler");
    let is = |number: &Number, wanted: f64| number.as_f64().is_some_and(|n| (n - wanted).abs() < f64::EPSILON);
    put("temperature", temperature, &|t| allowed && !above(t, 1.0) && (!thinks || is(t, 1.0)), cx);
    put("top_p", top_p, &|p| allowed && !both && (!thinks || p.as_f64().is_some_and(|p| p >= 0.95)), cx);
    put("top_k", top_k, &|_| allowed && !thinks, cx);
    if allowed && temperature.as_ref().is_some_and(|t| above(t, 1.0)) {
        // Hotter than the format goes: as hot as it goes, and said to be a loss.
        body.insert("temperature".to_owned(), 1.into());
    }
    let others = [
        ("min_p", min_p.is_some()),
        ("frequency_penalty", frequency_penalty.is_some()),
        ("presence_penalty", presence_penalty.is_some()),
        ("repetition_penalty", repetition_penalty.is_some()),
        ("seed", seed.is_some()),
        ("logit_bias", logit_bias.is_some()),
        ("logprobs", *logprobs == Some(true)),
        ("top_logprobs", top_logprobs.is_some_and(|count| count > 0)),
    ];
    others.into_iter().filter(|(_, given)| *given).for_each(|(name, _)| cx.losses.add(name));
}

fn format(format: &Format, cx: &mut Cx<'_>, body: &mut Map<String, Value>) -> Result<()> {
    let written = match format {
        Format::Text => return Ok(()),
        Format::Json => {
            let why = "This provider has no JSON mode: name a JSON schema (response_format json_schema) instead.";
            return Err(Losses::refuse("response_format", why));
        }
        Format::Schema { name, description, schema, strict: _ } => {
            for (key, given) in [("name", name), ("description", description)] {
                if given.is_some() {
                    cx.losses.add(format!("response_format.{key}"));
                }
            }
            json!({ "type": "json_schema", "schema": schema })
        }
        Format::Foreign(WIRE, format) => format.clone(),
        Format::Foreign(..) => {
            return Err(Losses::refuse("response_format", "This provider does not know this form of an answer."));
        }
    };
    if let Value::Object(config) = body.entry("output_config").or_insert_with(|| json!({})) {
        config.insert("format".to_owned(), written);
    }
    Ok(())
}

fn options(request: &Request, bedrock: bool, cx: &mut Cx<'_>, body: &mut Map<String, Value>) -> Result<()> {
    if request.choices.is_some_and(|choices| choices > 1) {
        return Err(Losses::refuse("n", "This provider gives one answer to a request."));
    }
    if let Some(kind) = request.modalities.iter().find(|kind| *kind != "text") {
        return Err(Losses::refuse("modalities", format!("This provider's answers are text, not {kind}.")));
    }
    // Line ends and other white space are refused as stop words.
    let stop: Vec<&str> = request.stop.iter().map(String::as_str).filter(|word| !word.trim().is_empty()).collect();
    if stop.len() < request.stop.len() {
        cx.losses.add("stop");
    }
    if !stop.is_empty() {
        body.insert("stop_sequences".to_owned(), stop.into());
    }
    if request.cache_key.is_some() {
        cx.losses.add("prompt_cache_key");
    }
    match request.user.as_deref() {
        Some(_) if bedrock => cx.losses.add("user"),
        Some(user) => drop(body.insert("metadata".to_owned(), json!({ "user_id": user }))),
        None => {}
    }
    let tier = match request.service_tier.as_deref() {
        None => None,
        Some(_) if bedrock => {
            cx.losses.add("service_tier");
            None
        }
        Some("auto") => Some("auto"),
        Some("default") => Some("standard_only"),
        Some(other) => {
            cx.losses.add("service_tier");
            // Capacity bought ahead is used where there is some: not quite what was asked for.
            (other == "priority").then_some("auto")
        }
    };
    if let Some(tier) = tier {
        body.insert("service_tier".to_owned(), tier.into());
    }
    Ok(())
}
