//! The request.

use std::rc::Rc;

use serde_json::{Value as Tree, json};

use crate::{
    chat::Losses,
    dialect::{
        Target,
        shape::{Shape, check, invalid_json, text},
        single::{Asked, GATEWAY_OWNED, has, outbound, rename, tree},
    },
    error::{Error, Result},
    framing::{
        edit::Edit,
        json::{Kind, Object, Value, scan_object},
    },
};

#[rustfmt::skip]
const SHAPES: &[(&str, Shape)] = &[
    ("documents",          Shape::Array),
    ("max_tokens_per_doc", Shape::Integer { min: 1, max: u64::MAX }),
    ("model",              Shape::String),
    ("models",             Shape::Array),
    ("provider",           Shape::Object),
    ("query",              Shape::String),
    ("return_documents",   Shape::Bool),
    ("session_id",         Shape::String),
    ("tags",               Shape::Array),
    ("top_n",              Shape::Integer { min: 1, max: u64::MAX }),
    ("trace",              Shape::Object),
    ("user",               Shape::String),
];

/// A request, checked.
#[derive(Debug)]
pub struct Call<'a> {
    object: Object<'a>,
    /// What the gateway knows of it.
    pub asked: Asked,
    /// What has to be known when the answer comes.
    pub wanted: Wanted,
}

/// What has to be known of a request when its answer comes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// So many documents there are.
    pub count: usize,
    /// What stands in the answer for each; nothing where none is wanted.
    pub documents: Option<Rc<[Tree]>>,
}

/// Reads and checks a request.
pub fn parse(body: &[u8]) -> Result<Call<'_>> {
    let object = scan_object(body).map_err(|malformed| invalid_json(&malformed, body.len()))?;
    check(&object, SHAPES, &["plugins", "preset"])?;
    if text(&object, "query").is_none_or(|query| query.is_empty()) {
        return Err(Error::invalid("query", "query is missing: what are the documents to be ranked by?"));
    }
    let documents = object.get("documents").map(Value::items).unwrap_or_default();
    if documents.is_empty() {
        return Err(Error::invalid("documents", "documents is missing: send at least one text to be ranked."));
    }
    let mut asked = Asked::of(&object, None, &["query", "documents"])?;
    let query = object.get("query").map_or(0, |query| query.text.len());
    for (index, document) in documents.iter().enumerate() {
        let at = || format!("documents[{index}]");
        let picture = match document.kind {
            Kind::String => false,
            Kind::Object => {
                let members = document.members();
                if !members.iter().any(|member| matches!(&*member.key, "text" | "image")) {
                    return Err(Error::invalid(at(), format!("{} must have a `text` or an `image`.", at())));
                }
                members.iter().any(|member| member.key == "image")
            }
            _ => {
                let message = format!("{} must be a text or an object, not {}.", at(), document.kind.name());
                return Err(Error::invalid(at(), message));
            }
        };
        // The model reads the query with every document.
        asked.weight.text += query;
        if picture {
            asked.weight.media = asked.weight.media.saturating_add(1);
            asked.weight.media_bytes += document.text.len();
        } else {
            asked.weight.text += document.text.len();
        }
    }
    let unwanted = object.get("return_documents").and_then(Value::as_bool) == Some(false);
    let documents_shown = (!unwanted).then(|| documents.iter().map(shown).collect());
    let wanted = Wanted { count: documents.len(), documents: documents_shown };
    Ok(Call { object, asked, wanted })
}

fn shown(document: &Value<'_>) -> Tree {
    match document.as_str() {
        Some(text) => json!({ "text": text }),
        None => tree(document),
    }
}

/// The edits that turn the client's request into one for this provider.
pub fn outbound_edits(call: &Call<'_>, target: &Target<'_>) -> Vec<Edit> {
    let mut edits = outbound(&call.object, target);
    if has(target, "top_k") {
        rename(&call.object, &mut edits, "top_n", "top_k");
    }
    edits.finish()
}

impl Call<'_> {
    /// The query, the documents as texts, and how many of them are wanted: for Cohere. The losses are the
    /// members that it does not have.
    pub fn texts(&self) -> Result<(String, Vec<String>, Option<u64>, Losses)> {
        let mut losses = Losses::default();
        for member in &self.object.members {
            let key = &*member.key;
            let known = ["model", "query", "documents", "top_n", "max_tokens_per_doc", "return_documents", "user"];
            if member.value.kind != Kind::Null && !known.contains(&key) && !GATEWAY_OWNED.contains(&key) {
                losses.add(key);
            }
        }
        let mut texts = Vec::with_capacity(self.wanted.count);
        for (index, document) in self.object.get("documents").map(Value::items).unwrap_or_default().iter().enumerate() {
            let inner = || text(&document.object()?, "text");
            let only_text = || !document.members().iter().any(|member| member.key == "image");
            let found = document.as_str().map(String::from).or_else(inner).filter(|_| only_text());
            texts
                .push(found.ok_or_else(|| {
                    Losses::refuse(format!("documents[{index}]"), "This provider ranks texts alone.")
                })?);
        }
        let top_n = self.object.get("top_n").and_then(Value::as_u64);
        Ok((text(&self.object, "query").unwrap_or_default(), texts, top_n, losses))
    }

    /// Longest part of a document that is read, in tokens.
    pub fn max_tokens_per_doc(&self) -> Option<u64> {
        self.object.get("max_tokens_per_doc").and_then(Value::as_u64)
    }
}
