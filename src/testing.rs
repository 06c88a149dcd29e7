//! For tests: the [`Sql`] port over SQLite in memory, with the limits of the real one (no integer
//! beyond 2^53 comes back whole).

use rusqlite::{Connection, params_from_iter, types::ValueRef};
use serde_json::Value;

use crate::ports::{Param, Row, Sql, SqlError, Statement};

/// A database in memory.
pub(crate) struct Memory(Connection);

impl Memory {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(Connection::open_in_memory().unwrap())
    }

    /// Runs a script of several statements.
    pub(crate) fn script(&self, text: &str) {
        self.0.execute_batch(text).unwrap();
    }

    /// Runs statements as D1 does: all or none.
    pub(crate) fn batch(&self, statements: &[Statement]) -> Result<(), SqlError> {
        self.script("BEGIN");
        for statement in statements {
            if let Err(error) = self.run(&statement.sql, &statement.params) {
                self.script("ROLLBACK");
                return Err(error);
            }
        }
        self.script("COMMIT");
        Ok(())
    }
}

impl Sql for Memory {
    fn run(&self, statement: &str, params: &[Param]) -> Result<Vec<Row>, SqlError> {
        let failed = |error: rusqlite::Error| SqlError(error.to_string());
        let mut prepared = self.0.prepare(statement).map_err(failed)?;
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
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => {
                    assert!(number.unsigned_abs() <= 1 << 53, "{number} would not survive the platform");
                    number.into()
                }
                ValueRef::Real(number) => number.into(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
                ValueRef::Blob(_) => panic!("nothing stores blobs"),
            };
            all.push(names.iter().enumerate().map(|(at, name)| (name.clone(), cell(at))).collect());
        }
        Ok(all)
    }
}
