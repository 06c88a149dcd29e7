//! How many tokens a conversation has: Anthropic's `/v1/messages/count_tokens` and Gemini's `:countTokens`,
//! of any provider's model.
//!
//! Providers that count are asked (Anthropic, AI Studio, Vertex AI); of the others the count is estimated
//! from bytes. Counting costs nothing.

use serde_json::{Map, Value};

use super::embedding::google_asked;
use crate::{
    budget::estimate::Weight,
    catalog::Dialect,
    chat::{PartKind, ProviderError, Request, Tool},
    dialect::{
        Encoded, Target, anthropic_messages,
        gemini::tokens::{self as google_format, Count},
        shape::invalid_json,
        single::{Asked, GATEWAY_OWNED, Outbound, Place, Sent, malformed, no_answer},
    },
    error::{Error, Result},
    framing::json::scan_object,
    provider::google::Verb,
    routing::fallback::Cause,
};

/// Whose format the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// `/v1/messages/count_tokens`
    Anthropic,
    /// `:countTokens`
    Gemini,
}

/// A conversation whose tokens are to be counted.
#[derive(Debug)]
pub struct Call {
    /// Whose format it came in.
    pub client: Client,
    /// The conversation.
    pub request: Request,
    /// What the gateway knows of it.
    pub asked: Asked,
}

/// Reads and checks a request; `model` is the one in the address ([`Client::Gemini`]).
pub fn parse(client: Client, model: &str, body: &[u8]) -> Result<Call> {
    let (mut asked, request) = match client {
        Client::Gemini => {
            let (asked, tree) = google_asked(model, body, &[])?;
            (asked, google_format::decode_count_request(tree)?)
        }
        Client::Anthropic => {
            let object = scan_object(body).map_err(|malformed| invalid_json(&malformed, body.len()))?;
            let asked = Asked::of(&object, None, &[])?;
            let tree: Map<String, Value> = serde_json::from_slice(body)
                .map_err(|_| Error::invalid("body", "The request body is not valid JSON.").code("invalid_json"))?;
            let own = tree.into_iter().filter(|(key, _)| !GATEWAY_OWNED.contains(&key.as_str())).collect();
            (asked, anthropic_messages::decode_request(Value::Object(own))?)
        }
    };
    asked.weight = weigh(&request);
    // Nothing is answered: no parameter matters.
    asked.parameters = Vec::new();
    Ok(Call { client, request, asked })
}

/// What a conversation is made of: its words, without the members around them.
pub fn weigh(request: &Request) -> Weight {
    let mut weight = Weight::default();
    let mut pending: Vec<&crate::chat::Part> = request.turns.iter().flat_map(|turn| &turn.parts).collect();
    while let Some(part) = pending.pop() {
        match &part.kind {
            PartKind::Text { text, .. } | PartKind::Refusal(text) => weight.text += text.len(),
            PartKind::Media(_) => weight.media = weight.media.saturating_add(1),
            PartKind::Reasoning(thought) => weight.text += thought.text.as_ref().map_or(0, String::len),
            PartKind::ToolCall(call) => weight.text += call.name.len() + call.arguments.len(),
            PartKind::ToolResult(result) => pending.extend(&result.parts),
            PartKind::Foreign(_, value) => weight.text += value.to_string().len(),
        }
    }
    for tool in &request.tools {
        weight.text += match tool {
            Tool::Function { name, description, parameters, .. } => {
                name.len()
                    + description.as_ref().map_or(0, String::len)
                    + parameters.as_ref().map_or(0, |schema| schema.to_string().len())
            }
            Tool::Foreign(_, value) => value.to_string().len(),
        };
    }
    // Roles and marks between turns.
    weight.text += 16 * request.turns.len();
    weight
}

/// The question to a provider that counts; `None` where it does not, and [`Client::estimate`] answers.
pub fn encode(request: &Request, dialect: Dialect, target: &Target<'_>) -> Result<Option<Outbound>> {
    let outbound =
        |place, encoded: Encoded| Some(Outbound { place, body: Sent::Json(encoded.body), losses: encoded.losses });
    Ok(match dialect {
        Dialect::Anthropic => {
            let encoded = anthropic_messages::encode_count_request(request, target)?;
            outbound(Place::Below("/messages/count_tokens"), encoded)
        }
        // Claude at Google's is counted by a model of its own.
        Dialect::Vertex if target.model.starts_with("claude-") => None,
        Dialect::Gemini | Dialect::Vertex => {
            let mut quirks = target.quirks.to_vec();
            if dialect == Dialect::Vertex {
                quirks.push("count_plain".to_owned());
            }
            let target = Target { quirks: &quirks, ..*target };
            outbound(Place::Google(Verb::Count), google_format::encode_count_request(request, &target)?)
        }
        _ => None,
    })
}

impl Client {
    /// Reads a provider's count that came with status 200, and says it to the client.
    pub fn read_answer(
        self,
        dialect: Dialect,
        body: &[u8],
    ) -> std::result::Result<(u64, Value), (Cause, ProviderError)> {
        let tree: Value = serde_json::from_slice(body).map_err(|_| malformed())?;
        let count = match dialect {
            Dialect::Anthropic => anthropic_messages::decode_count(&tree).map(|total| Count { total, cached: 0 }),
            _ => google_format::decode_count(&tree),
        };
        let count = count.map_err(no_answer)?;
        Ok((count.total, self.answer(&count)))
    }

    /// What the client is told where nobody counts.
    pub fn estimate(self, weight: Weight) -> Value {
        self.answer(&Count { total: weight.tokens(), cached: 0 })
    }

    fn answer(self, count: &Count) -> Value {
        match self {
            Self::Anthropic => anthropic_messages::encode_count(count.total),
            Self::Gemini => google_format::encode_count(count),
        }
    }
}
