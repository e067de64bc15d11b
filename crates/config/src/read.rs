//! The walk through the file: each table to the reader of its noun, then what can only be seen when all of them are read.

mod action;
mod auth;
mod cors;
mod general;
mod identity;
mod limit;
mod listen;
mod route;
mod store;
mod tls;
mod together;
mod upstream;

use std::{cell::RefCell, collections::BTreeSet, sync::Arc};

use toml::{Spanned, de::DeTable};
use weir_auth::Cors;
use weir_proxy::settings::Upstream;

use crate::{
    node::{Names, Node},
    plan::{Limit, Plan},
    source::Source,
    table::Table,
};

/// What a route may refer to, as far as it could be read, and what the routes have referred to.
struct Known<'k> {
    upstream_names: &'k Names,
    upstreams: &'k [Option<Upstream>],
    upstreams_used: RefCell<BTreeSet<usize>>,
    auth_names: &'k Names,
    auth: &'k [auth::Read<'k>],
    auth_used: RefCell<BTreeSet<usize>>,
    limit_names: &'k Names,
    limits: &'k [Option<Limit>],
    limits_used: RefCell<BTreeSet<usize>>,
    cors_names: &'k Names,
    cors: &'k [Option<Arc<Cors>>],
    cors_used: RefCell<BTreeSet<usize>>,
    max_body: u64,
    /// Whether the case of paths does not count.
    caseless: bool,
    /// Whether weir signs what it says of callers.
    signs: bool,
}

/// The plan; `None` when `source` has a mistake.
pub(crate) fn plan<'a>(source: &'a Source<'a>, root: &'a Spanned<DeTable<'a>>) -> Option<Plan> {
    let root = Table::root(source, root);
    let service = general::service(&root);
    let workers = general::workers(&root);
    let max_body = root
        .get("max_body")
        .and_then(|node| node.size())
        .unwrap_or(10_000_000);
    let caseless = root
        .get("path_case")
        .and_then(|node| node.choice(&[("exact", false), ("ignore", true)]))
        .unwrap_or(false);
    let models = general::models(&root);
    let trusted_proxies = root
        .get("trusted_proxies")
        .map(|node| general::networks(&node))
        .unwrap_or_default();
    let via = root.get("via").and_then(|node| node.boolean());
    let listeners = general::listeners(&root, !trusted_proxies.is_empty());
    let admin = general::admin(&root, &listeners);
    let log = general::log(&root);
    let audit = general::audit(&root);
    let identity = identity::signer(&root);
    let reserved = identity::reserved(&root);
    let drain = general::drain(&root);
    let client = general::client(&root);

    let (upstream_names, upstream_nodes) = named(&root, "upstream", "an [upstream.NAME]");
    let upstreams: Vec<_> = upstream_names
        .names
        .iter()
        .zip(&upstream_nodes)
        .map(|(name, node)| upstream::upstream(name, node))
        .collect();
    let (auth_names, auth_nodes) = named(&root, "auth", "an [auth.NAME]");
    let auth = auth::all(&auth_names, &auth_nodes);
    let (store_names, store_nodes) = named(&root, "store", "a [store.NAME]");
    let stores: Vec<_> = store_names
        .names
        .iter()
        .zip(&store_nodes)
        .map(|(name, node)| store::store(name, node))
        .collect();
    let (limit_names, limit_nodes) = named(&root, "limit", "a [limit.NAME]");
    let limits: Vec<_> = limit_names
        .names
        .iter()
        .zip(&limit_nodes)
        .map(|(name, node)| limit::limit(name, node, &store_names))
        .collect();

    let (cors_names, cors_nodes) = named(&root, "cors", "a [cors.NAME]");
    let cors: Vec<_> = cors_nodes
        .iter()
        .map(|node| cors::cors(node).map(Arc::new))
        .collect();

    let known = Known {
        upstream_names: &upstream_names,
        upstreams: &upstreams,
        upstreams_used: RefCell::default(),
        auth_names: &auth_names,
        auth: &auth,
        auth_used: RefCell::default(),
        limit_names: &limit_names,
        limits: &limits,
        limits_used: RefCell::default(),
        cors_names: &cors_names,
        cors: &cors,
        cors_used: RefCell::default(),
        max_body,
        caseless,
        signs: identity.is_some(),
    };
    let routes = root.need("route", "no [[route]] table says what to do with a request");
    let routes = routes
        .and_then(|node| node.items("[[route]] tables"))
        .unwrap_or_default();
    let routes: Vec<_> = routes
        .iter()
        .filter_map(|node| route::route(node, &known))
        .collect();
    let hosts: Vec<_> = routes
        .iter()
        .filter_map(|read| read.rule.as_ref())
        .flat_map(|rule| rule.host.iter().cloned())
        .collect();
    if source.is_right() {
        listen::nameless_redirects(&root, &hosts);
    }
    root.finish();

    let table = together::table(&routes);
    if let Some(table) = &table {
        together::logins(table, &auth, &routes);
    }
    together::namesakes(&known, &limit_nodes, &routes);
    together::unused(
        &known,
        [
            &upstream_nodes,
            &auth_nodes,
            &limit_nodes,
            &cors_nodes,
            &store_nodes,
        ],
    );
    if !source.is_right() {
        return None;
    }
    Some(Plan {
        file: source.file().to_owned(),
        service,
        workers,
        listeners,
        trusted_proxies,
        via: via.unwrap_or(false),
        admin,
        log,
        audit,
        identity: identity.flatten(),
        reserved,
        drain,
        client,
        upstreams: upstreams.into_iter().flatten().collect(),
        auth: auth.into_iter().filter_map(|read| read.auth).collect(),
        stores: stores.into_iter().flatten().collect(),
        limits: limits.into_iter().flatten().collect(),
        routes: routes.into_iter().filter_map(|read| read.route).collect(),
        table: table?,
        hosts,
        models,
        warnings: source.take_warnings(),
    })
}

/// `[KIND.NAME]` tables: their names, which become labels and words of headers, and their values.
fn named<'a>(root: &Table<'a>, key: &'static str, kind: &'static str) -> (Names, Vec<Node<'a>>) {
    let tables = root
        .get(key)
        .and_then(|node| node.table(&format!("{kind} table")));
    let (names, nodes): (Vec<_>, Vec<_>) = tables
        .map(|tables| tables.entries())
        .unwrap_or_default()
        .into_iter()
        .unzip();
    for (name, node) in names.iter().zip(&nodes) {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(good) {
            node.mistake(
                "a name has 1 to 64 of the characters A-Z, a-z, 0-9, \"_\", \"-\" and \".\"",
            );
        }
    }
    (Names { kind, names }, nodes)
}
