//! The request for a provider: the client's form, edited, or a form made of JSON.

use std::borrow::Cow;

use super::{
    form::owned,
    request::{Body, Call, decoded},
};
use crate::{
    chat::Losses,
    dialect::{
        Target,
        shape::text,
        single::{GATEWAY_OWNED, Outbound, Place, Sent, has, outbound},
    },
    error::{Error, Result},
    framing::{
        edit::Edit,
        json::{Kind, Object, Value},
        multipart::{self, Field, Part},
    },
};

const PATH: &str = "/audio/transcriptions";

/// The request for a provider.
pub fn encode(call: &Call<'_>, target: &Target<'_>) -> Result<Outbound> {
    match &call.body {
        Body::Form(parts) => Ok(Outbound::edits(PATH, form_edits(parts, target))),
        Body::Json(object) if has(target, "openrouter") => Ok(Outbound::edits(PATH, outbound(object, target).finish())),
        Body::Json(object) => form_of(object, target),
    }
}

/// The model's name there, and nothing that is the gateway's own.
fn form_edits(parts: &[Part<'_>], target: &Target<'_>) -> Vec<Edit> {
    let mut edits = Vec::new();
    for part in parts {
        if part.name == "model" {
            edits.push(Edit { start: part.start, end: part.end(), text: target.model.to_owned() });
        } else if owned(&part.name) {
            edits.push(Edit { start: part.whole_start, end: part.whole_end, text: String::new() });
        }
    }
    edits
}

/// JSON with the sound in it, as a form with the sound as a file.
fn form_of(object: &Object<'_>, target: &Target<'_>) -> Result<Outbound> {
    let audio = object.get("input_audio").and_then(Value::object);
    let data = audio.as_ref().and_then(|audio| text(audio, "data"));
    let data = data.ok_or_else(|| {
        Losses::refuse("input_audio.url", "This provider takes the sound itself; send it as input_audio.data.")
    })?;
    let sound = decoded(&data)?;
    let format = audio.as_ref().and_then(|audio| text(audio, "format")).unwrap_or_else(|| "wav".to_owned());
    if !format.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Error::invalid("input_audio.format", "input_audio.format must be a word such as \"wav\"."));
    }
    let mut losses = Losses::default();
    let mut fields: Vec<(String, String)> = vec![("model".to_owned(), target.model.to_owned())];
    for member in &object.members {
        let (key, value) = (&*member.key, &member.value);
        match (key, value.kind) {
            (_, Kind::Null) | ("model" | "input_audio" | "stream", _) => {}
            _ if GATEWAY_OWNED.contains(&key) => {}
            (_, Kind::String) => fields.push((key.to_owned(), value.as_str().unwrap_or_default().into_owned())),
            (_, Kind::Bool | Kind::Number) => fields.push((key.to_owned(), value.text.to_owned())),
            ("timestamp_granularities" | "include", Kind::Array) => {
                let words = value.items().into_iter().filter_map(|item| item.as_str().map(Cow::into_owned));
                fields.extend(words.map(|word| (format!("{key}[]"), word)));
            }
            _ => losses.add(key),
        }
    }
    let (filename, content_type) = (format!("audio.{format}"), format!("audio/{}", subtype(&format)));
    let mut form: Vec<Field<'_>> = fields
        .iter()
        .map(|(name, value)| Field { name, filename: None, content_type: None, value: value.as_bytes() })
        .collect();
    let (filename, kind) = (Some(filename.as_str()), Some(content_type.as_str()));
    form.push(Field { name: "file", filename, content_type: kind, value: &sound });
    let (boundary, bytes) = multipart::write(&form);
    let content_type = format!("multipart/form-data; boundary={boundary}");
    Ok(Outbound { place: Place::Below(PATH), body: Sent::Form { content_type, bytes }, losses })
}

fn subtype(format: &str) -> &str {
    match format {
        "mp3" => "mpeg",
        "m4a" => "mp4",
        other => other,
    }
}
