//! A client's certificate as a credential. The TLS handshake has proved that the peer holds its key and that a trusted authority signed
//! it; what is decided here is which of its words name the caller, and that its time is not over by now: a connection, or the ticket
//! it was resumed by, may outlive the certificate.

use std::time::SystemTime;

use crate::{Caller, Denied, Via};

/// What a verified certificate says of its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The whole subject as RFC 4514 writes it: `CN=agent,O=Example`.
    pub subject: String,
    /// CN of the subject.
    pub common_names: Vec<String>,
    /// O of the subject.
    pub organizations: Vec<String>,
    /// OU of the subject.
    pub units: Vec<String>,
    /// DNS names among the alternative names.
    pub dns_names: Vec<String>,
    /// Mail addresses among the alternative names.
    pub emails: Vec<String>,
    /// URIs among the alternative names; SPIFFE ids stand here.
    pub uris: Vec<String>,
    /// The end of its time.
    pub not_after: SystemTime,
}

/// A part of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateField {
    /// `subject`
    Subject,
    /// `common-name`
    CommonName,
    /// `organization`
    Organization,
    /// `unit`
    Unit,
    /// `dns`
    Dns,
    /// `email`
    Email,
    /// `uri`
    Uri,
}

/// Takes the certificate of the connection as the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Names the user.
    pub user: CertificateField,
    /// Names the tenant.
    pub tenant: Option<CertificateField>,
    /// Lists the roles.
    pub roles: Option<CertificateField>,
}

impl ClientCertificate {
    /// Who the certificate is for.
    ///
    /// # Errors
    /// Why it names nobody.
    pub fn identify(
        &self,
        certificate: Option<&PeerCertificate>,
        now: SystemTime,
    ) -> Result<Caller, Denied> {
        let certificate = certificate.ok_or(Denied::Missing)?;
        if now > certificate.not_after {
            return Err(Denied::Expired);
        }
        Caller {
            user: Some(certificate.only(self.user)?),
            tenant: self
                .tenant
                .map(|field| certificate.only(field))
                .transpose()?,
            scopes: Vec::new(),
            roles: self
                .roles
                .map(|field| certificate.all(field).to_vec())
                .unwrap_or_default(),
            via: Via::Certificate,
            expires: Some(certificate.not_after),
        }
        .checked()
    }
}

impl PeerCertificate {
    /// The one value of a field. Of several none is chosen: who reads the other one would see another caller.
    fn only(&self, field: CertificateField) -> Result<String, Denied> {
        match self.all(field) {
            [one] => Ok(one.clone()),
            _ => Err(Denied::MissingClaim),
        }
    }

    fn all(&self, field: CertificateField) -> &[String] {
        match field {
            CertificateField::Subject => std::slice::from_ref(&self.subject),
            CertificateField::CommonName => &self.common_names,
            CertificateField::Organization => &self.organizations,
            CertificateField::Unit => &self.units,
            CertificateField::Dns => &self.dns_names,
            CertificateField::Email => &self.emails,
            CertificateField::Uri => &self.uris,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn certificate() -> PeerCertificate {
        PeerCertificate {
            subject: "CN=agent,O=Example".to_owned(),
            common_names: vec!["agent".to_owned()],
            organizations: vec!["Example".to_owned()],
            units: vec!["reader".to_owned(), "writer".to_owned()],
            dns_names: Vec::new(),
            emails: Vec::new(),
            uris: vec!["spiffe://example/agent".to_owned()],
            not_after: UNIX_EPOCH + Duration::from_secs(100),
        }
    }

    fn by(user: CertificateField) -> ClientCertificate {
        ClientCertificate {
            user,
            tenant: None,
            roles: None,
        }
    }

    #[test]
    fn the_chosen_fields_name_the_caller() {
        let verifier = ClientCertificate {
            user: CertificateField::Uri,
            tenant: Some(CertificateField::Organization),
            roles: Some(CertificateField::Unit),
        };
        let caller = verifier.identify(Some(&certificate()), UNIX_EPOCH).unwrap();
        assert_eq!(caller.user.as_deref(), Some("spiffe://example/agent"));
        assert_eq!(caller.tenant.as_deref(), Some("Example"));
        assert_eq!(caller.roles, ["reader", "writer"]);
        assert_eq!(caller.via, Via::Certificate);
        let subject = by(CertificateField::Subject);
        let caller = subject.identify(Some(&certificate()), UNIX_EPOCH).unwrap();
        assert_eq!(caller.user.as_deref(), Some("CN=agent,O=Example"));
    }

    #[test]
    fn none_several_and_outlived_are_refused() {
        let now = UNIX_EPOCH;
        let ask = |field, certificate: Option<&PeerCertificate>, now| {
            by(field).identify(certificate, now).unwrap_err()
        };
        let good = certificate();
        assert_eq!(
            ask(CertificateField::CommonName, None, now),
            Denied::Missing
        );
        assert_eq!(
            ask(CertificateField::Dns, Some(&good), now),
            Denied::MissingClaim
        );
        assert_eq!(
            ask(CertificateField::Unit, Some(&good), now),
            Denied::MissingClaim
        );
        let late = UNIX_EPOCH + Duration::from_secs(101);
        assert_eq!(
            ask(CertificateField::CommonName, Some(&good), late),
            Denied::Expired
        );
        let nobody = PeerCertificate {
            subject: String::new(),
            ..good
        };
        assert_eq!(
            ask(CertificateField::Subject, Some(&nobody), now),
            Denied::MissingClaim
        );
    }
}
