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

/// The facts of one exchange. Texts, the `T`, may hold anything a peer sent; no query string, header value or body is among them but the
/// user agent.
#[derive(Clone, Debug)]
pub struct Entry<T> {
    /// When the exchange ended.
    pub timestamp: SystemTime,
    /// How much it deserves to be looked at.
    pub level: Level,
    /// `trace_id`, `span_id`
    pub trace: TraceContext,
    /// `tenant_id`
    pub tenant: Option<T>,
    /// `user_id`
    pub user: Option<T>,
    /// What happened, in a few fixed words.
    pub message: &'static str,
    /// The client's method.
    pub method: T,
    /// The path alone: a query may carry secrets.
    pub path: T,
    /// The answer's status.
    pub status: u16,
    /// `HTTP/1.1`; field `protocol`.
    pub version: &'static str,
    /// From the request's head to the answer's last byte.
    pub duration: Duration,
    /// The route's name.
    pub route: T,
    /// The server that answered.
    pub upstream: Option<T>,
    /// The client's address, as the trusted proxies tell it.
    pub client: IpAddr,
    /// How the exchange ended.
    pub outcome: &'static str,
    /// Why weir refused or ended it.
    pub reason: Option<&'static str>,
    /// `bytes_in`: the request's body.
    pub bytes_in: Option<u64>,
    /// `bytes`: the answer's body.
    pub bytes_out: u64,
    /// As sent, any bytes.
    pub user_agent: Option<T>,
    /// If the answer was a stream.
    pub stream: Option<Box<StreamFacts<T>>>,
}

/// The facts of one stream.
#[derive(Clone, Debug, Default)]
pub struct StreamFacts<T> {
    /// `first_byte_ms`
    pub first_byte: Option<Duration>,
    /// `first_event_ms`
    pub first_event: Option<Duration>,
    /// Events carried.
    pub events: u64,
    /// `max_gap_ms`: the longest wait between two events.
    pub max_gap: Option<Duration>,
    /// What the events speak.
    pub dialect: Option<&'static str>,
    /// As the stream named it.
    pub model: Option<T>,
    /// As the stream reported them.
    pub input_tokens: Option<u64>,
    /// As the stream reported them.
    pub output_tokens: Option<u64>,
    /// `conversation_id`
    pub conversation: Option<T>,
}

impl<T: Copy> Entry<T> {
    /// The same facts with other texts, each made of the one that is there.
    pub(super) fn map<U>(&self, mut of: impl FnMut(T) -> U) -> Entry<U> {
        Entry {
            timestamp: self.timestamp,
            level: self.level,
            trace: self.trace,
            tenant: self.tenant.map(&mut of),
            user: self.user.map(&mut of),
            message: self.message,
            method: of(self.method),
            path: of(self.path),
            status: self.status,
            version: self.version,
            duration: self.duration,
            route: of(self.route),
            upstream: self.upstream.map(&mut of),
            client: self.client,
            outcome: self.outcome,
            reason: self.reason,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            user_agent: self.user_agent.map(&mut of),
            stream: self
                .stream
                .as_ref()
                .map(|stream| Box::new(stream.map(&mut of))),
        }
    }
}

impl<T: Copy> StreamFacts<T> {
    fn map<U>(&self, mut of: impl FnMut(T) -> U) -> StreamFacts<U> {
        StreamFacts {
            first_byte: self.first_byte,
            first_event: self.first_event,
            events: self.events,
            max_gap: self.max_gap,
            dialect: self.dialect,
            model: self.model.map(&mut of),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            conversation: self.conversation.map(&mut of),
        }
    }
}

/// The value of one field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Text(&'a str),
    /// Known to need no escape: a word or digits of weir's own.
    Word(&'a [u8]),
    Bytes(&'a [u8]),
    Number(u64),
    Millis(Duration),
    Time(SystemTime),
    Address(IpAddr),
    /// Known to be absent: only the two ids of the caller are said even then.
    Null,
}

/// A field's name.
pub(super) struct Name {
    pub(super) word: &'static str,
    /// As a text begins in JSON: `,"word":"`. Put together by the compiler, so that it is one copy.
    pub(super) json: &'static str,
}

macro_rules! name {
    ($word:literal) => {
        &$crate::log::entry::Name {
            word: $word,
            json: concat!(",\"", $word, "\":\""),
        }
    };
}
pub(super) use name;

/// Where the fields of a line go. A type and not a closure, so that it can ask to be inlined: what kind of value a field has is then known
/// where it is written, and a line is a row of calls of few small functions.
pub(super) trait Fields {
    fn field(&mut self, name: &'static Name, value: Value<'_>);
}

impl Entry<&[u8]> {
    /// Says each field that has something to say, in the order of the line.
    pub(super) fn fields(&self, service: &str, line: &mut impl Fields) {
        use Value::{Address, Bytes, Millis, Null, Number, Text, Time, Word};
        line.field(name!("timestamp"), Time(self.timestamp));
        line.field(name!("level"), Word(self.level.as_str().as_bytes()));
        line.field(name!("service"), Text(service));
        line.field(name!("trace_id"), Word(self.trace.trace_id()));
        line.field(name!("span_id"), Word(self.trace.span_id()));
        line.field(name!("tenant_id"), self.tenant.map_or(Null, Bytes));
        line.field(name!("user_id"), self.user.map_or(Null, Bytes));
        line.field(name!("message"), Text(self.message));
        line.field(name!("method"), Bytes(self.method));
        line.field(name!("path"), Bytes(self.path));
        line.field(name!("status"), Number(self.status.into()));
        line.field(name!("duration_ms"), Millis(self.duration));
        line.field(name!("protocol"), Word(self.version.as_bytes()));
        line.field(name!("route"), Bytes(self.route));
        if let Some(it) = self.upstream {
            line.field(name!("upstream"), Bytes(it));
        }
        line.field(name!("client"), Address(self.client));
        line.field(name!("outcome"), Word(self.outcome.as_bytes()));
        if let Some(it) = self.reason {
            line.field(name!("reason"), Word(it.as_bytes()));
        }
        if let Some(it) = self.bytes_in {
            line.field(name!("bytes_in"), Number(it));
        }
        line.field(name!("bytes"), Number(self.bytes_out));
        if let Some(it) = self.user_agent {
            line.field(name!("user_agent"), Bytes(it));
        }
        if let Some(stream) = &self.stream {
            if let Some(it) = stream.first_byte {
                line.field(name!("first_byte_ms"), Millis(it));
            }
            if let Some(it) = stream.first_event {
                line.field(name!("first_event_ms"), Millis(it));
            }
            line.field(name!("events"), Number(stream.events));
            if let Some(it) = stream.max_gap {
                line.field(name!("max_gap_ms"), Millis(it));
            }
            if let Some(it) = stream.dialect {
                line.field(name!("dialect"), Word(it.as_bytes()));
            }
            if let Some(it) = stream.model {
                line.field(name!("model"), Bytes(it));
            }
            if let Some(it) = stream.input_tokens {
                line.field(name!("input_tokens"), Number(it));
            }
            if let Some(it) = stream.output_tokens {
                line.field(name!("output_tokens"), Number(it));
            }
            if let Some(it) = stream.conversation {
                line.field(name!("conversation_id"), Bytes(it));
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{net::Ipv4Addr, time::UNIX_EPOCH};

    use super::*;

    /// An entry that has everything but a reason.
    pub(in crate::log) fn sample<'a>() -> Entry<&'a [u8]> {
        Entry {
            timestamp: UNIX_EPOCH + Duration::from_millis(1_795_190_400_123),
            level: Level::Info,
            trace: TraceContext::SAMPLE,
            tenant: Some(b"acme"),
            user: Some(b"anna"),
            message: "exchange",
            method: b"POST",
            path: b"/chat/backend/run",
            status: 200,
            version: "HTTP/1.1",
            duration: Duration::from_micros(2_082_500),
            route: b"/chat/backend/*",
            upstream: Some(b"127.0.0.1:8002"),
            client: Ipv4Addr::new(10, 0, 0, 7).into(),
            outcome: "complete",
            reason: None,
            bytes_in: Some(42),
            bytes_out: 1310,
            user_agent: Some(b"curl/8"),
            stream: Some(Box::new(StreamFacts {
                first_byte: Some(Duration::from_millis(370)),
                first_event: Some(Duration::from_millis(374)),
                events: 12,
                max_gap: Some(Duration::from_micros(150_250)),
                dialect: Some("ag-ui"),
                model: Some(b"gpt-5"),
                input_tokens: Some(7),
                output_tokens: Some(5),
                conversation: Some(b"t-1"),
            })),
        }
    }
}
