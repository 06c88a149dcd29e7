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

use serde::Deserialize;
use serde_json::{Value, json};

use super::{commit::LOST_AFTER_MS, keys, terms, workspaces};
use crate::{
    DEFAULT_ORG,
    admin::{
        body::{self, Given},
        query,
    },
    budget::{AccountKind, AccountRef, Meter, MeterId, Period, Terms, Unit, book, meter::FOR_EVER},
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

/// Removes all meters of an account that is no more.
pub(super) fn remove_all(sql: &dyn Sql, account: &AccountRef, now: Millis) -> Result<()> {
    let meters = book::of_account(sql, account, now)?;
    for meter in &meters {
        book::remove(sql, account, &meter.terms.name)?;
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

/// A meter's name, for one model or for all.
pub(super) fn with_model(name: &str, model: Option<&str>) -> String {
    model.map_or_else(|| name.to_owned(), |model| format!("{name}@{model}"))
}

/// Checks a model's id.
pub(super) fn check_model(field: &str, model: &str) -> Result<()> {
    let good = model.len() <= 200 && model.bytes().all(|b| b.is_ascii_graphic() && b != b'*') && model.contains('/');
    if good {
        Ok(())
    } else {
        Err(Error::invalid(field, format!("{field}: {model:?} must be a model id such as \"author/name\".")))
    }
}

/// The row of a meter.
pub(super) fn row(sql: &dyn Sql, meter: &Meter, now: Millis) -> Result<Value> {
    let Terms { account, name, unit, period, model, hard, rate, fail_open, alerts, extra, extra_until, .. } =
        &meter.terms;
    let show = |amount| terms::show(*unit, amount);
    let limit = meter.terms.limit_at(now);
    let unsettled = book::unsettled(sql, meter.id, now.plus(-LOST_AFTER_MS))?;
    let (created, updated) = dates(sql, meter)?;
    // A window of seconds that is over, or was never used, begins with the next use.
    let begun = now < meter.until;
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
pub(super) fn dates(sql: &dyn Sql, meter: &Meter) -> Result<(Millis, Millis)> {
    let rows =
        sql.run("SELECT created_at, updated_at FROM meter_dates WHERE meter = ?1", &[i64::from(meter.id.0).into()])?;
    Ok(rows
        .first()
        .map_or((meter.since, meter.since), |row| (Millis(int(row, "created_at")), Millis(int(row, "updated_at")))))
}

fn field_of(unit: Unit) -> &'static str {
    match unit {
        Unit::Usd => "limit_usd",
        Unit::Tokens => "limit_tokens",
        Unit::Requests => "limit_requests",
        Unit::Parallel => "limit_parallel",
    }
}

// Bodies.

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BudgetBody {
    account: Option<AccountBody>,
    limit_usd: Option<f64>,
    limit_tokens: Option<u64>,
    limit_requests: Option<u64>,
    limit_parallel: Option<u64>,
    max_steps: Option<u64>,
    interval: Option<Value>,
    per: Option<String>,
    model: Option<String>,
    hard: Option<bool>,
    alerts: Option<Vec<f64>>,
    fail_open: Option<bool>,
    increase: Given<Increase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountBody {
    kind: AccountKind,
    id: Option<String>,
}

/// More than the limit, for a while.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Increase {
    limit_usd: Option<f64>,
    limit_tokens: Option<u64>,
    limit_requests: Option<u64>,
    limit_parallel: Option<u64>,
    until: String,
}

/// The one amount among those that a body may give, at `place` within it.
fn amount(place: &str, usd: Option<f64>, counts: [(Unit, Option<u64>); 3]) -> Result<Option<(Unit, i64)>> {
    let field = |unit| format!("{place}{}", field_of(unit));
    let dollars = usd.map(|usd| Ok((Unit::Usd, terms::usd(&field(Unit::Usd), usd)?)));
    let counts = counts
        .into_iter()
        .filter_map(|(unit, number)| number.map(|number| Ok((unit, terms::count(&field(unit), number)?))));
    let given = dollars.into_iter().chain(counts).collect::<Result<Vec<_>>>()?;
    match given.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        [_, (unit, _), ..] => {
            let field = field(*unit);
            let message = format!("{field}: a budget or limit counts one thing; define another for the other.");
            Err(Error::invalid(field, message))
        }
    }
}

impl Increase {
    /// How much of that unit, and until when.
    fn read(&self, unit: Unit, now: Millis) -> Result<(i64, Millis)> {
        let Self { limit_usd, limit_tokens, limit_requests, limit_parallel, until } = self;
        let counts =
            [(Unit::Tokens, *limit_tokens), (Unit::Requests, *limit_requests), (Unit::Parallel, *limit_parallel)];
        let wanted = || {
            let field = format!("increase.{}", field_of(unit));
            Error::invalid(field.clone(), format!("{field} must say by how much the limit is raised."))
        };
        let (_, more) =
            amount("increase.", *limit_usd, counts)?.filter(|(given, _)| *given == unit).ok_or_else(wanted)?;
        let until = terms::moment("increase.until", until)?;
        if until <= now {
            return Err(Error::invalid("increase.until", "increase.until must be in the future."));
        }
        Ok((more, until))
    }
}

impl BudgetBody {
    fn amount(&self) -> Result<Option<(Unit, i64)>> {
        let counts = [
            (Unit::Tokens, self.limit_tokens),
            (Unit::Requests, self.limit_requests),
            (Unit::Parallel, self.limit_parallel),
        ];
        amount("", self.limit_usd, counts)
    }

    /// The whole meter.
    fn terms(mut self, sql: &dyn Sql, now: Millis) -> Result<Terms> {
        let Some(account) = self.account.take() else {
            return Err(Error::invalid("account", "account must be {\"kind\", \"id\"}."));
        };
        let account = account.find(sql)?;
        if let Some(steps) = self.max_steps.take() {
            if account.kind != AccountKind::Session {
                return Err(Error::invalid("max_steps", "max_steps is for accounts of the kind session."));
            }
            if self.amount()?.is_some() || self.interval.is_some() || self.per.is_some() {
                return Err(Error::invalid("max_steps", "max_steps is a limit by itself: no other and no interval."));
            }
            (self.limit_requests, self.interval) = (Some(steps), Some("lifetime".into()));
        }
        let (unit, limit) = self.amount()?.ok_or_else(|| {
            Error::invalid("limit_usd", "One of limit_usd, limit_tokens, limit_requests and limit_parallel is needed.")
        })?;
        let (name, period, rate) = match (unit, &self.interval, self.per.as_deref()) {
            (Unit::Parallel, None, None) => ("max_parallel".to_owned(), Period::Lifetime, true),
            (Unit::Parallel, interval, _) => {
                let field = if interval.is_some() { "interval" } else { "per" };
                return Err(Error::invalid(field, format!("{field}: parallel requests are counted at every moment.")));
            }
            (Unit::Usd, _, Some(_)) => {
                return Err(Error::invalid("per", "per is for requests and tokens; a budget in USD has an interval."));
            }
            (_, Some(_), Some(_)) => {
                return Err(Error::invalid("per", "per makes a rate limit, interval a budget: give one of them."));
            }
            (_, None, None) => {
                return Err(Error::invalid("interval", "interval is needed, or per for a rate limit."));
            }
            (_, Some(value), None) => {
                let period = terms::interval("interval", value)?;
                (format!("{}/{}", terms::unit_name(unit), terms::interval_name(period)), period, false)
            }
            (_, None, Some(per)) => {
                let (word, period) = rate_period(per)?;
                (format!("{}_per_{word}", terms::unit_name(unit)), period, true)
            }
        };
        if let Some(model) = &self.model {
            check_model("model", model)?;
        }
        let terms = Terms::budget(account, with_model(&name, self.model.as_deref()), unit, period, limit);
        let terms = Terms { rate, model: self.model.take(), ..terms };
        self.change(terms, now)
    }

    /// What may be changed of a meter, over what it is.
    fn change(self, mut terms: Terms, now: Millis) -> Result<Terms> {
        if let Some(alerts) = self.alerts {
            terms.alerts = terms::alerts(&alerts)?;
        }
        match self.increase {
            Given::Absent => {}
            Given::Null => (terms.extra, terms.extra_until) = (0, None),
            Given::Value(increase) => {
                let (more, until) = increase.read(terms.unit, now)?;
                (terms.extra, terms.extra_until) = (more, Some(until));
            }
        }
        terms.hard = self.hard.unwrap_or(terms.hard);
        terms.fail_open = self.fail_open.unwrap_or(terms.fail_open);
        Ok(terms)
    }
}

/// `minute`, `day` (by UTC days), `90s`, ...: the word for it in a name, and the period.
fn rate_period(per: &str) -> Result<(String, Period)> {
    let seconds = match per {
        "second" => 1,
        "minute" => 60,
        "hour" => 3_600,
        "day" => return Ok((per.to_owned(), Period::Daily)),
        _ => {
            let period = terms::interval("per", &per.into()).ok().filter(|period| matches!(period, Period::Seconds(_)));
            let refuse =
                || Error::invalid("per", "per must be second, minute, hour, day, or a duration such as \"90s\".");
            return period.map(|period| (terms::interval_name(period), period)).ok_or_else(refuse);
        }
    };
    Ok((per.to_owned(), Period::Seconds(seconds)))
}

impl AccountBody {
    /// The account, which must be there where the gateway knows its like; `*` is the default of a kind.
    fn find(self, sql: &dyn Sql) -> Result<AccountRef> {
        let id = match (self.kind, self.id) {
            (AccountKind::Organization, None) => DEFAULT_ORG.to_owned(),
            (_, Some(id)) => id,
            (_, None) => return Err(Error::invalid("account.id", "account.id: missing field `id`.")),
        };
        let unknown = |what: &str| Error::invalid("account.id", format!("account.id: there is no {what} of that id."));
        let id = match self.kind {
            AccountKind::Organization if id == DEFAULT_ORG => id,
            AccountKind::Organization => return Err(unknown("organization")),
            AccountKind::Workspace | AccountKind::Key if id == "*" => id,
            AccountKind::Workspace => workspaces::id_of(sql, &id)?.ok_or_else(|| unknown("workspace"))?,
            AccountKind::Key => keys::account_of(sql, &id)?.ok_or_else(|| unknown("key"))?,
            AccountKind::User | AccountKind::Session | AccountKind::Tag => {
                check_name("account.id", &id)?;
                id
            }
        };
        Ok(AccountRef::new(self.kind, id))
    }
}

/// Checks the name of an account that clients name.
pub(super) fn check_name(field: &str, id: &str) -> Result<()> {
    if id.is_empty() || id.chars().count() > 256 || id.chars().any(char::is_control) {
        return Err(Error::invalid(field, format!("{field} must have 1 to 256 characters, none of them a control.")));
    }
    Ok(())
}

// Commands.

fn put(sql: &dyn Sql, request: &AdminRequest, now: Millis) -> Result<(u16, Value)> {
    let terms = body::parse::<BudgetBody>(request.body.as_ref())?.terms(sql, now)?;
    let known = book::find(sql, &terms.account, &terms.name)?.is_some();
    define(sql, &terms, now)?;
    changed(sql, &terms.account, now)?;
    let data = row(sql, &by_name(sql, &terms.account, &terms.name, now)?, now)?;
    Ok((if known { 200 } else { 201 }, json!({ "data": data })))
}

fn update(sql: &dyn Sql, id: &str, request: &AdminRequest, now: Millis) -> Result<Value> {
    let body: BudgetBody = body::parse(request.body.as_ref())?;
    for (field, given) in [
        ("account", body.account.is_some()),
        ("interval", body.interval.is_some()),
        ("per", body.per.is_some()),
        ("model", body.model.is_some()),
        ("max_steps", body.max_steps.is_some()),
    ] {
        if given {
            return Err(Error::invalid(field, format!("{field} is fixed when a budget is defined.")));
        }
    }
    let mut terms = changeable(by_id(sql, id, now)?)?.terms;
    if let Some((unit, limit)) = body.amount()? {
        if unit != terms.unit {
            let field = field_of(unit);
            return Err(Error::invalid(field, format!("{field}: this budget has a {}.", field_of(terms.unit))));
        }
        terms.limit = limit;
    }
    let terms = body.change(terms, now)?;
    define(sql, &terms, now)?;
    changed(sql, &terms.account, now)?;
    Ok(json!({ "data": row(sql, &by_id(sql, id, now)?, now)? }))
}

fn delete(sql: &dyn Sql, id: &str, now: Millis) -> Result<Value> {
    let Terms { account, name, .. } = changeable(by_id(sql, id, now)?)?.terms;
    book::remove(sql, &account, &name)?;
    changed(sql, &account, now)?;
    Ok(json!({ "deleted": true }))
}

fn forgive(sql: &dyn Sql, id: &str, now: Millis) -> Result<Value> {
    let Meter { id: number, terms, .. } = by_id(sql, id, now)?;
    let amount = book::forgive(sql, number, now.plus(-LOST_AFTER_MS))?;
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
pub(super) fn by_name(sql: &dyn Sql, account: &AccountRef, name: &str, now: Millis) -> Result<Meter> {
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
mod tests {
    use super::super::testing::{Account, of, some};
    use super::*;

    fn with(account: Value, more: &Value) -> Value {
        let mut body = json!({ "account": account });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    }

    #[test]
    fn a_budget_of_any_account_is_defined_replaced_changed_and_removed() {
        let mut account = Account::new();
        let body = with(of("user", "alice"), &json!({ "limit_usd": 1.5, "interval": "daily", "alerts": [0.5] }));
        let (status, made) = account.status("POST", "/budgets", body.clone()).unwrap();
        let made = made["data"].clone();
        let names = [
            "account",
            "name",
            "type",
            "unit",
            "limit",
            "limit_usd",
            "spent",
            "held",
            "remaining",
            "unsettled",
            "interval",
            "resets_at",
            "window",
            "hard",
            "fail_open",
            "alerts",
            "increase",
            "model",
        ];
        assert_eq!(
            (status, some(&made, &names)),
            (
                201,
                json!({
                    "account": { "kind": "user", "id": "alice" }, "name": "usd/daily", "type": "budget", "unit": "usd", "limit": 1.5, "limit_usd": 1.5,
                    "spent": 0.0, "held": 0.0, "remaining": 1.5, "unsettled": 0.0, "interval": "daily", "resets_at": "2026-11-21T00:00:00.000Z",
                    "window": { "since": "2026-11-20T00:00:00.000Z", "until": "2026-11-21T00:00:00.000Z" },
                    "hard": true, "fail_open": false, "alerts": [0.5], "increase": null, "model": null,
                })
            )
        );
        assert_eq!(account.feed(0), ["user:alice", "organization:default"]);
        account.spend("s", "user:alice", 1_000_000_000, 400_000_000);
        let path = format!("/budgets/{}", made["id"].as_str().unwrap());
        let figures = |row: &Value| some(row, &["limit", "spent", "held", "remaining"]);
        assert_eq!(figures(&account.get(&path)), json!({ "limit": 1.5, "spent": 0.4, "held": 0.6, "remaining": 1.1 }));
        // The same again replaces the terms and keeps what is used.
        let (status, again) = account
            .status(
                "PUT",
                "/budgets",
                with(of("user", "alice"), &json!({ "limit_usd": 0.3, "interval": "daily", "hard": false })),
            )
            .unwrap();
        assert_eq!(
            (status, &again["data"]["id"], &again["data"]["hard"], &again["data"]["alerts"]),
            (200, &made["id"], &json!(false), &json!([]))
        );
        assert_eq!(figures(&again["data"])["remaining"], -0.1);
        let row = account.data("PATCH", &path, json!({ "hard": true, "fail_open": true, "limit_usd": 2 }));
        assert_eq!(
            some(&row, &["hard", "fail_open", "limit"]),
            json!({ "hard": true, "fail_open": true, "limit": 2.0 })
        );
        account.now = account.now.plus(86_400_000);
        assert_eq!(figures(&account.get(&path)), json!({ "limit": 2.0, "spent": 0.0, "held": 0.0, "remaining": 2.0 }));
        assert_eq!(account.ask("DELETE", &path, Value::Null).unwrap(), json!({ "deleted": true }));
        for method in ["GET", "PATCH", "DELETE"] {
            assert_eq!(account.refused(method, &path, json!({})), (404, Some("id".into())));
        }
        assert_eq!(account.refused("GET", "/budgets/x", Value::Null).0, 404);
    }

    #[test]
    fn what_is_counted_and_for_how_long_makes_the_meter() {
        let mut account = Account::new();
        for (more, expected) in [
            (json!({ "limit_usd": 1, "interval": "lifetime" }), ["usd/lifetime", "budget", "lifetime"]),
            (json!({ "limit_usd": 1, "interval": "12h" }), ["usd/43200s", "budget", "43200s"]),
            (json!({ "limit_tokens": 5, "interval": { "seconds": 90 } }), ["tokens/90s", "budget", "90s"]),
            (
                json!({ "limit_tokens": 5, "interval": "monthly", "model": "a/b" }),
                ["tokens/monthly@a/b", "budget", "monthly"],
            ),
            (json!({ "limit_requests": 5, "interval": "lifetime" }), ["requests/lifetime", "budget", "lifetime"]),
            (json!({ "limit_requests": 5, "per": "minute" }), ["requests_per_minute", "rate_limit", "60s"]),
            (json!({ "limit_tokens": 5, "per": "day" }), ["tokens_per_day", "rate_limit", "daily"]),
            (json!({ "limit_tokens": 5, "per": "90s", "model": "a/b" }), ["tokens_per_90s@a/b", "rate_limit", "90s"]),
            (json!({ "limit_parallel": 5 }), ["max_parallel", "rate_limit", "lifetime"]),
        ] {
            let row = account.data("POST", "/budgets", with(of("tag", "a:b"), &more));
            assert_eq!(["name", "type", "interval"].map(|name| row[name].as_str().unwrap()), expected, "{more}");
        }
        let steps = account.data("POST", "/budgets", with(of("session", "*"), &json!({ "max_steps": 20 })));
        assert_eq!(
            some(&steps, &["name", "type", "limit_requests", "resets_at"]),
            json!({ "name": "requests/lifetime", "type": "budget", "limit_requests": 20, "resets_at": null })
        );
    }

    #[test]
    fn every_wrong_member_is_named() {
        let mut account = Account::new();
        let user = || of("user", "u");
        for (body, param) in [
            (json!({ "limit_usd": 1, "interval": "daily" }), "account"),
            (with(json!("user:u"), &json!({})), "account"),
            (with(json!({ "kind": "robot", "id": "u" }), &json!({})), "account.kind"),
            (with(json!({ "kind": "user" }), &json!({ "limit_usd": 1, "interval": "daily" })), "account.id"),
            (with(of("user", ""), &json!({ "limit_usd": 1, "interval": "daily" })), "account.id"),
            (with(of("key", "0"), &json!({ "limit_usd": 1, "interval": "daily" })), "account.id"),
            (with(of("workspace", "w"), &json!({ "limit_usd": 1, "interval": "daily" })), "account.id"),
            (with(of("organization", "*"), &json!({ "limit_usd": 1, "interval": "daily" })), "account.id"),
            (with(user(), &json!({ "interval": "daily" })), "limit_usd"),
            (with(user(), &json!({ "limit_usd": -1, "interval": "daily" })), "limit_usd"),
            (with(user(), &json!({ "limit_usd": 1, "limit_tokens": 1, "interval": "daily" })), "limit_tokens"),
            (with(user(), &json!({ "limit_tokens": 1.5, "interval": "daily" })), "limit_tokens"),
            (with(user(), &json!({ "limit_tokens": 1 })), "interval"),
            (with(user(), &json!({ "limit_tokens": 1, "interval": "yearly" })), "interval"),
            (with(user(), &json!({ "limit_tokens": 1, "interval": "daily", "per": "day" })), "per"),
            (with(user(), &json!({ "limit_requests": 1, "per": "month" })), "per"),
            (with(user(), &json!({ "limit_usd": 1, "per": "day" })), "per"),
            (with(user(), &json!({ "limit_parallel": 1, "interval": "daily" })), "interval"),
            (with(user(), &json!({ "limit_parallel": 1, "per": "day" })), "per"),
            (with(user(), &json!({ "max_steps": 1 })), "max_steps"),
            (with(of("session", "s"), &json!({ "max_steps": 1, "interval": "daily" })), "max_steps"),
            (with(user(), &json!({ "limit_usd": 1, "interval": "daily", "model": "a" })), "model"),
            (with(user(), &json!({ "limit_usd": 1, "interval": "daily", "alerts": [2, 11] })), "alerts[1]"),
            (with(user(), &json!({ "limit_usd": 1, "interval": "daily", "increase": {} })), "increase.until"),
            (
                with(
                    user(),
                    &json!({ "limit_usd": 1, "interval": "daily", "increase": { "limit_usd": 1, "until": "2026-11-20T12:00:00Z" } }),
                ),
                "increase.until",
            ),
            (
                with(
                    user(),
                    &json!({ "limit_usd": 1, "interval": "daily", "increase": { "limit_tokens": 1, "until": "2027-01-01T00:00:00Z" } }),
                ),
                "increase.limit_usd",
            ),
            (with(user(), &json!({ "limit_usd": 1, "interval": "daily", "soft": true })), "soft"),
        ] {
            assert_eq!(account.refused("POST", "/budgets", body.clone()), (400, Some(param.into())), "{body}");
        }
        let made = account.data("POST", "/budgets", with(user(), &json!({ "limit_usd": 1, "interval": "daily" })));
        let path = format!("/budgets/{}", made["id"].as_str().unwrap());
        for fixed in [
            json!({ "account": user() }),
            json!({ "interval": "daily" }),
            json!({ "per": "day" }),
            json!({ "model": "a/b" }),
            json!({ "limit_tokens": 1 }),
        ] {
            let param = fixed.as_object().unwrap().keys().next().unwrap().clone();
            assert_eq!(account.refused("PATCH", &path, fixed), (400, Some(param)));
        }
        assert_eq!(account.refused("GET", "/budgets?account=robot", Value::Null), (400, Some("account".into())));
        assert_eq!(account.refused("GET", "/budgets?account=robot:1", Value::Null), (400, Some("account".into())));
        assert_eq!(account.get("/budgets").as_array().unwrap().len(), 1);
    }

    #[test]
    fn an_increase_ends_by_itself_or_is_taken_back() {
        let mut account = Account::new();
        let more = json!({ "limit_tokens": 10, "interval": "monthly", "increase": { "limit_tokens": 5, "until": "2026-11-20T13:00:00Z" } });
        let made = account.data("POST", "/budgets", with(of("user", "u"), &more));
        let path = format!("/budgets/{}", made["id"].as_str().unwrap());
        let brief = |row: &Value| some(row, &["limit", "limit_tokens", "remaining", "increase"]);
        let increase = json!({ "limit_tokens": 5, "until": "2026-11-20T13:00:00.000Z" });
        assert_eq!(brief(&made), json!({ "limit": 15, "limit_tokens": 10, "remaining": 15, "increase": increase }));
        account.now = account.now.plus(3_600_000);
        let plain = json!({ "limit": 10, "limit_tokens": 10, "remaining": 10, "increase": null });
        assert_eq!(brief(&account.get(&path)), plain);
        account.now = account.now.plus(-1);
        assert_eq!(account.get(&path)["limit"], 15);
        assert_eq!(brief(&account.data("PATCH", &path, json!({ "increase": null }))), plain);
    }

    #[test]
    fn every_new_user_has_the_default_until_it_has_its_own() {
        let mut account = Account::new();
        let default =
            account.data("POST", "/budgets", with(of("user", "*"), &json!({ "limit_usd": 1, "interval": "daily" })));
        account.spend("s", "user:bob", 600_000_000, 600_000_000);
        let bobs = account.get("/budgets?account=user:bob");
        assert_eq!(
            some(&bobs[0], &["limit", "spent", "name"]),
            json!({ "limit": 1.0, "spent": 0.6, "name": "usd/daily" })
        );
        account
            .ask("PATCH", &format!("/budgets/{}", default["id"].as_str().unwrap()), json!({ "limit_usd": 2 }))
            .unwrap();
        assert_eq!(account.get("/budgets?account=user:bob")[0]["remaining"], 1.4, "follows the default");
        let own = format!("/budgets/{}", bobs[0]["id"].as_str().unwrap());
        account.ask("PATCH", &own, json!({ "limit_usd": 5 })).unwrap();
        account
            .ask("PATCH", &format!("/budgets/{}", default["id"].as_str().unwrap()), json!({ "limit_usd": 3 }))
            .unwrap();
        assert_eq!(account.get(&own)["limit"], 5.0, "its own");
        account.ask("DELETE", &format!("/budgets/{}", default["id"].as_str().unwrap()), Value::Null).unwrap();
        assert_eq!(account.get(&own)["spent"], 0.6);
    }

    #[test]
    fn lists_are_filtered_and_paged() {
        let mut account = Account::new();
        for (kind, id) in
            [("user", "a"), ("user", "ab"), ("session", "a"), ("user", "b:c"), ("organization", "default")]
        {
            account
                .ask("POST", "/budgets", with(of(kind, id), &json!({ "limit_usd": 1, "interval": "daily" })))
                .unwrap();
        }
        let mut ids = |target: &str| {
            let answer = account.ask("GET", target, Value::Null).unwrap();
            let ids: Vec<String> = answer["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["account"]["id"].as_str().unwrap().to_owned())
                .collect();
            (ids.join(" "), answer["total_count"].as_i64().unwrap())
        };
        assert_eq!(ids("/budgets"), ("a ab a b:c default".to_owned(), 5));
        assert_eq!(ids("/budgets?offset=1&limit=2"), ("ab a".to_owned(), 5));
        assert_eq!(ids("/budgets?account=user"), ("a ab b:c".to_owned(), 3));
        assert_eq!(ids("/budgets?account=user:a"), ("a".to_owned(), 1));
        assert_eq!(ids("/budgets?account=user:b:c"), ("b:c".to_owned(), 1));
        assert_eq!(ids("/budgets?account=tag"), (String::new(), 0));
    }

    #[test]
    fn what_dead_sessions_held_is_forgiven() {
        let mut account = Account::new();
        let made =
            account.data("POST", "/budgets", with(of("user", "u"), &json!({ "limit_usd": 1, "interval": "monthly" })));
        let path = format!("/budgets/{}", made["id"].as_str().unwrap());
        account.spend("dead", "user:u", 500_000_000, 100_000_000);
        account.now = account.now.plus(LOST_AFTER_MS + 1);
        account.spend("alive", "user:u", 300_000_000, 0);
        let figures = |row: &Value| some(row, &["spent", "held", "unsettled"]);
        assert_eq!(figures(&account.get(&path)), json!({ "spent": 0.1, "held": 0.7, "unsettled": 0.4 }));
        let before = account.feed(0).len();
        let answer = account.ask("POST", &format!("{path}/forgive"), Value::Null).unwrap();
        assert_eq!(answer["forgiven"], 0.4);
        assert_eq!(figures(&answer["data"]), json!({ "spent": 0.1, "held": 0.3, "unsettled": 0.0 }));
        assert_eq!(account.feed(0)[before], "user:u");
        assert_eq!(account.ask("POST", &format!("{path}/forgive"), Value::Null).unwrap()["forgiven"], 0.0);
    }

    #[test]
    fn the_prepaid_balance_is_not_set_here() {
        let mut account = Account::new();
        let terms = Terms::budget(
            AccountRef::new(AccountKind::Organization, DEFAULT_ORG),
            CREDITS,
            Unit::Usd,
            Period::Lifetime,
            5,
        );
        let id = book::define(&account.sql, &terms).unwrap().0;
        assert_eq!(account.get("/budgets")[0]["name"], "credits");
        for method in ["PATCH", "DELETE"] {
            assert_eq!(account.refused(method, &format!("/budgets/{id}"), json!({})), (409, Some("id".into())));
        }
    }
}
