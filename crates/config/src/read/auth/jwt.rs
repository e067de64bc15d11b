//! `type = "jwt"`: signed tokens, where they may stand and what they must say.

use secrecy::SecretString;
use weir_auth::{Jwt, JwtSettings, KeyError, TokenSource, Verifier, jwt::Algorithm};

use super::{super::general::strings, Read, browsers, certificate, cookie};
use crate::{node::Node, table::Table};

/// The keys that only such a table has.
pub(super) const KEYS: [&str; 9] = [
    "secret",
    "algorithm",
    "from",
    "issuer",
    "audience",
    "max_lifetime",
    "required_claims",
    "roles_claim",
    "typ",
];
pub(super) fn read<'a>(name: &str, table: &Table<'a>) -> Read<'a> {
    table.foreign(&["any"], "`type = \"any\"`");
    table.foreign(&cookie::KEYS, "`type = \"aspnet-cookie\"`");
    table.foreign(&certificate::KEYS, "`type = \"client-certificate\"`");
    let default = JwtSettings::default();
    let text = |key| table.get(key).and_then(|node| node.string("a string"));
    let claim = |key| {
        table
            .get(key)
            .and_then(|node| node.string("the name of a claim"))
    };
    let algorithm: Algorithm = table
        .get("algorithm")
        .and_then(|node| node.parse("\"HS256\", \"HS384\" or \"HS512\"", str::parse))
        .unwrap_or_default();
    let secrets = table
        .need("secret", "what the tokens are signed with")
        .map(|node| secrets(&node, algorithm));
    let from = table.get("from").map(|node| sources(&node));
    let settings = JwtSettings {
        from: from.unwrap_or(default.from),
        algorithm,
        secrets: secrets.flatten().unwrap_or_default(),
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
        tenant_claim: claim("tenant_claim"),
        roles_claim: claim("roles_claim"),
        max_lifetime: table.get("max_lifetime").and_then(|node| node.duration()),
        types: table
            .get("typ")
            .map(|node| strings(&node, "a token type such as \"at+jwt\""))
            .unwrap_or(default.types),
    };
    let has_tenant = settings.tenant_claim.is_some();
    // What is wrong with a secret or a source was said where it stands, and nothing else can be wrong.
    let verifier = Jwt::new(settings).ok().map(Verifier::Jwt);
    let auth = browsers(name, table, verifier);
    table.finish();
    Read {
        auth,
        has_tenant,
        login: table.get("login"),
        members: Vec::new(),
    }
}

/// Each is tried on its own, so that each mistake stands at its secret.
fn secrets(node: &Node<'_>, algorithm: Algorithm) -> Option<Vec<SecretString>> {
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        node.mistake("found an empty array, expected at least one secret");
    }
    let secrets: Vec<_> = nodes
        .iter()
        .map(|node| {
            let secret = node.secret()?;
            let alone = JwtSettings {
                algorithm,
                secrets: vec![secret.clone()],
                ..JwtSettings::default()
            };
            Jwt::new(alone)
                .map_err(|why| node.mistake(why.to_string()))
                .ok()?;
            Some(secret)
        })
        .collect();
    secrets.into_iter().collect()
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
            // It knows what may be the name of a cookie, and says so before it misses a secret.
            match Jwt::new(JwtSettings {
                from: vec![source.clone()],
                ..JwtSettings::default()
            }) {
                Err(why @ KeyError::CookieName) => Err(why.to_string()),
                _ => Ok(source),
            }
        }
        None if text == "authorization" => Ok(TokenSource::AuthorizationHeader),
        None => Err("there is no other place".to_owned()),
    };
    nodes
        .iter()
        .filter_map(|node| node.parse("\"authorization\" or \"cookie:NAME\"", place))
        .collect()
}
