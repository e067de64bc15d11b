//! What healthy clients notice while others attack, and what an attack makes the gateway hold: their p99 as a ratio to the quiet stretch of
//! the same run, the growth of its memory, and the CPU it took. Attackers and clients share the generator's core, so a p99 that rises may
//! be the generator's; one that does not rise is the gateway's merit.

mod attack;

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use tempfile::TempDir;

use self::attack::Attack;
use crate::{
    backend,
    place::{self, Cores},
    processes,
    results::Sample,
    secrets::Secrets,
    systems::{Peer, Stage, System},
    window::Bench,
    workloads::{self, Workload},
};

/// Which attacks.
#[derive(Debug, Args)]
pub(crate) struct Hostile {
    /// slow-heads, h2-bomb, slow-readers; all of them without it.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The weir to attack.
    #[arg(long, default_value = "target/release/weir")]
    weir: PathBuf,
    /// Where hostile.md goes.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What an attack did.
#[derive(Debug)]
struct Outcome {
    attack: Attack,
    connections: usize,
    closed: usize,
    quiet: Sample,
    attacked: Sample,
    growth_mib: f64,
}

/// Attackers begin so long before their window.
const SETTLE: Duration = Duration::from_secs(3);

impl Hostile {
    pub(crate) fn run(&self) -> Result<()> {
        let descriptors = usize::try_from(place::descriptors()).unwrap_or(usize::MAX);
        let mut outcomes = Vec::new();
        for attack in Attack::all(descriptors) {
            if self.only.is_empty() || self.only.iter().any(|name| name == attack.name) {
                outcomes.push(self.one(attack)?);
            }
        }
        let page = table(&outcomes);
        eprint!("{page}");
        if let Some(out) = &self.out {
            fs::create_dir_all(out)?;
            fs::write(out.join("hostile.md"), &page)?;
        }
        if outcomes.iter().any(|outcome| !outcome.bears()) {
            bail!("healthy clients or the gateway's memory suffered beyond the bounds");
        }
        Ok(())
    }

    /// A gateway of its own for each attack: what one leaves behind is not the next one's.
    fn one(&self, attack: Attack) -> Result<Outcome> {
        eprintln!("{}: {}", attack.name, attack.title());
        let cores = Cores::here();
        let folder = TempDir::with_prefix("weir-load-")?;
        let secrets = Secrets::make(folder.path())?;
        let backend = backend::start(cores.backend)?;
        let stage = Stage {
            folder: folder.path(),
            backend: backend.address,
            cores,
            descriptors: place::descriptors(),
            secrets: &secrets,
        };
        let weir = fs::canonicalize(&self.weir)
            .with_context(|| format!("{}: cargo build --release", self.weir.display()))?;
        let system =
            System::start(&Peer::weir("weir", &weir), &stage)?.context("weir was there")?;
        let bench = Bench {
            backend,
            cores,
            secrets: secrets.clone(),
        };
        let healthy = Workload {
            rate: 500.0,
            seconds: 8.0,
            ..*workloads::named("get").context("the workload")?
        };
        let quiet = one(bench.window(healthy, &[&system], 0)?)?;
        let before = processes::pss(&system.processes);
        let (open, closed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (stop, stopped) = mpsc::channel::<()>();
        let attackers = {
            let (open, closed, plain, tls) =
                (open.clone(), closed.clone(), system.plain, system.tls);
            thread::spawn(move || {
                attack::run(
                    attack,
                    plain,
                    tls,
                    cores.generator,
                    &open,
                    &closed,
                    &stopped,
                )
            })
        };
        thread::sleep(SETTLE);
        let longer = Workload {
            seconds: 15.0,
            ..healthy
        };
        let attacked = one(bench.window(longer, &[&system], 1)?)?;
        let after = processes::pss(&system.processes);
        drop(stop);
        attackers.join().ok().context("the attackers failed")?;
        Ok(Outcome {
            attack,
            connections: open.load(Ordering::Relaxed),
            closed: closed.load(Ordering::Relaxed),
            quiet,
            attacked,
            growth_mib: (after as f64 - before as f64) / 1024.0,
        })
    }
}

fn one(samples: Vec<Sample>) -> Result<Sample> {
    samples.into_iter().next().context("one system, one sample")
}

impl Outcome {
    fn ratio(&self) -> f64 {
        let p99 = |sample: &Sample| sample.latency_us[1].unwrap_or(f64::INFINITY);
        p99(&self.attacked) / p99(&self.quiet)
    }

    /// No healthy request failed, none waited noticeably longer, and the memory stayed within the attack's bound.
    fn bears(&self) -> bool {
        self.attacked.failures == 0
            && (self.ratio() < 2.0 || self.attacked.latency_us[1].is_some_and(|us| us < 5_000.0))
            && self.growth_mib < self.attack.bound_mib
    }
}

fn table(outcomes: &[Outcome]) -> String {
    let mut page = "| attack | connections | closed by weir | healthy p99, quiet | under attack | ratio | failed | memory, MiB | bound | CPU of a core | |\n\
        |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n"
        .to_owned();
    for outcome in outcomes {
        let millis = |sample: &Sample| sample.latency_us[1].unwrap_or(f64::NAN) / 1e3;
        let cpu = outcome.attacked.cpu_ns.unwrap_or(0) as f64 / 1e9 / outcome.attacked.seconds;
        page += &format!(
            "| {} | {} | {} | {:.2} ms | {:.2} ms | {:.2} | {} | {:+.1} | {:.0} | {:.0} % | {} |\n",
            outcome.attack.title(),
            outcome.connections,
            outcome.closed,
            millis(&outcome.quiet),
            millis(&outcome.attacked),
            outcome.ratio(),
            outcome.attacked.failures,
            outcome.growth_mib,
            outcome.attack.bound_mib,
            cpu * 100.0,
            if outcome.bears() { "held" } else { "NOT HELD" }
        );
    }
    page
}
