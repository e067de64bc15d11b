//! A table of the file and the keys that were asked of it: what nobody asked for is a mistake.

use std::{cell::RefCell, ops::Range};

use toml::{Spanned, de::DeTable};

use crate::{near::nearest, node::Node, source::Source};

/// One table.
pub(crate) struct Table<'a> {
    pub(crate) source: &'a Source<'a>,
    key: String,
    span: Range<usize>,
    table: &'a DeTable<'a>,
    asked: RefCell<Vec<&'static str>>,
    foreign: RefCell<Vec<&'static str>>,
}

impl<'a> Table<'a> {
    /// The whole file.
    pub(crate) fn root(source: &'a Source<'a>, table: &'a Spanned<DeTable<'a>>) -> Self {
        Self::new(source, String::new(), table.span(), table.get_ref())
    }

    pub(crate) fn new(
        source: &'a Source<'a>,
        key: String,
        span: Range<usize>,
        table: &'a DeTable<'a>,
    ) -> Self {
        Self {
            source,
            key,
            span,
            table,
            asked: RefCell::default(),
            foreign: RefCell::default(),
        }
    }

    /// Records a mistake that concerns the table as a whole.
    pub(crate) fn mistake(&self, message: impl Into<String>) {
        self.source.mistake(&self.key, &self.span, message.into());
    }

    /// Records that one of several keys should be there and none is.
    pub(crate) fn lacks(&self, message: &str) {
        if self.source.is_whole() {
            self.mistake(message);
        }
    }

    /// Its key's path.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The line it begins on.
    pub(crate) fn line(&self) -> usize {
        self.source.place(self.span.start).0
    }

    /// The value of a key, where it is there. Asking makes the key known.
    pub(crate) fn get(&self, key: &'static str) -> Option<Node<'a>> {
        self.asked.borrow_mut().push(key);
        self.table
            .get(key)
            .map(|value| Node::new(self.source, self.path(key), value))
    }

    /// The value of a key that must be there.
    pub(crate) fn need(&self, key: &'static str, what: &str) -> Option<Node<'a>> {
        let value = self.get(key);
        if value.is_none() && self.source.is_whole() {
            self.source
                .mistake(&self.path(key), &self.span, format!("is missing: {what}"));
        }
        value
    }

    /// A key that belongs to tables of another sort: a mistake that says so.
    pub(crate) fn foreign(&self, keys: &[&'static str], where_it_belongs: &str) {
        for &key in keys {
            self.foreign.borrow_mut().push(key);
            if let Some((name, _)) = self.table.get_key_value(key) {
                self.source.mistake(
                    &self.path(key),
                    &name.span(),
                    format!("has no meaning here: it belongs to {where_it_belongs}"),
                );
            }
        }
    }

    /// Every key with its value in the order of the file, for tables whose keys are names.
    pub(crate) fn entries(&self) -> Vec<(String, Node<'a>)> {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        entries
            .into_iter()
            .map(|(name, value)| {
                let name = name.get_ref().as_ref();
                (
                    name.to_owned(),
                    Node::new(self.source, self.path(name), value),
                )
            })
            .collect()
    }

    /// Records every key that nobody asked for. To be called once, after the last `get`.
    pub(crate) fn finish(&self) {
        let foreign = self.foreign.borrow();
        let mut asked = self.asked.borrow().clone();
        asked.retain(|key| !foreign.contains(key));
        for (name, _) in self.table.iter() {
            let key = name.get_ref().as_ref();
            if asked.contains(&key) || foreign.contains(&key) {
                continue;
            }
            let message = nearest(key, asked.iter().copied()).map_or_else(
                || format!("unknown key; expected one of {}", asked.join(", ")),
                |near| format!("unknown key; did you mean {near:?}?"),
            );
            self.source.mistake(&self.path(key), &name.span(), message);
        }
    }

    /// The path of one of its keys; a name that is not a bare key stands in quotes.
    fn path(&self, key: &str) -> String {
        let bare = !key.is_empty()
            && key
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let key = if bare {
            key.to_owned()
        } else {
            format!("{key:?}")
        };
        if self.key.is_empty() {
            key
        } else {
            format!("{}.{key}", self.key)
        }
    }
}
