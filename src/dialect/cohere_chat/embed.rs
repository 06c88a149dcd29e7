//! Embeddings (`POST /v2/embed`).

use serde_json::{Value, json};

use super::error::from_value;
use crate::{
    chat::{EmbedContent, EmbedInput, Losses, Media, MediaKind, MediaSource, PartKind, ProviderError},
    dialect::fields::{count, object},
    error::Result as Checked,
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

/// The same, of texts and pictures together (`inputs`, from embed-v4 on): a vector for each of these.
pub fn encode_mixed(inputs: &[EmbedInput], model: &str, input_type: &str, dimensions: Option<u64>) -> Checked<Value> {
    let written = inputs.iter().enumerate().map(|(index, input)| mixed(input, &format!("input[{index}]")));
    Ok(object([
        ("model", Some(model.into())),
        ("inputs", Some(Value::Array(written.collect::<Checked<_>>()?))),
        ("input_type", Some(input_type.into())),
        ("embedding_types", Some(json!(["float"]))),
        ("output_dimension", dimensions.map(Value::from)),
    ]))
}

fn mixed(input: &EmbedInput, at: &str) -> Checked<Value> {
    let EmbedContent::Parts(parts) = &input.content else {
        return Err(Losses::refuse(at, "This provider embeds text, not the numbers of tokens."));
    };
    let mut content = Vec::with_capacity(parts.len());
    for part in parts {
        content.push(match &part.kind {
            PartKind::Text { text, .. } => json!({ "type": "text", "text": text }),
            PartKind::Media(Media { kind: MediaKind::Image, mime, source: MediaSource::Base64(data), .. }) => {
                let url = format!("data:{};base64,{data}", mime.as_deref().unwrap_or("image/png"));
                json!({ "type": "image_url", "image_url": { "url": url } })
            }
            PartKind::Media(Media { kind: MediaKind::Image, .. }) => {
                return Err(Losses::refuse(
                    at,
                    "This provider embeds pictures that are sent along (data: URLs) alone.",
                ));
            }
            _ => return Err(Losses::refuse(at, "This kind of content cannot be embedded here.")),
        });
    }
    Ok(json!({ "content": content }))
}

/// Reads an answer.
pub fn decode_embeddings(body: &Value) -> Result<Embeddings, ProviderError> {
    let vector = |value: &Value| value.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
    // By type: the one that was asked for, else whatever numbers there are.
    let vectors = match body.get("embeddings") {
        Some(Value::Object(types)) => types.get("float").or_else(|| types.values().next()).and_then(Value::as_array),
        // Version 1, and Bedrock, where no type was asked for.
        Some(Value::Array(vectors)) => Some(vectors),
        _ => None,
    };
    let vectors: Option<Vec<_>> = vectors.and_then(|all| all.iter().map(vector).collect());
    let billed = body.pointer("/meta/billed_units");
    let tokens = billed.and_then(|units| Some(count(units, "input_tokens")? + count(units, "image_tokens")?));
    let id = body.get("id").and_then(Value::as_str).map(str::to_owned);
    vectors.map(|vectors| Embeddings { id, vectors, tokens }).ok_or_else(|| from_value(body))
}
