//! What a request may use, from what its model has really used: bounds in tokens, before it is made.
//!
//! Until something was seen, the bounds are safe ones: a token for every two bytes of the request, and
//! the longest answer that was asked for. Then they follow the upper end of what comes, so that short
//! answers of a model that could write long ones do not tie up a budget.

use std::collections::HashMap;

use crate::catalog::Tokens;

/// Tokens of chat templates and the like, which no byte of the request shows.
const OVERHEAD: f64 = 16.0;
const FIRST_PER_BYTE: f64 = 0.5;
/// An image, until the model has shown what it counts for one (most count 85 to 4,800).
const FIRST_PER_MEDIUM: f64 = 5_000.0;
/// What a sound or a film counts grows with its length: 32 tokens a second are at most this for every
/// byte of base64, from 12 kbit/s on.
const PER_MEDIUM_BYTE: f64 = 0.02;
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

/// What a prompt is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Bytes of text, and of everything that is read as text.
    pub text: usize,
    /// Images, sounds and films, and documents that are elsewhere.
    pub media: u32,
    /// Bytes of those of them that are here.
    pub media_bytes: usize,
}

impl Weight {
    /// Tokens that it may be, where nobody counts them: a word every four bytes, a thousand a medium.
    pub fn tokens(self) -> u64 {
        estimate_tokens(self.text).saturating_add(1_000 * u64::from(self.media))
    }
}

/// Tokens that so many bytes of text may be, where nobody counts them.
pub fn estimate_tokens(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX).div_ceil(4)
}

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
    /// What is not billed in tokens.
    pub units: Tokens,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    per_byte: Option<f64>,
    per_medium: Option<f64>,
    answer: f64,
}

/// What models have used, in this isolate.
#[derive(Debug, Default)]
pub struct Calibration {
    models: HashMap<String, Seen>,
}

impl Calibration {
    /// Bounds of a request of that weight. `asked`: the longest answer the client wants; `limit`: the
    /// longest that the endpoint writes; `choices`: how many answers are wanted.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "counts far below 2^53, never negative"
    )]
    pub fn bounds(&self, model: &str, weight: Weight, asked: Option<u64>, limit: Option<u64>, choices: u64) -> Bounds {
        let seen = self.models.get(model);
        let known = seen.and_then(|seen| seen.per_byte);
        let per_byte = known.map_or(FIRST_PER_BYTE, |known| (known * 1.1).clamp(LEAST_PER_BYTE, MOST_PER_BYTE));
        let per_medium = seen.and_then(|seen| seen.per_medium).map_or(FIRST_PER_MEDIUM, |seen| seen * 1.1);
        let media = f64::from(weight.media) * per_medium + weight.media_bytes as f64 * PER_MEDIUM_BYTE;
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
            prompt: (weight.text as f64 * per_byte + media + OVERHEAD) as u64,
            likely: likely.min(longest).saturating_mul(choices),
            most: longest.saturating_mul(choices),
            open: asked.is_none() && limit.is_none(),
            units: Tokens::default(),
        }
    }

    /// Learns from a request that has ended.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    pub fn learn(&mut self, model: &str, weight: Weight, prompt: u64, completion: u64) {
        if weight.text == 0 || prompt == 0 {
            return;
        }
        if self.models.len() >= CAPACITY && !self.models.contains_key(model) {
            self.models.clear();
        }
        let (prompt, text, answer) = (prompt as f64, weight.text as f64, completion as f64);
        let seen = self.models.entry(model.to_owned()).or_insert(Seen { per_byte: None, per_medium: None, answer });
        let upper = |known: f64, new: f64| if new > known { new } else { known + (new - known) * DECAY };
        seen.answer = upper(seen.answer, answer);
        let more = |known: Option<f64>, new: f64| Some(known.map_or(new, |known| upper(known, new)));
        if weight.media == 0 {
            seen.per_byte = more(seen.per_byte, (prompt / text).clamp(LEAST_PER_BYTE, MOST_PER_BYTE));
        } else {
            // What the words do not explain are the media.
            let words = text * seen.per_byte.unwrap_or(LEAST_PER_BYTE);
            seen.per_medium = more(seen.per_medium, (prompt - words).max(0.0) / f64::from(weight.media));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: Weight = Weight { text: 1_000, media: 0, media_bytes: 0 };

    #[test]
    fn media_are_bounded_by_what_the_model_counts_for_one_and_not_by_their_bytes() {
        let mut calibration = Calibration::default();
        let photo = Weight { text: 1_000, media: 2, media_bytes: 1_000_000 };
        let prompt = |c: &Calibration| c.bounds("m", photo, Some(10), None, 1).prompt;
        assert_eq!(prompt(&calibration), 500 + 10_000 + 20_000 + 16);
        calibration.learn("m", WORDS, 300, 10);
        calibration.learn("m", photo, 300 + 2 * 1_000, 10);
        assert_eq!(prompt(&calibration), 330 + 2_200 + 20_000 + 16);
        assert_eq!(calibration.bounds("m", WORDS, Some(10), None, 1).prompt, 346, "words are as they were");
    }

    #[test]
    fn bounds_are_safe_at_first_and_follow_the_upper_end_of_what_was_used() {
        let mut calibration = Calibration::default();
        let bounds = |c: &Calibration, asked| c.bounds("m", WORDS, asked, Some(8_192), 1);
        assert_eq!(
            bounds(&calibration, Some(100)),
            Bounds { prompt: 516, likely: 100, most: 100, open: false, ..Bounds::default() }
        );
        assert_eq!(
            bounds(&calibration, None),
            Bounds { prompt: 516, likely: 4_096, most: 8_192, open: false, ..Bounds::default() }
        );
        calibration.learn("m", WORDS, 300, 200);
        assert_eq!(
            bounds(&calibration, None),
            Bounds { prompt: 346, likely: 364, most: 8_192, open: false, ..Bounds::default() }
        );
        assert_eq!(bounds(&calibration, Some(100)).likely, 100);
        // A long answer counts at once, many short ones slowly.
        calibration.learn("m", WORDS, 300, 2_000);
        assert_eq!(bounds(&calibration, None).likely, 3_064);
        (0..200).for_each(|_| calibration.learn("m", WORDS, 300, 10));
        assert!(bounds(&calibration, None).likely < 200);
        assert_eq!(calibration.bounds("m", WORDS, Some(50), None, 3).most, 150);
    }
}
