//! The same simulation for a host that runs wasm (scripts/sim/wasm.mjs).

use wasm_bindgen::prelude::wasm_bindgen;

/// The hash of a seed's trace, or the invariant that does not hold.
#[wasm_bindgen]
pub fn simulate(seed: f64, steps: f64) -> String {
    let outcome = crate::run(seed as u64, steps as u64, false);
    match outcome.broken {
        None => format!("{:016x}", outcome.hash),
        Some(broken) => format!("{} {}", broken.invariant, broken.how),
    }
}

/// The last lines of a seed's trace.
#[wasm_bindgen]
pub fn trace(seed: f64, steps: f64) -> String {
    crate::run(seed as u64, steps as u64, true).trace.join("\n")
}
