//! Pictures (`POST /v1/images/generations`), OpenAI's format with OpenRouter's additions (`POST
//! /api/v1/images` there).
//!
//! Facts: platform.openai.com/docs/api-reference/images/create, openrouter.ai/docs/api/api-reference/images,
//! docs.x.ai (Image generations), docs.together.ai/reference/post-images-generations; as of November 2026.
//!
//! - The request: `{model, prompt, n, size, quality, background, output_format, ...}`; OpenRouter has
//!   `aspect_ratio`, `resolution`, `input_references` beside them.
//! - The answer: `{created, data: [{b64_json | url, revised_prompt?, media_type?}], usage?}`. `OpenAI` counts
//!   `input_tokens`, `output_tokens` and their details, for GPT image models alone; OpenRouter
//!   `prompt_tokens` and `completion_tokens`. Whoever counts nothing is paid by the picture.
//! - Pictures in pieces (`stream`) are server-sent events with whole pictures in them: refused here.

mod answer;
mod request;

pub use answer::{Drawn, encode_answer, read_answer};
pub use request::{Call, Picture, Wanted, encode, parse};
