//! How an exchange's body ended and what passed through it. The body reports these facts; counting and logging them is the observer's.

use std::time::Duration;

use tokio::time::Instant;
use weir_llm::{Dialect, Usage};

/// Why a body is over. The words are interface: metric labels and log fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole answer was handed on.
    Complete,
    /// The client left before the end.
    ClientGone,
    /// The upstream died, broke the framing, or closed without its dialect's terminal event.
    UpstreamFailed,
    /// The client took nothing for `client.write_stall`.
    Stalled,
    /// The client's own body broke, stalled or grew too large when the answer had already begun.
    RequestFailed,
    /// Nothing came from the upstream for `timeout.idle`.
    Idle,
    /// No event came within `timeout.first_event`.
    FirstEvent,
    /// The body took longer than `timeout.total`.
    Total,
    /// weir itself was stopping.
    Shutdown,
    /// The observer said that no more of it may pass.
    OutOfTokens,
}

impl Outcome {
    /// The metric label and log field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::UpstreamFailed => "upstream_failed",
            Self::Stalled => "stalled",
            Self::RequestFailed => "request_failed",
            Self::Idle => "idle",
            Self::FirstEvent => "first_event",
            Self::Total => "total",
            Self::Shutdown => "shutdown",
            Self::OutOfTokens => "out_of_tokens",
        }
    }

    /// What a page is told in the stream's own dialect.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Complete | Self::ClientGone | Self::Stalled => "the stream has ended",
            Self::UpstreamFailed => "the upstream ended the stream before it was complete",
            Self::RequestFailed => "the request broke off before it was complete",
            Self::Idle => "the upstream sent nothing for too long",
            Self::FirstEvent => "the upstream sent no event in time",
            Self::Total => "the stream took longer than allowed",
            Self::Shutdown => "the gateway is shutting down",
            Self::OutOfTokens => "the token budget is used up",
        }
    }
}

/// What passed, reported once.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Why it is over.
    pub outcome: Outcome,
    /// Since when.
    pub ended: Instant,
    /// Body bytes handed towards the client, weir's own comments and error events included.
    pub bytes: u64,
    /// From the start of the exchange to the first body byte.
    pub first_byte: Option<Duration>,
    /// What a stream adds; `None` for an answer that was none.
    pub stream: Option<StreamSummary>,
    /// What an answer that was no stream said it used, where [`Observer::wants_usage`].
    pub used: Option<Usage>,
    /// It came in a coding, so nothing could be read of it.
    pub encoded: bool,
}

/// What a stream adds to a [`Summary`].
#[derive(Clone, Debug, Default)]
pub struct StreamSummary {
    /// From the start of the exchange to the end of the first event (for what is not SSE: the first piece).
    pub first_event: Option<Duration>,
    /// Events (for what is not SSE: pieces) seen.
    pub events: u64,
    /// The longest time between two events.
    pub max_gap: Option<Duration>,
    /// The language spoken, if one was recognised.
    pub dialect: Option<Dialect>,
    /// Tokens used, as the stream itself said.
    pub usage: Vec<Usage>,
    /// The conversation it belongs to.
    pub conversation: Option<String>,
    /// Whether the dialect's own terminal event said that the run failed.
    pub run_failed: bool,
}

/// Told what happens to a body while it happens, and how it ended. Called on the hot path: must be quick and must not block.
pub trait Observer: Send {
    /// The first body byte came, so long after the start of the exchange.
    fn first_byte(&mut self, after: Duration);
    /// The first event came, so long after the start of the exchange.
    fn first_event(&mut self, after: Duration);
    /// Another event came, so long after the one before.
    fn gap(&mut self, gap: Duration);
    /// So many more events came. False ends the stream here, behind the last of
    /// them, for its budget is used up.
    fn events(&mut self, more: u32) -> bool;
    /// Whether [`Observer::events`] may ever say false; asked once, before the first byte.
    fn may_end(&self) -> bool;
    /// Whether a JSON answer is to be listened to for what it used. Asked once, before its first byte.
    fn wants_usage(&self) -> bool;
    /// The stream named its conversation.
    fn conversation(&mut self, id: &str);
    /// It is over. Called exactly once, last.
    fn done(&mut self, summary: Summary);
}
