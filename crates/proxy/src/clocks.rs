//! The clocks of an answer's body: the gap between two pieces, the first event, the whole, and the keep-alive comment.
//! One timer serves them all and is armed lazily: a piece that passes only notes the time, and the timer looks again when it fires.

use std::{
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

use crate::{alarm::Alarm, settings::Timeouts, summary::Outcome};

/// See the module.
#[derive(Debug)]
pub(crate) struct Clocks {
    idle: Duration,
    comment_every: Option<Duration>,
    first_event: Option<Instant>,
    total: Option<Instant>,
    /// Since when the upstream is waited for. Not since the last piece: while a slow client holds the body back nobody asks the upstream.
    waiting: Option<Instant>,
    /// What comes first of them while it is waited for. A body may be asked several times before there is anything new.
    due: Option<(Instant, Expired)>,
    /// When something was last said to the client, where there is a comment to say.
    said: Option<Instant>,
    alarm: Alarm,
}

/// What time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// For a comment.
    Comment,
    /// For the end, and why.
    Limit(Outcome),
}

impl Clocks {
    pub(crate) fn start(
        timeouts: &Timeouts,
        stream: bool,
        comment_every: Option<Duration>,
        alarm: Alarm,
    ) -> Self {
        let from_now = |after: Option<Duration>| after.map(|after| Instant::now() + after);
        Self {
            idle: timeouts.idle,
            comment_every,
            first_event: from_now(timeouts.first_event.filter(|_| stream)),
            total: from_now(timeouts.total),
            waiting: None,
            due: None,
            said: comment_every.map(|_| Instant::now()),
            alarm,
        }
    }

    /// A piece passed; `event`: one was completed by it.
    pub(crate) fn passed(&mut self, event: bool) {
        (self.waiting, self.due) = (None, None);
        if event {
            self.first_event = None;
        }
        if self.comment_every.is_some() {
            self.said = Some(Instant::now());
        }
    }

    /// The upstream has nothing: waits for whichever clock is first.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        let (at, what) = match self.due {
            Some(due) => due,
            None => {
                let waiting = *self.waiting.get_or_insert_with(Instant::now);
                *self.due.insert(self.next(waiting))
            }
        };
        ready!(self.alarm.poll(cx, at));
        self.due = None;
        if what == Expired::Comment {
            self.said = Some(Instant::now());
        }
        Poll::Ready(what)
    }

    /// Its timer, for the connection's next exchange.
    pub(crate) fn into_alarm(self) -> Alarm {
        self.alarm.rest()
    }

    fn next(&self, waiting: Instant) -> (Instant, Expired) {
        let (mut at, mut what) = (waiting + self.idle, Expired::Limit(Outcome::Idle));
        let mut sooner = |other: Option<Instant>, why| {
            if let Some(other) = other.filter(|other| *other < at) {
                (at, what) = (other, why);
            }
        };
        sooner(self.first_event, Expired::Limit(Outcome::FirstEvent));
        sooner(self.total, Expired::Limit(Outcome::Total));
        // Behind them: an end comes before a comment due at the same time.
        let comment = self.said.zip(self.comment_every);
        let comment = comment.map(|(said, every)| said + every);
        sooner(comment, Expired::Comment);
        (at, what)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn timeouts() -> Timeouts {
        Timeouts {
            idle: Duration::from_secs(10),
            ..Timeouts::default()
        }
    }

    async fn expiry(clocks: &mut Clocks) -> (Expired, Duration) {
        let began = Instant::now();
        let expired = poll_fn(|cx| clocks.poll(cx)).await;
        (expired, Duration::from_secs(began.elapsed().as_secs()))
    }

    #[tokio::test(start_paused = true)]
    async fn the_gap_is_counted_from_the_wait_and_not_from_the_last_piece() {
        let mut clocks = Clocks::start(&timeouts(), true, None, Alarm::default());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(
            expiry(&mut clocks).await,
            (Expired::Limit(Outcome::Idle), Duration::from_secs(10))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_starts_the_gap_anew() {
        let mut clocks = Clocks::start(&timeouts(), true, None, Alarm::default());
        for _ in 0..5 {
            tokio::select! {
                _ = expiry(&mut clocks) => panic!("no clock may fire"),
                () = tokio::time::sleep(Duration::from_secs(9)) => {}
            }
            clocks.passed(false);
        }
        assert_eq!(expiry(&mut clocks).await.0, Expired::Limit(Outcome::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn comments_come_in_silence_and_do_not_put_off_the_end() {
        let mut clocks = Clocks::start(
            &timeouts(),
            true,
            Some(Duration::from_secs(4)),
            Alarm::default(),
        );
        assert_eq!(
            expiry(&mut clocks).await,
            (Expired::Comment, Duration::from_secs(4))
        );
        assert_eq!(
            expiry(&mut clocks).await,
            (Expired::Comment, Duration::from_secs(4))
        );
        assert_eq!(
            expiry(&mut clocks).await,
            (Expired::Limit(Outcome::Idle), Duration::from_secs(2))
        );
    }

    /// Five minutes of an agent that thinks: what stands between here and the client sees a comment every fifteen seconds.
    #[tokio::test(start_paused = true)]
    async fn a_long_silence_has_a_comment_in_each_of_its_parts() {
        let patient = Timeouts {
            idle: Duration::from_secs(301),
            ..timeouts()
        };
        let mut clocks = Clocks::start(
            &patient,
            true,
            Some(Duration::from_secs(15)),
            Alarm::default(),
        );
        for _ in 0..20 {
            assert_eq!(
                expiry(&mut clocks).await,
                (Expired::Comment, Duration::from_secs(15))
            );
        }
        assert_eq!(
            expiry(&mut clocks).await,
            (Expired::Limit(Outcome::Idle), Duration::from_secs(1))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_event_has_a_clock_of_its_own() {
        let first = Timeouts {
            first_event: Some(Duration::from_secs(3)),
            ..timeouts()
        };
        let mut clocks = Clocks::start(&first, true, None, Alarm::default());
        clocks.passed(false);
        assert_eq!(
            expiry(&mut clocks).await,
            (Expired::Limit(Outcome::FirstEvent), Duration::from_secs(3))
        );
        let mut clocks = Clocks::start(&first, true, None, Alarm::default());
        clocks.passed(true);
        assert_eq!(expiry(&mut clocks).await.0, Expired::Limit(Outcome::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn the_whole_has_one_too() {
        let total = Timeouts {
            total: Some(Duration::from_secs(5)),
            ..timeouts()
        };
        let mut clocks = Clocks::start(&total, false, None, Alarm::default());
        assert_eq!(
            expiry(&mut clocks).await,
            (Expired::Limit(Outcome::Total), Duration::from_secs(5))
        );
    }
}
