//! `type = "jwt"`: signed tokens, where they may stand and what they must say.

mod keys;

use std::sync::Arc;

use weir_auth::{Jwt, JwtSettings, KeyError, Swapped, TokenSource, Verifier};

use super::{super::general::strings, Issuer, Read, api_key, browsers, certificate, cookie};
use crate::{node::Node, plan::LiveKeys, table::Table};

/// The keys that only such a table has.
pub(super) const KEYS: [&str; 16] = [
    "secret",
    "key",
    "jwks",
    "jwks_url",
    "jwks_ca",
    "jwks_refresh",
    "jwks_stale",
    "algorithm",
    "issuer",
    "audience",
    "max_lifetime",
    "required_claims",
    "user_prefix",
    "roles_claim",
    "scopes_claim",
    "typ",
];
/// Where the credential may stand.
pub(super) const FROM: &str = "from";

pub(super) fn read<'a>(name: &str, table: &Table<'a>) -> Read<'a> {
    table.foreign(&["any"], "`type = \"any\"`");
    table.foreign(&cookie::KEYS, "`type = \"aspnet-cookie\"`");
    table.foreign(&certificate::KEYS, "`type = \"client-certificate\"`");
    table.foreign(&api_key::KEYS, "`type = \"api-key\"`");
    let default = JwtSettings::default();
    let text = |key| table.get(key).and_then(|node| node.string("a string"));
    let claim = |key| {
        table
            .get(key)
            .and_then(|node| node.string("the name of a claim"))
    };
    let (keys, jwks) = keys::read(table).unwrap_or_default();
    let keys = Arc::new(Swapped::new(keys));
    let live = jwks.map(|jwks| {
        LiveKeys::Jwks(crate::plan::Jwks {
            keys: Arc::clone(&keys),
            ..jwks
        })
    });
    let from = table.get(FROM).map(|node| sources(&node));
    let reads_query = from.iter().flatten().any(|one| *one == TokenSource::Query);
    // It may be empty: that says that the issuer's names are the gateway's own.
    let prefix = table
        .get("user_prefix")
        .and_then(|node| node.text("a string"))
        .map(|text| text.as_str().to_owned());
    let settings = JwtSettings {
        from: from.unwrap_or(default.from),
        keys,
        issuer: text("issuer"),
        audience: text("audience"),
        leeway: table
            .get("leeway")
            .and_then(|node| node.duration_or_zero())
            .unwrap_or(default.leeway),
        required: table
            .get("required_claims")
            .map(|node| strings(&node, "the name of a claim"))
            .unwrap_or_default(),
        user_claim: claim("user_claim").unwrap_or(default.user_claim),
        user_prefix: prefix.clone().unwrap_or_default(),
        tenant_claim: claim("tenant_claim"),
        roles_claim: claim("roles_claim"),
        scopes_claim: claim("scopes_claim").or(default.scopes_claim),
        max_lifetime: table.get("max_lifetime").and_then(|node| node.duration()),
        types: table
            .get("typ")
            .map(|node| strings(&node, "a token type such as \"at+jwt\""))
            .unwrap_or(default.types),
    };
    let has_tenant = settings.tenant_claim.is_some();
    let issuer = settings.issuer.clone().map(|name| Issuer { name, prefix });
    // What is wrong with a source was said where it stands, and nothing else can be wrong.
    let verifier = Jwt::new(settings).ok().map(Verifier::Jwt);
    let auth = browsers(name, table, verifier, live.into_iter().collect());
    let auth = auth.map(|auth| crate::plan::Auth {
        reads_query,
        ..auth
    });
    table.finish();
    Read {
        auth,
        has_tenant,
        issuer,
        login: table.get("login"),
        members: Vec::new(),
    }
}

/// `from = ["authorization", "cookie:NAME"]`
fn sources(node: &Node<'_>) -> Vec<TokenSource> {
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        node.mistake("found an empty array, expected at least one place");
    }
    let place = |text: &str| match text.strip_prefix("cookie:") {
        Some("") => Err("the cookie's name is missing".to_owned()),
        Some(name) => {
            let source = TokenSource::Cookie(name.to_owned());
            source.check().map_err(|why: KeyError| why.to_string())?;
            Ok(source)
        }
        None if text == "query" => Ok(TokenSource::Query),
        None if text == "websocket-protocol" => Ok(TokenSource::WebSocketProtocol),
        None if text == "authorization" => Ok(TokenSource::AuthorizationHeader),
        None => Err("there is no other place".to_owned()),
    };
    nodes
        .iter()
        .filter_map(|node| {
            let expected =
                "\"authorization\", \"cookie:NAME\", \"query\" or \"websocket-protocol\"";
            node.parse(expected, place)
        })
        .collect()
}
