//! The budgets that a key is under, as `GET /key` lists them (OpenRouter's `KeyBudget`, additions after).

use serde_json::{Value, json};

use super::{credits, ledger, terms};
use crate::{
    auth::KeyRecord,
    budget::{AccountKind, AccountRef, Meter, Period, Unit, book, meter::FOR_EVER},
    error::Result,
    money::NanoUsd,
    ports::Sql,
    time::Millis,
};

/// Every budget in USD of the key, its workspace and its organization, and of the hard ones that count
/// every model the one with the least remaining, or `null`.
pub(super) fn read(sql: &dyn Sql, record: &KeyRecord, include_byok: bool, now: Millis) -> Result<(Vec<Value>, Value)> {
    let mut meters = Vec::new();
    for account in [
        AccountRef::new(AccountKind::Key, record.account.as_str()),
        AccountRef::new(AccountKind::Workspace, record.workspace_id.as_str()),
        AccountRef::new(AccountKind::Organization, record.org.as_str()),
    ] {
        book::inherit(sql, &account)?;
        meters.extend(book::of_account(sql, &account, now)?);
    }
    meters.retain(|meter| meter.terms.unit == Unit::Usd);
    let rows = meters.iter().map(|meter| row(sql, meter, include_byok, now)).collect::<Result<Vec<Value>>>()?;
    let effective = meters
        .iter()
        .zip(&rows)
        .filter(|(meter, _)| meter.terms.hard && meter.terms.model.is_none())
        .min_by_key(|(meter, _)| remaining(meter, now))
        .map_or(Value::Null, |(_, row)| row.clone());
    Ok((rows, effective))
}

fn remaining(meter: &Meter, now: Millis) -> i64 {
    meter.terms.limit_at(now) - meter.spent
}

fn row(sql: &dyn Sql, meter: &Meter, include_byok: bool, now: Millis) -> Result<Value> {
    let (mut limit, mut spent) = (meter.terms.limit_at(now), meter.spent);
    let scope = match meter.terms.account.kind {
        AccountKind::Organization if meter.terms.name == credits::METER => {
            // The meter's own figures are such that what is free is the balance; people know the ledger's.
            let standing = ledger::standing(sql)?;
            (limit, spent) = (standing.credits.0, standing.usage().0);
            "credits"
        }
        AccountKind::Key if meter.terms.name == super::key_limits::LIMIT => "key_limit",
        AccountKind::Key => "api_key",
        kind => kind.name(),
    };
    let reset = (meter.terms.period != Period::Lifetime).then(|| terms::interval_name(meter.terms.period));
    let resets_at = Some(meter.until).filter(|until| now < *until && *until != FOR_EVER);
    Ok(json!({
        "scope": scope,
        "limit_usd": NanoUsd(limit).to_json(),
        "spend_usd": NanoUsd(spent).to_json(),
        "remaining_usd": NanoUsd(remaining(meter, now)).to_json(),
        "reset_interval": reset,
        "resets_at": resets_at.map(Millis::iso),
        "budget_id": meter.id.0.to_string(),
        "guardrail_id": null,
        "include_byok": include_byok && scope == "key_limit",
        "hard": meter.terms.hard,
        "model": meter.terms.model,
    }))
}
