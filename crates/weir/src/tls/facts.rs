//! What a certificate says: its names, its time, its subject. Whether it can be believed is rustls's business.

use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use weir_auth::PeerCertificate;
use weir_route::HostPattern;
use x509_cert::{
    certificate::{CertificateInner, Raw},
    der::{
        Decode, Error,
        oid::{
            ObjectIdentifier,
            db::rfc4519::{CN, O, OU},
        },
    },
    ext::pkix::{
        SubjectAltName,
        name::{DirectoryString, GeneralName},
    },
};

/// Of a certificate that weir shows.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// The DNS names that it is for, as far as they can be names of hosts.
    pub(super) names: Vec<HostPattern>,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

/// Read leniently (`Raw`): serial numbers that RFC 5280 would not allow are in use.
fn read(certificate: &CertificateDer<'_>) -> Result<CertificateInner<Raw>, Error> {
    CertificateInner::from_der(certificate)
}

pub(super) fn shown(certificate: &CertificateDer<'_>) -> Result<Shown, Error> {
    let certificate = read(certificate)?;
    let validity = certificate.tbs_certificate().validity();
    let names = alternative(&certificate)?;
    let names = names.iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => HostPattern::parse(name.as_str()).ok(),
        _ => None,
    });
    Ok(Shown {
        names: names.collect(),
        not_before: validity.not_before.to_system_time(),
        not_after: validity.not_after.to_system_time(),
    })
}

/// Whose certificate it is, and who signed it.
pub(super) fn subject_and_issuer(certificate: &CertificateDer<'_>) -> Option<(String, String)> {
    let certificate = read(certificate).ok()?;
    let named = certificate.tbs_certificate();
    Some((named.subject().to_string(), named.issuer().to_string()))
}

/// Of a certificate that a client has shown and rustls has verified.
pub(super) fn peer(certificate: &CertificateDer<'_>) -> Result<PeerCertificate, Error> {
    let certificate = read(certificate)?;
    let named = certificate.tbs_certificate();
    let words = |oid: ObjectIdentifier| {
        named
            .subject()
            .iter()
            .filter(|part| part.oid == oid)
            .map(|part| Ok(DirectoryString::try_from(&part.value)?.value().into_owned()))
            .collect::<Result<Vec<_>, Error>>()
    };
    let names = alternative(&certificate)?;
    let alternatives = |pick: fn(&GeneralName) -> Option<&str>| {
        names
            .iter()
            .filter_map(pick)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    Ok(PeerCertificate {
        subject: named.subject().to_string(),
        common_names: words(CN)?,
        organizations: words(O)?,
        units: words(OU)?,
        dns_names: alternatives(|name| match name {
            GeneralName::DnsName(name) => Some(name.as_str()),
            _ => None,
        }),
        emails: alternatives(|name| match name {
            GeneralName::Rfc822Name(name) => Some(name.as_str()),
            _ => None,
        }),
        uris: alternatives(|name| match name {
            GeneralName::UniformResourceIdentifier(name) => Some(name.as_str()),
            _ => None,
        }),
        not_after: named.validity().not_after.to_system_time(),
    })
}

fn alternative(certificate: &CertificateInner<Raw>) -> Result<Vec<GeneralName>, Error> {
    let found = certificate
        .tbs_certificate()
        .get_extension::<SubjectAltName>()?;
    Ok(found.map(|(_, names)| names.0).unwrap_or_default())
}
