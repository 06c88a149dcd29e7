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
    let mut told = Told::default();
    for account in &ask.accounts {
        inherit(sql, account)?;
        let mut ids = Vec::new();
        for meter in of_account(sql, account, now)? {
            ids.push(meter.id);
            let holding = holding(sql, session, &meter)?;
            note(&mut told, &meter, holding, None, now);
        }
        let tracks = if account.kind == AccountKind::Organization { tracks(sql)? } else { Vec::new() };
        let stopped = stopped(sql, account)?.is_some();
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
        let before = (holding, meter.held);
        let most = base.saturating_add(more.max(need));
        if rest {
            meter.grant_rest(&mut holding, most, now);
        } else {
            meter.grant(&mut holding, base.saturating_add(need), most, now);
        }
        if before != (holding, meter.held) {
            keep(sql, session, &meter, &holding)?;
            save(sql, &meter)?;
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
        let mut holding = holding_in(sql, session, meter.id, total.window)?;
        let in_window = total.window == meter.window;
        meter.report(&mut holding, total.used, total.returned, in_window);
        if !in_window && holding.held() == 0 {
            sql.run(
                "DELETE FROM holdings WHERE session = ?1 AND meter = ?2 AND win = ?3",
                &[session.into(), number(meter.id), i64::from(total.window).into()],
            )?;
            continue;
        }
        let of = Meter { window: total.window, ..meter.clone() };
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
        "SELECT DISTINCT h.meter AS id FROM holdings h JOIN meters m ON m.id = h.meter
         WHERE h.granted - h.used - h.returned > 0 AND m.doc LIKE '%\"unit\":\"parallel\"%'
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
    for row in rows {
        sql.run(
            "UPDATE meters SET spent = spent + ?2, lost = lost + ?2, held = held - ?2 WHERE id = ?1",
            &[int(&row, "meter").into(), int(&row, "n").into()],
        )?;
    }
    Ok(())
}

/// When a session that holds parallel requests was last heard of, the longest silent first.
pub fn slots_seen(sql: &dyn Sql) -> Result<Option<Millis>, SqlError> {
    let rows = sql.run(
        "SELECT min(s.seen) AS seen FROM holdings h JOIN meters m ON m.id = h.meter JOIN sessions s ON s.session = h.session
         WHERE h.granted - h.used - h.returned > 0 AND m.doc LIKE '%\"unit\":\"parallel\"%'",
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
    if account.is_default() {
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
        if !rows.is_empty() {
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
        sql.run("UPDATE meters SET lost = 0 WHERE id = ?1", &[number(meter.id)])?;
        save(sql, &meter)?;
    }
    Ok(meter)
}

/// A meter that is being used.
fn load(sql: &dyn Sql, id: MeterId, now: Millis) -> Result<Option<Meter>> {
    let rows = sql.run("SELECT * FROM meters WHERE id = ?1", &[number(id)])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut meter = meter(row)?;
    if meter.roll(now) {
        sql.run("UPDATE meters SET lost = 0 WHERE id = ?1", &[number(id)])?;
        save(sql, &meter)?;
    }
    Ok(Some(meter))
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
        until: meter.until,
        spent: meter.spent,
        held: meter.held,
        granted: holding.granted,
        returned: holding.returned,
        tight,
    });
}
