//! The life of a client's connection: read a head, ask for the answer, write it, and read on; or end. See the module above.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, Request, Version};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use weir_wire::{Fault, RequestHead};

use super::{
    Broken, Incoming, Service,
    heads::Heads,
    incoming::lock,
    place::Place,
    reply::{Asked, Reply},
    side::Side,
};
use crate::{Switched, body::Framing, outgoing::Trouble};

/// So many requests that came together are answered before other connections have their turn.
const TURNS: u32 = 16;

/// See the module. Resolves when the connection has ended, or was handed over.
pub struct Connection<S, V: Service> {
    side: Arc<Mutex<Side<S>>>,
    service: V,
    state: State<V::Answer, V::Body>,
    heads: Heads,
    /// Nothing more is read behind the exchange that runs.
    leaving: bool,
    /// A client that closes its sending side is noticed elsewhere.
    half_close: bool,
}

enum State<F: 'static, B> {
    /// A head is awaited.
    Idle,
    /// The answer is.
    Asked(Place<F>, Asked),
    Answering(Reply<B>),
    /// The last answer is written.
    Closing,
}

impl<S, V> Connection<S, V>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    V: Service,
{
    /// `ahead`: what was read already. `half_close`: a client that has closed its sending side still gets its answers; where it is false,
    /// the connection ends when that is seen, and the exchange with it.
    pub fn new(io: S, ahead: Bytes, service: V, half_close: bool) -> Self {
        Self {
            side: Arc::new(Mutex::new(Side::new(io, ahead))),
            service,
            state: State::Idle,
            heads: Heads::default(),
            leaving: false,
            half_close,
        }
    }

    /// The connection ends behind the exchange that runs, or the head that was begun; at once, if there is none. To be polled.
    pub fn leave(&mut self) {
        self.leaving = true;
    }

    /// The head that was begun has used up its time: it is refused. To be polled.
    pub fn too_late(&mut self) {
        self.heads.too_late();
    }

    /// Asks for the answer to the next head; closes, if the client asks for nothing more.
    fn poll_ask(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<State<V::Answer, V::Body>>> {
        let mut side = lock(&self.side);
        loop {
            match self.heads.next(&mut side.ahead) {
                Ok(Some(head)) => return Poll::Ready(Ok(self.ask(side, head, None))),
                Err(fault) => {
                    let head = self.heads.refused();
                    return Poll::Ready(Ok(self.ask(side, head, Some(fault))));
                }
                Ok(None) if self.leaving && self.heads.is_empty() => break,
                Ok(None) => {}
            }
            if self.heads.has_begun() {
                self.service.head_began();
            }
            if !ready!(side.poll_ahead(cx))? && !self.heads.end() {
                break;
            }
        }
        Poll::Ready(Ok(State::Closing))
    }

    fn ask(
        &self,
        mut side: MutexGuard<'_, Side<S>>,
        head: RequestHead,
        refused: Option<Fault>,
    ) -> State<V::Answer, V::Body> {
        let RequestHead {
            method,
            target,
            old,
            fields,
        } = head;
        let asked = Asked {
            head_only: method == Method::HEAD,
            old,
            keeps: fields.keeps(old) && refused.is_none(),
            trailers: fields.trailers,
        };
        let framing = match (fields.chunked, fields.length) {
            (true, _) => Framing::Chunked(Box::default()),
            (false, None | Some(0)) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
        };
        let has_body = !matches!(framing, Framing::None);
        let turn = side.begin(framing, fields.expects && has_body && !old);
        drop(side);
        let mut request = Request::new(if has_body {
            Incoming::new(Arc::clone(&self.side) as _, turn)
        } else {
            Incoming::empty()
        });
        *request.method_mut() = method;
        *request.uri_mut() = target;
        *request.headers_mut() = fields.headers;
        if old {
            *request.version_mut() = Version::HTTP_10;
        }
        State::Asked(Place::new(|| self.service.call(request, refused)), asked)
    }

    /// A client that closes while its answer is awaited, where nobody else looks for that.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut side = lock(&self.side);
        // Not for its own sake: it is written before anything else, or when the body is polled.
        let _ = side.poll_interim(cx);
        if self.half_close || !side.is_read() {
            return Poll::Pending;
        }
        match side.poll_ahead(cx) {
            Poll::Ready(Ok(true)) | Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(false)) => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }
}

impl<S, V> Future for Connection<S, V>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    V: Service + Unpin,
{
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut turns = TURNS;
        loop {
            match &mut this.state {
                State::Idle => {
                    if turns == 0 {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    turns -= 1;
                    this.state = ready!(this.poll_ask(cx))?;
                }
                State::Asked(answer, asked) => {
                    let Poll::Ready(response) = answer.poll(cx) else {
                        return this.poll_gone(cx);
                    };
                    let mut side = lock(&this.side);
                    side.answered();
                    // With nobody left to read it, what is not here of the request ends the connection.
                    let unread = Arc::strong_count(&this.side) == 1 && !side.is_done(cx);
                    drop(side);
                    let asked = Asked {
                        keeps: asked.keeps && !this.leaving && !unread,
                        ..*asked
                    };
                    this.state = State::Answering(Reply::new(response, asked));
                }
                State::Answering(reply) => {
                    match poll_reply(reply, &this.side, cx) {
                        Poll::Ready(replied) => replied?,
                        Poll::Pending => {
                            if reply.outgoing.is_open() {
                                this.heads.forget();
                            }
                            if this.half_close {
                                return Poll::Pending;
                            }
                            return this.poll_gone(cx);
                        }
                    }
                    if let Some(switch) = reply.switch.take() {
                        // What goes on is no HTTP.
                        this.heads.forget();
                        let taken = lock(&this.side).take();
                        if let Some((io, ahead)) = taken {
                            switch.hand_over(Switched::new(io, ahead));
                        }
                        return Poll::Ready(Ok(()));
                    }
                    let stays = reply.keeps && !this.leaving && lock(&this.side).is_done(cx);
                    this.state = if stays { State::Idle } else { State::Closing };
                }
                State::Closing => {
                    ready!(lock(&this.side).with(|io| io.poll_shutdown(cx)))?;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

/// Writes an answer to its end. Pending: its body has no more for now, or the client takes no more.
fn poll_reply<S, B>(
    reply: &mut Reply<B>,
    side: &Mutex<Side<S>>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data = Bytes, Error: std::error::Error> + Unpin,
{
    loop {
        let gathered = reply.outgoing.gather(cx);
        let waits = gathered.is_pending();
        if let Poll::Ready(Err(trouble)) = gathered {
            return Poll::Ready(Err(io::Error::other(match trouble {
                Trouble::Body(error) => format!("the answer broke: {error}"),
                Trouble::Length => "the answer is not as long as it says".to_owned(),
            })));
        }
        let mut side = lock(side);
        ready!(side.poll_interim(cx)).map_err(|broken| match broken {
            Broken::Io(error) => error,
            other => io::Error::other(other),
        })?;
        ready!(side.with(|io| reply.outgoing.poll_send(io.get_mut(), cx, &mut false)))?;
        if reply.outgoing.is_over() {
            return Poll::Ready(Ok(()));
        }
        if waits {
            return Poll::Pending;
        }
    }
}

impl<S, V: Service> Drop for Connection<S, V> {
    fn drop(&mut self) {
        // Whoever still has the body of a request is not to hold the socket.
        drop(lock(&self.side).take());
    }
}
