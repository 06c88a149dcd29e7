//! Sends alerts to the organization's webhook (account/alerts.rs says when and what).

use futures::future::{Either, join_all, select};
use worker::{
    AbortController, Delay, Env, Fetch, Headers, Method, Request, RequestInit, RequestRedirect, Storage,
    wasm_bindgen::JsValue,
};

use super::{account_object::set_alarm, cold::log, sql::ObjectSql};
use crate::{
    account::{
        self,
        alerts::{self, Delivery},
    },
    error::Error,
    time::Millis,
};

/// Sends all of them, and notes what came of each.
pub async fn deliver(deliveries: Vec<Delivery>, env: Env, storage: Storage) {
    let results = join_all(deliveries.iter().map(|delivery| send(delivery, &env))).await;
    let sql = ObjectSql::new(&storage);
    let now = Millis::from_js(js_sys::Date::now());
    for (delivery, result) in deliveries.iter().zip(results) {
        if let Err(error) = alerts::done(&sql, &delivery.id, &result, now) {
            log(&error);
        }
    }
    // The next try may be sooner than the alarm that guards against our own end.
    if let Err(why) = wake(&sql, &storage, now).await {
        log(&Error::store("alarm", why));
    }
}

async fn wake(sql: &ObjectSql, storage: &Storage, now: Millis) -> Result<(), String> {
    let Some(wanted) = account::next_alarm(sql, now).map_err(|error| error.message)? else { return Ok(()) };
    let set = storage.get_alarm().await.map_err(|error| error.to_string())?;
    if set.is_none_or(|at| at > wanted.0) {
        set_alarm(storage, wanted).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The status of the answer.
async fn send(delivery: &Delivery, env: &Env) -> Result<u16, String> {
    // What the platform says of a failure may name the host, which is the owner's own: it is not logged.
    let failed = |error: worker::Error| format!("the webhook cannot be reached: {error}");
    let Delivery { id, url, private, signature, body } = delivery;
    let headers = Headers::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("user-agent", "Sluice"),
        ("sluice-event-id", id),
        ("sluice-signature", signature),
    ] {
        headers.set(name, value).map_err(failed)?;
    }
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_headers(headers).with_body(Some(JsValue::from_str(body)));
    init.with_redirect(RequestRedirect::Manual);
    let request = Request::new_with_init(url, &init).map_err(failed)?;
    let controller = AbortController::default();
    let (signal, network) = (controller.signal(), env.service("PRIVATE_NETWORK").ok().filter(|_| *private));
    let sent = Box::pin(async {
        match network {
            Some(network) => network.fetch_request(request).await.map(|answer| answer.status_code()),
            None => Fetch::Request(request).send_with_signal(&signal).await.map(|answer| answer.status_code()),
        }
    });
    let late = Delay::from(std::time::Duration::from_millis(alerts::TIMEOUT_MS));
    match select(sent, late).await {
        Either::Left((status, _)) => status.map_err(failed),
        Either::Right(_) => {
            controller.abort();
            Err("the webhook did not answer in time".to_owned())
        }
    }
}
