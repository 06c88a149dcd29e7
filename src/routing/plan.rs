//! `plan`: who serves a request, in which order, and why everybody else does not.
//!
//! Filters first: each can only shrink the set, and whatever falls out is kept with its reason. Then
//! the order: `provider.order`, else a strict sort (`:floor`, `:nitro`, `provider.sort`), else a draw
//! weighted by the operator's weight over the squared price (field: OpenRouter's load balancing).
//! Endpoints that are slower than preferred stand behind the others, and those in an outage behind these,
//! in all cases but `provider.order`.

use std::cmp::Ordering;

use super::{
    health::{EndpointHealth, Health},
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
    /// The service tier that the model's variant lets in, as long as its sort is what orders.
    pub variant_tier: Option<&'c str>,
    /// Whether the request costs no more than `max_cost` at that endpoint, for certain.
    pub is_affordable: &'c dyn Fn(&Endpoint) -> bool,
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
    /// Why it stands behind those that are as good otherwise.
    pub behind: Option<Behind>,
}

/// Why an endpoint stands behind others, in the order in which that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behind {
    /// It is slower than `preferred_min_throughput`.
    Throughput,
    /// It takes longer than `preferred_max_latency`.
    Latency,
    /// It has just failed.
    Outage,
}

impl Behind {
    /// The word in explanations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Throughput => "provider.preferred_min_throughput",
            Self::Latency => "provider.preferred_max_latency",
            Self::Outage => "outage",
        }
    }

    /// 0 where nothing speaks against it, 1 where it is too slow, 2 where it has failed.
    pub fn rank(behind: Option<Self>) -> u8 {
        match behind {
            None => 0,
            Some(Self::Throughput | Self::Latency) => 1,
            Some(Self::Outage) => 2,
        }
    }
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
    /// How they were ordered: `order`, `price`, `throughput`, `latency`, `exacto` or `weighted`.
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
    let behind = |endpoint: &Endpoint| behind(wants.preferences, endpoint, health.of(&model.id, endpoint.tag()), now);
    let standing = candidates.into_iter().map(|(index, endpoint)| (index, endpoint, behind(endpoint))).collect();
    let mut scored: Vec<Scored<'_>> = match sort {
        Some(sort) => sorted(sort, standing, health, &model.id),
        None => draw(standing, rng),
    };
    let order = &wants.preferences.order;
    if !order.is_empty() {
        let rank = |e: &Endpoint| order.iter().position(|name| matches(name, e)).unwrap_or(order.len());
        scored.sort_by_key(|(_, endpoint, ..)| rank(endpoint));
        if !wants.preferences.allow_fallbacks {
            scored.retain(|(_, endpoint, ..)| {
                let listed = rank(endpoint) < order.len();
                if !listed {
                    excluded.push(Excluded { tag: endpoint.tag().to_owned(), rule: "provider.allow_fallbacks" });
                }
                listed
            });
        }
    } else if !wants.preferences.allow_fallbacks {
        for (_, endpoint, ..) in scored.drain(1.min(scored.len())..) {
            excluded.push(Excluded { tag: endpoint.tag().to_owned(), rule: "provider.allow_fallbacks" });
        }
    }
    Plan {
        candidates: scored
            .into_iter()
            .map(|(endpoint, _, behind, score)| Candidate { endpoint, score, behind })
            .collect(),
        excluded,
        strategy: if order.is_empty() { sort.map_or("weighted", Sort::name) } else { "order" },
        sort,
    }
}

/// An endpoint, why it stands behind, and its score.
type Scored<'e> = (usize, &'e Endpoint, Option<Behind>, f64);

/// Why an endpoint stands behind others. What is not known of it does not speak against it.
fn behind(wanted: &Preferences, endpoint: &Endpoint, seen: Option<&EndpointHealth>, now: Millis) -> Option<Behind> {
    if seen.is_some_and(|seen| seen.in_outage(now)) {
        return Some(Behind::Outage);
    }
    let expected = endpoint.expected.as_ref();
    if let Some(wanted) = wanted.min_throughput {
        let throughput = seen.and_then(|seen| seen.throughput).or(expected.and_then(|e| e.throughput));
        if throughput.is_some_and(|throughput| throughput < wanted.most) {
            return Some(Behind::Throughput);
        }
    }
    let wanted = wanted.max_latency?;
    let ttft_ms = seen.and_then(|seen| seen.ttft_ms).or(expected.and_then(|e| e.ttft_ms));
    ttft_ms.filter(|ttft_ms| *ttft_ms > wanted.least * 1000.0).map(|_| Behind::Latency)
}

/// The rule that removes an endpoint, if one does.
fn exclusion(wants: &Wants<'_>, endpoint: &Endpoint, offer: Option<Offer<'_>>) -> Option<&'static str> {
    let Preferences {
        order,
        only,
        ignore,
        allow_fallbacks: _,
        sort,
        across_models: _,
        min_throughput: _,
        max_latency: _,
        max_price,
        max_cost,
        default_tier,
        distillable,
        require_parameters,
        deny_data_collection,
        zdr,
        quantizations,
    } = wants.preferences;
    let Some(offer) = offer else { return Some("provider_unknown") };
    let named = |list: &[String]| list.iter().any(|name| matches(name, endpoint));
    let policy = offer.row.data_policy.as_ref();
    let zero_retention = policy.is_some_and(|p| p.zdr == Some(true));
    let admitted = wants.variant_tier.filter(|_| !default_tier && order.is_empty() && sort.is_none());
    let rules: [(&'static str, bool); 14] = [
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
        ("provider.max_price", max_price.is_exceeded_by(endpoint.pricing.as_ref())),
        // No catalog says of a model that its author allows it: what is not known is not allowed.
        ("provider.enforce_distillable_text", *distillable),
        (
            "provider.require_parameters",
            *require_parameters
                && wants.parameters.iter().any(|sent| !endpoint.supported_parameters.iter().any(|p| p == sent)),
        ),
        (
            "max_tokens",
            wants.max_tokens.is_some_and(|asked| endpoint.max_completion_tokens.is_some_and(|most| asked > most)),
        ),
        // Tier endpoints are asked for by tag or variant, not stumbled upon.
        (
            "service_tier",
            endpoint.service_tier.as_deref().is_some_and(|tier| admitted != Some(tier))
                && !named(order)
                && !only.as_ref().is_some_and(|only| named(only)),
        ),
        ("max_cost", max_cost.is_some() && !(wants.is_affordable)(endpoint)),
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

/// In a strict order; of equals the cheaper one first.
fn sorted<'e>(
    sort: Sort,
    candidates: Vec<(usize, &'e Endpoint, Option<Behind>)>,
    health: &Health,
    model: &str,
) -> Vec<Scored<'e>> {
    let scored = candidates.into_iter().map(|(i, e, behind)| (i, e, behind, measure(sort, e, health, model)));
    let mut scored: Vec<_> = scored.collect();
    scored.sort_by(|(_, a, behind_a, x), (_, b, behind_b, y)| {
        before(sort, (*behind_a, *x), (*behind_b, *y)).then_with(|| price_of(a).cmp(&price_of(b)))
    });
    scored
}

/// Which of two stands first in a strict order.
pub fn before(sort: Sort, a: (Option<Behind>, f64), b: (Option<Behind>, f64)) -> Ordering {
    let best_first = if sort.largest_first() { b.1.total_cmp(&a.1) } else { a.1.total_cmp(&b.1) };
    Behind::rank(a.0).cmp(&Behind::rank(b.0)).then(best_first)
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
        Sort::Exacto => {
            let has_tools = endpoint.supported_parameters.iter().any(|known| known == "tools");
            // Whole per cent: a single failure long ago is no reason to take a dearer one.
            let successful = (100.0 * (1.0 - seen.map_or(0.0, |seen| seen.failure_rate))).round();
            if has_tools { successful } else { successful - 100.0 }
        }
    }
}

/// Draws an order without putting back, each by weight / price squared; weight 0, the slow and outages go last.
fn draw<'e>(candidates: Vec<(usize, &'e Endpoint, Option<Behind>)>, rng: &mut Rng) -> Vec<Scored<'e>> {
    #[expect(clippy::cast_precision_loss, reason = "a probability, not an amount")]
    let share = |endpoint: &Endpoint| {
        // A free endpoint counts as one pico-dollar, an unpriced one as a dollar a token.
        let price = endpoint.pricing.as_ref().map_or(1e12, |p| p.combined().max(1) as f64);
        endpoint.weight.unwrap_or(1.0) / (price * price)
    };
    let mut drawn: Vec<_> = candidates
        .into_iter()
        .map(|(index, endpoint, behind)| {
            let share = share(endpoint);
            // The smallest of exponential variables with these rates is drawn with these shares
            // (Efraimidis and Spirakis), which orders all of them in one go.
            let key = if share > 0.0 { -(1.0 - rng.next_unit()).ln() / share } else { f64::INFINITY };
            ((index, endpoint, behind, share), key)
        })
        .collect();
    drawn.sort_by(|((_, a, behind_a, _), x), ((_, b, behind_b, _), y)| {
        let standing = Behind::rank(*behind_a).cmp(&Behind::rank(*behind_b));
        standing.then(x.total_cmp(y)).then_with(|| price_of(a).cmp(&price_of(b)))
    });
    drawn.into_iter().map(|(scored, _)| scored).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::{KeyKind, KeyRecord},
        ids::Rng,
        routing::{cutoffs::Cutoffs, preferences::MaxPrice},
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
            self.plan_with(preferences, seed, |wants| Wants { variant_sort, ..wants })
        }

        fn plan_with<'c>(
            &'c self,
            preferences: &'c Preferences,
            seed: u64,
            change: impl FnOnce(Wants<'c>) -> Wants<'c>,
        ) -> Plan {
            let wants = change(Wants {
                can_serve: &|_| true,
                principal: &self.principal,
                preferences,
                variant_sort: None,
                variant_tier: None,
                parameters: &["tools"],
                max_tokens: None,
                is_affordable: &|endpoint| endpoint.provider == "cheap",
            });
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
                Preferences {
                    max_price: MaxPrice {
                        prompt: Some(crate::money::Price::from_pico(3_000_000)),
                        ..MaxPrice::default()
                    },
                    ..base()
                },
                vec!["cheap", "mid"],
                "provider.max_price",
            ),
            (Preferences { require_parameters: true, ..base() }, vec!["cheap"], "provider.require_parameters"),
            (Preferences { distillable: true, ..base() }, vec![], "provider.enforce_distillable_text"),
            (Preferences { max_cost: Some(crate::money::NanoUsd(1)), ..base() }, vec!["cheap"], "max_cost"),
        ] {
            let world = world();
            let plan = world.plan(&preferences, Some(Sort::Price), 1);
            assert_eq!(world.tags(&plan), left, "{preferences:?}");
            assert!(plan.excluded.iter().any(|e| e.rule == rule), "{:?}", plan.excluded);
            assert!(plan.excluded.contains(&Excluded { tag: "dark".to_owned(), rule: "no_credential" }));
        }
    }

    #[test]
    fn longer_answers_than_an_endpoint_writes_are_not_asked_of_it() {
        let world = world();
        let none = Preferences::none();
        let plan = world.plan_with(&none, 1, |wants| Wants { max_tokens: Some(101), ..wants });
        assert!(plan.excluded.contains(&Excluded { tag: "cheap".to_owned(), rule: "max_tokens" }));
        let plan = world.plan_with(&none, 1, |wants| Wants { max_tokens: Some(100), ..wants });
        assert_eq!(plan.candidates.len(), 3);
    }

    #[test]
    fn caps_of_pieces_hold_for_those_that_bill_them() {
        let price = |text| crate::money::Price::parse(text).unwrap();
        let pricing = crate::catalog::Pricing {
            image: Some(price("0.01")),
            audio: Some(price("0.00004")),
            request: Some(price("0.1")),
            ..Default::default()
        };
        let plain = crate::catalog::Pricing::default();
        let none = MaxPrice::default();
        for (cap, exceeded) in [
            (MaxPrice { image: Some(price("0.01")), ..none }, false),
            (MaxPrice { image: Some(price("0.009")), ..none }, true),
            (MaxPrice { audio: Some(price("0.00003")), ..none }, true),
            (MaxPrice { request: Some(price("0.09")), ..none }, true),
            (MaxPrice { request: Some(price("0.1")), audio: Some(price("0.00004")), ..none }, false),
        ] {
            assert_eq!(cap.is_exceeded_by(Some(&pricing)), exceeded, "{cap:?}");
            assert!(!cap.is_exceeded_by(Some(&plain)) && cap.is_exceeded_by(None), "{cap:?}");
        }
        assert!(!none.is_exceeded_by(None));
    }

    #[test]
    fn a_variant_lets_its_tier_in_as_long_as_its_sort_orders() {
        let mut world = world();
        world.model.endpoints[3].expected = Some(crate::catalog::Expected { ttft_ms: None, throughput: Some(900.0) });
        let (base, none) = (Preferences::none, Preferences::none());
        let order = vec!["mid".to_owned()];
        let has = |preferences: Preferences, tier: &'static str| {
            let plan = world.plan_with(&preferences, 1, |wants| Wants {
                variant_sort: Some(Sort::Throughput),
                variant_tier: Some(tier),
                ..wants
            });
            world.tags(&plan).contains(&"fast/priority".to_owned())
        };
        assert!(has(base(), "priority"));
        assert!(!has(base(), "flex"));
        assert!(!has(Preferences { order, ..base() }, "priority"));
        assert!(!has(Preferences { sort: Some(Sort::Price), ..base() }, "priority"));
        assert!(!has(Preferences { default_tier: true, ..base() }, "priority"));
        let plan = world.plan_with(&none, 1, |wants| Wants {
            variant_sort: Some(Sort::Throughput),
            variant_tier: Some("priority"),
            ..wants
        });
        assert_eq!(world.tags(&plan), ["fast/priority", "fast", "mid", "cheap"]);
    }

    #[test]
    fn who_is_slower_than_preferred_stands_behind_and_who_has_failed_behind_these() {
        let mut world = world();
        let cutoffs = |figure| Some(Cutoffs { most: figure, least: figure });
        let wanted = Preferences { min_throughput: cutoffs(50.0), ..Preferences::none() };
        let plan = world.plan(&wanted, Some(Sort::Price), 1);
        assert_eq!(world.tags(&plan), ["mid", "fast", "cheap"]);
        assert_eq!(plan.candidates[2].behind, Some(Behind::Throughput));
        let soon = Preferences { max_latency: cutoffs(0.2), ..Preferences::none() };
        let plan = world.plan(&soon, Some(Sort::Price), 1);
        assert_eq!(world.tags(&plan), ["mid", "cheap", "fast"]);
        assert_eq!(plan.candidates[1].behind, Some(Behind::Latency));
        // What is measured counts, and an outage more than both.
        world.health.succeeded("x/m", "cheap", None, Some(60.0));
        world.health.failed("x/m", "mid", Millis(999_000), None);
        let plan = world.plan(&wanted, Some(Sort::Price), 1);
        assert_eq!(world.tags(&plan), ["cheap", "fast", "mid"]);
        assert_eq!(plan.candidates[2].behind, Some(Behind::Outage));
        // Of what nothing is known, nothing is held against it.
        world.model.endpoints[0].expected = None;
        world.health = Health::default();
        assert_eq!(world.tags(&world.plan(&wanted, Some(Sort::Price), 1)), ["cheap", "mid", "fast"]);
        let drawn = world.plan(&Preferences { min_throughput: cutoffs(1000.0), ..Preferences::none() }, None, 7);
        assert_eq!(world.tags(&drawn)[0], "cheap");
    }

    #[test]
    fn exacto_prefers_who_has_tools_then_who_fails_least() {
        let mut world = world();
        let none = Preferences::none();
        let mut order = |health: Health| {
            world.health = health;
            world.tags(&world.plan(&none, Some(Sort::Exacto), 1))
        };
        assert_eq!(order(Health::default()), ["cheap", "mid", "fast"]);
        let mut health = Health::default();
        for tag in ["mid", "mid", "cheap"] {
            health.failed("x/m", tag, Millis(0), None);
            health.succeeded("x/m", tag, None, None);
        }
        assert_eq!(order(health), ["cheap", "fast", "mid"]);
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

    fn tags_of(strategy: &'static str) -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec(strategy, 0..3)
    }

    /// Every filter, each absent as often as not, and what only orders.
    fn preferences() -> impl Strategy<Value = Preferences> {
        let names = "(cheap|mid|fast|fast/priority|dark|nobody)";
        let filters = (
            prop::option::of(tags_of(names)),
            tags_of(names),
            any::<(bool, bool, bool, bool)>(),
            prop::option::of(tags_of("(fp8|unknown|int4)")),
            prop::option::of(0_u64..30_000_000),
            prop::option::of(Just(crate::money::NanoUsd(1))),
        );
        let sorts = [None, Some(Sort::Price), Some(Sort::Throughput), Some(Sort::Latency), Some(Sort::Exacto)];
        let orders =
            (tags_of(names), prop::sample::select(sorts.to_vec()), prop::option::of(1.0..300.0), any::<bool>());
        (filters, orders).prop_map(|(filters, (order, sort, speed, allow_fallbacks))| {
            let (only, ignore, (zdr, deny, require, default_tier), quantizations, price, max_cost) = filters;
            let prompt = price.map(crate::money::Price::from_pico);
            Preferences {
                order,
                only,
                ignore,
                allow_fallbacks,
                sort,
                min_throughput: speed.map(|speed| Cutoffs { most: speed, least: speed }),
                max_price: MaxPrice { prompt, ..MaxPrice::default() },
                max_cost,
                default_tier,
                require_parameters: require,
                deny_data_collection: deny,
                zdr,
                quantizations,
                ..Preferences::none()
            }
        })
    }

    /// The same without one of the filters.
    fn without(preferences: &Preferences, filter: usize) -> Preferences {
        let mut wider = preferences.clone();
        match filter {
            0 => wider.only = None,
            1 => wider.ignore = Vec::new(),
            2 => wider.zdr = false,
            3 => wider.deny_data_collection = false,
            4 => wider.require_parameters = false,
            5 => wider.quantizations = None,
            6 => wider.max_price = MaxPrice::default(),
            _ => wider.max_cost = None,
        }
        wider
    }

    proptest! {
        #[test]
        fn a_plan_lists_every_endpoint_once_and_repeats_itself(seed: u64, preferences in preferences()) {
            let world = world();
            let plan = world.plan(&preferences, None, seed);
            let mut seen: Vec<_> = plan.excluded.iter().map(|e| e.tag.clone()).chain(world.tags(&plan)).collect();
            seen.sort();
            prop_assert_eq!(seen, ["cheap", "dark", "fast", "fast/priority", "mid"]);
            prop_assert!(world.tags(&plan).iter().all(|tag| tag != "dark"));
            prop_assert_eq!(world.plan(&preferences, None, seed), plan);
        }

        #[test]
        fn a_filter_only_shrinks_the_set(seed: u64, preferences in preferences(), filter in 0_usize..8) {
            let world = world();
            // Who stands first alone is another one without the filter; a name in `only` asks for tiers, too.
            let mut preferences = Preferences { allow_fallbacks: true, ..preferences };
            if filter == 0 {
                preferences.only.iter_mut().flatten().for_each(|name| *name = name.replace("/priority", ""));
            }
            let (narrow, wide) = (world.plan(&preferences, None, seed), world.plan(&without(&preferences, filter), None, seed));
            let wide = world.tags(&wide);
            prop_assert!(world.tags(&narrow).iter().all(|tag| wide.contains(tag)), "{:?} {:?}", narrow, wide);
        }

        #[test]
        fn order_never_resurrects_who_a_filter_removed(seed: u64, preferences in preferences()) {
            let world = world();
            let unordered = Preferences { order: Vec::new(), allow_fallbacks: true, ..preferences.clone() };
            let removed = world.plan(&unordered, None, seed).excluded;
            let tags = world.tags(&world.plan(&preferences, None, seed));
            // The tier's own rule is that it has to be named.
            for Excluded { tag, .. } in removed.iter().filter(|out| out.rule != "service_tier") {
                prop_assert!(!tags.contains(tag), "{}", tag);
            }
        }

        #[test]
        fn what_only_orders_removes_nobody(seed: u64, preferences in preferences()) {
            let world = world();
            let preferences = Preferences { allow_fallbacks: true, order: Vec::new(), ..preferences };
            let plain = Preferences { sort: None, min_throughput: None, ..preferences.clone() };
            let mut both = [world.tags(&world.plan(&preferences, None, seed)), world.tags(&world.plan(&plain, None, seed))];
            for tags in &mut both {
                tags.sort();
            }
            prop_assert_eq!(&both[0], &both[1]);
        }
    }

    /// `cargo test --release --lib -- --ignored --nocapture a_plan_of_twenty`: what a plan costs.
    #[test]
    #[ignore = "a measurement"]
    #[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "it tells a duration")]
    fn a_plan_of_twenty_endpoints_is_quick() {
        let mut world = world();
        for n in 0..16 {
            let mut more = world.model.endpoints[n % 3].clone();
            more.tag = Some(format!("{}/{n}", more.provider));
            world.health.succeeded("x/m", more.tag(), Some(100.0), Some(50.0));
            world.model.endpoints.push(more);
        }
        let cutoffs = Some(Cutoffs { most: 20.0, least: 20.0 });
        let wanted = Preferences { min_throughput: cutoffs, ignore: vec!["nobody".to_owned()], ..Preferences::none() };
        for sort in [None, Some(Sort::Price)] {
            let start = std::time::Instant::now();
            let count: usize = (1..=100_000).map(|seed| world.plan(&wanted, sort, seed).candidates.len()).sum();
            let each = start.elapsed() / 100_000;
            println!("{sort:?}: {each:?} for {} of {} endpoints", count / 100_000, world.model.endpoints.len());
        }
    }
}
