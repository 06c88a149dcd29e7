//! `/budgets`: any budget or rate limit of any account. Each is a meter (`budget::book`); this is how
//! requests define it and how it is shown.
//!
//! | command | answers |
//! |---|---|
//! | `POST`, `PUT /budgets` | 201 the new row; 200 if the account had one of the same unit, interval and model, which it replaces |
//! | `GET /budgets?account=` | 200 rows of all accounts, of a kind (`user`) or of one (`user:alice`), in the order of definition |
//! | `GET`, `PATCH`, `DELETE /budgets/{id}` | 200, or 404 |
//! | `POST /budgets/{id}/forgive` | 200 the row, and what dead sessions held and no longer hold |
//!
//! With `interval` it is a budget (402 when it is used up), with `per` or as `limit_parallel` a rate
//! limit (429). Names follow from unit, interval and model, so what defines twice replaces. Table
//! `meter_dates`: when a meter was defined and changed. Every change is noted in the change feed.

mod body;

use serde_json::{Value, json};

use self::body::{BudgetBody, field_of};
pub(super) use self::body::{check_model, check_name, with_model};
use super::{commit::LOST_AFTER_MS, credits, keys, terms};
use crate::{
    DEFAULT_ORG,
    admin::{body::parse, query},
    budget::{AccountKind, AccountRef, Meter, MeterId, Terms, book, meter::FOR_EVER},
    error::{Error, ErrorKind, Result},
    ports::{AdminRequest, Param, Sql, SqlError, int, text},
    time::Millis,
};

const MOST_ROWS: i64 = 100;
/// The prepaid balance: a meter that follows the ledger and nothing else.
const CREDITS: &str = "credits";

/// Creates the tables, `book`'s too.
pub(super) fn migrate(sql: &dyn Sql) -> Result<(), SqlError> {
    book::migrate(sql)?;
    sql.run(
        "CREATE TABLE IF NOT EXISTS meter_dates (meter INTEGER PRIMARY KEY, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL)",
        &[],
    )?;
    Ok(())
}

/// Answers a request below `/budgets`.
pub(super) fn handle(sql: &dyn Sql, request: &AdminRequest, path: &[&str], now: Millis) -> Result<(u16, Value)> {
    match (request.method.as_str(), path) {
        ("POST" | "PUT", ["budgets"]) => put(sql, request, now),
        ("GET", ["budgets"]) => Ok((200, list(sql, request, now)?)),
        ("GET", ["budgets", id]) => Ok((200, json!({ "data": row(sql, &by_id(sql, id, now)?, now)? }))),
        ("PATCH", ["budgets", id]) => Ok((200, update(sql, id, request, now)?)),
        ("DELETE", ["budgets", id]) => Ok((200, delete(sql, id, now)?)),
        ("POST", ["budgets", id, "forgive"]) => Ok((200, forgive(sql, id, now)?)),
        _ => Err(Error::internal(format!("budgets do not know {} {}", request.method, request.path))),
    }
}

// What other parts of the API share.

/// Defines a meter and dates it. The caller tells the change feed.
pub(super) fn define(sql: &dyn Sql, terms: &Terms, now: Millis) -> Result<MeterId> {
    let id = book::define(sql, terms)?;
    sql.run(
        "INSERT INTO meter_dates VALUES (?1, ?2, ?2) ON CONFLICT DO UPDATE SET updated_at = excluded.updated_at",
        &[i64::from(id.0).into(), now.0.into()],
    )?;
    Ok(id)
}

/// Removes a meter; false when there is none of that name. The caller tells the change feed.
pub(super) fn remove(sql: &dyn Sql, account: &AccountRef, name: &str) -> Result<bool> {
    let removed = book::remove(sql, account, name)?;
    sql.run("DELETE FROM meter_dates WHERE meter NOT IN (SELECT id FROM meters)", &[])?;
    Ok(removed)
}

/// Removes all meters of an account that is no more.
pub(super) fn remove_all(sql: &dyn Sql, account: &AccountRef, now: Millis) -> Result<()> {
    let meters = book::of_account(sql, account, now)?;
    for meter in &meters {
        remove(sql, account, &meter.terms.name)?;
    }
    if meters.is_empty() { Ok(()) } else { changed(sql, account, now) }
}

/// Tells the change feed that an account, its meters or its stop have changed.
pub(super) fn changed(sql: &dyn Sql, account: &AccountRef, now: Millis) -> Result<()> {
    keys::note_change(sql, &account.to_string(), now)?;
    if matches!(account.kind, AccountKind::User | AccountKind::Session | AccountKind::Tag) {
        // The organization's answer says which of these kinds have meters at all.
        let organization = AccountRef::new(AccountKind::Organization, DEFAULT_ORG);
        keys::note_change(sql, &organization.to_string(), now)?;
    }
    Ok(())
}

/// The row of a meter.
pub(super) fn row(sql: &dyn Sql, meter: &Meter, now: Millis) -> Result<Value> {
    let Terms { account, name, unit, period, model, hard, rate, fail_open, alerts, extra, extra_until, .. } =
        &meter.terms;
    let show = |amount| terms::show(*unit, amount);
    let limit = meter.terms.limit_at(now);
    let (created, updated) = dates(sql, meter)?;
    // A window of seconds that is over, or was never used, begins with the next use.
    let begun = now < meter.until;
    let unsettled = if begun { book::unsettled(sql, meter.id, now.plus(-LOST_AFTER_MS))? } else { 0 };
    let ends = Some(meter.until).filter(|until| begun && *until != FOR_EVER).map(Millis::iso);
    let mut row = json!({
        "id": meter.id.0.to_string(),
        "account": { "kind": account.kind, "id": account.id },
        "name": name,
        "type": if *rate { "rate_limit" } else { "budget" },
        "unit": terms::unit_name(*unit),
        "limit": show(limit),
        "spent": show(meter.spent),
        "held": show(meter.held),
        "remaining": show(limit - meter.spent),
        "unsettled": show(unsettled),
        "interval": terms::interval_name(*period),
        "resets_at": ends,
        "window": { "since": begun.then(|| meter.since.iso()), "until": ends },
        "model": model,
        "hard": hard,
        "fail_open": fail_open,
        "alerts": terms::show_alerts(alerts),
        "increase": extra_until.filter(|until| now < *until).map(|until| json!({
            field_of(*unit): show(*extra), "until": until.iso(),
        })),
        "created_at": created.iso(),
        "updated_at": updated.iso(),
    });
    if let Some(row) = row.as_object_mut() {
        row.insert(field_of(*unit).to_owned(), show(meter.terms.limit));
    }
    Ok(row)
}

/// When a meter was defined and changed. One that was inherited was defined when it was first used.
fn dates(sql: &dyn Sql, meter: &Meter) -> Result<(Millis, Millis)> {
    let rows =
        sql.run("SELECT created_at, updated_at FROM meter_dates WHERE meter = ?1", &[i64::from(meter.id.0).into()])?;
    Ok(rows
        .first()
        .map_or((meter.since, meter.since), |row| (Millis(int(row, "created_at")), Millis(int(row, "updated_at")))))
}

// Commands.

fn put(sql: &dyn Sql, request: &AdminRequest, now: Millis) -> Result<(u16, Value)> {
    let terms = parse::<BudgetBody>(request.body.as_ref())?.terms(sql, now)?;
    let known = book::find(sql, &terms.account, &terms.name)?.is_some();
    define(sql, &terms, now)?;
    changed(sql, &terms.account, now)?;
    let data = row(sql, &by_name(sql, &terms.account, &terms.name, now)?, now)?;
    Ok((if known { 200 } else { 201 }, json!({ "data": data })))
}

fn update(sql: &dyn Sql, id: &str, request: &AdminRequest, now: Millis) -> Result<Value> {
    let body: BudgetBody = parse(request.body.as_ref())?;
    let terms = body.over(changeable(by_id(sql, id, now)?)?.terms, now)?;
    define(sql, &terms, now)?;
    changed(sql, &terms.account, now)?;
    Ok(json!({ "data": row(sql, &by_id(sql, id, now)?, now)? }))
}

fn delete(sql: &dyn Sql, id: &str, now: Millis) -> Result<Value> {
    let Terms { account, name, .. } = changeable(by_id(sql, id, now)?)?.terms;
    remove(sql, &account, &name)?;
    changed(sql, &account, now)?;
    Ok(json!({ "deleted": true }))
}

fn forgive(sql: &dyn Sql, id: &str, now: Millis) -> Result<Value> {
    let Meter { id: number, terms, .. } = by_id(sql, id, now)?;
    let balance = credits::held(sql)?;
    let amount = book::forgive(sql, number, now.plus(-LOST_AFTER_MS))?;
    if terms.name == credits::METER {
        credits::forgiven(sql, balance, amount, now)?;
    }
    changed(sql, &terms.account, now)?;
    let row = row(sql, &by_id(sql, id, now)?, now)?;
    Ok(json!({ "data": row, "forgiven": terms::show(terms.unit, amount) }))
}

fn list(sql: &dyn Sql, request: &AdminRequest, now: Millis) -> Result<Value> {
    let (offset, limit) = query::page(&request.query, MOST_ROWS, MOST_ROWS)?;
    // Accounts of a kind lie between `kind:` and `kind;`.
    let (from, to) = match query::text(&request.query, "account") {
        None => (String::new(), "~".to_owned()),
        Some(account) if account.contains(':') => {
            let account: AccountRef =
                account.parse().map_err(|why| Error::invalid("account", format!("account: {why}.")))?;
            (account.to_string(), account.to_string())
        }
        Some(kind) if AccountKind::ALL.iter().any(|known| known.name() == kind) => {
            (format!("{kind}:"), format!("{kind};"))
        }
        Some(_) => return Err(Error::invalid("account", "account must be a kind of account, or kind:id.")),
    };
    let range: [Param; 2] = [from.into(), to.into()];
    let total = sql.run("SELECT count(*) AS n FROM meters WHERE account >= ?1 AND account <= ?2", &range)?;
    let [from, to] = range;
    let page = sql.run(
        "SELECT account, name FROM meters WHERE account >= ?1 AND account <= ?2 ORDER BY id LIMIT ?3 OFFSET ?4",
        &[from, to, limit.into(), offset.into()],
    )?;
    let data = page
        .iter()
        .map(|found| {
            let account: AccountRef = text(found, "account").parse().map_err(Error::internal)?;
            row(sql, &by_name(sql, &account, text(found, "name"), now)?, now)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(json!({ "data": data, "total_count": total.first().map_or(0, |row| int(row, "n")) }))
}

/// A meter in its window of now.
fn by_name(sql: &dyn Sql, account: &AccountRef, name: &str, now: Millis) -> Result<Meter> {
    let mut meters = book::of_account(sql, account, now)?.into_iter();
    meters.find(|meter| meter.terms.name == name).ok_or_else(not_found)
}

fn by_id(sql: &dyn Sql, id: &str, now: Millis) -> Result<Meter> {
    let number: u32 = id.parse().map_err(|_| not_found())?;
    let rows = sql.run("SELECT account, name FROM meters WHERE id = ?1", &[i64::from(number).into()])?;
    let found = rows.first().ok_or_else(not_found)?;
    by_name(sql, &text(found, "account").parse().map_err(Error::internal)?, text(found, "name"), now)
}

fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "There is no budget or limit with this id.").param("id")
}

/// The balance is no budget that one sets.
fn changeable(meter: Meter) -> Result<Meter> {
    if meter.terms.account.kind == AccountKind::Organization && meter.terms.name == CREDITS {
        let message = "This is the prepaid balance: it follows the credits (POST /v1/credits).";
        return Err(Error::new(ErrorKind::Conflict, message).param("id"));
    }
    Ok(meter)
}

#[cfg(test)]
mod tests;
