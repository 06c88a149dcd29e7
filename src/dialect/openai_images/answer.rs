//! The answer: passed on with its price, or made of pictures that came in another format.

use serde_json::{Map, Value as Tree, json};

use super::Wanted;
use crate::{
    catalog::Tokens,
    dialect::{
        passing::{Finish, ResponseFacts, Usage},
        shape::text,
        single::{
            Answered, Given, Read, count, edit_usage, in_order, malformed, priced, provider_cost, scan_answer, tree,
            usage,
        },
    },
    framing::{
        edit::ObjectEdits,
        json::{Kind, Value},
    },
};

/// Reads a body that came with status 200.
pub fn read_answer(body: &[u8], finish: &Finish) -> Read {
    let object = scan_answer(body)?;
    let data = object.get("data").map(Value::items).unwrap_or_default();
    let has_picture = |item: &Value<'_>| {
        item.object().is_some_and(|item| {
            ["b64_json", "url"].iter().any(|key| item.get(key).is_some_and(|value| value.kind == Kind::String))
        })
    };
    if data.is_empty() || !data.iter().all(has_picture) {
        return Err(malformed());
    }
    let given = object.get("usage").map(tree).unwrap_or_default();
    let used = read_usage(&given, data.len(), finish);
    let cost = finish.cost(&used.tokens);
    let mut changed = ObjectEdits::new(&object);
    if object.get("created").is_none() {
        changed.set("created", finish.created.to_string());
    }
    finish.tell_story(&mut changed);
    let mut edits = edit_usage(&object, &mut changed, &counts(&used.tokens), &priced(cost.as_ref(), used.estimated));
    edits.extend(changed.finish());
    let facts = ResponseFacts { upstream_id: text(&object, "id"), usage: used, ..ResponseFacts::default() };
    Ok(Answered { facts, cost, body: Given::Edits(in_order(edits)) })
}

fn read_usage(given: &Tree, pictures: usize, finish: &Finish) -> Usage {
    let prompt = count(given, "input_tokens").or_else(|| count(given, "prompt_tokens"));
    let completion = count(given, "output_tokens").or_else(|| count(given, "completion_tokens")).unwrap_or(0);
    let details = given.get("output_tokens_details").or_else(|| given.get("completion_tokens_details"));
    // What is not told apart is all picture.
    let image = details.and_then(|details| count(details, "image_tokens")).unwrap_or(completion);
    let tokens = Tokens {
        prompt: prompt.unwrap_or(finish.estimated_prompt),
        completion,
        completion_image: image,
        images: u64::try_from(pictures).unwrap_or(u64::MAX),
        ..Tokens::default()
    };
    Usage { tokens, estimated: prompt.is_none(), provider_cost: provider_cost(given) }
}

fn counts(tokens: &Tokens) -> [(&'static str, Tree); 5] {
    let total = tokens.prompt.saturating_add(tokens.completion);
    [
        ("input_tokens", tokens.prompt.into()),
        ("output_tokens", tokens.completion.into()),
        ("prompt_tokens", tokens.prompt.into()),
        ("completion_tokens", tokens.completion.into()),
        ("total_tokens", total.into()),
    ]
}

/// A picture that a model of another format drew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Its media type.
    pub mime: Option<String>,
    /// In base64, or its address.
    pub data: std::result::Result<String, String>,
}

/// An answer made of pictures.
pub fn encode_answer(pictures: Vec<Drawn>, mut facts: ResponseFacts, wanted: Wanted, finish: &Finish) -> Answered {
    facts.usage.tokens.images = u64::try_from(pictures.len()).unwrap_or(u64::MAX);
    let cost = finish.cost(&facts.usage.tokens);
    let one = |Drawn { mime, data }: Drawn| {
        let mut item = Map::new();
        match data {
            Ok(base64) if wanted.urls => {
                let url = format!("data:{};base64,{base64}", mime.as_deref().unwrap_or("image/png"));
                item.insert("url".to_owned(), url.into());
            }
            Ok(base64) => {
                item.insert("b64_json".to_owned(), base64.into());
            }
            Err(url) => {
                item.insert("url".to_owned(), url.into());
            }
        }
        if let Some(mime) = mime {
            item.insert("media_type".to_owned(), mime.into());
        }
        Tree::Object(item)
    };
    let data: Vec<Tree> = pictures.into_iter().map(one).collect();
    let tokens = &facts.usage.tokens;
    let mut counts = counts(tokens).to_vec();
    let drawn = tokens.completion_image;
    let words = tokens.completion.saturating_sub(drawn);
    counts.push(("input_tokens_details", json!({ "text_tokens": tokens.prompt, "image_tokens": 0 })));
    counts.push(("output_tokens_details", json!({ "image_tokens": drawn, "text_tokens": words })));
    let mut body = Map::new();
    body.insert("created".to_owned(), finish.created.into());
    body.insert("data".to_owned(), data.into());
    body.insert("usage".to_owned(), usage(&counts, &priced(cost.as_ref(), facts.usage.estimated)));
    if let Some(metadata) = &finish.metadata {
        body.insert("openrouter_metadata".to_owned(), serde_json::from_str(metadata).unwrap_or_default());
    }
    Answered { facts, cost, body: Given::Json(Tree::Object(body)) }
}
