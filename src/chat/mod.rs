//! The canonical conversation: what every wire format is translated into and out of.
//!
//! A dialect turns its own JSON into these types and these types into its own JSON, and knows no other
//! dialect. The types are closed: a new kind of content breaks the build wherever it must be carried.
//! What only one format has is kept as it came, under that format's name ([`Extra`], [`PartKind::Foreign`]):
//! it goes back out to the same format and is a [`Loss`] on the way to any other.
//!
//! Nothing here is on the path of requests whose client and provider speak the same format: their bytes
//! are passed on.

mod embedding;
mod error;
mod event;
mod loss;
mod part;
mod request;
mod response;

pub use embedding::{EmbedContent, EmbedInput, EmbedRequest, Embeddings, Purpose};
pub use error::{ProviderError, redact};
pub use event::{Block, Collector, Delta, Event};
pub use loss::{Loss, Losses};
pub use part::{
    Cache, Citation, Extra, Media, MediaKind, MediaSource, Part, PartKind, Reasoning, ReasoningFormat, Role, ToolCall,
    ToolResult, Turn, Wire,
};
pub use request::{Effort, Format, Request, Sampling, Thinking, Tool, ToolChoice};
pub use response::{Answer, Choice, Finish, FinishReason, Usage};
