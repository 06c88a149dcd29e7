//! Which format goes with which, and the way through.
//!
//! A request comes in the format of its route ([`Api`]); its provider speaks one of its own
//! ([`spoken`]). Where the two are the same, bytes are passed on with a few edits (each dialect's own
//! part); otherwise everything goes through the canonical conversation ([`crate::chat`]). The pipeline
//! knows neither: it asks here for the call, the answer, and the relay of a stream.
//!
//! | step | file |
//! |---|---|
//! | the route's path, the request read | `parse.rs`, `weigh.rs` |
//! | the call of a provider: address, body, losses | `outbound.rs`, `media.rs` |
//! | a whole answer | `answer.rs` |
//! | a stream | `relay.rs`, `translated.rs`, `wire.rs` (decoders and encoders by format) |
//! | errors in the client's format | `errors.rs` |

mod answer;
mod errors;
mod media;
mod outbound;
mod parse;
mod relay;
mod translated;
mod weigh;
mod wire;

pub use answer::{Answered, read_answer, read_error};
pub use errors::{late_error, write_error};
pub use media::{Fetched, MAX_MEDIUM, is_public};
pub use outbound::{Body, Outbound, Wanted, outbound, quirks};
pub use parse::{Route, asked, parse, route};
pub use relay::Relay;

use crate::{
    catalog::{Dialect, Endpoint, Provider},
    chat::Wire,
    dialect::{call::Api, gemini},
};

/// The format in which this endpoint is asked what came by this route; nothing where it cannot be.
pub fn spoken(api: Api, provider: &Provider, endpoint: &Endpoint) -> Option<Wire> {
    let also = |quirk: &str| provider.quirks.iter().chain(&endpoint.quirks).any(|known| known == quirk);
    Some(match provider.dialect {
        Dialect::Openai | Dialect::AzureOpenai if also("responses_only") => Wire::OpenaiResponses,
        Dialect::Openai | Dialect::AzureOpenai => match api {
            Api::Completions if also("completions") => Wire::OpenaiCompletions,
            Api::Responses if also("responses") => Wire::OpenaiResponses,
            _ => Wire::OpenaiChat,
        },
        Dialect::OpenaiResponses => Wire::OpenaiResponses,
        Dialect::Anthropic => Wire::AnthropicMessages,
        Dialect::Gemini => Wire::Gemini,
        Dialect::Vertex if is_claude(&endpoint.upstream_model) => Wire::AnthropicMessages,
        Dialect::Vertex => Wire::Gemini,
        Dialect::Bedrock => Wire::BedrockConverse,
        Dialect::Cohere => Wire::CohereChat,
        Dialect::Ollama => Wire::OllamaChat,
    })
}

/// Whether a model of Vertex AI is Anthropic's, which is spoken to in Anthropic's format.
fn is_claude(model: &str) -> bool {
    model.starts_with("claude-")
}

/// The media types of that format's streams, separated by commas. (Proxies call lines of JSON JSON.)
pub fn stream_type(wire: Wire) -> &'static str {
    match wire {
        Wire::BedrockConverse => "application/vnd.amazon.eventstream",
        Wire::OllamaChat => "application/x-ndjson,application/json",
        _ => "text/event-stream",
    }
}

/// When to come again, where an error body says so.
pub fn retry_after_s(wire: Wire, body: &[u8]) -> Option<u32> {
    if wire == Wire::Gemini { gemini::retry_after_s(body) } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quirks_say_what_else_is_spoken_under_the_same_address() {
        for (row, endpoint, api, expected) in [
            (&[][..], &[][..], Api::Responses, Wire::OpenaiChat),
            (&[], &[], Api::Completions, Wire::OpenaiChat),
            (&["responses", "completions"], &[], Api::Chat, Wire::OpenaiChat),
            (&["responses", "completions"], &[], Api::Responses, Wire::OpenaiResponses),
            (&["responses", "completions"], &[], Api::Completions, Wire::OpenaiCompletions),
            (&["responses", "completions"], &["responses_only"], Api::Chat, Wire::OpenaiResponses),
            (&["responses", "completions"], &["responses_only"], Api::Completions, Wire::OpenaiResponses),
        ] {
            let row = json!({ "slug": "p", "name": "P", "dialect": "openai", "base_url": "https://p.example", "quirks": row });
            let endpoint = json!({ "provider": "p", "upstream_model": "m", "quirks": endpoint });
            let (row, endpoint) = (serde_json::from_value(row).unwrap(), serde_json::from_value(endpoint).unwrap());
            assert_eq!(spoken(api, &row, &endpoint), Some(expected), "{row:?} {endpoint:?} {api:?}");
        }
    }
}
