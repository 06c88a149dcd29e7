//! Events of a stream as bytes, numbered.

use std::fmt::{Display, Write};

use crate::framing::json::quote;

/// Where an item is in an answer.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// `output_index`
    pub index: usize,
    /// `item_id`
    pub id: String,
}

/// Members of an event, whose values show themselves as JSON.
pub(super) type Shown<'s> = &'s [(&'s str, &'s dyn Display)];

/// Numbers events and writes them.
#[derive(Debug, Default)]
pub(super) struct Lines {
    sequence: u64,
}

impl Lines {
    /// Those that follow others, of which the last had the number before this one.
    pub(super) fn from(sequence: u64) -> Self {
        Self { sequence }
    }

    /// An event with these members.
    pub(super) fn event(&mut self, kind: &str, members: Shown<'_>, out: &mut Vec<u8>) {
        let line = self.begin(kind);
        end(line, members, out);
    }

    /// An event of an item.
    pub(super) fn of_item(&mut self, kind: &str, at: &Place, members: Shown<'_>, out: &mut Vec<u8>) {
        let mut line = self.begin(kind);
        let _ = write!(line, ",\"item_id\":{},\"output_index\":{}", quote(&at.id), at.index);
        end(line, members, out);
    }

    fn begin(&mut self, kind: &str) -> String {
        let number = self.sequence;
        self.sequence += 1;
        // A kind may come from a provider: nothing but its letters gets into the framing.
        let name: String = kind.chars().filter(char::is_ascii_graphic).collect();
        format!("event: {name}\ndata: {{\"type\":{},\"sequence_number\":{number}", quote(&name))
    }
}

/// Writing into a string does not fail.
fn end(mut line: String, members: Shown<'_>, out: &mut Vec<u8>) {
    for (key, value) in members {
        let _ = write!(line, ",{}:{value}", quote(key));
    }
    line.push_str("}\n\n");
    out.extend_from_slice(line.as_bytes());
}
