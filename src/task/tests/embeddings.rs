//! Vectors.

use serde_json::json;

use super::*;
use crate::{
    dialect::single::Place,
    provider::{bedrock::Operation, google::Verb},
    routing::fallback::Cause,
};

fn openai(body: &str) -> Call<'_> {
    parse(Kind::Embeddings, Head::default(), body.as_bytes()).unwrap()
}

#[test]
fn each_provider_is_spoken_to_in_its_own_words() {
    let body = r#"{"model":"x/y","input":["a","b"],"dimensions":8,"input_type":"search_query","user":"u","provider":{"only":["p"]},"tags":["t"]}"#;
    let call = openai(body);
    assert_eq!(call.asked().parameters, ["dimensions", "input_type"]);
    assert_eq!((call.asked().user.as_deref(), &*call.asked().tags), (Some("u"), &["t".to_owned()][..]));
    let none = quirks(&[]);
    for (dialect, model, quirks, place, expected, losses) in [
        (
            Dialect::Openai,
            "m",
            &none,
            Place::Below("/embeddings"),
            json!({"model": "m", "input": ["a", "b"], "dimensions": 8, "input_type": "search_query", "user": "u"}),
            vec![],
        ),
        (
            Dialect::AzureOpenai,
            "m",
            &quirks(&["output_dimension"]),
            Place::Below("/embeddings"),
            json!({"model": "m", "input": ["a", "b"], "output_dimension": 8, "input_type": "search_query", "user": "u"}),
            vec![],
        ),
        (
            Dialect::Gemini,
            "m",
            &none,
            Place::Google(Verb::BatchEmbed),
            json!({"requests": [
                {"model": "models/m", "content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 8},
                {"model": "models/m", "content": {"parts": [{"text": "b"}]}, "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 8},
            ]}),
            vec!["user"],
        ),
        (
            Dialect::Vertex,
            "m",
            &none,
            Place::Google(Verb::Predict),
            json!({"instances": [{"content": "a", "task_type": "RETRIEVAL_QUERY"}, {"content": "b", "task_type": "RETRIEVAL_QUERY"}],
                   "parameters": {"outputDimensionality": 8}}),
            vec!["user"],
        ),
        (
            Dialect::Cohere,
            "m",
            &none,
            Place::Below("/v2/embed"),
            json!({"model": "m", "texts": ["a", "b"], "input_type": "search_query", "embedding_types": ["float"], "output_dimension": 8}),
            vec!["user"],
        ),
        (
            Dialect::Bedrock,
            "us.cohere.embed-v4:0",
            &none,
            Place::Bedrock(Operation::Invoke),
            json!({"texts": ["a", "b"], "input_type": "search_query", "embedding_types": ["float"], "output_dimension": 8}),
            vec!["user"],
        ),
        (
            Dialect::Ollama,
            "m",
            &none,
            Place::Below("/api/embed"),
            json!({"model": "m", "input": ["a", "b"], "dimensions": 8}),
            vec!["input_type", "user"],
        ),
    ] {
        let outbound = call.encode(dialect, &target(model, quirks)).unwrap();
        assert_eq!(outbound.place, place, "{dialect:?}");
        assert_eq!(sent(body, &outbound), expected, "{dialect:?}");
        assert_eq!(lost(&outbound), losses, "{dialect:?}");
    }
    let error = call.encode(Dialect::Anthropic, &target("m", &none)).unwrap_err();
    assert_eq!((error.status(), error.code), (400, Some("unsupported_parameter")));
}

#[test]
fn titan_embeds_one_input_a_request() {
    let none = quirks(&[]);
    let cases = [
        (
            r#"{"model":"x","input":"a","dimensions":256}"#,
            "amazon.titan-embed-text-v2:0",
            Ok(json!({"inputText": "a", "dimensions": 256})),
        ),
        (r#"{"model":"x","input":["a","b"]}"#, "amazon.titan-embed-text-v2:0", Err("input")),
        (r#"{"model":"x","input":"a","dimensions":256}"#, "amazon.titan-embed-text-v1", Err("dimensions")),
        (
            r#"{"model":"x","input":[{"content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}],"dimensions":384}"#,
            "amazon.titan-embed-image-v1",
            Ok(json!({"inputImage": "AAAA", "inputText": "a", "embeddingConfig": {"outputEmbeddingLength": 384}})),
        ),
        (r#"{"model":"x","input":"a"}"#, "amazon.nova-lite-v1:0", Err("model")),
    ];
    for (body, model, expected) in cases {
        let outbound = openai(body).encode(Dialect::Bedrock, &target(model, &none));
        match expected {
            Ok(expected) => assert_eq!(sent(body, &outbound.unwrap()), expected),
            Err(param) => assert_eq!(outbound.unwrap_err().param.as_deref(), Some(param), "{body}"),
        }
    }
}

#[test]
fn token_numbers_and_pictures_go_where_they_are_understood() {
    let none = quirks(&[]);
    for (body, vectors) in [(r#"{"model":"x","input":[1,2,3]}"#, 1), (r#"{"model":"x","input":[[1,2],[3]]}"#, 2)] {
        let call = openai(body);
        assert!(matches!(call.wanted(), Wanted::Embedding(_)));
        assert_eq!(call.asked().weight.text, 12);
        let sent = sent(body, &call.encode(Dialect::Openai, &target("m", &none)).unwrap());
        assert_eq!(sent["input"], serde_json::from_str::<Value>(body).unwrap()["input"]);
        for dialect in [Dialect::Gemini, Dialect::Vertex, Dialect::Cohere, Dialect::Ollama] {
            let error = call.encode(dialect, &target("m", &none)).unwrap_err();
            assert_eq!((error.status(), error.param.as_deref()), (400, Some("input[0]")), "{dialect:?}");
        }
        let short =
            json!({"data": vec![json!({"embedding": [0.5], "index": 0}); vectors - 1], "usage": {"prompt_tokens": 1}});
        let read =
            call.wanted().read_answer(Dialect::Openai, &target("m", &none), short.to_string().as_bytes(), &finish());
        assert_eq!(read.unwrap_err().0, Cause::Malformed);
    }
    let body = r#"{"model":"x","input":[{"content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}"#;
    let call = openai(body);
    assert_eq!((call.asked().weight.media, call.asked().weight.media_bytes > 60), (1, true));
    let gemini = sent(body, &call.encode(Dialect::Gemini, &target("m", &none)).unwrap());
    assert_eq!(
        gemini["requests"][0]["content"]["parts"][1]["inlineData"],
        json!({"mimeType": "image/png", "data": "AAAA"})
    );
    let cohere = sent(body, &call.encode(Dialect::Cohere, &target("m", &none)).unwrap());
    assert_eq!(cohere["inputs"][0]["content"][1]["image_url"]["url"], "data:image/png;base64,AAAA");
    assert!(cohere.get("texts").is_none());
    assert!(call.encode(Dialect::Ollama, &target("m", &none)).is_err());
}

#[test]
fn base64_comes_from_every_provider() {
    let body = r#"{"model":"x","input":"a","encoding_format":"base64"}"#;
    let call = openai(body);
    let none = quirks(&[]);
    // 0.5 and -2 as little-endian floats of 32 bits.
    let expected = "AAAAPwAAAMA=";
    for (dialect, model, answer, tokens) in [
        (
            Dialect::Openai,
            "m",
            json!({"object": "list", "data": [{"embedding": [0.5, -2]}], "usage": {"total_tokens": 3}}),
            Some(3),
        ),
        (
            Dialect::Openai,
            "m",
            json!({"data": [{"embedding": "AAAAPwAAAMA="}], "usage": {"prompt_tokens": 3}}),
            Some(3),
        ),
        (Dialect::Gemini, "m", json!({"embeddings": [{"values": [0.5, -2]}]}), None),
        (
            Dialect::Vertex,
            "m",
            json!({"predictions": [{"embeddings": {"values": [0.5, -2.0], "statistics": {"token_count": 3.0}}}]}),
            Some(3),
        ),
        (
            Dialect::Cohere,
            "m",
            json!({"id": "c", "embeddings": {"float": [[0.5, -2.0]]}, "meta": {"billed_units": {"input_tokens": 3}}}),
            Some(3),
        ),
        (
            Dialect::Bedrock,
            "cohere.embed-english-v3",
            json!({"embeddings": [[0.5, -2.0]], "response_type": "embeddings_floats"}),
            None,
        ),
        (
            Dialect::Bedrock,
            "amazon.titan-embed-text-v1",
            json!({"embedding": [0.5, -2.0], "inputTextTokenCount": 3}),
            Some(3),
        ),
        (Dialect::Ollama, "m", json!({"embeddings": [[0.5, -2.0]], "prompt_eval_count": 3}), Some(3)),
    ] {
        let answer = answer.to_string();
        let read = call.wanted().read_answer(dialect, &target(model, &none), answer.as_bytes(), &finish()).unwrap();
        let out = given(answer.as_bytes(), &read);
        assert_eq!(out["data"][0]["embedding"], expected, "{answer}");
        assert_eq!(
            (&out["object"], &out["id"], &out["model"], &out["provider"]),
            (&json!("list"), &json!("gen-1-x"), &json!("a/b"), &json!("P"))
        );
        assert_eq!(out["usage"]["prompt_tokens"], tokens.unwrap_or(9), "{answer}");
        assert_eq!(out["usage"]["total_tokens"], tokens.unwrap_or(9));
        assert_eq!(out["usage"]["is_estimated"], if tokens.is_none() { json!(true) } else { Value::Null });
        assert_eq!(out["usage"]["cost"], json!(if tokens.is_none() { 9e-6 } else { 3e-6 }));
        assert_eq!(read.facts.usage.estimated, tokens.is_none());
    }
    let signed = json!({"data": [{"embedding": "AQD/"}], "usage": {"prompt_tokens": 3, "cost": {"total_cost": 0.5}}})
        .to_string();
    for (body, embedding) in [
        (r#"{"model":"x","input":"a"}"#, json!([1.0, 0.0, -1.0])),
        (body, json!("AACAPwAAAAAAAIC/")),
        (r#"{"model":"x","input":"a","encoding_format":"base64_int8"}"#, json!("AQD/")),
    ] {
        let read = openai(body)
            .wanted()
            .read_answer(Dialect::Openai, &target("m", &quirks(&["base64_int8"])), signed.as_bytes(), &finish())
            .unwrap();
        let out = given(signed.as_bytes(), &read);
        assert_eq!(out["data"][0]["embedding"], embedding);
        assert_eq!((read.facts.usage.provider_cost, &out["usage"]["cost"]), (Some(0.5), &json!(3e-6)));
    }
}

#[test]
fn a_gemini_client_is_served_by_everybody() {
    let body = br#"{"requests":[{"model":"models/x","content":{"parts":[{"text":"abcd"}]},"taskType":"RETRIEVAL_QUERY"}],"tags":["t"]}"#;
    let call = parse(Kind::GeminiEmbeddings, Head { model: "x/y", ..Head::default() }, body).unwrap();
    let asked = call.asked();
    assert_eq!((&*asked.models, &*asked.tags, asked.weight.text), (&["x/y".to_owned()][..], &["t".to_owned()][..], 4));
    assert_eq!(asked.parameters, ["input_type"]);
    let text = std::str::from_utf8(body).unwrap();
    let outbound = call.encode(Dialect::Openai, &target("m", &[])).unwrap();
    assert_eq!(sent(text, &outbound), json!({"model": "m", "input": ["abcd"]}));
    assert_eq!(lost(&outbound), ["input_type"]);
    let outbound = call.encode(Dialect::Openai, &target("m", &quirks(&["input_type"]))).unwrap();
    assert_eq!(sent(text, &outbound)["input_type"], "query");
    let outbound = call.encode(Dialect::Gemini, &target("m", &[])).unwrap();
    assert_eq!(sent(text, &outbound)["requests"][0]["taskType"], "RETRIEVAL_QUERY");
    assert!(sent(text, &outbound).get("tags").is_none());
    let answer = json!({"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 3}}).to_string();
    let read = call.wanted().read_answer(Dialect::Openai, &target("m", &[]), answer.as_bytes(), &finish()).unwrap();
    let out = given(answer.as_bytes(), &read);
    assert_eq!(out["embeddings"], json!([{"values": [0.5]}]));
    assert_eq!((&out["usageMetadata"]["promptTokenCount"], &out["usageMetadata"]["cost"]), (&json!(3), &json!(3e-6)));
    for (bad, field) in [
        (&b"{}"[..], "content"),
        (br#"{"requests":[]}"#, "requests"),
        (br#"{"content":{"parts":[{"text":1}]}}"#, "content.parts[0].text"),
        (br#"{"content":{"parts":[]},"provider":{"only":1}}"#, "provider.only"),
        (b"nonsense", "body"),
    ] {
        let error = parse(Kind::GeminiEmbeddings, Head { model: "x/y", ..Head::default() }, bad).unwrap_err();
        assert_eq!((error.status(), error.param.as_deref()), (400, Some(field)), "{error}");
    }
}

#[test]
fn what_is_wrong_names_its_field() {
    for (body, param) in [
        (r#"{"input":"a"}"#, Some("model")),
        (r#"{"model":"x"}"#, Some("input")),
        (r#"{"model":"x","input":null}"#, Some("input")),
        (r#"{"model":"x","input":""}"#, Some("input")),
        (r#"{"model":"x","input":[]}"#, Some("input")),
        (r#"{"model":"x","input":7}"#, Some("input")),
        (r#"{"model":"x","input":["a",7]}"#, Some("input[1]")),
        (r#"{"model":"x","input":[[]]}"#, Some("input[0]")),
        (r#"{"model":"x","input":[[1,-1]]}"#, Some("input[0]")),
        (r#"{"model":"x","input":[null]}"#, Some("input[0]")),
        (r#"{"model":"x","input":[{}]}"#, Some("input[0].content")),
        (r#"{"model":"x","input":"a","dimensions":-42}"#, Some("dimensions")),
        (r#"{"model":"x","input":"a","encoding_format":1}"#, Some("encoding_format")),
        (r#"{"model":"x","input":"a","input":"b"}"#, Some("input")),
        (r#"{"model":"x","input":"a","provider":{"only":1}}"#, Some("provider.only")),
        (r#"{"model":"x","input":"a","tags":[1]}"#, Some("tags[0]")),
        (r#"{"model":"x","input""#, None),
    ] {
        let error = parse(Kind::Embeddings, Head::default(), body.as_bytes()).unwrap_err();
        assert_eq!((error.status(), error.param.as_deref()), (400, param), "{body}");
    }
    let call = openai(r#"{"model":"x","input":"a","encoding_format":"ubinary"}"#);
    let error = call.encode(Dialect::Gemini, &target("m", &[])).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("encoding_format"));
    assert!(call.encode(Dialect::Openai, &target("m", &[])).is_ok());
}
