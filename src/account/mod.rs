//! The `Account` object of an organization: its keys and workspaces, their budgets and limits, and what
//! each key has used.

mod budgets;
pub mod claims;
pub mod commit;
mod key_budgets;
mod key_doc;
mod key_limits;
pub mod key_usage;
pub mod keys;
pub mod projection;
pub mod rotation;
mod stops;
mod terms;
#[cfg(test)]
mod testing;
mod workspaces;
