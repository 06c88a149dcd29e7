//! JSON looked at without being taken apart.
//!
//! One pass validates a whole text (RFC 8259, depth at most [`MAX_DEPTH`]) and reports the members of
//! its outermost object as spans, so that a gateway can read a few of them and edit them in place
//! while everything else stays the client's own bytes. The scan is iterative (no stack to overflow)
//! and searches strings with SIMD: a long prompt costs a fraction of a nanosecond a byte.

use std::borrow::Cow;

use memchr::memchr2;

/// Deepest nesting that is accepted. One bit a level in a `u128`.
pub const MAX_DEPTH: u32 = 128;

/// What a value is, told by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number
    Number,
    /// A string
    String,
    /// An array
    Array,
    /// An object
    Object,
}

impl Kind {
    /// The word for error messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// A value inside a scanned text.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// Its own text.
    pub text: &'a str,
    /// Where it begins in the scanned text.
    pub start: usize,
    /// What it is.
    pub kind: Kind,
}

impl<'a> Value<'a> {
    /// One past its last byte in the scanned text.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// The string it holds, without copying where nothing is escaped.
    pub fn as_str(&self) -> Option<Cow<'a, str>> {
        if self.kind != Kind::String {
            return None;
        }
        let inner = self.text.get(1..self.text.len() - 1)?;
        if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
            return Some(Cow::Borrowed(inner));
        }
        // Lone surrogates are valid JSON but no string; they become the replacement character.
        Some(serde_json::from_str(self.text).map_or_else(|_| Cow::Owned(lossy(inner)), Cow::Owned))
    }

    /// The boolean it is.
    pub fn as_bool(&self) -> Option<bool> {
        match self.text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The non-negative whole number it is.
    pub fn as_u64(&self) -> Option<u64> {
        if self.kind == Kind::Number { self.text.parse().ok() } else { None }
    }

    /// The number it is.
    pub fn as_f64(&self) -> Option<f64> {
        if self.kind == Kind::Number { self.text.parse().ok() } else { None }
    }

    /// The members of the object it is. The text was validated when it was scanned.
    pub fn members(&self) -> Vec<Member<'a>> {
        let mut members = Vec::new();
        if self.kind == Kind::Object {
            let mut scanner = Scanner { text: self.text, bytes: self.text.as_bytes(), at: 0 };
            let _ = scanner.object(1, None, &mut |mut member| {
                member.key_start += self.start;
                member.value.start += self.start;
                members.push(member);
            });
        }
        members
    }

    /// The object it is, for edits in place.
    pub fn object(&self) -> Option<Object<'a>> {
        (self.kind == Kind::Object).then(|| Object { members: self.members(), close: self.end() - 1 })
    }

    /// The items of the array it is.
    pub fn items(&self) -> Vec<Value<'a>> {
        let mut items = Vec::new();
        if self.kind == Kind::Array {
            let mut scanner = Scanner { text: self.text, bytes: self.text.as_bytes(), at: 0 };
            let _ = scanner.array(&mut |mut item| {
                item.start += self.start;
                items.push(item);
            });
        }
        items
    }
}

/// A member of an object.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// Its name, unescaped.
    pub key: Cow<'a, str>,
    /// Where its name's quote stands in the scanned text.
    pub key_start: usize,
    /// Its value.
    pub value: Value<'a>,
}

/// The outermost object of a text.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    /// Its members, in order.
    pub members: Vec<Member<'a>>,
    /// Where its closing brace stands.
    pub close: usize,
}

impl<'a> Object<'a> {
    /// The first member of that name.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.members.iter().find(|member| member.key == key).map(|member| &member.value)
    }
}

/// What is wrong with a text, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Byte offset.
    pub at: usize,
    /// What was wrong there.
    pub what: &'static str,
}

/// What a [`Watch`] is shown of its array, in order.
#[derive(Debug)]
pub enum Part<'a> {
    /// An item begins, of this kind.
    Item(Kind),
    /// A member of the item, where the item is an object.
    Member(Cow<'a, str>, Value<'a>),
}

/// Looks into the objects of one array among the outermost members, in the same pass.
pub struct Watch<'w, 'a> {
    /// Name of the outermost member.
    pub key: &'w str,
    /// Called with each part.
    pub see: &'w mut dyn FnMut(Part<'a>),
}

/// Scans a text that must be one object and nothing else.
pub fn scan_object(bytes: &[u8]) -> Result<Object<'_>, Malformed> {
    scan(bytes, None)
}

/// The same, looking into one array on the way: a long array is not passed over twice.
pub fn scan_object_watching<'a>(bytes: &'a [u8], watch: Watch<'_, 'a>) -> Result<Object<'a>, Malformed> {
    scan(bytes, Some(watch))
}

fn scan<'a>(bytes: &'a [u8], watch: Option<Watch<'_, 'a>>) -> Result<Object<'a>, Malformed> {
    let text = simdutf8::basic::from_utf8(bytes).map_err(|_| Malformed {
        at: simdutf8::compat::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len),
        what: "invalid UTF-8",
    })?;
    let mut scanner = Scanner { text, bytes, at: 0 };
    scanner.space();
    if scanner.peek() != Some(b'{') {
        return Err(scanner.wrong(if bytes.is_empty() { "the body is empty" } else { "expected a JSON object" }));
    }
    let mut members = Vec::with_capacity(16);
    scanner.object(1, watch, &mut |member| members.push(member))?;
    let close = scanner.at - 1;
    scanner.space();
    if scanner.at < bytes.len() {
        return Err(scanner.wrong("there is more after the end of the JSON object"));
    }
    Ok(Object { members, close })
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn wrong(&self, what: &'static str) -> Malformed {
        let what = if self.at >= self.bytes.len() && !self.bytes.is_empty() { "the JSON ends too early" } else { what };
        Malformed { at: self.at.min(self.bytes.len()), what }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Malformed> {
        self.space();
        if self.peek() != Some(byte) {
            return Err(self.wrong(what));
        }
        self.at += 1;
        Ok(())
    }

    fn object(
        &mut self,
        depth: u32,
        mut watch: Option<Watch<'_, 'a>>,
        each: &mut dyn FnMut(Member<'a>),
    ) -> Result<(), Malformed> {
        self.expect(b'{', "expected an object")?;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            let key_start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.wrong("expected a member name in double quotes"));
            }
            self.string()?;
            let name = self.value_from(key_start, Kind::String);
            self.expect(b':', "expected a colon after the member name")?;
            let key = name.as_str().unwrap_or_default();
            self.space();
            let value = match &mut watch {
                Some(watch) if key == watch.key && self.peek() == Some(b'[') => self.watched(depth + 1, watch.see)?,
                _ => self.value(depth + 1)?,
            };
            each(Member { key, key_start, value });
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.wrong("expected a comma or a closing brace")),
            }
        }
    }

    fn watched(&mut self, depth: u32, see: &mut dyn FnMut(Part<'a>)) -> Result<Value<'a>, Malformed> {
        let start = self.at;
        self.items(&mut |scanner| {
            scanner.space();
            if scanner.peek() == Some(b'{') {
                see(Part::Item(Kind::Object));
                scanner.object(depth + 1, None, &mut |member| see(Part::Member(member.key, member.value)))
            } else {
                see(Part::Item(scanner.value(depth + 1)?.kind));
                Ok(())
            }
        })?;
        Ok(self.value_from(start, Kind::Array))
    }

    fn array(&mut self, each: &mut dyn FnMut(Value<'a>)) -> Result<(), Malformed> {
        self.items(&mut |scanner| {
            each(scanner.value(2)?);
            Ok(())
        })
    }

    fn items(&mut self, each: &mut dyn FnMut(&mut Self) -> Result<(), Malformed>) -> Result<(), Malformed> {
        self.expect(b'[', "expected an array")?;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            each(self)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.wrong("expected a comma or a closing bracket")),
            }
        }
    }

    fn value_from(&self, start: usize, kind: Kind) -> Value<'a> {
        Value { text: self.text.get(start..self.at).unwrap_or_default(), start, kind }
    }

    /// Validates one value at this depth and steps over it.
    fn value(&mut self, depth: u32) -> Result<Value<'a>, Malformed> {
        self.space();
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        };
        match kind {
            Kind::Object | Kind::Array => self.nested(depth)?,
            _ => self.scalar()?,
        }
        Ok(self.value_from(start, kind))
    }

    fn scalar(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => self.number(),
        }
    }

    /// Steps over an object or array with all it holds. `open` has a bit for each open level: one for
    /// an object, zero for an array.
    fn nested(&mut self, depth: u32) -> Result<(), Malformed> {
        let mut open: u128 = 0;
        let mut levels = 0;
        loop {
            // Here a value is expected.
            self.space();
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    self.at += 1;
                    levels += 1;
                    if depth + levels > MAX_DEPTH + 1 {
                        return Err(self.wrong("nested too deeply (more than 128 levels)"));
                    }
                    open = open << 1 | u128::from(bracket == b'{');
                    self.space();
                    let empty = if bracket == b'{' { b'}' } else { b']' };
                    if self.peek() != Some(empty) {
                        if bracket == b'{' {
                            self.member_name()?;
                        }
                        continue;
                    }
                }
                _ => self.scalar()?,
            }
            // Here a value has ended: close what closes, then go on to the next one.
            loop {
                self.space();
                let in_object = open & 1 == 1;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if in_object {
                            self.member_name()?;
                        }
                        break;
                    }
                    Some(b'}') if in_object => {}
                    Some(b']') if !in_object => {}
                    _ if in_object => return Err(self.wrong("expected a comma or a closing brace")),
                    _ => return Err(self.wrong("expected a comma or a closing bracket")),
                }
                self.at += 1;
                open >>= 1;
                levels -= 1;
                if levels == 0 {
                    return Ok(());
                }
            }
        }
    }

    fn member_name(&mut self) -> Result<(), Malformed> {
        self.space();
        if self.peek() != Some(b'"') {
            return Err(self.wrong("expected a member name in double quotes"));
        }
        self.string()?;
        self.expect(b':', "expected a colon after the member name")
    }

    fn string(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let Some(length) = memchr2(b'"', b'\\', rest) else {
                self.at = self.bytes.len();
                return Err(self.wrong("the string does not end"));
            };
            let plain = rest.get(..length).unwrap_or_default();
            // A fold without early exit: the compiler turns it into SIMD.
            if plain.iter().fold(0_u8, |bad, &b| bad | u8::from(b < 0x20)) != 0 {
                self.at += plain.iter().position(|&b| b < 0x20).unwrap_or(0);
                return Err(self.wrong("a control character must be escaped inside a string"));
            }
            self.at += length + 1;
            if rest.get(length) == Some(&b'"') {
                return Ok(());
            }
            match self.peek() {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                Some(b'u') => {
                    let digits = self.bytes.get(self.at + 1..self.at + 5).unwrap_or_default();
                    if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
                        return Err(self.wrong("\\u needs four hexadecimal digits"));
                    }
                    self.at += 5;
                }
                _ => return Err(self.wrong("unknown escape in a string")),
            }
        }
    }

    fn literal(&mut self, word: &'static str) -> Result<(), Malformed> {
        if !self.bytes.get(self.at..).unwrap_or_default().starts_with(word.as_bytes()) {
            return Err(self.wrong("expected a JSON value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), Malformed> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.wrong("expected a JSON value")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(())
    }

    fn some_digits(&mut self) -> Result<(), Malformed> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.wrong("expected a digit"));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }
}

/// Unescapes what serde refuses (lone surrogates) as well as can be: each becomes U+FFFD.
fn lossy(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at).unwrap_or_default());
        let after = rest.get(at..).unwrap_or_default();
        let unit = |text: &str| text.get(2..6).and_then(|digits| u16::from_str_radix(digits, 16).ok());
        if after.as_bytes().get(1) == Some(&b'u') {
            let first = unit(after).unwrap_or(0xFFFD);
            let pair = after.get(6..).filter(|next| next.starts_with("\\u")).and_then(unit);
            match (char::decode_utf16([first]).next(), pair) {
                (Some(Ok(c)), _) => {
                    out.push(c);
                    rest = after.get(6..).unwrap_or_default();
                }
                (_, Some(second)) if (0xD800..0xDC00).contains(&first) && (0xDC00..0xE000).contains(&second) => {
                    out.extend(char::decode_utf16([first, second]).flatten());
                    rest = after.get(12..).unwrap_or_default();
                }
                _ => {
                    out.push('\u{FFFD}');
                    rest = after.get(6..).unwrap_or_default();
                }
            }
        } else {
            let quoted = format!("\"{}\"", after.get(..2).unwrap_or_default());
            out.push_str(&serde_json::from_str::<String>(&quoted).unwrap_or_default());
            rest = after.get(2..).unwrap_or_default();
        }
    }
    out + rest
}

/// Quotes a string as JSON.
pub fn quote(text: &str) -> String {
    if text.bytes().any(|b| b < 0x20 || b == b'"' || b == b'\\') {
        return serde_json::Value::from(text).to_string();
    }
    ["\"", text, "\""].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value as Tree;

    #[test]
    fn members_are_reported_with_their_spans() {
        let text = br#" { "a" : [1, {"b":2}] , "c\u0064":"x\ny", "e":null } "#;
        let object = scan_object(text).unwrap();
        let seen: Vec<_> = object.members.iter().map(|m| (&*m.key, m.value.text, m.value.kind)).collect();
        assert_eq!(
            seen,
            [("a", "[1, {\"b\":2}]", Kind::Array), ("cd", "\"x\\ny\"", Kind::String), ("e", "null", Kind::Null)]
        );
        assert_eq!(object.get("cd").unwrap().as_str().unwrap(), "x\ny");
        let member = &object.members[1];
        assert_eq!(&text[member.key_start..member.key_start + 3], b"\"c\\");
        assert_eq!(&text[member.value.start..member.value.end()], member.value.text.as_bytes());
        assert_eq!(text[object.close], b'}');
        let inner = object.members[0].value.items();
        assert_eq!(inner[1].members()[0].value.as_u64(), Some(2));
        assert_eq!(text[inner[1].members()[0].value.start], b'2');
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, at, what) in [
            (&b""[..], 0, "the body is empty"),
            (b"[1]", 0, "expected a JSON object"),
            (b"{\"a\":", 5, "the JSON ends too early"),
            (b"{\"a\":1", 6, "the JSON ends too early"),
            (b"{\"a\":\"x", 7, "the JSON ends too early"),
            (b"{\"a\":1,}", 7, "expected a member name in double quotes"),
            (b"{\"a\":[1,]}", 8, "expected a JSON value"),
            (b"{\"a\":[1}", 7, "expected a comma or a closing bracket"),
            (b"{\"a\":{\"b\":1]}", 11, "expected a comma or a closing brace"),
            (b"{\"a\":01}", 6, "expected a comma or a closing brace"),
            (b"{\"a\":1} x", 8, "there is more after the end of the JSON object"),
            (b"{\"a\":\"\n\"}", 6, "a control character must be escaped inside a string"),
            (b"{\"a\":\"\\x\"}", 7, "unknown escape in a string"),
            (b"{\"a\":\"\\u12g4\"}", 7, "\\u needs four hexadecimal digits"),
            (b"{\"a\":\"\xff\"}", 6, "invalid UTF-8"),
            (b"{\"a\":nul}", 5, "expected a JSON value"),
        ] {
            let error = scan_object(text).unwrap_err();
            assert_eq!((error.at, error.what), (at, what), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn depth_is_limited_without_recursion() {
        let nested = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(scan_object(nested(127).as_bytes()).is_ok());
        let error = scan_object(nested(128).as_bytes()).unwrap_err();
        assert_eq!(error.what, "nested too deeply (more than 128 levels)");
        assert!(scan_object(nested(1_000_000).as_bytes()).is_err());
    }

    #[test]
    fn lone_surrogates_do_not_lose_the_rest() {
        let object = scan_object(br#"{"a":"x\ud800y\u00e9\ud83d\ude00\n"}"#).unwrap();
        assert_eq!(object.get("a").unwrap().as_str().unwrap(), "x\u{FFFD}y\u{e9}\u{1F600}\n");
    }

    fn tree() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![
            Just(Tree::Null),
            any::<bool>().prop_map(Tree::from),
            any::<i64>().prop_map(Tree::from),
            any::<f64>().prop_map(Tree::from),
            ".{0,12}".prop_map(Tree::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::from),
                prop::collection::btree_map(".{0,6}", inner, 0..5)
                    .prop_map(|map| Tree::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_serde_writes_is_read_alike(members in prop::collection::btree_map(".{0,8}", tree(), 0..6), pretty: bool) {
            let value = Tree::Object(members.into_iter().collect());
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let value: Tree = serde_json::from_str(&text).unwrap();
            let object = scan_object(text.as_bytes()).unwrap();
            prop_assert_eq!(object.members.len(), value.as_object().unwrap().len());
            for member in &object.members {
                let ours: Tree = serde_json::from_str(member.value.text).unwrap();
                prop_assert_eq!(&ours, &value[&*member.key]);
            }
        }

        #[test]
        fn damaged_text_is_accepted_only_where_serde_accepts_it(
            members in prop::collection::btree_map("[a-c]{1,2}", tree(), 0..4), at: prop::sample::Index, byte: u8, cut: bool,
        ) {
            let mut bytes = serde_json::to_vec(&members).unwrap();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            let ours = scan_object(&bytes).is_ok();
            // serde refuses two things more: numbers out of f64's range and lone surrogates.
            let theirs = serde_json::from_slice::<std::collections::BTreeMap<String, &serde_json::value::RawValue>>(&bytes).is_ok();
            prop_assert!(ours == theirs || ours && String::from_utf8_lossy(&bytes).contains("\\u"), "{}", String::from_utf8_lossy(&bytes));
        }
    }
}
