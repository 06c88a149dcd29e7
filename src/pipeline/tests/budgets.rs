//! Budgets, limits and stops in the life of a request, against the real account.

use super::*;
use crate::budget::{AccountKind, AccountRef, Meter, Period, Terms, Unit, book};

/// Prices of `test/m` at its dearest endpoint, in nano-dollars a token.
const PROMPT_NANO: i64 = 4_000;
const COMPLETION_NANO: i64 = 8_000;

impl World {
    fn key_account(&self) -> AccountRef {
        AccountRef::new(AccountKind::Key, self.hash().as_str())
    }

    fn define(&mut self, terms: &Terms) {
        book::define(&self.account, terms).unwrap();
    }

    /// A hard budget of the key.
    fn budget(&mut self, unit: Unit, limit: i64) -> AccountRef {
        let account = self.key_account();
        self.define(&Terms::budget(account.clone(), "limit", unit, Period::Lifetime, limit));
        account
    }

    fn meter(&self, account: &AccountRef, name: &str) -> Meter {
        book::find(&self.account, account, name).unwrap().unwrap()
    }

    /// The traffic has ended and everything is told.
    fn settle_down(&mut self) {
        self.flush();
        self.now = self.now.plus(2_000);
        self.flush();
        assert!(!self.gateway.known.holder.lingers());
    }
}

fn answers(n: usize) -> VecDeque<Step> {
    (0..n).map(|_| answer()).collect()
}

fn short() -> Value {
    body(json!({ "max_tokens": 10 }))
}

#[test]
fn a_hard_budget_refuses_what_it_does_not_cover_and_counts_what_was_used() {
    let mut world = world(answers(9));
    let account = world.budget(Unit::Usd, 1_000_000);
    let mut got = world.ask(&short());
    let mut served = 0;
    while got.status == 200 {
        served += 1;
        assert_eq!(got.headers.len(), 0);
        world.settle_down();
        let meter = world.meter(&account, "limit");
        assert_eq!((meter.spent, meter.held), (served * 140_000, 0));
        got = world.ask(&short());
    }
    assert_eq!(got.code(), (402, "key_limit_reached".to_owned()));
    let metadata = &got.error()["metadata"];
    assert_eq!(metadata["error_type"], "payment_required");
    assert_eq!((&metadata["limit_usd"], &metadata["remaining_usd"]), (&json!(0.001), &json!(0.00002)));
    assert_eq!((&metadata["account"]["kind"], &metadata["resets_at"]), (&json!("key"), &Value::Null));
    assert_eq!(served, 7, "what the dearest endpoint would take is not asked for once only cheaper ones fit");
    assert_eq!(world.sent.len(), 7);
}

#[test]
fn every_level_has_to_pass() {
    for kind in [AccountKind::Organization, AccountKind::Workspace, AccountKind::Key] {
        let mut world = world(answers(1));
        let [org, workspace, key] = keys::record(&world.account, &world.hash()).unwrap().unwrap().accounts();
        let tight = [&org, &workspace, &key].into_iter().find(|account| account.kind == kind).unwrap().clone();
        for account in [org, workspace, key] {
            let limit = if account.kind == kind { 1_000 } else { 1_000_000_000 };
            world.define(&Terms::budget(account, "usd/monthly", Unit::Usd, Period::Monthly, limit));
        }
        let got = world.ask(&short());
        assert_eq!(got.code(), (402, "budget_exceeded".to_owned()));
        assert_eq!(got.error()["metadata"]["account"]["kind"], tight.kind.name());
        assert!(got.error()["metadata"]["resets_at"].is_string());
        assert!(world.sent.is_empty());
        world.now = world.now.plus(6_000);
        world.settle_down();
    }
}

#[test]
fn a_soft_budget_counts_and_refuses_nothing() {
    let mut world = world(answers(3));
    let account = world.key_account();
    world.define(&Terms { hard: false, ..Terms::budget(account.clone(), "b", Unit::Usd, Period::Daily, 1) });
    for _ in 0..3 {
        assert_eq!(world.ask(&short()).status, 200);
    }
    world.settle_down();
    assert_eq!(world.meter(&account, "b").spent, 420_000);
}

#[test]
fn the_first_use_begins_the_window_of_a_soft_budget_too() {
    let mut world = world(answers(2));
    let account = world.key_account();
    world.define(&Terms { hard: false, ..Terms::budget(account.clone(), "b", Unit::Usd, Period::Seconds(90), 1) });
    for (window, spent) in [(1, 140_000), (1, 280_000)] {
        let now = world.now;
        assert_eq!(world.ask(&short()).status, 200);
        world.settle_down();
        let meter = world.meter(&account, "b");
        assert_eq!((meter.window, meter.spent), (window, spent));
        assert!(meter.until > now, "{meter:?}");
    }
}

#[test]
fn tokens_are_a_budget_too() {
    let mut world = world(answers(2));
    let account = world.budget(Unit::Tokens, 300);
    assert_eq!(world.ask(&short()).status, 200);
    world.settle_down();
    assert_eq!(world.meter(&account, "limit").spent, 120);
    assert_eq!(world.ask(&short()).status, 200);
    world.settle_down();
    let got = world.ask(&short());
    assert_eq!((got.status, &got.error()["metadata"]["limit_tokens"]), (402, &json!(300)));
}

#[test]
fn requests_per_minute_are_refused_with_429_until_the_window_ends() {
    let mut world = world(answers(4));
    let account = world.key_account();
    world.define(&Terms::rate(account, "requests_per_minute", Unit::Requests, Period::Seconds(60), 2));
    assert_eq!((world.ask(&short()).status, world.ask(&short()).status), (200, 200));
    let got = world.ask(&short());
    assert_eq!(got.code(), (429, "rate_limit_exceeded".to_owned()));
    assert_eq!((&*got.headers["x-ratelimit-limit"], &*got.headers["x-ratelimit-remaining"]), ("2", "0"));
    let wait: i64 = got.headers["retry-after"].parse().unwrap();
    assert!((55..=60).contains(&wait), "{wait}");
    world.settle_down();
    assert_eq!(world.ask(&short()).status, 429);
    world.now = world.now.plus(wait * 1_000);
    assert_eq!(world.ask(&short()).status, 200);
}

#[test]
fn an_answer_is_cut_to_a_token_limit_that_is_smaller_than_what_it_may_use() {
    let mut world = world(answers(9));
    let account = world.key_account();
    world.define(&Terms::rate(account.clone(), "tokens_per_minute", Unit::Tokens, Period::Seconds(60), 400));
    let mut served = 0;
    let mut got = world.ask(&body(json!({})));
    while got.status == 200 {
        served += 1;
        assert!(world.sent.last().unwrap().body["max_tokens"].as_u64().unwrap() < 400);
        world.settle_down();
        assert_eq!(world.meter(&account, "tokens_per_minute").spent, served * 120);
        got = world.ask(&body(json!({})));
    }
    assert_eq!(got.code(), (429, "rate_limit_exceeded".to_owned()));
    assert!(served >= 2 && got.error()["message"].as_str().unwrap().contains("It starts again at"), "{}", got.text);
}

#[test]
fn a_refusal_says_what_is_counted_and_what_never_fits() {
    let mut world = world(answers(1));
    let account = world.budget(Unit::Requests, 1);
    assert_eq!(world.ask(&short()).status, 200);
    world.settle_down();
    let got = world.ask(&short());
    let error = got.error();
    assert_eq!((got.status, &error["metadata"]["limit_requests"]), (402, &json!(1)));
    assert!(error["message"].as_str().unwrap().contains("1 requests of 1 requests are used; it may need 1 requests."));

    book::remove(&world.account, &account, "limit").unwrap();
    for limit in [20, 0] {
        let terms = Terms::rate(account.clone(), "tokens_per_minute", Unit::Tokens, Period::Seconds(60), limit);
        world.define(&terms);
        world.gateway.known.forget();
        let got = world.ask(&short());
        assert_eq!(got.code(), (429, "rate_limit_exceeded".to_owned()));
        assert!(got.error()["message"].as_str().unwrap().contains("That never fits"), "{}", got.text);
        // Its window has not begun.
        assert!(!got.text.contains("1970") && got.headers["x-ratelimit-reset"].parse::<i64>().unwrap() > 1_000_000);
    }
}

#[test]
fn parallel_requests_come_back_when_they_end() {
    let mut world = world(answers(1));
    let account = world.key_account();
    world.define(&Terms::rate(account.clone(), "max_parallel", Unit::Parallel, Period::Lifetime, 1));
    let first = world.begin(&short());
    assert!(matches!(first, Effect::Fetch(_)));
    let Effect::Fetch(call) = first else { panic!() };
    assert_eq!(world.ask(&short()).code().0, 429);
    world.gateway.abandon(call.exchange, world.now);
    assert_eq!(world.ask(&short()).status, 200);
    world.settle_down();
    assert_eq!((world.meter(&account, "max_parallel").held, world.meter(&account, "max_parallel").spent), (0, 0));
}

#[test]
fn an_unpriced_model_is_refused_where_a_budget_is_charged() {
    let mut world = world(answers(1));
    let key = model_key("test/m");
    let unpriced = world.kv[&key].replace("\"pricing\"", "\"tag\":\"x\",\"was\"");
    let mut tree: Value = serde_json::from_str(&unpriced).unwrap();
    for endpoint in tree["model"]["endpoints"].as_array_mut().unwrap() {
        endpoint.as_object_mut().unwrap().remove("was");
        endpoint.as_object_mut().unwrap().remove("tag");
    }
    world.kv.insert(key, tree.to_string());
    world.budget(Unit::Usd, 1_000_000_000);
    assert_eq!(world.ask(&short()).code(), (400, "model_unpriced".to_owned()));
}

#[test]
fn who_is_stopped_is_not_served() {
    let mut world = world(answers(1));
    let run = AccountRef::new(AccountKind::Session, "run-1");
    book::stop(&world.account, &run, true, world.now).unwrap();
    let got = world.ask(&body(json!({ "session_id": "run-1" })));
    assert_eq!(got.code(), (403, "stopped".to_owned()));
    assert_eq!(world.ask(&body(json!({ "session_id": "run-2" }))).status, 200);
}

#[test]
fn a_key_that_moves_is_charged_where_it_is_from_then_on() {
    let mut world = world(answers(2));
    let made = |world: &mut World, slug: &str| {
        let made = world.manage("POST", "/workspaces", json!({ "name": slug, "slug": slug }));
        let id = made["data"]["id"].as_str().unwrap().to_owned();
        let path = format!("/workspaces/{id}/budgets/monthly");
        world.manage("PUT", &path, json!({ "limit_usd": 1 }));
        id
    };
    let (here, there) = (made(&mut world, "here"), made(&mut world, "there"));
    let key = format!("/keys/{}", world.hash().as_str());
    world.manage("PATCH", &key, json!({ "workspace_id": here }));
    // It runs while its key moves, and is charged to where it began.
    let Effect::Fetch(running) = world.begin(&short()) else { panic!("not admitted") };
    world.manage("PATCH", &key, json!({ "workspace_id": there }));
    world.now = world.now.plus(10_000);
    assert_eq!(world.ask(&short()).status, 200);
    let Ok(_) = world.perform(&running) else { panic!("not answered") };
    world.settle_down();
    for id in [here, there] {
        let account = AccountRef::new(AccountKind::Workspace, id.as_str());
        let meter = world.meter(&account, "usd/monthly");
        assert_eq!((meter.spent, meter.held), (140_000, 0), "{id}");
    }
}

#[test]
fn end_users_get_the_budget_that_all_of_them_have() {
    let mut world = world(answers(3));
    let all = AccountRef::default_of(AccountKind::User);
    world.define(&Terms::budget(all, "usd/daily", Unit::Usd, Period::Daily, 200_000));
    assert_eq!(world.ask(&body(json!({ "user": "ann", "max_tokens": 10 }))).status, 200);
    world.settle_down();
    let got = world.ask(&body(json!({ "user": "ann", "max_tokens": 10 })));
    assert_eq!((got.status, &got.error()["metadata"]["account"]["id"]), (402, &json!("ann")));
    assert_eq!(world.meter(&AccountRef::new(AccountKind::User, "ann"), "usd/daily").spent, 140_000);
    assert_eq!(world.ask(&body(json!({ "user": "bob", "max_tokens": 10 }))).status, 200);
    assert_eq!(world.ask(&body(json!({ "max_tokens": 10 }))).status, 200, "who names no user has none of it");
}

#[test]
fn without_the_account_budgets_close_unless_their_owner_lets_them_open() {
    for fail_open in [false, true] {
        let mut world = world(answers(2));
        let account = world.key_account();
        let terms = Terms::rate(account, "requests_per_minute", Unit::Requests, Period::Seconds(60), 1_000);
        world.define(&Terms { fail_open, ..terms });
        assert_eq!(world.ask(&short()).status, 200);
        world.settle_down();
        world.account_down = true;
        let got = world.ask(&short());
        assert_eq!(got.status, if fail_open { 200 } else { 503 }, "{}", got.text);
    }
}

#[test]
fn the_longest_answer_is_what_the_budget_covers() {
    let mut world = world(answers(3));
    // Enough for the prompt and a bit of an answer.
    for _ in 0..2 {
        assert_eq!(world.ask(&body(json!({ "max_tokens": 16 }))).status, 200);
    }
    world.settle_down();
    // What is seen now: answers of 20 tokens, so 94 are likely; 5,000 are asked for.
    world.budget(Unit::Usd, 100 * PROMPT_NANO * 2 + 94 * COMPLETION_NANO + 100_000);
    world.gateway.known.forget();
    let got = world.ask(&body(json!({ "max_tokens": 5_000 })));
    assert_eq!(got.status, 200, "{}", got.text);
    assert_eq!(world.sent.last().unwrap().body["max_tokens"], 94);
}

#[test]
fn two_bounds_of_an_answer_count_as_the_longer_one() {
    for (one, other) in [("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")] {
        let mut world = world(answers(1));
        // A provider may follow either.
        world.budget(Unit::Usd, 10_000_000);
        assert_eq!(world.ask(&body(json!({ one: 10, other: 1_000_000 }))).status, 200);
        let sent = &world.sent[0].body;
        let longest = [one, other].into_iter().filter_map(|name| sent[name].as_i64()).max().unwrap();
        assert!(longest * COMPLETION_NANO <= 10_000_000, "{sent}");
    }
}

#[test]
fn a_stream_grows_its_share_and_ends_when_it_cannot() {
    for (limit, whole) in [(20_000_000_i64, true), (3_000_000, false)] {
        let long: String = "x".repeat(600);
        let mut chunks = vec![role()];
        chunks.extend((0..10).map(|_| chunk(json!({ "content": long }), None)));
        chunks.push(chunk(json!({}), Some("stop")));
        chunks.push("data: [DONE]\n\n".to_owned());
        let mut world = world([answer(), Step::Stream(chunks, StreamEnd::Closed)]);
        assert_eq!(world.ask(&body(json!({}))).status, 200);
        world.settle_down();
        let account = world.budget(Unit::Usd, limit);
        world.gateway.known.forget();
        let got = world.ask(&body(json!({ "stream": true })));
        // It is asked for less than that, and does not keep to it.
        assert!(world.sent.last().unwrap().body["max_tokens"].as_u64().unwrap() < 1_000);
        let reasons: Vec<Value> =
            got.chunks().iter().map(|chunk| chunk["choices"][0]["finish_reason"].clone()).collect();
        assert!(reasons.contains(&json!(if whole { "stop" } else { "length" })), "{reasons:?}");
        assert!(got.text.ends_with("data: [DONE]\n\n"));
        assert_eq!(got.progress.contains(&Progress::Cut), !whole);
        world.settle_down();
        let meter = world.meter(&account, "limit");
        assert!(meter.spent <= limit && meter.held == 0, "{meter:?}");
    }
}

#[test]
fn with_traffic_flowing_nobody_is_asked() {
    let mut world = world(answers(200));
    let account = world.budget(Unit::Usd, 10_000_000_000);
    world.define(&Terms::rate(account, "requests_per_minute", Unit::Requests, Period::Seconds(60), 1_000_000));
    let mut asked = 0;
    for n in 0..200 {
        world.now = world.now.plus(20);
        let before = world.now;
        assert_eq!(world.ask(&short()).status, 200);
        // A look-up takes ten milliseconds here.
        asked += i32::from(world.now.since(before) > 20 && n > 0);
        world.flush();
    }
    assert!(asked <= 10, "{asked} of 200");
}

#[test]
fn margin_and_fee_are_charged_and_the_provider_is_owed_its_price() {
    let mut world = world(answers(2));
    let policy = json!({ "margin_percent": 10, "fee_per_request_usd": 0.000_001 });
    world.manage("PATCH", "/organization", policy);
    let account = world.budget(Unit::Usd, 1_000_000_000);
    let got = world.ask(&short());
    assert_eq!(got.json()["usage"]["cost"], 0.000_155);
    let event = world.event();
    assert_eq!((event.cost_nano, event.provider_cost_nano), (Some(NanoUsd(155_000)), Some(NanoUsd(140_000))));
    world.settle_down();
    assert_eq!(world.meter(&account, "limit").spent, 155_000);
}

#[test]
fn prepaid_credits_are_spent_and_no_more_than_they_are() {
    let mut world = world(answers(9));
    world.manage("PATCH", "/organization", json!({ "prepaid": true }));
    let got = world.ask(&short());
    assert_eq!(got.code(), (402, "credits_exhausted".to_owned()));
    assert!(got.error()["message"].as_str().unwrap().contains("prepaid credits of this organization"), "{}", got.text);
    world.manage("POST", "/credits", json!({ "amount": 0.001, "reason": "test" }));
    world.now = world.now.plus(10_000);
    let mut served = 0;
    while world.ask(&short()).status == 200 {
        served += 1;
        world.settle_down();
    }
    assert_eq!(served, 7);
    let credits = world.manage("GET", "/credits", Value::Null)["data"].clone();
    assert_eq!(
        (&credits["total_credits"], &credits["total_usage"], &credits["held"]),
        (&json!(0.001), &json!(0.00098), &json!(0.0))
    );
    let check = world.manage("GET", "/ledger/check", Value::Null);
    assert_eq!(check["data"]["balanced"], true, "{check}");
}

#[test]
fn a_session_that_goes_round_in_circles_is_refused() {
    let mut world = world(answers(3));
    world.manage("PATCH", "/organization", json!({ "loop_detection": { "repeats": 2, "window_s": 60 } }));
    let step = body(json!({ "session_id": "run-1" }));
    assert_eq!((world.ask(&step).status, world.ask(&step).status), (200, 200));
    assert_eq!(world.ask(&step).code(), (400, "loop_detected".to_owned()));
    assert_eq!(world.ask(&body(json!({ "session_id": "run-2" }))).status, 200);
}

#[test]
fn an_isolate_that_was_idle_for_long_counts_on_from_what_the_account_knows() {
    let mut world = world(answers(2));
    let account = world.budget(Unit::Usd, 1_000_000_000);
    assert_eq!(world.ask(&short()).status, 200);
    world.settle_down();
    // Others go on meanwhile: the account forgets who is silent.
    world.now = world.now.plus(2 * 3_600_000);
    crate::account::commit::sweep(&world.account, world.now).unwrap();
    assert_eq!(world.ask(&short()).status, 200);
    world.settle_down();
    let meter = world.meter(&account, "limit");
    assert_eq!((meter.spent, meter.held), (2 * 140_000, 0));
}

#[test]
fn a_provider_that_nobody_knows_the_limit_of_is_told_one() {
    let mut world = world(answers(3));
    assert_eq!(world.ask(&body(json!({}))).status, 200);
    assert_eq!(world.sent[0].body.get("max_tokens"), None, "no budget depends on it");
    world.settle_down();
    world.budget(Unit::Usd, 1_000_000_000);
    world.gateway.known.forget();
    assert_eq!(world.ask(&body(json!({}))).status, 200);
    let longest = world.sent[1].body["max_tokens"].as_i64().unwrap();
    assert!(longest * COMPLETION_NANO < 1_000_000_000, "{longest}");
    assert_eq!(world.ask(&body(json!({ "max_tokens": 7 }))).status, 200);
    assert_eq!(world.sent[2].body["max_tokens"], 7);
}

#[test]
fn names_that_nobody_could_stop_are_refused_where_they_are_charged() {
    let mut world = world(answers(4));
    let odd = [json!({ "user": "x".repeat(257) }), json!({ "user": "a\nb" })];
    assert_eq!(world.ask(&body(odd[0].clone())).status, 200, "nobody asks for it yet");
    let all = AccountRef::default_of(AccountKind::User);
    world.define(&Terms::budget(all, "usd/daily", Unit::Usd, Period::Daily, 1_000_000_000));
    world.gateway.known.forget();
    for more in odd {
        let error = world.ask(&body(more)).error();
        assert_eq!((&error["code"], &error["param"]), (&json!("invalid_request"), &json!("user")), "{error}");
    }
    for good in ["ü".repeat(256), String::new(), "*".to_owned()] {
        assert_eq!(world.ask(&body(json!({ "user": good }))).status, 200);
    }
}

#[test]
fn a_session_that_goes_round_in_circles_is_refused_with_idempotency_keys_too() {
    let mut world = world(answers(2));
    world.manage("PATCH", "/organization", json!({ "loop_detection": { "repeats": 2, "window_s": 60 } }));
    let (key, step) = (world.key.clone(), body(json!({ "session_id": "run-1" })));
    let mut ask = |name: &str| world.ask_as(&key, Head { idempotency_key: name, ..Head::default() }, &step).status;
    assert_eq!((ask("a"), ask("b"), ask("c")), (200, 200, 400));
}

#[test]
fn windows_and_names_that_are_over_leave_nothing_behind() {
    let mut world = world(answers(12));
    let key = world.key_account();
    world.define(&Terms::rate(key, "requests_per_minute", Unit::Requests, Period::Seconds(60), 1_000));
    let all = AccountRef::default_of(AccountKind::User);
    world.define(&Terms::budget(all, "usd/daily", Unit::Usd, Period::Daily, 1_000_000_000));
    for n in 0..10 {
        assert_eq!(world.ask(&body(json!({ "user": format!("u{n}"), "max_tokens": 10 }))).status, 200);
        world.settle_down();
        world.now = world.now.plus(61_000);
    }
    let count = |world: &World, table: &str| world.account.run(&format!("SELECT * FROM {table}"), &[]).unwrap().len();
    assert_eq!((count(&world, "meters"), count(&world, "holdings")), (12, 11));
    // Days later the end users are forgotten, and one comes back.
    world.now = world.now.plus(80 * 3_600_000);
    crate::account::commit::sweep(&world.account, world.now).unwrap();
    assert_eq!(count(&world, "meters"), 2);
    for _ in 0..2 {
        assert_eq!(world.ask(&body(json!({ "user": "u3", "max_tokens": 10 }))).status, 200);
    }
    world.settle_down();
    assert_eq!(world.meter(&AccountRef::new(AccountKind::User, "u3"), "usd/daily").spent, 280_000);
}

#[test]
fn a_name_that_is_forgotten_while_it_is_known_here_is_asked_for_again() {
    let mut world = world(answers(2));
    let all = AccountRef::default_of(AccountKind::User);
    world.define(&Terms::budget(all, "b", Unit::Usd, Period::Seconds(20), 1_000_000_000));
    let ann = body(json!({ "user": "ann", "max_tokens": 10 }));
    assert_eq!(world.ask(&ann).status, 200);
    world.settle_down();
    world.now = world.now.plus(30_000);
    book::prune(&world.account, world.now).unwrap();
    assert_eq!(world.ask(&ann).status, 200);
    world.settle_down();
    assert_eq!(world.meter(&AccountRef::new(AccountKind::User, "ann"), "b").spent, 140_000);
}
