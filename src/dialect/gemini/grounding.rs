//! What an answer rests on: `groundingMetadata` (pages and documents that were looked up) and
//! `citationMetadata` (what is recited from the training data) to citations, and back.
//!
//! Google counts in bytes of the part's UTF-8, citations in characters.

use serde_json::{Map, Value, json};

use crate::chat::{Citation, Extra, Wire};

/// Most citations that are read of one answer: each costs a walk through its text.
const MOST: usize = 512;

/// A citation whose place in the text is not found yet.
#[derive(Clone, Debug)]
pub(super) struct Found {
    start: usize,
    end: Option<usize>,
    /// The words that stand at the place, where they are told.
    words: Option<String>,
    citation: Citation,
}

/// All of a candidate's.
pub(super) fn read(candidate: &Map<String, Value>) -> Vec<Found> {
    let mut found = Vec::new();
    if let Some(grounding) = candidate.get("groundingMetadata") {
        read_grounding(grounding, &mut found);
    }
    if let Some(recited) = candidate.get("citationMetadata") {
        read_recited(recited, &mut found);
    }
    found.truncate(MOST);
    found
}

fn items<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn place(value: &Value, name: &str) -> Option<usize> {
    value.get(name)?.as_u64().and_then(|number| usize::try_from(number).ok())
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn read_grounding(grounding: &Value, found: &mut Vec<Found>) {
    let chunks = items(grounding, "groundingChunks");
    let supports = items(grounding, "groundingSupports");
    for support in supports.iter().take(MOST) {
        let nothing = Value::Null;
        let segment = support.get("segment").unwrap_or(&nothing);
        for index in items(support, "groundingChunkIndices") {
            let chunk = index.as_u64().and_then(|index| chunks.get(usize::try_from(index).ok()?));
            if let Some(citation) = chunk.and_then(read_chunk)
                && found.len() < MOST
            {
                let (start, end) = (place(segment, "startIndex").unwrap_or(0), place(segment, "endIndex"));
                found.push(Found { start, end, words: text(segment, "text"), citation });
            }
        }
    }
    if supports.is_empty() {
        let whole = |citation| Found { start: 0, end: None, words: None, citation };
        found.extend(chunks.iter().filter_map(read_chunk).map(whole));
    }
}

/// A page on the web, a place on the map, or a document of the client's.
fn read_chunk(chunk: &Value) -> Option<Citation> {
    let source = ["web", "retrievedContext", "maps", "image"].iter().find_map(|kind| chunk.get(kind))?;
    let url = text(source, "uri").or_else(|| text(source, "sourceUri"));
    let citation = Citation { url, title: text(source, "title"), cited: text(source, "text"), ..Citation::default() };
    (citation != Citation::default()).then_some(citation)
}

/// `citations` on Vertex, `citationSources` in AI Studio; those without an address name nothing.
fn read_recited(recited: &Value, found: &mut Vec<Found>) {
    for source in items(recited, "citationSources").iter().chain(items(recited, "citations")) {
        if let Some(url) = text(source, "uri") {
            let citation = Citation { url: Some(url), title: text(source, "title"), ..Citation::default() };
            let (start, end) = (place(source, "startIndex").unwrap_or(0), place(source, "endIndex"));
            found.push(Found { start, end, words: None, citation });
        }
    }
}

impl Found {
    /// The citation with its place in this text, which begins so many bytes after the text that Google
    /// counts in; `None` where what is cited does not stand in it.
    pub(super) fn located(&self, text: &str, before: usize) -> Option<Citation> {
        let (start, end) = (self.start.checked_sub(before)?, self.end?.checked_sub(before)?);
        let words = text.get(start..end)?;
        if self.words.as_ref().is_some_and(|said| said != words) {
            return None;
        }
        let first = text.get(..start)?.chars().count();
        let count = |chars: usize| u64::try_from(chars).ok();
        Some(Citation { start: count(first), end: count(first + words.chars().count()), ..self.citation.clone() })
    }

    /// The citation of the text as a whole.
    pub(super) fn anywhere(self) -> Citation {
        self.citation
    }
}

/// `groundingMetadata` of citations: each with the text on which it stands, and the bytes before that.
pub(super) fn write<'c>(cited: impl Iterator<Item = (&'c Citation, &'c str, usize)>) -> Option<Value> {
    let (mut chunks, mut supports) = (Vec::<Value>::new(), Vec::new());
    for (citation, text, before) in cited {
        let chunk = write_chunk(citation);
        let index = chunks.iter().position(|known| *known == chunk).unwrap_or_else(|| {
            chunks.push(chunk);
            chunks.len() - 1
        });
        if let Some(segment) = write_segment(citation, text, before) {
            supports.push(json!({ "segment": segment, "groundingChunkIndices": [index] }));
        }
    }
    if chunks.is_empty() {
        return None;
    }
    let mut grounding = json!({ "groundingChunks": chunks });
    if let (Some(grounding), false) = (grounding.as_object_mut(), supports.is_empty()) {
        grounding.insert("groundingSupports".to_owned(), supports.into());
    }
    Some(grounding)
}

fn write_chunk(citation: &Citation) -> Value {
    let mut source = Map::new();
    for (name, value) in [("uri", &citation.url), ("title", &citation.title), ("text", &citation.cited)] {
        // A page's own words have no place in `web`.
        if let Some(value) = value.as_ref().filter(|_| name != "text" || citation.url.is_none()) {
            source.insert(name.to_owned(), value.as_str().into());
        }
    }
    json!({ if citation.url.is_some() { "web" } else { "retrievedContext" }: source })
}

fn write_segment(citation: &Citation, text: &str, before: usize) -> Option<Value> {
    let byte = |char: u64| {
        let char = usize::try_from(char).ok()?;
        text.char_indices().map(|(byte, _)| byte).chain([text.len()]).nth(char)
    };
    let (start, end) = (byte(citation.start?)?, byte(citation.end?)?);
    Some(json!({ "startIndex": before + start, "endIndex": before + end, "text": text.get(start..end)? }))
}

/// Which members of a candidate say what it rests on: they are kept for this format as they came.
pub(super) fn kept(extra: &Extra) -> bool {
    extra
        .own(Wire::Gemini)
        .is_some_and(|own| own.contains_key("groundingMetadata") || own.contains_key("citationMetadata"))
}

/// Searches of the web that were made for a candidate.
pub(super) fn searches(candidate: &Map<String, Value>) -> u64 {
    let queries = candidate.get("groundingMetadata").map_or(&[][..], |grounding| items(grounding, "webSearchQueries"));
    u64::try_from(queries.len()).unwrap_or(0)
}
