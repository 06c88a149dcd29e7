//! A provider's stream, read.
//!
//! Every event names its item (`output_index`) and, within, its part; blocks are found by these. What an
//! item's `done` event tells beyond the deltas (some providers send no deltas at all) is made good from
//! it; where the two do not agree, what has been handed on stands.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    WIRE, content, error,
    object::{Members, string},
    response::{read_head, searches},
    seal,
};
use crate::{
    chat::{Block, Delta, Event, Extra, ProviderError, ReasoningFormat},
    dialect::Frame,
};

/// Turns frames into events.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    over: bool,
    next: u32,
    items: BTreeMap<u64, Item>,
    latest: u64,
    calls: bool,
}

/// An item of the answer.
#[derive(Debug)]
struct Item {
    kind: Kind,
    /// Blocks by part; only messages have more than one.
    blocks: BTreeMap<u64, u32>,
    /// What has come of each text.
    seen: BTreeMap<(Track, u64), String>,
    /// How many citations of each part have come.
    cited: BTreeMap<u64, usize>,
    closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Message,
    Reasoning,
    Call,
    Foreign,
}

/// Kinds of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Track {
    Said,
    Summary,
    Thoughts,
    Input,
}

type Out<'o> = &'o mut Vec<Event>;

impl Decoder {
    /// Takes a frame.
    pub fn push(&mut self, frame: &Frame<'_>, out: &mut Vec<Event>) {
        if self.over || frame.data.is_empty() || frame.data == b"[DONE]" {
            return;
        }
        let Ok(Value::Object(mut data)) = serde_json::from_slice(frame.data) else {
            return self.fail(ProviderError::default(), out);
        };
        let kind = match data.get("type") {
            Some(Value::String(kind)) => kind.clone(),
            _ => frame.event.unwrap_or_default().to_owned(),
        };
        match kind.as_str() {
            "response.created" | "response.in_progress" | "response.queued" => self.start(&data, out),
            "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
                self.start(&data, out);
                match data.shift_remove("response") {
                    Some(Value::Object(response)) => self.end(response, out),
                    _ => self.fail(ProviderError::default(), out),
                }
            }
            "error" => self.fail(error::from_value(&Value::Object(data)), out),
            _ => self.piece(&kind, data, out),
        }
    }

    /// The provider has closed the stream.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        if !self.over {
            self.close_all(out);
            self.fail(ProviderError::default(), out);
        }
    }

    fn fail(&mut self, error: ProviderError, out: Out<'_>) {
        self.over = true;
        out.push(Event::Error(error));
    }

    fn start(&mut self, data: &Members, out: Out<'_>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let response = data.get("response");
        let text = |key: &str| response.and_then(|r| r.get(key)).and_then(Value::as_str).map(str::to_owned);
        let created = response.and_then(|r| r.get("created_at"));
        #[expect(clippy::cast_possible_truncation, reason = "some send 1784324967.0")]
        let created = created.and_then(|at| at.as_i64().or_else(|| at.as_f64().map(|at| at as i64)));
        out.push(Event::Start { id: text("id"), model: text("model"), created });
    }

    /// An event of an item.
    fn piece(&mut self, kind: &str, mut data: Members, out: Out<'_>) {
        self.start(&Members::new(), out);
        let place = data.get("output_index").and_then(Value::as_u64).unwrap_or(self.latest);
        let part = |key: &str| data.get(key).and_then(Value::as_u64).unwrap_or(0);
        let (content, summary) = (part("content_index"), part("summary_index"));
        let text = |data: &mut Members, key: &str| data.shift_remove(key).and_then(string).unwrap_or_default();
        match kind {
            "response.output_item.added" => self.open(place, data.shift_remove("item").unwrap_or_default(), out),
            "response.output_item.done" => self.done(place, data, out),
            "response.content_part.added" | "response.content_part.done" => {
                let done = kind.ends_with("done");
                self.part(place, content, data.shift_remove("part").unwrap_or_default(), done, out);
            }
            "response.output_text.delta" => {
                let tokens = data.shift_remove("logprobs");
                self.add(place, Track::Said, content, Block::Text, text(&mut data, "delta"), out);
                if let Some(tokens @ Value::Array(_)) = tokens.filter(|tokens| tokens.get(0).is_some()) {
                    let logprobs = serde_json::json!({"content": tokens, "refusal": null});
                    out.push(Event::Logprobs { choice: 0, logprobs });
                }
            }
            "response.output_text.done" => {
                self.fill(place, Track::Said, content, Block::Text, text(&mut data, "text"), out);
            }
            "response.output_text.annotation.added" => {
                let annotation = data.shift_remove("annotation").unwrap_or_default();
                self.cite(place, content, annotation, out);
            }
            "response.refusal.delta" => {
                self.add(place, Track::Said, content, Block::Refusal, text(&mut data, "delta"), out);
            }
            "response.refusal.done" => {
                self.fill(place, Track::Said, content, Block::Refusal, text(&mut data, "refusal"), out);
            }
            "response.reasoning_text.delta" => {
                self.think(place, Track::Thoughts, content, text(&mut data, "delta"), out);
            }
            "response.reasoning_text.done" => {
                self.thought(place, Track::Thoughts, content, text(&mut data, "text"), out);
            }
            "response.reasoning_summary_part.added" => self.think(place, Track::Summary, summary, String::new(), out),
            "response.reasoning_summary_text.delta" => {
                self.think(place, Track::Summary, summary, text(&mut data, "delta"), out);
            }
            "response.reasoning_summary_text.done" => {
                self.thought(place, Track::Summary, summary, text(&mut data, "text"), out);
            }
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                self.arguments(place, text(&mut data, "delta"), false, out);
            }
            "response.function_call_arguments.done" => self.arguments(place, text(&mut data, "arguments"), true, out),
            "response.custom_tool_call_input.done" => self.arguments(place, text(&mut data, "input"), true, out),
            _ => self.foreign(place, data, out),
        }
    }

    fn foreign(&mut self, place: u64, data: Members, out: Out<'_>) {
        let item = self.items.get(&place).filter(|item| item.kind == Kind::Foreign && !item.closed);
        match item.and_then(|item| item.blocks.get(&0)) {
            Some(block) => out.push(Event::Delta { block: *block, delta: Delta::Foreign(Value::Object(data)) }),
            // Events of the whole answer's that came after this was written.
            None => out.push(Event::Ping),
        }
    }

    fn item(&mut self, place: u64, kind: Kind) -> &mut Item {
        self.latest = place;
        self.items.entry(place).or_insert_with(|| Item {
            kind,
            blocks: BTreeMap::new(),
            seen: BTreeMap::new(),
            cited: BTreeMap::new(),
            closed: false,
        })
    }

    /// The block of a part, opened if it is not. `None` where the item is over, or is of another kind.
    fn block(&mut self, place: u64, part: u64, kind: Kind, block: impl FnOnce() -> Block, out: Out<'_>) -> Option<u32> {
        let next = self.next;
        let item = self.item(place, kind);
        if item.closed || item.kind != kind {
            return None;
        }
        if let Some(block) = item.blocks.get(&part) {
            return Some(*block);
        }
        item.blocks.insert(part, next);
        self.next += 1;
        out.push(Event::Open { block: next, choice: 0, kind: block() });
        Some(next)
    }

    fn open(&mut self, place: u64, item: Value, out: Out<'_>) {
        let text = |key: &str| item.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        match text("type").as_deref() {
            Some("message") => {
                self.item(place, Kind::Message);
            }
            Some("reasoning") => {
                let sealed = text("encrypted_content").map(seal::open);
                let named = text("format").map(|word| ReasoningFormat::parse(&word));
                let format =
                    named.or_else(|| sealed.and_then(|sealed| sealed.format)).or(Some(ReasoningFormat::Openai));
                self.block(place, 0, Kind::Reasoning, || Block::Reasoning { id: text("id"), format }, out);
            }
            Some(kind @ ("function_call" | "custom_tool_call")) => {
                self.calls = true;
                let id = text("call_id").or_else(|| text("id")).unwrap_or_else(|| format!("call_{place}"));
                let call =
                    Block::ToolCall { id, name: text("name").unwrap_or_default(), custom: kind == "custom_tool_call" };
                self.block(place, 0, Kind::Call, || call, out);
                if let Some(arguments) = text("arguments").or_else(|| text("input")) {
                    self.arguments(place, arguments, true, out);
                }
            }
            _ => {
                self.block(place, 0, Kind::Foreign, || Block::Foreign(WIRE, item), out);
            }
        }
    }

    fn done(&mut self, place: u64, mut data: Members, out: Out<'_>) {
        let known = self.items.get(&place).map(|item| item.kind);
        if known == Some(Kind::Foreign) {
            self.foreign(place, data, out);
            return self.close(place, out);
        }
        let mut item = data.shift_remove("item").unwrap_or_default();
        if known.is_none() {
            self.open(place, item.clone(), out);
        }
        let mut list = |key: &str| match item.get_mut(key).map(Value::take) {
            Some(Value::Array(list)) => (0..).zip(list).collect(),
            _ => Vec::new(),
        };
        let (content, summary) = (list("content"), list("summary"));
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match self.items.get(&place).map(|item| item.kind) {
            Some(Kind::Message) => {
                for (index, part) in content {
                    self.part(place, index, part, true, out);
                }
            }
            Some(Kind::Call) => {
                let input = if item.get("arguments").is_some() { "arguments" } else { "input" };
                self.arguments(place, text(&item, input), true, out);
            }
            Some(Kind::Reasoning) => {
                for (track, texts) in [(Track::Summary, summary), (Track::Thoughts, content)] {
                    for (index, part) in texts {
                        self.thought(place, track, index, text(&part, "text"), out);
                    }
                }
                let sealed =
                    item.get("encrypted_content").and_then(Value::as_str).map(|text| seal::open(text.to_owned()));
                let signature = sealed.as_ref().and_then(|sealed| sealed.signature.clone());
                let signature = signature.or_else(|| item.get("signature").and_then(Value::as_str).map(str::to_owned));
                let encrypted = sealed.and_then(|sealed| sealed.encrypted).map(Delta::Encrypted);
                let block = self.items.get(&place).and_then(|item| item.blocks.get(&0)).copied();
                for delta in signature.map(Delta::Signature).into_iter().chain(encrypted) {
                    out.extend(block.map(|block| Event::Delta { block, delta }));
                }
            }
            Some(Kind::Foreign) | None => {}
        }
        self.close(place, out);
    }

    /// A part of a message, as it begins or as it is in the end. Parts of thoughts tell nothing new.
    fn part(&mut self, place: u64, index: u64, mut part: Value, done: bool, out: Out<'_>) {
        if self.items.get(&place).is_some_and(|item| item.kind != Kind::Message) {
            return;
        }
        let annotations = part.get_mut("annotations").map(Value::take);
        let mut text = |key: &str| part.get_mut(key).map(Value::take).and_then(string);
        match (text("type").as_deref(), text("text"), text("refusal")) {
            (Some("output_text"), Some(text), _) => self.fill(place, Track::Said, index, Block::Text, text, out),
            (Some("refusal"), _, Some(text)) => self.fill(place, Track::Said, index, Block::Refusal, text, out),
            _ => return,
        }
        if let (true, Some(Value::Array(annotations))) = (done, annotations) {
            let seen = self.items.get(&place).and_then(|item| item.cited.get(&index));
            let new = annotations.into_iter().skip(seen.copied().unwrap_or(0));
            new.for_each(|annotation| self.cite(place, index, annotation, out));
        }
    }

    fn cite(&mut self, place: u64, part: u64, annotation: Value, out: Out<'_>) {
        let Some(block) = self.block(place, part, Kind::Message, || Block::Text, out) else { return };
        if let Some(item) = self.items.get_mut(&place) {
            *item.cited.entry(part).or_default() += 1;
        }
        out.push(Event::Delta { block, delta: Delta::Citation(content::read_citation(annotation)) });
    }

    fn note(&mut self, place: u64, track: Track, part: u64, piece: &str) {
        if let Some(item) = self.items.get_mut(&place) {
            item.seen.entry((track, part)).or_default().push_str(piece);
        }
    }

    /// What of a whole text has not come yet.
    fn missing(&self, place: u64, track: Track, part: u64, whole: String) -> String {
        match self.items.get(&place).and_then(|item| item.seen.get(&(track, part))) {
            None => whole,
            Some(seen) => whole.strip_prefix(seen.as_str()).unwrap_or_default().to_owned(),
        }
    }

    fn add(&mut self, place: u64, track: Track, part: u64, kind: Block, piece: String, out: Out<'_>) {
        let Some(block) = self.block(place, part, Kind::Message, || kind, out) else { return };
        self.note(place, track, part, &piece);
        out.push(Event::Delta { block, delta: Delta::Text(piece) });
    }

    fn fill(&mut self, place: u64, track: Track, part: u64, kind: Block, whole: String, out: Out<'_>) {
        let rest = self.missing(place, track, part, whole);
        if rest.is_empty() {
            self.block(place, part, Kind::Message, || kind, out);
        } else {
            self.add(place, track, part, kind, rest, out);
        }
    }

    fn think(&mut self, place: u64, track: Track, part: u64, piece: String, out: Out<'_>) {
        let anonymous = || Block::Reasoning { id: None, format: Some(ReasoningFormat::Openai) };
        let Some(block) = self.block(place, 0, Kind::Reasoning, anonymous, out) else { return };
        self.note(place, track, part, &piece);
        let delta = match track {
            Track::Summary => Delta::Summary(u32::try_from(part).unwrap_or(u32::MAX), piece),
            _ => Delta::Reasoning(piece),
        };
        out.push(Event::Delta { block, delta });
    }

    fn thought(&mut self, place: u64, track: Track, part: u64, whole: String, out: Out<'_>) {
        let begun = self.items.get(&place).is_some_and(|item| item.seen.contains_key(&(track, part)));
        let rest = self.missing(place, track, part, whole);
        if !rest.is_empty() || !begun && track == Track::Summary {
            self.think(place, track, part, rest, out);
        }
    }

    fn arguments(&mut self, place: u64, piece: String, whole: bool, out: Out<'_>) {
        let piece = if whole { self.missing(place, Track::Input, 0, piece) } else { piece };
        // Nobody knows what is called: such a call cannot be told.
        let block = self.items.get(&place).filter(|item| item.kind == Kind::Call && !item.closed);
        let Some(block) = block.and_then(|item| item.blocks.get(&0)).copied() else { return };
        if !piece.is_empty() {
            self.note(place, Track::Input, 0, &piece);
            out.push(Event::Delta { block, delta: Delta::Arguments(piece) });
        }
    }

    fn close(&mut self, place: u64, out: Out<'_>) {
        if let Some(item) = self.items.get_mut(&place).filter(|item| !item.closed) {
            item.closed = true;
            out.extend(item.blocks.values().map(|block| Event::Close { block: *block }));
        }
    }

    fn close_all(&mut self, out: Out<'_>) {
        let places: Vec<u64> = self.items.keys().copied().collect();
        for place in places {
            self.close(place, out);
        }
    }

    fn end(&mut self, mut response: Members, out: Out<'_>) {
        let is_set = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
        if is_set(response.get("error")) || response.get("status").is_some_and(|status| status == "failed") {
            self.close_all(out);
            return self.fail(error::from_value(&Value::Object(response)), out);
        }
        let output = match response.shift_remove("output") {
            Some(Value::Array(output)) => output,
            _ => Vec::new(),
        };
        let searched = searches(&output);
        if self.items.is_empty() {
            for (place, item) in (0..).zip(output) {
                self.done(place, Members::from_iter([("item".to_owned(), item)]), out);
            }
        }
        self.close_all(out);
        let head = read_head(&mut response, self.calls, searched);
        out.extend(head.service_tier.map(Event::ServiceTier));
        out.extend(head.usage.map(Event::Usage));
        if !response.is_empty() {
            out.push(Event::Extra(Extra::of(WIRE, response)));
        }
        self.over = true;
        match head.finish {
            Some(finish) => out.push(Event::Finish { choice: 0, finish }),
            None => out.push(Event::Error(ProviderError::default())),
        }
    }
}
