//! `[auth.NAME]`: which credentials are taken and the keys that verify them. Secrets go from the file straight into types that do not
//! print them.

mod api_key;
mod certificate;
mod cookie;
mod jwt;

use std::sync::Arc;

use weir_auth::{Login, Verifier};
use weir_limit::Quota;

use crate::{
    node::{Names, Node},
    plan::{Auth, LiveKeys},
    table::Table,
};

/// One `[auth.NAME]` as far as it could be read.
#[derive(Default)]
pub(super) struct Read<'a> {
    /// `None` after a mistake.
    pub(super) auth: Option<Auth>,
    /// Whether its callers have a tenant.
    pub(super) has_tenant: bool,
    /// Who says who its callers are, where that is one party by name.
    pub(super) issuer: Option<Issuer>,
    /// Its login page, for what can only be seen when the routes are read.
    pub(super) login: Option<Node<'a>>,
    /// Which others it asks, by index.
    pub(super) members: Vec<usize>,
}

/// Whose names a token table takes over.
pub(super) struct Issuer {
    /// Its `issuer`.
    name: String,
    /// Its `user_prefix`, if it has one.
    prefix: Option<String>,
}

impl Issuer {
    /// Whether one name of theirs may be two people's, as far as the file says: a subject is one person's only with its issuer (RFC 7519, 4.1.2).
    pub(super) fn confuses(&self, other: &Self) -> bool {
        let said = self.prefix.is_some() && other.prefix.is_some();
        let prefix = |issuer: &Self| issuer.prefix.clone().unwrap_or_default();
        self.name != other.name && !said && prefix(self) == prefix(other)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    AspNetCookie,
    Jwt,
    ClientCertificate,
    ApiKey,
    Any,
}

const CLAIM_KEYS: [&str; 3] = ["user_claim", "tenant_claim", "leeway"];

/// Reads all of them: first those with keys of their own, then those made of others.
pub(super) fn all<'a>(names: &Names, nodes: &[Node<'a>]) -> Vec<Read<'a>> {
    let tables: Vec<_> = nodes
        .iter()
        .map(|node| {
            let table = node.table("an [auth.NAME] table")?;
            let kind = kind(&table)?;
            Some((table, kind))
        })
        .collect();
    let mut read: Vec<Read<'a>> = Vec::new();
    for (table, name) in tables.iter().zip(&names.names) {
        read.push(match table {
            Some((table, Kind::AspNetCookie)) => cookie::read(name, table),
            Some((table, Kind::Jwt)) => jwt::read(name, table),
            Some((table, Kind::ClientCertificate)) => certificate::read(name, table),
            Some((table, Kind::ApiKey)) => api_key::read(name, table),
            Some((_, Kind::Any)) | None => Read::default(),
        });
    }
    let composed = |index: usize| matches!(tables[index], Some((_, Kind::Any)));
    for (index, table) in tables.iter().enumerate() {
        if let Some((table, Kind::Any)) = table {
            read[index] = any(&names.names[index], table, names, &read, composed);
        }
    }
    read
}

fn kind(table: &Table<'_>) -> Option<Kind> {
    let kinds = [
        ("aspnet-cookie", Kind::AspNetCookie),
        ("jwt", Kind::Jwt),
        ("client-certificate", Kind::ClientCertificate),
        ("api-key", Kind::ApiKey),
        ("any", Kind::Any),
    ];
    let any = table.get("any").is_some();
    match table.get("type") {
        Some(node) => node.choice(&kinds),
        None if any => Some(Kind::Any),
        None => {
            table.need(
                "type",
                "\"aspnet-cookie\", \"jwt\", \"api-key\", \"client-certificate\" or \"any\"",
            );
            None
        }
    }
}

fn any<'a>(
    name: &str,
    table: &Table<'a>,
    names: &Names,
    read: &[Read<'a>],
    composed: impl Fn(usize) -> bool,
) -> Read<'a> {
    for keys in [
        &cookie::KEYS[..],
        &jwt::KEYS[..],
        &certificate::KEYS[..],
        &api_key::KEYS[..],
        &CLAIM_KEYS[..],
        &[jwt::FROM],
    ] {
        table.foreign(keys, "the [auth] tables that `any` names");
    }
    let mut members: Vec<usize> = Vec::new();
    if let Some(node) = table.need("any", "the names of other [auth] tables") {
        let items = node
            .items("an array of names of [auth] tables")
            .unwrap_or_default();
        if items.is_empty() && node.is_array() {
            node.mistake("found an empty array, expected at least one name");
        }
        for item in items {
            match item.name(names) {
                Some(index) if composed(index) => {
                    item.mistake("is made of others itself; name those")
                }
                Some(index) if members.contains(&index) => item.mistake("is named twice"),
                Some(index) => {
                    let issuer = read[index].issuer.as_ref();
                    let same = members.iter().find(|other| {
                        let other = read[**other].issuer.as_ref();
                        issuer
                            .zip(other)
                            .is_some_and(|(one, other)| one.confuses(other))
                    });
                    if let Some(other) = same {
                        item.mistake(format!(
                            "has another `issuer` than \"{}\", and two issuers may give one name to two people: set `user_prefix` in one of them, or the same in both if their users are the same people",
                            names.names[*other]
                        ));
                    }
                    members.push(index);
                }
                None => {}
            }
        }
    }
    let verifiers: Option<Vec<Arc<Verifier>>> = members
        .iter()
        .map(|&index| {
            read[index]
                .auth
                .as_ref()
                .map(|auth| Arc::clone(&auth.verifier))
        })
        .collect();
    let among = || {
        members
            .iter()
            .filter_map(|&index| read[index].auth.as_ref())
    };
    let live = among().flat_map(|auth| auth.live.iter().cloned()).collect();
    let auth = browsers(name, table, verifiers.map(Verifier::Any), live);
    let auth = auth.map(|auth| Auth {
        reads_query: among().any(|auth| auth.reads_query),
        ..auth
    });
    table.finish();
    Read {
        auth,
        has_tenant: members.iter().any(|&index| read[index].has_tenant),
        issuer: None,
        login: table.get("login"),
        members,
    }
}

/// `failures`, the keys that only mean something where a browser brings a cookie, and the result.
fn browsers(
    name: &str,
    table: &Table<'_>,
    verifier: Option<Verifier>,
    live: Vec<LiveKeys>,
) -> Option<Auth> {
    let login = table.get("login");
    let origins = table.get("trusted_origins");
    if verifier
        .as_ref()
        .is_some_and(|verifier| verifier.cookie_names().is_empty())
    {
        for node in [&login, &origins].into_iter().flatten() {
            node.mistake("has no meaning here: no credential of this table comes in a cookie, so a browser cannot bring one by itself");
        }
    }
    let login = login.and_then(|node| {
        node.parse(
            "a login page such as \"/login?returnUrl={path}\"",
            Login::new,
        )
    });
    let failures = table
        .get("failures")
        .and_then(|node| node.parse("an amount and a time such as \"20/60s\"", Quota::parse));
    let trusted_origins = origins
        .map(|node| {
            let items = node.one_or_many();
            items
                .iter()
                .filter_map(|item| {
                    item.parse("an origin such as \"https://portal.example.com\"", origin)
                })
                .collect()
        })
        .unwrap_or_default();
    Some(Auth {
        name: name.to_owned(),
        verifier: Arc::new(verifier?),
        login,
        failures,
        trusted_origins,
        live,
        reads_query: false,
    })
}

/// As browsers send it: scheme, host in lower case, port only where it is not the scheme's own, no path.
fn origin(text: &str) -> Result<String, &'static str> {
    let (scheme, host) = text.split_once("://").ok_or("the scheme is missing")?;
    let default = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return Err("the scheme is neither https nor http"),
    };
    if weir_route::Authority::parse(host).is_err() {
        return Err("after the scheme only a host and perhaps a port may stand");
    }
    let host = host.to_ascii_lowercase();
    Ok(format!(
        "{scheme}://{}",
        host.strip_suffix(default).unwrap_or(&host)
    ))
}
