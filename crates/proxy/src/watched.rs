//! The one body of weir: every answer and every forwarded request is a [`Body`]. An answer's body is watched: it keeps the stream's clocks,
//! listens to its events, ends it honestly, and reports what happened once. It decides nothing about routes, counts nothing and logs nothing.
//!
//! Three facts about whoever writes it (weir-h1, and hyper for HTTP/2) shape it. Nobody polls past `is_end_stream`, so the end is looked for
//! after each frame. The body of a HEAD, 204 or 304 answer is dropped unpolled. And a frame that is not yet flushed when the body errs is
//! thrown away, so after its last words a broken stream stays pending until they are written.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::Version;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::{Instant, Sleep, sleep};
use weir_h1::Portion;
use weir_llm::Media;

use crate::{
    account::Account,
    alarm::Alarm,
    client_body::ClientBody,
    clocks::{Clocks, Expired},
    compress::Coding,
    downstream::{Downstream, Seat},
    drain, encode,
    error::BodyError,
    inbound::Kind,
    incoming::Incoming,
    lease::Lease,
    settings::{OnDisconnect, StreamPolicy, Timeouts},
    source::{Request, Source, Upload},
    stall::Stall,
    summary::{Observer, Outcome},
};

/// How long the last words of a broken stream may wait for a client that does not read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub struct Body {
    source: Source,
    watch: Option<Box<Watch>>,
}

/// What an answer's body needs to know of its exchange.
pub struct Exchange {
    /// Told what happens.
    pub observer: Box<dyn Observer>,
    /// The connection it goes out on.
    pub downstream: Arc<Downstream>,
    /// When the exchange began.
    pub started: Instant,
    /// The client's protocol version: HTTP/1.0 has no framing that could say "broken".
    pub version: Version,
    /// Told when the client takes nothing; only HTTP/2 needs it.
    pub stall: Option<Arc<Stall>>,
    /// How the body is compressed on its way.
    pub coding: Option<Coding>,
}

#[derive(Debug)]
struct Watch {
    account: Account,
    seat: Seat,
    /// Whom the seat wakes: asked at every poll, and nearly always the same.
    wakes: Option<Waker>,
    stall: Option<Arc<Stall>>,
    version: Version,
    /// Facts that only an upstream's answer has.
    kind: Option<Kind>,
    clocks: Option<Clocks>,
    policy: StreamPolicy,
    /// Body bytes still to come, where the length is known: no more than that is written or asked for.
    left: Option<u64>,
    /// The last poll handed on all that was there: the next one is likely to wait.
    drained: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Flowing,
    /// No more of it may pass than what was just handed on; its last words follow.
    Cut,
    /// Broken, its error event handed out if there is one; the end follows when all that it has said was written.
    LastWords {
        outcome: Outcome,
        patience: Pin<Box<Sleep>>,
    },
    Over,
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self {
            source: Source::Empty,
            watch: None,
        }
    }

    /// An answer of weir's own.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self {
            source: Source::Full(bytes.into()),
            watch: None,
        }
    }

    /// A file.
    pub fn file(body: UnsyncBoxBody<Bytes, std::io::Error>) -> Self {
        Self {
            source: Source::File(body),
            watch: None,
        }
    }

    /// A client's request body of at most `limit` bytes, with pauses of at most `idle`; and how its upload goes.
    pub fn request(incoming: ClientBody, limit: u64, idle: Duration) -> (Self, Arc<Upload>) {
        let upload = Upload::start();
        let body = if http_body::Body::is_end_stream(&incoming) {
            upload.finish();
            Self::empty()
        } else {
            let request = Request::new(incoming, limit, idle, Arc::clone(&upload));
            Self {
                source: Source::Request(Box::new(request)),
                watch: None,
            }
        };
        (body, upload)
    }

    /// An upstream's answer, watched to its end; one that is here already is at its end.
    pub fn upstream(
        mut incoming: Incoming,
        lease: Lease,
        kind: Kind,
        exchange: Exchange,
        timeouts: &Timeouts,
        policy: &StreamPolicy,
        seat: Seat,
    ) -> Self {
        // By HTTP/2 a client may leave it lying there, which somebody must watch.
        let passes = !kind.stream && exchange.coding.is_none() && exchange.stall.is_none();
        if passes
            && !seat.downstream().is_cut()
            && let Some(bytes) = incoming.whole()
        {
            let mut account = Account::open(exchange.observer, exchange.started, Some(kind));
            let passed = (!bytes.is_empty()).then(|| account.passed(&bytes));
            let at = passed.and_then(|passed| passed.at);
            let at = at.unwrap_or_else(Instant::now);
            drop(seat);
            account.close(Outcome::Complete, at);
            let alarm = incoming.alarm();
            lease.release(incoming, alarm, at);
            return Self::full(bytes);
        }
        let clocks = Clocks::start(
            timeouts,
            // A stream whose events may not be read cannot be late with one.
            kind.stream && (kind.readable || kind.media == Media::Other),
            policy.comment_every.filter(|_| kind.injectable),
            incoming.alarm(),
        );
        let watch = Box::new(Watch {
            account: Account::open(exchange.observer, exchange.started, Some(kind)),
            seat,
            wakes: None,
            stall: exchange.stall,
            version: exchange.version,
            kind: Some(kind),
            clocks: Some(clocks),
            policy: policy.clone(),
            left: incoming.size_hint().exact(),
            drained: false,
            state: State::Flowing,
        });
        Self {
            source: Source::Upstream(incoming, lease),
            watch: Some(watch),
        }
        .encoded(exchange.coding)
    }

    /// Any other answer, watched to its end. `length`: its Content-Length, if it has one; `bodyless`: by its method or status it has no
    /// body, whatever it carries.
    pub fn watch(self, exchange: Exchange, length: Option<u64>, bodyless: bool) -> Self {
        let source = if bodyless {
            Source::Empty
        } else {
            self.source_only()
        };
        let left = length.or_else(|| source.size_hint().exact());
        let watch = Box::new(Watch {
            account: Account::open(exchange.observer, exchange.started, None),
            seat: exchange.downstream.seat(),
            wakes: None,
            stall: exchange.stall,
            version: exchange.version,
            kind: None,
            clocks: None,
            policy: StreamPolicy::default(),
            left,
            drained: false,
            state: State::Flowing,
        });
        Self {
            source,
            watch: Some(watch),
        }
        .encoded(exchange.coding)
    }

    /// The same, compressed on its way. Inside the watch, so that its accounts and clocks see what the client gets.
    fn encoded(mut self, coding: Option<Coding>) -> Self {
        let Some(coding) = coding.filter(|_| !self.source.is_end()) else {
            return self;
        };
        let inner = Self {
            source: std::mem::replace(&mut self.source, Source::Empty),
            watch: None,
        };
        self.source = Source::Encoded(encode::encode(inner, coding));
        if let Some(watch) = &mut self.watch {
            watch.left = None;
        }
        self
    }

    fn source_only(mut self) -> Source {
        std::mem::replace(&mut self.source, Source::Empty)
    }

    /// The end was reached cleanly: the account is closed and the connection goes back to its pool.
    fn complete(source: &mut Source, watch: &mut Watch, at: Instant) {
        watch.finish(Outcome::Complete, at);
        watch.state = State::Over;
        if let Source::Upstream(incoming, lease) = std::mem::replace(source, Source::Empty) {
            let alarm = watch.clocks.take().map(Clocks::into_alarm);
            lease.release(incoming, alarm.unwrap_or_default(), at);
        }
    }

    /// The end was not reached. The upstream's connection closes now; the client gets the dialect's error event if one may stand here.
    fn fail(source: &mut Source, watch: &mut Watch, outcome: Outcome) -> Option<Portion> {
        *source = Source::Empty;
        if watch.version < Version::HTTP_11 {
            watch.seat.downstream().demand_reset();
        }
        let injectable = watch.kind.is_some_and(|kind| kind.injectable) && watch.policy.error_event;
        let words = if injectable {
            watch.account.last_words(outcome)
        } else {
            None
        };
        watch.finish(outcome, Instant::now());
        // Without words of its own too: what came before them may have come in this same poll.
        watch.seat.speaks();
        watch.state = State::LastWords {
            outcome,
            patience: Box::pin(sleep(LAST_WORDS)),
        };
        words.map(Portion::Data)
    }

    #[inline]
    fn poll_flowing(
        source: &mut Source,
        watch: &mut Watch,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Portion>> {
        if watch.seat.downstream().is_cut() && watch.kind.is_some() {
            return Poll::Ready(Self::fail(source, watch, Outcome::Shutdown));
        }
        // A stream's event is followed by this second poll, which nearly always finds nothing and only leaves the waker: with the clocks and
        // the seat below, and here with the socket.
        let waits = std::mem::take(&mut watch.drained) && source.poll_awaited(cx).is_pending();
        let polled = if waits {
            Poll::Pending
        } else {
            source.poll(cx)
        };
        match polled {
            Poll::Ready(Some(Ok(portion))) => {
                let mut over = matches!(portion, Portion::Trailers(_)) || source.is_end();
                let mut at = None;
                if let Portion::Data(data) = &portion {
                    watch.left = watch
                        .left
                        .map(|left| left.saturating_sub(data.len() as u64));
                    let passed = watch.account.passed(data);
                    at = passed.at;
                    if let Some(clocks) = &mut watch.clocks {
                        clocks.passed(passed.events > 0);
                    }
                    over |= watch.left == Some(0);
                    if let Some(end) = passed.cut
                        && !(over && end == data.len())
                    {
                        let kept = data.slice(..end);
                        *source = Source::Empty;
                        watch.state = State::Cut;
                        return Poll::Ready(Some(Portion::Data(kept)));
                    }
                }
                // Trailers are the last thing a body has to say.
                if over {
                    Self::complete(source, watch, at.unwrap_or_else(Instant::now));
                } else {
                    watch.drained = true;
                }
                Poll::Ready(Some(portion))
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "body broke");
                let outcome = source.blame();
                Poll::Ready(Self::fail(source, watch, outcome))
            }
            Poll::Ready(None) => {
                if watch.kind.is_some_and(|kind| kind.close_delimited)
                    && watch.account.lacks_its_end()
                {
                    return Poll::Ready(Self::fail(source, watch, Outcome::UpstreamFailed));
                }
                Self::complete(source, watch, Instant::now());
                Poll::Ready(None)
            }
            Poll::Pending => {
                watch.register(cx.waker());
                let clocks = &mut watch.clocks;
                while let Some(Poll::Ready(expired)) = clocks.as_mut().map(|clocks| clocks.poll(cx))
                {
                    match expired {
                        Expired::Comment => {
                            if let Some(comment) = watch.account.comment() {
                                return Poll::Ready(Some(Portion::Data(comment)));
                            }
                            // In the middle of an event: nothing may be said here. The clock was set anew; ask it again, for its waker.
                        }
                        Expired::Limit(outcome) => {
                            return Poll::Ready(Self::fail(source, watch, outcome));
                        }
                    }
                }
                Poll::Pending
            }
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { source, watch } = &mut *self;
        let Some(watch) = watch else {
            let polled = source.poll(cx);
            // Inside an encoder: nobody else sees that the upstream is done with its connection.
            let ended = matches!(polled, Poll::Ready(None))
                || matches!(polled, Poll::Ready(Some(Ok(_)))) && source.is_end();
            if ended
                && let Source::Upstream(incoming, lease) = std::mem::replace(source, Source::Empty)
            {
                lease.release(incoming, Alarm::default(), Instant::now());
            }
            return polled.map_ok(Frame::from);
        };
        if let Some(stall) = &watch.stall {
            stall.asked();
        }
        if matches!(watch.state, State::Flowing | State::Cut) {
            let polled = match watch.state {
                State::Cut => Poll::Ready(Self::fail(source, watch, Outcome::OutOfTokens)),
                _ => Self::poll_flowing(source, watch, cx),
            };
            match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(portion)) => {
                    if let Some(stall) = &watch.stall {
                        stall.gave();
                    }
                    return Poll::Ready(Some(Ok(portion.into())));
                }
                Poll::Ready(None) => {}
            }
        }
        let outcome = match &mut watch.state {
            State::Flowing | State::Cut | State::Over => return Poll::Ready(None),
            State::LastWords { outcome, patience } => {
                watch.seat.register(cx.waker());
                if !watch.seat.was_heard() && patience.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                *outcome
            }
        };
        watch.state = State::Over;
        Poll::Ready(Some(Err(BodyError::Ended(outcome))))
    }

    fn is_end_stream(&self) -> bool {
        match self.watch.as_deref().map(|watch| &watch.state) {
            None | Some(State::Flowing) => self.source.is_end(),
            Some(State::Over) => true,
            Some(State::Cut | State::LastWords { .. }) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let Self {
            source,
            watch: Some(watch),
        } = self
        else {
            return;
        };
        match watch.state {
            State::Flowing => {}
            State::Cut => return watch.finish(Outcome::OutOfTokens, Instant::now()),
            State::LastWords { .. } | State::Over => return,
        }
        if source.is_end() || watch.kind.is_some_and(|kind| kind.bodyless) {
            return Self::complete(source, watch, Instant::now());
        }
        let outcome = if watch
            .stall
            .as_ref()
            .is_some_and(|stall| stall.is_given_up())
        {
            Outcome::Stalled
        } else if watch.seat.downstream().is_cut() {
            Outcome::Shutdown
        } else {
            Outcome::ClientGone
        };
        watch.finish(outcome, Instant::now());
        if let (OnDisconnect::Drain { time, bytes }, Outcome::ClientGone) =
            (watch.policy.on_disconnect, outcome)
            && let Source::Upstream(body, lease) = std::mem::replace(source, Source::Empty)
        {
            drain::spawn(body, lease, time, bytes);
        }
    }
}

impl Watch {
    fn register(&mut self, waker: &Waker) {
        if !self.wakes.as_ref().is_some_and(|had| had.will_wake(waker)) {
            self.seat.register(waker);
            self.wakes = Some(waker.clone());
        }
    }

    fn finish(&mut self, outcome: Outcome, at: Instant) {
        self.seat.waits_no_more();
        self.account.close(outcome, at);
    }
}
