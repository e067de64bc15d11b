//! HTTP/2 towards clients: its limits, each set on purpose; the reaper of streams whose client takes nothing; and the few things in which
//! its requests differ from HTTP/1.1's, made alike before the pipeline sees them.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, header};
use hyper::{rt::Executor, server::conn::http2::Builder};
use tokio::time::{Sleep, sleep_until};
use weir_proxy::stall::Stall;
use weir_wire::Fault;

use crate::tasks::Tasks;

/// GOAWAY, ENHANCE_YOUR_CALM (RFC 9113 section 6.8), for all streams: hyper has no way to say it.
pub(crate) const CALM_DOWN: &[u8] = &[
    0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0xb,
];

/// A builder with weir's limits. Per connection a client that takes nothing holds at most 128 streams of a first piece of 8 KiB (see weir-h1), one
/// that stops in the middle of its answers two pieces of 64 KiB each, for as long as the reaper lets it; one that sends and is not listened to, 512 KiB.
pub(crate) fn builder(streams: Streams) -> Builder<Streams> {
    let mut builder = Builder::new(streams);
    builder
        // As nginx; browsers open 100 at most.
        .max_concurrent_streams(128)
        // With 32 bytes for each header, by RFC 9113 section 6.5.2. Portals' cookies in chunks reach 16 KiB; more is answered 431.
        .max_header_list_size(32 * 1024)
        // Requests taken back before weir had looked at them: GOAWAY after these (CVE-2023-44487). More is `Downstream::is_abused`'s.
        .max_pending_accept_reset_streams(20)
        // Streams that weir had to reset for the client's mistakes: GOAWAY after these (CVE-2025-8671).
        .max_local_error_reset_streams(256)
        // hyper's 400 KiB per stream would make 50 MiB of one connection.
        .max_send_buf_size(64 * 1024)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(512 * 1024)
        .max_frame_size(16 * 1024)
        .enable_connect_protocol();
    builder
}

/// What is refused of HTTP/1.1 by its bytes and the library lets pass in HTTP/2: one rule for both, since one upstream sees both.
pub(crate) fn fault(headers: &HeaderMap) -> Option<Fault> {
    if headers.get_all(header::CONTENT_LENGTH).iter().count() > 1 {
        return Some(Fault::LengthTwice);
    }
    let continues = |line: &HeaderValue| line.as_bytes().eq_ignore_ascii_case(b"100-continue");
    let met = headers.get_all(header::EXPECT).iter().all(continues);
    (!met).then_some(Fault::Expectation)
}

/// RFC 9113 section 8.2.3: cookies may come in crumbs, which are one line everywhere else.
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() < 2 {
        return;
    }
    let line = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
        .expect("values joined by what may stand in a value");
    headers.insert(header::COOKIE, line);
}

/// Runs a connection's streams, each until it is done or its client has taken nothing for so long.
#[derive(Clone)]
pub(crate) struct Streams {
    tasks: Tasks,
    /// What the request just accepted has written down of its client; hyper hands over its stream right behind it.
    next: Arc<Mutex<Option<Arc<Stall>>>>,
    patience: Duration,
}

impl Streams {
    pub(crate) fn new(tasks: Tasks, patience: Duration) -> Self {
        Self {
            tasks,
            next: Arc::default(),
            patience,
        }
    }

    /// For the request that hyper is handing over.
    pub(crate) fn accepted(&self) -> Arc<Stall> {
        let stall = Stall::new();
        *self.next() = Some(Arc::clone(&stall));
        stall
    }

    fn next(&self) -> std::sync::MutexGuard<'_, Option<Arc<Stall>>> {
        self.next
            .lock()
            .expect("nothing panics while it holds the lock")
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        match self.next().take() {
            Some(stall) => self.tasks.add(Reaped {
                stream: Box::pin(task),
                stall,
                patience: self.patience,
                timer: None,
            }),
            // The writing half of a tunnel.
            None => self.tasks.add(task),
        }
    }
}

/// A stream, dropped and thereby reset when its client has taken nothing for `patience`; the upstream goes with it.
struct Reaped {
    stream: BoxFuture<'static, ()>,
    stall: Arc<Stall>,
    patience: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Future for Reaped {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let Some(since) = self.stall.since() else {
                return Poll::Pending;
            };
            let at = since + self.patience;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
            // A timer set too early only looks again.
            if timer.is_elapsed() {
                timer.as_mut().reset(at);
            }
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= at {
                self.stall.give_up();
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Weak};

    use tokio::time::{Instant, sleep, timeout};

    use super::*;
    use crate::tasks::Running;

    const MINUTE: Duration = Duration::from_secs(60);
    /// What a body does after so many seconds.
    type Step = (u64, fn(&Stall));
    const GAVE: fn(&Stall) = Stall::gave;
    const ASKED: fn(&Stall) = Stall::asked;

    /// A stream whose body does this and never ends, handed over as hyper does; it is there as long as the last is.
    fn stream(streams: &Streams, script: &'static [Step]) -> (Arc<Stall>, Weak<()>) {
        let stall = streams.accepted();
        let (alive, seen) = (Arc::new(()), Arc::clone(&stall));
        let is_there = Arc::downgrade(&alive);
        streams.execute(async move {
            let _alive = alive;
            for (after, act) in script {
                sleep(Duration::from_secs(*after)).await;
                act(&seen);
            }
            pending().await
        });
        (stall, is_there)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_when_its_client_has_taken_nothing_for_so_long() {
        for (script, ends) in [
            (&[(0, GAVE)][..], Some(60)),
            (&[(7, GAVE)], Some(67)),
            // Taken in the last moment, and the next piece waits anew.
            (&[(0, GAVE), (59, ASKED), (1, GAVE)], Some(120)),
            (&[(0, GAVE), (30, ASKED), (0, GAVE), (30, ASKED)], None),
            // An upstream that says nothing is not the client's doing.
            (&[(0, GAVE), (59, ASKED)], None),
            (&[], None),
        ] {
            let tasks = Tasks::default();
            let streams = Streams::new(tasks.clone(), MINUTE);
            let (stall, _) = stream(&streams, script);
            let (mut running, began) = (Running::new(tasks), Instant::now());
            let ended = timeout(60 * MINUTE, running.drive(true)).await;
            let after = ended.ok().map(|()| began.elapsed().as_secs());
            assert_eq!(after, ends, "{} steps", script.len());
            assert_eq!(stall.is_given_up(), ends.is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_streams_only_the_stalled_one_ends() {
        let tasks = Tasks::default();
        let streams = Streams::new(tasks.clone(), MINUTE);
        let (stalled, is_there) = stream(&streams, &[(0, GAVE)]);
        let (well, goes_on) = stream(&streams, &[(0, GAVE), (50, ASKED), (5, GAVE), (50, ASKED)]);
        let mut running = Running::new(tasks);
        assert!(timeout(30 * MINUTE, running.drive(true)).await.is_err());
        assert!(stalled.is_given_up() && is_there.upgrade().is_none());
        assert!(!well.is_given_up() && goes_on.upgrade().is_some());
    }

    #[test]
    fn crumbs_become_one_line() {
        let mut headers = HeaderMap::new();
        for crumb in ["a=1", "b=2; c=3", "d=4"] {
            headers.append(header::COOKIE, HeaderValue::from_static(crumb));
        }
        join_cookies(&mut headers);
        let lines: Vec<_> = headers.get_all(header::COOKIE).iter().collect();
        assert_eq!(lines, ["a=1; b=2; c=3; d=4"]);
    }
}
