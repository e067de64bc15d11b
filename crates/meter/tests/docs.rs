//! Holds `docs/metrics.md` to the table of names: `WEIR_WRITE_DOCS=1 cargo test -p weir-meter --test docs` writes it anew.

use std::{fmt::Write, fs, path::Path};

use weir_meter::names::{ALL, Kind};

const BEGIN: &str = "<!-- begin: written from crates/meter/src/names.rs by its test -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn the_documented_metrics_are_the_real_ones() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let page = fs::read_to_string(&path).expect("docs/metrics.md");
    let (before, rest) = page
        .split_once(BEGIN)
        .expect("the mark where the table begins");
    let (_, after) = rest.split_once(END).expect("the mark where the table ends");
    let expected = format!("{before}{BEGIN}{}{END}{after}", table());
    if std::env::var_os("WEIR_WRITE_DOCS").is_some() {
        fs::write(&path, expected).expect("writable");
    } else {
        assert!(
            page == expected,
            "docs/metrics.md is out of date: run with WEIR_WRITE_DOCS=1"
        );
    }
}

fn table() -> String {
    let mut table = String::from("| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    for metric in ALL {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let labels: Vec<_> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let (name, labels, help) = (metric.name, labels.join(" "), metric.help);
        writeln!(table, "| `{name}` | {kind} | {labels} | {help} |").expect("a String takes all");
    }
    table
}
