//! Rules by path: a tree over segments, walked from the most specific match to the least. Hosts and methods are for the table.

use crate::pattern::{Pattern, Segment, compared, split};

/// What may follow one prefix of segments. Numbers are rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    /// Sorted. A search in a few neighbours is quicker than hashing a segment.
    literals: Vec<(Box<[u8]>, Self)>,
    any: Option<Box<Self>>,
    /// Rules whose path ends here.
    end: Vec<usize>,
    /// Rules that take whatever follows, nothing included.
    rest: Vec<usize>,
}

impl Tree {
    /// The rules with exactly this pattern, to be looked at or added to.
    pub(crate) fn leaf(&mut self, pattern: &Pattern) -> &mut Vec<usize> {
        let mut node = self;
        for segment in pattern.segments() {
            node = match segment {
                Segment::Any => node.any.get_or_insert_default(),
                Segment::Literal(literal) => node.literal(&literal.bytes),
            };
        }
        if pattern.has_rest() {
            &mut node.rest
        } else {
            &mut node.end
        }
    }

    /// Whether it has no rule.
    pub(crate) fn is_empty(&self) -> bool {
        let here = self.end.is_empty() && self.rest.is_empty();
        here && self.literals.is_empty() && self.any.is_none()
    }

    /// Shows the rules of each matching pattern, most specific first, until `choose` settles on one. `left` is the path without its
    /// leading slash; `caseless`: whether the patterns are.
    ///
    /// Each node is visited at most once, and no deeper than the rules go, so a long path costs no more than a short one.
    pub(crate) fn walk<R>(
        &self,
        left: Option<&str>,
        caseless: bool,
        choose: &mut impl FnMut(&[usize]) -> Option<R>,
    ) -> Option<R> {
        let Some(left) = left else {
            return choose(&self.end).or_else(|| choose(&self.rest));
        };
        if self.literals.is_empty() && self.any.is_none() {
            return choose(&self.rest);
        }
        let (segment, after) = split(left);
        if !self.literals.is_empty() {
            let bytes = compared(segment, caseless);
            if let Ok(at) = self
                .literals
                .binary_search_by(|(literal, _)| (**literal).cmp(&*bytes))
            {
                let found = self.literals[at].1.walk(after, caseless, choose);
                if found.is_some() {
                    return found;
                }
            }
        }
        if let (false, Some(any)) = (segment.is_empty(), &self.any) {
            let found = any.walk(after, caseless, choose);
            if found.is_some() {
                return found;
            }
        }
        choose(&self.rest)
    }

    fn literal(&mut self, bytes: &[u8]) -> &mut Self {
        let at = self
            .literals
            .binary_search_by(|(literal, _)| (**literal).cmp(bytes))
            .unwrap_or_else(|at| {
                self.literals.insert(at, (bytes.into(), Self::default()));
                at
            });
        &mut self.literals[at].1
    }
}
