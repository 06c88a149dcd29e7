//! `plan`: who serves a request, in which order, and why everybody else does not.
//!
//! Filters first: each can only shrink the set, and whatever falls out is kept with its reason. Then
//! the order: `provider.order`, else a strict sort (`:floor`, `:nitro`, `provider.sort`), else a draw
//! weighted by the operator's weight over the squared price (field: OpenRouter's load balancing).
//! Endpoints in an outage stand behind the others in all cases but `provider.order`.

use std::cmp::Ordering;

use super::{
    health::Health,
    preferences::{Preferences, Sort, names},
};
use crate::{
    auth::Principal,
    catalog::{Endpoint, Model, Provider},
    ids::Rng,
    time::Millis,
};

/// What of the request bears on the choice.
#[derive(Clone)]
pub struct Wants<'c> {
    /// Who calls.
    pub principal: &'c Principal,
    /// What the `provider` object says.
    pub preferences: &'c Preferences,
    /// Whether that provider can be asked what the client asks.
    pub can_serve: &'c dyn Fn(&Provider) -> bool,
    /// The sort of the model's variant; it loses against `preferences.sort`.
    pub variant_sort: Option<Sort>,
    /// Names of the parameters sent, for `require_parameters`.
    pub parameters: &'c [&'c str],
    /// Longest answer asked for, in tokens.
    pub max_tokens: Option<u64>,
}

/// What the gateway knows of a provider at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'p> {
    /// Its row.
    pub row: &'p Provider,
    /// Whether there is a credential for it.
    pub ready: bool,
}

/// An endpoint that may serve.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Index in the model's endpoints.
    pub endpoint: usize,
    /// The number it was ordered by: pico-dollars, tokens per second, milliseconds, or its weight.
    pub score: f64,
}

/// An endpoint that may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excluded {
    /// Its tag.
    pub tag: String,
    /// Which rule removed it: a stable word.
    pub rule: &'static str,
}

/// The decision for one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Those that may serve, best first.
    pub candidates: Vec<Candidate>,
    /// Those that may not.
    pub excluded: Vec<Excluded>,
    /// How they were ordered: `order`, `price`, `throughput`, `latency` or `weighted`.
    pub strategy: &'static str,
    /// What the scores are: of this sort, or weights of a draw.
    pub sort: Option<Sort>,
}

/// The decision. Same inputs, same plan.
pub fn plan<'p>(
    wants: &Wants<'_>,
    model: &Model,
    offers: impl Fn(&str) -> Option<Offer<'p>>,
    health: &Health,
    now: Millis,
    rng: &mut Rng,
) -> Plan {
    let mut excluded = Vec::new();
    let mut candidates: Vec<(usize, &Endpoint)> = Vec::with_capacity(model.endpoints.len());
    for (index, endpoint) in model.endpoints.iter().enumerate() {
        match exclusion(wants, endpoint, offers(&endpoint.provider)) {
            Some(rule) => excluded.push(Excluded { tag: endpoint.tag().to_owned(), rule }),
            None => candidates.push((index, endpoint)),
        }
    }

    let sort = wants.preferences.sort.or(wants.variant_sort);
    let down = |endpoint: &Endpoint| health.of(&model.id, endpoint.tag()).is_some_and(|h| h.in_outage(now));
    let mut scored: Vec<(usize, &Endpoint, f64)> = match sort {
        Some(sort) => {
            let mut scored: Vec<_> =
                candidates.into_iter().map(|(i, e)| (i, e, measure(sort, e, health, &model.id))).collect();
            scored.sort_by(|(_, a, x), (_, b, y)| {
                let best_first = if sort == Sort::Throughput { y.total_cmp(x) } else { x.total_cmp(y) };
                down(a).cmp(&down(b)).then(best_first).then_with(|| price_of(a).cmp(&price_of(b)))
            });
            scored
        }
        None => draw(candidates, &down, rng),
    };
    let order = &wants.preferences.order;
    if !order.is_empty() {
        let rank = |e: &Endpoint| order.iter().position(|name| matches(name, e)).unwrap_or(order.len());
        scored.sort_by_key(|(_, endpoint, _)| rank(endpoint));
        if !wants.preferences.allow_fallbacks {
            scored.retain(|(_, endpoint, _)| {
                let listed = rank(endpoint) < order.len();
                if !listed {
                    excluded.push(Excluded { tag: endpoint.tag().to_owned(), rule: "provider.allow_fallbacks" });
                }
                listed
            });
        }
    } else if !wants.preferences.allow_fallbacks {
        for (_, endpoint, _) in scored.drain(1.min(scored.len())..) {
            excluded.push(Excluded { tag: endpoint.tag().to_owned(), rule: "provider.allow_fallbacks" });
        }
    }
    Plan {
        candidates: scored.into_iter().map(|(endpoint, _, score)| Candidate { endpoint, score }).collect(),
        excluded,
        strategy: if order.is_empty() { sort.map_or("weighted", Sort::name) } else { "order" },
        sort,
    }
}

/// The rule that removes an endpoint, if one does.
fn exclusion(wants: &Wants<'_>, endpoint: &Endpoint, offer: Option<Offer<'_>>) -> Option<&'static str> {
    let Preferences {
        order: _,
        only,
        ignore,
        allow_fallbacks: _,
        sort: _,
        max_prompt_price,
        max_completion_price,
        max_request_price,
        require_parameters,
        deny_data_collection,
        zdr,
        quantizations,
    } = wants.preferences;
    let Some(offer) = offer else { return Some("provider_unknown") };
    let named = |list: &[String]| list.iter().any(|name| matches(name, endpoint));
    let policy = offer.row.data_policy.as_ref();
    let zero_retention = policy.is_some_and(|p| p.zdr == Some(true));
    let above = |cap: &Option<crate::money::Price>, pick: fn(&crate::catalog::Pricing) -> crate::money::Price| {
        cap.is_some_and(|cap| endpoint.pricing.as_ref().is_none_or(|pricing| pick(pricing) > cap))
    };
    let rules: [(&'static str, bool); 12] = [
        ("no_credential", !offer.ready),
        ("unsupported_api", !(wants.can_serve)(offer.row)),
        ("key.allowed_providers", !wants.principal.may_use(&endpoint.provider)),
        ("provider.only", only.as_ref().is_some_and(|only| !named(only))),
        ("provider.ignore", named(ignore)),
        (
            "provider.quantizations",
            quantizations
                .as_ref()
                .is_some_and(|q| !q.iter().any(|q| q == endpoint.quantization.as_deref().unwrap_or("unknown"))),
        ),
        ("provider.zdr", *zdr && !zero_retention),
        (
            "provider.data_collection",
            *deny_data_collection
                && !zero_retention
                && !policy.is_some_and(|p| p.training == Some(false) && p.retention_days == Some(0)),
        ),
        (
            "provider.max_price",
            above(max_prompt_price, |p| p.prompt)
                || above(max_completion_price, |p| p.completion)
                || above(max_request_price, |p| p.request.unwrap_or_default()),
        ),
        (
            "provider.require_parameters",
            *require_parameters
                && wants.parameters.iter().any(|sent| !endpoint.supported_parameters.iter().any(|p| p == sent)),
        ),
        (
            "max_tokens",
            wants.max_tokens.is_some_and(|asked| endpoint.max_completion_tokens.is_some_and(|most| asked > most)),
        ),
        // Tier endpoints are asked for by tag or tier, not stumbled upon.
        (
            "service_tier",
            endpoint.service_tier.is_some()
                && !named(&wants.preferences.order)
                && !only.as_ref().is_some_and(|only| named(only)),
        ),
    ];
    rules.into_iter().find(|(_, removes)| *removes).map(|(rule, _)| rule)
}

fn matches(name: &str, endpoint: &Endpoint) -> bool {
    names(name, &endpoint.provider, endpoint.tag(), endpoint.service_tier.as_deref())
}

/// Prompt and completion price in pico-dollars; an unpriced endpoint is the dearest.
fn price_of(endpoint: &Endpoint) -> u64 {
    endpoint.pricing.as_ref().map_or(u64::MAX, crate::catalog::Pricing::combined)
}

/// The number a strict sort compares. What was measured wins over what was expected; what is neither
/// stands last.
#[expect(clippy::cast_precision_loss, reason = "an order, not an amount")]
fn measure(sort: Sort, endpoint: &Endpoint, health: &Health, model: &str) -> f64 {
    let seen = health.of(model, endpoint.tag());
    let expected = endpoint.expected.as_ref();
    match sort {
        Sort::Price => price_of(endpoint) as f64,
        Sort::Throughput => seen.and_then(|h| h.throughput).or(expected.and_then(|e| e.throughput)).unwrap_or(0.0),
        Sort::Latency => seen.and_then(|h| h.ttft_ms).or(expected.and_then(|e| e.ttft_ms)).unwrap_or(f64::MAX),
    }
}

/// Draws an order without putting back, each by weight / price squared; weight 0 and outages go last.
fn draw<'e>(
    candidates: Vec<(usize, &'e Endpoint)>,
    down: &dyn Fn(&Endpoint) -> bool,
    rng: &mut Rng,
) -> Vec<(usize, &'e Endpoint, f64)> {
    #[expect(clippy::cast_precision_loss, reason = "a probability, not an amount")]
    let share = |endpoint: &Endpoint| {
        // A free endpoint counts as one pico-dollar, an unpriced one as a dollar a token.
        let price = endpoint.pricing.as_ref().map_or(1e12, |p| p.combined().max(1) as f64);
        endpoint.weight.unwrap_or(1.0) / (price * price)
    };
    let mut drawn: Vec<_> = candidates
        .into_iter()
        .map(|(index, endpoint)| {
            let share = share(endpoint);
            // The smallest of exponential variables with these rates is drawn with these shares
            // (Efraimidis and Spirakis), which orders all of them in one go.
            let key = if share > 0.0 { -(1.0 - rng.next_unit()).ln() / share } else { f64::INFINITY };
            (index, endpoint, share, key)
        })
        .collect();
    drawn.sort_by(|(_, a, _, x), (_, b, _, y)| match down(a).cmp(&down(b)) {
        Ordering::Equal => x.total_cmp(y).then_with(|| price_of(a).cmp(&price_of(b))),
        other => other,
    });
    drawn.into_iter().map(|(index, endpoint, share, _)| (index, endpoint, share)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::{KeyKind, KeyRecord},
        ids::Rng,
    };
    use proptest::prelude::*;
    use std::rc::Rc;

    fn principal(change: impl FnOnce(&mut KeyRecord)) -> Principal {
        let mut record = KeyRecord::root(crate::auth::VirtualKey::generate(&[1; 48]).hash());
        record.kind = KeyKind::Inference;
        change(&mut record);
        Rc::new(record).admit(KeyKind::Inference, Millis(0)).unwrap()
    }

    fn model() -> Model {
        serde_json::from_str(
            r#"{"id":"x/m","name":"M","endpoints":[
            {"provider":"cheap","upstream_model":"m","pricing":{"prompt":"0.000001","completion":"0.000001"},"supported_parameters":["tools"],
             "quantization":"fp8","max_completion_tokens":100,"expected":{"throughput":10,"ttft_ms":900}},
            {"provider":"mid","upstream_model":"m","pricing":{"prompt":"0.000003","completion":"0.000003"},"expected":{"throughput":50,"ttft_ms":100}},
            {"provider":"fast","upstream_model":"m","pricing":{"prompt":"0.00001","completion":"0.00001"},"expected":{"throughput":200,"ttft_ms":300}},
            {"provider":"fast","tag":"fast/priority","service_tier":"priority","upstream_model":"m","pricing":{"prompt":"0.00002","completion":"0.00002"}},
            {"provider":"dark","upstream_model":"m"}]}"#,
        )
        .unwrap()
    }

    struct World {
        model: Model,
        health: Health,
        rows: Vec<(Provider, bool)>,
        principal: Principal,
    }

    fn world() -> World {
        let row = |slug: &str, zdr: bool| -> Provider {
            serde_json::from_value(
                serde_json::json!({"slug": slug, "name": slug, "dialect": "openai", "base_url": "https://x.example/v1",
                "data_policy": {"zdr": zdr}}),
            )
            .unwrap()
        };
        World {
            model: model(),
            health: Health::default(),
            rows: vec![
                (row("cheap", false), true),
                (row("mid", true), true),
                (row("fast", false), true),
                (row("dark", false), false),
            ],
            principal: principal(|_| ()),
        }
    }

    impl World {
        fn plan(&self, preferences: &Preferences, variant_sort: Option<Sort>, seed: u64) -> Plan {
            let wants = Wants {
                can_serve: &|_| true,
                principal: &self.principal,
                preferences,
                variant_sort,
                parameters: &["tools"],
                max_tokens: Some(200),
            };
            let wants = if preferences.require_parameters { wants } else { Wants { max_tokens: None, ..wants } };
            let offers = |slug: &str| {
                self.rows.iter().find(|(row, _)| row.slug == slug).map(|(row, ready)| Offer { row, ready: *ready })
            };
            plan(&wants, &self.model, offers, &self.health, Millis(1_000_000), &mut Rng::new(seed))
        }

        fn tags(&self, plan: &Plan) -> Vec<String> {
            plan.candidates.iter().map(|c| self.model.endpoints[c.endpoint].tag().to_owned()).collect()
        }
    }

    #[test]
    fn floor_and_nitro_go_to_different_providers() {
        let world = world();
        let none = Preferences::none();
        assert_eq!(world.tags(&world.plan(&none, Some(Sort::Price), 1)), ["cheap", "mid", "fast"]);
        assert_eq!(world.tags(&world.plan(&none, Some(Sort::Throughput), 1)), ["fast", "mid", "cheap"]);
        assert_eq!(world.tags(&world.plan(&none, Some(Sort::Latency), 1)), ["mid", "fast", "cheap"]);
    }

    #[test]
    fn what_is_measured_wins_over_what_is_expected_and_outages_stand_last() {
        let mut world = world();
        world.health.succeeded("x/m", "cheap", Some(50.0), Some(500.0));
        let none = Preferences::none();
        assert_eq!(world.tags(&world.plan(&none, Some(Sort::Throughput), 1)), ["cheap", "fast", "mid"]);
        world.health.failed("x/m", "cheap", Millis(999_000), None);
        assert_eq!(world.tags(&world.plan(&none, Some(Sort::Throughput), 1)), ["fast", "mid", "cheap"]);
        assert_eq!(world.tags(&world.plan(&none, None, 1)).last().unwrap(), "cheap");
    }

    #[test]
    fn every_filter_removes_with_its_own_reason() {
        let text = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let base = Preferences::none;
        for (preferences, left, rule) in [
            (Preferences { only: Some(text(&["mid"])), ..base() }, vec!["mid"], "provider.only"),
            (Preferences { ignore: text(&["mid", "fast"]), ..base() }, vec!["cheap"], "provider.ignore"),
            (Preferences { zdr: true, ..base() }, vec!["mid"], "provider.zdr"),
            (Preferences { deny_data_collection: true, ..base() }, vec!["mid"], "provider.data_collection"),
            (Preferences { quantizations: Some(text(&["fp8"])), ..base() }, vec!["cheap"], "provider.quantizations"),
            (
                Preferences { max_prompt_price: Some(crate::money::Price::from_pico(3_000_000)), ..base() },
                vec!["cheap", "mid"],
                "provider.max_price",
            ),
            (Preferences { require_parameters: true, ..base() }, vec![], "provider.require_parameters"),
        ] {
            let world = world();
            let plan = world.plan(&preferences, Some(Sort::Price), 1);
            assert_eq!(world.tags(&plan), left, "{preferences:?}");
            assert!(plan.excluded.iter().any(|e| e.rule == rule), "{:?}", plan.excluded);
            assert!(plan.excluded.contains(&Excluded { tag: "dark".to_owned(), rule: "no_credential" }));
        }
    }

    #[test]
    fn order_comes_first_and_ends_the_list_without_fallbacks() {
        let world = world();
        let order = vec!["fast/priority".to_owned(), "nobody".to_owned(), "mid".to_owned()];
        let mut preferences = Preferences { order, ..Preferences::none() };
        let plan = world.plan(&preferences, Some(Sort::Price), 1);
        assert_eq!(world.tags(&plan), ["fast/priority", "mid", "cheap", "fast"]);
        assert_eq!(plan.strategy, "order");
        preferences.allow_fallbacks = false;
        assert_eq!(world.tags(&world.plan(&preferences, None, 1)), ["fast/priority", "mid"]);
        let first_only = Preferences { allow_fallbacks: false, ..Preferences::none() };
        assert_eq!(world.tags(&world.plan(&first_only, Some(Sort::Price), 1)), ["cheap"]);
    }

    #[test]
    fn a_keys_own_list_of_providers_holds() {
        let mut world = world();
        world.principal = principal(|key| key.allowed_providers = Some(vec!["fast".to_owned()]));
        assert_eq!(world.tags(&world.plan(&Preferences::none(), None, 1)), ["fast"]);
    }

    #[test]
    fn the_default_draw_has_shares_of_weight_over_price_squared() {
        let mut world = world();
        let count = |world: &World| {
            let mut first = std::collections::BTreeMap::<String, u32>::new();
            for seed in 1..=100_000 {
                *first
                    .entry(world.tags(&world.plan(&Preferences::none(), None, seed * 7919)).remove(0))
                    .or_default() += 1;
            }
            first
        };
        // Prices 2, 6 and 20: shares 1, 1/9 and 1/100.
        let total = 1.0 + 1.0 / 9.0 + 0.01;
        let first = count(&world);
        for (tag, share) in [("cheap", 1.0), ("mid", 1.0 / 9.0), ("fast", 0.01)] {
            let seen = f64::from(first[tag]) / 100_000.0;
            assert!((seen - share / total).abs() < 0.01, "{tag}: {seen}");
        }
        world.model.endpoints[0].weight = Some(0.0);
        world.model.endpoints[2].weight = Some(0.0);
        assert_eq!(count(&world).keys().collect::<Vec<_>>(), ["mid"]);
    }

    proptest! {
        #[test]
        fn a_plan_lists_every_endpoint_once_and_repeats_itself(
            seed: u64, zdr: bool, deny: bool, fallbacks: bool,
            order in prop::collection::vec("(cheap|mid|fast|fast/priority|dark)", 0..3),
            ignore in prop::collection::vec("(cheap|mid|fast|dark)", 0..3),
        ) {
            let world = world();
            let preferences = Preferences { order, ignore: ignore.clone(), zdr, deny_data_collection: deny, allow_fallbacks: fallbacks, ..Preferences::none() };
            let plan = world.plan(&preferences, None, seed);
            let mut seen: Vec<_> = plan.excluded.iter().map(|e| e.tag.clone()).chain(world.tags(&plan)).collect();
            seen.sort();
            prop_assert_eq!(seen, ["cheap", "dark", "fast", "fast/priority", "mid"]);
            prop_assert!(world.tags(&plan).iter().all(|tag| !ignore.contains(tag) && tag != "dark"));
            prop_assert_eq!(world.plan(&preferences, None, seed), plan);
        }
    }
}
