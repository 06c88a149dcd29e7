//! Completions on both sides: bytes are passed on. Around its choices this format is OpenAI's chat, whose
//! reading of answers and relay of streams know both; this is the one place where a dialect uses another.

use crate::{
    catalog::{Endpoint, Provider},
    dialect::{
        openai_chat::{Relay, rename, with_usage},
        passing::{Finish, cut_owned, number, only_once},
    },
    error::Result,
    framing::{
        edit::{Edit, ObjectEdits},
        json::{Object, quote},
    },
};

pub use crate::dialect::openai_chat::read_answer;

/// The edits that turn the client's request into one for this endpoint. `longest`: answers of at most so
/// many tokens are to be asked for.
pub fn outbound_edits(
    object: &Object<'_>,
    stream: bool,
    endpoint: &Endpoint,
    provider: &Provider,
    longest: Option<u64>,
) -> Result<Vec<Edit>> {
    let quirk = |name: &str| provider.quirks.iter().any(|known| known == name);
    only_once(object, "", str::to_owned)?;
    let mut edits = ObjectEdits::new(object);
    cut_owned(&mut edits, provider, &[]);
    edits.set("model", quote(&endpoint.upstream_model));
    if let Some(tier) = &endpoint.service_tier {
        edits.set("service_tier", quote(tier));
    }
    // Chat's newer name is not one of this format's: the longer of the two is what an answer may cost.
    let newer = object.get("max_completion_tokens").and_then(number);
    let asked = object.get("max_tokens").and_then(number).max(newer);
    edits.cut(|key| key == "max_completion_tokens");
    let fewer = longest.filter(|longest| asked.is_none_or(|asked| asked > *longest));
    if let Some(tokens) = fewer.or(newer.and(asked)) {
        edits.set("max_tokens", tokens.to_string());
    }
    if quirk("random_seed") {
        rename(object, &mut edits, "seed", "random_seed");
    }
    if stream && !quirk("no_stream_options") {
        edits.set("stream_options", with_usage(object.get("stream_options")));
    } else {
        edits.cut(|key| key == "stream_options");
    }
    Ok(edits.finish())
}

/// A stream of this format on its way through.
pub fn relay(finish: Finish, native: bool) -> Relay {
    Relay::of_completions(finish, native)
}
