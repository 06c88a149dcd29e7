//! Why an answer ended, in the words that providers of these formats use.

use crate::chat::FinishReason;

/// The reason behind a provider's word; a word that nobody knows ends an answer as any other.
///
/// Beside OpenAI's own: `model_length` (Mistral), `insufficient_system_resource` (DeepSeek), `sensitive`
/// and `network_error` (Z.ai), `max_tokens` (OpenAI's old vision models, in `finish_details`), and what
/// routers pass through of other formats.
pub fn finish_reason(word: &str) -> FinishReason {
    match word {
        "length" | "model_length" | "max_tokens" | "MAX_TOKENS" => FinishReason::Length,
        "tool_calls" | "function_call" | "tool_use" => FinishReason::ToolCalls,
        "content_filter" | "sensitive" | "SAFETY" | "refusal" => FinishReason::ContentFilter,
        "error" | "network_error" | "insufficient_system_resource" => FinishReason::Error,
        _ => FinishReason::Stop,
    }
}
