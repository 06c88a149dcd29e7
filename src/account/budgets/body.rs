//! What `POST`, `PUT` and `PATCH` below `/budgets` take, and the meter that it means.

use serde::Deserialize;
use serde_json::Value;

use super::super::{keys, terms, workspaces};
use crate::{
    DEFAULT_ORG,
    admin::body::Given,
    budget::{AccountKind, AccountRef, Period, Terms, Unit},
    error::{Error, Result},
    ports::Sql,
    time::Millis,
};

/// A new budget, or a change of one.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BudgetBody {
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
    /// What is counted, and how much of it.
    fn amount(&self) -> Result<Option<(Unit, i64)>> {
        let counts = [
            (Unit::Tokens, self.limit_tokens),
            (Unit::Requests, self.limit_requests),
            (Unit::Parallel, self.limit_parallel),
        ];
        amount("", self.limit_usd, counts)
    }

    /// The whole meter.
    pub(super) fn terms(mut self, sql: &dyn Sql, now: Millis) -> Result<Terms> {
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

    /// The meter after a change.
    pub(super) fn over(self, mut terms: Terms, now: Millis) -> Result<Terms> {
        for (field, given) in [
            ("account", self.account.is_some()),
            ("interval", self.interval.is_some()),
            ("per", self.per.is_some()),
            ("model", self.model.is_some()),
            ("max_steps", self.max_steps.is_some()),
        ] {
            if given {
                return Err(Error::invalid(field, format!("{field} is fixed when a budget is defined.")));
            }
        }
        if let Some((unit, limit)) = self.amount()? {
            if unit != terms.unit {
                let field = field_of(unit);
                return Err(Error::invalid(field, format!("{field}: this budget has a {}.", field_of(terms.unit))));
            }
            terms.limit = limit;
        }
        self.change(terms, now)
    }

    /// What may be given at any time, over what there is.
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
    let period = match per {
        "second" => Period::Seconds(1),
        "minute" => Period::Seconds(60),
        "hour" => Period::Seconds(3_600),
        "day" => Period::Daily,
        duration => terms::interval("per", &duration.into())
            .ok()
            .filter(|period| matches!(period, Period::Seconds(_)))
            .ok_or_else(|| {
                Error::invalid("per", "per must be second, minute, hour, day, or a duration such as \"90s\".")
            })?,
    };
    let word = match period {
        Period::Seconds(1) => "second".to_owned(),
        Period::Seconds(60) => "minute".to_owned(),
        Period::Seconds(3_600) => "hour".to_owned(),
        Period::Daily => "day".to_owned(),
        other => terms::interval_name(other),
    };
    Ok((word, period))
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
pub(in crate::account) fn check_name(field: &str, id: &str) -> Result<()> {
    if id.is_empty() || id.chars().count() > 256 || id.chars().any(char::is_control) {
        return Err(Error::invalid(field, format!("{field} must have 1 to 256 characters, none of them a control.")));
    }
    Ok(())
}

/// A meter's name, for one model or for all.
pub(in crate::account) fn with_model(name: &str, model: Option<&str>) -> String {
    model.map_or_else(|| name.to_owned(), |model| format!("{name}@{model}"))
}

/// Checks a model's id.
pub(in crate::account) fn check_model(field: &str, model: &str) -> Result<()> {
    let good = model.len() <= 200 && model.bytes().all(|b| b.is_ascii_graphic() && b != b'*') && model.contains('/');
    if good {
        Ok(())
    } else {
        Err(Error::invalid(field, format!("{field}: {model:?} must be a model id such as \"author/name\".")))
    }
}

/// The member that gives or shows an amount of a unit.
pub(super) fn field_of(unit: Unit) -> &'static str {
    match unit {
        Unit::Usd => "limit_usd",
        Unit::Tokens => "limit_tokens",
        Unit::Requests => "limit_requests",
        Unit::Parallel => "limit_parallel",
    }
}
