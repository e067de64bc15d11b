//! One value of the file with its key's path and its place, and what can be read from it.
//! Each reading either answers or records a mistake and answers `None`; so a builder can go on and find the next mistake.

use std::{
    fmt::{self, Display},
    net::SocketAddr,
    ops::Range,
    time::Duration,
};

use secrecy::SecretString;
use toml::{Spanned, de::DeValue};

use crate::{interpolate::Text, near::nearest, source::Source, table::Table, units};

/// One value of the file.
#[derive(Clone)]
pub(crate) struct Node<'a> {
    pub(crate) source: &'a Source<'a>,
    /// `route[2].auth`
    pub(crate) key: String,
    pub(crate) span: Range<usize>,
    pub(crate) value: &'a DeValue<'a>,
}

impl<'a> Node<'a> {
    pub(crate) fn new(
        source: &'a Source<'a>,
        key: String,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Self {
        Self {
            source,
            key,
            span: value.span(),
            value: value.get_ref(),
        }
    }

    /// The line it stands on.
    pub(crate) fn line(&self) -> usize {
        self.source.place(self.span.start).0
    }

    pub(crate) fn mistake(&self, message: impl Into<String>) {
        self.source.mistake(&self.key, &self.span, message.into());
    }

    pub(crate) fn warning(&self, message: &str) {
        self.source.warning(&self.key, &self.span, message);
    }

    /// A value of the wrong kind: only the kind is named, because the text may be a secret that landed in the wrong place.
    pub(crate) fn wrong_kind<T>(&self, expected: &str) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.mistake(format!("found {found}, expected {expected}"));
        None
    }

    /// A string with everything filled in.
    pub(crate) fn text(&self, expected: &str) -> Option<Text> {
        match self.value {
            DeValue::String(template) => self.source.fill(&self.key, &self.span, template),
            _ => self.wrong_kind(expected),
        }
    }

    /// A string that is not empty.
    pub(crate) fn string(&self, expected: &str) -> Option<String> {
        self.parse(expected, |text| {
            if text.is_empty() {
                Err("it is empty")
            } else {
                Ok(text.to_owned())
            }
        })
    }

    /// A string that no mistake and no Debug ever shows.
    pub(crate) fn secret(&self) -> Option<SecretString> {
        let text = self.text("a string")?;
        if !text.is_filled() {
            self.warning(
                "the secret stands in the file itself; ${env:NAME} or ${file:PATH} keeps it out",
            );
        }
        if text.as_str().is_empty() {
            self.mistake("the secret is empty");
            return None;
        }
        Some(SecretString::from(text.into_string()))
    }

    /// A string with a meaning. The reason of a refusal is told only for text that stands in the file: it may quote the text.
    pub(crate) fn parse<T, E: Display>(
        &self,
        expected: &str,
        meaning: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(expected)?;
        meaning(text.as_str())
            .map_err(|why| self.refuse(&text, expected, Some(&why)))
            .ok()
    }

    fn refuse(&self, text: &Text, expected: &str, why: Option<&dyn Display>) {
        let shown = text.shown();
        self.mistake(match why {
            Some(why) if !text.is_filled() => format!("found {shown}, expected {expected}: {why}"),
            _ => format!("found {shown}, expected {expected}"),
        });
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let words = || choices.iter().map(|&(word, _)| word);
        let expected = one_of(words());
        let text = self.text(&expected)?;
        let found = choices.iter().find(|(word, _)| *word == text.as_str());
        if found.is_none() {
            self.refuse(&text, &(expected + &hint(&text, words())), None);
        }
        found.map(|&(_, choice)| choice)
    }

    /// The index of one of the names of a kind of table, such as the upstreams.
    pub(crate) fn name(&self, names: &Names) -> Option<usize> {
        let expected = format!("the name of {} table", names.kind);
        let text = self.text(&expected)?;
        let index = names.index(text.as_str());
        if index.is_none() && self.source.is_whole() {
            let all = || names.names.iter().map(String::as_str);
            let hint = hint(&text, all());
            let known = match (hint.is_empty(), names.names.is_empty()) {
                (_, true) => " (there is none)".to_owned(),
                (true, false) => format!(" ({})", all().collect::<Vec<_>>().join(", ")),
                (false, false) => hint,
            };
            self.refuse(&text, &(expected + &known), None);
        }
        index
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            DeValue::String(_) => self.filled("true or false", |text| text.parse().ok()),
            _ => self.wrong_kind("true or false"),
        }
    }

    /// A whole number within bounds.
    pub(crate) fn integer<T: TryFrom<u64>>(&self, least: u64, most: u64) -> Option<T> {
        let expected = if most == u64::from(u32::MAX) {
            format!("a whole number of at least {least}")
        } else {
            format!("a whole number from {least} to {most}")
        };
        let within = |number: u64| {
            (least..=most)
                .contains(&number)
                .then(|| T::try_from(number).ok())
                .flatten()
        };
        match self.value {
            DeValue::Integer(integer) => {
                let number = u64::from_str_radix(integer.as_str(), integer.radix())
                    .ok()
                    .and_then(within);
                if number.is_none() {
                    self.mistake(format!("found {integer}, expected {expected}"));
                }
                number
            }
            DeValue::String(_) => {
                self.filled(&expected, |text| text.trim().parse().ok().and_then(within))
            }
            _ => self.wrong_kind(&expected),
        }
    }

    /// A duration that is not zero.
    pub(crate) fn duration(&self) -> Option<Duration> {
        let duration = self.duration_or_zero()?;
        if duration.is_zero() {
            self.mistake("found no time at all, expected a duration above zero");
            return None;
        }
        Some(duration)
    }

    pub(crate) fn duration_or_zero(&self) -> Option<Duration> {
        match self.value {
            DeValue::Integer(integer) => {
                self.mistake(format!(
                    "found {integer} without a unit, expected {}",
                    units::DURATION
                ));
                None
            }
            _ => self.meant(units::DURATION, units::duration),
        }
    }

    /// A duration, or `none` for no such clock.
    pub(crate) fn duration_or_none(&self) -> Option<Option<Duration>> {
        match self.value {
            DeValue::String(text) if text == "none" => Some(None),
            _ => self.duration().map(Some),
        }
    }

    /// A number of bytes.
    pub(crate) fn size(&self) -> Option<u64> {
        match self.value {
            DeValue::Integer(_) => self.integer(0, u64::MAX >> 1),
            _ => self.meant(units::SIZE, units::size),
        }
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.meant(
            "an address and port such as \"0.0.0.0:8080\" or \"[::1]:8080\"",
            |text| text.parse().ok(),
        )
    }

    /// The items of an array.
    pub(crate) fn items(&self, expected: &str) -> Option<Vec<Self>> {
        match self.value {
            DeValue::Array(items) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| {
                        Node::new(self.source, format!("{}[{index}]", self.key), item)
                    })
                    .collect(),
            ),
            _ => self.wrong_kind(expected),
        }
    }

    /// The items of an array, or the value itself as the only one.
    pub(crate) fn one_or_many(&self) -> Vec<Self> {
        match self.value {
            DeValue::Array(_) => self.items("an array").unwrap_or_default(),
            _ => vec![self.clone()],
        }
    }

    pub(crate) fn table(&self, expected: &str) -> Option<Table<'a>> {
        match self.value {
            DeValue::Table(table) => Some(Table::new(
                self.source,
                self.key.clone(),
                self.span.clone(),
                table,
            )),
            _ => self.wrong_kind(expected),
        }
    }

    pub(crate) fn is_array(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }

    pub(crate) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    pub(crate) fn is_string(&self) -> bool {
        matches!(self.value, DeValue::String(_))
    }

    pub(crate) fn is_boolean(&self) -> bool {
        matches!(self.value, DeValue::Boolean(_))
    }

    /// A string with a meaning that either is there or is not.
    pub(crate) fn meant<T>(
        &self,
        expected: &str,
        meaning: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(expected)?;
        let value = meaning(text.as_str());
        if value.is_none() {
            self.refuse(&text, expected, None);
        }
        value
    }

    /// A number or a boolean that came out of a variable or a file. A plain string is not a number.
    fn filled<T>(&self, expected: &str, meaning: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(expected)?;
        let value = if text.is_filled() {
            meaning(text.as_str())
        } else {
            None
        };
        if value.is_none() {
            self.refuse(&text, expected, None);
        }
        value
    }
}

impl fmt::Debug for Node<'_> {
    /// Without the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("key", &self.key)
            .field("span", &self.span)
            .finish_non_exhaustive()
    }
}

/// The names of one kind of table, in the order of the file.
pub(crate) struct Names {
    /// `an [upstream.NAME]`
    pub(crate) kind: &'static str,
    pub(crate) names: Vec<String>,
}

impl Names {
    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }
}

/// `"a", "b" or "c"`
fn one_of<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let words: Vec<_> = words.map(|word| format!("{word:?}")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// `; did you mean "x"?`, or nothing. Silent for text from outside, whose nearness to a name would tell of it.
fn hint<'w>(text: &Text, candidates: impl Iterator<Item = &'w str>) -> String {
    if text.is_filled() {
        return String::new();
    }
    nearest(text.as_str(), candidates)
        .map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}
