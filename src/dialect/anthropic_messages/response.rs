//! Whole answers, both ways.

use serde_json::{Map, Value, json};

use super::{
    WIRE, citation,
    error::from_value,
    fields::{Path, object},
    media, part, reasoning, usage,
};
use crate::{
    chat::{Answer, Choice, Extra, Finish, FinishReason, Part, PartKind, ProviderError},
    dialect::Names,
};

/// Reads a body that came with status 200.
pub fn decode_answer(body: Value) -> Result<Answer, ProviderError> {
    let Value::Object(mut members) = body else { return Err(ProviderError::default()) };
    if members.get("type").is_some_and(|kind| kind == "error") || members.contains_key("error") {
        return Err(from_value(&Value::Object(members)));
    }
    let Some(Value::Array(blocks)) = members.remove("content") else { return Err(ProviderError::default()) };
    let path = Path::Key(&Path::Root, "content");
    let parts: Result<Vec<Part>, _> =
        blocks.into_iter().enumerate().map(|(at, block)| part::decode(block, &Path::Item(&path, at))).collect();
    let parts = parts.map_err(|_| ProviderError::default())?;
    let used = members.remove("usage").unwrap_or_default();
    let mut text = |key: &str| match members.remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let (id, model) = (text("id"), text("model"));
    let finish = finish(text("stop_reason"), text("stop_sequence"));
    for known in ["type", "role"] {
        members.remove(known);
    }
    members.retain(|_, value| !value.is_null());
    Ok(Answer {
        id,
        model,
        created: None,
        choices: vec![Choice { parts, finish, logprobs: None, extra: Extra::default() }],
        usage: usage::decode(&used),
        service_tier: usage::tier(&used),
        extra: Extra::of(WIRE, members),
    })
}

/// Why an answer ended. Words that are not known here end it as any other.
pub fn finish(native: Option<String>, stop_sequence: Option<String>) -> Option<Finish> {
    let native = native?;
    let reason = reason(&native).unwrap_or(FinishReason::Stop);
    Some(Finish { reason, native: Some(native), stop_sequence })
}

fn reason(word: &str) -> Option<FinishReason> {
    match word {
        // `pause_turn`: the provider's own tools are not done; the turn is to be handed back as it is.
        "end_turn" | "stop_sequence" | "pause_turn" | "compaction" => Some(FinishReason::Stop),
        "max_tokens" | "model_context_window_exceeded" => Some(FinishReason::Length),
        "tool_use" => Some(FinishReason::ToolCalls),
        "refusal" => Some(FinishReason::ContentFilter),
        _ => None,
    }
}

/// `stop_reason` and `stop_sequence`. `refused`: the model said so in words of that kind.
pub fn stop(finish: Option<&Finish>, refused: bool) -> (Value, Value) {
    let Some(Finish { reason: why, native, stop_sequence }) = finish else { return (Value::Null, Value::Null) };
    let native = native.as_deref().filter(|word| reason(word) == Some(*why));
    let word = match (why, stop_sequence) {
        _ if native.is_some_and(|word| word != "stop_sequence") => native,
        (FinishReason::Stop, Some(_)) => Some("stop_sequence"),
        (FinishReason::Stop, None) if refused => Some("refusal"),
        (FinishReason::Stop, None) => native.or(Some("end_turn")),
        (FinishReason::Length, _) => Some("max_tokens"),
        (FinishReason::ToolCalls, _) => Some("tool_use"),
        (FinishReason::ContentFilter, _) => Some("refusal"),
        // The format has no word for an answer that broke: it did not stop for a reason.
        (FinishReason::Error, _) => None,
    };
    (word.map_or(Value::Null, Value::from), stop_sequence.as_deref().map_or(Value::Null, Value::from))
}

/// Writes an answer. The format has room for one choice, and its clients cannot ask for more.
pub fn encode_answer(answer: &Answer, names: &Names) -> Value {
    let choice = answer.choices.first();
    let parts = choice.map_or(&[][..], |choice| &choice.parts);
    let refused = parts.iter().any(|part| matches!(part.kind, PartKind::Refusal(_)));
    let (stop_reason, stop_sequence) = stop(choice.and_then(|choice| choice.finish.as_ref()), refused);
    let mut message = head(names);
    let hidden = hides_thoughts(names);
    let blocks = parts.iter().filter_map(block).map(|mut block| {
        if let Some(words) = block.get_mut("thinking").filter(|_| hidden) {
            *words = "".into();
        }
        block
    });
    message.insert("content".to_owned(), blocks.collect());
    message.insert("stop_reason".to_owned(), stop_reason);
    message.insert("stop_sequence".to_owned(), stop_sequence);
    message.extend(answer.extra.own(WIRE).cloned().unwrap_or_default());
    let used = usage::encode(answer.usage.as_ref(), answer.service_tier.as_deref(), names.cost.clone());
    message.insert("usage".to_owned(), used);
    message.extend(names.extra.clone());
    Value::Object(message)
}

/// Whether the client asked not to be shown thoughts: they come as their signatures alone.
pub fn hides_thoughts(names: &Names) -> bool {
    let display = |request: &Value| request.get("thinking")?.get("display")?.as_str().map(|word| word == "omitted");
    names.request.as_ref().and_then(display) == Some(true)
}

/// What every answer begins with.
pub fn head(names: &Names) -> Map<String, Value> {
    object([
        ("id", Some(names.id.as_str().into())),
        ("type", Some("message".into())),
        ("role", Some("assistant".into())),
        ("model", Some(names.model.as_str().into())),
        ("provider", Some(names.provider.as_str().into())),
    ])
}

/// Writes a part for a client; `None` where it has no form here (what only another format knows).
pub fn block(part: &Part) -> Option<Value> {
    let mut block = match &part.kind {
        PartKind::Text { text, citations } => {
            let citations: Vec<Value> = citations.iter().filter_map(citation::shown).collect();
            let citations = (!citations.is_empty()).then(|| citations.into());
            Some(object([
                ("type", Some("text".into())),
                ("text", Some(text.as_str().into())),
                ("citations", citations),
            ]))
            .filter(|_| !text.is_empty())
        }
        PartKind::Refusal(text) => Some(object([("type", Some("text".into())), ("text", Some(text.as_str().into()))])),
        PartKind::Media(media) => media::shown(media),
        PartKind::Reasoning(thoughts) => reasoning::shown(thoughts),
        PartKind::ToolCall(call) => Some(part::tool_use(&call.id, &call.name, part::input(call).0)),
        PartKind::Foreign(WIRE, value) => Some(part::joined(value)),
        PartKind::ToolResult(_) | PartKind::Foreign(..) => None,
    }?;
    block.extend(part.extra.own(WIRE).cloned().unwrap_or_default());
    Some(Value::Object(block))
}

/// Reads a count of tokens.
pub fn decode_count(body: &Value) -> Result<u64, ProviderError> {
    match body.get("input_tokens").and_then(Value::as_u64) {
        Some(tokens) => Ok(tokens),
        None => Err(from_value(body)),
    }
}

/// Writes a count of tokens.
pub fn encode_count(tokens: u64) -> Value {
    json!({ "input_tokens": tokens })
}
