//! How the gateway shows a provider who it is: headers for a call, or the token that has to be fetched
//! before there are any. Pure: [`show`] says which of both, the shell does the rest.
//!
//! 1. `show` with the token that [`Wallet`](super::token::Wallet) holds, if it holds one;
//! 2. [`Shown::Headers`]: they go with the call;
//! 3. [`Shown::Token`]: sign what is to be signed, post the form, hand the answer to
//!    [`token::read`](super::token::read), keep the token, and show again.
//!
//! A bearer credential goes in the header in which the provider's format has its keys:
//!
//! | dialect | header | but |
//! |---|---|---|
//! | `anthropic` | `x-api-key` | `Authorization: Bearer` for OAuth tokens (`sk-ant-oat...`) |
//! | `gemini` | `x-goog-api-key` | `Authorization: Bearer` for OAuth tokens (`ya29....`) |
//! | `azure-openai` | `api-key` | `Authorization: Bearer` for Entra's tokens (JWTs: `eyJ...`) |
//! | all others | `Authorization: Bearer` | |
//!
//! Anthropic's format also wants its version said, with every call.

use std::fmt;

use super::{
    azure, bedrock, google,
    sigv4::{self, Credentials, Request, Scope},
    token::{SignRequest, Token, TokenRequest},
};
use crate::{
    catalog::{Dialect, Provider, credential::Credential},
    error::{Error, Result},
    time::Millis,
};

/// The version of Anthropic's format that is spoken.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// Whether, and how, a provider can be called. Shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Access {
    /// Not at all: there is no credential, or it cannot be used.
    None,
    /// Without any.
    Open,
    /// With this header.
    Header(String, String),
    /// With a signature.
    Aws(AwsKeys),
    /// With a token for a service account of Google's.
    Google(ServiceAccount),
    /// With a token for an application of Entra's.
    Entra(EntraApp),
}

/// An AWS key.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsKeys {
    /// `AKIA...` or `ASIA...`
    pub access_key_id: String,
    /// Its secret half.
    pub secret_access_key: String,
    /// Of temporary keys.
    pub session_token: Option<String>,
}

/// A Google service account.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// The file that Google gives.
    pub json: String,
}

/// An application of Microsoft Entra.
#[derive(Clone, PartialEq, Eq)]
pub struct EntraApp {
    /// Its tenant.
    pub tenant_id: String,
    /// Its id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Open => f.write_str("Open"),
            Self::Header(name, _) => write!(f, "Header({name}, ...)"),
            Self::Aws(_) => f.write_str("Aws(...)"),
            Self::Google(_) => f.write_str("Google(...)"),
            Self::Entra(_) => f.write_str("Entra(...)"),
        }
    }
}

impl Access {
    /// What a credential is good for at a provider of that dialect.
    pub fn of(credential: &Credential, dialect: Dialect) -> Self {
        match credential {
            Credential::Bearer { value } => {
                let (name, value) = bearer(value, dialect);
                Self::Header(name.to_owned(), value)
            }
            Credential::Header { name, value } => Self::Header(name.to_ascii_lowercase(), value.clone()),
            Credential::Aws { access_key_id, secret_access_key, session_token } => Self::Aws(AwsKeys {
                access_key_id: access_key_id.clone(),
                secret_access_key: secret_access_key.clone(),
                session_token: session_token.clone(),
            }),
            Credential::GoogleServiceAccount { json } => Self::Google(ServiceAccount { json: json.clone() }),
            Credential::Entra { tenant_id, client_id, client_secret } => Self::Entra(EntraApp {
                tenant_id: tenant_id.clone(),
                client_id: client_id.clone(),
                client_secret: client_secret.clone(),
            }),
            Credential::None {} => Self::Open,
        }
    }

    /// Whether the provider can be called.
    pub fn is_ready(&self) -> bool {
        *self != Self::None
    }

    /// The project that it brings along, for Vertex AI.
    pub fn project(&self) -> Option<String> {
        match self {
            Self::Google(account) => google::project(&account.json),
            _ => None,
        }
    }
}

fn bearer(value: &str, dialect: Dialect) -> (&'static str, String) {
    let own = match dialect {
        Dialect::Anthropic if !value.starts_with("sk-ant-oat") => Some("x-api-key"),
        Dialect::Gemini if !value.starts_with("ya29.") => Some("x-goog-api-key"),
        Dialect::AzureOpenai if !value.starts_with("eyJ") => Some("api-key"),
        _ => None,
    };
    match own {
        Some(name) => (name, value.to_owned()),
        None => ("authorization", format!("Bearer {value}")),
    }
}

/// Whether a credential of that type can be shown to a provider of that dialect.
pub fn check_kind(kind: &str, dialect: Dialect) -> Result<()> {
    let (fits, whose) = match kind {
        "aws" => (dialect == Dialect::Bedrock, "bedrock"),
        "google_service_account" => (matches!(dialect, Dialect::Vertex | Dialect::Gemini), "vertex and gemini"),
        "entra" => (dialect == Dialect::AzureOpenai, "azure-openai"),
        _ => (true, ""),
    };
    if fits {
        return Ok(());
    }
    let why =
        format!("a credential of type {kind:?} is for the dialect {whose}, this provider's is {}.", dialect.as_str());
    Err(Error::invalid("credential.type", why))
}

/// Checks that a row's provider can be called with a credential. Names the field at fault.
pub fn check(credential: &Credential, row: &Provider) -> Result<()> {
    credential.check()?;
    check_kind(credential.kind(), row.dialect)?;
    match credential {
        Credential::GoogleServiceAccount { json } => {
            google::assertion_input(json, Millis(0)).map_err(|error| error.param("credential.json"))?;
        }
        Credential::Aws { .. } if row.region.is_none() => {
            return Err(Error::invalid("region", "region must name a region of AWS: signatures are good for one."));
        }
        _ => {}
    }
    let project = || Access::of(credential, row.dialect).project();
    if row.dialect == Dialect::Vertex && row.project.is_none() && project().is_none() {
        return Err(Error::invalid("project", "project must name the project whose models are called."));
    }
    Ok(())
}

/// A call that is to be made: a POST.
#[derive(Clone, Copy, Debug)]
pub struct Call<'c> {
    /// The provider's row: the format it speaks, its region, where its tokens are fetched.
    pub row: &'c Provider,
    /// The whole address.
    pub url: &'c str,
    /// The bytes that will be sent.
    pub body: &'c [u8],
}

/// What a call carries, or what must be fetched first. Shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Shown {
    /// These headers, beside the row's own: where a row has one of the same name, the row's is meant.
    Headers(Vec<(String, String)>),
    /// A token.
    Token(TokenRequest),
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Headers(headers) => f.debug_list().entries(headers.iter().map(|(name, _)| name)).finish(),
            Self::Token(request) => request.fmt(f),
        }
    }
}

/// Shows who the gateway is. `token`: what the wallet has for this provider.
pub fn show(access: &Access, call: &Call<'_>, token: Option<&Token>, now: Millis) -> Result<Shown> {
    let row = call.row;
    let mut headers = fixed(row);
    match (access, token) {
        (Access::None, _) => return Err(Error::internal("a provider without a credential is to be called")),
        (Access::Open, _) => {}
        (Access::Header(name, value), _) => headers.push((name.clone(), value.clone())),
        (Access::Aws(keys), _) => headers.extend(signed(keys, call, now)?),
        (Access::Google(_) | Access::Entra(_), Some(token)) => {
            headers.push(("authorization".to_owned(), format!("Bearer {}", token.value)));
        }
        (Access::Google(account), None) => return Ok(Shown::Token(assertion(account, row, now)?)),
        (Access::Entra(app), None) => {
            let EntraApp { tenant_id, client_id, client_secret } = app;
            let url = row.token_url.as_deref();
            return Ok(Shown::Token(azure::token_request(tenant_id, client_id, client_secret, url)));
        }
    }
    Ok(Shown::Headers(headers))
}

/// What a format wants said with every call.
fn fixed(row: &Provider) -> Vec<(String, String)> {
    match row.dialect {
        Dialect::Anthropic => vec![("anthropic-version".to_owned(), ANTHROPIC_VERSION.to_owned())],
        _ => Vec::new(),
    }
}

fn signed(keys: &AwsKeys, call: &Call<'_>, now: Millis) -> Result<Vec<(String, String)>> {
    let region = call.row.region.as_deref();
    let region = region.ok_or_else(|| Error::internal("a signature without a region"))?;
    let body_hash = sigv4::body_hash(call.body);
    let credentials = Credentials {
        access_key: &keys.access_key_id,
        secret_key: &keys.secret_access_key,
        session_token: keys.session_token.as_deref(),
    };
    let request = Request { method: "POST", url: call.url, headers: &[], body_hash: &body_hash };
    Ok(sigv4::sign(credentials, Scope { region, service: bedrock::SERVICE }, request, now))
}

fn assertion(account: &ServiceAccount, row: &Provider, now: Millis) -> Result<TokenRequest> {
    let input = google::assertion_input(&account.json, now)?;
    let (url, form) = google::token_request(&input.message, &[]);
    Ok(TokenRequest {
        url: row.token_url.clone().unwrap_or_else(|| url.to_owned()),
        form,
        sign: Some(SignRequest { message: input.message, pkcs8_der: input.private_key_pkcs8_der }),
    })
}

#[cfg(test)]
pub(crate) mod tests;
