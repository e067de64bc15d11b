//! Counters told apart by a word of weir's own vocabulary: an outcome, a reason, a result.

use std::sync::OnceLock;

use prometheus::{IntCounter, IntCounterVec};

/// Words remembered; no vocabulary of weir's is larger. One beyond them is still counted, through the family's lock.
const REMEMBERED: usize = 24;

/// Resolves a counter once per word. Counting a known word takes no lock and allocates nothing.
pub(crate) struct Words {
    family: IntCounterVec,
    /// The values of the labels before the word.
    fixed: Vec<String>,
    seen: [OnceLock<(&'static str, IntCounter)>; REMEMBERED],
}

impl Words {
    pub(crate) fn new(family: &IntCounterVec, fixed: &[&str]) -> Self {
        Self {
            family: family.clone(),
            fixed: fixed.iter().map(|&value| value.to_owned()).collect(),
            seen: [const { OnceLock::new() }; REMEMBERED],
        }
    }

    pub(crate) fn inc(&self, word: &'static str) {
        for cell in &self.seen {
            let (known, counter) = cell.get_or_init(|| (word, self.resolve(word)));
            if *known == word {
                counter.inc();
                return;
            }
        }
        self.resolve(word).inc();
    }

    fn resolve(&self, word: &'static str) -> IntCounter {
        let values: Vec<&str> = self
            .fixed
            .iter()
            .map(String::as_str)
            .chain([word])
            .collect();
        self.family.with_label_values(&values)
    }
}
