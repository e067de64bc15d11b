//! Requests' heads as they come: whole, in pieces, several at once, behind empty lines. Which bytes are one is `weir-wire`'s decision.

use std::mem;

use bytes::{Bytes, BytesMut};
use weir_wire::{Fault, Next, Requests};

use super::head::{self, Head};

/// A request's head, and why it is refused if it is.
pub(super) type Heard = (Head, Option<Fault>);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Heads {
    requests: Requests,
    /// A head as far as it came.
    begun: BytesMut,
    late: bool,
}

impl Heads {
    /// The next head in what was read, which loses it; `None`: more is to be read.
    pub(super) fn next(&mut self, ahead: &mut Bytes) -> Option<Heard> {
        while !ahead.is_empty() {
            let fresh = mem::take(ahead);
            if let Some(heard) = self.look(fresh, ahead) {
                return Some(heard);
            }
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

    /// Whether a head has begun: half an empty line is no beginning.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.begun[..], [] | [b'\r'])
    }

    fn look(&mut self, mut fresh: Bytes, ahead: &mut Bytes) -> Option<Heard> {
        if !self.begun.is_empty() {
            self.begun.extend_from_slice(&fresh);
            fresh = mem::take(&mut self.begun).freeze();
        }
        match self.requests.next(&fresh) {
            Ok(Next::More) => {
                // What came in pieces is not copied anew for each of them.
                self.begun = BytesMut::from(fresh);
                None
            }
            Ok(Next::Skip(count)) => {
                *ahead = fresh.split_off(count);
                None
            }
            Ok(Next::Head(opening)) => {
                *ahead = fresh.split_off(opening.length);
                Some(match head::read(&fresh, &opening) {
                    Ok(head) => (head, None),
                    Err(fault) => (head::refused(&fresh), Some(fault)),
                })
            }
            Err(fault) => Some((head::refused(&fresh), Some(fault))),
        }
    }

    fn refuse(&mut self, fault: Fault) -> Heard {
        (head::refused(&mem::take(&mut self.begun)), Some(fault))
    }
}
