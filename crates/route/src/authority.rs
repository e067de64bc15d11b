//! Which host a request is for: exactly one valid answer, from the target or the Host header, or a refusal (RFC 9112 3.2).
//! Whether weir serves that host is for the table to say.

use std::{borrow::Cow, fmt};

use http::{HeaderMap, HeaderValue, Uri, Version, header::HOST};

use crate::host;

/// A host and perhaps a port, as the client named them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Authority<'t> {
    /// All of it in the one form; borrowed where it was written so, as nearly every client does.
    text: Cow<'t, str>,
    /// How much of the text is the host.
    host: usize,
}

impl<'t> Authority<'t> {
    /// Reads `host`, `host:port`, `address` or `[v6]:port`. An empty port is no port (RFC 3986 3.2.3).
    ///
    /// # Errors
    /// Empty text, user information, anything that is no host name, a port beyond 65535.
    pub fn parse(text: &'t str) -> Result<Self, AuthorityError> {
        // What is wrong with most of those that are wrong; looked for only then, because a good one has none.
        Self::read(text).map_err(|error| match text {
            "" => AuthorityError::Empty,
            _ if text.contains('@') => AuthorityError::UserInfo,
            _ => error,
        })
    }

    fn read(text: &'t str) -> Result<Self, AuthorityError> {
        // The last colon, unless it is inside the brackets of an address.
        let end = |byte: &u8| matches!(byte, b':' | b']');
        let (name, digits) = match text.as_bytes().iter().rposition(end) {
            Some(at) if text.as_bytes()[at] == b':' => (&text[..at], &text[at + 1..]),
            _ => (text, ""),
        };
        let port = port(digits)?;
        let name = host::name(name).ok_or(AuthorityError::Host)?;
        let host = name.len();
        let text = match name {
            // Nothing was left out and nothing changed: no `0` before the port, nor a `:` without one.
            Cow::Borrowed(_) if host + port.map_or(0, |port| port.len() + 1) == text.len() => {
                text.into()
            }
            name => match port {
                Some(port) => format!("{name}:{port}").into(),
                None => name.into_owned().into(),
            },
        };
        Ok(Self { text, host })
    }

    /// For whoever keeps it.
    pub fn into_owned(self) -> Authority<'static> {
        Authority {
            text: self.text.into_owned().into(),
            host: self.host,
        }
    }

    /// `host` or `host:port`, as [`Authority::host`] and [`Authority::port`] say them.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Lower case, without a trailing dot; an IPv6 address in its shortest form and brackets.
    pub fn host(&self) -> &str {
        &self.text[..self.host]
    }

    /// The port, if the client named one.
    pub fn port(&self) -> Option<u16> {
        self.text.get(self.host + 1..)?.parse().ok()
    }
}

impl fmt::Debug for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("host", &self.host())
            .field("port", &self.port())
            .finish()
    }
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The authority a request is for. That of an absolute target wins over Host (RFC 9112 3.2.2), which must be valid all the same.
///
/// HTTP/1.1 needs exactly one Host. HTTP/2 and later may name the authority in the target, in Host, or in both alike. HTTP/1.0 and older may
/// leave it out; then there is no authority.
///
/// # Errors
/// No Host, two Hosts (even equal ones), one that is no `host[:port]`, and with HTTP/2 one that contradicts the target (RFC 9113 8.3.1).
pub fn authority<'h>(
    version: Version,
    uri: &'h Uri,
    headers: &'h HeaderMap,
) -> Result<Option<Authority<'h>>, AuthorityError> {
    let mut lines = headers.get_all(HOST).iter();
    let named = lines.next().map(parse_value).transpose()?;
    if lines.next().is_some() {
        return Err(AuthorityError::Duplicate);
    }
    if version == Version::HTTP_11 && named.is_none() {
        return Err(AuthorityError::Missing);
    }
    let Some(target) = uri.authority() else {
        return match named {
            None if version > Version::HTTP_11 => Err(AuthorityError::Missing),
            named => Ok(named),
        };
    };
    let target = Authority::parse(target.as_str())?;
    if version > Version::HTTP_11 && named.is_some_and(|named| named != target) {
        return Err(AuthorityError::Contradiction);
    }
    Ok(Some(target))
}

/// Why a request has no usable authority. The answer is 400 for all of them, and the connection closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// HTTP/1.1 without Host, HTTP/2 without any authority.
    #[error("no host is named")]
    Missing,
    /// More than one Host line.
    #[error("more than one Host header")]
    Duplicate,
    /// Host, or the target's authority, without text.
    #[error("the host is empty")]
    Empty,
    /// `user@host`.
    #[error("the host has user information")]
    UserInfo,
    /// Not a host name or address.
    #[error("the host is not a name or address")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// HTTP/2: Host says one thing and the target another.
    #[error("the Host header contradicts the target")]
    Contradiction,
}

impl AuthorityError {
    /// For logs and metric labels.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => "host_missing",
            Self::Duplicate => "host_duplicate",
            Self::Empty => "host_empty",
            Self::UserInfo => "host_user_info",
            Self::Host => "host_malformed",
            Self::Port => "host_port",
            Self::Contradiction => "host_contradiction",
        }
    }
}

fn parse_value(value: &HeaderValue) -> Result<Authority<'_>, AuthorityError> {
    Authority::parse(value.to_str().map_err(|_| AuthorityError::Host)?)
}

/// The port's digits without leading zeros, if there are any.
fn port(text: &str) -> Result<Option<&str>, AuthorityError> {
    // Checked first, because `parse` would take a `+`.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AuthorityError::Port);
    }
    if text.is_empty() {
        return Ok(None);
    }
    let mut digits = text;
    while let Some(rest) = digits.strip_prefix('0') {
        digits = rest;
    }
    // Zero has no digit left.
    match digits.parse::<u16>() {
        Ok(_) => Ok(Some(digits)),
        Err(_) => Err(AuthorityError::Port),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn good_authorities() {
        for (text, host, port) in [
            ("a.test", "a.test", None),
            ("A.TEST.:8443", "a.test", Some(8443)),
            ("a.test:", "a.test", None),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("[::1]", "[::1]", None),
            ("[2001:DB8::0:1]:443", "[2001:db8::1]", Some(443)),
            ("my_service:8001", "my_service", Some(8001)),
        ] {
            let authority = Authority::parse(text).unwrap();
            assert_eq!((authority.host(), authority.port()), (host, port), "{text}");
        }
        assert_eq!(
            Authority::parse("A.test:80").unwrap().to_string(),
            "a.test:80"
        );
    }

    #[test]
    fn bad_authorities() {
        for (text, error) in [
            ("", AuthorityError::Empty),
            ("u@a.test", AuthorityError::UserInfo),
            ("a.test, b.test", AuthorityError::Host),
            ("a.test/x", AuthorityError::Host),
            ("a.test?x", AuthorityError::Host),
            ("a test", AuthorityError::Host),
            ("a%2etest", AuthorityError::Host),
            ("..a", AuthorityError::Host),
            (".", AuthorityError::Host),
            ("a..", AuthorityError::Host),
            (":80", AuthorityError::Host),
            ("[::1", AuthorityError::Host),
            ("[::1]x", AuthorityError::Host),
            ("[fe80::1%25eth0]", AuthorityError::Host),
            ("[v1.a]", AuthorityError::Host),
            ("::1", AuthorityError::Host),
            ("a.test:98777", AuthorityError::Port),
            ("a.test:+80", AuthorityError::Port),
            ("a.test:-1", AuthorityError::Port),
            ("a.test:80:80", AuthorityError::Host),
        ] {
            assert_eq!(Authority::parse(text), Err(error), "{text}");
        }
    }

    fn ask(
        version: Version,
        target: &str,
        hosts: &[&'static str],
    ) -> Result<Option<String>, AuthorityError> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_static(host));
        }
        let uri = target.parse().unwrap();
        authority(version, &uri, &headers)
            .map(|authority| authority.map(|authority| authority.to_string()))
    }

    #[test]
    fn exactly_one_host() {
        let one = Version::HTTP_11;
        let old = Version::HTTP_10;
        let two = Version::HTTP_2;
        let yes = |text: &str| Ok(Some(text.to_owned()));
        for (version, target, hosts, expected) in [
            (one, "/", &["a.test"][..], yes("a.test")),
            (one, "/", &[], Err(AuthorityError::Missing)),
            (
                one,
                "/",
                &["a.test", "b.test"],
                Err(AuthorityError::Duplicate),
            ),
            (
                one,
                "/",
                &["a.test", "a.test"],
                Err(AuthorityError::Duplicate),
            ),
            (one, "/", &["a.test, b.test"], Err(AuthorityError::Host)),
            (one, "/", &[""], Err(AuthorityError::Empty)),
            (one, "http://evil.test/p", &["a.test"], yes("evil.test")),
            (one, "http://evil.test/p", &[], Err(AuthorityError::Missing)),
            (
                one,
                "http://evil.test/p",
                &["a.test/x"],
                Err(AuthorityError::Host),
            ),
            (
                one,
                "http://u@evil.test/p",
                &["a.test"],
                Err(AuthorityError::UserInfo),
            ),
            (old, "/", &[], Ok(None)),
            (old, "/", &["a.test"], yes("a.test")),
            (old, "http://b.test/", &[], yes("b.test")),
            (two, "https://a.test/", &[], yes("a.test")),
            (two, "https://a.test/", &["A.test"], yes("a.test")),
            (
                two,
                "https://a.test/",
                &["b.test"],
                Err(AuthorityError::Contradiction),
            ),
            (two, "/", &["a.test"], yes("a.test")),
            (two, "/", &[], Err(AuthorityError::Missing)),
        ] {
            assert_eq!(
                ask(version, target, hosts),
                expected,
                "{version:?} {target} {hosts:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_reads_what_it_writes(text in "[a-z0-9.:@\\[\\]_-]{0,20}|.{0,20}") {
            if let Ok(authority) = Authority::parse(&text) {
                let written = authority.to_string();
                prop_assert_eq!(Authority::parse(&written), Ok(authority));
            }
        }
    }
}
