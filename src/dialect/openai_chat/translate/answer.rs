//! The canonical answer, as one of this format.
//!
//! Texts of one answer are one string, as they are in a stream. What other formats have beside words,
//! thoughts, media and calls of the client's tools (tools that a provider ran itself) has no place here.

use serde_json::{Map, Value, json};

use super::{WIRE, media::to_url, reasoning::Details};
use crate::{
    chat::{Answer, Choice, Citation, Finish, FinishReason, Media, MediaKind, MediaSource, PartKind, ToolCall},
    dialect::{Names, openai_common::write_usage},
};

/// Writes an answer for a client.
pub fn encode_answer(answer: &Answer, names: &Names) -> Value {
    let Answer { id: _, model: _, created, choices, usage, service_tier, extra } = answer;
    let wishes = Wishes::of(names);
    let mut body = Map::new();
    let members = [
        ("id", json!(names.id)),
        ("object", json!("chat.completion")),
        ("created", json!(created.unwrap_or(names.created))),
        ("model", json!(names.model)),
        ("provider", json!(names.provider)),
        ("system_fingerprint", Value::Null),
    ];
    body.extend(members.map(|(name, value)| (name.to_owned(), value)));
    body.extend(service_tier.clone().map(|tier| ("service_tier".to_owned(), tier.into())));
    let choices = choices.iter().enumerate().map(|(n, choice)| write_choice(choice, n, wishes, names));
    body.insert("choices".to_owned(), Value::Array(choices.collect()));
    body.extend(usage.as_ref().map(|usage| ("usage".to_owned(), write_usage(usage, WIRE, names.cost.clone()))));
    for (name, value) in extra.own(WIRE).into_iter().flatten().chain(&names.extra) {
        body.insert(name.clone(), value.clone());
    }
    Value::Object(body)
}

/// What a client's request says of the form of its answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// Thoughts are not to be shown.
    pub hidden: bool,
    /// It speaks of functions, as before there were tools.
    pub functions: bool,
}

impl Wishes {
    /// Of that client.
    pub fn of(names: &Names) -> Self {
        let Some(request) = &names.request else { return Self::default() };
        let said = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
        let excluded = request.get("reasoning").and_then(|reasoning| reasoning.get("exclude")?.as_bool());
        let included = request.get("include_reasoning").and_then(Value::as_bool);
        Self {
            hidden: excluded.unwrap_or(included == Some(false)),
            functions: said(request.get("functions")) && !said(request.get("tools")),
        }
    }

    /// The word for how an answer ended.
    pub fn finish(self, reason: FinishReason) -> &'static str {
        if self.functions && reason == FinishReason::ToolCalls { "function_call" } else { reason.as_str() }
    }
}

fn write_choice(choice: &Choice, index: usize, wishes: Wishes, names: &Names) -> Value {
    let Choice { parts, finish, logprobs, extra } = choice;
    let mut message = Map::new();
    let (mut text, mut refusal, mut thoughts) = (None::<String>, None::<String>, None::<String>);
    let (mut details, mut calls, mut images, mut annotations) =
        (Details::default(), Vec::new(), Vec::new(), Vec::new());
    for part in parts {
        match &part.kind {
            PartKind::Text { text: words, citations } => {
                let before = text.as_ref().map_or(0, |text: &String| text.chars().count() as u64);
                annotations.extend(citations.iter().map(|citation| write_citation(citation, before)));
                text.get_or_insert_default().push_str(words);
            }
            PartKind::Refusal(words) => refusal.get_or_insert_default().push_str(words),
            PartKind::Reasoning(_) if wishes.hidden => {}
            PartKind::Reasoning(reasoning) => {
                let summary = reasoning.summary.join("\n\n");
                let shown = reasoning.text.as_ref().or((!summary.is_empty()).then_some(&summary));
                if let Some(shown) = shown {
                    thoughts.get_or_insert_default().push_str(shown);
                }
                details.add(reasoning);
            }
            PartKind::ToolCall(call) => {
                if let Some(signature) = &call.signature {
                    details.call(&call.id, signature);
                }
                calls.push(call);
            }
            PartKind::Media(media) if media.kind == MediaKind::Audio => {
                message.insert("audio".to_owned(), write_sound(media, names));
            }
            PartKind::Media(media) => {
                let image = to_url(media).map(|url| json!({ "type": "image_url", "image_url": { "url": url } }));
                images.extend(image);
            }
            PartKind::Foreign(wire, value) if *wire == WIRE && Details::is_one(value) => details.foreign(value),
            PartKind::Foreign(..) | PartKind::ToolResult(_) => {}
        }
    }
    let details = details.list();
    message.insert("role".to_owned(), "assistant".into());
    message.insert("content".to_owned(), text.into());
    message.insert("refusal".to_owned(), refusal.into());
    message.insert("reasoning".to_owned(), thoughts.into());
    let lists = [("reasoning_details", details), ("images", images), ("annotations", annotations)];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        message.insert(name.to_owned(), list.into());
    }
    match calls.first() {
        Some(call) if wishes.functions => {
            message.insert("function_call".to_owned(), json!({ "name": call.name, "arguments": call.arguments }));
        }
        Some(_) => {
            let calls = calls.iter().enumerate().map(|(n, call)| write_call(call, n));
            message.insert("tool_calls".to_owned(), Value::Array(calls.collect()));
        }
        None => {}
    }
    let mut written = Map::new();
    written.insert("index".to_owned(), index.into());
    written.insert("logprobs".to_owned(), logprobs.clone().unwrap_or_default());
    let reason = finish.as_ref().map(|finish| wishes.finish(finish.reason));
    written.insert("finish_reason".to_owned(), reason.into());
    written.insert("native_finish_reason".to_owned(), native(finish.as_ref()));
    for (name, value) in extra.own(WIRE).into_iter().flatten() {
        match (name.as_str(), value) {
            ("message", Value::Object(more)) => {
                message.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
            _ => {
                written.insert(name.clone(), value.clone());
            }
        }
    }
    written.insert("message".to_owned(), Value::Object(message));
    Value::Object(written)
}

/// `native_finish_reason`.
pub fn native(finish: Option<&Finish>) -> Value {
    finish.and_then(|finish| finish.native.clone()).into()
}

fn write_call(call: &ToolCall, index: usize) -> Value {
    let ToolCall { id, name, arguments, signature: _, custom } = call;
    if *custom {
        return json!({ "index": index, "id": id, "type": "custom", "custom": { "name": name, "input": arguments } });
    }
    json!({ "index": index, "id": id, "type": "function", "function": { "name": name, "arguments": arguments } })
}

fn write_sound(media: &Media, names: &Names) -> Value {
    let data = if let MediaSource::Base64(data) = &media.source { data.as_str() } else { "" };
    // Sounds are not kept: the id is for clients that insist on one, and has passed by the time it comes.
    json!({
        "id": format!("audio_{}", names.id),
        "data": data,
        "transcript": media.transcript.as_deref().unwrap_or_default(),
        "expires_at": names.created,
    })
}

/// An annotation; `before`: characters of the answer before the text that it belongs to.
pub fn write_citation(citation: &Citation, before: u64) -> Value {
    let Citation { url, title, cited, start, end, extra } = citation;
    let mut members = Map::new();
    let place = |at: &Option<u64>| at.map_or(0, |at| at.saturating_add(before));
    members.insert("url".to_owned(), url.as_deref().unwrap_or_default().into());
    members.insert("title".to_owned(), title.as_deref().unwrap_or_default().into());
    members.insert("start_index".to_owned(), place(start).into());
    members.insert("end_index".to_owned(), place(end).into());
    members.extend(cited.clone().map(|cited| ("content".to_owned(), cited.into())));
    members.extend(extra.own(WIRE).cloned().into_iter().flatten());
    json!({ "type": "url_citation", "url_citation": members })
}
