//! Streams and answers made up: what the recordings do not show.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    super::{StreamEnd, testing::Wire},
    cases::{ANTHROPIC, RESPONSES, data, run, stream},
};
use crate::{framing::edit::apply, routing::fallback::Cause};

#[test]
fn the_cost_stands_in_the_event_that_ends_the_answer() {
    for (wire, place) in [
        (Wire::Anthropic, "/usage"),
        (Wire::Responses, "/response/usage"),
        (Wire::Gemini, "/usageMetadata"),
        (Wire::Completions, "/usage"),
    ] {
        let out = run(wire, stream(wire), StreamEnd::Closed);
        let priced: Vec<Value> = data(&out)
            .iter()
            .filter_map(|data| data.pointer(place).cloned())
            .filter(|usage| usage.get("cost").is_some())
            .collect();
        let [usage] = &priced[..] else { panic!("{wire:?}: {}", out.text()) };
        assert_eq!(usage["cost"], json!(0.00002), "{wire:?}");
        assert_eq!(usage["is_byok"], false);
        assert!(usage.get("cost_in_usd_ticks").is_none());
        assert_eq!(usage["cost_details"]["upstream_inference_prompt_cost"], json!(0.00001), "{wire:?}");
        assert_eq!(out.cost.unwrap().total.to_string(), "0.00002");
        assert_eq!((out.facts.usage.tokens.prompt, out.facts.usage.tokens.completion), (10, 5), "{wire:?}");
        assert_eq!(out.facts.finish_reason.as_deref(), Some("stop"));
        assert!(!out.facts.usage.estimated && out.failure.is_none());
        assert!(!out.text().contains("claude") && !out.text().contains("resp_1"), "{}", out.text());
    }
    let out = run(Wire::Anthropic, ANTHROPIC, StreamEnd::Closed);
    assert!(out.text().contains(": a comment\n\n") && out.text().contains("\"odd\":1.50"), "{}", out.text());
    assert!(
        out.text().contains("\"message\":{\"id\":\"gen-1-x\",\"model\":\"a/b\",")
            && out.text().contains("\"provider\":\"P\"")
    );
}

#[test]
fn content_is_seen_only_where_there_is_some() {
    for (wire, before) in [
        (Wire::Anthropic, "event: content_block_delta"),
        (Wire::Responses, "event: response.output_text.delta"),
        (Wire::Gemini, "data: "),
        (Wire::Completions, "data: "),
    ] {
        let text = stream(wire);
        let at = text.find(before).unwrap();
        let next = at + text[at..].find("\n\n").or_else(|| text[at..].find("\r\n\r\n")).unwrap() + 4;
        let first = |bytes: &str| wire.relay(false).run([bytes.as_bytes()], StreamEnd::ClientGone).first;
        assert_eq!(first(&text[..at]), None, "{wire:?}");
        assert!(first(&text[..next.min(text.len())]).is_some(), "{wire:?}");
    }
    let call = "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\",\"input\":{}}}\n\n";
    assert!(run(Wire::Anthropic, call, StreamEnd::ClientGone).first.is_some());
    let call = "data: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"type\":\"function_call\",\"name\":\"n\"}}\n\n";
    assert!(run(Wire::Responses, call, StreamEnd::ClientGone).first.is_some());
}

#[test]
fn an_error_inside_the_stream_is_passed_on_redacted() {
    for (wire, event, status) in [
        (
            Wire::Anthropic,
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy https://internal.host\"}}\n\n",
            Some(529),
        ),
        (
            Wire::Responses,
            "data: {\"type\":\"error\",\"message\":\"busy https://internal.host\",\"code\":\"server_error\"}\n\n",
            None,
        ),
        (
            Wire::Responses,
            "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"busy https://internal.host\"}}}\n\n",
            None,
        ),
        (
            Wire::Gemini,
            "{\"error\":{\"code\":503,\"message\":\"busy https://internal.host\",\"status\":\"UNAVAILABLE\"}}\n",
            Some(503),
        ),
        (
            Wire::Gemini,
            "[{\"error\":{\"code\":503,\"message\":\"busy https://internal.host\",\"status\":\"UNAVAILABLE\"}}]\n",
            Some(503),
        ),
        (
            Wire::Completions,
            "data: {\"error\":{\"message\":\"busy https://internal.host\",\"code\":503}}\n\n",
            Some(503),
        ),
    ] {
        let whole = stream(wire);
        let begun = &whole[..whole.find("\n\n").or_else(|| whole.find("\r\n\r\n")).unwrap() + 2];
        let begun = if wire == Wire::Gemini { &whole[..whole.find("\r\n\r\n").unwrap() + 4] } else { begun };
        let out = run(wire, &format!("{begun}{event}"), StreamEnd::Closed);
        assert_eq!(out.failure.as_ref().unwrap().0, Cause::ErrorInBody(status), "{wire:?}");
        assert!(out.text().contains("busy") && !out.text().contains("internal.host"), "{wire:?}: {}", out.text());
        assert_eq!(out.facts.finish_reason.as_deref(), Some("error"));
        assert!(wire.decode(&out.bytes).is_err(), "{wire:?}: {}", out.text());
        let native = wire.relay(true).run([begun.as_bytes(), event.as_bytes()], StreamEnd::Closed);
        assert!(native.text().contains("busy"), "{wire:?}: {}", native.text());
    }
}

#[test]
fn what_is_no_answer_is_told_apart() {
    for wire in Wire::ALL {
        for (body, cause) in [
            ("", Cause::Malformed),
            ("<html>", Cause::Malformed),
            ("[]", Cause::Malformed),
            ("{}", Cause::Malformed),
            (r#"{"content":{},"output":"x","candidates":[],"choices":[]}"#, Cause::Malformed),
            (r#"{"content":[1],"output":[1],"candidates":[1],"choices":[1]}"#, Cause::Malformed),
            (r#"{"error":{"message":"x","type":"rate_limit_error","code":429}}"#, Cause::ErrorInBody(Some(429))),
            (r#"{"error":"x"}"#, Cause::ErrorInBody(None)),
        ] {
            assert_eq!(wire.read_answer(body.as_bytes()).unwrap_err().0, cause, "{wire:?}: {body}");
        }
    }
    let failed = br#"{"status":"failed","output":[],"error":{"code":"server_error","message":"x"}}"#;
    assert_eq!(Wire::Responses.read_answer(failed).unwrap_err().1.message.as_deref(), Some("x"));
}

#[test]
fn counts_that_a_provider_leaves_out_are_made_good() {
    let body = br#"{"output":[],"status":"completed","usage":{"input_tokens":3,"output_tokens_details":null}}"#;
    let out: Value = serde_json::from_slice(&apply(body, &Wire::Responses.read_answer(body).unwrap().edits)).unwrap();
    assert_eq!(out["usage"]["output_tokens_details"], json!({"reasoning_tokens": 0}));
    assert_eq!((&out["usage"]["output_tokens"], &out["usage"]["total_tokens"]), (&json!(0), &json!(3)));
    let body = br#"{"content":[],"stop_reason":"end_turn","usage":{"input_tokens":3}}"#;
    let out: Value = serde_json::from_slice(&apply(body, &Wire::Anthropic.read_answer(body).unwrap().edits)).unwrap();
    assert_eq!((&out["usage"]["input_tokens"], &out["usage"]["cache_read_input_tokens"]), (&json!(3), &json!(0)));
    assert!(out["usage"].get("is_estimated").is_none());
}

#[test]
fn numbers_that_cannot_be_meant_are_estimated() {
    for (wire, from, to) in [
        (Wire::Anthropic, "\"output_tokens\":5", "\"output_tokens\":5e99"),
        (Wire::Responses, "\"output_tokens\":5", "\"output_tokens\":-5"),
        (Wire::Gemini, "\"candidatesTokenCount\": 5", "\"candidatesTokenCount\": 5.5"),
        (Wire::Completions, "\"completion_tokens\":5", "\"completion_tokens\":\"x\""),
    ] {
        let out = run(wire, &stream(wire).replace(from, to), StreamEnd::Closed);
        // Anthropic's first event had numbers of its own: what is known of the beginning counts.
        let tokens = out.facts.usage.tokens;
        assert!(out.facts.usage.estimated || wire == Wire::Anthropic, "{wire:?}");
        assert!(tokens.completion > 0 && tokens.prompt >= 9, "{wire:?} {tokens:?}");
        if out.facts.usage.estimated {
            assert_eq!(out.text().matches("\"is_estimated\":true").count(), 1, "{wire:?}: {}", out.text());
        }
    }
}

#[test]
fn an_answer_that_its_provider_keeps_keeps_its_id() {
    let stored = RESPONSES.replace("\"model\":\"m\"", "\"model\":\"m\",\"store\":true");
    let out = run(Wire::Responses, &stored, StreamEnd::Closed);
    assert!(out.text().contains("\"id\":\"resp_1\"") && !out.text().contains("gen-1-x"), "{}", out.text());
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same_stream(
        which in 0..Wire::ALL.len(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9), native: bool,
    ) {
        let wire = Wire::ALL[which];
        let text = stream(wire).as_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
        cuts.sort_unstable();
        let mut chunks = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([text.len()]) {
            chunks.push(&text[from..cut]);
            from = cut;
        }
        let whole = wire.relay(native).run([text], StreamEnd::Closed);
        let split = wire.relay(native).run(chunks, StreamEnd::Closed);
        prop_assert_eq!(split.text(), whole.text());
        prop_assert_eq!(split.facts, whole.facts);
        prop_assert_eq!(split.written, whole.written);
    }
}
