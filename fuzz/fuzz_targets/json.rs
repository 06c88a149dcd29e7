//! The JSON scanner beside a parser that many use, and edits of what it found.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use serde_json::{Map, Value};
use sluice::framing::{
    edit::{ObjectEdits, apply},
    json::{Object, quote, scan_object},
};
use sluice_fuzz::{head, mutate};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let changed = if seed % 2 == 0 { mutate::json(data, size, 1, seed) } else { None };
    changed.unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});

fuzz_target!(|data: &[u8]| {
    let Some(([choice], bytes)) = head(data) else { return };
    let (scanned, parsed) = (scan_object(bytes), serde_json::from_slice::<Value>(bytes));
    match (&scanned, &parsed) {
        (Ok(object), Ok(Value::Object(map))) => {
            same(object, map);
            edits(bytes, object, map, choice);
        }
        (Ok(_), Ok(other)) => panic!("scanned as an object: {other}"),
        (Err(error), Ok(Value::Object(_))) => panic!("refused: {error:?}"),
        (Ok(object), Err(error)) => {
            // What is JSON by the grammar and still cannot be held as a tree.
            let error = error.to_string();
            let known = ["out of range", "surrogate", "hex escape", "recursion limit"];
            assert!(known.iter().any(|part| error.contains(part)), "accepted: {error}");
            object.members.iter().for_each(|member| drop(member.value.as_str()));
        }
        (Err(error), _) => assert!(error.at <= bytes.len()),
    }
});

fn same(object: &Object<'_>, map: &Map<String, Value>) {
    for member in &object.members {
        let (value, twice) = (&member.value, times(object, &member.key) > 1);
        let parsed: Value = serde_json::from_str(value.text).expect("a value that was parsed before");
        assert!(twice || parsed == map[&*member.key]);
        match &parsed {
            Value::String(text) => assert_eq!(value.as_str().as_deref(), Some(text.as_str())),
            Value::Bool(flag) => assert_eq!(value.as_bool(), Some(*flag)),
            Value::Array(items) => {
                let read: Vec<Value> =
                    value.items().iter().map(|item| serde_json::from_str(item.text).expect("an item")).collect();
                assert_eq!(&read, items);
            }
            Value::Object(map) if !twice => same(&value.object().expect("an object"), map),
            Value::Number(number) if number.is_u64() => assert_eq!(value.as_u64(), number.as_u64()),
            Value::Null | Value::Number(_) | Value::Object(_) => {}
        }
    }
}

fn times(object: &Object<'_>, key: &str) -> usize {
    object.members.iter().filter(|member| member.key == key).count()
}

/// Cuts some members and sets two, one of which may be new.
fn edits(bytes: &[u8], object: &Object<'_>, map: &Map<String, Value>, choice: usize) {
    if object.members.len() != map.len() {
        return;
    }
    let unwanted = |key: &str| key.len() % 8 == choice % 8;
    let mut edits = ObjectEdits::new(object);
    let mut expected = map.clone();
    edits.cut(unwanted);
    expected.retain(|key, _| !unwanted(key));
    let first = map.keys().nth(choice / 8).cloned().unwrap_or_else(|| "new".to_owned());
    for (key, value) in [(first.as_str(), "[1]"), ("newer still", "\"x\"")] {
        // What is cut stays cut, whatever is set in it.
        if !unwanted(key) || !map.contains_key(key) {
            edits.set(key, value.to_owned());
            expected.insert(key.to_owned(), serde_json::from_str(value).expect("JSON"));
        }
    }
    let edited = apply(bytes, &edits.finish());
    let read: Value = serde_json::from_slice(&edited).expect("JSON that was edited is JSON");
    assert_eq!(read, Value::Object(expected), "{}", quote(&String::from_utf8_lossy(&edited)));
}
