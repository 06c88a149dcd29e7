//! The two SQL stores: a Durable Object's own SQLite (synchronous, [`Sql`]) and D1.
//!
//! Values cross as JavaScript numbers, so whole numbers beyond 2^53 must not be stored; `BigInt` is
//! refused by both. Every call that may throw is bound with `catch`: an exception that escapes an
//! import would leave its caller hanging.

use js_sys::{Array, JsString, Object, Uint8Array};
use serde_json::Value;
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use worker::{Env, SqlStorage};

use crate::{
    error::{Error, Result},
    ports::{Param, Row, Sql, SqlError, Statement},
};

#[wasm_bindgen]
extern "C" {
    type Storage;
    type Cursor;
    type TextEncoder;

    #[wasm_bindgen(constructor)]
    fn new() -> TextEncoder;

    #[wasm_bindgen(method)]
    fn encode(this: &TextEncoder, text: &JsString) -> Uint8Array;

    #[wasm_bindgen(structural, method, catch, variadic)]
    fn exec(this: &Storage, query: &str, bindings: &Array) -> Result<Cursor, JsValue>;

    #[wasm_bindgen(structural, method, catch, js_name = toArray)]
    fn to_array(this: &Cursor) -> Result<JsValue, JsValue>;
}

/// The largest whole number that JavaScript holds exactly.
const MOST: f64 = 9_007_199_254_740_991.0;

/// The SQLite database of the Durable Object that runs.
pub struct ObjectSql(SqlStorage);

impl ObjectSql {
    /// From the object's storage.
    pub fn new(storage: &worker::Storage) -> Self {
        Self(storage.sql())
    }
}

impl Sql for ObjectSql {
    fn run(&self, statement: &str, params: &[Param]) -> Result<Vec<Row>, SqlError> {
        let storage: &Storage = self.0.as_ref().unchecked_ref();
        let bindings: Array = params.iter().map(to_js).collect();
        let rows = storage.exec(statement, &bindings).and_then(|cursor| cursor.to_array()).map_err(thrown)?;
        Ok(Array::from(&rows).iter().map(|row| from_js(&row)).collect())
    }
}

fn from_js(row: &JsValue) -> Row {
    let entries = Object::entries(row.unchecked_ref());
    entries
        .iter()
        .filter_map(|entry| {
            let entry: Array = entry.unchecked_into();
            let value = entry.get(1);
            let value = match value.as_f64() {
                // Whole numbers arrive as floats, too.
                #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
                Some(number) if number.fract() == 0.0 && number.abs() <= MOST => Value::from(number as i64),
                Some(number) => Value::from(number),
                None => text_of(&value).map_or(Value::Null, Value::from),
            };
            Some((entry.get(0).as_string()?, value))
        })
        .collect()
}

/// Runs statements on D1 as one atomic batch, and gives the rows of each.
pub async fn run_on_d1(env: &Env, statements: &[Statement]) -> Result<Vec<Vec<Row>>> {
    let failed = |error: worker::Error| Error::store("usage records", error.to_string());
    let database = env.d1("DB").map_err(failed)?;
    let mut prepared = Vec::with_capacity(statements.len());
    for Statement { sql, params } in statements {
        let values: Vec<JsValue> = params.iter().map(to_js).collect();
        prepared.push(database.prepare(sql.as_str()).bind(&values).map_err(failed)?);
    }
    let results = database.batch(prepared).await.map_err(failed)?;
    results.iter().map(|result| result.results::<Row>().map_err(failed)).collect()
}

/// The text a value is. Long ones cross as bytes: the usual way goes character by character.
pub fn text_of(value: &JsValue) -> Option<String> {
    let text: &JsString = value.dyn_ref()?;
    if text.length() < 512 {
        return value.as_string();
    }
    String::from_utf8(TextEncoder::new().encode(text).to_vec()).ok()
}

#[expect(clippy::cast_precision_loss, reason = "nothing beyond 2^53 is stored")]
fn to_js(param: &Param) -> JsValue {
    match param {
        Param::Null => JsValue::NULL,
        Param::Text(text) => JsValue::from_str(text),
        Param::Integer(number) => JsValue::from_f64(*number as f64),
        Param::Real(number) => JsValue::from_f64(*number),
    }
}

fn thrown(value: JsValue) -> SqlError {
    SqlError(worker::Error::from(value).to_string())
}
