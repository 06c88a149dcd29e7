//! Server-sent events: bytes to whole events and back.
