//! A look at an event: what it is, and what in it needs no more than its bytes.

use std::borrow::Cow;

use memchr::{memchr2, memmem};
use serde_json::Value as Tree;

use crate::framing::{
    edit::{Edit, apply, apply_to},
    json::{Object, Value},
    sse,
};

/// A value with all there is in it.
pub fn tree(value: &Value<'_>) -> Tree {
    serde_json::from_str(value.text).unwrap_or_default()
}

/// The kind of an event: its data's `type`, or else its name.
pub fn kind<'e>(event: &'e [u8], object: &Object<'e>) -> Cow<'e, str> {
    object.get("type").and_then(Value::as_str).or_else(|| name(event)).unwrap_or_default()
}

/// The name of an event.
pub fn name(event: &[u8]) -> Option<Cow<'_, str>> {
    let lines = event.split(|byte| *byte == b'\n');
    let name = lines.filter_map(|line| line.strip_prefix(b"event:")).next_back()?;
    Some(String::from_utf8_lossy(name.trim_ascii()))
}

/// Writes an event with edits of its data.
pub fn write(event: &[u8], data: &sse::Data<'_>, edits: &[Edit], out: &mut Vec<u8>) {
    match data.start {
        _ if edits.is_empty() => out.extend_from_slice(event),
        Some(start) => apply_to(event, start, edits, out),
        None => {
            // Data over several lines: line feeds between JSON tokens are mere white space.
            if let Some(name) = name(event) {
                out.extend_from_slice(format!("event: {name}\n").as_bytes());
            }
            out.extend_from_slice(b"data: ");
            out.extend(apply(&data.bytes, edits).into_iter().map(|b| if b == b'\n' { b' ' } else { b }));
            out.extend_from_slice(b"\n\n");
        }
    }
}

/// The number that follows `member` (`"index":`).
pub fn number_after(text: &[u8], member: &str) -> Option<u64> {
    let from = memmem::find(text, member.as_bytes())? + member.len();
    let rest = text.get(from..)?.trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(rest.get(..digits)?).ok()?.parse().ok()
}

/// The inside of the first string that follows `member` (`"text":"`), as it is escaped there. A member's
/// name in quotes with its colon cannot be a part of a string.
pub fn string_after<'e>(text: &'e [u8], member: &str) -> Option<&'e [u8]> {
    let from = memmem::find(text, member.as_bytes())? + member.len();
    let inner = text.get(from..)?;
    let mut at = 0;
    loop {
        let found = at + memchr2(b'"', b'\\', inner.get(at..)?)?;
        if inner.get(found) == Some(&b'"') {
            return inner.get(..found);
        }
        at = found + 2;
    }
}
