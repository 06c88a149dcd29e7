//! Members of a request's objects, taken out one by one by value: what is left is the format's own.
//! `null` is as good as absent. Whatever is not as it should be is a 400 that names the field.

use std::fmt;

use serde_json::{Map, Number, Value};

use super::WIRE;
use crate::{
    chat::{Cache, Extra},
    error::{Error, Result},
};

/// Where something stands in a request. Written out only for an error.
#[derive(Clone, Copy, Debug)]
pub enum Path<'p> {
    /// The body.
    Root,
    /// A member of that.
    Key(&'p Path<'p>, &'p str),
    /// An item of that.
    Item(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl Path<'_> {
    /// A 400: what stands here is not what it must be.
    pub fn must_be(&self, wanted: &str, value: &Value) -> Error {
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        match self {
            Self::Root => {
                Error::invalid("", format!("The request body must be {wanted}, not {is}.")).code("invalid_json")
            }
            _ => Error::invalid(self.to_string(), format!("{self} must be {wanted}, not {is}.")),
        }
    }

    /// A 400: nothing stands here.
    pub fn missing(&self) -> Error {
        Error::invalid(self.to_string(), format!("{self} is missing."))
    }
}

/// The members of an object that have not been taken yet.
#[derive(Debug)]
pub struct Fields<'p> {
    /// They.
    pub members: Map<String, Value>,
    path: &'p Path<'p>,
}

impl<'p> Fields<'p> {
    /// Of that object.
    pub fn of(value: Value, path: &'p Path<'p>) -> Result<Self> {
        match value {
            Value::Object(members) => Ok(Self { members, path }),
            other => Err(path.must_be("an object", &other)),
        }
    }

    /// Where a member stands.
    pub fn at<'k>(&'k self, key: &'k str) -> Path<'k> {
        Path::Key(self.path, key)
    }

    /// The word in `type`.
    pub fn kind(&self) -> Option<&str> {
        self.members.get("type")?.as_str()
    }

    /// Takes any member.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.members.remove(key).filter(|value| !value.is_null())
    }

    /// Takes text.
    pub fn string(&mut self, key: &str) -> Result<Option<String>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.at(key).must_be("a string", &other)),
        }
    }

    /// Takes text that must be there.
    pub fn needed(&mut self, key: &str) -> Result<String> {
        self.string(key)?.ok_or_else(|| self.at(key).missing())
    }

    /// Takes a switch.
    pub fn bool(&mut self, key: &str) -> Result<Option<bool>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(is)) => Ok(Some(is)),
            Some(other) => Err(self.at(key).must_be("true or false", &other)),
        }
    }

    /// Takes a number.
    pub fn number(&mut self, key: &str) -> Result<Option<Number>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number)),
            Some(other) => Err(self.at(key).must_be("a number", &other)),
        }
    }

    /// Takes a count.
    pub fn count(&mut self, key: &str) -> Result<Option<u64>> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(count) => Ok(Some(count)),
                None => Err(self.at(key).must_be("a whole number that is not negative", &value)),
            },
        }
    }

    /// Takes a list.
    pub fn array(&mut self, key: &str) -> Result<Option<Vec<Value>>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(self.at(key).must_be("an array", &other)),
        }
    }

    /// Takes `cache_control`. One that says more than the canonical mark stays as it came, too.
    pub fn cache(&mut self) -> Option<Cache> {
        let mark = self.take("cache_control")?;
        let ttl = mark.get("ttl").and_then(Value::as_str);
        let cache = match ttl {
            Some("1h") => Cache::Hour,
            Some("5m") => Cache::FiveMinutes,
            _ => Cache::Default,
        };
        if mark != cache_control(cache) {
            self.members.insert("cache_control".to_owned(), mark);
        }
        Some(cache)
    }

    /// What nobody took, as this format's own; `null` says nothing.
    pub fn rest(mut self) -> Extra {
        self.members.retain(|_, value| !value.is_null());
        Extra::of(WIRE, self.members)
    }
}

/// A mark as this format writes it.
pub fn cache_control(cache: Cache) -> Value {
    let mut mark = Map::new();
    mark.insert("type".to_owned(), "ephemeral".into());
    match cache {
        Cache::Default => {}
        Cache::FiveMinutes => drop(mark.insert("ttl".to_owned(), "5m".into())),
        Cache::Hour => drop(mark.insert("ttl".to_owned(), "1h".into())),
    }
    Value::Object(mark)
}

/// An object of the members that are there.
pub fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}
