//! `[store.NAME]`: where limits are counted that several processes share.

use weir_store::Settings;

use crate::node::Node;

pub(super) fn store(name: &str, node: &Node<'_>) -> Option<Settings> {
    let table = node.table("a [store.NAME] table")?;
    let url = table.need("url", "where it is, such as \"redis://10.0.0.1:6379\"");
    let settings = url.and_then(|node| {
        node.parse("redis://HOST:PORT or rediss://HOST:PORT", |text| {
            Settings::new(name, text)
        })
    });
    let user = table
        .get("user")
        .and_then(|node| node.string("the name that weir signs in with"));
    let password = table.get("password").and_then(|node| node.secret());
    let ca = table.get("ca");
    let cluster = table.get("cluster");
    let timeout = table.get("timeout").and_then(|node| node.duration());
    let prefix = table.get("prefix").and_then(|node| {
        node.parse("what its keys begin with, such as \"weir\"", |text| {
            let good = |b: u8| b.is_ascii_graphic() && !matches!(b, b'{' | b'}');
            if (1..=64).contains(&text.len()) && text.bytes().all(good) {
                Ok(text.to_owned())
            } else {
                Err("1 to 64 visible ASCII characters, no space and no brace")
            }
        })
    });
    table.finish();
    let mut settings = settings?;
    settings.signed_in(user, password);
    settings.timeout = timeout.unwrap_or(settings.timeout);
    settings.prefix = prefix.unwrap_or(settings.prefix);
    if let Some(node) = ca {
        let pem = authority(&node)?;
        if let Err(why) = settings.trust(pem) {
            node.mistake(why.to_string());
        }
    }
    if let Some(node) = cluster
        && node.boolean() == Some(true)
        && let Err(why) = settings.clustered()
    {
        node.mistake(why.to_string());
    }
    Some(settings)
}

fn authority(node: &Node<'_>) -> Option<Vec<u8>> {
    let written = node.string("the path of a PEM file")?;
    let path = node.source.path(&written);
    match node.source.env().file(&path) {
        Ok(pem) => Some(pem.into_bytes()),
        Err(error) => {
            node.mistake(format!("{} cannot be read: {error}", path.display()));
            None
        }
    }
}
