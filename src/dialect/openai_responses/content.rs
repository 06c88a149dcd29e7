//! Parts of messages and of results of tools.

use serde_json::{Value, json};

use super::{
    WIRE, is_own,
    object::{Members, Object, merge, string},
};
use crate::{
    chat::{Cache, Citation, Extra, Losses, Media, MediaKind, MediaSource, Part, PartKind},
    error::{Error, Result},
};

/// What is said: one string, or parts.
pub(super) fn read(content: Option<Value>, at: &str) -> Result<Vec<Part>> {
    match content {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(parts)) => {
            parts.into_iter().enumerate().map(|(index, part)| read_part(part, format!("{at}[{index}]"))).collect()
        }
        Some(_) => Err(Error::invalid(at, "A string or a list of parts is wanted here.")),
    }
}

/// One part. A kind that is not known is kept whole, with this format's mark.
pub(super) fn read_part(value: Value, at: String) -> Result<Part> {
    let mut part = Object::read(value, at)?;
    let kind = match part.peek("type") {
        Some("input_text" | "output_text" | "text") => {
            let citations = part.list("annotations")?.unwrap_or_default().into_iter().map(read_citation).collect();
            if let Some(logprobs) = part.list("logprobs")?.filter(|list| !list.is_empty()) {
                part.put("logprobs", logprobs);
            }
            PartKind::Text { text: part.needed("text")?, citations }
        }
        Some("refusal") => PartKind::Refusal(part.needed("refusal")?),
        Some("input_image") => PartKind::Media(read_image(&mut part)?),
        Some("input_file") => PartKind::Media(read_file(&mut part)?),
        Some("input_audio") => PartKind::Media(read_audio(&mut part)?),
        Some("input_video") => {
            let (source, mime) = at_url(part.needed("video_url")?);
            PartKind::Media(Media { mime, ..media(MediaKind::Video, source) })
        }
        Some(_) => {
            let Extra { members, .. } = part.rest();
            let extra = Extra { wire: Some(WIRE), members: Members::new() };
            return Ok(Part { kind: PartKind::Foreign(WIRE, Value::Object(members)), cache: None, extra });
        }
        None => return Err(part.invalid("type", "The part does not say what it is.")),
    };
    part.take("type");
    let cache = part.take("prompt_cache_breakpoint").map(|mark| {
        if mark.as_object().is_some_and(|mark| mark.len() > 1) {
            part.put("prompt_cache_breakpoint", mark);
        }
        Cache::Default
    });
    Ok(Part { kind, cache, extra: if cache.is_some() { part.rest() } else { part.rest_if_any() } })
}

fn media(kind: MediaKind, source: MediaSource) -> Media {
    Media { kind, mime: None, source, name: None, detail: None, transcript: None }
}

fn read_image(part: &mut Object) -> Result<Media> {
    let (source, mime) = match (part.text("image_url")?, part.text("file_id")?) {
        (Some(url), _) => at_url(url),
        (None, Some(id)) => (MediaSource::Id(id), None),
        (None, None) => return Err(part.invalid("image_url", "The image has neither `image_url` nor `file_id`.")),
    };
    Ok(Media { mime, detail: part.text("detail")?, ..media(MediaKind::Image, source) })
}

fn read_file(part: &mut Object) -> Result<Media> {
    let data = part.text("file_data")?.filter(|data| !data.is_empty());
    let (url, id) = (part.text("file_url")?, part.text("file_id")?);
    let (source, mime) = match (data, url, id) {
        (Some(data), ..) => match at_url(data) {
            (MediaSource::Url(data), _) => (MediaSource::Base64(data), None),
            read => read,
        },
        (None, Some(url), _) => at_url(url),
        (None, None, Some(id)) => (MediaSource::Id(id), None),
        (None, None, None) => {
            return Err(part.invalid("file_data", "The file has none of `file_data`, `file_url` and `file_id`."));
        }
    };
    let (name, detail) = (part.text("filename")?, part.text("detail")?);
    Ok(Media { mime, name, detail, ..media(MediaKind::Document, source) })
}

fn read_audio(part: &mut Object) -> Result<Media> {
    let Some(mut audio) = part.object("input_audio")? else {
        return Err(part.invalid("input_audio", "`input_audio` is missing."));
    };
    let source = MediaSource::Base64(audio.needed("data")?);
    let mime = audio.text("format")?.map(|format| match format.as_str() {
        "mp3" => "audio/mpeg".to_owned(),
        _ => format!("audio/{format}"),
    });
    Ok(Media { mime, ..media(MediaKind::Audio, source) })
}

/// What a URL points at; a `data:` URL is the thing itself, with its media type.
fn at_url(url: String) -> (MediaSource, Option<String>) {
    let parsed = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match parsed {
        Some((mime, data)) => {
            let mime = mime.split(';').next().filter(|mime| !mime.is_empty());
            (MediaSource::Base64(data.to_owned()), mime.map(str::to_owned))
        }
        None => (MediaSource::Url(url), None),
    }
}

/// A citation. Those of web pages are everybody's; the others are kept whole.
pub(super) fn read_citation(value: Value) -> Citation {
    let Value::Object(mut members) = value else {
        return Citation {
            extra: Extra::of(WIRE, Members::from_iter([("value".to_owned(), value)])),
            ..Citation::default()
        };
    };
    if members.get("type").is_none_or(|kind| kind != "url_citation") {
        let title = members.get("filename").and_then(Value::as_str).map(str::to_owned);
        return Citation { title, extra: Extra::of(WIRE, members), ..Citation::default() };
    }
    members.shift_remove("type");
    let mut text = |key| members.shift_remove(key).and_then(string);
    let (url, title) = (text("url"), text("title"));
    let mut index = |key| members.shift_remove(key).and_then(|value| value.as_u64());
    let (start, end) = (index("start_index"), index("end_index"));
    Citation { url, title, cited: None, start, end, extra: Extra::of(WIRE, members) }
}

/// An annotation of a text of so many characters. The SDKs want every member of one.
pub(super) fn write_citation(citation: &Citation, characters: usize) -> Value {
    let Citation { url, title, cited: _, start, end, extra } = citation;
    let own = extra.own(WIRE);
    let mut annotation = match (url, own) {
        (None, Some(own)) => return Value::Object(own.clone()),
        (Some(url), _) => {
            Members::from_iter([("type".to_owned(), "url_citation".into()), ("url".to_owned(), url.as_str().into())])
        }
        // Documents are cited by other means in every format; a file's name is all that fits here.
        (None, None) => {
            return json!({"type": "file_citation", "file_id": "", "filename": title.as_deref().unwrap_or_default(),
                "index": end.unwrap_or(characters as u64)});
        }
    };
    annotation.insert("title".to_owned(), title.as_deref().unwrap_or_default().into());
    annotation.insert("start_index".to_owned(), start.unwrap_or(0).into());
    annotation.insert("end_index".to_owned(), end.unwrap_or(characters as u64).into());
    merge(&mut annotation, own.unwrap_or(&Members::new()));
    Value::Object(annotation)
}

/// A part of what a client, its system or a tool says.
pub(super) fn write_input(part: &Part, at: &str, losses: &mut Losses) -> Result<Value> {
    let Part { kind, cache, extra } = part;
    let mut value = match kind {
        PartKind::Text { text, citations } => {
            if !citations.is_empty() {
                losses.add(format!("{at}.citations"));
            }
            json!({"type": "input_text", "text": text})
        }
        PartKind::Refusal(text) => json!({"type": "input_text", "text": text}),
        PartKind::Media(media) => write_media(media, is_own(extra), at, losses)?,
        PartKind::Foreign(WIRE, value) => value.clone(),
        PartKind::Foreign(..) | PartKind::Reasoning(_) | PartKind::ToolCall(_) | PartKind::ToolResult(_) => {
            return Err(Losses::refuse(at, "OpenAI's Responses format has no place for this kind of content here."));
        }
    };
    if let Some(members) = value.as_object_mut() {
        if cache.is_some() && is_own(extra) {
            members.entry("prompt_cache_breakpoint").or_insert_with(|| json!({"mode": "explicit"}));
        } else if cache.is_some() {
            // These providers keep prompts without being asked, and older models refuse the mark.
            losses.add("cache_control");
        }
        finish(members, extra, at, losses);
    }
    Ok(value)
}

/// Adds what only this format knows, and notes what only another one does.
pub(super) fn finish(members: &mut Members, extra: &Extra, at: &str, losses: &mut Losses) {
    if let Some(own) = extra.own(WIRE) {
        for (key, value) in own.iter().filter(|(key, _)| *key != "message") {
            members.insert(key.clone(), value.clone());
        }
    }
    extra.lost(WIRE).for_each(|key| losses.add(format!("{at}.{key}")));
}

fn write_media(media: &Media, own: bool, at: &str, losses: &mut Losses) -> Result<Value> {
    let Media { kind, mime, source, name, detail, transcript } = media;
    if transcript.is_some() {
        losses.add(format!("{at}.transcript"));
    }
    let refuse = |why: &str| Err(Losses::refuse(at, why));
    let known = || mime.as_deref().or_else(|| image_type(source));
    Ok(match (kind, source) {
        (MediaKind::Image, MediaSource::Text(_)) => return refuse("An image cannot be text."),
        (MediaKind::Image, MediaSource::Id(id)) => {
            json!({"type": "input_image", "file_id": id, "detail": detail_of(detail.as_deref())})
        }
        (MediaKind::Image, source) => {
            let Some(url) = url_of(source, known()) else {
                return refuse("The media type of the image is not known.");
            };
            json!({"type": "input_image", "image_url": url, "detail": detail_of(detail.as_deref())})
        }
        (MediaKind::Document, MediaSource::Text(text)) => {
            if name.is_some() {
                losses.add(format!("{at}.name"));
            }
            json!({"type": "input_text", "text": text})
        }
        (MediaKind::Document, source) => {
            let mut part = Members::from_iter([("type".to_owned(), "input_file".into())]);
            match source {
                MediaSource::Id(id) => part.insert("file_id".to_owned(), id.as_str().into()),
                MediaSource::Url(url) => part.insert("file_url".to_owned(), url.as_str().into()),
                MediaSource::Base64(data) if mime.is_none() && own => {
                    part.insert("file_data".to_owned(), data.as_str().into())
                }
                source => {
                    let mime = mime.as_deref().unwrap_or("application/pdf");
                    // A file that comes with the request must have a name.
                    let ending = mime.rsplit('/').next().unwrap_or("pdf");
                    part.insert(
                        "filename".to_owned(),
                        name.clone().unwrap_or_else(|| format!("document.{ending}")).into(),
                    );
                    part.insert("file_data".to_owned(), url_of(source, Some(mime)).into())
                }
            };
            if let Some(name) = name {
                part.insert("filename".to_owned(), name.as_str().into());
            }
            if let Some(detail) = detail {
                part.insert("detail".to_owned(), detail.as_str().into());
            }
            Value::Object(part)
        }
        (MediaKind::Audio, MediaSource::Base64(data)) => {
            let format = mime.as_deref().and_then(|mime| mime.rsplit('/').next()).unwrap_or("wav");
            let format = format.strip_prefix("x-").unwrap_or(format);
            json!({"type": "input_audio", "input_audio": {"data": data, "format": if format == "mpeg" { "mp3" } else { format }}})
        }
        (MediaKind::Audio, _) => return refuse("OpenAI's Responses format takes sounds in the request itself only."),
        (MediaKind::Video, source) => match url_of(source, mime.as_deref()) {
            Some(url) if own => json!({"type": "input_video", "video_url": url}),
            _ => return refuse("OpenAI's Responses format takes no films."),
        },
    })
}

fn detail_of(detail: Option<&str>) -> &str {
    detail.unwrap_or("auto")
}

fn url_of(source: &MediaSource, mime: Option<&str>) -> Option<String> {
    match source {
        MediaSource::Url(url) => Some(url.clone()),
        MediaSource::Base64(data) => mime.map(|mime| format!("data:{mime};base64,{data}")),
        MediaSource::Text(_) | MediaSource::Id(_) => None,
    }
}

/// The media type that an image's first bytes tell.
fn image_type(source: &MediaSource) -> Option<&'static str> {
    let MediaSource::Base64(data) = source else { return None };
    let types = [("/9j/", "image/jpeg"), ("iVBOR", "image/png"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp")];
    types.into_iter().find(|(start, _)| data.starts_with(start)).map(|(_, mime)| mime)
}
