//! Amazon Bedrock's runtime: where it is, and how one shows who one is.
//!
//! Source: `docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html` and
//! `.../userguide/api-keys-use.html`, as of November 2026. A request carries either a Bedrock API key
//! (`Authorization: Bearer ...`, nothing is signed) or a signature ([`super::sigv4`]) over the service
//! [`SERVICE`].

use super::sigv4::encoded;
use crate::error::{Error, Result};

/// The service that signatures name.
pub const SERVICE: &str = "bedrock";

/// Longest model id or ARN (Converse's `modelId`).
const MAX_MODEL: usize = 2048;

/// What is asked of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `Converse`: the answer is one JSON body.
    Converse,
    /// `ConverseStream`: the answer is an event stream.
    ConverseStream,
    /// `InvokeModel`: the body is in the model maker's own format.
    Invoke,
    /// `InvokeModelWithResponseStream`
    InvokeStream,
}

impl Operation {
    fn path(self) -> &'static str {
        match self {
            Self::Converse => "converse",
            Self::ConverseStream => "converse-stream",
            Self::Invoke => "invoke",
            Self::InvokeStream => "invoke-with-response-stream",
        }
    }
}

/// The runtime's address in a region.
pub fn base_url(region: &str) -> Result<String> {
    let sound = (4..=32).contains(&region.len())
        && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && region.starts_with(|c: char| c.is_ascii_lowercase());
    if !sound {
        return Err(Error::invalid("region", format!("{region:?} is not the name of an AWS region.")));
    }
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    Ok(format!("https://bedrock-runtime.{region}.{domain}"))
}

/// The address of an operation on a model: an id (`anthropic.claude-...-v1:0`, `us.amazon.nova-...`) or an
/// ARN of a model, a profile or a prompt.
pub fn url(base_url: &str, model: &str, operation: Operation) -> Result<String> {
    let sound = (1..=MAX_MODEL).contains(&model.len())
        && model.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:/".contains(&b))
        && !model.contains("..")
        && model.starts_with(|c: char| c.is_ascii_alphanumeric())
        && (!model.contains('/') || model.starts_with("arn:aws"));
    if !sound {
        return Err(Error::invalid("model", format!("{model:?} is not the id of a Bedrock model.")));
    }
    Ok(format!("{}/model/{}/{}", base_url.trim_end_matches('/'), encoded(model, false), operation.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_become_one_segment_of_the_path() {
        let base = base_url("us-east-1").unwrap();
        let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123";
        for (model, operation, expected) in [
            ("us.amazon.nova-lite-v1:0", Operation::Converse, "us.amazon.nova-lite-v1%3A0/converse"),
            (
                arn,
                Operation::ConverseStream,
                "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc123/converse-stream",
            ),
            ("anthropic.claude-v2", Operation::Invoke, "anthropic.claude-v2/invoke"),
            ("a", Operation::InvokeStream, "a/invoke-with-response-stream"),
        ] {
            let expected = format!("https://bedrock-runtime.us-east-1.amazonaws.com/model/{expected}");
            assert_eq!(url(&base, model, operation).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_model_or_region_makes_no_address() {
        for model in ["", "a/b", "../x", "arn:aws:..", "a b", "a%2e", "a?b", "a#b", "é", "/a", &"a".repeat(2049)] {
            assert_eq!(url("https://x", model, Operation::Converse).unwrap_err().param.as_deref(), Some("model"));
        }
        for region in ["", "us", "us-east-1.evil.example", "US-EAST-1", "-us-east-1", "us_east_1"] {
            assert!(base_url(region).is_err(), "{region}");
        }
        assert!(base_url("cn-north-1").unwrap().ends_with(".amazonaws.com.cn"));
    }
}
