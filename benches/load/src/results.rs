//! What a run has measured, as it is kept in JSON: the machine, the programs, and every window as it was. Rows are derived from it when
//! they are shown, so that a report can be made again from the file.

use serde::{Deserialize, Serialize};

use crate::{
    numbers::{median, ratio},
    workloads::Unit,
};

/// A whole run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) date: String,
    pub(crate) machine: String,
    /// How it was made.
    pub(crate) command: String,
    pub(crate) programs: Vec<Program>,
    pub(crate) workloads: Vec<Measured>,
}

/// A gateway that took part.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) start_ms: f64,
    /// Before any work.
    pub(crate) memory_kib: u64,
}

/// A workload with all its windows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) unit: Unit,
    pub(crate) clients: usize,
    pub(crate) duet: bool,
    /// Whether generator and backend had one core for both.
    pub(crate) shared: bool,
    pub(crate) samples: Vec<Sample>,
}

/// One system in one window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) system: String,
    pub(crate) round: usize,
    pub(crate) seconds: f64,
    /// Requests, events or bytes.
    pub(crate) done: u64,
    pub(crate) failures: u64,
    pub(crate) lost: u64,
    pub(crate) resumed: u64,
    /// Clients, of all systems together, that had no answer before the window.
    pub(crate) not_ready: usize,
    pub(crate) cpu_ns: Option<u64>,
    /// p50, p99, p99.9.
    pub(crate) latency_us: [Option<f64>; 3],
    /// p50, p99 of a stream's first event.
    pub(crate) first_us: [Option<f64>; 2],
    pub(crate) memory_before_kib: Option<u64>,
    pub(crate) memory_kib: Option<u64>,
    /// Shares of a core.
    pub(crate) generator: f64,
    pub(crate) backend: f64,
}

/// One system in one workload: medians over the rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) system: String,
    /// CPU microseconds per request or event, CPU seconds per GiB.
    pub(crate) cpu: Option<f64>,
    /// The same to nginx's and to HAProxy's, within the rounds.
    pub(crate) ratios: [Option<f64>; 2],
    /// Requests or events a second, or GB a second.
    pub(crate) rate: Option<f64>,
    pub(crate) latency_us: [Option<f64>; 3],
    pub(crate) first_us: [Option<f64>; 2],
    /// Memory per open stream.
    pub(crate) kib: Option<f64>,
    pub(crate) failures: u64,
    pub(crate) lost: u64,
    /// Share of handshakes that took up a ticket.
    pub(crate) resumed: Option<f64>,
    /// The largest share of its core that generator and backend took.
    pub(crate) load: f64,
}

/// Above this share of a core the generator may be what is measured.
pub(crate) const CEILING: f64 = 0.8;

impl Measured {
    /// A row for each system, in the order in which they came.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut systems: Vec<&str> = Vec::new();
        for sample in &self.samples {
            if !systems.contains(&sample.system.as_str()) {
                systems.push(&sample.system);
            }
        }
        let baselines = self.baselines().map(|name| self.costs(name));
        systems
            .iter()
            .map(|system| {
                let samples = || self.samples.iter().filter(|s| s.system == *system);
                let costs = self.costs(system);
                let of = |pick: &dyn Fn(&Sample) -> Option<f64>| median(samples().filter_map(pick));
                let done: u64 = samples().map(|s| s.done).sum();
                let resumed: u64 = samples().map(|s| s.resumed).sum();
                Row {
                    system: (*system).to_owned(),
                    cpu: median(samples().filter_map(|s| self.cpu(s))),
                    ratios: [0, 1].map(|at: usize| ratio(&costs, &baselines[at])),
                    rate: of(&|s| Some(self.amount(s)? / s.seconds)),
                    latency_us: [0, 1, 2].map(|at: usize| of(&|s| s.latency_us[at])),
                    first_us: [0, 1].map(|at: usize| of(&|s| s.first_us[at])),
                    kib: of(&|s| self.kib(s)),
                    failures: samples().map(|s| s.failures).sum(),
                    lost: samples().map(|s| s.lost).sum(),
                    // A handshake at the window's edge may count without its request.
                    resumed: (resumed > 0).then(|| (resumed as f64 / done as f64).min(1.0)),
                    load: samples().map(|s| self.load(s)).fold(0.0, f64::max),
                }
            })
            .collect()
    }

    /// Which systems the ratios are to. For large bodies HAProxy's better configuration counts.
    pub(crate) fn baselines(&self) -> [&'static str; 2] {
        let tuned = self.samples.iter().any(|s| s.system == "haproxy-64k");
        ["nginx", if tuned { "haproxy-64k" } else { "haproxy" }]
    }

    /// What is compared, by round: memory for silent streams, CPU for everything else.
    fn costs(&self, system: &str) -> Vec<Option<f64>> {
        let rounds = self.samples.iter().map(|s| s.round + 1).max().unwrap_or(0);
        let mut costs = vec![None; rounds];
        for sample in self.samples.iter().filter(|s| s.system == system) {
            costs[sample.round] = match self.unit {
                Unit::Stream => self.kib(sample),
                _ => self.cpu(sample),
            };
        }
        costs
    }

    fn cpu(&self, sample: &Sample) -> Option<f64> {
        let nanos = sample.cpu_ns? as f64;
        let done = (sample.done > 0).then_some(sample.done as f64)?;
        match self.unit {
            Unit::Request | Unit::Event => Some(nanos / 1e3 / done),
            Unit::Gibibyte => Some(nanos / 1e9 / (done / f64::from(1 << 30))),
            Unit::Stream => None,
        }
    }

    fn amount(&self, sample: &Sample) -> Option<f64> {
        match self.unit {
            Unit::Request | Unit::Event => Some(sample.done as f64),
            Unit::Gibibyte => Some(sample.done as f64 / 1e9),
            Unit::Stream => None,
        }
    }

    fn kib(&self, sample: &Sample) -> Option<f64> {
        if sample.cpu_ns.is_none() || sample.not_ready > 0 {
            return None;
        }
        let growth = sample.memory_kib? as f64 - sample.memory_before_kib? as f64;
        Some(growth / self.clients as f64)
    }

    fn load(&self, sample: &Sample) -> f64 {
        if self.shared {
            sample.generator + sample.backend
        } else {
            sample.generator.max(sample.backend)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(system: &str, round: usize, cpu_us: u64) -> Sample {
        Sample {
            system: system.to_owned(),
            round,
            seconds: 2.0,
            done: 1000,
            cpu_ns: Some(cpu_us * 1000 * 1000),
            ..Sample::default()
        }
    }

    fn measured(unit: Unit, samples: Vec<Sample>) -> Measured {
        Measured {
            name: "get".into(),
            title: "small GET".into(),
            unit,
            clients: 10,
            duet: true,
            shared: true,
            samples,
        }
    }

    #[test]
    fn ratios_are_within_a_round_and_the_median_of_the_rounds() {
        // The second round is twice as slow for both: only the ratio within it says anything.
        let samples = [("weir", [40, 80, 45]), ("nginx", [50, 100, 50])];
        let samples = samples
            .iter()
            .flat_map(|(name, costs)| {
                costs
                    .iter()
                    .enumerate()
                    .map(|(round, &us)| sample(name, round, us))
            })
            .collect();
        let rows = measured(Unit::Request, samples).rows();
        assert_eq!(rows[0].system, "weir");
        assert_eq!(rows[0].cpu, Some(45.0));
        assert_eq!(rows[0].ratios, [Some(0.8), None]);
        assert_eq!(rows[1].ratios[0], Some(1.0));
        assert_eq!(rows[0].rate, Some(500.0));
    }

    #[test]
    fn memory_is_the_growth_for_each_stream_and_needs_all_of_them() {
        let open = Sample {
            memory_before_kib: Some(5000),
            memory_kib: Some(5200),
            ..sample("weir", 0, 0)
        };
        let cut = Sample {
            not_ready: 3,
            round: 1,
            ..open.clone()
        };
        let rows = measured(Unit::Stream, vec![open, cut]).rows();
        assert_eq!(rows[0].kib, Some(20.0));
        assert_eq!(rows[0].cpu, None);
    }

    #[test]
    fn a_gibibyte_costs_seconds() {
        let bytes = Sample {
            done: 1 << 30,
            ..sample("weir", 0, 500)
        };
        let rows = measured(Unit::Gibibyte, vec![bytes]).rows();
        assert_eq!(rows[0].cpu, Some(0.5));
    }
}
