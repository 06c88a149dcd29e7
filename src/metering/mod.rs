//! The record of what was served: one usage event a generation, gathered and sent without anybody
//! waiting for it.

mod commit;
mod event;
pub mod rollup;

pub use commit::{ALIVE_EVERY_MS, Commit, CommitReply, CommitRequest, KeyUsage, OPEN_AFTER_MS, Source};
pub use event::{Attempt, Outcome, UsageEvent};
