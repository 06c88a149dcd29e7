//! Anthropic Messages (`POST /v1/messages`, `/v1/messages/count_tokens`), spoken by Claude Code and the
//! vendor's SDKs, by Anthropic's API, and by Claude on Vertex AI and on Bedrock (`InvokeModel`).
//!
//! Facts: platform.claude.com/docs (Messages, Count tokens, Errors, Stop reasons, Streaming, Thinking,
//! Adaptive thinking, Effort, Structured outputs, Prompt caching, Mid-conversation system messages,
//! Claude on Vertex AI), the vendor's SDKs (types and how they put a stream together),
//! docs.aws.amazon.com/bedrock (Claude messages, adaptive thinking), and openrouter.ai/docs for what its
//! Messages endpoint adds; all as of November 2026.
//!
//! # Quirks
//!
//! Named by a provider's row, or known of a model (`models.rs`).
//!
//! | quirk | meaning |
//! |---|---|
//! | `vertex` | Claude on Vertex AI: `anthropic_version` in the body, the model in the URL |
//! | `bedrock_invoke` | Claude on Bedrock: the same, nothing about streaming in the body, images and documents as bytes, no `metadata`, `service_tier` and top-level `cache_control` |
//! | `no_thinking` | models before Claude 3.7 |
//! | `budget_thinking` | models before Claude 4.6: thinking by `budget_tokens` alone |
//! | `adaptive_thinking` | models from Opus 4.7 on: adaptive thinking alone |
//! | `no_thinking_off` | models that always think (Fable, Mythos): `disabled` is refused |
//! | `no_effort` | models before Opus 4.5: no `output_config.effort` |
//! | `no_sampling` | models from Opus 4.7 on: no `temperature`, `top_p`, `top_k` |
//! | `one_sampler` | Claude 4.1 to 4.6: `temperature` or `top_p`, not both |
//! | `no_strict` | models without structured outputs: no `strict` tools |
//! | `system_turns` | models from Opus 4.8 on: system messages may stand among the others |
//!
//! # Choices
//!
//! - `output_config.effort` without `thinking` is how much is said in all, tool calls included: it is the
//!   canonical verbosity (as at OpenRouter). With thinking it is the effort to think.
//! - Reasoning of other families is shown to an Anthropic client as thinking whose signature is ours
//!   (`reasoning.rs`): when the client hands it back, its maker gets it back, and Anthropic never does.

mod citation;
mod encode;
mod error;
mod fields;
mod media;
mod models;
mod part;
pub mod passing;
mod reasoning;
mod request;
mod response;
mod stream;
mod thinking;
mod turns;
mod usage;

pub use encode::{encode_count_request, encode_request};
pub use error::{read_error, write_error};
pub use request::decode_request;
pub use response::{decode_answer, decode_count, encode_answer, encode_count};
pub use stream::{Decoder, Encoder};

use crate::chat::Wire;

#[cfg(test)]
mod tests;

/// This format's name among the others.
const WIRE: Wire = Wire::AnthropicMessages;
