use super::*;
use crate::chat::{
    Effort, Extra, FinishReason, Format, Media, MediaKind, MediaSource, Part, PartKind, Reasoning, ReasoningFormat,
    Request, Role, Thinking, Tool, ToolCall, ToolChoice, ToolResult, Turn, Wire,
};
use serde_json::json;

fn written(request: &Request) -> (Value, Vec<String>) {
    let encoded = encode_request(request, &target("qwen3:4b", &[])).unwrap();
    (encoded.body, encoded.losses.list().iter().map(|loss| loss.field.clone()).collect())
}

fn refused(request: &Request) -> String {
    encode_request(request, &target("m", &[])).unwrap_err().param.unwrap()
}

fn media(kind: MediaKind, source: MediaSource, name: Option<&str>) -> Part {
    let name = name.map(str::to_owned);
    Part::new(PartKind::Media(Media { kind, mime: None, source, name, detail: None, transcript: None }))
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    Part::new(PartKind::ToolCall(ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        signature: None,
        custom: false,
    }))
}

fn result(id: &str, text: &str) -> Part {
    let (call_id, parts) = (id.to_owned(), vec![Part::text(text)]);
    Part::new(PartKind::ToolResult(ToolResult { call_id, name: None, parts, is_error: false }))
}

fn thoughts(format: Option<ReasoningFormat>) -> Part {
    Part::new(PartKind::Reasoning(Reasoning { text: Some("hm".to_owned()), format, ..Reasoning::default() }))
}

fn function(name: &str) -> Tool {
    let (name, extra) = (name.to_owned(), Extra::default());
    Tool::Function { name, description: None, parameters: None, strict: Some(true), cache: None, extra }
}

#[test]
fn a_conversation_is_written() {
    let request = Request {
        turns: vec![
            Turn::new(Role::System, vec![Part::text("be brief")]),
            Turn::new(
                Role::User,
                vec![
                    Part::text("look"),
                    media(MediaKind::Image, MediaSource::Base64("QUJD".to_owned()), None),
                    media(MediaKind::Document, MediaSource::Text("facts".to_owned()), Some("a.txt")),
                ],
            ),
            Turn::new(
                Role::Assistant,
                vec![
                    thoughts(None),
                    thoughts(Some(ReasoningFormat::Anthropic)),
                    call("1", "f", "{\"x\":1}"),
                    call("2", "g", ""),
                ],
            ),
            Turn::new(Role::User, vec![result("2", "two"), result("1", "one"), Part::text("and?")]),
        ],
        tools: vec![function("f"), function("g")],
        tool_choice: Some(ToolChoice::Among(vec!["f".to_owned()], false)),
        max_tokens: Some(9),
        stop: vec!["END".to_owned()],
        format: Format::Json,
        ..Request::default()
    };
    let (body, losses) = written(&request);
    assert_eq!(
        body,
        json!({
            "model": "qwen3:4b",
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "look\na.txt\nfacts", "images": ["QUJD"]},
                {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [
                    {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}},
                    {"type": "function", "function": {"name": "g", "arguments": {}}},
                ]},
                {"role": "tool", "content": "two", "tool_name": "g"},
                {"role": "tool", "content": "one", "tool_name": "f"},
                {"role": "user", "content": "and?"},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
            "stream": false,
            "format": "json",
            "options": {"num_predict": 9, "stop": ["END"]},
        })
    );
    assert_eq!(losses, ["messages[2].content[1]", "tools[0].strict"]);
}

#[test]
fn thinking_is_a_switch_or_a_level() {
    let levels = ["think_levels".to_owned()];
    let effort = Thinking { effort: Some(Effort::XHigh), ..Thinking::default() };
    let off = Thinking { effort: Some(Effort::None), ..Thinking::default() };
    for (thinking, quirks, think, losses) in [
        (effort.clone(), &levels[..], json!("high"), 0),
        (effort, &[], json!(true), 1),
        (off, &levels, json!(false), 0),
        (Thinking { adaptive: true, ..Thinking::default() }, &levels, json!(true), 0),
    ] {
        let request = Request { thinking: Some(thinking), ..Request::default() };
        let encoded = encode_request(&request, &target("m", quirks)).unwrap();
        assert_eq!((&encoded.body["think"], encoded.losses.list().len()), (&think, losses));
    }
}

#[test]
fn what_changes_the_meaning_is_refused_by_name() {
    let with = |role, part: Part| Request { turns: vec![Turn::new(role, vec![part])], ..Request::default() };
    let foreign = || (Wire::Gemini, json!({}));
    let url = MediaSource::Url("https://h.example/a".to_owned());
    for (request, param) in [
        (with(Role::User, media(MediaKind::Image, url, None)), "messages[0].content[0]"),
        (with(Role::User, media(MediaKind::Audio, MediaSource::Base64(String::new()), None)), "messages[0].content[0]"),
        (with(Role::User, Part::new(PartKind::Foreign(foreign().0, foreign().1))), "messages[0].content[0]"),
        (with(Role::Assistant, call("1", "f", "[]")), "messages[0].content[0].arguments"),
        (Request { format: Format::Foreign(foreign().0, foreign().1), ..Request::default() }, "response_format"),
        (Request { tools: vec![Tool::Foreign(foreign().0, foreign().1)], ..Request::default() }, "tools[0]"),
        (Request { tool_choice: Some(ToolChoice::Required), ..Request::default() }, "tool_choice"),
        (Request { choices: Some(2), ..Request::default() }, "n"),
        (Request { modalities: vec!["image".to_owned()], ..Request::default() }, "modalities"),
    ] {
        assert_eq!(refused(&request), param);
    }
    let none = Request { tools: vec![function("f")], tool_choice: Some(ToolChoice::None), ..Request::default() };
    assert_eq!(written(&none).0.get("tools"), None);
}

#[test]
fn bad_requests_are_refused_by_name() {
    for (body, param) in [
        (json!(7), "body"),
        (json!({}), "model"),
        (json!({"model": "m", "messages": [{"role": "king"}]}), "messages[0].role"),
        (json!({"model": "m", "messages": [{"role": "user", "images": [1]}]}), "messages[0].images[0]"),
        (
            json!({"model": "m", "messages": [{"role": "assistant", "tool_calls": [{}]}]}),
            "messages[0].tool_calls[0].function",
        ),
        (json!({"model": "m", "format": 1}), "format"),
        (json!({"model": "m", "think": "hard"}), "think"),
        (json!({"model": "m", "options": {"temperature": "warm"}}), "options.temperature"),
    ] {
        assert_eq!(decode_request(body).unwrap_err().param.as_deref(), Some(param));
    }
}

#[test]
fn results_find_the_calls_they_answer() {
    let call = |name: &str| json!({"function": {"name": name, "arguments": {}}});
    let tool = |name: &str| json!({"role": "tool", "content": "r", "tool_name": name});
    let body = json!({"model": "m", "messages": [
        {"role": "assistant", "tool_calls": [call("f"), call("g"), call("f")]}, tool("g"), tool("f"), tool("f"), tool("f")
    ]});
    let ids: Vec<String> = decode_request(body)
        .unwrap()
        .turns
        .into_iter()
        .flat_map(|turn| turn.parts)
        .filter_map(|part| match part.kind {
            PartKind::ToolResult(result) => Some(result.call_id),
            _ => None,
        })
        .collect();
    assert_eq!(ids, ["call_1", "call_0", "call_2", "call_3"]);
}

#[test]
fn answers_end_as_they_say() {
    let answer = |more: Value| {
        let mut body =
            json!({"model": "m", "created_at": "2025-08-20T13:48:26.5Z", "message": {"content": "a"}, "done": true});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        decode_answer(body).unwrap()
    };
    let plain = answer(json!({"done_reason": "length", "eval_count": 3}));
    assert_eq!(plain.created, Some(1_755_697_706));
    assert_eq!(plain.choices[0].finish.as_ref().unwrap().reason, FinishReason::Length);
    assert_eq!(plain.usage.unwrap().tokens.completion, 3);
    assert_eq!(answer(json!({"eval_count": -1})).usage, None);
    assert_eq!(answer(json!({})).usage, None);
    let called = answer(json!({"message": {"tool_calls": [{"function": {"name": "f"}}]}, "done_reason": "stop"}));
    let finish = called.choices[0].finish.as_ref().unwrap();
    assert_eq!((finish.reason, finish.native.as_deref()), (FinishReason::ToolCalls, Some("stop")));
    assert_eq!(decode_answer(json!({"error": "no"})).unwrap_err().message.as_deref(), Some("no"));
    for body in [json!(null), json!({}), json!({"message": {"content": 1}})] {
        assert_eq!(decode_answer(body).unwrap_err(), ProviderError::default());
    }
}

#[test]
fn a_stream_becomes_blocks_and_says_once_when_it_breaks() {
    let lines = [
        &br#"{"model":"m","message":{"thinking":"h"}}"#[..],
        br#"{"message":{"thinking":"m","content":"a"},"logprobs":[{"token":"a","logprob":-1}]}"#,
        br#"{"message":{"content":"b","tool_calls":[{"function":{"name":"f","arguments":{"x":1}}},{"id":"i","function":{"name":"f"}}]}}"#,
        br#"{"message":{"content":""},"done":true,"done_reason":"stop","prompt_eval_count":2,"eval_count":3,"total_duration":4}"#,
    ];
    let answer = collected(decoded(lines)).unwrap();
    let choice = &answer.choices[0];
    let kinds: Vec<String> = choice
        .parts
        .iter()
        .map(|part| match &part.kind {
            PartKind::Reasoning(reasoning) => format!("think {}", reasoning.text.as_deref().unwrap()),
            PartKind::Text { text, .. } => format!("text {text}"),
            PartKind::ToolCall(call) => format!("{} {} {}", call.id, call.name, call.arguments),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["think hm", "text ab", "call_0 f {\"x\":1}", "i f {}"]);
    assert_eq!(choice.finish.as_ref().unwrap().reason, FinishReason::ToolCalls);
    assert_eq!(choice.logprobs, Some(json!({"content": [{"token": "a", "logprob": -1}]})));
    assert_eq!(Value::from(answer.extra.members), json!({"total_duration": 4}));
    for broken in [&b"{"[..], b"[]", br#"{"error":"out of memory"}"#, br#"{"message":{"tool_calls":[7,7]}}"#] {
        let events = decoded([lines[0], broken, lines[3]]);
        assert_eq!(events.iter().filter(|event| matches!(event, Event::Error(_))).count(), 1);
        assert!(matches!(events.last(), Some(Event::Error(_))));
    }
    let cut = decoded([lines[0]]);
    assert!(matches!(&cut[2..], [Event::Delta { .. }, Event::Close { .. }, Event::Error(_)]));
}

#[test]
fn errors_are_read_in_every_shape() {
    for (body, message) in [
        (r#"{"error":"bad"}"#, Some("bad")),
        (r#"{"error":{"message":"bad","type":"x"}}"#, Some("bad")),
        (r#"{"StatusCode":401,"error":"unauthorized"}"#, Some("unauthorized")),
        ("404 page not found", None),
    ] {
        assert_eq!(read_error(400, body.as_bytes()).message.as_deref(), message);
    }
}

/// One of everything that the chat knows.
fn everything() -> Value {
    json!({
        "model": "m",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "look", "images": ["QUJD", "REVG"]},
            {"role": "assistant", "content": "a", "thinking": "hm", "tool_calls": [
                {"type": "function", "function": {"name": "f", "arguments": {"x": [1.0, null]}, "new": 1}, "new": 2},
            ]},
            {"role": "tool", "content": "r", "tool_name": "f"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
        "stream": true,
        "format": {"type": "object"},
        "think": "low",
        "options": {
            "num_predict": 9, "temperature": 0.5, "top_p": 0.75, "top_k": 5, "min_p": 0.25, "seed": 1, "num_ctx": 4096,
            "frequency_penalty": 0.5, "presence_penalty": 0.25, "repeat_penalty": 1.5, "stop": ["END"],
        },
        "keep_alive": "5m",
        "logprobs": true,
        "top_logprobs": 2,
    })
}

#[test]
fn one_of_everything_comes_out_as_it_went_in() {
    let quirks = ["think_levels".to_owned()];
    let encoded = encode_request(&decode_request(everything()).unwrap(), &target("m", &quirks)).unwrap();
    assert_eq!(encoded.body, everything());
    assert_eq!(encoded.losses.list(), []);
    for mutant in crate::dialect::fields::mutants(&everything(), 3000) {
        if let Ok(request) = decode_request(mutant) {
            let _ = encode_request(&request, &target("m", &[]));
        }
    }
}
