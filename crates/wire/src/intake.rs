//! Between a socket and the HTTP library: what was read goes through only when it is known to be right. Whole messages and bodies pass in
//! place, without a copy; only a head that comes in pieces is held until it is whole.

use crate::Fault;

/// What comes over one connection, message after message.
pub trait Messages {
    /// What is to become of the bytes that are next. `bytes` is not empty; after [`Next::More`] it is asked again with the same bytes and
    /// others behind them.
    fn next(&mut self, bytes: &[u8]) -> Next;
}

/// What is to become of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// So many are right.
    Pass(usize),
    /// So many are right, and not for the library.
    Skip(usize),
    /// They are not enough to tell.
    More,
    /// Whether they are HTTP depends on an answer that is not yet there.
    Wait,
    /// Nothing more comes through.
    Stop(Stop),
}

/// Why nothing more comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The head is refused; nothing of it has passed.
    Head(Fault),
    /// The body is refused; a part of it has passed.
    Body(Fault),
    /// There is to be nothing more.
    Over,
}

/// See the module.
#[derive(Debug)]
pub struct Intake<M> {
    messages: M,
    /// Right bytes that are still to be handed out, then bytes of which nothing is known yet.
    held: Vec<u8>,
    right: usize,
    waits: bool,
    stop: Option<Stop>,
}

impl<M: Messages> Intake<M> {
    /// Nothing was read yet.
    pub fn new(messages: M) -> Self {
        Self {
            messages,
            held: Vec::new(),
            right: 0,
            waits: false,
            stop: None,
        }
    }

    /// Takes what was read; says how many of its first bytes may go on as they are. The rest is kept, see [`Intake::take`].
    pub fn admit(&mut self, fresh: &[u8]) -> usize {
        if self.stop.is_some() {
            return 0;
        }
        let mut passed = 0;
        if self.held.is_empty() {
            while passed < fresh.len() {
                match self.messages.next(&fresh[passed..]) {
                    Next::Pass(count) => passed += count,
                    other => {
                        self.held.extend_from_slice(&fresh[passed..]);
                        if self.apply(other) {
                            self.advance();
                        }
                        break;
                    }
                }
            }
        } else {
            self.held.extend_from_slice(fresh);
            self.advance();
        }
        passed
    }

    /// Whether bytes are kept that are right. Most pass in place, and then there are none.
    pub fn holds(&self) -> bool {
        self.right > 0
    }

    /// Hands out kept bytes that are right; how many.
    pub fn take(&mut self, out: &mut [u8]) -> usize {
        let count = self.right.min(out.len());
        out[..count].copy_from_slice(&self.held[..count]);
        self.right -= count;
        if count == self.held.len() {
            // An idle connection holds no memory.
            self.held = Vec::new();
        } else {
            self.held.drain(..count);
        }
        count
    }

    /// Why nothing more comes, once all that was right has been handed out.
    pub fn stopped(&self) -> Option<Stop> {
        self.stop.filter(|_| self.right == 0)
    }

    /// The messages as far as they were read.
    pub fn messages(&self) -> &M {
        &self.messages
    }

    /// The bytes of which nothing is known, or which were refused.
    pub fn unknown(&self) -> &[u8] {
        &self.held[self.right..]
    }

    /// Whether it must be told first what became of an upgrade.
    pub fn waits(&self) -> bool {
        self.waits && self.right == 0
    }

    /// The messages, to tell them what cannot be seen from here. What is kept is looked at again.
    pub fn tell(&mut self, tell: impl FnOnce(&mut M)) {
        tell(&mut self.messages);
        self.waits = false;
        self.advance();
    }

    /// Nothing more will be read: a head that was begun will never be whole.
    pub fn end(&mut self) {
        if self.stop.is_none() && !self.waits && !self.unknown().is_empty() {
            self.stop = Some(Stop::Head(Fault::Unfinished));
        }
    }

    /// Puts these bytes in the place of a refused head; nothing follows them.
    pub fn stand_in(&mut self, bytes: &[u8]) {
        self.held.truncate(self.right);
        self.held.extend_from_slice(bytes);
        self.right = self.held.len();
        self.stop = Some(Stop::Over);
    }

    fn advance(&mut self) {
        while self.right < self.held.len() && self.stop.is_none() {
            let next = self.messages.next(&self.held[self.right..]);
            if !self.apply(next) {
                return;
            }
        }
    }

    /// Whether there may be more to look at.
    fn apply(&mut self, next: Next) -> bool {
        match next {
            Next::Pass(count) => self.right += count,
            Next::Skip(count) => drop(self.held.drain(self.right..self.right + count)),
            Next::More => return false,
            Next::Wait => {
                self.waits = true;
                return false;
            }
            Next::Stop(stop) => {
                self.stop = Some(stop);
                return false;
            }
        }
        true
    }
}
