//! A workspace's budgets by interval: the meters `usd/<interval>` of `workspace:<id>`, the ones that
//! `/budgets` would define. Longer intervals must have larger limits, as OpenRouter demands.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{budgets, terms},
    Workspace, account, find, save,
};
use crate::{
    admin::body,
    budget::{Meter, Period, Terms, Unit, book},
    error::{Error, ErrorKind, Result},
    money::NanoUsd,
    ports::{AdminRequest, Sql},
    time::Millis,
};

const DEFAULT_ALERTS: [u16; 3] = [500, 800, 900];
/// An interval of a workspace's budgets: its place in the order in which limits must grow, its name.
type Interval = (u8, &'static str, Period);

const INTERVALS: [Interval; 4] = [
    (1, "daily", Period::Daily),
    (2, "weekly", Period::Weekly),
    (3, "monthly", Period::Monthly),
    (4, "lifetime", Period::Lifetime),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetBody {
    limit_usd: f64,
    #[serde(default)]
    hard: Option<bool>,
    #[serde(default)]
    alerts: Option<Vec<f64>>,
    #[serde(default)]
    include_byok_in_budgets: Option<bool>,
}

/// The interval that a path names.
fn interval_of(name: &str) -> Result<Interval> {
    let found = INTERVALS.into_iter().find(|(_, known, _)| *known == name);
    found.ok_or_else(|| Error::invalid("interval", "interval must be daily, weekly, monthly or lifetime."))
}

/// The workspace's budgets, shortest interval first.
fn budgets_of(sql: &dyn Sql, id: &str, now: Millis) -> Result<Vec<(Interval, Meter)>> {
    let account = account(id);
    book::inherit(sql, &account)?;
    let mut found: Vec<_> = book::of_account(sql, &account, now)?
        .into_iter()
        .filter_map(|meter| Some((interval_of(meter.terms.name.strip_prefix("usd/")?).ok()?, meter)))
        .collect();
    found.sort_by_key(|((place, ..), _)| *place);
    Ok(found)
}

fn budget_row(sql: &dyn Sql, id: &str, name: &str, meter: &Meter, now: Millis) -> Result<Value> {
    let mut row = budgets::row(sql, meter, now)?;
    if let Some(row) = row.as_object_mut() {
        let reset = (meter.terms.period != Period::Lifetime).then_some(name);
        row.extend([("workspace_id".to_owned(), json!(id)), ("reset_interval".to_owned(), json!(reset))]);
    }
    Ok(row)
}

pub(super) fn list(sql: &dyn Sql, reference: &str, now: Millis) -> Result<Value> {
    let Workspace { id, include_byok_in_budgets, .. } = find(sql, reference)?;
    let found = budgets_of(sql, &id, now)?;
    let data =
        found.iter().map(|((_, name, _), meter)| budget_row(sql, &id, name, meter, now)).collect::<Result<Vec<_>>>()?;
    Ok(json!({ "data": data, "include_byok_in_budgets": include_byok_in_budgets }))
}

pub(super) fn show(sql: &dyn Sql, reference: &str, interval: &str, now: Millis) -> Result<Value> {
    let (_, name, _) = interval_of(interval)?;
    let Workspace { id, include_byok_in_budgets, .. } = find(sql, reference)?;
    let found = budgets_of(sql, &id, now)?.into_iter().find(|((_, known, _), _)| *known == name);
    let (_, meter) = found.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("This workspace has no {name} budget.")).param("interval")
    })?;
    let data = budget_row(sql, &id, name, &meter, now)?;
    Ok(json!({ "data": data, "include_byok_in_budgets": include_byok_in_budgets }))
}

pub(super) fn put(
    sql: &dyn Sql,
    reference: &str,
    interval: &str,
    request: &AdminRequest,
    now: Millis,
) -> Result<Value> {
    let body: BudgetBody = body::parse(request.body.as_ref())?;
    let (wanted, name, period) = interval_of(interval)?;
    let mut workspace = find(sql, reference)?;
    let limit = terms::usd("limit_usd", body.limit_usd)?;
    let alerts = body.alerts.map_or(Ok(DEFAULT_ALERTS.to_vec()), |alerts| terms::alerts(&alerts))?;
    for ((place, other_name, _), other) in budgets_of(sql, &workspace.id, now)? {
        let other = other.terms.limit;
        let (more, wrong) = if place < wanted { ("more", other >= limit) } else { ("less", other <= limit) };
        if place != wanted && wrong {
            let other = NanoUsd(other);
            let message = format!(
                "limit_usd: a {name} budget must be {more} than the {other_name} one, which is ${other} (daily < weekly < monthly < lifetime)."
            );
            return Err(Error::invalid("limit_usd", message));
        }
    }
    let account = account(&workspace.id);
    let terms = Terms::budget(account.clone(), format!("usd/{name}"), Unit::Usd, period, limit);
    budgets::define(sql, &Terms { hard: body.hard.unwrap_or(true), alerts, ..terms }, now)?;
    budgets::changed(sql, &account, now)?;
    if let Some(include) = body.include_byok_in_budgets {
        workspace.include_byok_in_budgets = include;
        save(sql, &workspace)?;
    }
    show(sql, &workspace.id, interval, now)
}

pub(super) fn delete(sql: &dyn Sql, reference: &str, interval: &str, now: Millis) -> Result<Value> {
    let (_, name, _) = interval_of(interval)?;
    let account = account(&find(sql, reference)?.id);
    if budgets::remove(sql, &account, &format!("usd/{name}"))? {
        budgets::changed(sql, &account, now)?;
    }
    Ok(json!({ "deleted": true }))
}
