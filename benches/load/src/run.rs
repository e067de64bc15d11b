//! A run: which workloads and systems, in how many rounds; starts what is installed, says what is not, and shows each workload's rows as
//! soon as they are there.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use tempfile::TempDir;

use crate::{
    backend,
    place::{self, Cores},
    processes, report,
    results::{Measured, Program, Results, Sample},
    secrets::Secrets,
    systems::{DIRECT, Peer, Stage, System},
    window::Bench,
    workloads::{self, Carrier, Mode, Workload},
};

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The workloads, by name; all of them without it.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The systems, by name; all that are installed without it. A path stands for another weir: NAME=PATH.
    #[arg(long, value_delimiter = ',')]
    systems: Vec<String>,
    /// Rounds of each workload.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of each window, in place of the workload's own.
    #[arg(long)]
    seconds: Option<f64>,
    /// The most telling workloads only, in fewer rounds.
    #[arg(long)]
    quick: bool,
    /// The weir to measure.
    #[arg(long, default_value = "target/release/weir")]
    weir: PathBuf,
    /// Where results.json, results.md and results.svg go.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Run {
    pub(crate) fn run(&self) -> Result<()> {
        let workloads = self.workloads()?;
        let rounds = self.rounds.unwrap_or(if self.quick { 4 } else { 6 });
        let descriptors = place::descriptors();
        let cores = Cores::here();
        let folder = TempDir::with_prefix("weir-load-")?;
        let secrets = Secrets::make(folder.path())?;
        let backend = backend::start(cores.backend)?;
        let stage = Stage {
            folder: folder.path(),
            backend: backend.address,
            cores,
            descriptors,
            secrets: &secrets,
        };
        let mut running = self.start(&stage)?;
        let mut results = Results {
            date: httpdate::fmt_http_date(SystemTime::now()),
            machine: machine(cores),
            command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
            programs: running.iter().map(|(_, system)| program(system)).collect(),
            workloads: Vec::new(),
        };
        let bench = Bench {
            backend,
            cores,
            secrets: secrets.clone(),
        };
        for workload in workloads {
            eprintln!("{}: {}", workload.name, workload.title);
            let samples = rounds_of(&bench, workload, rounds, &mut running, &stage)?;
            let measured = Measured {
                name: workload.name.to_owned(),
                title: workload.title.to_owned(),
                unit: workload.unit,
                clients: workload.clients,
                duet: workload.mode == Mode::Duet,
                shared: cores.shared(),
                samples,
            };
            eprint!("{}", report::text(&measured));
            results.workloads.push(measured);
            if let Some(out) = &self.out {
                report::write(&results, out)?;
            }
        }
        Ok(())
    }

    fn workloads(&self) -> Result<Vec<Workload>> {
        for name in &self.only {
            if !workloads::ALL.iter().any(|w| w.name == name) {
                let known: Vec<&str> = workloads::ALL.iter().map(|w| w.name).collect();
                bail!("there is no workload {name}, only {}", known.join(", "));
            }
        }
        let wanted = |w: &&Workload| {
            if self.only.is_empty() {
                w.quick || !self.quick
            } else {
                self.only.iter().any(|name| name == w.name)
            }
        };
        let timed = |workload: &Workload| Workload {
            seconds: self.seconds.unwrap_or(workload.seconds),
            ..*workload
        };
        Ok(workloads::ALL.iter().filter(wanted).map(timed).collect())
    }

    /// Starts every system that is wanted and installed.
    fn start(&self, stage: &Stage<'_>) -> Result<Vec<(Option<Peer>, System)>> {
        let wanted = |name: &str| {
            self.systems.is_empty()
                || self
                    .systems
                    .iter()
                    .any(|s| s == name || (s == "haproxy" && name == "haproxy-64k"))
        };
        let mut peers = Vec::new();
        if wanted("weir") {
            peers.push(Peer::weir("weir", &absolute(&self.weir)?));
        }
        for (name, path) in self
            .systems
            .iter()
            .filter_map(|system| system.split_once('='))
        {
            peers.push(Peer::weir(name, &absolute(Path::new(path))?));
        }
        peers.extend(Peer::others().into_iter().filter(|peer| wanted(&peer.name)));
        let mut running = Vec::new();
        for peer in peers {
            match System::start(&peer, stage)? {
                Some(system) => running.push((Some(peer), system)),
                None => eprintln!("SKIPPED: {} is not installed (benches/install)", peer.name),
            }
        }
        if wanted(DIRECT) {
            running.push((None, System::direct(stage.backend)));
        }
        Ok(running)
    }
}

/// All rounds of one workload.
fn rounds_of(
    bench: &Bench,
    workload: Workload,
    rounds: usize,
    running: &mut [(Option<Peer>, System)],
    stage: &Stage<'_>,
) -> Result<Vec<Sample>> {
    let plain = matches!(workload.carrier, Carrier::Plain | Carrier::PlainOnce);
    // Over TLS there is no direct row: the backend speaks none.
    let takes_part =
        |system: &System| (plain || system.tls.is_some()) && (workload.bulk() || !system.bulk_only);
    let mut samples = Vec::new();
    for round in 0..rounds {
        match workload.mode {
            Mode::Duet => {
                let systems: Vec<&System> = running
                    .iter()
                    .map(|(_, s)| s)
                    .filter(|s| takes_part(s))
                    .collect();
                samples.extend(bench.window(workload, &systems, round)?);
            }
            Mode::Turns => {
                let count = running.len();
                for at in 0..count {
                    let (peer, system) = &mut running[(at + round) % count];
                    if !takes_part(system) {
                        continue;
                    }
                    // Memory that earlier work has left in a heap would be taken for none: memory is measured on a fresh start.
                    if let (Some(peer), true) = (&*peer, workload.memory()) {
                        *system = System::start(peer, stage)?.context("it was installed before")?;
                    }
                    samples.extend(bench.window(workload, &[system], round)?);
                }
            }
        }
    }
    // In the order of the systems, whoever was first in the last round.
    let place = |sample: &Sample| running.iter().position(|(_, s)| s.name == sample.system);
    samples.sort_by_key(|sample| (place(sample), sample.round));
    Ok(samples)
}

/// A build of weir must be there: it is what is asked about. Its path is made absolute, because gateways run in a folder of their own.
fn absolute(weir: &Path) -> Result<PathBuf> {
    fs::canonicalize(weir).with_context(|| format!("{}: cargo build --release", weir.display()))
}

fn program(system: &System) -> Program {
    Program {
        name: system.name.clone(),
        version: system.version.clone(),
        start_ms: system.start.as_secs_f64() * 1e3,
        memory_kib: processes::pss(&system.processes),
    }
}

fn machine(cores: Cores) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpu.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_once(':'))
            .map_or("unknown", |(_, value)| value.trim())
            .to_owned()
    };
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} ({} MHz), {count} cores; gateways on core {}, generator on {}, backend on {}; Linux {}",
        field("model name"),
        field("cpu MHz"),
        core(cores.gateway),
        core(cores.generator),
        core(cores.backend),
        kernel.trim()
    )
}

fn core(core: Option<usize>) -> String {
    core.map_or_else(|| "any".to_owned(), |core| core.to_string())
}
