mod cases;
mod corpus;

use super::*;
use crate::{
    chat::{Answer, Collector, Event, ProviderError},
    dialect::{Frame, Target},
};
use serde_json::Value;

fn target(model: &str) -> Target<'_> {
    Target { model, quirks: &[], longest: None, model_longest: None }
}

/// What comes of these events' data.
fn decoded<'d>(frames: impl IntoIterator<Item = &'d [u8]>) -> Vec<Event> {
    let (mut decoder, mut out) = (Decoder::default(), Vec::new());
    for data in frames {
        decoder.push(&Frame { event: None, data }, &mut out);
    }
    decoder.finish(&mut out);
    out
}

fn collected(events: Vec<Event>) -> Result<Answer, ProviderError> {
    let mut collector = Collector::default();
    for event in events {
        collector.push(event);
    }
    collector.finish()
}
