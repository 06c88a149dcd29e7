//! Edits of a text by span: what is not touched is never copied, parsed or written again.

use std::fmt::Write;

use super::json::{Object, quote};

/// Replaces the bytes `start..end` by `text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// First byte replaced.
    pub start: usize,
    /// One past the last byte replaced.
    pub end: usize,
    /// What stands there instead; never holds a line break.
    pub text: String,
}

/// Collects changes to the members of one scanned object; [`ObjectEdits::finish`] turns them into edits.
#[derive(Debug)]
pub struct ObjectEdits<'o, 'a> {
    object: &'o Object<'a>,
    cut: Vec<bool>,
    edits: Vec<Edit>,
    added: String,
}

impl<'o, 'a> ObjectEdits<'o, 'a> {
    /// No changes yet.
    pub fn new(object: &'o Object<'a>) -> Self {
        Self { object, cut: vec![false; object.members.len()], edits: Vec::new(), added: String::new() }
    }

    /// Cuts every member for whose name this holds.
    pub fn cut(&mut self, mut unwanted: impl FnMut(&str) -> bool) {
        for (cut, member) in self.cut.iter_mut().zip(&self.object.members) {
            *cut |= unwanted(&member.key);
        }
    }

    /// Sets a member to a JSON text: in place where it exists, else at the object's end.
    pub fn set(&mut self, key: &str, json: String) {
        match self.object.get(key) {
            Some(value) => self.edits.push(Edit { start: value.start, end: value.end(), text: json }),
            None => {
                let _ = write!(self.added, ",{}:{json}", quote(key));
            }
        }
    }

    /// The edits, in order and apart from each other.
    pub fn finish(self) -> Vec<Edit> {
        let members = &self.object.members;
        let mut edits = self.edits;
        let mut kept_before = false;
        for (index, (member, &cut)) in members.iter().zip(&self.cut).enumerate() {
            if !cut {
                kept_before = true;
                continue;
            }
            let (start, end) = if kept_before {
                // From the end of the member before, so that the comma goes too.
                (members.get(index.wrapping_sub(1)).map_or(member.key_start, |m| m.value.end()), member.value.end())
            } else {
                (member.key_start, members.get(index + 1).map_or(member.value.end(), |m| m.key_start))
            };
            edits.retain(|edit| edit.start < start || edit.end > end);
            edits.push(Edit { start, end, text: String::new() });
        }
        if !self.added.is_empty() {
            let text = if kept_before { self.added } else { self.added.get(1..).unwrap_or_default().to_owned() };
            edits.push(Edit { start: self.object.close, end: self.object.close, text });
        }
        edits.sort_by_key(|edit| edit.start);
        edits
    }
}

/// The text with the edits made.
pub fn apply(text: &[u8], edits: &[Edit]) -> Vec<u8> {
    let grown: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let mut out = Vec::with_capacity(text.len() + grown);
    apply_to(text, 0, edits, &mut out);
    out
}

/// Appends the text with the edits made to `out`; they count from the byte `base` of it on.
pub fn apply_to(text: &[u8], base: usize, edits: &[Edit], out: &mut Vec<u8>) {
    let mut at = 0;
    for edit in edits {
        out.extend_from_slice(text.get(at..base + edit.start).unwrap_or_default());
        out.extend_from_slice(edit.text.as_bytes());
        at = base + edit.end;
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::json::scan_object;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    #[test]
    fn members_are_cut_set_and_added_wherever_they_stand() {
        for (text, expected) in [
            (r#"{"x":1,"model":"a","y":2}"#, r#"{"model":"b","n":true}"#),
            (r#"{ "model" : "a" , "x" : 1 }"#, r#"{ "model" : "b" ,"n":true}"#),
            (r#"{"x":1,"y":2}"#, r#"{"model":"b","n":true}"#),
            ("{}", r#"{"model":"b","n":true}"#),
        ] {
            let object = scan_object(text.as_bytes()).unwrap();
            let mut edits = ObjectEdits::new(&object);
            edits.cut(|key| key == "x" || key == "y");
            edits.set("model", "\"b\"".to_owned());
            edits.set("n", "true".to_owned());
            let out = String::from_utf8(apply(text.as_bytes(), &edits.finish())).unwrap();
            let parsed: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{out}: {e}"));
            assert_eq!(parsed, serde_json::from_str::<Value>(expected).unwrap(), "{out}");
        }
    }

    proptest! {
        #[test]
        fn edits_mean_the_same_as_on_a_map(
            keys in prop::collection::btree_set("[a-f]", 0..6),
            cut in prop::collection::btree_set("[a-f]", 0..6),
            set in prop::collection::btree_set("[a-h]", 0..4),
            pretty: bool,
        ) {
            let map: Map<String, Value> = keys.iter().map(|k| (k.clone(), Value::from(k.as_str()))).collect();
            let text = if pretty { serde_json::to_string_pretty(&map) } else { serde_json::to_string(&map) }.unwrap();
            let object = scan_object(text.as_bytes()).unwrap();
            let mut edits = ObjectEdits::new(&object);
            edits.cut(|key| cut.contains(key));
            let set: Vec<_> = set.iter().filter(|k| !cut.contains(*k)).collect();
            for key in &set {
                edits.set(key, "[1]".to_owned());
            }
            let out: Map<String, Value> = serde_json::from_slice(&apply(text.as_bytes(), &edits.finish())).unwrap();
            let mut expected = map;
            expected.retain(|k, _| !cut.contains(k));
            expected.extend(set.iter().map(|k| ((*k).clone(), serde_json::json!([1]))));
            prop_assert_eq!(out, expected);
        }
    }
}
