//! Everything that is not inference: one path from request to answer, over the table of routes.
//!
//! 1. route: path and method give a row of `admin::routes`, or 404 or 405, in the format of whoever calls
//!    such a path
//! 2. authorise: the key, of the kind that the row names, or 400, 401, 403; its record comes from the
//!    `Account` object itself, so a revoked key manages nothing from that moment
//! 3. read: a body of at most 8 MB, JSON, or 413, 400
//! 4. answer: by the object or store that the row names; one that cannot be reached is a 503
//!
//! Payment providers are let in by their signature instead of a key.

use std::rc::Rc;

use futures::StreamExt;
use js_sys::Reflect;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use worker::{Env, Headers, Method, Request, RequestInit, Response, console_error, wasm_bindgen::JsValue};

use super::{forget_caches, sql::run_on_d1};
use crate::{
    DEFAULT_ORG,
    account::stripe,
    admin::{
        models, query, read_json, records,
        routes::{self, Access, Answer, NoRoute, Route},
        wants_numeric_code, with_numeric_code,
    },
    auth::{HEADERS, KeyHash, KeyRecord, Principal, VirtualKey, presented},
    dialect::call::Api,
    error::{Blame, Error, ErrorKind, Result},
    formats,
    operator::{self, Effective},
    ports::{AdminRequest, AdminResponse, Command, Reply},
    time::Millis,
};

const MOST_BODY: usize = 8 << 20;

/// Answers a request.
pub async fn fetch(mut request: Request, env: Env) -> worker::Result<Response> {
    let numeric = wants_numeric_code(&request.headers().get("user-agent")?.unwrap_or_default());
    let (result, allow) = match route(&request) {
        Ok((route, path)) => (serve(&mut request, &env, route, path).await, None),
        Err(no) => (Err(no.error), no.allow),
    };
    let mut retry_after_s = None;
    if let Err(error) = &result {
        log(error);
        retry_after_s = error.retry_after_s;
    }
    let Reply { mut answer, content_type, replayed } =
        result.unwrap_or_else(|error| refusal(&request.inner().method(), &request.path(), &error, numeric));
    if numeric {
        with_numeric_code(&mut answer);
    }
    let headers = Headers::new();
    headers.set("content-type", content_type.as_deref().unwrap_or("application/json"))?;
    if replayed {
        headers.set("idempotency-replayed", "true")?;
    }
    headers.set("cache-control", "no-store")?;
    if let Some(methods) = allow {
        headers.set("allow", &methods)?;
    }
    if matches!(answer.status, 429 | 503) {
        headers.set("retry-after", &retry_after_s.unwrap_or(1).to_string())?;
    }
    let body = match (content_type, answer.body) {
        (Some(_), Value::String(text)) => text,
        (_, body) => body.to_string(),
    };
    Ok(Response::ok(body)?.with_status(answer.status).with_headers(headers))
}

/// An error, for whoever calls that path: the wrong method of an address of inference is told in the
/// format that its clients read.
fn refusal(method: &str, path: &str, error: &Error, numeric: bool) -> Reply {
    let api = if routes::is_geminis(method, path) { Api::Generate } else { formats::route(path).api };
    let body = Value::String(formats::write_error(api, error, numeric));
    let answer = AdminResponse { status: error.status(), body };
    Reply { content_type: Some("application/json".to_owned()), ..answer.into() }
}

fn route(request: &Request) -> Result<(&'static Route, String), Box<NoRoute>> {
    let path = request.path();
    let below = routes::below_base(&path);
    let route = routes::find(&request.inner().method(), &below)?;
    // A name that cannot be decoded is nobody's.
    let path = query::decode_path(&below).ok_or_else(|| {
        Box::new(NoRoute { error: Error::new(ErrorKind::NotFound, "There is nothing of that name."), allow: None })
    })?;
    Ok((route, path))
}

async fn serve(request: &mut Request, env: &Env, route: &Route, path: String) -> Result<Reply> {
    let now = Millis::from_js(js_sys::Date::now());
    if route.answer == Answer::Stripe {
        return take_payment(request, env, path, now).await;
    }
    let principal = authorise(request, env, route.access, now).await?;
    let asker = principal.key();
    let body = read_json(&read_body(request).await?)?;
    let url = request.url().map_err(|error| Error::internal(error.to_string()))?;
    let mut query: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let header = |name: &str| request.headers().get(name).ok().flatten();
    if route.method == "GET"
        && query::text(&query, "format").is_none()
        && header("accept").is_some_and(|accept| accept.starts_with("text/csv"))
    {
        query.push(("format".to_owned(), "csv".to_owned()));
    }
    let command = || AdminRequest {
        method: route.method.to_owned(),
        path: path.clone(),
        query: query.clone(),
        body,
        actor: asker.hash.clone(),
    };
    let fine = |body| Ok(AdminResponse { status: 200, body }.into());
    let answer = match route.answer {
        Answer::Account => {
            let command = Command { request: command(), idempotency_key: header("idempotency-key") };
            ask_account(env, &asker.org, &command).await
        }
        Answer::Catalog => ask_catalog(env, &command()).await.map(Reply::from),
        Answer::Models => fine(models::answer(&path, &query, &effective(env, &asker.hash).await?)?),
        Answer::Records => {
            let question = records::ask(route.method, &path, &query, asker, now)?;
            fine(question.answer(&run_on_d1(env, &question.statements).await?)?)
        }
        // The entry module knows its addresses to the letter.
        Answer::Entry => Err(Error::new(
            ErrorKind::NotFound,
            format!("There is nothing at {:?}; {path} is without a slash at its end.", request.path()),
        )),
        Answer::Stripe => Err(Error::internal(format!("{} {path} is not answered here", route.method))),
    };
    if route.method != "GET" {
        forget_caches();
    }
    answer
}

/// A payment provider's event: its signature stands for a key, and is over the bytes as they came.
async fn take_payment(request: &mut Request, env: &Env, path: String, now: Millis) -> Result<Reply> {
    let signature = request.headers().get("stripe-signature").ok().flatten();
    let bytes = read_body(request).await?;
    let event = stripe::open(secret(env, stripe::SECRET).as_deref(), signature.as_deref(), &bytes, now)?;
    let request = AdminRequest {
        method: "POST".to_owned(),
        path,
        query: Vec::new(),
        body: Some(event),
        actor: KeyHash::nobody(),
    };
    ask_account(env, DEFAULT_ORG, &Command { request, idempotency_key: None }).await
}

/// The one way in for all others.
async fn authorise(request: &Request, env: &Env, access: Access, now: Millis) -> Result<Principal> {
    let header = |name: &str| request.headers().get(name).ok().flatten();
    let values = HEADERS.map(header);
    let key = presented([values[0].as_deref(), values[1].as_deref(), values[2].as_deref()])?;
    let record = Rc::new(record_of(env, &key.hash()).await?);
    let wanted = match access {
        Access::Only(kind) => kind,
        Access::AnyKey => record.kind,
        Access::Public => return Err(Error::internal("an open route is the entry module's")),
    };
    record.admit(wanted, now)
}

async fn record_of(env: &Env, hash: &KeyHash) -> Result<KeyRecord> {
    let root = secret(env, "SLUICE_MANAGEMENT_KEY").and_then(|key| VirtualKey::parse(key.trim()));
    if root.is_some_and(|root| same(root.hash().as_str(), hash.as_str())) {
        return Ok(KeyRecord::root(hash.clone()));
    }
    let command = AdminRequest {
        method: "GET".to_owned(),
        path: format!("/records/{hash}"),
        query: Vec::new(),
        body: None,
        actor: hash.clone(),
    };
    let answer = ask_account(env, DEFAULT_ORG, &Command { request: command, idempotency_key: None }).await?.answer;
    match answer.status {
        200 => data(answer),
        404 => Err(KeyRecord::refuse("This API key is not known here: it was deleted, or belongs to another gateway.")),
        status => Err(Error::store("key store", format!("the account answered {status}"))),
    }
}

/// Compares in a time that does not tell where the difference is.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

async fn read_body(request: &mut Request) -> Result<Vec<u8>> {
    if matches!(request.method(), Method::Get | Method::Head) || request.inner().body().is_none() {
        return Ok(Vec::new());
    }
    let broken = |error: worker::Error| {
        let mut refused = Error::new(ErrorKind::InvalidRequest, "The body could not be read to its end.");
        refused.context = Some(error.to_string());
        refused
    };
    let mut stream = request.stream().map_err(broken)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend(chunk.map_err(broken)?);
        if bytes.len() > MOST_BODY {
            return Err(Error::new(
                ErrorKind::PayloadTooLarge,
                format!("The body is larger than {} MB.", MOST_BODY >> 20),
            ));
        }
    }
    Ok(bytes)
}

/// The catalog as clients see it.
async fn effective(env: &Env, actor: &KeyHash) -> Result<Effective> {
    let command = AdminRequest {
        method: "GET".to_owned(),
        path: "/rows".to_owned(),
        query: Vec::new(),
        body: None,
        actor: actor.clone(),
    };
    let answer = ask_catalog(env, &command).await?;
    if answer.status != 200 {
        return Err(Error::store("catalog", format!("the catalog answered {}", answer.status)));
    }
    let rows = serde_json::from_value(answer.body)
        .map_err(|error| Error::internal(format!("rows of the catalog: {error}")))?;
    Ok(Effective::of(rows, &|name| secret(env, name).is_some()))
}

async fn ask_account(env: &Env, org: &str, command: &Command) -> Result<Reply> {
    ask(env, "ACCOUNT", org, command).await.map_err(|error| Error::store("key store", error.to_string()))
}

async fn ask_catalog(env: &Env, command: &AdminRequest) -> Result<AdminResponse> {
    ask(env, "CATALOG", operator::OBJECT, command).await.map_err(|error| Error::store("catalog", error.to_string()))
}

async fn ask<T: DeserializeOwned>(env: &Env, binding: &str, name: &str, command: &impl Serialize) -> worker::Result<T> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(JsValue::from_str(&json!(command).to_string())));
    let request = Request::new_with_init("http://object/admin", &init)?;
    let mut response = env.durable_object(binding)?.get_by_name(name)?.fetch_with_request(request).await?;
    response.json().await
}

fn data<T: DeserializeOwned>(mut answer: AdminResponse) -> Result<T> {
    let data = answer.body.get_mut("data").map(Value::take).unwrap_or_default();
    serde_json::from_value(data).map_err(|error| Error::internal(format!("an object's answer: {error}")))
}

/// A secret or variable of the environment that is set and not empty. (A binding read from a process
/// environment that lacks it is `null`, which `Env::secret` does not expect.)
pub fn secret(env: &Env, name: &str) -> Option<String> {
    Reflect::get(env, &JsValue::from_str(name)).ok()?.as_string().filter(|value| !value.is_empty())
}

/// Logs what is not the client's own doing.
pub fn log(error: &Error) {
    if error.kind.facts().blame != Blame::Client || error.context.is_some() {
        let line = json!({ "level": "error", "message": error.message, "code": error.kind.facts().code, "context": error.context });
        console_error!("{line}");
    }
}
