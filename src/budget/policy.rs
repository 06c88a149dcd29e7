//! What an organization asks of every request beside its meters: what is charged for it, and what is
//! refused. Isolates have a copy; it comes with the organization's meters.

use serde::{Deserialize, Serialize};

use crate::money::NanoUsd;

const MILLION: i128 = 1_000_000;

/// The rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Put on top of what the provider takes, in parts per million.
    #[serde(rename = "margin")]
    pub margin_ppm: u32,
    /// Put on top of each request.
    #[serde(rename = "fee")]
    pub fee_nano: NanoUsd,
    /// Serves models whose price nobody knows even where a budget holds.
    pub allow_unpriced: bool,
    /// Refuses a request that a session repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loop_detection: Option<LoopDetection>,
    /// The same body again within so many seconds, without an idempotency key, is the same request; 0 is off.
    pub dedupe_window_s: u32,
}

/// When a session goes round in circles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoopDetection {
    /// So many times the same request ...
    pub repeats: u32,
    /// ... within so many seconds.
    pub window_s: u32,
}

impl Policy {
    /// What a request costs the customer for which the provider takes so much. Rounded up once, to the
    /// nano-dollar; a provider's nonsense (a negative amount) is charged as nothing.
    pub fn charge(&self, provider: NanoUsd) -> NanoUsd {
        let parts = i128::from(provider.0.max(0)) * (MILLION + i128::from(self.margin_ppm));
        let charged = (parts + MILLION - 1) / MILLION + i128::from(self.fee_nano.0);
        NanoUsd(i64::try_from(charged).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(margin_ppm: u32, fee: i64) -> Policy {
        Policy { margin_ppm, fee_nano: NanoUsd(fee), ..Policy::default() }
    }

    #[test]
    fn margin_and_fee_are_put_on_top_and_rounded_up_once() {
        for (margin, fee, provider, charged) in [
            (0, 0, 12_345, 12_345),
            (50_000, 0, 1_000, 1_050),
            (50_000, 0, 1_001, 1_052),
            (1, 0, 1, 2),
            (1, 0, 1_000_000, 1_000_001),
            (100_000, 7, 0, 7),
            (100_000, 7, -500, 7),
            (10_000_000, 0, 3, 33),
            (50_000, 5, i64::MAX, i64::MAX),
        ] {
            assert_eq!(policy(margin, fee).charge(NanoUsd(provider)), NanoUsd(charged), "{margin} {fee} {provider}");
        }
        assert_eq!(Policy::default().charge(NanoUsd(77)), NanoUsd(77));
    }

    #[test]
    fn an_older_copy_of_the_rules_is_read() {
        assert_eq!(serde_json::from_str::<Policy>("{}").unwrap(), Policy::default());
        let text = serde_json::to_string(&policy(5, 6)).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy(5, 6));
    }

    proptest! {
        #[test]
        fn nobody_pays_less_than_the_provider_takes_nor_a_nano_too_much(
            margin in 0_u32..10_000_000, fee in 0_i64..1_000_000_000, a in 0_i64..1 << 50, b in 0_i64..1 << 50
        ) {
            let policy = policy(margin, fee);
            let charged = policy.charge(NanoUsd(a)).0;
            // In millionths of a nano-dollar.
            let exact = i128::from(a) * (MILLION + i128::from(margin)) + i128::from(fee) * MILLION;
            let over = i128::from(charged) * MILLION - exact;
            prop_assert!((0..MILLION).contains(&over), "{over}");
            prop_assert!(policy.charge(NanoUsd(a.min(b))) <= policy.charge(NanoUsd(a.max(b))));
        }
    }
}
