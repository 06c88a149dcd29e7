//! What this isolate has seen of endpoints lately: averages and outages.
//!
//! Averages are exponentially weighted (new observations count a fifth). An endpoint that failed in a
//! way that is its own fault stands behind the others for [`OUTAGE_MS`], doubling with each failure in
//! a row up to [`OUTAGE_MAX_MS`]; it is never left out altogether, so that recovery is noticed.

use std::collections::HashMap;

use crate::time::Millis;

/// How long one failure puts an endpoint behind the others (field: OpenRouter's 30 seconds).
pub const OUTAGE_MS: i64 = 30_000;
/// The longest time that failures in a row add up to.
pub const OUTAGE_MAX_MS: i64 = 300_000;

const NEW_COUNTS: f64 = 0.2;
/// The same for whether an attempt succeeded: single failures are outages, what counts here is their rate.
const NEW_OUTCOME_COUNTS: f64 = 0.05;
/// Models remembered: a bound on memory, far above what one isolate serves.
const CAPACITY: usize = 4096;

/// Averages and outage of one endpoint.
#[derive(Clone, Debug, Default)]
pub struct EndpointHealth {
    /// Milliseconds to the first content.
    pub ttft_ms: Option<f64>,
    /// Output tokens per second.
    pub throughput: Option<f64>,
    /// The part of its attempts that failed by its own fault, 0 to 1.
    pub failure_rate: f64,
    failures_in_row: u32,
    outage_until: Millis,
}

/// Health of all endpoints, by model id and tag.
#[derive(Debug, Default)]
pub struct Health(HashMap<String, HashMap<String, EndpointHealth>>);

impl Health {
    /// What is known of an endpoint.
    pub fn of(&self, model: &str, tag: &str) -> Option<&EndpointHealth> {
        self.0.get(model)?.get(tag)
    }

    /// An answer came through.
    pub fn succeeded(&mut self, model: &str, tag: &str, ttft_ms: Option<f64>, throughput: Option<f64>) {
        if let Some(entry) = self.entry(model, tag) {
            entry.failures_in_row = 0;
            entry.failure_rate -= NEW_OUTCOME_COUNTS * entry.failure_rate;
            entry.outage_until = Millis(0);
            entry.ttft_ms = average(entry.ttft_ms, ttft_ms);
            entry.throughput = average(entry.throughput, throughput);
        }
    }

    /// A failure that is the endpoint's own. `retry_after_s`: what the provider asked for.
    pub fn failed(&mut self, model: &str, tag: &str, now: Millis, retry_after_s: Option<u32>) {
        if let Some(entry) = self.entry(model, tag) {
            let asked = i64::from(retry_after_s.unwrap_or(0)) * 1000;
            let grown = OUTAGE_MS << entry.failures_in_row.min(8);
            entry.failures_in_row += 1;
            entry.failure_rate += NEW_OUTCOME_COUNTS * (1.0 - entry.failure_rate);
            entry.outage_until = now.plus(grown.max(asked).min(OUTAGE_MAX_MS));
        }
    }

    /// The entry; made where there is none. Looking up first spares the copies of both names.
    fn entry(&mut self, model: &str, tag: &str) -> Option<&mut EndpointHealth> {
        if !self.0.contains_key(model) {
            if self.0.len() >= CAPACITY {
                return None;
            }
            self.0.insert(model.to_owned(), HashMap::new());
        }
        let endpoints = self.0.get_mut(model)?;
        if !endpoints.contains_key(tag) {
            endpoints.insert(tag.to_owned(), EndpointHealth::default());
        }
        endpoints.get_mut(tag)
    }
}

impl EndpointHealth {
    /// Whether it stands behind the others now.
    pub fn in_outage(&self, now: Millis) -> bool {
        now < self.outage_until
    }
}

fn average(old: Option<f64>, new: Option<f64>) -> Option<f64> {
    match (old, new) {
        (Some(old), Some(new)) => Some(old + NEW_COUNTS * (new - old)),
        (old, new) => new.or(old),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_lengthen_the_outage_and_a_success_ends_it() {
        let mut health = Health::default();
        let now = Millis(1_000_000);
        let in_outage = |health: &Health, after: i64| health.of("m", "t").is_some_and(|h| h.in_outage(now.plus(after)));
        health.failed("m", "t", now, None);
        assert!(in_outage(&health, 29_999) && !in_outage(&health, 30_000));
        health.failed("m", "t", now, None);
        assert!(in_outage(&health, 59_999) && !in_outage(&health, 60_000));
        for _ in 0..40 {
            health.failed("m", "t", now, Some(4_000_000));
        }
        assert!(in_outage(&health, 299_999) && !in_outage(&health, 300_000));
        health.succeeded("m", "t", Some(100.0), None);
        assert!(!in_outage(&health, 0));
        health.succeeded("m", "t", Some(200.0), Some(50.0));
        let entry = health.of("m", "t").unwrap();
        assert_eq!((entry.ttft_ms, entry.throughput), (Some(120.0), Some(50.0)));
    }

    #[test]
    fn the_rate_of_failures_rises_and_falls_slowly() {
        let mut health = Health::default();
        let rate = |health: &Health| health.of("m", "t").map_or(0.0, |entry| entry.failure_rate);
        health.failed("m", "t", Millis(0), None);
        assert!((rate(&health) - 0.05).abs() < 1e-9);
        (0..200).for_each(|_| health.failed("m", "t", Millis(0), None));
        assert!((0.99..=1.0).contains(&rate(&health)));
        (0..200).for_each(|_| health.succeeded("m", "t", None, None));
        assert!((0.0..0.01).contains(&rate(&health)));
    }
}
