//! Where the bytes of a body come from, and the rules of the sending side: a request body's size and its longest pause.
//! What becomes of them on the way out (clocks, taps, outcome) is the watch's business.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body::{Body as _, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::{Instant, Sleep, sleep};
use weir_h1::Portion;

use crate::{
    client_body::ClientBody,
    error::{BodyError, ClientFault},
    incoming::Incoming,
    lease::Lease,
    summary::Outcome,
};

/// Where the bytes come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// No body at all.
    Empty,
    /// An answer of weir's own.
    Full(Bytes),
    /// A file, from tower-http.
    File(UnsyncBoxBody<Bytes, std::io::Error>),
    /// Any of these, compressed on its way.
    Encoded(UnsyncBoxBody<Bytes, std::io::Error>),
    /// An upstream's answer, with the connection it comes from.
    Upstream(Incoming, Lease),
    /// A client's request.
    Request(Box<Request>),
}

/// A client's request body: bounded in size and in its pauses.
#[derive(Debug)]
pub(crate) struct Request {
    incoming: ClientBody,
    left: u64,
    idle: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    broke: Option<ClientFault>,
    upload: Arc<Upload>,
}

/// How an upload goes, for the clock that waits for the answer: it must not start while the client is still sending.
#[derive(Debug)]
pub struct Upload {
    began: Instant,
    last_ms: AtomicU64,
    bytes: AtomicU64,
    done: AtomicBool,
    owed: AtomicBool,
    broke: AtomicBool,
    sent: AtomicBool,
}

impl Upload {
    pub(crate) fn start() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            last_ms: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            done: AtomicBool::new(false),
            owed: AtomicBool::new(false),
            broke: AtomicBool::new(false),
            sent: AtomicBool::new(false),
        })
    }

    /// When its request was about to be sent.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// When the last piece was taken.
    pub(crate) fn last(&self) -> Instant {
        self.began + Duration::from_millis(self.last_ms.load(Relaxed))
    }

    /// Body bytes taken so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Whether the client was asked for more and has not sent it: nobody else can be late then.
    pub(crate) fn owed(&self) -> bool {
        self.owed.load(Relaxed)
    }

    /// Whether the client broke off, stalled or sent too much.
    pub(crate) fn broke(&self) -> bool {
        self.broke.load(Relaxed)
    }

    /// Whether its request was handed to an upstream's connection: from then on somebody may work for it.
    pub fn sent(&self) -> bool {
        self.sent.load(Relaxed)
    }

    pub(crate) fn sets_out(&self) {
        self.sent.store(true, Relaxed);
    }

    /// Whether all of the body was taken.
    pub fn done(&self) -> bool {
        self.done.load(Relaxed)
    }

    pub(crate) fn finish(&self) {
        self.done.store(true, Relaxed);
    }

    pub(crate) fn took(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
        let ms = self.began.elapsed().as_millis();
        self.last_ms
            .store(u64::try_from(ms).unwrap_or(u64::MAX), Relaxed);
    }
}

impl Request {
    pub(crate) fn new(
        incoming: ClientBody,
        limit: u64,
        idle: Duration,
        upload: Arc<Upload>,
    ) -> Self {
        Self {
            incoming,
            left: limit,
            idle,
            pause: None,
            broke: None,
            upload,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Portion, BodyError>>> {
        let polled = self.poll_incoming(cx);
        self.upload.owed.store(polled.is_pending(), Relaxed);
        if matches!(polled, Poll::Ready(Some(Err(_)))) {
            self.upload.broke.store(true, Relaxed);
        }
        polled
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Portion, BodyError>>> {
        if let Some(error) = self.broke.take() {
            return Poll::Ready(Some(Err(BodyError::Client(error))));
        }
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.pause = None;
                // Trailers of a request are dropped: nothing weir fronts reads them, and they are a way past every header rule.
                let Ok(data) = frame.into_data() else {
                    self.upload.finish();
                    return Poll::Ready(None);
                };
                let size = data.remaining() as u64;
                if size > self.left {
                    self.left = 0;
                    return Poll::Ready(Some(Err(BodyError::TooLarge)));
                }
                self.left -= size;
                self.upload.took(data.len());
                if self.incoming.is_end_stream() {
                    self.upload.finish();
                }
                Poll::Ready(Some(Ok(Portion::Data(data))))
            }
            Poll::Ready(Some(Err(error))) => {
                // Told a turn later: a client that has left is seen by its connection first, and has broken nothing.
                self.broke = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(None) => {
                self.upload.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let idle = self.idle;
                let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(idle)));
                ready!(pause.as_mut().poll(cx));
                Poll::Ready(Some(Err(BodyError::ClientStalled)))
            }
        }
    }
}

impl Source {
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Portion, BodyError>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Portion::Data(std::mem::take(bytes))))),
            Self::File(body) => polled(body, cx).map_err(BodyError::File),
            Self::Encoded(body) => polled(body, cx).map_err(BodyError::Encoded),
            Self::Upstream(body, _) => body.poll_portion(cx),
            Self::Request(request) => request.poll(cx),
        }
    }

    /// Asked instead by whoever has just been handed a portion and wants to be woken for the next, see [`Incoming::poll_awaited`].
    pub(crate) fn poll_awaited(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Upstream(body, _) => body.poll_awaited(cx),
            _ => Poll::Ready(()),
        }
    }

    /// Whose fault it is that an answer broke: one whose request breaks is given up.
    pub(crate) fn blame(&self) -> Outcome {
        match self {
            Self::Upstream(_, lease) if lease.request_broke() => Outcome::RequestFailed,
            _ => Outcome::UpstreamFailed,
        }
    }

    /// Nobody polls past this being true, so whoever keeps accounts must ask it after every frame.
    pub(crate) fn is_end(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::File(body) | Self::Encoded(body) => body.is_end_stream(),
            Self::Upstream(body, _) => body.is_end_stream(),
            Self::Request(request) => request.incoming.is_end_stream(),
        }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::File(body) | Self::Encoded(body) => body.size_hint(),
            Self::Upstream(body, _) => body.size_hint(),
            Self::Request(request) => request.incoming.size_hint(),
        }
    }
}

fn polled(
    body: &mut UnsyncBoxBody<Bytes, std::io::Error>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Portion, std::io::Error>>> {
    Pin::new(body).poll_frame(cx).map_ok(Portion::from)
}
