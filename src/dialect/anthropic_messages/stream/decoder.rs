//! A provider's stream, read.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::super::{
    WIRE, citation,
    error::{from_value, status_of},
    response::finish,
    usage,
};
use crate::{
    chat::{Block, Delta, Event, Extra, Finish, ProviderError, ReasoningFormat, redact},
    dialect::Frame,
};

/// Frames in, events out.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    done: bool,
    /// Blocks that are open, by the provider's number.
    open: Vec<Open>,
    blocks: u32,
    finish: Option<Finish>,
    /// All members of usage so far: each event says some of them.
    usage: Map<String, Value>,
    extra: Map<String, Value>,
}

#[derive(Debug)]
struct Open {
    index: u64,
    block: u32,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Text,
    Reasoning,
    /// With the arguments that it was opened with, which count unless others follow.
    Call(Option<String>),
    Foreign,
}

impl Decoder {
    /// Of a stream that is about to begin.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a frame.
    pub fn push(&mut self, frame: &Frame<'_>, out: &mut Vec<Event>) {
        if self.done {
            return;
        }
        let Ok(data) = serde_json::from_slice::<Value>(frame.data) else {
            return self.fail(ProviderError::default(), out);
        };
        let Value::Object(mut data) = unwrapped(data) else {
            return self.fail(ProviderError::default(), out);
        };
        let kind = match data.remove("type") {
            Some(Value::String(kind)) => kind,
            _ => frame.event.unwrap_or_default().to_owned(),
        };
        match kind.as_str() {
            "message_start" => self.start(data, out),
            "content_block_start" => self.open(&mut data, out),
            "content_block_delta" => self.delta(&mut data, out),
            "content_block_stop" => self.close(index(&data), out),
            "message_delta" => self.message_delta(data, out),
            "message_stop" => self.stop(out),
            "ping" => out.push(Event::Ping),
            "error" => self.fail(from_value(&Value::Object(data)), out),
            exception if exception.ends_with("Exception") => {
                let message = data.get("message").and_then(Value::as_str).map(redact);
                let (code, status) = (Some(exception.to_owned()), status_of(exception));
                self.fail(ProviderError { message, code, param: None, status }, out);
            }
            // The vendor says that more kinds of events will come.
            _ => {}
        }
    }

    /// The provider closed the stream. One that told how it ended lacks its last event only.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        if self.done {
        } else if self.finish.is_some() {
            self.stop(out);
        } else {
            self.fail(ProviderError::default(), out);
        }
    }

    fn fail(&mut self, error: ProviderError, out: &mut Vec<Event>) {
        self.done = true;
        out.push(Event::Error(error));
    }

    fn start(&mut self, mut data: Map<String, Value>, out: &mut Vec<Event>) {
        let Some(Value::Object(mut message)) = data.remove("message") else { return };
        let used = message.remove("usage").unwrap_or_default();
        let tier = self.used(used, out);
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let mut text = |key: &str| match message.remove(key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let (id, model) = (text("id"), text("model"));
        out.push(Event::Start { id, model, created: None });
        out.extend(tier);
        for known in ["type", "role", "content", "stop_reason", "stop_sequence"] {
            message.remove(known);
        }
        self.extra.extend(message.into_iter().filter(|(_, value)| !value.is_null()));
    }

    /// Tells what was used; gives back the tier that serves, where that is news.
    fn used(&mut self, used: Value, out: &mut Vec<Event>) -> Option<Event> {
        let Value::Object(used) = used else { return None };
        let tier = self.usage.get("service_tier").cloned();
        self.usage.extend(used.into_iter().filter(|(_, value)| !value.is_null()));
        let all = Value::Object(std::mem::take(&mut self.usage));
        out.extend(usage::decode(&all).map(Event::Usage));
        let news = usage::tier(&all).filter(|_| all.get("service_tier") != tier.as_ref());
        if let Value::Object(all) = all {
            self.usage = all;
        }
        news.map(Event::ServiceTier)
    }

    fn open(&mut self, data: &mut Map<String, Value>, out: &mut Vec<Event>) {
        let index = index(data);
        // A block that was never closed ends where another takes its number.
        self.close(index, out);
        let Some(Value::Object(mut block)) = data.remove("content_block") else { return };
        let mut text = |key: &str| match block.get_mut(key).map(Value::take) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let reasoning = || Block::Reasoning { id: None, format: Some(ReasoningFormat::Anthropic) };
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let mut first: Vec<Delta> = Vec::new();
        let (kind, opened) = match text("type").unwrap_or_default().as_str() {
            "text" => {
                first.extend(some(text("text")).map(Delta::Text));
                if let Some(Value::Array(citations)) = block.remove("citations") {
                    first.extend(citations.into_iter().map(|cited| Delta::Citation(citation::decode(cited))));
                }
                (Kind::Text, Block::Text)
            }
            "thinking" => {
                first.extend(some(text("thinking")).map(Delta::Reasoning));
                first.extend(some(text("signature")).map(Delta::Signature));
                (Kind::Reasoning, reasoning())
            }
            "redacted_thinking" => {
                first.extend(some(text("data")).map(Delta::Encrypted));
                (Kind::Reasoning, reasoning())
            }
            "tool_use" => {
                let (id, name) = (text("id").unwrap_or_default(), text("name").unwrap_or_default());
                let input = block.remove("input").filter(|input| !input.is_null()).map(|input| input.to_string());
                (Kind::Call(input.or_else(|| Some("{}".to_owned()))), Block::ToolCall { id, name, custom: false })
            }
            other => {
                block.insert("type".to_owned(), other.into());
                (Kind::Foreign, Block::Foreign(WIRE, Value::Object(block)))
            }
        };
        let block = self.blocks;
        self.blocks += 1;
        self.open.push(Open { index, block, kind });
        out.push(Event::Open { block, choice: 0, kind: opened });
        out.extend(first.into_iter().map(|delta| Event::Delta { block, delta }));
    }

    fn delta(&mut self, data: &mut Map<String, Value>, out: &mut Vec<Event>) {
        let index = index(data);
        let Some(open) = self.open.iter_mut().find(|open| open.index == index) else { return };
        let delta = match (&mut open.kind, data.remove("delta")) {
            (Kind::Foreign, Some(delta)) => Some(Delta::Foreign(delta)),
            (kind, Some(Value::Object(delta))) => known_delta(kind, delta),
            _ => None,
        };
        out.extend(delta.map(|delta| Event::Delta { block: open.block, delta }));
    }

    fn close(&mut self, index: u64, out: &mut Vec<Event>) {
        let Some(at) = self.open.iter().position(|open| open.index == index) else { return };
        let Open { block, kind, .. } = self.open.remove(at);
        if let Kind::Call(Some(initial)) = kind {
            out.push(Event::Delta { block, delta: Delta::Arguments(initial) });
        }
        out.push(Event::Close { block });
    }

    fn message_delta(&mut self, mut data: Map<String, Value>, out: &mut Vec<Event>) {
        let used = data.remove("usage").unwrap_or_default();
        let tier = self.used(used, out);
        out.extend(tier);
        if let Some(Value::Object(mut delta)) = data.remove("delta") {
            let mut text = |key: &str| match delta.remove(key) {
                Some(Value::String(text)) => Some(text),
                _ => None,
            };
            let (reason, sequence) = (text("stop_reason"), text("stop_sequence"));
            self.finish = finish(reason, sequence).or(self.finish.take());
            data.extend(delta);
        }
        self.extra.extend(data.into_iter().filter(|(_, value)| !value.is_null()));
    }

    fn stop(&mut self, out: &mut Vec<Event>) {
        self.done = true;
        while let Some(index) = self.open.first().map(|open| open.index) {
            self.close(index, out);
        }
        if !self.extra.is_empty() {
            out.push(Event::Extra(Extra::of(WIRE, std::mem::take(&mut self.extra))));
        }
        out.extend(self.finish.take().map(|finish| Event::Finish { choice: 0, finish }));
    }
}

/// More of a block of a known kind; `None` where it does not fit, or there is nothing in it.
fn known_delta(block: &mut Kind, mut delta: Map<String, Value>) -> Option<Delta> {
    let mut text = |key: &str| match delta.remove(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    };
    let kind = text("type")?;
    match (block, kind.as_str()) {
        (Kind::Text, "text_delta") => text("text").map(Delta::Text),
        (Kind::Text, "citations_delta") => Some(Delta::Citation(citation::decode(delta.remove("citation")?))),
        (Kind::Reasoning, "thinking_delta") => text("thinking").map(Delta::Reasoning),
        (Kind::Reasoning, "signature_delta") => text("signature").map(Delta::Signature),
        (Kind::Call(initial), "input_json_delta") => {
            let piece = text("partial_json")?;
            *initial = None;
            Some(Delta::Arguments(piece))
        }
        _ => None,
    }
}

fn index(data: &Map<String, Value>) -> u64 {
    data.get("index").and_then(Value::as_u64).unwrap_or(0)
}

/// Bedrock wraps each event: `{"bytes": base64}`.
fn unwrapped(data: Value) -> Value {
    let Some(bytes) = data.get("bytes").and_then(Value::as_str) else { return data };
    STANDARD.decode(bytes).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}
