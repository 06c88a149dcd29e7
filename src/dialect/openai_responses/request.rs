//! Requests, both ways.

use serde_json::Value;

use super::{
    WIRE, is_own,
    items::read_input,
    object::{Members, Object, merge},
    settings,
    turns::Writer,
};
use crate::{
    chat::{Extra, Losses, Part, PartKind, Request, Role, Sampling, Turn},
    dialect::{Encoded, Target},
    error::{Error, Result},
};

/// Members that ask the provider to keep something, or to use what it keeps.
pub(super) const STATE: [&str; 5] = ["previous_response_id", "conversation", "background", "store", "prompt"];

/// The least that OpenAI takes as `max_output_tokens`.
const LEAST_TOKENS: u64 = 16;

/// Takes a number for the longest answer, where nobody says how long it may be.
const USUAL_LONGEST: u64 = 64_000;

/// Reads a client's request.
pub fn decode_request(body: Value) -> Result<Request> {
    let mut body = Object::read(body, "")?;
    let mut rest = Members::new();
    let model = body.text("model")?.unwrap_or_default();
    let mut turns = Vec::new();
    if let Some(instructions) = body.text("instructions")? {
        // The mark of this format and nothing else says that these are `instructions`.
        let extra = Extra { wire: Some(WIRE), members: Members::new() };
        turns.push(Turn { extra, ..Turn::new(Role::System, vec![Part::text(instructions)]) });
    }
    if let Some(input) = body.take("input") {
        turns.append(&mut read_input(input)?);
    }
    let tools = settings::read_tools(body.list("tools")?)?;
    let tool_choice = body.take("tool_choice").map(settings::read_choice);
    let (format, verbosity) = settings::read_text(body.object("text")?, &mut rest)?;
    let mut thinking = settings::read_reasoning(body.object("reasoning")?, &mut rest)?;
    let mut sampling = read_sampling(&mut body)?;
    settings::read_include(body.list("include")?, &mut thinking, &mut sampling, &mut rest);
    let user = body.text("user")?;
    // `safety_identifier` is the new name of `user`; with both, each goes its way.
    let user = if user.is_some() { user } else { body.text("safety_identifier")? };
    for idle in ["store", "background"] {
        if body.flag(idle)? == Some(true) {
            body.put(idle, true);
        }
    }
    let request = Request {
        model,
        turns,
        tools,
        tool_choice,
        parallel_tool_calls: body.flag("parallel_tool_calls")?,
        format,
        sampling,
        max_tokens: body.count("max_output_tokens")?,
        stop: settings::read_words(body.take("stop"), "stop")?,
        choices: None,
        thinking,
        verbosity,
        stream: body.flag("stream")?.unwrap_or(false),
        service_tier: body.text("service_tier")?,
        user,
        cache_key: body.text("prompt_cache_key")?,
        cache: None,
        modalities: settings::read_words(body.take("modalities"), "modalities")?,
        extra: Extra::default(),
    };
    let mut extra = body.rest();
    extra.members.append(&mut rest);
    Ok(Request { extra, ..request })
}

/// OpenAI knows the first three; routers take the others as well.
fn read_sampling(body: &mut Object) -> Result<Sampling> {
    Ok(Sampling {
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        top_logprobs: body.count("top_logprobs")?,
        top_k: body.number("top_k")?,
        min_p: body.number("min_p")?,
        frequency_penalty: body.number("frequency_penalty")?,
        presence_penalty: body.number("presence_penalty")?,
        repetition_penalty: body.number("repetition_penalty")?,
        seed: body.number("seed")?,
        logit_bias: body.take("logit_bias"),
        logprobs: None,
    })
}

/// Refuses what only a provider can do that speaks this format and keeps state: for requests of this
/// format that are to be served in another one.
pub fn needs_state(request: &Request) -> Result<()> {
    let own = request.extra.own(WIRE);
    if let Some(member) = STATE.into_iter().find(|member| own.is_some_and(|own| own.contains_key(*member))) {
        let message = format!(
            "`{member}` needs state that is kept at the provider, and the gateway keeps none for this model: send the \
             whole conversation in `input`, with `store` false or absent and without \
             `previous_response_id`, `conversation`, `background` and `prompt`."
        );
        return Err(Error::invalid(member, message).code("unsupported_parameter"));
    }
    let refers = |part: &Part| matches!(&part.kind, PartKind::Foreign(WIRE, item) if item.get("type").is_some_and(|kind| kind == "item_reference"));
    if request.turns.iter().flat_map(|turn| &turn.parts).any(refers) {
        let message = "An `item_reference` refers to state that is kept at the provider: send the item itself.";
        return Err(Error::invalid("input", message).code("unsupported_parameter"));
    }
    Ok(())
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
    let mut losses = Losses::default();
    let own = is_own(extra);
    let router = target.quirks.iter().any(|quirk| quirk == "openrouter");
    let mut body = Members::new();
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(key.to_owned(), value);
        }
    };
    set("model", Some(target.model.into()));
    let (instructions, turns) = instructions(turns);
    set("instructions", instructions.map(Value::from));
    let mut writer = Writer::new(&mut losses, router);
    for (index, turn) in turns {
        writer.turn(turn, &format!("messages[{index}]"))?;
    }
    set("input", Some(writer.items.into()));
    let mut written = Vec::with_capacity(tools.len());
    for (index, tool) in tools.iter().enumerate() {
        written.push(settings::write_tool(tool, &format!("tools[{index}]"), &mut losses)?);
    }
    set("tools", (!written.is_empty()).then(|| written.into()));
    set("tool_choice", tool_choice.as_ref().map(settings::write_choice).transpose()?);
    set("parallel_tool_calls", parallel_tool_calls.map(Value::from));
    set("text", settings::write_text(format, verbosity.as_ref())?);
    let longest = target.model_longest.or(*max_tokens).unwrap_or(USUAL_LONGEST);
    set("reasoning", thinking.as_ref().and_then(|thinking| settings::write_reasoning(thinking, longest, router)));
    set("include", settings::write_include(thinking.as_ref(), sampling));
    set("max_output_tokens", longest_answer(target.longest.or(*max_tokens), own, &mut losses).map(Value::from));
    write_sampling(sampling, own || router, &mut set, &mut losses);
    set("service_tier", service_tier.as_deref().map(Value::from));
    set("user", user.as_deref().map(Value::from));
    set("prompt_cache_key", cache_key.as_deref().map(Value::from));
    set("stream", stream.then_some(true.into()));
    if !stop.is_empty() {
        if own || router {
            set("stop", Some(stop.as_slice().into()));
        } else {
            losses.add("stop");
        }
    }
    if choices.is_some_and(|choices| choices > 1) {
        return Err(Losses::refuse("n", "OpenAI's Responses format gives one answer to a request."));
    }
    if modalities.iter().any(|kind| kind != "text") && !(own || router) {
        return Err(Losses::refuse(
            "modalities",
            "OpenAI's Responses format gives text; images come from its own tool for them.",
        ));
    }
    if !modalities.is_empty() && (own || router) {
        set("modalities", Some(modalities.as_slice().into()));
    }
    if cache.is_some() {
        losses.add("cache_control");
    }
    extra.lost(WIRE).for_each(|key| losses.add(key));
    merge(&mut body, extra.own(WIRE).unwrap_or(&Members::new()));
    if !STATE.into_iter().any(|member| body.contains_key(member)) {
        body.insert("store".to_owned(), false.into());
    }
    Ok(Encoded { body: Value::Object(body), losses })
}

/// The `instructions`, if the first turn is theirs, and the turns that are not.
fn instructions(turns: &[Turn]) -> (Option<&str>, impl Iterator<Item = (usize, &Turn)>) {
    let text =
        turns.first().filter(|turn| is_own(&turn.extra) && turn.extra.members.is_empty()).and_then(|turn| {
            match (turn.role, turn.parts.as_slice()) {
                (Role::System, [Part { kind: PartKind::Text { text, .. }, .. }]) => Some(text.as_str()),
                _ => None,
            }
        });
    (text, turns.iter().enumerate().skip(usize::from(text.is_some())))
}

/// A request of another format may ask for less than OpenAI takes.
fn longest_answer(tokens: Option<u64>, own: bool, losses: &mut Losses) -> Option<u64> {
    let tokens = tokens?;
    if tokens < LEAST_TOKENS && !own {
        losses.add("max_tokens");
        return Some(LEAST_TOKENS);
    }
    Some(tokens)
}

/// `all`: they are known to whoever gets the request, or the client asked in this very format.
fn write_sampling(sampling: &Sampling, all: bool, set: &mut impl FnMut(&str, Option<Value>), losses: &mut Losses) {
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
        top_logprobs,
    } = sampling;
    set("temperature", temperature.clone().map(Value::Number));
    set("top_p", top_p.clone().map(Value::Number));
    set("top_logprobs", top_logprobs.map(Value::from));
    let others = [
        ("top_k", top_k),
        ("min_p", min_p),
        ("frequency_penalty", frequency_penalty),
        ("presence_penalty", presence_penalty),
        ("repetition_penalty", repetition_penalty),
        ("seed", seed),
    ];
    let others = others.map(|(key, number)| (key, number.clone().map(Value::Number)));
    for (key, value) in others.into_iter().chain([("logit_bias", logit_bias.clone())]) {
        match value {
            Some(value) if all => set(key, Some(value)),
            Some(_) => losses.add(key),
            None => {}
        }
    }
}
