//! What a prompt is made of, seen without reading it: how much of a body is images, sounds and films.
//!
//! Chat's own reader counts parts while it checks them; other formats are searched for base64 and for
//! addresses of media. Too little is never found for text: what is not taken for a medium counts as text,
//! for which the bound is higher.

use memchr::memmem;

use crate::budget::estimate::Weight;

/// Shorter runs of base64 are taken for text.
const LEAST: usize = 512;
/// How far before its data the media type of a medium is looked for.
const BEFORE: usize = 256;
/// Marks before the data of a medium: of data URLs, of members.
const DATA: [&[u8]; 3] = [b";base64,", b"\"data\":\"", b"\"data\": \""];
/// Marks of media that are elsewhere.
const ELSEWHERE: [&[u8]; 8] = [
    b"\"type\":\"url\"",
    b"\"type\": \"url\"",
    b"\"image_url\":\"http",
    b"\"image_url\": \"http",
    b"\"file_id\"",
    b"\"file_url\"",
    b"\"fileUri\"",
    b"\"file_uri\"",
];

/// What a body weighs.
pub fn weigh(body: &[u8]) -> Weight {
    let (mut media, mut media_bytes) = (0_u32, 0);
    for mark in DATA {
        for at in memmem::find_iter(body, mark) {
            let data = body.get(at + mark.len()..).unwrap_or_default();
            let length = memchr::memchr(b'"', data).unwrap_or(data.len());
            let before = body.get(at.saturating_sub(BEFORE)..at).unwrap_or_default();
            let is_medium =
                ["image/", "audio/", "video/"].iter().any(|kind| memmem::find(before, kind.as_bytes()).is_some());
            if length >= LEAST && is_medium {
                media = media.saturating_add(1);
                media_bytes += length;
            }
        }
    }
    for mark in ELSEWHERE {
        media = media.saturating_add(u32::try_from(memmem::find_iter(body, mark).count()).unwrap_or(u32::MAX));
    }
    Weight { text: body.len().saturating_sub(media_bytes), media, media_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_are_told_apart_from_text() {
        let long = "A".repeat(1000);
        for (body, media, media_bytes) in [
            (r#"{"text":"an image/png"}"#.to_owned(), 0, 0),
            (format!(r#"{{"source":{{"type":"base64","media_type":"image/png","data":"{long}"}}}}"#), 1, 1000),
            (format!(r#"{{"source":{{"media_type":"application/pdf","data":"{long}"}}}}"#), 0, 0),
            (format!(r#"{{"image_url":"data:image/png;base64,{long}"}}"#), 1, 1000),
            (format!(r#"{{"inlineData":{{"mimeType":"audio/wav","data":"{long}"}}}}"#), 1, 1000),
            (r#"{"source":{"type":"url","url":"https://x/y.png"}}"#.to_owned(), 1, 0),
            (r#"{"fileData":{"fileUri":"https://x/y.png"}}"#.to_owned(), 1, 0),
        ] {
            let weight = weigh(body.as_bytes());
            assert_eq!((weight.media, weight.media_bytes), (media, media_bytes), "{body:.80}");
            assert_eq!(weight.text + weight.media_bytes, body.len());
        }
    }
}
