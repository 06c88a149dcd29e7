//! Whole answers.

use serde_json::{Map, Value, json};

use super::{
    WIRE,
    error::from_value,
    read::{Calls, parts},
};
use crate::{
    catalog::Tokens,
    chat::{Answer, Choice, Extra, Finish, FinishReason, PartKind, ProviderError, Usage},
    dialect::fields::{Fields, count},
    time::Millis,
};

/// Reads an answer.
pub fn decode_answer(body: Value) -> Result<Answer, ProviderError> {
    if !body.get("message").is_some_and(Value::is_object) {
        return Err(from_value(&body));
    }
    read(body).map_err(|_| ProviderError::default())
}

fn read(body: Value) -> crate::error::Result<Answer> {
    let mut fields = Fields::of(body, "")?;
    let mut message = fields.need_object("message")?;
    message.take("role");
    let parts = parts(&mut message, &mut Calls::default())?;
    let called = parts.iter().any(|part| matches!(part.kind, PartKind::ToolCall(_)));
    let (model, created) = (fields.text("model")?, fields.text("created_at")?);
    let mut rest = fields.rest();
    let end = End::read(&mut rest, called);
    let logprobs = rest.shift_remove("logprobs").map(|items| json!({ "content": items }));
    let choice = Choice { parts, finish: end.finish, logprobs, extra: message.extra(WIRE) };
    Ok(Answer {
        model,
        created: created.and_then(|moment| seconds(&moment)),
        choices: vec![choice],
        usage: end.usage,
        extra: Extra::of(WIRE, rest),
        ..Answer::default()
    })
}

pub(super) fn seconds(moment: &str) -> Option<i64> {
    Millis::parse_iso(moment).map(Millis::seconds)
}

/// What the last line of a stream, and every whole answer, says of the end.
pub(super) struct End {
    pub(super) finish: Option<Finish>,
    pub(super) usage: Option<Usage>,
}

impl End {
    /// Takes it out of the members.
    pub(super) fn read(members: &mut Map<String, Value>, called: bool) -> Self {
        let reason = members.shift_remove("done_reason");
        let done = members.shift_remove("done") == Some(Value::Bool(true));
        let word = reason.as_ref().and_then(Value::as_str).unwrap_or("stop");
        let kind = match word {
            "length" => FinishReason::Length,
            _ if called => FinishReason::ToolCalls,
            _ => FinishReason::Stop,
        };
        let counts = ["prompt_eval_count", "eval_count"]
            .map(|name| members.shift_remove(name).map(|value| (name.to_owned(), value)));
        let native = Value::Object(counts.into_iter().flatten().collect());
        Self { finish: done.then(|| Finish::new(kind, word)), usage: usage(native) }
    }
}

/// A prompt that the server still knew has no count.
fn usage(native: Value) -> Option<Usage> {
    native.get("eval_count").or_else(|| native.get("prompt_eval_count"))?;
    let (prompt, completion) = (count(&native, "prompt_eval_count")?, count(&native, "eval_count")?);
    let tokens = Tokens { prompt, completion, ..Tokens::default() };
    Some(Usage { tokens, native: Some((WIRE, native)), ..Usage::default() })
}
