//! Isolates: the real gateway, and around it what `src/entry/*.mjs` does with its effects, under clocks
//! and messages that fail. Where the two differ, this is wrong.

use std::{collections::BTreeMap, rc::Rc};

use serde_json::{Value, json};
use sluice::{
    budget::Unit,
    dialect::passing::StreamEnd,
    known::Ask,
    metering::{CommitReply, CommitRequest, UsageEvent},
    pipeline::{Config, Effect, Fetch, Gateway, Head, Lookups, Progress},
    time::Millis,
};

use crate::{
    oracle::{Held, Share, broken},
    provider::{Goes, Says, Script},
    terms::MODELS,
    world::{What, World},
};

const STORE_MS: i64 = 900;
const MOST_ROUNDS: u32 = 200;
const TAKE_OVER_MS: i64 = 15_000;
const MOST_PAUSE_MS: i64 = 50;
const NOTE_MS: i64 = 60;
const TICK_MS: i64 = 1_000;
const ALIVE_MS: i64 = 10_000;

/// What follows when the questions of a look-up are answered.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    Begin(u64),
    More(u64),
    Nothing,
}

/// A message to the object that is under way.
#[derive(Clone, Debug)]
pub enum Pending {
    Ask { lookup: u64, org: String, asked: Millis },
    Batch { seq: u64, mine: u64, failures: u32, asked: Millis },
}

/// A request as the entry holds it.
pub struct Request {
    pub key: usize,
    pub body: Rc<str>,
    pub stream: bool,
    ticket: u32,
    rounds: u32,
    /// 0 until it is admitted.
    pub exchange: u32,
    attempt: u32,
    script: Option<Script>,
    pub shares: Vec<Share>,
    fetch: Option<([u32; 3], bool)>,
    opened: bool,
    paused: bool,
    silent: i64,
    seen: i64,
    probe: bool,
    came: i64,
}

/// An isolate, or the place of one.
pub struct Isolate {
    pub up: bool,
    pub life: u32,
    pub gateway: Gateway,
    pub session: String,
    pub skew: i64,
    drift_ppm: i64,
    born: i64,
    pub requests: BTreeMap<u64, Request>,
    lookups: BTreeMap<u64, (usize, Then)>,
    pending: BTreeMap<u64, Pending>,
    /// When the flush of now began, by its clock, and which that is.
    flushing: Option<(Millis, u64)>,
    /// Cut off: what it says, what it is told.
    pub cut: (bool, bool),
}

impl Isolate {
    /// None yet.
    pub fn down() -> Self {
        Self {
            up: false,
            life: 0,
            gateway: Gateway::new(Config::default()),
            session: String::new(),
            skew: 0,
            drift_ppm: 0,
            born: 0,
            requests: BTreeMap::new(),
            lookups: BTreeMap::new(),
            pending: BTreeMap::new(),
            flushing: None,
            cut: (false, false),
        }
    }
}

impl World {
    pub fn clock(&self, n: usize) -> Millis {
        let isolate = &self.isolates[n];
        Millis(self.now + isolate.skew + (self.now - isolate.born) * isolate.drift_ppm / 1_000_000)
    }

    fn start(&mut self, n: usize) {
        let seed = self.draw.bits();
        let skew = self.draw.range(-self.faults.skew, self.faults.skew);
        let drift_ppm = self.draw.range(-self.faults.drift_ppm, self.faults.drift_ppm);
        let env = [("SIM_KEY".to_owned(), "sk-provider".to_owned())].into();
        let gateway = Gateway::new(Config { env, seed });
        let life = self.isolates[n].life + 1;
        let session = gateway.session().to_owned();
        self.note(|| format!("isolate {n} begins life {life} as {session}"));
        self.isolates[n] = Isolate {
            up: true,
            life,
            gateway,
            session,
            skew,
            drift_ppm,
            born: self.now,
            cut: self.isolates[n].cut,
            ..Isolate::down()
        };
    }

    /// The isolate is gone, with all it knew.
    pub fn crash(&mut self, n: usize) {
        self.note(|| format!("isolate {n} dies"));
        self.isolates[n].up = false;
        self.isolates[n].life += 1;
        for (_, request) in std::mem::take(&mut self.isolates[n].requests) {
            self.oracle.died(&request.shares);
        }
        self.isolates[n].pending.clear();
    }

    /// Between two effects: true if the isolate died there.
    fn boundary(&mut self, n: usize, state: &'static str) -> bool {
        if self.healing || !self.draw.chance(self.faults.crash) {
            return false;
        }
        self.cover("crash", state);
        self.crash(n);
        true
    }

    // Clients.

    pub fn arrive(&mut self) -> Held {
        if self.healing {
            return Ok(());
        }
        let mut gap = self.draw.range(0, 2 * self.arrive_every);
        if self.draw.chance(0.2) {
            gap = 0;
        }
        if self.draw.chance(self.faults.long_idle) {
            // A batch that nobody answers for two days may be counted twice: the account has forgotten it.
            let lossy =
                self.faults.answer_lost + self.faults.partition + self.faults.flush_killed + self.faults.request_lost
                    > 0.0;
            gap = self.draw.wide(60_000, if lossy { 12 * 3_600_000 } else { 40 * 86_400_000 });
            self.cover(
                "idle",
                if gap > 86_400_000 {
                    "for days"
                } else if gap > 3_600_000 {
                    "for hours"
                } else {
                    "for minutes"
                },
            );
        }
        self.at(gap, What::Arrive);
        let key = self.draw.range(0, self.keys.len() as i64 - 1) as usize;
        let body = self.body();
        self.come(key, body)
    }

    fn body(&mut self) -> Rc<str> {
        let model = self.draw.range(0, 2) as usize;
        let text = "y".repeat(self.draw.wide(1, 1_500) as usize);
        let mut body = json!({ "model": MODELS[model], "messages": [{ "role": "user", "content": text }] });
        if self.draw.chance(0.2) {
            let other = *self.draw.pick(&MODELS);
            if other != MODELS[model] {
                body["models"] = json!([other]);
            }
        }
        if self.draw.chance(0.6) {
            // Nobody serves who cannot write so much.
            let most = self.limits.iter().flatten().copied().min().unwrap_or(2_000);
            body["max_tokens"] = self.draw.wide(1, most).into();
        }
        if self.draw.chance(0.4) {
            body["stream"] = true.into();
        }
        if self.draw.chance(0.3) {
            body["user"] = (*self.draw.pick(&["u0", "u1", "u2"])).into();
        }
        if self.draw.chance(0.3) {
            body["session_id"] = (*self.draw.pick(&["s0", "s1", "s2"])).into();
        }
        if self.draw.chance(0.2) {
            body["tags"] = json!([*self.draw.pick(&["t0", "t1"])]);
        }
        body.to_string().into()
    }

    /// A client with that key and body comes to some isolate.
    pub fn come(&mut self, key: usize, body: Rc<str>) -> Held {
        let n = self.draw.range(0, self.isolates.len() as i64 - 1) as usize;
        self.come_to(n, key, body, false)
    }

    pub fn come_to(&mut self, n: usize, key: usize, body: Rc<str>, probe: bool) -> Held {
        if !self.isolates[n].up {
            self.start(n);
        }
        self.requests += 1;
        let id = self.requests;
        let request = Request {
            key,
            stream: body.contains("\"stream\":true"),
            body,
            ticket: 0,
            rounds: 0,
            exchange: 0,
            attempt: 0,
            script: None,
            shares: Vec::new(),
            fetch: None,
            opened: false,
            paused: false,
            silent: 0,
            seen: 0,
            probe,
            came: self.now,
        };
        self.isolates[n].requests.insert(id, request);
        self.begin(n, id)
    }

    fn begin(&mut self, n: usize, id: u64) -> Held {
        let now = self.clock(n);
        let Some(request) = self.isolates[n].requests.get(&id) else { return Ok(()) };
        let (body, ticket) = (Rc::clone(&request.body), request.ticket);
        let authorization = format!("Bearer {}", self.keys[request.key].secret);
        let head = Head { authorization: &authorization, ..Head::default() };
        let effect = self.isolates[n].gateway.begin(&head, body.as_bytes(), ticket, now);
        // It may have begun a new life.
        if self.isolates[n].session != self.isolates[n].gateway.session() {
            self.isolates[n].session = self.isolates[n].gateway.session().to_owned();
            self.cover("isolate", "a new life after a long silence");
        }
        if self.boundary(n, "asking") {
            return Ok(());
        }
        match effect {
            Effect::Lookup(Lookups { ticket, pause_ms, asks }) => {
                let Some(request) = self.isolates[n].requests.get_mut(&id) else { return Ok(()) };
                request.ticket = ticket;
                request.rounds += 1;
                if request.rounds > MOST_ROUNDS {
                    // The entry gives up, and answers 500.
                    self.cover("request", "gives up asking");
                    if self.calm && self.faults.admin_every == 0 {
                        return Err(broken("L5 answers", format!("request {id} asks and asks")));
                    }
                    return self.over(n, id, 500, "");
                }
                self.look_up(n, asks, pause_ms, Then::Begin(id));
                Ok(())
            }
            Effect::Fetch(call) => {
                self.admitted(n, id, &call)?;
                self.fetch(n, id, &call)?;
                let after = NOTE_MS;
                if self.isolates[n].flushing.is_none_or(|(since, _)| self.clock(n).since(since) >= TAKE_OVER_MS) {
                    self.for_isolate(n, after, What::NoteIfLong { request: id });
                }
                if self.isolates[n].requests.get(&id).is_some_and(|request| !request.stream) {
                    self.for_isolate(n, ALIVE_MS, What::Alive { request: id });
                }
                let now = self.clock(n);
                let asks = self.isolates[n].gateway.refreshes(call.exchange, now);
                if !asks.is_empty() {
                    self.look_up(n, asks, 0, Then::Nothing);
                }
                Ok(())
            }
            Effect::Reply(reply) => {
                self.refused(n, id, reply.status, &reply.body)?;
                self.over(n, id, reply.status, &reply.body)
            }
            Effect::Again(_) | Effect::Gather(..) | Effect::Answer(_) | Effect::Written(_) => {
                Err(broken("entry", "an effect that cannot follow a begin"))
            }
        }
    }

    /// What a request is told that is not admitted.
    fn refused(&mut self, n: usize, id: u64, status: u16, body: &str) -> Held {
        self.mix(&[i64::from(status)]);
        self.cover(
            "answered",
            match status {
                402 => "402",
                429 => "429",
                503 => "503",
                403 => "403",
                401 => "401",
                _ => "otherwise",
            },
        );
        if !matches!(status, 402 | 429 | 503 | 403 | 401) {
            return Err(broken("L5 answers", format!("{status} {body}")));
        }
        if status == 403 {
            return self.stopped_rightly(&self.isolates[n].requests[&id], body);
        }
        if !matches!(status, 402 | 429) {
            return Ok(());
        }
        let error: Value = serde_json::from_str(body).unwrap_or_default();
        let data = &error["error"]["metadata"];
        let name = data["budget"].as_str().or(data["limit_name"].as_str()).unwrap_or_default();
        let account = format!(
            "{}:{}",
            data["account"]["kind"].as_str().unwrap_or_default(),
            data["account"]["id"].as_str().unwrap_or_default()
        );
        let found =
            self.oracle.meters.iter().find(|(_, terms)| terms.name == name && terms.account.to_string() == account);
        let Some((meter, terms)) = found else { return Ok(()) };
        let lately =
            self.changed.get(meter).is_some_and(|at| self.now - at < 30_000 + self.faults.longest_delay + self.back);
        if lately {
            return Ok(());
        }
        if !terms.hard {
            return Err(broken("L4 refusal", format!("refused by a soft meter: {body}")));
        }
        let request = &self.isolates[n].requests[&id];
        if terms.model.as_ref().is_some_and(|model| !request.body.contains(model.as_str())) {
            return Err(broken("L4 refusal", format!("refused by the meter of another model: {body}")));
        }
        Ok(())
    }

    /// Whom a request is charged to; its workspace only where that was not changed a moment ago.
    fn accounts_of(&self, request: &Request, moved: bool) -> Vec<String> {
        let key = &self.keys[request.key];
        let mut accounts = vec!["organization:default".to_owned(), format!("key:{}", key.hash)];
        if !moved {
            accounts.push(format!("workspace:{}", key.workspace));
        }
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        for (kind, word) in [("user", &body["user"]), ("session", &body["session_id"]), ("tag", &body["tags"][0])] {
            accounts.extend(word.as_str().map(|word| format!("{kind}:{word}")));
        }
        accounts
    }

    /// L4: nobody is told that he is stopped who is not.
    fn stopped_rightly(&self, request: &Request, body: &str) -> Held {
        let lately = |at: &i64| self.now - at <= 8_000 + self.back + 100;
        if lately(&self.keys[request.key].moved_at) {
            return Ok(());
        }
        let is_stopped =
            |account: &String| self.stops.contains_key(account) || self.freed.get(account).is_some_and(lately);
        if self.accounts_of(request, false).iter().any(is_stopped) {
            return Ok(());
        }
        Err(broken("L4 refusal", format!("nothing of it is stopped: {body}")))
    }

    /// I8, I9: who is admitted may be.
    fn admitted(&mut self, n: usize, id: u64, call: &Fetch) -> Held {
        let request = &self.isolates[n].requests[&id];
        let key = &self.keys[request.key];
        let allowed = 8_000 + self.back + 100;
        let late = |since: i64| self.now - since > allowed;
        if key.disabled_at.is_some_and(late) {
            return Err(broken(
                "I9 stop",
                format!(
                    "request {id} admitted {} ms after its key was disabled",
                    self.now - key.disabled_at.unwrap_or(0)
                ),
            ));
        }
        let accounts = self.accounts_of(request, !late(key.moved_at));
        for account in &accounts {
            if let Some(since) = self.stops.get(account).copied().filter(|since| late(*since)) {
                return Err(broken(
                    "I9 stop",
                    format!("request {id} admitted {} ms after {account} was stopped", self.now - since),
                ));
            }
        }
        // Every hard meter that has been there for long enough is charged.
        let shares = shares(self.isolates[n].gateway.reservation(call.exchange));
        for (meter, terms) in &self.oracle.meters {
            let charged =
                accounts.contains(&terms.account.to_string()) && self.changed.get(meter).copied().is_none_or(late);
            let model = terms.model.as_ref().is_none_or(|model| request.body.contains(model.as_str()));
            if charged && model && !shares.iter().any(|share| share.of.0 == *meter) {
                return Err(broken("I8 charged", format!("request {id} is not charged to {meter} {terms:?}")));
            }
        }
        for share in &shares {
            let over = self.until.get(&share.of).is_some_and(|until| self.now - until > 22_000 + self.back);
            if over && self.calm {
                return Err(broken(
                    "I8 window",
                    format!("request {id} is charged to a window that was over: {share:?}"),
                ));
            }
        }
        // Accounts of a kind have what all of that kind have by default.
        for (meter, terms) in self.oracle.meters.iter().filter(|(_, terms)| terms.account.is_default()) {
            let known = self.changed.get(meter).copied().is_none_or(late);
            for account in
                accounts.iter().filter(|account| account.split(':').next() == Some(terms.account.kind.name()))
            {
                let mut own = self.oracle.meters.values().filter(|own| own.account.to_string() == **account);
                let removed = self.removed.get(&(account.clone(), terms.name.clone())).copied();
                if known && removed.is_none_or(late) && !own.any(|own| own.name == terms.name) {
                    return Err(broken("I8 charged", format!("request {id} of {account} has none of {terms:?}")));
                }
            }
        }
        let now = self.now;
        let request = self.isolates[n].requests.get_mut(&id);
        if let Some(request) = request {
            request.exchange = call.exchange;
        }
        self.mix(&[now, i64::from(call.exchange), shares.iter().map(|share| share.amount).sum()]);
        self.cover("answered", "admitted");
        self.note(|| format!("isolate {n} admits request {id}: {shares:?}"));
        Ok(())
    }

    /// The shares of a request as they stand.
    fn grow(&mut self, n: usize, id: u64) -> Held {
        let Isolate { gateway, requests, .. } = &mut self.isolates[n];
        let Some(request) = requests.get_mut(&id) else { return Ok(()) };
        let mut is = shares(gateway.reservation(request.exchange));
        // Places that were given to others stay given.
        for (is, was) in is.iter_mut().zip(&request.shares) {
            if was.unit == Unit::Parallel && was.amount == 0 {
                is.amount = 0;
            }
        }
        if is == request.shares {
            return Ok(());
        }
        let was = std::mem::replace(&mut request.shares, is.clone());
        self.oracle.set_aside(&was, &is)
    }

    fn fetch(&mut self, n: usize, id: u64, call: &Fetch) -> Held {
        self.grow(n, id)?;
        let request = &self.isolates[n].requests[&id];
        let sent = call.body.bytes(request.body.as_bytes());
        let sent = String::from_utf8_lossy(&sent).into_owned();
        let asked = ["\"max_tokens\":", "\"max_completion_tokens\":"].into_iter().find_map(|name| {
            let rest = &sent[sent.find(name)? + name.len()..];
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<i64>().ok()
        });
        let which = self.model_of(n, call.exchange);
        let limit = self.limits[which].unwrap_or(4_000);
        let most = asked.map_or(limit, |asked| asked.min(limit));
        let (bytes, stream) = (request.body.len(), request.stream);
        let script = Script::draw(&mut self.draw, &self.faults, which, bytes, most, stream);
        if self.boundary(n, "about to call a provider") {
            return Ok(());
        }
        let [total, first, _] = call.timeouts_ms.map(i64::from);
        let after = match (script.goes, stream) {
            (Goes::Hangs, false) | (Goes::Stalls, false) => total,
            (Goes::Hangs, true) => first,
            _ => self.draw.wide(1, 30_000).min(first - 1).min(total - 1),
        };
        self.note(|| format!("request {id} goes out: {script:?}, answer in {after} ms"));
        let Some(request) = self.isolates[n].requests.get_mut(&id) else { return Ok(()) };
        request.script = Some(script);
        request.fetch = Some((call.timeouts_ms, call.stream));
        request.attempt += 1;
        let attempt = request.attempt;
        if stream && attempt == 1 {
            let keepalive = i64::from(call.keepalive_ms);
            self.for_isolate(n, keepalive, What::Late { request: id, keepalive });
        }
        self.for_isolate(n, after, What::Provider { request: id, attempt });
        Ok(())
    }

    /// Which model serves an exchange now: its event would say so.
    fn model_of(&self, n: usize, exchange: u32) -> usize {
        let name = self.isolates[n].gateway.serving(exchange).unwrap_or_default();
        MODELS.iter().position(|model| *model == name).unwrap_or(0)
    }

    /// A request is over, for its client.
    fn over(&mut self, n: usize, id: u64, status: u16, body: &str) -> Held {
        let Some(request) = self.isolates[n].requests.remove(&id) else { return Ok(()) };
        if request.probe {
            self.probe = Some(crate::world::Probe { answered: Some((status, body.to_owned())) });
        } else if matches!(status, 402 | 429 | 503) && !self.healing && self.draw.chance(0.3) {
            let after = self.draw.wide(10, 20_000);
            self.cover("client", "tries again");
            self.at(after, What::Retry { key: request.key, body: request.body });
        }
        self.commit(n);
        Ok(())
    }

    /// The gateway has ended a request: what its event will say is what it is charged.
    fn settled(&mut self, n: usize, id: u64) -> Held {
        let Some(request) = self.isolates[n].requests.get(&id) else { return Ok(()) };
        let Some(event) = self.isolates[n].gateway.last_ended() else {
            return Err(broken("I6 rows", "a request ended without an event"));
        };
        let (mut honest, mut wordy) = (false, false);
        if let Some(script) = &request.script {
            let served = matches!(event.outcome, sluice::metering::Outcome::Ok | sluice::metering::Outcome::Cancelled);
            (honest, wordy) = (script.honest && served && !event.estimated, script.wordy && served);
            if served && !event.estimated && matches!(script.says, Says::Truth) {
                self.billed_right(script, &event)?;
            }
            wordy &= event.estimated || script.says == Says::Truth;
        }
        let shares = request.shares.clone();
        // Terms that change meanwhile, or shortly before and not yet known here, let a share not grow.
        let since = request.came - 30_000 - self.faults.longest_delay - self.back;
        let settled = shares.iter().all(|share| {
            self.changed.get(&share.of.0).is_none_or(|at| *at < since) && self.oracle.meters.contains_key(&share.of.0)
        });
        // Who writes more than was asked for is ended when its share is used up for certain: half of it, and
        // two hundred tokens, may be a matter of counting.
        let model = MODELS.iter().position(|model| *model == event.model).unwrap_or(0);
        let dearest =
            self.prices.iter().filter(|((_, of), _)| *of == model).map(|(_, price)| price.1).max().unwrap_or(0);
        let rough = |share: &Share| match share.unit {
            Unit::Usd => share.amount / 2 + 200 * dearest,
            Unit::Tokens => share.amount / 2 + 200,
            Unit::Requests | Unit::Parallel => 0,
        };
        let slack: Option<&dyn Fn(&Share) -> i64> = match (settled && honest, settled && wordy) {
            (true, _) => Some(&|_| 0),
            (_, true) => Some(&rough),
            _ => None,
        };
        self.mix(&[event.cost_nano.map_or(-1, |cost| cost.0), event.tokens.completion as i64]);
        self.note(|| {
            format!(
                "isolate {n} settles request {id} {} {:?} {:?} {shares:?}",
                event.id, event.outcome, event.cost_nano
            )
        });
        self.oracle.settle(&shares, &event, slack)?;
        if let Some(request) = self.isolates[n].requests.get_mut(&id) {
            request.shares.clear();
        }
        Ok(())
    }

    fn billed_right(&self, script: &Script, event: &UsageEvent) -> Held {
        let model = MODELS.iter().position(|model| *model == event.model).unwrap_or(0);
        let revision = event.price_version.strip_prefix("catalog-").and_then(|text| text.parse().ok()).unwrap_or(0);
        let Some((prompt, completion)) = self.prices.get(&(revision, model)) else { return Ok(()) };
        let bill = script.prompt * prompt + script.completion * completion;
        if event.cost_nano.map(|cost| cost.0) != Some(bill) {
            return Err(broken("I5 once", format!("the provider bills {bill}, the event says {:?}", event.cost_nano)));
        }
        Ok(())
    }

    // Questions.

    fn look_up(&mut self, n: usize, asks: Vec<Ask>, pause: i64, then: Then) {
        self.tokens += 1;
        let lookup = self.tokens;
        self.isolates[n].lookups.insert(lookup, (asks.len().max(1), then));
        self.for_isolate(n, pause, What::Asks { lookup, asks });
    }

    pub fn ask(&mut self, n: usize, lookup: u64, asks: Vec<Ask>) -> Held {
        if asks.is_empty() {
            return self.ready(n, lookup);
        }
        for ask in asks {
            match ask {
                Ask::Kv(key) => {
                    let after = self.draw.range(0, 4);
                    self.for_isolate(n, after, What::Kv { lookup, key });
                }
                Ask::Account { org, since, keys, charged, ask, claim } => {
                    let session = self.isolates[n].session.clone();
                    let claims = claim.into_iter().collect();
                    let request =
                        CommitRequest { session, since, keys, charged, ask, claims, ..CommitRequest::default() };
                    let body = serde_json::to_string(&request).expect("a question can be written");
                    let asked = self.clock(n);
                    let token = self.send(n, body.into(), Pending::Ask { lookup, org, asked });
                    self.for_isolate(n, STORE_MS, What::Timeout { token });
                }
            }
        }
        Ok(())
    }

    pub fn learn_kv(&mut self, n: usize, lookup: u64, key: &str) -> Held {
        let now = self.clock(n);
        if !self.healing && self.draw.chance(self.faults.kv_fails) {
            self.cover("kv", "fails");
            self.isolates[n].gateway.known().kv_unavailable(key, "KV is down", now);
        } else {
            let value = self.kv.get(key).cloned();
            self.isolates[n].gateway.known().learn_kv(key, value.as_deref(), now);
        }
        self.ready(n, lookup)
    }

    fn send(&mut self, n: usize, body: Rc<str>, pending: Pending) -> u64 {
        self.tokens += 1;
        let token = self.tokens;
        let state = if matches!(pending, Pending::Batch { .. }) { "batch" } else { "question" };
        self.isolates[n].pending.insert(token, pending);
        if self.isolates[n].cut.0 || !self.healing && self.draw.chance(self.faults.request_lost) {
            self.cover("request lost", state);
            if self.draw.chance(0.5) {
                let after = self.draw.wide(1, 3_000);
                self.for_isolate(n, after, What::ToIsolate { token, answer: None });
            }
            return token;
        }
        let mut copies = 1;
        if !self.healing && self.draw.chance(self.faults.doubled) {
            self.cover("request doubled", state);
            copies += self.draw.range(1, 4);
        }
        for _ in 0..copies {
            let after = self.delay();
            self.for_isolate(n, after, What::ToObject { token, body: Rc::clone(&body) });
        }
        token
    }

    /// An answer, or word that there is none.
    pub fn answer(&mut self, n: usize, token: u64, answer: Option<&str>) -> Held {
        let Some(pending) = self.isolates[n].pending.remove(&token) else { return Ok(()) };
        let now = self.clock(n);
        let reply: Option<CommitReply> = match answer {
            Some(text) => Some(serde_json::from_str(text).map_err(|error| broken("wire", error.to_string()))?),
            None => None,
        };
        match pending {
            Pending::Ask { lookup, org, asked } => {
                let known = self.isolates[n].gateway.known();
                match reply {
                    Some(reply) => known.learn_account(&org, reply, asked, now),
                    None => known.account_unavailable(&org, "no answer", now),
                }
                if self.boundary(n, "answered") {
                    return Ok(());
                }
                self.ready(n, lookup)
            }
            Pending::Batch { seq, mine, failures, asked } => match reply {
                Some(reply) => {
                    self.isolates[n].gateway.batch_done(seq, reply, asked, now);
                    if self.boundary(n, "batch done") {
                        return Ok(());
                    }
                    let pause = (9 * now.since(asked).max(1)).min(MOST_PAUSE_MS);
                    self.for_isolate(n, pause, What::Flush { mine, failures: 0 });
                    Ok(())
                }
                None => {
                    self.isolates[n].gateway.batch_failed(seq, now);
                    let pause = (100_i64 << failures.min(10)).min(5_000);
                    self.for_isolate(n, pause, What::Flush { mine, failures: failures + 1 });
                    Ok(())
                }
            },
        }
    }

    fn ready(&mut self, n: usize, lookup: u64) -> Held {
        let Some((left, then)) = self.isolates[n].lookups.get_mut(&lookup) else { return Ok(()) };
        *left -= 1;
        if *left > 0 {
            return Ok(());
        }
        let then = *then;
        self.isolates[n].lookups.remove(&lookup);
        match then {
            Then::Begin(id) => self.begin(n, id),
            Then::More(id) => self.had_more(n, id),
            Then::Nothing => Ok(()),
        }
    }

    // Batches.

    /// Sends what there is to send, unless that is being done.
    pub fn commit(&mut self, n: usize) {
        if !self.isolates[n].up {
            return;
        }
        let now = self.clock(n);
        if self.isolates[n].flushing.is_some_and(|(since, _)| now.since(since) < TAKE_OVER_MS) {
            return;
        }
        self.tokens += 1;
        let mine = self.tokens;
        self.isolates[n].flushing = Some((now, mine));
        self.for_isolate(n, 0, What::Flush { mine, failures: 0 });
    }

    pub fn flush(&mut self, n: usize, mine: u64, failures: u32) -> Held {
        if self.isolates[n].flushing.is_none_or(|(_, flush)| flush != mine) {
            return Ok(());
        }
        if !self.healing && self.draw.chance(self.faults.flush_killed) {
            self.cover("flush", "killed");
            return Ok(());
        }
        let now = self.clock(n);
        let Some((seq, text)) = self.isolates[n].gateway.take_batch(now) else {
            if self.isolates[n].gateway.untold() {
                self.for_isolate(n, NOTE_MS, What::Flush { mine, failures });
            } else {
                self.isolates[n].flushing = None;
            }
            return Ok(());
        };
        self.made(n, seq, &text)?;
        if self.boundary(n, "batch made") {
            return Ok(());
        }
        self.send(n, text.into(), Pending::Batch { seq, mine, failures, asked: now });
        if self.boundary(n, "batch sent") {
            return Ok(());
        }
        Ok(())
    }

    fn made(&mut self, n: usize, seq: u64, text: &str) -> Held {
        let session = self.isolates[n].session.clone();
        if self.oracle.made.contains_key(&(session.clone(), seq)) {
            self.cover("batch", "sent again");
            return Ok(());
        }
        let request: CommitRequest = serde_json::from_str(text).map_err(|error| broken("wire", error.to_string()))?;
        let events: Vec<UsageEvent> = match &request.events {
            Some(raw) => serde_json::from_str(raw.get()).map_err(|error| broken("wire", error.to_string()))?,
            None => Vec::new(),
        };
        let totals: Vec<_> = request.totals.iter().map(|total| ((total.meter.0, total.window), total.used)).collect();
        self.mix(&[seq as i64, totals.len() as i64, totals.iter().map(|(_, used)| *used).sum()]);
        self.oracle.make(&session, seq, &events, &request.open, &totals)
    }

    // Providers.

    pub fn provider(&mut self, n: usize, id: u64, attempt: u32) -> Held {
        let now = self.clock(n);
        let Some(request) = self.isolates[n].requests.get_mut(&id).filter(|request| request.attempt == attempt) else {
            return Ok(());
        };
        let (exchange, stream) = (request.exchange, request.stream);
        let Some(mut script) = request.script.clone() else { return Ok(()) };
        if request.paused {
            return Ok(());
        }
        let gateway = &mut self.isolates[n].gateway;
        let effect = match script.goes {
            Goes::Refused => gateway.failed(exchange, false, now),
            Goes::Hangs => gateway.failed(exchange, true, now),
            Goes::Status(status) => gateway.answered(exchange, status, None, b"{\"error\":{\"message\":\"no\"}}", now),
            Goes::Stalls if !stream => gateway.failed(exchange, true, now),
            Goes::Cut if !stream => gateway.failed(exchange, false, now),
            _ if !stream => gateway.answered(exchange, 200, None, script.answer().as_bytes(), now),
            _ => return self.piece(n, id, &mut script),
        };
        self.effect(n, id, effect)
    }

    /// What follows an attempt.
    fn effect(&mut self, n: usize, id: u64, effect: Effect) -> Held {
        let now = self.clock(n);
        let Some(request) = self.isolates[n].requests.get(&id) else { return Ok(()) };
        let body = Rc::clone(&request.body);
        let effect = match effect {
            Effect::Again(exchange) => {
                self.cover("provider", "falls back");
                self.isolates[n].gateway.attempt(exchange, body.as_bytes(), now)
            }
            other => other,
        };
        match effect {
            Effect::Fetch(call) => self.fetch(n, id, &call),
            Effect::Answer(_) => {
                self.settled(n, id)?;
                if self.boundary(n, "settled") {
                    return Ok(());
                }
                self.over(n, id, 200, "")
            }
            Effect::Reply(reply) => {
                self.settled(n, id)?;
                if self.boundary(n, "settled") {
                    return Ok(());
                }
                // The provider's own failures are no refusals.
                self.over(n, id, if reply.status == 429 { 500 } else { reply.status }, &reply.body)
            }
            Effect::Lookup(_) | Effect::Again(_) | Effect::Gather(..) | Effect::Written(_) => {
                Err(broken("entry", "an effect that cannot follow an attempt"))
            }
        }
    }

    fn piece(&mut self, n: usize, id: u64, script: &mut Script) -> Held {
        let now = self.clock(n);
        if self.boundary(n, "streaming") {
            return Ok(());
        }
        if let Some(request) = self.isolates[n].requests.get(&id).filter(|_| self.calm) {
            let key = &self.keys[request.key];
            let since = [
                self.stops.get("organization:default").copied(),
                self.stops.get(&format!("key:{}", key.hash)).copied(),
                key.disabled_at,
            ];
            if since.iter().flatten().any(|since| self.now - since > 30_000 + self.back) {
                return Err(broken(
                    "I9 stop",
                    format!("request {id} still streams, half a minute after it was stopped"),
                ));
            }
        }
        let middle = script.pieces / 2 + 1;
        if script.goes == Goes::Stalls && script.sent >= middle {
            return Ok(());
        }
        let cut = script.goes == Goes::Cut && script.sent >= middle;
        let bytes = if cut { None } else { script.chunk() };
        let pace = self.draw.range(0, script.pace);
        let leaves = !self.healing && self.draw.chance(self.faults.client_leaves / 10.0);
        let Isolate { gateway, requests, .. } = &mut self.isolates[n];
        let Some(request) = requests.get_mut(&id) else { return Ok(()) };
        request.script = Some(script.clone());
        request.seen += 1;
        let (exchange, attempt, opened) = (request.exchange, request.attempt, request.opened);
        let Some(bytes) = bytes else {
            if !opened {
                let effect = gateway.failed(exchange, false, now);
                return self.effect(n, id, effect);
            }
            return self.end(n, id, if cut { StreamEnd::Broken } else { StreamEnd::Closed });
        };
        let mut out = Vec::new();
        let progress = gateway.chunk(exchange, bytes.as_bytes(), now, &mut out);
        self.grow(n, id)?;
        if progress == Progress::Failed {
            let effect = self.isolates[n].gateway.stream_failed(exchange, now);
            return self.effect(n, id, effect);
        }
        if !opened && progress != Progress::Waiting {
            if let Some(request) = self.isolates[n].requests.get_mut(&id) {
                request.opened = true;
            }
            self.commit(n);
            self.for_isolate(n, TICK_MS, What::Tick { request: id });
            if progress == Progress::Ended {
                return self.end(n, id, StreamEnd::Closed);
            }
        } else if opened {
            match progress {
                Progress::Ended => return self.end(n, id, StreamEnd::Closed),
                Progress::Cut => {
                    self.cover("stream", "cut by its budget");
                    return self.end(n, id, StreamEnd::Broken);
                }
                Progress::Short => {
                    self.cover("stream", "asks for more");
                    let asks = self.isolates[n].gateway.more(exchange, now);
                    self.grow(n, id)?;
                    if let Some(request) = self.isolates[n].requests.get_mut(&id) {
                        request.paused = true;
                    }
                    self.look_up(n, asks, 0, Then::More(id));
                    return Ok(());
                }
                _ => {}
            }
        }
        if leaves && opened {
            self.cover("client", "leaves");
            return self.end(n, id, StreamEnd::ClientGone);
        }
        self.for_isolate(n, pace, What::Provider { request: id, attempt });
        Ok(())
    }

    fn had_more(&mut self, n: usize, id: u64) -> Held {
        let now = self.clock(n);
        let Isolate { gateway, requests, .. } = &mut self.isolates[n];
        let Some(request) = requests.get_mut(&id) else { return Ok(()) };
        request.paused = false;
        let (exchange, attempt) = (request.exchange, request.attempt);
        let progress = gateway.chunk(exchange, b"", now, &mut Vec::new());
        self.grow(n, id)?;
        match progress {
            Progress::Cut => {
                self.cover("stream", "cut by its budget");
                self.end(n, id, StreamEnd::Broken)
            }
            Progress::Ended | Progress::Failed => self.end(n, id, StreamEnd::Closed),
            _ => {
                self.for_isolate(n, 1, What::Provider { request: id, attempt });
                Ok(())
            }
        }
    }

    fn end(&mut self, n: usize, id: u64, end: StreamEnd) -> Held {
        let now = self.clock(n);
        let Isolate { gateway, requests, .. } = &mut self.isolates[n];
        let Some(request) = requests.get(&id) else { return Ok(()) };
        gateway.stream_end(request.exchange, end, now, &mut Vec::new());
        self.settled(n, id)?;
        if self.boundary(n, "settled") {
            return Ok(());
        }
        self.over(n, id, 200, "")
    }

    /// The watch of a stream that has shown nothing yet.
    pub fn late(&mut self, n: usize, id: u64, keepalive: i64) -> Held {
        let now = self.clock(n);
        let Isolate { gateway, requests, .. } = &mut self.isolates[n];
        let Some(request) = requests.get_mut(&id).filter(|request| !request.opened) else { return Ok(()) };
        let exchange = request.exchange;
        if gateway.stopped(exchange, now) {
            request.attempt += 1;
            let effect = gateway.failed(exchange, true, now);
            self.cover("stream", "stopped before it began");
            return self.effect(n, id, effect);
        }
        let asks = gateway.watch(exchange, now);
        if !asks.is_empty() {
            self.look_up(n, asks, 0, Then::Nothing);
        }
        self.for_isolate(n, keepalive, What::Late { request: id, keepalive });
        Ok(())
    }

    pub fn tick(&mut self, n: usize, id: u64) -> Held {
        let now = self.clock(n);
        let Some(request) = self.isolates[n].requests.get_mut(&id) else { return Ok(()) };
        request.silent = if request.seen > 0 { 0 } else { request.silent + TICK_MS };
        request.seen = 0;
        let idle = request.fetch.map_or(0, |(timeouts, _)| i64::from(timeouts[2]));
        let exchange = request.exchange;
        if request.silent >= idle {
            return self.end(n, id, StreamEnd::TimedOut);
        }
        let gateway = &mut self.isolates[n].gateway;
        let stopped = gateway.stopped(exchange, now);
        let asks = gateway.watch(exchange, now);
        if !asks.is_empty() {
            self.look_up(n, asks, 0, Then::Nothing);
        }
        self.commit(n);
        if stopped {
            self.cover("stream", "stopped");
            return self.end(n, id, StreamEnd::Broken);
        }
        self.for_isolate(n, TICK_MS, What::Tick { request: id });
        Ok(())
    }
}

fn shares(reservation: Option<&sluice::budget::holder::Reservation>) -> Vec<Share> {
    let Some(reservation) = reservation else { return Vec::new() };
    reservation
        .shares()
        .map(|(meter, window, unit, model, amount)| Share {
            of: (meter.0, window),
            unit,
            model: model.map(str::to_owned),
            amount,
        })
        .collect()
}
