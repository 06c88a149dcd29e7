//! Tests of this format: against recorded traffic, our own cases, and bodies that were spoilt.

mod answers;
mod corpus;
mod requests;
mod spoilt;
mod streams;
mod walk;

use serde_json::{Value, json};

use super::{Decoder, Encoder};
use crate::{
    chat::{Answer, Collector, Event, ProviderError},
    dialect::{Frame, Names, Target},
    framing::sse::{self, Splitter},
};

/// A target with these quirks.
pub fn target(quirks: &[String]) -> Target<'_> {
    Target { model: "m", quirks, longest: None, model_longest: None }
}

/// Quirks by their names.
pub fn quirks(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// How the gateway names its answers here.
pub fn names() -> Names {
    Names { id: "gen-1".to_owned(), model: "a/b".to_owned(), provider: "P".to_owned(), created: 7, ..Names::default() }
}

/// Events of a stream whose bytes come in pieces of that size.
pub fn events(stream: &[u8], piece: usize) -> Vec<Event> {
    let (mut splitter, mut decoder, mut out) = (Splitter::default(), Decoder::new(), Vec::new());
    let mut frame = |decoder: &mut Decoder, event: &[u8]| {
        let name = event.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(b"event:"));
        let name = name.map(|name| String::from_utf8_lossy(name).trim().to_owned());
        if let Some(data) = sse::data(event) {
            decoder.push(&Frame { event: name.as_deref(), data: &data.bytes }, &mut out);
        }
    };
    for chunk in stream.chunks(piece.max(1)) {
        splitter.push(chunk, |event| frame(&mut decoder, event)).unwrap();
    }
    let rest = splitter.take_rest();
    frame(&mut decoder, &rest);
    decoder.finish(&mut out);
    out
}

/// What they come to.
pub fn collected(events: &[Event]) -> Result<Answer, ProviderError> {
    let mut collector = Collector::default();
    for event in events {
        collector.push(event.clone());
    }
    collector.finish()
}

/// The stream that a client gets of these events.
pub fn written(events: &[Event], names: Names) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(names), Vec::new());
    for event in events {
        encoder.push(event, &mut out);
    }
    let usage = events.iter().rev().find_map(|event| if let Event::Usage(usage) = event { Some(usage) } else { None });
    let cost = json!({ "cost": 0.5 }).as_object().unwrap().clone();
    encoder.end(usage, cost, &mut out);
    out
}

/// The chunks of a stream.
pub fn chunks(stream: &[u8]) -> Vec<Value> {
    let text = String::from_utf8(stream.to_vec()).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
    data.filter(|data| *data != "[DONE]").filter_map(|data| serde_json::from_str(data).ok()).collect()
}
