//! OpenAI's older completions (`POST /v1/completions`): a prompt is continued, or a question answered.
//!
//! A prompt is a user's turn of one text, and the completion an assistant's. Prompts of token numbers are
//! understood by this format alone. In the other direction a conversation is a prompt only as far as that
//! has one meaning everywhere: instructions and one question, but no former answers and no tools.
//! `suffix`, `echo`, `best_of` and what servers add stay with the format.
//!
//! Facts: platform.openai.com/docs/api-reference/completions and openrouter.ai/docs/api-reference, as of
//! November 2026, and recorded traffic of four providers. `logprobs` is a number here, and the answer's
//! are lists side by side: they are turned into the form of chat and back.

mod encoder;
mod logprobs;
pub mod passing;
mod request;
mod response;
mod stream;

#[cfg(test)]
mod tests;

pub use encoder::Encoder;
pub use request::{decode_request, encode_request};
pub use response::{decode_answer, encode_answer};
pub use stream::Decoder;

use serde_json::Value;

use crate::{
    chat::{ProviderError, Wire},
    dialect::openai_common,
    error::Error,
};

const WIRE: Wire = Wire::OpenaiCompletions;

/// What an error body says.
pub fn read_error(_status: u16, body: &[u8]) -> ProviderError {
    openai_common::read_error(body)
}

/// The body of an error answer.
pub fn write_error(error: &Error) -> Value {
    openai_common::write_error(error)
}
