//! Tests of this format: small ones of our own, and recorded traffic.

mod corpus;
mod facts;
mod golden;
mod mutated;
mod streams;

use serde_json::{Value, json};

use crate::{
    chat::{Collector, Event, ProviderError},
    dialect::{Frame, Names, Target, openai_responses::Decoder},
    framing::sse::{Splitter, data},
};

/// A provider that speaks this format, with nothing odd about it.
pub(super) fn target() -> Target<'static> {
    Target { model: "m", quirks: &[], longest: None, model_longest: None }
}

/// Names as the gateway gives them.
pub(super) fn names(request: Value) -> Names {
    let cost = json!({"cost": 0.5, "is_byok": false});
    Names {
        id: "gen-1".to_owned(),
        model: "a/b".to_owned(),
        provider: "P".to_owned(),
        created: 7,
        cost: cost.as_object().cloned().unwrap_or_default(),
        extra: serde_json::Map::new(),
        request: Some(request),
    }
}

/// The data of a stream that comes in chunks of at most so many bytes, with the names of its events.
pub(super) fn frames(text: &[u8], chunk: usize) -> Vec<(Option<String>, Vec<u8>)> {
    let (mut splitter, mut found) = (Splitter::default(), Vec::new());
    let mut take = |event: &[u8]| {
        let name = event.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(b"event: "));
        let name = name.map(|name| String::from_utf8_lossy(name).trim().to_owned());
        if let Some(data) = data(event) {
            found.push((name, data.bytes.into_owned()));
        }
    };
    for piece in text.chunks(chunk.max(1)) {
        splitter.push(piece, &mut take).unwrap();
    }
    take(&splitter.take_rest());
    found
}

/// What the decoder makes of a stream.
pub(super) fn events(text: &[u8], chunk: usize) -> Vec<Event> {
    let (mut decoder, mut out) = (Decoder::default(), Vec::new());
    for (event, data) in frames(text, chunk) {
        decoder.push(&Frame { event: event.as_deref(), data: &data }, &mut out);
    }
    decoder.finish(&mut out);
    out
}

/// The answer that these events are.
pub(super) fn collect(events: &[Event]) -> Result<crate::chat::Answer, ProviderError> {
    let mut collector = Collector::default();
    events.iter().cloned().for_each(|event| collector.push(event));
    collector.finish()
}
