//! Who is called and how answers are named, the same for every target.

use std::rc::Rc;

use serde_json::{Value, json};
use sluice::{
    catalog::{Endpoint, Provider},
    chat::Wire,
    dialect::passing::{Finish, StreamEnd},
};

/// Formats of providers.
pub const PROVIDERS: [Wire; 8] = [
    Wire::OpenaiChat,
    Wire::OpenaiCompletions,
    Wire::OpenaiResponses,
    Wire::AnthropicMessages,
    Wire::Gemini,
    Wire::BedrockConverse,
    Wire::CohereChat,
    Wire::OllamaChat,
];

/// Formats of clients.
pub const CLIENTS: [Wire; 5] =
    [Wire::OpenaiChat, Wire::OpenaiCompletions, Wire::OpenaiResponses, Wire::AnthropicMessages, Wire::Gemini];

/// Every way in which a stream can be over.
pub const ENDS: [StreamEnd; 6] = [
    StreamEnd::Closed,
    StreamEnd::Broken,
    StreamEnd::TimedOut,
    StreamEnd::ClientGone,
    StreamEnd::OutOfBudget,
    StreamEnd::Stopped,
];

/// Routes by which requests come.
pub const ROUTES: [&str; 16] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1beta/models/a/b:generateContent",
    "/v1beta/models/a/b:streamGenerateContent",
    "/v1/messages/count_tokens",
    "/v1beta/models/a/b:countTokens",
    "/v1/embeddings",
    "/v1beta/models/a/b:embedContent",
    "/v1beta/models/a/b:batchEmbedContents",
    "/v1/rerank",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
];

/// Models whose names mean something to some format.
const MODELS: [&str; 6] = [
    "m",
    "gpt-5-pro",
    "claude-sonnet-4-5",
    "claude-opus-4-7",
    "gemini-3-pro",
    "anthropic.claude-3-5-sonnet-20240620-v1:0",
];

/// Quirks that change what is sent (docs/catalog.md).
const QUIRKS: [&str; 32] = [
    "adaptive_thinking",
    "audio_url",
    "budget_thinking",
    "cache_control",
    "completions",
    "document_url",
    "enable_thinking",
    "extra_content",
    "file_url",
    "max_completion_tokens",
    "max_tokens_only",
    "media_in_tool_results",
    "no_allowed_tools",
    "no_developer_role",
    "no_effort",
    "no_sampling",
    "no_service_tier",
    "no_stream_options",
    "no_strict",
    "no_thinking",
    "no_thinking_off",
    "one_sampler",
    "open_sampling",
    "openapi_schema",
    "openrouter",
    "random_seed",
    "reasoning_content",
    "responses",
    "string_content",
    "thinking_level",
    "thought_signature_required",
    "video_url",
];

/// One provider of every dialect.
pub fn rows(quirks: usize) -> Vec<Provider> {
    let chosen: Vec<&str> =
        QUIRKS.iter().enumerate().filter(|(at, _)| quirks >> (at % 8) & 1 == 1).map(|(_, quirk)| *quirk).collect();
    let dialects =
        ["openai", "openai-responses", "azure-openai", "anthropic", "gemini", "vertex", "bedrock", "cohere", "ollama"];
    dialects.map(|dialect| row(dialect, &chosen)).into()
}

fn row(dialect: &str, quirks: &[&str]) -> Provider {
    let (base, region) = match dialect {
        "vertex" => ("", "us-east5"),
        "bedrock" => ("", "us-east-1"),
        _ => ("https://p.example/v1", "us"),
    };
    let row = json!({
        "slug": "p", "name": "P", "dialect": dialect, "base_url": base, "region": region, "project": "pr",
        "quirks": quirks,
    });
    serde_json::from_value(row).expect("a row as the catalog has them")
}

/// Its endpoint.
pub fn endpoint(model: usize) -> Endpoint {
    let endpoint = json!({
        "provider": "p", "upstream_model": MODELS[model % MODELS.len()], "max_completion_tokens": 4096,
        "pricing": { "prompt": "0.000001", "completion": "0.000002" },
    });
    serde_json::from_value(endpoint).expect("an endpoint as the catalog has them")
}

/// How answers are named.
pub fn finish() -> Finish {
    Finish {
        id: "gen-1".to_owned(),
        model: "a/b".to_owned(),
        provider: "P".to_owned(),
        pricing: endpoint(0).pricing,
        policy: Rc::default(),
        estimated_prompt: 7,
        created: 1_800_000_000,
        metadata: Some(r#"{"attempt":1}"#.to_owned()),
    }
}

/// What a client asked for, as far as its answer depends on it.
pub fn asked(array: bool) -> Value {
    json!({
        "model": "a/b", "stream": true, "stream_options": { "include_usage": true }, "alt": if array { "json" } else { "sse" },
        "tools": [{ "type": "function", "name": "f", "parameters": { "type": "object" } }],
        "text": { "format": { "type": "text" } }, "echo": true, "logprobs": 1,
    })
}
