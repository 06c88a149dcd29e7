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
mod loops;

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use crate::{
    admin::wants_numeric_code,
    auth::{KeyHash, KeyKind, KeyRecord, Principal, StreamUsage, VirtualKey, presented},
    budget::{
        AccountKind, AccountRef, MeterId, Unit,
        estimate::{Calibration, Weight},
        holder::{Amounts, Holder, Reserve, Standing, Used},
        policy::Policy,
        wire::{self, Total},
    },
    catalog::{CostBreakdown, Dialect, Endpoint, builtin, credential::MasterKey},
    chat::{ProviderError, Wire},
    dialect::{
        Target as Addressee,
        call::Api,
        passing::{Finish, ResponseFacts, StreamEnd},
    },
    error::{Error, ErrorKind, Result},
    formats::{self, Body, Call, Fetched, Outbound, Relay, Wanted as Needed, What},
    framing::edit::{Edit, apply},
    idempotency::{self, Claim, Claimed, Finished, Kept, MAX_ANSWER, Wanted},
    ids::{GenerationId, Rng},
    known::{Access, Ask, Known, KnownModel, KnownProvider, Lookup, Providers},
    metering::{Attempt, Commit, CommitReply, OPEN_AFTER_MS, Outcome, Source, UsageEvent},
    money::NanoUsd,
    provider::{
        access::{self, Shown},
        token::{self, TokenRequest, Wallet},
    },
    routing::{
        fallback::{Cause, MAX_ATTEMPTS},
        health::Health,
        plan::{Offer, Wants, plan},
        slug::{Slug, VARIANTS},
    },
    task::{self, count},
    time::Millis,
};

use admission::Admitted;
use loops::Loops;

/// What a request says of itself beside its body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'h> {
    /// The path with its query, which says what is called.
    pub path: &'h str,
    /// `anthropic-beta`
    pub anthropic_beta: &'h str,
    /// `Content-Type`
    pub content_type: &'h str,
    /// `Authorization`
    pub authorization: &'h str,
    /// `x-api-key`
    pub api_key: &'h str,
    /// `x-goog-api-key`
    pub goog_api_key: &'h str,
    /// `x-session-id`
    pub session_id: &'h str,
    /// `X-OpenRouter-Metadata`
    pub metadata: &'h str,
    /// `X-Sluice-Stream`: `native` or `cost`
    pub stream: &'h str,
    /// `Idempotency-Key`
    pub idempotency_key: &'h str,
    /// `User-Agent`
    pub user_agent: &'h str,
    /// `HTTP-Referer`
    pub referer: &'h str,
    /// `X-OpenRouter-Title` or `X-Title`
    pub title: &'h str,
}

/// What the shell is to do next.
#[derive(Debug)]
pub enum Effect {
    /// Ask these after a pause, tell the answers, then begin again.
    Lookup(Lookups),
    /// Call a provider.
    Fetch(Fetch),
    /// The attempt failed: call [`Gateway::attempt`] with the body.
    Again(u32),
    /// Fetch these, tell what came, then call [`Gateway::attempt`] with the body.
    Gather(u32, Vec<Gathering>),
    /// Answer with the provider's body, these edits made.
    Answer(Vec<Edit>),
    /// Answer with this body.
    Written(Vec<u8>),
    /// Answer with this.
    Reply(Reply),
}

/// Questions that a request has to have answered.
#[derive(Debug)]
pub struct Lookups {
    /// To be given to the next [`Gateway::begin`] of the same request; 0 where there is none.
    pub ticket: u32,
    /// Milliseconds to wait before asking.
    pub pause_ms: i64,
    /// What to ask.
    pub asks: Vec<Ask>,
}

/// What a call of a provider needs from elsewhere.
#[derive(Debug)]
pub enum Gathering {
    /// What is at an address that the client names: told to [`Gateway::learn_medium`].
    Medium(String),
    /// An access token for this provider: told to [`Gateway::learn_token`].
    Token(String, TokenRequest),
}

/// What of a provider's whole answer its client gets as it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsItComes {
    /// Nothing: it is read, and is JSON.
    No,
    /// Its media type.
    Named,
    /// All of it: it is not read, and [`Gateway::answered`] is told of an empty body.
    Unread,
}

/// A call to a provider.
#[derive(Debug)]
pub struct Fetch {
    /// The request it is for.
    pub exchange: u32,
    /// Whither.
    pub url: String,
    /// Its address may be a private one.
    pub private: bool,
    /// The answer is a stream.
    pub stream: bool,
    /// The stream's bytes go to the client unedited.
    pub native: bool,
    /// Milliseconds to the end, to the first content, and between two pieces of a stream.
    pub timeouts_ms: [u32; 3],
    /// Request headers, content type included.
    pub headers: Vec<(String, String)>,
    /// The client's body with changes, or another one.
    pub body: Body,
    /// The media type of a stream from there.
    pub stream_type: &'static str,
    /// The client's streams have no comments: an empty line keeps them open.
    pub quiet: bool,
    /// What of the provider's answer the client gets as it comes.
    pub as_it_comes: AsItComes,
    /// The generation.
    pub id: GenerationId,
    /// A silent stream gets a comment so often, in milliseconds: that shows whether the client is there.
    pub keepalive_ms: u32,
    /// Headers of the answer, beside those that every answer has.
    pub answer_headers: Vec<(&'static str, String)>,
}

/// An answer of the gateway's own.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers beside the content type.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
    /// For the log.
    pub log: Option<String>,
}

/// What the isolate is configured with: all of it comes from bindings.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Every text binding, among them secrets and providers' keys.
    pub env: BTreeMap<String, String>,
    /// 64 random bits.
    pub seed: u64,
}

/// An endpoint a request may be sent to.
#[derive(Clone, Debug)]
struct Target {
    model: Rc<KnownModel>,
    endpoint: usize,
    provider: Rc<KnownProvider>,
    strategy: &'static str,
}

impl Target {
    fn endpoint(&self) -> Option<&Endpoint> {
        self.model.model.endpoints.get(self.endpoint)
    }
}

/// A request being served.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one request")]
struct Exchange {
    id: GenerationId,
    /// What is called.
    api: Api,
    /// The path with its query.
    path: String,
    /// The media type of the client's body.
    content_type: String,
    /// What of a request has to be known when its answer comes, where it is no conversation.
    single: Option<Single>,
    /// What answers repeat of the client's request, or depend on; nothing where its bytes are passed on.
    asked: Option<serde_json::Value>,
    /// The format of the current attempt.
    wire: Wire,
    /// Fields of the request that were not carried there.
    losses: Vec<String>,
    /// Media that were fetched.
    fetched: BTreeMap<String, Fetched>,
    /// Why there is no token for the provider of the current attempt.
    tokenless: Option<String>,
    /// `anthropic-beta`, for providers of that format.
    anthropic_beta: String,
    principal: Principal,
    requested_model: String,
    targets: Vec<Target>,
    current: usize,
    attempts: Vec<Attempt>,
    retry_after_s: Option<u32>,
    stream: bool,
    native: bool,
    wants_metadata: bool,
    numeric_code: bool,
    /// The account was told that it runs.
    told: bool,
    estimated_prompt: u64,
    policy: Rc<Policy>,
    weight: Weight,
    admitted: Admitted,
    accounts: Vec<AccountRef>,
    claim: Option<Claiming>,
    cut: Option<Cut>,
    started: Millis,
    attempt_started: Millis,
    relay: Option<Relay>,
    user: Option<String>,
    session_id: Option<String>,
    user_agent: Option<String>,
    referer: Option<String>,
    title: Option<String>,
}

/// What of a request that is no conversation has to be known when its answer comes.
#[derive(Debug)]
enum Single {
    /// A task's wishes.
    Task(Box<task::Wanted>),
    /// Whose count it is.
    Count(count::Client),
}

/// A claim of a request that was not sent on yet.
#[derive(Debug)]
struct Pending {
    wanted: Wanted,
    since: Millis,
    /// It is this request's: the account said so.
    granted: bool,
    /// It was looked at whether its session repeats itself.
    counted: bool,
}

/// A request that is answered once, and its answer so far.
#[derive(Debug)]
struct Claiming {
    wanted: Wanted,
    answer: Vec<u8>,
}

impl Claiming {
    fn keep(&mut self, bytes: &[u8]) {
        // One byte too many says that it is too large to be kept.
        let room = (MAX_ANSWER + 1).saturating_sub(self.answer.len());
        self.answer.extend(bytes.iter().take(room));
    }
}

/// Why the gateway itself ends a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Its share of a budget is used up and cannot grow.
    Budget,
    /// Whom it is charged to was stopped, or its key disabled.
    Stopped,
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

/// A request that was served, or not: kept as it is until a batch is made of it. Its event is written
/// then, many in a row, and not while the client waits.
struct Ended {
    exchange: Exchange,
    outcome: Outcome,
    status: u16,
    error: Option<ErrorKind>,
    facts: ResponseFacts,
    cost: Option<CostBreakdown>,
    used: Used,
    at: Millis,
}

/// A request whose question another one is asking looks for the answer so often.
const SAME_QUESTION_MS: i64 = 20;
/// Longer than a request waits for anything before it is sent on.
const CLAIM_MS: i64 = 60_000;
/// Answers that are kept travel in one batch up to so many bytes; one more may begin below it.
const MAX_KEPT_BYTES: usize = 4 << 20;
/// Default time-outs in milliseconds: whole answer, first content, between pieces.
const TIMEOUTS_MS: [u32; 3] = [600_000, 120_000, 120_000];
/// A stream that is silent for so long gets a comment: proxies keep it open, and a client that has gone
/// is noticed; sooner where a parallel request's place is to be free again soon.
const KEEPALIVE_MS: u32 = 10_000;
const SLOT_KEEPALIVE_MS: u32 = 1_000;

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
        let mut targets = self.plan(&principal, &call, &slugs, &models, &providers, now)?;
        let admitted = match self.admit(&principal, &call, &mut targets, &meters, ticket, now)? {
            Ok(admitted) => admitted,
            Err(lookups) => return Ok(Effect::Lookup(lookups)),
        };
        let exchange = self.open(head, &principal, &call, targets, accounts, admitted, now);
        if let (Some(Pending { wanted, .. }), Some(exchange)) =
            (self.claims.remove(&ticket), self.exchanges.get_mut(&exchange))
        {
            exchange.claim = Some(Claiming { wanted, answer: Vec::new() });
        }
        self.dispatch(exchange, &call, now)
    }

    /// These questions, or the wait for another request's answers to them.
    fn look_up(&mut self, ticket: u32, asks: Vec<Ask>, now: Millis) -> Effect {
        let asks = self.known.first_to_ask(asks, now);
        let pause_ms = if asks.is_empty() { SAME_QUESTION_MS } else { 0 };
        Effect::Lookup(Lookups { ticket, pause_ms, asks })
    }

    // Step 2: authorize.

    fn record_of(&mut self, hash: &KeyHash, now: Millis, asks: &mut Vec<Ask>) -> Result<Option<Rc<KeyRecord>>> {
        if self.root_key.as_ref() == Some(hash) {
            return Ok(Some(Rc::new(KeyRecord::root(hash.clone()))));
        }
        match self.known.key(hash, now) {
            Lookup::Absent => Err(unknown_key()),
            other => found_or_ask(other, "key store", asks),
        }
    }

    // Step 3: plan.

    fn models_of(
        &mut self,
        slugs: &[String],
        now: Millis,
        asks: &mut Vec<Ask>,
    ) -> Result<Vec<(Slug, Option<Rc<KnownModel>>)>> {
        let mut models = Vec::new();
        for (index, text) in slugs.iter().enumerate() {
            let field = if index == 0 { "model".to_owned() } else { "models".to_owned() };
            let slug = Slug::parse(text)
                .map_err(|why| Error::invalid(field, format!("{:?} is not a model: {why}", short(text))))?;
            let model = found_or_ask(self.known.model(&slug.id, now), "catalog", asks)?;
            models.push((slug, model));
        }
        Ok(models)
    }

    fn providers(&mut self, now: Millis, asks: &mut Vec<Ask>) -> Result<Rc<Providers>> {
        Ok(found_or_ask(self.known.providers(now), "catalog", asks)?.unwrap_or_default())
    }

    fn plan(
        &mut self,
        principal: &Principal,
        call: &Call<'_>,
        names: &[String],
        models: &[(Slug, Option<Rc<KnownModel>>)],
        providers: &Providers,
        now: Millis,
    ) -> Result<Vec<Target>> {
        let parameters = call.parameters();
        let mut targets = Vec::new();
        let mut excluded = Vec::new();
        for ((slug, model), name) in models.iter().zip(names) {
            let Some(known) = model else { return Err(unknown_model(slug, name)) };
            if !principal.may_call(&slug.id) {
                let message =
                    format!("This API key may not call {}. It may call the models of its `allowed_models`.", slug.id);
                return Err(Error::new(ErrorKind::Forbidden, message).param("model").code("model_not_allowed"));
            }
            let wants = Wants {
                principal,
                preferences: call.preferences(),
                can_serve: &|row| formats::serves(call.api, row),
                variant_sort: slug.sort,
                parameters: &parameters,
                max_tokens: call.max_tokens(),
            };
            let offers = |slug: &str| providers.get(slug).map(|p| Offer { row: &p.row, ready: p.is_ready() });
            let made = plan(&wants, &known.model, offers, &self.health, now, &mut self.rng);
            excluded.extend(made.excluded.iter().map(|out| (slug.id.clone(), out.tag.clone(), out.rule)));
            targets.extend(made.candidates.iter().filter_map(|candidate| {
                let endpoint = known.model.endpoints.get(candidate.endpoint)?;
                let provider = Rc::clone(providers.get(&endpoint.provider)?);
                Some(Target {
                    model: Rc::clone(known),
                    endpoint: candidate.endpoint,
                    provider,
                    strategy: made.strategy,
                })
            }));
        }
        if targets.is_empty() { Err(nobody(names, &excluded)) } else { Ok(targets) }
    }

    // Once only.

    /// Claims the request's idempotency key, if it has one: the ticket to go on with, or what is to be
    /// done first or instead.
    fn claim(
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
                    Ok(Err(Effect::Reply(replayed(&kept, &answer?))))
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
        let wanted = idempotency::wanted(&key.account, api_key.expose(), head.idempotency_key, window_s, body, owner)?;
        let Some(wanted) = wanted else { return Ok(Ok(ticket)) };
        let ticket = if ticket == 0 { self.known.holder.ticket(now) } else { ticket };
        let ask = self.known.about_claim(&key.org, wanted.claim.clone());
        self.claims.insert(ticket, Pending { wanted, since: now, granted: false, counted: false });
        Ok(Err(Effect::Lookup(Lookups { ticket, pause_ms: 0, asks: vec![ask] })))
    }

    /// The request that claimed under this ticket was not served.
    fn free_claim(&mut self, ticket: u32) {
        if let Some(Pending { wanted, .. }) = self.claims.remove(&ticket) {
            let Claim { id, owner, .. } = wanted.claim;
            self.finished.push(Finished { id, owner, kept: None });
        }
    }

    /// Gives back claims whose requests never came again: their clients have gone while they waited.
    fn free_old_claims(&mut self, now: Millis) {
        let is_old = |pending: &Pending| now.since(pending.since) >= CLAIM_MS;
        let old: Vec<u32> = self.claims.iter().filter(|(_, claim)| is_old(claim)).map(|(ticket, _)| *ticket).collect();
        for ticket in old {
            self.free_claim(ticket);
        }
    }

    // Step 4: admit. Nothing is served that no budget covers, or whose record could not be kept.

    /// Refuses a session that repeats itself, where the organization wants that.
    fn refuse_loops(&mut self, accounts: &[AccountRef], body: &[u8], ticket: u32, now: Millis) -> Result<()> {
        let Some(rule) = self.known.holder.policy().loop_detection else { return Ok(()) };
        // A request that has waited for its budget was counted when it came.
        let is_new = match self.claims.get_mut(&ticket) {
            Some(pending) => !std::mem::replace(&mut pending.counted, true),
            None => ticket == 0,
        };
        let session = accounts.iter().find(|account| account.kind == AccountKind::Session).filter(|_| is_new);
        match session {
            Some(session) if self.loops.repeats(&session.id, body, rule, now) => Err(admission::looping(rule)),
            _ => Ok(()),
        }
    }

    /// The meters of these accounts, or what has to be asked first.
    fn meters_of(
        &self,
        principal: &Principal,
        accounts: &[AccountRef],
        now: Millis,
    ) -> Result<Result<Vec<MeterId>, Ask>> {
        let org = &principal.key().org;
        match self.known.holder.standing(accounts) {
            Standing::Known(meters) => Ok(Ok(meters)),
            Standing::Stopped(account) => Err(admission::stopped(&account)),
            Standing::Ask(accounts) => match self.known.unreachable(org, now) {
                Some(why) => Err(Error::store("account", why)),
                None => Ok(Err(self.known.about_meters(org, wire::Ask { accounts, ..wire::Ask::default() }))),
            },
        }
    }

    fn admit(
        &mut self,
        principal: &Principal,
        call: &Call<'_>,
        targets: &mut Vec<Target>,
        meters: &[MeterId],
        mut ticket: u32,
        now: Millis,
    ) -> Result<Result<Admitted, Lookups>> {
        if self.commit.blocked(self.ended.len(), now) {
            return Err(Error::store("account", "usage events could not be written for too long"));
        }
        if meters.is_empty() {
            return Ok(Ok(Admitted::default()));
        }
        let holder = &mut self.known.holder;
        let in_dollars = |id: &MeterId| holder.view(*id).is_some_and(|view| view.unit == Unit::Usd && view.hard);
        let allowed = principal.key().allow_unpriced || holder.policy().allow_unpriced;
        if !allowed && !call.is_free() && meters.iter().any(in_dollars) {
            let names = || call.models().to_vec();
            targets.retain(|target| target.endpoint().is_some_and(|endpoint| endpoint.pricing.is_some()));
            if targets.is_empty() {
                return Err(admission::unpriced(&names()));
            }
        }
        let named: Vec<_> = targets.iter().map(|target| Rc::clone(&target.model)).collect();
        let models: Vec<&str> = named.iter().map(|known| &*known.model.id).collect();
        let policy = Rc::clone(holder.policy());
        let left = holder.left(meters, &models, now);
        let needs = |targets: &[Target]| {
            let endpoints = || targets.iter().filter_map(|t| Some((&t.model.model, t.endpoint()?)));
            let bounds = admission::bounds(&self.calibration, call, endpoints());
            let prices = endpoints().filter_map(|(_, endpoint)| endpoint.pricing.clone()).filter(|_| !call.is_free());
            let prices: Vec<_> = prices.collect();
            (admission::range(&prices, &policy, bounds, call.choices()), bounds, prices)
        };
        let (mut range, mut bounds, mut prices) = needs(targets);
        if range.floor.usd > left {
            // What is left does not cover the dearest of them: the others may do.
            let covered = |target: &Target| needs(std::slice::from_ref(target)).0.floor.usd <= left;
            if targets.iter().any(covered) {
                targets.retain(covered);
                (range, bounds, prices) = needs(targets);
            }
        }
        let org = &principal.key().org;
        let unreachable = self.known.unreachable(org, now).map(str::to_owned);
        let holder = &mut self.known.holder;
        match holder.reserve(&mut ticket, meters, &models, range, unreachable.is_some(), now) {
            Reserve::Held(reservation) => Ok(Ok(Admitted::new(reservation, bounds, prices, policy, call.choices()))),
            Reserve::Refused(view) => match unreachable {
                Some(why) => Err(Error::store("account", why)),
                None => Err(admission::refused(&view, range, now)),
            },
            Reserve::Ask(wants, pause_ms) => {
                if let Some(why) = unreachable {
                    return Err(Error::store("account", why));
                }
                // Nothing to ask: what was said a moment ago holds.
                let asks = if wants.is_empty() { Vec::new() } else { vec![self.known.about_slices(org, wants, now)] };
                Ok(Err(Lookups { ticket, pause_ms, asks }))
            }
        }
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

    // Step 5: dispatch.

    /// The next attempt of a request whose last one failed, or the same with what was gathered for it; `body`
    /// as it was.
    pub fn attempt(&mut self, number: u32, body: &[u8], now: Millis) -> Effect {
        let Some(exchange) = self.exchanges.get_mut(&number) else { return gone() };
        let (path, content_type) = (std::mem::take(&mut exchange.path), std::mem::take(&mut exchange.content_type));
        let call = formats::parse(formats::route(&path), &content_type, body);
        let effect = call.and_then(|call| self.dispatch(number, &call, now));
        if let Some(exchange) = self.exchanges.get_mut(&number) {
            (exchange.path, exchange.content_type) = (path, content_type);
        }
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
    fn dispatch(&mut self, number: u32, call: &Call<'_>, now: Millis) -> Result<Effect> {
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
    fn answer_here(&mut self, number: u32, answer: &[u8], now: Millis) -> Effect {
        let Some(exchange) = self.exchanges.get(&number) else { return gone() };
        let headers =
            [("x-generation-id", exchange.id.to_string())].into_iter().chain(self.answer_headers(number)).collect();
        self.settle(number, Outcome::Ok, 200, None, ResponseFacts::default(), Some(CostBreakdown::default()), now);
        Effect::Reply(Reply { status: 200, headers, body: String::from_utf8_lossy(answer).into_owned(), log: None })
    }

    fn send(
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
            Shown::Token(request) => {
                return Ok(Effect::Gather(number, vec![Gathering::Token(row.slug.clone(), request)]));
            }
        };
        let content_type = match (content_type.is_empty(), exchange.content_type.is_empty()) {
            (true, false) => exchange.content_type.clone(),
            (true, true) => "application/json".to_owned(),
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

    // Step 6: relay.

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
    fn covered(&mut self, number: u32, written: u64, now: Millis) -> Progress {
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

    /// How the request's budgets stand, for its client.
    fn answer_headers(&self, number: u32) -> Vec<(&'static str, String)> {
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

    fn failed_with(
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
    fn give_up(&mut self, number: u32, error: &Error, now: Millis) -> Effect {
        let Some(exchange) = self.exchanges.get(&number) else { return gone() };
        let reply = reply(exchange.api, error, exchange.numeric_code, Some(&exchange.id));
        self.settle(number, Outcome::Error, error.status(), Some(error.kind), ResponseFacts::default(), None, now);
        Effect::Reply(reply)
    }

    /// The shell failed at a request.
    pub fn abandon(&mut self, number: u32, now: Millis) {
        self.settle(number, Outcome::Error, 500, Some(ErrorKind::Internal), ResponseFacts::default(), None, now);
    }

    // Step 7: settle.

    #[expect(clippy::too_many_arguments, reason = "one call per terminal path, each naming all facts")]
    fn settle(
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
            let kept = (outcome == Outcome::Ok).then(|| wanted.seal(exchange.id.as_str(), exchange.stream, &answer));
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

    // What the shell asks and tells between requests.

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
    pub fn last_ended(&self) -> Option<UsageEvent> {
        let Ended { exchange, outcome, status, error, facts, cost, at, .. } = &**self.ended.back()?;
        Some(exchange.event(*outcome, *status, *error, facts, *cost, *at))
    }

    /// Requests being served: for tests and health.
    pub fn in_flight(&self) -> usize {
        self.exchanges.len()
    }
}

/// What the gateway has to tell its account.
struct Served<'g> {
    running: &'g mut BTreeMap<u32, Exchange>,
    ended: &'g mut VecDeque<Box<Ended>>,
    holder: &'g mut Holder,
    finished: &'g mut Vec<Finished>,
    now: Millis,
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

/// How a stream stands after a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No content yet: another provider may still take over.
    Waiting,
    /// Content flows.
    Flowing,
    /// Nothing more will come: call [`Gateway::stream_end`].
    Ended,
    /// It failed before any content: call [`Gateway::stream_failed`].
    Failed,
    /// Its share of a budget is nearly used up: ask [`Gateway::more`], then go on with an empty chunk.
    Short,
    /// It must end now: break it off, then call [`Gateway::stream_end`].
    Cut,
}

impl Exchange {
    fn target(&self) -> Option<&Target> {
        self.targets.get(self.current)
    }

    /// Whether the client wants its stream as one array of JSON.
    fn array(&self, call: &Call<'_>) -> bool {
        call.stream() && call.api == Api::Generate && formats::route(&self.path).array
    }

    /// Reads a body that came with status 200.
    fn read_answer(&self, body: &[u8], now: Millis) -> std::result::Result<formats::Answered, (Cause, ProviderError)> {
        let finish = self.finish_after(Some(200), now);
        let target = self.target().and_then(|target| Some((&target.provider.row, target.endpoint()?)));
        match (&self.single, target) {
            (Some(Single::Count(client)), Some((row, _))) => {
                let (_, answer) = client.read_answer(row.dialect, body)?;
                let (facts, cost) = (ResponseFacts::default(), Some(CostBreakdown::default()));
                Ok(formats::Answered { facts, cost, body: Err(answer.to_string().into_bytes()) })
            }
            (Some(Single::Task(wanted)), Some((row, endpoint))) => {
                let quirks = formats::quirks(row, endpoint, self.wire);
                formats::read_single(wanted.read_answer(row.dialect, &addressee(endpoint, &quirks), body, &finish))
            }
            _ => formats::read_answer(self.wire, self.api.wire(), body, &finish, self.asked.as_ref()),
        }
    }

    /// The relay of the current attempt's stream.
    fn new_relay(&self, native: bool) -> Relay {
        let target = self.target().and_then(|target| Some((&target.provider.row, target.endpoint()?)));
        let quirks = target.map(|(row, endpoint)| formats::quirks(row, endpoint, self.wire)).unwrap_or_default();
        let empty = Addressee { model: "", quirks: &quirks, longest: None, model_longest: None };
        let addressee = target.map_or(empty, |(_, endpoint)| addressee(endpoint, &quirks));
        Relay::new(self.wire, self.api.wire(), &addressee, self.finish(), native, self.asked.clone())
    }

    fn note_attempt(&mut self, status: Option<u16>, cause: Option<&str>, now: Millis) {
        let Some(target) = self.targets.get(self.current) else { return };
        let end = self.relay.as_ref().and_then(Relay::first_content_at).filter(|_| cause.is_none()).unwrap_or(now);
        self.attempts.push(Attempt {
            provider: target.provider.row.slug.clone(),
            tag: target.endpoint().map_or("", Endpoint::tag).to_owned(),
            model: target.model.model.id.clone(),
            status,
            cause: cause.map(str::to_owned),
            latency_ms: end.since(self.attempt_started),
        });
    }

    fn finish(&self) -> Finish {
        let target = self.target();
        Finish {
            id: self.id.to_string(),
            model: target.map_or_else(String::new, |t| t.model.model.id.clone()),
            provider: target.map_or_else(String::new, |t| t.provider.row.name.clone()),
            pricing: target.and_then(|t| t.endpoint()?.pricing.clone()),
            policy: Rc::clone(&self.policy),
            estimated_prompt: self.estimated_prompt,
            created: self.started.seconds(),
            metadata: None,
        }
    }

    /// The same for the end of an attempt, with the routing story where it is wanted.
    fn finish_after(&self, status: Option<u16>, now: Millis) -> Finish {
        let metadata = self.wants_metadata.then(|| self.metadata(status, now).to_string());
        Finish { metadata, ..self.finish() }
    }

    /// `openrouter_metadata` (field: OpenRouter 2.5).
    fn metadata(&self, status: Option<u16>, now: Millis) -> serde_json::Value {
        let served = self.target();
        let name = |target: &Target| target.provider.row.name.clone();
        let mut attempts: Vec<serde_json::Value> = self
            .attempts
            .iter()
            .map(|attempt| serde_json::json!({ "provider": attempt.provider, "model": attempt.model, "status": attempt.status.unwrap_or(0) }))
            .collect();
        if let Some(target) = served {
            attempts.push(serde_json::json!({ "provider": target.provider.row.slug, "model": target.model.model.id, "status": status.unwrap_or(0) }));
        }
        let available: Vec<serde_json::Value> = self
            .targets
            .iter()
            .enumerate()
            .map(|(index, target)| serde_json::json!({ "provider": name(target), "model": target.model.model.id, "selected": index == self.current }))
            .collect();
        serde_json::json!({
            "requested": self.requested_model,
            "strategy": if self.attempts.is_empty() { "direct" } else { "fallback" },
            "region": null,
            "summary": format!(
                "{} of {} endpoints, ordered by {}",
                served.map_or_else(String::new, name), self.targets.len(), served.map_or("", |t| t.strategy)
            ),
            "attempt": self.attempts.len() + 1,
            "is_byok": false,
            "endpoints": { "total": self.targets.len(), "available": available },
            "attempts": attempts,
            "generation_time": now.since(self.attempt_started),
        })
    }

    /// The client's error when no attempt is left.
    fn failure(&self, cause: Cause, error: &ProviderError) -> Error {
        let provider = self.target().map_or("The provider", |target| target.provider.row.name.as_str());
        let kind = error.kind(cause.verdict().kind);
        let what = match cause {
            Cause::Connection => "could not be reached".to_owned(),
            Cause::Timeout => "did not answer in time".to_owned(),
            Cause::Stopped => "was told to stop".to_owned(),
            Cause::Status(status) => format!("answered with status {status}"),
            Cause::ErrorInBody(_) => "answered with an error".to_owned(),
            Cause::Malformed => "sent something that is not an answer".to_owned(),
        };
        let tried =
            if self.attempts.len() > 1 { format!(" ({} attempts in all)", self.attempts.len()) } else { String::new() };
        let words = match (&error.message, kind) {
            // What a provider says of the operator's credential is not the caller's to read.
            (_, ErrorKind::ProviderCredential) => ": it refused the gateway's credential".to_owned(),
            (Some(words), _) => format!(": {words}"),
            (None, _) => ".".to_owned(),
        };
        let mut failure = Error::new(kind, format!("{provider} {what}{tried}{words}"));
        if kind.facts().status < 500 {
            failure.param.clone_from(&error.param);
        }
        failure.retry_after_s = self.retry_after_s;
        let previous: Vec<serde_json::Value> = self
            .attempts
            .iter()
            .map(|attempt| serde_json::json!({ "provider": attempt.provider, "code": attempt.cause, "status": attempt.status }))
            .collect();
        failure = failure.meta("provider_name", provider).meta("previous_errors", previous);
        match &error.code {
            Some(code) if kind != ErrorKind::ProviderCredential => failure.meta("provider_code", code.clone()),
            _ => failure,
        }
    }

    /// Milliseconds to the first content, and output tokens per second over the whole attempt.
    #[expect(clippy::cast_precision_loss, reason = "an average")]
    fn speeds(&self, facts: &ResponseFacts, now: Millis) -> (Option<f64>, Option<f64>) {
        let first = self.relay.as_ref().and_then(Relay::first_content_at);
        let ttft = first.map(|at| at.since(self.attempt_started) as f64);
        let (tokens, ms) = (facts.usage.tokens.completion, now.since(self.attempt_started).max(1));
        // Short or estimated answers say nothing about speed.
        let throughput = (tokens >= 16 && !facts.usage.estimated).then(|| tokens as f64 * 1000.0 / ms as f64);
        (ttft, throughput)
    }

    fn event(
        &self,
        outcome: Outcome,
        status: u16,
        error: Option<ErrorKind>,
        facts: &ResponseFacts,
        cost: Option<CostBreakdown>,
        now: Millis,
    ) -> UsageEvent {
        let key = self.principal.key();
        let target = self.target();
        let endpoint = target.and_then(Target::endpoint);
        let first = self.relay.as_ref().and_then(Relay::first_content_at);
        let served = !matches!(outcome, Outcome::Error | Outcome::Lost);
        UsageEvent {
            v: 1,
            id: self.id.clone(),
            org: key.org.clone(),
            workspace_id: key.workspace_id.clone(),
            key_hash: key.hash.clone(),
            created_at: self.started,
            requested_model: self.requested_model.clone(),
            model: target.map_or_else(String::new, |t| t.model.model.id.clone()),
            provider: target.map_or_else(String::new, |t| t.provider.row.slug.clone()),
            provider_name: target.map_or_else(String::new, |t| t.provider.row.name.clone()),
            tag: endpoint.map_or("", Endpoint::tag).to_owned(),
            upstream_model: endpoint.map_or_else(String::new, |e| e.upstream_model.clone()),
            upstream_id: facts.upstream_id.clone(),
            streamed: self.stream,
            cancelled: outcome == Outcome::Cancelled,
            outcome,
            status,
            error_type: error.map(|kind| kind.facts().error_type.to_owned()),
            finish_reason: facts.finish_reason.clone(),
            native_finish_reason: facts.native_finish_reason.clone().or_else(|| facts.finish_reason.clone()),
            ttft_ms: first.map(|at| at.since(self.attempt_started)),
            latency_ms: first.unwrap_or(now).since(self.started),
            generation_ms: now.since(self.attempt_started),
            tokens: facts.usage.tokens,
            estimated: facts.usage.estimated || outcome == Outcome::Lost,
            cost_nano: cost.map(|c| c.total).filter(|_| served),
            provider_cost_nano: cost.filter(|c| served && c.provider != c.total).map(|c| c.provider),
            prompt_cost_nano: cost.map(|c| c.prompt).filter(|_| served),
            completion_cost_nano: cost.map(|c| c.completion).filter(|_| served),
            cache_discount_nano: cost.map(|c| c.cache_discount).filter(|_| served),
            provider_cost_usd: facts.usage.provider_cost,
            price_version: target.map_or_else(String::new, |t| t.model.price_version.clone()),
            strategy: target.map_or("", |t| t.strategy).to_owned(),
            attempts: self.attempts.clone(),
            user: self.user.clone(),
            session_id: self.session_id.clone(),
            user_agent: self.user_agent.clone(),
            http_referer: self.referer.clone(),
            app_title: self.title.clone(),
            service_tier: facts.service_tier.clone(),
        }
    }
}

fn session(rng: &mut Rng) -> String {
    format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64())
}

/// An error as an answer.
pub fn reply(api: Api, error: &Error, numeric_code: bool, id: Option<&GenerationId>) -> Reply {
    let mut headers = Vec::new();
    for (name, known) in [
        ("X-RateLimit-Limit", "x-ratelimit-limit"),
        ("X-RateLimit-Remaining", "x-ratelimit-remaining"),
        ("X-RateLimit-Reset", "x-ratelimit-reset"),
    ] {
        if let Some(value) = error.metadata.get("headers").and_then(|headers| headers.get(name)?.as_str()) {
            headers.push((known, value.to_owned()));
        }
    }
    if let Some(id) = id {
        headers.push(("x-generation-id", id.to_string()));
    }
    if let Some(seconds) = error.retry_after_s {
        headers.push(("retry-after", seconds.to_string()));
    }
    Reply {
        status: error.status(),
        headers,
        body: formats::write_error(api, error, numeric_code),
        log: error.context.as_ref().map(|context| format!("{}: {context}", error.kind.facts().code)),
    }
}

/// An answer that was given before.
fn replayed(kept: &Kept, answer: &[u8]) -> Reply {
    let content_type = if kept.stream { "text/event-stream; charset=utf-8" } else { "application/json" };
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

/// The key that a request presents.
fn presented_key(head: &Head<'_>) -> Result<VirtualKey> {
    let given = |value| Some(value).filter(|value: &&str| !value.is_empty());
    presented([given(head.authorization), given(head.api_key), given(head.goog_api_key)])
}

/// An endpoint as formats know it.
fn addressee<'e>(endpoint: &'e Endpoint, quirks: &'e [String]) -> Addressee<'e> {
    Addressee { model: &endpoint.upstream_model, quirks, longest: None, model_longest: endpoint.max_completion_tokens }
}

/// Names in a header: those that fit into it.
fn listed(names: &[String]) -> String {
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

/// What is known; nothing where it has to be asked first (noted in `asks`) or there is none.
fn found_or_ask<T>(lookup: Lookup<T>, store: &str, asks: &mut Vec<Ask>) -> Result<Option<T>> {
    match lookup {
        Lookup::Found(value) => Ok(Some(value)),
        Lookup::Absent => Ok(None),
        Lookup::Unavailable(why) => Err(Error::store(store, why)),
        Lookup::Ask(more) => {
            asks.extend(more);
            Ok(None)
        }
    }
}

fn gone() -> Effect {
    Effect::Reply(reply(Api::Chat, &Error::internal("an event for an exchange that is not there"), false, None))
}

fn unknown_key() -> Error {
    KeyRecord::refuse(
        "This API key is not known: it may have been deleted. Ask whoever manages the gateway for a new one.",
    )
}

/// Enough of a name to know it again.
fn short(name: &str) -> &str {
    name.char_indices().nth(100).map_or(name, |(end, _)| name.get(..end).unwrap_or(name))
}

fn unknown_model(slug: &Slug, name: &str) -> Error {
    let name = short(name);
    if let Some(variant) = slug.unknown_variant() {
        let message =
            format!("{name:?} is not in the catalog, and :{variant} is not a variant: known variants are {VARIANTS}.");
        return Error::new(ErrorKind::ModelNotFound, message).param("model").code("unknown_variant");
    }
    let meant = builtin::ids_named(&slug.id);
    let hint = if meant.is_empty() {
        "GET /v1/models lists what there is.".to_owned()
    } else {
        format!("Did you mean {}?", meant.join(" or "))
    };
    let mut error = Error::new(ErrorKind::ModelNotFound, format!("There is no model {name:?} in the catalog. {hint}"))
        .param("model");
    error.availability =
        Some(serde_json::json!({ "code": "model_not_found", "retryable": false, "requested_models": [name] }));
    error
}

/// 404: the models exist, but a rule removed their last endpoint. Says which.
fn nobody(names: &[String], excluded: &[(String, String, &'static str)]) -> Error {
    let removed: Vec<serde_json::Value> = excluded
        .iter()
        .map(|(model, tag, rule)| serde_json::json!({ "model": model, "endpoint": tag, "rule": rule }))
        .collect();
    let mut rules: Vec<&str> = excluded.iter().map(|(_, _, rule)| *rule).collect();
    rules.sort_unstable();
    rules.dedup();
    let hint = if rules == ["no_credential"] {
        " No credential is configured for any of its providers: set one with PUT /v1/admin/providers/{slug} or the provider's API key in the gateway's environment."
    } else {
        ""
    };
    let message =
        format!("No endpoint can serve {}: every one was removed by {}.{hint}", names.join(", "), rules.join(", "));
    let mut error = Error::new(ErrorKind::NoEndpoints, message).param("model").meta("excluded", removed);
    let code = if rules == ["no_credential"] { "no_endpoints" } else { "constraint_filtered" };
    error.availability =
        Some(serde_json::json!({ "code": code, "retryable": false, "requested_models": names, "excluded_by": rules }));
    error
}

#[cfg(test)]
mod tests;
