//! The `Account` object of an organization: its keys and workspaces, their budgets and limits, what each
//! key has used, and its money.
//!
//! Every command is one synchronous run of SQL, hence atomic: it checks, then writes.

pub mod alerts;
mod budgets;
pub mod claims;
pub mod commit;
pub mod credits;
pub mod gathered;
mod key_budgets;
mod key_doc;
mod key_limits;
pub mod key_usage;
pub mod keys;
pub mod ledger;
pub mod organization;
pub mod projection;
mod receipts;
pub mod rotation;
pub mod signature;
mod statements;
mod stops;
pub mod stripe;
mod terms;
#[cfg(test)]
mod testing;
mod workspaces;

use crate::{
    budget::book,
    catalog::credential::MasterKey,
    error::Result,
    ports::{AdminRequest, AdminResponse, Command, Reply, Sql},
    time::Millis,
};

/// What a command needs from outside.
pub struct Context {
    /// The time.
    pub now: Millis,
    /// Secure randomness, for a new key.
    pub random: [u8; 48],
    /// The same, for an id.
    pub id: [u8; 12],
    /// The same, to seal a secret of the settings.
    pub secret_nonce: [u8; 12],
    /// The same, to seal an answer that is kept.
    pub receipt_nonce: [u8; 12],
    /// Seals; or why it cannot.
    pub master: Result<MasterKey, String>,
}

/// Creates the tables.
pub fn migrate(sql: &dyn Sql) -> Result<()> {
    keys::migrate(sql)?;
    projection::migrate(sql)?;
    commit::migrate(sql)?;
    book::migrate(sql)?;
    ledger::migrate(sql)?;
    organization::migrate(sql)?;
    alerts::migrate(sql)?;
    stripe::migrate(sql)?;
    receipts::migrate(sql)?;
    Ok(())
}

/// Answers a management request; the same one again, by its idempotency key, as before.
pub fn handle(sql: &dyn Sql, command: &Command, context: &Context) -> Result<Reply> {
    receipts::once(sql, command, context, || answer(sql, &command.request, context))
}

fn answer(sql: &dyn Sql, request: &AdminRequest, context: &Context) -> Result<Reply> {
    let path: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let (status, body) = match (request.method.as_str(), path.as_slice()) {
        ("GET", ["organization"]) => (200, organization::get(sql)?),
        ("PATCH", ["organization"]) => (200, organization::update(sql, request, context)?),
        ("GET", ["credits"]) => (200, credits::get(sql)?),
        ("POST", ["credits"]) => (201, credits::create(sql, request, context)?),
        ("GET", ["ledger"]) => (200, ledger::list(sql, request)?),
        ("GET", ["ledger", "check"]) => (200, ledger::check(sql)?),
        ("GET", ["statements"]) => (200, statements::list(sql, context.now)?),
        ("GET", ["statements", month]) => return statements::get(sql, month, request, context.now),
        ("GET", ["alerts"]) => (200, alerts::list(sql, request)?),
        ("GET", ["webhooks", "stripe"]) => (200, stripe::list(sql, request)?),
        ("POST", ["webhooks", "stripe"]) => (200, stripe::receive(sql, request, context.now)?),
        _ => return Ok(keys::handle(sql, request, context.now, &context.random)?.into()),
    };
    Ok(AdminResponse { status, body }.into())
}

/// When the object has to wake up by itself, if at all.
pub fn next_alarm(sql: &dyn Sql, now: Millis) -> Result<Option<Millis>> {
    let moments = [commit::next_alarm(sql, now)?, alerts::next_alarm(sql)?];
    Ok(moments.into_iter().flatten().min())
}
