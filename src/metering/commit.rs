//! Group commit: what leaves an isolate for the `Account` object.
//!
//! Nothing in flight: what there is goes at once. Something in flight: what comes meanwhile gathers
//! and goes when it returns. So idle traffic is written at once, busy traffic in batches, and nothing
//! waits for a timer. The object's answer carries the account's revision and what changed, which is
//! what keeps the isolate's copies of keys valid (`known`).
//!
//! Batches are numbered within a session (one isolate's life). The object answers a repeated number
//! with no effect, so a batch whose answer was lost is simply sent again.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::UsageEvent;
use crate::{
    auth::{KeyHash, KeyRecord},
    ids::GenerationId,
    money::NanoUsd,
    time::Millis,
};

/// Most bytes of events in one batch: a batch becomes one queue message (limit 128 KB).
pub const MAX_BATCH_BYTES: usize = 90_000;
/// A running generation younger than this is not written down: most end before.
pub const OPEN_AFTER_MS: i64 = 50;
/// A session with running generations reports at least so often.
pub const ALIVE_EVERY_MS: i64 = 15_000;
/// A batch that is on its way for longer than this is sent again.
const RESEND_AFTER_MS: i64 = 5_000;
/// Sending has failed for longer than this: serve no more (fail closed).
const BLOCK_AFTER_MS: i64 = 10_000;
/// More unsent events than this: serve no more. About 10 MB.
const BLOCK_EVENTS: usize = 10_000;
/// Running generations written down in one batch.
const MAX_OPEN: usize = 50;

/// What the isolate sends.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CommitRequest {
    /// The isolate's life.
    pub session: String,
    /// Number of the batch in it; 0 asks only and changes nothing.
    pub seq: u64,
    /// The account's revision that the isolate knows.
    pub since: u64,
    /// Records wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyHash>,
    /// Generations that have been running for a while, each as the event it would be if nothing more
    /// were heard of it ([`super::Outcome::Lost`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<UsageEvent>,
    /// Generations among `events` that were `open` before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<GenerationId>,
    /// What `events` add to each key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub usage: Vec<KeyUsage>,
    /// Generations that have ended: an array of usage events, which the object passes on unread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Box<RawValue>>,
}

/// What a batch adds to a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyUsage {
    /// The key.
    pub hash: KeyHash,
    /// Its spend.
    pub nano: NanoUsd,
    /// Its generations.
    pub requests: u64,
    /// When the last of them began.
    pub at: Millis,
}

/// What the object answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CommitReply {
    /// The account's revision.
    pub revision: u64,
    /// Keys changed since the revision asked with, with the revision of the change; `None`: too many
    /// to say, treat all as changed.
    pub changes: Option<Vec<(KeyHash, u64)>>,
    /// The records wanted; `None` for a key there is not.
    #[serde(default, skip_serializing_if = "HashMap::is_empty")]
    pub keys: HashMap<KeyHash, Option<KeyRecord>>,
}

#[derive(Debug)]
struct Ended {
    id: GenerationId,
    was_open: bool,
    usage: KeyUsage,
    json: String,
}

#[derive(Debug)]
struct Running {
    event: UsageEvent,
    told: bool,
}

#[derive(Debug)]
struct Sent {
    json: String,
    at: Millis,
}

/// The isolate's side.
#[derive(Debug)]
pub struct Commit {
    session: String,
    next_seq: u64,
    ended: VecDeque<Ended>,
    running: BTreeMap<GenerationId, Running>,
    in_flight: BTreeMap<u64, Sent>,
    last_sent: Millis,
    failing_since: Option<Millis>,
}

impl Commit {
    /// Of a new isolate.
    pub fn new(session: String) -> Self {
        Self {
            session,
            next_seq: 1,
            ended: VecDeque::new(),
            running: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            last_sent: Millis(0),
            failing_since: None,
        }
    }

    /// A generation begins: `event` is what to record if nothing more is heard of it.
    pub fn begin(&mut self, event: UsageEvent) {
        self.running.insert(event.id.clone(), Running { event, told: false });
    }

    /// A generation has ended, one way or another.
    pub fn settle(&mut self, event: &UsageEvent) {
        let was_open = self.running.remove(&event.id).is_some_and(|running| running.told);
        let usage = KeyUsage {
            hash: event.key_hash.clone(),
            nano: event.cost_nano.unwrap_or_default(),
            requests: 1,
            at: event.created_at,
        };
        let json = serde_json::to_string(event).unwrap_or_default();
        self.ended.push_back(Ended { id: event.id.clone(), was_open, usage, json });
    }

    /// Serving on would lose records: the account takes none, or not fast enough.
    pub fn blocked(&self, now: Millis) -> bool {
        self.ended.len() > BLOCK_EVENTS || self.failing_since.is_some_and(|since| now.since(since) > BLOCK_AFTER_MS)
    }

    /// The next batch to send, numbered, as JSON of a [`CommitRequest`]; `None` when there is nothing to
    /// say. `revision` is the account's as the isolate knows it. Running generations of at least
    /// `open_after_ms` are written down.
    pub fn take(&mut self, revision: u64, open_after_ms: i64, now: Millis) -> Option<(u64, String)> {
        if let Some((&seq, sent)) = self.in_flight.iter_mut().find(|(_, sent)| now.since(sent.at) >= RESEND_AFTER_MS) {
            sent.at = now;
            return Some((seq, sent.json.clone()));
        }
        let mut request = CommitRequest { session: self.session.clone(), since: revision, ..CommitRequest::default() };
        let mut any_told = false;
        for running in self.running.values_mut() {
            if !running.told && request.open.len() < MAX_OPEN && now.since(running.event.created_at) >= open_after_ms {
                running.told = true;
                request.open.push(running.event.clone());
            }
            any_told |= running.told;
        }
        let silent = any_told && now.since(self.last_sent) >= ALIVE_EVERY_MS;
        if request.open.is_empty() && self.ended.is_empty() && !silent {
            return None;
        }
        let mut events = String::from("[");
        while let Some(next) = self.ended.front() {
            if events.len() > 1 && events.len() + next.json.len() > MAX_BATCH_BYTES {
                break;
            }
            if events.len() > 1 {
                events.push(',');
            }
            events.push_str(&next.json);
            if next.was_open {
                request.closed.push(next.id.clone());
            }
            match request.usage.iter_mut().find(|usage| usage.hash == next.usage.hash) {
                Some(usage) => {
                    usage.nano = usage.nano.plus(next.usage.nano);
                    usage.requests += 1;
                    usage.at = usage.at.max(next.usage.at);
                }
                None => request.usage.push(next.usage.clone()),
            }
            self.ended.pop_front();
        }
        if events.len() > 1 {
            events.push(']');
            request.events = RawValue::from_string(events).ok();
        }
        request.seq = self.next_seq;
        self.next_seq += 1;
        self.last_sent = now;
        let json = serde_json::to_string(&request).unwrap_or_default();
        self.in_flight.insert(request.seq, Sent { json: json.clone(), at: now });
        Some((request.seq, json))
    }

    /// The object has taken a batch.
    pub fn done(&mut self, seq: u64) {
        self.in_flight.remove(&seq);
        self.failing_since = None;
    }

    /// Nobody knows whether the object has taken a batch: the next [`Commit::take`] sends it again.
    pub fn failed(&mut self, seq: u64, now: Millis) {
        if let Some(sent) = self.in_flight.get_mut(&seq) {
            sent.at = Millis(0);
        }
        self.failing_since.get_or_insert(now);
    }

    /// The isolate's life.
    pub fn session(&self) -> &str {
        &self.session
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metering::event::tests::event;

    fn sent(batch: Option<(u64, String)>) -> CommitRequest {
        serde_json::from_str(&batch.expect("a batch").1).unwrap()
    }

    fn ids(request: &CommitRequest) -> Vec<String> {
        let events: Vec<UsageEvent> = request.events.as_ref().map(|raw| serde_json::from_str(raw.get()).unwrap()).unwrap_or_default();
        events.iter().map(|event| event.id.to_string()).collect()
    }

    #[test]
    fn what_comes_while_a_batch_is_under_way_goes_with_the_next() {
        let mut commit = Commit::new("s".to_owned());
        assert!(commit.take(0, OPEN_AFTER_MS, Millis(0)).is_none());
        commit.settle(&event(1));
        let first = sent(commit.take(7, OPEN_AFTER_MS, Millis(0)));
        assert_eq!((first.seq, first.since, ids(&first).len()), (1, 7, 1));
        commit.settle(&event(2));
        commit.settle(&event(3));
        let second = sent(commit.take(7, OPEN_AFTER_MS, Millis(1)));
        assert_eq!((second.seq, ids(&second)), (2, vec!["gen-2".to_owned(), "gen-3".to_owned()]));
        assert_eq!((second.usage[0].requests, second.usage[0].nano), (2, NanoUsd(20)));
        assert!(commit.take(7, OPEN_AFTER_MS, Millis(2)).is_none());
    }

    #[test]
    fn a_failed_batch_is_sent_again_unchanged_until_it_is_taken() {
        let mut commit = Commit::new("s".to_owned());
        commit.settle(&event(1));
        let first = commit.take(0, OPEN_AFTER_MS, Millis(100_000)).unwrap();
        commit.failed(first.0, Millis(100_001));
        commit.settle(&event(2));
        assert_eq!(commit.take(0, OPEN_AFTER_MS, Millis(100_002)).unwrap(), first);
        assert!(!commit.blocked(Millis(110_001)) && commit.blocked(Millis(110_002)));
        commit.done(first.0);
        assert!(!commit.blocked(Millis(200_000)));
        assert_eq!(ids(&sent(commit.take(0, OPEN_AFTER_MS, Millis(100_003)))), ["gen-2"]);
        // The answer to that one never comes.
        assert!(commit.take(0, OPEN_AFTER_MS, Millis(105_002)).is_none());
        assert_eq!(ids(&sent(commit.take(0, OPEN_AFTER_MS, Millis(105_003)))), ["gen-2"]);
    }

    #[test]
    fn only_long_generations_are_written_down_while_they_run() {
        let mut commit = Commit::new("s".to_owned());
        let begun = UsageEvent { created_at: Millis(1_000), ..event(1) };
        commit.begin(begun.clone());
        assert!(commit.take(0, OPEN_AFTER_MS, Millis(1_049)).is_none());
        let request = sent(commit.take(0, OPEN_AFTER_MS, Millis(1_050)));
        assert_eq!(request.open, [begun.clone()]);
        commit.done(request.seq);
        assert!(commit.take(0, OPEN_AFTER_MS, Millis(16_049)).is_none());
        let alive = sent(commit.take(0, OPEN_AFTER_MS, Millis(16_050)));
        assert!(alive.open.is_empty() && alive.events.is_none() && alive.seq == 2);
        commit.done(alive.seq);
        commit.settle(&begun);
        assert_eq!(sent(commit.take(0, OPEN_AFTER_MS, Millis(16_051))).closed.len(), 1);
    }

    #[test]
    fn batches_fit_into_a_queue_message() {
        let mut commit = Commit::new("s".to_owned());
        for n in 0..500 {
            commit.settle(&event(n));
        }
        let mut seen = 0;
        while let Some((seq, json)) = commit.take(0, OPEN_AFTER_MS, Millis(1)) {
            assert!(json.len() < 128_000);
            seen += ids(&serde_json::from_str(&json).unwrap()).len();
            commit.done(seq);
        }
        assert_eq!(seen, 500);
    }
}
