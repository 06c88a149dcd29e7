//! Each kind of content once, both ways, in bodies of our own.

use serde_json::{Map, Value, json};

use super::*;
use crate::{
    catalog::Tokens,
    chat::{
        Answer, Block, Cache, Choice, Citation, Collector, Delta, Effort, Event, Extra, Finish, FinishReason, Format,
        Media, MediaKind, MediaSource, Part, PartKind, ProviderError, Reasoning, ReasoningFormat, Request, Role,
        Thinking, Tool, ToolCall, ToolChoice, ToolResult, Turn, Usage, Wire,
    },
    dialect::{Encoded, Frame, Names, Target},
    error::{Error, ErrorKind},
};

fn encoded(request: &Request, quirks: &[&str]) -> Encoded {
    let quirks: Vec<String> = quirks.iter().map(|quirk| (*quirk).to_owned()).collect();
    let target = Target { model: "m", quirks: &quirks, longest: None, model_longest: Some(10_000) };
    encode_request(request, &target).unwrap()
}

fn refused(request: &Request) -> Error {
    let target = Target { model: "m", quirks: &[], longest: None, model_longest: None };
    encode_request(request, &target).unwrap_err()
}

fn lost(encoded: &Encoded) -> Vec<&str> {
    encoded.losses.list().iter().map(|loss| loss.field.as_str()).collect()
}

fn user(parts: Vec<Part>) -> Turn {
    Turn::new(Role::User, parts)
}

fn model(parts: Vec<Part>) -> Turn {
    Turn::new(Role::Assistant, parts)
}

fn request(turns: Vec<Turn>) -> Request {
    Request { turns, ..Request::default() }
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.to_owned());
    Part::new(PartKind::ToolCall(ToolCall { id, name, arguments, signature: None, custom: false }))
}

fn result(id: &str, said: &str) -> Part {
    let parts = vec![Part::text(said)];
    Part::new(PartKind::ToolResult(ToolResult { call_id: id.to_owned(), name: None, parts, is_error: false }))
}

fn thought(reasoning: Reasoning) -> Part {
    Part::new(PartKind::Reasoning(reasoning))
}

fn function(name: &str) -> Tool {
    let parameters = Some(json!({"type": "object", "properties": {}, "additionalProperties": false}));
    let (description, extra) = (None, Extra::default());
    Tool::Function { name: name.to_owned(), description, parameters, strict: None, cache: None, extra }
}

fn media(kind: MediaKind, mime: Option<&str>, source: MediaSource) -> Part {
    let mime = mime.map(str::to_owned);
    Part::new(PartKind::Media(Media { kind, mime, source, name: None, detail: None, transcript: None }))
}

// --- Requests in --------------------------------------------------------------------------------------

#[test]
fn a_request_is_read_in_either_spelling() {
    let read = decode_request(json!({
        "system_instruction": {"role": "user", "parts": {"text": "Be brief."}},
        "contents": [
            {"parts": [{"text": "look"}, {"inline_data": {"mime_type": "image/png", "data": "_-8"}},
                       {"fileData": {"fileUri": "https://youtu.be/x"}, "videoMetadata": {"fps": 1}},
                       {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/f", "mimeType": "audio/mp3"}}]},
            {"role": "model", "parts": [
                {"text": "hm", "thought": true, "thoughtSignature": "c2ln"},
                {"text": "well", "thought_signature": "bWFyaw=="},
                {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "Y2FsbA=="},
                {"function_call": {"name": "f"}},
                {"executableCode": {"code": "1", "language": "PYTHON"}}]},
            {"role": "function", "parts": [
                {"functionResponse": {"name": "f", "response": {"output": "one"}}},
                {"functionResponse": {"name": "f", "response": {"error": "no"}}}]},
        ],
        "tools": [{"function_declarations": [{"name": "f", "parameters": {"type": "OBJECT"}}], "google_search": {}}],
        "tool_config": {"function_calling_config": {"mode": "any", "allowed_function_names": ["f", "g"]}},
        "generationConfig": {"temperature": 0.5, "max_output_tokens": "12", "thinkingConfig": {"thinkingBudget": -1},
                             "responseModalities": ["TEXT", "IMAGE"], "speechConfig": {"x": 1}, "stopSequences": ["a"]},
        "safetySettings": [{"category": 7}],
        "serviceTier": "SERVICE_TIER_FLEX",
        "cachedContent": null,
    }))
    .unwrap();
    let [system, asked, said, answered] = read.turns.as_slice() else { panic!("{:?}", read.turns) };
    assert_eq!((system.role, &system.parts), (Role::System, &vec![Part::text("Be brief.")]));
    let sources = asked.parts.iter().map(|part| match &part.kind {
        PartKind::Media(media) => format!("{:?} {:?}", media.kind, media.source),
        other => format!("{other:?}"),
    });
    let sources: Vec<String> = sources.collect();
    assert_eq!(sources[1], "Image Base64(\"/+8=\")");
    assert_eq!(sources[2], "Video Url(\"https://youtu.be/x\")");
    assert_eq!(sources[3], "Audio Id(\"https://generativelanguage.googleapis.com/v1beta/files/f\")");
    assert_eq!(asked.parts[2].extra.members["videoMetadata"], json!({"fps": 1}));
    let gemini = Some(ReasoningFormat::Gemini);
    let kinds: Vec<PartKind> = said.parts.iter().map(|part| part.kind.clone()).collect();
    assert_eq!(
        kinds[0],
        PartKind::Reasoning(Reasoning {
            text: Some("hm".into()),
            signature: Some("c2ln".into()),
            format: gemini,
            ..Reasoning::default()
        })
    );
    assert_eq!(
        kinds[2],
        PartKind::Reasoning(Reasoning { encrypted: Some("bWFyaw==".into()), format: gemini, ..Reasoning::default() })
    );
    assert!(
        matches!(&kinds[3], PartKind::ToolCall(call) if call.id == "call_0" && call.signature.as_deref() == Some("Y2FsbA=="))
    );
    assert!(matches!(&kinds[4], PartKind::ToolCall(call) if call.id == "call_1" && call.arguments == "{}"));
    assert!(matches!(&kinds[5], PartKind::Foreign(Wire::Gemini, _)));
    let results: Vec<(String, bool)> = answered
        .parts
        .iter()
        .map(|part| match &part.kind {
            PartKind::ToolResult(result) => (result.call_id.clone(), result.is_error),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(results, [("call_0".to_owned(), false), ("call_1".to_owned(), true)]);
    assert_eq!(read.tools.len(), 2);
    assert_eq!(read.tools[1], Tool::Foreign(Wire::Gemini, json!({"googleSearch": {}})));
    assert_eq!(read.tool_choice, Some(ToolChoice::Among(vec!["f".into(), "g".into()], true)));
    assert_eq!((read.max_tokens, read.service_tier.as_deref()), (Some(12), Some("flex")));
    assert_eq!((read.modalities, read.stop), (vec!["image".to_owned()], vec!["a".to_owned()]));
    assert_eq!(read.thinking, Some(Thinking { adaptive: true, hidden: Some(true), ..Thinking::default() }));
    assert_eq!(
        Value::Object(read.extra.members),
        json!({"generationConfig": {"speechConfig": {"x": 1}}, "safetySettings": [{"category": 7}]})
    );
}

#[test]
fn what_is_wrong_is_named() {
    for (body, param) in [
        (json!([]), "contents"),
        (json!({"contents": [{"parts": [{"text": 5}]}]}), "contents[0].parts[0].text"),
        (json!({"contents": [{"role": "tool"}]}), "contents[0].role"),
        (json!({"contents": [{"parts": [{"functionCall": {"args": {}}}]}]}), "contents[0].parts[0].functionCall.name"),
        (
            json!({"contents": [{"parts": [{"functionCall": {"name": "f", "args": 3}}]}]}),
            "contents[0].parts[0].functionCall.args",
        ),
        (json!({"contents": [{"parts": [{"inlineData": {"mimeType": "x"}}]}]}), "contents[0].parts[0].inlineData.data"),
        (json!({"tools": [{"functionDeclarations": [{}]}]}), "tools[0].functionDeclarations[0].name"),
        (json!({"toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}}}), "toolConfig.functionCallingConfig.mode"),
        (json!({"generationConfig": {"maxOutputTokens": -4}}), "generationConfig.maxOutputTokens"),
        (
            json!({"generationConfig": {"thinkingConfig": {"thinkingBudget": -2}}}),
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
    ] {
        let error = decode_request(body.clone()).unwrap_err();
        assert_eq!((error.kind, error.param.as_deref()), (ErrorKind::InvalidRequest, Some(param)), "{body}");
    }
}

#[test]
fn modes_of_calling_and_back() {
    for (config, choice) in [
        (json!({"mode": "AUTO"}), ToolChoice::Auto),
        (json!({"mode": "NONE"}), ToolChoice::None),
        (json!({"mode": "ANY"}), ToolChoice::Required),
        (json!({"mode": "ANY", "allowedFunctionNames": ["f"]}), ToolChoice::Function("f".into())),
        (
            json!({"mode": "ANY", "allowedFunctionNames": ["f", "g"]}),
            ToolChoice::Among(vec!["f".into(), "g".into()], true),
        ),
        (json!({"mode": "VALIDATED", "allowedFunctionNames": ["f"]}), ToolChoice::Among(vec!["f".into()], false)),
        (json!({"mode": "VALIDATED"}), ToolChoice::Auto),
    ] {
        let body = json!({"contents": [], "tools": [{"functionDeclarations": [{"name": "f"}]}],
                          "toolConfig": {"functionCallingConfig": config}});
        let read = decode_request(body.clone()).unwrap();
        assert_eq!(read.tool_choice, Some(choice));
        assert_eq!(encoded(&read, &[]).body["toolConfig"], body["toolConfig"]);
    }
    let read = decode_request(json!({"toolConfig": {"functionCallingConfig": {"mode": 3}}})).unwrap();
    assert_eq!(read.tool_choice, Some(ToolChoice::None));
}

// --- Requests out -------------------------------------------------------------------------------------

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

// --- Answers ------------------------------------------------------------------------------------------

fn names() -> Names {
    let mut cost = Map::new();
    cost.insert("cost".into(), json!(0.25));
    Names { id: "gen-1".into(), model: "a/m".into(), provider: "P".into(), cost, ..Names::default() }
}

#[test]
fn an_answer_of_another_family_is_written_and_its_marks_come_back() {
    let reasoning = Reasoning {
        text: Some("hm".into()),
        signature: Some("s1".into()),
        format: Some(ReasoningFormat::Anthropic),
        ..Reasoning::default()
    };
    let hidden = Reasoning {
        encrypted: Some("e1".into()),
        format: Some(ReasoningFormat::Openai),
        id: Some("rs".into()),
        ..Reasoning::default()
    };
    let citation = Citation {
        url: Some("https://x.example".into()),
        title: Some("X".into()),
        start: Some(3),
        end: Some(4),
        ..Citation::default()
    };
    let text = PartKind::Text { text: "né y".into(), citations: vec![citation.clone()] };
    let parts =
        vec![thought(reasoning.clone()), thought(hidden.clone()), Part::new(text), call("toolu_1", "f", "{\"a\":[]}")];
    let usage = Usage {
        tokens: Tokens { prompt: 10, completion: 8, cached: 4, reasoning: 3, ..Tokens::default() },
        ..Usage::default()
    };
    let finish = Some(Finish::new(FinishReason::ToolCalls, "tool_use"));
    let answer = Answer {
        choices: vec![Choice { parts, finish, logprobs: None, extra: Extra::default() }],
        usage: Some(usage),
        created: Some(0),
        ..Answer::default()
    };
    let written = encode_answer(&answer, &names());
    let candidate = &written["candidates"][0];
    assert_eq!(candidate["content"]["parts"][2], json!({"text": "né y"}));
    assert_eq!(
        candidate["content"]["parts"][3],
        json!({"functionCall": {"id": "toolu_1", "name": "f", "args": {"a": []}}})
    );
    assert_eq!(candidate["finishReason"], "STOP");
    assert_eq!(
        candidate["groundingMetadata"],
        json!({"groundingChunks": [{"web": {"uri": "https://x.example", "title": "X"}}],
               "groundingSupports": [{"segment": {"startIndex": 4, "endIndex": 5, "text": "y"}, "groundingChunkIndices": [0]}]})
    );
    assert_eq!(
        written["usageMetadata"],
        json!({"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 3, "cachedContentTokenCount": 4,
               "totalTokenCount": 18, "cost": 0.25})
    );
    assert_eq!((&written["modelVersion"], &written["createTime"]), (&json!("a/m"), &json!("1970-01-01T00:00:00.000Z")));
    // The client hands the turn back: the family gets its own marks again.
    let turn = candidate["content"].clone();
    let read = decode_request(json!({"contents": [turn]})).unwrap();
    assert_eq!(read.turns[0].parts[0].kind, PartKind::Reasoning(reasoning));
    assert_eq!(read.turns[0].parts[1].kind, PartKind::Reasoning(hidden));
    // And what was written is read as what it was.
    let again = decode_answer(written).unwrap();
    let PartKind::Text { citations, .. } = &again.choices[0].parts[2].kind else { panic!() };
    assert_eq!(citations, &[citation]);
    assert_eq!(again.usage.unwrap().tokens, answer.usage.unwrap().tokens);
}

#[test]
fn usage_that_cannot_be_meant_is_none() {
    let read = |usage: Value| {
        decode_answer(json!({"candidates": [{"finishReason": "STOP"}], "usageMetadata": usage})).unwrap().usage
    };
    for bad in [
        json!({"promptTokenCount": -1}),
        json!({"promptTokenCount": 1.5}),
        json!({"promptTokenCount": "9"}),
        json!({"promptTokenCount": 1, "thoughtsTokenCount": 100_000_001_u64}),
        json!({}),
        json!(4),
    ] {
        assert_eq!(read(bad.clone()), None, "{bad}");
    }
    let usage = read(
        json!({"promptTokenCount": 7, "toolUsePromptTokenCount": 2, "candidatesTokenCount": 5, "thoughtsTokenCount": 3,
        "cachedContentTokenCount": 4, "promptTokensDetails": [{"modality": 4, "tokenCount": 1}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 5}]}),
    )
    .unwrap();
    let expected = Tokens {
        prompt: 9,
        completion: 8,
        cached: 4,
        prompt_audio: 1,
        reasoning: 3,
        completion_image: 5,
        ..Tokens::default()
    };
    assert_eq!(usage.tokens, expected);
}

#[test]
fn ends_of_answers() {
    for (word, reason) in [
        (json!("STOP"), FinishReason::Stop),
        (json!(1), FinishReason::Stop),
        (json!("MAX_TOKENS"), FinishReason::Length),
        (json!(2), FinishReason::Length),
        (json!("SAFETY"), FinishReason::ContentFilter),
        (json!("PROHIBITED_CONTENT"), FinishReason::ContentFilter),
        (json!("IMAGE_SAFETY"), FinishReason::ContentFilter),
        (json!("MALFORMED_FUNCTION_CALL"), FinishReason::Error),
        (json!("SOMETHING_NEW"), FinishReason::Error),
    ] {
        let answer = decode_answer(json!({"candidates": [{"finishReason": word}]})).unwrap();
        assert_eq!(answer.choices[0].finish.as_ref().unwrap().reason, reason, "{word}");
    }
    let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}});
    let answer = decode_answer(blocked).unwrap();
    assert_eq!(answer.choices[0].finish, Some(Finish::new(FinishReason::ContentFilter, "SAFETY")));
    let written = encode_answer(&answer, &names());
    assert_eq!((written.get("candidates"), &written["promptFeedback"]["blockReason"]), (None, &json!("SAFETY")));
}

#[test]
fn what_is_no_answer_is_an_error() {
    for body in [
        json!({}),
        json!("x"),
        json!([]),
        json!({"candidates": []}),
        json!({"candidates": [1]}),
        json!({"candidates": [{"content": 1}]}),
    ] {
        assert_eq!(decode_answer(body.clone()), Err(ProviderError::default()), "{body}");
    }
    let error = decode_answer(json!({"error": {"code": 429, "message": "slow"}})).unwrap_err();
    assert_eq!((error.status, error.message.as_deref()), (Some(429), Some("slow")));
}

#[test]
fn probabilities_and_back() {
    let result = json!({"chosenCandidates": [{"token": "é", "logProbability": -0.5}],
                        "topCandidates": [{"candidates": [{"token": "é", "logProbability": -0.5}]}]});
    let read = decode_answer(json!({"candidates": [{"finishReason": "STOP", "logprobsResult": result}]})).unwrap();
    let logprobs = read.choices[0].logprobs.clone().unwrap();
    let token = json!({"token": "é", "logprob": -0.5, "bytes": [195, 169]});
    assert_eq!(logprobs["content"][0]["top_logprobs"], json!([token]));
    assert_eq!(super::logprobs::write(&logprobs), Some(result));
}

// --- Streams ------------------------------------------------------------------------------------------

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
    events.iter().for_each(|event| encoder.push(event, &mut bytes));
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
    decoded(&[both("a", "c", false), both("b", "d", true)]).into_iter().for_each(|event| collector.push(event));
    let answer = collector.finish().unwrap();
    let texts: Vec<_> = answer.choices.iter().map(|choice| choice.parts.clone()).collect();
    assert_eq!(texts, [vec![Part::text("ab")], vec![Part::text("cd")]]);
}
