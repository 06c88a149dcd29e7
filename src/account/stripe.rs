//! Stripe tops up: `POST /webhooks/stripe`. Facts: docs.stripe.com/webhooks and /api/events, read 2026-11.
//!
//! The worker checks the signature over the raw bytes before it asks the account ([`open`]); the
//! account takes the event.
//!
//! | event | does |
//! |---|---|
//! | `checkout.session.completed`, `checkout.session.async_payment_succeeded` (paid) | credits `amount_total` |
//! | `payment_intent.succeeded` | credits `amount_received` |
//! | `charge.refunded` | takes back, up to the charge's `amount_refunded` |
//! | anything else | is listed and ignored |
//!
//! A payment is known by its payment intent, and **counts once, by whichever of its events comes
//! first**: of a checkout Stripe tells twice, and an endpoint may have asked for either. A checkout without a
//! payment intent (a subscription: its invoice has one of its own; nothing to pay) credits nothing.
//! Refunds are running totals: in whatever order and however often events come, what is taken back
//! is the largest total told, but never more than was credited; a refund told before its payment waits for it.
//! Only US dollars are taken: others are refused with 400, and listed.
//! `metadata.organization` may name the organization; a payment for another one is ignored.
//!
//! Tables: `stripe_events` (by event id: a replay has no effect) and `stripe_payments`.

use serde_json::{Value, json};

use super::{
    credits,
    ledger::{Kind, MOST},
    signature,
};
use crate::{
    DEFAULT_ORG,
    admin::{query, read_json},
    error::{Error, ErrorKind, Result},
    money::NanoUsd,
    ports::{AdminRequest, Row, Sql, SqlError, int, text},
    time::Millis,
};

/// The secret of the endpoint, `whsec_...`.
pub const SECRET: &str = "STRIPE_WEBHOOK_SECRET";
const NANO_PER_CENT: i64 = 10_000_000;
const MOST_ID: usize = 255;

/// Creates the tables.
pub(super) fn migrate(sql: &dyn Sql) -> Result<(), SqlError> {
    for statement in [
        "CREATE TABLE IF NOT EXISTS stripe_events (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, type TEXT NOT NULL,
            payment TEXT, amount INTEGER, currency TEXT, outcome TEXT NOT NULL
        )",
        "CREATE TABLE IF NOT EXISTS stripe_payments (
            payment TEXT PRIMARY KEY, credited INTEGER NOT NULL DEFAULT 0, refunded INTEGER NOT NULL DEFAULT 0,
            taken_back INTEGER NOT NULL DEFAULT 0
        ) WITHOUT ROWID",
    ] {
        sql.run(statement, &[])?;
    }
    Ok(())
}

/// Checks who sent these bytes, and reads them.
pub fn open(secret: Option<&str>, header: Option<&str>, body: &[u8], now: Millis) -> Result<Value> {
    let Some(secret) = secret else {
        return Err(Error::new(
            ErrorKind::StoreUnavailable,
            format!("This gateway takes no payments: its operator has not set {SECRET}."),
        )
        .code("stripe_not_configured"));
    };
    let refuse = |why: &str| {
        Error::invalid("Stripe-Signature", format!("The signature is not good: {why}.")).code("invalid_signature")
    };
    let header = header.ok_or_else(|| refuse("the header Stripe-Signature is missing"))?;
    signature::verify(secret.trim(), header, body, now).map_err(refuse)?;
    Ok(read_json(body)?.unwrap_or_default())
}

/// An object of an event, read member by member: of Stripe's large objects a few members matter.
struct Object<'e> {
    members: &'e Value,
    path: &'static str,
}

impl<'e> Object<'e> {
    fn text(&self, name: &str) -> Result<Option<&'e str>> {
        self.member(name, "a text", Value::as_str)
    }

    fn whole(&self, name: &str) -> Result<Option<i64>> {
        self.member(name, "a whole number", Value::as_i64)
    }

    fn member<T>(&self, name: &str, what: &str, read: impl Fn(&'e Value) -> Option<T>) -> Result<Option<T>> {
        match self.members.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.wrong(name, what)),
        }
    }

    fn wrong(&self, name: &str, what: &str) -> Error {
        let path = format!("{}{name}", self.path);
        Error::invalid(path.clone(), format!("{path} must be {what}."))
    }
}

/// What an event says of a payment.
struct Told<'e> {
    payment: Option<&'e str>,
    cents: i64,
    currency: &'e str,
    organization: Option<&'e str>,
    refund: bool,
}

/// Takes an event whose signature was checked.
pub(super) fn receive(sql: &dyn Sql, request: &AdminRequest, now: Millis) -> Result<Value> {
    let event = Object { members: request.body.as_ref().unwrap_or(&Value::Null), path: "" };
    let word = |name: &str| {
        let word = event.text(name)?.filter(|word| !word.is_empty() && word.len() <= MOST_ID);
        word.ok_or_else(|| event.wrong(name, &format!("a text of 1 to {MOST_ID} characters")))
    };
    let (id, kind) = (word("id")?, word("type")?);
    let known = sql.run("SELECT outcome FROM stripe_events WHERE id = ?1", &[id.into()])?;
    if let Some(row) = known.first() {
        return answer(text(row, "outcome"), true);
    }
    let object = event.members.pointer("/data/object").filter(|object| object.is_object());
    let object = object.ok_or_else(|| event.wrong("data", "an object with an object `object`"))?;
    let told = read(kind, &Object { members: object, path: "data.object." })?;
    let outcome = match &told {
        None => "ignored",
        Some(told) => {
            let nano = told.cents.checked_mul(NANO_PER_CENT).filter(|nano| (0..=MOST).contains(nano));
            let nano = nano.ok_or_else(|| Error::invalid("data.object", "data.object: its amount is out of range."))?;
            match told.payment {
                _ if told.organization.is_some_and(|organization| organization != DEFAULT_ORG) => "other_organization",
                None => "ignored",
                Some(_) if !told.currency.eq_ignore_ascii_case("usd") => "unsupported_currency",
                Some(payment) => settle(sql, payment, nano, told.refund, now)?,
            }
        }
    };
    sql.run(
        "INSERT INTO stripe_events (id, at, type, payment, amount, currency, outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        &[
            id.into(),
            now.0.into(),
            kind.into(),
            told.as_ref().and_then(|told| told.payment).into(),
            told.as_ref().map(|told| told.cents).into(),
            told.map(|told| told.currency).into(),
            outcome.into(),
        ],
    )?;
    answer(outcome, false)
}

fn answer(outcome: &str, duplicate: bool) -> Result<Value> {
    if outcome == "unsupported_currency" {
        return Err(Error::invalid(
            "data.object.currency",
            "data.object.currency: only usd is taken. The event is listed by GET /webhooks/stripe; refund the payment, or book it by POST /credits.",
        )
        .code("unsupported_currency"));
    }
    Ok(json!({ "received": true, "outcome": outcome, "duplicate": duplicate }))
}

/// What of an event matters; `None` is nothing.
fn read<'e>(kind: &str, object: &Object<'e>) -> Result<Option<Told<'e>>> {
    let (payment, cents, refund) = match kind {
        "checkout.session.completed" | "checkout.session.async_payment_succeeded" => {
            // What is paid later is told of then.
            let paid = object.text("payment_status")? == Some("paid");
            (object.text("payment_intent")?.filter(|_| paid), "amount_total", false)
        }
        "payment_intent.succeeded" => (object.text("id")?, "amount_received", false),
        "charge.refunded" => (object.text("payment_intent")?, "amount_refunded", true),
        _ => return Ok(None),
    };
    // A checkout for nothing has no amount, and no payment.
    let amount = object.whole(cents)?;
    if payment.is_some() && amount.is_none() {
        return Err(object.wrong(cents, "a whole number"));
    }
    Ok(Some(Told {
        payment,
        cents: amount.unwrap_or(0),
        currency: object.text("currency")?.unwrap_or_default(),
        organization: object.members.pointer("/metadata/organization").and_then(Value::as_str),
        refund,
    }))
}

/// Brings the ledger to what is known of a payment.
fn settle(sql: &dyn Sql, payment: &str, nano: i64, refund: bool, now: Millis) -> Result<&'static str> {
    if payment.is_empty() || payment.len() > MOST_ID {
        return Err(Error::invalid("data.object", format!("a payment's id must have 1 to {MOST_ID} characters.")));
    }
    sql.run("INSERT INTO stripe_payments (payment) VALUES (?1) ON CONFLICT DO NOTHING", &[payment.into()])?;
    let rows = sql.run("SELECT * FROM stripe_payments WHERE payment = ?1", &[payment.into()])?;
    let column = |name: &str| rows.first().map_or(0, |row| int(row, name));
    let (mut credited, mut refunded, taken_back) = (column("credited"), column("refunded"), column("taken_back"));
    let counted = if refund {
        let more = nano > refunded;
        refunded = refunded.max(nano);
        more
    } else {
        let first = credited == 0;
        credited = if first { nano } else { credited };
        first
    };
    if !refund && counted {
        let tx = format!("stripe:{payment}");
        credits::add(sql, &tx, Kind::Credit, "stripe", NanoUsd(credited), payment, now)?;
    }
    let take = refunded.min(credited) - taken_back;
    if take > 0 {
        let tx = format!("stripe:{payment}:refund:{}", taken_back + take);
        credits::add(sql, &tx, Kind::Refund, "stripe", NanoUsd(-take), payment, now)?;
    }
    sql.run(
        "UPDATE stripe_payments SET credited = ?2, refunded = ?3, taken_back = ?4 WHERE payment = ?1",
        &[payment.into(), credited.into(), refunded.into(), (taken_back + take.max(0)).into()],
    )?;
    Ok(match (refund, counted) {
        (false, true) => "credited",
        (true, true) if take > 0 => "refunded",
        // Its payment has not been told of, or was smaller.
        (true, true) => "refund_waits",
        (_, false) => "counted_before",
    })
}

/// `GET /webhooks/stripe`: events, newest first.
pub(super) fn list(sql: &dyn Sql, request: &AdminRequest) -> Result<Value> {
    let (offset, limit) = query::page(&request.query, 100, 1000)?;
    let rows =
        sql.run("SELECT * FROM stripe_events ORDER BY seq DESC LIMIT ?1 OFFSET ?2", &[limit.into(), offset.into()])?;
    let total = sql.run("SELECT count(*) AS n FROM stripe_events", &[])?;
    Ok(json!({
        "data": rows.iter().map(shape).collect::<Vec<_>>(),
        "total_count": total.first().map_or(0, |row| int(row, "n")),
    }))
}

fn shape(row: &Row) -> Value {
    json!({
        "id": row.get("id"),
        "type": row.get("type"),
        "received_at": Millis(int(row, "at")).iso(),
        "payment": row.get("payment"),
        "amount_minor": row.get("amount"),
        "currency": row.get("currency"),
        "outcome": row.get("outcome"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::account::testing::Account;

    fn checkout(id: &str, payment: &str, cents: i64) -> Value {
        json!({ "id": id, "object": "event", "type": "checkout.session.completed", "data": { "object": {
            "id": "cs_1", "object": "checkout.session", "payment_intent": payment, "payment_status": "paid",
            "amount_total": cents, "currency": "usd", "metadata": {},
        } } })
    }

    fn intent(id: &str, payment: &str, cents: i64) -> Value {
        json!({ "id": id, "type": "payment_intent.succeeded", "data": { "object": {
            "id": payment, "amount": cents, "amount_received": cents, "currency": "usd",
        } } })
    }

    fn refund(id: &str, payment: &str, total: i64) -> Value {
        json!({ "id": id, "type": "charge.refunded", "data": { "object": {
            "id": "ch_1", "payment_intent": payment, "amount_refunded": total, "currency": "usd", "refunded": false,
        } } })
    }

    fn send(account: &Account, event: Value) -> Result<String> {
        let body = event.to_string();
        let header = signature::sign("whsec_test", &body, account.now).unwrap();
        let event = open(Some("whsec_test"), Some(&header), body.as_bytes(), account.now)?;
        account.ask("POST", "/webhooks/stripe", event).map(|answer| answer["outcome"].as_str().unwrap().to_owned())
    }

    fn balance(account: &Account) -> f64 {
        let data = account.ask("GET", "/credits", Value::Null).unwrap()["data"].clone();
        assert_eq!(data["balance"], data["total_credits"]);
        data["balance"].as_f64().unwrap()
    }

    #[test]
    fn only_what_stripe_signed_is_taken() {
        let now = Account::new().now;
        let body = checkout("evt_1", "pi_1", 500).to_string();
        let header = signature::sign("whsec_test", &body, now).unwrap();
        let refused = |secret, header: Option<&str>, body: &str, at| {
            let error = open(secret, header, body.as_bytes(), at).unwrap_err();
            (error.status(), error.code.unwrap_or_default())
        };
        let secret = Some("whsec_test");
        assert_eq!(refused(None, Some(&header), &body, now), (503, "stripe_not_configured"));
        for bad in [
            refused(secret, None, &body, now),
            refused(secret, Some("t=1,v1=00"), &body, now),
            refused(Some("whsec_other"), Some(&header), &body, now),
            refused(secret, Some(&header), &body.replace("500", "501"), now),
            refused(secret, Some(&header), &body, now.plus(301_000)),
        ] {
            assert_eq!(bad, (400, "invalid_signature"));
        }
        let rubbish = signature::sign("whsec_test", "{", now).unwrap();
        assert_eq!(refused(secret, Some(&rubbish), "{", now), (400, "invalid_json"));
        assert_eq!(open(secret, Some(&header), body.as_bytes(), now.plus(299_000)).unwrap()["id"], "evt_1");
    }

    #[test]
    fn a_payment_counts_once_by_whichever_event_comes_first() {
        for (first, second) in [
            (checkout("e1", "pi_1", 1234), intent("e2", "pi_1", 1234)),
            (intent("e2", "pi_1", 1234), checkout("e1", "pi_1", 1234)),
        ] {
            let account = Account::new();
            assert_eq!(send(&account, first.clone()).unwrap(), "credited");
            assert_eq!(send(&account, second.clone()).unwrap(), "counted_before");
            // Replays say what they said, and do nothing.
            assert_eq!(
                (send(&account, first).unwrap().as_str(), send(&account, second).unwrap().as_str()),
                ("credited", "counted_before")
            );
            assert_eq!(balance(&account), 12.34);
            assert_eq!(account.ask("GET", "/webhooks/stripe", Value::Null).unwrap()["total_count"], 2);
        }
    }

    #[test]
    fn refunds_are_totals_and_wait_for_their_payment() {
        let account = Account::new();
        assert_eq!(send(&account, refund("r1", "pi_1", 300)).unwrap(), "refund_waits");
        assert_eq!(balance(&account), 0.0);
        assert_eq!(send(&account, intent("p1", "pi_1", 1000)).unwrap(), "credited");
        assert_eq!(balance(&account), 7.0);
        assert_eq!(send(&account, refund("r3", "pi_1", 1000)).unwrap(), "refunded");
        assert_eq!(send(&account, refund("r2", "pi_1", 500)).unwrap(), "counted_before", "an older total");
        assert_eq!(balance(&account), 0.0);
        let ledger = account.ask("GET", "/ledger?account=stripe", Value::Null).unwrap();
        let amounts: Vec<f64> =
            ledger["data"].as_array().unwrap().iter().map(|row| row["amount"].as_f64().unwrap()).collect();
        assert_eq!(amounts, [7.0, 3.0, -10.0]);
    }

    #[test]
    fn what_is_no_payment_in_dollars_for_us_credits_nothing_and_is_listed() {
        let account = Account::new();
        let mut unpaid = checkout("e1", "pi_1", 500);
        unpaid["data"]["object"]["payment_status"] = "unpaid".into();
        let mut subscription = checkout("e2", "", 500);
        subscription["data"]["object"]["payment_intent"] = Value::Null;
        let mut other = intent("e3", "pi_3", 500);
        other["data"]["object"]["metadata"] = json!({ "organization": "somebody" });
        let nothing = json!({ "id": "e4", "type": "customer.created", "data": { "object": {} } });
        let outcomes = [unpaid, subscription, other, nothing].map(|event| send(&account, event).unwrap());
        assert_eq!(outcomes, ["ignored", "ignored", "other_organization", "ignored"]);
        for _ in 0..2 {
            let mut euros = intent("e5", "pi_5", 500);
            euros["data"]["object"]["currency"] = "eur".into();
            let error = send(&account, euros).unwrap_err();
            assert_eq!((error.status(), error.code), (400, Some("unsupported_currency")));
        }
        let listed = account.ask("GET", "/webhooks/stripe?limit=1", Value::Null).unwrap();
        assert_eq!(
            (&listed["data"][0]["outcome"], &listed["data"][0]["currency"], &listed["total_count"]),
            (&json!("unsupported_currency"), &json!("eur"), &json!(5))
        );
        // The unpaid one is paid later.
        let mut paid = checkout("e6", "pi_1", 500);
        paid["type"] = "checkout.session.async_payment_succeeded".into();
        assert_eq!((send(&account, paid).unwrap().as_str(), balance(&account)), ("credited", 5.0));
        let mut ours = intent("e7", "pi_7", 100);
        ours["data"]["object"]["metadata"] = json!({ "organization": "default" });
        assert_eq!((send(&account, ours).unwrap().as_str(), balance(&account)), ("credited", 6.0));
    }

    #[test]
    fn events_that_cannot_be_meant_are_refused_by_name() {
        let account = Account::new();
        let mut without = intent("e", "pi", 5);
        without["data"]["object"].as_object_mut().unwrap().remove("amount_received");
        for (event, param) in [
            (json!({ "type": "x", "data": { "object": {} } }), "id"),
            (json!({ "id": "e", "type": "x" }), "data"),
            (intent("", "pi", 5), "id"),
            (without, "data.object.amount_received"),
            (intent("e", "pi", -5), "data.object"),
            (intent("e", "pi", 900_000_000), "data.object"),
            (intent("e", "pi", i64::MAX), "data.object"),
            (intent("e", "", 5), "data.object"),
        ] {
            let error = send(&account, event.clone()).unwrap_err();
            assert_eq!((error.status(), error.param.as_deref()), (400, Some(param)), "{event}");
        }
        assert_eq!(account.ask("GET", "/webhooks/stripe", Value::Null).unwrap()["total_count"], 0);
        assert_eq!(account.ask("GET", "/ledger", Value::Null).unwrap()["data"], json!([]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn in_whatever_order_and_however_often_the_end_is_right(
            totals in prop::collection::vec(1_i64..1_500, 0..4), order in prop::collection::vec(any::<prop::sample::Index>(), 0..12), shift in 0_usize..8
        ) {
            let account = Account::new();
            let mut events = vec![checkout("c", "pi_1", 1000), intent("p", "pi_1", 1000)];
            events.extend(totals.iter().enumerate().map(|(n, total)| refund(&format!("r{n}"), "pi_1", *total)));
            // Some at random, then each at least once, beginning anywhere.
            let mut sent: Vec<Value> = order.iter().map(|at| at.get(&events).clone()).collect();
            let count = events.len();
            events.rotate_left(shift % count);
            sent.extend(events);
            for event in sent {
                send(&account, event).unwrap();
            }
            let back = totals.iter().copied().max().unwrap_or(0).min(1000);
            prop_assert_eq!(balance(&account), NanoUsd((1000 - back) * NANO_PER_CENT).to_json().as_f64().unwrap());
            prop_assert_eq!(&account.ask("GET", "/ledger/check", Value::Null).unwrap()["data"]["balanced"], true);
        }
    }
}
