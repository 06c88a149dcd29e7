//! Bytes to frames and back, and edits of bytes in place.

pub mod aws_event_stream;
pub mod edit;
pub mod json;
pub mod json_array;
pub mod lines;
pub mod multipart;
pub mod sse;
pub mod write;
