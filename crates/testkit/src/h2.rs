//! A client of HTTP/2 that is made of frames: it sends exactly those it is told to, well formed or not, and hands out what comes frame by frame.
//! It acknowledges settings and pings and keeps no other rule; windows in particular are opened only by the test.

use std::{collections::VecDeque, io, net::SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{client::dial, clock::within, tls::Tls, transport::Transport};

/// The kinds of frames (RFC 9113 section 6).
pub mod kind {
    #![allow(missing_docs)]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flag of DATA and HEADERS.
pub const END_STREAM: u8 = 1;
/// Flag of HEADERS and CONTINUATION.
pub const END_HEADERS: u8 = 4;
/// Flag of DATA and HEADERS: the payload begins with a length, and padding of that length ends it.
pub const PADDED: u8 = 8;
/// Flag of HEADERS: five bytes of priority come first.
pub const PRIORITIZED: u8 = 0x20;
/// Flag of SETTINGS and PING.
pub const ACK: u8 = 1;

/// Error codes (RFC 9113 section 7).
pub mod code {
    #![allow(missing_docs)]
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// What a client says first (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// One of [`kind`].
    pub kind: u8,
    /// As on the wire.
    pub flags: u8,
    /// 0 for the connection.
    pub stream: u32,
    /// Without the nine bytes in front.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Whether its sender says no more on the stream.
    #[must_use]
    pub fn ends(&self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & END_STREAM != 0
    }

    /// The error code of RST_STREAM or GOAWAY.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        let at = match self.kind {
            kind::RST_STREAM => 0,
            kind::GOAWAY => 4,
            _ => return None,
        };
        let bytes = self.payload.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().expect("four bytes")))
    }

    /// The status of an answer's HEADERS; only the first field is read, which it must be.
    ///
    /// # Panics
    /// When it is no answer's head.
    #[must_use]
    pub fn status(&self) -> u16 {
        assert_eq!(self.kind, kind::HEADERS, "{self:?}");
        let mut block = self.payload.as_slice();
        while let [0x20..=0x3f, rest @ ..] = block {
            block = rest;
        }
        match block {
            [indexed @ 0x88..=0x8e, ..] => {
                [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)]
            }
            [0x08 | 0x18 | 0x48, length, text @ ..] => {
                let text = &text[..usize::from(length & 0x7f)];
                if length & 0x80 == 0 {
                    String::from_utf8_lossy(text).parse().expect("a status")
                } else {
                    digits(text)
                }
            }
            _ => panic!("no status in {block:?}"),
        }
    }
}

/// Three digits in HPACK's Huffman code (RFC 7541 appendix B): five bits up to 2, six above.
fn digits(text: &[u8]) -> u16 {
    let bits = text
        .iter()
        .fold(0u32, |all, byte| all << 8 | u32::from(*byte));
    let mut left = text.len() * 8;
    let mut take = |count: usize| {
        left -= count;
        bits >> left & ((1 << count) - 1)
    };
    (0..3).fold(0, |status, _| {
        let head = take(5);
        let digit = if head < 3 {
            head
        } else {
            (head << 1 | take(1)) - 0x19 + 3
        };
        status * 10 + u16::try_from(digit).expect("a digit")
    })
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With END_STREAM.
    Clean,
    /// With RST_STREAM and this code.
    Reset(u32),
    /// With the connection.
    Closed,
}

/// One connection.
#[derive(Debug)]
pub struct H2 {
    stream: Transport,
    buffer: Vec<u8>,
    /// Came while another stream's frame was waited for.
    aside: VecDeque<Frame>,
    taken: Vec<(u32, Vec<u8>)>,
}

impl H2 {
    /// Connects with prior knowledge and default settings.
    pub async fn connect(peer: SocketAddr) -> Self {
        Self::connect_with(peer, &[]).await
    }

    /// As `connect`, with settings by number, such as `(4, 0)` for windows that begin shut.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn connect_with(peer: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut client = Self::silent(peer).await;
        client.hello(settings).await;
        client
    }

    /// Connects by TLS, where the peer must choose HTTP/2 by ALPN.
    ///
    /// # Panics
    /// When it does not, or nobody listens there.
    pub async fn secured(peer: SocketAddr, tls: &Tls) -> Self {
        let mut client = Self::silent_secured(peer, tls).await;
        client.hello(&[]).await;
        client
    }

    /// Connects and says nothing.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn silent(peer: SocketAddr) -> Self {
        let stream = dial(peer).await.expect("a listener");
        Self::over(Transport::Clear(stream))
    }

    /// Connects by TLS, where the peer must choose HTTP/2 by ALPN, and says nothing.
    ///
    /// # Panics
    /// When it does not, or nobody listens there.
    pub async fn silent_secured(peer: SocketAddr, tls: &Tls) -> Self {
        let stream = dial(peer).await.expect("a listener");
        let tls = tls.clone().offering(&["h2", "http/1.1"]);
        let connector = tokio_rustls::TlsConnector::from(tls.config());
        let stream = within("a handshake", connector.connect(tls.name(), stream)).await;
        let stream = stream.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        Self::over(Transport::Tls(Box::new(stream)))
    }

    fn over(stream: Transport) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            aside: VecDeque::new(),
            taken: Vec::new(),
        }
    }

    async fn hello(&mut self, settings: &[(u16, u32)]) {
        // Without a dynamic table, so that a status can be read without one.
        let settings = [&[(1, 0)], settings].concat();
        let hello = [PREFACE, &frame(kind::SETTINGS, 0, 0, &pairs(&settings))].concat();
        self.send(&hello).await.expect("a peer that reads");
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// What the socket says.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        within("the peer to read", async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        })
        .await
    }

    /// Sends one frame; a peer that has closed is no error, the test reads how it ended.
    pub async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let _ = self.send(&frame(kind, flags, stream, payload)).await;
    }

    /// Asks with `GET` and this path.
    pub async fn get(&mut self, stream: u32, path: &str) {
        self.ask(stream, "GET", path, &[], true).await;
    }

    /// Asks with these headers behind the pseudo headers.
    pub async fn ask(
        &mut self,
        stream: u32,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        end: bool,
    ) {
        let block = request_by(self.scheme(), method, path, headers);
        let flags = END_HEADERS | if end { END_STREAM } else { 0 };
        self.frame(kind::HEADERS, flags, stream, &block).await;
    }

    /// Asks by extended CONNECT (RFC 8441) for this protocol.
    pub async fn connect_protocol(
        &mut self,
        stream: u32,
        protocol: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) {
        let block = [
            field(":protocol", protocol),
            request_by(self.scheme(), "CONNECT", path, headers),
        ]
        .concat();
        self.frame(kind::HEADERS, END_HEADERS, stream, &block).await;
    }

    /// Sends DATA.
    pub async fn data(&mut self, stream: u32, bytes: &[u8], end: bool) {
        self.frame(kind::DATA, u8::from(end), stream, bytes).await;
    }

    /// Takes a request back.
    pub async fn reset(&mut self, stream: u32, code: u32) {
        self.frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes())
            .await;
    }

    /// Opens a window by so much.
    pub async fn window(&mut self, stream: u32, by: u32) {
        self.frame(kind::WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
            .await;
    }

    /// The next frame of any stream; `None` when the connection ended.
    pub async fn next(&mut self) -> Option<Frame> {
        if let Some(frame) = self.aside.pop_front() {
            return Some(frame);
        }
        self.read().await
    }

    /// The next frame of this stream.
    ///
    /// # Errors
    /// When the connection ended.
    pub async fn of(&mut self, stream: u32) -> Result<Frame, Ended> {
        if let Some(at) = self.aside.iter().position(|frame| frame.stream == stream) {
            return Ok(self.aside.remove(at).expect("just found"));
        }
        loop {
            let frame = self.read().await.ok_or(Ended::Closed)?;
            if frame.stream == stream {
                return Ok(frame);
            }
            self.aside.push_back(frame);
        }
    }

    /// The status of the answer on this stream.
    ///
    /// # Panics
    /// When something else comes first.
    pub async fn status(&mut self, stream: u32) -> u16 {
        loop {
            let frame = self.of(stream).await.expect("an answer's head");
            if frame.kind != kind::WINDOW_UPDATE {
                return frame.status();
            }
        }
    }

    /// Reads the stream until its body holds `mark`, and hands that out up to and with the mark.
    ///
    /// # Panics
    /// When the stream ends before.
    pub async fn until(&mut self, stream: u32, mark: &str) -> String {
        loop {
            let taken = self.taken(stream);
            if let Some(at) = crate::head::find(taken, mark.as_bytes()) {
                let out: Vec<u8> = taken.drain(..at + mark.len()).collect();
                return String::from_utf8_lossy(&out).into_owned();
            }
            let frame = self.of(stream).await.expect("more of the body");
            assert!(
                matches!(frame.kind, kind::DATA | kind::WINDOW_UPDATE) && !frame.ends(),
                "{mark:?} was to come, but {frame:?}"
            );
            if frame.kind == kind::DATA {
                self.taken(stream).extend(frame.payload);
            }
        }
    }

    /// All the body of this stream that is still to come, and how it ended.
    pub async fn rest(&mut self, stream: u32) -> (Vec<u8>, Ended) {
        let mut body = std::mem::take(self.taken(stream));
        loop {
            match self.of(stream).await {
                Ok(frame) => match frame.kind {
                    kind::DATA | kind::HEADERS => {
                        let ends = frame.ends();
                        if frame.kind == kind::DATA {
                            body.extend(frame.payload);
                        }
                        if ends {
                            return (body, Ended::Clean);
                        }
                    }
                    kind::RST_STREAM => {
                        return (body, Ended::Reset(frame.code().expect("a code")));
                    }
                    _ => {}
                },
                Err(ended) => return (body, ended),
            }
        }
    }

    /// The error code of the GOAWAY that is to come; `None` when the connection ended without.
    pub async fn goaway(&mut self) -> Option<u32> {
        while let Some(frame) = self.next().await {
            if frame.kind == kind::GOAWAY {
                return frame.code();
            }
        }
        None
    }

    fn taken(&mut self, stream: u32) -> &mut Vec<u8> {
        let at = match self.taken.iter().position(|(of, _)| *of == stream) {
            Some(at) => at,
            None => {
                self.taken.push((stream, Vec::new()));
                self.taken.len() - 1
            }
        };
        &mut self.taken[at].1
    }

    /// The next frame from the socket, whatever it is; nothing is answered.
    pub async fn frame_as_it_comes(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            if !matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..)) {
                return None;
            }
        }
    }

    /// The next frame from the socket; settings and pings are answered and passed over.
    async fn read(&mut self) -> Option<Frame> {
        within("a frame", async {
            loop {
                let frame = self.frame_as_it_comes().await?;
                if !matches!(frame.kind, kind::SETTINGS | kind::PING) {
                    return Some(frame);
                }
                if frame.flags & ACK == 0 {
                    let payload: &[u8] = if frame.kind == kind::PING {
                        &frame.payload
                    } else {
                        &[]
                    };
                    self.frame(frame.kind, ACK, 0, payload).await;
                }
            }
        })
        .await
    }

    fn scheme(&self) -> &'static str {
        match self.stream {
            Transport::Clear(_) => "http",
            Transport::Tls(_) => "https",
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let head = self.buffer.get(..9)?;
        let size = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let payload = self.buffer.get(9..9 + size)?.to_vec();
        self.buffer.drain(..9 + size);
        Some(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }
}

/// The bytes of a frame.
///
/// # Panics
/// When the payload is longer than any frame.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
    [&size[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The payload of SETTINGS.
#[must_use]
pub fn pairs(settings: &[(u16, u32)]) -> Vec<u8> {
    settings
        .iter()
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect()
}

/// The header block of a request to `a.test`, without tables and codes.
#[must_use]
pub fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    request_by("http", method, path, headers)
}

fn request_by(scheme: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [
        (":method", method),
        (":scheme", scheme),
        (":authority", "a.test"),
        (":path", path),
    ];
    pseudo
        .iter()
        .chain(headers)
        .flat_map(|(name, value)| field(name, value))
        .collect()
}

/// One field, literal and never indexed.
#[must_use]
pub fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0][..], &text(name), &text(value)].concat()
}

fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut left = text.len();
    if left < 127 {
        out.push(u8::try_from(left).expect("small"));
    } else {
        out.push(127);
        left -= 127;
        while left >= 128 {
            out.push(u8::try_from(left % 128 + 128).expect("a byte"));
            left /= 128;
        }
        out.push(u8::try_from(left).expect("a byte"));
    }
    out.extend(text.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_in_every_form() {
        for (block, status) in [
            (&[0x88][..], 200),
            (&[0x20, 0x8d], 404),
            (&[0x48, 3, b'4', b'0', b'1'], 401),
            // 502: 011011 00000 00010
            (&[0x08, 0x82, 0b0110_1100, 0b0000_0010], 502),
            // 431: 011010 011001 00001, padded with ones.
            (&[0x48, 0x83, 0b0110_1001, 0b1001_0000, 0b1111_1111], 431),
        ] {
            let frame = Frame {
                kind: kind::HEADERS,
                flags: END_HEADERS,
                stream: 1,
                payload: block.to_vec(),
            };
            assert_eq!(frame.status(), status);
        }
    }
}
