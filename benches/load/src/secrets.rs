//! What a run makes for itself: the key that tokens are signed with, one bearer token that every request carries, and a certificate. Nothing
//! of it outlives the run, and none of it is worth stealing.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, client::Resumption, pki_types::CertificateDer};

/// As long as a token of a session with a few claims is.
const TOKEN: usize = 250;

/// The secrets of one run.
#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    pub(crate) key: String,
    pub(crate) key_base64: String,
    pub(crate) token: String,
    certificate: CertificateDer<'static>,
}

impl Secrets {
    /// Makes them, and writes site.crt, site.key and both in site.pem into the folder. ECDSA on P-256, as most sites have now.
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        let key = "weir-load: thirty-two bytes and some more".replace([':', ' '], "-");
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()])?;
        let (certificate, private) = (cert.pem(), signing_key.serialize_pem());
        fs::write(folder.join("site.crt"), &certificate)?;
        fs::write(folder.join("site.key"), &private)?;
        fs::write(folder.join("site.pem"), certificate + &private)?;
        Ok(Self {
            key_base64: URL_SAFE_NO_PAD.encode(&key),
            token: token(&key)?,
            key,
            certificate: cert.der().clone(),
        })
    }

    /// A client's TLS that trusts the certificate; with `resume`, one that keeps the tickets it is given.
    pub(crate) fn client(&self, resume: bool, protocol: &[u8]) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = if resume {
            Resumption::in_memory_sessions(32)
        } else {
            Resumption::disabled()
        };
        config.alpn_protocols = vec![protocol.to_owned()];
        Ok(Arc::new(config))
    }
}

fn token(key: &str) -> Result<String> {
    let expires = SystemTime::now() + Duration::from_secs(24 * 60 * 60);
    let expires = expires
        .duration_since(UNIX_EPOCH)
        .context("a clock before 1970")?
        .as_secs();
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let signing = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let sign = |filler: &str| {
        let claims = format!(
            r#"{{"iss":"weir-load","sub":"ana@example.test","exp":{expires},"sid":"{filler}"}}"#
        );
        let text = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = hmac::sign(&signing, text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let bare = sign("").len();
    Ok(sign(&"5f".repeat(TOKEN.saturating_sub(bare) * 3 / 8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_has_the_size_that_the_figures_name() {
        let token = token("a key of at least thirty-two bytes").expect("a token");
        assert!(
            (TOKEN - 4..=TOKEN + 4).contains(&token.len()),
            "{}",
            token.len()
        );
        assert_eq!(token.split('.').count(), 3);
    }
}
