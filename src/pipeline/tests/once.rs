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

/// A request that claims its key and hears nothing of it, though it was granted.
fn claims_in_vain(world: &mut World, key: &str) -> u32 {
    let authorization = format!("Bearer {}", world.key);
    let head = Head { authorization: &authorization, idempotency_key: key, ..Head::default() };
    let mut ticket = 0;
    loop {
        let body = body(json!({})).to_string();
        let Effect::Lookup(lookups) = world.gateway.begin(&head, body.as_bytes(), ticket, world.now) else { panic!() };
        ticket = lookups.ticket;
        let claims = lookups.asks.iter().any(|ask| matches!(ask, Ask::Account { claim: Some(_), .. }));
        if claims {
            let Some(Ask::Account { org, claim, .. }) = lookups.asks.into_iter().next() else { panic!() };
            let session = world.gateway.session().to_owned();
            let request =
                crate::metering::CommitRequest { session, claims: claim.into_iter().collect(), ..Default::default() };
            account::commit(&world.account, &request, world.now).unwrap();
            world.gateway.known().account_unavailable(&org, "no answer in time", world.now);
            return ticket;
        }
        world.look_up(lookups.asks);
    }
}

#[test]
fn a_claim_whose_answer_was_lost_is_given_back() {
    let mut world = world([answer()]);
    let ticket = claims_in_vain(&mut world, "k");
    let authorization = format!("Bearer {}", world.key);
    let head = Head { authorization: &authorization, idempotency_key: "k", ..Head::default() };
    let effect = world.gateway.begin(&head, body(json!({})).to_string().as_bytes(), ticket, world.now);
    let Effect::Reply(reply) = effect else { panic!("{effect:?}") };
    assert_eq!(reply.status, 503);
    world.flush();
    world.now = world.now.plus(1_000);
    assert_eq!(keyed(&mut world, "k", &body(json!({}))).status, 200);
}

#[test]
fn a_claim_of_a_client_that_has_gone_while_it_waited_is_given_back() {
    let mut world = world([answer()]);
    claims_in_vain(&mut world, "k");
    world.now = world.now.plus(CLAIM_MS);
    world.flush();
    assert_eq!(keyed(&mut world, "k", &body(json!({}))).status, 200);
}

#[test]
fn large_answers_go_to_the_account_a_few_at_a_time() {
    let mut world = world([]);
    let kept = |n: usize| Finished {
        id: n.to_string(),
        owner: "o".to_owned(),
        kept: Some(Kept { generation: "g".to_owned(), stream: false, sealed: Some("x".repeat(MAX_ANSWER)) }),
    };
    world.gateway.finished = (0..50).map(kept).collect();
    let mut batches = Vec::new();
    while let Some((seq, batch)) = world.gateway.take_batch(world.now) {
        batches.push(batch.len());
        world.gateway.batch_done(seq, CommitReply::default(), world.now, world.now);
    }
    assert!(batches.len() > 9 && batches.iter().all(|bytes| *bytes < 6 << 20), "{batches:?}");
    assert!(world.gateway.finished.is_empty());
}
