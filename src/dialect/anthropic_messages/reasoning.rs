//! Thinking blocks. Anthropic's carry its signature and go back to Anthropic alone.
//!
//! Reasoning of another family has to pass through a client that knows only `thinking` and
//! `redacted_thinking`: what the block has beside its words is packed into `signature` (or `data`) behind
//! a prefix, and unpacked when the client hands it back. Nothing in it is secret or trusted: a client may
//! write there what it could as well write in its maker's own format.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::fields::{Fields, object};
use crate::{
    chat::{PartKind, Reasoning, ReasoningFormat},
    error::Result,
};

/// Before reasoning that is not Anthropic's.
const PREFIX: &str = "sluice.reasoning.";

/// Reads `thinking`.
pub fn decode_thinking(fields: &mut Fields<'_>) -> Result<PartKind> {
    let text = fields.string("thinking")?;
    let signature = fields.string("signature")?.filter(|signature| !signature.is_empty());
    // Words that the client did not want to see are not there to be handed back.
    let shown = |text: Option<String>| text.filter(|text| !text.is_empty()).into_iter();
    Ok(PartKind::Reasoning(match signature.as_deref().and_then(unpack) {
        Some((reasoning, true)) => Reasoning { summary: shown(text).collect(), ..reasoning },
        Some((reasoning, false)) => Reasoning { text: shown(text).next(), ..reasoning },
        None => Reasoning { text, signature, format: Some(ReasoningFormat::Anthropic), ..Reasoning::default() },
    }))
}

/// Reads `redacted_thinking`.
pub fn decode_redacted(fields: &mut Fields<'_>) -> Result<PartKind> {
    let data = fields.needed("data")?;
    Ok(PartKind::Reasoning(match unpack(&data) {
        Some((reasoning, _)) => reasoning,
        None => Reasoning { encrypted: Some(data), format: Some(ReasoningFormat::Anthropic), ..Reasoning::default() },
    }))
}

/// Writes it for Anthropic. `None`: not Anthropic's, or not signed, and therefore not taken back.
pub fn encode(reasoning: &Reasoning) -> Option<Map<String, Value>> {
    if reasoning.format != Some(ReasoningFormat::Anthropic) {
        return None;
    }
    match (&reasoning.signature, &reasoning.encrypted) {
        (Some(signature), _) => Some(thinking(reasoning.text.as_deref().unwrap_or_default(), signature)),
        (None, Some(data)) => Some(redacted(data)),
        (None, None) => None,
    }
}

/// Writes it for a client; `None` where there is nothing in it.
pub fn shown(reasoning: &Reasoning) -> Option<Map<String, Value>> {
    let own = reasoning.format == Some(ReasoningFormat::Anthropic);
    let words = words(reasoning);
    match (&words, &reasoning.signature, &reasoning.encrypted) {
        (None, None, None) => None,
        (None, None, Some(data)) if own => Some(redacted(data)),
        (None, _, _) if !own => Some(redacted(&pack(reasoning))),
        (_, signature, _) if own => {
            Some(thinking(words.as_deref().unwrap_or_default(), signature.as_deref().unwrap_or_default()))
        }
        (_, _, _) => Some(thinking(words.as_deref().unwrap_or_default(), &pack(reasoning))),
    }
}

/// What a reader sees of it.
fn words(reasoning: &Reasoning) -> Option<String> {
    match (&reasoning.text, reasoning.summary.as_slice()) {
        (Some(text), _) => Some(text.clone()),
        (None, []) => None,
        (None, paragraphs) => Some(paragraphs.join("\n\n")),
    }
}

fn thinking(text: &str, signature: &str) -> Map<String, Value> {
    object([("type", Some("thinking".into())), ("thinking", Some(text.into())), ("signature", Some(signature.into()))])
}

fn redacted(data: &str) -> Map<String, Value> {
    object([("type", Some("redacted_thinking".into())), ("data", Some(data.into()))])
}

/// What a block has beside its words.
pub fn pack(reasoning: &Reasoning) -> String {
    let facts = json!({
        "format": reasoning.format.unwrap_or(ReasoningFormat::Unknown).as_str(),
        "id": reasoning.id,
        "signature": reasoning.signature,
        "encrypted": reasoning.encrypted,
        "summary": reasoning.text.is_none() && !reasoning.summary.is_empty(),
    });
    format!("{PREFIX}{}", STANDARD.encode(facts.to_string()))
}

/// And whether its words are a summary.
fn unpack(packed: &str) -> Option<(Reasoning, bool)> {
    let bytes = STANDARD.decode(packed.strip_prefix(PREFIX)?).ok()?;
    let facts: Value = serde_json::from_slice(&bytes).ok()?;
    let text = |key: &str| facts.get(key).and_then(Value::as_str).map(str::to_owned);
    let reasoning = Reasoning {
        text: None,
        summary: Vec::new(),
        signature: text("signature"),
        encrypted: text("encrypted"),
        id: text("id"),
        format: Some(ReasoningFormat::parse(&text("format").unwrap_or_default())),
    };
    Some((reasoning, facts.get("summary") == Some(&Value::Bool(true))))
}
