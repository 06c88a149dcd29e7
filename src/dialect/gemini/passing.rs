//! Gemini on both sides: bytes are passed on, and what the gateway owns is edited in them. Streams are
//! those of `alt=sse`; a client that wants an array gets it from the [`Encoder`](super::Encoder).

use std::borrow::Cow;

use serde_json::{Map, Value as Tree};

use super::{Encoder, error, finish as endings, grounding, usage, wire::camel};
use crate::{
    catalog::{Endpoint, Provider},
    chat::{self, Event, FinishReason, ProviderError, Wire},
    dialect::passing::{
        Answer, Finish, Format, Look, Relay, ResponseFacts, Said, Spent, clamp, cut_owned, only_once, ordered,
        set_usage, tree,
    },
    error::{Error, Result},
    framing::{
        edit::{Edit, ObjectEdits},
        json::{Kind, Object, Value, quote, scan_object},
        sse,
    },
    routing::fallback::Cause,
};

/// The edits that turn the client's request into one for this endpoint: its model stands in the URL.
/// `longest`: answers of at most so many tokens are to be asked for.
pub fn outbound_edits(
    object: &Object<'_>,
    _stream: bool,
    _endpoint: &Endpoint,
    provider: &Provider,
    longest: Option<u64>,
) -> Result<Vec<Edit>> {
    let camel = |key: &str| camel(key.to_owned());
    only_once(object, "", camel)?;
    let mut edits = ObjectEdits::new(object);
    cut_owned(&mut edits, provider, &["user"]);
    edits.cut(|key| key == "model");
    let name = spelled(object, "generationConfig", "generation_config");
    let inner = match (object.get(name).and_then(Value::object), longest) {
        (Some(config), longest) => {
            only_once(&config, name, camel)?;
            let mut inner = ObjectEdits::new(&config);
            clamp(&config, spelled(&config, "maxOutputTokens", "max_output_tokens"), longest, &mut inner);
            inner.finish()
        }
        (None, Some(longest)) => {
            edits.set(name, format!("{{\"maxOutputTokens\":{longest}}}"));
            Vec::new()
        }
        (None, None) => Vec::new(),
    };
    Ok(ordered(edits.finish(), inner))
}

/// Which of the two spellings a member has; the first one if it is not there.
fn spelled<'n>(object: &Object<'_>, camel: &'n str, snake: &'n str) -> &'n str {
    if object.get(camel).is_none() && object.get(snake).is_some() { snake } else { camel }
}

fn member<'o, 'a>(object: &'o Object<'a>, camel: &str, snake: &str) -> Option<&'o Value<'a>> {
    object.get(camel).or_else(|| object.get(snake)).filter(|value| value.kind != Kind::Null)
}

/// A list; what is no list is a list of one.
fn list<'a>(value: Option<&Value<'a>>) -> Vec<Value<'a>> {
    match value {
        Some(value) if value.kind == Kind::Array => value.items(),
        Some(value) => vec![*value],
        None => Vec::new(),
    }
}

/// Reads a body that came with status 200.
pub fn read_answer(body: &[u8], finish: &Finish) -> Result<Answer, (Cause, ProviderError)> {
    let malformed = || (Cause::Malformed, ProviderError::default());
    let object = scan_object(body).map_err(|_| malformed())?;
    if let Some(error) = error_inside(&object) {
        return Err((Cause::ErrorInBody(error.status), error));
    }
    if list(object.get("candidates")).iter().any(|candidate| candidate.kind != Kind::Object) {
        return Err(malformed());
    }
    let (mut generation, mut said) = (Generation::default(), Said::default());
    generation.response(&object, &mut said);
    generation.settle(&mut said);
    if !generation.seen && said.facts.finish_reason.is_none() {
        return Err(malformed());
    }
    let usage = finish.used(said.usage.as_ref(), said.content_bytes);
    let (facts, cost) = (ResponseFacts { usage, ..said.facts }, finish.cost(&usage.tokens));
    let spent = Spent { usage, reported: said.usage, cost };
    Ok(Answer { facts, cost, edits: generation.closing(&object, finish, Some(&spent)) })
}

fn error_inside(object: &Object<'_>) -> Option<ProviderError> {
    let error = object.get("error").filter(|value| value.kind != Kind::Null)?;
    Some(error::from_value(&serde_json::json!({ "error": tree(error) }), None))
}

fn written(usage: &chat::Usage, cost: Map<String, Tree>) -> Tree {
    let mut written = usage::write(usage);
    written.extend(cost);
    Tree::Object(written)
}

/// A stream of this format on its way through.
pub fn relay(finish: Finish, native: bool) -> Relay {
    Relay::new(Box::<Generation>::default(), finish, native)
}

/// What is known of an answer.
#[derive(Debug, Default)]
struct Generation {
    /// There was a candidate.
    seen: bool,
    /// The answers in which tools are called.
    called: Vec<u64>,
    /// How the first answer ended.
    ended: Option<(u64, Tree)>,
    /// Searches of the web.
    searches: u64,
    /// What was used, as a text: some frames hold only a part of the numbers.
    usage: String,
}

impl Generation {
    fn response(&mut self, object: &Object<'_>, said: &mut Said) {
        if said.facts.upstream_id.is_none() {
            said.facts.upstream_id =
                member(object, "responseId", "response_id").and_then(Value::as_str).map(Cow::into_owned);
        }
        for candidate in list(object.get("candidates")).iter().filter_map(Value::object) {
            self.candidate(&candidate, said);
        }
        if let Some(metadata) = member(object, "usageMetadata", "usage_metadata") {
            self.used(metadata);
        }
        let feedback = || member(object, "promptFeedback", "prompt_feedback").map(tree);
        let finish = match &self.ended {
            Some((choice, word)) => endings::read(word, self.called.contains(choice)),
            None => endings::blocked(feedback().as_ref()),
        };
        if let Some(finish) = finish {
            said.facts.ended(finish);
            said.content = true;
        }
        said.preliminary = said.facts.finish_reason.is_none();
    }

    fn candidate(&mut self, candidate: &Object<'_>, said: &mut Said) {
        self.seen = true;
        let choice = candidate.get("index").and_then(Value::as_u64).unwrap_or(0);
        let content = candidate.get("content").and_then(Value::object);
        for part in list(content.as_ref().and_then(|content| content.get("parts"))) {
            for part in part.members() {
                match (&*part.key, part.value.kind) {
                    ("text", Kind::String) => said.wrote(part.value.text.len().saturating_sub(2)),
                    ("functionCall" | "function_call", _) => {
                        self.call(choice, &part.value);
                        said.wrote(part.value.text.len());
                    }
                    ("thought" | "thoughtSignature" | "thought_signature", _) | (_, Kind::Null) => {}
                    _ => said.content = true,
                }
            }
        }
        for key in ["groundingMetadata", "grounding_metadata"] {
            // Told again in every frame.
            let found =
                candidate.get(key).map(tree).map(|found| Map::from_iter([("groundingMetadata".to_owned(), found)]));
            self.searches = self.searches.max(found.as_ref().map_or(0, grounding::searches));
        }
        let word = member(candidate, "finishReason", "finish_reason").map(tree);
        if let Some(word) = word.filter(|_| self.ended.as_ref().is_none_or(|(first, _)| choice <= *first)) {
            self.ended = Some((choice, word));
        }
    }

    /// Pieces of a call that go on have no name.
    fn call(&mut self, choice: u64, call: &Value<'_>) {
        let named = call.members().iter().any(|member| member.key == "name" && member.value.text != "\"\"");
        if named && !self.called.contains(&choice) {
            self.called.push(choice);
        }
    }

    fn used(&mut self, metadata: &Value<'_>) {
        let known = scan_object(self.usage.as_bytes()).map(|known| known.members).unwrap_or_default();
        let news = metadata.members();
        let all_again = known.iter().all(|member| news.iter().any(|new| new.key == member.key));
        if all_again {
            metadata.text.clone_into(&mut self.usage);
        } else if let (Ok(Tree::Object(mut all)), Tree::Object(news)) =
            (serde_json::from_str(&self.usage), tree(metadata))
        {
            all.extend(news);
            self.usage = Tree::Object(all).to_string();
        }
    }
}

impl Format for Generation {
    /// Every event bears the names.
    fn skim(&mut self, _event: &[u8]) -> Option<usize> {
        None
    }

    /// Google writes an error between the events without any framing.
    fn data<'e>(&self, event: &'e [u8]) -> Option<sse::Data<'e>> {
        let bare = || matches!(event.trim_ascii_start().first(), Some(b'{' | b'['));
        sse::data(event).or_else(|| bare().then_some(sse::Data { bytes: Cow::Borrowed(event), start: Some(0) }))
    }

    /// An error may stand in a list.
    fn odd(&self, data: &[u8], said: &mut Said) {
        match serde_json::from_slice::<Tree>(data) {
            Ok(value) if value.get(0).is_some_and(|first| first.get("error").is_some()) => {
                said.broke(error::from_value(&value, None));
            }
            _ => said.fail(Cause::Malformed, ProviderError::default()),
        }
    }

    fn read(&mut self, _event: &[u8], object: &Object<'_>, finish: &Finish, said: &mut Said) -> Look {
        if let Some(error) = error_inside(object) {
            said.broke(error);
            return Look::Pass(Vec::new());
        }
        self.response(object, said);
        if said.facts.finish_reason.is_some() { Look::Hold } else { Look::Pass(self.closing(object, finish, None)) }
    }

    fn settle(&mut self, said: &mut Said) {
        let metadata: Tree = serde_json::from_str(&self.usage).unwrap_or_default();
        said.facts.service_tier = usage::read_tier(&metadata);
        said.usage = usage::read(&metadata).map(|mut usage| {
            usage.tokens.web_searches = self.searches;
            chat::Usage { native: Some((Wire::Gemini, metadata)), ..usage }
        });
    }

    fn closing(&self, object: &Object<'_>, finish: &Finish, spent: Option<&Spent>) -> Vec<Edit> {
        let mut changed = ObjectEdits::new(object);
        changed.set(spelled(object, "modelVersion", "model_version"), quote(&finish.model));
        changed.set(spelled(object, "responseId", "response_id"), quote(&finish.id));
        changed.set("provider", quote(&finish.provider));
        let Some(spent) = spent else { return changed.finish() };
        finish.tell_story(&mut changed);
        let key = spelled(object, "usageMetadata", "usage_metadata");
        let priced = set_usage(key, object, &mut changed, spent, &[], written);
        ordered(changed.finish(), priced)
    }

    /// There is no terminator.
    fn end(&mut self, _out: &mut Vec<u8>) {}

    fn cut_short(&mut self, finish: &Finish, spent: &Spent, out: &mut Vec<u8>) {
        let (usage, cost) = spent.told();
        let mut encoder = Encoder::new(finish.names(None));
        let length = chat::Finish::new(FinishReason::Length, "MAX_TOKENS");
        encoder.push(&Event::Finish { choice: 0, finish: length }, out);
        encoder.end(Some(&usage), cost, out);
    }

    fn fail(&mut self, error: &Error, finish: &Finish, _spent: &Spent, out: &mut Vec<u8>) {
        Encoder::new(finish.names(None)).fail(error, out);
    }
}
