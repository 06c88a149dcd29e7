//! Changes to JSON that leave it JSON: without them hardly an input would get past the parser.
//!
//! An input's body is one JSON text or lines that each hold one (events of a stream). One of them is taken apart,
//! changed in one place, and written back.

use serde_json::{Value, json};

use crate::Draw;

/// Words that formats are made of: names of members, types, roles.
const WORDS: &[&str] = &[
    "annotations",
    "arguments",
    "array",
    "assistant",
    "auto",
    "base64",
    "cache_control",
    "choices",
    "citations",
    "content",
    "content_block",
    "contents",
    "data",
    "delta",
    "description",
    "document",
    "effort",
    "encrypted_content",
    "enum",
    "error",
    "file",
    "finish_reason",
    "format",
    "function",
    "functionCall",
    "functionResponse",
    "function_call",
    "id",
    "image",
    "image_url",
    "index",
    "inlineData",
    "input",
    "input_json_delta",
    "input_text",
    "items",
    "json_schema",
    "logprobs",
    "max_tokens",
    "message",
    "messages",
    "metadata",
    "mimeType",
    "model",
    "n",
    "name",
    "object",
    "output",
    "output_text",
    "parallel_tool_calls",
    "parameters",
    "parts",
    "properties",
    "reasoning",
    "reasoning_details",
    "redacted_thinking",
    "refusal",
    "response",
    "role",
    "schema",
    "service_tier",
    "signature",
    "source",
    "status",
    "stop",
    "stop_reason",
    "strict",
    "string",
    "system",
    "text",
    "text_delta",
    "thinking",
    "thoughtSignature",
    "tool",
    "toolUse",
    "tool_call_id",
    "tool_calls",
    "tool_choice",
    "tool_result",
    "tool_use",
    "tools",
    "type",
    "url",
    "usage",
    "user",
    "value",
    "video",
    "$ref",
    "$defs",
    "anyOf",
    "required",
    "additionalProperties",
];

/// Changes the body after the first `head` bytes; gives its new length. Nothing where there is no JSON in it, or no
/// room.
pub fn json(data: &mut [u8], size: usize, head: usize, seed: u32) -> Option<usize> {
    let mut draw = Draw::new(u64::from(seed));
    let body = data.get(head..size)?.to_vec();
    let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
    let with_json: Vec<usize> = (0..lines.len()).filter(|at| tree(lines[*at]).is_some()).collect();
    if with_json.is_empty() {
        return None;
    }
    let chosen = *draw.of(&with_json);
    let (start, mut value) = tree(lines[chosen])?;
    for _ in 0..=draw.below(3) {
        change(&mut value, &mut draw);
    }
    let mut out: Vec<Vec<u8>> = lines.iter().map(|line| line.to_vec()).collect();
    out[chosen].truncate(start);
    out[chosen].extend_from_slice(value.to_string().as_bytes());
    let other = *draw.of(&with_json);
    match draw.below(8) {
        0 => drop(out.remove(chosen)),
        1 => out.insert(other, out[chosen].clone()),
        2 => out.swap(chosen, other),
        _ => {}
    }
    let written = out.join(&b'\n');
    let place = data.get_mut(head..head + written.len())?;
    place.copy_from_slice(&written);
    Some(head + written.len())
}

/// The JSON in a line, and where it begins.
fn tree(line: &[u8]) -> Option<(usize, Value)> {
    let start = line.iter().position(|byte| matches!(byte, b'{' | b'['))?;
    serde_json::from_slice(&line[start..]).ok().map(|value| (start, value))
}

/// One change somewhere in a tree.
fn change(value: &mut Value, draw: &mut Draw) {
    let deeper = draw.below(4) > 0;
    match value {
        Value::Object(members) if !members.is_empty() => {
            let at = draw.below(members.len());
            let Some(key) = members.keys().nth(at).cloned() else { return };
            if deeper {
                return change(&mut members[&key], draw);
            }
            match draw.below(5) {
                0 => drop(members.shift_remove(&key)),
                1 => drop(members.insert((*draw.of(WORDS)).to_owned(), odd(draw))),
                2 => {
                    let moved = members.shift_remove(&key).unwrap_or_default();
                    members.insert((*draw.of(WORDS)).to_owned(), moved);
                }
                3 => {
                    let copy = members[&key].clone();
                    members.insert((*draw.of(WORDS)).to_owned(), copy);
                }
                _ => members[&key] = odd(draw),
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let (at, other) = (draw.below(items.len()), draw.below(items.len()));
            if deeper {
                return change(&mut items[at], draw);
            }
            match draw.below(5) {
                0 => drop(items.remove(at)),
                1 => items.insert(other, items[at].clone()),
                2 => items.swap(at, other),
                3 => items[at] = items[other].clone(),
                _ => items[at] = odd(draw),
            }
        }
        other => *other = odd(draw),
    }
}

/// A value that is not expected where it is put.
fn odd(draw: &mut Draw) -> Value {
    match draw.below(20) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(false),
        3 => json!(0),
        4 => json!(-1),
        5 => json!(draw.below(300)),
        6 => json!(u64::MAX),
        7 => json!(i64::MIN),
        8 => json!(1e308),
        9 => json!(0.1),
        10 => json!(""),
        11 => json!("\u{0}\u{10FFFF}é\""),
        12 => json!("data:image/png;base64,AAAA"),
        13 => json!("https://x.example/a.pdf"),
        14 => json!([]),
        15 => json!({}),
        16 => json!([[{}]]),
        17 => json!({ *draw.of(WORDS): *draw.of(WORDS) }),
        _ => json!(*draw.of(WORDS)),
    }
}
