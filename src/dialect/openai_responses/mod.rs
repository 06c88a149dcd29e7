//! OpenAI Responses (`POST /v1/responses`), as OpenAI, Azure, xAI, OpenRouter and others serve it, and as
//! OpenAI's SDKs and Codex CLI speak it.
//!
//! Facts: platform.openai.com/docs/api-reference/responses and .../responses-streaming,
//! docs.x.ai/docs/api-reference, openrouter.ai/docs/api-reference/responses, and the types of the
//! official SDKs (npm `openai` 7.55, `openai` 3.52 and `openrouter` 1.3 for Python), all as of November 2026.
//!
//! - A conversation is a flat list of items. Items of the model's that follow each other are one turn
//!   here, and so are results of tools; a message's own members (`id`, `phase`) stand with its first part
//!   under `message`.
//! - Everything read here is marked as this format's, by an [`Extra`](crate::chat::Extra) with its wire and
//!   perhaps no members, where that decides what is written again: a tool without `strict` is strict here
//!   and nowhere else; `instructions` are a system turn that bears the mark and nothing else.
//! - The gateway keeps no state: `store` is false unless the client says otherwise. What needs state at the
//!   provider (`store: true`, `previous_response_id`, `conversation`, `background`, `prompt`,
//!   `item_reference`) goes to providers of this format alone: [`needs_state`] refuses it for others.
//! - Items that only this format has (web search, shell, MCP, ...) are `Foreign`: whole items in requests
//!   and answers; in a collected stream, the item as it was opened followed by its events
//!   (the last of them, `response.output_item.done`, has the whole item).
//! - Marks of other makers on thoughts and calls travel in `encrypted_content` (`seal.rs`), for that is
//!   what clients hand back.
//!
//! Not read: `response.audio.*` events (no model of this endpoint speaks).

mod content;
mod decoder;
mod encoder;
mod error;
mod items;
mod lines;
mod object;
mod output;
pub mod passing;
mod pieces;
mod request;
mod response;
mod seal;
mod settings;
#[cfg(test)]
mod tests;
mod turns;
mod usage;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use error::{read_error, write_error};
pub use request::{decode_request, encode_request, needs_state};
pub use response::{decode_answer, encode_answer};

use crate::chat::{Extra, Wire};

/// This format.
const WIRE: Wire = Wire::OpenaiResponses;

/// Whether it was read here.
fn is_own(extra: &Extra) -> bool {
    extra.wire == Some(WIRE)
}
