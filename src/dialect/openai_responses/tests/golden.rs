//! Requests and whole answers: small cases, written by us.

use serde_json::{Value, json};

use super::{names, target};
use crate::{
    chat::{
        Answer, Cache, Choice, Citation, Effort, Extra, Finish, FinishReason, Format, Media, MediaKind, MediaSource,
        Part, PartKind, Reasoning, ReasoningFormat, Request, Role, Thinking, Tool, ToolCall, ToolChoice, ToolResult,
        Turn, Usage, Wire,
    },
    dialect::{
        Target,
        openai_responses::{
            decode_answer, decode_request, encode_answer, encode_request, needs_state, read_error, write_error,
        },
    },
    error::{Error, ErrorKind},
};

fn request(turns: Vec<Turn>) -> Request {
    Request { turns, ..Request::default() }
}

fn said(role: Role, kind: PartKind) -> Turn {
    Turn::new(role, vec![Part::new(kind)])
}

fn call(id: &str, arguments: &str) -> PartKind {
    let (id, arguments) = (id.to_owned(), arguments.to_owned());
    PartKind::ToolCall(ToolCall { id, name: "f".to_owned(), arguments, signature: None, custom: false })
}

fn result(id: &str, parts: Vec<Part>) -> PartKind {
    PartKind::ToolResult(ToolResult { call_id: id.to_owned(), name: None, parts, is_error: false })
}

fn media(kind: MediaKind, source: MediaSource, mime: Option<&str>) -> PartKind {
    let mime = mime.map(str::to_owned);
    PartKind::Media(Media { kind, mime, source, name: None, detail: None, transcript: None })
}

fn input(request: &Request) -> Value {
    encode_request(request, &target()).unwrap().body["input"].clone()
}

fn losses(request: &Request) -> Vec<String> {
    let encoded = encode_request(request, &target()).unwrap();
    encoded.losses.list().iter().map(|loss| loss.field.clone()).collect()
}

fn refused(request: &Request) -> String {
    let error = encode_request(request, &target()).unwrap_err();
    assert_eq!((error.status(), error.code), (400, Some("unsupported_parameter")));
    error.param.unwrap()
}

#[test]
fn a_request_is_read_into_everybodys_words() {
    let read = decode_request(json!({
        "model": "a/b", "instructions": "Be brief.", "stream": true, "max_output_tokens": 100, "temperature": 0.5,
        "input": [
            {"role": "developer", "content": "D"},
            {"role": "user", "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"},
                {"type": "input_audio", "input_audio": {"data": "CCCC", "format": "mp3"}},
            ]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "S"}], "encrypted_content": "E"},
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "T", "annotations": []}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "free"},
            {"type": "function_call_output", "call_id": "c1", "output": "R"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "Q"}]},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true}, {"type": "web_search"}],
        "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "low"},
        "reasoning": {"effort": "xhigh", "summary": "auto"},
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs", "web_search_call.results"],
        "safety_identifier": "u", "prompt_cache_key": "k", "service_tier": "flex", "parallel_tool_calls": false,
        "store": false, "metadata": {"a": "b"}, "top_logprobs": 2,
    }))
    .unwrap();
    let roles: Vec<Role> = read.turns.iter().map(|turn| turn.role).collect();
    assert_eq!(roles, [Role::System, Role::Developer, Role::User, Role::Assistant, Role::User]);
    let [_, _, user, assistant, results] = read.turns.as_slice() else { panic!() };
    let kinds: Vec<MediaKind> = user
        .parts
        .iter()
        .filter_map(|part| match &part.kind {
            PartKind::Media(media) => Some(media.kind),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, [MediaKind::Image, MediaKind::Document, MediaKind::Audio]);
    assert!(matches!(&user.parts[3].kind, PartKind::Media(media) if media.mime.as_deref() == Some("audio/mpeg")));
    let PartKind::Reasoning(reasoning) = &assistant.parts[0].kind else { panic!() };
    assert_eq!((reasoning.encrypted.as_deref(), reasoning.summary.len()), (Some("E"), 1));
    assert_eq!(reasoning.format, Some(ReasoningFormat::Openai));
    assert!(matches!(&assistant.parts[3].kind, PartKind::ToolCall(call) if call.custom && call.arguments == "free"));
    assert_eq!((assistant.parts.len(), results.parts.len()), (4, 2));
    assert_eq!(read.tool_choice, Some(ToolChoice::Among(vec!["f".to_owned()], true)));
    assert!(matches!(
        &read.tools[..],
        [Tool::Function { strict: Some(true), .. }, Tool::Foreign(Wire::OpenaiResponses, _)]
    ));
    let thinking = read.thinking.clone().unwrap();
    assert_eq!((thinking.effort, thinking.encrypted), (Some(Effort::XHigh), true));
    assert_eq!((read.sampling.logprobs, read.sampling.top_logprobs), (Some(true), Some(2)));
    assert_eq!((read.user.as_deref(), read.cache_key.as_deref()), (Some("u"), Some("k")));
    let others: Vec<&String> = read.extra.members.keys().collect();
    assert_eq!(others, ["metadata", "include"]);
    assert!(needs_state(&read).is_ok());
}

#[test]
fn what_is_wrong_is_named() {
    for (body, param) in [
        (json!([]), ""),
        (json!({"input": 1}), "input"),
        (json!({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}), "input[0].content[0].text"),
        (json!({"input": [{"role": "user", "content": [{"text": "x"}]}]}), "input[0].content[0].type"),
        (json!({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}), "input[0].content[0].image_url"),
        (json!({"input": [{"role": "robot", "content": "x"}]}), "input[0].role"),
        (json!({"input": ["x"]}), "input[0]"),
        (json!({"input": [{"type": "function_call", "call_id": "c"}]}), "input[0].name"),
        (json!({"input": [{"type": "function_call_output", "output": "x"}]}), "input[0].call_id"),
        (json!({"tools": [{"type": "function"}]}), "tools[0].name"),
        (json!({"tools": [{}]}), "tools[0].type"),
        (json!({"tools": {}}), "tools"),
        (json!({"text": {"format": {"type": "json_schema"}}}), "text.format.schema"),
        (json!({"reasoning": {"effort": 3}}), "reasoning.effort"),
        (json!({"max_output_tokens": -1}), "max_output_tokens"),
        (json!({"temperature": "hot"}), "temperature"),
    ] {
        let error = decode_request(body).unwrap_err();
        assert_eq!((error.kind, error.param.as_deref()), (ErrorKind::InvalidRequest, Some(param)));
    }
}

#[test]
fn what_needs_state_goes_to_this_format_alone() {
    for (body, param) in [
        (json!({"store": true}), "store"),
        (json!({"previous_response_id": "resp_1"}), "previous_response_id"),
        (json!({"conversation": {"id": "conv_1"}}), "conversation"),
        (json!({"background": true}), "background"),
        (json!({"prompt": {"id": "pmpt_1"}}), "prompt"),
        (json!({"input": [{"type": "item_reference", "id": "msg_1"}]}), "input"),
    ] {
        let request = decode_request(body.clone()).unwrap();
        assert_eq!(needs_state(&request).unwrap_err().param.as_deref(), Some(param));
        let written = encode_request(&request, &target()).unwrap().body;
        let (key, value) = body.as_object().unwrap().iter().next().unwrap();
        assert_eq!(written[key], *value);
    }
    let stateless = json!({"store": false, "background": false, "previous_response_id": null});
    let request = decode_request(stateless).unwrap();
    assert!(needs_state(&request).is_ok());
    assert_eq!(encode_request(&request, &target()).unwrap().body["store"], false);
}

#[test]
fn another_formats_conversation_becomes_items() {
    let mut seen = said(Role::User, PartKind::Text { text: "Hi".to_owned(), citations: Vec::new() });
    seen.parts.push(Part::new(media(MediaKind::Image, MediaSource::Base64("iVBORx".to_owned()), None)));
    let turns = vec![
        said(Role::System, PartKind::Text { text: "Be".to_owned(), citations: Vec::new() }),
        seen,
        Turn::new(
            Role::Assistant,
            vec![Part::text("I look."), Part::text("Twice."), Part::new(call("c1", "{}")), Part::new(call("c2", "{}"))],
        ),
        Turn::new(
            Role::User,
            vec![
                Part::new(result("c1", vec![Part::text("one")])),
                Part::new(result(
                    "c2",
                    vec![Part::new(media(MediaKind::Image, MediaSource::Url("https://x/y".to_owned()), None))],
                )),
                Part::text("Go on."),
            ],
        ),
    ];
    assert_eq!(
        input(&request(turns)),
        json!([
            {"role": "system", "content": "Be"},
            {"role": "user", "content": [
                {"type": "input_text", "text": "Hi"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBORx", "detail": "auto"}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "I look."}, {"type": "output_text", "text": "Twice."}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_image", "image_url": "https://x/y", "detail": "auto"}]},
            {"role": "user", "content": "Go on."},
        ])
    );
}

#[test]
fn what_another_formats_provider_did_is_a_loss() {
    let searched = PartKind::Foreign(Wire::AnthropicMessages, json!({"type": "server_tool_use"}));
    let asked = request(vec![Turn::new(Role::Assistant, vec![Part::new(searched), Part::text("Found.")])]);
    assert_eq!(input(&asked), json!([{"role": "assistant", "content": "Found."}]));
    assert_eq!(losses(&asked), ["messages[0].content[0]"]);
}

#[test]
fn media_are_carried_or_refused() {
    let of = |kind, source, mime| request(vec![said(Role::User, media(kind, source, mime))]);
    let base64 = || MediaSource::Base64("AAAA".to_owned());
    let url = || MediaSource::Url("https://x/y".to_owned());
    for (request, part) in [
        (
            of(MediaKind::Document, base64(), Some("application/pdf")),
            json!({"type": "input_file", "filename": "document.pdf", "file_data": "data:application/pdf;base64,AAAA"}),
        ),
        (of(MediaKind::Document, url(), None), json!({"type": "input_file", "file_url": "https://x/y"})),
        (
            of(MediaKind::Document, MediaSource::Id("file-1".to_owned()), None),
            json!({"type": "input_file", "file_id": "file-1"}),
        ),
        (
            of(MediaKind::Audio, base64(), Some("audio/mpeg")),
            json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}),
        ),
        (
            of(MediaKind::Image, MediaSource::Id("file-1".to_owned()), None),
            json!({"type": "input_image", "file_id": "file-1", "detail": "auto"}),
        ),
    ] {
        assert_eq!(input(&request)[0]["content"][0], part);
    }
    let words = of(MediaKind::Document, MediaSource::Text("words".to_owned()), Some("text/plain"));
    assert_eq!(input(&words)[0]["content"], "words");
    for request in
        [of(MediaKind::Image, base64(), None), of(MediaKind::Audio, url(), None), of(MediaKind::Video, url(), None)]
    {
        assert_eq!(refused(&request), "messages[0].content[0]");
    }
}

#[test]
fn settings_of_other_formats_are_carried_lost_or_refused() {
    let tool = |strict| Tool::Function {
        name: "f".to_owned(),
        description: None,
        parameters: None,
        strict,
        cache: Some(Cache::Default),
        extra: Extra::default(),
    };
    let mut asked = Request {
        tools: vec![tool(None), tool(Some(true))],
        tool_choice: Some(ToolChoice::Function("f".to_owned())),
        format: Format::Schema { name: None, description: None, schema: json!({}), strict: Some(true) },
        max_tokens: Some(5),
        stop: vec!["END".to_owned()],
        thinking: Some(Thinking { max_tokens: Some(8000), ..Thinking::default() }),
        verbosity: Some("high".to_owned()),
        user: Some("u".to_owned()),
        extra: Extra::of(Wire::OpenaiChat, [("prediction".to_owned(), json!({}))].into_iter().collect()),
        ..Request::default()
    };
    asked.sampling.seed = Some(1.into());
    let quirk = ["openrouter".to_owned()];
    let router = Target { quirks: &quirk, model_longest: Some(10_000), ..target() };
    let body = encode_request(&asked, &Target { model_longest: Some(10_000), ..target() }).unwrap().body;
    assert_eq!(
        body,
        json!({
            "model": "m", "input": [],
            "tools": [
                {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": false},
                {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": true}],
            "tool_choice": {"type": "function", "name": "f"},
            "text": {"format": {"type": "json_schema", "name": "answer", "schema": {}, "strict": true}, "verbosity": "high"},
            "reasoning": {"effort": "high"}, "max_output_tokens": 16, "user": "u", "store": false,
        })
    );
    assert_eq!(losses(&asked), ["cache_control", "max_tokens", "seed", "stop", "prediction"]);
    let body = encode_request(&asked, &router).unwrap().body;
    assert_eq!((&body["reasoning"], &body["seed"]), (&json!({"max_tokens": 8000}), &json!(1)));
    let of_chat = || (Wire::OpenaiChat, json!({"type": "x"}));
    let (wire, value) = of_chat();
    assert_eq!(refused(&Request { tools: vec![Tool::Foreign(wire, value.clone())], ..Request::default() }), "tools[0]");
    assert_eq!(
        refused(&Request { tool_choice: Some(ToolChoice::Foreign(wire, value.clone())), ..Request::default() }),
        "tool_choice"
    );
    assert_eq!(
        refused(&Request { format: Format::Foreign(wire, value.clone()), ..Request::default() }),
        "response_format"
    );
    assert_eq!(refused(&Request { choices: Some(2), ..Request::default() }), "n");
    let foreign = request(vec![said(Role::User, PartKind::Foreign(wire, value))]);
    assert_eq!(refused(&foreign), "messages[0].content[0]");
    let longest = Target { longest: Some(900), ..target() };
    assert_eq!(encode_request(&Request::default(), &longest).unwrap().body["max_output_tokens"], 900);
}

#[test]
fn thinking_becomes_an_effort() {
    let of = |thinking| {
        let asked = Request { thinking: Some(thinking), ..Request::default() };
        encode_request(&asked, &target()).unwrap().body.get("reasoning").cloned()
    };
    let off = Thinking { enabled: Some(false), ..Thinking::default() };
    assert_eq!(of(off), Some(json!({"effort": "none"})));
    let adaptive = Thinking { adaptive: true, summary: Some("auto".to_owned()), ..Thinking::default() };
    assert_eq!(of(adaptive), Some(json!({"effort": "medium", "summary": "auto"})));
    let hidden = Thinking {
        effort: Some(Effort::Low),
        hidden: Some(true),
        summary: Some("auto".to_owned()),
        ..Thinking::default()
    };
    assert_eq!(of(hidden), Some(json!({"effort": "low"})));
    assert_eq!(of(Thinking { encrypted: true, ..Thinking::default() }), None);
}

#[test]
fn thoughts_go_back_to_those_who_can_read_them() {
    let thought = |format, encrypted: Option<&str>| {
        let encrypted = encrypted.map(str::to_owned);
        let reasoning = Reasoning {
            text: Some("hm".to_owned()),
            id: Some("rs_1".to_owned()),
            encrypted,
            format,
            ..Reasoning::default()
        };
        request(vec![said(Role::Assistant, PartKind::Reasoning(reasoning))])
    };
    let openai = thought(Some(ReasoningFormat::Openai), Some("E"));
    let item = json!({"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}], "encrypted_content": "E"});
    assert_eq!(input(&openai), json!([item]));
    for other in [
        thought(Some(ReasoningFormat::Anthropic), Some("E")),
        thought(None, None),
        thought(Some(ReasoningFormat::Openai), None),
    ] {
        assert_eq!((input(&other), losses(&other)), (json!([]), vec!["messages[0].content[0].reasoning".to_owned()]));
    }
}

/// The next request of a client that hands back what it knows of, as Codex CLI does.
fn next_turns(answer: &Value) -> Vec<Turn> {
    let known = ["type", "role", "content", "summary", "encrypted_content", "call_id", "name", "arguments"];
    let mut items = answer["output"].clone();
    for item in items.as_array_mut().unwrap() {
        item.as_object_mut().unwrap().retain(|key, _| known.contains(&key.as_str()));
    }
    decode_request(json!({"input": items})).unwrap().turns
}

fn answer(parts: Vec<Part>, reason: FinishReason) -> Answer {
    let finish = Some(Finish::new(reason, "x"));
    Answer { choices: vec![Choice { parts, finish, logprobs: None, extra: Extra::default() }], ..Answer::default() }
}

#[test]
fn other_makers_marks_come_back_through_a_client_that_knows_nothing_of_them() {
    let claude = Reasoning {
        text: Some("hm".to_owned()),
        signature: Some("SIG".to_owned()),
        format: Some(ReasoningFormat::Anthropic),
        ..Reasoning::default()
    };
    let hidden = Reasoning {
        encrypted: Some("RED".to_owned()),
        format: Some(ReasoningFormat::Anthropic),
        ..Reasoning::default()
    };
    let mut gemini = call("c:1", "{}");
    if let PartKind::ToolCall(call) = &mut gemini {
        call.signature = Some("THOUGHT".to_owned());
    }
    let parts: Vec<Part> =
        [PartKind::Reasoning(claude), PartKind::Reasoning(hidden), gemini].into_iter().map(Part::new).collect();
    let written = encode_answer(&answer(parts.clone(), FinishReason::ToolCalls), &names(json!({})));
    let turns = next_turns(&written);
    let back: Vec<PartKind> = turns.into_iter().flat_map(|turn| turn.parts).map(|part| part.kind).collect();
    assert_eq!(back, parts.into_iter().map(|part| part.kind).collect::<Vec<_>>());
}

#[test]
fn an_answer_has_every_member_that_the_sdks_insist_on() {
    let citation = Citation { url: Some("https://x".to_owned()), start: Some(1), end: Some(2), ..Citation::default() };
    let mut cited = Part::text("Hello");
    cited.kind = PartKind::Text { text: "Hello".to_owned(), citations: vec![citation] };
    let mut parts =
        vec![cited, Part::text(" you"), Part::new(PartKind::Refusal("no".to_owned())), Part::new(call("c1", ""))];
    parts.push(Part::new(media(MediaKind::Image, MediaSource::Base64("AAAA".to_owned()), Some("image/png"))));
    let mut whole = answer(parts, FinishReason::ToolCalls);
    whole.usage = Some(Usage::default());
    whole.choices[0].logprobs = Some(json!({"content": [{"token": "Hel"}, {"token": "lo"}, {"token": " you"}]}));
    let asked = json!({"temperature": 0.3, "tools": [{"type": "function", "name": "f"}], "reasoning": {"effort": "low"}, "instructions": "I"});
    let written = encode_answer(&whole, &names(asked));
    for (key, value) in [
        ("id", json!("gen-1")),
        ("object", json!("response")),
        ("created_at", json!(7)),
        ("status", json!("completed")),
        ("model", json!("a/b")),
        ("provider", json!("P")),
        ("error", json!(null)),
        ("incomplete_details", json!(null)),
        ("temperature", json!(0.3)),
        ("instructions", json!("I")),
        ("metadata", json!({})),
        ("tool_choice", json!("auto")),
        ("parallel_tool_calls", json!(true)),
        ("reasoning", json!({"effort": "low", "summary": null})),
        ("store", json!(false)),
        ("tools", json!([{"type": "function", "name": "f", "parameters": null, "strict": null}])),
        (
            "usage",
            json!({"input_tokens": 0, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}, "output_tokens": 0,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 0, "cost": 0.5, "is_byok": false}),
        ),
    ] {
        assert_eq!(written[key], value, "{key}");
    }
    assert_eq!(
        written["output"],
        json!([
            {"id": "msg_gen-1_0", "type": "message", "status": "completed", "role": "assistant", "content": [
                {"type": "output_text", "annotations": [{"type": "url_citation", "url": "https://x", "title": "", "start_index": 1, "end_index": 2}],
                    "logprobs": [{"token": "Hel"}, {"token": "lo"}], "text": "Hello"},
                {"type": "output_text", "annotations": [], "logprobs": [{"token": " you"}], "text": " you"},
                {"type": "refusal", "refusal": "no"}]},
            {"id": "fc_gen-1_1", "type": "function_call", "status": "completed", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"id": "ig_gen-1_2", "type": "image_generation_call", "status": "completed", "result": "AAAA"},
        ])
    );
}

#[test]
fn an_answer_that_was_cut_says_so() {
    for (reason, status, details) in [
        (FinishReason::Length, "incomplete", json!({"reason": "max_output_tokens"})),
        (FinishReason::ContentFilter, "incomplete", json!({"reason": "content_filter"})),
        (FinishReason::Error, "failed", json!(null)),
    ] {
        let written = encode_answer(&answer(vec![Part::text("x")], reason), &names(json!({})));
        assert_eq!((&written["status"], &written["incomplete_details"]), (&json!(status), &details));
        assert_eq!(written["error"].is_null(), reason != FinishReason::Error);
        assert_eq!(written["output"][0]["status"] == "incomplete", status == "incomplete");
    }
}

#[test]
fn what_is_no_answer_is_an_error() {
    for (body, message) in [
        (json!("<html>"), None),
        (json!({}), None),
        (json!({"output": {}}), None),
        (json!({"output": [{"type": "function_call"}]}), None),
        (json!({"error": {"code": "server_error", "message": "it broke"}, "output": []}), Some("it broke")),
        (json!({"status": "failed", "error": {"message": "it broke"}}), Some("it broke")),
    ] {
        assert_eq!(decode_answer(body).unwrap_err().message.as_deref(), message);
    }
}

#[test]
fn usage_that_cannot_be_meant_is_none() {
    let usage = |usage: Value| decode_answer(json!({"output": [], "usage": usage})).unwrap().usage;
    for absurd in [
        json!({"input_tokens": -1}),
        json!({"input_tokens": 1.5}),
        json!({"input_tokens": "7"}),
        json!({"input_tokens": 100_000_001}),
        json!({"input_tokens": 1, "output_tokens_details": {"reasoning_tokens": -1}}),
        json!({}),
        json!([]),
    ] {
        assert_eq!(usage(absurd.clone()), None, "{absurd}");
    }
    let beside = usage(
        json!({"input_tokens": 10, "output_tokens": 5, "total_tokens": 18, "output_tokens_details": {"reasoning_tokens": 3}}),
    );
    assert_eq!(beside.unwrap().tokens.completion, 8);
    let ticks = usage(json!({"input_tokens": 1.0, "cost_in_usd_ticks": 25_000_000})).unwrap();
    assert_eq!(ticks.provider_cost, Some(0.0025));
}

#[test]
fn errors_are_read_and_written() {
    for (body, message, code) in [
        (
            r#"{"error":{"message":"bad","type":"invalid_request_error","param":"x","code":null}}"#,
            Some("bad"),
            Some("invalid_request_error"),
        ),
        (r#"{"code":"invalid-argument","error":"bad"}"#, Some("bad"), Some("invalid-argument")),
        (r#"{"type":"error","code":"server_error","message":"bad"}"#, Some("bad"), Some("server_error")),
        (r#"{"detail":"bad"}"#, Some("bad"), None),
        ("<html>", None, None),
    ] {
        let error = read_error(500, body.as_bytes());
        assert_eq!((error.message.as_deref(), error.code.as_deref()), (message, code), "{body}");
    }
    let written = write_error(&Error::invalid("input[0]", "Wrong."));
    assert_eq!((&written["error"]["param"], &written["error_type"]), (&json!("input[0]"), &json!("invalid_request")));
}
