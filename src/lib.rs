//! Sluice: an LLM gateway that its operator owns.
//!
//! Reading order: [`pipeline`] is the life of one request; everything it decides with lies in the
//! modules below it, none of which reads a clock, draws a random number or does I/O. Only `shell`
//! (wasm32) knows the platform.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::print_stdout,
        clippy::float_cmp,
        clippy::format_collect,
        clippy::needless_pass_by_value
    )
)]

#[macro_use]
pub mod planted;

pub mod account;
pub mod admin;
pub mod auth;
pub mod budget;
pub mod catalog;
pub mod chat;
pub mod dialect;
pub mod error;
pub mod formats;
pub mod framing;
pub mod idempotency;
pub mod ids;
pub mod known;
pub mod metering;
pub mod money;
pub mod operator;
pub mod pipeline;
pub mod ports;
pub mod provider;
pub mod routing;
pub mod task;
pub mod time;

#[cfg(all(target_arch = "wasm32", feature = "shell"))]
mod shell;
#[cfg(test)]
mod testing;

/// Name of the organization (and its `Account` object) of a gateway that was not told of others.
pub const DEFAULT_ORG: &str = "default";
/// The workspace of keys that were created without one.
pub const DEFAULT_WORKSPACE: &str = "default";
