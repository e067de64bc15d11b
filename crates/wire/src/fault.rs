//! Every way in which bytes fail to be a message. The words are metric labels and log fields; which status each answers is said here too,
//! so that one table in the documentation has it all.

/// Why bytes are not taken as a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// The request line is not `METHOD SP target SP HTTP/1.x`.
    #[error("the request line is malformed")]
    RequestLine,
    /// The target is none of the forms of RFC 9112 section 3.2 that its method may have, or has bytes no URI has.
    #[error("the request target is malformed")]
    Target,
    /// The target has a fragment: a client keeps it to itself, so two parsers disagree on what the path is.
    #[error("the request target has a fragment")]
    Fragment,
    /// The request line is too long.
    #[error("the request line is too long")]
    TargetTooLong,
    /// Not HTTP/1.0 and not HTTP/1.1.
    #[error("the protocol version is not supported")]
    Version,
    /// The status line is not `HTTP/1.x SP 3DIGIT [SP reason]`.
    #[error("the status line is malformed")]
    StatusLine,
    /// A line ended by LF alone.
    #[error("a line ends with a bare LF")]
    BareLf,
    /// CR that ends no line.
    #[error("a CR stands within a line")]
    BareCr,
    /// A header line without a colon, or whose name is no token.
    #[error("a header name is malformed")]
    Name,
    /// Space between a header's name and its colon.
    #[error("a space stands before a header's colon")]
    SpaceBeforeColon,
    /// A header line that begins with white space: folded, as RFC 2616 still had it, or the first.
    #[error("a header line begins with white space")]
    Folded,
    /// NUL or another control byte in a header's value.
    #[error("a control byte stands in a header's value")]
    Value,
    /// More than [`crate::MAX_FIELDS`] header lines.
    #[error("there are too many header lines")]
    TooManyFields,
    /// A head of more than [`crate::MAX_HEAD`] bytes.
    #[error("the head is too large")]
    TooLarge,
    /// Content-Length is not the one way to write a number: a sign, a leading zero, a list, too many digits, or nothing.
    #[error("Content-Length is malformed")]
    Length,
    /// Two Content-Length lines, though they be equal.
    #[error("Content-Length comes twice")]
    LengthTwice,
    /// Transfer-Encoding is anything but `chunked`.
    #[error("Transfer-Encoding is not `chunked`")]
    Coding,
    /// Two Transfer-Encoding lines.
    #[error("Transfer-Encoding comes twice")]
    CodingTwice,
    /// Content-Length beside Transfer-Encoding in a request.
    #[error("Content-Length stands beside Transfer-Encoding")]
    LengthAndCoding,
    /// Transfer-Encoding in HTTP/1.0, which has none.
    #[error("Transfer-Encoding in HTTP/1.0")]
    CodingInOld,
    /// Expect is anything but `100-continue`.
    #[error("the expectation cannot be met")]
    Expectation,
    /// `Connection` names a header of the handshake that it asks for, which would go on without it.
    #[error("Connection names a header of the handshake")]
    Handshake,
    /// The connection ended within the head.
    #[error("the connection ended within the head")]
    Unfinished,
    /// The head was begun and did not come to its end in time, by a clock that is not here.
    #[error("the head did not come in time")]
    Late,
    /// A chunk's size, extension or line ends are not as RFC 9112 section 7.1 has them.
    #[error("a chunk is malformed")]
    Chunk,
    /// The trailer section is malformed or too large.
    #[error("the trailers are malformed")]
    Trailer,
    /// An upstream sent interim answers without end.
    #[error("there are too many interim answers")]
    Interim,
}

impl Fault {
    /// For logs and metric labels.
    pub fn reason(self) -> &'static str {
        match self {
            Self::RequestLine => "request_line",
            Self::Target => "target",
            Self::Fragment => "target_fragment",
            Self::TargetTooLong => "target_too_long",
            Self::Version => "version",
            Self::StatusLine => "status_line",
            Self::BareLf => "bare_lf",
            Self::BareCr => "bare_cr",
            Self::Name => "header_name",
            Self::SpaceBeforeColon => "space_before_colon",
            Self::Folded => "folded_header",
            Self::Value => "header_value",
            Self::TooManyFields => "too_many_headers",
            Self::TooLarge => "head_too_large",
            Self::Length => "content_length",
            Self::LengthTwice => "content_length_twice",
            Self::Coding => "transfer_encoding",
            Self::CodingTwice => "transfer_encoding_twice",
            Self::LengthAndCoding => "length_and_coding",
            Self::CodingInOld => "transfer_encoding_in_http_1_0",
            Self::Expectation => "expectation",
            Self::Handshake => "handshake_named",
            Self::Unfinished => "head_unfinished",
            Self::Late => "head_timeout",
            Self::Chunk => "chunk",
            Self::Trailer => "trailer",
            Self::Interim => "interim_answers",
        }
    }

    /// What a client that sent it is answered. 400 for a version too, not 505: the fault is the client's, and an alarm on 5xx shall not ring.
    pub fn status(self) -> u16 {
        match self {
            Self::Late => 408,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::TooManyFields | Self::TooLarge => 431,
            _ => 400,
        }
    }

    /// The same of a line that has a CR within: that is what is wrong with it.
    pub(crate) fn or_cr_in(self, line: &[u8]) -> Self {
        if line.contains(&b'\r') {
            Self::BareCr
        } else {
            self
        }
    }
}
