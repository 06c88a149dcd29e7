//! `POST /v1/route` over the world in memory: nobody is called, nothing is charged.

use super::*;

const PATH: &str = "/v1/route";

fn route(world: &mut World, path: &str, body: &Value) -> (u16, Value) {
    let key = world.key.clone();
    let got = world.ask_as(&key, Head { path, ..Head::default() }, body);
    (got.status, got.json())
}

fn tags(plan: &Value) -> Vec<&str> {
    plan["candidates"].as_array().unwrap().iter().map(|row| row["tag"].as_str().unwrap()).collect()
}

#[test]
fn a_plan_is_told_with_prices_scores_and_reasons_and_leaves_no_trace() {
    let mut world = world([]);
    let request =
        json!({ "model": "test/m:floor", "models": ["test/other"], "provider": { "ignore": ["p3"] }, "tags": ["t"] });
    let (status, plan) = route(&mut world, PATH, &body(request));
    assert_eq!(status, 200, "{plan}");
    assert_eq!(tags(&plan), ["p1", "p2", "p4", "p1"]);
    let first = &plan["candidates"][0];
    assert_eq!(
        (&first["model"], &first["upstream_model"], &first["strategy"], &first["score_unit"]),
        (&json!("test/m"), &json!("test/m-at-1"), &json!("price"), &json!("usd_per_token"))
    );
    assert_eq!(
        (&first["pricing"]["prompt"], &first["pricing"]["completion"]),
        (&json!("0.000001"), &json!("0.000002"))
    );
    assert_eq!(first["score"], json!(0.000_003));
    assert_eq!(
        first["stats"],
        json!({ "ttft_ms": null, "throughput": null, "failure_rate": null, "in_outage": false })
    );
    assert_eq!(
        (&plan["candidates"][3]["strategy"], &plan["candidates"][3]["score"]),
        (&json!("weighted"), &json!(1.0))
    );
    assert_eq!(plan["excluded"], json!([{ "model": "test/m", "tag": "p3", "rule": "provider.ignore" }]));
    assert_eq!((&plan["refusal"], &plan["max_attempts"]), (&Value::Null, &json!(MAX_ATTEMPTS)));
    assert_eq!(plan["models"][0], json!({ "requested": "test/m:floor", "model": "test/m" }));
    assert!(world.sent.is_empty() && world.events().is_empty());
}

#[test]
fn the_seed_of_a_plan_draws_it_again() {
    let mut world = world([]);
    let even = json!({ "model": "test/even", "messages": [{ "role": "user", "content": PROMPT }] });
    let endpoints: Vec<Value> =
        (1..=4).map(|n| json!({ "provider": format!("p{n}"), "upstream_model": "m" })).collect();
    let model = json!({ "id": "test/even", "name": "Even", "endpoints": endpoints });
    world.kv.insert(model_key("test/even"), json!({ "v": 1, "revision": 3, "model": model }).to_string());
    let mut orders = HashSet::new();
    for _ in 0..50 {
        let (_, plan) = route(&mut world, PATH, &even);
        assert_eq!(plan["candidates"][0]["score"], json!(0.25));
        let again = format!("{PATH}?seed={}", plan["seed"].as_str().unwrap());
        assert_eq!(route(&mut world, &again, &even).1, plan);
        orders.insert(tags(&plan).join(" "));
    }
    assert!(orders.len() > 10, "{orders:?}");
    for wrong in ["seed=", "seed=xyz", "seed=+00000000000000f", "a=b&seed=0123456789abcdef0"] {
        let (status, answer) = route(&mut world, &format!("{PATH}?{wrong}"), &even);
        assert_eq!((status, &answer["error"]["param"]), (400, &json!("seed")), "{wrong}");
    }
}

#[test]
fn who_cannot_be_served_is_told_why() {
    let mut world = world([]);
    let (status, plan) = route(&mut world, PATH, &body(json!({ "provider": { "only": ["nobody"] } })));
    assert_eq!((status, &plan["candidates"]), (200, &json!([])));
    assert_eq!(plan["excluded"].as_array().unwrap().len(), 4);
    assert_eq!(
        (&plan["refusal"]["status"], &plan["refusal"]["code"]),
        (&json!(404), &world.ask(&body(json!({ "provider": { "only": ["nobody"] } }))).error()["code"])
    );
    // What inference refuses before it plans is refused here in the same way.
    assert_eq!(route(&mut world, PATH, &body(json!({ "model": "test/none" }))).0, 400);
    assert_eq!(route(&mut world, PATH, &json!({ "model": "test/m" })).0, 400);
    let head = Head { path: PATH, ..Head::default() };
    let management = world.management_key.clone();
    assert_eq!(world.ask_as(&management, head, &body(json!({}))).status, 403);
}

#[test]
fn what_was_seen_of_endpoints_is_in_the_plan() {
    let mut world = world([fails(500, None), answer()]);
    assert_eq!(world.ask(&body(json!({ "provider": { "order": ["p1", "p2"] } }))).status, 200);
    let (_, plan) = route(&mut world, PATH, &body(json!({ "model": "test/m:floor" })));
    assert_eq!(tags(&plan), ["p2", "p3", "p4", "p1"]);
    assert_eq!(plan["candidates"][3]["stats"]["in_outage"], json!(true));
}

#[test]
fn endpoints_are_sorted_across_models_where_the_client_wants_that() {
    let mut world = world([]);
    let asked = |sort: Value| body(json!({ "models": ["test/other"], "provider": { "sort": sort } }));
    let models = |plan: &Value| -> Vec<String> {
        plan["candidates"].as_array().unwrap().iter().map(|row| row["model"].as_str().unwrap().to_owned()).collect()
    };
    let (_, plan) = route(&mut world, PATH, &asked(json!({ "by": "price", "partition": "none" })));
    assert_eq!(tags(&plan), ["p1", "p1", "p2", "p3", "p4"]);
    assert_eq!(models(&plan)[1], "test/other");
    for sort in [json!("price"), json!({ "by": "price", "partition": "model" }), json!({ "by": "price" })] {
        let (_, plan) = route(&mut world, PATH, &asked(sort));
        assert_eq!(tags(&plan), ["p1", "p2", "p3", "p4", "p1"]);
    }
}

#[test]
fn a_model_that_is_fast_enough_stands_before_one_that_is_not() {
    let mut world = world([fails(500, None), answer()]);
    world.kv.insert(
        model_key("test/slow"),
        json!({ "v": 1, "revision": 3, "model": { "id": "test/slow", "name": "Slow", "endpoints": [
            { "provider": "p2", "upstream_model": "s", "expected": { "throughput": 5 } },
        ]}})
        .to_string(),
    );
    let asked = |more: Value| body(json!({ "model": "test/slow", "models": ["test/other"], "provider": more }));
    let (_, plan) = route(&mut world, PATH, &asked(json!({ "preferred_min_throughput": { "p90": 50 } })));
    assert_eq!(tags(&plan), ["p1", "p2"]);
    assert_eq!(plan["candidates"][1]["behind"], "provider.preferred_min_throughput");
    assert_eq!(tags(&route(&mut world, PATH, &asked(json!({ "preferred_min_throughput": 5 }))).1), ["p2", "p1"]);
}

#[test]
fn a_request_starts_nowhere_where_it_could_cost_more_than_its_client_allows() {
    let mut world = world([answer()]);
    // 500 tokens of 2, 4, 6 and 8 micro-dollars, and the prompt.
    let asked = |usd: f64| body(json!({ "model": "test/m:floor", "max_tokens": 500, "max_cost": usd }));
    let (_, plan) = route(&mut world, PATH, &asked(0.0025));
    assert_eq!(tags(&plan), ["p1", "p2"]);
    assert_eq!(plan["excluded"][0], json!({ "model": "test/m", "tag": "p3", "rule": "max_cost" }));
    assert_eq!(world.ask(&asked(0.0009)).code(), (404, "no_endpoints".to_owned()));
    // Without a bound of its own an answer may cost anything.
    let open = body(json!({ "max_cost": 100 }));
    assert_eq!(tags(&route(&mut world, PATH, &open).1), [""; 0]);
    assert_eq!(world.ask(&asked(0.0025)).status, 200);
    assert!(world.sent[0].body.get("max_cost").is_none());
    assert_eq!(world.ask(&body(json!({ "max_cost": -1 }))).error()["param"], "max_cost");
}

#[test]
fn variants_that_are_reserved_or_unknown_are_named() {
    let mut world = world([]);
    for (name, word) in
        [("test/m:online", "reserved"), ("test/m:fast", ":fast is not a variant"), ("test/m:free", "no :free")]
    {
        let (status, answer) = route(&mut world, PATH, &body(json!({ "model": name })));
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(status == 400 && message.contains(word) && message.contains(":exacto"), "{name}: {message}");
    }
    assert_eq!(
        route(&mut world, PATH, &body(json!({ "model": "test/m:exacto" }))).1["candidates"][0]["strategy"],
        "exacto"
    );
}
