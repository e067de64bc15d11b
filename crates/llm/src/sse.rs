//! Where the lines and events of an event stream lie, whatever pieces its bytes come in.
//!
//! Rules after the WHATWG HTML standard, 9.2.5: LF, CRLF and a lone CR end a line, one byte order mark is skipped, an empty line ends an
//! event, a line that starts with `:` is a comment. What the lines say is the taps' business.

use memchr::{memchr, memchr2};

/// Bytes of a line that are kept when it comes in pieces, and shown of any line. A `RUN_STARTED` that echoes a 3 MB prompt is one line;
/// what a tap needs stands at its start.
pub const HEAD: usize = 16 * 1024;

/// A buffer larger than this is given back at the end of its line: ten thousand streams must not each keep what one long line needed.
const KEPT: usize = 2 * 1024;

const DATA: &[u8] = b"data:";

const BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// Where the next byte would stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// No event has begun: a comment or a whole event may be put here.
    Boundary,
    /// Within a line.
    MidLine,
    /// At the start of a line, but the event is not over.
    MidEvent,
}

/// One line, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// `name: value`, or a line without a colon, which is a name with an empty value.
    Field {
        /// What stands before the first colon.
        name: &'a [u8],
        /// What follows the colon, less one leading space. At most [`HEAD`] bytes, together with the name.
        value: &'a [u8],
        /// Whether the line was longer than what is shown of it.
        truncated: bool,
    },
    /// A line that starts with a colon.
    Comment,
    /// An empty line after at least one field: the event is complete.
    EventEnd,
    /// An empty line that ends nothing.
    Blank,
}

/// Follows a stream of bytes. Holds at most [`HEAD`] bytes of the line it is in.
#[derive(Debug, Default)]
pub struct Scanner {
    /// The start of the current line, once a piece has ended within it; never empty then.
    head: Vec<u8>,
    /// The current line has more than `head` holds.
    truncated: bool,
    /// The event has fields already.
    fields: bool,
    /// The last byte was a CR; an LF now belongs to it.
    after_cr: bool,
    /// The last line end that is known for certain was CRLF.
    crlf: bool,
    bom: Bom,
    events: u64,
}

/// How much of a byte order mark the stream has begun with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bom {
    /// So many of its bytes; none at first.
    Seen(usize),
    /// The question is settled.
    Past,
}

impl Default for Bom {
    fn default() -> Self {
        Self::Seen(0)
    }
}

impl Scanner {
    /// At the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes; `on_line` sees each line that they end. A line that lies within `bytes` is not copied.
    pub fn push(&mut self, bytes: &[u8], on_line: impl FnMut(Line<'_>)) {
        self.advance::<false>(bytes, on_line);
    }

    /// Takes of `bytes` no more than up to the first place at which an event is over, its line end included; says how many it took. Where an
    /// event was over already but for the LF of its CRLF, that LF alone.
    pub fn push_event(&mut self, bytes: &[u8], on_line: impl FnMut(Line<'_>)) -> usize {
        self.advance::<true>(bytes, on_line)
    }

    /// `ONE`: stops behind the first event. Constant, because the lines of a long piece are the hot path of every stream.
    fn advance<const ONE: bool>(&mut self, all: &[u8], mut on_line: impl FnMut(Line<'_>)) -> usize {
        let mut bytes = all;
        let before = self.events;
        while let Some(&first) = bytes.first() {
            if self.after_cr {
                self.after_cr = false;
                self.crlf = first == b'\n';
                if self.crlf {
                    bytes = &bytes[1..];
                    if ONE && !self.fields {
                        break;
                    }
                    continue;
                }
            }
            if ONE && self.events != before {
                break;
            }
            if let Bom::Seen(seen) = self.bom {
                if first == BOM[seen] {
                    self.bom = if seen + 1 == BOM.len() {
                        Bom::Past
                    } else {
                        Bom::Seen(seen + 1)
                    };
                    bytes = &bytes[1..];
                    continue;
                }
                self.bom = Bom::Past;
                self.keep(&BOM[..seen]);
            }
            // Every other line is empty.
            let end = match first {
                b'\n' | b'\r' => Some(0),
                _ => memchr2(b'\n', b'\r', bytes),
            };
            let Some(end) = end else {
                self.keep(bytes);
                return all.len();
            };
            let line = &bytes[..end];
            if bytes[end] == b'\r' {
                self.after_cr = true;
            } else {
                self.crlf = false;
            }
            bytes = &bytes[end + 1..];
            if self.head.is_empty() {
                let shown = &line[..line.len().min(HEAD)];
                on_line(self.end_line(shown, line.len() > HEAD));
            } else {
                self.keep(line);
                let mut head = std::mem::take(&mut self.head);
                let truncated = std::mem::take(&mut self.truncated);
                on_line(self.end_line(&head, truncated));
                head.clear();
                if head.capacity() <= KEPT {
                    self.head = head;
                }
            }
        }
        all.len() - bytes.len()
    }

    /// Where the next byte would stand.
    ///
    /// After a CR in a stream whose lines end with CRLF the line counts as unfinished until its LF is there: the standard would allow a
    /// comment between the two, but many clients look for `\r\n\r\n`. Before the first byte this is a boundary; what is put there
    /// displaces a byte order mark, which no known server sends.
    #[must_use]
    pub fn position(&self) -> Position {
        let within_bom = matches!(self.bom, Bom::Seen(1..));
        if !self.head.is_empty() || within_bom || (self.after_cr && self.crlf) {
            Position::MidLine
        } else if self.fields {
            Position::MidEvent
        } else {
            Position::Boundary
        }
    }

    /// Events completed so far. Comments are none, and neither is an empty line by itself.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = HEAD - self.head.len();
        self.truncated |= bytes.len() > room;
        let kept = &bytes[..bytes.len().min(room)];
        // Grown in powers of two up to the cap, which Vec's own growth may overshoot.
        if self.head.capacity() - self.head.len() < kept.len() {
            let wanted = (self.head.len() + kept.len()).next_power_of_two().min(HEAD);
            self.head.reserve_exact(wanted - self.head.len());
        }
        self.head.extend_from_slice(kept);
    }

    fn end_line<'a>(&mut self, line: &'a [u8], truncated: bool) -> Line<'a> {
        match line.first() {
            None if std::mem::take(&mut self.fields) => {
                self.events += 1;
                Line::EventEnd
            }
            None => Line::Blank,
            Some(b':') => Line::Comment,
            Some(_) => {
                self.fields = true;
                // Nearly every line, and then nothing has to be looked for.
                let (name, value) = match line.strip_prefix(DATA) {
                    Some(value) => (&line[..DATA.len() - 1], value),
                    None => split(line),
                };
                let value = value.strip_prefix(b" ").unwrap_or(value);
                Line::Field {
                    name,
                    value,
                    truncated,
                }
            }
        }
    }
}

/// A field's name and its value.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b':', line) {
        Some(colon) => (&line[..colon], &line[colon + 1..]),
        None => (line, b""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    /// What a scanner told, in a form that can be compared.
    #[derive(Debug, PartialEq)]
    struct Told {
        lines: Vec<String>,
        events: u64,
        position: Position,
    }

    fn show(line: Line<'_>) -> String {
        match line {
            Line::Field {
                name,
                value,
                truncated,
            } => format!("{name:?}={value:?}{}", if truncated { "…" } else { "" }),
            other => format!("{other:?}"),
        }
    }

    fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Told {
        let mut scanner = Scanner::new();
        let mut lines = Vec::new();
        for piece in pieces {
            scanner.push(piece, |line| lines.push(show(line)));
            assert!(scanner.head.capacity() <= HEAD);
        }
        Told {
            lines,
            events: scanner.events(),
            position: scanner.position(),
        }
    }

    /// The standard's wording, with no regard to cost: normalise the ends, split, look.
    fn oracle(bytes: &[u8]) -> (Vec<String>, u64) {
        let mut text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
        if let Some(rest) = text.strip_prefix("\u{EF}\u{BB}\u{BF}") {
            text = rest.to_owned();
        }
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let mut whole: Vec<&str> = text.split('\n').collect();
        whole.pop();
        let (mut fields, mut events, mut lines) = (false, 0, Vec::new());
        for line in whole {
            let raw: Vec<u8> = line
                .chars()
                .map(|c| u8::try_from(c).expect("made from bytes"))
                .collect();
            lines.push(if raw.is_empty() {
                let ended = std::mem::take(&mut fields);
                events += u64::from(ended);
                if ended {
                    "EventEnd".to_owned()
                } else {
                    "Blank".to_owned()
                }
            } else if raw[0] == b':' {
                "Comment".to_owned()
            } else {
                fields = true;
                let mut parts = raw.splitn(2, |&byte| byte == b':');
                let name = parts.next().unwrap_or_default();
                let value = parts.next().unwrap_or_default();
                format!("{name:?}={:?}", value.strip_prefix(b" ").unwrap_or(value))
            });
        }
        (lines, events)
    }

    #[test]
    fn positions() {
        use Position::{Boundary, MidEvent, MidLine};
        let table: &[(&[u8], u64, Position)] = &[
            (b"", 0, Boundary),
            (b"d", 0, MidLine),
            (b"data: x", 0, MidLine),
            (b"data: x\n", 0, MidEvent),
            (b"data: x\n\n", 1, Boundary),
            (b"data: x\r", 0, MidEvent),
            (b"data: x\r\r", 1, Boundary),
            (b"data: x\r\n\r", 1, MidLine),
            (b"data: x\r\n\r\n", 1, Boundary),
            (b"data: x\r\n\r\n:", 1, MidLine),
            (b": keep-alive", 0, MidLine),
            (b": keep-alive\n", 0, Boundary),
            (b": keep-alive\n\n", 0, Boundary),
            (b"data: x\n: between\n", 0, MidEvent),
            (b"\n\n\n", 0, Boundary),
            (b"data\n\n", 1, Boundary),
            (b"\xEF", 0, MidLine),
            (b"\xEF\xBB", 0, MidLine),
            (b"\xEF\xBB\xBF", 0, Boundary),
            (b"\xEF\xBB\xBF\n", 0, Boundary),
            (b"\xEF\xBB\xBFdata: x\n\n", 1, Boundary),
            (b"\xEF\xBBx\n\n", 1, Boundary),
            (b"id: 1\nevent: a\ndata: x\n\ndata: y\n\n", 2, Boundary),
        ];
        for (bytes, events, position) in table {
            let told = scan([*bytes]);
            assert_eq!(
                (told.events, told.position),
                (*events, *position),
                "{:?}",
                bytes.escape_ascii().to_string()
            );
            assert_eq!(
                told,
                scan(bytes.chunks(1)),
                "{:?}",
                bytes.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn fields() {
        let table: &[(&[u8], &[u8], &[u8])] = &[
            (b"data: x\n", b"data", b"x"),
            (b"data:x\n", b"data", b"x"),
            (b"data:  x \n", b"data", b" x "),
            (b"data\n", b"data", b""),
            (b"data:\n", b"data", b""),
            (b"data: a: b\n", b"data", b"a: b"),
            (b"\xEF\xBB\xBFdata: x\n", b"data", b"x"),
            (b" data: x\n", b" data", b"x"),
        ];
        for (bytes, name, value) in table {
            let expected = show(Line::Field {
                name,
                value,
                truncated: false,
            });
            assert_eq!(scan([*bytes]).lines, [expected]);
        }
    }

    /// CopilotKit echoes a 3 MB prompt as one line.
    #[test]
    fn a_huge_line_is_cut_for_the_tap_and_costs_no_memory() {
        let mut stream = b"data: ".to_vec();
        stream.resize(3_000_262, b'x');
        stream.extend_from_slice(b"\n\n");
        for size in [1 << 22, 65_536, 1_000, 7] {
            let mut scanner = Scanner::new();
            let mut seen = Vec::new();
            for piece in stream.chunks(size) {
                scanner.push(piece, |line| match line {
                    Line::Field {
                        value, truncated, ..
                    } => seen.push((value.len(), truncated)),
                    other => assert_eq!(other, Line::EventEnd),
                });
                assert!(scanner.head.capacity() <= HEAD);
            }
            assert_eq!(seen, [(HEAD - "data: ".len(), true)]);
            assert_eq!(
                (scanner.events(), scanner.position()),
                (1, Position::Boundary)
            );
            assert!(scanner.head.capacity() <= KEPT);
        }
    }

    proptest! {
        #[test]
        fn any_split_tells_the_same_and_agrees_with_the_standard(
            words in vec(select(vec!["data", ":", " ", "x", "\n", "\r", "\r\n", "\n\n", "é"]), 0..40),
            bom in 0..4_usize,
            sizes in vec(1..9_usize, 1..60),
        ) {
            let mut stream = BOM[..bom].to_vec();
            stream.extend_from_slice(words.concat().as_bytes());
            let mut pieces = Vec::new();
            let mut rest = stream.as_slice();
            for size in sizes {
                let (piece, tail) = rest.split_at(size.min(rest.len()));
                pieces.push(piece);
                rest = tail;
            }
            pieces.push(rest);
            let told = scan(pieces);
            let (lines, events) = oracle(&stream);
            prop_assert_eq!(&told, &scan([stream.as_slice()]));
            prop_assert_eq!((told.lines, told.events), (lines, events));
        }

        #[test]
        fn any_bytes_pass(bytes in vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(scan([bytes.as_slice()]), scan(bytes.chunks(3)));
        }
    }
}
