//! A whole answer of this format, as the canonical one.

use serde_json::{Map, Value};

use super::{
    WIRE,
    citations::sources,
    pieces::{Pieces, remove},
};
use crate::{
    chat::{Answer, Choice, Citation, Collector, Extra, Finish, FinishReason, ProviderError, Usage},
    dialect::{
        fields::tier,
        openai_common::{error_of, finish_reason, read_usage},
    },
};

/// Reads a body that came with status 200. An error inside it, or a body that is no answer, is an error.
pub fn decode_answer(body: Value) -> Result<Answer, ProviderError> {
    let Value::Object(mut body) = body else { return Err(ProviderError::default()) };
    if body.get("error").is_some_and(|error| !error.is_null()) {
        return Err(error_of(&Value::Object(body)));
    }
    let Some(Value::Array(choices)) = body.shift_remove("choices") else { return Err(ProviderError::default()) };
    let pages = sources(&body);
    let choices = choices.into_iter().map(|choice| read_choice(choice, &pages)).collect::<Option<Vec<_>>>();
    let Some(choices) = choices.filter(|choices| !choices.is_empty()) else { return Err(ProviderError::default()) };
    let usage = take_usage(&mut body);
    let mut text = |key: &str| match remove(&mut body, key) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    };
    let (id, model, service_tier) = (text("id"), text("model"), text("service_tier").map(tier));
    let created = remove(&mut body, "created").and_then(|created| created.as_i64());
    for named_by_the_gateway in ["object", "provider"] {
        body.shift_remove(named_by_the_gateway);
    }
    body.retain(|_, value| !value.is_null());
    Ok(Answer { id, model, created, choices, usage, service_tier, extra: Extra::of(WIRE, body) })
}

/// `usage`; Groq's older streams have it in `x_groq`.
pub fn take_usage(body: &mut Map<String, Value>) -> Option<Usage> {
    let own = remove(body, "usage").and_then(|usage| read_usage(usage, WIRE));
    own.or_else(|| read_usage(body.get("x_groq")?.get("usage")?.clone(), WIRE))
}

fn read_choice(choice: Value, pages: &[Citation]) -> Option<Choice> {
    let Value::Object(mut choice) = choice else { return None };
    let mut message = match (remove(&mut choice, "message"), remove(&mut choice, "delta")) {
        (Some(Value::Object(message)), _) | (None, Some(Value::Object(message))) => message,
        (None, None) => {
            let text = remove(&mut choice, "text").filter(Value::is_string)?;
            [("content".to_owned(), text)].into_iter().collect()
        }
        _ => return None,
    };
    let (mut pieces, mut events, mut collector) = (Pieces::default(), Vec::new(), Collector::default());
    pages.clone_into(&mut pieces.sources);
    pieces.take(0, &mut message, &mut events);
    pieces.end(&mut events);
    for event in events {
        collector.push(event);
    }
    let parts = collector.finish().ok()?.choices.pop().map(|choice| choice.parts).unwrap_or_default();
    let finish = take_finish(&mut choice);
    let logprobs = remove(&mut choice, "logprobs");
    choice.shift_remove("index");
    choice.retain(|_, value| !value.is_null());
    message.shift_remove("role");
    message.retain(|_, value| !value.is_null());
    if !message.is_empty() {
        choice.insert("message".to_owned(), Value::Object(message));
    }
    Some(Choice { parts, finish, logprobs, extra: Extra::of(WIRE, choice) })
}

/// How a choice ended: `finish_reason`, in the provider's own words `native_finish_reason` (OpenRouter),
/// or `finish_details` (OpenAI's old vision models). An `error` in it is OpenRouter's: it broke midway.
pub fn take_finish(choice: &mut Map<String, Value>) -> Option<Finish> {
    let mut text = |key: &str| match remove(choice, key) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    };
    let (word, native) = (text("finish_reason"), text("native_finish_reason"));
    let detail = || choice.get("finish_details")?.get("type")?.as_str().map(str::to_owned);
    let word = word.or_else(detail);
    let broke = choice.get("error").is_some_and(|error| !error.is_null());
    let reason = match &word {
        _ if broke => FinishReason::Error,
        Some(word) => finish_reason(word),
        None => return None,
    };
    Some(Finish { reason, native: native.or(word), stop_sequence: None })
}
