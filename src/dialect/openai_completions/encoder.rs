//! Events, as chunks of this format. The closing chunks are held back until the gateway knows the cost:
//! the finish reason of each choice, one chunk with no choice and the usage, then `[DONE]`. A stream that
//! broke ends with an error chunk instead, and without `[DONE]`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{WIRE, logprobs::from_chat};
use crate::{
    chat::{Block, Delta, Event, Finish, FinishReason, Usage},
    dialect::{
        Names,
        openai_common::{error_chunk, write_usage},
    },
    error::Error,
    framing::json::quote,
};

const OBJECT: &str = "text_completion";

/// Writes a stream for a client.
#[derive(Debug)]
pub struct Encoder {
    names: Names,
    created: i64,
    /// What every chunk begins with: all before the choices.
    head: String,
    /// Open blocks: of which choice, and whether they hold thoughts.
    blocks: BTreeMap<u32, (u32, bool)>,
    choices: BTreeMap<u32, Said>,
    /// Members for the closing chunk.
    closing: Map<String, Value>,
}

#[derive(Debug, Default)]
struct Said {
    /// Characters that probabilities have been told of.
    offset: u64,
    finish: Option<Finish>,
}

impl Encoder {
    /// For that client.
    pub fn new(names: Names) -> Self {
        let created = names.created;
        let head = head(&names, created);
        Self { names, created, head, blocks: BTreeMap::new(), choices: BTreeMap::new(), closing: Map::new() }
    }

    /// Writes what there is to be said of an event now.
    pub fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { created: Some(created), .. } => {
                self.created = *created;
                self.head = head(&self.names, *created);
            }
            Event::Open { block, choice, kind } => {
                self.choices.entry(*choice).or_default();
                match kind {
                    Block::Text | Block::Refusal => self.blocks.insert(*block, (*choice, false)),
                    Block::Reasoning { .. } => self.blocks.insert(*block, (*choice, true)),
                    // Nothing of these was asked for: a prompt brings no tools and wants no media.
                    Block::ToolCall { .. } | Block::Media(_) | Block::Foreign(..) => None,
                };
            }
            Event::Delta { block, delta } => match (self.blocks.get(block), delta) {
                (Some((choice, false)), Delta::Text(text)) => self.write(*choice, text, "", "null", out),
                (Some((choice, true)), Delta::Reasoning(text)) => {
                    self.write(*choice, "", &[",\"reasoning\":", &quote(text)].concat(), "null", out);
                }
                _ => {}
            },
            Event::Logprobs { choice, logprobs } => {
                let said = self.choices.entry(*choice).or_default();
                let logprobs = from_chat(logprobs, &mut said.offset).to_string();
                self.write(*choice, "", "", &logprobs, out);
            }
            Event::Finish { choice, finish } => {
                self.choices.entry(*choice).or_default().finish = Some(finish.clone());
            }
            Event::ServiceTier(tier) => {
                self.closing.insert("service_tier".to_owned(), tier.as_str().into());
            }
            Event::Extra(extra) => self.closing.extend(extra.own(WIRE).cloned().into_iter().flatten()),
            // Usage comes with the end; how a stream broke is said by `fail`.
            Event::Start { .. } | Event::Close { .. } | Event::Usage(_) | Event::Error(_) | Event::Ping => {}
        }
    }

    /// Members for the end of the answer, beside what it says.
    pub fn add(&mut self, extra: Map<String, Value>) {
        self.names.extra = extra;
    }

    /// The answer is whole.
    pub fn end(&mut self, usage: Option<&Usage>, cost: Map<String, Value>, out: &mut Vec<u8>) {
        self.choices.entry(0).or_default();
        for (index, said) in std::mem::take(&mut self.choices) {
            let reason = said.finish.as_ref().map_or(FinishReason::Stop, |finish| finish.reason).as_str();
            let native = Value::from(said.finish.and_then(|finish| finish.native));
            out.extend_from_slice(self.head.as_bytes());
            let choice = format!(
                "{{\"index\":{index},\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"{reason}\",\"native_finish_reason\":{native}}}]}}\n\n"
            );
            out.extend_from_slice(choice.as_bytes());
        }
        let mut closing = std::mem::take(&mut self.closing);
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
        let choice =
            json!({ "index": 0, "text": "", "logprobs": null, "finish_reason": "error", "native_finish_reason": null });
        let chunk = error_chunk(&self.names, OBJECT, self.created, error, &choice);
        out.extend_from_slice(format!("data: {chunk}\n\n").as_bytes());
    }

    /// What keeps a connection open: a comment.
    pub fn keep_alive(out: &mut Vec<u8>) {
        out.extend_from_slice(b": PROCESSING\n\n");
    }

    fn write(&self, choice: u32, text: &str, more: &str, logprobs: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head.as_bytes());
        let chunk = format!(
            "{{\"index\":{choice},\"text\":{}{more},\"logprobs\":{logprobs},\"finish_reason\":null,\"native_finish_reason\":null}}]}}\n\n",
            quote(text)
        );
        out.extend_from_slice(chunk.as_bytes());
    }
}

fn head(names: &Names, created: i64) -> String {
    let (id, model, provider) = (quote(&names.id), quote(&names.model), quote(&names.provider));
    format!(
        "data: {{\"id\":{id},\"object\":\"{OBJECT}\",\"created\":{created},\"model\":{model},\"provider\":{provider},\"choices\":["
    )
}
