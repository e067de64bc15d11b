//! weir-load measures gateways side by side and knows nothing of weir's insides: it starts each from a configuration in benches/peers/, plays
//! their backend and their clients, and reads from /proc what they used, so it runs on Linux only. benches/README.md says how to read the figures.

mod backend;
mod event;
mod head;
mod hostile;
mod instructions;
mod numbers;
mod place;
mod processes;
mod report;
mod results;
mod run;
mod secrets;
mod systems;
mod traffic;
mod window;
mod workloads;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

/// Measures gateways side by side.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure, and show the rows.
    Run(run::Run),
    /// Make the report of an earlier run again, from its results.json, beside it.
    Report {
        /// The file.
        file: PathBuf,
    },
    /// Count weir's instructions for each request and event under callgrind, and compare them with those on record.
    Instructions(instructions::Instructions),
    /// Attack weir with healthy clients beside.
    Hostile(hostile::Hostile),
    /// Name the workloads.
    List,
}

fn main() -> ExitCode {
    match command(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command(command: Command) -> Result<()> {
    match command {
        Command::Run(run) => run.run(),
        Command::Report { file } => {
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let results = serde_json::from_str(&text)?;
            report::write(&results, file.parent().context("a file in a folder")?)
        }
        Command::Instructions(instructions) => instructions.run(),
        Command::Hostile(hostile) => hostile.run(),
        Command::List => {
            for workload in workloads::ALL {
                eprintln!("{:<14} {}", workload.name, workload.title);
            }
            Ok(())
        }
    }
}
