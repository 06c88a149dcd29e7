//! An isolate's side of meters: what it knows of them, the slices it holds, and the shares of requests
//! that are set aside from those in memory.
//!
//! A request that finds its share in the slices asks nobody. One that does not asks the account, under
//! a ticket: what it lacks is earmarked, so that requests which ask at the same time do not take the
//! answer from each other, and who asked first is served first. Slices follow the traffic of the last
//! seconds, shrink with what is left of the budget (the account sees to that), and go back when the
//! traffic ends.

use std::{collections::HashMap, rc::Rc};

use super::{
    AccountKind, AccountRef, MeterId, Unit,
    meter::MOST,
    policy::Policy,
    wire::{Ask, MeterView, Told, Total, Want},
};
use crate::time::Millis;

/// A request waits so long for what others hold of a budget to come back, before it is refused.
pub const WAIT_MS: i64 = 1_000;
/// The first pause before it asks again.
const PAUSE_MS: i64 = 50;
/// What was asked for under a ticket that nobody came back for is free again.
const TICKET_MS: i64 = 5_000;
/// Without a request for so long, slices go back.
const IDLE_MS: i64 = 1_000;
/// A meter that gave less than was wanted is not asked for more in the background for so long.
const TIGHT_MS: i64 = 1_000;
/// The account's word that a window lasts is good for so long after its end by the isolate's clock.
const SEEN_MS: i64 = 500;
/// A question that was not answered for so long is asked again, for what it may have been given.
const UNSURE_MS: i64 = 2_000;
/// The account gives away the places of who is silent for 45 s: idle ones are good for less than half of
/// that without its word.
const PLACES_MS: i64 = 20_000;
const CAPACITY: usize = 10_000;

/// Amounts of a request by unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Nano-dollars.
    pub usd: i64,
    /// Tokens.
    pub tokens: i64,
}

impl Amounts {
    /// That of one unit.
    pub fn of(self, unit: Unit) -> i64 {
        match unit {
            Unit::Usd => self.usd,
            Unit::Tokens => self.tokens,
            Unit::Requests | Unit::Parallel => 1,
        }
    }
}

/// A request's share of one meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The meter.
    pub meter: MeterId,
    /// The window it is charged to, however long it runs.
    pub window: u32,
    unit: Unit,
    model: Option<String>,
    amount: i64,
}

/// What is set aside for a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservation {
    lines: Vec<Line>,
    /// All that the request can use is set aside.
    pub full: bool,
    /// What is set aside of the budgets in dollars and in tokens, where there are such.
    pub held: Amounts,
    /// The account was asked for it; else it came from memory.
    pub asked: bool,
}

impl Reservation {
    /// Whether no meter is charged at all.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether dollars or tokens are set aside.
    pub fn has_budget(&self) -> bool {
        self.lines.iter().any(|line| matches!(line.unit, Unit::Usd | Unit::Tokens) && line.amount > 0)
    }

    /// For the simulator: meter, window, unit, model and amount of each share.
    #[cfg(feature = "planted")]
    pub fn shares(&self) -> impl Iterator<Item = (MeterId, u32, Unit, Option<&str>, i64)> {
        self.lines.iter().map(|line| (line.meter, line.window, line.unit, line.model.as_deref(), line.amount))
    }

    /// Whether it holds a parallel request's place.
    pub fn has_slot(&self) -> bool {
        self.lines.iter().any(|line| line.unit == Unit::Parallel)
    }
}

/// What a request has used of its meters: told to the account with the request's event.
pub type Used = Vec<(MeterId, u32, i64)>;

/// How it stands with a request that is to be admitted.
#[derive(Debug, PartialEq, Eq)]
pub enum Reserve {
    /// Its share is set aside.
    Held(Reservation),
    /// To be asked first, after a pause of so many milliseconds.
    Ask(Vec<Want>, i64),
    /// This meter has too little left.
    Refused(Box<MeterView>),
}

/// What is known of the accounts that a request is charged to.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// Their meters.
    Known(Vec<MeterId>),
    /// To be asked first.
    Ask(Vec<AccountRef>),
    /// One of them was stopped.
    Stopped(AccountRef),
}

#[derive(Debug)]
struct Account {
    meters: Vec<MeterId>,
    stopped: bool,
}

/// A slice of a meter's window, in running totals.
#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    window: u32,
    until: Millis,
    granted: i64,
    returned: i64,
    /// Used by requests that have ended.
    spent: i64,
    /// Of that, told to the account.
    told: i64,
    /// Set aside for requests that run.
    reserved: i64,
    /// Totals have changed since they were told.
    dirty: bool,
}

impl Slice {
    /// As the account knows it: nothing runs that is charged to it.
    fn of(view: &MeterView) -> Self {
        let MeterView { window, until, granted, used, returned, .. } = *view;
        Self { window, until, granted, returned, spent: used, told: used, ..Self::default() }
    }

    /// Handed out and neither used, given back nor set aside.
    fn free(&self) -> i64 {
        self.granted - self.bound()
    }

    fn bound(&self) -> i64 {
        self.returned + plant!(SpentAgain, self.spent, 0) + self.reserved
    }
}

#[derive(Debug)]
struct Held {
    view: MeterView,
    /// Of the window of now; the last.
    slice: Slice,
    /// Of earlier windows, while requests run that are charged to them.
    old: Vec<Slice>,
    /// What was set aside in this second and in the one before.
    second: Millis,
    now: i64,
    before: i64,
    last_use: Millis,
    /// When the account last said how it stands.
    seen: Millis,
    /// The account gave less than was welcome.
    tight_since: Option<Millis>,
    /// The last question that wanted a slice of it, and when it was asked.
    wanted: u64,
    wanted_at: Millis,
    /// The last that was answered, and when.
    answered: u64,
    answered_at: Millis,
}

impl Held {
    fn flow(&self, now: Millis) -> i64 {
        match now.since(self.second) {
            0..1_000 => self.now.max(self.before),
            1_000..2_000 => self.now,
            _ => 0,
        }
    }

    fn note_use(&mut self, amount: i64, now: Millis) {
        if now.since(self.second) >= 1_000 {
            self.before = if now.since(self.second) < 2_000 { self.now } else { 0 };
            (self.second, self.now) = (now, 0);
        }
        self.now = self.now.saturating_add(amount);
        self.last_use = now;
    }

    fn in_window(&mut self, window: u32) -> Option<&mut Slice> {
        if self.slice.window == window {
            return Some(&mut self.slice);
        }
        self.old.iter_mut().find(|slice| slice.window == window)
    }

    /// Whether its window is the one of now. The account's word counts for more than the clock here.
    fn is_current(&self, now: Millis) -> bool {
        // A window of seconds that has not begun again has no end.
        plant!(NoWindowEnd, self.slice.until > Millis(0), return true)
            && (now < self.slice.until || now.since(self.seen) < SEEN_MS)
    }

    /// Something may have been handed out that nobody here has heard of.
    fn is_unsure(&self) -> bool {
        plant!(NeverUnsure, self.wanted > self.answered, false)
    }

    fn is_tight(&self, now: Millis) -> bool {
        self.view.exact || self.tight_since.is_some_and(|since| now.since(since) < TIGHT_MS)
    }
}

#[derive(Debug)]
struct Ticket {
    since: Millis,
    rounds: u32,
    /// It has waited for others: what is left will do.
    rest: bool,
    earmarks: Vec<(MeterId, u32, i64)>,
}

/// What a request may be given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Less than this is of no use.
    pub floor: Amounts,
    /// What it will likely need: refused without it while others may give back what they hold.
    pub least: Amounts,
    /// All that it can use.
    pub most: Amounts,
}

/// The isolate's slices.
#[derive(Debug, Default)]
pub struct Holder {
    accounts: HashMap<AccountRef, Account>,
    /// Revisions at which accounts were changed: older news of them counts no more.
    changed: HashMap<AccountRef, u64>,
    /// News of any account from before this revision count no more.
    floor: u64,
    tracks: Vec<AccountKind>,
    policy: Rc<Policy>,
    meters: HashMap<MeterId, Held>,
    tickets: HashMap<u32, Ticket>,
    next_ticket: u32,
    last_ask: u64,
}

impl Holder {
    // What is known.

    /// Whether requests are charged to accounts of this kind, which they name themselves.
    pub fn tracks(&self, kind: AccountKind) -> bool {
        self.tracks.contains(&kind)
    }

    /// The organization's rules.
    pub fn policy(&self) -> &Rc<Policy> {
        &self.policy
    }

    /// The meters of these accounts. Of those that requests name themselves, only the kinds count of
    /// which the organization has any.
    pub fn standing(&self, accounts: &[AccountRef]) -> Standing {
        let counts = |account: &&AccountRef| account.kind <= AccountKind::Key || self.tracks(account.kind);
        let is_known = |known: &Account| known.meters.iter().all(|id| self.meters.contains_key(id));
        let is_new = |account: &&AccountRef| !self.accounts.get(account).is_some_and(is_known);
        let unknown: Vec<AccountRef> = accounts.iter().filter(counts).filter(is_new).cloned().collect();
        if !unknown.is_empty() {
            return Standing::Ask(unknown);
        }
        let known = accounts.iter().filter_map(|account| Some((account, self.accounts.get(account)?)));
        if let Some((account, _)) = known.clone().find(|(_, known)| known.stopped) {
            return Standing::Stopped(account.clone());
        }
        Standing::Known(known.flat_map(|(_, known)| known.meters.iter().copied()).collect())
    }

    /// Nano-dollars that any of these meters can still give to one request for these models, as far as is
    /// known here: what is free, and what was handed out to this isolate and is not in use.
    pub fn left(&self, meters: &[MeterId], models: &[&str], now: Millis) -> i64 {
        let held = meters.iter().filter_map(|id| self.meters.get(id));
        held.filter(|held| held.view.hard && held.view.unit == Unit::Usd && held.is_current(now))
            .filter(|held| held.view.model.as_deref().is_none_or(|model| models.contains(&model)))
            .map(|held| held.view.free().max(0).saturating_add(held.slice.free().max(0)))
            .min()
            .unwrap_or(i64::MAX)
    }

    /// Whether an account is known to be stopped.
    pub fn is_stopped(&self, account: &AccountRef) -> bool {
        self.accounts.get(account).is_some_and(|known| known.stopped)
    }

    /// An account was changed at a revision: what is known of it counts no more.
    pub fn changed(&mut self, account: AccountRef, revision: u64) {
        plant!(ChangesIgnored => return);
        if account.is_default() {
            self.accounts.retain(|known, _| known.kind != account.kind);
        }
        // The organization's answer names what is tracked, which a change below it may change.
        self.accounts.retain(|known, _| known.kind != AccountKind::Organization);
        self.accounts.remove(&account);
        if self.changed.len() >= CAPACITY {
            self.changed.clear();
        }
        // Answers overtake each other: an older one does not take back what a newer one has said.
        let known = self.changed.entry(account).or_default();
        *known = revision.max(*known);
    }

    /// Any account may have changed up to that revision.
    pub fn forget_accounts(&mut self, revision: u64) {
        self.accounts.clear();
        self.changed.clear();
        self.floor = revision.max(self.floor);
    }

    /// The account's answer, given at a revision.
    pub fn learn(&mut self, told: Told, revision: u64, now: Millis) {
        for view in told.meters {
            self.see(view, told.n, now);
        }
        for gone in told.gone {
            self.meters.remove(&gone);
        }
        for charged in told.accounts {
            let all = AccountRef::default_of(charged.account.kind);
            let is_old = |account| revision < self.changed.get(account).copied().unwrap_or(self.floor);
            if plant!(StaleAnswer, is_old(&charged.account) || is_old(&all), false) {
                continue;
            }
            if charged.account.kind == AccountKind::Organization {
                self.tracks = charged.tracks;
                self.policy = Rc::new(charged.policy.unwrap_or_default());
            }
            if self.accounts.len() >= CAPACITY {
                self.accounts.clear();
            }
            self.accounts.insert(charged.account, Account { meters: charged.meters, stopped: charged.stopped });
        }
    }

    fn see(&mut self, view: MeterView, answers: u64, now: Millis) {
        let held = self.meters.entry(view.id).or_insert_with(|| Held {
            slice: Slice::of(&view),
            view: view.clone(),
            old: Vec::new(),
            second: Millis(0),
            now: 0,
            before: 0,
            last_use: now,
            seen: now,
            tight_since: None,
            wanted: 0,
            wanted_at: now,
            answered: 0,
            answered_at: Millis(0),
        });
        held.seen = now;
        if let Some(tight) = view.tight {
            held.tight_since = tight.then_some(now);
            held.answered = held.answered.max(answers);
            held.answered_at = now;
        }
        if view.window > held.slice.window {
            let old = std::mem::replace(&mut held.slice, Slice::of(&view));
            held.old.push(old);
        }
        let Some(slice) = held.in_window(view.window) else { return };
        slice.granted = slice.granted.max(view.granted);
        slice.returned = slice.returned.max(view.returned);
        slice.until = view.until;
        if view.window >= held.view.window {
            held.view = view;
        }
    }

    // Requests.

    /// A new ticket, for a request that may have to ask.
    pub fn ticket(&mut self, now: Millis) -> u32 {
        plant!(TicketsForEver, self.tickets.retain(|_, ticket| now.since(ticket.since) < TICKET_MS), ());
        self.next_ticket = self.next_ticket.wrapping_add(1).max(1);
        self.tickets.insert(self.next_ticket, Ticket { since: now, rounds: 0, rest: false, earmarks: Vec::new() });
        self.next_ticket
    }

    /// Sets a request's share aside in every meter, or in none: all that it can use where the slices have
    /// it, else what they have, but not less than it likely needs, or, when it has waited for others in
    /// vain, than is of any use. `ticket`: under which it asked before; 0 where it did not. `models`: that
    /// may serve it. `unreachable`: the account cannot be asked, so meters that fail open are not looked at.
    pub fn reserve(
        &mut self,
        ticket: &mut u32,
        meters: &[MeterId],
        models: &[&str],
        range: Range,
        unreachable: bool,
        now: Millis,
    ) -> Reserve {
        let mine = self.tickets.remove(ticket);
        let rounds = mine.as_ref().map_or(0, |ticket| ticket.rounds);
        let rest = mine.as_ref().is_some_and(|ticket| ticket.rest);
        let Range { floor, most, .. } = range;
        let least = if rest { floor } else { range.least };
        let mut lines = Vec::new();
        let (mut short, mut full) = (Vec::new(), true);
        let mut room = most;
        for id in meters {
            let Some(held) = self.meters.get(id) else { continue };
            let view = &held.view;
            if plant!(OtherModels, view.model.as_deref().is_some_and(|model| !models.contains(&model)), false) {
                continue;
            }
            let (low, high) = (least.of(view.unit), most.of(view.unit));
            let available = held.slice.free() - self.earmarked(*id, held.slice.window, *ticket);
            let old_place = view.unit == Unit::Parallel && now.since(held.answered_at) >= PLACES_MS;
            let given_away = plant!(PlacesForEver, old_place, false);
            let lacks = plant!(SoftRefuses, view.hard, true)
                && (available < low || given_away)
                && !(plant!(OpenWithoutWord, view.fail_open, true) && unreachable);
            full &= !view.hard || available >= high;
            if view.hard {
                match view.unit {
                    Unit::Usd => room.usd = room.usd.min(available.max(low)),
                    Unit::Tokens => room.tokens = room.tokens.min(available.max(low)),
                    Unit::Requests | Unit::Parallel => {}
                }
            }
            if lacks || !held.is_current(now) && !unreachable {
                short.push(*id);
            }
            lines.push((*id, low));
        }
        if short.is_empty() {
            *ticket = 0;
            return Reserve::Held(self.hold(&lines, full, room, rounds > 0, now));
        }
        let since = mine.as_ref().map_or(now, |ticket| ticket.since);
        let waited = now.since(since);
        let (mut rest, waited_for_rest) = (rest, rest);
        if rounds > 0 || unreachable {
            let lacking = |held: &&Held| {
                let view = &held.view;
                if plant!(SoftRefuses, !view.hard, false) {
                    return false;
                }
                // A question that came too late to be granted anything says nothing.
                if held.answered_at < since && !unreachable && waited < 2 * WAIT_MS {
                    return false;
                }
                // The account has it free: others here took what came for this request.
                if view.free() >= least.of(view.unit) && !unreachable && waited < WAIT_MS {
                    return false;
                }
                let own = held.slice.granted - held.slice.returned - held.slice.spent;
                let elsewhere = view.held - own.max(0) > 0 || held.slice.reserved > 0;
                let never = least.of(view.unit) > view.limit - view.spent;
                let for_long = waited >= WAIT_MS || view.unit == Unit::Parallel;
                unreachable || !elsewhere || for_long || never
            };
            let refused = short.iter().filter_map(|id| self.meters.get(id)).find(lacking);
            if let Some(held) = refused {
                let view = &held.view;
                // A limit that is smaller than what a request may use would refuse it for ever.
                let shared = view.rate && least.of(view.unit) <= view.limit;
                let budget = !shared && matches!(view.unit, Unit::Usd | Unit::Tokens);
                let left = view.free() + held.slice.free().max(0);
                if rest || unreachable || !budget || left < floor.of(view.unit) {
                    *ticket = 0;
                    return Reserve::Refused(Box::new(view.clone()));
                }
                rest = true;
            }
        }
        if *ticket == 0 {
            *ticket = self.ticket(now);
        }
        // What was said a moment ago holds for this request too: no need for each to ask.
        let stale = |id: &&MeterId| {
            self.meters.get(*id).is_some_and(|held| {
                rest || !held.is_current(now)
                    || now.since(held.seen) >= PAUSE_MS
                    || held.view.free() >= least.of(held.view.unit)
                    || !held.view.hard
            })
        };
        let wants: Vec<Want> =
            short.iter().filter(stale).filter_map(|id| self.want(*id, least, most, rest, now)).collect();
        let earmarks = lines
            .iter()
            .filter_map(|(id, low)| {
                let held = self.meters.get(id).filter(|held| held.view.hard)?;
                Some((*id, held.slice.window, *low))
            })
            .collect();
        self.tickets.insert(*ticket, Ticket { since, rounds: rounds + 1, rest, earmarks });
        let pause = match rounds {
            _ if wants.is_empty() => PAUSE_MS,
            0 => 0,
            _ if rest && !waited_for_rest => 0,
            rounds => (PAUSE_MS * i64::from(rounds)).min(4 * PAUSE_MS),
        };
        Reserve::Ask(wants, pause)
    }

    /// The request that asked under this ticket is gone.
    pub fn drop_ticket(&mut self, ticket: u32) {
        self.tickets.remove(&ticket);
    }

    /// What is kept for requests that asked before the one with this ticket; 0 has asked for nothing yet.
    fn earmarked(&self, id: MeterId, window: u32, ticket: u32) -> i64 {
        self.tickets
            .iter()
            .filter(|(number, _)| ticket == 0 || **number < ticket)
            .flat_map(|(_, ticket)| &ticket.earmarks)
            .filter(|(meter, in_window, _)| *meter == id && *in_window == window)
            .map(|(_, _, amount)| amount)
            .sum()
    }

    fn want(&self, id: MeterId, least: Amounts, most: Amounts, rest: bool, now: Millis) -> Option<Want> {
        let held = self.meters.get(&id)?;
        if !held.view.hard {
            return Some(Want { meter: id, window: held.slice.window, base: 0, need: 0, more: 0, rest: false });
        }
        let (need, most) = (least.of(held.view.unit), most.of(held.view.unit));
        let base = if held.is_current(now) { held.slice.bound() + self.earmarked(id, held.slice.window, 0) } else { 0 };
        let more = need.max(most).saturating_add(held.flow(now).saturating_mul(2));
        let (more, rest) = if rest { (need.max(most), held.view.unit != Unit::Requests) } else { (more, false) };
        Some(Want { meter: id, window: held.slice.window, base, need, more, rest })
    }

    fn hold(&mut self, lines: &[(MeterId, i64)], full: bool, room: Amounts, asked: bool, now: Millis) -> Reservation {
        let lines = lines
            .iter()
            .filter_map(|(id, low)| {
                let held = self.meters.get_mut(id)?;
                let room = plant!(LikelyForAll, room.of(held.view.unit).max(*low), *low);
                let amount = if held.view.hard { room } else { 0 };
                held.note_use(amount, now);
                held.slice.reserved += amount;
                let (window, unit, model) = (held.slice.window, held.view.unit, held.view.model.clone());
                Some(Line { meter: *id, window, unit, model, amount })
            })
            .collect();
        Reservation { lines, full, held: room, asked }
    }

    /// Sets more aside for a request that runs, in every meter or in none. What it lacks is answered as
    /// wants; asked for, it may be tried again.
    pub fn extend(&mut self, reservation: &mut Reservation, more: Amounts, now: Millis) -> Result<(), Vec<Want>> {
        let lacking: Vec<Want> = reservation
            .lines
            .iter()
            .filter_map(|line| {
                let amount = Self::extension(line, more);
                let held = self.meters.get(&line.meter).filter(|held| held.view.hard && amount > 0)?;
                // A window that is over gives nothing more.
                let of_now = held.slice.window == line.window;
                let available = held.slice.free() - self.earmarked(line.meter, line.window, 0);
                (!of_now || available < amount).then(|| {
                    let base = held.slice.bound() + self.earmarked(line.meter, line.window, 0);
                    Want { meter: line.meter, window: line.window, base, need: amount, more: amount, rest: false }
                })
            })
            .collect();
        if !lacking.is_empty() {
            return Err(lacking);
        }
        for line in &mut reservation.lines {
            let amount = Self::extension(line, more);
            if let Some(held) = self.meters.get_mut(&line.meter).filter(|held| held.view.hard && amount > 0) {
                held.note_use(amount, now);
                held.slice.reserved += plant!(GrowthFree, amount, 0);
                line.amount += plant!(GrowthForgotten, plant!(GrowthFree, amount, 0), 0);
            }
        }
        Ok(())
    }

    fn extension(line: &Line, more: Amounts) -> i64 {
        match line.unit {
            Unit::Usd | Unit::Tokens => more.of(line.unit),
            Unit::Requests | Unit::Parallel => 0,
        }
    }

    /// A request has ended. `model`: that served it; `sent`: a provider was called for it.
    pub fn settle(&mut self, reservation: Reservation, actual: Amounts, model: &str, sent: bool) -> Used {
        let mut used = Vec::new();
        for line in reservation.lines {
            let Some(held) = self.meters.get_mut(&line.meter) else { continue };
            let window = plant!(SettledNow, line.window, held.slice.window);
            let Some(slice) = held.in_window(window) else { continue };
            slice.reserved -= plant!(NeverFree, line.amount, 0);
            let counted = plant!(ChargedForAll, line.model.as_deref().is_none_or(|only| only == model), true);
            let amount = match line.unit {
                Unit::Parallel => 0,
                Unit::Requests => i64::from(sent),
                Unit::Usd | Unit::Tokens => actual.of(line.unit),
            };
            // Never beyond what a meter holds, however much a provider says was used.
            let amount = if counted { amount.clamp(0, MOST - slice.spent) } else { 0 };
            slice.spent += amount;
            plant!(ToldEarly => {
                slice.told += amount;
                slice.dirty = true;
            });
            used.push((line.meter, window, plant!(ToldEarly, amount, 0)));
        }
        used
    }

    // What goes to the account.

    /// Numbers a question for slices: one that comes again, or after a later one, is given nothing.
    pub fn number(&mut self, wants: Vec<Want>, now: Millis) -> Ask {
        if wants.is_empty() {
            return Ask::default();
        }
        self.last_ask += 1;
        for want in &wants {
            if let Some(held) = self.meters.get_mut(&want.meter) {
                (held.wanted, held.wanted_at) = (self.last_ask, now);
            }
        }
        Ask { n: self.last_ask, accounts: Vec::new(), wants }
    }

    /// These requests' events go with the batch that is being made.
    pub fn tell(&mut self, used: &Used) {
        for (id, window, amount) in used {
            let slice = self.meters.get_mut(id).and_then(|held| held.in_window(*window));
            if let Some(slice) = slice {
                slice.told += plant!(ToldNever, *amount, 0);
                slice.dirty |= *amount != 0;
            }
        }
    }

    /// Totals to tell, and slices to ask for in the background; slices that are not needed go back.
    pub fn take(&mut self, now: Millis) -> (Vec<Total>, Ask) {
        plant!(TicketsForEver, self.tickets.retain(|_, ticket| now.since(ticket.since) < TICKET_MS), ());
        let earmarks: Vec<(MeterId, u32, i64)> =
            self.tickets.values().flat_map(|ticket| ticket.earmarks.iter().copied()).collect();
        let (mut totals, mut wants) = (Vec::new(), Vec::new());
        for (id, held) in &mut self.meters {
            let earmarked = |window: u32| -> i64 {
                earmarks.iter().filter(|mark| mark.0 == *id && mark.1 == window).map(|mark| mark.2).sum()
            };
            let flow = held.flow(now);
            let idle = now.since(held.last_use) >= IDLE_MS;
            let tight = held.is_tight(now);
            let current = held.is_current(now);
            let unsure = held.is_unsure() && now.since(held.wanted_at) >= UNSURE_MS;
            let keep = if idle || tight || !current { 0 } else { flow.saturating_mul(2) };
            let slice = &mut held.slice;
            let available = slice.free() - earmarked(slice.window);
            // What a request waits for is not given back before it comes for it.
            let awaited = earmarked(slice.window) > 0;
            if !awaited && available > keep && (keep == 0 || available > keep.saturating_mul(2)) {
                slice.returned += plant!(SurplusTwice, available - keep, 2 * (available - keep));
                slice.dirty = plant!(ReturnUntold, true, slice.dirty);
            } else if held.view.hard && current && !tight && flow > 0 && available < flow {
                let base = slice.bound() + earmarked(slice.window);
                let more = flow.saturating_mul(2);
                wants.push(Want { meter: *id, window: slice.window, base, need: 0, more, rest: false });
            } else if unsure && !awaited {
                let base = slice.bound();
                wants.push(Want { meter: *id, window: slice.window, base, need: 0, more: 0, rest: false });
            }
            for slice in &mut held.old {
                let available = slice.free();
                if available > 0 {
                    slice.returned += available;
                    slice.dirty = true;
                }
            }
            for slice in held.old.iter_mut().chain([&mut held.slice]).filter(|slice| slice.dirty) {
                slice.dirty = false;
                totals.push(Total { meter: *id, window: slice.window, used: slice.told, returned: slice.returned });
            }
            held.old.retain(|slice| slice.reserved != 0 || slice.told != slice.spent);
        }
        totals.sort_by_key(|total| (total.meter, total.window));
        wants.sort_by_key(|want| want.meter);
        (totals, self.number(wants, now))
    }

    /// Whether slices are held that are to go back once the traffic has ended.
    pub fn lingers(&self) -> bool {
        self.meters.values().any(|held| {
            held.is_unsure() || held.slice.dirty || held.slice.free() > 0 || held.old.iter().any(|slice| slice.dirty)
        })
    }

    /// What is left of the USD budget with the least left, for the client, in nano-dollars.
    pub fn least_left(&self, reservation: &Reservation) -> Option<i64> {
        reservation
            .lines
            .iter()
            .filter_map(|line| self.meters.get(&line.meter))
            .filter(|held| held.view.unit == Unit::Usd && held.view.hard)
            .map(|held| {
                let spent = held.view.spent.max(held.slice.spent);
                (held.view.limit - spent).max(0)
            })
            .min()
    }

    /// How a meter stands, as far as known.
    pub fn view(&self, id: MeterId) -> Option<&MeterView> {
        self.meters.get(&id).map(|held| &held.view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::wire::Charged;

    fn told(account: &str) -> Told {
        let account = account.parse().unwrap();
        let charged =
            Charged { account, meters: Vec::new(), stopped: false, policy: None, tracks: vec![AccountKind::User] };
        Told { accounts: vec![charged], ..Told::default() }
    }

    #[test]
    fn older_news_of_an_account_count_no_more_once_it_or_the_default_of_its_kind_has_changed() {
        for changed in ["user:ann", "user:*"] {
            let (mut holder, ann) = (Holder::default(), [AccountRef::new(AccountKind::User, "ann")]);
            // Says that end users are tracked.
            holder.learn(told("organization:o"), 5, Millis(0));
            holder.learn(told("user:ann"), 5, Millis(0));
            assert_eq!(holder.standing(&ann), Standing::Known(Vec::new()));
            holder.changed(changed.parse().unwrap(), 6);
            holder.learn(told("user:ann"), 5, Millis(0));
            assert_eq!(holder.standing(&ann), Standing::Ask(ann.to_vec()), "{changed}");
            holder.learn(told("user:ann"), 6, Millis(0));
            assert_eq!(holder.standing(&ann), Standing::Known(Vec::new()));
            // An answer that was overtaken brings an older change, and what was true then.
            holder.changed(changed.parse().unwrap(), 3);
            holder.learn(told("user:ann"), 3, Millis(0));
            assert_eq!(holder.standing(&ann), Standing::Ask(ann.to_vec()), "{changed}");
            holder.forget_accounts(8);
            holder.learn(told("user:ann"), 7, Millis(0));
            assert_eq!(holder.standing(&ann), Standing::Ask(ann.to_vec()), "{changed}");
        }
    }

    #[test]
    fn what_was_asked_for_one_request_is_not_taken_by_another() {
        const ID: MeterId = MeterId(1);
        let (mut holder, now) = (Holder::default(), Millis(1_000));
        let learn = |holder: &mut Holder, n: u64, granted: i64| {
            let view = MeterView {
                id: ID,
                account: "key:k".parse().unwrap(),
                name: "b".to_owned(),
                unit: Unit::Tokens,
                model: None,
                limit: 1_000,
                hard: true,
                rate: false,
                fail_open: false,
                exact: false,
                window: 1,
                until: Millis(1 << 53),
                spent: 0,
                held: granted,
                granted,
                used: 0,
                returned: 0,
                tight: Some(false),
            };
            holder.learn(Told { n, meters: vec![view], ..Told::default() }, 1, now);
        };
        learn(&mut holder, 0, 0);
        let hundred = Amounts { usd: 0, tokens: 100 };
        let range = Range { floor: hundred, least: hundred, most: hundred };
        let (mut first, mut second) = (holder.ticket(now), holder.ticket(now));
        let mut ask = |ticket: &mut u32| match holder.reserve(ticket, &[ID], &[], range, false, now) {
            Reserve::Ask(wants, _) => wants.first().map(|want| (want.base, want.need)),
            other => panic!("{other:?}"),
        };
        assert_eq!(ask(&mut first), Some((0, 100)));
        assert_eq!(ask(&mut second), Some((100, 100)), "beyond what the first one waits for");
        learn(&mut holder, 2, 100);
        let mut third = holder.ticket(now);
        assert!(matches!(holder.reserve(&mut third, &[ID], &[], range, false, now), Reserve::Ask(..)));
        assert!(matches!(holder.reserve(&mut first, &[ID], &[], range, false, now), Reserve::Held(_)));
    }
}
