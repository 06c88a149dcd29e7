use super::{
    super::testing::{Account, of, some},
    *,
};
use crate::budget::{Period, Unit};

fn with(account: Value, more: &Value) -> Value {
    let mut body = json!({ "account": account });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn a_budget_of_any_account_is_defined_replaced_changed_and_removed() {
    let mut account = Account::new();
    let body = with(of("user", "alice"), &json!({ "limit_usd": 1.5, "interval": "daily", "alerts": [0.5] }));
    let (status, made) = account.status("POST", "/budgets", body.clone()).unwrap();
    let made = made["data"].clone();
    let names = [
        "account",
        "name",
        "type",
        "unit",
        "limit",
        "limit_usd",
        "spent",
        "held",
        "remaining",
        "unsettled",
        "interval",
        "resets_at",
        "window",
        "hard",
        "fail_open",
        "alerts",
        "increase",
        "model",
    ];
    assert_eq!(
        (status, some(&made, &names)),
        (
            201,
            json!({
                "account": { "kind": "user", "id": "alice" }, "name": "usd/daily", "type": "budget", "unit": "usd", "limit": 1.5, "limit_usd": 1.5,
                "spent": 0.0, "held": 0.0, "remaining": 1.5, "unsettled": 0.0, "interval": "daily", "resets_at": "2026-11-21T00:00:00.000Z",
                "window": { "since": "2026-11-20T00:00:00.000Z", "until": "2026-11-21T00:00:00.000Z" },
                "hard": true, "fail_open": false, "alerts": [0.5], "increase": null, "model": null,
            })
        )
    );
    assert_eq!(account.feed(0), ["user:alice", "organization:default"]);
    account.spend("s", "user:alice", 1_000_000_000, 400_000_000);
    let path = format!("/budgets/{}", made["id"].as_str().unwrap());
    let figures = |row: &Value| some(row, &["limit", "spent", "held", "remaining"]);
    assert_eq!(figures(&account.get(&path)), json!({ "limit": 1.5, "spent": 0.4, "held": 0.6, "remaining": 1.1 }));
    // The same again replaces the terms and keeps what is used.
    let (status, again) = account
        .status(
            "PUT",
            "/budgets",
            with(of("user", "alice"), &json!({ "limit_usd": 0.3, "interval": "daily", "hard": false })),
        )
        .unwrap();
    assert_eq!(
        (status, &again["data"]["id"], &again["data"]["hard"], &again["data"]["alerts"]),
        (200, &made["id"], &json!(false), &json!([]))
    );
    assert_eq!(figures(&again["data"])["remaining"], -0.1);
    let row = account.data("PATCH", &path, json!({ "hard": true, "fail_open": true, "limit_usd": 2 }));
    assert_eq!(some(&row, &["hard", "fail_open", "limit"]), json!({ "hard": true, "fail_open": true, "limit": 2.0 }));
    account.now = account.now.plus(86_400_000);
    assert_eq!(figures(&account.get(&path)), json!({ "limit": 2.0, "spent": 0.0, "held": 0.0, "remaining": 2.0 }));
    assert_eq!(account.ask("DELETE", &path, Value::Null).unwrap(), json!({ "deleted": true }));
    assert!(account.sql.run("SELECT * FROM meter_dates", &[]).unwrap().is_empty());
    for method in ["GET", "PATCH", "DELETE"] {
        assert_eq!(account.refused(method, &path, json!({})), (404, Some("id".into())));
    }
    assert_eq!(account.refused("GET", "/budgets/x", Value::Null).0, 404);
}

#[test]
fn what_is_counted_and_for_how_long_makes_the_meter() {
    let account = Account::new();
    for (more, expected) in [
        (json!({ "limit_usd": 1, "interval": "lifetime" }), ["usd/lifetime", "budget", "lifetime"]),
        (json!({ "limit_usd": 1, "interval": "12h" }), ["usd/43200s", "budget", "43200s"]),
        (json!({ "limit_tokens": 5, "interval": { "seconds": 90 } }), ["tokens/90s", "budget", "90s"]),
        (
            json!({ "limit_tokens": 5, "interval": "monthly", "model": "a/b" }),
            ["tokens/monthly@a/b", "budget", "monthly"],
        ),
        (json!({ "limit_requests": 5, "interval": "lifetime" }), ["requests/lifetime", "budget", "lifetime"]),
        (json!({ "limit_requests": 5, "per": "minute" }), ["requests_per_minute", "rate_limit", "60s"]),
        (json!({ "limit_requests": 6, "per": "1h" }), ["requests_per_hour", "rate_limit", "3600s"]),
        (json!({ "limit_tokens": 5, "per": "day" }), ["tokens_per_day", "rate_limit", "daily"]),
        (json!({ "limit_tokens": 5, "per": "90s", "model": "a/b" }), ["tokens_per_90s@a/b", "rate_limit", "90s"]),
        (json!({ "limit_parallel": 5 }), ["max_parallel", "rate_limit", "lifetime"]),
    ] {
        let row = account.data("POST", "/budgets", with(of("tag", "a:b"), &more));
        assert_eq!(["name", "type", "interval"].map(|name| row[name].as_str().unwrap()), expected, "{more}");
    }
    let steps = account.data("POST", "/budgets", with(of("session", "*"), &json!({ "max_steps": 20 })));
    assert_eq!(
        some(&steps, &["name", "type", "limit_requests", "resets_at"]),
        json!({ "name": "requests/lifetime", "type": "budget", "limit_requests": 20, "resets_at": null })
    );
}

#[test]
fn every_wrong_member_is_named() {
    let account = Account::new();
    let user = || of("user", "u");
    for (body, param) in [
        (json!({ "limit_usd": 1, "interval": "daily" }), "account"),
        (with(json!("user:u"), &json!({})), "account"),
        (with(json!({ "kind": "robot", "id": "u" }), &json!({})), "account.kind"),
        (with(json!({ "kind": "user" }), &json!({ "limit_usd": 1, "interval": "daily" })), "account.id"),
        (with(of("user", ""), &json!({ "limit_usd": 1, "interval": "daily" })), "account.id"),
        (with(of("key", "0"), &json!({ "limit_usd": 1, "interval": "daily" })), "account.id"),
        (with(of("workspace", "w"), &json!({ "limit_usd": 1, "interval": "daily" })), "account.id"),
        (with(of("organization", "*"), &json!({ "limit_usd": 1, "interval": "daily" })), "account.id"),
        (with(user(), &json!({ "interval": "daily" })), "limit_usd"),
        (with(user(), &json!({ "limit_usd": -1, "interval": "daily" })), "limit_usd"),
        (with(user(), &json!({ "limit_usd": 1, "limit_tokens": 1, "interval": "daily" })), "limit_tokens"),
        (with(user(), &json!({ "limit_tokens": 1.5, "interval": "daily" })), "limit_tokens"),
        (with(user(), &json!({ "limit_tokens": 1 })), "interval"),
        (with(user(), &json!({ "limit_tokens": 1, "interval": "yearly" })), "interval"),
        (with(user(), &json!({ "limit_tokens": 1, "interval": "daily", "per": "day" })), "per"),
        (with(user(), &json!({ "limit_requests": 1, "per": "month" })), "per"),
        (with(user(), &json!({ "limit_usd": 1, "per": "day" })), "per"),
        (with(user(), &json!({ "limit_parallel": 1, "interval": "daily" })), "interval"),
        (with(user(), &json!({ "limit_parallel": 1, "per": "day" })), "per"),
        (with(user(), &json!({ "max_steps": 1 })), "max_steps"),
        (with(of("session", "s"), &json!({ "max_steps": 1, "interval": "daily" })), "max_steps"),
        (with(user(), &json!({ "limit_usd": 1, "interval": "daily", "model": "a" })), "model"),
        (with(user(), &json!({ "limit_usd": 1, "interval": "daily", "alerts": [2, 11] })), "alerts[1]"),
        (with(user(), &json!({ "limit_usd": 1, "interval": "daily", "increase": {} })), "increase.until"),
        (
            with(
                user(),
                &json!({ "limit_usd": 1, "interval": "daily", "increase": { "limit_usd": 1, "until": "2026-11-20T12:00:00Z" } }),
            ),
            "increase.until",
        ),
        (
            with(
                user(),
                &json!({ "limit_usd": 1, "interval": "daily", "increase": { "limit_tokens": 1, "until": "2027-01-01T00:00:00Z" } }),
            ),
            "increase.limit_usd",
        ),
        (with(user(), &json!({ "limit_usd": 1, "interval": "daily", "soft": true })), "soft"),
    ] {
        assert_eq!(account.refused("POST", "/budgets", body.clone()), (400, Some(param.into())), "{body}");
    }
    let made = account.data("POST", "/budgets", with(user(), &json!({ "limit_usd": 1, "interval": "daily" })));
    let path = format!("/budgets/{}", made["id"].as_str().unwrap());
    for fixed in [
        json!({ "account": user() }),
        json!({ "interval": "daily" }),
        json!({ "per": "day" }),
        json!({ "model": "a/b" }),
        json!({ "limit_tokens": 1 }),
    ] {
        let param = fixed.as_object().unwrap().keys().next().unwrap().clone();
        assert_eq!(account.refused("PATCH", &path, fixed), (400, Some(param)));
    }
    assert_eq!(account.refused("GET", "/budgets?account=robot", Value::Null), (400, Some("account".into())));
    assert_eq!(account.refused("GET", "/budgets?account=robot:1", Value::Null), (400, Some("account".into())));
    assert_eq!(account.get("/budgets").as_array().unwrap().len(), 1);
}

#[test]
fn an_increase_ends_by_itself_or_is_taken_back() {
    let mut account = Account::new();
    let more = json!({ "limit_tokens": 10, "interval": "monthly", "increase": { "limit_tokens": 5, "until": "2026-11-20T13:00:00Z" } });
    let made = account.data("POST", "/budgets", with(of("user", "u"), &more));
    let path = format!("/budgets/{}", made["id"].as_str().unwrap());
    let brief = |row: &Value| some(row, &["limit", "limit_tokens", "remaining", "increase"]);
    let increase = json!({ "limit_tokens": 5, "until": "2026-11-20T13:00:00.000Z" });
    assert_eq!(brief(&made), json!({ "limit": 15, "limit_tokens": 10, "remaining": 15, "increase": increase }));
    account.now = account.now.plus(3_600_000);
    let plain = json!({ "limit": 10, "limit_tokens": 10, "remaining": 10, "increase": null });
    assert_eq!(brief(&account.get(&path)), plain);
    account.now = account.now.plus(-1);
    assert_eq!(account.get(&path)["limit"], 15);
    assert_eq!(brief(&account.data("PATCH", &path, json!({ "increase": null }))), plain);
}

#[test]
fn every_new_user_has_the_default_until_it_has_its_own() {
    let account = Account::new();
    let default =
        account.data("POST", "/budgets", with(of("user", "*"), &json!({ "limit_usd": 1, "interval": "daily" })));
    account.spend("s", "user:bob", 600_000_000, 600_000_000);
    let bobs = account.get("/budgets?account=user:bob");
    assert_eq!(some(&bobs[0], &["limit", "spent", "name"]), json!({ "limit": 1.0, "spent": 0.6, "name": "usd/daily" }));
    account.ask("PATCH", &format!("/budgets/{}", default["id"].as_str().unwrap()), json!({ "limit_usd": 2 })).unwrap();
    assert_eq!(account.get("/budgets?account=user:bob")[0]["remaining"], 1.4, "follows the default");
    let own = format!("/budgets/{}", bobs[0]["id"].as_str().unwrap());
    account.ask("PATCH", &own, json!({ "limit_usd": 5 })).unwrap();
    account.ask("PATCH", &format!("/budgets/{}", default["id"].as_str().unwrap()), json!({ "limit_usd": 3 })).unwrap();
    assert_eq!(account.get(&own)["limit"], 5.0, "its own");
    account.ask("DELETE", &format!("/budgets/{}", default["id"].as_str().unwrap()), Value::Null).unwrap();
    assert_eq!(account.get(&own)["spent"], 0.6);
}

#[test]
fn lists_are_filtered_and_paged() {
    let account = Account::new();
    for (kind, id) in [("user", "a"), ("user", "ab"), ("session", "a"), ("user", "b:c"), ("organization", "default")] {
        account.ask("POST", "/budgets", with(of(kind, id), &json!({ "limit_usd": 1, "interval": "daily" }))).unwrap();
    }
    let ids = |target: &str| {
        let answer = account.ask("GET", target, Value::Null).unwrap();
        let ids: Vec<String> = answer["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["account"]["id"].as_str().unwrap().to_owned())
            .collect();
        (ids.join(" "), answer["total_count"].as_i64().unwrap())
    };
    assert_eq!(ids("/budgets"), ("a ab a b:c default".to_owned(), 5));
    assert_eq!(ids("/budgets?offset=1&limit=2"), ("ab a".to_owned(), 5));
    assert_eq!(ids("/budgets?account=user"), ("a ab b:c".to_owned(), 3));
    assert_eq!(ids("/budgets?account=user:a"), ("a".to_owned(), 1));
    assert_eq!(ids("/budgets?account=user:b:c"), ("b:c".to_owned(), 1));
    assert_eq!(ids("/budgets?account=tag"), (String::new(), 0));
}

#[test]
fn what_dead_sessions_held_is_forgiven() {
    let mut account = Account::new();
    let made =
        account.data("POST", "/budgets", with(of("user", "u"), &json!({ "limit_usd": 1, "interval": "monthly" })));
    let path = format!("/budgets/{}", made["id"].as_str().unwrap());
    account.spend("dead", "user:u", 500_000_000, 100_000_000);
    account.now = account.now.plus(LOST_AFTER_MS + 1);
    account.spend("alive", "user:u", 300_000_000, 0);
    let figures = |row: &Value| some(row, &["spent", "held", "unsettled"]);
    assert_eq!(figures(&account.get(&path)), json!({ "spent": 0.1, "held": 0.7, "unsettled": 0.4 }));
    let before = account.feed(0).len();
    let answer = account.ask("POST", &format!("{path}/forgive"), Value::Null).unwrap();
    assert_eq!(answer["forgiven"], 0.4);
    assert_eq!(figures(&answer["data"]), json!({ "spent": 0.1, "held": 0.3, "unsettled": 0.0 }));
    assert_eq!(account.feed(0)[before], "user:u");
    assert_eq!(account.ask("POST", &format!("{path}/forgive"), Value::Null).unwrap()["forgiven"], 0.0);
}

#[test]
fn the_prepaid_balance_is_not_set_here() {
    let account = Account::new();
    let terms =
        Terms::budget(AccountRef::new(AccountKind::Organization, DEFAULT_ORG), CREDITS, Unit::Usd, Period::Lifetime, 5);
    let id = book::define(&account.sql, &terms).unwrap().0;
    assert_eq!(account.get("/budgets")[0]["name"], "credits");
    for method in ["PATCH", "DELETE"] {
        assert_eq!(account.refused(method, &format!("/budgets/{id}"), json!({})), (409, Some("id".into())));
    }
}
