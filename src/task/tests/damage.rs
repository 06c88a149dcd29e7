//! Damage: whatever comes, nothing panics, and what is written is whole.

use proptest::prelude::*;
use serde_json::json;

use super::{corpus::FORMATS, *};
use crate::{
    dialect::{fields::mutants, testing::records},
    framing::multipart,
};

/// Every kind with a request that has every member.
fn requests() -> Vec<(Kind, Value)> {
    let own = json!({"models": ["x/z"], "provider": {"only": ["p"]}, "tags": ["t"], "session_id": "s", "user": "u"});
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    let mut all = vec![
        (
            Kind::Embeddings,
            json!({"model": "x/y", "input": [{"content": [{"type": "text", "text": "a"}, image]}], "dimensions": 8,
            "encoding_format": "base64", "input_type": "search_query"}),
        ),
        (Kind::Embeddings, json!({"model": "x/y", "input": [[1, 2], [3]]})),
        (
            Kind::GeminiEmbeddings,
            json!({"requests": [{"model": "models/x", "content": {"parts": [{"text": "a"}]},
            "taskType": "CLUSTERING", "title": "t", "outputDimensionality": 8}]}),
        ),
        (
            Kind::Rerank,
            json!({"model": "x/y", "query": "q", "documents": ["a", {"text": "b", "image": "i"}], "top_n": 1,
            "return_documents": true, "max_tokens_per_doc": 9}),
        ),
        (Kind::Moderations, json!({"model": "x/y", "input": ["a", image]})),
        (
            Kind::Images,
            json!({"model": "x/y", "prompt": "a", "size": "1024x1536", "n": 1, "quality": "high", "input_references": [image],
            "image_config": {"aspect_ratio": "1:1", "image_size": "2K", "z": 1}, "response_format": "url"}),
        ),
        (
            Kind::Speech,
            json!({"model": "x/y", "input": [{"text": "a"}], "voice": {"id": "v"}, "speed": 1, "instructions": "i"}),
        ),
        (
            Kind::Transcriptions,
            json!({"model": "x/y", "input_audio": {"data": "AAEC", "format": "mp3"}, "language": "en",
            "timestamp_granularities": ["word"], "temperature": 0.5, "prompt": "p"}),
        ),
    ];
    for (_, request) in &mut all {
        request.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    }
    all
}

const QUIRKS: [&str; 9] = [
    "openrouter",
    "input_type",
    "output_dimension",
    "no_encoding_format",
    "base64_int8",
    "top_k",
    "images_in_chat",
    "embed_content",
    "count_plain",
];

fn head() -> Head<'static> {
    Head { model: "x/y", content_type: "application/json" }
}

#[test]
fn damaged_requests_are_refused_or_written_whole() {
    let all = quirks(&QUIRKS);
    for (kind, request) in requests() {
        assert!(parse(kind, head(), request.to_string().as_bytes()).is_ok(), "{request}");
        for mutant in mutants(&request, 300) {
            let body = mutant.to_string();
            let call = match parse(kind, head(), body.as_bytes()) {
                Ok(call) => call,
                Err(error) => {
                    assert_eq!(error.status(), 400, "{body}");
                    continue;
                }
            };
            assert!(!call.asked().models.is_empty());
            for dialect in ALL {
                for (model, names) in [("cohere.embed-v4:0", &[][..]), ("amazon.titan-embed-image-v1", &all)] {
                    match call.encode(dialect, &target(model, names)) {
                        Ok(Outbound { body: Sent::Form { content_type, bytes }, .. }) => {
                            let boundary = multipart::boundary(&content_type).unwrap();
                            assert!(multipart::parse(&bytes, &boundary).is_ok(), "{body}");
                        }
                        Ok(outbound) => assert!(sent(&body, &outbound).is_object(), "{body} to {dialect:?}"),
                        Err(error) => assert_eq!(error.status(), 400, "{body} to {dialect:?}: {error}"),
                    }
                }
            }
        }
    }
}

#[test]
fn damaged_answers_are_answers_or_failures() {
    let results = json!([{"index": 0, "relevance_score": 0.9, "document": "a"}]);
    let usage = json!({"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, "output_tokens_details": {"image_tokens": 2}, "cost": 1});
    let drawn = json!({"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3}});
    let answers = [
        (Kind::Embeddings, Dialect::Bedrock, json!({"embedding": [0.5], "inputTextTokenCount": 3})),
        (
            Kind::Rerank,
            Dialect::Openai,
            json!({"id": "i", "results": results, "usage": {"total_tokens": 3, "search_units": 1}}),
        ),
        (Kind::Rerank, Dialect::Openai, json!({"data": results, "usage": {"total_tokens": 3}})),
        (
            Kind::Rerank,
            Dialect::Cohere,
            json!({"id": "i", "results": results, "meta": {"billed_units": {"search_units": 1}}}),
        ),
        (
            Kind::Moderations,
            Dialect::Openai,
            json!({"id": "i", "model": "m", "results": [{"flagged": true}], "usage": {"prompt_tokens": 3}}),
        ),
        (Kind::Images, Dialect::Openai, json!({"created": 1, "data": [{"b64_json": "AAAA"}], "usage": usage})),
        (Kind::Images, Dialect::Gemini, drawn),
        (
            Kind::Transcriptions,
            Dialect::Openai,
            json!({"text": "a", "duration": 2.5, "usage": {"type": "duration", "seconds": 3}}),
        ),
    ];
    for (kind, dialect, answer) in answers {
        let (_, request) = requests().into_iter().find(|(known, _)| *known == kind).unwrap();
        let wanted = parse(kind, head(), request.to_string().as_bytes()).unwrap().wanted();
        check(&wanted, dialect, &answer, 300);
    }
    let request = json!({"model": "x", "input": ["a"]}).to_string();
    let wanted = parse(Kind::Embeddings, head(), request.as_bytes()).unwrap().wanted();
    for (format, dialect) in FORMATS {
        for record in records(format) {
            let mut body = record.body.unwrap();
            shorten(&mut body);
            check(&wanted, dialect, &body, 60);
        }
    }
}

fn check(wanted: &Wanted, dialect: Dialect, answer: &Value, most: usize) {
    for mutant in mutants(answer, most) {
        let bytes = serde_json::to_vec(&mutant).unwrap();
        if let Ok(read) = wanted.read_answer(dialect, &target("amazon.titan-embed", &[]), &bytes, &finish()) {
            assert!(given(&bytes, &read).is_object(), "{mutant}");
            assert!(read.cost.is_some());
        }
        let _ = read_error(dialect, 400, &bytes);
    }
}

/// Long vectors make slow tests.
fn shorten(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.truncate(3);
            items.iter_mut().for_each(shorten);
        }
        Value::Object(members) => members.values_mut().for_each(shorten),
        _ => {}
    }
}

const KINDS: [Kind; 7] = [
    Kind::Embeddings,
    Kind::GeminiEmbeddings,
    Kind::Rerank,
    Kind::Moderations,
    Kind::Images,
    Kind::Speech,
    Kind::Transcriptions,
];

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..80), kind in prop::sample::select(&KINDS[..]), form: bool) {
        let content_type = if form { "multipart/form-data; boundary=b" } else { "" };
        if let Err(error) = parse(kind, Head { model: "x", content_type }, &body) {
            prop_assert_eq!(error.status(), 400);
        }
        let wanted = [Wanted::Moderation, Wanted::Ranking(rerank::Wanted::default()), Wanted::Image(openai_images::Wanted::default())];
        for (wanted, dialect) in wanted.iter().zip(ALL) {
            prop_assert!(wanted.read_answer(dialect, &target("m", &[]), &body, &finish()).is_err());
        }
    }
}
