//! The catalog that ships with the gateway (`npm run catalog` builds it; docs/catalog.md).
//!
//! `catalog/models.jsonl` holds one model a line, sorted by id. A model is found by bisecting the
//! text; only its own line is ever parsed, so a cold isolate pays the same for ten models as for ten
//! thousand.

use memchr::memrchr;

use super::{Model, Provider};

static MODELS: &str = include_str!("../../catalog/models.jsonl");
static PROVIDERS: &str = include_str!("../../catalog/providers.json");

/// The model of that id.
pub fn model(id: &str) -> Option<Model> {
    find(MODELS, id).and_then(|line| serde_json::from_str(line).ok())
}

/// Every model, in order of id. Parses the whole catalog: not for the request path.
pub fn models() -> impl Iterator<Item = Model> {
    MODELS.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// Ids whose part after the author is that name: what a client that left the author out may have meant.
pub fn ids_named(name: &str) -> Vec<&'static str> {
    MODELS
        .lines()
        .filter_map(id_of)
        .filter(|id| id.split_once('/').is_some_and(|(_, slug)| slug == name))
        .take(3)
        .collect()
}

/// Every provider row.
pub fn providers() -> Vec<Provider> {
    serde_json::from_str(PROVIDERS).unwrap_or_default()
}

fn id_of(line: &str) -> Option<&str> {
    line.strip_prefix(r#"{"id":""#)?.split('"').next()
}

fn find<'t>(text: &'t str, id: &str) -> Option<&'t str> {
    let (mut low, mut high) = (0, text.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let start = memrchr(b'\n', text.as_bytes().get(..middle)?).map_or(0, |at| at + 1).max(low);
        let line = text.get(start..)?.lines().next()?;
        match id_of(line)?.cmp(id) {
            std::cmp::Ordering::Equal => return Some(line),
            std::cmp::Ordering::Less => low = start + line.len() + 1,
            std::cmp::Ordering::Greater => high = start,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_valid_model_and_is_found_by_bisection() {
        let lines: Vec<&str> = MODELS.lines().collect();
        assert!(lines.len() > 100, "{} models", lines.len());
        let providers = providers();
        assert!(providers.len() > 10);
        for provider in &providers {
            provider.check().unwrap_or_else(|error| panic!("{}: {error}", provider.slug));
        }
        for line in lines {
            let model: Model = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            model.check().unwrap_or_else(|error| panic!("{}: {error}", model.id));
            assert_eq!(super::model(&model.id).unwrap().id, model.id);
            for endpoint in &model.endpoints {
                assert!(providers.iter().any(|p| p.slug == endpoint.provider), "{}: {}", model.id, endpoint.provider);
                assert!(endpoint.pricing.is_some(), "{}", model.id);
            }
        }
        for absent in ["", "a", "zzzz/zzzz", "openai/gpt-0", "é"] {
            assert!(model(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn bisection_works_on_texts_of_every_size() {
        for count in 0..20 {
            let id = |n: usize| format!("a/{n:03}");
            let text: String =
                (0..count).map(|n| format!("{{\"id\":\"{}\",\"name\":\"{}\"}}\n", id(n), "é".repeat(n))).collect();
            for n in 0..=count {
                assert_eq!(find(&text, &id(n)).is_some(), n < count, "{n} of {count}");
            }
        }
    }
}
