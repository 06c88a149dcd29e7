mod cases;
mod corpus;

use super::*;
use crate::{
    chat::{Collector, Event},
    dialect::{Frame, Target},
};
use serde_json::Value;

fn target<'t>(model: &'t str, quirks: &'t [String]) -> Target<'t> {
    Target { model, quirks, longest: None, model_longest: None }
}

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

/// What comes of messages with these names and bodies.
fn decoded(messages: &[(&str, Value)]) -> Vec<Event> {
    let (mut decoder, mut out) = (Decoder::default(), Vec::new());
    for (name, data) in messages {
        decoder.push(&Frame { event: Some(name), data: data.to_string().as_bytes() }, &mut out);
    }
    decoder.finish(&mut out);
    out
}

fn collected(events: Vec<Event>) -> Result<crate::chat::Answer, crate::chat::ProviderError> {
    let mut collector = Collector::default();
    for event in events {
        collector.push(event);
    }
    collector.finish()
}
