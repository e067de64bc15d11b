//! What a record is told while its body passes, and what is counted when it is over: once, also when it is dropped half-way.

use std::time::Duration;

use tokio::time::Instant;
use weir_llm::Usage;
use weir_meter::Tokens;
use weir_proxy::summary::{Observer, Outcome, StreamSummary, Summary};

use super::{CLIENT_CLOSED_REQUEST, Facts};
use crate::reservation::Reservation;

impl Observer for Facts {
    fn first_byte(&mut self, after: Duration) {
        if self.open_stream.is_some() {
            self.series().first_byte(after);
        }
    }

    fn first_event(&mut self, after: Duration) {
        self.series().first_event(after);
    }

    fn gap(&mut self, gap: Duration) {
        self.series().gap(gap);
    }

    fn events(&mut self, more: u32) -> bool {
        // Each of them counts, also when another has said to end.
        let mut may_go_on = true;
        for reservation in &mut self.reservations {
            may_go_on &= reservation.events(more);
        }
        may_go_on
    }

    fn may_end(&self) -> bool {
        self.reservations.iter().any(Reservation::may_cut)
    }

    fn wants_usage(&self) -> bool {
        !self.reservations.is_empty()
    }

    fn conversation(&mut self, id: &str) {
        self.conversation = Some(self.gateway.meter.conversation(id));
    }

    fn done(&mut self, summary: Summary) {
        self.close(&summary);
    }
}

impl Facts {
    fn close(&mut self, summary: &Summary) {
        let Some(mut busy) = self.busy.take() else {
            return;
        };
        let unread = match &self.upload {
            Some(upload) => !upload.done(),
            None => self.unread,
        };
        if unread {
            busy.leaves_unread();
        }
        let outcome = summary.outcome.as_str();
        busy.over(summary.ended);
        let duration = summary.ended.duration_since(self.started);
        self.series()
            .finished(&self.method, self.status, duration, outcome);
        if !self.reservations.is_empty() {
            self.settle(summary);
        }
        if let Some(stream) = &summary.stream {
            self.count_stream(stream, summary.bytes, outcome);
        }
        if let Some(used) = &summary.used {
            self.count_used(used, outcome);
        }
        if self
            .route
            .is_none_or(|route| self.gateway.plan.routes[route].log)
        {
            self.write(summary, duration);
        }
    }

    #[inline(never)]
    fn settle(&mut self, summary: &Summary) {
        let streamed = summary.stream.iter().flat_map(|stream| &stream.usage);
        let used = streamed
            .chain(&summary.used)
            .filter_map(figure)
            .reduce(u64::saturating_add);
        let whole = summary.outcome == Outcome::Complete;
        let answered = self.server.is_some() && (200..300).contains(&self.status);
        // A client that leaves before the head does not take the question back: a model may have begun to answer it.
        let left = self.status == CLIENT_CLOSED_REQUEST
            && self.upload.as_ref().is_some_and(|upload| upload.sent());
        let answered = answered || left;
        for reservation in &mut self.reservations {
            reservation.settle(used, whole, answered);
        }
        self.series().settled(match used {
            Some(_) => "usage",
            None if !answered => "nothing",
            None if summary.encoded => "encoded",
            None => "estimate",
        });
    }

    #[inline(never)]
    fn count_stream(&self, stream: &StreamSummary, bytes: u64, outcome: &'static str) {
        self.series().events(stream.events);
        self.series().bytes(bytes);
        self.series().stream_ended(outcome);
        if stream.dialect.is_none() {
            return;
        }
        let outcome = if stream.run_failed {
            "run_failed"
        } else {
            outcome
        };
        // A run may have asked several models, or told nothing of any: it is counted in both cases.
        if stream.usage.is_empty() {
            self.series().llm(None, None, outcome, None);
        }
        for used in &stream.usage {
            self.count_used(used, outcome);
        }
    }

    #[inline(never)]
    fn count_used(&self, used: &Usage, outcome: &'static str) {
        let tokens = figure(used).map(|_| Tokens {
            input: used.input,
            output: used.output,
            cached_input: used.cached_input,
            reasoning: used.reasoning,
        });
        let (provider, model) = (used.provider.as_deref(), used.model.as_deref());
        self.series().llm(provider, model, outcome, tokens.as_ref());
    }
}

/// No exchange uses more tokens.
const PLAUSIBLE: u64 = 100_000_000;

/// What the provider says that was used, in tokens. Nothing at all, or more than can be, is a server's way to say nothing: the first must not
/// make an answer free, the second must not bury its caller in debt.
fn figure(used: &Usage) -> Option<u64> {
    let all = used.input.saturating_add(used.output);
    (1..=PLAUSIBLE).contains(&all).then_some(all)
}

impl Drop for Facts {
    /// Only the pipeline can drop it unclosed: the client left before there was an answer, or weir had to stop.
    fn drop(&mut self) {
        if self.busy.is_none() {
            return;
        }
        let outcome = if self.connection.downstream.is_cut() {
            Outcome::Shutdown
        } else {
            self.connection.downstream.abandoned();
            Outcome::ClientGone
        };
        self.close(&Summary {
            outcome,
            ended: Instant::now(),
            bytes: 0,
            first_byte: None,
            stream: None,
            used: None,
            encoded: false,
        });
    }
}
