//! Streams of every provider format, for clients of every format: translated and passed on, ended in every way.
//! However the bytes are cut, the client gets the same.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use serde_json::Value;
use sluice::{
    chat::Wire,
    dialect::{Target, passing::StreamEnd},
    formats::Relay,
    time::Millis,
};
use sluice_fuzz::{aws_message, cut, head, mutate, world};

const NOW: Millis = Millis(1_800_000_000_000);

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let changed = if seed % 4 == 0 { None } else { mutate::json(data, size, 4, seed) };
    changed.unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});

struct Way {
    from: Wire,
    to: Wire,
    end: StreamEnd,
    native: bool,
    asked: Option<Value>,
}

fuzz_target!(|data: &[u8]| {
    let Some(([from, to, end, seed], bytes)) = head(data) else { return };
    let from = world::PROVIDERS[from % world::PROVIDERS.len()];
    let to = world::CLIENTS[to % world::CLIENTS.len()];
    let end = world::ENDS[end % world::ENDS.len()];
    let framed;
    let bytes = if from == Wire::BedrockConverse && !bytes.starts_with(b"\0") {
        framed = messages(bytes);
        &framed
    } else {
        bytes
    };
    let array = to == Wire::Gemini && seed % 2 == 1;
    let translated = Way { from, to, end, native: false, asked: Some(world::asked(array)) };
    let passed = Way { from, to: from, end, native: seed % 3 == 0, asked: None };
    for way in [translated, passed] {
        if way.asked.is_none() && !world::CLIENTS.contains(&from) {
            continue;
        }
        let whole = relayed(&way, &[bytes]);
        assert_eq!(String::from_utf8_lossy(&relayed(&way, &cut(bytes, seed as u64))), String::from_utf8_lossy(&whole));
        if way.asked.is_some() {
            written(&whole, array, end);
        }
    }
});

/// Lines of a name and JSON, as the messages that Bedrock would send.
fn messages(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let mut out = Vec::new();
    for line in text.lines() {
        let (name, json) = line.split_once(' ').unwrap_or((line, "{}"));
        let (kind, header) =
            if name.ends_with("Exception") { ("exception", ":exception-type") } else { ("event", ":event-type") };
        out.extend(aws_message(&[(":message-type", kind), (header, name)], json.as_bytes()));
    }
    out
}

fn relayed(way: &Way, pieces: &[&[u8]]) -> Vec<u8> {
    let target = Target { model: "m", quirks: &[], longest: None, model_longest: None };
    let mut relay = Relay::new(way.from, way.to, &target, world::finish(), way.native, way.asked.clone());
    let mut out = Vec::new();
    for piece in pieces {
        relay.push(piece, NOW, &mut out);
        relay.written();
    }
    if way.end == StreamEnd::Closed {
        relay.closed(NOW, &mut out);
    }
    relay.rename(world::finish());
    relay.end(way.end, NOW, &mut out);
    out
}

/// What a client's SDK would take apart.
fn written(out: &[u8], array: bool, end: StreamEnd) {
    let text = std::str::from_utf8(out).expect("text");
    if array {
        if end != StreamEnd::ClientGone {
            serde_json::from_str::<Value>(text).expect("an array");
        }
        return;
    }
    for line in text.lines() {
        if let Some(data) = line.strip_prefix("data: ").filter(|data| *data != "[DONE]") {
            serde_json::from_str::<Value>(data).unwrap_or_else(|error| panic!("{error}: {data}"));
        }
    }
}
