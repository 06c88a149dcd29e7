//! Messages on both sides: bytes are passed on, and what the gateway owns is edited in them.

use memchr::memmem;
use serde_json::{Map, Value as Tree, json};

use super::{
    encode::DEFAULT_MAX_TOKENS,
    error::from_value,
    response::finish as ended,
    stream::{Encoder, write},
    thinking::LEAST_BUDGET,
    usage,
};
use crate::{
    catalog::{Endpoint, Provider},
    chat::{self, Effort, Event, ProviderError},
    dialect::passing::{
        self, Answer, Finish, Format, Look, Relay, ResponseFacts, Said, Spent, clamp, cut_owned, is_nothing, kind,
        only_once, ordered, set_usage, string_after, text, tree,
    },
    error::{Error, Result},
    framing::{
        edit::{Edit, ObjectEdits},
        json::{Kind, Object, Value, quote, scan_object},
    },
    routing::fallback::Cause,
};

/// Members that OpenRouter adds to this format, beside those of every format.
const OWNED: [&str; 2] = ["user", "stop_server_tools_when"];

/// The edits that turn the client's request into one for this endpoint. `longest`: answers of at most so
/// many tokens are to be asked for.
pub fn outbound_edits(
    object: &Object<'_>,
    _stream: bool,
    endpoint: &Endpoint,
    provider: &Provider,
    longest: Option<u64>,
) -> Result<Vec<Edit>> {
    let quirk = |name: &str| provider.quirks.iter().any(|known| known == name);
    only_once(object, "", str::to_owned)?;
    let mut edits = ObjectEdits::new(object);
    cut_owned(&mut edits, provider, &OWNED);
    let version = match (quirk("vertex"), quirk("bedrock_invoke")) {
        (_, true) => {
            edits.cut(|key| matches!(key, "stream" | "metadata" | "service_tier" | "cache_control"));
            Some("\"bedrock-2023-05-31\"")
        }
        (true, false) => Some("\"vertex-2023-10-16\""),
        (false, false) => None,
    };
    if let Some(version) = version {
        edits.cut(|key| key == "model");
        edits.set("anthropic_version", version.to_owned());
    } else {
        edits.set("model", quote(&endpoint.upstream_model));
    }
    // The format wants a number in every request.
    let usual = || endpoint.max_completion_tokens.unwrap_or(DEFAULT_MAX_TOKENS);
    let missing = is_nothing(object.get("max_tokens"));
    let longest = longest.or_else(|| missing.then(usual));
    clamp(object, "max_tokens", longest, &mut edits);
    let thoughts = match longest {
        Some(longest) => fewer_thoughts(object, longest, &mut edits)?,
        None => Vec::new(),
    };
    Ok(ordered(edits.finish(), thoughts))
}

/// Thoughts have to be fewer than the answer may be long, which the vendor would refuse otherwise.
fn fewer_thoughts(object: &Object<'_>, longest: u64, edits: &mut ObjectEdits<'_, '_>) -> Result<Vec<Edit>> {
    let Some(thinking) = object.get("thinking").and_then(Value::object) else { return Ok(Vec::new()) };
    only_once(&thinking, "thinking", str::to_owned)?;
    let budget = thinking.get("budget_tokens").and_then(Value::as_u64);
    if budget.is_none_or(|budget| budget < longest) {
        return Ok(Vec::new());
    }
    if longest <= LEAST_BUDGET {
        edits.cut(|key| key == "thinking");
        return Ok(Vec::new());
    }
    let mut fewer = ObjectEdits::new(&thinking);
    fewer.set("budget_tokens", Effort::Max.budget(longest).min(longest - 1).to_string());
    Ok(fewer.finish())
}

/// Reads a body that came with status 200.
pub fn read_answer(body: &[u8], finish: &Finish) -> Result<Answer, (Cause, ProviderError)> {
    let malformed = || (Cause::Malformed, ProviderError::default());
    let object = scan_object(body).map_err(|_| malformed())?;
    if let Some(error) = error_inside(&object, object.get("type").and_then(Value::as_str).as_deref()) {
        return Err((Cause::ErrorInBody(error.status), error));
    }
    let content = object.get("content").filter(|value| value.kind == Kind::Array).ok_or_else(malformed)?;
    if content.items().iter().any(|block| block.kind != Kind::Object) {
        return Err(malformed());
    }
    let used = object.get("usage").map(tree).unwrap_or_default();
    let reported = usage::decode(&used);
    let mut facts = ResponseFacts {
        upstream_id: text(&object, "id"),
        usage: finish.used(reported.as_ref(), content.text.len()),
        service_tier: usage::tier(&used),
        ..ResponseFacts::default()
    };
    if let Some(finish) = ended(text(&object, "stop_reason"), None) {
        facts.ended(finish);
    }
    let cost = finish.cost(&facts.usage.tokens);
    let spent = Spent { usage: facts.usage, reported, cost };

    let mut changed = ObjectEdits::new(&object);
    passing::name(finish, &mut changed);
    finish.tell_story(&mut changed);
    let zeroes = usage::COUNTS.map(|key| (key, "0".to_owned()));
    let priced = set_usage("usage", &object, &mut changed, &spent, &zeroes, written);
    Ok(Answer { facts, cost, edits: ordered(changed.finish(), priced) })
}

fn written(usage: &chat::Usage, cost: Map<String, Tree>) -> Tree {
    usage::encode(Some(usage), None, cost)
}

fn error_inside(object: &Object<'_>, kind: Option<&str>) -> Option<ProviderError> {
    let error = object.get("error").filter(|value| value.kind != Kind::Null);
    match (kind, error) {
        (_, Some(error)) => Some(from_value(&json!({ "error": tree(error) }))),
        (Some("error"), None) => Some(from_value(&json!({ "message": text(object, "message") }))),
        _ => None,
    }
}

/// A stream of this format on its way through.
pub fn relay(finish: Finish, native: bool) -> Relay {
    Relay::new(Box::<Messages>::default(), finish, native)
}

/// What is known of a stream.
#[derive(Debug, Default)]
struct Messages {
    started: bool,
    /// Numbers of the blocks that are open.
    open: Vec<u64>,
    /// All members of usage so far: each event says some of them.
    usage: Map<String, Tree>,
}

impl Messages {
    fn used(&mut self, used: Option<&Value<'_>>, said: &mut Said) {
        let Some(Tree::Object(used)) = used.map(tree) else { return };
        self.usage.extend(used.into_iter().filter(|(_, value)| !value.is_null()));
        let all = Tree::Object(std::mem::take(&mut self.usage));
        said.usage = usage::decode(&all).or(said.usage.take());
        said.facts.service_tier = usage::tier(&all).or(said.facts.service_tier.take());
        if let Tree::Object(all) = all {
            self.usage = all;
        }
    }

    fn start(&mut self, object: &Object<'_>, finish: &Finish, said: &mut Said) -> Vec<Edit> {
        self.started = true;
        let Some(message) = object.get("message").and_then(Value::object) else { return Vec::new() };
        said.facts.upstream_id = said.facts.upstream_id.take().or_else(|| text(&message, "id"));
        self.used(message.get("usage"), said);
        said.preliminary = true;
        let mut changed = ObjectEdits::new(&message);
        passing::name(finish, &mut changed);
        changed.finish()
    }

    fn open(&mut self, object: &Object<'_>, said: &mut Said) {
        let index = index(object);
        self.open.retain(|open| *open != index);
        self.open.push(index);
        let Some(block) = object.get("content_block").and_then(Value::object) else { return };
        match text(&block, "type").as_deref() {
            Some("text" | "thinking") => said.wrote(inner(&block, &["text", "thinking"])),
            _ => said.content = true,
        }
    }

    fn finish(&mut self, object: &Object<'_>, said: &mut Said) -> Look {
        let used = object.get("usage").filter(|value| value.kind == Kind::Object);
        self.used(used, said);
        said.preliminary &= used.is_none();
        let delta = object.get("delta").and_then(Value::object);
        let reason = delta.as_ref().and_then(|delta| text(delta, "stop_reason"));
        let sequence = delta.as_ref().and_then(|delta| text(delta, "stop_sequence"));
        if let Some(finish) = ended(reason, sequence) {
            said.facts.ended(finish);
            said.content = true;
        }
        Look::Hold
    }
}

fn index(object: &Object<'_>) -> u64 {
    object.get("index").and_then(Value::as_u64).unwrap_or(0)
}

/// Bytes in the first of these strings.
fn inner(object: &Object<'_>, keys: &[&str]) -> usize {
    let text = keys.iter().find_map(|key| object.get(key)).filter(|value| value.kind == Kind::String);
    text.map_or(0, |value| value.text.len().saturating_sub(2))
}

impl Format for Messages {
    fn skim(&mut self, event: &[u8]) -> Option<usize> {
        memmem::find(event, b"\"type\":\"content_block_delta\"")?;
        let words = ["\"text\":\"", "\"partial_json\":\"", "\"thinking\":\""];
        let content = words.iter().find_map(|member| string_after(event, member)).map(<[u8]>::len);
        // Marks are not words, and are not counted as such.
        content.or_else(|| string_after(event, "\"signature\":\"").map(|_| 0))
    }

    fn read(&mut self, event: &[u8], object: &Object<'_>, finish: &Finish, said: &mut Said) -> Look {
        let kind = kind(event, object);
        let edits = match &*kind {
            "message_start" => self.start(object, finish, said),
            "message_delta" => return self.finish(object, said),
            "message_stop" => {
                said.done = true;
                Vec::new()
            }
            "content_block_start" => {
                self.open(object, said);
                Vec::new()
            }
            "content_block_delta" => {
                let delta = object.get("delta").and_then(Value::object);
                said.wrote(delta.map_or(0, |delta| inner(&delta, &["text", "partial_json", "thinking"])));
                Vec::new()
            }
            "content_block_stop" => {
                let index = index(object);
                self.open.retain(|open| *open != index);
                Vec::new()
            }
            other => {
                if let Some(error) = error_inside(object, Some(other)).filter(|_| matches!(other, "error" | "")) {
                    said.broke(error);
                }
                Vec::new()
            }
        };
        Look::Pass(edits)
    }

    fn closing(&self, object: &Object<'_>, finish: &Finish, spent: Option<&Spent>) -> Vec<Edit> {
        let Some(spent) = spent else { return Vec::new() };
        let mut changed = ObjectEdits::new(object);
        finish.tell_story(&mut changed);
        let priced = set_usage("usage", object, &mut changed, spent, &[], written);
        ordered(changed.finish(), priced)
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        write("message_stop", Map::new(), out);
    }

    fn cut_short(&mut self, finish: &Finish, spent: &Spent, out: &mut Vec<u8>) {
        let names = finish.names(None);
        let mut event = names.extra.clone();
        if !self.started {
            Encoder::new(names).push(&Event::Start { id: None, model: None, created: None }, out);
        }
        for index in self.open.drain(..) {
            write("content_block_stop", Map::from_iter([("index".to_owned(), index.into())]), out);
        }
        event.insert("delta".to_owned(), json!({ "stop_reason": "max_tokens", "stop_sequence": null }));
        event.insert("usage".to_owned(), spent.written(written));
        write("message_delta", event, out);
        write("message_stop", Map::new(), out);
    }

    fn fail(&mut self, error: &Error, finish: &Finish, _spent: &Spent, out: &mut Vec<u8>) {
        Encoder::new(finish.names(None)).fail(error, out);
    }
}
