//! One limit of one account, and the arithmetic of handing it out. No storage, no clock.

use serde::{Deserialize, Serialize};

use super::AccountRef;
use crate::time::{Millis, Window};

/// The end of a window that has none (the largest moment that JavaScript holds exactly).
pub const FOR_EVER: Millis = Millis((1 << 53) - 1);
/// The largest amount of a meter: what SQLite's platform and JavaScript hold exactly.
pub const MOST: i64 = (1 << 53) - 1;

/// A meter's number in its `Account` object; never given twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MeterId(pub u32);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nano-dollars.
    Usd,
    /// Prompt and completion tokens.
    Tokens,
    /// Requests that were sent to a provider.
    Requests,
    /// Requests running at the same time: nothing is ever used up, only held.
    Parallel,
}

/// When a meter starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// Never.
    Lifetime,
    /// At midnight UTC.
    Daily,
    /// On Mondays at midnight UTC.
    Weekly,
    /// On the first of the month at midnight UTC.
    Monthly,
    /// So many seconds after its first use.
    Seconds(u32),
}

impl Period {
    /// The window that holds this moment: its start and its end. A window of seconds begins now.
    pub fn window(self, now: Millis) -> (Millis, Millis) {
        const DAY: i64 = 86_400_000;
        let since = |window| now.start_of(window);
        match self {
            Self::Lifetime => (now, FOR_EVER),
            Self::Daily => (since(Window::Day), since(Window::Day).plus(DAY)),
            Self::Weekly => (since(Window::Week), since(Window::Week).plus(7 * DAY)),
            Self::Monthly => (since(Window::Month), since(Window::Month).plus(31 * DAY).start_of(Window::Month)),
            Self::Seconds(seconds) => (now, now.plus(i64::from(seconds) * 1000)),
        }
    }
}

/// What a meter is to hold.
#[expect(clippy::struct_excessive_bools, reason = "independent properties of one limit")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Whose.
    pub account: AccountRef,
    /// Its name among the account's meters: defining it again replaces it.
    pub name: String,
    /// What is counted.
    pub unit: Unit,
    /// When it starts again.
    pub period: Period,
    /// Only requests that this model serves are counted; `None` is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The limit, in its unit.
    pub limit: i64,
    /// Refuses what does not fit; a soft one only counts (and alerts).
    pub hard: bool,
    /// A rate limit: refused with 429 instead of 402.
    pub rate: bool,
    /// Serves on when the account cannot be asked.
    #[serde(default)]
    pub fail_open: bool,
    /// Never hands out more than one request needs: every request asks (prepaid balances).
    #[serde(default)]
    pub exact: bool,
    /// Shares of the limit at which somebody is told, in thousandths.
    #[serde(default)]
    pub alerts: Vec<u16>,
    /// A temporary increase.
    #[serde(default)]
    pub extra: i64,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_until: Option<Millis>,
}

impl Terms {
    /// A hard budget without anything special.
    pub fn budget(account: AccountRef, name: impl Into<String>, unit: Unit, period: Period, limit: i64) -> Self {
        Self {
            account,
            name: name.into(),
            unit,
            period,
            model: None,
            limit,
            hard: true,
            rate: false,
            fail_open: false,
            exact: false,
            alerts: Vec::new(),
            extra: 0,
            extra_until: None,
        }
    }

    /// A rate limit.
    pub fn rate(account: AccountRef, name: impl Into<String>, unit: Unit, period: Period, limit: i64) -> Self {
        Self { rate: true, ..Self::budget(account, name, unit, period, limit) }
    }

    /// The limit with a temporary increase that is still good.
    pub fn limit_at(&self, now: Millis) -> i64 {
        match self.extra_until {
            Some(until) if plant!(ExtraForEver, now >= until, false) => self.limit,
            _ => self.limit.saturating_add(self.extra).min(MOST),
        }
    }
}

/// A meter and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Its number.
    pub id: MeterId,
    /// What it is to hold.
    pub terms: Terms,
    /// Number of the window; holdings of earlier ones count no more.
    pub window: u32,
    /// The window's begin.
    pub since: Millis,
    /// The window's end.
    pub until: Millis,
    /// Used in the window.
    pub spent: i64,
    /// Held by sessions in the window, dead ones too.
    pub held: i64,
    /// Alerts given in this window: a bit for each.
    pub alerted: i64,
}

impl Meter {
    /// Starts the next window if this one is over. What earlier windows hold is settled there and
    /// counts no more here.
    pub fn roll(&mut self, now: Millis) -> bool {
        if now < self.until {
            return false;
        }
        let (since, until) = self.terms.period.window(now);
        (self.since, self.until) = (since, until);
        self.window += plant!(RollKeepsNumber, 1, 0);
        self.spent = plant!(RollKeepsSpent, 0, self.spent);
        self.held = plant!(RollKeepsHeld, 0, self.held);
        self.alerted = 0;
        true
    }

    /// What may still be handed out; negative when more was used than the limit is now.
    pub fn free(&self, now: Millis) -> i64 {
        self.terms.limit_at(now) - plant!(FreeIgnoresSpent, self.spent, 0) - plant!(FreeIgnoresHeld, self.held, 0)
    }

    /// Hands out from what is free: `most` in running total if that leaves plenty, else `least`, else
    /// nothing. Answers whether the holding reaches `least` now.
    pub fn grant(&mut self, holding: &mut Holding, least: i64, most: i64, now: Millis) -> bool {
        let free = self.free(now);
        let (need, want) = (holding.lacks(least), holding.lacks(most));
        let part = (free - need).max(0) / plant!(ShareIgnored, SHARE, 1);
        // A share too small for another request would only lie about.
        let spare = if plant!(ExactSlack, self.terms.exact, false) || part < need { 0 } else { part };
        let target = if want <= need.saturating_add(spare) { most } else { least.saturating_add(spare).min(most) };
        let target = if spare == 0 { least } else { target.max(least) };
        if holding.lacks(target) <= plant!(OneTooMany, free.max(0), free.max(0) + 1) {
            self.held += holding.raise_to(target);
        } else if need <= free.max(0) {
            self.held += holding.raise_to(least);
        }
        holding.lacks(least) == 0
    }

    /// Hands out all that is free, up to a running total.
    pub fn grant_rest(&mut self, holding: &mut Holding, most: i64, now: Millis) {
        let lacks = holding.lacks(most);
        let given = lacks.min(self.free(now).max(0));
        if given > 0 {
            self.held += holding.raise_to(most - (lacks - given));
        }
    }

    /// Takes a session's running totals. Old news changes nothing.
    pub fn report(&mut self, holding: &mut Holding, used: i64, returned: i64, in_window: bool) {
        let before = *holding;
        holding.used = plant!(TotalsAdded, holding.used.max(used), (holding.used + used).min(MOST));
        holding.returned =
            plant!(ReturnedAdded, holding.returned.max(returned), (holding.returned + returned).min(MOST));
        if in_window {
            let more = plant!(SpentNotUpdated, holding.used - before.used, 0);
            self.spent = self.spent.saturating_add(more).clamp(-MOST, MOST);
            self.held += plant!(HeldNotUpdated, holding.held() - before.held(), 0);
        }
    }
}

/// Of what is free, a session may take at most one part in so many beyond what it needs at once: so
/// slices shrink as the budget runs out, down to single requests.
pub const SHARE: i64 = 16;

/// What a session has of a meter's window, in running totals that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Handed out to it.
    pub granted: i64,
    /// Used by it.
    pub used: i64,
    /// Given back by it.
    pub returned: i64,
}

impl Holding {
    /// What it may still use. What was used beyond the grants is no holding, but is spent.
    pub fn held(&self) -> i64 {
        let held = self.granted - self.used - self.returned;
        plant!(NegativeHolding, held.max(0), held)
    }

    fn lacks(&self, target: i64) -> i64 {
        // Grants that only fill what was overused take nothing from what is free.
        let base = self.used.saturating_add(self.returned).max(self.granted);
        (target - base).max(0)
    }

    fn raise_to(&mut self, target: i64) -> i64 {
        let before = self.held();
        self.granted = self.granted.max(target);
        self.held() - before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::AccountKind;

    fn meter(limit: i64) -> Meter {
        let account = AccountRef::new(AccountKind::Key, "k");
        Meter {
            id: MeterId(1),
            terms: Terms::budget(account, "b", Unit::Usd, Period::Lifetime, limit),
            window: 1,
            since: Millis(0),
            until: FOR_EVER,
            spent: 0,
            held: 0,
            alerted: 0,
        }
    }

    #[test]
    fn a_grant_takes_what_is_asked_while_plenty_is_left_and_the_least_when_not() {
        let (mut meter, mut holding) = (meter(1_600), Holding::default());
        assert!(meter.grant(&mut holding, 10, 60, Millis(0)));
        assert_eq!((holding.granted, meter.held, meter.free(Millis(0))), (60, 60, 1_540));
        // A running total: the same again changes nothing.
        assert!(meter.grant(&mut holding, 10, 60, Millis(0)));
        assert_eq!(meter.held, 60);
        // Of what is left beyond the need, at most a sixteenth.
        assert!(meter.grant(&mut holding, 100, 9_999, Millis(0)));
        assert_eq!(holding.granted, 100 + (1_540 - 40) / SHARE);
        // A share that is too small for another request stays free.
        assert!(meter.grant(&mut holding, 1_500, 9_999, Millis(0)));
        assert_eq!(holding.granted, 1_500);
        // The rest does not reach.
        assert!(!meter.grant(&mut holding, 1_601, 9_999, Millis(0)));
        assert_eq!(holding.granted, 1_500);
        assert!(meter.grant(&mut holding, 1_600, 1_600, Millis(0)));
        assert_eq!(meter.free(Millis(0)), 0);
    }

    #[test]
    fn an_exact_meter_hands_out_no_more_than_the_need() {
        let (mut meter, mut holding) = (meter(1_600), Holding::default());
        meter.terms.exact = true;
        assert!(meter.grant(&mut holding, 10, 60, Millis(0)));
        assert_eq!(holding.granted, 10);
    }

    #[test]
    fn totals_only_grow_and_what_is_used_beyond_the_grants_is_spent() {
        let (mut meter, mut holding) = (meter(100), Holding::default());
        meter.grant(&mut holding, 50, 50, Millis(0));
        meter.report(&mut holding, 30, 10, true);
        assert_eq!((meter.spent, meter.held, holding.held()), (30, 10, 10));
        meter.report(&mut holding, 20, 5, true);
        assert_eq!((meter.spent, meter.held), (30, 10), "old news");
        meter.report(&mut holding, 60, 10, true);
        assert_eq!((meter.spent, meter.held, meter.free(Millis(0))), (60, 0, 40));
        // A grant that starts from what was really used takes only what it adds.
        assert!(meter.grant(&mut holding, 75, 75, Millis(0)));
        assert_eq!((meter.held, meter.free(Millis(0))), (5, 35));
    }

    #[test]
    fn a_window_that_is_over_starts_again_and_forgets_what_the_old_one_held() {
        let mut meter = meter(100);
        let mut holding = Holding::default();
        meter.terms.period = Period::Monthly;
        meter.until = Millis(0);
        let at = |text: &str| Millis::parse_iso(text).unwrap();
        assert!(meter.roll(at("2028-02-10T00:00:00Z")));
        assert_eq!((meter.window, meter.until), (2, at("2028-03-01T00:00:00Z")));
        meter.grant(&mut holding, 50, 50, at("2028-02-29T23:59:59Z"));
        assert!(!meter.roll(at("2028-02-29T23:59:59.999Z")));
        assert!(meter.roll(at("2028-03-01T00:00:00Z")));
        assert_eq!((meter.spent, meter.held, meter.window), (0, 0, 3));
        meter.report(&mut holding, 50, 0, false);
        assert_eq!((meter.spent, meter.held), (0, 0));
    }
}
