//! For tests: an account as its object has it, over SQLite in memory, with an administrator who asks and
//! an isolate that spends.

use std::cell::Cell;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use super::{Context, commit, handle, key_usage::add_usage, migrate, projection};
use crate::{
    auth::{KeyHash, KeyRecord, VirtualKey, kv_key},
    budget::{
        AccountRef, book,
        wire::{Ask, Total, Want},
    },
    catalog::credential::MasterKey,
    error::Result,
    metering::{CommitRequest, KeyUsage},
    money::NanoUsd,
    ports::{AdminRequest, Command, Reply, Sql},
    testing::Memory,
    time::Millis,
};

pub(super) const NOON: &str = "2026-11-20T12:00:00Z";

pub(super) struct Account {
    pub(super) sql: Memory,
    pub(super) now: Millis,
    made: Cell<u8>,
}

impl Account {
    pub(super) fn new() -> Self {
        let sql = Memory::new();
        for _ in 0..2 {
            migrate(&sql).unwrap();
        }
        Self { sql, now: Millis::parse_iso(NOON).unwrap(), made: Cell::new(0) }
    }

    pub(super) fn actor() -> KeyHash {
        VirtualKey::generate(&[255; 48]).hash()
    }

    /// Other randomness at each call.
    pub(super) fn context(&self) -> Context {
        self.made.set(self.made.get() + 1);
        let n = self.made.get();
        Context {
            now: self.now,
            random: [n; 48],
            id: [n; 12],
            secret_nonce: [n; 12],
            receipt_nonce: [n + 100; 12],
            master: MasterKey::parse(&BASE64.encode([7; 32])),
        }
    }

    pub(super) fn command(method: &str, target: &str, body: Value, idempotency_key: Option<&str>) -> Command {
        Self::command_of(Self::actor(), method, target, body, idempotency_key)
    }

    fn command_of(actor: KeyHash, method: &str, target: &str, body: Value, idempotency_key: Option<&str>) -> Command {
        let (path, search) = target.split_once('?').unwrap_or((target, ""));
        let pairs = search.split('&').filter_map(|pair| pair.split_once('='));
        Command {
            request: AdminRequest {
                method: method.to_owned(),
                path: path.to_owned(),
                query: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
                body: (!body.is_null()).then_some(body),
                actor,
            },
            idempotency_key: idempotency_key.map(str::to_owned),
        }
    }

    pub(super) fn send(&self, command: &Command) -> Result<Reply> {
        handle(&self.sql, command, &self.context())
    }

    /// Status and body of an answer.
    pub(super) fn status(&self, method: &str, target: &str, body: Value) -> Result<(u16, Value)> {
        self.send(&Self::command(method, target, body, None)).map(|reply| (reply.answer.status, reply.answer.body))
    }

    /// Its body.
    pub(super) fn ask(&self, method: &str, target: &str, body: Value) -> Result<Value> {
        Ok(self.status(method, target, body)?.1)
    }

    /// `data` of its body.
    pub(super) fn data(&self, method: &str, target: &str, body: Value) -> Value {
        self.ask(method, target, body).unwrap()["data"].clone()
    }

    pub(super) fn get(&self, target: &str) -> Value {
        self.data("GET", target, Value::Null)
    }

    /// Status and field of a refusal.
    pub(super) fn refused(&self, method: &str, target: &str, body: Value) -> (u16, Option<String>) {
        let error = self.ask(method, target, body).unwrap_err();
        (error.status(), error.param)
    }

    /// What a key is told about itself.
    pub(super) fn own(&self, hash: &KeyHash) -> Value {
        let command = Self::command_of(hash.clone(), "GET", "/key", Value::Null, None);
        self.send(&command).unwrap().answer.body["data"].clone()
    }

    pub(super) fn create(&self, body: Value) -> KeyHash {
        hash_in(&self.data("POST", "/keys", body))
    }

    /// The copy of a key that waits for KV.
    pub(super) fn copy(&self, hash: &KeyHash) -> Option<KeyRecord> {
        let writes = projection::pending(&self.sql, 100).unwrap();
        let write = writes.into_iter().find(|write| write.key == kv_key(hash)).expect("a copy waits");
        write.value.map(|value| serde_json::from_str(&value).unwrap())
    }

    /// What the change feed names since a revision.
    pub(super) fn feed(&self, since: u64) -> Vec<String> {
        let rows = self
            .sql
            .run("SELECT hash FROM key_changes WHERE revision > ?1 ORDER BY revision", &[since.cast_signed().into()]);
        rows.unwrap().iter().map(|row| row["hash"].as_str().unwrap().to_owned()).collect()
    }

    /// Usage of a key as its figures count it.
    pub(super) fn used(&self, hash: &KeyHash, usd: f64, at: Millis) {
        let nano = NanoUsd::from_usd(usd).unwrap();
        let (workspace, provider) = ("default".to_owned(), "p".to_owned());
        let usage = KeyUsage { hash: hash.clone(), workspace, provider, nano, provider_nano: nano, requests: 1, at };
        add_usage(&self.sql, &[usage]).unwrap();
    }

    /// An isolate takes `hold` of the first meter of an account and uses `spend` of it.
    pub(super) fn spend(&self, session: &str, account: &str, hold: i64, spend: i64) {
        let seen = CommitRequest { session: session.to_owned(), seq: 1, ..CommitRequest::default() };
        commit::commit(&self.sql, &seen, self.now).unwrap();
        let accounts: Vec<AccountRef> = vec![account.parse().unwrap()];
        let told = book::tell(&self.sql, session, &Ask { accounts, ..Ask::default() }, self.now).unwrap();
        let view = &told.meters[0];
        let want = Want { meter: view.id, window: view.window, base: 0, need: hold, more: hold, rest: false };
        let told = book::tell(&self.sql, session, &Ask { wants: vec![want], ..Ask::default() }, self.now).unwrap();
        assert_eq!(told.meters[0].granted, hold);
        let total = Total { meter: view.id, window: told.meters[0].window, used: spend, returned: 0 };
        book::report(&self.sql, session, &[total], self.now).unwrap();
    }
}

/// The hash in a row of `/keys`.
pub(super) fn hash_in(row: &Value) -> KeyHash {
    KeyHash::parse(row["hash"].as_str().unwrap()).unwrap()
}

/// Some members of a row.
pub(super) fn some(row: &Value, names: &[&str]) -> Value {
    names.iter().map(|name| ((*name).to_owned(), row[*name].clone())).collect::<serde_json::Map<_, _>>().into()
}

/// An account in a body.
pub(super) fn of(kind: &str, id: &str) -> Value {
    json!({ "kind": kind, "id": id })
}
