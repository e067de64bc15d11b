//! Who sent a request when proxies stand in between: the right-most address that no trusted proxy vouches against. Reads the words of
//! trusted peers (X-Forwarded-For, RFC 7239 Forwarded, X-Real-IP) and writes them anew for the upstream. Pure; whom to trust is an argument.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::outbound::Lines;

pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The most hops looked at, from the right. A chain of more trusted proxies than that is a loop or an attack.
const HOPS: usize = 32;
/// The longest name of a host, with a port (RFC 1035 allows 253).
const HOST: usize = 261;
/// The longest text of an address: IPv4 in IPv6's clothes.
const LONGEST: usize = 45;

/// Where a request comes from, as far as it can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The client's address, IPv4 never in IPv6 clothes.
    pub address: IpAddr,
    /// Whether the client's own connection was encrypted.
    pub https: bool,
    /// From the client to weir's peer, both included; empty when the peer is the client.
    path: Vec<IpAddr>,
    /// The host the client asked for, by a trusted peer's word.
    host: Option<HeaderValue>,
    /// The peer speaks RFC 7239, so the upstream is told in it too.
    forwarded: bool,
}

impl Sender {
    /// Somebody who connected without a proxy, or whose proxy is not trusted: what the headers claim is nothing.
    pub fn direct(peer: IpAddr, https: bool) -> Self {
        Self {
            address: peer.to_canonical(),
            https,
            path: Vec::new(),
            host: None,
            forwarded: false,
        }
    }

    /// The client behind `peer`. Members are read from the right, each believed because the one that wrote it is trusted. The first
    /// that is not trusted is the client; a malformed one ends the walk at the last good address, which is then a proxy's.
    ///
    /// X-Forwarded-For is read where it is there, else Forwarded, else X-Real-IP: a proxy that writes only one of the latter two must
    /// take the client's X-Forwarded-For away.
    pub fn find(
        peer: IpAddr,
        https: bool,
        headers: &HeaderMap,
        trusted: impl Fn(IpAddr) -> bool,
    ) -> Self {
        let mut sender = Self::direct(peer, https);
        if !trusted(sender.address) {
            return sender;
        }
        sender.forwarded = headers.contains_key(header::FORWARDED);
        let mut path = vec![sender.address];
        let mut walk = |claims: &mut dyn Iterator<Item = Option<IpAddr>>| {
            for claim in claims.take(HOPS) {
                let Some(address) = claim.map(|address| address.to_canonical()) else {
                    break;
                };
                path.push(address);
                if !trusted(address) {
                    break;
                }
            }
        };
        if headers.contains_key(FORWARDED_FOR) {
            walk(&mut from_the_right(headers, &FORWARDED_FOR).map(address));
        } else if sender.forwarded {
            walk(
                &mut from_the_right(headers, &header::FORWARDED)
                    .map(|element| parameter(element, "for").and_then(address)),
            );
        } else {
            walk(&mut from_the_right(headers, &REAL_IP).take(1).map(address));
        }
        path.reverse();
        sender.address = path[0];
        sender.path = path;
        sender.https = said_scheme(headers).unwrap_or(https);
        sender.host = said_host(headers);
        sender
    }

    /// Whether a trusted proxy stands before weir.
    pub(crate) fn is_vouched_for(&self) -> bool {
        !self.path.is_empty()
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// Writes what the upstream is told, in place of whatever was there. `host`: the one weir was asked for.
    pub(crate) fn write(&self, out: &mut impl Lines, host: &[u8]) {
        let host = self.host.as_ref().map_or(host, HeaderValue::as_bytes);
        let mut room = [0; LONGEST];
        let address = written(self.address, &mut room);
        out.text(&REAL_IP, address);
        if self.path.is_empty() {
            out.text(&FORWARDED_FOR, address);
        } else {
            out.text(&FORWARDED_FOR, self.chain().as_bytes());
        }
        out.text(&FORWARDED_PROTO, self.scheme().as_bytes());
        out.text(&FORWARDED_HOST, host);
        if self.forwarded {
            out.text(&header::FORWARDED, self.elements(host).as_bytes());
        }
    }

    fn chain(&self) -> String {
        let addresses: Vec<String> = self.path.iter().map(IpAddr::to_string).collect();
        addresses.join(", ")
    }

    /// RFC 7239 section 4: the element of the client says what it asked for and how, the others only who passed it on. Only a trusted
    /// proxy speaks it, so there is a path.
    fn elements(&self, host: &[u8]) -> String {
        let host = str::from_utf8(host).unwrap_or_default();
        let mut elements: Vec<String> = self
            .path
            .iter()
            .map(|address| match address {
                IpAddr::V4(address) => format!("for={address}"),
                IpAddr::V6(address) => format!("for=\"[{address}]\""),
            })
            .collect();
        elements[0] += &format!(";host=\"{host}\";proto={}", self.scheme());
        elements.join(", ")
    }
}

/// An address as text. IPv4 by hand: one is written for every request, and the formatter takes a thousand instructions each time.
fn written(address: IpAddr, room: &mut [u8; LONGEST]) -> &[u8] {
    let mut end = 0;
    let mut push = |bytes: &[u8]| {
        room[end..end + bytes.len()].copy_from_slice(bytes);
        end += bytes.len();
    };
    match address {
        IpAddr::V4(address) => {
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    push(b".");
                }
                if octet >= 100 {
                    push(&[b'0' + octet / 100]);
                }
                if octet >= 10 {
                    push(&[b'0' + octet / 10 % 10]);
                }
                push(&[b'0' + octet % 10]);
            }
        }
        IpAddr::V6(address) => push(address.to_string().as_bytes()),
    }
    &room[..end]
}

/// The members of a list header, last first, over all its lines. One that is no text counts as a member that says nothing.
fn from_the_right<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'h str> + use<'h> {
    headers
        .get_all(name)
        .iter()
        .rev()
        .flat_map(|line| line.to_str().unwrap_or("").rsplit(','))
        .map(str::trim)
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`, quoted or not. Ports are let go.
fn address(member: &str) -> Option<IpAddr> {
    let member = member
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(member);
    if let Ok(address) = member.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = member.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let bracketed = member.strip_prefix('[')?.strip_suffix(']')?;
    bracketed.parse().ok().map(IpAddr::V6)
}

/// The value of one parameter of a Forwarded element; `None` where it is missing or there twice.
fn parameter<'e>(element: &'e str, name: &str) -> Option<&'e str> {
    let mut values = element.split(';').filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    });
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// The nearest proxy's word on how the client came; a word that is neither is no word.
fn said_scheme(headers: &HeaderMap) -> Option<bool> {
    let said = from_the_right(headers, &FORWARDED_PROTO)
        .next()
        .or_else(|| parameter(from_the_right(headers, &header::FORWARDED).last()?, "proto"))?;
    match said.trim_matches('"') {
        said if said.eq_ignore_ascii_case("https") => Some(true),
        said if said.eq_ignore_ascii_case("http") => Some(false),
        _ => None,
    }
}

/// The nearest proxy's word on the host, if it can be one.
fn said_host(headers: &HeaderMap) -> Option<HeaderValue> {
    let said = from_the_right(headers, &FORWARDED_HOST).next()?;
    let good = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
    let is_host = !said.is_empty() && said.len() <= HOST && said.bytes().all(good);
    HeaderValue::from_str(said).ok().filter(|_| is_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_they_are() {
        for address in ["0.0.0.0", "1.20.100.255", "10.9.99.199", "2001:db8::7"] {
            let mut room = [0; LONGEST];
            let text = written(address.parse().unwrap(), &mut room);
            assert_eq!(text, address.as_bytes());
        }
    }

    fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    /// Everything in 10/8 and fd00::/8 is trusted.
    fn found(peer: &str, headers: &[(&'static str, &str)]) -> (String, String) {
        let trusted = |address: IpAddr| {
            let text = address.to_string();
            text.starts_with("10.") || text.starts_with("fd00:")
        };
        let sender = Sender::find(peer.parse().unwrap(), false, &map(headers), trusted);
        let mut out = HeaderMap::new();
        sender.write(&mut out, b"a.test");
        (
            sender.address.to_string(),
            out[FORWARDED_FOR].to_str().unwrap().to_owned(),
        )
    }

    #[test]
    fn the_client_is_the_right_most_that_nobody_vouches_for() {
        for (peer, chain, client, passed) in [
            // Untrusted: its word is nothing.
            ("192.0.2.1", "1.2.3.4", "192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "1.2.3.4", "192.0.2.1", "192.0.2.1"),
            // One trusted hop, and what the client made up before it.
            (
                "10.0.0.1",
                "203.0.113.9",
                "203.0.113.9",
                "203.0.113.9, 10.0.0.1",
            ),
            (
                "10.0.0.1",
                "6.6.6.6, 203.0.113.9",
                "203.0.113.9",
                "203.0.113.9, 10.0.0.1",
            ),
            // Three of which two are trusted.
            (
                "10.0.0.1",
                "203.0.113.9, 10.0.0.3, 10.0.0.2",
                "203.0.113.9",
                "203.0.113.9, 10.0.0.3, 10.0.0.2, 10.0.0.1",
            ),
            // All trusted: the left-most.
            (
                "10.0.0.1",
                "10.0.0.9,10.0.0.2",
                "10.0.0.9",
                "10.0.0.9, 10.0.0.2, 10.0.0.1",
            ),
            // Malformed stops at the last good one.
            (
                "10.0.0.1",
                "203.0.113.9, nonsense, 10.0.0.2",
                "10.0.0.2",
                "10.0.0.2, 10.0.0.1",
            ),
            (
                "10.0.0.1",
                "203.0.113.9,,10.0.0.2",
                "10.0.0.2",
                "10.0.0.2, 10.0.0.1",
            ),
            ("10.0.0.1", "unknown", "10.0.0.1", "10.0.0.1"),
            ("10.0.0.1", "", "10.0.0.1", "10.0.0.1"),
            ("10.0.0.1", "1.2.3.4.5", "10.0.0.1", "10.0.0.1"),
            // Ports and brackets.
            (
                "10.0.0.1",
                "203.0.113.9:4711",
                "203.0.113.9",
                "203.0.113.9, 10.0.0.1",
            ),
            (
                "10.0.0.1",
                "[2001:db8::7]:4711",
                "2001:db8::7",
                "2001:db8::7, 10.0.0.1",
            ),
            (
                "10.0.0.1",
                "[2001:db8::7]",
                "2001:db8::7",
                "2001:db8::7, 10.0.0.1",
            ),
            (
                "fd00::1",
                "2001:DB8::7",
                "2001:db8::7",
                "2001:db8::7, fd00::1",
            ),
            (
                "10.0.0.1",
                "::ffff:203.0.113.9",
                "203.0.113.9",
                "203.0.113.9, 10.0.0.1",
            ),
        ] {
            assert_eq!(
                found(peer, &[("x-forwarded-for", chain)]),
                (client.to_owned(), passed.to_owned()),
                "{peer} says {chain:?}"
            );
        }
    }

    #[test]
    fn a_chain_is_read_over_its_lines_and_not_without_end() {
        let lines = [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "10.0.0.2"),
        ];
        assert_eq!(found("10.0.0.1", &lines).0, "203.0.113.9");
        let many = vec!["10.0.0.2"; 50].join(",");
        let (client, passed) = found("10.0.0.1", &[("x-forwarded-for", &many)]);
        assert_eq!(client, "10.0.0.2");
        assert_eq!(passed.split(", ").count(), HOPS + 1);
    }

    #[test]
    fn rfc_7239_is_read_where_there_is_no_list() {
        for (said, client) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("For=\"[2001:db8::7]:4711\";proto=https", "2001:db8::7"),
            (
                "for=6.6.6.6, for=203.0.113.9;by=10.0.0.1, for=10.0.0.2",
                "203.0.113.9",
            ),
            ("for=203.0.113.9, for=_hidden, for=10.0.0.2", "10.0.0.2"),
            ("for=unknown", "10.0.0.1"),
            ("for=203.0.113.9;for=6.6.6.6", "10.0.0.1"),
            ("by=203.0.113.9", "10.0.0.1"),
            (";;=,", "10.0.0.1"),
        ] {
            assert_eq!(
                found("10.0.0.1", &[("forwarded", said)]).0,
                client,
                "{said}"
            );
        }
        let both = [
            ("forwarded", "for=6.6.6.6"),
            ("x-forwarded-for", "203.0.113.9"),
        ];
        assert_eq!(found("10.0.0.1", &both).0, "203.0.113.9");
        assert_eq!(
            found("10.0.0.1", &[("x-real-ip", "203.0.113.9")]).0,
            "203.0.113.9"
        );
        assert_eq!(
            found("10.0.0.1", &[("x-real-ip", "1.2.3.4, x")]).0,
            "10.0.0.1"
        );
    }

    #[test]
    fn scheme_and_host_are_a_trusted_peers_to_say() {
        let said = map(&[
            ("forwarded", "for=203.0.113.9;proto=http"),
            ("x-forwarded-proto", "HTTPS"),
            ("x-forwarded-host", "chat.test:8443"),
        ]);
        let sender = Sender::find("10.0.0.1".parse().unwrap(), false, &said, |_| true);
        assert!(sender.https);
        let mut out = HeaderMap::new();
        sender.write(&mut out, b"inner.test");
        assert_eq!(out[FORWARDED_PROTO], "https");
        assert_eq!(out[FORWARDED_HOST], "chat.test:8443");
        assert_eq!(
            out[header::FORWARDED],
            "for=203.0.113.9;host=\"chat.test:8443\";proto=https, for=10.0.0.1"
        );

        let sender = Sender::find("192.0.2.1".parse().unwrap(), false, &said, |_| false);
        assert_eq!(sender, Sender::direct("192.0.2.1".parse().unwrap(), false));

        for (proto, host) in [("ftp", "a\"b"), ("", ""), ("https, gopher", "a b")] {
            let said = map(&[("x-forwarded-proto", proto), ("x-forwarded-host", host)]);
            let sender = Sender::find("10.0.0.1".parse().unwrap(), true, &said, |_| true);
            assert!(sender.https && sender.host.is_none(), "{proto} {host}");
        }
    }
}
