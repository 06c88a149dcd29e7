//! Cohere's chat, version 2 (`POST /v2/chat`), and beside it its embeddings and ranking (`/v2/embed`,
//! `/v2/rerank`).
//!
//! Sources: `docs.cohere.com/reference/chat`, `chat-stream`, `embed`, `rerank`, and
//! `docs.cohere.com/docs/reasoning`, as of November 2026. Version 1 is not spoken.
//!
//! - Messages are OpenAI's in shape; what the model thinks before it calls tools is `tool_plan`, what it
//!   thinks otherwise a content block `thinking`. A tool plan is read as reasoning named `tool_plan`.
//! - Texts that answers are to rest on stand in `documents`, beside the messages.
//! - A tool choice of one tool is that tool alone and `REQUIRED`. `strict_tools` is for all tools at once.
//! - `usage.billed_units` is what is charged, `usage.tokens` what the model saw: Cohere's own prompt and,
//!   with tools, hundreds of tokens more. Usage here is what is charged; `cached_tokens` is a part of
//!   what the model saw, has no price, and is left to the native usage.
//!
//! Spoken to providers only. `decode_request` is the proof that nothing is lost.

mod embed;
mod error;
mod read;
mod request;
mod rerank;
mod response;
mod stream;
mod write;

#[cfg(test)]
mod tests;

pub use embed::{Embeddings, decode_embeddings, encode_embed, encode_mixed};
pub use error::read_error;
pub use read::decode_request;
pub use request::encode_request;
pub use rerank::{Ranking, decode_ranking, encode_rerank};
pub use response::decode_answer;
pub use stream::Decoder;

use crate::chat::Wire;

const WIRE: Wire = Wire::CohereChat;

/// The name of reasoning that is a tool plan.
const PLAN: &str = "tool_plan";
