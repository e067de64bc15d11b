//! What an access line says, whatever its form: the fields, their names and their order.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use crate::trace::TraceContext;

/// How much a line deserves to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As it should be, refusals of bad requests included.
    Info,
    /// Somebody was let down: an upstream failed, a limit was hit by our own side.
    Warn,
    /// weir itself failed.
    Error,
}

impl Level {
    /// In lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// The facts of one exchange. Texts may hold anything a peer sent; no query string, header value or body is among them but the
/// user agent.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// When the exchange ended.
    pub timestamp: SystemTime,
    /// How much it deserves to be looked at.
    pub level: Level,
    /// `trace_id`, `span_id`
    pub trace: &'a TraceContext,
    /// `tenant_id`
    pub tenant: Option<&'a str>,
    /// `user_id`
    pub user: Option<&'a str>,
    /// What happened, in a few fixed words.
    pub message: &'a str,
    /// The client's method.
    pub method: &'a str,
    /// The path alone: a query may carry secrets.
    pub path: &'a str,
    /// The answer's status.
    pub status: u16,
    /// `HTTP/1.1`; field `protocol`.
    pub version: &'a str,
    /// From the request's head to the answer's last byte.
    pub duration: Duration,
    /// The route's name.
    pub route: &'a str,
    /// The server that answered.
    pub upstream: Option<&'a str>,
    /// The client's address, as the trusted proxies tell it.
    pub client: IpAddr,
    /// How the exchange ended.
    pub outcome: &'a str,
    /// Why weir refused or ended it.
    pub reason: Option<&'a str>,
    /// `bytes_in`: the request's body.
    pub bytes_in: Option<u64>,
    /// `bytes`: the answer's body.
    pub bytes_out: u64,
    /// As sent, any bytes.
    pub user_agent: Option<&'a [u8]>,
    /// If the answer was a stream.
    pub stream: Option<StreamFacts<'a>>,
}

/// The facts of one stream.
#[derive(Clone, Debug, Default)]
pub struct StreamFacts<'a> {
    /// `first_byte_ms`
    pub first_byte: Option<Duration>,
    /// `first_event_ms`
    pub first_event: Option<Duration>,
    /// Events carried.
    pub events: u64,
    /// `max_gap_ms`: the longest wait between two events.
    pub max_gap: Option<Duration>,
    /// What the events speak.
    pub dialect: Option<&'a str>,
    /// As the stream named it.
    pub model: Option<&'a str>,
    /// As the stream reported them.
    pub input_tokens: Option<u64>,
    /// As the stream reported them.
    pub output_tokens: Option<u64>,
    /// `conversation_id`
    pub conversation: Option<&'a str>,
}

/// The value of one field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
    /// An id, to be written in hexadecimal digits.
    Id(&'a [u8]),
    Number(u64),
    Millis(Duration),
    Time(SystemTime),
    Address(IpAddr),
    /// Known to be absent: only the two ids of the caller are said even then.
    Null,
}

/// Where the fields of a line go. A type and not a closure, so that it can ask to be inlined: a field's name, and what kind of value it has,
/// are then known where it is written, and half of the work is done by the compiler.
pub(super) trait Fields {
    fn field(&mut self, name: &'static str, value: Value<'_>);
}

impl Entry<'_> {
    /// Says each field that has something to say, in the order of the line.
    pub(super) fn fields(&self, service: &str, line: &mut impl Fields) {
        use Value::{Address, Bytes, Id, Millis, Null, Number, Text, Time};
        line.field("timestamp", Time(self.timestamp));
        line.field("level", Text(self.level.as_str()));
        line.field("service", Text(service));
        line.field("trace_id", Id(&self.trace.trace_id));
        line.field("span_id", Id(&self.trace.span_id));
        line.field("tenant_id", self.tenant.map_or(Null, Text));
        line.field("user_id", self.user.map_or(Null, Text));
        line.field("message", Text(self.message));
        line.field("method", Text(self.method));
        line.field("path", Text(self.path));
        line.field("status", Number(self.status.into()));
        line.field("duration_ms", Millis(self.duration));
        line.field("protocol", Text(self.version));
        line.field("route", Text(self.route));
        if let Some(it) = self.upstream {
            line.field("upstream", Text(it));
        }
        line.field("client", Address(self.client));
        line.field("outcome", Text(self.outcome));
        if let Some(it) = self.reason {
            line.field("reason", Text(it));
        }
        if let Some(it) = self.bytes_in {
            line.field("bytes_in", Number(it));
        }
        line.field("bytes", Number(self.bytes_out));
        if let Some(it) = self.user_agent {
            line.field("user_agent", Bytes(it));
        }
        if let Some(stream) = &self.stream {
            if let Some(it) = stream.first_byte {
                line.field("first_byte_ms", Millis(it));
            }
            if let Some(it) = stream.first_event {
                line.field("first_event_ms", Millis(it));
            }
            line.field("events", Number(stream.events));
            if let Some(it) = stream.max_gap {
                line.field("max_gap_ms", Millis(it));
            }
            if let Some(it) = stream.dialect {
                line.field("dialect", Text(it));
            }
            if let Some(it) = stream.model {
                line.field("model", Text(it));
            }
            if let Some(it) = stream.input_tokens {
                line.field("input_tokens", Number(it));
            }
            if let Some(it) = stream.output_tokens {
                line.field("output_tokens", Number(it));
            }
            if let Some(it) = stream.conversation {
                line.field("conversation_id", Text(it));
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{net::Ipv4Addr, time::UNIX_EPOCH};

    use super::*;

    const TRACE: TraceContext = TraceContext {
        trace_id: [0x4b; 16],
        span_id: [0x0f; 8],
        parent: None,
        flags: 3,
    };

    /// An entry that has everything but a reason.
    pub(in crate::log) fn sample<'a>() -> Entry<'a> {
        Entry {
            timestamp: UNIX_EPOCH + Duration::from_millis(1_795_190_400_123),
            level: Level::Info,
            trace: &TRACE,
            tenant: Some("acme"),
            user: Some("anna"),
            message: "exchange",
            method: "POST",
            path: "/chat/backend/run",
            status: 200,
            version: "HTTP/1.1",
            duration: Duration::from_micros(2_082_500),
            route: "/chat/backend/*",
            upstream: Some("127.0.0.1:8002"),
            client: Ipv4Addr::new(10, 0, 0, 7).into(),
            outcome: "complete",
            reason: None,
            bytes_in: Some(42),
            bytes_out: 1310,
            user_agent: Some(b"curl/8"),
            stream: Some(StreamFacts {
                first_byte: Some(Duration::from_millis(370)),
                first_event: Some(Duration::from_millis(374)),
                events: 12,
                max_gap: Some(Duration::from_micros(150_250)),
                dialect: Some("ag-ui"),
                model: Some("gpt-5"),
                input_tokens: Some(7),
                output_tokens: Some(5),
                conversation: Some("t-1"),
            }),
        }
    }
}
