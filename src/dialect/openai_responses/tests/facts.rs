//! What an answer says, read by means of its own: out of this format's JSON, and out of the canonical
//! answer.

use serde_json::{Value, json};

use crate::chat::{Answer, FinishReason, PartKind};

/// What counts.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Facts {
    /// Words, refusals, calls, thoughts and foreign items, in order; words that follow each other joined.
    pub said: Vec<Value>,
    pub citations: Vec<Value>,
    pub finish: String,
    /// input, cached, output, reasoning
    pub usage: Option<[u64; 4]>,
    pub tier: Option<String>,
}

impl Facts {
    fn say(&mut self, kind: &str, text: &str) {
        match self.said.last_mut() {
            Some(last) if last[0] == kind => last[1] = format!("{}{text}", last[1].as_str().unwrap()).into(),
            _ => self.said.push(json!([kind, text])),
        }
    }

    fn cite(&mut self, annotation: &Value) {
        let mut kept = annotation.as_object().unwrap().clone();
        // What clients insist on and xAI leaves out.
        if kept["type"] == "url_citation" {
            kept.retain(|key, _| matches!(key.as_str(), "type" | "url"));
        }
        self.citations.push(kept.into());
    }

    /// Out of a `response` object.
    pub(super) fn of_wire(response: &Value) -> Self {
        let mut facts = Self::default();
        let empty = Vec::new();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut calls = false;
        for item in response["output"].as_array().unwrap() {
            match item["type"].as_str().unwrap() {
                "message" => {
                    for part in item["content"].as_array().unwrap() {
                        match part["type"].as_str().unwrap() {
                            "output_text" => facts.say("text", part["text"].as_str().unwrap()),
                            kind => facts.say(kind, part["refusal"].as_str().unwrap()),
                        }
                        part["annotations"].as_array().unwrap_or(&empty).iter().for_each(|a| facts.cite(a));
                    }
                }
                "reasoning" => {
                    let texts = |list: &Value| -> Vec<String> {
                        list.as_array().into_iter().flatten().map(|part| text(&part["text"])).collect()
                    };
                    let (summary, content) = (texts(&item["summary"]), texts(&item["content"]).concat());
                    let encrypted = text(&item["encrypted_content"]);
                    // What is not OpenAI's is handed to clients with its maker's name around it.
                    let sealed =
                        encrypted.strip_prefix("sluice:").map(|json| serde_json::from_str::<Value>(json).unwrap());
                    let encrypted = sealed.map_or(encrypted, |sealed| text(&sealed["encrypted"]));
                    facts.said.push(json!(["reasoning", summary, content, encrypted]));
                }
                kind @ ("function_call" | "custom_tool_call") => {
                    calls = true;
                    let input = if kind == "function_call" { &item["arguments"] } else { &item["input"] };
                    facts.said.push(json!([kind, item["call_id"], item["name"], input]));
                }
                _ => facts.said.push(json!(["foreign", item])),
            }
        }
        facts.finish = match response["status"].as_str().unwrap_or("completed") {
            "completed" if calls => "tool_calls".to_owned(),
            "completed" => "stop".to_owned(),
            "incomplete" if response["incomplete_details"]["reason"] == "content_filter" => "content_filter".to_owned(),
            "incomplete" => "length".to_owned(),
            status => status.to_owned(),
        };
        let usage = &response["usage"];
        facts.usage = usage["input_tokens"].as_u64().map(|input| {
            let count = |value: &Value| value.as_u64().unwrap_or(0);
            let cached = count(&usage["input_tokens_details"]["cached_tokens"]);
            let reasoning = count(&usage["output_tokens_details"]["reasoning_tokens"]);
            [input, cached, count(&usage["output_tokens"]), reasoning]
        });
        // Whatever a provider calls the usual one.
        let usual = |word: &str| if word == "provisioned" { "default" } else { word }.to_owned();
        facts.tier = response["service_tier"].as_str().map(usual);
        facts
    }

    /// Out of the canonical answer.
    pub(super) fn of_answer(answer: &Answer) -> Self {
        let mut facts = Self { tier: answer.service_tier.clone(), ..Self::default() };
        let [choice] = answer.choices.as_slice() else { panic!("not one answer") };
        for part in &choice.parts {
            match &part.kind {
                PartKind::Text { text, citations } => {
                    facts.say("text", text);
                    for citation in citations {
                        match &citation.url {
                            Some(url) => facts.citations.push(json!({"type": "url_citation", "url": url})),
                            None => facts.cite(&citation.extra.members.clone().into()),
                        }
                    }
                }
                PartKind::Refusal(text) => facts.say("refusal", text),
                PartKind::Reasoning(r) => {
                    let (text, encrypted) = (r.text.clone(), r.encrypted.clone());
                    let (text, encrypted) = (text.unwrap_or_default(), encrypted.unwrap_or_default());
                    facts.said.push(json!(["reasoning", r.summary, text, encrypted]));
                }
                PartKind::ToolCall(call) => {
                    let kind = if call.custom { "custom_tool_call" } else { "function_call" };
                    facts.said.push(json!([kind, call.id, call.name, call.arguments]));
                }
                PartKind::Foreign(_, value) => {
                    // In a stream: the item as it was opened, and its events.
                    let whole = value.as_array().map_or(value, |pieces| match pieces.last().unwrap().get("item") {
                        Some(item) => item,
                        None => &pieces[0],
                    });
                    facts.said.push(json!(["foreign", whole]));
                }
                PartKind::Media(_) | PartKind::ToolResult(_) => panic!("not of this format"),
            }
        }
        facts.finish = match choice.finish.as_ref().map(|finish| finish.reason) {
            Some(FinishReason::Error) => "failed".to_owned(),
            Some(reason) => reason.as_str().to_owned(),
            None => "none".to_owned(),
        };
        facts.usage = answer.usage.as_ref().map(|usage| {
            let tokens = &usage.tokens;
            [tokens.prompt, tokens.cached, tokens.completion, tokens.reasoning]
        });
        facts
    }
}
