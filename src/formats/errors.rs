//! Errors in the format of the client's route.

use serde_json::{Value, json};

use crate::{
    chat::Wire,
    dialect::{anthropic_messages, call::Api, gemini, openai_responses},
    error::Error,
};

/// The body of an error answer. `numeric_code`: for SDKs that insist on a number in OpenAI's envelope.
pub fn write_error(api: Api, error: &Error, numeric_code: bool) -> String {
    match api.wire() {
        Wire::AnthropicMessages => anthropic_messages::write_error(error).to_string(),
        Wire::Gemini => gemini::write_error(error).to_string(),
        Wire::OpenaiResponses if !numeric_code => openai_responses::write_error(error).to_string(),
        _ => error.to_body(numeric_code),
    }
}

/// The event for a client that was already promised a stream when everything failed; `body`: the error as
/// an answer would carry it.
pub fn late_error(api: Api, array: bool, body: &str) -> Vec<u8> {
    let error = || serde_json::from_str::<Value>(body).unwrap_or_default();
    match api.wire() {
        Wire::AnthropicMessages => format!("event: error\ndata: {body}\n\n").into_bytes(),
        Wire::Gemini if array => format!("[{body}]").into_bytes(),
        Wire::Gemini => format!("{body}\n").into_bytes(),
        Wire::OpenaiResponses => {
            let error = error();
            let of = |key: &str| error.get("error").and_then(|error| error.get(key)).cloned().unwrap_or_default();
            let event = json!({
                "type": "error", "sequence_number": 0,
                "code": of("code"), "message": of("message"), "param": of("param"),
            });
            format!("event: error\ndata: {event}\n\n").into_bytes()
        }
        wire => {
            let object = if wire == Wire::OpenaiCompletions { "text_completion" } else { "chat.completion.chunk" };
            let mut choice = json!({ "index": 0, "finish_reason": "error", "native_finish_reason": null });
            if let Value::Object(choice) = &mut choice {
                match wire {
                    Wire::OpenaiCompletions => choice.insert("text".to_owned(), "".into()),
                    _ => choice.insert("delta".to_owned(), json!({ "content": "" })),
                };
            }
            let event = json!({ "object": object, "error": error().get("error"), "choices": [choice] });
            format!("data: {event}\n\n").into_bytes()
        }
    }
}
