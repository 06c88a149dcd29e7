//! The queue's end: batches of usage events into D1, each event once; dead letters kept.
//!
//! A batch is written in one atomic run of statements; only then are its messages acknowledged. What
//! cannot be read is set aside at once, with the reason; what D1 does not take is tried again, and
//! ends in the dead letter queue, whose messages land in the same table.

use worker::{Env, MessageBatch, MessageExt, QueueRetryOptions, QueueRetryOptionsBuilder, console_error, wasm_bindgen::JsValue};

use super::{
    bindings,
    sql::{run_on_d1, text_of},
};
use crate::{
    metering::rollup,
    time::Millis,
};

/// Handles one delivery. Never fails: an error here would be a panic in the macro (all messages again).
pub async fn consume(batch: MessageBatch<JsValue>, env: &Env) {
    let dead = batch.queue().ends_with(bindings::DEAD_LETTERS);
    let (mut taken, mut events) = (Vec::new(), Vec::new());
    for message in batch.raw_iter() {
        let body = text_of(&message.body()).unwrap_or_default();
        match rollup::check(&body).err() {
            None if !dead => {
                events.push(body);
                taken.push(message);
            }
            why => {
                let why = why.unwrap_or_else(|| "could not be written to the database in all tries".to_owned());
                let now = Millis::from_js(js_sys::Date::now());
                match run_on_d1(env, &[rollup::dead_letter(&message.id(), now, &batch.queue(), &why, &body)]).await {
                    Ok(_) => message.ack(),
                    Err(error) => {
                        console_error!("a dead letter could not be kept: {}", error.context.unwrap_or_default());
                        message.retry_with_options(&later(60));
                    }
                }
            }
        }
    }
    if taken.is_empty() {
        return;
    }
    let inner: Vec<&str> = events.iter().filter_map(|body| body.strip_prefix('[')?.strip_suffix(']')).collect();
    match run_on_d1(env, &rollup::statements(&format!("[{}]", inner.join(",")))).await {
        Ok(_) => taken.iter().for_each(MessageExt::ack),
        Err(error) => {
            console_error!("usage events could not be written: {}", error.context.unwrap_or_default());
            taken.iter().for_each(|message| message.retry_with_options(&later(10)));
        }
    }
}

fn later(seconds: u32) -> QueueRetryOptions {
    QueueRetryOptionsBuilder::new().with_delay_seconds(seconds).build()
}
