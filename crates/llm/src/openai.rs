//! Reads the chunks of OpenAI's chat completions, as OpenAI, Azure, OpenRouter and LiteLLM send them: usage and the end.
//!
//! Chunks are read until the first one with content has passed; after that only those in which `"usage":{` or `"error":` stands.

use memchr::memmem;
use serde_json::Value;

use crate::{
    End,
    facts::Facts,
    object::{Field, fields},
    usage::{self, Usage},
};

/// Whether `data` speaks this dialect: its sentinel, one of its chunks, or the error that takes a chunk's place.
pub(crate) fn speaks(data: &[u8]) -> bool {
    data.trim_ascii() == b"[DONE]"
        || fields(data).any(|field| {
            (field.key == b"object" && field.value == b"\"chat.completion.chunk\"")
                // Some servers leave the object's name out.
                || (field.key == b"choices" && field.value.starts_with(b"["))
                || (field.key == b"error" && field.value.starts_with(b"{"))
        })
}

/// Takes one event's data.
pub(crate) fn read(data: &[u8], facts: &mut Facts) {
    if data.trim_ascii() == b"[DONE]" {
        // A gateway may close even a failed stream with its sentinel.
        if facts.end != Some(End::Failed) {
            facts.ending = Some(Some(End::Finished));
        }
        return;
    }
    if facts.content && !may_hold(data, b"\"usage\"", b'{') && !may_hold(data, b"\"error\"", b'{') {
        return;
    }
    let mut model = None;
    let mut used = None;
    for field in fields(data) {
        match field.key {
            b"model" => model = field.text(),
            b"choices" if !facts.content => facts.content = has_content(field),
            b"usage" => {
                used = serde_json::from_slice::<Value>(field.value)
                    .ok()
                    .filter(Value::is_object)
            }
            b"error" if field.value.starts_with(b"{") => facts.ending = Some(Some(End::Failed)),
            _ => {}
        }
    }
    if let Some(used) = used.and_then(|used| read_usage(&used, model)) {
        // Where several chunks carry it, each holds the total so far.
        facts.usage.clear();
        usage::add(&mut facts.usage, used);
    }
}

/// Whether `key` stands anywhere in `data` with a value that begins with `first`. A quote within a string is escaped, so a `key` with its
/// quotes is one, or a whole string of that name; the walk over the fields then decides.
fn may_hold(data: &[u8], key: &[u8], first: u8) -> bool {
    memmem::find_iter(data, key).any(|at| {
        let after = data[at + key.len()..].trim_ascii_start();
        after
            .strip_prefix(b":")
            .is_some_and(|value| value.trim_ascii_start().first() == Some(&first))
    })
}

/// Whether one of the choices says something. A role, Azure's filter results and an empty string are nothing yet.
fn has_content(choices: Field<'_>) -> bool {
    let Ok(Value::Array(choices)) = serde_json::from_slice(choices.value) else {
        // A first chunk beyond what the scanner keeps of a line is content without doubt.
        return choices.value.len() > 1024;
    };
    const CONTENT: [&str; 6] = [
        "content",
        "refusal",
        "tool_calls",
        "function_call",
        "reasoning_content",
        "reasoning",
    ];
    choices
        .iter()
        .filter_map(|choice| choice.get("delta"))
        .any(|delta| {
            CONTENT
                .iter()
                .filter_map(|key| delta.get(key))
                .any(|value| match value {
                    Value::Null => false,
                    Value::String(text) => !text.is_empty(),
                    Value::Array(items) => !items.is_empty(),
                    _ => true,
                })
        })
}

/// A number that is missing, negative or no integer counts as nothing; a 0 is a 0, and no number at all is no usage.
fn read_usage(value: &Value, model: Option<String>) -> Option<Usage> {
    let number = |pointer| value.pointer(pointer).and_then(Value::as_u64);
    let (input, output) = usage::figures(
        number("/prompt_tokens"),
        number("/completion_tokens"),
        number("/total_tokens"),
    )?;
    Some(Usage {
        provider: None,
        model,
        input,
        output,
        cached_input: number("/prompt_tokens_details/cached_tokens").unwrap_or(0),
        reasoning: number("/completion_tokens_details/reasoning_tokens").unwrap_or(0),
        cache_write: number("/prompt_tokens_details/cache_write_tokens").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = r#"{"id":"c","object":"chat.completion.chunk","model":"gpt-5","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#;
    const DELTA: &str = r#"{"id":"c","object":"chat.completion.chunk","model":"gpt-5","choices":[{"index":0,"delta":{"content":"\"usage\":{\"error\":"}}],"usage":null}"#;
    const USAGE: &str = r#"{"id":"c","object":"chat.completion.chunk","model":"gpt-5","choices":[],"usage": {"prompt_tokens":11,"completion_tokens":7,"total_tokens":18,"prompt_tokens_details":{"cached_tokens":3,"cache_write_tokens":2},"completion_tokens_details":{"reasoning_tokens":4}}}"#;
    const FILTER: &str = r#"{"object":"chat.completion.chunk","choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#;
    const ERROR: &str = r#"{"id":"c","object":"chat.completion.chunk","error":{"code":502,"message":"m"},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}"#;

    fn after(events: &[&str]) -> Facts {
        let mut facts = Facts::default();
        for event in events {
            read(event.as_bytes(), &mut facts);
            facts.event_ended();
        }
        facts
    }

    #[test]
    fn known_by_its_chunks() {
        for data in [
            ROLE,
            DELTA,
            USAGE,
            FILTER,
            ERROR,
            r#"{"id":"c","choices":[{"delta":{"content":"x"}}]}"#,
            "[DONE]",
            r#"{"error": {"message":"m"}}"#,
        ] {
            assert!(speaks(data.as_bytes()), "{data}");
        }
        for data in [
            r#"{"type":"error","error":"x"}"#,
            r#"{"object":"text"}"#,
            r#"{"choices":"x"}"#,
            "DONE",
            "",
            r#"{"a":{"object":"chat.completion.chunk"}}"#,
        ] {
            assert!(!speaks(data.as_bytes()), "{data}");
        }
    }

    #[test]
    fn content_begins_with_the_first_word() {
        let tool = r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#;
        let table: &[(&[&str], bool)] = &[
            (&[ROLE], false),
            (&[FILTER, ROLE], false),
            (&[USAGE], false),
            (&[r#"{"choices":[{"delta":{"content":null}}]}"#], false),
            (&[r#"{"choices":"content"}"#], false),
            (&[ROLE, DELTA], true),
            (&[tool], true),
        ];
        for (events, content) in table {
            assert_eq!(after(events).content, *content, "{events:?}");
        }
    }

    #[test]
    fn the_last_usage_wins() {
        let early = r#"{"model":"gpt-5","choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":11,"completion_tokens":1}}"#;
        let facts = after(&[ROLE, early, DELTA, USAGE, "[DONE]"]);
        assert_eq!(
            facts.usage,
            [Usage {
                provider: None,
                model: Some("gpt-5".to_owned()),
                input: 11,
                output: 7,
                cached_input: 3,
                reasoning: 4,
                cache_write: 2,
            }]
        );
        let zero = r#"{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":0}}"#;
        assert_eq!(after(&[zero]).usage[0].output, 0);
        let total = r#"{"choices":[],"usage":{"total_tokens":18}}"#;
        assert_eq!(after(&[ROLE, total]).usage[0].output, 18);
        // What says nothing does not take away what was said.
        let nothing = r#"{"choices":[],"usage":{}}"#;
        assert_eq!(after(&[USAGE, nothing]).usage[0].input, 11);
        assert!(
            after(&[ROLE, DELTA, r#"{"usage":{"prompt_tok"#])
                .usage
                .is_empty()
        );
    }

    #[test]
    fn ends() {
        let table: &[(&[&str], Option<End>)] = &[
            (&[ROLE, DELTA, USAGE], None),
            (&[ROLE, DELTA, "[DONE]"], Some(End::Finished)),
            (&[ROLE, DELTA, ERROR], Some(End::Failed)),
            (&[ROLE, DELTA, ERROR, "[DONE]"], Some(End::Failed)),
            (
                &[ROLE, DELTA, r#"{"choices":[{"delta":{"x":{"error":{}}}}]}"#],
                None,
            ),
            (
                &[r#"{"object":"chat.completion.chunk","error":null}"#],
                None,
            ),
        ];
        for (events, end) in table {
            assert_eq!(after(events).end, *end, "{events:?}");
        }
    }
}
