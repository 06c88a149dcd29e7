//! The key a request presents, in whichever header its SDK uses.

use super::{KeyRecord, VirtualKey};
use crate::error::{Error, Result};

/// Headers that may carry a key.
pub const HEADERS: [&str; 3] = ["authorization", "x-api-key", "x-goog-api-key"];

/// The one key among the values of [`HEADERS`], in that order. Two different ones are a 400: it would
/// be a guess which of them is meant.
pub fn presented(values: [Option<&str>; 3]) -> Result<VirtualKey> {
    let [authorization, others @ ..] = values;
    let bearer = match authorization.map(|value| value.split_once(' ').unwrap_or((value, ""))) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim()),
        Some(_) => return Err(KeyRecord::refuse("The Authorization header must be \"Bearer <key>\".")),
        None => None,
    };
    let mut keys =
        [bearer].into_iter().chain(others.map(|value| value.map(str::trim))).flatten().filter(|key| !key.is_empty());
    let Some(key) = keys.next() else {
        return Err(KeyRecord::refuse("No API key was given. Send it as \"Authorization: Bearer <key>\".")
            .code("missing_api_key"));
    };
    if keys.any(|other| other != key) {
        return Err(Error::invalid(
            "authorization",
            "The request carries two different API keys, in two headers. Send one.",
        ));
    }
    VirtualKey::parse(key).ok_or_else(|| {
        KeyRecord::refuse(
            "This is not a valid API key of this gateway: it is mistyped, cut short, or another service's.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_is_found_wherever_it_lies() {
        let key = VirtualKey::generate(&[3; 48]).expose().to_owned();
        let other = VirtualKey::generate(&[4; 48]).expose().to_owned();
        let (bearer, lower) = (format!("Bearer {key}"), format!("bearer  {key}"));
        let ask = |values| presented(values).map(|key| key.expose().to_owned()).map_err(|error| error.status());
        for values in [
            [Some(bearer.as_str()), None, None],
            [Some(lower.as_str()), None, None],
            [None, Some(key.as_str()), None],
            [None, None, Some(key.as_str())],
            [Some(bearer.as_str()), Some(key.as_str()), Some("")],
            [Some("Bearer "), Some(key.as_str()), None],
        ] {
            assert_eq!(ask(values), Ok(key.clone()), "{values:?}");
        }
        assert_eq!(ask([Some(&bearer), Some(&other), None]), Err(400));
        for values in [
            [None, None, None],
            [Some("Basic abc"), None, None],
            [Some("Bearer sk-proj-123"), None, None],
            [Some(&key), None, None],
        ] {
            assert_eq!(ask(values), Err(401), "{values:?}");
        }
    }
}
