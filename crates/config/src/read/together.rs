//! What can only be seen when everything is read: routes that clash, logins that lead in circles, tables that nothing uses.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use weir_limit::KeySource;
use weir_route::{NormalPath, Rule, Table};

use super::{Known, auth, route::Read};
use crate::node::Node;

/// The routing table; `None` where a route could not be read or two clash.
pub(super) fn table(routes: &[Read<'_>]) -> Option<Table> {
    let complete: Vec<(usize, &Rule)> = routes
        .iter()
        .enumerate()
        .filter_map(|(index, read)| Some((index, read.rule.as_ref()?)))
        .collect();
    let made = Table::new(complete.iter().map(|(_, rule)| (*rule).clone()).collect());
    let mut clashing = BTreeSet::new();
    for clash in made.as_ref().err().into_iter().flatten() {
        let (first, second) = (complete[clash.first].0, complete[clash.second].0);
        clashing.insert(second);
        routes[second].table.mistake(format!(
            "clashes with {}: both take the same host, path and method",
            place(&routes[first])
        ));
    }
    names(routes, &clashing);
    made.ok().filter(|_| complete.len() == routes.len())
}

/// Two routes with one name would share their numbers. Nothing is said of unnamed routes that clash: they are one too many.
fn names(routes: &[Read<'_>], clashing: &BTreeSet<usize>) {
    let mut seen: BTreeMap<&str, &Read<'_>> = BTreeMap::new();
    for (index, read) in routes.iter().enumerate() {
        let Some(name) = &read.name else { continue };
        match (seen.get(name.as_str()), &read.named) {
            (None, _) => {
                seen.insert(name, read);
            }
            (Some(first), Some(node)) => {
                node.mistake(format!("{} has the same name", place(first)))
            }
            (Some(_), None) if clashing.contains(&index) => {}
            (Some(first), None) => {
                read.table.mistake(format!(
                    "{} has the same path, which is also its name: give each a `name`",
                    place(first)
                ));
            }
        }
    }
}

/// `route[2] (line 40)`
fn place(read: &Read<'_>) -> String {
    format!("{} (line {})", read.table.key(), read.table.line())
}

/// A login page that asks for the session it is to give sends browsers round in circles.
pub(super) fn logins(table: &Table, auth: &[auth::Read<'_>], routes: &[Read<'_>]) {
    for (index, read) in auth.iter().enumerate() {
        let Some(login) = &read.login else { continue };
        let Some(text) = login.text("a login page") else {
            continue;
        };
        let page = text
            .as_str()
            .split(['?', '#', '{'])
            .next()
            .unwrap_or_default();
        let Ok(page) = NormalPath::parse(page) else {
            continue;
        };
        let Ok(found) = table.find(None, &Method::GET, &page) else {
            continue;
        };
        let read = &routes[found];
        if read
            .route
            .as_ref()
            .is_some_and(|route| route.auth == Some(index))
        {
            login.mistake(format!(
                "leads to {}, which asks for this same session: browsers would be sent round in circles",
                place(read),
            ));
        }
    }
}

/// A limit by user that two issuers' users share takes two people of one name for one.
pub(super) fn namesakes(known: &Known<'_>, limits: &[Node<'_>], routes: &[Read<'_>]) {
    for (index, node) in limits.iter().enumerate() {
        let by_user = known.limits[index]
            .as_ref()
            .is_some_and(|limit| limit.by == KeySource::User);
        let routes = routes.iter().filter_map(|read| read.route.as_ref());
        let auth: BTreeSet<usize> = routes
            .filter(|route| by_user && route.limits.contains(&index))
            .filter_map(|route| route.auth)
            .flat_map(|auth| std::iter::once(auth).chain(known.auth[auth].members.iter().copied()))
            .collect();
        let issuers: Vec<&auth::Issuer> = auth
            .iter()
            .filter_map(|auth| known.auth[*auth].issuer.as_ref())
            .collect();
        let confused = |at: usize| issuers[..at].iter().any(|one| one.confuses(issuers[at]));
        if (0..issuers.len()).any(confused) {
            node.warning("counts users of several issuers, and takes two of one name for one: `user_prefix` in their [auth] tables keeps them apart");
        }
    }
}

/// What nothing uses is probably a slip, but serves nobody wrongly.
pub(super) fn unused(known: &Known<'_>, [upstreams, auth, limits, cors, stores]: [&[Node<'_>]; 5]) {
    let through_any = |index: usize| known.auth.iter().any(|read| read.members.contains(&index));
    let warn = |nodes: &[Node<'_>], used: &dyn Fn(usize) -> bool| {
        nodes
            .iter()
            .enumerate()
            .filter(|&(index, _)| !used(index))
            .for_each(|(_, node)| node.warning("nothing uses it"));
    };
    warn(upstreams, &|index| {
        known.upstreams_used.borrow().contains(&index)
    });
    warn(auth, &|index| {
        known.auth_used.borrow().contains(&index) || through_any(index)
    });
    warn(limits, &|index| known.limits_used.borrow().contains(&index));
    warn(cors, &|index| known.cors_used.borrow().contains(&index));
    let limits = || known.limits.iter().flatten();
    warn(stores, &|index| {
        limits().any(|limit| limit.store == Some(index))
    });
}
