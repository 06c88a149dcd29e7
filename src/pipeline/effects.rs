//! What goes into the state machine beside bytes, and what comes out of it for the shell to do.

use crate::{formats::Body, framing::edit::Edit, ids::GenerationId, known::Ask, provider::token::TokenRequest};

/// What a request says of itself beside its body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'h> {
    /// The path with its query, which says what is called.
    pub path: &'h str,
    /// `anthropic-beta`
    pub anthropic_beta: &'h str,
    /// `Content-Type`
    pub content_type: &'h str,
    /// `Authorization`
    pub authorization: &'h str,
    /// `x-api-key`
    pub api_key: &'h str,
    /// `x-goog-api-key`
    pub goog_api_key: &'h str,
    /// `x-session-id`
    pub session_id: &'h str,
    /// `X-OpenRouter-Metadata`
    pub metadata: &'h str,
    /// `X-Sluice-Stream`: `native` or `cost`
    pub stream: &'h str,
    /// `Idempotency-Key`
    pub idempotency_key: &'h str,
    /// `User-Agent`
    pub user_agent: &'h str,
    /// `HTTP-Referer`
    pub referer: &'h str,
    /// `X-OpenRouter-Title` or `X-Title`
    pub title: &'h str,
}

/// What the shell is to do next.
#[derive(Debug)]
pub enum Effect {
    /// Ask these after a pause, tell the answers, then begin again.
    Lookup(Lookups),
    /// Call a provider.
    Fetch(Fetch),
    /// The attempt failed: call [`Gateway::attempt`] with the body.
    Again(u32),
    /// Fetch these, tell what came, then call [`Gateway::attempt`] with the body.
    Gather(u32, Vec<Gathering>),
    /// Answer with the provider's body, these edits made.
    Answer(Vec<Edit>),
    /// Answer with this body.
    Written(Vec<u8>),
    /// Answer with this.
    Reply(Reply),
}

/// Questions that a request has to have answered.
#[derive(Debug)]
pub struct Lookups {
    /// To be given to the next [`Gateway::begin`] of the same request; 0 where there is none.
    pub ticket: u32,
    /// Milliseconds to wait before asking.
    pub pause_ms: i64,
    /// What to ask.
    pub asks: Vec<Ask>,
}

/// What a call of a provider needs from elsewhere.
#[derive(Debug)]
pub enum Gathering {
    /// What is at an address that the client names: told to [`Gateway::learn_medium`].
    Medium(String),
    /// An access token for this provider: told to [`Gateway::learn_token`].
    Token(String, TokenRequest),
}

/// What of a provider's whole answer its client gets as it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsItComes {
    /// Nothing: it is read, and is JSON.
    No,
    /// Its media type.
    Named,
    /// All of it: it is not read, and [`Gateway::answered`] is told of an empty body.
    Unread,
}

/// A call to a provider.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "flags of one call, a letter each where it is packed")]
pub struct Fetch {
    /// The request it is for.
    pub exchange: u32,
    /// Whither.
    pub url: String,
    /// Its address may be a private one.
    pub private: bool,
    /// The answer is a stream.
    pub stream: bool,
    /// The stream's bytes go to the client unedited.
    pub native: bool,
    /// Milliseconds to the end, to the first content, and between two pieces of a stream.
    pub timeouts_ms: [u32; 3],
    /// Request headers, content type included.
    pub headers: Vec<(String, String)>,
    /// The client's body with changes, or another one.
    pub body: Body,
    /// The media type of a stream from there.
    pub stream_type: &'static str,
    /// The client's streams have no comments: an empty line keeps them open.
    pub quiet: bool,
    /// What of the provider's answer the client gets as it comes.
    pub as_it_comes: AsItComes,
    /// The generation.
    pub id: GenerationId,
    /// A silent stream gets a comment so often, in milliseconds: that shows whether the client is there.
    pub keepalive_ms: u32,
    /// Headers of the answer, beside those that every answer has.
    pub answer_headers: Vec<(&'static str, String)>,
}

/// An answer of the gateway's own.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers beside the content type.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
    /// For the log.
    pub log: Option<String>,
}

/// How a stream stands after a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No content yet: another provider may still take over.
    Waiting,
    /// Content flows.
    Flowing,
    /// Nothing more will come: call [`Gateway::stream_end`].
    Ended,
    /// It failed before any content: call [`Gateway::stream_failed`].
    Failed,
    /// Its share of a budget is nearly used up: ask [`Gateway::more`], then go on with an empty chunk.
    Short,
    /// It must end now: break it off, then call [`Gateway::stream_end`].
    Cut,
}
