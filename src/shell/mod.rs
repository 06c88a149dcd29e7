//! The platform: the only place that may name `worker`. Everything else is plain Rust.
//!
//! - [`exports`]: the synchronous functions that `entry.mjs` drives an inference request with
//! - `cold`: management and read routes, asynchronous, with the `worker` crate as usual
//! - `account_object`, `catalog_object`: the Durable Objects; `sql`: their storage
//! - `consumer`: the queue's end

mod account_object;
mod bindings;
mod catalog_object;
mod cold;
mod consumer;
mod exports;
mod sql;

pub use exports::forget_caches;
