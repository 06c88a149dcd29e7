//! What the environment says of a provider: variables that its row names (`api_key_env` and `env`).
//!
//! The address comes from there where the row has none that could be right for everybody (Azure's
//! resource, a model server on one's own box), and the credential, of which the first kind counts that is
//! there whole: a key or a token, a service account, an AWS key, an application of Entra. A row with the
//! quirk `keyless` wants none once its address is set.

use super::{
    access::{self, Access},
    azure,
};
use crate::catalog::{Dialect, Provider, Setting, credential::Credential};

/// The quirk of a server that asks for no key unless it was told to.
pub const KEYLESS: &str = "keyless";

/// Where values of variables come from: the one of that name, if it is set.
pub type Values<'v> = &'v dyn Fn(&str) -> Option<String>;

/// The row as the environment completes it.
pub fn complete(mut row: Provider, values: Values<'_>) -> Provider {
    let set = |setting: Setting| first(row.env.get(&setting).map(Vec::as_slice).unwrap_or_default(), values);
    let (base_url, resource) = (set(Setting::BaseUrl), set(Setting::ResourceName));
    let (region, project, api_version) = (set(Setting::Region), set(Setting::Project), set(Setting::ApiVersion));
    row.region = region.or(row.region);
    row.project = project.or(row.project);
    row.api_version = api_version.or(row.api_version);
    let by_name = || resource.map(|name| azure::resource_url(&name, row.api_version.as_deref()));
    if let Some(url) = base_url.or_else(by_name) {
        row.base_url = url;
    }
    row
}

/// The credential that the environment holds for a row, if it holds one; an error says what is wrong with
/// it, and repeats nothing of it. `row`: as [`complete`] gives it.
pub fn access(row: &Provider, values: Values<'_>) -> Result<Access, String> {
    let Some(credential) = credential(row, values) else { return Ok(Access::None) };
    row.check()
        .and_then(|()| access::check(&credential, row))
        .map_err(|error| format!("{}: {}", error.param.unwrap_or_default(), error.message))?;
    Ok(Access::of(&credential, row.dialect))
}

/// Whether the environment has a credential for a row, as far as names tell.
pub fn has_credential(row: &Provider, is_set: &dyn Fn(&str) -> bool) -> bool {
    credential(row, &|name| is_set(name).then(|| "set".to_owned())).is_some()
}

/// Whether a row has an address, of its own or from the environment.
pub fn is_addressed(row: &Provider, is_set: &dyn Fn(&str) -> bool) -> bool {
    let values = |name: &str| is_set(name).then(|| "set".to_owned());
    matches!(row.dialect, Dialect::Bedrock | Dialect::Vertex) || !row.base_url.is_empty() || has_address(row, &values)
}

fn has_address(row: &Provider, values: Values<'_>) -> bool {
    [Setting::BaseUrl, Setting::ResourceName].iter().any(|setting| one(row, *setting, values).is_some())
}

fn credential(row: &Provider, values: Values<'_>) -> Option<Credential> {
    let one = |setting: Setting| one(row, setting, values);
    let keyless = row.quirks.iter().any(|quirk| quirk == KEYLESS);
    let addressed = is_addressed(row, &|name| values(name).is_some_and(|value| !value.trim().is_empty()));
    if !addressed || keyless && row.env.contains_key(&Setting::BaseUrl) && !has_address(row, values) {
        // A key alone does not say that such a server runs, or where.
        return None;
    }
    if let Some(value) = first(&row.api_key_env, values) {
        return Some(Credential::Bearer { value });
    }
    if let Some(json) = one(Setting::ServiceAccount) {
        return Some(Credential::GoogleServiceAccount { json });
    }
    if let (Some(access_key_id), Some(secret_access_key)) = (one(Setting::AccessKeyId), one(Setting::SecretAccessKey)) {
        let session_token = one(Setting::SessionToken);
        return Some(Credential::Aws { access_key_id, secret_access_key, session_token });
    }
    if let (Some(tenant_id), Some(client_id), Some(client_secret)) =
        (one(Setting::TenantId), one(Setting::ClientId), one(Setting::ClientSecret))
    {
        return Some(Credential::Entra { tenant_id, client_id, client_secret });
    }
    (keyless && has_address(row, values)).then_some(Credential::None {})
}

fn one(row: &Provider, setting: Setting, values: Values<'_>) -> Option<String> {
    first(row.env.get(&setting)?, values)
}

fn first(names: &[String], values: Values<'_>) -> Option<String> {
    let mut found = names.iter().filter_map(|name| values(name)).map(|value| value.trim().to_owned());
    found.find(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::access::tests::SERVICE_ACCOUNT;

    fn row(members: Value) -> Provider {
        let mut row = json!({ "slug": "p", "name": "P" });
        row.as_object_mut().unwrap().extend(members.as_object().cloned().unwrap());
        serde_json::from_value(row).unwrap()
    }

    fn azure() -> Provider {
        row(json!({ "dialect": "azure-openai", "api_key_env": ["A_KEY"],
            "env": { "base_url": ["A_URL"], "resource_name": ["A_NAME"], "api_version": ["A_VERSION"],
                "tenant_id": ["TENANT"], "client_id": ["CLIENT"], "client_secret": ["SECRET"] } }))
    }

    fn bedrock() -> Provider {
        row(json!({ "dialect": "bedrock", "region": "us-east-1", "api_key_env": ["B_TOKEN"],
            "env": { "region": ["B_REGION", "B_OTHER"], "access_key_id": ["B_ID"], "secret_access_key": ["B_SECRET"],
                "session_token": ["B_SESSION"] } }))
    }

    fn vertex() -> Provider {
        row(json!({ "dialect": "vertex", "region": "global", "env": { "service_account": ["V_JSON"],
            "project": ["V_PROJECT"], "region": ["V_LOCATION"] } }))
    }

    fn ollama() -> Provider {
        row(json!({ "dialect": "ollama", "base_url": "http://localhost:11434", "allow_private_network": true,
            "quirks": ["keyless"], "api_key_env": ["O_KEY"], "env": { "base_url": ["O_URL"] } }))
    }

    fn anthropic() -> Provider {
        row(json!({ "dialect": "anthropic", "base_url": "https://a.example/v1", "api_key_env": ["K1", "K2"] }))
    }

    #[test]
    fn what_the_environment_completes() {
        let header = |name: &str, value: &str| Some(Access::Header(name.to_owned(), value.to_owned()));
        let aws = Some(Access::Aws(access::AwsKeys {
            access_key_id: "AKIA".to_owned(),
            secret_access_key: "s".to_owned(),
            session_token: None,
        }));
        let google = Some(Access::Google(access::ServiceAccount { json: SERVICE_ACCOUNT.to_owned() }));
        #[rustfmt::skip]
        let cases = [
            // row, variables, base_url, region, access (None: an error), said to be ready by names alone
            (anthropic(), vec![], "https://a.example/v1", None, Some(Access::None), false),
            (anthropic(), vec![("K1", "  "), ("K2", " sk \n")], "https://a.example/v1", None, header("x-api-key", "sk"), true),
            (anthropic(), vec![("K1", "a\nb")], "https://a.example/v1", None, None, true),
            (azure(), vec![("A_KEY", "k")], "", None, Some(Access::None), false),
            (azure(), vec![("A_KEY", "k"), ("A_URL", "https://r.example/")], "https://r.example/", None, header("api-key", "k"), true),
            (azure(), vec![("A_KEY", "k"), ("A_NAME", "r")], "https://r.openai.azure.com/openai/v1", None, header("api-key", "k"), true),
            (azure(), vec![("A_KEY", "k"), ("A_NAME", "r"), ("A_VERSION", "2024-10-21")], "https://r.openai.azure.com", None, header("api-key", "k"), true),
            (azure(), vec![("A_KEY", "k"), ("A_NAME", "r/../x?")], "https://r/../x?.openai.azure.com/openai/v1", None, None, true),
            (azure(), vec![("A_URL", "https://r.example/"), ("TENANT", "t"), ("CLIENT", "c")], "https://r.example/", None, Some(Access::None), false),
            (azure(), vec![("A_URL", "https://r.example"), ("TENANT", "t"), ("CLIENT", "c"), ("SECRET", "s")], "https://r.example", None,
                Some(Access::Entra(access::EntraApp { tenant_id: "t".into(), client_id: "c".into(), client_secret: "s".into() })), true),
            (bedrock(), vec![("B_ID", "AKIA")], "", Some("us-east-1"), Some(Access::None), false),
            (bedrock(), vec![("B_ID", "AKIA"), ("B_SECRET", "s")], "", Some("us-east-1"), aws.clone(), true),
            (bedrock(), vec![("B_ID", "AKIA"), ("B_SECRET", "s"), ("B_OTHER", "eu-west-1")], "", Some("eu-west-1"), aws, true),
            (bedrock(), vec![("B_ID", "AKIA"), ("B_SECRET", "s"), ("B_REGION", "evil.example")], "", Some("evil.example"), None, true),
            (bedrock(), vec![("B_ID", "AKIA"), ("B_SECRET", "s"), ("B_TOKEN", "t")], "", Some("us-east-1"), header("authorization", "Bearer t"), true),
            (vertex(), vec![("V_JSON", SERVICE_ACCOUNT)], "", Some("global"), google.clone(), true),
            (vertex(), vec![("V_JSON", SERVICE_ACCOUNT), ("V_LOCATION", "europe-west4")], "", Some("europe-west4"), google, true),
            (vertex(), vec![("V_JSON", "{}"), ("V_PROJECT", "p")], "", Some("global"), None, true),
            (ollama(), vec![], "http://localhost:11434", None, Some(Access::None), false),
            (ollama(), vec![("O_KEY", "k")], "http://localhost:11434", None, Some(Access::None), false),
            (ollama(), vec![("O_URL", "http://10.0.0.2:1")], "http://10.0.0.2:1", None, Some(Access::Open), true),
            (ollama(), vec![("O_URL", "http://ollama"), ("O_KEY", "k")], "http://ollama", None, header("authorization", "Bearer k"), true),
            (ollama(), vec![("O_URL", "ollama")], "ollama", None, None, true),
        ];
        for (given, variables, base_url, region, expected, ready) in cases {
            let values =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            let set = |name: &str| values(name).is_some_and(|value| !value.trim().is_empty());
            assert_eq!(has_credential(&given, &set), ready, "{variables:?}");
            let row = complete(given, &values);
            assert_eq!((row.base_url.as_str(), row.region.as_deref()), (base_url, region), "{variables:?}");
            assert_eq!(access(&row, &values).ok(), expected, "{variables:?}");
        }
    }

    #[test]
    fn an_error_repeats_no_secret() {
        let values = |name: &str| (name == "V_JSON").then(|| r#"{"private_key":"canary"}"#.to_owned());
        let why = access(&complete(vertex(), &values), &values).unwrap_err();
        assert!(why.contains("credential.json") && !why.contains("canary"), "{why}");
    }
}
