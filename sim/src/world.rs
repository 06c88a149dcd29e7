//! A world: clients, isolates, one account object, a queue, a database, providers and an operator,
//! moved by one queue of events in the order of their time. Nothing else moves it, and everything that
//! is left open is drawn from the seed: the same seed gives the same trace.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, VecDeque},
    rc::Rc,
};

use serde_json::{Value, json};
use sluice::{
    account::{commit as account, keys},
    auth::VirtualKey,
    budget::AccountRef,
    catalog::snapshot::{PROVIDERS_KEY, model_key},
    known::Ask,
    metering::rollup,
    ports::{AdminRequest, Param, Sql},
    time::Millis,
};

use crate::{
    draw::Draw,
    faults::Faults,
    isolate::Isolate,
    oracle::{Held, Oracle, broken},
    store::Store,
    terms::{MODELS, Style},
};

/// What happens next.
#[derive(Debug)]
pub enum What {
    /// A client comes.
    Arrive,
    /// It comes back with the same request.
    Retry {
        key: usize,
        body: Rc<str>,
    },
    /// A request's questions go out.
    Asks {
        lookup: u64,
        asks: Vec<Ask>,
    },
    Kv {
        lookup: u64,
        key: String,
    },
    Timeout {
        token: u64,
    },
    /// A message reaches the object.
    ToObject {
        token: u64,
        body: Rc<str>,
    },
    /// Its answer reaches the isolate.
    ToIsolate {
        token: u64,
        answer: Option<Rc<str>>,
    },
    /// A provider answers a request, or sends the next piece.
    Provider {
        request: u64,
        attempt: u32,
    },
    /// The watch of a stream.
    Tick {
        request: u64,
    },
    /// The same before it has begun.
    Late {
        request: u64,
        keepalive: i64,
    },
    /// A running request is to be written down.
    NoteIfLong {
        request: u64,
    },
    Flush {
        mine: u64,
        failures: u32,
    },
    Alarm {
        serial: u64,
    },
    Consume,
    Admin,
    KvSet {
        key: String,
        value: String,
    },
    Heal {
        isolate: usize,
    },
    /// A request without a stream says that it runs.
    Alive {
        request: u64,
    },
}

pub struct Event {
    at: i64,
    serial: u64,
    /// Of which isolate, in which of its lives.
    pub isolate: usize,
    pub life: u32,
    pub what: What,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.serial) == (other.at, other.serial)
    }
}
impl Eq for Event {}
impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

/// The account's object, as its shell runs it.
pub struct Object {
    pub sql: Store,
    /// Its clock is ahead by so much: it only ever jumps forward.
    pub ahead: i64,
    pub up_at: i64,
    pub alarm: Option<u64>,
    pub armed: i64,
}

/// A key of the world.
#[derive(Clone, Debug)]
pub struct Key {
    pub secret: String,
    pub hash: String,
    pub workspace: String,
    pub disabled_at: Option<i64>,
    pub moved_at: i64,
}

/// What a run has met.
pub type Coverage = BTreeMap<(&'static str, &'static str), u64>;

pub struct World {
    pub now: i64,
    pub steps: u64,
    events: BinaryHeap<Reverse<Event>>,
    serial: u64,
    pub draw: Draw,
    pub faults: Faults,
    /// Nothing goes wrong between isolates and their account, from the beginning.
    pub calm: bool,
    pub style: Style,
    pub isolates: Vec<Isolate>,
    pub object: Object,
    pub d1: Store,
    pub queue: VecDeque<Rc<str>>,
    pub consuming: bool,
    pub oracle: Oracle,
    pub kv: HashMap<String, String>,
    pub keys: Vec<Key>,
    /// Nano-dollars a token, by catalog revision and model: prompt, completion.
    pub prices: HashMap<(u64, usize), (i64, i64)>,
    pub limits: [Option<i64>; 3],
    pub stops: BTreeMap<String, i64>,
    /// When accounts that were stopped were let go on.
    pub freed: HashMap<String, i64>,
    /// Whose limits the operator changed last.
    pub latest: Option<AccountRef>,
    /// When meters were removed, by account and name.
    pub removed: HashMap<(String, String), i64>,
    /// When windows end.
    pub until: HashMap<(u32, u32), i64>,
    /// When a meter's terms were changed last.
    pub changed: HashMap<u32, i64>,
    pub arrive_every: i64,
    /// No more clients and faults: what is left is to come to rest.
    pub healing: bool,
    /// Largest backward step of an isolate's clock.
    pub back: i64,
    pub check_every: u64,
    commands: u64,
    pub probe: Option<Probe>,
    pub cover: Coverage,
    pub hash: u64,
    pub trace: Option<VecDeque<String>>,
    pub tokens: u64,
    pub requests: u64,
}

/// A request made to see whether it is admitted.
#[derive(Clone, Debug, Default)]
pub struct Probe {
    pub answered: Option<(u16, String)>,
}

impl World {
    pub fn new(seed: u64, tracing: bool) -> Self {
        let mut draw = Draw::new(seed);
        let faults = Faults::draw(&mut draw);
        let starts = [
            "2026-11-20T12:00:00Z",
            "2026-12-31T23:58:00Z",
            "2027-02-28T23:59:00Z",
            "2028-02-28T23:59:30Z",
            "2028-02-29T23:58:30Z",
            "2026-11-29T23:59:20Z",
            "2027-01-31T23:59:50Z",
        ];
        let now = Millis::parse_iso(draw.pick::<&str>(&starts)).map_or(0, |start| start.0);
        let style = Style { generous: draw.wide(1, 100), tiny: draw.chance(0.1) };
        let (sql, d1) = (Store::new(), Store::new());
        sluice::account::migrate(&sql).expect("tables of the account");
        d1.script(include_str!("../../schema/sql/0001_usage.sql"));
        let isolates = (0..draw.wide(1, 16)).map(|_| Isolate::down()).collect();
        let arrive_every = draw.wide(10, 3_000);
        let check_every = *draw.pick(&[1, 16, 64, 64]);
        let mut world = Self {
            now,
            steps: 0,
            events: BinaryHeap::new(),
            serial: 0,
            draw,
            calm: faults.nothing_between(),
            faults,
            style,
            isolates,
            object: Object { sql, ahead: 0, up_at: 0, alarm: None, armed: 0 },
            d1,
            queue: VecDeque::new(),
            consuming: false,
            oracle: Oracle::default(),
            kv: HashMap::new(),
            keys: Vec::new(),
            prices: HashMap::new(),
            limits: [None; 3],
            stops: BTreeMap::new(),
            freed: HashMap::new(),
            changed: HashMap::new(),
            latest: None,
            removed: HashMap::new(),
            until: HashMap::new(),
            arrive_every,
            healing: false,
            back: 0,
            check_every,
            commands: 0,
            probe: None,
            cover: Coverage::new(),
            hash: 0xcbf2_9ce4_8422_2325,
            trace: tracing.then(VecDeque::new),
            tokens: 0,
            requests: 0,
        };
        world.furnish();
        world.at(0, What::Arrive);
        if world.faults.admin_every > 0 {
            world.at(world.faults.admin_every, What::Admin);
        }
        world
    }

    /// Keys, models, providers, and the first limits.
    fn furnish(&mut self) {
        for n in 0..self.draw.wide(1, 12) {
            let workspace = format!("w{}", self.draw.range(0, 2));
            let mut random = [0_u8; 48];
            random[0] = n as u8 + 1;
            let request = AdminRequest {
                method: "POST".to_owned(),
                path: "/keys".to_owned(),
                query: Vec::new(),
                body: Some(json!({ "name": format!("key {n}") })),
                actor: VirtualKey::generate(&[9; 48]).hash(),
            };
            let made = keys::handle(&self.object.sql, &request, self.object_now(), &random).expect("a key is made");
            let secret = made.body["key"].as_str().expect("its secret").to_owned();
            let hash = VirtualKey::parse(&secret).expect("a key").hash().to_string();
            self.keys.push(Key { secret, hash, workspace: String::new(), disabled_at: None, moved_at: 0 });
            self.change_key(n as usize, &[("workspace_id", workspace.clone().into())]);
            self.keys[n as usize].workspace = workspace;
        }
        let providers: Vec<Value> = (0..2)
            .map(|n| {
                json!({ "row": {
                    "slug": format!("p{n}"), "name": format!("P {n}"), "dialect": "openai", "base_url": format!("https://p{n}.example/v1"),
                    "api_key_env": ["SIM_KEY"], "timeouts_ms": { "total": 90_000, "first_token": 20_000, "idle": 15_000 },
                } })
            })
            .collect();
        self.kv.insert(PROVIDERS_KEY.to_owned(), json!({ "v": 1, "revision": 1, "providers": providers }).to_string());
        for model in 0..MODELS.len() {
            self.limits[model] = if self.draw.chance(0.8) { Some(self.draw.wide(20, 3_000)) } else { None };
            self.price(model, 1);
        }
        for _ in 0..self.draw.wide(1, 9) {
            self.define_some();
        }
        if self.draw.chance(0.25) {
            self.define_places();
        }
    }

    /// Writes a model's catalog entry with new prices.
    pub fn price(&mut self, model: usize, revision: u64) {
        let (prompt, completion) = (self.draw.wide(10, 5_000), self.draw.wide(100, 20_000));
        self.prices.insert((revision, model), (prompt, completion));
        let endpoint = |n: usize| {
            let mut endpoint = json!({
                "provider": format!("p{n}"), "upstream_model": "m",
                "pricing": { "prompt": format!("0.{prompt:09}"), "completion": format!("0.{completion:09}") },
            });
            if let Some(limit) = self.limits[model] {
                endpoint["max_completion_tokens"] = limit.into();
            }
            endpoint
        };
        let entry = json!({
            "v": 1, "revision": revision,
            "model": { "id": MODELS[model], "name": MODELS[model], "endpoints": [endpoint(0), endpoint(1)] },
        });
        self.kv.insert(model_key(MODELS[model]), entry.to_string());
    }

    // Time.

    pub fn at(&mut self, after: i64, what: What) {
        self.for_isolate(usize::MAX, after, what);
    }

    pub fn for_isolate(&mut self, isolate: usize, after: i64, what: What) {
        self.serial += 1;
        let life = self.isolates.get(isolate).map_or(0, |isolate| isolate.life);
        self.events.push(Reverse(Event { at: self.now + after.max(0), serial: self.serial, isolate, life, what }));
    }

    pub fn object_now(&self) -> Millis {
        Millis(self.now + self.object.ahead)
    }

    pub fn cover(&mut self, what: &'static str, state: &'static str) {
        *self.cover.entry((what, state)).or_insert(0) += 1;
    }

    pub fn mix(&mut self, numbers: &[i64]) {
        for number in numbers {
            self.hash = (self.hash ^ *number as u64).wrapping_mul(0x0000_0100_0000_01B3);
            self.hash ^= self.hash >> 29;
        }
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if self.trace.is_some() {
            let text = format!("{:>7} {} {}", self.steps, Millis(self.now).iso(), line());
            if let Some(trace) = &mut self.trace {
                if trace.len() >= 2_000 {
                    trace.pop_front();
                }
                trace.push_back(text);
            }
        }
    }

    /// One event. False when there is none before `until`.
    pub fn step(&mut self, until: i64) -> Result<bool, crate::oracle::Broken> {
        if self.events.peek().is_none_or(|Reverse(event)| event.at > until) {
            return Ok(false);
        }
        let Some(Reverse(event)) = self.events.pop() else { return Ok(false) };
        self.now = self.now.max(event.at);
        self.steps += 1;
        self.mix(&[self.now, i64::from(event.isolate as i32), self.serial as i64]);
        if let Some(isolate) = self.isolates.get(event.isolate)
            && (isolate.life != event.life || !isolate.up)
            && !matches!(event.what, What::ToObject { .. } | What::Heal { .. })
        {
            return Ok(true);
        }
        self.chaos();
        self.handle(event)?;
        if self.object.sql.lossy.get() || self.d1.lossy.get() {
            return Err(broken("I1 exact", "a number beyond 2^53 was stored"));
        }
        Ok(true)
    }

    fn handle(&mut self, event: Event) -> Held {
        let n = event.isolate;
        match event.what {
            What::Arrive => self.arrive(),
            What::Retry { key, body } => self.come(key, body),
            What::Asks { lookup, asks } => self.ask(n, lookup, asks),
            What::Kv { lookup, key } => self.learn_kv(n, lookup, &key),
            What::Timeout { token } => self.answer(n, token, None),
            What::ToObject { token, body } => self.command(n, event.life, token, &body),
            What::ToIsolate { token, answer } => self.answer(n, token, answer.as_deref()),
            What::Provider { request, attempt } => self.provider(n, request, attempt),
            What::Tick { request } => self.tick(n, request),
            What::Late { request, keepalive } => self.late(n, request, keepalive),
            What::NoteIfLong { request } => {
                if self.isolates[n].requests.contains_key(&request) {
                    self.commit(n);
                }
                Ok(())
            }
            What::Flush { mine, failures } => self.flush(n, mine, failures),
            What::Alarm { serial } => self.alarm(serial),
            What::Consume => self.consume(),
            What::Admin => self.admin(),
            What::KvSet { key, value } => {
                self.kv.insert(key, value);
                Ok(())
            }
            What::Alive { request } => {
                if self.isolates[n].requests.contains_key(&request) {
                    self.commit(n);
                    self.for_isolate(n, 10_000, What::Alive { request });
                }
                Ok(())
            }
            What::Heal { isolate } => {
                self.isolates[isolate].cut = (false, false);
                Ok(())
            }
        }
    }

    /// Faults that come at any time.
    fn chaos(&mut self) {
        if self.healing {
            return;
        }
        if self.draw.chance(self.faults.partition) {
            let isolate = self.draw.range(0, self.isolates.len() as i64 - 1) as usize;
            self.isolates[isolate].cut = *self.draw.pick(&[(true, true), (true, false), (false, true)]);
            let long = self.draw.wide(100, 4_000_000);
            self.cover("partition", if long > 45_000 { "long" } else { "short" });
            self.for_isolate(isolate, long, What::Heal { isolate });
        }
        if self.draw.chance(self.faults.object_restart) {
            self.cover("object restart", "at any time");
            self.object.up_at = self.now + self.draw.wide(10, 5_000);
            self.object.armed = 0;
        }
        if self.draw.chance(self.faults.object_ahead) {
            self.object.ahead += self.draw.wide(1, 5_000);
            self.cover("object clock", "jumps ahead");
        }
        if self.draw.chance(self.faults.clock_step) {
            let n = self.draw.range(0, self.isolates.len() as i64 - 1) as usize;
            let to = self.draw.range(-10_000, 10_000);
            let isolate = &mut self.isolates[n];
            self.back = self.back.max(isolate.skew - to);
            isolate.skew = to;
            self.cover("isolate clock", "steps");
        }
    }

    // The object.

    /// A batch or a question has arrived.
    fn command(&mut self, n: usize, life: u32, token: u64, body: &str) -> Held {
        let refused = self.now < self.object.up_at || !self.healing && self.draw.chance(self.faults.write_refused);
        if refused {
            self.cover("command refused", if body.contains("\"seq\":0") { "question" } else { "batch" });
            // Nothing of it is kept.
            self.object.sql.script("BEGIN");
            let request = serde_json::from_str(body).expect("what an isolate sends can be read");
            let _ = account::commit(&self.object.sql, &request, self.object_now());
            self.object.sql.script("ROLLBACK");
            self.reply(n, life, token, None);
            return Ok(());
        }
        let request: sluice::metering::CommitRequest =
            serde_json::from_str(body).expect("what an isolate sends can be read");
        let now = self.object_now();
        let mut before = Vec::new();
        for want in &request.ask.wants {
            let id = Param::Integer(want.meter.0.into());
            let rows = self
                .object
                .sql
                .run("SELECT win, spent, held, until FROM meters WHERE id = ?1", std::slice::from_ref(&id))
                .unwrap_or_default();
            let cell = |name: &str| rows.first().map_or(0, |row| sluice::ports::int(row, name));
            let params = [request.session.as_str().into(), id, cell("win").into()];
            let granted = self
                .object
                .sql
                .number("SELECT granted FROM holdings WHERE session = ?1 AND meter = ?2 AND win = ?3", &params);
            let bound = self
                .object
                .sql
                .number("SELECT used + returned FROM holdings WHERE session = ?1 AND meter = ?2 AND win = ?3", &params);
            let told = request.totals.iter().filter(|total| total.meter == want.meter && total.window == want.window);
            let bound = told.map(|total| total.used + total.returned).fold(bound, i64::max);
            before.push((*want, cell("win"), cell("spent"), cell("held"), granted, bound));
        }
        self.object.sql.script("BEGIN");
        let reply = match account::commit(&self.object.sql, &request, now) {
            Ok(reply) => reply,
            Err(error) => return Err(broken("account", format!("a command fails: {error:?}"))),
        };
        self.object.sql.script("COMMIT");
        self.commands += 1;
        if request.seq > 0 {
            let new = self.oracle.take(&request.session, request.seq);
            self.cover("batch", if new { "taken" } else { "taken before" });
        }
        if let Some(told) = &reply.told {
            if told.meters.iter().any(|view| !self.oracle.meters.contains_key(&view.id.0)) {
                self.reload_meters();
            }
            for view in &told.meters {
                let of = (view.id.0, view.window);
                if view.until.0 > 0 {
                    self.until.insert(of, view.until.0);
                }
                let meant = self.oracle.meters.get(&of.0).map(limit_at(now));
                if meant != Some(view.limit) {
                    return Err(broken("I1 limit", format!("told {} of {of:?}, whose limit is {meant:?}", view.limit)));
                }
                let latest = self.oracle.latest.entry(of.0).or_default();
                *latest = (*latest).max(of.1);
                self.mix(&[i64::from(view.id.0), i64::from(view.window), view.spent, view.held, view.granted]);
                let Some((want, win, spent, held, granted, bound)) =
                    before.iter().find(|(want, ..)| want.meter == view.id)
                else {
                    continue;
                };
                let same = *win == i64::from(view.window);
                let (spent, held, granted) = if same { (*spent, *held, *granted) } else { (0, 0, 0) };
                let base = if want.window == view.window { want.base } else { 0 }.max(*bound);
                if view.held > held {
                    if view.spent + view.held > view.limit {
                        let how =
                            format!("{want:?} handed out with {spent} spent and {held} held before: now {view:?}");
                        return Err(broken("I1 escrow", how));
                    }
                    // L4: one session takes at most a sixteenth of what is free beyond what it needs at once.
                    let beyond = view.granted - (base + want.need).max(granted);
                    // What is left goes to whoever has waited for it in vain.
                    if request.seq == 0 && !want.rest && beyond > (view.limit - spent - held).max(0) / 16 {
                        return Err(broken(
                            "L4 share",
                            format!("{want:?} with {spent} spent and {held} held got {view:?}"),
                        ));
                    }
                    let outside = self.oracle.outside.entry(of).or_default();
                    outside.allowed = outside.allowed.max(view.limit);
                    if view.exact && !want.rest && view.granted > (base + want.need).max(granted) {
                        return Err(broken("I8 exact", format!("{want:?} of an exact meter got {view:?}")));
                    }
                }
            }
        }
        let mut at = 0;
        if request.seq > 0 || !request.ask.wants.is_empty() {
            at = account::next_alarm(&self.object.sql, now)
                .map_err(|error| broken("account", format!("{error:?}")))?
                .map_or(0, |at| at.0);
        }
        if at > 0 && !(self.object.armed <= at && self.object.armed > now.0) {
            self.object.armed = at;
            self.wake_at(at);
        }
        if self.commands.is_multiple_of(self.check_every) {
            self.check_tables()?;
        }
        let text = serde_json::to_string(&reply).expect("an answer can be written");
        self.note(|| format!("object: {body:.300} -> {text:.400}"));
        self.reply(n, life, token, Some(text.into()));
        Ok(())
    }

    fn reply(&mut self, n: usize, life: u32, token: u64, answer: Option<Rc<str>>) {
        if self.isolates[n].life != life {
            return;
        }
        if self.isolates[n].cut.1 || !self.healing && self.draw.chance(self.faults.answer_lost) {
            self.cover("answer lost", "command done");
            if self.draw.chance(0.5) {
                let after = self.draw.wide(1, 3_000);
                self.for_isolate(n, after, What::ToIsolate { token, answer: None });
            }
            return;
        }
        let after = self.delay();
        self.for_isolate(n, after, What::ToIsolate { token, answer });
    }

    /// How long a message travels.
    pub fn delay(&mut self) -> i64 {
        let base = self.draw.range(1, 8);
        if !self.healing && self.draw.chance(self.faults.delayed) {
            self.cover("message", "delayed");
            return base + self.draw.wide(1, self.faults.longest_delay);
        }
        base
    }

    /// I1: what the tables say adds up, and is what was reported.
    pub fn check_tables(&mut self) -> Held {
        let rows = self
            .object
            .sql
            .run(
                "SELECT m.id, m.win, m.spent, m.held, m.lost, coalesce((SELECT sum(max(h.granted - h.used - h.returned, 0))
                    FROM holdings h WHERE h.meter = m.id AND h.win = m.win), 0) AS held_by_all FROM meters m",
                &[],
            )
            .unwrap_or_default();
        for row in rows {
            let cell = |name: &str| sluice::ports::int(&row, name);
            let of = (cell("id") as u32, cell("win") as u32);
            if cell("held") != cell("held_by_all") {
                return Err(broken(
                    "I1 escrow",
                    format!("{of:?} says that {} is held, its holders {}", cell("held"), cell("held_by_all")),
                ));
            }
            let reported = self.oracle.outside.get(&of).map_or(0, |outside| outside.reported);
            if cell("spent") != (reported + cell("lost")).min(1 << 53) || cell("lost") < 0 {
                let how = format!("{of:?}: {} spent, {reported} reported and {} lost", cell("spent"), cell("lost"));
                return Err(broken("I1 spent", how));
            }
        }
        Ok(())
    }

    /// The platform's alarm: one, and at least once.
    pub fn wake_at(&mut self, at: i64) {
        self.serial += 1;
        let serial = self.serial;
        self.object.alarm = Some(serial);
        let mut after = at - self.object_now().0;
        if !self.healing {
            if self.draw.chance(self.faults.alarm_missing) {
                self.cover("alarm", "missing");
                return;
            }
            if self.draw.chance(self.faults.alarm_late) {
                self.cover("alarm", "late");
                after = after.max(0) + self.draw.wide(1, 600_000);
            }
            if self.draw.chance(self.faults.alarm_doubled) {
                self.cover("alarm", "doubled");
                self.at(after + 3, What::Alarm { serial });
            }
        }
        self.at(after, What::Alarm { serial });
    }

    fn alarm(&mut self, serial: u64) -> Held {
        if self.object.alarm == Some(serial) {
            self.object.alarm = None;
        } else if self.object.alarm.is_some() {
            return Ok(());
        }
        let now = self.object_now();
        if self.now < self.object.up_at || !self.healing && self.draw.chance(self.faults.write_refused) {
            // The platform tries again.
            self.wake_at(now.0 + 2_000);
            return Ok(());
        }
        self.places_of_the_silent(now)?;
        let sums = "SELECT id, win, until, spent + held AS n, doc LIKE '%\"unit\":\"parallel\"%' AS places FROM meters";
        let before = self.object.sql.run(sums, &[]).unwrap_or_default();
        self.object.sql.script("BEGIN");
        account::sweep(&self.object.sql, now).map_err(|error| broken("account", format!("sweep: {error:?}")))?;
        self.object.sql.script("COMMIT");
        let after = self.object.sql.run(sums, &[]).unwrap_or_default();
        for is in after {
            // A meter that is gone was nobody's any more.
            let Some(was) = before.iter().find(|was| was.get("id") == is.get("id")) else { continue };
            let cell = |name: &str| (sluice::ports::int(was, name), sluice::ports::int(&is, name));
            if cell("places").0 == 0 && cell("n").0 != cell("n").1 {
                return Err(broken("I1 sweep", format!("a sweep changes what is used or held: {was:?} to {is:?}")));
            }
        }
        self.check_tables()?;
        let mut again = false;
        loop {
            let message =
                account::next_message(&self.object.sql).map_err(|error| broken("account", format!("{error:?}")))?;
            let Some(message) = message else { break };
            if !self.healing && self.draw.chance(self.faults.queue_refuses) {
                self.cover("queue", "refuses");
                again = true;
                break;
            }
            self.queue.push_back(Rc::from(message.body));
            if !self.consuming {
                self.consuming = true;
                self.at(1_000, What::Consume);
            }
            if !self.healing && self.draw.chance(self.faults.object_restart * 20.0) {
                self.cover("object restart", "sent, not noted");
                self.object.armed = 0;
                self.wake_at(now.0 + 2_000);
                return Ok(());
            }
            account::sent(&self.object.sql, message.last_seq)
                .map_err(|error| broken("account", format!("{error:?}")))?;
        }
        self.object.armed = 0;
        let next = if again {
            Some(now.plus(2_000))
        } else {
            account::next_alarm(&self.object.sql, now).map_err(|error| broken("account", format!("{error:?}")))?
        };
        if let Some(at) = next {
            self.wake_at(at.0);
        }
        self.note(|| format!("alarm: next {next:?}"));
        Ok(())
    }

    /// Sessions that a sweep takes for dead lose their places, also when they live.
    fn places_of_the_silent(&mut self, now: Millis) -> Held {
        let dead = now.plus(-45_000).0;
        for n in 0..self.isolates.len() {
            if !self.isolates[n].up {
                continue;
            }
            let session = self.isolates[n].session.clone();
            let seen = self.object.sql.number("SELECT seen FROM sessions WHERE session = ?1", &[session.into()]);
            if seen >= dead {
                continue;
            }
            let running: Vec<u64> = self.isolates[n].requests.keys().copied().collect();
            let held = |request: &u64| {
                self.isolates[n].requests[request]
                    .shares
                    .iter()
                    .any(|share| share.unit == sluice::budget::Unit::Parallel && share.amount > 0)
            };
            if self.calm && running.iter().any(held) {
                return Err(broken(
                    "L0 alive",
                    format!("isolate {n} serves {} requests and is taken for dead", running.len()),
                ));
            }
            for request in running {
                if let Some(request) = self.isolates[n].requests.get_mut(&request) {
                    self.oracle.places_gone(&mut request.shares);
                }
            }
        }
        Ok(())
    }

    // The queue's consumer.

    fn consume(&mut self) -> Held {
        self.consuming = false;
        let mut bodies: Vec<Rc<str>> = self.queue.drain(..).collect();
        if bodies.is_empty() {
            return Ok(());
        }
        if !self.healing {
            if self.draw.chance(self.faults.queue_shuffled) {
                self.cover("queue", "shuffled");
                for n in (1..bodies.len()).rev() {
                    let other = self.draw.range(0, n as i64) as usize;
                    bodies.swap(n, other);
                }
                // Some come later.
                let later = self.draw.range(0, bodies.len() as i64 / 2) as usize;
                self.queue.extend(bodies.drain(..later));
            }
            if self.draw.chance(self.faults.queue_doubled) {
                self.cover("queue", "doubled");
                let again = self.draw.pick(&bodies).clone();
                self.queue.push_back(again.clone());
                bodies.push(again);
            }
        }
        let crash = !self.healing && self.draw.chance(self.faults.consumer_crash);
        let before = crash && self.draw.chance(0.5);
        if !before {
            let read: Result<Vec<_>, String> = bodies.iter().map(|body| rollup::read(body)).collect();
            let messages = read.map_err(|why| broken("I6 rows", format!("a message cannot be read: {why}")))?;
            self.d1.script("BEGIN");
            for statement in rollup::statements(&messages) {
                if let Err(error) = self.d1.run(&statement.sql, &statement.params) {
                    return Err(broken("I6 rows", format!("the consumer fails: {error:?}")));
                }
            }
            self.d1.script("COMMIT");
        }
        if crash {
            self.cover("consumer crash", if before { "before it writes" } else { "before it says so" });
            self.queue.extend(bodies);
        }
        if !self.queue.is_empty() {
            self.consuming = true;
            let after = self.draw.wide(500, 20_000);
            self.at(after, What::Consume);
        }
        Ok(())
    }
}

/// A meter's limit with a temporary increase that is still good: reckoned here, apart from what is tested.
fn limit_at(now: Millis) -> impl Fn(&sluice::budget::Terms) -> i64 {
    move |terms| match terms.extra_until {
        Some(until) if now >= until => terms.limit,
        _ => (terms.limit + terms.extra).min(1 << 53),
    }
}
