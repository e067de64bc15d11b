//! What a stream has told about itself so far, in any dialect.

use crate::usage::Usage;

/// How a stream said that it is over. An answer may end without any of these; whether it is complete is then for its framing to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// AG-UI `RUN_FINISHED`, OpenAI `[DONE]`.
    Finished,
    /// AG-UI `RUN_ERROR`, OpenAI `{"error": …}`, an event named `error` in an unknown dialect.
    Failed,
    /// AG-UI `RUN_FINISHED` with the outcome `cancelled`.
    Cancelled,
}

/// Filled by the readers of the dialects.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// What the last whole event said about the end.
    pub(crate) end: Option<End>,
    /// What the unfinished event will say about it. A client acts on an event only when its empty line is there, so an upstream that
    /// dies one byte earlier has not ended its stream.
    pub(crate) ending: Option<Option<End>>,
    pub(crate) usage: Vec<Usage>,
    pub(crate) conversation: Option<String>,
    /// The first content has been seen.
    pub(crate) content: bool,
}

impl Facts {
    /// The event is complete: what it said holds now.
    pub(crate) fn event_ended(&mut self) {
        if let Some(end) = self.ending.take() {
            self.end = end;
        }
    }
}
