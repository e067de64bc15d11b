//! Which trace an exchange belongs to, after W3C Trace Context: level 1, with level 2's random flag.
//!
//! weir takes part in a trace or starts one, and is a span of its own in it. `tracestate` is not looked at: it goes on as it came where
//! the trace is continued, and is to be dropped where a new one starts.

mod ids;

use http::{HeaderMap, HeaderName};

/// The header's name.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Level 1's sampled and level 2's random flag; others are not passed on, as both levels ask.
const KNOWN_FLAGS: u8 = 0b11;

/// A trace that weir starts is random, and counts as sampled: the access line is its record. Without the flag every upstream with
/// OpenTelemetry's default sampler, which follows its parent, would stop recording the day weir is put before it.
const OWN_FLAGS: u8 = 0b11;

/// An exchange's place in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace, the client's if it sent a valid one.
    pub trace_id: [u8; 16],
    /// weir's own span in it.
    pub span_id: [u8; 8],
    /// The client's span; `None`: the trace starts here, and a `tracestate` that came along must not go on.
    pub parent: Option<[u8; 8]>,
    /// Sampled (1) and random (2).
    pub flags: u8,
}

impl TraceContext {
    /// Continues the trace the request names, or starts one if it names none, several, or an invalid one. The new ids are unique, not
    /// secret.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let received = match (all.next(), all.next()) {
            (Some(one), None) => parse(one.as_bytes()),
            _ => None,
        };
        let span_id = ids::span();
        match received {
            Some((trace_id, parent, flags)) => Self {
                trace_id,
                span_id,
                parent: Some(parent),
                flags: flags & KNOWN_FLAGS,
            },
            None => Self {
                trace_id: ids::trace(),
                span_id,
                parent: None,
                flags: OWN_FLAGS,
            },
        }
    }

    /// What the upstream is told: the same trace, weir's span as the parent. Always version 00, the one that weir knows.
    #[must_use]
    pub fn traceparent(&self) -> [u8; 55] {
        let mut text = *b"00-                                -                -  ";
        write_hex(&self.trace_id, &mut text[3..35]);
        write_hex(&self.span_id, &mut text[36..52]);
        write_hex(&[self.flags], &mut text[53..55]);
        text
    }

    /// The trace's id as 32 lower-case digits: the `trace_id` of the access line, and fit to be a request id.
    #[must_use]
    pub fn trace_id_hex(&self) -> String {
        hex(&self.trace_id)
    }
}

type Received = ([u8; 16], [u8; 8], u8);

/// `version-traceid-parentid-flags` in lower-case digits, 3.2 of the recommendation. Later versions may append fields.
fn parse(text: &[u8]) -> Option<Received> {
    let [version] = unhex(text.get(..2)?)?;
    match (version, text.len(), text.get(55)) {
        (0xff, ..) => return None,
        (0, 55, None) | (1.., _, None | Some(b'-')) => {}
        _ => return None,
    }
    if [text.get(2), text.get(35), text.get(52)] != [Some(&b'-'); 3] {
        return None;
    }
    let trace_id = unhex(text.get(3..35)?)?;
    let parent = unhex(text.get(36..52)?)?;
    let [flags] = unhex(text.get(53..55)?)?;
    (trace_id != [0; 16] && parent != [0; 8]).then_some((trace_id, parent, flags))
}

fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Some(bytes)
}

/// Twice as many digits as there are bytes.
pub(crate) fn write_hex(bytes: &[u8], text: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = vec![0; bytes.len() * 2];
    write_hex(bytes, &mut text);
    String::from_utf8(text).expect("digits")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn from(values: &[&str]) -> TraceContext {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                TRACEPARENT,
                HeaderValue::from_str(value).expect("a header value"),
            );
        }
        TraceContext::from_headers(&headers)
    }

    #[test]
    fn continued() {
        let table = [
            (format!("00-{TRACE}-{SPAN}-01"), 1),
            (format!("00-{TRACE}-{SPAN}-00"), 0),
            (format!("00-{TRACE}-{SPAN}-ff"), 3),
            (format!("01-{TRACE}-{SPAN}-02"), 2),
            (format!("cc-{TRACE}-{SPAN}-01-what the future holds"), 1),
        ];
        for (value, flags) in table {
            let context = from(&[&value]);
            assert_eq!(context.trace_id_hex(), TRACE, "{value}");
            assert_eq!(
                context.parent.as_ref().map(|span| hex(span)).as_deref(),
                Some(SPAN)
            );
            assert_eq!(context.flags, flags);
            let span = hex(&context.span_id);
            assert_ne!(span, SPAN);
            assert_eq!(
                str::from_utf8(&context.traceparent()),
                Ok(format!("00-{TRACE}-{span}-{flags:02x}").as_str())
            );
        }
    }

    #[test]
    fn started_anew() {
        let good = format!("00-{TRACE}-{SPAN}-01");
        let zero_trace = format!("00-{}-{SPAN}-01", "0".repeat(32));
        let zero_span = format!("00-{TRACE}-{}-01", "0".repeat(16));
        let upper = format!("00-{}-{SPAN}-01", TRACE.to_uppercase());
        let table: &[&[&str]] = &[
            &[],
            &[""],
            &["00"],
            &[&good, &good],
            &[&good[..54]],
            &[&format!("{good}-")],
            &[&format!("{good}-more")],
            &[&format!("{good}0")],
            &[&format!("ff-{TRACE}-{SPAN}-01")],
            &[&format!("01-{TRACE}-{SPAN}-01.")],
            &[&format!("0g-{TRACE}-{SPAN}-01")],
            &[&format!("00-{TRACE}-{SPAN}-0x")],
            &[&format!("00_{TRACE}-{SPAN}-01")],
            &[&format!("00-{TRACE}_{SPAN}-01")],
            &[&format!("00-{TRACE}-{SPAN}_01")],
            &[&zero_trace],
            &[&zero_span],
            &[&upper],
            &[&format!("{good},{good}")],
        ];
        for values in table {
            let context = from(values);
            assert_eq!(
                (context.parent, context.flags),
                (None, OWN_FLAGS),
                "{values:?}"
            );
            assert_ne!(context.trace_id_hex(), TRACE, "{values:?}");
            // What weir sends must be what weir would accept.
            let next = from(&[str::from_utf8(&context.traceparent()).expect("ASCII")]);
            assert_eq!(
                (next.trace_id, next.parent),
                (context.trace_id, Some(context.span_id))
            );
        }
    }

    #[test]
    fn any_prefix_of_a_value_passes_without_a_panic() {
        let value = format!("01-{TRACE}-{SPAN}-01-é");
        for end in 0..value.len() {
            let mut headers = HeaderMap::new();
            headers.insert(
                TRACEPARENT,
                HeaderValue::from_bytes(&value.as_bytes()[..end]).expect("a header value"),
            );
            assert_eq!(
                TraceContext::from_headers(&headers).parent.is_some(),
                end >= 55,
                "{end}"
            );
        }
    }
}
