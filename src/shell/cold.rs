//! temporary
use worker::{Context, D1Database, Env, Request, Response, Result, event};
use super::{bindings, sql::ObjectSql};
use crate::{account::projection, ports::AdminRequest};

#[event(fetch)]
async fn fetch(mut req: Request, env: Env, _ctx: Context) -> Result<Response> {
    let url = req.url()?;
    let path = url.path().trim_start_matches("/api").trim_start_matches("/v1").to_owned();
    if let Some(key) = path.strip_prefix("/admin/kv/") {
        let body = req.text().await?;
        env.kv(bindings::KV)?.put(&key.replace("%2F", "/"), body)?.execute().await?;
        super::forget_caches();
        return Response::ok("ok");
    }
    if path.starts_with("/key") {
        let admin = AdminRequest { method: req.method().to_string(), path, query: vec![], body: req.json().await.ok(), actor: crate::auth::KeyHash::parse(&"a".repeat(64)).unwrap_or_else(|| unreachable!()) };
        let stub = env.durable_object(bindings::ACCOUNT)?.id_from_name("default")?.get_stub()?;
        let mut init = worker::RequestInit::new();
        init.with_method(worker::Method::Post).with_body(Some(serde_json::to_string(&admin)?.into()));
        let mut r = stub.fetch_with_request(Request::new_with_init("http://object/admin", &init)?).await?;
        let a: crate::ports::AdminResponse = r.json().await?;
        return Ok(Response::from_json(&a.body)?.with_status(a.status));
    }
    Response::error("no", 404)
}
#[event(queue)]
async fn queue(batch: worker::MessageBatch<wasm_bindgen::JsValue>, env: Env, _ctx: Context) -> Result<()> {
    super::consumer::consume(batch, &env).await;
    Ok(())
}
pub async fn write_copies(env: &Env, sql: &ObjectSql) {
    let Ok(kv) = env.kv(bindings::KV) else { return };
    for w in projection::pending(sql, 100).unwrap_or_default() {
        let r = match &w.value { Some(v) => match kv.put(&w.key, v) { Ok(p) => p.execute().await.is_ok(), Err(_) => false }, None => kv.delete(&w.key).await.is_ok() };
        if r { let _ = projection::done(sql, &w); }
    }
}
pub async fn run(db: &D1Database, statements: Vec<crate::ports::Statement>) -> Result<()> {
    let _ = (db, statements);
    Ok(())
}
