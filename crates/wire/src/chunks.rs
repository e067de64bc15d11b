//! A chunked body, followed to its end (RFC 9112 section 7.1): sizes in hexadecimal, CRLF and nothing else, extensions bounded, trailers
//! with the form of headers. One set of rules for both sides.

use crate::{Fault, characters::is_text, fields::split};

/// The longest size line, extensions included, and the longest trailer line; in bytes.
const LINE: usize = 4096;
/// The most trailer lines.
const TRAILERS: usize = 32;
/// The most digits of a size, leading zeros included.
const DIGITS: u8 = 16;
/// The largest chunk that anybody has sent: about 10^18 bytes, as with Content-Length, and far from where numbers of 64 bits turn over.
const LARGEST: u64 = (1 << 60) - 1;

/// How far a chunked body has come.
#[derive(Debug, Default)]
pub struct Chunks {
    state: State,
    trailers: Trailers,
}

/// What the first of some bytes are: so many of the framing, behind them so many of the body itself, and again of the framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Sizes, line ends, trailers.
    pub framing: usize,
    /// Data of one chunk.
    pub data: usize,
    /// The line end after it, where that is there already: an event that came as one chunk is one part.
    pub behind: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size {
        digits: u8,
        size: u64,
    },
    /// `length` of the whole line so far.
    Extension {
        size: u64,
        length: usize,
    },
    /// The CR of a size line was seen.
    SizeEnd(u64),
    Data(u64),
    /// The line end after a chunk's data, and its second half.
    DataCr,
    DataLf,
    Trailer,
    TrailerEnd,
    Done,
    Broken(Fault),
}

#[derive(Debug, Default)]
struct Trailers {
    whole: Vec<Vec<u8>>,
    line: Vec<u8>,
}

impl Default for State {
    fn default() -> Self {
        Self::Size { digits: 0, size: 0 }
    }
}

impl Chunks {
    /// Whether the body's end was seen.
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailers, once the body is done: names, which are tokens, and values.
    pub fn trailers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.trailers
            .whole
            .iter()
            .filter_map(|line| split(line).ok())
    }

    /// What comes first in these bytes, up to the end of a chunk's data; less than all of them also at the body's end, and before what is
    /// wrong: events that came whole in the same segment are still passed on.
    ///
    /// # Errors
    /// What is wrong with the first byte.
    pub fn part(&mut self, bytes: &[u8]) -> Result<Part, Fault> {
        let mut at = 0;
        while at < bytes.len() {
            self.state = match self.state {
                State::Done => break,
                State::Broken(fault) if at == 0 => return Err(fault),
                State::Broken(_) => break,
                // Nearly all of the framing, without a look at each of its states.
                State::Size { digits: 0, .. }
                    if let Some((length, size)) = size_line(&bytes[at..]) =>
                {
                    return Ok(self.data(size, bytes, at + length));
                }
                State::Data(left) => return Ok(self.data(left, bytes, at)),
                framing => match self.byte(framing, bytes[at]) {
                    Ok(next) => {
                        at += 1;
                        next
                    }
                    Err(fault) => State::Broken(fault),
                },
            };
        }
        Ok(Part {
            framing: at,
            data: 0,
            behind: 0,
        })
    }

    /// The part that ends with what is here of a chunk, of which so much is left; it begins behind `framing`.
    fn data(&mut self, left: u64, bytes: &[u8], framing: usize) -> Part {
        let rest = &bytes[framing..];
        let here = left.min(rest.len() as u64);
        let data = usize::try_from(here).expect("no more than the slice");
        let mut behind = 0;
        self.state = match left - here {
            0 if rest[data..].starts_with(b"\r\n") => {
                behind = 2;
                State::default()
            }
            0 => State::DataCr,
            left => State::Data(left),
        };
        Part {
            framing,
            data,
            behind,
        }
    }

    /// A byte that is no data. Refused at the first wrong one: whoever waits for the line end waits for nothing. No blanks around a size:
    /// an old server pads with them, an attacker hides behind them.
    fn byte(&mut self, state: State, byte: u8) -> Result<State, Fault> {
        Ok(match (state, byte) {
            (State::Size { digits, size }, byte) => match (char::from(byte).to_digit(16), byte) {
                (Some(digit), _) if digits < DIGITS && size <= LARGEST >> 4 => State::Size {
                    digits: digits + 1,
                    size: size << 4 | u64::from(digit),
                },
                (None, b'\r') if digits > 0 => State::SizeEnd(size),
                (None, b';') if digits > 0 => State::Extension {
                    size,
                    length: usize::from(digits) + 1,
                },
                _ => return Err(Fault::Chunk),
            },
            (State::Extension { size, .. }, b'\r') => State::SizeEnd(size),
            (State::Extension { size, length }, byte) if length < LINE && is_text(&[byte]) => {
                State::Extension {
                    size,
                    length: length + 1,
                }
            }
            (State::SizeEnd(0), b'\n') => State::Trailer,
            (State::SizeEnd(size), b'\n') => State::Data(size),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::default(),
            (State::Trailer, b'\r') => State::TrailerEnd,
            (State::Trailer, byte) if byte != b'\n' => {
                self.trailers.line.push(byte);
                if self.trailers.line.len() > LINE {
                    return Err(Fault::Trailer);
                }
                State::Trailer
            }
            (State::TrailerEnd, b'\n') => self.trailers.next()?,
            (State::Trailer | State::TrailerEnd, _) => return Err(Fault::Trailer),
            _ => return Err(Fault::Chunk),
        })
    }
}

/// The length of a size line and what it says, where it is a plain one: at most four digits and its CRLF, not the last chunk's. What is not is
/// read byte by byte.
fn size_line(bytes: &[u8]) -> Option<(usize, u64)> {
    let mut size = 0;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        match char::from(*byte).to_digit(16) {
            Some(digit) if at < 4 => size = size << 4 | u64::from(digit),
            None if size > 0 && bytes[at..].starts_with(b"\r\n") => return Some((at + 2, size)),
            _ => return None,
        }
    }
    None
}

impl Trailers {
    /// Takes the line that became whole.
    fn next(&mut self) -> Result<State, Fault> {
        if self.line.is_empty() {
            return Ok(State::Done);
        }
        split(&self.line).map_err(|_| Fault::Trailer)?;
        if self.whole.len() == TRAILERS {
            return Err(Fault::Trailer);
        }
        self.whole.push(std::mem::take(&mut self.line));
        Ok(State::Trailer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these bytes belong to the body and are right.
    fn pass(chunks: &mut Chunks, bytes: &[u8]) -> Result<usize, Fault> {
        let mut at = 0;
        while at < bytes.len() && !chunks.done() {
            match chunks.part(&bytes[at..]) {
                Ok(part) => at += part.framing + part.data + part.behind,
                Err(fault) if at == 0 => return Err(fault),
                Err(_) => break,
            }
        }
        Ok(at)
    }

    /// Fed whole and byte by byte: the same verdict.
    fn read(bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let mut whole = Chunks::default();
        let mut at = 0;
        let verdict = loop {
            match pass(&mut whole, &bytes[at..]) {
                Err(fault) => break Err(fault),
                Ok(count) => at += count,
            }
            if whole.done() || at == bytes.len() {
                break Ok(whole.done().then_some(at));
            }
        };
        let mut pieces = Chunks::default();
        let mut passed = 0;
        let mut dripped = Ok(None);
        for byte in bytes {
            match pass(&mut pieces, &[*byte]) {
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
            ("0002\r\nhi\r\n00002\r\nhi\r\n0000\r\n\r\n", 29),
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
            "ffffffffffffffff\r\n",
            "1000000000000000\r\n",
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
