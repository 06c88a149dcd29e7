//! Step 5: the call of a provider, and what it needs from elsewhere.

use super::{
    Gateway,
    effects::{AsItComes, Effect, Fetch, Gathering, Reply},
    exchange::Target,
    refusals::gone,
};
use crate::{
    catalog::{CostBreakdown, Dialect},
    chat::{ProviderError, Wire},
    dialect::{call::Api, passing::ResponseFacts},
    error::{Error, Result},
    formats::{self, Call, Fetched, Outbound, Wanted as Needed, What},
    known::{Access, KnownProvider},
    metering::Outcome,
    money::NanoUsd,
    provider::{
        access::{self, Shown},
        token,
    },
    routing::fallback::{Cause, MAX_ATTEMPTS},
    time::Millis,
};

/// Default time-outs in milliseconds: whole answer, first content, between pieces.
const TIMEOUTS_MS: [u32; 3] = [600_000, 120_000, 120_000];

/// A stream that is silent for so long gets a comment: proxies keep it open, and a client that has gone
/// is noticed; sooner where a parallel request's place is to be free again soon.
const KEEPALIVE_MS: u32 = 10_000;

const SLOT_KEEPALIVE_MS: u32 = 1_000;

impl Gateway {
    /// The next attempt of a request whose last one failed, or the same with what was gathered for it; `body`
    /// as it was.
    pub fn attempt(&mut self, number: u32, body: &[u8], now: Millis) -> Effect {
        let Some(exchange) = self.exchanges.get_mut(&number) else { return gone() };
        let (path, content_type) = (std::mem::take(&mut exchange.path), std::mem::take(&mut exchange.content_type));
        let call = formats::parse(formats::route(&path), &content_type, body);
        (exchange.path, exchange.content_type) = (path, content_type);
        let effect = call.and_then(|call| self.dispatch(number, &call, now));
        effect.unwrap_or_else(|error| self.give_up(number, &error, now))
    }

    /// What is at an address that a client names; or why it could not be had.
    pub fn learn_medium(&mut self, exchange: u32, url: &str, medium: Fetched) {
        if let Some(exchange) = self.exchanges.get_mut(&exchange) {
            exchange.fetched.insert(url.to_owned(), medium);
        }
    }

    /// The answer of a token endpoint; or why there is none. Says what is wrong with it, for the log.
    pub fn learn_token(
        &mut self,
        exchange: u32,
        answer: std::result::Result<&[u8], &str>,
        now: Millis,
    ) -> Option<String> {
        let exchange = self.exchanges.get_mut(&exchange)?;
        let target = exchange.target()?.clone();
        let slug = &target.provider.row.slug;
        let why = match answer.map(|body| token::read(body, now)) {
            Ok(Ok(token)) => {
                self.wallet.keep(slug, &target.provider.access, token);
                return None;
            }
            Ok(Err(error)) => error.context.unwrap_or(error.message),
            Err(why) => why.to_owned(),
        };
        let why = format!("no access token for provider {slug}: {why}");
        exchange.tokenless = Some(why.clone());
        Some(why)
    }

    /// Calls the current target, or the first after it that can be asked what the client asks.
    pub(super) fn dispatch(&mut self, number: u32, call: &Call<'_>, now: Millis) -> Result<Effect> {
        let mut refused = None;
        loop {
            let exchange =
                self.exchanges.get_mut(&number).ok_or_else(|| Error::internal("dispatch of an unknown exchange"))?;
            let Some(target) = exchange.target().cloned() else { break };
            let Some(endpoint) = target.endpoint() else {
                return Err(Error::internal("dispatch to an endpoint that is not there"));
            };
            let (row, longest) = (&target.provider.row, exchange.admitted.clamp());
            match formats::outbound(call, row, endpoint, longest, exchange.array(call), &exchange.fetched) {
                Ok(Needed::Call(outbound)) => return self.send(number, call, &target, *outbound, now),
                Ok(Needed::Media(urls)) => {
                    return Ok(Effect::Gather(number, urls.into_iter().map(Gathering::Medium).collect()));
                }
                Ok(Needed::Nothing(answer)) => return Ok(self.answer_here(number, &answer, now)),
                // Another format may have a place for what this one cannot carry.
                Err(error) => {
                    refused.get_or_insert((error, exchange.current));
                    exchange.current += 1;
                }
            }
        }
        let (error, target) = refused.unwrap_or_else(|| (Error::internal("dispatch without a target"), 0));
        if let Some(exchange) = self.exchanges.get_mut(&number) {
            exchange.current = target;
        }
        Ok(self.give_up(number, &error, now))
    }

    /// An answer for which nobody has to be asked.
    pub(super) fn answer_here(&mut self, number: u32, answer: &[u8], now: Millis) -> Effect {
        let Some(exchange) = self.exchanges.get(&number) else { return gone() };
        let headers =
            [("x-generation-id", exchange.id.to_string())].into_iter().chain(self.answer_headers(number)).collect();
        if let Some(claim) = self.exchanges.get_mut(&number).and_then(|exchange| exchange.claim.as_mut()) {
            claim.keep(answer);
        }
        self.settle(number, Outcome::Ok, 200, None, ResponseFacts::default(), Some(CostBreakdown::default()), now);
        Effect::Reply(Reply { status: 200, headers, body: String::from_utf8_lossy(answer).into_owned(), log: None })
    }

    pub(super) fn send(
        &mut self,
        number: u32,
        call: &Call<'_>,
        target: &Target,
        outbound: Outbound,
        now: Millis,
    ) -> Result<Effect> {
        let exchange =
            self.exchanges.get_mut(&number).ok_or_else(|| Error::internal("dispatch of an unknown exchange"))?;
        let KnownProvider { row, access } = &*target.provider;
        let Outbound { url, wire, content_type, body, losses } = outbound;
        exchange.attempt_started = now;
        exchange.wire = wire;
        exchange.losses = losses;
        if exchange.tokenless.take().is_some() {
            return Ok(self.failed_with(number, Cause::Status(401), &ProviderError::default(), None, now));
        }
        // Only signatures look at the bytes.
        let signed = if matches!(access, Access::Aws(_)) { body.bytes(call.body) } else { Vec::new() };
        let shown = access::show(
            access,
            &access::Call { row, url: &url, body: &signed },
            self.wallet.token(&row.slug, access, now),
            now,
        )?;
        let own = match shown {
            Shown::Headers(headers) => headers,
            // One that is over as soon as it comes is none.
            Shown::Token(_) if exchange.tokens_asked >= MAX_ATTEMPTS => {
                return Ok(self.failed_with(number, Cause::Status(401), &ProviderError::default(), None, now));
            }
            Shown::Token(request) => {
                exchange.tokens_asked += 1;
                return Ok(Effect::Gather(number, vec![Gathering::Token(row.slug.clone(), request)]));
            }
        };
        // A form is told apart by its boundary; all else is JSON, whatever the client calls it.
        let content_type = match (content_type.is_empty(), exchange.content_type.starts_with("multipart/")) {
            (true, true) => exchange.content_type.clone(),
            (true, false) => "application/json".to_owned(),
            (false, _) => content_type,
        };
        let mut headers = vec![("content-type".to_owned(), content_type)];
        headers.extend(row.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        headers.extend(
            own.into_iter().filter(|(name, _)| !row.headers.keys().any(|known| known.eq_ignore_ascii_case(name))),
        );
        if wire == Wire::AnthropicMessages && !exchange.anthropic_beta.is_empty() && row.dialect == Dialect::Anthropic {
            headers.push(("anthropic-beta".to_owned(), exchange.anthropic_beta.clone()));
        }
        let array = exchange.array(call);
        exchange.asked = match &call.what {
            What::Conversation(call) if !formats::passes(exchange.api, wire, array) => {
                Some(formats::asked(call, array))
            }
            _ => None,
        };
        let native = exchange.native && exchange.asked.is_none();
        exchange.relay = exchange.stream.then(|| exchange.new_relay(native));
        let [total, first, idle] = TIMEOUTS_MS;
        Ok(Effect::Fetch(Fetch {
            exchange: number,
            url,
            private: row.allow_private_network,
            stream: exchange.stream,
            native,
            timeouts_ms: [
                row.timeouts_ms.total.unwrap_or(total),
                row.timeouts_ms.first_token.or(row.timeouts_ms.connect).unwrap_or(first),
                row.timeouts_ms.idle.unwrap_or(idle),
            ],
            headers,
            body,
            stream_type: formats::stream_type(wire),
            quiet: exchange.api.wire() == Wire::Gemini,
            as_it_comes: match exchange.api {
                Api::Speech => AsItComes::Unread,
                Api::Transcriptions => AsItComes::Named,
                _ => AsItComes::No,
            },
            id: exchange.id.clone(),
            keepalive_ms: if exchange.admitted.reservation.has_slot() { SLOT_KEEPALIVE_MS } else { KEEPALIVE_MS },
            answer_headers: self.answer_headers(number),
        }))
    }

    /// How the request's budgets stand, for its client.
    pub(super) fn answer_headers(&self, number: u32) -> Vec<(&'static str, String)> {
        let Some(exchange) = self.exchanges.get(&number) else { return Vec::new() };
        let mut headers = Vec::new();
        if exchange.api.wire() == Wire::AnthropicMessages {
            headers.push(("request-id", exchange.id.to_string()));
        }
        if !exchange.losses.is_empty() {
            headers.push(("x-sluice-losses", listed(&exchange.losses)));
        }
        let reservation = &exchange.admitted.reservation;
        if reservation.is_empty() {
            return headers;
        }
        headers.push(("x-sluice-budget", if reservation.asked { "exact" } else { "lease" }.to_owned()));
        if let Some(left) = self.known.holder.least_left(reservation) {
            headers.push(("x-budget-remaining-usd", NanoUsd(left).to_string()));
        }
        headers
    }
}

/// Names in a header: those that fit into it.
pub(super) fn listed(names: &[String]) -> String {
    let plain = |name: &&String| name.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    let mut list = String::new();
    for name in names.iter().filter(plain) {
        if list.len() + name.len() > 1_000 {
            list.push_str(",...");
            break;
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(name);
    }
    list
}
