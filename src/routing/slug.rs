//! `author/name[:variant...]`: what a client asks for.
//!
//! Routing variants sort the endpoints of a model and are stripped from its name; of several the last
//! one wins (field: OpenRouter's model variants). Every other suffix is part of the model's id.

use super::preferences::Sort;

/// The routing variants there are, for error messages.
pub const VARIANTS: &str = ":floor (cheapest first), :nitro (highest throughput first)";

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
                "" => return Err(format!("the model's variant is empty; known variants are {VARIANTS}.")),
                other => {
                    slug.id.push(':');
                    slug.id.push_str(other);
                }
            }
        }
        Ok(slug)
    }

    /// The suffix that would have to be a variant if the model is not in the catalog under its id.
    pub fn unknown_variant(&self) -> Option<&str> {
        self.id.split_once(':').map(|(_, suffix)| suffix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_stripped_and_the_last_one_wins() {
        for (text, id, sort) in [
            ("openai/gpt-4o", "openai/gpt-4o", None),
            ("openai/gpt-4o:floor", "openai/gpt-4o", Some(Sort::Price)),
            ("openai/gpt-4o:nitro", "openai/gpt-4o", Some(Sort::Throughput)),
            ("openai/gpt-4o:nitro:floor", "openai/gpt-4o", Some(Sort::Price)),
            ("x/y:free:nitro", "x/y:free", Some(Sort::Throughput)),
            ("x/y:nitro:free", "x/y:free", Some(Sort::Throughput)),
        ] {
            assert_eq!(Slug::parse(text), Ok(Slug { id: id.to_owned(), sort }), "{text}");
        }
        assert_eq!(Slug::parse("x/y:fast").unwrap().unknown_variant(), Some("fast"));
    }

    #[test]
    fn names_that_cannot_be_models_are_refused() {
        for text in ["", ":floor", "a/b:", "a b", "a\nb", "a\"b", &"a".repeat(201)] {
            assert!(Slug::parse(text).is_err(), "{text}");
        }
    }
}
