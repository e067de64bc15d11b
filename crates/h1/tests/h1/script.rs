//! A stream that does what the test says, polled without a runtime.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weir_h1::{Connection, Exchange, Fault, Portion, Request, RequestHead};

/// Reads what it is given, in these pieces and with a pause between any two, and then its end; takes what is written, so much at a time.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) pieces: VecDeque<Vec<u8>>,
    /// After the pieces nothing comes, instead of the end.
    pub(crate) stays: bool,
    /// What was written, write by write.
    pub(crate) written: Vec<Vec<u8>>,
    /// The most that one write takes.
    pub(crate) takes: Option<usize>,
    /// After so many bytes writing fails.
    pub(crate) breaks: Option<usize>,
    /// How many bytes were read.
    pub(crate) read: usize,
    pub(crate) paused: bool,
}

impl Script {
    pub(crate) fn of(bytes: &[u8], size: usize) -> Self {
        Self {
            pieces: bytes.chunks(size.max(1)).map(<[u8]>::to_vec).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.written.concat()).into_owned()
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.paused = !self.paused;
        if self.paused || (self.pieces.is_empty() && self.stays) {
            return Poll::Pending;
        }
        if let Some(mut piece) = self.pieces.pop_front() {
            let rest = piece.split_off(piece.len().min(buf.remaining()));
            buf.put_slice(&piece);
            self.read += piece.len();
            if !rest.is_empty() {
                self.pieces.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let before = || self.written.iter().map(Vec::len).sum::<usize>();
        let room = self.breaks.map_or(usize::MAX, |most| most - before());
        if room == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.len().min(self.takes.unwrap_or(usize::MAX)).min(room);
        self.written.push(bytes[..count].to_vec());
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let whole: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        self.poll_write(cx, &whole)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A request without further headers.
pub(crate) fn request<B: Body>(method: &Method, body: B) -> Request<B> {
    RequestHead::new(method, &http::uri::PathAndQuery::from_static("/")).body(body)
}

/// What came of an exchange.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) head: Option<(u16, HeaderMap)>,
    pub(crate) frames: Vec<Bytes>,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) fault: Option<String>,
}

impl Heard {
    pub(crate) fn body(&self) -> String {
        String::from_utf8_lossy(&self.frames.concat()).into_owned()
    }
}

/// Polls to the end; gives up on what makes no progress, with the fault `stuck`.
pub(crate) fn run<B>(exchange: &mut Exchange<Script, B>) -> Heard
where
    B: Body<Data = Bytes, Error: std::error::Error + 'static> + Unpin,
{
    let mut heard = Heard::default();
    match poll(|cx| exchange.poll_head(cx)) {
        Some(Ok(head)) => heard.head = Some((head.status.as_u16(), head.headers)),
        Some(Err(fault)) => heard.fault = Some(words(&fault)),
        None => heard.fault = Some("stuck".to_owned()),
    }
    while heard.fault.is_none() && !exchange.is_end_stream() {
        match poll(|cx| exchange.poll_portion(cx)) {
            Some(Some(Ok(Portion::Data(data)))) => heard.frames.push(data),
            Some(Some(Ok(Portion::Trailers(trailers)))) => heard.trailers = Some(*trailers),
            Some(Some(Err(fault))) => heard.fault = Some(words(&fault)),
            Some(None) => break,
            None => heard.fault = Some("stuck".to_owned()),
        }
    }
    heard
}

fn poll<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    let mut cx = Context::from_waker(Waker::noop());
    (0..4096).find_map(|_| match poll(&mut cx) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    })
}

/// The rule that was broken, or the fault itself.
fn words<E: std::error::Error>(fault: &Fault<E>) -> String {
    match fault {
        Fault::Answer(fault) => fault.reason().to_owned(),
        Fault::Closed => "closed".to_owned(),
        Fault::Io(_) => "io".to_owned(),
        Fault::Request(_) => "request".to_owned(),
        Fault::Length => "length".to_owned(),
    }
}

/// Asks with GET, and hears all of it.
pub(crate) fn get(script: Script) -> (Heard, Exchange<Script, http_body_util::Empty<Bytes>>) {
    let body = http_body_util::Empty::new();
    let mut exchange = Connection::new(script).ask(request(&Method::GET, body));
    (run(&mut exchange), exchange)
}

/// A stream whose writes are seen from outside.
#[derive(Debug)]
pub(crate) struct Tee(pub(crate) Script, pub(crate) Arc<Mutex<Vec<u8>>>);

impl AsyncRead for Tee {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tee {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.1.lock().unwrap().extend_from_slice(&bytes[..count]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
