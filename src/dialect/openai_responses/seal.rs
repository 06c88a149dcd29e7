//! Marks of other makers than OpenAI, carried through clients of this format.
//!
//! What a client of this format hands back for certain is `encrypted_content` of reasoning items: Codex
//! CLI drops every member that it does not know. So the signature on Claude's thoughts, and Gemini's mark
//! on a call, travel in there as `sluice:` and a JSON object that says whose they are. OpenAI's own
//! encrypted thoughts stay as they are.

use serde_json::{Value, json};

use crate::chat::{Reasoning, ReasoningFormat, ToolCall};

const MARK: &str = "sluice:";

/// What `encrypted_content` says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Opened {
    /// Thoughts that only their maker can read.
    pub encrypted: Option<String>,
    /// The maker's mark on thoughts, or on the call.
    pub signature: Option<String>,
    /// The maker.
    pub format: Option<ReasoningFormat>,
    /// The call that it belongs to.
    pub call: Option<String>,
}

/// The `encrypted_content` of thoughts.
pub(super) fn thoughts(reasoning: &Reasoning) -> Option<String> {
    let Reasoning { encrypted, signature, format, .. } = reasoning;
    match (encrypted, signature) {
        (None, None) => None,
        (Some(data), None) if matches!(format, None | Some(ReasoningFormat::Openai)) => Some(data.clone()),
        _ => Some(sealed(
            &json!({"format": format.map(ReasoningFormat::as_str), "signature": signature, "encrypted": encrypted}),
        )),
    }
}

/// The `encrypted_content` of an item that carries the mark on a call.
pub(super) fn call(call: &ToolCall) -> Option<String> {
    let signature = call.signature.as_ref()?;
    Some(sealed(&json!({"format": ReasoningFormat::Gemini.as_str(), "signature": signature, "call": call.id})))
}

fn sealed(content: &Value) -> String {
    format!("{MARK}{content}")
}

/// Reads what was sealed; anything else is OpenAI's, or its like.
pub(super) fn open(content: String) -> Opened {
    let sealed = content.strip_prefix(MARK).and_then(|json| serde_json::from_str::<Value>(json).ok());
    let Some(sealed) = sealed else {
        return Opened { encrypted: Some(content), format: Some(ReasoningFormat::Openai), ..Opened::default() };
    };
    let text = |key: &str| sealed.get(key).and_then(Value::as_str).map(str::to_owned);
    Opened {
        encrypted: text("encrypted"),
        signature: text("signature"),
        format: text("format").map(|word| ReasoningFormat::parse(&word)),
        call: text("call"),
    }
}
