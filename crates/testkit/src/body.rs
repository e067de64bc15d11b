//! The bytes of a message's body out of the bytes on the wire, as soon as they are there: half a chunk counts. Tells a body
//! that came to its end from one that only stopped, which is the whole point of it.

use crate::head::find;

/// How a body says where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked,
    /// When the connection closes.
    UntilClose,
}

/// Reads one body.
#[derive(Debug)]
pub struct Decoder {
    state: State,
}

#[derive(Debug)]
enum State {
    /// So many bytes are still to come.
    Length(u64),
    /// A chunk's size line comes next.
    Size,
    /// So many bytes of a chunk are still to come, then its line end.
    Chunk(u64),
    /// The last chunk was seen; trailer lines up to an empty one.
    Trailers,
    UntilClose,
    Done,
}

impl Decoder {
    /// For a body framed like this.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(left) => State::Length(left),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// Whether the end was seen.
    #[must_use]
    pub fn done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether closing the connection is how this body ends.
    #[must_use]
    pub fn ends_by_close(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    /// Takes from `buffer` all that belongs to the body and is there; framing is taken too and not returned.
    ///
    /// # Panics
    /// When chunked framing is broken: weir and the upstreams must never send that.
    pub fn take(&mut self, buffer: &mut Vec<u8>) -> Vec<u8> {
        let mut out = Vec::new();
        loop {
            match &mut self.state {
                State::Done => return out,
                State::UntilClose => {
                    out.append(buffer);
                    return out;
                }
                State::Length(left) => {
                    *left -= take_up_to(*left, buffer, &mut out);
                    if *left > 0 {
                        return out;
                    }
                    self.state = State::Done;
                }
                State::Size => {
                    let Some(line) = take_line(buffer) else {
                        return out;
                    };
                    let digits = line.split(';').next().unwrap_or_default().trim();
                    let size = u64::from_str_radix(digits, 16)
                        .unwrap_or_else(|_| panic!("not a chunk size: {line:?}"));
                    self.state = if size == 0 {
                        State::Trailers
                    } else {
                        State::Chunk(size)
                    };
                }
                State::Chunk(left) => {
                    *left -= take_up_to(*left, buffer, &mut out);
                    if *left > 0 || buffer.len() < 2 {
                        return out;
                    }
                    assert_eq!(
                        &buffer[..2],
                        b"\r\n",
                        "a chunk must be followed by a line end"
                    );
                    buffer.drain(..2);
                    self.state = State::Size;
                }
                State::Trailers => match take_line(buffer) {
                    None => return out,
                    Some(line) if line.is_empty() => self.state = State::Done,
                    Some(_) => {}
                },
            }
        }
    }
}

fn take_up_to(most: u64, buffer: &mut Vec<u8>, out: &mut Vec<u8>) -> u64 {
    let taken = buffer
        .len()
        .min(usize::try_from(most).unwrap_or(usize::MAX));
    out.extend(buffer.drain(..taken));
    taken as u64
}

fn take_line(buffer: &mut Vec<u8>) -> Option<String> {
    let end = find(buffer, b"\r\n")?;
    let line = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end + 2);
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::{Decoder, Framing};

    #[test]
    fn chunked_in_any_pieces() {
        let wire = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-t: 1\r\n\r\nnext";
        for size in 1..wire.len() {
            let (mut decoder, mut buffer, mut out) =
                (Decoder::new(Framing::Chunked), Vec::new(), Vec::new());
            for piece in wire.chunks(size) {
                buffer.extend_from_slice(piece);
                out.extend(decoder.take(&mut buffer));
            }
            assert!(decoder.done(), "pieces of {size}");
            assert_eq!(
                (out.as_slice(), buffer.as_slice()),
                (&b"hello world"[..], &b"next"[..]),
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn half_a_chunk_is_handed_out_and_is_no_end() {
        let (mut decoder, mut buffer) = (Decoder::new(Framing::Chunked), b"a\r\nhalf".to_vec());
        assert_eq!(decoder.take(&mut buffer), b"half");
        assert!(!decoder.done() && !decoder.ends_by_close());
    }

    #[test]
    fn lengths_end_by_themselves() {
        let (mut decoder, mut buffer) = (Decoder::new(Framing::Length(3)), b"abcd".to_vec());
        assert_eq!(decoder.take(&mut buffer), b"abc");
        assert!(decoder.done());
        assert!(Decoder::new(Framing::Length(0)).done());
    }
}
