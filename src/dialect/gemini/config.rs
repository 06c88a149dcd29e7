//! `generationConfig`, both ways.

use serde_json::{Map, Value, json};

use super::{
    schema::{to_json_schema, to_openapi},
    wire::{At, flag, members, number, text, texts, whole, word},
};
use crate::{
    chat::{Effort, Format, Losses, Request, Thinking, Wire},
    dialect::Target,
    error::Result,
};

const LEVELS: [&str; 5] = ["THINKING_LEVEL_UNSPECIFIED", "LOW", "HIGH", "MEDIUM", "MINIMAL"];
const MODALITIES: [&str; 6] = ["MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO", "VIDEO", "DOCUMENT"];

/// Reads it into a request; gives back the members that only this format knows.
pub(super) fn read(value: Value, at: &At<'_>, request: &mut Request) -> Result<Map<String, Value>> {
    let mut extra = Map::new();
    let (mut mime, mut schema, mut json_schema) = (None, None, None);
    for (name, value) in members(value, at)? {
        let at = at.key(&name);
        let sampling = &mut request.sampling;
        match name.as_str() {
            "temperature" => sampling.temperature = Some(number(value, &at)?),
            "topP" => sampling.top_p = Some(number(value, &at)?),
            "topK" => sampling.top_k = Some(number(value, &at)?),
            "seed" => sampling.seed = Some(number(value, &at)?),
            "presencePenalty" => sampling.presence_penalty = Some(number(value, &at)?),
            "frequencyPenalty" => sampling.frequency_penalty = Some(number(value, &at)?),
            "responseLogprobs" => sampling.logprobs = Some(flag(&value, &at)?),
            "logprobs" => sampling.top_logprobs = Some(whole(value, &at)?),
            "maxOutputTokens" => request.max_tokens = Some(whole(value, &at)?),
            "candidateCount" => request.choices = Some(whole(value, &at)?),
            "stopSequences" => request.stop = texts(value, &at)?,
            "responseMimeType" => mime = Some(text(value, &at)?),
            "responseSchema" => schema = Some(value),
            "responseJsonSchema" => json_schema = Some(value),
            "responseModalities" => read_modalities(value, &at, request, &mut extra)?,
            "thinkingConfig" => {
                let (thinking, rest) = read_thinking(value, &at)?;
                request.thinking = Some(thinking);
                if !rest.is_empty() {
                    extra.insert(name, Value::Object(rest));
                }
            }
            _ => {
                extra.insert(name, value);
            }
        }
    }
    let plain = matches!(mime.as_deref(), None | Some("" | "text/plain"));
    let is_json = mime.as_deref() == Some("application/json");
    request.format = match json_schema.or_else(|| schema.clone().map(to_json_schema)) {
        Some(schema) if plain || is_json => Format::Schema { name: None, description: None, schema, strict: None },
        None if is_json => Format::Json,
        None if plain => Format::Text,
        other => {
            // `text/x.enum` and the like.
            let mut format = Map::new();
            format.insert("responseMimeType".to_owned(), mime.into());
            if let Some(schema) = schema.or(other) {
                format.insert("responseSchema".to_owned(), schema);
            }
            Format::Foreign(Wire::Gemini, Value::Object(format))
        }
    };
    Ok(extra)
}

/// Text is always wanted where it is written first; a list that means something else is kept as it is.
fn read_modalities(value: Value, at: &At<'_>, request: &mut Request, extra: &mut Map<String, Value>) -> Result<()> {
    let mut wanted = Vec::new();
    for modality in super::wire::list(value) {
        wanted.push(word(modality, &MODALITIES).ok_or_else(|| at.invalid("a list of modalities"))?);
    }
    let others = wanted.iter().filter(|word| *word != "TEXT");
    request.modalities = others.map(|word| word.to_ascii_lowercase()).collect();
    if write_modalities(&request.modalities).unwrap_or_else(|| vec!["TEXT".to_owned()]) != wanted && !wanted.is_empty()
    {
        extra.insert("responseModalities".to_owned(), wanted.into());
    }
    Ok(())
}

/// Models that speak give sound alone; those that draw, text and pictures.
fn write_modalities(wanted: &[String]) -> Option<Vec<String>> {
    match wanted {
        [] => None,
        [audio] if audio == "audio" => Some(vec!["AUDIO".to_owned()]),
        others => Some(
            std::iter::once("TEXT".to_owned()).chain(others.iter().map(|word| word.to_ascii_uppercase())).collect(),
        ),
    }
}

/// Gemini does not show thoughts unless it is asked to.
fn read_thinking(value: Value, at: &At<'_>) -> Result<(Thinking, Map<String, Value>)> {
    let (mut thinking, mut extra) = (Thinking { hidden: Some(true), ..Thinking::default() }, Map::new());
    for (name, value) in members(value, at)? {
        match name.as_str() {
            "includeThoughts" => thinking.hidden = Some(!flag(&value, &at.key("includeThoughts"))?),
            "thinkingBudget" => {
                let at = at.key("thinkingBudget");
                match number(value, &at)?.as_i64() {
                    Some(-1) => thinking.adaptive = true,
                    Some(budget) => {
                        let budget = u64::try_from(budget).map_err(|_| at.invalid("-1, 0 or a number of tokens"))?;
                        thinking.max_tokens = Some(budget);
                    }
                    None => return Err(at.invalid("a whole number")),
                }
            }
            "thinkingLevel" => match word(value, &LEVELS).as_deref() {
                Some("MINIMAL") => thinking.effort = Some(Effort::Minimal),
                Some("LOW") => thinking.effort = Some(Effort::Low),
                Some("MEDIUM") => thinking.effort = Some(Effort::Medium),
                Some("HIGH") => thinking.effort = Some(Effort::High),
                Some("THINKING_LEVEL_UNSPECIFIED") => {}
                _ => return Err(at.key("thinkingLevel").invalid("`MINIMAL`, `LOW`, `MEDIUM` or `HIGH`")),
            },
            _ => {
                extra.insert(name, value);
            }
        }
    }
    Ok((thinking, extra))
}

/// Writes it. `levels`: the model is told how hard to think by a word (Gemini 3); others by a number of
/// tokens, which Gemini 3 takes, too.
pub(super) fn write(request: &Request, target: &Target<'_>, losses: &mut Losses) -> Result<Map<String, Value>> {
    let quirk = |name: &str| target.quirks.iter().any(|quirk| quirk == name);
    let sampling = &request.sampling;
    let mut config = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            config.insert(name.to_owned(), value);
        }
    };
    let longest = target.longest.or(request.max_tokens);
    put("temperature", sampling.temperature.clone().map(Value::Number));
    put("topP", sampling.top_p.clone().map(Value::Number));
    put("topK", sampling.top_k.clone().map(Value::Number));
    put("maxOutputTokens", longest.map(Value::from));
    put("stopSequences", (!request.stop.is_empty()).then(|| request.stop.clone().into()));
    put("candidateCount", request.choices.map(Value::from));
    put("seed", sampling.seed.clone().map(Value::Number));
    put("presencePenalty", sampling.presence_penalty.clone().map(Value::Number));
    put("frequencyPenalty", sampling.frequency_penalty.clone().map(Value::Number));
    put("responseLogprobs", sampling.logprobs.map(Value::from));
    put("logprobs", sampling.top_logprobs.map(Value::from));
    put("responseModalities", write_modalities(&request.modalities).map(Value::from));
    let thought = longest.or(target.model_longest);
    put(
        "thinkingConfig",
        request.thinking.as_ref().and_then(|it| write_thinking(it, thought, quirk("thinking_level"))),
    );
    write_format(&request.format, quirk("openapi_schema"), &mut config, losses)?;
    for (name, lost) in [
        ("min_p", sampling.min_p.is_some()),
        ("repetition_penalty", sampling.repetition_penalty.is_some()),
        ("logit_bias", sampling.logit_bias.is_some()),
    ] {
        if lost {
            losses.add(name);
        }
    }
    Ok(config)
}

/// Where the longest answer is not known: as long as Gemini's models of today can answer.
const LONGEST_ANSWER: u64 = 65_536;

fn write_thinking(thinking: &Thinking, longest: Option<u64>, levels: bool) -> Option<Value> {
    let Thinking { effort, max_tokens, adaptive, enabled, hidden, summary: _, encrypted: _ } = thinking;
    let mut config = Map::new();
    let budget = match (max_tokens, effort) {
        _ if *adaptive => Some(Value::from(-1)),
        (Some(tokens), _) => Some((*tokens).into()),
        (None, Some(effort)) if levels => {
            config.insert("thinkingLevel".to_owned(), level(*effort).into());
            None
        }
        (None, Some(effort)) => Some(effort.budget(longest.unwrap_or(LONGEST_ANSWER)).into()),
        (None, None) => match enabled {
            Some(true) => Some(Value::from(-1)),
            Some(false) => Some(0.into()),
            None => None,
        },
    };
    if let Some(budget) = budget {
        config.insert("thinkingBudget".to_owned(), budget);
    }
    // Nobody said that thoughts are to be hidden, and other formats show them.
    if *hidden != Some(true) && !thinking.is_off() {
        config.insert("includeThoughts".to_owned(), true.into());
    }
    (!config.is_empty()).then_some(Value::Object(config))
}

/// Gemini 3 has four levels, and none for not at all.
fn level(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal => "MINIMAL",
        Effort::Low => "LOW",
        Effort::Medium => "MEDIUM",
        Effort::High | Effort::XHigh | Effort::Max => "HIGH",
    }
}

fn write_format(format: &Format, openapi: bool, config: &mut Map<String, Value>, losses: &mut Losses) -> Result<()> {
    match format {
        Format::Text => {}
        Format::Json => {
            config.insert("responseMimeType".to_owned(), "application/json".into());
        }
        Format::Schema { name, description, schema, strict: _ } => {
            config.insert("responseMimeType".to_owned(), "application/json".into());
            let mut written = if openapi {
                to_openapi(schema, "response_format.json_schema.schema", losses)?
            } else {
                schema.clone()
            };
            // A schema's name and purpose have their place in the schema.
            if let Some(written) = written.as_object_mut() {
                for (member, words) in [("title", name), ("description", description)] {
                    if let Some(words) = words {
                        written.entry(member).or_insert_with(|| json!(words));
                    }
                }
            }
            let member = if openapi { "responseSchema" } else { "responseJsonSchema" };
            config.insert(member.to_owned(), written);
        }
        Format::Foreign(Wire::Gemini, value) => {
            config.extend(value.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        }
        Format::Foreign(..) => {
            return Err(Losses::refuse("response_format", "A Gemini model cannot answer in this form."));
        }
    }
    Ok(())
}
