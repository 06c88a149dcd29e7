//! Embeddings (`POST /api/embed`; the older `/api/embeddings` answers with one vector).

use serde_json::{Value, json};

use super::error::from_value;
use crate::{
    chat::ProviderError,
    dialect::fields::{count, object},
};

/// What texts became.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    /// The model, as the server names it.
    pub model: Option<String>,
    /// One vector a text, in their order.
    pub vectors: Vec<Vec<f64>>,
    /// Tokens of the texts; `None` where the server does not say, or nothing that can be meant.
    pub tokens: Option<u64>,
}

/// Writes a request.
pub fn encode_embed(texts: &[String], model: &str, dimensions: Option<u64>) -> Value {
    object([("model", Some(model.into())), ("input", Some(json!(texts))), ("dimensions", dimensions.map(Value::from))])
}

/// Reads an answer.
pub fn decode_embeddings(body: &Value) -> Result<Embeddings, ProviderError> {
    let vector = |value: &Value| value.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
    let vectors: Option<Vec<_>> = match (body.get("embeddings"), body.get("embedding")) {
        (Some(all), _) => all.as_array().and_then(|all| all.iter().map(vector).collect()),
        (None, Some(one)) => vector(one).map(|one| vec![one]),
        (None, None) => None,
    };
    let tokens = body.get("prompt_eval_count").and_then(|_| count(body, "prompt_eval_count"));
    let model = body.get("model").and_then(Value::as_str).map(str::to_owned);
    vectors.map(|vectors| Embeddings { model, vectors, tokens }).ok_or_else(|| from_value(body))
}
