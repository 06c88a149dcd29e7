//! Members of a scanned request, checked before anybody is called, and those that mean the same in every
//! format that OpenAI began.

use std::borrow::Cow;

use crate::{
    error::{Error, ErrorKind, Result},
    framing::json::{Kind, Malformed, Object, Value},
};

/// Most models a request may name.
const MAX_MODELS: usize = 10;
/// Most words a request may be tagged with.
const MAX_TAGS: usize = 10;

/// What a member may be. `null` is always as good as absent.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// `"..."`
    String,
    /// `true` or `false`
    Bool,
    /// A number within a range.
    Number {
        /// No less.
        min: f64,
        /// No more.
        max: f64,
    },
    /// A whole number within a range.
    Integer {
        /// No less.
        min: u64,
        /// No more.
        max: u64,
    },
    /// `[...]`
    Array,
    /// `{...}`
    Object,
    /// A string or several.
    StringOrArray,
    /// A string or an object.
    StringOrObject,
    /// Anything: the provider knows better.
    Free,
}

impl Shape {
    fn check(&self, key: &str, value: &Value<'_>) -> Result<()> {
        if value.kind == Kind::Null {
            return Ok(());
        }
        let kind = |wanted: &str| Error::invalid(key, format!("{key} must be {wanted}, not {}.", value.kind.name()));
        let good = |ok: bool, wanted: &str| if ok { Ok(()) } else { Err(kind(wanted)) };
        match self {
            Self::Free => Ok(()),
            Self::String => good(value.kind == Kind::String, "a string"),
            Self::Bool => good(value.kind == Kind::Bool, "true or false"),
            Self::Array => good(value.kind == Kind::Array, "an array"),
            Self::Object => good(value.kind == Kind::Object, "an object"),
            Self::StringOrArray => {
                good(matches!(value.kind, Kind::String | Kind::Array), "a string or an array of strings")
            }
            Self::StringOrObject => good(matches!(value.kind, Kind::String | Kind::Object), "a string or an object"),
            Self::Number { min, max } => {
                let number = value.as_f64().ok_or_else(|| kind("a number"))?;
                if number >= *min && number <= *max {
                    return Ok(());
                }
                let range =
                    if *max < f64::MAX { format!("between {min} and {max}") } else { format!("at least {min}") };
                Err(Error::invalid(key, format!("{key} must be {range}, not {}.", value.text)))
            }
            Self::Integer { min, max } => {
                good(value.kind == Kind::Number, "a whole number")?;
                if value.as_u64().is_some_and(|number| number >= *min && number <= *max) {
                    return Ok(());
                }
                let range =
                    if *max < u64::MAX { format!("between {min} and {max}") } else { format!("of at least {min}") };
                Err(Error::invalid(key, format!("{key} must be a whole number {range}, not {}.", value.text)))
            }
        }
    }
}

/// Checks the members that the table knows (it is sorted by name), and refuses those that are listed as
/// not supported, unless they are empty.
pub fn check(object: &Object<'_>, shapes: &[(&str, Shape)], refused: &[&str]) -> Result<()> {
    for (index, member) in object.members.iter().enumerate() {
        let (key, value) = (&*member.key, &member.value);
        if refused.contains(&key) && !matches!(value.text, "null" | "[]" | "{}" | "\"\"") {
            let message = format!(
                "{key} is not supported by this gateway; leave it out. (It is not ignored, because the answer would differ.)"
            );
            return Err(Error::invalid(key, message).code("unsupported_parameter"));
        }
        let Ok(row) = shapes.binary_search_by(|(name, _)| (*name).cmp(key)) else { continue };
        // A provider might take the other of two members than the gateway reads.
        if object.members.iter().take(index).any(|earlier| earlier.key == key) {
            return Err(Error::invalid(key, format!("{key} is given twice.")));
        }
        if let Some((_, shape)) = shapes.get(row) {
            shape.check(key, value)?;
        }
    }
    Ok(())
}

/// What a client is told whose body of so many bytes is no JSON.
pub fn invalid_json(malformed: &Malformed, bytes: usize) -> Error {
    let message =
        format!("The request body is not valid JSON: {} (at byte {} of {bytes}).", malformed.what, malformed.at);
    Error::new(ErrorKind::InvalidRequest, message).code("invalid_json")
}

/// A member that is text.
pub fn text(object: &Object<'_>, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).map(Cow::into_owned)
}

/// The models asked for, in order of preference: `model`, then `models`. Never empty.
pub fn models(object: &Object<'_>) -> Result<Vec<String>> {
    let list = object.get("models").map(Value::items).unwrap_or_default();
    models_of(text(object, "model"), &list)
}

/// The same, of a name that stands elsewhere (in a URL, in a form) and of the items of `models`.
pub fn models_of(first: Option<String>, list: &[Value<'_>]) -> Result<Vec<String>> {
    let mut models: Vec<String> = first.into_iter().collect();
    for (index, item) in list.iter().enumerate() {
        let Some(model) = item.as_str() else {
            return Err(Error::invalid(
                format!("models[{index}]"),
                format!("models[{index}] must be a string, not {}.", item.kind.name()),
            ));
        };
        if !models.iter().any(|known| *known == model) {
            models.push(model.into_owned());
        }
    }
    if models.is_empty() {
        return Err(Error::invalid(
            "model",
            "model is missing: name one as \"author/name\" (GET /v1/models lists them).",
        ));
    }
    if models.len() > MAX_MODELS {
        return Err(Error::invalid("models", format!("models may name at most {MAX_MODELS} models.")));
    }
    Ok(models)
}

/// `tags`: the gateway's own member.
pub fn tags(object: &Object<'_>) -> Result<Vec<String>> {
    tags_of(&object.get("tags").map(Value::items).unwrap_or_default())
}

/// The same, of the items themselves.
pub fn tags_of(items: &[Value<'_>]) -> Result<Vec<String>> {
    let mut tags = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match item.as_str().filter(|tag| (1..=128).contains(&tag.len())) {
            Some(tag) if !tags.iter().any(|known| *known == tag) => tags.push(tag.into_owned()),
            Some(_) => {}
            None => {
                let message = format!("tags[{index}] must be a word of at most 128 bytes.");
                return Err(Error::invalid(format!("tags[{index}]"), message));
            }
        }
    }
    if tags.len() > MAX_TAGS {
        return Err(Error::invalid("tags", format!("tags may hold at most {MAX_TAGS} words.")));
    }
    Ok(tags)
}
