//! `reasoning_details`: OpenRouter's list of what a model thought, with whose it is.
//!
//! `{"type": "reasoning.text", "text", "signature"}`, `{"type": "reasoning.summary", "summary"}` and
//! `{"type": "reasoning.encrypted", "data"}`, each with `format`, `id` and `index`. In a stream, pieces
//! with the same index are one entry. Gemini's mark on a call is an encrypted entry with the call's id.

use serde_json::{Map, Value, json};

use crate::chat::{Reasoning, ReasoningFormat};

/// An entry as it was read.
#[derive(Debug)]
pub struct Detail {
    /// What it says.
    pub said: Said,
    /// The provider's name of the block.
    pub id: Option<String>,
    /// Whose it is.
    pub format: Option<ReasoningFormat>,
    /// Its number.
    pub index: Option<u64>,
}

/// What an entry says.
#[derive(Debug)]
pub enum Said {
    /// Thoughts, and the mark on them.
    Text(String, String),
    /// A summary.
    Summary(String),
    /// What only the maker can read.
    Encrypted(String),
    /// An entry of a kind that is not known, whole.
    Other(Value),
}

impl Detail {
    /// Reads an entry; what is no object says nothing.
    pub fn read(entry: Value) -> Option<Self> {
        let Value::Object(mut entry) = entry else { return None };
        let text = |entry: &mut Map<String, Value>, key: &str| match entry.get_mut(key).map(Value::take) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let kind = entry.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let id = entry.get("id").and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned);
        // Anybody's, as far as is known: nothing would be gained by telling that from no word at all.
        let format = entry.get("format").and_then(Value::as_str).map(ReasoningFormat::parse);
        let format = format.filter(|format| *format != ReasoningFormat::Unknown);
        let index = entry.get("index").and_then(Value::as_u64);
        let said = match kind.as_str() {
            "reasoning.text" => Said::Text(text(&mut entry, "text"), text(&mut entry, "signature")),
            "reasoning.summary" => Said::Summary(text(&mut entry, "summary")),
            "reasoning.encrypted" => Said::Encrypted(text(&mut entry, "data")),
            _ => Said::Other(Value::Object(entry)),
        };
        Some(Self { said, id, format, index })
    }

    /// Whether it says nothing, as the first and the last piece of an entry may.
    pub fn is_empty(&self) -> bool {
        match &self.said {
            Said::Text(text, signature) => text.is_empty() && signature.is_empty(),
            Said::Summary(text) | Said::Encrypted(text) => text.is_empty(),
            Said::Other(_) => false,
        }
    }
}

/// The list, being written.
#[derive(Debug, Default)]
pub struct Details(Vec<Value>);

impl Details {
    /// Whether a value is an entry of such a list.
    pub fn is_one(value: &Value) -> bool {
        value.get("type").and_then(Value::as_str).is_some_and(|kind| kind.starts_with("reasoning."))
    }

    /// Adds a block of thoughts.
    pub fn add(&mut self, reasoning: &Reasoning) {
        let Reasoning { text, summary, signature, encrypted, id, format } = reasoning;
        for paragraph in summary {
            self.push(entry("summary", "summary", paragraph), id.as_deref(), *format);
        }
        if text.is_some() || signature.is_some() {
            let mut members = entry("text", "text", text.as_deref().unwrap_or_default());
            members.extend(signature.clone().map(|signature| ("signature".to_owned(), signature.into())));
            self.push(members, id.as_deref(), *format);
        }
        if let Some(data) = encrypted {
            self.push(entry("encrypted", "data", data), id.as_deref(), *format);
        }
    }

    /// Adds the mark on a call.
    pub fn call(&mut self, id: &str, signature: &str) {
        self.push(entry("encrypted", "data", signature), Some(id), Some(ReasoningFormat::Gemini));
    }

    /// Adds an entry as it came.
    pub fn foreign(&mut self, value: &Value) {
        self.0.push(value.clone());
    }

    /// The list.
    pub fn list(self) -> Vec<Value> {
        self.0
    }

    fn push(&mut self, mut members: Map<String, Value>, id: Option<&str>, format: Option<ReasoningFormat>) {
        finish_entry(&mut members, id, format, self.0.len() as u64);
        self.0.push(Value::Object(members));
    }
}

/// An entry of that kind with its content.
pub fn entry(kind: &str, member: &str, content: &str) -> Map<String, Value> {
    let members = [("type", ["reasoning.", kind].concat().into()), (member, json!(content))];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Adds what all entries have.
pub fn finish_entry(members: &mut Map<String, Value>, id: Option<&str>, format: Option<ReasoningFormat>, index: u64) {
    members.extend(id.map(|id| ("id".to_owned(), id.into())));
    members.insert("format".to_owned(), format.unwrap_or(ReasoningFormat::Unknown).as_str().into());
    members.insert("index".to_owned(), index.into());
}
