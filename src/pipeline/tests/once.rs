//! Idempotency keys in the life of a request, against the real account.

use super::*;

fn keyed(world: &mut World, key: &str, body: &Value) -> Got {
    let api_key = world.key.clone();
    let got = world.ask_as(&api_key, Head { idempotency_key: key, ..Head::default() }, body);
    world.flush();
    got
}

#[test]
fn the_same_key_and_body_give_the_same_answer_and_call_nobody() {
    for body in [body(json!({})), streamed()] {
        let mut world = world([stream()]);
        world.script = [if body["stream"] == true { stream() } else { answer() }].into();
        let first = keyed(&mut world, "k-1", &body);
        let again = keyed(&mut world, "k-1", &body);
        assert_eq!((again.status, &again.text), (200, &first.text));
        assert_eq!(again.headers["idempotency-replayed"], "true");
        assert_eq!(world.sent.len(), 1);
        assert_eq!(world.events().len(), 1, "billed once");
        let kept = world.account.run("SELECT * FROM claims", &[]).unwrap();
        assert!(!serde_json::to_string(&kept).unwrap().contains(ANSWER), "nobody can read it at rest");
    }
}

#[test]
fn another_body_or_a_request_that_still_runs_is_a_conflict() {
    let mut world = world([answer(), answer()]);
    assert_eq!(keyed(&mut world, "k", &body(json!({}))).status, 200);
    assert_eq!(keyed(&mut world, "k", &streamed()).code(), (409, "idempotency_key_reused".to_owned()));
    let first = world.begin_with("other", &body(json!({})));
    assert!(matches!(first, Effect::Fetch(_)));
    let got = keyed(&mut world, "other", &body(json!({})));
    assert_eq!(got.code(), (409, "idempotency_in_progress".to_owned()));
    assert_eq!(got.headers["retry-after"], "1");
}

#[test]
fn a_request_that_nobody_served_frees_its_key() {
    let mut world = world([fails(400, None), answer()]);
    assert_eq!(keyed(&mut world, "k", &body(json!({}))).status, 400);
    assert_eq!(keyed(&mut world, "k", &body(json!({}))).status, 200);
    assert_eq!(keyed(&mut world, "k2", &body(json!({ "model": "no/such" }))).status, 400);
    assert!(world.gateway.claims.is_empty());
}

#[test]
fn where_its_owner_wants_it_the_body_is_the_key_for_a_while() {
    let mut world =
        World { script: [answer(), answer()].into(), ..World::new(json!({ "name": "t", "dedupe_window_s": 5 })) };
    let first = keyed(&mut world, "", &body(json!({})));
    assert_eq!(keyed(&mut world, "", &body(json!({}))).text, first.text);
    world.now = world.now.plus(5_000);
    assert_ne!(keyed(&mut world, "", &body(json!({}))).text, first.text);
    assert_eq!(world.sent.len(), 2);
}
