//! Where a browser without a session is sent, and which requests are a browser's. Everything else gets a plain 401: a
//! script that follows a redirect to a login page reads HTML where it expects JSON or events.

use http::{HeaderMap, HeaderName, Method, header};

/// Beyond this a return path is not worth its header line.
const MAX_RETURN: usize = 4 * 1024;
const PLACE: &str = "{path}";

/// Whether this is a navigation: a person waits for a page.
pub fn wants_login(method: &Method, headers: &HeaderMap) -> bool {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return false;
    }
    match headers.get(HeaderName::from_static("sec-fetch-mode")) {
        Some(mode) => mode == "navigate",
        None => headers.get_all(header::ACCEPT).iter().any(|accept| {
            let mut types = accept.as_bytes().split(|byte| matches!(byte, b',' | b';'));
            types.any(|one| one.trim_ascii().eq_ignore_ascii_case(b"text/html"))
        }),
    }
}

/// A login URL such as `/login?returnUrl={path}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    before: String,
    after: Option<String>,
}

/// Why a text is no login URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Neither a path on this host nor an absolute http(s) URL.
    #[error("a login URL begins with one `/`, `https://` or `http://`")]
    Start,
    /// Spaces, controls, backslashes or text beyond ASCII.
    #[error("a login URL is written in visible ASCII, without backslashes")]
    Characters,
    /// In a path or host the encoded path would be read as something else.
    #[error("`{{path}}` stands once, after the `?`")]
    Place,
}

impl Login {
    /// `{path}`, if it occurs, stands in the query.
    pub fn new(template: &str) -> Result<Self, LoginError> {
        let absolute = ["https://", "http://"].iter().any(|scheme| {
            template.strip_prefix(scheme).is_some_and(|rest| {
                rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
            })
        });
        if !absolute && !is_host_relative(template) {
            return Err(LoginError::Start);
        }
        if !template
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        {
            return Err(LoginError::Characters);
        }
        let Some((before, after)) = template.split_once(PLACE) else {
            return Ok(Self {
                before: template.to_owned(),
                after: None,
            });
        };
        if !before.contains('?') || before.contains('#') || after.contains(PLACE) {
            return Err(LoginError::Place);
        }
        Ok(Self {
            before: before.to_owned(),
            after: Some(after.to_owned()),
        })
    }

    /// The Location for a browser that asked for this path and query, in visible ASCII. What is no path on this host, or
    /// too long, is left behind for `/`: a login page that trusts its parameter must not become somebody's signpost.
    pub fn location(&self, path_and_query: &str) -> String {
        let Some(after) = &self.after else {
            return self.before.clone();
        };
        let back = if is_host_relative(path_and_query) && path_and_query.len() <= MAX_RETURN {
            path_and_query
        } else {
            "/"
        };
        let mut location = self.before.clone();
        for byte in back.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    location.push(char::from(byte))
                }
                _ => location.push_str(&format!("%{byte:02X}")),
            }
        }
        location.push_str(after);
        location
    }
}

/// Katana's IsHostRelative, and no control character: browsers drop tabs and newlines, which makes `/\t/evil` `//evil`.
fn is_host_relative(path: &str) -> bool {
    let mut chars = path.chars();
    chars.next() == Some('/')
        && !matches!(chars.next(), Some('/' | '\\'))
        && !path.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_navigation_and_nothing_else_wants_a_login_page() {
        let ask = |method: Method, headers: &[(&'static str, &'static str)]| {
            wants_login(
                &method,
                &headers
                    .iter()
                    .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                    .collect(),
            )
        };
        assert!(ask(Method::GET, &[("sec-fetch-mode", "navigate")]));
        assert!(ask(
            Method::HEAD,
            &[("accept", "application/xml;q=0.9, Text/HTML;q=0.8")]
        ));
        assert!(!ask(
            Method::POST,
            &[("sec-fetch-mode", "navigate"), ("accept", "text/html")]
        ));
        assert!(!ask(
            Method::GET,
            &[("sec-fetch-mode", "cors"), ("accept", "text/html")]
        ));
        assert!(!ask(Method::GET, &[("accept", "text/event-stream")]));
        assert!(!ask(Method::GET, &[("accept", "*/*")]));
        assert!(!ask(Method::GET, &[("accept", "text/html-not")]));
        assert!(!ask(Method::GET, &[]));
    }

    #[test]
    fn the_return_path_is_one_query_value() {
        let login = Login::new("/login?returnUrl={path}&x=1").unwrap();
        assert_eq!(
            login.location("/chat/a b?q=1&r=ü"),
            "/login?returnUrl=%2Fchat%2Fa%20b%3Fq%3D1%26r%3D%C3%BC&x=1"
        );
        for elsewhere in [
            "//evil.test",
            "/\\evil.test",
            "https://evil.test",
            "",
            "/\t/evil.test",
            "/\r\nSet-Cookie: a=b",
        ] {
            assert_eq!(
                login.location(elsewhere),
                "/login?returnUrl=%2F&x=1",
                "{elsewhere:?}"
            );
        }
        assert_eq!(
            login.location(&format!("/{}", "a".repeat(MAX_RETURN))),
            "/login?returnUrl=%2F&x=1"
        );
        assert_eq!(
            Login::new("https://id.test/in").unwrap().location("/chat"),
            "https://id.test/in"
        );
    }

    #[test]
    fn templates_that_lead_astray_are_refused() {
        for (template, error) in [
            ("", LoginError::Start),
            ("login", LoginError::Start),
            ("//evil.test/?r={path}", LoginError::Start),
            ("/\\evil.test/?r={path}", LoginError::Start),
            ("javascript:alert(1)", LoginError::Start),
            ("https://{path}", LoginError::Start),
            ("https:///login", LoginError::Start),
            ("/login here", LoginError::Characters),
            ("/a\\b", LoginError::Characters),
            ("/lögin", LoginError::Characters),
            ("/login/{path}", LoginError::Place),
            ("/login?a={path}&b={path}", LoginError::Place),
            ("/login?a=1#{path}", LoginError::Place),
        ] {
            assert_eq!(Login::new(template), Err(error), "{template}");
        }
    }

    proptest! {
        #[test]
        fn every_location_is_one_header_value_and_adds_no_parameter(path in ".{0,100}") {
            let location = Login::new("/login?r={path}").unwrap().location(&path);
            prop_assert!(location.bytes().all(|byte| byte.is_ascii_graphic()));
            let back = location.strip_prefix("/login?r=%2F").unwrap();
            prop_assert!(!back.contains(['&', '=', '#', '/', '?', '+']) && !back.starts_with("%2F") && !back.starts_with("%5C"));
        }
    }
}
