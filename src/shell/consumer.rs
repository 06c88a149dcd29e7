//! The queue's end: batches of usage events into D1, each event once; dead letters kept.
//!
//! A batch is written in one atomic run of statements; only then are its messages acknowledged. What
//! cannot be read is set aside at once, with the reason; what D1 does not take is tried again, and
//! ends in the dead letter queue, whose messages land in the same table.

use worker::{D1Database, Env, MessageBatch, MessageExt, QueueRetryOptionsBuilder, Result, console_error, wasm_bindgen::JsValue};

use super::{bindings, cold};
use crate::metering::rollup;

/// Handles one delivery. Never fails: an error here would be a panic in the macro (all messages again).
pub async fn consume(batch: MessageBatch<JsValue>, env: &Env) {
    let db = match env.d1(bindings::DB) {
        Ok(db) => db,
        Err(error) => {
            console_error!("no database for usage events: {error}");
            return batch.retry_all();
        }
    };
    let dead = batch.queue().ends_with(bindings::DEAD_LETTERS);
    let (mut taken, mut events) = (Vec::new(), Vec::new());
    for message in batch.raw_iter() {
        let body = message.body().as_string();
        let readable = body.as_deref().map_or(Err("the message is no text".to_owned()), rollup::check);
        let why = match readable {
            Ok(()) if !dead => {
                events.push(body.unwrap_or_default());
                taken.push(message);
                continue;
            }
            Ok(()) => "could not be written to the database in all tries".to_owned(),
            Err(why) => why,
        };
        match bury(&db, &message.id(), &batch.queue(), &why, &body.unwrap_or_default()).await {
            Ok(()) => message.ack(),
            Err(error) => {
                console_error!("a dead letter could not be kept: {error}");
                message.retry_with_options(&QueueRetryOptionsBuilder::new().with_delay_seconds(30).build());
            }
        }
    }
    if taken.is_empty() {
        return;
    }
    let inner: Vec<&str> = events.iter().map(|body| body.trim().trim_start_matches('[').trim_end_matches(']')).collect();
    match cold::run(&db, rollup::statements(&format!("[{}]", inner.join(",")))).await {
        Ok(()) => taken.iter().for_each(MessageExt::ack),
        Err(error) => {
            console_error!("usage events could not be written: {error}");
            let later = QueueRetryOptionsBuilder::new().with_delay_seconds(10).build();
            taken.iter().for_each(|message| message.retry_with_options(&later));
        }
    }
}

async fn bury(db: &D1Database, id: &str, queue: &str, why: &str, body: &str) -> Result<()> {
    cold::run(db, vec![rollup::dead_letter(id, queue, why, body, js_sys::Date::now())]).await
}
