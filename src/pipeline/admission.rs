//! Step 4: what a request may cost, set aside from every meter it is charged to, before it is made.

use std::rc::Rc;

use super::{Gateway, admission, effects::Lookups, exchange::Target};
use crate::{
    auth::Principal,
    budget::{
        AccountKind, AccountRef, MeterId, Unit,
        estimate::{Bounds, Calibration},
        holder::{Amounts, Range, Reservation, Reserve, Standing},
        policy::{LoopDetection, Policy},
        wire::{self, MeterView},
    },
    catalog::{Endpoint, Model, Pricing, Tokens},
    error::{Error, ErrorKind, Result},
    formats::Call,
    known::Ask,
    money::NanoUsd,
    time::Millis,
};

/// Least part of an answer by which a running stream's share grows, in tokens.
const STEP: u64 = 256;
/// Tokens by which a count from bytes may be wrong in a short answer.
const SLACK: u64 = 128;
/// An answer shorter than this is of no use to anybody.
const SHORTEST: u64 = 16;

/// Longest name of an end user or a session, in characters.
const MAX_NAME: usize = 256;

/// What was set aside for a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Admitted {
    pub reservation: Reservation,
    bounds: Bounds,
    prices: Vec<Pricing>,
    policy: Rc<Policy>,
    choices: u64,
    /// Completion tokens that the reservation covers.
    covered: u64,
    /// The account was asked for more, in mid-stream.
    pub asked_more: bool,
}

/// What a request may use at the worst of the endpoints that may serve it.
pub(super) fn bounds<'e>(
    calibration: &Calibration,
    call: &Call<'_>,
    endpoints: impl Iterator<Item = (&'e Model, &'e Endpoint)>,
) -> Bounds {
    let mut worst = Bounds { units: call.units(), ..Bounds::default() };
    if call.is_free() {
        return worst;
    }
    for (model, endpoint) in endpoints {
        let context = endpoint.context_length.or(model.context_length);
        let limit = endpoint.max_completion_tokens.or(context);
        let here = calibration.bounds(&model.id, call.weight(), call.max_tokens(), limit, call.choices());
        // No prompt is longer than its model can take.
        worst.prompt = worst.prompt.max(here.prompt.min(context.unwrap_or(u64::MAX)));
        worst.open |= here.open;
        worst.likely = worst.likely.max(here.likely);
        worst.most = worst.most.max(here.most);
    }
    worst
}

/// The most that a request can cost at an endpoint; nothing where that is not bounded, or has no price.
pub(super) fn worst(
    calibration: &Calibration,
    policy: &Policy,
    call: &Call<'_>,
    model: &Model,
    endpoint: &Endpoint,
) -> Option<NanoUsd> {
    if call.is_free() {
        return Some(NanoUsd::default());
    }
    let bounds = bounds(calibration, call, std::iter::once((model, endpoint)));
    let prices = std::slice::from_ref(endpoint.pricing.as_ref()?);
    (!bounds.open).then(|| NanoUsd(amounts(prices, policy, bounds.prompt, bounds.most, bounds.units).usd))
}

/// The most that so many tokens, and what is not billed in tokens, cost at any of these prices.
fn amounts(prices: &[Pricing], policy: &Policy, prompt: u64, completion: u64, units: Tokens) -> Amounts {
    let most = |pricing: &Pricing| policy.charge(pricing.most(prompt, completion).plus(pricing.of_units(&units)));
    let usd = prices.iter().map(most).max().unwrap_or_default();
    let tokens = i64::try_from(prompt.saturating_add(completion)).unwrap_or(i64::MAX);
    Amounts { usd: usd.0, tokens }
}

/// The least and the most that a request of these bounds takes.
pub(super) fn range(prices: &[Pricing], policy: &Policy, bounds: Bounds, choices: u64) -> Range {
    let prompt = plant!(PromptForgotten, bounds.prompt, 0);
    let of = |completion| amounts(prices, policy, prompt, completion, bounds.units);
    let floor = bounds.likely.min(SHORTEST * choices.max(1));
    Range { floor: of(floor), least: of(bounds.likely), most: of(bounds.most) }
}

/// The longest answer that so much covers.
fn covered(prices: &[Pricing], policy: &Policy, bounds: Bounds, held: Amounts) -> u64 {
    let fits = |completion| {
        let need = amounts(prices, policy, bounds.prompt, completion, bounds.units);
        need.usd <= held.usd && need.tokens <= held.tokens
    };
    // By halves: prices may depend on the number of tokens.
    let (mut low, mut high) = (0, bounds.most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

impl Admitted {
    pub(super) fn new(
        reservation: Reservation,
        bounds: Bounds,
        prices: Vec<Pricing>,
        policy: Rc<Policy>,
        choices: u64,
    ) -> Self {
        let covered = if reservation.full { bounds.most } else { covered(&prices, &policy, bounds, reservation.held) };
        Self { reservation, bounds, prices, policy, choices: choices.max(1), covered, asked_more: false }
    }

    /// The longest answer to ask a provider for, where less was set aside than the client wants, or
    /// nobody else says how long it may become.
    pub(super) fn clamp(&self) -> Option<u64> {
        let whole = self.reservation.full && !(self.bounds.open && self.reservation.has_budget());
        let whole = self.reservation.is_empty() || whole;
        plant!(NeverClamped, !whole, false).then(|| (self.covered / self.choices).max(1))
    }

    /// What has to be set aside beyond this, for a stream that has written so many tokens: one whose
    /// provider does not keep to the longest answer it was asked for.
    pub(super) fn lacks(&self, written: u64) -> Option<Amounts> {
        // Beyond what the provider was asked for only what is certain counts, not a rough count.
        let whole = self.reservation.full || self.covered >= self.bounds.most;
        let short = if whole { self.used_up(written) } else { written >= self.covered };
        if self.reservation.is_empty() || !short {
            return None;
        }
        let of = |completion| amounts(&self.prices, &self.policy, 0, completion, Tokens::default());
        let (now, then) = (of(self.covered), of(self.covered + self.step()));
        Some(Amounts { usd: then.usd - now.usd, tokens: then.tokens - now.tokens })
    }

    /// That much was set aside.
    pub(super) fn grown(&mut self) {
        self.covered += plant!(GrownTwice, self.step(), 2 * self.step());
        self.asked_more = false;
    }

    fn step(&self) -> u64 {
        (self.bounds.likely / 2).max(STEP)
    }

    /// Its share is used up for certain, however roughly its tokens are counted.
    pub(super) fn used_up(&self, written: u64) -> bool {
        written > self.covered + self.covered / 2 + SLACK
    }
}

impl Gateway {
    /// Refuses a session that repeats itself, where the organization wants that.
    pub(super) fn refuse_loops(
        &mut self,
        accounts: &[AccountRef],
        body: &[u8],
        ticket: u32,
        now: Millis,
    ) -> Result<()> {
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
    pub(super) fn meters_of(
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

    pub(super) fn admit(
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
            let mut range = admission::range(&prices, &policy, bounds, call.choices());
            if let Some(most) = call.preferences().max_cost {
                // None of them can cost more: what exceeds it is of two endpoints' figures together.
                for amounts in [&mut range.floor, &mut range.least, &mut range.most] {
                    amounts.usd = amounts.usd.min(most.0);
                }
            }
            (range, bounds, prices)
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
}

/// What a request is charged to. Names that nobody could stop or set a budget for are refused.
pub(super) fn charged(
    principal: &Principal,
    user: Option<&str>,
    session: Option<&str>,
    tags: &[String],
    tracks: impl Fn(AccountKind) -> bool,
) -> Result<Vec<AccountRef>> {
    let mut accounts = principal.key().accounts().to_vec();
    let tags = tags.iter().map(|tag| (AccountKind::Tag, "tags", Some(&**tag)));
    let named = [(AccountKind::User, "user", user), (AccountKind::Session, "session_id", session)];
    for (kind, field, id) in named.into_iter().chain(tags) {
        let Some(id) = id.filter(|id| !matches!(*id, "" | "*")) else { continue };
        let fits = id.chars().count() <= MAX_NAME && !id.chars().any(char::is_control);
        if fits {
            accounts.push(AccountRef::new(kind, id));
        } else if tracks(kind) {
            let message = format!("{field} must have at most {MAX_NAME} characters, none of them a control.");
            return Err(Error::invalid(field, message));
        }
    }
    Ok(accounts)
}

/// 402, or 429 for a rate: a meter has too little left.
pub(super) fn refused(view: &MeterView, range: Range, now: Millis) -> Error {
    // A window of seconds that was never used, or is over, begins with its next use.
    let ends = now < view.until && view.until < crate::budget::meter::FOR_EVER;
    let resets_at = ends.then(|| view.until.iso());
    let whose = view.account.kind.words();
    let left = (view.limit - view.spent).max(0);
    let of_model = view.model.as_ref().map_or_else(String::new, |model| format!(" for {model}"));
    let amount = |amount: i64| match view.unit {
        Unit::Usd => format!("${}", NanoUsd(amount)),
        Unit::Tokens => format!("{amount} tokens"),
        Unit::Requests | Unit::Parallel => format!("{amount} requests"),
    };
    let (floor, need) = (range.floor.of(view.unit), range.least.of(view.unit));
    if view.rate {
        let what = match view.unit {
            Unit::Parallel => format!("{} at the same time", amount(view.limit)),
            Unit::Requests => amount(view.limit),
            Unit::Tokens | Unit::Usd => {
                format!("{} of {} are used, and this request may need {}", view.spent, amount(view.limit), need)
            }
        };
        let then = match (&resets_at, view.unit) {
            _ if floor > view.limit => "That never fits: ask for less, or have the limit raised.".to_owned(),
            (_, Unit::Parallel) => "Try again when one of them has ended.".to_owned(),
            (Some(at), _) => format!("It starts again at {at}."),
            (None, _) => "Try again in a moment.".to_owned(),
        };
        let wait_s = u32::try_from(((view.until.since(now) + 999) / 1000).max(1)).unwrap_or(u32::MAX);
        let name = view.name.split('@').next().unwrap_or_default().replace('_', " ");
        let message = format!("The rate limit of {whose}{of_model} is reached: {what} ({name}). {then}");
        return Error::new(ErrorKind::RateLimited, message)
            .retry_after(Some(if view.unit == Unit::Parallel { 1 } else { wait_s }))
            .meta("account", account(view))
            .meta("limit_name", view.name.clone())
            .meta("headers", rate_headers(view, now));
    }
    let then = match &resets_at {
        Some(at) => format!("It resets at {at}; whoever manages the gateway can raise it."),
        None if view.until < crate::budget::meter::FOR_EVER => "Whoever manages the gateway can raise it.".to_owned(),
        None => "It does not reset; whoever manages the gateway can raise it.".to_owned(),
    };
    // What is held would do if it came back.
    let why = if view.held > 0 && left >= range.floor.of(view.unit) {
        " and the rest is set aside for requests that are running"
    } else {
        ""
    };
    let (limit, spent, need) = (amount(view.limit), amount(view.spent), amount(need));
    let (code, message) = match view.name.as_str() {
        // Its limit is such that what is free is the balance: nobody's figure.
        "credits" => {
            let left = amount(left);
            let message = format!(
                "The prepaid credits of {whose} do not cover this request: {left} are left{why}; it may need {need}. Whoever manages the gateway can add to them."
            );
            ("credits_exhausted", message)
        }
        name => {
            let code = if name == "limit" { "key_limit_reached" } else { "budget_exceeded" };
            let message = format!(
                "The budget of {whose}{of_model} does not cover this request: {spent} of {limit} are used{why}; it may need {need}. {then}"
            );
            (code, message)
        }
    };
    let unit = match view.unit {
        Unit::Usd => "usd",
        Unit::Tokens => "tokens",
        Unit::Requests | Unit::Parallel => "requests",
    };
    let mut error = Error::new(ErrorKind::PaymentRequired, message).code(code).meta("account", account(view));
    for (name, amount) in [("limit", view.limit), ("spent", view.spent), ("held", view.held), ("remaining", left)] {
        let name = format!("{name}_{unit}");
        error = match view.unit {
            Unit::Usd => error.meta(&name, NanoUsd(amount).to_json()),
            _ => error.meta(&name, amount),
        };
    }
    error.meta("budget", view.name.clone()).meta("resets_at", resets_at)
}

fn account(view: &MeterView) -> serde_json::Value {
    serde_json::json!({ "kind": view.account.kind.name(), "id": view.account.id })
}

/// The standing of a rate limit, as OpenRouter names its headers.
pub(super) fn rate_headers(view: &MeterView, now: Millis) -> serde_json::Value {
    let left = view.free().max(0);
    let reset = if view.unit == Unit::Parallel { now.plus(1_000) } else { view.until.max(now) };
    serde_json::json!({
        "X-RateLimit-Limit": view.limit.to_string(),
        "X-RateLimit-Remaining": left.to_string(),
        "X-RateLimit-Reset": reset.0.to_string(),
    })
}

/// 403: an account was stopped.
pub(super) fn stopped(account: &AccountRef) -> Error {
    let message = format!(
        "Requests of {} are stopped by whoever manages the gateway. They can let it go on (POST .../resume).",
        account.kind.words()
    );
    Error::new(ErrorKind::Forbidden, message)
        .code("stopped")
        .meta("account", serde_json::json!({ "kind": account.kind.name(), "id": account.id }))
}

/// 400: nobody knows what it would cost, and it is charged to a budget.
pub(super) fn unpriced(models: &[String]) -> Error {
    let message = format!(
        "{} has no price in the catalog, and this key has a budget: what it costs could not be held. Set its pricing (PUT /v1/admin/models/...), or allow it with the key's `allow_unpriced`.",
        models.join(", ")
    );
    Error::new(ErrorKind::InvalidRequest, message).param("model").code("model_unpriced")
}

/// 400: a session goes round in circles.
pub(super) fn looping(rule: LoopDetection) -> Error {
    let message = format!(
        "This session has sent the same request {} times within {} seconds: it seems to go round in circles. Change the request, or wait.",
        rule.repeats, rule.window_s
    );
    Error::new(ErrorKind::InvalidRequest, message).param("session_id").code("loop_detected")
}
