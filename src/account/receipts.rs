//! `Idempotency-Key` on management writes: the same key with the same request within 24 hours is
//! answered as before and changes nothing; with another request it is a 409.
//!
//! A receipt is written in the same run of SQL as the change itself, so there is no change without its
//! receipt nor the reverse; commands run one after the other, so none is ever half done. Only what
//! succeeded is kept: what was refused may be tried again. A key is one caller's own. Answers are kept
//! sealed under the master key: that of `POST /keys` holds a secret, which comes again with a replay.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::Context;
use crate::{
    catalog::credential::{Credential, SealedCredential},
    error::{Error, ErrorKind, Result},
    ids::hex,
    ports::{Command, Reply, Sql, SqlError, text},
};

const KEPT_MS: i64 = 24 * 3_600_000;
const MOST_CHARS: usize = 255;

/// Creates the table.
pub(super) fn migrate(sql: &dyn Sql) -> Result<(), SqlError> {
    for statement in [
        "CREATE TABLE IF NOT EXISTS receipts (
            actor TEXT NOT NULL, key TEXT NOT NULL, at INTEGER NOT NULL, request TEXT NOT NULL, sealed TEXT NOT NULL,
            PRIMARY KEY (actor, key)
        ) WITHOUT ROWID",
        "CREATE INDEX IF NOT EXISTS receipts_at ON receipts (at)",
    ] {
        sql.run(statement, &[])?;
    }
    Ok(())
}

/// Does it, or answers what it was answered before.
pub(super) fn once(
    sql: &dyn Sql,
    command: &Command,
    context: &Context,
    act: impl FnOnce() -> Result<Reply>,
) -> Result<Reply> {
    let Some(key) = command.idempotency_key.as_deref().filter(|_| command.request.method != "GET") else {
        return act();
    };
    if key.is_empty() || key.len() > MOST_CHARS || !key.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        let why = format!("Idempotency-Key must be 1 to {MOST_CHARS} printable ASCII characters.");
        return Err(Error::invalid("Idempotency-Key", why));
    }
    let (master, actor) = (context.master()?, command.request.actor.as_str());
    let bound_to = format!("receipt {actor} {key}");
    sql.run("DELETE FROM receipts WHERE at <= ?1", &[context.now.plus(-KEPT_MS).0.into()])?;
    let rows =
        sql.run("SELECT request, sealed FROM receipts WHERE actor = ?1 AND key = ?2", &[actor.into(), key.into()])?;
    let request = fingerprint(command);
    if let Some(row) = rows.first() {
        if text(row, "request") != request {
            return Err(Error::new(
                ErrorKind::Conflict,
                "This Idempotency-Key was used for another request within the last 24 hours. Use a new one.",
            )
            .code("idempotency_key_reused")
            .param("Idempotency-Key"));
        }
        let broken = |why: String| Error::internal(format!("a receipt: {why}"));
        let sealed: SealedCredential =
            serde_json::from_str(text(row, "sealed")).map_err(|error| broken(error.to_string()))?;
        let Credential::Bearer { value } = master.open(&sealed, &bound_to).map_err(broken)? else {
            return Err(broken("of another kind".to_owned()));
        };
        let reply: Reply = serde_json::from_str(&value).map_err(|error| broken(error.to_string()))?;
        return Ok(Reply { replayed: true, ..reply });
    }
    let reply = act()?;
    if (200..300).contains(&reply.answer.status) {
        let answer = Credential::Bearer { value: json!(reply).to_string() };
        let sealed = master.seal(&answer, &bound_to, context.receipt_nonce).map_err(Error::internal)?;
        sql.run(
            "INSERT INTO receipts VALUES (?1, ?2, ?3, ?4, ?5)",
            &[actor.into(), key.into(), context.now.0.into(), request.into(), json!(sealed).to_string().into()],
        )?;
    }
    Ok(reply)
}

fn fingerprint(command: &Command) -> String {
    let request = &command.request;
    hex(&Sha256::digest(json!([request.method, request.path, request.query, request.body]).to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::account::testing::Account;

    fn credit(amount: f64, key: &str) -> Command {
        Account::command("POST", "/credits", json!({ "amount": amount, "reason": "r" }), Some(key))
    }

    fn total(account: &Account) -> Value {
        account.ask("GET", "/credits", Value::Null).unwrap()["data"]["total_credits"].clone()
    }

    #[test]
    fn the_same_key_and_request_is_answered_as_before_and_done_once() {
        let mut account = Account::new();
        let first = account.send(&credit(5.0, "a")).unwrap();
        account.now = account.now.plus(KEPT_MS - 1);
        let again = account.send(&credit(5.0, "a")).unwrap();
        assert_eq!((first.replayed, again.replayed, total(&account)), (false, true, json!(5.0)));
        assert_eq!((first.answer.status, &first.answer.body), (again.answer.status, &again.answer.body));
        account.send(&credit(5.0, "b")).unwrap();
        assert_eq!(total(&account), 10.0);
        account.now = account.now.plus(1);
        assert!(!account.send(&credit(5.0, "a")).unwrap().replayed, "a day later it is a new one");
        assert_eq!(total(&account), 15.0);
    }

    #[test]
    fn the_same_key_with_another_request_is_a_conflict() {
        let account = Account::new();
        account.send(&credit(5.0, "a")).unwrap();
        for other in [
            credit(6.0, "a"),
            Account::command("POST", "/keys", json!({ "name": "n" }), Some("a")),
            Account::command("PATCH", "/organization", json!({ "name": "n" }), Some("a")),
            Account::command("POST", "/credits?x=1", json!({ "amount": 5.0, "reason": "r" }), Some("a")),
        ] {
            let error = account.send(&other).unwrap_err();
            assert_eq!((error.status(), error.code), (409, Some("idempotency_key_reused")), "{other:?}");
        }
        assert_eq!(total(&account), 5.0);
        // Somebody else's key of the same name is another one.
        let mut theirs = credit(7.0, "a");
        theirs.request.actor = crate::auth::KeyHash::parse(&"0".repeat(64)).unwrap();
        assert!(!account.send(&theirs).unwrap().replayed);
    }

    #[test]
    fn what_was_refused_may_be_tried_again() {
        let account = Account::new();
        assert_eq!(account.send(&credit(0.0, "a")).unwrap_err().status(), 400);
        assert!(!account.send(&credit(5.0, "a")).unwrap().replayed);
    }

    #[test]
    fn a_secret_comes_again_and_is_nowhere_at_rest() {
        let account = Account::new();
        let make = Account::command("POST", "/keys", json!({ "name": "n" }), Some("once"));
        let (first, again) = (account.send(&make).unwrap(), account.send(&make).unwrap());
        let secret = first.answer.body["key"].as_str().unwrap();
        assert_eq!((again.answer.body["key"].as_str(), again.replayed), (Some(secret), true));
        assert_eq!(account.ask("GET", "/keys", Value::Null).unwrap()["total_count"], 1);
        for table in ["receipts", "keys", "kv_outbox"] {
            let rows = account.sql.run(&format!("SELECT * FROM {table}"), &[]).unwrap();
            assert!(!rows.is_empty() && !json!(rows).to_string().contains(secret), "{table}");
        }
    }

    #[test]
    fn keys_that_are_no_keys_are_refused_and_reads_need_none() {
        let account = Account::new();
        for key in ["", "ü", "a\nb", &"x".repeat(256)] {
            let error = account.send(&credit(1.0, key)).unwrap_err();
            assert_eq!((error.status(), error.param.as_deref()), (400, Some("Idempotency-Key")));
        }
        account.send(&credit(1.0, &"x".repeat(255))).unwrap();
        let read = Account::command("GET", "/credits", Value::Null, Some("a"));
        assert!(!account.send(&read).unwrap().replayed && !account.send(&read).unwrap().replayed);
    }
}
