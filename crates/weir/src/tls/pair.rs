//! A certificate and its key out of their files, or why they cannot be served: unreadable, cut short, not belonging together.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rustls::{
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use weir_config::plan::KeyPair;
use weir_proxy::tls::provider;

use super::facts::{self, Shown};

/// A certificate file that cannot be served. Nothing of the file's text stands in it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub(crate) struct Flaw {
    file: PathBuf,
    why: String,
}

impl Flaw {
    pub(super) fn new(file: &Path, why: impl ToString) -> Self {
        Self {
            file: file.to_owned(),
            why: why.to_string(),
        }
    }
}

/// A certificate that can be served.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) shown: Shown,
}

impl Pair {
    /// Everything but the time is checked: at start a certificate out of its time is better than none, see [`Pair::in_time`].
    pub(super) fn load(files: &KeyPair) -> Result<Self, Flaw> {
        let flaw = |why: &dyn ToString| Flaw::new(&files.certificate, why.to_string());
        let chain = certificates(&files.certificate)?;
        let text = read(&files.key)?;
        let key = PrivateKeyDer::from_pem_slice(&text)
            .map_err(|_| Flaw::new(&files.key, "there is no private key in it that can be read"))?;
        let signer = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|_| Flaw::new(&files.key, "the private key is of no kind that TLS uses"))?;
        let shown = chain
            .first()
            .map(facts::shown)
            .ok_or_else(|| flaw(&"there is no certificate in it"))?
            .map_err(|error| flaw(&format!("the certificate cannot be read: {error}")))?;
        let key = CertifiedKey::new(chain, signer);
        key.keys_match().map_err(|_| {
            flaw(&format!(
                "it does not belong to the key in {}",
                files.key.display()
            ))
        })?;
        Ok(Self {
            key: Arc::new(key),
            shown,
        })
    }

    /// As [`Pair::load`], to take the place of another.
    pub(super) fn load_after(
        before: &Self,
        files: &KeyPair,
        now: SystemTime,
    ) -> Result<Self, Flaw> {
        let pair = Self::load(files)?;
        if pair.breaks_off(before) {
            return Err(Flaw::new(
                &files.certificate,
                "its last certificate was signed by one that it had before and lacks now: is it whole?",
            ));
        }
        if now > pair.shown.not_after {
            return Err(Flaw::new(&files.certificate, "its time is over"));
        }
        if now < pair.shown.not_before {
            return Err(Flaw::new(&files.certificate, "its time has not come yet"));
        }
        Ok(pair)
    }

    /// Whether the chain ends where the one before went on. A file that is being written, and has come just to the end of a certificate,
    /// looks so; one whose self-signed root was left out does not.
    fn breaks_off(&self, before: &Self) -> bool {
        let names = |chain: &[CertificateDer<'_>]| -> Vec<_> {
            chain.iter().filter_map(facts::subject_and_issuer).collect()
        };
        let (ours, had) = (names(&self.key.cert), names(&before.key.cert));
        let Some((_, issuer)) = ours.last() else {
            return false;
        };
        let has = |chain: &[(String, String)]| {
            chain
                .iter()
                .any(|(subject, by)| subject == issuer && by != subject)
        };
        has(&had) && !has(&ours)
    }

    pub(super) fn in_time(&self, now: SystemTime) -> bool {
        (self.shown.not_before..=self.shown.not_after).contains(&now)
    }
}

/// Every certificate of a PEM file, at least one.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Flaw> {
    let text = read(file)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(Flaw::new(file, "there is no certificate in it")),
        Err(_) => Err(Flaw::new(file, "it is cut short, or not PEM")),
    }
}

/// Every list of revoked certificates of a PEM file, at least one.
pub(super) fn revoked(file: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, Flaw> {
    let text = read(file)?;
    let all: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&text).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(Flaw::new(
            file,
            "there is no list of revoked certificates in it",
        )),
        Err(_) => Err(Flaw::new(file, "it is cut short, or not PEM")),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Flaw> {
    fs::read(file).map_err(|error| Flaw::new(file, error))
}

/// The certificates of one host: a client gets the first whose signatures it can check.
#[derive(Debug)]
pub(super) struct Choice(pub(super) Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits =
            |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        // None fits: the handshake fails either way, by the first one with the alert that names the cause.
        self.0.iter().find(fits).or_else(|| self.0.first()).cloned()
    }
}
