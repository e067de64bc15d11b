//! How many instructions weir takes for a request and for an event, outside the kernel, and how many cache lines of code they lie in: of a
//! small request's code nearly nothing runs twice, so that its lines tell more of the time it takes. Callgrind's counts do not depend on what else
//! the machine does and repeat within about 1 %, so they can fail a build where microseconds cannot. weir runs several times: once with a
//! warm-up only, and once with a known amount of one kind of work more; the difference, divided, is the cost of one.

mod executed;

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use tempfile::TempDir;

use self::executed::Executed;
use crate::{
    backend, event,
    head::{Head, chunked_end},
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
/// Of the work that is counted.
const TIMES: usize = 400;
const WARM_UP: usize = 100;
/// In ms. Slow enough that each event is read and written by itself under callgrind too, on a machine whose time others take: at 4 ms two or three
/// came at once now and then, and counted as one.
const EVERY: &str = "20";

/// What is counted: its name, path, and kind.
const KINDS: [(&str, &str, Kind); 4] = [
    ("get", "/tiny", Kind::Get),
    ("get-full", "/full/tiny", Kind::Get),
    ("post", "/echo", Kind::Post),
    ("event", "/stream", Kind::Event),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Get,
    Post,
    Event,
}

impl Instructions {
    pub(crate) fn run(&self) -> Result<()> {
        let weir = fs::canonicalize(&self.weir)
            .with_context(|| format!("{}: cargo build --release", self.weir.display()))?;
        let idle = life(&weir, None)?;
        let mut counted = BTreeMap::new();
        for (name, path, kind) in KINDS {
            let busy = life(&weir, Some((path, kind)))?;
            let more = busy.instructions().saturating_sub(idle.instructions());
            counted.insert(format!("{name} instructions"), more / TIMES as u64);
            counted.insert(format!("{name} lines"), busy.lines(&idle, TIMES as u64));
        }
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

/// What one life of weir executes with the warm-up, and with the work if there is one.
fn life(weir: &Path, work: Option<(&str, Kind)>) -> Result<Executed> {
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
    let file = folder.path().join("callgrind.out");
    let system = System::start(&Peer::counted(weir, file.clone()), &stage)
        .context("callgrind: is valgrind installed?")?
        .context("weir was there before")?;
    for (_, path, kind) in KINDS {
        play(&system, path, kind, &secrets.token, WARM_UP)?;
    }
    if let Some((path, kind)) = work {
        play(&system, path, kind, &secrets.token, TIMES)?;
    }
    system.stop()?;
    let out = fs::read_to_string(&file)?;
    Executed::read(&out).context("callgrind wrote no counts")
}

/// One client, one connection, one thing after the other. The connection is the same for every amount, so that it cancels out but for
/// the first of its kind.
fn play(system: &System, path: &str, kind: Kind, token: &str, times: usize) -> Result<()> {
    let address: SocketAddr = if path.starts_with("/full") {
        system.full
    } else {
        system.plain
    };
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    let body = if kind == Kind::Post {
        vec![b'a'; 2048]
    } else {
        Vec::new()
    };
    let query = if kind == Kind::Event {
        format!("?{EVERY}")
    } else {
        String::new()
    };
    let method = if kind == Kind::Post { "POST" } else { "GET" };
    let mut request = format!(
        "{method} {path}{query} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: weir-load\r\nAccept: */*\r\n\
         Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend(&body);
    if kind == Kind::Event {
        socket.write_all(&request)?;
        return events(&mut socket, times);
    }
    for _ in 0..times {
        socket.write_all(&request)?;
        answer(&mut socket)?;
    }
    Ok(())
}

fn answer(socket: &mut TcpStream) -> Result<()> {
    let mut buffer = Vec::new();
    loop {
        if let Some(head) = Head::of_answer(&buffer) {
            ensure!(head.status == 200, "weir answered {}", head.status);
            let body = &buffer[head.length..];
            if body.len() as u64 >= head.body && (!head.chunked || chunked_end(body).is_some()) {
                return Ok(());
            }
        }
        more(socket, &mut buffer)?;
    }
}

fn events(socket: &mut TcpStream, times: usize) -> Result<()> {
    let (mut buffer, mut seen) = (Vec::new(), 0);
    while seen < times {
        more(socket, &mut buffer)?;
        event::take(&mut buffer, |_| seen += 1);
    }
    Ok(())
}

fn more(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<()> {
    let mut block = [0; 16 * 1024];
    match socket.read(&mut block) {
        Ok(0) => Err(std::io::Error::from(ErrorKind::UnexpectedEof).into()),
        Ok(read) => {
            buffer.extend(&block[..read]);
            Ok(())
        }
        Err(error) => Err(error.into()),
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
        let word = if change > TOLERANCE {
            worse = true;
            "  TOO MANY"
        } else if change < -TOLERANCE {
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
