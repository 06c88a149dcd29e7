//! Step 6: the provider's answer on its way to the client, and what a failure means.

use super::{
    Gateway,
    effects::{Effect, Progress},
    exchange::Cut,
    refusals::{gone, reply},
};
use crate::{
    auth::KeyKind,
    budget::{holder::Standing, wire},
    catalog::Endpoint,
    chat::ProviderError,
    dialect::passing::{ResponseFacts, StreamEnd},
    error::{Error, ErrorKind},
    formats::{self, Relay},
    framing::edit::apply,
    known::{Ask, Lookup},
    metering::Outcome,
    routing::fallback::{Cause, MAX_ATTEMPTS},
    time::Millis,
};

impl Gateway {
    /// A whole body has come: the answer of a request that is no stream, or any that is no success.
    pub fn answered(
        &mut self,
        number: u32,
        status: u16,
        retry_after_s: Option<u32>,
        body: &[u8],
        now: Millis,
    ) -> Effect {
        let Some(exchange) = self.exchanges.get(&number) else { return gone() };
        let wire = exchange.wire;
        if status != 200 {
            let error = formats::read_error(wire, status, body);
            let retry_after_s = retry_after_s.or_else(|| formats::retry_after_s(wire, body));
            // A token that is refused is not used again.
            if status == 401
                && let Some(target) = exchange.target()
            {
                self.wallet.forget(&target.provider.row.slug);
            }
            return self.failed_with(number, Cause::Status(status), &error, retry_after_s, now);
        }
        if exchange.stream {
            // A stream was asked for and something else came; an error in it is the likely reason.
            let error = formats::read_error(wire, status, body);
            let cause = if error.message.is_some() { Cause::ErrorInBody(error.status) } else { Cause::Malformed };
            return self.failed_with(number, cause, &error, retry_after_s, now);
        }
        match exchange.read_answer(body, now) {
            Err((cause, error)) => self.failed_with(number, cause, &error, retry_after_s, now),
            Ok(answer) => {
                if let Some(claim) = self.exchanges.get_mut(&number).and_then(|exchange| exchange.claim.as_mut()) {
                    match &answer.body {
                        Ok(edits) => claim.keep(&apply(body, edits)),
                        Err(written) => claim.keep(written),
                    }
                }
                self.settle(number, Outcome::Ok, 200, None, answer.facts, answer.cost, now);
                match answer.body {
                    Ok(edits) => Effect::Answer(edits),
                    Err(written) => Effect::Written(written),
                }
            }
        }
    }

    /// The provider could not be reached, or not in time; or the request was stopped while it waited.
    pub fn failed(&mut self, number: u32, timed_out: bool, now: Millis) -> Effect {
        let stopped = self.exchanges.get(&number).is_some_and(|exchange| exchange.cut == Some(Cut::Stopped));
        let cause = match (stopped, timed_out) {
            (true, _) => Cause::Stopped,
            (false, true) => Cause::Timeout,
            (false, false) => Cause::Connection,
        };
        self.failed_with(number, cause, &ProviderError::default(), None, now)
    }

    /// A chunk of a stream. Bytes for the client go to `out`; the answer says how it stands.
    pub fn chunk(&mut self, number: u32, chunk: &[u8], now: Millis, out: &mut Vec<u8>) -> Progress {
        let Some(exchange) = self.exchanges.get_mut(&number) else { return Progress::Ended };
        let Some(relay) = exchange.relay.as_mut() else { return Progress::Ended };
        let before = out.len();
        relay.push(chunk, now, out);
        if let Some(claim) = &mut exchange.claim {
            claim.keep(if relay.is_native() { chunk } else { out.get(before..).unwrap_or_default() });
        }
        if relay.failure().is_some() || relay.is_done() {
            // Done without any content is an answer too: an empty one.
            return if relay.first_content_at().is_none() && relay.failure().is_some() {
                Progress::Failed
            } else {
                Progress::Ended
            };
        }
        if relay.first_content_at().is_none() {
            return Progress::Waiting;
        }
        let written = relay.written();
        self.covered(number, written, now)
    }

    /// The provider has closed a stream that has shown no content: an answer all the same, of which the last
    /// bytes go to `out`, or a failure.
    pub fn closed(&mut self, number: u32, now: Millis, out: &mut Vec<u8>) -> Progress {
        let Some(relay) = self.exchanges.get_mut(&number).and_then(|exchange| exchange.relay.as_mut()) else {
            return Progress::Ended;
        };
        if relay.closed(now, out) { Progress::Ended } else { Progress::Failed }
    }

    /// Whether a running stream's share of its budgets covers what it has written, and more.
    pub(super) fn covered(&mut self, number: u32, written: u64, now: Millis) -> Progress {
        let Some(exchange) = self.exchanges.get_mut(&number) else { return Progress::Ended };
        let admitted = &mut exchange.admitted;
        let Some(more) = admitted.lacks(written) else { return Progress::Flowing };
        if self.known.holder.extend(&mut admitted.reservation, more, now).is_ok() {
            admitted.grown();
            return Progress::Flowing;
        }
        if !admitted.asked_more {
            return Progress::Short;
        }
        if plant!(NeverCut, admitted.used_up(written), false) {
            exchange.cut = Some(Cut::Budget);
            return Progress::Cut;
        }
        Progress::Flowing
    }

    /// What to ask before a stream goes on that is [`Progress::Short`].
    pub fn more(&mut self, number: u32, now: Millis) -> Vec<Ask> {
        let Some(exchange) = self.exchanges.get_mut(&number) else { return Vec::new() };
        let written = exchange.relay.as_ref().map_or(0, Relay::written);
        exchange.admitted.asked_more = true;
        let Some(more) = exchange.admitted.lacks(written) else { return Vec::new() };
        match self.known.holder.extend(&mut exchange.admitted.reservation, more, now) {
            Ok(()) => {
                exchange.admitted.grown();
                Vec::new()
            }
            Err(wants) => {
                vec![self.known.about_slices(&exchange.principal.key().org, wants, now)]
            }
        }
    }

    /// Whether a running stream has to end: its key was disabled, or whom it is charged to was stopped.
    pub fn stopped(&mut self, number: u32, now: Millis) -> bool {
        let Some(exchange) = self.exchanges.get_mut(&number) else { return false };
        let key = self.known.key(&exchange.principal.key().hash, now);
        let refused = match key {
            Lookup::Absent => true,
            Lookup::Found(record) => record.admit(KeyKind::Inference, now).is_err(),
            _ => false,
        };
        let halted = refused || exchange.accounts.iter().any(|account| self.known.holder.is_stopped(account));
        let stopped = plant!(RunsOn, halted, false);
        if stopped {
            exchange.cut = Some(Cut::Stopped);
        }
        stopped
    }

    /// What is to be asked so that [`Gateway::stopped`] answers by what holds now.
    pub fn watch(&mut self, number: u32, now: Millis) -> Vec<Ask> {
        let Some(exchange) = self.exchanges.get(&number) else { return Vec::new() };
        let mut asks = match self.known.key(&exchange.principal.key().hash, now) {
            Lookup::Ask(asks) => asks,
            _ => Vec::new(),
        };
        if let Standing::Ask(accounts) = self.known.holder.standing(&exchange.accounts) {
            let ask = wire::Ask { accounts, ..wire::Ask::default() };
            asks.push(self.known.about_meters(&exchange.principal.key().org, ask));
        }
        asks
    }

    /// A stream failed before its first content.
    pub fn stream_failed(&mut self, number: u32, now: Millis) -> Effect {
        let failure = self.exchanges.get(&number).and_then(|exchange| exchange.relay.as_ref()?.failure().cloned());
        let (cause, error) = failure.unwrap_or((Cause::Connection, ProviderError::default()));
        self.failed_with(number, cause, &error, None, now)
    }

    /// A stream is over, for whatever reason: the last bytes for the client go to `out`.
    pub fn stream_end(&mut self, number: u32, end: StreamEnd, now: Millis, out: &mut Vec<u8>) {
        let Some(exchange) = self.exchanges.get_mut(&number) else { return };
        let finish = exchange.finish_after(Some(200), now);
        let Some(mut relay) = exchange.relay.take() else { return };
        let end = match exchange.cut {
            Some(Cut::Budget) => StreamEnd::OutOfBudget,
            Some(Cut::Stopped) => StreamEnd::Stopped,
            None => end,
        };
        relay.rename(finish);
        let before = out.len();
        let (facts, cost) = relay.end(end, now, out);
        if let Some(claim) = &mut exchange.claim {
            claim.keep(out.get(before..).unwrap_or_default());
        }
        exchange.relay = Some(relay);
        let failure = exchange.relay.as_ref().and_then(|relay| relay.failure().cloned());
        let outcome = match (end, &failure) {
            (StreamEnd::ClientGone | StreamEnd::Stopped, _) => Outcome::Cancelled,
            (_, Some(_)) => Outcome::Broken,
            _ => Outcome::Ok,
        };
        let error_type = failure.map(|(cause, error)| error.kind(cause.verdict().kind));
        self.settle(number, outcome, 200, error_type, facts, cost, now);
    }

    pub(super) fn failed_with(
        &mut self,
        number: u32,
        cause: Cause,
        error: &ProviderError,
        retry_after_s: Option<u32>,
        now: Millis,
    ) -> Effect {
        let Some(exchange) = self.exchanges.get_mut(&number) else { return gone() };
        let verdict = cause.verdict();
        let status = match cause {
            Cause::Status(status) => Some(status),
            Cause::ErrorInBody(_) | Cause::Malformed => Some(200),
            Cause::Connection | Cause::Timeout | Cause::Stopped => None,
        };
        exchange.note_attempt(status, Some(cause.name()), now);
        exchange.retry_after_s = match (exchange.retry_after_s, retry_after_s) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if let Some(target) = exchange.target() {
            let (model, tag) = (target.model.model.id.clone(), target.endpoint().map_or("", Endpoint::tag).to_owned());
            if verdict.unhealthy {
                self.health.failed(&model, &tag, now, retry_after_s);
            }
            let next = exchange.targets.iter().enumerate().skip(exchange.current + 1).find(|(_, other)| {
                let same_model = other.model.model.id == model;
                if same_model { verdict.next_endpoint } else { verdict.next_model }
            });
            if let (Some((next, _)), true) = (next, exchange.attempts.len() < MAX_ATTEMPTS) {
                exchange.current = next;
                return Effect::Again(number);
            }
        }
        let failure = exchange.failure(cause, error);
        self.give_up(number, &failure, now)
    }

    /// Step 7 for a request that nobody served.
    pub(super) fn give_up(&mut self, number: u32, error: &Error, now: Millis) -> Effect {
        let Some(exchange) = self.exchanges.get(&number) else { return gone() };
        let reply = reply(exchange.api, error, exchange.numeric_code, Some(&exchange.id));
        self.settle(number, Outcome::Error, error.status(), Some(error.kind), ResponseFacts::default(), None, now);
        Effect::Reply(reply)
    }

    /// The shell failed at a request.
    pub fn abandon(&mut self, number: u32, now: Millis) {
        self.settle(number, Outcome::Error, 500, Some(ErrorKind::Internal), ResponseFacts::default(), None, now);
    }
}
