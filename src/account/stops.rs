//! The kill switch of sessions and end users, whose names clients give: `/sessions/{id}`, `/users/{id}`.
//!
//! | command | answers |
//! |---|---|
//! | `GET /sessions/{id}` | 200 whether and since when it is stopped, and its budgets; nobody is unknown |
//! | `POST /sessions/{id}/stop`, `/resume` | 200 the same, after the change |
//!
//! The change feed carries the change to the isolates; what they do with it is theirs.

use serde_json::{Value, json};

use super::budgets;
use crate::{
    budget::{AccountKind, AccountRef, book},
    error::{Error, Result},
    ports::{AdminRequest, Sql},
    time::Millis,
};

/// Answers a request below `/sessions` or `/users`.
pub(super) fn handle(sql: &dyn Sql, request: &AdminRequest, path: &[&str], now: Millis) -> Result<Value> {
    let unknown = || Error::internal(format!("nothing stops at {} {}", request.method, request.path));
    let [collection, id, rest @ ..] = path else { return Err(unknown()) };
    budgets::check_name("id", id)?;
    let kind = if *collection == "users" { AccountKind::User } else { AccountKind::Session };
    let account = AccountRef::new(kind, *id);
    match (request.method.as_str(), rest) {
        ("GET", []) => {}
        ("POST", [word @ ("stop" | "resume")]) => {
            book::stop(sql, &account, *word == "stop", now)?;
            budgets::changed(sql, &account, now)?;
        }
        _ => return Err(unknown()),
    }
    let budgets = book::of_account(sql, &account, now)?;
    let budgets = budgets.iter().map(|meter| budgets::row(sql, meter, now)).collect::<Result<Vec<_>>>()?;
    let stopped_at = book::stopped(sql, &account)?;
    Ok(json!({ "data": {
        "id": id,
        "stopped": stopped_at.is_some(),
        "stopped_at": stopped_at.map(Millis::iso),
        "budgets": budgets,
    } }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Account, of, some};
    use super::*;

    #[test]
    fn sessions_and_users_are_stopped_and_resumed() {
        let mut account = Account::new();
        account.ask("POST", "/budgets", json!({ "account": of("session", "run 1"), "max_steps": 3 })).unwrap();
        let before = account.get("/sessions/run 1");
        assert_eq!(
            some(&before, &["id", "stopped", "stopped_at"]),
            json!({ "id": "run 1", "stopped": false, "stopped_at": null })
        );
        assert_eq!((before["budgets"].as_array().unwrap().len(), &before["budgets"][0]["limit"]), (1, &json!(3)));
        for (path, name) in [("/sessions/run 1", "session:run 1"), ("/users/u", "user:u")] {
            let fed = account.feed(0).len();
            let stopped = account.data("POST", &format!("{path}/stop"), Value::Null);
            assert_eq!(
                (&stopped["stopped"], &stopped["stopped_at"]),
                (&json!(true), &json!("2026-11-20T12:00:00.000Z"))
            );
            assert_eq!(account.feed(0)[fed..], [name.to_owned(), "organization:default".to_owned()]);
            // Again: it was stopped when it was stopped first.
            account.now = account.now.plus(5);
            assert_eq!(account.data("POST", &format!("{path}/stop"), Value::Null), stopped);
            assert_eq!(account.get(path), stopped);
            account.now = account.now.plus(-5);
            assert_eq!(account.data("POST", &format!("{path}/resume"), Value::Null)["stopped_at"], Value::Null);
        }
        assert_eq!(account.get("/users/nobody")["budgets"], json!([]));
        let long = format!("/users/{}", "x".repeat(257));
        assert_eq!(account.refused("GET", &long, Value::Null), (400, Some("id".into())));
    }
}
