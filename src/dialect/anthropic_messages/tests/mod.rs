//! Tests of this format: of our own making (`requests`, `answers`, `streams`, `errors`), and against
//! recorded traffic (`corpus`, `damage`).

mod answers;
mod corpus;
mod damage;
mod errors;
mod requests;
mod streams;
mod walker;

use serde_json::{Map, Value, json};

use super::*;
use crate::{
    chat::{Answer, Collector, Event, ProviderError, Request},
    dialect::{Encoded, Frame, Names, Target},
    error::Result,
    framing::sse::{Splitter, data},
};

fn names() -> Names {
    Names { id: "gen-1".to_owned(), model: "a/b".to_owned(), provider: "P".to_owned(), ..Names::default() }
}

/// Encodes for a provider with these quirks.
fn encoded(request: &Request, quirks: &[&str]) -> Result<Encoded> {
    encoded_for(request, "m", quirks)
}

/// The same, for that model.
fn encoded_for(request: &Request, model: &str, quirks: &[&str]) -> Result<Encoded> {
    let quirks: Vec<String> = quirks.iter().map(|&quirk| quirk.to_owned()).collect();
    encode_request(request, &Target { model, quirks: &quirks, longest: None, model_longest: None })
}

/// `event` and data of every event in these pieces of a stream.
fn frames(pieces: &[&[u8]]) -> Vec<(Option<String>, Vec<u8>)> {
    let (mut splitter, mut frames) = (Splitter::default(), Vec::new());
    let mut each = |event: &[u8]| {
        let text = String::from_utf8_lossy(event);
        let name = text.lines().find_map(|line| line.strip_prefix("event:")).map(|name| name.trim().to_owned());
        frames.extend(data(event).map(|data| (name, data.bytes.into_owned())));
    };
    for piece in pieces {
        splitter.push(piece, &mut each).unwrap();
    }
    let rest = splitter.take_rest();
    if !rest.is_empty() {
        each(&rest);
    }
    frames
}

fn decoded(frames: &[(Option<String>, Vec<u8>)]) -> Vec<Event> {
    let (mut decoder, mut events) = (Decoder::default(), Vec::new());
    for (event, data) in frames {
        decoder.push(&Frame { event: event.as_deref(), data }, &mut events);
    }
    decoder.finish(&mut events);
    events
}

fn collected(events: &[Event]) -> Result<Answer, ProviderError> {
    let mut collector = Collector::default();
    for event in events {
        collector.push(event.clone());
    }
    collector.finish()
}

/// What a client gets of these events.
fn written(events: &[Event]) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(names()), Vec::new());
    for event in events {
        encoder.push(event, &mut out);
    }
    encoder.end(None, Map::new(), &mut out);
    out
}

fn user(content: &Value) -> Value {
    json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": content }] })
}
