//! The account's side of meters, over the object's SQLite: the only place where anything is handed out.
//!
//! | table | row |
//! |---|---|
//! | `meters` | a meter: its terms as JSON, the window of now and what is used and held in it |
//! | `holdings` | what a session has of a meter's window, in running totals |
//! | `stops` | accounts that were stopped (the kill switch): nothing is served for them |
//!
//! `meters.held` is the sum over the window's holdings, kept beside them. Every function is one
//! synchronous run of statements, hence atomic.

use serde_json::Value;

use super::{
    AccountKind, AccountRef, Meter, MeterId, Period, Terms,
    meter::Holding,
    wire::{Ask, Charged, MeterView, Told, Total, Want},
};
use crate::{
    error::{Error, Result},
    ports::{Row, Sql, SqlError, int, text},
    time::Millis,
};

/// Creates the tables.
pub fn migrate(sql: &dyn Sql) -> Result<(), SqlError> {
    for statement in [
        "CREATE TABLE IF NOT EXISTS meters (
            id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, name TEXT NOT NULL, doc TEXT NOT NULL, origin INTEGER,
            win INTEGER NOT NULL DEFAULT 0, since INTEGER NOT NULL DEFAULT 0, until INTEGER NOT NULL DEFAULT 0,
            spent INTEGER NOT NULL DEFAULT 0, held INTEGER NOT NULL DEFAULT 0, lost INTEGER NOT NULL DEFAULT 0,
            alerted INTEGER NOT NULL DEFAULT 0, UNIQUE (account, name)
        )",
        "CREATE TABLE IF NOT EXISTS holdings (
            session TEXT NOT NULL, meter INTEGER NOT NULL, win INTEGER NOT NULL,
            granted INTEGER NOT NULL, used INTEGER NOT NULL, returned INTEGER NOT NULL,
            PRIMARY KEY (session, meter, win)
        ) WITHOUT ROWID",
        "CREATE INDEX IF NOT EXISTS holdings_of_meter ON holdings (meter)",
        "CREATE INDEX IF NOT EXISTS meters_by_unit ON meters (doc ->> '$.unit')",
        "CREATE INDEX IF NOT EXISTS meters_inherited ON meters (until) WHERE origin IS NOT NULL",
        "CREATE TABLE IF NOT EXISTS stops (account TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID",
    ] {
        sql.run(statement, &[])?;
    }
    Ok(())
}

/// An alert that has become due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossed {
    /// The meter, as it stands.
    pub meter: Meter,
    /// The share of the limit that was reached, in thousandths.
    pub share: u16,
}

/// What a batch has moved, for the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Alerts that have become due.
    pub crossed: Vec<Crossed>,
}

// Definitions.

/// Defines a meter, or changes its terms. What is used in its window stays, unless the unit or the
/// period is another.
pub fn define(sql: &dyn Sql, terms: &Terms) -> Result<MeterId> {
    put(sql, terms, None)
}

fn put(sql: &dyn Sql, terms: &Terms, origin: Option<MeterId>) -> Result<MeterId> {
    let doc = serde_json::to_string(terms).map_err(|error| Error::internal(error.to_string()))?;
    let account = terms.account.to_string();
    if let Some(known) = find(sql, &terms.account, &terms.name)?
        && (known.terms.unit != terms.unit || known.terms.period != terms.period)
    {
        remove(sql, &terms.account, &terms.name)?;
    }
    let rows = sql.run(
        "INSERT INTO meters (account, name, doc, origin) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (account, name) DO UPDATE SET doc = excluded.doc, origin = excluded.origin RETURNING id",
        &[account.into(), terms.name.as_str().into(), doc.into(), origin.map(|id| i64::from(id.0)).into()],
    )?;
    let id = meter_id(rows.first().map_or(0, |row| int(row, "id")))?;
    if terms.account.is_default() {
        // Accounts that have it by default follow it.
        for row in sql.run("SELECT * FROM meters WHERE origin = ?1", &[number(id)])? {
            let follower = meter(&row)?;
            let terms = Terms { account: follower.terms.account, ..terms.clone() };
            put(sql, &terms, Some(id))?;
        }
    }
    Ok(id)
}

/// Counts what was used before a new meter was defined: it belongs to its window.
pub fn begin_with(sql: &dyn Sql, id: MeterId, spent: i64, now: Millis) -> Result<()> {
    if let Some(mut meter) = load(sql, id, now)? {
        meter.spent = meter.spent.saturating_add(spent).min(super::meter::MOST);
        save(sql, &meter)?;
    }
    Ok(())
}

/// Removes a meter; false when there is none of that name.
pub fn remove(sql: &dyn Sql, account: &AccountRef, name: &str) -> Result<bool> {
    let Some(known) = find(sql, account, name)? else { return Ok(false) };
    let id = number(known.id);
    for doomed in sql.run("SELECT id FROM meters WHERE id = ?1 OR origin = ?1", &[id])? {
        let id = int(&doomed, "id");
        sql.run("DELETE FROM holdings WHERE meter = ?1", &[id.into()])?;
        sql.run("DELETE FROM meters WHERE id = ?1", &[id.into()])?;
    }
    Ok(true)
}

/// The meter of that name, in its window of `now`.
pub fn find(sql: &dyn Sql, account: &AccountRef, name: &str) -> Result<Option<Meter>> {
    let rows =
        sql.run("SELECT * FROM meters WHERE account = ?1 AND name = ?2", &[account.to_string().into(), name.into()])?;
    rows.first().map(meter).transpose()
}

/// An account's meters in their windows of `now`, in the order in which they were defined.
pub fn of_account(sql: &dyn Sql, account: &AccountRef, now: Millis) -> Result<Vec<Meter>> {
    let rows = sql.run("SELECT * FROM meters WHERE account = ?1 ORDER BY id", &[account.to_string().into()])?;
    rows.iter().map(|row| rolled(sql, row, now)).collect()
}

/// All meters, by number: a page of at most `limit` after `after`.
pub fn all(sql: &dyn Sql, after: MeterId, limit: i64, now: Millis) -> Result<Vec<Meter>> {
    let rows = sql.run("SELECT * FROM meters WHERE id > ?1 ORDER BY id LIMIT ?2", &[number(after), limit.into()])?;
    rows.iter().map(|row| rolled(sql, row, now)).collect()
}

/// Of what a meter's window counts as used or held, the part whose sessions died without a word: `dead`
/// is the moment before which a session was last heard of.
pub fn unsettled(sql: &dyn Sql, id: MeterId, dead: Millis) -> Result<i64, SqlError> {
    let rows = sql.run(
        "SELECT m.lost + coalesce((
            SELECT sum(max(h.granted - h.used - h.returned, 0)) FROM holdings h
            WHERE h.meter = m.id AND h.win = m.win
              AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.session = h.session AND s.seen >= ?2)), 0) AS n
         FROM meters m WHERE m.id = ?1",
        &[number(id), dead.0.into()],
    )?;
    Ok(rows.first().map_or(0, |row| int(row, "n")))
}

/// Gives back what dead sessions held of a meter: its owner has found that nothing was billed for it.
pub fn forgive(sql: &dyn Sql, id: MeterId, dead: Millis) -> Result<i64, SqlError> {
    let amount = unsettled(sql, id, dead)?;
    sql.run(
        "UPDATE holdings SET returned = granted - used WHERE meter = ?1 AND granted - used - returned > 0
           AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.session = holdings.session AND s.seen >= ?2)",
        &[number(id), dead.0.into()],
    )?;
    sql.run("UPDATE meters SET spent = spent - lost, lost = 0 WHERE id = ?1", &[number(id)])?;
    recount(sql, id)?;
    Ok(amount)
}

/// Stops an account, or lets it go on: nothing is served for it, and what runs is cut off.
pub fn stop(sql: &dyn Sql, account: &AccountRef, stopped: bool, now: Millis) -> Result<(), SqlError> {
    let account = account.to_string();
    if stopped {
        sql.run("INSERT INTO stops VALUES (?1, ?2) ON CONFLICT DO NOTHING", &[account.into(), now.0.into()])?;
    } else {
        sql.run("DELETE FROM stops WHERE account = ?1", &[account.into()])?;
    }
    Ok(())
}

/// When an account was stopped, if it is.
pub fn stopped(sql: &dyn Sql, account: &AccountRef) -> Result<Option<Millis>, SqlError> {
    let rows = sql.run("SELECT at FROM stops WHERE account = ?1", &[account.to_string().into()])?;
    Ok(rows.first().map(|row| Millis(int(row, "at"))))
}

// What sessions say.

/// Answers a session's question, and hands out what it wants.
pub fn tell(sql: &dyn Sql, session: &str, ask: &Ask, now: Millis) -> Result<Told> {
    let mut told = Told { n: ask.n, ..Told::default() };
    for account in &ask.accounts {
        inherit(sql, account)?;
        let mut ids = Vec::new();
        for meter in of_account(sql, account, now)? {
            ids.push(meter.id);
            let holding = holding(sql, session, &meter)?;
            // One that is over begins with its next use: nothing is to be charged to it as it stands.
            let until = if now < meter.until { meter.until } else { Millis(0) };
            note(&mut told, &Meter { until, ..meter }, holding, None, now);
        }
        let tracks = if account.kind == AccountKind::Organization { tracks(sql)? } else { Vec::new() };
        let stopped = plant!(StopUntold, stopped(sql, account)?.is_some(), false);
        told.accounts.push(Charged { account: account.clone(), meters: ids, stopped, policy: None, tracks });
    }
    for want in &ask.wants {
        let Some(mut meter) = load(sql, want.meter, now)? else {
            told.gone.push(want.meter);
            continue;
        };
        let mut holding = holding(sql, session, &meter)?;
        let Want { need, more, rest, .. } = *want;
        let base = if want.window == meter.window { want.base } else { 0 };
        // What was given back in its name, because it was silent, it knows only from the answer to this.
        let base = base.max(holding.used.saturating_add(holding.returned));
        let before = (holding, meter.held);
        let most = base.saturating_add(more.max(need));
        if rest {
            meter.grant_rest(&mut holding, most, now);
        } else {
            meter.grant(&mut holding, base.saturating_add(need), most, now);
        }
        if before != (holding, meter.held) {
            plant!(
                GrantNotSaved,
                {
                    plant!(HoldingNotSaved, keep(sql, session, &meter, &holding)?, ());
                    save(sql, &meter)?;
                },
                ()
            );
        }
        note(&mut told, &meter, holding, Some(holding.granted < most), now);
    }
    Ok(told)
}

/// Takes what a session has used and given back.
pub fn report(sql: &dyn Sql, session: &str, totals: &[Total], now: Millis) -> Result<Moved> {
    let mut moved = Moved::default();
    for total in totals {
        let rows = sql.run("SELECT * FROM meters WHERE id = ?1", &[number(total.meter)])?;
        let Some(row) = rows.first() else { continue };
        // What comes late starts no new window.
        let mut meter = meter(row)?;
        if !matches!(meter.terms.period, Period::Seconds(_)) {
            meter = rolled(sql, row, now)?;
        }
        let mut holding = holding_in(sql, session, meter.id, plant!(LateIsNow, total.window, meter.window))?;
        let in_window = plant!(LateIsNow, total.window == meter.window, true);
        meter.report(&mut holding, total.used, total.returned, in_window);
        if !in_window && holding.held() == 0 {
            sql.run(
                "DELETE FROM holdings WHERE session = ?1 AND meter = ?2 AND win = ?3",
                &[session.into(), number(meter.id), i64::from(total.window).into()],
            )?;
            continue;
        }
        let of = Meter { window: plant!(LateIsNow, total.window, meter.window), ..meter.clone() };
        keep(sql, session, &of, &holding)?;
        if in_window {
            moved.crossed.extend(cross(&mut meter, now));
            save(sql, &meter)?;
        }
    }
    Ok(moved)
}

/// Sessions that are dead run no request any more: what they held of parallel requests is free again.
pub fn release_slots(sql: &dyn Sql, dead: Millis) -> Result<()> {
    let rows = sql.run(
        "SELECT DISTINCT h.meter AS id FROM meters m CROSS JOIN holdings h ON h.meter = m.id
         WHERE h.granted - h.used - h.returned > 0 AND m.doc ->> '$.unit' = 'parallel'
           AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.session = h.session AND s.seen >= ?1)",
        &[dead.0.into()],
    )?;
    for row in rows {
        forgive(sql, meter_id(int(&row, "id"))?, dead)?;
    }
    Ok(())
}

/// Forgets sessions last heard of before `old`: what they still held is written off, as used.
pub fn write_off(sql: &dyn Sql, old: Millis) -> Result<()> {
    let gone = "NOT EXISTS (SELECT 1 FROM sessions s WHERE s.session = holdings.session AND s.seen >= ?1)";
    let rows = sql.run(
        &format!(
            "SELECT meter, sum(max(granted - used - returned, 0)) AS n FROM holdings
             WHERE {gone} AND win = (SELECT win FROM meters m WHERE m.id = holdings.meter) GROUP BY meter"
        ),
        &[old.0.into()],
    )?;
    sql.run(&format!("DELETE FROM holdings WHERE {gone}"), &[old.0.into()])?;
    for row in plant!(WriteOffForgotten, rows, Vec::new()) {
        sql.run(
            "UPDATE meters SET spent = spent + ?2, lost = lost + ?2, held = held - ?2 WHERE id = ?1",
            &[int(&row, "meter").into(), plant!(WriteOffTwice, int(&row, "n"), 2 * int(&row, "n")).into()],
        )?;
    }
    Ok(())
}

/// Forgets inherited meters whose windows ended before `old`, a few at a time: there is one for every
/// name that a client ever gave. One that is used again is inherited again.
pub fn prune(sql: &dyn Sql, old: Millis) -> Result<(), SqlError> {
    let rows = sql.run(
        "SELECT id FROM meters m WHERE origin IS NOT NULL AND until > 0 AND until < ?1
           AND NOT EXISTS (SELECT 1 FROM holdings h WHERE h.meter = m.id AND h.granted - h.used - h.returned > 0) LIMIT 100",
        &[old.0.into()],
    )?;
    for row in rows {
        let id = int(&row, "id");
        sql.run("DELETE FROM holdings WHERE meter = ?1", &[id.into()])?;
        sql.run("DELETE FROM meters WHERE id = ?1", &[id.into()])?;
    }
    Ok(())
}

/// When a session that holds parallel requests was last heard of, the longest silent first.
pub fn slots_seen(sql: &dyn Sql) -> Result<Option<Millis>, SqlError> {
    let rows = sql.run(
        "SELECT min(s.seen) AS seen FROM meters m CROSS JOIN holdings h ON h.meter = m.id JOIN sessions s ON s.session = h.session
         WHERE h.granted - h.used - h.returned > 0 AND m.doc ->> '$.unit' = 'parallel'",
        &[],
    )?;
    Ok(rows.first().and_then(|row| row.get("seen")).and_then(Value::as_i64).map(Millis))
}

/// Alerts that a meter has reached and nobody was told of.
fn cross(meter: &mut Meter, now: Millis) -> Vec<Crossed> {
    let limit = i128::from(meter.terms.limit_at(now));
    let mut crossed = Vec::new();
    for (at, share) in meter.terms.alerts.clone().into_iter().enumerate() {
        let bit = 1_i64 << at.min(50);
        if meter.alerted & bit == 0 && i128::from(meter.spent) * 1000 >= limit * i128::from(share) {
            meter.alerted |= bit;
            crossed.push(share);
        }
    }
    crossed.into_iter().map(|share| Crossed { meter: meter.clone(), share }).collect()
}

/// Gives an account the meters that every one of its kind has.
pub fn inherit(sql: &dyn Sql, account: &AccountRef) -> Result<()> {
    if plant!(InheritForgotten, account.is_default(), true) {
        return Ok(());
    }
    let rows = sql.run(
        "SELECT * FROM meters d WHERE account = ?1
           AND NOT EXISTS (SELECT 1 FROM meters m WHERE m.account = ?2 AND m.name = d.name)",
        &[AccountRef::default_of(account.kind).to_string().into(), account.to_string().into()],
    )?;
    for row in rows {
        let Meter { id, terms, .. } = meter(&row)?;
        put(sql, &Terms { account: account.clone(), ..terms }, Some(id))?;
    }
    Ok(())
}

/// Kinds that requests name themselves and of which some have meters (or would by default) or are stopped.
fn tracks(sql: &dyn Sql) -> Result<Vec<AccountKind>> {
    let mut kinds = Vec::new();
    for kind in [AccountKind::User, AccountKind::Session, AccountKind::Tag] {
        let (from, to) = (format!("{}:", kind.name()), format!("{};", kind.name()));
        let rows = sql.run(
            "SELECT 1 AS n FROM meters WHERE account > ?1 AND account < ?2
             UNION ALL SELECT 1 FROM stops WHERE account > ?1 AND account < ?2 LIMIT 1",
            &[from.into(), to.into()],
        )?;
        if plant!(TracksForgotten, !rows.is_empty(), kind == AccountKind::Tag) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

// Rows.

fn meter_id(id: i64) -> Result<MeterId> {
    u32::try_from(id).map(MeterId).map_err(|_| Error::internal("a meter's number out of range"))
}

fn number(id: MeterId) -> crate::ports::Param {
    i64::from(id.0).into()
}

fn meter(row: &Row) -> Result<Meter> {
    let terms = serde_json::from_str(text(row, "doc")).map_err(|error| Error::internal(format!("a meter: {error}")))?;
    Ok(Meter {
        id: meter_id(int(row, "id"))?,
        terms,
        window: u32::try_from(int(row, "win")).unwrap_or_default(),
        since: Millis(int(row, "since")),
        until: Millis(int(row, "until")),
        spent: int(row, "spent"),
        held: int(row, "held"),
        alerted: int(row, "alerted"),
    })
}

fn rolled(sql: &dyn Sql, row: &Row, now: Millis) -> Result<Meter> {
    let mut meter = meter(row)?;
    // A window of seconds begins when it is first used, not when it is looked at.
    let starts_with_use = matches!(meter.terms.period, Period::Seconds(_));
    if starts_with_use && now >= meter.until {
        (meter.spent, meter.held, meter.alerted) = (0, 0, 0);
    } else if meter.roll(now) {
        begin_window(sql, &meter)?;
    }
    Ok(meter)
}

/// A meter that is being used.
fn load(sql: &dyn Sql, id: MeterId, now: Millis) -> Result<Option<Meter>> {
    let rows = sql.run("SELECT * FROM meters WHERE id = ?1", &[number(id)])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut meter = meter(row)?;
    if meter.roll(now) {
        begin_window(sql, &meter)?;
    }
    Ok(Some(meter))
}

/// What is settled of earlier windows is of no use any more.
fn begin_window(sql: &dyn Sql, meter: &Meter) -> Result<()> {
    let lost = plant!(LostStaysLost, "0", "lost");
    sql.run(&format!("UPDATE meters SET lost = {lost} WHERE id = ?1"), &[number(meter.id)])?;
    sql.run(
        "DELETE FROM holdings WHERE meter = ?1 AND win < ?2 AND granted - used - returned <= 0",
        &[number(meter.id), i64::from(meter.window).into()],
    )?;
    save(sql, meter)
}

fn save(sql: &dyn Sql, meter: &Meter) -> Result<()> {
    sql.run(
        "UPDATE meters SET win = ?2, since = ?3, until = ?4, spent = ?5, held = ?6, alerted = ?7 WHERE id = ?1",
        &[
            number(meter.id),
            i64::from(meter.window).into(),
            meter.since.0.into(),
            meter.until.0.into(),
            meter.spent.into(),
            meter.held.into(),
            meter.alerted.into(),
        ],
    )?;
    Ok(())
}

fn recount(sql: &dyn Sql, id: MeterId) -> Result<(), SqlError> {
    sql.run(
        "UPDATE meters SET held = (
            SELECT coalesce(sum(max(h.granted - h.used - h.returned, 0)), 0) FROM holdings h
            WHERE h.meter = meters.id AND h.win = meters.win) WHERE id = ?1",
        &[number(id)],
    )?;
    Ok(())
}

fn holding(sql: &dyn Sql, session: &str, meter: &Meter) -> Result<Holding> {
    holding_in(sql, session, meter.id, meter.window)
}

fn holding_in(sql: &dyn Sql, session: &str, id: MeterId, window: u32) -> Result<Holding> {
    let rows = sql.run(
        "SELECT granted, used, returned FROM holdings WHERE session = ?1 AND meter = ?2 AND win = ?3",
        &[session.into(), number(id), i64::from(window).into()],
    )?;
    Ok(rows.first().map_or_else(Holding::default, |row| Holding {
        granted: int(row, "granted"),
        used: int(row, "used"),
        returned: int(row, "returned"),
    }))
}

fn keep(sql: &dyn Sql, session: &str, meter: &Meter, holding: &Holding) -> Result<()> {
    sql.run(
        "INSERT INTO holdings VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET granted = excluded.granted, used = excluded.used, returned = excluded.returned",
        &[
            session.into(),
            number(meter.id),
            i64::from(meter.window).into(),
            holding.granted.into(),
            holding.used.into(),
            holding.returned.into(),
        ],
    )?;
    Ok(())
}

fn note(told: &mut Told, meter: &Meter, holding: Holding, tight: Option<bool>, now: Millis) {
    let Terms { account, name, unit, model, hard, rate, fail_open, exact, .. } = meter.terms.clone();
    told.meters.retain(|view| view.id != meter.id);
    told.meters.push(MeterView {
        id: meter.id,
        account,
        name,
        unit,
        model,
        limit: meter.terms.limit_at(now),
        hard,
        rate,
        fail_open,
        exact,
        window: meter.window,
        // A window of seconds that has not begun has no end yet.
        until: if now < meter.until { meter.until } else { Millis(0) },
        spent: meter.spent,
        held: meter.held,
        granted: holding.granted,
        used: holding.used,
        returned: holding.returned,
        tight,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{budget::Unit, testing::Memory};

    const KEY: &str = "key:k";

    fn at(text: &str) -> Millis {
        Millis::parse_iso(text).unwrap()
    }

    fn account(text: &str) -> AccountRef {
        text.parse().unwrap()
    }

    fn book() -> Memory {
        let sql = Memory::new();
        migrate(&sql).unwrap();
        sql.script("CREATE TABLE sessions (session TEXT PRIMARY KEY, seen INTEGER)");
        sql
    }

    fn budget(period: Period, limit: i64) -> Terms {
        Terms::budget(account(KEY), "b", Unit::Usd, period, limit)
    }

    fn meter_of(sql: &Memory, now: Millis) -> Meter {
        of_account(sql, &account(KEY), now).unwrap().remove(0)
    }

    /// A session wants so much more than it has used; what it was handed out in all.
    fn take(sql: &Memory, session: &str, window: u32, base: i64, need: i64, now: Millis) -> MeterView {
        let meter = meter_of(sql, now).id;
        let want = Want { meter, window, base, need, more: need, rest: false };
        tell(sql, session, &Ask { wants: vec![want], ..Ask::default() }, now).unwrap().meters.remove(0)
    }

    fn settle(sql: &Memory, session: &str, view: &MeterView, used: i64, returned: i64, now: Millis) -> Vec<Crossed> {
        let total = Total { meter: view.id, window: view.window, used, returned };
        report(sql, session, &[total], now).unwrap().crossed
    }

    #[test]
    fn windows_start_again_at_their_ends_also_after_long_idling() {
        for (period, last, first, much_later) in [
            (Period::Daily, "2026-11-20T23:59:59.999Z", "2026-11-21T00:00:00Z", "2028-02-29T12:00:00Z"),
            (Period::Weekly, "2026-11-22T23:59:59.999Z", "2026-11-23T00:00:00Z", "2031-01-01T00:00:00Z"),
            (Period::Monthly, "2028-02-29T23:59:59.999Z", "2028-03-01T00:00:00Z", "2030-12-31T23:59:59Z"),
            (Period::Monthly, "2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00Z", "2027-03-01T00:00:00Z"),
        ] {
            let (sql, last, first) = (book(), at(last), at(first));
            define(&sql, &budget(period, 100)).unwrap();
            let view = take(&sql, "s", 0, 0, 100, last);
            assert_eq!((view.granted, view.until), (100, first), "{period:?}");
            settle(&sql, "s", &view, 60, 0, last);
            assert_eq!(take(&sql, "t", view.window, 0, 1, last).granted, 0, "all of it is used or held");
            // What the old window still holds is settled there.
            let next = take(&sql, "t", view.window, 7, 100, first);
            assert_eq!((next.granted, next.window), (100, view.window + 1));
            settle(&sql, "s", &view, 100, 0, first);
            let meter = meter_of(&sql, first);
            assert_eq!((meter.spent, meter.held), (0, 100));
            settle(&sql, "t", &next, 0, 100, first);
            let later = meter_of(&sql, at(much_later));
            assert_eq!((later.spent, later.held), (0, 0));
            assert!(later.since <= at(much_later) && at(much_later) < later.until);
            assert_eq!(take(&sql, "u", 0, 0, 100, at(much_later)).granted, 100);
        }
    }

    #[test]
    fn a_window_of_seconds_begins_with_its_first_use() {
        let (sql, now) = (book(), at("2026-11-20T12:00:00Z"));
        define(&sql, &budget(Period::Seconds(60), 10)).unwrap();
        assert_eq!(meter_of(&sql, now).window, 0, "looking starts nothing");
        let view = take(&sql, "s", 0, 0, 10, now.plus(500));
        assert_eq!((view.window, view.until), (1, now.plus(60_500)));
        settle(&sql, "s", &view, 10, 0, now.plus(60_499));
        assert_eq!(take(&sql, "s", 1, 10, 1, now.plus(60_499)).granted, 10);
        let next = take(&sql, "s", 1, 10, 1, now.plus(90_000));
        assert_eq!((next.window, next.granted, next.until), (2, 1, now.plus(150_000)));
    }

    #[test]
    fn a_limit_below_what_is_spent_hands_out_nothing_and_raised_again_the_rest() {
        let (sql, now) = (book(), at("2026-11-20T12:00:00Z"));
        define(&sql, &budget(Period::Lifetime, 100)).unwrap();
        let view = take(&sql, "s", 0, 0, 80, now);
        settle(&sql, "s", &view, 80, 0, now);
        define(&sql, &budget(Period::Lifetime, 50)).unwrap();
        assert_eq!(take(&sql, "s", 1, 80, 1, now).granted, 80);
        let raised = Terms { extra: 40, extra_until: Some(now.plus(10)), ..budget(Period::Lifetime, 50) };
        define(&sql, &raised).unwrap();
        assert_eq!(take(&sql, "s", 1, 80, 10, now).granted, 90);
        assert_eq!(take(&sql, "s", 1, 90, 1, now.plus(10)).granted, 90, "the increase is over");
    }

    #[test]
    fn what_the_dead_held_stays_used_until_it_is_forgiven_or_written_off() {
        let (sql, now) = (book(), at("2026-11-20T12:00:00Z"));
        define(&sql, &budget(Period::Lifetime, 100)).unwrap();
        sql.script(&format!("INSERT INTO sessions VALUES ('dead', {}), ('alive', {})", now.0, now.plus(10).0));
        let dead = take(&sql, "dead", 0, 0, 30, now);
        settle(&sql, "dead", &dead, 10, 0, now);
        take(&sql, "alive", 1, 0, 50, now);
        let silent_since = now.plus(1);
        assert_eq!(unsettled(&sql, dead.id, silent_since).unwrap(), 20);
        assert_eq!(take(&sql, "other", 1, 0, 21, now).granted, 0);
        write_off(&sql, silent_since).unwrap();
        let meter = meter_of(&sql, now);
        assert_eq!((meter.spent, meter.held, unsettled(&sql, dead.id, silent_since).unwrap()), (30, 50, 20));
        assert_eq!(forgive(&sql, dead.id, silent_since).unwrap(), 20);
        let meter = meter_of(&sql, now);
        assert_eq!((meter.spent, meter.held), (10, 50));
        assert_eq!(take(&sql, "other", 1, 0, 40, now).granted, 40);
    }

    #[test]
    fn alerts_are_given_once_a_window() {
        let (sql, now) = (book(), at("2026-11-20T12:00:00Z"));
        define(&sql, &Terms { alerts: vec![500, 1000], ..budget(Period::Daily, 100) }).unwrap();
        let view = take(&sql, "s", 0, 0, 100, now);
        let shares = |crossed: Vec<Crossed>| crossed.into_iter().map(|crossed| crossed.share).collect::<Vec<_>>();
        assert_eq!(shares(settle(&sql, "s", &view, 49, 0, now)), [0; 0]);
        assert_eq!(shares(settle(&sql, "s", &view, 50, 0, now)), [500]);
        assert_eq!(shares(settle(&sql, "s", &view, 60, 0, now)), [0; 0]);
        assert_eq!(shares(settle(&sql, "s", &view, 101, 0, now)), [1000]);
        let tomorrow = now.plus(86_400_000);
        let view = take(&sql, "s", view.window, 0, 100, tomorrow);
        assert_eq!(shares(settle(&sql, "s", &view, 100, 0, tomorrow)), [500, 1000]);
    }

    #[test]
    fn accounts_follow_the_defaults_of_their_kind() {
        let (sql, now) = (book(), at("2026-11-20T12:00:00Z"));
        let default = |limit| Terms::budget(account("user:*"), "usd/daily", Unit::Usd, Period::Daily, limit);
        define(&sql, &default(5)).unwrap();
        let ask = |user: &str| {
            let accounts = vec![account(user), account("organization:o")];
            tell(&sql, "s", &Ask { accounts, ..Ask::default() }, now).unwrap()
        };
        let told = ask("user:ann");
        assert_eq!((told.meters[0].limit, &told.accounts[1].tracks[..]), (5, &[AccountKind::User][..]));
        define(&sql, &default(7)).unwrap();
        assert_eq!(ask("user:ann").meters[0].limit, 7);
        remove(&sql, &account("user:*"), "usd/daily").unwrap();
        assert!(ask("user:ann").meters.is_empty() && ask("user:bob").accounts[1].tracks.is_empty());
    }
}
