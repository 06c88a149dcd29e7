//! The queue's end: batches of usage events into D1, each event once; dead letters kept.
//!
//! A batch is written in one atomic run of statements; only then are its messages acknowledged. What
//! cannot be read is set aside at once, with the reason. What D1 does not take is tried again, first
//! by itself, so that no message spoils the others; later after the pauses that wrangler.toml sets; in
//! the end from the dead letter queue, whose messages are read alike: they are only late.

use worker::{Env, MessageBatch, MessageExt, RawMessage, console_error, wasm_bindgen::JsValue};

use super::sql::{run_on_d1, text_of};
use crate::{error::Result, metering::rollup, time::Millis};

/// Handles one delivery. Never fails: an error here would be a panic in the macro (all messages again).
pub async fn consume(batch: MessageBatch<JsValue>, env: &Env) {
    let mut readable = Vec::new();
    for message in batch.raw_iter() {
        let body = text_of(&message.body()).unwrap_or_default();
        match rollup::check(&body) {
            Ok(()) => readable.push((message, body)),
            Err(why) => {
                let now = Millis::from_js(js_sys::Date::now());
                let letter = rollup::dead_letter(&message.id(), now, &batch.queue(), &why, &body);
                conclude(&message, run_on_d1(env, &[letter]).await.map(drop));
            }
        }
    }
    if write(env, &readable).await.is_ok() {
        return readable.iter().for_each(|(message, _)| message.ack());
    }
    for one in &readable {
        conclude(&one.0, write(env, std::slice::from_ref(one)).await);
    }
}

async fn write(env: &Env, messages: &[(RawMessage, String)]) -> Result<()> {
    let lists: Vec<&str> =
        messages.iter().filter_map(|(_, body)| body.trim().strip_prefix('[')?.strip_suffix(']')).collect();
    if lists.is_empty() {
        return Ok(());
    }
    run_on_d1(env, &rollup::statements(&format!("[{}]", lists.join(",")))).await.map(drop)
}

fn conclude(message: &RawMessage, written: Result<()>) {
    match written {
        Ok(()) => message.ack(),
        Err(error) => {
            console_error!("usage events could not be written yet: {}", error.context.unwrap_or_default());
            message.retry();
        }
    }
}
