//! Members of a JSON object, taken out one at a time: what is left over is what a format does not know,
//! and becomes its [`Extra`]. `null` is as good as absent, everywhere.

use serde_json::{Map, Number, Value};

use crate::{
    chat::{Extra, Wire},
    error::{Error, Result},
};

/// A tier that served, in OpenAI's words: Groq calls the usual one `on_demand`, others
/// `standard` or `provisioned`.
pub fn tier(word: String) -> String {
    if matches!(word.as_str(), "on_demand" | "standard" | "provisioned") { "default".to_owned() } else { word }
}

/// An object on its way to be read, and where it stands.
#[derive(Debug)]
pub struct Fields {
    path: String,
    members: Map<String, Value>,
}

impl Fields {
    /// Of that value, which must be an object; the path is for messages and may be empty.
    pub fn of(value: Value, path: impl Into<String>) -> Result<Self> {
        let path = path.into();
        match value {
            Value::Object(members) => Ok(Self { path, members }),
            _ => Err(wrong(&path, "an object")),
        }
    }

    /// Where a member stands.
    pub fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A member, whatever it is.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.members.shift_remove(name).filter(|value| !value.is_null())
    }

    /// A member without taking it.
    pub fn peek(&self, name: &str) -> Option<&Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// Whether there is nothing but these.
    pub fn has_only(&self, names: &[&str]) -> bool {
        self.members.keys().all(|name| names.contains(&name.as_str()))
    }

    /// Puts a member back.
    pub fn put(&mut self, name: &str, value: Value) {
        self.members.insert(name.to_owned(), value);
    }

    /// A string.
    pub fn text(&mut self, name: &str) -> Result<Option<String>> {
        self.take(name).map(|value| string(value, || self.at(name))).transpose()
    }

    /// A string that must be there.
    pub fn need_text(&mut self, name: &str) -> Result<String> {
        self.text(name)?.ok_or_else(|| missing(&self.at(name)))
    }

    /// A switch.
    pub fn switch(&mut self, name: &str) -> Result<Option<bool>> {
        self.take(name).map(|value| value.as_bool().ok_or_else(|| wrong(&self.at(name), "a boolean"))).transpose()
    }

    /// A whole number that is not negative.
    pub fn whole(&mut self, name: &str) -> Result<Option<u64>> {
        self.take(name).map(|value| value.as_u64().ok_or_else(|| wrong(&self.at(name), "a whole number"))).transpose()
    }

    /// A number.
    pub fn number(&mut self, name: &str) -> Result<Option<Number>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number)),
            Some(_) => Err(wrong(&self.at(name), "a number")),
        }
    }

    /// A list; an absent one is empty.
    pub fn list(&mut self, name: &str) -> Result<Vec<Value>> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(wrong(&self.at(name), "a list")),
        }
    }

    /// A list of strings.
    pub fn texts(&mut self, name: &str) -> Result<Vec<String>> {
        let items = self.list(name)?;
        items.into_iter().enumerate().map(|(i, item)| string(item, || format!("{}[{i}]", self.at(name)))).collect()
    }

    /// An object.
    pub fn object(&mut self, name: &str) -> Result<Option<Self>> {
        let path = self.at(name);
        self.take(name).map(|value| Self::of(value, path)).transpose()
    }

    /// An object that must be there.
    pub fn need_object(&mut self, name: &str) -> Result<Self> {
        self.object(name)?.ok_or_else(|| missing(&self.at(name)))
    }

    /// What was not taken.
    pub fn rest(self) -> Map<String, Value> {
        self.members.into_iter().filter(|(_, value)| !value.is_null()).collect()
    }

    /// What was not taken, as that format's own.
    pub fn extra(self, wire: Wire) -> Extra {
        Extra::of(wire, self.rest())
    }

    /// Puts what was not taken of an inner object back under its name, if there is anything.
    pub fn keep(&mut self, name: &str, inner: Self) {
        let rest = inner.rest();
        if !rest.is_empty() {
            self.put(name, rest.into());
        }
    }
}

/// An object of those members that are there.
pub fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let there = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect())
}

/// Adds members to an object. What it has already stays; objects in both become one.
pub fn merge(into: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        match (into.get_mut(&name), value) {
            (Some(Value::Object(known)), Value::Object(more)) => merge(known, more),
            (Some(_), _) => {}
            (None, value) => {
                into.insert(name, value);
            }
        }
    }
}

/// Adds members to a value that is an object.
pub fn add(into: &mut Value, more: Option<&Map<String, Value>>) {
    if let (Value::Object(into), Some(more)) = (into, more) {
        merge(into, more.clone());
    }
}

/// The string a value must be.
pub fn string(value: Value, path: impl FnOnce() -> String) -> Result<String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(wrong(&path(), "a string")),
    }
}

/// A field that is not what it must be.
pub fn wrong(path: &str, what: &str) -> Error {
    if path.is_empty() {
        Error::invalid("body", format!("The body must be {what}."))
    } else {
        Error::invalid(path, format!("{path} must be {what}."))
    }
}

/// A field that is not there.
pub fn missing(path: &str) -> Error {
    Error::invalid(path, format!("{path} is missing."))
}

/// Most tokens that one request can be meant to have used; a larger count is an error of the provider's.
const MAX_TOKENS: u64 = 100_000_000;

/// A count of tokens in a usage object; absent is zero, and what cannot be meant is nothing.
pub fn count(usage: &Value, name: &str) -> Option<u64> {
    match usage.get(name) {
        None | Some(Value::Null) => Some(0),
        Some(value) => value.as_u64().filter(|&count| count <= MAX_TOKENS),
    }
}

/// The value with one member or item missing or replaced, in many ways: for tests that nothing panics.
#[cfg(test)]
pub fn mutants(value: &Value, most: usize) -> Vec<Value> {
    fn places(value: &Value, at: &str, out: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(key, inner)| {
                let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                out.push(at.clone());
                places(inner, &at, out);
            }),
            Value::Array(items) => items.iter().enumerate().for_each(|(i, inner)| {
                let at = format!("{at}/{i}");
                out.push(at.clone());
                places(inner, &at, out);
            }),
            _ => {}
        }
    }
    let others = [
        Value::Null,
        Value::from(-1),
        Value::from(1.5),
        Value::from("x"),
        Value::from(u64::MAX),
        Value::from(true),
        serde_json::json!([]),
        serde_json::json!([{}, null, 7]),
        serde_json::json!({}),
        serde_json::json!({"type": "x", "text": 1}),
    ];
    let mut all = vec![String::new()];
    places(value, "", &mut all);
    let mut rng = crate::ids::Rng::new(all.len() as u64);
    let mut draw = |of: usize| usize::try_from(rng.next_u64() % of as u64).unwrap();
    let mutant = |_| {
        let mut mutant = value.clone();
        let place = &all[draw(all.len())];
        if let Some(inner) = mutant.pointer_mut(place) {
            *inner = others[draw(others.len())].clone();
        }
        mutant
    };
    (0..most).map(mutant).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_taken_and_the_rest_keeps_its_order() {
        let mut fields = Fields::of(json!({"z": 1, "a": "x", "n": null, "y": 2, "b": [1]}), "m[0]").unwrap();
        assert_eq!(fields.text("a").unwrap().as_deref(), Some("x"));
        assert_eq!(fields.text("n").unwrap(), None);
        assert_eq!(fields.whole("y").unwrap(), Some(2));
        assert_eq!(fields.texts("b").unwrap_err().param.as_deref(), Some("m[0].b[0]"));
        assert_eq!(fields.need_text("c").unwrap_err().message, "m[0].c is missing.");
        assert_eq!(Value::from(fields.rest()), json!({"z": 1}));
    }

    #[test]
    fn objects_become_one() {
        let mut into = json!({"a": {"x": 1}, "b": 2});
        add(&mut into, json!({"a": {"x": 7, "y": 3}, "b": 8, "c": 4}).as_object());
        assert_eq!(into, json!({"a": {"x": 1, "y": 3}, "b": 2, "c": 4}));
    }

    #[test]
    fn counts_that_cannot_be_meant_are_none() {
        let usage = json!({"a": 3, "b": -1, "c": 1.5, "d": "7", "e": 100_000_001, "f": null});
        assert_eq!(["a", "f", "g"].map(|name| count(&usage, name)), [Some(3), Some(0), Some(0)]);
        assert_eq!(["b", "c", "d", "e"].map(|name| count(&usage, name)), [None; 4]);
    }
}
