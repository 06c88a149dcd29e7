//! Answers in pieces: lines of JSON, each with a piece of the message, the last one `done`. Calls come
//! whole. A line `{"error": ..}` ends it.

use serde_json::{Value, json};

use super::{
    WIRE,
    error::from_value,
    read::{Calls, tool_call},
    response::{End, seconds},
};
use crate::{
    chat::{Block, Delta, Event, Extra, Part, PartKind, ProviderError, ReasoningFormat},
    dialect::Frame,
};

/// Turns lines into events.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    called: bool,
    next: u32,
    /// What is open: its number, and whether it is thoughts.
    open: Option<(u32, bool)>,
    calls: Calls,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
enum State {
    #[default]
    New,
    Started,
    /// The last line has come.
    Stopped,
    /// It broke, or the provider closed it.
    Over,
}

impl Decoder {
    /// Takes a line.
    pub fn push(&mut self, frame: &Frame<'_>, out: &mut Vec<Event>) {
        if self.state >= State::Stopped {
            return;
        }
        let Ok(Value::Object(mut line)) = serde_json::from_slice(frame.data) else {
            return self.fail(ProviderError::default(), out);
        };
        if line.contains_key("error") {
            return self.fail(from_value(&line.into()), out);
        }
        let text = |value: Option<Value>| match value {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let (model, created) = (text(line.shift_remove("model")), text(line.shift_remove("created_at")));
        if self.state == State::New {
            self.state = State::Started;
            out.push(Event::Start { id: None, model, created: created.and_then(|moment| seconds(&moment)) });
        }
        if let Some(Value::Object(mut message)) = line.shift_remove("message") {
            self.words(true, text(message.shift_remove("thinking")), out);
            self.words(false, text(message.shift_remove("content")), out);
            if let Some(Value::Array(calls)) = message.shift_remove("tool_calls") {
                for call in calls {
                    self.call(call, out);
                }
            }
        }
        if self.state == State::Over {
            return;
        }
        if let Some(items @ Value::Array(_)) = line.shift_remove("logprobs") {
            out.push(Event::Logprobs { choice: 0, logprobs: json!({ "content": items }) });
        }
        let End { finish, usage } = End::read(&mut line, self.called);
        if let Some(finish) = finish {
            self.state = State::Stopped;
            self.close(out);
            out.extend(usage.map(Event::Usage));
            if !line.is_empty() {
                out.push(Event::Extra(Extra::of(WIRE, line)));
            }
            out.push(Event::Finish { choice: 0, finish });
        }
    }

    /// The provider closed the stream.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        if self.state < State::Stopped {
            self.close(out);
            self.fail(ProviderError::default(), out);
        }
        self.state = State::Over;
    }

    fn fail(&mut self, error: ProviderError, out: &mut Vec<Event>) {
        self.state = State::Over;
        out.push(Event::Error(error));
    }

    fn words(&mut self, thoughts: bool, words: Option<String>, out: &mut Vec<Event>) {
        let Some(words) = words.filter(|words| !words.is_empty()) else { return };
        let block = match self.open {
            Some((block, of)) if of == thoughts => block,
            _ => {
                self.close(out);
                let kind = if thoughts {
                    Block::Reasoning { id: None, format: Some(ReasoningFormat::Unknown) }
                } else {
                    Block::Text
                };
                let block = self.open(kind, out);
                self.open = Some((block, thoughts));
                block
            }
        };
        let delta = if thoughts { Delta::Reasoning(words) } else { Delta::Text(words) };
        out.push(Event::Delta { block, delta });
    }

    fn call(&mut self, call: Value, out: &mut Vec<Event>) {
        if self.state == State::Over {
            return;
        }
        let read = tool_call(call, "tool_calls".to_owned(), &mut self.calls);
        let Ok(Part { kind: PartKind::ToolCall(call), .. }) = read else {
            return self.fail(ProviderError::default(), out);
        };
        self.called = true;
        self.close(out);
        let block = self.open(Block::ToolCall { id: call.id, name: call.name, custom: false }, out);
        out.push(Event::Delta { block, delta: Delta::Arguments(call.arguments) });
        out.push(Event::Close { block });
    }

    fn open(&mut self, kind: Block, out: &mut Vec<Event>) -> u32 {
        let block = self.next;
        self.next += 1;
        out.push(Event::Open { block, choice: 0, kind });
        block
    }

    fn close(&mut self, out: &mut Vec<Event>) {
        if let Some((block, _)) = self.open.take() {
            out.push(Event::Close { block });
        }
    }
}
