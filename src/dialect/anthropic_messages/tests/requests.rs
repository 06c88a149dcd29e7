//! Requests: from a client in this format, and from other formats to a provider.

use serde_json::{Value, json};

use super::{super::*, encoded, user, walker::normal};
use crate::{
    chat::{
        Cache, Citation, Effort, Extra, Format, Losses, Media, MediaKind, MediaSource, Part, PartKind, Reasoning,
        ReasoningFormat, Request, Role, Thinking, Tool, ToolCall, ToolChoice, ToolResult, Turn, Wire,
    },
    dialect::Target,
};

fn listed(losses: &Losses) -> Vec<&str> {
    losses.list().iter().map(|loss| loss.field.as_str()).collect()
}

fn says(role: Role, parts: Vec<Part>) -> Request {
    Request { turns: vec![Turn::new(role, parts)], max_tokens: Some(9), ..Request::default() }
}

fn call(id: &str, arguments: &str) -> Part {
    let (id, name) = (id.to_owned(), "f".to_owned());
    Part::new(PartKind::ToolCall(ToolCall {
        id,
        name,
        arguments: arguments.to_owned(),
        signature: None,
        custom: false,
    }))
}

fn result(id: &str, text: &str) -> Part {
    let parts = vec![Part::text(text)];
    Part::new(PartKind::ToolResult(ToolResult { call_id: id.to_owned(), name: None, parts, is_error: false }))
}

fn media(kind: MediaKind, mime: Option<&str>, source: MediaSource) -> Part {
    let mime = mime.map(str::to_owned);
    Part::new(PartKind::Media(Media { kind, mime, source, name: None, detail: None, transcript: None }))
}

fn function(name: &str) -> Tool {
    Tool::Function {
        name: name.to_owned(),
        description: None,
        parameters: None,
        strict: None,
        cache: None,
        extra: Extra::default(),
    }
}

#[test]
fn every_kind_of_content_comes_back() {
    let blocks = [
        json!({ "type": "text", "text": "a", "cache_control": { "type": "ephemeral", "ttl": "1h" } }),
        json!({ "type": "text", "text": "a", "cache_control": { "type": "ephemeral", "scope": "global" } }),
        json!({ "type": "text", "text": "a", "citations": [
            { "type": "char_location", "cited_text": "c", "document_index": 0, "document_title": "t", "start_char_index": 1, "end_char_index": 2 },
            { "type": "web_search_result_location", "cited_text": "c", "url": "https://e.example", "title": "t", "encrypted_index": "x" },
        ]}),
        json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo=" } }),
        json!({ "type": "image", "source": { "type": "url", "url": "https://e.example/a.png" } }),
        json!({ "type": "image", "source": { "type": "file", "file_id": "file_1" } }),
        json!({ "type": "image", "source": { "type": "from_the_future", "x": 1 } }),
        json!({ "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": "JVBERi0=" },
                "title": "t", "context": "c", "citations": { "enabled": true } }),
        json!({ "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": "d" } }),
        json!({ "type": "document", "source": { "type": "content", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] } }),
        json!({ "type": "document", "source": { "type": "content", "content": [{ "type": "image", "source": {} }] } }),
        json!({ "type": "document", "source": { "type": "url", "url": "https://e.example/a.pdf" }, "new_member": 1 }),
        json!({ "type": "search_result", "source": "s", "title": "t", "content": [{ "type": "text", "text": "a" }],
                "citations": { "enabled": true }, "cache_control": { "type": "ephemeral" } }),
        json!({ "type": "tool_use", "id": "toolu_1", "name": "f", "input": { "z": 1, "a": [null] } }),
        json!({ "type": "tool_use", "id": "toolu_1", "name": "f", "input": {}, "caller": { "type": "code_execution_20250825", "tool_id": "s" } }),
        json!({ "type": "tool_result", "tool_use_id": "toolu_1", "content": "r", "is_error": true }),
        json!({ "type": "tool_result", "tool_use_id": "toolu_1" }),
        json!({ "type": "tool_result", "tool_use_id": "toolu_1", "content": [
            { "type": "text", "text": "r", "cache_control": { "type": "ephemeral" } },
            { "type": "image", "source": { "type": "base64", "media_type": "image/gif", "data": "R0lGOD==" } },
            { "type": "tool_reference", "tool_name": "g" },
        ]}),
        json!({ "type": "thinking", "thinking": "t", "signature": "s" }),
        json!({ "type": "thinking", "thinking": "", "signature": "s" }),
        json!({ "type": "redacted_thinking", "data": "d" }),
        json!({ "type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": { "query": "q" } }),
        json!({ "type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{ "type": "web_search_result" }] }),
        json!({ "type": "container_upload", "file_id": "file_1" }),
    ];
    for block in blocks {
        let mut body = user(&json!([block]));
        body["messages"][0]["role"] = "assistant".into();
        let images = ["image", "document"].contains(&block["type"].as_str().unwrap());
        if images {
            body["messages"][0]["role"] = "user".into();
        }
        let request = decode_request(body.clone()).unwrap();
        let again = encoded(&request, &[]).unwrap();
        assert_eq!(again.losses.list(), &[], "{block}");
        assert_eq!(normal(again.body), normal(body), "{block}");
    }
}

#[test]
fn every_member_comes_back() {
    let members = [
        ("system", json!("s")),
        ("system", json!([{ "type": "text", "text": "s", "cache_control": { "type": "ephemeral" } }])),
        ("stream", json!(true)),
        ("temperature", json!(0.10)),
        ("top_p", json!(0.5)),
        ("top_k", json!(5)),
        ("stop_sequences", json!(["a", "b"])),
        ("cache_control", json!({ "type": "ephemeral", "ttl": "5m" })),
        ("metadata", json!({ "user_id": "u", "other": 1 })),
        ("service_tier", json!("auto")),
        ("service_tier", json!("standard_only")),
        ("service_tier", json!("from_the_future")),
        ("thinking", json!({ "type": "disabled" })),
        ("thinking", json!({ "type": "adaptive", "display": "omitted" })),
        ("thinking", json!({ "type": "from_the_future", "x": 1 })),
        ("output_config", json!({ "effort": "xhigh", "task_budget": { "total": 5 } })),
        ("output_config", json!({ "effort": "from_the_future" })),
        ("output_config", json!({ "format": { "type": "json_schema", "schema": { "type": "object" } } })),
        ("output_format", json!({ "type": "json_schema", "schema": { "type": "object" } })),
        ("output_format", json!({ "type": "grammar", "grammar": "g" })),
        ("mcp_servers", json!([{ "type": "url", "url": "https://e.example", "name": "n" }])),
        ("container", json!("container_1")),
        ("context_management", json!({ "edits": [] })),
        ("speed", json!("fast")),
    ];
    for (key, value) in members {
        let mut body = user(&json!("hi"));
        body[key] = value;
        let again = encoded(&decode_request(body.clone()).unwrap(), &[]).unwrap();
        assert_eq!(again.losses.list(), &[], "{body}");
        assert_eq!(normal(again.body), normal(body));
    }
    let mut body = user(&json!("hi"));
    body["max_tokens"] = 4000.into();
    body["thinking"] = json!({ "type": "enabled", "budget_tokens": 3000, "display": "summarized" });
    body["output_config"] = json!({ "effort": "low" });
    body["tools"] = json!([
        { "name": "f", "description": "d", "input_schema": { "type": "object" }, "strict": true, "defer_loading": true,
          "cache_control": { "type": "ephemeral" } },
        { "type": "web_search_20250305", "name": "web_search", "max_uses": 2 },
    ]);
    for choice in [
        json!({ "type": "auto", "disable_parallel_tool_use": true }),
        json!({ "type": "none" }),
        json!({ "type": "from_the_future" }),
    ] {
        body["tool_choice"] = choice;
        let again = encoded(&decode_request(body.clone()).unwrap(), &[]).unwrap();
        assert_eq!(again.losses.list(), &[]);
        assert_eq!(normal(again.body), normal(body.clone()));
    }
}

#[test]
fn a_system_message_keeps_its_place_only_where_it_may() {
    let body = json!({ "model": "m", "max_tokens": 9, "system": "a", "messages": [
        { "role": "user", "content": "hi" }, { "role": "system", "content": "b" },
    ]});
    let request = decode_request(body.clone()).unwrap();
    assert_eq!(normal(encoded(&request, &["system_turns"]).unwrap().body), normal(body));
    let gathered = encoded(&request, &[]).unwrap().body;
    assert_eq!(gathered["system"], json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]));
    assert_eq!(gathered["messages"], json!([{ "role": "user", "content": "hi" }]));
}

#[test]
fn turns_of_one_role_are_one_message_and_results_stand_first() {
    let thoughts = Reasoning { text: Some("t".to_owned()), ..Reasoning::default() };
    let request = Request {
        turns: vec![
            Turn::new(Role::System, vec![Part::text("s")]),
            Turn::new(Role::User, vec![Part::text(""), Part::text(" \n")]),
            Turn { name: Some("Ann".to_owned()), ..Turn::new(Role::User, vec![Part::text("q")]) },
            Turn::new(Role::Assistant, vec![Part::new(PartKind::Reasoning(thoughts)), Part::text("")]),
            Turn::new(Role::Assistant, vec![call("a:1", "{\"x\": 1}"), call("b", ""), call("c", "{broken")]),
            Turn::new(Role::User, vec![Part::text("meanwhile"), result("b", "2")]),
            Turn::new(Role::User, vec![result("a:1", "1"), Part::text("go on")]),
            Turn::new(Role::Developer, vec![Part::text("d")]),
        ],
        ..Request::default()
    };
    let encoded = encoded(&request, &[]).unwrap();
    let text = |text: &str| json!({ "type": "text", "text": text });
    let uses = |id: &str, input: Value| json!({ "type": "tool_use", "id": id, "name": "f", "input": input });
    let gives = |id: &str, text: &str| json!({ "type": "tool_result", "tool_use_id": id, "content": text });
    let expected = json!({
        "model": "m", "max_tokens": 4096, "system": [text("s"), text("d")],
        "messages": [
            { "role": "user", "content": "q" },
            { "role": "assistant", "content": [
                uses("a_1", json!({ "x": 1 })), uses("b", json!({})), uses("c", json!({ "INVALID_JSON": "{broken" })),
            ]},
            { "role": "user", "content": [gives("b", "2"), gives("a_1", "1"), text("meanwhile"), text("go on")] },
        ],
    });
    assert_eq!(encoded.body, expected);
    let lost = ["messages[2].name", "messages[3].content[0].reasoning", "messages[4].content[2].arguments"];
    assert_eq!(listed(&encoded.losses), lost);
}

#[test]
fn a_system_prompt_alone_is_asked_by_the_user() {
    let encoded = encoded(&says(Role::System, vec![Part::text("s")]), &[]).unwrap();
    assert_eq!(encoded.body["messages"], json!([{ "role": "user", "content": "s" }]));
    assert!(encoded.body.get("system").is_none());
    assert_eq!(listed(&encoded.losses), ["messages[0].role"]);
}

#[test]
fn thoughts_go_back_to_their_maker_only() {
    let signed = |format, signature: Option<&str>| Reasoning {
        text: Some("t".to_owned()),
        signature: signature.map(str::to_owned),
        format,
        ..Reasoning::default()
    };
    let anthropic = Some(ReasoningFormat::Anthropic);
    for (reasoning, goes) in [
        (signed(anthropic, Some("s")), true),
        (signed(anthropic, None), false),
        (signed(Some(ReasoningFormat::Openai), Some("s")), false),
        (signed(None, Some("s")), false),
        (Reasoning { encrypted: Some("e".to_owned()), format: anthropic, ..Reasoning::default() }, true),
    ] {
        let parts = vec![Part::new(PartKind::Reasoning(reasoning)), Part::text("a")];
        let encoded = encoded(&says(Role::Assistant, parts), &[]).unwrap();
        assert_eq!(encoded.body["messages"][0]["content"].is_array(), goes);
        assert_eq!(encoded.losses.list().is_empty(), goes);
    }
}

/// What is asked for, the longest answer, quirks; what is said, the effort, what is lost.
type ThinkingRow<'r> = (Thinking, u64, &'r [&'r str], Value, Value, &'r [&'r str]);

#[test]
fn thinking_is_said_as_the_model_takes_it() {
    let on = Thinking { enabled: Some(true), ..Thinking::default() };
    let effort = |effort| Thinking { effort: Some(effort), ..Thinking::default() };
    let budget = |tokens| Thinking { max_tokens: Some(tokens), ..Thinking::default() };
    let adaptive = json!({ "type": "adaptive" });
    let shown = json!({ "type": "adaptive", "display": "summarized" });
    let enabled = |tokens: u64| json!({ "type": "enabled", "budget_tokens": tokens });
    let none = Value::Null;
    #[rustfmt::skip]
    let rows: Vec<ThinkingRow> = vec![
        (on.clone(), 8000, &[], adaptive.clone(), none.clone(), &[]),
        (on, 8000, &["budget_thinking"], enabled(4000), none.clone(), &[]),
        (effort(Effort::High), 8000, &[], adaptive.clone(), json!("high"), &[]),
        (effort(Effort::Minimal), 8000, &[], adaptive, json!("low"), &["thinking.effort"]),
        (effort(Effort::High), 8000, &["adaptive_thinking"], shown.clone(), json!("high"), &[]),
        (effort(Effort::High), 8000, &["budget_thinking", "no_effort"], enabled(6400), none.clone(), &[]),
        (effort(Effort::Low), 2000, &["budget_thinking"], enabled(1024), none.clone(), &[]),
        (effort(Effort::Low), 1024, &["budget_thinking"], none.clone(), none.clone(), &["thinking"]),
        (budget(2000), 8000, &[], enabled(2000), none.clone(), &[]),
        (budget(9000), 8000, &[], enabled(7600), none.clone(), &["thinking.budget_tokens"]),
        (budget(1500), 1200, &[], enabled(1140), none.clone(), &["thinking.budget_tokens"]),
        (budget(4000), 8000, &["adaptive_thinking"], shown, json!("medium"), &["thinking.budget_tokens"]),
        (effort(Effort::None), 8000, &[], json!({ "type": "disabled" }), none.clone(), &[]),
        (effort(Effort::None), 8000, &["no_thinking"], none.clone(), none.clone(), &[]),
        (effort(Effort::Low), 8000, &["no_thinking", "no_effort"], none.clone(), none.clone(), &["thinking"]),
        (effort(Effort::None), 8000, &["no_thinking_off"], none.clone(), none.clone(), &["thinking"]),
        (Thinking { hidden: Some(true), ..Thinking::default() }, 8000, &[], none.clone(), none, &[]),
    ];
    for (thinking, max_tokens, quirks, said, effort, lost) in rows {
        let mut request = says(Role::User, vec![Part::text("q")]);
        (request.max_tokens, request.thinking) = (Some(max_tokens), Some(thinking.clone()));
        let encoded = encoded(&request, quirks).unwrap();
        assert_eq!(encoded.body["thinking"], said, "{thinking:?} {quirks:?}");
        assert_eq!(encoded.body["output_config"]["effort"], effort, "{thinking:?} {quirks:?}");
        assert_eq!(listed(&encoded.losses), lost, "{thinking:?} {quirks:?}");
    }
}

#[test]
fn thinking_gives_way_to_what_it_cannot_go_with() {
    let mut request = says(Role::User, vec![Part::text("q")]);
    request.max_tokens = Some(8000);
    request.thinking = Some(Thinking { max_tokens: Some(2000), ..Thinking::default() });
    request.sampling.temperature = serde_json::Number::from_f64(0.5);
    request.sampling.top_k = Some(5.into());
    let with = encoded(&request, &[]).unwrap();
    assert_eq!(with.body["thinking"]["budget_tokens"], 2000);
    assert_eq!(listed(&with.losses), ["temperature", "top_k"]);

    (request.tools, request.tool_choice) = (vec![function("f")], Some(ToolChoice::Required));
    let forced = encoded(&request, &[]).unwrap();
    assert_eq!((&forced.body["thinking"], listed(&forced.losses)), (&Value::Null, vec!["thinking"]));
    assert_eq!(encoded(&request, &["adaptive_thinking"]).unwrap().body["thinking"]["type"], "adaptive");

    request.tool_choice = None;
    request.turns.push(Turn::new(Role::Assistant, vec![call("a", "{}")]));
    request.turns.push(Turn::new(Role::User, vec![result("a", "1")]));
    let thoughtless = encoded(&request, &[]).unwrap();
    assert_eq!((&thoughtless.body["thinking"], listed(&thoughtless.losses)), (&Value::Null, vec!["thinking"]));
    let adaptive = encoded(&request, &["adaptive_thinking"]).unwrap();
    assert_eq!(adaptive.body["thinking"]["type"], "adaptive");
}

#[test]
fn sampling_is_carried_or_named() {
    let number = serde_json::Number::from_f64;
    let mut request = says(Role::User, vec![Part::text("q")]);
    request.sampling.temperature = number(1.5);
    request.sampling.top_p = number(0.9);
    request.sampling.frequency_penalty = number(0.5);
    request.sampling.seed = Some(1.into());
    request.sampling.logprobs = Some(false);
    let rows: [(&[&str], Value, Value, &[&str]); 3] = [
        (&[], json!(1), json!(0.9), &["temperature", "frequency_penalty", "seed"]),
        (&["one_sampler"], json!(1), Value::Null, &["temperature", "top_p", "frequency_penalty", "seed"]),
        (&["no_sampling"], Value::Null, Value::Null, &["temperature", "top_p", "frequency_penalty", "seed"]),
    ];
    for (quirks, temperature, top_p, lost) in rows {
        let encoded = encoded(&request, quirks).unwrap();
        assert_eq!((&encoded.body["temperature"], &encoded.body["top_p"]), (&temperature, &top_p));
        assert_eq!(listed(&encoded.losses), lost);
    }
}

#[test]
fn tools_and_the_choice_among_them() {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let rows = [
        (None, None, Value::Null),
        (None, Some(false), json!({ "type": "auto", "disable_parallel_tool_use": true })),
        (Some(ToolChoice::Auto), Some(true), json!({ "type": "auto" })),
        (Some(ToolChoice::None), Some(false), json!({ "type": "none" })),
        (Some(ToolChoice::Required), Some(false), json!({ "type": "any", "disable_parallel_tool_use": true })),
        (Some(ToolChoice::Function("f".to_owned())), None, json!({ "type": "tool", "name": "f" })),
        (Some(ToolChoice::Among(names(&["g"]), true)), None, json!({ "type": "any" })),
        (Some(ToolChoice::Among(names(&["g"]), false)), None, json!({ "type": "auto" })),
    ];
    for (choice, parallel, said) in rows {
        let among = matches!(choice, Some(ToolChoice::Among(..)));
        let mut request = says(Role::User, vec![Part::text("q")]);
        request.tools = vec![function("f"), function("g")];
        (request.tool_choice, request.parallel_tool_calls) = (choice, parallel);
        let encoded = encoded(&request, &[]).unwrap();
        assert_eq!((&encoded.body["tool_choice"], encoded.losses.list()), (&said, &[][..]));
        let g = json!({ "name": "g", "input_schema": { "type": "object", "properties": {} } });
        assert_eq!(encoded.body["tools"].as_array().unwrap().len(), if among { 1 } else { 2 });
        assert_eq!(encoded.body["tools"].as_array().unwrap().last(), Some(&g));
    }
    let mut request = says(Role::User, vec![Part::text("q")]);
    request.tools = vec![Tool::Function {
        name: "f".to_owned(),
        description: Some("d".to_owned()),
        parameters: Some(json!({ "properties": { "b": {}, "a": {} } })),
        strict: Some(true),
        cache: Some(Cache::Hour),
        extra: Extra::of(Wire::OpenaiChat, super::super::fields::object([("x", Some(1.into()))])),
    }];
    let quirky = encoded(&request, &["no_strict"]).unwrap();
    assert_eq!(
        quirky.body["tools"][0].to_string(),
        r#"{"name":"f","description":"d","input_schema":{"type":"object","properties":{"b":{},"a":{}}},"cache_control":{"type":"ephemeral","ttl":"1h"}}"#
    );
    assert_eq!(listed(&quirky.losses), ["tools[0].strict", "tools[0].x"]);
    assert_eq!(encoded(&request, &[]).unwrap().body["tools"][0]["strict"], true);
}

#[test]
fn media_are_given_in_the_forms_that_are_taken() {
    use MediaKind::{Document, Image};
    let base64 = |data: &str| MediaSource::Base64(data.to_owned());
    let url = |url: &str| MediaSource::Url(url.to_owned());
    let rows = [
        (
            media(Image, None, base64("/9j/AA==")),
            json!({ "type": "base64", "media_type": "image/jpeg", "data": "/9j/AA==" }),
        ),
        (
            media(Image, Some("image/jpg"), base64("AA==")),
            json!({ "type": "base64", "media_type": "image/jpeg", "data": "AA==" }),
        ),
        (media(Image, None, url("https://e.example/a")), json!({ "type": "url", "url": "https://e.example/a" })),
        (
            media(Document, Some("text/csv"), base64("YSxi")),
            json!({ "type": "text", "media_type": "text/plain", "data": "a,b" }),
        ),
        (
            media(Document, None, base64("JVBERi0=")),
            json!({ "type": "base64", "media_type": "application/pdf", "data": "JVBERi0=" }),
        ),
        (media(Document, None, MediaSource::Id("file_1".to_owned())), json!({ "type": "file", "file_id": "file_1" })),
    ];
    for (part, source) in rows {
        let encoded = encoded(&says(Role::User, vec![part]), &[]).unwrap();
        assert_eq!(encoded.body["messages"][0]["content"][0]["source"], source);
        assert_eq!(encoded.losses.list(), &[]);
    }
}

#[test]
fn what_would_change_the_meaning_is_refused() {
    let one = |part: Part| says(Role::User, vec![part]);
    let set = |change: fn(&mut Request)| {
        let mut request = says(Role::User, vec![Part::text("q")]);
        change(&mut request);
        request
    };
    let url = |url: &str| MediaSource::Url(url.to_owned());
    let at = "messages[0].content[0]";
    let rows: Vec<(Request, &str, &[&str])> = vec![
        (one(media(MediaKind::Audio, None, url("https://e.example"))), at, &[]),
        (one(media(MediaKind::Video, None, url("https://e.example"))), at, &[]),
        (one(media(MediaKind::Image, None, url("gs://b/a.png"))), at, &[]),
        (one(media(MediaKind::Image, None, url("https://e.example"))), at, &["bedrock_invoke"]),
        (one(media(MediaKind::Image, Some("image/tiff"), MediaSource::Base64("AA==".to_owned()))), at, &[]),
        (one(media(MediaKind::Document, Some("text/plain"), MediaSource::Base64("!".to_owned()))), at, &[]),
        (one(Part::new(PartKind::Foreign(Wire::Gemini, json!({})))), at, &[]),
        (says(Role::Assistant, vec![media(MediaKind::Image, None, url("https://e.example"))]), at, &[]),
        (says(Role::System, vec![media(MediaKind::Image, None, url("https://e.example"))]), at, &[]),
        (set(|r| r.format = Format::Json), "response_format", &[]),
        (set(|r| r.format = Format::Foreign(Wire::OpenaiResponses, json!({}))), "response_format", &[]),
        (set(|r| r.choices = Some(2)), "n", &[]),
        (set(|r| r.modalities = vec!["text".to_owned(), "image".to_owned()]), "modalities", &[]),
        (set(|r| r.tools = vec![Tool::Foreign(Wire::Gemini, json!({}))]), "tools[0]", &[]),
        (set(|r| r.tool_choice = Some(ToolChoice::Required)), "tool_choice", &[]),
        (set(|r| r.tool_choice = Some(ToolChoice::Among(Vec::new(), false))), "tool_choice", &[]),
        (set(|r| r.tool_choice = Some(ToolChoice::Foreign(Wire::Gemini, json!({})))), "tool_choice", &[]),
    ];
    for (request, param, quirks) in rows {
        let error = encoded(&request, quirks).unwrap_err();
        assert_eq!((error.status(), error.param.as_deref()), (400, Some(param)), "{}", error.message);
    }
}

#[test]
fn what_is_lost_is_named() {
    let mut request = says(Role::User, vec![Part::text("q")]);
    request.turns.push(Turn::new(
        Role::Assistant,
        vec![
            Part::new(PartKind::Text {
                text: "a".to_owned(),
                citations: vec![Citation { url: Some("https://e.example".to_owned()), ..Citation::default() }],
            }),
            Part::new(PartKind::Refusal("no".to_owned())),
            Part::new(PartKind::Foreign(Wire::OpenaiResponses, json!({ "type": "web_search_call" }))),
        ],
    ));
    request.format = Format::Schema {
        name: Some("n".to_owned()),
        description: None,
        schema: json!({ "type": "object" }),
        strict: None,
    };
    request.cache_key = Some("k".to_owned());
    request.stop = vec!["\n".to_owned(), "END".to_owned()];
    request.service_tier = Some("flex".to_owned());
    request.extra = Extra::of(Wire::Gemini, super::super::fields::object([("safetySettings", Some(json!([])))]));
    let encoded = encoded(&request, &[]).unwrap();
    assert_eq!(
        encoded.body["messages"][1]["content"],
        json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "no" }])
    );
    assert_eq!(
        encoded.body["output_config"]["format"],
        json!({ "type": "json_schema", "schema": { "type": "object" } })
    );
    assert_eq!(encoded.body["stop_sequences"], json!(["END"]));
    assert_eq!(
        listed(&encoded.losses),
        [
            "messages[1].content[0].citations",
            "messages[1].content[1].refusal",
            "messages[1].content[2]",
            "response_format.name",
            "stop",
            "prompt_cache_key",
            "service_tier",
            "safetySettings",
        ]
    );
}

#[test]
fn claude_elsewhere() {
    let mut body = user(&json!("hi"));
    body["stream"] = true.into();
    body["metadata"] = json!({ "user_id": "u" });
    body["cache_control"] = json!({ "type": "ephemeral", "ttl": "1h" });
    body["anthropic_beta"] = json!(["b"]);
    let request = decode_request(body).unwrap();
    let vertex = encoded(&request, &["vertex"]).unwrap();
    assert_eq!(vertex.losses.list(), &[]);
    assert_eq!(
        vertex.body,
        json!({ "max_tokens": 9, "cache_control": { "type": "ephemeral", "ttl": "1h" },
                "messages": [{ "role": "user", "content": "hi" }], "metadata": { "user_id": "u" },
                "anthropic_beta": ["b"], "anthropic_version": "vertex-2023-10-16", "stream": true })
    );
    let bedrock = encoded(&request, &["bedrock_invoke"]).unwrap();
    assert_eq!(listed(&bedrock.losses), ["user"]);
    let marked = json!([{ "type": "text", "text": "hi", "cache_control": { "type": "ephemeral", "ttl": "1h" } }]);
    assert_eq!(
        bedrock.body,
        json!({ "max_tokens": 9, "messages": [{ "role": "user", "content": marked }],
                "anthropic_beta": ["b"], "anthropic_version": "bedrock-2023-05-31" })
    );
}

#[test]
fn there_is_always_a_longest_answer() {
    for (longest, asked, model, sent) in [
        (Some(5), Some(9), Some(7), 5),
        (None, Some(9), Some(7), 9),
        (None, None, Some(7), 7),
        (None, None, None, 4096),
    ] {
        let request = Request { max_tokens: asked, ..says(Role::User, vec![Part::text("q")]) };
        let target = Target { model: "m", quirks: &[], longest, model_longest: model };
        assert_eq!(encode_request(&request, &target).unwrap().body["max_tokens"], sent);
    }
}

#[test]
fn what_is_wrong_names_its_field() {
    let content = |content: Value| user(&content);
    let with = |key: &str, value: Value| {
        let mut body = user(&json!("hi"));
        body[key] = value;
        body
    };
    for (body, param) in [
        (json!([]), ""),
        (json!({}), "messages"),
        (json!({ "messages": [] }), "messages"),
        (json!({ "messages": {} }), "messages"),
        (json!({ "messages": ["hi"] }), "messages[0]"),
        (json!({ "messages": [{ "content": "hi" }] }), "messages[0].role"),
        (json!({ "messages": [{ "role": "robot", "content": "hi" }] }), "messages[0].role"),
        (json!({ "messages": [{ "role": "user" }] }), "messages[0].content"),
        (content(json!(5)), "messages[0].content"),
        (content(json!([5])), "messages[0].content[0]"),
        (content(json!([{ "text": "hi" }])), "messages[0].content[0].type"),
        (content(json!([{ "type": "text" }])), "messages[0].content[0].text"),
        (content(json!([{ "type": "image" }])), "messages[0].content[0].source"),
        (content(json!([{ "type": "image", "source": {} }])), "messages[0].content[0].source"),
        (content(json!([{ "type": "image", "source": { "type": "url" } }])), "messages[0].content[0].source.url"),
        (content(json!([{ "type": "tool_use", "name": "f" }])), "messages[0].content[0].id"),
        (
            content(json!([{ "type": "tool_result", "tool_use_id": "a", "content": [{}] }])),
            "messages[0].content[0].content[0].type",
        ),
        (with("system", json!(1)), "system"),
        (with("max_tokens", json!(-1)), "max_tokens"),
        (with("stream", json!("yes")), "stream"),
        (with("temperature", json!("hot")), "temperature"),
        (with("stop_sequences", json!([1])), "stop_sequences[0]"),
        (with("tools", json!([{}])), "tools[0].name"),
        (with("tool_choice", json!("auto")), "tool_choice"),
        (with("tool_choice", json!({ "type": "tool" })), "tool_choice.name"),
        (with("thinking", json!({})), "thinking.type"),
        (with("thinking", json!({ "type": "enabled", "budget_tokens": 0.5 })), "thinking.budget_tokens"),
        (with("output_config", json!({ "format": { "type": "json_schema" } })), "output_config.format.schema"),
        (with("metadata", json!({ "user_id": 1 })), "metadata.user_id"),
    ] {
        let error = decode_request(body.clone()).unwrap_err();
        assert_eq!((error.status(), error.param.as_deref()), (400, Some(param)), "{body}: {}", error.message);
    }
}

#[test]
fn a_count_asks_for_no_answer() {
    let mut body = user(&json!("hi"));
    body["thinking"] = json!({ "type": "enabled", "budget_tokens": 30000 });
    body["stream"] = true.into();
    body["temperature"] = json!(1.0);
    body.as_object_mut().unwrap().remove("max_tokens");
    let target = Target { model: "m", quirks: &[], longest: None, model_longest: Some(9) };
    let counted = encode_count_request(&decode_request(body).unwrap(), &target).unwrap().body;
    assert_eq!(
        counted,
        json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }],
                "thinking": { "type": "enabled", "budget_tokens": 30000 } })
    );
}
