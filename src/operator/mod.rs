//! The operator's catalog: what its `Catalog` object (one, named `operator`) keeps and answers.
//!
//! Providers and models that the operator adds or changes win over the built-in ones; a built-in model
//! can be hidden. Every write raises one revision, leaves a row of price provenance, and enqueues the
//! copies that isolates read from KV (catalog/snapshot.rs), all in one synchronous run: it checks
//! first, then writes, so it happens whole or not at all. Credentials come in, are sealed, and never
//! go out.
//!
//! | command | answers |
//! |---|---|
//! | `GET /admin/providers`, `GET`, `PUT`, `DELETE /admin/providers/{slug}` | rows; the credential's type only |
//! | `GET /admin/models`, `GET`, `PUT`, `DELETE /admin/models/{author}/{slug}` | rows |
//! | `GET /admin/models/{author}/{slug}/prices` | every price the operator has set, newest first |
//! | `GET /admin/catalog/export`, `POST /admin/catalog/import` | all of the operator's rows as one document |
//! | `GET /rows` | [`Rows`]; for the gateway itself, never routed from outside |

mod effective;
mod models;
mod providers;
mod store;
mod transfer;

use serde_json::json;

pub use effective::{Effective, EffectiveProvider};
pub use store::{Rows, StoredRow, migrate};

use crate::{
    catalog::credential::MasterKey,
    error::{Error, Result},
    ports::{AdminRequest, AdminResponse, Sql},
    time::Millis,
};

/// Name of the one `Catalog` object.
pub const OBJECT: &str = "operator";

/// What a command needs beside the database.
pub struct Context<'a> {
    /// The moment.
    pub now: Millis,
    /// What seals credentials, or why there is none.
    pub master: Result<MasterKey, String>,
    /// Fresh randomness.
    pub nonce: [u8; 12],
    /// Whether a secret of that name is set in the gateway's environment.
    pub env: &'a dyn Fn(&str) -> bool,
}

/// Answers a management request about the catalog.
pub fn handle(sql: &dyn Sql, request: &AdminRequest, context: &Context<'_>) -> Result<AdminResponse> {
    let path: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let body = match (request.method.as_str(), path.as_slice()) {
        ("GET", ["rows"]) => json!(store::rows(sql)?),
        ("GET", ["admin", "providers"]) => providers::list(sql, context)?,
        ("GET", ["admin", "providers", slug]) => providers::get(sql, slug, context)?,
        ("PUT", ["admin", "providers", slug]) => providers::put(sql, slug, request, context)?,
        ("DELETE", ["admin", "providers", slug]) => providers::delete(sql, slug)?,
        ("GET", ["admin", "models"]) => models::list(sql, request)?,
        ("GET", ["admin", "models", author, slug]) => models::get(sql, &format!("{author}/{slug}"))?,
        ("PUT", ["admin", "models", author, slug]) => models::put(sql, &format!("{author}/{slug}"), request, context)?,
        ("DELETE", ["admin", "models", author, slug]) => models::delete(sql, &format!("{author}/{slug}"), request)?,
        ("GET", ["admin", "models", author, slug, "prices"]) => models::prices(sql, &format!("{author}/{slug}"))?,
        ("GET", ["admin", "catalog", "export"]) => transfer::export(sql, context)?,
        ("POST", ["admin", "catalog", "import"]) => transfer::import(sql, request, context)?,
        _ => return Err(Error::internal(format!("the catalog does not know {} {}", request.method, request.path))),
    };
    Ok(AdminResponse { status: 200, body })
}

#[cfg(test)]
mod tests;
