//! Who serves a request: names, filters, order, health, and what a failure means next. All pure:
//! the same inputs give the same plan, so that a decision can be explained and replayed.

pub mod cutoffs;
pub mod fallback;
pub mod health;
pub mod plan;
pub mod preferences;
pub mod slug;
