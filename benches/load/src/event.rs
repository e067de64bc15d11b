//! The event that is measured: a chunk with one AG-UI text event, as an agents server sends it, with its number and the time it was sent.
//! Both ends are in one process and read the same clock. Fields have a fixed width, so that reading one costs a search and no parser.

use std::{sync::OnceLock, time::Instant};

use memchr::memmem;

const NUMBER: &[u8] = b"\"messageId\":\"";
const SENT: &[u8] = b"\"sent\":\"";
const DIGITS: usize = 16;

/// Nanoseconds since the first question.
pub(crate) fn now() -> u64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(BEGIN.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The event that opens a stream: it makes the dialect known, and carries number 0.
pub(crate) fn first(out: &mut Vec<u8>) {
    chunk(
        out,
        &format!(
            "data: {{\"type\":\"RUN_STARTED\",\"threadId\":\"t-1\",\"runId\":\"r-1\",\"messageId\":\"{:016}\",\"sent\":\"{:016}\"}}\n\n",
            0,
            now()
        ),
    );
}

/// An event of 131 bytes.
pub(crate) fn write(out: &mut Vec<u8>, number: u64) {
    chunk(
        out,
        &format!(
            "data: {{\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":\"{number:016}\",\"delta\":\"a few words \",\"sent\":\"{:016}\"}}\n\n",
            now()
        ),
    );
}

fn chunk(out: &mut Vec<u8>, event: &str) {
    out.extend(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
}

/// One event as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) number: u64,
    /// When it was sent, on the clock of `now`.
    pub(crate) sent: u64,
}

/// Takes the events that have arrived whole out of the buffer, whatever chunks or frames they came in.
pub(crate) fn take(buffer: &mut Vec<u8>, mut each: impl FnMut(Event)) {
    let mut at = 0;
    while let Some((event, end)) = next(&buffer[at..]) {
        at += end;
        each(event);
    }
    buffer.drain(..at);
}

fn next(bytes: &[u8]) -> Option<(Event, usize)> {
    let (number, at) = field(bytes, NUMBER)?;
    let (sent, end) = field(&bytes[at..], SENT)?;
    Some((Event { number, sent }, at + end))
}

fn field(bytes: &[u8], name: &[u8]) -> Option<(u64, usize)> {
    let begin = memmem::find(bytes, name)? + name.len();
    let digits = bytes.get(begin..begin + DIGITS)?;
    let value = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u64::from(digit & 15));
    Some((value, begin + DIGITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_wherever_the_reads_end() {
        let mut sent = Vec::new();
        first(&mut sent);
        for number in 1..4 {
            write(&mut sent, number);
        }
        for size in 1..sent.len() {
            let (mut buffer, mut found) = (Vec::new(), Vec::new());
            for piece in sent.chunks(size) {
                buffer.extend(piece);
                take(&mut buffer, |event| found.push(event.number));
            }
            assert_eq!(found, [0, 1, 2, 3], "reads of {size}");
        }
    }

    #[test]
    fn the_stamp_is_the_time_of_writing() {
        let before = now();
        let mut buffer = Vec::new();
        write(&mut buffer, 7);
        let mut found = None;
        take(&mut buffer, |event| found = Some(event));
        let event = found.expect("an event");
        assert!((before..=now()).contains(&event.sent) && event.number == 7);
    }
}
