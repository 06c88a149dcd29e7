//! What Claude models refuse, by name: one provider serves all of them, so its row cannot say it. Rows of
//! data; what each quirk changes is said at the head of this format.
//!
//! Sources, as of November 2026: platform.claude.com/docs (Thinking, Adaptive thinking, Effort, Structured
//! outputs, Mid-conversation system messages, "What's new" of 4.7 and 4.8),
//! docs.aws.amazon.com/bedrock (adaptive thinking: models that cannot be told not to think),
//! openrouter.ai/docs (migration to Claude 4.7), and what recorded traffic shows.

/// What follows `claude-` in a name, and the model's quirks. The longest beginning that fits counts.
#[rustfmt::skip]
const MODELS: [(&str, &[&str]); 16] = [
    ("",           &["adaptive_thinking", "no_sampling"]),
    ("2",          &["no_thinking", "no_effort", "no_strict"]),
    ("3",          &["no_thinking", "no_effort", "no_strict"]),
    ("3-7",        &["budget_thinking", "no_effort", "no_strict"]),
    ("opus-4",     &["budget_thinking", "no_effort", "no_strict"]),
    ("sonnet-4",   &["budget_thinking", "no_effort", "no_strict"]),
    ("opus-4-1",   &["budget_thinking", "no_effort", "one_sampler"]),
    ("haiku-4-5",  &["budget_thinking", "no_effort", "one_sampler"]),
    ("sonnet-4-5", &["budget_thinking", "no_effort", "one_sampler"]),
    ("opus-4-5",   &["budget_thinking", "one_sampler"]),
    ("opus-4-6",   &["one_sampler"]),
    ("sonnet-4-6", &["one_sampler"]),
    ("opus-4-7",   &["adaptive_thinking", "no_sampling"]),
    ("opus-4-8",   &["adaptive_thinking", "no_sampling", "system_turns"]),
    ("opus-5",     &["adaptive_thinking", "no_sampling", "system_turns"]),
    ("fable-5",    &["adaptive_thinking", "no_sampling", "no_thinking_off"]),
];

/// Its line continues Fable's in all that matters here.
const LIKE: [(&str, &str); 1] = [("mythos", "fable-5")];

/// The quirks of a model, whatever a provider puts around its name (`us.anthropic.`, `@20250929`, `-v1:0`)
/// and however it writes versions (`4.5`, `4-5`). A Claude that is not known is taken for a new one; what
/// is no Claude has none.
pub fn quirks(model: &str) -> &'static [&'static str] {
    let name = model.to_ascii_lowercase().replace('.', "-");
    let Some((_, name)) = name.split_once("claude-") else { return &[] };
    let name = LIKE.iter().find(|(line, _)| name.starts_with(line)).map_or(name, |(_, like)| like);
    let fitting = MODELS.iter().filter(|(begins, _)| name.starts_with(begins));
    fitting.max_by_key(|(begins, _)| begins.len()).map_or(&[], |(_, quirks)| quirks)
}

#[cfg(test)]
mod tests {
    use super::quirks;

    #[test]
    fn models_are_known_under_all_their_names() {
        for (name, like) in [
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
            ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
            ("claude-3-7-sonnet@20250219", "claude-3-7-sonnet-latest"),
            ("claude-opus-4@20250514", "claude-opus-4-20250514"),
            ("claude-mythos-5-1", "claude-fable-5"),
            ("claude-opus-5-5", "claude-opus-5"),
        ] {
            assert_eq!(quirks(name), quirks(like), "{name}");
        }
        assert!(quirks("claude-opus-4-20250514").contains(&"no_strict"));
        assert!(quirks("claude-3-5-haiku-20241022").contains(&"no_thinking"));
        assert!(!quirks("claude-opus-4-6").contains(&"adaptive_thinking"));
        assert_eq!(quirks("claude-nova-9"), quirks("claude-sonnet-5"), "a new one");
        assert_eq!(quirks("deepseek-chat"), &[] as &[&str]);
    }
}
