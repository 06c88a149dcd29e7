//! Requests as they are written.

use serde_json::{Value, json};

use super::{WIRE, write::Writer};
use crate::{
    chat::{Effort, Format, Losses, Request, Sampling, Thinking, Tool, ToolChoice},
    dialect::{
        Encoded, Target,
        fields::{add, object},
    },
    error::{Error, Result},
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
        return Err(Losses::refuse("n", "Cohere gives one answer to a request."));
    }
    if let Some(modality) = modalities.iter().find(|modality| *modality != "text") {
        return Err(Losses::refuse("modalities", format!("Cohere answers in text, not in {modality}.")));
    }
    let mut writer = Writer::default();
    let own = writer.extra(extra, "");
    for (i, turn) in turns.iter().enumerate() {
        writer.turn(turn, &format!("messages[{i}]"))?;
    }
    let longest = max_tokens.or(target.longest);
    let mut body = object([
        ("model", Some(target.model.into())),
        ("messages", Some(std::mem::take(&mut writer.messages).into())),
        ("stream", Some((*stream).into())),
        ("max_tokens", longest.map(Value::from)),
        ("stop_sequences", (!stop.is_empty()).then(|| json!(stop))),
        ("response_format", write_format(format, &mut writer.losses)?),
        ("thinking", thinking.as_ref().map(|thinking| write_thinking(thinking, longest, target, &mut writer.losses))),
    ]);
    let tools = write_tools(tools, tool_choice.as_ref(), &mut writer)?;
    let sampling = write_sampling(sampling, &mut writer.losses);
    let given = own.and_then(|own| own.get("documents")).and_then(Value::as_array).cloned().unwrap_or_default();
    let documents: Vec<Value> = given.into_iter().chain(std::mem::take(&mut writer.documents)).collect();
    let documents = object([("documents", (!documents.is_empty()).then(|| documents.into()))]);
    for members in [tools.as_object(), sampling.as_object(), documents.as_object(), own] {
        add(&mut body, members);
    }
    let mut losses = writer.losses;
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

fn write_sampling(sampling: &Sampling, losses: &mut Losses) -> Value {
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
    for (name, lost) in [
        ("min_p", min_p.is_some()),
        ("repetition_penalty", repetition_penalty.is_some()),
        ("logit_bias", logit_bias.is_some()),
        ("top_logprobs", top_logprobs.is_some()),
    ] {
        if lost {
            losses.add(name);
        }
    }
    let number = |number: &Option<serde_json::Number>| number.clone().map(Value::from);
    object([
        ("temperature", number(temperature)),
        ("p", number(top_p)),
        ("k", number(top_k)),
        ("seed", number(seed)),
        ("frequency_penalty", number(frequency_penalty)),
        ("presence_penalty", number(presence_penalty)),
        ("logprobs", logprobs.map(Value::from)),
    ])
}

fn write_format(format: &Format, losses: &mut Losses) -> Result<Option<Value>> {
    match format {
        Format::Text => Ok(None),
        Format::Json => Ok(Some(json!({ "type": "json_object" }))),
        Format::Schema { name, description, schema, strict: _ } => {
            for (part, lost) in [("name", name.is_some()), ("description", description.is_some())] {
                if lost {
                    losses.add(format!("response_format.json_schema.{part}"));
                }
            }
            Ok(Some(json!({ "type": "json_object", "json_schema": schema })))
        }
        Format::Foreign(WIRE, value) => Ok(Some(value.clone())),
        Format::Foreign(..) => Err(Losses::refuse("response_format", "Cohere does not know this form of answer.")),
    }
}

/// By budget: Cohere's own words for how hard to think are tokens.
fn write_thinking(thinking: &Thinking, longest: Option<u64>, target: &Target<'_>, losses: &mut Losses) -> Value {
    let Thinking { effort, max_tokens, adaptive: _, enabled: _, hidden: _, summary: _, encrypted: _ } = thinking;
    if thinking.is_off() {
        return json!({ "type": "disabled" });
    }
    let effort = effort.filter(|_| max_tokens.is_none());
    let longest = longest.or(target.model_longest);
    let by_effort = effort.zip(longest).map(|(effort, longest)| Effort::budget(effort, longest));
    if effort.is_some() && by_effort.is_none() {
        losses.add("reasoning.effort");
    }
    object([("type", Some("enabled".into())), ("token_budget", max_tokens.or(by_effort).map(Value::from))])
}

fn write_tools(tools: &[Tool], choice: Option<&ToolChoice>, writer: &mut Writer) -> Result<Value> {
    let only = match choice {
        Some(ToolChoice::Function(name)) => Some(std::slice::from_ref(name)),
        Some(ToolChoice::Among(names, _)) => Some(names.as_slice()),
        _ => None,
    };
    let (mut written, mut strict) = (Vec::new(), Vec::new());
    for (i, tool) in tools.iter().enumerate() {
        let path = format!("tools[{i}]");
        match tool {
            Tool::Foreign(WIRE, value) => written.push(value.clone()),
            Tool::Foreign(..) => {
                return Err(Losses::refuse(path, "Cohere does not know this kind of tool."));
            }
            Tool::Function { name, description, parameters, strict: to_the_letter, cache, extra } => {
                if only.is_some_and(|names| !names.contains(name)) {
                    continue;
                }
                if cache.is_some() {
                    writer.losses.add(format!("{path}.cache_control"));
                }
                let mut function = object([
                    ("name", Some(name.as_str().into())),
                    ("description", description.as_deref().map(Value::from)),
                    ("parameters", Some(parameters.clone().unwrap_or_else(|| json!({ "type": "object" })))),
                ]);
                add(&mut function, writer.extra(extra, &path));
                written.push(json!({ "type": "function", "function": function }));
                strict.push(*to_the_letter);
            }
        }
    }
    // One switch for all tools: only what all of them say is said.
    let all = strict.first().copied().flatten().filter(|first| strict.iter().all(|other| *other == Some(*first)));
    if all.is_none() && strict.contains(&Some(true)) {
        writer.losses.add("tools[].strict");
    }
    let forced = matches!(choice, Some(ToolChoice::Required | ToolChoice::Function(_) | ToolChoice::Among(_, true)));
    if forced && written.is_empty() {
        return Err(Error::invalid("tool_choice", "tool_choice asks for a tool, but there is none to call."));
    }
    let word = match choice {
        None | Some(ToolChoice::Auto | ToolChoice::Among(_, false)) => None,
        Some(ToolChoice::None) => (!written.is_empty()).then_some("NONE"),
        Some(ToolChoice::Required | ToolChoice::Function(_) | ToolChoice::Among(_, true)) => Some("REQUIRED"),
        Some(ToolChoice::Foreign(WIRE, value)) => value.as_str(),
        Some(ToolChoice::Foreign(..)) => {
            return Err(Losses::refuse("tool_choice", "Cohere does not know this tool choice."));
        }
    };
    Ok(object([
        ("tools", (!written.is_empty()).then(|| written.into())),
        ("strict_tools", all.map(Value::from)),
        ("tool_choice", word.map(Value::from)),
    ]))
}
