//! Answers in pieces: server-sent events whose data name their `type`.
//!
//! `message-start`; `tool-plan-delta`s; `content-start`, `content-delta`s, `content-end` by index;
//! `tool-call-start`, `-delta`, `-end` by another index; `citation-start`s, which may come when their
//! text has ended; `message-end`. A text stays open until something else begins.

use serde_json::Value;

use super::{
    PLAN, WIRE,
    error::from_value,
    read::{citation, logprobs},
    response::{finish_of, usage},
};
use crate::{
    chat::{Block, Delta, Event, Extra, FinishReason, ProviderError, ReasoningFormat},
    dialect::Frame,
};

/// Turns events of the wire into events.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    stopped: bool,
    over: bool,
    next: u32,
    /// What is open: its number, what it is and the index it has there.
    open: Option<(u32, Kind, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Plan,
    Thinking,
    Text,
    Call,
}

impl Decoder {
    /// Takes an event.
    pub fn push(&mut self, frame: &Frame<'_>, out: &mut Vec<Event>) {
        if self.over || frame.data.trim_ascii() == b"[DONE]" {
            return;
        }
        let Ok(mut data) = serde_json::from_slice::<Value>(frame.data) else {
            return self.fail(ProviderError::default(), out);
        };
        let kind = data.get("type").and_then(Value::as_str).or(frame.event).unwrap_or_default().to_owned();
        let at = data.get("index").and_then(Value::as_u64).unwrap_or(0);
        let id = data.get_mut("id").map(Value::take).and_then(text);
        match kind.as_str() {
            "message-start" => self.start(id, out),
            "tool-plan-delta" => {
                let plan = data.pointer_mut("/delta/message/tool_plan").map(Value::take).and_then(text);
                self.words(Kind::Plan, 0, plan, out);
            }
            "content-start" | "content-delta" => self.content(at, &mut data, out),
            "tool-call-start" => self.call(at, &mut data, out),
            "tool-call-delta" => {
                let piece = data.pointer_mut("/delta/message/tool_calls/function/arguments");
                let Some(piece) = piece.map(Value::take).and_then(text) else { return };
                match self.open {
                    Some((block, Kind::Call, of)) if of == at => {
                        out.push(Event::Delta { block, delta: Delta::Arguments(piece) });
                    }
                    // A call that was never begun has no name: nothing can be made of it.
                    _ => self.fail(ProviderError::default(), out),
                }
            }
            "tool-call-end" => self.close(out),
            "citation-start" => {
                if let Some(value) = data.pointer_mut("/delta/message/citations").map(Value::take) {
                    let block = match self.open {
                        Some((block, Kind::Text, _)) => block,
                        _ => self.open(Kind::Text, at, Block::Text, out),
                    };
                    out.push(Event::Delta { block, delta: Delta::Citation(citation(value)) });
                }
            }
            "message-end" => self.stop(data, out),
            _ if data.get("message").is_some_and(Value::is_string) => self.fail(from_value(&data), out),
            _ => {}
        }
    }

    /// The provider closed the stream.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        if !self.over && !self.stopped {
            self.close(out);
            self.fail(ProviderError::default(), out);
        }
        self.over = true;
    }

    fn fail(&mut self, error: ProviderError, out: &mut Vec<Event>) {
        self.over = true;
        out.push(Event::Error(error));
    }

    fn start(&mut self, id: Option<String>, out: &mut Vec<Event>) {
        if !self.started {
            self.started = true;
            out.push(Event::Start { id, model: None, created: None });
        }
    }

    fn content(&mut self, at: u64, data: &mut Value, out: &mut Vec<Event>) {
        let piece = data.pointer_mut("/delta/message/content").map(Value::take).unwrap_or_default();
        let Value::Object(mut piece) = piece else { return };
        for (name, kind) in [("thinking", Kind::Thinking), ("text", Kind::Text)] {
            let words = piece.shift_remove(name).and_then(text);
            if words.is_some() {
                self.words(kind, at, words, out);
            }
        }
        if let Some(piece @ Value::Object(_)) = data.get("logprobs") {
            out.push(Event::Logprobs { choice: 0, logprobs: logprobs(std::slice::from_ref(piece)) });
        }
    }

    /// Hands on words; a block that has not begun begins here.
    fn words(&mut self, kind: Kind, at: u64, words: Option<String>, out: &mut Vec<Event>) {
        let Some(words) = words else { return };
        let block = match self.open {
            Some((block, of, index)) if of == kind && index == at => block,
            _ => {
                let named = (kind == Kind::Plan).then(|| PLAN.to_owned());
                let opened = match kind {
                    Kind::Plan | Kind::Thinking => {
                        Block::Reasoning { id: named, format: Some(ReasoningFormat::Unknown) }
                    }
                    Kind::Text | Kind::Call => Block::Text,
                };
                self.open(kind, at, opened, out)
            }
        };
        if !words.is_empty() {
            let delta = if kind == Kind::Text { Delta::Text(words) } else { Delta::Reasoning(words) };
            out.push(Event::Delta { block, delta });
        }
    }

    fn call(&mut self, at: u64, data: &mut Value, out: &mut Vec<Event>) {
        let mut take = |place: &str| {
            let place = format!("/delta/message/tool_calls{place}");
            data.pointer_mut(&place).map(Value::take).and_then(text)
        };
        let (Some(id), Some(name)) = (take("/id"), take("/function/name")) else { return };
        let arguments = take("/function/arguments").unwrap_or_default();
        let block = self.open(Kind::Call, at, Block::ToolCall { id, name, custom: false }, out);
        if !arguments.is_empty() {
            out.push(Event::Delta { block, delta: Delta::Arguments(arguments) });
        }
    }

    fn open(&mut self, kind: Kind, at: u64, opened: Block, out: &mut Vec<Event>) -> u32 {
        self.start(None, out);
        self.close(out);
        let block = self.next;
        self.next += 1;
        self.open = Some((block, kind, at));
        out.push(Event::Open { block, choice: 0, kind: opened });
        block
    }

    fn close(&mut self, out: &mut Vec<Event>) {
        if let Some((block, ..)) = self.open.take() {
            out.push(Event::Close { block });
        }
    }

    fn stop(&mut self, mut data: Value, out: &mut Vec<Event>) {
        if self.stopped {
            return;
        }
        self.start(None, out);
        self.close(out);
        let Some(Value::Object(mut delta)) = data.get_mut("delta").map(Value::take) else {
            return self.fail(ProviderError::default(), out);
        };
        out.extend(delta.shift_remove("usage").and_then(usage).map(Event::Usage));
        let reason = delta.shift_remove("finish_reason").and_then(text).unwrap_or_else(|| "COMPLETE".to_owned());
        let finish = finish_of(&reason);
        // It says why in a member of its own, but not always.
        let says_why = delta.get("error").is_some_and(Value::is_string);
        if finish.reason == FinishReason::Error && (self.next == 0 || says_why) {
            return self.fail(from_value(&delta.into()), out);
        }
        self.stopped = true;
        if !delta.is_empty() {
            out.push(Event::Extra(Extra::of(WIRE, delta)));
        }
        out.push(Event::Finish { choice: 0, finish });
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}
