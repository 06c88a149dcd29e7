//! The members of a JSON object, taken one by one; what is left belongs to nobody but its own format.
//! `null` is as good as absent. A member of the wrong kind is an error that names its path.

use serde_json::{Map, Number, Value};

use crate::error::{Error, Result};

/// An object being read, and where it stands.
#[derive(Debug)]
pub struct Members {
    map: Map<String, Value>,
    path: String,
}

impl Members {
    /// The object that stands there; the body itself has no path.
    pub fn new(value: Value, path: impl Into<String>) -> Result<Self> {
        let path = path.into();
        match value {
            Value::Object(map) => Ok(Self { map, path }),
            other if path.is_empty() => {
                Err(Error::invalid(path, format!("The request body must be an object, not {}.", kind(&other))))
            }
            other => Err(wrong(&path, "an object", &other)),
        }
    }

    /// The path of a member.
    pub fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Where the object stands.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A member, whatever it is.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.map.shift_remove(key).filter(|value| !value.is_null())
    }

    /// Puts a member back that could not be understood.
    pub fn put_back(&mut self, key: &str, value: Value) {
        self.map.insert(key.to_owned(), value);
    }

    /// A look at a member.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// A string.
    pub fn string(&mut self, key: &str) -> Result<Option<String>> {
        self.typed(key, "a string", |value| match value {
            Value::String(text) => Ok(text),
            other => Err(other),
        })
    }

    /// A number, as it came.
    pub fn number(&mut self, key: &str) -> Result<Option<Number>> {
        self.typed(key, "a number", |value| match value {
            Value::Number(number) => Ok(number),
            other => Err(other),
        })
    }

    /// A whole number that is not negative.
    pub fn count(&mut self, key: &str) -> Result<Option<u64>> {
        self.typed(key, "a whole number of at least 0", |value| value.as_u64().ok_or(value))
    }

    /// True or false.
    pub fn flag(&mut self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", |value| value.as_bool().ok_or(value))
    }

    /// An array.
    pub fn list(&mut self, key: &str) -> Result<Option<Vec<Value>>> {
        self.typed(key, "an array", |value| match value {
            Value::Array(items) => Ok(items),
            other => Err(other),
        })
    }

    /// An array of strings; none is as good as an empty one.
    pub fn strings(&mut self, key: &str) -> Result<Vec<String>> {
        let items = self.list(key)?.unwrap_or_default().into_iter().enumerate();
        let strings = items.map(|(n, item)| match item {
            Value::String(text) => Ok(text),
            other => Err(wrong(&format!("{}[{n}]", self.at(key)), "a string", &other)),
        });
        strings.collect()
    }

    /// An object.
    pub fn object(&mut self, key: &str) -> Result<Option<Self>> {
        let path = self.at(key);
        self.take(key).map(|value| Self::new(value, path)).transpose()
    }

    /// A member that must be there.
    pub fn needed<T>(&self, key: &str, found: Option<T>) -> Result<T> {
        found.ok_or_else(|| {
            let path = self.at(key);
            Error::invalid(path.clone(), format!("{path} is missing."))
        })
    }

    /// The object as it came, nulls and all: for schemas, where a null may mean something.
    pub fn into_map(self) -> Map<String, Value> {
        self.map
    }

    /// What nobody has taken.
    pub fn rest(mut self) -> Map<String, Value> {
        self.map.retain(|_, value| !value.is_null());
        self.map
    }

    fn typed<T>(&mut self, key: &str, wanted: &str, read: impl FnOnce(Value) -> Result<T, Value>) -> Result<Option<T>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        read(value).map(Some).map_err(|other| wrong(&self.at(key), wanted, &other))
    }
}

fn wrong(path: &str, wanted: &str, found: &Value) -> Error {
    match found {
        Value::Number(number) => Error::invalid(path, format!("{path} must be {wanted}, not {number}.")),
        other => Error::invalid(path, format!("{path} must be {wanted}, not {}.", kind(other))),
    }
}

/// What a value is, in words.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
