//! Calls whose arguments come in pieces (Vertex, `streamFunctionCallArguments`): each piece names its place
//! by a JSON path, `$.recipe.ingredients[0].amount`, and texts come bit by bit.

use serde_json::{Map, Value};

/// Deepest place that is written to: as deep as JSON is read.
const DEEPEST: usize = 128;

enum Step<'p> {
    Key(&'p str),
    Item(usize),
}

/// Adds the pieces of `partialArgs` to arguments; `None` where one of them cannot be meant.
pub(super) fn add(arguments: &mut Value, pieces: &[Value]) -> Option<()> {
    pieces.iter().try_for_each(|piece| add_one(arguments, piece))
}

fn add_one(arguments: &mut Value, piece: &Value) -> Option<()> {
    let mut place = arguments;
    for (depth, step) in steps(piece.get("jsonPath")?.as_str()?)?.into_iter().enumerate() {
        if depth > DEEPEST {
            return None;
        }
        place = match step {
            Step::Key(key) => {
                if place.is_null() {
                    *place = Value::Object(Map::new());
                }
                place.as_object_mut()?.entry(key).or_insert(Value::Null)
            }
            Step::Item(index) => {
                if place.is_null() {
                    *place = Value::Array(Vec::new());
                }
                let items = place.as_array_mut()?;
                // Items come one after the other: a gap would be one that never came.
                if index == items.len() {
                    items.push(Value::Null);
                }
                items.get_mut(index)?
            }
        };
    }
    if let Some(more) = piece.get("stringValue").and_then(Value::as_str) {
        match place {
            Value::String(text) => text.push_str(more),
            _ => *place = more.into(),
        }
    } else if let Some(value) = piece.get("numberValue").or_else(|| piece.get("boolValue")) {
        *place = value.clone();
    } else if piece.get("nullValue").is_some() {
        *place = Value::Null;
    }
    Some(())
}

/// The steps of `$.a[0]['b c']`.
fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let (mut rest, mut steps) = (path.strip_prefix('$')?, Vec::new());
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (key, next) = after.split_at_checked(end)?;
            steps.push(Step::Key(key));
            rest = next;
        } else if let Some(after) = rest.strip_prefix("['").or_else(|| rest.strip_prefix("[\"")) {
            let end = after.find(if rest.starts_with("['") { "']" } else { "\"]" })?;
            let (key, next) = after.split_at_checked(end)?;
            steps.push(Step::Key(key));
            rest = next.get(2..)?;
        } else {
            let (index, next) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(Step::Item(index.parse().ok()?));
            rest = next;
        }
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pieces_find_their_places() {
        let mut arguments = Value::Null;
        let pieces = json!([
            {"jsonPath": "$.a.list[0].text", "stringValue": "on", "willContinue": true},
            {"jsonPath": "$.a.list[0].text", "stringValue": "e"},
            {"jsonPath": "$.a.list[1]", "numberValue": 2.5},
            {"jsonPath": "$['odd key'].yes", "boolValue": true},
            {"jsonPath": "$.none", "nullValue": null},
        ]);
        add(&mut arguments, pieces.as_array().unwrap()).unwrap();
        let expected = json!({"a": {"list": [{"text": "one"}, 2.5]}, "odd key": {"yes": true}, "none": null});
        assert_eq!(arguments, expected);
    }

    #[test]
    fn places_that_cannot_be_are_refused() {
        for path in ["$.a[4]", "a", "$[", "$.s.t", "$[-1]", "$['x"] {
            let mut arguments = json!({"s": "text"});
            assert_eq!(add(&mut arguments, &[json!({"jsonPath": path, "stringValue": "x"})]), None, "{path}");
        }
    }
}
