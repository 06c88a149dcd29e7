//! Credits: `GET` and `POST /credits`, and the meter that holds them.
//!
//! The ledger is the truth. The meter `credits` of the organization is what isolates ask of: what is
//! free in it is the balance. It is hard and exact where the organization is prepaid; there is none
//! where nobody has bought credits and nothing is prepaid.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Context, gathered,
    ledger::{self, Kind, MOST, Standing},
    organization,
};
use crate::{
    admin::body,
    budget::{Period, Terms, Unit, book},
    error::{Error, Result},
    ids::hex,
    money::NanoUsd,
    ports::{AdminRequest, Sql, SqlError, int},
    time::Millis,
};

/// The meter's name.
pub const METER: &str = "credits";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCredit {
    amount: f64,
    reason: String,
    #[serde(rename = "type")]
    kind: Option<CreditType>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CreditType {
    Credit,
    Refund,
    Adjustment,
}

pub(super) fn get(sql: &dyn Sql) -> Result<Value> {
    Ok(json!({ "data": figures(sql)? }))
}

/// Books credits by hand.
pub(super) fn create(sql: &dyn Sql, request: &AdminRequest, context: &Context) -> Result<Value> {
    let body: NewCredit = body::parse(request.body.as_ref())?;
    let refuse = |why: &str| Err(Error::invalid("amount", format!("amount {why}.")));
    let Some(nano) = NanoUsd::from_usd(body.amount).filter(|nano| nano.0 != 0 && nano.0.abs() <= MOST) else {
        return refuse("must be in USD, at least a nano-dollar and less than 9000000, up or down");
    };
    let kind = body.kind.unwrap_or(if nano.0 > 0 { CreditType::Credit } else { CreditType::Adjustment });
    let (kind, source, word) = match kind {
        CreditType::Credit if nano.0 < 0 => return refuse("of a credit must be positive"),
        CreditType::Refund if nano.0 > 0 => return refuse("of a refund must be negative: it leaves the balance"),
        CreditType::Credit => (Kind::Credit, "grants", "credit"),
        CreditType::Refund => (Kind::Refund, "refunds", "refund"),
        CreditType::Adjustment => (Kind::Adjust, "adjustments", "adjustment"),
    };
    let reason = body.reason.trim();
    if reason.is_empty() || reason.chars().count() > 500 {
        return Err(Error::invalid("reason", "reason must have 1 to 500 characters."));
    }
    let id = format!("credit-{}", hex(&context.id));
    add(sql, &id, kind, source, nano, reason, context.now)?;
    let mut data = json!({
        "id": id, "type": word, "amount": nano.to_json(), "reason": reason, "created_at": context.now.iso(),
    });
    if let (Some(data), Value::Object(figures)) = (data.as_object_mut(), figures(sql)?) {
        data.extend(figures);
    }
    Ok(json!({ "data": data }))
}

/// Books credits once, by the name of the transaction, and lets the meter follow.
pub(super) fn add(
    sql: &dyn Sql,
    tx: &str,
    kind: Kind,
    source: &str,
    nano: NanoUsd,
    memo: &str,
    now: Millis,
) -> Result<bool> {
    if !ledger::credit(sql, tx, kind, source, nano, memo, now)? {
        return Ok(false);
    }
    refill(sql, now)?;
    organization::noted(sql, now)?;
    super::alerts::check_balance(sql, now)?;
    Ok(true)
}

/// Sets the meter to what the ledger says. What was used before there was a meter is in the ledger
/// only, so the limit is not the credits themselves: it is such that what is free is the balance.
pub(super) fn refill(sql: &dyn Sql, now: Millis) -> Result<()> {
    let account = organization::account();
    let prepaid = organization::load(sql)?.prepaid;
    let standing = ledger::standing(sql)?;
    let known = book::of_account(sql, &account, now)?.into_iter().find(|meter| meter.terms.name == METER);
    if known.is_none() && !prepaid && standing.credits == NanoUsd::ZERO {
        return Ok(());
    }
    let spent = known.as_ref().map_or(0, |meter| meter.spent);
    let limit = standing.balance.0.saturating_add(spent).clamp(-MOST, MOST);
    let terms =
        Terms { hard: prepaid, exact: prepaid, ..Terms::budget(account, METER, Unit::Usd, Period::Lifetime, limit) };
    if known.is_none_or(|meter| meter.terms != terms) {
        book::define(sql, &terms)?;
    }
    Ok(())
}

/// What is held of the balance now; `None` where there is no meter of it.
pub(super) fn held(sql: &dyn Sql) -> Result<Option<i64>, SqlError> {
    let account = organization::account().to_string();
    let rows = sql.run("SELECT held FROM meters WHERE account = ?1 AND name = ?2", &[account.into(), METER.into()])?;
    Ok(rows.first().map(|row| int(row, "held")))
}

/// Lets the ledger follow what has been set aside or given back since [`held`].
pub(super) fn moved(sql: &dyn Sql, before: Option<i64>, now: Millis) -> Result<()> {
    match (before, held(sql)?) {
        (Some(before), Some(after)) if before != after => gathered::hold(sql, after - before, now),
        _ => Ok(()),
    }
}

/// The same where what was held of it was written off.
pub(super) fn written_off(sql: &dyn Sql, before: Option<i64>, now: Millis) -> Result<()> {
    match (before, held(sql)?) {
        (Some(before), Some(after)) if before != after => {
            gathered::flush(sql)?;
            ledger::write_off(sql, &format!("write-off {}", now.0), before - after, now)?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The same where what dead isolates held was given back: `amount` in all, of which some had been
/// written off.
pub(super) fn forgiven(sql: &dyn Sql, before: Option<i64>, amount: i64, now: Millis) -> Result<()> {
    let released = before.unwrap_or_default() - held(sql)?.unwrap_or_default();
    moved(sql, before, now)?;
    if amount > released {
        gathered::flush(sql)?;
        ledger::forgive(sql, &format!("forgive {}", now.0), amount - released, now)?;
    }
    Ok(())
}

fn figures(sql: &dyn Sql) -> Result<Value> {
    let standing = ledger::standing(sql)?;
    let Standing { credits, balance, held } = standing;
    Ok(json!({
        "total_credits": credits.to_json(),
        "total_usage": standing.usage().to_json(),
        "balance": balance.to_json(),
        "held": held.to_json(),
        "prepaid": organization::load(sql)?.prepaid,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::{ledger::tests::line, testing::Account},
        budget::{Meter, wire::Total},
    };

    fn meter(account: &Account) -> Option<Meter> {
        book::find(&account.sql, &organization::account(), METER).unwrap()
    }

    #[test]
    fn credits_are_openrouters_figures_and_the_meter_follows() {
        let account = Account::new();
        let fresh = account.ask("GET", "/credits", Value::Null).unwrap()["data"].clone();
        assert_eq!(
            fresh,
            json!({ "total_credits": 0.0, "total_usage": 0.0, "balance": 0.0, "held": 0.0, "prepaid": false })
        );
        assert!(meter(&account).is_none(), "nobody counts what nobody bought");
        // Used before there was a meter.
        ledger::post_usage(&account.sql, "s:1", &[line("w", "k", "p", 2_000_000_000, 1_000_000_000)], account.now)
            .unwrap();
        let made =
            account.ask("POST", "/credits", json!({ "amount": 10.5, "reason": "invoice 7" })).unwrap()["data"].clone();
        assert_eq!(
            (&made["type"], &made["total_credits"], &made["balance"]),
            (&json!("credit"), &json!(10.5), &json!(8.5))
        );
        let known = meter(&account).unwrap();
        assert_eq!((known.terms.limit, known.terms.hard, known.terms.exact), (8_500_000_000, false, false));
        account.ask("PATCH", "/organization", json!({ "prepaid": true })).unwrap();
        let known = meter(&account).unwrap();
        assert!(known.terms.hard && known.terms.exact && known.free(account.now) == 8_500_000_000);
        account.ask("POST", "/credits", json!({ "amount": -0.5, "reason": "paid back", "type": "refund" })).unwrap();
        account.ask("POST", "/credits", json!({ "amount": -9, "reason": "typo" })).unwrap();
        assert_eq!(meter(&account).unwrap().free(account.now), -1_000_000_000);
        let now = account.ask("GET", "/credits", Value::Null).unwrap()["data"].clone();
        assert_eq!(
            now,
            json!({ "total_credits": 1.0, "total_usage": 2.0, "balance": -1.0, "held": 0.0, "prepaid": true })
        );
        assert_eq!(account.ask("GET", "/ledger/check", Value::Null).unwrap()["data"]["balanced"], true);
    }

    #[test]
    fn what_the_meter_has_spent_is_not_counted_twice() {
        let account = Account::new();
        account.ask("POST", "/credits", json!({ "amount": 1, "reason": "r" })).unwrap();
        let before = meter(&account).unwrap();
        // As the commit path does it: what is reported to the meter is posted to the ledger.
        let window = book::of_account(&account.sql, &organization::account(), account.now).unwrap()[0].window;
        let total = Total { meter: before.id, window, used: 400_000_000, returned: 0 };
        book::report(&account.sql, "s", &[total], account.now).unwrap();
        ledger::post_usage(&account.sql, "s:1", &[line("w", "k", "p", 400_000_000, 0)], account.now).unwrap();
        account.ask("POST", "/credits", json!({ "amount": 2, "reason": "r" })).unwrap();
        let after = meter(&account).unwrap();
        assert_eq!((before.terms.limit, after.terms.limit, after.spent), (1_000_000_000, 3_000_000_000, 400_000_000));
    }

    #[test]
    fn amounts_that_cannot_be_meant_are_refused_by_name() {
        let account = Account::new();
        for (body, param) in [
            (json!({ "amount": 0, "reason": "r" }), "amount"),
            (json!({ "amount": 1e-10, "reason": "r" }), "amount"),
            (json!({ "amount": 9_000_000, "reason": "r" }), "amount"),
            (json!({ "amount": -9_000_000, "reason": "r" }), "amount"),
            (json!({ "amount": 1e300, "reason": "r" }), "amount"),
            (json!({ "amount": "5", "reason": "r" }), "amount"),
            (json!({ "amount": null, "reason": "r" }), "amount"),
            (json!({ "reason": "r" }), "amount"),
            (json!({ "amount": -1, "reason": "r", "type": "credit" }), "amount"),
            (json!({ "amount": 1, "reason": "r", "type": "refund" }), "amount"),
            (json!({ "amount": 1, "reason": "r", "type": "gift" }), "type"),
            (json!({ "amount": 1, "reason": " " }), "reason"),
            (json!({ "amount": 1, "reason": "x".repeat(501) }), "reason"),
            (json!({ "amount": 1 }), "reason"),
            (json!({ "amount": 1, "reason": "r", "currency": "usd" }), "currency"),
        ] {
            let error = account.ask("POST", "/credits", body.clone()).unwrap_err();
            assert_eq!((error.status(), error.param.as_deref()), (400, Some(param)), "{body}");
        }
        assert_eq!(account.ask("GET", "/ledger", Value::Null).unwrap()["data"], json!([]));
        account.ask("POST", "/credits", json!({ "amount": 8_999_999.999_999, "reason": "r" })).unwrap();
    }
}
