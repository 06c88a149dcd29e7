//! AWS event streams: the bytes as they are, and with checksums that are right, so that what is behind them is
//! reached.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::framing::aws_event_stream::Splitter;
use sluice_fuzz::{crc32, cut, head};

fuzz_target!(|data: &[u8]| {
    let Some(([seed], bytes)) = head(data) else { return };
    for bytes in [bytes.to_vec(), with_checksums(bytes)] {
        let whole = messages(&[&bytes]);
        assert_eq!(messages(&cut(&bytes, seed as u64)), whole);
    }
});

type Read = (Vec<(Option<String>, usize, Vec<u8>)>, bool, bool);

/// What is read, whether the stream is broken, and whether something is left over.
fn messages(pieces: &[&[u8]]) -> Read {
    let (mut splitter, mut messages, mut broken) = (Splitter::default(), Vec::new(), false);
    for piece in pieces {
        let read = splitter.push(piece, |message| {
            messages.push((message.event().map(str::to_owned), message.headers().count(), message.data().into_owned()));
        });
        assert!(!broken || read.is_err(), "a broken stream stays broken");
        broken |= read.is_err();
    }
    (messages, broken, !broken && splitter.is_empty())
}

/// The same with every message's checksums put right, as far as lengths lead.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (bytes.to_vec(), 0);
    while let Some(prelude) = out.get(at..at + 8) {
        let length = u32::from_be_bytes([prelude[0], prelude[1], prelude[2], prelude[3]]) as usize;
        let sum = crc32(prelude).to_be_bytes();
        let Some(place) = out.get_mut(at + 8..at + 12) else { break };
        place.copy_from_slice(&sum);
        if length < 16 || out.len() - at < length {
            break;
        }
        let sum = crc32(&out[at..at + length - 4]).to_be_bytes();
        out[at + length - 4..at + length].copy_from_slice(&sum);
        at += length;
    }
    out
}
