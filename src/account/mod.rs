//! The `Account` object of an organization: its keys, and what each of them has used.

mod key_doc;
pub mod key_usage;
pub mod keys;
pub mod projection;
