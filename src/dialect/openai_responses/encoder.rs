//! A stream, written for the client: OpenAI's semantic events, in OpenAI's order.
//!
//! Texts that follow each other are parts of one message; everything else is an item of its own. What an
//! event ends (`...done`) repeats the whole, and the last event repeats everything, so it is collected
//! here. That event is held back until the gateway knows what was used and what it costs. There is no
//! `[DONE]`: OpenAI sends none, and clients end at the last event.

use std::{collections::BTreeMap, fmt::Display};

use serde_json::{Map, Value, json};

use super::{
    WIRE, content,
    error::response_error,
    lines::{Lines, Place, Shown},
    object::Members,
    output,
    response::output_text,
    usage,
};
use crate::{
    chat::{Block, Citation, Delta, Event, Finish, Media, MediaKind, MediaSource, Reasoning, ToolCall, Usage},
    dialect::Names,
    error::Error,
    framing::json::quote,
};

/// Turns events into bytes.
#[derive(Debug)]
pub struct Encoder {
    names: Names,
    lines: Lines,
    /// The object around the items, once the answer has begun.
    frame: Option<Value>,
    /// The items, by index; null while they are not done.
    items: Vec<Value>,
    blocks: BTreeMap<u32, Open>,
    message: Option<Message>,
    finish: Option<Finish>,
    usage: Option<Usage>,
    tier: Option<String>,
    extra: Members,
}

/// The message that takes words.
#[derive(Debug)]
struct Message {
    at: Place,
    /// Its parts; null while they are not done.
    parts: Vec<Value>,
}

/// A block that is open.
#[derive(Debug)]
enum Open {
    Words(Words),
    Reasoning {
        at: Place,
        reasoning: Reasoning,
    },
    Call {
        at: Place,
        call: ToolCall,
    },
    Image {
        at: Place,
        media: Media,
    },
    Foreign {
        at: Place,
        item: Value,
    },
    /// Another format's: not told.
    Unknown,
}

#[derive(Debug)]
struct Words {
    at: Place,
    part: usize,
    refusal: bool,
    text: String,
    citations: Vec<Citation>,
    logprobs: Vec<Value>,
}

impl Encoder {
    /// For an answer with these names.
    pub fn new(names: Names) -> Self {
        Self {
            names,
            lines: Lines::default(),
            frame: None,
            items: Vec::new(),
            blocks: BTreeMap::new(),
            message: None,
            finish: None,
            usage: None,
            tier: None,
            extra: Members::new(),
        }
    }

    /// Takes an event of the first answer: this format asks for one. An error is told by
    /// [`Encoder::fail`], a sign of life by [`Encoder::keep_alive`].
    pub fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { created, .. } => self.start(*created, out),
            Event::Open { block, choice: 0, kind } => {
                self.start(None, out);
                self.open(*block, kind, out);
            }
            Event::Delta { block, delta } => self.delta(*block, delta, out),
            Event::Close { block } => self.close(*block, out),
            Event::Logprobs { choice: 0, logprobs } => self.logprobs(logprobs),
            Event::Finish { choice: 0, finish } => self.finish = Some(finish.clone()),
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::ServiceTier(tier) => self.tier = Some(tier.clone()),
            Event::Extra(extra) => self.extra.extend(extra.own(WIRE).cloned().unwrap_or_default()),
            Event::Open { .. } | Event::Logprobs { .. } | Event::Finish { .. } | Event::Error(_) | Event::Ping => {}
        }
    }

    /// Members for the end of the answer, beside what it says.
    pub fn add(&mut self, extra: Map<String, Value>) {
        self.names.extra = extra;
    }

    /// Writes the end: what was used, and what it costs.
    pub fn end(&mut self, usage: Option<&Usage>, cost: Map<String, Value>, out: &mut Vec<u8>) {
        self.start(None, out);
        self.close_all(out);
        let (status, incomplete, error) = output::ending(self.finish.as_ref());
        let usage = usage.or(self.usage.as_ref()).map_or(Value::Null, |usage| usage::write(usage, cost));
        let mut response = self.frame.take().unwrap_or_default();
        output::overlay(&mut response, &self.extra, &self.names.extra);
        let items = Value::Array(std::mem::take(&mut self.items));
        output::set(
            &mut response,
            [
                ("status", status.into()),
                ("incomplete_details", incomplete),
                ("error", error),
                ("output", items),
                ("usage", usage),
            ],
        );
        if let Some(tier) = &self.tier {
            output::set(&mut response, [("service_tier", tier.as_str().into())]);
        }
        self.lines.event(&format!("response.{status}"), &[("response", &response)], out);
    }

    /// Writes what went wrong instead of the end, in the two ways in which clients look for it.
    pub fn fail(&mut self, error: &Error, out: &mut Vec<u8>) {
        self.start(None, out);
        let response = self.frame.take().unwrap_or_default();
        let items = self.items.drain(..).filter(|item| !item.is_null()).collect();
        write_failure(&mut self.lines, response, items, error, out);
    }

    /// Writes a sign of life.
    pub fn keep_alive(out: &mut Vec<u8>) {
        out.extend_from_slice(b": SLUICE PROCESSING\n\n");
    }

    fn start(&mut self, created: Option<i64>, out: &mut Vec<u8>) {
        if self.frame.is_some() {
            return;
        }
        let frame = output::frame(&self.names, created);
        for kind in ["response.created", "response.in_progress"] {
            self.lines.event(kind, &[("response", &frame)], out);
        }
        self.frame = Some(frame);
    }

    /// A place for a new item.
    fn place(&mut self, prefix: &str) -> Place {
        let index = self.items.len();
        self.items.push(Value::Null);
        Place { index, id: output::item_id(prefix, &self.names, index) }
    }

    fn added(&mut self, at: &Place, item: &Value, out: &mut Vec<u8>) {
        self.lines.event("response.output_item.added", &[("output_index", &at.index), ("item", item)], out);
    }

    fn done(&mut self, at: &Place, item: Value, out: &mut Vec<u8>) {
        self.lines.event("response.output_item.done", &[("output_index", &at.index), ("item", &item)], out);
        if let Some(place) = self.items.get_mut(at.index) {
            *place = item;
        }
    }

    fn open(&mut self, block: u32, kind: &Block, out: &mut Vec<u8>) {
        if !matches!(kind, Block::Text | Block::Refusal) {
            self.end_message(out);
        }
        let open = match kind {
            Block::Text => self.open_words(false, out),
            Block::Refusal => self.open_words(true, out),
            // Of sounds the words are told.
            Block::Media(media) if media.kind == MediaKind::Audio => self.open_words(false, out),
            Block::Media(media) => {
                let at = self.place("ig");
                self.added(
                    &at,
                    &json!({"id": at.id, "type": "image_generation_call", "status": "in_progress", "result": null}),
                    out,
                );
                Open::Image { at, media: media.clone() }
            }
            Block::Reasoning { id, format } => {
                let mut at = self.place("rs");
                if let Some(id) = id {
                    at.id.clone_from(id);
                }
                self.added(&at, &json!({"id": at.id, "type": "reasoning", "summary": []}), out);
                Open::Reasoning { at, reasoning: Reasoning { format: *format, ..Reasoning::default() } }
            }
            Block::ToolCall { id, name, custom } => {
                let at = self.place(if *custom { "ctc" } else { "fc" });
                let call = ToolCall {
                    id: id.clone(),
                    name: name.clone(),
                    arguments: String::new(),
                    signature: None,
                    custom: *custom,
                };
                self.added(&at, &output::call(&call, &at.id, "in_progress"), out);
                Open::Call { at, call }
            }
            Block::Foreign(WIRE, item) => {
                let at = self.place("item");
                self.added(&at, item, out);
                Open::Foreign { at, item: item.clone() }
            }
            Block::Foreign(..) => Open::Unknown,
        };
        self.blocks.insert(block, open);
    }

    fn open_words(&mut self, refusal: bool, out: &mut Vec<u8>) -> Open {
        let message = if let Some(message) = self.message.take() {
            message
        } else {
            let at = self.place("msg");
            self.added(&at, &output::message(&at.id, "in_progress", Vec::new()), out);
            Message { at, parts: Vec::new() }
        };
        let (at, part) = (message.at.clone(), message.parts.len());
        let message = self.message.insert(message);
        message.parts.push(Value::Null);
        let empty = if refusal { json!({"type": "refusal", "refusal": ""}) } else { output_text("", &[], Vec::new()) };
        self.lines.of_item("response.content_part.added", &at, &[("content_index", &part), ("part", &empty)], out);
        Open::Words(Words { at, part, refusal, text: String::new(), citations: Vec::new(), logprobs: Vec::new() })
    }

    fn delta(&mut self, block: u32, delta: &Delta, out: &mut Vec<u8>) {
        let lines = &mut self.lines;
        match (self.blocks.get_mut(&block), delta) {
            (Some(Open::Words(words)), Delta::Text(piece) | Delta::Transcript(piece)) => {
                words.text.push_str(piece);
                let members: [(&str, &dyn Display); 3] =
                    [("content_index", &words.part), ("delta", &quote(piece)), ("logprobs", &"[]")];
                if words.refusal {
                    let [index, delta, _] = members;
                    lines.of_item("response.refusal.delta", &words.at, &[index, delta], out);
                } else {
                    lines.of_item("response.output_text.delta", &words.at, &members, out);
                }
            }
            (Some(Open::Words(words)), Delta::Citation(citation)) => {
                let annotation = content::write_citation(citation, words.text.chars().count());
                let members: Shown<'_> = &[
                    ("content_index", &words.part),
                    ("annotation_index", &words.citations.len()),
                    ("annotation", &annotation),
                ];
                lines.of_item("response.output_text.annotation.added", &words.at, members, out);
                words.citations.push(citation.clone());
            }
            (Some(Open::Reasoning { at, reasoning }), Delta::Reasoning(piece)) => {
                if reasoning.text.is_none() {
                    let part = json!({"type": "reasoning_text", "text": ""});
                    lines.of_item("response.content_part.added", at, &[("content_index", &0), ("part", &part)], out);
                }
                reasoning.text.get_or_insert_default().push_str(piece);
                let members: Shown<'_> = &[("content_index", &0), ("delta", &quote(piece))];
                lines.of_item("response.reasoning_text.delta", at, members, out);
            }
            (Some(Open::Reasoning { at, reasoning }), Delta::Summary(index, piece)) => {
                summarize(lines, at, &mut reasoning.summary, *index, piece, out);
            }
            (Some(Open::Reasoning { reasoning, .. }), Delta::Signature(piece)) => {
                reasoning.signature.get_or_insert_default().push_str(piece);
            }
            (Some(Open::Reasoning { reasoning, .. }), Delta::Encrypted(data)) => {
                reasoning.encrypted = Some(data.clone());
            }
            (Some(Open::Call { at, call }), Delta::Arguments(piece)) => {
                call.arguments.push_str(piece);
                let custom = "response.custom_tool_call_input.delta";
                let kind = if call.custom { custom } else { "response.function_call_arguments.delta" };
                lines.of_item(kind, at, &[("delta", &quote(piece))], out);
            }
            (Some(Open::Call { call, .. }), Delta::Signature(piece)) => {
                call.signature.get_or_insert_default().push_str(piece);
            }
            (Some(Open::Image { media: Media { source: MediaSource::Base64(data), .. }, .. }), Delta::Media(piece)) => {
                data.push_str(piece);
            }
            (Some(Open::Foreign { at, item }), Delta::Foreign(Value::Object(event))) => {
                let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
                if kind == "response.output_item.done" {
                    *item = event.get("item").cloned().unwrap_or_default();
                } else {
                    let mut members: Vec<(&str, &dyn Display)> = Vec::with_capacity(event.len());
                    members.push(("output_index", &at.index));
                    for (key, value) in event {
                        if !matches!(key.as_str(), "type" | "sequence_number" | "output_index") {
                            members.push((key, value));
                        }
                    }
                    lines.event(kind, &members, out);
                }
            }
            _ => {}
        }
    }

    fn logprobs(&mut self, logprobs: &Value) {
        let tokens = logprobs.get("content").and_then(Value::as_array);
        let words = self.blocks.values_mut().rev().find_map(|open| match open {
            Open::Words(words) => Some(words),
            _ => None,
        });
        if let (Some(words), Some(tokens)) = (words, tokens) {
            words.logprobs.extend(tokens.iter().cloned());
        }
    }

    fn close(&mut self, block: u32, out: &mut Vec<u8>) {
        match self.blocks.remove(&block) {
            Some(Open::Words(words)) => self.close_words(words, out),
            Some(Open::Reasoning { at, reasoning }) => self.close_reasoning(&at, &reasoning, out),
            Some(Open::Call { at, call }) => self.close_call(&at, &call, out),
            Some(Open::Image { at, media }) => {
                let item = output::image(&media, &at.id, "completed");
                self.done(&at, item, out);
            }
            Some(Open::Foreign { at, item }) => self.done(&at, item, out),
            Some(Open::Unknown) | None => {}
        }
    }

    fn close_words(&mut self, words: Words, out: &mut Vec<u8>) {
        let Words { at, part, refusal, text, citations, logprobs } = words;
        if refusal {
            let members: Shown<'_> = &[("content_index", &part), ("refusal", &quote(&text))];
            self.lines.of_item("response.refusal.done", &at, members, out);
        } else {
            let tokens = Value::Array(logprobs.clone());
            let members: Shown<'_> = &[("content_index", &part), ("text", &quote(&text)), ("logprobs", &tokens)];
            self.lines.of_item("response.output_text.done", &at, members, out);
        }
        let whole = if refusal {
            json!({"type": "refusal", "refusal": text})
        } else {
            output_text(&text, &citations, logprobs)
        };
        self.lines.of_item("response.content_part.done", &at, &[("content_index", &part), ("part", &whole)], out);
        if let Some(place) = self.message.as_mut().and_then(|message| message.parts.get_mut(part)) {
            *place = whole;
        }
    }

    fn close_reasoning(&mut self, at: &Place, reasoning: &Reasoning, out: &mut Vec<u8>) {
        if let Some(text) = &reasoning.text {
            let members: Shown<'_> = &[("content_index", &0), ("text", &quote(text))];
            self.lines.of_item("response.reasoning_text.done", at, members, out);
            let part = json!({"type": "reasoning_text", "text": text});
            self.lines.of_item("response.content_part.done", at, &[("content_index", &0), ("part", &part)], out);
        }
        end_paragraph(&mut self.lines, at, &reasoning.summary, out);
        self.done(at, Value::Object(output::shown_thoughts(reasoning, &at.id)), out);
    }

    fn close_call(&mut self, at: &Place, call: &ToolCall, out: &mut Vec<u8>) {
        let item = output::call(call, &at.id, "completed");
        let (_, input) = output::call_words(call.custom);
        let kind =
            if call.custom { "response.custom_tool_call_input.done" } else { "response.function_call_arguments.done" };
        if let Some(whole) = item.get(input) {
            self.lines.of_item(kind, at, &[("name", &quote(&call.name)), (input, whole)], out);
        }
        self.done(at, item, out);
        if call.signature.is_some() {
            let at = self.place("rs");
            if let Some(mark) = output::call_mark(call, &at.id) {
                self.added(&at, &mark, out);
                self.done(&at, mark, out);
            }
        }
    }

    /// Ends the message, unless a part of it is still open.
    fn end_message(&mut self, out: &mut Vec<u8>) {
        if let Some(message) = self.message.take_if(|message| message.parts.iter().all(|part| !part.is_null())) {
            let item = output::message(&message.at.id, "completed", message.parts);
            self.done(&message.at, item, out);
        }
    }

    fn close_all(&mut self, out: &mut Vec<u8>) {
        let open: Vec<u32> = self.blocks.keys().copied().collect();
        for block in open {
            self.close(block, out);
        }
        if matches!(output::ending(self.finish.as_ref()).0, "incomplete")
            && let Some(message) = self.message.take()
        {
            let item = output::message(&message.at.id, "incomplete", message.parts);
            self.done(&message.at, item, out);
        }
        self.end_message(out);
    }
}

/// What went wrong: an event of its own, and the answer as far as it came, `response` around these items.
pub(super) fn write_failure(
    lines: &mut Lines,
    mut response: Value,
    items: Vec<Value>,
    error: &Error,
    out: &mut Vec<u8>,
) {
    let facts = error.kind.facts();
    let kind = quote(facts.error_type);
    let param = error.param.as_deref().map_or(Value::Null, Value::from);
    lines.event(
        "error",
        &[
            ("code", &quote(error.code.unwrap_or(facts.code))),
            ("message", &quote(&error.message)),
            ("param", &param),
            ("error", &error.to_json(false)),
            ("error_type", &kind),
        ],
        out,
    );
    let ended = [("status", "failed".into()), ("error", response_error(error)), ("output", items.into())];
    output::set(&mut response, ended);
    lines.event("response.failed", &[("response", &response), ("error_type", &kind)], out);
}

/// Adds to a paragraph of a summary, or begins the next one.
fn summarize(lines: &mut Lines, at: &Place, summary: &mut Vec<String>, index: u32, piece: &str, out: &mut Vec<u8>) {
    let index = usize::try_from(index).unwrap_or(usize::MAX).min(summary.len());
    if index == summary.len() {
        end_paragraph(lines, at, summary, out);
        summary.push(String::new());
        let part = json!({"type": "summary_text", "text": ""});
        let members: Shown<'_> = &[("summary_index", &index), ("part", &part)];
        lines.of_item("response.reasoning_summary_part.added", at, members, out);
    }
    if let (Some(paragraph), false) = (summary.get_mut(index), piece.is_empty()) {
        paragraph.push_str(piece);
        let members: Shown<'_> = &[("summary_index", &index), ("delta", &quote(piece))];
        lines.of_item("response.reasoning_summary_text.delta", at, members, out);
    }
}

/// Ends the last paragraph of a summary.
fn end_paragraph(lines: &mut Lines, at: &Place, summary: &[String], out: &mut Vec<u8>) {
    let Some(text) = summary.last() else { return };
    let index = summary.len() - 1;
    let members: Shown<'_> = &[("summary_index", &index), ("text", &quote(text))];
    lines.of_item("response.reasoning_summary_text.done", at, members, out);
    let part = json!({"type": "summary_text", "text": text});
    let members: Shown<'_> = &[("summary_index", &index), ("part", &part)];
    lines.of_item("response.reasoning_summary_part.done", at, members, out);
}
