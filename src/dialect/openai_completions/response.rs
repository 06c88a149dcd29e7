//! Whole answers, both ways.

use serde_json::{Map, Value, json};

use super::{
    WIRE,
    logprobs::{from_chat, to_chat},
};
use crate::{
    chat::{Answer, Choice, Extra, Finish, Part, PartKind, ProviderError, Reasoning},
    dialect::{
        Names,
        fields::tier,
        openai_common::{error_of, finish_reason, read_usage, write_usage},
    },
};

/// Reads a body that came with status 200. An error inside it, or a body that is no answer, is an error.
pub fn decode_answer(body: Value) -> Result<Answer, ProviderError> {
    let Value::Object(mut body) = body else { return Err(ProviderError::default()) };
    if body.get("error").is_some_and(|error| !error.is_null()) {
        return Err(error_of(&Value::Object(body)));
    }
    let Some(Value::Array(choices)) = body.shift_remove("choices") else { return Err(ProviderError::default()) };
    let choices = choices.into_iter().map(read_choice).collect::<Option<Vec<_>>>();
    let Some(choices) = choices.filter(|choices| !choices.is_empty()) else { return Err(ProviderError::default()) };
    let usage = remove(&mut body, "usage").and_then(|usage| read_usage(usage, WIRE));
    let (id, model, service_tier) =
        (text(&mut body, "id"), text(&mut body, "model"), text(&mut body, "service_tier").map(tier));
    let created = remove(&mut body, "created").and_then(|created| created.as_i64());
    for named_by_the_gateway in ["object", "provider"] {
        body.shift_remove(named_by_the_gateway);
    }
    body.retain(|_, value| !value.is_null());
    Ok(Answer { id, model, created, choices, usage, service_tier, extra: Extra::of(WIRE, body) })
}

fn read_choice(choice: Value) -> Option<Choice> {
    let Value::Object(mut choice) = choice else { return None };
    let Some(Value::String(said)) = remove(&mut choice, "text") else { return None };
    let finish = take_finish(&mut choice);
    let logprobs = remove(&mut choice, "logprobs").and_then(|logprobs| to_chat(&logprobs));
    choice.shift_remove("index");
    choice.retain(|_, value| !value.is_null());
    let parts = if said.is_empty() { Vec::new() } else { vec![Part::text(said)] };
    Some(Choice { parts, finish, logprobs, extra: Extra::of(WIRE, choice) })
}

/// How a choice ended.
pub fn take_finish(choice: &mut Map<String, Value>) -> Option<Finish> {
    let native = text(choice, "native_finish_reason");
    let word = text(choice, "finish_reason")?;
    Some(Finish { reason: finish_reason(&word), native: native.or(Some(word)), stop_sequence: None })
}

/// A member, taken out; `null` is as good as absent.
pub fn remove(object: &mut Map<String, Value>, key: &str) -> Option<Value> {
    object.shift_remove(key).filter(|value| !value.is_null())
}

/// A string that is not empty.
pub fn text(object: &mut Map<String, Value>, key: &str) -> Option<String> {
    match remove(object, key) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// Writes an answer for a client: its words, a refusal among them. Thoughts stand beside the text, as
/// OpenRouter has them.
pub fn encode_answer(answer: &Answer, names: &Names) -> Value {
    let Answer { id: _, model: _, created, choices, usage, service_tier, extra } = answer;
    let mut body = Map::new();
    let members = [
        ("id", json!(names.id)),
        ("object", json!("text_completion")),
        ("created", json!(created.unwrap_or(names.created))),
        ("model", json!(names.model)),
        ("provider", json!(names.provider)),
        ("system_fingerprint", Value::Null),
    ];
    body.extend(members.map(|(name, value)| (name.to_owned(), value)));
    body.extend(service_tier.clone().map(|tier| ("service_tier".to_owned(), tier.into())));
    let choices = choices.iter().enumerate().map(|(n, choice)| write_choice(choice, n));
    body.insert("choices".to_owned(), Value::Array(choices.collect()));
    body.extend(usage.as_ref().map(|usage| ("usage".to_owned(), write_usage(usage, WIRE, names.cost.clone()))));
    for (name, value) in extra.own(WIRE).into_iter().flatten().chain(&names.extra) {
        body.insert(name.clone(), value.clone());
    }
    Value::Object(body)
}

fn write_choice(choice: &Choice, index: usize) -> Value {
    let Choice { parts, finish, logprobs, extra } = choice;
    let (mut words, mut thoughts) = (String::new(), String::new());
    for part in parts {
        match &part.kind {
            PartKind::Text { text, .. } | PartKind::Refusal(text) => words.push_str(text),
            PartKind::Reasoning(Reasoning { text, summary, .. }) => match text {
                Some(text) => thoughts.push_str(text),
                None => thoughts.push_str(&summary.join("\n\n")),
            },
            // Nothing of these was asked for: a prompt brings no tools and wants no media.
            PartKind::Media(_) | PartKind::ToolCall(_) | PartKind::ToolResult(_) | PartKind::Foreign(..) => {}
        }
    }
    let mut written = Map::new();
    written.insert("index".to_owned(), index.into());
    written.insert("text".to_owned(), words.into());
    let logprobs = logprobs.as_ref().map(|logprobs| from_chat(logprobs, &mut 0));
    written.insert("logprobs".to_owned(), logprobs.unwrap_or_default());
    let reason = finish.as_ref().map(|finish| finish.reason.as_str());
    written.insert("finish_reason".to_owned(), reason.into());
    let native = finish.as_ref().and_then(|finish| finish.native.clone());
    written.insert("native_finish_reason".to_owned(), native.into());
    if !thoughts.is_empty() {
        written.insert("reasoning".to_owned(), thoughts.into());
    }
    written.extend(extra.own(WIRE).cloned().into_iter().flatten());
    Value::Object(written)
}
