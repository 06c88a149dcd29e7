//! Provider rows of the operator's.

use serde_json::{Map, Value, json};

use super::{Context, Effective, EffectiveProvider, store};
use crate::{
    admin::body,
    catalog::{
        Provider, StoredProvider, builtin, check_slug,
        credential::{Credential, SealedCredential},
    },
    error::{Error, ErrorKind, Result},
    ports::{AdminRequest, Sql},
};

pub(super) fn list(sql: &dyn Sql, context: &Context<'_>) -> Result<Value> {
    let effective = Effective::of(store::rows(sql)?, context.env);
    Ok(json!({ "data": effective.providers().map(shape).collect::<Vec<_>>() }))
}

pub(super) fn get(sql: &dyn Sql, slug: &str, context: &Context<'_>) -> Result<Value> {
    let effective = Effective::of(store::rows(sql)?, context.env);
    let provider = effective.provider(slug).ok_or_else(|| not_found(slug))?;
    Ok(json!({ "data": shape(provider) }))
}

/// Stores a row. What the body leaves out of a built-in provider's row is the built-in one's.
pub(super) fn put(sql: &dyn Sql, slug: &str, request: &AdminRequest, context: &Context<'_>) -> Result<Value> {
    check_slug(slug).map_err(|why| Error::invalid("slug", why))?;
    let mut members: Map<String, Value> = body::parse(request.body.as_ref())?;
    let credential = members.remove("credential");
    let row = read_row(slug, members)?;
    let stored = store::provider(sql, slug)?;
    let (credential, credential_type) = match credential {
        Some(Value::Null) => (None, None),
        Some(given) => seal(&given, slug, context)?,
        None => kept(stored, &row)?,
    };
    store::put_provider(sql, &StoredProvider { row, credential }, credential_type.as_deref())?;
    store::publish_providers(sql, store::next_revision(sql)?)?;
    get(sql, slug, context)
}

pub(super) fn delete(sql: &dyn Sql, slug: &str) -> Result<Value> {
    let built_in = builtin::providers().iter().any(|row| row.slug == slug);
    if store::provider(sql, slug)?.is_none() {
        return Err(if built_in {
            Error::new(
                ErrorKind::NotFound,
                format!(
                    "{slug} is built in and has no row of the operator's to delete. It is not used without a credential."
                ),
            )
        } else {
            not_found(slug)
        });
    }
    if !built_in {
        let rows = store::rows(sql)?;
        let users: Vec<&str> = rows
            .models
            .iter()
            .filter(|m| m.endpoints.iter().any(|e| e.provider == slug))
            .map(|m| m.id.as_str())
            .take(3)
            .collect();
        if !users.is_empty() {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("{slug} still serves {}. Change or delete these models first.", users.join(", ")),
            ));
        }
    }
    store::delete_provider(sql, slug)?;
    store::publish_providers(sql, store::next_revision(sql)?)?;
    Ok(json!({ "deleted": true }))
}

/// Checks a row, filled up from the built-in one of that slug.
pub(super) fn read_row(slug: &str, members: Map<String, Value>) -> Result<Provider> {
    if members.get("slug").is_some_and(|given| given != slug) {
        return Err(Error::invalid("slug", format!("slug must be {slug:?}, as in the path.")));
    }
    let shipped = builtin::providers().into_iter().find(|row| row.slug == slug);
    let base = shipped.as_ref().map(|row| json!(row));
    let mut whole = base.and_then(|row| row.as_object().cloned()).unwrap_or_default();
    let inherits_keys = !members.contains_key("api_key_env");
    whole.extend(members);
    let mut row: Provider = body::from_value(&Value::Object(whole))?;
    slug.clone_into(&mut row.slug);
    row.check()?;
    // A secret of the environment goes to no host but the one that the shipped catalog names for it:
    // otherwise whoever may write rows could have it sent to any place.
    let allowed: &[String] = shipped
        .as_ref()
        .filter(|shipped| origin(&shipped.base_url) == origin(&row.base_url))
        .map_or(&[], |row| &row.api_key_env);
    if inherits_keys {
        row.api_key_env.retain(|name| allowed.contains(name));
    } else if let Some(name) = row.api_key_env.iter().find(|name| !allowed.contains(name)) {
        let why = format!(
            "api_key_env: {name} is not a secret that the built-in catalog sends to this address; use `credential`."
        );
        return Err(Error::invalid("api_key_env", why));
    }
    Ok(row)
}

/// The stored credential, which goes to no other host than the one it was given for.
pub(super) fn kept(
    stored: Option<(StoredProvider, Option<String>)>,
    row: &Provider,
) -> Result<(Option<SealedCredential>, Option<String>)> {
    let Some((StoredProvider { row: old, credential: Some(credential) }, credential_type)) = stored else {
        return Ok((None, None));
    };
    if origin(&old.base_url) != origin(&row.base_url) {
        return Err(Error::invalid(
            "credential",
            "base_url names another host than the stored credential was given for: give `credential` anew, or null.",
        ));
    }
    Ok((Some(credential), credential_type))
}

fn seal(given: &Value, slug: &str, context: &Context<'_>) -> Result<(Option<SealedCredential>, Option<String>)> {
    const SHAPE: &str = "credential must be {\"type\":\"bearer\",\"value\":...}, {\"type\":\"header\",\"name\":...,\"value\":...} or {\"type\":\"none\"}.";
    // The reader's own words could repeat the secret.
    let credential: Credential =
        serde_json::from_value(given.clone()).map_err(|_| Error::invalid("credential", SHAPE))?;
    credential.check().map_err(|why| Error::invalid("credential", why))?;
    let unavailable = |why: &str| {
        Error::new(ErrorKind::StoreUnavailable, format!("The gateway cannot store credentials: {why}."))
            .code("master_key_missing")
    };
    let master = context.master.as_ref().map_err(|why| unavailable(why))?;
    let sealed = master.seal(&credential, slug, context.nonce).map_err(Error::internal)?;
    let name = match credential {
        Credential::Bearer { .. } => "bearer",
        Credential::Header { .. } => "header",
        Credential::None {} => "none",
    };
    Ok((Some(sealed), Some(name.to_owned())))
}

fn origin(base_url: &str) -> String {
    base_url.split('/').take(3).collect::<Vec<_>>().join("/").to_ascii_lowercase()
}

fn not_found(slug: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("There is no provider {slug:?}."))
}

fn shape(provider: &EffectiveProvider) -> Value {
    let mut row = json!(provider.row);
    if let Some(members) = row.as_object_mut() {
        let credential = provider.credential_type.as_ref().map(|kind| json!({ "type": kind, "configured": true }));
        members.insert("credential".to_owned(), json!(credential));
        members.insert("key_in_environment".to_owned(), provider.in_environment.into());
        members.insert("ready".to_owned(), provider.ready().into());
        members.insert("built_in".to_owned(), provider.built_in.into());
        members.insert("overridden".to_owned(), provider.overridden.into());
    }
    row
}
