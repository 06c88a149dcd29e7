//! What tests of every format's relay do alike.

use std::{fmt, rc::Rc};

use super::{Finish, Format, Look, Relay, ResponseFacts, Said, Spent, StreamEnd, look};
use crate::{
    catalog::CostBreakdown,
    chat::{Answer, Collector, Event, ProviderError},
    dialect::{Frame, anthropic_messages, gemini, openai_chat, openai_completions, openai_responses},
    error::Error,
    framing::{
        edit::Edit,
        json::Object,
        sse::{Data, Splitter},
    },
    routing::fallback::Cause,
    time::Millis,
};

pub fn finish() -> Finish {
    Finish {
        policy: Rc::default(),
        id: "gen-1-x".to_owned(),
        model: "a/b".to_owned(),
        provider: "P".to_owned(),
        pricing: serde_json::from_str(r#"{"prompt":"0.000001","completion":"0.000002"}"#).unwrap(),
        estimated_prompt: 9,
        created: 7,
        metadata: Some("{\"story\":1}".to_owned()),
    }
}

/// One of the formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Anthropic,
    Responses,
    Gemini,
    Completions,
    Chat,
}

impl Wire {
    pub const ALL: [Self; 5] = [Self::Anthropic, Self::Responses, Self::Gemini, Self::Completions, Self::Chat];

    /// Its name in the recorded traffic.
    pub fn dialect(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic.messages",
            Self::Responses => "openai.responses",
            Self::Gemini => "gemini.generateContent",
            Self::Completions => "openai.completions",
            Self::Chat => "openai.chat",
        }
    }

    pub fn read_answer(self, body: &[u8]) -> Result<super::Answer, (Cause, ProviderError)> {
        match self {
            Self::Anthropic => anthropic_messages::passing::read_answer(body, &finish()),
            Self::Responses => openai_responses::passing::read_answer(body, &finish()),
            Self::Gemini => gemini::passing::read_answer(body, &finish()),
            Self::Completions => openai_completions::passing::read_answer(body, &finish()),
            Self::Chat => openai_chat::read_answer(body, &finish()),
        }
    }

    pub fn decode_answer(self, body: serde_json::Value) -> Result<Answer, ProviderError> {
        match self {
            Self::Anthropic => anthropic_messages::decode_answer(body),
            Self::Responses => openai_responses::decode_answer(body),
            Self::Gemini => gemini::decode_answer(body),
            Self::Completions => openai_completions::decode_answer(body),
            Self::Chat => openai_chat::translate::decode_answer(body),
        }
    }

    pub fn relay(self, native: bool) -> Stream {
        match self {
            Self::Anthropic => Stream::Other(anthropic_messages::passing::relay(finish(), native)),
            Self::Responses => Stream::Other(openai_responses::passing::relay(finish(), native)),
            Self::Gemini => Stream::Other(gemini::passing::relay(finish(), native)),
            Self::Completions => Stream::Chat(openai_completions::passing::relay(finish(), native)),
            Self::Chat => Stream::Chat(openai_chat::Relay::new(finish(), native)),
        }
    }

    /// What a stream says, read by the format's own decoder.
    pub fn decode(self, text: &[u8]) -> Result<Answer, ProviderError> {
        let mut events = Vec::new();
        let frames = frames(self, text);
        macro_rules! run {
            ($decoder:expr) => {{
                let mut decoder = $decoder;
                for (event, data) in &frames {
                    decoder.push(&Frame { event: event.as_deref(), data }, &mut events);
                }
                decoder.finish(&mut events);
            }};
        }
        match self {
            Self::Anthropic => run!(anthropic_messages::Decoder::new()),
            Self::Responses => run!(openai_responses::Decoder::default()),
            Self::Gemini => run!(gemini::Decoder::default()),
            Self::Completions => run!(openai_completions::Decoder::new()),
            Self::Chat => run!(openai_chat::translate::Decoder::default()),
        }
        let mut collector = Collector::default();
        events.into_iter().filter(|event| !matches!(event, Event::Ping)).for_each(|event| collector.push(event));
        collector.finish()
    }
}

fn frames(wire: Wire, text: &[u8]) -> Vec<(Option<String>, Vec<u8>)> {
    let (mut splitter, mut events) = (Splitter::default(), Vec::new());
    splitter.push(text, |event| events.push(event.to_vec())).unwrap();
    events.push(splitter.take_rest());
    let data = |event: &[u8]| match wire {
        Wire::Gemini => gemini::event_data(event).map(std::borrow::Cow::into_owned),
        _ => crate::framing::sse::data(event).map(|data| data.bytes.into_owned()),
    };
    events
        .iter()
        .filter_map(|event| Some((look::name(event).map(std::borrow::Cow::into_owned), data(event)?)))
        .collect()
}

/// A relay of either kind.
#[derive(Debug)]
pub enum Stream {
    Chat(openai_chat::Relay),
    Other(Relay),
}

macro_rules! each {
    ($stream:expr, $relay:ident => $do:expr) => {
        match $stream {
            Stream::Chat($relay) => $do,
            Stream::Other($relay) => $do,
        }
    };
}

/// What came of a stream.
#[derive(Debug)]
pub struct Out {
    pub bytes: Vec<u8>,
    pub facts: ResponseFacts,
    pub cost: Option<CostBreakdown>,
    pub failure: Option<(Cause, ProviderError)>,
    pub written: u64,
    pub first: Option<Millis>,
}

impl Out {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }
}

impl Stream {
    pub fn run<'c>(mut self, chunks: impl IntoIterator<Item = &'c [u8]>, end: StreamEnd) -> Out {
        let mut bytes = Vec::new();
        for chunk in chunks {
            each!(&mut self, relay => relay.push(chunk, Millis(5), &mut bytes));
        }
        let written = each!(&self, relay => relay.written());
        let (facts, cost) = each!(&mut self, relay => relay.end(end, Millis(6), &mut bytes));
        let failure = each!(&self, relay => relay.failure().cloned());
        let first = each!(&self, relay => relay.first_content_at);
        Out { bytes, facts, cost, failure, written, first }
    }

    /// The same one, but it reads every event.
    pub fn thorough(self) -> Self {
        match self {
            Self::Other(relay) => Self::Other(relay.within(|format| Box::new(Thorough(format)))),
            Self::Chat(relay) => Self::Chat(relay),
        }
    }
}

struct Thorough(Box<dyn Format>);

impl fmt::Debug for Thorough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Format for Thorough {
    fn skim(&mut self, _event: &[u8]) -> Option<usize> {
        None
    }
    fn data<'e>(&self, event: &'e [u8]) -> Option<Data<'e>> {
        self.0.data(event)
    }
    fn odd(&self, data: &[u8], said: &mut Said) {
        self.0.odd(data, said);
    }
    fn read(&mut self, event: &[u8], object: &Object<'_>, finish: &Finish, said: &mut Said) -> Look {
        self.0.read(event, object, finish, said)
    }
    fn settle(&mut self, said: &mut Said) {
        self.0.settle(said);
    }
    fn closing(&self, object: &Object<'_>, finish: &Finish, spent: Option<&Spent>) -> Vec<Edit> {
        self.0.closing(object, finish, spent)
    }
    fn end(&mut self, out: &mut Vec<u8>) {
        self.0.end(out);
    }
    fn cut_short(&mut self, finish: &Finish, spent: &Spent, out: &mut Vec<u8>) {
        self.0.cut_short(finish, spent, out);
    }
    fn fail(&mut self, error: &Error, finish: &Finish, spent: &Spent, out: &mut Vec<u8>) {
        self.0.fail(error, finish, spent, out);
    }
}
