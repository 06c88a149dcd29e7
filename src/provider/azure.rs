//! Azure: addresses of `OpenAI`'s formats there, and tokens for an application of Microsoft Entra.
//!
//! A deployment is the operator's own name for a model and stands where the model's name stands elsewhere.
//! There are two interfaces: the older one has the deployment in the path and wants a dated version, the
//! newer one (`.../openai/v1`) is addressed as `OpenAI`'s own and takes the deployment as `model`. Responses
//! never were under a deployment: at a resource of the older interface they are reached by the newer one,
//! which every resource has.
//!
//! Facts: learn.microsoft.com/azure/foundry/openai/reference, .../openai/api-version-lifecycle,
//! learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow (November 2026).

use super::{sigv4::encoded, token::TokenRequest};
use crate::error::{Error, Result};

/// The last version of the older interface that is no preview.
const VERSION: &str = "2024-10-21";

/// Where Entra gives tokens.
const AUTHORITY: &str = "https://login.microsoftonline.com";

/// What a token is good for.
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";

/// Longest name of a deployment.
const MAX_DEPLOYMENT: usize = 64;

/// The address of an operation (`chat/completions`, `embeddings`, `images/generations`, ...).
pub fn url(base_url: &str, api_version: Option<&str>, deployment: &str, operation: &str) -> Result<String> {
    let sound = (1..=MAX_DEPLOYMENT).contains(&deployment.len())
        && deployment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        && !deployment.starts_with('.');
    if !sound {
        return Err(Error::invalid("model", format!("{deployment:?} is not the name of a deployment of Azure.")));
    }
    let base = base_url.trim_end_matches('/');
    if is_v1(base) {
        let version = api_version.map(|version| format!("?api-version={version}")).unwrap_or_default();
        return Ok(format!("{base}/{operation}{version}"));
    }
    let base = base.strip_suffix("/openai").unwrap_or(base);
    if operation == "responses" {
        return Ok(format!("{base}/openai/v1/responses"));
    }
    let version = api_version.unwrap_or(VERSION);
    Ok(format!("{base}/openai/deployments/{deployment}/{operation}?api-version={version}"))
}

/// Whether it is the newer interface.
pub fn is_v1(base_url: &str) -> bool {
    base_url.trim_end_matches('/').ends_with("/openai/v1")
}

/// The address of a resource, by its name alone: that of the newer interface, unless a version of the
/// older one is wanted.
pub fn resource_url(name: &str, api_version: Option<&str>) -> String {
    match api_version {
        None => format!("https://{name}.openai.azure.com/openai/v1"),
        Some(_) => format!("https://{name}.openai.azure.com"),
    }
}

/// Asks for a token of an application, by its secret. `token_url`: in place of the tenant's own.
pub fn token_request(tenant: &str, client_id: &str, client_secret: &str, token_url: Option<&str>) -> TokenRequest {
    let url = match token_url {
        Some(url) => url.to_owned(),
        None => format!("{AUTHORITY}/{}/oauth2/v2.0/token", encoded(tenant, false)),
    };
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("client_secret", client_secret),
        ("scope", SCOPE),
    ];
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value, false))).collect();
    TokenRequest { url, form: pairs.join("&"), sign: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let (resource, v1) = ("https://r.openai.azure.com", "https://r.openai.azure.com/openai/v1");
        for (base, version, operation, expected) in [
            (
                resource,
                None,
                "chat/completions",
                "https://r.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
            ),
            (
                "https://r.openai.azure.com/openai/",
                Some("2025-04-01-preview"),
                "embeddings",
                "https://r.openai.azure.com/openai/deployments/gpt-4o/embeddings?api-version=2025-04-01-preview",
            ),
            (
                "https://gateway.example/azure/",
                None,
                "images/generations",
                "https://gateway.example/azure/openai/deployments/gpt-4o/images/generations?api-version=2024-10-21",
            ),
            (resource, None, "responses", "https://r.openai.azure.com/openai/v1/responses"),
            (v1, None, "chat/completions", "https://r.openai.azure.com/openai/v1/chat/completions"),
            (
                "https://r.services.ai.azure.com/openai/v1/",
                Some("preview"),
                "responses",
                "https://r.services.ai.azure.com/openai/v1/responses?api-version=preview",
            ),
        ] {
            assert_eq!(url(base, version, "gpt-4o", operation).unwrap(), expected);
        }
        assert_eq!(resource_url("r", None), v1);
        assert_eq!(resource_url("r", Some("2024-10-21")), resource);
        for bad in ["", "a/b", "..", "a?b", "a#b", "a%2fb", "a b", "é", &"x".repeat(65)] {
            for base in [resource, v1] {
                assert_eq!(url(base, None, bad, "embeddings").unwrap_err().param.as_deref(), Some("model"), "{bad}");
            }
        }
    }

    #[test]
    fn an_application_asks_for_a_token_by_a_form() {
        let request = token_request("t.example", "app-1", "~s&=+ %", None);
        assert_eq!(request.url, "https://login.microsoftonline.com/t.example/oauth2/v2.0/token");
        assert_eq!(
            request.form,
            "grant_type=client_credentials&client_id=app-1&client_secret=~s%26%3D%2B%20%25\
             &scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"
        );
        assert_eq!(request.sign, None);
        assert!(!format!("{request:?}").contains("~s"));
        let own = token_request("t", "c", "s", Some("https://login.microsoftonline.us/t/oauth2/v2.0/token"));
        assert_eq!(own.url, "https://login.microsoftonline.us/t/oauth2/v2.0/token");
    }
}
