//! `models/{model}:countTokens`: a request like any other, plain (Vertex, and SDKs) or wrapped in
//! `generateContentRequest` (AI Studio takes tools and a system prompt only so), and a number.

use serde_json::{Map, Value, json};

use super::{
    error,
    request::{decode_request, encode_request},
    wire::named,
};
use crate::{
    chat::{ProviderError, Request},
    dialect::{Encoded, Target},
    error::{Error, Result},
};

/// How many tokens a request has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All of them.
    pub total: u64,
    /// Of them: in the provider's cache.
    pub cached: u64,
}

/// The request whose tokens are to be counted.
pub fn decode_count_request(body: Value) -> Result<Request> {
    let Value::Object(body) = body else {
        return Err(Error::invalid("contents", "The body must be a JSON object with `contents`."));
    };
    let mut body = named(body);
    match body.shift_remove("generateContentRequest") {
        Some(request) => decode_request(request),
        None => decode_request(Value::Object(body)),
    }
}

/// The question to a provider. Quirk `count_plain`: it takes the request as it is, not wrapped (Vertex).
pub fn encode_count_request(request: &Request, target: &Target<'_>) -> Result<Encoded> {
    let mut encoded = encode_request(request, target)?;
    if !target.quirks.iter().any(|quirk| quirk == "count_plain") {
        let mut inner = Map::new();
        inner.insert("model".to_owned(), format!("models/{}", target.model).into());
        if let Value::Object(body) = encoded.body {
            inner.extend(body);
        }
        encoded.body = json!({ "generateContentRequest": inner });
    }
    Ok(encoded)
}

/// The provider's answer to it.
pub fn decode_count(body: &Value) -> Result<Count, ProviderError> {
    let count = |name: &str| body.get(name).and_then(Value::as_u64);
    // Nothing to count is zero, and proto JSON leaves zero out.
    let nothing =
        || body.as_object().is_some_and(|body| !body.contains_key("error") && !body.contains_key("totalTokens"));
    let total = count("totalTokens").or_else(|| nothing().then_some(0));
    let total = total.ok_or_else(|| error::from_value(body, None))?;
    Ok(Count { total, cached: count("cachedContentTokenCount").unwrap_or(0) })
}

/// The answer as a client of this format reads it.
pub fn encode_count(count: &Count) -> Value {
    let Count { total, cached } = count;
    let mut body = Map::new();
    body.insert("totalTokens".to_owned(), (*total).into());
    if *cached > 0 {
        body.insert("cachedContentTokenCount".to_owned(), (*cached).into());
    }
    Value::Object(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::testing::records;

    #[test]
    fn recorded_counts_survive() {
        let mut count = 0;
        for record in records("gemini.countTokens") {
            let plain = vec!["count_plain".to_owned()];
            let wrapped = record.request.get("generateContentRequest").is_some();
            let quirks = if wrapped { &[][..] } else { &plain };
            let request = decode_count_request(record.request.clone()).unwrap();
            let target = Target { model: "gemini-3.5-flash", quirks, longest: None, model_longest: None };
            let body = encode_count_request(&request, &target).unwrap().body;
            let at = |pointer: &str| {
                let pointer = if wrapped { format!("/generateContentRequest{pointer}") } else { pointer.to_owned() };
                (body.pointer(&pointer).cloned(), record.request.pointer(&pointer).cloned())
            };
            for pointer in ["/model", "/contents", "/systemInstruction/parts", "/tools/0/functionDeclarations/0/name"] {
                let (written, given) = at(pointer);
                assert_eq!(written, given, "{}: {pointer}", record.name);
            }
            let answer = record.body.as_ref().unwrap();
            if record.status == 200 {
                let read = decode_count(answer).unwrap();
                assert_eq!(encode_count(&read)["totalTokens"], answer["totalTokens"], "{}", record.name);
            } else {
                assert!(decode_count(answer).unwrap_err().message.is_some(), "{}", record.name);
            }
            count += 1;
        }
        println!("{count} counts of tokens are the same after they were read and written");
        assert_eq!(decode_count(&json!({})), Ok(Count::default()));
        assert!(decode_count(&json!({"totalTokens": -1})).is_err());
    }
}
