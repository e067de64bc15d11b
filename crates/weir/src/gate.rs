//! Between the client's socket and hyper: no head gets through that `weir-wire` would not vouch for. A refused head reaches the pipeline
//! all the same, as a stand-in in its place: so it is answered in its turn behind pipelined requests before it, and counted and logged as
//! every other refusal is, instead of by hyper, which answers some by itself and says nothing of it. It also tells the connection's clocks
//! when a head begins: an empty line, which may stand before one, is no beginning.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use futures_util::task::AtomicWaker;
use http::{Method, Request, Uri};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weir_wire::{Fault, Intake, Requests, Stop};

use crate::patience::Patience;

/// Stands in for a refused head. No client can send it: a target in authority form gets through with CONNECT only.
const STAND_IN: &[u8] = b"GET refused:0 HTTP/1.1\r\nconnection: close\r\n\r\n";
/// The same where the answer may have no body.
const STAND_IN_HEAD: &[u8] = b"HEAD refused:0 HTTP/1.1\r\nconnection: close\r\n\r\n";
/// The stand-in's target.
const REFUSED: &str = "refused:0";
/// How much of a refused request line is kept for the log.
const KEPT: usize = 1024;

/// What the gate and the pipeline of one connection tell each other.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    refused: Mutex<Option<Refused>>,
    /// The head that was begun has used up its time.
    late: AtomicBool,
    /// What became of the last request to change the protocol: not yet known, refused, done.
    switched: AtomicU8,
    waker: AtomicWaker,
}

const UNKNOWN: u8 = 0;
const NOT_SWITCHED: u8 = 1;
const SWITCHED: u8 = 2;

#[derive(Debug)]
struct Refused {
    fault: Fault,
    /// The beginning of its first line.
    line: Vec<u8>,
}

impl Verdicts {
    /// Why this request is none, if it stands in for a refused head; then it is given the method and path of the real one, for the record,
    /// as far as they can be told.
    pub(crate) fn refused<B>(&self, request: &mut Request<B>) -> Option<Fault> {
        let uri = request.uri();
        if uri.scheme().is_some() || uri.authority().is_none_or(|target| target != REFUSED) {
            return None;
        }
        let Refused { fault, line } = self.lock().take()?;
        let mut words = line.split(|byte| matches!(byte, b' ' | b'\t'));
        *request.method_mut() = words
            .next()
            .and_then(|method| Method::from_bytes(method).ok())
            .unwrap_or_else(|| Method::from_bytes(b"-").expect("a token"));
        *request.uri_mut() = words
            .next()
            .and_then(|target| target.split(|byte| *byte == b'#').next())
            .and_then(|target| Uri::try_from(target).ok())
            .unwrap_or_default();
        Some(fault)
    }

    /// The head that was begun has used up its time: the next read finds it refused.
    pub(crate) fn too_late(&self) {
        self.late.store(true, Relaxed);
    }

    /// A request that asked to change the protocol was answered: what follows is HTTP, or no longer.
    pub(crate) fn answered(&self, switched: bool) {
        let word = if switched { SWITCHED } else { NOT_SWITCHED };
        self.switched.store(word, Relaxed);
        self.waker.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Refused>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Gate<S> {
    socket: S,
    intake: Intake<Requests>,
    verdicts: Arc<Verdicts>,
    patience: Arc<Patience>,
}

impl<S> Gate<S> {
    pub(crate) fn new(socket: S, verdicts: Arc<Verdicts>, patience: Arc<Patience>) -> Self {
        Self {
            socket,
            intake: Intake::new(Requests::default()),
            verdicts,
            patience,
        }
    }

    /// Tells the clocks if a head has begun: one that is whole goes on at once, and what is kept of it is not.
    fn watch_head(&self) {
        if self.intake.messages().in_head() && !self.intake.unknown().is_empty() {
            self.patience.head_began();
        }
    }

    /// Why nothing more comes through.
    fn stopped(&self) -> Option<Stop> {
        self.intake.stopped().or_else(|| {
            let late = self.verdicts.late.swap(false, Relaxed);
            late.then_some(Stop::Head(Fault::Late))
        })
    }

    /// Puts the stand-in where a head was refused.
    fn refuse(&mut self, fault: Fault) {
        let line = self
            .intake
            .unknown()
            .split(|byte| matches!(byte, b'\r' | b'\n'));
        let mut line = line.map(<[u8]>::to_vec).next().unwrap_or_default();
        line.truncate(KEPT);
        let stand_in = if line.starts_with(b"HEAD ") {
            STAND_IN_HEAD
        } else {
            STAND_IN
        };
        *self.verdicts.lock() = Some(Refused { fault, line });
        self.intake.stand_in(stand_in);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.intake.holds() {
                let count = this.intake.take(buf.initialize_unfilled());
                buf.advance(count);
                return Poll::Ready(Ok(()));
            }
            match this.stopped() {
                Some(Stop::Head(fault)) => {
                    this.refuse(fault);
                    continue;
                }
                // hyper ends the body with it; what the client is answered is the pipeline's.
                Some(Stop::Body(fault)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault)));
                }
                // The stand-in closes the connection; nothing after it is read.
                Some(Stop::Over) => return Poll::Pending,
                None => {}
            }
            if this.intake.waits() {
                this.verdicts.waker.register(cx.waker());
                match this.verdicts.switched.swap(UNKNOWN, Relaxed) {
                    UNKNOWN => return Poll::Pending,
                    word => this
                        .intake
                        .tell(|requests| requests.answered(word == SWITCHED)),
                }
                continue;
            }
            // The beginning of a head may lie here since the exchange before it.
            this.watch_head();
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
            let fresh = &buf.filled()[before..];
            if fresh.is_empty() {
                this.intake.end();
                if this.intake.stopped().is_none() {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let passed = this.intake.admit(fresh);
            buf.set_filled(before + passed);
            this.watch_head();
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
