//! Money: integers only, and the one place where it is rounded.
//!
//! A price is kept as pico-dollars (1e-12 USD) per unit, which is the same as micro-dollars per
//! million tokens; tokens times price is then exact. A request's cost is the sum of its components
//! in pico-dollars, rounded up once, to nano-dollars (1e-9 USD). Nano-dollars are exact as a
//! JavaScript number up to about nine million dollars.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

const PICO_DIGITS: usize = 12;

/// Pico-dollars per token (or per request, image, search): never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(u64);

impl Price {
    /// A price of nothing.
    pub const FREE: Self = Self(0);

    /// From pico-dollars per unit.
    pub const fn from_pico(pico: u64) -> Self {
        Self(pico)
    }

    /// Pico-dollars per unit.
    pub const fn pico(self) -> u64 {
        self.0
    }

    /// Reads a decimal string of USD per unit, such as `0.0000025`. Exponents, signs and more than
    /// twelve decimals (that are not zero) are refused: a price that cannot be kept exactly must not
    /// be kept at all.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| Err(format!("{text:?} is not a price: {why}"));
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if whole.is_empty() || !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return refuse("write USD per unit as a plain decimal string, for example \"0.0000025\"");
        }
        if fraction.contains('.') {
            return refuse("it has two decimal points");
        }
        let kept = fraction.trim_end_matches('0');
        if kept.len() > PICO_DIGITS {
            return refuse("it is finer than 1e-12 USD");
        }
        let digits = format!("{whole}{kept:0<PICO_DIGITS$}");
        match digits.parse::<u64>() {
            Ok(pico) => Ok(Self(pico)),
            Err(_) => refuse("it is too large"),
        }
    }

    /// Cost of `units` at this price, in pico-dollars.
    pub fn times(self, units: u64) -> u128 {
        u128::from(self.0) * u128::from(units)
    }
}

/// The shortest decimal string that parses back to the same price.
impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal(f, self.0, 12)
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// An amount in nano-dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NanoUsd(pub i64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The single rounding rule: pico-dollars up to the next nano-dollar, saturating.
    pub fn from_pico_rounded_up(pico: u128) -> Self {
        Self(i64::try_from(pico.div_ceil(1000)).unwrap_or(i64::MAX))
    }

    /// From a JSON number of dollars as clients send it (a limit, a credit), to the nearest nano.
    /// `None` where the number is not finite or out of range.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
    pub fn from_usd(usd: f64) -> Option<Self> {
        let nano = (usd * 1e9).round();
        (nano.is_finite() && nano.abs() < 9e18).then_some(Self(nano as i64))
    }

    /// The sum, saturating: an absurd amount must not wrap into a small one.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// USD as an exact decimal number, without exponent: what JSON answers carry.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        decimal(f, self.0.unsigned_abs(), 9)
    }
}

impl NanoUsd {
    /// USD as a JSON number.
    pub fn to_json(self) -> serde_json::Value {
        #[expect(clippy::cast_precision_loss, reason = "exact below 9 million dollars, nearest above")]
        let usd = self.0 as f64 / 1e9;
        serde_json::Value::from(usd)
    }
}

/// Writes an amount of 10^-digits as a decimal number, as short as it can be.
fn decimal(f: &mut fmt::Formatter<'_>, amount: u64, digits: u32) -> fmt::Result {
    let scale = 10_u64.pow(digits);
    let (whole, mut fraction) = (amount / scale, amount % scale);
    if fraction == 0 {
        return write!(f, "{whole}");
    }
    let mut width = digits as usize;
    while fraction % 10 == 0 {
        fraction /= 10;
        width -= 1;
    }
    write!(f, "{whole}.{fraction:0width$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prices_are_read_exactly_and_written_shortest() {
        for (text, pico) in [
            ("0", 0),
            ("0.0000025", 2_500_000),
            ("0.00000000000100", 1),
            ("1", 1_000_000_000_000),
            ("0.035", 35_000_000_000),
        ] {
            let price = Price::parse(text).unwrap();
            assert_eq!(price.pico(), pico, "{text}");
            assert_eq!(Price::parse(&price.to_string()).unwrap(), price);
        }
    }

    #[test]
    fn prices_that_cannot_be_kept_exactly_are_refused() {
        for text in ["", ".", "-1", "1e-6", "0.0000000000001", "1.2.3", "99999999999", "NaN", " 1"] {
            assert!(Price::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn costs_are_rounded_up_once() {
        let price = Price::parse("0.00000015").unwrap();
        assert_eq!(NanoUsd::from_pico_rounded_up(price.times(7)).to_string(), "0.00000105");
        assert_eq!(NanoUsd::from_pico_rounded_up(1).0, 1);
        assert_eq!(NanoUsd::from_pico_rounded_up(1000).0, 1);
        assert_eq!(NanoUsd(-1_500_000_000).to_string(), "-1.5");
    }

    proptest! {
        #[test]
        fn any_price_survives_its_own_text(pico in any::<u64>()) {
            let price = Price::from_pico(pico);
            prop_assert_eq!(Price::parse(&price.to_string()).unwrap(), price);
        }

        #[test]
        fn cost_is_monotone_in_tokens(pico in 0_u64..1 << 40, a in 0_u64..1 << 40, b in 0_u64..1 << 40) {
            let price = Price::from_pico(pico);
            let cost = |units| NanoUsd::from_pico_rounded_up(price.times(units));
            let (small, large) = (a.min(b), a.max(b));
            prop_assert!(cost(small) <= cost(large));
        }
    }
}
