//! Where the lines of a head are, while it comes in pieces. Each line is checked as soon as it is whole, so that what can never become a
//! head (a TLS handshake, HTTP/0.9, a smuggled line) is refused at once and not when a clock runs out.

use memchr::memchr;

use crate::{Fault, MAX_HEAD};

/// How far a head was read. Offsets are from the start of the head, which must stay where it is between calls.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Where the line that is not yet whole begins.
    start: usize,
    /// Up to where no line end was found.
    searched: usize,
}

impl Lines {
    /// Hands every line that became whole to `line`, with its offset and without its end; the head's length once the empty line was seen.
    pub(crate) fn scan(
        &mut self,
        bytes: &[u8],
        mut line: impl FnMut(usize, &[u8]) -> Result<(), Fault>,
    ) -> Result<Option<usize>, Fault> {
        while let Some(found) = memchr(b'\n', &bytes[self.searched..]) {
            let end = self.searched + found;
            if end >= MAX_HEAD {
                return Err(Fault::TooLarge);
            }
            let [text @ .., b'\r'] = &bytes[self.start..end] else {
                return Err(Fault::BareLf);
            };
            if memchr(b'\r', text).is_some() {
                return Err(Fault::BareCr);
            }
            let at = std::mem::replace(&mut self.start, end + 1);
            self.searched = end + 1;
            if text.is_empty() {
                return Ok(Some(self.start));
            }
            line(at, text)?;
        }
        self.searched = bytes.len();
        if bytes.len() > MAX_HEAD {
            return Err(Fault::TooLarge);
        }
        Ok(None)
    }

    /// Whether the first line is still to come.
    pub(crate) fn in_first(&self) -> bool {
        self.start == 0
    }
}
