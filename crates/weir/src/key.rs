//! The command `key`: makes API keys. The key itself is printed once and kept nowhere; the configuration gets its hash.

use std::process::ExitCode;

use anyhow::Context;
use secrecy::ExposeSecret;
use weir_auth::api_key;

use crate::run::say;

/// `weir key …`
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// A new key: the first line is for its holder, the second for `keys` of an `[auth]` table with type = "api-key"
    New {
        /// Names the key in the file and in logs: a-z, 0-9 and "-"
        id: String,
        /// Whom it stands for; by default the id
        #[arg(long)]
        user: Option<String>,
        /// Whose it is
        #[arg(long)]
        tenant: Option<String>,
        /// What its holder is; may be given several times
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// What it is good for; may be given several times
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// When it ends: 2027-01-31 or 2027-01-31T12:00:00Z; by default never
        #[arg(long, value_name = "DATE")]
        expires: Option<String>,
    },
}

pub(crate) fn run(command: Command) -> anyhow::Result<ExitCode> {
    let Command::New {
        id,
        user,
        tenant,
        roles,
        scopes,
        expires,
    } = command;
    if let Some(date) = &expires {
        api_key::end(date)
            .with_context(|| format!("--expires {date}: expected a date such as 2027-01-31"))?;
    }
    let (key, hash) = api_key::generate(&id)?;
    // JSON strings and arrays of them are TOML too.
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let mut entry = format!("{{ id = {}, hash = \"{hash}\"", text(&id));
    for (name, value) in [("user", &user), ("tenant", &tenant), ("expires", &expires)] {
        if let Some(value) = value {
            entry += &format!(", {name} = {}", text(value));
        }
    }
    for (name, list) in [("roles", &roles), ("scopes", &scopes)] {
        if !list.is_empty() {
            entry += &format!(", {name} = {}", serde_json::Value::from(list.clone()));
        }
    }
    say(key.expose_secret())?;
    say(&(entry + " }"))?;
    Ok(ExitCode::SUCCESS)
}
