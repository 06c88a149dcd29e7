//! The pieces of a stream that is passed on, kept so that the gateway can end it itself: what has begun is
//! ended by events that repeat the whole, and the last event repeats everything.

use std::fmt::Display;

use serde_json::{Value, json};

use super::{
    lines::{Lines, Place},
    output,
    response::output_text,
};
use crate::framing::json;

/// The items of an answer, in their order.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    items: Vec<Item>,
}

#[derive(Debug)]
struct Item {
    index: u64,
    /// As it was added, or as it is done.
    json: String,
    done: bool,
    texts: Vec<Text>,
}

/// A text that comes in pieces.
#[derive(Debug)]
struct Text {
    /// Its events are `response.<kind>.delta`.
    kind: Vec<u8>,
    part: u64,
    /// Escaped, as it came.
    inside: Vec<u8>,
    done: bool,
}

impl Text {
    fn value(&self) -> Value {
        let text = ["\"", &String::from_utf8_lossy(&self.inside), "\""].concat();
        let quoted = json::Value { text: &text, start: 0, kind: json::Kind::String };
        quoted.as_str().unwrap_or_default().into_owned().into()
    }
}

impl Pieces {
    fn item(&mut self, index: u64) -> Option<&mut Item> {
        self.items.iter_mut().rev().find(|item| item.index == index)
    }

    /// An item begins.
    pub(super) fn add(&mut self, index: u64, json: &str) {
        self.items.retain(|item| item.index != index);
        self.items.push(Item { index, json: json.to_owned(), done: false, texts: Vec::new() });
    }

    /// An item is done; whether anything of it had come in pieces.
    pub(super) fn finish(&mut self, index: u64, json: &str) -> bool {
        if self.item(index).is_none() {
            self.add(index, json);
        }
        let Some(item) = self.item(index) else { return false };
        json.clone_into(&mut item.json);
        item.done = true;
        !std::mem::take(&mut item.texts).is_empty()
    }

    /// More of a text.
    pub(super) fn more(&mut self, index: u64, part: u64, kind: &[u8], piece: &[u8]) {
        let Some(item) = self.item(index).filter(|item| !item.done) else { return };
        match item.texts.iter_mut().rev().find(|text| text.part == part && text.kind == kind) {
            Some(text) => text.inside.extend_from_slice(piece),
            None => item.texts.push(Text { kind: kind.to_vec(), part, inside: piece.to_vec(), done: false }),
        }
    }

    /// A text is whole.
    pub(super) fn whole(&mut self, index: u64, part: u64, kind: &[u8]) {
        let texts = self.item(index).into_iter().flat_map(|item| &mut item.texts);
        texts.filter(|text| text.part == part && text.kind == kind).for_each(|text| text.done = true);
    }

    /// The items that are done, as they came.
    pub(super) fn done(&self) -> Vec<Value> {
        let done = self.items.iter().filter(|item| item.done);
        done.filter_map(|item| serde_json::from_str(&item.json).ok()).collect()
    }

    /// Ends what has begun, incomplete as it is; all items.
    pub(super) fn cut_short(&self, lines: &mut Lines, out: &mut Vec<u8>) -> Vec<Value> {
        let mut items = Vec::with_capacity(self.items.len());
        for item in &self.items {
            let Ok(mut value) = serde_json::from_str::<Value>(&item.json) else { continue };
            if !item.done {
                item.end(&mut value, lines, out);
            }
            items.push(value);
        }
        items
    }
}

impl Item {
    fn end(&self, item: &mut Value, lines: &mut Lines, out: &mut Vec<u8>) {
        let id = item.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let at = Place { index: usize::try_from(self.index).unwrap_or(usize::MAX), id };
        let (mut content, mut summary) = (Vec::new(), Vec::new());
        for text in &self.texts {
            let (value, kind) = (text.value(), String::from_utf8_lossy(&text.kind));
            let words = value.as_str().unwrap_or_default();
            // What the text is called, and the part that it is.
            let (key, part) = match &*kind {
                "output_text" => ("text", Some(output_text(words, &[], Vec::new()))),
                "refusal" => ("refusal", Some(json!({"type": "refusal", "refusal": value}))),
                "reasoning_text" => ("text", Some(json!({"type": "reasoning_text", "text": value}))),
                "reasoning_summary_text" => ("text", Some(json!({"type": "summary_text", "text": value}))),
                "function_call_arguments" | "mcp_call_arguments" => ("arguments", None),
                "custom_tool_call_input" => ("input", None),
                _ => continue,
            };
            let summed = kind == "reasoning_summary_text";
            let place = if summed { "summary_index" } else { "content_index" };
            let done = format!("response.{kind}.done");
            let Some(part) = part else {
                output::set(item, [(key, value.clone())]);
                if !text.done {
                    lines.of_item(&done, &at, &[(key, &value)], out);
                }
                continue;
            };
            if !text.done {
                let members: [(&str, &dyn Display); 3] = [(place, &text.part), (key, &value), ("logprobs", &"[]")];
                let told = if kind == "output_text" {
                    &members[..]
                } else {
                    members.split_last().map_or(&[][..], |(_, told)| told)
                };
                lines.of_item(&done, &at, told, out);
                let part_done =
                    if summed { "response.reasoning_summary_part.done" } else { "response.content_part.done" };
                lines.of_item(part_done, &at, &[(place, &text.part), ("part", &part)], out);
            }
            if summed { &mut summary } else { &mut content }.push(part);
        }
        if !content.is_empty() {
            output::set(item, [("content", content.into())]);
        }
        if !summary.is_empty() {
            output::set(item, [("summary", summary.into())]);
        }
        if item.get("status").is_some() {
            output::set(item, [("status", "incomplete".into())]);
        }
        lines.event("response.output_item.done", &[("output_index", &self.index), ("item", item)], out);
    }
}
