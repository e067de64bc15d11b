//! Where a store is and how to speak to it. Made from text once, so that what is here can be connected to.

use std::{fmt, time::Duration};

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates,
    cluster::ClusterClient,
};
use secrecy::{ExposeSecret, SecretString};

/// One store.
#[derive(Clone)]
pub struct Settings {
    /// The name in the file, and the label of its metrics.
    pub name: String,
    /// The longest a decision may take. What takes longer is a store that is away.
    pub timeout: Duration,
    /// What every key begins with, so that several deployments can share one Redis.
    pub prefix: String,
    url: SecretString,
    user: Option<String>,
    password: Option<SecretString>,
    ca: Option<Vec<u8>>,
    cluster: bool,
}

/// Why a store cannot be used. Never quotes the address: a password may stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not an address that a Redis can have.
    #[error("the address of a store is redis://HOST:PORT/DATABASE, or rediss:// with TLS")]
    Url,
    /// `#insecure`
    #[error(
        "a certificate that is not checked proves nothing; name its authority with `ca` instead"
    )]
    Insecure,
    /// An authority without TLS.
    #[error("`ca` says whom to trust with TLS, so the address begins with rediss://")]
    NoTls,
    /// Not certificates.
    #[error("`ca` holds no certificate in PEM form")]
    Ca,
    /// A cluster's databases.
    #[error("a cluster has only database 0")]
    Database,
}

impl Settings {
    /// A store at `url`, with the usual patience of 100 ms and keys that begin with `weir`.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(name: &str, url: &str) -> Result<Self, SettingsError> {
        let settings = Self {
            name: name.to_owned(),
            timeout: Duration::from_millis(100),
            prefix: "weir".to_owned(),
            url: SecretString::from(url),
            user: None,
            password: None,
            ca: None,
            cluster: false,
        };
        let info = settings.info().map_err(|_| SettingsError::Url)?;
        match info.addr() {
            ConnectionAddr::TcpTls { insecure: true, .. } => Err(SettingsError::Insecure),
            _ => Ok(settings),
        }
    }

    /// Signs in, in place of what the address says.
    pub fn signed_in(&mut self, user: Option<String>, password: Option<SecretString>) {
        (self.user, self.password) = (user, password);
    }

    /// Trusts only this authority.
    ///
    /// # Errors
    /// When the address has no TLS, or the text no certificate.
    pub fn trust(&mut self, pem: Vec<u8>) -> Result<(), SettingsError> {
        if !self.has_tls() {
            return Err(SettingsError::NoTls);
        }
        let is_pem = pem
            .windows(27)
            .any(|at| at == b"-----BEGIN CERTIFICATE-----");
        self.ca = Some(pem);
        if is_pem && self.client().is_ok() {
            Ok(())
        } else {
            Err(SettingsError::Ca)
        }
    }

    /// Follows the slots of a Redis cluster from this first node on.
    ///
    /// # Errors
    /// When the address names a database.
    pub fn clustered(&mut self) -> Result<(), SettingsError> {
        let info = self.info().map_err(|_| SettingsError::Url)?;
        if info.redis_settings().db() != 0 {
            return Err(SettingsError::Database);
        }
        self.cluster = true;
        Ok(())
    }

    fn has_tls(&self) -> bool {
        self.info()
            .is_ok_and(|info| matches!(info.addr(), ConnectionAddr::TcpTls { .. }))
    }

    fn info(&self) -> redis::RedisResult<ConnectionInfo> {
        let info = self.url.expose_secret().into_connection_info()?;
        let mut redis = info.redis_settings().clone();
        if let Some(user) = &self.user {
            redis = redis.set_username(user);
        }
        if let Some(password) = &self.password {
            redis = redis.set_password(password.expose_secret());
        }
        Ok(info.set_redis_settings(redis))
    }

    pub(crate) fn client(&self) -> redis::RedisResult<Kind> {
        // redis asks rustls for the process's provider; whoever came first has installed the same one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let info = self.info()?;
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: self.ca.clone(),
        };
        if self.cluster {
            let builder = ClusterClient::builder([info]).retries(1);
            let builder = if self.has_tls() {
                builder.certs(certificates)
            } else {
                builder
            };
            builder.build().map(Box::new).map(Kind::Cluster)
        } else if self.has_tls() {
            Client::build_with_tls(info, certificates)
                .map(Box::new)
                .map(Kind::Single)
        } else {
            Client::open(info).map(Box::new).map(Kind::Single)
        }
    }
}

/// What can be connected to.
pub(crate) enum Kind {
    Single(Box<Client>),
    Cluster(Box<ClusterClient>),
}

impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        let secret = |settings: &Self| {
            let password = settings.password.as_ref();
            (
                settings.url.expose_secret().to_owned(),
                password.map(|password| password.expose_secret().to_owned()),
            )
        };
        (
            &self.name,
            self.timeout,
            &self.prefix,
            &self.user,
            &self.ca,
            self.cluster,
        ) == (
            &other.name,
            other.timeout,
            &other.prefix,
            &other.user,
            &other.ca,
            other.cluster,
        ) && secret(self) == secret(other)
    }
}

/// Without the address, which may hold a password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("name", &self.name)
            .field("timeout", &self.timeout)
            .field("prefix", &self.prefix)
            .field("cluster", &self.cluster)
            .field("tls", &self.has_tls())
            .field("private_ca", &self.ca.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (url, expected) in [
            ("redis://localhost", None),
            ("redis://:secret@10.0.0.1:6380/2", None),
            ("rediss://redis.test:6380", None),
            ("", Some(SettingsError::Url)),
            ("localhost:6379", Some(SettingsError::Url)),
            ("http://localhost", Some(SettingsError::Url)),
            (
                "rediss://redis.test:6380/#insecure",
                Some(SettingsError::Insecure),
            ),
        ] {
            assert_eq!(Settings::new("s", url).err(), expected, "{url}");
        }
    }

    #[test]
    fn authorities_and_clusters() {
        let mut plain = Settings::new("s", "redis://localhost").unwrap();
        assert_eq!(plain.trust(Vec::new()), Err(SettingsError::NoTls));
        let mut tls = Settings::new("s", "rediss://localhost").unwrap();
        assert_eq!(tls.trust(b"no".to_vec()), Err(SettingsError::Ca));
        let mut second = Settings::new("s", "redis://localhost/1").unwrap();
        assert_eq!(second.clustered(), Err(SettingsError::Database));
    }

    #[test]
    fn no_secret_is_shown() {
        let mut settings = Settings::new("s", "redis://:hunter2@localhost").unwrap();
        settings.signed_in(Some("weir".to_owned()), Some("hunter2".to_owned().into()));
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert_eq!(settings, settings.clone());
    }
}
