//! Events, as chunks of this format.
//!
//! The closing chunks are held back until the gateway knows the cost: the finish reason of each choice,
//! then one chunk with no choice and the usage (always, as OpenRouter does), then `[DONE]`. A stream that
//! broke ends with an error chunk instead, and without `[DONE]`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    WIRE,
    answer::{Wishes, native, write_citation},
    media::to_url,
    reasoning::{entry, finish_entry},
};
use crate::{
    chat::{Block, Delta, Event, Finish, FinishReason, Media, MediaKind, MediaSource, ReasoningFormat, Usage},
    dialect::{
        Names,
        openai_common::{error_chunk, write_usage},
    },
    error::Error,
    framing::json::quote,
};

/// Writes a stream for a client.
#[derive(Debug)]
pub struct Encoder {
    names: Names,
    wishes: Wishes,
    created: i64,
    /// What every chunk begins with: all before the choices.
    head: String,
    blocks: BTreeMap<u32, Open>,
    choices: BTreeMap<u32, Said>,
    tier: Option<String>,
    /// Members for the closing chunk.
    extra: Map<String, Value>,
}

/// A block that is open.
#[derive(Debug)]
struct Open {
    choice: u32,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Which begins after so many characters of the answer.
    Text(u64),
    Refusal,
    Reasoning {
        id: Option<String>,
        format: Option<ReasoningFormat>,
        entry: Option<(&'static str, u32, u64)>,
    },
    Call {
        id: String,
        index: u64,
        custom: bool,
    },
    Sound,
    /// Which has to be whole to be shown.
    Picture(Media),
    /// What has no place here.
    Nothing,
}

/// What one choice has said.
#[derive(Debug, Default)]
struct Said {
    role: bool,
    characters: u64,
    /// Annotations so far.
    annotations: u32,
    calls: u64,
    entries: u64,
    finish: Option<Finish>,
}

impl Encoder {
    /// For that client.
    pub fn new(names: Names) -> Self {
        let created = names.created;
        let mut encoder = Self {
            wishes: Wishes::of(&names),
            names,
            created,
            head: String::new(),
            blocks: BTreeMap::new(),
            choices: BTreeMap::new(),
            tier: None,
            extra: Map::new(),
        };
        encoder.set_head();
        encoder
    }

    fn set_head(&mut self) {
        let Names { id, model, provider, .. } = &self.names;
        self.head = [
            "data: {\"id\":",
            &quote(id),
            ",\"object\":\"chat.completion.chunk\",\"created\":",
            &self.created.to_string(),
            ",\"model\":",
            &quote(model),
            ",\"provider\":",
            &quote(provider),
            ",\"choices\":[",
        ]
        .concat();
    }

    /// Writes what there is to be said of an event now.
    pub fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { created: Some(created), .. } => {
                self.created = *created;
                self.set_head();
            }
            Event::Open { block, choice, kind } => self.open(*block, *choice, kind, out),
            Event::Delta { block, delta } => self.delta(*block, delta, out),
            Event::Close { block } => self.close(*block, out),
            Event::Logprobs { choice, logprobs } => {
                self.write(*choice, "", &logprobs.to_string(), out);
            }
            Event::Finish { choice, finish } => self.choice(*choice).finish = Some(finish.clone()),
            Event::ServiceTier(tier) => self.tier = Some(tier.clone()),
            Event::Extra(extra) => {
                let own = extra.own(WIRE).into_iter().flatten();
                self.extra.extend(own.map(|(name, value)| (name.clone(), value.clone())));
            }
            // Usage comes with the end; how a stream broke is said by `fail`.
            Event::Start { .. } | Event::Usage(_) | Event::Error(_) | Event::Ping => {}
        }
    }

    /// Members for the end of the answer, beside what it says.
    pub fn add(&mut self, extra: Map<String, Value>) {
        self.names.extra = extra;
    }

    /// The answer is whole.
    pub fn end(&mut self, usage: Option<&Usage>, cost: Map<String, Value>, out: &mut Vec<u8>) {
        for block in self.blocks.keys().copied().collect::<Vec<_>>() {
            self.close(block, out);
        }
        self.choice(0);
        for (index, said) in std::mem::take(&mut self.choices) {
            let usual = if said.calls > 0 { FinishReason::ToolCalls } else { FinishReason::Stop };
            let reason = said.finish.as_ref().map_or(usual, |finish| finish.reason);
            let role = if said.role { "" } else { "\"role\":\"assistant\",\"content\":\"\"" };
            out.extend_from_slice(self.head.as_bytes());
            let choice = format!(
                "{{\"index\":{index},\"delta\":{{{role}}},\"finish_reason\":\"{}\",\"native_finish_reason\":{},\"logprobs\":null}}]}}\n\n",
                self.wishes.finish(reason),
                native(said.finish.as_ref())
            );
            out.extend_from_slice(choice.as_bytes());
        }
        let mut closing = std::mem::take(&mut self.extra);
        closing.extend(self.tier.take().map(|tier| ("service_tier".to_owned(), tier.into())));
        closing.extend(usage.map(|usage| ("usage".to_owned(), write_usage(usage, WIRE, cost))));
        closing.extend(std::mem::take(&mut self.names.extra));
        if !closing.is_empty() {
            out.extend_from_slice(self.head.as_bytes());
            out.extend_from_slice(b"],");
            let closing = Value::Object(closing).to_string();
            out.extend_from_slice(closing.get(1..).unwrap_or_default().as_bytes());
            out.extend_from_slice(b"\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// The answer broke.
    pub fn fail(&mut self, error: &Error, out: &mut Vec<u8>) {
        let choice = json!({
            "index": 0, "delta": { "content": "" }, "finish_reason": "error", "native_finish_reason": null,
        });
        let chunk = error_chunk(&self.names, "chat.completion.chunk", self.created, error, &choice);
        out.extend_from_slice(format!("data: {chunk}\n\n").as_bytes());
    }

    /// What keeps a connection open: a comment.
    pub fn keep_alive(out: &mut Vec<u8>) {
        out.extend_from_slice(b": PROCESSING\n\n");
    }

    fn choice(&mut self, choice: u32) -> &mut Said {
        self.choices.entry(choice).or_default()
    }

    /// A chunk with this delta; the first of a choice says whose words they are.
    fn write(&mut self, choice: u32, delta: &str, logprobs: &str, out: &mut Vec<u8>) {
        let first = !std::mem::replace(&mut self.choice(choice).role, true);
        out.extend_from_slice(self.head.as_bytes());
        out.extend_from_slice(b"{\"index\":");
        out.extend_from_slice(choice.to_string().as_bytes());
        out.extend_from_slice(b",\"delta\":{");
        if first {
            out.extend_from_slice(b"\"role\":\"assistant\"");
            if !delta.starts_with("\"content\"") {
                out.extend_from_slice(b",\"content\":null");
            }
            if !delta.is_empty() {
                out.push(b',');
            }
        }
        out.extend_from_slice(delta.as_bytes());
        out.extend_from_slice(b"},\"finish_reason\":null,\"native_finish_reason\":null,\"logprobs\":");
        out.extend_from_slice(logprobs.as_bytes());
        out.extend_from_slice(b"}]}\n\n");
    }

    fn open(&mut self, block: u32, choice: u32, kind: &Block, out: &mut Vec<u8>) {
        let kind = match kind {
            Block::Text => Kind::Text(self.choice(choice).characters),
            Block::Refusal => Kind::Refusal,
            Block::Reasoning { .. } if self.wishes.hidden => Kind::Nothing,
            Block::Reasoning { id, format } => Kind::Reasoning { id: id.clone(), format: *format, entry: None },
            Block::ToolCall { id, name, custom } => {
                let said = self.choice(choice);
                let index = said.calls;
                said.calls += 1;
                let (id_text, name) = (quote(id), quote(name));
                let delta = if self.wishes.functions {
                    format!("\"function_call\":{{\"name\":{name},\"arguments\":\"\"}}")
                } else if *custom {
                    format!(
                        "\"tool_calls\":[{{\"index\":{index},\"id\":{id_text},\"type\":\"custom\",\"custom\":{{\"name\":{name},\"input\":\"\"}}}}]"
                    )
                } else {
                    format!(
                        "\"tool_calls\":[{{\"index\":{index},\"id\":{id_text},\"type\":\"function\",\"function\":{{\"name\":{name},\"arguments\":\"\"}}}}]"
                    )
                };
                self.write(choice, &delta, "null", out);
                Kind::Call { id: id.clone(), index, custom: *custom }
            }
            Block::Media(media) if media.kind == MediaKind::Audio => {
                if let MediaSource::Base64(data) = &media.source
                    && !data.is_empty()
                {
                    let delta = sound(&self.names.id, "data", data);
                    self.write(choice, &delta, "null", out);
                }
                Kind::Sound
            }
            Block::Media(media) => Kind::Picture(media.clone()),
            Block::Foreign(..) => Kind::Nothing,
        };
        self.choice(choice);
        self.blocks.insert(block, Open { choice, kind });
    }

    fn delta(&mut self, block: u32, delta: &Delta, out: &mut Vec<u8>) {
        let Self { blocks, choices, names, wishes, .. } = self;
        let Some(Open { choice, kind }) = blocks.get_mut(&block) else { return };
        let choice = *choice;
        let said = choices.entry(choice).or_default();
        let text = match (kind, delta) {
            (Kind::Text(_), Delta::Text(text)) => {
                said.characters += text.chars().count() as u64;
                ["\"content\":", &quote(text)].concat()
            }
            (Kind::Text(before), Delta::Citation(citation)) => {
                let mut annotation = write_citation(citation, *before);
                // OpenAI's SDKs put lists of a stream together by the index of their entries.
                if let Some(members) = annotation.as_object_mut() {
                    members.insert("index".to_owned(), said.annotations.into());
                }
                said.annotations += 1;
                format!("\"annotations\":[{annotation}]")
            }
            (Kind::Refusal, Delta::Text(text)) => ["\"refusal\":", &quote(text)].concat(),
            (Kind::Reasoning { id, format, entry }, delta) => {
                let Some(text) = thought(id.as_deref(), *format, entry, &mut said.entries, delta) else { return };
                text
            }
            (Kind::Call { index, custom, .. }, Delta::Arguments(text)) => {
                let text = quote(text);
                if wishes.functions {
                    if *index > 0 {
                        return;
                    }
                    format!("\"function_call\":{{\"arguments\":{text}}}")
                } else if *custom {
                    format!("\"tool_calls\":[{{\"index\":{index},\"custom\":{{\"input\":{text}}}}}]")
                } else {
                    format!("\"tool_calls\":[{{\"index\":{index},\"function\":{{\"arguments\":{text}}}}}]")
                }
            }
            (Kind::Call { id, .. }, Delta::Signature(signature)) => {
                let mut mark = entry("encrypted", "data", signature);
                finish_entry(&mut mark, Some(id), Some(ReasoningFormat::Gemini), said.entries);
                said.entries += 1;
                format!("\"reasoning_details\":[{}]", Value::Object(mark))
            }
            (Kind::Sound, Delta::Media(data)) => sound(&names.id, "data", data),
            (Kind::Sound, Delta::Transcript(text)) => sound(&names.id, "transcript", text),
            (Kind::Picture(Media { source: MediaSource::Base64(data), .. }), Delta::Media(piece)) => {
                data.push_str(piece);
                return;
            }
            _ => return,
        };
        self.write(choice, &text, "null", out);
    }

    fn close(&mut self, block: u32, out: &mut Vec<u8>) {
        let Some(Open { choice, kind }) = self.blocks.remove(&block) else { return };
        if let Kind::Picture(media) = kind
            && let Some(url) = to_url(&media)
        {
            let delta = format!("\"images\":[{{\"type\":\"image_url\",\"image_url\":{{\"url\":{}}}}}]", quote(&url));
            self.write(choice, &delta, "null", out);
        }
    }
}

fn sound(id: &str, member: &str, piece: &str) -> String {
    format!("\"audio\":{{\"id\":{},\"{member}\":{}}}", quote(&["audio_", id].concat()), quote(piece))
}

/// A piece of a block of thoughts: in plain words where there are some, and as an entry of
/// `reasoning_details`. Pieces of one kind (and paragraph) of one block are one entry.
fn thought(
    id: Option<&str>,
    format: Option<ReasoningFormat>,
    open: &mut Option<(&'static str, u32, u64)>,
    entries: &mut u64,
    delta: &Delta,
) -> Option<String> {
    let (kind, member, paragraph, piece, shown) = match delta {
        Delta::Reasoning(text) => ("text", "text", 0, text, true),
        Delta::Summary(paragraph, text) => ("summary", "summary", *paragraph, text, true),
        Delta::Signature(text) => ("text", "signature", 0, text, false),
        Delta::Encrypted(data) => ("encrypted", "data", 0, data, false),
        _ => return None,
    };
    let begins = !matches!(open, Some((of, at, _)) if *of == kind && *at == paragraph);
    if begins {
        *open = Some((kind, paragraph, *entries));
        *entries += 1;
    }
    let index = open.map_or(0, |(_, _, index)| index);
    let mut members = entry(kind, member, piece);
    finish_entry(&mut members, id, format, index);
    let entry = Value::Object(members);
    if !shown {
        return Some(format!("\"reasoning_details\":[{entry}]"));
    }
    let gap = if begins && paragraph > 0 { "\n\n" } else { "" };
    let words = quote(&[gap, piece].concat());
    Some(format!("\"reasoning\":{words},\"reasoning_details\":[{entry}]"))
}
