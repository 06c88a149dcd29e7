//! A chat request: what the gateway reads of it, and how it is changed for a provider.

use memchr::memmem;

use crate::{
    budget::estimate::Weight,
    catalog::{Endpoint, Provider},
    dialect::{
        call::{Api, Call, REFUSED},
        passing::cut_owned,
        shape::{Shape, check, invalid_json},
    },
    error::{Error, Result},
    framing::{
        edit::{Edit, ObjectEdits},
        json::{Kind, Object, Part, Value, Watch, quote, scan_object_watching},
    },
};

/// The members whose shape is checked before anybody is called (OpenAI's reference, plus OpenRouter's).
#[rustfmt::skip]
const SHAPES: &[(&str, Shape)] = &[
    ("frequency_penalty",     Shape::Number { min: -2.0, max: 2.0 }),
    ("include_reasoning",     Shape::Bool),
    ("logit_bias",            Shape::Object),
    ("logprobs",              Shape::Bool),
    ("max_completion_tokens", Shape::Integer { min: 1, max: u64::MAX }),
    ("max_tokens",            Shape::Integer { min: 1, max: u64::MAX }),
    ("messages",              Shape::Array),
    ("metadata",              Shape::Object),
    ("min_p",                 Shape::Number { min: 0.0, max: 1.0 }),
    ("modalities",            Shape::Array),
    ("model",                 Shape::String),
    ("models",                Shape::Array),
    ("n",                     Shape::Integer { min: 1, max: 128 }),
    ("parallel_tool_calls",   Shape::Bool),
    ("presence_penalty",      Shape::Number { min: -2.0, max: 2.0 }),
    ("prompt_cache_key",      Shape::String),
    ("provider",              Shape::Object),
    ("reasoning",             Shape::Object),
    ("reasoning_effort",      Shape::String),
    ("repetition_penalty",    Shape::Number { min: 0.0, max: 2.0 }),
    ("response_format",       Shape::Object),
    ("seed",                  Shape::Free),
    ("service_tier",          Shape::String),
    ("session_id",            Shape::String),
    ("stop",                  Shape::StringOrArray),
    ("stream",                Shape::Bool),
    ("stream_options",        Shape::Object),
    ("tags",                  Shape::Array),
    ("temperature",           Shape::Number { min: 0.0, max: 2.0 }),
    ("tool_choice",           Shape::StringOrObject),
    ("tools",                 Shape::Array),
    ("top_k",                 Shape::Number { min: 0.0, max: f64::MAX }),
    ("top_logprobs",          Shape::Integer { min: 0, max: 20 }),
    ("top_p",                 Shape::Number { min: 0.0, max: 1.0 }),
    ("trace",                 Shape::Object),
    ("user",                  Shape::String),
];

/// Members of a chat that say how to think in OpenRouter's words: OpenAI's providers have one of their own.
const OF_REASONING: [&str; 2] = ["include_reasoning", "reasoning"];

/// Reads and checks a request.
pub fn parse(body: &[u8]) -> Result<Call<'_>> {
    let mut messages = MessageCheck::default();
    let watch = Watch { key: "messages", see: &mut |part| messages.see(part) };
    let object = scan_object_watching(body, watch).map_err(|malformed| invalid_json(&malformed, body.len()))?;
    check(&object, SHAPES, REFUSED)?;
    let weight = messages.finish(&object, body.len())?;
    let mut call = Call::read(Api::Chat, object, body, weight)?;
    // Providers differ in which of the two they follow: the longer one is what an answer may cost.
    call.max_tokens = ["max_tokens", "max_completion_tokens"].into_iter().filter_map(|key| call.count(key)).max();
    Ok(call)
}

/// Checks the messages while they are scanned; remembers the first fault.
#[derive(Default)]
struct MessageCheck {
    count: usize,
    role_seen: bool,
    fault: Option<Error>,
    media: u32,
    media_bytes: usize,
}

impl MessageCheck {
    fn see(&mut self, part: Part<'_>) {
        match part {
            Part::Item(kind) => {
                self.close_item();
                self.count += 1;
                self.role_seen = kind != Kind::Object;
                if kind != Kind::Object {
                    self.fail("", &format!("must be an object, not {}.", kind.name()));
                }
            }
            Part::Member(key, value) => match &*key {
                "role" => {
                    self.role_seen = true;
                    let known = ["system", "developer", "user", "assistant", "tool", "function"];
                    match value.as_str() {
                        Some(role) if known.contains(&&*role) => {}
                        Some(_) => self.fail(".role", &format!("must be one of {}.", known.join(", "))),
                        None => self.fail(".role", &format!("must be a string, not {}.", value.kind.name())),
                    }
                }
                "content" if !matches!(value.kind, Kind::String | Kind::Array | Kind::Null) => {
                    self.fail(
                        ".content",
                        &format!("must be a string or an array of content parts, not {}.", value.kind.name()),
                    );
                }
                "content" if value.kind == Kind::Array => self.weigh(&value),
                "tool_calls" if !matches!(value.kind, Kind::Array | Kind::Null) => {
                    self.fail(".tool_calls", &format!("must be an array, not {}.", value.kind.name()));
                }
                _ => {}
            },
        }
    }

    /// Counts what is not text in a message's parts. A document that is here counts as text: what it
    /// comes to grows with its length.
    fn weigh(&mut self, content: &Value<'_>) {
        let says = |text: &str, mark: &str| memmem::find(text.as_bytes(), mark.as_bytes()).is_some();
        // Most parts are text, and not looked at.
        if !["_url\"", "\"input_", "\"file_id\""].iter().any(|mark| says(content.text, mark)) {
            return;
        }
        for item in content.items() {
            let Some(part) = item.object() else { continue };
            match part.get("type").and_then(Value::as_str).as_deref() {
                Some("image_url" | "input_audio" | "video_url" | "input_video") => {
                    self.media = self.media.saturating_add(1);
                    self.media_bytes += item.text.len();
                }
                Some("file") if says(item.text, "\"file_id\"") => {
                    self.media = self.media.saturating_add(1);
                }
                _ => {}
            }
        }
    }

    fn close_item(&mut self) {
        if self.count > 0 && !self.role_seen {
            self.fail(".role", "is missing.");
        }
    }

    fn fail(&mut self, member: &str, what: &str) {
        if self.fault.is_none() {
            let field = format!("messages[{}]{member}", self.count - 1);
            self.fault = Some(Error::invalid(field.clone(), format!("{field} {what}")));
        }
    }

    /// What the prompt is made of, of so many bytes; or the first fault.
    fn finish(mut self, object: &Object<'_>, bytes: usize) -> Result<Weight> {
        self.close_item();
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        match object.get("messages").map(|value| value.kind) {
            Some(Kind::Array) if self.count > 0 => {
                let Self { media, media_bytes, .. } = self;
                Ok(Weight { text: bytes.saturating_sub(media_bytes), media, media_bytes })
            }
            Some(Kind::Array) => Err(Error::invalid("messages", "messages must hold at least one message.")),
            _ => Err(Error::invalid("messages", "messages is missing: send the conversation as an array of messages.")),
        }
    }
}

/// The edits that turn the client's request into one for this endpoint. `longest`: answers of at most so
/// many tokens are to be asked for.
pub fn outbound_edits(
    call: &Call<'_>,
    endpoint: &Endpoint,
    provider: &Provider,
    longest: Option<u64>,
) -> Result<Vec<Edit>> {
    let quirk = |name: &str| endpoint.quirks_at(provider).any(|quirk| quirk == name);
    let object = &call.object;
    let mut edits = ObjectEdits::new(object);
    cut_owned(&mut edits, provider, &OF_REASONING);
    if !quirk("openrouter")
        && let Some(effort) = reasoning_effort(object)?
    {
        edits.set("reasoning_effort", quote(&effort));
    }
    edits.set("model", quote(&endpoint.upstream_model));
    if let Some(tier) = &endpoint.service_tier {
        edits.set("service_tier", quote(tier));
    }
    let (name, other) = match object.get("max_completion_tokens").filter(|value| value.kind != Kind::Null) {
        _ if quirk("max_completion_tokens") => ("max_completion_tokens", "max_tokens"),
        _ if quirk("max_tokens_only") => ("max_tokens", "max_completion_tokens"),
        Some(_) => ("max_completion_tokens", "max_tokens"),
        None => ("max_tokens", "max_completion_tokens"),
    };
    if let Some(longest) = longest.filter(|longest| call.max_tokens.is_none_or(|asked| asked > *longest)) {
        edits.set(name, longest.to_string());
        edits.cut(|key| key == other);
    } else if quirk("max_completion_tokens") || quirk("max_tokens_only") {
        rename(object, &mut edits, other, name);
    }
    if quirk("random_seed") {
        rename(object, &mut edits, "seed", "random_seed");
    }
    if call.stream && !quirk("no_stream_options") {
        edits.set("stream_options", with_usage(object.get("stream_options")));
    } else {
        edits.cut(|key| key == "stream_options");
    }
    Ok(edits.finish())
}

/// Two names of one parameter, of which the provider knows only `to`; what stands there already wins.
pub fn rename(object: &Object<'_>, edits: &mut ObjectEdits<'_, '_>, from: &str, to: &str) {
    if let Some(value) = object.get(from) {
        if object.get(to).is_none() && value.kind != Kind::Null {
            edits.set(to, value.text.to_owned());
        }
        edits.cut(|key| key == from);
    }
}

/// OpenRouter's `reasoning` object as OpenAI's `reasoning_effort`; `None` where it asks for nothing.
fn reasoning_effort(object: &Object<'_>) -> Result<Option<String>> {
    let Some(reasoning) = object.get("reasoning").filter(|value| value.kind == Kind::Object) else { return Ok(None) };
    let members = reasoning.members();
    let member = |key: &str| members.iter().find(|m| m.key == key).map(|m| &m.value).filter(|v| v.kind != Kind::Null);
    if member("max_tokens").is_some() {
        let message =
            "reasoning.max_tokens cannot be carried to this provider; use reasoning.effort (low, medium, high).";
        return Err(Error::invalid("reasoning.max_tokens", message).code("unsupported_parameter"));
    }
    let effort = match member("effort") {
        Some(value) => {
            value.as_str().ok_or_else(|| Error::invalid("reasoning.effort", "reasoning.effort must be a string."))?
        }
        None => return Ok(None),
    };
    let given = object.get("reasoning_effort").and_then(Value::as_str);
    if given.is_some_and(|given| given != effort) {
        return Err(Error::invalid(
            "reasoning_effort",
            "reasoning_effort and reasoning.effort differ; send one of them.",
        ));
    }
    Ok(Some(effort.into_owned()))
}

/// The client's `stream_options` with `include_usage` switched on: the gateway always asks for usage.
pub fn with_usage(options: Option<&Value<'_>>) -> String {
    let mut options =
        options.and_then(|value| serde_json::from_str::<serde_json::Map<_, _>>(value.text).ok()).unwrap_or_default();
    options.insert("include_usage".to_owned(), true.into());
    serde_json::Value::Object(options).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::edit::apply;
    use serde_json::{Value as Tree, json};

    fn endpoint() -> Endpoint {
        serde_json::from_value(json!({"provider": "p", "upstream_model": "up/\"m\""})).unwrap()
    }

    fn provider(quirks: &[&str]) -> Provider {
        serde_json::from_value(json!({"slug": "p", "name": "P", "dialect": "openai", "base_url": "https://p.example/v1", "quirks": quirks})).unwrap()
    }

    fn sent(body: &str, quirks: &[&str]) -> Tree {
        let call = parse(body.as_bytes()).unwrap();
        let edits = outbound_edits(&call, &endpoint(), &provider(quirks), None).unwrap();
        serde_json::from_slice(&apply(body.as_bytes(), &edits)).unwrap()
    }

    #[test]
    fn the_shape_table_is_sorted() {
        assert!(SHAPES.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn media_are_told_apart_from_text() {
        let photo = r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}"#;
        let sound = r#"{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}"#;
        let (paper, words) =
            (r#"{"type":"file","file":{"file_id":"f"}}"#, r#"{"type":"text","text":"an \"image_url\""}"#);
        let weight = |parts: &str| {
            let body = format!(r#"{{"model":"a/b","messages":[{{"role":"user","content":{parts}}}]}}"#);
            let weight = parse(body.as_bytes()).unwrap().weight;
            assert_eq!(weight.text + weight.media_bytes, body.len());
            (weight.media, weight.media_bytes)
        };
        assert_eq!(weight("\"hi\""), (0, 0));
        assert_eq!(weight(&format!("[{words}]")), (0, 0));
        assert_eq!(weight(&format!("[{words},{photo},{sound},{paper}]")), (3, photo.len() + sound.len()));
    }

    #[test]
    fn only_what_the_gateway_owns_is_changed() {
        let body = r#"{"models":["a/b"],"messages":[{"role":"user","content":"hi"}],"provider":{"only":["p"]},"x_unknown":{"a":[1]},
            "session_id":"s","temperature":0.10,"stream":true,"stream_options":{"other":1},"reasoning":{"effort":"low"}}"#;
        assert_eq!(
            sent(body, &[]),
            json!({"messages": [{"role": "user", "content": "hi"}], "x_unknown": {"a": [1]}, "temperature": 0.1, "stream": true,
                   "stream_options": {"include_usage": true, "other": 1}, "model": "up/\"m\"", "reasoning_effort": "low"})
        );
        let untouched = r#""temperature":0.10,"stream":true"#;
        let call = parse(body.as_bytes()).unwrap();
        let out = apply(body.as_bytes(), &outbound_edits(&call, &endpoint(), &provider(&[]), None).unwrap());
        assert!(String::from_utf8(out).unwrap().contains(untouched));
    }

    #[test]
    fn quirks_change_what_they_name() {
        let body = r#"{"model":"a/b","max_tokens":7,"messages":[{"role":"user","content":"hi"}],"stream":true,"reasoning":{"max_tokens":5}}"#;
        let openrouter = sent(body, &["openrouter", "no_stream_options", "max_completion_tokens"]);
        assert_eq!(openrouter["reasoning"], json!({"max_tokens": 5}));
        assert_eq!(openrouter["max_completion_tokens"], 7);
        assert!(openrouter.get("max_tokens").is_none() && openrouter.get("stream_options").is_none());
        let call = parse(body.as_bytes()).unwrap();
        let error = outbound_edits(&call, &endpoint(), &provider(&[]), None).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("reasoning.max_tokens"));
    }

    #[test]
    fn what_is_wrong_names_its_field() {
        let with =
            |members: &str| format!(r#"{{"model":"a/b","messages":[{{"role":"user","content":"hi"}}],{members}}}"#);
        for (body, param, part) in [
            (String::new(), None, "empty"),
            ("[]".to_owned(), None, "expected a JSON object"),
            ("{\"model\":\"a\"".to_owned(), None, "ends too early"),
            ("{}".to_owned(), Some("messages"), "missing"),
            (r#"{"messages":[{"role":"user"}]}"#.to_owned(), Some("model"), "missing"),
            (r#"{"model":1,"messages":[]}"#.to_owned(), Some("model"), "a string, not a number"),
            (r#"{"model":"a","messages":{}}"#.to_owned(), Some("messages"), "an array, not an object"),
            (r#"{"model":"a","messages":[]}"#.to_owned(), Some("messages"), "at least one"),
            (r#"{"model":"a","messages":[1]}"#.to_owned(), Some("messages[0]"), "an object, not a number"),
            (r#"{"model":"a","messages":[{"role":"user"},{}]}"#.to_owned(), Some("messages[1].role"), "missing"),
            (r#"{"model":"a","messages":[{"role":"robot"}]}"#.to_owned(), Some("messages[0].role"), "one of"),
            (
                r#"{"model":"a","messages":[{"role":"user","content":5}]}"#.to_owned(),
                Some("messages[0].content"),
                "not a number",
            ),
            (with(r#""stream":"yes""#), Some("stream"), "true or false"),
            (with(r#""temperature":3"#), Some("temperature"), "between 0 and 2"),
            (with(r#""max_tokens":0"#), Some("max_tokens"), "at least 1"),
            (with(r#""max_tokens":1.5"#), Some("max_tokens"), "whole number"),
            (with(r#""models":["a",2]"#), Some("models[1]"), "a string"),
            (with(r#""plugins":[{"id":"web"}]"#), Some("plugins"), "not supported"),
            (with(r#""stream":true,"stream":false"#), Some("stream"), "twice"),
            (with(r#""provider":{"only":1}"#), Some("provider.only"), "array"),
        ] {
            let error = parse(body.as_bytes()).unwrap_err();
            assert_eq!(error.param.as_deref(), param, "{body}");
            assert!(error.message.contains(part), "{body}: {}", error.message);
            assert_eq!(error.status(), 400);
        }
        assert!(parse(with(r#""stream":null,"plugins":[],"tools":null"#).as_bytes()).is_ok());
    }
}
