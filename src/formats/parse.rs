//! Routes and what the gateway reads of the requests that come by them.

use super::{
    call::{Call, What},
    weigh::weigh,
};
use crate::{
    dialect::{
        call::{Api, Call as Conversation, REFUSED},
        openai_chat,
        shape::{Shape, check, invalid_json},
    },
    error::{Error, ErrorKind, Result},
    framing::json::{Kind, Object, Value, scan_object},
    task::{self, count},
};

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'p> {
    /// What is called.
    pub api: Api,
    /// The model, where the path names it.
    pub model: Option<&'p str>,
    /// The answer is to be a stream, where the path says so.
    pub stream: bool,
    /// The stream is to come as one array of JSON, not as events (Gemini without `alt=sse`).
    pub array: bool,
}

impl Route<'_> {
    fn of(api: Api) -> Self {
        Self { api, model: None, stream: false, array: false }
    }
}

/// The route of a path with its query (`/v1` and `/api/v1` are the same; Gemini's is `/v1beta`, `/v1` or
/// `/v1alpha`). Chat where it is none of inference: the entry module sends no other.
pub fn route(path: &str) -> Route<'_> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = path.strip_prefix("/api").unwrap_or(path);
    let (_, rest) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    match rest {
        "completions" => Route::of(Api::Completions),
        "responses" => Route::of(Api::Responses),
        "messages" => Route::of(Api::Messages),
        "messages/count_tokens" => Route::of(Api::CountMessages),
        "embeddings" => Route::of(Api::Embeddings),
        "rerank" => Route::of(Api::Rerank),
        "moderations" => Route::of(Api::Moderations),
        "images/generations" => Route::of(Api::Images),
        "audio/speech" => Route::of(Api::Speech),
        "audio/transcriptions" => Route::of(Api::Transcriptions),
        "route" => Route::of(Api::Route),
        _ => generate(rest, query).unwrap_or(Route::of(Api::Chat)),
    }
}

/// `models/{model}:{method}`; the model's own slug may hold colons (`a/b:floor`). Some clients leave
/// `models/` out where a model's name has a slash.
fn generate<'p>(rest: &'p str, query: &str) -> Option<Route<'p>> {
    let (model, method) = rest.strip_prefix("models/").unwrap_or(rest).rsplit_once(':')?;
    let (api, stream) = match method {
        "generateContent" => (Api::Generate, false),
        "streamGenerateContent" => (Api::Generate, true),
        "countTokens" => (Api::CountGenerate, false),
        "embedContent" | "batchEmbedContents" => (Api::EmbedContent, false),
        _ => return None,
    };
    let array = stream && !query.split('&').any(|pair| pair == "alt=sse");
    Some(Route { api, model: Some(model), stream, array })
}

/// Members of several routes.
#[rustfmt::skip]
const COMPLETIONS: &[(&str, Shape)] = &[
    ("best_of",            Shape::Integer { min: 1, max: 128 }),
    ("echo",               Shape::Bool),
    ("frequency_penalty",  Shape::Number { min: -2.0, max: 2.0 }),
    ("logit_bias",         Shape::Object),
    ("max_tokens",         Shape::Integer { min: 0, max: u64::MAX }),
    ("model",              Shape::String),
    ("models",             Shape::Array),
    ("n",                  Shape::Integer { min: 1, max: 128 }),
    ("presence_penalty",   Shape::Number { min: -2.0, max: 2.0 }),
    ("prompt",             Shape::StringOrArray),
    ("provider",           Shape::Object),
    ("session_id",         Shape::String),
    ("stop",               Shape::StringOrArray),
    ("stream",             Shape::Bool),
    ("stream_options",     Shape::Object),
    ("tags",               Shape::Array),
    ("temperature",        Shape::Number { min: 0.0, max: 2.0 }),
    ("top_p",              Shape::Number { min: 0.0, max: 1.0 }),
    ("trace",              Shape::Object),
    ("user",               Shape::String),
];

#[rustfmt::skip]
const RESPONSES: &[(&str, Shape)] = &[
    ("include",             Shape::Array),
    ("input",               Shape::StringOrArray),
    ("max_output_tokens",   Shape::Integer { min: 1, max: u64::MAX }),
    ("metadata",            Shape::Object),
    ("model",               Shape::String),
    ("models",              Shape::Array),
    ("parallel_tool_calls", Shape::Bool),
    ("provider",            Shape::Object),
    ("reasoning",           Shape::Object),
    ("session_id",          Shape::String),
    ("store",               Shape::Bool),
    ("stream",              Shape::Bool),
    ("tags",                Shape::Array),
    ("temperature",         Shape::Number { min: 0.0, max: 2.0 }),
    ("text",                Shape::Object),
    ("tool_choice",         Shape::StringOrObject),
    ("tools",               Shape::Array),
    ("top_logprobs",        Shape::Integer { min: 0, max: 20 }),
    ("top_p",               Shape::Number { min: 0.0, max: 1.0 }),
    ("trace",               Shape::Object),
    ("user",                Shape::String),
];

#[rustfmt::skip]
const MESSAGES: &[(&str, Shape)] = &[
    ("max_tokens",     Shape::Integer { min: 1, max: u64::MAX }),
    ("messages",       Shape::Array),
    ("metadata",       Shape::Object),
    ("model",          Shape::String),
    ("models",         Shape::Array),
    ("provider",       Shape::Object),
    ("service_tier",   Shape::String),
    ("session_id",     Shape::String),
    ("stop_sequences", Shape::Array),
    ("stream",         Shape::Bool),
    ("system",         Shape::StringOrArray),
    ("tags",           Shape::Array),
    ("temperature",    Shape::Number { min: 0.0, max: 1.0 }),
    ("thinking",       Shape::Object),
    ("tool_choice",    Shape::Object),
    ("tools",          Shape::Array),
    ("top_k",          Shape::Number { min: 0.0, max: f64::MAX }),
    ("top_p",          Shape::Number { min: 0.0, max: 1.0 }),
    ("trace",          Shape::Object),
];

#[rustfmt::skip]
const GENERATE: &[(&str, Shape)] = &[
    ("cachedContent",     Shape::String),
    ("contents",          Shape::Free),
    ("generationConfig",  Shape::Object),
    ("models",            Shape::Array),
    ("provider",          Shape::Object),
    ("safetySettings",    Shape::Array),
    ("session_id",        Shape::String),
    ("systemInstruction", Shape::StringOrObject),
    ("tags",              Shape::Array),
    ("toolConfig",        Shape::Object),
    ("trace",             Shape::Object),
    ("user",              Shape::String),
];

/// Reads and checks a request, as far as the gateway itself has to know it. What is in a conversation is
/// read where it has to be translated. `content_type`: of the body, where that is a form.
pub fn parse<'a>(route: Route<'_>, content_type: &str, body: &'a [u8]) -> Result<Call<'a>> {
    let task = |kind| {
        let head = task::Head { model: route.model.unwrap_or_default(), content_type };
        Ok(What::Task(Box::new(task::parse(kind, head, body)?)))
    };
    let counted = |client| Ok(What::Count(Box::new(count::parse(client, route.model.unwrap_or_default(), body)?)));
    let what = match route.api {
        Api::Chat | Api::Route => openai_chat::parse(body).map(|call| What::Conversation(Box::new(call))),
        Api::Completions => conversation(route, COMPLETIONS, "prompt", body),
        Api::Responses => conversation(route, RESPONSES, "input", body),
        Api::Messages => conversation(route, MESSAGES, "messages", body),
        Api::Generate => conversation(route, GENERATE, "contents", body),
        Api::CountMessages => counted(count::Client::Anthropic),
        Api::CountGenerate => counted(count::Client::Gemini),
        Api::Embeddings => task(task::Kind::Embeddings),
        Api::EmbedContent => task(task::Kind::GeminiEmbeddings),
        Api::Rerank => task(task::Kind::Rerank),
        Api::Moderations => task(task::Kind::Moderations),
        Api::Images => task(task::Kind::Images),
        Api::Speech => task(task::Kind::Speech),
        Api::Transcriptions => task(task::Kind::Transcriptions),
    }?;
    Ok(Call { api: route.api, body, what })
}

fn conversation<'a>(route: Route<'_>, shapes: &[(&str, Shape)], needed: &str, body: &'a [u8]) -> Result<What<'a>> {
    let object = scan_object(body).map_err(|malformed| invalid_json(&malformed, body.len()))?;
    check(&object, shapes, REFUSED)?;
    has_content(&object, needed)?;
    let mut call = Conversation::named(route.api, object, body, weigh(body), route.model)?;
    call.stream |= route.stream;
    call.max_tokens = longest(&call);
    if route.api == Api::Messages {
        let metadata = call.object.get("metadata").and_then(Value::object);
        let user = metadata.and_then(|metadata| Some(metadata.get("user_id")?.as_str()?.into_owned()));
        call.user = user.or(call.user);
        if call.max_tokens.is_none() {
            return Err(Error::invalid("max_tokens", "max_tokens is missing: say how long the answer may become."));
        }
    }
    Ok(What::Conversation(Box::new(call)))
}

fn has_content(object: &Object<'_>, needed: &str) -> Result<()> {
    match object.get(needed) {
        Some(value) if value.kind == Kind::Array && value.items().is_empty() => {
            Err(Error::invalid(needed, format!("{needed} must not be empty.")))
        }
        Some(value) if value.kind != Kind::Null => Ok(()),
        // A stored prompt stands for the input; who serves it decides.
        _ if needed == "input" && object.get("prompt").is_some() => Ok(()),
        _ => Err(Error::invalid(needed, format!("{needed} is missing: there is nothing to answer."))),
    }
}

/// The longest answer that is asked for, in tokens.
fn longest(call: &Conversation<'_>) -> Option<u64> {
    match call.api {
        Api::Responses => call.count("max_output_tokens"),
        Api::Generate => {
            let config = call.object.get("generationConfig").and_then(Value::object)?;
            config.get("maxOutputTokens").or_else(|| config.get("max_output_tokens"))?.as_u64()
        }
        _ => call.count("max_tokens"),
    }
}

/// The client's request as a tree, without its conversation: what answers repeat of it, or depend on.
pub fn asked(call: &Conversation<'_>, array: bool) -> serde_json::Value {
    let mut members = serde_json::Map::new();
    for member in &call.object.members {
        if !matches!(&*member.key, "messages" | "input" | "contents" | "prompt") || member.value.kind == Kind::Object {
            let value = serde_json::from_str(member.value.text).unwrap_or_default();
            members.insert(member.key.to_string(), value);
        }
    }
    if call.api == Api::Generate {
        members.insert("alt".to_owned(), if array { "json" } else { "sse" }.into());
    }
    serde_json::Value::Object(members)
}

/// The body as a tree. It was scanned before; what is wrong with it here is its nesting.
pub fn tree(call: &Conversation<'_>) -> Result<serde_json::Value> {
    // Looked at once as a whole: string by string it takes longer.
    let text = simdutf8::basic::from_utf8(call.body).unwrap_or_default();
    serde_json::from_str(text).map_err(|error| {
        let message = format!("The request body cannot be read: {error}.");
        Error::new(ErrorKind::InvalidRequest, message).code("invalid_json")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_known_by_their_paths() {
        fn of(path: &str) -> (Api, Option<&str>, bool, bool) {
            let Route { api, model, stream, array } = route(path);
            (api, model, stream, array)
        }
        assert_eq!(of("/v1/chat/completions"), (Api::Chat, None, false, false));
        assert_eq!(of("/api/v1/completions"), (Api::Completions, None, false, false));
        assert_eq!(of("/v1/responses"), (Api::Responses, None, false, false));
        assert_eq!(of("/v1/messages?beta=true"), (Api::Messages, None, false, false));
        assert_eq!(of("/api/v1/route?seed=00000000000000ff"), (Api::Route, None, false, false));
        assert_eq!(of("/v1/messages/count_tokens"), (Api::CountMessages, None, false, false));
        let path = "/v1beta/models/google/gemini-3:floor:streamGenerateContent";
        let events = format!("{path}?alt=sse&key=x");
        assert_eq!(of(&events), (Api::Generate, Some("google/gemini-3:floor"), true, false));
        assert_eq!(of(path), (Api::Generate, Some("google/gemini-3:floor"), true, true));
        assert_eq!(of("/v1beta/a/b:generateContent"), (Api::Generate, Some("a/b"), false, false));
        assert_eq!(of("/v1beta/models/a/b:countTokens"), (Api::CountGenerate, Some("a/b"), false, false));
    }

    #[test]
    fn shape_tables_are_sorted() {
        for table in [COMPLETIONS, RESPONSES, MESSAGES, GENERATE] {
            assert!(table.is_sorted_by_key(|(name, _)| *name));
        }
    }

    #[test]
    fn what_concerns_the_gateway_is_read_of_every_format() {
        let body = br#"{"model":"a/b","max_tokens":9,"messages":[{"role":"user","content":"x"}],"metadata":{"user_id":"u"},
            "stream":true,"session_id":"s","tags":["t"],"provider":{"only":["p"]},"stop_sequences":["."],"thinking":{"type":"adaptive"}}"#;
        let call = parse(route("/v1/messages"), "", body).unwrap();
        assert_eq!((call.models(), call.stream(), call.max_tokens()), (&["a/b".to_owned()][..], true, Some(9)));
        assert_eq!((call.user(), call.session_id()), (Some("u"), Some("s")));
        assert_eq!(*call.parameters(), ["max_tokens", "stop", "reasoning"]);
        let body = br#"{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"maxOutputTokens":7}}"#;
        let call = parse(route("/v1beta/models/a/b:streamGenerateContent?alt=sse"), "", body).unwrap();
        assert_eq!((call.models(), call.stream(), call.max_tokens()), (&["a/b".to_owned()][..], true, Some(7)));
        let body = br#"{"model":"a/b","input":"x","max_output_tokens":7}"#;
        assert_eq!(parse(route("/v1/responses"), "", body).unwrap().max_tokens(), Some(7));
    }

    #[test]
    fn what_is_wrong_names_its_field() {
        for (path, body, param) in [
            ("/v1/messages", r#"{"model":"a/b","messages":[{}]}"#, "max_tokens"),
            ("/v1/messages", r#"{"model":"a/b","messages":[],"max_tokens":1}"#, "messages"),
            ("/v1/messages", r#"{"model":"a/b","max_tokens":1}"#, "messages"),
            ("/v1/messages", r#"{"model":"a/b","messages":[{}],"max_tokens":1,"temperature":2}"#, "temperature"),
            ("/v1/responses", r#"{"model":"a/b"}"#, "input"),
            ("/v1/responses", r#"{"input":"x"}"#, "model"),
            ("/v1/completions", r#"{"model":"a/b","prompt":{}}"#, "prompt"),
            ("/v1beta/models/a/b:generateContent", "{}", "contents"),
            ("/v1beta/models/:generateContent", r#"{"contents":[{}]}"#, "model"),
        ] {
            let error = parse(route(path), "", body.as_bytes()).unwrap_err();
            assert_eq!((error.param.as_deref(), error.status()), (Some(param), 400), "{path} {body}: {error}");
        }
    }
}
