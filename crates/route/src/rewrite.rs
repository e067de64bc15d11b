//! The path the upstream sees, made from the one the client sent. It stays a normal path: what is cut or put in are whole segments.

use std::borrow::Cow;

use crate::{
    path::NormalPath,
    pattern::{Captures, Pattern, PatternError, Segment},
};

/// From a client's path to an upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite(Change);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Keep,
    /// The pattern is the prefix followed by `/*`; its rest is what remains.
    Strip(Pattern),
    Replace {
        from: Pattern,
        to: Pattern,
    },
}

impl Rewrite {
    /// The path as it is.
    pub const fn keep() -> Self {
        Self(Change::Keep)
    }

    /// Cuts a prefix of whole segments: `/chat/x` makes `/chat/x/run` into `/run`, and both `/chat/x` and `/chat/x/` into `/`.
    /// A path that does not begin with it, `/chat/xy` say, stays as it is.
    ///
    /// # Errors
    /// When the prefix is no path, or has a `*`, which nobody could tell apart from the end of a route's path.
    pub fn strip(prefix: &str) -> Result<Self, RewriteError> {
        if !prefix.starts_with('/') {
            return Err(PatternError::NotAbsolute.into());
        }
        if prefix.contains('*') {
            return Err(RewriteError::StripWildcard);
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        Ok(Self(Change::Strip(Pattern::parse(&format!("{prefix}/*"))?)))
    }

    /// Writes a new path: the n-th `*` of the template receives what the n-th `*` of the pattern matched, and a final `/*` what the
    /// pattern's final `/*` matched. A path that the pattern does not match stays as it is.
    ///
    /// # Errors
    /// When the template is no pattern, or asks for more than the pattern catches.
    pub fn replace(template: &str, pattern: &Pattern) -> Result<Self, RewriteError> {
        let to = Pattern::parse(template)?;
        let wildcards = |pattern: &Pattern| {
            pattern
                .segments()
                .iter()
                .filter(|segment| **segment == Segment::Any)
                .count()
        };
        if wildcards(&to) > wildcards(pattern) {
            return Err(RewriteError::Wildcards);
        }
        if to.has_rest() && !pattern.has_rest() {
            return Err(RewriteError::Rest);
        }
        Ok(Self(Change::Replace {
            from: pattern.clone(),
            to,
        }))
    }

    /// The same, where the case of a path does not count; what is kept of it keeps its case.
    #[must_use]
    pub fn without_case(self) -> Self {
        Self(match self.0 {
            Change::Keep => Change::Keep,
            Change::Strip(prefix) => Change::Strip(prefix.without_case()),
            Change::Replace { from, to } => Change::Replace {
                from: from.without_case(),
                to,
            },
        })
    }

    /// The upstream's path; borrowed unless it had to be written anew.
    pub fn apply<'a>(&self, path: &'a NormalPath<'_>) -> Cow<'a, str> {
        let text = path.as_str();
        match &self.0 {
            Change::Keep => Cow::Borrowed(text),
            Change::Strip(prefix) => Cow::Borrowed(match prefix.captures(path) {
                None => text,
                Some(Captures { rest: None, .. }) => "/",
                Some(Captures {
                    rest: Some(rest), ..
                }) => &text[text.len() - rest.len() - 1..], // with its slash
            }),
            Change::Replace { from, to } => match from.captures(path) {
                None => Cow::Borrowed(text),
                Some(caught) => Cow::Owned(fill(to, &caught)),
            },
        }
    }
}

fn fill(template: &Pattern, caught: &Captures<'_>) -> String {
    let mut any = caught.any.iter().copied();
    let segments = template.segments().iter().map(|segment| match segment {
        Segment::Literal(literal) => &*literal.text,
        Segment::Any => any
            .next()
            .expect("no more wildcards than the pattern has: checked when the template was read"),
    });
    let rest = if template.has_rest() {
        caught.rest
    } else {
        None
    };
    let mut out = String::new();
    for segment in segments.chain(rest) {
        out.push('/');
        out.push_str(segment);
    }
    if out.is_empty() { "/".to_owned() } else { out }
}

/// Why a path cannot be rewritten so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// Not a path.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A prefix with a `*`.
    #[error("a prefix to strip has no `*`; it is cut with or without one after it")]
    StripWildcard,
    /// More `*` than the route's path has.
    #[error("it has more `*` than the path of the route")]
    Wildcards,
    /// A final `/*`, but the route's path has none.
    #[error("it ends in `/*`, but the path of the route does not")]
    Rest,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apply(rewrite: &Rewrite, raw: &str) -> String {
        rewrite.apply(&NormalPath::parse(raw).unwrap()).into_owned()
    }

    #[test]
    fn stripping() {
        for (prefix, path, expected) in [
            ("/chat/x", "/chat/x/run", "/run"),
            ("/chat/x", "/chat/x/a/b/", "/a/b/"),
            ("/chat/x", "/chat/x", "/"),
            ("/chat/x", "/chat/x/", "/"),
            ("/chat/x/", "/chat/x/run", "/run"),
            ("/chat/x", "/chat/xy", "/chat/xy"),
            ("/chat/x", "/chat", "/chat"),
            ("/chat/x", "/chat/x//evil.test/", "/evil.test/"),
            ("/a(b)", "/a%28b%29/c%20d", "/c%20d"),
            ("/", "/a", "/a"),
            ("/", "/", "/"),
        ] {
            assert_eq!(
                apply(&Rewrite::strip(prefix).unwrap(), path),
                expected,
                "{prefix} {path}"
            );
        }
        for (prefix, error) in [
            ("", RewriteError::Pattern(PatternError::NotAbsolute)),
            ("chat", RewriteError::Pattern(PatternError::NotAbsolute)),
            ("/chat//", RewriteError::Pattern(PatternError::EmptySegment)),
            ("/chat/*", RewriteError::StripWildcard),
        ] {
            assert_eq!(Rewrite::strip(prefix), Err(error), "{prefix}");
        }
    }

    #[test]
    fn replacing() {
        for (pattern, template, path, expected) in [
            ("/a/*", "/new/*", "/a/b/c", "/new/b/c"),
            ("/a/*", "/new/*", "/a", "/new"),
            ("/a/*", "/new/*", "/a/", "/new/"),
            ("/a/*", "/*", "/a", "/"),
            ("/a/*", "/*", "/a/b", "/b"),
            ("/a/*", "/fixed", "/a/b", "/fixed"),
            ("/*", "/v1/*", "/", "/v1/"),
            ("/a/*/run", "/agents/*/go", "/a/x/run", "/agents/x/go"),
            (
                "/t/*/u/*/v/*",
                "/*/x/*/y/*",
                "/t/1/u/2/v/3/4",
                "/1/x/2/y/3/4",
            ),
            ("/a/*/b", "/c/*/d", "/a/x%2Ay/b", "/c/x%2Ay/d"),
            ("/a/*", "/new/*", "/other", "/other"),
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            let rewrite = Rewrite::replace(template, &parsed).unwrap();
            assert_eq!(
                apply(&rewrite, path),
                expected,
                "{pattern} {template} {path}"
            );
        }
    }

    #[test]
    fn asking_for_more_than_was_caught() {
        let pattern = Pattern::parse("/a/*/b").unwrap();
        for (template, error) in [
            ("/*/c/*/d", RewriteError::Wildcards),
            ("/c/*", RewriteError::Rest),
            ("c", RewriteError::Pattern(PatternError::NotAbsolute)),
        ] {
            assert_eq!(
                Rewrite::replace(template, &pattern),
                Err(error),
                "{template}"
            );
        }
    }

    proptest! {
        /// An upstream gets nothing that weir itself would refuse or read differently.
        #[test]
        fn what_comes_out_is_normal(raw in "(/|a|b|%20|\\.|%2e){0,12}") {
            let pattern = Pattern::parse("/a/*").unwrap();
            let rewrites = [Rewrite::keep(), Rewrite::strip("/a").unwrap(), Rewrite::replace("/b/*", &pattern).unwrap()];
            if let Ok(path) = NormalPath::parse(&format!("/{raw}")) {
                for rewrite in rewrites {
                    let out = rewrite.apply(&path);
                    let again = NormalPath::parse(&out).unwrap();
                    prop_assert_eq!(again.as_str(), &*out);
                }
            }
        }
    }
}
