//! Recorded traffic, passed on: it says what it said, and the facts are those that the format's own decoder
//! finds.

use serde_json::Value;

use super::super::{
    StreamEnd,
    testing::{Out, Wire, finish},
};
use crate::{
    chat::{Answer, Part, PartKind},
    dialect::{
        fields::mutants,
        openai_common::finish_reason,
        testing::{Record, records},
    },
    framing::edit::apply,
    routing::fallback::Cause,
};

/// Recorded streams; an array is another framing, which is not passed on.
fn streams(wire: Wire) -> Vec<(String, Vec<u8>)> {
    let sse = |record: &Record| record.status == 200 && record.framing == "sse";
    let named = |record: Record| Some((record.name, record.text?.into_bytes()));
    records(wire.dialect()).into_iter().filter(sse).filter_map(named).collect()
}

/// What the gateway found, against what a decoder finds in what came in and in what went out.
fn same(wire: Wire, name: &str, facts: &super::super::ResponseFacts, before: &Answer, after: Answer) {
    let ended = before.choices.first().and_then(|choice| choice.finish.as_ref());
    if wire != Wire::Chat {
        assert_eq!(facts.finish_reason.as_deref(), ended.map(|finish| finish.reason.as_str()), "{name}");
        assert_eq!(facts.native_finish_reason.as_deref(), ended.and_then(|finish| finish.native.as_deref()), "{name}");
    } else if let Some(word) = &facts.finish_reason {
        // Chat's facts have the provider's own word, and none from the `finish_details` of old.
        assert_eq!(Some(finish_reason(word)), ended.map(|finish| finish.reason), "{name}");
    }
    assert_eq!(facts.upstream_id, before.id, "{name}");
    assert_eq!(facts.service_tier, before.service_tier, "{name}");
    assert_eq!(facts.usage.estimated, before.usage.is_none(), "{name}");
    if let Some(usage) = &before.usage {
        assert_eq!(facts.usage.tokens, usage.tokens, "{name}");
        // The two parsers of numbers differ in the last digit.
        let rounded = |cost: Option<f64>| cost.map(|cost| (cost * 1e12).round());
        assert_eq!(rounded(facts.usage.provider_cost), rounded(usage.provider_cost), "{name}");
    }
    let kept = before.extra.members.get("store") == Some(&Value::Bool(true));
    assert_eq!(after.id.as_deref(), if kept { before.id.as_deref() } else { Some("gen-1-x") }, "{name}");
    assert_eq!(after.model.as_deref(), Some("a/b"), "{name}");
    // Azure's first chunk of chat has no time yet.
    let dated = |answer: &Answer| answer.created.filter(|created| wire != Wire::Chat || *created > 0);
    if let (Some(before), Some(after)) = (dated(before), dated(&after)) {
        assert_eq!(after, before, "{name}");
    }
    assert_eq!(plain(&after), plain(before), "{name}");
    let usage = after.usage.unwrap_or_else(|| panic!("{name}: no usage"));
    assert_eq!(usage.tokens, facts.usage.tokens, "{name}");
    let cost = finish().cost(&facts.usage.tokens).unwrap().total.to_string().parse::<f64>().unwrap();
    // Gemini's decoder reads no cost: its providers tell none.
    if usage.provider_cost.is_some() {
        assert_eq!(usage.provider_cost, Some(cost), "{name}");
    }
    // Gemini's decoder spells all members alike.
    let story = ["openrouter_metadata", "openrouterMetadata"].iter().find_map(|key| after.extra.members.get(*key));
    assert_eq!(story.map(Value::to_string).as_deref(), Some("{\"story\":1}"), "{name}");
}

/// What is said; the gateway adds the word for the end to the choices of completions.
fn plain(answer: &Answer) -> Vec<(&[Part], Option<&str>)> {
    let of = |finish: &crate::chat::Finish| finish.reason.as_str();
    answer.choices.iter().map(|choice| (&choice.parts[..], choice.finish.as_ref().map(of))).collect()
}

/// Calls that Gemini gives no id get one of the answer's name, which is not the same afterwards.
fn unnamed(mut answer: Answer) -> Answer {
    for part in answer.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
        if let PartKind::ToolCall(call) = &mut part.kind {
            call.id.clear();
        }
    }
    answer
}

fn comparable(wire: Wire, answer: Answer) -> Answer {
    if wire == Wire::Gemini { unnamed(answer) } else { answer }
}

fn cost_is_told(name: &str, out: &Out) {
    assert_eq!(out.text().matches("\"cost\":").count(), 1, "{name}: {}", out.text());
}

#[test]
fn answers_say_what_they_said() {
    for wire in Wire::ALL {
        let mut passed = 0;
        for record in records(wire.dialect()) {
            let (200, Some(body)) = (record.status, record.body) else { continue };
            let bytes = body.to_string().into_bytes();
            match (wire.decode_answer(body), wire.read_answer(&bytes)) {
                (Ok(before), Ok(answer)) => {
                    let out = apply(&bytes, &answer.edits);
                    let after: Value = serde_json::from_slice(&out).unwrap();
                    let usage = after.get("usage").or_else(|| after.get("usageMetadata")).unwrap();
                    assert!(usage["cost"].is_number() && usage["cost_details"].is_object(), "{}", record.name);
                    assert_eq!((&after["provider"], &usage["is_byok"]), (&Value::from("P"), &Value::from(false)));
                    let after = wire.decode_answer(after).unwrap();
                    same(wire, &record.name, &answer.facts, &comparable(wire, before), comparable(wire, after));
                }
                (Err(before), Err((_, after))) => assert_eq!(after, before, "{}", record.name),
                (before, after) => panic!("{}: {before:?}, but {after:?}", record.name),
            }
            passed += 1;
        }
        println!("{passed} answers of {}", wire.dialect());
    }
}

#[test]
fn streams_say_what_they_said_however_they_are_cut() {
    for wire in Wire::ALL {
        let mut passed = 0;
        for (name, bytes) in streams(wire) {
            let out = wire.relay(false).run([&bytes[..]], StreamEnd::Closed);
            match wire.decode(&bytes) {
                Ok(before) => {
                    assert_eq!(out.failure, None, "{name}");
                    assert!(out.first.is_some(), "{name}");
                    if wire != Wire::Chat {
                        // Routers of chat have costs of their own elsewhere in their answers.
                        cost_is_told(&name, &out);
                    }
                    let after = wire.decode(&out.bytes).unwrap_or_else(|error| panic!("{name}: {error:?}"));
                    same(wire, &name, &out.facts, &comparable(wire, before), comparable(wire, after));
                }
                Err(error) => {
                    let (cause, told) = out.failure.clone().unwrap();
                    assert!(told == error || cause == Cause::Connection, "{name}: {told:?}, but {error:?}");
                    assert!(wire.decode(&out.bytes).is_err(), "{name}: {}", out.text());
                }
            }
            for step in [1, 7, 64, 1021] {
                let again = wire.relay(false).run(bytes.chunks(step), StreamEnd::Closed);
                assert_eq!(again.text(), out.text(), "{name} by {step}");
                assert_eq!((&again.facts, again.written), (&out.facts, out.written), "{name} by {step}");
            }
            let thorough = wire.relay(false).thorough().run([&bytes[..]], StreamEnd::Closed);
            assert_eq!(thorough.text(), out.text(), "{name}: read throughout");
            assert_eq!((&thorough.facts, thorough.written), (&out.facts, out.written), "{name}: read throughout");
            let native = wire.relay(true).run([&bytes[..]], StreamEnd::Closed);
            assert_eq!((&native.facts, native.first), (&out.facts, out.first), "{name}: native");
            assert_eq!(native.bytes.is_empty(), out.failure.is_none(), "{name}: native");
            passed += 1;
        }
        println!("{passed} streams of {}", wire.dialect());
    }
}

/// Ends of events at about these shares of a stream.
fn places(bytes: &[u8]) -> Vec<usize> {
    let ends: Vec<usize> =
        (2..bytes.len()).filter(|at| bytes[..*at].ends_with(b"\n\n") || bytes[..*at].ends_with(b"\r\n\r\n")).collect();
    [0, 1, 2, 3, 5, 8].iter().filter_map(|eighths| ends.get(ends.len() * eighths / 9).copied()).collect()
}

#[test]
fn a_stream_that_breaks_off_ends_in_an_error() {
    for wire in Wire::ALL {
        let mut passed = 0;
        for (name, bytes) in streams(wire) {
            for at in places(&bytes) {
                for (cut, end) in [(at, StreamEnd::Closed), (at + 5, StreamEnd::Broken), (at, StreamEnd::TimedOut)] {
                    let cut = &bytes[..cut.min(bytes.len())];
                    let out = wire.relay(false).run([cut], end);
                    assert_eq!(wire.decode(&out.bytes).is_err(), out.failure.is_some(), "{name}: {}", out.text());
                    assert!(out.failure.is_some() || end == StreamEnd::Closed || wire != Wire::Gemini, "{name}");
                    if out.failure.is_some() {
                        assert_eq!(out.facts.finish_reason.as_deref(), Some("error"), "{name}");
                        let usage = out.facts.usage;
                        assert!(!usage.estimated || usage.tokens.completion >= out.written, "{name}");
                    }
                    passed += 1;
                }
            }
        }
        println!("{passed} broken streams of {}", wire.dialect());
    }
}

#[test]
fn a_stream_whose_budget_is_used_up_is_an_answer_that_grew_too_long() {
    for wire in Wire::ALL {
        let mut passed = 0;
        for (name, bytes) in streams(wire) {
            let Ok(whole) = wire.decode(&bytes) else { continue };
            for (at, native) in places(&bytes).into_iter().chain([0]).zip([false, true].into_iter().cycle()) {
                let out = wire.relay(native).run([&bytes[..at]], StreamEnd::OutOfBudget);
                let shown = if native { [&bytes[..at], &out.bytes[..]].concat() } else { out.bytes.clone() };
                let answer =
                    wire.decode(&shown).unwrap_or_else(|error| panic!("{name} at {at}: {error:?} {}", out.text()));
                let reason = answer.choices[0].finish.as_ref().unwrap().reason.as_str();
                let ended = out.facts.finish_reason.as_deref();
                assert_eq!(Some(reason), ended, "{name} at {at}");
                // Some say early on how they will end.
                let over = wire.decode(&bytes[..at]).ok();
                // Chat's relay takes an answer for whole when one of several is.
                if whole.choices.len() == 1 {
                    assert_eq!(ended, over.as_ref().map_or(Some("length"), out_of), "{name} at {at}");
                }
                for (cut, whole) in words(&answer).iter().zip(words(&whole)) {
                    assert!(whole.starts_with(cut.as_str()), "{name} at {at}: {cut} {whole}");
                }
                passed += 1;
            }
        }
        println!("{passed} streams cut short of {}", wire.dialect());
    }
}

fn out_of(answer: &Answer) -> Option<&'static str> {
    answer.choices.first().and_then(|choice| choice.finish.as_ref()).map(|finish| finish.reason.as_str())
}

fn words(answer: &Answer) -> Vec<String> {
    let word = |part: &Part| match &part.kind {
        PartKind::Text { text, .. } => Some(text.clone()),
        PartKind::ToolCall(call) => Some(call.name.clone()),
        _ => None,
    };
    answer.choices.iter().flat_map(|choice| &choice.parts).filter_map(word).collect()
}

#[test]
fn damage_is_survived() {
    let mut rng = crate::ids::Rng::new(7);
    let mut draw = |of: usize| usize::try_from(rng.next_u64() % of.max(1) as u64).unwrap();
    for wire in Wire::ALL {
        for record in records(wire.dialect()) {
            for mutant in record.body.iter().flat_map(|body| mutants(body, 40)) {
                let bytes = mutant.to_string().into_bytes();
                if let Ok(answer) = wire.read_answer(&bytes) {
                    let out: Value = serde_json::from_slice(&apply(&bytes, &answer.edits)).unwrap();
                    assert!(out.get("usage").or_else(|| out.get("usageMetadata")).unwrap()["cost"].is_number());
                }
            }
        }
        for (_, bytes) in streams(wire) {
            for _ in 0..8 {
                let mut damaged = bytes.clone();
                let at = draw(damaged.len());
                match draw(4) {
                    0 => damaged.truncate(at),
                    1 => damaged[at] = b"\"{}[]:,\n0\xff"[draw(10)],
                    2 => drop(damaged.splice(at..at, *b"<html>\n\n")),
                    _ => drop(damaged.drain(at..(at + 40).min(bytes.len()))),
                }
                for end in [StreamEnd::Closed, StreamEnd::OutOfBudget, StreamEnd::ClientGone] {
                    let out = wire.relay(false).run(damaged.chunks(100), end);
                    assert!(out.cost.is_some());
                }
            }
        }
    }
}
