//! Amounts, intervals and thresholds: how requests name them and rows show them. One way for keys,
//! workspaces and `/budgets`. Amounts are checked here and nowhere else; every refusal names its field.

use serde_json::Value;

use crate::{
    budget::{Period, Unit},
    error::{Error, Result},
    money::NanoUsd,
    time::Millis,
};

/// Nine million dollars: exact as a JavaScript number, in nano-dollars.
const MOST_NANO: i64 = 9_000_000_000_000_000;
/// Of tokens and requests.
const MOST_COUNT: u64 = 1_000_000_000_000;
/// Ten years.
const MOST_SECONDS: u64 = 315_360_000;
const MOST_ALERTS: usize = 10;

/// An amount in USD, as nano-dollars.
pub(super) fn usd(field: &str, amount: f64) -> Result<i64> {
    NanoUsd::from_usd(amount)
        .map(|nano| nano.0)
        .filter(|nano| (0..=MOST_NANO).contains(nano))
        .ok_or_else(|| Error::invalid(field, format!("{field} must be an amount in USD from 0 to 9000000.")))
}

/// A number of tokens or requests.
pub(super) fn count(field: &str, number: u64) -> Result<i64> {
    i64::try_from(number.min(MOST_COUNT + 1))
        .ok()
        .filter(|_| number <= MOST_COUNT)
        .ok_or_else(|| Error::invalid(field, format!("{field} must be a whole number from 0 to {MOST_COUNT}.")))
}

/// An amount of a meter, as rows show it: dollars, or a whole number.
pub(super) fn show(unit: Unit, amount: i64) -> Value {
    match unit {
        Unit::Usd => NanoUsd(amount).to_json(),
        Unit::Tokens | Unit::Requests | Unit::Parallel => amount.into(),
    }
}

/// The word for a unit.
pub(super) fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Usd => "usd",
        Unit::Tokens => "tokens",
        Unit::Requests => "requests",
        Unit::Parallel => "parallel",
    }
}

/// Shares of a limit at which somebody is told: in thousandths, in order, each once.
pub(super) fn alerts(shares: &[f64]) -> Result<Vec<u16>> {
    if shares.len() > MOST_ALERTS {
        return Err(Error::invalid("alerts", format!("alerts must be at most {MOST_ALERTS} shares.")));
    }
    let mut permille = Vec::new();
    for (index, share) in shares.iter().enumerate() {
        if !(0.001..=10.0).contains(share) {
            let field = format!("alerts[{index}]");
            let message = format!("{field} must be a share of the limit from 0.001 to 10, such as 0.8.");
            return Err(Error::invalid(field, message));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 10000")]
        permille.push((share * 1000.0).round() as u16);
    }
    permille.sort_unstable();
    permille.dedup();
    Ok(permille)
}

/// The same, as rows show them.
pub(super) fn show_alerts(permille: &[u16]) -> Vec<f64> {
    permille.iter().map(|share| f64::from(*share) / 1000.0).collect()
}

/// `daily`, `{"seconds": 90}`, `"90s"`, ...
pub(super) fn interval(field: &str, value: &Value) -> Result<Period> {
    let read = || match value {
        Value::String(word) => match word.as_str() {
            "daily" => Some(Period::Daily),
            "weekly" => Some(Period::Weekly),
            "monthly" => Some(Period::Monthly),
            "lifetime" => Some(Period::Lifetime),
            duration => {
                let unit = duration.chars().last()?;
                let factor = match unit {
                    's' => 1,
                    'm' => 60,
                    'h' => 3_600,
                    'd' => 86_400,
                    _ => return None,
                };
                let digits = duration.strip_suffix(unit)?;
                let number = digits.parse::<u64>().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
                seconds(number.checked_mul(factor)?)
            }
        },
        Value::Object(members) if members.len() == 1 => seconds(members.get("seconds")?.as_u64()?),
        _ => None,
    };
    read().ok_or_else(|| {
        Error::invalid(
            field,
            format!("{field} must be daily, weekly, monthly, lifetime, or a duration of at most ten years such as \"90s\", \"15m\", \"12h\", \"30d\" or {{\"seconds\": 90}}."),
        )
    })
}

fn seconds(number: u64) -> Option<Period> {
    let number = u32::try_from(number).ok().filter(|number| (1..=MOST_SECONDS).contains(&u64::from(*number)))?;
    Some(Period::Seconds(number))
}

/// As names and rows write it: [`interval`] reads it.
pub(super) fn interval_name(period: Period) -> String {
    match period {
        Period::Lifetime => "lifetime".to_owned(),
        Period::Daily => "daily".to_owned(),
        Period::Weekly => "weekly".to_owned(),
        Period::Monthly => "monthly".to_owned(),
        Period::Seconds(seconds) => format!("{seconds}s"),
    }
}

/// A moment in a body.
pub(super) fn moment(field: &str, text: &str) -> Result<Millis> {
    Millis::parse_iso(text).ok_or_else(|| {
        Error::invalid(
            field,
            format!("{field} must be a date and time with seconds and offset, such as 2026-12-31T23:59:59Z."),
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn intervals_are_read_as_they_are_written() {
        for (value, period) in [
            (json!("daily"), Period::Daily),
            (json!("lifetime"), Period::Lifetime),
            (json!("90s"), Period::Seconds(90)),
            (json!("15m"), Period::Seconds(900)),
            (json!("12h"), Period::Seconds(43_200)),
            (json!("3650d"), Period::Seconds(315_360_000)),
            (json!({ "seconds": 7 }), Period::Seconds(7)),
        ] {
            assert_eq!(interval("interval", &value).unwrap(), period, "{value}");
            assert_eq!(interval("interval", &interval_name(period).into()).unwrap(), period);
        }
        for bad in [
            json!("hourly"),
            json!(""),
            json!("s"),
            json!("0s"),
            json!("+5s"),
            json!("1.5h"),
            json!("3651d"),
            json!("99999999999999999999d"),
            json!("9é"),
            json!(60),
            json!(null),
            json!({ "seconds": -1 }),
            json!({ "seconds": 1, "minutes": 1 }),
        ] {
            assert_eq!(interval("per", &bad).unwrap_err().param.as_deref(), Some("per"), "{bad}");
        }
    }

    #[test]
    fn amounts_outside_of_what_is_exact_are_refused_by_name() {
        assert_eq!(usd("limit", 0.000_000_001).unwrap(), 1);
        assert_eq!(usd("limit", 9e6).unwrap(), MOST_NANO);
        for bad in [-0.01, 9_000_000.01, f64::NAN, f64::INFINITY] {
            assert_eq!(usd("limit", bad).unwrap_err().param.as_deref(), Some("limit"), "{bad}");
        }
        assert_eq!(count("n", 0).unwrap(), 0);
        assert!(count("n", MOST_COUNT).is_ok() && count("n", MOST_COUNT + 1).is_err() && count("n", u64::MAX).is_err());
    }

    #[test]
    fn alerts_are_kept_in_order_and_once() {
        assert_eq!(alerts(&[0.9, 0.5, 0.9, 1.2]).unwrap(), [500, 900, 1200]);
        assert_eq!(show_alerts(&[500, 1200]), [0.5, 1.2]);
        for bad in [0.0, -1.0, 10.1, f64::NAN] {
            assert_eq!(alerts(&[0.5, bad]).unwrap_err().param.as_deref(), Some("alerts[1]"), "{bad}");
        }
        assert_eq!(alerts(&[0.1; 11]).unwrap_err().param.as_deref(), Some("alerts"));
    }
}
