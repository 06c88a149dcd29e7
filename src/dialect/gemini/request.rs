//! `GenerateContentRequest`, both ways. The model and whether the answer is a stream stand in the URL
//! (`models/{model}:streamGenerateContent`): whoever read it says so.

use serde_json::{Map, Value, json};

use super::{
    config, content, tools, turns,
    wire::{At, members, merge, text, word},
};
use crate::{
    chat::{Extra, Losses, Request, Tool, Wire},
    dialect::{Encoded, Target},
    error::{Error, Result},
};

const TIERS: [&str; 4] = ["SERVICE_TIER_UNSPECIFIED", "STANDARD", "FLEX", "PRIORITY"];

/// A request as a client sends it.
pub fn decode_request(body: Value) -> Result<Request> {
    let Value::Object(_) = &body else {
        return Err(Error::invalid("contents", "The body must be a JSON object with `contents`."));
    };
    let (mut request, mut extra) = (Request::default(), Map::new());
    let mut system = None;
    for (name, value) in members(body, &At::root("body"))? {
        let at = At::root(&name);
        match name.as_str() {
            "model" => {
                let model = text(value, &at)?;
                request.model = model.strip_prefix("models/").map(str::to_owned).unwrap_or(model);
            }
            "systemInstruction" => system = Some(content::read_system(value, &at)?),
            "contents" => content::read_contents(value, &at, &mut request.turns)?,
            "tools" => request.tools = tools::read(value, &at)?,
            "toolConfig" => {
                let (choice, rest) = tools::read_config(value, &at)?;
                request.tool_choice = choice;
                keep(&mut extra, name, rest);
            }
            "generationConfig" => {
                let rest = config::read(value, &at, &mut request)?;
                keep(&mut extra, name, rest);
            }
            "serviceTier" => {
                let tier = word(value, &TIERS).ok_or_else(|| at.invalid("`STANDARD`, `FLEX` or `PRIORITY`"))?;
                request.service_tier = read_tier(&tier);
            }
            _ => {
                extra.insert(name, value);
            }
        }
    }
    if let Some(system) = system {
        request.turns.insert(0, system);
    }
    request.extra = Extra::of(Wire::Gemini, extra);
    Ok(request)
}

fn keep(extra: &mut Map<String, Value>, name: String, rest: Map<String, Value>) {
    if !rest.is_empty() {
        extra.insert(name, Value::Object(rest));
    }
}

/// A tier in OpenAI's words.
pub(super) fn read_tier(word: &str) -> Option<String> {
    let word = word.to_ascii_lowercase();
    match word.strip_prefix("service_tier_").unwrap_or(&word) {
        "unspecified" => None,
        "standard" => Some("default".to_owned()),
        other => Some(other.to_owned()),
    }
}

/// A request as Google takes it. Quirks: `openapi_schema` (schemas in Gemini's own form alone),
/// `thinking_level` (how hard to think is said by a word), `thought_signature_required` (calls without a
/// mark of Gemini's get a stand-in), `no_service_tier` (the body has no place for it: Vertex).
pub fn encode_request(request: &Request, target: &Target<'_>) -> Result<Encoded> {
    let quirk = |name: &str| target.quirks.iter().any(|quirk| quirk == name);
    let mut losses = Losses::default();
    let Request {
        model: _,
        turns,
        tools,
        tool_choice,
        parallel_tool_calls,
        format: _,
        sampling: _,
        max_tokens: _,
        stop: _,
        choices: _,
        thinking: _,
        verbosity,
        stream: _,
        service_tier,
        user,
        cache_key,
        cache,
        modalities: _,
        extra,
    } = request;
    let mut body = turns::write(turns, quirk("thought_signature_required"), &mut losses)?;
    let written = tools::write(tools, quirk("openapi_schema"), &mut losses)?;
    if !written.is_empty() {
        body.insert("tools".to_owned(), written.into());
    }
    if let Some(choice) = tool_choice {
        let functions = tools.iter().any(|tool| matches!(tool, Tool::Function { .. }));
        if let Some(choice) = tools::write_choice(choice, functions)? {
            body.insert("toolConfig".to_owned(), json!({ "functionCallingConfig": choice }));
        }
    }
    let config = config::write(request, target, &mut losses)?;
    if !config.is_empty() {
        body.insert("generationConfig".to_owned(), Value::Object(config));
    }
    match service_tier.as_deref() {
        None | Some("auto") => {}
        Some("default") if !quirk("no_service_tier") => put(&mut body, "serviceTier", "standard"),
        Some(tier @ ("flex" | "priority")) if !quirk("no_service_tier") => put(&mut body, "serviceTier", tier),
        Some(_) => losses.add("service_tier"),
    }
    for (name, lost) in [
        ("parallel_tool_calls", *parallel_tool_calls == Some(false)),
        ("verbosity", verbosity.is_some()),
        ("user", user.is_some()),
        ("prompt_cache_key", cache_key.is_some()),
        ("cache_control", cache.is_some()),
    ] {
        if lost {
            losses.add(name);
        }
    }
    if let Some(own) = extra.own(Wire::Gemini) {
        merge(&mut body, own);
    }
    for lost in extra.lost(Wire::Gemini) {
        losses.add(lost);
    }
    Ok(Encoded { body: Value::Object(body), losses })
}

fn put(body: &mut Map<String, Value>, name: &str, word: &str) {
    body.insert(name.to_owned(), word.into());
}
