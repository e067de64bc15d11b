//! Throw-away authorities and what they sign, a client's side of TLS with every choice in the test's hand, and a TLS front for the
//! scripted upstream. The library is weir's own, rustls, because there is no second one in pure Rust; that others agree with weir is
//! seen by the scanners of `tests/edge/`.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, RevokedCertParams, RsaKeySize, SanType, SerialNumber,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An authority that lives as long as its test.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// What an authority is to sign.
#[derive(Clone, Debug)]
pub struct Leaf {
    params: CertificateParams,
    rsa: bool,
}

impl Leaf {
    /// For a server of these names; an address is one too.
    ///
    /// # Panics
    /// When one is no name.
    #[must_use]
    pub fn server(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        Self::new(
            CertificateParams::new(names).expect("names"),
            ExtendedKeyUsagePurpose::ServerAuth,
        )
    }

    /// For a client of this common name.
    #[must_use]
    pub fn client(name: &str) -> Self {
        let mut leaf = Self::new(
            CertificateParams::default(),
            ExtendedKeyUsagePurpose::ClientAuth,
        );
        leaf.params
            .distinguished_name
            .push(DnType::CommonName, name);
        leaf
    }

    fn new(mut params: CertificateParams, purpose: ExtendedKeyUsagePurpose) -> Self {
        params.distinguished_name = DistinguishedName::new();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.not_before = (SystemTime::now() - DAY).into();
        params.not_after = (SystemTime::now() + 10 * DAY).into();
        Self { params, rsa: false }
    }

    /// With an organization.
    #[must_use]
    pub fn of(mut self, organization: &str) -> Self {
        self.params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
        self
    }

    /// With a URI among its names.
    ///
    /// # Panics
    /// When it is not ASCII.
    #[must_use]
    pub fn uri(mut self, uri: &str) -> Self {
        let uri = uri.try_into().expect("ASCII");
        self.params.subject_alt_names.push(SanType::URI(uri));
        self
    }

    /// So many days from now until its end; none is enough for one that has ended.
    #[must_use]
    pub fn days(mut self, days: u32) -> Self {
        let end = SystemTime::now() + days * DAY;
        self.params.not_after = (end - Duration::from_secs(60)).into();
        self
    }

    /// With this serial number, by which it can be revoked.
    #[must_use]
    pub fn serial(mut self, number: u64) -> Self {
        self.params.serial_number = Some(number.into());
        self
    }

    /// With an RSA key; otherwise it is ECDSA's.
    #[must_use]
    pub fn rsa(mut self) -> Self {
        self.rsa = true;
        self
    }
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// When the library cannot make one.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(Self::params(name), key).expect("an authority"))
    }

    /// One that this one vouches for.
    ///
    /// # Panics
    /// When the library cannot make one.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let signed = CertifiedIssuer::signed_by(Self::params(name), key, &self.0);
        Self(signed.expect("an authority"))
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    /// The list of the certificates with these serial numbers, which it has revoked; good for so many days.
    ///
    /// # Panics
    /// When the library cannot make one.
    #[must_use]
    pub fn revokes(&self, serials: &[u64], days: u32) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: (SystemTime::now() - DAY).into(),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: (SystemTime::now() - DAY).into(),
            next_update: (SystemTime::now() + days * DAY - Duration::from_secs(60)).into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let signed = list.signed_by(&self.0).expect("a list");
        signed.pem().expect("PEM")
    }

    /// Its certificate.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Signs.
    ///
    /// # Panics
    /// When the library cannot.
    #[must_use]
    pub fn sign(&self, leaf: Leaf) -> Pair {
        let key = if leaf.rsa {
            KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
        } else {
            KeyPair::generate()
        }
        .expect("a key");
        let signed = leaf.params.signed_by(&key, &self.0).expect("a certificate");
        Pair {
            certificate: signed.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// How a client does TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    name: ServerName<'static>,
    roots: RootCertStore,
    identity: Option<Pair>,
    versions: Vec<&'static SupportedProtocolVersion>,
    only_rsa: bool,
    protocols: Vec<Vec<u8>>,
    made: Option<Arc<ClientConfig>>,
}

impl Tls {
    /// Trusts this authority and asks for this name (an address is not sent, only compared).
    ///
    /// # Panics
    /// When it is neither.
    #[must_use]
    pub fn to(name: &str, authority: &Authority) -> Self {
        Self::trusting(name, &authority.pem())
    }

    /// As `to`, with the authority's certificate in PEM.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn trusting(name: &str, authority: &str) -> Self {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(authority.as_bytes()).expect("PEM");
        roots.add(authority).expect("an authority's certificate");
        Self {
            name: ServerName::try_from(name.to_owned()).expect("a name"),
            roots,
            identity: None,
            versions: vec![&TLS13, &TLS12],
            only_rsa: false,
            protocols: vec![b"http/1.1".to_vec()],
            made: None,
        }
    }

    /// Shows this certificate when asked.
    #[must_use]
    pub fn showing(mut self, identity: &Pair) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// Speaks nothing newer than TLS 1.2.
    #[must_use]
    pub fn old(mut self) -> Self {
        self.versions = vec![&TLS12];
        self
    }

    /// Speaks TLS 1.2 and knows no ECDSA.
    #[must_use]
    pub fn only_rsa(mut self) -> Self {
        self.only_rsa = true;
        self.old()
    }

    /// Offers these by ALPN; none: no ALPN at all.
    #[must_use]
    pub fn offering(mut self, protocols: &[&str]) -> Self {
        self.protocols = protocols
            .iter()
            .map(|one| one.as_bytes().to_vec())
            .collect();
        self
    }

    /// From here on every connection shares its tickets with the others and with clones.
    #[must_use]
    pub fn remembering(mut self) -> Self {
        self.made = Some(self.config());
        self
    }

    pub(crate) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        if let Some(made) = &self.made {
            return Arc::clone(made);
        }
        let mut provider = provider();
        provider
            .cipher_suites
            .retain(|suite| !self.only_rsa || format!("{:?}", suite.suite()).contains("_RSA_"));
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&self.versions)
            .expect("versions that go with the suites")
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let (chain, key) = parsed(pair);
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        };
        config.alpn_protocols.clone_from(&self.protocols);
        Arc::new(config)
    }
}

/// Accepts TLS with this certificate and carries what comes to a server in clear, and back. For as long as the test runs.
///
/// # Panics
/// When it cannot listen.
pub async fn front(pair: &Pair, behind: SocketAddr) -> SocketAddr {
    front_offering(pair, behind, &[]).await
}

/// As `front`, with these protocols by ALPN.
///
/// # Panics
/// When it cannot listen.
pub async fn front_offering(pair: &Pair, behind: SocketAddr, protocols: &[&str]) -> SocketAddr {
    let (chain, key) = parsed(pair);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .expect("versions that go with the suites")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    config.alpn_protocols = protocols
        .iter()
        .map(|one| one.as_bytes().to_vec())
        .collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("a bound socket");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not believe the certificate leaves here; that is the test's business.
                let Ok(mut client) = acceptor.accept(stream).await else {
                    return;
                };
                if let Ok(mut server) = TcpStream::connect(behind).await {
                    let _ = server.set_nodelay(true);
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    address
}

/// As browsers do it: the hybrid post-quantum exchange first, the classical ones after it.
fn provider() -> CryptoProvider {
    use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
    CryptoProvider {
        kx_groups: vec![X25519MLKEM768, X25519, SECP256R1, SECP384R1],
        ..aws_lc_rs::default_provider()
    }
}

fn parsed(pair: &Pair) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect();
    (
        chain.expect("certificates"),
        PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key"),
    )
}
