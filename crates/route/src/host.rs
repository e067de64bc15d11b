//! Which hosts a rule is for, and what counts as the name of a host at all. Ports never take part: a rule for `a.test` serves
//! `a.test:8443` too, because listeners are chosen by the operator and not by the client.

use std::{borrow::Cow, fmt, net::Ipv6Addr};

/// A host as written in a rule: `a.test`, or `*.a.test` for every name below `a.test` (one label or more), but not `a.test` itself.
/// Lower case, without a trailing dot; compared with what [`Authority::host`](crate::Authority::host) gives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern {
    /// The whole name, or the end of it with a leading dot.
    pub(crate) name: Box<str>,
    pub(crate) wildcard: bool,
}

impl HostPattern {
    /// Reads a pattern from the configuration.
    ///
    /// # Errors
    /// When it is no host name, or has a `*` anywhere but as its whole first label.
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        let (text, wildcard) = match text.strip_prefix("*.") {
            Some(suffix) => (suffix, true),
            None => (text, false),
        };
        if text.contains('*') {
            return Err(HostPatternError::Wildcard);
        }
        let name = match name(text).ok_or(HostPatternError::Name)? {
            address if wildcard && address.starts_with('[') => return Err(HostPatternError::Name),
            suffix if wildcard => format!(".{suffix}"),
            name => name.into_owned(),
        };
        Ok(Self {
            name: name.into(),
            wildcard,
        })
    }

    /// Whether the host, in lower case and without a port, is meant.
    pub fn matches(&self, host: &str) -> bool {
        if self.wildcard {
            host.len() > self.name.len() && host.ends_with(&*self.name)
        } else {
            *self.name == *host
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.wildcard { "*" } else { "" };
        write!(f, "{star}{}", self.name)
    }
}

/// Why a host of a rule cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// Not a host name; a port does not belong here, and names outside ASCII are written in punycode.
    #[error("not a host name (no port, no path, ASCII only)")]
    Name,
    /// A `*` that is not the whole first label.
    #[error("`*` can only be the whole first label, as in `*.example.com`")]
    Wildcard,
}

/// What a byte is in a name.
#[derive(Clone, Copy)]
enum Kind {
    Small,
    Capital,
    Dot,
    Other,
}

/// A name is read for every request: a look at a table is half of what four comparisons are.
static KINDS: [Kind; 256] = {
    let mut kinds = [Kind::Other; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        kinds[byte as usize] = match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'-' | b'_' => Kind::Small,
            b'A'..=b'Z' => Kind::Capital,
            b'.' => Kind::Dot,
            _ => Kind::Other,
        };
        byte += 1;
    }
    kinds
};

/// A host name or address literal in the form that is compared: lower case, one trailing dot removed, IPv6 in its shortest form.
///
/// Letters, digits, `-` and `_` in labels of at most 63 bytes, 253 in all: narrower than RFC 3986's reg-name, which would allow
/// commas and escapes and so let two programs see two hosts. Borrowed where it is written so already, as it nearly always is.
pub(crate) fn name(text: &str) -> Option<Cow<'_, str>> {
    if let Some(literal) = text.strip_prefix('[') {
        let address: Ipv6Addr = literal.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]").into());
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    let (mut label, mut capitals) = (0, false);
    let is_label = |length: usize| (1..=63).contains(&length);
    for byte in text.bytes() {
        match KINDS[usize::from(byte)] {
            Kind::Small => label += 1,
            Kind::Capital => {
                capitals = true;
                label += 1;
            }
            Kind::Dot if is_label(label) => label = 0,
            Kind::Dot | Kind::Other => return None,
        }
    }
    if !is_label(label) || text.len() > 253 {
        return None;
    }
    Some(if capitals {
        text.to_ascii_lowercase().into()
    } else {
        text.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (text, host, matches) in [
            ("a.test", "a.test", true),
            ("A.Test.", "a.test", true),
            ("a.test", "b.a.test", false),
            ("*.a.test", "b.a.test", true),
            ("*.a.test", "c.b.a.test", true),
            ("*.a.test", "a.test", false),
            ("*.a.test", ".a.test", false),
            ("*.a.test", "ba.test", false),
            ("[::0:1]", "[::1]", true),
            ("127.0.0.1", "127.0.0.1", true),
        ] {
            assert_eq!(
                HostPattern::parse(text).unwrap().matches(host),
                matches,
                "{text} {host}"
            );
        }
    }

    #[test]
    fn refused_patterns() {
        for (text, error) in [
            ("", HostPatternError::Name),
            ("a.test:80", HostPatternError::Name),
            ("a..test", HostPatternError::Name),
            ("*.", HostPatternError::Name),
            ("*.[::1]", HostPatternError::Name),
            ("b\u{fc}cher.test", HostPatternError::Name),
            ("*", HostPatternError::Wildcard),
            ("a.*.test", HostPatternError::Wildcard),
            ("*a.test", HostPatternError::Wildcard),
            ("*.*.test", HostPatternError::Wildcard),
        ] {
            assert_eq!(HostPattern::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn written_as_read() {
        for text in ["a.test", "*.a.test", "[::1]"] {
            assert_eq!(HostPattern::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn long_names() {
        assert!(name(&"a".repeat(63)).is_some());
        assert!(name(&"a".repeat(64)).is_none());
        assert!(name(&"a.".repeat(127)).is_some());
        assert!(name(&"a.".repeat(128)).is_none());
    }
}
