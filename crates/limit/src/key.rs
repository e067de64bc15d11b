//! Whose counter a request counts on: the facts, the identity among them, and the key that stands for it.

mod source;

pub use source::{KeySource, KeySourceError};

use std::{
    fmt,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::LazyLock,
};

use http::{HeaderMap, HeaderName, HeaderValue};

/// Who is counted, in the caller's own words: a header among them may be somebody's secret, so it is not to be shown or stored as it is.
#[derive(Clone, Copy)]
pub enum Identity<'a> {
    /// The verified user.
    User(&'a str),
    /// The verified tenant.
    Tenant(&'a str),
    /// The route's name.
    Route(&'a str),
    /// All values of this header.
    Header(&'a HeaderName, &'a HeaderMap),
    /// The address, or the network of an IPv6 one.
    Address(u128),
}

impl Identity<'_> {
    /// Bytes that are the same in every process, and differ wherever two identities do: a word for the kind, then each part with its
    /// length.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        let mut part = |part: &[u8]| {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        };
        match self {
            Self::User(text) => [b"user", text.as_bytes()].into_iter().for_each(part),
            Self::Tenant(text) => [b"tenant", text.as_bytes()].into_iter().for_each(part),
            Self::Route(text) => [b"route", text.as_bytes()].into_iter().for_each(part),
            Self::Address(network) => [&b"address"[..], &network.to_be_bytes()]
                .into_iter()
                .for_each(part),
            Self::Header(name, headers) => {
                part(b"header");
                values(name, headers).for_each(part);
            }
        }
        bytes
    }

    fn kind(&self) -> Kind {
        match self {
            Self::User(_) => Kind::User,
            Self::Tenant(_) => Kind::Tenant,
            Self::Route(_) => Kind::Route,
            Self::Header(..) => Kind::Header,
            Self::Address(_) => Kind::Address,
        }
    }
}

impl fmt::Debug for Identity<'_> {
    /// Only the kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind().fmt(f)
    }
}

fn values<'a>(name: &HeaderName, headers: &'a HeaderMap) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}

/// What is known of a request when it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The user, verified.
    pub user: Option<&'a str>,
    /// The tenant, verified.
    pub tenant: Option<&'a str>,
    /// The name of the route that serves it.
    pub route: &'a str,
    /// The client's address: the peer's, or what a trusted proxy said it is.
    pub ip: IpAddr,
    /// The request's headers as the client sent them.
    pub headers: &'a HeaderMap,
}

/// Names a counter. Of fixed size whatever it was made from, and without its text: a header may well be somebody's API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    kind: Kind,
    /// See [`digest`].
    id: u64,
}

impl Key {
    /// The one counter of everyone for whom a full table had no room.
    pub(crate) const SHARED: Self = Self {
        kind: Kind::Shared,
        id: 0,
    };
}

impl Key {
    /// Which of so many parts of a table it belongs to. Tables look at the lowest bits and at the highest: these are others.
    pub(crate) fn part(&self, of: u64) -> u64 {
        (self.id >> 32 & 0xffff) % of
    }
}

/// The id is a hash already.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.id);
    }
}

/// What tables of keys hash with: not at all.
pub(crate) type ById = BuildHasherDefault<Numbered>;

#[derive(Default)]
pub(crate) struct Numbered(u64);

impl Hasher for Numbered {
    fn write(&mut self, _: &[u8]) {
        unreachable!("a key is hashed by its number");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    User,
    Tenant,
    Route,
    Header,
    Address,
    Shared,
}

/// SipHash under a seed of this process. Nobody outside can search for two texts with one counter, nor for addresses that fill one part of a
/// table; and by chance two of all the keys that a table holds meet once in three billion full tables. The seed is the process's and not
/// the limit's, so that keys mean the same after a reload.
fn digest(write: impl FnOnce(&mut DefaultHasher)) -> u64 {
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let mut hasher = SEED.build_hasher();
    write(&mut hasher);
    hasher.finish()
}

/// An IPv4 address as IPv6 has it (`::ffff:a.b.c.d`), or the upper 64 bits of an IPv6 one: the two cannot meet, because the lower half of
/// the first is never zero.
fn network(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => Ipv6Addr::to_bits(ip) >> 64 << 64,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A key for each number, for the tests of other modules.
    pub(crate) fn numbered(number: u32) -> Key {
        Key {
            kind: Kind::User,
            id: digest(|hasher| hasher.write_u32(number)),
        }
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let lines = lines.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        let mut map = HeaderMap::new();
        lines.for_each(|(name, value)| {
            map.append(name, value);
        });
        map
    }

    fn key(
        source: &str,
        user: Option<&str>,
        tenant: Option<&str>,
        ip: &str,
        headers: &HeaderMap,
    ) -> Key {
        let facts = Facts {
            user,
            tenant,
            route: "r",
            ip: ip.parse().unwrap(),
            headers,
        };
        KeySource::parse(source).unwrap().key(&facts)
    }

    #[test]
    fn the_fact_decides_and_nothing_else() {
        let none = HeaderMap::new();
        let same = |source, one, other| {
            key(source, Some(one), Some("t"), "10.0.0.1", &none)
                == key(source, Some(other), Some("t"), "10.0.0.2", &none)
        };
        assert!(same("user", "ada", "ada"));
        assert!(!same("user", "ada", "Ada"));
        assert!(same("tenant", "ada", "bob"));
        assert!(!same("client_ip", "ada", "ada"));
    }

    #[test]
    fn kinds_do_not_meet() {
        let none = HeaderMap::new();
        let named = headers(&[("x-key", "10.0.0.1")]);
        let keys = [
            key("user", Some("10.0.0.1"), None, "10.0.0.1", &none),
            key("tenant", None, Some("10.0.0.1"), "10.0.0.1", &none),
            key("header:x-key", None, None, "10.0.0.1", &named),
            key("client_ip", None, None, "10.0.0.1", &none),
            Key::SHARED,
        ];
        for (at, one) in keys.iter().enumerate() {
            assert!(keys[at + 1..].iter().all(|other| one != other), "{one:?}");
        }
    }

    #[test]
    fn without_the_fact_the_address_counts() {
        let none = HeaderMap::new();
        let empty = headers(&[("x-key", "")]);
        let address = key("client_ip", None, None, "10.0.0.1", &none);
        assert_eq!(key("user", None, Some("t"), "10.0.0.1", &none), address);
        assert_eq!(key("user", Some(""), None, "10.0.0.1", &none), address);
        assert_eq!(key("tenant", Some("u"), None, "10.0.0.1", &none), address);
        assert_eq!(key("header:x-key", None, None, "10.0.0.1", &none), address);
        assert_eq!(key("header:x-key", None, None, "10.0.0.1", &empty), address);
    }

    #[test]
    fn header_lines_do_not_run_together() {
        let one = headers(&[("x-key", "ab")]);
        let two = headers(&[("x-key", "a"), ("x-key", "b")]);
        let key = |headers| key("header:x-key", None, None, "10.0.0.1", headers);
        assert_ne!(key(&one), key(&two));
        assert_eq!(
            key(&one),
            key(&headers(&[("x-key", "ab"), ("x-other", "c")]))
        );
    }

    #[test]
    fn outside_this_process_identities_differ_as_keys_do() {
        let one = headers(&[("x-key", "ab")]);
        let two = headers(&[("x-key", "a"), ("x-key", "b")]);
        let facts = |headers| Facts {
            user: Some("route"),
            tenant: None,
            route: "route",
            ip: [10, 0, 0, 1].into(),
            headers,
        };
        let sources = ["user", "tenant", "client_ip", "route", "header:x-key"]
            .map(|source| KeySource::parse(source).unwrap());
        let mut all = Vec::new();
        for headers in [&one, &two] {
            for source in &sources {
                let facts = facts(headers);
                all.push((source.key(&facts), source.identity(&facts).bytes()));
            }
        }
        for (key, bytes) in &all {
            for (other, others) in &all {
                assert_eq!(key == other, bytes == others, "{key:?} {other:?}");
            }
        }
        assert_eq!(
            sources[0].identity(&facts(&one)).bytes(),
            b"\0\0\0\0\0\0\0\x04user\0\0\0\0\0\0\0\x05route"
        );
    }

    #[test]
    fn addresses() {
        let none = HeaderMap::new();
        for (one, other, same) in [
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
            ("::1", "0.0.0.1", false),
        ] {
            let key = |ip| key("client_ip", None, None, ip, &none);
            assert_eq!(key(one) == key(other), same, "{one} {other}");
        }
    }

    #[test]
    fn a_key_does_not_show_its_text() {
        let secret = headers(&[("x-api-key", "hunter2")]);
        let shown = format!(
            "{:?}",
            key("header:x-api-key", Some("ada"), None, "10.0.0.1", &secret)
        );
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
