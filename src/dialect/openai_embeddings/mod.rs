//! OpenAI's embeddings (`POST /v1/embeddings`), spoken by nearly everybody, and OpenRouter's additions.
//!
//! Facts: platform.openai.com/docs/api-reference/embeddings, openrouter.ai/docs/api-reference/embeddings,
//! docs.mistral.ai, docs.voyageai.com, jina.ai/embeddings, docs.perplexity.ai, and recorded traffic of
//! `OpenAI`, Azure, Mistral, OpenRouter, Perplexity and llama.cpp; as of November 2026.
//!
//! - `input` is a text, several, the numbers of one text's tokens, or of several; at OpenRouter also
//!   objects `{"content": [parts]}` with parts as in chat.
//! - `encoding_format` is `float` or `base64`: little-endian floats of 32 bits. Perplexity has others of its
//!   own (`base64_int8`), and answers in them unasked.
//! - `input_type` is OpenRouter's, Voyage's and others'; `OpenAI` refuses what it does not know.
//! - Mistral says `output_dimension`, Voyage too.
//! - `usage` has `prompt_tokens` and `total_tokens`; Voyage only the second. OpenRouter adds `cost`,
//!   `cost_details` and `is_byok`, and to the answer `id` and `provider`.
//!
//! # Quirks
//!
//! | quirk | meaning |
//! |---|---|
//! | `openrouter` | all of OpenRouter's members |
//! | `input_type` | the provider knows `input_type` |
//! | `output_dimension` | it says so instead of `dimensions` |
//! | `no_encoding_format` | it refuses `float` and `base64`, which are made here |
//! | `base64_int8` | Perplexity: it answers with bytes that have a sign, which become numbers here |

mod answer;
mod request;
mod translate;

pub use answer::{decode_embeddings, encode_embeddings, read_answer};
pub use request::{Call, Wanted, outbound_edits, parse};
pub use translate::encode_request;
