//! Ranking (`POST /v2/rerank`).

use serde_json::{Value, json};

use super::error::from_value;
use crate::{
    chat::ProviderError,
    dialect::fields::{count, object},
};

/// How well texts answer a question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranking {
    /// The provider's name of the answer.
    pub id: Option<String>,
    /// Which text, and its relevance from 0 to 1; the best first.
    pub results: Vec<(u64, f64)>,
    /// Searches that are charged: one for up to 100 texts.
    pub searches: Option<u64>,
}

/// Writes a request.
pub fn encode_rerank(query: &str, documents: &[String], model: &str, top_n: Option<u64>) -> Value {
    object([
        ("model", Some(model.into())),
        ("query", Some(query.into())),
        ("documents", Some(json!(documents))),
        ("top_n", top_n.map(Value::from)),
    ])
}

/// Reads an answer.
pub fn decode_ranking(body: &Value) -> Result<Ranking, ProviderError> {
    let result = |value: &Value| Some((value.get("index")?.as_u64()?, value.get("relevance_score")?.as_f64()?));
    let results = body.get("results").and_then(Value::as_array);
    let results: Option<Vec<_>> = results.and_then(|all| all.iter().map(result).collect());
    let searches = body.pointer("/meta/billed_units").and_then(|units| count(units, "search_units"));
    let id = body.get("id").and_then(Value::as_str).map(str::to_owned);
    results.map(|results| Ranking { id, results, searches }).ok_or_else(|| from_value(body))
}
