//! `[limit.NAME]`: whose counter, what it counts (requests, tokens or concurrent streams), and where.

use std::num::NonZeroU32;

use weir_limit::{Algorithm, KeySource, Quota};

use crate::{
    node::{Names, Node},
    plan::{Limit, LimitKind, OnStoreFailure},
    table::Table,
};

const BY: &str = "\"user\", \"tenant\", \"client_ip\", \"route\" or \"header:NAME\"";

/// What only limits of some kinds have.
const RATE: [&str; 3] = ["algorithm", "burst", "delay"];
const TOKENS: [&str; 2] = ["estimate", "cut"];
const COUNTED: [&str; 3] = ["store", "on_store_failure", "dry_run"];

pub(super) fn limit(name: &str, node: &Node<'_>, stores: &Names) -> Option<Limit> {
    let table = node.table("a [limit.NAME] table")?;
    let by = table
        .need("by", &format!("whose counter it is: {BY}"))
        .and_then(|node| node.parse(BY, KeySource::parse));
    let kinds = ["rate", "tokens", "streams"].map(|kind| (kind, table.get(kind)));
    let mut given = kinds
        .into_iter()
        .filter_map(|(kind, node)| Some((kind, node?)));
    let kind = match given.next() {
        None => {
            table.lacks(
                "needs `rate` (such as \"100/60s\"), `tokens` (such as \"100000/1d\") or `streams` (a number)",
            );
            RATE.iter()
                .chain(&TOKENS)
                .for_each(|key| drop(table.get(key)));
            None
        }
        Some((kind, node)) => {
            for (_, second) in given {
                second.mistake(format!("stands beside `{kind}`; one limit counts one thing, and a route can have several limits"));
            }
            match kind {
                "rate" => rated(&table, &node),
                "tokens" => budgeted(&table, &node),
                _ => {
                    table.foreign(&RATE, "a limit with `rate`");
                    table.foreign(&TOKENS, "a limit with `tokens`");
                    table.foreign(&COUNTED, "a limit with `rate` or `tokens`");
                    positive(&node).map(LimitKind::Streams)
                }
            }
        }
    };
    let store = table.get("store").and_then(|node| node.name(stores));
    let on_store_failure = table.get("on_store_failure");
    if let Some(node) = on_store_failure.as_ref().filter(|_| store.is_none()) {
        node.warning("has no meaning without `store`");
    }
    let on_store_failure = on_store_failure
        .and_then(|node| {
            node.choice(&[
                ("local", OnStoreFailure::Local),
                ("deny", OnStoreFailure::Deny),
                ("allow", OnStoreFailure::Allow),
            ])
        })
        .unwrap_or_default();
    let dry_run = table
        .get("dry_run")
        .and_then(|node| node.boolean())
        .unwrap_or_default();
    table.finish();
    Some(Limit {
        name: name.to_owned(),
        by: by?,
        kind: kind?,
        store,
        on_store_failure,
        dry_run,
    })
}

fn rated(table: &Table<'_>, rate: &Node<'_>) -> Option<LimitKind> {
    table.foreign(&TOKENS, "a limit with `tokens`");
    let quota = rate.parse("an amount and a time such as \"100/60s\"", Quota::parse);
    let window = table
        .get("algorithm")
        .and_then(|node| node.choice(&[("gcra", false), ("window", true)]))
        .unwrap_or_default();
    let algorithm = if window {
        table.foreign(
            &["burst", "delay"],
            "`algorithm = \"gcra\"`: a window lets its whole amount through at once",
        );
        Algorithm::Window
    } else {
        Algorithm::Gcra {
            burst: table.get("burst").and_then(|node| positive(&node)),
            delay: table
                .get("delay")
                .and_then(|node| node.boolean())
                .unwrap_or_default(),
        }
    };
    Some(LimitKind::Rate(quota?, algorithm))
}

fn budgeted(table: &Table<'_>, tokens: &Node<'_>) -> Option<LimitKind> {
    table.foreign(&RATE, "a limit with `rate`");
    let quota = tokens.parse("an amount and a time such as \"100000/1d\"", Quota::parse);
    let estimate = table.get("estimate");
    let number = estimate.as_ref().and_then(positive);
    let cut = table
        .get("cut")
        .and_then(|node| node.boolean())
        .unwrap_or_default();
    let quota = quota?;
    if let (Some(node), Some(number)) = (estimate, number)
        && number > quota.amount()
    {
        node.mistake("is more than a whole period's tokens: nothing would ever be let through");
    }
    const USUAL: NonZeroU32 = NonZeroU32::new(1000).unwrap();
    let estimate = number.unwrap_or_else(|| USUAL.min(quota.amount()));
    Some(LimitKind::Tokens {
        quota,
        estimate,
        cut,
    })
}

fn positive(node: &Node<'_>) -> Option<NonZeroU32> {
    node.integer(1, u64::from(u32::MAX))
        .and_then(NonZeroU32::new)
}
