//! `[identity]`: what weir signs with when it tells upstreams who is asking. `identity_headers`: what nobody else may say of it.

use weir_auth::identity::{Reserved, Signer, SigningKey};

use crate::table::Table;

/// `None` where there is no such table; `Some(None)` after a mistake.
pub(super) fn signer(root: &Table<'_>) -> Option<Option<Signer>> {
    let node = root.get("identity")?;
    Some(
        node.table("an [identity] table")
            .and_then(|table| read(&table)),
    )
}

fn read(table: &Table<'_>) -> Option<Signer> {
    let issuer = table.get("issuer").and_then(|node| node.string("a name"));
    let id = table
        .get("kid")
        .and_then(|node| node.string("the id of the key"));
    let key = match (table.get("secret"), table.get("key")) {
        (Some(node), None) => node.secret().map(|text| (node, SigningKey::Secret(text))),
        (None, Some(node)) => node.secret().map(|text| (node, SigningKey::Pem(text))),
        (Some(_), Some(key)) => {
            key.mistake("stands beside `secret`; one of them signs");
            None
        }
        (None, None) => {
            table.lacks("needs `secret` (HS256) or `key` (ES256, a private key in PEM)");
            None
        }
    };
    table.finish();
    let (node, key) = key?;
    Signer::new(key, issuer.unwrap_or_else(|| "weir".to_owned()), id)
        .map_err(|why| node.mistake(why.to_string()))
        .ok()
}

/// `identity_headers`
pub(super) fn reserved(root: &Table<'_>) -> Reserved {
    let Some(node) = root.get("identity_headers") else {
        return Reserved::default();
    };
    let nodes = node.one_or_many();
    let one = |text: &str| match Reserved::new(&[text]) {
        Ok(_) => Ok(text.to_owned()),
        Err((_, why)) => Err(why),
    };
    let names: Vec<String> = nodes
        .iter()
        .filter_map(|node| node.parse("the name of a header", one))
        .collect();
    Reserved::new(&names).unwrap_or_default()
}
