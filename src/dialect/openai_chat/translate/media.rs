//! Media in URLs and in base64, and the short names of sounds.

use crate::{
    chat::{Media, MediaKind, MediaSource},
    error::{Error, Result},
};

/// Sounds by the short name that `input_audio.format` wants.
const SOUNDS: [(&str, &str); 8] = [
    ("wav", "audio/wav"),
    ("mp3", "audio/mpeg"),
    ("flac", "audio/flac"),
    ("m4a", "audio/mp4"),
    ("ogg", "audio/ogg"),
    ("aac", "audio/aac"),
    ("webm", "audio/webm"),
    ("pcm16", "audio/pcm"),
];

/// How base64 of known files begins.
const BEGINNINGS: [(&str, &str); 8] = [
    ("iVBOR", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("JVBERi", "application/pdf"),
    ("SUQz", "audio/mpeg"),
    ("//", "audio/mpeg"),
    ("AAAA", "video/mp4"),
];

/// A medium of nothing but its kind and source.
pub fn medium(kind: MediaKind, mime: Option<String>, source: MediaSource) -> Media {
    Media { kind, mime, source, name: None, detail: None, transcript: None }
}

/// The media type and source behind a URL.
pub fn from_url(mut url: String, path: &str) -> Result<(Option<String>, MediaSource)> {
    if !url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) {
        return Ok((None, MediaSource::Url(url)));
    }
    let head = url.find(',').filter(|comma| url.get(..*comma).is_some_and(|head| head.ends_with(";base64")));
    let Some(comma) = head else {
        return Err(Error::invalid(
            path,
            format!("{path} must be a URL or a base64 data URL (data:<type>;base64,...)."),
        ));
    };
    let mime = url.get(5..comma).and_then(|head| head.split(';').next()).filter(|mime| !mime.is_empty());
    let mime = mime.map(str::to_ascii_lowercase);
    url.drain(..=comma);
    Ok((mime, MediaSource::Base64(url)))
}

/// As [`from_url`], where bare base64 is meant if it is no URL.
pub fn from_url_or_base64(text: String, path: &str) -> Result<(Option<String>, MediaSource)> {
    if text.contains("://") || text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) {
        from_url(text, path)
    } else {
        Ok((None, MediaSource::Base64(text)))
    }
}

/// A URL of it, for as far as it has one.
pub fn to_url(media: &Media) -> Option<String> {
    match &media.source {
        MediaSource::Url(url) => Some(url.clone()),
        MediaSource::Base64(data) => Some(["data:", mime(media, data), ";base64,", data].concat()),
        MediaSource::Text(_) | MediaSource::Id(_) => None,
    }
}

/// The media type: as it is known, as the data begins, or what is usual for its kind.
fn mime<'m>(media: &'m Media, data: &str) -> &'m str {
    let begins = || BEGINNINGS.iter().find(|(beginning, _)| data.starts_with(beginning)).map(|(_, mime)| *mime);
    media.mime.as_deref().or_else(begins).unwrap_or(match media.kind {
        MediaKind::Image => "image/png",
        MediaKind::Audio => "audio/wav",
        MediaKind::Video => "video/mp4",
        MediaKind::Document => "application/pdf",
    })
}

/// The media type of a short name.
pub fn sound_mime(format: &str) -> String {
    let known = SOUNDS.iter().find(|(short, _)| *short == format);
    known.map_or_else(|| format!("audio/{format}"), |(_, mime)| (*mime).to_owned())
}

/// The short name of a sound.
pub fn sound_format(media: &Media, data: &str) -> String {
    let mime = mime(media, data);
    let mime = match mime {
        "audio/mp3" => "audio/mpeg",
        "audio/x-wav" | "audio/wave" => "audio/wav",
        "audio/x-m4a" | "audio/m4a" => "audio/mp4",
        other => other,
    };
    let known = SOUNDS.iter().find(|(_, long)| *long == mime);
    known.map_or_else(|| mime.trim_start_matches("audio/").to_owned(), |(short, _)| (*short).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_urls_are_taken_apart_and_put_together_again() {
        let (mime, source) = from_url("data:Image/PNG;x=1;base64,iVBORw0K".to_owned(), "p").unwrap();
        assert_eq!((mime.as_deref(), &source), (Some("image/png"), &MediaSource::Base64("iVBORw0K".to_owned())));
        let url = to_url(&medium(MediaKind::Image, mime, source)).unwrap();
        assert_eq!(url, "data:image/png;base64,iVBORw0K");
        assert_eq!(from_url("data:text/plain,hi".to_owned(), "p").unwrap_err().param.as_deref(), Some("p"));
        assert_eq!(from_url("gs://a/b".to_owned(), "p").unwrap().1, MediaSource::Url("gs://a/b".to_owned()));
    }

    #[test]
    fn what_data_is_can_be_seen_at_its_beginning() {
        for (data, expected) in [("/9j/4AAQ", "image/jpeg"), ("JVBERi0x", "application/pdf"), ("????", "image/png")] {
            let media = medium(MediaKind::Image, None, MediaSource::Base64(data.to_owned()));
            assert_eq!(to_url(&media).unwrap(), format!("data:{expected};base64,{data}"));
        }
    }

    #[test]
    fn sounds_keep_their_short_names() {
        for short in ["wav", "mp3", "flac", "m4a", "ogg", "aac", "pcm16", "opus"] {
            let media = medium(MediaKind::Audio, Some(sound_mime(short)), MediaSource::Base64(String::new()));
            assert_eq!(sound_format(&media, ""), short);
        }
    }
}
