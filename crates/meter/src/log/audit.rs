//! The audit log: who was refused what and why, and which keys and configurations came into force. A file of its own, because it is kept
//! longer and read by other people than the access log. No credential, query or header value is in it.

use std::{cell::RefCell, io, net::IpAddr, sync::Arc, thread, time::SystemTime};

use super::{
    Format, PATIENCE, Target,
    entry::{Fields, Value, name},
    json,
    queue::Queue,
    record::Form,
    sink::Sink,
};
use crate::{Meter, trace::TraceContext};

/// An open audit log. The last lines are written when it is dropped.
pub struct AuditLog {
    service: Box<str>,
    queue: Arc<Queue>,
}

/// One line. Texts may hold anything a peer sent.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// When it happened.
    pub timestamp: SystemTime,
    /// What happened, in one of a few fixed words.
    pub event: &'a str,
    /// More of it, in words.
    pub detail: Option<&'a str>,
    /// The exchange that was refused.
    pub refused: Option<Refused<'a>>,
}

/// An exchange that was refused.
#[derive(Clone, Debug)]
pub struct Refused<'a> {
    /// `trace_id`, by which the access line is found.
    pub trace: &'a TraceContext,
    /// `tenant_id`, where the caller is known.
    pub tenant: Option<&'a str>,
    /// `user_id`, where the caller is known.
    pub user: Option<&'a str>,
    /// The client's address.
    pub client: IpAddr,
    /// Its method.
    pub method: &'a str,
    /// The path alone.
    pub path: &'a str,
    /// The route's name.
    pub route: &'a str,
    /// What the client was told.
    pub status: u16,
    /// Why.
    pub reason: &'a str,
}

impl AuditLog {
    /// Opens the target and starts its writer; lost lines are counted in `meter` as those of the access log are.
    ///
    /// # Errors
    /// If the file cannot be opened for appending, or the thread not started.
    pub fn open(target: Target, service: &str, meter: &Meter) -> io::Result<Self> {
        let sink = Sink::open(target)?;
        let queue = Queue::new(meter.log_dropped());
        let writer = Arc::clone(&queue);
        let form = Form {
            format: Format::Json,
            service: service.into(),
        };
        thread::Builder::new()
            .name("weir-audit".to_owned())
            .spawn(move || writer.drain_into(sink, &form))?;
        Ok(Self {
            service: service.into(),
            queue,
        })
    }

    /// Puts a line on its way; as [`super::AccessLog::write`].
    pub fn write(&self, event: &Event<'_>) {
        thread_local! {
            static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            json::object(line, |fields| event.fields(&self.service, fields));
            self.queue.push(|records| records.line(line));
        });
    }

    /// As [`super::AccessLog::flush`].
    pub fn flush(&self) -> bool {
        self.queue.flush(PATIENCE)
    }
}

impl Event<'_> {
    fn fields(&self, service: &str, line: &mut impl Fields) {
        use Value::{Address, Null, Number, Text, Time, Word};
        line.field(name!("timestamp"), Time(self.timestamp));
        line.field(name!("service"), Text(service));
        line.field(name!("event"), Text(self.event));
        if let Some(refused) = &self.refused {
            line.field(name!("reason"), Text(refused.reason));
            line.field(name!("trace_id"), Word(refused.trace.trace_id()));
            line.field(name!("tenant_id"), refused.tenant.map_or(Null, Text));
            line.field(name!("user_id"), refused.user.map_or(Null, Text));
            line.field(name!("client"), Address(refused.client));
            line.field(name!("method"), Text(refused.method));
            line.field(name!("path"), Text(refused.path));
            line.field(name!("route"), Text(refused.route));
            line.field(name!("status"), Number(refused.status.into()));
        }
        if let Some(detail) = self.detail {
            line.field(name!("detail"), Text(detail));
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.queue.close();
        self.flush();
    }
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuditLog")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_is_one_line_whatever_it_holds() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("audit.log");
        let target = Target::File {
            path: path.clone(),
            roll_at: 1 << 20,
            keep: 1,
        };
        let log = AuditLog::open(target, "weir", &Meter::new()).expect("writable");
        let trace = TraceContext::from_headers(&http::HeaderMap::new());
        let refused = Refused {
            trace: &trace,
            tenant: None,
            user: Some("a\"b"),
            client: "192.0.2.7".parse().expect("an address"),
            method: "GET",
            path: "/x\n{}",
            route: "r",
            status: 401,
            reason: "bad_mac",
        };
        for (event, detail, refused) in [
            ("refused", None, Some(refused)),
            ("keys_changed", Some("2 keys"), None),
        ] {
            log.write(&Event {
                timestamp: SystemTime::UNIX_EPOCH,
                event,
                detail,
                refused,
            });
        }
        assert!(log.flush());
        let text = std::fs::read_to_string(path).expect("the log");
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            (&lines[0]["reason"], &lines[0]["path"]),
            (&"bad_mac".into(), &"/x\n{}".into())
        );
        assert_eq!(lines[0]["tenant_id"], serde_json::Value::Null);
        assert_eq!(
            (&lines[1]["event"], &lines[1]["detail"]),
            (&"keys_changed".into(), &"2 keys".into())
        );
    }
}
