//! Newline-delimited JSON: bytes to whole lines.
//!
//! Chunks may end anywhere. A line is handed on without its end (LF or CRLF) when that has come; blank
//! lines are passed over. What is incomplete waits in a buffer of at most [`MAX_EVENT`] bytes.

use memchr::memchr;

use super::sse::{MAX_EVENT, TooLong};

/// Cuts a byte stream into lines.
#[derive(Debug, Default)]
pub struct Splitter {
    tail: Vec<u8>,
}

impl Splitter {
    /// Feeds a chunk and calls `each` with every line that is now whole.
    pub fn push(&mut self, chunk: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), TooLong> {
        let mut rest = chunk;
        while let Some(end) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            if self.tail.is_empty() {
                give(line, &mut each);
            } else {
                self.tail.extend_from_slice(line);
                give(&self.tail, &mut each);
                self.tail.clear();
            }
        }
        self.tail.extend_from_slice(rest);
        if self.tail.len() > MAX_EVENT { Err(TooLong) } else { Ok(()) }
    }

    /// What came after the last line's end; a stream that ends here lacks only the line feed.
    pub fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.tail)
    }
}

fn give(line: &[u8], each: &mut impl FnMut(&[u8])) {
    if !line.trim_ascii().is_empty() {
        each(line.strip_suffix(b"\r").unwrap_or(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = "{\"a\":\"é\"}\n\n{\"b\":1}\r\n \r\n[]\nlast";

    fn lines(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let (mut splitter, mut lines) = (Splitter::default(), Vec::new());
        for chunk in chunks {
            splitter.push(chunk, |line| lines.push(line.to_vec())).unwrap();
        }
        (lines, splitter.take_rest())
    }

    #[test]
    fn lines_come_without_their_ends_and_blank_ones_not_at_all() {
        let (lines, rest) = lines(&[STREAM.as_bytes()]);
        assert_eq!(lines, ["{\"a\":\"é\"}", "{\"b\":1}", "[]"].map(|line| line.as_bytes().to_vec()));
        assert_eq!(rest, b"last");
    }

    #[test]
    fn an_endless_line_is_given_up() {
        let mut splitter = Splitter::default();
        let chunk = vec![b'x'; MAX_EVENT / 2 + 1];
        assert_eq!(splitter.push(&chunk, |_| ()), Ok(()));
        assert_eq!(splitter.push(&chunk, |_| ()), Err(TooLong));
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_lines(mut cuts in prop::collection::vec(0..STREAM.len(), 0..8)) {
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([STREAM.len()]) {
                chunks.push(&STREAM.as_bytes()[from..cut]);
                from = cut;
            }
            prop_assert_eq!(lines(&chunks), lines(&[STREAM.as_bytes()]));
        }
    }
}
