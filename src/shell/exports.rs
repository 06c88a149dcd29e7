//! The synchronous functions by which `entry.mjs` drives inference requests: bytes and packed text in,
//! packed text or bytes out. No future, no `worker` object: that is what keeps a request cheap
//! (docs/decisions/0001).
//!
//! An effect is text, its parts separated by line feeds (none of them can hold one):
//!
//! ```text
//! L  ticket,pause  ask..                                ask = kv TAB key | account TAB org TAB json
//! F  exchange url flags total,first,idle,keepalive id stream-type  k header*k  n header*n  m start,end,length*m  texts
//!                                                       k: of the answer, n: of the call
//!                                                       flags: p(rivate) s(tream) n(ative)
//!                                                       b(ody: `take_body`, no edits) q(uiet: no comments)
//!                                                       t(ype: the answer's own) u(nread: it goes as it comes)
//! G  exchange  ask..                                    ask = medium TAB url
//!                                                           | token TAB url TAB form [TAB message TAB key]
//!                                                       then call `attempt`
//! N  exchange                                           call `attempt`
//! R  status  n header*n  body                           header = name: SP value
//! ```

use std::cell::{Cell, RefCell};

use base64::{Engine, engine::general_purpose::STANDARD};
use wasm_bindgen::prelude::wasm_bindgen;
use worker::console_error;

use crate::{
    admin,
    dialect::{call::Api, passing::StreamEnd},
    error::{Error, ErrorKind},
    formats::{self, Body, Fetched},
    framing::edit::{Edit, apply_to},
    known::Ask,
    metering::{CommitReply, CommitRequest},
    pipeline::{self, AsItComes, Config, Effect, Gateway, Gathering, Head, Lookups, Progress, Reply},
    provider::token::TokenRequest,
    time::Millis,
};

thread_local! {
    static GATEWAY: RefCell<Option<Gateway>> = const { RefCell::new(None) };
    static BATCH: Cell<u64> = const { Cell::new(0) };
    /// The body of the call that was packed last, where it is not the client's.
    static BODY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Runs with the isolate's gateway, which `configure` made.
fn with<T>(run: impl FnOnce(&mut Gateway) -> T) -> T {
    GATEWAY.with_borrow_mut(|gateway| run(gateway.get_or_insert_with(|| Gateway::new(Config::default()))))
}

/// Makes the isolate's gateway: once, before anything else. `env`: the text bindings as a JSON object.
#[wasm_bindgen]
pub fn configure(env: &str, seed: u64) {
    // Without it a panic would say nothing of itself.
    console_error_panic_hook::set_once();
    let env = serde_json::from_str(env).unwrap_or_default();
    GATEWAY.with_borrow_mut(|gateway| *gateway = Some(Gateway::new(Config { env, seed })));
}

/// Something was changed through this isolate: its copies are no longer to be trusted.
pub fn forget_caches() {
    with(|gateway| gateway.known().forget());
}

/// A request. `head`: the headers of [`Head`] in its order, one a line; `ticket`: from the `L` effect
/// before, 0 at first.
#[wasm_bindgen]
pub fn begin(head: &str, body: &[u8], ticket: u32, now: f64) -> String {
    let mut lines = head.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let head = Head {
        path: next(),
        anthropic_beta: next(),
        content_type: next(),
        authorization: next(),
        api_key: next(),
        goog_api_key: next(),
        session_id: next(),
        metadata: next(),
        stream: next(),
        idempotency_key: next(),
        user_agent: next(),
        referer: next(),
        title: next(),
    };
    with(|gateway| pack(gateway.begin(&head, body, ticket, Millis::from_js(now)), gateway))
}

/// The next attempt, or the same with what was gathered for it.
#[wasm_bindgen]
pub fn attempt(exchange: u32, body: &[u8], now: f64) -> String {
    with(|gateway| pack(gateway.attempt(exchange, body, Millis::from_js(now)), gateway))
}

/// The body that goes with the `F` effect packed last, where it says so.
#[wasm_bindgen]
pub fn take_body() -> Vec<u8> {
    BODY.take()
}

/// A medium that was at an address. A `why` says that it could not be had.
#[wasm_bindgen]
pub fn learn_medium(exchange: u32, url: &str, content_type: &str, bytes: &[u8], why: Option<String>) {
    let medium = why.map_or_else(|| Fetched::of(content_type, bytes), Fetched::Failed);
    with(|gateway| gateway.learn_medium(exchange, url, medium));
}

/// The most bytes that a medium may have.
#[wasm_bindgen]
pub fn max_medium() -> u32 {
    u32::try_from(formats::MAX_MEDIUM).unwrap_or(u32::MAX)
}

/// Whether an address may be fetched for a client: `https` or `http`, and not a private one by its name.
#[wasm_bindgen]
pub fn is_public(url: &str) -> bool {
    formats::is_public(url)
}

/// The answer of a token endpoint. A `why` says that there was none.
#[wasm_bindgen]
#[expect(clippy::needless_pass_by_value, reason = "how optional texts cross")]
pub fn learn_token(exchange: u32, answer: &[u8], why: Option<String>, now: f64) {
    let answer = why.as_deref().map_or(Ok(answer), Err);
    if let Some(problem) = with(|gateway| gateway.learn_token(exchange, answer, Millis::from_js(now))) {
        console_error!("{problem}");
    }
}

/// A whole body from the provider. `retry_after`: seconds, negative where none was given. Answers a
/// letter `A` and the body for the client, or an effect in UTF-8.
#[wasm_bindgen]
pub fn answered(exchange: u32, status: u16, retry_after: f64, body: &[u8], now: f64) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    let retry_after = (0.0..1e9).contains(&retry_after).then_some(retry_after as u32);
    with(|gateway| match gateway.answered(exchange, status, retry_after, body, Millis::from_js(now)) {
        Effect::Answer(edits) => {
            let mut out = Vec::with_capacity(body.len() + 1024);
            out.push(b'A');
            apply_to(body, 0, &edits, &mut out);
            out
        }
        Effect::Written(mut written) => {
            written.insert(0, b'A');
            written
        }
        effect => pack(effect, gateway).into_bytes(),
    })
}

/// No answer from the provider.
#[wasm_bindgen]
pub fn failed(exchange: u32, timed_out: bool, now: f64) -> String {
    with(|gateway| pack(gateway.failed(exchange, timed_out, Millis::from_js(now)), gateway))
}

/// A chunk of a stream: first how it stands (0 waiting, 1 flowing, 2 ended, 3 failed, 4 `more` is to be
/// asked, 5 to be broken off), then the bytes for the client.
#[wasm_bindgen]
pub fn chunk(exchange: u32, bytes: &[u8], now: f64) -> Vec<u8> {
    looked(bytes.len(), |gateway, out| gateway.chunk(exchange, bytes, Millis::from_js(now), out))
}

/// How a stream stands, and bytes for its client.
fn looked(size: usize, look: impl FnOnce(&mut Gateway, &mut Vec<u8>) -> Progress) -> Vec<u8> {
    let mut out = Vec::with_capacity(size + 96);
    out.push(0);
    let progress = with(|gateway| look(gateway, &mut out));
    if let Some(first) = out.first_mut() {
        *first = match progress {
            Progress::Waiting => 0,
            Progress::Flowing => 1,
            Progress::Ended => 2,
            Progress::Failed => 3,
            Progress::Short => 4,
            Progress::Cut => 5,
        };
    }
    out
}

/// The provider has closed a stream that has shown no content: as [`chunk`].
#[wasm_bindgen]
pub fn stream_closed(exchange: u32, now: f64) -> Vec<u8> {
    looked(0, |gateway, out| gateway.closed(exchange, Millis::from_js(now), out))
}

/// What a stream has to ask before it goes on, packed as an `L` effect; nothing when it may.
#[wasm_bindgen]
pub fn more(exchange: u32, now: f64) -> Option<String> {
    asked(|gateway| gateway.more(exchange, Millis::from_js(now)))
}

/// Whether a running stream has to end now. What is asked in the background so that this is known in
/// time: [`watch`].
#[wasm_bindgen]
pub fn stopped(exchange: u32, now: f64) -> bool {
    with(|gateway| gateway.stopped(exchange, Millis::from_js(now)))
}

/// Questions about a running stream, packed as an `L` effect; nothing when there are none.
#[wasm_bindgen]
pub fn watch(exchange: u32, now: f64) -> Option<String> {
    asked(|gateway| gateway.watch(exchange, Millis::from_js(now)))
}

/// A stream failed before its first content.
#[wasm_bindgen]
pub fn stream_failed(exchange: u32, now: f64) -> String {
    with(|gateway| pack(gateway.stream_failed(exchange, Millis::from_js(now)), gateway))
}

/// A stream is over (0 closed, 1 broken, 2 timed out, 3 the client has gone): its last bytes.
#[wasm_bindgen]
pub fn stream_end(exchange: u32, end: u8, now: f64) -> Vec<u8> {
    let end = match end {
        0 => StreamEnd::Closed,
        1 => StreamEnd::Broken,
        2 => StreamEnd::TimedOut,
        _ => StreamEnd::ClientGone,
    };
    let mut out = Vec::new();
    with(|gateway| gateway.stream_end(exchange, end, Millis::from_js(now), &mut out));
    out
}

/// The shell failed at a request: it is recorded as failed.
#[wasm_bindgen]
pub fn abandon(exchange: u32, now: f64) {
    with(|gateway| gateway.abandon(exchange, Millis::from_js(now)));
}

/// A refusal that needs no gateway state: `too_large` or `internal`, packed as a reply.
#[wasm_bindgen]
pub fn refuse(what: &str, path: &str, user_agent: &str) -> String {
    let error = match what {
        "too_large" => {
            let most = if formats::route(path).api == Api::Transcriptions { 26 } else { 8 };
            let message = format!("The request body is larger than {most} MiB, the most this gateway takes.");
            Error::new(ErrorKind::PayloadTooLarge, message)
        }
        other => Error::internal(other),
    };
    let mut out = String::new();
    let api = formats::route(path).api;
    pack_reply(&pipeline::reply(api, &error, admin::wants_numeric_code(user_agent), None), &mut out);
    out
}

/// The error event for a client that was promised a stream which nobody served; `body`: the error as
/// an answer would carry it.
#[wasm_bindgen]
pub fn late_error(path: &str, body: &str) -> Vec<u8> {
    let route = formats::route(path);
    formats::late_error(route.api, route.array, body)
}

/// The next batch for the account, as bytes of JSON; [`batch_number`] tells its number. Nothing when
/// there is none.
#[wasm_bindgen]
pub fn take_batch(now: f64) -> Option<Vec<u8>> {
    let (seq, json) = with(|gateway| gateway.take_batch(Millis::from_js(now)))?;
    BATCH.set(seq);
    Some(json.into_bytes())
}

/// Number of the batch taken last.
#[wasm_bindgen]
pub fn batch_number() -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "nobody sends 2^53 batches")]
    let seq = BATCH.get() as f64;
    seq
}

/// Whether requests run of which the account is yet to be told.
#[wasm_bindgen]
pub fn untold() -> bool {
    with(|gateway| gateway.untold())
}

/// The account took a batch; `reply` is its JSON.
#[wasm_bindgen]
pub fn batch_done(seq: f64, reply: &str, asked: f64, now: f64) {
    with(|gateway| match serde_json::from_str::<CommitReply>(reply) {
        Ok(reply) => gateway.batch_done(number(seq), reply, Millis::from_js(asked), Millis::from_js(now)),
        Err(error) => {
            console_error!("the account's answer cannot be read: {error}");
            gateway.batch_failed(number(seq), Millis::from_js(now));
        }
    });
}

/// The account did not take a batch.
#[wasm_bindgen]
pub fn batch_failed(seq: f64, now: f64) {
    with(|gateway| gateway.batch_failed(number(seq), Millis::from_js(now)));
}

/// Questions to ask in the background, packed as in an `L` effect; nothing when there are none.
#[wasm_bindgen]
pub fn refreshes(exchange: u32, now: f64) -> Option<String> {
    asked(|gateway| gateway.refreshes(exchange, Millis::from_js(now)))
}

/// KV's answer.
#[wasm_bindgen]
#[expect(clippy::needless_pass_by_value, reason = "how optional texts cross")]
pub fn learn_kv(key: &str, value: Option<String>, now: f64) {
    with(|gateway| {
        gateway.known().learn_kv(key, value.as_deref(), Millis::from_js(now));
        for problem in gateway.known().take_problems() {
            console_error!("{problem}");
        }
    });
}

/// KV did not answer.
#[wasm_bindgen]
pub fn kv_unavailable(key: &str, why: &str, now: f64) {
    with(|gateway| gateway.known().kv_unavailable(key, why, Millis::from_js(now)));
}

/// The account's answer to a question.
#[wasm_bindgen]
pub fn learn_account(org: &str, reply: &str, asked: f64, now: f64) {
    with(|gateway| match serde_json::from_str::<CommitReply>(reply) {
        Ok(reply) => gateway.known().learn_account(org, reply, Millis::from_js(asked), Millis::from_js(now)),
        Err(error) => gateway.known().account_unavailable(org, &error.to_string(), Millis::from_js(now)),
    });
}

/// The account did not answer.
#[wasm_bindgen]
pub fn account_unavailable(org: &str, why: &str, now: f64) {
    with(|gateway| gateway.known().account_unavailable(org, why, Millis::from_js(now)));
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number this program gave out itself")]
fn number(seq: f64) -> u64 {
    seq as u64
}

/// What the gateway has to ask beside any request's look-ups, packed as an `L` effect.
fn asked(run: impl FnOnce(&mut Gateway) -> Vec<Ask>) -> Option<String> {
    with(|gateway| {
        let asks = run(gateway);
        (!asks.is_empty()).then(|| pack(Effect::Lookup(Lookups { ticket: 0, pause_ms: 0, asks }), gateway))
    })
}

fn pack(effect: Effect, gateway: &Gateway) -> String {
    let mut out = String::with_capacity(512);
    match effect {
        Effect::Again(exchange) => {
            out.push('N');
            push(&mut out, &[&exchange.to_string()]);
        }
        Effect::Gather(exchange, wanted) => {
            out.push('G');
            push(&mut out, &[&exchange.to_string()]);
            for wanted in wanted {
                match wanted {
                    Gathering::Medium(url) => push(&mut out, &["medium\t", &url]),
                    Gathering::Token(_, TokenRequest { url, form, sign: None }) => {
                        push(&mut out, &["token\t", &url, "\t", &form]);
                    }
                    Gathering::Token(_, TokenRequest { url, form, sign: Some(sign) }) => {
                        let key = STANDARD.encode(&sign.pkcs8_der);
                        push(&mut out, &["token\t", &url, "\t", &form, "\t", &sign.message, "\t", &key]);
                    }
                }
            }
        }
        Effect::Lookup(Lookups { ticket, pause_ms, asks }) => {
            out.push('L');
            push(&mut out, &[&ticket.to_string(), ",", &pause_ms.to_string()]);
            for ask in asks {
                match ask {
                    Ask::Kv(key) => push(&mut out, &["kv\t", &key]),
                    Ask::Account { org, since, keys, charged, ask, claim } => {
                        let request = CommitRequest {
                            session: gateway.session().to_owned(),
                            since,
                            keys,
                            charged,
                            ask,
                            claims: claim.into_iter().collect(),
                            ..CommitRequest::default()
                        };
                        push(
                            &mut out,
                            &["account\t", &org, "\t", &serde_json::to_string(&request).unwrap_or_default()],
                        );
                    }
                }
            }
        }
        Effect::Fetch(fetch) => {
            out.push('F');
            let [total, first, idle] = fetch.timeouts_ms;
            push(&mut out, &[&fetch.exchange.to_string()]);
            push(&mut out, &[&fetch.url]);
            let flag = |on: bool, letter: &'static str| if on { letter } else { "" };
            let (edits, another) = match fetch.body {
                Body::Edits(edits) => (edits, None),
                Body::New(bytes) => (Vec::new(), Some(bytes)),
            };
            push(
                &mut out,
                &[
                    "-",
                    flag(fetch.private, "p"),
                    flag(fetch.stream, "s"),
                    flag(fetch.native, "n"),
                    flag(another.is_some(), "b"),
                    flag(fetch.quiet, "q"),
                    match fetch.as_it_comes {
                        AsItComes::No => "",
                        AsItComes::Named => "t",
                        AsItComes::Unread => "tu",
                    },
                ],
            );
            BODY.set(another.unwrap_or_default());
            let keepalive = fetch.keepalive_ms.to_string();
            push(&mut out, &[&total.to_string(), ",", &first.to_string(), ",", &idle.to_string(), ",", &keepalive]);
            push(&mut out, &[fetch.id.as_str()]);
            push(&mut out, &[fetch.stream_type]);
            push(&mut out, &[&fetch.answer_headers.len().to_string()]);
            for (name, value) in &fetch.answer_headers {
                push(&mut out, &[name, ": ", value]);
            }
            push(&mut out, &[&fetch.headers.len().to_string()]);
            for (name, value) in &fetch.headers {
                push(&mut out, &[name, ": ", value]);
            }
            pack_edits(&edits, &mut out);
        }
        // Goes as bytes; see `answered`.
        Effect::Answer(_) | Effect::Written(_) => out.push('A'),
        Effect::Reply(reply) => pack_reply(&reply, &mut out),
    }
    out
}

fn pack_reply(reply: &Reply, out: &mut String) {
    if let Some(log) = &reply.log {
        console_error!("{log}");
    }
    out.push('R');
    push(out, &[&reply.status.to_string()]);
    push(out, &[&reply.headers.len().to_string()]);
    for (name, value) in &reply.headers {
        push(out, &[name, ": ", value]);
    }
    push(out, &[&reply.body]);
}

fn pack_edits(edits: &[Edit], out: &mut String) {
    push(out, &[&edits.len().to_string()]);
    for edit in edits {
        push(out, &[&edit.start.to_string(), ",", &edit.end.to_string(), ",", &edit.text.len().to_string()]);
    }
    out.push('\n');
    out.extend(edits.iter().map(|edit| edit.text.as_str()));
}

fn push(out: &mut String, parts: &[&str]) {
    out.push('\n');
    for part in parts {
        out.push_str(part);
    }
}
