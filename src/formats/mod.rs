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
mod call;
mod errors;
mod media;
mod outbound;
mod parse;
mod relay;
#[cfg(test)]
mod tests;
mod translated;
mod weigh;
mod wire;

pub use answer::{Answered, read_answer, read_error, read_single};
pub use call::{Call, What};
pub use errors::{late_error, write_error};
pub use media::{Fetched, MAX_MEDIUM, is_public};
pub use outbound::{Body, Outbound, Wanted, outbound, passes, quirks};
pub use parse::{Route, asked, parse, route};
pub use relay::Relay;

use crate::{
    catalog::{Dialect, Endpoint, Provider},
    chat::Wire,
    dialect::{call::Api, gemini},
};

/// Whether an endpoint can be asked what came by this route.
pub fn serves(api: Api, provider: &Provider) -> bool {
    use Dialect::{AzureOpenai, Bedrock, Cohere, Gemini, Ollama, Openai, OpenaiResponses, Vertex};
    match api {
        Api::Embeddings | Api::EmbedContent => {
            matches!(
                provider.dialect,
                Openai | OpenaiResponses | AzureOpenai | Gemini | Vertex | Cohere | Ollama | Bedrock
            )
        }
        Api::Rerank => matches!(provider.dialect, Openai | OpenaiResponses | AzureOpenai | Cohere),
        Api::Images => matches!(provider.dialect, Openai | OpenaiResponses | AzureOpenai | Gemini | Vertex),
        Api::Moderations | Api::Speech | Api::Transcriptions => {
            matches!(provider.dialect, Openai | OpenaiResponses | AzureOpenai)
        }
        _ => true,
    }
}

/// The format in which an endpoint has conversations that came by this route.
pub fn spoken(api: Api, provider: &Provider, endpoint: &Endpoint) -> Wire {
    let also = |quirk: &str| provider.quirks.iter().chain(&endpoint.quirks).any(|known| known == quirk);
    match provider.dialect {
        Dialect::Openai | Dialect::AzureOpenai if also("responses_only") => Wire::OpenaiResponses,
        Dialect::Openai | Dialect::AzureOpenai => match api {
            Api::Completions if also("completions") => Wire::OpenaiCompletions,
            Api::Responses if also("responses") => Wire::OpenaiResponses,
            _ => Wire::OpenaiChat,
        },
        Dialect::OpenaiResponses => Wire::OpenaiResponses,
        Dialect::Anthropic => Wire::AnthropicMessages,
        Dialect::Vertex if is_claude(&endpoint.upstream_model) => Wire::AnthropicMessages,
        Dialect::Gemini | Dialect::Vertex => Wire::Gemini,
        Dialect::Bedrock => Wire::BedrockConverse,
        Dialect::Cohere => Wire::CohereChat,
        Dialect::Ollama => Wire::OllamaChat,
    }
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
