//! The request, read by its spans: its bytes are passed on.

use crate::{
    budget::estimate::Weight,
    dialect::{
        Target,
        shape::{Shape, check, invalid_json, text},
        single::{Asked, has, outbound, rename},
    },
    error::{Error, Result},
    framing::{
        edit::Edit,
        json::{Kind, Object, Value, scan_object},
    },
};

#[rustfmt::skip]
const SHAPES: &[(&str, Shape)] = &[
    ("dimensions",      Shape::Integer { min: 1, max: u64::MAX }),
    ("encoding_format", Shape::String),
    ("input",           Shape::StringOrArray),
    ("input_type",      Shape::String),
    ("model",           Shape::String),
    ("models",          Shape::Array),
    ("provider",        Shape::Object),
    ("session_id",      Shape::String),
    ("tags",            Shape::Array),
    ("trace",           Shape::Object),
    ("user",            Shape::String),
];

/// A request, checked. The rest of it stays bytes.
#[derive(Debug)]
pub struct Call<'a> {
    pub(super) object: Object<'a>,
    /// What the gateway knows of it.
    pub asked: Asked,
    /// What has to be known when the answer comes.
    pub wanted: Wanted,
}

/// What has to be known of a request when its answer comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// So many vectors.
    pub vectors: usize,
    /// In base64.
    pub base64: bool,
    /// In a format that only the provider has (`base64_int8`).
    pub own_format: bool,
}

/// Reads and checks a request.
pub fn parse(body: &[u8]) -> Result<Call<'_>> {
    let object = scan_object(body).map_err(|malformed| invalid_json(&malformed, body.len()))?;
    check(&object, SHAPES, &["plugins", "preset"])?;
    let input = object.get("input").filter(|value| value.kind != Kind::Null).ok_or_else(|| {
        Error::invalid("input", "input is missing: send a text, a list of texts, or a list of token numbers.")
    })?;
    let mut asked = Asked::of(&object, None, &["input"])?;
    let vectors = weigh(input, &mut asked.weight)?;
    let format = text(&object, "encoding_format").unwrap_or_else(|| "float".to_owned());
    let (base64, own_format) = (format == "base64", format != "base64" && format != "float");
    Ok(Call { object, asked, wanted: Wanted { vectors, base64, own_format } })
}

/// Checks the input while it is weighed; gives how many vectors it asks for.
fn weigh(input: &Value<'_>, weight: &mut Weight) -> Result<usize> {
    if input.kind == Kind::String {
        weight.text = input.text.len();
        return if input.text == "\"\"" { Err(Error::invalid("input", "input must not be empty.")) } else { Ok(1) };
    }
    let items = input.items();
    let Some(first) = items.first() else {
        return Err(Error::invalid("input", "input must hold at least one text."));
    };
    for (index, item) in items.iter().enumerate() {
        let at = format!("input[{index}]");
        if item.kind != first.kind {
            return Err(Error::invalid(at.clone(), format!("{at} must be of the same kind as the items before it.")));
        }
        match item.kind {
            Kind::String => weight.text += item.text.len(),
            Kind::Number => {
                token(item, &at)?;
                // Estimates have a token for every four bytes.
                weight.text += 4;
            }
            Kind::Array => {
                let tokens = item.items();
                if tokens.is_empty() {
                    return Err(Error::invalid(at.clone(), format!("{at} must not be empty.")));
                }
                for token_of in &tokens {
                    token(token_of, &at)?;
                }
                weight.text += 4 * tokens.len();
            }
            Kind::Object => weigh_parts(item, &at, weight)?,
            Kind::Null | Kind::Bool => {
                let message = format!("{at} must be a text or token numbers, not {}.", item.kind.name());
                return Err(Error::invalid(at, message));
            }
        }
    }
    Ok(if first.kind == Kind::Number { 1 } else { items.len() })
}

fn token(value: &Value<'_>, at: &str) -> Result<u64> {
    value.as_u64().ok_or_else(|| Error::invalid(at, format!("{at} must hold the numbers of tokens.")))
}

fn weigh_parts(item: &Value<'_>, at: &str, weight: &mut Weight) -> Result<()> {
    let content = item.object().and_then(|object| object.get("content").copied());
    match content {
        Some(content) if content.kind == Kind::String => weight.text += content.text.len(),
        Some(content) if content.kind == Kind::Array => {
            for part in content.items() {
                let kind = part.object().and_then(|part| text(&part, "type"));
                if kind.is_none_or(|kind| kind == "text") {
                    weight.text += part.text.len();
                } else {
                    weight.media = weight.media.saturating_add(1);
                    weight.media_bytes += part.text.len();
                }
            }
        }
        _ => return Err(Error::invalid(format!("{at}.content"), format!("{at}.content must be a list of parts."))),
    }
    Ok(())
}

/// The edits that turn the client's request into one for this provider.
pub fn outbound_edits(call: &Call<'_>, target: &Target<'_>) -> Vec<Edit> {
    let mut edits = outbound(&call.object, target);
    if has(target, "output_dimension") {
        rename(&call.object, &mut edits, "dimensions", "output_dimension");
    }
    if has(target, "no_encoding_format") && !call.wanted.own_format {
        edits.cut(|key| key == "encoding_format");
    }
    edits.finish()
}
