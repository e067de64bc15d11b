//! What a body's bytes say while they pass: counts, times, events, and whether weir may put words of its own here.
//! Tells the observer as it happens and closes with one summary. Never changes a byte.

use std::fmt;

use bytes::Bytes;
use tokio::time::Instant;
use weir_llm::{Answer, Dialect, End, Media, Tap};

use crate::{
    inbound::Kind,
    summary::{Observer, Outcome, StreamSummary, Summary},
};

/// Sent to the client to show that the line is alive; a comment by the rules of server-sent events, so no page sees it.
const COMMENT: &[u8] = b": weir\n\n";

/// See the module.
pub(crate) struct Account {
    /// Taken when the account is closed, so that it is told once.
    observer: Option<Box<dyn Observer>>,
    started: Instant,
    bytes: u64,
    first_byte: Option<std::time::Duration>,
    /// Boxed, as the next is: most answers have neither, and are not to carry the room for them.
    stream: Option<Box<Stream>>,
    encoded: bool,
    /// Listened to where the observer wants to know what it used.
    answer: Option<Box<Answer>>,
}

struct Stream {
    /// `None`: counted by piece, because its bytes are no events, or cannot be read (encoded).
    tap: Option<Tap>,
    /// The observer may want to end it.
    may_end: bool,
    /// It does, at the end of an event.
    spent: bool,
    /// Pieces count as events: a stream that has no events of its own.
    by_piece: bool,
    last_event: Option<Instant>,
    named: bool,
    summary: StreamSummary,
}

/// What became of a piece of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Events that it completed.
    pub(crate) events: u32,
    /// So many of its bytes pass, and nothing after them: the observer has had enough.
    pub(crate) cut: Option<usize>,
    /// When, where that had to be known.
    pub(crate) at: Option<Instant>,
}

impl Account {
    pub(crate) fn open(observer: Box<dyn Observer>, started: Instant, kind: Option<Kind>) -> Self {
        let stream = kind.filter(|kind| kind.stream).map(|kind| {
            Box::new(Stream {
                tap: kind.readable.then(|| Tap::new(kind.media)),
                by_piece: kind.media == Media::Other,
                may_end: observer.may_end(),
                spent: false,
                last_event: None,
                named: false,
                summary: StreamSummary::default(),
            })
        });
        let listens = kind.is_some_and(|kind| kind.json) && observer.wants_usage();
        Self {
            observer: Some(observer),
            started,
            bytes: 0,
            first_byte: None,
            stream,
            encoded: kind.is_some_and(|kind| kind.encoded),
            answer: listens.then(Box::default),
        }
    }

    /// A piece of the body came; says what of it is to pass.
    pub(crate) fn passed(&mut self, data: &[u8]) -> Passed {
        let passed = self.listen(data);
        self.bytes += passed.cut.unwrap_or(data.len()) as u64;
        passed
    }

    fn listen(&mut self, data: &[u8]) -> Passed {
        let mut passed = Passed::default();
        if let Some(answer) = &mut self.answer {
            answer.feed(data);
        }
        if self.first_byte.is_some() && self.stream.is_none() {
            return passed;
        }
        let Some(observer) = self.observer.as_deref_mut() else {
            return passed;
        };
        let now = Instant::now();
        passed.at = Some(now);
        if self.first_byte.is_none() {
            let after = now - self.started;
            self.first_byte = Some(after);
            observer.first_byte(after);
        }
        if let Some(stream) = &mut self.stream {
            (passed.events, passed.cut) = stream.passed(data, now, self.started, observer);
        }
        passed
    }

    /// A comment, if one may stand here.
    pub(crate) fn comment(&mut self) -> Option<Bytes> {
        self.at_boundary().then(|| {
            self.bytes += COMMENT.len() as u64;
            Bytes::from_static(COMMENT)
        })
    }

    /// The error event of the stream's own dialect, if one may stand here.
    pub(crate) fn last_words(&mut self, outcome: Outcome) -> Option<Bytes> {
        let tap = self.stream.as_ref()?.tap.as_ref()?;
        // After the dialect's own end an error would contradict what the page was already told.
        if !tap.at_boundary() || tap.end().is_some() {
            return None;
        }
        let words = weir_llm::error_event(tap.dialect(), outcome.as_str(), outcome.message());
        self.bytes += words.len() as u64;
        Some(words)
    }

    /// An event stream whose terminal event has not been seen. Where nothing else marks the end, such a stream counts as broken, also in
    /// a dialect weir does not know: a page that is told "error" asks again, one that is told "done" shows half an answer as whole.
    pub(crate) fn lacks_its_end(&self) -> bool {
        let tap = self.stream.as_ref().and_then(|stream| stream.tap.as_ref());
        tap.is_some_and(|tap| tap.end().is_none())
    }

    /// Tells the observer how it ended, and when; a second call says nothing.
    pub(crate) fn close(&mut self, outcome: Outcome, ended: Instant) {
        let Some(mut observer) = self.observer.take() else {
            return;
        };
        observer.done(Summary {
            outcome,
            ended,
            bytes: self.bytes,
            first_byte: self.first_byte,
            stream: self.stream.take().map(|stream| stream.close()),
            used: self.answer.take().and_then(|answer| answer.usage()),
            encoded: self.encoded,
        });
    }

    fn at_boundary(&self) -> bool {
        let tap = self.stream.as_ref().and_then(|stream| stream.tap.as_ref());
        tap.is_some_and(Tap::at_boundary)
    }
}

impl Stream {
    fn passed(
        &mut self,
        data: &[u8],
        now: Instant,
        started: Instant,
        observer: &mut dyn Observer,
    ) -> (u32, Option<usize>) {
        let (events, cut) = self.listen(data, observer);
        if let Some(id) = self
            .tap
            .as_ref()
            .and_then(Tap::conversation)
            .filter(|_| !self.named)
        {
            self.named = true;
            observer.conversation(id);
        }
        if events == 0 {
            return (events, cut);
        }
        self.summary.events += u64::from(events);
        match self.last_event.replace(now) {
            None => {
                let after = now - started;
                self.summary.first_event = Some(after);
                observer.first_event(after);
            }
            // Several events in one piece came together: one gap, not a row of zeros that would hide the real ones.
            Some(before) => {
                let gap = now - before;
                self.summary.max_gap = self.summary.max_gap.max(Some(gap));
                observer.gap(gap);
            }
        }
        (events, cut)
    }

    /// Counts the events of a piece, and finds the place behind which nothing more may pass. Where an observer may end the stream it is asked
    /// at every single event: pieces end anywhere, and one may hold many.
    fn listen(&mut self, data: &[u8], observer: &mut dyn Observer) -> (u32, Option<usize>) {
        let Some(tap) = &mut self.tap else {
            let events = u32::from(self.by_piece);
            let spent = events > 0 && !observer.events(events);
            return (events, spent.then_some(data.len()));
        };
        if !self.may_end {
            let events = tap.feed(data).events;
            if events > 0 {
                observer.events(events);
            }
            return (events, None);
        }
        let (mut at, mut events) = (0, 0);
        while at < data.len() {
            let (taken, fed) = tap.feed_event(&data[at..]);
            at += taken;
            events += fed.events;
            self.spent |= fed.events > 0 && !observer.events(fed.events);
            // A stream that has said its last word is whole, whatever it cost.
            if self.spent && tap.at_boundary() && tap.end().is_none() {
                return (events, Some(at));
            }
        }
        (events, None)
    }

    fn close(self) -> StreamSummary {
        let mut summary = self.summary;
        if let Some(tap) = self.tap {
            summary.dialect = Some(tap.dialect()).filter(|dialect| *dialect != Dialect::Unknown);
            summary.usage = tap.usage().to_vec();
            summary.conversation = tap.conversation().map(str::to_owned);
            summary.run_failed = tap.end() == Some(End::Failed);
        }
        summary
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({} bytes)", self.bytes)
    }
}
