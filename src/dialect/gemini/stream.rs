//! A stream as Google sends it, to events. Every frame is a whole `GenerateContentResponse` with the next
//! parts; nothing says that a block begins or ends, or that the stream does. `finishReason` may come with
//! every frame (old models on Vertex): the last one counts.

use std::{borrow::Cow, collections::BTreeMap, mem};

use serde_json::{Map, Value};

use super::{
    content::{Calls, read_part},
    error, finish, grounding, logprobs, partial, usage,
    wire::{At, list, named},
};
use crate::{
    chat::{
        Block, Citation, Delta, Event, Extra, Finish, Media, MediaSource, Part, PartKind, ProviderError, Reasoning,
        ReasoningFormat, ToolCall, Usage, Wire,
    },
    dialect::Frame,
    framing::sse,
    time::Millis,
};

/// What an event of the stream holds: its data, or the JSON of an error that Google writes between the
/// events without any framing.
pub fn event_data(event: &[u8]) -> Option<Cow<'_, [u8]>> {
    let bare = || event.trim_ascii().starts_with(b"{") || event.trim_ascii().starts_with(b"[");
    sse::data(event).map(|data| data.bytes).or_else(|| bare().then_some(Cow::Borrowed(event)))
}

/// Frames to events.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    over: bool,
    next: u32,
    calls: Calls,
    choices: BTreeMap<u32, Progress>,
    usage: Map<String, Value>,
    told: Option<Usage>,
    searches: u64,
    extra: Map<String, Value>,
}

/// One of the answers, as far as it has come.
#[derive(Debug, Default)]
struct Progress {
    text: Option<u32>,
    thought: Option<u32>,
    /// What the open text says so far, for citations; and bytes of text before it.
    said: String,
    before: usize,
    /// Citations that were told: Google repeats them.
    cited: Vec<Citation>,
    /// A mark stands on the open text: more text is another block.
    sealed: bool,
    call: Option<Partial>,
    called: bool,
    finish: Option<Value>,
}

/// A call whose arguments are still coming.
#[derive(Debug)]
struct Partial {
    block: u32,
    arguments: Value,
}

struct Malformed;

impl Decoder {
    /// Takes a frame: one event's data, or one object of an array.
    pub fn push(&mut self, frame: &Frame<'_>, out: &mut Vec<Event>) {
        if self.over || matches!(frame.data.trim_ascii(), b"" | b"[DONE]") {
            return;
        }
        let Ok(value) = serde_json::from_slice::<Value>(frame.data) else {
            return self.fail(ProviderError::default(), out);
        };
        for value in list(value) {
            if value.get("error").is_some() {
                return self.fail(error::from_value(&value, None), out);
            }
            if self.response(value, out).is_err() {
                return self.fail(ProviderError::default(), out);
            }
        }
    }

    fn fail(&mut self, error: ProviderError, out: &mut Vec<Event>) {
        self.over = true;
        out.push(Event::Error(error));
    }

    fn response(&mut self, value: Value, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let Value::Object(response) = value else { return Err(Malformed) };
        let mut response = named(response);
        if !self.started {
            self.started = true;
            let mut text = |name: &str| match response.shift_remove(name) {
                Some(Value::String(text)) => Some(text),
                _ => None,
            };
            let (id, model) = (text("responseId"), text("modelVersion"));
            let created = text("createTime").as_deref().and_then(Millis::parse_iso).map(Millis::seconds);
            self.calls = Calls::of_answer(id.as_deref());
            out.push(Event::Start { id, model, created });
        }
        for (name, value) in response {
            match name.as_str() {
                "candidates" => {
                    for candidate in list(value) {
                        self.candidate(candidate, out)?;
                    }
                }
                "usageMetadata" => self.used(value, out),
                "responseId" | "modelVersion" | "createTime" => {}
                _ => {
                    self.extra.insert(name, value);
                }
            }
        }
        Ok(())
    }

    /// Some frames hold only a part of the numbers.
    fn used(&mut self, metadata: Value, out: &mut Vec<Event>) {
        if let Value::Object(metadata) = metadata {
            self.usage.extend(metadata);
        }
        let all = Value::Object(mem::take(&mut self.usage));
        let usage = usage::read(&all);
        if let Value::Object(all) = all {
            self.usage = all;
        }
        if usage.is_some() && usage != self.told {
            out.extend(usage.clone().map(Event::Usage));
            self.told = usage;
        }
    }

    fn candidate(&mut self, candidate: Value, out: &mut Vec<Event>) -> Result<(), Malformed> {
        let Value::Object(candidate) = candidate else { return Err(Malformed) };
        let mut candidate = named(candidate);
        let index = candidate.get("index").and_then(Value::as_u64).unwrap_or(0);
        let choice = u32::try_from(index).map_err(|_| Malformed)?;
        let mut progress = self.choices.remove(&choice).unwrap_or_default();
        if let Some(Value::Object(content)) = candidate.shift_remove("content") {
            let parts = named(content).shift_remove("parts").map(list).unwrap_or_default();
            for part in parts {
                self.part(part, choice, &mut progress, out)?;
            }
        }
        for found in grounding::read(&candidate) {
            self.cite(found, choice, &mut progress, out);
        }
        self.searches = self.searches.max(grounding::searches(&candidate));
        if let Some(logprobs) = candidate.get("logprobsResult").and_then(logprobs::read) {
            out.push(Event::Logprobs { choice, logprobs });
        }
        progress.finish = candidate.shift_remove("finishReason").or(progress.finish);
        self.choices.insert(choice, progress);
        Ok(())
    }

    fn part(
        &mut self,
        part: Value,
        choice: u32,
        progress: &mut Progress,
        out: &mut Vec<Event>,
    ) -> Result<(), Malformed> {
        let Some(part) = self.piece_of_call(part, choice, progress, out)? else { return Ok(()) };
        let mut parts = Vec::new();
        read_part(part, &At::root("parts"), &mut self.calls, &mut parts).map_err(|_| Malformed)?;
        for part in parts {
            self.whole(part, choice, progress, out);
        }
        Ok(())
    }

    fn whole(&mut self, part: Part, choice: u32, progress: &mut Progress, out: &mut Vec<Event>) {
        match part.kind {
            PartKind::Text { text, .. } => self.text(text, choice, progress, out),
            PartKind::Reasoning(reasoning) if super::response::own_mark(&reasoning).is_some() => {
                // The text stays open: what it rests on comes last.
                progress.sealed = true;
                progress.close_thought(out);
                self.one(Block::Reasoning { id: None, format: reasoning.format }, choice, out, |out| {
                    out.extend(reasoning.encrypted.map(Delta::Encrypted));
                });
            }
            PartKind::Reasoning(reasoning) => self.thought(reasoning, choice, progress, out),
            PartKind::ToolCall(ToolCall { id, name, arguments, signature, custom }) => {
                progress.close(out);
                progress.called = true;
                self.one(Block::ToolCall { id, name, custom }, choice, out, |out| {
                    out.push(Delta::Arguments(arguments));
                    out.extend(signature.map(Delta::Signature));
                });
            }
            PartKind::Media(media) => {
                progress.close(out);
                let (empty, data) = match media.source {
                    MediaSource::Base64(data) => (MediaSource::Base64(String::new()), Some(data)),
                    elsewhere => (elsewhere, None),
                };
                self.one(Block::Media(Media { source: empty, ..media }), choice, out, |out| {
                    out.extend(data.map(Delta::Media));
                });
            }
            PartKind::Foreign(wire, value) => {
                progress.close(out);
                self.one(Block::Foreign(wire, value), choice, out, |_| {});
            }
            // A model has no results of its own.
            PartKind::ToolResult(_) | PartKind::Refusal(_) => {}
        }
    }

    fn open(&mut self, kind: Block, choice: u32, out: &mut Vec<Event>) -> u32 {
        let block = self.next;
        self.next = self.next.saturating_add(1);
        out.push(Event::Open { block, choice, kind });
        block
    }

    /// A block that is whole at once.
    fn one(&mut self, kind: Block, choice: u32, out: &mut Vec<Event>, fill: impl FnOnce(&mut Vec<Delta>)) {
        let block = self.open(kind, choice, out);
        let mut deltas = Vec::new();
        fill(&mut deltas);
        out.extend(deltas.into_iter().map(|delta| Event::Delta { block, delta }));
        out.push(Event::Close { block });
    }

    fn text(&mut self, text: String, choice: u32, progress: &mut Progress, out: &mut Vec<Event>) {
        if text.is_empty() {
            return;
        }
        progress.close_thought(out);
        if progress.sealed {
            progress.close_text(out);
        }
        let block = match progress.text {
            Some(block) => block,
            None => self.open(Block::Text, choice, out),
        };
        progress.text = Some(block);
        progress.said.push_str(&text);
        out.push(Event::Delta { block, delta: Delta::Text(text) });
    }

    fn thought(&mut self, reasoning: Reasoning, choice: u32, progress: &mut Progress, out: &mut Vec<Event>) {
        progress.close_text(out);
        let Reasoning { text, summary: _, signature, encrypted, id, format } = reasoning;
        let ends = signature.is_some() || encrypted.is_some();
        if format != Some(ReasoningFormat::Gemini) {
            progress.close_thought(out);
        }
        let block = match progress.thought {
            Some(block) => block,
            None => self.open(Block::Reasoning { id, format }, choice, out),
        };
        progress.thought = Some(block);
        let deltas = [
            text.filter(|text| !text.is_empty()).map(Delta::Reasoning),
            signature.map(Delta::Signature),
            encrypted.map(Delta::Encrypted),
        ];
        out.extend(deltas.into_iter().flatten().map(|delta| Event::Delta { block, delta }));
        if ends {
            progress.close_thought(out);
        }
    }

    /// Takes a piece of a call; gives back what is none.
    fn piece_of_call(
        &mut self,
        part: Value,
        choice: u32,
        progress: &mut Progress,
        out: &mut Vec<Event>,
    ) -> Result<Option<Value>, Malformed> {
        let Some(call) = part.get("functionCall").or_else(|| part.get("function_call")) else {
            progress.complete(out);
            return Ok(Some(part));
        };
        let text = |value: &Value, name: &str| {
            value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let continues = call.get("willContinue") == Some(&Value::Bool(true));
        let name = text(call, "name");
        if name.is_some() {
            progress.complete(out);
        }
        let pieces = call.get("partialArgs").and_then(Value::as_array);
        if name.is_some() && !continues && pieces.is_none() {
            return Ok(Some(part));
        }
        if let Some(name) = name {
            progress.close(out);
            progress.called = true;
            let id = text(call, "id").unwrap_or_else(|| self.calls.make());
            let block = self.open(Block::ToolCall { id, name, custom: false }, choice, out);
            progress.call = Some(Partial { block, arguments: Value::Object(Map::new()) });
        }
        let Some(partial) = &mut progress.call else { return Err(Malformed) };
        if let Some(mark) = text(&part, "thoughtSignature") {
            out.push(Event::Delta { block: partial.block, delta: Delta::Signature(mark) });
        }
        if let Some(pieces) = pieces {
            partial::add(&mut partial.arguments, pieces).ok_or(Malformed)?;
        }
        if !continues {
            progress.complete(out);
        }
        Ok(None)
    }

    fn cite(&mut self, found: grounding::Found, choice: u32, progress: &mut Progress, out: &mut Vec<Event>) {
        let located = found.located(&progress.said, progress.before);
        let citation = located.unwrap_or_else(|| found.anywhere());
        if progress.cited.contains(&citation) {
            return;
        }
        progress.cited.push(citation.clone());
        let block = match progress.text {
            Some(block) => block,
            None => self.open(Block::Text, choice, out),
        };
        progress.text = Some(block);
        out.push(Event::Delta { block, delta: Delta::Citation(citation) });
    }

    /// The provider has closed the stream.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        if mem::replace(&mut self.over, true) {
            return;
        }
        let blocked = finish::blocked(self.extra.get("promptFeedback"));
        let mut finishes: Vec<(u32, Finish)> = Vec::new();
        for (choice, progress) in &mut self.choices {
            progress.complete(out);
            progress.close(out);
            let ended = progress.finish.take().and_then(|word| finish::read(&word, progress.called));
            let Some(finish) = ended.or_else(|| blocked.clone()) else {
                let message = Some("The stream ended before the answer did.".to_owned());
                return out.push(Event::Error(ProviderError { message, ..ProviderError::default() }));
            };
            finishes.push((*choice, finish));
        }
        if finishes.is_empty() {
            match blocked {
                Some(finish) => finishes.push((0, finish)),
                None => return out.push(Event::Error(ProviderError::default())),
            }
        }
        out.extend(finishes.into_iter().map(|(choice, finish)| Event::Finish { choice, finish }));
        let native = Value::Object(mem::take(&mut self.usage));
        out.extend(usage::read_tier(&native).map(Event::ServiceTier));
        if let Some(mut usage) = self.told.take() {
            usage.tokens.web_searches = self.searches;
            usage.native = Some((Wire::Gemini, native));
            out.push(Event::Usage(usage));
        }
        if !self.extra.is_empty() {
            out.push(Event::Extra(Extra::of(Wire::Gemini, mem::take(&mut self.extra))));
        }
    }
}

impl Progress {
    fn close(&mut self, out: &mut Vec<Event>) {
        self.close_text(out);
        self.close_thought(out);
    }

    fn close_text(&mut self, out: &mut Vec<Event>) {
        if let Some(block) = self.text.take() {
            out.push(Event::Close { block });
        }
        self.before += self.said.len();
        self.said.clear();
        self.sealed = false;
    }

    fn close_thought(&mut self, out: &mut Vec<Event>) {
        if let Some(block) = self.thought.take() {
            out.push(Event::Close { block });
        }
    }

    /// The arguments of the call that was coming are all there.
    fn complete(&mut self, out: &mut Vec<Event>) {
        if let Some(Partial { block, arguments }) = self.call.take() {
            out.push(Event::Delta { block, delta: Delta::Arguments(arguments.to_string()) });
            out.push(Event::Close { block });
        }
    }
}
