//! Lines of JSON and arrays of JSON that grow: however the bytes are cut, the same frames.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::framing::{json_array, lines};
use sluice_fuzz::{cut, head};

fn lines_of(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let (mut splitter, mut frames) = (lines::Splitter::default(), Vec::new());
    for piece in pieces {
        splitter.push(piece, |line| frames.push(line.to_vec())).expect("no input is as long as the limit");
    }
    (frames, splitter.take_rest())
}

fn elements_of(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
    let (mut splitter, mut frames) = (json_array::Splitter::default(), Vec::new());
    for piece in pieces {
        splitter.push(piece, |element| frames.push(element.to_vec())).expect("no input is as long as the limit");
    }
    (frames, splitter.is_empty())
}

fuzz_target!(|data: &[u8]| {
    let Some(([seed], bytes)) = head(data) else { return };
    let pieces = cut(bytes, seed as u64);
    let whole = lines_of(&[bytes]);
    assert_eq!(lines_of(&pieces), whole);
    assert!(whole.0.iter().all(|line| !line.contains(&b'\n') && !line.trim_ascii().is_empty()));
    let whole = elements_of(&[bytes]);
    assert_eq!(elements_of(&pieces), whole);
    // What is JSON to everybody is cut into the elements it has.
    if let Ok(serde_json::Value::Array(items)) = serde_json::from_slice(bytes)
        && items.iter().all(serde_json::Value::is_object)
    {
        let read: Vec<serde_json::Value> =
            whole.0.iter().map(|element| serde_json::from_slice(element).expect("a whole element")).collect();
        assert_eq!(read, items);
    }
});
