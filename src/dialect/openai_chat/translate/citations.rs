//! What an answer rests on: `annotations` of its text, and Perplexity's lists beside the answer.

use serde_json::{Map, Value};

use super::{WIRE, pieces::remove};
use crate::chat::{Citation, Extra};

/// Citations among annotations, and the annotations that are none.
pub fn citations(annotations: Value) -> (Vec<Citation>, Vec<Value>) {
    let Value::Array(annotations) = annotations else { return (Vec::new(), Vec::new()) };
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for mut annotation in annotations {
        match annotation.get_mut("url_citation").map(Value::take) {
            Some(Value::Object(citation)) => found.push(citation_of(citation)),
            _ => others.push(annotation),
        }
    }
    (found, others)
}

/// Routers give `0, 0` for a place that they do not know.
fn citation_of(mut members: Map<String, Value>) -> Citation {
    let mut text = |key: &str| match remove(&mut members, key) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    };
    let (url, title, cited) = (text("url"), text("title"), text("content"));
    let mut place = |key: &str| remove(&mut members, key).and_then(|place| place.as_u64());
    let (start, end) = match (place("start_index"), place("end_index")) {
        (Some(0), Some(0)) => (None, None),
        places => places,
    };
    members.retain(|_, value| !value.is_null());
    Citation { url, title, cited, start, end, extra: Extra::of(WIRE, members) }
}

/// Perplexity's `search_results`, or else its `citations`: pages that the whole answer rests on.
pub fn sources(body: &Map<String, Value>) -> Vec<Citation> {
    let list = |key: &str| body.get(key).and_then(Value::as_array).filter(|items| !items.is_empty());
    if let Some(results) = list("search_results") {
        let text =
            |result: &Value, key: &str| result.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let page = |result: &Value| Citation {
            url: text(result, "url"),
            title: text(result, "title"),
            cited: text(result, "snippet"),
            ..Citation::default()
        };
        return results.iter().map(page).collect();
    }
    let urls = list("citations").into_iter().flatten().filter_map(Value::as_str);
    urls.map(|url| Citation { url: Some(url.to_owned()), ..Citation::default() }).collect()
}
