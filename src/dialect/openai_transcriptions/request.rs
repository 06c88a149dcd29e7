//! The request, read.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::form::Form;
use crate::{
    chat::Losses,
    dialect::{
        shape::{Shape, check, invalid_json, text},
        single::Asked,
    },
    error::{Error, ErrorKind, Result},
    framing::{
        json::{Object, Value, scan_object},
        multipart::{self, Part},
    },
};

#[rustfmt::skip]
const SHAPES: &[(&str, Shape)] = &[
    ("input_audio",             Shape::Object),
    ("keyterms",                Shape::Array),
    ("language",                Shape::String),
    ("model",                   Shape::String),
    ("models",                  Shape::Array),
    ("prompt",                  Shape::String),
    ("provider",                Shape::Object),
    ("response_format",         Shape::String),
    ("session_id",              Shape::String),
    ("stream",                  Shape::Bool),
    ("tags",                    Shape::Array),
    ("temperature",             Shape::Number { min: 0.0, max: 1.0 }),
    ("timestamp_granularities", Shape::Array),
    ("trace",                   Shape::Object),
    ("user",                    Shape::String),
];

/// Sound of less than this many bits a second is hardly speech that can be understood: by it the longest
/// that so many bytes may last.
const LEAST_BITS_A_SECOND: u64 = 8_000;

/// A request, checked.
#[derive(Debug)]
pub struct Call<'a> {
    pub(super) body: Body<'a>,
    /// What the gateway knows of it.
    pub asked: Asked,
    /// What has to be known when the answer comes.
    pub wanted: Wanted,
}

/// In which of its two forms it came.
#[derive(Debug)]
pub(super) enum Body<'a> {
    Form(Vec<Part<'a>>),
    Json(Object<'a>),
}

/// What has to be known of a request when its answer comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The answer is plain text (`text`, `srt`, `vtt`).
    pub plain: bool,
    /// How long the sound is, as far as its bytes tell, in milliseconds.
    pub milliseconds: u64,
}

/// Reads and checks a request, a form or JSON by its `content-type`.
pub fn parse<'a>(content_type: &str, body: &'a [u8]) -> Result<Call<'a>> {
    match multipart::boundary(content_type) {
        Some(boundary) => parse_form(body, &boundary),
        None if content_type.trim_start().to_ascii_lowercase().starts_with("multipart/") => Err(Error::new(
            ErrorKind::InvalidRequest,
            "The content-type header must be multipart/form-data and name the boundary.",
        )
        .code("invalid_multipart")),
        None => parse_json(body),
    }
}

fn parse_form<'a>(body: &'a [u8], boundary: &str) -> Result<Call<'a>> {
    let parts = multipart::parse(body, boundary).map_err(|malformed| {
        let message = format!(
            "The request body is not a valid form: {} (at byte {} of {}).",
            malformed.what,
            malformed.at,
            body.len()
        );
        Error::new(ErrorKind::InvalidRequest, message).code("invalid_multipart")
    })?;
    let form = Form(&parts);
    let file =
        form.only("file")?.ok_or_else(|| Error::invalid("file", "file is missing: send the sound as a file."))?;
    if file.filename.is_none() || file.value.is_empty() {
        return Err(Error::invalid("file", "file must be a file with a name that is not empty."));
    }
    if matches!(form.text("stream")?.as_deref(), Some("true" | "1" | "True")) {
        return Err(no_stream());
    }
    if let Some(temperature) = form.text("temperature")?
        && !temperature.parse::<f64>().is_ok_and(|t| (0.0..=1.0).contains(&t))
    {
        return Err(Error::invalid("temperature", "temperature must be a number between 0 and 1."));
    }
    let mut asked = form.asked()?;
    let milliseconds = duration(file.value);
    asked.weight.text = form.text("prompt")?.map_or(0, |prompt| prompt.len());
    weigh(&mut asked, file.value.len(), milliseconds);
    let plain = is_plain(form.text("response_format")?.as_deref());
    Ok(Call { body: Body::Form(parts), asked, wanted: Wanted { plain, milliseconds } })
}

fn parse_json(body: &[u8]) -> Result<Call<'_>> {
    let object = scan_object(body).map_err(|malformed| invalid_json(&malformed, body.len()))?;
    check(&object, SHAPES, &["plugins", "preset"])?;
    let audio = object.get("input_audio").and_then(Value::object);
    let audio = audio
        .ok_or_else(|| Error::invalid("input_audio", "input_audio is missing: send the sound as {data, format}."))?;
    let (data, url) = (text(&audio, "data"), text(&audio, "url"));
    if data.as_deref().is_none_or(str::is_empty) && url.is_none() {
        return Err(Error::invalid("input_audio.data", "input_audio.data must be the sound in base64."));
    }
    if object.get("stream").and_then(Value::as_bool) == Some(true) {
        return Err(no_stream());
    }
    let mut asked = Asked::of(&object, None, &["input_audio", "stream"])?;
    asked.weight.text = object.get("prompt").map_or(0, |prompt| prompt.text.len());
    let sound = data.map(|data| decoded(&data)).transpose()?.unwrap_or_default();
    let milliseconds = duration(&sound);
    weigh(&mut asked, sound.len(), milliseconds);
    let plain = is_plain(text(&object, "response_format").as_deref());
    Ok(Call { body: Body::Json(object), asked, wanted: Wanted { plain, milliseconds } })
}

fn weigh(asked: &mut Asked, bytes: usize, milliseconds: u64) {
    asked.weight.media = 1;
    asked.weight.media_bytes = bytes;
    asked.units.milliseconds = milliseconds;
}

fn no_stream() -> Error {
    Losses::refuse("stream", "Transcriptions are not streamed by this gateway; leave `stream` out.")
}

fn is_plain(format: Option<&str>) -> bool {
    matches!(format, Some("text" | "srt" | "vtt"))
}

/// Base64, or a `data:` URL, as bytes.
pub(super) fn decoded(base64: &str) -> Result<Vec<u8>> {
    let data = base64.split_once(";base64,").map_or(base64, |(_, data)| data);
    STANDARD.decode(data).map_err(|_| Error::invalid("input_audio.data", "input_audio.data must be valid base64."))
}

/// How long a sound is, in milliseconds: of WAV what its header says, else the longest that it can be.
fn duration(sound: &[u8]) -> u64 {
    let bytes = u64::try_from(sound.len()).unwrap_or(u64::MAX);
    let number = |at: usize| {
        let four = sound.get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok())?;
        Some(u64::from(u32::from_le_bytes(four)))
    };
    let wav = sound.starts_with(b"RIFF") && sound.get(8..16) == Some(b"WAVEfmt ");
    let rate = number(28).filter(|rate| wav && *rate * 8 >= LEAST_BITS_A_SECOND);
    match rate {
        Some(rate) => bytes.saturating_mul(1000) / rate,
        None => bytes.saturating_mul(8_000) / LEAST_BITS_A_SECOND,
    }
}
