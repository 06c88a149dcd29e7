//! Recorded bodies with members lost or replaced: whatever comes, nothing panics.

use serde_json::{Value, json};

use super::{super::*, decoded, encoded, names, written};
use crate::{
    chat::{Collector, Event},
    dialect::testing::records,
    error::{Error, ErrorKind},
};

/// A generator of numbers that are as good as random (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides.max(1)).unwrap()).unwrap()
    }

    fn anything(&mut self) -> Value {
        let things = [
            json!(null),
            json!(true),
            json!(-1),
            json!(1.5),
            json!(1e300),
            json!(u64::MAX),
            json!(""),
            json!("text"),
            json!([]),
            json!([{}]),
            json!({}),
            json!({ "type": "text" }),
            json!({ "type": "tool_use", "index": 7 }),
            json!("sluice.reasoning.e30="),
        ];
        things[self.below(things.len())].clone()
    }

    /// Walks down at random and damages what it finds there.
    fn damage(&mut self, value: &mut Value) {
        let stop = self.below(4) == 0;
        match value {
            Value::Object(members) if !members.is_empty() => {
                let key = members.keys().nth(self.below(members.len())).unwrap().clone();
                match (stop, self.below(3)) {
                    (true, 0) => drop(members.shift_remove(&key)),
                    (true, 1) => drop(members.insert(key, self.anything())),
                    (true, _) => drop(members.insert("unheard_of".to_owned(), self.anything())),
                    (false, _) => self.damage(members.get_mut(&key).unwrap()),
                }
            }
            Value::Array(items) if !items.is_empty() => {
                let at = self.below(items.len());
                match (stop, self.below(2)) {
                    (true, 0) => drop(items.remove(at)),
                    (true, _) => items[at] = self.anything(),
                    (false, _) => self.damage(&mut items[at]),
                }
            }
            other => *other = self.anything(),
        }
    }
}

fn serve(body: Value) {
    let quirks: [&[&str]; 4] = [
        &[],
        &["vertex", "budget_thinking", "no_effort", "one_sampler", "no_strict"],
        &["bedrock_invoke", "adaptive_thinking", "no_sampling", "no_thinking_off"],
        &["system_turns"],
    ];
    if let Ok(request) = decode_request(body.clone()) {
        for quirks in quirks {
            let _ = encoded(&request, quirks);
        }
    }
    if let Ok(answer) = decode_answer(body.clone()) {
        encode_answer(&answer, &names());
    }
    let _ = decode_count(&body);
    read_error(400, body.to_string().as_bytes());
}

#[test]
fn nothing_damaged_is_a_panic() {
    let mut dice = Dice(0x5DEE_CE66_D1CE_4E5B);
    for dialect in ["anthropic.messages", "anthropic.count_tokens", "bedrock.invoke"] {
        for record in records(dialect) {
            for body in [Some(record.request), record.body].into_iter().flatten() {
                for _ in 0..30 {
                    let mut body = body.clone();
                    for _ in 0..=dice.below(3) {
                        dice.damage(&mut body);
                    }
                    serve(body);
                }
            }
            if let Some(text) = &record.text {
                stream(&super::frames(&[text.as_bytes()]), &mut dice);
            }
        }
    }
}

fn stream(frames: &[(Option<String>, Vec<u8>)], dice: &mut Dice) {
    for _ in 0..20 {
        let mut frames = frames.to_vec();
        for _ in 0..=dice.below(4) {
            let at = dice.below(frames.len());
            match dice.below(4) {
                0 => drop(frames.remove(at)),
                1 => frames.insert(at, frames[dice.below(frames.len())].clone()),
                2 => frames[at].1.truncate(5),
                _ => {
                    let mut value: Value = serde_json::from_slice(&frames[at].1).unwrap_or_default();
                    dice.damage(&mut value);
                    frames[at].1 = value.to_string().into_bytes();
                }
            }
            if frames.is_empty() {
                break;
            }
        }
        let events = decoded(&frames);
        written(&events);
        let mut collector = Collector::default();
        for event in &events {
            collector.push(event.clone());
        }
        let failed = events.iter().any(|event| matches!(event, Event::Error(_)));
        assert_eq!(collector.finish().is_err(), failed);
        let mut out = Vec::new();
        Encoder::new(names()).fail(&Error::new(ErrorKind::ProviderUnavailable, "m"), &mut out);
        assert!(out.starts_with(b"event: error\n"));
    }
}
