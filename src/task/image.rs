//! Pictures: by the format made for them, and by models that draw in conversation.

use serde_json::{Map, Value, json};

use super::{like_openai, not_there};
use crate::{
    budget::estimate::estimate_tokens,
    catalog::{Dialect, Tokens},
    chat::{
        Answer, Extra, FinishReason, Media, MediaKind, MediaSource, Part, PartKind, ProviderError, Request, Role, Turn,
        Wire,
    },
    dialect::{
        Encoded, Target, gemini,
        openai_chat::translate as chat_format,
        openai_images::{self, Call, Drawn, Picture, Wanted},
        passing::{Finish, ResponseFacts, Usage},
        single::{Outbound, Place, Read, Sent, has, malformed, no_answer},
    },
    error::Result,
    provider::google::Verb,
    routing::fallback::Cause,
};

/// Quirk: the models of this provider draw in conversation (`modalities: ["image", "text"]`).
const IN_CHAT: &str = "images_in_chat";

/// The request for a provider that speaks so.
pub fn encode(call: &Call<'_>, dialect: Dialect, target: &Target<'_>) -> Result<Outbound> {
    match dialect {
        dialect if like_openai(dialect) && has(target, IN_CHAT) => {
            let picture = call.decode()?;
            let encoded = chat_format::encode_request(&request(&picture, Wire::OpenaiChat), target)?;
            Ok(outbound(Place::Below("/chat/completions"), encoded, &picture))
        }
        dialect if like_openai(dialect) => Ok(openai_images::encode(call, target)),
        Dialect::Gemini | Dialect::Vertex => {
            let picture = call.decode()?;
            let encoded = gemini::encode_request(&request(&picture, Wire::Gemini), target)?;
            Ok(outbound(Place::Google(Verb::Generate), encoded, &picture))
        }
        _ => Err(not_there("images")),
    }
}

fn outbound(place: Place, encoded: Encoded, picture: &Picture) -> Outbound {
    let Encoded { body, mut losses } = encoded;
    for loss in picture.losses.list() {
        losses.add(loss.field.clone());
    }
    Outbound { place, body: Sent::Json(body), losses }
}

/// What is to be seen, as a conversation that asks for it.
fn request(picture: &Picture, wire: Wire) -> Request {
    let mut parts: Vec<Part> =
        picture.references.iter().map(|url| Part::new(PartKind::Media(reference(url)))).collect();
    parts.push(Part::text(&*picture.prompt));
    let (outer, ratio, size) = match wire {
        Wire::Gemini => ("generationConfig", "aspectRatio", "imageSize"),
        _ => ("image_config", "aspect_ratio", "image_size"),
    };
    let mut config = Map::new();
    for (name, value) in [(ratio, &picture.aspect_ratio), (size, &picture.resolution)] {
        if let Some(value) = value {
            config.insert(name.to_owned(), value.as_str().into());
        }
    }
    let mut extra = Map::new();
    if !config.is_empty() {
        let config = Value::Object(config);
        extra.insert(outer.to_owned(), if wire == Wire::Gemini { json!({ "imageConfig": config }) } else { config });
    }
    Request {
        turns: vec![Turn::new(Role::User, parts)],
        modalities: vec!["image".to_owned()],
        // Gemini has no place for the user, who did not ask for one either.
        user: picture.user.clone().filter(|_| wire == Wire::OpenaiChat),
        extra: Extra::of(wire, extra),
        ..Request::default()
    }
}

fn reference(url: &str) -> Media {
    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    let (mime, source) = match inline {
        Some((mime, data)) => (Some(mime.to_owned()), MediaSource::Base64(data.to_owned())),
        None => (None, MediaSource::Url(url.to_owned())),
    };
    Media { kind: MediaKind::Image, mime, source, name: None, detail: None, transcript: None }
}

/// Reads a body that came with status 200.
pub fn read_answer(wanted: Wanted, dialect: Dialect, target: &Target<'_>, body: &[u8], finish: &Finish) -> Read {
    let in_chat = has(target, IN_CHAT);
    if like_openai(dialect) && !in_chat {
        return openai_images::read_answer(body, finish);
    }
    let tree: Value = serde_json::from_slice(body).map_err(|_| malformed())?;
    let answer =
        if in_chat && like_openai(dialect) { chat_format::decode_answer(tree) } else { gemini::decode_answer(tree) };
    drawn(answer.map_err(no_answer)?, wanted, finish)
}

fn drawn(answer: Answer, wanted: Wanted, finish: &Finish) -> Read {
    let Answer { id, choices, usage, service_tier, .. } = answer;
    let (mut pictures, mut reason, mut native) = (Vec::new(), None, None);
    let (mut filtered, mut words) = (false, String::new());
    for choice in choices {
        if let Some(end) = &choice.finish {
            filtered |= end.reason == FinishReason::ContentFilter;
            reason = reason.or_else(|| Some(end.reason.as_str().to_owned()));
            native = native.or_else(|| end.native.clone());
        }
        for part in choice.parts {
            match part.kind {
                PartKind::Media(Media { kind: MediaKind::Image, mime, source, .. }) => match source {
                    MediaSource::Base64(data) => pictures.push(Drawn { mime, data: Ok(data) }),
                    MediaSource::Url(url) => pictures.push(Drawn { mime, data: Err(url) }),
                    MediaSource::Text(_) | MediaSource::Id(_) => {}
                },
                PartKind::Text { text, .. } | PartKind::Refusal(text) => words.push_str(&text),
                _ => {}
            }
        }
    }
    if pictures.is_empty() {
        return Err(nothing_drawn(filtered, &words));
    }
    let usage = usage.map_or_else(
        || {
            let tokens = Tokens { prompt: finish.estimated_prompt, ..Tokens::default() };
            Usage { tokens, estimated: true, provider_cost: None }
        },
        |used| {
            let mut tokens = used.tokens;
            // What is neither words nor thoughts is the picture, where nobody tells them apart.
            if tokens.completion_image == 0 {
                let words = estimate_tokens(words.len()).saturating_add(tokens.reasoning);
                tokens.completion_image = tokens.completion.saturating_sub(words);
            }
            Usage { tokens, estimated: false, provider_cost: used.provider_cost }
        },
    );
    let facts = ResponseFacts {
        upstream_id: id,
        finish_reason: reason,
        native_finish_reason: native,
        usage,
        service_tier,
        ..ResponseFacts::default()
    };
    Ok(openai_images::encode_answer(pictures, facts, wanted, finish))
}

/// The model answered, but with words alone: as a provider's refusal, which another provider of the same
/// model would repeat.
fn nothing_drawn(filtered: bool, words: &str) -> (Cause, ProviderError) {
    let said: String = words.chars().take(300).collect();
    let message = match said.trim() {
        "" => "The model answered without a picture.".to_owned(),
        said => format!("The model answered without a picture: {}", crate::chat::redact(said)),
    };
    let code = if filtered { "content_filter" } else { "no_image" };
    let error = ProviderError { message: Some(message), code: Some(code.to_owned()), param: None, status: Some(400) };
    (Cause::ErrorInBody(Some(400)), error)
}
