//! Every format behind one face: what a wire format offers, chosen by its name.

use serde_json::{Map, Value};

use crate::{
    chat::{Answer, Event, ProviderError, Request, Usage, Wire},
    dialect::{
        Encoded, Frame, Names, Target, anthropic_messages, bedrock_converse, cohere_chat, gemini, ollama_chat,
        openai_chat::translate as openai_chat, openai_completions, openai_responses,
    },
    error::{Error, Result},
    framing::{aws_event_stream, lines, sse},
};

/// Reads a client's request.
pub fn decode_request(wire: Wire, body: Value) -> Result<Request> {
    match wire {
        Wire::OpenaiChat => openai_chat::decode_request(body),
        Wire::OpenaiCompletions => openai_completions::decode_request(body),
        Wire::OpenaiResponses => openai_responses::decode_request(body),
        Wire::AnthropicMessages => anthropic_messages::decode_request(body),
        Wire::Gemini => gemini::decode_request(body),
        Wire::BedrockConverse => bedrock_converse::decode_request(body),
        Wire::CohereChat => cohere_chat::decode_request(body),
        Wire::OllamaChat => ollama_chat::decode_request(body),
    }
}

/// Writes a request for a provider.
pub fn encode_request(wire: Wire, request: &Request, target: &Target<'_>) -> Result<Encoded> {
    match wire {
        Wire::OpenaiChat => openai_chat::encode_request(request, target),
        Wire::OpenaiCompletions => openai_completions::encode_request(request, target),
        Wire::OpenaiResponses => openai_responses::encode_request(request, target),
        Wire::AnthropicMessages => anthropic_messages::encode_request(request, target),
        Wire::Gemini => gemini::encode_request(request, target),
        Wire::BedrockConverse => bedrock_converse::encode_request(request, target),
        Wire::CohereChat => cohere_chat::encode_request(request, target),
        Wire::OllamaChat => ollama_chat::encode_request(request, target),
    }
}

/// Reads a provider's answer.
pub fn decode_answer(wire: Wire, body: Value) -> Result<Answer, ProviderError> {
    match wire {
        Wire::OpenaiChat => openai_chat::decode_answer(body),
        Wire::OpenaiCompletions => openai_completions::decode_answer(body),
        Wire::OpenaiResponses => openai_responses::decode_answer(body),
        Wire::AnthropicMessages => anthropic_messages::decode_answer(body),
        Wire::Gemini => gemini::decode_answer(body),
        Wire::BedrockConverse => bedrock_converse::decode_answer(body),
        Wire::CohereChat => cohere_chat::decode_answer(body),
        Wire::OllamaChat => ollama_chat::decode_answer(body),
    }
}

/// What a provider's error body says.
pub fn read_error(wire: Wire, status: u16, body: &[u8]) -> ProviderError {
    match wire {
        Wire::OpenaiChat => openai_chat::read_error(status, body),
        Wire::OpenaiCompletions => openai_completions::read_error(status, body),
        Wire::OpenaiResponses => openai_responses::read_error(status, body),
        Wire::AnthropicMessages => anthropic_messages::read_error(status, body),
        Wire::Gemini => gemini::read_error(status, body),
        Wire::BedrockConverse => bedrock_converse::read_error(status, body),
        Wire::CohereChat => cohere_chat::read_error(status, body),
        Wire::OllamaChat => ollama_chat::read_error(status, body),
    }
}

/// Writes an answer for a client. No client speaks the formats that are for providers alone.
pub fn encode_answer(wire: Wire, answer: &Answer, names: &Names) -> Value {
    match wire {
        Wire::OpenaiCompletions => openai_completions::encode_answer(answer, names),
        Wire::OpenaiResponses => openai_responses::encode_answer(answer, names),
        Wire::AnthropicMessages => anthropic_messages::encode_answer(answer, names),
        Wire::Gemini => gemini::encode_answer(answer, names),
        Wire::OpenaiChat | Wire::BedrockConverse | Wire::CohereChat | Wire::OllamaChat => {
            openai_chat::encode_answer(answer, names)
        }
    }
}

/// A provider's stream, being read.
#[derive(Debug)]
pub enum Decoder {
    /// OpenAI's chat.
    OpenaiChat(openai_chat::Decoder),
    /// OpenAI's older completions.
    OpenaiCompletions(openai_completions::Decoder),
    /// OpenAI's Responses.
    OpenaiResponses(Box<openai_responses::Decoder>),
    /// Anthropic's Messages.
    AnthropicMessages(anthropic_messages::Decoder),
    /// Gemini's.
    Gemini(Box<gemini::Decoder>),
    /// Bedrock's Converse.
    BedrockConverse(Box<bedrock_converse::Decoder>),
    /// Cohere's chat.
    CohereChat(cohere_chat::Decoder),
    /// Ollama's chat.
    OllamaChat(ollama_chat::Decoder),
}

impl Decoder {
    /// At the beginning of that model's stream.
    pub fn new(wire: Wire, target: &Target<'_>) -> Self {
        match wire {
            Wire::OpenaiChat => Self::OpenaiChat(openai_chat::Decoder::new()),
            Wire::OpenaiCompletions => Self::OpenaiCompletions(openai_completions::Decoder::new()),
            Wire::OpenaiResponses => Self::OpenaiResponses(Box::default()),
            Wire::AnthropicMessages => Self::AnthropicMessages(anthropic_messages::Decoder::default()),
            Wire::Gemini => Self::Gemini(Box::default()),
            Wire::BedrockConverse => Self::BedrockConverse(Box::new(bedrock_converse::Decoder::of(target))),
            Wire::CohereChat => Self::CohereChat(cohere_chat::Decoder::default()),
            Wire::OllamaChat => Self::OllamaChat(ollama_chat::Decoder::default()),
        }
    }

    /// Takes a frame.
    pub fn push(&mut self, frame: &Frame<'_>, out: &mut Vec<Event>) {
        match self {
            Self::OpenaiChat(decoder) => decoder.push(frame, out),
            Self::OpenaiCompletions(decoder) => decoder.push(frame, out),
            Self::OpenaiResponses(decoder) => decoder.push(frame, out),
            Self::AnthropicMessages(decoder) => decoder.push(frame, out),
            Self::Gemini(decoder) => decoder.push(frame, out),
            Self::BedrockConverse(decoder) => decoder.push(frame, out),
            Self::CohereChat(decoder) => decoder.push(frame, out),
            Self::OllamaChat(decoder) => decoder.push(frame, out),
        }
    }

    /// The provider has closed the stream.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        match self {
            Self::OpenaiChat(decoder) => decoder.finish(out),
            Self::OpenaiCompletions(decoder) => decoder.finish(out),
            Self::OpenaiResponses(decoder) => decoder.finish(out),
            Self::AnthropicMessages(decoder) => decoder.finish(out),
            Self::Gemini(decoder) => decoder.finish(out),
            Self::BedrockConverse(decoder) => decoder.finish(out),
            Self::CohereChat(decoder) => decoder.finish(out),
            Self::OllamaChat(decoder) => decoder.finish(out),
        }
    }
}

/// A client's stream, being written.
#[derive(Debug)]
pub enum Encoder {
    /// OpenAI's chat.
    OpenaiChat(Box<openai_chat::Encoder>),
    /// OpenAI's older completions.
    OpenaiCompletions(Box<openai_completions::Encoder>),
    /// OpenAI's Responses.
    OpenaiResponses(Box<openai_responses::Encoder>),
    /// Anthropic's Messages.
    AnthropicMessages(Box<anthropic_messages::Encoder>),
    /// Gemini's.
    Gemini(Box<gemini::Encoder>),
}

impl Encoder {
    /// For a client of that format.
    pub fn new(wire: Wire, names: Names) -> Self {
        match wire {
            Wire::OpenaiCompletions => Self::OpenaiCompletions(Box::new(openai_completions::Encoder::new(names))),
            Wire::OpenaiResponses => Self::OpenaiResponses(Box::new(openai_responses::Encoder::new(names))),
            Wire::AnthropicMessages => Self::AnthropicMessages(Box::new(anthropic_messages::Encoder::new(names))),
            Wire::Gemini => Self::Gemini(Box::new(gemini::Encoder::new(names))),
            Wire::OpenaiChat | Wire::BedrockConverse | Wire::CohereChat | Wire::OllamaChat => {
                Self::OpenaiChat(Box::new(openai_chat::Encoder::new(names)))
            }
        }
    }

    /// Takes an event.
    pub fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        match self {
            Self::OpenaiChat(encoder) => encoder.push(event, out),
            Self::OpenaiCompletions(encoder) => encoder.push(event, out),
            Self::OpenaiResponses(encoder) => encoder.push(event, out),
            Self::AnthropicMessages(encoder) => encoder.push(event, out),
            Self::Gemini(encoder) => encoder.push(event, out),
        }
    }

    /// The answer is whole. `extra`: members for the end of it.
    pub fn end(&mut self, usage: &Usage, cost: Map<String, Value>, extra: Map<String, Value>, out: &mut Vec<u8>) {
        let usage = Some(usage);
        match self {
            Self::OpenaiChat(encoder) => {
                encoder.add(extra);
                encoder.end(usage, cost, out);
            }
            Self::OpenaiCompletions(encoder) => {
                encoder.add(extra);
                encoder.end(usage, cost, out);
            }
            Self::OpenaiResponses(encoder) => {
                encoder.add(extra);
                encoder.end(usage, cost, out);
            }
            Self::AnthropicMessages(encoder) => {
                encoder.add(extra);
                encoder.end(usage, cost, out);
            }
            Self::Gemini(encoder) => {
                encoder.add(extra);
                encoder.end(usage, cost, out);
            }
        }
    }

    /// The answer broke.
    pub fn fail(&mut self, error: &Error, out: &mut Vec<u8>) {
        match self {
            Self::OpenaiChat(encoder) => encoder.fail(error, out),
            Self::OpenaiCompletions(encoder) => encoder.fail(error, out),
            Self::OpenaiResponses(encoder) => encoder.fail(error, out),
            Self::AnthropicMessages(encoder) => encoder.fail(error, out),
            Self::Gemini(encoder) => encoder.fail(error, out),
        }
    }
}

/// A provider's bytes, being cut into frames.
#[derive(Debug)]
pub enum Framing {
    /// Server-sent events.
    Sse(sse::Splitter),
    /// Lines of JSON.
    Lines(lines::Splitter),
    /// AWS event streams.
    Aws(aws_event_stream::Splitter),
}

/// The bytes are no frames, or one is too long.
pub struct Broken;

impl Framing {
    /// As that format's streams come.
    pub fn of(wire: Wire) -> Self {
        match wire {
            Wire::BedrockConverse => Self::Aws(aws_event_stream::Splitter::default()),
            Wire::OllamaChat => Self::Lines(lines::Splitter::default()),
            _ => Self::Sse(sse::Splitter::default()),
        }
    }

    /// Feeds a chunk and calls `each` with every frame that is now whole.
    pub fn push(&mut self, chunk: &[u8], mut each: impl FnMut(&Frame<'_>)) -> Result<(), Broken> {
        match self {
            Self::Sse(splitter) => splitter.push(chunk, |event| sse_frame(event, &mut each)).map_err(|_| Broken),
            Self::Lines(splitter) => {
                splitter.push(chunk, |data| each(&Frame { event: None, data })).map_err(|_| Broken)
            }
            Self::Aws(splitter) => splitter
                .push(chunk, |message| each(&Frame { event: message.event(), data: &message.data() }))
                .map_err(|_| Broken),
        }
    }

    /// What came after the last whole frame, where it may be one that lacks only its end.
    pub fn rest(&mut self, mut each: impl FnMut(&Frame<'_>)) {
        match self {
            Self::Sse(splitter) => sse_frame(&splitter.take_rest(), &mut each),
            Self::Lines(splitter) => {
                let data = splitter.take_rest();
                if !data.is_empty() {
                    each(&Frame { event: None, data: &data });
                }
            }
            Self::Aws(_) => {}
        }
    }
}

/// Google writes errors between the events without any framing.
fn sse_frame(event: &[u8], each: &mut impl FnMut(&Frame<'_>)) {
    if let Some(data) = gemini::event_data(event) {
        each(&Frame { event: sse::name(event), data: &data });
    }
}
