//! Virtual keys: their text form, what the gateway stores of them, and what they may do.
//!
//! Only the SHA-256 of a key is ever stored or looked up. A [`Principal`] exists only as the result of
//! [`KeyRecord::admit`]; nothing else can make one, so no path can act for a key it did not check.

mod key;
mod presented;
mod record;

pub use key::{KeyHash, VirtualKey};
pub use presented::{HEADERS, presented};
pub use record::{KeyKind, KeyRecord, Principal, StreamUsage};

/// KV key of a key's record.
pub fn kv_key(hash: &KeyHash) -> String {
    format!("key:{hash}")
}
