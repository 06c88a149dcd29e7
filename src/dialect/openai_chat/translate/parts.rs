//! Parts of a message's `content`.

use serde_json::Value;

use super::{
    WIRE,
    media::{from_url, from_url_or_base64, medium, sound_mime},
};
use crate::{
    chat::{Cache, Extra, Media, MediaKind, MediaSource, Part, PartKind, Reasoning},
    dialect::openai_common::{Members, kind},
    error::{Error, Result},
};

/// The parts of a content: a string, a list, or nothing.
pub fn read_content(content: Option<Value>, path: &str) -> Result<Vec<Part>> {
    match content {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(items)) => {
            items.into_iter().enumerate().map(|(n, item)| read_part(item, format!("{path}[{n}]"))).collect()
        }
        Some(other) => {
            let message = format!("{path} must be a string or an array of content parts, not {}.", kind(&other));
            Err(Error::invalid(path, message))
        }
    }
}

fn read_part(item: Value, path: String) -> Result<Part> {
    if let Value::String(text) = item {
        return Ok(Part::text(text));
    }
    let mut item = Members::new(item, path)?;
    let word = item.string("type")?;
    let word = item.needed("type", word)?;
    let kind = match word.as_str() {
        "text" | "input_text" | "output_text" => {
            let text = item.string("text")?;
            PartKind::Text { text: item.needed("text", text)?, citations: Vec::new() }
        }
        "refusal" => {
            let text = item.string("refusal")?;
            PartKind::Refusal(item.needed("refusal", text)?)
        }
        "image_url" => PartKind::Media(located(&mut item, "image_url", MediaKind::Image)?),
        "video_url" | "input_video" => PartKind::Media(located(&mut item, "video_url", MediaKind::Video)?),
        "audio_url" => PartKind::Media(located(&mut item, "audio_url", MediaKind::Audio)?),
        "file_url" => PartKind::Media(located(&mut item, "file_url", MediaKind::Document)?),
        "document_url" => {
            let mut media = located(&mut item, "document_url", MediaKind::Document)?;
            media.name = item.string("document_name")?;
            PartKind::Media(media)
        }
        "input_audio" => PartKind::Media(sound(&mut item)?),
        "file" => PartKind::Media(file(&mut item)?),
        "thinking" => PartKind::Reasoning(thoughts(&mut item)?),
        _ => {
            let mut whole = item.rest();
            whole.insert("type".to_owned(), word.into());
            return Ok(Part::new(PartKind::Foreign(WIRE, Value::Object(whole))));
        }
    };
    let cache = read_cache(&mut item)?;
    Ok(Part { kind, cache, extra: Extra::of(WIRE, item.rest()) })
}

/// `{"image_url": {"url", "detail"}}`, or the URL alone.
fn located(item: &mut Members, key: &str, kind: MediaKind) -> Result<Media> {
    let at = item.at(key);
    let (url, detail, name) = match item.take(key) {
        Some(Value::String(url)) => (url, None, None),
        other => {
            let other = item.needed(key, other)?;
            let mut inner = Members::new(other, at.clone())?;
            let url = inner.string("url")?;
            (inner.needed("url", url)?, inner.string("detail")?, inner.string("file_name")?)
        }
    };
    let (mime, source) = match kind {
        MediaKind::Image | MediaKind::Video | MediaKind::Audio => from_url(url, &at)?,
        MediaKind::Document => from_url_or_base64(url, &at)?,
    };
    Ok(Media { name, detail, ..medium(kind, mime, source) })
}

/// `{"input_audio": {"data", "format"}}`, or base64 or a URL alone (Mistral).
fn sound(item: &mut Members) -> Result<Media> {
    let at = item.at("input_audio");
    let (data, format) = match item.take("input_audio") {
        Some(Value::String(data)) => (data, None),
        other => {
            let other = item.needed("input_audio", other)?;
            let mut inner = Members::new(other, at.clone())?;
            let data = inner.string("data")?;
            (inner.needed("data", data)?, inner.string("format")?)
        }
    };
    let (mime, source) = from_url_or_base64(data, &at)?;
    Ok(medium(MediaKind::Audio, format.map(|format| sound_mime(&format)).or(mime), source))
}

/// `{"file": {"filename", "file_data" | "file_id"}}`
fn file(item: &mut Members) -> Result<Media> {
    let inner = item.object("file")?;
    let mut inner = item.needed("file", inner)?;
    let name = inner.string("filename")?;
    let (mime, source) = match (inner.string("file_data")?, inner.string("file_id")?) {
        (Some(data), _) => from_url_or_base64(data, &inner.at("file_data"))?,
        (None, Some(id)) => (None, MediaSource::Id(id)),
        (None, None) => {
            let path = inner.at("file_data");
            return Err(Error::invalid(path.clone(), format!("{path} or file_id is missing.")));
        }
    };
    let by_name = || name.as_deref()?.to_ascii_lowercase().ends_with(".pdf").then(|| "application/pdf".to_owned());
    let mime = mime.or_else(by_name);
    Ok(Media { name, ..medium(MediaKind::Document, mime, source) })
}

/// Mistral's `{"thinking": [{"type": "text", "text"}], "closed"}`. That a thought is closed is implied.
fn thoughts(item: &mut Members) -> Result<Reasoning> {
    item.take("closed");
    let path = item.at("thinking");
    let text = match item.take("thinking") {
        Some(Value::String(text)) => text,
        content => {
            let texts = read_content(content, &path)?.into_iter().map(|part| match part.kind {
                PartKind::Text { text, .. } => Ok(text),
                _ => Err(Error::invalid(path.clone(), format!("{path} may hold text alone."))),
            });
            texts.collect::<Result<Vec<_>>>()?.concat()
        }
    };
    Ok(Reasoning { text: Some(text), signature: item.string("signature")?, ..Reasoning::default() })
}

/// `{"type": "ephemeral", "ttl": "5m" | "1h"}`; what it does not say it means stays with the format.
pub fn read_cache(item: &mut Members) -> Result<Option<Cache>> {
    let Some(mark) = item.object("cache_control")? else { return Ok(None) };
    let path = mark.path().to_owned();
    let mark = mark.rest();
    match (mark.get("type").and_then(Value::as_str), mark.get("ttl").map(Value::as_str)) {
        (Some("ephemeral"), None) => Ok(Some(Cache::Default)),
        (Some("ephemeral"), Some(Some("5m"))) => Ok(Some(Cache::FiveMinutes)),
        (Some("ephemeral"), Some(Some("1h"))) => Ok(Some(Cache::Hour)),
        _ => {
            let message = format!("{path} must be {{\"type\":\"ephemeral\"}}, with a ttl of \"5m\" or \"1h\" if any.");
            Err(Error::invalid(path, message))
        }
    }
}
