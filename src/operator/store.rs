//! Tables of the `Catalog` object, and what a write to them entails.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    account::projection,
    auth::KeyHash,
    catalog::{
        Model, Provider, StoredProvider,
        snapshot::{ModelEntry, PROVIDERS_KEY, ProvidersEntry, model_key},
    },
    error::{Error, Result},
    ports::{KvWrite, Row, Sql, SqlError, int, text},
    time::Millis,
};

/// A provider row of the operator's, without its credential.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredRow {
    /// The row.
    pub row: Provider,
    /// Type of the stored credential, if there is one.
    pub credential_type: Option<String>,
}

/// All of the operator's rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// The catalog's revision.
    pub revision: u64,
    /// Providers, by slug.
    pub providers: Vec<StoredRow>,
    /// Models, by id.
    pub models: Vec<Model>,
    /// Built-in models that are hidden.
    pub hidden: Vec<String>,
}

/// What the operator's table says of a model.
pub(super) enum Entry {
    /// Nothing.
    None,
    /// Hidden.
    Hidden,
    /// A row.
    Row(Box<Model>),
}

/// Creates the tables.
pub fn migrate(sql: &dyn Sql) -> Result<(), SqlError> {
    for statement in [
        "CREATE TABLE IF NOT EXISTS providers (slug TEXT PRIMARY KEY, doc TEXT NOT NULL, credential_type TEXT) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS models (id TEXT PRIMARY KEY, doc TEXT) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS price_versions (model TEXT NOT NULL, revision INTEGER NOT NULL, at INTEGER NOT NULL,
            actor TEXT NOT NULL, endpoints TEXT NOT NULL, PRIMARY KEY (model, revision)) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS catalog_revision (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL)",
        "INSERT OR IGNORE INTO catalog_revision VALUES (1, 0)",
    ] {
        sql.run(statement, &[])?;
    }
    projection::migrate(sql)
}

/// Everything the operator has stored.
pub(super) fn rows(sql: &dyn Sql) -> Result<Rows> {
    let mut all = Rows { revision: revision(sql)?, ..Rows::default() };
    for row in sql.run("SELECT doc, credential_type FROM providers ORDER BY slug", &[])? {
        let credential_type = row.get("credential_type").and_then(Value::as_str).map(str::to_owned);
        all.providers.push(StoredRow { row: read::<StoredProvider>(&row)?.row, credential_type });
    }
    for row in sql.run("SELECT id, doc FROM models ORDER BY id", &[])? {
        match row.get("doc") {
            Some(Value::String(_)) => all.models.push(read(&row)?),
            _ => all.hidden.push(text(&row, "id").to_owned()),
        }
    }
    Ok(all)
}

/// A provider with its sealed credential.
pub(super) fn provider(sql: &dyn Sql, slug: &str) -> Result<Option<(StoredProvider, Option<String>)>> {
    let rows = sql.run("SELECT doc, credential_type FROM providers WHERE slug = ?1", &[slug.into()])?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some((read(row)?, row.get("credential_type").and_then(Value::as_str).map(str::to_owned))))
}

/// A model.
pub(super) fn model(sql: &dyn Sql, id: &str) -> Result<Entry> {
    let rows = sql.run("SELECT doc FROM models WHERE id = ?1", &[id.into()])?;
    match rows.first().map(|row| (row, row.get("doc"))) {
        None => Ok(Entry::None),
        Some((row, Some(Value::String(_)))) => Ok(Entry::Row(Box::new(read(row)?))),
        Some(_) => Ok(Entry::Hidden),
    }
}

/// The revision of the next write.
pub(super) fn next_revision(sql: &dyn Sql) -> Result<u64> {
    sql.run("UPDATE catalog_revision SET revision = revision + 1", &[])?;
    Ok(revision(sql)?)
}

/// Stores a provider. [`publish_providers`] is to follow.
pub(super) fn put_provider(sql: &dyn Sql, stored: &StoredProvider, credential_type: Option<&str>) -> Result<()> {
    sql.run(
        "INSERT INTO providers VALUES (?1, ?2, ?3)
         ON CONFLICT (slug) DO UPDATE SET doc = excluded.doc, credential_type = excluded.credential_type",
        &[stored.row.slug.as_str().into(), write(stored)?.into(), credential_type.into()],
    )?;
    Ok(())
}

/// Removes a provider. [`publish_providers`] is to follow.
pub(super) fn delete_provider(sql: &dyn Sql, slug: &str) -> Result<()> {
    sql.run("DELETE FROM providers WHERE slug = ?1", &[slug.into()])?;
    Ok(())
}

/// Enqueues the copy of all providers.
pub(super) fn publish_providers(sql: &dyn Sql, revision: u64) -> Result<()> {
    let rows = sql.run("SELECT doc FROM providers ORDER BY slug", &[])?;
    let entry = ProvidersEntry { v: 1, revision, providers: rows.iter().map(read).collect::<Result<_>>()? };
    Ok(projection::enqueue(sql, KvWrite { key: PROVIDERS_KEY.to_owned(), value: Some(write(&entry)?) })?)
}

/// Stores a model, with its prices' provenance and its copy.
pub(super) fn put_model(sql: &dyn Sql, model: &Model, revision: u64, now: Millis, actor: &KeyHash) -> Result<()> {
    let prices: Vec<Value> = model
        .endpoints
        .iter()
        .map(|e| json!({ "provider": e.provider, "tag": e.tag(), "pricing": e.pricing }))
        .collect();
    set_model(sql, &model.id, Some(model), revision)?;
    sql.run(
        "INSERT INTO price_versions VALUES (?1, ?2, ?3, ?4, ?5)",
        &[
            model.id.as_str().into(),
            i64::try_from(revision).unwrap_or(i64::MAX).into(),
            now.0.into(),
            actor.as_str().into(),
            write(&prices)?.into(),
        ],
    )?;
    Ok(())
}

/// Hides a built-in model.
pub(super) fn hide_model(sql: &dyn Sql, id: &str, revision: u64) -> Result<()> {
    set_model(sql, id, None, revision)
}

fn set_model(sql: &dyn Sql, id: &str, model: Option<&Model>, revision: u64) -> Result<()> {
    let doc = model.map(write).transpose()?;
    sql.run(
        "INSERT INTO models VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET doc = excluded.doc",
        &[id.into(), doc.into()],
    )?;
    let entry = ModelEntry { v: 1, revision, model: model.cloned() };
    Ok(projection::enqueue(sql, KvWrite { key: model_key(id), value: Some(write(&entry)?) })?)
}

/// Removes what the operator said of a model.
pub(super) fn forget_model(sql: &dyn Sql, id: &str) -> Result<()> {
    sql.run("DELETE FROM models WHERE id = ?1", &[id.into()])?;
    Ok(projection::enqueue(sql, KvWrite { key: model_key(id), value: None })?)
}

/// A model's price versions, newest first.
pub(super) fn price_versions(sql: &dyn Sql, id: &str) -> Result<Vec<Value>> {
    let rows =
        sql.run("SELECT * FROM price_versions WHERE model = ?1 ORDER BY revision DESC LIMIT 1000", &[id.into()])?;
    rows.iter()
        .map(|row| {
            let endpoints: Value = serde_json::from_str(text(row, "endpoints")).map_err(|error| broken(&error))?;
            Ok(json!({
                "model": id, "revision": int(row, "revision"), "at": Millis(int(row, "at")).iso(),
                "actor": text(row, "actor"), "endpoints": endpoints,
            }))
        })
        .collect()
}

fn revision(sql: &dyn Sql) -> Result<u64, SqlError> {
    Ok(sql
        .run("SELECT revision FROM catalog_revision", &[])?
        .first()
        .map_or(0, |row| int(row, "revision").unsigned_abs()))
}

fn read<T: serde::de::DeserializeOwned>(row: &Row) -> Result<T> {
    serde_json::from_str(text(row, "doc")).map_err(|error| broken(&error))
}

fn write<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| broken(&error))
}

fn broken(error: &serde_json::Error) -> Error {
    Error::internal(format!("a row of the catalog: {error}"))
}
