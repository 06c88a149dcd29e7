//! Sessions that repeat themselves: the same body again and again, as seen by this isolate.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::{budget::LoopDetection, time::Millis};

/// Sessions remembered; beyond it all are forgotten.
const CAPACITY: usize = 10_000;

/// When each session sent what, lately.
#[derive(Debug, Default)]
pub(super) struct Loops {
    sessions: HashMap<(String, u64), Vec<Millis>>,
}

impl Loops {
    /// Whether this request was sent by its session as often as is allowed already; if not, it counts.
    pub(super) fn repeats(&mut self, session: &str, body: &[u8], rule: LoopDetection, now: Millis) -> bool {
        if self.sessions.len() >= CAPACITY {
            self.sessions.clear();
        }
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let times = self.sessions.entry((session.to_owned(), hasher.finish())).or_default();
        times.retain(|at| now.since(*at) < i64::from(rule.window_s) * 1000);
        let repeats = times.len() >= usize::try_from(rule.repeats).unwrap_or(usize::MAX);
        if !repeats {
            times.push(now);
        }
        repeats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_request_of_a_session_is_refused_until_time_has_passed() {
        let (mut loops, rule) = (Loops::default(), LoopDetection { repeats: 2, window_s: 10 });
        let mut ask = |session, body: &str, at| loops.repeats(session, body.as_bytes(), rule, Millis(at));
        assert!(!ask("a", "x", 0) && !ask("a", "x", 1));
        assert!(ask("a", "x", 2) && !ask("a", "y", 2) && !ask("b", "x", 2));
        assert!(ask("a", "x", 9_999) && !ask("a", "x", 10_000));
    }
}
