//! `npm run sim`: many seeds on all cores, and the bugs that are planted to be found. Called by
//! scripts/sim.mjs; see docs/simulation.md.
//!
//! ```text
//! sim [--seeds N] [--steps S] [--seed K] [--bug B]   N seeds from K on, with that bug; the first that fails is shrunk and told
//! sim --past FILE                           the seeds of a file, `seed steps` a line
//! sim --bugs [--only A,B] [--seeds N] [--steps S]   every planted bug, until it is found
//! sim --hashes K,K,...  [--steps S]         the hashes of their traces
//! ```

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use sluice::planted::{Bug, switch};
use sluice_sim::{Broken, Coverage, Outcome, run};

const LINES: usize = 50;
/// What `--bug` names: planted in every run.
static PLANTED: OnceLock<Bug> = OnceLock::new();

fn main() -> ExitCode {
    // What panics is reported as what it is: an invariant that does not hold.
    std::panic::set_hook(Box::new(|_| {}));
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let number = |name: &str, default: u64| value(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let first = number("--seed", 1);
    let seeds = number("--seeds", if value("--seed").is_some() { 1 } else { 200 });
    if let Some((bug, _)) = value("--bug").and_then(|name| Bug::ALL.iter().find(|(bug, _)| format!("{bug:?}") == *name))
    {
        PLANTED.get_or_init(|| *bug);
    }
    let good = if args.iter().any(|arg| arg == "--bugs") {
        find_bugs(number("--seeds", 2_000), number("--steps", 8_000), value("--only").map(String::as_str))
    } else if let Some(file) = value("--past") {
        past(file)
    } else if let Some(list) = value("--hashes") {
        let steps = number("--steps", 2_000);
        if args.iter().any(|arg| arg == "--trace") {
            list.split(',')
                .filter_map(|seed| seed.parse().ok())
                .for_each(|seed| println!("{}", attempt(seed, steps, true).trace.join("\n")));
        }
        for seed in list.split(',').filter_map(|seed| seed.parse().ok()) {
            println!("{seed} {:016x}", attempt(seed, steps, false).hash);
        }
        true
    } else {
        many(first, seeds, number("--steps", 20_000), args.iter().any(|arg| arg == "--coverage"))
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A run; a panic in it is an invariant that does not hold.
fn attempt(seed: u64, steps: u64, tracing: bool) -> Outcome {
    if let Some(bug) = PLANTED.get() {
        switch(Some(*bug));
    }
    catch_unwind(AssertUnwindSafe(|| run(seed, steps, tracing))).unwrap_or_else(|panic| {
        let how = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let broken = Broken { invariant: "panic", how: how.unwrap_or_default() };
        Outcome { hash: 0, steps, requests: 0, coverage: Coverage::new(), broken: Some(broken), trace: Vec::new() }
    })
}

/// Calls `work` with every number below `count`, on all cores.
fn on_all_cores(count: u64, work: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let n = next.fetch_add(1, Ordering::Relaxed)
                    && n < count
                {
                    work(n);
                }
            });
        }
    });
}

#[expect(clippy::disallowed_methods, reason = "how long it took is told to people, and nothing depends on it")]
fn many(first: u64, seeds: u64, steps: u64, coverage: bool) -> bool {
    let begun = Instant::now();
    let (total, requests) = (AtomicU64::new(0), AtomicU64::new(0));
    let (met, failed) = (Mutex::new(Coverage::new()), Mutex::new(BTreeMap::new()));
    on_all_cores(seeds, |n| {
        let seed = first + n;
        let mut outcome = attempt(seed, steps, false);
        if seed.is_multiple_of(100) && outcome.broken.is_none() && attempt(seed, steps, false).hash != outcome.hash {
            outcome.broken = Some(Broken { invariant: "determinism", how: "two runs, two traces".to_owned() });
        }
        total.fetch_add(outcome.steps, Ordering::Relaxed);
        requests.fetch_add(outcome.requests, Ordering::Relaxed);
        let mut met = met.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (what, n) in outcome.coverage {
            *met.entry(what).or_insert(0) += n;
        }
        if let Some(broken) = outcome.broken {
            println!("seed {seed} step {}: {}: {:.200}", outcome.steps, broken.invariant, broken.how);
            failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(seed, outcome.steps);
        }
    });
    let (seconds, total, requests) = (begun.elapsed().as_secs_f64(), total.into_inner(), requests.into_inner());
    if coverage {
        for ((what, state), n) in met.into_inner().unwrap_or_default() {
            println!("{n:>12}  {what}: {state}");
        }
    }
    println!(
        "{seeds} seeds, {total} steps, {requests} requests in {seconds:.0} s: {:.1} seeds/s, {:.0} steps/s",
        seeds as f64 / seconds,
        total as f64 / seconds
    );
    let failed = failed.into_inner().unwrap_or_default();
    if let Some((seed, at)) = failed.first_key_value() {
        tell(*seed, steps.min(*at));
        println!("{} of {seeds} seeds failed: {:?}", failed.len(), failed.keys().collect::<Vec<_>>());
    }
    failed.is_empty()
}

/// Tells a seed that fails, with as few steps as make it fail.
fn tell(seed: u64, mut steps: u64) {
    for part in [2, 4, 8, 16] {
        while let less = steps - steps / part
            && less < steps
            && attempt(seed, less, false).broken.is_some()
        {
            steps = less;
        }
    }
    let told = attempt(seed, steps, true);
    for line in told.trace.iter().skip(told.trace.len().saturating_sub(LINES)) {
        println!("{line:.600}");
    }
    if let Some(broken) = told.broken {
        println!("seed {seed}, {steps} steps, at step {}: {}: {}", told.steps, broken.invariant, broken.how);
        println!("again: npm run sim -- --seed {seed} --steps {steps}");
    }
}

fn past(file: &str) -> bool {
    let Ok(text) = std::fs::read_to_string(file) else {
        println!("{file} cannot be read");
        return false;
    };
    let seeds: Vec<(u64, u64)> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split('#').next()?.split_whitespace().map(str::parse);
            Some((words.next()?.ok()?, words.next()?.ok()?))
        })
        .collect();
    let failed = AtomicUsize::new(0);
    on_all_cores(seeds.len() as u64, |n| {
        let (seed, steps) = seeds[n as usize];
        if let Some(broken) = attempt(seed, steps, false).broken {
            println!("seed {seed} {steps} steps: {}: {:.300}", broken.invariant, broken.how);
            failed.fetch_add(1, Ordering::Relaxed);
        }
    });
    println!("{} past seeds, {} fail", seeds.len(), failed.load(Ordering::Relaxed));
    failed.into_inner() == 0
}

/// Every planted bug, with the seeds that it took to find it and the invariant that it broke.
fn find_bugs(most: u64, steps: u64, only: Option<&str>) -> bool {
    let found = Mutex::new(BTreeMap::new());
    on_all_cores(Bug::ALL.len() as u64, |n| {
        let (bug, what) = Bug::ALL[n as usize];
        if only.is_some_and(|only| !only.split(',').any(|name| name == format!("{bug:?}"))) {
            return;
        }
        let by = (1..=most).find_map(|seed| {
            switch(Some(bug));
            let invariant = attempt(seed, steps, false).broken?.invariant;
            // Only what holds without the bug counts.
            switch(None);
            attempt(seed, steps, false).broken.is_none().then_some((seed, invariant))
        });
        switch(None);
        eprintln!("{bug:?}: {by:?}");
        found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(n, (bug, what, by));
    });
    let found = found.into_inner().unwrap_or_default();
    println!("| Planted | What it does | Seeds | Found by |\n|---|---|---:|---|");
    for (bug, what, by) in found.values() {
        match by {
            Some((seeds, invariant)) => println!("| `{bug:?}` | {what} | {seeds} | {invariant} |"),
            None => println!("| `{bug:?}` | {what} | - | **not found in {most}** |"),
        }
    }
    let missed = found.values().filter(|(_, _, by)| by.is_none()).count();
    println!("\n{} of {} planted bugs found", found.len() - missed, found.len());
    missed == 0
}
