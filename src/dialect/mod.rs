//! Wire formats, one folder each. A dialect never imports another.

pub mod openai_chat;
