//! The path of a rule: what it matches and what its wildcards caught. Which of several matching patterns wins is for the table to say.

use std::{borrow::Cow, fmt};

use crate::{
    escape,
    path::{NormalPath, PathError},
};

/// A path with wildcards, as in `/chat/copilotkit-api/agent/*/run`.
///
/// - `*` as a whole segment matches one segment that is not empty.
/// - `*` as the last segment matches the rest of the path, none included: `/a/*` matches `/a`, `/a/` and `/a/b/c`, and `/*` everything.
/// - Everything else is literal, and `/a` does not match `/a/`. A literal `*` is written `%2A`.
///
/// Segments are compared with every escape undone, so a rule for `/a(b)` covers `/a%28b%29`, which an upstream would take for the same
/// page. They are compared case-sensitively unless made [without case](Pattern::without_case): in front of an upstream that ignores case
/// (IIS), a rule that protects `/admin` would leave `/ADMIN` to the next rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    segments: Box<[Segment]>,
    /// Whether it ends in `/*`.
    rest: bool,
    /// Whether case does not count.
    caseless: bool,
}

/// One segment of a pattern, the final wildcard aside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Segment {
    Literal(Literal),
    Any,
}

/// Text that a segment must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Literal {
    /// In normal form, for writing paths.
    pub(crate) text: Box<str>,
    /// With every escape undone, and where case does not count in the form that says so: for comparing.
    pub(crate) bytes: Box<[u8]>,
}

/// What the wildcards of a pattern stood for in one path.
#[derive(Debug)]
pub(crate) struct Captures<'p> {
    /// One segment for each `*`, in order.
    pub(crate) any: Vec<&'p str>,
    /// What the final `/*` matched, without its leading slash; `None` for the bare form.
    pub(crate) rest: Option<&'p str>,
}

impl Pattern {
    /// Reads a pattern from the configuration.
    ///
    /// # Errors
    /// When it does not start with `/`, has an empty or a dot segment, a `*` beside other text, or text that no [`NormalPath`] has.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (body, rest) = match text.strip_suffix("/*") {
            Some(body) => (body, true),
            None => (text, false),
        };
        if rest && body.is_empty() {
            return Ok(Self {
                segments: Box::default(),
                rest,
                caseless: false,
            });
        }
        let relative = body.strip_prefix('/').ok_or(PatternError::NotAbsolute)?;
        let mut segments = Vec::new();
        let mut parts = relative.split('/').peekable();
        while let Some(part) = parts.next() {
            let may_be_empty = !rest && parts.peek().is_none();
            segments.push(match part {
                "*" => Segment::Any,
                "" if may_be_empty => Segment::Literal(Literal::new("")),
                "" => return Err(PatternError::EmptySegment),
                _ if part.contains('*') => return Err(PatternError::PartialWildcard),
                _ => Segment::Literal(Literal::parse(part)?),
            });
        }
        Ok(Self {
            segments: segments.into(),
            rest,
            caseless: false,
        })
    }

    /// The same, comparing letters without regard to their case.
    #[must_use]
    pub fn without_case(mut self) -> Self {
        for segment in &mut self.segments {
            if let Segment::Literal(literal) = segment {
                literal.bytes = escape::caseless(&literal.bytes).into();
            }
        }
        self.caseless = true;
        self
    }

    /// Whether the path is meant.
    pub fn matches(&self, path: &NormalPath<'_>) -> bool {
        self.captures(path).is_some()
    }

    /// The path up to the first wildcard: `/chat` of `/chat/*`, `/` of `/*`, and all of a pattern without one.
    pub fn literal_prefix(&self) -> String {
        let mut prefix = String::new();
        for segment in &self.segments {
            let Segment::Literal(literal) = segment else {
                break;
            };
            prefix.push('/');
            prefix.push_str(&literal.text);
        }
        if prefix.is_empty() {
            "/".to_owned()
        } else {
            prefix
        }
    }

    pub(crate) fn captures<'p>(&self, path: &'p NormalPath<'_>) -> Option<Captures<'p>> {
        let mut any = Vec::new();
        let mut left = Some(&path.as_str()[1..]);
        for expected in &self.segments {
            let (segment, after) = split(left?);
            match expected {
                Segment::Any if segment.is_empty() => return None,
                Segment::Any => any.push(segment),
                Segment::Literal(literal)
                    if *compared(segment, self.caseless) != *literal.bytes =>
                {
                    return None;
                }
                Segment::Literal(_) => {}
            }
            left = after;
        }
        (self.rest || left.is_none()).then_some(Captures { any, rest: left })
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(crate) fn is_caseless(&self) -> bool {
        self.caseless
    }

    pub(crate) fn has_rest(&self) -> bool {
        self.rest
    }
}

/// As the configuration would write it, in normal form.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => write!(f, "/{}", literal.text)?,
                Segment::Any => f.write_str("/*")?,
            }
        }
        f.write_str(if self.rest { "/*" } else { "" })
    }
}

impl Literal {
    fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            bytes: match escape::decoded(text) {
                Cow::Borrowed(bytes) => bytes.into(),
                Cow::Owned(bytes) => bytes.into(),
            },
        }
    }

    fn parse(part: &str) -> Result<Self, PatternError> {
        let part = format!("/{part}");
        let normal = match NormalPath::parse(&part) {
            Err(PathError::AboveRoot) => return Err(PatternError::DotSegment),
            other => other?,
        };
        match &normal.as_str()[1..] {
            "" => Err(PatternError::DotSegment),
            text => Ok(Self::new(text)),
        }
    }
}

/// A segment in the form in which it is compared.
pub(crate) fn compared(segment: &str, caseless: bool) -> Cow<'_, [u8]> {
    match escape::decoded(segment) {
        decoded if !caseless => decoded,
        Cow::Borrowed(bytes) => escape::caseless(bytes),
        Cow::Owned(bytes) => Cow::Owned(escape::caseless(&bytes).into_owned()),
    }
}

/// The first segment, and what follows its slash if there is one.
pub(crate) fn split(left: &str) -> (&str, Option<&str>) {
    // By bytes: the standard library's search for a letter is made for long texts.
    match left.bytes().position(|byte| byte == b'/') {
        Some(at) => (&left[..at], Some(&left[at + 1..])),
        None => (left, None),
    }
}

/// Why the path of a rule cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Does not start with `/`.
    #[error("a path starts with `/`")]
    NotAbsolute,
    /// `//`: no normal path has it.
    #[error("`//` never occurs in a path once it is normalised")]
    EmptySegment,
    /// `.` or `..`: no normal path has it.
    #[error("`.` and `..` never occur in a path once it is normalised")]
    DotSegment,
    /// A `*` that is not a whole segment.
    #[error(
        "`*` stands for a whole segment, or at the end for the rest; a literal one is written `%2A`"
    )]
    PartialWildcard,
    /// Text that every request would be refused for.
    #[error(transparent)]
    Path(#[from] PathError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matches() {
        for (pattern, yes, no) in [
            ("/", &["/", "//", "/a/.."][..], &["/a"][..]),
            ("/*", &["/", "/a", "/a/b/"], &[]),
            ("/a", &["/a", "/%61"], &["/", "/a/", "/ab", "/A"]),
            ("/a/", &["/a/", "/a/."], &["/a", "/a/b"]),
            (
                "/a/*",
                &["/a", "/a/", "/a/b/c", "/a//b"],
                &["/", "/ab", "/b/a"],
            ),
            (
                "/a/*/b",
                &["/a/x/b", "/a/%20/b"],
                &["/a/b", "/a//b", "/a/x/y/b", "/a/x/b/", "/a/x"],
            ),
            ("/*/b", &["/x/b"], &["/b", "/x"]),
            ("/*/*", &["/x", "/x/", "/x/y/z"], &["/"]),
            ("/a(b)", &["/a(b)", "/a%28b%29"], &["/a%2528b)"]),
            ("/a%28b)", &["/a(b)"], &[]),
            ("/%2A", &["/*", "/%2a"], &["/a"]),
            (
                "/chat/copilotkit-api/*",
                &["/chat/copilotkit-api", "/chat/copilotkit-api/x"],
                &["/chat/copilotkit-apiX"],
            ),
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            let matches = |raw: &&str| parsed.matches(&NormalPath::parse(raw).unwrap());
            assert!(yes.iter().all(matches), "{pattern} {yes:?}");
            assert!(!no.iter().any(matches), "{pattern} {no:?}");
        }
    }

    #[test]
    fn refused() {
        for (text, error) in [
            ("", PatternError::NotAbsolute),
            ("*", PatternError::NotAbsolute),
            ("a/*", PatternError::NotAbsolute),
            ("/a//b", PatternError::EmptySegment),
            ("//*", PatternError::EmptySegment),
            ("/a//*", PatternError::EmptySegment),
            ("/a/../b", PatternError::DotSegment),
            ("/./*", PatternError::DotSegment),
            ("/%2e%2E", PatternError::DotSegment),
            ("/a*", PatternError::PartialWildcard),
            ("/*.js", PatternError::PartialWildcard),
            ("/a/**", PatternError::PartialWildcard),
            ("/a?b", PatternError::Path(PathError::Delimiter)),
            ("/a%2fb", PatternError::Path(PathError::EncodedSlash)),
            ("/caf\u{e9}", PatternError::Path(PathError::NonAscii)),
        ] {
            assert_eq!(Pattern::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn written_as_read() {
        for (text, prefix) in [
            ("/", "/"),
            ("/*", "/"),
            ("/a", "/a"),
            ("/a/", "/a/"),
            ("/a/*", "/a"),
            ("/a/*/b", "/a"),
            ("/*/b", "/"),
            ("/a/b%20c/*", "/a/b%20c"),
        ] {
            let pattern = Pattern::parse(text).unwrap();
            assert_eq!(pattern.to_string(), text);
            assert_eq!(pattern.literal_prefix(), prefix, "{text}");
        }
    }
}
