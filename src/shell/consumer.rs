//! The queue's end: batches of usage events into D1, each event once; dead letters kept.
//!
//! A batch is written in one atomic run of statements; only then are its messages acknowledged. What
//! cannot be read is set aside at once, with the reason. What D1 does not take is tried again, first
//! by itself, so that no message spoils the others; later after the pauses that wrangler.toml sets; in
//! the end from the dead letter queue, whose messages are read alike: they are only late.

use worker::{Env, MessageBatch, MessageExt, RawMessage, console_error, wasm_bindgen::JsValue};

use super::sql::{run_on_d1, text_of};
use crate::{
    error::Result,
    metering::rollup::{self, Message},
    time::Millis,
};

/// Handles one delivery. Never fails: an error here would be a panic in the macro (all messages again).
pub async fn consume(batch: MessageBatch<JsValue>, env: &Env) {
    let messages: Vec<(RawMessage, String)> = batch
        .raw_iter()
        .map(|message| {
            let body = text_of(&message.body()).unwrap_or_default();
            (message, body)
        })
        .collect();
    let mut readable = Vec::new();
    for (message, body) in &messages {
        match rollup::read(body) {
            Ok(read) => readable.push((message, read)),
            Err(why) => {
                let now = Millis::from_js(js_sys::Date::now());
                let letter = rollup::dead_letter(&message.id(), now, &batch.queue(), &why, body);
                conclude(message, run_on_d1(env, &[letter]).await.map(drop));
            }
        }
    }
    let (messages, events): (Vec<_>, Vec<_>) = readable.into_iter().unzip();
    if write(env, &events).await.is_ok() {
        return messages.iter().for_each(|message| message.ack());
    }
    for (message, events) in messages.into_iter().zip(&events) {
        conclude(message, write(env, std::slice::from_ref(events)).await);
    }
}

async fn write(env: &Env, messages: &[Message<'_>]) -> Result<()> {
    if messages.is_empty() {
        return Ok(());
    }
    run_on_d1(env, &rollup::statements(messages)).await.map(drop)
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
