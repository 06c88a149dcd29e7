//! Vectors, for whoever asks, from whoever has them.

use serde_json::{Number, Value};

use super::not_there;
use crate::{
    catalog::Dialect,
    chat::{EmbedContent, EmbedRequest, Embeddings, Losses, PartKind, ProviderError, Purpose, Wire},
    dialect::{
        Encoded, Target, bedrock_titan, cohere_chat,
        gemini::embeddings as google_format,
        ollama_chat, openai_embeddings as openai,
        passing::{Finish, ResponseFacts},
        single::{
            Answered, Asked, GATEWAY_OWNED, Given, Outbound, Place, Read, Sent, has, malformed, no_answer, priced,
            prompt_usage,
        },
    },
    error::{Error, Result},
    framing::json::scan_object,
    provider::{bedrock::Operation, google::Verb},
};

pub use crate::dialect::gemini::embeddings::Form;

/// A request, checked.
#[derive(Debug)]
pub enum Call<'a> {
    /// As OpenAI has it: bytes.
    Openai(openai::Call<'a>),
    /// As Google has it: read.
    Google(Google),
}

/// A request in one of Google's forms.
#[derive(Debug)]
pub struct Google {
    request: EmbedRequest,
    form: Form,
    asked: Asked,
}

/// What has to be known of a request when its answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// So many vectors, in base64 or not.
    vectors: openai::Wanted,
    /// The form of Google's in which the client reads them; `None` is OpenAI's.
    form: Option<Form>,
}

/// Reads and checks a request as OpenAI has it.
pub fn parse(body: &[u8]) -> Result<Call<'_>> {
    openai::parse(body).map(Call::Openai)
}

/// Reads and checks a request in one of Google's forms, for the model that its address names.
pub fn parse_gemini(model: &str, body: &[u8]) -> Result<Call<'static>> {
    let (mut asked, tree) = google_asked(model, body, &["content", "requests", "instances", "parameters"])?;
    let (request, form) = google_format::decode_embed_request(tree)?;
    if request.inputs.is_empty() {
        return Err(Error::invalid("requests", "requests must hold at least one content."));
    }
    for input in &request.inputs {
        let EmbedContent::Parts(parts) = &input.content else { continue };
        for part in parts {
            match &part.kind {
                PartKind::Text { text, .. } => asked.weight.text += text.len(),
                _ => asked.weight.media = asked.weight.media.saturating_add(1),
            }
        }
    }
    let told = [("dimensions", request.dimensions.is_some()), ("input_type", has_task(&request))];
    asked.parameters = told.iter().filter(|(_, told)| *told).map(|(name, _)| (*name).to_owned()).collect();
    Ok(Call::Google(Google { request, form, asked }))
}

fn has_task(request: &EmbedRequest) -> bool {
    request.inputs.iter().any(|input| input.task.is_some())
}

/// What the gateway knows of a body in one of Google's formats, and the body without what is the gateway's.
pub(super) fn google_asked(model: &str, body: &[u8], input: &[&str]) -> Result<(Asked, Value)> {
    let object = scan_object(body).map_err(|malformed| {
        Error::invalid(
            "body",
            format!("The request body is not valid JSON: {} (at byte {}).", malformed.what, malformed.at),
        )
        .code("invalid_json")
    })?;
    let asked = Asked::of(&object, Some(model), input)?;
    let mut tree: Value = serde_json::from_slice(body)
        .map_err(|_| Error::invalid("body", "The request body is not valid JSON.").code("invalid_json"))?;
    if let Value::Object(members) = &mut tree {
        members.retain(|key, _| !GATEWAY_OWNED.contains(&key.as_str()) && key != "user");
    }
    Ok((asked, tree))
}

impl Call<'_> {
    /// What the gateway knows of it.
    pub fn asked(&self) -> &Asked {
        match self {
            Self::Openai(call) => &call.asked,
            Self::Google(call) => &call.asked,
        }
    }

    /// What has to be known of it when its answer comes.
    pub fn wanted(&self) -> Wanted {
        match self {
            Self::Openai(call) => Wanted { vectors: call.wanted, form: None },
            Self::Google(call) => Wanted {
                vectors: openai::Wanted { vectors: call.request.inputs.len(), ..openai::Wanted::default() },
                form: Some(call.form),
            },
        }
    }
}

/// The request for a provider that speaks so.
pub fn encode(call: &Call<'_>, dialect: Dialect, target: &Target<'_>) -> Result<Outbound> {
    let decoded;
    let request = match call {
        Call::Openai(call) if super::like_openai(dialect) => {
            return Ok(Outbound::edits("/embeddings", openai::outbound_edits(call, target)));
        }
        Call::Openai(call) => {
            decoded = call.decode()?;
            &decoded
        }
        Call::Google(call) => &call.request,
    };
    let google = |form, verb| {
        let encoded = google_format::encode_embed_request(request, target.model, form)?;
        Ok(outbound(Place::Google(verb), encoded))
    };
    match dialect {
        Dialect::Openai | Dialect::OpenaiResponses | Dialect::AzureOpenai => {
            Ok(outbound(Place::Below("/embeddings"), openai::encode_request(request, target)?))
        }
        Dialect::Gemini => google(Form::Batch, Verb::BatchEmbed),
        Dialect::Vertex if has(target, "embed_content") => google(Form::One, Verb::Embed),
        Dialect::Vertex => google(Form::Predict, Verb::Predict),
        Dialect::Cohere => cohere(request, target, Place::Below("/v2/embed")),
        Dialect::Ollama => ollama(request, target),
        Dialect::Bedrock => bedrock(request, target),
        Dialect::Anthropic => Err(not_there("embeddings")),
    }
}

fn outbound(place: Place, encoded: Encoded) -> Outbound {
    let Encoded { body, losses } = encoded;
    Outbound { place, body: Sent::Json(body), losses }
}

/// The texts, for formats that have nothing else; and what is lost in any of these formats.
fn texts(request: &EmbedRequest) -> Result<Vec<String>> {
    let text = |(index, input): (usize, &crate::chat::EmbedInput)| {
        input.text().ok_or_else(|| Losses::refuse(format!("input[{index}]"), "This provider embeds text alone."))
    };
    request.inputs.iter().enumerate().map(text).collect()
}

/// What Cohere and Ollama do not have.
fn losses(request: &EmbedRequest, tasks: bool) -> Losses {
    let mut losses = Losses::default();
    let task = request.inputs.iter().find_map(|input| input.task.as_deref());
    if task.is_some_and(|task| !tasks || Purpose::parse(task).is_none()) {
        losses.add("input_type");
    }
    if request.inputs.iter().any(|input| input.title.is_some()) {
        losses.add("title");
    }
    for lost in request.extra.lost(Wire::CohereChat) {
        losses.add(lost);
    }
    losses
}

/// Cohere wants to be told what vectors are for; those of whoever does not say are to be found.
fn cohere(request: &EmbedRequest, target: &Target<'_>, place: Place) -> Result<Outbound> {
    let task = request.inputs.iter().find_map(|input| input.task.as_deref()).and_then(Purpose::parse);
    let purpose = task.unwrap_or(Purpose::Document).cohere();
    let mixed = request.inputs.iter().any(|input| {
        matches!(&input.content, EmbedContent::Parts(parts)
            if parts.iter().any(|part| !matches!(part.kind, PartKind::Text { .. })))
    });
    let mut body = if mixed {
        cohere_chat::encode_mixed(&request.inputs, target.model, purpose, request.dimensions)?
    } else {
        cohere_chat::encode_embed(&texts(request)?, target.model, purpose, request.dimensions)
    };
    if let (Place::Bedrock(_), Value::Object(body)) = (place, &mut body) {
        body.shift_remove("model");
    }
    Ok(Outbound { place, body: Sent::Json(body), losses: losses(request, true) })
}

fn ollama(request: &EmbedRequest, target: &Target<'_>) -> Result<Outbound> {
    let body = ollama_chat::encode_embed(&texts(request)?, target.model, request.dimensions);
    Ok(Outbound { losses: losses(request, false), ..Outbound::json(Place::Below("/api/embed"), body) })
}

/// Makers of embedding models on Bedrock, by a part of the model's id (it may begin with a region).
fn is_cohere(model: &str) -> bool {
    model.contains("cohere.embed")
}

fn bedrock(request: &EmbedRequest, target: &Target<'_>) -> Result<Outbound> {
    let place = Place::Bedrock(Operation::Invoke);
    if is_cohere(target.model) {
        return cohere(request, target, place);
    }
    if !target.model.contains("titan-embed") {
        return Err(Losses::refuse(
            "model",
            "Of Bedrock's models Titan's and Cohere's embed, as far as is known here.",
        ));
    }
    let body = bedrock_titan::encode_embed(request, target.model)?;
    Ok(Outbound { losses: losses(request, false), ..Outbound::json(place, body) })
}

/// Reads a body that came with status 200.
pub fn read_answer(wanted: Wanted, dialect: Dialect, target: &Target<'_>, body: &[u8], finish: &Finish) -> Read {
    if super::like_openai(dialect) && wanted.form.is_none() {
        return openai::read_answer(body, wanted.vectors, target, finish);
    }
    let tree: Value = serde_json::from_slice(body).map_err(|_| malformed())?;
    let (id, embeddings) = decode(dialect, target, tree).map_err(no_answer)?;
    if embeddings.vectors.len() < wanted.vectors.vectors {
        return Err(malformed());
    }
    let used = prompt_usage(embeddings.tokens.filter(|tokens| *tokens <= 100_000_000), finish);
    let cost = finish.cost(&used.tokens);
    let priced = priced(cost.as_ref(), used.estimated);
    let body = match wanted.form {
        Some(form) => google_format::encode_embeddings(told(embeddings, used.tokens.prompt), form, priced),
        None => openai::encode_embeddings(embeddings, &used, wanted.vectors, finish, &priced),
    };
    let facts = ResponseFacts { upstream_id: id, usage: used, ..ResponseFacts::default() };
    Ok(Answered { facts, cost, body: Given::Json(body) })
}

fn told(embeddings: Embeddings, tokens: u64) -> Embeddings {
    Embeddings { tokens: Some(tokens), ..embeddings }
}

fn decode(
    dialect: Dialect,
    target: &Target<'_>,
    body: Value,
) -> std::result::Result<(Option<String>, Embeddings), ProviderError> {
    let cohere = |body: &Value| {
        let cohere_chat::Embeddings { id, vectors, tokens } = cohere_chat::decode_embeddings(body)?;
        Ok((id, Embeddings { vectors: numbers(vectors), tokens }))
    };
    match dialect {
        Dialect::Openai | Dialect::OpenaiResponses | Dialect::AzureOpenai => openai::decode_embeddings(body, target),
        Dialect::Gemini | Dialect::Vertex => Ok((None, google_format::decode_embeddings(body)?)),
        Dialect::Cohere => cohere(&body),
        Dialect::Bedrock if is_cohere(target.model) => {
            // Bedrock says what was read in a header, if at all.
            cohere(&body)
                .map(|(id, embeddings)| (id, Embeddings { tokens: embeddings.tokens.filter(|n| *n > 0), ..embeddings }))
        }
        Dialect::Bedrock => Ok((None, bedrock_titan::decode_embeddings(&body)?)),
        Dialect::Ollama => {
            let ollama_chat::Embeddings { model: _, vectors, tokens } = ollama_chat::decode_embeddings(&body)?;
            Ok((None, Embeddings { vectors: numbers(vectors), tokens }))
        }
        Dialect::Anthropic => Err(ProviderError::default()),
    }
}

/// JSON has no other floating-point numbers than those that are numbers here.
fn numbers(vectors: Vec<Vec<f64>>) -> Vec<Vec<Number>> {
    vectors.into_iter().map(|vector| vector.into_iter().filter_map(Number::from_f64).collect()).collect()
}
