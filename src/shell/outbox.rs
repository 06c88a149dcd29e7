//! Writes an object's waiting copies to KV (account/projection.rs says why there are such).

use futures::{future::join_all, lock::Mutex};
use worker::{Env, KvStore};

use crate::{
    account::projection,
    ports::{KvWrite, Sql},
};

/// KV takes six writes of a request at a time anyway; more only wait.
const AT_A_TIME: u32 = 6;
/// What one request writes out; a request may call other services a thousand times at most.
const ROUNDS: usize = 80;

/// One object's drain. It is the object's only writer, so that of two copies of a key the newer is
/// written last.
#[derive(Default)]
pub struct Outbox(Mutex<()>);

impl Outbox {
    /// Writes what waits. True once nothing does; what fails or is too much is for the next alarm.
    pub async fn drain(&self, sql: &dyn Sql, env: &Env) -> Result<bool, String> {
        let _only_one = self.0.lock().await;
        let kv = env.kv("KV").map_err(|error| error.to_string())?;
        for _ in 0..ROUNDS {
            let writes = projection::pending(sql, AT_A_TIME).map_err(|error| error.0)?;
            if writes.is_empty() {
                return Ok(true);
            }
            let results = join_all(writes.iter().map(|write| put(&kv, write))).await;
            for (write, result) in writes.iter().zip(results) {
                result?;
                projection::done(sql, write).map_err(|error| error.0)?;
            }
        }
        projection::waiting(sql).map(|waiting| waiting == 0).map_err(|error| error.0)
    }
}

async fn put(kv: &KvStore, write: &KvWrite) -> Result<(), String> {
    let done = match &write.value {
        Some(value) => match kv.put(&write.key, value.as_str()) {
            Ok(put) => put.execute().await,
            Err(error) => Err(error),
        },
        None => kv.delete(&write.key).await,
    };
    done.map_err(|error| format!("KV {}: {error}", write.key))
}
