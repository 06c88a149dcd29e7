//! The distributed copies of the operator's catalog: what lies in KV, one entry a model and one for
//! all providers (schema/catalog-snapshot.v1.json). The `Catalog` object writes them, isolates read.

use serde::{Deserialize, Serialize};

use super::{Model, StoredProvider};

/// KV key of a model's entry.
pub fn model_key(id: &str) -> String {
    format!("model:{id}")
}

/// KV key of the entry of all providers.
pub const PROVIDERS_KEY: &str = "providers";

/// A model's entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// Version of this shape.
    pub v: u8,
    /// Revision of the catalog that wrote it; part of the price version of records.
    pub revision: u64,
    /// The model; `None` hides a built-in one.
    pub model: Option<Model>,
}

/// The entry of all providers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProvidersEntry {
    /// Version of this shape.
    pub v: u8,
    /// Revision of the catalog that wrote it.
    pub revision: u64,
    /// Every row of the operator's; it wins over the built-in row of the same slug.
    pub providers: Vec<StoredProvider>,
}
