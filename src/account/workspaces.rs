//! `/workspaces`: teams, which keys belong to, and their budgets, in OpenRouter's shape.
//!
//! | command | answers |
//! |---|---|
//! | `POST /workspaces` | 201 the row, or 409 when its id or slug is taken |
//! | `GET /workspaces` | 200 rows, oldest first |
//! | `GET`, `PATCH`, `DELETE /workspaces/{id or slug}` | 200, or 404; 409 to delete the default or one that has keys |
//! | `GET /workspaces/{id or slug}/budgets` | 200 its budgets in USD, shortest interval first |
//! | `GET`, `PUT`, `DELETE /workspaces/{id or slug}/budgets/{interval}` | 200; 404 where there is none to show |
//!
//! Table `workspaces`. An id never changes; no id is another's slug. The workspace `default` is always
//! there.

mod intervals;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::budgets;
use crate::{
    DEFAULT_WORKSPACE,
    admin::{
        body::{self, Given},
        query,
    },
    budget::{AccountKind, AccountRef},
    error::{Error, ErrorKind, Result},
    ids::hex,
    ports::{AdminRequest, Sql, SqlError, int, text},
    time::Millis,
};

const MOST_ROWS: i64 = 100;
/// Creates the table.
pub(super) fn migrate(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS workspaces (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, slug TEXT NOT NULL UNIQUE, doc TEXT NOT NULL)",
        &[],
    )?;
    Ok(())
}

/// A workspace as stored.
#[derive(Serialize, Deserialize)]
struct Workspace {
    id: String,
    slug: String,
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    include_byok_in_budgets: bool,
    created_at: Millis,
    #[serde(default)]
    updated_at: Option<Millis>,
}

/// What `POST` and `PATCH` take. Members that stand for what the gateway does not have yet may say so.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WorkspaceBody {
    id: Option<String>,
    slug: Option<String>,
    name: Option<String>,
    description: Given<String>,
    include_byok_in_budgets: Option<bool>,
    default_text_model: Option<Value>,
    default_image_model: Option<Value>,
    default_provider_sort: Option<Value>,
    disabled_server_tools: Option<Vec<Value>>,
    io_logging_api_key_ids: Option<Value>,
    io_logging_sampling_rate: Option<f64>,
    is_observability_io_logging_enabled: Option<bool>,
    is_observability_broadcast_enabled: Option<bool>,
    is_data_discount_logging_enabled: Option<bool>,
}

/// Answers a request below `/workspaces`.
pub(super) fn handle(
    sql: &dyn Sql,
    request: &AdminRequest,
    path: &[&str],
    now: Millis,
    random: &[u8; 48],
) -> Result<(u16, Value)> {
    if load(sql, DEFAULT_WORKSPACE)?.is_none() {
        let (id, slug) = (DEFAULT_WORKSPACE.to_owned(), DEFAULT_WORKSPACE.to_owned());
        save(sql, &Workspace::new(id, slug, "Default".to_owned(), now))?;
    }
    let body = || body::parse::<WorkspaceBody>(request.body.as_ref());
    let answer = match (request.method.as_str(), path) {
        ("POST", ["workspaces"]) => return Ok((201, create(sql, body()?, now, random)?)),
        ("GET", ["workspaces"]) => list(sql, request)?,
        ("GET", ["workspaces", id]) => json!({ "data": find(sql, id)?.row() }),
        ("PATCH", ["workspaces", id]) => update(sql, id, body()?, now)?,
        ("DELETE", ["workspaces", id]) => delete(sql, id, now)?,
        ("GET", ["workspaces", id, "budgets"]) => intervals::list(sql, id, now)?,
        ("GET", ["workspaces", id, "budgets", interval]) => intervals::show(sql, id, interval, now)?,
        ("PUT", ["workspaces", id, "budgets", interval]) => intervals::put(sql, id, interval, request, now)?,
        ("DELETE", ["workspaces", id, "budgets", interval]) => intervals::delete(sql, id, interval, now)?,
        _ => return Err(Error::internal(format!("workspaces do not know {} {}", request.method, request.path))),
    };
    Ok((200, answer))
}

/// The id of the workspace with this id or slug.
pub(super) fn id_of(sql: &dyn Sql, reference: &str) -> Result<Option<String>> {
    let known = load(sql, reference)?.map(|workspace| workspace.id);
    Ok(known.or_else(|| (reference == DEFAULT_WORKSPACE).then(|| reference.to_owned())))
}

// Workspaces.

fn create(sql: &dyn Sql, body: WorkspaceBody, now: Millis, random: &[u8; 48]) -> Result<Value> {
    let Some(name) = body.name.clone() else {
        return Err(Error::invalid("name", "name: missing field `name`."));
    };
    let slug = match &body.slug {
        Some(slug) => slug.clone(),
        None => free_slug(sql, body.id.as_deref().unwrap_or(&name))?,
    };
    let id = body.id.clone().unwrap_or_else(|| uuid(random));
    let mut workspace = Workspace::new(id, slug, name, now);
    body.check()?;
    for (field, name) in [("id", &workspace.id), ("slug", &workspace.slug)] {
        if load(sql, name)?.is_some() {
            return Err(taken(field));
        }
    }
    body.apply(&mut workspace);
    save(sql, &workspace)?;
    budgets::changed(sql, &account(&workspace.id), now)?;
    Ok(json!({ "data": workspace.row() }))
}

fn list(sql: &dyn Sql, request: &AdminRequest) -> Result<Value> {
    let (offset, limit) = query::page(&request.query, MOST_ROWS, MOST_ROWS)?;
    let total = sql.run("SELECT count(*) AS n FROM workspaces", &[])?;
    let page = sql.run("SELECT doc FROM workspaces ORDER BY seq LIMIT ?1 OFFSET ?2", &[limit.into(), offset.into()])?;
    let data = page.iter().map(|row| Ok(read(text(row, "doc"))?.row())).collect::<Result<Vec<_>>>()?;
    Ok(json!({ "data": data, "total_count": total.first().map_or(0, |row| int(row, "n")) }))
}

fn update(sql: &dyn Sql, id: &str, body: WorkspaceBody, now: Millis) -> Result<Value> {
    if body.id.is_some() {
        return Err(Error::invalid("id", "id is fixed when a workspace is created."));
    }
    body.check()?;
    let mut workspace = find(sql, id)?;
    if let Some(slug) = &body.slug
        && load(sql, slug)?.is_some_and(|other| other.id != workspace.id)
    {
        return Err(taken("slug"));
    }
    body.apply(&mut workspace);
    workspace.updated_at = Some(now);
    save(sql, &workspace)?;
    budgets::changed(sql, &account(&workspace.id), now)?;
    Ok(json!({ "data": workspace.row() }))
}

fn delete(sql: &dyn Sql, id: &str, now: Millis) -> Result<Value> {
    let workspace = find(sql, id)?;
    let refuse = |why: &str| Err(Error::new(ErrorKind::Conflict, why).param("id"));
    if workspace.id == DEFAULT_WORKSPACE {
        return refuse("The default workspace cannot be deleted.");
    }
    let keys = sql.run(
        "SELECT count(*) AS n FROM keys WHERE doc ->> '$.record.workspace_id' = ?1",
        &[workspace.id.as_str().into()],
    )?;
    if keys.first().is_some_and(|row| int(row, "n") > 0) {
        return refuse("This workspace has keys: delete them or move them to another one (PATCH /keys/{hash}) first.");
    }
    sql.run("DELETE FROM workspaces WHERE id = ?1", &[workspace.id.as_str().into()])?;
    let account = account(&workspace.id);
    budgets::remove_all(sql, &account, now)?;
    budgets::changed(sql, &account, now)?;
    Ok(json!({ "deleted": true }))
}

impl WorkspaceBody {
    fn check(&self) -> Result<()> {
        if let Some(name) = &self.name
            && (name.trim().is_empty() || name.chars().count() > 200)
        {
            return Err(Error::invalid("name", "name must have 1 to 200 characters."));
        }
        if let Given::Value(text) = &self.description
            && text.chars().count() > 2_000
        {
            return Err(Error::invalid("description", "description must have at most 2000 characters."));
        }
        if let Some(id) = &self.id
            && (id.is_empty() || id.len() > 64 || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)))
        {
            return Err(Error::invalid("id", "id must be 1 to 64 of A-Z, a-z, 0-9, '-', '_' and '.'."));
        }
        if let Some(slug) = &self.slug
            && (slug.len() > 64 || slugified(slug) != *slug || slug.is_empty())
        {
            let why = "slug must be words of a-z and 0-9 with single hyphens between them, at most 64 characters.";
            return Err(Error::invalid("slug", why));
        }
        let here = Option::is_some;
        for (field, given) in [
            ("default_text_model", here(&self.default_text_model)),
            ("default_image_model", here(&self.default_image_model)),
            ("default_provider_sort", here(&self.default_provider_sort)),
            ("disabled_server_tools", self.disabled_server_tools.as_ref().is_some_and(|tools| !tools.is_empty())),
            ("io_logging_api_key_ids", here(&self.io_logging_api_key_ids)),
            ("io_logging_sampling_rate", self.io_logging_sampling_rate.is_some_and(|rate| rate < 1.0)),
            ("is_observability_io_logging_enabled", self.is_observability_io_logging_enabled == Some(true)),
            ("is_observability_broadcast_enabled", self.is_observability_broadcast_enabled == Some(true)),
            ("is_data_discount_logging_enabled", self.is_data_discount_logging_enabled == Some(true)),
        ] {
            if given {
                return Err(Error::invalid(field, format!("{field}: this gateway has no such setting; leave it out.")));
            }
        }
        Ok(())
    }

    fn apply(self, workspace: &mut Workspace) {
        workspace.name = self.name.unwrap_or_else(|| workspace.name.clone());
        workspace.slug = self.slug.unwrap_or_else(|| workspace.slug.clone());
        workspace.description = self.description.over(workspace.description.take());
        workspace.include_byok_in_budgets = self.include_byok_in_budgets.unwrap_or(workspace.include_byok_in_budgets);
    }
}

impl Workspace {
    fn new(id: String, slug: String, name: String, now: Millis) -> Self {
        Self { id, slug, name, description: None, include_byok_in_budgets: false, created_at: now, updated_at: None }
    }

    fn row(&self) -> Value {
        json!({
            "id": self.id,
            "slug": self.slug,
            "name": self.name,
            "description": self.description,
            "created_at": self.created_at.iso(),
            "created_by": null,
            "updated_at": self.updated_at.map(Millis::iso),
            "include_byok_in_budgets": self.include_byok_in_budgets,
            "default_guardrail_id": format!("default:{}", self.id),
            "default_text_model": null,
            "default_image_model": null,
            "default_provider_sort": null,
            "disabled_server_tools": null,
            "io_logging_api_key_ids": null,
            "io_logging_sampling_rate": 1,
            "is_observability_io_logging_enabled": false,
            "is_observability_broadcast_enabled": false,
            "is_data_discount_logging_enabled": false,
        })
    }
}

fn taken(field: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("{field}: another workspace has this id or slug.")).param(field)
}

/// A slug from a name, with a number where others have it already.
fn free_slug(sql: &dyn Sql, name: &str) -> Result<String> {
    let stem: String = slugified(name).chars().take(56).collect();
    let stem = if stem.is_empty() { "workspace" } else { stem.trim_end_matches('-') };
    let mut slug = stem.to_owned();
    let mut number = 1;
    while load(sql, &slug)?.is_some() {
        number += 1;
        slug = format!("{stem}-{number}");
    }
    Ok(slug)
}

fn slugified(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

/// A random UUID (version 4).
fn uuid(random: &[u8; 48]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&random[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    [&bytes[..4], &bytes[4..6], &bytes[6..8], &bytes[8..10], &bytes[10..]].map(hex).join("-")
}

fn load(sql: &dyn Sql, reference: &str) -> Result<Option<Workspace>> {
    let rows = sql.run("SELECT doc FROM workspaces WHERE id = ?1 OR slug = ?1", &[reference.into()])?;
    rows.first().map(|row| read(text(row, "doc"))).transpose()
}

fn read(doc: &str) -> Result<Workspace> {
    serde_json::from_str(doc).map_err(|error| Error::internal(format!("a stored workspace: {error}")))
}

fn find(sql: &dyn Sql, reference: &str) -> Result<Workspace> {
    load(sql, reference)?
        .ok_or_else(|| Error::new(ErrorKind::NotFound, "There is no workspace with this id or slug.").param("id"))
}

fn save(sql: &dyn Sql, workspace: &Workspace) -> Result<()> {
    let doc = serde_json::to_string(workspace).map_err(|error| Error::internal(error.to_string()))?;
    sql.run(
        "INSERT INTO workspaces (id, slug, doc) VALUES (?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, doc = excluded.doc",
        &[workspace.id.as_str().into(), workspace.slug.as_str().into(), doc.into()],
    )?;
    Ok(())
}

fn account(id: &str) -> AccountRef {
    AccountRef::new(AccountKind::Workspace, id)
}

#[cfg(test)]
mod tests;
