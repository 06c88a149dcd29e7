//! Turns of the canonical conversation, as `messages`.
//!
//! Results of tools become `tool` messages of their own, before whatever else their turn says: they must
//! follow the call. Pictures inside a result follow in a `user` message, because OpenAI's own API takes
//! text alone there (unless the provider's quirks say otherwise).

use serde_json::{Map, Value, json};

use super::{
    WIRE,
    media::{sound_format, to_url},
    reasoning::Details,
    write::{add_own, has, marks, write_cache},
};
use crate::{
    chat::{Losses, Media, MediaKind, MediaSource, Part, PartKind, Reasoning, Role, ToolCall, ToolResult, Turn},
    dialect::Target,
    error::Result,
};

/// Writes turns for one provider.
pub struct Turns<'t> {
    target: &'t Target<'t>,
    losses: &'t mut Losses,
    messages: Vec<Value>,
}

impl<'t> Turns<'t> {
    /// For that provider; what is lost goes there.
    pub fn new(target: &'t Target<'t>, losses: &'t mut Losses) -> Self {
        Self { target, losses, messages: Vec::new() }
    }

    fn quirk(&self, name: &str) -> bool {
        has(self.target, name)
    }

    /// The `messages` member.
    pub fn write(mut self, turns: &[Turn]) -> Result<Value> {
        for (n, turn) in turns.iter().enumerate() {
            let path = format!("messages[{n}]");
            match turn.role {
                Role::System => self.plain("system", turn, &path)?,
                Role::Developer if self.quirk("no_developer_role") => self.plain("system", turn, &path)?,
                Role::Developer => self.plain("developer", turn, &path)?,
                Role::User => self.user(turn, &path)?,
                Role::Assistant => self.assistant(turn, &path)?,
            }
        }
        Ok(Value::Array(self.messages))
    }

    fn push(&mut self, role: &str, turn: &Turn, mut message: Map<String, Value>, path: &str) {
        message.insert("role".to_owned(), role.into());
        message.extend(turn.name.clone().map(|name| ("name".to_owned(), name.into())));
        add_own(&mut message, &turn.extra, path, self.losses);
        self.messages.push(Value::Object(message));
    }

    fn plain(&mut self, role: &str, turn: &Turn, path: &str) -> Result<()> {
        let parts: Vec<_> = turn.parts.iter().enumerate().collect();
        let message = [("content".to_owned(), self.content(&parts, path)?)].into_iter().collect();
        self.push(role, turn, message, path);
        Ok(())
    }

    fn user(&mut self, turn: &Turn, path: &str) -> Result<()> {
        let (results, rest): (Vec<_>, Vec<_>) =
            turn.parts.iter().enumerate().partition(|(_, part)| matches!(part.kind, PartKind::ToolResult(_)));
        let mut pictures = Vec::new();
        for (n, part) in &results {
            let PartKind::ToolResult(result) = &part.kind else { continue };
            let path = format!("{path}.content[{n}]");
            let message = self.result(result, part, &path, &mut pictures)?;
            // What a format knows of a `tool` message belongs to it alone.
            let extra = if rest.is_empty() { turn.extra.clone() } else { crate::chat::Extra::default() };
            self.push(
                "tool",
                &Turn { extra, name: result.name.clone(), ..Turn::new(Role::User, Vec::new()) },
                message,
                &path,
            );
        }
        if !pictures.is_empty() {
            self.messages.push(json!({ "role": "user", "content": pictures }));
        }
        if !rest.is_empty() || results.is_empty() {
            let message = [("content".to_owned(), self.content(&rest, path)?)].into_iter().collect();
            self.push("user", turn, message, path);
        }
        Ok(())
    }

    fn result(
        &mut self,
        result: &ToolResult,
        part: &Part,
        path: &str,
        pictures: &mut Vec<Value>,
    ) -> Result<Map<String, Value>> {
        let ToolResult { call_id, name: _, parts, is_error } = result;
        if *is_error {
            self.losses.add(format!("{path}.is_error"));
        }
        if part.cache.is_some() && !marks(self.target) {
            self.losses.add(format!("{path}.cache_control"));
        }
        let stays = self.quirk("media_in_tool_results");
        let (inside, outside): (Vec<_>, Vec<_>) =
            parts.iter().enumerate().partition(|(_, part)| stays || !matches!(part.kind, PartKind::Media(_)));
        let mut message = Map::new();
        message.insert("tool_call_id".to_owned(), call_id.as_str().into());
        let content = if inside.is_empty() && !outside.is_empty() {
            "The content of this result follows in the next message.".into()
        } else {
            self.content(&inside, path)?
        };
        message.insert("content".to_owned(), content);
        if let Some(cache) = part.cache.filter(|_| marks(self.target)) {
            message.insert("cache_control".to_owned(), write_cache(cache));
        }
        if !outside.is_empty() {
            pictures.push(json!({ "type": "text", "text": format!("Content of the result of {call_id}:") }));
        }
        for (n, part) in outside {
            pictures.extend(self.part(part, &format!("{path}.content[{n}]"))?);
        }
        Ok(message)
    }

    fn assistant(&mut self, turn: &Turn, path: &str) -> Result<()> {
        let mut message = Map::new();
        let (mut content, mut refusal, mut calls, mut images) = (Vec::new(), None::<String>, Vec::new(), Vec::new());
        let (mut details, mut thoughts) = (Details::default(), String::new());
        for (n, part) in turn.parts.iter().enumerate() {
            let path = format!("{path}.content[{n}]");
            match &part.kind {
                PartKind::Text { .. } => content.push((n, part)),
                PartKind::Foreign(wire, value) if *wire == WIRE && Details::is_one(value) => details.foreign(value),
                PartKind::Foreign(wire, _) if *wire == WIRE => content.push((n, part)),
                // What another provider ran itself has been answered in words since.
                PartKind::Foreign(..) => self.losses.add(path),
                PartKind::Refusal(text) => refusal.get_or_insert_default().push_str(text),
                PartKind::Reasoning(_) if self.quirk("thinking_parts") => content.push((n, part)),
                PartKind::Reasoning(reasoning) => self.reasoning(reasoning, &path, &mut details, &mut thoughts),
                PartKind::ToolCall(call) => calls.push(self.call(call, part, &path, &mut details)),
                PartKind::Media(media) => match (&media.source, media.kind) {
                    (MediaSource::Id(id), MediaKind::Audio) => {
                        message.insert("audio".to_owned(), json!({ "id": id }));
                    }
                    (_, MediaKind::Image) if self.quirk("openrouter") => images.extend(self.part(part, &path)?),
                    (_, MediaKind::Audio) if media.transcript.is_some() => {
                        self.losses.add(path);
                        content.push((n, part));
                    }
                    _ => return Err(Losses::refuse(path, "This provider takes no media in what the model has said.")),
                },
                PartKind::ToolResult(_) => {
                    return Err(Losses::refuse(path, "A tool's result cannot stand in what the model has said."));
                }
            }
        }
        let nothing = content.is_empty() && (refusal.is_some() || !calls.is_empty() || message.contains_key("audio"));
        let content = if nothing { Value::Null } else { self.content(&content, path)? };
        message.insert("content".to_owned(), content);
        self.thoughts(&thoughts, details, &mut message);
        message.extend(refusal.map(|text| ("refusal".to_owned(), text.into())));
        message.extend((!images.is_empty()).then(|| ("images".to_owned(), images.into())));
        message.extend((!calls.is_empty()).then(|| ("tool_calls".to_owned(), calls.into())));
        self.push("assistant", turn, message, path);
        Ok(())
    }

    fn reasoning(&mut self, reasoning: &Reasoning, path: &str, details: &mut Details, thoughts: &mut String) {
        if self.quirk("openrouter") {
            details.add(reasoning);
            return;
        }
        let known = self.quirk("reasoning_content") || self.quirk("reasoning_text");
        match &reasoning.text {
            Some(text) => thoughts.push_str(text),
            None => thoughts.push_str(&reasoning.summary.join("\n\n")),
        }
        for (there, name) in [
            (!known && (reasoning.text.is_some() || !reasoning.summary.is_empty()), "text"),
            (reasoning.signature.is_some(), "signature"),
            (reasoning.encrypted.is_some(), "data"),
        ] {
            if there {
                self.losses.add(format!("{path}.{name}"));
            }
        }
    }

    fn thoughts(&self, thoughts: &str, details: Details, message: &mut Map<String, Value>) {
        let details = details.list();
        if !details.is_empty() {
            message.insert("reasoning_details".to_owned(), details.into());
        }
        if !thoughts.is_empty() {
            for (quirk, name) in [("reasoning_content", "reasoning_content"), ("reasoning_text", "reasoning")] {
                if self.quirk(quirk) {
                    message.insert(name.to_owned(), thoughts.into());
                }
            }
        }
    }

    fn call(&mut self, call: &ToolCall, part: &Part, path: &str, details: &mut Details) -> Value {
        let ToolCall { id, name, arguments, signature, custom } = call;
        let mut written = Map::new();
        written.insert("id".to_owned(), id.as_str().into());
        let (word, inside, input) =
            if *custom { ("custom", "custom", "input") } else { ("function", "function", "arguments") };
        written.insert("type".to_owned(), word.into());
        written.insert(inside.to_owned(), json!({ "name": name, input: arguments }));
        match signature {
            Some(signature) if self.quirk("openrouter") => details.call(id, signature),
            Some(signature) if self.quirk("extra_content") => {
                written.insert("extra_content".to_owned(), json!({ "google": { "thought_signature": signature } }));
            }
            Some(_) => self.losses.add(format!("{path}.signature")),
            None => {}
        }
        match part.cache {
            Some(cache) if marks(self.target) => {
                written.insert("cache_control".to_owned(), write_cache(cache));
            }
            Some(_) => self.losses.add(format!("{path}.cache_control")),
            None => {}
        }
        add_own(&mut written, &part.extra, path, self.losses);
        Value::Object(written)
    }

    /// A string where there is one text and nothing to be said of it, a list otherwise.
    fn content(&mut self, parts: &[(usize, &Part)], path: &str) -> Result<Value> {
        let text = |part: &Part| match &part.kind {
            PartKind::Text { text, .. } => Some(text.clone()),
            _ => None,
        };
        let mut written = Vec::new();
        for (n, part) in parts {
            written.extend(self.part(part, &format!("{path}.content[{n}]"))?);
        }
        let plain = |part: &Value| part.as_object().is_some_and(|part| part.len() == 2 && part.contains_key("text"));
        match written.as_slice() {
            [] => Ok("".into()),
            [only] if plain(only) => Ok(only.get("text").cloned().unwrap_or_default()),
            _ if self.quirk("string_content") && parts.iter().all(|(_, part)| text(part).is_some()) => {
                let texts: Vec<_> = parts.iter().filter_map(|(_, part)| text(part)).collect();
                Ok(texts.join("\n\n").into())
            }
            _ => Ok(written.into()),
        }
    }

    fn part(&mut self, part: &Part, path: &str) -> Result<Option<Value>> {
        let mut written = match &part.kind {
            PartKind::Text { text, citations } => {
                if !citations.is_empty() {
                    self.losses.add(format!("{path}.citations"));
                }
                json!({ "type": "text", "text": text })
            }
            PartKind::Refusal(text) => json!({ "type": "refusal", "refusal": text }),
            PartKind::Media(media) => self.media(media, path)?,
            PartKind::Reasoning(reasoning) => {
                let Some(text) = &reasoning.text else {
                    self.losses.add(path);
                    return Ok(None);
                };
                json!({ "type": "thinking", "thinking": [{ "type": "text", "text": text }] })
            }
            PartKind::Foreign(wire, value) if *wire == WIRE => value.clone(),
            PartKind::Foreign(..) | PartKind::ToolCall(_) | PartKind::ToolResult(_) => {
                return Err(Losses::refuse(path, "This provider has no content of that kind there."));
            }
        };
        if let Some(object) = written.as_object_mut() {
            match part.cache {
                Some(cache) if marks(self.target) => {
                    object.insert("cache_control".to_owned(), write_cache(cache));
                }
                Some(_) => self.losses.add(format!("{path}.cache_control")),
                None => {}
            }
            add_own(object, &part.extra, path, self.losses);
        }
        Ok(Some(written))
    }

    fn media(&mut self, media: &Media, path: &str) -> Result<Value> {
        let refused = |why: &str| Err(Losses::refuse(path, why));
        let url = to_url(media);
        // Sounds with words are the model's own: what was said in it stands for the sound.
        if let (MediaKind::Audio, Some(transcript)) = (media.kind, &media.transcript) {
            return Ok(json!({ "type": "text", "text": transcript }));
        }
        match (media.kind, &media.source, url) {
            (_, MediaSource::Text(text), _) => Ok(json!({ "type": "text", "text": titled(media, text) })),
            (MediaKind::Image, _, Some(url)) => {
                let mut image = Map::new();
                image.insert("url".to_owned(), url.into());
                image.extend(media.detail.clone().map(|detail| ("detail".to_owned(), detail.into())));
                Ok(json!({ "type": "image_url", "image_url": image }))
            }
            (MediaKind::Audio, MediaSource::Base64(data), _) => Ok(
                json!({ "type": "input_audio", "input_audio": { "data": data, "format": sound_format(media, data) } }),
            ),
            (MediaKind::Audio, _, Some(url)) if self.quirk("audio_url") => {
                Ok(json!({ "type": "audio_url", "audio_url": { "url": url } }))
            }
            (MediaKind::Audio, ..) => refused("This provider takes sounds as base64 alone."),
            (MediaKind::Video, _, Some(url)) if self.quirk("video_url") || self.quirk("openrouter") => {
                Ok(json!({ "type": "video_url", "video_url": { "url": url } }))
            }
            (MediaKind::Video, ..) => refused("This provider takes no video."),
            (MediaKind::Document, _, Some(url)) if self.quirk("document_url") => {
                let mut document = Map::new();
                document.insert("type".to_owned(), "document_url".into());
                document.insert("document_url".to_owned(), url.into());
                document.extend(media.name.clone().map(|name| ("document_name".to_owned(), name.into())));
                Ok(Value::Object(document))
            }
            (MediaKind::Document, source, Some(url)) if self.quirk("file_url") => {
                let url = if let MediaSource::Base64(data) = source { data.clone() } else { url };
                Ok(json!({ "type": "file_url", "file_url": { "url": url } }))
            }
            (MediaKind::Document, MediaSource::Url(_), _) if !self.quirk("openrouter") => {
                refused("This provider takes documents as base64 or by the id of an uploaded file, not by URL.")
            }
            (MediaKind::Document, _, Some(url)) => {
                let name = media.name.clone().unwrap_or_else(|| "document.pdf".to_owned());
                Ok(json!({ "type": "file", "file": { "filename": name, "file_data": url } }))
            }
            (MediaKind::Document, MediaSource::Id(id), _) => {
                let mut file = Map::new();
                file.insert("file_id".to_owned(), id.as_str().into());
                file.extend(media.name.clone().map(|name| ("filename".to_owned(), name.into())));
                Ok(json!({ "type": "file", "file": file }))
            }
            (MediaKind::Image | MediaKind::Document, _, None) => {
                refused("This provider cannot read what was uploaded elsewhere.")
            }
        }
    }
}

/// A document of plain text is as good in words; its title stands above it.
fn titled(media: &Media, text: &str) -> String {
    media.name.as_ref().map_or_else(|| text.to_owned(), |name| format!("{name}\n\n{text}"))
}
