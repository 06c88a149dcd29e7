//! A stream that is translated: frames of the provider's format to events, events to the client's format.
//!
//! Nothing is promised to the client before the first content; what is written before (a message's
//! beginning) is held back by who relays it, and thrown away where another provider takes over.

use serde_json::Value;

use super::{
    answer::{facts_of, has_logprobs, lost_block},
    wire::{Decoder, Encoder, Framing},
};
use crate::{
    budget::estimate::estimate_tokens,
    catalog::{CostBreakdown, Tokens},
    chat::{Block, Delta, Event, Finish as Ending, FinishReason, ProviderError, Usage, Wire},
    dialect::{
        Frame, Names, Target,
        passing::{Finish, ResponseFacts, StreamEnd, broken, priced},
    },
    routing::fallback::Cause,
    time::Millis,
};

/// What ends an answer for certain: what follows it does not matter.
const LAST: [&str; 5] = ["message_stop", "response.completed", "response.incomplete", "response.failed", "message-end"];

/// A stream being translated.
#[derive(Debug)]
pub struct Relay {
    finish: Finish,
    to: Wire,
    framing: Framing,
    decoder: Decoder,
    encoder: Encoder,
    events: Vec<Event>,
    usage: Option<Usage>,
    facts: ResponseFacts,
    content_bytes: usize,
    first_content_at: Option<Millis>,
    failure: Option<(Cause, ProviderError)>,
    done: bool,
    closed: bool,
}

impl Relay {
    /// From a provider's format to a client's. `asked`: the client's request, as far as answers depend on
    /// it.
    pub fn new(from: Wire, to: Wire, target: &Target<'_>, finish: Finish, asked: Value) -> Self {
        Self {
            to,
            framing: Framing::of(from),
            decoder: Decoder::new(from, target),
            encoder: Encoder::new(to, Names { request: Some(asked), ..finish.names(None) }),
            finish,
            events: Vec::new(),
            usage: None,
            facts: ResponseFacts::default(),
            content_bytes: 0,
            first_content_at: None,
            failure: None,
            done: false,
            closed: false,
        }
    }

    /// Takes a chunk from the provider; appends what the client gets to `out`.
    pub fn push(&mut self, chunk: &[u8], now: Millis, out: &mut Vec<u8>) {
        if self.done || self.failure.is_some() {
            return;
        }
        let (decoder, events, done) = (&mut self.decoder, &mut self.events, &mut self.done);
        let whole = self.framing.push(chunk, |frame| read(decoder, frame, events, done));
        self.write(now, out);
        if whole.is_err() {
            self.fail(Cause::Malformed, ProviderError::default());
        }
    }

    /// Completion tokens so far, roughly.
    pub fn written(&self) -> u64 {
        estimate_tokens(self.content_bytes)
    }

    /// When the first content came.
    pub fn first_content_at(&self) -> Option<Millis> {
        self.first_content_at
    }

    /// What the end is to be written with: known in full only then.
    pub fn rename(&mut self, finish: Finish) {
        self.finish = finish;
    }

    /// The answer's end has come: what follows does not matter.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// What went wrong, if something did.
    pub fn failure(&self) -> Option<&(Cause, ProviderError)> {
        self.failure.as_ref()
    }

    fn fail(&mut self, cause: Cause, error: ProviderError) {
        self.failure.get_or_insert((cause, error));
    }

    /// Writes the events that were read.
    fn write(&mut self, now: Millis, out: &mut Vec<u8>) {
        for event in std::mem::take(&mut self.events) {
            if self.failure.is_some() {
                return;
            }
            self.note(&event, now);
            self.encoder.push(&event, out);
        }
    }

    fn note(&mut self, event: &Event, now: Millis) {
        match event {
            Event::Start { id, .. } => self.facts.upstream_id.clone_from(id),
            Event::Delta { delta, .. } => {
                let bytes = length(delta);
                self.content_bytes += bytes;
                if bytes > 0 {
                    self.first_content_at.get_or_insert(now);
                }
            }
            Event::Open { kind: Block::ToolCall { name, .. }, .. } => {
                self.content_bytes += name.len();
                self.first_content_at.get_or_insert(now);
            }
            Event::Open { kind: Block::Foreign(wire, value), .. } => {
                if *wire != self.to {
                    self.facts.lose(lost_block(value));
                }
                self.first_content_at.get_or_insert(now);
            }
            Event::Open { kind: Block::Media(_), .. } => {
                self.first_content_at.get_or_insert(now);
            }
            Event::Logprobs { .. } if !has_logprobs(self.to) => self.facts.lose("answer.logprobs".to_owned()),
            Event::Finish { choice: _, finish } => {
                self.facts.finish_reason.get_or_insert(finish.reason.as_str().to_owned());
                if self.facts.native_finish_reason.is_none() {
                    self.facts.native_finish_reason.clone_from(&finish.native);
                }
                self.first_content_at.get_or_insert(now);
            }
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::ServiceTier(tier) => self.facts.service_tier = Some(tier.clone()),
            Event::Error(error) => {
                let said = *error != ProviderError::default();
                let cause = if said { Cause::ErrorInBody(error.status) } else { Cause::Malformed };
                self.fail(cause, error.clone());
            }
            Event::Open { .. } | Event::Close { .. } | Event::Logprobs { .. } | Event::Extra(_) | Event::Ping => {}
        }
    }

    /// The stream is over: settles what it used and appends the last bytes for the client to `out`.
    pub fn end(&mut self, end: StreamEnd, now: Millis, out: &mut Vec<u8>) -> (ResponseFacts, Option<CostBreakdown>) {
        if end == StreamEnd::OutOfBudget && !self.done && self.facts.finish_reason.is_none() {
            let finish = Ending::new(FinishReason::Length, "budget_exhausted");
            self.events.push(Event::Finish { choice: 0, finish });
            self.write(now, out);
        }
        match end {
            StreamEnd::Closed => drop(self.closed(now, out)),
            StreamEnd::Broken if !self.done => self.fail(Cause::Connection, ProviderError::default()),
            StreamEnd::Stopped if !self.done => self.fail(Cause::Stopped, ProviderError::default()),
            StreamEnd::TimedOut if !self.done => self.fail(Cause::Timeout, ProviderError::default()),
            _ => {}
        }
        let whole = self.done || self.facts.finish_reason.is_some();
        let usage = self.used(whole || end == StreamEnd::Closed && self.failure.is_none());
        let facts = std::mem::take(&mut self.facts);
        self.facts = facts_of(facts, &usage);
        let cost = self.finish.cost(&self.facts.usage.tokens);
        if let Some((cause, error)) = &self.failure {
            self.encoder.fail(&broken(&self.finish.provider, *cause, error), out);
            self.facts.finish_reason = Some("error".to_owned());
        } else {
            let members = priced(cost.as_ref(), self.facts.usage.estimated);
            self.encoder.end(&usage, members, self.finish.names(None).extra, out);
        }
        (self.facts.clone(), cost)
    }

    /// What was used, as far as anybody can tell: what some providers say at the beginning of an answer is
    /// too little of one that is not `whole`.
    fn used(&mut self, whole: bool) -> Usage {
        let seen = estimate_tokens(self.content_bytes);
        match self.usage.take() {
            Some(Usage { tokens, provider_cost, .. }) if !whole && tokens.completion < seen => {
                Usage { tokens: Tokens { completion: seen, ..tokens }, provider_cost, ..Usage::default() }
            }
            Some(usage) => usage,
            None => Usage {
                tokens: Tokens { prompt: self.finish.estimated_prompt, completion: seen, ..Tokens::default() },
                ..Usage::default()
            },
        }
    }

    /// The provider has closed the stream: whether what came is a whole answer. The last frame may lack its
    /// end.
    pub fn closed(&mut self, now: Millis, out: &mut Vec<u8>) -> bool {
        if !std::mem::replace(&mut self.closed, true) && self.failure.is_none() {
            self.close(now, out);
        }
        self.failure.is_none()
    }

    fn close(&mut self, now: Millis, out: &mut Vec<u8>) {
        let (decoder, events, done) = (&mut self.decoder, &mut self.events, &mut self.done);
        self.framing.rest(|frame| read(decoder, frame, events, done));
        self.write(now, out);
        if self.failure.is_none() {
            self.decoder.finish(&mut self.events);
            // The one error that an end can show is that it came too early.
            if self.events.iter().any(|event| matches!(event, Event::Error(_))) {
                self.events.retain(|event| !matches!(event, Event::Error(_)));
                self.write(now, out);
                self.fail(Cause::Connection, ProviderError::default());
            } else {
                self.write(now, out);
            }
        }
    }
}

fn read(decoder: &mut Decoder, frame: &Frame<'_>, events: &mut Vec<Event>, done: &mut bool) {
    if !*done {
        decoder.push(frame, events);
        *done = frame.data.trim_ascii() == b"[DONE]" || frame.event.is_some_and(|event| LAST.contains(&event));
    }
}

fn length(delta: &Delta) -> usize {
    match delta {
        Delta::Text(text)
        | Delta::Reasoning(text)
        | Delta::Summary(_, text)
        | Delta::Encrypted(text)
        | Delta::Arguments(text)
        | Delta::Transcript(text) => text.len(),
        // A medium counts a token for every fifty bytes at most (budget::estimate).
        Delta::Media(base64) => base64.len().div_ceil(12),
        Delta::Foreign(value) => value.to_string().len(),
        Delta::Citation(_) | Delta::Signature(_) => 0,
    }
}
