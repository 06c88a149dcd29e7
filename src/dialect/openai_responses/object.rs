//! JSON objects, read member by member: every complaint names its field, and what is left is kept.

use serde_json::{Map, Number, Value};

use super::WIRE;
use crate::{
    chat::Extra,
    error::{Error, Result},
};

/// Members of an object.
pub(super) type Members = Map<String, Value>;

/// An object that is being read.
pub(super) struct Object {
    members: Members,
    at: String,
}

impl Object {
    /// What stands at `at`.
    pub(super) fn read(value: Value, at: impl Into<String>) -> Result<Self> {
        let at = at.into();
        match value {
            Value::Object(members) => Ok(Self { members, at }),
            _ => Err(Error::invalid(at, "An object is wanted here.")),
        }
    }

    /// The path of a member.
    pub(super) fn path(&self, key: &str) -> String {
        if self.at.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at) }
    }

    /// A complaint about a member.
    pub(super) fn invalid(&self, key: &str, message: impl Into<String>) -> Error {
        Error::invalid(self.path(key), message)
    }

    /// Takes a member out; null is as good as none.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.members.shift_remove(key).filter(|value| !value.is_null())
    }

    /// Looks at a member that is a string.
    pub(super) fn peek(&self, key: &str) -> Option<&str> {
        self.members.get(key).and_then(Value::as_str)
    }

    /// Puts a member back, or in.
    pub(super) fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.members.insert(key.to_owned(), value.into());
    }

    fn typed<T>(&mut self, key: &str, what: &str, read: impl FnOnce(Value) -> Option<T>) -> Result<Option<T>> {
        match self.take(key).map(read) {
            None => Ok(None),
            Some(Some(value)) => Ok(Some(value)),
            Some(None) => Err(self.invalid(key, format!("{what} is wanted here."))),
        }
    }

    /// A string.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>> {
        self.typed(key, "A string", string)
    }

    /// A string that must be there.
    pub(super) fn needed(&mut self, key: &str) -> Result<String> {
        self.text(key)?.ok_or_else(|| self.invalid(key, format!("`{key}` is missing.")))
    }

    /// True or false.
    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", |value| value.as_bool())
    }

    /// A number, as it came.
    pub(super) fn number(&mut self, key: &str) -> Result<Option<Number>> {
        self.typed(key, "A number", |value| match value {
            Value::Number(number) => Some(number),
            _ => None,
        })
    }

    /// A whole number, not negative.
    pub(super) fn count(&mut self, key: &str) -> Result<Option<u64>> {
        self.typed(key, "A whole number", |value| whole(&value))
    }

    /// A list.
    pub(super) fn list(&mut self, key: &str) -> Result<Option<Vec<Value>>> {
        self.typed(key, "A list", |value| match value {
            Value::Array(list) => Some(list),
            _ => None,
        })
    }

    /// An object.
    pub(super) fn object(&mut self, key: &str) -> Result<Option<Self>> {
        let at = self.path(key);
        self.take(key).map(|value| Self::read(value, at)).transpose()
    }

    /// What has not been taken, with the mark of this format even where nothing is left.
    pub(super) fn rest(mut self) -> Extra {
        self.members.retain(|_, value| !value.is_null());
        Extra { wire: Some(WIRE), members: self.members }
    }

    /// What has not been taken; nothing at all where nothing is left.
    pub(super) fn rest_if_any(self) -> Extra {
        let Extra { members, .. } = self.rest();
        Extra::of(WIRE, members)
    }
}

/// The string that it is.
pub(super) fn string(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// A whole number that is not negative; `12.0` is 12.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
pub(super) fn whole(value: &Value) -> Option<u64> {
    let of_float = |number: f64| (number.fract() == 0.0 && (0.0..=9e15).contains(&number)).then_some(number as u64);
    value.as_u64().or_else(|| value.as_f64().and_then(of_float))
}

/// An object of these members.
pub(super) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Adds members to others, object into object and list after list; what is there already stays.
pub(super) fn merge(into: &mut Members, more: &Members) {
    for (key, value) in more {
        match (into.get_mut(key), value) {
            (Some(Value::Object(there)), Value::Object(value)) => merge(there, value),
            (Some(Value::Array(there)), Value::Array(value)) => there.extend(value.iter().cloned()),
            (Some(_), _) => {}
            (None, _) => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}
