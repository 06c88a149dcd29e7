//! OpenAI chat completions (`POST /v1/chat/completions`), and OpenRouter's extensions of it.
//!
//! Facts: platform.openai.com/docs/api-reference/chat and openrouter.ai/docs/api-reference, both as of
//! November 2026. With the same dialect on both sides the client's and the provider's bytes are passed
//! on as they are; only the members that the gateway owns are edited, by span.

mod error;
mod request;
mod response;
mod stream;
pub mod translate;

pub use error::read_error;
pub use request::{outbound_edits, parse, rename, with_usage};
pub use response::read_answer;
pub use stream::Relay;
