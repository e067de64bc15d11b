//! What an answer's head means: what frames the body (RFC 9112 section 6.3), and whether the connection lives on. Which bytes are one is
//! `weir-wire`'s decision.

use http::{Response, Version, response};
use weir_wire::AnswerHead;

use crate::body::Framing;

/// What a head begins.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Boxed: it goes through many hands.
    pub(crate) parts: Box<response::Parts>,
    pub(crate) framing: Framing,
    /// Whether another request may follow on the connection, as far as the head says.
    pub(crate) kept: bool,
}

impl Answer {
    /// `head_only`: the answer is to HEAD, and has no body.
    pub(crate) fn new(head: AnswerHead, head_only: bool) -> Self {
        let AnswerHead {
            status,
            old,
            fields,
        } = head;
        let framing = match (status.as_u16(), fields.chunked, fields.length) {
            (101, ..) => Framing::Close,
            (100..=199 | 204 | 304, ..) => Framing::None,
            _ if head_only => Framing::None,
            (_, true, _) => Framing::Chunked(Box::default()),
            (_, false, Some(0)) => Framing::None,
            (_, false, Some(length)) => Framing::Length(length),
            (_, false, None) => Framing::Close,
        };
        // Two readers could differ on where such an answer ends.
        let doubtful = fields.chunked && fields.length.is_some();
        let kept = fields.keeps(old) && !doubtful && !matches!(framing, Framing::Close);
        let mut parts = Box::new(Response::new(()).into_parts().0);
        parts.status = status;
        parts.version = if old {
            Version::HTTP_10
        } else {
            Version::HTTP_11
        };
        parts.headers = fields.headers;
        Self {
            parts,
            framing,
            kept,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_wire::Answers;

    use super::*;

    fn framing(text: &str, head_only: bool) -> (Framing, bool) {
        let mut bytes = Bytes::copy_from_slice(text.as_bytes());
        let head = Answers::default().next(&mut bytes);
        let head = head.expect("it is right").expect("it is whole");
        assert!(bytes.is_empty());
        let answer = Answer::new(head, head_only);
        (answer.framing, answer.kept)
    }

    #[test]
    fn what_frames_a_body() {
        for (text, wanted, kept) in [
            ("HTTP/1.1 200 OK\r\n\r\n", "Close", false),
            (
                "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n",
                "Length(5)",
                true,
            ),
            ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "None", true),
            ("HTTP/1.1 200 OK\nContent-Length:5\n\n", "Length(5)", true),
            (
                "HTTP/1.1 200 OK\r\nConnection: a, Close\r\nContent-Length: 5\r\n\r\n",
                "Length(5)",
                false,
            ),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
                "Length(5)",
                false,
            ),
            (
                "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\n",
                "Length(5)",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
                "Chunked",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                "Chunked",
                false,
            ),
            ("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", "None", true),
            (
                "HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n",
                "None",
                true,
            ),
            ("HTTP/1.1 101 Switching\r\n\r\n", "Close", false),
        ] {
            let (framing, keeps) = framing(text, false);
            let framing = format!("{framing:?}");
            assert!(framing.starts_with(wanted), "{text:?}: {framing}");
            assert_eq!(keeps, kept, "{text:?}");
        }
        let (framing, _) = framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true);
        assert!(matches!(framing, Framing::None));
    }
}
