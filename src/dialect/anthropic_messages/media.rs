//! Images and documents. Search results that a client gives are documents too, and come back as they were.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{
    WIRE,
    fields::{Fields, object},
    part::Cx,
};
use crate::{
    chat::{Losses, Media, MediaKind, MediaSource, PartKind},
    error::Result,
};

/// Reads `image`; `None` where its source is of a kind that is not known here.
pub fn decode_image(fields: &mut Fields<'_>) -> Result<Option<PartKind>> {
    Ok(source(fields)?.map(|(mime, source)| PartKind::Media(media(MediaKind::Image, mime, source, None))))
}

/// Reads `document`. Its context and whether it is to be cited stay as they are.
pub fn decode_document(fields: &mut Fields<'_>) -> Result<Option<PartKind>> {
    let Some((mime, source)) = source(fields)? else { return Ok(None) };
    let title = fields.string("title")?;
    Ok(Some(PartKind::Media(media(MediaKind::Document, mime, source, title))))
}

/// Reads `search_result`: a document of the client's own, in passages. The block stays as it is, beside.
pub fn decode_search_result(fields: &mut Fields<'_>) -> Result<Option<PartKind>> {
    let Some(text) = fields.members.get("content").and_then(passages) else { return Ok(None) };
    let title = fields.string("title")?;
    Ok(Some(PartKind::Media(media(MediaKind::Document, None, MediaSource::Text(text), title))))
}

fn media(kind: MediaKind, mime: Option<String>, source: MediaSource, name: Option<String>) -> Media {
    Media { kind, mime, source, name, detail: None, transcript: None }
}

/// Takes `source`. A document given in passages is text, and its passages stay beside it.
fn source(fields: &mut Fields<'_>) -> Result<Option<(Option<String>, MediaSource)>> {
    let at = fields.at("source");
    let Some(value) = fields.members.get("source").filter(|source| !source.is_null()) else {
        return Err(at.missing());
    };
    let Some(kind) = value.get("type").and_then(Value::as_str) else {
        return Err(at.must_be("an object with a type", value));
    };
    let member = match kind {
        "base64" | "text" => "data",
        "url" => "url",
        "file" => "file_id",
        "content" => {
            let text = value.get("content").and_then(passages);
            return Ok(text.map(|text| (None, MediaSource::Text(text))));
        }
        _ => return Ok(None),
    };
    let make: fn(String) -> MediaSource = match kind {
        "base64" => MediaSource::Base64,
        "text" => MediaSource::Text,
        "url" => MediaSource::Url,
        _ => MediaSource::Id,
    };
    let value = fields.members.remove("source").unwrap_or_default();
    let path = fields.at("source");
    let mut inner = Fields::of(value, &path)?;
    let found = make(inner.needed(member)?);
    let mime = inner.string("media_type")?;
    inner.members.remove("type");
    let rest = inner.members;
    if !rest.is_empty() {
        fields.members.insert("source".to_owned(), Value::Object(rest));
    }
    Ok(Some((mime, found)))
}

/// The text of passages; `None` where there is anything but text among them.
fn passages(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(blocks) => {
            let texts: Option<Vec<&str>> = blocks.iter().map(|block| block.get("text")?.as_str()).collect();
            Some(texts?.join("\n\n"))
        }
        _ => None,
    }
}

/// Writes an image or a document; the format has neither sounds nor films.
pub fn encode(media: &Media, cx: &mut Cx<'_>, at: &str) -> Result<Map<String, Value>> {
    if media.detail.is_some() {
        cx.losses.add(format!("{at}.detail"));
    }
    let (kind, source) = match media.kind {
        MediaKind::Image => {
            if media.name.is_some() {
                cx.losses.add(format!("{at}.name"));
            }
            ("image", image_source(media, cx, at)?)
        }
        MediaKind::Document => ("document", document_source(media, cx, at)?),
        MediaKind::Audio => return Err(Losses::refuse(at, "This provider does not take audio.")),
        MediaKind::Video => return Err(Losses::refuse(at, "This provider does not take video.")),
    };
    let title = media.name.clone().filter(|_| media.kind == MediaKind::Document).map(Value::from);
    Ok(object([("type", Some(kind.into())), ("source", Some(source)), ("title", title)]))
}

fn image_source(media: &Media, cx: &Cx<'_>, at: &str) -> Result<Value> {
    match &media.source {
        MediaSource::Base64(data) => {
            let mime = media.mime.as_deref().or_else(|| sniff(data));
            let known = ["image/jpeg", "image/png", "image/gif", "image/webp"];
            match mime.map(|mime| if mime == "image/jpg" { "image/jpeg" } else { mime }) {
                Some(mime) if known.contains(&mime) => {
                    Ok(json!({ "type": "base64", "media_type": mime, "data": data }))
                }
                _ => Err(Losses::refuse(at, "This provider takes images as JPEG, PNG, GIF or WebP.")),
            }
        }
        source => elsewhere(source, cx, at),
    }
}

fn document_source(media: &Media, cx: &Cx<'_>, at: &str) -> Result<Value> {
    let text = |data: Cow<'_, str>| json!({ "type": "text", "media_type": "text/plain", "data": data });
    match &media.source {
        MediaSource::Text(data) => Ok(text(data.into())),
        MediaSource::Base64(data) => match media.mime.as_deref().or_else(|| sniff(data)) {
            Some("application/pdf") => Ok(json!({ "type": "base64", "media_type": "application/pdf", "data": data })),
            Some(mime) if mime.starts_with("text/") || mime == "application/json" => {
                let bytes = STANDARD.decode(data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                bytes.map(|data| text(data.into())).ok_or_else(|| {
                    Losses::refuse(at, "The document says that it is text, but it is not UTF-8 in base64.")
                })
            }
            _ => Err(Losses::refuse(at, "This provider takes documents as PDF or as text.")),
        },
        source => elsewhere(source, cx, at),
    }
}

fn elsewhere(source: &MediaSource, cx: &Cx<'_>, at: &str) -> Result<Value> {
    match source {
        MediaSource::Url(_) if cx.bytes_only => {
            Err(Losses::refuse(at, "This provider takes images and documents as bytes, not as a URL."))
        }
        MediaSource::Url(url) if url.starts_with("https://") || url.starts_with("http://") => {
            Ok(json!({ "type": "url", "url": url }))
        }
        MediaSource::Id(id) => Ok(json!({ "type": "file", "file_id": id })),
        MediaSource::Url(_) => Err(Losses::refuse(at, "This provider reads https URLs only.")),
        MediaSource::Text(_) | MediaSource::Base64(_) => {
            Err(Losses::refuse(at, "This provider does not take images as text."))
        }
    }
}

/// What base64 begins with tells what it is, where nobody says so.
fn sniff(data: &str) -> Option<&'static str> {
    let known = [
        ("iVBORw0KGgo", "image/png"),
        ("/9j/", "image/jpeg"),
        ("R0lGOD", "image/gif"),
        ("UklGR", "image/webp"),
        ("JVBERi", "application/pdf"),
    ];
    known.into_iter().find(|(start, _)| data.starts_with(start)).map(|(_, mime)| mime)
}

/// Writes what a model made, for a client: pictures as blocks of the form in which they are given, sounds
/// as what is said in them.
pub fn shown(media: &Media) -> Option<Map<String, Value>> {
    let source = match (&media.source, media.kind) {
        (MediaSource::Base64(data), MediaKind::Image) => {
            let mime = media.mime.as_deref().or_else(|| sniff(data)).unwrap_or("image/png");
            json!({ "type": "base64", "media_type": mime, "data": data })
        }
        (MediaSource::Url(url), MediaKind::Image) => json!({ "type": "url", "url": url }),
        _ => {
            let text = media.transcript.as_deref()?;
            return Some(object([("type", Some("text".into())), ("text", Some(text.into()))]));
        }
    };
    Some(object([("type", Some("image".into())), ("source", Some(source))]))
}

/// Whether the block is one of this format's that stands beside its canonical form, whole.
pub fn is_kept_whole(extra: &crate::chat::Extra) -> bool {
    extra.own(WIRE).is_some_and(|own| own.contains_key("type"))
}
