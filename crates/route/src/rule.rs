//! When a route is meant, and how specific that is. Comparing a request with many rules is the table's.

use std::cmp::Reverse;

use http::Method;

use crate::{
    host::HostPattern,
    pattern::{Pattern, Segment},
};

/// When a route is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Empty: any host, and requests without one.
    pub host: Vec<HostPattern>,
    /// Empty: any method. GET includes HEAD.
    pub methods: Vec<Method>,
    /// The path.
    pub path: Pattern,
}

impl Rule {
    /// Lower is more specific: by host, then by path, then by method. One digit a segment; among patterns that match the same path,
    /// comparing these digits is what the tree does by walking.
    pub(crate) fn rank(&self) -> impl Ord + use<> {
        let hosts = self.host.iter().map(|host| {
            if host.wildcard {
                (1, Reverse(host.name.len()))
            } else {
                (0, Reverse(0))
            }
        });
        let any_last = (2, Reverse(0));
        let end = if self.path.has_rest() { 3 } else { 2 };
        let segments = self.path.segments().iter().map(|segment| match segment {
            Segment::Literal(_) => 0,
            Segment::Any => 1,
        });
        (
            hosts.min().unwrap_or(any_last),
            segments.chain([end]).collect::<Vec<u8>>(),
            self.methods.is_empty(),
        )
    }
}
