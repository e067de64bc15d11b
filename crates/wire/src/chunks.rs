//! A chunked body, followed to its end (RFC 9112 section 7.1): sizes in hexadecimal, CRLF and nothing else, extensions bounded, trailers
//! with the form of headers. It changes nothing and keeps no data.

use crate::{Fault, characters::is_text, fields::split};

/// The longest size line, extensions included, and the longest trailer line; in bytes.
const LINE: usize = 4096;
/// The most trailer lines.
const TRAILERS: usize = 32;

/// How far a chunked body has come.
#[derive(Debug)]
pub(crate) struct Chunks {
    state: State,
    /// The bytes of the size line or trailer line that is not yet whole.
    line: Vec<u8>,
    trailers: usize,
    /// Found behind bytes that were right.
    fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Data(u64),
    /// The line end after a chunk's data, and how much of it has come.
    DataEnd,
    Trailer,
    Done,
}

impl Chunks {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Size,
            line: Vec::new(),
            trailers: 0,
            fault: None,
        }
    }

    /// Whether the body's end was seen.
    pub(crate) fn done(&self) -> bool {
        self.state == State::Done
    }

    /// How many of these bytes belong to the body and are right. Fewer than all of them at its end, and before what is wrong: events that
    /// came whole in the same segment are still passed on.
    ///
    /// # Errors
    /// What is wrong with the first byte.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done && self.fault.is_none() {
            if let State::Data(left) = self.state {
                let here = left.min((bytes.len() - at) as u64);
                at += usize::try_from(here).expect("no more than the slice");
                self.state = match left - here {
                    0 => State::DataEnd,
                    left => State::Data(left),
                };
                continue;
            }
            match self.byte(bytes[at]) {
                Ok(()) => at += 1,
                Err(fault) => self.fault = Some(fault),
            }
        }
        match self.fault {
            Some(fault) if at == 0 => Err(fault),
            _ => Ok(at),
        }
    }

    /// A byte of a size line, a data end or a trailer.
    fn byte(&mut self, byte: u8) -> Result<(), Fault> {
        match (self.line.last(), byte) {
            (Some(b'\r'), b'\n') => {
                self.line.pop();
                let line = std::mem::take(&mut self.line);
                self.state = self.next(&line)?;
                return Ok(());
            }
            (Some(b'\r'), _) | (_, b'\n') => return Err(self.fault()),
            _ => self.line.push(byte),
        }
        let longest = if self.state == State::DataEnd {
            1
        } else {
            LINE
        };
        if self.line.len() > longest
            || (self.state == State::DataEnd && byte != b'\r')
            || (self.state == State::Size && !self.can_be_size())
        {
            return Err(self.fault());
        }
        Ok(())
    }

    fn next(&mut self, line: &[u8]) -> Result<State, Fault> {
        Ok(match self.state {
            State::Size => match size(line).ok_or(Fault::Chunk)? {
                0 => State::Trailer,
                size => State::Data(size),
            },
            State::DataEnd if line.is_empty() => State::Size,
            State::Trailer if line.is_empty() => State::Done,
            State::Trailer => {
                self.trailers += 1;
                split(line).map_err(|_| Fault::Trailer)?;
                if self.trailers > TRAILERS {
                    return Err(Fault::Trailer);
                }
                State::Trailer
            }
            State::DataEnd | State::Data(_) | State::Done => return Err(Fault::Chunk),
        })
    }

    /// Refused at the first wrong byte: whoever waits for the line end waits for nothing.
    fn can_be_size(&self) -> bool {
        let digits = self
            .line
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        digits <= 16
            && match self.line.get(digits) {
                None => true,
                Some(b'\r') => digits > 0 && self.line.len() == digits + 1,
                Some(b';') => digits > 0,
                Some(_) => false,
            }
    }

    fn fault(&self) -> Fault {
        if self.state == State::Trailer {
            Fault::Trailer
        } else {
            Fault::Chunk
        }
    }
}

/// `1*HEXDIG [;extension]`, at most 16 digits. No blanks: an old server pads with them, an attacker hides behind them.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line
        .iter()
        .position(|byte| *byte == b';')
        .unwrap_or(line.len());
    let (digits, extension) = line.split_at(digits);
    if digits.is_empty() || digits.len() > 16 || !is_text(extension) {
        return None;
    }
    digits.iter().try_fold(0, |size, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(size << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fed whole and byte by byte: the same verdict.
    fn read(bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let mut whole = Chunks::new();
        let mut at = 0;
        let verdict = loop {
            match whole.pass(&bytes[at..]) {
                Err(fault) => break Err(fault),
                Ok(count) => at += count,
            }
            if whole.done() || at == bytes.len() {
                break Ok(whole.done().then_some(at));
            }
        };
        let mut pieces = Chunks::new();
        let mut passed = 0;
        let mut dripped = Ok(None);
        for byte in bytes {
            match pieces.pass(&[*byte]) {
                Ok(1) => passed += 1,
                Ok(_) => break,
                Err(fault) => {
                    dripped = Err(fault);
                    break;
                }
            }
            if pieces.done() {
                dripped = Ok(Some(passed));
                break;
            }
        }
        assert_eq!(verdict, dripped, "{:?}", String::from_utf8_lossy(bytes));
        verdict
    }

    #[test]
    fn good_bodies() {
        for (bytes, length) in [
            ("0\r\n\r\n", 5),
            ("2\r\nhi\r\n0\r\n\r\nGET", 12),
            ("A\r\n0123456789\r\na;x=y\r\n0123456789\r\n00\r\n\r\n", 40),
            ("2;\"q\"\r\nhi\r\n0;last\r\nA: b\r\n\r\n", 27),
            ("0000000000000001\r\n\n\r\n0\r\n\r\n", 26),
        ] {
            assert_eq!(read(bytes.as_bytes()), Ok(Some(length)), "{bytes:?}");
        }
        assert_eq!(read(b"5\r\nab"), Ok(None));
    }

    #[test]
    fn bad_bodies() {
        for bytes in [
            "\r\n",
            ";x\r\n",
            "0_2e\r\n",
            "0x2\r\n",
            "+2\r\n",
            "-2\r\n",
            " 2\r\n",
            "2 \r\n",
            "2 ;x\r\n",
            "g\r\n",
            "2\n",
            "2\rX",
            "2\r\r\n",
            "00000000000000001\r\n",
            "2;a\nb\r\n",
            "2;a\rb\r\n",
            "2;\x00\r\n",
            "2\r\nhi\n",
            "2\r\nhi\rX",
            "2\r\nhixx",
            "2\r\nhiX\r\n",
            "2\r\nhi\r\r\n",
        ] {
            assert_eq!(read(bytes.as_bytes()), Err(Fault::Chunk), "{bytes:?}");
        }
        for bytes in [
            "0\r\n\n",
            "0\r\n\rX",
            "0\r\nA\r\n\r\n",
            "0\r\nA : b\r\n\r\n",
            "0\r\n A: b\r\n",
            "0\r\nA: \x00\r\n\r\n",
            "0\r\nXXGET / HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(read(bytes.as_bytes()), Err(Fault::Trailer), "{bytes:?}");
        }
        let long = format!("2;{}\r\n", "x".repeat(LINE));
        assert_eq!(read(long.as_bytes()), Err(Fault::Chunk));
        let many = format!("0\r\n{}\r\n", "A: b\r\n".repeat(TRAILERS + 1));
        assert_eq!(read(many.as_bytes()), Err(Fault::Trailer));
    }
}
