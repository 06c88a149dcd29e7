//! Turns of a conversation and what they are made of.

use serde_json::{Map, Value};

/// A wire format for conversations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wire {
    /// `POST /v1/chat/completions`
    OpenaiChat,
    /// `POST /v1/completions`
    OpenaiCompletions,
    /// `POST /v1/responses`
    OpenaiResponses,
    /// `POST /v1/messages`
    AnthropicMessages,
    /// `models/{model}:generateContent`
    Gemini,
    /// `model/{id}/converse`
    BedrockConverse,
    /// `POST /v2/chat`
    CohereChat,
    /// `POST /api/chat`
    OllamaChat,
}

/// Members that only one format knows, as they came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extra {
    /// Whose they are; `None` where there are none.
    pub wire: Option<Wire>,
    /// Name and value.
    pub members: Map<String, Value>,
}

impl Extra {
    /// These members of that format.
    pub fn of(wire: Wire, members: Map<String, Value>) -> Self {
        if members.is_empty() { Self::default() } else { Self { wire: Some(wire), members } }
    }

    /// The members, if they are that format's own.
    pub fn own(&self, wire: Wire) -> Option<&Map<String, Value>> {
        (self.wire == Some(wire)).then_some(&self.members)
    }

    /// Names of the members that are lost on the way to that format.
    pub fn lost(&self, wire: Wire) -> impl Iterator<Item = &str> {
        let lost = self.wire != Some(wire);
        self.members.keys().filter(move |_| lost).map(String::as_str)
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Whoever runs the application, with the most weight.
    System,
    /// The same, in formats that tell the two apart.
    Developer,
    /// The person, and the results of tools.
    User,
    /// The model.
    Assistant,
}

/// What one side says in one go. A tool's result is a part of a [`Role::User`] turn, in every format.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part>,
    /// The speaker's name, where there are several in one role.
    pub name: Option<String>,
    /// What only one format knows of a message.
    pub extra: Extra,
}

impl Turn {
    /// A turn that says this.
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self { role, parts, name: None, extra: Extra::default() }
    }
}

/// A mark: the prompt up to and with this part is worth keeping in the provider's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cache {
    /// For as long as the provider likes, five minutes as a rule.
    Default,
    /// For five minutes.
    FiveMinutes,
    /// For an hour.
    Hour,
}

/// A piece of a turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// The prompt is to be cached up to here.
    pub cache: Option<Cache>,
    /// What only one format knows of it.
    pub extra: Extra,
}

impl Part {
    /// A part with nothing beside what it is.
    pub fn new(kind: PartKind) -> Self {
        Self { kind, cache: None, extra: Extra::default() }
    }

    /// Plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(PartKind::Text { text: text.into(), citations: Vec::new() })
    }
}

/// What a part is.
#[derive(Clone, Debug, PartialEq)]
pub enum PartKind {
    /// Words.
    Text {
        /// As they are.
        text: String,
        /// What they rest on.
        citations: Vec<Citation>,
    },
    /// The model declines: words of its own kind.
    Refusal(String),
    /// An image, a sound, a film or a document, given or made.
    Media(Media),
    /// What the model thought.
    Reasoning(Reasoning),
    /// The model calls a tool of the client's.
    ToolCall(ToolCall),
    /// What a tool of the client's answered.
    ToolResult(ToolResult),
    /// What only one format knows, whole (a call of a tool that the provider runs, its result, ...).
    Foreign(Wire, Value),
}

/// Kind of a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A sound.
    Audio,
    /// A film.
    Video,
    /// Anything else: PDF, text, a table.
    Document,
}

/// A medium.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// Its kind.
    pub kind: MediaKind,
    /// Its media type (`image/png`), where it is known. Formats that name a short one (`wav`) are turned
    /// into the media type when read.
    pub mime: Option<String>,
    /// Where it is.
    pub source: MediaSource,
    /// Its file name or title.
    pub name: Option<String>,
    /// How closely an image is to be looked at: `low`, `high`, `auto`.
    pub detail: Option<String>,
    /// What is said in a sound that the model made.
    pub transcript: Option<String>,
}

/// Where a medium is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaSource {
    /// On the web, or in a store that the provider reads (`gs://`, `s3://`). Never a `data:` URL: that
    /// is [`MediaSource::Base64`].
    Url(String),
    /// Here, in base64 with the standard alphabet.
    Base64(String),
    /// Here, as plain text.
    Text(String),
    /// Uploaded to the provider before, under this name.
    Id(String),
}

/// The family of models whose reasoning it is, as OpenRouter names it in `reasoning_details[].format`.
/// Signatures and encrypted thoughts go back to the family that made them and to no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReasoningFormat {
    /// `anthropic-claude-v1`
    Anthropic,
    /// `google-gemini-v1`
    Gemini,
    /// `openai-responses-v1`, and Azure's
    Openai,
    /// `xai-responses-v1`
    Xai,
    /// `unknown`: plain words that anybody may read.
    Unknown,
}

impl ReasoningFormat {
    /// OpenRouter's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic-claude-v1",
            Self::Gemini => "google-gemini-v1",
            Self::Openai => "openai-responses-v1",
            Self::Xai => "xai-responses-v1",
            Self::Unknown => "unknown",
        }
    }

    /// Of that word; every word that is not known is `unknown`.
    pub fn parse(word: &str) -> Self {
        match word {
            "anthropic-claude-v1" => Self::Anthropic,
            "google-gemini-v1" => Self::Gemini,
            "openai-responses-v1" | "azure-openai-responses-v1" | "bedrock-openai-responses-v1" => Self::Openai,
            "xai-responses-v1" | "bedrock-xai-responses-v1" => Self::Xai,
            _ => Self::Unknown,
        }
    }
}

/// What the model thought: one block of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// The thoughts themselves, where they are shown.
    pub text: Option<String>,
    /// A summary of them, in paragraphs.
    pub summary: Vec<String>,
    /// The maker's mark on the text: without it the maker does not take the text back.
    pub signature: Option<String>,
    /// Thoughts that only their maker can read.
    pub encrypted: Option<String>,
    /// The provider's name of this block.
    pub id: Option<String>,
    /// Whose it is; `None` is as good as unknown.
    pub format: Option<ReasoningFormat>,
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// By which the result names it. Formats without one (Gemini, Ollama) get `call_<n>` when read.
    pub id: String,
    /// The tool.
    pub name: String,
    /// JSON text, as the model wrote it; may be broken where a model breaks it.
    pub arguments: String,
    /// Gemini's mark on the call, to be handed back with it.
    pub signature: Option<String>,
    /// It takes free text, not JSON (Responses' custom tools).
    pub custom: bool,
}

/// What a tool answered.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult {
    /// Which call it answers.
    pub call_id: String,
    /// The tool, where the format says so (Gemini names results by it).
    pub name: Option<String>,
    /// What it answered.
    pub parts: Vec<Part>,
    /// The call failed.
    pub is_error: bool,
}

/// What a stretch of text rests on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Citation {
    /// A page on the web.
    pub url: Option<String>,
    /// Its title, or the document's.
    pub title: Option<String>,
    /// The words cited.
    pub cited: Option<String>,
    /// First character of the text that rests on it.
    pub start: Option<u64>,
    /// The character after its last.
    pub end: Option<u64>,
    /// What only one format knows of it, or all of it where it cites by other means (pages, blocks).
    pub extra: Extra,
}
