//! The gateway: listeners, the pipeline, admin, reload, drain, commands; the binary.
//!
//! Start reading at `pipeline.rs`: the life of a request on one page. This file only tells commands apart.

mod admin;
mod admission;
mod aside;
mod ask;
mod broken;
mod cert;
mod client;
mod connection;
mod crowd;
mod demo;
mod descriptors;
mod entry;
mod explain;
mod files;
mod flood;
mod forward;
mod gateway;
mod guesses;
mod http2;
mod key;
mod keys;
mod ledger;
mod life;
mod limits;
mod line;
mod linger;
mod listen;
mod pages;
mod patience;
mod pipeline;
mod preface;
mod range;
mod redirect;
mod refusal;
mod reservation;
mod rt;
mod run;
mod shared;
mod signals;
mod socket;
mod tasks;
mod tls;
mod upgrade;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// weir: a gateway in front of AI assistants. It routes, authenticates, limits, meters and forwards, and never holds back a byte of a stream.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Signals: SIGHUP reloads the configuration; SIGTERM or Ctrl-C drains and stops; a second one stops at once.
Every setting is described in docs/configuration.md. To see it all work: weir demo";

#[derive(Subcommand)]
enum Command {
    /// Serve. Prints one line per listener and the admin address, then only what goes wrong
    Run {
        /// The configuration
        #[arg(long, short, value_name = "FILE", default_value = "config/weir.toml")]
        config: PathBuf,
    },
    /// Read the configuration as `run` would, secrets and keys too; exit 1 with every mistake
    Check {
        /// The configuration
        #[arg(value_name = "FILE", default_value = "config/weir.toml")]
        config: PathBuf,
    },
    /// Say what would become of a request: which route, which checks in what order, which upstream and path
    Explain {
        /// GET, POST, …
        #[arg(value_name = "METHOD")]
        method: http::Method,
        /// `http://host/path?query`, or only the path
        #[arg(value_name = "URL")]
        url: http::Uri,
        /// A header of the request, as with curl: `-H 'Cookie: a=b'`
        #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
        headers: Vec<String>,
        /// The configuration
        #[arg(long, short, value_name = "FILE", default_value = "config/weir.toml")]
        config: PathBuf,
    },
    /// Ask a running weir how it is; exit 1 if it is unhealthy or does not answer
    Status {
        /// All of it, as JSON
        #[arg(long)]
        json: bool,
        /// Again every two seconds, until Ctrl-C
        #[arg(long)]
        watch: bool,
        /// Its admin address
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901")]
        admin: SocketAddr,
    },
    /// Tell a running weir to read its configuration again; exit 1 with the mistakes if it keeps the old one
    Reload {
        /// Its admin address
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901")]
        admin: SocketAddr,
    },
    /// Certificates for trying things out
    Cert {
        #[command(subcommand)]
        what: Certificate,
    },
    /// Make an API key: prints it once, and what belongs into the configuration
    Key {
        #[command(subcommand)]
        command: key::Command,
    },
    /// An assistant, a chat page and weir in front of them, on loopback: nothing else is needed
    Demo,
}

#[derive(Subcommand)]
enum Certificate {
    /// Make one for localhost: DIR/dev.crt, dev.key, and dev-ca.crt for clients to trust; those of before are replaced
    Dev {
        /// Further names and addresses that it is to be for
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Where to write
        #[arg(long, value_name = "DIR", default_value = "certs")]
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Run { config } => run::run(config),
        Command::Check { config } => run::check(&config),
        Command::Explain {
            method,
            url,
            headers,
            config,
        } => explain::explain(&config, method, url, &headers),
        Command::Status { json, watch, admin } => ask::status(admin, json, watch),
        Command::Reload { admin } => ask::reload(admin),
        Command::Cert {
            what: Certificate::Dev { names, folder },
        } => cert::dev(&folder, &names),
        Command::Key { command } => key::run(command),
        Command::Demo => run::demo(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("weir: {error:#}");
        ExitCode::FAILURE
    })
}
