//! Which trace an exchange belongs to, after W3C Trace Context: level 1, with level 2's random flag.
//!
//! weir takes part in a trace or starts one, and is a span of its own in it. `tracestate` is not looked at: it goes on as it came where
//! the trace is continued, and is to be dropped where a new one starts.

mod ids;

use std::ops::Range;

use http::{HeaderMap, HeaderName};

/// The header's name.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Level 1's sampled and level 2's random flag; others are not passed on, as both levels ask.
const KNOWN_FLAGS: u8 = 0b11;

/// A trace that weir starts is random, and counts as sampled: the access line is its record. Without the flag every upstream with
/// OpenTelemetry's default sampler, which follows its parent, would stop recording the day weir is put before it.
const OWN_FLAGS: u8 = 0b11;

/// An exchange's place in its trace: the trace, the client's if it sent a valid one, and weir's own span in it. Kept as what the upstream is
/// told, because the log line says the same digits: they are made once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Digits and dashes. Always version 00, the one that weir knows.
    text: [u8; 55],
}

/// Where the parts stand in a `traceparent`.
const TRACE_ID: Range<usize> = 3..35;
const SPAN_ID: Range<usize> = 36..52;
const FLAGS: Range<usize> = 53..55;
/// Where the flags that weir knows stand in them.
const FLAG: usize = 54;

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
        let mut text = *b"00-................................-................-0.";
        match received {
            Some((trace_id, flags)) => {
                text[TRACE_ID].copy_from_slice(trace_id);
                text[FLAG] = b'0' + (flags & KNOWN_FLAGS);
            }
            None => {
                write_hex(&ids::trace(), &mut text[TRACE_ID]);
                text[FLAG] = b'0' + OWN_FLAGS;
            }
        }
        write_hex(&ids::span(), &mut text[SPAN_ID]);
        Self { text }
    }

    /// What the upstream is told: the same trace, weir's span as the parent.
    #[must_use]
    pub fn traceparent(&self) -> [u8; 55] {
        self.text
    }

    /// The trace's id as 32 lower-case digits: the `trace_id` of the access line, and fit to be a request id.
    #[must_use]
    pub fn trace_id(&self) -> &[u8] {
        &self.text[TRACE_ID]
    }

    /// weir's own span as 16 lower-case digits.
    #[must_use]
    pub fn span_id(&self) -> &[u8] {
        &self.text[SPAN_ID]
    }
}

/// The trace's id in its digits, and the flags.
type Received<'h> = (&'h [u8], u8);

/// `version-traceid-parentid-flags` in lower-case digits, 3.2 of the recommendation. Later versions may append fields.
fn parse(text: &[u8]) -> Option<Received<'_>> {
    let [version] = unhex(text.get(..2)?)?;
    match (version, text.len(), text.get(55)) {
        (0xff, ..) => return None,
        (0, 55, None) | (1.., _, None | Some(b'-')) => {}
        _ => return None,
    }
    if [text.get(2), text.get(35), text.get(52)] != [Some(&b'-'); 3] {
        return None;
    }
    let trace_id = text.get(TRACE_ID)?;
    let parent: [u8; 8] = unhex(text.get(SPAN_ID)?)?;
    let [flags] = unhex(text.get(FLAGS)?)?;
    (unhex(trace_id)? != [0; 16] && parent != [0; 8]).then_some((trace_id, flags))
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

/// Twice as many digits as there are bytes, which come in fours. Not inlined: unrolled for each of its callers it is two kilobytes of code.
#[inline(never)]
fn write_hex(bytes: &[u8], text: &mut [u8]) {
    let (eights, fours) = (text.as_chunks_mut().0, bytes.as_chunks().0);
    for (digits, four) in eights.iter_mut().zip(fours) {
        *digits = hex(u32::from_be_bytes(*four));
    }
}

/// All eight digits at once: each half of a byte becomes a byte, to which `0` is added, and what is from there to `a` where it is a letter.
fn hex(number: u32) -> [u8; 8] {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TO_LETTERS: u64 = (b'a' - b'0' - 10) as u64;
    let spread = u64::from(number);
    let spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    let spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    let halves = (spread | spread << 4) & (ONES * 0x0f);
    let letters = (halves + ONES * 6) >> 4 & ONES;
    (halves + ONES * u64::from(b'0') + letters * TO_LETTERS).to_be_bytes()
}

#[cfg(test)]
impl TraceContext {
    /// For the tests of lines.
    pub(crate) const SAMPLE: Self = Self {
        text: *b"00-4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b-0f0f0f0f0f0f0f0f-03",
    };
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
    fn digits_are_those_of_the_standard_library() {
        for number in [0, 0x0123_4567, 0x89ab_cdef, 0xf0e1_d2c3, u32::MAX] {
            assert_eq!(hex(number), *format!("{number:08x}").as_bytes(), "{number}");
        }
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
            assert_eq!(context.trace_id(), TRACE.as_bytes(), "{value}");
            assert_ne!(context.span_id(), SPAN.as_bytes());
            let span = context.span_id().escape_ascii();
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
            assert_eq!(context.text[FLAGS], *b"03", "{values:?}");
            assert_ne!(context.trace_id(), TRACE.as_bytes(), "{values:?}");
            // What weir sends must be what weir would accept.
            let next = from(&[str::from_utf8(&context.traceparent()).expect("ASCII")]);
            assert_eq!(next.trace_id(), context.trace_id());
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
            let context = TraceContext::from_headers(&headers);
            let continued = context.trace_id() == TRACE.as_bytes();
            assert_eq!(continued, end >= 55, "{end}");
        }
    }
}
