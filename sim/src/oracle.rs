//! What should be true, kept apart from everything that is tested: sums over what was admitted, what
//! providers billed, what was put into batches and what the account has taken.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sluice::{
    budget::{Terms, Unit},
    metering::{Outcome, UsageEvent},
};

/// An invariant that does not hold.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Which ([`crate::INVARIANTS`]).
    pub invariant: &'static str,
    /// How.
    pub how: String,
}

/// Nothing, or an invariant that does not hold.
pub type Held = Result<(), Broken>;

/// That invariant does not hold.
pub fn broken(invariant: &'static str, how: impl Into<String>) -> Broken {
    Broken { invariant, how: how.into() }
}

/// A window of a meter.
pub type WindowOf = (u32, u32);

/// A request's share of a meter's window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    pub of: WindowOf,
    pub unit: Unit,
    pub model: Option<String>,
    pub amount: i64,
}

/// One window of one meter, seen from outside.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// The highest limit at a moment when something was handed out.
    pub allowed: i64,
    /// Billed, as far as it was set aside before.
    pub billed: i64,
    /// Set aside for requests that run.
    pub open: i64,
    /// Set aside for requests whose isolate died: nobody knows what they cost.
    pub dead: i64,
    /// Billed beyond what was set aside.
    pub overrun: i64,
    /// Reported to the account, batches taken only.
    pub reported: i64,
}

/// A batch as it was made.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// What the session had used of each window, this batch included.
    pub used: Vec<(WindowOf, i64)>,
    /// Its events: id, key, cost.
    pub events: Vec<(String, String, i64)>,
    /// Generations it lists as running.
    pub open: Vec<String>,
}

/// What a request that has ended adds to each window.
#[derive(Clone, Debug)]
pub struct Ended {
    pub charges: Vec<(WindowOf, i64)>,
    pub key: String,
    pub cost: i64,
}

/// All of it.
#[derive(Default)]
pub struct Oracle {
    pub meters: HashMap<u32, Terms>,
    /// Never looked at from outside: they serve on without the account.
    pub unbounded: HashSet<u32>,
    pub outside: BTreeMap<WindowOf, Outside>,
    /// Ended, not yet in a batch.
    pub ended: HashMap<String, Ended>,
    pub made: HashMap<(String, u64), Made>,
    pub taken: HashSet<(String, u64)>,
    /// Per session: told in batches that were made.
    told: HashMap<(String, WindowOf), i64>,
    /// Per session: the highest total that the account has taken.
    reported: HashMap<(String, WindowOf), i64>,
    /// Generations that must have a row in the end: with their key and cost, if it is known.
    pub recorded: BTreeMap<String, (String, Option<i64>)>,
    /// Cost and generations by key, batches taken only.
    pub by_key: BTreeMap<String, (i64, i64)>,
    ids: BTreeSet<String>,
    /// The last window of each meter that anybody was told of. What is charged to earlier ones need not
    /// be told any more.
    pub latest: HashMap<u32, u32>,
}

impl Oracle {
    fn of(&mut self, of: WindowOf) -> &mut Outside {
        self.outside.entry(of).or_default()
    }

    /// A request was admitted, or its share has grown: `was` before, `is` now.
    pub fn set_aside(&mut self, was: &[Share], is: &[Share]) -> Held {
        for share in was {
            self.of(share.of).open -= share.amount;
        }
        for share in is {
            self.of(share.of).open += share.amount;
        }
        is.iter().try_for_each(|share| self.check(share.of))
    }

    /// I2: what was billed and what is set aside fits into the limit under which it was handed out.
    pub fn check(&self, of: WindowOf) -> Held {
        if self.unbounded.contains(&of.0) || !self.meters.contains_key(&of.0) {
            return Ok(());
        }
        let Some(outside) = self.outside.get(&of) else { return Ok(()) };
        let sum = i128::from(outside.billed) + i128::from(outside.open) + i128::from(outside.dead);
        if sum > i128::from(outside.allowed) {
            let name = self.meters.get(&of.0).map(|terms| format!("{}/{} {:?}", terms.account, terms.name, terms.unit));
            let how = format!("meter {} window {} ({name:?}): {sum} > {} in {outside:?}", of.0, of.1, outside.allowed);
            return Err(broken("I2 limit", how));
        }
        Ok(())
    }

    /// A request has ended: `event` is what will be written of it. `slack`: by so much it may have used more
    /// than was set aside in a unit; `None`: by anything.
    pub fn settle(&mut self, shares: &[Share], event: &UsageEvent, slack: Option<&dyn Fn(&Share) -> i64>) -> Held {
        let mut charges = Vec::new();
        let cost = event.cost_nano.map_or(0, |cost| cost.0);
        for share in shares {
            let counted = share.model.as_deref().is_none_or(|only| only == event.model);
            let charge = match share.unit {
                Unit::Parallel => 0,
                Unit::Requests => 1,
                Unit::Usd => cost,
                Unit::Tokens if event.outcome == Outcome::Error => 0,
                Unit::Tokens => {
                    i64::try_from(event.tokens.prompt.saturating_add(event.tokens.completion)).unwrap_or(i64::MAX)
                }
            };
            let charge = if counted { charge.min(1 << 53) } else { 0 };
            let outside = self.of(share.of);
            outside.open -= share.amount;
            outside.billed += charge.min(share.amount);
            let overrun = (charge - share.amount).max(0);
            outside.overrun = outside.overrun.saturating_add(overrun);
            if share.amount > 0 && slack.is_some_and(|slack| overrun > slack(share)) {
                let how = format!("{overrun} of {share:?} by {}, from a provider that bills what it should", event.id);
                return Err(broken("I3 overrun", how));
            }
            charges.push((share.of, charge));
            self.check(share.of)?;
        }
        let id = event.id.to_string();
        if !self.ids.insert(id.clone()) {
            return Err(broken("I5 once", format!("{id} ended twice")));
        }
        self.ended.insert(id, Ended { charges, key: event.key_hash.to_string(), cost });
        Ok(())
    }

    /// The isolate died: what was set aside for its requests may have been used.
    pub fn died(&mut self, shares: &[Share]) {
        for share in shares {
            let outside = self.of(share.of);
            outside.open -= share.amount;
            if share.unit != Unit::Parallel {
                outside.dead += share.amount;
            }
        }
    }

    /// The account has given a silent session's places to others: requests of it that still run count
    /// no more.
    pub fn places_gone(&mut self, shares: &mut [Share]) {
        for share in shares.iter_mut().filter(|share| share.unit == Unit::Parallel) {
            self.outside.entry(share.of).or_default().open -= share.amount;
            share.amount = 0;
        }
    }

    /// A batch was made of these events. `totals`: what it says was used.
    pub fn make(
        &mut self,
        session: &str,
        seq: u64,
        events: &[UsageEvent],
        open: &[UsageEvent],
        totals: &[(WindowOf, i64)],
    ) -> Held {
        let mut made = Made { open: open.iter().map(|event| event.id.to_string()).collect(), ..Made::default() };
        let mut moved = BTreeMap::new();
        for event in events {
            let id = event.id.to_string();
            let Some(ended) = self.ended.remove(&id) else {
                return Err(broken("I5 once", format!("{id} is in a batch and had not ended, or was in one before")));
            };
            let cost = event.cost_nano.map_or(0, |cost| cost.0);
            if cost != ended.cost || event.key_hash.as_str() != ended.key {
                return Err(broken("I6 rows", format!("{id} says {cost} for {}, not {ended:?}", event.key_hash)));
            }
            for (of, charge) in ended.charges {
                *moved.entry(of).or_insert(0_i64) += charge;
            }
            made.events.push((id, ended.key, cost));
        }
        // What moves nothing is not in the batch's totals, and tells nothing of earlier ones.
        for (&of, &amount) in moved.iter().filter(|(_, amount)| **amount != 0) {
            let told = self.told.entry((session.to_owned(), of)).or_insert(0);
            *told = told.saturating_add(amount);
            made.used.push((of, *told));
        }
        // A total says what the events so far have used: no more, and no less where they are all told.
        for (of, used) in totals {
            let told = self.told.get(&(session.to_owned(), *of)).copied().unwrap_or(0);
            if *used != told && self.matters(*of) {
                let how = format!("batch {seq} of {session}: {used} used of {of:?}, its events so far used {told}");
                return Err(broken("I6 totals", how));
            }
            // Batches overtake each other: a total tells of earlier ones too.
            if !made.used.iter().any(|(known, _)| known == of) {
                made.used.push((*of, told));
            }
        }
        for (of, amount) in moved {
            if amount != 0 && self.matters(of) && !totals.iter().any(|(total, _)| *total == of) {
                return Err(broken(
                    "I6 totals",
                    format!("batch {seq} of {session} has {amount} charged to {of:?} and no total"),
                ));
            }
        }
        self.made.insert((session.to_owned(), seq), made);
        Ok(())
    }

    fn matters(&self, of: WindowOf) -> bool {
        self.meters.contains_key(&of.0) && self.latest.get(&of.0).is_none_or(|latest| of.1 >= *latest)
    }

    /// The account has taken a batch: true if it was new.
    pub fn take(&mut self, session: &str, seq: u64) -> bool {
        let name = (session.to_owned(), seq);
        if !self.taken.insert(name.clone()) {
            return false;
        }
        let Some(made) = self.made.get(&name).cloned() else { return false };
        for (of, used) in made.used {
            let known = self.reported.entry((session.to_owned(), of)).or_insert(0);
            let more = (used - *known).max(0);
            *known += more;
            let outside = self.of(of);
            outside.reported = outside.reported.saturating_add(more).min(1 << 53);
        }
        for id in made.open {
            self.recorded.entry(id).or_insert((String::new(), None));
        }
        for (id, key, cost) in made.events {
            let sum = self.by_key.entry(key.clone()).or_default();
            *sum = (sum.0.saturating_add(cost), sum.1 + 1);
            self.recorded.insert(id, (key, Some(cost)));
        }
        true
    }
}
