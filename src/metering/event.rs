//! The usage event (schema/usage-event.v1.json) and the intent that precedes it.

use serde::{Deserialize, Serialize};

use crate::{auth::KeyHash, catalog::Tokens, ids::GenerationId, money::NanoUsd, time::Millis};

/// How a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The client got a whole answer.
    Ok,
    /// Every provider failed before the first content.
    Error,
    /// The client left before the end.
    Cancelled,
    /// The provider broke off in mid-stream.
    Broken,
    /// The gateway died while serving; what was used is not known.
    Lost,
}

/// One try at one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Provider slug.
    pub provider: String,
    /// Endpoint tag.
    pub tag: String,
    /// Model id.
    pub model: String,
    /// HTTP status of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it failed, if it did ([`crate::routing::fallback::Cause::name`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// To the head and, in streams, the first content.
    pub latency_ms: i64,
}

/// The record of one generation. Never holds prompts, answers or secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageEvent {
    /// Version of this shape.
    pub v: u8,
    /// The generation.
    pub id: GenerationId,
    /// Whose account.
    pub org: String,
    /// Whose team.
    pub workspace_id: String,
    /// Whose key.
    pub key_hash: KeyHash,
    /// When the request came.
    pub created_at: Millis,
    /// By which route it came ([`crate::dialect::call::Api::name`]); empty in older events: chat.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub api: String,
    /// The model as the client named it.
    pub requested_model: String,
    /// The model that served (or was tried last).
    pub model: String,
    /// Slug of the provider that served (or was tried last).
    pub provider: String,
    /// Its name.
    pub provider_name: String,
    /// The endpoint's tag.
    pub tag: String,
    /// The provider's name of the model.
    pub upstream_model: String,
    /// The provider's id of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_id: Option<String>,
    /// A stream was asked for.
    pub streamed: bool,
    /// The client left before the end.
    pub cancelled: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// Status the client got.
    pub status: u16,
    /// OpenRouter's word for the error, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// Why the answer ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// The same in the provider's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_finish_reason: Option<String>,
    /// From dispatch to the first content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<i64>,
    /// From the request to the head of the answer.
    pub latency_ms: i64,
    /// From dispatch to the end of the provider's answer.
    pub generation_ms: i64,
    /// What was used.
    pub tokens: Tokens,
    /// The provider did not say: derived from bytes.
    pub estimated: bool,
    /// What it costs; `None` where the endpoint has no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_nano: Option<NanoUsd>,
    /// What the provider is owed for it by its list prices; absent where that is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_cost_nano: Option<NanoUsd>,
    /// Of that, the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_cost_nano: Option<NanoUsd>,
    /// Of that, the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_cost_nano: Option<NanoUsd>,
    /// What the provider's cache saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_discount_nano: Option<NanoUsd>,
    /// What the provider itself says it charges, in USD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_cost_usd: Option<f64>,
    /// Which catalog row priced it.
    pub price_version: String,
    /// How the providers were ordered.
    pub strategy: String,
    /// Every try.
    pub attempts: Vec<Attempt>,
    /// The operator's end user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The client's program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The client's site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_referer: Option<String>,
    /// The client's name for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_title: Option<String>,
    /// The provider's service tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// Fields of the request for which the provider's format has no place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<String>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::auth::VirtualKey;

    pub(crate) fn event(n: u32) -> UsageEvent {
        serde_json::from_value(serde_json::json!({
            "v": 1, "id": format!("gen-{n}"), "org": "default", "workspace_id": "default", "key_hash": VirtualKey::generate(&[1; 48]).hash(),
            "created_at": 1_000, "requested_model": "a/b:floor", "model": "a/b", "provider": "p", "provider_name": "P", "tag": "p",
            "upstream_model": "m", "upstream_id": null, "streamed": false, "cancelled": false, "outcome": "ok", "status": 200,
            "error_type": null, "finish_reason": "stop", "native_finish_reason": "stop", "ttft_ms": null, "latency_ms": 5,
            "generation_ms": 5, "tokens": {"prompt": 10, "completion": 5}, "estimated": false, "cost_nano": 10, "prompt_cost_nano": 4,
            "completion_cost_nano": 6, "cache_discount_nano": 0, "provider_cost_usd": null, "price_version": "builtin", "strategy": "price",
            "attempts": [{"provider": "p", "tag": "p", "model": "a/b", "status": 200, "cause": null, "latency_ms": 5}],
            "user": null, "session_id": null, "user_agent": null, "http_referer": null, "app_title": null, "service_tier": null,
        }))
        .unwrap()
    }

    #[test]
    fn an_event_survives_its_own_json() {
        let event = event(1);
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<UsageEvent>(&text).unwrap(), event);
        assert!(text.len() < 1_000, "{}", text.len());
    }
}
