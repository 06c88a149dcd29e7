//! The management and read API: bodies and queries read strictly, answers built from rows. Everything
//! here is pure; `shell::cold` fetches what it needs and authorises before.

pub mod body;
pub mod models;
pub mod query;
pub mod records;
pub mod routes;
