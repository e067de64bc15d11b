//! What is wrong with a file, said so that an operator can go to the place and mend it.
//! No text that came out of a variable or a file ever stands in a mistake.

use std::{fmt, path::PathBuf};

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file, as it was named to the reader.
    pub file: PathBuf,
    /// Line and column, from 1, in characters; `None` where the file could not be read at all.
    pub place: Option<(usize, usize)>,
    /// The key's path, as in `route[2].auth` (arrays count from 0); empty for the file as a whole and for syntax.
    pub key: String,
    /// What was found and what was expected.
    pub message: String,
}

impl fmt::Display for Mistake {
    /// `config/weir.toml:12:8: route[2].auth: found "portl", expected …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Every mistake of one file, in the order of the file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Puts them in the order of the file; `None` where there are none.
    pub(crate) fn of(mut found: Vec<Mistake>) -> Option<Self> {
        found.sort_by_key(|mistake| mistake.place);
        found.dedup();
        (!found.is_empty()).then_some(Self(found))
    }

    pub(crate) fn only(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }

    /// In the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }

    /// How many there are; at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always at least one")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Mistakes {
    /// One line each, no line end after the last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
