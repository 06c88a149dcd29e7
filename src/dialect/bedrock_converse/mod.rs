//! Amazon Bedrock's `Converse` and `ConverseStream` (`POST /model/{id}/converse`, `.../converse-stream`).
//!
//! Sources: `docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html` and
//! `API_runtime_ConverseStream.html`, `.../userguide/conversation-inference.html`, `prompt-caching.html`
//! and `model-parameters.html`; `docs.aws.amazon.com/nova/latest/nova2-userguide`; as of November 2026.
//!
//! - The model stands in the path, and so does whether the answer is a stream.
//! - Content blocks are unions: `{"text": ..}`, `{"image": ..}`. Bytes are base64. Roles alternate.
//! - Marks for the cache are blocks of their own (`cachePoint`) behind what they close; only Claude and
//!   Nova take them.
//! - What is not the same for all models goes into `additionalModelRequestFields`, in the words of the
//!   model's maker, whom the model's id names (`thinking.rs`).
//! - `inputTokens` does not count what was read from the cache or written to it.
//! - `redactedContent` is base64 of what Claude calls `data`, which is base64 itself.
//! - There is no tool choice "none"; tools are left out instead, which is possible only while none was
//!   called: with calls in the conversation Bedrock wants tools declared.
//!
//! Spoken to providers only. `decode_request` is the proof that nothing is lost.

mod content;
mod error;
mod media;
mod request;
mod response;
mod stream;
mod thinking;
mod write;

#[cfg(test)]
mod tests;

pub use error::read_error;
pub use request::{decode_request, encode_request};
pub use response::decode_answer;
pub use stream::Decoder;

use crate::chat::Wire;

const WIRE: Wire = Wire::BedrockConverse;
