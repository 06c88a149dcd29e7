//! What requests have in common that are no conversation: one question, one answer, no stream. Vectors,
//! rankings, judgements, pictures and sounds are asked for so.

use serde_json::{Map, Value as Tree, json};

use super::{Target, openai_common::error_of, shape};
pub use super::{
    call::GATEWAY_OWNED,
    passing::{priced, tree},
};
use crate::{
    budget::estimate::Weight,
    catalog::{CostBreakdown, Tokens},
    chat::{Losses, ProviderError},
    dialect::passing::{self, Finish, ResponseFacts, Usage},
    error::Result,
    framing::{
        edit::{Edit, ObjectEdits},
        json::{Kind, Object, Value, quote, scan_object},
    },
    provider::{bedrock, google},
    routing::{fallback::Cause, preferences::Preferences},
};

/// Members that are no parameters a provider may or may not support.
const NOT_PARAMETERS: &[&str] = &["model", "user", "metadata"];

/// No provider means more than this of anything that it counts.
const MAX_COUNT: u64 = 100_000_000;

/// What the gateway knows of such a request.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Names asked for, in order of preference; never empty.
    pub models: Vec<String>,
    /// The `provider` object.
    pub preferences: Preferences,
    /// The operator's end user.
    pub user: Option<String>,
    /// Groups requests.
    pub session_id: Option<String>,
    /// Words that the request is charged to.
    pub tags: Vec<String>,
    /// What it is made of, the basis of estimates.
    pub weight: Weight,
    /// How many answers are wanted.
    pub choices: u64,
    /// Names of the parameters sent, as `supported_parameters` spells them.
    pub parameters: Vec<String>,
    /// What it asks for that is not billed in tokens, at most.
    pub units: Units,
}

/// What is not billed in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// Pictures to be made.
    pub images: u64,
    /// Characters to be spoken.
    pub characters: u64,
    /// Sound to be written down, in milliseconds.
    pub milliseconds: u64,
}

impl Asked {
    /// Of a scanned request whose model stands in it, or was read elsewhere (`model`). `input`: members
    /// that are what the model works on.
    pub fn of(object: &Object<'_>, model: Option<&str>, input: &[&str]) -> Result<Self> {
        let models = match model {
            None => shape::models(object)?,
            Some(model) => {
                let list = object.get("models").map(Value::items).unwrap_or_default();
                shape::models_of(Some(model.to_owned()), &list)?
            }
        };
        let sent = object.members.iter().filter(|member| member.value.kind != Kind::Null).map(|member| &*member.key);
        let parameter =
            |key: &&str| !NOT_PARAMETERS.contains(key) && !GATEWAY_OWNED.contains(key) && !input.contains(key);
        Ok(Self {
            models,
            preferences: Preferences::of(object)?,
            user: shape::text(object, "user"),
            session_id: shape::text(object, "session_id"),
            tags: shape::tags(object)?,
            weight: Weight::default(),
            choices: 1,
            parameters: sent.filter(parameter).map(str::to_owned).collect(),
            units: Units::default(),
        })
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// This path below the provider's base URL; at Azure, below its deployments.
    Below(&'static str),
    /// A model's address at AI Studio or Vertex AI ([`google::studio_url`], [`google::vertex_url`]).
    Google(google::Verb),
    /// A model's address at Bedrock ([`bedrock::url`]).
    Bedrock(bedrock::Operation),
}

/// A request for a provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Outbound {
    /// Where it goes.
    pub place: Place,
    /// What is sent.
    pub body: Sent,
    /// What it does not carry.
    pub losses: Losses,
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Sent {
    /// The client's, with these edits made: also where it is a form.
    Edits(Vec<Edit>),
    /// This.
    Json(Tree),
    /// A form.
    Form {
        /// `multipart/form-data; boundary=...`
        content_type: String,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

impl Outbound {
    /// JSON without losses.
    pub fn json(place: Place, body: Tree) -> Self {
        Self { place, body: Sent::Json(body), losses: Losses::default() }
    }

    /// The client's own body, edited.
    pub fn edits(path: &'static str, edits: Vec<Edit>) -> Self {
        Self { place: Place::Below(path), body: Sent::Edits(edits), losses: Losses::default() }
    }
}

/// An answer, read.
#[derive(Debug)]
pub struct Answered {
    /// What it says of itself.
    pub facts: ResponseFacts,
    /// Its cost.
    pub cost: Option<CostBreakdown>,
    /// What the client gets.
    pub body: Given,
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// The provider's, with these edits made; none where it goes as it came.
    Edits(Vec<Edit>),
    /// This.
    Json(Tree),
}

/// An answer, or why it is none.
pub type Read = std::result::Result<Answered, (Cause, ProviderError)>;

/// Something that is not part of an answer.
pub fn malformed() -> (Cause, ProviderError) {
    (Cause::Malformed, ProviderError::default())
}

/// What a decoder said of a body that came with status 200: an error inside, or rubbish.
pub fn no_answer(error: ProviderError) -> (Cause, ProviderError) {
    match error {
        ProviderError { message: None, code: None, status: None, .. } => (Cause::Malformed, error),
        ProviderError { status, .. } => (Cause::ErrorInBody(status), error),
    }
}

/// A quirk of the provider's row.
pub fn has(target: &Target<'_>, quirk: &str) -> bool {
    target.quirks.iter().any(|known| known == quirk)
}

/// The changes that every request needs whose bytes are passed on: the model's name there, and nothing
/// that is the gateway's own. (Another router understands the gateway's members, but the choice of the
/// provider was made here.)
pub fn outbound<'o, 'a>(object: &'o Object<'a>, target: &Target<'_>) -> ObjectEdits<'o, 'a> {
    let mut edits = ObjectEdits::new(object);
    if has(target, "openrouter") {
        edits.cut(|key| matches!(key, "models" | "route" | "provider" | "tags"));
    } else {
        edits.cut(|key| GATEWAY_OWNED.contains(&key));
    }
    edits.set("model", quote(target.model));
    edits
}

/// Two names of one member, of which the provider knows only `to`; what stands there already wins.
pub fn rename(object: &Object<'_>, edits: &mut ObjectEdits<'_, '_>, from: &str, to: &str) {
    if let Some(value) = object.get(from) {
        if object.get(to).is_none() && value.kind != Kind::Null {
            edits.set(to, value.text.to_owned());
        }
        edits.cut(|key| key == from);
    }
}

/// A JSON answer in OpenAI's manner, scanned; an `error` member in its place is one.
pub fn scan_answer(body: &[u8]) -> std::result::Result<Object<'_>, (Cause, ProviderError)> {
    let object = scan_object(body).map_err(|_| malformed())?;
    match object.get("error").filter(|value| value.kind != Kind::Null) {
        Some(error) => {
            let error = error_of(&json!({ "error": tree(error) }));
            Err((Cause::ErrorInBody(error.status), error))
        }
        None => Ok(object),
    }
}

/// A count in a usage object; nothing where it is absent or cannot be meant.
pub fn count(usage: &Tree, name: &str) -> Option<u64> {
    let value = usage.get(name)?;
    value.as_u64().or_else(|| whole(value.as_f64()?)).filter(|count| *count <= MAX_COUNT)
}

/// `12.0` as 12.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
pub fn whole(number: f64) -> Option<u64> {
    (number.fract() == 0.0 && (0.0..=9e15).contains(&number)).then_some(number as u64)
}

/// What a provider says that it charges, in USD.
pub fn provider_cost(usage: &Tree) -> Option<f64> {
    let cost = usage.get("cost")?;
    let cost = cost.as_f64().or_else(|| cost.get("total_cost")?.as_f64());
    cost.filter(|cost| cost.is_finite() && *cost >= 0.0)
}

/// The usage of a request that has only a prompt: what the provider counted, or an estimate.
pub fn prompt_usage(counted: Option<u64>, finish: &Finish) -> Usage {
    let tokens = Tokens { prompt: counted.unwrap_or(finish.estimated_prompt), ..Tokens::default() };
    Usage { tokens, estimated: counted.is_none(), provider_cost: None }
}

/// Edits the `usage` of an answer whose bytes are passed on. What is there stays, its price excepted;
/// `counts` are added where they are missing.
pub fn edit_usage(
    object: &Object<'_>,
    changed: &mut ObjectEdits<'_, '_>,
    counts: &[(&str, Tree)],
    priced: &Map<String, Tree>,
) -> Vec<Edit> {
    let Some(usage) = object.get("usage").and_then(Value::object) else {
        changed.set("usage", self::usage(counts, priced).to_string());
        return Vec::new();
    };
    let mut edits = ObjectEdits::new(&usage);
    for (name, count) in counts {
        if usage.get(name).is_none_or(|value| value.kind == Kind::Null) {
            edits.set(name, count.to_string());
        }
    }
    edits.cut(|key| matches!(key, "cost" | "cost_details" | "is_byok") && !priced.contains_key(key));
    for (name, value) in priced {
        edits.set(name, value.to_string());
    }
    edits.finish()
}

/// A usage object of our own.
pub fn usage(counts: &[(&str, Tree)], priced: &Map<String, Tree>) -> Tree {
    let counts = counts.iter().map(|(name, count)| ((*name).to_owned(), count.clone()));
    Tree::Object(counts.chain(priced.clone()).collect())
}

/// Sets the names of an answer whose bytes are passed on.
pub fn name(changed: &mut ObjectEdits<'_, '_>, finish: &Finish) {
    passing::name(finish, changed);
    finish.tell_story(changed);
}

/// The same, in an answer of our own.
pub fn named(finish: &Finish) -> Map<String, Tree> {
    let mut members = Map::new();
    members.insert("id".to_owned(), finish.id.clone().into());
    members.insert("model".to_owned(), finish.model.clone().into());
    members.insert("provider".to_owned(), finish.provider.clone().into());
    if let Some(metadata) = &finish.metadata {
        members.insert("openrouter_metadata".to_owned(), serde_json::from_str(metadata).unwrap_or_default());
    }
    members
}

/// Edits of one body, made in several places, in order.
pub fn in_order(mut edits: Vec<Edit>) -> Vec<Edit> {
    edits.sort_by_key(|edit| edit.start);
    edits
}
