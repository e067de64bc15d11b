//! What weir is to reach, beside what it reached. The first figure of each pair is to nginx, the second to HAProxy; they were set before
//! weir's first line, from prototypes and the peers on two cores.

use std::fmt::Write as _;

use super::figure;
use crate::results::{Results, Row};

struct Target {
    workload: &'static str,
    what: &'static str,
    most: [f64; 2],
    reached: fn(&Row, &[Row]) -> [Option<f64>; 2],
}

const TARGETS: &[Target] = &[
    Target::cpu(
        "get-uneven",
        "CPU for a small GET, only weir with its features",
        [0.92, 0.72],
    ),
    Target::cpu(
        "post-uneven",
        "CPU for a POST of 2 KiB, only weir with its features",
        [0.92, 0.72],
    ),
    Target::cpu(
        "sse-uneven",
        "CPU for an event, only weir with its features",
        [0.93, 0.92],
    ),
    Target {
        workload: "sse-uneven",
        what: "delay of an event, p50",
        most: [1.0, 1.0],
        reached: |row, rows| delay(row, rows, 0),
    },
    Target {
        workload: "sse-uneven",
        what: "delay of an event, p99",
        most: [1.0, 1.0],
        reached: |row, rows| delay(row, rows, 1),
    },
    Target::cpu(
        "download",
        "CPU for a GiB in downloads of 64 MiB, peers tuned for it",
        [0.9, 0.95],
    ),
    Target::cpu(
        "tls-new",
        "CPU for a new TLS connection with a GET",
        [0.5, 0.45],
    ),
    // The prototypes were measured so.
    Target::cpu("tls-new-max", "the same, as many as go", [0.5, 0.45]),
    Target::cpu("h2-get", "CPU for a GET over HTTP/2 and TLS", [0.6, 0.85]),
    Target::cpu("h2-max", "the same, as many as go", [0.6, 0.85]),
    Target::cpu("churn", "CPU for a new connection with a GET", [1.05, 1.05]),
    Target::cpu("churn-max", "the same, as many as go", [1.05, 1.05]),
];

/// KiB for each silent stream: a bound of its own, not a ratio.
const KIB: f64 = 20.0;

impl Target {
    const fn cpu(workload: &'static str, what: &'static str, most: [f64; 2]) -> Self {
        Self {
            workload,
            what,
            most,
            reached: |row, _| row.ratios,
        }
    }
}

fn delay(row: &Row, rows: &[Row], at: usize) -> [Option<f64>; 2] {
    ["nginx", "haproxy"].map(|name| {
        let peer = rows.iter().find(|row| row.system == name)?;
        Some(row.latency_us[at]? / peer.latency_us[at]?)
    })
}

/// The table; empty when none of its workloads was measured.
pub(super) fn table(results: &Results) -> String {
    let mut lines = String::new();
    let rows = |name: &str| {
        let measured = results
            .workloads
            .iter()
            .find(|measured| measured.name == name)?;
        Some(measured.rows())
    };
    for target in TARGETS {
        let Some(rows) = rows(target.workload) else {
            continue;
        };
        let Some(weir) = rows.iter().find(|row| row.system == "weir") else {
            continue;
        };
        let reached = (target.reached)(weir, &rows);
        let cell = |at: usize| marked(reached[at], target.most[at], 2);
        let _ = writeln!(
            lines,
            "| {} | {} | {} | {} | {} |",
            target.what,
            target.most[0],
            cell(0),
            target.most[1],
            cell(1)
        );
    }
    let kib = rows("idle").and_then(|rows| rows.iter().find(|row| row.system == "weir")?.kib);
    if kib.is_some() {
        let _ = writeln!(
            lines,
            "| KiB for a silent stream, not a ratio | {KIB} | {} | | |",
            marked(kib, KIB, 1)
        );
    }
    if lines.is_empty() {
        return lines;
    }
    format!(
        "\n### Targets\n\nRatios of weir's figure to the peer's, lower is better; what is above its target is bold.\n\n\
         | | nginx, at most | reached | HAProxy, at most | reached |\n|---|--:|--:|--:|--:|\n{lines}"
    )
}

fn marked(reached: Option<f64>, most: f64, digits: usize) -> String {
    let text = figure(reached, digits);
    match reached {
        Some(reached) if reached > most => format!("**{text}**"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::{Measured, Sample},
        workloads::{self, Unit},
    };

    #[test]
    fn says_what_is_reached_and_what_is_not() {
        let sample = |system: &str, cpu_ns| Sample {
            system: system.into(),
            seconds: 1.0,
            done: 1,
            cpu_ns: Some(cpu_ns),
            ..Sample::default()
        };
        let results = Results {
            workloads: vec![Measured {
                name: "get-uneven".into(),
                title: String::new(),
                unit: Unit::Request,
                clients: 1,
                duet: true,
                shared: true,
                samples: vec![
                    sample("weir", 90),
                    sample("nginx", 100),
                    sample("haproxy", 100),
                ],
            }],
            ..Results::default()
        };
        let table = table(&results);
        assert!(
            table.contains("| 0.92 | 0.90 | 0.72 | **0.90** |"),
            "{table}"
        );
    }

    #[test]
    fn every_target_is_of_a_workload_that_there_is() {
        for target in TARGETS {
            assert!(
                workloads::named(target.workload).is_some(),
                "{}",
                target.workload
            );
        }
    }
}
