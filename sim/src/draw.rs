//! Chance, from a seed: everything that is left open in a world is drawn here.

use sluice::ids::Rng;

/// A source of draws.
pub struct Draw(Rng);

impl Draw {
    /// From a seed; neighbouring seeds have nothing in common.
    pub fn new(seed: u64) -> Self {
        let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self(Rng::new(mixed ^ (mixed >> 31)))
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.0.next_unit() < probability
    }

    /// A whole number from `low` to `high`, both included.
    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        let width = (high - low).max(0).unsigned_abs() + 1;
        low + ((self.0.next_u64() >> 11) % width) as i64
    }

    /// The same, small numbers as likely as large ones.
    pub fn wide(&mut self, low: i64, high: i64) -> i64 {
        // Without logarithms: those may differ between platforms.
        let (mut bottom, mut top) = (low.max(1), low.max(1));
        let mut doublings = 0;
        while top < high {
            top = top.saturating_mul(2);
            doublings += 1;
        }
        for _ in 0..self.range(0, doublings) {
            bottom = bottom.saturating_mul(2);
        }
        self.range(bottom, bottom.saturating_mul(2)).clamp(low, high)
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let at = self.range(0, all.len() as i64 - 1) as usize;
        &all[at]
    }
}
