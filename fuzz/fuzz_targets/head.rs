//! Of what a client sends the same is asked, whatever the pieces in which it was read.
#![no_main]

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weir_h1::server::{Connection, Incoming, Service};
use weir_wire::Fault;

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let whole = asked(bytes, bytes.len().max(1));
    let pieces = asked(bytes, usize::from(size).max(1));
    assert_eq!(whole, pieces);
});

/// Each request's head and body. Which of several faults is found first may depend on the pieces, so only that there was one.
type Asked = Vec<(String, Option<Bytes>)>;

struct Record(Arc<Mutex<Asked>>);

impl Service for Record {
    type Body = Full<Bytes>;
    type Answer = Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>;

    fn call(
        &self,
        request: Request<Incoming>,
        refused: Option<Fault>,
    ) -> Self::Answer {
        let record = Arc::clone(&self.0);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let head = match refused {
                Some(_) => "refused".to_owned(),
                None => format!("{} {} {:?}", head.method, head.uri, head.headers),
            };
            let body = body.collect().await.ok().map(|body| body.to_bytes());
            record.lock().expect("one thread").push((head, body));
            Response::new(Full::default())
        })
    }

    fn head_began(&self) {}
}

fn asked(bytes: &[u8], size: usize) -> Asked {
    let record = Arc::default();
    let pieces = Pieces {
        bytes: bytes.to_vec(),
        at: 0,
        size,
    };
    let mut connection = pin!(Connection::new(pieces, b"", Record(Arc::clone(&record)), true));
    let mut cx = Context::from_waker(Waker::noop());
    // Pending only when so many requests came together that others have their turn.
    while connection.as_mut().poll(&mut cx).is_pending() {}
    let asked = record.lock().expect("one thread").clone();
    asked
}

/// A client that sends so much at a time, and closes.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    size: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.bytes.len() - self.at;
        let count = self.size.min(left).min(buf.remaining());
        buf.put_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
