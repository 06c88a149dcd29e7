//! Embeddings (`POST /v2/embed`).

use serde_json::{Value, json};

use super::error::from_value;
use crate::{
    chat::ProviderError,
    dialect::fields::{count, object},
};

/// What texts became.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    /// The provider's name of the answer.
    pub id: Option<String>,
    /// One vector a text, in their order.
    pub vectors: Vec<Vec<f64>>,
    /// Tokens that are charged; `None` where the provider does not say, or nothing that can be meant.
    pub tokens: Option<u64>,
}

/// Writes a request. `input_type` is what the vectors are for (`search_document`, `search_query`,
/// `classification`, `clustering`); Cohere wants one.
pub fn encode_embed(texts: &[String], model: &str, input_type: &str, dimensions: Option<u64>) -> Value {
    object([
        ("model", Some(model.into())),
        ("texts", Some(json!(texts))),
        ("input_type", Some(input_type.into())),
        ("embedding_types", Some(json!(["float"]))),
        ("output_dimension", dimensions.map(Value::from)),
    ])
}

/// Reads an answer.
pub fn decode_embeddings(body: &Value) -> Result<Embeddings, ProviderError> {
    let vector = |value: &Value| value.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
    // By type: the one that was asked for, else whatever numbers there are.
    let by_type = body.get("embeddings").and_then(Value::as_object);
    let vectors = by_type.and_then(|types| types.get("float").or_else(|| types.values().next()));
    let vectors = vectors.and_then(Value::as_array);
    let vectors: Option<Vec<_>> = vectors.and_then(|all| all.iter().map(vector).collect());
    let billed = body.pointer("/meta/billed_units");
    let tokens = billed.and_then(|units| Some(count(units, "input_tokens")? + count(units, "image_tokens")?));
    let id = body.get("id").and_then(Value::as_str).map(str::to_owned);
    vectors.map(|vectors| Embeddings { id, vectors, tokens }).ok_or_else(|| from_value(body))
}
