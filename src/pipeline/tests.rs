//! The whole life of requests over a world in memory: KV is a map, the account is the real one over
//! SQLite, providers follow a script. What `entry.mjs` does with effects, [`World`] does here.

use std::collections::{HashMap, HashSet};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{claims::CLAIM_MS, *};
use crate::{
    account::{Context, commit as account, keys},
    budget::estimate::estimate_tokens,
    catalog::{
        credential::Credential,
        snapshot::{PROVIDERS_KEY, model_key},
    },
    dialect::passing::StreamEnd,
    error::ErrorKind,
    framing::edit::apply,
    idempotency::{Kept, MAX_ANSWER},
    metering::{CommitReply, Outcome, UsageEvent},
    money::NanoUsd,
    ports::{AdminRequest, Command, Sql},
    routing::fallback::MAX_ATTEMPTS,
    testing::Memory,
};

mod budgets;
mod once;
mod route;

const PROMPT: &str = "canary-prompt";
const ANSWER: &str = "canary-answer";
const CREDENTIAL: &str = "canary-credential";

/// What a provider does with a call.
#[derive(Clone, Debug)]
enum Step {
    Refused,
    TimedOut,
    Answer(u16, Option<u32>, String),
    Stream(Vec<String>, StreamEnd),
    /// The shell fails at the request.
    Trap,
}

/// A call as a provider received it.
#[derive(Debug)]
struct Sent {
    url: String,
    headers: HashMap<String, String>,
    body: Value,
}

/// What the client got.
#[derive(Debug)]
struct Got {
    status: u16,
    headers: HashMap<&'static str, String>,
    text: String,
    progress: Vec<Progress>,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn error(&self) -> Value {
        self.json()["error"].clone()
    }

    fn code(&self) -> (u16, String) {
        (self.status, self.error()["code"].as_str().unwrap().to_owned())
    }

    fn chunks(&self) -> Vec<Value> {
        let datas = self.text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
        datas.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
    }
}

struct World {
    gateway: Gateway,
    account: Memory,
    kv: HashMap<String, String>,
    now: Millis,
    key: String,
    management_key: String,
    kv_down: bool,
    account_down: bool,
    /// Batches are sent while requests run, not only afterwards.
    busy: bool,
    script: VecDeque<Step>,
    /// The body a provider answered with last.
    answer: Vec<u8>,
    sent: Vec<Sent>,
    /// Everything that the account was told.
    told: String,
    made: u8,
}

impl World {
    /// Four providers that serve `test/m` one after the other, `p1` cheapest; `p1` serves `test/other` too.
    fn new(key: Value) -> Self {
        let account = Memory::new();
        crate::account::migrate(&account).unwrap();
        let management_key = VirtualKey::generate(&[9; 48]).expose().to_owned();
        let master_key = BASE64.encode([5; 32]);
        let env = [("SLUICE_MANAGEMENT_KEY", &management_key), ("SLUICE_MASTER_KEY", &master_key)];
        let env = env.map(|(name, value)| (name.to_owned(), value.clone())).into();
        let mut world = Self {
            gateway: Gateway::new(Config { env, seed: 7 }),
            account,
            kv: HashMap::new(),
            now: Millis(1_795_176_000_000),
            key: String::new(),
            management_key,
            kv_down: false,
            account_down: false,
            busy: false,
            script: VecDeque::new(),
            answer: Vec::new(),
            sent: Vec::new(),
            told: String::new(),
            made: 0,
        };
        let made = world.manage("POST", "/keys", key);
        made["key"].as_str().unwrap().clone_into(&mut world.key);
        world.distribute();

        let master_key = MasterKey::parse(&master_key).unwrap();
        let provider = |n: u8| {
            let slug = format!("p{n}");
            let credential = Credential::Bearer { value: format!("{CREDENTIAL}-{n}") };
            json!({
                "row": { "slug": slug, "name": format!("P {n}"), "dialect": "openai", "base_url": format!("https://{slug}.example/v1/") },
                "credential": master_key.seal(&credential, &slug, [n; 12]).unwrap(),
            })
        };
        let providers: Vec<Value> = (1..=4).map(provider).collect();
        world.kv.insert(PROVIDERS_KEY.to_owned(), json!({ "v": 1, "revision": 1, "providers": providers }).to_string());
        for (id, count) in [("test/m", 4), ("test/other", 1)] {
            let endpoint = |n: u32| {
                json!({
                    "provider": format!("p{n}"), "upstream_model": format!("{id}-at-{n}"), "weight": u8::from(n == 1),
                    "pricing": { "prompt": format!("0.00000{n}"), "completion": format!("0.00000{}", 2 * n) },
                })
            };
            let endpoints: Vec<Value> = (1..=count).map(endpoint).collect();
            let entry = json!({ "v": 1, "revision": 3, "model": { "id": id, "name": id, "endpoints": endpoints } });
            world.kv.insert(model_key(id), entry.to_string());
        }
        world
    }

    fn manage(&mut self, method: &str, path: &str, body: Value) -> Value {
        let actor = VirtualKey::parse(&self.management_key).unwrap().hash();
        let request = AdminRequest {
            method: method.to_owned(),
            path: path.to_owned(),
            query: Vec::new(),
            body: (!body.is_null()).then_some(body),
            actor,
        };
        let command = Command { request, idempotency_key: None };
        self.made += 1;
        let context = Context {
            now: self.now,
            random: [self.made; 48],
            id: [self.made; 12],
            secret_nonce: [1; 12],
            receipt_nonce: [2; 12],
            master: MasterKey::parse(&BASE64.encode([5; 32])),
        };
        crate::account::handle(&self.account, &command, &context).unwrap().answer.body
    }

    fn hash(&self) -> KeyHash {
        VirtualKey::parse(&self.key).unwrap().hash()
    }

    /// The key's record reaches KV.
    fn distribute(&mut self) {
        let record = keys::record(&self.account, &self.hash()).unwrap().unwrap();
        self.kv.insert(format!("key:{}", self.hash()), serde_json::to_string(&record).unwrap());
    }

    fn look_up(&mut self, asks: Vec<Ask>) {
        for ask in asks {
            match ask {
                Ask::Kv(key) if self.kv_down => self.gateway.known().kv_unavailable(&key, "KV is down", self.now),
                Ask::Kv(key) => self.gateway.known().learn_kv(&key, self.kv.get(&key).map(String::as_str), self.now),
                Ask::Account { org, .. } if self.account_down => {
                    self.gateway.known().account_unavailable(&org, "the account is down", self.now);
                }
                Ask::Account { org, since, keys, charged, ask, claim } => {
                    let session = self.gateway.session().to_owned();
                    let request = crate::metering::CommitRequest {
                        session,
                        since,
                        keys,
                        charged,
                        ask,
                        claims: claim.into_iter().collect(),
                        ..Default::default()
                    };
                    let reply = account::commit(&self.account, &request, self.now).unwrap();
                    self.gateway.known().learn_account(&org, reply, self.now, self.now);
                }
            }
        }
    }

    /// Begins a request and answers its questions.
    fn begin(&mut self, body: &Value) -> Effect {
        self.begin_with("", body)
    }

    fn begin_with(&mut self, idempotency_key: &str, body: &Value) -> Effect {
        let (authorization, body) = (format!("Bearer {}", self.key), body.to_string());
        let head = Head { authorization: &authorization, idempotency_key, ..Head::default() };
        let mut ticket = 0;
        loop {
            match self.gateway.begin(&head, body.as_bytes(), ticket, self.now) {
                Effect::Lookup(lookups) => {
                    self.now = self.now.plus(lookups.pause_ms);
                    self.look_up(lookups.asks);
                    ticket = lookups.ticket;
                }
                effect => return effect,
            }
        }
    }

    /// Serves a request to its end.
    fn ask(&mut self, body: &Value) -> Got {
        let key = self.key.clone();
        self.ask_as(&key, Head::default(), body)
    }

    fn ask_as(&mut self, key: &str, head: Head<'_>, body: &Value) -> Got {
        let (authorization, body) = (format!("Bearer {key}"), body.to_string());
        let head = Head { authorization: &authorization, ..head };
        let mut effect = self.gateway.begin(&head, body.as_bytes(), 0, self.now);
        let mut lookups = 0;
        loop {
            self.now = self.now.plus(10);
            effect = match effect {
                Effect::Lookup(Lookups { ticket, pause_ms, asks }) => {
                    self.now = self.now.plus(pause_ms);
                    lookups += 1;
                    assert!(lookups <= 30, "look-ups do not end: {asks:?}");
                    self.look_up(asks);
                    self.gateway.begin(&head, body.as_bytes(), ticket, self.now)
                }
                Effect::Fetch(call) => {
                    self.receive(&call, body.as_bytes());
                    match self.perform(&call) {
                        Ok(effect) => effect,
                        Err(got) => return got,
                    }
                }
                Effect::Again(exchange) => self.gateway.attempt(exchange, body.as_bytes(), self.now),
                Effect::Answer(edits) => return got(200, String::from_utf8(apply(&self.answer, &edits)).unwrap()),
                Effect::Written(body) => return got(200, String::from_utf8(body).unwrap()),
                Effect::Gather(exchange, wanted) => panic!("{exchange} wants {wanted:?}"),
                Effect::Reply(Reply { status, headers, body, .. }) => {
                    for secret in [PROMPT, CREDENTIAL, key] {
                        assert!(!body.contains(secret), "{body}");
                    }
                    return Got { headers: headers.into_iter().collect(), ..got(status, body) };
                }
            };
        }
    }

    fn receive(&mut self, call: &Fetch, body: &[u8]) {
        self.sent.push(Sent {
            url: call.url.clone(),
            headers: call.headers.iter().cloned().collect(),
            body: serde_json::from_slice(&call.body.bytes(body)).unwrap(),
        });
    }

    /// What the script says: the next effect, or the end of the request.
    fn perform(&mut self, call: &Fetch) -> Result<Effect, Got> {
        let number = call.exchange;
        match self.script.pop_front().expect("the script goes on") {
            Step::Refused => Ok(self.gateway.failed(number, false, self.now)),
            Step::TimedOut => Ok(self.gateway.failed(number, true, self.now)),
            Step::Trap => {
                self.gateway.abandon(number, self.now);
                Err(got(500, String::new()))
            }
            Step::Answer(status, retry_after, body) => {
                self.answer = body.into();
                Ok(self.gateway.answered(number, status, retry_after, &self.answer, self.now))
            }
            Step::Stream(chunks, _) if !call.stream => {
                self.answer = chunks.concat().into();
                Ok(self.gateway.answered(number, 200, None, &self.answer, self.now))
            }
            Step::Stream(chunks, end) => self.relay(call, &chunks, end),
        }
    }

    fn relay(&mut self, call: &Fetch, chunks: &[String], end: StreamEnd) -> Result<Effect, Got> {
        let (number, mut out, mut progress) = (call.exchange, Vec::new(), Vec::new());
        for chunk in chunks {
            self.now = self.now.plus(30);
            if self.busy {
                self.flush();
            }
            progress.push(self.gateway.chunk(number, chunk.as_bytes(), self.now, &mut out));
            match progress.last() {
                Some(Progress::Failed) => return Ok(self.gateway.stream_failed(number, self.now)),
                Some(Progress::Ended | Progress::Cut) => break,
                Some(Progress::Short) => {
                    let asks = self.gateway.more(number, self.now);
                    self.look_up(asks);
                    progress.push(self.gateway.chunk(number, b"", self.now, &mut out));
                    if progress.last() == Some(&Progress::Cut) {
                        break;
                    }
                }
                _ => {}
            }
        }
        // A stream that ends without any content is a failure that another provider may make good.
        let waiting = progress.iter().all(|progress| *progress == Progress::Waiting);
        if waiting && end != StreamEnd::ClientGone {
            return Ok(self.gateway.failed(number, end == StreamEnd::TimedOut, self.now));
        }
        self.now = self.now.plus(10);
        let end = if progress.last() == Some(&Progress::Ended) { StreamEnd::Closed } else { end };
        self.gateway.stream_end(number, end, self.now, &mut out);
        Err(Got { progress, ..got(200, String::from_utf8(out).unwrap()) })
    }

    /// Tells the account what there is to tell.
    fn flush(&mut self) {
        while let Some((seq, batch)) = self.gateway.take_batch(self.now) {
            self.told.push_str(&batch);
            let request = serde_json::from_str(&batch).unwrap();
            let reply = account::commit(&self.account, &request, self.now).unwrap();
            self.gateway.batch_done(seq, reply, self.now, self.now);
        }
    }

    /// Every event so far, once nothing runs any more.
    fn events(&mut self) -> Vec<UsageEvent> {
        self.flush();
        assert_eq!(self.gateway.in_flight(), 0);
        assert!(self.account.run("SELECT id FROM open_generations", &[]).unwrap().is_empty(), "nothing is left open");
        let body =
            account::next_message(&self.account).unwrap().map_or_else(|| "[]".to_owned(), |message| message.body);
        for secret in [PROMPT, ANSWER, CREDENTIAL, self.key.as_str()] {
            assert!(!self.told.contains(secret) && !body.contains(secret), "{secret} in {body}");
        }
        serde_json::from_str(&body).unwrap()
    }

    fn event(&mut self) -> UsageEvent {
        let mut events = self.events();
        assert_eq!(events.len(), 1);
        events.remove(0)
    }
}

fn got(status: u16, text: String) -> Got {
    Got { status, headers: HashMap::new(), text, progress: Vec::new() }
}

fn world(script: impl Into<VecDeque<Step>>) -> World {
    World { script: script.into(), ..World::new(json!({ "name": "test" })) }
}

fn body(more: Value) -> Value {
    let mut body = json!({ "model": "test/m", "messages": [{ "role": "user", "content": PROMPT }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn streamed() -> Value {
    body(json!({ "stream": true }))
}

fn answer() -> Step {
    let message = json!({ "role": "assistant", "content": ANSWER });
    let body = json!({
        "id": "up-1", "object": "chat.completion", "created": 5, "model": "their name",
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120 },
    });
    Step::Answer(200, None, body.to_string())
}

fn fails(status: u16, retry_after: Option<u32>) -> Step {
    Step::Answer(status, retry_after, json!({ "error": { "message": "no", "code": "theirs" } }).to_string())
}

fn chunk(delta: Value, finish_reason: Option<&str>) -> String {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish_reason });
    let chunk = json!({ "id": "up-1", "object": "chat.completion.chunk", "created": 5, "model": "theirs", "choices": [choice] });
    format!("data: {chunk}\n\n")
}

fn role() -> String {
    chunk(json!({ "role": "assistant", "content": "" }), None)
}

fn word() -> String {
    chunk(json!({ "content": ANSWER }), None)
}

fn whole() -> Vec<String> {
    let usage = json!({
        "id": "up-1", "object": "chat.completion.chunk", "created": 5, "model": "theirs", "choices": [],
        "usage": { "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120 },
    });
    vec![
        role(),
        word(),
        word(),
        chunk(json!({}), Some("stop")),
        format!("data: {usage}\n\n"),
        "data: [DONE]\n\n".to_owned(),
    ]
}

fn stream() -> Step {
    Step::Stream(whole(), StreamEnd::Closed)
}

// --- Whole answers

#[test]
fn an_answer_comes_through_edited_priced_and_recorded() {
    let mut world = world([answer()]);
    let head = Head { session_id: "conversation", title: "an app", ..Head::default() };
    let key = world.key.clone();
    let request = body(
        json!({ "models": ["test/other"], "provider": { "data_collection": "allow" }, "user": "u", "temperature": 1 }),
    );
    let got = world.ask_as(&key, head, &request);

    let sent = &world.sent[0];
    assert_eq!(sent.url, "https://p1.example/v1/chat/completions");
    assert_eq!(sent.headers["authorization"], format!("Bearer {CREDENTIAL}-1"));
    let expected = json!({
        "model": "test/m-at-1", "messages": [{ "role": "user", "content": PROMPT }], "user": "u", "temperature": 1,
    });
    assert_eq!(sent.body, expected);

    let event = world.event();
    let answer = got.json();
    assert_eq!(
        (&answer["id"], &answer["model"], &answer["provider"]),
        (&json!(event.id), &json!("test/m"), &json!("P 1"))
    );
    assert_eq!(answer["choices"][0]["message"]["content"], ANSWER);
    assert_eq!(answer["usage"]["cost"], 0.00014);
    assert_eq!((event.outcome, event.status, event.error_type), (Outcome::Ok, 200, None));
    assert_eq!((event.tokens.prompt, event.tokens.completion, event.estimated), (100, 20, false));
    let costs = (event.cost_nano, event.prompt_cost_nano, event.completion_cost_nano);
    assert_eq!(costs, (Some(NanoUsd(140_000)), Some(NanoUsd(100_000)), Some(NanoUsd(40_000))));
    assert_eq!((event.upstream_id.as_deref(), event.finish_reason.as_deref()), (Some("up-1"), Some("stop")));
    assert_eq!((event.upstream_model.as_str(), event.price_version.as_str()), ("test/m-at-1", "catalog-3"));
    assert_eq!(
        (event.session_id.as_deref(), event.user.as_deref(), event.app_title.as_deref()),
        (Some("conversation"), Some("u"), Some("an app"))
    );
    assert_eq!(event.key_hash, world.hash());
    assert_eq!(event.attempts.len(), 1);
    assert_eq!(
        (event.attempts[0].status, &event.attempts[0].cause, event.attempts[0].latency_ms),
        (Some(200), &None, 10)
    );
    let used = crate::account::keys::handle(
        &world.account,
        &AdminRequest {
            method: "GET".to_owned(),
            path: format!("/keys/{}", world.hash()),
            query: Vec::new(),
            body: None,
            actor: world.hash(),
        },
        world.now,
        &[0; 48],
    );
    assert_eq!(used.unwrap().body["data"]["usage"], 0.00014, "the key's usage grew by it");
}

#[test]
fn providers_take_over_from_each_other_and_the_record_tells_of_it() {
    let mut world = world([fails(500, None), Step::TimedOut, answer()]);
    let got = world.ask(&body(json!({})));
    assert_eq!((got.status, &got.json()["provider"]), (200, &json!("P 3")));
    assert_eq!(got.json()["usage"]["cost"], 0.00042, "at the price of who served");
    assert_eq!(world.sent[2].headers["authorization"], format!("Bearer {CREDENTIAL}-3"));
    let event = world.event();
    assert_eq!((event.provider.as_str(), event.outcome, event.cost_nano), ("p3", Outcome::Ok, Some(NanoUsd(420_000))));
    let attempts: Vec<_> = event.attempts.iter().map(|a| (a.provider.as_str(), a.status, a.cause.as_deref())).collect();
    assert_eq!(attempts, [("p1", Some(500), Some("status")), ("p2", None, Some("timeout")), ("p3", Some(200), None)]);
    // Who failed stands behind the others for a while.
    world.script = [answer()].into();
    world.ask(&body(json!({})));
    assert_eq!(world.sent[3].url, "https://p3.example/v1/chat/completions");
}

#[test]
fn three_failures_are_the_clients_error() {
    let mut world = world([fails(429, Some(7)), fails(503, Some(3)), Step::Refused, answer()]);
    let got = world.ask(&body(json!({})));
    assert_eq!(world.sent.len(), 3, "three attempts, though four providers serve it");
    assert_eq!(got.code(), (502, ErrorKind::ProviderUnavailable.facts().code.to_owned()));
    assert_eq!(got.headers["retry-after"], "3");
    let previous = json!([
        { "provider": "p1", "code": "status", "status": 429 },
        { "provider": "p2", "code": "status", "status": 503 },
        { "provider": "p3", "code": "connection", "status": null },
    ]);
    assert_eq!(got.error()["metadata"]["previous_errors"], previous);
    let event = world.event();
    assert_eq!(got.headers["x-generation-id"], event.id.to_string());
    assert_eq!((event.outcome, event.status, event.cost_nano), (Outcome::Error, 502, None));
    assert_eq!((event.provider.as_str(), event.attempts.len()), ("p3", 3));
}

#[test]
fn what_is_wrong_with_the_request_is_tried_with_another_model_but_not_elsewhere() {
    let mut alone = world([fails(400, None)]);
    let got = alone.ask(&body(json!({})));
    assert_eq!((got.status, alone.sent.len()), (400, 1));
    assert_eq!(alone.event().status, 400);

    let mut other = world([fails(400, None), answer()]);
    let got = other.ask(&body(json!({ "models": ["test/other"] })));
    assert_eq!((got.status, &got.json()["model"]), (200, &json!("test/other")));
    let models: Vec<_> = other.sent.iter().map(|sent| sent.body["model"].clone()).collect();
    assert_eq!(models, ["test/m-at-1", "test/other-at-1"]);
    let event = other.event();
    assert_eq!((event.requested_model.as_str(), event.model.as_str()), ("test/m", "test/other"));
}

#[test]
fn what_a_provider_says_of_the_gateways_credential_stays_here() {
    let told = json!({ "error": { "message": format!("wrong key {CREDENTIAL}-1"), "code": CREDENTIAL } }).to_string();
    let mut world = world([
        Step::Answer(401, None, told.clone()),
        Step::Answer(403, None, told.clone()),
        Step::Answer(402, None, told),
    ]);
    let got = world.ask(&body(json!({})));
    assert_eq!(got.code(), (502, "provider_credential".to_owned()));
    assert_eq!(world.event().status, 502);
}

// --- Streams

#[test]
fn a_stream_waits_flows_and_ends() {
    use Progress::{Ended, Flowing, Waiting};
    let mut world = world([stream()]);
    let got = world.ask(&streamed());
    assert_eq!(world.sent[0].body["stream_options"], json!({ "include_usage": true }));
    assert_eq!(got.progress, [Waiting, Flowing, Flowing, Flowing, Flowing, Ended]);
    assert!(got.text.ends_with("data: [DONE]\n\n"));
    let event = world.event();
    let chunks = got.chunks();
    assert!(chunks.iter().all(|chunk| chunk["id"] == json!(event.id) && chunk["model"] == "test/m"));
    assert_eq!(got.text.matches(ANSWER).count(), 2);
    assert_eq!(chunks.last().unwrap()["usage"]["cost"], 0.00014);
    assert_eq!((event.outcome, event.streamed, event.cost_nano), (Outcome::Ok, true, Some(NanoUsd(140_000))));
    // Chunks come every 30 ms; the second brings content. The call took 10 ms to be made.
    assert_eq!((event.ttft_ms, event.generation_ms), (Some(70), 200));
}

#[test]
fn a_native_stream_is_read_but_not_written() {
    let mut world = world([stream()]);
    let key = world.key.clone();
    let got = world.ask_as(&key, Head { stream: "native", ..Head::default() }, &streamed());
    assert_eq!(got.text, "");
    assert_eq!(world.event().cost_nano, Some(NanoUsd(140_000)));
}

#[test]
fn a_stream_that_fails_before_its_content_is_begun_anew_elsewhere() {
    let error = "data: {\"error\":{\"message\":\"overloaded\",\"code\":529}}\n\n".to_owned();
    let silent = Step::Stream(vec![role()], StreamEnd::TimedOut);
    let mut world = world([Step::Stream(vec![role(), error], StreamEnd::Closed), silent, stream()]);
    let got = world.ask(&streamed());
    assert_eq!(got.text.matches("\"role\"").count(), 1, "nothing of the failed ones is shown");
    assert!(got.text.ends_with("data: [DONE]\n\n"));
    let event = world.event();
    let attempts: Vec<_> = event.attempts.iter().map(|a| (a.provider.as_str(), a.cause.as_deref())).collect();
    assert_eq!(attempts, [("p1", Some("error_in_body")), ("p2", Some("timeout")), ("p3", None)]);
    assert_eq!((event.outcome, event.cost_nano), (Outcome::Ok, Some(NanoUsd(420_000))));
}

#[test]
fn a_stream_that_breaks_off_ends_in_an_error_and_nobody_takes_over() {
    let mut world = world([Step::Stream(vec![role(), word()], StreamEnd::Broken), stream()]);
    let got = world.ask(&streamed());
    assert_eq!(world.sent.len(), 1);
    assert!(!got.text.contains("[DONE]"));
    assert_eq!(got.chunks().last().unwrap()["choices"][0]["finish_reason"], "error");
    let event = world.event();
    assert_eq!((event.outcome, event.status, event.estimated), (Outcome::Broken, 200, true));
    assert!(event.tokens.completion > 0 && event.cost_nano > Some(NanoUsd(0)) && event.error_type.is_some());
}

#[test]
fn a_client_that_leaves_is_billed_as_far_as_the_stream_came() {
    let bill = |chunks: usize| {
        let mut world = world([Step::Stream(whole()[..chunks].to_vec(), StreamEnd::ClientGone)]);
        world.ask(&streamed());
        let event = world.event();
        assert_eq!((event.outcome, event.cancelled, event.status), (Outcome::Cancelled, true, 200));
        (event.estimated, event.tokens.prompt, event.tokens.completion, event.cost_nano.unwrap())
    };
    let prompt = estimate_tokens(streamed().to_string().len());
    let word = estimate_tokens(ANSWER.len() + 2);
    let cost = |tokens: u64| NanoUsd(i64::try_from(prompt * 1_000 + tokens * 2_000).unwrap());
    assert_eq!(bill(1), (true, prompt, 0, cost(0)));
    assert_eq!(bill(2), (true, prompt, word, cost(word)));
    let both = estimate_tokens(2 * (ANSWER.len() + 2));
    assert_eq!(bill(3), (true, prompt, both, cost(both)));
    // The provider had already said what it used.
    assert_eq!(bill(5), (false, 100, 20, NanoUsd(140_000)));
}

#[test]
fn a_long_generation_is_written_down_while_it_runs() {
    let mut world = world([stream()]);
    world.busy = true;
    world.ask(&streamed());
    assert_eq!(world.event().outcome, Outcome::Ok);
    let opened = world.told.matches("\"outcome\":\"lost\"").count();
    assert_eq!(opened, 1, "once, as what it would be if nothing more were heard of it");
}

// --- Refusals

/// The answer, and that nothing was sent or recorded for it.
fn refused(world: &mut World, key: &str) -> Got {
    let sent = world.sent.len();
    let got = world.ask_as(key, Head::default(), &body(json!({})));
    assert_eq!((world.sent.len(), world.gateway.in_flight()), (sent, 0));
    got
}

#[test]
fn keys_that_may_not_call_models_are_refused() {
    let mut world = world([]);
    let management = world.management_key.clone();
    assert_eq!(refused(&mut world, &management).code(), (403, "wrong_key_kind".to_owned()));
    let unknown = VirtualKey::generate(&[3; 48]).expose().to_owned();
    assert_eq!(refused(&mut world, &unknown).status, 401);
    assert_eq!(refused(&mut world, "sk-other").status, 401);

    let path = format!("/keys/{}", world.hash());
    let key = world.key.clone();
    for (change, code) in [
        (json!({ "disabled": true }), "api_key_disabled"),
        (json!({ "disabled": false, "expires_at": "2026-11-20T12:00:20Z" }), "api_key_expired"),
    ] {
        world.manage("PATCH", &path, change);
        // KV has not heard of it: the account's word is what counts, at most eight seconds later.
        world.now = world.now.plus(crate::known::VALID_MS).max(Millis::parse_iso("2026-11-20T12:00:20Z").unwrap());
        assert_eq!(refused(&mut world, &key).code(), (401, code.to_owned()));
    }
    assert!(world.events().is_empty());
}

#[test]
fn without_its_stores_the_gateway_says_so_and_calls_nobody() {
    for (kv_down, account_down) in [(true, false), (false, true), (true, true)] {
        let mut world = World { kv_down, account_down, ..world([]) };
        let key = world.key.clone();
        let got = refused(&mut world, &key);
        assert_eq!(got.code(), (503, "store_unavailable".to_owned()), "{kv_down} {account_down}");
        assert_eq!(got.headers["retry-after"], "1");
        assert!(!got.text.contains("is down"), "the reason is for the log");
        // As soon as they are back, it serves.
        (world.kv_down, world.account_down) = (false, false);
        (world.now, world.script) = (world.now.plus(1_000), [answer()].into());
        assert_eq!(world.ask(&body(json!({}))).status, 200);
    }
}

#[test]
fn nothing_is_served_whose_record_could_not_be_kept() {
    let mut world = world([answer(), answer(), answer()]);
    assert_eq!(world.ask(&body(json!({}))).status, 200);
    let (seq, batch) = world.gateway.take_batch(world.now).unwrap();
    world.gateway.batch_failed(seq, world.now);
    world.now = world.now.plus(9_900);
    assert_eq!(world.ask(&body(json!({}))).status, 200);
    world.now = world.now.plus(200);
    let key = world.key.clone();
    assert_eq!(refused(&mut world, &key).code(), (503, "store_unavailable".to_owned()));
    // The same batch goes out again, then what came after it.
    assert_eq!(world.gateway.take_batch(world.now), Some((seq, batch)));
    world.gateway.batch_failed(seq, world.now);
    assert_eq!(world.events().len(), 2);
    assert_eq!(world.ask(&body(json!({}))).status, 200);
    assert_eq!(world.events().len(), 3);
}

#[test]
fn events_of_exchanges_that_are_no_more_do_nothing() {
    let mut world = world([answer()]);
    world.ask(&body(json!({})));
    let (now, mut out) = (world.now, Vec::new());
    world.gateway.abandon(1, now);
    world.gateway.stream_end(1, StreamEnd::Closed, now, &mut out);
    assert_eq!(world.gateway.chunk(1, b"data: {}\n\n", now, &mut out), Progress::Ended);
    for effect in [
        world.gateway.failed(1, true, now),
        world.gateway.answered(1, 200, None, b"{}", now),
        world.gateway.stream_failed(1, now),
        world.gateway.attempt(1, body(json!({})).to_string().as_bytes(), now),
    ] {
        assert!(matches!(effect, Effect::Reply(Reply { status: 500, .. })), "{effect:?}");
    }
    assert!(out.is_empty());
    assert_eq!(world.events().len(), 1);
}

// --- Whatever happens

fn steps() -> impl Strategy<Value = Step> {
    let status = prop::sample::select(vec![200_u16, 301, 400, 401, 404, 408, 413, 422, 429, 500, 503, 529]);
    let text =
        prop::sample::select(vec!["", "{}", "[]", "<html>", "{\"error\":\"no\"}", "{\"choices\":[]}", "data: {"]);
    let piece = prop_oneof![
        6 => prop::sample::select(whole()),
        1 => prop::sample::select(vec![
            ": comment\n\n", "data: {\"error\":{\"code\":429,\"message\":\"no\"}}\n\n", "data: {\n\n", "data: {\"choices\":[]}\n\n", "data: {\"cho",
        ]).prop_map(str::to_owned),
    ];
    let end =
        prop::sample::select(vec![StreamEnd::Closed, StreamEnd::Broken, StreamEnd::TimedOut, StreamEnd::ClientGone]);
    prop_oneof![
        1 => Just(Step::Refused),
        1 => Just(Step::TimedOut),
        1 => Just(Step::Trap),
        2 => Just(answer()),
        2 => Just(stream()),
        3 => (status, prop::option::of(0_u32..100), text).prop_map(|(status, after, text)| Step::Answer(status, after, text.to_owned())),
        4 => (prop::collection::vec(piece, 0..8), end).prop_map(|(chunks, end)| Step::Stream(chunks, end)),
    ]
}

proptest! {
    #[test]
    fn every_request_that_was_sent_on_is_recorded_once(
        requests in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>(), prop::collection::vec(steps(), 3)), 1..6),
        busy: bool,
    ) {
        let mut world = World { busy, ..world([]) };
        let (key, mut outcomes) = (world.key.clone(), Vec::new());
        for (stream, native, other, script) in requests {
            world.script = script.into();
            let mut request = body(json!({ "stream": stream }));
            if other {
                request["models"] = json!(["test/other"]);
            }
            let sent = world.sent.len();
            let got = world.ask_as(&key, Head { stream: if native { "native" } else { "cost" }, ..Head::default() }, &request);
            prop_assert!((1..=MAX_ATTEMPTS).contains(&(world.sent.len() - sent)));
            prop_assert_eq!(world.gateway.in_flight(), 0);
            outcomes.push((got.status, world.sent.len() - sent));
        }
        let events = world.events();
        prop_assert_eq!(events.len(), outcomes.len());
        prop_assert_eq!(events.iter().map(|event| event.id.as_str()).collect::<HashSet<_>>().len(), events.len());
        for (event, (status, calls)) in events.iter().zip(outcomes) {
            prop_assert_eq!(event.status, status);
            // A request at which the shell failed has no verdict on its last attempt.
            prop_assert!(event.attempts.len() == calls || status == 500 && event.attempts.len() == calls - 1);
            prop_assert_eq!(event.outcome == Outcome::Error, status != 200);
            prop_assert_eq!(event.cost_nano.is_some(), status == 200);
            prop_assert_eq!(event.cancelled, event.outcome == Outcome::Cancelled);
            prop_assert!(event.outcome != Outcome::Lost);
        }
    }
}

#[test]
fn a_revoked_key_is_refused_by_a_new_isolate_too_though_kv_is_behind() {
    let mut world = world([answer()]);
    let path = format!("/keys/{}", world.hash());
    // Longer ago than the account remembers changes.
    world.now = world.now.plus(2 * 3_600_000);
    world.manage("PATCH", &path, json!({ "disabled": true }));
    let key = world.key.clone();
    assert_eq!(refused(&mut world, &key).code(), (401, "api_key_disabled".to_owned()));
}
