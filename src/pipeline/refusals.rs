//! Refusals, and errors as answers.

use super::effects::{Effect, Reply};
use crate::{
    auth::KeyRecord,
    catalog::builtin,
    dialect::call::Api,
    error::{Error, ErrorKind},
    formats,
    ids::GenerationId,
    routing::slug::{Slug, VARIANTS},
};

/// An error as an answer.
pub fn reply(api: Api, error: &Error, numeric_code: bool, id: Option<&GenerationId>) -> Reply {
    let mut headers = Vec::new();
    for (name, known) in [
        ("X-RateLimit-Limit", "x-ratelimit-limit"),
        ("X-RateLimit-Remaining", "x-ratelimit-remaining"),
        ("X-RateLimit-Reset", "x-ratelimit-reset"),
    ] {
        if let Some(value) = error.metadata.get("headers").and_then(|headers| headers.get(name)?.as_str()) {
            headers.push((known, value.to_owned()));
        }
    }
    if let Some(id) = id {
        headers.push(("x-generation-id", id.to_string()));
    }
    if let Some(seconds) = error.retry_after_s {
        headers.push(("retry-after", seconds.to_string()));
    }
    Reply {
        status: error.status(),
        headers,
        body: formats::write_error(api, error, numeric_code),
        log: error.context.as_ref().map(|context| format!("{}: {context}", error.kind.facts().code)),
    }
}

pub(super) fn gone() -> Effect {
    Effect::Reply(reply(Api::Chat, &Error::internal("an event for an exchange that is not there"), false, None))
}

pub(super) fn unknown_key() -> Error {
    KeyRecord::refuse(
        "This API key is not known: it may have been deleted. Ask whoever manages the gateway for a new one.",
    )
}

/// Enough of a name to know it again.
pub(super) fn short(name: &str) -> &str {
    name.char_indices().nth(100).map_or(name, |(end, _)| name.get(..end).unwrap_or(name))
}

pub(super) fn unknown_model(slug: &Slug, name: &str) -> Error {
    let name = short(name);
    if let Some(variant) = slug.unknown_variant() {
        let message = if slug.lacks_known_variant() {
            format!(
                "The catalog has no :{variant} of this model: {name:?} is not in it. Known variants are {VARIANTS}."
            )
        } else {
            format!("{name:?} is not in the catalog, and :{variant} is not a variant: known variants are {VARIANTS}.")
        };
        return Error::new(ErrorKind::ModelNotFound, message).param("model").code("unknown_variant");
    }
    let meant = builtin::ids_named(&slug.id);
    let hint = if meant.is_empty() {
        "GET /v1/models lists what there is.".to_owned()
    } else {
        format!("Did you mean {}?", meant.join(" or "))
    };
    let mut error = Error::new(ErrorKind::ModelNotFound, format!("There is no model {name:?} in the catalog. {hint}"))
        .param("model");
    error.availability =
        Some(serde_json::json!({ "code": "model_not_found", "retryable": false, "requested_models": [name] }));
    error
}

/// 404: the models exist, but a rule removed their last endpoint. Says which.
pub(super) fn nobody(names: &[String], excluded: &[(String, String, &'static str)]) -> Error {
    let removed: Vec<serde_json::Value> = excluded
        .iter()
        .map(|(model, tag, rule)| serde_json::json!({ "model": model, "endpoint": tag, "rule": rule }))
        .collect();
    let mut rules: Vec<&str> = excluded.iter().map(|(_, _, rule)| *rule).collect();
    rules.sort_unstable();
    rules.dedup();
    let hint = if rules == ["no_credential"] {
        " No credential is configured for any of its providers: set one with PUT /v1/admin/providers/{slug} or the provider's API key in the gateway's environment."
    } else {
        ""
    };
    let message =
        format!("No endpoint can serve {}: every one was removed by {}.{hint}", names.join(", "), rules.join(", "));
    let mut error = Error::new(ErrorKind::NoEndpoints, message).param("model").meta("excluded", removed);
    let code = if rules == ["no_credential"] { "no_endpoints" } else { "constraint_filtered" };
    error.availability =
        Some(serde_json::json!({ "code": code, "retryable": false, "requested_models": names, "excluded_by": rules }));
    error
}
