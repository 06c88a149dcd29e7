//! Requests, both ways.

use serde_json::{Map, Value, json};

use super::WIRE;
use crate::{
    chat::{Extra, Format, Losses, Part, PartKind, Request, Role, Turn},
    dialect::{
        Encoded, Target,
        openai_common::{Members, kind, read_sampling, read_stop, take_owned, write_sampling},
    },
    error::{Error, Result},
};

/// Reads a request.
pub fn decode_request(body: Value) -> Result<Request> {
    let mut body = Members::new(body, "")?;
    take_owned(&mut body);
    let prompt = body.take("prompt");
    let prompt = read_prompt(body.needed("prompt", prompt)?)?;
    let mut sampling = read_sampling(&mut body)?;
    // Zero asks for the probabilities of what was drawn, and of nothing beside it.
    sampling.top_logprobs = body.count("logprobs")?;
    sampling.logprobs = sampling.top_logprobs.map(|_| true);
    Ok(Request {
        model: body.string("model")?.unwrap_or_default(),
        turns: vec![Turn::new(Role::User, vec![prompt])],
        sampling,
        max_tokens: body.count("max_tokens")?.max(body.count("max_completion_tokens")?),
        stop: read_stop(&mut body)?,
        choices: body.count("n")?,
        stream: body.flag("stream")?.unwrap_or(false),
        service_tier: body.string("service_tier")?,
        user: body.string("user")?,
        cache_key: body.string("prompt_cache_key")?,
        extra: Extra::of(WIRE, body.rest()),
        ..Request::default()
    })
}

/// A string, an array of one, or token numbers.
fn read_prompt(prompt: Value) -> Result<Part> {
    match prompt {
        Value::String(text) => Ok(Part::text(text)),
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_number) => Ok(tokens(items.into())),
        Value::Array(mut items) if items.len() == 1 => match items.pop() {
            Some(Value::String(text)) => Ok(Part::text(text)),
            Some(Value::Array(numbers)) if numbers.iter().all(Value::is_number) => Ok(tokens(numbers.into())),
            other => {
                let found = kind(&other.unwrap_or_default());
                Err(Error::invalid("prompt[0]", format!("prompt[0] must be a string or token numbers, not {found}.")))
            }
        },
        Value::Array(items) => {
            let message = format!("prompt must be one prompt, not {}: send a request for each.", items.len());
            Err(Error::invalid("prompt", message))
        }
        other => {
            let message = format!("prompt must be a string or an array of one string, not {}.", kind(&other));
            Err(Error::invalid("prompt", message))
        }
    }
}

fn tokens(numbers: Value) -> Part {
    Part::new(PartKind::Foreign(WIRE, numbers))
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
        stream,
        service_tier,
        user,
        cache_key,
        cache,
        modalities,
        extra,
    } = request;
    let quirk = |name: &str| target.quirks.iter().any(|known| known == name);
    let refused = |there: bool, field: &str, what: &str| {
        let why = || format!("This model continues a prompt and knows no {what}.");
        if there { Err(Losses::refuse(field, why())) } else { Ok(()) }
    };
    refused(!tools.is_empty(), "tools", "tools")?;
    refused(*format != Format::Text, "response_format", "formats of answers")?;
    refused(!modalities.is_empty(), "modalities", "output but text")?;
    let mut losses = Losses::default();
    let asked = [
        (tool_choice.is_some(), "tool_choice"),
        (parallel_tool_calls.is_some(), "parallel_tool_calls"),
        (thinking.is_some(), "reasoning"),
        (verbosity.is_some(), "verbosity"),
        (cache.is_some(), "cache_control"),
    ];
    asked.iter().filter(|(there, _)| *there).for_each(|(_, field)| losses.add(*field));

    let mut body = Map::new();
    let set = |body: &mut Map<String, Value>, name: &str, value: Option<Value>| {
        body.extend(value.map(|value| (name.to_owned(), value)));
    };
    set(&mut body, "model", Some(target.model.into()));
    set(&mut body, "prompt", Some(write_prompt(turns, &mut losses)?));
    write_sampling(sampling, quirk, &mut body, &mut losses);
    let logprobs = sampling.logprobs.unwrap_or(sampling.top_logprobs.is_some());
    set(&mut body, "logprobs", logprobs.then(|| sampling.top_logprobs.unwrap_or(0).into()));
    set(&mut body, "max_tokens", target.longest.or(*max_tokens).map(Value::from));
    set(&mut body, "stop", (!stop.is_empty()).then(|| json!(stop)));
    set(&mut body, "n", choices.map(Value::from));
    set(&mut body, "service_tier", service_tier.clone().map(Value::from));
    set(&mut body, "user", user.clone().map(Value::from));
    set(&mut body, "prompt_cache_key", cache_key.clone().map(Value::from));
    if *stream {
        set(&mut body, "stream", Some(true.into()));
        set(&mut body, "stream_options", (!quirk("no_stream_options")).then(|| json!({ "include_usage": true })));
    }
    extra.lost(WIRE).for_each(|name| losses.add(name));
    for (name, value) in extra.own(WIRE).into_iter().flatten() {
        body.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    Ok(Encoded { body: Value::Object(body), losses })
}

/// Instructions and one question, as a prompt: paragraphs in their order.
fn write_prompt(turns: &[Turn], losses: &mut Losses) -> Result<Value> {
    if let [Turn { parts, .. }] = turns
        && let [Part { kind: PartKind::Foreign(WIRE, numbers), .. }] = parts.as_slice()
    {
        return Ok(numbers.clone());
    }
    let mut paragraphs = Vec::new();
    for (n, turn) in turns.iter().enumerate() {
        let path = format!("messages[{n}]");
        let why = "This model continues one prompt: send instructions and one message of text.";
        match turn.role {
            Role::System | Role::Developer => losses.add(format!("{path}.role")),
            Role::User if n + 1 == turns.len() => {}
            Role::User | Role::Assistant => return Err(Losses::refuse(path, why)),
        }
        if turn.name.is_some() {
            losses.add(format!("{path}.name"));
        }
        turn.extra.lost(WIRE).for_each(|name| losses.add(format!("{path}.{name}")));
        for (at, part) in turn.parts.iter().enumerate() {
            let path = format!("{path}.content[{at}]");
            let PartKind::Text { text, .. } = &part.kind else { return Err(Losses::refuse(path, why)) };
            if part.cache.is_some() {
                losses.add(format!("{path}.cache_control"));
            }
            part.extra.lost(WIRE).for_each(|name| losses.add(format!("{path}.{name}")));
            paragraphs.push(text.as_str());
        }
    }
    Ok(paragraphs.join("\n\n").into())
}
