//! Requests' heads as they come: whole, in pieces, several at once, behind empty lines. Which bytes are one is `weir-wire`'s decision.

use std::mem;

use bytes::Bytes;
use http::{Method, Uri};
use weir_wire::{Fault, RequestHead, Requests};

use crate::begun::Begun;

/// How much of a refused request line is looked at, for the record.
const KEPT: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Heads {
    requests: Requests,
    begun: Begun,
    /// Why what was begun will never be whole, by a clock or by the client's end.
    broken: Option<Fault>,
}

impl Heads {
    /// The next head in what was read, which loses it; `None`: more is to be read. On an error see [`Heads::refused`].
    pub(super) fn next(&mut self, ahead: &mut Bytes) -> Result<Option<RequestHead>, Fault> {
        if !ahead.is_empty()
            && let Some(mut bytes) = self.begun.with(mem::take(ahead))
        {
            let heard = self.requests.next(&mut bytes);
            if matches!(heard, Ok(Some(_))) {
                *ahead = bytes;
                return heard;
            }
            self.begun.keep(bytes);
            heard?;
        }
        match self.broken.take() {
            Some(broken) if !self.begun.is_empty() => Err(broken),
            _ => Ok(None),
        }
    }

    /// The client sends nothing more: a head that was begun will never be whole. Whether there is one.
    pub(super) fn end(&mut self) -> bool {
        self.broken = Some(Fault::Unfinished);
        !self.begun.is_empty()
    }

    /// The head that was begun has used up its time.
    pub(super) fn too_late(&mut self) {
        self.broken = Some(Fault::Late);
    }

    /// Holds nothing more of the heads before: an answer may be a stream, and a silent one holds no more than it must.
    pub(super) fn forget(&mut self) {
        self.requests.forget();
    }

    /// Whether nothing lies here of a head, or of an empty line before one.
    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_empty()
    }

    /// Whether a head has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.is_head()
    }

    /// What stands for the head that was refused.
    pub(super) fn refused(&mut self) -> RequestHead {
        refused(&self.begun.take())
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
