//! Once only: requests that claim their answer by an idempotency key, or by their body.

use super::{
    Gateway,
    effects::{Effect, Head, Lookups, Reply},
    presented_key,
};
use crate::{
    auth::Principal,
    dialect::call::Api,
    error::{Error, Result},
    formats::{self, Route},
    framing::json::scan_object,
    idempotency::{self, Claim, Claimed, Finished, Kept, Wanted},
    time::Millis,
};

/// A claim of a request that was not sent on yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub wanted: Wanted,
    pub since: Millis,
    /// It is this request's: the account said so.
    pub granted: bool,
    /// It was looked at whether its session repeats itself.
    pub counted: bool,
}

/// Longer than a request waits for anything before it is sent on.
pub(super) const CLAIM_MS: i64 = 60_000;

impl Gateway {
    /// Claims the request's idempotency key, if it has one: the ticket to go on with, or what is to be
    /// done first or instead.
    pub(super) fn claim(
        &mut self,
        principal: &Principal,
        head: &Head<'_>,
        body: &[u8],
        ticket: u32,
        now: Millis,
    ) -> Result<Result<u32, Effect>> {
        let key = principal.key();
        let window_s = u32::from(key.dedupe_window_s).max(self.known.holder.policy().dedupe_window_s);
        if head.idempotency_key.is_empty() && window_s == 0 {
            return Ok(Ok(ticket));
        }
        if let Some(pending) = self.claims.get_mut(&ticket) {
            let claimed = self.known.take_claimed(&pending.wanted.claim.owner);
            return match claimed {
                // Asked before; the request has waited for its budget meanwhile.
                None if pending.granted => Ok(Ok(ticket)),
                Some(Claimed::New) => {
                    pending.granted = true;
                    Ok(Ok(ticket))
                }
                Some(Claimed::Done(kept)) => {
                    let answer = pending.wanted.open(&kept);
                    self.claims.remove(&ticket);
                    Ok(Err(Effect::Reply(replayed(&kept, head.path, &answer?))))
                }
                Some(taken) => {
                    self.claims.remove(&ticket);
                    Err(idempotency::refused(&taken).unwrap_or_else(|| Error::internal("a claim without an answer")))
                }
                // It may have been granted all the same: it is given back with this error.
                None => Err(Error::store(
                    "account",
                    self.known.unreachable(&key.org, now).unwrap_or("no answer to a claim"),
                )),
            };
        }
        let api_key = presented_key(head)?;
        let rng = &mut self.rng;
        let owner = || format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64());
        let place = place_of(head.path);
        let (account, api_key) = (&key.account, api_key.expose());
        let wanted = idempotency::wanted(account, api_key, head.idempotency_key, window_s, &place, body, owner)?;
        let Some(wanted) = wanted else { return Ok(Ok(ticket)) };
        let ticket = if ticket == 0 { self.known.holder.ticket(now) } else { ticket };
        let ask = self.known.about_claim(&key.org, wanted.claim.clone());
        self.claims.insert(ticket, Pending { wanted, since: now, granted: false, counted: false });
        Ok(Err(Effect::Lookup(Lookups { ticket, pause_ms: 0, asks: vec![ask] })))
    }

    /// The request that claimed under this ticket was not served.
    pub(super) fn free_claim(&mut self, ticket: u32) {
        if let Some(Pending { wanted, .. }) = self.claims.remove(&ticket) {
            let Claim { id, owner, .. } = wanted.claim;
            self.finished.push(Finished { id, owner, kept: None });
        }
    }

    /// Gives back claims whose requests never came again: their clients have gone while they waited.
    pub(super) fn free_old_claims(&mut self, now: Millis) {
        let is_old = |pending: &Pending| now.since(pending.since) >= CLAIM_MS;
        let old: Vec<u32> = self.claims.iter().filter(|(_, claim)| is_old(claim)).map(|(ticket, _)| *ticket).collect();
        for ticket in old {
            self.free_claim(ticket);
        }
    }
}

/// What a request's address says: which format, and in Gemini's which model and whether it is a stream.
fn place_of(path: &str) -> String {
    let Route { api, model, stream, array } = formats::route(path);
    format!("{} {} {stream} {array}", api.name(), model.unwrap_or_default())
}

/// An answer that was given before.
fn replayed(kept: &Kept, path: &str, answer: &[u8]) -> Reply {
    let Route { api, array, .. } = formats::route(path);
    // Who asked for the words alone of what was said got those.
    let is_plain = api == Api::Transcriptions && scan_object(answer).is_err();
    let content_type = match (kept.stream && !array, is_plain) {
        (true, _) => "text/event-stream; charset=utf-8",
        (false, true) => "text/plain; charset=utf-8",
        (false, false) => "application/json",
    };
    Reply {
        status: 200,
        headers: vec![
            ("content-type", content_type.to_owned()),
            ("x-generation-id", kept.generation.clone()),
            ("idempotency-replayed", "true".to_owned()),
        ],
        body: String::from_utf8_lossy(answer).into_owned(),
        log: None,
    }
}
