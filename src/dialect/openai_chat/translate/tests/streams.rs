//! Streams of our own, both ways.

use serde_json::{Value, json};

use super::{super::*, chunks, collected, events, names, written};
use crate::{
    chat::{Block, Delta, Event, Finish, FinishReason, PartKind, ProviderError, ReasoningFormat},
    dialect::Names,
    error::ErrorKind,
};

/// A stream of these deltas, each `{delta, finish_reason, ...}` of one choice.
fn stream(choices: &[Value], more: &str) -> String {
    let chunk =
        |choice: &Value| format!("data: {}\n\n", json!({ "id": "c", "model": "m", "created": 5, "choices": [choice] }));
    choices.iter().map(chunk).collect::<String>() + more
}

fn delta(delta: &Value) -> Value {
    json!({ "index": 0, "delta": delta, "finish_reason": null })
}

fn end(word: &str) -> Value {
    json!({ "index": 0, "delta": {}, "finish_reason": word })
}

const DONE: &str = "data: [DONE]\n\n";

fn seen(choices: &[Value], more: &str) -> Vec<Event> {
    events(stream(choices, more).as_bytes(), 9)
}

#[test]
fn thoughts_words_and_calls_are_blocks() {
    let call = |index: u64, more: Value| {
        let mut call = json!({ "index": index });
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        delta(&json!({ "tool_calls": [call] }))
    };
    let seen = seen(
        &[
            delta(&json!({ "role": "assistant", "content": "" })),
            delta(&json!({ "reasoning": "h" })),
            delta(&json!({ "reasoning_content": "m" })),
            delta(&json!({ "content": "yes" })),
            call(0, json!({ "id": "c1", "function": { "name": "f", "arguments": "" } })),
            call(1, json!({ "id": "c2", "function": { "name": "g", "arguments": "{" } })),
            call(0, json!({ "function": { "arguments": "{}" } })),
            call(1, json!({ "function": { "arguments": "}" } })),
            end("tool_calls"),
        ],
        DONE,
    );
    let open = |block, kind| Event::Open { block, choice: 0, kind };
    let tool = |id: &str, name: &str| Block::ToolCall { id: id.to_owned(), name: name.to_owned(), custom: false };
    let more = |block, delta| Event::Delta { block, delta };
    let arguments = |text: &str| Delta::Arguments(text.to_owned());
    assert_eq!(
        seen,
        [
            Event::Start { id: Some("c".to_owned()), model: Some("m".to_owned()), created: Some(5) },
            open(0, Block::Reasoning { id: None, format: None }),
            more(0, Delta::Reasoning("h".to_owned())),
            more(0, Delta::Reasoning("m".to_owned())),
            Event::Close { block: 0 },
            open(1, Block::Text),
            more(1, Delta::Text("yes".to_owned())),
            Event::Close { block: 1 },
            open(2, tool("c1", "f")),
            open(3, tool("c2", "g")),
            more(3, arguments("{")),
            more(2, arguments("{}")),
            more(3, arguments("}")),
            Event::Close { block: 2 },
            Event::Close { block: 3 },
            Event::Finish { choice: 0, finish: Finish::new(FinishReason::ToolCalls, "tool_calls") },
        ]
    );
}

#[test]
fn calls_are_told_apart_whatever_their_index() {
    for calls in [
        vec![
            json!([{ "index": 0, "id": "a", "function": { "name": "f", "arguments": "1" } }]),
            json!([{ "index": 0, "id": "b", "function": { "name": "g", "arguments": "2" } }]),
        ],
        vec![
            json!([{ "id": "a", "function": { "name": "f", "arguments": "1" } }, { "id": "b", "function": { "name": "g", "arguments": "2" } }]),
        ],
        vec![
            json!([{ "index": 0, "id": "a" }]),
            json!([{ "index": 0, "function": { "name": "f", "arguments": "1" } }]),
            json!([{ "index": 1, "id": "b", "function": { "name": "g", "arguments": 2 } }]),
        ],
        vec![
            json!([{ "index": 0, "id": "a", "function": { "name": "f" } }]),
            json!([{ "index": 0, "id": "a", "function": { "name": "f", "arguments": "1" } }]),
            json!([{ "index": 1, "id": "b", "function": { "name": "g", "arguments": "2" } }]),
        ],
    ] {
        let mut choices: Vec<_> = calls.iter().map(|calls| delta(&json!({ "tool_calls": calls }))).collect();
        choices.push(end("tool_calls"));
        let answer = collected(&seen(&choices, DONE)).unwrap();
        let read: Vec<_> = answer.choices[0]
            .parts
            .iter()
            .map(|part| match &part.kind {
                PartKind::ToolCall(call) => (call.id.as_str(), call.name.as_str(), call.arguments.as_str()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(read, [("a", "f", "1"), ("b", "g", "2")], "{calls:?}");
    }
}

#[test]
fn details_of_thoughts_make_blocks_of_their_own() {
    let detail = |detail: Value| delta(&json!({ "reasoning": "ignored", "reasoning_details": [detail] }));
    let claude = |members: Value| {
        let mut entry = json!({ "type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0 });
        entry.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        detail(entry)
    };
    let answer = collected(&seen(
        &[
            claude(json!({ "text": "h" })),
            claude(json!({ "text": "m" })),
            delta(&json!({ "reasoning_details": [{ "type": "reasoning.text", "signature": "s", "format": "anthropic-claude-v1", "index": 0 }] })),
            claude(json!({ "text": "next", "index": 1 })),
            detail(json!({ "type": "reasoning.summary", "summary": "one", "format": "openai-responses-v1", "index": 2 })),
            detail(json!({ "type": "reasoning.summary", "summary": "two", "format": "openai-responses-v1", "index": 3 })),
            delta(&json!({ "reasoning_details": [{ "type": "reasoning.encrypted", "data": "e", "format": "openai-responses-v1", "index": 4 }] })),
            delta(&json!({ "reasoning_details": [{ "type": "reasoning.encrypted", "data": "mark", "format": "google-gemini-v1", "id": "c1", "index": 5 }] })),
            delta(&json!({ "tool_calls": [{ "index": 0, "id": "c1", "function": { "name": "f", "arguments": "{}" } }] })),
            end("tool_calls"),
        ],
        DONE,
    ))
    .unwrap();
    let [first, second, third, call] = answer.choices[0].parts.as_slice() else {
        panic!("{:?}", answer.choices[0].parts)
    };
    let thought = |part: &crate::chat::Part| {
        if let PartKind::Reasoning(reasoning) = &part.kind { reasoning.clone() } else { panic!() }
    };
    assert_eq!((thought(first).text.as_deref(), thought(first).signature.as_deref()), (Some("hm"), Some("s")));
    assert_eq!(
        (thought(second).text.as_deref(), thought(second).format),
        (Some("next"), Some(ReasoningFormat::Anthropic))
    );
    assert_eq!(
        (thought(third).summary, thought(third).encrypted.as_deref()),
        (vec!["one".to_owned(), "two".to_owned()], Some("e"))
    );
    assert!(matches!(&call.kind, PartKind::ToolCall(call) if call.signature.as_deref() == Some("mark")));
}

#[test]
fn a_stream_without_its_end_is_broken() {
    let words = delta(&json!({ "content": "a" }));
    let broken = |events: &[Event]| collected(events).unwrap_err();
    assert_eq!(broken(&seen(&[], "")), ProviderError::default());
    assert_eq!(broken(&seen(&[], DONE)), ProviderError::default());
    assert_eq!(broken(&seen(std::slice::from_ref(&words), "")), ProviderError::default());
    assert_eq!(broken(&seen(std::slice::from_ref(&words), "data: {\"choi\n\n")), ProviderError::default());
    let error = "event: error\ndata: {\"message\":\"too busy\",\"code\":503}\n\ndata: [DONE]\n\n";
    assert_eq!(broken(&seen(std::slice::from_ref(&words), error)).status, Some(503));
    assert!(collected(&seen(&[words.clone(), end("stop")], "")).is_ok(), "without [DONE]");
    assert!(collected(&seen(&[words], DONE)).is_ok(), "without a finish reason");
}

#[test]
fn nothing_is_read_after_the_end() {
    let after = format!("{DONE}data: {{\"error\":\"x\"}}\n\ndata: nonsense\n\n");
    assert!(collected(&seen(&[delta(&json!({ "content": "a" })), end("stop")], &after)).is_ok());
}

#[test]
fn usage_is_read_wherever_it_stands() {
    let words = [delta(&json!({ "content": "a" })), end("stop")];
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": 2 });
    for more in [
        format!("data: {}\n\n{DONE}", json!({ "choices": [], "usage": usage })),
        format!("data: {}\n\n{DONE}", json!({ "choices": [{ "index": 0, "delta": {}, "usage": usage }] })),
        format!("data: {}\n\n{DONE}", json!({ "x_groq": { "usage": usage } })),
        format!(
            "data: {}\n\ndata: {}\n\n",
            json!({ "usage": { "prompt_tokens": 3, "completion_tokens": 1 } }),
            json!({ "usage": usage })
        ),
    ] {
        let tokens = collected(&seen(&words, &more)).unwrap().usage.unwrap().tokens;
        assert_eq!((tokens.prompt, tokens.completion), (3, 2), "{more}");
    }
}

#[test]
fn a_client_gets_the_end_with_usage_and_cost() {
    let usage = format!(
        "data: {}\n\n{DONE}",
        json!({ "choices": [], "usage": { "prompt_tokens": 3, "completion_tokens": 2 } })
    );
    let seen = seen(&[delta(&json!({ "content": "a\"b" })), delta(&json!({ "content": "c" })), end("length")], &usage);
    let extra = json!({ "openrouter_metadata": { "x": 1 } }).as_object().unwrap().clone();
    let out = written(&seen, Names { extra, ..names() });
    let chunks = chunks(&out);
    assert!(
        chunks.iter().all(|c| c["id"] == "gen-1" && c["model"] == "a/b" && c["provider"] == "P" && c["created"] == 5)
    );
    let [first, second, end, closing] = chunks.as_slice() else { panic!("{chunks:?}") };
    assert_eq!(first["choices"][0]["delta"], json!({ "role": "assistant", "content": "a\"b" }));
    assert_eq!(second["choices"][0]["delta"], json!({ "content": "c" }));
    assert_eq!(
        (&end["choices"][0]["finish_reason"], &end["choices"][0]["native_finish_reason"]),
        (&json!("length"), &json!("length"))
    );
    assert_eq!(
        (&closing["choices"], &closing["usage"]["cost"], &closing["openrouter_metadata"]["x"]),
        (&json!([]), &json!(0.5), &json!(1))
    );
    assert!(out.ends_with(DONE.as_bytes()));
}

#[test]
fn a_broken_answer_ends_with_an_error_and_not_with_done() {
    let mut encoder = Encoder::new(names());
    let mut out = Vec::new();
    encoder.fail(&crate::error::Error::new(ErrorKind::ProviderOverloaded, "too busy"), &mut out);
    let chunk = &chunks(&out)[0];
    assert_eq!((&chunk["error"]["code"], &chunk["error"]["message"]), (&json!(503), &json!("too busy")));
    assert_eq!(
        (&chunk["choices"][0]["finish_reason"], &chunk["error"]["metadata"]["provider_name"]),
        (&json!("error"), &json!("P"))
    );
    assert!(!String::from_utf8(out).unwrap().contains("[DONE]"));
}

#[test]
fn media_that_come_in_pieces_are_shown_whole_or_in_pieces() {
    let picture = super::super::media::medium(
        crate::chat::MediaKind::Image,
        Some("image/png".to_owned()),
        crate::chat::MediaSource::Base64(String::new()),
    );
    let sound = super::super::media::medium(
        crate::chat::MediaKind::Audio,
        None,
        crate::chat::MediaSource::Base64(String::new()),
    );
    let events = [
        Event::Open { block: 0, choice: 0, kind: Block::Media(picture) },
        Event::Delta { block: 0, delta: Delta::Media("iV".to_owned()) },
        Event::Delta { block: 0, delta: Delta::Media("BO".to_owned()) },
        Event::Close { block: 0 },
        Event::Open { block: 1, choice: 0, kind: Block::Media(sound) },
        Event::Delta { block: 1, delta: Delta::Transcript("la".to_owned()) },
        Event::Delta { block: 1, delta: Delta::Media("AAAA".to_owned()) },
        Event::Close { block: 1 },
    ];
    let chunks = chunks(&written(&events, names()));
    assert_eq!(chunks[0]["choices"][0]["delta"]["images"][0]["image_url"]["url"], "data:image/png;base64,iVBO");
    assert_eq!(chunks[1]["choices"][0]["delta"]["audio"]["transcript"], "la");
    assert_eq!(chunks[2]["choices"][0]["delta"]["audio"]["data"], "AAAA");
    assert_eq!(chunks[3]["choices"][0]["finish_reason"], "stop");
}

#[test]
fn the_clients_request_shapes_its_stream() {
    let choices = [
        delta(&json!({ "reasoning": "hm" })),
        delta(&json!({ "tool_calls": [{ "index": 0, "id": "c", "function": { "name": "f", "arguments": "{}" } }] })),
        end("tool_calls"),
    ];
    let request = Some(json!({ "functions": [{ "name": "f" }], "reasoning": { "exclude": true } }));
    let chunks = chunks(&written(&seen(&choices, DONE), Names { request, ..names() }));
    let deltas: Vec<_> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
    assert_eq!(deltas[0]["function_call"], json!({ "name": "f", "arguments": "" }));
    assert_eq!(deltas[1], &json!({ "function_call": { "arguments": "{}" } }));
    assert_eq!(chunks[2]["choices"][0]["finish_reason"], "function_call");
}

#[test]
fn a_connection_is_kept_open_by_comments() {
    let mut out = Vec::new();
    Encoder::keep_alive(&mut out);
    assert!(out.starts_with(b":") && out.ends_with(b"\n\n"));
}
