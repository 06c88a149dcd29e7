//! Bodies that are no request, or hardly: refused in words, in every format, before and while they are translated.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Api, Wanted, Wire, outbound, parse, route, serves, spoken};
use crate::{catalog::Provider, error::Error};

/// Where requests come in, and a body with a place for what is tried.
const ROUTES: &[(&str, &str)] = &[
    (
        "/v1/chat/completions",
        r#"{"model":"a/b","messages":[{"role":"user","content":[{"type":"text","text":"@"}]}],"x":#}"#,
    ),
    ("/v1/completions", r#"{"model":"a/b","prompt":"@","x":#}"#),
    ("/v1/responses", r#"{"model":"a/b","input":[{"role":"user","content":"@"}],"x":#}"#),
    ("/v1/messages", r#"{"model":"a/b","max_tokens":5,"messages":[{"role":"user","content":"@"}],"x":#}"#),
    ("/v1/messages/count_tokens", r#"{"model":"a/b","messages":[{"role":"user","content":"@"}],"x":#}"#),
    ("/v1beta/models/a/b:generateContent", r#"{"contents":[{"role":"user","parts":[{"text":"@"}]}],"x":#}"#),
    ("/v1beta/models/a/b:countTokens", r#"{"contents":[{"role":"user","parts":[{"text":"@"}]}],"x":#}"#),
    ("/v1beta/models/a/b:embedContent", r#"{"content":{"parts":[{"text":"@"}]},"x":#}"#),
    ("/v1/embeddings", r#"{"model":"a/b","input":"@","x":#}"#),
    ("/v1/rerank", r#"{"model":"a/b","query":"@","documents":["d"],"x":#}"#),
    ("/v1/moderations", r#"{"model":"a/b","input":"@","x":#}"#),
    ("/v1/images/generations", r#"{"model":"a/b","prompt":"@","x":#}"#),
    ("/v1/audio/speech", r#"{"model":"a/b","input":"@","voice":"v","x":#}"#),
];

const DIALECTS: [&str; 9] =
    ["openai", "openai-responses", "azure-openai", "anthropic", "gemini", "vertex", "bedrock", "cohere", "ollama"];

fn rows() -> Vec<Provider> {
    let rows = DIALECTS.map(|dialect| {
        let base = if matches!(dialect, "vertex" | "bedrock") { "" } else { "https://p.example/v1" };
        json!({"slug": "p", "name": "P", "dialect": dialect, "base_url": base, "region": "us-east-1", "project": "pr"})
    });
    rows.map(|row| serde_json::from_value(row).unwrap()).into()
}

/// What becomes of a body at every provider that serves the route: its call's body, or what is wrong with it.
fn tried(path: &str, body: &[u8]) -> Vec<Result<Vec<u8>, Error>> {
    let call = match parse(route(path), "application/json", body) {
        Ok(call) => call,
        Err(error) => return vec![Err(error)],
    };
    let endpoint = serde_json::from_value(json!({"provider": "p", "upstream_model": "m"})).unwrap();
    let rows = rows().into_iter().filter(|row| serves(call.api, row));
    rows.map(|row| match outbound(&call, &row, &endpoint, None, false, &BTreeMap::new())? {
        Wanted::Call(made) => Ok(made.body.bytes(body)),
        Wanted::Nothing(answer) => Ok(answer),
        Wanted::Media(urls) => panic!("{urls:?}"),
    })
    .collect()
}

/// The errors, all of them the client's to mend.
fn errors(path: &str, body: &[u8]) -> Vec<Error> {
    let errors: Vec<Error> = tried(path, body).into_iter().filter_map(Result::err).collect();
    for error in &errors {
        assert_eq!(error.status(), 400, "{path}: {error:?}");
    }
    errors
}

#[test]
fn what_is_not_utf8_is_refused_by_every_route() {
    for (path, body) in ROUTES {
        let (before, after) = body.split_once('@').unwrap();
        let after = after.replace('#', "1");
        for broken in [&b"\xFF"[..], b"\xC3", b"\xED\xA0\x80", b"\xF4\x90\x80\x80", b"\xC0\xAF"] {
            let errors = errors(path, &[before.as_bytes(), broken, after.as_bytes()].concat());
            assert_eq!(errors.iter().map(|error| error.code).collect::<Vec<_>>(), [Some("invalid_json")], "{path}");
        }
        let whole = [b"\xEF\xBB\xBF", before.as_bytes(), after.as_bytes()].concat();
        assert_eq!(errors(path, &whole)[0].code, Some("invalid_json"), "a byte order mark: {path}");
    }
}

#[test]
fn nesting_ends_in_words_and_not_in_a_full_stack() {
    for (path, body) in ROUTES {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            for depth in [126, 127, 128, 129, 1_000, 1_000_000] {
                let nested = [&open.repeat(depth), "1", &close.repeat(depth)].concat();
                let errors = errors(path, body.replace('#', &nested).as_bytes());
                if depth > 128 {
                    let codes: Vec<_> = errors.iter().map(|error| error.code).collect();
                    assert_eq!(codes, [Some("invalid_json")], "{path}, {depth}");
                }
            }
        }
    }
}

#[test]
fn numbers_beyond_every_type_and_halves_of_characters_are_passed_on_or_refused() {
    for (path, body) in ROUTES {
        let odd = [
            "1e999",
            "-1e999",
            "1e-999",
            "123456789012345678901234567890",
            "-0",
            "1E+0",
            "\"\\ud800\"",
            "\"\\udc00\\ud800\"",
        ];
        for value in odd {
            for outcome in tried(path, body.replace('#', value).as_bytes()) {
                match outcome {
                    Ok(sent) => assert!(!sent.is_empty()),
                    Err(error) => assert_eq!(error.status(), 400, "{path}, {value}: {error:?}"),
                }
            }
        }
        let whole = body.replace('#', "1");
        for text in ["\\ud83d", "\\ude00", "\\ud83d\\ud83d", "\\u0000", "\\ud83d\\ude00"] {
            errors(path, whole.replace('@', text).as_bytes());
        }
        for member in ["max_tokens", "max_output_tokens", "temperature", "top_p", "n", "seed", "dimensions", "top_n"] {
            for value in ["1e999", "-1", "18446744073709551616", "0.5", "\"1\"", "[]", "{}"] {
                errors(path, format!(r#"{{"{member}":{value},{}"#, &whole[1..]).as_bytes());
            }
        }
    }
}

#[test]
fn quirks_say_what_else_is_spoken_under_the_same_address() {
    for (row, endpoint, api, expected) in [
        (&[][..], &[][..], Api::Responses, Wire::OpenaiChat),
        (&[], &[], Api::Completions, Wire::OpenaiChat),
        (&["responses", "completions"], &[], Api::Chat, Wire::OpenaiChat),
        (&["responses", "completions"], &[], Api::Responses, Wire::OpenaiResponses),
        (&["responses", "completions"], &[], Api::Completions, Wire::OpenaiCompletions),
        (&["responses", "completions"], &["responses_only"], Api::Chat, Wire::OpenaiResponses),
        (&["responses", "completions"], &["responses_only"], Api::Completions, Wire::OpenaiResponses),
    ] {
        let row =
            json!({ "slug": "p", "name": "P", "dialect": "openai", "base_url": "https://p.example", "quirks": row });
        let endpoint = json!({ "provider": "p", "upstream_model": "m", "quirks": endpoint });
        let (row, endpoint) = (serde_json::from_value(row).unwrap(), serde_json::from_value(endpoint).unwrap());
        assert_eq!(spoken(api, &row, &endpoint), expected, "{row:?} {endpoint:?} {api:?}");
    }
}
