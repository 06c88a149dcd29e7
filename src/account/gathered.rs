//! Usage and holds on their way into the ledger.
//!
//! A busy organization commits hundreds of batches a second; an entry for each would fill the object's
//! disk within days. So their entries are added up, by kind, account, workspace and key, for
//! [`GATHER_MS`], and then posted as one transaction of each kind. What is gathered is as good as
//! posted: it is on disk, it balances at every step, balances count it, and whoever reads the ledger
//! has it posted first. A transaction bears the time of the last thing in it, and none reaches over the
//! end of a month: what a final statement says is final.
//!
//! Counting is not idempotent: the caller has made sure that a batch counts once.

use super::ledger::{self, CUSTOMER, Entry, HELD, Kind, UsageLine, balanced, sum};
use crate::{
    error::{Error, Result},
    ports::{Row, Sql, SqlError, int, text},
    time::{Millis, Window},
};

/// How long is gathered at most while there is traffic.
pub const GATHER_MS: i64 = 10_000;

/// Creates the tables.
pub(super) fn migrate(sql: &dyn Sql) -> Result<(), SqlError> {
    for statement in [
        "CREATE TABLE IF NOT EXISTS ledger_gathered (
            kind TEXT NOT NULL, account TEXT NOT NULL, workspace TEXT NOT NULL, key TEXT NOT NULL, amount INTEGER NOT NULL,
            PRIMARY KEY (kind, account, workspace, key)
        ) WITHOUT ROWID",
        // When the first and the last of it came; how often it was posted.
        "CREATE TABLE IF NOT EXISTS ledger_gathering (
            one INTEGER PRIMARY KEY CHECK (one = 1), first INTEGER, last INTEGER NOT NULL, posted INTEGER NOT NULL
        )",
        "INSERT OR IGNORE INTO ledger_gathering VALUES (1, NULL, 0, 0)",
    ] {
        sql.run(statement, &[])?;
    }
    Ok(())
}

/// Charges what a batch has used.
pub fn usage(sql: &dyn Sql, lines: &[UsageLine], now: Millis) -> Result<()> {
    gather(sql, Kind::Post, &ledger::usage_entries(lines)?, now)
}

/// Sets aside from the prepaid balance, or gives back where the amount is negative.
pub fn hold(sql: &dyn Sql, delta_nano: i64, now: Millis) -> Result<()> {
    let kind = if delta_nano < 0 { Kind::Release } else { Kind::Hold };
    let delta = delta_nano.clamp(-ledger::MOST, ledger::MOST);
    gather(sql, kind, &[Entry::new(CUSTOMER, -delta), Entry::new(HELD, delta)], now)
}

fn gather(sql: &dyn Sql, kind: Kind, entries: &[Entry], now: Millis) -> Result<()> {
    if entries.iter().all(|entry| entry.amount == 0) {
        return Ok(());
    }
    let entries = balanced("gathered", entries)?;
    let rows = sql.run("SELECT first, last FROM ledger_gathering WHERE first IS NOT NULL", &[])?;
    if let Some(row) = rows.first() {
        let (first, last) = (Millis(int(row, "first")), Millis(int(row, "last")));
        if now.since(first) >= GATHER_MS || last.start_of(Window::Month) != now.start_of(Window::Month) {
            flush(sql)?;
        }
    }
    sql.run(
        "INSERT INTO ledger_gathered
         SELECT ?1, value ->> 0, coalesce(value ->> 2, ''), coalesce(value ->> 3, ''), value ->> 1 FROM json_each(?2) WHERE true
         ON CONFLICT DO UPDATE SET amount = amount + excluded.amount",
        &[kind.name().into(), entries.into()],
    )?;
    sql.run(
        "UPDATE ledger_gathering SET first = coalesce(first, ?1), last = CASE WHEN first IS NULL THEN ?1 ELSE max(?1, last) END",
        &[now.0.into()],
    )?;
    Ok(())
}

/// Posts what is gathered.
pub(super) fn flush(sql: &dyn Sql) -> Result<()> {
    let state = sql.run("SELECT last, posted FROM ledger_gathering WHERE first IS NOT NULL", &[])?;
    let Some(state) = state.first() else { return Ok(()) };
    let (last, number) = (Millis(int(state, "last")), int(state, "posted") + 1);
    let rows = sql.run(
        "SELECT kind, account, workspace, key, CAST(amount AS TEXT) AS amount FROM ledger_gathered
         ORDER BY kind, account, workspace, key",
        &[],
    )?;
    for same in rows.chunk_by(|a, b| text(a, "kind") == text(b, "kind")) {
        let name = same.first().map_or("", |row| text(row, "kind"));
        let kind = Kind::find(name).ok_or_else(|| Error::internal(format!("gathered entries of a kind {name:?}")))?;
        ledger::post(sql, &format!("gathered:{number}:{name}"), kind, same.iter().map(entry).collect(), "", last)?;
    }
    sql.run("DELETE FROM ledger_gathered", &[])?;
    sql.run("UPDATE ledger_gathering SET first = NULL, posted = ?1", &[number.into()])?;
    Ok(())
}

fn entry(row: &Row) -> Entry {
    let word = |column: &str| Some(text(row, column)).filter(|word| !word.is_empty()).map(str::to_owned);
    Entry { workspace: word("workspace"), key: word("key"), ..Entry::new(text(row, "account"), sum(row, "amount").0) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        account::{
            ledger::{Standing, check, standing, tests::line},
            testing::Account,
        },
        money::NanoUsd,
    };

    fn at(text: &str) -> Millis {
        Millis::parse_iso(text).unwrap()
    }

    fn entries(account: &Account) -> Vec<(String, String, i64)> {
        let rows = account.sql.run("SELECT kind, account, amount FROM ledger_entries ORDER BY id", &[]).unwrap();
        rows.iter()
            .map(|row| (text(row, "kind").to_owned(), text(row, "account").to_owned(), int(row, "amount")))
            .collect()
    }

    #[test]
    fn what_is_gathered_counts_at_once_and_is_posted_for_whoever_reads() {
        let account = Account::new();
        for n in 0..5 {
            usage(&account.sql, &[line("w", "k", "p", 10, 8)], account.now.plus(n)).unwrap();
        }
        hold(&account.sql, 100, account.now).unwrap();
        hold(&account.sql, -30, account.now).unwrap();
        assert!(entries(&account).is_empty());
        let now = standing(&account.sql).unwrap();
        assert_eq!(now, Standing { credits: NanoUsd(0), balance: NanoUsd(-50), held: NanoUsd(70) });
        let listed = account.ask("GET", "/ledger?kind=post", Value::Null).unwrap()["data"].clone();
        let amounts: Vec<&Value> = listed.as_array().unwrap().iter().map(|row| &row["amount_nano"]).collect();
        assert_eq!(amounts, [&json!(40), &json!(-50), &json!(10)]);
        assert_eq!(listed[1]["key"], "k");
        assert_eq!(standing(&account.sql).unwrap(), now);
        assert_eq!(entries(&account).len(), 7);
        usage(&account.sql, &[], account.now).unwrap();
        assert_eq!(
            account.ask("GET", "/ledger/check", Value::Null).unwrap()["data"]["entries"],
            7,
            "nothing is posted twice"
        );
    }

    #[test]
    fn traffic_is_posted_every_ten_seconds_as_one() {
        let account = Account::new();
        for n in 0..100 {
            usage(&account.sql, &[line("w", "k", "p", 10, 10)], account.now.plus(n * 300)).unwrap();
        }
        // 34 of them in each ten seconds.
        assert_eq!(entries(&account).iter().map(|(_, _, amount)| *amount).collect::<Vec<_>>(), [-340, 340, -340, 340]);
        assert_eq!(standing(&account.sql).unwrap().usage(), NanoUsd(1000));
    }

    #[test]
    fn no_transaction_reaches_over_the_end_of_a_month() {
        let mut account = Account::new();
        usage(&account.sql, &[line("w", "k", "p", 10, 8)], at("2026-10-31T23:59:59.999Z")).unwrap();
        usage(&account.sql, &[line("w", "k", "p", 1, 1)], at("2026-11-01T00:00:00Z")).unwrap();
        account.now = at("2026-11-01T00:00:01Z");
        let usage_of = |month: &str| {
            account.ask("GET", &format!("/statements/{month}"), Value::Null).unwrap()["data"]["usage"].clone()
        };
        assert_eq!((usage_of("2026-10"), usage_of("2026-11")), (json!(1e-8), json!(1e-9)));
        // And what nobody touched since is still of its month.
        let mut account = Account::new();
        account.now = at("2026-12-24T00:00:00Z");
        usage(&account.sql, &[line("w", "k", "p", 10, 8)], at("2026-10-31T23:59:59.999Z")).unwrap();
        let months = account.ask("GET", "/statements", Value::Null).unwrap()["data"].clone();
        assert_eq!(
            (&months[0]["opening_balance"], &months[2]["month"], &months[2]["closing_balance"]),
            (&json!(-1e-8), &json!("2026-10"), &json!(-1e-8))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn gathering_changes_no_sum(
            steps in prop::collection::vec((0_u8..3, 0_usize..3, -500_i64..500, 0_i64..40_000), 1..60)
        ) {
            let (gathered, posted) = (Account::new(), Account::new());
            let mut now = gathered.now;
            for (n, (what, name, amount, later)) in steps.into_iter().enumerate() {
                now = now.plus(later);
                let lines = [line("w", &format!("k{name}"), "p", amount.abs(), amount.abs() / 2)];
                match what {
                    0 => {
                        hold(&gathered.sql, amount, now).unwrap();
                        ledger::hold(&posted.sql, &n.to_string(), amount, now).unwrap();
                    }
                    1 => {
                        usage(&gathered.sql, &lines, now).unwrap();
                        ledger::post_usage(&posted.sql, &n.to_string(), &lines, now).unwrap();
                    }
                    _ => prop_assert_eq!(&check(&gathered.sql).unwrap()["data"]["balanced"], true),
                }
                prop_assert_eq!(standing(&gathered.sql).unwrap(), standing(&posted.sql).unwrap());
            }
            let (left, right) = (check(&gathered.sql).unwrap(), check(&posted.sql).unwrap());
            prop_assert_eq!(&left["data"]["accounts"], &right["data"]["accounts"]);
            prop_assert_eq!(&left["data"]["balanced"], true);
        }
    }
}
