//! What an answer says, read off its JSON without any of the code under test; and the same of the
//! canonical answer. The two are compared.

use serde_json::Value;

use crate::chat::{Answer, FinishReason, MediaSource, PartKind, Usage};

/// What counts of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gist {
    pub choices: Vec<Said>,
    pub usage: Option<Counts>,
}

/// Prompt, completion, cached, written, reasoning.
pub type Counts = [u64; 5];

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    pub text: String,
    pub refusal: String,
    pub reasoning: String,
    /// Signatures and encrypted thoughts, in order.
    pub marks: Vec<String>,
    pub calls: Vec<(String, String, String)>,
    pub finish: Option<&'static str>,
    pub images: Vec<String>,
    pub sound: (String, String),
    pub pages: Vec<String>,
    pub logprobs: usize,
}

/// Of a whole body.
pub fn of_body(body: &Value) -> Gist {
    let mut gist = Gist { usage: counts(&body["usage"]), ..Gist::default() };
    for choice in body["choices"].as_array().unwrap() {
        let mut said = Said::default();
        add(&mut said, &choice["message"]);
        end(&mut said, choice);
        pages(&mut said, body);
        gist.choices.push(said);
    }
    gist
}

/// Of the chunks of a stream.
pub fn of_chunks(chunks: &[Value]) -> Gist {
    let mut gist = Gist::default();
    let mut order: Vec<u64> = Vec::new();
    let mut last = &Value::Null;
    for chunk in chunks {
        if !chunk["search_results"].is_null() || !chunk["citations"].is_null() {
            last = chunk;
        }
        gist.usage = counts(&chunk["usage"]).or(gist.usage);
        gist.usage = gist.usage.or(counts(&chunk["x_groq"]["usage"]));
        for choice in chunk["choices"].as_array().into_iter().flatten() {
            let index = choice["index"].as_u64().unwrap();
            let at = order.iter().position(|known| *known == index).unwrap_or_else(|| {
                order.push(index);
                gist.choices.push(Said::default());
                order.len() - 1
            });
            add(&mut gist.choices[at], &choice["delta"]);
            end(&mut gist.choices[at], choice);
        }
    }
    for said in &mut gist.choices {
        pages(said, last);
    }
    let mut sorted: Vec<_> = order.into_iter().zip(gist.choices).collect();
    sorted.sort_by_key(|(index, _)| *index);
    gist.choices = sorted.into_iter().map(|(_, said)| said).collect();
    gist
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn add(said: &mut Said, message: &Value) {
    match &message["content"] {
        Value::String(content) => said.text.push_str(content),
        Value::Array(parts) => {
            for part in parts {
                match text(&part["type"]) {
                    "text" => said.text.push_str(text(&part["text"])),
                    "thinking" => {
                        for thought in part["thinking"].as_array().unwrap() {
                            said.reasoning.push_str(text(&thought["text"]));
                        }
                    }
                    other => panic!("a part of kind {other}"),
                }
            }
        }
        _ => {}
    }
    said.refusal.push_str(text(&message["refusal"]));
    let plain = [&message["reasoning"], &message["reasoning_content"]].into_iter().map(text).find(|t| !t.is_empty());
    said.reasoning.push_str(plain.unwrap_or_default());
    for detail in message["reasoning_details"].as_array().into_iter().flatten() {
        if plain.is_none() {
            said.reasoning.push_str(text(&detail["text"]));
            said.reasoning.push_str(text(&detail["summary"]));
        }
        for mark in ["signature", "data"] {
            said.marks.extend(Some(text(&detail[mark])).filter(|mark| !mark.is_empty()).map(str::to_owned));
        }
    }
    if let Some(mark) = message["extra_content"]["google"]["thought_signature"].as_str() {
        said.marks.push(mark.to_owned());
    }
    for (n, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let id = text(&call["id"]);
        let function = &call["function"];
        let name = text(&function["name"]);
        let begins = !id.is_empty() || !name.is_empty();
        if begins {
            let id = if id.is_empty() { format!("call_{}", said.calls.len()) } else { id.to_owned() };
            said.calls.push((id, name.to_owned(), String::new()));
        }
        let at = match call["index"].as_u64() {
            _ if begins => said.calls.len() - 1,
            Some(index) => usize::try_from(index).unwrap(),
            None => n,
        };
        said.calls[at].2.push_str(text(&function["arguments"]));
    }
    if let Some(function) = message["function_call"].as_object() {
        said.calls.push((
            "call_0".to_owned(),
            text(&function["name"]).to_owned(),
            text(&function["arguments"]).to_owned(),
        ));
    }
    for image in message["images"].as_array().into_iter().flatten() {
        said.images.push(text(&image["image_url"]["url"]).to_owned());
    }
    said.sound.0.push_str(text(&message["audio"]["data"]));
    said.sound.1.push_str(text(&message["audio"]["transcript"]));
    for annotation in message["annotations"].as_array().into_iter().flatten() {
        said.pages.push(text(&annotation["url_citation"]["url"]).to_owned());
    }
}

fn end(said: &mut Said, choice: &Value) {
    let word = choice["finish_reason"].as_str().or(choice["finish_details"]["type"].as_str());
    said.finish = match word {
        None | Some("") => said.finish,
        Some("stop") => Some("stop"),
        Some("length" | "max_tokens") => Some("length"),
        Some("tool_calls" | "function_call") => Some("tool_calls"),
        Some("content_filter") => Some("content_filter"),
        Some(other) => panic!("an end of kind {other}"),
    };
    said.logprobs += choice["logprobs"]["content"].as_array().map_or(0, Vec::len);
}

/// Perplexity's pages, where the message has none of its own.
fn pages(said: &mut Said, body: &Value) {
    if said.pages.is_empty() {
        let of = |list: &Value, key: Option<&str>| -> Vec<String> {
            let items = list.as_array().into_iter().flatten();
            items.map(|item| text(key.map_or(item, |key| &item[key])).to_owned()).collect()
        };
        said.pages = of(&body["search_results"], Some("url"));
        if said.pages.is_empty() {
            said.pages = of(&body["citations"], None);
        }
    }
}

fn counts(usage: &Value) -> Option<Counts> {
    let of = |value: &Value| value.as_u64().unwrap_or(0);
    let (mut prompt, mut completion) = (usage["prompt_tokens"].as_u64()?, of(&usage["completion_tokens"]));
    let mut reasoning = of(&usage["completion_tokens_details"]["reasoning_tokens"]);
    let total = of(&usage["total_tokens"]).max(prompt + completion);
    if usage["prompt_audio_seconds"].is_number() {
        prompt = total - completion;
    } else if total > prompt + completion {
        reasoning = total - prompt - completion;
        completion = total - prompt;
    }
    let cached = [
        &usage["prompt_tokens_details"]["cached_tokens"],
        &usage["prompt_cache_hit_tokens"],
        &usage["cached_tokens"],
        &usage["num_cached_tokens"],
    ];
    let written = [&usage["prompt_tokens_details"]["cache_write_tokens"], &usage["cache_creation_input_tokens"]];
    let most = |values: &[&Value]| values.iter().map(|value| of(value)).max().unwrap();
    Some([prompt, completion, most(&cached), most(&written), reasoning])
}

/// Of the canonical answer.
pub fn of_answer(answer: &Answer) -> Gist {
    let mut gist = Gist { usage: answer.usage.as_ref().map(counted), ..Gist::default() };
    for choice in &answer.choices {
        let mut said = Said { finish: choice.finish.as_ref().map(|finish| word(finish.reason)), ..Said::default() };
        for part in &choice.parts {
            match &part.kind {
                PartKind::Text { text, citations } => {
                    said.text.push_str(text);
                    said.pages.extend(citations.iter().map(|citation| citation.url.clone().unwrap_or_default()));
                }
                PartKind::Refusal(text) => said.refusal.push_str(text),
                PartKind::Reasoning(reasoning) => {
                    said.reasoning.push_str(reasoning.text.as_deref().unwrap_or_default());
                    said.reasoning.push_str(&reasoning.summary.join("\n\n"));
                    said.marks.extend(reasoning.signature.iter().chain(&reasoning.encrypted).cloned());
                }
                PartKind::ToolCall(call) => {
                    said.calls.push((call.id.clone(), call.name.clone(), call.arguments.clone()));
                    said.marks.extend(call.signature.clone());
                }
                PartKind::Media(media) => match &media.source {
                    MediaSource::Base64(data) if media.transcript.is_some() => {
                        said.sound = (data.clone(), media.transcript.clone().unwrap());
                    }
                    MediaSource::Base64(data) => {
                        said.images.push(format!("data:{};base64,{data}", media.mime.as_deref().unwrap()));
                    }
                    MediaSource::Url(url) => said.images.push(url.clone()),
                    other => panic!("a medium in {other:?}"),
                },
                other => panic!("a part of kind {other:?}"),
            }
        }
        let logprobs = choice.logprobs.as_ref().and_then(|logprobs| logprobs["content"].as_array());
        said.logprobs = logprobs.map_or(0, Vec::len);
        gist.choices.push(said);
    }
    gist
}

fn counted(usage: &Usage) -> Counts {
    let tokens = usage.tokens;
    [tokens.prompt, tokens.completion, tokens.cached, tokens.cache_write, tokens.reasoning]
}

fn word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Error => "error",
    }
}
