//! An access line as one JSON object.

use std::{borrow::Cow, io::Write, net::IpAddr, time::Duration};

use super::{
    entry::{Entry, Value},
    time,
};

/// Bytes shown of any text: a line stays under 16 KiB whatever a peer sends.
pub(super) const SHOWN: usize = 1024;

/// Appends the line and its end. Whatever the texts hold, it is one line and one object: `serde_json` escapes them.
pub(super) fn write(entry: &Entry<'_>, service: &str, line: &mut Vec<u8>) {
    object(line, |field| entry.fields(service, field));
}

/// One object of the fields that `say` calls out, and its end.
pub(super) fn object(
    line: &mut Vec<u8>,
    say: impl FnOnce(&mut dyn FnMut(&'static str, Value<'_>)),
) {
    let mut separator = b'{';
    say(&mut |name, value| {
        line.push(separator);
        separator = b',';
        line.push(b'"');
        line.extend_from_slice(name.as_bytes());
        line.extend_from_slice(b"\":");
        write_value(value, line).expect("a Vec takes all");
    });
    line.extend_from_slice(b"}\n");
}

fn write_value(value: Value<'_>, line: &mut Vec<u8>) -> std::io::Result<()> {
    match value {
        Value::Text(text) => write_string(text, line)?,
        Value::Bytes(bytes) => write_string(&String::from_utf8_lossy(bytes), line)?,
        Value::Number(number) => write_number(number, line),
        Value::Millis(duration) => write_millis(duration, line),
        Value::Time(at) => {
            line.push(b'"');
            line.extend_from_slice(&time::text(at));
            line.push(b'"');
        }
        Value::Address(address) => {
            line.push(b'"');
            write_address(address, line)?;
            line.push(b'"');
        }
        Value::Null => line.extend_from_slice(b"null"),
    }
    Ok(())
}

/// In quotes, escaped, cut to [`SHOWN`].
pub(super) fn write_string(text: &str, line: &mut Vec<u8>) -> std::io::Result<()> {
    // Nearly every text is such a one; through serde_json's writer each costs three times as much.
    if text.len() <= SHOWN && is_plain(text.as_bytes()) {
        line.push(b'"');
        line.extend_from_slice(text.as_bytes());
        line.push(b'"');
        return Ok(());
    }
    let shown = if text.len() > SHOWN {
        Cow::Owned(format!("{}…", &text[..text.floor_char_boundary(SHOWN)]))
    } else {
        Cow::Borrowed(text)
    };
    serde_json::to_writer(line, &*shown).map_err(Into::into)
}

/// Whether all of it stands for itself in a JSON string (RFC 8259 section 7). Without an early return the compiler does sixteen at once.
fn is_plain(text: &[u8]) -> bool {
    !text.iter().fold(false, |special, byte| {
        special | (*byte < b' ') | (*byte == b'"') | (*byte == b'\\')
    })
}

pub(super) fn write_number(number: impl itoa::Integer, line: &mut Vec<u8>) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// In the standard library's form; through its formatter an IPv4 address costs a thousand instructions.
pub(super) fn write_address(address: IpAddr, line: &mut Vec<u8>) -> std::io::Result<()> {
    let IpAddr::V4(address) = address else {
        return write!(line, "{address}");
    };
    for (place, number) in address.octets().into_iter().enumerate() {
        if place > 0 {
            line.push(b'.');
        }
        write_number(number, line);
    }
    Ok(())
}

/// With microseconds behind the point.
pub(super) fn write_millis(duration: Duration, line: &mut Vec<u8>) {
    write_number(duration.as_millis(), line);
    line.push(b'.');
    line.extend_from_slice(&time::digits::<3>((duration.subsec_micros() % 1000).into()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{StreamFacts, entry::tests::sample};

    fn line(entry: &Entry<'_>) -> String {
        let mut line = Vec::new();
        write(entry, "copilot", &mut line);
        String::from_utf8(line).expect("JSON is UTF-8")
    }

    #[test]
    fn every_field_in_its_order() {
        assert_eq!(
            line(&sample()),
            concat!(
                r#"{"timestamp":"2026-11-20T16:00:00.123Z","level":"info","service":"copilot","#,
                r#""trace_id":"4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b","span_id":"0f0f0f0f0f0f0f0f","#,
                r#""tenant_id":"acme","user_id":"anna","message":"exchange","method":"POST","path":"/chat/backend/run","#,
                r#""status":200,"duration_ms":2082.500,"protocol":"HTTP/1.1","route":"/chat/backend/*","upstream":"127.0.0.1:8002","#,
                r#""client":"10.0.0.7","outcome":"complete","bytes_in":42,"bytes":1310,"user_agent":"curl/8","#,
                r#""first_byte_ms":370.000,"first_event_ms":374.000,"events":12,"max_gap_ms":150.250,"dialect":"ag-ui","#,
                r#""model":"gpt-5","input_tokens":7,"output_tokens":5,"conversation_id":"t-1"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn what_is_absent_is_left_out_but_the_caller_is_null() {
        let mut entry = sample();
        (
            entry.tenant,
            entry.user,
            entry.upstream,
            entry.bytes_in,
            entry.user_agent,
        ) = (None, None, None, None, None);
        entry.reason = Some("no_route");
        entry.stream = Some(StreamFacts::default());
        let text = line(&entry);
        assert!(
            text.contains(r#""tenant_id":null,"user_id":null,"#),
            "{text}"
        );
        assert!(
            text.ends_with(
                "\"outcome\":\"complete\",\"reason\":\"no_route\",\"bytes\":1310,\"events\":0}\n"
            ),
            "{text}"
        );
        assert!(!text.contains("upstream"), "{text}");
    }

    #[test]
    fn nothing_a_peer_sends_breaks_the_line() {
        let hostile = "\"},\n\r\u{0}\u{7f}\u{1b}[31m\u{2028}\\é";
        let mut agent: Vec<u8> = (0..=255).collect();
        agent.resize(100_000, b'"');
        let mut entry = sample();
        (entry.path, entry.method, entry.user, entry.message) =
            (hostile, hostile, Some(hostile), hostile);
        entry.user_agent = Some(&agent);
        let text = line(&entry);
        assert_eq!(text.find('\n'), Some(text.len() - 1));
        assert!(text.len() < 16 * 1024);
        let value: serde_json::Value = serde_json::from_str(&text).expect("one object");
        assert_eq!(
            (value["path"].as_str(), value["user_id"].as_str()),
            (Some(hostile), Some(hostile))
        );
        assert_eq!(value["status"], 200);
    }
}
