//! JSON bodies of management requests, read strictly: every wrong, missing or unknown member is a 400
//! that names it by its path.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use crate::error::{Error, Result};

/// A member of which "absent" and `null` mean different things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Given<T> {
    /// Not there: leave as it is.
    #[default]
    Absent,
    /// `null`: take away.
    Null,
    /// A value.
    Value(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<T>::deserialize(deserializer)?.map_or(Self::Null, Self::Value))
    }
}

impl<T> Given<T> {
    /// What holds after the change, where `old` held before.
    pub fn over(self, old: Option<T>) -> Option<T> {
        match self {
            Self::Absent => old,
            Self::Null => None,
            Self::Value(new) => Some(new),
        }
    }

    /// The same, of another type.
    pub fn try_map<U>(self, convert: impl FnOnce(T) -> Result<U>) -> Result<Given<U>> {
        Ok(match self {
            Self::Absent => Given::Absent,
            Self::Null => Given::Null,
            Self::Value(value) => Given::Value(convert(value)?),
        })
    }
}

/// Reads the body as `T`, which should deny unknown fields.
pub fn parse<T: DeserializeOwned>(body: Option<&Value>) -> Result<T> {
    match body {
        Some(object @ Value::Object(_)) => from_value(object),
        _ => Err(Error::new(crate::error::ErrorKind::InvalidRequest, "The request needs a JSON object as its body.")),
    }
}

/// Reads any JSON as `T`, naming the path of what is wrong.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let what = plain(&error.inner().to_string());
        let mut path = error.path().to_string().replace('?', "").trim_matches('.').to_owned();
        // Serde knows the names of these only in its message: the path ends at their parent.
        for opening in ["unknown field `", "missing field `"] {
            let name = what.strip_prefix(opening).and_then(|rest| rest.split('`').next());
            if let Some(name) = name.filter(|name| path.rsplit('.').next() != Some(name)) {
                path = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
            }
        }
        Error::invalid(path.clone(), format!("{path}: {what}."))
    })
}

/// Serde's words for types, in JSON's.
fn plain(message: &str) -> String {
    let (what, expected) = message.rsplit_once("expected ").unwrap_or((message, ""));
    let expected = match expected {
        "f64" => "a number",
        "u64" | "u32" => "a whole number of at least 0",
        "i64" => "a whole number",
        "a sequence" => "a list",
        "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        "" => return what.to_owned(),
        other => other,
    };
    format!("{what}expected {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read by serde only")]
    struct Body {
        name: String,
        #[serde(default)]
        limit: Given<f64>,
        #[serde(default)]
        rows: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read by serde only")]
    struct Inner {
        count: u64,
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        for (body, param) in [
            (json!({}), "name"),
            (json!({ "name": 1 }), "name"),
            (json!({ "name": "n", "limit": "5" }), "limit"),
            (json!({ "name": "n", "nmae": "n" }), "nmae"),
            (json!({ "name": "n", "rows": {} }), "rows"),
            (json!({ "name": "n", "rows": [{ "count": 1 }, { "count": -1 }] }), "rows[1].count"),
            (json!({ "name": "n", "rows": [{ "count": 1, "x": 1 }] }), "rows[0].x"),
            (json!({ "name": "n", "rows": [{}] }), "rows[0].count"),
        ] {
            let error = parse::<Body>(Some(&body)).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{body}: {}", error.message);
            assert!(error.message.starts_with(param), "{}", error.message);
        }
        assert_eq!(parse::<Body>(Some(&json!([]))).unwrap_err().status(), 400);
        assert_eq!(parse::<Body>(None).unwrap_err().status(), 400);
    }

    #[test]
    fn absent_and_null_differ() {
        let limit = |body| parse::<Body>(Some(&body)).unwrap().limit;
        assert_eq!(limit(json!({ "name": "n" })), Given::Absent);
        assert_eq!(limit(json!({ "name": "n", "limit": null })), Given::Null);
        assert_eq!(limit(json!({ "name": "n", "limit": 2 })), Given::Value(2.0));
    }
}
