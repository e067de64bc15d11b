//! An access line as one JSON object.

use std::{borrow::Cow, io::Write, net::IpAddr, time::Duration};

use super::{
    entry::{Entry, Fields, Name, Value},
    time,
};

/// Bytes shown of any text: a line stays under 16 KiB whatever a peer sends.
pub(super) const SHOWN: usize = 1024;

/// Appends the line and its end. Whatever the texts hold, it is one line and one object: `serde_json` escapes them.
pub(super) fn write(entry: &Entry<&[u8]>, service: &str, line: &mut Vec<u8>) {
    object(line, |fields| entry.fields(service, fields));
}

/// One object of the fields that `say` calls out, and its end.
pub(super) fn object(line: &mut Vec<u8>, say: impl FnOnce(&mut Object<'_>)) {
    let from = line.len();
    say(&mut Object(line));
    // Before the first field stands a comma.
    if let Some(first) = line.get_mut(from) {
        *first = b'{';
    }
    line.extend_from_slice(b"}\n");
}

/// An object being written.
pub(super) struct Object<'l>(&'l mut Vec<u8>);

impl Fields for Object<'_> {
    #[inline(always)]
    fn field(&mut self, name: &'static Name, value: Value<'_>) {
        let line = &mut *self.0;
        match value {
            Value::Word(word) => write_quoted(name, word, line),
            Value::Text(text) => write_text(name, text.as_bytes(), line),
            Value::Bytes(bytes) => write_text(name, bytes, line),
            Value::Time(at) => write_quoted(name, &time::text(at), line),
            Value::Address(address) => {
                line.extend_from_slice(name.json.as_bytes());
                write_address(address, line);
                line.push(b'"');
            }
            Value::Number(number) => {
                write_bare(name, line);
                write_number(number, line);
            }
            Value::Millis(duration) => {
                write_bare(name, line);
                write_millis(duration, line);
            }
            Value::Null => {
                write_bare(name, line);
                line.extend_from_slice(b"null");
            }
        }
    }
}

/// A name whose value has no quotes.
fn write_bare(name: &Name, line: &mut Vec<u8>) {
    line.extend_from_slice(&name.json.as_bytes()[..name.json.len() - 1]);
}

/// What stands for itself between quotes. Not inlined, as its like: most of a line's fields are one call of it.
#[inline(never)]
fn write_quoted(name: &Name, text: &[u8], line: &mut Vec<u8>) {
    line.reserve(name.json.len() + text.len() + 1);
    line.extend_from_slice(name.json.as_bytes());
    line.extend_from_slice(text);
    line.push(b'"');
}

/// Escaped where need be, and cut to [`SHOWN`].
#[inline(never)]
fn write_text(name: &Name, text: &[u8], line: &mut Vec<u8>) {
    if is_plain(text) {
        write_quoted(name, text, line);
    } else {
        write_escaped(name, &String::from_utf8_lossy(text), line);
    }
}

/// Few texts need it, and through serde_json's writer each costs three times as much.
#[cold]
fn write_escaped(name: &Name, text: &str, line: &mut Vec<u8>) {
    let shown = if text.len() > SHOWN {
        Cow::Owned(format!("{}…", &text[..text.floor_char_boundary(SHOWN)]))
    } else {
        Cow::Borrowed(text)
    };
    write_bare(name, line);
    serde_json::to_writer(line, &*shown).expect("a Vec takes all, and text is JSON");
}

/// Whether all of it is ASCII, stands for itself in a JSON string (RFC 8259 section 7) and is to be shown. Eight at once, and the last eight
/// again for what is left of them: most texts are that short.
fn is_plain(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk() else {
        let is_special =
            |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\' || !byte.is_ascii();
        return !text.iter().any(|byte| is_special(*byte));
    };
    let mut special = special(*last);
    for eight in text.as_chunks().0 {
        special |= self::special(*eight);
    }
    special == 0 && text.len() <= SHOWN
}

/// Not zero if one of them is below a space, a quote, a backslash or not ASCII: the highest bit of each byte says so. By the known test for a
/// zero byte in a word, `(x - 1) & !x`, of which only the lowest hit is certain; whether there is one is.
fn special(eight: [u8; 8]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let word = u64::from_le_bytes(eight);
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    (word | below_space | zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5c))) & HIGH
}

pub(super) fn write_number(number: u64, line: &mut Vec<u8>) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// In the standard library's form; through its formatter an IPv4 address costs a thousand instructions.
pub(super) fn write_address(address: IpAddr, line: &mut Vec<u8>) {
    let IpAddr::V4(address) = address else {
        return write!(line, "{address}").expect("a Vec takes all");
    };
    for octet in address.octets() {
        let [hundreds, tens, ones] = time::digits(octet.into());
        match octet {
            100.. => line.extend_from_slice(&[hundreds, tens, ones, b'.']),
            10.. => line.extend_from_slice(&[tens, ones, b'.']),
            _ => line.extend_from_slice(&[ones, b'.']),
        }
    }
    line.pop();
}

/// With microseconds behind the point.
pub(super) fn write_millis(duration: Duration, line: &mut Vec<u8>) {
    // Not in 128 bits: they take three times as long to write.
    write_number(
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        line,
    );
    line.push(b'.');
    line.extend_from_slice(&time::digits::<3>((duration.subsec_micros() % 1000).into()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::entry::tests::sample;

    fn line(entry: &Entry<&[u8]>) -> String {
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
    fn what_needs_escaping_is_found_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let special = byte < b' ' || byte == b'"' || byte == b'\\' || byte > 0x7f;
            for place in 0..19 {
                for other in [b' ', b'a', 0x7f] {
                    let mut text = [other; 19];
                    text[place] = byte;
                    assert_eq!(is_plain(&text), !special, "{byte} at {place} among {other}");
                }
            }
        }
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
        entry.stream = Some(Box::default());
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
        let bytes = hostile.as_bytes();
        let mut agent: Vec<u8> = (0..=255).collect();
        agent.resize(100_000, b'"');
        let mut entry = sample();
        (entry.path, entry.method, entry.user, entry.message) =
            (bytes, bytes, Some(bytes), hostile);
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
