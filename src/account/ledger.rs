//! The ledger: double entry, append-only, in whole nano-dollars.
//!
//! A transaction is a few entries whose amounts sum to 0. It is checked before it is written, is known
//! by its name (`tx`: the same name again has no effect), and is never changed: triggers refuse it.
//!
//! | account | its balance is |
//! |---|---|
//! | `org:<id>` | what the customer may still spend; negative: what it owes |
//! | `held` | what the prepaid balance has set aside for requests that run |
//! | `unsettled` | what dead isolates held: nobody knows what their providers billed |
//! | `provider:<slug>` | what a provider is owed |
//! | `margin` | margin and fees |
//! | `stripe`, `grants`, `refunds`, `adjustments` | where credits came from (negative) or went to |
//!
//! | kind | moves |
//! |---|---|
//! | `hold`, `release` | between the customer and `held` (`release` also from `unsettled` back to the customer) |
//! | `post` | from the customer to providers and `margin` |
//! | `credit`, `refund`, `adjust` | between the customer and a source |
//! | `write_off` | from `held` to `unsettled` |
//!
//! Usage and holds come by the hundred a second: they are gathered first ([`gathered`]).
//!
//! Tables: `ledger_entries`; kept beside it by a trigger, and compared with it by [`check`],
//! `ledger_totals` (by account and kind) and `ledger_months` (by month, workspace and key too), so that
//! no balance is ever read by adding up all entries. Sums may exceed what JavaScript holds exactly:
//! amounts enter and leave SQL as text.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::gathered;
use crate::{
    admin::query,
    error::{Error, Result},
    money::NanoUsd,
    ports::{AdminRequest, Row, Sql, SqlError, int, text},
    time::Millis,
};

/// The customer's account (`crate::DEFAULT_ORG`).
pub const CUSTOMER: &str = "org:default";
pub(super) const HELD: &str = "held";
const UNSETTLED: &str = "unsettled";
const MARGIN: &str = "margin";
/// No amount that comes from outside is larger: nine million dollars.
pub const MOST: i64 = 9_000_000_000_000_000 - 1;

const MOST_ROWS: i64 = 1000;

/// What a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Set aside for requests that run.
    Hold,
    /// Usage.
    Post,
    /// Given back.
    Release,
    /// Credits bought or granted.
    Credit,
    /// Credits paid back.
    Refund,
    /// A correction.
    Adjust,
    /// Held by an isolate that died.
    WriteOff,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Hold, Self::Post, Self::Release, Self::Credit, Self::Refund, Self::Adjust, Self::WriteOff];

    /// As it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Post => "post",
            Self::Release => "release",
            Self::Credit => "credit",
            Self::Refund => "refund",
            Self::Adjust => "adjust",
            Self::WriteOff => "write_off",
        }
    }

    pub(super) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One side of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) account: String,
    pub(super) amount: i64,
    pub(super) workspace: Option<String>,
    pub(super) key: Option<String>,
}

impl Entry {
    pub(super) fn new(account: impl Into<String>, amount: i64) -> Self {
        Self { account: account.into(), amount, workspace: None, key: None }
    }
}

/// What one key of one workspace has used at one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageLine {
    /// The key's workspace at that time.
    pub workspace: String,
    /// The key.
    pub key: String,
    /// The provider's slug.
    pub provider: String,
    /// What the customer is charged.
    pub charged_nano: NanoUsd,
    /// What the provider is owed.
    pub provider_nano: NanoUsd,
}

/// Creates the tables.
pub fn migrate(sql: &dyn Sql) -> Result<(), SqlError> {
    for statement in [
        "CREATE TABLE IF NOT EXISTS ledger_entries (
            id INTEGER PRIMARY KEY AUTOINCREMENT, tx TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL,
            kind TEXT NOT NULL, account TEXT NOT NULL, amount INTEGER NOT NULL, workspace TEXT, key TEXT, memo TEXT,
            UNIQUE (tx, seq)
        )",
        "CREATE INDEX IF NOT EXISTS ledger_at ON ledger_entries (at)",
        "CREATE TABLE IF NOT EXISTS ledger_totals (
            account TEXT NOT NULL, kind TEXT NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY (account, kind)
        ) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS ledger_months (
            month TEXT NOT NULL, account TEXT NOT NULL, kind TEXT NOT NULL, workspace TEXT NOT NULL, key TEXT NOT NULL,
            amount INTEGER NOT NULL, PRIMARY KEY (month, account, kind, workspace, key)
        ) WITHOUT ROWID",
        "CREATE TRIGGER IF NOT EXISTS ledger_sums AFTER INSERT ON ledger_entries BEGIN
            INSERT INTO ledger_totals VALUES (NEW.account, NEW.kind, NEW.amount)
                ON CONFLICT DO UPDATE SET amount = amount + excluded.amount;
            INSERT INTO ledger_months VALUES (strftime('%Y-%m', NEW.at / 1000, 'unixepoch'), NEW.account, NEW.kind,
                    coalesce(NEW.workspace, ''), coalesce(NEW.key, ''), NEW.amount)
                ON CONFLICT DO UPDATE SET amount = amount + excluded.amount;
        END",
        "CREATE TRIGGER IF NOT EXISTS ledger_no_update BEFORE UPDATE ON ledger_entries BEGIN
            SELECT RAISE(ABORT, 'the ledger is append-only');
        END",
        "CREATE TRIGGER IF NOT EXISTS ledger_no_delete BEFORE DELETE ON ledger_entries BEGIN
            SELECT RAISE(ABORT, 'the ledger is append-only');
        END",
    ] {
        sql.run(statement, &[])?;
    }
    gathered::migrate(sql)
}

/// Charges what a batch has used. `tx` names the batch.
pub fn post_usage(sql: &dyn Sql, tx: &str, lines: &[UsageLine], now: Millis) -> Result<bool> {
    post(sql, tx, Kind::Post, usage_entries(lines)?, "", now)
}

pub(super) fn usage_entries(lines: &[UsageLine]) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    for UsageLine { workspace, key, provider, charged_nano, provider_nano } in lines {
        // Nonsense must not keep the rest of its batch from being recorded.
        let (charged, provider_nano) = (charged_nano.0.clamp(0, MOST), provider_nano.0.clamp(0, MOST));
        let mut customer = Entry::new(CUSTOMER, -charged);
        (customer.workspace, customer.key) = (Some(workspace.clone()), Some(key.clone()));
        add(&mut entries, customer)?;
        add(&mut entries, Entry::new(format!("provider:{provider}"), provider_nano))?;
        add(&mut entries, Entry::new(MARGIN, charged - provider_nano))?;
    }
    Ok(entries)
}

/// Sets aside from the prepaid balance, or gives back where the amount is negative.
pub fn hold(sql: &dyn Sql, tx: &str, delta_nano: i64, now: Millis) -> Result<bool> {
    let kind = if delta_nano < 0 { Kind::Release } else { Kind::Hold };
    transfer(sql, tx, kind, (CUSTOMER, HELD), delta_nano, "", now)
}

/// Writes off what a dead isolate held.
pub fn write_off(sql: &dyn Sql, tx: &str, nano: i64, now: Millis) -> Result<bool> {
    transfer(sql, tx, Kind::WriteOff, (HELD, UNSETTLED), nano, "", now)
}

/// Gives back what was written off: its providers billed nothing for it.
pub fn forgive(sql: &dyn Sql, tx: &str, nano: i64, now: Millis) -> Result<bool> {
    transfer(sql, tx, Kind::Release, (UNSETTLED, CUSTOMER), nano, "", now)
}

/// Moves credits from a source to the customer, or back where the amount is negative.
pub fn credit(
    sql: &dyn Sql,
    tx: &str,
    kind: Kind,
    source: &str,
    nano: NanoUsd,
    memo: &str,
    now: Millis,
) -> Result<bool> {
    transfer(sql, tx, kind, (source, CUSTOMER), nano.0, memo, now)
}

fn transfer(
    sql: &dyn Sql,
    tx: &str,
    kind: Kind,
    (from, to): (&str, &str),
    nano: i64,
    memo: &str,
    now: Millis,
) -> Result<bool> {
    if nano.unsigned_abs() > MOST.unsigned_abs() {
        return Err(too_large());
    }
    post(sql, tx, kind, vec![Entry::new(from, -nano), Entry::new(to, nano)], memo, now)
}

/// Writes a transaction; false if there is one of that name, or nothing to write.
pub(super) fn post(
    sql: &dyn Sql,
    tx: &str,
    kind: Kind,
    mut entries: Vec<Entry>,
    memo: &str,
    now: Millis,
) -> Result<bool> {
    entries.retain(|entry| entry.amount != 0);
    let entries_json = balanced(tx, &entries)?;
    if entries.is_empty() || !sql.run("SELECT 1 FROM ledger_entries WHERE tx = ?1 LIMIT 1", &[tx.into()])?.is_empty() {
        return Ok(false);
    }
    sql.run(
        "INSERT INTO ledger_entries (tx, seq, at, kind, account, amount, workspace, key, memo)
         SELECT ?1, key, ?2, ?3, value ->> 0, value ->> 1, value ->> 2, value ->> 3, nullif(?4, '') FROM json_each(?5)",
        &[tx.into(), now.0.into(), kind.name().into(), memo.into(), entries_json.into()],
    )?;
    Ok(true)
}

/// The entries as SQL takes them, if they sum to 0.
pub(super) fn balanced(tx: &str, entries: &[Entry]) -> Result<String> {
    let sum: i128 = entries.iter().map(|entry| i128::from(entry.amount)).sum();
    if sum != 0 {
        return Err(Error::internal(format!("the transaction {tx} does not balance: {sum}")));
    }
    let rows: Vec<Value> =
        entries.iter().map(|entry| json!([entry.account, entry.amount, entry.workspace, entry.key])).collect();
    Ok(Value::from(rows).to_string())
}

fn add(entries: &mut Vec<Entry>, new: Entry) -> Result<()> {
    let same =
        |entry: &&mut Entry| (&entry.account, &entry.workspace, &entry.key) == (&new.account, &new.workspace, &new.key);
    match entries.iter_mut().find(same) {
        Some(entry) => entry.amount = entry.amount.checked_add(new.amount).ok_or_else(too_large)?,
        None => entries.push(new),
    }
    Ok(())
}

fn too_large() -> Error {
    Error::internal("an amount beyond what the ledger takes")
}

/// How the customer stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Credits ever, less refunds, with adjustments.
    pub credits: NanoUsd,
    /// Credits less usage.
    pub balance: NanoUsd,
    /// Of the balance, what is set aside for requests that run.
    pub held: NanoUsd,
}

impl Standing {
    /// Everything charged, with what is unsettled.
    pub fn usage(&self) -> NanoUsd {
        NanoUsd(self.credits.0.saturating_sub(self.balance.0))
    }
}

/// How the customer stands now, with what is gathered and not posted yet.
pub fn standing(sql: &dyn Sql) -> Result<Standing, SqlError> {
    let rows = sql.run(
        "SELECT CAST(coalesce(sum(amount) FILTER (WHERE account = ?1 AND kind IN ('credit', 'refund', 'adjust')), 0) AS TEXT) AS credits,
                CAST(coalesce(sum(amount), 0) AS TEXT) AS balance,
                CAST(coalesce(sum(amount) FILTER (WHERE account = ?2), 0) AS TEXT) AS held
         FROM (SELECT account, kind, amount FROM ledger_totals WHERE account IN (?1, ?2)
               UNION ALL SELECT account, kind, amount FROM ledger_gathered WHERE account IN (?1, ?2))",
        &[CUSTOMER.into(), HELD.into()],
    )?;
    Ok(rows.first().map_or_else(Standing::default, |row| Standing {
        credits: sum(row, "credits"),
        balance: sum(row, "balance"),
        held: sum(row, "held"),
    }))
}

/// A sum that SQL gave as text.
pub(super) fn sum(row: &Row, column: &str) -> NanoUsd {
    NanoUsd(text(row, column).parse().unwrap_or_default())
}

/// `GET /ledger`: entries, newest first.
pub(super) fn list(sql: &dyn Sql, request: &AdminRequest) -> Result<Value> {
    gathered::flush(sql)?;
    let query = &request.query;
    let from = query::moment(query, "from")?.unwrap_or(Millis(0));
    let to = query::moment(query, "to")?.unwrap_or(crate::budget::meter::FOR_EVER);
    let kind = query::text(query, "kind");
    if let Some(kind) = kind
        && Kind::find(kind).is_none()
    {
        return Err(Error::invalid("kind", format!("kind must be one of {}.", Kind::ALL.map(Kind::name).join(", "))));
    }
    let limit = query::whole(query, "limit", 1..=MOST_ROWS)?.unwrap_or(100);
    let (at, id) = match query::text(query, "cursor") {
        None => (crate::budget::meter::FOR_EVER.0, 0),
        Some(cursor) => cursor
            .split_once('-')
            .and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)))
            .ok_or_else(|| Error::invalid("cursor", "cursor must be the next_cursor of an earlier answer."))?,
    };
    let rows = sql.run(
        "SELECT id, tx, seq, at, kind, account, CAST(amount AS TEXT) AS amount, workspace, key, memo FROM ledger_entries
         WHERE at >= ?1 AND at < ?2 AND (at, id) < (?3, ?4)
           AND (?5 IS NULL OR kind = ?5) AND (?6 IS NULL OR account = ?6)
         ORDER BY at DESC, id DESC LIMIT ?7",
        &[
            from.0.into(),
            to.0.into(),
            at.into(),
            id.into(),
            kind.into(),
            query::text(query, "account").into(),
            (limit + 1).into(),
        ],
    )?;
    let shown = rows.get(..rows.len().min(usize::try_from(limit).unwrap_or(usize::MAX))).unwrap_or_default();
    let more = rows.len() > shown.len();
    let next = shown.last().filter(|_| more).map(|row| format!("{}-{}", int(row, "at"), int(row, "id")));
    Ok(json!({ "data": shown.iter().map(shape).collect::<Vec<_>>(), "next_cursor": next }))
}

fn shape(row: &Row) -> Value {
    let amount = sum(row, "amount");
    json!({
        "transaction": row.get("tx"),
        "sequence": row.get("seq"),
        "created_at": Millis(int(row, "at")).iso(),
        "type": row.get("kind"),
        "account": row.get("account"),
        "amount": amount.to_json(),
        "amount_nano": amount.0,
        "workspace_id": row.get("workspace"),
        "key": row.get("key"),
        "memo": row.get("memo"),
    })
}

/// `GET /ledger/check`: adds everything up anew.
pub(super) fn check(sql: &dyn Sql) -> Result<Value> {
    gathered::flush(sql)?;
    let found = sql.run(
        "SELECT count(*) AS entries, count(DISTINCT tx) AS transactions, CAST(coalesce(sum(amount), 0) AS TEXT) AS total
         FROM ledger_entries",
        &[],
    )?;
    let unbalanced =
        sql.run("SELECT tx FROM ledger_entries GROUP BY tx HAVING sum(amount) <> 0 ORDER BY tx LIMIT 100", &[])?;
    // What one side has and the other has not, both ways.
    let wrong = sql.run(
        "WITH truth AS (SELECT account, kind, sum(amount) AS amount FROM ledger_entries GROUP BY 1, 2),
              months AS (SELECT account, kind, sum(amount) AS amount FROM ledger_months GROUP BY 1, 2)
         SELECT DISTINCT account FROM (
            SELECT * FROM (SELECT * FROM truth EXCEPT SELECT account, kind, amount FROM ledger_totals)
            UNION ALL SELECT * FROM (SELECT account, kind, amount FROM ledger_totals EXCEPT SELECT * FROM truth)
            UNION ALL SELECT * FROM (SELECT * FROM truth EXCEPT SELECT * FROM months)
            UNION ALL SELECT * FROM (SELECT * FROM months EXCEPT SELECT * FROM truth))
         ORDER BY account LIMIT 100",
        &[],
    )?;
    let accounts = sql.run(
        "SELECT account, CAST(sum(amount) AS TEXT) AS amount FROM ledger_totals GROUP BY account ORDER BY account LIMIT 1000",
        &[],
    )?;
    let number = |column| found.first().map_or(0, |row| int(row, column));
    let total = found.first().map_or(NanoUsd::ZERO, |row| sum(row, "total"));
    let names = |rows: &[Row], column: &str| rows.iter().map(|row| text(row, column).to_owned()).collect::<Vec<_>>();
    let accounts: Vec<Value> = accounts
        .iter()
        .map(|row| json!({ "account": text(row, "account"), "balance": sum(row, "amount").to_json() }))
        .collect();
    Ok(json!({ "data": {
        "balanced": total == NanoUsd::ZERO && unbalanced.is_empty() && wrong.is_empty(),
        "entries": number("entries"),
        "transactions": number("transactions"),
        "total": total.to_json(),
        "unbalanced_transactions": names(&unbalanced, "tx"),
        "wrong_sums": names(&wrong, "account"),
        "accounts": accounts,
    } }))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::Memory;

    const NOON: Millis = Millis(1_795_176_000_000);

    fn ledger() -> Memory {
        let sql = Memory::new();
        for _ in 0..2 {
            migrate(&sql).unwrap();
        }
        sql
    }

    pub(in crate::account) fn line(
        workspace: &str,
        key: &str,
        provider: &str,
        charged: i64,
        provider_nano: i64,
    ) -> UsageLine {
        UsageLine {
            workspace: workspace.to_owned(),
            key: key.to_owned(),
            provider: provider.to_owned(),
            charged_nano: NanoUsd(charged),
            provider_nano: NanoUsd(provider_nano),
        }
    }

    fn balance(sql: &Memory, account: &str) -> i64 {
        let rows = sql
            .run("SELECT CAST(sum(amount) AS TEXT) AS n FROM ledger_totals WHERE account = ?1", &[account.into()])
            .unwrap();
        sum(&rows[0], "n").0
    }

    #[test]
    fn the_customer_is_the_organization() {
        assert_eq!(CUSTOMER, format!("org:{}", crate::DEFAULT_ORG));
    }

    #[test]
    fn usage_is_charged_once_to_the_customer_and_owed_to_providers_and_margin() {
        let sql = ledger();
        let lines = [
            line("w1", "k1", "openai", 110, 100),
            line("w1", "k1", "groq", 11, 10),
            line("w2", "k2", "openai", 22, 20),
            line("w2", "k3", "openai", 0, 0),
        ];
        assert!(post_usage(&sql, "s:1", &lines, NOON).unwrap());
        assert!(!post_usage(&sql, "s:1", &lines, NOON.plus(5)).unwrap(), "once");
        assert!(!post_usage(&sql, "s:2", &lines[3..], NOON).unwrap(), "nothing to write");
        let balances = [CUSTOMER, "provider:openai", "provider:groq", MARGIN].map(|account| balance(&sql, account));
        assert_eq!(balances, [-143, 120, 10, 13]);
        // One entry a key, a provider, and the margin.
        assert_eq!(check(&sql).unwrap()["data"]["entries"], 5);
        assert_eq!(standing(&sql).unwrap().usage(), NanoUsd(143));
    }

    #[test]
    fn what_is_held_is_still_the_customers_and_what_is_written_off_is_not() {
        let sql = ledger();
        credit(&sql, "c", Kind::Credit, "grants", NanoUsd(1000), "hello", NOON).unwrap();
        hold(&sql, "s:1:hold", 300, NOON).unwrap();
        hold(&sql, "s:2:hold", -100, NOON).unwrap();
        let now = standing(&sql).unwrap();
        assert_eq!(
            (now.credits, now.balance, now.held, now.usage()),
            (NanoUsd(1000), NanoUsd(1000), NanoUsd(200), NanoUsd(0))
        );
        write_off(&sql, "dead", 150, NOON).unwrap();
        let now = standing(&sql).unwrap();
        assert_eq!((now.balance, now.held, now.usage()), (NanoUsd(850), NanoUsd(50), NanoUsd(150)));
        forgive(&sql, "found", 150, NOON).unwrap();
        assert_eq!(standing(&sql).unwrap().balance, NanoUsd(1000));
        assert_eq!(check(&sql).unwrap()["data"]["balanced"], true);
    }

    #[test]
    fn what_does_not_balance_or_is_too_large_is_not_written() {
        let sql = ledger();
        let entries = vec![Entry::new("a", 1), Entry::new("b", -2)];
        assert_eq!(post(&sql, "t", Kind::Adjust, entries, "", NOON).unwrap_err().status(), 500);
        for amount in [MOST + 1, i64::MAX, i64::MIN] {
            assert_eq!(hold(&sql, "t", amount, NOON).unwrap_err().status(), 500, "{amount}");
        }
        assert!(hold(&sql, "t", MOST, NOON).unwrap());
        assert_eq!(check(&sql).unwrap()["data"]["entries"], 2);
    }

    #[test]
    fn nonsense_of_a_provider_does_not_keep_its_batch_out() {
        let sql = ledger();
        let lines = [
            line("w", "k", "p", i64::MIN, i64::MIN),
            line("w", "k", "p", i64::MAX, -1),
            line("w", "k", "p", i64::MAX, i64::MAX),
            line("w", "k", "p", 5, 4),
        ];
        assert!(post_usage(&sql, "t", &lines, NOON).unwrap());
        assert_eq!([CUSTOMER, "provider:p", MARGIN].map(|of| balance(&sql, of)), [-2 * MOST - 5, MOST + 4, MOST + 1]);
        assert_eq!(check(&sql).unwrap()["data"]["balanced"], true);
    }

    #[test]
    fn nothing_is_changed_or_removed() {
        let sql = ledger();
        hold(&sql, "t", 1, NOON).unwrap();
        for statement in ["UPDATE ledger_entries SET amount = 2", "DELETE FROM ledger_entries"] {
            assert!(sql.run(statement, &[]).unwrap_err().0.contains("append-only"), "{statement}");
        }
        assert_eq!(check(&sql).unwrap()["data"]["balanced"], true);
    }

    #[test]
    fn the_check_finds_what_was_forged() {
        let sql = ledger();
        hold(&sql, "good", 5, NOON).unwrap();
        let forged = |script: &str| {
            sql.script("SAVEPOINT forged");
            sql.script(script);
            let answer = check(&sql).unwrap()["data"].clone();
            sql.script("ROLLBACK TO forged; RELEASE forged");
            answer
        };
        let one_sided = forged(
            "INSERT INTO ledger_entries (tx, seq, at, kind, account, amount) VALUES ('bad', 0, 0, 'post', 'a', 7)",
        );
        assert_eq!((&one_sided["balanced"], &one_sided["unbalanced_transactions"]), (&json!(false), &json!(["bad"])));
        assert_eq!(one_sided["total"], 7e-9);
        for script in [
            "UPDATE ledger_totals SET amount = 6 WHERE account = 'held'",
            "UPDATE ledger_months SET amount = 6 WHERE account = 'held'",
            "DELETE FROM ledger_totals WHERE account = 'held'",
            "DELETE FROM ledger_months WHERE account = 'held'",
            "INSERT INTO ledger_totals VALUES ('held', 'credit', 1)",
            "INSERT INTO ledger_months VALUES ('2026-01', 'held', 'credit', '', '', 1)",
        ] {
            let answer = forged(script);
            assert_eq!((&answer["balanced"], &answer["wrong_sums"]), (&json!(false), &json!(["held"])), "{script}");
        }
        assert_eq!(check(&sql).unwrap()["data"]["balanced"], true);
    }

    #[test]
    fn sums_beyond_javascripts_whole_numbers_are_exact() {
        let sql = ledger();
        for n in 0..3 {
            credit(&sql, &n.to_string(), Kind::Credit, "grants", NanoUsd(MOST), "", NOON).unwrap();
        }
        assert_eq!(standing(&sql).unwrap().balance, NanoUsd(3 * MOST));
    }

    #[test]
    fn entries_are_listed_newest_first_in_pages_and_by_what_is_asked() {
        let sql = ledger();
        for n in 0..5 {
            hold(&sql, &format!("h{n}"), n + 1, NOON.plus(n)).unwrap();
        }
        credit(&sql, "c", Kind::Credit, "stripe", NanoUsd(9), "paid", NOON.plus(2)).unwrap();
        let ask = |search: &str| {
            let query =
                search.split('&').filter_map(|pair| pair.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned()));
            let actor = crate::auth::KeyHash::parse(&"0".repeat(64)).unwrap();
            let request = AdminRequest {
                method: "GET".into(),
                path: "/ledger".into(),
                query: query.collect(),
                body: None,
                actor,
            };
            list(&sql, &request)
        };
        let names = |answer: &Value| -> Vec<String> {
            answer["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| format!("{}/{}", row["transaction"].as_str().unwrap(), row["sequence"]))
                .collect()
        };
        let mut seen = Vec::new();
        let mut search = "limit=5".to_owned();
        loop {
            let answer = ask(&search).unwrap();
            seen.extend(names(&answer));
            let Some(cursor) = answer["next_cursor"].as_str() else { break };
            search = format!("limit=5&cursor={cursor}");
        }
        assert_eq!(
            seen,
            ["h4/1", "h4/0", "h3/1", "h3/0", "c/1", "c/0", "h2/1", "h2/0", "h1/1", "h1/0", "h0/1", "h0/0"]
        );
        assert_eq!(names(&ask("kind=credit&account=stripe").unwrap()), ["c/0"]);
        assert_eq!(names(&ask("from=2026-11-20T12:00:00.001Z&to=2026-11-20T12:00:00.002Z").unwrap()), ["h1/1", "h1/0"]);
        for (search, param) in
            [("kind=x", "kind"), ("from=x", "from"), ("to=2026", "to"), ("cursor=7", "cursor"), ("limit=0", "limit")]
        {
            assert_eq!(ask(search).unwrap_err().param.as_deref(), Some(param));
        }
        let row = ask("kind=credit&account=stripe").unwrap()["data"][0].clone();
        assert_eq!((&row["amount"], &row["amount_nano"], &row["memo"]), (&json!(-9e-9), &json!(-9), &json!("paid")));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_is_posted_the_ledger_balances(
            steps in prop::collection::vec((0_u8..6, 0_usize..12, -5_000_i64..5_000, 0_i64..5_000, 0_i64..200 * 86_400_000), 1..60)
        ) {
            let sql = ledger();
            let mut expected = std::collections::HashMap::<String, i64>::new();
            for (what, name, a, b, later) in steps {
                let (tx, now) = (format!("{what}:{name}"), NOON.plus(later));
                let key = format!("k{}", name % 3);
                let (written, balance) = match what {
                    0 => (post_usage(&sql, &tx, &[line("w", &key, "p", b, a), line("w", "k0", "q", b, b)], now), -2 * b),
                    1 => (hold(&sql, &tx, a, now), 0),
                    2 => (write_off(&sql, &tx, b, now), -b),
                    3 => (forgive(&sql, &tx, b, now), b),
                    4 => (credit(&sql, &tx, Kind::Credit, "stripe", NanoUsd(b), "m", now), b),
                    _ => (credit(&sql, &tx, Kind::Adjust, "adjustments", NanoUsd(a), "m", now), a),
                };
                if written.unwrap() {
                    expected.insert(tx, balance);
                }
            }
            let answer = check(&sql).unwrap();
            prop_assert_eq!(&answer["data"]["balanced"], true, "{}", answer);
            prop_assert_eq!(standing(&sql).unwrap().balance.0, expected.values().sum::<i64>());
        }
    }
}
