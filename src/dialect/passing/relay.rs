//! A streamed answer on its way through, in any format but OpenAI's chat (which has a [relay of its
//! own](crate::dialect::openai_chat::Relay), because its cost stands in a chunk that the gateway adds).
//!
//! Most events hold a piece of the answer and nothing else: they are passed on after a look at their
//! bytes ([`Format::skim`]). The others are scanned, and a few members of them edited. The event that says
//! how the answer ended is held back until the end, for the cost belongs into it, and the routing story is
//! known only then. A stream that breaks ends in an error of its format, never as if it were whole.
//!
//! In native mode it only reads; the client's bytes flow elsewhere. What it then writes is the end of a
//! stream that the provider does not end itself.
//!
//! Until the first content nothing may be written: another provider may still take over. What came before
//! it is held back by the caller and goes out with it.

use std::fmt;

use super::{Finish, ResponseFacts, Spent, StreamEnd, broken, look::write};
use crate::{
    budget::estimate::estimate_tokens,
    catalog::CostBreakdown,
    chat::{self, ProviderError},
    error::Error,
    framing::{
        edit::Edit,
        json::{Object, scan_object},
        sse::{self, Splitter},
    },
    routing::fallback::Cause,
    time::Millis,
};

/// What a stream has said so far.
#[derive(Debug, Default)]
pub struct Said {
    /// Of the answer.
    pub facts: ResponseFacts,
    /// What was used, as the provider counts.
    pub usage: Option<chat::Usage>,
    /// The usage is of the beginning of the answer, not of the whole.
    pub preliminary: bool,
    /// Bytes of content.
    pub content_bytes: usize,
    /// There was something for the client.
    pub content: bool,
    /// The last event has come.
    pub done: bool,
    /// Why it cannot go on.
    pub failure: Option<(Cause, ProviderError)>,
}

impl Said {
    /// It cannot go on; the first reason counts.
    pub fn fail(&mut self, cause: Cause, error: ProviderError) {
        self.failure.get_or_insert((cause, error));
    }

    /// An error in place of the answer, or of the rest of it.
    pub fn broke(&mut self, error: ProviderError) {
        self.fail(Cause::ErrorInBody(error.status), error);
    }

    /// So many bytes of content have come.
    pub fn wrote(&mut self, bytes: usize) {
        self.content_bytes += bytes;
        self.content |= bytes > 0;
    }
}

/// What becomes of an event that was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// It goes on with these edits of its data.
    Pass(Vec<Edit>),
    /// It says how the answer ended: it waits for the cost.
    Hold,
}

/// What the streams of a format are like. Reading is one method, writing the others.
pub trait Format: fmt::Debug {
    /// The bytes of content in an event in which there is nothing to be read or edited; `None` where it has
    /// to be read.
    fn skim(&mut self, event: &[u8]) -> Option<usize>;

    /// The data of an event.
    fn data<'e>(&self, event: &'e [u8]) -> Option<sse::Data<'e>> {
        sse::data(event)
    }

    /// What data says that is no object.
    fn odd(&self, _data: &[u8], said: &mut Said) {
        said.fail(Cause::Malformed, ProviderError::default());
    }

    /// Reads an event, of which `object` is the data.
    fn read(&mut self, event: &[u8], object: &Object<'_>, finish: &Finish, said: &mut Said) -> Look;

    /// All has been read: what is put together from several events is known now.
    fn settle(&mut self, _said: &mut Said) {}

    /// The edits of an event that was held back; `spent` is there for the last one.
    fn closing(&self, object: &Object<'_>, finish: &Finish, spent: Option<&Spent>) -> Vec<Edit>;

    /// Writes what the provider left out at the end of an answer that is whole.
    fn end(&mut self, out: &mut Vec<u8>);

    /// Ends an answer that its budget does not cover any further.
    fn cut_short(&mut self, finish: &Finish, spent: &Spent, out: &mut Vec<u8>);

    /// Ends an answer that broke.
    fn fail(&mut self, error: &Error, finish: &Finish, spent: &Spent, out: &mut Vec<u8>);
}

/// A stream being relayed.
#[derive(Debug)]
pub struct Relay {
    format: Box<dyn Format>,
    finish: Finish,
    native: bool,
    splitter: Splitter,
    said: Said,
    /// The event that says how the answer ended.
    held: Option<Vec<u8>>,
    /// What came after it, ready to go out.
    after: Vec<u8>,
    /// When the first content came.
    pub first_content_at: Option<Millis>,
}

impl Relay {
    /// Nothing has come yet.
    pub fn new(format: Box<dyn Format>, finish: Finish, native: bool) -> Self {
        Self {
            format,
            finish,
            native,
            splitter: Splitter::default(),
            said: Said::default(),
            held: None,
            after: Vec::new(),
            first_content_at: None,
        }
    }

    /// The same stream, of a format that is something around its own.
    #[cfg(test)]
    pub(super) fn within(self, around: impl FnOnce(Box<dyn Format>) -> Box<dyn Format>) -> Self {
        Self { format: around(self.format), ..self }
    }

    /// Whether the client's bytes flow elsewhere.
    pub fn is_native(&self) -> bool {
        self.native
    }

    /// Takes a chunk from the provider; appends what the client gets to `out`.
    pub fn push(&mut self, chunk: &[u8], now: Millis, out: &mut Vec<u8>) {
        let mut splitter = std::mem::take(&mut self.splitter);
        let whole = splitter.push(chunk, |event| self.event(event, now, out));
        self.splitter = splitter;
        if whole.is_err() {
            self.said.fail(Cause::Malformed, ProviderError::default());
        }
    }

    /// Completion tokens so far, roughly.
    pub fn written(&self) -> u64 {
        estimate_tokens(self.said.content_bytes)
    }

    /// What the end is to be written with: known in full only then.
    pub fn rename(&mut self, finish: Finish) {
        self.finish = finish;
    }

    /// The last event has come: what follows does not matter.
    pub fn is_done(&self) -> bool {
        self.said.done
    }

    /// What went wrong, if something did.
    pub fn failure(&self) -> Option<&(Cause, ProviderError)> {
        self.said.failure.as_ref()
    }

    fn event(&mut self, event: &[u8], now: Millis, out: &mut Vec<u8>) {
        if self.said.done || self.said.failure.is_some() {
            return;
        }
        if let Some(bytes) = self.format.skim(event) {
            self.said.wrote(bytes);
            self.pass(event, out);
        } else if let Some(data) = self.format.data(event) {
            self.read(event, &data, out);
        } else {
            // A comment, or an event without data: nothing to read, nothing to change.
            self.pass(event, out);
        }
        if self.said.content {
            self.first_content_at.get_or_insert(now);
        }
    }

    fn read(&mut self, event: &[u8], data: &sse::Data<'_>, out: &mut Vec<u8>) {
        if matches!(data.bytes.trim_ascii(), b"" | b"[DONE]") {
            // No format that is relayed here ends so; some providers say it all the same.
            return;
        }
        let Ok(object) = scan_object(&data.bytes) else {
            return self.format.odd(&data.bytes, &mut self.said);
        };
        let look = self.format.read(event, &object, &self.finish, &mut self.said);
        if self.native || self.said.failure.is_some() {
            return;
        }
        match look {
            Look::Pass(edits) if self.held.is_some() => write(event, data, &edits, &mut self.after),
            Look::Pass(edits) => write(event, data, &edits, out),
            Look::Hold => {
                self.release(None, out);
                self.held = Some(event.to_vec());
            }
        }
    }

    fn pass(&mut self, event: &[u8], out: &mut Vec<u8>) {
        match (self.native, &self.held) {
            (true, _) => {}
            (false, Some(_)) => self.after.extend_from_slice(event),
            (false, None) => out.extend_from_slice(event),
        }
    }

    /// Writes the event that was held back, and what came after it.
    fn release(&mut self, spent: Option<&Spent>, out: &mut Vec<u8>) {
        if let Some(event) = self.held.take()
            && let Some(data) = self.format.data(&event)
            && let Ok(object) = scan_object(&data.bytes)
        {
            write(&event, &data, &self.format.closing(&object, &self.finish, spent), out);
        }
        out.append(&mut self.after);
    }

    /// The provider has closed the stream: whether what came is a whole answer. The last event may lack its
    /// blank line.
    pub fn closed(&mut self, now: Millis, out: &mut Vec<u8>) -> bool {
        let rest = self.splitter.take_rest();
        if !rest.is_empty() {
            self.event(&[&rest[..], b"\n\n"].concat(), now, out);
        }
        self.said.failure.is_none() && (self.said.done || self.said.facts.finish_reason.is_some())
    }

    /// The stream is over: settles what it used and appends the last bytes for the client to `out`.
    pub fn end(&mut self, end: StreamEnd, now: Millis, out: &mut Vec<u8>) -> (ResponseFacts, Option<CostBreakdown>) {
        if end == StreamEnd::Closed {
            self.closed(now, out);
        }
        let whole = self.said.done || self.said.facts.finish_reason.is_some();
        let broke = match end {
            StreamEnd::Closed if !whole => Some(Cause::Connection),
            StreamEnd::Broken if !self.said.done => Some(Cause::Connection),
            StreamEnd::Stopped if !self.said.done => Some(Cause::Stopped),
            StreamEnd::TimedOut if !self.said.done => Some(Cause::Timeout),
            _ => None,
        };
        if let Some(cause) = broke {
            self.said.fail(cause, ProviderError::default());
        }
        let spent = self.settle();
        if let Some((cause, error)) = self.said.failure.clone() {
            let failure = broken(&self.finish.provider, cause, &error);
            self.release(None, out);
            self.format.fail(&failure, &self.finish, &spent, out);
            self.said.facts.finish_reason = Some("error".to_owned());
        } else if end == StreamEnd::OutOfBudget && !whole {
            self.format.cut_short(&self.finish, &spent, out);
            self.said.facts.finish_reason = Some("length".to_owned());
            self.said.facts.native_finish_reason = Some("budget_exhausted".to_owned());
        } else if whole {
            self.release(Some(&spent), out);
            if !self.said.done && (!self.native || end == StreamEnd::OutOfBudget) {
                self.format.end(out);
            }
        }
        (self.said.facts.clone(), spent.cost)
    }

    /// What was used, as far as anybody can tell: what is known of the beginning of an answer says too
    /// little of one that broke.
    fn settle(&mut self) -> Spent {
        self.format.settle(&mut self.said);
        let reported = self.said.usage.take();
        let mut usage = self.finish.used(reported.as_ref(), self.said.content_bytes);
        let seen = self.written();
        if self.said.preliminary && usage.tokens.completion < seen {
            usage.tokens.completion = seen;
            usage.estimated = true;
        }
        self.said.facts.usage = usage;
        Spent { cost: self.finish.cost(&usage.tokens), usage, reported }
    }
}
