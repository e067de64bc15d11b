//! Reads the events of the Agent User Interaction protocol (AG-UI 1.0): whose conversation it is, what it used, how it ended.
//!
//! A delta costs a look at its first field; only the three events that begin and end a run are read.

use serde_json::Value;

use crate::{
    End,
    facts::Facts,
    object::{Field, fields},
    usage::{self, Usage},
};

/// Bytes kept of a thread's id.
const CONVERSATION: usize = 256;

/// Whether `data` is an event of AG-UI: its type is an upper-case word with the prefix of one of its families.
pub(crate) fn speaks(data: &[u8]) -> bool {
    const FAMILIES: [&[u8]; 12] = [
        b"RUN_",
        b"STEP_",
        b"TEXT_MESSAGE_",
        b"TOOL_CALL_",
        b"STATE_",
        b"MESSAGES_",
        b"ACTIVITY_",
        b"THINKING_",
        b"REASONING_",
        b"META",
        b"RAW",
        b"CUSTOM",
    ];
    event_type(data).is_some_and(|name| FAMILIES.iter().any(|family| name.starts_with(family)))
}

/// The type of an event, escapes not resolved.
fn event_type(data: &[u8]) -> Option<&[u8]> {
    // Every server writes it first: then it is found without a walk, which a delta would pay for with half of all that it costs here.
    if let Some(rest) = data.strip_prefix(b"{\"type\":\"") {
        let end = memchr::memchr2(b'"', b'\\', rest)?;
        if rest[end] == b'"' {
            return Some(&rest[..end]);
        }
    }
    let field = fields(data).find(|field| field.key == b"type")?;
    field.value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Takes one event's data.
pub(crate) fn read(data: &[u8], facts: &mut Facts) {
    // Nearly all of a stream, as every server writes it.
    if data.starts_with(b"{\"type\":\"TEXT_MESSAGE_CONTENT\"") {
        facts.content = true;
        return;
    }
    match event_type(data) {
        Some(b"TEXT_MESSAGE_CONTENT" | b"TEXT_MESSAGE_CHUNK") => facts.content = true,
        Some(b"RUN_STARTED") => {
            // One stream may carry several runs; it is over when the last one is.
            facts.ending = Some(None);
            if facts.conversation.is_none() {
                facts.conversation = thread(data);
            }
        }
        Some(b"RUN_FINISHED") => finished(data, facts),
        Some(b"RUN_ERROR") => facts.ending = Some(Some(End::Failed)),
        _ => {}
    }
}

/// The thread's id: the event's own, or that of the input it echoes, where a serialiser puts the input first.
fn thread(data: &[u8]) -> Option<String> {
    let of = |json| {
        fields(json)
            .find(|field| field.key == b"threadId")
            .and_then(|field: Field<'_>| field.text())
    };
    let id = of(data).or_else(|| of(fields(data).find(|field| field.key == b"input")?.value))?;
    (!id.is_empty()).then(|| usage::capped(id, CONVERSATION))
}

fn finished(data: &[u8], facts: &mut Facts) {
    let mut end = End::Finished;
    for field in fields(data) {
        match field.key {
            // Of a result that is longer than what the scanner keeps, nothing that follows it can be read: such a run ends, but its
            // usage is not known.
            b"outcome" if is_cancelled(field.value) => end = End::Cancelled,
            b"usage" => match serde_json::from_slice(field.value) {
                Ok(Value::Array(all)) => all
                    .iter()
                    .filter_map(read_usage)
                    .for_each(|used| usage::add(&mut facts.usage, used)),
                Ok(one @ Value::Object(_)) => {
                    if let Some(used) = read_usage(&one) {
                        usage::add(&mut facts.usage, used);
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }
    facts.ending = Some(Some(end));
}

/// `"cancelled"`, or an object of that type.
fn is_cancelled(outcome: &[u8]) -> bool {
    let kind = fields(outcome)
        .find(|field| field.key == b"type")
        .map_or(outcome, |field| field.value);
    kind == b"\"cancelled\""
}

/// A number that is missing, negative or no integer counts as nothing; the others still count, and no number at all is no usage.
fn read_usage(value: &Value) -> Option<Usage> {
    let number = |key| value.get(key).and_then(Value::as_u64);
    let name = |key| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let (input, output) = usage::figures(
        number("inputTokens"),
        number("outputTokens"),
        number("totalTokens"),
    )?;
    Some(Usage {
        provider: name("provider"),
        model: name("model"),
        input,
        output,
        cached_input: number("cachedInputTokens").unwrap_or(0),
        reasoning: number("reasoningTokens").unwrap_or(0),
        cache_write: number("cacheWriteInputTokens").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(events: &[&str]) -> Facts {
        let mut facts = Facts::default();
        for event in events {
            read(event.as_bytes(), &mut facts);
            facts.event_ended();
        }
        facts
    }

    #[test]
    fn types() {
        let table: &[(&str, Option<&str>)] = &[
            (
                r#"{"type":"RUN_STARTED","threadId":"t"}"#,
                Some("RUN_STARTED"),
            ),
            (r#"{"timestamp":1, "type": "CUSTOM"}"#, Some("CUSTOM")),
            (
                r#"{"type":"TEXT_MESSAGE_CONTENT","delta":"cut o"#,
                Some("TEXT_MESSAGE_CONTENT"),
            ),
            (r#"{"type":"message_start"}"#, None),
            (r#"{"type":"response.created"}"#, None),
            (
                r#"{"type":"RUN_STARTED\u0041"}"#,
                Some(r"RUN_STARTED\u0041"),
            ),
            (r#"{"type":"RUN_STAR"#, None),
            (r#"{"type":"RUN_STAR\"#, None),
            (r#"{"type":7}"#, None),
            (r#"{"a":{"type":"RUN_STARTED"}}"#, None),
            ("[DONE]", None),
        ];
        for (data, expected) in table {
            let data = data.as_bytes();
            let found = event_type(data).filter(|_| speaks(data));
            assert_eq!(found, expected.map(str::as_bytes), "{data:?}");
        }
    }

    #[test]
    fn ends() {
        let table: &[(&[&str], Option<End>)] = &[
            (&[r#"{"type":"RUN_STARTED"}"#], None),
            (&[r#"{"type":"RUN_FINISHED"}"#], Some(End::Finished)),
            (
                &[r#"{"type":"RUN_FINISHED","outcome":"success"}"#],
                Some(End::Finished),
            ),
            (
                &[r#"{"type":"RUN_FINISHED","outcome":"interrupt"}"#],
                Some(End::Finished),
            ),
            (
                &[r#"{"type":"RUN_FINISHED","outcome":"cancelled"}"#],
                Some(End::Cancelled),
            ),
            (
                &[r#"{"type":"RUN_FINISHED","outcome":{"type":"cancelled"}}"#],
                Some(End::Cancelled),
            ),
            (
                &[r#"{"type":"RUN_ERROR","message":"m","code":"c"}"#],
                Some(End::Failed),
            ),
            (
                &[r#"{"type":"RUN_ERROR"}"#, r#"{"type":"RUN_STARTED"}"#],
                None,
            ),
            (
                &[r#"{"type":"TEXT_MESSAGE_CONTENT","delta":"{\"type\":\"RUN_ERROR\"}"}"#],
                None,
            ),
        ];
        for (events, end) in table {
            assert_eq!(after(events).end, *end, "{events:?}");
        }
    }

    #[test]
    fn conversations() {
        let table: &[(&str, Option<&str>)] = &[
            (
                r#"{"type":"RUN_STARTED","threadId":"t-1","runId":"r"}"#,
                Some("t-1"),
            ),
            (
                r#"{"type":"RUN_STARTED","threadId":"t\u002d1","input":{"messages":["cut o"#,
                Some("t-1"),
            ),
            (
                r#"{"type":"RUN_STARTED","input":{"threadId":"inner","messages":["cut o"#,
                Some("inner"),
            ),
            (
                r#"{"type":"RUN_STARTED","input":{"threadId":"inner"},"threadId":"outer"}"#,
                Some("outer"),
            ),
            (r#"{"type":"RUN_STARTED","threadId":""}"#, None),
            (r#"{"type":"RUN_STARTED","threadId":7}"#, None),
            (r#"{"type":"RUN_STARTED","threadId":"cut o"#, None),
        ];
        for (event, id) in table {
            assert_eq!(after(&[event]).conversation.as_deref(), *id, "{event}");
        }
        let long = format!(
            r#"{{"type":"RUN_STARTED","threadId":"{}"}}"#,
            "é".repeat(1000)
        );
        assert_eq!(
            after(&[&long]).conversation.map(|id| id.len()),
            Some(CONVERSATION)
        );
    }

    #[test]
    fn usage_adds_up_over_runs() {
        let run = r#"{"type":"RUN_FINISHED","usage":[
            {"provider":"azure","model":"gpt","inputTokens":10,"outputTokens":5,"totalTokens":15,"reasoningTokens":2,"cachedInputTokens":4,"cacheWriteInputTokens":1},
            {"provider":"azure","model":"mini","inputTokens":-1,"outputTokens":3.5},
            {"model":"total","totalTokens":9}]}"#;
        let usage = after(&[run, run]).usage;
        assert_eq!(usage.len(), 2);
        assert_eq!(
            usage[0],
            Usage {
                provider: Some("azure".to_owned()),
                model: Some("gpt".to_owned()),
                input: 20,
                output: 10,
                cached_input: 8,
                reasoning: 4,
                cache_write: 2,
            }
        );
        // Nothing that could be counted; and a total alone.
        assert_eq!(usage[1].model.as_deref(), Some("total"));
        assert_eq!((usage[1].input, usage[1].output), (0, 18));
        for nonsense in [
            r#"{"type":"RUN_FINISHED","usage":7}"#,
            r#"{"type":"RUN_FINISHED","usage":[{"inp"#,
        ] {
            let facts = after(&[nonsense]);
            assert_eq!((facts.usage.len(), facts.end), (0, Some(End::Finished)));
        }
    }
}
