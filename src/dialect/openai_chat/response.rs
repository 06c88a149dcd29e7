//! A whole answer: what the gateway reads of it, and the members it sets.

use std::{borrow::Cow, fmt::Write};

use serde_json::{Value as Tree, json};

use crate::{
    budget::estimate::estimate_tokens,
    catalog::{CostBreakdown, Tokens},
    chat::ProviderError,
    dialect::{
        fields::tier,
        openai_common::error_of,
        passing::{Answer, Finish, ResponseFacts, Usage, cost_details},
    },
    framing::{
        edit::{Edit, ObjectEdits},
        json::{Kind, Object, Value, quote, scan_object},
    },
    routing::fallback::Cause,
};

/// No provider means more tokens than this; what they cost would no longer fit into a number that
/// JavaScript and SQLite's sums hold exactly.
const MAX_TOKENS: u64 = 100_000_000;
/// Nor searches for one answer.
const MAX_SEARCHES: u64 = 10_000;

/// Sets the names in an answer or a chunk of one.
pub(super) fn name(finish: &Finish, object: &Object<'_>, changed: &mut ObjectEdits<'_, '_>) {
    changed.set("id", quote(&finish.id));
    let (model, provider) = (quote(&finish.model), quote(&finish.provider));
    if object.get("provider").is_none() && object.get("model").is_some() {
        // Beside the model: what stands before the choices is the same in every chunk.
        changed.set("model", format!("{model},\"provider\":{provider}"));
    } else {
        changed.set("model", model);
        changed.set("provider", provider);
    }
}

/// Reads a body that came with status 200.
pub fn read_answer(body: &[u8], finish: &Finish) -> Result<Answer, (Cause, ProviderError)> {
    let object = scan_object(body).map_err(|_| (Cause::Malformed, ProviderError::default()))?;
    if let Some(error) = object.get("error").filter(|value| value.kind != Kind::Null) {
        return Err(error_inside(error));
    }
    let choices = object.get("choices").map(Value::items).unwrap_or_default();
    if choices.is_empty() || choices.iter().any(|choice| choice.kind != Kind::Object) {
        return Err((Cause::Malformed, ProviderError::default()));
    }

    let mut edits = Vec::new();
    let mut facts = ResponseFacts {
        upstream_id: text(&object, "id").filter(|id| !id.is_empty()),
        service_tier: text(&object, "service_tier").map(tier),
        ..ResponseFacts::default()
    };
    for choice in choices.iter().filter_map(Value::object) {
        let reason = text(&choice, "finish_reason");
        if choice.get("native_finish_reason").is_none() {
            let mut changed = ObjectEdits::new(&choice);
            changed.set("native_finish_reason", reason.as_deref().map_or("null".to_owned(), quote));
            edits.extend(changed.finish());
        }
        facts.native_finish_reason =
            facts.native_finish_reason.or_else(|| text(&choice, "native_finish_reason").or_else(|| reason.clone()));
        facts.finish_reason = facts.finish_reason.or(reason);
    }
    let usage = object.get("usage");
    facts.usage = usage.and_then(read_usage).unwrap_or_else(|| Usage {
        tokens: Tokens {
            prompt: finish.estimated_prompt,
            completion: estimate_tokens(body.len()),
            ..Tokens::default()
        },
        estimated: true,
        provider_cost: None,
    });
    let cost = finish.cost(&facts.usage.tokens);

    let mut changed = ObjectEdits::new(&object);
    name(finish, &object, &mut changed);
    // OpenAI's older completions have texts where chat has messages.
    let texts = choices.iter().filter_map(Value::object).any(|choice| choice.get("text").is_some());
    // What OpenRouter's SDKs insist on and some providers leave out.
    let expected = [
        ("object", if texts { "\"text_completion\"" } else { "\"chat.completion\"" }.to_owned()),
        ("created", finish.created.to_string()),
        ("system_fingerprint", "null".to_owned()),
    ];
    for (key, json) in expected {
        if object.get(key).is_none() {
            changed.set(key, json);
        }
    }
    if let Some(metadata) = &finish.metadata {
        changed.set("openrouter_metadata", metadata.clone());
    }
    match usage.filter(|_| !facts.usage.estimated).and_then(Value::object) {
        Some(usage) => edits.extend(usage_edits(&usage, &facts.usage.tokens, cost.as_ref())),
        None => changed.set("usage", usage_json(&facts.usage, cost.as_ref())),
    }
    edits.extend(changed.finish());
    edits.sort_by_key(|edit| edit.start);
    Ok(Answer { facts, cost, edits })
}

/// An `error` member in place of an answer.
pub(super) fn error_inside(value: &Value<'_>) -> (Cause, ProviderError) {
    let error = error_of(&json!({ "error": serde_json::from_str::<Tree>(value.text).unwrap_or_default() }));
    (Cause::ErrorInBody(error.status), error)
}

pub(super) fn text(object: &Object<'_>, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).map(Cow::into_owned)
}

/// Reads a `usage` object. `None` where it is none, or where its numbers cannot be meant: negative,
/// fractional, not numbers, or far too many.
pub fn read_usage(value: &Value<'_>) -> Option<Usage> {
    let object = value.object()?;
    let mut prompt = count(&object, "prompt_tokens")??;
    let mut completion = count(&object, "completion_tokens")?.unwrap_or(0);
    let details = |key: &str| object.get(key).and_then(Value::object);
    let of = |details: &Option<Object<'_>>, key: &str| {
        details.as_ref().map_or(Some(0), |d| Some(count(d, key)?.unwrap_or(0)))
    };
    let (sent, answered) = (details("prompt_tokens_details"), details("completion_tokens_details"));
    let mut reasoning = of(&answered, "reasoning_tokens")?;
    let mut prompt_audio = match of(&sent, "audio_tokens")? {
        0 => count(&object, "audio_prompt_tokens")?.unwrap_or(0),
        counted => counted,
    };
    // Some count what they also bill beside the two, and only the total tells: xAI reasoning, Google's
    // compatible endpoint thoughts (of which it says nothing else), Mistral the tokens of a sound.
    let beside = count(&object, "total_tokens")?.unwrap_or(0).saturating_sub(prompt.saturating_add(completion));
    if beside > 0 && object.get("prompt_audio_seconds").is_some() {
        prompt += beside;
        prompt_audio = prompt_audio.max(beside);
    } else if beside > 0 && (reasoning == 0 || reasoning == beside) {
        completion += beside;
        reasoning = beside;
    }
    // Together and Moonshot, Mistral, DeepSeek and Vercel have spellings of their own beside the details.
    let or = |mut found: u64, others: &[&str]| {
        for other in others {
            if found == 0 {
                found = count(&object, other)?.unwrap_or(0);
            }
        }
        Some(found)
    };
    let cached = or(of(&sent, "cached_tokens")?, &["prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens"])?;
    let cache_write = or(of(&sent, "cache_write_tokens")?, &["cache_creation_input_tokens"])?;
    Some(Usage {
        tokens: Tokens {
            prompt,
            completion,
            cached,
            cache_write,
            prompt_audio,
            reasoning,
            completion_audio: of(&answered, "audio_tokens")?,
            completion_image: of(&answered, "image_tokens")?,
            web_searches: searches(&object),
            ..Tokens::default()
        },
        estimated: false,
        provider_cost: provider_cost(&object).filter(|cost| cost.is_finite() && *cost >= 0.0),
    })
}

/// Searches of the web: OpenRouter's count of them (under its older name, too), or Perplexity's.
fn searches(usage: &Object<'_>) -> u64 {
    let of = |key: &str| usage.get(key)?.object()?.get("web_search_requests")?.as_u64();
    let nested = of("server_tool_use_details").or_else(|| of("server_tool_use"));
    let said = nested.or_else(|| usage.get("num_search_queries")?.as_u64());
    said.filter(|searches| *searches <= MAX_SEARCHES).unwrap_or(0)
}

/// What the provider charges: `cost`, Perplexity's `cost.total_cost`, xAI's ticks of 1e-10 USD.
fn provider_cost(usage: &Object<'_>) -> Option<f64> {
    let total = |cost: &Value<'_>| cost.as_f64().or_else(|| cost.object()?.get("total_cost")?.as_f64());
    let ticks = || Some(usage.get("cost_in_usd_ticks")?.as_f64()? / 1e10);
    usage.get("cost").and_then(total).or_else(ticks)
}

/// A count: `Some(None)` where there is none, `None` where it cannot be one.
#[expect(clippy::option_option, reason = "absent and absurd lead different ways")]
fn count(object: &Object<'_>, key: &str) -> Option<Option<u64>> {
    match object.get(key) {
        None => Some(None),
        Some(value) if value.kind == Kind::Null => Some(None),
        Some(value) => match value.as_u64().or_else(|| whole(value.as_f64()?)) {
            Some(count) if count <= plant!(Believed, MAX_TOKENS, u64::MAX) => Some(Some(count)),
            _ => None,
        },
    }
}

/// `12.0` as 12.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
fn whole(number: f64) -> Option<u64> {
    (number.fract() == 0.0 && (0.0..=9e15).contains(&number)).then_some(number as u64)
}

/// Adds cost to a provider's usage object, in place: its own members stay as they are. Counts that
/// clients insist on are made good where the provider leaves them out.
pub(super) fn usage_edits(usage: &Object<'_>, tokens: &Tokens, cost: Option<&CostBreakdown>) -> Vec<Edit> {
    let mut edits = ObjectEdits::new(usage);
    let counts = [
        ("prompt_tokens", tokens.prompt),
        ("completion_tokens", tokens.completion),
        ("total_tokens", tokens.prompt.saturating_add(tokens.completion)),
    ];
    for (key, count) in counts {
        if usage.get(key).is_none_or(|value| value.kind == Kind::Null) {
            edits.set(key, count.to_string());
        }
    }
    match cost {
        Some(cost) => {
            edits.set("cost", cost.total.to_string());
            edits.set("is_byok", "false".to_owned());
            edits.set("cost_details", cost_details(cost));
        }
        None => edits.cut(|key| key == "cost" || key == "cost_details"),
    }
    edits.finish()
}

/// A usage object of our own.
pub(super) fn usage_json(usage: &Usage, cost: Option<&CostBreakdown>) -> String {
    let Tokens { prompt, completion, cached, cache_write, prompt_audio, .. } = usage.tokens;
    let Tokens { reasoning, completion_audio, completion_image, .. } = usage.tokens;
    let mut text = format!(
        "{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"total_tokens\":{},\
         \"prompt_tokens_details\":{{\"cached_tokens\":{cached},\"cache_write_tokens\":{cache_write},\"audio_tokens\":{prompt_audio}}},\
         \"completion_tokens_details\":{{\"reasoning_tokens\":{reasoning},\"audio_tokens\":{completion_audio},\"image_tokens\":{completion_image}}}",
        prompt.saturating_add(completion)
    );
    if let Some(cost) = cost {
        let _ = write!(text, ",\"cost\":{},\"is_byok\":false,\"cost_details\":{}", cost.total, cost_details(cost));
    }
    if usage.estimated {
        text.push_str(",\"is_estimated\":true");
    }
    text.push('}');
    text
}

#[cfg(test)]
pub(super) mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::framing::edit::apply;

    pub(crate) fn finish() -> Finish {
        Finish {
            policy: Rc::default(),
            id: "gen-1-x".to_owned(),
            model: "a/b".to_owned(),
            provider: "P".to_owned(),
            pricing: serde_json::from_str(r#"{"prompt":"0.000001","completion":"0.000002"}"#).unwrap(),
            estimated_prompt: 9,
            created: 7,
            metadata: None,
        }
    }

    fn usage(text: &str) -> Option<Usage> {
        let body = format!("{{\"usage\":{text}}}");
        read_usage(scan_object(body.as_bytes()).unwrap().get("usage").unwrap())
    }

    #[test]
    fn an_answer_gets_its_names_and_its_cost_and_keeps_the_rest() {
        let body = br#"{"id":"chatcmpl-1","object":"chat.completion","created":5,"model":"m-2026","choices":[{"index":0,
            "message":{"role":"assistant","content":"hi","x":1.50},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5,
            "total_tokens":15,"prompt_tokens_details":{"cached_tokens":4},"odd":true},"zzz":[1]}"#;
        let answer = read_answer(body, &finish()).unwrap();
        let out = String::from_utf8(apply(body, &answer.edits)).unwrap();
        assert!(out.contains(r#""content":"hi","x":1.50}"#), "{out}");
        let out: Tree = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (&out["id"], &out["model"], &out["provider"], &out["zzz"]),
            (&json!("gen-1-x"), &json!("a/b"), &json!("P"), &json!([1]))
        );
        assert_eq!(out["usage"]["cost"], json!(0.00002));
        assert_eq!(out["usage"]["odd"], true);
        assert_eq!(out["usage"]["cost_details"]["upstream_inference_prompt_cost"], json!(0.00001));
        assert_eq!(out["choices"][0]["native_finish_reason"], "stop");
        assert_eq!(answer.facts.upstream_id.as_deref(), Some("chatcmpl-1"));
        assert_eq!(answer.facts.usage.tokens.cached, 4);
    }

    #[test]
    fn an_answer_without_usable_usage_is_estimated_and_says_so() {
        for usage in [
            "null",
            "{}",
            r#"{"prompt_tokens":-1,"completion_tokens":2}"#,
            r#"{"prompt_tokens":1e99,"completion_tokens":2}"#,
            "[]",
        ] {
            let body = format!(r#"{{"choices":[{{"message":{{}},"finish_reason":"length"}}],"usage":{usage}}}"#);
            let answer = read_answer(body.as_bytes(), &finish()).unwrap();
            let out: Tree = serde_json::from_slice(&apply(body.as_bytes(), &answer.edits)).unwrap();
            assert_eq!(out["usage"]["is_estimated"], true, "{usage}");
            assert_eq!(out["usage"]["prompt_tokens"], 9);
            assert!(answer.facts.usage.estimated && answer.cost.is_some());
        }
    }

    #[test]
    fn counts_that_a_provider_leaves_out_are_made_good() {
        let body = br#"{"choices":[{"message":{}}],"usage":{"prompt_tokens":3,"completion_tokens":null}}"#;
        let answer = read_answer(body, &finish()).unwrap();
        let out: Tree = serde_json::from_slice(&apply(body, &answer.edits)).unwrap();
        assert_eq!((&out["usage"]["completion_tokens"], &out["usage"]["total_tokens"]), (&json!(0), &json!(3)));
        assert!(out["usage"].get("is_estimated").is_none());
    }

    #[test]
    fn usage_is_read_in_each_providers_way() {
        for (text, prompt, completion, cached, reasoning) in [
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":3},"total_tokens":15}"#,
                10,
                5,
                0,
                3,
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":3},"total_tokens":18}"#,
                10,
                8,
                0,
                3,
            ),
            (r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":45}"#, 10, 35, 0, 30),
            (r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":45,"prompt_audio_seconds":3}"#, 40, 5, 0, 0),
            (r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":6}"#, 10, 5, 6, 0),
            (r#"{"prompt_tokens":10,"completion_tokens":5,"num_cached_tokens":6}"#, 10, 5, 6, 0),
            (r#"{"prompt_tokens":10,"completion_tokens":5,"cached_tokens":6}"#, 10, 5, 6, 0),
            (r#"{"prompt_tokens":10.0,"completion_tokens":null,"prompt_tokens_details":null}"#, 10, 0, 0, 0),
        ] {
            let tokens = usage(text).unwrap().tokens;
            assert_eq!(
                (tokens.prompt, tokens.completion, tokens.cached, tokens.reasoning),
                (prompt, completion, cached, reasoning),
                "{text}"
            );
        }
        for text in [
            r#"{"prompt_tokens":1.5}"#,
            r#"{"prompt_tokens":"7"}"#,
            r#"{"prompt_tokens":9007199254740994}"#,
            r#"{"completion_tokens":1}"#,
        ] {
            assert_eq!(usage(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_answer_is_told_apart() {
        for (body, cause) in [
            (&b"<html>"[..], Cause::Malformed),
            (b"{}", Cause::Malformed),
            (br#"{"choices":[]}"#, Cause::Malformed),
            (br#"{"choices":[1]}"#, Cause::Malformed),
            (br#"{"error":{"message":"x","code":429}}"#, Cause::ErrorInBody(Some(429))),
            (br#"{"error":"x"}"#, Cause::ErrorInBody(None)),
        ] {
            assert_eq!(read_answer(body, &finish()).unwrap_err().0, cause, "{}", String::from_utf8_lossy(body));
        }
    }
}
