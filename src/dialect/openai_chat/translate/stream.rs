//! A streamed answer of this format, as events.
//!
//! How an answer ended is told at the very end: OpenRouter repeats the finish reason in later chunks, and
//! some providers send content after it. Usage is told whenever it comes, in the last chunk, in the one
//! with the finish reason, in every chunk (Perplexity), in the choice (Moonshot) or in `x_groq`.
//!
//! A stream has ended properly with `[DONE]`, or without it when every choice has a finish reason
//! (Perplexity, and servers behind Hugging Face's router).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    WIRE,
    citations::sources,
    pieces::{Pieces, remove},
    response::{take_finish, take_usage},
};
use crate::{
    chat::{Event, Extra, Finish, ProviderError, Usage},
    dialect::{
        Frame,
        fields::tier as tier_of,
        openai_common::{error_of, read_usage},
    },
};

/// Members of a chunk that say nothing of the answer: `obfuscation` and `p` are padding.
const NOTHING: [&str; 4] = ["object", "provider", "obfuscation", "p"];

/// Reads frames.
#[derive(Debug, Default)]
pub struct Decoder {
    pieces: Pieces,
    started: bool,
    over: bool,
    /// Choices that have said anything, and how they ended.
    choices: BTreeMap<u32, Option<Finish>>,
    usage: Option<Usage>,
    tier: Option<String>,
    extra: Map<String, Value>,
}

impl Decoder {
    /// At the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a frame.
    pub fn push(&mut self, frame: &Frame<'_>, out: &mut Vec<Event>) {
        let data = frame.data.trim_ascii();
        if self.over || data.is_empty() {
            return;
        }
        if data == b"[DONE]" {
            self.end(out);
            return;
        }
        match serde_json::from_slice(data) {
            Ok(Value::Object(chunk)) if frame.event == Some("error") || has_error(&chunk) => self.failed(chunk, out),
            Ok(Value::Object(chunk)) => self.chunk(chunk, out),
            Ok(Value::Array(errors)) => self.fail(error_of(&Value::Array(errors)), out),
            _ => self.fail(ProviderError::default(), out),
        }
    }

    /// The provider has closed the stream.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        if self.over {
            return;
        }
        if !self.choices.is_empty() && self.choices.values().all(Option::is_some) {
            self.end(out);
        } else {
            self.pieces.end(out);
            self.fail(ProviderError::default(), out);
        }
    }

    fn chunk(&mut self, mut chunk: Map<String, Value>, out: &mut Vec<Event>) {
        let choices = match chunk.shift_remove("choices") {
            Some(Value::Array(choices)) => choices,
            _ => Vec::new(),
        };
        self.start(&mut chunk, !choices.is_empty(), out);
        let usage = take_usage(&mut chunk);
        let pages = sources(&chunk);
        if !pages.is_empty() {
            self.pieces.sources = pages;
        }
        for choice in choices {
            if let Value::Object(choice) = choice {
                self.choice(choice, out);
            }
        }
        self.used(usage, out);
        if let Some(Value::String(word)) = remove(&mut chunk, "service_tier") {
            let tier = Some(tier_of(word)).filter(|tier| self.tier.as_ref() != Some(tier));
            out.extend(tier.clone().map(Event::ServiceTier));
            self.tier = tier.or(self.tier.take());
        }
        for (name, value) in chunk {
            if !value.is_null() && !NOTHING.contains(&name.as_str()) {
                self.extra.insert(name, value);
            }
        }
    }

    /// Azure's first chunk has neither an id nor a choice: the answer begins with the next.
    fn start(&mut self, chunk: &mut Map<String, Value>, speaks: bool, out: &mut Vec<Event>) {
        let mut text = |key: &str| match remove(chunk, key) {
            Some(Value::String(text)) if !text.is_empty() => Some(text),
            _ => None,
        };
        let (id, model) = (text("id"), text("model"));
        let created = remove(chunk, "created").and_then(|created| created.as_i64());
        if !self.started && (speaks || id.is_some()) {
            self.started = true;
            out.push(Event::Start { id, model, created });
        }
    }

    fn choice(&mut self, mut choice: Map<String, Value>, out: &mut Vec<Event>) {
        let index = choice.get("index").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        let delta = remove(&mut choice, "delta").or_else(|| remove(&mut choice, "message"));
        let mut delta = match delta {
            Some(Value::Object(delta)) => delta,
            _ => remove(&mut choice, "text").map(|text| ("content".to_owned(), text)).into_iter().collect(),
        };
        let known = self.choices.entry(index).or_default();
        let finish = take_finish(&mut choice);
        self.pieces.take(index, &mut delta, out);
        if let Some(logprobs) = remove(&mut choice, "logprobs").filter(Value::is_object) {
            out.push(Event::Logprobs { choice: index, logprobs });
        }
        if finish.is_some() {
            *known = finish;
        }
        let usage = remove(&mut choice, "usage").and_then(|usage| read_usage(usage, WIRE));
        self.used(usage, out);
    }

    fn used(&mut self, usage: Option<Usage>, out: &mut Vec<Event>) {
        if usage.is_some() && usage != self.usage {
            self.usage.clone_from(&usage);
            out.extend(usage.map(Event::Usage));
        }
    }

    fn failed(&mut self, mut chunk: Map<String, Value>, out: &mut Vec<Event>) {
        let usage = take_usage(&mut chunk);
        self.used(usage, out);
        self.fail(error_of(&Value::Object(chunk)), out);
    }

    fn fail(&mut self, error: ProviderError, out: &mut Vec<Event>) {
        self.over = true;
        out.push(Event::Error(error));
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        if self.choices.is_empty() {
            return self.fail(ProviderError::default(), out);
        }
        self.over = true;
        self.pieces.end(out);
        for (choice, finish) in std::mem::take(&mut self.choices) {
            out.extend(finish.map(|finish| Event::Finish { choice, finish }));
        }
        let extra = std::mem::take(&mut self.extra);
        if !extra.is_empty() {
            out.push(Event::Extra(Extra::of(WIRE, extra)));
        }
    }
}

fn has_error(chunk: &Map<String, Value>) -> bool {
    chunk.get("error").is_some_and(|error| !error.is_null())
}
