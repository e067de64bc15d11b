//! Whether a request that came with a cookie was sent by one of our own pages. A browser adds cookies to requests of any
//! page, so this is asked wherever the caller came [`crate::Via::Cookie`]; nobody can make a browser add a bearer token.
//! The rule is that of Go 1.25's `http.CrossOriginProtection`, and stricter for upgrades, which know neither CORS nor preflight.

use http::{HeaderMap, HeaderName, Method, header};

use crate::{Denied, upgrade::upgrades};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// `authority` is the public one, `host` or `host:port` as in Host, never taken from a client's X-Forwarded-Host. `trusted`
/// are whole origins (`https://app.example`) that may send with the cookie too.
///
/// `same-site` is not enough: sibling subdomains belong to other people. Safe methods pass, so GET must change nothing.
pub fn cross_origin(
    method: &Method,
    headers: &HeaderMap,
    authority: Option<&str>,
    trusted: &[String],
) -> Result<(), Denied> {
    let upgrade = upgrades(method, headers);
    if !upgrade && matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let origin = single(headers, &header::ORIGIN)?;
    if origin.is_some_and(|origin| {
        trusted
            .iter()
            .any(|trusted| trusted.eq_ignore_ascii_case(origin))
    }) {
        return Ok(());
    }
    let allowed = match (single(headers, &SEC_FETCH_SITE)?, origin) {
        // A handshake must name its page: no browser leaves it out.
        (_, origin) if upgrade => origin.is_some_and(|origin| is_own(origin, authority)),
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        // Neither header: not a browser, or one of before 2020.
        (None, None) => true,
        (None, Some(origin)) => is_own(origin, authority),
    };
    if allowed {
        Ok(())
    } else {
        Err(Denied::CrossOrigin)
    }
}

/// Twice is nobody's honest request.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Denied> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(line), None) => line.to_str().map(Some).map_err(|_| Denied::CrossOrigin),
        (Some(_), Some(_)) => Err(Denied::CrossOrigin),
    }
}

/// `Origin: null` has no authority and is never ours. The scheme is not compared: behind a TLS terminator weir does not
/// know its own.
fn is_own(origin: &str, authority: Option<&str>) -> bool {
    let (Some((scheme, origin)), Some(authority)) = (origin.split_once("://"), authority) else {
        return false;
    };
    let default = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return false,
    };
    let bare = |text: &str| {
        text.strip_suffix(default)
            .unwrap_or(text)
            .to_ascii_lowercase()
    };
    !origin.is_empty() && bare(origin) == bare(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        cross_origin(
            &method,
            &map,
            Some("chat.test:8443"),
            &["https://app.test".to_owned()],
        )
        .is_ok()
    }

    #[test]
    fn unsafe_methods_need_one_of_our_own_pages() {
        for (headers, allowed) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "new-site")], false),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://app.test"),
                ],
                true,
            ),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://chat.test:8443"),
                ],
                false,
            ),
            (
                &[
                    ("sec-fetch-site", "same-origin"),
                    ("sec-fetch-site", "cross-site"),
                ],
                false,
            ),
            (&[("origin", "https://chat.test:8443")], true),
            (&[("origin", "http://Chat.test:8443")], true),
            (&[("origin", "https://chat.test")], false),
            (&[("origin", "https://chat.test:8443.evil.test")], false),
            (&[("origin", "https://evil.test/chat.test:8443")], false),
            (&[("origin", "https://app.test.evil")], false),
            (&[("origin", "ftp://chat.test:8443")], false),
            (&[("origin", "null")], false),
            (
                &[
                    ("origin", "https://chat.test:8443"),
                    ("origin", "https://evil.test"),
                ],
                false,
            ),
        ] {
            assert_eq!(check(Method::POST, headers), allowed, "POST {headers:?}");
            assert_eq!(
                check(Method::DELETE, headers),
                allowed,
                "DELETE {headers:?}"
            );
            assert!(check(Method::GET, headers), "GET {headers:?}");
        }
    }

    #[test]
    fn an_upgrade_must_name_its_page() {
        let upgrade = ("upgrade", "websocket");
        assert!(!check(Method::GET, &[upgrade]));
        assert!(!check(
            Method::GET,
            &[upgrade, ("sec-fetch-site", "same-origin")]
        ));
        assert!(!check(
            Method::GET,
            &[upgrade, ("origin", "https://evil.test")]
        ));
        assert!(!check(Method::GET, &[("upgrade", "h2c, websocket")]));
        assert!(!check(Method::CONNECT, &[]));
        assert!(check(
            Method::GET,
            &[upgrade, ("origin", "https://chat.test:8443")]
        ));
        assert!(check(
            Method::GET,
            &[upgrade, ("origin", "https://app.test")]
        ));
        assert!(check(Method::GET, &[("upgrade", "h2c")]));
    }

    #[test]
    fn a_default_port_may_be_left_out() {
        assert!(is_own("https://a.test", Some("a.test:443")));
        assert!(is_own("https://a.test:443", Some("a.test")));
        assert!(is_own("http://[::1]", Some("[::1]:80")));
        assert!(!is_own("https://a.test", Some("a.test:80")));
        assert!(!is_own("https://a.test", None));
        assert!(!is_own("https://", Some("")));
    }
}
