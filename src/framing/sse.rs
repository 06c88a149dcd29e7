//! Server-sent events: bytes to whole events (WHATWG HTML, section 9.2).
//!
//! Chunks may end anywhere, in the middle of a character too. An event is handed on only when its
//! blank line has come; what is incomplete waits in a buffer of at most [`MAX_EVENT`] bytes. Line ends
//! may be LF or CRLF. (A lone CR, which the standard allows and nobody sends, is not a line end here.)

use std::borrow::Cow;

use memchr::memchr;

/// Longest event kept while incomplete: an inline image of 12 MB in base64 fits.
pub const MAX_EVENT: usize = 16 * 1024 * 1024;

/// The event is longer than [`MAX_EVENT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Cuts a byte stream into events.
#[derive(Debug, Default)]
pub struct Splitter {
    tail: Vec<u8>,
}

impl Splitter {
    /// Feeds a chunk and calls `each` with every event that is now whole, its blank line included.
    pub fn push(&mut self, chunk: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), TooLong> {
        if self.tail.is_empty() {
            let used = split(chunk, 0, &mut each);
            self.tail.extend_from_slice(chunk.get(used..).unwrap_or_default());
        } else {
            // Three bytes back: the blank line may have been cut in two.
            let from = self.tail.len().saturating_sub(3);
            self.tail.extend_from_slice(chunk);
            let used = split(&self.tail, from, &mut each);
            self.tail.drain(..used);
        }
        if self.tail.len() > MAX_EVENT { Err(TooLong) } else { Ok(()) }
    }

    /// Whether everything so far ended with a whole event.
    pub fn is_empty(&self) -> bool {
        self.tail.is_empty()
    }

    /// What came after the last whole event; a stream that ends here lacks only the blank line.
    pub fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.tail)
    }
}

fn split(bytes: &[u8], search_from: usize, each: &mut impl FnMut(&[u8])) -> usize {
    let (mut start, mut at) = (0, search_from);
    while let Some(found) = memchr(b'\n', bytes.get(at..).unwrap_or_default()) {
        at += found + 1;
        let blank = match bytes.get(at..).unwrap_or_default() {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => continue,
        };
        at += blank;
        each(bytes.get(start..at).unwrap_or_default());
        start = at;
    }
    start
}

/// The data of an event and, where it stands on one line, its offset in the event.
#[derive(Debug, PartialEq, Eq)]
pub struct Data<'e> {
    /// The data; several lines are joined by line feeds.
    pub bytes: Cow<'e, [u8]>,
    /// Where it begins, if it is one line of the event.
    pub start: Option<usize>,
}

/// The name of an event.
pub fn name(event: &[u8]) -> Option<&str> {
    let line = event.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"event:"))?;
    std::str::from_utf8(line.trim_ascii()).ok().filter(|name| !name.is_empty())
}

/// The data of an event; `None` for comments and events without data.
pub fn data(event: &[u8]) -> Option<Data<'_>> {
    let mut at = if event.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    let mut found: Option<Data<'_>> = None;
    while at < event.len() {
        let rest = event.get(at..).unwrap_or_default();
        let length = memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..length).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(value) = line.strip_prefix(b"data:") {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            found = Some(match found {
                None => Data { bytes: Cow::Borrowed(value), start: Some(at + line.len() - value.len()) },
                Some(earlier) => {
                    let mut bytes = earlier.bytes.into_owned();
                    bytes.push(b'\n');
                    bytes.extend_from_slice(value);
                    Data { bytes: Cow::Owned(bytes), start: None }
                }
            });
        }
        at += length + 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = "\u{FEFF}data: {\"a\":\"é\"}\n\n: comment\n\ndata: one\ndata: two\r\n\r\nevent: x\r\ndata:{}\r\n\r\ndata: [DONE]\n\n";

    fn events(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let (mut splitter, mut events) = (Splitter::default(), Vec::new());
        for chunk in chunks {
            splitter.push(chunk, |event| events.push(event.to_vec())).unwrap();
        }
        (events, splitter.take_rest())
    }

    #[test]
    fn events_and_their_data() {
        let (events, rest) = events(&[STREAM.as_bytes()]);
        assert!(rest.is_empty());
        let data: Vec<_> =
            events.iter().map(|e| data(e).map(|d| String::from_utf8(d.bytes.into_owned()).unwrap())).collect();
        let expected = ["{\"a\":\"é\"}", "", "one\ntwo", "{}", "[DONE]"].map(|s| (!s.is_empty()).then(|| s.to_owned()));
        assert_eq!(data, expected);
        let first = super::data(&events[0]).unwrap();
        assert_eq!(&events[0][first.start.unwrap()..][..first.bytes.len()], &*first.bytes);
    }

    #[test]
    fn an_endless_event_is_given_up() {
        let mut splitter = Splitter::default();
        let chunk = vec![b'x'; MAX_EVENT / 2 + 1];
        assert_eq!(splitter.push(&chunk, |_| ()), Ok(()));
        assert_eq!(splitter.push(&chunk, |_| ()), Err(TooLong));
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_events(mut cuts in prop::collection::vec(0..STREAM.len(), 0..8)) {
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([STREAM.len()]) {
                chunks.push(&STREAM.as_bytes()[from..cut]);
                from = cut;
            }
            prop_assert_eq!(events(&chunks), events(&[STREAM.as_bytes()]));
        }
    }
}
