//! Wire formats, one folder each. A dialect never imports another.
//!
//! Where client and provider speak the same format, the client's bytes are passed on with the members
//! edited that the gateway owns: each format's `passing.rs` (of `openai_chat`: `request.rs`, `response.rs`,
//! `stream.rs`, which serve `openai_completions` too) on top of [`passing`].
//! Otherwise: wire → [`chat`](crate::chat) → wire. Every format has, as far as it can be spoken to a
//! provider (out) or by a client (in):
//!
//! | | out | in |
//! |---|---|---|
//! | request | `encode_request(&chat::Request, &Target) -> Result<Encoded>` | `decode_request(Value) -> Result<chat::Request>` |
//! | answer | `decode_answer(Value) -> Result<chat::Answer, ProviderError>` | `encode_answer(&chat::Answer, &Names) -> Value` |
//! | stream | `Decoder`: frames → [`chat::Event`](crate::chat::Event)s | `Encoder`: events → bytes |
//! | failure | `read_error(status, body) -> ProviderError` | `write_error(&Error) -> Value` |
//!
//! Facts about formats stand at the head of each, with their source and the date they were read.

pub mod anthropic_messages;
pub mod bedrock_converse;
pub mod bedrock_titan;
pub mod call;
pub mod cohere_chat;
pub(crate) mod fields;
pub mod gemini;
pub mod ollama_chat;
pub mod openai_chat;
mod openai_common;
pub mod openai_completions;
pub mod openai_embeddings;
pub mod openai_images;
pub mod openai_moderations;
pub mod openai_responses;
pub mod openai_speech;
pub mod openai_transcriptions;
pub mod passing;
pub mod rerank;
pub mod shape;
pub mod single;
#[cfg(test)]
pub mod testing;

use serde_json::{Map, Value};

use crate::chat::Losses;

/// Whom a request is encoded for.
#[derive(Clone, Copy, Debug)]
pub struct Target<'t> {
    /// The model's name there.
    pub model: &'t str,
    /// The provider's named quirks.
    pub quirks: &'t [String],
    /// Answers of at most so many tokens are to be asked for; the request's own number is no larger.
    pub longest: Option<u64>,
    /// The longest answer that the model can give, where the catalog knows: for formats that want a
    /// number in every request.
    pub model_longest: Option<u64>,
}

/// A request in a provider's format.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded {
    /// The body.
    pub body: Value,
    /// What it does not carry.
    pub losses: Losses,
}

/// How the gateway names an answer to its client.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The generation id.
    pub id: String,
    /// The model that served.
    pub model: String,
    /// The provider that served, by its display name.
    pub provider: String,
    /// When the request came, in Unix seconds: where the answer does not say.
    pub created: i64,
    /// Members that every format adds to its usage object: `cost`, `cost_details`, `is_byok`.
    pub cost: Map<String, Value>,
    /// Members that every format adds at the top: `openrouter_metadata`.
    pub extra: Map<String, Value>,
    /// The client's request, where its format repeats members of it in the answer (Responses).
    pub request: Option<Value>,
}

/// A piece of a stream, as its framing gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'f> {
    /// Its name (`event:` of SSE, `:event-type` or `:exception-type` of an AWS event stream).
    pub event: Option<&'f str>,
    /// What it holds: JSON as a rule.
    pub data: &'f [u8],
}
