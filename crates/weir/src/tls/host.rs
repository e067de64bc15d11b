//! One `[[listen.tls]]` at work: its certificates as loaded now, its policy for clients, its tickets. Files that changed are taken over
//! one certificate at a time, and only when they are good: what cannot be served never replaces what is.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs::Ticketer,
    pki_types::{CertificateDer, CertificateRevocationListDer},
    server::{
        NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier, danger::ClientCertVerifier,
    },
    version::{TLS12, TLS13},
};
use weir_config::plan::{self, ClientCertificates};
use weir_meter::{CertificateSeries, Meter};
use weir_proxy::tls::provider;

use super::{
    PROTOCOLS,
    pair::{self, Choice, Flaw, Pair},
    watch::{Stamp, Watched},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Host {
    settings: plan::Tls,
    serves: ArcSwap<Serves>,
    /// Beside the pairs of `settings`.
    series: Vec<Arc<CertificateSeries>>,
    files: Mutex<Files>,
}

/// What new connections of a host get.
#[derive(Debug)]
pub(crate) struct Serves {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) policy: Option<Arc<Policy>>,
    pairs: Vec<Arc<Pair>>,
    ticketer: Arc<dyn ProducesTickets>,
}

/// What is asked of the clients of a host. Two are equal when the same authorities vouch for both's clients: a list of revoked certificates is
/// renewed every few days, and connections do not end for that.
#[derive(Debug)]
pub(crate) struct Policy {
    authorities: Vec<CertificateDer<'static>>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
    required: bool,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.required == other.required && self.authorities == other.authorities
    }
}

/// The watched files: one watch per pair, one for the authorities.
#[derive(Debug)]
struct Files {
    pairs: Vec<Watched>,
    authorities: Watched,
}

impl Host {
    /// Reads every file; each must be good, but for its time.
    pub(crate) fn load(settings: plan::Tls, meter: &Meter) -> Result<Self, Flaw> {
        // The stamps first: what changes while the files are read is then looked at again.
        let files = Files {
            pairs: settings
                .pairs
                .iter()
                .map(|pair| Watched::new(stamp_of(pair)))
                .collect(),
            authorities: Watched::new(authorities_stamp(&settings)),
        };
        let pairs: Vec<_> = settings
            .pairs
            .iter()
            .map(|files| Pair::load(files).map(Arc::new))
            .collect::<Result<_, _>>()?;
        let policy = settings.clients.as_ref().map(Policy::load).transpose()?;
        let host = Self {
            serves: Serves::new(pairs, policy.map(Arc::new), None, &settings)?.into_swap(),
            series: settings
                .pairs
                .iter()
                .map(|pair| meter.certificate(&pair.certificate.display().to_string()))
                .collect(),
            files: Mutex::new(files),
            settings,
        };
        host.tell(SystemTime::now());
        for (pair, files) in host.serves().pairs.iter().zip(&host.settings.pairs) {
            if !pair.in_time(SystemTime::now()) {
                tracing::error!(certificate = %files.certificate.display(), "a certificate is served that is out of its time");
            }
        }
        Ok(host)
    }

    pub(crate) fn settings(&self) -> &plan::Tls {
        &self.settings
    }

    /// For a new connection.
    pub(crate) fn serves(&self) -> Arc<Serves> {
        self.serves.load_full()
    }

    /// What is asked of clients now.
    pub(crate) fn policy(&self) -> Option<Arc<Policy>> {
        self.serves.load().policy.clone()
    }

    /// How well it fits a name: the more, the better; `None`: not at all.
    pub(super) fn fits(&self, name: &str) -> Option<usize> {
        let serves = self.serves.load();
        let names = match &self.settings.hosts[..] {
            [] => &serves.pairs[0].shown.names[..],
            names => names,
        };
        names
            .iter()
            .filter(|pattern| pattern.matches(name))
            .map(|pattern| {
                let pattern = pattern.to_string();
                if pattern.starts_with('*') {
                    pattern.len()
                } else {
                    usize::MAX
                }
            })
            .max()
    }

    /// Looks whether files have changed, takes over what is good, and tells how the certificates are. `settle`: a file that is being
    /// written gets until the next look to be whole.
    pub(crate) fn look(&self, settle: bool, now: SystemTime) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let serves = self.serves();
        let mut pairs = serves.pairs.clone();
        let mut policy = serves.policy.clone();
        for (index, paths) in self.settings.pairs.iter().enumerate() {
            files.pairs[index].look(stamp_of(paths), settle, || {
                pairs[index] = Arc::new(Pair::load_after(&pairs[index], paths, now)?);
                tracing::info!(certificate = %paths.certificate.display(), "certificate reloaded");
                Ok(())
            });
        }
        if let Some(clients) = &self.settings.clients {
            files
                .authorities
                .look(authorities_stamp(&self.settings), settle, || {
                    let fresh = Policy::load(clients)?;
                    if !policy.as_ref().is_some_and(|had| had.is_just(&fresh)) {
                        policy = Some(Arc::new(fresh));
                        tracing::info!(ca = %clients.ca.display(), "authorities of client certificates reloaded");
                    }
                    Ok(())
                });
        }
        let same = |(a, b): (&Arc<Pair>, &Arc<Pair>)| Arc::ptr_eq(a, b);
        let same_policy =
            serves.policy.as_ref().map(Arc::as_ptr) == policy.as_ref().map(Arc::as_ptr);
        if !same_policy || !serves.pairs.iter().zip(&pairs).all(same) {
            // A ticket of before stands for a client that the policy of before has seen.
            let ticketer = same_policy.then(|| Arc::clone(&serves.ticketer));
            match Serves::new(pairs, policy, ticketer, &self.settings) {
                Ok(fresh) => self.serves.store(Arc::new(fresh)),
                Err(flaw) => tracing::error!(%flaw, "the certificates served stay as they were"),
            }
        }
        drop(files);
        self.tell(now);
    }

    fn tell(&self, now: SystemTime) {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let serves = self.serves.load();
        for ((pair, series), watched) in serves.pairs.iter().zip(&self.series).zip(&files.pairs) {
            let ok = watched.is_good() && files.authorities.is_good() && pair.in_time(now);
            series.state(ok, pair.shown.not_after, now);
        }
    }
}

fn stamp_of(pair: &plan::KeyPair) -> Stamp {
    Stamp::of(&[&pair.certificate, &pair.key])
}

fn authorities_stamp(settings: &plan::Tls) -> Stamp {
    let paths: Vec<&Path> = settings
        .clients
        .iter()
        .flat_map(|clients| std::iter::once(&clients.ca).chain(&clients.crl))
        .map(PathBuf::as_path)
        .collect();
    Stamp::of(&paths)
}

impl Serves {
    /// One ticketer per host and policy: its keys change every six hours, and open tickets for twelve.
    fn new(
        pairs: Vec<Arc<Pair>>,
        policy: Option<Arc<Policy>>,
        ticketer: Option<Arc<dyn ProducesTickets>>,
        settings: &plan::Tls,
    ) -> Result<Self, Flaw> {
        let first = &settings.pairs[0].certificate;
        let ticketer = match ticketer {
            Some(same) => same,
            None => Ticketer::new().map_err(|error| Flaw::new(first, error))?,
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| Flaw::new(first, error))?;
        let builder = match &policy {
            None => builder.with_no_client_auth(),
            Some(policy) => builder.with_client_cert_verifier(Arc::clone(&policy.verifier)),
        };
        let keys = pairs.iter().map(|pair| Arc::clone(&pair.key)).collect();
        let mut config = builder.with_cert_resolver(Arc::new(Choice(keys)));
        // The order of the suites is the server's: a client cannot be talked into the last of them.
        config.ignore_client_order = true;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        config.ticketer = Arc::clone(&ticketer);
        // Sessions live in tickets alone, which every worker can open and no memory holds.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self {
            config: Arc::new(config),
            policy,
            pairs,
            ticketer,
        })
    }

    fn into_swap(self) -> ArcSwap<Self> {
        ArcSwap::from_pointee(self)
    }
}

impl Policy {
    fn load(settings: &ClientCertificates) -> Result<Self, Flaw> {
        let authorities = pair::certificates(&settings.ca)?;
        let mut roots = RootCertStore::empty();
        for authority in &authorities {
            roots
                .add(authority.clone())
                .map_err(|error| Flaw::new(&settings.ca, error))?;
        }
        let mut revoked = Vec::new();
        for list in &settings.crl {
            revoked.extend(pair::revoked(list)?);
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        // As nginx has it: every certificate of the chain needs the list of its issuer, and a list whose time is over vouches for nobody.
        let builder = if revoked.is_empty() {
            builder
        } else {
            builder
                .with_crls(revoked.clone())
                .enforce_revocation_expiration()
        };
        let builder = if settings.required {
            builder
        } else {
            builder.allow_unauthenticated()
        };
        let verifier = builder
            .build()
            .map_err(|error| Flaw::new(&settings.ca, error))?;
        Ok(Self {
            authorities,
            revoked,
            required: settings.required,
            verifier,
        })
    }

    /// Whether the same certificates pass both.
    fn is_just(&self, other: &Self) -> bool {
        self == other && self.revoked == other.revoked
    }
}
