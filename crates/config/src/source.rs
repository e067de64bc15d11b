//! One file while it is read: its text, where its references lead, and the mistakes and warnings found so far.
//! Everything that reads holds a reference to it; nothing else collects mistakes.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    ops::Range,
    path::{Path, PathBuf},
};

use crate::{
    env::Env,
    interpolate::{self, Text},
    mistake::{Mistake, Mistakes},
};

/// The file being read.
pub(crate) struct Source<'a> {
    file: &'a Path,
    text: &'a str,
    env: &'a dyn Env,
    /// Lines that are not TOML. What stands there is guesswork of the parser, so no second mistake is reported for them.
    broken: BTreeSet<usize>,
    mistakes: RefCell<Vec<Mistake>>,
    warnings: RefCell<Vec<((usize, usize), String)>>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(
        file: &'a Path,
        text: &'a str,
        env: &'a dyn Env,
        syntax: &[toml::de::Error],
    ) -> Self {
        let mut source = Self {
            file,
            text,
            env,
            broken: BTreeSet::new(),
            mistakes: RefCell::default(),
            warnings: RefCell::default(),
        };
        for error in syntax {
            let span = error.span().unwrap_or_default();
            // One line that is not TOML is one mistake, whatever else the parser trips over in it.
            if source.broken.insert(source.place(span.start).0) {
                source.mistake("", &span, format!("not TOML: {}", error.message()));
            }
        }
        source
    }

    /// Whether the parser recovered the file's shape. A broken table header swallows what follows it, and then every further mistake
    /// would be the first one again; a broken value only costs its own key.
    pub(crate) fn has_shape(&self) -> bool {
        let mut lines = self.text.lines();
        let mut at = 1;
        self.broken.iter().all(|&line| {
            let text = lines.nth(line - at);
            at = line + 1;
            text.is_none_or(|text| !text.trim_start().starts_with('['))
        })
    }

    /// Whether the whole file is TOML. Where it is not, something that seems absent may only be lost.
    pub(crate) fn is_whole(&self) -> bool {
        self.broken.is_empty()
    }

    /// Whether nothing is wrong so far.
    pub(crate) fn is_right(&self) -> bool {
        self.mistakes.borrow().is_empty()
    }

    /// Line and column of a byte, from 1, in characters.
    pub(crate) fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        (line, before[start..].chars().count() + 1)
    }

    pub(crate) fn mistake(&self, key: &str, span: &Range<usize>, message: String) {
        let place = self.place(span.start);
        let message = without_credentials(message);
        if key.is_empty() || !self.broken.contains(&place.0) {
            self.mistakes.borrow_mut().push(Mistake {
                file: self.file.to_owned(),
                place: Some(place),
                key: key.to_owned(),
                message,
            });
        }
    }

    pub(crate) fn warning(&self, key: &str, span: &Range<usize>, message: &str) {
        let (line, column) = self.place(span.start);
        let file = self.file.display();
        let warning = format!("{file}:{line}:{column}: {key}: {message}");
        self.warnings.borrow_mut().push(((line, column), warning));
    }

    /// Fills a string in and records what could not be.
    pub(crate) fn fill(&self, key: &str, span: &Range<usize>, template: &str) -> Option<Text> {
        interpolate::fill(template, self.folder(), self.env)
            .map_err(|unfilled| {
                for why in unfilled {
                    self.mistake(key, span, why.to_string());
                }
            })
            .ok()
    }

    /// A path of the file, seen from the file's own folder.
    pub(crate) fn path(&self, written: &str) -> PathBuf {
        self.folder().join(written)
    }

    /// Where variables and files come from.
    pub(crate) fn env(&self) -> &dyn Env {
        self.env
    }

    pub(crate) fn file(&self) -> &Path {
        self.file
    }

    pub(crate) fn ring(&self, folder: &Path) -> std::io::Result<Vec<(String, String)>> {
        self.env.ring(folder)
    }

    pub(crate) fn has_folder(&self, path: &Path) -> bool {
        self.env.has_folder(path)
    }

    /// In the order of the file.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.take();
        warnings.sort();
        warnings.into_iter().map(|(_, warning)| warning).collect()
    }

    pub(crate) fn into_mistakes(self) -> Option<Mistakes> {
        Mistakes::of(self.mistakes.into_inner())
    }

    fn folder(&self) -> &Path {
        self.file.parent().unwrap_or_else(|| Path::new(""))
    }
}

/// A URL that is quoted keeps its user and password to itself: the file has them for all to read, but a log or a terminal has other readers.
/// A password may have any character in it, so all before the last `@` of a word goes.
fn without_credentials(message: String) -> String {
    let is_edge = |character: char| character.is_whitespace() || character == '"';
    let mut out = String::new();
    let mut rest = message.as_str();
    while let Some(at) = rest.find('@') {
        let end = rest[at..].find(is_edge).map_or(rest.len(), |end| at + end);
        let start = rest[..at].rfind(is_edge).map_or(0, |edge| {
            edge + rest[edge..].chars().next().map_or(0, char::len_utf8)
        });
        let word = &rest[start..end];
        out.push_str(&rest[..start]);
        match word.rfind('@').map(|last| word.split_at(last)) {
            Some((before, after)) if before.contains(':') => {
                let scheme = before.find("://").map_or("", |colon| &before[..colon + 3]);
                out.extend([scheme, "…", after]);
            }
            _ => out.push_str(word),
        }
        rest = &rest[end..];
    }
    if out.is_empty() {
        return message;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mistake_quotes_has_no_credentials() {
        for (said, shown) in [
            (
                "found \"redis://u:p@h:1\", expected x: \"redis://u:p@h:1\" is none",
                "found \"redis://…@h:1\", expected x: \"redis://…@h:1\" is none",
            ),
            ("http://:p@ss/w@h/x and a@b", "http://…@h/x and a@b"),
            ("\"u:p@h:80\"", "\"…@h:80\""),
            ("mail ops@example.com", "mail ops@example.com"),
            ("nothing here", "nothing here"),
        ] {
            assert_eq!(without_credentials(said.to_owned()), shown);
        }
    }
}
