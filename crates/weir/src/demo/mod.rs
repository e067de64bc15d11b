//! `weir demo`: everything that has to stand around weir to see it at work, in this one process and on loopback: an assistant,
//! a portal that signs people in, and a page. weir itself runs in front of them as it always does, from `config/demo.toml`,
//! which finds these parts through the environment made here.
//!
//! Nothing here is part of the gateway: it is what operators already have, in miniature.

mod assistant;
mod folder;
mod form;
mod portal;
mod script;
mod serve;
mod session;

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, SystemTime},
};

use folder::Folder;
use session::Mint;

/// Where the demo listens, if nothing else does: what people try first.
const LISTEN: u16 = 8080;
/// The admin address' usual port.
const ADMIN: u16 = 9901;

/// The parts around weir. They answer for as long as the runtime that started them; the page's folder is removed on drop.
pub(crate) struct Parts {
    environment: BTreeMap<&'static str, String>,
    listen: String,
    admin: String,
    mint: Arc<Mint>,
    _folder: Folder,
}

/// Starts the assistant and the portal on the current runtime, and writes the page.
///
/// # Errors
/// Where loopback cannot be bound, the temporary folder cannot be written, or the system has no randomness.
pub(crate) async fn parts() -> io::Result<Parts> {
    let mint = Arc::new(Mint::new()?);
    let assistant = assistant::start().await?;
    let portal = portal::start(Arc::clone(&mint)).await?;
    let folder = Folder::write(&format!("weir-demo-{}", session::random_hex::<8>()?))?;
    let listen = address("WEIR_DEMO_LISTEN", LISTEN)?;
    let admin = address("WEIR_DEMO_ADMIN", ADMIN)?;
    let (validation, decryption) = mint.keys();
    let environment = BTreeMap::from([
        ("WEIR_DEMO_LISTEN", listen.clone()),
        ("WEIR_DEMO_ADMIN", admin.clone()),
        ("WEIR_DEMO_ASSISTANT", assistant.to_string()),
        ("WEIR_DEMO_PORTAL", portal.to_string()),
        ("WEIR_DEMO_PAGE", folder.path().display().to_string()),
        ("VALIDATION_KEY", validation.to_owned()),
        ("DECRYPTION_KEY", decryption.to_owned()),
    ]);
    Ok(Parts {
        environment,
        listen,
        admin,
        mint,
        _folder: folder,
    })
}

impl Parts {
    /// The variables that `config/demo.toml` reads. Two of them are keys: not for a log.
    pub(crate) fn environment(&self) -> &BTreeMap<&'static str, String> {
        &self.environment
    }

    /// What stands on the terminal once weir listens: where to look, and three curl lines, with a session that a copy can use.
    pub(crate) fn welcome(&self) -> String {
        let hour = Duration::from_secs(60 * 60);
        let session: Vec<String> = self
            .mint
            .session("Grace Hopper", "Navy", SystemTime::now(), hour)
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let (cookie, listen, admin) = (session.join("; "), &self.listen, &self.admin);
        format!(
            r#"
  The page       http://{listen}/chat/   (sign in with any name)
  The measures   http://{admin}/metrics

  Or with curl, with a session made for you:

  C='{cookie}'

  A stream, word by word:
  curl -N -b "$C" -H 'Content-Type: application/json' -d '{{"messages":[{{"role":"user","content":"what is a weir?"}}]}}' http://{listen}/chat/backend/api

  A 401, without the session:
  curl -i http://{listen}/chat/backend/ping

  A 429, past the limit:
  for i in $(seq 25); do curl -s -o /dev/null -w '%{{http_code}} ' -b "$C" http://{listen}/chat/backend/ping; done; curl -i -b "$C" http://{listen}/chat/backend/ping

  Ctrl-C stops it all.
"#
        )
    }
}

/// The address that the process's own `variable` names, or the usual port on loopback, or a free one where that is taken.
/// Between this look and weir's bind somebody else may take the port; then weir says so.
fn address(variable: &str, usual: u16) -> io::Result<String> {
    if let Ok(given) = std::env::var(variable) {
        return Ok(given);
    }
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, usual))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let address: SocketAddr = bound.local_addr()?;
    Ok(address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_environment_names_every_part_and_the_welcome_no_key() {
        let parts = parts().await.expect("loopback");
        let environment = parts.environment();
        for name in ["WEIR_DEMO_ASSISTANT", "WEIR_DEMO_PORTAL"] {
            let address: SocketAddr = environment[name].parse().expect("an address");
            assert!(
                tokio::net::TcpStream::connect(address).await.is_ok(),
                "{name}"
            );
        }
        assert!(
            std::path::Path::new(&environment["WEIR_DEMO_PAGE"])
                .join("index.html")
                .is_file()
        );
        let welcome = parts.welcome();
        assert!(welcome.contains(&format!("http://{}/chat/", environment["WEIR_DEMO_LISTEN"])));
        assert!(welcome.contains(".AspNet.Cookies="));
        for key in ["VALIDATION_KEY", "DECRYPTION_KEY"] {
            assert!(!welcome.contains(&environment[key]), "{key}");
        }
    }
}
