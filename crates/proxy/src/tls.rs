//! TLS as weir speaks it, and towards upstreams: which algorithms, whose certificates are believed, for which name.
//! Towards clients the binary decides the rest; files are read by neither, the settings bring certificates ready.

use std::{
    io,
    sync::{Arc, LazyLock},
};

use rustls::{
    AlertDescription, ClientConfig, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{IpAddr, ServerName},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    error::NoHttp2,
    settings::{Roots, Server, Tls},
};

/// The cryptography of the whole process: aws-lc-rs with rustls's suites, which are those of Mozilla's "intermediate" that have
/// forward secrecy by elliptic curves (rustls has no finite-field DHE), in the order of key exchanges given here. The hybrid
/// post-quantum one comes first: recorded traffic cannot be read by a later quantum computer. Given explicitly to every configuration
/// instead of being installed as the process's default, so that no other library can be first.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
        Arc::new(CryptoProvider {
            kx_groups: vec![X25519MLKEM768, X25519, SECP256R1, SECP384R1],
            ..aws_lc_rs::default_provider()
        })
    });
    Arc::clone(&PROVIDER)
}

/// How the servers of one upstream are spoken to. Shared by all workers, with the sessions that can be resumed.
pub(crate) struct Secure {
    connector: TlsConnector,
    name: Option<ServerName<'static>>,
    http2: bool,
}

impl Secure {
    /// Fails where the system has no certificates of authorities at all.
    pub(crate) fn new(settings: &Tls, http2: bool) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        match &settings.roots {
            Roots::Only(certificates) => {
                for certificate in certificates {
                    roots.add(certificate.clone()).map_err(io::Error::other)?;
                }
            }
            Roots::System => {
                // What is odd in the system's store (an outdated file beside good ones) is not the operator's mistake.
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    return Err(io::Error::other(
                        "the system has no certificates of authorities (install ca-certificates, set SSL_CERT_FILE, or name a `tls.ca`)",
                    ));
                }
            }
        }
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let protocol: &[u8] = if http2 { b"h2" } else { b"http/1.1" };
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Self {
            connector: Arc::new(config).into(),
            name: settings.server_name.clone(),
            http2,
        })
    }

    /// The handshake. The server must prove that it is the name in the file, by default the host it was dialled by, and choose HTTP/2 where
    /// that is to be spoken; a server without ALPN has not.
    pub(crate) async fn shake(
        &self,
        stream: TcpStream,
        server: &Server,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = match (&self.name, server) {
            (Some(name), _) => name.clone(),
            (None, Server::Address(address)) => ServerName::IpAddress(IpAddr::from(address.ip())),
            (None, Server::Name { host, .. }) => {
                let host = host.strip_suffix('.').unwrap_or(host).to_owned();
                ServerName::try_from(host).map_err(io::Error::other)?
            }
        };
        let stream = self.connector.connect(name, stream).await;
        let stream = match stream {
            Err(failed) if self.http2 && is_no_protocol(&failed) => return Err(NoHttp2.into()),
            stream => stream?,
        };
        if self.http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(NoHttp2.into());
        }
        Ok(stream)
    }
}

/// Whether the server knows ALPN and nothing of what was offered.
fn is_no_protocol(failed: &io::Error) -> bool {
    let alert = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    let failed = failed.get_ref().and_then(|error| error.downcast_ref());
    failed == Some(&alert)
}

impl std::fmt::Debug for Secure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secure")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
