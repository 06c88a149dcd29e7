//! What the gateway reads of a request, whatever its format: whom it is for, who pays, how large it is.
//! The rest stays bytes.

use super::shape::{models, models_of, tags, text};
use crate::{
    budget::estimate::Weight,
    chat::Wire,
    error::Result,
    framing::json::{Kind, Object, Value},
    routing::preferences::Preferences,
};

/// What clients call: a route of inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// `POST /v1/chat/completions`
    Chat,
    /// `POST /v1/completions`
    Completions,
    /// `POST /v1/responses`
    Responses,
    /// `POST /v1/messages`
    Messages,
    /// `POST /v1/messages/count_tokens`
    CountMessages,
    /// `POST /v1beta/models/{model}:generateContent`, and `:streamGenerateContent`
    Generate,
    /// `POST /v1beta/models/{model}:countTokens`
    CountGenerate,
    /// `POST /v1/embeddings`
    Embeddings,
    /// `POST /v1beta/models/{model}:embedContent`, and `:batchEmbedContents`
    EmbedContent,
    /// `POST /v1/rerank`
    Rerank,
    /// `POST /v1/moderations`
    Moderations,
    /// `POST /v1/images/generations`
    Images,
    /// `POST /v1/audio/speech`
    Speech,
    /// `POST /v1/audio/transcriptions`
    Transcriptions,
    /// `POST /v1/route`: who would serve a chat, without asking anybody.
    Route,
}

impl Api {
    /// A word for records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::CountMessages => "messages/count_tokens",
            Self::Generate => "generate_content",
            Self::CountGenerate => "count_tokens",
            Self::Embeddings => "embeddings",
            Self::EmbedContent => "embed_content",
            Self::Rerank => "rerank",
            Self::Moderations => "moderations",
            Self::Images => "images",
            Self::Speech => "speech",
            Self::Transcriptions => "transcriptions",
            Self::Route => "route",
        }
    }

    /// The format of its conversations, and of its errors. What is no conversation has the errors of chat.
    pub fn wire(self) -> Wire {
        match self {
            Self::Chat
            | Self::Embeddings
            | Self::Rerank
            | Self::Moderations
            | Self::Images
            | Self::Speech
            | Self::Transcriptions
            | Self::Route => Wire::OpenaiChat,
            Self::Completions => Wire::OpenaiCompletions,
            Self::Responses => Wire::OpenaiResponses,
            Self::Messages | Self::CountMessages => Wire::AnthropicMessages,
            Self::Generate | Self::CountGenerate | Self::EmbedContent => Wire::Gemini,
        }
    }
}

/// What the gateway knows of a request. The rest stays bytes.
#[derive(Debug)]
pub struct Call<'a> {
    /// Which route it came by.
    pub api: Api,
    /// Its members.
    pub object: Object<'a>,
    /// The whole of it.
    pub body: &'a [u8],
    /// Names asked for, in order of preference; never empty.
    pub models: Vec<String>,
    /// The answer is to be a stream.
    pub stream: bool,
    /// Who may serve it: the `provider` object, `max_cost`.
    pub preferences: Preferences,
    /// Longest answer asked for, in tokens.
    pub max_tokens: Option<u64>,
    /// Groups requests of one conversation.
    pub session_id: Option<String>,
    /// The operator's end user.
    pub user: Option<String>,
    /// How many answers are wanted.
    pub choices: u64,
    /// Words that the request is charged to.
    pub tags: Vec<String>,
    /// What its prompt is made of, the basis of estimates.
    pub weight: Weight,
}

/// Members that change the meaning of a request in ways this gateway cannot carry out yet: refused
/// unless empty, because silence would be worse.
pub const REFUSED: &[&str] = &["plugins", "transforms", "preset", "stop_server_tools_when", "deferred_tools"];

/// Members that every route has for the gateway, beside `model`: they mean nothing to a provider. They are
/// OpenRouter's (openrouter.ai/docs/api-reference, November 2026), and `tags` and `max_cost`, which are this gateway's.
pub const GATEWAY_OWNED: &[&str] = &[
    "models",
    "route",
    "provider",
    "max_cost",
    "plugins",
    "transforms",
    "preset",
    "session_id",
    "tags",
    "trace",
    "usage",
    "debug",
];

impl<'a> Call<'a> {
    /// What these members say that every route has. The caller fills in what is its format's own.
    pub fn read(api: Api, object: Object<'a>, body: &'a [u8], weight: Weight) -> Result<Self> {
        Self::named(api, object, body, weight, None)
    }

    /// The same, of a route whose path names the model.
    pub fn named(api: Api, object: Object<'a>, body: &'a [u8], weight: Weight, model: Option<&str>) -> Result<Self> {
        Ok(Self {
            api,
            models: match model {
                Some(model) => {
                    let first = Some(model.to_owned()).filter(|model| !model.is_empty());
                    models_of(first, &object.get("models").map(Value::items).unwrap_or_default())?
                }
                None => models(&object)?,
            },
            stream: object.get("stream").and_then(Value::as_bool).unwrap_or(false),
            preferences: Preferences::of(&object)?,
            max_tokens: None,
            session_id: text(&object, "session_id"),
            user: text(&object, "user"),
            choices: object.get("n").and_then(Value::as_u64).unwrap_or(1),
            tags: tags(&object)?,
            weight,
            object,
            body,
        })
    }

    /// A member that is a whole number.
    pub fn count(&self, key: &str) -> Option<u64> {
        self.object.get(key).and_then(Value::as_u64)
    }

    /// Names of the parameters sent, as `supported_parameters` spells them: OpenAI chat's words.
    pub fn parameters(&self) -> Vec<&str> {
        let sent = self.object.members.iter().filter(|member| member.value.kind != Kind::Null);
        sent.filter_map(|member| parameter(&member.key)).collect()
    }
}

/// The name that a parameter has in `supported_parameters`; nothing for what is none.
fn parameter(key: &str) -> Option<&str> {
    const NONE: &[&str] = &[
        "messages",
        "model",
        "stream",
        "stream_options",
        "user",
        "metadata",
        "n",
        "include_reasoning",
        "prompt",
        "input",
        "instructions",
        "store",
        "include",
        "system",
        "contents",
        "systemInstruction",
        "generationConfig",
    ];
    Some(match key {
        "max_output_tokens" => "max_tokens",
        "stop_sequences" => "stop",
        "thinking" => "reasoning",
        "text" => "response_format",
        "toolConfig" => "tool_choice",
        _ if NONE.contains(&key) || GATEWAY_OWNED.contains(&key) => return None,
        _ => key,
    })
}
