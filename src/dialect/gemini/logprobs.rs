//! Probabilities: `logprobsResult` to the form of OpenAI's chat, and back.

use serde_json::{Value, json};

/// `{content, refusal}` of `{chosenCandidates, topCandidates}`.
pub(super) fn read(result: &Value) -> Option<Value> {
    let chosen = result.get("chosenCandidates")?.as_array()?;
    let top = result.get("topCandidates").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let content: Vec<Value> = chosen
        .iter()
        .enumerate()
        .map(|(index, chosen)| {
            let beside = top.get(index).and_then(|top| top.get("candidates")?.as_array());
            let beside: Vec<Value> = beside.into_iter().flatten().map(token).collect();
            let mut token = token(chosen);
            if let Some(token) = token.as_object_mut() {
                token.insert("top_logprobs".to_owned(), beside.into());
            }
            token
        })
        .collect();
    Some(json!({ "content": content, "refusal": null }))
}

fn token(candidate: &Value) -> Value {
    let text = candidate.get("token").and_then(Value::as_str).unwrap_or_default();
    json!({ "token": text, "logprob": candidate.get("logProbability"), "bytes": text.as_bytes() })
}

/// `{chosenCandidates, topCandidates}` of `{content, refusal}`.
pub(super) fn write(logprobs: &Value) -> Option<Value> {
    let content = logprobs.get("content")?.as_array()?;
    let top = |token: &Value| {
        let beside = token.get("top_logprobs").and_then(Value::as_array).into_iter().flatten();
        json!({ "candidates": beside.map(candidate).collect::<Vec<_>>() })
    };
    Some(json!({
        "chosenCandidates": content.iter().map(candidate).collect::<Vec<_>>(),
        "topCandidates": content.iter().map(top).collect::<Vec<_>>(),
    }))
}

fn candidate(token: &Value) -> Value {
    json!({ "token": token.get("token"), "logProbability": token.get("logprob") })
}
