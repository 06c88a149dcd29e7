//! Names that wrangler.toml fixes.

/// The queue of usage events.
pub const USAGE_QUEUE: &str = "USAGE_QUEUE";
