//! Trees of JSON as text.
//!
//! The same text as `serde_json` writes, several times as fast where strings are long and hold escapes: what needs
//! none is found eight bytes at a time and copied in runs, straight into the bytes that are sent.

use std::io::Write;

use serde_json::Value;

/// A tree as text. `about`: how long it may become; a guess saves copies.
pub fn text(value: &Value, about: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(about);
    tree(value, &mut out);
    out
}

/// Appends a tree.
pub fn tree(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        // Writing into memory does not fail.
        Value::Number(number) => drop(write!(out, "{number}")),
        Value::String(text) => string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                tree(item, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            out.push(b'{');
            for (n, (name, value)) in members.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                string(name, out);
                out.push(b':');
                tree(value, out);
            }
            out.push(b'}');
        }
    }
}

/// Appends a string with its quotes.
pub fn string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    while let Some((plain, [byte, after @ ..])) = rest.split_at_checked(plain(rest)) {
        out.extend_from_slice(plain);
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0C => out.extend_from_slice(b"\\f"),
            other => {
                out.extend_from_slice(b"\\u00");
                out.extend([other >> 4, other & 15].iter().filter_map(|digit| HEX.get(usize::from(*digit))));
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// How many bytes from the beginning stand for themselves within quotes.
fn plain(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    let from = match words.iter().position(|word| escapes(u64::from_le_bytes(*word))) {
        Some(at) => at * 8,
        None => bytes.len() - tail.len(),
    };
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')).unwrap_or(rest.len())
}

/// Whether one of eight bytes needs an escape: below a space, a quote, a backslash. (Bit Twiddling Hacks, "Determine if
/// a word has a zero byte" and "... a byte less than n": exact in that some byte is one, which is all that is asked.)
fn escapes(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (control | zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5C))) & HIGH != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn same(value: &Value) {
        assert_eq!(String::from_utf8(text(value, 0)).unwrap(), value.to_string());
    }

    #[test]
    fn every_kind_of_value_is_written_as_serde_does() {
        same(&json!({"a": [null, true, false, 0, -1, 1.5, 1e300, u64::MAX, i64::MIN, -0.0], "": {}, "b\"\\": []}));
        for byte in 0..=0x7F_u8 {
            for before in 0..9 {
                let text = format!("{}{}é\u{10FFFF}\u{7F}", "x".repeat(before), char::from(byte));
                same(&json!(text));
            }
        }
    }

    proptest! {
        #[test]
        fn any_string_is_written_as_serde_does(text in any::<String>(), more in "[ -~\n\"\\\\é]{0,40}") {
            same(&Value::from(text));
            same(&json!({ "k": more.clone(), more: 1 }));
        }
    }
}
