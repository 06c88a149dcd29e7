//! Names that wrangler.toml fixes.

/// The queue of usage events.
pub const USAGE_QUEUE: &str = "USAGE_QUEUE";
/// What a dead letter queue's name ends with.
pub const DEAD_LETTERS: &str = "-dead";
