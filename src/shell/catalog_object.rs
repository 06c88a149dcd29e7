//! The Durable Object `Catalog`, of which there is one, named [`operator::OBJECT`].
//!
//! Stored: the tables of `operator::migrate`. Commands: `POST /admin` with an `AdminRequest`, answered
//! by an `AdminResponse` (operator/mod.rs has the table). A command runs synchronously and is one
//! atomic write; the copies in KV are written before the answer, and by the alarm where that failed.

use std::cell::Cell;

use worker::{Env, Request, Response, Result, State, durable_object};

use super::{
    cold::{log, secret},
    outbox::Outbox,
    sql::ObjectSql,
};
use crate::{
    admin,
    catalog::credential::MasterKey,
    error::Error,
    operator::{self, Context},
    ports::{AdminRequest, AdminResponse},
    time::Millis,
};

const RETRY_MS: i64 = 2_000;

/// The object.
#[durable_object(alarm)]
pub struct Catalog {
    state: State,
    env: Env,
    migrated: Cell<bool>,
    outbox: Outbox,
}

// A panic ends its own command; what was written of it is in the tables, nowhere in memory.
impl std::panic::UnwindSafe for Catalog {}
impl std::panic::RefUnwindSafe for Catalog {}

impl worker::DurableObject for Catalog {
    fn new(state: State, env: Env) -> Self {
        Self { state, env, migrated: Cell::new(false), outbox: Outbox::default() }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let request: AdminRequest = request.json().await?;
        let answer = self.answer(&request);
        if let Err(error) = &answer {
            log(error);
        } else if request.method != "GET" {
            // Armed before anything can fail, in the same write as the change itself.
            self.state.storage().set_alarm(RETRY_MS).await?;
            self.drain().await;
        }
        Response::from_json(&admin::respond(answer))
    }

    async fn alarm(&self) -> Result<Response> {
        if !self.drain().await {
            self.state.storage().set_alarm(RETRY_MS).await?;
        }
        Response::empty()
    }
}

impl Catalog {
    fn answer(&self, request: &AdminRequest) -> Result<AdminResponse, Error> {
        let sql = self.sql()?;
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).map_err(|error| Error::internal(format!("randomness: {error}")))?;
        let context = Context {
            now: Millis::from_js(js_sys::Date::now()),
            master: MasterKey::parse(&secret(&self.env, "SLUICE_MASTER_KEY").unwrap_or_default()),
            nonce,
            env: &|name| secret(&self.env, name).is_some(),
        };
        operator::handle(&sql, request, &context)
    }

    fn sql(&self) -> Result<ObjectSql, Error> {
        let sql = ObjectSql::new(&self.state.storage());
        if !self.migrated.get() {
            operator::migrate(&sql)?;
            self.migrated.set(true);
        }
        Ok(sql)
    }

    /// True once every copy is written.
    async fn drain(&self) -> bool {
        let drained = match self.sql() {
            Ok(sql) => self.outbox.drain(&sql, &self.env).await.map_err(|why| Error::store("key-value store", why)),
            Err(error) => Err(error),
        };
        drained.unwrap_or_else(|error| {
            log(&error);
            false
        })
    }
}
