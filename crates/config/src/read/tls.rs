//! `tls = {…}` or `[[listen.tls]]`: certificates, the names they serve, and the certificates asked of clients. Only where the files
//! are is read here: the binary opens them, because it opens them again whenever they change.

use std::path::PathBuf;

use weir_route::HostPattern;

use crate::{
    node::Node,
    plan::{ClientCertificates, KeyPair, Tls},
};

/// All of a listener.
pub(super) fn hosts(node: &Node<'_>) -> Vec<Tls> {
    let items = node.one_or_many();
    if items.is_empty() {
        node.mistake("found an empty array, expected at least one certificate");
    }
    let mut seen: Vec<(String, usize)> = Vec::new();
    items
        .iter()
        .filter_map(|item| host(item, &mut seen))
        .collect()
}

fn host(node: &Node<'_>, seen: &mut Vec<(String, usize)>) -> Option<Tls> {
    let example = "a table such as { certificate = \"certs/site.crt\", key = \"certs/site.key\" }";
    let table = node.table(example)?;
    let hosts = table
        .get("host")
        .map(|node| names(&node, seen))
        .unwrap_or_default();
    let certificates = table.need("certificate", "the file of the certificate and its chain");
    let keys = table.need("key", "the file of the certificate's key");
    let clients = table
        .get("client_certificate")
        .and_then(|node| clients(&node));
    table.finish();
    let (certificates, keys) = (certificates?.one_or_many(), keys?.one_or_many());
    if certificates.len() != keys.len() || certificates.is_empty() {
        table.mistake(format!(
            "found {} `certificate` and {} `key`, expected as many keys as certificates",
            certificates.len(),
            keys.len()
        ));
        return None;
    }
    let pairs: Option<Vec<_>> = certificates
        .iter()
        .zip(&keys)
        .map(|(certificate, key)| {
            let (certificate, key) = (path(certificate), path(key));
            Some(KeyPair {
                certificate: certificate?,
                key: key?,
            })
        })
        .collect();
    Some(Tls {
        hosts,
        pairs: pairs?,
        clients,
    })
}

fn path(node: &Node<'_>) -> Option<PathBuf> {
    let path = node.string("the path of a PEM file")?;
    Some(node.source.path(&path))
}

fn names(node: &Node<'_>, seen: &mut Vec<(String, usize)>) -> Vec<HostPattern> {
    let mut names = Vec::new();
    for item in node.one_or_many() {
        let name = item.parse("a name such as \"a.test\" or \"*.a.test\"", |text| {
            HostPattern::parse(text)
        });
        let Some(name) = name else { continue };
        let text = name.to_string();
        match seen.iter().find(|(other, _)| *other == text) {
            Some((_, line)) => item.mistake(format!("the same name as in line {line}")),
            None => {
                seen.push((text, item.line()));
                names.push(name);
            }
        }
    }
    names
}

fn clients(node: &Node<'_>) -> Option<ClientCertificates> {
    let table = node.table("a table such as { ca = \"certs/clients-ca.crt\" }")?;
    let ca = table
        .need("ca", "the authorities whose certificates are taken")
        .and_then(|node| node.string("the path of a PEM file"));
    let crl = table.get("crl").map(|node| {
        let paths = node.one_or_many();
        paths.iter().filter_map(path).collect()
    });
    let required = table.get("required").and_then(|node| node.boolean());
    table.finish();
    Some(ClientCertificates {
        ca: node.source.path(&ca?),
        crl: crl.unwrap_or_default(),
        required: required.unwrap_or(true),
    })
}
