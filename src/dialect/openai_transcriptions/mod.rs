//! Transcriptions (`POST /v1/audio/transcriptions`): sound in, text out.
//!
//! Facts: platform.openai.com/docs/api-reference/audio/createTranscription,
//! openrouter.ai/docs/guides/overview/multimodal/stt, console.groq.com/docs/speech-to-text; as of November
//! 2026.
//!
//! - The request is a form: `file`, `model`, `language`, `prompt`, `response_format`, `temperature`,
//!   `timestamp_granularities[]`, `include[]`, ... OpenRouter takes JSON too, with the sound in base64:
//!   `input_audio: {data | url, format}`. The gateway's own members are fields of the form: `provider` as the
//!   text of an object, `models` and `tags` as the text of a list or as repeated `models[]`, `tags[]`.
//! - The answer: `{text, usage}` and more by `response_format`; `text`, `srt` and `vtt` are no JSON.
//! - `usage` is `{type: "tokens", input_tokens, output_tokens, input_token_details: {audio_tokens}}` or
//!   `{type: "duration", seconds}`; without it `duration` says how long the sound was (`verbose_json`).
//! - Text in pieces (`stream`) is refused here.

mod answer;
mod form;
mod outbound;
mod request;

pub use answer::read_answer;
pub use outbound::encode;
pub use request::{Call, Wanted, parse};
