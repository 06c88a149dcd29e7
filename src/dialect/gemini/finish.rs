//! How an answer ended: Google's words and the canonical ones.

use serde_json::Value;

use crate::chat::{Finish, FinishReason};

/// By their numbers in `google.ai.generativelanguage.v1beta` (asked for with `$alt=json;enum-encoding=int`,
/// which the gateway never does; Vertex numbers those from 6 on otherwise).
const REASONS: [&str; 21] = [
    "FINISH_REASON_UNSPECIFIED",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "IMAGE_SAFETY",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_OTHER",
    "NO_IMAGE",
    "IMAGE_RECITATION",
    "MISSING_THOUGHT_SIGNATURE",
    "MALFORMED_RESPONSE",
    "MODEL_ARMOR",
];

const BLOCKED: [&str; 7] =
    ["BLOCK_REASON_UNSPECIFIED", "SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "JAILBREAK"];

fn reason(word: &str) -> FinishReason {
    match word {
        "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR" => FinishReason::ContentFilter,
        _ => FinishReason::Error,
    }
}

/// `finishReason`, a word or a number; `None` where it says nothing. Google says STOP for calls, too.
pub(super) fn read(value: &Value, calls: bool) -> Option<Finish> {
    let word = super::wire::word(value.clone(), &REASONS)?;
    if word.is_empty() || word == "FINISH_REASON_UNSPECIFIED" {
        return None;
    }
    let reason = match reason(&word) {
        FinishReason::Stop if calls => FinishReason::ToolCalls,
        reason => reason,
    };
    Some(Finish::new(reason, word))
}

/// `promptFeedback.blockReason`: the prompt itself was refused, and there is no answer.
pub(super) fn blocked(feedback: Option<&Value>) -> Option<Finish> {
    let word = super::wire::word(feedback?.get("blockReason")?.clone(), &BLOCKED)?;
    (!word.is_empty() && word != "BLOCK_REASON_UNSPECIFIED").then(|| Finish::new(FinishReason::ContentFilter, word))
}

/// Google's word for it: its own again, where it came from Google. An answer that ended without a word is
/// complete.
pub(super) fn write(finish: Option<&Finish>) -> &str {
    let Some(Finish { reason: why, native, stop_sequence: _ }) = finish else { return "STOP" };
    let own = native.as_deref().filter(|word| REASONS.contains(word));
    let same =
        |word: &&str| reason(word) == *why || reason(word) == FinishReason::Stop && *why == FinishReason::ToolCalls;
    own.filter(same).unwrap_or(match why {
        FinishReason::Stop | FinishReason::ToolCalls => "STOP",
        FinishReason::Length => "MAX_TOKENS",
        FinishReason::ContentFilter => "SAFETY",
        FinishReason::Error => "OTHER",
    })
}
