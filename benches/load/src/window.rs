//! One window: the generator at work on some systems, and what each used meanwhile. CPU is read from /proc at both ends of the window by a
//! thread that sleeps in between.

use std::{net::SocketAddr, sync::mpsc, thread, time::Instant};

use anyhow::{Context as _, Result};
use tokio::sync::oneshot;

use crate::{
    backend::Backend,
    place::Cores,
    processes::{self, Cpu},
    results::Sample,
    secrets::Secrets,
    systems::System,
    traffic::{self, Tally},
    workloads::{Carrier, Features, Workload},
};

/// What every window needs.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) backend: Backend,
    pub(crate) cores: Cores,
    pub(crate) secrets: Secrets,
}

impl Bench {
    /// Runs the workload against these systems at once.
    pub(crate) fn window(
        &self,
        workload: Workload,
        systems: &[&System],
        round: usize,
    ) -> Result<Vec<Sample>> {
        let me = i32::try_from(std::process::id())?;
        let memory =
            |system: &&System| workload.memory().then(|| processes::pss(&system.processes));
        let before: Vec<Option<u64>> = systems.iter().map(memory).collect();
        let targets: Vec<SocketAddr> = systems
            .iter()
            .map(|system| address(system, workload))
            .collect();
        let (tell, told) = mpsc::channel();
        let (release, released) = oneshot::channel();
        let (secrets, core) = (self.secrets.clone(), self.cores.generator);
        let generator = thread::Builder::new()
            .name("generator".into())
            .spawn(move || traffic::drive(workload, &targets, secrets, core, &tell, released))?;
        let begun = told.recv().context("the generator ended before it began")?;
        let own = |thread| processes::thread_cpu(me, thread).unwrap_or(0);
        let look = || {
            let systems: Vec<Cpu> = systems.iter().map(|s| Cpu::of(&s.processes)).collect();
            (
                Instant::now(),
                systems,
                own(begun.thread),
                own(self.backend.thread),
            )
        };
        sleep_until(begun.start);
        let (began, cpu_before, generator_before, backend_before) = look();
        sleep_until(begun.end);
        let (ended, cpu_after, generator_after, backend_after) = look();
        let after: Vec<Option<u64>> = systems.iter().map(memory).collect();
        // The streams are open until now, for the memory.
        let _ = release.send(());
        let tallies = generator.join().ok().context("the generator failed")?;
        let seconds = (ended - began).as_secs_f64();
        let share = |before, after: u64| after.saturating_sub(before) as f64 / 1e9 / seconds;
        let expected = workload.clients * systems.len();
        Ok(systems
            .iter()
            .zip(&tallies)
            .enumerate()
            .map(|(at, (system, tally))| Sample {
                cpu_ns: (!system.processes.is_empty())
                    .then(|| cpu_after[at].since(&cpu_before[at])),
                memory_before_kib: before[at],
                memory_kib: after[at],
                generator: share(generator_before, generator_after),
                backend: share(backend_before, backend_after),
                not_ready: expected - begun.ready.min(expected),
                ..seen(system, round, seconds, tally)
            })
            .collect())
    }
}

fn seen(system: &System, round: usize, seconds: f64, tally: &Tally) -> Sample {
    Sample {
        system: system.name.clone(),
        round,
        seconds,
        done: tally.done,
        failures: tally.failures,
        lost: tally.lost,
        resumed: tally.resumed,
        latency_us: [0.5, 0.99, 0.999].map(|share| tally.latency.quantile(share)),
        first_us: [0.5, 0.99].map(|share| tally.first.quantile(share)),
        ..Sample::default()
    }
}

fn address(system: &System, workload: Workload) -> SocketAddr {
    let full = match workload.features {
        Features::None => false,
        Features::All => true,
        Features::WeirOnly => system.weir,
    };
    match workload.carrier {
        Carrier::Tls | Carrier::TlsOnce { .. } | Carrier::H2 => system.tls.unwrap_or(system.plain),
        Carrier::Plain | Carrier::PlainOnce if full => system.full,
        Carrier::Plain | Carrier::PlainOnce => system.plain,
    }
}

fn sleep_until(instant: Instant) {
    thread::sleep(instant.saturating_duration_since(Instant::now()));
}
