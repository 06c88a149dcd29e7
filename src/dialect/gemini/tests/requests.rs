//! Requests as clients send them.

use super::*;

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
