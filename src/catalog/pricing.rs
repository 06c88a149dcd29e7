//! Prices of an endpoint and the cost of a request by them, component by component.
//!
//! Member names are OpenRouter's (field names of `pricing` in `GET /models`): USD per token, request,
//! image or search, as decimal strings. What is not billed in tokens has a member of ours:
//! `image_generated`, `character`, `second`.

use serde::{Deserialize, Serialize};

use crate::money::{NanoUsd, Price};

/// Prices; an absent component is billed as the component it is part of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pricing {
    /// A prompt token.
    pub prompt: Price,
    /// A completion token.
    pub completion: Price,
    /// Each request; of a ranking, each search that it is charged as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Price>,
    /// An image in the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Price>,
    /// An image token in the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_token: Option<Price>,
    /// An image token in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_output: Option<Price>,
    /// An audio token in the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<Price>,
    /// An audio token in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_output: Option<Price>,
    /// A cached audio token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_audio_cache: Option<Price>,
    /// A prompt token read from the provider's cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_cache_read: Option<Price>,
    /// A prompt token written to the provider's cache (5 minutes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_cache_write: Option<Price>,
    /// A prompt token written to the provider's cache for an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_cache_write_1h: Option<Price>,
    /// A reasoning token, where it costs other than a completion token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_reasoning: Option<Price>,
    /// A web search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_search: Option<Price>,
    /// An image that is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_generated: Option<Price>,
    /// A character that is spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub character: Option<Price>,
    /// A second of sound that is written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<Price>,
    /// Other prices under conditions; later entries win, member by member.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
}

/// Prices that hold for long prompts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Holds when the prompt has strictly more tokens than this.
    pub min_prompt_tokens: u64,
    /// A prompt token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Price>,
    /// A completion token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion: Option<Price>,
    /// A prompt token read from the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_cache_read: Option<Price>,
    /// A prompt token written to the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_cache_write: Option<Price>,
    /// A prompt token written to the cache for an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_cache_write_1h: Option<Price>,
    /// An audio token in the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<Price>,
    /// A reasoning token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_reasoning: Option<Price>,
}

/// What a provider says it used, in the provider's own tokens, and what it bills by the piece. The parts
/// are contained in the totals: cached, written and audio tokens are prompt tokens, reasoning tokens
/// completion tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// All of the prompt.
    pub prompt: u64,
    /// All of the answer.
    pub completion: u64,
    /// Of the prompt: read from the provider's cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached: u64,
    /// Of the prompt: written to the provider's cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write: u64,
    /// Of what was written to the cache: kept for an hour.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write_1h: u64,
    /// Of the prompt: audio.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub prompt_audio: u64,
    /// Of the answer: reasoning.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning: u64,
    /// Of the answer: audio.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub completion_audio: u64,
    /// Of the answer: images.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub completion_image: u64,
    /// Searches of the web that the provider made.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub web_searches: u64,
    /// Searches that a ranking is charged as; a request that says nothing of them is one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub search_units: u64,
    /// Images made.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub images: u64,
    /// Characters spoken.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub characters: u64,
    /// Thousandths of seconds of sound written down.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seconds_milli: u64,
}

/// Whether a number is left out where it is written.
#[cfg_attr(target_pointer_width = "64", expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so"))]
pub fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The cost of a request, rounded once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostBreakdown {
    /// For what was sent, rounded up by itself for display.
    pub prompt: NanoUsd,
    /// For what was answered, rounded up by itself for display.
    pub completion: NanoUsd,
    /// The whole: the one amount that is charged.
    pub total: NanoUsd,
    /// What the provider's cache saved (or, negative, cost) against plain prompt tokens.
    pub cache_discount: NanoUsd,
    /// What the provider is owed: `total` before the organization's margin and fee.
    pub provider: NanoUsd,
}

impl Pricing {
    /// Prompt and completion price together, or of what is not billed in tokens its own: what "cheapest"
    /// compares.
    pub fn combined(&self) -> u64 {
        match self.prompt.pico().saturating_add(self.completion.pico()) {
            0 => self.pieces().fold(0, |sum, price| sum.saturating_add(price.pico())),
            tokens => tokens,
        }
    }

    /// Whether everything is free.
    pub fn is_free(&self) -> bool {
        self.combined() == 0 && self.request.is_none_or(|price| price == Price::FREE)
    }

    fn pieces(&self) -> impl Iterator<Item = Price> {
        [self.image_generated, self.character, self.second].into_iter().flatten()
    }

    /// Cost of one request. Parts larger than their total are taken as the total: a provider that
    /// counts so is not believed beyond what it says it used in all.
    pub fn cost(&self, tokens: &Tokens) -> CostBreakdown {
        let price = self.for_prompt(tokens.prompt);
        let or = |part: Option<Price>, whole: Price| part.unwrap_or(whole);

        let mut rest = tokens.prompt;
        let mut take = |part: u64| {
            let part = part.min(rest);
            rest -= part;
            part
        };
        let cached = take(tokens.cached);
        let written = take(tokens.cache_write);
        let written_1h = tokens.cache_write_1h.min(written);
        let audio = take(tokens.prompt_audio);
        let plain = rest;
        let prompt = price.request.unwrap_or_default().times(tokens.search_units.max(1))
            + price.prompt.times(plain)
            + or(price.input_cache_read, price.prompt).times(cached)
            + price.written(written, written_1h)
            + or(price.audio, price.prompt).times(audio)
            + price.character.unwrap_or_default().times(tokens.characters)
            + price.second.unwrap_or_default().times(tokens.seconds_milli).div_ceil(1000);

        let mut rest = tokens.completion;
        let mut take = |part: u64| {
            let part = part.min(rest);
            rest -= part;
            part
        };
        let reasoning = take(tokens.reasoning);
        let audio = take(tokens.completion_audio);
        let image = take(tokens.completion_image);
        let plain = rest;
        let completion = price.completion.times(plain)
            + or(price.internal_reasoning, price.completion).times(reasoning)
            + or(price.audio_output, price.completion).times(audio)
            + or(price.image_output, price.completion).times(image)
            + price.image_generated.unwrap_or_default().times(tokens.images)
            + price.web_search.unwrap_or_default().times(tokens.web_searches);

        let uncached = price.prompt.times(cached + written);
        let as_billed = or(price.input_cache_read, price.prompt).times(cached) + price.written(written, written_1h);
        let discount = if uncached >= as_billed {
            NanoUsd::from_pico_rounded_up(uncached - as_billed)
        } else {
            NanoUsd(-NanoUsd::from_pico_rounded_up(as_billed - uncached).0)
        };
        CostBreakdown {
            prompt: NanoUsd::from_pico_rounded_up(prompt),
            completion: NanoUsd::from_pico_rounded_up(completion),
            total: NanoUsd::from_pico_rounded_up(prompt.saturating_add(completion)),
            cache_discount: discount,
            provider: NanoUsd::from_pico_rounded_up(prompt.saturating_add(completion)),
        }
    }

    /// Pico-dollars of the prompt's tokens that were written to the cache, of them so many for an hour.
    fn written(&self, all: u64, for_an_hour: u64) -> u128 {
        let short = self.input_cache_write.unwrap_or(self.prompt);
        let long = self.input_cache_write_1h.unwrap_or(short);
        short.times(all - for_an_hour) + long.times(for_an_hour)
    }

    /// What is not billed in tokens costs: pictures made, characters spoken, seconds written down.
    pub fn of_units(&self, units: &Tokens) -> NanoUsd {
        let none = Tokens { prompt: 0, completion: 0, ..Tokens::default() };
        NanoUsd(self.cost(units).total.0 - self.cost(&none).total.0)
    }

    /// The most that a request of so many tokens can cost: every token at the dearest price that it
    /// might be billed at.
    pub fn most(&self, prompt: u64, completion: u64) -> NanoUsd {
        // A shorter prompt may be the dearer one, where long ones are cheaper.
        let ends = self.overrides.iter().map(|change| change.min_prompt_tokens).filter(|end| *end < prompt);
        let each = ends.map(|end| self.most_at(end, completion));
        each.fold(self.most_at(prompt, completion), NanoUsd::max)
    }

    fn most_at(&self, prompt: u64, completion: u64) -> NanoUsd {
        let price = self.for_prompt(prompt);
        let dearest = |parts: &[Option<Price>], plain: Price| parts.iter().flatten().copied().fold(plain, Price::max);
        let in_prompt = dearest(&[price.input_cache_write, price.input_cache_write_1h, price.audio], price.prompt);
        let in_answer = dearest(&[price.internal_reasoning, price.audio_output, price.image_output], price.completion);
        let each = price.request.unwrap_or_default().times(1);
        NanoUsd::from_pico_rounded_up(
            each.saturating_add(in_prompt.times(prompt)).saturating_add(in_answer.times(completion)),
        )
    }

    /// The prices in force for a prompt of that many tokens.
    fn for_prompt(&self, tokens: u64) -> std::borrow::Cow<'_, Self> {
        if self.overrides.iter().all(|o| tokens <= o.min_prompt_tokens) {
            return std::borrow::Cow::Borrowed(self);
        }
        let mut price = self.clone();
        for change in self.overrides.iter().filter(|o| tokens > o.min_prompt_tokens) {
            let Override {
                min_prompt_tokens: _,
                prompt,
                completion,
                input_cache_read,
                input_cache_write,
                input_cache_write_1h,
                audio,
                internal_reasoning,
            } = change;
            price.prompt = prompt.unwrap_or(price.prompt);
            price.completion = completion.unwrap_or(price.completion);
            price.input_cache_read = input_cache_read.or(price.input_cache_read);
            price.input_cache_write = input_cache_write.or(price.input_cache_write);
            price.input_cache_write_1h = input_cache_write_1h.or(price.input_cache_write_1h);
            price.audio = audio.or(price.audio);
            price.internal_reasoning = internal_reasoning.or(price.internal_reasoning);
        }
        std::borrow::Cow::Owned(price)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pricing() -> Pricing {
        serde_json::from_str(
            r#"{"prompt":"0.000001","completion":"0.000004","input_cache_read":"0.0000001","input_cache_write":"0.00000125",
                "input_cache_write_1h":"0.000002","internal_reasoning":"0.000008","request":"0.001",
                "web_search":"0.01","image_generated":"0.04","character":"0.000015","second":"0.0001",
                "overrides":[{"min_prompt_tokens":1000,"prompt":"0.000002","completion":"0.000006"}]}"#,
        )
        .unwrap()
    }

    #[test]
    fn the_most_is_that_of_any_shorter_prompt_too() {
        let text = r#"{"prompt":"0.000002","completion":"0.000004","overrides":[{"min_prompt_tokens":1000,"prompt":"0.000001"}]}"#;
        let pricing: Pricing = serde_json::from_str(text).unwrap();
        let shorter = pricing.cost(&Tokens { prompt: 1_000, completion: 1, ..Tokens::default() }).total;
        assert_eq!(pricing.most(1_100, 1), shorter);
    }

    #[test]
    fn each_component_is_billed_at_its_own_price() {
        for (tokens, total, prompt, completion) in [
            (Tokens::default(), "0.001", "0.001", "0"),
            (Tokens { prompt: 100, completion: 10, ..Tokens::default() }, "0.00114", "0.0011", "0.00004"),
            (Tokens { prompt: 100, cached: 80, cache_write: 10, ..Tokens::default() }, "0.0010305", "0.0010305", "0"),
            (
                Tokens { prompt: 100, cache_write: 10, cache_write_1h: 4, ..Tokens::default() },
                "0.0011055",
                "0.0011055",
                "0",
            ),
            // What is kept for an hour is part of what is written.
            (
                Tokens { prompt: 10, cache_write: 10, cache_write_1h: 90, ..Tokens::default() },
                "0.00102",
                "0.00102",
                "0",
            ),
            (Tokens { web_searches: 3, ..Tokens::default() }, "0.031", "0.001", "0.03"),
            (Tokens { search_units: 3, ..Tokens::default() }, "0.003", "0.003", "0"),
            (Tokens { images: 2, ..Tokens::default() }, "0.081", "0.001", "0.08"),
            (Tokens { characters: 1000, ..Tokens::default() }, "0.016", "0.016", "0"),
            (Tokens { seconds_milli: 1500, ..Tokens::default() }, "0.00115", "0.00115", "0"),
            (Tokens { completion: 10, reasoning: 4, ..Tokens::default() }, "0.001056", "0.001", "0.000056"),
            // Strictly more than the threshold.
            (Tokens { prompt: 1000, ..Tokens::default() }, "0.002", "0.002", "0"),
            (Tokens { prompt: 1001, completion: 1, ..Tokens::default() }, "0.003008", "0.003002", "0.000006"),
            // A part is never more than its whole.
            (Tokens { prompt: 10, cached: u64::MAX, ..Tokens::default() }, "0.001001", "0.001001", "0"),
        ] {
            let cost = pricing().cost(&tokens);
            assert_eq!(
                (cost.total.to_string(), cost.prompt.to_string(), cost.completion.to_string()),
                (total.to_owned(), prompt.to_owned(), completion.to_owned()),
                "{tokens:?}"
            );
        }
    }

    #[test]
    fn the_cache_discount_is_what_plain_tokens_would_have_cost_more() {
        let tokens = Tokens { prompt: 100, cached: 80, cache_write: 10, ..Tokens::default() };
        assert_eq!(pricing().cost(&tokens).cache_discount.to_string(), "0.0000695");
        let hour = Tokens { cache_write_1h: 10, ..tokens };
        assert_eq!(pricing().cost(&hour).cache_discount.to_string(), "0.000062");
        // An hour costs what five minutes do where the provider has no price of its own for it.
        let plain = Pricing { input_cache_write_1h: None, ..pricing() };
        assert_eq!(plain.cost(&hour), plain.cost(&tokens));
    }

    #[test]
    fn what_is_billed_by_the_piece_is_compared_by_it_and_free_without_a_price() {
        let of = |text: &str| serde_json::from_str::<Pricing>(text).unwrap();
        let image = of(r#"{"prompt":"0","completion":"0","image_generated":"0.04"}"#);
        assert_eq!((image.combined(), image.is_free()), (40_000_000_000, false));
        assert_eq!(pricing().combined(), 5_000_000);
        let free = of(r#"{"prompt":"0","completion":"0"}"#);
        let pieces = Tokens { web_searches: 1, images: 1, characters: 1, seconds_milli: 1, ..Tokens::default() };
        assert!(free.is_free() && free.cost(&pieces).total == NanoUsd::ZERO);
    }

    #[test]
    fn unknown_members_of_a_price_are_refused() {
        assert!(serde_json::from_str::<Pricing>(r#"{"prompt":"0","completion":"0","promt":"1"}"#).is_err());
    }

    proptest! {
        #[test]
        fn the_total_is_the_parts_within_one_nano(prompt in 0_u64..1 << 50, completion in 0_u64..1 << 50, cached in 0_u64..1 << 50) {
            let cost = pricing().cost(&Tokens { prompt, completion, cached, ..Tokens::default() });
            let parts = cost.prompt.plus(cost.completion);
            prop_assert!(cost.total <= parts && parts.0 - cost.total.0 <= 1);
        }
    }
}
