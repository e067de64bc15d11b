//! The Cookie header, read for one credential. Browsers, System.Web, ASP.NET Core and weir differ on which of two cookies
//! with one name counts, so a name that any of them could read twice refuses the request.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use cookie::Cookie;
use http::{HeaderMap, HeaderValue, header};

use crate::{Denied, Withheld};

/// One credential's cookies: the one of its name, and the chunks `NAMEC1`, `NAMEC2`, ….
#[derive(Debug)]
pub(crate) struct Cookies<'n> {
    name: &'n str,
    values: HashMap<String, String>,
    /// Whether the name came, but only in a spelling that some other reader would take for it.
    disguised: bool,
}

impl<'n> Cookies<'n> {
    /// Several Cookie fields (HTTP/2 sends crumbs) are one text. A sibling domain can add a cookie of the same name with a
    /// narrower path, and the header does not say which is whose: [`Denied::DuplicateCookie`].
    pub(crate) fn read(headers: &HeaderMap, name: &'n str) -> Result<Self, Denied> {
        let lines: Vec<Cow<'_, str>> = headers
            .get_all(header::COOKIE)
            .iter()
            .map(|line| String::from_utf8_lossy(line.as_bytes()))
            .collect();
        let text = lines.join("; ");

        let lower = name.to_ascii_lowercase();
        let mut seen = HashSet::new();
        for spelling in text.split(';').flat_map(spellings) {
            for spelling in [Some(Cow::Borrowed(spelling)), percent_decoded(spelling)]
                .into_iter()
                .flatten()
            {
                let spelling = spelling.trim().to_ascii_lowercase();
                if belongs(&spelling, &lower) && !seen.insert(spelling) {
                    return Err(Denied::DuplicateCookie);
                }
            }
        }
        let values: HashMap<String, String> = Cookie::split_parse(text.as_str())
            .flatten()
            .filter(|cookie| belongs(cookie.name(), name))
            .map(|cookie| (cookie.name().to_owned(), cookie.value().to_owned()))
            .collect();
        let disguised = seen.contains(&lower) && !values.contains_key(name);
        Ok(Self {
            name,
            values,
            disguised,
        })
    }

    /// The cookie's own value; [`Denied::Malformed`] for one that only another reader would find.
    pub(crate) fn value(&self) -> Result<Option<&str>, Denied> {
        if self.disguised {
            return Err(Denied::Malformed);
        }
        Ok(self.values.get(self.name).map(String::as_str))
    }

    /// The value of one chunk, counted from 1.
    pub(crate) fn part(&self, number: usize) -> Option<&str> {
        self.values
            .get(&format!("{}C{number}", self.name))
            .map(String::as_str)
    }
}

/// Takes these cookies and their chunks out of what goes on, in every spelling that somebody might read: to whoever is not their own application,
/// a model's server say, they are somebody's session.
pub fn withhold_cookies(headers: &HeaderMap, names: &[&str], withheld: &mut Withheld) {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs: Vec<&[u8]> = lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .collect();
    let names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let kept: Vec<&[u8]> = pairs
        .iter()
        .filter(|pair| !names.iter().any(|name| is_named(pair, name)))
        .map(|pair| pair.trim_ascii())
        .collect();
    if kept.len() < pairs.len() {
        withheld.header(header::COOKIE);
        // Pieces of what was a value, with what may stand in one between them.
        withheld.cookies = HeaderValue::from_bytes(&kept.join(&b"; "[..]))
            .ok()
            .filter(|line| !line.is_empty());
    }
}

/// Whether somebody might see this name, or that of a chunk, in what stands between two semicolons.
fn is_named(pair: &[u8], lower: &str) -> bool {
    let pair = String::from_utf8_lossy(pair);
    spellings(&pair).any(|spelling| {
        let decoded = percent_decoded(spelling);
        let mut both = [Some(Cow::Borrowed(spelling)), decoded]
            .into_iter()
            .flatten();
        both.any(|spelling| belongs(&spelling.trim().to_ascii_lowercase(), lower))
    })
}

/// Whether a cookie can have this name (RFC 6265, 4.1.1: a token).
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_token)
}

/// Every name that somebody might see between two semicolons. ASP.NET Core also splits at commas, and skips what it cannot
/// read one octet at a time; System.Web takes a piece without `=` for a name.
fn spellings(section: &str) -> impl Iterator<Item = &str> {
    let bare = (!section.contains('=')).then_some(section.trim());
    // Our own reader trims what stands before the sign, and by Unicode's idea of blanks.
    let spaced = section.split_once('=').map(|(name, _)| name);
    let spaced = spaced.filter(|name| name.ends_with(char::is_whitespace));
    let octet = |c: char| matches!(c, '!' | '#'..='+' | '-'..=':' | '<'..='[' | ']'..='~');
    let named = section
        .split(move |c| !octet(c))
        .filter_map(|piece| piece.split_once('='));
    let named = named.filter_map(|(name, _)| name.rsplit(|c| !is_token(c)).next());
    bare.into_iter().chain(spaced).chain(named)
}

/// The name itself or that of a chunk. Both sides in one case.
fn belongs(spelling: &str, name: &str) -> bool {
    spelling.strip_prefix(name).is_some_and(|rest| {
        let number = rest.strip_prefix(['C', 'c']);
        rest.is_empty()
            || number.is_some_and(|number| {
                !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
            })
    })
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// `None` where there is nothing to decode. Bad escapes stay as they are.
pub(crate) fn percent_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| str::from_utf8(code).ok());
        match code
            .filter(|_| first == b'%')
            .and_then(|code| u8::from_str_radix(code, 16).ok())
        {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    Some(Cow::Owned(String::from_utf8_lossy(&out).into_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(lines: &[&str]) -> Result<Option<String>, Denied> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(
                header::COOKIE,
                HeaderValue::from_bytes(line.as_bytes()).unwrap(),
            );
        }
        Cookies::read(&headers, ".AspNet.Cookies")?
            .value()
            .map(|value| value.map(str::to_owned))
    }

    #[test]
    fn one_cookie_among_others_is_found() {
        for line in [
            ".AspNet.Cookies=x",
            "a=b; .AspNet.Cookies=x; c",
            "a=\"q;.AspNet.Cookies=x",
            "é=ü;.AspNet.Cookies = x ;;",
            "return=/login?.AspNet.Cookies=1; .AspNet.Cookies=x",
            "json={\".AspNet.Cookies\":1}; .AspNet.Cookies=x",
            ".AspNet.CookiesCsrf=1; .AspNet.CookiesC=2; .AspNet.Cookies2=3; .AspNet.Cookies=x",
        ] {
            assert_eq!(read(&[line]), Ok(Some("x".to_owned())), "{line}");
        }
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["a=.AspNet.Cookies"]), Ok(None));
        assert_eq!(
            read(&["a=b", ".AspNet.Cookies=x", "c=d"]),
            Ok(Some("x".to_owned()))
        );
    }

    #[test]
    fn a_name_that_anybody_could_read_twice_is_refused() {
        for other in [
            ".AspNet.Cookies=y",
            ".aspnet.COOKIES=y",
            "%2eAspNet.Cookie%73=y",
            "%20.AspNet.Cookies=y",
            ".AspNet.Cookies",
            "a=b,.AspNet.Cookies=y",
            "a=b, .aspnet.cookies=y",
            "a=\"b\" .AspNet.Cookies=y",
            "[.AspNet.Cookies=y",
            ".AspNet.Cookies =y",
            ".AspNet.Cookies\t =y",
            ".AspNet.Cookies\u{a0}=y",
            ".aspnet.cookies\u{3000}=y",
            ".AspNet.CookiesC7=1; .AspNet.Cookiesc7=2",
        ] {
            assert_eq!(
                read(&[&format!(".AspNet.Cookies=x; {other}")]),
                Err(Denied::DuplicateCookie),
                "{other}"
            );
            assert_eq!(
                read(&[&format!("{other}; .AspNet.Cookies=x")]),
                Err(Denied::DuplicateCookie),
                "{other}"
            );
            assert_eq!(
                read(&[other, ".AspNet.Cookies=x"]),
                Err(Denied::DuplicateCookie),
                "{other}"
            );
        }
    }

    #[test]
    fn a_disguised_name_alone_is_not_an_absent_one() {
        for alone in [
            ".aspnet.cookies=x",
            "%2EAspNet.Cookies=x",
            "a=b, .AspNet.Cookies=x",
            ".AspNet.Cookies",
        ] {
            assert_eq!(read(&[alone]), Err(Denied::Malformed), "{alone}");
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_tried(text in "[ -~é]{0,200}", escapes in r#"(%[0-9a-f]{0,2}|\.AspNet\.Cookies|[=;,C1"]){0,20}"#) {
            let _ = read(&[&text, &escapes]);
        }
    }

    #[test]
    fn what_is_withheld_is_withheld_in_every_spelling_and_the_rest_goes_on() {
        let left = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(
                    header::COOKIE,
                    HeaderValue::from_bytes(line.as_bytes()).unwrap(),
                );
            }
            let mut withheld = Withheld::default();
            withhold_cookies(&headers, &[".AspNet.Cookies", "session"], &mut withheld);
            assert!(withheld.names.len() <= 1);
            let untouched = withheld.names.is_empty();
            let line = withheld
                .cookies
                .map(|line| line.to_str().unwrap().to_owned());
            (untouched, line)
        };
        assert_eq!(left(&["a=b; sessions=c"]), (true, None));
        assert_eq!(left(&[]), (true, None));
        let rest = (false, Some("a=b; c=d".to_owned()));
        assert_eq!(left(&["a=b; session=x; c=d"]), rest);
        assert_eq!(left(&["a=b", "c=d; Session=x; .aspnet.cookiesC12=y"]), rest);
        assert_eq!(
            left(&["%73ession=x;a=b;session =y;c=d; z, session=w"]),
            rest
        );
        assert_eq!(left(&["session=x; .AspNet.Cookies=y"]), (false, None));
    }
}
