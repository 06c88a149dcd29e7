use super::*;
use crate::chat::{
    Effort, Extra, FinishReason, Format, Media, MediaKind, MediaSource, Part, PartKind, Reasoning, ReasoningFormat,
    Request, Role, Thinking, Tool, ToolCall, ToolChoice, ToolResult, Turn, Wire,
};
use serde_json::json;

fn written(request: &Request) -> (Value, Vec<String>) {
    let encoded = encode_request(request, &target("command-a-03-2025")).unwrap();
    (encoded.body, encoded.losses.list().iter().map(|loss| loss.field.clone()).collect())
}

fn refused(request: &Request) -> String {
    encode_request(request, &target("m")).unwrap_err().param.unwrap()
}

fn media(kind: MediaKind, source: MediaSource, name: Option<&str>) -> Part {
    let (mime, name) = (Some("image/png".to_owned()), name.map(str::to_owned));
    Part::new(PartKind::Media(Media { kind, mime, source, name, detail: None, transcript: None }))
}

fn thoughts(id: Option<&str>, format: Option<ReasoningFormat>) -> Part {
    let id = id.map(str::to_owned);
    Part::new(PartKind::Reasoning(Reasoning { text: Some("hm".to_owned()), id, format, ..Reasoning::default() }))
}

fn call(id: &str) -> Part {
    Part::new(PartKind::ToolCall(ToolCall {
        id: id.to_owned(),
        name: "f".to_owned(),
        arguments: "{\"x\": 1}".to_owned(),
        signature: None,
        custom: false,
    }))
}

fn result(id: &str, parts: Vec<Part>) -> Part {
    Part::new(PartKind::ToolResult(ToolResult { call_id: id.to_owned(), name: None, parts, is_error: true }))
}

fn function(name: &str, strict: Option<bool>) -> Tool {
    let name = name.to_owned();
    Tool::Function { name, description: None, parameters: None, strict, cache: None, extra: Extra::default() }
}

#[test]
fn a_conversation_is_written() {
    let text = MediaSource::Text("facts".to_owned());
    let request = Request {
        turns: vec![
            Turn::new(Role::Developer, vec![Part::text("be brief")]),
            Turn::new(
                Role::User,
                vec![
                    Part::text("look"),
                    media(MediaKind::Image, MediaSource::Base64("QUJD".to_owned()), None),
                    media(MediaKind::Image, MediaSource::Url("https://h.example/a".to_owned()), None),
                    media(MediaKind::Document, text.clone(), Some("t")),
                ],
            ),
            Turn::new(
                Role::Assistant,
                vec![
                    thoughts(Some("tool_plan"), None),
                    thoughts(None, Some(ReasoningFormat::Anthropic)),
                    call("1"),
                    call("2"),
                ],
            ),
            Turn::new(
                Role::User,
                vec![
                    result("1", vec![Part::text("one")]),
                    result("2", vec![media(MediaKind::Document, text, None)]),
                    Part::text("and?"),
                ],
            ),
        ],
        stream: true,
        max_tokens: Some(9),
        stop: vec!["END".to_owned()],
        ..Request::default()
    };
    let (body, losses) = written(&request);
    let function = json!({"name": "f", "arguments": "{\"x\": 1}"});
    assert_eq!(
        body,
        json!({
            "model": "command-a-03-2025",
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
                    {"type": "image_url", "image_url": {"url": "https://h.example/a"}},
                ]},
                {"role": "assistant", "tool_plan": "hm", "tool_calls": [
                    {"id": "1", "type": "function", "function": function},
                    {"id": "2", "type": "function", "function": function},
                ]},
                {"role": "tool", "tool_call_id": "1", "content": "one"},
                {"role": "tool", "tool_call_id": "2", "content": [
                    {"type": "document", "document": {"data": {"text": "facts"}}},
                ]},
                {"role": "user", "content": "and?"},
            ],
            "stream": true,
            "max_tokens": 9,
            "stop_sequences": ["END"],
            "documents": [{"data": {"title": "t", "text": "facts"}}],
        })
    );
    assert_eq!(
        losses,
        ["messages[2].content[1]", "messages[3].content[0].is_error", "messages[3].content[1].is_error"]
    );
}

#[test]
fn forms_of_answers_and_thinking_are_written() {
    let schema = json!({"type": "object"});
    let form = Format::Schema { name: None, description: None, schema: schema.clone(), strict: None };
    let write = |request: Request| written(&request).0;
    assert_eq!(
        write(Request { format: form, ..Request::default() })["response_format"],
        json!({"type": "json_object", "json_schema": schema})
    );
    assert_eq!(
        write(Request { format: Format::Json, ..Request::default() })["response_format"],
        json!({"type": "json_object"})
    );
    let think = |thinking| {
        written(&Request { thinking: Some(thinking), max_tokens: Some(10_000), ..Request::default() }).0["thinking"]
            .take()
    };
    let effort = Thinking { effort: Some(Effort::Medium), ..Thinking::default() };
    assert_eq!(think(effort.clone()), json!({"type": "enabled", "token_budget": 5000}));
    assert_eq!(
        think(Thinking { max_tokens: Some(7), ..effort.clone() }),
        json!({"type": "enabled", "token_budget": 7})
    );
    assert_eq!(think(Thinking { enabled: Some(false), ..effort.clone() }), json!({"type": "disabled"}));
    let (body, losses) = written(&Request { thinking: Some(effort), ..Request::default() });
    assert_eq!((&body["thinking"], losses), (&json!({"type": "enabled"}), vec!["reasoning.effort".to_owned()]));
}

#[test]
fn tool_choices_and_strictness_are_written() {
    let write = |choice: Option<ToolChoice>, strict: [Option<bool>; 2]| {
        let tools = vec![function("f", strict[0]), function("g", strict[1])];
        let (body, losses) = written(&Request { tools, tool_choice: choice, ..Request::default() });
        let names: Vec<Value> =
            body["tools"].as_array().unwrap().iter().map(|tool| tool["function"]["name"].clone()).collect();
        (names.len(), body["tool_choice"].clone(), body["strict_tools"].clone(), losses)
    };
    let no = || Vec::<String>::new();
    assert_eq!(write(None, [None, None]), (2, Value::Null, Value::Null, no()));
    assert_eq!(write(Some(ToolChoice::None), [None, None]), (2, json!("NONE"), Value::Null, no()));
    assert_eq!(write(Some(ToolChoice::Required), [Some(true), Some(true)]), (2, json!("REQUIRED"), json!(true), no()));
    assert_eq!(
        write(Some(ToolChoice::Function("g".to_owned())), [Some(true), None]),
        (1, json!("REQUIRED"), Value::Null, no())
    );
    assert_eq!(
        write(Some(ToolChoice::Auto), [Some(true), None]),
        (2, Value::Null, Value::Null, vec!["tools[].strict".to_owned()])
    );
}

#[test]
fn what_changes_the_meaning_is_refused_by_name() {
    let with = |part: Part| Request { turns: vec![Turn::new(Role::User, vec![part])], ..Request::default() };
    let foreign = || (Wire::Gemini, json!({}));
    for (request, param) in [
        (with(media(MediaKind::Audio, MediaSource::Base64(String::new()), None)), "messages[0].content[0]"),
        (with(media(MediaKind::Document, MediaSource::Base64(String::new()), None)), "messages[0].content[0]"),
        (with(Part::new(PartKind::Foreign(foreign().0, foreign().1))), "messages[0].content[0]"),
        (Request { format: Format::Foreign(foreign().0, foreign().1), ..Request::default() }, "response_format"),
        (Request { tools: vec![Tool::Foreign(foreign().0, foreign().1)], ..Request::default() }, "tools[0]"),
        (Request { tool_choice: Some(ToolChoice::Required), ..Request::default() }, "tool_choice"),
        (Request { choices: Some(2), ..Request::default() }, "n"),
        (Request { modalities: vec!["image".to_owned()], ..Request::default() }, "modalities"),
    ] {
        assert_eq!(refused(&request), param);
    }
    // What only another format knows of the assistant's turn is left out, and said.
    let echo = vec![Part::text("a"), Part::new(PartKind::Foreign(foreign().0, foreign().1))];
    let (body, losses) = written(&Request {
        turns: vec![Turn::new(Role::Assistant, echo)],
        user: Some("u".to_owned()),
        ..Request::default()
    });
    assert_eq!(body["messages"][0]["content"], "a");
    assert_eq!(losses, ["messages[0].content[1]", "user"]);
}

#[test]
fn bad_requests_are_refused_by_name() {
    for (body, param) in [
        (json!(7), "body"),
        (json!({}), "model"),
        (json!({"model": "m", "messages": [{}]}), "messages[0].role"),
        (json!({"model": "m", "messages": [{"role": "user", "content": 1}]}), "messages[0].content"),
        (json!({"model": "m", "messages": [{"role": "tool"}]}), "messages[0].tool_call_id"),
        (json!({"model": "m", "tool_choice": "MAYBE"}), "tool_choice"),
        (json!({"model": "m", "max_tokens": "9"}), "max_tokens"),
    ] {
        assert_eq!(decode_request(body).unwrap_err().param.as_deref(), Some(param));
    }
}

#[test]
fn usage_is_what_is_charged() {
    let of = |usage: Value| {
        decode_answer(json!({"message": {"content": []}, "finish_reason": "COMPLETE", "usage": usage})).unwrap().usage
    };
    let usage = of(json!({
        "billed_units": {"input_tokens": 5, "output_tokens": 7},
        "tokens": {"input_tokens": 500, "output_tokens": 9, "reasoning_tokens": 8}, "cached_tokens": 464
    }))
    .unwrap();
    let tokens = usage.tokens;
    assert_eq!((tokens.prompt, tokens.completion, tokens.reasoning, tokens.cached), (5, 7, 7, 0));
    assert_eq!(of(json!({"tokens": {"input_tokens": 3, "output_tokens": 2}})).unwrap().tokens.prompt, 3);
    for bad in [
        json!(null),
        json!({}),
        json!({"billed_units": {"input_tokens": -1, "output_tokens": 1}}),
        json!({"tokens": {"output_tokens": 1.5}}),
    ] {
        assert_eq!(of(bad), None);
    }
}

#[test]
fn reasons_to_end_are_understood() {
    for (word, reason) in [
        ("COMPLETE", FinishReason::Stop),
        ("STOP_SEQUENCE", FinishReason::Stop),
        ("MAX_TOKENS", FinishReason::Length),
        ("TOOL_CALL", FinishReason::ToolCalls),
        ("ERROR", FinishReason::Error),
        ("ERROR_TOXIC", FinishReason::ContentFilter),
        ("NEWS", FinishReason::Stop),
    ] {
        let body = json!({"message": {"content": [{"type": "text", "text": "a"}]}, "finish_reason": word});
        let finish = decode_answer(body).unwrap().choices.remove(0).finish.unwrap();
        assert_eq!((finish.reason, finish.native.as_deref()), (reason, Some(word)));
    }
    let body = json!({"message": {"content": []}, "finish_reason": "ERROR", "error": "broke"});
    assert_eq!(decode_answer(body).unwrap_err().message.as_deref(), Some("broke"));
    assert_eq!(decode_answer(json!({"message": "no", "id": "1"})).unwrap_err().message.as_deref(), Some("no"));
    for body in [json!(null), json!({}), json!({"message": {"content": [{"type": "text"}]}})] {
        assert_eq!(decode_answer(body).unwrap_err(), ProviderError::default());
    }
}

#[test]
fn probabilities_are_those_of_openai_by_piece() {
    let body = json!({
        "message": {"content": [{"type": "text", "text": "ab"}]},
        "logprobs": [{"text": "ab", "token_ids": [1, 2], "logprobs": [-0.5, -0.25]}]
    });
    let choice = decode_answer(body).unwrap().choices.remove(0);
    assert_eq!(
        choice.logprobs.unwrap(),
        json!({"content": [{"token": "ab", "logprob": -0.75, "bytes": [97, 98], "top_logprobs": []}]})
    );
}

#[test]
fn a_stream_that_breaks_says_so_once() {
    let text = br#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"a"}}}}"#;
    for broken in [
        &b"{"[..],
        br#"{"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"{"}}}}}"#,
        br#"{"message":"overloaded"}"#,
        br#"{"type":"message-end"}"#,
    ] {
        let events = decoded([&text[..], broken, &text[..]]);
        let errors = events.iter().filter(|event| matches!(event, Event::Error(_))).count();
        assert_eq!(errors, 1, "{events:?}");
        assert!(matches!(events.last(), Some(Event::Error(_))));
    }
    let cut = decoded([&text[..]]);
    assert!(matches!(
        &cut[..],
        [Event::Start { .. }, Event::Open { .. }, Event::Delta { .. }, Event::Close { .. }, Event::Error(_)]
    ));
    let failed = decoded([&br#"{"type":"message-end","delta":{"finish_reason":"ERROR","error":"broke"}}"#[..]]);
    assert_eq!(collected(failed).unwrap_err().message.as_deref(), Some("broke"));
}

#[test]
fn vectors_and_ranks_are_asked_for_and_read() {
    let texts = ["a".to_owned(), "b".to_owned()];
    assert_eq!(
        encode_embed(&texts, "embed-v4.0", "search_query", Some(256)),
        json!({"model": "embed-v4.0", "texts": ["a", "b"], "input_type": "search_query", "embedding_types": ["float"], "output_dimension": 256})
    );
    let body =
        json!({"id": "1", "embeddings": {"float": [[0.5, -1], [0, 2]]}, "meta": {"billed_units": {"input_tokens": 4}}});
    let embeddings = decode_embeddings(&body).unwrap();
    assert_eq!((embeddings.vectors, embeddings.tokens), (vec![vec![0.5, -1.0], vec![0.0, 2.0]], Some(4)));
    for bad in [json!({}), json!({"embeddings": {"float": [["x"]]}}), json!([])] {
        assert!(decode_embeddings(&bad).is_err());
    }
    assert_eq!(
        encode_rerank("q", &texts, "rerank-v3.5", Some(1)),
        json!({"model": "rerank-v3.5", "query": "q", "documents": ["a", "b"], "top_n": 1})
    );
    let body = json!({"id": "1", "results": [{"index": 1, "relevance_score": 0.75}, {"index": 0, "relevance_score": 0}], "meta": {"billed_units": {"search_units": 1}}});
    let ranking = decode_ranking(&body).unwrap();
    assert_eq!((ranking.results, ranking.searches), (vec![(1, 0.75), (0, 0.0)], Some(1)));
    assert_eq!(decode_ranking(&json!({"message": "no"})).unwrap_err().message.as_deref(), Some("no"));
}

/// One of everything that the chat knows.
fn everything() -> Value {
    json!({
        "model": "m",
        "stream": true,
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/webp;base64,QUJD", "detail": "low", "new": 5}},
                {"type": "news", "x": 1},
            ]},
            {"role": "assistant", "tool_plan": "p", "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1", "new": 1}, "new": 2},
            ], "new": 3},
            {"role": "tool", "tool_call_id": "1", "content": [
                {"type": "document", "document": {"id": "d", "data": "t"}}, {"type": "text", "text": "t"},
            ]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}], "citations": [
                {"start": 0, "end": 1, "text": "a", "content_index": 1, "sources": [{"type": "tool", "id": "1:0"}]},
            ]},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
        "strict_tools": true,
        "tool_choice": "NONE",
        "documents": ["t", {"id": "d", "data": {"text": "t"}}],
        "citation_options": {"mode": "fast"},
        "response_format": {"type": "json_object", "json_schema": {"type": "object"}},
        "safety_mode": "OFF",
        "max_tokens": 9,
        "stop_sequences": ["END"],
        "temperature": 0.5,
        "seed": 1,
        "frequency_penalty": 0.5,
        "presence_penalty": 0.25,
        "k": 5,
        "p": 0.75,
        "logprobs": true,
        "thinking": {"type": "enabled", "token_budget": 7, "new": 4},
        "priority": 1,
    })
}

#[test]
fn one_of_everything_comes_out_as_it_went_in() {
    let encoded = encode_request(&decode_request(everything()).unwrap(), &target("m")).unwrap();
    assert_eq!(encoded.body, everything());
    assert_eq!(encoded.losses.list(), []);
    for mutant in crate::dialect::fields::mutants(&everything(), 3000) {
        if let Ok(request) = decode_request(mutant) {
            let _ = encode_request(&request, &target("m"));
        }
    }
}

#[test]
fn a_stream_becomes_blocks() {
    let frames = [
        json!({"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant"}}}),
        json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "p"}}}),
        json!({"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "thinking", "thinking": "h"}}}}),
        json!({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"thinking": "m"}}}}),
        json!({"type": "content-end", "index": 0}),
        json!({"type": "content-start", "index": 1, "delta": {"message": {"content": {"type": "text", "text": ""}}}}),
        json!({"type": "content-delta", "index": 1, "delta": {"message": {"content": {"text": "ab"}}}, "logprobs": {"text": "ab", "logprobs": [-1]}}),
        json!({"type": "content-end", "index": 1}),
        json!({"type": "citation-start", "index": 0, "delta": {"message": {"citations": {"start": 0, "end": 2, "text": "ab"}}}}),
        json!({"type": "debug", "prompt": "x"}),
        json!({"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": {"id": "c", "function": {"name": "f", "arguments": ""}}}}}),
        json!({"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": {"function": {"arguments": "{}"}}}}}),
        json!({"type": "tool-call-end", "index": 0}),
        json!({"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": {"billed_units": {"input_tokens": 1, "output_tokens": 2}}}}),
    ];
    let frames: Vec<String> = frames.iter().map(Value::to_string).chain(["[DONE]".to_owned()]).collect();
    let answer = collected(decoded(frames.iter().map(String::as_bytes))).unwrap();
    let choice = &answer.choices[0];
    let said: Vec<String> = choice
        .parts
        .iter()
        .map(|part| match &part.kind {
            PartKind::Reasoning(reasoning) => {
                format!("{:?} {}", reasoning.id.as_deref(), reasoning.text.as_deref().unwrap())
            }
            PartKind::Text { text, citations } => format!("{text} {}", citations.len()),
            PartKind::ToolCall(call) => format!("{} {} {}", call.id, call.name, call.arguments),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(said, ["Some(\"tool_plan\") p", "None hm", "ab 1", "c f {}"]);
    assert_eq!(choice.logprobs.as_ref().unwrap()["content"][0]["logprob"], -1.0);
    assert_eq!((answer.id.as_deref(), answer.usage.unwrap().tokens.completion), (Some("1"), 2));
}
