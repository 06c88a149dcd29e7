use super::*;
use crate::chat::{
    Block, Cache, Delta, Effort, FinishReason, Format, Media, MediaKind, MediaSource, Part, PartKind, Reasoning,
    ReasoningFormat, Request, Role, Thinking, Tool, ToolCall, ToolChoice, ToolResult, Turn, Wire,
};
use serde_json::json;

fn user(text: &str) -> Turn {
    Turn::new(Role::User, vec![Part::text(text)])
}

fn call(id: &str, arguments: &str) -> Part {
    Part::new(PartKind::ToolCall(ToolCall {
        id: id.to_owned(),
        name: "f".to_owned(),
        arguments: arguments.to_owned(),
        signature: None,
        custom: false,
    }))
}

fn result(id: &str, parts: Vec<Part>) -> Part {
    Part::new(PartKind::ToolResult(ToolResult { call_id: id.to_owned(), name: None, parts, is_error: false }))
}

fn function(name: &str) -> Tool {
    Tool::Function {
        name: name.to_owned(),
        description: Some(String::new()),
        parameters: None,
        strict: Some(true),
        cache: Some(Cache::Hour),
        extra: crate::chat::Extra::default(),
    }
}

fn media(kind: MediaKind, mime: Option<&str>, source: MediaSource, name: Option<&str>) -> Part {
    let (mime, name) = (mime.map(str::to_owned), name.map(str::to_owned));
    Part::new(PartKind::Media(Media { kind, mime, source, name, detail: None, transcript: None }))
}

fn written(request: &Request, model: &str) -> (Value, Vec<String>) {
    let encoded = encode_request(request, &target(model, &[])).unwrap();
    (encoded.body, encoded.losses.list().iter().map(|loss| loss.field.clone()).collect())
}

fn refused(request: &Request) -> String {
    encode_request(request, &target(CLAUDE, &[])).unwrap_err().param.unwrap()
}

#[test]
fn a_conversation_is_written_with_roles_that_alternate() {
    let request = Request {
        turns: vec![
            Turn::new(Role::System, vec![Part::text("be brief")]),
            user("a"),
            user("b"),
            Turn::new(Role::Assistant, vec![Part::text(" "), call("1", r#"{"x":1}"#), call("2", "")]),
            Turn::new(Role::User, vec![result("1", vec![Part::text("one")])]),
            Turn::new(Role::User, vec![result("2", vec![]), Part::text("c")]),
        ],
        tools: vec![function("f")],
        ..Request::default()
    };
    let (body, losses) = written(&request, CLAUDE);
    assert_eq!(
        body,
        json!({
            "messages": [
                {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
                {"role": "assistant", "content": [
                    {"toolUse": {"toolUseId": "1", "name": "f", "input": {"x": 1}}},
                    {"toolUse": {"toolUseId": "2", "name": "f", "input": {}}},
                ]},
                {"role": "user", "content": [
                    {"toolResult": {"toolUseId": "1", "content": [{"text": "one"}]}},
                    {"toolResult": {"toolUseId": "2", "content": []}},
                    {"text": "c"},
                ]},
            ],
            "system": [{"text": "be brief"}],
            "toolConfig": {"tools": [
                {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object", "properties": {}}}}},
                {"cachePoint": {"type": "default", "ttl": "1h"}},
            ]},
        })
    );
    assert_eq!(losses, ["tools[0].strict"]);
}

#[test]
fn ids_that_bedrock_does_not_take_are_replaced_alike_in_call_and_result() {
    let id = "call|with odd \u{e9} characters";
    let turns = vec![
        user("a"),
        Turn::new(Role::Assistant, vec![call(id, "{}")]),
        Turn::new(Role::User, vec![result(id, vec![Part::text("r")])]),
    ];
    let (body, losses) = written(&Request { turns, ..Request::default() }, CLAUDE);
    let named = &body["messages"][1]["content"][0]["toolUse"]["toolUseId"];
    assert_eq!(named, &body["messages"][2]["content"][0]["toolResult"]["toolUseId"]);
    assert!(named.as_str().unwrap().starts_with("call_"));
    // Calls want tools declared, and there were none.
    assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"]["name"], "f");
    assert_eq!(losses, ["tools"]);
}

#[test]
fn media_go_as_bytes_text_or_from_s3() {
    let data = || MediaSource::Base64("QUJD".to_owned());
    let parts = vec![
        media(MediaKind::Image, Some("image/JPG; q=1"), data(), None),
        media(MediaKind::Document, Some("application/pdf"), data(), Some("a  b/c.pdf")),
        media(MediaKind::Document, Some("application/pdf"), data(), Some("a b c pdf")),
        media(MediaKind::Document, None, MediaSource::Text("t".to_owned()), None),
        media(MediaKind::Video, Some("video/mp4"), MediaSource::Url("s3://b/k".to_owned()), None),
        media(MediaKind::Audio, Some("audio/wav"), data(), None),
    ];
    let turns = vec![Turn::new(Role::User, parts)];
    let (body, losses) = written(&Request { turns, ..Request::default() }, CLAUDE);
    assert_eq!(
        body["messages"][0]["content"],
        json!([
            {"image": {"format": "jpeg", "source": {"bytes": "QUJD"}}},
            {"document": {"format": "pdf", "name": "a b c pdf", "source": {"bytes": "QUJD"}}},
            {"document": {"format": "pdf", "name": "a b c pdf (2)", "source": {"bytes": "QUJD"}}},
            {"document": {"format": "txt", "name": "document", "source": {"text": "t"}}},
            {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://b/k"}}}},
            {"audio": {"format": "wav", "source": {"bytes": "QUJD"}}},
        ])
    );
    assert_eq!(losses, ["messages[0].content[1].name", "messages[0].content[2].name"]);
}

#[test]
fn what_changes_the_meaning_is_refused_by_name() {
    let with = |part: Part| Request { turns: vec![Turn::new(Role::User, vec![part])], ..Request::default() };
    let url = MediaSource::Url("https://h.example/a.png".to_owned());
    let called = |choice| Request {
        turns: vec![user("a"), Turn::new(Role::Assistant, vec![call("1", "{}")])],
        tools: vec![function("f")],
        tool_choice: Some(choice),
        ..Request::default()
    };
    let foreign = || (Wire::OpenaiResponses, json!({"type": "x"}));
    for (request, param) in [
        (with(media(MediaKind::Image, Some("image/png"), url, None)), "messages[0].content[0]"),
        (
            with(media(MediaKind::Image, Some("image/tiff"), MediaSource::Base64(String::new()), None)),
            "messages[0].content[0]",
        ),
        (with(media(MediaKind::Document, None, MediaSource::Id("f".to_owned()), None)), "messages[0].content[0]"),
        (with(Part::new(PartKind::Foreign(foreign().0, foreign().1))), "messages[0].content[0]"),
        (
            Request { turns: vec![Turn::new(Role::Assistant, vec![call("1", "[1")])], ..Request::default() },
            "messages[0].content[0].arguments",
        ),
        (Request { format: Format::Json, ..Request::default() }, "response_format"),
        (Request { tools: vec![Tool::Foreign(foreign().0, foreign().1)], ..Request::default() }, "tools[0]"),
        (Request { tool_choice: Some(ToolChoice::Required), ..Request::default() }, "tool_choice"),
        (called(ToolChoice::None), "tool_choice"),
        (Request { choices: Some(2), ..Request::default() }, "n"),
        (Request { modalities: vec!["audio".to_owned()], ..Request::default() }, "modalities"),
    ] {
        assert_eq!(refused(&request), param);
    }
}

#[test]
fn tool_choices_are_said_as_far_as_they_can_be() {
    let with = |choice| {
        let tools = vec![function("f"), function("g")];
        written(&Request { tools, tool_choice: Some(choice), ..Request::default() }, CLAUDE).0["toolConfig"].take()
    };
    assert_eq!(with(ToolChoice::None), Value::Null);
    assert_eq!(with(ToolChoice::Auto).get("toolChoice"), None);
    assert_eq!(with(ToolChoice::Required)["toolChoice"], json!({"any": {}}));
    assert_eq!(with(ToolChoice::Function("g".to_owned()))["toolChoice"], json!({"tool": {"name": "g"}}));
    let among = with(ToolChoice::Among(vec!["g".to_owned()], true));
    assert_eq!((&among["toolChoice"], &among["tools"][0]["toolSpec"]["name"]), (&json!({"any": {}}), &json!("g")));
}

#[test]
fn each_maker_is_told_how_to_think_in_its_own_words() {
    let effort = |effort| Thinking { effort: Some(effort), ..Thinking::default() };
    let budget = Thinking { max_tokens: Some(2000), ..Thinking::default() };
    let adaptive = Thinking { adaptive: true, effort: Some(Effort::High), ..Thinking::default() };
    let off = Thinking { enabled: Some(false), ..Thinking::default() };
    let none: &[&str] = &[];
    for (thinking, model, fields, losses) in [
        (effort(Effort::High), CLAUDE, json!({"thinking": {"type": "enabled", "budget_tokens": 8000}}), none),
        (budget.clone(), CLAUDE, json!({"thinking": {"type": "enabled", "budget_tokens": 2000}}), none),
        (adaptive, CLAUDE, json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}), none),
        (off.clone(), CLAUDE, json!({"thinking": {"type": "disabled"}}), none),
        (
            effort(Effort::Low),
            "us.amazon.nova-2-lite-v1:0",
            json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
            none,
        ),
        (budget, "openai.gpt-oss-120b-1:0", json!({"reasoning_effort": "low"}), none),
        (effort(Effort::Max), "qwen.qwen3-32b-v1:0", json!({"reasoning_config": "high"}), none),
        (effort(Effort::High), "meta.llama3-8b-instruct-v1:0", Value::Null, &["reasoning"]),
        (off, "meta.llama3-8b-instruct-v1:0", Value::Null, none),
    ] {
        let request = Request { thinking: Some(thinking), max_tokens: Some(10_000), ..Request::default() };
        let (mut body, lost) = written(&request, model);
        assert_eq!(
            (body["additionalModelRequestFields"].take(), &lost[..]),
            (fields, &losses.iter().map(|&l| l.to_owned()).collect::<Vec<_>>()[..]),
            "{model}"
        );
    }
    let arn = "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc";
    let request = Request { thinking: Some(effort(Effort::Medium)), ..Request::default() };
    let quirks = ["maker:anthropic".to_owned(), "adaptive_thinking".to_owned()];
    let encoded = encode_request(&request, &target(arn, &quirks)).unwrap();
    assert_eq!(encoded.body["additionalModelRequestFields"]["output_config"]["effort"], "medium");
}

#[test]
fn claude_thinks_at_its_own_temperature() {
    let mut request =
        Request { thinking: Some(Thinking { max_tokens: Some(1024), ..Thinking::default() }), ..Request::default() };
    request.sampling.temperature = serde_json::Number::from_f64(0.5);
    request.sampling.top_k = Some(5.into());
    let (body, losses) = written(&request, CLAUDE);
    assert_eq!((body.get("inferenceConfig"), losses), (None, vec!["temperature".to_owned(), "top_k".to_owned()]));
}

#[test]
fn only_claude_gets_its_thoughts_back() {
    let thoughts = |format, signature: Option<&str>, encrypted: Option<&str>| {
        Part::new(PartKind::Reasoning(Reasoning {
            text: Some("hm".to_owned()),
            signature: signature.map(str::to_owned),
            encrypted: encrypted.map(str::to_owned),
            format,
            ..Reasoning::default()
        }))
    };
    let claude = Some(ReasoningFormat::Anthropic);
    let parts = vec![
        thoughts(claude, Some("s"), None),
        thoughts(claude, None, Some("EuYB")),
        thoughts(Some(ReasoningFormat::Gemini), Some("s"), None),
        thoughts(None, None, None),
    ];
    let request = Request { turns: vec![Turn::new(Role::Assistant, parts)], ..Request::default() };
    let (body, losses) = written(&request, CLAUDE);
    assert_eq!(
        body["messages"][0]["content"],
        json!([
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
            {"reasoningContent": {"redactedContent": "RXVZQg=="}},
        ])
    );
    assert_eq!(losses, ["messages[0].content[2]", "messages[0].content[3]"]);
    assert_eq!(written(&request, "us.amazon.nova-lite-v1:0").1.len(), 4);
}

#[test]
fn the_mark_for_a_whole_prompt_closes_the_last_message() {
    let request = Request { turns: vec![user("a")], cache: Some(Cache::Default), ..Request::default() };
    let (body, _) = written(&request, CLAUDE);
    assert_eq!(body["messages"][0]["content"][1], json!({"cachePoint": {"type": "default"}}));
    let (body, losses) = written(&request, "meta.llama3-8b-instruct-v1:0");
    assert_eq!(
        (body["messages"][0]["content"].as_array().unwrap().len(), losses),
        (1, vec!["cache_control".to_owned()])
    );
}

#[test]
fn bad_requests_are_refused_by_name() {
    for (body, param) in [
        (json!([]), "body"),
        (json!({"messages": {}}), "messages"),
        (json!({"messages": [{"content": []}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user", "content": [{"text": 1}]}]}), "messages[0].content[0].text"),
        (
            json!({"messages": [{"role": "user", "content": [{"toolResult": {}}]}]}),
            "messages[0].content[0].toolResult.toolUseId",
        ),
        (json!({"inferenceConfig": {"maxTokens": -1}}), "inferenceConfig.maxTokens"),
    ] {
        assert_eq!(decode_request(body).unwrap_err().param.as_deref(), Some(param));
    }
}

#[test]
fn usage_that_cannot_be_meant_is_none() {
    let answer = |usage: Value| {
        decode_answer(
            json!({"output": {"message": {"content": [{"text": "a"}]}}, "stopReason": "end_turn", "usage": usage}),
        )
        .unwrap()
    };
    let usage = answer(json!({
        "inputTokens": 3, "outputTokens": 5, "cacheReadInputTokens": 7, "cacheWriteInputTokens": 11,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 4}, {"ttl": "5m", "inputTokens": 7}]
    }))
    .usage
    .unwrap();
    let tokens = usage.tokens;
    assert_eq!((tokens.prompt, tokens.completion, tokens.cached, tokens.cache_write), (21, 5, 7, 11));
    assert_eq!(usage.tokens.cache_write_1h, 4);
    for bad in [
        json!(null),
        json!({}),
        json!({"inputTokens": -1}),
        json!({"inputTokens": 1.5}),
        json!({"inputTokens": 1, "outputTokens": 1e12}),
    ] {
        assert_eq!(answer(bad).usage, None);
    }
}

#[test]
fn reasons_to_end_are_understood() {
    for (word, reason) in [
        ("end_turn", FinishReason::Stop),
        ("stop_sequence", FinishReason::Stop),
        ("tool_use", FinishReason::ToolCalls),
        ("max_tokens", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::Length),
        ("guardrail_intervened", FinishReason::ContentFilter),
        ("content_filtered", FinishReason::ContentFilter),
        ("malformed_tool_use", FinishReason::Error),
        ("news", FinishReason::Stop),
    ] {
        let body = json!({"output": {"message": {"content": []}}, "stopReason": word, "additionalModelResponseFields": {"stop_sequence": "END"}});
        let finish = decode_answer(body).unwrap().choices.remove(0).finish.unwrap();
        assert_eq!(
            (finish.reason, finish.native.as_deref(), finish.stop_sequence.as_deref()),
            (reason, Some(word), Some("END"))
        );
    }
}

#[test]
fn what_is_no_answer_is_an_error() {
    for body in [json!(null), json!("x"), json!({}), json!({"output": {"message": {"content": [{"text": 1}]}}})] {
        assert_eq!(decode_answer(body).unwrap_err().message, None);
    }
    assert_eq!(decode_answer(json!({"message": "no"})).unwrap_err().message.as_deref(), Some("no"));
}

#[test]
fn a_stream_becomes_blocks() {
    let delta =
        |at: u32, delta: Value| ("contentBlockDelta", json!({"contentBlockIndex": at, "delta": delta, "p": "ab"}));
    let stop = |at: u32| ("contentBlockStop", json!({"contentBlockIndex": at}));
    let events = decoded(&[
        ("messageStart", json!({"role": "assistant"})),
        ("messageStart", json!({"role": "assistant"})),
        delta(0, json!({"reasoningContent": {"text": "hm"}})),
        delta(0, json!({"reasoningContent": {"signature": "s"}})),
        stop(0),
        delta(1, json!({"text": "a"})),
        delta(1, json!({"citation": {"title": "t", "location": {"web": {"url": "https://h.example"}}}})),
        ("surprise", json!({})),
        stop(1),
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "s1", "name": "run", "type": "server_tool_use"}}}),
        ),
        delta(2, json!({"toolUse": {"input": "{\"a\""}})),
        delta(2, json!({"toolUse": {"input": ":1}"}})),
        stop(2),
        ("contentBlockStart", json!({"contentBlockIndex": 3, "start": {"toolUse": {"toolUseId": "c1", "name": "f"}}})),
        delta(3, json!({"toolUse": {"input": "{}"}})),
        ("messageStop", json!({"stopReason": "tool_use"})),
        (
            "metadata",
            json!({"usage": {"inputTokens": 1, "outputTokens": 2}, "metrics": {"latencyMs": 3}, "serviceTier": {"type": "flex"}}),
        ),
    ]);
    let opened: Vec<&Block> = events
        .iter()
        .filter_map(|event| match event {
            Event::Open { kind, .. } => Some(kind),
            _ => None,
        })
        .collect();
    let server = json!({"toolUse": {"toolUseId": "s1", "name": "run", "type": "server_tool_use", "input": {"a": 1}}});
    assert_eq!(
        opened,
        [
            &Block::Reasoning { id: None, format: Some(ReasoningFormat::Anthropic) },
            &Block::Text,
            &Block::Foreign(WIRE, server),
            &Block::ToolCall { id: "c1".to_owned(), name: "f".to_owned(), custom: false },
        ]
    );
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Start { .. })).count(), 1);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Close { .. })).count(), 4);
    assert!(events.iter().any(|event| matches!(event, Event::Delta { block: 1, delta: Delta::Citation(c) } if c.url.as_deref() == Some("https://h.example"))));
    let answer = collected(events).unwrap();
    assert_eq!(answer.service_tier.as_deref(), Some("flex"));
    assert_eq!(answer.usage.unwrap().tokens.prompt, 1);
    assert_eq!(answer.choices[0].finish.as_ref().unwrap().reason, FinishReason::ToolCalls);
    assert_eq!(Value::from(answer.extra.members), json!({"metrics": {"latencyMs": 3}}));
}

#[test]
fn a_stream_that_breaks_says_so_once() {
    let text = ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"text": "a"}}));
    for (broken, code, status) in [
        (("throttlingException", json!({"message": "slow down"})), Some("throttlingException"), Some(429)),
        (
            ("modelStreamErrorException", json!({"originalMessage": "x", "originalStatusCode": 500})),
            Some("modelStreamErrorException"),
            Some(424),
        ),
        (("InternalError", json!({"message": "x"})), Some("InternalError"), Some(500)),
        (("contentBlockDelta", json!({"contentBlockIndex": 9, "delta": {"toolUse": {"input": ""}}})), None, None),
    ] {
        let events = decoded(&[text.clone(), broken, text.clone()]);
        let errors: Vec<_> =
            events.iter().filter_map(|e| if let Event::Error(error) = e { Some(error) } else { None }).collect();
        assert_eq!(errors.len(), 1);
        assert_eq!((errors[0].code.as_deref(), errors[0].status), (code, status));
        assert!(matches!(events.last(), Some(Event::Error(_))));
    }
    let cut = decoded(std::slice::from_ref(&text));
    assert!(matches!(&cut[2..], [Event::Delta { .. }, Event::Close { .. }, Event::Error(_)]), "{cut:?}");
    // Without metadata it is whole, and its usage unknown.
    let whole = collected(decoded(&[text, ("messageStop", json!({"stopReason": "end_turn"}))])).unwrap();
    assert_eq!(whole.usage, None);
    let (mut decoder, mut out) = (Decoder::default(), Vec::new());
    decoder.push(&Frame { event: Some("metadata"), data: b"{" }, &mut out);
    assert!(matches!(&out[..], [Event::Error(_)]));
}

#[test]
fn errors_are_read_in_every_shape() {
    for (body, message, code, status) in [
        (r#"{"message":"bad"}"#, Some("bad"), None, None),
        (
            r#"{"Message":"bad","__type":"com.amazon.x#ThrottlingException"}"#,
            Some("bad"),
            Some("ThrottlingException"),
            Some(429),
        ),
        (
            r#"{"message":"Input is too long for requested model."}"#,
            Some("Input is too long for requested model."),
            Some("context_length_exceeded"),
            None,
        ),
        ("<html>", None, None, None),
    ] {
        let error = read_error(400, body.as_bytes());
        assert_eq!((error.message.as_deref(), error.code.as_deref(), error.status), (message, code, status));
    }
}

/// One of everything that Converse knows.
fn everything() -> Value {
    json!({
        "system": [{"text": "be brief"}, {"cachePoint": {"type": "default"}}, {"guardContent": {"text": {"text": "g"}}}],
        "messages": [
            {"role": "user", "content": [
                {"cachePoint": {"type": "default"}},
                {"text": "look"},
                {"cachePoint": {"type": "default", "ttl": "1h"}},
                {"image": {"format": "webp", "source": {"bytes": "QUJD"}}},
                {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/k", "bucketOwner": "1"}}}},
                {"document": {"format": "md", "name": "notes", "source": {"text": "t"}, "context": "c", "citations": {"enabled": true}}},
                {"document": {"format": "txt", "name": "x", "source": {"content": [{"text": "t"}]}}},
                {"video": {"format": "three_gp", "source": {"s3Location": {"uri": "s3://b/k"}}}},
                {"audio": {"format": "opus", "source": {"bytes": "QUJD"}}},
                {"guardContent": {"text": {"text": "g", "qualifiers": ["query"]}}},
                {"searchResult": {"source": "https://h.example", "title": "t", "content": [{"text": "t"}]}},
            ]},
            {"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s", "new": 7}}},
                {"reasoningContent": {"redactedContent": "RXVZQg=="}},
                {"citationsContent": {"content": [{"text": "a"}], "citations": [{"title": "t", "location": {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}}]}},
                {"toolUse": {"toolUseId": "1", "name": "f", "input": {"x": [1.0, null]}}},
                {"toolUse": {"toolUseId": "2", "name": "run", "input": {}, "type": "server_tool_use"}},
                {"toolResult": {"toolUseId": "2", "content": [{"json": {"a": 1}}], "status": "success", "type": "run_result"}},
            ]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "1", "status": "error", "content": [
                    {"text": "t"}, {"json": {"a": 1}}, {"image": {"format": "gif", "source": {"bytes": "QUJD"}}},
                ]}},
            ]},
        ],
        "inferenceConfig": {"maxTokens": 9, "temperature": 1, "topP": 0.5, "stopSequences": ["END"], "new": 4},
        "toolConfig": {
            "tools": [
                {"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": {"type": "object"}, "new": 1}, "strict": true, "new": 2}},
                {"cachePoint": {"type": "default"}},
                {"systemTool": {"name": "run"}},
            ],
            "toolChoice": {"tool": {"name": "f"}},
            "new": 3,
        },
        "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {
            "schema": "{\"type\":\"object\"}", "name": "n", "description": "d"
        }}}},
        "additionalModelRequestFields": {
            "anthropic_beta": ["b"], "thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "xhigh"}
        },
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "performanceConfig": {"latency": "optimized"},
        "promptVariables": {"v": {"text": "t"}},
        "requestMetadata": {"k": "v"},
        "serviceTier": {"type": "flex", "new": 5},
        "new": 6,
    })
}

#[test]
fn one_of_everything_comes_out_as_it_went_in() {
    let quirks = ["strict_tools".to_owned()];
    let request = decode_request(everything()).unwrap();
    let encoded = encode_request(&request, &target(CLAUDE, &quirks)).unwrap();
    assert_eq!(encoded.body, everything());
    assert_eq!(encoded.losses.list(), []);
    for mutant in crate::dialect::fields::mutants(&everything(), 3000) {
        if let Ok(request) = decode_request(mutant) {
            let _ = encode_request(&request, &target(CLAUDE, &quirks));
        }
    }
}
