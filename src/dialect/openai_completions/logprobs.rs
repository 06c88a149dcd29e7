//! Probabilities: `{tokens, token_logprobs, top_logprobs, text_offset}` here, a list of
//! `{token, logprob, bytes, top_logprobs}` in chat.

use serde_json::{Map, Value, json};

/// In the form of chat; one that is not understood is not carried.
pub fn to_chat(logprobs: &Value) -> Option<Value> {
    let list = |key: &str| logprobs.get(key).and_then(Value::as_array);
    let (tokens, probabilities) = (list("tokens")?, list("token_logprobs")?);
    let tops = list("top_logprobs");
    let content = tokens.iter().zip(probabilities).enumerate().map(|(n, (token, probability))| {
        let beside = tops.and_then(|tops| tops.get(n)?.as_object());
        let top = beside.into_iter().flatten().map(|(token, probability)| one(&json!(token), probability));
        let mut item = one(token, probability);
        item.insert("top_logprobs".to_owned(), top.map(Value::Object).collect());
        Value::Object(item)
    });
    Some(json!({ "content": content.collect::<Vec<_>>(), "refusal": null }))
}

fn one(token: &Value, probability: &Value) -> Map<String, Value> {
    let bytes = token.as_str().map(str::as_bytes);
    let members = [("token", token.clone()), ("logprob", probability.clone()), ("bytes", json!(bytes))];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// In the form of completions; `offset`: characters of the text before, which grows by these tokens.
pub fn from_chat(logprobs: &Value, offset: &mut u64) -> Value {
    let (mut tokens, mut probabilities, mut tops, mut offsets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for item in logprobs.get("content").and_then(Value::as_array).into_iter().flatten() {
        let member = |item: &Value, key: &str| item.get(key).cloned().unwrap_or_default();
        let beside = item.get("top_logprobs").and_then(Value::as_array).into_iter().flatten();
        let top: Map<_, _> =
            beside.filter_map(|top| Some((top.get("token")?.as_str()?.to_owned(), member(top, "logprob")))).collect();
        let token = member(item, "token");
        offsets.push(Value::from(*offset));
        *offset += token.as_str().map_or(0, |token| token.chars().count() as u64);
        tokens.push(token);
        probabilities.push(member(item, "logprob"));
        tops.push(if top.is_empty() { Value::Null } else { Value::Object(top) });
    }
    // Where nobody asked for alternatives there is no list of them.
    let tops = if tops.iter().all(Value::is_null) { Value::Null } else { tops.into() };
    json!({ "tokens": tokens, "token_logprobs": probabilities, "top_logprobs": tops, "text_offset": offsets })
}
