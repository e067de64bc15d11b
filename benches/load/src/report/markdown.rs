//! The results as a page of tables, as docs/performance.md takes them in.

use std::fmt::Write as _;

use super::{Columns, figure, targets};
use crate::results::{CEILING, Results};

/// The whole page, without a title: it is part of another.
pub(super) fn page(results: &Results) -> String {
    let mut page = format!(
        "Measured {} by `weir-load {}` on {}.\n\n",
        results.date, results.command, results.machine
    );
    page += "| program | version | ms to first accept | MiB at start |\n|---|---|--:|--:|\n";
    for program in results.programs.iter().filter(|p| !p.version.is_empty()) {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} |",
            program.name,
            program.version,
            figure(Some(program.start_ms), 0),
            figure(Some(program.memory_kib as f64 / 1024.0), 1)
        );
    }
    page += &targets::table(results);
    for measured in &results.workloads {
        let columns = Columns::of(measured);
        let rounds = measured
            .samples
            .iter()
            .map(|s| s.round + 1)
            .max()
            .unwrap_or(0);
        let how = if measured.duet {
            "all at once"
        } else {
            "in turns"
        };
        let heads = columns.heads();
        let _ = write!(
            page,
            "\n### {}\n\n`{}`, {rounds} rounds, {how}.\n\n| {} |\n|---|{}\n",
            measured.title,
            measured.name,
            heads.join(" | "),
            "--:|".repeat(heads.len() - 1)
        );
        let rows = measured.rows();
        for row in &rows {
            let _ = writeln!(page, "| {} |", columns.cells(row).join(" | "));
        }
        if rows.iter().any(|row| row.load > CEILING) {
            page += "\n(!) generator and backend had more than 80 % of their core: rates of this row may be theirs.\n";
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::{Measured, Sample},
        workloads::Unit,
    };

    #[test]
    fn each_row_has_the_columns_of_its_head_and_a_busy_generator_is_told() {
        let sample = Sample {
            system: "weir".into(),
            seconds: 1.0,
            done: 10,
            cpu_ns: Some(1),
            generator: 0.9,
            ..Sample::default()
        };
        for unit in [Unit::Request, Unit::Event, Unit::Gibibyte, Unit::Stream] {
            let results = Results {
                workloads: vec![Measured {
                    name: "w".into(),
                    title: "Work".into(),
                    unit,
                    clients: 1,
                    duet: true,
                    shared: false,
                    samples: vec![sample.clone()],
                }],
                ..Results::default()
            };
            let page = page(&results);
            let (_, table) = page.split_once("### Work").expect("the workload");
            let columns: Vec<usize> = table
                .lines()
                .filter(|line| line.starts_with('|'))
                .map(|line| line.matches('|').count())
                .collect();
            assert_eq!(columns.len(), 3, "{page}");
            assert!(columns.iter().all(|&count| count == columns[0]), "{page}");
            assert!(page.contains("(!) generator"), "{page}");
        }
    }
}
