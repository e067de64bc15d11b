//! What the heads on a connection say again and again: a client's agent and its credentials, a server's name. The lines of one head are
//! remembered, and a line that comes again at its place, byte for byte, is not read but taken as it was read then; HPACK's table does the same
//! for HTTP/2. Only reading is spared: what a line says of the body or of the connection is noted of every head.
//!
//! One head stays remembered while those after it repeat at least half of it: a new date costs a line. What is no such head is learnt in its
//! place, the second of them, the fourth, the eighth: a connection with one request learns nothing, and one whose heads differ hardly ever.

use std::fmt;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use memchr::memchr;

use crate::{
    Fault,
    fields::{Sender, line},
};

/// The longest lines that are remembered of a head, all together, in bytes. With what was made of them an idle connection holds 7 KiB at most.
const BYTES: usize = 2 * 1024;
/// The most of them.
const LINES: usize = 24;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    lines: Box<[Line]>,
    /// Heads that did not repeat half of it.
    strange: u32,
}

/// A line as it was read.
pub(crate) struct Line {
    /// With its end.
    pub(crate) bytes: Bytes,
    pub(crate) name: HeaderName,
    pub(crate) value: HeaderValue,
}

/// Without its value, which may be a credential.
impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl Memory {
    /// How many lines are remembered.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The line at this place, if these bytes begin with it.
    pub(crate) fn line(&self, place: usize, bytes: &[u8]) -> Option<&Line> {
        let line = self.lines.get(place)?;
        bytes.starts_with(&line.bytes).then_some(line)
    }

    /// Of a head these are the lines, which hardly were what is remembered.
    #[cold]
    pub(crate) fn strange(&mut self, lines: &[u8], sender: Sender) {
        self.strange = self.strange.saturating_add(1);
        if self.strange > 1 && self.strange.is_power_of_two() && lines.len() <= BYTES {
            self.lines = learnt(lines, sender).unwrap_or_default();
        }
    }

    /// Holds nothing more.
    pub(crate) fn forget(&mut self) {
        if !self.lines.is_empty() {
            self.lines = Box::default();
        }
    }
}

/// Reads lines that were read before, out of a copy: they are not to hold what came with them.
fn learnt(lines: &[u8], sender: Sender) -> Result<Box<[Line]>, Fault> {
    let lines = Bytes::copy_from_slice(lines);
    let (mut learnt, mut at) = (Vec::new(), 0);
    while learnt.len() < LINES
        && let Some(found) = memchr(b'\n', &lines[at..])
    {
        let end = at + found;
        let length = found - usize::from(lines[..end].ends_with(b"\r"));
        let (name, value) = line(&lines, at, length, sender)?;
        learnt.push(Line {
            bytes: lines.slice(at..=end),
            name,
            value,
        });
        at = end + 1;
    }
    Ok(learnt.into())
}

#[cfg(test)]
mod tests {
    use crate::{AnswerHead, Answers, Fault, Requests};

    use super::*;

    const HEAD: &str =
        "HTTP/1.1 200 OK\r\nServer: a\nDate: 1\r\nX-B: c\r\nSet-Cookie: d\r\nSet-Cookie: d\r\n";

    fn read(answers: &mut Answers, text: &str) -> Result<Option<AnswerHead>, Fault> {
        answers.next(&mut Bytes::copy_from_slice(text.as_bytes()))
    }

    /// One that remembers [`HEAD`].
    fn taught() -> Answers {
        let mut answers = Answers::default();
        for _ in 0..2 {
            assert!(answers.memory.lines.is_empty());
            assert!(read(&mut answers, &format!("{HEAD}\r\n")).is_ok());
        }
        assert_eq!(answers.memory.lines.len(), 5);
        answers
    }

    /// With every byte changed, left out or doubled a head is to one that remembers what it is to one that does not.
    #[test]
    fn a_head_is_the_same_with_a_memory_and_without() {
        let framing = "Content-Length: 1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n";
        for extra in ["", framing, "Content-Length: 1\r\n"] {
            let head = format!("{HEAD}{extra}\r\n");
            let mut changed = vec![head.clone()];
            for at in 0..head.len() {
                let (before, rest) = head.split_at(at);
                for with in ["", "\n", "\r", "\0", " ", ":", "x", &rest[..1].repeat(2)] {
                    changed.push(format!("{before}{with}{}", &rest[1..]));
                }
            }
            for text in &changed {
                let mut answers = taught();
                answers.memory.strange = 3;
                // What is strange is learnt at once, and then met again.
                for _ in 0..2 {
                    let known = format!("{:?}", read(&mut answers, text));
                    let fresh = format!("{:?}", read(&mut Answers::default(), text));
                    assert_eq!(known, fresh, "{text:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_remembered_is_not_shown() {
        let shown = format!("{:?}", taught());
        assert!(shown.contains("set-cookie"), "{shown}");
        assert!(!shown.contains("Set-Cookie: d") && !shown.contains("\"d\""));
    }

    #[test]
    fn it_learns_rarely_and_little() {
        let mut answers = taught();
        let other = |number: u32| {
            let lines: String = (0..5)
                .map(|line| format!("X{line}: {number}\r\n"))
                .collect();
            format!("HTTP/1.1 200 OK\r\n{lines}\r\n")
        };
        let learnt = (3..=64).filter(|number| {
            assert!(read(&mut answers, &other(*number)).is_ok());
            answers.memory.lines[0].bytes == format!("X0: {number}\r\n")
        });
        // As the third strange one it begins, for two were there before.
        assert_eq!(learnt.collect::<Vec<_>>(), [4, 8, 16, 32, 64]);
        let long = format!("{HEAD}A: {}\r\n\r\n", "x".repeat(BYTES));
        let many = format!("{HEAD}{}\r\n", "A: b\r\n".repeat(LINES));
        for (text, wanted) in [(long, 0), (many, LINES)] {
            let mut answers = Answers::default();
            for _ in 0..2 {
                assert!(read(&mut answers, &text).is_ok());
            }
            assert_eq!(answers.memory.lines.len(), wanted);
        }
    }

    #[test]
    fn what_a_line_says_is_noted_each_time() {
        let text = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\nExpect: 100-continue\r\nTE: trailers\r\n\r\n";
        let mut requests = Requests::default();
        for _ in 0..3 {
            let mut bytes = Bytes::from_static(text.as_bytes());
            let head = requests.next(&mut bytes).expect("it is right");
            let fields = head.expect("it is whole").fields;
            assert_eq!(fields.length, Some(5));
            assert!(fields.close && fields.expects && fields.trailers);
        }
        // Twice a line that is known once.
        let twice = text.replace("Connection: close\r\n", "Content-Length: 5\r\n");
        let fault = requests.next(&mut Bytes::from(twice)).map(drop);
        assert_eq!(fault, Err(Fault::LengthTwice));
        requests.forget();
        let head = requests.next(&mut Bytes::from_static(text.as_bytes()));
        assert!(matches!(head, Ok(Some(_))));
    }
}
