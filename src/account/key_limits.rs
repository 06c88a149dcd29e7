//! The limits that a key's own body sets, as meters of its account `key:<account>`:
//!
//! | field | meter |
//! |---|---|
//! | `limit`, `limit_reset` | `limit`: a hard budget in USD |
//! | `rate_limit.requests_per_minute` | `requests_per_minute`: a rate, as the three that follow |
//! | `rate_limit.tokens_per_minute` | `tokens_per_minute` |
//! | `rate_limit.tokens_per_day` | `tokens_per_day`, by UTC days |
//! | `rate_limit.max_parallel` | `max_parallel` |
//! | `rate_limit.models.<id>.<one of the four>` | `<its name>@<id>` |
//!
//! Meters are the only truth: rows are read from them, also when `/budgets` changed them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{budgets, key_usage::Used, terms};
use crate::{
    admin::body::Given,
    budget::{AccountKind, AccountRef, Meter, Period, Terms, Unit, book},
    error::Result,
    money::NanoUsd,
    ports::Sql,
    time::{Millis, Window},
};

/// The meter of OpenRouter's `limit`.
pub(super) const LIMIT: &str = "limit";

/// How often a key's limit starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LimitReset {
    Daily,
    Weekly,
    Monthly,
}

impl LimitReset {
    fn period(reset: Option<Self>) -> Period {
        match reset {
            None => Period::Lifetime,
            Some(Self::Daily) => Period::Daily,
            Some(Self::Weekly) => Period::Weekly,
            Some(Self::Monthly) => Period::Monthly,
        }
    }
}

/// What a key's body says about limits, checked.
#[derive(Debug, Default)]
pub(super) struct LimitChange {
    pub(super) limit: Given<i64>,
    pub(super) reset: Given<LimitReset>,
    pub(super) rates: Given<RateLimit>,
}

/// `rate_limit` of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RateLimit {
    requests_per_minute: Option<u64>,
    tokens_per_minute: Option<u64>,
    tokens_per_day: Option<u64>,
    max_parallel: Option<u64>,
    models: BTreeMap<String, ModelRates>,
}

/// The same of one model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ModelRates {
    requests_per_minute: Option<u64>,
    tokens_per_minute: Option<u64>,
    tokens_per_day: Option<u64>,
    max_parallel: Option<u64>,
}

/// A rate: name, unit, period.
type Rate = (&'static str, Unit, Period);

const RATES: [Rate; 4] = [
    ("requests_per_minute", Unit::Requests, Period::Seconds(60)),
    ("tokens_per_minute", Unit::Tokens, Period::Seconds(60)),
    ("tokens_per_day", Unit::Tokens, Period::Daily),
    ("max_parallel", Unit::Parallel, Period::Lifetime),
];

impl RateLimit {
    /// Checks the numbers and the models' ids.
    pub(super) fn check(&self) -> Result<()> {
        for (model, (name, ..), number) in self.each() {
            let place = model.map_or_else(|| "rate_limit".to_owned(), |model| format!("rate_limit.models.{model}"));
            terms::count(&format!("{place}.{name}"), number)?;
        }
        self.models.keys().try_for_each(|model| budgets::check_model("rate_limit.models", model))
    }

    /// Every rate that is set: for which model, which, how much.
    fn each(&self) -> Vec<(Option<&str>, Rate, u64)> {
        let own = [self.requests_per_minute, self.tokens_per_minute, self.tokens_per_day, self.max_parallel];
        let models = self.models.iter().map(|(model, rates)| {
            let four = [rates.requests_per_minute, rates.tokens_per_minute, rates.tokens_per_day, rates.max_parallel];
            (Some(model.as_str()), four)
        });
        std::iter::once((None, own))
            .chain(models)
            .flat_map(|(model, four)| RATES.into_iter().zip(four).map(move |(rate, number)| (model, rate, number)))
            .filter_map(|(model, rate, number)| Some((model, rate, number?)))
            .collect()
    }
}

/// A key's account.
pub(super) fn account_of(account: &str) -> AccountRef {
    AccountRef::new(AccountKind::Key, account)
}

/// Defines and removes meters as a body says; true if there was anything to do. `reset` is the key's
/// `limit_reset` from before, for a key without a limit; `used` is what it has used, which a new
/// `limit` counts from the start.
pub(super) fn apply(
    sql: &dyn Sql,
    account: &AccountRef,
    change: LimitChange,
    reset: Option<LimitReset>,
    used: &Used,
    now: Millis,
) -> Result<bool> {
    let mut changed = false;
    if change.limit != Given::Absent || change.reset != Given::Absent {
        let known = book::find(sql, account, LIMIT)?.map(|meter| meter.terms);
        let period = match change.reset {
            Given::Absent => known.as_ref().map_or(LimitReset::period(reset), |terms| terms.period),
            Given::Null => Period::Lifetime,
            Given::Value(reset) => LimitReset::period(Some(reset)),
        };
        match change.limit.over(known.as_ref().map(|terms| terms.limit)) {
            None => changed |= budgets::remove(sql, account, LIMIT)?,
            Some(limit) => {
                let fresh = known.as_ref().is_none_or(|terms| terms.period != period);
                let known = known.unwrap_or_else(|| Terms::budget(account.clone(), LIMIT, Unit::Usd, period, limit));
                let id = budgets::define(sql, &Terms { period, limit, ..known }, now)?;
                if fresh {
                    book::begin_with(sql, id, spent_in(period, used).0, now)?;
                }
                changed = true;
            }
        }
    }
    match change.rates {
        Given::Absent => {}
        Given::Null => changed |= replace_rates(sql, account, &RateLimit::default(), now)?,
        Given::Value(rates) => changed |= replace_rates(sql, account, &rates, now)?,
    }
    Ok(changed)
}

fn spent_in(period: Period, used: &Used) -> NanoUsd {
    used.own.within(match period {
        Period::Daily => Some(Window::Day),
        Period::Weekly => Some(Window::Week),
        Period::Monthly => Some(Window::Month),
        Period::Lifetime | Period::Seconds(_) => None,
    })
}

fn replace_rates(sql: &dyn Sql, account: &AccountRef, rates: &RateLimit, now: Millis) -> Result<bool> {
    let mut wanted = Vec::new();
    for (model, (name, unit, period), number) in rates.each() {
        let name = budgets::with_model(name, model);
        let limit = terms::count("rate_limit", number)?;
        let terms = Terms::rate(account.clone(), name, unit, period, limit);
        wanted.push(Terms { model: model.map(str::to_owned), ..terms });
    }
    let mut changed = false;
    for meter in book::of_account(sql, account, now)? {
        let name = meter.terms.name;
        if rate_of(&name).is_some() && !wanted.iter().any(|terms| terms.name == name) {
            changed |= budgets::remove(sql, account, &name)?;
        }
    }
    for terms in wanted {
        budgets::define(sql, &terms, now)?;
        changed = true;
    }
    Ok(changed)
}

/// Which of the four rates a meter's name says.
fn rate_of(name: &str) -> Option<&'static str> {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    RATES.into_iter().map(|(rate, ..)| rate).find(|rate| *rate == name)
}

/// A key's limits as they stand.
pub(super) struct Limits {
    /// Every meter of its account.
    meters: Vec<Meter>,
}

impl Limits {
    /// Reads them, with what every key has by default.
    pub(super) fn read(sql: &dyn Sql, account: &str, now: Millis) -> Result<Self> {
        let account = account_of(account);
        book::inherit(sql, &account)?;
        Ok(Self { meters: book::of_account(sql, &account, now)? })
    }

    /// `limit`, `limit_remaining` and `limit_reset` of a row.
    pub(super) fn limit(&self, now: Millis) -> Option<(Value, Value, Value)> {
        let meter = self.meters.iter().find(|meter| meter.terms.name == LIMIT)?;
        let limit = meter.terms.limit_at(now);
        let remaining = NanoUsd((limit - meter.spent).max(0));
        let reset = (meter.terms.period != Period::Lifetime).then(|| terms::interval_name(meter.terms.period));
        Some((NanoUsd(limit).to_json(), remaining.to_json(), json!(reset)))
    }

    /// `rate_limit` of a row: as it was set, or `null`.
    pub(super) fn rates(&self, now: Millis) -> Value {
        let rates = || self.meters.iter().filter_map(|meter| Some((meter, rate_of(&meter.terms.name)?)));
        if rates().next().is_none() {
            return Value::Null;
        }
        let of = |model: Option<&str>| -> Map<String, Value> {
            let here = |wanted: &str| {
                let found = rates().find(|(meter, rate)| *rate == wanted && meter.terms.model.as_deref() == model);
                json!(found.map(|(meter, _)| meter.terms.limit_at(now)))
            };
            RATES.into_iter().map(|(name, ..)| (name.to_owned(), here(name))).collect()
        };
        let mut row = of(None);
        let models: BTreeMap<&str, Map<String, Value>> = rates()
            .filter_map(|(meter, _)| meter.terms.model.as_deref())
            .map(|model| (model, of(Some(model))))
            .collect();
        if !models.is_empty() {
            row.insert("models".to_owned(), json!(models));
        }
        row.into()
    }

    /// The same with the three members that OpenRouter's older clients want.
    pub(super) fn rates_for_older_clients(&self, now: Millis) -> Value {
        let mut rates = self.rates(now);
        let per_minute = rates.get("requests_per_minute").and_then(Value::as_i64);
        let mut row = match rates.as_object_mut() {
            Some(rates) => std::mem::take(rates),
            None => Map::new(),
        };
        let note = match per_minute {
            Some(_) => "Requests in each minute from the first one on.",
            None => "Requests per minute are not limited.",
        };
        row.insert("requests".to_owned(), json!(per_minute.unwrap_or(-1)));
        row.insert("interval".to_owned(), json!("60s"));
        row.insert("note".to_owned(), json!(note));
        row.into()
    }
}
