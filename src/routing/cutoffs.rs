//! Speeds that a request prefers: `preferred_min_throughput` and `preferred_max_latency`. Who is known to
//! miss one stands behind the others, and is not left out.
//!
//! A cut-off is for a percentile; averages are what is kept of endpoints, and stand for each of them.

use crate::{
    error::{Error, Result},
    framing::json::{Kind, Value},
};

/// The strictest figures that were asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cutoffs {
    /// The largest of the cut-offs: a speed has to reach all of them.
    pub most: f64,
    /// The smallest: a wait has to stay below all of them.
    pub least: f64,
}

impl Cutoffs {
    /// A number, which is for the median, or `{p50, p75, p90, p99}`; nothing where that is empty.
    pub fn parse(value: &Value<'_>, field: &str) -> Result<Option<Self>> {
        let figure = |value: &Value<'_>, field: &str| {
            let figure = value.as_f64().filter(|figure| figure.is_finite() && *figure > 0.0);
            figure.ok_or_else(|| Error::invalid(field, format!("{field} must be a positive number.")))
        };
        if value.kind == Kind::Number {
            let figure = figure(value, field)?;
            return Ok(Some(Self { most: figure, least: figure }));
        }
        if value.kind != Kind::Object {
            return Err(Error::invalid(field, format!("{field} must be a number or an object of percentiles.")));
        }
        let mut cutoffs: Option<Self> = None;
        for member in value.members() {
            let name = format!("{field}.{}", member.key);
            if !matches!(&*member.key, "p50" | "p75" | "p90" | "p99") {
                return Err(Error::invalid(name, format!("{field} knows p50, p75, p90 and p99.")));
            }
            if member.value.kind == Kind::Null {
                continue;
            }
            let new = figure(&member.value, &name)?;
            let Self { most, least } = cutoffs.unwrap_or(Self { most: new, least: new });
            cutoffs = Some(Self { most: most.max(new), least: least.min(new) });
        }
        Ok(cutoffs)
    }
}
