//! Steps 2 and 3: who asks, and who may serve.

use std::rc::Rc;

use super::{
    Gateway, admission,
    exchange::Target,
    refusals::{nobody, short, unknown_key, unknown_model},
};
use crate::{
    auth::{KeyHash, KeyRecord, Principal},
    catalog::{Endpoint, Model},
    error::{Error, ErrorKind, Result},
    formats::{self, Call},
    ids::Rng,
    known::{Ask, KnownModel, Lookup, Providers},
    routing::{
        plan::{Behind, Candidate, Offer, Plan, Wants, before, plan},
        preferences::Preferences,
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
                variant_tier: slug.tier(),
                parameters: &parameters,
                max_tokens: call.max_tokens(),
                is_affordable: &|endpoint| self.is_affordable(call, &known.model, endpoint),
            };
            let offers = |slug: &str| providers.get(slug).map(|p| Offer { row: &p.row, ready: p.is_ready() });
            let plan = plan(&wants, &known.model, offers, &self.health, now, &mut rng);
            planned.decisions.push((Rc::clone(known), plan));
        }
        for (index, candidate) in in_one_list(&planned.decisions, call.preferences()) {
            let Some((known, plan)) = planned.decisions.get(index) else { continue };
            let endpoint = known.model.endpoints.get(candidate.endpoint);
            if let Some(provider) = endpoint.and_then(|endpoint| providers.get(&endpoint.provider)) {
                let (model, provider) = (Rc::clone(known), Rc::clone(provider));
                planned.targets.push(Target { model, endpoint: candidate.endpoint, provider, strategy: plan.strategy });
            }
        }
        Ok(planned)
    }

    /// Whether a request costs no more at an endpoint than its client allows, however it ends.
    fn is_affordable(&self, call: &Call<'_>, model: &Model, endpoint: &Endpoint) -> bool {
        let Some(most) = call.preferences().max_cost else { return true };
        let worst = admission::worst(&self.calibration, self.known.holder.policy(), call, model, endpoint);
        worst.is_some_and(|worst| worst <= most)
    }
}

/// The candidates of all models: model by model, unless the client wants them sorted across models. Who is
/// as fast as the client prefers stands before who is not, whatever its model (field: OpenRouter's
/// preferred thresholds); `order` is kept as it is.
pub(super) fn in_one_list<'p>(decisions: &'p [Decision], wanted: &Preferences) -> Vec<(usize, &'p Candidate)> {
    let each =
        decisions.iter().enumerate().flat_map(|(index, (_, plan))| plan.candidates.iter().map(move |c| (index, c)));
    let mut list: Vec<_> = each.collect();
    if !wanted.order.is_empty() {
        return list;
    }
    let sort = decisions.first().and_then(|(_, plan)| plan.sort);
    match sort.filter(|sort| decisions.iter().all(|(_, plan)| plan.sort == Some(*sort))) {
        Some(sort) if wanted.across_models => {
            list.sort_by(|(_, a), (_, b)| before(sort, (a.behind, a.score), (b.behind, b.score)));
        }
        _ if wanted.min_throughput.is_some() || wanted.max_latency.is_some() => {
            list.sort_by_key(|(_, candidate)| Behind::rank(candidate.behind));
        }
        _ => {}
    }
    list
}

/// Names that a client asks for, the models that they are, and all providers.
pub(super) type Asked<'a> = (&'a [String], &'a [(Slug, Option<Rc<KnownModel>>)], &'a Providers);

/// A model and its plan.
pub(super) type Decision = (Rc<KnownModel>, Plan);

/// The decision for all models of a request.
pub(super) struct Planned {
    /// What its draws came from.
    pub seed: u64,
    /// Who may serve, best first.
    pub targets: Vec<Target>,
    /// How that came about, model by model.
    pub decisions: Vec<Decision>,
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
