//! A stream on its way through: its bytes passed on, or translated.

use serde_json::Value;

use super::translated;
use crate::{
    catalog::CostBreakdown,
    chat::{ProviderError, Wire},
    dialect::{
        Target, openai_chat,
        passing::{Finish, ResponseFacts, StreamEnd},
    },
    routing::fallback::Cause,
    time::Millis,
};

/// A stream being relayed.
#[derive(Debug)]
pub enum Relay {
    /// OpenAI's chat on both sides.
    Chat(openai_chat::Relay),
    /// Two formats.
    Translated(Box<translated::Relay>),
}

impl Relay {
    /// Nothing has come yet. `native`: the client's bytes flow elsewhere, where they can.
    pub fn new(from: Wire, to: Wire, target: &Target<'_>, finish: Finish, native: bool, asked: Value) -> Self {
        if from == to && from == Wire::OpenaiChat {
            return Self::Chat(openai_chat::Relay::new(finish, native));
        }
        Self::Translated(Box::new(translated::Relay::new(from, to, target, finish, asked)))
    }

    /// Whether streams between these two can be native.
    pub fn can_be_native(from: Wire, to: Wire) -> bool {
        from == to && from == Wire::OpenaiChat
    }

    /// Whether the client's bytes flow elsewhere.
    pub fn is_native(&self) -> bool {
        match self {
            Self::Chat(relay) => relay.is_native(),
            Self::Translated(_) => false,
        }
    }

    /// Takes a chunk from the provider; appends what the client gets to `out`.
    pub fn push(&mut self, chunk: &[u8], now: Millis, out: &mut Vec<u8>) {
        match self {
            Self::Chat(relay) => relay.push(chunk, now, out),
            Self::Translated(relay) => relay.push(chunk, now, out),
        }
    }

    /// Completion tokens so far, roughly.
    pub fn written(&self) -> u64 {
        match self {
            Self::Chat(relay) => relay.written(),
            Self::Translated(relay) => relay.written(),
        }
    }

    /// When the first content came.
    pub fn first_content_at(&self) -> Option<Millis> {
        match self {
            Self::Chat(relay) => relay.first_content_at,
            Self::Translated(relay) => relay.first_content_at(),
        }
    }

    /// What the end is to be written with: known in full only then.
    pub fn rename(&mut self, finish: Finish) {
        match self {
            Self::Chat(relay) => relay.rename(finish),
            Self::Translated(relay) => relay.rename(finish),
        }
    }

    /// The answer's end has come: what follows does not matter.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Chat(relay) => relay.is_done(),
            Self::Translated(relay) => relay.is_done(),
        }
    }

    /// What went wrong, if something did.
    pub fn failure(&self) -> Option<&(Cause, ProviderError)> {
        match self {
            Self::Chat(relay) => relay.failure(),
            Self::Translated(relay) => relay.failure(),
        }
    }

    /// The stream is over: settles what it used and appends the last bytes for the client to `out`.
    pub fn end(&mut self, end: StreamEnd, now: Millis, out: &mut Vec<u8>) -> (ResponseFacts, Option<CostBreakdown>) {
        match self {
            Self::Chat(relay) => relay.end(end, now, out),
            Self::Translated(relay) => relay.end(end, now, out),
        }
    }
}
