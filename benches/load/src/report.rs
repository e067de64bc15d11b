//! How results are shown: as text while they come, and as JSON, Markdown and a picture in a folder.

mod markdown;
mod picture;
mod targets;

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Result;

use crate::{
    results::{CEILING, Measured, Results, Row},
    workloads::Unit,
};

/// Writes results.json, results.md and results.svg.
pub(crate) fn write(results: &Results, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(
        folder.join("results.json"),
        serde_json::to_string_pretty(results)?,
    )?;
    fs::write(folder.join("results.md"), markdown::page(results))?;
    fs::write(folder.join("results.svg"), picture::draw(results))?;
    Ok(())
}

/// The rows of one workload, aligned.
pub(crate) fn text(measured: &Measured) -> String {
    let columns = Columns::of(measured);
    let mut lines = vec![columns.heads()];
    lines.extend(measured.rows().iter().map(|row| columns.cells(row)));
    let mut widths = vec![0; lines[0].len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in lines {
        for (at, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            let _ = if at == 0 {
                write!(text, "  {cell:<width$}")
            } else {
                write!(text, "  {cell:>width$}")
            };
        }
        text.push('\n');
    }
    text
}

/// Which columns a workload has.
struct Columns {
    unit: Unit,
    baselines: [&'static str; 2],
    memory: bool,
    resumed: bool,
}

impl Columns {
    fn of(measured: &Measured) -> Self {
        let rows = measured.rows();
        Self {
            unit: measured.unit,
            baselines: measured.baselines(),
            memory: rows.iter().any(|row| row.kib.is_some()),
            resumed: rows.iter().any(|row| row.resumed.is_some()),
        }
    }

    fn heads(&self) -> Vec<String> {
        let mut heads = vec!["system".to_owned()];
        match self.unit {
            Unit::Request => heads.push("CPU µs/request".to_owned()),
            Unit::Event => heads.push("CPU µs/event".to_owned()),
            Unit::Gibibyte => heads.push("CPU s/GiB".to_owned()),
            Unit::Stream => heads.push("KiB/stream".to_owned()),
        }
        heads.extend(self.baselines.map(|name| format!("x {name}")));
        match self.unit {
            Unit::Request => {
                heads.extend(["requests/s", "p50 ms", "p99 ms", "p99.9 ms"].map(String::from))
            }
            Unit::Event => heads.extend(
                [
                    "events/s",
                    "p50 ms",
                    "p99 ms",
                    "p99.9 ms",
                    "first p50 ms",
                    "first p99 ms",
                ]
                .map(String::from),
            ),
            Unit::Gibibyte => heads.push("GB/s".to_owned()),
            Unit::Stream => heads.extend(["first p50 ms", "first p99 ms"].map(String::from)),
        }
        if self.unit == Unit::Event && self.memory {
            heads.push("KiB/stream".to_owned());
        }
        if self.resumed {
            heads.push("resumed".to_owned());
        }
        heads.push("failed".to_owned());
        if self.unit == Unit::Event {
            heads.push("lost".to_owned());
        }
        heads.push("load".to_owned());
        heads
    }

    fn cells(&self, row: &Row) -> Vec<String> {
        let mut cells = vec![row.system.clone()];
        cells.push(match self.unit {
            Unit::Stream => figure(row.kib, 1),
            Unit::Gibibyte => figure(row.cpu, 2),
            _ => figure(row.cpu, 1),
        });
        cells.extend(row.ratios.map(|ratio| figure(ratio, 2)));
        let millis = |micros: Option<f64>| figure(micros.map(|us| us / 1e3), 2);
        match self.unit {
            Unit::Request | Unit::Event => {
                cells.push(figure(row.rate, 0));
                cells.extend(row.latency_us.map(millis));
            }
            Unit::Gibibyte => cells.push(figure(row.rate, 2)),
            Unit::Stream => {}
        }
        if matches!(self.unit, Unit::Event | Unit::Stream) {
            cells.extend(row.first_us.map(millis));
        }
        if self.unit == Unit::Event && self.memory {
            cells.push(figure(row.kib, 1));
        }
        if self.resumed {
            cells.push(figure(row.resumed.map(|share| share * 100.0), 0) + " %");
        }
        cells.push(row.failures.to_string());
        if self.unit == Unit::Event {
            cells.push(row.lost.to_string());
        }
        let flag = if row.load > CEILING { " (!)" } else { "" };
        cells.push(format!("{:.0} %{flag}", row.load * 100.0));
        cells
    }
}

fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}
