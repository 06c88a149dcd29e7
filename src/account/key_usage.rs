//! What each key has used, per UTC day: the source of a key's usage figures.
//!
//! Table `key_usage(hash, day, nano, byok_nano, requests)`; `hash` is the key's account, so figures go
//! on when it is rotated. Rows outlive their key. Counting is not idempotent: the caller has made sure
//! that a generation is counted once.

use super::{keys, rotation};
use crate::{
    error::Result,
    metering::KeyUsage,
    money::NanoUsd,
    ports::{Row, Sql, SqlError, int},
    time::{Millis, Window},
};

/// Amounts by calendar window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Ever.
    pub total: NanoUsd,
    /// In the UTC day.
    pub day: NanoUsd,
    /// In the UTC week, from Monday.
    pub week: NanoUsd,
    /// In the UTC month.
    pub month: NanoUsd,
}

/// What a key has used, as of a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// At the gateway's prices.
    pub own: Spent,
    /// Paid by somebody else's provider key.
    pub byok: Spent,
    /// Generations.
    pub requests: i64,
}

/// The columns that [`Used::read`] wants of `key_usage u`, aggregated; `?1`, `?2`, `?3` are [`days`].
pub const COLUMNS: &str = "\
coalesce(sum(u.nano), 0) AS total, \
coalesce(sum(CASE WHEN u.day >= ?1 THEN u.nano END), 0) AS day, \
coalesce(sum(CASE WHEN u.day >= ?2 THEN u.nano END), 0) AS week, \
coalesce(sum(CASE WHEN u.day >= ?3 THEN u.nano END), 0) AS month, \
coalesce(sum(u.byok_nano), 0) AS byok_total, \
coalesce(sum(CASE WHEN u.day >= ?1 THEN u.byok_nano END), 0) AS byok_day, \
coalesce(sum(CASE WHEN u.day >= ?2 THEN u.byok_nano END), 0) AS byok_week, \
coalesce(sum(CASE WHEN u.day >= ?3 THEN u.byok_nano END), 0) AS byok_month, \
coalesce(sum(u.requests), 0) AS requests";

/// The days on which the windows of this moment began.
pub fn days(now: Millis) -> [String; 3] {
    [Window::Day, Window::Week, Window::Month].map(|window| now.start_of(window).day())
}

/// Creates the table.
pub fn migrate(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS key_usage (
            hash TEXT NOT NULL, day TEXT NOT NULL,
            nano INTEGER NOT NULL DEFAULT 0, byok_nano INTEGER NOT NULL DEFAULT 0, requests INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (hash, day)
        ) WITHOUT ROWID",
        &[],
    )?;
    Ok(())
}

/// Counts generations.
pub fn add_usage(sql: &dyn Sql, uses: &[KeyUsage]) -> Result<()> {
    for KeyUsage { hash, nano, requests, at, .. } in uses {
        let account = rotation::account_of(sql, hash)?;
        sql.run(
            "INSERT INTO key_usage (hash, day, nano, requests) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (hash, day) DO UPDATE SET nano = nano + excluded.nano, requests = requests + excluded.requests",
            &[account.into(), at.day().into(), nano.0.into(), i64::try_from(*requests).unwrap_or(i64::MAX).into()],
        )?;
        keys::used(sql, hash, *at)?;
    }
    Ok(())
}

/// What the keys of one account have used.
pub fn used(sql: &dyn Sql, account: &str, now: Millis) -> Result<Used, SqlError> {
    let [day, week, month] = days(now);
    let statement = format!("SELECT {COLUMNS} FROM key_usage u WHERE u.hash = ?4");
    let rows = sql.run(&statement, &[day.into(), week.into(), month.into(), account.into()])?;
    Ok(rows.first().map(Used::read).unwrap_or_default())
}

impl Used {
    /// From a row with [`COLUMNS`].
    pub fn read(row: &Row) -> Self {
        let nano = |name: &str| NanoUsd(int(row, name));
        let spent = |total, day, week, month| Spent {
            total: nano(total),
            day: nano(day),
            week: nano(week),
            month: nano(month),
        };
        Self {
            own: spent("total", "day", "week", "month"),
            byok: spent("byok_total", "byok_day", "byok_week", "byok_month"),
            requests: int(row, "requests"),
        }
    }
}

impl Spent {
    /// In that window; `None` is ever.
    pub fn within(&self, window: Option<Window>) -> NanoUsd {
        match window {
            None => self.total,
            Some(Window::Day) => self.day,
            Some(Window::Week) => self.week,
            Some(Window::Month) => self.month,
        }
    }
}
