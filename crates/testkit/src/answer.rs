//! A whole answer as a client got it, and how it ended.

use crate::head::Head;

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As its framing announced: the length was reached, the last chunk seen, or the connection closed where that is the end.
    Clean,
    /// The connection was closed before that.
    Eof,
    /// The connection was reset, or closed within TLS without the goodbye that tells a whole answer from a cut one.
    Reset,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status line and headers.
    pub head: Head,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Whether that is all of it.
    pub end: End,
}

impl Answer {
    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
