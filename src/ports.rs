//! What the core asks of the outside: traits and plain values. `shell` implements them over the
//! platform, tests over fakes (SQLite natively).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::auth::KeyHash;

/// A row, by column name. Integers above 2^53 do not survive the platform; nothing stores such.
pub type Row = Map<String, Value>;

/// A bound parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// `NULL`
    Null,
    /// Text
    Text(String),
    /// A whole number within ±2^53
    Integer(i64),
    /// A number
    Real(f64),
}

/// A synchronous SQLite database: the storage of one Durable Object. Statements of one call into the
/// object are one atomic write; what was written before an error stays, so check first, write then.
pub trait Sql {
    /// Runs one statement and gives all of its rows.
    fn run(&self, statement: &str, params: &[Param]) -> Result<Vec<Row>, SqlError>;
}

/// A statement for a database that is asked asynchronously (D1). Those of one batch are atomic.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// SQL with `?1`, `?2`, ...
    pub sql: String,
    /// What to bind.
    pub params: Vec<Param>,
}

impl Statement {
    /// A statement.
    pub fn new(sql: impl Into<String>, params: Vec<Param>) -> Self {
        Self { sql: sql.into(), params }
    }
}

/// A whole number of a row; absent and `NULL` are 0.
pub fn int(row: &Row, column: &str) -> i64 {
    row.get(column).and_then(Value::as_i64).unwrap_or_default()
}

/// A text of a row; absent and `NULL` are empty.
pub fn text<'r>(row: &'r Row, column: &str) -> &'r str {
    row.get(column).and_then(Value::as_str).unwrap_or_default()
}

/// Why a statement failed: for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError(pub String);

impl From<&str> for Param {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<String> for Param {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
impl From<i64> for Param {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}
impl From<f64> for Param {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}
impl From<bool> for Param {
    fn from(truth: bool) -> Self {
        Self::Integer(i64::from(truth))
    }
}
impl<T: Into<Param>> From<Option<T>> for Param {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<SqlError> for crate::error::Error {
    fn from(error: SqlError) -> Self {
        Self::store("database", error.0)
    }
}

/// A management request as it travels to the object that answers it. The caller was authorised before.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdminRequest {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Path below the base URL, decoded: `/keys/abc`.
    pub path: String,
    /// Query parameters, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The JSON body, if there is one.
    pub body: Option<Value>,
    /// Who asks.
    pub actor: KeyHash,
}

/// Its answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdminResponse {
    /// HTTP status.
    pub status: u16,
    /// JSON body.
    pub body: Value,
}

/// A management request on its way to the `Account` object, with what only that one reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Command {
    /// The request.
    #[serde(flatten)]
    pub request: AdminRequest,
    /// The header `Idempotency-Key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// Its answer, with what goes into headers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// The answer.
    #[serde(flatten)]
    pub answer: AdminResponse,
    /// The type of a body that is no JSON; the body is then a string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// This is what an earlier request with the same idempotency key was answered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

impl From<AdminResponse> for Reply {
    fn from(answer: AdminResponse) -> Self {
        Self { answer, content_type: None, replayed: false }
    }
}

/// A change of the distributed copies in KV.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvWrite {
    /// Its key.
    pub key: String,
    /// The new value; `None` deletes.
    pub value: Option<String>,
}
