//! An answer as it goes over the wire: how its body is framed is decided here (RFC 9112 section 6.3), and whether the connection lives on.

use std::{
    cell::Cell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::Body;

use super::Switch;
use crate::{
    outgoing::{Framing, Outgoing, line},
    unsent::buffer,
};

/// What a request asks of its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// HEAD.
    pub(super) head_only: bool,
    /// HTTP/1.0.
    pub(super) old: bool,
    /// The connection may carry another request.
    pub(super) keeps: bool,
    /// Trailers are of use to the client.
    pub(super) trailers: bool,
}

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Reply<B> {
    pub(super) outgoing: Outgoing<B>,
    /// The connection may carry another request behind it.
    pub(super) keeps: bool,
    /// Behind it HTTP is over.
    pub(super) switch: Option<Switch>,
}

impl<B: Body<Data = Bytes>> Reply<B> {
    pub(super) fn new(response: Response<B>, asked: Asked) -> Self {
        let (mut head, body) = response.into_parts();
        let switch = head.extensions.remove::<Switch>();
        let bodyless = asked.head_only
            || switch.is_some()
            || head.status.is_informational()
            || matches!(
                head.status,
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            );
        let mut out = buffer();
        status_line(&mut out, head.status, asked.old);
        let said = lines(&mut out, &head.headers, switch.is_some());
        let framing = match (said.length, body.size_hint().exact()) {
            _ if bodyless => None,
            (Some(length), _) | (None, Some(length)) => Some(Framing::Length(length)),
            _ if body.is_end_stream() => Some(Framing::Length(0)),
            _ if asked.old => Some(Framing::Close),
            _ => Some(chunked(&mut out, &head.headers, asked)),
        };
        let to_the_end = matches!(framing, Some(Framing::Close));
        let keeps = asked.keeps && !said.close && !to_the_end && switch.is_none();
        let told = match framing {
            Some(Framing::Length(length)) => Some(length),
            // Of what is not here: RFC 9110 section 8.6 has it for these, and nowhere else.
            None if asked.head_only || head.status == StatusCode::NOT_MODIFIED => said.length,
            _ => None,
        };
        if let Some(length) = told {
            let mut digits = itoa::Buffer::new();
            line(
                &mut out,
                &header::CONTENT_LENGTH,
                digits.format(length).as_bytes(),
            );
        }
        if !keeps && switch.is_none() {
            out.extend_from_slice(b"connection: close\r\n");
        } else if keeps && asked.old {
            out.extend_from_slice(b"connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
        let body = framing
            .filter(|framing| !matches!(framing, Framing::Length(0)))
            .map(|framing| (framing, body));
        Self {
            outgoing: Outgoing::new(out, body),
            keeps,
            switch,
        }
    }
}

fn status_line(out: &mut Vec<u8>, status: StatusCode, old: bool) {
    if status == StatusCode::OK && !old {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    let version: &[u8] = if old { b"HTTP/1.0 " } else { b"HTTP/1.1 " };
    out.extend_from_slice(version);
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// What an answer's lines say that this side has to say in its own way.
#[derive(Default)]
struct Said {
    length: Option<u64>,
    close: bool,
    date: bool,
}

/// The answer's own lines, but for those that frame it and speak of the connection: they are this side's to say.
fn lines(out: &mut Vec<u8>, headers: &HeaderMap, switches: bool) -> Said {
    let mut said = Said::default();
    for (name, value) in headers {
        match *name {
            header::CONTENT_LENGTH => {
                said.length = said.length.or_else(|| length(value));
                continue;
            }
            header::TRANSFER_ENCODING | header::TRAILER => continue,
            header::CONNECTION => {
                said.close |= value.as_bytes().eq_ignore_ascii_case(b"close");
                if !switches {
                    continue;
                }
            }
            header::DATE => said.date = true,
            _ => {}
        }
        line(out, name, value.as_bytes());
    }
    if !said.date {
        date(out);
    }
    said
}

/// Not inlined: what it needs would be kept at hand for every line.
#[inline(never)]
fn length(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

/// What a body in chunks has in the head, and the trailers that it announces, where the client has a use for them (RFC 9110 section 6.5.1).
fn chunked(out: &mut Vec<u8>, headers: &HeaderMap, asked: Asked) -> Framing {
    out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    let mut announced = Vec::new();
    for value in headers.get_all(header::TRAILER) {
        line(out, &header::TRAILER, value.as_bytes());
        if asked.trailers {
            let names = value.as_bytes().split(|byte| *byte == b',');
            announced
                .extend(names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()));
        }
    }
    Framing::Chunked(announced)
}

thread_local! {
    /// The second since 1970, and its text.
    static DATE: Cell<(u64, [u8; 29])> = const { Cell::new((0, [0; 29])) };
}

/// RFC 9110 section 6.6.1 wants one of an origin server, and of whoever answers in its place. Formatted once a second.
fn date(out: &mut Vec<u8>) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    let (second, mut text) = DATE.get();
    if second != now.as_secs() {
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now.as_secs()));
        text.copy_from_slice(date.as_bytes());
        DATE.set((now.as_secs(), text));
    }
    out.extend_from_slice(b"date: ");
    out.extend_from_slice(&text);
    out.extend_from_slice(b"\r\n");
}
