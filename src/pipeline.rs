//! The life of one request, as a state machine without I/O.
//!
//! ```text
//! parse -> authorize -> plan -> admit -> dispatch -> relay -> settle
//! ```
//!
//! Events go in (a request, a store's answer, a provider's head, a chunk, the end), effects come out
//! ([`Effect`]); `entry.mjs` performs them, tests perform them on a fake world. Each step takes what
//! the former gave, so none can be left out. Nothing here decides: the modules it calls do.

mod admission;
mod claims;
mod dispatch;
mod effects;
mod exchange;
mod explaining;
mod loops;
mod planning;
mod refusals;
mod relay;
mod settle;

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use crate::{
    admin::wants_numeric_code,
    auth::{KeyHash, KeyKind, Principal, StreamUsage, VirtualKey, presented},
    budget::{AccountRef, estimate::Calibration, holder::Holder},
    catalog::credential::MasterKey,
    dialect::call::Api,
    error::Result,
    formats::{self, Call, What},
    idempotency::Finished,
    ids::{GenerationId, Rng},
    known::{Ask, Known},
    metering::Commit,
    provider::token::Wallet,
    routing::health::Health,
    time::Millis,
};

pub use effects::{AsItComes, Effect, Fetch, Gathering, Head, Lookups, Progress, Reply};
pub use refusals::reply;

use admission::Admitted;
use claims::Pending;
use exchange::{Claiming, Exchange, Single, Target};
use loops::Loops;
use refusals::unknown_key;
use settle::Ended;

/// What the isolate is configured with: all of it comes from bindings.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Every text binding, among them secrets and providers' keys.
    pub env: BTreeMap<String, String>,
    /// 64 random bits.
    pub seed: u64,
}

/// An isolate's gateway: what it knows, what it serves, what it has to tell.
pub struct Gateway {
    root_key: Option<KeyHash>,
    /// Requests may ask for a failure of the gateway itself: only where `SLUICE_TEST_HOOKS` is set.
    test_hooks: bool,
    known: Known,
    health: Health,
    rng: Rng,
    exchanges: BTreeMap<u32, Exchange>,
    next_exchange: u32,
    ended: VecDeque<Box<Ended>>,
    commit: Commit,
    calibration: Calibration,
    /// Claims asked for, by ticket.
    claims: BTreeMap<u32, Pending>,
    /// Claims whose requests have ended.
    finished: Vec<Finished>,
    loops: Loops,
    /// Access tokens of providers.
    wallet: Wallet,
}

/// A request whose question another one is asking looks for the answer so often.
const SAME_QUESTION_MS: i64 = 20;

impl Gateway {
    /// A gateway that has served nothing yet.
    pub fn new(config: Config) -> Self {
        let mut rng = Rng::new(config.seed);
        let session = session(&mut rng);
        let root_key = config
            .env
            .get("SLUICE_MANAGEMENT_KEY")
            .and_then(|text| VirtualKey::parse(text.trim()))
            .map(|key| key.hash());
        let test_hooks = config.env.contains_key("SLUICE_TEST_HOOKS");
        let master_key = config.env.get("SLUICE_MASTER_KEY").and_then(|text| MasterKey::parse(text).ok());
        Self {
            root_key,
            test_hooks,
            known: Known::new(config.env, master_key),
            health: Health::default(),
            rng,
            exchanges: BTreeMap::new(),
            next_exchange: 0,
            ended: VecDeque::new(),
            commit: Commit::new(session),
            calibration: Calibration::default(),
            claims: BTreeMap::new(),
            finished: Vec::new(),
            loops: Loops::default(),
            wallet: Wallet::default(),
        }
    }

    /// Steps 1 to 5: from the client's request to the first call of a provider, or to the questions
    /// that have to be answered before (then it is called again with the same request and the ticket
    /// it was given; 0 at first).
    ///
    /// # Panics
    ///
    /// Where a test asks for it, and the gateway was set up to let it.
    pub fn begin(&mut self, head: &Head<'_>, body: &[u8], ticket: u32, now: Millis) -> Effect {
        let numeric_code = wants_numeric_code(head.user_agent);
        assert!(!(self.test_hooks && head.session_id == "test:panic"), "asked for by a test");
        match self.try_begin(head, body, ticket, now) {
            Ok(effect) => effect,
            Err(error) => {
                self.known.holder.drop_ticket(ticket);
                self.free_claim(ticket);
                Effect::Reply(reply(formats::route(head.path).api, &error, numeric_code, None))
            }
        }
    }

    /// Who was silent for long begins a new life, before the account forgets the old one with its totals.
    fn renew(&mut self, now: Millis) {
        let idle = self.exchanges.is_empty() && self.ended.is_empty() && !self.known.holder.lingers();
        if idle && self.commit.is_old(now) {
            self.commit = Commit::new(session(&mut self.rng));
            self.known.holder = Holder::default();
        }
    }

    fn try_begin(&mut self, head: &Head<'_>, body: &[u8], ticket: u32, now: Millis) -> Result<Effect> {
        self.renew(now);
        let hash = presented_key(head)?.hash();
        let call = formats::parse(formats::route(head.path), head.content_type, body);
        let slugs = call.as_ref().map_or_else(|_| Vec::new(), |call| call.models().to_vec());

        let mut asks = Vec::new();
        let record = self.record_of(&hash, now, &mut asks)?;
        let (models, providers) = match &call {
            Ok(_) => (self.models_of(&slugs, now, &mut asks)?, self.providers(now, &mut asks)?),
            Err(_) => (Vec::new(), Rc::default()),
        };
        if !asks.is_empty() {
            return Ok(self.look_up(ticket, asks, now));
        }
        let principal = record.ok_or_else(unknown_key)?.admit(KeyKind::Inference, now)?;
        let call = call?;
        if call.api == Api::Route {
            return self.explain(head, &principal, &call, (&slugs, &models, &providers), now);
        }
        let ticket = match self.claim(&principal, head, body, ticket, now)? {
            Ok(ticket) => ticket,
            Err(effect) => return Ok(effect),
        };
        let session = call.session_id().or(Some(head.session_id));
        let tracks = |kind| self.known.holder.tracks(kind);
        let accounts = admission::charged(&principal, call.user(), session, call.tags(), tracks)?;
        let meters = match self.meters_of(&principal, &accounts, now)? {
            Ok(meters) => meters,
            Err(ask) => return Ok(self.look_up(ticket, vec![ask], now)),
        };
        self.refuse_loops(&accounts, body, ticket, now)?;
        let mut targets = self.plan(&principal, &call, (&slugs, &models, &providers), now)?;
        let admitted = match self.admit(&principal, &call, &mut targets, &meters, ticket, now)? {
            Ok(admitted) => admitted,
            Err(lookups) => return Ok(Effect::Lookup(lookups)),
        };
        let exchange = self.open(head, &principal, &call, targets, accounts, admitted, now);
        if let (Some(Pending { wanted, .. }), Some(exchange)) =
            (self.claims.remove(&ticket), self.exchanges.get_mut(&exchange))
        {
            exchange.claim = Some(Claiming { wanted, answer: (call.api != Api::Speech).then(Vec::new) });
        }
        self.dispatch(exchange, &call, now)
    }

    /// These questions, or the wait for another request's answers to them.
    fn look_up(&mut self, ticket: u32, asks: Vec<Ask>, now: Millis) -> Effect {
        let asks = self.known.first_to_ask(asks, now);
        let pause_ms = if asks.is_empty() { SAME_QUESTION_MS } else { 0 };
        Effect::Lookup(Lookups { ticket, pause_ms, asks })
    }

    #[expect(clippy::too_many_arguments, reason = "what the former steps found, each named")]
    fn open(
        &mut self,
        head: &Head<'_>,
        principal: &Principal,
        call: &Call<'_>,
        targets: Vec<Target>,
        accounts: Vec<AccountRef>,
        admitted: Admitted,
        now: Millis,
    ) -> u32 {
        let given = |text: &str| match text.char_indices().nth(256) {
            _ if text.is_empty() => None,
            Some((end, _)) => text.get(..end).map(str::to_owned),
            None => Some(text.to_owned()),
        };
        let native = match head.stream {
            "native" => true,
            "cost" => false,
            _ => principal.key().stream_usage == StreamUsage::Native,
        };
        // Natively nothing can be written into a silence, which is what shows that the client has gone:
        // who holds a place that others wait for is relayed.
        let native = call.stream() && native && !admitted.reservation.has_slot();
        let exchange = Exchange {
            id: GenerationId::new(now, &mut self.rng),
            api: call.api,
            path: head.path.to_owned(),
            content_type: head.content_type.to_owned(),
            single: match &call.what {
                What::Conversation(_) => None,
                What::Task(call) => Some(Single::Task(Box::new(call.wanted()))),
                What::Count(call) => Some(Single::Count(call.client)),
            },
            asked: None,
            wire: call.api.wire(),
            losses: Vec::new(),
            fetched: BTreeMap::new(),
            tokens_asked: 0,
            tokenless: None,
            anthropic_beta: head.anthropic_beta.to_owned(),
            principal: principal.clone(),
            requested_model: call.models().first().cloned().unwrap_or_default(),
            targets,
            current: 0,
            attempts: Vec::new(),
            retry_after_s: None,
            stream: call.stream(),
            native,
            wants_metadata: head.metadata.eq_ignore_ascii_case("enabled"),
            numeric_code: wants_numeric_code(head.user_agent),
            told: false,
            estimated_prompt: call.weight().tokens(),
            policy: Rc::clone(self.known.holder.policy()),
            weight: call.weight(),
            admitted,
            accounts,
            claim: None,
            cut: None,
            started: now,
            attempt_started: now,
            relay: None,
            user: call.user().and_then(given),
            session_id: call.session_id().and_then(given).or_else(|| given(head.session_id)),
            user_agent: given(head.user_agent),
            referer: given(head.referer),
            title: given(head.title),
        };
        self.next_exchange = self.next_exchange.wrapping_add(1);
        self.exchanges.insert(self.next_exchange, exchange);
        self.next_exchange
    }

    // What the shell asks and tells between requests.

    /// The isolate's memory, for the shell to fill.
    pub fn known(&mut self) -> &mut Known {
        &mut self.known
    }

    /// The isolate's life.
    pub fn session(&self) -> &str {
        self.commit.session()
    }

    /// What to ask again in the background after this request.
    pub fn refreshes(&mut self, exchange: u32, now: Millis) -> Vec<Ask> {
        let Some(exchange) = self.exchanges.get(&exchange) else { return Vec::new() };
        let mut models: Vec<String> = exchange.targets.iter().map(|target| target.model.model.id.clone()).collect();
        models.dedup();
        self.known.refreshes(&exchange.principal.key().org, &models, now)
    }

    /// For the simulator: what is set aside for a request that runs, and whether that is all it can use.
    #[cfg(feature = "planted")]
    pub fn reservation(&self, exchange: u32) -> Option<&crate::budget::holder::Reservation> {
        Some(&self.exchanges.get(&exchange)?.admitted.reservation)
    }

    /// For the simulator: the model that a request is sent to.
    #[cfg(feature = "planted")]
    pub fn serving(&self, exchange: u32) -> Option<&str> {
        Some(&self.exchanges.get(&exchange)?.target()?.model.model.id)
    }

    /// For the simulator: the event of the request that has ended last.
    #[cfg(feature = "planted")]
    pub fn last_ended(&self) -> Option<crate::metering::UsageEvent> {
        let Ended { exchange, outcome, status, error, facts, cost, at, .. } = &**self.ended.back()?;
        Some(exchange.event(*outcome, *status, *error, facts, *cost, *at))
    }

    /// Requests being served: for tests and health.
    pub fn in_flight(&self) -> usize {
        self.exchanges.len()
    }
}

fn session(rng: &mut Rng) -> String {
    format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64())
}

/// The key that a request presents.
fn presented_key(head: &Head<'_>) -> Result<VirtualKey> {
    let given = |value| Some(value).filter(|value: &&str| !value.is_empty());
    presented([given(head.authorization), given(head.api_key), given(head.goog_api_key)])
}

#[cfg(test)]
mod tests;
