//! Provider rows of the operator's.

use serde_json::{Map, Value, json};

use super::{Context, Effective, EffectiveProvider, store};
use crate::{
    admin::body,
    catalog::{
        Provider, Setting, StoredProvider, builtin, check_slug,
        credential::{Credential, SealedCredential},
    },
    error::{Error, ErrorKind, Result},
    ports::{AdminRequest, Sql},
    provider::access,
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
        Some(given) => seal(&given, &row, context)?,
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
    let (own_keys, own_variables) = (members.contains_key("api_key_env"), members.contains_key("env"));
    let own_address = members.contains_key("base_url");
    whole.extend(members);
    let mut row: Provider = body::from_value(&Value::Object(whole))?;
    slug.clone_into(&mut row.slug);
    // A secret of the environment goes to no host but the one that the shipped catalog names for it:
    // otherwise whoever may write rows could have it sent to any place.
    let shipped =
        shipped.filter(|shipped| (shipped.origin(), shipped.token_origin()) == (row.origin(), row.token_origin()));
    let (keys, variables) = shipped.map(|row| (row.api_key_env, row.env)).unwrap_or_default();
    let allowed = |setting: &Setting, name: &String| variables.get(setting).is_some_and(|names| names.contains(name));
    if !own_keys {
        row.api_key_env.retain(|name| keys.contains(name));
    } else if let Some(name) = row.api_key_env.iter().find(|name| !keys.contains(name)) {
        return Err(not_for_this_address("api_key_env", name));
    }
    if own_variables {
        let mut named = row.env.iter().flat_map(|(setting, names)| names.iter().map(move |name| (setting, name)));
        if let Some((_, name)) = named.find(|(setting, name)| !allowed(setting, name)) {
            return Err(not_for_this_address("env", name));
        }
    } else {
        row.env.retain(|setting, _| {
            variables.contains_key(setting)
                && !(own_address && matches!(setting, Setting::BaseUrl | Setting::ResourceName))
        });
    }
    row.check()?;
    Ok(row)
}

fn not_for_this_address(field: &str, name: &str) -> Error {
    let why =
        format!("{field}: {name} is not a variable that the built-in catalog has for this address; use `credential`.");
    Error::invalid(field, why)
}

/// The stored credential, which goes to no other host than the one it was given for.
pub(super) fn kept(
    stored: Option<(StoredProvider, Option<String>)>,
    row: &Provider,
) -> Result<(Option<SealedCredential>, Option<String>)> {
    let Some((StoredProvider { row: old, credential: Some(credential) }, credential_type)) = stored else {
        return Ok((None, None));
    };
    if (old.origin(), old.token_origin()) != (row.origin(), row.token_origin()) {
        return Err(Error::invalid(
            "credential",
            "the row names another host than the stored credential was given for: give `credential` anew, or null.",
        ));
    }
    if let Some(kind) = &credential_type {
        access::check_kind(kind, row.dialect)?;
    }
    Ok((Some(credential), credential_type))
}

/// Reads a credential, checks that the row's provider can be called with it, and seals it.
fn seal(given: &Value, row: &Provider, context: &Context<'_>) -> Result<(Option<SealedCredential>, Option<String>)> {
    let credential = Credential::read(given)?;
    access::check(&credential, row)?;
    let unavailable = |why: &str| {
        Error::new(ErrorKind::StoreUnavailable, format!("The gateway cannot store credentials: {why}."))
            .code("master_key_missing")
    };
    let master = context.master.as_ref().map_err(|why| unavailable(why))?;
    let sealed = master.seal(&credential, &row.slug, context.nonce).map_err(Error::internal)?;
    Ok((Some(sealed), Some(credential.kind().to_owned())))
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
