//! A provider: the company (or the box under the desk) that serves models, and how to speak to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    address::{check_address, check_base_url, origin},
    credential::SealedCredential,
};
use crate::error::{Error, Result};

/// A wire format the gateway can speak to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// `OpenAI`'s chat completions, and what stands beside them under the same base URL.
    Openai,
    /// `OpenAI`'s Responses alone.
    OpenaiResponses,
    /// `OpenAI`'s formats at the addresses of Azure.
    AzureOpenai,
    /// Anthropic's Messages.
    Anthropic,
    /// Gemini's `generateContent` in AI Studio.
    Gemini,
    /// Gemini's, and Anthropic's, at the addresses of Vertex AI.
    Vertex,
    /// Converse of Amazon Bedrock.
    Bedrock,
    /// Cohere's Chat, version 2.
    Cohere,
    /// Ollama's own.
    Ollama,
}

impl Dialect {
    /// Its name in a row.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::OpenaiResponses => "openai-responses",
            Self::AzureOpenai => "azure-openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Vertex => "vertex",
            Self::Bedrock => "bedrock",
            Self::Cohere => "cohere",
            Self::Ollama => "ollama",
        }
    }
}

/// What a variable of the environment may set for a built-in row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// `base_url`
    BaseUrl,
    /// `base_url`, by the name of a resource of Azure.
    ResourceName,
    /// `region`
    Region,
    /// `project`
    Project,
    /// `api_version`
    ApiVersion,
    /// The JSON of a Google service account.
    ServiceAccount,
    /// The first half of an AWS key.
    AccessKeyId,
    /// Its second half.
    SecretAccessKey,
    /// What temporary AWS keys have beside it.
    SessionToken,
    /// The tenant of an Entra application.
    TenantId,
    /// The application.
    ClientId,
    /// Its secret.
    ClientSecret,
}

/// The variables that may set it; the first one set wins.
pub type Variables = BTreeMap<Setting, Vec<String>>;

/// What a provider does with prompts, where it says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataPolicy {
    /// Trains on them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<bool>,
    /// Keeps them so many days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// Keeps nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zdr: Option<bool>,
}

/// How long to wait, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// To the response head of a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<u32>,
    /// To the first content of a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token: Option<u32>,
    /// Between two pieces of a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<u32>,
    /// For the whole answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
}

/// A provider row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Identity.
    #[serde(default)]
    pub slug: String,
    /// For people; also the `provider` member of answers.
    pub name: String,
    /// Wire format.
    pub dialect: Dialect,
    /// Where its API lives; `/chat/completions` and the like are appended. Empty where the region tells
    /// (Bedrock, Vertex AI), or a variable of the environment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub base_url: String,
    /// Sent with every request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Where it runs: Bedrock's region, Vertex AI's location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Vertex AI's project; that of the service account where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Version of Azure's API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Where access tokens are fetched, in place of the cloud's public address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_url: Option<String>,
    /// What it does with prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_policy: Option<DataPolicy>,
    /// How long to wait for it.
    #[serde(default)]
    pub timeouts_ms: Timeouts,
    /// May its address be a private one?
    #[serde(default)]
    pub allow_private_network: bool,
    /// Named oddities of its dialect (docs/catalog.md lists them).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quirks: Vec<String>,
    /// Environment variables (secrets) that may hold its key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub api_key_env: Vec<String>,
    /// Environment variables that may hold something else of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: Variables,
    /// For `GET /providers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy_policy_url: Option<String>,
    /// For `GET /providers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms_of_service_url: Option<String>,
    /// For `GET /providers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_page_url: Option<String>,
    /// For `GET /providers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headquarters: Option<String>,
    /// Where the facts of a built-in row were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A provider row as stored and distributed, with its sealed credential beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredProvider {
    /// The row.
    pub row: Provider,
    /// The credential, unreadable without the master key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<SealedCredential>,
}

impl Provider {
    /// Checks what the shape alone does not say. Names the field at fault.
    pub fn check(&self) -> Result<()> {
        check_slug(&self.slug).map_err(|why| Error::invalid("slug", why))?;
        if self.name.trim().is_empty() {
            return Err(Error::invalid("name", "name must not be empty."));
        }
        self.check_address()?;
        for (name, value) in &self.headers {
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            let field = format!("headers.{name}");
            if name.is_empty() || !name.bytes().all(token) {
                return Err(Error::invalid(field, "this is not a header name."));
            }
            if value.bytes().any(|b| b < 0x20 && b != b'\t' || b == 0x7f) {
                return Err(Error::invalid(field, "a header's value must not hold control characters."));
            }
            if matches!(
                name.to_ascii_lowercase().as_str(),
                "authorization" | "host" | "content-length" | "content-type" | "connection"
            ) {
                return Err(Error::invalid(
                    field,
                    "this header is set by the gateway; put a secret into `credential`.",
                ));
            }
        }
        Ok(())
    }

    fn check_address(&self) -> Result<()> {
        let given = |field: &str, value: &Option<String>, dialect: Dialect| match value {
            Some(_) if self.dialect != dialect => {
                Err(Error::invalid(field, format!("{field} is for the dialect {}.", dialect.as_str())))
            }
            Some(value) if !is_name(value) => {
                Err(Error::invalid(field, format!("{field} must be made of letters, digits, '-', '.' and '_'.")))
            }
            _ => Ok(()),
        };
        given("project", &self.project, Dialect::Vertex)?;
        given("api_version", &self.api_version, Dialect::AzureOpenai)?;
        if let Some(url) = &self.token_url {
            if !matches!(self.dialect, Dialect::Vertex | Dialect::AzureOpenai) {
                return Err(Error::invalid("token_url", "token_url is for the dialects vertex and azure-openai."));
            }
            check_address("token_url", url, self.allow_private_network)
                .map_err(|why| Error::invalid("token_url", why))?;
        }
        if !self.base_url.is_empty() {
            check_base_url(&self.base_url, self.allow_private_network)
                .map_err(|why| Error::invalid("base_url", why))?;
        }
        match (self.dialect, self.region.as_deref()) {
            (Dialect::Vertex, None) => Err(Error::invalid("region", "region must name a location of Vertex AI.")),
            (Dialect::Bedrock, None) if self.base_url.is_empty() => {
                Err(Error::invalid("region", "region must name a region of AWS, where base_url is not given."))
            }
            (dialect @ (Dialect::Vertex | Dialect::Bedrock), Some(region))
                if !is_region(region) || dialect == Dialect::Bedrock && region.len() < 4 =>
            {
                Err(Error::invalid("region", format!("{region:?} is not the name of a region.")))
            }
            (Dialect::Vertex | Dialect::Bedrock, _) => Ok(()),
            _ if self.base_url.is_empty() && !self.base_url_from_environment() => {
                Err(Error::invalid("base_url", "base_url is missing: where does this provider's API live?"))
            }
            _ => Ok(()),
        }
    }

    fn base_url_from_environment(&self) -> bool {
        self.env.contains_key(&Setting::BaseUrl) || self.env.contains_key(&Setting::ResourceName)
    }

    /// Whom its credential may be shown: scheme, host and port, or the cloud whose regions it names.
    pub fn origin(&self) -> String {
        match self.base_url.as_str() {
            "" => format!("{}:", self.dialect.as_str()),
            url => origin(url),
        }
    }

    /// Whom the secret of a service account or application is shown, if the row names it.
    pub fn token_origin(&self) -> Option<String> {
        self.token_url.as_deref().map(origin)
    }
}

/// A name that is part of an address.
fn is_name(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(good) && !text.starts_with('.') && !text.contains("..")
}

/// A name that is part of a host.
fn is_region(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (2..=32).contains(&text.len()) && text.bytes().all(good) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

/// A name that is safe in paths, tags and store keys: `a-z 0-9 . _ -`, at most 64.
pub fn check_slug(slug: &str) -> Result<(), String> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    if slug.is_empty() || slug.len() > 64 || !slug.bytes().all(good) || slug.starts_with(['.', '-']) {
        return Err(format!(
            "{slug:?} must be 1 to 64 of a-z, 0-9, '-', '.' and '_', beginning with a letter or digit."
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_safe_in_paths() {
        for good in ["openai", "demo-fast", "z.ai", "a"] {
            assert!(check_slug(good).is_ok(), "{good}");
        }
        for bad in ["", "../x", "a/b", "A", "a b", ".a", "é", &"a".repeat(65)] {
            assert!(check_slug(bad).is_err(), "{bad}");
        }
    }
}
