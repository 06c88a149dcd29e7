//! How streams end: well, broken, cut short, or with nobody listening.

use serde_json::json;

use super::{
    super::{
        Finish, StreamEnd,
        testing::{Out, Wire, finish},
    },
    cases::{ANTHROPIC, GEMINI, RESPONSES, data, run, stream},
};
use crate::{
    dialect::{anthropic_messages, gemini, openai_responses},
    routing::fallback::Cause,
    time::Millis,
};

#[test]
fn what_is_no_event_of_an_answer_ends_it() {
    for wire in Wire::ALL {
        let begun = stream(wire).find("Gr").map_or("", |at| &stream(wire)[..at]);
        let begun = begun.rfind("\n\n").map_or("", |at| &begun[..at + 2]);
        for odd in
            ["data: <html>502</html>\n\n", "data: {\"type\":\"res\n\n", "data: [1]\n\n", "data: {\"a\":1} {}\n\n"]
        {
            let out = run(wire, &format!("{begun}{odd}{}", stream(wire)), StreamEnd::Closed);
            assert_eq!(out.failure.as_ref().unwrap().0, Cause::Malformed, "{wire:?}: {odd}");
            assert!(wire.decode(&out.bytes).is_err() && !out.text().contains("html"), "{wire:?}: {}", out.text());
            assert_eq!(out.first, None, "another provider may still take over");
        }
        let out = run(wire, "", StreamEnd::Closed);
        assert_eq!(out.failure.as_ref().unwrap().0, Cause::Connection, "{wire:?}");
        let out = run(wire, stream(wire), StreamEnd::Stopped);
        assert_eq!(out.failure.map(|(cause, _)| cause), (wire == Wire::Gemini).then_some(Cause::Stopped), "{wire:?}");
    }
}

#[test]
fn a_missing_last_event_is_made_good_once_the_end_is_known() {
    let at = ANTHROPIC.find("event: message_stop").unwrap();
    let out = run(Wire::Anthropic, &ANTHROPIC[..at], StreamEnd::Closed);
    assert!(
        out.failure.is_none() && out.text().ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
    );
    let out = run(Wire::Anthropic, &ANTHROPIC[..at], StreamEnd::Broken);
    assert!(out.failure.is_some() && out.text().contains("event: error") && !out.text().contains("message_stop"));
    assert!(out.text().contains("end_turn"), "what was held back is told all the same");
}

#[test]
fn a_text_cut_off_is_repeated_in_the_events_that_end_it() {
    let at = RESPONSES.find("event: response.output_item.done").unwrap();
    let out = run(Wire::Responses, &RESPONSES[..at], StreamEnd::OutOfBudget);
    let events = data(&out);
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds[4..],
        ["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.incomplete"]
    );
    assert_eq!(events[4]["text"], "Grü\"😀ß");
    assert_eq!(events[6]["item"]["status"], "incomplete");
    let numbers: Vec<u64> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7]);
    let response = &events[7]["response"];
    assert_eq!(response["output"][0], events[6]["item"]);
    assert_eq!(response["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!((&response["id"], &response["usage"]["is_estimated"]), (&json!("gen-1-x"), &json!(true)));
    assert_eq!(out.facts.native_finish_reason.as_deref(), Some("budget_exhausted"));
}

#[test]
fn what_is_known_of_the_beginning_does_not_count_for_an_answer_that_broke() {
    let long = ANTHROPIC.replace("Grüße", &"Grüße ".repeat(20));
    let at = long.find("event: content_block_stop").unwrap();
    for end in [StreamEnd::Closed, StreamEnd::OutOfBudget, StreamEnd::ClientGone] {
        let out = run(Wire::Anthropic, &long[..at], end);
        let usage = out.facts.usage;
        assert!(usage.estimated && out.written > 30, "{end:?}");
        assert_eq!((usage.tokens.prompt, usage.tokens.completion), (10, out.written), "{end:?}");
    }
    let at = GEMINI.find("\r\n\r\n").unwrap() + 4;
    let usage = run(Wire::Gemini, &GEMINI[..at], StreamEnd::Broken).facts.usage;
    assert_eq!((usage.tokens.prompt, usage.tokens.completion, usage.estimated), (10, 1, true));
}

#[test]
fn blocks_that_are_open_are_closed_before_an_answer_is_cut_short() {
    let kinds = |out: &Out| data(out).iter().map(|data| data["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let at = ANTHROPIC.find("event: content_block_stop").unwrap();
    let out = run(Wire::Anthropic, &ANTHROPIC[..at], StreamEnd::OutOfBudget);
    assert_eq!(kinds(&out)[5..], ["content_block_stop", "message_delta", "message_stop"]);
    let delta = data(&out).into_iter().find(|data| data["type"] == "message_delta").unwrap();
    assert_eq!(delta["delta"]["stop_reason"], "max_tokens");
    assert!(
        delta["usage"]["cost"].is_number()
            && delta["usage"]["is_estimated"] == true
            && delta["openrouter_metadata"]["story"] == 1
    );
    let out = run(Wire::Anthropic, "", StreamEnd::OutOfBudget);
    assert_eq!(kinds(&out), ["message_start", "ping", "message_delta", "message_stop"]);
    let out = run(Wire::Responses, "", StreamEnd::OutOfBudget);
    assert_eq!(kinds(&out), ["response.created", "response.in_progress", "response.incomplete"]);
    let out = run(Wire::Gemini, "", StreamEnd::OutOfBudget);
    assert_eq!(data(&out)[0]["candidates"][0]["finishReason"], "MAX_TOKENS");
}

#[test]
fn a_client_that_has_gone_is_told_nothing_more_of_an_answer_that_is_not_whole() {
    for wire in Wire::ALL.into_iter().filter(|wire| !matches!(wire, Wire::Chat | Wire::Completions)) {
        let out = run(wire, "", StreamEnd::ClientGone);
        assert!(out.bytes.is_empty() && out.failure.is_none() && out.facts.finish_reason.is_none(), "{wire:?}");
    }
}

#[test]
fn the_end_is_written_with_what_is_known_then() {
    for (relay, text) in [
        (anthropic_messages::passing::relay(finish(), false), ANTHROPIC),
        (openai_responses::passing::relay(finish(), false), RESPONSES),
        (gemini::passing::relay(finish(), false), GEMINI),
    ] {
        let (mut relay, mut out) = (relay, Vec::new());
        relay.push(text.as_bytes(), Millis(1), &mut out);
        assert!(!String::from_utf8_lossy(&out).contains("openrouter_metadata"));
        relay.rename(Finish { metadata: Some("{\"story\":2}".to_owned()), ..finish() });
        relay.end(StreamEnd::Closed, Millis(2), &mut out);
        let told = String::from_utf8(out).unwrap();
        assert_eq!(told.matches("\"openrouter_metadata\":{\"story\":2}").count(), 1, "{told}");
    }
}
