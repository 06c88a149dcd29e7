use super::{
    super::testing::{Account, of, some},
    *,
};

#[test]
fn workspaces_are_made_listed_changed_and_deleted() {
    let account = Account::new();
    let list = account.ask("GET", "/workspaces", Value::Null).unwrap();
    assert_eq!((&list["total_count"], &list["data"][0]["id"]), (&json!(1), &json!("default")));
    let (status, made) =
        account.status("POST", "/workspaces", json!({ "name": "Team  A!", "description": "d" })).unwrap();
    let made = &made["data"];
    assert_eq!(
        (status, some(made, &["slug", "name", "description", "updated_at"])),
        (201, json!({ "slug": "team-a", "name": "Team  A!", "description": "d", "updated_at": null }))
    );
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
    for reference in [id.as_str(), "team-a"] {
        assert_eq!(account.get(&format!("/workspaces/{reference}")), *made);
    }
    let again = account.data("POST", "/workspaces", json!({ "name": "team a", "id": "t2" }));
    assert_eq!((&again["id"], &again["slug"]), (&json!("t2"), &json!("t2")));
    let third = account.data("POST", "/workspaces", json!({ "name": "team a" }));
    assert_eq!(third["slug"], "team-a-2");
    let changed = account.data("PATCH", "/workspaces/team-a", json!({ "slug": "a", "name": "A", "description": null }));
    assert_eq!(
        some(&changed, &["id", "slug", "name", "description", "updated_at"]),
        json!({ "id": id, "slug": "a", "name": "A", "description": null, "updated_at": "2026-11-20T12:00:00.000Z" })
    );
    let page = account.ask("GET", "/workspaces?offset=1&limit=2", Value::Null).unwrap();
    assert_eq!((&page["total_count"], &page["data"][0], &page["data"][1]), (&json!(4), &changed, &again));
    assert_eq!(account.ask("DELETE", "/workspaces/a", Value::Null).unwrap(), json!({ "deleted": true }));
    for method in ["GET", "PATCH", "DELETE"] {
        assert_eq!(account.refused(method, "/workspaces/a", json!({})), (404, Some("id".into())), "{method}");
    }
    assert_eq!(account.feed(0).last(), Some(&format!("workspace:{id}")));
}

#[test]
fn every_wrong_member_is_named_and_names_are_taken_once() {
    let account = Account::new();
    account.ask("POST", "/workspaces", json!({ "name": "A", "id": "one", "slug": "first" })).unwrap();
    for (body, status, param) in [
        (json!({ "name": "" }), 400, "name"),
        (json!({ "name": "n", "slug": "A b" }), 400, "slug"),
        (json!({ "name": "n", "slug": "-a" }), 400, "slug"),
        (json!({ "name": "n", "id": "a b" }), 400, "id"),
        (json!({ "name": "n", "id": "one" }), 409, "id"),
        (json!({ "name": "n", "id": "first" }), 409, "id"),
        (json!({ "name": "n", "slug": "first" }), 409, "slug"),
        (json!({ "name": "n", "slug": "one" }), 409, "slug"),
        (json!({ "name": "n", "slug": "default" }), 409, "slug"),
        (json!({ "name": "n", "default_text_model": "a/b" }), 400, "default_text_model"),
        (
            json!({ "name": "n", "is_observability_io_logging_enabled": true }),
            400,
            "is_observability_io_logging_enabled",
        ),
        (json!({ "name": "n", "nonsense": 1 }), 400, "nonsense"),
        (json!({}), 400, "name"),
    ] {
        assert_eq!(account.refused("POST", "/workspaces", body.clone()), (status, Some(param.into())), "{body}");
    }
    assert_eq!(account.refused("PATCH", "/workspaces/one", json!({ "id": "two" })), (400, Some("id".into())));
    assert_eq!(account.refused("PATCH", "/workspaces/one", json!({ "slug": "default" })), (409, Some("slug".into())));
    account.ask("PATCH", "/workspaces/one", json!({ "slug": "first" })).unwrap();
    assert_eq!(account.ask("GET", "/workspaces", Value::Null).unwrap()["total_count"], 2);
}

#[test]
fn the_default_and_one_with_keys_stay() {
    let account = Account::new();
    account.ask("POST", "/workspaces", json!({ "name": "B", "id": "b" })).unwrap();
    account.ask("PUT", "/workspaces/b/budgets/daily", json!({ "limit_usd": 1 })).unwrap();
    let key = account.create(json!({ "name": "k", "workspace_id": "b" }));
    assert_eq!(account.refused("DELETE", "/workspaces/default", Value::Null).0, 409);
    assert_eq!(account.refused("DELETE", "/workspaces/b", Value::Null).0, 409);
    account.ask("PATCH", &format!("/keys/{key}"), json!({ "workspace_id": "default" })).unwrap();
    account.ask("DELETE", "/workspaces/b", Value::Null).unwrap();
    assert_eq!(account.get("/budgets"), json!([]), "its budgets go with it");
    assert_eq!(
        account.refused("PATCH", &format!("/keys/{key}"), json!({ "workspace_id": "b" })),
        (400, Some("workspace_id".into()))
    );
}

#[test]
fn a_workspace_has_one_budget_an_interval() {
    let mut account = Account::new();
    let path = "/workspaces/default/budgets";
    let made = account.data("PUT", &format!("{path}/daily"), json!({ "limit_usd": 1 }));
    assert_eq!(
        some(
            &made,
            &["limit_usd", "reset_interval", "workspace_id", "hard", "alerts", "spent", "remaining", "resets_at"]
        ),
        json!({
            "limit_usd": 1.0, "reset_interval": "daily", "workspace_id": "default", "hard": true, "alerts": [0.5, 0.8, 0.9],
            "spent": 0.0, "remaining": 1.0, "resets_at": "2026-11-21T00:00:00.000Z",
        })
    );
    account.spend("s", "workspace:default", 400_000_000, 250_000_000);
    account.now = account.now.plus(1000);
    let body = json!({ "limit_usd": 2, "hard": false, "alerts": [1.0], "include_byok_in_budgets": true });
    let changed = account.ask("PUT", &format!("{path}/daily"), body).unwrap();
    assert_eq!(
        some(
            &changed["data"],
            &["id", "limit_usd", "hard", "alerts", "spent", "held", "remaining", "created_at", "updated_at"]
        ),
        json!({
            "id": made["id"], "limit_usd": 2.0, "hard": false, "alerts": [1.0], "spent": 0.25, "held": 0.15, "remaining": 1.75,
            "created_at": made["created_at"], "updated_at": account.now.iso(),
        })
    );
    assert_eq!(changed["include_byok_in_budgets"], true);
    let lifetime = account.data("PUT", &format!("{path}/lifetime"), json!({ "limit_usd": 9 }));
    assert_eq!((&lifetime["reset_interval"], &lifetime["resets_at"]), (&Value::Null, &Value::Null));
    // Any other budget of the workspace is not in this list.
    account
        .ask("POST", "/budgets", json!({ "account": of("workspace", "default"), "limit_usd": 5, "interval": "90s" }))
        .unwrap();
    let list = account.ask("GET", path, Value::Null).unwrap();
    assert_eq!(list["data"], json!([changed["data"], lifetime]));
    for _ in 0..2 {
        let gone = account.ask("DELETE", &format!("{path}/daily"), Value::Null).unwrap();
        assert_eq!(gone, json!({ "deleted": true }));
    }
    assert_eq!(account.refused("GET", &format!("{path}/daily"), Value::Null), (404, Some("interval".into())));
}

#[test]
fn longer_intervals_must_have_larger_limits() {
    let account = Account::new();
    let put = |interval: &str, usd: f64| {
        let path = format!("/workspaces/default/budgets/{interval}");
        account.ask("PUT", &path, json!({ "limit_usd": usd })).map_err(|error| (error.param.unwrap(), error.message))
    };
    put("weekly", 5.0).unwrap();
    for (interval, usd, word) in [("daily", 5.0, "less"), ("monthly", 5.0, "more"), ("lifetime", 4.0, "more")] {
        let (param, message) = put(interval, usd).unwrap_err();
        assert_eq!(param, "limit_usd");
        assert!(message.contains(&format!("must be {word} than the weekly one")), "{message}");
    }
    put("daily", 4.99).unwrap();
    put("lifetime", 5.01).unwrap();
    put("weekly", 5.0).unwrap();
    assert!(put("weekly", 6.0).is_err() && put("monthly", 5.005).is_ok());
    for (body, param) in [
        (json!({}), "limit_usd"),
        (json!({ "limit_usd": "1" }), "limit_usd"),
        (json!({ "limit_usd": -1 }), "limit_usd"),
        (json!({ "limit_usd": 1, "alerts": [0] }), "alerts[0]"),
        (json!({ "limit_usd": 1, "soft": true }), "soft"),
    ] {
        assert_eq!(
            account.refused("PUT", "/workspaces/default/budgets/daily", body.clone()),
            (400, Some(param.into())),
            "{body}"
        );
    }
    assert_eq!(
        account.refused("PUT", "/workspaces/default/budgets/hourly", json!({ "limit_usd": 1 })),
        (400, Some("interval".into()))
    );
    assert_eq!(account.refused("GET", "/workspaces/none/budgets", Value::Null), (404, Some("id".into())));
}
