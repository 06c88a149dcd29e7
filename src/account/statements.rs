//! Statements: what came and went in a calendar month (UTC), as JSON or CSV.
//!
//! Everything is read from the ledger's monthly sums. Entries bear the time at which they were written,
//! so the statement of a month that is over never changes. To the nano-dollar,
//!
//! ```text
//! closing = opening + credits + refunds + adjustments - usage - unsettled
//! ```
//!
//! where the balance is what the customer has, what is held for running requests included.

use serde_json::{Value, json};

use super::{
    gathered, keys,
    ledger::{CUSTOMER, sum},
};
use crate::{
    DEFAULT_ORG,
    admin::query,
    error::{Error, ErrorKind, Result},
    money::NanoUsd,
    ports::{AdminRequest, AdminResponse, Reply, Sql, SqlError, text},
    time::{Millis, Window},
};

const CSV: &str = "text/csv; charset=utf-8";

/// A month's figures.
struct Statement {
    month: String,
    opening: NanoUsd,
    credits: NanoUsd,
    refunds: NanoUsd,
    adjustments: NanoUsd,
    usage: NanoUsd,
    unsettled: NanoUsd,
    closing: NanoUsd,
    keys: Vec<KeyUsage>,
    providers: Vec<(String, NanoUsd)>,
    margin: NanoUsd,
}

struct KeyUsage {
    workspace: String,
    key: String,
    name: Option<String>,
    amount: NanoUsd,
}

/// `GET /statements`: months, newest first.
pub(super) fn list(sql: &dyn Sql, now: Millis) -> Result<Value> {
    gathered::flush(sql)?;
    let current = month_of(now);
    let mut data = Vec::new();
    for month in months(sql, &current)? {
        let (opening, closing) = (balance(sql, &month, "<")?, balance(sql, &month, "<=")?);
        data.push(json!({
            "month": month,
            "final": month != current,
            "opening_balance": opening.to_json(),
            "closing_balance": closing.to_json(),
        }));
    }
    Ok(json!({ "data": data }))
}

/// `GET /statements/{month}`.
pub(super) fn get(sql: &dyn Sql, month: &str, request: &AdminRequest, now: Millis) -> Result<Reply> {
    gathered::flush(sql)?;
    let csv = match query::text(&request.query, "format") {
        None | Some("json") => false,
        Some("csv") => true,
        Some(_) => return Err(Error::invalid("format", "format must be json or csv.")),
    };
    let Some(start) = Millis::parse_iso(&format!("{month}-01T00:00:00Z")).filter(|_| month.len() == 7) else {
        return Err(Error::invalid("month", "month must be written like 2026-11."));
    };
    let current = month_of(now);
    if !months(sql, &current)?.iter().any(|known| known == month) {
        return Err(Error::new(ErrorKind::NotFound, "There is no statement for this month."));
    }
    let statement = Statement::read(sql, month)?;
    if csv {
        let answer = AdminResponse { status: 200, body: statement.csv().into() };
        return Ok(Reply { content_type: Some(CSV.to_owned()), ..answer.into() });
    }
    Ok(AdminResponse { status: 200, body: json!({ "data": statement.json(start, month != current) }) }.into())
}

fn month_of(now: Millis) -> String {
    now.day().chars().take(7).collect()
}

/// All months from the first with an entry to that of now, newest first.
fn months(sql: &dyn Sql, current: &str) -> Result<Vec<String>, SqlError> {
    let rows = sql.run("SELECT min(month) AS month FROM ledger_months", &[])?;
    let first = rows.first().map(|row| text(row, "month")).filter(|first| !first.is_empty()).unwrap_or(current);
    let mut months = vec![current.to_owned()];
    while let Some(earlier) = months.last().filter(|last| last.as_str() > first).and_then(|last| before(last)) {
        months.push(earlier);
    }
    Ok(months)
}

fn before(month: &str) -> Option<String> {
    let start = Millis::parse_iso(&format!("{month}-01T00:00:00Z"))?;
    Some(month_of(start.plus(-1)))
}

/// The balance before or at the end of a month.
fn balance(sql: &dyn Sql, month: &str, compare: &str) -> Result<NanoUsd, SqlError> {
    let rows = sql.run(
        &format!(
            "SELECT CAST(coalesce(sum(amount), 0) AS TEXT) AS n FROM ledger_months
             WHERE month {compare} ?1 AND account IN (?2, 'held')"
        ),
        &[month.into(), CUSTOMER.into()],
    )?;
    Ok(rows.first().map_or(NanoUsd::ZERO, |row| sum(row, "n")))
}

impl Statement {
    fn read(sql: &dyn Sql, month: &str) -> Result<Self> {
        let moved = |account: &str, kind: Option<&str>| -> Result<NanoUsd, SqlError> {
            let rows = sql.run(
                "SELECT CAST(coalesce(sum(amount), 0) AS TEXT) AS n FROM ledger_months
                 WHERE month = ?1 AND account = ?2 AND (?3 IS NULL OR kind = ?3)",
                &[month.into(), account.into(), kind.into()],
            )?;
            Ok(rows.first().map_or(NanoUsd::ZERO, |row| sum(row, "n")))
        };
        let names = keys::names(sql)?;
        let keys = sql.run(
            "SELECT workspace, key, CAST(-sum(amount) AS TEXT) AS n FROM ledger_months
             WHERE month = ?1 AND account = ?2 AND kind = 'post' GROUP BY workspace, key ORDER BY workspace, key",
            &[month.into(), CUSTOMER.into()],
        )?;
        let providers = sql.run(
            "SELECT substr(account, 10) AS slug, CAST(sum(amount) AS TEXT) AS n FROM ledger_months
             WHERE month = ?1 AND account GLOB 'provider:*' AND kind = 'post' GROUP BY account ORDER BY account",
            &[month.into()],
        )?;
        let key = |row: &crate::ports::Row| KeyUsage {
            workspace: text(row, "workspace").to_owned(),
            key: text(row, "key").to_owned(),
            name: names.get(text(row, "key")).cloned(),
            amount: sum(row, "n"),
        };
        Ok(Self {
            month: month.to_owned(),
            opening: balance(sql, month, "<")?,
            credits: moved(CUSTOMER, Some("credit"))?,
            refunds: moved(CUSTOMER, Some("refund"))?,
            adjustments: moved(CUSTOMER, Some("adjust"))?,
            usage: NanoUsd(-moved(CUSTOMER, Some("post"))?.0),
            unsettled: moved("unsettled", None)?,
            closing: balance(sql, month, "<=")?,
            keys: keys.iter().map(key).collect(),
            providers: providers.iter().map(|row| (text(row, "slug").to_owned(), sum(row, "n"))).collect(),
            margin: moved("margin", Some("post"))?,
        })
    }

    fn json(&self, start: Millis, is_final: bool) -> Value {
        let keys: Vec<Value> = self
            .keys
            .iter()
            .map(|KeyUsage { workspace, key, name, amount }| {
                json!({ "workspace_id": workspace, "key": key, "name": name, "amount": amount.to_json() })
            })
            .collect();
        let providers: Vec<Value> = self
            .providers
            .iter()
            .map(|(slug, amount)| json!({ "provider": slug, "amount": amount.to_json() }))
            .collect();
        json!({
            "organization_id": DEFAULT_ORG,
            "month": self.month,
            "from": start.iso(),
            "to": start.plus(31 * 86_400_000).start_of(Window::Month).iso(),
            "final": is_final,
            "currency": "usd",
            "opening_balance": self.opening.to_json(),
            "credits": self.credits.to_json(),
            "refunds": self.refunds.to_json(),
            "adjustments": self.adjustments.to_json(),
            "usage": self.usage.to_json(),
            "unsettled": self.unsettled.to_json(),
            "closing_balance": self.closing.to_json(),
            "usage_by_key": keys,
            "provider_costs": providers,
            "margin": self.margin.to_json(),
        })
    }

    fn csv(&self) -> String {
        let mut text = "line,workspace_id,key,name,amount_usd\r\n".to_owned();
        let mut row = |line: &str, workspace: &str, key: &str, name: &str, amount: NanoUsd| {
            let cells = [line, workspace, key, name].map(cell).join(",");
            text.extend([cells.as_str(), ",", &amount.to_string(), "\r\n"]);
        };
        let taken = |amount: NanoUsd| NanoUsd(-amount.0);
        row("opening_balance", "", "", &self.month, self.opening);
        row("credits", "", "", "", self.credits);
        row("refunds", "", "", "", self.refunds);
        row("adjustments", "", "", "", self.adjustments);
        for KeyUsage { workspace, key, name, amount } in &self.keys {
            row("usage", workspace, key, name.as_deref().unwrap_or_default(), taken(*amount));
        }
        row("unsettled", "", "", "", taken(self.unsettled));
        row("closing_balance", "", "", &self.month, self.closing);
        for (slug, amount) in &self.providers {
            row("of_which_provider", "", "", slug, *amount);
        }
        row("of_which_margin", "", "", "", self.margin);
        text
    }
}

/// A cell of text. What a spreadsheet would take for a formula gets an apostrophe in front.
fn cell(text: &str) -> String {
    let formula = text.trim_start().starts_with(['=', '+', '-', '@']) || text.starts_with(['\t', '\r', '\n']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r', '\'', ';', '\t']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::account::{
        ledger::{self, Kind, tests::line},
        testing::Account,
    };

    fn at(text: &str) -> Millis {
        Millis::parse_iso(text).unwrap()
    }

    fn filled() -> (Account, String) {
        let account = Account::new();
        let made = account.ask("POST", "/keys", json!({ "name": "=HYPERLINK(\"http://x\"),\"a\"" })).unwrap();
        let hash = made["data"]["hash"].as_str().unwrap().to_owned();
        let sql = &account.sql;
        let credit = |tx: &str, kind, source, nano, now| {
            ledger::credit(sql, tx, kind, source, NanoUsd(nano), "m", at(now)).unwrap()
        };
        credit("a", Kind::Credit, "stripe", 10_000_000_001, "2026-08-31T23:59:59.999Z");
        credit("b", Kind::Credit, "grants", 5, "2026-10-01T00:00:00Z");
        credit("c", Kind::Refund, "stripe", -1_000_000_000, "2026-10-31T23:59:59.999Z");
        credit("d", Kind::Adjust, "adjustments", -3, "2026-10-15T00:00:00Z");
        let lines = [
            line("w1", &hash, "openai", 110, 100),
            line("w1", &hash, "groq", 10, 10),
            line("w2", "gone", "groq", 7, 5),
        ];
        ledger::post_usage(sql, "s:1", &lines, at("2026-10-15T00:00:00Z")).unwrap();
        ledger::hold(sql, "h:1", 1_000, at("2026-10-31T23:59:59Z")).unwrap();
        ledger::write_off(sql, "w:1", 40, at("2026-10-31T23:59:59Z")).unwrap();
        ledger::post_usage(sql, "s:2", &[line("w1", &hash, "groq", 1, 1)], at("2026-11-01T00:00:00Z")).unwrap();
        (account, hash)
    }

    #[test]
    fn a_month_is_what_came_and_went_in_it() {
        let (account, hash) = filled();
        let statement = account.ask("GET", "/statements/2026-10", Value::Null).unwrap()["data"].clone();
        let usd = |nano: i64| NanoUsd(nano).to_json();
        assert_eq!(
            statement,
            json!({
                "organization_id": "default", "month": "2026-10", "from": "2026-10-01T00:00:00.000Z", "to": "2026-11-01T00:00:00.000Z",
                "final": true, "currency": "usd", "opening_balance": usd(10_000_000_001), "credits": usd(5), "refunds": usd(-1_000_000_000),
                "adjustments": usd(-3), "usage": usd(127), "unsettled": usd(40), "closing_balance": usd(8_999_999_836),
                "usage_by_key": [
                    { "workspace_id": "w1", "key": hash, "name": "=HYPERLINK(\"http://x\"),\"a\"", "amount": usd(120) },
                    { "workspace_id": "w2", "key": "gone", "name": null, "amount": usd(7) },
                ],
                "provider_costs": [{ "provider": "groq", "amount": usd(15) }, { "provider": "openai", "amount": usd(100) }],
                "margin": usd(12),
            })
        );
    }

    #[test]
    fn a_rotated_key_is_one_line_under_its_name() {
        let account = Account::new();
        let made = account.ask("POST", "/keys", json!({ "name": "first" })).unwrap();
        let hash = made["data"]["hash"].as_str().unwrap().to_owned();
        let rotated = account.ask("POST", &format!("/keys/{hash}/rotate"), json!({ "grace_seconds": 0 })).unwrap();
        let new = rotated["data"]["hash"].as_str().unwrap();
        account.ask("PATCH", &format!("/keys/{new}"), json!({ "name": "second" })).unwrap();
        // Its account is the first hash, whichever of the two is used.
        ledger::post_usage(&account.sql, "s:1", &[line("w", &hash, "p", 5, 5)], account.now).unwrap();
        let usage = account.ask("GET", "/statements/2026-11", Value::Null).unwrap()["data"]["usage_by_key"].clone();
        assert_eq!(usage, json!([{ "workspace_id": "w", "key": hash, "name": "second", "amount": 5e-9 }]));
    }

    #[test]
    fn every_month_since_the_first_is_there_and_no_other() {
        let (account, _) = filled();
        let listed = account.ask("GET", "/statements", Value::Null).unwrap()["data"].clone();
        let months: Vec<&str> = listed.as_array().unwrap().iter().map(|row| row["month"].as_str().unwrap()).collect();
        assert_eq!(months, ["2026-11", "2026-10", "2026-09", "2026-08"]);
        assert_eq!((&listed[0]["final"], &listed[1]["final"]), (&json!(false), &json!(true)));
        assert_eq!(listed[0]["opening_balance"], listed[1]["closing_balance"]);
        let quiet = account.ask("GET", "/statements/2026-09", Value::Null).unwrap()["data"].clone();
        assert_eq!(
            (&quiet["opening_balance"], &quiet["closing_balance"], &quiet["usage_by_key"]),
            (&json!(10.000_000_001), &json!(10.000_000_001), &json!([]))
        );
        for (month, status) in
            [("2026-07", 404), ("2026-12", 404), ("2026-13", 400), ("2026-1", 400), ("x", 400), ("2026-10-01", 400)]
        {
            assert_eq!(
                account.ask("GET", &format!("/statements/{month}"), Value::Null).unwrap_err().status(),
                status,
                "{month}"
            );
        }
        assert_eq!(
            account.ask("GET", "/statements/2026-10?format=pdf", Value::Null).unwrap_err().param.as_deref(),
            Some("format")
        );
        let fresh = Account::new().ask("GET", "/statements", Value::Null).unwrap()["data"].clone();
        assert_eq!(
            fresh,
            json!([{ "month": "2026-11", "final": false, "opening_balance": 0.0, "closing_balance": 0.0 }])
        );
    }

    #[test]
    fn the_csv_has_exact_amounts_and_no_formulas() {
        let (account, hash) = filled();
        let reply =
            account.send(&Account::command("GET", "/statements/2026-10?format=csv", Value::Null, None)).unwrap();
        assert_eq!(reply.content_type.as_deref(), Some("text/csv; charset=utf-8"));
        let expected = format!(
            "line,workspace_id,key,name,amount_usd\r\n\
             opening_balance,,,2026-10,10.000000001\r\n\
             credits,,,,0.000000005\r\n\
             refunds,,,,-1\r\n\
             adjustments,,,,-0.000000003\r\n\
             usage,w1,{hash},\"'=HYPERLINK(\"\"http://x\"\"),\"\"a\"\"\",-0.00000012\r\n\
             usage,w2,gone,,-0.000000007\r\n\
             unsettled,,,,-0.00000004\r\n\
             closing_balance,,,2026-10,8.999999836\r\n\
             of_which_provider,,,groq,0.000000015\r\n\
             of_which_provider,,,openai,0.0000001\r\n\
             of_which_margin,,,,0.000000012\r\n"
        );
        assert_eq!(reply.answer.body.as_str().unwrap(), expected);
    }

    #[test]
    fn cells_are_text_whatever_they_say() {
        for (text, written) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@x", "\"'@x\""),
            ("  =1", "\"'  =1\""),
            ("\t=1", "\"'\t=1\""),
            ("a\r\nb", "\"a\r\nb\""),
        ] {
            assert_eq!(cell(text), written, "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn each_month_opens_where_the_last_closed_and_closes_exactly(
            steps in prop::collection::vec((0_u8..6, -5_000_i64..5_000, 0_i64..120 * 86_400_000), 1..40)
        ) {
            let mut account = Account::new();
            let start = at("2026-08-01T00:00:00Z");
            for (n, (what, amount, later)) in steps.into_iter().enumerate() {
                let (tx, now, some) = (n.to_string(), start.plus(later), amount.abs());
                match what {
                    0 => ledger::post_usage(&account.sql, &tx, &[line("w", "k", "p", some, some / 2)], now),
                    1 => ledger::hold(&account.sql, &tx, amount, now),
                    2 => ledger::write_off(&account.sql, &tx, some, now),
                    3 => ledger::forgive(&account.sql, &tx, some, now),
                    4 => ledger::credit(&account.sql, &tx, Kind::Credit, "grants", NanoUsd(some), "m", now),
                    _ => ledger::credit(&account.sql, &tx, Kind::Adjust, "adjustments", NanoUsd(amount), "m", now),
                }.unwrap();
            }
            account.now = at("2026-12-05T00:00:00Z");
            let mut opening = NanoUsd::ZERO;
            for month in months(&account.sql, "2026-12").unwrap().into_iter().rev() {
                let statement = Statement::read(&account.sql, &month).unwrap();
                prop_assert_eq!(statement.opening, opening);
                let Statement { credits, refunds, adjustments, usage, unsettled, .. } = &statement;
                let moved = credits.0 + refunds.0 + adjustments.0 - usage.0 - unsettled.0;
                prop_assert_eq!(statement.closing.0, opening.0 + moved);
                prop_assert_eq!(statement.keys.iter().map(|key| key.amount.0).sum::<i64>(), usage.0);
                let costs: i64 = statement.providers.iter().map(|(_, amount)| amount.0).sum();
                prop_assert_eq!(costs + statement.margin.0, usage.0);
                opening = statement.closing;
            }
            prop_assert_eq!(opening, ledger::standing(&account.sql).unwrap().balance);
        }
    }
}
