//! The Durable Object `Account`: one per organization, named after it.
//!
//! Stored: SQLite tables of `account::keys` (keys, changes, usage), `account::commit` (sessions, open
//! generations, outbox) and `account::projection` (KV copies to be written).
//!
//! | command | answer | why atomic |
//! |---|---|---|
//! | `commit(CommitRequest)`, RPC from `entry.mjs` | `CommitReply` | one synchronous run of SQL |
//! | `POST /admin` with an `AdminRequest` | `AdminResponse` | the same; KV copies are written after it, by the alarm if that fails |
//! | `GET /event?id=&key=` | a usage event not yet in the database, or 404 | reads only |
//! | alarm | - | sends the outbox to the queue, sweeps dead isolates, writes KV copies; repeatable |

use std::panic::{RefUnwindSafe, UnwindSafe};

use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use worker::{
    BatchMessageBuilder, DurableObject, Env, Method, QueueContentType, RawMessageBuilder, Request, Response, Result, ScheduledTime, SendMessage, State,
    console_error, durable_object,
};

use super::{bindings, cold, sql::ObjectSql};
use crate::{
    account::{commit, keys, projection},
    auth::KeyHash,
    metering::CommitRequest,
    ports::{AdminRequest, AdminResponse},
    time::Millis,
};

/// The object. Keeps nothing in memory but its handles.
#[durable_object(alarm)]
pub struct Account {
    state: State,
    env: Env,
    sql: ObjectSql,
}

impl UnwindSafe for Account {}
impl RefUnwindSafe for Account {}

impl DurableObject for Account {
    fn new(state: State, env: Env) -> Self {
        let sql = ObjectSql::new(state.storage().sql());
        let migrated = keys::migrate(&sql).and_then(|()| projection::migrate(&sql)).and_then(|()| commit::migrate(&sql));
        if let Err(error) = migrated {
            console_error!("the account's tables could not be made: {}", error.0);
        }
        Self { state, env, sql }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let now = Millis::from_js(js_sys::Date::now());
        if request.method() == Method::Get {
            let url = request.url()?;
            let query = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
            let key = query("key").as_deref().and_then(KeyHash::parse);
            return match commit::find_event(&self.sql, &query("id").unwrap_or_default(), key.as_ref()) {
                Ok(Some(event)) => Response::from_json(&event),
                Ok(None) => Response::error("no such event", 404),
                Err(error) => Response::error(error.context.unwrap_or_default(), 503),
            };
        }
        let admin: AdminRequest = request.json().await?;
        let mut random = [0; 48];
        getrandom::fill(&mut random).map_err(|error| error.to_string())?;
        let response = keys::handle(&self.sql, &admin, now, &random).unwrap_or_else(|error| AdminResponse {
            status: error.status(),
            body: serde_json::json!({ "error": error.to_json(false) }),
        });
        cold::write_copies(&self.env, &self.sql).await;
        self.arm(now).await;
        Response::from_json(&response)
    }

    async fn alarm(&self) -> Result<Response> {
        let now = Millis::from_js(js_sys::Date::now());
        cold::write_copies(&self.env, &self.sql).await;
        if let Err(error) = commit::sweep(&self.sql, now) {
            console_error!("sweep failed: {}", error.context.unwrap_or_default());
        }
        let sent = self.drain().await;
        self.arm(now).await;
        // An error makes the platform call the alarm again, later and later.
        sent.and_then(|()| Response::empty())
    }
}

impl Account {
    /// Sends the outbox to the queue until it is empty.
    async fn drain(&self) -> Result<()> {
        let queue = self.env.queue(bindings::USAGE_QUEUE)?;
        loop {
            let messages = commit::next_messages(&self.sql).map_err(|error| error.context.unwrap_or_default())?;
            if messages.bodies.is_empty() {
                return Ok(());
            }
            let bodies: Vec<SendMessage<JsValue>> = messages
                .bodies
                .iter()
                .map(|body| RawMessageBuilder::new(JsValue::from_str(body)).build_with_content_type(QueueContentType::Text))
                .collect();
            queue.send_raw_batch(BatchMessageBuilder::new().messages(bodies).build()).await?;
            commit::sent(&self.sql, messages.last_seq).map_err(|error| error.context.unwrap_or_default())?;
        }
    }

    async fn arm(&self, now: Millis) {
        let copies = projection::waiting(&self.sql).is_ok_and(|waiting| waiting > 0).then(|| now.plus(1_000));
        let next = commit::next_alarm(&self.sql, now).ok().flatten();
        let at = match (copies, next) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if let Some(at) = at
            && let Err(error) = self.state.storage().set_alarm(ScheduledTime::new(js_sys::Date::new(&JsValue::from_f64(to_js(at))))).await
        {
            console_error!("the alarm could not be set: {error}");
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a moment fits in 53 bits")]
fn to_js(at: Millis) -> f64 {
    at.0 as f64
}

#[wasm_bindgen]
impl Account {
    /// Takes a batch: JSON of a [`CommitRequest`] in, `<alarm or 0>\n<JSON of the reply>` out. The
    /// caller (entry.mjs) sets the alarm.
    pub fn commit(&self, batch: &str, now: f64) -> std::result::Result<String, JsValue> {
        let now = Millis::from_js(now);
        let request: CommitRequest = serde_json::from_str(batch).map_err(|error| JsValue::from_str(&error.to_string()))?;
        let fail = |error: crate::error::Error| JsValue::from_str(&error.context.unwrap_or(error.message));
        let reply = commit::commit(&self.sql, &request, now).map_err(fail)?;
        let alarm = if request.seq > 0 { commit::next_alarm(&self.sql, now).map_err(fail)?.map_or(0, |at| at.0) } else { 0 };
        Ok(format!("{alarm}\n{}", serde_json::to_string(&reply).unwrap_or_default()))
    }
}

