//! A streamed answer on its way through.
//!
//! [`Relay`] reads every event once. What it gives the client: the provider's events with `id`, `model`
//! and `provider` set, no usage but one closing chunk with `choices: []`, usage and cost, then
//! `[DONE]` (field: OpenRouter's streaming). A stream that breaks ends in an error event instead, and
//! without `[DONE]`: a client can always tell a whole answer from a part of one.
//!
//! In native mode it only reads, and of most chunks no more than that they begin as the others do; the
//! client's bytes flow elsewhere.
//!
//! Until the first content nothing may be written: another provider may still take over. What came
//! before it (role, empty deltas, comments) is held back and goes out with it.

use memchr::memmem;
use serde_json::{Value as Tree, json};

use super::response::{error_inside, name, read_usage, text, usage_edits, usage_json};
use crate::{
    budget::estimate::estimate_tokens,
    catalog::{CostBreakdown, Tokens},
    chat::ProviderError,
    dialect::{
        fields::tier,
        passing::{Finish, ResponseFacts, StreamEnd, Usage, broken},
    },
    framing::{
        edit::{Edit, ObjectEdits, apply, apply_to},
        json::{Kind, Object, Value, quote, scan_object},
        sse::{self, Splitter},
    },
    routing::fallback::Cause,
    time::Millis,
};

/// A stream being relayed.
#[derive(Debug)]
pub struct Relay {
    finish: Finish,
    native: bool,
    kind: Kinds,
    splitter: Splitter,
    prefix: Prefix,
    /// The closing chunk as the provider sent it, to be completed with cost.
    closing: Option<Vec<u8>>,
    reported: Option<Usage>,
    /// The usage object that said so, as the provider wrote it.
    reported_text: String,
    facts: ResponseFacts,
    content_bytes: usize,
    /// When the first content came.
    pub first_content_at: Option<Millis>,
    /// Why it cannot go on.
    failure: Option<(Cause, ProviderError)>,
    done: bool,
}

/// Which of OpenAI's two formats it is: they differ in what a choice holds.
#[derive(Clone, Copy, Debug)]
enum Kinds {
    /// `delta`
    Chat,
    /// `text`
    Completions,
}

impl Kinds {
    fn object(self) -> &'static str {
        match self {
            Self::Chat => "chat.completion.chunk",
            Self::Completions => "text_completion",
        }
    }

    /// A choice that says no more than why it ended. `delta`: of chat.
    fn ended(self, delta: &Tree, reason: &str, native: Option<&str>) -> Tree {
        match self {
            Self::Chat => {
                json!({ "index": 0, "delta": delta, "finish_reason": reason, "native_finish_reason": native })
            }
            Self::Completions => {
                json!({ "index": 0, "text": "", "logprobs": null, "finish_reason": reason, "native_finish_reason": native })
            }
        }
    }
}

/// What all content chunks of a stream begin with, as it came and as it goes out: everything before the
/// choices, which most providers write the same each time. A chunk that begins so and holds neither a
/// finish reason nor usage needs no reading: most chunks of a stream are passed on at the cost of a few
/// searches and a copy.
#[derive(Debug, Default)]
struct Prefix {
    came: Vec<u8>,
    goes: Vec<u8>,
    /// Bytes of a chunk beside its content.
    frame: usize,
    learned: u8,
}

impl Prefix {
    /// Learns from an event that was read: `choices` is where its choices begin.
    fn learn(&mut self, event: &[u8], choices: usize, edits_before: &[u8], content: usize) {
        self.learned += 1;
        self.came = event.get(..choices).unwrap_or_default().to_vec();
        self.goes = edits_before.to_vec();
        self.frame = event.len().saturating_sub(choices + content);
    }

    /// The rest of an event that begins so and has nothing in it that must be read.
    fn rest_of<'e>(&self, event: &'e [u8]) -> Option<&'e [u8]> {
        let rest = event.strip_prefix(&self.came[..]).filter(|_| !self.came.is_empty())?;
        let plain = |needle: &[u8]| memmem::find(rest, needle).is_none();
        // `"usage":{` and `"finish_reason":"`, however they are spaced; "error" in any place.
        let whole = rest.trim_ascii_end().ends_with(b"}");
        (whole && plain(b"\"error\"") && NULLS.iter().all(|(name, null)| absent_or_null(rest, name, null)))
            .then_some(rest)
    }
}

/// Members that must be absent or null in a chunk that is not read.
const NULLS: [(&[u8], &[u8]); 2] = [(b"\"finish_reason\"", b"null"), (b"\"usage\"", b"null")];

/// Whether every `name` in the text is followed by a colon and `null`. A name inside of a string value
/// is not told apart: such a chunk is read, which is always right.
fn absent_or_null(text: &[u8], name: &[u8], null: &[u8]) -> bool {
    memmem::find_iter(text, name).all(|at| {
        let after = text.get(at + name.len()..).unwrap_or_default().trim_ascii_start();
        after.strip_prefix(b":").is_some_and(|value| value.trim_ascii_start().starts_with(null))
    })
}

impl Relay {
    /// Nothing has come yet.
    pub fn new(finish: Finish, native: bool) -> Self {
        Self::of(Kinds::Chat, finish, native)
    }

    /// The same for a stream of OpenAI's older completions.
    pub fn of_completions(finish: Finish, native: bool) -> Self {
        Self::of(Kinds::Completions, finish, native)
    }

    fn of(kind: Kinds, finish: Finish, native: bool) -> Self {
        Self {
            finish,
            native,
            kind,
            splitter: Splitter::default(),
            prefix: Prefix::default(),
            closing: None,
            reported: None,
            reported_text: String::new(),
            facts: ResponseFacts::default(),
            content_bytes: 0,
            first_content_at: None,
            failure: None,
            done: false,
        }
    }

    /// Whether the client's bytes flow elsewhere.
    pub fn is_native(&self) -> bool {
        self.native
    }

    /// Takes a chunk from the provider; appends what the client gets to `out`.
    pub fn push(&mut self, chunk: &[u8], now: Millis, out: &mut Vec<u8>) {
        let mut splitter = std::mem::take(&mut self.splitter);
        let whole = splitter.push(chunk, |event| self.event(event, now, out));
        self.splitter = splitter;
        if whole.is_err() {
            self.fail(Cause::Malformed, ProviderError::default());
        }
    }

    /// Completion tokens so far, roughly.
    pub fn written(&self) -> u64 {
        estimate_tokens(self.content_bytes)
    }

    /// What the end is to be written with: known in full only then.
    pub fn rename(&mut self, finish: Finish) {
        self.finish = finish;
    }

    /// `[DONE]` has come: what follows does not matter.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// What went wrong, if something did.
    pub fn failure(&self) -> Option<&(Cause, ProviderError)> {
        self.failure.as_ref()
    }

    fn fail(&mut self, cause: Cause, error: ProviderError) {
        self.failure.get_or_insert((cause, error));
    }

    fn event(&mut self, event: &[u8], now: Millis, out: &mut Vec<u8>) {
        if self.done || self.failure.is_some() {
            return;
        }
        if let Some(rest) = self.prefix.rest_of(event) {
            self.content_bytes += rest.len().saturating_sub(self.prefix.frame);
            if !self.native {
                out.extend_from_slice(&self.prefix.goes);
                out.extend_from_slice(rest);
            }
            return;
        }
        let Some(data) = sse::data(event) else {
            // A comment, or an event without data: nothing to read, nothing to change.
            if !self.native {
                out.extend_from_slice(event);
            }
            return;
        };
        if &*data.bytes == b"[DONE]" {
            self.done = true;
            return;
        }
        let Ok(object) = scan_object(&data.bytes) else {
            return self.fail(Cause::Malformed, ProviderError::default());
        };
        if let Some(error) = object.get("error").filter(|value| value.kind != Kind::Null) {
            let (cause, error) = error_inside(error);
            return self.fail(cause, error);
        }
        let edits = self.chunk(&object, now);
        match (edits, data.start) {
            (Some(edits), Some(start)) if self.native => self.learn_prefix(event, &object, start, &edits),
            _ if self.native => {}
            (None, _) => self.closing = Some(data.bytes.into_owned()),
            (Some(edits), Some(start)) => {
                self.learn_prefix(event, &object, start, &edits);
                apply_to(event, start, &edits, out);
            }
            (Some(edits), None) => {
                // Data over several lines: line feeds between JSON tokens are mere white space.
                let json: Vec<u8> =
                    apply(&data.bytes, &edits).into_iter().map(|b| if b == b'\n' { b' ' } else { b }).collect();
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(&json);
                out.extend_from_slice(b"\n\n");
            }
        }
    }

    /// Remembers what this chunk begins with, once content flows: only if everything that is set lies
    /// before the choices, and nothing behind them was changed.
    fn learn_prefix(&mut self, event: &[u8], object: &Object<'_>, data_start: usize, edits: &[Edit]) {
        let Some(choices) = object.get("choices") else { return };
        // A provider that writes each chunk differently is not learned from for ever.
        if self.prefix.learned > 4
            || self.first_content_at.is_none()
            || edits.iter().any(|edit| edit.start >= choices.start)
        {
            return;
        }
        let mut before = Vec::with_capacity(choices.start + 96);
        let head = event.get(..data_start + choices.start).unwrap_or_default();
        apply_to(head, data_start, edits, &mut before);
        let content = Self::content_bytes_of(choices);
        self.prefix.learn(event, data_start + choices.start, &before, content);
    }

    fn content_bytes_of(choices: &Value<'_>) -> usize {
        let of = |choice: &Object<'_>| {
            let delta = choice.get("delta").map(Value::members).unwrap_or_default();
            let said = delta.iter().filter(|member| member.key != "role").map(|member| member.value.text.len());
            said.chain(choice.get("text").map(|text| text.text.len())).sum::<usize>()
        };
        choices.items().iter().filter_map(Value::object).map(|choice| of(&choice)).sum()
    }

    /// Reads a chunk object. `None`: it is the closing chunk, to be kept for the end.
    fn chunk(&mut self, object: &Object<'_>, now: Millis) -> Option<Vec<Edit>> {
        let mut edits = Vec::new();
        let choices = object.get("choices").map(Value::items).unwrap_or_default();
        for choice in &choices {
            self.choice(choice, now, &mut edits);
        }
        if self.facts.upstream_id.is_none() {
            // Azure's first chunk has an empty one.
            self.facts.upstream_id = text(object, "id").filter(|id| !id.is_empty());
        }
        if self.facts.service_tier.is_none() {
            self.facts.service_tier = text(object, "service_tier").map(tier);
        }
        // Groq tells it here, whether it was asked or not.
        let groq = object.get("x_groq").and_then(Value::object);
        self.note_usage(groq.as_ref().and_then(|groq| groq.get("usage")));
        let usage = object.get("usage").filter(|value| value.kind == Kind::Object);
        self.note_usage(usage);
        if usage.is_none() {
            // Groq's older place for it.
            self.note_usage(object.get("x_groq").and_then(Value::object).as_ref().and_then(|own| own.get("usage")));
        }
        if choices.is_empty() && usage.is_some() {
            return None;
        }
        if self.native {
            return Some(edits);
        }
        let mut changed = ObjectEdits::new(object);
        name(&self.finish, object, &mut changed);
        if usage.is_some() {
            changed.cut(|key| key == "usage");
        }
        edits.extend(changed.finish());
        edits.sort_by_key(|edit| edit.start);
        Some(edits)
    }

    /// Of several the last one counts: some providers report with every chunk.
    fn note_usage(&mut self, value: Option<&Value<'_>>) {
        if let Some((value, usage)) = value.and_then(|value| Some((value, read_usage(value)?))) {
            self.reported = Some(usage);
            value.text.clone_into(&mut self.reported_text);
        }
    }

    /// The usage object of the closing chunk: the provider's own with cost, else ours.
    fn usage_text(&self, cost: Option<&CostBreakdown>) -> String {
        let own = Some(&self.reported_text).filter(|text| !text.is_empty());
        let edited = own.and_then(|text| {
            let edits = usage_edits(&scan_object(text.as_bytes()).ok()?, &self.facts.usage.tokens, cost);
            String::from_utf8(apply(text.as_bytes(), &edits)).ok()
        });
        edited.unwrap_or_else(|| usage_json(&self.facts.usage, cost))
    }

    fn choice(&mut self, choice: &Value<'_>, now: Millis, edits: &mut Vec<Edit>) {
        let Some(choice) = choice.object() else { return };
        if let Some(reason) = text(&choice, "finish_reason") {
            if choice.get("native_finish_reason").is_none() {
                let mut changed = ObjectEdits::new(&choice);
                changed.set("native_finish_reason", quote(&reason));
                edits.extend(changed.finish());
            }
            let native = text(&choice, "native_finish_reason").unwrap_or_else(|| reason.clone());
            self.facts.native_finish_reason.get_or_insert(native);
            self.facts.finish_reason.get_or_insert(reason);
            self.first_content_at.get_or_insert(now);
        }
        // Moonshot puts the usage into the last choice.
        self.note_usage(choice.get("usage"));
        for member in choice.get("delta").map(Value::members).unwrap_or_default() {
            if member.key != "role" {
                self.content(&member.value, now);
            }
        }
        if let Some(text) = choice.get("text") {
            self.content(text, now);
        }
    }

    fn content(&mut self, value: &Value<'_>, now: Millis) {
        if !matches!(value.text, "\"\"" | "null" | "[]" | "{}") {
            self.content_bytes += value.text.len();
            self.first_content_at.get_or_insert(now);
        }
    }

    /// The provider has closed the stream: whether what came is a whole answer. The last event may lack its
    /// blank line.
    pub fn closed(&mut self, now: Millis, out: &mut Vec<u8>) -> bool {
        let rest = self.splitter.take_rest();
        if !rest.is_empty() {
            self.event(&[&rest[..], b"\n\n"].concat(), now, out);
        }
        self.failure.is_none() && (self.done || self.facts.finish_reason.is_some())
    }

    /// The stream is over: settles what it used and appends the last bytes for the client to `out`.
    pub fn end(&mut self, end: StreamEnd, now: Millis, out: &mut Vec<u8>) -> (ResponseFacts, Option<CostBreakdown>) {
        if end == StreamEnd::OutOfBudget && !self.done && self.facts.finish_reason.is_none() {
            self.facts.finish_reason = Some("length".to_owned());
            self.facts.native_finish_reason = Some("budget_exhausted".to_owned());
            out.extend_from_slice(&self.out_of_budget());
        }
        if end == StreamEnd::Closed {
            self.closed(now, out);
        }
        match end {
            StreamEnd::Closed if !self.done && self.facts.finish_reason.is_none() => {
                self.fail(Cause::Connection, ProviderError::default());
            }
            StreamEnd::Broken if !self.done => self.fail(Cause::Connection, ProviderError::default()),
            StreamEnd::Stopped if !self.done => self.fail(Cause::Stopped, ProviderError::default()),
            StreamEnd::TimedOut if !self.done => self.fail(Cause::Timeout, ProviderError::default()),
            _ => {}
        }
        self.facts.usage = self.reported.unwrap_or_else(|| Usage {
            tokens: Tokens {
                prompt: self.finish.estimated_prompt,
                completion: estimate_tokens(self.content_bytes),
                ..Tokens::default()
            },
            estimated: true,
            provider_cost: None,
        });
        let cost = self.finish.cost(&self.facts.usage.tokens);
        if let Some((cause, error)) = &self.failure {
            let usage = usage_json(&self.facts.usage, cost.as_ref());
            out.extend_from_slice(&error_event(self.kind, &self.finish, *cause, error, Some(&usage)));
            self.facts.finish_reason = Some("error".to_owned());
        } else if self.native {
            if end == StreamEnd::OutOfBudget {
                out.extend_from_slice(b"data: [DONE]\n\n");
            }
        } else {
            self.write_closing(cost.as_ref(), out);
            out.extend_from_slice(b"data: [DONE]\n\n");
        }
        (self.facts.clone(), cost)
    }

    /// The chunk that ends an answer which its budget does not cover any further.
    fn out_of_budget(&self) -> Vec<u8> {
        let chunk = json!({
            "id": self.finish.id,
            "object": self.kind.object(),
            "created": self.finish.created,
            "model": self.finish.model,
            "provider": self.finish.provider,
            "choices": [self.kind.ended(&json!({}), "length", Some("budget_exhausted"))],
        });
        format!("data: {chunk}\n\n").into_bytes()
    }

    fn write_closing(&self, cost: Option<&CostBreakdown>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        let own = self.closing.as_deref().and_then(|bytes| Some((bytes, scan_object(bytes).ok()?)));
        if let Some((bytes, object)) = own {
            let mut changed = ObjectEdits::new(&object);
            name(&self.finish, &object, &mut changed);
            let mut edits = Vec::new();
            match object.get("usage").filter(|_| !self.facts.usage.estimated).and_then(Value::object) {
                Some(usage) => edits.extend(usage_edits(&usage, &self.facts.usage.tokens, cost)),
                None => changed.set("usage", usage_json(&self.facts.usage, cost)),
            }
            if let Some(metadata) = &self.finish.metadata {
                changed.set("openrouter_metadata", metadata.clone());
            }
            edits.extend(changed.finish());
            edits.sort_by_key(|edit| edit.start);
            apply_to(bytes, 0, &edits, out);
        } else {
            let Finish { id, model, provider, metadata, .. } = &self.finish;
            let metadata = metadata.as_ref().map_or(String::new(), |json| format!(",\"openrouter_metadata\":{json}"));
            let (id, model, provider) = (quote(id), quote(model), quote(provider));
            let (usage, object) = (self.usage_text(cost), self.kind.object());
            let chunk = format!(
                "{{\"id\":{id},\"object\":\"{object}\",\"created\":{},\"model\":{model},\"provider\":{provider},\
                 \"choices\":[],\"usage\":{usage}{metadata}}}",
                self.finish.created
            );
            out.extend_from_slice(chunk.as_bytes());
        }
        out.extend_from_slice(b"\n\n");
    }
}

/// The event that ends a broken stream, in OpenRouter's shape.
fn error_event(kind: Kinds, finish: &Finish, cause: Cause, error: &ProviderError, usage: Option<&str>) -> Vec<u8> {
    let failure = broken(&finish.provider, cause, error);
    let facts = failure.kind.facts();
    let mut event = json!({
        "id": finish.id,
        "object": kind.object(),
        "created": finish.created,
        "model": finish.model,
        "provider": finish.provider,
        "error": {
            "code": facts.status,
            "message": failure.message,
            "type": facts.openai_type,
            "metadata": { "error_type": facts.error_type, "provider_name": finish.provider, "provider_code": error.code },
        },
        "choices": [kind.ended(&json!({ "content": "" }), "error", None)],
    })
    .to_string();
    if let Some(usage) = usage {
        event.pop();
        event.push_str(",\"usage\":");
        event.push_str(usage);
        event.push('}');
    }
    format!("data: {event}\n\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::{super::response::tests::finish, *};
    use proptest::prelude::*;

    const STREAM: &str = concat!(
        ": hello\n\n",
        "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n",
        "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Grüße \"},\"finish_reason\":null}],\"x\":1.50}\n\n",
        "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"m-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":15,\"odd\":1}}\n\n",
        "data: [DONE]\n\n",
    );

    struct Out {
        text: String,
        facts: ResponseFacts,
        cost: Option<CostBreakdown>,
        relay: Relay,
    }

    impl Out {
        fn chunks(&self) -> Vec<Tree> {
            self.text
                .lines()
                .filter_map(|l| l.strip_prefix("data: "))
                .filter(|d| *d != "[DONE]")
                .map(|d| serde_json::from_str(d).unwrap())
                .collect()
        }
    }

    fn run(chunks: &[&[u8]], end: StreamEnd, native: bool) -> Out {
        let mut relay = Relay::new(finish(), native);
        let mut out = Vec::new();
        for (n, chunk) in chunks.iter().enumerate() {
            relay.push(chunk, Millis(8_000 + i64::try_from(n).unwrap()), &mut out);
        }
        let (facts, cost) = relay.end(end, Millis(9_000), &mut out);
        Out { text: String::from_utf8(out).unwrap(), facts, cost, relay }
    }

    #[test]
    fn a_stream_gets_its_names_and_closes_with_usage_and_cost() {
        let out = run(&[STREAM.as_bytes()], StreamEnd::Closed, false);
        let chunks = out.chunks();
        assert!(out.text.starts_with(": hello\n\n") && out.text.ends_with("data: [DONE]\n\n"));
        assert!(
            chunks.iter().all(|c| c["id"] == "gen-1-x" && c["model"] == "a/b" && c["provider"] == "P"),
            "{}",
            out.text
        );
        assert!(out.text.contains("\"x\":1.50"));
        let (last, before) = chunks.split_last().unwrap();
        assert!(before.iter().all(|c| c["usage"].is_null()));
        assert_eq!(last["choices"], json!([]));
        assert_eq!((&last["usage"]["cost"], &last["usage"]["odd"]), (&json!(0.00002), &json!(1)));
        assert_eq!(before[2]["choices"][0]["native_finish_reason"], "stop");
        assert_eq!(out.cost.unwrap().total.to_string(), "0.00002");
        assert_eq!(out.facts.finish_reason.as_deref(), Some("stop"));
        assert!(!out.facts.usage.estimated && out.relay.is_done());
    }

    #[test]
    fn usage_in_a_choice_chunk_moves_to_the_closing_chunk() {
        let stream = "data: {\"id\":\"1\",\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1,\"odd\":1}}\n\n";
        let out = run(&[stream.as_bytes()], StreamEnd::Closed, false);
        let chunks = out.chunks();
        assert_eq!(chunks.len(), 2);
        assert!(chunks[0].get("usage").is_none());
        assert_eq!((&chunks[1]["usage"]["prompt_tokens"], &chunks[1]["usage"]["odd"]), (&json!(3), &json!(1)));
        assert_eq!(chunks[1]["usage"]["cost"], json!(0.000_005));
        assert!(out.text.ends_with("data: [DONE]\n\n"), "a missing [DONE] after a finish reason is made good");
    }

    #[test]
    fn usage_is_found_where_groq_had_it() {
        let stream = "data: {\"id\":\"1\",\"model\":\"m\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"x_groq\":{\"id\":\"r\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}}\n\ndata: [DONE]\n\n";
        let out = run(&[stream.as_bytes()], StreamEnd::Closed, false);
        assert_eq!(out.chunks().last().unwrap()["usage"]["prompt_tokens"], 3);
        assert!(!out.facts.usage.estimated);
    }

    #[test]
    fn a_broken_stream_ends_in_an_error_and_not_in_done() {
        let cut = STREAM.find("data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{},").unwrap();
        for (bytes, end, status) in [
            (&STREAM[..cut], StreamEnd::Closed, 502),
            (&STREAM[..cut + 20], StreamEnd::Broken, 502),
            (&STREAM[..cut], StreamEnd::TimedOut, 504),
        ] {
            let out = run(&[bytes.as_bytes()], end, false);
            let chunks = out.chunks();
            let last = chunks.last().unwrap();
            assert_eq!(last["error"]["code"], status, "{}", out.text);
            assert_eq!(last["choices"][0]["finish_reason"], "error");
            assert_eq!(last["usage"]["is_estimated"], true);
            assert!(!out.text.contains("[DONE]"));
            assert!(out.facts.usage.estimated && out.facts.usage.tokens.completion > 0);
        }
    }

    #[test]
    fn an_error_inside_the_stream_is_passed_on_redacted() {
        let stream = "data: {\"error\":{\"message\":\"overloaded at https://internal.host/x\",\"code\":529}}\n\n";
        let out = run(&[stream.as_bytes()], StreamEnd::Closed, false);
        assert_eq!(out.relay.failure().unwrap().0, Cause::ErrorInBody(Some(529)));
        assert_eq!(out.chunks()[0]["error"]["code"], 503);
        assert!(out.text.contains("overloaded") && !out.text.contains("internal.host"));
    }

    #[test]
    fn native_mode_reads_and_writes_nothing() {
        let out = run(&[STREAM.as_bytes()], StreamEnd::Closed, true);
        assert_eq!(out.text, "");
        assert_eq!(out.cost.unwrap().total.to_string(), "0.00002");
        let out = run(&[&STREAM.as_bytes()[..400]], StreamEnd::Broken, true);
        assert!(out.relay.prefix.learned > 0, "what all chunks begin with");
        assert!(out.text.contains("\"finish_reason\":\"error\""), "but an error it does write: {}", out.text);
    }

    #[test]
    fn content_is_seen_only_where_there_is_some() {
        let mut relay = Relay::new(finish(), false);
        let mut out = Vec::new();
        let role = STREAM.find("Grüße").unwrap() - 100;
        relay.push(&STREAM.as_bytes()[..role], Millis(1), &mut out);
        assert_eq!(relay.first_content_at, None);
        relay.push(&STREAM.as_bytes()[role..], Millis(2), &mut out);
        assert_eq!(relay.first_content_at, Some(Millis(2)));
    }

    proptest! {
        #[test]
        fn chunks_passed_on_unread_are_as_if_they_had_been_read(
            contents in prop::collection::vec("(\\PC{0,12}|usage|\"usage\":\\{|\"finish_reason\":\"stop\"|error|\"error\")", 1..12),
            odd in prop::collection::vec(0..12_usize, 0..3), usage_null: bool, spaced: bool, native: bool,
        ) {
            let chunk = |n: usize, content: &str| {
                let delta = json!({ "content": content });
                let (usage, colon) = (if usage_null { ",\"usage\":null" } else { "" }, if spaced { " : " } else { ":" });
                let (created, finish) = if odd.contains(&n) { (6, "\"length\"") } else { (5, "null") };
                format!("data: {{\"id\":\"c\",\"created\":{created},\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\"{colon}{finish}}}]{usage}}}\n\n")
            };
            let (mut quick, mut slow) = (Relay::new(finish(), native), Relay::new(finish(), native));
            let (mut quick_out, mut slow_out) = (Vec::new(), Vec::new());
            for (n, content) in contents.iter().enumerate() {
                let chunk = chunk(n, content);
                quick.push(chunk.as_bytes(), Millis(1), &mut quick_out);
                slow.prefix = Prefix::default();
                slow.push(chunk.as_bytes(), Millis(1), &mut slow_out);
            }
            prop_assert_eq!(String::from_utf8(quick_out).unwrap(), String::from_utf8(slow_out).unwrap());
            prop_assert_eq!(quick.facts, slow.facts);
            prop_assert_eq!(quick.first_content_at, slow.first_content_at);
        }

        #[test]
        fn any_split_of_the_bytes_gives_the_same_stream(mut cuts in prop::collection::vec(0..STREAM.len(), 0..9)) {
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([STREAM.len()]) {
                chunks.push(&STREAM.as_bytes()[from..cut]);
                from = cut;
            }
            let whole = run(&[STREAM.as_bytes()], StreamEnd::Closed, false);
            let split = run(&chunks, StreamEnd::Closed, false);
            prop_assert_eq!(&split.text, &whole.text);
            prop_assert_eq!(split.facts, whole.facts);
        }
    }
}
