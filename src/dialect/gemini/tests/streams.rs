//! Streams, both ways.

use super::*;

fn decoded(frames: &[Value]) -> Vec<Event> {
    let (mut decoder, mut out) = (Decoder::default(), Vec::new());
    for frame in frames {
        decoder.push(&Frame { event: None, data: frame.to_string().as_bytes() }, &mut out);
    }
    decoder.finish(&mut out);
    out
}

fn frame(parts: Value) -> Value {
    json!({"candidates": [{"content": {"parts": parts, "role": "model"}}], "responseId": "r1", "modelVersion": "g"})
}

#[test]
fn a_stream_has_blocks_where_google_has_none() {
    let events = decoded(&[
        frame(json!([{"text": "hm", "thought": true}])),
        frame(json!([{"text": "m", "thought": true}])),
        frame(json!([{"text": "né"}])),
        frame(json!([{"text": " y", "thoughtSignature": "bQ=="}])),
        frame(json!([{"functionCall": {"name": "f"}}])),
        json!({"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 1}}),
    ]);
    let block = |block, kind| Event::Open { block, choice: 0, kind };
    let delta = |block, delta| Event::Delta { block, delta };
    let format = Some(ReasoningFormat::Gemini);
    let tokens = Tokens { prompt: 1, ..Tokens::default() };
    let usage = Usage { tokens, ..Usage::default() };
    let native = Some((Wire::Gemini, json!({"promptTokenCount": 1})));
    assert_eq!(
        events,
        [
            Event::Start { id: Some("r1".into()), model: Some("g".into()), created: None },
            block(0, Block::Reasoning { id: None, format }),
            delta(0, Delta::Reasoning("hm".into())),
            delta(0, Delta::Reasoning("m".into())),
            Event::Close { block: 0 },
            block(1, Block::Text),
            delta(1, Delta::Text("né".into())),
            delta(1, Delta::Text(" y".into())),
            block(2, Block::Reasoning { id: None, format }),
            delta(2, Delta::Encrypted("bQ==".into())),
            Event::Close { block: 2 },
            Event::Close { block: 1 },
            block(3, Block::ToolCall { id: "call_r1_0".into(), name: "f".into(), custom: false }),
            delta(3, Delta::Arguments("{}".into())),
            Event::Close { block: 3 },
            Event::Usage(usage.clone()),
            Event::Finish { choice: 0, finish: Finish::new(FinishReason::ToolCalls, "STOP") },
            Event::Usage(Usage { native, ..usage }),
        ]
    );
}

#[test]
fn a_stream_says_what_it_rests_on() {
    let mut last = frame(json!([{"text": " y", "thoughtSignature": "bQ=="}]));
    last["candidates"][0]["finishReason"] = "STOP".into();
    last["candidates"][0]["groundingMetadata"] = json!({
        "groundingChunks": [{"web": {"uri": "https://x.example", "title": "X"}}],
        "groundingSupports": [{"segment": {"startIndex": 4, "endIndex": 5, "text": "y"}, "groundingChunkIndices": [0, 7]}],
        "webSearchQueries": ["q"],
    });
    let events = decoded(&[frame(json!([{"text": "né"}])), last]);
    let citation = Citation {
        url: Some("https://x.example".into()),
        title: Some("X".into()),
        start: Some(3),
        end: Some(4),
        ..Citation::default()
    };
    assert!(events.contains(&Event::Delta { block: 0, delta: Delta::Citation(citation.clone()) }), "{events:?}");
    // As a client of the format is told.
    let mut encoder = Encoder::new(names());
    let mut bytes = Vec::new();
    for event in &events {
        encoder.push(event, &mut bytes);
    }
    encoder.end(None, Map::new(), &mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains(r#""segment":{"startIndex":4,"endIndex":5,"text":"y"}"#), "{text}");
}

#[test]
fn broken_streams_end_in_one_error() {
    let part = || frame(json!([{"text": "x"}]));
    for frames in [
        vec![],
        vec![part()],
        vec![part(), json!({"error": {"code": 503, "message": "busy"}}), part()],
        vec![part(), json!([{"error": {"code": 503, "message": "busy"}}])],
        vec![part(), json!("x"), part()],
        vec![json!({"candidates": [{"content": {"parts": [{"text": 4}]}}]})],
        vec![frame(json!([{"functionCall": {"willContinue": true}}]))],
    ] {
        let events = decoded(&frames);
        assert!(matches!(events.last(), Some(Event::Error(_))), "{frames:?}");
        assert_eq!(events.iter().filter(|event| matches!(event, Event::Error(_))).count(), 1);
        assert!(!events.iter().any(|event| matches!(event, Event::Finish { .. })));
    }
    let (mut decoder, mut out) = (Decoder::default(), Vec::new());
    decoder.push(&Frame { event: None, data: b"{\"candidates\":[" }, &mut out);
    decoder.finish(&mut out);
    assert_eq!(out, [Event::Error(ProviderError::default())]);
}

#[test]
fn bare_errors_between_events_are_seen() {
    assert_eq!(event_data(b"data: {}\r\n\r\n").as_deref(), Some(&b"{}"[..]));
    assert_eq!(event_data(b"{\n \"error\": {}\n}\n").as_deref(), Some(&b"{\n \"error\": {}\n}\n"[..]));
    assert_eq!(event_data(b": comment\n\n"), None);
    assert_eq!(event_data(b""), None);
}

fn streamed(alt: &str) -> String {
    let mut encoder = Encoder::new(Names { request: Some(json!({"alt": alt})), ..names() });
    let mut out = Vec::new();
    let reasoning = Block::Reasoning { id: None, format: Some(ReasoningFormat::Openai) };
    let image = Media {
        kind: MediaKind::Image,
        mime: Some("image/png".into()),
        source: MediaSource::Base64(String::new()),
        name: None,
        detail: None,
        transcript: None,
    };
    for event in [
        Event::Start { id: None, model: None, created: None },
        Event::Open { block: 0, choice: 0, kind: reasoning },
        Event::Delta { block: 0, delta: Delta::Summary(0, "a".into()) },
        Event::Delta { block: 0, delta: Delta::Summary(1, "b".into()) },
        Event::Close { block: 0 },
        Event::Open { block: 1, choice: 0, kind: Block::Text },
        Event::Delta { block: 1, delta: Delta::Text("\"é\"\n".into()) },
        Event::Open { block: 2, choice: 0, kind: Block::ToolCall { id: "t1".into(), name: "f".into(), custom: false } },
        Event::Delta { block: 2, delta: Delta::Arguments("{\"a\"".into()) },
        Event::Delta { block: 2, delta: Delta::Arguments(":1}".into()) },
        Event::Close { block: 1 },
        Event::Close { block: 2 },
        Event::Open { block: 3, choice: 0, kind: Block::Media(image) },
        Event::Delta { block: 3, delta: Delta::Media("AAAA".into()) },
        Event::Finish { choice: 0, finish: Finish::new(FinishReason::ToolCalls, "tool_calls") },
        Event::Ping,
    ] {
        encoder.push(&event, &mut out);
    }
    let mut cost = Map::new();
    cost.insert("cost".into(), json!(0.5));
    let usage = Usage { tokens: Tokens { prompt: 1, completion: 2, ..Tokens::default() }, ..Usage::default() };
    encoder.end(Some(&usage), cost, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_stream_is_written_for_the_official_sdks() {
    let sse = streamed("sse");
    let frames: Vec<Value> = sse
        .split("\r\n\r\n")
        .filter_map(|event| serde_json::from_str(event.trim().strip_prefix("data: ")?).ok())
        .collect();
    let parts: Vec<Value> = frames.iter().map(|frame| frame["candidates"][0]["content"]["parts"][0].clone()).collect();
    assert_eq!(
        parts,
        [
            json!({"text": "a", "thought": true}),
            json!({"text": "\n\n", "thought": true}),
            json!({"text": "b", "thought": true}),
            json!({"text": "\"é\"\n"}),
            json!({"functionCall": {"id": "t1", "name": "f", "args": {"a": 1}}}),
            json!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}}),
            json!({"text": ""}),
        ]
    );
    assert!(frames.iter().all(|frame| frame["responseId"] == "gen-1" && frame["modelVersion"] == "a/m"));
    let last = frames.last().unwrap();
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    assert_eq!(
        last["usageMetadata"],
        json!({"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3, "cost": 0.5})
    );
    // Nothing but events and empty lines.
    assert!(sse.lines().all(|line| line.is_empty() || line.starts_with("data: ")));
    let array: Value = serde_json::from_str(&streamed("json")).unwrap();
    assert_eq!(array.as_array().unwrap(), &frames);
}

#[test]
fn a_stream_that_fails_ends_honestly() {
    let error = Error::new(ErrorKind::ProviderUnavailable, "gone");
    for alt in ["sse", "json"] {
        let mut encoder = Encoder::new(Names { request: Some(json!({"alt": alt})), ..names() });
        let mut out = Vec::new();
        encoder.push(&Event::Open { block: 0, choice: 0, kind: Block::Text }, &mut out);
        encoder.push(&Event::Delta { block: 0, delta: Delta::Text("x".into()) }, &mut out);
        encoder.fail(&error, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains("finishReason"));
        if alt == "json" {
            let array: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(array[1]["error"]["code"], 502);
        } else {
            let (_, bare) = text.split_once("\r\n\r\n").unwrap();
            assert_eq!(serde_json::from_str::<Value>(bare).unwrap()["error"]["status"], "UNAVAILABLE");
        }
    }
}

#[test]
fn two_answers_in_one_stream_are_kept_apart() {
    let both = |a: &str, b: &str, end: bool| {
        let one = |index: u32, text: &str| {
            let mut candidate = json!({"index": index, "content": {"parts": [{"text": text}]}});
            if end {
                candidate["finishReason"] = "STOP".into();
            }
            candidate
        };
        json!({"candidates": [one(0, a), one(1, b)]})
    };
    let mut collector = Collector::default();
    for event in decoded(&[both("a", "c", false), both("b", "d", true)]) {
        collector.push(event);
    }
    let answer = collector.finish().unwrap();
    let texts: Vec<_> = answer.choices.iter().map(|choice| choice.parts.clone()).collect();
    assert_eq!(texts, [vec![Part::text("ab")], vec![Part::text("cd")]]);
}
