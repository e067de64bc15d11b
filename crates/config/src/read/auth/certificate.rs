//! `type = "client-certificate"`: the certificate of the connection is the credential, and some of its words are the caller.

use weir_auth::{CertificateField, ClientCertificate, Verifier};

use super::{CLAIM_KEYS, Read, api_key, browsers, cookie, jwt};
use crate::table::Table;

/// The keys that only such a table has.
pub(super) const KEYS: [&str; 3] = ["user", "tenant", "roles"];

const FIELDS: [(&str, CertificateField); 7] = [
    ("common-name", CertificateField::CommonName),
    ("subject", CertificateField::Subject),
    ("organization", CertificateField::Organization),
    ("unit", CertificateField::Unit),
    ("dns", CertificateField::Dns),
    ("email", CertificateField::Email),
    ("uri", CertificateField::Uri),
];

pub(super) fn read<'a>(name: &str, table: &Table<'a>) -> Read<'a> {
    table.foreign(&["any"], "`type = \"any\"`");
    table.foreign(&cookie::KEYS, "`type = \"aspnet-cookie\"`");
    table.foreign(&jwt::KEYS, "`type = \"jwt\"`");
    table.foreign(&api_key::KEYS, "`type = \"api-key\"`");
    table.foreign(&[jwt::FROM], "`type = \"jwt\"` and `type = \"api-key\"`");
    table.foreign(&CLAIM_KEYS, "tables whose credential has claims");
    let field = |key| table.get(key).and_then(|node| node.choice(&FIELDS));
    let verifier = ClientCertificate {
        user: field("user").unwrap_or(CertificateField::CommonName),
        tenant: field("tenant"),
        roles: field("roles"),
    };
    let has_tenant = verifier.tenant.is_some();
    let auth = browsers(
        name,
        table,
        Some(Verifier::ClientCertificate(verifier)),
        Vec::new(),
    );
    table.finish();
    Read {
        auth,
        has_tenant,
        login: None,
        issuer: None,
        members: Vec::new(),
    }
}
