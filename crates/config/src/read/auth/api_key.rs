//! `type = "api-key"`: keys that the operator handed out, kept as hashes.

use http::HeaderName;
use weir_auth::{
    ApiKeys, Verifier,
    api_key::{self, ApiKey, KeyPlace},
};

use super::{super::general::strings, CLAIM_KEYS, Read, browsers, certificate, cookie, jwt};
use crate::{node::Node, table::Table};

/// The keys that only such a table has.
pub(super) const KEYS: [&str; 1] = ["keys"];

pub(super) fn read<'a>(name: &str, table: &Table<'a>) -> Read<'a> {
    table.foreign(&["any"], "`type = \"any\"`");
    table.foreign(&cookie::KEYS, "`type = \"aspnet-cookie\"`");
    table.foreign(&jwt::KEYS, "`type = \"jwt\"`");
    table.foreign(&certificate::KEYS, "`type = \"client-certificate\"`");
    table.foreign(
        &CLAIM_KEYS,
        "`type = \"jwt\"` and `type = \"aspnet-cookie\"`",
    );
    let from = table.get(jwt::FROM).map_or_else(
        || vec![KeyPlace::Authorization],
        |node| node.one_or_many().iter().filter_map(place).collect(),
    );
    let node = table.need("keys", "the keys as `weir key new` prints them");
    let nodes = node
        .as_ref()
        .and_then(|node| node.items("an array of keys"))
        .unwrap_or_default();
    let keys: Vec<_> = nodes.iter().map(key).collect();
    let has_tenant = keys.iter().flatten().any(|key| key.tenant.is_some());
    let keys: Option<Vec<ApiKey>> = keys.into_iter().collect();
    // What is wrong with one key, or one place, was said where it stands.
    let verifier = node
        .zip(keys)
        .filter(|_| !from.is_empty())
        .and_then(|(node, keys)| {
            ApiKeys::new(from, keys)
                .map_err(|why| node.mistake(why.to_string()))
                .ok()
                .map(Verifier::ApiKeys)
        });
    let auth = browsers(name, table, verifier, Vec::new());
    table.finish();
    Read {
        auth,
        has_tenant,
        login: table.get("login"),
        issuer: None,
        members: Vec::new(),
    }
}

fn key(node: &Node<'_>) -> Option<ApiKey> {
    let table = node.table("a table { id = …, hash = … }")?;
    let text = |key| table.get(key).map(|node| node.string("a name"));
    let list = |key| {
        table
            .get(key)
            .map(|node| strings(&node, "a name"))
            .unwrap_or_default()
    };
    let id = table.need("id", "the word between `weir_` and the next `_` of the key");
    let id = id.and_then(|node| node.string("a name"));
    let hash = table.need("hash", "what `weir key new` printed for it");
    let hash = hash.and_then(|node| node.parse("`sha256:` and 64 hexadecimal digits", str::parse));
    let user = text("user").unwrap_or_else(|| id.clone());
    let tenant = text("tenant");
    let expires = table.get("expires").map(|node| {
        node.meant(
            "a date such as \"2027-01-31\" or \"2027-01-31T12:00:00Z\"",
            api_key::end,
        )
    });
    let (roles, scopes) = (list("roles"), list("scopes"));
    table.finish();
    Some(ApiKey {
        id: id?,
        hash: hash?,
        user: user?,
        tenant: match tenant {
            Some(tenant) => Some(tenant?),
            None => None,
        },
        roles,
        scopes,
        expires: match expires {
            Some(expires) => Some(expires?),
            None => None,
        },
    })
}

fn place(node: &Node<'_>) -> Option<KeyPlace> {
    node.parse("\"authorization\" or \"header:NAME\"", |text| {
        match text
            .strip_prefix("header:")
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            Some("cookie" | "authorization") => Err("this header is read in another way"),
            Some(name) => HeaderName::try_from(name)
                .map(KeyPlace::Header)
                .map_err(|_| "this cannot be the name of a header"),
            None if text == "authorization" => Ok(KeyPlace::Authorization),
            None => Err("there is no other place"),
        }
    })
}
