//! What a stretch of text rests on: five kinds of location, of which pages on the web mean the same
//! everywhere. `start` and `end` of the canonical citation count the answer's characters and are not set:
//! here a citation belongs to its text block, and the other numbers count the source's characters,
//! pages or blocks.

use serde_json::{Value, json};

use super::{WIRE, fields::object};
use crate::chat::{Citation, Extra};

/// Reads one; anything unknown about it is kept.
pub fn decode(citation: Value) -> Citation {
    let Value::Object(mut members) = citation else { return Citation::default() };
    let mut text = |keys: &[&str]| {
        keys.iter().find_map(|key| match members.get_mut(*key).map(Value::take) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        })
    };
    let (url, title, cited) = (text(&["url"]), text(&["title", "document_title"]), text(&["cited_text"]));
    members.retain(|key, value| {
        !value.is_null() && !["url", "title", "document_title", "cited_text"].contains(&key.as_str())
    });
    Citation { url, title, cited, start: None, end: None, extra: Extra::of(WIRE, members) }
}

/// Writes one that came in this format. `None` for others, and for those that the gateway made up for a
/// client ([`shown`]): the vendor would not know its own mark on them.
pub fn encode(citation: &Citation) -> Option<Value> {
    let own = citation.extra.own(WIRE)?;
    let kind = own.get("type")?.as_str()?;
    let on_the_web = matches!(kind, "web_search_result_location" | "search_result_location");
    if kind == "web_search_result_location" && own.get("encrypted_index").is_none_or(|index| index == "") {
        return None;
    }
    let title = citation.title.clone().map_or(Value::Null, Value::from);
    let mut members = own.clone();
    members.extend(object([
        ("cited_text", Some(citation.cited.clone().unwrap_or_default().into())),
        (if on_the_web { "title" } else { "document_title" }, Some(title)),
        ("url", citation.url.clone().map(Value::from)),
    ]));
    Some(Value::Object(members))
}

/// Writes one for a client: of another format, only pages on the web have a form here.
pub fn shown(citation: &Citation) -> Option<Value> {
    encode(citation).or_else(|| {
        let url = citation.url.as_deref()?;
        Some(json!({
            "type": "web_search_result_location",
            "url": url,
            "title": citation.title,
            "cited_text": citation.cited.as_deref().unwrap_or_default(),
            "encrypted_index": "",
        }))
    })
}
