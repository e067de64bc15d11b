//! A head that comes in pieces, on either side. It is read anew from its start, but behind its first line only when another became whole: a head
//! has a hundred lines at most. The worst, 64 KiB whose lines come one by one, costs 16 µs a KiB; in the smallest heads the same bytes cost 10.

use bytes::{Bytes, BytesMut};
use memchr::memchr;
use weir_wire::MAX_HEAD;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Begun(BytesMut);

impl Begun {
    /// What came so far of the head, with what was read now; `None`: it tells no more than before.
    pub(crate) fn with(&mut self, read: Bytes) -> Option<Bytes> {
        if self.0.is_empty() {
            return Some(read);
        }
        // Of a first line as much is looked at as there is.
        let telling = memchr(b'\n', &read).is_some() || memchr(b'\n', &self.0).is_none();
        self.0.extend_from_slice(&read);
        (telling || self.0.len() > MAX_HEAD).then(|| self.take())
    }

    /// Keeps what is no whole head.
    pub(crate) fn keep(&mut self, bytes: Bytes) {
        // Not copied, as a rule: nothing else has these bytes.
        self.0 = BytesMut::from(bytes);
    }

    /// What came so far.
    pub(crate) fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.0).freeze()
    }

    /// Whether nothing of a head is here, or of an empty line before one.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a head has begun: half an empty line is no beginning.
    pub(crate) fn is_head(&self) -> bool {
        !matches!(self.0[..], [] | [b'\r'])
    }
}
