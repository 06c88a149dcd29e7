//! A client's stream, written.
//!
//! Here blocks stand one after another, and the SDKs count on it. Where several are open at the same time
//! (parallel calls of other formats), the first goes out as it comes, and the others are held back until
//! it is closed: at most one answer is held.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::super::{
    WIRE, citation,
    error::write_error,
    part, reasoning,
    response::{block, head, hides_thoughts, stop},
    usage,
};
use crate::{
    chat::{Block, Delta, Event, Finish, Media, MediaSource, Part, PartKind, Reasoning, ReasoningFormat, Usage},
    dialect::Names,
    error::Error,
    framing::json::quote,
};

/// Events in, bytes out.
#[derive(Debug)]
pub struct Encoder {
    names: Names,
    started: bool,
    /// The number of the next block.
    index: u32,
    /// The first one goes out, the others wait.
    blocks: VecDeque<Pending>,
    /// The client does not want to see thoughts.
    hidden: bool,
    refused: bool,
    finish: Option<Finish>,
    usage: Option<Usage>,
    tier: Option<String>,
    extra: Map<String, Value>,
}

/// A block that has not been written to its end.
#[derive(Debug)]
struct Pending {
    block: u32,
    kind: Block,
    /// Deltas that wait.
    deltas: Vec<Delta>,
    /// `content_block_start` has been written.
    opened: bool,
    closed: bool,
    /// Thoughts are not shown.
    hidden: bool,
    /// Of reasoning: what is written at its end.
    reasoning: Reasoning,
    /// Of a tool's call with free text: the text.
    text: String,
}

impl Encoder {
    /// A stream of that name.
    pub fn new(names: Names) -> Self {
        Self {
            hidden: hides_thoughts(&names),
            names,
            started: false,
            index: 0,
            blocks: VecDeque::new(),
            refused: false,
            finish: None,
            usage: None,
            tier: None,
            extra: Map::new(),
        }
    }

    /// Takes an event.
    pub fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { .. } => self.start(out),
            Event::Open { block, choice: 0, kind } => {
                self.start(out);
                self.refused |= matches!(kind, Block::Refusal);
                self.blocks.push_back(Pending::new(*block, kind.clone(), self.hidden));
                if self.blocks.len() == 1 {
                    self.advance(out);
                }
            }
            Event::Delta { block, delta } => {
                let Some(at) = self.blocks.iter().position(|pending| pending.block == *block) else { return };
                let index = self.index;
                match self.blocks.get_mut(at) {
                    Some(pending) if at == 0 => pending.write(index, delta, out),
                    Some(pending) => pending.deltas.push(delta.clone()),
                    None => {}
                }
            }
            Event::Close { block } => {
                if let Some(pending) = self.blocks.iter_mut().find(|pending| pending.block == *block) {
                    pending.closed = true;
                }
                self.advance(out);
            }
            Event::Finish { choice: 0, finish } => self.finish = Some(finish.clone()),
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::ServiceTier(tier) => self.tier = Some(tier.clone()),
            Event::Extra(extra) => self.extra.extend(extra.own(WIRE).cloned().unwrap_or_default()),
            Event::Ping => Self::keep_alive(out),
            // Other choices cannot have been asked for; logprobs have no form here; failures come by `fail`.
            Event::Open { .. } | Event::Finish { .. } | Event::Logprobs { .. } | Event::Error(_) => {}
        }
    }

    /// Members for the end of the answer, beside what it says.
    pub fn add(&mut self, extra: Map<String, Value>) {
        self.names.extra = extra;
    }

    /// Ends the stream well. `usage`: what was used in the end, else what the events said.
    pub fn end(&mut self, usage: Option<&Usage>, cost: Map<String, Value>, out: &mut Vec<u8>) {
        self.start(out);
        for pending in &mut self.blocks {
            pending.closed = true;
        }
        self.advance(out);
        let (stop_reason, stop_sequence) = stop(self.finish.as_ref(), self.refused);
        let mut delta = json!({ "stop_reason": stop_reason, "stop_sequence": stop_sequence });
        let mut event = Map::new();
        for (key, value) in std::mem::take(&mut self.extra) {
            match (key.as_str(), &mut delta) {
                ("container" | "stop_details", Value::Object(delta)) => drop(delta.insert(key, value)),
                _ => drop(event.insert(key, value)),
            }
        }
        event.extend(self.names.extra.clone());
        event.insert("delta".to_owned(), delta);
        let mut all = self.names.cost.clone();
        all.extend(cost);
        let used = usage.or(self.usage.as_ref());
        event.insert("usage".to_owned(), usage::encode(used, self.tier.as_deref(), all));
        write("message_delta", event, out);
        write("message_stop", Map::new(), out);
    }

    /// Ends the stream as it is: broken.
    pub fn fail(&mut self, error: &Error, out: &mut Vec<u8>) {
        frame("error", &write_error(error).to_string(), out);
    }

    /// Writes that the stream is alive.
    pub fn keep_alive(out: &mut Vec<u8>) {
        frame("ping", "{\"type\": \"ping\"}", out);
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let mut message = head(&self.names);
        message.insert("content".to_owned(), json!([]));
        message.insert("stop_reason".to_owned(), Value::Null);
        message.insert("stop_sequence".to_owned(), Value::Null);
        let usage = usage::encode(self.usage.as_ref(), self.tier.as_deref(), Map::new());
        message.insert("usage".to_owned(), usage);
        let mut event = Map::new();
        event.insert("message".to_owned(), Value::Object(message));
        write("message_start", event, out);
        Self::keep_alive(out);
    }

    /// Writes as much as the order of the blocks allows.
    fn advance(&mut self, out: &mut Vec<u8>) {
        while let Some(first) = self.blocks.front_mut() {
            first.begin(self.index, out);
            for delta in std::mem::take(&mut first.deltas) {
                first.write(self.index, &delta, out);
            }
            if !first.closed {
                return;
            }
            first.end(self.index, out);
            self.index += u32::from(first.opened);
            self.blocks.pop_front();
        }
    }
}

impl Pending {
    fn new(block: u32, kind: Block, hidden: bool) -> Self {
        let reasoning = match &kind {
            Block::Reasoning { id, format } => Reasoning { id: id.clone(), format: *format, ..Reasoning::default() },
            _ => Reasoning::default(),
        };
        Self { block, kind, deltas: Vec::new(), opened: false, closed: false, hidden, reasoning, text: String::new() }
    }

    /// Opens the block, if it is known already how: not so of text that may stay empty, of reasoning that
    /// may turn out to be encrypted, and of what is written whole.
    fn begin(&mut self, index: u32, out: &mut Vec<u8>) {
        if self.opened {
            return;
        }
        match &self.kind {
            Block::ToolCall { id, name, .. } => {
                let call = part::tool_use(id, name, json!({}));
                self.open(index, &Value::Object(call), out);
            }
            Block::Foreign(WIRE, value) => {
                let value = value.clone();
                self.open(index, &value, out);
            }
            Block::Text | Block::Refusal | Block::Reasoning { .. } | Block::Media(_) | Block::Foreign(..) => {}
        }
    }

    fn open(&mut self, index: u32, content: &Value, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.opened, true) {
            frame(
                "content_block_start",
                &json!({
                    "type": "content_block_start",
                    "index": index,
                    "content_block": content,
                })
                .to_string(),
                out,
            );
        }
    }

    fn open_thinking(&mut self, index: u32, out: &mut Vec<u8>) {
        self.open(index, &json!({ "type": "thinking", "thinking": "", "signature": "" }), out);
    }

    fn think(&self, index: u32, text: &str, out: &mut Vec<u8>) {
        if !self.hidden {
            text_delta(index, "thinking_delta", "thinking", text, out);
        }
    }

    fn write(&mut self, index: u32, delta: &Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Text(text) => {
                self.open(index, &json!({ "type": "text", "text": "" }), out);
                text_delta(index, "text_delta", "text", text, out);
            }
            Delta::Citation(cited) => {
                if let Some(cited) = citation::shown(cited) {
                    self.open(index, &json!({ "type": "text", "text": "" }), out);
                    value_delta(index, &json!({ "type": "citations_delta", "citation": cited }), out);
                }
            }
            Delta::Reasoning(text) => {
                self.open_thinking(index, out);
                self.reasoning.text.get_or_insert_default();
                self.think(index, text, out);
            }
            Delta::Summary(paragraph, text) => {
                self.open_thinking(index, out);
                let at = usize::try_from(*paragraph).unwrap_or(usize::MAX);
                if !self.reasoning.summary.is_empty() && at >= self.reasoning.summary.len() {
                    self.think(index, "\n\n", out);
                }
                // The words are out; that there are some, and in how many paragraphs, is still needed.
                let count = self.reasoning.summary.len();
                self.reasoning.summary.resize(count.max(at.min(count) + 1), String::new());
                self.think(index, text, out);
            }
            Delta::Signature(piece) => {
                self.reasoning.signature.get_or_insert_default().push_str(piece);
            }
            Delta::Encrypted(data) => self.reasoning.encrypted = Some(data.clone()),
            Delta::Arguments(piece) => match self.kind {
                Block::ToolCall { custom: true, .. } => self.text.push_str(piece),
                _ => text_delta(index, "input_json_delta", "partial_json", piece, out),
            },
            Delta::Media(piece) => {
                if let Block::Media(Media { source: MediaSource::Base64(data), .. }) = &mut self.kind {
                    data.push_str(piece);
                }
            }
            Delta::Transcript(piece) => {
                if let Block::Media(media) = &mut self.kind {
                    media.transcript.get_or_insert_default().push_str(piece);
                }
            }
            Delta::Foreign(delta) => {
                if let Block::Foreign(WIRE, _) = self.kind {
                    value_delta(index, delta, out);
                }
            }
        }
    }

    fn end(&mut self, index: u32, out: &mut Vec<u8>) {
        match &self.kind {
            Block::Reasoning { .. } => self.end_reasoning(index, out),
            Block::Media(media) => {
                if let Some(content) = block(&Part::new(PartKind::Media(media.clone()))) {
                    self.whole(index, content, out);
                }
            }
            Block::ToolCall { custom: true, .. } => {
                let input = json!({ "input": self.text }).to_string();
                text_delta(index, "input_json_delta", "partial_json", &input, out);
            }
            Block::Text | Block::Refusal | Block::ToolCall { .. } | Block::Foreign(..) => {}
        }
        if self.opened {
            let mut event = Map::new();
            event.insert("index".to_owned(), index.into());
            write("content_block_stop", event, out);
        }
    }

    /// Anthropic's own signature goes out as it is; all else that is not words is packed into one.
    fn end_reasoning(&mut self, index: u32, out: &mut Vec<u8>) {
        let own = self.reasoning.format == Some(ReasoningFormat::Anthropic);
        let signature = match (&self.reasoning.signature, self.opened) {
            (Some(signature), _) if own => Some(signature.clone()),
            (_, true) if !own => Some(reasoning::pack(&self.reasoning)),
            _ => None,
        };
        if let Some(signature) = signature {
            self.open_thinking(index, out);
            text_delta(index, "signature_delta", "signature", &signature, out);
        } else if let Some(content) = reasoning::shown(&self.reasoning).filter(|_| !self.opened) {
            self.whole(index, Value::Object(content), out);
        }
    }

    /// A block that comes in one piece.
    fn whole(&mut self, index: u32, mut content: Value, out: &mut Vec<u8>) {
        // The SDKs put text together from deltas only where they are; here, at once, it is all there.
        let text = content.get_mut("text").map(Value::take);
        match text {
            Some(Value::String(text)) => {
                self.open(index, &json!({ "type": "text", "text": "" }), out);
                text_delta(index, "text_delta", "text", &text, out);
            }
            _ => self.open(index, &content, out),
        }
    }
}

/// An event whose type is its name.
pub fn write(name: &str, members: Map<String, Value>, out: &mut Vec<u8>) {
    let mut event = Map::new();
    event.insert("type".to_owned(), name.into());
    event.extend(members);
    frame(name, &Value::Object(event).to_string(), out);
}

fn frame(name: &str, data: &str, out: &mut Vec<u8>) {
    for piece in ["event: ", name, "\ndata: ", data, "\n\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
}

fn value_delta(index: u32, delta: &Value, out: &mut Vec<u8>) {
    let data = json!({ "type": "content_block_delta", "index": index, "delta": delta });
    frame("content_block_delta", &data.to_string(), out);
}

/// Most of a stream: written without a tree.
fn text_delta(index: u32, kind: &str, key: &str, text: &str, out: &mut Vec<u8>) {
    let text = quote(text);
    let data = format!(
        "{{\"type\":\"content_block_delta\",\"index\":{index},\"delta\":{{\"type\":\"{kind}\",\"{key}\":{text}}}}}"
    );
    frame("content_block_delta", &data, out);
}
