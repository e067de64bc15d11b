//! Which other sites' pages may read an answer, and what a browser that asks first is told (the Fetch standard's CORS protocol).
//! An allow-list and nothing else: an origin is repeated to the browser only because the operator named it.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

/// What an upstream may not say beside weir: a second copy of any of these makes browsers refuse the answer, or believe the wrong one.
const ABOUT_ORIGINS: [HeaderName; 7] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    HeaderName::from_static("access-control-allow-private-network"),
];

/// Whose pages may read what a route answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Who is let in.
    pub origins: Vec<Origin>,
    /// What a page may send, beside GET, HEAD and POST in their simple forms, which it may in any case.
    pub methods: Vec<Method>,
    /// Which headers a page may set, beside those every page may.
    pub headers: Vec<HeaderName>,
    /// Which headers of the answer a page may read, beside those every page may.
    pub expose: Vec<HeaderName>,
    /// Whether the browser may add the user's cookies, and the page read what came of it.
    pub credentials: bool,
    /// How long the browser may remember what it was told.
    pub max_age: Duration,
}

/// An origin that is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `*`
    Any,
    /// `https://app.test`, `http://localhost:3000`
    Exact(String),
    /// `https://*.app.test`: every name below, at any depth, not `app.test` itself.
    Below {
        /// `https://`
        scheme: &'static str,
        /// `.app.test`, with the port if there is one.
        suffix: String,
    },
}

/// Why a text is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an origin is a scheme (http or https) and a host, with a port if it is not the scheme's own, and nothing else"
)]
pub struct OriginError;

impl Origin {
    /// `"*"`, `"https://app.test"` or `"https://*.app.test"`, without a path; `null` is nobody's origin.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let text = text.to_ascii_lowercase();
        let (scheme, default, host) = if let Some(host) = text.strip_prefix("https://") {
            ("https://", ":443", host)
        } else if let Some(host) = text.strip_prefix("http://") {
            ("http://", ":80", host)
        } else {
            return Err(OriginError);
        };
        // Browsers leave the scheme's own port out.
        let host = host.strip_suffix(default).unwrap_or(host);
        let below = host.strip_prefix("*.");
        let name = below.unwrap_or(host);
        let (bare, port) = match name.rsplit_once(':') {
            Some((bare, port)) if !name.ends_with(']') => (bare, Some(port)),
            _ => (name, None),
        };
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let bracketed = bare.strip_prefix('[').and_then(|b| b.strip_suffix(']'));
        let is_host = match bracketed {
            Some(v6) => below.is_none() && v6.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !bare.is_empty() && !bare.starts_with('.') && bare.bytes().all(good),
        };
        let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        if !is_host || !is_port {
            return Err(OriginError);
        }
        Ok(match below {
            Some(below) => Self::Below {
                scheme,
                suffix: format!(".{below}"),
            },
            None => Self::Exact(format!("{scheme}{host}")),
        })
    }

    /// Browsers send origins in lower case; another case is compared all the same, and harms nobody.
    fn lets_in(&self, origin: &str) -> bool {
        match self {
            // `null` is what sandboxed frames and files of the disk say: anybody can be that.
            Self::Any => origin != "null",
            Self::Exact(exact) => origin.eq_ignore_ascii_case(exact),
            Self::Below { scheme, suffix } => {
                let origin = origin.to_ascii_lowercase();
                let host = origin.strip_prefix(scheme);
                host.and_then(|host| host.strip_suffix(suffix.as_str()))
                    .is_some_and(|label| {
                        // `https://evil.test/.app.test` and its like must not pass for a name.
                        let good = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
                        !label.is_empty() && !label.starts_with('.') && label.bytes().all(good)
                    })
            }
        }
    }
}

/// The page's origin, as a browser says it. Of two lines neither is one: no browser sends them, and whoever reads the other one would judge
/// another page.
pub fn origin(headers: &HeaderMap) -> Option<&HeaderValue> {
    single(headers, &header::ORIGIN)
}

fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none())
}

/// What a browser that asks first wants to send, if this is such a question.
pub fn preflight(method: &Method, headers: &HeaderMap) -> Option<Method> {
    if *method != Method::OPTIONS || !headers.contains_key(header::ORIGIN) {
        return None;
    }
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    Method::from_bytes(wanted.as_bytes()).ok()
}

impl Cors {
    /// Takes what the upstream said of the matter out of an answer and says it anew, for the origin that asked.
    pub fn answer(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        for name in &ABOUT_ORIGINS {
            headers.remove(name);
        }
        self.vary(headers);
        let Some(allowed) = self.allowed(origin) else {
            return;
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        if let Some(names) = list(self.expose.iter().map(HeaderName::as_str)) {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, names);
        }
    }

    /// What a preflight is told beside [`Cors::answer`]; `None`: its origin is not let in, or it may not send that.
    pub fn preflight(&self, asked: &HeaderMap) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let wanted = single(asked, &header::ACCESS_CONTROL_REQUEST_METHOD)
            .and_then(|wanted| Method::from_bytes(wanted.as_bytes()).ok());
        let simple = [Method::GET, Method::HEAD, Method::POST];
        let may =
            wanted.is_some_and(|wanted| simple.contains(&wanted) || self.methods.contains(&wanted));
        if !may || self.allowed(origin(asked)).is_none() {
            return None;
        }
        let mut told = vec![(
            header::ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from(self.max_age.as_secs()),
        )];
        if let Some(methods) = list(self.methods.iter().map(Method::as_str)) {
            told.push((header::ACCESS_CONTROL_ALLOW_METHODS, methods));
        }
        if let Some(names) = list(self.headers.iter().map(HeaderName::as_str)) {
            told.push((header::ACCESS_CONTROL_ALLOW_HEADERS, names));
        }
        Some(told)
    }

    /// Whether requests that a page of this origin sends with the user's cookies are meant to come: who may read what they bring may also
    /// send them.
    pub fn trusts(&self, origin: Option<&HeaderValue>) -> bool {
        self.credentials && self.allowed(origin).is_some()
    }

    /// The value of Access-Control-Allow-Origin. A wildcard for everybody, so that caches may share it; an origin only by itself.
    fn allowed(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        let origin = origin?;
        let text = origin.to_str().ok()?;
        let by = self.origins.iter().find(|allowed| allowed.lets_in(text))?;
        Some(match by {
            Origin::Any => HeaderValue::from_static("*"),
            Origin::Exact(_) | Origin::Below { .. } => origin.clone(),
        })
    }

    /// A cache must not give one site's answer to another's page, nor the answer to no page to any.
    fn vary(&self, headers: &mut HeaderMap) {
        let same_for_all = self.origins == [Origin::Any];
        let said = headers.get_all(header::VARY).iter().any(|line| {
            line.as_bytes().split(|b| *b == b',').any(|member| {
                let member = member.trim_ascii();
                member == b"*" || member.eq_ignore_ascii_case(b"origin")
            })
        });
        if !same_for_all && !said {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
    }
}

fn list<'n>(names: impl Iterator<Item = &'n str>) -> Option<HeaderValue> {
    let names: Vec<&str> = names.collect();
    (!names.is_empty()).then(|| HeaderValue::from_str(&names.join(", ")).expect("names are tokens"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str], credentials: bool) -> Cors {
        Cors {
            origins: origins.iter().map(|o| Origin::parse(o).unwrap()).collect(),
            methods: vec![Method::POST, Method::DELETE],
            headers: vec![header::CONTENT_TYPE, header::AUTHORIZATION],
            expose: vec![header::RETRY_AFTER],
            credentials,
            max_age: Duration::from_secs(600),
        }
    }

    fn answered(cors: &Cors, origin: &str, upstream: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in upstream {
            headers.append(name, HeaderValue::from_static(value));
        }
        cors.answer(Some(&HeaderValue::from_str(origin).unwrap()), &mut headers);
        headers
    }

    #[test]
    fn an_origin_is_let_in_because_it_is_named() {
        let listed = cors(
            &[
                "https://app.test",
                "https://*.drmigrate.com",
                "http://localhost:3000",
                "https://Other.test:443",
            ],
            true,
        );
        for (origin, lets_in) in [
            ("https://app.test", true),
            ("https://APP.test", true),
            ("https://other.test", true),
            ("http://localhost:3000", true),
            ("https://a.drmigrate.com", true),
            ("https://a.b.drmigrate.com", true),
            ("http://app.test", false),
            ("https://app.test:8443", false),
            ("https://app.test.evil.test", false),
            ("https://app.test/", false),
            ("https://sub.app.test", false),
            ("http://localhost", false),
            ("https://drmigrate.com", false),
            ("http://a.drmigrate.com", false),
            ("https://evildrmigrate.com", false),
            ("https://.drmigrate.com", false),
            ("https://a.drmigrate.com:8443", false),
            ("https://a.drmigrate.com.evil.test", false),
            ("https://evil.test/.drmigrate.com", false),
            ("https://evil.test#.drmigrate.com", false),
            ("https://u@a.drmigrate.com", false),
            ("null", false),
            ("*", false),
            ("", false),
        ] {
            let headers = answered(&listed, origin, &[]);
            let told = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(told.is_some(), lets_in, "{origin}");
            assert!(told.is_none_or(|told| told == origin), "{origin}");
            assert_eq!(
                headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS),
                lets_in
            );
            assert_eq!(headers[header::VARY], "Origin", "{origin}");
        }
    }

    #[test]
    fn everybody_is_told_so_without_repeating_them() {
        let headers = answered(&cors(&["*"], false), "https://any.test", &[]);
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!headers.contains_key(header::VARY));
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        assert!(answered(&cors(&["*"], false), "null", &[]).is_empty());
    }

    #[test]
    fn what_an_upstream_says_of_it_is_replaced() {
        let headers = answered(
            &cors(&["https://app.test"], false),
            "https://evil.test",
            &[
                (header::ACCESS_CONTROL_ALLOW_ORIGIN, "https://evil.test"),
                (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
                (header::VARY, "Accept, origin"),
            ],
        );
        assert_eq!(headers.len(), 1, "{headers:?}");
        assert_eq!(headers[header::VARY], "Accept, origin");
        let headers = answered(
            &cors(&["https://app.test"], false),
            "https://app.test",
            &[(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")],
        );
        let told: Vec<_> = headers
            .get_all(header::ACCESS_CONTROL_ALLOW_ORIGIN)
            .iter()
            .collect();
        assert_eq!(told, ["https://app.test"]);
        assert_eq!(
            headers[header::ACCESS_CONTROL_EXPOSE_HEADERS],
            "retry-after"
        );
    }

    #[test]
    fn a_preflight_is_told_what_may_be_sent() {
        let listed = cors(&["https://app.test"], true);
        let asked = |origin: &'static str, method: &'static str| {
            let mut asked = HeaderMap::new();
            asked.insert(header::ORIGIN, HeaderValue::from_static(origin));
            asked.insert(
                header::ACCESS_CONTROL_REQUEST_METHOD,
                HeaderValue::from_static(method),
            );
            asked
        };
        let told = listed
            .preflight(&asked("https://app.test", "DELETE"))
            .unwrap();
        let told: HeaderMap = told.into_iter().collect();
        assert_eq!(told[header::ACCESS_CONTROL_ALLOW_METHODS], "POST, DELETE");
        assert_eq!(
            told[header::ACCESS_CONTROL_ALLOW_HEADERS],
            "content-type, authorization"
        );
        assert_eq!(told[header::ACCESS_CONTROL_MAX_AGE], "600");
        for (origin, method) in [
            ("https://app.test", "PUT"),
            ("https://app.test", "delete"),
            ("https://evil.test", "DELETE"),
            ("null", "DELETE"),
        ] {
            assert_eq!(
                listed.preflight(&asked(origin, method)),
                None,
                "{origin} {method}"
            );
        }
    }

    #[test]
    fn only_options_with_both_headers_is_a_question() {
        let mut asked = HeaderMap::new();
        asked.insert(
            header::ACCESS_CONTROL_REQUEST_METHOD,
            HeaderValue::from_static("PUT"),
        );
        assert_eq!(preflight(&Method::OPTIONS, &asked), None);
        asked.insert(header::ORIGIN, HeaderValue::from_static("https://a.test"));
        assert_eq!(preflight(&Method::OPTIONS, &asked), Some(Method::PUT));
        assert_eq!(preflight(&Method::GET, &asked), None);
    }

    #[test]
    fn what_is_no_origin() {
        for text in [
            "",
            "app.test",
            "ftp://a.test",
            "https://",
            "https://*",
            "https://*.",
            "https://a.test/",
            "https://a.test:0",
            "https://a.test:x",
            "https://a*.test",
            "https://[::1",
            "null",
            "https://*.[::1]",
            "https://a b",
            "https://u@a.test",
            "https://.a.test",
        ] {
            assert_eq!(Origin::parse(text), Err(OriginError), "{text:?}");
        }
        assert!(Origin::parse("https://[::1]:8443").is_ok());
    }
}
