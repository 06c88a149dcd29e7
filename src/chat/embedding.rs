//! What is to be embedded, and what it became: in the words of every format that has embeddings.

use serde_json::Number;

use super::part::{Extra, Part, PartKind};

/// A request for vectors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbedRequest {
    /// The model, where the body names it; in Gemini's format the URL does as a rule.
    pub model: String,
    /// One vector for each.
    pub inputs: Vec<EmbedInput>,
    /// Length of the vectors.
    pub dimensions: Option<u64>,
    /// What only one format knows.
    pub extra: Extra,
}

/// One of the things to be embedded.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedInput {
    /// What it is.
    pub content: EmbedContent,
    /// What its vector is for, in the words of whoever asks ([`Purpose`] reads them).
    pub task: Option<String>,
    /// Title of a document.
    pub title: Option<String>,
}

/// What a vector is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum EmbedContent {
    /// Texts and media.
    Parts(Vec<Part>),
    /// A text as the numbers of its tokens, by the model's own tokenizer.
    Tokens(Vec<u64>),
}

impl EmbedInput {
    /// Of texts and media.
    pub fn of(parts: Vec<Part>) -> Self {
        Self { content: EmbedContent::Parts(parts), task: None, title: None }
    }

    /// The text it is, where it is nothing else.
    pub fn text(&self) -> Option<String> {
        let EmbedContent::Parts(parts) = &self.content else { return None };
        let mut all = String::new();
        for part in parts {
            let PartKind::Text { text, .. } = &part.kind else { return None };
            all.push_str(text);
        }
        Some(all)
    }
}

/// The vectors, in the order of the inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    /// Numbers as they came: no rounding on the way.
    pub vectors: Vec<Vec<Number>>,
    /// Tokens of the inputs, where the provider says.
    pub tokens: Option<u64>,
}

/// What a vector is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To find documents with.
    Query,
    /// To be found.
    Document,
    /// To tell kinds apart.
    Classification,
    /// To find groups.
    Clustering,
}

impl Purpose {
    /// Every company's word for it (Cohere's and OpenRouter's, Google's, Voyage's, Jina's and NVIDIA's).
    pub fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "search_query" | "retrieval_query" | "query" | "retrieval.query" => Some(Self::Query),
            "search_document" | "retrieval_document" | "document" | "passage" | "retrieval.passage" => {
                Some(Self::Document)
            }
            "classification" => Some(Self::Classification),
            "clustering" | "separation" => Some(Self::Clustering),
            _ => None,
        }
    }

    /// Cohere's word, which is OpenRouter's too.
    pub fn cohere(self) -> &'static str {
        match self {
            Self::Query => "search_query",
            Self::Document => "search_document",
            Self::Classification => "classification",
            Self::Clustering => "clustering",
        }
    }

    /// Google's word.
    pub fn google(self) -> &'static str {
        match self {
            Self::Query => "RETRIEVAL_QUERY",
            Self::Document => "RETRIEVAL_DOCUMENT",
            Self::Classification => "CLASSIFICATION",
            Self::Clustering => "CLUSTERING",
        }
    }
}
