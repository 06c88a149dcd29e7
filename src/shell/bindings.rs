//! Names of bindings and objects, as wrangler.toml spells them.

/// D1: generations, roll-ups, dead letters.
pub const DB: &str = "DB";
/// KV: copies of keys, models and providers.
pub const KV: &str = "KV";
/// The queue of usage events.
pub const USAGE_QUEUE: &str = "USAGE_QUEUE";
/// What a dead letter queue's name ends with.
pub const DEAD_LETTERS: &str = "-dead";
/// Durable Objects of class `Account`.
pub const ACCOUNT: &str = "ACCOUNT";
/// Durable Objects of class `Catalog`.
pub const CATALOG: &str = "CATALOG";
/// The object of class `Catalog` that holds the operator's catalog.
pub const OPERATOR: &str = "operator";
