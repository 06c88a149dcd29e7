//! Model rows of the operator's.

use serde_json::{Value, json};

use super::{
    Context,
    store::{self, Entry, Rows},
};
use crate::{
    admin::{body, query},
    catalog::{Model, builtin, check_slug},
    error::{Error, ErrorKind, Result},
    ports::{AdminRequest, Sql},
    routing::slug::Slug,
    time::Millis,
};

pub(super) fn list(sql: &dyn Sql, request: &AdminRequest) -> Result<Value> {
    let (offset, limit) = query::page(&request.query, 100, 1000)?;
    let source = query::text(&request.query, "source");
    if source.is_some_and(|source| !["operator", "built_in"].contains(&source)) {
        return Err(Error::invalid("source", "source must be \"operator\" or \"built_in\"."));
    }
    let Rows { models, hidden, .. } = store::rows(sql)?;
    let mut all: Vec<(String, Value)> = Vec::new();
    if source != Some("built_in") {
        all.extend(
            models
                .iter()
                .map(|model| (model.id.clone(), shape(model, builtin::model(&model.id).is_some(), true, false))),
        );
    }
    if source != Some("operator") {
        let own = |id: &String| models.iter().any(|model| &model.id == id);
        all.extend(builtin::models().filter(|model| !own(&model.id)).map(|model| {
            let row = shape(&model, true, false, hidden.contains(&model.id));
            (model.id, row)
        }));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let total = all.len();
    let page = all
        .into_iter()
        .map(|(_, row)| row)
        .skip(usize::try_from(offset).unwrap_or(usize::MAX))
        .take(usize::try_from(limit).unwrap_or(0));
    Ok(json!({ "data": page.collect::<Vec<_>>(), "total_count": total }))
}

pub(super) fn get(sql: &dyn Sql, id: &str) -> Result<Value> {
    let shipped = builtin::model(id);
    let row = match (store::model(sql, id)?, &shipped) {
        (Entry::Row(model), _) => shape(&model, shipped.is_some(), true, false),
        (Entry::Hidden, Some(model)) => shape(model, true, false, true),
        (Entry::None, Some(model)) => shape(model, true, false, false),
        (_, None) => return Err(not_found(id)),
    };
    Ok(json!({ "data": row }))
}

pub(super) fn put(sql: &dyn Sql, id: &str, request: &AdminRequest, context: &Context<'_>) -> Result<Value> {
    let model: Model = body::parse(request.body.as_ref())?;
    if !model.id.is_empty() && model.id != id {
        return Err(Error::invalid("id", format!("id must be {id:?}, as in the path.")));
    }
    let model = Model { id: id.to_owned(), ..model };
    let operators = store::rows(sql)?;
    check(&model, &|slug| operators.providers.iter().any(|stored| stored.row.slug == slug))?;
    let model = dated(model, &operators.models, context.now);
    let revision = store::next_revision(sql)?;
    store::put_model(sql, &model, revision, context.now, &request.actor)?;
    get(sql, id)
}

/// Takes a model out of the catalog. With `?restore=true` it takes away only what the operator said
/// of it, so that a built-in model shows as shipped.
pub(super) fn delete(sql: &dyn Sql, id: &str, request: &AdminRequest) -> Result<Value> {
    let built_in = builtin::model(id).is_some();
    let restore = query::flag(&request.query, "restore")?;
    match (store::model(sql, id)?, built_in && !restore) {
        (Entry::Hidden, true) | (Entry::None, false) => return Err(not_found(id)),
        (_, true) => store::hide_model(sql, id, store::next_revision(sql)?)?,
        (_, false) => {
            store::next_revision(sql)?;
            store::forget_model(sql, id)?;
        }
    }
    Ok(json!({ "deleted": true }))
}

pub(super) fn prices(sql: &dyn Sql, id: &str) -> Result<Value> {
    let versions = store::price_versions(sql, id)?;
    if versions.is_empty() && builtin::model(id).is_none() {
        return Err(not_found(id));
    }
    Ok(json!({ "data": versions }))
}

/// Checks a row, and that its providers exist; `stored` says whether the operator has one of that slug.
pub(super) fn check(model: &Model, stored: &dyn Fn(&str) -> bool) -> Result<()> {
    check_id(&model.id).map_err(|why| Error::invalid("id", why))?;
    model.check()?;
    let shipped = builtin::providers();
    for (index, endpoint) in model.endpoints.iter().enumerate() {
        let slug = endpoint.provider.as_str();
        if !stored(slug) && !shipped.iter().any(|row| row.slug == slug) {
            let why = format!("there is no provider {slug:?}; create it first (PUT /v1/admin/providers/{slug}).");
            return Err(Error::invalid(format!("endpoints[{index}].provider"), why));
        }
    }
    Ok(())
}

/// A new model's `created` is the moment it was put; a changed one keeps its own.
pub(super) fn dated(model: Model, before: &[Model], now: Millis) -> Model {
    let old = before.iter().find(|old| old.id == model.id).and_then(|old| old.created);
    let shipped = || builtin::model(&model.id).and_then(|shipped| shipped.created);
    let created = model.created.or(old).or_else(shipped).or(Some(now.seconds()));
    Model { created, ..model }
}

fn check_id(id: &str) -> Result<(), String> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._:".contains(&b);
    let (author, name) = id.split_once('/').ok_or_else(|| format!("{id:?} must be \"author/name\"."))?;
    check_slug(author)?;
    if name.is_empty()
        || name.len() > 128
        || name.starts_with(['.', '-', ':'])
        || name.ends_with(':')
        || !name.bytes().all(good)
    {
        return Err(format!(
            "{name:?} must be 1 to 128 of a-z, 0-9, '-', '.', '_' and ':', beginning with a letter or digit."
        ));
    }
    match Slug::parse(id) {
        Ok(slug) if slug.sort.is_none() && slug.id == id => Ok(()),
        _ => Err(format!("{id:?} ends in a routing variant, which a model's own id must not.")),
    }
}

fn not_found(id: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("There is no model {id:?} in the catalog."))
}

fn shape(model: &Model, built_in: bool, overridden: bool, hidden: bool) -> Value {
    let mut row = json!(model);
    if let Some(members) = row.as_object_mut() {
        members.insert("built_in".to_owned(), built_in.into());
        members.insert("overridden".to_owned(), overridden.into());
        members.insert("hidden".to_owned(), hidden.into());
    }
    row
}
