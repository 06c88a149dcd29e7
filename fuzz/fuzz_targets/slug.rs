//! Names of models and paths of routes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::{formats::route, routing::slug::Slug};

fuzz_target!(|text: &str| {
    if let Ok(slug) = Slug::parse(text) {
        assert!(
            !slug.id.is_empty()
                && slug.id.len() <= text.len()
                && text.starts_with(slug.id.split(':').next().unwrap_or_default())
        );
        let again = Slug::parse(&slug.id).expect("an id is a name");
        assert_eq!((again.id.as_str(), again.sort), (slug.id.as_str(), None));
        slug.unknown_variant();
    }
    let found = route(text);
    assert!(found.model.is_none_or(|model| text.contains(model)));
    assert!(found.stream || !found.array);
});
