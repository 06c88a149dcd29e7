//! The call of a provider: its address, its body, and what is lost on the way.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    call::{Call, What},
    media::{Fetched, fill, missing},
    parse::tree,
    spoken,
    wire::{decode_request, encode_request},
};
use crate::{
    catalog::{Dialect, Endpoint, Provider},
    chat::{Losses, Request, Wire},
    dialect::{
        Target, anthropic_messages,
        call::{Api, Call as Conversation, GATEWAY_OWNED},
        gemini, openai_chat, openai_completions, openai_responses,
        single::{self, Place, Sent},
    },
    error::Result,
    framing::{
        edit::{Edit, apply},
        write,
    },
    provider::{azure, bedrock, google},
    task::count,
};

/// A call of a provider, but for who makes it.
#[derive(Debug)]
pub struct Outbound {
    /// Whither.
    pub url: String,
    /// The format that is spoken.
    pub wire: Wire,
    /// The media type of the body; empty where it is the client's.
    pub content_type: String,
    /// What is sent.
    pub body: Body,
    /// Fields of the request that this format has no place for.
    pub losses: Vec<String>,
}

/// What is sent.
#[derive(Debug)]
pub enum Body {
    /// The client's body with these edits made.
    Edits(Vec<Edit>),
    /// Another one.
    New(Vec<u8>),
}

impl Body {
    /// The bytes themselves.
    pub fn bytes(&self, client: &[u8]) -> Vec<u8> {
        match self {
            Self::Edits(edits) => apply(client, edits),
            Self::New(bytes) => bytes.clone(),
        }
    }
}

/// What a call needs before it can be made.
#[derive(Debug)]
pub enum Wanted {
    /// Nothing: here it is.
    Call(Box<Outbound>),
    /// What is at these addresses: the provider wants the bytes.
    Media(Vec<String>),
    /// No call at all: this is the answer.
    Nothing(Vec<u8>),
}

/// Makes the call of an endpoint. `longest`: answers of at most so many tokens are to be asked for;
/// `array`: the client wants its stream as one array of JSON; `fetched`: media that were fetched, by address.
pub fn outbound(
    call: &Call<'_>,
    row: &Provider,
    endpoint: &Endpoint,
    longest: Option<u64>,
    array: bool,
    fetched: &BTreeMap<String, Fetched>,
) -> Result<Wanted> {
    let wire = spoken(call.api, row, endpoint);
    let row = &*effective(row, endpoint, wire);
    let target = |longest| Target {
        model: &endpoint.upstream_model,
        quirks: &row.quirks,
        longest,
        model_longest: endpoint.max_completion_tokens,
    };
    match &call.what {
        What::Conversation(call) => conversation(call, wire, row, endpoint, longest, array, fetched),
        What::Task(call) => {
            let outbound = call.encode(row.dialect, &target(None))?;
            single(outbound, wire, row, endpoint).map(|outbound| Wanted::Call(Box::new(outbound)))
        }
        What::Count(call) => match count::encode(&call.request, row.dialect, &target(None))? {
            Some(outbound) => single(outbound, wire, row, endpoint).map(|outbound| Wanted::Call(Box::new(outbound))),
            None => Ok(Wanted::Nothing(call.client.estimate(call.asked.weight).to_string().into_bytes())),
        },
    }
}

fn conversation(
    call: &Conversation<'_>,
    wire: Wire,
    row: &Provider,
    endpoint: &Endpoint,
    longest: Option<u64>,
    array: bool,
    fetched: &BTreeMap<String, Fetched>,
) -> Result<Wanted> {
    let (object, stream) = (&call.object, call.stream);
    let url = address(wire, stream, row, endpoint)?;
    let content_type = "application/json".to_owned();
    if passes(call.api, wire, array) {
        let edits = match wire {
            Wire::OpenaiCompletions => {
                openai_completions::passing::outbound_edits(object, stream, endpoint, row, longest)
            }
            Wire::OpenaiResponses => openai_responses::passing::outbound_edits(object, stream, endpoint, row, longest),
            Wire::AnthropicMessages => {
                anthropic_messages::passing::outbound_edits(object, stream, endpoint, row, longest)
            }
            Wire::Gemini => gemini::passing::outbound_edits(object, stream, endpoint, row, longest),
            // No client speaks the formats that are for providers alone.
            Wire::OpenaiChat | Wire::BedrockConverse | Wire::CohereChat | Wire::OllamaChat => {
                openai_chat::outbound_edits(call, endpoint, row, longest)
            }
        }?;
        let body = Body::Edits(edits);
        return Ok(Wanted::Call(Box::new(Outbound { url, wire, content_type, body, losses: Vec::new() })));
    }
    let target = Target {
        model: &endpoint.upstream_model,
        quirks: &row.quirks,
        longest: longest.filter(|longest| call.max_tokens.is_none_or(|asked| asked > *longest)),
        model_longest: endpoint.max_completion_tokens,
    };
    let mut request = canonical(call, wire)?;
    // What is billed by a tier's prices is asked of that tier.
    request.service_tier = endpoint.service_tier.clone().or(request.service_tier);
    let missing = missing(&request, wire, &target, fetched)?;
    if !missing.is_empty() {
        return Ok(Wanted::Media(missing));
    }
    fill(&mut request, wire, &target, fetched)?;
    let encoded = encode_request(wire, &request, &target)?;
    let losses = listed(&encoded.losses);
    let body = Body::New(write::text(&encoded.body, call.body.len()));
    Ok(Wanted::Call(Box::new(Outbound { url, wire, content_type, body, losses })))
}

/// Whether a conversation's bytes are passed on.
pub fn passes(api: Api, wire: Wire, array: bool) -> bool {
    wire == api.wire() && !array
}

/// What is no conversation.
fn single(made: single::Outbound, wire: Wire, row: &Provider, endpoint: &Endpoint) -> Result<Outbound> {
    let (base, model) = (row.base_url.trim_end_matches('/'), endpoint.upstream_model.as_str());
    let url = match made.place {
        Place::Below(path) if row.dialect == Dialect::AzureOpenai => {
            azure::url(base, row.api_version.as_deref(), model, path.trim_start_matches('/'))?
        }
        Place::Below(path) => {
            // Some interfaces' own folders stand in the base address, or in the path, or in both.
            let base = match row.dialect {
                Dialect::Anthropic => rooted(base, "v1"),
                Dialect::Cohere => base.strip_suffix("/v2").unwrap_or(base).to_owned(),
                Dialect::Ollama => ollama_root(base).to_owned(),
                _ => base.to_owned(),
            };
            format!("{base}{path}")
        }
        Place::Google(verb) if row.dialect == Dialect::Vertex => vertex(row, google::Publisher::Google, model, verb)?,
        Place::Google(verb) => google::studio_url(&rooted(base, "v1beta"), model, verb)?,
        Place::Bedrock(operation) => bedrock::url(&bedrock_base(row)?, model, operation)?,
    };
    let json = || "application/json".to_owned();
    let (content_type, body) = match made.body {
        Sent::Edits(edits) => (String::new(), Body::Edits(edits)),
        Sent::Json(tree) => (json(), Body::New(write::text(&tree, 0))),
        Sent::Form { content_type, bytes } => (content_type, Body::New(bytes)),
    };
    Ok(Outbound { url, wire, content_type, body, losses: listed(&made.losses) })
}

fn listed(losses: &Losses) -> Vec<String> {
    losses.list().iter().map(|loss| loss.field.clone()).collect()
}

/// The client's request as the canonical one, without what the gateway keeps to itself.
fn canonical(call: &Conversation<'_>, wire: Wire) -> Result<Request> {
    let mut body = tree(call)?;
    if let serde_json::Value::Object(members) = &mut body {
        members.retain(|key, _| !GATEWAY_OWNED.contains(&key.as_str()));
    }
    let mut request = decode_request(call.api.wire(), body)?;
    request.stream = call.stream;
    if call.api == Api::Responses && wire != Wire::OpenaiResponses {
        openai_responses::needs_state(&request)?;
    }
    Ok(request)
}

/// The row with all quirks that hold for the endpoint.
fn effective<'r>(row: &'r Provider, endpoint: &Endpoint, wire: Wire) -> Cow<'r, Provider> {
    let is_its_own = endpoint.quirks.is_empty() && row.dialect != Dialect::Vertex;
    if is_its_own {
        return Cow::Borrowed(row);
    }
    Cow::Owned(Provider { quirks: quirks(row, endpoint, wire), ..row.clone() })
}

/// The row's quirks and the endpoint's, and what its dialect and the format together mean.
pub fn quirks(row: &Provider, endpoint: &Endpoint, wire: Wire) -> Vec<String> {
    let mut quirks = row.quirks.clone();
    quirks.extend(endpoint.quirks.iter().cloned());
    if row.dialect == Dialect::Vertex
        && wire == Wire::AnthropicMessages
        && !quirks.iter().any(|known| known == "vertex")
    {
        quirks.push("vertex".to_owned());
    }
    quirks
}

/// Where a call goes.
fn address(wire: Wire, stream: bool, row: &Provider, endpoint: &Endpoint) -> Result<String> {
    let (base, model) = (row.base_url.trim_end_matches('/'), endpoint.upstream_model.as_str());
    let verb = if stream { google::Verb::Stream } else { google::Verb::Generate };
    Ok(match (row.dialect, wire) {
        (Dialect::AzureOpenai, wire) => azure::url(base, row.api_version.as_deref(), model, operation(wire))?,
        (Dialect::Vertex, Wire::AnthropicMessages) => vertex(row, google::Publisher::Anthropic, model, verb)?,
        (Dialect::Vertex, _) => vertex(row, google::Publisher::Google, model, verb)?,
        (Dialect::Bedrock, _) => {
            let operation = if stream { bedrock::Operation::ConverseStream } else { bedrock::Operation::Converse };
            bedrock::url(&bedrock_base(row)?, model, operation)?
        }
        (_, Wire::Gemini) => google::studio_url(&rooted(base, "v1beta"), model, verb)?,
        (_, Wire::AnthropicMessages) => format!("{}/messages", rooted(base, "v1")),
        (_, Wire::CohereChat) => format!("{}/chat", rooted(base, "v2")),
        (_, Wire::OllamaChat) => format!("{}/api/chat", ollama_root(base)),
        (_, wire) => format!("{base}/{}", operation(wire)),
    })
}

fn vertex(row: &Provider, publisher: google::Publisher, model: &str, verb: google::Verb) -> Result<String> {
    let (project, region) = (row.project.as_deref().unwrap_or_default(), row.region.as_deref().unwrap_or("global"));
    google::vertex_url(row.base_url.trim_end_matches('/'), project, region, publisher, model, verb)
}

fn bedrock_base(row: &Provider) -> Result<String> {
    if row.base_url.is_empty() {
        return bedrock::base_url(row.region.as_deref().unwrap_or_default());
    }
    Ok(row.base_url.trim_end_matches('/').to_owned())
}

/// Where an Ollama server is, whichever of its interfaces an address names.
fn ollama_root(base: &str) -> &str {
    base.strip_suffix("/v1").or_else(|| base.strip_suffix("/api")).unwrap_or(base)
}

fn operation(wire: Wire) -> &'static str {
    match wire {
        Wire::OpenaiCompletions => "completions",
        Wire::OpenaiResponses => "responses",
        _ => "chat/completions",
    }
}

/// An address that ends with its interface's own folder, which may be left out where there is no path.
fn rooted(base: &str, folder: &str) -> String {
    let host_only = base.split_once("://").is_none_or(|(_, rest)| !rest.contains('/'));
    if host_only { format!("{base}/{folder}") } else { base.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::formats::{parse, route};

    fn row(dialect: &str, base_url: &str, more: Value) -> Provider {
        let mut row = json!({"slug": "p", "name": "P", "dialect": dialect, "base_url": base_url});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(row).unwrap()
    }

    fn made(path: &str, body: &Value, row: &Provider, model: &str) -> Outbound {
        let endpoint = serde_json::from_value(json!({"provider": "p", "upstream_model": model})).unwrap();
        let body = body.to_string();
        let call = parse(route(path), "", body.as_bytes()).unwrap();
        match outbound(&call, row, &endpoint, None, false, &BTreeMap::new()).unwrap() {
            Wanted::Call(outbound) => *outbound,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_dialect_is_called_at_its_address_in_its_format() {
        let chat = json!({"model": "a/b", "messages": [{"role": "user", "content": "hi"}], "stream": true});
        let none = json!({});
        for (row, model, url, member) in [
            (
                row("openai", "https://p.example/v1", none.clone()),
                "m",
                "https://p.example/v1/chat/completions",
                "messages",
            ),
            (
                row("openai-responses", "https://p.example/v1/", none.clone()),
                "m",
                "https://p.example/v1/responses",
                "input",
            ),
            (
                row("azure-openai", "https://r.openai.azure.com", none.clone()),
                "d",
                "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
                "messages",
            ),
            (
                row("anthropic", "https://p.example/v1", none.clone()),
                "claude",
                "https://p.example/v1/messages",
                "messages",
            ),
            (
                row("anthropic", "https://p.example", none.clone()),
                "claude",
                "https://p.example/v1/messages",
                "messages",
            ),
            (
                row("gemini", "https://p.example/v1beta", none.clone()),
                "g",
                "https://p.example/v1beta/models/g:streamGenerateContent?alt=sse",
                "contents",
            ),
            (
                row("vertex", "", json!({"project": "pr", "region": "us-east5"})),
                "claude-x@1",
                "https://us-east5-aiplatform.googleapis.com/v1/projects/pr/locations/us-east5/publishers/anthropic/models/claude-x@1:streamRawPredict",
                "anthropic_version",
            ),
            (
                row("bedrock", "", json!({"region": "us-east-1"})),
                "amazon.nova-lite-v1:0",
                "https://bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-lite-v1%3A0/converse-stream",
                "messages",
            ),
            (
                row("cohere", "https://api.cohere.com/v2", none.clone()),
                "command",
                "https://api.cohere.com/v2/chat",
                "messages",
            ),
            (
                row("ollama", "http://127.0.0.1:11434", json!({"allow_private_network": true})),
                "llama",
                "http://127.0.0.1:11434/api/chat",
                "messages",
            ),
        ] {
            let made = made("/v1/chat/completions", &chat, &row, model);
            assert_eq!(made.url, url);
            let body: Value = serde_json::from_slice(&made.body.bytes(chat.to_string().as_bytes())).unwrap();
            assert!(body.get(member).is_some(), "{url}: {body}");
        }
    }

    #[test]
    fn what_the_gateway_owns_does_not_reach_another_format() {
        let body = json!({"model": "a/b", "models": ["c/d"], "provider": {"only": ["p"]}, "session_id": "s", "tags": ["t"],
            "messages": [{"role": "user", "content": "hi"}], "top_k": 4});
        let row = row("openai-responses", "https://p.example/v1", json!({}));
        let made = made("/v1/chat/completions", &body, &row, "m");
        let Body::New(bytes) = &made.body else { panic!("{made:?}") };
        let sent: Value = serde_json::from_slice(bytes).unwrap();
        for member in ["models", "provider", "session_id", "tags", "top_k"] {
            assert!(sent.get(member).is_none(), "{sent}");
        }
        assert_eq!((&sent["model"], made.losses.as_slice()), (&json!("m"), &["top_k".to_owned()][..]));
    }

    #[test]
    fn an_endpoint_of_a_tier_is_asked_for_that_tier() {
        let endpoint: Endpoint = serde_json::from_value(
            json!({ "provider": "p", "tag": "p/flex", "service_tier": "flex", "upstream_model": "m" }),
        )
        .unwrap();
        let chat = json!({ "model": "a/b", "messages": [{ "role": "user", "content": "hi" }], "service_tier": "auto", "max_cost": 1 });
        let input = json!({ "model": "a/b", "input": "hi" });
        let message = json!({ "model": "a/b", "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 5 });
        for (path, body, dialect) in [
            ("/v1/chat/completions", &chat, "openai"),
            ("/v1/chat/completions", &chat, "openai-responses"),
            ("/v1/responses", &input, "openai-responses"),
            ("/v1/messages", &message, "openai"),
        ] {
            let body = body.to_string();
            let call = parse(route(path), "", body.as_bytes()).unwrap();
            let row = row(dialect, "https://p.example/v1", json!({}));
            let Ok(Wanted::Call(made)) = outbound(&call, &row, &endpoint, None, false, &BTreeMap::new()) else {
                panic!("no call for {path} at {dialect}");
            };
            let sent: Value = serde_json::from_slice(&made.body.bytes(body.as_bytes())).unwrap();
            assert_eq!(
                (&sent["service_tier"], &sent["max_cost"]),
                (&json!("flex"), &Value::Null),
                "{path} at {dialect}"
            );
        }
    }

    #[test]
    fn state_at_a_provider_is_refused_where_there_is_none() {
        let body = json!({"model": "a/b", "input": "hi", "previous_response_id": "resp_1"}).to_string();
        let call = parse(route("/v1/responses"), "", body.as_bytes()).unwrap();
        let endpoint = serde_json::from_value(json!({"provider": "p", "upstream_model": "m"})).unwrap();
        let row = row("openai", "https://p.example/v1", json!({}));
        let error = outbound(&call, &row, &endpoint, None, false, &BTreeMap::new()).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("previous_response_id"));
    }
}
