//! The request in everybody's words, both ways: where client and provider speak different formats.

use serde_json::{Map, Value as Tree, json};

use super::request::Call;
use crate::{
    chat::{
        EmbedContent, EmbedInput, EmbedRequest, Extra, Losses, Media, MediaKind, MediaSource, Part, PartKind, Purpose,
        Wire,
    },
    dialect::{
        Encoded, Target,
        shape::text,
        single::{GATEWAY_OWNED, has, tree},
    },
    error::{Error, Result},
    framing::json::{Kind, Value},
};

/// This format's members stand with those of `OpenAI`'s other formats.
const WIRE: Wire = Wire::OpenaiChat;

impl Call<'_> {
    /// The request in everybody's words, for providers of other formats.
    pub fn decode(&self) -> Result<EmbedRequest> {
        let mut request = EmbedRequest::default();
        let mut extra = Map::new();
        let mut task = None;
        for member in &self.object.members {
            let (key, value) = (&*member.key, &member.value);
            match key {
                _ if value.kind == Kind::Null || GATEWAY_OWNED.contains(&key) => {}
                "model" => request.model = text(&self.object, "model").unwrap_or_default(),
                "input" => request.inputs = inputs(value)?,
                "dimensions" => request.dimensions = value.as_u64(),
                "input_type" => task = text(&self.object, "input_type"),
                "encoding_format" => format(value)?,
                _ => {
                    extra.insert(key.to_owned(), tree(value));
                }
            }
        }
        for input in &mut request.inputs {
            input.task.clone_from(&task);
        }
        request.extra = Extra::of(WIRE, extra);
        Ok(request)
    }
}

fn format(value: &Value<'_>) -> Result<()> {
    match value.as_str().as_deref() {
        Some("float" | "base64") => Ok(()),
        _ => Err(Losses::refuse("encoding_format", "encoding_format must be \"float\" or \"base64\" for this model.")),
    }
}

fn inputs(input: &Value<'_>) -> Result<Vec<EmbedInput>> {
    let written = |text: &Value<'_>| EmbedInput::of(vec![Part::text(text.as_str().unwrap_or_default())]);
    if input.kind == Kind::String {
        return Ok(vec![written(input)]);
    }
    let items = input.items();
    let tokens = |items: &[Value<'_>]| items.iter().filter_map(Value::as_u64).collect();
    let numbered = |tokens| EmbedInput { content: EmbedContent::Tokens(tokens), task: None, title: None };
    if items.first().is_some_and(|first| first.kind == Kind::Number) {
        return Ok(vec![numbered(tokens(&items))]);
    }
    let mut inputs = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        inputs.push(match item.kind {
            Kind::Array => numbered(tokens(&item.items())),
            Kind::Object => EmbedInput::of(parts(item, &format!("input[{index}].content"))?),
            _ => written(item),
        });
    }
    Ok(inputs)
}

fn parts(item: &Value<'_>, at: &str) -> Result<Vec<Part>> {
    let Some(content) = item.object().and_then(|object| object.get("content").copied()) else { return Ok(Vec::new()) };
    if let Some(text) = content.as_str() {
        return Ok(vec![Part::text(text)]);
    }
    let mut parts = Vec::new();
    for (index, part) in content.items().iter().enumerate() {
        let at = format!("{at}[{index}]");
        let object = part.object().ok_or_else(|| Error::invalid(at.clone(), format!("{at} must be an object.")))?;
        let url = |name: &str| {
            let holder = object.get(name)?;
            holder.as_str().map(String::from).or_else(|| text(&holder.object()?, "url"))
        };
        parts.push(match text(&object, "type").as_deref() {
            Some("text") | None => Part::text(text(&object, "text").unwrap_or_default()),
            Some(kind @ ("image_url" | "video_url")) => {
                let url = url(kind)
                    .ok_or_else(|| Error::invalid(format!("{at}.{kind}"), format!("{at}.{kind} must have a `url`.")))?;
                let kind = if kind == "image_url" { MediaKind::Image } else { MediaKind::Video };
                Part::new(PartKind::Media(medium(kind, url)))
            }
            Some(_) => return Err(Losses::refuse(at, "This kind of content cannot be embedded.")),
        });
    }
    Ok(parts)
}

/// A medium at an address, or in a `data:` URL.
fn medium(kind: MediaKind, url: String) -> Media {
    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    let (mime, source) = match inline {
        Some((mime, data)) => (Some(mime.to_owned()), MediaSource::Base64(data.to_owned())),
        None => (None, MediaSource::Url(url)),
    };
    Media { kind, mime, source, name: None, detail: None, transcript: None }
}

/// The request as a provider of this format takes it.
pub fn encode_request(request: &EmbedRequest, target: &Target<'_>) -> Result<Encoded> {
    let EmbedRequest { model: _, inputs, dimensions, extra } = request;
    let mut losses = Losses::default();
    let mut body = Map::new();
    body.insert("model".to_owned(), target.model.into());
    let written = inputs.iter().enumerate().map(|(index, input)| write(input, index));
    body.insert("input".to_owned(), Tree::Array(written.collect::<Result<_>>()?));
    if let Some(dimensions) = dimensions {
        let name = if has(target, "output_dimension") { "output_dimension" } else { "dimensions" };
        body.insert(name.to_owned(), (*dimensions).into());
    }
    let task = inputs.iter().find_map(|input| input.task.as_deref());
    match task.and_then(Purpose::parse) {
        Some(purpose) if has(target, "openrouter") => {
            body.insert("input_type".to_owned(), purpose.cohere().into());
        }
        // Voyage's and NVIDIA's words.
        Some(purpose @ (Purpose::Query | Purpose::Document)) if has(target, "input_type") => {
            let word = if purpose == Purpose::Query { "query" } else { "document" };
            body.insert("input_type".to_owned(), word.into());
        }
        _ if task.is_some() => losses.add("input_type"),
        _ => {}
    }
    if inputs.iter().any(|input| input.title.is_some()) {
        losses.add("title");
    }
    for lost in extra.lost(WIRE) {
        losses.add(lost);
    }
    body.extend(extra.own(WIRE).cloned().unwrap_or_default());
    Ok(Encoded { body: Tree::Object(body), losses })
}

fn write(input: &EmbedInput, index: usize) -> Result<Tree> {
    let refuse = || Losses::refuse(format!("input[{index}]"), "This kind of content cannot be embedded here.");
    if let Some(text) = input.text() {
        return Ok(text.into());
    }
    let parts = match &input.content {
        EmbedContent::Tokens(tokens) => return Ok(json!(tokens)),
        EmbedContent::Parts(parts) => parts,
    };
    let mut content = Vec::with_capacity(parts.len());
    for part in parts {
        content.push(match &part.kind {
            PartKind::Text { text, .. } => json!({ "type": "text", "text": text }),
            PartKind::Media(Media { kind: MediaKind::Image, mime, source, .. }) => {
                let url = match source {
                    MediaSource::Url(url) => url.clone(),
                    MediaSource::Base64(data) => {
                        format!("data:{};base64,{data}", mime.as_deref().unwrap_or("image/png"))
                    }
                    MediaSource::Text(_) | MediaSource::Id(_) => return Err(refuse()),
                };
                json!({ "type": "image_url", "image_url": { "url": url } })
            }
            _ => return Err(refuse()),
        });
    }
    Ok(json!({ "content": content }))
}
