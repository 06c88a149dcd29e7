//! Events of a stream as bytes, numbered.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::framing::json::quote;

/// Where an item is in an answer.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// `output_index`
    pub index: usize,
    /// `item_id`
    pub id: String,
}

/// Numbers events and writes them.
#[derive(Debug, Default)]
pub(super) struct Lines {
    sequence: u64,
}

impl Lines {
    fn begin(&mut self, kind: &str) -> String {
        let number = self.sequence;
        self.sequence += 1;
        // A kind may come from a provider: nothing but its letters gets into the framing.
        let name: String = kind.chars().filter(|c| c.is_ascii_graphic()).collect();
        format!("event: {name}\ndata: {{\"type\":{},\"sequence_number\":{number}", quote(&name))
    }

    /// An event with these members; its kind and number are set here.
    pub(super) fn event(&mut self, kind: &str, members: Value, out: &mut Vec<u8>) {
        let mut line = self.begin(kind);
        let members = match members {
            Value::Object(members) => members,
            _ => return,
        };
        for (key, value) in members.iter().filter(|(key, _)| !matches!(key.as_str(), "type" | "sequence_number")) {
            let _ = write!(line, ",{}:{value}", quote(key));
        }
        line.push_str("}\n\n");
        out.extend_from_slice(line.as_bytes());
    }

    /// A part of an item, as it begins or ends.
    pub(super) fn part(&mut self, kind: &str, at: &Place, index: usize, part: Value, out: &mut Vec<u8>) {
        let members = json!({"item_id": at.id, "output_index": at.index, "content_index": index, "part": part});
        self.event(kind, members, out);
    }

    /// A piece of text: the event of which there are many. `within`: the part of the item that it adds to.
    pub(super) fn piece(
        &mut self,
        kind: &str,
        at: &Place,
        within: Option<(&str, usize)>,
        piece: &str,
        tail: &str,
        out: &mut Vec<u8>,
    ) {
        let mut line = self.begin(kind);
        let _ = write!(line, ",\"item_id\":{},\"output_index\":{}", quote(&at.id), at.index);
        if let Some((key, index)) = within {
            let _ = write!(line, ",\"{key}\":{index}");
        }
        let _ = write!(line, ",\"delta\":{}{tail}}}\n\n", quote(piece));
        out.extend_from_slice(line.as_bytes());
    }
}
