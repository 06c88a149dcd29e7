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
    ids::Rng,
    known::{Ask, KnownModel, Lookup, Providers},
    routing::{
        plan::{Offer, Plan, Wants, plan},
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

    /// Who is to serve a request, best first: a draw from a seed of its own.
    pub(super) fn plan(
        &mut self,
        principal: &Principal,
        call: &Call<'_>,
        asked: Asked<'_>,
        now: Millis,
    ) -> Result<Vec<Target>> {
        let seed = self.rng.next_u64();
        let planned = self.decide(principal, call, asked, seed, now)?;
        if planned.targets.is_empty() { Err(planned.nobody(asked.0)) } else { Ok(planned.targets) }
    }

    /// The decision from that seed: the same again as long as the same is known.
    pub(super) fn decide(
        &self,
        principal: &Principal,
        call: &Call<'_>,
        (names, models, providers): Asked<'_>,
        seed: u64,
        now: Millis,
    ) -> Result<Planned> {
        let parameters = call.parameters();
        let mut rng = Rng::new(seed);
        let mut planned = Planned { seed, targets: Vec::new(), decisions: Vec::new() };
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
            let plan = plan(&wants, &known.model, offers, &self.health, now, &mut rng);
            planned.targets.extend(plan.candidates.iter().filter_map(|candidate| {
                let endpoint = known.model.endpoints.get(candidate.endpoint)?;
                let provider = Rc::clone(providers.get(&endpoint.provider)?);
                Some(Target {
                    model: Rc::clone(known),
                    endpoint: candidate.endpoint,
                    provider,
                    strategy: plan.strategy,
                })
            }));
            planned.decisions.push((Rc::clone(known), plan));
        }
        Ok(planned)
    }
}

/// Names that a client asks for, the models that they are, and all providers.
pub(super) type Asked<'a> = (&'a [String], &'a [(Slug, Option<Rc<KnownModel>>)], &'a Providers);

/// The decision for all models of a request.
pub(super) struct Planned {
    /// What its draws came from.
    pub seed: u64,
    /// Who may serve, best first.
    pub targets: Vec<Target>,
    /// How that came about, model by model.
    pub decisions: Vec<(Rc<KnownModel>, Plan)>,
}

impl Planned {
    /// Why there is nobody.
    pub(super) fn nobody(&self, names: &[String]) -> Error {
        let excluded = self.decisions.iter().flat_map(|(known, plan)| {
            plan.excluded.iter().map(|out| (known.model.id.clone(), out.tag.clone(), out.rule))
        });
        nobody(names, &excluded.collect::<Vec<_>>())
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
