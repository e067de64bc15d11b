//! The harness itself, for a second of each: the weir that was built beside it bears the load, nothing fails, CPU and memory are seen, and the
//! report is written.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use weir_testkit::skip;

#[test]
fn a_second_of_requests_streams_and_tls_gives_figures() {
    let load = Path::new(env!("CARGO_BIN_EXE_weir-load"));
    let weir = load.with_file_name("weir");
    // Not there only with `-p weir-load`: the workspace's tests build both.
    let reason = "weir is not built beside weir-load";
    if skip::unless(weir.is_file(), "short", reason) {
        return;
    }
    let out = tempfile::tempdir().expect("a folder");
    let ran = Command::new(load)
        .args([
            "run",
            "--only",
            "get,sse,get-full,h2-get,tls-resumed",
            "--systems",
            "weir,direct",
        ])
        .args(["--rounds", "1", "--seconds", "1", "--weir"])
        .arg(&weir)
        .arg("--out")
        .arg(out.path())
        .output()
        .expect("weir-load");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    let text = fs::read_to_string(out.path().join("results.json")).expect("results");
    let results: Value = serde_json::from_str(&text).expect("JSON");
    let workloads = results["workloads"].as_array().expect("workloads");
    assert_eq!(workloads.len(), 5);
    for workload in workloads {
        let sample = &workload["samples"][0];
        assert_eq!(sample["system"], "weir", "{said}");
        assert!(sample["done"].as_u64() > Some(10), "{said}");
        assert_eq!(sample["failures"], 0, "{said}");
        assert_eq!(sample["lost"], 0, "{said}");
        assert!(sample["cpu_ns"].as_u64() > Some(0), "{said}");
    }
    assert!(
        workloads[3]["samples"][0]["resumed"].as_u64() > Some(0),
        "{said}"
    );
    for file in ["results.md", "results.svg"] {
        let text = fs::read_to_string(out.path().join(file)).expect("a report");
        assert!(text.contains("HTTP/2") || file == "results.svg", "{text}");
    }
}
