//! The answer: passed on with its names and its price, or made of vectors that came in another format.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Number, Value as Tree, json};

use super::Wanted;
use crate::{
    chat::{Embeddings, ProviderError},
    dialect::{
        Target,
        openai_common::error_of,
        passing::{Finish, ResponseFacts, Usage},
        shape::text,
        single::{
            Answered, Given, Read, count, edit_usage, has, in_order, malformed, name, named, priced, prompt_usage,
            provider_cost, scan_answer, tree, usage,
        },
    },
    framing::{
        edit::{Edit, ObjectEdits},
        json::{Kind, Value},
    },
};

/// Quirk: vectors come as bytes with a sign in base64, where nothing else is asked for.
const INT8: &str = "base64_int8";

/// Reads a body that came with status 200, for a client of this format.
pub fn read_answer(body: &[u8], wanted: Wanted, target: &Target<'_>, finish: &Finish) -> Read {
    let object = scan_answer(body)?;
    let data = object.get("data").map(Value::items).unwrap_or_default();
    if data.is_empty() || data.len() < wanted.vectors {
        return Err(malformed());
    }
    let mut edits = Vec::new();
    for item in &data {
        let vector = item.object().and_then(|item| item.get("embedding").copied()).ok_or_else(malformed)?;
        let numbers = match vector.kind {
            Kind::Array if wanted.base64 => {
                let numbers = vector.items().iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
                Some(numbers.ok_or_else(malformed)?)
            }
            Kind::String if has(target, INT8) && !wanted.own_format => {
                Some(vector.as_str().and_then(|text| int8(&text)).ok_or_else(malformed)?)
            }
            // Numbers as they are; and text in the format that was asked for.
            Kind::Array | Kind::String => None,
            _ => return Err(malformed()),
        };
        if let Some(numbers) = numbers {
            let text = if wanted.base64 { format!("\"{}\"", base64_of(numbers)) } else { json!(numbers).to_string() };
            edits.push(Edit { start: vector.start, end: vector.end(), text });
        }
    }
    let given = object.get("usage").map(tree).unwrap_or_default();
    let usage = Usage { provider_cost: provider_cost(&given), ..prompt_usage(counted(&given), finish) };
    let facts = ResponseFacts { upstream_id: text(&object, "id"), usage, ..ResponseFacts::default() };
    let cost = finish.cost(&facts.usage.tokens);
    let mut changed = ObjectEdits::new(&object);
    name(&mut changed, finish);
    if object.get("object").is_none() {
        changed.set("object", "\"list\"".to_owned());
    }
    edits.extend(edit_usage(
        &object,
        &mut changed,
        &counts(&facts.usage),
        &priced(cost.as_ref(), facts.usage.estimated),
    ));
    edits.extend(changed.finish());
    Ok(Answered { facts, cost, body: Given::Edits(in_order(edits)) })
}

fn counted(usage: &Tree) -> Option<u64> {
    count(usage, "prompt_tokens").or_else(|| count(usage, "total_tokens"))
}

fn counts(usage: &Usage) -> [(&'static str, Tree); 2] {
    [("prompt_tokens", usage.tokens.prompt.into()), ("total_tokens", usage.tokens.prompt.into())]
}

/// An answer made of vectors.
pub fn encode_embeddings(
    embeddings: Embeddings,
    used: &Usage,
    wanted: Wanted,
    finish: &Finish,
    priced: &Map<String, Tree>,
) -> Tree {
    let one = |(index, vector): (usize, Vec<Number>)| {
        let embedding = if wanted.base64 {
            base64_of(vector.iter().filter_map(Number::as_f64)).into()
        } else {
            Tree::Array(vector.into_iter().map(Tree::Number).collect())
        };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    };
    let data: Vec<Tree> = embeddings.vectors.into_iter().enumerate().map(one).collect();
    let mut answer = Map::new();
    answer.insert("object".to_owned(), "list".into());
    answer.extend(named(finish));
    answer.insert("data".to_owned(), data.into());
    answer.insert("usage".to_owned(), usage(&counts(used), priced));
    Tree::Object(answer)
}

/// Bytes with a sign, as numbers.
fn int8(base64: &str) -> Option<Vec<f64>> {
    let bytes = STANDARD.decode(base64).ok()?;
    Some(bytes.into_iter().map(|byte| f64::from(byte.cast_signed())).collect())
}

/// Vectors of a provider of this format, for a client of another, which has not asked for base64.
pub fn decode_embeddings(body: Tree, target: &Target<'_>) -> Result<(Option<String>, Embeddings), ProviderError> {
    let wrong = |body: &Tree| error_of(body);
    if body.get("error").is_some_and(|error| !error.is_null()) {
        return Err(wrong(&body));
    }
    let id = body.get("id").and_then(Tree::as_str).map(str::to_owned);
    let tokens = body.get("usage").and_then(counted);
    let Tree::Object(mut members) = body else { return Err(ProviderError::default()) };
    let Some(Tree::Array(data)) = members.shift_remove("data") else { return Err(wrong(&Tree::Object(members))) };
    let vectors: Option<Vec<Vec<Number>>> = data.into_iter().map(|item| vector(item, has(target, INT8))).collect();
    match vectors.filter(|vectors| !vectors.is_empty()) {
        Some(vectors) => Ok((id, Embeddings { vectors, tokens })),
        None => Err(ProviderError::default()),
    }
}

fn vector(mut item: Tree, signed: bool) -> Option<Vec<Number>> {
    match item.get_mut("embedding")?.take() {
        Tree::Array(numbers) => numbers
            .into_iter()
            .map(|number| match number {
                Tree::Number(number) => Some(number),
                _ => None,
            })
            .collect(),
        Tree::String(base64) if signed => int8(&base64)?.into_iter().map(Number::from_f64).collect(),
        _ => None,
    }
}

/// Little-endian floats of 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "that is the format")]
fn base64_of(numbers: impl IntoIterator<Item = f64>) -> String {
    let bytes: Vec<u8> = numbers.into_iter().flat_map(|number| (number as f32).to_le_bytes()).collect();
    STANDARD.encode(bytes)
}
