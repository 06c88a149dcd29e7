//! The platform: the only place that may name `worker`. Everything else is plain Rust.
//!
//! - [`exports`]: the synchronous functions that `entry.mjs` drives an inference request with
//! - [`cold`]: management and read routes, asynchronous, with the `worker` crate as usual
//! - `account_object`, `catalog_object`: the Durable Objects; `sql`: their storage and D1; `outbox`:
//!   their copies in KV; `alerts`: what the account tells its owner
//! - [`consumer`]: the queue's end

mod account_object;
mod alerts;
mod bindings;
mod catalog_object;
mod cold;
mod consumer;
mod exports;
mod outbox;
mod sql;

use worker::{Context, Env, MessageBatch, Request, Response, Result, event, wasm_bindgen::JsValue};

pub use exports::forget_caches;

#[event(fetch)]
async fn fetch(request: Request, env: Env, _: Context) -> Result<Response> {
    cold::fetch(request, env).await
}

#[event(queue)]
async fn queue(batch: MessageBatch<JsValue>, env: Env, _: Context) -> Result<()> {
    consumer::consume(batch, &env).await;
    Ok(())
}
