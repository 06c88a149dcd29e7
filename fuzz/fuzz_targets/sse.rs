//! Server-sent events: however the bytes are cut, the same events, and not a byte lost.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::framing::sse::{self, Splitter};
use sluice_fuzz::{cut, head};

fn events(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let (mut splitter, mut events) = (Splitter::default(), Vec::new());
    for piece in pieces {
        splitter.push(piece, |event| events.push(event.to_vec())).expect("no input is as long as the limit");
    }
    (events, splitter.take_rest())
}

fuzz_target!(|data: &[u8]| {
    let Some(([seed], bytes)) = head(data) else { return };
    let whole = events(&[bytes]);
    assert_eq!(events(&cut(bytes, seed as u64)), whole);
    assert_eq!([whole.0.concat(), whole.1].concat(), bytes);
    for event in &whole.0 {
        sse::name(event);
        let Some(found) = sse::data(event) else { continue };
        if let Some(start) = found.start {
            assert_eq!(&event[start..start + found.bytes.len()], &*found.bytes);
        }
    }
});
