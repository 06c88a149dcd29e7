//! Images, documents, films and sounds.

use serde_json::{Value, json};

use super::WIRE;
use crate::{
    chat::{Losses, Media, MediaKind, MediaSource, Part, PartKind},
    dialect::fields::{Fields, object},
    error::Result,
};

/// Bedrock's short names and the media types they stand for. The first name of a type is written.
#[rustfmt::skip]
const FORMATS: &[(MediaKind, &str, &str)] = &[
    (MediaKind::Image, "png", "image/png"),
    (MediaKind::Image, "jpeg", "image/jpeg"),
    (MediaKind::Image, "jpeg", "image/jpg"),
    (MediaKind::Image, "gif", "image/gif"),
    (MediaKind::Image, "webp", "image/webp"),
    (MediaKind::Document, "pdf", "application/pdf"),
    (MediaKind::Document, "csv", "text/csv"),
    (MediaKind::Document, "doc", "application/msword"),
    (MediaKind::Document, "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (MediaKind::Document, "xls", "application/vnd.ms-excel"),
    (MediaKind::Document, "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (MediaKind::Document, "html", "text/html"),
    (MediaKind::Document, "txt", "text/plain"),
    (MediaKind::Document, "md", "text/markdown"),
    (MediaKind::Video, "mp4", "video/mp4"),
    (MediaKind::Video, "mkv", "video/x-matroska"),
    (MediaKind::Video, "mov", "video/quicktime"),
    (MediaKind::Video, "webm", "video/webm"),
    (MediaKind::Video, "flv", "video/x-flv"),
    (MediaKind::Video, "mpeg", "video/mpeg"),
    (MediaKind::Video, "wmv", "video/x-ms-wmv"),
    (MediaKind::Video, "three_gp", "video/3gpp"),
    (MediaKind::Audio, "mp3", "audio/mpeg"),
    (MediaKind::Audio, "mp3", "audio/mp3"),
    (MediaKind::Audio, "wav", "audio/wav"),
    (MediaKind::Audio, "wav", "audio/x-wav"),
    (MediaKind::Audio, "flac", "audio/flac"),
    (MediaKind::Audio, "ogg", "audio/ogg"),
    (MediaKind::Audio, "aac", "audio/aac"),
    (MediaKind::Audio, "opus", "audio/opus"),
    (MediaKind::Audio, "m4a", "audio/mp4"),
    (MediaKind::Audio, "webm", "audio/webm"),
    (MediaKind::Audio, "pcm", "audio/pcm"),
];

fn word(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image",
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
        MediaKind::Document => "document",
    }
}

/// The kind of a block of that name.
pub(super) fn kind(block: &str) -> Option<MediaKind> {
    [MediaKind::Image, MediaKind::Audio, MediaKind::Video, MediaKind::Document]
        .into_iter()
        .find(|&kind| word(kind) == block)
}

/// The media type of a short name; a name that is not known stands for itself.
pub(super) fn mime(kind: MediaKind, format: &str) -> String {
    let known = FORMATS.iter().find(|(of, name, _)| *of == kind && *name == format);
    known.map_or_else(|| format!("{}/{format}", word(kind)), |(_, _, mime)| (*mime).to_owned())
}

/// Reads a block; one whose source is of no canonical kind is kept whole.
pub(super) fn read(kind: MediaKind, value: Value, path: &str) -> Result<Part> {
    let mut fields = Fields::of(value, path)?;
    let source = fields.peek("source").and_then(Value::as_object).filter(|source| source.len() == 1);
    let place = source.and_then(|source| {
        let (name, inner) = source.iter().next()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match name.as_str() {
            "bytes" => text(inner).map(MediaSource::Base64),
            "text" => text(inner).map(MediaSource::Text),
            "s3Location" if inner.as_object()?.len() == 1 => text(inner.get("uri")?).map(MediaSource::Url),
            _ => None,
        }
    });
    let Some(source) = place else {
        return Ok(Part::new(PartKind::Foreign(WIRE, json!({ word(kind): Value::from(fields.rest()) }))));
    };
    fields.take("source");
    let format = fields.text("format")?;
    let media = Media {
        kind,
        mime: format.map(|format| mime(kind, &format)),
        source,
        name: fields.text("name")?,
        detail: None,
        transcript: None,
    };
    Ok(Part { extra: fields.extra(WIRE), ..Part::new(PartKind::Media(media)) })
}

/// Writes a block. `names` are those that documents of the same request bear already.
pub(super) fn write(media: &Media, path: &str, names: &mut Vec<String>, losses: &mut Losses) -> Result<Value> {
    let Media { kind, mime, source, name, detail, transcript } = media;
    let refuse = |why: String| Err(Losses::refuse(path, why));
    let source = match source {
        MediaSource::Base64(data) => json!({ "bytes": data }),
        MediaSource::Text(text) if *kind == MediaKind::Document => json!({ "text": text }),
        MediaSource::Url(url) if url.starts_with("s3://") => json!({ "s3Location": { "uri": url } }),
        MediaSource::Url(_) => return refuse(format!("Bedrock takes {path} as base64 only, not by its address.")),
        MediaSource::Text(_) => return refuse(format!("Bedrock takes plain text as a document only, not as {path}.")),
        MediaSource::Id(_) => return refuse(format!("{path} names a file of another provider; Bedrock keeps none.")),
    };
    let given = mime.as_deref().map(|mime| mime.split(';').next().unwrap_or(mime).trim().to_ascii_lowercase());
    let format = match given.as_deref() {
        Some(given) => FORMATS.iter().find(|(of, _, mime)| of == kind && *mime == given).map(|(_, name, _)| *name),
        None if matches!(media.source, MediaSource::Text(_)) => Some("txt"),
        None => None,
    };
    let Some(format) = format else {
        let given = given.unwrap_or_else(|| "an unknown type".to_owned());
        return refuse(format!("Bedrock does not take {given} as {} ({path}).", word(*kind)));
    };
    if detail.is_some() {
        losses.add(format!("{path}.detail"));
    }
    if transcript.is_some() {
        losses.add(format!("{path}.transcript"));
    }
    let written = (*kind == MediaKind::Document).then(|| document_name(name.as_deref(), names));
    if name.is_some() && *name != written {
        losses.add(format!("{path}.name"));
    }
    let name = written.map(Value::from);
    let block = object([("format", Some(format.into())), ("name", name), ("source", Some(source))]);
    Ok(json!({ word(*kind): block }))
}

/// A name as Bedrock takes it: letters, digits, `_-()[]` and single spaces, at most 200 characters, no
/// other document of the request having the same.
fn document_name(name: Option<&str>, names: &mut Vec<String>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_-()[]".contains(c) { c } else { ' ' };
    let spaced: String = name.unwrap_or_default().chars().map(plain).collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let short: String = words.join(" ").chars().take(190).collect();
    let base = if short.is_empty() { "document".to_owned() } else { short.trim_end().to_owned() };
    let mut clean = base.clone();
    let mut number = 2;
    while names.contains(&clean) {
        clean = format!("{base} ({number})");
        number += 1;
    }
    names.push(clean.clone());
    clean
}
