//! Answers of every provider format, for clients of every format.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use sluice::{
    formats::{read_answer, read_error},
    framing::edit::apply,
};
use sluice_fuzz::{head, mutate, world};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let changed = if seed % 4 == 0 { None } else { mutate::json(data, size, 1, seed) };
    changed.unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});

fuzz_target!(|data: &[u8]| {
    let Some(([from], body)) = head(data) else { return };
    let from = world::PROVIDERS[from % world::PROVIDERS.len()];
    let finish = world::finish();
    read_error(from, 500, body);
    let asked = world::asked(false);
    for to in world::CLIENTS {
        let Ok(answered) = read_answer(from, to, body, &finish, Some(&asked)) else { continue };
        let written = answered.body.expect_err("a translated answer is a body of its own");
        serde_json::from_slice::<serde_json::Value>(&written).expect("JSON");
    }
    if world::CLIENTS.contains(&from)
        && let Ok(answered) = read_answer(from, from, body, &finish, None)
        && serde_json::from_slice::<serde_json::Value>(body).is_ok()
    {
        let edited = apply(body, &answered.body.expect("an answer that is passed on is edited"));
        serde_json::from_slice::<serde_json::Value>(&edited).expect("JSON that was edited is JSON");
    }
});
