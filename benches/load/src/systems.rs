//! The gateways that are compared: which program each is, the configuration it gets, and its life as a child process on the gateways' core.
//! The configurations stand in benches/peers/ with {{names}} for what is known only now. A program that is not installed is no error
//! here: whoever asks is told so.

use std::{
    borrow::Cow,
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    place::{self, Cores},
    processes,
    secrets::Secrets,
};

/// A gateway's program and configuration.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// As it is shown.
    pub(crate) name: Cow<'static, str>,
    kind: Kind,
    /// Only for bodies of many MiB, where its configuration is the better one.
    pub(crate) bulk_only: bool,
    /// Where it is; none: where programs are.
    program: Option<PathBuf>,
    /// The file that callgrind counts its instructions into.
    counted: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Weir,
    Nginx,
    Haproxy,
    Envoy,
    Caddy,
}

impl Peer {
    const fn new(name: &'static str, kind: Kind, bulk_only: bool) -> Self {
        Self {
            name: Cow::Borrowed(name),
            kind,
            bulk_only,
            program: None,
            counted: None,
        }
    }

    /// A build of weir under callgrind, which writes into this file when it has ended.
    pub(crate) fn counted(program: &Path, file: PathBuf) -> Self {
        Self {
            counted: Some(file),
            ..Self::weir("weir", program)
        }
    }

    /// A build of weir.
    pub(crate) fn weir(name: &str, program: &Path) -> Self {
        Self {
            name: Cow::Owned(name.to_owned()),
            program: Some(program.to_owned()),
            ..Self::new("", Kind::Weir, false)
        }
    }

    /// All but weir, in the order in which they are shown.
    pub(crate) fn others() -> [Self; 5] {
        [
            Self::new("nginx", Kind::Nginx, false),
            Self::new("haproxy", Kind::Haproxy, false),
            Self::new("haproxy-64k", Kind::Haproxy, true),
            Self::new("envoy", Kind::Envoy, false),
            Self::new("caddy", Kind::Caddy, false),
        ]
    }

    fn template(&self) -> &'static str {
        match self.kind {
            Kind::Weir => include_str!("../../peers/weir.toml"),
            Kind::Nginx => include_str!("../../peers/nginx.conf"),
            Kind::Haproxy => include_str!("../../peers/haproxy.cfg"),
            Kind::Envoy => include_str!("../../peers/envoy.yaml"),
            Kind::Caddy => include_str!("../../peers/Caddyfile"),
        }
    }
}

/// The row without a gateway: what generator and backend alone take.
pub(crate) const DIRECT: &str = "direct";

/// A gateway that runs, until this is dropped.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) name: String,
    /// None for `direct`.
    child: Option<Child>,
    pub(crate) processes: Vec<i32>,
    /// Plain HTTP.
    pub(crate) plain: SocketAddr,
    /// With TLS; none for `direct`.
    pub(crate) tls: Option<SocketAddr>,
    /// With what weir is for switched on.
    pub(crate) full: SocketAddr,
    pub(crate) bulk_only: bool,
    /// A build of weir.
    pub(crate) weir: bool,
    /// What the program says its version is.
    pub(crate) version: String,
    /// From its start to its first accepted connection.
    pub(crate) start: Duration,
}

/// What all gateways are started with.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) backend: SocketAddr,
    pub(crate) cores: Cores,
    pub(crate) descriptors: u64,
    pub(crate) secrets: &'a Secrets,
}

impl System {
    /// The backend itself.
    pub(crate) fn direct(backend: SocketAddr) -> Self {
        Self {
            name: DIRECT.to_owned(),
            child: None,
            processes: Vec::new(),
            plain: backend,
            tls: None,
            full: backend,
            bulk_only: false,
            weir: false,
            version: String::new(),
            start: Duration::ZERO,
        }
    }

    /// Starts a gateway and waits until it accepts; `None` when the program is not installed.
    pub(crate) fn start(peer: &Peer, stage: &Stage<'_>) -> Result<Option<Self>> {
        let Some(program) = program(peer) else {
            return Ok(None);
        };
        let ports = place::free_ports(4)?;
        // Envoy tells its formats by the name's end; the others do not care.
        let file = stage.folder.join(format!("{}.yaml", peer.name));
        fs::write(&file, filled(peer, stage, &ports))?;
        let output = stage.folder.join(format!("{}.output", peer.name));
        let mut command = command(peer, &program, &file);
        command
            .current_dir(stage.folder)
            .env("HOME", stage.folder)
            .env("GOMAXPROCS", "1")
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(File::options().append(true).open(&output)?);
        let core = stage.cores.gateway;
        let began = Instant::now();
        // A thread of its own is pinned, the child inherits that, and this thread stays where it was.
        let mut child = thread::spawn(move || {
            place::pin(core);
            command.spawn()
        })
        .join()
        .expect("starting a program does not panic")
        .with_context(|| program.display().to_string())?;
        let plain = place::local(ports[0]);
        let accepted = accepts(&mut child, plain);
        let start = began.elapsed();
        let mut system = Self {
            name: peer.name.to_string(),
            processes: processes::family(i32::try_from(child.id())?),
            child: Some(child),
            plain,
            tls: Some(place::local(ports[1])),
            full: place::local(ports[2]),
            bulk_only: peer.bulk_only,
            weir: peer.kind == Kind::Weir,
            version: version(peer, &program),
            start,
        };
        if !accepted {
            bail!(
                "{} does not listen:\n{}",
                peer.name,
                fs::read_to_string(&output)?
            );
        }
        // nginx forks its worker after it listens.
        thread::sleep(Duration::from_millis(200));
        system.processes = processes::family(system.processes[0]);
        Ok(Some(system))
    }
}

impl System {
    /// Asks it to stop and waits until it has: callgrind writes its file then.
    pub(crate) fn stop(mut self) -> Result<()> {
        let mut child = self.child.take().context("nothing to stop")?;
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&child),
            rustix::process::Signal::TERM,
        )?;
        let end = Instant::now() + Duration::from_secs(60);
        while child.try_wait()?.is_none() {
            if Instant::now() > end {
                child.kill()?;
                bail!("{} does not stop", self.name);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Workers first would make a master start new ones; the master alone would leave them behind.
            let _ = child.kill();
            for &process in &self.processes[1..] {
                if let Some(process) = rustix::process::Pid::from_raw(process) {
                    let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
                }
            }
            let _ = child.wait();
        }
    }
}

fn accepts(child: &mut Child, address: SocketAddr) -> bool {
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end && matches!(child.try_wait(), Ok(None)) {
        if TcpStream::connect(address).is_ok() {
            return true;
        }
        thread::sleep(Duration::from_millis(1));
    }
    false
}

fn filled(peer: &Peer, stage: &Stage<'_>, ports: &[u16]) -> String {
    let bufsize = if peer.bulk_only {
        "tune.bufsize 65536"
    } else {
        ""
    };
    [
        ("plain", ports[0].to_string()),
        ("tls", ports[1].to_string()),
        ("full", ports[2].to_string()),
        ("admin", ports[3].to_string()),
        ("backend", stage.backend.port().to_string()),
        ("folder", stage.folder.display().to_string()),
        ("descriptors", stage.descriptors.to_string()),
        (
            "connections",
            (stage.descriptors - stage.descriptors / 20).to_string(),
        ),
        (
            "half",
            (stage.descriptors / 2 - stage.descriptors / 40).to_string(),
        ),
        ("secret", stage.secrets.key.clone()),
        ("secret64", stage.secrets.key_base64.clone()),
        ("bufsize", bufsize.to_owned()),
    ]
    .iter()
    .fold(peer.template().to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{{{name}}}}}"), value)
    })
}

fn program(peer: &Peer) -> Option<PathBuf> {
    if let Some(program) = &peer.program {
        return program.is_file().then(|| program.clone());
    }
    let name = match peer.kind {
        Kind::Weir => "weir",
        Kind::Nginx => "nginx",
        Kind::Haproxy => "haproxy",
        Kind::Envoy => "envoy",
        Kind::Caddy => "caddy",
    };
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/venv/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into(), venv])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn command(peer: &Peer, program: &Path, file: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some(out) = &peer.counted {
        command = Command::new("valgrind");
        command
            .args(["--tool=callgrind", "--dump-line=no", "--dump-instr=yes"])
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(program);
    }
    match peer.kind {
        Kind::Weir => command.args(["run", "--config"]).arg(file),
        Kind::Nginx => command
            .arg("-c")
            .arg(file)
            .arg("-p")
            .arg(file.with_file_name("")),
        Kind::Haproxy => command.args(["-db", "-f"]).arg(file),
        Kind::Envoy => command
            .args([
                "--concurrency",
                "1",
                "--disable-hot-restart",
                "-l",
                "error",
                "-c",
            ])
            .arg(file),
        Kind::Caddy => command
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(file),
    };
    command
}

fn version(peer: &Peer, program: &Path) -> String {
    let question = match peer.kind {
        Kind::Nginx | Kind::Haproxy => "-v",
        Kind::Caddy => "version",
        Kind::Weir | Kind::Envoy => "--version",
    };
    let said = Command::new(program).arg(question).output();
    let text = said.map_or_else(
        |_| String::new(),
        |out| String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned(),
    );
    version_in(&text).unwrap_or("unknown").to_owned()
}

/// The first three numbers with points between them: the path of the program may stand before it, with points of its own.
fn version_in(text: &str) -> Option<&str> {
    text.split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .find(|word| {
            let mut parts = word.split('.');
            parts.clone().count() >= 3 && parts.all(|part| !part.is_empty())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_behind_the_programs_path() {
        for (said, version) in [
            ("nginx version: nginx/1.22.1\n", Some("1.22.1")),
            ("HAProxy version 2.6.12-1+deb12u2 2024", Some("2.6.12")),
            (
                "a/../../envoy  version: 9e5580/1.40.0/Clean/RELEASE",
                Some("1.40.0"),
            ),
            ("weir 0.1.0", Some("0.1.0")),
            ("1..2 .. 3.4", None),
        ] {
            assert_eq!(version_in(said), version, "{said}");
        }
    }
}
