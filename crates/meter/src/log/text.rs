//! An access line for people: what they look for first, then the rest as `name=value`.

use std::io::Write;

use super::{
    entry::{Entry, Fields, Name, Value},
    json, time,
};

/// Said at the start of the line, or the same in every line.
const ELSEWHERE: [&str; 7] = [
    "timestamp",
    "level",
    "service",
    "method",
    "path",
    "status",
    "duration_ms",
];

/// Appends the line and its end.
pub(super) fn write(entry: &Entry<&[u8]>, line: &mut Vec<u8>) {
    write_head(entry, line).expect("a Vec takes all");
    entry.fields("", &mut Rest(line));
    line.push(b'\n');
}

/// What is not said at the start.
struct Rest<'l>(&'l mut Vec<u8>);

impl Fields for Rest<'_> {
    fn field(&mut self, name: &'static Name, value: Value<'_>) {
        if !ELSEWHERE.contains(&name.word) && !matches!(value, Value::Null) {
            self.0.push(b' ');
            self.0.extend_from_slice(name.word.as_bytes());
            self.0.push(b'=');
            write_value(value, self.0).expect("a Vec takes all");
        }
    }
}

/// `2026-11-20T08:00:00.123Z info POST /chat/backend/run 200 2082.500ms`
fn write_head(entry: &Entry<&[u8]>, line: &mut Vec<u8>) -> std::io::Result<()> {
    line.extend_from_slice(&time::text(entry.timestamp));
    write!(line, " {} ", entry.level.as_str())?;
    write_bytes(entry.method, line)?;
    line.push(b' ');
    write_bytes(entry.path, line)?;
    write!(line, " {} ", entry.status)?;
    json::write_millis(entry.duration, line);
    line.extend_from_slice(b"ms");
    Ok(())
}

fn write_value(value: Value<'_>, line: &mut Vec<u8>) -> std::io::Result<()> {
    match value {
        Value::Word(word) => line.extend_from_slice(word),
        Value::Text(text) => write_word(text, line)?,
        Value::Bytes(bytes) => write_bytes(bytes, line)?,
        Value::Number(number) => json::write_number(number, line),
        Value::Millis(duration) => json::write_millis(duration, line),
        Value::Time(at) => line.extend_from_slice(&time::text(at)),
        Value::Address(address) => json::write_address(address, line),
        Value::Null => {}
    }
    Ok(())
}

fn write_bytes(bytes: &[u8], line: &mut Vec<u8>) -> std::io::Result<()> {
    write_word(&String::from_utf8_lossy(bytes), line)
}

/// As it is if it is one plain word, else in quotes. Everything but ASCII is escaped within them: a terminal acts on more control
/// characters than JSON escapes, and a reader is fooled by letters that only look like others.
fn write_word(text: &str, line: &mut Vec<u8>) -> std::io::Result<()> {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if !text.is_empty() && text.len() <= json::SHOWN && text.bytes().all(plain) {
        line.extend_from_slice(text.as_bytes());
        Ok(())
    } else {
        let cut = text.floor_char_boundary(json::SHOWN);
        let more = if cut < text.len() { "..." } else { "" };
        write!(line, "\"{}{more}\"", text[..cut].escape_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::entry::tests::sample;

    fn line(entry: &Entry<&[u8]>) -> String {
        let mut line = Vec::new();
        write(entry, &mut line);
        String::from_utf8(line).expect("ASCII")
    }

    #[test]
    fn reads_well() {
        let mut entry = sample();
        (entry.stream, entry.tenant) = (None, None);
        entry.user = Some("Anna Müller".as_bytes());
        let text = line(&entry);
        assert_eq!(
            text,
            "2026-11-20T16:00:00.123Z info POST /chat/backend/run 200 2082.500ms trace_id=4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b \
             span_id=0f0f0f0f0f0f0f0f user_id=\"Anna M\\u{fc}ller\" message=exchange protocol=HTTP/1.1 route=/chat/backend/* \
             upstream=127.0.0.1:8002 client=10.0.0.7 outcome=complete bytes_in=42 bytes=1310 user_agent=curl/8\n"
        );
        assert!(line(&sample()).ends_with(" events=12 max_gap_ms=150.250 dialect=ag-ui model=gpt-5 input_tokens=7 output_tokens=5 conversation_id=t-1\n"));
    }

    #[test]
    fn nothing_a_peer_sends_breaks_the_line() {
        let agent: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let mut entry = sample();
        (entry.path, entry.user) = ("/a\n2026 b\u{9b}31m".as_bytes(), Some(b"".as_slice()));
        entry.user_agent = Some(&agent);
        let text = line(&entry);
        assert!(text.contains(r#" "/a\n2026 b\u{9b}31m" 200 "#), "{text}");
        assert!(text.contains(" user_id=\"\" "), "{text}");
        assert_eq!(text.find(|c: char| c.is_control()), Some(text.len() - 1));
        assert!(text.is_ascii() && text.len() < 16 * 1024);
    }
}
