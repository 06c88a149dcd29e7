//! Amazon's embedding models on Bedrock (`InvokeModel`): `amazon.titan-embed-text-v1`,
//! `amazon.titan-embed-g1-text-02`, `amazon.titan-embed-text-v2:0` and `amazon.titan-embed-image-v1`.
//!
//! Source: `docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html` and
//! `model-parameters-titan-embed-mm.html`, as of November 2026.
//!
//! - One input a request: `{"inputText"}`, of the image model also `{"inputImage"}` in base64.
//! - The length of the vector: `dimensions` (text, version 2), `embeddingConfig.outputEmbeddingLength`
//!   (images); the first generation has one length only.
//! - The answer: `{"embedding", "inputTextTokenCount"}`.

use serde_json::{Map, Number, Value, json};

use super::bedrock_converse;
use crate::{
    chat::{
        EmbedContent, EmbedInput, EmbedRequest, Embeddings, Losses, Media, MediaKind, MediaSource, PartKind,
        ProviderError,
    },
    error::Result,
};

/// Writes a request.
pub fn encode_embed(request: &EmbedRequest, model: &str) -> Result<Value> {
    let [only] = request.inputs.as_slice() else {
        return Err(Losses::refuse("input", "This model embeds one input in a request."));
    };
    let images = model.contains("embed-image");
    let mut body = Map::new();
    write(only, images, &mut body)?;
    match request.dimensions {
        None => {}
        Some(dimensions) if images => {
            body.insert("embeddingConfig".to_owned(), json!({ "outputEmbeddingLength": dimensions }));
        }
        Some(dimensions) if model.contains("text-v2") => {
            body.insert("dimensions".to_owned(), dimensions.into());
        }
        Some(_) => return Err(Losses::refuse("dimensions", "This model has vectors of one length only.")),
    }
    Ok(Value::Object(body))
}

fn write(input: &EmbedInput, images: bool, body: &mut Map<String, Value>) -> Result<()> {
    let refuse = |why: &str| Err(Losses::refuse("input[0]", why));
    let EmbedContent::Parts(parts) = &input.content else {
        return refuse("This provider embeds text, not the numbers of tokens.");
    };
    let mut words = String::new();
    for part in parts {
        match &part.kind {
            PartKind::Text { text, .. } => words.push_str(text),
            PartKind::Media(Media { kind: MediaKind::Image, source: MediaSource::Base64(data), .. })
                if images && !body.contains_key("inputImage") =>
            {
                body.insert("inputImage".to_owned(), data.as_str().into());
            }
            _ => return refuse("This model does not embed this kind of content."),
        }
    }
    if !words.is_empty() || body.is_empty() {
        body.insert("inputText".to_owned(), words.into());
    }
    Ok(())
}

/// Reads an answer.
pub fn decode_embeddings(body: &Value) -> Result<Embeddings, ProviderError> {
    let number = |value: &Value| match value {
        Value::Number(number) => Some(number.clone()),
        _ => None,
    };
    let vector = body.get("embedding").and_then(Value::as_array);
    let vector: Option<Vec<Number>> = vector.and_then(|vector| vector.iter().map(number).collect());
    match vector {
        Some(vector) => {
            let tokens = body.get("inputTextTokenCount").and_then(Value::as_u64);
            Ok(Embeddings { vectors: vec![vector], tokens })
        }
        None => Err(bedrock_converse::read_error(200, body.to_string().as_bytes())),
    }
}
