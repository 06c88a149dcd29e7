//! The `provider` object of a request, in OpenRouter's form (field: provider routing).
//!
//! Members whose meaning the gateway does not enforce yet are refused, never ignored: a client that
//! asks for a price cap or a data policy must not be served without it.

use super::cutoffs::Cutoffs;
use crate::{
    catalog::Pricing,
    error::{Error, Result},
    framing::json::{Kind, Object, Value},
    money::{NanoUsd, Price},
};

/// Quantizations that there are (field: OpenRouter's provider routing).
const QUANTIZATIONS: [&str; 12] =
    ["int4", "int8", "fp4", "mxfp4", "nvfp4", "fp6", "fp8", "mxfp8", "fp16", "bf16", "fp32", "unknown"];

/// A strict order of endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Cheapest first.
    Price,
    /// Most tokens per second first.
    Throughput,
    /// Soonest first token first.
    Latency,
    /// Best at calling tools first, as far as that is known: who has tools, then who fails least.
    Exacto,
}

/// Prices at most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MaxPrice {
    /// Of a prompt token.
    pub prompt: Option<Price>,
    /// Of a completion token.
    pub completion: Option<Price>,
    /// Of each request.
    pub request: Option<Price>,
    /// Of an image in the prompt.
    pub image: Option<Price>,
    /// Of an audio token in the prompt.
    pub audio: Option<Price>,
}

impl MaxPrice {
    /// Whether these prices are above one of them. Unknown prices are above any; what has no price of its own
    /// costs nothing beyond its tokens.
    pub fn is_exceeded_by(&self, pricing: Option<&Pricing>) -> bool {
        let above = |cap: Option<Price>, of: fn(&Pricing) -> Option<Price>| {
            cap.is_some_and(|cap| pricing.is_none_or(|pricing| of(pricing).unwrap_or_default() > cap))
        };
        above(self.prompt, |p| Some(p.prompt))
            || above(self.completion, |p| Some(p.completion))
            || above(self.request, |p| p.request)
            || above(self.image, |p| p.image)
            || above(self.audio, |p| p.audio)
    }
}

impl Sort {
    /// The word of a request.
    fn named(word: &str) -> Option<Self> {
        [Self::Price, Self::Throughput, Self::Latency, Self::Exacto].into_iter().find(|sort| sort.name() == word)
    }

    /// Whether larger figures stand first.
    pub fn largest_first(self) -> bool {
        matches!(self, Self::Throughput | Self::Exacto)
    }

    /// The word in requests and explanations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Price => "price",
            Self::Throughput => "throughput",
            Self::Latency => "latency",
            Self::Exacto => "exacto",
        }
    }

    /// What its scores are, for explanations.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Price => "usd_per_token",
            Self::Throughput => "tokens_per_second",
            Self::Latency => "milliseconds",
            Self::Exacto => "percent_successful",
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
    /// All endpoints of all models in one list, not model by model.
    pub across_models: bool,
    /// Tokens per second that are preferred.
    pub min_throughput: Option<Cutoffs>,
    /// Seconds to the first token that are preferred.
    pub max_latency: Option<Cutoffs>,
    /// Prices, at most.
    pub max_price: MaxPrice,
    /// What the request may cost, at most: the member `max_cost` of the request.
    pub max_cost: Option<NanoUsd>,
    /// No endpoints of other tiers: the request's `service_tier` is `default`.
    pub default_tier: bool,
    /// Only models whose authors allow distillation.
    pub distillable: bool,
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

    /// What a request says of it: `provider`, `max_cost`, and a `service_tier` that keeps other tiers out.
    pub fn of(request: &Object<'_>) -> Result<Self> {
        let mut preferences = request.get("provider").map_or_else(|| Ok(Self::none()), Self::parse)?;
        preferences.max_cost = match request.get("max_cost").filter(|value| value.kind != Kind::Null) {
            Some(value) => Some(cost(value.as_f64())?),
            None => None,
        };
        let tier = request.get("service_tier").and_then(Value::as_str);
        preferences.default_tier = matches!(tier.as_deref(), Some("default" | "standard" | "standard_only"));
        Ok(preferences)
    }

    /// `sort`: a word, or `{by, partition}`.
    fn sort(&mut self, value: &Value<'_>) -> Result<()> {
        let by = |value: &Value<'_>, field: &str| match value.as_str().as_deref().and_then(Sort::named) {
            Some(sort) => Ok(Some(sort)),
            None if value.kind == Kind::Null => Ok(None),
            None => {
                let message = format!("{field} must be \"price\", \"throughput\", \"latency\" or \"exacto\".");
                Err(Error::invalid(field, message))
            }
        };
        if value.kind != Kind::Object {
            self.sort = by(value, "provider.sort")?;
            return Ok(());
        }
        for member in value.members() {
            let field = format!("provider.sort.{}", member.key);
            match (&*member.key, member.value.as_str().as_deref()) {
                ("by", _) => self.sort = by(&member.value, &field)?,
                ("partition", Some("model")) => self.across_models = false,
                ("partition", Some("none")) => self.across_models = true,
                ("partition", None) if member.value.kind == Kind::Null => {}
                ("partition", _) => {
                    return Err(Error::invalid(field, "provider.sort.partition must be \"model\" or \"none\"."));
                }
                _ => return Err(Error::invalid(field, "provider.sort knows by and partition.")),
            }
        }
        Ok(())
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
                "quantizations" => {
                    let wanted = strings(value, &field)?;
                    if let Some(index) = wanted.iter().position(|word| !QUANTIZATIONS.contains(&word.as_str())) {
                        let known = QUANTIZATIONS.join(", ");
                        return Err(Error::invalid(format!("{field}[{index}]"), format!("{field} knows {known}.")));
                    }
                    preferences.quantizations = Some(wanted);
                }
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
                "sort" => preferences.sort(value)?,
                "preferred_min_throughput" => preferences.min_throughput = Cutoffs::parse(value, &field)?,
                "preferred_max_latency" => preferences.max_latency = Cutoffs::parse(value, &field)?,
                "enforce_distillable_text" => preferences.distillable = boolean(value, &field)?,
                "max_price" => preferences.max_price(value)?,
                _ => {
                    let message = format!(
                        "{field} is not known to this gateway. Known members are order, only, ignore, allow_fallbacks, sort, \
                         preferred_min_throughput, preferred_max_latency, max_price, require_parameters, data_collection, zdr, \
                         enforce_distillable_text and quantizations."
                    );
                    return Err(Error::invalid(field, message));
                }
            }
        }
        Ok(preferences)
    }

    /// `max_price`: prompt, completion and audio in USD per million tokens, request and image in USD each.
    fn max_price(&mut self, value: &Value<'_>) -> Result<()> {
        if value.kind != Kind::Object {
            return Err(wrong("provider.max_price", "an object", value.kind));
        }
        for member in value.members() {
            let field = format!("provider.max_price.{}", member.key);
            if member.value.kind == Kind::Null {
                continue;
            }
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
                "prompt" => self.max_price.prompt = Some(pico(1e6)),
                "completion" => self.max_price.completion = Some(pico(1e6)),
                "audio" => self.max_price.audio = Some(pico(1e6)),
                "request" => self.max_price.request = Some(pico(1e12)),
                "image" => self.max_price.image = Some(pico(1e12)),
                _ => {
                    return Err(Error::invalid(
                        field,
                        "provider.max_price knows prompt, completion, request, image and audio.",
                    ));
                }
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

/// `max_cost`, in USD.
pub fn cost(usd: Option<f64>) -> Result<NanoUsd> {
    let cost = usd.filter(|usd| *usd >= 0.0).and_then(NanoUsd::from_usd);
    cost.ok_or_else(|| Error::invalid("max_cost", "max_cost must be a number of USD of at least 0."))
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
                "max_price":{"prompt":"0.15","completion":2,"request":0.01,"image":"0.02","audio":40},"require_parameters":true,
                "data_collection":"deny","quantizations":["fp8"]}"#,
        )
        .unwrap();
        assert_eq!(preferences.only, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(preferences.sort, Some(Sort::Latency));
        let price = |text| Some(Price::parse(text).unwrap());
        let MaxPrice { prompt, completion, request, image, audio } = preferences.max_price;
        assert_eq!((prompt, completion), (price("0.00000015"), price("0.000002")));
        assert_eq!((request, image, audio), (price("0.01"), price("0.02"), price("0.00004")));
        assert!(!preferences.allow_fallbacks && preferences.zdr && preferences.deny_data_collection);
        assert_eq!(parse("null").unwrap(), Preferences::none());
        assert_eq!(parse("{\"only\":null}").unwrap(), Preferences::none());
    }

    #[test]
    fn sorts_and_speeds_have_two_forms_each() {
        for (text, sort, across_models) in [
            (r#"{"sort":"exacto"}"#, Some(Sort::Exacto), false),
            (r#"{"sort":{"by":"price"}}"#, Some(Sort::Price), false),
            (r#"{"sort":{"by":"throughput","partition":"none"}}"#, Some(Sort::Throughput), true),
            (r#"{"sort":{"by":"latency","partition":"model"}}"#, Some(Sort::Latency), false),
            (r#"{"sort":{"by":null,"partition":null}}"#, None, false),
        ] {
            let preferences = parse(text).unwrap();
            assert_eq!((preferences.sort, preferences.across_models), (sort, across_models), "{text}");
        }
        for (text, cutoffs) in [
            ("50", Some((50.0, 50.0))),
            (r#"{"p50":100,"p90":50,"p99":null}"#, Some((100.0, 50.0))),
            ("{}", None),
            ("null", None),
        ] {
            let speeds =
                parse(&format!(r#"{{"preferred_min_throughput":{text},"preferred_max_latency":{text}}}"#)).unwrap();
            let cutoffs = cutoffs.map(|(most, least)| Cutoffs { most, least });
            assert_eq!((speeds.min_throughput, speeds.max_latency), (cutoffs, cutoffs), "{text}");
        }
    }

    #[test]
    fn what_concerns_it_beside_the_object_is_read_too() {
        let of = |text: &str| Preferences::of(&scan_object(text.as_bytes()).unwrap());
        assert_eq!(of(r#"{"max_cost":0.05}"#).unwrap().max_cost, Some(NanoUsd(50_000_000)));
        assert!(of(r#"{"service_tier":"default","max_cost":null}"#).unwrap().default_tier);
        assert_eq!(of(r#"{"service_tier":"auto"}"#).unwrap(), Preferences::none());
        for wrong in [r#"{"max_cost":-1}"#, r#"{"max_cost":"1"}"#, r#"{"max_cost":1e300}"#] {
            assert_eq!(of(wrong).unwrap_err().param.as_deref(), Some("max_cost"), "{wrong}");
        }
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
            (r#"{"max_price":{"video":1}}"#, "provider.max_price.video"),
            (r#"{"max_price":{"image":"dear"}}"#, "provider.max_price.image"),
            (r#"{"sort":{"by":"best"}}"#, "provider.sort.by"),
            (r#"{"sort":{"partition":"all"}}"#, "provider.sort.partition"),
            (r#"{"sort":{"order":"asc"}}"#, "provider.sort.order"),
            (r#"{"quantizations":["fp8","fp9"]}"#, "provider.quantizations[1]"),
            (r#"{"enforce_distillable_text":1}"#, "provider.enforce_distillable_text"),
            (r#"{"preferred_max_latency":{"p50":1,"p95":2}}"#, "provider.preferred_max_latency.p95"),
            (r#"{"preferred_max_latency":{"p50":0}}"#, "provider.preferred_max_latency.p50"),
            (r#"{"preferred_max_latency":"1"}"#, "provider.preferred_max_latency"),
            (r#"{"data_collection":"maybe"}"#, "provider.data_collection"),
            (r#"{"preferred_min_throughput":-10}"#, "provider.preferred_min_throughput"),
            (r#"{"options":{"p":{}}}"#, "provider.options"),
        ] {
            assert_eq!(parse(text).unwrap_err().param.as_deref(), Some(param), "{text}");
        }
    }
}
