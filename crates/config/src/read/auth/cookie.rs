//! `type = "aspnet-cookie"`: the session of an ASP.NET application and the keys that open it.

use std::{path::PathBuf, sync::Arc};

use secrecy::SecretString;
use weir_auth::{
    AspNetCookie, AspNetCookieSettings, KeyError, Swapped, Verifier,
    aspnet::{Decryption, KeyRing, MachineKey, Protection, Validation},
};

use super::{super::general::strings, Read, api_key, browsers, certificate, jwt};
use crate::{node::Node, plan::LiveKeys, table::Table};

/// The keys that only such a table has.
pub(super) const KEYS: [&str; 7] = [
    "name",
    "auth_type",
    "machine_key",
    "key_ring",
    "discriminator",
    "require_expiry",
    "max_age",
];
pub(super) fn read<'a>(name: &str, table: &Table<'a>) -> Read<'a> {
    table.foreign(&["any"], "`type = \"any\"`");
    table.foreign(&jwt::KEYS, "`type = \"jwt\"`");
    table.foreign(&certificate::KEYS, "`type = \"client-certificate\"`");
    table.foreign(&api_key::KEYS, "`type = \"api-key\"`");
    table.foreign(&[jwt::FROM], "`type = \"jwt\"` and `type = \"api-key\"`");
    let default = AspNetCookieSettings::default();
    let text = |key| table.get(key).and_then(|node| node.string("a name"));
    let name_node = table.get("name");
    let ring_node = table.get("key_ring");
    let keys_node = match &ring_node {
        Some(_) => table.get("machine_key"),
        None => table.need(
            "machine_key",
            "the keys of the application's web.config (or `key_ring`, those of ASP.NET Core)",
        ),
    };
    let keys = keys_node.map(|node| {
        let nodes = node.one_or_many();
        if nodes.is_empty() {
            node.mistake("found an empty array, expected at least one key");
        }
        let keys: Vec<_> = nodes.iter().map(machine_key).collect();
        keys.into_iter().collect::<Option<Vec<_>>>()
    });
    let discriminators = table
        .get("discriminator")
        .map(|node| strings(&node, "the application's name, or its content root"))
        .unwrap_or_default();
    let live = ring_node.as_ref().and_then(ring);
    let protection = live.as_ref().map(|(_, ring)| Protection {
        ring: Arc::clone(ring),
        discriminators,
    });
    let settings = AspNetCookieSettings {
        name: name_node
            .as_ref()
            .and_then(|node| node.string("the name of a cookie"))
            .unwrap_or(default.name),
        auth_type: text("auth_type").unwrap_or(default.auth_type),
        keys: keys.flatten().unwrap_or_default(),
        protection,
        require_expiry: table
            .get("require_expiry")
            .and_then(|node| node.boolean())
            .unwrap_or(default.require_expiry),
        max_age: table.get("max_age").and_then(|node| node.duration()),
        leeway: table
            .get("leeway")
            .and_then(|node| node.duration_or_zero())
            .unwrap_or(default.leeway),
        user_claim: text("user_claim"),
        tenant_claim: text("tenant_claim"),
    };
    let has_tenant = settings.tenant_claim.is_some();
    let verifier = match AspNetCookie::new(settings) {
        Ok(cookie) => Some(Verifier::AspNetCookie(cookie)),
        // What is wrong with the keys was said where they stand.
        Err(KeyError::NoKey) => None,
        Err(why @ (KeyError::CookieName | KeyError::FormsAuthentication)) => {
            name_node.map_or_else(
                || table.mistake(why.to_string()),
                |node| node.mistake(why.to_string()),
            );
            None
        }
        Err(why) => {
            table.mistake(why.to_string());
            None
        }
    };
    let live = live.map(|(folder, ring)| LiveKeys::Ring { folder, ring });
    let auth = browsers(name, table, verifier, live.into_iter().collect());
    table.finish();
    Read {
        auth,
        has_tenant,
        login: table.get("login"),
        issuer: None,
        members: Vec::new(),
    }
}

/// The folder and what it holds now. A file that cannot be used is a mistake, and which it is.
fn ring(node: &Node<'_>) -> Option<(PathBuf, Arc<Swapped<KeyRing>>)> {
    let folder = node.source.path(&node.string("the path of a folder")?);
    let files = node
        .source
        .ring(&folder)
        .map_err(|why| node.mistake(format!("the folder cannot be read: {why}")))
        .ok()?;
    let ring = KeyRing::read(
        files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str())),
    );
    match ring {
        Ok(ring) => Some((folder, Arc::new(Swapped::new(ring)))),
        Err((name, why)) => {
            let place = if name.is_empty() {
                name
            } else {
                format!("{name}: ")
            };
            node.mistake(format!("{place}{why}"));
            None
        }
    }
}

/// Both keys are tried on their own, so that two mistakes are two mistakes, each at its key.
fn machine_key(node: &Node<'_>) -> Option<MachineKey> {
    let table = node.table("a table { validation = …, decryption = … }, or an array of them")?;
    let algorithm = "the name of an algorithm, as in web.config";
    let validation_alg: Validation = table
        .get("validation_alg")
        .and_then(|node| node.parse(algorithm, str::parse))
        .unwrap_or_default();
    let decryption_alg: Decryption = table
        .get("decryption_alg")
        .and_then(|node| node.parse(algorithm, str::parse))
        .unwrap_or_default();
    let key = |key, what| {
        table
            .need(key, what)
            .and_then(|node| node.secret().map(|secret| (node, secret)))
    };
    let validation = key("validation", "the validation key, in hexadecimal");
    let decryption = key("decryption", "the decryption key, in hexadecimal");
    table.finish();

    let blank = SecretString::from("00".repeat(32));
    let fits = |node: &Node<'_>, made: Result<MachineKey, KeyError>| {
        made.map_err(|why| node.mistake(why.to_string())).is_ok()
    };
    let validation = validation.filter(|(node, key)| {
        fits(
            node,
            MachineKey::new(validation_alg, key, decryption_alg, &blank),
        )
    });
    let decryption = decryption.filter(|(node, key)| {
        fits(
            node,
            MachineKey::new(validation_alg, &blank, decryption_alg, key),
        )
    });
    MachineKey::new(
        validation_alg,
        &validation?.1,
        decryption_alg,
        &decryption?.1,
    )
    .ok()
}
