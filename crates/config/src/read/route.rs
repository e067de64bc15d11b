//! `[[route]]`: which requests it takes, who may send them, and how often. What then serves them is [`super::action`]'s.

use std::fmt::Display;

use http::{HeaderName, HeaderValue, Method};
use weir_auth::Require;
use weir_limit::KeySource;
use weir_proxy::compress::Coding;
use weir_route::{HostPattern, Pattern, Rule};

use super::{Known, action, cors, general::strings};
use crate::{
    node::Node,
    plan::{Action, LimitKind, Route},
    table::Table,
};

/// One `[[route]]` as far as it could be read.
pub(super) struct Read<'a> {
    /// The table, for mistakes that concern it as a whole.
    pub(super) table: Table<'a>,
    pub(super) rule: Option<Rule>,
    /// Whether it has a name of its own, beside its path.
    pub(super) named: Option<Node<'a>>,
    /// Its name, or its path.
    pub(super) name: Option<String>,
    /// `None` after a mistake.
    pub(super) route: Option<Route>,
}

pub(super) fn route<'a>(node: &Node<'a>, known: &Known<'_>) -> Option<Read<'a>> {
    let table = node.table("a [[route]] table")?;
    let path = table
        .need("path", "which paths it serves, such as \"/chat/*\"")
        .and_then(|node| {
            node.parse("a path such as \"/chat/*\" or \"/agents/*/run\"", |text| {
                Pattern::parse(text).map(|pattern| (text.to_owned(), pattern))
            })
        });
    let named = table.get("name");
    let name = match &named {
        Some(node) => node.parse("a name of visible ASCII characters without quotes", label),
        None => path.as_ref().map(|(text, _)| text.clone()),
    };
    let host = each(
        &table,
        "host",
        "a host such as \"a.test\" or \"*.a.test\"",
        HostPattern::parse,
    );
    let methods = each(&table, "method", "a method such as \"GET\"", method);

    let mut action = action::action(&table, path.as_ref().map(|(_, pattern)| pattern), known);
    if let Some(Action::Proxy { rewrite, .. } | Action::Files { rewrite, .. }) = &mut action
        && known.caseless
    {
        // What is cut off is found as the route is, or the upstream would see some of its paths whole.
        *rewrite = rewrite.clone().without_case();
    }

    let auth = table.get("auth");
    let has_auth = auth.is_some();
    let auth = auth.and_then(|node| node.name(known.auth_names));
    let require = table.get("require").map(|node| {
        if !has_auth {
            node.mistake("asks something of the caller, but this route has no `auth` that would say who calls");
        }
        require(&node)
    });
    let limits = limits(&table, known, has_auth.then_some(auth), action.as_ref());
    if let Some(auth) = auth {
        known.auth_used.borrow_mut().insert(auth);
    }
    let max_body = table
        .get("max_body")
        .and_then(|node| node.size())
        .unwrap_or(known.max_body);
    let log = table
        .get("log")
        .and_then(|node| node.boolean())
        .unwrap_or(true);
    let cors = table
        .get("cors")
        .and_then(|node| cors::of_route(&node, known));
    let compress = table
        .get("compress")
        .map(|node| compress(&node))
        .unwrap_or_default();
    let headers = table
        .get("headers")
        .map(|node| headers(&node))
        .unwrap_or_default();
    table.finish();

    let text = path.as_ref().map(|(text, _)| text.clone());
    let rule = match (host, methods, path) {
        (Some(host), Some(methods), Some((_, path))) => Some(Rule {
            host,
            methods,
            path: if known.caseless {
                path.without_case()
            } else {
                path
            },
        }),
        _ => None,
    };
    let route = match (&name, text, action) {
        (Some(name), Some(path), Some(action)) => Some(Route {
            name: name.clone(),
            path,
            action,
            auth,
            require: require.unwrap_or_default(),
            limits,
            max_body,
            log,
            cors,
            compress,
            headers,
        }),
        _ => None,
    };
    Some(Read {
        table,
        rule,
        named,
        name,
        route,
    })
}

/// `require = { role = ["admin"], scope = ["chat"] }`
fn require(node: &Node<'_>) -> Require {
    let Some(table) = node.table("a table such as { role = [\"admin\"] }") else {
        return Require::default();
    };
    let list = |key| {
        let node = table.get(key)?;
        let list = strings(&node, "a name");
        if list.is_empty() {
            node.mistake("names nothing");
        }
        Some(list)
    };
    let (roles, scopes) = (list("role"), list("scope"));
    if roles.is_none() && scopes.is_none() {
        node.mistake("asks for nothing: it needs `role` or `scope`");
    }
    table.finish();
    Require {
        roles: roles.unwrap_or_default(),
        scopes: scopes.unwrap_or_default(),
    }
}

/// The limits of a route. `auth` is the route's own, if it says one, as far as it could be read.
fn limits(
    table: &Table<'_>,
    known: &Known<'_>,
    auth: Option<Option<usize>>,
    action: Option<&Action>,
) -> Vec<usize> {
    let nodes = table
        .get("limit")
        .map(|node| node.one_or_many())
        .unwrap_or_default();
    let mut limits = Vec::new();
    for node in &nodes {
        let Some(index) = node.name(known.limit_names) else {
            continue;
        };
        if limits.contains(&index) {
            node.mistake("is named twice");
            continue;
        }
        limits.push(index);
        known.limits_used.borrow_mut().insert(index);
        let Some(limit) = &known.limits[index] else {
            continue;
        };
        match (&limit.by, auth) {
            (KeySource::User | KeySource::Tenant, None) => {
                node.mistake(
                    "counts by caller, but this route has no `auth` that would say who calls",
                );
            }
            (KeySource::Tenant, Some(Some(auth))) if !known.auth[auth].has_tenant => {
                node.warning("counts by tenant, but this route's `auth` has no `tenant_claim`: the client's address is counted");
            }
            _ => {}
        }
        let counts = match limit.kind {
            LimitKind::Rate(..) => None,
            LimitKind::Tokens { .. } => Some("tokens"),
            LimitKind::Streams(_) => Some("streams"),
        };
        if let Some(what) = counts
            && action.is_some_and(|action| !matches!(action, Action::Proxy { .. }))
        {
            node.mistake(format!(
                "counts {what}, but this route has no `to` that could bring one"
            ));
        }
    }
    limits
}

/// The meanings of one string or several; `None` where one of them has none.
fn each<T, E: Display>(
    table: &Table<'_>,
    key: &'static str,
    expected: &str,
    meaning: impl Fn(&str) -> Result<T, E>,
) -> Option<Vec<T>> {
    let nodes = table
        .get(key)
        .map(|node| node.one_or_many())
        .unwrap_or_default();
    // All of them first: collecting into an Option at once would stop at the first mistake.
    let read: Vec<_> = nodes
        .iter()
        .map(|node| node.parse(expected, &meaning))
        .collect();
    read.into_iter().collect()
}

/// It becomes a label of metrics and a word of log lines.
fn label(text: &str) -> Result<String, &'static str> {
    let good = |b: u8| b == b' ' || b.is_ascii_graphic() && b != b'"' && b != b'\\';
    if text.trim().is_empty() || text.len() > 128 || !text.bytes().all(good) {
        return Err("at most 128 of them, and not none");
    }
    Ok(text.to_owned())
}

pub(super) fn method(text: &str) -> Result<Method, &'static str> {
    match Method::from_bytes(text.as_bytes()) {
        Ok(Method::CONNECT | Method::TRACE) => Err("weir refuses CONNECT and TRACE on every route"),
        Ok(method) if text.bytes().all(|b| !b.is_ascii_lowercase()) => Ok(method),
        Ok(_) => Err("methods are written in upper case"),
        Err(_) => Err("not a word"),
    }
}

/// `compress = true`, or the codings in the order in which they are preferred.
fn compress(node: &Node<'_>) -> Vec<Coding> {
    if node.is_boolean() {
        return match node.boolean() {
            Some(true) => Coding::ALL.to_vec(),
            _ => Vec::new(),
        };
    }
    let choices = Coding::ALL.map(|coding| (coding.as_str(), coding));
    let mut codings = Vec::new();
    for node in node.one_or_many() {
        match node.choice(&choices) {
            Some(coding) if codings.contains(&coding) => node.mistake("is named twice"),
            Some(coding) => codings.push(coding),
            None => {}
        }
    }
    codings
}

/// `headers = { "X-Frame-Options" = "DENY" }`
pub(super) fn headers(node: &Node<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let Some(table) = node.table("a table such as { \"X-Frame-Options\" = \"DENY\" }") else {
        return Vec::new();
    };
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for (name, node) in table.entries() {
        let Ok(name) = HeaderName::try_from(name) else {
            node.mistake("this cannot be the name of a header");
            continue;
        };
        if FRAMING.contains(&name.as_str()) {
            node.mistake("weir sets this header itself, as the connection and the body demand");
            continue;
        }
        if headers.iter().any(|(other, _)| *other == name) {
            node.mistake("the same header twice: upper and lower case mean the same");
            continue;
        }
        if let Some(value) = value(&node) {
            headers.push((name, value));
        }
    }
    headers
}

/// The value of a header. One that came from outside is marked, so that no Debug shows it.
pub(super) fn value(node: &Node<'_>) -> Option<HeaderValue> {
    let text = node.text("the value of a header")?;
    let mut value = node.meant("the value of a header: visible ASCII characters", |text| {
        HeaderValue::from_str(text).ok()
    })?;
    value.set_sensitive(text.is_filled());
    Some(value)
}

const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "date",
];
