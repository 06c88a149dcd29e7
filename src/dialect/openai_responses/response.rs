//! A whole answer, both ways.

use serde_json::{Value, json};

use super::{
    WIRE, content, error,
    items::{is_said, own_members, read_output},
    object::{Members, merge, object, string},
    output, usage,
};
use crate::{
    chat::{Answer, Choice, Citation, Extra, Finish, FinishReason, Part, PartKind, ProviderError, Usage},
    dialect::{Names, fields::tier},
};

/// Reads a body that came with status 200.
pub fn decode_answer(body: Value) -> Result<Answer, ProviderError> {
    let Value::Object(mut body) = body else { return Err(ProviderError::default()) };
    let failure = body.get("error").is_some_and(|error| !error.is_null());
    if failure || body.get("status").is_some_and(|status| status == "failed") {
        return Err(error::from_value(&Value::Object(body)));
    }
    let Some(Value::Array(items)) = body.shift_remove("output") else { return Err(ProviderError::default()) };
    let searches = searches(&items);
    let mut parts = read_output(items).map_err(|_| ProviderError::default())?;
    let logprobs = take_logprobs(&mut parts);
    let calls = parts.iter().any(|part| matches!(part.kind, PartKind::ToolCall(_)));
    let head = read_head(&mut body, calls, searches);
    let choice = Choice { parts, finish: head.finish, logprobs, extra: Extra::default() };
    Ok(Answer {
        id: head.id,
        model: head.model,
        created: head.created,
        choices: vec![choice],
        usage: head.usage,
        service_tier: head.service_tier,
        extra: Extra::of(WIRE, body),
    })
}

/// What the object around the items says.
pub(super) struct Head {
    pub id: Option<String>,
    pub model: Option<String>,
    pub created: Option<i64>,
    pub finish: Option<Finish>,
    pub usage: Option<Usage>,
    pub service_tier: Option<String>,
}

/// Takes out what has a place of its own; the rest stays in `body`. `calls`: tools are called in it.
pub(super) fn read_head(body: &mut Members, calls: bool, searches: u64) -> Head {
    let mut take = |key: &str| body.shift_remove(key).filter(|value| !value.is_null());
    let (id, model) = (take("id").and_then(string), take("model").and_then(string));
    #[expect(clippy::cast_possible_truncation, reason = "some send 1784324967.0")]
    let created = take("created_at").and_then(|at| at.as_i64().or_else(|| at.as_f64().map(|at| at as i64)));
    let details = take("incomplete_details");
    let status = take("status").and_then(string);
    let finish = read_finish(status.as_deref(), details.as_ref(), calls);
    let usage = take("usage").and_then(|usage| usage::read(usage, searches));
    let service_tier = take("service_tier").and_then(string).map(tier);
    for key in ["object", "error", "output_text"] {
        body.shift_remove(key);
    }
    Head { id, model, created, finish, usage, service_tier }
}

fn read_finish(status: Option<&str>, details: Option<&Value>, calls: bool) -> Option<Finish> {
    match status {
        Some("queued" | "in_progress") => None,
        Some("incomplete") => {
            let native =
                details.and_then(|details| details.get("reason")).and_then(Value::as_str).unwrap_or("incomplete");
            let filtered = native == "content_filter";
            Some(Finish::new(if filtered { FinishReason::ContentFilter } else { FinishReason::Length }, native))
        }
        Some("cancelled") => Some(Finish::new(FinishReason::Error, "cancelled")),
        status => {
            let reason = if calls { FinishReason::ToolCalls } else { FinishReason::Stop };
            Some(Finish::new(reason, status.unwrap_or("completed")))
        }
    }
}

/// Searches of the web among items of an answer; opening a page that was found is none.
pub(super) fn searches(items: &[Value]) -> u64 {
    let is_search = |item: &&Value| {
        item.get("type").is_some_and(|kind| kind == "web_search_call")
            && item.pointer("/action/type").is_none_or(|action| action == "search")
    };
    items.iter().filter(is_search).count() as u64
}

fn take_logprobs(parts: &mut [Part]) -> Option<Value> {
    let lists = parts.iter_mut().filter_map(|part| part.extra.members.shift_remove("logprobs"));
    let tokens: Vec<Value> = lists
        .filter_map(|list| match list {
            Value::Array(tokens) => Some(tokens),
            _ => None,
        })
        .flatten()
        .collect();
    (!tokens.is_empty()).then(|| json!({"content": tokens, "refusal": null}))
}

/// Writes an answer for the client. Of several answers it has the first: this format asks for one.
pub fn encode_answer(answer: &Answer, names: &Names) -> Value {
    let Answer { id: _, model: _, created, choices, usage, service_tier, extra } = answer;
    let choice = choices.first();
    let mut response = output::frame(names, *created);
    output::overlay(&mut response, extra.own(WIRE).unwrap_or(&Members::new()), &names.extra);
    let (status, incomplete, error) = output::ending(choice.and_then(|choice| choice.finish.as_ref()));
    let mut writer = Writer { names, items: Vec::new(), content: None, logprobs: &[] };
    if let Some(choice) = choice {
        let tokens = choice.logprobs.as_ref().and_then(|logprobs| logprobs.get("content")).and_then(Value::as_array);
        writer.logprobs = tokens.map(Vec::as_slice).unwrap_or_default();
        choice.parts.iter().for_each(|part| writer.part(part));
    }
    let mut items = writer.items;
    if let ("incomplete", Some(item)) = (status, items.last_mut().filter(|item| item.get("status").is_some())) {
        item["status"] = status.into();
    }
    let usage = usage.as_ref().map_or(Value::Null, |usage| usage::write(usage, names.cost.clone()));
    output::set(
        &mut response,
        [
            ("status", status.into()),
            ("incomplete_details", incomplete),
            ("error", error),
            ("output", items.into()),
            ("usage", usage),
        ],
    );
    if let Some(tier) = service_tier {
        output::set(&mut response, [("service_tier", tier.as_str().into())]);
    }
    response
}

struct Writer<'w> {
    names: &'w Names,
    items: Vec<Value>,
    /// Whether the last item is a message that takes more words.
    content: Option<usize>,
    /// Of tokens that have not been given to their text yet.
    logprobs: &'w [Value],
}

impl Writer<'_> {
    fn id(&self, prefix: &str) -> String {
        output::item_id(prefix, self.names, self.items.len())
    }

    fn part(&mut self, part: &Part) {
        let own = part.extra.own(WIRE);
        if is_said(&part.kind) {
            let message = own_members(&part.extra, "message");
            let open = self.content.filter(|_| message.is_none());
            let value = self.words(part, own);
            let content = open.and_then(|index| self.items.get_mut(index)?.get_mut("content")?.as_array_mut());
            if let Some(content) = content {
                content.push(value);
            } else {
                let mut item = output::message(&self.id("msg"), "completed", vec![value]);
                overlay(&mut item, message);
                self.content = Some(self.items.len());
                self.items.push(item);
            }
            return;
        }
        self.content = None;
        match &part.kind {
            PartKind::Reasoning(reasoning) => {
                let id = reasoning.id.clone().unwrap_or_else(|| self.id("rs"));
                let mut item = Value::Object(output::shown_thoughts(reasoning, &id));
                overlay(&mut item, own);
                self.items.push(item);
            }
            PartKind::ToolCall(call) => {
                let mut item = output::call(call, &self.id(if call.custom { "ctc" } else { "fc" }), "completed");
                overlay(&mut item, own);
                self.items.push(item);
                let mark = output::call_mark(call, &self.id("rs"));
                self.items.extend(mark);
            }
            PartKind::Media(media) => {
                if let Some(words) = &media.transcript {
                    return self.part(&Part::text(words.as_str()));
                }
                let item = output::image(media, &self.id("ig"), "completed");
                self.items.push(item);
            }
            PartKind::Foreign(WIRE, value) => self.items.push(output::foreign_item(value).clone()),
            // What another format's provider did by its own tools: the words that it said of it are here.
            PartKind::Foreign(..) | PartKind::ToolResult(_) | PartKind::Text { .. } | PartKind::Refusal(_) => {}
        }
    }

    fn words(&mut self, part: &Part, own: Option<&Members>) -> Value {
        let mut value = match &part.kind {
            PartKind::Text { text, citations } => output_text(text, citations, self.take_logprobs(text)),
            PartKind::Refusal(text) => json!({"type": "refusal", "refusal": text}),
            _ => Value::Null,
        };
        if let (Some(value), Some(own)) = (value.as_object_mut(), own) {
            merge(
                value,
                &own.iter().filter(|(key, _)| *key != "message").map(|(k, v)| (k.clone(), v.clone())).collect(),
            );
        }
        value
    }

    /// The tokens that make up this text, as far as they are known.
    fn take_logprobs(&mut self, text: &str) -> Vec<Value> {
        let mut length = 0;
        let is_in = |token: &&Value| {
            let inside = length < text.len();
            length += token.get("token").and_then(Value::as_str).map_or(0, str::len);
            inside
        };
        let count = self.logprobs.iter().take_while(is_in).count();
        let (these, rest) = self.logprobs.split_at_checked(count).unwrap_or_default();
        self.logprobs = rest;
        these.to_vec()
    }
}

fn overlay(item: &mut Value, own: Option<&Members>) {
    if let (Some(item), Some(own)) = (item.as_object_mut(), own) {
        item.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
}

/// Words with what they rest on.
pub(super) fn output_text(text: &str, citations: &[Citation], logprobs: Vec<Value>) -> Value {
    let characters = text.chars().count();
    let annotations: Vec<Value> =
        citations.iter().map(|citation| content::write_citation(citation, characters)).collect();
    object([
        ("type", "output_text".into()),
        ("annotations", annotations.into()),
        ("logprobs", logprobs.into()),
        ("text", text.into()),
    ])
}
