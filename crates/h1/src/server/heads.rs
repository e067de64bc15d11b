//! Requests' heads as they come: whole, in pieces, several at once, behind empty lines. Which bytes are one is `weir-wire`'s decision.

use std::mem;

use bytes::Bytes;
use http::{Method, Uri};
use weir_wire::{Fault, RequestHead, Requests};

use crate::begun::Begun;

/// How much of a refused request line is looked at, for the record.
const KEPT: usize = 1024;

/// A request's head, and why it is refused if it is.
pub(super) type Heard = (RequestHead, Option<Fault>);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Heads {
    requests: Requests,
    begun: Begun,
    late: bool,
}

impl Heads {
    /// The next head in what was read, which loses it; `None`: more is to be read.
    pub(super) fn next(&mut self, ahead: &mut Bytes) -> Option<Heard> {
        if !ahead.is_empty()
            && let Some(bytes) = self.begun.with(mem::take(ahead))
            && let Some(heard) = self.look(bytes, ahead)
        {
            return Some(heard);
        }
        let late = mem::take(&mut self.late) && !self.begun.is_empty();
        late.then(|| self.refuse(Fault::Late))
    }

    /// The client sends nothing more: a head that was begun will never be whole.
    pub(super) fn end(&mut self) -> Option<Heard> {
        (!self.begun.is_empty()).then(|| self.refuse(Fault::Unfinished))
    }

    /// The head that was begun has used up its time.
    pub(super) fn too_late(&mut self) {
        self.late = true;
    }

    /// Whether nothing lies here of a head, or of an empty line before one.
    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_empty()
    }

    /// Whether a head has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.is_head()
    }

    fn look(&mut self, mut bytes: Bytes, ahead: &mut Bytes) -> Option<Heard> {
        match self.requests.next(&mut bytes) {
            Ok(Some(head)) => {
                *ahead = bytes;
                Some((head, None))
            }
            Ok(None) => {
                self.begun.keep(bytes);
                None
            }
            Err(fault) => Some((refused(&bytes), Some(fault))),
        }
    }

    fn refuse(&mut self, fault: Fault) -> Heard {
        (refused(&self.begun.take()), Some(fault))
    }
}

/// Stands for a head that was refused: its method and target, as far as they can be told. In HTTP/1.1, as the answer to it will be.
#[cold]
fn refused(bytes: &[u8]) -> RequestHead {
    let line = &bytes[..bytes.len().min(KEPT)];
    let line = line.split(|byte| matches!(byte, b'\r' | b'\n')).next();
    let mut words = line
        .unwrap_or_default()
        .split(|byte| matches!(byte, b' ' | b'\t'));
    let method = words
        .next()
        .and_then(|method| Method::from_bytes(method).ok());
    let target = words
        .next()
        .and_then(|target| target.split(|byte| *byte == b'#').next())
        .and_then(|target| Uri::try_from(target).ok());
    RequestHead {
        method: method.unwrap_or_else(|| Method::from_bytes(b"-").expect("a token")),
        target: target.unwrap_or_default(),
        ..RequestHead::default()
    }
}
