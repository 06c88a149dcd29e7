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
//! there. A budget here is the meter `usd/<interval>` of `workspace:<id>`, the one that `/budgets` would
//! define; shorter intervals must have smaller limits, as OpenRouter demands.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{budgets, terms};
use crate::{
    DEFAULT_WORKSPACE,
    admin::{
        body::{self, Given},
        query,
    },
    budget::{AccountKind, AccountRef, Meter, Period, Terms, Unit, book},
    error::{Error, ErrorKind, Result},
    ids::hex,
    money::NanoUsd,
    ports::{AdminRequest, Sql, SqlError, int, text},
    time::Millis,
};

const MOST_ROWS: i64 = 100;
const DEFAULT_ALERTS: [u16; 3] = [500, 800, 900];
/// An interval of a workspace's budgets: its place in the order in which limits must grow, its name.
type Interval = (u8, &'static str, Period);

const INTERVALS: [Interval; 4] = [
    (1, "daily", Period::Daily),
    (2, "weekly", Period::Weekly),
    (3, "monthly", Period::Monthly),
    (4, "lifetime", Period::Lifetime),
];

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetBody {
    limit_usd: f64,
    #[serde(default)]
    hard: Option<bool>,
    #[serde(default)]
    alerts: Option<Vec<f64>>,
    #[serde(default)]
    include_byok_in_budgets: Option<bool>,
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
        ("GET", ["workspaces", id, "budgets"]) => list_budgets(sql, id, now)?,
        ("GET", ["workspaces", id, "budgets", interval]) => show_budget(sql, id, interval, now)?,
        ("PUT", ["workspaces", id, "budgets", interval]) => put_budget(sql, id, interval, request, now)?,
        ("DELETE", ["workspaces", id, "budgets", interval]) => delete_budget(sql, id, interval, now)?,
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

// Their budgets.

fn account(id: &str) -> AccountRef {
    AccountRef::new(AccountKind::Workspace, id)
}

/// The interval that a path names.
fn interval_of(name: &str) -> Result<Interval> {
    let found = INTERVALS.into_iter().find(|(_, known, _)| *known == name);
    found.ok_or_else(|| Error::invalid("interval", "interval must be daily, weekly, monthly or lifetime."))
}

/// The workspace's budgets, shortest interval first.
fn budgets_of(sql: &dyn Sql, id: &str, now: Millis) -> Result<Vec<(Interval, Meter)>> {
    let account = account(id);
    book::inherit(sql, &account)?;
    let mut found: Vec<_> = book::of_account(sql, &account, now)?
        .into_iter()
        .filter_map(|meter| Some((interval_of(meter.terms.name.strip_prefix("usd/")?).ok()?, meter)))
        .collect();
    found.sort_by_key(|((place, ..), _)| *place);
    Ok(found)
}

fn budget_row(sql: &dyn Sql, id: &str, name: &str, meter: &Meter, now: Millis) -> Result<Value> {
    let mut row = budgets::row(sql, meter, now)?;
    if let Some(row) = row.as_object_mut() {
        let reset = (meter.terms.period != Period::Lifetime).then_some(name);
        row.extend([("workspace_id".to_owned(), json!(id)), ("reset_interval".to_owned(), json!(reset))]);
    }
    Ok(row)
}

fn list_budgets(sql: &dyn Sql, reference: &str, now: Millis) -> Result<Value> {
    let Workspace { id, include_byok_in_budgets, .. } = find(sql, reference)?;
    let found = budgets_of(sql, &id, now)?;
    let data =
        found.iter().map(|((_, name, _), meter)| budget_row(sql, &id, name, meter, now)).collect::<Result<Vec<_>>>()?;
    Ok(json!({ "data": data, "include_byok_in_budgets": include_byok_in_budgets }))
}

fn show_budget(sql: &dyn Sql, reference: &str, interval: &str, now: Millis) -> Result<Value> {
    let (_, name, _) = interval_of(interval)?;
    let Workspace { id, include_byok_in_budgets, .. } = find(sql, reference)?;
    let found = budgets_of(sql, &id, now)?.into_iter().find(|((_, known, _), _)| *known == name);
    let (_, meter) = found.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("This workspace has no {name} budget.")).param("interval")
    })?;
    let data = budget_row(sql, &id, name, &meter, now)?;
    Ok(json!({ "data": data, "include_byok_in_budgets": include_byok_in_budgets }))
}

fn put_budget(sql: &dyn Sql, reference: &str, interval: &str, request: &AdminRequest, now: Millis) -> Result<Value> {
    let body: BudgetBody = body::parse(request.body.as_ref())?;
    let (wanted, name, period) = interval_of(interval)?;
    let mut workspace = find(sql, reference)?;
    let limit = terms::usd("limit_usd", body.limit_usd)?;
    let alerts = body.alerts.map_or(Ok(DEFAULT_ALERTS.to_vec()), |alerts| terms::alerts(&alerts))?;
    for ((place, other_name, _), other) in budgets_of(sql, &workspace.id, now)? {
        let other = other.terms.limit;
        let (more, wrong) = if place < wanted { ("more", other >= limit) } else { ("less", other <= limit) };
        if place != wanted && wrong {
            let other = NanoUsd(other);
            let message = format!(
                "limit_usd: a {name} budget must be {more} than the {other_name} one, which is ${other} (daily < weekly < monthly < lifetime)."
            );
            return Err(Error::invalid("limit_usd", message));
        }
    }
    let account = account(&workspace.id);
    let terms = Terms::budget(account.clone(), format!("usd/{name}"), Unit::Usd, period, limit);
    budgets::define(sql, &Terms { hard: body.hard.unwrap_or(true), alerts, ..terms }, now)?;
    budgets::changed(sql, &account, now)?;
    if let Some(include) = body.include_byok_in_budgets {
        workspace.include_byok_in_budgets = include;
        save(sql, &workspace)?;
    }
    show_budget(sql, &workspace.id, interval, now)
}

fn delete_budget(sql: &dyn Sql, reference: &str, interval: &str, now: Millis) -> Result<Value> {
    let (_, name, _) = interval_of(interval)?;
    let account = account(&find(sql, reference)?.id);
    if book::remove(sql, &account, &format!("usd/{name}"))? {
        budgets::changed(sql, &account, now)?;
    }
    Ok(json!({ "deleted": true }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Account, of, some};
    use super::*;

    #[test]
    fn workspaces_are_made_listed_changed_and_deleted() {
        let mut account = Account::new();
        let list = account.ask("GET", "/workspaces", Value::Null).unwrap();
        assert_eq!((&list["total_count"], &list["data"][0]["id"]), (&json!(1), &json!("default")));
        let (status, made) =
            account.status("POST", "/workspaces", json!({ "name": "Team  A!", "description": "d" })).unwrap();
        let made = &made["data"];
        assert_eq!(
            (status, some(made, &["slug", "name", "description", "updated_at"])),
            (201, json!({ "slug": "team-a", "name": "Team  A!", "description": "d", "updated_at": null }))
        );
        let id = made["id"].as_str().unwrap().to_owned();
        assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
        for reference in [id.as_str(), "team-a"] {
            assert_eq!(account.get(&format!("/workspaces/{reference}")), *made);
        }
        let again = account.data("POST", "/workspaces", json!({ "name": "team a", "id": "t2" }));
        assert_eq!((&again["id"], &again["slug"]), (&json!("t2"), &json!("t2")));
        let third = account.data("POST", "/workspaces", json!({ "name": "team a" }));
        assert_eq!(third["slug"], "team-a-2");
        let changed =
            account.data("PATCH", "/workspaces/team-a", json!({ "slug": "a", "name": "A", "description": null }));
        assert_eq!(
            some(&changed, &["id", "slug", "name", "description", "updated_at"]),
            json!({ "id": id, "slug": "a", "name": "A", "description": null, "updated_at": "2026-11-20T12:00:00.000Z" })
        );
        let page = account.ask("GET", "/workspaces?offset=1&limit=2", Value::Null).unwrap();
        assert_eq!((&page["total_count"], &page["data"][0], &page["data"][1]), (&json!(4), &changed, &again));
        assert_eq!(account.ask("DELETE", "/workspaces/a", Value::Null).unwrap(), json!({ "deleted": true }));
        for method in ["GET", "PATCH", "DELETE"] {
            assert_eq!(account.refused(method, "/workspaces/a", json!({})), (404, Some("id".into())), "{method}");
        }
        assert_eq!(account.feed(0).last(), Some(&format!("workspace:{id}")));
    }

    #[test]
    fn every_wrong_member_is_named_and_names_are_taken_once() {
        let mut account = Account::new();
        account.ask("POST", "/workspaces", json!({ "name": "A", "id": "one", "slug": "first" })).unwrap();
        for (body, status, param) in [
            (json!({ "name": "" }), 400, "name"),
            (json!({ "name": "n", "slug": "A b" }), 400, "slug"),
            (json!({ "name": "n", "slug": "-a" }), 400, "slug"),
            (json!({ "name": "n", "id": "a b" }), 400, "id"),
            (json!({ "name": "n", "id": "one" }), 409, "id"),
            (json!({ "name": "n", "id": "first" }), 409, "id"),
            (json!({ "name": "n", "slug": "first" }), 409, "slug"),
            (json!({ "name": "n", "slug": "one" }), 409, "slug"),
            (json!({ "name": "n", "slug": "default" }), 409, "slug"),
            (json!({ "name": "n", "default_text_model": "a/b" }), 400, "default_text_model"),
            (
                json!({ "name": "n", "is_observability_io_logging_enabled": true }),
                400,
                "is_observability_io_logging_enabled",
            ),
            (json!({ "name": "n", "nonsense": 1 }), 400, "nonsense"),
            (json!({}), 400, "name"),
        ] {
            assert_eq!(account.refused("POST", "/workspaces", body.clone()), (status, Some(param.into())), "{body}");
        }
        assert_eq!(account.refused("PATCH", "/workspaces/one", json!({ "id": "two" })), (400, Some("id".into())));
        assert_eq!(
            account.refused("PATCH", "/workspaces/one", json!({ "slug": "default" })),
            (409, Some("slug".into()))
        );
        account.ask("PATCH", "/workspaces/one", json!({ "slug": "first" })).unwrap();
        assert_eq!(account.ask("GET", "/workspaces", Value::Null).unwrap()["total_count"], 2);
    }

    #[test]
    fn the_default_and_one_with_keys_stay() {
        let mut account = Account::new();
        account.ask("POST", "/workspaces", json!({ "name": "B", "id": "b" })).unwrap();
        account.ask("PUT", "/workspaces/b/budgets/daily", json!({ "limit_usd": 1 })).unwrap();
        let key = account.create(json!({ "name": "k", "workspace_id": "b" }));
        assert_eq!(account.refused("DELETE", "/workspaces/default", Value::Null).0, 409);
        assert_eq!(account.refused("DELETE", "/workspaces/b", Value::Null).0, 409);
        account.ask("PATCH", &format!("/keys/{key}"), json!({ "workspace_id": "default" })).unwrap();
        account.ask("DELETE", "/workspaces/b", Value::Null).unwrap();
        assert_eq!(account.get("/budgets"), json!([]), "its budgets go with it");
        assert_eq!(
            account.refused("PATCH", &format!("/keys/{key}"), json!({ "workspace_id": "b" })),
            (400, Some("workspace_id".into()))
        );
    }

    #[test]
    fn a_workspace_has_one_budget_an_interval() {
        let mut account = Account::new();
        let path = "/workspaces/default/budgets";
        let made = account.data("PUT", &format!("{path}/daily"), json!({ "limit_usd": 1 }));
        assert_eq!(
            some(
                &made,
                &["limit_usd", "reset_interval", "workspace_id", "hard", "alerts", "spent", "remaining", "resets_at"]
            ),
            json!({
                "limit_usd": 1.0, "reset_interval": "daily", "workspace_id": "default", "hard": true, "alerts": [0.5, 0.8, 0.9],
                "spent": 0.0, "remaining": 1.0, "resets_at": "2026-11-21T00:00:00.000Z",
            })
        );
        account.spend("s", "workspace:default", 400_000_000, 250_000_000);
        account.now = account.now.plus(1000);
        let body = json!({ "limit_usd": 2, "hard": false, "alerts": [1.0], "include_byok_in_budgets": true });
        let changed = account.ask("PUT", &format!("{path}/daily"), body).unwrap();
        assert_eq!(
            some(
                &changed["data"],
                &["id", "limit_usd", "hard", "alerts", "spent", "held", "remaining", "created_at", "updated_at"]
            ),
            json!({
                "id": made["id"], "limit_usd": 2.0, "hard": false, "alerts": [1.0], "spent": 0.25, "held": 0.15, "remaining": 1.75,
                "created_at": made["created_at"], "updated_at": account.now.iso(),
            })
        );
        assert_eq!(changed["include_byok_in_budgets"], true);
        let lifetime = account.data("PUT", &format!("{path}/lifetime"), json!({ "limit_usd": 9 }));
        assert_eq!((&lifetime["reset_interval"], &lifetime["resets_at"]), (&Value::Null, &Value::Null));
        // Any other budget of the workspace is not in this list.
        account
            .ask(
                "POST",
                "/budgets",
                json!({ "account": of("workspace", "default"), "limit_usd": 5, "interval": "90s" }),
            )
            .unwrap();
        let list = account.ask("GET", path, Value::Null).unwrap();
        assert_eq!(list["data"], json!([changed["data"], lifetime]));
        for _ in 0..2 {
            let gone = account.ask("DELETE", &format!("{path}/daily"), Value::Null).unwrap();
            assert_eq!(gone, json!({ "deleted": true }));
        }
        assert_eq!(account.refused("GET", &format!("{path}/daily"), Value::Null), (404, Some("interval".into())));
    }

    #[test]
    fn longer_intervals_must_have_larger_limits() {
        let mut account = Account::new();
        let mut put = |interval: &str, usd: f64| {
            let path = format!("/workspaces/default/budgets/{interval}");
            account
                .ask("PUT", &path, json!({ "limit_usd": usd }))
                .map_err(|error| (error.param.unwrap(), error.message))
        };
        put("weekly", 5.0).unwrap();
        for (interval, usd, word) in [("daily", 5.0, "less"), ("monthly", 5.0, "more"), ("lifetime", 4.0, "more")] {
            let (param, message) = put(interval, usd).unwrap_err();
            assert_eq!(param, "limit_usd");
            assert!(message.contains(&format!("must be {word} than the weekly one")), "{message}");
        }
        put("daily", 4.99).unwrap();
        put("lifetime", 5.01).unwrap();
        put("weekly", 5.0).unwrap();
        assert!(put("weekly", 6.0).is_err() && put("monthly", 5.005).is_ok());
        for (body, param) in [
            (json!({}), "limit_usd"),
            (json!({ "limit_usd": "1" }), "limit_usd"),
            (json!({ "limit_usd": -1 }), "limit_usd"),
            (json!({ "limit_usd": 1, "alerts": [0] }), "alerts[0]"),
            (json!({ "limit_usd": 1, "soft": true }), "soft"),
        ] {
            assert_eq!(
                account.refused("PUT", "/workspaces/default/budgets/daily", body.clone()),
                (400, Some(param.into())),
                "{body}"
            );
        }
        assert_eq!(
            account.refused("PUT", "/workspaces/default/budgets/hourly", json!({ "limit_usd": 1 })),
            (400, Some("interval".into()))
        );
        assert_eq!(account.refused("GET", "/workspaces/none/budgets", Value::Null), (404, Some("id".into())));
    }
}
