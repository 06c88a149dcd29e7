//! What a model says: the members of a `delta`, or of a whole `message`, as events.
//!
//! Both have the same members, so that a message is read as a stream of one piece. In one piece thoughts
//! come first, then words, media and calls. Words and thoughts are one block until another kind begins;
//! calls, of which several may grow side by side, are open until the end.

use serde_json::{Map, Value};

use super::{
    WIRE,
    citations::citations,
    media::{from_url, medium},
    reasoning::{Detail, Said},
};
use crate::chat::{Block, Citation, Delta, Event, MediaKind, MediaSource, ReasoningFormat};

/// Turns pieces of answers into events.
#[derive(Debug, Default)]
pub struct Pieces {
    blocks: u32,
    lanes: Vec<Lane>,
    /// Pages that the whole answer rests on (Perplexity), where its text names none itself.
    pub sources: Vec<Citation>,
}

/// One of the answers.
#[derive(Debug, Default)]
struct Lane {
    choice: u32,
    /// The block of words or thoughts that is open.
    open: Option<(u32, Prose)>,
    calls: Vec<Call>,
    sound: Option<u32>,
    /// Marks on calls that have not come yet: call and mark.
    marks: Vec<(String, String)>,
    /// What text rests on that has not come yet.
    waiting: Vec<Citation>,
    cited: bool,
}

#[derive(Debug)]
enum Prose {
    Text,
    Refusal,
    Thought(Thought),
}

/// What is known of an open block of thoughts.
#[derive(Debug, Default)]
struct Thought {
    id: Option<String>,
    format: Option<ReasoningFormat>,
    index: Option<u64>,
    text: bool,
    signed: bool,
    encrypted: bool,
    /// Paragraphs of a summary so far.
    paragraphs: u32,
}

#[derive(Debug, Default)]
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    custom: bool,
    block: Option<u32>,
    /// Arguments that came before the name.
    early: String,
}

impl Pieces {
    /// Takes what it knows out of a delta or a message.
    pub fn take(&mut self, choice: u32, said: &mut Map<String, Value>, out: &mut Vec<Event>) {
        let Self { blocks, lanes, .. } = self;
        let at = lanes.iter().position(|lane| lane.choice == choice).unwrap_or_else(|| {
            lanes.push(Lane { choice, ..Lane::default() });
            lanes.len() - 1
        });
        if let Some(lane) = lanes.get_mut(at) {
            lane.take(said, &mut Out { blocks, choice, events: out });
        }
    }

    /// Closes all that is open.
    pub fn end(&mut self, out: &mut Vec<Event>) {
        let Self { blocks, lanes, sources } = self;
        for lane in lanes {
            let choice = lane.choice;
            lane.end(sources, &mut Out { blocks, choice, events: out });
        }
    }
}

/// Where events go.
struct Out<'o> {
    blocks: &'o mut u32,
    choice: u32,
    events: &'o mut Vec<Event>,
}

impl Out<'_> {
    fn open(&mut self, kind: Block) -> u32 {
        let block = *self.blocks;
        *self.blocks += 1;
        self.events.push(Event::Open { block, choice: self.choice, kind });
        block
    }

    fn delta(&mut self, block: u32, delta: Delta) {
        self.events.push(Event::Delta { block, delta });
    }

    fn close(&mut self, block: u32) {
        self.events.push(Event::Close { block });
    }
}

impl Lane {
    fn take(&mut self, said: &mut Map<String, Value>, out: &mut Out<'_>) {
        self.thoughts(said, out);
        // Gemini's mark on a whole message is one on its first call, or else a thought of its own.
        let mut signature = said.get("extra_content").and_then(google_signature).map(str::to_owned);
        if signature.is_some() {
            said.shift_remove("extra_content");
            said.shift_remove("thought_signature");
        }
        if said.get("tool_calls").is_none_or(Value::is_null)
            && let Some(signature) = signature.take()
        {
            self.encrypted(None, Some(ReasoningFormat::Gemini), signature, out);
        }
        match remove(said, "content") {
            Some(Value::String(text)) => self.text(text, out),
            Some(Value::Array(parts)) => {
                for part in parts {
                    self.part(part, out);
                }
            }
            _ => {}
        }
        if let Some(annotations) = remove(said, "annotations") {
            let (citations, others) = citations(annotations);
            for citation in citations {
                self.cite(citation, out);
            }
            if !others.is_empty() {
                said.insert("annotations".to_owned(), others.into());
            }
        }
        if let Some(Value::String(text)) = remove(said, "refusal") {
            self.refusal(text, out);
        }
        if let Some(Value::Object(sound)) = remove(said, "audio") {
            self.sound(sound, out);
        }
        if let Some(Value::Array(images)) = remove(said, "images") {
            for image in images {
                self.part(image, out);
            }
        }
        if let Some(Value::Array(calls)) = remove(said, "tool_calls") {
            for call in calls {
                if let Value::Object(call) = call {
                    self.call(call, out);
                }
            }
        }
        if let Some(Value::Object(function)) = remove(said, "function_call") {
            let index = ("index".to_owned(), u64::MAX.into());
            let call = [index, ("function".to_owned(), Value::Object(function))];
            self.call(call.into_iter().collect(), out);
        }
        if let (Some(signature), Some(block)) = (signature, self.calls.iter().find_map(|call| call.block)) {
            out.delta(block, Delta::Signature(signature));
        }
    }

    /// The list says all that the plain words say, and more; where it is silent the words count.
    fn thoughts(&mut self, said: &mut Map<String, Value>, out: &mut Out<'_>) {
        let plain = ["reasoning", "reasoning_content"].map(|key| match remove(said, key) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        });
        let mut told = false;
        if let Some(Value::Array(details)) = remove(said, "reasoning_details") {
            for detail in details.into_iter().filter_map(Detail::read).filter(|detail| !detail.is_empty()) {
                told |= matches!(&detail.said, Said::Text(text, _) | Said::Summary(text) if !text.is_empty());
                self.detail(detail, out);
            }
        }
        if let (false, Some(text)) = (told, plain.into_iter().find(|text| !text.is_empty())) {
            self.thought(text, String::new(), &Label::default(), out);
        }
    }

    fn detail(&mut self, detail: Detail, out: &mut Out<'_>) {
        let Detail { said, id, format, index } = detail;
        let label = Label { id, format, index };
        match said {
            Said::Text(text, signature) => self.thought(text, signature, &label, out),
            Said::Summary(text) => {
                let block = self.thinking(&label, |thought| !thought.text && !thought.encrypted, out);
                if let Some((_, Prose::Thought(thought))) = &mut self.open {
                    if thought.paragraphs == 0 || thought.index != label.index {
                        thought.paragraphs += 1;
                        thought.index = label.index;
                    }
                    out.delta(block, Delta::Summary(thought.paragraphs - 1, text));
                }
            }
            Said::Encrypted(data) => {
                let call = label.id.as_ref().and_then(|id| self.calls.iter().find(|call| call.id == *id));
                match (label.format, call.and_then(|call| call.block), &label.id) {
                    (Some(ReasoningFormat::Gemini), Some(block), _) => out.delta(block, Delta::Signature(data)),
                    (Some(ReasoningFormat::Gemini), None, Some(id)) => self.marks.push((id.clone(), data)),
                    _ => self.encrypted(label.id, label.format, data, out),
                }
            }
            Said::Other(value) => self.foreign(value, out),
        }
    }

    fn thought(&mut self, text: String, signature: String, label: &Label, out: &mut Out<'_>) {
        let more = !text.is_empty();
        let fits = |thought: &Thought| {
            let same = thought.index.is_none() || label.index.is_none() || thought.index == label.index;
            same && thought.paragraphs == 0 && !thought.encrypted && !(thought.signed && more)
        };
        let block = self.thinking(label, fits, out);
        if let Some((_, Prose::Thought(thought))) = &mut self.open {
            thought.text = true;
            thought.signed |= !signature.is_empty();
        }
        if more {
            out.delta(block, Delta::Reasoning(text));
        }
        if !signature.is_empty() {
            out.delta(block, Delta::Signature(signature));
        }
    }

    fn encrypted(&mut self, id: Option<String>, format: Option<ReasoningFormat>, data: String, out: &mut Out<'_>) {
        let label = Label { id, format, index: None };
        let block = self.thinking(&label, |thought| !thought.text && !thought.encrypted, out);
        if let Some((_, Prose::Thought(thought))) = &mut self.open {
            thought.encrypted = true;
        }
        out.delta(block, Delta::Encrypted(data));
    }

    /// The block of thoughts that is open, if what comes belongs to it, or a new one.
    fn thinking(&mut self, label: &Label, fits: impl Fn(&Thought) -> bool, out: &mut Out<'_>) -> u32 {
        if let Some((block, Prose::Thought(thought))) = &self.open {
            let named = label.id.is_none() || thought.id == label.id;
            let made = label.format.is_none() || thought.format.is_none() || thought.format == label.format;
            if named && made && fits(thought) {
                return *block;
            }
        }
        self.close(out);
        let Label { id, format, index } = label.clone();
        let block = out.open(Block::Reasoning { id: id.clone(), format });
        self.open = Some((block, Prose::Thought(Thought { id, format, index, ..Thought::default() })));
        block
    }

    fn text(&mut self, text: String, out: &mut Out<'_>) {
        if !text.is_empty() {
            let block = self.words(out);
            out.delta(block, Delta::Text(text));
        }
    }

    /// The block of text, opened if it is not.
    fn words(&mut self, out: &mut Out<'_>) -> u32 {
        if let Some((block, Prose::Text)) = &self.open {
            return *block;
        }
        self.close(out);
        let block = out.open(Block::Text);
        self.open = Some((block, Prose::Text));
        for citation in self.waiting.drain(..) {
            self.cited = true;
            out.delta(block, Delta::Citation(citation));
        }
        block
    }

    fn refusal(&mut self, text: String, out: &mut Out<'_>) {
        if text.is_empty() {
            return;
        }
        let block = if let Some((block, Prose::Refusal)) = &self.open {
            *block
        } else {
            self.close(out);
            let block = out.open(Block::Refusal);
            self.open = Some((block, Prose::Refusal));
            block
        };
        out.delta(block, Delta::Text(text));
    }

    /// A part of a content that is a list.
    fn part(&mut self, part: Value, out: &mut Out<'_>) {
        let Value::Object(mut object) = part else {
            return match part {
                Value::String(text) => self.text(text, out),
                other => self.foreign(other, out),
            };
        };
        let kind = object.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        match (kind.as_str(), object.get_mut(&kind).map(Value::take)) {
            ("text", Some(Value::String(text))) => self.text(text, out),
            ("refusal", Some(Value::String(text))) => self.refusal(text, out),
            ("thinking", Some(Value::String(text))) => self.thought(text, String::new(), &Label::default(), out),
            ("thinking", Some(Value::Array(texts))) => {
                let texts = texts.into_iter().filter_map(|mut text| match text.get_mut("text").map(Value::take) {
                    Some(Value::String(text)) => Some(text),
                    _ => None,
                });
                let text = texts.collect::<Vec<_>>().concat();
                if !text.is_empty() {
                    self.thought(text, String::new(), &Label::default(), out);
                }
            }
            ("image_url", Some(image)) => self.image(image, out),
            (_, taken) => {
                object.extend(taken.map(|value| (kind, value)));
                self.foreign(Value::Object(object), out);
            }
        }
    }

    fn image(&mut self, mut image: Value, out: &mut Out<'_>) {
        let url = match image.get_mut("url").map(Value::take) {
            Some(Value::String(url)) => url,
            _ => image.as_str().unwrap_or_default().to_owned(),
        };
        let (mime, source) = match from_url(url.clone(), "") {
            Ok(found) => found,
            Err(_) => (None, MediaSource::Url(url)),
        };
        self.close(out);
        let block = out.open(Block::Media(medium(MediaKind::Image, mime, source)));
        out.close(block);
    }

    fn sound(&mut self, mut sound: Map<String, Value>, out: &mut Out<'_>) {
        for (member, delta) in [("transcript", Delta::Transcript as fn(String) -> Delta), ("data", Delta::Media)] {
            if let Some(Value::String(piece)) = remove(&mut sound, member)
                && !piece.is_empty()
            {
                let block = *self.sound.get_or_insert_with(|| {
                    let source = MediaSource::Base64(String::new());
                    out.open(Block::Media(medium(MediaKind::Audio, None, source)))
                });
                out.delta(block, delta(piece));
            }
        }
    }

    fn foreign(&mut self, value: Value, out: &mut Out<'_>) {
        self.close(out);
        let block = out.open(Block::Foreign(WIRE, value));
        out.close(block);
    }

    fn cite(&mut self, citation: Citation, out: &mut Out<'_>) {
        if let Some((block, Prose::Text)) = &self.open {
            self.cited = true;
            out.delta(*block, Delta::Citation(citation));
        } else {
            self.waiting.push(citation);
        }
    }

    /// A piece of a call. Calls are told apart by their index; by their id where there is none, or where a
    /// provider gives all of them the same.
    fn call(&mut self, mut piece: Map<String, Value>, out: &mut Out<'_>) {
        let index = piece.get("index").and_then(Value::as_u64);
        let id = piece.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let signature = piece.get("extra_content").and_then(google_signature).map(str::to_owned);
        let custom = piece.contains_key("custom");
        let function = remove(&mut piece, if custom { "custom" } else { "function" });
        let mut function =
            function.and_then(|f| if let Value::Object(f) = f { Some(f) } else { None }).unwrap_or_default();
        let name = function.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let arguments =
            remove(&mut function, if custom { "input" } else { "arguments" }).map(text_of).unwrap_or_default();

        let same = |call: &Call| id.is_empty() || call.id.is_empty() || call.id == id || name.is_empty();
        let known = match (index, id.is_empty()) {
            (Some(_), _) => self
                .calls
                .iter()
                .rposition(|call| call.index == index)
                .filter(|at| self.calls.get(*at).is_some_and(same)),
            (None, false) => self.calls.iter().rposition(|call| call.id == id),
            (None, true) => self.calls.len().checked_sub(1),
        };
        let at = known.unwrap_or_else(|| {
            self.calls.push(Call { index, custom, ..Call::default() });
            self.calls.len() - 1
        });
        let Some(call) = self.calls.get_mut(at) else { return };
        if call.block.is_none() {
            if call.id.is_empty() {
                call.id = id;
            }
            call.name.push_str(&name);
            call.early.push_str(&arguments);
            if !call.name.is_empty() {
                self.open_call(at, out);
            }
        } else if let (Some(block), false) = (call.block, arguments.is_empty()) {
            out.delta(block, Delta::Arguments(arguments));
        }
        if let (Some(signature), Some(block)) = (signature, self.calls.get(at).and_then(|call| call.block)) {
            out.delta(block, Delta::Signature(signature));
        }
    }

    fn open_call(&mut self, at: usize, out: &mut Out<'_>) {
        self.close(out);
        let Some(call) = self.calls.get_mut(at) else { return };
        if call.id.is_empty() {
            call.id = format!("call_{at}");
        }
        let block = out.open(Block::ToolCall { id: call.id.clone(), name: call.name.clone(), custom: call.custom });
        call.block = Some(block);
        let early = std::mem::take(&mut call.early);
        if !early.is_empty() {
            out.delta(block, Delta::Arguments(early));
        }
        if let Some(mark) = self.marks.iter().position(|(id, _)| *id == call.id) {
            out.delta(block, Delta::Signature(self.marks.remove(mark).1));
        }
    }

    /// Closes words or thoughts.
    fn close(&mut self, out: &mut Out<'_>) {
        if let Some((block, _)) = self.open.take() {
            out.close(block);
        }
    }

    fn end(&mut self, sources: &[Citation], out: &mut Out<'_>) {
        if let (false, true, Some((block, Prose::Text))) = (self.cited, self.waiting.is_empty(), &self.open) {
            for source in sources {
                out.delta(*block, Delta::Citation(source.clone()));
            }
            self.cited = true;
        }
        if !self.waiting.is_empty() {
            self.words(out);
        }
        for at in 0..self.calls.len() {
            if self.calls.get(at).is_some_and(|call| call.block.is_none()) {
                self.open_call(at, out);
            }
        }
        for (id, data) in std::mem::take(&mut self.marks) {
            self.encrypted(Some(id), Some(ReasoningFormat::Gemini), data, out);
        }
        self.close(out);
        let calls = self.calls.drain(..).filter_map(|call| call.block);
        for block in calls.chain(self.sound.take()) {
            out.close(block);
        }
    }
}

/// What belongs to a block of thoughts beside its content.
#[derive(Clone, Debug, Default)]
struct Label {
    id: Option<String>,
    format: Option<ReasoningFormat>,
    index: Option<u64>,
}

/// A member, taken out; `null` is as good as absent.
pub fn remove(object: &mut Map<String, Value>, key: &str) -> Option<Value> {
    object.shift_remove(key).filter(|value| !value.is_null())
}

/// JSON text of arguments; some servers send the object itself.
pub fn text_of(arguments: Value) -> String {
    match arguments {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// `extra_content` of Google's compatible endpoint.
pub fn google_signature(extra: &Value) -> Option<&str> {
    extra.get("google")?.get("thought_signature")?.as_str()
}
