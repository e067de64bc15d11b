//! A message's body, taken out of its framing. Small reads are copied, once and in their exact size, several chunks of a read into one
//! piece; large ones are cut where the framing is and handed on as they are.

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::SizeHint;
use weir_wire::{Chunks, Fault, Part};

use crate::{lent::Piece, portion::Portion};

/// Chunks from so many bytes on are handed over, where they lie in a large read.
const SLICE: usize = 4096;

/// How the body's end is told.
#[derive(Debug)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// By its length; so much of it is still to come.
    Length(u64),
    /// By chunks.
    Chunked(Box<Chunks>),
    /// By the end of the connection, or another protocol has begun.
    Close,
}

/// A body as far as it was read.
#[derive(Debug)]
pub(crate) struct Reading {
    state: State,
    /// To be handed on.
    ready: Bytes,
    /// Of a large read, chunks still in their framing.
    held: Bytes,
    /// Its length is known from its head.
    sized: bool,
    /// What came behind its end: a client's next request. Of a server it belongs to no answer.
    behind: Bytes,
}

#[derive(Debug)]
enum State {
    Open(Framing),
    /// Its end was read, but not told: whoever asks before the first frame must not take a chunked body for none.
    Ended(Option<Box<HeaderMap>>),
    Broken(Fault),
    Over,
}

impl Reading {
    pub(crate) fn new(framing: Framing) -> Self {
        Self {
            sized: matches!(framing, Framing::None | Framing::Length(_)),
            state: match framing {
                Framing::None => State::Over,
                framing => State::Open(framing),
            },
            ready: Bytes::new(),
            held: Bytes::new(),
            behind: Bytes::new(),
        }
    }

    /// Takes what was read, when [`Reading::next`] has no more; false if the connection ended too early.
    pub(crate) fn fill(&mut self, piece: Piece<'_>) -> bool {
        match piece {
            Piece::End => {
                if matches!(self.state, State::Open(Framing::Close)) {
                    self.state = State::Over;
                }
                return !matches!(self.state, State::Open(_));
            }
            Piece::Small(bytes) => {
                self.ready = match self.cut(bytes.len()) {
                    Some(count) => {
                        let (body, behind) = bytes.split_at(count);
                        self.behind = Bytes::copy_from_slice(behind);
                        Bytes::copy_from_slice(body)
                    }
                    None => self.gather(&[], bytes),
                };
            }
            Piece::Large(mut bytes) => match self.cut(bytes.len()) {
                Some(count) => {
                    self.behind = bytes.split_off(count);
                    self.ready = bytes;
                }
                None => self.held = bytes,
            },
        }
        true
    }

    /// The next portion of what was read; `None`: read more, or there is no more.
    pub(crate) fn next(&mut self) -> Option<Result<Portion, Fault>> {
        while self.ready.is_empty() && !self.held.is_empty() {
            self.slice();
        }
        if !self.ready.is_empty() {
            if matches!(self.state, State::Ended(None)) && self.held.is_empty() {
                self.state = State::Over;
            }
            return Some(Ok(Portion::Data(std::mem::take(&mut self.ready))));
        }
        match &mut self.state {
            State::Ended(trailers) => {
                let trailers = trailers.take();
                self.state = State::Over;
                trailers.map(|trailers| Ok(Portion::Trailers(trailers)))
            }
            State::Broken(fault) => Some(Err(*fault)),
            State::Open(_) | State::Over => None,
        }
    }

    /// Whether all that was read was handed on, and more is to come.
    pub(crate) fn is_drained(&self) -> bool {
        matches!(self.state, State::Open(_)) && self.ready.is_empty() && self.held.is_empty()
    }

    /// All of it, where it is here and nothing but data.
    pub(crate) fn whole(&mut self) -> Option<Bytes> {
        let whole = self.sized && matches!(self.state, State::Over) && self.held.is_empty();
        whole.then(|| std::mem::take(&mut self.ready))
    }

    /// Whether there will be no more portions.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Over) && self.ready.is_empty()
    }

    /// Whether its head told its length.
    pub(crate) fn is_sized(&self) -> bool {
        self.sized
    }

    /// Whether it ended as its framing says, and nothing came behind it.
    pub(crate) fn is_clean(&self) -> bool {
        matches!(self.state, State::Over | State::Ended(_))
            && self.held.is_empty()
            && self.behind.is_empty()
    }

    /// What was read of another protocol.
    pub(crate) fn into_rest(self) -> Bytes {
        self.ready
    }

    /// Takes what came behind its end.
    pub(crate) fn take_behind(&mut self) -> Bytes {
        std::mem::take(&mut self.behind)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let ready = self.ready.len() as u64;
        match self.state {
            State::Open(Framing::Length(left)) => SizeHint::with_exact(left + ready),
            State::Over if self.sized => SizeHint::with_exact(ready),
            _ => SizeHint::new(),
        }
    }

    /// How many of so many bytes are the body's, where that does not depend on what they are.
    fn cut(&mut self, count: usize) -> Option<usize> {
        match &mut self.state {
            State::Open(Framing::Chunked(_)) => None,
            State::Open(Framing::Length(left)) => {
                let here = (*left).min(count as u64);
                *left -= here;
                if *left == 0 {
                    self.state = State::Over;
                }
                Some(usize::try_from(here).expect("no more than the read"))
            }
            State::Open(Framing::Close) => Some(count),
            State::Open(Framing::None) | State::Ended(_) | State::Broken(_) | State::Over => {
                Some(0)
            }
        }
    }

    /// Copies the data of all these chunks behind `first`, which is data.
    fn gather<'b>(&mut self, mut first: &'b [u8], mut rest: &'b [u8]) -> Bytes {
        let mut several = Vec::new();
        while !rest.is_empty() {
            let Some(part) = self.part(rest) else {
                self.behind = Bytes::copy_from_slice(rest);
                break;
            };
            let (data, further) = rest[part.framing..].split_at(part.data);
            rest = &further[part.behind..];
            if first.is_empty() {
                first = data;
            } else if !data.is_empty() {
                if several.is_empty() {
                    several.reserve_exact(first.len() + data.len() + rest.len());
                    several.extend_from_slice(first);
                }
                several.extend_from_slice(data);
            }
        }
        if several.is_empty() {
            Bytes::copy_from_slice(first)
        } else {
            several.into()
        }
    }

    /// Takes the next chunk out of what is held.
    fn slice(&mut self) {
        let mut held = std::mem::take(&mut self.held);
        let Some(part) = self.part(&held) else {
            self.behind = held;
            return;
        };
        held.advance(part.framing);
        if part.data >= SLICE {
            self.ready = held.split_to(part.data);
            held.advance(part.behind);
            self.held = held;
        } else {
            let (data, rest) = held.split_at(part.data);
            self.ready = self.gather(data, &rest[part.behind..]);
        }
    }

    /// The next part of these bytes. `None`: nothing of them is the body's.
    fn part(&mut self, bytes: &[u8]) -> Option<Part> {
        let State::Open(Framing::Chunked(chunks)) = &mut self.state else {
            return None;
        };
        match chunks.part(bytes) {
            Ok(part) => {
                if chunks.done() {
                    self.state = State::Ended(trailers(chunks));
                }
                Some(part)
            }
            Err(fault) => {
                self.state = State::Broken(fault);
                None
            }
        }
    }
}

fn trailers(chunks: &Chunks) -> Option<Box<HeaderMap>> {
    let mut map = HeaderMap::new();
    for (name, value) in chunks.trailers() {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            map.append(name, value);
        }
    }
    (!map.is_empty()).then(|| Box::new(map))
}
