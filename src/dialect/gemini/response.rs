//! `GenerateContentResponse`, both ways.

use serde_json::{Map, Value, json};

use super::{
    content::{Calls, read_part},
    error, finish, grounding, logprobs, media, signature, turns, usage,
    wire::{At, list, merge, named},
};
use crate::{
    chat::{Answer, Choice, Extra, Part, PartKind, ProviderError, Reasoning, ReasoningFormat, Wire},
    dialect::Names,
    time::Millis,
};

/// An answer as Google gives it.
pub fn decode_answer(body: Value) -> Result<Answer, ProviderError> {
    let Value::Object(body) = body else { return Err(error::from_value(&body, None)) };
    if body.contains_key("error") {
        return Err(error::from_value(&Value::Object(body), None));
    }
    let (mut answer, mut candidates, mut extra) = (Answer::default(), None, Map::new());
    let mut searches = 0;
    for (name, value) in named(body) {
        match name.as_str() {
            "candidates" => candidates = Some(list(value)),
            "usageMetadata" => {
                answer.usage = usage::read(&value);
                answer.service_tier = usage::read_tier(&value);
                if let Some(usage) = &mut answer.usage {
                    usage.native = Some((Wire::Gemini, value));
                }
            }
            "modelVersion" => answer.model = value.as_str().map(str::to_owned),
            "responseId" => answer.id = value.as_str().map(str::to_owned),
            "createTime" => answer.created = value.as_str().and_then(Millis::parse_iso).map(Millis::seconds),
            _ => {
                extra.insert(name, value);
            }
        }
    }
    let blocked = finish::blocked(extra.get("promptFeedback"));
    let mut calls = Calls::of_answer(answer.id.as_deref());
    for candidate in candidates.unwrap_or_default() {
        let Value::Object(candidate) = candidate else { return Err(ProviderError::default()) };
        searches += grounding::searches(&candidate);
        answer.choices.push(read_candidate(named(candidate), &mut calls)?);
    }
    if answer.choices.is_empty() {
        // The prompt was refused: an answer of its own kind. Otherwise there is none.
        let finish = Some(blocked.ok_or_else(ProviderError::default)?);
        answer.choices.push(Choice { parts: Vec::new(), finish, logprobs: None, extra: Extra::default() });
    }
    if let Some(usage) = &mut answer.usage {
        usage.tokens.web_searches = searches;
    }
    answer.extra = Extra::of(Wire::Gemini, extra);
    Ok(answer)
}

fn read_candidate(candidate: Map<String, Value>, calls: &mut Calls) -> Result<Choice, ProviderError> {
    let found = grounding::read(&candidate);
    let (mut parts, mut ended, mut odds, mut extra) = (Vec::new(), None, None, Map::new());
    for (name, value) in candidate {
        match name.as_str() {
            "content" => parts = read_content(value, calls)?,
            "finishReason" => ended = Some(value),
            "index" => {}
            _ => {
                if name == "logprobsResult" {
                    odds = logprobs::read(&value);
                }
                extra.insert(name, value);
            }
        }
    }
    cite(&mut parts, found);
    let calls = parts.iter().any(|part| matches!(part.kind, PartKind::ToolCall(_)));
    let finish = ended.and_then(|ended| finish::read(&ended, calls));
    Ok(Choice { parts, finish, logprobs: odds, extra: Extra::of(Wire::Gemini, extra) })
}

fn read_content(value: Value, calls: &mut Calls) -> Result<Vec<Part>, ProviderError> {
    let Value::Object(content) = value else { return Err(ProviderError::default()) };
    let mut parts = Vec::new();
    let given = named(content).shift_remove("parts").map(list).unwrap_or_default();
    let at = At::root("parts");
    for (index, part) in given.into_iter().enumerate() {
        read_part(part, &at.item(index), calls, &mut parts).map_err(|_| ProviderError::default())?;
    }
    Ok(parts)
}

/// Puts citations on the text in which they are found; others on the last text, as a whole.
fn cite(parts: &mut [Part], found: Vec<grounding::Found>) {
    let mut texts: Vec<_> = parts
        .iter_mut()
        .filter_map(|part| match &mut part.kind {
            PartKind::Text { text, citations } => Some((&*text, citations)),
            _ => None,
        })
        .collect();
    for found in found {
        let place = texts.iter().enumerate().find_map(|(n, (text, _))| Some((n, found.located(text, 0)?)));
        if let Some((n, citation)) = place
            && let Some((_, citations)) = texts.get_mut(n)
        {
            citations.push(citation);
        } else if let Some((_, citations)) = texts.last_mut() {
            citations.push(found.anywhere());
        }
    }
}

/// An answer as a client of this format reads it.
pub fn encode_answer(answer: &Answer, names: &Names) -> Value {
    let mut body = Map::new();
    let own = answer.extra.own(Wire::Gemini);
    let refused = finish::blocked(own.and_then(|own| own.get("promptFeedback"))).is_some();
    let empty = answer.choices.iter().all(|choice| choice.parts.is_empty() && choice.extra == Extra::default());
    if !(refused && empty) {
        let candidates: Vec<Value> =
            answer.choices.iter().enumerate().map(|(index, choice)| write_candidate(choice, index)).collect();
        body.insert("candidates".to_owned(), candidates.into());
    }
    if answer.usage.is_some() || !names.cost.is_empty() {
        let mut written = answer.usage.as_ref().map(usage::write).unwrap_or_default();
        written.extend(names.cost.clone());
        body.insert("usageMetadata".to_owned(), Value::Object(written));
    }
    if let Some(own) = own {
        merge(&mut body, own);
    }
    head(&mut body, names, answer.created);
    body.extend(names.extra.clone());
    Value::Object(body)
}

/// By which the client knows the answer.
pub(super) fn head(body: &mut Map<String, Value>, names: &Names, created: Option<i64>) {
    body.insert("modelVersion".to_owned(), names.model.as_str().into());
    body.insert("responseId".to_owned(), names.id.as_str().into());
    if let Some(created) = created {
        body.insert("createTime".to_owned(), Millis(created.saturating_mul(1000)).iso().into());
    }
    if !names.provider.is_empty() {
        body.insert("provider".to_owned(), names.provider.as_str().into());
    }
}

fn write_candidate(choice: &Choice, index: usize) -> Value {
    let Choice { parts, finish, logprobs, extra } = choice;
    let mut candidate = Map::new();
    let parts_written = write_parts(parts);
    if !parts_written.is_empty() {
        candidate.insert("content".to_owned(), json!({ "parts": parts_written, "role": "model" }));
    }
    if finish.is_some() {
        candidate.insert("finishReason".to_owned(), finish::write(finish.as_ref()).into());
    }
    candidate.insert("index".to_owned(), index.into());
    if !grounding::kept(extra) {
        let cited = parts.iter().filter_map(|part| match &part.kind {
            PartKind::Text { text, citations } => Some((text, citations)),
            _ => None,
        });
        let each = cited.flat_map(|(text, citations)| citations.iter().map(move |it| (it, text.as_str(), 0)));
        if let Some(grounding) = grounding::write(each) {
            candidate.insert("groundingMetadata".to_owned(), grounding);
        }
    }
    if let Some(result) = logprobs.as_ref().and_then(logprobs::write) {
        candidate.insert("logprobsResult".to_owned(), result);
    }
    if let Some(own) = extra.own(Wire::Gemini) {
        candidate.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    Value::Object(candidate)
}

fn write_parts(parts: &[Part]) -> Vec<Value> {
    let mut written: Vec<Value> = Vec::with_capacity(parts.len());
    for part in parts {
        if let PartKind::Reasoning(reasoning) = &part.kind
            && let Some(mark) = own_mark(reasoning)
            && let Some(last) = written.last_mut().and_then(Value::as_object_mut)
            && !["thought", "thoughtSignature", "functionCall"].iter().any(|name| last.contains_key(*name))
        {
            last.insert("thoughtSignature".to_owned(), mark.into());
            continue;
        }
        if let Some(mut members) = write_part(&part.kind) {
            if let Some(own) = part.extra.own(Wire::Gemini) {
                merge(&mut members, own);
            }
            written.push(Value::Object(members));
        }
    }
    written
}

/// Gemini's mark on what is not a thought.
pub(super) fn own_mark(reasoning: &Reasoning) -> Option<&str> {
    let bare = reasoning.text.is_none() && reasoning.summary.is_empty() && reasoning.signature.is_none();
    let own = reasoning.format == Some(ReasoningFormat::Gemini);
    reasoning.encrypted.as_deref().filter(|_| bare && own)
}

/// A part of an answer; `None` for what only another format knows.
pub(super) fn write_part(kind: &PartKind) -> Option<Map<String, Value>> {
    let members = |value: Value| match value {
        Value::Object(members) => Some(members),
        _ => None,
    };
    match kind {
        PartKind::Text { text, citations: _ } | PartKind::Refusal(text) => members(json!({ "text": text })),
        PartKind::Media(it) => media::write(it, String::new).ok().and_then(members),
        PartKind::Reasoning(reasoning) => members(write_thought(reasoning)),
        PartKind::ToolCall(call) => Some(turns::write_call(call, call.signature.as_deref())),
        PartKind::Foreign(Wire::Gemini, value) => members(value.clone()),
        PartKind::ToolResult(_) | PartKind::Foreign(..) => None,
    }
}

/// Thoughts of any family; marks of others than Gemini are wrapped, so that they find their way back.
fn write_thought(reasoning: &Reasoning) -> Value {
    if let Some(mark) = own_mark(reasoning) {
        return json!({ "text": "", "thoughtSignature": mark });
    }
    let text = match (&reasoning.text, reasoning.summary.as_slice()) {
        (Some(text), _) => text.clone(),
        (None, summary) => summary.join("\n\n"),
    };
    let mark = match reasoning.format {
        Some(ReasoningFormat::Gemini) => reasoning.signature.clone().or_else(|| reasoning.encrypted.clone()),
        _ => signature::wrap(reasoning),
    };
    match mark {
        Some(mark) => json!({ "text": text, "thought": true, "thoughtSignature": mark }),
        None => json!({ "text": text, "thought": true }),
    }
}
