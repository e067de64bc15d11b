//! Names of request headers by which a client could claim to be somebody. Which requests they are taken from is the gateway's business: all.

/// Always reserved: weir's own, those of IIS and the ASP.NET Core Module, and those of the proxies that most applications were written behind.
const ALWAYS: [&str; 10] = [
    "x-weir-*",
    "ms-aspnetcore-*",
    "x-auth-request-*",
    "remote-user",
    "x-remote-user",
    "x-user",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
];

/// Names, or beginnings of names, that no client may send. Case does not matter, and whatever is neither letter nor digit counts as `-`:
/// CGI, WSGI and System.Web make one of `_` and `-`, and some gateways to CGI of all the others too.
#[derive(Clone, Debug)]
pub struct Reserved {
    /// By first byte as it was sent, because every header of every request is asked: most begin with a letter under which little stands.
    by_first: Box<[Vec<Pattern>; 256]>,
}

#[derive(Clone, Debug)]
struct Pattern {
    /// In lower case, with `-` for all but letters and digits.
    text: Box<str>,
    /// It ends in `*`, which is not part of the text.
    prefix: bool,
}

/// Why a text names no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("letters, digits, `-`, `_` and `.`; a `*` only at the end, after three of them")]
pub struct ReservedError;

impl Reserved {
    /// What is reserved beside weir's own names unless the operator says otherwise: what other gateways, clouds and web servers tell the
    /// applications behind them of a caller or of a client's certificate.
    pub const DEFAULT: [&str; 24] = [
        "x-forwarded-client-cert",
        "x-client-cert*",
        "x-ssl-client-*",
        "ssl-client-*",
        "x-arr-clientcert",
        "x-ms-client-principal*",
        "x-ms-token-*",
        "x-iisnode-*",
        "auth-user",
        "logon-user",
        "remote-name",
        "remote-email",
        "remote-groups",
        "x-remote-group*",
        "x-remote-extra-*",
        "x-auth-user",
        "x-webauth-*",
        "x-authenticated-*",
        "x-authentik-*",
        "x-amzn-oidc-*",
        "x-goog-iap-*",
        "x-goog-authenticated-user-*",
        "cf-access-*",
        "tailscale-user-*",
    ];

    /// weir's own names and these.
    ///
    /// # Errors
    /// The place of the first text that names no header.
    pub fn new(more: &[impl AsRef<str>]) -> Result<Self, (usize, ReservedError)> {
        let mut by_first: Box<[Vec<Pattern>; 256]> = Box::new([const { Vec::new() }; 256]);
        let always = ALWAYS.iter().copied();
        let more = more.iter().map(AsRef::as_ref).enumerate();
        let all = always.map(|name| (0, name)).chain(more);
        for (at, name) in all {
            let pattern = Pattern::parse(name).map_err(|why| (at, why))?;
            for (byte, patterns) in (0..=u8::MAX).zip(by_first.iter_mut()) {
                if pattern.text.as_bytes()[0] == plain(&byte) {
                    patterns.push(pattern.clone());
                }
            }
        }
        Ok(Self { by_first })
    }

    /// Whether a client must not send this name.
    pub fn contains(&self, name: &str) -> bool {
        let first = name.as_bytes().first().copied().unwrap_or_default();
        self.by_first[usize::from(first)]
            .iter()
            .any(|pattern| pattern.is(name.as_bytes()))
    }
}

/// With [`Reserved::DEFAULT`].
impl Default for Reserved {
    fn default() -> Self {
        Self::new(&Self::DEFAULT).expect("all of them are names")
    }
}

impl Pattern {
    /// A beginning has at least three characters: one that took every header away would be a slip.
    fn parse(text: &str) -> Result<Self, ReservedError> {
        let (text, prefix) = match text.strip_suffix('*') {
            Some(text) => (text, true),
            None => (text, false),
        };
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if text.len() < if prefix { 3 } else { 1 } || !text.bytes().all(good) {
            return Err(ReservedError);
        }
        let text: String = text.bytes().map(|byte| char::from(plain(&byte))).collect();
        Ok(Self {
            text: text.into(),
            prefix,
        })
    }

    fn is(&self, name: &[u8]) -> bool {
        let text = self.text.as_bytes();
        let fits = if self.prefix {
            name.len() >= text.len()
        } else {
            name.len() == text.len()
        };
        fits && name
            .iter()
            .map(plain)
            .zip(text)
            .all(|(one, other)| one == *other)
    }
}

fn plain(byte: &u8) -> u8 {
    if byte.is_ascii_alphanumeric() {
        byte.to_ascii_lowercase()
    } else {
        b'-'
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_spelling_of_a_reserved_name_passes() {
        let reserved = Reserved::new(&["X-Portal-User", "X_Legacy*"]).unwrap();
        for name in [
            "x-weir-user",
            "X_Weir_User",
            "x-weir_anything",
            "X-WEIR-",
            "MS-ASPNETCORE-WINAUTHTOKEN",
            "Remote_User",
            "x-user",
            "X_USER",
            "X-Forwarded-User",
            "x-auth-request-email",
            "x_portal-user",
            "X-Legacy",
            "x-legacy-Name",
            "X.Weir.User",
            "x!weir~user",
            "x-weir'anything",
            "ms.aspnetcore.winauthtoken",
            "remote^user",
            "X.Portal|User",
        ] {
            assert!(reserved.contains(name), "{name}");
        }
        for name in [
            "x-weir",
            "x-request-id",
            "authorization",
            "x-user-agent",
            "x-forwarded-for",
            "x-forwarded-client-cert",
            "user",
            "x-portal-user-agent",
            "x.weir",
            "xweir.user",
            "",
        ] {
            assert!(!reserved.contains(name), "{name}");
        }
    }

    #[test]
    fn what_other_gateways_say_is_reserved_unless_told_otherwise() {
        let reserved = Reserved::default();
        for name in [
            "X-Forwarded-Client-Cert",
            "X-MS-CLIENT-PRINCIPAL",
            "x-ms-client-principal-name",
            "SSL_CLIENT_S_DN",
            "X-Remote-User",
            "REMOTE_USER",
            "Cf-Access-Jwt-Assertion",
        ] {
            assert!(reserved.contains(name), "{name}");
        }
        for name in [
            "accept",
            "cookie",
            "content-type",
            "sec-fetch-site",
            "x-requested-with",
        ] {
            assert!(!reserved.contains(name), "{name}");
        }
    }

    #[test]
    fn slips_are_told() {
        for bad in ["", "*", "x-*", "a b", "x:y", "*-user", "x-ä", "x-*-y"] {
            assert_eq!(
                Reserved::new(&["x-a", bad]).unwrap_err(),
                (1, ReservedError),
                "{bad}"
            );
        }
        assert!(Reserved::new(&["x-a*"]).is_ok());
    }

    proptest! {
        #[test]
        fn any_name_can_be_tried(name in ".{0,40}") {
            Reserved::default().contains(&name);
        }
    }
}
