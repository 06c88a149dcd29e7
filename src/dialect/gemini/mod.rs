//! Gemini: `models/{model}:generateContent` and `:streamGenerateContent`, as AI Studio
//! (`generativelanguage.googleapis.com/v1beta`) and Vertex AI (`aiplatform.googleapis.com/v1`) speak it, and
//! as the official SDKs speak to the gateway; `:countTokens`, `:embedContent`, `:batchEmbedContents` and
//! Vertex' `:predict` for embeddings beside it.
//!
//! Facts (read November 2026 at <https://ai.google.dev/api/generate-content>,
//! <https://ai.google.dev/gemini-api/docs/function-calling>, `/thinking`, `/thought-signatures`,
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference>, and in recorded
//! traffic of both):
//!
//! - It is proto JSON: members in camelCase or `snake_case`, enums as words or numbers, 64-bit numbers as
//!   numbers or text, bytes in base64 of either alphabet. Written is always the first of each.
//! - The model and the kind of answer stand in the URL, not in the body.
//! - Calls have an id only in newer models; results name their function, and stand in the order of calls.
//! - Thoughts are text with `thought: true`. Marks (`thoughtSignature`) stand on thoughts, calls, texts and
//!   media; Gemini 3 refuses calls without theirs.
//! - `maxOutputTokens` counts thoughts, `candidatesTokenCount` does not.
//! - A prompt that was refused has `promptFeedback.blockReason` and no candidates.
//!
//! Quirks that are read here: `openapi_schema`, `thinking_level`, `thought_signature_required`,
//! `no_service_tier` (see [`encode_request`]).

mod config;
mod content;
pub mod embeddings;
mod encoder;
mod error;
mod finish;
mod grounding;
mod logprobs;
mod media;
mod partial;
pub mod passing;
mod request;
mod response;
mod schema;
mod signature;
mod stream;
#[cfg(test)]
mod tests;
pub mod tokens;
mod tools;
mod turns;
mod usage;
mod wire;

pub use encoder::Encoder;
pub use error::{read_error, retry_after_s, write_error};
pub use request::{decode_request, encode_request};
pub use response::{decode_answer, encode_answer};
pub use stream::{Decoder, event_data};
