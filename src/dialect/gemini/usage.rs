//! `usageMetadata`, both ways.
//!
//! Google counts apart what the canonical numbers hold together: `promptTokenCount` has cached tokens in
//! it but not `toolUsePromptTokenCount` (what Google's own tools read, billed as prompt), and
//! `candidatesTokenCount` has not `thoughtsTokenCount`.

use serde_json::{Map, Value, json};

use crate::{
    catalog::Tokens,
    chat::{Usage, Wire},
};

/// More tokens than this in one answer are not meant.
const MOST: u64 = 100_000_000;

const MODALITIES: [&str; 6] = ["MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "VIDEO", "AUDIO", "DOCUMENT"];

/// What was used; `None` where nothing is said that can be meant.
pub(super) fn read(metadata: &Value) -> Option<Usage> {
    let count = |name: &str| match metadata.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().filter(|count| *count <= MOST).map(Some).ok_or(()),
    };
    let (Ok(prompt), Ok(candidates), Ok(thoughts), Ok(cached), Ok(tools)) = (
        count("promptTokenCount"),
        count("candidatesTokenCount"),
        count("thoughtsTokenCount"),
        count("cachedContentTokenCount"),
        count("toolUsePromptTokenCount"),
    ) else {
        return None;
    };
    if prompt.is_none() && candidates.is_none() {
        return None;
    }
    let prompt = prompt.unwrap_or(0) + tools.unwrap_or(0);
    let completion = candidates.unwrap_or(0) + thoughts.unwrap_or(0);
    let of = |list: &str, modality: &str| modality_count(metadata, list, modality);
    let tokens = Tokens {
        prompt,
        completion,
        cached: cached.unwrap_or(0).min(prompt),
        cache_write: 0,
        prompt_audio: of("promptTokensDetails", "AUDIO").min(prompt),
        reasoning: thoughts.unwrap_or(0),
        completion_audio: of("candidatesTokensDetails", "AUDIO").min(completion),
        completion_image: of("candidatesTokensDetails", "IMAGE").min(completion),
        ..Tokens::default()
    };
    Some(Usage { tokens, ..Usage::default() })
}

fn modality_count(metadata: &Value, list: &str, modality: &str) -> u64 {
    let is = |item: &&Value| match item.get("modality") {
        Some(Value::String(word)) => word == modality,
        Some(Value::Number(number)) => {
            let index = number.as_u64().and_then(|number| usize::try_from(number).ok());
            index.and_then(|index| MODALITIES.get(index)) == Some(&modality)
        }
        _ => false,
    };
    let items = metadata.get(list).and_then(Value::as_array).into_iter().flatten();
    items.filter(is).filter_map(|item| item.get("tokenCount")?.as_u64()).fold(0, u64::saturating_add)
}

/// The tier that served, in OpenAI's words, where Google says: AI Studio by its name, Vertex by the kind
/// of traffic.
pub(super) fn read_tier(metadata: &Value) -> Option<String> {
    let text = |name: &str| metadata.get(name).and_then(Value::as_str);
    match text("trafficType") {
        Some("ON_DEMAND_PRIORITY") => return Some("priority".to_owned()),
        Some("ON_DEMAND_FLEX") => return Some("flex".to_owned()),
        _ => {}
    }
    super::request::read_tier(text("serviceTier")?)
}

/// As Google writes it: its own numbers as they came, others from the canonical ones.
pub(super) fn write(usage: &Usage) -> Map<String, Value> {
    if let Some((Wire::Gemini, Value::Object(native))) = &usage.native {
        return native.clone();
    }
    let tokens = &usage.tokens;
    let mut written = Map::new();
    let mut put = |name: &str, count: u64, always: bool| {
        if always || count > 0 {
            written.insert(name.to_owned(), count.into());
        }
    };
    put("promptTokenCount", tokens.prompt, true);
    put("candidatesTokenCount", tokens.completion.saturating_sub(tokens.reasoning), true);
    put("thoughtsTokenCount", tokens.reasoning, false);
    put("cachedContentTokenCount", tokens.cached, false);
    put("totalTokenCount", tokens.prompt.saturating_add(tokens.completion), true);
    let mut details = |name: &str, special: &[(&str, u64)], rest: u64| {
        let said: Vec<Value> = std::iter::once(("TEXT", rest))
            .chain(special.iter().copied())
            .filter(|(_, count)| *count > 0)
            .map(|(modality, count)| json!({ "modality": modality, "tokenCount": count }))
            .collect();
        if special.iter().any(|(_, count)| *count > 0) {
            written.insert(name.to_owned(), said.into());
        }
    };
    details(
        "promptTokensDetails",
        &[("AUDIO", tokens.prompt_audio)],
        tokens.prompt.saturating_sub(tokens.prompt_audio),
    );
    let special = tokens.completion_audio.saturating_add(tokens.completion_image);
    details(
        "candidatesTokensDetails",
        &[("IMAGE", tokens.completion_image), ("AUDIO", tokens.completion_audio)],
        tokens.completion.saturating_sub(tokens.reasoning).saturating_sub(special),
    );
    written
}
