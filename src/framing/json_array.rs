//! A JSON array that grows: bytes to its whole elements (Gemini's streams without `alt=sse`).
//!
//! Chunks may end anywhere. An element is handed on when its last byte has come; what is incomplete waits
//! in a buffer of at most [`MAX_EVENT`] bytes. Elements are told apart by brackets and quotes alone: that
//! they are JSON is for their reader to find out. A body that is no array but one object (an error that
//! came instead) is one element.

use super::sse::{MAX_EVENT, TooLong};

/// Cuts a byte stream into elements.
#[derive(Debug, Default)]
pub struct Splitter {
    tail: Vec<u8>,
    /// Brackets that are open within the element.
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Splitter {
    /// Feeds a chunk and calls `each` with every object that is now whole.
    pub fn push(&mut self, chunk: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), TooLong> {
        let mut begin = 0;
        for (at, byte) in chunk.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' if self.depth > 0 => self.in_string = true,
                b'{' => {
                    if self.depth == 0 {
                        begin = at;
                    }
                    self.depth += 1;
                }
                // The array's own bracket is outside of every element.
                b'[' if self.depth > 0 => self.depth += 1,
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        let end = chunk.get(begin..=at).unwrap_or_default();
                        if self.tail.is_empty() {
                            each(end);
                        } else {
                            self.tail.extend_from_slice(end);
                            each(&self.tail);
                            self.tail.clear();
                        }
                        begin = at + 1;
                    }
                }
                _ => {}
            }
        }
        if self.depth > 0 {
            self.tail.extend_from_slice(chunk.get(begin..).unwrap_or_default());
        }
        if self.tail.len() > MAX_EVENT { Err(TooLong) } else { Ok(()) }
    }

    /// Whether everything so far ended with a whole element.
    pub fn is_empty(&self) -> bool {
        self.tail.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = "[{\r\n \"a\": \"}é\\\"]{\\\\\"\n}\n,\r\n{\"b\": [1, {\"c\": \"\\\\\"}], \"d\": {}} , {}\n]\n";

    fn elements(chunks: &[&[u8]]) -> Vec<String> {
        let (mut splitter, mut elements) = (Splitter::default(), Vec::new());
        for chunk in chunks {
            splitter.push(chunk, |element| elements.push(String::from_utf8(element.to_vec()).unwrap())).unwrap();
        }
        assert!(splitter.is_empty());
        elements
    }

    #[test]
    fn elements_of_an_array() {
        let whole = elements(&[STREAM.as_bytes()]);
        let expected = ["{\r\n \"a\": \"}é\\\"]{\\\\\"\n}", "{\"b\": [1, {\"c\": \"\\\\\"}], \"d\": {}}", "{}"];
        assert_eq!(whole, expected);
        for element in whole {
            serde_json::from_str::<serde_json::Value>(&element).unwrap();
        }
        assert_eq!(elements(&[b"{\"error\": {\"code\": 500}}"]), ["{\"error\": {\"code\": 500}}"]);
    }

    #[test]
    fn an_endless_element_is_given_up() {
        let mut splitter = Splitter::default();
        let mut chunk = vec![b'x'; MAX_EVENT / 2 + 1];
        chunk[0] = b'{';
        assert_eq!(splitter.push(&chunk, |_| ()), Ok(()));
        chunk[0] = b'x';
        assert_eq!(splitter.push(&chunk, |_| ()), Err(TooLong));
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_elements(mut cuts in prop::collection::vec(0..STREAM.len(), 0..8)) {
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([STREAM.len()]) {
                chunks.push(&STREAM.as_bytes()[from..cut]);
                from = cut;
            }
            prop_assert_eq!(elements(&chunks), elements(&[STREAM.as_bytes()]));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..200) {
            let mut splitter = Splitter::default();
            let cut = cut.min(bytes.len());
            splitter.push(&bytes[..cut], |_| ()).unwrap();
            splitter.push(&bytes[cut..], |_| ()).unwrap();
        }
    }
}
