//! AWS event streams (`application/vnd.amazon.eventstream`): bytes to whole messages.
//!
//! Source: docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html and the Smithy event
//! stream specification, as of November 2026. All numbers are big-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of the whole message |
//! | 4 | length of the headers |
//! | 4 | CRC-32 of these eight |
//! | ... | headers: name (length in a byte), type (a byte), value |
//! | ... | payload |
//! | 4 | CRC-32 of all before it |
//!
//! A stream that breaks any of this cannot be trusted to find the next message: it stays broken.

use std::borrow::Cow;

use serde_json::json;

/// Longest message: as long as the longest event of other framings (`sse::MAX_EVENT`).
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// Lengths and their checksum.
const PRELUDE: usize = 12;
/// Prelude and the last checksum.
const SHORTEST: usize = PRELUDE + 4;

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A message longer than [`MAX_MESSAGE`].
    TooLong,
    /// Lengths that do not fit each other.
    Lengths,
    /// A checksum that is not the bytes' own.
    Checksum,
    /// Headers that cannot be read.
    Headers,
}

/// A header's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderValue<'m> {
    /// Types 0 and 1.
    Bool(bool),
    /// Type 2.
    Byte(i8),
    /// Type 3.
    Short(i16),
    /// Type 4.
    Integer(i32),
    /// Type 5.
    Long(i64),
    /// Type 6.
    Bytes(&'m [u8]),
    /// Type 7.
    Text(&'m str),
    /// Type 8: milliseconds since the Unix epoch.
    Timestamp(i64),
    /// Type 9.
    Uuid([u8; 16]),
}

/// One message. Its headers have been read once: they are sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'m> {
    headers: &'m [u8],
    /// What it holds.
    pub payload: &'m [u8],
}

impl<'m> Message<'m> {
    /// Its headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'m str, HeaderValue<'m>)> {
        let mut rest = self.headers;
        std::iter::from_fn(move || header(&mut rest))
    }

    /// A header that is text.
    pub fn text(&self, name: &str) -> Option<&'m str> {
        self.headers().find_map(|(known, value)| match value {
            HeaderValue::Text(text) if known == name => Some(text),
            _ => None,
        })
    }

    /// Its name: the event's, or what went wrong (`:exception-type`, `:error-code`).
    pub fn event(&self) -> Option<&'m str> {
        let kind = match self.text(":message-type") {
            Some("exception") => ":exception-type",
            Some("error") => ":error-code",
            _ => ":event-type",
        };
        self.text(kind)
    }

    /// Its JSON. An unmodelled error has no payload: what it says stands in headers.
    pub fn data(&self) -> Cow<'m, [u8]> {
        match self.text(":error-message") {
            Some(message) if self.payload.is_empty() => {
                Cow::Owned(json!({ "message": message }).to_string().into_bytes())
            }
            _ => Cow::Borrowed(self.payload),
        }
    }
}

/// Cuts a byte stream into messages.
#[derive(Debug, Default)]
pub struct Splitter {
    tail: Vec<u8>,
    broken: Option<Broken>,
}

impl Splitter {
    /// Feeds a chunk and calls `each` with every message that is now whole.
    pub fn push(&mut self, chunk: &[u8], mut each: impl FnMut(&Message<'_>)) -> Result<(), Broken> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        let outcome = if self.tail.is_empty() {
            let outcome = split(chunk, &mut each);
            let used = outcome.unwrap_or(chunk.len());
            self.tail.extend_from_slice(chunk.get(used..).unwrap_or_default());
            outcome
        } else {
            self.tail.extend_from_slice(chunk);
            let outcome = split(&self.tail, &mut each);
            self.tail.drain(..outcome.unwrap_or(self.tail.len()));
            outcome
        };
        self.broken = outcome.err();
        outcome.map(|_| ())
    }

    /// Whether everything so far ended with a whole message.
    pub fn is_empty(&self) -> bool {
        self.tail.is_empty()
    }
}

/// Gives the whole messages and says how many bytes they took.
fn split(bytes: &[u8], each: &mut impl FnMut(&Message<'_>)) -> Result<usize, Broken> {
    let mut used = 0;
    while let Some(length) = length(bytes.get(used..).unwrap_or_default())? {
        let Some(message) = bytes.get(used..used + length) else { break };
        each(&read(message)?);
        used += length;
    }
    Ok(used)
}

/// The length of the message that begins here, once its prelude is there.
fn length(bytes: &[u8]) -> Result<Option<usize>, Broken> {
    let Some((prelude, _)) = bytes.split_at_checked(PRELUDE) else { return Ok(None) };
    let (lengths, sum) = prelude.split_at(8);
    if crc32(lengths) != number(sum) {
        return Err(Broken::Checksum);
    }
    let (total, headers) = (length_at(lengths, 0), length_at(lengths, 4));
    match headers.checked_add(SHORTEST) {
        _ if total > MAX_MESSAGE => Err(Broken::TooLong),
        Some(least) if least <= total => Ok(Some(total)),
        _ => Err(Broken::Lengths),
    }
}

fn read(message: &[u8]) -> Result<Message<'_>, Broken> {
    let (body, sum) = message.split_at(message.len().saturating_sub(4));
    if crc32(body) != number(sum) {
        return Err(Broken::Checksum);
    }
    let inner = body.get(PRELUDE..).unwrap_or_default();
    let (headers, payload) = inner.split_at_checked(length_at(body, 4)).ok_or(Broken::Lengths)?;
    let mut rest = headers;
    while !rest.is_empty() {
        header(&mut rest).ok_or(Broken::Headers)?;
    }
    Ok(Message { headers, payload })
}

/// The next header; what cannot be read ends the walk.
fn header<'m>(rest: &mut &'m [u8]) -> Option<(&'m str, HeaderValue<'m>)> {
    let [name_length] = array(rest)?;
    let name = std::str::from_utf8(take(rest, usize::from(name_length))?).ok()?;
    let [kind] = array(rest)?;
    let value = match kind {
        0 => HeaderValue::Bool(true),
        1 => HeaderValue::Bool(false),
        2 => HeaderValue::Byte(i8::from_be_bytes(array(rest)?)),
        3 => HeaderValue::Short(i16::from_be_bytes(array(rest)?)),
        4 => HeaderValue::Integer(i32::from_be_bytes(array(rest)?)),
        5 => HeaderValue::Long(i64::from_be_bytes(array(rest)?)),
        6 => HeaderValue::Bytes(sized(rest)?),
        7 => HeaderValue::Text(std::str::from_utf8(sized(rest)?).ok()?),
        8 => HeaderValue::Timestamp(i64::from_be_bytes(array(rest)?)),
        9 => HeaderValue::Uuid(array(rest)?),
        _ => return None,
    };
    Some((name, value))
}

fn sized<'m>(rest: &mut &'m [u8]) -> Option<&'m [u8]> {
    let length = u16::from_be_bytes(array(rest)?);
    take(rest, usize::from(length))
}

fn take<'m>(rest: &mut &'m [u8], length: usize) -> Option<&'m [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    take(rest, N)?.try_into().ok()
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte))
}

fn length_at(bytes: &[u8], at: usize) -> usize {
    usize::try_from(number(bytes.get(at..at + 4).unwrap_or_default())).unwrap_or(usize::MAX)
}

/// CRC-32 (IEEE 802.3), a byte at a time.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        let low = usize::from(crc.to_le_bytes()[0] ^ byte);
        crc >> 8 ^ TABLE.get(low).copied().unwrap_or(0)
    })
}

static TABLE: [u32; 256] = table();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    let mut byte = 0;
    while at < 256 {
        let mut crc: u32 = byte;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests;
