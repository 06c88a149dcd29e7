//! Whole answers, both ways.

use super::*;

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
