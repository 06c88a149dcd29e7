//! Step 7: what a request used, and what the account is told of it.

use std::collections::{BTreeMap, VecDeque};

use super::{
    Gateway,
    exchange::{Claiming, Exchange},
};
use crate::{
    budget::{
        holder::{Amounts, Holder, Used},
        wire::{self, Total},
    },
    catalog::{CostBreakdown, Endpoint},
    dialect::passing::ResponseFacts,
    error::ErrorKind,
    idempotency::{Claim, Finished},
    metering::{CommitReply, OPEN_AFTER_MS, Outcome, Source, UsageEvent},
    time::Millis,
};

/// A request that was served, or not: kept as it is until a batch is made of it. Its event is written
/// then, many in a row, and not while the client waits.
pub(super) struct Ended {
    pub exchange: Exchange,
    pub outcome: Outcome,
    pub status: u16,
    pub error: Option<ErrorKind>,
    pub facts: ResponseFacts,
    pub cost: Option<CostBreakdown>,
    pub used: Used,
    pub at: Millis,
}

/// Answers that are kept travel in one batch up to so many bytes; one more may begin below it.
const MAX_KEPT_BYTES: usize = 4 << 20;

impl Gateway {
    #[expect(clippy::too_many_arguments, reason = "one call per terminal path, each naming all facts")]
    pub(super) fn settle(
        &mut self,
        number: u32,
        outcome: Outcome,
        status: u16,
        error: Option<ErrorKind>,
        facts: ResponseFacts,
        cost: Option<CostBreakdown>,
        now: Millis,
    ) {
        let Some(mut exchange) = self.exchanges.remove(&number) else { return };
        let model = exchange.target().map_or_else(String::new, |target| target.model.model.id.clone());
        let tokens = facts.usage.tokens;
        if !facts.usage.estimated && outcome == Outcome::Ok {
            self.calibration.learn(&model, exchange.weight, tokens.prompt, tokens.completion);
        }
        if let Some(Claiming { wanted, answer }) = exchange.claim.take() {
            let seal = || wanted.seal(exchange.id.as_str(), exchange.stream, answer.as_deref());
            let kept = (outcome == Outcome::Ok).then(seal);
            let Claim { id, owner, .. } = wanted.claim;
            self.finished.push(Finished { id, owner, kept });
        }
        let served = outcome != Outcome::Error;
        let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let actual = Amounts {
            usd: cost.filter(|_| served).map_or(0, |cost| cost.total.0),
            tokens: if served { whole(tokens.prompt.saturating_add(tokens.completion)) } else { 0 },
        };
        let reservation = std::mem::take(&mut exchange.admitted.reservation);
        let used = self.known.holder.settle(reservation, actual, &model, true);
        if outcome != Outcome::Error {
            exchange.note_attempt(Some(200), None, now);
            let (ttft, throughput) = exchange.speeds(&facts, now);
            if let Some(target) = exchange.target() {
                let tag = target.endpoint().map_or("", Endpoint::tag);
                if outcome == Outcome::Broken {
                    self.health.failed(&target.model.model.id, tag, now, None);
                } else {
                    self.health.succeeded(&target.model.model.id, tag, ttft, throughput);
                }
            }
        }
        self.ended.push_back(Box::new(Ended { exchange, outcome, status, error, facts, cost, used, at: now }));
    }

    /// The next batch of usage events: its number and its JSON.
    pub fn take_batch(&mut self, now: Millis) -> Option<(u64, String)> {
        self.free_old_claims(now);
        let revision = self.known.revision(crate::DEFAULT_ORG);
        let holder = &mut self.known.holder;
        let finished = &mut self.finished;
        let mut source = Served { running: &mut self.exchanges, ended: &mut self.ended, holder, finished, now };
        self.commit.take(revision, &mut source, now)
    }

    /// Whether there will be something to tell the account: requests run that it does not know of, or
    /// slices are held that go back when the traffic has ended.
    pub fn untold(&self) -> bool {
        self.exchanges.values().any(|exchange| !exchange.told)
            || !self.finished.is_empty()
            || self.known.holder.lingers()
    }

    /// The account's answer to a batch sent at `asked`.
    pub fn batch_done(&mut self, seq: u64, reply: CommitReply, asked: Millis, now: Millis) {
        self.commit.done(seq, now);
        self.known.learn_account(crate::DEFAULT_ORG, reply, asked, now);
    }

    /// A batch was not taken, or nobody knows.
    pub fn batch_failed(&mut self, seq: u64, now: Millis) {
        self.commit.failed(seq, now);
    }
}

/// What the gateway has to tell its account.
pub(super) struct Served<'g> {
    pub running: &'g mut BTreeMap<u32, Exchange>,
    pub ended: &'g mut VecDeque<Box<Ended>>,
    pub holder: &'g mut Holder,
    pub finished: &'g mut Vec<Finished>,
    pub now: Millis,
}

impl Source for Served<'_> {
    fn next_open(&mut self) -> Option<UsageEvent> {
        let now = self.now;
        let exchange = self
            .running
            .values_mut()
            .find(|exchange| !exchange.told && now.since(exchange.started) >= OPEN_AFTER_MS)?;
        exchange.told = true;
        Some(exchange.event(Outcome::Lost, 0, None, &ResponseFacts::default(), None, now))
    }

    fn next_ended(&mut self) -> Option<(UsageEvent, bool)> {
        let Ended { exchange, outcome, status, error, facts, cost, used, at } = *self.ended.pop_front()?;
        self.holder.tell(&used);
        Some((exchange.event(outcome, status, error, &facts, cost, at), exchange.told))
    }

    fn any_open(&self) -> bool {
        self.running.values().any(|exchange| exchange.told)
    }

    fn money(&mut self) -> (Vec<Total>, wire::Ask) {
        self.holder.take(self.now)
    }

    fn finished(&mut self) -> Vec<Finished> {
        let size =
            |finished: &Finished| finished.kept.as_ref().and_then(|kept| kept.sealed.as_ref()).map_or(0, String::len);
        let mut bytes = 0;
        let fits = self.finished.iter().take_while(|finished| {
            let fits = bytes < MAX_KEPT_BYTES;
            bytes += size(finished);
            fits
        });
        let count = fits.count();
        self.finished.drain(..count).collect()
    }
}
