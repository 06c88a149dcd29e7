//! Media: `inlineData` (base64) and `fileData` (an address), both ways.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{
    signature::standard,
    wire::{At, members, text},
};
use crate::{
    chat::{Extra, Losses, Media, MediaKind, MediaSource, Part, PartKind, Wire},
    error::Result,
};

/// Reads `inlineData` or `fileData`, whichever `name` says.
pub(super) fn read(name: &str, value: Value, at: &At<'_>) -> Result<Part> {
    let at = at.key(name);
    let (mut mime, mut content, mut title, mut extra) = (None, None, None, Map::new());
    for (key, value) in members(value, &at)? {
        match key.as_str() {
            "mimeType" => mime = Some(text(value, &at.key("mimeType"))?),
            "data" | "fileUri" => content = Some(text(value, &at.key(&key))?),
            "displayName" => {
                title = value.as_str().map(str::to_owned);
                extra.insert(key, value);
            }
            _ => {
                extra.insert(key, value);
            }
        }
    }
    let inline = name == "inlineData";
    let member = if inline { "data" } else { "fileUri" };
    let content = content.ok_or_else(|| at.key(member).invalid("given"))?;
    let kind = kind(mime.as_deref(), if inline { "" } else { &content });
    let source = match inline {
        true => MediaSource::Base64(standard(content)),
        false if uploaded(&content) => MediaSource::Id(content),
        false => MediaSource::Url(content),
    };
    let media = Media { kind, mime, source, name: title, detail: None, transcript: None };
    Ok(Part { extra: nested(name, extra), ..Part::new(PartKind::Media(media)) })
}

/// Members of a member of a part that only this format knows: merged into the part when it is written.
pub(super) fn nested(name: &str, members: Map<String, Value>) -> Extra {
    if members.is_empty() {
        return Extra::default();
    }
    let mut outer = Map::new();
    outer.insert(name.to_owned(), Value::Object(members));
    Extra::of(Wire::Gemini, outer)
}

/// Whether it is the address of a file that was uploaded to AI Studio: nobody else can read it there.
fn uploaded(uri: &str) -> bool {
    uri.starts_with("https://generativelanguage.googleapis.com/") && uri.contains("/files/")
}

fn kind(mime: Option<&str>, uri: &str) -> MediaKind {
    let guessed = mime.or_else(|| mime_of_name(uri)).unwrap_or_default();
    match guessed.split('/').next() {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        Some("video") => MediaKind::Video,
        _ if ["https://www.youtube.com/", "https://youtu.be/"].iter().any(|site| uri.starts_with(site)) => {
            MediaKind::Video
        }
        _ => MediaKind::Document,
    }
}

/// The media type that an address' ending stands for.
fn mime_of_name(uri: &str) -> Option<&'static str> {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    let (_, ending) = path.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "heic" => "image/heic",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "mov" => "video/mov",
        "webm" => "video/webm",
        _ => return None,
    })
}

/// The media type that the first bytes of base64 tell of.
fn mime_of_data(base64: &str) -> Option<&'static str> {
    [
        ("iVBORw0KGgo", "image/png"),
        ("/9j/", "image/jpeg"),
        ("R0lGOD", "image/gif"),
        ("UklGR", "image/webp"),
        ("JVBERi0", "application/pdf"),
    ]
    .into_iter()
    .find_map(|(begins, mime)| base64.starts_with(begins).then_some(mime))
}

/// A medium as a member of a part, `inlineData` or `fileData`; refused where Gemini has no place for it.
pub(super) fn write(media: &Media, at: impl Fn() -> String) -> Result<Value> {
    let mime = media.mime.as_deref();
    let (uri, mime) = match &media.source {
        MediaSource::Base64(data) => {
            let mime = mime.or_else(|| mime_of_data(data));
            let mime = mime.ok_or_else(|| Losses::refuse(at(), "The media type of this content is needed."))?;
            return Ok(json!({ "inlineData": { "mimeType": mime, "data": data } }));
        }
        MediaSource::Text(text) => {
            let mime = mime.unwrap_or("text/plain");
            return Ok(json!({ "inlineData": { "mimeType": mime, "data": STANDARD.encode(text) } }));
        }
        MediaSource::Url(uri) => (uri, mime.or_else(|| mime_of_name(uri))),
        MediaSource::Id(id) if ["https://", "gs://", "files/"].iter().any(|begins| id.starts_with(begins)) => {
            (id, mime)
        }
        MediaSource::Id(_) => {
            return Err(Losses::refuse(at(), "This file was uploaded to another provider; this one cannot read it."));
        }
    };
    Ok(match mime {
        Some(mime) => json!({ "fileData": { "mimeType": mime, "fileUri": uri } }),
        None => json!({ "fileData": { "fileUri": uri } }),
    })
}
