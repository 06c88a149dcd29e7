//! A passthrough written with the `worker` crate as its users write one: bodies stream, headers are taken over.

use worker::{Context, Env, Fetch, Request, RequestInit, Response, Result, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    let mut init = RequestInit::new();
    init.with_method(request.method())
        .with_headers(request.headers().clone());
    init.with_body(request.inner().body().map(Into::into));
    let upstream = env.var("UPSTREAM")?.to_string();
    Fetch::Request(Request::new_with_init(&upstream, &init)?)
        .send()
        .await
}
