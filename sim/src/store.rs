//! The databases: SQLite in memory natively, and whatever the host gives where it is wasm
//! (`node:sqlite` in scripts/sim/wasm.mjs). A number that the platform would not keep whole is noted.

use std::cell::Cell;

use serde_json::Value;
use sluice::ports::{Param, Row, Sql, SqlError};

/// A database in memory.
pub struct Store {
    inner: inner::Inner,
    /// A number beyond 2^53 was bound or read: the platform would have changed it.
    pub lossy: Cell<bool>,
}

impl Store {
    /// An empty one.
    pub fn new() -> Self {
        Self { inner: inner::Inner::new(), lossy: Cell::new(false) }
    }

    /// Runs a script of several statements.
    pub fn script(&self, text: &str) {
        self.inner.script(text);
    }

    /// One number of the first row.
    pub fn number(&self, statement: &str, params: &[Param]) -> i64 {
        let rows = self.run(statement, params).unwrap_or_default();
        rows.first().and_then(|row| row.values().next()?.as_i64()).unwrap_or(0)
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Sql for Store {
    fn run(&self, statement: &str, params: &[Param]) -> Result<Vec<Row>, SqlError> {
        let big = |n: i64| n.unsigned_abs() > 1 << 53;
        if params.iter().any(|param| matches!(param, Param::Integer(n) if big(*n))) {
            self.lossy.set(true);
        }
        let rows = self.inner.run(statement, params)?;
        if rows.iter().flat_map(|row| row.values()).any(|cell: &Value| cell.as_i64().is_some_and(big)) {
            self.lossy.set(true);
        }
        Ok(rows)
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod inner {
    use rusqlite::{Connection, params_from_iter, types::ValueRef};
    use serde_json::Value;
    use sluice::ports::{Param, Row, SqlError};

    pub struct Inner(Connection);

    impl Inner {
        pub fn new() -> Self {
            let connection = Connection::open_in_memory().expect("SQLite opens a database in memory");
            connection.set_prepared_statement_cache_capacity(200);
            Self(connection)
        }

        pub fn script(&self, text: &str) {
            self.0.execute_batch(text).expect("the script is right");
        }

        pub fn run(&self, statement: &str, params: &[Param]) -> Result<Vec<Row>, SqlError> {
            let failed = |error: rusqlite::Error| SqlError(error.to_string());
            let mut prepared = self.0.prepare_cached(statement).map_err(failed)?;
            let names: Vec<String> = prepared.column_names().into_iter().map(str::to_owned).collect();
            let params = params.iter().map(|param| match param {
                Param::Null => rusqlite::types::Value::Null,
                Param::Text(text) => text.clone().into(),
                Param::Integer(number) => (*number).into(),
                Param::Real(number) => (*number).into(),
            });
            let mut rows = prepared.query(params_from_iter(params)).map_err(failed)?;
            let mut all = Vec::new();
            while let Some(row) = rows.next().map_err(failed)? {
                let cell = |at: usize| match row.get_ref_unwrap(at) {
                    ValueRef::Null | ValueRef::Blob(_) => Value::Null,
                    ValueRef::Integer(number) => number.into(),
                    ValueRef::Real(number) => number.into(),
                    ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
                };
                all.push(names.iter().enumerate().map(|(at, name)| (name.clone(), cell(at))).collect());
            }
            Ok(all)
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod inner {
    use serde_json::Value;
    use sluice::ports::{Param, Row, SqlError};
    use wasm_bindgen::prelude::wasm_bindgen;

    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(js_namespace = simHost)]
        fn open() -> u32;
        #[wasm_bindgen(js_namespace = simHost)]
        fn close(database: u32);
        #[wasm_bindgen(js_namespace = simHost)]
        fn script(database: u32, text: &str);
        #[wasm_bindgen(js_namespace = simHost)]
        fn run(database: u32, statement: &str, params: &str) -> String;
    }

    pub struct Inner(u32);

    impl Inner {
        pub fn new() -> Self {
            Self(open())
        }

        pub fn script(&self, text: &str) {
            script(self.0, text);
        }

        /// The host answers `{"rows":[...]}` or `{"error":"..."}`.
        pub fn run(&self, statement: &str, params: &[Param]) -> Result<Vec<Row>, SqlError> {
            let params: Vec<Value> = params
                .iter()
                .map(|param| match param {
                    Param::Null => Value::Null,
                    Param::Text(text) => text.clone().into(),
                    Param::Integer(number) => (*number).into(),
                    Param::Real(number) => (*number).into(),
                })
                .collect();
            let answer = run(self.0, statement, &Value::from(params).to_string());
            let answer: Value = serde_json::from_str(&answer).map_err(|error| SqlError(error.to_string()))?;
            match answer.get("rows").and_then(Value::as_array) {
                Some(rows) => Ok(rows.iter().filter_map(|row| row.as_object().cloned()).collect()),
                None => Err(SqlError(answer.to_string())),
            }
        }
    }

    impl Drop for Inner {
        fn drop(&mut self) {
            close(self.0);
        }
    }
}
