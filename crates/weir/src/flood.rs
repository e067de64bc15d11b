//! Whether an HTTP/2 client sends little else than frames that ask for nothing: pings, settings, priorities, empty pieces (CVE-2019-9511 to 9518
//! and their kin). Each costs weir more than the client, and the library bounds what they take of memory, not how many there are. Requests and
//! their streams have limits of their own.

use std::time::Duration;

use tokio::time::Instant;
use weir_wire::{FrameHead, Frames};

/// So many may come within the period. gRPC's measuring pings and a browser's priorities stay far below; it costs weir some milliseconds.
const MOST: u32 = 10_000;
const PERIOD: Duration = Duration::from_secs(10);

/// What allows for one more: a client that reads opens windows.
const WRITTEN: usize = 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const PING: u8 = 6;
const ACK: u8 = 1;

/// See the module.
#[derive(Debug)]
pub(crate) struct Flood {
    frames: Frames,
    idle: u32,
    since: Instant,
    /// Bytes written that have allowed for nothing yet.
    written: usize,
    /// One of the frames answered a PING.
    pong: bool,
}

impl Flood {
    pub(crate) fn new() -> Self {
        Self {
            frames: Frames::default(),
            idle: 0,
            since: Instant::now(),
            written: 0,
            pong: false,
        }
    }

    /// These bytes came; whether that is too much.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> bool {
        let (idle, pong) = (&mut self.idle, &mut self.pong);
        self.frames.read(bytes, |head: FrameHead| {
            *pong |= head.kind == PING && head.flags & ACK != 0;
            match head.kind {
                // It may be taken back, and given a priority.
                HEADERS => *idle = idle.saturating_sub(2),
                DATA if head.length > 0 || head.flags & END_STREAM != 0 => {}
                _ => *idle += 1,
            }
        });
        if self.idle <= MOST {
            return false;
        }
        let now = Instant::now();
        let soon = now - self.since < PERIOD;
        (self.idle, self.since) = (0, now);
        soon
    }

    /// Whether the client has answered a PING.
    pub(crate) fn has_pong(&self) -> bool {
        self.pong
    }

    /// The client was written to.
    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        let allowed = u32::try_from(self.written / WRITTEN).unwrap_or(u32::MAX);
        self.idle = self.idle.saturating_sub(allowed);
        self.written %= WRITTEN;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const WINDOW_UPDATE: [u8; 13] = [0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0];

    fn begun() -> Flood {
        let mut flood = Flood::new();
        assert!(!flood.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        flood
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_once_are_too_many() {
        let mut flood = begun();
        assert!((0..10_000).all(|_| !flood.read(&PING)));
        assert!(flood.read(&PING));
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_in_a_long_time_are_not() {
        let mut flood = begun();
        for _ in 0..100_000 {
            tokio::time::advance(Duration::from_millis(2)).await;
            assert!(!flood.read(&PING));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_reads_may_open_windows() {
        let mut flood = begun();
        for _ in 0..100_000 {
            flood.wrote(4 * 1024);
            assert!(!flood.read(&[WINDOW_UPDATE, WINDOW_UPDATE].concat()));
        }
        // Answers to pings are no reading.
        assert!((0..20_000).any(|_| {
            flood.wrote(PING.len());
            flood.read(&PING)
        }));
    }
}
