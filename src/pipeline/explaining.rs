//! `POST /v1/route`: the plan of a chat request, told instead of carried out. Nobody is called, nothing is
//! charged or recorded, and no budget is asked: what a request may cost is decided after its plan.

use serde_json::{Value, json};

use super::{
    Gateway,
    effects::{Effect, Head, Reply},
    planning::{Asked, Planned, in_one_list},
};
use crate::{
    auth::Principal,
    catalog::Endpoint,
    dialect::call::Api,
    error::{Error, Result},
    formats::{self, Call},
    known::KnownModel,
    routing::{
        fallback::MAX_ATTEMPTS,
        health::Health,
        plan::{Behind, Candidate, Plan},
        preferences::{Preferences, Sort},
    },
    time::Millis,
};

impl Gateway {
    /// The plan, drawn from the seed that the query names, or from a new one.
    pub(super) fn explain(
        &mut self,
        head: &Head<'_>,
        principal: &Principal,
        call: &Call<'_>,
        asked: Asked<'_>,
        now: Millis,
    ) -> Result<Effect> {
        let seed = match seed_of(head.path)? {
            Some(seed) => seed,
            None => self.rng.next_u64(),
        };
        let planned = self.decide(principal, call, asked, seed, now)?;
        let body = story(&planned, asked, call.preferences(), &self.health, now).to_string();
        Ok(Effect::Reply(Reply { status: 200, headers: Vec::new(), body, log: None }))
    }
}

/// `?seed=`: 16 hexadecimal digits, as an earlier plan told them.
fn seed_of(path: &str) -> Result<Option<u64>> {
    let (_, query) = path.split_once('?').unwrap_or_default();
    let Some(text) = query.split('&').find_map(|pair| pair.strip_prefix("seed=")) else { return Ok(None) };
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u64::from_str_radix(text, 16) {
        Ok(seed) if digits => Ok(Some(seed)),
        _ => Err(Error::invalid("seed", "seed must be the 16 hexadecimal digits of an earlier plan.")),
    }
}

/// The plan in the words of the API (`schema/openapi.yaml`, `RoutePlan`).
fn story(planned: &Planned, asked: Asked<'_>, wanted: &Preferences, health: &Health, now: Millis) -> Value {
    let (names, models, providers) = asked;
    let candidates = in_one_list(&planned.decisions, wanted).into_iter().filter_map(|(index, place)| {
        let (known, plan) = planned.decisions.get(index)?;
        let endpoint = known.model.endpoints.get(place.endpoint)?;
        let name = &providers.get(&endpoint.provider)?.row.name;
        Some(offer(known, plan, (place, endpoint, name), health, now))
    });
    let candidates: Vec<_> = candidates.collect();
    let excluded = planned.decisions.iter().flat_map(|(known, plan)| {
        plan.excluded.iter().map(|out| json!({ "model": known.model.id, "tag": out.tag, "rule": out.rule }))
    });
    let requested = names.iter().zip(models).map(|(name, (slug, _))| json!({ "requested": name, "model": slug.id }));
    json!({
        "models": requested.collect::<Vec<_>>(),
        "seed": format!("{:016x}", planned.seed),
        "max_attempts": MAX_ATTEMPTS,
        "excluded": excluded.collect::<Vec<_>>(),
        "refusal": planned.targets.is_empty().then(|| refusal(&planned.nobody(names))),
        "candidates": candidates,
    })
}

fn offer(
    known: &KnownModel,
    plan: &Plan,
    (place, endpoint, provider_name): (&Candidate, &Endpoint, &str),
    health: &Health,
    now: Millis,
) -> Value {
    let seen = health.of(&known.model.id, endpoint.tag());
    json!({
        "model": known.model.id,
        "provider": endpoint.provider,
        "provider_name": provider_name,
        "tag": endpoint.tag(),
        "upstream_model": endpoint.upstream_model,
        "service_tier": endpoint.service_tier,
        "pricing": endpoint.pricing,
        "price_version": known.price_version,
        "strategy": plan.strategy,
        "score": score(plan, place),
        "behind": place.behind.map(Behind::name),
        "score_unit": plan.sort.map_or("share", Sort::unit),
        "stats": {
            "ttft_ms": seen.and_then(|seen| seen.ttft_ms).map(rounded),
            "throughput": seen.and_then(|seen| seen.throughput).map(rounded),
            "failure_rate": seen.map(|seen| rounded(seen.failure_rate)),
            "in_outage": seen.is_some_and(|seen| seen.in_outage(now)),
        },
        "expected": endpoint.expected,
    })
}

/// What an endpoint was ordered by; nothing where that is not known of it. Weights of a draw are told as
/// parts of their sum.
fn score(plan: &Plan, place: &Candidate) -> Option<f64> {
    match plan.sort {
        None => {
            let sum: f64 = plan.candidates.iter().map(|candidate| candidate.score).sum();
            Some(if sum > 0.0 { place.score / sum } else { 0.0 })
        }
        Some(Sort::Price) => Some(place.score / 1e12).filter(|usd| *usd < 1e6),
        Some(Sort::Latency) => Some(rounded(place.score)).filter(|ms| *ms < 1e12),
        Some(Sort::Exacto) => Some(place.score),
        Some(Sort::Throughput) => Some(rounded(place.score)).filter(|speed| *speed > 0.0),
    }
}

fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

/// What inference would answer.
fn refusal(error: &Error) -> Value {
    let body = formats::write_error(Api::Chat, error, false);
    let told: Value = serde_json::from_str(&body).unwrap_or_default();
    json!({ "status": error.status(), "code": told.pointer("/error/code"), "message": told.pointer("/error/message") })
}
