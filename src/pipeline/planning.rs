//! Steps 2 and 3: who asks, and who may serve.

use std::rc::Rc;

use super::{
    Gateway,
    exchange::Target,
    refusals::{nobody, short, unknown_key, unknown_model},
};
use crate::{
    auth::{KeyHash, KeyRecord, Principal},
    error::{Error, ErrorKind, Result},
    formats::{self, Call},
    known::{Ask, KnownModel, Lookup, Providers},
    routing::{
        plan::{Offer, Wants, plan},
        slug::Slug,
    },
    time::Millis,
};

impl Gateway {
    pub(super) fn record_of(
        &mut self,
        hash: &KeyHash,
        now: Millis,
        asks: &mut Vec<Ask>,
    ) -> Result<Option<Rc<KeyRecord>>> {
        if self.root_key.as_ref() == Some(hash) {
            return Ok(Some(Rc::new(KeyRecord::root(hash.clone()))));
        }
        match self.known.key(hash, now) {
            Lookup::Absent => Err(unknown_key()),
            other => found_or_ask(other, "key store", asks),
        }
    }

    pub(super) fn models_of(
        &mut self,
        slugs: &[String],
        now: Millis,
        asks: &mut Vec<Ask>,
    ) -> Result<Vec<(Slug, Option<Rc<KnownModel>>)>> {
        let mut models = Vec::new();
        for (index, text) in slugs.iter().enumerate() {
            let field = if index == 0 { "model".to_owned() } else { "models".to_owned() };
            let slug = Slug::parse(text)
                .map_err(|why| Error::invalid(field, format!("{:?} is not a model: {why}", short(text))))?;
            let model = found_or_ask(self.known.model(&slug.id, now), "catalog", asks)?;
            models.push((slug, model));
        }
        Ok(models)
    }

    pub(super) fn providers(&mut self, now: Millis, asks: &mut Vec<Ask>) -> Result<Rc<Providers>> {
        Ok(found_or_ask(self.known.providers(now), "catalog", asks)?.unwrap_or_default())
    }

    pub(super) fn plan(
        &mut self,
        principal: &Principal,
        call: &Call<'_>,
        names: &[String],
        models: &[(Slug, Option<Rc<KnownModel>>)],
        providers: &Providers,
        now: Millis,
    ) -> Result<Vec<Target>> {
        let parameters = call.parameters();
        let mut targets = Vec::new();
        let mut excluded = Vec::new();
        for ((slug, model), name) in models.iter().zip(names) {
            let Some(known) = model else { return Err(unknown_model(slug, name)) };
            if !principal.may_call(&slug.id) {
                let message =
                    format!("This API key may not call {}. It may call the models of its `allowed_models`.", slug.id);
                return Err(Error::new(ErrorKind::Forbidden, message).param("model").code("model_not_allowed"));
            }
            let wants = Wants {
                principal,
                preferences: call.preferences(),
                can_serve: &|row| formats::serves(call.api, row),
                variant_sort: slug.sort,
                parameters: &parameters,
                max_tokens: call.max_tokens(),
            };
            let offers = |slug: &str| providers.get(slug).map(|p| Offer { row: &p.row, ready: p.is_ready() });
            let made = plan(&wants, &known.model, offers, &self.health, now, &mut self.rng);
            excluded.extend(made.excluded.iter().map(|out| (slug.id.clone(), out.tag.clone(), out.rule)));
            targets.extend(made.candidates.iter().filter_map(|candidate| {
                let endpoint = known.model.endpoints.get(candidate.endpoint)?;
                let provider = Rc::clone(providers.get(&endpoint.provider)?);
                Some(Target {
                    model: Rc::clone(known),
                    endpoint: candidate.endpoint,
                    provider,
                    strategy: made.strategy,
                })
            }));
        }
        if targets.is_empty() { Err(nobody(names, &excluded)) } else { Ok(targets) }
    }
}

/// What is known; nothing where it has to be asked first (noted in `asks`) or there is none.
pub(super) fn found_or_ask<T>(lookup: Lookup<T>, store: &str, asks: &mut Vec<Ask>) -> Result<Option<T>> {
    match lookup {
        Lookup::Found(value) => Ok(Some(value)),
        Lookup::Absent => Ok(None),
        Lookup::Unavailable(why) => Err(Error::store(store, why)),
        Lookup::Ask(more) => {
            asks.extend(more);
            Ok(None)
        }
    }
}
