//! Ollama's own chat (`POST /api/chat`), and beside it its embeddings (`/api/embed`).
//!
//! Sources: `docs.ollama.com/api/chat`, `embed`, `errors`, `capabilities/thinking` and
//! `docs.ollama.com/openapi.yaml`, as of November 2026.
//!
//! - Content is one string; images stand beside it, as base64. Arguments of calls are objects.
//! - Calls have no ids (newer servers send some, and want none back): those that have none are named
//!   `call_<n>` when read, and results name the tool they come from (`tool_name`).
//! - `stream` is true unless it is false. The stream is lines of JSON; the last one has `done`.
//! - `think` is a switch; `low`, `medium`, `high` only for models that know them (quirk `think_levels`).
//! - There is no tool choice: "none" leaves the tools out, and what must be called cannot be said.
//!
//! Spoken to providers only. `decode_request` is the proof that nothing is lost.

mod embed;
mod error;
mod read;
mod request;
mod response;
mod stream;
mod write;

#[cfg(test)]
mod tests;

pub use embed::{Embeddings, decode_embeddings, encode_embed};
pub use error::read_error;
pub use read::decode_request;
pub use request::encode_request;
pub use response::decode_answer;
pub use stream::Decoder;

use crate::chat::Wire;

const WIRE: Wire = Wire::OllamaChat;
