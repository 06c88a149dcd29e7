//! `author/name[:variant...]`: what a client asks for.
//!
//! Routing variants sort the endpoints of a model and are stripped from its name, in any order and number;
//! of several the last one wins, with the service tier that it lets in (field: OpenRouter's model
//! variants). Every other suffix is part of the model's id: `:free`, `:thinking`, `:extended` and an
//! operator's own are models of the catalog. `:online` is reserved.

use super::preferences::Sort;

/// The variants there are, for error messages.
pub const VARIANTS: &str = ":floor (cheapest first), :nitro (highest throughput first), :exacto (best at calling tools first), \
     and :free, :thinking, :extended where the catalog has the model under that name";

/// Suffixes that are part of a model's id, whoever serves it.
const OF_CATALOG: [&str; 3] = ["free", "thinking", "extended"];

/// A parsed model name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slug {
    /// The id to look up, with those suffixes that are not routing variants.
    pub id: String,
    /// The sort that the last routing variant asks for.
    pub sort: Option<Sort>,
}

impl Slug {
    /// Splits a name. Says what is wrong with one that cannot be a model's.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let base = parts.next().unwrap_or_default();
        let printable = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
        if base.is_empty() || text.len() > 200 || !text.bytes().all(printable) {
            return Err("a model is named \"author/name\", optionally with a variant such as \":floor\".".to_owned());
        }
        let mut slug = Self { id: base.to_owned(), sort: None };
        for suffix in parts {
            match suffix {
                "floor" => slug.sort = Some(Sort::Price),
                "nitro" => slug.sort = Some(Sort::Throughput),
                "exacto" => slug.sort = Some(Sort::Exacto),
                "online" => {
                    return Err(format!(
                        ":online (search the web) is reserved, and not available yet; known variants are {VARIANTS}."
                    ));
                }
                "" => return Err(format!("the model's variant is empty; known variants are {VARIANTS}.")),
                other => {
                    slug.id.push(':');
                    slug.id.push_str(other);
                }
            }
        }
        Ok(slug)
    }

    /// The service tier that the variant lets in beside the usual endpoints.
    pub fn tier(&self) -> Option<&'static str> {
        match self.sort {
            Some(Sort::Price) => Some("flex"),
            Some(Sort::Throughput) => Some("priority"),
            _ => None,
        }
    }

    /// The suffix that would have to be a variant if the model is not in the catalog under its id.
    pub fn unknown_variant(&self) -> Option<&str> {
        let (_, suffixes) = self.id.split_once(':')?;
        Some(suffixes.split(':').find(|suffix| !OF_CATALOG.contains(suffix)).unwrap_or(suffixes))
    }

    /// Whether all suffixes of the id are known ones, which this model has not.
    pub fn lacks_known_variant(&self) -> bool {
        self.unknown_variant().is_some_and(|suffix| suffix.split(':').all(|one| OF_CATALOG.contains(&one)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn variants_are_stripped_and_the_last_one_wins() {
        for (text, id, sort, tier) in [
            ("openai/gpt-4o", "openai/gpt-4o", None, None),
            ("openai/gpt-4o:floor", "openai/gpt-4o", Some(Sort::Price), Some("flex")),
            ("openai/gpt-4o:nitro", "openai/gpt-4o", Some(Sort::Throughput), Some("priority")),
            ("openai/gpt-4o:exacto", "openai/gpt-4o", Some(Sort::Exacto), None),
            ("openai/gpt-4o:nitro:floor", "openai/gpt-4o", Some(Sort::Price), Some("flex")),
            ("openai/gpt-4o:floor:exacto", "openai/gpt-4o", Some(Sort::Exacto), None),
            ("x/y:free:nitro", "x/y:free", Some(Sort::Throughput), Some("priority")),
            ("x/y:nitro:free", "x/y:free", Some(Sort::Throughput), Some("priority")),
            ("x/y:floor:thinking:nitro:extended", "x/y:thinking:extended", Some(Sort::Throughput), Some("priority")),
            ("x/y:fast", "x/y:fast", None, None),
        ] {
            let slug = Slug::parse(text).unwrap();
            assert_eq!((slug.id.as_str(), slug.sort, slug.tier()), (id, sort, tier), "{text}");
        }
    }

    #[test]
    fn what_is_no_variant_is_told_from_what_the_model_has_not() {
        for (text, unknown, lacks) in [
            ("x/y", None, false),
            ("x/y:floor", None, false),
            ("x/y:fast", Some("fast"), false),
            ("x/y:free:fast", Some("fast"), false),
            ("x/y:free", Some("free"), true),
            ("x/y:free:nitro:thinking", Some("free:thinking"), true),
        ] {
            let slug = Slug::parse(text).unwrap();
            assert_eq!((slug.unknown_variant(), slug.lacks_known_variant()), (unknown, lacks), "{text}");
        }
    }

    #[test]
    fn names_that_cannot_be_models_are_refused() {
        for text in ["", ":floor", "a/b:", "a b", "a\nb", "a\"b", &"a".repeat(201)] {
            assert!(Slug::parse(text).is_err(), "{text}");
        }
        for text in ["a/b:online", "a/b:floor:online", "a/b:online:free"] {
            assert!(Slug::parse(text).unwrap_err().contains("reserved"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_combination_keeps_what_is_of_the_id_and_the_last_sort(
            suffixes in prop::collection::vec("(floor|nitro|exacto|free|thinking|extended|mine)", 0..6),
        ) {
            let text = std::iter::once("x/y").chain(suffixes.iter().map(String::as_str)).collect::<Vec<_>>().join(":");
            let sort = |suffix: &str| match suffix {
                "floor" => Some(Sort::Price),
                "nitro" => Some(Sort::Throughput),
                "exacto" => Some(Sort::Exacto),
                _ => None,
            };
            let slug = Slug::parse(&text).unwrap();
            let kept = suffixes.iter().filter(|suffix| sort(suffix).is_none()).fold("x/y".to_owned(), |id, suffix| format!("{id}:{suffix}"));
            prop_assert_eq!(slug.id, kept);
            prop_assert_eq!(slug.sort, suffixes.iter().rev().find_map(|suffix| sort(suffix)));
        }
    }
}
