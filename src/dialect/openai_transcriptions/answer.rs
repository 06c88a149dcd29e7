//! The answer.

use serde_json::{Value as Tree, json};

use super::Wanted;
use crate::{
    catalog::Tokens,
    dialect::{
        passing::{Finish, ResponseFacts, Usage},
        single::{
            Answered, Given, Read, count, edit_usage, in_order, malformed, priced, provider_cost, scan_answer, tree,
        },
    },
    framing::{
        edit::ObjectEdits,
        json::{Kind, Value, scan_object},
    },
};

/// Reads a body that came with status 200.
pub fn read_answer(body: &[u8], wanted: Wanted, finish: &Finish) -> Read {
    if wanted.plain && scan_object(body).is_err() {
        let usage = used(&Tree::Null, None, wanted, finish);
        let cost = finish.cost(&usage.tokens);
        let facts = ResponseFacts { usage, ..ResponseFacts::default() };
        return Ok(Answered { facts, cost, body: Given::Edits(Vec::new()) });
    }
    let object = scan_answer(body)?;
    if object.get("text").is_none_or(|text| text.kind != Kind::String) {
        return Err(malformed());
    }
    let given = object.get("usage").map(tree).unwrap_or_default();
    let duration = object.get("duration").and_then(seconds_of);
    let used = used(&given, duration, wanted, finish);
    let cost = finish.cost(&used.tokens);
    let mut changed = ObjectEdits::new(&object);
    finish.tell_story(&mut changed);
    let counts = counts(&given, &used, duration.is_some());
    let mut edits = edit_usage(&object, &mut changed, &counts, &priced(cost.as_ref(), used.estimated));
    edits.extend(changed.finish());
    let facts = ResponseFacts { usage: used, ..ResponseFacts::default() };
    Ok(Answered { facts, cost, body: Given::Edits(in_order(edits)) })
}

/// Seconds, as a number or as text: in milliseconds.
fn seconds_of(value: &Value<'_>) -> Option<u64> {
    milliseconds(value.as_f64().or_else(|| value.as_str()?.parse().ok())?)
}

/// Nobody speaks for a year on end.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
fn milliseconds(seconds: f64) -> Option<u64> {
    (0.0..=3e7).contains(&seconds).then_some((seconds * 1000.0).ceil() as u64)
}

fn used(given: &Tree, duration: Option<u64>, wanted: Wanted, finish: &Finish) -> Usage {
    let prompt = count(given, "input_tokens").or_else(|| count(given, "prompt_tokens"));
    let completion = count(given, "output_tokens").or_else(|| count(given, "completion_tokens")).unwrap_or(0);
    let details = given.get("input_token_details").or_else(|| given.get("input_tokens_details"));
    let audio = details.and_then(|details| count(details, "audio_tokens")).unwrap_or(0);
    let seconds = given.get("seconds").and_then(Tree::as_f64).and_then(milliseconds).or(duration);
    let counted = prompt.is_some() || seconds.is_some();
    let tokens = Tokens {
        // Whoever counts seconds does not count tokens.
        prompt: prompt.unwrap_or(if counted { 0 } else { finish.estimated_prompt }),
        prompt_audio: audio,
        completion,
        seconds_milli: seconds.unwrap_or(wanted.milliseconds),
        ..Tokens::default()
    };
    Usage { tokens, estimated: !counted, provider_cost: provider_cost(given) }
}

/// What is added where a provider says nothing of it.
fn counts(given: &Tree, used: &Usage, timed: bool) -> Vec<(&'static str, Tree)> {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let seconds = used.tokens.seconds_milli as f64 / 1000.0;
    match given {
        Tree::Object(_) => Vec::new(),
        _ if timed || used.estimated => vec![("type", "duration".into()), ("seconds", json!(seconds))],
        _ => Vec::new(),
    }
}
