//! Forms: spans that are where they say, and forms written by us that are read as they were meant.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::framing::multipart::{self, Field};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (content_type, _) = text.split_once('\n').unwrap_or((&text, ""));
    let body = data.iter().position(|byte| *byte == b'\n').map_or(data, |at| &data[at + 1..]);
    let boundary = multipart::boundary(content_type).unwrap_or_else(|| "b".to_owned());
    match multipart::parse(body, &boundary) {
        Err(malformed) => assert!(malformed.at <= body.len()),
        Ok(parts) => {
            let mut before = 0;
            for part in &parts {
                assert_eq!(&body[part.start..part.end()], part.value);
                assert!(before <= part.whole_start && part.whole_start < part.start && part.end() <= part.whole_end);
                assert!(part.whole_end <= body.len());
                before = part.whole_end;
            }
            again(&parts);
        }
    }
    let values: Vec<&[u8]> = body.split(|byte| *byte == 0).take(100).collect();
    let fields: Vec<Field<'_>> =
        values.iter().map(|value| Field { name: "f", filename: None, content_type: None, value }).collect();
    let (boundary, form) = multipart::write(&fields);
    let read = multipart::parse(&form, &boundary).expect("a form that we wrote");
    assert_eq!(read.iter().map(|part| part.value).collect::<Vec<_>>(), values);
});

/// What was read, written and read once more, has the same values.
fn again(parts: &[multipart::Part<'_>]) {
    let fields: Vec<Field<'_>> = parts
        .iter()
        .map(|part| Field {
            name: &part.name,
            filename: part.filename.as_deref(),
            content_type: part.content_type,
            value: part.value,
        })
        .collect();
    let (boundary, form) = multipart::write(&fields);
    let read = multipart::parse(&form, &boundary).expect("a form that we wrote");
    assert!(read.iter().map(|part| part.value).eq(parts.iter().map(|part| part.value)));
}
