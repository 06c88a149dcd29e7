//! Budgets and limits that hold: what a request may still cost is set aside before it is made.
//!
//! A [`Meter`] is one limit of one account (an organization, workspace, key, end user, session or tag):
//! so many dollars, tokens, requests or parallel requests in a period. The `Account` object is the only
//! truth ([`book`], over SQLite). Isolates hold slices of meters and set requests' shares aside from
//! them in memory ([`holder`]). In every meter, at every moment,
//!
//! ```text
//! spent + sum of what sessions hold + free = limit
//! ```
//!
//! and only what is free is ever handed out. What two sides say to each other are running totals that
//! only grow, so a message that is lost, late, doubled or out of order does no harm
//! (docs/decisions/0008). What a dead session held stays counted as used: nobody knows what its
//! providers billed.

pub mod account;
pub mod book;
pub mod estimate;
pub mod holder;
pub mod meter;
pub mod policy;
pub mod wire;

pub use account::{AccountKind, AccountRef};
pub use meter::{Meter, MeterId, Period, Terms, Unit};
pub use policy::{LoopDetection, Policy};
