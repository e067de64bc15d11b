//! Which fact about a request names its counter, as the file writes it.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use http::HeaderName;

use super::{Facts, Identity, Key, digest, network, values};

/// Which fact about a request names its counter.
///
/// A request without that fact is counted by its address, apart from everyone who has it: `user = "10.0.0.1"` and the address 10.0.0.1
/// are two counters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// The verified user.
    User,
    /// The verified tenant.
    Tenant,
    /// The client's address. IPv6 counts by /64, which is what one subscriber has; IPv4 written as IPv6 counts as IPv4.
    ClientIp,
    /// The route: all who ask for it share one counter.
    Route,
    /// All values of a header. Clients choose it freely, so it limits only those who mean well, unless something in front sets it.
    Header(HeaderName),
}

impl KeySource {
    /// Reads `user`, `tenant`, `client_ip`, `route` or `header:NAME`.
    ///
    /// # Errors
    /// When it is none of these, or NAME is no header name.
    pub fn parse(text: &str) -> Result<Self, KeySourceError> {
        match text {
            "user" => Ok(Self::User),
            "tenant" => Ok(Self::Tenant),
            "client_ip" => Ok(Self::ClientIp),
            "route" => Ok(Self::Route),
            _ => {
                let name = text
                    .strip_prefix("header:")
                    .ok_or(KeySourceError::Unknown)?;
                HeaderName::from_bytes(name.as_bytes())
                    .map(Self::Header)
                    .map_err(|_| KeySourceError::HeaderName)
            }
        }
    }

    /// The key of a request. An empty fact is an absent one.
    pub fn key(&self, facts: &Facts<'_>) -> Key {
        let identity = self.identity(facts);
        let id = match identity {
            Identity::Address(network) => digest(|hasher| hasher.write_u128(network)),
            Identity::User(text) | Identity::Tenant(text) | Identity::Route(text) => {
                digest(|hasher| hasher.write(text.as_bytes()))
            }
            Identity::Header(name, headers) => digest(|hasher| {
                values(name, headers).for_each(|value| value.hash(hasher)); // with its length
            }),
        };
        Key {
            kind: identity.kind(),
            id,
        }
    }

    /// Who is counted, for a counter that is kept outside this process. An empty fact is an absent one.
    pub fn identity<'a>(&'a self, facts: &Facts<'a>) -> Identity<'a> {
        let given = |text: Option<&'a str>| text.filter(|text| !text.is_empty());
        let named = match self {
            Self::User => given(facts.user).map(Identity::User),
            Self::Tenant => given(facts.tenant).map(Identity::Tenant),
            Self::ClientIp => None,
            Self::Route => Some(Identity::Route(facts.route)),
            Self::Header(name) => values(name, facts.headers)
                .any(|value| !value.is_empty())
                .then_some(Identity::Header(name, facts.headers)),
        };
        named.unwrap_or_else(|| Identity::Address(network(facts.ip)))
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("user"),
            Self::Tenant => f.write_str("tenant"),
            Self::ClientIp => f.write_str("client_ip"),
            Self::Route => f.write_str("route"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

/// Why a key source cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySourceError {
    /// Not one of the five.
    #[error("a limit is by `user`, `tenant`, `client_ip`, `route` or `header:NAME`")]
    Unknown,
    /// `header:` without a name that a header could have.
    #[error("not the name of a header")]
    HeaderName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        for text in ["user", "tenant", "client_ip", "route", "header:x-api-key"] {
            assert_eq!(KeySource::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            KeySource::parse("header:X-Api-Key"),
            KeySource::parse("header:x-api-key")
        );
        for (text, error) in [
            ("", KeySourceError::Unknown),
            ("ip", KeySourceError::Unknown),
            ("header", KeySourceError::Unknown),
            ("header:", KeySourceError::HeaderName),
            ("header:a b", KeySourceError::HeaderName),
        ] {
            assert_eq!(KeySource::parse(text), Err(error), "{text}");
        }
    }
}
