//! Drives a client's connection to its end: whoever speaks HTTP on it and what runs beside, watched for the client's leaving, the clocks kept, the
//! stages of the process passed on. The same for both protocols, which differ only in how they say goodbye.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use weir_proxy::downstream::Abuse;

use crate::{
    aside::Aside,
    broken::{self, Broke},
    client::{Client, Protocol},
    crowd::PlaceOfAddress,
    flood::Flood,
    http2,
    life::Stage,
    line::{Line, Wire},
    linger,
    patience::Overdue,
    socket,
    tasks::Running,
};

/// How long streams that are cut have for their last words, and an idle HTTP/2 client to answer the goodbye; then the connection is dropped.
const GOODBYE: Duration = Duration::from_millis(1500);

/// What a client that was let in may still take to ask, when weir has begun to stop: a connection without a request is idle, and it
/// would be closed with the request already on its way.
const GRACE: Duration = Duration::from_millis(250);

/// See the module.
pub(crate) struct Connection {
    pub(crate) client: Arc<Client>,
    pub(crate) stream: Arc<TcpStream>,
    pub(crate) wire: Wire,
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) protocol: Protocol,
    pub(crate) of_address: Option<PlaceOfAddress>,
}

/// What ends a connection's wait.
enum Event {
    /// Whoever speaks the protocol is done: with the connection, or with its part before an upgrade.
    Ended(Result<(), Broke>),
    /// What ran beside is done too, and nothing more will come.
    AllDone,
    /// The client has closed its sending side.
    Left,
    /// An exchange waits on an upstream, of a client that had left before.
    BeganWaiting,
    Overdue(Overdue),
    /// The process has come to another stage of its life.
    Stage,
    /// A client that was let in has had its time to ask.
    GraceOver,
    /// The client asks for too much work of no use to it.
    Abused(Abuse),
    /// The time for last words is over.
    GoodbyeOver,
}

/// What whoever speaks the protocol is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// Take nothing new, and end when what runs is done.
    Leave,
    /// The head that was begun has used up its time.
    TooLate,
}

impl Connection {
    /// The connection as whoever speaks HTTP sees it. `ahead`: what was read already.
    pub(crate) fn line(&self, ahead: Bytes, flood: Option<Flood>) -> Line {
        let client = &self.client;
        let (downstream, patience) = (&client.downstream, &client.patience);
        let wire = self.wire.clone();
        Line::new(wire, ahead, downstream.clone(), patience.clone(), flood)
    }

    /// `http`: speaks the protocol; `tell` tells it something.
    pub(crate) async fn drive<C, E>(
        &mut self,
        mut http: Pin<&mut C>,
        tell: impl Fn(Pin<&mut C>, Word),
    ) where
        C: Future<Output = Result<(), E>>,
        E: Into<Broke>,
    {
        let client = Arc::clone(&self.client);
        let downstream = &client.downstream;
        let mut running = Running::new(client.tasks.clone());
        let (mut over, mut left, mut lingers) = (false, false, false);
        let (mut dropped_at, mut grace) = (None, None);
        let aside = Aside::new();
        // Accepted while the queue of a closing socket was emptied: told at once.
        if *self.stage.borrow_and_update() != Stage::Serving {
            self.stage.mark_changed();
        }
        loop {
            let event = {
                let mut others = pin!(async {
                    tokio::select! {
                        biased;
                        () = running.drive(over) => Event::AllDone,
                        () = socket::left(&self.stream), if !left && !over => Event::Left,
                        () = downstream.began_waiting(), if left => Event::BeganWaiting,
                        overdue = client.patience.overdue(), if !over => Event::Overdue(overdue),
                        // The sender lives as long as `shared`, so this cannot fail.
                        _ = self.stage.changed() => Event::Stage,
                        () = at(grace), if !over => Event::GraceOver,
                        how = downstream.was_abused(), if self.protocol == Protocol::Http2 => Event::Abused(how),
                        () = at(dropped_at) => Event::GoodbyeOver,
                    }
                });
                aside.renew();
                poll_fn(|cx| {
                    if !over && let Poll::Ready(ended) = http.as_mut().poll(cx) {
                        return Poll::Ready(Event::Ended(ended.map_err(E::into)));
                    }
                    // Not aside: an exchange that has just begun changes what there is to look for.
                    if !over && !left && self.wire.poll_goodbye(downstream, cx).is_ready() {
                        return Poll::Ready(Event::Left);
                    }
                    aside.poll(cx, others.as_mut())
                })
                .await
            };
            match event {
                // After an upgrade the tunnel goes on.
                Event::Ended(Ok(())) => over = true,
                Event::Ended(Err(error)) => {
                    broken::broken(client.shared(), client.peer, &error);
                    lingers = true;
                    break;
                }
                Event::AllDone => {
                    lingers = over;
                    break;
                }
                Event::Left => left = true,
                Event::BeganWaiting => {}
                Event::Overdue(Overdue::KeepAlive)
                    if self.protocol == Protocol::Http2 && dropped_at.is_none() =>
                {
                    tell(http.as_mut(), Word::Leave);
                    dropped_at = Some(Instant::now() + GOODBYE);
                }
                Event::Overdue(Overdue::KeepAlive) => break,
                Event::Overdue(Overdue::Write) => {
                    client.shared().meter.connection_error("write_stalled");
                    // What waits to be taken would keep the kernel busy long after.
                    let _ = self.stream.set_zero_linger();
                    break;
                }
                // Answered as every refused head is, in the next turn.
                Event::Overdue(Overdue::Head) => {
                    tell(http.as_mut(), Word::TooLate);
                    client.patience.head_given_up();
                }
                Event::Stage => match *self.stage.borrow() {
                    Stage::Serving | Stage::Leaving => {}
                    Stage::Draining if over => {}
                    Stage::Draining
                        if self.protocol == Protocol::Http1 && client.patience.awaits_head() =>
                    {
                        grace = Some(Instant::now() + GRACE);
                    }
                    Stage::Draining => {
                        tell(http.as_mut(), Word::Leave);
                        if self.protocol == Protocol::Http2 {
                            dropped_at = Some(Instant::now() + GOODBYE);
                        }
                    }
                    Stage::Cutting => {
                        downstream.cut();
                        dropped_at = Some(Instant::now() + GOODBYE);
                    }
                },
                Event::GraceOver => {
                    tell(http.as_mut(), Word::Leave);
                    grace = None;
                }
                Event::Abused(how) => {
                    broken::abused(client.shared(), client.peer, how);
                    if downstream.is_flushed() {
                        self.wire.say(&self.stream, http2::CALM_DOWN);
                    }
                    break;
                }
                Event::GoodbyeOver => {
                    // A request may have crossed the goodbye. Who has answered it is told the rest: of an answer whose end waits for
                    // its window, say. Who cannot have heard it yet has the clock of those who take nothing.
                    let patience = &client.patience;
                    let waits =
                        patience.is_busy() || patience.was_answered() || !downstream.is_flushed();
                    if downstream.is_cut() || !waits {
                        break;
                    }
                    dropped_at = Some(Instant::now() + GOODBYE);
                }
            }
            // A client that closed its sending side has left, but only as seen by an exchange that waits on an upstream: an answer of
            // weir's own is still written, for `printf … | nc -N` and for crude health checkers.
            if left && !over && downstream.is_waiting() {
                break;
            }
        }
        if downstream.wants_reset() {
            let _ = self.stream.set_zero_linger();
        } else if lingers && !client.patience.is_read_out() && self.may_linger() {
            let unread = client.patience.left_unread();
            let stop = async {
                let stops = |stage: &Stage| matches!(stage, Stage::Draining | Stage::Cutting);
                // The sender lives as long as `shared`.
                let _ = self.stage.wait_for(stops).await;
                sleep(linger::AT_A_STOP).await;
            };
            tokio::select! {
                () = linger::linger(&self.stream, unread) => {}
                () = stop => {}
            }
        }
    }

    /// The place of its address is another's from now on. The total's is not: a connection that lingers has a descriptor still.
    fn may_linger(&mut self) -> bool {
        let settings = self.client.gateway().plan.client;
        let place = self.of_address.as_mut();
        place.is_none_or(|place| place.linger(&settings))
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
