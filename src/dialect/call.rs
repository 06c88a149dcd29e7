//! What the gateway reads of a request, whatever its format: whom it is for, who pays, how large it is.
//! The rest stays bytes.

use std::borrow::Cow;

use crate::{
    budget::estimate::Weight,
    chat::Wire,
    error::{Error, ErrorKind, Result},
    framing::json::{Kind, Malformed, Object, Value},
    routing::preferences::Preferences,
};

/// What clients call: a route of inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// `POST /v1/chat/completions`
    Chat,
    /// `POST /v1/completions`
    Completions,
    /// `POST /v1/responses`
    Responses,
    /// `POST /v1/messages`
    Messages,
    /// `POST /v1/messages/count_tokens`
    CountMessages,
    /// `POST /v1beta/models/{model}:generateContent`, and `:streamGenerateContent`
    Generate,
    /// `POST /v1beta/models/{model}:countTokens`
    CountGenerate,
}

impl Api {
    /// The format of its conversations.
    pub fn wire(self) -> Wire {
        match self {
            Self::Chat => Wire::OpenaiChat,
            Self::Completions => Wire::OpenaiCompletions,
            Self::Responses => Wire::OpenaiResponses,
            Self::Messages | Self::CountMessages => Wire::AnthropicMessages,
            Self::Generate | Self::CountGenerate => Wire::Gemini,
        }
    }

    /// Whether nothing is answered but a number of tokens, and nothing charged.
    pub fn only_counts(self) -> bool {
        matches!(self, Self::CountMessages | Self::CountGenerate)
    }
}

/// Most models a request may name.
const MAX_MODELS: usize = 10;
/// Most words a request may be tagged with.
const MAX_TAGS: usize = 10;

/// What the gateway knows of a request. The rest stays bytes.
#[derive(Debug)]
pub struct Call<'a> {
    /// Which route it came by.
    pub api: Api,
    /// Its members.
    pub object: Object<'a>,
    /// The whole of it.
    pub body: &'a [u8],
    /// Names asked for, in order of preference; never empty.
    pub models: Vec<String>,
    /// The answer is to be a stream.
    pub stream: bool,
    /// The `provider` object.
    pub preferences: Preferences,
    /// Longest answer asked for, in tokens.
    pub max_tokens: Option<u64>,
    /// Groups requests of one conversation.
    pub session_id: Option<String>,
    /// The operator's end user.
    pub user: Option<String>,
    /// How many answers are wanted.
    pub choices: u64,
    /// Words that the request is charged to.
    pub tags: Vec<String>,
    /// What its prompt is made of, the basis of estimates.
    pub weight: Weight,
}

/// What a member may be. `null` is always as good as absent.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Text.
    String,
    /// A switch.
    Bool,
    /// A number within bounds.
    Number {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// A whole number within bounds.
    Integer {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A list.
    Array,
    /// An object.
    Object,
    /// Text, or a list of texts.
    StringOrArray,
    /// Text, or an object.
    StringOrObject,
    /// Anything: the provider knows better.
    Free,
}

/// Members that change the meaning of a request in ways this gateway cannot carry out yet: refused
/// unless empty, because silence would be worse.
const REFUSED: &[&str] = &["plugins", "transforms", "preset", "stop_server_tools_when", "deferred_tools"];

/// Members that every route has for the gateway, beside `model`: they mean nothing to a provider.
pub const GATEWAY_OWNED: &[&str] = &[
    "models",
    "route",
    "provider",
    "plugins",
    "transforms",
    "preset",
    "session_id",
    "tags",
    "trace",
    "usage",
    "debug",
];

impl<'a> Call<'a> {
    /// What these members say that every route has. The caller fills in what is its format's own.
    pub fn read(api: Api, object: Object<'a>, body: &'a [u8], weight: Weight) -> Result<Self> {
        Self::named(api, object, body, weight, None)
    }

    /// The same, of a route whose path names the model.
    pub fn named(api: Api, object: Object<'a>, body: &'a [u8], weight: Weight, model: Option<&str>) -> Result<Self> {
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(Cow::into_owned);
        Ok(Self {
            api,
            models: models(&object, model)?,
            stream: object.get("stream").and_then(Value::as_bool).unwrap_or(false),
            preferences: object.get("provider").map_or_else(|| Ok(Preferences::none()), Preferences::parse)?,
            max_tokens: None,
            session_id: text("session_id"),
            user: text("user"),
            choices: object.get("n").and_then(Value::as_u64).unwrap_or(1),
            tags: tags(&object)?,
            weight,
            object,
            body,
        })
    }

    /// A member that is a whole number.
    pub fn count(&self, key: &str) -> Option<u64> {
        self.object.get(key).and_then(Value::as_u64)
    }

    /// Names of the parameters sent, as `supported_parameters` spells them: OpenAI chat's words.
    pub fn parameters(&self) -> Vec<&str> {
        let sent = self.object.members.iter().filter(|member| member.value.kind != Kind::Null);
        sent.filter_map(|member| parameter(&member.key)).collect()
    }
}

/// The body is no JSON object.
pub fn invalid_json(malformed: &Malformed, bytes: usize) -> Error {
    let Malformed { what, at } = malformed;
    let message = format!("The request body is not valid JSON: {what} (at byte {at} of {bytes}).");
    Error::new(ErrorKind::InvalidRequest, message).code("invalid_json")
}

/// The name that a parameter has in `supported_parameters`; nothing for what is none.
fn parameter(key: &str) -> Option<&str> {
    const NONE: &[&str] = &[
        "messages",
        "model",
        "stream",
        "stream_options",
        "user",
        "metadata",
        "n",
        "include_reasoning",
        "prompt",
        "input",
        "instructions",
        "store",
        "include",
        "system",
        "contents",
        "systemInstruction",
        "generationConfig",
    ];
    Some(match key {
        "max_output_tokens" => "max_tokens",
        "stop_sequences" => "stop",
        "thinking" => "reasoning",
        "text" => "response_format",
        "toolConfig" => "tool_choice",
        _ if NONE.contains(&key) || GATEWAY_OWNED.contains(&key) => return None,
        _ => key,
    })
}

/// `tags`: the gateway's own member.
fn tags(object: &Object<'_>) -> Result<Vec<String>> {
    let mut tags = Vec::new();
    for (index, item) in object.get("tags").map(Value::items).unwrap_or_default().iter().enumerate() {
        match item.as_str().filter(|tag| (1..=128).contains(&tag.len())) {
            Some(tag) if !tags.iter().any(|known| *known == tag) => tags.push(tag.into_owned()),
            Some(_) => {}
            None => {
                let message = format!("tags[{index}] must be a word of at most 128 bytes.");
                return Err(Error::invalid(format!("tags[{index}]"), message));
            }
        }
    }
    if tags.len() > MAX_TAGS {
        return Err(Error::invalid("tags", format!("tags may hold at most {MAX_TAGS} words.")));
    }
    Ok(tags)
}

fn models(object: &Object<'_>, named: Option<&str>) -> Result<Vec<String>> {
    let mut models: Vec<String> = Vec::new();
    let first = named.map(Cow::Borrowed).or_else(|| object.get("model").and_then(Value::as_str));
    if let Some(model) = first.filter(|model| !model.is_empty()) {
        models.push(model.into_owned());
    }
    for (index, item) in object.get("models").map(Value::items).unwrap_or_default().iter().enumerate() {
        let Some(model) = item.as_str() else {
            return Err(Error::invalid(
                format!("models[{index}]"),
                format!("models[{index}] must be a string, not {}.", item.kind.name()),
            ));
        };
        if !models.iter().any(|known| *known == model) {
            models.push(model.into_owned());
        }
    }
    if models.is_empty() {
        return Err(Error::invalid(
            "model",
            "model is missing: name one as \"author/name\" (GET /v1/models lists them).",
        ));
    }
    if models.len() > MAX_MODELS {
        return Err(Error::invalid("models", format!("models may name at most {MAX_MODELS} models.")));
    }
    Ok(models)
}

/// Checks the members that a table names (sorted), and refuses what would be ignored.
pub fn check_shapes(object: &Object<'_>, shapes: &[(&str, Shape)]) -> Result<()> {
    for (index, member) in object.members.iter().enumerate() {
        let (key, value) = (&*member.key, &member.value);
        if REFUSED.contains(&key) && !matches!(value.text, "null" | "[]" | "{}" | "\"\"") {
            let message = format!(
                "{key} is not supported by this gateway; leave it out. (It is not ignored, because the answer would differ.)"
            );
            return Err(Error::invalid(key, message).code("unsupported_parameter"));
        }
        let Ok(row) = shapes.binary_search_by(|(name, _)| (*name).cmp(key)) else { continue };
        // A provider might take the other of two members than the gateway reads.
        if object.members.iter().take(index).any(|earlier| earlier.key == key) {
            return Err(Error::invalid(key, format!("{key} is given twice.")));
        }
        if let Some((_, shape)) = shapes.get(row) {
            shape.check(key, value)?;
        }
    }
    Ok(())
}

impl Shape {
    fn check(&self, key: &str, value: &Value<'_>) -> Result<()> {
        if value.kind == Kind::Null {
            return Ok(());
        }
        let kind = |wanted: &str| Error::invalid(key, format!("{key} must be {wanted}, not {}.", value.kind.name()));
        let good = |ok: bool, wanted: &str| if ok { Ok(()) } else { Err(kind(wanted)) };
        match self {
            Self::Free => Ok(()),
            Self::String => good(value.kind == Kind::String, "a string"),
            Self::Bool => good(value.kind == Kind::Bool, "true or false"),
            Self::Array => good(value.kind == Kind::Array, "an array"),
            Self::Object => good(value.kind == Kind::Object, "an object"),
            Self::StringOrArray => {
                good(matches!(value.kind, Kind::String | Kind::Array), "a string or an array of strings")
            }
            Self::StringOrObject => good(matches!(value.kind, Kind::String | Kind::Object), "a string or an object"),
            Self::Number { min, max } => {
                let number = value.as_f64().ok_or_else(|| kind("a number"))?;
                if number >= *min && number <= *max {
                    return Ok(());
                }
                let range =
                    if *max < f64::MAX { format!("between {min} and {max}") } else { format!("at least {min}") };
                Err(Error::invalid(key, format!("{key} must be {range}, not {}.", value.text)))
            }
            Self::Integer { min, max } => {
                good(value.kind == Kind::Number, "a whole number")?;
                if value.as_u64().is_some_and(|number| number >= *min && number <= *max) {
                    return Ok(());
                }
                let range =
                    if *max < u64::MAX { format!("between {min} and {max}") } else { format!("of at least {min}") };
                Err(Error::invalid(key, format!("{key} must be a whole number {range}, not {}.", value.text)))
            }
        }
    }
}

