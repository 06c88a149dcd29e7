//! Recorded answers of real providers, for clients of every format.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use super::*;
use crate::dialect::testing::records;

/// The vectors in an answer, in any format, as floats of 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "that is the format")]
fn vectors(body: &Value) -> Vec<Vec<f32>> {
    let numbers = |value: &Value| -> Option<Vec<f32>> {
        match value {
            Value::Array(items) => items.iter().map(|item| item.as_f64().map(|number| number as f32)).collect(),
            Value::String(text) => {
                let bytes = STANDARD.decode(text).unwrap();
                Some(bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect())
            }
            _ => None,
        }
    };
    let list = |value: &Value, inner: &str| -> Vec<Vec<f32>> {
        value.as_array().unwrap().iter().map(|item| numbers(item.pointer(inner).unwrap()).unwrap()).collect()
    };
    match body {
        _ if body.get("data").is_some() => list(&body["data"], "/embedding"),
        _ if body.get("predictions").is_some() => list(&body["predictions"], "/embeddings/values"),
        _ if body.pointer("/embedding/values").is_some() => vec![numbers(&body["embedding"]["values"]).unwrap()],
        _ if body.get("embedding").is_some() => vec![numbers(&body["embedding"]).unwrap()],
        _ if body["embeddings"].is_object() => {
            list(body["embeddings"].as_object().unwrap().values().next().unwrap(), "")
        }
        _ if body.pointer("/embeddings/0/values").is_some() => list(&body["embeddings"], "/values"),
        _ => list(&body["embeddings"], ""),
    }
}

fn counted(body: &Value) -> Option<u64> {
    let places = [
        "/usage/prompt_tokens",
        "/meta/billed_units/input_tokens",
        "/usageMetadata/promptTokenCount",
        "/predictions/0/embeddings/statistics/token_count",
        "/prompt_eval_count",
    ];
    places.iter().find_map(|place| body.pointer(place)?.as_u64())
}

pub(super) const FORMATS: [(&str, Dialect); 6] = [
    ("openai.embeddings", Dialect::Openai),
    ("cohere.embed.v1", Dialect::Cohere),
    ("cohere.embed.v2", Dialect::Cohere),
    ("gemini.embedContent", Dialect::Gemini),
    ("vertex.predict", Dialect::Vertex),
    ("ollama.embed", Dialect::Ollama),
];

#[test]
fn recorded_vectors_reach_clients_of_every_format() {
    let (mut answers, mut failures) = (0, 0);
    for (format, dialect) in FORMATS {
        for record in records(format) {
            let body = record.body.unwrap();
            let bytes = serde_json::to_vec(&body).unwrap();
            if record.status != 200 {
                let error = read_error(dialect, record.status, &bytes);
                assert!(error.message.is_some(), "{}", record.name);
                failures += 1;
                continue;
            }
            let own = record.provider == "perplexity";
            let names = quirks(if own { &["base64_int8"] } else { &[] });
            let target = target("m", &names);
            let count = if own { body["data"].as_array().unwrap().len() } else { vectors(&body).len() };
            let texts = vec!["a"; count];
            let base64 = record.request["encoding_format"] == "base64";
            let clients = [
                (Kind::Embeddings, json!({"model": "x", "input": texts})),
                (Kind::Embeddings, json!({"model": "x", "input": texts, "encoding_format": "base64"})),
                (
                    Kind::GeminiEmbeddings,
                    json!({"requests": texts.iter().map(|text| json!({"content": {"parts": [{"text": text}]}})).collect::<Vec<_>>()}),
                ),
            ];
            for (kind, request) in clients {
                // Whoever asked for base64 got it; nobody else is served by such an answer.
                if base64 && request["encoding_format"] != "base64" {
                    continue;
                }
                let request = request.to_string();
                let call = parse(kind, Head { model: "x", ..Head::default() }, request.as_bytes()).unwrap();
                let read = call.wanted().read_answer(dialect, &target, &bytes, &finish()).unwrap();
                let out = given(&bytes, &read);
                if own {
                    assert_eq!(vectors(&out)[0].len(), 256, "{}", record.name);
                } else {
                    assert_eq!(vectors(&out), vectors(&body), "{} for {kind:?}", record.name);
                }
                let tokens = counted(&body);
                assert_eq!(read.facts.usage.tokens.prompt, tokens.unwrap_or(9), "{}", record.name);
                assert_eq!(read.facts.usage.estimated, tokens.is_none(), "{}", record.name);
                let usage = if kind == Kind::Embeddings { &out["usage"] } else { &out["usageMetadata"] };
                assert_eq!(usage["cost"], read.cost.unwrap().total.to_json(), "{}", record.name);
                assert_eq!(usage["is_byok"], false);
                answers += 1;
            }
        }
    }
    println!("{answers} times recorded vectors reached a client, {failures} failures were read");
}

#[test]
fn recorded_requests_for_vectors_reach_every_provider() {
    let mut count = 0;
    for record in records("openai.embeddings") {
        let text = record.request.to_string();
        let Ok(call) = parse(Kind::Embeddings, Head::default(), text.as_bytes()) else {
            // What the providers refused is refused here already.
            assert!(record.status >= 400, "{}", record.name);
            continue;
        };
        for dialect in ALL {
            let names = quirks(&[]);
            let model = if dialect == Dialect::Bedrock { "cohere.embed-v4:0" } else { "m" };
            match call.encode(dialect, &target(model, &names)) {
                Ok(outbound) => {
                    let sent = sent(&text, &outbound);
                    let inputs = record.request["input"].as_array().map_or(1, Vec::len);
                    let list =
                        ["input", "texts", "requests", "instances"].iter().find_map(|key| sent.get(key)).unwrap();
                    assert_eq!(list.as_array().map_or(1, Vec::len), inputs, "{} to {dialect:?}", record.name);
                    count += 1;
                }
                Err(error) => assert_eq!(error.status(), 400, "{} to {dialect:?}: {error}", record.name),
            }
        }
    }
    for record in records("gemini.embedContent").into_iter().chain(records("vertex.predict")) {
        let text = record.request.to_string();
        let call = parse(Kind::GeminiEmbeddings, Head { model: "x", ..Head::default() }, text.as_bytes()).unwrap();
        for dialect in [Dialect::Openai, Dialect::Gemini, Dialect::Cohere] {
            let outbound = call.encode(dialect, &target("m", &[])).unwrap();
            assert!(sent(&text, &outbound).is_object(), "{}", record.name);
            count += 1;
        }
    }
    println!("{count} recorded requests for vectors were written for a provider");
}

#[test]
fn recorded_counts_reach_both_clients() {
    let mut answers = 0;
    for (format, client, dialect) in [
        ("anthropic.count_tokens", count::Client::Anthropic, Dialect::Anthropic),
        ("gemini.countTokens", count::Client::Gemini, Dialect::Gemini),
    ] {
        for record in records(format) {
            let text = record.request.to_string();
            let call = count::parse(client, "x", text.as_bytes()).unwrap();
            for dialect in ALL {
                let asks = matches!(dialect, Dialect::Anthropic | Dialect::Gemini | Dialect::Vertex);
                match count::encode(&call.request, dialect, &target("m", &[])) {
                    Ok(outbound) => assert_eq!(outbound.is_some(), asks, "{} to {dialect:?}", record.name),
                    // What this provider could not be asked, it cannot count.
                    Err(error) => assert_eq!((asks, error.status()), (true, 400), "{} to {dialect:?}", record.name),
                }
            }
            let body = record.body.unwrap();
            let bytes = serde_json::to_vec(&body).unwrap();
            let total = body.get("input_tokens").or_else(|| body.get("totalTokens")).and_then(Value::as_u64);
            for (asker, member) in [(count::Client::Anthropic, "input_tokens"), (count::Client::Gemini, "totalTokens")]
            {
                match asker.read_answer(dialect, &bytes) {
                    Ok((tokens, out)) => {
                        assert_eq!((Some(tokens), out[member].as_u64()), (total, total), "{}", record.name);
                        // An estimate is of the same order, but for what a provider adds to tools by itself.
                        let (guess, tools) = (call.asked.weight.tokens(), call.request.tools.len());
                        let near = (tokens / 4..=tokens * 4 + 16).contains(&guess);
                        assert!(near || tools > 0, "{}: {guess} for {tokens}", record.name);
                        answers += 1;
                    }
                    Err((_, error)) => assert!(total.is_none() && error.message.is_some(), "{}", record.name),
                }
            }
        }
    }
    println!("{answers} recorded counts reached a client");
}
