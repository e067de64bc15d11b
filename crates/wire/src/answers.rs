//! What an upstream sends: answer heads by the rules below, their bodies followed to the end. What comes after an answer that nobody asked
//! for is the seed of a poisoned queue: it never gets through, and the connection is not used again.
//!
//! More lenient than with clients in one thing: a line may end with LF alone. The upstream is the operator's, and nobody reads these bytes
//! after weir.

use crate::{
    Fault, Messages, Next, Stop, characters::is_text, chunks::Chunks, fields::Fields, lines::Lines,
};

/// Interim answers (1xx) before one final answer.
const INTERIM: u32 = 32;

/// See the module.
#[derive(Debug, Default)]
pub struct Answers {
    state: State,
    head: Head,
    head_only: bool,
    interim: u32,
    /// Two readers could differ on where this answer ends.
    doubtful: bool,
}

#[derive(Debug, Default)]
enum State {
    /// Nothing was asked.
    #[default]
    Idle,
    Head,
    Length(u64),
    Chunked(Chunks),
    /// Until the connection ends, or another protocol has begun.
    Rest,
}

#[derive(Debug, Default)]
struct Head {
    lines: Lines,
    fields: Fields,
    status: u16,
    old: bool,
}

impl Answers {
    /// Whether a request is still to be asked: what is written next is its head.
    pub fn idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// A request goes out; `head_only`: its answer has no body (HEAD).
    pub fn asked(&mut self, head_only: bool) {
        self.state = State::Head;
        self.head_only = head_only;
        self.interim = 0;
    }

    /// Whether the connection may carry another request after this answer, as far as the answer's framing says.
    pub fn doubtful(&self) -> bool {
        self.doubtful
    }

    fn head(&mut self, bytes: &[u8]) -> Next {
        match self.head.read(bytes) {
            Err(fault) => Next::Stop(Stop::Head(fault)),
            Ok(None) => Next::More,
            Ok(Some(length)) => {
                let head = std::mem::take(&mut self.head);
                let bodyless = self.head_only || matches!(head.status, 204 | 304);
                self.doubtful |= head.fields.chunked && head.fields.length.is_some();
                self.state = match (head.status, head.fields.chunked, head.fields.length) {
                    (101, ..) => State::Rest,
                    (100..=199, ..) => {
                        self.interim += 1;
                        if self.interim > INTERIM {
                            return Next::Stop(Stop::Head(Fault::Interim));
                        }
                        State::Head
                    }
                    _ if bodyless => State::Idle,
                    (_, true, _) => State::Chunked(Chunks::new()),
                    (_, false, Some(0)) => State::Idle,
                    (_, false, Some(length)) => State::Length(length),
                    (_, false, None) => State::Rest,
                };
                Next::Pass(length)
            }
        }
    }
}

impl Messages for Answers {
    fn next(&mut self, bytes: &[u8]) -> Next {
        match &mut self.state {
            State::Idle => Next::Stop(Stop::Over),
            State::Head => self.head(bytes),
            State::Length(left) => {
                let here = (*left).min(bytes.len() as u64);
                *left -= here;
                if *left == 0 {
                    self.state = State::Idle;
                }
                Next::Pass(usize::try_from(here).expect("no more than the slice"))
            }
            State::Chunked(chunks) => match chunks.pass(bytes) {
                Ok(count) => {
                    if chunks.done() {
                        self.state = State::Idle;
                    }
                    Next::Pass(count)
                }
                Err(fault) => Next::Stop(Stop::Body(fault)),
            },
            State::Rest => Next::Pass(bytes.len()),
        }
    }
}

impl Head {
    fn read(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let Self {
            lines,
            fields,
            status,
            old,
        } = self;
        let found = lines.scan(bytes, true, |line| {
            if *status == 0 {
                (*status, *old) = status_line(line)?;
                return Ok(());
            }
            fields.line(line).map(drop)
        })?;
        if found.is_some() {
            if self.status == 0 {
                return Err(Fault::StatusLine);
            }
            if self.fields.chunked && self.old {
                return Err(Fault::CodingInOld);
            }
        }
        Ok(found)
    }
}

/// `HTTP/1.x SP 3DIGIT [SP reason]`: the status, and whether it is HTTP/1.0. The second space is missing in the field.
fn status_line(line: &[u8]) -> Result<(u16, bool), Fault> {
    let old = match line.get(..9) {
        Some(b"HTTP/1.1 ") => false,
        Some(b"HTTP/1.0 ") => true,
        _ => return Err(Fault::StatusLine),
    };
    let (status, reason) = match &line[9..] {
        [
            a @ b'1'..=b'9',
            b @ b'0'..=b'9',
            c @ b'0'..=b'9',
            reason @ ..,
        ] => (
            u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'),
            reason,
        ),
        _ => return Err(Fault::StatusLine),
    };
    if !matches!(reason, [] | [b' ', ..]) || !is_text(reason) {
        return Err(Fault::StatusLine);
    }
    Ok((status, old))
}
