//! Streams: `message_start`, then blocks one after another (`content_block_start`, `_delta`, `_stop`),
//! `message_delta` with how it ended and what was used, `message_stop`; `ping` anywhere, `error` instead
//! of the rest.

mod decoder;
mod encoder;

pub use decoder::Decoder;
pub use encoder::{Encoder, write};
