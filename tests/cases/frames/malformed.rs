//! Requests that an HTTP/1.1 server behind could take for another one, or for two: refused by weir itself. RFC 9113 section 8, where it goes
//! further than h2spec does; sections A and B of HTTP/1.1's rules, where they can be broken in HTTP/2 as well.

use weir_testkit::h2::{END_HEADERS, END_STREAM, field, kind};

use super::stage::{Case, Verdict, block_and, case, data, headers, send};

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const AUTHORITY: (&str, &str) = (":authority", "a.test");
const PATH: (&str, &str) = (":path", "/");

/// A request of just these fields.
fn of(id: &'static str, fields: &[(&str, &str)]) -> Case {
    let block: Vec<u8> = fields
        .iter()
        .flat_map(|(name, value)| field(name, value))
        .collect();
    case(id, vec![headers(1, &block)], Verdict::Refused)
}

fn with(id: &'static str, name: &str, value: &str) -> Case {
    of(id, &[METHOD, SCHEME, AUTHORITY, PATH, (name, value)])
}

fn path(id: &'static str, path: &str) -> Case {
    of(id, &[METHOD, SCHEME, AUTHORITY, (":path", path)])
}

fn authority(id: &'static str, authority: &str) -> Case {
    of(id, &[METHOD, SCHEME, (":authority", authority), PATH])
}

fn method(id: &'static str, method: &str) -> Case {
    of(id, &[(":method", method), SCHEME, AUTHORITY, PATH])
}

/// A POST whose body is this, with these lengths declared.
fn body(id: &'static str, lengths: &[&str], bytes: &str) -> Case {
    let lengths: Vec<_> = lengths
        .iter()
        .map(|length| ("content-length", *length))
        .collect();
    let block = block_and("POST", &lengths);
    let end = if bytes.is_empty() { END_STREAM } else { 0 };
    let mut steps = vec![send(kind::HEADERS, END_HEADERS | end, 1, block)];
    if !bytes.is_empty() {
        steps.push(data(1, true, bytes));
    }
    case(id, steps, Verdict::Refused)
}

pub(super) fn refused() -> Vec<Case> {
    vec![
        // Fields (section 8.2.1).
        with("CR LF in a value", "x-a", "a\r\nx-b: c"),
        with("CR in a value", "x-a", "a\rb"),
        with("LF in a value", "x-a", "a\nb"),
        with("NUL in a value", "x-a", "a\0b"),
        with("a colon in a name", "x-a:b", "c"),
        with("a blank in a name", "x a", "b"),
        with("CR LF in a name", "x-a: b\r\nx-c", "d"),
        with("NUL in a name", "x\0a", "b"),
        with("no name", "", "a"),
        // Of HTTP/1.1's connections (section 8.2.2).
        with("Transfer-Encoding", "transfer-encoding", "chunked"),
        with("Keep-Alive", "keep-alive", "timeout=5"),
        with("Proxy-Connection", "proxy-connection", "keep-alive"),
        with("Upgrade", "upgrade", "websocket"),
        with("Connection", "connection", "x-forwarded-for"),
        with("TE", "te", "gzip"),
        // Bodies (section 8.1.1).
        body("a length and no body", &["5"], ""),
        body("a length with a sign", &["+4"], "test"),
        body("a length that is none", &["4x"], "test"),
        body("an empty length", &[""], "test"),
        body("a list of lengths", &["4, 4"], "test"),
        body("two lengths", &["4", "5"], "test"),
        body("the same length twice", &["4", "4"], "test"),
        body("a length beyond 64 bits", &["18446744073709551620"], "test"),
        // Methods (section 8.5).
        method("no method", ""),
        method("a blank in the method", "GET / HTTP/1.1"),
        method("TRACE", "TRACE"),
        of(
            "CONNECT",
            &[(":method", "CONNECT"), ("authority", "a.test:443")],
        ),
        of(
            "CONNECT to an authority",
            &[(":method", "CONNECT"), (":authority", "a.test:443")],
        ),
        of(
            "CONNECT with a path and no protocol",
            &[(":method", "CONNECT"), SCHEME, AUTHORITY, PATH],
        ),
        of(
            "CONNECT for another protocol",
            &[
                (":method", "CONNECT"),
                (":protocol", "connect-udp"),
                SCHEME,
                AUTHORITY,
                PATH,
            ],
        ),
        with("a protocol without CONNECT", ":protocol", "websocket"),
        // Paths.
        path("a path without a slash", "admin"),
        path("an asterisk", "*"),
        path("a URI for a path", "http://evil.test/"),
        path("a blank in the path", "/a b"),
        path("CR LF in the path", "/a HTTP/1.1\r\nx: y"),
        path("an encoded slash", "/a%2fb"),
        path("a backslash", "/a\\b"),
        path("NUL, encoded", "/a%00b"),
        path("above the root", "/../a"),
        // Authorities (section 8.3.1).
        of("no authority and no Host", &[METHOD, SCHEME, PATH]),
        authority("an empty authority", ""),
        authority("a user", "u@a.test"),
        authority("a path in the authority", "a.test/x"),
        authority("a list of authorities", "a.test, b.test"),
        authority("a port beyond all", "a.test:98777"),
        authority("half an address", "[::1"),
        with("another Host than authority", "host", "b.test"),
        of(
            "two Hosts",
            &[METHOD, SCHEME, PATH, ("host", "a.test"), ("host", "b.test")],
        ),
        with("an expectation nobody knows", "expect", "200-maybe"),
    ]
}
