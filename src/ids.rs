//! Identifiers made from randomness that is handed in, and their text forms.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Millis;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// One digit of base 62, for any number.
pub fn base62_digit(value: u64) -> char {
    let index = usize::try_from(value % 62).unwrap_or(0);
    BASE62.get(index).map_or('0', |&b| char::from(b))
}

/// A small fast generator (xorshift64*), one per isolate, seeded from the platform's randomness.
/// Good for ids and for drawing among providers; never for secrets.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// From a seed; zero is replaced, because the generator cannot leave it.
    pub fn new(seed: u64) -> Self {
        Self(if seed == 0 { 0x9E37_79B9_7F4A_7C15 } else { seed })
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number in `0.0..1.0`.
    pub fn next_unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let bits = (self.next_u64() >> 11) as f64;
        bits / 9_007_199_254_740_992.0
    }
}

/// `gen-<unix seconds>-<20 base-62 digits>`, as OpenRouter shapes it: sorts by time, unique without
/// coordination (as rare a clash as 64 random bits allow).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GenerationId(String);

impl GenerationId {
    /// A new id.
    pub fn new(now: Millis, rng: &mut Rng) -> Self {
        let mut text = format!("gen-{}-", now.seconds());
        for _ in 0..2 {
            let mut bits = rng.next_u64();
            for _ in 0..10 {
                text.push(base62_digit(bits));
                bits /= 62;
            }
        }
        Self(text)
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [b >> 4, b & 15])
        .map(|nibble| DIGITS.get(usize::from(nibble)).map_or('0', |&d| char::from(d)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn generation_ids_carry_the_time_and_do_not_repeat() {
        let mut rng = Rng::new(7);
        let ids: HashSet<_> = (0..10_000).map(|_| GenerationId::new(Millis(1_700_000_000_999), &mut rng)).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.as_str().starts_with("gen-1700000000-") && id.as_str().len() == 35));
    }

    #[test]
    fn unit_numbers_fill_the_unit_interval() {
        let mut rng = Rng::new(0);
        let mean = (0..10_000).map(|_| rng.next_unit()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}
