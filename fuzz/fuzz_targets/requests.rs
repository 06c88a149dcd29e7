//! Requests of every client format, to every provider: read or refused, written or refused, never an error of the
//! gateway's own.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use sluice::{
    error::Error,
    formats::{Call, Fetched, Wanted, outbound, parse, route, serves, write_error},
};
use sluice_fuzz::{head, mutate, world};

const FORM: &str = "multipart/form-data; boundary=b";

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let changed = if seed % 4 == 0 { None } else { mutate::json(data, size, 3, seed) };
    changed.unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});

fuzz_target!(|data: &[u8]| {
    let Some(([path, model, quirks], body)) = head(data) else { return };
    let path = world::ROUTES[path % world::ROUTES.len()];
    let content_type = if path.ends_with("transcriptions") { FORM } else { "application/json" };
    let call = match parse(route(path), content_type, body) {
        Ok(call) => call,
        Err(error) => return refused(&error, path),
    };
    assert!(!call.models().is_empty());
    call.parameters();
    let endpoint = world::endpoint(model);
    for row in world::rows(quirks).iter().filter(|row| serves(call.api, row)) {
        let wanted = |fetched| outbound(&call, row, &endpoint, Some(100), path.contains("stream"), fetched);
        match wanted(&BTreeMap::new()) {
            Ok(Wanted::Media(urls)) => {
                assert!(!urls.is_empty());
                let fetched = urls.into_iter().map(|url| (url, Fetched::of("image/png", b"abc"))).collect();
                let again = wanted(&fetched);
                assert!(!matches!(again, Ok(Wanted::Media(_))), "asked for again");
                check(&call, again);
            }
            other => check(&call, other),
        }
    }
});

fn check(call: &Call<'_>, wanted: sluice::error::Result<Wanted>) {
    match wanted {
        Ok(Wanted::Call(made)) => {
            assert!(made.url.starts_with("https://"), "{}", made.url);
            assert!(!made.url.bytes().any(|byte| byte.is_ascii_control() || byte == b' '), "{}", made.url);
            if made.content_type == "application/json" {
                is_json(&made.body.bytes(call.body));
            }
        }
        Ok(Wanted::Nothing(body)) => is_json(&body),
        Ok(Wanted::Media(_)) => {}
        Err(error) => refused(&error, ""),
    }
}

fn is_json(body: &[u8]) {
    // Numbers beyond every type and lone surrogates go through as they came where bytes are passed on.
    if let Err(error) = serde_json::from_slice::<serde_json::Value>(body) {
        let error = error.to_string();
        let known = ["out of range", "surrogate", "hex escape"];
        assert!(known.iter().any(|part| error.contains(part)), "{error}: {}", String::from_utf8_lossy(body));
    }
}

fn refused(error: &Error, path: &str) {
    assert!((400..500).contains(&error.status()), "{error:?}");
    is_json(write_error(route(path).api, error, false).as_bytes());
}
