//! The commands `run` and `check`: read the file, say every mistake, serve.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use weir_config::{Map, Plan, Process};
use weir_meter::{Meter, log::Format};

use crate::{
    gateway,
    life::{Running, Source},
    tls::Hosts,
};

/// `weir run`
pub(crate) fn run(file: PathBuf) -> anyhow::Result<ExitCode> {
    let Some(plan) = load(&file)? else {
        return Ok(ExitCode::FAILURE);
    };
    messages(plan.log.level.as_str(), plan.log.format);
    runtime()?.block_on(serve(
        Source {
            file,
            env: Box::new(Process),
        },
        plan,
        None,
    ))
}

/// `weir demo`: the parts that weir stands in front of, and weir, which finds them in `config/demo.toml`.
pub(crate) fn demo() -> anyhow::Result<ExitCode> {
    const FILE: &str = "config/demo.toml";
    runtime()?.block_on(async {
        let parts = crate::demo::parts().await?;
        let mut env = Map::new().with_file(FILE, include_str!("../../../config/demo.toml"));
        for (name, value) in parts.environment() {
            env = env.with(*name, value);
        }
        let plan = weir_config::load(Path::new(FILE), &env)
            .map_err(|mistakes| anyhow::anyhow!("{mistakes}"))?;
        messages(plan.log.level.as_str(), plan.log.format);
        serve(
            Source {
                file: FILE.into(),
                env: Box::new(env),
            },
            plan,
            Some(parts.welcome()),
        )
        .await
    })
}

/// `weir check`
pub(crate) fn check(file: &Path) -> anyhow::Result<ExitCode> {
    let Some(plan) = load(file)? else {
        return Ok(ExitCode::FAILURE);
    };
    let meter = Meter::new();
    // As `run` does, so that a folder without the right to write is found here.
    gateway::open_log(&plan, &meter)?;
    let mut right = true;
    for listener in &plan.listeners {
        if let Err(flaw) = Hosts::build(listener, &[], &meter) {
            writeln!(io::stderr(), "listen {}: {flaw}", listener.address)?;
            right = false;
        }
    }
    if !right {
        return Ok(ExitCode::FAILURE);
    }
    say(&format!(
        "{}: OK ({} routes, {} upstreams)",
        file.display(),
        plan.routes.len(),
        plan.upstreams.len()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The plan, or every mistake on standard error. Warnings go there too.
pub(crate) fn load(file: &Path) -> io::Result<Option<Plan>> {
    match weir_config::load(file, &Process) {
        Ok(plan) => {
            for warning in &plan.warnings {
                writeln!(io::stderr(), "warning: {warning}")?;
            }
            Ok(Some(plan))
        }
        Err(mistakes) => {
            writeln!(io::stderr(), "{mistakes}")?;
            Ok(None)
        }
    }
}

/// Serves until the end. The addresses are printed once every one of them is bound, and `welcome` after them.
async fn serve(source: Source, plan: Plan, welcome: Option<String>) -> anyhow::Result<ExitCode> {
    let running = Running::start(source, plan).await?;
    for (scheme, address) in running.addresses() {
        say(&format!("listening on {scheme}://{address}"))?;
    }
    if let Some(admin) = running.admin {
        say(&format!("admin on http://{admin}"))?;
    }
    if let Some(welcome) = welcome {
        say(&welcome)?;
    }
    running.run().await
}

/// The main thread's: signals, health checks, the admin address. The workers have their own.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// weir's own messages go to standard error: standard output may carry the access log.
fn messages(level: &str, format: Format) {
    let level = level.parse().unwrap_or(tracing::Level::INFO);
    let to = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_target(false);
    // Only the first of a process can be installed; a second would be a test's.
    let _ = match format {
        Format::Json => to.json().flatten_event(true).try_init(),
        Format::Text => to.with_ansi(io::stderr().is_terminal()).try_init(),
    };
}

/// One line on standard output, written out at once: whoever started weir may be waiting for it.
pub(crate) fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
