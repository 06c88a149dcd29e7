//! The `provider` object of a request, in OpenRouter's form (field: provider routing).
//!
//! Members whose meaning the gateway does not enforce yet are refused, never ignored: a client that
//! asks for a price cap or a data policy must not be served without it.

use crate::{
    error::{Error, Result},
    framing::json::{Kind, Value},
    money::Price,
};

/// A strict order of endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Cheapest first.
    Price,
    /// Most tokens per second first.
    Throughput,
    /// Soonest first token first.
    Latency,
}

impl Sort {
    /// The word in requests and explanations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Price => "price",
            Self::Throughput => "throughput",
            Self::Latency => "latency",
        }
    }

    /// What its scores are, for explanations.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Price => "usd_per_token",
            Self::Throughput => "tokens_per_second",
            Self::Latency => "milliseconds",
        }
    }
}

/// What a request says about who may serve it.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a member of the wire format")]
pub struct Preferences {
    /// First, in this order.
    pub order: Vec<String>,
    /// No others than these.
    pub only: Option<Vec<String>>,
    /// None of these.
    pub ignore: Vec<String>,
    /// Others than the first choice (or than `order`) may be tried.
    pub allow_fallbacks: bool,
    /// A strict order.
    pub sort: Option<Sort>,
    /// Prompt token price, at most.
    pub max_prompt_price: Option<Price>,
    /// Completion token price, at most.
    pub max_completion_price: Option<Price>,
    /// Price of a request, at most.
    pub max_request_price: Option<Price>,
    /// Only endpoints that honour every parameter sent.
    pub require_parameters: bool,
    /// Only providers that do not train on or keep prompts.
    pub deny_data_collection: bool,
    /// Only providers that keep nothing.
    pub zdr: bool,
    /// Only these quantizations.
    pub quantizations: Option<Vec<String>>,
}

impl Preferences {
    /// Of a request that says nothing.
    pub fn none() -> Self {
        Self { allow_fallbacks: true, ..Self::default() }
    }

    /// Reads the member `provider`.
    pub fn parse(value: &Value<'_>) -> Result<Self> {
        let mut preferences = Self::none();
        match value.kind {
            Kind::Null => return Ok(preferences),
            Kind::Object => {}
            other => return Err(wrong("provider", "an object", other)),
        }
        for member in value.members() {
            let (value, field) = (&member.value, format!("provider.{}", member.key));
            if value.kind == Kind::Null {
                continue;
            }
            match &*member.key {
                "order" => preferences.order = strings(value, &field)?,
                "only" => preferences.only = Some(strings(value, &field)?),
                "ignore" => preferences.ignore = strings(value, &field)?,
                "quantizations" => preferences.quantizations = Some(strings(value, &field)?),
                "allow_fallbacks" => preferences.allow_fallbacks = boolean(value, &field)?,
                "require_parameters" => preferences.require_parameters = boolean(value, &field)?,
                "zdr" => preferences.zdr = boolean(value, &field)?,
                "data_collection" => {
                    preferences.deny_data_collection = match value.as_str().as_deref() {
                        Some("allow") => false,
                        Some("deny") => true,
                        _ => {
                            return Err(Error::invalid(
                                field,
                                "provider.data_collection must be \"allow\" or \"deny\".",
                            ));
                        }
                    };
                }
                "sort" => {
                    preferences.sort = Some(match value.as_str().as_deref() {
                        Some("price") => Sort::Price,
                        Some("throughput") => Sort::Throughput,
                        Some("latency") => Sort::Latency,
                        _ => {
                            return Err(Error::invalid(
                                field,
                                "provider.sort must be \"price\", \"throughput\" or \"latency\".",
                            ));
                        }
                    });
                }
                "max_price" => preferences.max_price(value)?,
                _ => {
                    let message = format!(
                        "{field} is not known to this gateway. Known members are order, only, ignore, allow_fallbacks, sort, \
                         max_price, require_parameters, data_collection, zdr and quantizations."
                    );
                    return Err(Error::invalid(field, message));
                }
            }
        }
        Ok(preferences)
    }

    /// `max_price`: prompt and completion in USD per million tokens, request in USD.
    fn max_price(&mut self, value: &Value<'_>) -> Result<()> {
        if value.kind != Kind::Object {
            return Err(wrong("provider.max_price", "an object", value.kind));
        }
        for member in value.members() {
            let field = format!("provider.max_price.{}", member.key);
            let usd = match member.value.kind {
                Kind::Number => member.value.as_f64(),
                Kind::String => member.value.as_str().and_then(|text| text.parse().ok()),
                _ => None,
            };
            let Some(usd) = usd.filter(|usd| usd.is_finite() && (0.0..1e9).contains(usd)) else {
                return Err(Error::invalid(field, "a price cap must be a number of USD of at least 0."));
            };
            // USD per million tokens are pico-dollars per token divided by a million.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
            let pico = |scale: f64| Price::from_pico((usd * scale).round() as u64);
            match &*member.key {
                "prompt" => self.max_prompt_price = Some(pico(1e6)),
                "completion" => self.max_completion_price = Some(pico(1e6)),
                "request" => self.max_request_price = Some(pico(1e12)),
                _ => return Err(Error::invalid(field, "provider.max_price knows prompt, completion and request.")),
            }
        }
        Ok(())
    }
}

/// Whether a name from `order`, `only` or `ignore` means an endpoint: the provider's slug matches all
/// of its endpoints but those of a service tier, a full tag matches one.
pub fn names(name: &str, provider: &str, tag: &str, service_tier: Option<&str>) -> bool {
    name == tag || name == provider && service_tier.is_none()
}

fn wrong(field: &str, wanted: &str, got: Kind) -> Error {
    Error::invalid(field, format!("{field} must be {wanted}, not {}.", got.name()))
}

fn boolean(value: &Value<'_>, field: &str) -> Result<bool> {
    value.as_bool().ok_or_else(|| wrong(field, "true or false", value.kind))
}

fn strings(value: &Value<'_>, field: &str) -> Result<Vec<String>> {
    if value.kind != Kind::Array {
        return Err(wrong(field, "an array of strings", value.kind));
    }
    value
        .items()
        .iter()
        .enumerate()
        .map(|(index, item)| {
            item.as_str()
                .map(std::borrow::Cow::into_owned)
                .ok_or_else(|| wrong(&format!("{field}[{index}]"), "a string", item.kind))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::json::scan_object;

    fn parse(text: &str) -> Result<Preferences> {
        let body = format!("{{\"provider\":{text}}}");
        Preferences::parse(scan_object(body.as_bytes()).unwrap().get("provider").unwrap())
    }

    #[test]
    fn every_member_is_read() {
        let preferences = parse(
            r#"{"order":["a"],"only":["a","b"],"ignore":["c"],"allow_fallbacks":false,"sort":"latency","zdr":true,
                "max_price":{"prompt":"0.15","completion":2,"request":0.01},"require_parameters":true,
                "data_collection":"deny","quantizations":["fp8"]}"#,
        )
        .unwrap();
        assert_eq!(preferences.only, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(preferences.sort, Some(Sort::Latency));
        assert_eq!(preferences.max_prompt_price, Some(Price::parse("0.00000015").unwrap()));
        assert_eq!(preferences.max_completion_price, Some(Price::parse("0.000002").unwrap()));
        assert_eq!(preferences.max_request_price, Some(Price::parse("0.01").unwrap()));
        assert!(!preferences.allow_fallbacks && preferences.zdr && preferences.deny_data_collection);
        assert_eq!(parse("null").unwrap(), Preferences::none());
        assert_eq!(parse("{\"only\":null}").unwrap(), Preferences::none());
    }

    #[test]
    fn what_is_wrong_names_its_field() {
        for (text, param) in [
            ("[]", "provider"),
            (r#"{"order":"a"}"#, "provider.order"),
            (r#"{"order":["a",1]}"#, "provider.order[1]"),
            (r#"{"sort":"best"}"#, "provider.sort"),
            (r#"{"allow_fallbacks":"no"}"#, "provider.allow_fallbacks"),
            (r#"{"max_price":{"prompt":-1}}"#, "provider.max_price.prompt"),
            (r#"{"max_price":{"image":1}}"#, "provider.max_price.image"),
            (r#"{"data_collection":"maybe"}"#, "provider.data_collection"),
            (r#"{"preferred_min_throughput":10}"#, "provider.preferred_min_throughput"),
        ] {
            assert_eq!(parse(text).unwrap_err().param.as_deref(), Some(param), "{text}");
        }
    }
}
