//! Time: milliseconds since the Unix epoch, as the ports hand them in. Nothing here reads a clock.

use serde::{Deserialize, Serialize};
use time::{Date, Duration, OffsetDateTime, format_description::well_known::Rfc3339};

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// From JavaScript's clock.
    #[expect(clippy::cast_possible_truncation, reason = "a clock's value fits in 53 bits")]
    pub fn from_js(ms: f64) -> Self {
        Self(ms as i64)
    }

    /// Whole seconds since the epoch.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Milliseconds from `earlier` to this moment, never negative.
    pub fn since(self, earlier: Self) -> i64 {
        (self.0 - earlier.0).max(0)
    }

    /// This moment and `ms` more.
    #[must_use]
    pub fn plus(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// `2026-11-20T12:00:00.000Z`.
    pub fn iso(self) -> String {
        let date = self.date_time();
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            date.year(),
            u8::from(date.month()),
            date.day(),
            date.hour(),
            date.minute(),
            date.second(),
            date.millisecond()
        )
    }

    /// The UTC day, `2026-11-20`.
    pub fn day(self) -> String {
        self.iso().chars().take(10).collect()
    }

    /// Reads an RFC 3339 date and time with seconds and offset.
    pub fn parse_iso(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok().map(Self)
    }

    /// Midnight UTC at which this day, week (Monday) or month began.
    #[must_use]
    pub fn start_of(self, window: Window) -> Self {
        let date = self.date_time().date();
        let first = match window {
            Window::Day => date,
            Window::Week => date - Duration::days(i64::from(date.weekday().number_days_from_monday())),
            Window::Month => Date::from_calendar_date(date.year(), date.month(), 1).unwrap_or(date),
        };
        Self(first.midnight().assume_utc().unix_timestamp() * 1000)
    }

    fn date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// The calendar windows of usage and budgets: UTC, weeks from Monday, as OpenRouter's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// From midnight UTC.
    Day,
    /// From Monday, midnight UTC.
    Week,
    /// From the first of the month, midnight UTC.
    Month,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_at_utc_midnight_mondays_and_firsts() {
        let moment = Millis::parse_iso("2028-03-01T00:30:00+02:00").unwrap();
        assert_eq!(moment.iso(), "2028-02-29T22:30:00.000Z");
        assert_eq!(moment.start_of(Window::Day).iso(), "2028-02-29T00:00:00.000Z");
        assert_eq!(moment.start_of(Window::Week).iso(), "2028-02-28T00:00:00.000Z");
        assert_eq!(moment.start_of(Window::Month).iso(), "2028-02-01T00:00:00.000Z");
        assert_eq!(moment.day(), "2028-02-29");
    }

    #[test]
    fn dates_without_a_time_or_offset_are_refused() {
        for text in ["", "2026-01-01", "2026-01-01T00:00:00", "yesterday", "2026-13-01T00:00:00Z"] {
            assert_eq!(Millis::parse_iso(text), None, "{text}");
        }
    }
}
