//! Rankings: in the form that nearly everybody shares, and from Cohere.

use super::{like_openai, not_there};
use crate::{
    catalog::Dialect,
    dialect::{
        Target, cohere_chat,
        passing::Finish,
        rerank::{self, Call, Wanted},
        single::{Outbound, Place, Read, malformed, no_answer},
    },
    error::Result,
};

/// The request for a provider that speaks so.
pub fn encode(call: &Call<'_>, dialect: Dialect, target: &Target<'_>) -> Result<Outbound> {
    match dialect {
        dialect if like_openai(dialect) => Ok(Outbound::edits("/rerank", rerank::outbound_edits(call, target))),
        Dialect::Cohere => {
            let (query, documents, top_n, losses) = call.texts()?;
            let mut body = cohere_chat::encode_rerank(&query, &documents, target.model, top_n);
            if let (Some(longest), Some(body)) = (call.max_tokens_per_doc(), body.as_object_mut()) {
                body.insert("max_tokens_per_doc".to_owned(), longest.into());
            }
            Ok(Outbound { losses, ..Outbound::json(Place::Below("/v2/rerank"), body) })
        }
        _ => Err(not_there("rankings")),
    }
}

/// Reads a body that came with status 200.
pub fn read_answer(wanted: &Wanted, dialect: Dialect, body: &[u8], finish: &Finish) -> Read {
    if dialect != Dialect::Cohere {
        return rerank::read_answer(body, wanted, finish);
    }
    let tree: serde_json::Value = serde_json::from_slice(body).map_err(|_| malformed())?;
    let cohere_chat::Ranking { id, results, searches } = cohere_chat::decode_ranking(&tree).map_err(no_answer)?;
    let known = |index: u64| usize::try_from(index).is_ok_and(|index| index < wanted.count);
    if results.is_empty() || !results.iter().all(|(index, _)| known(*index)) {
        return Err(malformed());
    }
    let results = results.into_iter().map(|(index, score)| rerank::Ranked { index, score }).collect();
    let ranking = rerank::Ranking { id, results, tokens: None, searches: searches.filter(|n| *n > 0) };
    Ok(rerank::encode_ranking(&ranking, None, wanted, finish))
}
