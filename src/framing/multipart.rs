//! `multipart/form-data` looked at without being copied (RFC 7578, RFC 2046 section 5.1).
//!
//! A form becomes a list of parts with the spans of their values, so that a gateway can read a few fields,
//! replace or cut them by [`Edit`](super::edit::Edit), and pass a file on as it came. Lines end in CRLF.
//! A preamble and an epilogue are allowed and ignored, as the RFC has it.

use std::fmt::Write;

use memchr::memmem;

/// Most parts of a form. The longest form there is (a transcription) has some twenty fields, a few of
/// which may be repeated.
const MAX_PARTS: usize = 128;
/// Longest header of a part: two headers with two names of at most a kilobyte each, several times over.
const MAX_HEADERS: usize = 8 * 1024;
/// Longest boundary (RFC 2046).
const MAX_BOUNDARY: usize = 70;

/// A field or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// The field's name.
    pub name: String,
    /// The file's name, where it is a file.
    pub filename: Option<String>,
    /// Its media type, where one is given.
    pub content_type: Option<&'a str>,
    /// Its value.
    pub value: &'a [u8],
    /// Where the value begins in the body.
    pub start: usize,
    /// Where the part begins, its delimiter included.
    pub whole_start: usize,
    /// Where the next delimiter begins: from `whole_start` to here is what is cut with the part.
    pub whole_end: usize,
}

impl Part<'_> {
    /// One past the last byte of its value in the body.
    pub fn end(&self) -> usize {
        self.start + self.value.len()
    }

    /// Its value as text.
    pub fn text(&self) -> Option<&str> {
        simdutf8::basic::from_utf8(self.value).ok()
    }
}

/// What is wrong with a form, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Byte offset.
    pub at: usize,
    /// What was wrong there.
    pub what: &'static str,
}

/// The boundary that a `content-type` header names, if it is one of a form.
pub fn boundary(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let found = parameter(parameters, "boundary")?;
    let sound = (1..=MAX_BOUNDARY).contains(&found.len())
        && found.bytes().all(|b| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b))
        && !found.ends_with(' ');
    sound.then_some(found)
}

/// The parts of a form.
pub fn parse<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<Part<'a>>, Malformed> {
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(&delimiter);
    let form = Form { body, finder: &finder, delimiter: delimiter.len() };
    let mut parts = Vec::new();
    let mut next = form.first().ok_or(Malformed { at: 0, what: "the form's boundary does not occur in it" })?;
    loop {
        let (begun, headers) = match next {
            Delimiter::Last => return Ok(parts),
            Delimiter::Part { begun, after } => (begun, after),
        };
        if parts.len() >= MAX_PARTS {
            return Err(Malformed { at: begun, what: "the form has too many parts" });
        }
        let Header { name, filename, content_type, start } = form.headers(headers)?;
        let (end, following) =
            form.next(start).ok_or(Malformed { at: body.len(), what: "the form ends before its last boundary" })?;
        let value = body.get(start..end).unwrap_or_default();
        parts.push(Part { name, filename, content_type, value, start, whole_start: begun, whole_end: end + 2 });
        next = following;
    }
}

enum Delimiter {
    /// Two hyphens follow: the form ends.
    Last,
    /// A part follows: where its delimiter's hyphens stand, and where its headers begin.
    Part { begun: usize, after: usize },
}

struct Header<'a> {
    name: String,
    filename: Option<String>,
    content_type: Option<&'a str>,
    start: usize,
}

struct Form<'a, 'f> {
    body: &'a [u8],
    finder: &'f memmem::Finder<'f>,
    delimiter: usize,
}

impl<'a> Form<'a, '_> {
    /// The first delimiter: it may stand at the very beginning, without a line before it.
    fn first(&self) -> Option<Delimiter> {
        let bare = self.finder.needle().get(2..).unwrap_or_default();
        if self.body.starts_with(bare)
            && let Some(found) = self.read(0, bare.len())
        {
            return Some(found);
        }
        self.next(0).map(|(_, found)| found)
    }

    /// The next delimiter from there on, and where the line break before it stands.
    fn next(&self, from: usize) -> Option<(usize, Delimiter)> {
        let mut at = from;
        loop {
            let found = at + self.finder.find(self.body.get(at..)?)?;
            if let Some(delimiter) = self.read(found + 2, found + self.delimiter) {
                return Some((found, delimiter));
            }
            at = found + 2;
        }
    }

    /// What follows a boundary; `None` where it is the beginning of a longer word.
    fn read(&self, begun: usize, after: usize) -> Option<Delimiter> {
        let rest = self.body.get(after..)?;
        if rest.starts_with(b"--") {
            return Some(Delimiter::Last);
        }
        let padding = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        rest.get(padding..)?.starts_with(b"\r\n").then_some(Delimiter::Part { begun, after: after + padding + 2 })
    }

    fn headers(&self, from: usize) -> Result<Header<'a>, Malformed> {
        let wrong = |what| Malformed { at: from, what };
        let rest = self.body.get(from..).unwrap_or_default();
        let window = rest.get(..MAX_HEADERS.min(rest.len())).unwrap_or_default();
        let length = memmem::find(window, b"\r\n\r\n")
            .ok_or_else(|| wrong("a part's headers do not end, or are longer than 8 KiB"))?;
        let text = window.get(..length).and_then(|text| simdutf8::basic::from_utf8(text).ok());
        let text = text.ok_or_else(|| wrong("a part's headers are not UTF-8"))?;
        let (mut disposition, mut content_type) = (None, None);
        for line in text.split("\r\n") {
            let Some((name, value)) = line.split_once(':') else {
                return Err(wrong("a part's header has no colon"));
            };
            if name.eq_ignore_ascii_case("content-disposition") {
                disposition = value.trim().split_once(';');
            } else if name.eq_ignore_ascii_case("content-type") {
                content_type = Some(value.trim());
            }
        }
        let parameters = disposition.filter(|(kind, _)| kind.trim().eq_ignore_ascii_case("form-data"));
        let (_, parameters) =
            parameters.ok_or_else(|| wrong("a part has no content-disposition of the kind form-data"))?;
        let name = parameter(parameters, "name").ok_or_else(|| wrong("a part has no name"))?;
        Ok(Header { name, filename: parameter(parameters, "filename"), content_type, start: from + length + 4 })
    }
}

/// A parameter of a header: a word, or a string in quotes in which a quote is written `\"` (a backslash
/// before anything else is itself: browsers send paths so) or `%22`.
fn parameter(parameters: &str, wanted: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        rest = rest.trim_start_matches([';', ' ', '\t']);
        let (name, value) = rest.split_once('=')?;
        let mut read = String::new();
        let after = match value.trim_start().strip_prefix('"') {
            None => {
                let (word, after) = value.split_once(';').unwrap_or((value, ""));
                read.push_str(word.trim());
                after
            }
            Some(quoted) => {
                let mut characters = quoted.char_indices().peekable();
                loop {
                    match characters.next()? {
                        (at, '"') => break quoted.get(at + 1..)?,
                        (_, '\\') if characters.peek().is_some_and(|(_, next)| *next == '"') => {
                            characters.next();
                            read.push('"');
                        }
                        (_, other) => read.push(other),
                    }
                }
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(if read.contains("%22") { read.replace("%22", "\"") } else { read });
        }
        rest = after;
    }
}

/// A part to be written.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    /// The field's name.
    pub name: &'a str,
    /// The file's name, where it is a file.
    pub filename: Option<&'a str>,
    /// Its media type, where it is a file.
    pub content_type: Option<&'a str>,
    /// Its value.
    pub value: &'a [u8],
}

/// Writes a form; gives its boundary, which occurs in no value, and its body.
pub fn write(fields: &[Field<'_>]) -> (String, Vec<u8>) {
    let mut number = 0_u64;
    let boundary = loop {
        let boundary = format!("sluice-form-{number:016x}");
        let finder = memmem::Finder::new(&boundary);
        if !fields.iter().any(|field| finder.find(field.value).is_some()) {
            break boundary;
        }
        number += 1;
    };
    // Names come from tables or are quoted here; what would end a header is left out of them.
    let quoted =
        |text: &str| text.replace('"', "%22").chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let mut body = Vec::with_capacity(fields.iter().map(|field| field.value.len() + 200).sum());
    for Field { name, filename, content_type, value } in fields {
        let mut head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"", quoted(name));
        if let Some(filename) = filename {
            let _ = write!(head, "; filename=\"{}\"", quoted(filename));
        }
        if let Some(content_type) = content_type {
            let _ = write!(head, "\r\nContent-Type: {}", quoted(content_type));
        }
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (boundary, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::framing::edit::{Edit, apply};

    const FORM: &[u8] = b"--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\na/b\r\n--b\r\n\
        content-disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".wav\"\r\nContent-Type: audio/wav\r\n\r\n\
        \x00\xff\r\n--bc\r\n-\r\n--b \r\nContent-Disposition: form-data; name=empty\r\n\r\n\r\n--b--\r\nepilogue";

    #[test]
    fn parts_are_found_with_their_spans() {
        let parts = parse(FORM, "b").unwrap();
        let seen: Vec<_> = parts.iter().map(|p| (p.name.as_str(), p.filename.as_deref(), p.value)).collect();
        assert_eq!(
            seen,
            [
                ("model", None, &b"a/b"[..]),
                ("file", Some("a \"b\".wav"), b"\x00\xff\r\n--bc\r\n-"),
                ("empty", None, b"")
            ]
        );
        assert_eq!(parts[1].content_type, Some("audio/wav"));
        assert_eq!(&FORM[parts[0].start..parts[0].end()], b"a/b");
        let edits = [
            Edit { start: parts[0].start, end: parts[0].end(), text: "other".to_owned() },
            Edit { start: parts[2].whole_start, end: parts[2].whole_end, text: String::new() },
        ];
        let edited = apply(FORM, &edits);
        let again = parse(&edited, "b").unwrap();
        assert_eq!((again.len(), again[0].value, again[1].value), (2, &b"other"[..], parts[1].value));
    }

    #[test]
    fn boundaries_are_read_from_the_header() {
        for (header, found) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Form-Data; charset=utf-8; Boundary=\"a b:c\"", Some("a b:c")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"a", None),
            ("multipart/form-data; boundary=a\u{e9}", None),
            ("multipart/mixed; boundary=abc", None),
            ("application/json; boundary=abc", None),
        ] {
            assert_eq!(boundary(header).as_deref(), found, "{header}");
        }
        assert_eq!(boundary(&format!("multipart/form-data; boundary={}", "x".repeat(71))), None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let head = "Content-Disposition: form-data; name=\"a\"\r\n\r\n";
        for (body, part) in [
            (String::new(), "does not occur"),
            ("x".to_owned(), "does not occur"),
            ("--b".to_owned(), "does not occur"),
            (format!("--b\r\n{head}x"), "ends before"),
            (format!("--b\r\n{head}x\r\n--bb--"), "ends before"),
            (format!("--b\n{head}x\n--b--"), "does not occur"),
            ("--b\r\nfoo\r\n\r\nx\r\n--b--".to_owned(), "no colon"),
            ("--b\r\nContent-Type: a/b\r\n\r\nx\r\n--b--".to_owned(), "no content-disposition"),
            ("--b\r\nContent-Disposition: form-data; x=y\r\n\r\nx\r\n--b--".to_owned(), "no name"),
            ("--b\r\nContent-Disposition: attachment; name=y\r\n\r\nx\r\n--b--".to_owned(), "form-data"),
            (format!("--b\r\nX: {}\r\n\r\nx\r\n--b--", "y".repeat(9_000)), "8 KiB"),
            (format!("{}--b--", format!("--b\r\n{head}x\r\n").repeat(129)), "too many"),
        ] {
            let error = parse(body.as_bytes(), "b").unwrap_err();
            assert!(error.what.contains(part), "{body:.80}: {}", error.what);
        }
        assert_eq!(parse(b"--b--", "b"), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in prop::collection::vec(("[a-z\\[\\]\" ]{1,9}", prop::option::of("[a-z.\" ]{1,9}"),
            prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), any::<u8>()], 0..40)), 0..5)) {
            let given: Vec<Field<'_>> = fields.iter().map(|(name, file, value)| Field {
                name, filename: file.as_deref(), content_type: file.as_ref().map(|_| "audio/wav"), value,
            }).collect();
            let (boundary, body) = write(&given);
            let parts = parse(&body, &boundary).unwrap();
            prop_assert_eq!(parts.len(), fields.len());
            for (part, (name, file, value)) in parts.iter().zip(&fields) {
                prop_assert_eq!(&part.name, name);
                prop_assert_eq!(&part.filename, file);
                prop_assert_eq!(part.value, value.as_slice());
                prop_assert_eq!(&body[part.start..part.end()], value.as_slice());
            }
        }

        #[test]
        fn whatever_comes_nothing_panics_and_spans_are_in_order(
            mut body in prop::collection::vec(any::<u8>(), 0..200), base in prop::bool::ANY, at: prop::sample::Index, byte: u8, cut: bool,
        ) {
            if base {
                body = FORM.to_vec();
                let at = at.index(body.len());
                if cut { body.truncate(at) } else { body[at] = byte }
            }
            if let Ok(parts) = parse(&body, "b") {
                let mut last = 0;
                for part in parts {
                    prop_assert!(last <= part.whole_start && part.whole_start < part.start && part.end() <= part.whole_end);
                    prop_assert!(part.whole_end <= body.len());
                    prop_assert!(body[part.whole_start..].starts_with(b"--b") && body[part.whole_end..].starts_with(b"--b"));
                    last = part.whole_end;
                }
            }
        }
    }
}
