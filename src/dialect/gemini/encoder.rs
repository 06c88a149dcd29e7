//! A stream as a client of this format reads it: every frame a `GenerateContentResponse` with the next
//! parts. There is no terminator; the last frame has `finishReason` and `usageMetadata`.
//!
//! - With `alt=sse`: events. Otherwise an array of JSON that grows. Which of the two stands in the member
//!   `alt` of [`Names::request`]; without it, events.
//! - Calls and media come whole, when they are complete.
//! - Nothing but line ends keeps a stream alive: the official SDK for JavaScript finds events by a pattern
//!   that no comment may precede, and that for Python takes comments for JSON.
//! - An error stands between the events as bare JSON, as Google writes it and both SDKs look for it.

use std::{collections::BTreeMap, mem};

use serde_json::{Map, Value, json};

use super::{error, finish, grounding, logprobs, response, usage};
use crate::{
    chat::{
        Block, Citation, Delta, Event, Extra, Finish, MediaSource, Part, PartKind, Reasoning, ToolCall, Usage, Wire,
    },
    dialect::Names,
    error::Error,
};

/// Events to frames.
#[derive(Debug)]
pub struct Encoder {
    names: Names,
    created: Option<i64>,
    /// Of an array: whether it has begun.
    array: Option<bool>,
    /// What every frame ends with.
    tail: Vec<u8>,
    blocks: BTreeMap<u32, Writing>,
    choices: BTreeMap<u32, Ending>,
    extra: Map<String, Value>,
}

/// A block that is open.
#[derive(Debug)]
struct Writing {
    choice: u32,
    part: Part,
    citations: Vec<Citation>,
}

/// What the last frame says of an answer.
#[derive(Debug, Default)]
struct Ending {
    finish: Option<Finish>,
    /// Bytes of text that are closed, and what rests on them.
    said: usize,
    cited: Vec<(Vec<Citation>, String, usize)>,
    logprobs: Vec<Value>,
    wrote: bool,
}

impl Encoder {
    /// A stream under these names.
    pub fn new(names: Names) -> Self {
        let alt = names.request.as_ref().and_then(|request| request.get("alt")?.as_str());
        let array = alt.is_some_and(|alt| alt != "sse").then_some(false);
        let tail = tail(&names, None);
        let (blocks, choices) = (BTreeMap::new(), BTreeMap::new());
        Self { names, created: None, array, tail, blocks, choices, extra: Map::new() }
    }

    /// Takes an event; writes what it has for the client.
    pub fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { created, id: _, model: _ } => {
                self.created = *created;
                self.tail = tail(&self.names, *created);
            }
            Event::Open { block, choice, kind } => {
                self.choices.entry(*choice).or_default();
                let writing = Writing { choice: *choice, part: Part::new(opened(kind.clone())), citations: Vec::new() };
                self.blocks.insert(*block, writing);
            }
            Event::Delta { block, delta } => self.delta(*block, delta, out),
            Event::Close { block } => self.close(*block, out),
            Event::Logprobs { choice, logprobs } => {
                self.choices.entry(*choice).or_default().logprobs.push(logprobs.clone());
            }
            Event::Finish { choice, finish } => {
                self.choices.entry(*choice).or_default().finish = Some(finish.clone());
            }
            Event::Extra(Extra { wire: Some(Wire::Gemini), members }) => self.extra.extend(members.clone()),
            Event::Extra(_) | Event::Usage(_) | Event::ServiceTier(_) | Event::Error(_) => {}
            Event::Ping => Self::keep_alive(out),
        }
    }

    fn delta(&mut self, block: u32, delta: &Delta, out: &mut Vec<u8>) {
        let Some(Writing { choice, part, citations }) = self.blocks.get_mut(&block) else { return };
        let choice = *choice;
        match (&mut part.kind, delta) {
            (PartKind::Text { text, .. }, Delta::Text(piece)) => {
                text.push_str(piece);
                self.text(choice, piece, false, out);
            }
            (PartKind::Refusal(_), Delta::Text(piece)) => self.text(choice, piece, false, out),
            (PartKind::Text { .. }, Delta::Citation(citation)) => citations.push(citation.clone()),
            (PartKind::Reasoning(_), Delta::Reasoning(piece)) => self.text(choice, piece, true, out),
            (PartKind::Reasoning(reasoning), Delta::Summary(paragraph, piece)) => {
                // A new paragraph of the summary begins.
                let number = usize::try_from(*paragraph).unwrap_or(usize::MAX);
                let begins = number > 0 && reasoning.summary.len() < number;
                reasoning.summary.resize(reasoning.summary.len() + usize::from(begins), String::new());
                if begins {
                    self.text(choice, "\n\n", true, out);
                }
                self.text(choice, piece, true, out);
            }
            (PartKind::Reasoning(reasoning), Delta::Signature(piece)) => {
                reasoning.signature.get_or_insert_default().push_str(piece);
            }
            (PartKind::Reasoning(reasoning), Delta::Encrypted(data)) => reasoning.encrypted = Some(data.clone()),
            (PartKind::ToolCall(call), Delta::Signature(piece)) => {
                call.signature.get_or_insert_default().push_str(piece);
            }
            (PartKind::ToolCall(call), Delta::Arguments(piece)) => call.arguments.push_str(piece),
            (PartKind::Media(media), Delta::Media(piece)) => {
                if let MediaSource::Base64(data) = &mut media.source {
                    data.push_str(piece);
                }
            }
            // What is said in a sound, and what only another format knows: nothing here has a place for it.
            _ => {}
        }
    }

    fn close(&mut self, block: u32, out: &mut Vec<u8>) {
        let Some(Writing { choice, mut part, citations }) = self.blocks.remove(&block) else { return };
        match &mut part.kind {
            PartKind::Text { text, .. } => {
                let ending = self.choices.entry(choice).or_default();
                let before = ending.said;
                ending.said += text.len();
                if !citations.is_empty() {
                    ending.cited.push((citations, mem::take(text), before));
                }
            }
            PartKind::Reasoning(reasoning) => {
                reasoning.summary.clear();
                let marked = reasoning.signature.is_some() || reasoning.encrypted.is_some();
                if marked {
                    self.part(choice, &part.kind, out);
                }
            }
            PartKind::ToolCall(_) | PartKind::Media(_) | PartKind::Foreign(..) => self.part(choice, &part.kind, out),
            PartKind::Refusal(_) | PartKind::ToolResult(_) => {}
        }
    }

    fn text(&mut self, choice: u32, text: &str, thought: bool, out: &mut Vec<u8>) {
        self.choices.entry(choice).or_default().wrote = true;
        self.begin(out);
        out.extend_from_slice(b"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":");
        write_json(&text, out);
        if thought {
            out.extend_from_slice(b",\"thought\":true");
        }
        out.extend_from_slice(b"}],\"role\":\"model\"},\"index\":");
        out.extend_from_slice(choice.to_string().as_bytes());
        out.extend_from_slice(b"}]");
        out.extend_from_slice(&self.tail);
        self.finish_frame(out);
    }

    fn part(&mut self, choice: u32, kind: &PartKind, out: &mut Vec<u8>) {
        let Some(part) = response::write_part(kind) else { return };
        self.choices.entry(choice).or_default().wrote = true;
        self.begin(out);
        let candidate = json!([{ "content": { "parts": [part], "role": "model" }, "index": choice }]);
        out.extend_from_slice(b"{\"candidates\":");
        write_json(&candidate, out);
        out.extend_from_slice(&self.tail);
        self.finish_frame(out);
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        match &mut self.array {
            None => out.extend_from_slice(b"data: "),
            Some(begun) => out.extend_from_slice(if mem::replace(begun, true) { b"," } else { b"[" }),
        }
    }

    fn finish_frame(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.array.is_none() { b"\r\n\r\n" } else { b"\r\n" });
    }

    /// Members for the end of the answer, beside what it says.
    pub fn add(&mut self, extra: Map<String, Value>) {
        self.names.extra = extra;
    }

    /// Ends the stream: how the answers ended, and what was used.
    pub fn end(&mut self, usage: Option<&Usage>, cost: Map<String, Value>, out: &mut Vec<u8>) {
        let open: Vec<u32> = self.blocks.keys().copied().collect();
        for block in open {
            self.close(block, out);
        }
        let mut body = Map::new();
        let refused = finish::blocked(self.extra.get("promptFeedback")).is_some();
        let mut choices = mem::take(&mut self.choices);
        if choices.is_empty() && !refused {
            choices.insert(0, Ending::default());
        }
        if !refused || choices.values().any(|ending| ending.wrote) {
            let candidates: Vec<Value> = choices.iter().map(|(choice, ending)| ending.write(*choice)).collect();
            body.insert("candidates".to_owned(), candidates.into());
        }
        if usage.is_some() || !cost.is_empty() {
            let mut written = usage.map(usage::write).unwrap_or_default();
            written.extend(cost);
            body.insert("usageMetadata".to_owned(), Value::Object(written));
        }
        body.append(&mut self.extra);
        response::head(&mut body, &self.names, self.created);
        body.extend(self.names.extra.clone());
        self.begin(out);
        write_json(&body, out);
        self.finish_frame(out);
        if self.array.is_some() {
            out.extend_from_slice(b"]");
        }
    }

    /// Ends the stream with an error instead.
    pub fn fail(&mut self, error: &Error, out: &mut Vec<u8>) {
        if self.array.is_some() {
            self.begin(out);
        }
        write_json(&error::write_error(error), out);
        out.extend_from_slice(if self.array.is_some() { b"]" } else { b"\n" });
    }

    /// Tells the client that the stream is still there.
    pub fn keep_alive(out: &mut Vec<u8>) {
        out.push(b'\n');
    }
}

impl Ending {
    /// With an empty text, as Google writes it: clients print the text of every frame.
    fn write(&self, choice: u32) -> Value {
        let mut candidate = Map::new();
        candidate.insert("content".to_owned(), json!({ "parts": [{ "text": "" }], "role": "model" }));
        candidate.insert("finishReason".to_owned(), finish::write(self.finish.as_ref()).into());
        candidate.insert("index".to_owned(), choice.into());
        let cited = self.cited.iter().flat_map(|(citations, text, before)| {
            citations.iter().map(move |citation| (citation, text.as_str(), *before))
        });
        if let Some(grounding) = grounding::write(cited) {
            candidate.insert("groundingMetadata".to_owned(), grounding);
        }
        let content: Vec<Value> = self
            .logprobs
            .iter()
            .flat_map(|logprobs| logprobs.get("content").and_then(Value::as_array).into_iter().flatten().cloned())
            .collect();
        if let Some(result) = (!content.is_empty()).then(|| json!({ "content": content })) {
            candidate.extend(logprobs::write(&result).map(|result| ("logprobsResult".to_owned(), result)));
        }
        Value::Object(candidate)
    }
}

/// `,"modelVersion":...,"responseId":...}`
fn tail(names: &Names, created: Option<i64>) -> Vec<u8> {
    let mut head = Map::new();
    response::head(&mut head, names, created);
    let mut tail = vec![b','];
    let text = Value::Object(head).to_string();
    tail.extend_from_slice(text.trim_start_matches('{').as_bytes());
    tail
}

/// JSON of a value that is JSON: writing to memory does not fail.
fn write_json(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    let begin = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(begin);
        out.extend_from_slice(b"null");
    }
}

fn opened(kind: Block) -> PartKind {
    match kind {
        Block::Text => PartKind::Text { text: String::new(), citations: Vec::new() },
        Block::Refusal => PartKind::Refusal(String::new()),
        Block::Reasoning { id, format } => PartKind::Reasoning(Reasoning { id, format, ..Reasoning::default() }),
        Block::ToolCall { id, name, custom } => {
            PartKind::ToolCall(ToolCall { id, name, arguments: String::new(), signature: None, custom })
        }
        Block::Media(media) => PartKind::Media(media),
        Block::Foreign(wire, value) => PartKind::Foreign(wire, value),
    }
}
