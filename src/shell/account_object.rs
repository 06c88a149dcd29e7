//! The Durable Object `Account`: one per organization, named after it.
//!
//! Stored: the SQLite tables of `account::migrate`.
//!
//! | command | answer | why atomic |
//! |---|---|---|
//! | `commit(CommitRequest)`, RPC from `entry.mjs` | `CommitReply` | one synchronous run of SQL |
//! | `POST /admin` with a `Command` | `Reply` | the same; KV copies are written after it, by the alarm if that fails |
//! | alarm | - | sends the outbox to the queue, sweeps dead isolates, writes KV copies, sends alerts; repeatable |

use std::cell::Cell;

use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use worker::{
    Env, QueueContentType, RawMessageBuilder, Request, Response, Result, ScheduledTime, State, Storage, durable_object,
};

use super::{
    alerts, bindings,
    cold::{log, secret},
    outbox::Outbox,
    sql::ObjectSql,
};
use crate::{
    account::{self, Context, commit},
    admin,
    catalog::credential::MasterKey,
    error::Error,
    metering::CommitRequest,
    ports::{Command, Reply},
    time::Millis,
};

/// What KV or the queue did not take is offered again after so long.
const RETRY_MS: i64 = 2_000;

/// The object.
#[durable_object(alarm)]
pub struct Account {
    state: State,
    env: Env,
    migrated: Cell<bool>,
    copies: Outbox,
}

// A panic ends its own command; what was written of it is in the tables, nowhere in memory.
impl std::panic::UnwindSafe for Account {}
impl std::panic::RefUnwindSafe for Account {}

impl worker::DurableObject for Account {
    fn new(state: State, env: Env) -> Self {
        Self { state, env, migrated: Cell::new(false), copies: Outbox::default() }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let now = Millis::from_js(js_sys::Date::now());
        let command: Command = request.json().await?;
        let context = self.context(now)?;
        let reply = self.sql().and_then(|sql| account::handle(&sql, &command, &context));
        if let Err(error) = &reply {
            log(error);
        } else if command.request.method != "GET" {
            // Armed before anything can fail, in the same write as the change itself.
            let events = self.sql().and_then(|sql| account::next_alarm(&sql, now)).map_err(stored)?;
            self.wake_at(events.unwrap_or(Millis(i64::MAX)).min(now.plus(RETRY_MS))).await?;
            self.write_copies().await;
        }
        Response::from_json(&reply.unwrap_or_else(|error| Reply::from(admin::respond(Err(error)))))
    }

    async fn alarm(&self) -> Result<Response> {
        let now = Millis::from_js(js_sys::Date::now());
        let sql = self.sql().map_err(stored)?;
        commit::sweep(&sql, now).map_err(stored)?;
        // What fails is tried again by an alarm of our own: the platform gives up after a few.
        let done = [self.write_copies().await, self.send_events(&sql).await];
        // Webhooks may be slow: they must keep no alarm waiting.
        let due = account::alerts::due(&sql, &self.master(), now).map_err(stored)?;
        if !due.is_empty() {
            self.state.wait_until(alerts::deliver(due, self.env.clone(), self.state.storage()));
        }
        let again = done.contains(&false).then(|| now.plus(RETRY_MS));
        let events = if again.is_some() { None } else { account::next_alarm(&sql, now).map_err(stored)? };
        if let Some(at) = again.or(events) {
            self.wake_at(at).await?;
        }
        Response::empty()
    }
}

impl Account {
    fn sql(&self) -> Result<ObjectSql, Error> {
        let sql = ObjectSql::new(&self.state.storage());
        if !self.migrated.get() {
            account::migrate(&sql)?;
            self.migrated.set(true);
        }
        Ok(sql)
    }

    fn master(&self) -> Result<MasterKey, String> {
        MasterKey::parse(&secret(&self.env, "SLUICE_MASTER_KEY").unwrap_or_default())
    }

    fn context(&self, now: Millis) -> Result<Context> {
        Ok(Context {
            now,
            random: random()?,
            id: random()?,
            secret_nonce: random()?,
            receipt_nonce: random()?,
            master: self.master(),
        })
    }

    /// Sends waiting events to the queue; true once there are none.
    async fn send_events(&self, sql: &ObjectSql) -> bool {
        let sent = self.try_send_events(sql).await;
        sent.map_err(|error| log(&Error::store("usage queue", error.to_string()))).is_ok()
    }

    async fn try_send_events(&self, sql: &ObjectSql) -> Result<()> {
        let queue = self.env.queue(bindings::USAGE_QUEUE)?;
        while let Some(message) = commit::next_message(sql).map_err(stored)? {
            // By itself: as bytes, where several in one call would travel as base64 in JSON.
            let body = RawMessageBuilder::new(JsValue::from_str(&message.body));
            queue.send_raw(body.build_with_content_type(QueueContentType::Text)).await?;
            commit::sent(sql, message.last_seq).map_err(stored)?;
        }
        Ok(())
    }

    /// True once every copy is written.
    async fn write_copies(&self) -> bool {
        let drained = match self.sql() {
            Ok(sql) => self.copies.drain(&sql, &self.env).await.map_err(|why| Error::store("key-value store", why)),
            Err(error) => Err(error),
        };
        drained.unwrap_or_else(|error| {
            log(&error);
            false
        })
    }

    async fn wake_at(&self, at: Millis) -> Result<()> {
        set_alarm(&self.state.storage(), at).await
    }
}

/// Sets the object's alarm, which replaces the one there was.
pub(super) async fn set_alarm(storage: &Storage, at: Millis) -> Result<()> {
    #[expect(clippy::cast_precision_loss, reason = "a moment fits in 53 bits")]
    let at = js_sys::Date::new(&JsValue::from_f64(at.0 as f64));
    storage.set_alarm(ScheduledTime::new(at)).await
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Logs what the store said, and keeps it as the platform's error.
fn stored(error: Error) -> worker::Error {
    log(&error);
    worker::Error::RustError(error.context.unwrap_or(error.message))
}

#[wasm_bindgen]
impl Account {
    /// Takes a batch: JSON of a [`CommitRequest`] in, `<alarm or 0>\n<JSON of the reply>` out. The
    /// caller (entry.mjs) sets the alarm.
    pub fn commit(&self, batch: &[u8], now: f64) -> std::result::Result<String, JsValue> {
        let now = Millis::from_js(now);
        let request: CommitRequest =
            serde_json::from_slice(batch).map_err(|error| JsValue::from_str(&error.to_string()))?;
        let thrown = |error: Error| JsValue::from_str(&error.context.unwrap_or(error.message));
        let sql = self.sql().map_err(thrown)?;
        let reply = commit::commit(&sql, &request, now).map_err(thrown)?;
        let alarm = if request.seq > 0 || !request.ask.wants.is_empty() {
            account::next_alarm(&sql, now).map_err(thrown)?.map_or(0, |at| at.0)
        } else {
            0
        };
        Ok(format!("{alarm}\n{}", serde_json::to_string(&reply).unwrap_or_default()))
    }
}
