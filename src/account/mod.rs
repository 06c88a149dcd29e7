//! The `Account` object of an organization: its keys, and what each of them has used.

pub mod commit;
mod key_doc;
pub mod key_usage;
pub mod keys;
pub mod projection;
