//! Responses on both sides: bytes are passed on, and what the gateway owns is edited in them.
//!
//! An answer that its provider keeps (`store: true`) keeps the provider's id, too: clients name it as
//! `previous_response_id`. Every other bears the generation's.

use std::borrow::Cow;

use serde_json::{Map, Value as Tree, json};

use super::{
    encoder::{Encoder, write_failure},
    error::from_value,
    lines::Lines,
    output,
    pieces::Pieces,
    request::STATE,
    response::{read_head, searches as searched},
    usage,
};
use crate::{
    catalog::{Endpoint, Provider, Tokens},
    chat::{self, Event, FinishReason, ProviderError},
    dialect::passing::{
        Answer, Finish, Format, Look, Relay, ResponseFacts, Said, Spent, clamp, cut_owned, is_nothing, kind,
        number_after, only_once, ordered, set_usage, string_after, text, tree,
    },
    error::{Error, Result},
    framing::{
        edit::{Edit, ObjectEdits, apply},
        json::{Kind, Object, Value, quote, scan_object},
    },
    routing::fallback::Cause,
};

/// What the object around the items says of the answer.
const HEAD: [&str; 8] = ["id", "model", "created_at", "incomplete_details", "status", "usage", "service_tier", "error"];

/// The edits that turn the client's request into one for this endpoint. `longest`: answers of at most so
/// many tokens are to be asked for.
pub fn outbound_edits(
    object: &Object<'_>,
    _stream: bool,
    endpoint: &Endpoint,
    provider: &Provider,
    longest: Option<u64>,
) -> Result<Vec<Edit>> {
    only_once(object, "", str::to_owned)?;
    let mut edits = ObjectEdits::new(object);
    cut_owned(&mut edits, provider, &["stop_server_tools_when"]);
    edits.set("model", quote(&endpoint.upstream_model));
    if let Some(tier) = &endpoint.service_tier {
        edits.set("service_tier", quote(tier));
    }
    clamp(object, "max_output_tokens", longest, &mut edits);
    // The gateway keeps no state, and asks nobody to keep some, unless the client says otherwise.
    if STATE.iter().all(|member| is_nothing(object.get(member))) {
        edits.set("store", "false".to_owned());
    }
    Ok(edits.finish())
}

/// Reads a body that came with status 200.
pub fn read_answer(body: &[u8], finish: &Finish) -> Result<Answer, (Cause, ProviderError)> {
    let malformed = || (Cause::Malformed, ProviderError::default());
    let object = scan_object(body).map_err(|_| malformed())?;
    if let Some(error) = error_inside(&object) {
        return Err((Cause::ErrorInBody(error.status), error));
    }
    let output = object.get("output").filter(|value| value.kind == Kind::Array).ok_or_else(malformed)?;
    let items = output.items();
    if items.iter().any(|item| item.kind != Kind::Object) {
        return Err(malformed());
    }
    let mut facts = ResponseFacts::default();
    let reported = read_facts(&object, &items, false, &mut facts);
    facts.usage = finish.used(reported.as_ref(), output.text.len());
    let cost = finish.cost(&facts.usage.tokens);
    let spent = Spent { usage: facts.usage, reported, cost };
    Ok(Answer { facts, cost, edits: closing(&object, finish, &spent) })
}

/// What the object around the items says of the answer; what was used is given back. `called`: tools are
/// called in it, as is known already.
fn read_facts(
    response: &Object<'_>,
    items: &[Value<'_>],
    called: bool,
    facts: &mut ResponseFacts,
) -> Option<chat::Usage> {
    let calls = called || items.iter().any(|item| calls(&item_type(item)));
    let searches: Vec<Tree> = items.iter().filter(|item| item_type(item) == "web_search_call").map(tree).collect();
    let members = HEAD.iter().filter_map(|key| Some(((*key).to_owned(), tree(response.get(key)?))));
    let head = read_head(&mut members.collect(), calls, searched(&searches));
    facts.upstream_id = head.id.or(facts.upstream_id.take());
    facts.service_tier = head.service_tier.or(facts.service_tier.take());
    if let Some(finish) = head.finish {
        facts.ended(finish);
    }
    head.usage
}

fn error_inside(response: &Object<'_>) -> Option<ProviderError> {
    let error = response.get("error").filter(|value| value.kind != Kind::Null);
    match (error, response.get("status").and_then(Value::as_str).as_deref()) {
        (None, Some("failed")) => Some(ProviderError::default()),
        (None, _) => None,
        (Some(error), _) => Some(from_value(&json!({ "error": tree(error), "code": response.get("code").map(tree) }))),
    }
}

fn item_type(item: &Value<'_>) -> String {
    let kind = item.members().into_iter().find(|member| member.key == "type");
    kind.and_then(|kind| kind.value.as_str().map(Cow::into_owned)).unwrap_or_default()
}

fn calls(kind: &str) -> bool {
    matches!(kind, "function_call" | "custom_tool_call")
}

/// The edits of a response object with usage and cost.
fn closing(response: &Object<'_>, finish: &Finish, spent: &Spent) -> Vec<Edit> {
    let mut changed = ObjectEdits::new(response);
    name(response, finish, &mut changed);
    finish.tell_story(&mut changed);
    let Tokens { prompt, completion, cached, cache_write, reasoning, .. } = spent.usage.tokens;
    let needed = [
        ("input_tokens_details", format!("{{\"cached_tokens\":{cached},\"cache_write_tokens\":{cache_write}}}")),
        ("output_tokens", completion.to_string()),
        ("output_tokens_details", format!("{{\"reasoning_tokens\":{reasoning}}}")),
        ("total_tokens", prompt.saturating_add(completion).to_string()),
    ];
    let priced = set_usage("usage", response, &mut changed, spent, &needed, usage::write);
    ordered(changed.finish(), priced)
}

fn name(response: &Object<'_>, finish: &Finish, changed: &mut ObjectEdits<'_, '_>) {
    let kept = response.get("store").and_then(Value::as_bool) == Some(true);
    if !kept || is_nothing(response.get("id")) {
        changed.set("id", quote(&finish.id));
    }
    changed.set("model", quote(&finish.model));
    changed.set("provider", quote(&finish.provider));
}

/// A stream of this format on its way through.
pub fn relay(finish: Finish, native: bool) -> Relay {
    Relay::new(Box::<Response>::default(), finish, native)
}

/// What is known of a stream.
#[derive(Debug, Default)]
struct Response {
    /// The object around the items as it went out last.
    frame: Option<Vec<u8>>,
    pieces: Pieces,
    /// The number of the next event.
    sequence: u64,
    calls: bool,
}

impl Response {
    fn start(&mut self, object: &Object<'_>, finish: &Finish, said: &mut Said) -> Vec<Edit> {
        let Some((value, response)) = object.get("response").and_then(|value| Some((value, value.object()?))) else {
            return Vec::new();
        };
        said.facts.upstream_id = text(&response, "id");
        let mut changed = ObjectEdits::new(&response);
        name(&response, finish, &mut changed);
        let edits = changed.finish();
        let inner = |edit: &Edit| Edit {
            start: edit.start - value.start,
            end: edit.end - value.start,
            text: edit.text.clone(),
        };
        self.frame = Some(apply(value.text.as_bytes(), &edits.iter().map(inner).collect::<Vec<_>>()));
        edits
    }

    fn item(&mut self, object: &Object<'_>, done: bool, said: &mut Said) {
        let Some(item) = object.get("item") else { return };
        let index = object.get("output_index").and_then(Value::as_u64).unwrap_or(0);
        let kind = item_type(item);
        if calls(&kind) {
            self.calls = true;
            said.content = true;
        }
        if !done {
            self.pieces.add(index, item.text);
        } else if !self.pieces.finish(index, item.text) && (kind == "message" || calls(&kind)) {
            // Some providers send no pieces at all.
            said.wrote(item.text.len());
        }
    }

    fn finish(&mut self, object: &Object<'_>, said: &mut Said) -> Look {
        said.done = true;
        let Some(response) = object.get("response").and_then(Value::object) else {
            said.fail(Cause::Malformed, ProviderError::default());
            return Look::Hold;
        };
        if let Some(error) = error_inside(&response) {
            said.broke(error);
            return Look::Hold;
        }
        let output = response.get("output").map(Value::items).unwrap_or_default();
        said.usage = read_facts(&response, &output, self.calls, &mut said.facts);
        if said.facts.finish_reason.is_none() {
            said.fail(Cause::Malformed, ProviderError::default());
        }
        said.content = true;
        Look::Hold
    }

    /// The object around the items, and the lines that follow what has come; what begins an answer is
    /// written where the provider has not done so.
    fn framed(&mut self, finish: &Finish, out: &mut Vec<u8>) -> (Tree, Lines) {
        if let Some(frame) = self.frame.take().and_then(|frame| serde_json::from_slice(&frame).ok()) {
            return (frame, Lines::from(self.sequence));
        }
        let begun = Event::Start { id: None, model: None, created: None };
        Encoder::new(finish.names(None)).push(&begun, out);
        (output::frame(&finish.names(None), None), Lines::from(self.sequence.max(2)))
    }
}

impl Format for Response {
    fn skim(&mut self, event: &[u8]) -> Option<usize> {
        let kind = string_after(event, "\"type\":\"response.")?;
        let (text, what) = kind.split_at_checked(kind.iter().rposition(|byte| *byte == b'.')?)?;
        if text == b"output_item" {
            return None;
        }
        let number = |member: &str| number_after(event, member);
        let piece = if what == b".delta" { Some(string_after(event, "\"delta\":\"")?) } else { None };
        if let Some(sequence) = number("\"sequence_number\":") {
            self.sequence = sequence.saturating_add(1);
        }
        let index = number("\"output_index\":").unwrap_or(0);
        let part = || number("\"content_index\":").or_else(|| number("\"summary_index\":")).unwrap_or(0);
        if let Some(piece) = piece {
            self.pieces.more(index, part(), text, piece);
        } else if what == b".done" {
            self.pieces.whole(index, part(), text);
        }
        Some(piece.map_or(0, <[u8]>::len))
    }

    fn read(&mut self, event: &[u8], object: &Object<'_>, finish: &Finish, said: &mut Said) -> Look {
        if let Some(sequence) = object.get("sequence_number").and_then(Value::as_u64) {
            self.sequence = sequence.saturating_add(1);
        }
        let kind = kind(event, object);
        match &*kind {
            "response.created" | "response.in_progress" | "response.queued" => {
                return Look::Pass(self.start(object, finish, said));
            }
            "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
                return self.finish(object, said);
            }
            "response.output_item.added" | "response.output_item.done" => {
                self.item(object, kind.ends_with("done"), said);
            }
            "error" => {
                let members = object.members.iter().map(|member| (member.key.to_string(), tree(&member.value)));
                said.broke(from_value(&Tree::Object(members.collect())));
            }
            other => {
                // Written with spaces: what the look at the bytes does not find.
                let text = other.strip_prefix("response.").and_then(|other| other.strip_suffix(".delta"));
                let delta = object.get("delta").filter(|value| value.kind == Kind::String);
                if let (Some(text), Some(delta)) = (text, delta) {
                    let number = |key: &str| object.get(key).and_then(Value::as_u64);
                    let part = number("content_index").or_else(|| number("summary_index")).unwrap_or(0);
                    let inside = delta.text.get(1..delta.text.len() - 1).unwrap_or_default().as_bytes();
                    self.pieces.more(number("output_index").unwrap_or(0), part, text.as_bytes(), inside);
                    said.wrote(inside.len());
                }
            }
        }
        Look::Pass(Vec::new())
    }

    fn closing(&self, object: &Object<'_>, finish: &Finish, spent: Option<&Spent>) -> Vec<Edit> {
        let response = object.get("response").and_then(Value::object);
        match (response, spent) {
            (Some(response), Some(spent)) => closing(&response, finish, spent),
            _ => Vec::new(),
        }
    }

    /// The last event says all there is to say: nothing is left out.
    fn end(&mut self, _out: &mut Vec<u8>) {}

    fn cut_short(&mut self, finish: &Finish, spent: &Spent, out: &mut Vec<u8>) {
        let (mut response, mut lines) = self.framed(finish, out);
        let items = self.pieces.cut_short(&mut lines, out);
        let length = chat::Finish::new(FinishReason::Length, "budget_exhausted");
        let (status, details, error) = output::ending(Some(&length));
        let names = finish.names(None);
        output::overlay(&mut response, &Map::new(), &names.extra);
        output::set(
            &mut response,
            [
                ("status", status.into()),
                ("incomplete_details", details),
                ("error", error),
                ("output", items.into()),
                ("usage", spent.written(usage::write)),
            ],
        );
        lines.event("response.incomplete", &[("response", &response)], out);
    }

    fn fail(&mut self, error: &Error, finish: &Finish, spent: &Spent, out: &mut Vec<u8>) {
        let (mut response, mut lines) = self.framed(finish, out);
        output::set(&mut response, [("usage", spent.written(usage::write))]);
        write_failure(&mut lines, response, self.pieces.done(), error, out);
    }
}
