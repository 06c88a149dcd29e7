//! The request, for providers of this format and for models that draw in conversation.

use crate::{
    chat::Losses,
    dialect::{
        Target,
        shape::{Shape, check, invalid_json, text},
        single::{Asked, GATEWAY_OWNED, Outbound, has, outbound},
    },
    error::{Error, Result},
    framing::json::{Kind, Object, Value, scan_object},
};

#[rustfmt::skip]
const SHAPES: &[(&str, Shape)] = &[
    ("aspect_ratio",       Shape::String),
    ("background",         Shape::String),
    ("image_config",       Shape::Object),
    ("input_references",   Shape::Array),
    ("model",              Shape::String),
    ("models",             Shape::Array),
    ("moderation",         Shape::String),
    ("n",                  Shape::Integer { min: 1, max: 10 }),
    ("output_compression", Shape::Integer { min: 0, max: 100 }),
    ("output_format",      Shape::String),
    ("partial_images",     Shape::Integer { min: 0, max: 3 }),
    ("prompt",             Shape::String),
    ("provider",           Shape::Object),
    ("quality",            Shape::String),
    ("resolution",         Shape::String),
    ("response_format",    Shape::String),
    ("seed",               Shape::Free),
    ("session_id",         Shape::String),
    ("size",               Shape::String),
    ("stream",             Shape::Bool),
    ("style",              Shape::String),
    ("tags",               Shape::Array),
    ("trace",              Shape::Object),
    ("user",               Shape::String),
];

/// A request, checked.
#[derive(Debug)]
pub struct Call<'a> {
    object: Object<'a>,
    /// What the gateway knows of it.
    pub asked: Asked,
    /// What has to be known when the answer comes.
    pub wanted: Wanted,
}

/// What has to be known of a request when its answer comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Pictures are to come as addresses: of pictures that are made here, `data:` URLs.
    pub urls: bool,
}

/// What other formats are told of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// What is to be seen.
    pub prompt: String,
    /// Pictures to go by: addresses or `data:` URLs.
    pub references: Vec<String>,
    /// Width to height: `16:9`.
    pub aspect_ratio: Option<String>,
    /// `1K`, `2K`, `4K`
    pub resolution: Option<String>,
    /// The end user.
    pub user: Option<String>,
    /// What is lost on the way.
    pub losses: Losses,
}

/// Reads and checks a request.
pub fn parse(body: &[u8]) -> Result<Call<'_>> {
    let object = scan_object(body).map_err(|malformed| invalid_json(&malformed, body.len()))?;
    check(&object, SHAPES, &["plugins", "preset"])?;
    let prompt = object.get("prompt").filter(|prompt| !matches!(prompt.text, "null" | "\"\""));
    let prompt = prompt.ok_or_else(|| Error::invalid("prompt", "prompt is missing: say what is to be seen."))?;
    if object.get("stream").and_then(Value::as_bool) == Some(true) {
        return Err(Losses::refuse("stream", "Pictures are not streamed by this gateway; leave `stream` out."));
    }
    let mut asked = Asked::of(&object, None, &["prompt", "n", "stream"])?;
    asked.weight.text = prompt.text.len();
    if let Some(references) = object.get("input_references") {
        asked.weight.media = u32::try_from(references.items().len()).unwrap_or(u32::MAX);
        asked.weight.media_bytes = references.text.len();
    }
    asked.choices = object.get("n").and_then(Value::as_u64).unwrap_or(1);
    asked.units.images = asked.choices;
    let urls = text(&object, "response_format").is_some_and(|format| format == "url");
    Ok(Call { object, asked, wanted: Wanted { urls } })
}

/// The request for a provider of this format.
pub fn encode(call: &Call<'_>, target: &Target<'_>) -> Outbound {
    let path = if has(target, "openrouter") { "/images" } else { "/images/generations" };
    Outbound::edits(path, outbound(&call.object, target).finish())
}

impl Call<'_> {
    /// The request in other words, for models that draw in conversation: one picture at a time.
    pub fn decode(&self) -> Result<Picture> {
        if self.asked.choices > 1 {
            return Err(Losses::refuse("n", "This model draws one picture in a request."));
        }
        let word = |key: &str| text(&self.object, key);
        let mut picture = Picture { user: word("user"), ..Picture::default() };
        for member in &self.object.members {
            let (key, value) = (&*member.key, &member.value);
            match key {
                _ if value.kind == Kind::Null || GATEWAY_OWNED.contains(&key) => {}
                "prompt" => picture.prompt = word(key).unwrap_or_default(),
                "aspect_ratio" => picture.aspect_ratio = word(key).filter(|ratio| ratio != "auto"),
                "resolution" => picture.resolution = word(key),
                "size" => self.size(&mut picture),
                "input_references" => picture.references = references(value)?,
                "image_config" => image_config(value, &mut picture),
                "background" if word(key).is_some_and(|background| background == "transparent") => {
                    return Err(Losses::refuse(key, "This model has no transparent background."));
                }
                "model" | "n" | "user" | "stream" | "response_format" | "partial_images" => {}
                _ if word(key).is_some_and(|word| word == "auto") => {}
                _ => picture.losses.add(key),
            }
        }
        Ok(picture)
    }

    /// `1536x1024` as `3:2`, where OpenRouter's members do not say it better.
    fn size(&self, picture: &mut Picture) {
        let size = text(&self.object, "size").unwrap_or_default();
        if size == "auto" || text(&self.object, "aspect_ratio").is_some() {
            return;
        }
        match ratio(&size) {
            Some(ratio) => picture.aspect_ratio = Some(ratio),
            None if matches!(&*size, "1K" | "2K" | "4K") => picture.resolution = Some(size),
            None => picture.losses.add("size"),
        }
    }
}

/// The ratio of a size, in the words that the formats have for it: those nearest to it.
fn ratio(size: &str) -> Option<String> {
    const RATIOS: [(u64, u64); 10] =
        [(1, 1), (2, 3), (3, 2), (3, 4), (4, 3), (4, 5), (5, 4), (9, 16), (16, 9), (21, 9)];
    let (width, height) = size.split_once('x')?;
    let (width, height) = (width.parse::<u64>().ok()?, height.parse::<u64>().ok()?);
    if !(1..=100_000).contains(&width) || !(1..=100_000).contains(&height) {
        return None;
    }
    // width / height against w / h, in thousandths.
    let off = |&&(w, h): &&(u64, u64)| (width * 1000 * h).abs_diff(height * 1000 * w) / (height * h);
    let (w, h) = RATIOS.iter().min_by_key(off)?;
    Some(format!("{w}:{h}"))
}

fn references(value: &Value<'_>) -> Result<Vec<String>> {
    let mut references = Vec::new();
    for (index, item) in value.items().iter().enumerate() {
        let url = |object: Object<'_>| {
            let holder = object.get("image_url").or_else(|| object.get("url"))?.to_owned();
            holder.as_str().map(String::from).or_else(|| text(&holder.object()?, "url"))
        };
        let found = item.as_str().map(String::from).or_else(|| url(item.object()?));
        let at = || format!("input_references[{index}]");
        references.push(found.ok_or_else(|| Error::invalid(at(), format!("{} must have an `image_url`.", at())))?);
    }
    Ok(references)
}

fn image_config(value: &Value<'_>, picture: &mut Picture) {
    for member in value.members() {
        let word = member.value.as_str().map(String::from);
        match &*member.key {
            "aspect_ratio" => picture.aspect_ratio = word,
            "image_size" => picture.resolution = word,
            other => picture.losses.add(format!("image_config.{other}")),
        }
    }
}
