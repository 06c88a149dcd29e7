//! What OpenAI's chat completions and its older completions have in common, and no more than that: the
//! reading of members with their paths, the parameters of sampling, usage, finish reasons and errors.
//!
//! It is not a dialect: it knows neither format, and the two do not know each other.
//!
//! Facts: platform.openai.com/docs/api-reference, openrouter.ai/docs/api-reference and the companies'
//! own references (xAI, DeepSeek, Groq, Mistral, Perplexity, Together, Moonshot), as of November 2026.

mod errors;
mod finish;
mod members;
mod sampling;
mod usage;

pub use errors::{error_chunk, error_of, read_error, write_error};
pub use finish::finish_reason;
pub use members::{Members, kind};
pub use sampling::{read_sampling, read_stop, take_owned, write_sampling};
pub use usage::{read_usage, write_usage};
