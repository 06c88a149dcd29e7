//! OpenAI chat completions, into the canonical conversation and out of it: as OpenRouter extends it, and
//! in the variants that compatible providers send. (Same format on both sides: the bytes are passed on,
//! see the files beside this folder.)
//!
//! Facts: platform.openai.com/docs/api-reference/chat, openrouter.ai/docs/api-reference, and of the
//! companies that differ: docs.mistral.ai (content as a list with `thinking`, `document_url`),
//! api-docs.deepseek.com and docs.z.ai (`reasoning_content`, `thinking.type`), console.groq.com and
//! docs.ollama.com (`reasoning`), docs.x.ai, docs.perplexity.ai (`citations`, `search_results`,
//! `file_url`), ai.google.dev/gemini-api/docs/openai (`extra_content.google.thought_signature`),
//! docs.vllm.ai (`audio_url`, `video_url`); all as of November 2026, and recorded traffic of 19 providers.
//!
//! What a provider takes beside OpenAI's own is named by quirks of its row:
//!
//! | quirk | what is written |
//! |---|---|
//! | `openrouter` | all of OpenRouter's: `reasoning`, `reasoning_details`, `cache_control`, `images`, `video_url`, `top_k` ... |
//! | `open_sampling` | `top_k`, `min_p`, `repetition_penalty` |
//! | `cache_control` | marks on text, images and tools |
//! | `reasoning_content`, `reasoning_text`, `thinking_parts` | earlier thoughts as `reasoning_content`, as `reasoning`, as parts of the content; without one of them they are losses |
//! | `thinking_type`, `enable_thinking` | thinking on and off as `thinking: {type}`, as `enable_thinking` |
//! | `extra_content` | Gemini's signatures of calls, as Google's compatible endpoint takes them |
//! | `media_in_tool_results` | pictures inside `tool` messages; without it they follow in a `user` message |
//! | `document_url`, `file_url`, `audio_url`, `video_url` | media in these parts |
//! | `no_allowed_tools` | "one of these tools" as a shorter list of tools |
//! | `no_developer_role` | `system` for `developer` |
//! | `string_content` | text always as one string |
//! | `max_completion_tokens`, `max_tokens_only`, `random_seed`, `no_stream_options` | as in `request.rs` beside this folder |

mod answer;
mod citations;
mod encoder;
mod media;
mod messages;
mod parts;
mod pieces;
mod reasoning;
mod request;
mod response;
mod stream;
mod thinking;
mod turns;
mod write;

#[cfg(test)]
mod tests;

pub use answer::encode_answer;
pub use encoder::Encoder;
pub use request::decode_request;
pub use response::decode_answer;
pub use stream::Decoder;
pub use write::encode_request;

use serde_json::Value;

use crate::{
    chat::{ProviderError, Wire},
    dialect::openai_common,
    error::Error,
};

const WIRE: Wire = Wire::OpenaiChat;

/// What an error body says.
pub fn read_error(_status: u16, body: &[u8]) -> ProviderError {
    openai_common::read_error(body)
}

/// The body of an error answer.
pub fn write_error(error: &Error) -> Value {
    openai_common::write_error(error)
}
