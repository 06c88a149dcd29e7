//! Requests of our own, both ways.

use serde_json::{Value, json};

use super::{super::*, quirks, target};
use crate::{
    chat::{
        Cache, Effort, Extra, Format, MediaKind, MediaSource, Part, PartKind, Reasoning, ReasoningFormat, Request,
        Role, Thinking, Tool, ToolCall, ToolChoice, ToolResult, Turn, Wire,
    },
    dialect::Encoded,
};

fn read(members: Value) -> Request {
    let mut body = json!({ "model": "a/b", "messages": [{ "role": "user", "content": "hi" }] });
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    decode_request(body).unwrap()
}

fn sent(request: &Request, names: &[&str]) -> Encoded {
    encode_request(request, &target(&quirks(names))).unwrap()
}

fn with(turns: Vec<Turn>) -> Request {
    Request { turns, ..Request::default() }
}

fn losses(encoded: &Encoded) -> Vec<&str> {
    encoded.losses.list().iter().map(|loss| loss.field.as_str()).collect()
}

#[test]
fn a_conversation_with_tools_is_read() {
    let request = decode_request(json!({ "model": "a/b", "messages": [
        { "role": "developer", "content": "be brief" },
        { "role": "user", "name": "ann", "content": [
            { "type": "text", "text": "look", "cache_control": { "type": "ephemeral", "ttl": "1h" }, "x": 1 },
            { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBO", "detail": "low" } },
            { "type": "input_audio", "input_audio": { "data": "AAAA", "format": "mp3" } },
            { "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE" } },
            { "type": "video_url", "video_url": { "url": "https://v.example/v.mp4" } },
        ] },
        { "role": "assistant", "content": null, "reasoning_details": [
            { "type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1", "index": 0 },
            { "type": "reasoning.encrypted", "data": "mark", "format": "google-gemini-v1", "id": "c1" },
        ], "tool_calls": [
            { "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } },
            { "type": "function", "function": { "name": "g", "arguments": { "b": 2 } } },
        ] },
        { "role": "tool", "tool_call_id": "c1", "content": "one" },
    ] }))
    .unwrap();
    let [developer, user, assistant, tool] = request.turns.as_slice() else { panic!() };
    assert_eq!((developer.role, &developer.parts), (Role::Developer, &vec![Part::text("be brief")]));
    assert_eq!((user.name.as_deref(), user.parts[0].cache), (Some("ann"), Some(Cache::Hour)));
    assert_eq!(user.parts[0].extra, Extra::of(Wire::OpenaiChat, json!({ "x": 1 }).as_object().unwrap().clone()));
    let media: Vec<_> = user.parts[1..]
        .iter()
        .map(|part| match &part.kind {
            PartKind::Media(media) => (media.kind, media.mime.as_deref(), &media.source),
            other => panic!("{other:?}"),
        })
        .collect();
    let base64 = |data: &str| MediaSource::Base64(data.to_owned());
    assert_eq!(
        media,
        [
            (MediaKind::Image, Some("image/png"), &base64("iVBO")),
            (MediaKind::Audio, Some("audio/mpeg"), &base64("AAAA")),
            (MediaKind::Document, Some("application/pdf"), &base64("JVBE")),
            (MediaKind::Video, None, &MediaSource::Url("https://v.example/v.mp4".to_owned())),
        ]
    );
    let call = |id: &str, name: &str, arguments: &str, signature: Option<&str>| {
        Part::new(PartKind::ToolCall(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            signature: signature.map(str::to_owned),
            custom: false,
        }))
    };
    let thought = Reasoning {
        text: Some("hm".to_owned()),
        signature: Some("s".to_owned()),
        format: Some(ReasoningFormat::Anthropic),
        ..Reasoning::default()
    };
    assert_eq!(
        assistant.parts,
        [
            Part::new(PartKind::Reasoning(thought)),
            call("c1", "f", "{\"a\":1}", Some("mark")),
            call("call_0", "g", "{\"b\":2}", None)
        ]
    );
    let result = ToolResult { call_id: "c1".to_owned(), name: None, parts: vec![Part::text("one")], is_error: false };
    assert_eq!((tool.role, &tool.parts), (Role::User, &vec![Part::new(PartKind::ToolResult(result))]));
}

#[test]
fn parameters_are_read_in_every_spelling() {
    let request = read(json!({
        "max_tokens": 5, "max_completion_tokens": 7, "stop": "x", "n": 2, "modalities": ["text", "audio"],
        "response_format": { "type": "json_schema", "json_schema": { "name": "s", "schema": { "type": "object" }, "strict": true } },
        "tools": [{ "type": "function", "function": { "name": "f", "parameters": {}, "strict": false } }, { "type": "web_search", "a": 1 }],
        "tool_choice": { "type": "allowed_tools", "allowed_tools": { "mode": "required", "tools": [{ "type": "function", "function": { "name": "f" } }] } },
        "provider": { "only": ["x"] }, "stream_options": {}, "session_id": "s", "unheard_of": 1, "random_seed": 3,
    }));
    assert_eq!((request.max_tokens, request.choices, request.stop), (Some(7), Some(2), vec!["x".to_owned()]));
    assert_eq!(request.modalities, ["audio"]);
    assert!(matches!(&request.format, Format::Schema { name: Some(name), strict: Some(true), .. } if name == "s"));
    assert!(matches!(&request.tools[1], Tool::Foreign(Wire::OpenaiChat, tool) if tool["a"] == 1));
    assert_eq!(request.tool_choice, Some(ToolChoice::Among(vec!["f".to_owned()], true)));
    assert_eq!(request.sampling.seed, Some(3.into()));
    assert_eq!(request.extra.members.keys().collect::<Vec<_>>(), ["unheard_of"]);
}

#[test]
fn thinking_is_read_in_every_spelling() {
    for (members, expected) in [
        (json!({ "reasoning_effort": "low" }), Thinking { effort: Some(Effort::Low), ..Thinking::default() }),
        (
            json!({ "reasoning": { "max_tokens": 9, "exclude": true } }),
            Thinking { max_tokens: Some(9), hidden: Some(true), ..Thinking::default() },
        ),
        (json!({ "thinking": { "type": "disabled" } }), Thinking { enabled: Some(false), ..Thinking::default() }),
        (json!({ "enable_thinking": true }), Thinking { enabled: Some(true), ..Thinking::default() }),
        (json!({ "include_reasoning": false }), Thinking { hidden: Some(true), ..Thinking::default() }),
    ] {
        assert_eq!(read(members.clone()).thinking, Some(expected), "{members}");
    }
    assert_eq!(read(json!({ "reasoning_effort": "default" })).extra.members["reasoning_effort"], "default");
}

#[test]
fn thinking_is_written_as_the_provider_spells_it() {
    let off = json!({ "reasoning": { "enabled": false } });
    let high = json!({ "reasoning_effort": "high" });
    let tokens = json!({ "reasoning": { "max_tokens": 5_000 }, "max_tokens": 10_000 });
    for (asked, quirk, key, expected) in [
        (&high, "", "reasoning_effort", json!("high")),
        (&off, "", "reasoning_effort", json!("none")),
        (&tokens, "", "reasoning_effort", json!("medium")),
        (&tokens, "openrouter", "reasoning", json!({ "max_tokens": 5_000 })),
        (&off, "thinking_type", "thinking", json!({ "type": "disabled" })),
        (&high, "thinking_type", "thinking", json!({ "type": "enabled" })),
        (&high, "thinking_type", "reasoning_effort", json!("high")),
        (&off, "thinking_type", "reasoning_effort", Value::Null),
        (&off, "enable_thinking", "enable_thinking", json!(false)),
    ] {
        let body = sent(&read(asked.clone()), &[quirk]).body;
        assert_eq!(body[key], expected, "{asked} with {quirk}: {body}");
    }
}

#[test]
fn what_a_provider_does_not_know_is_a_loss() {
    let request = read(
        json!({ "top_k": 3, "min_p": 0.5, "cache_control": { "type": "ephemeral" }, "reasoning": { "summary": "auto", "effort": "low" },
        "messages": [{ "role": "user", "content": [{ "type": "text", "text": "a", "cache_control": { "type": "ephemeral" } }] }] }),
    );
    let plain = sent(&request, &[]);
    assert_eq!(
        losses(&plain),
        ["messages[0].content[0].cache_control", "top_k", "min_p", "reasoning.summary", "cache_control"]
    );
    assert_eq!(plain.body["messages"], json!([{ "role": "user", "content": "a" }]));
    let all = sent(&request, &["openrouter"]);
    assert_eq!(losses(&all), Vec::<&str>::new());
    assert_eq!((&all.body["top_k"], &all.body["cache_control"]), (&json!(3), &json!({ "type": "ephemeral" })));
    let members = json!({ "thinking": {} }).as_object().unwrap().clone();
    let other = Request { extra: Extra::of(Wire::AnthropicMessages, members), ..read(json!({})) };
    assert_eq!(losses(&sent(&other, &[])), ["thinking"]);
}

#[test]
fn what_changes_the_meaning_is_refused() {
    let foreign = || Value::from(1);
    let part = |kind| with(vec![Turn::new(Role::User, vec![Part::new(kind)])]);
    let media = |kind, source| PartKind::Media(media::medium(kind, None, source));
    for (request, field) in [
        (Request { tools: vec![Tool::Foreign(Wire::Gemini, foreign())], ..read(json!({})) }, "tools[0]"),
        (Request { tool_choice: Some(ToolChoice::Foreign(Wire::Gemini, foreign())), ..read(json!({})) }, "tool_choice"),
        (Request { format: Format::Foreign(Wire::Gemini, foreign()), ..read(json!({})) }, "response_format"),
        (part(PartKind::Foreign(Wire::Gemini, foreign())), "messages[0].content[0]"),
        (part(media(MediaKind::Video, MediaSource::Url("https://v.example".to_owned()))), "messages[0].content[0]"),
        (part(media(MediaKind::Audio, MediaSource::Url("https://v.example".to_owned()))), "messages[0].content[0]"),
        (part(media(MediaKind::Document, MediaSource::Url("https://v.example".to_owned()))), "messages[0].content[0]"),
        (part(media(MediaKind::Image, MediaSource::Id("file".to_owned()))), "messages[0].content[0]"),
    ] {
        let error = encode_request(&request, &target(&[])).unwrap_err();
        assert_eq!((error.param.as_deref(), error.code), (Some(field), Some("unsupported_parameter")));
    }
}

#[test]
fn results_come_first_and_their_pictures_after() {
    let picture = || {
        let source = MediaSource::Base64("iVBO".to_owned());
        Part::new(PartKind::Media(media::medium(MediaKind::Image, Some("image/png".to_owned()), source)))
    };
    let result = |call_id: &str, parts| {
        Part::new(PartKind::ToolResult(ToolResult { call_id: call_id.to_owned(), name: None, parts, is_error: true }))
    };
    let parts =
        vec![Part::text("and now?"), result("c1", vec![Part::text("one"), picture()]), result("c2", vec![picture()])];
    let request = with(vec![Turn::new(Role::User, parts)]);
    let encoded = sent(&request, &[]);
    let messages = encoded.body["messages"].as_array().unwrap();
    let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["tool", "tool", "user", "user"]);
    assert_eq!((&messages[0]["content"], &messages[3]["content"]), (&json!("one"), &json!("and now?")));
    assert_eq!(messages[2]["content"].as_array().unwrap().len(), 4);
    assert_eq!(losses(&encoded), ["messages[0].content[1].is_error", "messages[0].content[2].is_error"]);
    let inside = sent(&request, &["media_in_tool_results"]);
    assert_eq!(inside.body["messages"][0]["content"][1]["type"], "image_url");
    assert_eq!(inside.body["messages"].as_array().unwrap().len(), 3);
}

#[test]
fn earlier_thoughts_go_where_they_are_taken() {
    let thought = Reasoning {
        text: Some("hm".to_owned()),
        signature: Some("s".to_owned()),
        format: Some(ReasoningFormat::Anthropic),
        ..Reasoning::default()
    };
    let parts = vec![Part::new(PartKind::Reasoning(thought)), Part::text("yes")];
    let request = with(vec![Turn::new(Role::Assistant, parts)]);
    let (signature, text) = ("messages[0].content[0].signature", "messages[0].content[0].text");
    for (quirk, member, expected, lost) in [
        ("", "reasoning", Value::Null, vec![text, signature]),
        ("reasoning_content", "reasoning_content", json!("hm"), vec![signature]),
        ("reasoning_text", "reasoning", json!("hm"), vec![signature]),
        (
            "openrouter",
            "reasoning_details",
            json!([{ "type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1", "index": 0 }]),
            vec![],
        ),
    ] {
        let encoded = sent(&request, &[quirk]);
        let message = &encoded.body["messages"][0];
        assert_eq!((&message[member], &message["content"]), (&expected, &json!("yes")), "{quirk}");
        assert_eq!(losses(&encoded), lost, "{quirk}");
    }
    let parts = sent(&request, &["thinking_parts"]).body["messages"][0]["content"].clone();
    assert_eq!(parts[0], json!({ "type": "thinking", "thinking": [{ "type": "text", "text": "hm" }] }));
}

#[test]
fn the_functions_of_old_become_tools() {
    let request = decode_request(json!({
        "model": "a/b", "functions": [{ "name": "f", "parameters": {} }], "function_call": { "name": "f" },
        "messages": [
            { "role": "user", "content": "hi" },
            { "role": "assistant", "content": null, "function_call": { "name": "f", "arguments": "{}" } },
            { "role": "function", "name": "f", "content": "one" },
        ],
    }))
    .unwrap();
    let body = sent(&request, &[]).body;
    assert_eq!(body["tool_choice"], json!({ "type": "function", "function": { "name": "f" } }));
    assert_eq!(body["messages"][1]["tool_calls"][0]["id"], "call_0");
    assert_eq!(body["messages"][2]["tool_call_id"], "call_0");
}

#[test]
fn what_is_asked_for_is_written_for_the_provider() {
    let mut request = read(json!({ "max_tokens": 100, "stream": true, "tool_choice": { "type": "allowed_tools",
        "allowed_tools": { "mode": "auto", "tools": [{ "type": "function", "function": { "name": "f" } }] } },
        "tools": [{ "type": "function", "function": { "name": "f" } }, { "type": "function", "function": { "name": "g" } }] }));
    request.turns.insert(0, Turn::new(Role::Developer, vec![Part::text("a"), Part::text("b")]));
    let quirks = quirks(&[
        "max_completion_tokens",
        "no_allowed_tools",
        "no_developer_role",
        "string_content",
        "no_stream_options",
    ]);
    let target = crate::dialect::Target { longest: Some(50), ..target(&quirks) };
    let body = encode_request(&request, &target).unwrap().body;
    assert_eq!(
        body,
        json!({ "model": "m", "messages": [{ "role": "system", "content": "a\n\nb" }, { "role": "user", "content": "hi" }],
            "tools": [{ "type": "function", "function": { "name": "f" } }], "tool_choice": "auto",
            "max_completion_tokens": 50, "stream": true })
    );
    assert_eq!(sent(&request, &[]).body["stream_options"], json!({ "include_usage": true }));
}

#[test]
fn what_is_wrong_names_its_field() {
    let message = |message: Value| json!({ "messages": [message] });
    for (members, field) in [
        (json!({ "messages": [] }), "messages"),
        (json!({ "messages": {} }), "messages"),
        (message(json!({ "content": "x" })), "messages[0].role"),
        (message(json!({ "role": "robot" })), "messages[0].role"),
        (message(json!({ "role": "user", "content": 5 })), "messages[0].content"),
        (message(json!({ "role": "user", "content": [{ "text": "x" }] })), "messages[0].content[0].type"),
        (message(json!({ "role": "user", "content": [{ "type": "image_url" }] })), "messages[0].content[0].image_url"),
        (
            message(json!({ "role": "user", "content": [{ "type": "image_url", "image_url": "data:x,y" }] })),
            "messages[0].content[0].image_url",
        ),
        (message(json!({ "role": "tool", "content": "x" })), "messages[0].tool_call_id"),
        (message(json!({ "role": "assistant", "tool_calls": [{ "id": "c" }] })), "messages[0].tool_calls[0].function"),
        (json!({ "tools": [{ "type": "function" }] }), "tools[0].function"),
        (json!({ "tool_choice": "never" }), "tool_choice"),
        (json!({ "response_format": { "type": "json_schema" } }), "response_format.json_schema"),
        (json!({ "reasoning": { "effort": "huge" } }), "reasoning.effort"),
        (json!({ "reasoning": { "effort": "low" }, "reasoning_effort": "high" }), "reasoning_effort"),
        (json!({ "temperature": "hot" }), "temperature"),
        (json!({ "stop": [1] }), "stop[0]"),
    ] {
        let mut body = json!({ "model": "a/b", "messages": [{ "role": "user", "content": "hi" }] });
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let error = decode_request(body).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(field), "{members}: {error}");
        assert_eq!(error.status(), 400);
    }
}
