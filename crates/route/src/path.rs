//! The one form of a path that routing, authentication and forwarding share, and the paths that have no such form.
//! A path that two programs could read in two ways is refused here rather than guessed at. Query strings never come this far.

use std::{borrow::Cow, fmt};

use crate::escape;

/// A path in normal form: starts with `/`, dot segments resolved, `//` merged, unreserved characters unescaped, every other
/// escape in upper case, characters that RFC 3986 does not allow (`"<>^{|}` and backtick, which clients send all the same) escaped.
///
/// Still percent-encoded text, so it can go into a request line as it is. Its segments compare with patterns fully decoded. Borrowed from the
/// target where that is in this form already.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NormalPath<'p>(Cow<'p, str>);

impl<'p> NormalPath<'p> {
    /// Normalises the path of a request target, without its query.
    ///
    /// Slashes are merged before dot segments are resolved, as nginx does: `/a//../b` is `/b`.
    ///
    /// # Errors
    /// Whatever could mean something else further on; each kind is a [`PathError`].
    pub fn parse(raw: &'p str) -> Result<Self, PathError> {
        if is_normal(raw.as_bytes()) {
            return Ok(Self(raw.into()));
        }
        resolve(raw).map(|text| Self(text.into()))
    }

    /// The text, percent-encoded.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NormalPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a path is refused. The answer is 400 for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Does not start with `/`.
    #[error("the path does not start with a slash")]
    NotAbsolute,
    /// A `%` without two hexadecimal digits.
    #[error("the path has a broken percent escape")]
    BadEscape,
    /// `%2F`: a separator to some upstreams and text to others.
    #[error("the path has an escaped slash")]
    EncodedSlash,
    /// `\` or `%5C`: a separator on Windows.
    #[error("the path has a backslash")]
    Backslash,
    /// A control byte, escaped or not.
    #[error("the path has a control character")]
    Control,
    /// A space or `#` or `?`, none of which can be part of a path.
    #[error("the path has a character that ends a path")]
    Delimiter,
    /// A byte above 127 that is not escaped.
    #[error("the path has a byte outside ASCII that is not escaped")]
    NonAscii,
    /// An escaped byte sequence that lax decoders read as an ASCII character (`%C0%AF` as `/`).
    #[error("the path has an overlong encoding")]
    Overlong,
    /// `..;x`: a dot segment to servlet containers and text to others.
    #[error("the path has a dot segment with a parameter")]
    DotParameter,
    /// More `..` than segments before them.
    #[error("the path climbs above the root")]
    AboveRoot,
}

impl PathError {
    /// For logs and metric labels.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotAbsolute => "path_not_absolute",
            Self::BadEscape => "path_bad_escape",
            Self::EncodedSlash => "path_encoded_slash",
            Self::Backslash => "path_backslash",
            Self::Control => "path_control",
            Self::Delimiter => "path_delimiter",
            Self::NonAscii => "path_non_ascii",
            Self::Overlong => "path_overlong",
            Self::DotParameter => "path_dot_parameter",
            Self::AboveRoot => "path_above_root",
        }
    }
}

/// True for most real paths, after one pass: nothing but plain bytes, no empty segment and none that starts with a dot.
fn is_normal(raw: &[u8]) -> bool {
    let Some((b'/', rest)) = raw.split_first() else {
        return false;
    };
    let mut after_slash = true;
    rest.iter().all(|&byte| {
        let fits = match byte {
            b'/' | b'.' => !after_slash,
            _ => escape::is_plain(byte),
        };
        after_slash = byte == b'/';
        fits
    })
}

fn resolve(raw: &str) -> Result<String, PathError> {
    let Some(relative) = raw.strip_prefix('/') else {
        return Err(PathError::NotAbsolute);
    };
    // Ends with a slash before each turn. A last segment that vanishes leaves that slash: `/a/.` is `/a/` (RFC 3986 5.2.4).
    let mut out = String::with_capacity(raw.len() + 8);
    out.push('/');
    let mut segments = relative.split('/').peekable();
    while let Some(segment) = segments.next() {
        let start = out.len();
        push_segment(segment, &mut out)?;
        match &out[start..] {
            "" => {}
            "." => out.truncate(start),
            ".." => {
                let parent = out[..start - 1].rfind('/').ok_or(PathError::AboveRoot)?;
                out.truncate(parent + 1);
            }
            dots if has_parameter(dots) => return Err(PathError::DotParameter),
            _ if segments.peek().is_some() => out.push('/'),
            _ => {}
        }
    }
    Ok(out)
}

/// Appends a segment in normal form, dots still unresolved.
fn push_segment(segment: &str, out: &mut String) -> Result<(), PathError> {
    let bytes = segment.as_bytes();
    let mut at = 0;
    let mut previous = None; // the byte before, if it was escaped
    while let Some(&byte) = bytes.get(at) {
        if byte == b'%' {
            let meant = escape::decode(&bytes[at..]).ok_or(PathError::BadEscape)?;
            check_escaped(meant, previous)?;
            if escape::is_unreserved(meant) {
                out.push(char::from(meant));
            } else {
                escape::encode(meant, out);
            }
            previous = Some(meant);
            at += 3;
        } else {
            match byte {
                b'\\' => return Err(PathError::Backslash),
                b' ' | b'#' | b'?' => return Err(PathError::Delimiter),
                0..=0x1f | 0x7f => return Err(PathError::Control),
                0x80.. => return Err(PathError::NonAscii),
                _ if escape::is_plain(byte) => out.push(char::from(byte)),
                _ => escape::encode(byte, out),
            }
            previous = None;
            at += 1;
        }
    }
    Ok(())
}

fn check_escaped(byte: u8, previous: Option<u8>) -> Result<(), PathError> {
    match (previous, byte) {
        (_, b'/') => Err(PathError::EncodedSlash),
        (_, b'\\') => Err(PathError::Backslash),
        (_, 0..=0x1f | 0x7f) => Err(PathError::Control),
        // UTF-8 never has C0 or C1, nor E0 and F0 before these (RFC 3629 4). Other invalid UTF-8 is let through: paths in Latin-1 exist.
        (_, 0xc0 | 0xc1) | (Some(0xe0), 0x80..=0x9f) | (Some(0xf0), 0x80..=0x8f) => {
            Err(PathError::Overlong)
        }
        _ => Ok(()),
    }
}

/// `.;x` and `..;x`, the semicolon escaped or not. Other parameters are plain text, to the upstream as well.
fn has_parameter(segment: &str) -> bool {
    let after = segment
        .strip_prefix("..")
        .or_else(|| segment.strip_prefix('.'));
    after.is_some_and(|after| after.starts_with(';') || after.starts_with("%3B"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_form() {
        for (raw, normal) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("/a;x=1/b", "/a;x=1/b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/..b/.c", "/a/..b/.c"),
            ("//chat//backend///x", "/chat/backend/x"),
            ("///", "/"),
            ("/chat/./backend", "/chat/backend"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/a/..", "/"),
            ("/a//../b", "/b"),
            ("/chat/_next/../admin", "/chat/admin"),
            ("/chat/_next/%2e%2e/admin", "/chat/admin"),
            ("/chat/_next/.%2E/admin", "/chat/admin"),
            ("/%61%7Eb", "/a~b"),
            ("/a%2b%c3%a9", "/a%2B%C3%A9"),
            ("/a%252fb", "/a%252fb"),
            ("/caf%E9", "/caf%E9"),
            ("/{a}|<b>^`\"", "/%7Ba%7D%7C%3Cb%3E%5E%60%22"),
            ("/a%20b", "/a%20b"),
            ("/%3f%23", "/%3F%23"),
        ] {
            assert_eq!(
                NormalPath::parse(raw).as_ref().map(NormalPath::as_str),
                Ok(normal),
                "{raw}"
            );
        }
    }

    #[test]
    fn refused() {
        for (raw, error) in [
            ("", PathError::NotAbsolute),
            ("admin", PathError::NotAbsolute),
            ("*", PathError::NotAbsolute),
            ("%2Fadmin", PathError::NotAbsolute),
            ("/%zz", PathError::BadEscape),
            ("/a%", PathError::BadEscape),
            ("/a%4", PathError::BadEscape),
            ("/%u002f", PathError::BadEscape),
            ("/chat/_next/%2e%2e%2fadmin", PathError::EncodedSlash),
            ("/chat/_next/..%2Fadmin", PathError::EncodedSlash),
            ("/chat/_next/..%5cadmin", PathError::Backslash),
            ("/chat/_next\\..\\admin", PathError::Backslash),
            ("/chat/%00", PathError::Control),
            ("/chat/%0d%0aX:y", PathError::Control),
            ("/a%7f", PathError::Control),
            ("/a\tb", PathError::Control),
            ("/a b", PathError::Delimiter),
            ("/a#b", PathError::Delimiter),
            ("/a?b", PathError::Delimiter),
            ("/caf\u{e9}", PathError::NonAscii),
            ("/%c0%ae%c0%ae/admin", PathError::Overlong),
            ("/..%e0%80%af", PathError::Overlong),
            ("/..%f0%80%80%af", PathError::Overlong),
            ("/chat/_next/..;/admin", PathError::DotParameter),
            ("/a/.;x/b", PathError::DotParameter),
            ("/a/..;", PathError::DotParameter),
            ("/a/%2e%2e;x/b", PathError::DotParameter),
            ("/a/..%3b/b", PathError::DotParameter),
            ("/..", PathError::AboveRoot),
            ("/../a", PathError::AboveRoot),
            ("/a/../../b", PathError::AboveRoot),
            ("//../a", PathError::AboveRoot),
        ] {
            assert_eq!(NormalPath::parse(raw), Err(error), "{raw}");
        }
    }

    /// Strings that are likely to hit the rules, which random text is not.
    fn tricky() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("/"),
            Just("//"),
            Just("."),
            Just(".."),
            Just("%2e"),
            Just("%2E"),
            Just("%2f"),
            Just("%5c"),
            Just(";"),
            Just("%3b"),
            Just("%25"),
            Just("a"),
            Just("%41"),
            Just("%c3%a9"),
            Just("%"),
            Just("{"),
            Just("*"),
            Just("%2a"),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #[test]
        fn never_panics(raw in any::<String>()) {
            let _ = NormalPath::parse(&raw);
        }

        #[test]
        fn parsing_again_changes_nothing(raw in tricky()) {
            if let Ok(path) = NormalPath::parse(&raw) {
                prop_assert_eq!(NormalPath::parse(path.as_str()), Ok(path.clone()));
            }
        }

        #[test]
        fn nothing_is_left_to_resolve(raw in tricky()) {
            if let Ok(path) = NormalPath::parse(&raw) {
                let text = path.as_str();
                prop_assert!(text.starts_with('/') && !text.contains("//"), "{}", text);
                for segment in text.split('/') {
                    let decoded = escape::decoded(segment);
                    prop_assert!(!matches!(&*decoded, b"." | b".."), "{}", text);
                    prop_assert!(!decoded.contains(&b'/') && !decoded.contains(&b'\\'), "{}", text);
                    prop_assert!(!decoded.starts_with(b"..;") && !decoded.starts_with(b".;"), "{}", text);
                }
            }
        }

        /// The shortcut for paths that are normal already never disagrees with the rules.
        #[test]
        fn the_fast_scan_is_honest(raw in tricky()) {
            if is_normal(raw.as_bytes()) {
                prop_assert_eq!(resolve(&raw), Ok(raw));
            }
        }
    }
}
