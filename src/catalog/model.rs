//! A model and the endpoints that serve it.

use serde::{Deserialize, Serialize};

use super::{Pricing, Provider, check_slug};
use crate::error::{Error, Result};

/// A model: what clients ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// `author/slug`.
    #[serde(default)]
    pub id: String,
    /// For people.
    pub name: String,
    /// Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<i64>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Tokens of prompt and answer together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
    /// What goes in and out.
    #[serde(default)]
    pub architecture: Architecture,
    /// The day after which it may be gone, `2026-12-31`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration_date: Option<String>,
    /// Who serves it.
    pub endpoints: Vec<Endpoint>,
}

/// What goes into a model and what comes out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// `text+image->text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modality: Option<String>,
    /// `text`, `image`, `file`, `audio`, `video`.
    #[serde(default = "text")]
    pub input_modalities: Vec<String>,
    /// `text`, `image`, `audio`, `embeddings`, ...
    #[serde(default = "text")]
    pub output_modalities: Vec<String>,
    /// Family of its tokenizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// Prompt template family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruct_type: Option<String>,
}

impl Default for Architecture {
    fn default() -> Self {
        Self {
            modality: None,
            input_modalities: text(),
            output_modalities: text(),
            tokenizer: None,
            instruct_type: None,
        }
    }
}

fn text() -> Vec<String> {
    vec!["text".to_owned()]
}

/// A provider's offer of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Slug of the provider row.
    pub provider: String,
    /// The provider's own name for the model.
    pub upstream_model: String,
    /// `provider` or `provider/variant`: what `provider.order` and its like match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Its prices. An endpoint without prices can be called, but not by a key with a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pricing: Option<Pricing>,
    /// Tokens of prompt and answer together, where it differs from the model's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
    /// Longest answer in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u64>,
    /// Request parameters it honours.
    #[serde(default)]
    pub supported_parameters: Vec<String>,
    /// `fp8`, `int4`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    /// Multiplies its share of the default draw; 0 is "only as a fallback".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Its oddities beside its provider's (docs/catalog.md lists them).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quirks: Vec<String>,
    /// `flex`, `priority`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// The day after which it may be gone, `2026-12-31`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration_date: Option<String>,
    /// What the operator expects of it, used until it has been measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
}

/// Speed to assume while there are no measurements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Milliseconds to the first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<f64>,
    /// Output tokens per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<f64>,
}

impl Endpoint {
    /// The tag, given or implied.
    pub fn tag(&self) -> &str {
        self.tag.as_deref().unwrap_or(&self.provider)
    }

    /// Its provider's quirks and its own.
    pub fn quirks_at<'q>(&'q self, provider: &'q Provider) -> impl Iterator<Item = &'q str> {
        provider.quirks.iter().chain(&self.quirks).map(String::as_str)
    }
}

impl Model {
    /// Checks what the shape alone does not say. Names the field at fault.
    pub fn check(&self) -> Result<()> {
        if self.name.trim().is_empty() {
            return Err(Error::invalid("name", "name must not be empty."));
        }
        if self.endpoints.is_empty() {
            return Err(Error::invalid(
                "endpoints",
                "endpoints must list at least one provider that serves the model.",
            ));
        }
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let field = |name: &str| format!("endpoints[{index}].{name}");
            check_slug(&endpoint.provider).map_err(|why| Error::invalid(field("provider"), why))?;
            if endpoint.upstream_model.is_empty() || endpoint.upstream_model.chars().any(char::is_control) {
                return Err(Error::invalid(
                    field("upstream_model"),
                    "upstream_model must be the provider's own name of the model.",
                ));
            }
            let tag = endpoint.tag();
            if tag != endpoint.provider
                && !tag.strip_prefix(&endpoint.provider).is_some_and(|rest| rest.starts_with('/'))
            {
                return Err(Error::invalid(
                    field("tag"),
                    format!("tag must be \"{0}\" or begin with \"{0}/\".", endpoint.provider),
                ));
            }
            if self.endpoints.iter().take(index).any(|other| other.tag() == tag) {
                return Err(Error::invalid(
                    field("tag"),
                    format!("two endpoints have the tag {tag:?}; give each its own."),
                ));
            }
            if endpoint.weight.is_some_and(|weight| !(weight.is_finite() && weight >= 0.0)) {
                return Err(Error::invalid(field("weight"), "weight must be a number of at least 0."));
            }
            let speeds = endpoint.expected.iter().flat_map(|e| [e.ttft_ms, e.throughput]).flatten();
            if speeds.into_iter().any(|speed| !(speed.is_finite() && speed > 0.0)) {
                return Err(Error::invalid(
                    field("expected"),
                    "expected.ttft_ms and expected.throughput must be positive numbers.",
                ));
            }
        }
        Ok(())
    }
}
