//! Marks on thoughts (`thoughtSignature`, bytes in base64 of either alphabet).
//!
//! Gemini's own marks pass as they are. A client that speaks Gemini's format to a model of another family
//! gets that family's marks in the same member, wrapped so that they can be told apart when they come
//! back: base64 of `sluice:` and a JSON object. (The official SDKs decode the member and encode it again,
//! so what stands in it must be base64.)

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use crate::chat::{Reasoning, ReasoningFormat};

const PREFIX: &str = "sluice:";

/// What a model has not said itself can be told to Gemini 3 as a call of its own with this mark in place
/// of a genuine one (<https://ai.google.dev/gemini-api/docs/thought-signatures>, "Migrating from other
/// models"; recorded as answered with 200): base64 of `context_engineering_is_the_way_to_go`.
pub(super) const STAND_IN: &str = "Y29udGV4dF9lbmdpbmVlcmluZ19pc190aGVfd2F5X3RvX2dv";

/// The mark on reasoning of another family, with its name and what only its maker can read; `None` where
/// there is nothing to wrap.
pub(super) fn wrap(reasoning: &Reasoning) -> Option<String> {
    let Reasoning { signature, encrypted, id, format, text: _, summary: _ } = reasoning;
    if signature.is_none() && encrypted.is_none() {
        return None;
    }
    let mut members = Map::new();
    let format = format.unwrap_or(ReasoningFormat::Unknown).as_str();
    members.insert("format".to_owned(), format.into());
    for (name, value) in [("signature", signature), ("encrypted", encrypted), ("id", id)] {
        if let Some(value) = value {
            members.insert(name.to_owned(), value.as_str().into());
        }
    }
    Some(STANDARD.encode(format!("{PREFIX}{}", Value::Object(members))))
}

/// What [`wrap`] wrapped, without the text; `None` for marks of Gemini's own.
pub(super) fn unwrap(mark: &str) -> Option<Reasoning> {
    let bytes = STANDARD.decode(standard(mark.to_owned())).ok()?;
    let wrapped = bytes.strip_prefix(PREFIX.as_bytes())?;
    let Value::Object(mut members) = serde_json::from_slice(wrapped).ok()? else { return None };
    let mut text = |name: &str| match members.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    Some(Reasoning {
        format: text("format").map(|word| ReasoningFormat::parse(&word)),
        signature: text("signature"),
        encrypted: text("encrypted"),
        id: text("id"),
        ..Reasoning::default()
    })
}

/// Base64 in the standard alphabet, padded, of base64 in either: proto JSON takes both, and SDKs send the
/// one for URLs.
pub(super) fn standard(mut base64: String) -> String {
    if base64.contains(['-', '_']) {
        base64 = base64.replace('-', "+").replace('_', "/");
    }
    while !base64.len().is_multiple_of(4) {
        base64.push('=');
    }
    base64
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::URL_SAFE;

    #[test]
    fn another_familys_mark_survives_an_sdk_and_googles_own_is_left_alone() {
        let reasoning = Reasoning {
            signature: Some("sig??>>=".to_owned()),
            id: Some("rs_1".to_owned()),
            format: Some(ReasoningFormat::Anthropic),
            ..Reasoning::default()
        };
        let wrapped = wrap(&reasoning).unwrap();
        let by_sdk = URL_SAFE.encode(STANDARD.decode(&wrapped).unwrap());
        assert_eq!(unwrap(&wrapped), Some(reasoning.clone()));
        assert_eq!(unwrap(&by_sdk), Some(reasoning));
        assert_eq!(unwrap("Z29vZ2xlcyBvd24gbWFyaw=="), None);
        assert_eq!(unwrap("skip_thought_signature_validator"), None);
        assert_eq!(STANDARD.decode(STAND_IN).unwrap(), b"context_engineering_is_the_way_to_go");
    }
}
