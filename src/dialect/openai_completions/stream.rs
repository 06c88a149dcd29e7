//! A streamed answer of this format, as events: one block of text for each choice. How an answer ended
//! is told at the very end. Without `[DONE]` a stream is whole when every choice has a finish reason.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    WIRE,
    logprobs::to_chat,
    response::{remove, take_finish, text},
};
use crate::{
    chat::{Block, Delta, Event, Extra, Finish, ProviderError, Usage},
    dialect::{
        Frame,
        fields::tier as tier_of,
        openai_common::{error_of, read_usage},
    },
};

/// Reads frames.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    over: bool,
    blocks: u32,
    choices: BTreeMap<u32, Said>,
    usage: Option<Usage>,
    tier: Option<String>,
    extra: Map<String, Value>,
}

/// What is known of a choice.
#[derive(Debug, Default)]
struct Said {
    block: Option<u32>,
    finish: Option<Finish>,
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
            Ok(Value::Object(chunk)) => {
                let broke = chunk.get("error").is_some_and(|error| !error.is_null());
                if broke || frame.event == Some("error") {
                    self.fail(error_of(&Value::Object(chunk)), out);
                } else {
                    self.chunk(chunk, out);
                }
            }
            Ok(Value::Array(errors)) => self.fail(error_of(&Value::Array(errors)), out),
            _ => self.fail(ProviderError::default(), out),
        }
    }

    /// The provider has closed the stream.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        if self.over {
            return;
        }
        if !self.choices.is_empty() && self.choices.values().all(|said| said.finish.is_some()) {
            self.end(out);
        } else {
            out.extend(self.choices.values().filter_map(|said| said.block).map(|block| Event::Close { block }));
            self.fail(ProviderError::default(), out);
        }
    }

    fn chunk(&mut self, mut chunk: Map<String, Value>, out: &mut Vec<Event>) {
        let choices = match chunk.shift_remove("choices") {
            Some(Value::Array(choices)) => choices,
            _ => Vec::new(),
        };
        let (id, model, tier) =
            (text(&mut chunk, "id"), text(&mut chunk, "model"), text(&mut chunk, "service_tier").map(tier_of));
        let created = remove(&mut chunk, "created").and_then(|created| created.as_i64());
        if !self.started && (!choices.is_empty() || id.is_some()) {
            self.started = true;
            out.push(Event::Start { id, model, created });
        }
        for choice in choices {
            if let Value::Object(choice) = choice {
                self.choice(choice, out);
            }
        }
        let usage = remove(&mut chunk, "usage").and_then(|usage| read_usage(usage, WIRE));
        if usage.is_some() && usage != self.usage {
            self.usage.clone_from(&usage);
            out.extend(usage.map(Event::Usage));
        }
        if tier.is_some() && tier != self.tier {
            self.tier.clone_from(&tier);
            out.extend(tier.map(Event::ServiceTier));
        }
        for (name, value) in chunk {
            if !value.is_null() && name != "object" && name != "provider" {
                self.extra.insert(name, value);
            }
        }
    }

    fn choice(&mut self, mut choice: Map<String, Value>, out: &mut Vec<Event>) {
        let index = choice.get("index").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        let Self { blocks, choices, .. } = self;
        let said = choices.entry(index).or_default();
        if let Some(text) = text(&mut choice, "text") {
            let block = *said.block.get_or_insert_with(|| {
                let block = *blocks;
                *blocks += 1;
                out.push(Event::Open { block, choice: index, kind: Block::Text });
                block
            });
            out.push(Event::Delta { block, delta: Delta::Text(text) });
        }
        if let Some(logprobs) = remove(&mut choice, "logprobs").and_then(|logprobs| to_chat(&logprobs)) {
            out.push(Event::Logprobs { choice: index, logprobs });
        }
        said.finish = take_finish(&mut choice).or(said.finish.take());
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
        let choices = std::mem::take(&mut self.choices);
        out.extend(choices.values().filter_map(|said| said.block).map(|block| Event::Close { block }));
        for (choice, said) in choices {
            out.extend(said.finish.map(|finish| Event::Finish { choice, finish }));
        }
        let extra = std::mem::take(&mut self.extra);
        if !extra.is_empty() {
            out.push(Event::Extra(Extra::of(WIRE, extra)));
        }
    }
}
