//! `[limit.NAME]`: whose counter, and either a rate or a number of concurrent streams.

use std::num::NonZeroU32;

use weir_limit::{Algorithm, KeySource, Quota};

use crate::{
    node::Node,
    plan::{Limit, LimitKind},
    table::Table,
};

pub(super) fn limit(name: &str, node: &Node<'_>) -> Option<Limit> {
    let table = node.table("a [limit.NAME] table")?;
    let by = table
        .need(
            "by",
            "whose counter it is: \"user\", \"tenant\", \"client_ip\" or \"header:NAME\"",
        )
        .and_then(|node| {
            node.parse(
                "\"user\", \"tenant\", \"client_ip\" or \"header:NAME\"",
                KeySource::parse,
            )
        });
    let rate = table.get("rate");
    let streams = table.get("streams");
    let kind = match (rate, streams) {
        (Some(rate), None) => rated(&table, &rate),
        (None, Some(streams)) => {
            table.foreign(&["algorithm", "burst"], "a limit with `rate`");
            positive(&streams).map(LimitKind::Streams)
        }
        (Some(_), Some(streams)) => {
            streams.mistake("stands beside `rate`; one limit counts either, and a route can have several limits");
            table.foreign(&["algorithm", "burst"], "a limit with `rate` alone");
            None
        }
        (None, None) => {
            table.lacks("needs `rate` (such as \"100/60s\") or `streams` (a number)");
            table.get("algorithm");
            table.get("burst");
            None
        }
    };
    table.finish();
    Some(Limit {
        name: name.to_owned(),
        by: by?,
        kind: kind?,
    })
}

fn rated(table: &Table<'_>, rate: &Node<'_>) -> Option<LimitKind> {
    let quota = rate.parse("an amount and a time such as \"100/60s\"", Quota::parse);
    let window = table
        .get("algorithm")
        .and_then(|node| node.choice(&[("gcra", false), ("window", true)]))
        .unwrap_or_default();
    let algorithm = if window {
        table.foreign(
            &["burst"],
            "`algorithm = \"gcra\"`: a window lets its whole amount through at once",
        );
        Algorithm::Window
    } else {
        Algorithm::Gcra {
            burst: table.get("burst").and_then(|node| positive(&node)),
        }
    };
    Some(LimitKind::Rate(quota?, algorithm))
}

fn positive(node: &Node<'_>) -> Option<NonZeroU32> {
    node.integer(1, u64::from(u32::MAX))
        .and_then(NonZeroU32::new)
}
