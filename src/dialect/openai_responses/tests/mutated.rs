//! Recorded traffic with members missing or wrong: errors, never panics.

use serde_json::{Value, json};

use super::{events, names, streams::encode, target};
use crate::dialect::{
    openai_responses::{decode_answer, decode_request, encode_answer, encode_request, read_error},
    testing::records,
};

/// A small generator of numbers: the same ones in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}

/// Deletes or replaces one member, somewhere.
fn spoil(value: &mut Value, dice: &mut Dice) {
    let others = [
        json!(null),
        json!(""),
        json!("é"),
        json!(-1),
        json!(1e99),
        json!([]),
        json!({}),
        json!([null]),
        json!({"type": "x"}),
    ];
    let other = others[dice.below(others.len())].clone();
    match value {
        Value::Object(members) if !members.is_empty() => {
            let key = members.keys().nth(dice.below(members.len())).unwrap().clone();
            match dice.below(4) {
                0 => drop(members.remove(&key)),
                1 => drop(members.insert(key, other)),
                _ => spoil(&mut members[&key], dice),
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = dice.below(items.len());
            match dice.below(6) {
                0 => drop(items.remove(at)),
                1 => items[at] = other,
                _ => spoil(&mut items[at], dice),
            }
        }
        _ => *value = other,
    }
}

#[test]
fn nothing_panics_at_what_is_spoilt() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for record in records("openai.responses") {
        for _ in 0..60 {
            let mut request = record.request.clone();
            (0..=dice.below(3)).for_each(|_| spoil(&mut request, &mut dice));
            if let Ok(read) = decode_request(request.clone()) {
                let _ = encode_request(&read, &target());
            }
            if let Some(mut body) = record.body.clone() {
                (0..=dice.below(3)).for_each(|_| spoil(&mut body, &mut dice));
                let _ = read_error(400, body.to_string().as_bytes());
                if let Ok(answer) = decode_answer(body) {
                    encode_answer(&answer, &names(request.clone()));
                }
            }
        }
        for _ in 0..8 {
            let Some(text) = &record.text else { continue };
            let lines: Vec<String> = text.lines().filter_map(|line| spoilt_line(line, &mut dice)).collect();
            let read = events(format!("{}\n\n", lines.join("\n")).as_bytes(), usize::MAX);
            encode(&read, record.request.clone());
        }
    }
}

fn spoilt_line(line: &str, dice: &mut Dice) -> Option<String> {
    let Some(json) = line.strip_prefix("data: ").filter(|_| dice.below(4) == 0) else { return Some(line.to_owned()) };
    let mut value = serde_json::from_str(json).ok()?;
    spoil(&mut value, dice);
    (dice.below(8) > 0).then(|| format!("data: {value}"))
}
