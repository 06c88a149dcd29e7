//! The catalog as clients see it: the built-in rows, overlaid by the operator's.

use std::collections::BTreeMap;

use super::{Rows, StoredRow};
use crate::{
    catalog::{Model, Provider, builtin},
    provider::environment,
};

/// The whole of it. Parses the built-in catalog where that is asked for: not for the request path.
pub struct Effective {
    providers: BTreeMap<String, EffectiveProvider>,
    models: BTreeMap<String, Option<Model>>,
}

/// A provider as it is in force.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub struct EffectiveProvider {
    /// The row.
    pub row: Provider,
    /// Whether the gateway ships with a row of this slug.
    pub built_in: bool,
    /// Whether the operator has a row of this slug.
    pub overridden: bool,
    /// Type of the stored credential, if there is one.
    pub credential_type: Option<String>,
    /// Whether a key for it lies in the gateway's environment.
    pub in_environment: bool,
    /// Whether it is known where it is.
    pub addressed: bool,
}

impl EffectiveProvider {
    /// Whether requests can be sent to it: it has an address, and a credential or is known to want none.
    pub fn ready(&self) -> bool {
        self.addressed && (self.credential_type.is_some() || self.in_environment)
    }
}

impl Effective {
    /// The operator's rows over the built-in ones. `env` says whether a secret of that name is set.
    pub fn of(rows: Rows, env: &dyn Fn(&str) -> bool) -> Self {
        let mut providers = BTreeMap::new();
        for row in builtin::providers() {
            let stored = StoredRow { row, credential_type: None };
            providers.insert(stored.row.slug.clone(), in_force(stored, true, false, env));
        }
        for stored in rows.providers {
            let built_in = providers.contains_key(&stored.row.slug);
            providers.insert(stored.row.slug.clone(), in_force(stored, built_in, true, env));
        }
        let hidden = rows.hidden.into_iter().map(|id| (id, None));
        let models = rows.models.into_iter().map(|model| (model.id.clone(), Some(model))).chain(hidden).collect();
        Self { providers, models }
    }

    /// A provider.
    pub fn provider(&self, slug: &str) -> Option<&EffectiveProvider> {
        self.providers.get(slug)
    }

    /// Every provider, by slug.
    pub fn providers(&self) -> impl Iterator<Item = &EffectiveProvider> {
        self.providers.values()
    }

    /// A model that is not hidden.
    pub fn model(&self, id: &str) -> Option<Model> {
        match self.models.get(id) {
            Some(row) => row.clone(),
            None => builtin::model(id),
        }
    }

    /// Every model that is not hidden, by id.
    pub fn models(&self) -> Vec<Model> {
        let mut all: BTreeMap<String, Option<Model>> =
            builtin::models().map(|model| (model.id.clone(), Some(model))).collect();
        all.extend(self.models.iter().map(|(id, row)| (id.clone(), row.clone())));
        all.into_values().flatten().collect()
    }

    /// Whether somebody can serve the model.
    pub fn can_serve(&self, model: &Model) -> bool {
        model.endpoints.iter().any(|endpoint| self.provider(&endpoint.provider).is_some_and(EffectiveProvider::ready))
    }
}

fn in_force(stored: StoredRow, built_in: bool, overridden: bool, env: &dyn Fn(&str) -> bool) -> EffectiveProvider {
    let StoredRow { row, credential_type } = stored;
    let (in_environment, addressed) = (environment::has_credential(&row, env), environment::is_addressed(&row, env));
    EffectiveProvider { row, built_in, overridden, credential_type, in_environment, addressed }
}
