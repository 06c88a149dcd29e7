//! Speech (`POST /v1/audio/speech`): text in, sound out.
//!
//! Facts: platform.openai.com/docs/api-reference/audio/createSpeech,
//! openrouter.ai/docs/api/api-reference (Speech), console.groq.com/docs/text-to-speech; as of November 2026.
//!
//! - The request: `{model, input, voice, response_format, speed, instructions, stream_format}`; OpenRouter's
//!   `input` may also be turns of several speakers.
//! - The answer is the sound itself, as it is made (`audio/mpeg` and so on), and says nothing of what was
//!   used: that is known from the request. `stream_format: "sse"` would be events with pieces of base64 in
//!   them: refused here, for the sound comes in pieces anyway.

use super::{
    Target,
    passing::{Finish, ResponseFacts, Usage},
    shape::{Shape, check, invalid_json, text},
    single::{Answered, Asked, Given, Outbound, outbound},
};
use crate::{
    catalog::Tokens,
    chat::Losses,
    error::{Error, Result},
    framing::json::{Kind, Object, Value, scan_object},
};

#[rustfmt::skip]
const SHAPES: &[(&str, Shape)] = &[
    ("input",            Shape::StringOrArray),
    ("input_references", Shape::Array),
    ("instructions",     Shape::String),
    ("model",            Shape::String),
    ("models",           Shape::Array),
    ("provider",         Shape::Object),
    ("response_format",  Shape::String),
    ("session_id",       Shape::String),
    ("speed",            Shape::Number { min: 0.25, max: 4.0 }),
    ("stream_format",    Shape::String),
    ("tags",             Shape::Array),
    ("trace",            Shape::Object),
    ("user",             Shape::String),
    ("voice",            Shape::StringOrObject),
];

/// A request, checked.
#[derive(Debug)]
pub struct Call<'a> {
    object: Object<'a>,
    /// What the gateway knows of it.
    pub asked: Asked,
}

/// Reads and checks a request.
pub fn parse(body: &[u8]) -> Result<Call<'_>> {
    let object = scan_object(body).map_err(|malformed| invalid_json(&malformed, body.len()))?;
    check(&object, SHAPES, &["plugins", "preset"])?;
    let input = object.get("input").filter(|value| !matches!(value.text, "null" | "[]" | "\"\""));
    let input = input.ok_or_else(|| Error::invalid("input", "input is missing: send the text to be spoken."))?;
    match text(&object, "stream_format").as_deref() {
        None | Some("audio") => {}
        Some(_) => {
            let why = "Only \"audio\" is supported: the sound is passed on as it is made. Leave `stream_format` out.";
            return Err(Losses::refuse("stream_format", why));
        }
    }
    let mut asked = Asked::of(&object, None, &["input", "stream_format"])?;
    let instructions = object.get("instructions").map_or(0, |value| value.text.len());
    asked.weight.text = input.text.len() + instructions;
    asked.units.characters = u64::try_from(characters(input)).unwrap_or(u64::MAX);
    Ok(Call { object, asked })
}

/// Characters of a text, or of all texts of its turns.
fn characters(input: &Value<'_>) -> usize {
    match input.kind {
        Kind::String => input.as_str().map_or(0, |text| text.chars().count()),
        Kind::Array => input.items().iter().map(characters).sum(),
        Kind::Object => {
            let spoken = |key: &str| matches!(key, "text" | "content" | "input");
            input.members().iter().filter(|member| spoken(&member.key)).map(|member| characters(&member.value)).sum()
        }
        Kind::Null | Kind::Bool | Kind::Number => 0,
    }
}

/// The request for a provider.
pub fn encode(call: &Call<'_>, target: &Target<'_>) -> Outbound {
    Outbound::edits("/audio/speech", outbound(&call.object, target).finish())
}

/// What is known of a sound that was made: its characters exactly, its tokens by estimate.
pub fn made(characters: u64, finish: &Finish) -> Answered {
    let tokens = Tokens { prompt: finish.estimated_prompt, characters, ..Tokens::default() };
    let facts =
        ResponseFacts { usage: Usage { tokens, estimated: true, provider_cost: None }, ..ResponseFacts::default() };
    let cost = finish.cost(&facts.usage.tokens);
    Answered { facts, cost, body: Given::Edits(Vec::new()) }
}
