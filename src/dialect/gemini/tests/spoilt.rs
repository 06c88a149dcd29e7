//! Recorded traffic with something deleted or replaced, somewhere: nothing of it panics.

use serde_json::{Map, Value, json};

use super::{
    super::*,
    corpus::{bodies, collect, generate, names, target},
};
use crate::{chat::Event, dialect::Frame};

/// A small generator of numbers: the same ones in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides.max(1)
    }

    /// Deletes or replaces something, somewhere.
    fn spoil(&mut self, value: &mut Value) {
        let odd = [json!(null), json!(-1), json!(1e300), json!("x"), json!([]), json!({}), json!([[1]]), json!(true)];
        let deeper = self.roll(4) > 0;
        match value {
            Value::Object(map) if !map.is_empty() => {
                let key = map.keys().nth(self.roll(map.len())).unwrap().clone();
                match (deeper, self.roll(2)) {
                    (true, _) => self.spoil(&mut map[&key]),
                    (false, 0) => drop(map.shift_remove(&key)),
                    _ => map[&key] = odd[self.roll(odd.len())].clone(),
                }
            }
            Value::Array(items) if !items.is_empty() => {
                let at = self.roll(items.len());
                match (deeper, self.roll(2)) {
                    (true, _) => self.spoil(&mut items[at]),
                    (false, 0) => drop(items.remove(at)),
                    _ => items[at] = odd[self.roll(odd.len())].clone(),
                }
            }
            other => *other = odd[self.roll(odd.len())].clone(),
        }
    }
}

#[test]
fn spoilt_traffic_is_survived() {
    let mut dice = Dice(7);
    for record in generate() {
        for _ in 0..40 {
            let spoil = |dice: &mut Dice, value: &Value| {
                let mut value = value.clone();
                (0..=dice.roll(3)).for_each(|_| dice.spoil(&mut value));
                value
            };
            if let Ok(request) = decode_request(spoil(&mut dice, &record.request)) {
                let quirks = ["openapi_schema".to_owned(), "thought_signature_required".to_owned()];
                let _ = encode_request(&request, &target(&quirks));
                let _ = encode_request(&request, &target(&[]));
            }
            let bodies = match (&record.body, record.status) {
                (Some(body), _) => vec![body.clone()],
                (None, 200) => bodies(&record),
                _ => continue,
            };
            if let Ok(answer) = decode_answer(spoil(&mut dice, &bodies[0])) {
                encode_answer(&answer, &names());
            }
            let (mut decoder, mut events, mut bytes) = (Decoder::default(), Vec::new(), Vec::new());
            for body in &bodies {
                let data = if dice.roll(4) == 0 { spoil(&mut dice, body) } else { body.clone() }.to_string();
                decoder.push(&Frame { event: None, data: data.as_bytes() }, &mut events);
            }
            decoder.finish(&mut events);
            let mut encoder = Encoder::new(names());
            for event in &events {
                encoder.push(event, &mut bytes);
            }
            encoder.end(None, Map::new(), &mut bytes);
            let failed = events.iter().filter(|event| matches!(event, Event::Error(_))).count();
            let finished = events.iter().any(|event| matches!(event, Event::Finish { .. }));
            assert!(failed == 1 && !finished || failed == 0 && finished, "{}: {events:?}", record.name);
            let _ = collect(events);
        }
    }
}
