//! A stream on its way through: its bytes passed on, or translated.

use serde_json::Value;

use super::translated;
use crate::{
    catalog::CostBreakdown,
    chat::{ProviderError, Wire},
    dialect::{
        Target, anthropic_messages, gemini, openai_chat, openai_completions, openai_responses,
        passing::{self, Finish, ResponseFacts, StreamEnd},
    },
    routing::fallback::Cause,
    time::Millis,
};

/// A stream being relayed.
#[derive(Debug)]
pub enum Relay {
    /// OpenAI's chat on both sides, or its completions.
    Chat(Box<openai_chat::Relay>),
    /// Another format on both sides.
    Passed(Box<passing::Relay>),
    /// Two formats.
    Translated(Box<translated::Relay>),
}

impl Relay {
    /// Nothing has come yet. `native`: the client's bytes flow elsewhere; `asked`: what the client asked for,
    /// where it is translated.
    pub fn new(from: Wire, to: Wire, target: &Target<'_>, finish: Finish, native: bool, asked: Option<Value>) -> Self {
        if let Some(asked) = asked {
            return Self::Translated(Box::new(translated::Relay::new(from, to, target, finish, asked)));
        }
        match from {
            Wire::OpenaiCompletions => Self::Chat(Box::new(openai_completions::passing::relay(finish, native))),
            Wire::OpenaiResponses => Self::Passed(Box::new(openai_responses::passing::relay(finish, native))),
            Wire::AnthropicMessages => Self::Passed(Box::new(anthropic_messages::passing::relay(finish, native))),
            Wire::Gemini => Self::Passed(Box::new(gemini::passing::relay(finish, native))),
            // No client speaks the formats that are for providers alone.
            Wire::OpenaiChat | Wire::BedrockConverse | Wire::CohereChat | Wire::OllamaChat => {
                Self::Chat(Box::new(openai_chat::Relay::new(finish, native)))
            }
        }
    }

    /// Whether the client's bytes flow elsewhere.
    pub fn is_native(&self) -> bool {
        match self {
            Self::Chat(relay) => relay.is_native(),
            Self::Passed(relay) => relay.is_native(),
            Self::Translated(_) => false,
        }
    }

    /// Takes a chunk from the provider; appends what the client gets to `out`.
    pub fn push(&mut self, chunk: &[u8], now: Millis, out: &mut Vec<u8>) {
        match self {
            Self::Chat(relay) => relay.push(chunk, now, out),
            Self::Passed(relay) => relay.push(chunk, now, out),
            Self::Translated(relay) => relay.push(chunk, now, out),
        }
    }

    /// Completion tokens so far, roughly.
    pub fn written(&self) -> u64 {
        match self {
            Self::Chat(relay) => relay.written(),
            Self::Passed(relay) => relay.written(),
            Self::Translated(relay) => relay.written(),
        }
    }

    /// When the first content came.
    pub fn first_content_at(&self) -> Option<Millis> {
        match self {
            Self::Chat(relay) => relay.first_content_at,
            Self::Passed(relay) => relay.first_content_at,
            Self::Translated(relay) => relay.first_content_at(),
        }
    }

    /// What the end is to be written with: known in full only then.
    pub fn rename(&mut self, finish: Finish) {
        match self {
            Self::Chat(relay) => relay.rename(finish),
            Self::Passed(relay) => relay.rename(finish),
            Self::Translated(relay) => relay.rename(finish),
        }
    }

    /// The answer's end has come: what follows does not matter.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Chat(relay) => relay.is_done(),
            Self::Passed(relay) => relay.is_done(),
            Self::Translated(relay) => relay.is_done(),
        }
    }

    /// What went wrong, if something did.
    pub fn failure(&self) -> Option<&(Cause, ProviderError)> {
        match self {
            Self::Chat(relay) => relay.failure(),
            Self::Passed(relay) => relay.failure(),
            Self::Translated(relay) => relay.failure(),
        }
    }

    /// The provider has closed the stream: whether what came is a whole answer.
    pub fn closed(&mut self, now: Millis, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Chat(relay) => relay.closed(now, out),
            Self::Passed(relay) => relay.closed(now, out),
            Self::Translated(relay) => relay.closed(now, out),
        }
    }

    /// The stream is over: settles what it used and appends the last bytes for the client to `out`.
    pub fn end(&mut self, end: StreamEnd, now: Millis, out: &mut Vec<u8>) -> (ResponseFacts, Option<CostBreakdown>) {
        match self {
            Self::Chat(relay) => relay.end(end, now, out),
            Self::Passed(relay) => relay.end(end, now, out),
            Self::Translated(relay) => relay.end(end, now, out),
        }
    }
}
