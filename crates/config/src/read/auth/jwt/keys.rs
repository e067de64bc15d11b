//! What a token table's signatures are verified with: `secret`, or public keys from `key`, `jwks` and `jwks_url`.

use std::{sync::Arc, time::Duration};

use http::Uri;
use secrecy::SecretString;
use weir_auth::{
    KeyError, Swapped,
    jwt::{Algorithm, KeySet, Origin},
};

use weir_proxy::settings::Roots;

use crate::{node::Node, plan::Jwks, read::upstream::authorities, table::Table};

/// The keys that the file itself holds, and the set to fetch. `None` after a mistake.
pub(super) fn read(table: &Table<'_>) -> Option<(KeySet, Option<Jwks>)> {
    let algorithm_node = table.get("algorithm");
    let allowed: Option<Vec<Algorithm>> =
        algorithm_node.as_ref().map_or(Some(Vec::new()), |node| {
            let expected = "the name of an algorithm, such as \"HS256\" or \"RS256\"";
            let read: Vec<_> = node
                .one_or_many()
                .iter()
                .map(|one| one.parse(expected, str::parse))
                .collect();
            read.into_iter().collect()
        });
    let (secret, jwks) = (table.get("secret"), table.get("jwks"));
    let (key, url) = (table.get("key"), table.get("jwks_url"));
    let clock = |key, default| {
        let time = table.get(key).and_then(|node| node.duration());
        time.unwrap_or(default)
    };
    let refresh = clock("jwks_refresh", Duration::from_secs(600));
    let stale = clock("jwks_stale", Duration::from_secs(86_400));
    let ca = table.get("jwks_ca");
    let roots = ca.as_ref().and_then(authorities).map(Roots::Only);
    if let Some(node) = ca.filter(|_| url.is_none()) {
        node.mistake("has no meaning without `jwks_url`");
    }
    let public = [&key, &jwks, &url].into_iter().flatten().count();
    if let Some(secret) = &secret {
        if public > 0 {
            secret.mistake("stands beside a public key: anybody who has that key could sign; keep them in two [auth] tables");
            return None;
        }
        return secrets(secret, allowed, algorithm_node.as_ref()).map(|keys| (keys, None));
    }
    if public == 0 {
        table.need("secret", "what the tokens are signed with (or `key`, `jwks` or `jwks_url`, what their issuer's signatures are verified with)");
        return None;
    }
    let allowed = allowed?;
    if allowed.iter().any(|one| one.is_hmac()) {
        algorithm_node?.mistake("names an algorithm of shared secrets beside public keys");
        return None;
    }
    let mut keys = KeySet::default();
    for node in key.iter().flat_map(Node::one_or_many) {
        let text = node.text("a public key in PEM")?;
        let read = KeySet::pem(text.as_str(), &allowed);
        keys = keys.and(read.map_err(|why| node.mistake(why.to_string())).ok()?);
    }
    for node in jwks.iter().flat_map(Node::one_or_many) {
        let text = node.text("a JWK Set")?;
        let read = KeySet::jwks(text.as_str(), &allowed, Origin::File);
        let (more, dropped) = read.map_err(|why| node.mistake(why.to_string())).ok()?;
        for one in dropped {
            node.warning(&one.to_string());
        }
        keys = keys.and(more);
    }
    let Some(url) = url else {
        return Some((keys, None));
    };
    if !keys.is_empty() {
        url.mistake("stands beside keys of the file; keep them in two [auth] tables");
        return None;
    }
    let url = url.parse("a URL such as \"https://id.example.com/jwks\"", self::url)?;
    let jwks = Jwks {
        url,
        allowed,
        refresh,
        stale,
        roots: roots.unwrap_or_default(),
        keys: Arc::new(Swapped::new(KeySet::default())),
    };
    Some((keys, Some(jwks)))
}

/// Each is tried on its own, so that each mistake stands at its secret.
fn secrets(
    node: &Node<'_>,
    allowed: Option<Vec<Algorithm>>,
    named: Option<&Node<'_>>,
) -> Option<KeySet> {
    // One that cannot be read was said; the secrets are looked at all the same.
    let allowed = allowed.unwrap_or_default();
    let algorithm = match allowed[..] {
        [] => Algorithm::default(),
        [one] => one,
        _ => {
            named?.mistake("names several algorithms; a secret is for one");
            return None;
        }
    };
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        node.mistake("found an empty array, expected at least one secret");
    }
    let fits = |node: &Node<'_>, secret: SecretString| {
        KeySet::secrets(std::slice::from_ref(&secret), algorithm)
            .map_err(|why: KeyError| node.mistake(why.to_string()))
            .ok()
    };
    let sets: Vec<_> = nodes
        .iter()
        .map(|node| fits(node, node.secret()?))
        .collect();
    let sets: Option<Vec<KeySet>> = sets.into_iter().collect();
    sets.map(|sets| sets.into_iter().fold(KeySet::default(), KeySet::and))
}

/// Who can change the answer can sign, so it must come over TLS, or from this machine.
fn url(text: &str) -> Result<Uri, &'static str> {
    let url: Uri = text.parse().map_err(|_| "it is no URL")?;
    let host = url.host().ok_or("the host is missing")?;
    // Nobody would send it, and it would stand in every message about the set.
    if url
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err("a user and a password have no place in it");
    }
    let here = matches!(host, "127.0.0.1" | "[::1]" | "localhost");
    match url.scheme_str() {
        Some("https") => Ok(url),
        Some("http") if here => Ok(url),
        Some("http") => Err("plain http is taken only from this machine"),
        _ => Err("the scheme is not https"),
    }
}
