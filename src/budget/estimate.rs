//! What a request may use, from what its model has really used: bounds in tokens, before it is made.
//!
//! Until something was seen, the bounds are safe ones: a token for every two bytes of the request, and
//! the longest answer that was asked for. Then they follow the upper end of what comes, so that short
//! answers of a model that could write long ones do not tie up a budget.

use std::collections::HashMap;

/// Tokens of chat templates and the like, which no byte of the request shows.
const OVERHEAD: f64 = 16.0;
const FIRST_PER_BYTE: f64 = 0.5;
const LEAST_PER_BYTE: f64 = 0.25;
/// What a provider says beyond this is not believed: a bound that refuses every request learns nothing
/// from any, so it would never come down again.
const MOST_PER_BYTE: f64 = 4.0;
/// An answer without a bound of its own.
const FIRST_ANSWER: u64 = 4_096;
const LONGEST_ANSWER: u64 = 16_384;
/// How fast the upper end comes down again, a request.
const DECAY: f64 = 0.02;
const CAPACITY: usize = 10_000;

/// Bounds of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Tokens of the prompt.
    pub prompt: u64,
    /// Tokens that the answer will hardly exceed.
    pub likely: u64,
    /// Tokens that the answer cannot exceed: what it asked for, or the endpoint's own limit.
    pub most: u64,
    /// Neither is known: the provider has to be told.
    pub open: bool,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    per_byte: f64,
    answer: f64,
}

/// What models have used, in this isolate.
#[derive(Debug, Default)]
pub struct Calibration {
    models: HashMap<String, Seen>,
}

impl Calibration {
    /// Bounds of a request of so many bytes. `asked`: the longest answer the client wants; `limit`: the
    /// longest that the endpoint writes; `choices`: how many answers are wanted.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "counts far below 2^53, never negative"
    )]
    pub fn bounds(&self, model: &str, bytes: usize, asked: Option<u64>, limit: Option<u64>, choices: u64) -> Bounds {
        let seen = self.models.get(model);
        let per_byte = seen.map_or(FIRST_PER_BYTE, |seen| (seen.per_byte * 1.1).clamp(LEAST_PER_BYTE, MOST_PER_BYTE));
        let longest = match (asked, limit) {
            (Some(asked), Some(limit)) => asked.min(limit),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => LONGEST_ANSWER,
        };
        let likely = match (seen, asked) {
            (Some(seen), _) => (seen.answer * 1.5) as u64 + 64,
            (None, Some(_)) => longest,
            (None, None) => FIRST_ANSWER,
        };
        let choices = choices.max(1);
        Bounds {
            prompt: (bytes as f64 * per_byte + OVERHEAD) as u64,
            likely: likely.min(longest).saturating_mul(choices),
            most: longest.saturating_mul(choices),
            open: asked.is_none() && limit.is_none(),
        }
    }

    /// Learns from a request that has ended.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    pub fn learn(&mut self, model: &str, bytes: usize, prompt: u64, completion: u64) {
        if bytes == 0 || prompt == 0 {
            return;
        }
        let (per_byte, answer) = ((prompt as f64 / bytes as f64).min(MOST_PER_BYTE), completion as f64);
        let upper = |known: f64, new: f64| if new > known { new } else { known + (new - known) * DECAY };
        if let Some(seen) = self.models.get_mut(model) {
            seen.per_byte = upper(seen.per_byte, per_byte);
            seen.answer = upper(seen.answer, answer);
            return;
        }
        if self.models.len() >= CAPACITY {
            self.models.clear();
        }
        self.models.insert(model.to_owned(), Seen { per_byte: per_byte.max(LEAST_PER_BYTE), answer });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_safe_at_first_and_follow_the_upper_end_of_what_was_used() {
        let mut calibration = Calibration::default();
        let bounds = |c: &Calibration, asked| c.bounds("m", 1_000, asked, Some(8_192), 1);
        assert_eq!(bounds(&calibration, Some(100)), Bounds { prompt: 516, likely: 100, most: 100, open: false });
        assert_eq!(bounds(&calibration, None), Bounds { prompt: 516, likely: 4_096, most: 8_192, open: false });
        calibration.learn("m", 1_000, 300, 200);
        assert_eq!(bounds(&calibration, None), Bounds { prompt: 346, likely: 364, most: 8_192, open: false });
        assert_eq!(bounds(&calibration, Some(100)).likely, 100);
        // A long answer counts at once, many short ones slowly.
        calibration.learn("m", 1_000, 300, 2_000);
        assert_eq!(bounds(&calibration, None).likely, 3_064);
        (0..200).for_each(|_| calibration.learn("m", 1_000, 300, 10));
        assert!(bounds(&calibration, None).likely < 200);
        assert_eq!(calibration.bounds("m", 1_000, Some(50), None, 3).most, 150);
    }
}
