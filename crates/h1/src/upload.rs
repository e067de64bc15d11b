//! A request on its way out, beside its answer. Trailers of a request are not sent: nothing that weir fronts reads them, and they are a way
//! past every header rule.

use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Body;
use tokio::io::AsyncWrite;

use crate::{
    Fault,
    outgoing::{Framing, Outgoing, Trouble},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Upload<B> {
    outgoing: Outgoing<B>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Untouched,
    Begun,
    Done,
    /// The server takes no more. It may have answered all the same.
    Refused,
}

impl<B> Upload<B> {
    pub(crate) fn new(head: Vec<u8>, body: Option<(Framing, B)>) -> Self {
        Self {
            outgoing: Outgoing::new(head, body),
            state: State::Untouched,
        }
    }

    /// Whether the whole request was sent.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether none of it was.
    pub(crate) fn is_untouched(&self) -> bool {
        self.state == State::Untouched
    }

    /// Whether there is still something to do.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.state, State::Untouched | State::Begun)
    }

    #[cfg(test)]
    pub(crate) fn unsent(&self) -> &[u8] {
        self.outgoing.unsent()
    }
}

impl<B: Body<Data = Bytes, Error: std::error::Error + 'static> + Unpin> Upload<B> {
    /// Sends as much as goes. A server that takes no more is no error here: its answer may say why.
    ///
    /// # Errors
    /// What is wrong with the body, or a connection that took nothing at all.
    pub(crate) fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Result<(), Fault<B::Error>> {
        while self.is_under_way() {
            let gathered = self.outgoing.gather(cx).map_err(|trouble| match trouble {
                Trouble::Body(error) => Fault::Request(error),
                Trouble::Length => Fault::Length,
            });
            let waits = match gathered {
                Poll::Ready(gathered) => {
                    gathered?;
                    false
                }
                Poll::Pending => true,
            };
            let mut begun = false;
            let sent = self.outgoing.poll_send(io, cx, &mut begun);
            if begun {
                self.state = State::Begun;
            }
            match sent {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if self.outgoing.is_over() => {
                    self.state = State::Done;
                    self.outgoing.discard();
                }
                Poll::Ready(Ok(())) if waits => break,
                Poll::Ready(Ok(())) => {}
                // Not a byte: what could be heard now is no answer to it.
                Poll::Ready(Err(error)) if self.is_untouched() => return Err(Fault::Io(error)),
                Poll::Ready(Err(_)) => {
                    self.state = State::Refused;
                    self.outgoing.discard();
                }
            }
        }
        Ok(())
    }
}
