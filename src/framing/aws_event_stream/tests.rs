use super::*;
use crate::dialect::testing::records;
use proptest::prelude::*;

fn message(headers: &[(&str, HeaderValue<'_>)], payload: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).unwrap());
        head.extend_from_slice(name.as_bytes());
        let sized = |kind: u8, bytes: &[u8]| {
            let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
            [&[kind], &length[..], bytes].concat()
        };
        head.extend(match value {
            HeaderValue::Bool(flag) => vec![u8::from(!flag)],
            HeaderValue::Byte(n) => [&[2], &n.to_be_bytes()[..]].concat(),
            HeaderValue::Short(n) => [&[3], &n.to_be_bytes()[..]].concat(),
            HeaderValue::Integer(n) => [&[4], &n.to_be_bytes()[..]].concat(),
            HeaderValue::Long(n) => [&[5], &n.to_be_bytes()[..]].concat(),
            HeaderValue::Bytes(bytes) => sized(6, bytes),
            HeaderValue::Text(text) => sized(7, text.as_bytes()),
            HeaderValue::Timestamp(n) => [&[8], &n.to_be_bytes()[..]].concat(),
            HeaderValue::Uuid(uuid) => [&[9], &uuid[..]].concat(),
        });
    }
    sealed(head.len() + payload.len() + SHORTEST, head.len(), &[&head[..], payload].concat())
}

/// With right checksums, whatever the lengths say.
fn sealed(total: usize, headers: usize, inner: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(u32::try_from(total).unwrap().to_be_bytes());
    out.extend(u32::try_from(headers).unwrap().to_be_bytes());
    out.extend(crc32(&out).to_be_bytes());
    out.extend(inner);
    out.extend(crc32(&out).to_be_bytes());
    out
}

fn event(kind: &str, payload: &str) -> Vec<u8> {
    let headers = [
        (":event-type", HeaderValue::Text(kind)),
        (":content-type", HeaderValue::Text("application/json")),
        (":message-type", HeaderValue::Text("event")),
    ];
    message(&headers, payload.as_bytes())
}

type Seen = Vec<(String, Vec<u8>)>;

fn seen(chunks: &[&[u8]]) -> (Seen, Result<(), Broken>, bool) {
    let (mut splitter, mut seen, mut outcome) = (Splitter::default(), Vec::new(), Ok(()));
    for chunk in chunks {
        let each = |m: &Message<'_>| seen.push((m.event().unwrap_or_default().to_owned(), m.data().into_owned()));
        outcome = splitter.push(chunk, each);
    }
    (seen, outcome, splitter.is_empty())
}

fn pieces<'b>(bytes: &'b [u8], cuts: &[usize]) -> Vec<&'b [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let mut from = 0;
    cuts.into_iter()
        .chain([bytes.len()])
        .map(|cut| {
            let piece = &bytes[from..cut];
            from = cut;
            piece
        })
        .collect()
}

#[test]
fn the_checksum_is_crc_32() {
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
}

#[test]
fn every_type_of_header_is_read() {
    let headers = [
        ("t", HeaderValue::Bool(true)),
        ("f", HeaderValue::Bool(false)),
        ("b", HeaderValue::Byte(-3)),
        ("s", HeaderValue::Short(-300)),
        ("i", HeaderValue::Integer(70_000)),
        ("l", HeaderValue::Long(-7_000_000_000)),
        ("y", HeaderValue::Bytes(&[0, 255])),
        ("x", HeaderValue::Text("é")),
        ("m", HeaderValue::Timestamp(1_700_000_000_000)),
        ("u", HeaderValue::Uuid([7; 16])),
    ];
    let bytes = message(&headers, b"{}");
    let mut count = 0;
    let each = |message: &Message<'_>| {
        assert_eq!(message.headers().collect::<Vec<_>>(), headers);
        assert_eq!((message.payload, message.text("x"), message.text("b")), (&b"{}"[..], Some("é"), None));
        count += 1;
    };
    Splitter::default().push(&bytes, each).unwrap();
    assert_eq!(count, 1);
}

#[test]
fn exceptions_and_errors_are_named() {
    let exception = message(
        &[
            (":exception-type", HeaderValue::Text("throttlingException")),
            (":message-type", HeaderValue::Text("exception")),
        ],
        br#"{"message":"slow"}"#,
    );
    let error = message(
        &[
            (":message-type", HeaderValue::Text("error")),
            (":error-code", HeaderValue::Text("InternalError")),
            (":error-message", HeaderValue::Text("a \"quote\"")),
        ],
        b"",
    );
    let (seen, outcome, _) = seen(&[&exception, &error]);
    let named = |name: &str, data: &str| (name.to_owned(), data.as_bytes().to_vec());
    assert_eq!(
        seen,
        [named("throttlingException", r#"{"message":"slow"}"#), named("InternalError", r#"{"message":"a \"quote\""}"#)]
    );
    assert_eq!(outcome, Ok(()));
}

#[test]
fn what_is_wrong_is_said_and_stays() {
    let good = event("x", "{}");
    let mut prelude = good.clone();
    prelude[3] ^= 1;
    let mut body = good.clone();
    let last = body.len() - 6;
    body[last] ^= 1;
    for (bytes, why) in [
        (prelude, Broken::Checksum),
        (body, Broken::Checksum),
        (sealed(MAX_MESSAGE + 1, 0, b""), Broken::TooLong),
        (sealed(15, 0, b""), Broken::Lengths),
        (sealed(20, 5, b"1234"), Broken::Lengths),
        (sealed(20, 4, &[1, b'a', 77, 0]), Broken::Headers),
        (sealed(20, 4, &[9, b'a', 7, 0]), Broken::Headers),
    ] {
        let mut splitter = Splitter::default();
        assert_eq!(splitter.push(&bytes, |_| panic!("not a message")), Err(why));
        assert_eq!(splitter.push(&good, |_| panic!("read on")), Err(why));
    }
}

#[test]
fn recorded_streams_are_read_to_their_end_in_pieces_of_any_size() {
    let mut count = 0;
    for record in records("bedrock.converse").into_iter().chain(records("bedrock.invoke")) {
        let Some(raw) = record.raw else { continue };
        let whole = seen(&[&raw]);
        assert!(whole.1.is_ok() && whole.2 && !whole.0.is_empty(), "{}", record.name);
        for (name, data) in &whole.0 {
            assert!(!name.is_empty(), "{}", record.name);
            serde_json::from_slice::<serde_json::Value>(data).unwrap_or_else(|e| panic!("{}: {e}", record.name));
        }
        for size in [1, 7, 64, 1000] {
            assert_eq!(seen(&raw.chunks(size).collect::<Vec<_>>()), whole, "{} by {size}", record.name);
        }
        count += 1;
    }
    println!("{count} recorded event streams");
}

proptest! {
    #[test]
    fn any_split_gives_the_same_messages(cuts in prop::collection::vec(0..1000_usize, 0..9)) {
        let bytes = [event("a", "{\"é\":1}"), event("b", ""), message(&[], b"x"), event("c", &"y".repeat(300))].concat();
        prop_assert_eq!(seen(&pieces(&bytes, &cuts)), seen(&[&bytes]));
    }

    #[test]
    fn a_changed_byte_is_noticed_wherever_it_is(
        at in 0..1000_usize, flip in 1..=255_u8, cuts in prop::collection::vec(0..1000_usize, 0..4)
    ) {
        let first = event("a", "{\"a\":1}");
        let mut bytes = [first.clone(), event("b", "{\"b\":2}")].concat();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        let (seen, outcome, _) = seen(&pieces(&bytes, &cuts));
        prop_assert!(outcome.is_err());
        prop_assert_eq!(seen.len(), usize::from(at >= first.len()));
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = seen(&[&bytes]);
        let _ = seen(&[&sealed(bytes.len() + SHORTEST, bytes.len().min(40), &bytes)]);
    }
}
