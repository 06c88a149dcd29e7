//! What the mock upstream and the load client share: a clock both can compare, and HTTP/1.1.

pub mod args;
pub mod clock;
pub mod http;
