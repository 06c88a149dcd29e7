//! Answers in pieces: the messages of `ConverseStream`.
//!
//! `messageStart`, then for each block `contentBlockStart` (tools alone have one), `contentBlockDelta`s and
//! `contentBlockStop`, then `messageStop` and `metadata`; or an exception, which ends it. Blocks of tools
//! that the provider runs are held until they are whole.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    WIRE,
    content::{citation, redacted},
    error::from_value,
    media,
    response::{finish_of, service_tier, usage},
    thinking::Maker,
};
use crate::{
    chat::{Block, Delta, Event, Extra, Media, MediaKind, MediaSource, ProviderError, ReasoningFormat},
    dialect::{Frame, Target},
};

/// Turns messages into events.
#[derive(Debug)]
pub struct Decoder {
    /// Whose thoughts these are. It has to be told when a block opens, before its signature has come.
    thoughts: Option<ReasoningFormat>,
    started: bool,
    stopped: bool,
    over: bool,
    next: u32,
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
enum Open {
    /// Its number and kind.
    Block(u32, Kind),
    /// What it began as, and its pieces.
    Held(Map<String, Value>, Vec<Value>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Text,
    Reasoning,
    ToolCall,
    Media,
}

impl Default for Decoder {
    /// Of a model that is not known: thoughts are taken for Claude's, who alone signs them.
    fn default() -> Self {
        Self {
            thoughts: Some(ReasoningFormat::Anthropic),
            started: false,
            stopped: false,
            over: false,
            next: 0,
            open: BTreeMap::new(),
        }
    }
}

impl Decoder {
    /// Of a known model.
    pub fn of(target: &Target<'_>) -> Self {
        let claude = Maker::of(target).takes_thoughts();
        Self { thoughts: claude.then_some(ReasoningFormat::Anthropic), ..Self::default() }
    }

    /// Takes a message.
    pub fn push(&mut self, frame: &Frame<'_>, out: &mut Vec<Event>) {
        if self.over {
            return;
        }
        let Ok(mut data) = serde_json::from_slice::<Value>(frame.data) else {
            return self.fail(ProviderError::default(), out);
        };
        match frame.event.unwrap_or_default() {
            "messageStart" => self.start(out),
            "contentBlockStart" => self.block_start(&mut data, out),
            "contentBlockDelta" => self.block_delta(&mut data, out),
            "contentBlockStop" => {
                self.start(out);
                self.close(index(&data), out);
            }
            "messageStop" => self.stop(data, out),
            "metadata" => self.metadata(data, out),
            name if name.ends_with("Exception") || data.get("message").is_some_and(Value::is_string) => {
                self.fail(from_value(&data, Some(name)), out);
            }
            _ => {}
        }
    }

    /// The provider closed the stream.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        if !self.over && !self.stopped {
            self.close_all(out);
            self.fail(ProviderError::default(), out);
        }
        self.over = true;
    }

    fn fail(&mut self, error: ProviderError, out: &mut Vec<Event>) {
        self.over = true;
        out.push(Event::Error(error));
    }

    fn start(&mut self, out: &mut Vec<Event>) {
        if !self.started {
            self.started = true;
            out.push(Event::Start { id: None, model: None, created: None });
        }
    }

    fn block_start(&mut self, data: &mut Value, out: &mut Vec<Event>) {
        self.start(out);
        let at = index(data);
        let Some((name, start)) = only(data.get_mut("start")) else { return };
        self.close(at, out);
        let text = |key: &str| start.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let server = match name.as_str() {
            "toolUse" => start.get("type").is_some_and(|kind| kind != "tool_use"),
            "image" => false,
            _ => true,
        };
        match start {
            Value::Object(start) if server => {
                self.open.insert(at, Open::Held(Map::from_iter([(name, start.into())]), Vec::new()));
            }
            _ if name == "toolUse" => {
                let kind = Block::ToolCall { id: text("toolUseId"), name: text("name"), custom: false };
                self.open(at, Kind::ToolCall, kind, out);
            }
            _ if name == "image" => {
                let media = Media {
                    kind: MediaKind::Image,
                    mime: Some(media::mime(MediaKind::Image, &text("format"))),
                    source: MediaSource::Base64(String::new()),
                    name: None,
                    detail: None,
                    transcript: None,
                };
                self.open(at, Kind::Media, Block::Media(media), out);
            }
            _ => {}
        }
    }

    fn block_delta(&mut self, data: &mut Value, out: &mut Vec<Event>) {
        self.start(out);
        let at = index(data);
        let Some((name, mut value)) = only(data.get_mut("delta")) else { return };
        if let Some(Open::Held(_, pieces)) = self.open.get_mut(&at) {
            return pieces.push(value);
        }
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        match name.as_str() {
            "text" => {
                let Value::String(text) = value else { return };
                self.give(at, Kind::Text, Delta::Text(text), out);
            }
            "citation" => self.give(at, Kind::Text, Delta::Citation(citation(value)), out),
            "toolUse" => {
                // A call that was never begun has no name: nothing can be made of it.
                if !matches!(self.open.get(&at), Some(Open::Block(_, Kind::ToolCall))) {
                    return self.fail(ProviderError::default(), out);
                }
                let Some(Value::String(input)) = value.get_mut("input").map(Value::take) else { return };
                self.give(at, Kind::ToolCall, Delta::Arguments(input), out);
            }
            "reasoningContent" => {
                let delta = text(&value, "text").map(Delta::Reasoning);
                let delta = delta.or_else(|| text(&value, "signature").map(Delta::Signature));
                let blob = || Some(Delta::Encrypted(redacted(&text(&value, "redactedContent")?)?));
                let Some(delta) = delta.or_else(blob) else { return };
                self.give(at, Kind::Reasoning, delta, out);
            }
            "image" => {
                let Some(Value::String(bytes)) = value.pointer_mut("/source/bytes").map(Value::take) else { return };
                if matches!(self.open.get(&at), Some(Open::Block(_, Kind::Media))) {
                    self.give(at, Kind::Media, Delta::Media(bytes), out);
                }
            }
            _ => {}
        }
    }

    /// Hands on a piece; a block that has not begun, or is of another kind, begins here.
    fn give(&mut self, at: u64, kind: Kind, delta: Delta, out: &mut Vec<Event>) {
        let known = match self.open.get(&at) {
            Some(Open::Block(block, of)) if *of == kind => Some(*block),
            _ => None,
        };
        let block = known.unwrap_or_else(|| {
            self.close(at, out);
            let opened = match kind {
                Kind::Reasoning => Block::Reasoning { id: None, format: self.thoughts },
                Kind::Text | Kind::ToolCall | Kind::Media => Block::Text,
            };
            self.open(at, kind, opened, out)
        });
        out.push(Event::Delta { block, delta });
    }

    fn open(&mut self, at: u64, kind: Kind, opened: Block, out: &mut Vec<Event>) -> u32 {
        let block = self.next;
        self.next += 1;
        self.open.insert(at, Open::Block(block, kind));
        out.push(Event::Open { block, choice: 0, kind: opened });
        block
    }

    fn close(&mut self, at: u64, out: &mut Vec<Event>) {
        match self.open.remove(&at) {
            None => {}
            Some(Open::Block(block, _)) => out.push(Event::Close { block }),
            Some(Open::Held(begun, pieces)) => {
                let block = self.next;
                self.next += 1;
                out.push(Event::Open { block, choice: 0, kind: Block::Foreign(WIRE, whole(begun, pieces)) });
                out.push(Event::Close { block });
            }
        }
    }

    fn close_all(&mut self, out: &mut Vec<Event>) {
        while let Some(at) = self.open.keys().next().copied() {
            self.close(at, out);
        }
    }

    fn stop(&mut self, data: Value, out: &mut Vec<Event>) {
        self.start(out);
        self.close_all(out);
        let Value::Object(mut members) = data else { return };
        let reason = members.shift_remove("stopReason");
        let reason = reason.as_ref().and_then(Value::as_str).unwrap_or("end_turn");
        if !self.stopped {
            self.stopped = true;
            out.push(Event::Finish { choice: 0, finish: finish_of(reason, &members) });
        }
        extra(members, out);
    }

    fn metadata(&mut self, data: Value, out: &mut Vec<Event>) {
        self.start(out);
        let Value::Object(mut members) = data else { return };
        out.extend(members.shift_remove("usage").and_then(usage).map(Event::Usage));
        out.extend(service_tier(&mut members).map(Event::ServiceTier));
        extra(members, out);
    }
}

/// `p` is padding against listeners who measure lengths.
fn extra(mut members: Map<String, Value>, out: &mut Vec<Event>) {
    members.shift_remove("p");
    if !members.is_empty() {
        out.push(Event::Extra(Extra::of(WIRE, members)));
    }
}

fn index(data: &Value) -> u64 {
    data.get("contentBlockIndex").and_then(Value::as_u64).unwrap_or(0)
}

/// Name and value of a union's only member.
fn only(union: Option<&mut Value>) -> Option<(String, Value)> {
    match union?.take() {
        Value::Object(members) => members.into_iter().next(),
        _ => None,
    }
}

/// A block as it stands in a whole answer: the call's input, the result's content.
fn whole(begun: Map<String, Value>, pieces: Vec<Value>) -> Value {
    let mut block = Value::Object(begun);
    if let Some(inner) = block.get_mut("toolUse") {
        let input: String = pieces.iter().filter_map(|piece| piece.get("input")?.as_str()).collect();
        inner["input"] = serde_json::from_str(&input).unwrap_or_else(|_| json!({}));
    } else if let Some(inner) = block.as_object_mut().and_then(|block| block.values_mut().next()) {
        let content = pieces.into_iter().flat_map(|piece| match piece {
            Value::Array(items) => items,
            item => vec![item],
        });
        inner["content"] = content.collect::<Vec<_>>().into();
    }
    block
}
