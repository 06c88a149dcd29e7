//! Recorded traffic of real providers, for tests of formats. It lies beside the checkout and is never
//! part of it; where it is missing, tests run on no cases and say so.

use std::{fs, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

/// One exchange.
pub struct Record {
    /// `provider/id`.
    pub name: String,
    /// Whose endpoint answered.
    pub provider: String,
    /// The path of the request.
    pub path: String,
    /// The request; null where it was not recorded.
    pub request: Value,
    /// HTTP status of the answer.
    pub status: u16,
    /// The answer, where it is one JSON body.
    pub body: Option<Value>,
    /// The answer, where it is text: SSE, or lines or an array of JSON.
    pub text: Option<String>,
    /// The answer, where it is an AWS event stream.
    pub raw: Option<Vec<u8>>,
    /// `sse`, `ndjson`, `json-array`, `eventstream`; empty for one body.
    pub framing: String,
    /// What it shows (the corpus names them).
    pub features: Vec<String>,
}

impl Record {
    /// Whether it shows this.
    pub fn shows(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }
}

/// Every exchange in that format (`openai.chat`), in order of its name.
pub fn records(dialect: &str) -> Vec<Record> {
    let place = std::env::var("SLUICE_CORPUS").unwrap_or_else(|_| "../shared/corpus".to_owned());
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(place);
    let Ok(providers) = fs::read_dir(&root) else {
        println!("no recorded traffic at {}: no cases of {dialect}", root.display());
        return Vec::new();
    };
    let mut found: Vec<Record> = providers
        .flatten()
        .filter_map(|provider| fs::read_dir(provider.path()).ok())
        .flatten()
        .flatten()
        .filter(|file| file.path().extension().is_some_and(|ending| ending == "json"))
        .filter_map(|file| read(serde_json::from_slice(&fs::read(file.path()).ok()?).ok()?, dialect))
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn read(mut record: Value, dialect: &str) -> Option<Record> {
    if record["dialect"] != dialect {
        return None;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let response = &mut record["response"];
    let (sse, raw) = (response["sse"].as_str().map(str::to_owned), response["raw_base64"].as_str());
    let raw = raw.and_then(|raw| STANDARD.decode(raw).ok());
    let body = (sse.is_none() && raw.is_none()).then(|| response["body"].take());
    let status = u16::try_from(response["status"].as_u64()?).ok()?;
    Some(Record {
        name: format!("{}/{}", text(&record["provider"]), text(&record["id"])),
        provider: text(&record["provider"]),
        path: text(&record["request"]["path"]),
        request: record["request"]["body"].take(),
        status,
        body,
        text: sse,
        raw,
        framing: text(&record["framing"]),
        features: record["features"].as_array().into_iter().flatten().map(text).collect(),
    })
}

#[test]
fn records_are_read_where_they_are() {
    let all = records("openai.chat");
    assert!(all.iter().all(|record| record.body.is_some() || record.text.is_some() || record.raw.is_some()));
    println!("{} exchanges in OpenAI's chat format", all.len());
}
