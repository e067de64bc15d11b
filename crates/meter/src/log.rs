//! The access log: one line per exchange, written when the exchange is over.
//!
//! The worker that had the exchange copies its facts; a thread of its own puts lines together and writes them, so that a slow disk holds back
//! no stream: what it cannot keep up with is dropped and counted. Which exchanges are logged is the route's decision.

mod audit;
mod entry;
mod file;
mod json;
mod queue;
mod record;
mod sink;
mod target;
mod text;
mod time;

use std::{io, sync::Arc, thread, time::Duration};

pub use audit::{AuditLog, Event, Refused};
pub use entry::{Entry, Level, StreamFacts};
use queue::Queue;
use record::Form;
use sink::Sink;
pub use target::{Format, Target};

use crate::Meter;

/// How long a flush waits for a disk that hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// An open access log. Shared by all workers; the last lines are written when it is dropped.
pub struct AccessLog {
    queue: Arc<Queue>,
}

impl AccessLog {
    /// Opens the target and starts its writer. `service` is the `service` field of every line; lost lines are counted in `meter`.
    ///
    /// # Errors
    /// If the file cannot be opened for appending, or the thread not started.
    pub fn open(format: Format, target: Target, service: &str, meter: &Meter) -> io::Result<Self> {
        let sink = Sink::open(target)?;
        let queue = Queue::new(meter.log_dropped());
        let writer = Arc::clone(&queue);
        let form = Form {
            format,
            service: service.into(),
        };
        thread::Builder::new()
            .name("weir-log".to_owned())
            .spawn(move || writer.drain_into(sink, &form))?;
        Ok(Self { queue })
    }

    /// Puts a line on its way. Never blocks on the disk; a line for which there is no room is dropped and counted.
    pub fn write(&self, entry: &Entry<&[u8]>) {
        self.queue.push(|records| records.exchange(entry));
    }

    /// Waits until every line so far is written, at most five seconds; whether that was enough. Blocks: not for an async worker in
    /// service.
    pub fn flush(&self) -> bool {
        self.queue.flush(PATIENCE)
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        // The writer is not joined: on a disk that hangs it would be waited for for ever.
        self.queue.close();
        self.flush();
    }
}

impl std::fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessLog")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn open(path: &std::path::Path, meter: &Meter) -> AccessLog {
        let target = Target::File {
            path: path.to_owned(),
            roll_at: 1 << 20,
            keep: 1,
        };
        AccessLog::open(Format::Json, target, "weir", meter)
            .expect("a temporary directory is writable")
    }

    #[test]
    fn lines_of_many_workers_arrive_whole() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("weir.log");
        let meter = Meter::new();
        let log = open(&path, &meter);
        thread::scope(|scope| {
            for worker in 0..4_u16 {
                let log = &log;
                scope.spawn(move || {
                    for index in 0..250 {
                        let mut entry = entry::tests::sample();
                        entry.status = 100 + worker;
                        entry.bytes_out = index;
                        log.write(&entry);
                    }
                });
            }
        });
        assert!(log.flush());
        let text = fs::read_to_string(&path).expect("the log");
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(lines.len(), 1000);
        // Each worker's lines keep their order.
        for worker in 0..4 {
            let bytes: Vec<_> = lines
                .iter()
                .filter(|line| line["status"] == 100 + worker)
                .map(|line| line["bytes"].as_u64())
                .collect();
            assert_eq!(bytes, (0..250).map(Some).collect::<Vec<_>>());
        }
        assert!(
            meter
                .render()
                .contains("\nweir_log_lines_dropped_total 0\n")
        );
    }

    #[test]
    fn dropping_the_log_writes_the_last_lines() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("weir.log");
        let meter = Meter::new();
        for _ in 0..2 {
            open(&path, &meter).write(&entry::tests::sample());
        }
        assert_eq!(
            fs::read_to_string(&path).expect("the log").lines().count(),
            2
        );
    }

    #[test]
    fn a_folder_that_is_not_there_is_said_at_once() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let target = Target::File {
            path: folder.path().join("missing/weir.log"),
            roll_at: 1,
            keep: 1,
        };
        let error = AccessLog::open(Format::Text, target, "weir", &Meter::new())
            .expect_err("no such folder");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
