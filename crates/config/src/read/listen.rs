//! What a `[[listen]]` does instead of serving the routes: sending everybody to https, under a name that the operator gave.

use http::StatusCode;
use weir_route::{Authority, HostPattern};

use crate::{node::Node, plan::Redirect, table::Table};

/// `redirect = "https"`, or a table that says more.
pub(super) fn redirect(node: &Node<'_>) -> Option<Redirect> {
    let https = |node: &Node<'_>| node.choice(&[("https", ())]);
    if !node.is_table() {
        https(node)?;
        return Some(Redirect {
            status: StatusCode::PERMANENT_REDIRECT,
            host: None,
        });
    }
    let table = node.table("a table such as { to = \"https\", host = \"www.example.com\" }")?;
    let to = table
        .need("to", "where to: \"https\"")
        .and_then(|node| https(&node));
    let status = match table.get("status") {
        None => Some(StatusCode::PERMANENT_REDIRECT),
        Some(node) => match node.integer(300, 399) {
            Some(308_u64) => Some(StatusCode::PERMANENT_REDIRECT),
            Some(301) => Some(StatusCode::MOVED_PERMANENTLY),
            Some(_) => {
                node.mistake("expected 308, which keeps the method and the body, or 301");
                None
            }
            None => None,
        },
    };
    let host = table.get("host").map(|node| {
        node.parse("a host such as \"www.example.com\"", |text| {
            Authority::parse(text).map(Authority::into_owned)
        })
    });
    table.finish();
    to?;
    Some(Redirect {
        status: status?,
        host: host.map_or(Some(None), |host| host.map(Some))?,
    })
}

/// A redirect that names no host goes where a route's host says; where no route says one, it could only repeat what a client made up.
pub(super) fn nameless_redirects(root: &Table<'_>, hosts: &[HostPattern]) {
    let items = root
        .get("listen")
        .and_then(|node| node.items("[[listen]] tables"));
    for item in items.unwrap_or_default() {
        let Some(node) = item
            .table("a [[listen]] table")
            .and_then(|table| table.get("redirect"))
        else {
            continue;
        };
        let named = node.is_table()
            && node
                .table("a table")
                .is_some_and(|table| table.get("host").is_some());
        if !named && hosts.is_empty() {
            node.mistake("needs `host`, because no route has one: { to = \"https\", host = \"www.example.com\" }");
        }
    }
}
