use super::{
    super::testing::{Account, NOON, hash_in, of, some},
    *,
};
use crate::auth::KeyKind;

#[test]
fn the_secret_is_shown_once_and_only_its_hash_is_kept() {
    let account = Account::new();
    let made = account.ask("POST", "/keys", json!({ "name": "team a", "limit": 5, "limit_reset": "daily" })).unwrap();
    let secret = VirtualKey::parse(made["key"].as_str().unwrap()).unwrap();
    assert_eq!(made["data"]["hash"], secret.hash().as_str());
    assert_eq!(made["data"]["limit_remaining"], 5.0);
    assert!(made["data"]["updated_at"].is_null());
    let read = account.ask("GET", &format!("/keys/{}", secret.hash()), Value::Null).unwrap();
    assert_eq!(read["data"], made["data"]);
    let stored = account.sql.run("SELECT * FROM keys", &[]).unwrap();
    assert!(!serde_json::to_string(&stored).unwrap().contains(secret.expose()));
    let copy = account.copy(&secret.hash()).unwrap();
    assert_eq!((copy.kind, copy.name.as_str(), copy.revision), (KeyKind::Inference, "team a", 1));
    assert_eq!(record(&account.sql, &secret.hash()).unwrap(), Some(copy));
}

#[test]
fn every_wrong_member_is_named_and_nothing_is_written() {
    let account = Account::new();
    let hash = account.create(json!({ "name": "n" }));
    for (body, param) in [
        (json!({ "name": 1 }), "name"),
        (json!({ "name": " " }), "name"),
        (json!({ "name": "n", "limit": "5" }), "limit"),
        (json!({ "name": "n", "limit": -1 }), "limit"),
        (json!({ "name": "n", "limit": 1e7 }), "limit"),
        (json!({ "name": "n", "limit_reset": "hourly" }), "limit_reset"),
        (json!({ "name": "n", "expires_at": "2026-01-01" }), "expires_at"),
        (json!({ "name": "n", "allowed_models": ["a/b", "x*y"] }), "allowed_models[1]"),
        (json!({ "name": "n", "allowed_providers": ["../x"] }), "allowed_providers[0]"),
        (json!({ "name": "n", "workspace_id": "a b" }), "workspace_id"),
        (json!({ "name": "n", "stream_usage": "both" }), "stream_usage"),
        (json!({ "name": "n", "workspace_id": "unknown" }), "workspace_id"),
        (json!({ "name": "n", "rate_limit": 5 }), "rate_limit"),
        (json!({ "name": "n", "rate_limit": { "requests_per_minute": -1 } }), "rate_limit.requests_per_minute"),
        (
            json!({ "name": "n", "rate_limit": { "max_parallel": 1_000_000_000_000_000_u64 } }),
            "rate_limit.max_parallel",
        ),
        (json!({ "name": "n", "rate_limit": { "requests": 1 } }), "rate_limit.requests"),
        (json!({ "name": "n", "rate_limit": { "models": { "m": {} } } }), "rate_limit.models"),
        (
            json!({ "name": "n", "rate_limit": { "models": { "a/b": { "tokens_per_day": 1.5 } } } }),
            "rate_limit.models.a/b.tokens_per_day",
        ),
        (json!({ "name": "n", "dedupe_window_s": 601 }), "dedupe_window_s"),
        (json!({ "name": "n", "dedupe_window_s": 70_000 }), "dedupe_window_s"),
        (json!({ "name": "n", "allow_unpriced": "yes" }), "allow_unpriced"),
        (json!({ "name": "n", "guardrail_id": "g" }), "guardrail_id"),
        (json!({ "name": "n", "metadata": { "x": "y".repeat(5000) } }), "metadata"),
        (json!({ "name": "n", "nonsense": true }), "nonsense"),
    ] {
        for (method, path) in [("POST", "/keys".to_owned()), ("PATCH", format!("/keys/{hash}"))] {
            let error = account.ask(method, &path, body.clone()).unwrap_err();
            assert_eq!((error.status(), error.param.as_deref()), (400, Some(param)), "{method} {body}");
        }
    }
    assert_eq!(account.ask("POST", "/keys", json!({})).unwrap_err().param.as_deref(), Some("name"));
    for fixed in ["management", "external", "creator_user_id"] {
        let value = if fixed == "management" {
            json!(true)
        } else if fixed == "external" {
            json!({ "user": "u" })
        } else {
            json!("c")
        };
        let error = account.ask("PATCH", &format!("/keys/{hash}"), json!({ fixed: value })).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(fixed));
    }
    assert_eq!(account.ask("GET", "/keys", Value::Null).unwrap()["total_count"], 1);
    assert_eq!(revision(&account.sql).unwrap(), 1);
}

#[test]
fn lists_are_newest_first_paged_and_leave_out_what_cannot_be_used() {
    let account = Account::new();
    for name in ["a", "b", "c"] {
        account.create(json!({ "name": name }));
    }
    account.create(json!({ "name": "off", "disabled": true }));
    account.create(json!({ "name": "old", "expires_at": "2026-11-20T11:59:59Z" }));
    account.ask("POST", "/workspaces", json!({ "name": "Second", "id": "w2" })).unwrap();
    account.create(json!({ "name": "other", "workspace_id": "w2", "expires_at": "2026-11-20T12:00:01Z" }));
    let names = |target: &str| -> (Vec<String>, Value) {
        let answer = account.ask("GET", target, Value::Null).unwrap();
        let rows = answer["data"].as_array().unwrap();
        (rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect(), answer["total_count"].clone())
    };
    assert_eq!(names("/keys"), (["other", "c", "b", "a"].map(str::to_owned).to_vec(), json!(4)));
    assert_eq!(names("/keys?offset=1&limit=2"), (["c", "b"].map(str::to_owned).to_vec(), json!(4)));
    assert_eq!(names("/keys?include_disabled=true&include_expired=true&limit=3").0, ["other", "old", "off"]);
    assert_eq!(names("/keys?workspace_id=w2").0, ["other"]);
    assert_eq!(account.ask("GET", "/keys?limit=101", Value::Null).unwrap_err().param.as_deref(), Some("limit"));
}

#[test]
fn a_change_raises_the_revision_and_replaces_the_copy() {
    let account = Account::new();
    let hash = account.create(json!({ "name": "n", "allowed_models": ["a/b"], "expires_at": "2027-01-01T00:00:00Z" }));
    let path = format!("/keys/{hash}");
    let row = account.ask("PATCH", &path, json!({ "disabled": true, "allowed_models": null })).unwrap();
    assert_eq!((&row["data"]["disabled"], &row["data"]["allowed_models"]), (&json!(true), &Value::Null));
    assert_eq!(row["data"]["expires_at"], "2027-01-01T00:00:00.000Z");
    assert_eq!(row["data"]["updated_at"], "2026-11-20T12:00:00.000Z");
    let copy = account.copy(&hash).unwrap();
    assert!(copy.disabled && copy.revision == 2 && copy.allowed_models.is_none());
    assert_eq!(account.ask("DELETE", &path, Value::Null).unwrap(), json!({ "deleted": true }));
    assert_eq!(account.copy(&hash), None);
    for method in ["GET", "PATCH", "DELETE"] {
        assert_eq!(account.ask(method, &path, json!({})).unwrap_err().status(), 404);
    }
    assert_eq!(
        changes_since(&account.sql, 2).unwrap(),
        Changes { revision: 3, changed: Some(vec![(hash.to_string(), 3)]) }
    );
}

#[test]
fn changes_are_told_for_an_hour_and_then_it_is_all() {
    let mut account = Account::new();
    let first = account.create(json!({ "name": "1" }));
    let second = account.create(json!({ "name": "2" }));
    let told = |account: &Account, since| changes_since(&account.sql, since).unwrap().changed;
    assert_eq!(told(&account, 0), Some(vec![(first.to_string(), 1), (second.to_string(), 2)]));
    assert_eq!(told(&account, 2), Some(vec![]));
    assert_eq!(told(&account, 3), None, "a revision that this state never gave");
    account.now = account.now.plus(CHANGES_KEPT_MS + 1);
    account.ask("PATCH", &format!("/keys/{second}"), json!({ "name": "3" })).unwrap();
    assert_eq!(told(&account, 1), None);
    assert_eq!(told(&account, 2), Some(vec![(second.to_string(), 3)]));
}

#[test]
fn the_feed_names_accounts_too() {
    let account = Account::new();
    let hash = account.create(json!({ "name": "n", "limit": 1 }));
    assert_eq!(account.feed(0), [hash.to_string(), format!("key:{hash}")]);
    account.ask("PATCH", &format!("/keys/{hash}"), json!({ "name": "m" })).unwrap();
    assert_eq!(account.feed(2), [hash.as_str()], "a name is no limit");
    account.ask("PATCH", &format!("/keys/{hash}"), json!({ "rate_limit": null })).unwrap();
    assert_eq!(account.feed(3), [hash.as_str()], "there was none");
}

#[test]
fn usage_is_counted_in_its_utc_windows() {
    let account = Account::new();
    let hash = account.create(json!({ "name": "n", "limit": 10 }));
    for (at, usd) in
        [("2026-10-31T23:59:59Z", 1.0), ("2026-11-15T23:59:59Z", 2.0), ("2026-11-16T00:00:00Z", 0.5), (NOON, 0.25)]
    {
        account.used(&hash, usd, Millis::parse_iso(at).unwrap());
    }
    let row = account.get(&format!("/keys/{hash}"));
    let figures =
        ["usage", "usage_monthly", "usage_weekly", "usage_daily", "byok_usage"].map(|name| row[name].as_f64().unwrap());
    assert_eq!(figures, [3.75, 2.75, 0.75, 0.25, 0.0]);
    assert_eq!(row["last_used_at"], "2026-11-20T12:00:00.000Z");
    assert_eq!(account.get("/keys")[0], row);
}

#[test]
fn a_limit_is_a_meter_that_rows_are_read_from() {
    let mut account = Account::new();
    let hash = account.create(json!({ "name": "n", "limit": 10, "limit_reset": "daily" }));
    let path = format!("/keys/{hash}");
    let limits = |row: &Value| some(row, &["limit", "limit_remaining", "limit_reset"]);
    account.spend("s", &format!("key:{hash}"), 5_000_000_000, 4_000_000_000);
    let row = account.get(&path);
    assert_eq!(limits(&row), json!({ "limit": 10.0, "limit_remaining": 6.0, "limit_reset": "daily" }));
    assert_eq!(account.get("/keys")[0], row);
    // Lowered below what is spent: nothing remains, and nothing is owed in `limit_remaining`.
    let row = account.data("PATCH", &path, json!({ "limit": 3 }));
    assert_eq!(limits(&row), json!({ "limit": 3.0, "limit_remaining": 0.0, "limit_reset": "daily" }));
    assert_eq!(account.own(&hash)["effective_budget"]["remaining_usd"], -1.0);
    // The next day.
    account.now = account.now.plus(86_400_000);
    assert_eq!(limits(&account.get(&path))["limit_remaining"], 3.0);
    let row = account.data("PATCH", &path, json!({ "limit": null }));
    assert_eq!(limits(&row), json!({ "limit": null, "limit_remaining": null, "limit_reset": "daily" }));
    let row = account.data("PATCH", &path, json!({ "limit": 2 }));
    assert_eq!(limits(&row)["limit_reset"], "daily", "as it was asked for");
    let row = account.data("PATCH", &path, json!({ "limit_reset": null }));
    assert_eq!(limits(&row), json!({ "limit": 2.0, "limit_remaining": 2.0, "limit_reset": null }));
}

#[test]
fn a_new_limit_counts_what_was_used_in_its_window_before() {
    let account = Account::new();
    let hash = account.create(json!({ "name": "n" }));
    let path = format!("/keys/{hash}");
    account.used(&hash, 1.0, Millis::parse_iso("2026-11-01T00:00:00Z").unwrap());
    account.used(&hash, 0.5, account.now);
    for (reset, remaining) in
        [(json!("daily"), 1.5), (json!("monthly"), 0.5), (json!("weekly"), 1.5), (json!(null), 0.5)]
    {
        let row = account.data("PATCH", &path, json!({ "limit": 2, "limit_reset": reset }));
        assert_eq!(row["limit_remaining"], remaining, "{reset}");
        let row = account.data("PATCH", &path, json!({ "limit": 3 }));
        assert_eq!(row["limit_remaining"], remaining + 1.0, "counted once");
    }
}

#[test]
fn rates_are_meters_shown_as_they_were_set() {
    let account = Account::new();
    let rates =
        json!({ "requests_per_minute": 60, "max_parallel": 4, "models": { "a/b": { "tokens_per_day": 1000 } } });
    let hash = account.create(json!({ "name": "n", "rate_limit": rates }));
    let path = format!("/keys/{hash}");
    let shown = json!({
        "requests_per_minute": 60, "tokens_per_minute": null, "tokens_per_day": null, "max_parallel": 4,
        "models": { "a/b": { "requests_per_minute": null, "tokens_per_minute": null, "tokens_per_day": 1000, "max_parallel": null } },
    });
    assert_eq!(account.get(&path)["rate_limit"], shown);
    let own = account.own(&hash)["rate_limit"].clone();
    assert_eq!((&own["requests"], &own["interval"], &own["max_parallel"]), (&json!(60), &json!("60s"), &json!(4)));
    let meters = account.get(&format!("/budgets?account=key:{hash}"));
    let names = ["name", "type", "unit", "interval", "model", "limit"];
    let brief: Vec<Value> = meters.as_array().unwrap().iter().map(|row| some(row, &names)).collect();
    let meter = |name, unit, interval, model, limit| json!({ "name": name, "type": "rate_limit", "unit": unit, "interval": interval, "model": model, "limit": limit });
    assert_eq!(
        brief,
        [
            meter("requests_per_minute", "requests", "60s", Value::Null, 60),
            meter("max_parallel", "parallel", "lifetime", Value::Null, 4),
            meter("tokens_per_day@a/b", "tokens", "daily", json!("a/b"), 1000),
        ]
    );
    // What is used in a window stays; what is left out goes.
    account.spend("s", &format!("key:{hash}"), 2, 2);
    let row = account.data("PATCH", &path, json!({ "rate_limit": { "requests_per_minute": 30 } }));
    assert_eq!(
        (&row["rate_limit"]["requests_per_minute"], &row["rate_limit"]["max_parallel"]),
        (&json!(30), &Value::Null)
    );
    let meters = account.get(&format!("/budgets?account=key:{hash}"));
    assert_eq!((meters.as_array().unwrap().len(), &meters[0]["spent"]), (1, &json!(2)));
    assert_eq!(account.data("PATCH", &path, json!({ "rate_limit": null }))["rate_limit"], Value::Null);
    assert_eq!(account.own(&hash)["rate_limit"]["requests"], -1);
}

#[test]
fn a_key_is_told_of_every_budget_that_it_is_under() {
    let account = Account::new();
    let hash = account.create(json!({ "name": "n", "limit": 2, "limit_reset": "weekly" }));
    for (body, usd) in [
        (of("organization", "default"), 100.0),
        (of("workspace", "default"), 1.5),
        (of("key", hash.as_str()), 5.0),
        (of("key", "*"), 7.0),
    ] {
        let interval = if usd > 6.0 { "monthly" } else { "daily" };
        account.ask("POST", "/budgets", json!({ "account": body, "limit_usd": usd, "interval": interval })).unwrap();
    }
    for other in [
        json!({ "limit_tokens": 5, "interval": "daily" }),
        json!({ "limit_usd": 0.1, "interval": "daily", "model": "a/b" }),
        json!({ "limit_usd": 0.2, "interval": "lifetime", "hard": false }),
    ] {
        let mut body = json!({ "account": of("workspace", "default") });
        body.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        account.ask("POST", "/budgets", body).unwrap();
    }
    account.spend("s", "workspace:default", 500_000_000, 500_000_000);
    let own = account.own(&hash);
    let brief: Vec<String> = own["budgets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {} {}", row["scope"].as_str().unwrap(), row["limit_usd"], row["reset_interval"]))
        .collect();
    assert_eq!(
        brief,
        [
            "key_limit 2.0 \"weekly\"",
            "api_key 5.0 \"daily\"",
            "api_key 7.0 \"monthly\"",
            "workspace 1.5 \"daily\"",
            "workspace 0.1 \"daily\"",
            "workspace 0.2 null",
            "organization 100.0 \"monthly\"",
        ]
    );
    let effective = &own["effective_budget"];
    assert_eq!(
        some(effective, &["scope", "spend_usd", "remaining_usd", "resets_at"]),
        json!({
            "scope": "workspace", "spend_usd": 0.5, "remaining_usd": 1.0, "resets_at": "2026-11-21T00:00:00.000Z",
        })
    );
    assert_eq!(account.get(&format!("/budgets/{}", effective["budget_id"].as_str().unwrap()))["limit_usd"], 1.5);
    // The balance, in the ledger's figures.
    account.ask("POST", "/credits", json!({ "amount": 3, "reason": "r" })).unwrap();
    account.ask("POST", "/credits", json!({ "amount": -1, "reason": "r", "type": "refund" })).unwrap();
    let own = account.own(&hash);
    let credits = own["budgets"].as_array().unwrap().iter().find(|row| row["scope"] == "credits").unwrap();
    assert_eq!(
        some(credits, &["limit_usd", "spend_usd", "remaining_usd", "hard"]),
        json!({
            "limit_usd": 2.0, "spend_usd": 0.0, "remaining_usd": 2.0, "hard": false,
        })
    );
}

#[test]
fn the_root_key_is_told_about_itself() {
    let account = Account::new();
    let root = VirtualKey::generate(&[255; 48]).hash();
    let own = account.own(&root);
    assert_eq!(
        some(&own, &["is_management_key", "limit", "budgets", "effective_budget"]),
        json!({ "is_management_key": true, "limit": null, "budgets": [], "effective_budget": null })
    );
}

#[test]
fn keys_belong_to_workspaces_that_there_are_and_move() {
    let account = Account::new();
    account.ask("POST", "/workspaces", json!({ "name": "Team B", "id": "w2", "slug": "team-b" })).unwrap();
    let hash = account.create(json!({ "name": "n", "limit": 1, "workspace_id": "team-b" }));
    assert_eq!(account.copy(&hash).unwrap().workspace_id, "w2", "a slug means its id");
    account.ask("PATCH", &format!("/keys/{hash}"), json!({ "workspace_id": "default" })).unwrap();
    assert_eq!(account.copy(&hash).unwrap().workspace_id, "default");
    assert_eq!(account.get(&format!("/keys/{hash}"))["limit"], 1.0);
}

#[test]
fn rotation_gives_another_secret_to_the_same_account() {
    let mut account = Account::new();
    let body = json!({ "name": "n", "limit": 5, "allowed_models": ["a/*"], "rate_limit": { "max_parallel": 1 }, "allow_unpriced": true, "dedupe_window_s": 5 });
    let old = account.create(body);
    account.used(&old, 1.0, account.now);
    account.spend("s", &format!("key:{old}"), 2_000_000_000, 1_000_000_000);
    let before = account.get(&format!("/keys/{old}"));
    account.now = account.now.plus(1);
    let made = account.ask("POST", &format!("/keys/{old}/rotate"), json!({ "grace_seconds": 60 })).unwrap();
    let secret = VirtualKey::parse(made["key"].as_str().unwrap()).unwrap();
    let new = hash_in(&made["data"]);
    assert_eq!((secret.hash(), &made["data"]["account"]), (new.clone(), &json!(old)));
    let same = [
        "name",
        "limit",
        "limit_remaining",
        "usage",
        "allowed_models",
        "rate_limit",
        "workspace_id",
        "allow_unpriced",
        "dedupe_window_s",
        "expires_at",
        "account",
    ];
    assert_eq!(some(&made["data"], &same), some(&before, &same));
    let grace_ends = account.now.plus(60_000);
    let row = account.get(&format!("/keys/{old}"));
    assert_eq!(
        some(&row, &["replaced_by", "expires_at"]),
        json!({ "replaced_by": new, "expires_at": grace_ends.iso() })
    );
    assert_eq!(account.copy(&old).unwrap().expires_at, Some(grace_ends));
    assert_eq!(account.get("/keys").as_array().unwrap().len(), 2);
    // Use of either counts for both.
    account.used(&new, 0.25, account.now);
    account.used(&old, 0.5, account.now);
    for hash in [&old, &new] {
        assert_eq!(account.own(hash)["usage"], 1.75);
    }
    assert_eq!(account.refused("POST", &format!("/keys/{old}/rotate"), Value::Null).0, 409);
    assert_eq!(
        account.refused("PATCH", &format!("/keys/{old}"), json!({ "expires_at": null })),
        (400, Some("expires_at".into()))
    );
    // Either names the account.
    let body = json!({ "account": of("key", new.as_str()), "limit_usd": 9, "interval": "monthly" });
    assert_eq!(account.data("POST", "/budgets", body)["account"]["id"], old.as_str());
    // Disabling acts on one of them.
    account.ask("PATCH", &format!("/keys/{old}"), json!({ "disabled": true })).unwrap();
    assert!(!account.copy(&new).unwrap().disabled);
    // The grace is over: the old one is gone, what it shared is not, and its late usage still counts.
    account.now = grace_ends;
    assert_eq!(
        account.ask("GET", "/keys?include_expired=true&include_disabled=true", Value::Null).unwrap()["total_count"],
        1
    );
    assert_eq!((account.copy(&old), account.refused("GET", &format!("/keys/{old}"), Value::Null).0), (None, 404));
    account.used(&old, 0.25, account.now);
    let row = account.get(&format!("/keys/{new}"));
    assert_eq!((&row["usage"], &row["limit_remaining"]), (&json!(2.0), &json!(4.0)));
    account.ask("DELETE", &format!("/keys/{new}"), Value::Null).unwrap();
    assert_eq!(account.get("/budgets"), json!([]), "the last key takes its limits with it");
}

#[test]
fn without_grace_the_old_key_is_gone_at_once_and_chains_keep_the_account() {
    let account = Account::new();
    let first = account.create(json!({ "name": "n", "limit": 1, "expires_at": "2026-11-20T12:00:10Z" }));
    let second = hash_in(&account.data("POST", &format!("/keys/{first}/rotate"), Value::Null));
    assert_eq!(account.refused("GET", &format!("/keys/{first}"), Value::Null).0, 404);
    let third = account.data("POST", &format!("/keys/{second}/rotate"), json!({ "grace_seconds": 604_800 }));
    assert_eq!((&third["account"], &third["limit"]), (&json!(first), &json!(1.0)));
    assert_eq!(
        account.get(&format!("/keys/{second}"))["expires_at"],
        "2026-11-20T12:00:10.000Z",
        "no later than before"
    );
    for bad in [json!(-1), json!(604_801), json!(1.5), json!("60")] {
        let refused =
            account.refused("POST", &format!("/keys/{}/rotate", hash_in(&third)), json!({ "grace_seconds": bad }));
        assert_eq!(refused, (400, Some("grace_seconds".into())), "{bad}");
    }
    assert_eq!(account.refused("POST", "/keys/none/rotate", Value::Null), (404, Some("hash".into())));
}
