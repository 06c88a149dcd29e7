//! A deterministic simulation of everything that holds money and limits: the real gateway, the real
//! account over SQLite, the real consumer of the queue, in a world that loses, doubles and delays
//! messages, kills isolates, and moves clocks (docs/simulation.md).
//!
//! One seed is one world and one order of events. [`run`] checks after every step what must hold
//! always, and at the end, when faults have stopped, what must hold in the end.

mod admin;
mod draw;
mod faults;
mod isolate;
mod oracle;
mod provider;
mod rest;
mod store;
mod terms;
#[cfg(target_arch = "wasm32")]
mod wasm;
mod world;

pub use oracle::Broken;
pub use world::Coverage;

use world::World;

/// How a run went.
pub struct Outcome {
    /// The trace, as one number.
    pub hash: u64,
    /// Steps made.
    pub steps: u64,
    /// Requests made.
    pub requests: u64,
    /// What it has met.
    pub coverage: Coverage,
    /// The invariant that does not hold.
    pub broken: Option<Broken>,
    /// The last lines of the trace, where it was wanted.
    pub trace: Vec<String>,
}

/// Runs the world of a seed for so many steps, then lets it come to rest.
pub fn run(seed: u64, steps: u64, tracing: bool) -> Outcome {
    let mut world = World::new(seed, tracing);
    let held = live(&mut world, steps).and_then(|()| world.rest());
    Outcome {
        hash: world.hash,
        steps: world.steps,
        requests: world.requests,
        coverage: std::mem::take(&mut world.cover),
        broken: held.err(),
        trace: world.trace.take().map(Vec::from).unwrap_or_default(),
    }
}

fn live(world: &mut World, steps: u64) -> oracle::Held {
    while world.steps < steps {
        if !world.step(i64::MAX)? {
            break;
        }
    }
    world.check_tables()
}

#[cfg(test)]
mod tests {
    use sluice::planted::{Bug, switch};

    use super::run;

    #[test]
    fn what_must_hold_holds_and_the_same_seed_goes_the_same_way() {
        for seed in 1..=12 {
            let outcome = run(seed, 1_000, false);
            assert!(outcome.broken.is_none(), "seed {seed}: {:?}", outcome.broken);
            assert_eq!(outcome.hash, run(seed, 1_000, true).hash);
        }
    }

    #[test]
    fn bugs_are_found() {
        for bug in [Bug::NoDedup, Bug::TotalsAdded, Bug::NeverFree, Bug::CursorStays] {
            switch(Some(bug));
            let found = (1..=20).any(|seed| run(seed, 1_000, false).broken.is_some());
            switch(None);
            assert!(found, "{bug:?}");
        }
    }
}
