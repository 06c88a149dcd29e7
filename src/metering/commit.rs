//! Group commit: what leaves an isolate for the `Account` object.
//!
//! Nothing in flight: what there is goes at once. Something in flight: what comes meanwhile gathers
//! and goes with the next batch. Idle traffic is written at once, busy traffic in batches; nobody waits
//! for either (docs/decisions/0003). The object's answer carries the account's revision and what
//! changed, which is what keeps the isolate's copies of keys valid (`known`).
//!
//! Batches are numbered within a session (one isolate's life). The object answers a repeated number
//! with no effect, so a batch whose answer was lost is simply sent again.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::UsageEvent;
use crate::{
    auth::{KeyHash, KeyRecord},
    budget::wire::{Ask, Told, Total},
    idempotency::{Claim, Claimed, Finished},
    ids::GenerationId,
    money::NanoUsd,
    time::Millis,
};

/// Most bytes of events in one batch: a batch becomes one queue message (limit 128 KB).
pub const MAX_BATCH_BYTES: usize = 90_000;
/// Room kept for one more event: every text in it that a client chooses is bounded.
const MAX_EVENT_BYTES: usize = 8_000;
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
/// Who was not answered for longer than this begins a new life. Far less than the account remembers.
const OLD_AFTER_MS: i64 = 6 * 3_600_000;
/// Running generations written down in one batch.
const MAX_OPEN: usize = 50;

/// What the isolate sends.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CommitRequest {
    /// The isolate's life.
    pub session: String,
    /// Number of the batch in it; 0 asks only and changes nothing.
    pub seq: u64,
    /// Every batch with a lower number is known to be taken.
    #[serde(default)]
    pub below: u64,
    /// The account's revision that the isolate knows.
    pub since: u64,
    /// Records wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyHash>,
    /// Keys whose accounts' meters are wanted: the key's own, its workspace's and its organization's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charged: Vec<KeyHash>,
    /// Meters and slices wanted.
    #[serde(default, skip_serializing_if = "Ask::is_empty")]
    pub ask: Ask,
    /// Requests that are to be answered once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Claim>,
    /// Those that have ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finished: Vec<Finished>,
    /// What the session has used of meters, `events` included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub totals: Vec<Total>,
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
    /// Its workspace then.
    pub workspace: String,
    /// Who served it.
    pub provider: String,
    /// What it is charged.
    pub nano: NanoUsd,
    /// What the provider is owed.
    pub provider_nano: NanoUsd,
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
    /// What has changed since the revision asked with, with the revision of the change: hashes of keys,
    /// and accounts (`kind:id`). `None`: too many to say, treat all as changed.
    pub changes: Option<Vec<(String, u64)>>,
    /// The records wanted; `None` for a key there is not.
    #[serde(default, skip_serializing_if = "HashMap::is_empty")]
    pub keys: HashMap<KeyHash, Option<KeyRecord>>,
    /// About meters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    /// What became of claims, by their owner.
    #[serde(default, skip_serializing_if = "HashMap::is_empty")]
    pub claims: HashMap<String, Claimed>,
}

#[derive(Debug)]
struct Sent {
    json: String,
    at: Millis,
}

/// What a batch is made of: asked for one by one, until nothing is left or the batch is full.
pub trait Source {
    /// A generation that has been running for a while, as the event it would be if nothing more were
    /// heard of it; each once.
    fn next_open(&mut self) -> Option<UsageEvent>;
    /// A generation that has ended; the flag says whether it was given as open before.
    fn next_ended(&mut self) -> Option<(UsageEvent, bool)>;
    /// Whether generations run that were given as open.
    fn any_open(&self) -> bool;
    /// What has been used of meters, the generations given so far included, and slices wanted.
    fn money(&mut self) -> (Vec<Total>, Ask);
    /// Claims that have ended.
    fn finished(&mut self) -> Vec<Finished>;
}

/// The isolate's side: numbers, and what is under way.
#[derive(Debug)]
pub struct Commit {
    session: String,
    next_seq: u64,
    in_flight: BTreeMap<u64, Sent>,
    last_sent: Millis,
    failing_since: Option<Millis>,
    heard: Option<Millis>,
}

impl Commit {
    /// Of a new isolate.
    pub fn new(session: String) -> Self {
        Self {
            session,
            next_seq: 1,
            in_flight: BTreeMap::new(),
            last_sent: Millis(0),
            failing_since: None,
            heard: None,
        }
    }

    /// Serving on would lose records: the account takes none, or not fast enough.
    pub fn blocked(&self, waiting: usize, now: Millis) -> bool {
        waiting > BLOCK_EVENTS || self.failing_since.is_some_and(|since| now.since(since) > BLOCK_AFTER_MS)
    }

    /// The next batch to send, numbered, as JSON of a [`CommitRequest`]; `None` when there is nothing to
    /// say. `revision` is the account's as the isolate knows it.
    pub fn take(&mut self, revision: u64, source: &mut dyn Source, now: Millis) -> Option<(u64, String)> {
        if let Some((&seq, sent)) = self.in_flight.iter_mut().find(|(_, sent)| now.since(sent.at) >= RESEND_AFTER_MS) {
            sent.at = now;
            let json = plant!(
                NewNumber,
                sent.json.clone(),
                sent.json.replacen(&format!("\"seq\":{seq},"), &format!("\"seq\":{},", seq + 1_000_000), 1)
            );
            return Some((seq, json));
        }
        let (mut open, mut closed, mut usage) = (String::new(), Vec::new(), Vec::new());
        for event in std::iter::from_fn(|| source.next_open()).take(MAX_OPEN) {
            append(&mut open, &event);
        }
        let mut events = String::new();
        while events.len() < MAX_BATCH_BYTES - MAX_EVENT_BYTES
            && let Some((event, was_open)) = source.next_ended()
        {
            append(&mut events, &event);
            add(&mut usage, &event);
            if was_open {
                closed.push(event.id);
            }
        }
        let (totals, ask) = source.money();
        let finished = source.finished();
        let silent = plant!(NeverAlive, source.any_open(), false) && now.since(self.last_sent) >= ALIVE_EVERY_MS;
        let nothing = [open.is_empty(), events.is_empty(), totals.is_empty(), ask.is_empty(), finished.is_empty()];
        if !nothing.contains(&false) && !silent {
            return None;
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        self.last_sent = now;
        let below = self.in_flight.keys().next().copied().unwrap_or(seq);
        let mut text =
            format!("{{\"session\":\"{}\",\"seq\":{seq},\"below\":{below},\"since\":{revision}", self.session);
        for (member, value) in [
            ("ask", json(&ask)),
            ("totals", json(&totals)),
            ("finished", json(&finished)),
            ("open", format!("[{open}]")),
            ("closed", json(&closed)),
            ("usage", json(&usage)),
            ("events", format!("[{events}]")),
        ] {
            if !matches!(&*value, "[]" | "{}") {
                text.extend([",\"", member, "\":", &value]);
            }
        }
        text.push('}');
        self.in_flight.insert(seq, Sent { json: text.clone(), at: now });
        Some((seq, text))
    }

    /// The object has taken a batch.
    pub fn done(&mut self, seq: u64, now: Millis) {
        plant!(
            AllDone,
            {
                self.in_flight.remove(&seq);
            },
            self.in_flight.clear()
        );
        plant!(BlockedForEver, self.failing_since = None, ());
        self.heard = Some(now);
    }

    /// Nothing is under way, and the account has not heard of this life for long.
    pub fn is_old(&self, now: Millis) -> bool {
        plant!(NeverOld, self.in_flight.is_empty(), false)
            && self.heard.is_some_and(|heard| now.since(heard) >= OLD_AFTER_MS)
    }

    /// Nobody knows whether the object has taken a batch: the next [`Commit::take`] sends it again.
    pub fn failed(&mut self, seq: u64, now: Millis) {
        // Another copy of it may have been taken meanwhile.
        if let Some(sent) = self.in_flight.get_mut(&seq) {
            sent.at = Millis(0);
            self.failing_since.get_or_insert(now);
        }
        plant!(GivenUp => {
            self.in_flight.remove(&seq);
        });
    }

    /// The isolate's life.
    pub fn session(&self) -> &str {
        &self.session
    }
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Appends to a list in the making.
fn append(list: &mut String, event: &UsageEvent) {
    if !list.is_empty() {
        list.push(',');
    }
    list.push_str(&json(event));
}

/// Adds an event to what its key has used.
fn add(usage: &mut Vec<KeyUsage>, event: &UsageEvent) {
    let nano = event.cost_nano.unwrap_or_default();
    let provider_nano = event.provider_cost_nano.or(event.cost_nano).unwrap_or_default();
    let same = |usage: &&mut KeyUsage| {
        plant!(FirstKeyPays, usage.hash == event.key_hash, true)
            && usage.provider == event.provider
            && usage.workspace == event.workspace_id
    };
    match usage.iter_mut().find(same) {
        Some(usage) => {
            usage.nano = usage.nano.plus(nano);
            usage.provider_nano = usage.provider_nano.plus(provider_nano);
            usage.requests += 1;
            usage.at = usage.at.max(event.created_at);
        }
        None => usage.push(KeyUsage {
            hash: event.key_hash.clone(),
            workspace: event.workspace_id.clone(),
            provider: event.provider.clone(),
            nano,
            provider_nano,
            requests: 1,
            at: event.created_at,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{budget::MeterId, metering::event::tests::event};
    use std::collections::VecDeque;

    #[derive(Default)]
    struct Queue {
        open: VecDeque<UsageEvent>,
        ended: VecDeque<(UsageEvent, bool)>,
        running: bool,
        totals: Vec<Total>,
    }

    impl Source for Queue {
        fn next_open(&mut self) -> Option<UsageEvent> {
            self.open.pop_front()
        }
        fn next_ended(&mut self) -> Option<(UsageEvent, bool)> {
            self.ended.pop_front()
        }
        fn any_open(&self) -> bool {
            self.running
        }
        fn money(&mut self) -> (Vec<Total>, Ask) {
            (std::mem::take(&mut self.totals), Ask::default())
        }
        fn finished(&mut self) -> Vec<Finished> {
            Vec::new()
        }
    }

    fn sent(batch: Option<(u64, String)>) -> CommitRequest {
        serde_json::from_str(&batch.expect("a batch").1).unwrap()
    }

    fn ids(request: &CommitRequest) -> Vec<String> {
        let events: Vec<UsageEvent> =
            request.events.as_ref().map(|raw| serde_json::from_str(raw.get()).unwrap()).unwrap_or_default();
        events.iter().map(|event| event.id.to_string()).collect()
    }

    #[test]
    fn what_comes_while_a_batch_is_under_way_goes_with_the_next() {
        let (mut commit, mut queue) = (Commit::new("s".to_owned()), Queue::default());
        assert!(commit.take(0, &mut queue, Millis(0)).is_none());
        queue.ended.push_back((event(1), false));
        let first = sent(commit.take(7, &mut queue, Millis(0)));
        assert_eq!((first.seq, first.since, ids(&first).len()), (1, 7, 1));
        queue.ended.extend([(event(2), false), (event(3), true)]);
        let second = sent(commit.take(7, &mut queue, Millis(1)));
        assert_eq!((second.seq, ids(&second)), (2, vec!["gen-2".to_owned(), "gen-3".to_owned()]));
        assert_eq!((second.usage[0].requests, second.usage[0].nano), (2, NanoUsd(20)));
        assert_eq!(second.closed, [event(3).id]);
        assert!(commit.take(7, &mut queue, Millis(2)).is_none());
    }

    #[test]
    fn a_failed_batch_is_sent_again_unchanged_until_it_is_taken() {
        let (mut commit, mut queue) = (Commit::new("s".to_owned()), Queue::default());
        queue.ended.push_back((event(1), false));
        let first = commit.take(0, &mut queue, Millis(100_000)).unwrap();
        commit.failed(first.0, Millis(100_001));
        queue.ended.push_back((event(2), false));
        assert_eq!(commit.take(0, &mut queue, Millis(100_002)).unwrap(), first);
        assert!(!commit.blocked(0, Millis(110_001)) && commit.blocked(0, Millis(110_002)));
        commit.done(first.0, Millis(110_003));
        assert!(!commit.blocked(0, Millis(200_000)) && commit.blocked(BLOCK_EVENTS + 1, Millis(200_000)));
        assert_eq!(ids(&sent(commit.take(0, &mut queue, Millis(100_003)))), ["gen-2"]);
        // The answer to that one never comes.
        assert!(commit.take(0, &mut queue, Millis(105_002)).is_none());
        assert_eq!(ids(&sent(commit.take(0, &mut queue, Millis(105_003)))), ["gen-2"]);
    }

    #[test]
    fn a_session_with_running_generations_reports_now_and_then() {
        let (mut commit, mut queue) = (Commit::new("s".to_owned()), Queue::default());
        queue.open.push_back(event(1));
        queue.running = true;
        let request = sent(commit.take(0, &mut queue, Millis(20_000)));
        assert_eq!(request.open, [event(1)]);
        commit.done(request.seq, Millis(20_001));
        assert!(commit.take(0, &mut queue, Millis(34_999)).is_none());
        let alive = sent(commit.take(0, &mut queue, Millis(35_000)));
        assert!(alive.open.is_empty() && ids(&alive).is_empty() && alive.seq == 2);
    }

    #[test]
    fn what_was_used_of_meters_goes_along_or_alone() {
        let (mut commit, mut queue) = (Commit::new("s".to_owned()), Queue::default());
        let total = Total { meter: MeterId(1), window: 1, used: 5, returned: 2 };
        queue.totals.push(total);
        assert_eq!(sent(commit.take(0, &mut queue, Millis(1))).totals, [total]);
        assert!(commit.take(0, &mut queue, Millis(2)).is_none());
    }

    #[test]
    fn batches_fit_into_a_queue_message() {
        let (mut commit, mut queue) = (Commit::new("s".to_owned()), Queue::default());
        queue.ended.extend((0..500).map(|n| (event(n), false)));
        let mut seen = 0;
        while let Some((seq, json)) = commit.take(0, &mut queue, Millis(1)) {
            assert!(json.len() < 128_000);
            seen += ids(&serde_json::from_str(&json).unwrap()).len();
            commit.done(seq, Millis(1));
        }
        assert_eq!(seen, 500);
    }
}
