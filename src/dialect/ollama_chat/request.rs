//! Requests as they are written.

use serde_json::{Map, Value, json};

use super::{WIRE, write::Writer};
use crate::{
    chat::{Effort, Format, Losses, Request, Sampling, Thinking, Tool, ToolChoice},
    dialect::{
        Encoded, Target,
        fields::{add, object},
    },
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
    if choices.is_some_and(|n| n > 1) {
        return Err(Losses::refuse("n", "Ollama gives one answer to a request."));
    }
    if let Some(modality) = modalities.iter().find(|modality| *modality != "text") {
        return Err(Losses::refuse("modalities", format!("Ollama answers in text, not in {modality}.")));
    }
    let mut writer = Writer::default();
    let own = writer.extra(extra, "");
    for (i, turn) in turns.iter().enumerate() {
        writer.turn(turn, &format!("messages[{i}]"))?;
    }
    let tools = write_tools(tools, tool_choice.as_ref(), &mut writer)?;
    let mut losses = writer.losses;
    let options: Map<String, Value> =
        write_options(sampling, max_tokens.or(target.longest), stop, &mut losses).collect();
    let mut body = object([
        ("model", Some(target.model.into())),
        ("messages", Some(writer.messages.into())),
        ("tools", (!tools.is_empty()).then(|| tools.into())),
        ("stream", Some((*stream).into())),
        ("format", write_format(format, &mut losses)?),
        ("think", thinking.as_ref().map(|thinking| write_thinking(thinking, target, &mut losses))),
        ("options", (!options.is_empty()).then(|| options.into())),
        ("logprobs", sampling.logprobs.map(Value::from)),
        ("top_logprobs", sampling.top_logprobs.map(Value::from)),
    ]);
    add(&mut body, own);
    for (name, lost) in [
        ("parallel_tool_calls", *parallel_tool_calls == Some(false)),
        ("verbosity", verbosity.is_some()),
        ("service_tier", service_tier.as_ref().is_some_and(|tier| tier != "auto" && tier != "default")),
        ("user", user.is_some()),
        ("prompt_cache_key", cache_key.is_some()),
        ("cache_control", cache.is_some()),
    ] {
        if lost {
            losses.add(name);
        }
    }
    Ok(Encoded { body, losses })
}

fn write_options(
    sampling: &Sampling,
    longest: Option<u64>,
    stop: &[String],
    losses: &mut Losses,
) -> impl Iterator<Item = (String, Value)> {
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
        logprobs: _,
        top_logprobs: _,
    } = sampling;
    if logit_bias.is_some() {
        losses.add("logit_bias");
    }
    let number = |number: &Option<serde_json::Number>| number.clone().map(Value::from);
    let options = [
        ("num_predict", longest.map(Value::from)),
        ("temperature", number(temperature)),
        ("top_p", number(top_p)),
        ("top_k", number(top_k)),
        ("min_p", number(min_p)),
        ("seed", number(seed)),
        ("frequency_penalty", number(frequency_penalty)),
        ("presence_penalty", number(presence_penalty)),
        ("repeat_penalty", number(repetition_penalty)),
        ("stop", (!stop.is_empty()).then(|| json!(stop))),
    ];
    options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)))
}

fn write_format(format: &Format, losses: &mut Losses) -> Result<Option<Value>> {
    match format {
        Format::Text => Ok(None),
        Format::Json => Ok(Some("json".into())),
        Format::Schema { name, description, schema, strict: _ } => {
            for (part, lost) in [("name", name.is_some()), ("description", description.is_some())] {
                if lost {
                    losses.add(format!("response_format.json_schema.{part}"));
                }
            }
            Ok(Some(schema.clone()))
        }
        Format::Foreign(WIRE, value) => Ok(Some(value.clone())),
        Format::Foreign(..) => Err(Losses::refuse("response_format", "Ollama does not know this form of answer.")),
    }
}

/// A switch, or a level where the model knows levels.
fn write_thinking(thinking: &Thinking, target: &Target<'_>, losses: &mut Losses) -> Value {
    let Thinking { effort, max_tokens, adaptive: _, enabled: _, hidden: _, summary: _, encrypted: _ } = thinking;
    if thinking.is_off() {
        return false.into();
    }
    let longest = target.longest.or(target.model_longest);
    let by_budget = || Some(Effort::of_budget((*max_tokens)?, longest?));
    let levels = target.quirks.iter().any(|quirk| quirk == "think_levels");
    if let Some(effort) = effort.or_else(by_budget).filter(|_| levels) {
        let level = match effort {
            Effort::None | Effort::Minimal | Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High | Effort::XHigh | Effort::Max => "high",
        };
        return level.into();
    }
    if effort.is_some() {
        losses.add("reasoning.effort");
    }
    if max_tokens.is_some() {
        losses.add("reasoning.max_tokens");
    }
    true.into()
}

fn write_tools(tools: &[Tool], choice: Option<&ToolChoice>, writer: &mut Writer) -> Result<Vec<Value>> {
    let only = match choice {
        Some(ToolChoice::None) => return Ok(Vec::new()),
        Some(ToolChoice::Among(names, false)) => Some(names),
        None | Some(ToolChoice::Auto) => None,
        Some(ToolChoice::Required | ToolChoice::Function(_) | ToolChoice::Among(_, true) | ToolChoice::Foreign(..)) => {
            return Err(Losses::refuse("tool_choice", "Ollama cannot be told that a tool must be called."));
        }
    };
    let mut written = Vec::new();
    for (i, tool) in tools.iter().enumerate() {
        let path = format!("tools[{i}]");
        match tool {
            Tool::Foreign(WIRE, value) => written.push(value.clone()),
            Tool::Foreign(..) => return Err(Losses::refuse(path, "Ollama does not know this kind of tool.")),
            Tool::Function { name, description, parameters, strict, cache, extra } => {
                if only.is_some_and(|names| !names.contains(name)) {
                    continue;
                }
                for (member, lost) in [("strict", *strict == Some(true)), ("cache_control", cache.is_some())] {
                    if lost {
                        writer.losses.add(format!("{path}.{member}"));
                    }
                }
                let empty = || json!({ "type": "object", "properties": {} });
                let mut function = object([
                    ("name", Some(name.as_str().into())),
                    ("description", description.as_deref().map(Value::from)),
                    ("parameters", Some(parameters.clone().unwrap_or_else(empty))),
                ]);
                add(&mut function, writer.extra(extra, &path));
                written.push(json!({ "type": "function", "function": function }));
            }
        }
    }
    Ok(written)
}
