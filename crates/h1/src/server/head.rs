//! A request's head, from the bytes to what the service is asked. Which bytes are one is `weir-wire`'s decision; here they only change form.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};
use weir_wire::{Fault, Opening};

use crate::body::Framing;

/// How much of a refused request line is looked at, for the record.
const KEPT: usize = 1024;

/// What a request asks of its connection.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) request: Request<()>,
    pub(super) framing: Framing,
    /// The connection may carry another one; `close` in any line outweighs `keep-alive`.
    pub(super) keeps: bool,
    closes: bool,
    /// `Expect: 100-continue`.
    pub(super) expects: bool,
    /// Trailers are of use to the client.
    pub(super) trailers: bool,
}

/// The head in these bytes, which are exactly one.
pub(super) fn read(bytes: &Bytes, opening: &Opening) -> Result<Head, Fault> {
    let framing = match (opening.fields.chunked, opening.fields.length) {
        (true, _) => Framing::Chunked(Box::default()),
        (false, Some(length)) if length > 0 => Framing::Length(length),
        _ => Framing::None,
    };
    let mut head = Head {
        request: Request::new(()),
        framing,
        keeps: !opening.old,
        closes: false,
        expects: false,
        trailers: false,
    };
    *head.request.method_mut() =
        Method::from_bytes(&bytes[opening.method.clone()]).map_err(|_| Fault::RequestLine)?;
    *head.request.uri_mut() =
        Uri::from_maybe_shared(bytes.slice(opening.target.clone())).map_err(|_| Fault::Target)?;
    *head.request.version_mut() = if opening.old {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    };
    let mut headers = HeaderMap::with_capacity(opening.lines.len());
    for (name, value) in &opening.lines {
        let name = HeaderName::from_bytes(&bytes[name.clone()]).map_err(|_| Fault::Name)?;
        let value = bytes.slice(value.clone());
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| Fault::Value)?;
        head.note(&name, &value, opening.old);
        headers.append(name, value);
    }
    *head.request.headers_mut() = headers;
    Ok(head)
}

impl Head {
    /// What a line says of the connection.
    fn note(&mut self, name: &HeaderName, value: &HeaderValue, old: bool) {
        let says = |word: &str| {
            let mut words = value.as_bytes().split(|byte| *byte == b',');
            words.any(|said| said.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
        };
        if name == header::CONNECTION {
            self.closes |= says("close");
            self.keeps = !self.closes && (self.keeps || says("keep-alive"));
        } else if name == header::EXPECT {
            self.expects = !old && says("100-continue");
        } else if name == header::TE {
            self.trailers |= says("trailers");
        }
    }
}

/// Stands for a head that was refused: its method and target, as far as they can be told.
pub(super) fn refused(bytes: &[u8]) -> Head {
    let line = &bytes[..bytes.len().min(KEPT)];
    let line = line.split(|byte| matches!(byte, b'\r' | b'\n')).next();
    let mut words = line
        .unwrap_or_default()
        .split(|byte| matches!(byte, b' ' | b'\t'));
    let mut request = Request::new(());
    *request.method_mut() = words
        .next()
        .and_then(|method| Method::from_bytes(method).ok())
        .unwrap_or_else(|| Method::from_bytes(b"-").expect("a token"));
    *request.uri_mut() = words
        .next()
        .and_then(|target| target.split(|byte| *byte == b'#').next())
        .and_then(|target| Uri::try_from(target).ok())
        .unwrap_or_default();
    Head {
        request,
        framing: Framing::None,
        keeps: false,
        closes: true,
        expects: false,
        trailers: false,
    }
}
