//! The answer.

use serde_json::{Map, Value as Tree, json};

use super::Wanted;
use crate::{
    chat::ProviderError,
    dialect::{
        passing::{Finish, ResponseFacts, Usage},
        shape::text,
        single::{
            Answered, Given, Read, count, edit_usage, in_order, malformed, name, named, priced, prompt_usage,
            provider_cost, scan_answer, tree, usage,
        },
    },
    framing::{
        edit::ObjectEdits,
        json::{Kind, Object, Value},
    },
    routing::fallback::Cause,
};

/// How well documents answer a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranking {
    /// The provider's name of the answer.
    pub id: Option<String>,
    /// The best first.
    pub results: Vec<Ranked>,
    /// Tokens that were read.
    pub tokens: Option<u64>,
    /// Searches that are charged: one for up to 100 documents.
    pub searches: Option<u64>,
}

/// One document's place.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Which document.
    pub index: u64,
    /// How well it answers, from 0 to 1.
    pub score: f64,
}

/// Reads a body that came with status 200.
pub fn read_answer(body: &[u8], wanted: &Wanted, finish: &Finish) -> Read {
    let object = scan_answer(body)?;
    let given = object.get("usage").map(tree).unwrap_or_default();
    let tokens = count(&given, "prompt_tokens").or_else(|| count(&given, "total_tokens"));
    let mut searches = count(&given, "search_units");
    if searches.is_none() {
        let billed = object.get("meta").map(tree).unwrap_or_default();
        searches = billed.get("billed_units").and_then(|units| count(units, "search_units"));
    }
    let id = text(&object, "id");
    if let Some(results) = object.get("results") {
        let results = results.items();
        read_results(&results, wanted)?;
        let ranking = Ranking { id, results: Vec::new(), tokens, searches };
        return Ok(edited(&object, &results, &ranking, provider_cost(&given), wanted, finish));
    }
    let results = read_results(&object.get("data").map(Value::items).unwrap_or_default(), wanted)?;
    let ranking = Ranking { id, results, tokens, searches };
    Ok(encode_ranking(&ranking, provider_cost(&given), wanted, finish))
}

fn read_results(results: &[Value<'_>], wanted: &Wanted) -> Result<Vec<Ranked>, (Cause, ProviderError)> {
    let read = |result: &Value<'_>| {
        let result = result.object()?;
        let index = result.get("index")?.as_u64()?;
        let known = usize::try_from(index).ok()? < wanted.count;
        known.then_some(Ranked { index, score: result.get("relevance_score")?.as_f64()? })
    };
    let results: Option<Vec<Ranked>> = results.iter().map(read).collect();
    results.filter(|results| !results.is_empty()).ok_or_else(malformed)
}

/// What was used. Whoever counts searches does not count tokens: those are estimated then, but where
/// the searches are what is charged, nothing of the bill is.
fn used(ranking: &Ranking, provider_cost: Option<f64>, finish: &Finish) -> Usage {
    let mut used = prompt_usage(ranking.tokens, finish);
    used.tokens.search_units = ranking.searches.unwrap_or(0);
    Usage { estimated: used.estimated && ranking.searches.is_none(), provider_cost, ..used }
}

fn counts(used: &Usage, ranking: &Ranking) -> Vec<(&'static str, Tree)> {
    let mut counts = Vec::new();
    counts.extend(ranking.searches.map(|searches| ("search_units", searches.into())));
    if ranking.tokens.is_some() || ranking.searches.is_none() {
        counts.push(("total_tokens", used.tokens.prompt.into()));
    }
    counts
}

fn edited(
    object: &Object<'_>,
    results: &[Value<'_>],
    ranking: &Ranking,
    provider_cost: Option<f64>,
    wanted: &Wanted,
    finish: &Finish,
) -> Answered {
    let used = used(ranking, provider_cost, finish);
    let cost = finish.cost(&used.tokens);
    let mut edits = Vec::new();
    for result in results.iter().filter_map(Value::object) {
        let document = result.get("document").filter(|document| document.kind != Kind::Null);
        let index = result.get("index").and_then(Value::as_u64);
        let mut changed = ObjectEdits::new(&result);
        match (document, &wanted.documents) {
            (_, None) => changed.cut(|key| key == "document"),
            (Some(document), _) if document.kind == Kind::String => {
                changed.set("document", format!("{{\"text\":{}}}", document.text));
            }
            (Some(_), _) => {}
            (None, Some(_)) => {
                if let Some(document) = index.and_then(|index| document_at(wanted, index)) {
                    changed.set("document", document.to_string());
                }
            }
        }
        edits.extend(changed.finish());
    }
    let mut changed = ObjectEdits::new(object);
    name(&mut changed, finish);
    let priced = priced(cost.as_ref(), used.estimated);
    edits.extend(edit_usage(object, &mut changed, &counts(&used, ranking), &priced));
    edits.extend(changed.finish());
    let facts = ResponseFacts { upstream_id: ranking.id.clone(), usage: used, ..ResponseFacts::default() };
    Answered { facts, cost, body: Given::Edits(in_order(edits)) }
}

fn document_at(wanted: &Wanted, index: u64) -> Option<&Tree> {
    wanted.documents.as_ref()?.get(usize::try_from(index).ok()?)
}

/// An answer made of a ranking that came in another form.
pub fn encode_ranking(ranking: &Ranking, provider_cost: Option<f64>, wanted: &Wanted, finish: &Finish) -> Answered {
    let used = used(ranking, provider_cost, finish);
    let cost = finish.cost(&used.tokens);
    let one = |Ranked { index, score }: &Ranked| {
        let mut result = Map::new();
        result.insert("index".to_owned(), (*index).into());
        result.insert("relevance_score".to_owned(), json!(score));
        if let Some(document) = document_at(wanted, *index) {
            result.insert("document".to_owned(), document.clone());
        }
        Tree::Object(result)
    };
    let mut answer = named(finish);
    answer.insert("results".to_owned(), ranking.results.iter().map(one).collect());
    let priced = priced(cost.as_ref(), used.estimated);
    answer.insert("usage".to_owned(), usage(&counts(&used, ranking), &priced));
    let facts = ResponseFacts { upstream_id: ranking.id.clone(), usage: used, ..ResponseFacts::default() };
    Answered { facts, cost, body: Given::Json(Tree::Object(answer)) }
}
