//! `[cors.NAME]`, or a table of the same keys in a route: which other sites' pages may read what it answers.

use std::{sync::Arc, time::Duration};

use http::{HeaderName, Method, header};
use weir_auth::{Cors, cors::Origin};

use super::{Known, route::method};
use crate::{node::Node, table::Table};

/// A route's `cors`: the name of a table, or the table itself.
pub(super) fn of_route(node: &Node<'_>, known: &Known<'_>) -> Option<Arc<Cors>> {
    if node.is_table() {
        return cors(node).map(Arc::new);
    }
    let index = node.name(known.cors_names)?;
    known.cors_used.borrow_mut().insert(index);
    known.cors[index].clone()
}

/// One table.
pub(super) fn cors(node: &Node<'_>) -> Option<Cors> {
    let table = node.table("a [cors.NAME] table")?;
    let origins = table.need(
        "origins",
        "which pages, such as [\"https://app.example.com\"]",
    );
    let nodes = origins.as_ref().map(Node::one_or_many).unwrap_or_default();
    if let Some(origins) = origins.filter(|_| nodes.is_empty()) {
        origins.mistake("found an empty array, expected at least one origin");
    }
    let credentials = table
        .get("credentials")
        .and_then(|node| node.boolean())
        .unwrap_or(false);
    let expected = "an origin such as \"https://app.example.com\" or \"https://*.example.com\"";
    let origins: Vec<_> = nodes
        .iter()
        .filter_map(|node| {
            let origin = node.parse(expected, Origin::parse)?;
            if credentials && origin == Origin::Any {
                node.mistake("stands beside `credentials`: any page at all could then act as whoever looks at it");
            }
            Some(origin)
        })
        .collect();
    let names = |key, default: &[HeaderName]| {
        each(&table, key, "the name of a header", |text| {
            HeaderName::try_from(text)
        })
        .unwrap_or_else(|| default.to_vec())
    };
    let cors = Cors {
        origins,
        methods: each(&table, "methods", "a method such as \"PUT\"", method)
            .unwrap_or_else(|| vec![Method::GET, Method::HEAD, Method::POST]),
        headers: names("headers", &[header::CONTENT_TYPE, header::AUTHORIZATION]),
        expose: names("expose", &[]),
        credentials,
        max_age: table
            .get("max_age")
            .and_then(|node| node.duration())
            .unwrap_or(Duration::from_secs(600)),
    };
    table.finish();
    Some(cors)
}

/// The meanings of one string or several; `None` where there is no such key.
fn each<T, E: std::fmt::Display>(
    table: &Table<'_>,
    key: &'static str,
    expected: &str,
    meaning: impl Fn(&str) -> Result<T, E>,
) -> Option<Vec<T>> {
    let nodes = table.get(key)?.one_or_many();
    Some(
        nodes
            .iter()
            .filter_map(|node| node.parse(expected, &meaning))
            .collect(),
    )
}
