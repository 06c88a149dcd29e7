//! [`Sql`] over the storage of a Durable Object.
//!
//! `SqlCursor::one` is never used: on no rows it throws past the wasm and its caller hangs.

use serde_json::Value;
use worker::{SqlStorage, SqlStorageValue};

use crate::ports::{Param, Row, Sql, SqlError};

/// The storage of the object that this runs in.
pub struct ObjectSql(SqlStorage);

impl ObjectSql {
    /// Over that storage.
    pub fn new(sql: SqlStorage) -> Self {
        Self(sql)
    }
}

impl Sql for ObjectSql {
    fn run(&self, statement: &str, params: &[Param]) -> Result<Vec<Row>, SqlError> {
        let bindings: Vec<SqlStorageValue> = params.iter().map(value).collect();
        let cursor = self.0.exec(statement, Some(bindings)).map_err(|error| SqlError(error.to_string()))?;
        let rows: Vec<Value> = cursor.to_array().map_err(|error| SqlError(error.to_string()))?;
        Ok(rows.into_iter().filter_map(|row| if let Value::Object(row) = row { Some(row) } else { None }).collect())
    }
}

/// Numbers cross as f64: the crate refuses integers beyond 2^53, and nothing here stores such.
fn value(param: &Param) -> SqlStorageValue {
    match param {
        Param::Null => SqlStorageValue::Null,
        Param::Text(text) => SqlStorageValue::String(text.clone()),
        Param::Integer(number) => SqlStorageValue::Integer(*number),
        Param::Real(number) => SqlStorageValue::Float(*number),
    }
}
