//! A timer that is set for every exchange and hardly ever rings. Once armed it stays so: a later time is only noted by whoever asks, and
//! looked at again when the timer fires; it goes with its connection from exchange to exchange. Arming one takes a lock and a place in
//! the runtime's wheel, asking an armed one two comparisons.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
    /// Who is woken when it fires.
    wakes: Option<Waker>,
}

impl Alarm {
    /// Ready when it is past `at`, which may be another time at each call.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let Self { timer, wakes } = self;
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        loop {
            // Set too early it only looks again; set too late it would miss.
            if timer.deadline() > at {
                timer.as_mut().reset(at);
                *wakes = None;
            }
            if !timer.is_elapsed() {
                if wakes
                    .as_ref()
                    .is_some_and(|waker| waker.will_wake(cx.waker()))
                {
                    return Poll::Pending;
                }
                if timer.as_mut().poll(cx).is_pending() {
                    *wakes = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
            if timer.deadline() == at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
            *wakes = None;
        }
    }

    /// Nobody waits for it any more. The timer itself stays armed: ringing for nobody is cheaper than taking it out and in again.
    pub(crate) fn rest(mut self) -> Self {
        self.wakes = None;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use super::*;

    async fn rings(alarm: &mut Alarm, after: u64) {
        let began = Instant::now();
        let at = began + Duration::from_secs(after);
        poll_fn(|cx| alarm.poll(cx, at)).await;
        assert_eq!(began.elapsed().as_secs(), after);
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_when_it_is_asked_to_whatever_it_was_set_to_before() {
        let mut alarm = Alarm::default();
        for after in [5, 1, 9, 3] {
            // Not waited for to its end: it stays armed.
            let early = Instant::now() + Duration::from_secs(after + 2);
            tokio::select! {
                () = poll_fn(|cx| alarm.poll(cx, early)) => panic!("too early"),
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
            }
            rings(&mut alarm, after).await;
            alarm = alarm.rest();
            rings(&mut alarm, after + 4).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_wakes_whoever_asked_last() {
        let mut alarm = Alarm::default();
        let at = Instant::now() + Duration::from_secs(5);
        let mut nobody = Context::from_waker(Waker::noop());
        assert!(alarm.poll(&mut nobody, at).is_pending());
        tokio::spawn(async move { poll_fn(|cx| alarm.poll(cx, at)).await })
            .await
            .expect("it rings");
    }
}
