//! Reading proto JSON: members by Google's name in either spelling (`fileUri`, `file_uri`), `null` as
//! absent, one thing where a list of one is meant, 64-bit numbers as text; and where it all stood.

use std::fmt;

use serde_json::{Map, Number, Value};

use crate::error::{Error, Result};

/// Where something stands in the body. Made into text only where something is wrong.
#[derive(Clone, Copy)]
pub(super) struct At<'p> {
    parent: Option<&'p At<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Key(&'p str),
    Item(usize),
}

impl<'p> At<'p> {
    /// The body's own member.
    pub(super) const fn root(key: &'p str) -> Self {
        Self { parent: None, step: Step::Key(key) }
    }

    /// A member of what stands here.
    pub(super) const fn key(&'p self, key: &'p str) -> Self {
        Self { parent: Some(self), step: Step::Key(key) }
    }

    /// An item of the list that stands here.
    pub(super) const fn item(&'p self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Item(index) }
    }

    /// What stands here is not what it must be.
    pub(super) fn invalid(&self, must: &str) -> Error {
        Error::invalid(self.to_string(), format!("{self} must be {must}."))
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match (self.step, self.parent) {
            (Step::Key(key), None) => f.write_str(key),
            (Step::Key(key), Some(_)) => write!(f, ".{key}"),
            (Step::Item(index), _) => write!(f, "[{index}]"),
        }
    }
}

/// The members of an object under their camelCase names, without those that are `null`.
pub(super) fn members(value: Value, at: &At<'_>) -> Result<Map<String, Value>> {
    let Value::Object(map) = value else { return Err(at.invalid("an object")) };
    Ok(named(map))
}

/// These members under their camelCase names, without those that are `null`.
pub(super) fn named(map: Map<String, Value>) -> Map<String, Value> {
    if map.iter().all(|(name, value)| !name.contains('_') && !value.is_null()) {
        return map;
    }
    map.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (camel(name), value)).collect()
}

/// Google's name for it.
pub(super) fn camel(name: String) -> String {
    if !name.contains('_') {
        return name;
    }
    let mut camel = String::with_capacity(name.len());
    let mut raise = false;
    for c in name.chars() {
        match c {
            '_' => raise = !camel.is_empty(),
            c if raise => {
                camel.push(c.to_ascii_uppercase());
                raise = false;
            }
            c => camel.push(c),
        }
    }
    camel
}

/// A list; what is no list is a list of one.
pub(super) fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

pub(super) fn text(value: Value, at: &At<'_>) -> Result<String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(at.invalid("a string")),
    }
}

pub(super) fn texts(value: Value, at: &At<'_>) -> Result<Vec<String>> {
    list(value).into_iter().enumerate().map(|(index, value)| text(value, &at.item(index))).collect()
}

pub(super) fn flag(value: &Value, at: &At<'_>) -> Result<bool> {
    value.as_bool().ok_or_else(|| at.invalid("true or false"))
}

pub(super) fn number(value: Value, at: &At<'_>) -> Result<Number> {
    let number = match value {
        Value::Number(number) => Some(number),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| at.invalid("a number"))
}

pub(super) fn whole(value: Value, at: &At<'_>) -> Result<u64> {
    number(value, at)?.as_u64().ok_or_else(|| at.invalid("a whole number, zero or more"))
}

/// A word of an enum: in capitals, or by its number in `words`.
pub(super) fn word(value: Value, words: &[&str]) -> Option<String> {
    match value {
        Value::String(word) => Some(word.to_ascii_uppercase()),
        Value::Number(number) => words.get(usize::try_from(number.as_u64()?).ok()?).map(|word| (*word).to_owned()),
        _ => None,
    }
}

/// Adds members to members, objects within objects included; what is there already stays behind.
pub(super) fn merge(into: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (name, value) in more {
        match (into.get_mut(name), value) {
            (Some(Value::Object(known)), Value::Object(more)) => merge(known, more),
            _ => {
                into.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_spellings_are_read_and_null_is_absent() {
        let at = At::root("x");
        let read = members(json!({"file_uri": 1, "a_b_c": 2, "n": null, "_x": 3}), &at).unwrap();
        assert_eq!(Value::Object(read), json!({"fileUri": 1, "aBC": 2, "x": 3}));
        assert_eq!(at.key("parts").item(2).key("text").to_string(), "x.parts[2].text");
    }
}
