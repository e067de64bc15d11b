//! How many instructions weir takes for a request and for an event, outside the kernel, and how many cache lines of code they lie in: of a
//! small request's code nearly nothing runs twice, so that its lines tell more of the time it takes. Callgrind's counts do not depend on what else
//! the machine does and repeat within 1 %, so they can fail a build where microseconds cannot. One weir runs for all of it and writes down what it
//! has executed since it did so last: before a known amount of one kind of work and after it. To start it once without the work and once with it
//! and subtract was tried: the start alone differs by half a million instructions from one to the next.

mod client;
mod executed;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use tempfile::TempDir;

use self::{
    client::{Client, Kind},
    executed::Executed,
};
use crate::{
    backend,
    place::{self, Cores},
    secrets::Secrets,
    systems::{Peer, Stage, System},
};

/// What to count.
#[derive(Debug, Args)]
pub(crate) struct Instructions {
    /// The weir to measure.
    #[arg(long, default_value = "target/release/weir")]
    weir: PathBuf,
    /// The counts on record.
    #[arg(long, default_value = "benches/instructions.txt")]
    baseline: PathBuf,
    /// Put today's counts on record.
    #[arg(long)]
    record: bool,
}

/// More than this above the record is a failure.
const TOLERANCE: f64 = 0.05;
/// The same of lines: where a build puts its functions moves an event's 420 by 20 already.
const TOLERANCE_OF_LINES: f64 = 0.08;
/// Of the work that is counted.
const TIMES: usize = 400;
const WARM_UP: usize = 100;
/// Longer than access lines wait for each other: weir writes them each 100 ms.
const LATER: Duration = Duration::from_millis(300);

/// What is counted: its name, path, and kind.
const KINDS: [(&str, &str, Kind); 4] = [
    ("get", "/tiny", Kind::Get),
    ("get-full", "/full/tiny", Kind::Get),
    ("post", "/echo", Kind::Post),
    ("event", "/turns", Kind::Event),
];

impl Instructions {
    pub(crate) fn run(&self) -> Result<()> {
        let weir = fs::canonicalize(&self.weir)
            .with_context(|| format!("{}: cargo build --release", self.weir.display()))?;
        let counted = count(&weir)?;
        if self.record {
            fs::write(&self.baseline, written(&counted))?;
        }
        let known = fs::read_to_string(&self.baseline)
            .with_context(|| format!("{}: make it with --record", self.baseline.display()))?;
        let (text, worse) = compared(&counted, &read(&known));
        eprint!("{text}");
        if worse {
            bail!(
                "weir takes more than on record; if that is meant: benches/instructions --record"
            );
        }
        Ok(())
    }
}

fn count(weir: &Path) -> Result<BTreeMap<String, u64>> {
    let folder = TempDir::with_prefix("weir-load-")?;
    let secrets = Secrets::make(folder.path())?;
    let cores = Cores::here();
    let backend = backend::start(cores.backend)?;
    let stage = Stage {
        folder: folder.path(),
        backend: backend.address,
        cores,
        descriptors: place::descriptors(),
        secrets: &secrets,
    };
    let out = folder.path().join("callgrind.out");
    let system = System::start(&Peer::counted(weir, out.clone()), &stage)
        .context("callgrind: is valgrind installed?")?
        .context("weir was there before")?;
    let mut dumps = Dumps {
        process: system.processes[0],
        out,
        taken: 0,
    };
    let mut counted = BTreeMap::new();
    for (name, path, kind) in KINDS {
        let address = if path.starts_with("/full") {
            system.full
        } else {
            system.plain
        };
        let mut client = Client::open(address, path, kind, &secrets.token)?;
        client.play(WARM_UP)?;
        dumps.next()?;
        client.play(TIMES)?;
        let executed = dumps.next()?;
        let times = TIMES as u64;
        counted.insert(
            format!("{name} instructions"),
            executed.instructions() / times,
        );
        counted.insert(format!("{name} lines"), executed.lines(times));
    }
    system.stop()?;
    Ok(counted)
}

/// What callgrind writes while weir runs.
struct Dumps {
    process: i32,
    /// Where it writes; the number of the dump stands behind it.
    out: PathBuf,
    taken: u32,
}

impl Dumps {
    /// What weir has executed since the last one.
    fn next(&mut self) -> Result<Executed> {
        // What weir leaves for later, and no request waits for, belongs to the work too.
        thread::sleep(LATER);
        let asked = Command::new("vgdb")
            .arg(format!("--pid={}", self.process))
            .arg("dump")
            .output()
            .context("vgdb: is valgrind installed?")?;
        let said = String::from_utf8_lossy(&asked.stderr);
        ensure!(asked.status.success(), "vgdb: {said}");
        self.taken += 1;
        let file = format!("{}.{}", self.out.display(), self.taken);
        let text = fs::read_to_string(&file).context(file)?;
        Executed::read(&text).context("callgrind wrote no counts")
    }
}

fn written(counts: &BTreeMap<String, u64>) -> String {
    let mut text = "# Instructions of weir for each, outside the kernel, and the cache lines of code they lie in. Made by benches/instructions --record.\n".to_owned();
    for (name, count) in counts {
        text += &format!("{name} {count}\n");
    }
    text
}

fn read(text: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (name, count) = line.rsplit_once(' ')?;
        Some((name.to_owned(), count.trim().parse().ok()?))
    };
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(line)
        .collect()
}

/// The table, and whether any count has grown beyond the tolerance or is not on record.
fn compared(counted: &BTreeMap<String, u64>, known: &BTreeMap<String, u64>) -> (String, bool) {
    let (mut text, mut worse) = (String::new(), false);
    for (name, &count) in counted {
        let Some(&before) = known.get(name) else {
            text += &format!("{count:>6} {name}, not on record\n");
            worse = true;
            continue;
        };
        let change = count as f64 / before as f64 - 1.0;
        let tolerance = if name.ends_with(" lines") {
            TOLERANCE_OF_LINES
        } else {
            TOLERANCE
        };
        let word = if change > tolerance {
            worse = true;
            "  TOO MANY"
        } else if change < -tolerance {
            "  fewer: put it on record with --record"
        } else {
            ""
        };
        text += &format!(
            "{count:>6} {name}, {before} on record ({:+.1} %){word}\n",
            change * 100.0
        );
    }
    (text, worse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_growth_beyond_the_tolerance_and_the_unknown_fail() {
        let known = BTreeMap::from([("get".to_owned(), 10_000)]);
        for (count, fails) in [(10_400, false), (10_600, true), (5_000, false)] {
            let counted = BTreeMap::from([("get".to_owned(), count)]);
            assert_eq!(compared(&counted, &known).1, fails, "{count}");
        }
        let known = BTreeMap::from([("get lines".to_owned(), 1000)]);
        for (count, fails) in [(1070, false), (1090, true)] {
            let counted = BTreeMap::from([("get lines".to_owned(), count)]);
            assert_eq!(compared(&counted, &known).1, fails, "{count}");
        }
        let unknown = BTreeMap::from([("post".to_owned(), 1)]);
        assert!(compared(&unknown, &known).1);
    }

    #[test]
    fn what_is_recorded_can_be_read() {
        let counts = BTreeMap::from([
            ("get instructions".to_owned(), 21_000),
            ("get lines".to_owned(), 900),
        ]);
        assert_eq!(read(&written(&counts)), counts);
    }
}
