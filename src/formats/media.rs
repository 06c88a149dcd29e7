//! Media that a client names by address, where the provider wants their bytes. The shell fetches them,
//! from public addresses only; here it is decided which, and they are put in their places.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    catalog::check_base_url,
    chat::{Media, MediaKind, MediaSource, Part, PartKind, Request, Wire},
    dialect::Target,
    error::{Error, Result},
};

/// Largest medium that is fetched, in bytes: what the providers take at most for one (Bedrock and Gemini
/// take less than 20 MB in a request).
pub const MAX_MEDIUM: usize = 20 << 20;
/// All media of a request together: they are in memory as base64 several times over.
const MAX_ALL: usize = 24 << 20;
/// Most media that are fetched for one request.
const MAX_MEDIA: usize = 20;

/// What was at an address, or why nothing was got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// A medium.
    Medium {
        /// Its media type, as the server names it.
        mime: Option<String>,
        /// Its bytes, as base64.
        base64: String,
    },
    /// Nothing.
    Failed(String),
}

impl Fetched {
    /// These bytes.
    pub fn of(content_type: &str, bytes: &[u8]) -> Self {
        let mime = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let says = !mime.is_empty() && mime != "application/octet-stream";
        Self::Medium { mime: says.then_some(mime), base64: STANDARD.encode(bytes) }
    }
}

/// Whether an address may be fetched for a client: `https` or `http`, and not a private one by its name.
/// (What names resolve to is the network's to see to.)
pub fn is_public(url: &str) -> bool {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    let secure = plain.strip_prefix("http://").map_or_else(|| plain.to_owned(), |rest| format!("https://{rest}"));
    secure.starts_with("https://") && check_base_url(&secure, false).is_ok()
}

/// Whether that format, at that provider, takes a medium by its bytes only.
fn wants_bytes(medium: &Media, wire: Wire, target: &Target<'_>) -> bool {
    let MediaSource::Url(url) = &medium.source else { return false };
    if !(url.starts_with("https://") || url.starts_with("http://")) {
        return false;
    }
    let quirk = |name: &str| target.quirks.iter().any(|quirk| quirk == name);
    let image = medium.kind == MediaKind::Image;
    match wire {
        Wire::BedrockConverse | Wire::OllamaChat => true,
        Wire::Gemini => {
            let googles =
                ["https://generativelanguage.googleapis.com/", "https://www.youtube.com/", "https://youtu.be/"];
            !googles.iter().any(|begins| url.starts_with(begins))
        }
        Wire::AnthropicMessages => quirk("vertex") || quirk("bedrock_invoke") || url.starts_with("http://"),
        Wire::OpenaiChat => match medium.kind {
            MediaKind::Image | MediaKind::Video => false,
            MediaKind::Audio => !quirk("audio_url"),
            MediaKind::Document => !(quirk("openrouter") || quirk("file_url") || quirk("document_url")),
        },
        Wire::OpenaiResponses => medium.kind == MediaKind::Audio,
        Wire::CohereChat => !image,
        Wire::OpenaiCompletions => false,
    }
}

/// Addresses that have to be fetched first. One that was tried in vain is an error.
pub fn missing(
    request: &Request,
    wire: Wire,
    target: &Target<'_>,
    fetched: &BTreeMap<String, Fetched>,
) -> Result<Vec<String>> {
    let mut urls: Vec<&str> = Vec::new();
    for media in request.turns.iter().flat_map(|turn| &turn.parts).flat_map(media_of) {
        if let (true, MediaSource::Url(url)) = (wants_bytes(media, wire, target), &media.source)
            && !urls.contains(&url.as_str())
        {
            urls.push(url);
        }
    }
    if urls.len() > MAX_MEDIA {
        let message =
            format!("At most {MAX_MEDIA} media can be fetched for one request: send the others as data URLs.");
        return Err(Error::invalid("messages", message));
    }
    let mut size = 0;
    for url in &urls {
        match fetched.get(*url) {
            Some(Fetched::Failed(why)) => {
                let message = format!(
                    "This provider takes media by their bytes only, and one that the request names by its address could not be fetched: {why}. Send it as a data URL."
                );
                return Err(Error::invalid("messages", message).code("media_unavailable"));
            }
            Some(Fetched::Medium { base64, .. }) => size += base64.len(),
            None => {}
        }
    }
    if size > MAX_ALL / 3 * 4 {
        let message = format!("The media of a request that are fetched may have {} MiB in all.", MAX_ALL >> 20);
        return Err(Error::invalid("messages", message).code("media_unavailable"));
    }
    Ok(urls.into_iter().filter(|url| !fetched.contains_key(*url)).map(str::to_owned).collect())
}

fn media_of(part: &Part) -> Vec<&Media> {
    match &part.kind {
        PartKind::Media(media) => vec![media],
        PartKind::ToolResult(result) => result.parts.iter().flat_map(media_of).collect(),
        _ => Vec::new(),
    }
}

/// Puts what was fetched in place of its address.
pub fn fill(request: &mut Request, wire: Wire, target: &Target<'_>, fetched: &BTreeMap<String, Fetched>) -> Result<()> {
    let mut parts: Vec<&mut Part> = request.turns.iter_mut().flat_map(|turn| &mut turn.parts).collect();
    while let Some(part) = parts.pop() {
        match &mut part.kind {
            PartKind::Media(media) if wants_bytes(media, wire, target) => fill_one(media, fetched)?,
            PartKind::ToolResult(result) => parts.extend(result.parts.iter_mut()),
            _ => {}
        }
    }
    Ok(())
}

fn fill_one(media: &mut Media, fetched: &BTreeMap<String, Fetched>) -> Result<()> {
    let MediaSource::Url(url) = &media.source else { return Ok(()) };
    let Some(Fetched::Medium { mime, base64 }) = fetched.get(url) else {
        return Err(Error::internal("a medium that was not fetched"));
    };
    let is_markup = mime.as_deref().is_some_and(|mime| mime == "text/html");
    if media.kind == MediaKind::Image && is_markup {
        let message = "An address that the request names as an image is that of a web page.";
        return Err(Error::invalid("messages", message).code("media_unavailable"));
    }
    media.mime = mime.clone().or_else(|| media.mime.take());
    media.source = MediaSource::Base64(base64.clone());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Role, ToolResult, Turn};

    const URL: &str = "https://x.example/a.png";

    fn image(url: &str) -> Part {
        Part::new(PartKind::Media(Media {
            kind: MediaKind::Image,
            mime: None,
            source: MediaSource::Url(url.to_owned()),
            name: None,
            detail: None,
            transcript: None,
        }))
    }

    fn request() -> Request {
        let result = ToolResult { call_id: "c".to_owned(), name: None, parts: vec![image(URL)], is_error: false };
        let parts = vec![image(URL), image("s3://b/k"), Part::new(PartKind::ToolResult(result))];
        Request { turns: vec![Turn::new(Role::User, parts)], ..Request::default() }
    }

    fn target() -> Target<'static> {
        Target { model: "m", quirks: &[], longest: None, model_longest: None }
    }

    #[test]
    fn what_has_to_be_fetched_is_named_once_and_put_in_every_place() {
        let (mut request, mut fetched) = (request(), BTreeMap::new());
        assert_eq!(missing(&request, Wire::BedrockConverse, &target(), &fetched).unwrap(), [URL]);
        assert!(missing(&request, Wire::OpenaiChat, &target(), &fetched).unwrap().is_empty());
        fetched.insert(URL.to_owned(), Fetched::of("image/PNG; x=y", b"abc"));
        assert!(missing(&request, Wire::BedrockConverse, &target(), &fetched).unwrap().is_empty());
        fill(&mut request, Wire::BedrockConverse, &target(), &fetched).unwrap();
        let sources: Vec<_> = request.turns[0].parts.iter().flat_map(media_of).map(|media| &media.source).collect();
        let bytes = MediaSource::Base64("YWJj".to_owned());
        assert_eq!(sources, [&bytes, &MediaSource::Url("s3://b/k".to_owned()), &bytes]);
    }

    #[test]
    fn private_addresses_are_not_fetched() {
        for url in ["https://x.example/a.png?b=c#d", "http://x.example/a.png", "https://8.8.8.8/a"] {
            assert!(is_public(url), "{url}");
        }
        for url in [
            "http://127.0.0.1/a",
            "https://localhost/a",
            "http://169.254.169.254/latest/meta-data?x",
            "https://[::1]/",
            "http://2130706433/",
            "file:///etc/passwd",
            "https://user@x.example/",
            "https://10.0.0.1:8080/?https://x.example",
        ] {
            assert!(!is_public(url), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_fetched_is_the_clients_to_mend() {
        let fetched = [(URL.to_owned(), Fetched::Failed("it answered with status 404".to_owned()))].into();
        let error = missing(&request(), Wire::OllamaChat, &target(), &fetched).unwrap_err();
        assert_eq!((error.status(), error.code), (400, Some("media_unavailable")));
        let page = [(URL.to_owned(), Fetched::of("text/html", b"<html>"))].into();
        assert!(fill(&mut request(), Wire::OllamaChat, &target(), &page).is_err());
    }
}
