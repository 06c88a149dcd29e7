//! An answer in pieces.
//!
//! A stream is made of blocks, as Anthropic's and Responses' are: each is opened, filled and closed, and
//! several may be open at the same time (parallel tool calls of OpenAI's chat). Formats without blocks
//! get them from their decoder: a block is opened by its first piece and closed by the first piece of
//! another kind, or by the end.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    error::ProviderError,
    part::{Citation, Extra, Media, Part, PartKind, Reasoning, ReasoningFormat, ToolCall, Wire},
    response::{Answer, Choice, Finish, Usage},
};

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The answer begins. Comes once, before all others but [`Event::Usage`] and [`Event::Error`].
    Start {
        /// The provider's name of it.
        id: Option<String>,
        /// The model, as the provider names it.
        model: Option<String>,
        /// Unix seconds.
        created: Option<i64>,
    },
    /// A block begins. Blocks are numbered from 0 in the order in which they begin.
    Open {
        /// Its number.
        block: u32,
        /// Of which answer: 0 as a rule.
        choice: u32,
        /// What it is.
        kind: Block,
    },
    /// More of a block.
    Delta {
        /// Its number.
        block: u32,
        /// What.
        delta: Delta,
    },
    /// A block is complete.
    Close {
        /// Its number.
        block: u32,
    },
    /// Probabilities of what has come last, in the form of OpenAI's chat.
    Logprobs {
        /// Of which answer.
        choice: u32,
        /// `{content, refusal}`
        logprobs: Value,
    },
    /// An answer has ended. Nothing more comes of it.
    Finish {
        /// Which.
        choice: u32,
        /// How.
        finish: Finish,
    },
    /// What was used so far: the last one counts, and holds all.
    Usage(Usage),
    /// The tier that serves.
    ServiceTier(String),
    /// What only one format knows of the whole answer; for a stream of the same format.
    Extra(Extra),
    /// It broke: nothing more comes.
    Error(ProviderError),
    /// The provider is still there.
    Ping,
}

/// What a block is.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// Words.
    Text,
    /// The model declines.
    Refusal,
    /// Thoughts.
    Reasoning {
        /// The provider's name of the block.
        id: Option<String>,
        /// Whose they are.
        format: Option<ReasoningFormat>,
    },
    /// A call of a tool; its arguments follow in pieces.
    ToolCall {
        /// By which the result names it.
        id: String,
        /// The tool.
        name: String,
        /// It takes free text.
        custom: bool,
    },
    /// A medium that the model made: pieces of base64 follow.
    Media(Media),
    /// What only one format knows, as it was opened there.
    Foreign(Wire, Value),
}

/// More of a block.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// Of [`Block::Text`] and [`Block::Refusal`].
    Text(String),
    /// Of [`Block::Text`]: what it rests on.
    Citation(Citation),
    /// Of [`Block::Reasoning`]: thoughts.
    Reasoning(String),
    /// Of [`Block::Reasoning`]: summary, by paragraph.
    Summary(u32, String),
    /// Of [`Block::Reasoning`] and [`Block::ToolCall`]: the maker's mark.
    Signature(String),
    /// Of [`Block::Reasoning`]: thoughts that only their maker can read, whole.
    Encrypted(String),
    /// Of [`Block::ToolCall`]: JSON text.
    Arguments(String),
    /// Of [`Block::Media`]: base64, to be put together as text.
    Media(String),
    /// Of [`Block::Media`]: what is said in it.
    Transcript(String),
    /// Of [`Block::Foreign`]: as it came.
    Foreign(Value),
}

/// Puts an answer together from its pieces.
#[derive(Debug, Default)]
pub struct Collector {
    answer: Answer,
    blocks: BTreeMap<u32, (u32, Part)>,
    choices: BTreeMap<u32, Choice>,
    failure: Option<ProviderError>,
}

impl Collector {
    /// Takes a piece.
    pub fn push(&mut self, event: Event) {
        match event {
            Event::Start { id, model, created } => {
                self.answer.id = id;
                self.answer.model = model;
                self.answer.created = created;
            }
            Event::Open { block, choice, kind } => {
                self.choice(choice);
                self.blocks.insert(block, (choice, Part::new(opened(kind))));
            }
            Event::Delta { block, delta } => {
                if let Some((_, part)) = self.blocks.get_mut(&block) {
                    fill(part, delta);
                }
            }
            Event::Close { .. } | Event::Ping => {}
            Event::Logprobs { choice, logprobs } => add_logprobs(&mut self.choice(choice).logprobs, logprobs),
            Event::Finish { choice, finish } => self.choice(choice).finish = Some(finish),
            Event::Usage(usage) => self.answer.usage = Some(usage),
            Event::ServiceTier(tier) => self.answer.service_tier = Some(tier),
            Event::Extra(extra) => {
                self.answer.extra.wire = extra.wire.or(self.answer.extra.wire);
                self.answer.extra.members.extend(extra.members);
            }
            Event::Error(error) => self.failure = Some(error),
        }
    }

    fn choice(&mut self, choice: u32) -> &mut Choice {
        self.choices.entry(choice).or_insert_with(|| Choice {
            parts: Vec::new(),
            finish: None,
            logprobs: None,
            extra: Extra::default(),
        })
    }

    /// The answer, or why there is none: a stream that broke has no whole answer.
    pub fn finish(mut self) -> Result<Answer, ProviderError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        for (choice, part) in self.blocks.into_values() {
            if let Some(choice) = self.choices.get_mut(&choice) {
                choice.parts.push(part);
            }
        }
        self.answer.choices = self.choices.into_values().collect();
        Ok(self.answer)
    }
}

fn opened(kind: Block) -> PartKind {
    match kind {
        Block::Text => PartKind::Text { text: String::new(), citations: Vec::new() },
        Block::Refusal => PartKind::Refusal(String::new()),
        Block::Reasoning { id, format } => PartKind::Reasoning(Reasoning { id, format, ..Reasoning::default() }),
        Block::ToolCall { id, name, custom } => {
            PartKind::ToolCall(ToolCall { id, name, arguments: String::new(), signature: None, custom })
        }
        Block::Media(media) => PartKind::Media(media),
        Block::Foreign(wire, value) => PartKind::Foreign(wire, value),
    }
}

/// A delta that is not one of its block's is a fault of the decoder: it changes nothing.
fn fill(part: &mut Part, delta: Delta) {
    use super::part::MediaSource;
    let more = |text: &mut Option<String>, piece: &str| text.get_or_insert_default().push_str(piece);
    match (&mut part.kind, delta) {
        (PartKind::Text { text, .. } | PartKind::Refusal(text), Delta::Text(piece)) => text.push_str(&piece),
        (PartKind::Text { citations, .. }, Delta::Citation(citation)) => citations.push(citation),
        (PartKind::Reasoning(reasoning), Delta::Reasoning(piece)) => more(&mut reasoning.text, &piece),
        (PartKind::Reasoning(reasoning), Delta::Summary(at, piece)) => {
            let at = usize::try_from(at).unwrap_or(usize::MAX).min(reasoning.summary.len());
            match reasoning.summary.get_mut(at) {
                Some(paragraph) => paragraph.push_str(&piece),
                None => reasoning.summary.push(piece),
            }
        }
        (PartKind::Reasoning(reasoning), Delta::Signature(piece)) => more(&mut reasoning.signature, &piece),
        (PartKind::Reasoning(reasoning), Delta::Encrypted(data)) => reasoning.encrypted = Some(data),
        (PartKind::ToolCall(call), Delta::Arguments(piece)) => call.arguments.push_str(&piece),
        (PartKind::ToolCall(call), Delta::Signature(piece)) => more(&mut call.signature, &piece),
        (PartKind::Media(Media { source: MediaSource::Base64(data), .. }), Delta::Media(piece)) => {
            data.push_str(&piece);
        }
        (PartKind::Media(media), Delta::Transcript(piece)) => more(&mut media.transcript, &piece),
        (PartKind::Foreign(_, value), Delta::Foreign(more)) => match value {
            Value::Array(pieces) => pieces.push(more),
            _ => *value = Value::Array(vec![value.take(), more]),
        },
        _ => debug_assert!(false, "a delta that is not one of its block's"),
    }
}

fn add_logprobs(sum: &mut Option<Value>, more: Value) {
    let Some(sum) = sum else {
        *sum = Some(more);
        return;
    };
    for key in ["content", "refusal"] {
        if let (Some(Value::Array(known)), Some(Value::Array(items))) = (sum.get_mut(key), more.get(key)) {
            known.extend(items.iter().cloned());
        } else if let (Some(items @ Value::Array(_)), Some(sum)) = (more.get(key), sum.as_object_mut()) {
            sum.insert(key.to_owned(), items.clone());
        }
    }
}
