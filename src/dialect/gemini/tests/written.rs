//! Requests of other formats, written for Google.

use super::*;

#[test]
fn a_conversation_of_another_format_is_written() {
    let mut asked = request(vec![
        Turn::new(Role::System, vec![Part::text("one")]),
        user(vec![
            Part::text("look"),
            media(MediaKind::Image, None, MediaSource::Base64("iVBORw0KGgoA".into())),
            media(MediaKind::Image, None, MediaSource::Url("https://x.example/a.jpg?s=1".into())),
            media(MediaKind::Document, Some("text/csv"), MediaSource::Text("a,b".into())),
        ]),
        model(vec![
            thought(Reasoning {
                text: Some("secret".into()),
                format: Some(ReasoningFormat::Anthropic),
                ..Reasoning::default()
            }),
            Part::text("calling"),
            call("toolu_1", "f", "{\"a\":1}"),
            call("toolu_2", "g", "broken"),
        ]),
        user(vec![result("toolu_2", "{\"x\":2}")]),
        user(vec![result("toolu_1", "fine")]),
        Turn::new(Role::Developer, vec![Part::text("two")]),
    ]);
    asked.tools = vec![function("f"), function("g")];
    asked.tool_choice = Some(ToolChoice::Required);
    asked.format = Format::Schema {
        name: Some("n".into()),
        description: None,
        schema: json!({"type": "object"}),
        strict: Some(true),
    };
    asked.max_tokens = Some(100);
    asked.thinking = Some(Thinking { effort: Some(Effort::Medium), ..Thinking::default() });
    asked.service_tier = Some("default".into());
    let written = encoded(&asked, &[]);
    assert_eq!(lost(&written), ["messages[2].content[0].reasoning"]);
    assert_eq!(
        written.body,
        json!({
            "systemInstruction": {"parts": [{"text": "one"}, {"text": "two"}]},
            "contents": [
                {"role": "user", "parts": [
                    {"text": "look"},
                    {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgoA"}},
                    {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://x.example/a.jpg?s=1"}},
                    {"inlineData": {"mimeType": "text/csv", "data": "YSxi"}},
                ]},
                {"role": "model", "parts": [
                    {"text": "calling"},
                    {"functionCall": {"id": "toolu_1", "name": "f", "args": {"a": 1}}},
                    {"functionCall": {"id": "toolu_2", "name": "g", "args": {"input": "broken"}}},
                ]},
                {"role": "user", "parts": [
                    {"functionResponse": {"id": "toolu_2", "name": "g", "response": {"x": 2}}},
                    {"functionResponse": {"id": "toolu_1", "name": "f", "response": {"output": "fine"}}},
                ]},
            ],
            "tools": [{"functionDeclarations": [
                {"name": "f", "parametersJsonSchema": {"type": "object", "properties": {}, "additionalProperties": false}},
                {"name": "g", "parametersJsonSchema": {"type": "object", "properties": {}, "additionalProperties": false}},
            ]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
            "generationConfig": {
                "maxOutputTokens": 100,
                "thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": true},
                "responseMimeType": "application/json",
                "responseJsonSchema": {"type": "object", "title": "n"},
            },
            "serviceTier": "standard",
        })
    );
    let quirky =
        encoded(&asked, &["openapi_schema", "thinking_level", "thought_signature_required", "no_service_tier"]);
    assert_eq!(
        lost(&quirky),
        [
            "messages[2].content[0].reasoning",
            "tools[0].function.parameters.additionalProperties",
            "tools[1].function.parameters.additionalProperties",
            "service_tier",
        ]
    );
    assert_eq!(quirky.body["tools"], json!([{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}]));
    let config = &quirky.body["generationConfig"];
    assert_eq!(config["thinkingConfig"], json!({"thinkingLevel": "MEDIUM", "includeThoughts": true}));
    assert_eq!(config["responseSchema"], json!({"type": "OBJECT", "title": "n"}));
    let marks: Vec<bool> = quirky.body["contents"][1]["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part.get("thoughtSignature").is_some())
        .collect();
    assert_eq!(marks, [false, true, false]);
}

#[test]
fn results_without_ids_stand_in_the_order_of_their_calls() {
    let asked = request(vec![
        model(vec![call("call_0", "f", "{}"), call("call_x_1", "f", "{}")]),
        user(vec![result("call_x_1", "second"), result("call_0", "first")]),
    ]);
    assert_eq!(
        encoded(&asked, &[]).body["contents"],
        json!([
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}, {"functionCall": {"name": "f", "args": {}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "f", "response": {"output": "first"}}},
                {"functionResponse": {"name": "f", "response": {"output": "second"}}},
            ]},
        ])
    );
    assert!(refused(&request(vec![user(vec![result("nobody", "x")])])).message.contains("no call"));
}

#[test]
fn marks_find_their_place_again() {
    let mark = |mark: &str, id: Option<&str>| {
        thought(Reasoning {
            encrypted: Some(mark.into()),
            id: id.map(str::to_owned),
            format: Some(ReasoningFormat::Gemini),
            ..Reasoning::default()
        })
    };
    let parts = |turn: Vec<Part>| encoded(&request(vec![model(turn)]), &[]).body["contents"][0]["parts"].clone();
    let (text, called) = (json!({"text": "x", "thoughtSignature": "m"}), json!({"name": "f", "args": {}}));
    // After the text, as Gemini's own answers are read; before it, as other formats hand it back.
    assert_eq!(parts(vec![Part::text("x"), mark("m", None)]), json!([text]));
    assert_eq!(parts(vec![mark("m", None), Part::text("x")]), json!([text]));
    assert_eq!(
        parts(vec![mark("m", None), call("call_0", "f", "{}")]),
        json!([{"functionCall": called, "thoughtSignature": "m"}])
    );
    assert_eq!(
        parts(vec![mark("m", Some("call_1")), call("call_0", "f", "{}"), call("call_1", "f", "{}")]),
        json!([{"functionCall": called}, {"functionCall": called, "thoughtSignature": "m"}])
    );
    assert_eq!(
        parts(vec![mark("m", None), mark("n", None)]),
        json!([{"text": "", "thoughtSignature": "m"}, {"text": "", "thoughtSignature": "n"}])
    );
}

#[test]
fn only_system_words_are_said_by_the_user() {
    let asked = request(vec![Turn::new(Role::System, vec![Part::text("go")])]);
    assert_eq!(encoded(&asked, &[]).body, json!({"contents": [{"role": "user", "parts": [{"text": "go"}]}]}));
}

#[test]
fn what_cannot_be_carried_is_listed_or_refused() {
    let foreign = || PartKind::Foreign(Wire::AnthropicMessages, json!({"type": "server_tool_use"}));
    let mut asked = request(vec![
        model(vec![Part::new(foreign())]),
        user(vec![Part { cache: Some(Cache::Hour), ..Part::text("x") }]),
    ]);
    asked.turns[1].name = Some("Ann".into());
    asked.parallel_tool_calls = Some(false);
    asked.user = Some("u".into());
    asked.sampling.logit_bias = Some(json!({"1": 2}));
    let mut members = Map::new();
    members.insert("store".into(), true.into());
    asked.extra = Extra::of(Wire::OpenaiChat, members);
    assert_eq!(
        lost(&encoded(&asked, &[])),
        [
            "messages[0].content[0]",
            "messages[1].name",
            "messages[1].content[0].cache_control",
            "logit_bias",
            "parallel_tool_calls",
            "user",
            "store"
        ]
    );
    asked.turns = vec![user(vec![Part::new(foreign())])];
    assert_eq!(refused(&asked).param.as_deref(), Some("messages[0].content[0]"));
    asked.turns = vec![user(vec![media(MediaKind::Document, None, MediaSource::Id("file-abc".into()))])];
    assert_eq!(refused(&asked).param.as_deref(), Some("messages[0].content[0]"));
    asked.turns = vec![user(vec![media(MediaKind::Document, None, MediaSource::Base64("AAAA".into()))])];
    assert!(refused(&asked).message.contains("media type"));
    asked.turns.clear();
    asked.tools = vec![Tool::Foreign(Wire::OpenaiResponses, json!({"type": "web_search"}))];
    assert_eq!(refused(&asked).param.as_deref(), Some("tools[0]"));
    asked.tools.clear();
    asked.format = Format::Foreign(Wire::OpenaiChat, json!({"type": "grammar"}));
    assert_eq!(refused(&asked).param.as_deref(), Some("response_format"));
}

#[test]
fn thinking_is_written_in_tokens_or_in_levels() {
    let written = |thinking: Thinking, quirks: &[&str]| {
        let asked = Request { thinking: Some(thinking), ..request(vec![user(vec![Part::text("x")])]) };
        encoded(&asked, quirks).body["generationConfig"]["thinkingConfig"].clone()
    };
    let effort = |effort: Effort| Thinking { effort: Some(effort), ..Thinking::default() };
    assert_eq!(written(effort(Effort::High), &[]), json!({"thinkingBudget": 8000, "includeThoughts": true}));
    assert_eq!(
        written(effort(Effort::Max), &["thinking_level"]),
        json!({"thinkingLevel": "HIGH", "includeThoughts": true})
    );
    assert_eq!(written(effort(Effort::None), &[]), json!({"thinkingBudget": 0}));
    assert_eq!(written(effort(Effort::None), &["thinking_level"]), json!({"thinkingLevel": "MINIMAL"}));
    let budget = Thinking { max_tokens: Some(5), hidden: Some(true), ..Thinking::default() };
    assert_eq!(written(budget, &["thinking_level"]), json!({"thinkingBudget": 5}));
    let adaptive = Thinking { adaptive: true, hidden: Some(false), ..Thinking::default() };
    assert_eq!(written(adaptive, &[]), json!({"thinkingBudget": -1, "includeThoughts": true}));
}
