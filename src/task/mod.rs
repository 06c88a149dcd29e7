//! What models do beside conversation: one question, one answer, between every format of a client and
//! every format of a provider that has it. Pure functions; the formats themselves are in
//! [`dialect`](crate::dialect), and here is who is spoken to how.
//!
//! | task | client | provider |
//! |---|---|---|
//! | embedding | `/v1/embeddings`, Gemini's `:embedContent`, `:batchEmbedContents` | OpenAI and compatible, Azure, AI Studio, Vertex AI, Cohere, Ollama, Bedrock (Titan, Cohere) |
//! | ranking | `/v1/rerank` | OpenRouter, Jina, Voyage, Together, vLLM; Cohere |
//! | moderation | `/v1/moderations` | OpenAI, Mistral |
//! | image | `/v1/images/generations` | OpenAI and compatible; models that draw in conversation (Gemini, and by quirk `images_in_chat`) |
//! | speech | `/v1/audio/speech` | OpenAI and compatible |
//! | transcription | `/v1/audio/transcriptions` | OpenAI and compatible |
//!
//! Counting tokens is in [`count`]: it is free, and asks about a conversation.
//!
//! The way of a request: [`parse`], [`Call::encode`] for each attempt, [`Call::wanted`] kept until the
//! answer comes, [`Wanted::read_answer`]. Errors of a provider are read by [`read_error`].

pub mod count;
pub mod embedding;
mod image;
mod ranking;

#[cfg(test)]
mod tests;

use crate::{
    catalog::Dialect,
    chat::{Losses, ProviderError},
    dialect::{
        Target, anthropic_messages, bedrock_converse, cohere_chat, gemini, ollama_chat, openai_chat, openai_images,
        openai_moderations, openai_speech, openai_transcriptions,
        passing::Finish,
        rerank,
        single::{Answered, Asked, Outbound, Read, no_answer},
    },
    error::{Error, Result},
};

pub use crate::dialect::single::Units;
pub use embedding::Form;

/// What a client asks for, by the address it calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `/v1/embeddings`
    Embeddings,
    /// Gemini's `:embedContent` and `:batchEmbedContents`, and Vertex' `:predict`; the model stands in the
    /// address.
    GeminiEmbeddings,
    /// `/v1/rerank`
    Rerank,
    /// `/v1/moderations`
    Moderations,
    /// `/v1/images/generations`
    Images,
    /// `/v1/audio/speech`
    Speech,
    /// `/v1/audio/transcriptions`
    Transcriptions,
}

/// What of a request's head is needed to read it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'h> {
    /// The model in the address ([`Kind::GeminiEmbeddings`]).
    pub model: &'h str,
    /// `content-type` ([`Kind::Transcriptions`]).
    pub content_type: &'h str,
}

/// A request, checked.
#[derive(Debug)]
pub enum Call<'a> {
    /// For vectors.
    Embedding(embedding::Call<'a>),
    /// For a ranking.
    Ranking(rerank::Call<'a>),
    /// For a judgement.
    Moderation(openai_moderations::Call<'a>),
    /// For pictures.
    Image(openai_images::Call<'a>),
    /// For a voice.
    Speech(openai_speech::Call<'a>),
    /// For what was said.
    Transcription(openai_transcriptions::Call<'a>),
}

/// What has to be known of a request when its answer comes. Small, and owns what it holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// Vectors.
    Embedding(embedding::Wanted),
    /// A ranking.
    Ranking(rerank::Wanted),
    /// A judgement.
    Moderation,
    /// Pictures.
    Image(openai_images::Wanted),
    /// So many characters, spoken.
    Speech(u64),
    /// What was said.
    Transcription(openai_transcriptions::Wanted),
}

/// Reads and checks a request.
pub fn parse<'a>(kind: Kind, head: Head<'_>, body: &'a [u8]) -> Result<Call<'a>> {
    Ok(match kind {
        Kind::Embeddings => Call::Embedding(embedding::parse(body)?),
        Kind::GeminiEmbeddings => Call::Embedding(embedding::parse_gemini(head.model, body)?),
        Kind::Rerank => Call::Ranking(rerank::parse(body)?),
        Kind::Moderations => Call::Moderation(openai_moderations::parse(body)?),
        Kind::Images => Call::Image(openai_images::parse(body)?),
        Kind::Speech => Call::Speech(openai_speech::parse(body)?),
        Kind::Transcriptions => Call::Transcription(openai_transcriptions::parse(head.content_type, body)?),
    })
}

impl Call<'_> {
    /// What the gateway knows of it.
    pub fn asked(&self) -> &Asked {
        match self {
            Self::Embedding(call) => call.asked(),
            Self::Ranking(call) => &call.asked,
            Self::Moderation(call) => &call.asked,
            Self::Image(call) => &call.asked,
            Self::Speech(call) => &call.asked,
            Self::Transcription(call) => &call.asked,
        }
    }

    /// What has to be known of it when its answer comes.
    pub fn wanted(&self) -> Wanted {
        match self {
            Self::Embedding(call) => Wanted::Embedding(call.wanted()),
            Self::Ranking(call) => Wanted::Ranking(call.wanted.clone()),
            Self::Moderation(_) => Wanted::Moderation,
            Self::Image(call) => Wanted::Image(call.wanted),
            Self::Speech(call) => Wanted::Speech(call.asked.units.characters),
            Self::Transcription(call) => Wanted::Transcription(call.wanted),
        }
    }

    /// The request for a provider that speaks so. What it cannot be told is a 400 that names the field.
    pub fn encode(&self, dialect: Dialect, target: &Target<'_>) -> Result<Outbound> {
        match self {
            Self::Embedding(call) => embedding::encode(call, dialect, target),
            Self::Ranking(call) => ranking::encode(call, dialect, target),
            Self::Image(call) => image::encode(call, dialect, target),
            Self::Moderation(call) if like_openai(dialect) => Ok(openai_moderations::encode(call, target)),
            Self::Speech(call) if like_openai(dialect) => Ok(openai_speech::encode(call, target)),
            Self::Transcription(call) if like_openai(dialect) => openai_transcriptions::encode(call, target),
            Self::Moderation(_) => Err(not_there("moderations")),
            Self::Speech(_) => Err(not_there("speech")),
            Self::Transcription(_) => Err(not_there("transcriptions")),
        }
    }
}

impl Wanted {
    /// Reads the body of an answer that came with status 200. Of speech there is none: it is sound, which is
    /// passed on before it is complete; a body that is not is no answer.
    pub fn read_answer(&self, dialect: Dialect, target: &Target<'_>, body: &[u8], finish: &Finish) -> Read {
        match self {
            Self::Embedding(wanted) => embedding::read_answer(*wanted, dialect, target, body, finish),
            Self::Ranking(wanted) => ranking::read_answer(wanted, dialect, body, finish),
            Self::Image(wanted) => image::read_answer(*wanted, dialect, target, body, finish),
            Self::Moderation => openai_moderations::read_answer(body, finish),
            Self::Transcription(wanted) => openai_transcriptions::read_answer(body, *wanted, finish),
            Self::Speech(characters) if body.is_empty() => Ok(openai_speech::made(*characters, finish)),
            Self::Speech(_) => Err(no_answer(read_error(dialect, 200, body))),
        }
    }

    /// What is known of an answer whose body is not looked at ([`Wanted::Speech`]).
    pub fn unread(&self, finish: &Finish) -> Option<Answered> {
        match self {
            Self::Speech(characters) => Some(openai_speech::made(*characters, finish)),
            _ => None,
        }
    }
}

/// Whether a provider's other formats stand beside OpenAI's chat.
fn like_openai(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::Openai | Dialect::OpenaiResponses | Dialect::AzureOpenai)
}

fn not_there(what: &str) -> Error {
    Losses::refuse("model", format!("The provider of this model has no {what}."))
}

/// What a provider says when it fails.
pub fn read_error(dialect: Dialect, status: u16, body: &[u8]) -> ProviderError {
    match dialect {
        Dialect::Openai | Dialect::OpenaiResponses | Dialect::AzureOpenai => {
            openai_chat::translate::read_error(status, body)
        }
        Dialect::Anthropic => anthropic_messages::read_error(status, body),
        Dialect::Gemini | Dialect::Vertex => gemini::read_error(status, body),
        Dialect::Bedrock => bedrock_converse::read_error(status, body),
        Dialect::Cohere => cohere_chat::read_error(status, body),
        Dialect::Ollama => ollama_chat::read_error(status, body),
    }
}
