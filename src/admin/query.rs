//! Query parameters, read strictly where they are ours: a value that cannot be meant is a 400 naming
//! the parameter. Unknown parameters are ignored, as OpenRouter's API does.

use std::ops::RangeInclusive;

use crate::{
    error::{Error, Result},
    time::Millis,
};

/// Decoded parameters, in order.
pub type Query = [(String, String)];

/// The last non-empty value of a parameter.
pub fn text<'q>(query: &'q Query, name: &str) -> Option<&'q str> {
    query.iter().rev().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
}

/// A comma-separated list.
pub fn list<'q>(query: &'q Query, name: &str) -> Vec<&'q str> {
    text(query, name)
        .into_iter()
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .collect()
}

/// A whole number within a range.
pub fn whole(query: &Query, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>> {
    let Some(value) = text(query, name) else { return Ok(None) };
    match value.parse() {
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        _ => Err(Error::invalid(
            name,
            format!("{name} must be a whole number from {} to {}.", range.start(), range.end()),
        )),
    }
}

/// `true` or `false`; absent is `false`.
pub fn flag(query: &Query, name: &str) -> Result<bool> {
    match text(query, name) {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => Err(Error::invalid(name, format!("{name} must be true or false."))),
    }
}

/// A date and time.
pub fn moment(query: &Query, name: &str) -> Result<Option<Millis>> {
    let parse = |value| {
        Millis::parse_iso(value).ok_or_else(|| {
            Error::invalid(
                name,
                format!("{name} must be a date and time with seconds and offset, such as 2026-11-20T12:00:00Z."),
            )
        })
    };
    text(query, name).map(parse).transpose()
}

/// `offset` and `limit`.
pub fn page(query: &Query, default: i64, most: i64) -> Result<(i64, i64)> {
    let offset = whole(query, "offset", 0..=1_000_000_000)?.unwrap_or(0);
    Ok((offset, whole(query, "limit", 1..=most)?.unwrap_or(default)))
}

/// A path with its percent-encoding undone. `None` where that is no text, or hides a slash within a
/// segment: nothing has such a name.
pub fn decode_path(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        let byte = if byte == b'%' {
            let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
            let decoded = digit()? << 4 | digit()?;
            (decoded != b'/').then_some(decoded)?
        } else {
            byte
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded_and_hidden_slashes_refused() {
        assert_eq!(decode_path("/models/a/b%3Afree").as_deref(), Some("/models/a/b:free"));
        assert_eq!(decode_path("/x%C3%A9").as_deref(), Some("/xé"));
        for bad in ["/a%2fb", "/%", "/%4", "/%zz", "/%ff"] {
            assert_eq!(decode_path(bad), None, "{bad}");
        }
    }

    #[test]
    fn values_that_cannot_be_meant_are_refused_by_name() {
        let query = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert_eq!(page(&query("limit", "5"), 100, 100).unwrap(), (0, 5));
        assert_eq!(page(&query("limit", ""), 100, 100).unwrap(), (0, 100));
        for bad in ["0", "101", "x", "1.5", "-1"] {
            assert_eq!(page(&query("limit", bad), 100, 100).unwrap_err().param.as_deref(), Some("limit"), "{bad}");
        }
        assert!(flag(&query("all", "true"), "all").unwrap());
        assert!(!flag(&[], "all").unwrap());
        assert!(flag(&query("all", "yes"), "all").is_err());
        assert_eq!(moment(&query("since", "1970-01-01T00:00:01Z"), "since").unwrap(), Some(Millis(1000)));
        assert!(moment(&query("since", "today"), "since").is_err());
        assert_eq!(list(&query("q", "a, b,,c"), "q"), ["a", "b", "c"]);
    }
}
