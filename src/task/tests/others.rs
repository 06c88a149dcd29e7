//! Rankings, judgements, counts.

use serde_json::json;

use super::*;
use crate::{dialect::single::Place, routing::fallback::Cause};

const RANK: &str = r#"{"model":"x/y","query":"q","documents":["a",{"text":"b"}],"top_n":1,"provider":{"only":["p"]}}"#;

fn rank(body: &str) -> Call<'_> {
    parse(Kind::Rerank, Head::default(), body.as_bytes()).unwrap()
}

#[test]
fn rankings_are_asked_for() {
    let call = rank(RANK);
    assert_eq!(call.asked().parameters, ["top_n"]);
    let none = quirks(&[]);
    for (dialect, names, place, expected) in [
        (
            Dialect::Openai,
            quirks(&[]),
            "/rerank",
            json!({"model": "m", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1}),
        ),
        (
            Dialect::Openai,
            quirks(&["top_k"]),
            "/rerank",
            json!({"model": "m", "query": "q", "documents": ["a", {"text": "b"}], "top_k": 1}),
        ),
        (
            Dialect::Cohere,
            quirks(&[]),
            "/v2/rerank",
            json!({"model": "m", "query": "q", "documents": ["a", "b"], "top_n": 1}),
        ),
    ] {
        let outbound = call.encode(dialect, &target("m", &names)).unwrap();
        assert_eq!((outbound.place, lost(&outbound).len()), (Place::Below(place), 0));
        let sent = sent(RANK, &outbound);
        assert_eq!(sent, expected, "{dialect:?}");
    }
    for dialect in [Dialect::Anthropic, Dialect::Gemini, Dialect::Bedrock, Dialect::Ollama] {
        assert_eq!(call.encode(dialect, &target("m", &none)).unwrap_err().status(), 400);
    }
    let pictures =
        rank(r#"{"model":"x","query":"q","documents":[{"text":"a","image":"data:..."}],"rank_fields":["a"]}"#);
    assert_eq!(pictures.asked().weight.media, 1);
    let error = pictures.encode(Dialect::Cohere, &target("m", &none)).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("documents[0]"));
    for (body, param) in [
        (r#"{"model":"x","documents":["a"]}"#, "query"),
        (r#"{"model":"x","query":"","documents":["a"]}"#, "query"),
        (r#"{"model":"x","query":"q"}"#, "documents"),
        (r#"{"model":"x","query":"q","documents":[]}"#, "documents"),
        (r#"{"model":"x","query":"q","documents":["a",1]}"#, "documents[1]"),
        (r#"{"model":"x","query":"q","documents":[{}]}"#, "documents[0]"),
        (r#"{"model":"x","query":"q","documents":["a"],"top_n":0}"#, "top_n"),
        (r#"{"query":"q","documents":["a"]}"#, "model"),
    ] {
        let error = parse(Kind::Rerank, Head::default(), body.as_bytes()).unwrap_err();
        assert_eq!((error.status(), error.param.as_deref()), (400, Some(param)), "{body}");
    }
}

#[test]
fn rankings_come_in_one_form() {
    let results = json!([{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]);
    let per_search = r#"{"prompt":"0","completion":"0","request":"0.002"}"#;
    let per_token = r#"{"prompt":"0.000001","completion":"0"}"#;
    for (dialect, answer, pricing, usage, cost) in [
        (
            Dialect::Cohere,
            json!({"id": "c", "results": results, "meta": {"billed_units": {"search_units": 3}}}),
            per_search,
            json!({"search_units": 3}),
            0.006,
        ),
        (
            Dialect::Openai,
            json!({"model": "j", "results": results, "usage": {"total_tokens": 15}}),
            per_token,
            json!({"total_tokens": 15}),
            15e-6,
        ),
        (
            Dialect::Openai,
            json!({"object": "list", "data": results, "usage": {"total_tokens": 15}}),
            per_token,
            json!({"total_tokens": 15}),
            15e-6,
        ),
        (
            Dialect::Openai,
            json!({"id": "t", "results": results, "usage": {"prompt_tokens": 15, "completion_tokens": 0, "total_tokens": 15, "cost": 4}}),
            per_token,
            json!({"prompt_tokens": 15, "completion_tokens": 0, "total_tokens": 15}),
            15e-6,
        ),
        (
            Dialect::Openai,
            json!({"results": results}),
            per_token,
            json!({"total_tokens": 9, "is_estimated": true}),
            9e-6,
        ),
    ] {
        let answer = answer.to_string();
        let read = rank(RANK)
            .wanted()
            .read_answer(dialect, &target("m", &[]), answer.as_bytes(), &finish_at(pricing))
            .unwrap();
        let mut out = given(answer.as_bytes(), &read);
        assert_eq!(
            out["results"],
            json!([{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}, {"index": 0, "relevance_score": 0.1, "document": {"text": "a"}}]),
            "{answer}"
        );
        assert_eq!((&out["id"], &out["model"], &out["provider"]), (&json!("gen-1-x"), &json!("a/b"), &json!("P")));
        let used = out["usage"].as_object_mut().unwrap();
        assert_eq!(used.shift_remove("cost").unwrap(), json!(cost), "{answer}");
        assert_eq!(used.shift_remove("is_byok").unwrap(), false);
        assert!(used.shift_remove("cost_details").is_some());
        assert_eq!(out["usage"], usage, "{answer}");
    }
    let bare = rank(r#"{"model":"x","query":"q","documents":["a"],"return_documents":false}"#);
    let answer = json!({"results": [{"index": 0, "relevance_score": 1, "document": "a"}]}).to_string();
    let read = bare.wanted().read_answer(Dialect::Openai, &target("m", &[]), answer.as_bytes(), &finish()).unwrap();
    assert_eq!(given(answer.as_bytes(), &read)["results"], json!([{"index": 0, "relevance_score": 1}]));
    let named = json!({"results": [{"index": 0, "relevance_score": 1, "document": "a"}]}).to_string();
    let read =
        rank(RANK).wanted().read_answer(Dialect::Openai, &target("m", &[]), named.as_bytes(), &finish()).unwrap();
    assert_eq!(given(named.as_bytes(), &read)["results"][0]["document"], json!({"text": "a"}));
    for (dialect, bad, cause) in [
        (Dialect::Openai, json!({"results": []}), Cause::Malformed),
        (Dialect::Openai, json!({"results": [{"index": 7, "relevance_score": 1}]}), Cause::Malformed),
        (Dialect::Openai, json!({"results": [{"index": 0}]}), Cause::Malformed),
        (Dialect::Openai, json!({"error": {"message": "no", "code": 429}}), Cause::ErrorInBody(Some(429))),
        (Dialect::Cohere, json!({"results": [{"index": 7, "relevance_score": 1}]}), Cause::Malformed),
        (Dialect::Cohere, json!({"message": "no"}), Cause::ErrorInBody(None)),
        (Dialect::Cohere, json!({}), Cause::Malformed),
    ] {
        let read = rank(RANK).wanted().read_answer(dialect, &target("m", &[]), bad.to_string().as_bytes(), &finish());
        assert_eq!(read.unwrap_err().0, cause, "{bad}");
    }
}

#[test]
fn judgements_are_passed_on() {
    let body = r#"{"input":["a",{"type":"image_url","image_url":{"url":"u"}}],"session_id":"s"}"#;
    let call = parse(Kind::Moderations, Head::default(), body.as_bytes()).unwrap();
    assert_eq!(
        (&*call.asked().models, call.asked().weight.media),
        (&["openai/omni-moderation-latest".to_owned()][..], 1)
    );
    let outbound = call.encode(Dialect::Openai, &target("m", &[])).unwrap();
    assert_eq!(outbound.place, Place::Below("/moderations"));
    assert_eq!(
        sent(body, &outbound),
        json!({"model": "m", "input": ["a", {"type": "image_url", "image_url": {"url": "u"}}]})
    );
    assert!(call.encode(Dialect::Cohere, &target("m", &[])).is_err());
    for (answer, tokens) in [
        (json!({"id": "modr-1", "model": "omni", "results": [{"flagged": true}]}), None),
        (
            json!({"id": "m", "model": "mistral", "results": [{"categories": {}}], "usage": {"prompt_tokens": 4, "total_tokens": 4}}),
            Some(4),
        ),
    ] {
        let answer = answer.to_string();
        let read = call.wanted().read_answer(Dialect::Openai, &target("m", &[]), answer.as_bytes(), &finish()).unwrap();
        let out = given(answer.as_bytes(), &read);
        assert_eq!((&out["model"], &out["usage"]["prompt_tokens"]), (&json!("a/b"), &json!(tokens.unwrap_or(9))));
        assert_eq!(read.facts.usage.estimated, tokens.is_none());
        assert!(out["results"][0].is_object());
    }
    for bad in ["{}", r#"{"results":[]}"#, "x", r#"{"results":{}}"#] {
        assert_eq!(
            call.wanted().read_answer(Dialect::Openai, &target("m", &[]), bad.as_bytes(), &finish()).unwrap_err().0,
            Cause::Malformed
        );
    }
    for (body, param) in [
        ("{}", "input"),
        (r#"{"input":[]}"#, "input"),
        (r#"{"input":[7]}"#, "input[0]"),
        (r#"{"input":"a","model":7}"#, "model"),
    ] {
        let error = parse(Kind::Moderations, Head::default(), body.as_bytes()).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{body}");
    }
}

#[test]
fn tokens_are_counted_by_whoever_can_and_estimated_else() {
    let body = br#"{"model":"a/b","system":"s","messages":[{"role":"user","content":"hello there"}],"tags":["t"],"max_tokens":5}"#;
    let call = count::parse(count::Client::Anthropic, "", body).unwrap();
    assert_eq!((&*call.asked.models, &*call.asked.tags), (&["a/b".to_owned()][..], &["t".to_owned()][..]));
    let anthropic = count::encode(&call.request, Dialect::Anthropic, &target("claude-sonnet-5", &[])).unwrap().unwrap();
    assert_eq!(anthropic.place, Place::Below("/messages/count_tokens"));
    let written = sent("", &anthropic);
    assert_eq!(
        (&written["model"], written.get("max_tokens"), written.get("tags")),
        (&json!("claude-sonnet-5"), None, None)
    );
    let gemini = count::encode(&call.request, Dialect::Gemini, &target("g", &[])).unwrap().unwrap();
    assert_eq!(sent("", &gemini)["generateContentRequest"]["contents"][0]["parts"][0]["text"], "hello there");
    let vertex = count::encode(&call.request, Dialect::Vertex, &target("g", &[])).unwrap().unwrap();
    assert_eq!(sent("", &vertex)["contents"][0]["parts"][0]["text"], "hello there");
    for (dialect, model) in [(Dialect::Openai, "m"), (Dialect::Bedrock, "m"), (Dialect::Vertex, "claude-opus-5")] {
        assert!(count::encode(&call.request, dialect, &target(model, &[])).unwrap().is_none());
    }
    let estimate = call.client.estimate(call.asked.weight)["input_tokens"].as_u64().unwrap();
    assert!((4..=16).contains(&estimate), "{estimate}");
    let (tokens, out) = count::Client::Gemini.read_answer(Dialect::Anthropic, br#"{"input_tokens":7}"#).unwrap();
    assert_eq!((tokens, out), (7, json!({"totalTokens": 7})));
    assert!(count::Client::Anthropic.read_answer(Dialect::Gemini, b"[]").is_err());
    for (client, bad) in [
        (count::Client::Anthropic, "{}"),
        (count::Client::Anthropic, "x"),
        (count::Client::Gemini, "[]"),
        (count::Client::Gemini, r#"{"contents":7}"#),
    ] {
        assert_eq!(count::parse(client, "x", bad.as_bytes()).unwrap_err().status(), 400, "{bad}");
    }
}
