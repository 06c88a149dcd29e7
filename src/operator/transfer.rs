//! All of the operator's rows as one document (schema/catalog.v1.json), out and in.
//!
//! Credentials are not in it. An import checks the whole document first, against the catalog as it
//! would be after it, and names the row at fault (`models[3].endpoints[0].provider`).

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Context, models, providers,
    store::{self, Entry},
};
use crate::{
    admin::body,
    catalog::{Model, StoredProvider, builtin, check_slug},
    error::{Error, Result},
    ports::{AdminRequest, Sql},
};

/// What happens to the operator's rows that are not in the document.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// They stay.
    #[default]
    Merge,
    /// They go.
    Replace,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    v: u64,
    #[serde(default)]
    mode: Mode,
    #[serde(default, rename = "revision")]
    _revision: Option<u64>,
    #[serde(default, rename = "exported_at")]
    _exported_at: Option<String>,
    #[serde(default)]
    providers: Vec<Map<String, Value>>,
    #[serde(default)]
    models: Vec<Model>,
    #[serde(default)]
    hidden: Vec<String>,
}

pub(super) fn export(sql: &dyn Sql, context: &Context<'_>) -> Result<Value> {
    let rows = store::rows(sql)?;
    let providers: Vec<_> = rows.providers.into_iter().map(|stored| stored.row).collect();
    Ok(json!({
        "v": 1, "revision": rows.revision, "exported_at": context.now.iso(),
        "providers": providers, "models": rows.models, "hidden": rows.hidden,
    }))
}

pub(super) fn import(sql: &dyn Sql, request: &AdminRequest, context: &Context<'_>) -> Result<Value> {
    let document: Document = body::parse(request.body.as_ref())?;
    if document.v != 1 {
        return Err(Error::invalid(
            "v",
            format!("v must be 1; this gateway does not know documents of version {}.", document.v),
        ));
    }
    let before = store::rows(sql)?;
    let mut slugs: BTreeSet<String> = BTreeSet::new();
    let mut rows = Vec::new();
    for (index, members) in document.providers.into_iter().enumerate() {
        let at = |error| within("providers", index, error);
        let slug = members.get("slug").and_then(Value::as_str).unwrap_or_default().to_owned();
        check_slug(&slug).map_err(|why| at(Error::invalid("slug", why)))?;
        if !slugs.insert(slug.clone()) {
            return Err(at(Error::invalid("slug", format!("{slug} is in the document twice."))));
        }
        let row = providers::read_row(&slug, members).map_err(at)?;
        let (credential, credential_type) = providers::kept(store::provider(sql, &slug)?, &row).map_err(at)?;
        rows.push((StoredProvider { row, credential }, credential_type));
    }

    let stays =
        |slug: &str| document.mode == Mode::Merge && before.providers.iter().any(|stored| stored.row.slug == slug);
    let mut ids = BTreeSet::new();
    let mut put = Vec::new();
    for (index, model) in document.models.into_iter().enumerate() {
        let at = |error| within("models", index, error);
        models::check(&model, &|slug| slugs.contains(slug) || stays(slug)).map_err(at)?;
        if !ids.insert(model.id.clone()) {
            return Err(at(Error::invalid("id", format!("{} is in the document twice.", model.id))));
        }
        put.push(models::dated(model, &before.models, context.now));
    }
    for (index, id) in document.hidden.iter().enumerate() {
        if builtin::model(id).is_none() || !ids.insert(id.clone()) {
            let why = format!("{id:?} must be the id of a built-in model, once.");
            return Err(Error::invalid(format!("hidden[{index}]"), why));
        }
    }

    // Everything has been checked; from here on nothing is refused.
    let revision = store::next_revision(sql)?;
    if document.mode == Mode::Replace {
        for gone in before.providers.iter().filter(|stored| !slugs.contains(&stored.row.slug)) {
            store::delete_provider(sql, &gone.row.slug)?;
        }
        for gone in before.models.iter().map(|model| &model.id).chain(&before.hidden).filter(|id| !ids.contains(*id)) {
            store::forget_model(sql, gone)?;
        }
    }
    for (stored, credential_type) in &rows {
        store::put_provider(sql, stored, credential_type.as_deref())?;
    }
    store::publish_providers(sql, revision)?;
    for model in &put {
        store::put_model(sql, model, revision, context.now, &request.actor)?;
    }
    for id in &document.hidden {
        if !matches!(store::model(sql, id)?, Entry::Hidden) {
            store::hide_model(sql, id, revision)?;
        }
    }
    Ok(
        json!({ "data": { "revision": revision, "providers": rows.len(), "models": put.len(), "hidden": document.hidden.len() } }),
    )
}

fn within(list: &str, index: usize, error: Error) -> Error {
    let inner = error.param.clone().unwrap_or_default();
    let message = format!("{list}[{index}]: {}", error.message);
    let mut error = error.param(format!("{list}[{index}].{inner}"));
    error.message = message;
    error
}
