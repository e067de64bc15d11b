//! A request as it goes over the wire: its head is written as it is decided, line by line into the bytes that are sent, and kept in no
//! other form. How its body is framed is decided here, and nowhere else.

use http::{HeaderName, HeaderValue, Method, header};
use http_body::Body;
use weir_wire::is_text;

use crate::{
    outgoing::{Framing, line},
    unsent::buffer,
    upload::Upload,
};

/// A head being written.
#[derive(Debug)]
pub struct RequestHead {
    bytes: Vec<u8>,
    head_only: bool,
    /// The server may expect to be told that there is no body (RFC 9110 section 8.6); IIS answers 411 otherwise.
    expects_body: bool,
}

/// A request, ready to be sent or on its way.
#[derive(Debug)]
pub struct Request<B> {
    pub(crate) upload: Upload<B>,
    pub(crate) head_only: bool,
}

impl RequestHead {
    /// `target`: in origin form, as [`http::uri::PathAndQuery`] prints it.
    pub fn new(method: &Method, target: &http::uri::PathAndQuery) -> Self {
        let mut bytes = buffer();
        bytes.extend_from_slice(method.as_str().as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(target.as_str().as_bytes());
        bytes.extend_from_slice(b" HTTP/1.1\r\n");
        Self {
            bytes,
            head_only: *method == Method::HEAD,
            expects_body: matches!(*method, Method::POST | Method::PUT | Method::PATCH),
        }
    }

    /// Adds a line. Lines that frame the body or the connection are not to be among them, but for those of an upgrade.
    pub fn line(&mut self, name: &HeaderName, value: &HeaderValue) {
        line(&mut self.bytes, name, value.as_bytes());
    }

    /// Adds a line of text that is no value yet. Text that could end the line is left out, and its line with it.
    pub fn text(&mut self, name: &HeaderName, text: &[u8]) {
        if is_text(text) {
            line(&mut self.bytes, name, text);
        }
    }

    /// Ends the head with the lines that frame this body.
    pub fn body<B: Body>(mut self, body: B) -> Request<B> {
        let framing = match body.size_hint().exact() {
            _ if body.is_end_stream() => None,
            Some(0) => None,
            Some(length) => {
                let mut digits = itoa::Buffer::new();
                self.text(&header::CONTENT_LENGTH, digits.format(length).as_bytes());
                Some(Framing::Length(length))
            }
            None => {
                self.bytes
                    .extend_from_slice(b"transfer-encoding: chunked\r\n");
                Some(Framing::Chunked(Vec::new()))
            }
        };
        if framing.is_none() && self.expects_body {
            self.bytes.extend_from_slice(b"content-length: 0\r\n");
        }
        self.bytes.extend_from_slice(b"\r\n");
        Request {
            upload: Upload::new(self.bytes, framing.map(|framing| (framing, body))),
            head_only: self.head_only,
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Empty, Full};

    use super::*;

    /// Of no known size.
    struct Endless;

    impl Body for Endless {
        type Data = bytes::Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }

    fn written(head: RequestHead, body: impl Body<Data = bytes::Bytes> + Unpin) -> String {
        String::from_utf8(head.body(body).upload.unsent().to_vec()).unwrap()
    }

    #[test]
    fn a_body_is_framed_by_what_is_known_of_it() {
        let head = |method| RequestHead::new(&method, &"/a?b".parse().unwrap());
        let empty = Empty::<bytes::Bytes>::new;
        assert_eq!(
            written(head(Method::GET), empty()),
            "GET /a?b HTTP/1.1\r\n\r\n"
        );
        assert_eq!(
            written(head(Method::POST), empty()),
            "POST /a?b HTTP/1.1\r\ncontent-length: 0\r\n\r\n"
        );
        assert_eq!(
            written(head(Method::GET), Full::<bytes::Bytes>::from("hi")),
            "GET /a?b HTTP/1.1\r\ncontent-length: 2\r\n\r\n"
        );
        assert_eq!(
            written(head(Method::GET), Endless),
            "GET /a?b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
        );
    }

    #[test]
    fn text_cannot_end_a_line() {
        let mut head = RequestHead::new(&Method::GET, &"/".parse().unwrap());
        head.text(&header::VIA, b"a\r\nb: c");
        head.text(&header::FROM, b"1");
        let empty = Empty::<bytes::Bytes>::new();
        assert_eq!(written(head, empty), "GET / HTTP/1.1\r\nfrom: 1\r\n\r\n");
    }
}
