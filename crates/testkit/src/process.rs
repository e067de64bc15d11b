//! The real binary as a child process: its configuration in a folder of its own, its addresses read from what it prints, its
//! metrics and log read as an operator would. The child ends with the value; what it said is shown when a test fails.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{client, clock::eventually, metrics::Metrics, sockets};

/// The binary, its files and its environment, before it runs.
#[derive(Debug)]
pub struct Run {
    binary: PathBuf,
    folder: TempDir,
    top: String,
    env: Vec<(String, String)>,
}

impl Run {
    /// Takes the binary's path: `env!("CARGO_BIN_EXE_weir")` in an integration test.
    ///
    /// # Panics
    /// When no temporary folder can be made.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            folder: TempDir::with_prefix("weir-").expect("a temporary folder"),
            top: "workers = 2\n".to_owned(),
            env: Vec::new(),
        }
    }

    /// Keys above the first table, in place of `workers = 2`.
    #[must_use]
    pub fn top(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.top);
        self
    }

    /// Sets an environment variable of the child.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts a file into the folder.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder");
        std::fs::write(path, content).expect("a file");
        self
    }

    /// The folder of the configuration and the log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `weir ARGS` to its end, in the folder.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Output {
        self.prepared()
            .args(args)
            .output()
            .expect("the weir binary")
    }

    /// Writes the configuration as `weir.toml` and runs `weir run` until it listens. A listener on a free port stands in front
    /// of `config`, and so do an admin address on another and a JSON log file, unless it has these tables itself. `FOLDER` in it
    /// is the folder.
    ///
    /// # Panics
    /// When it ends instead of listening.
    pub async fn start(self, config: &str) -> Weir {
        let file = self.write(config);
        self.spawn(&file).await
    }

    /// Writes the configuration with the listener, admin address and log of these tests in front.
    fn write(&self, config: &str) -> PathBuf {
        let file = self.folder.path().join("weir.toml");
        std::fs::write(&file, self.whole(config)).expect("a configuration file");
        file
    }

    fn whole(&self, config: &str) -> String {
        let folder = self.folder.path().display().to_string();
        let mut head = self.top.clone() + "\n[[listen]]\naddress = \"127.0.0.1:0\"\n\n";
        for (table, keys) in [
            ("[admin]", "address = \"127.0.0.1:0\""),
            ("[log]", "format = \"json\"\nto = \"FOLDER/access.log\""),
        ] {
            if !config.contains(table) {
                head += &format!("{table}\n{keys}\n\n");
            }
        }
        (head + config).replace("FOLDER", &folder)
    }

    /// Runs `weir run --config FILE` with a file as it stands.
    ///
    /// # Panics
    /// When it ends instead of listening.
    pub async fn spawn(self, file: &Path) -> Weir {
        let file = file.display().to_string();
        self.running(&["run", "--config", &file]).await
    }

    /// Runs `weir ARGS`, a command that serves.
    ///
    /// # Panics
    /// When it ends instead of listening.
    pub async fn running(self, args: &[&str]) -> Weir {
        let mut child = self
            .prepared()
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the weir binary");
        let stdout = Said::listen(child.stdout.take().expect("a pipe"));
        let stderr = Said::listen(child.stderr.take().expect("a pipe"));
        let mut weir = Weir {
            run: self,
            child,
            stdout,
            stderr,
            listeners: Vec::new(),
            admin: None,
        };
        weir.announced().await;
        weir
    }

    fn prepared(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A running weir.
#[derive(Debug)]
pub struct Weir {
    run: Run,
    child: Child,
    stdout: Said,
    stderr: Said,
    listeners: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Weir {
    /// Waits for the lines that say where it listens. The admin line is the last.
    async fn announced(&mut self) {
        eventually("weir to say where it listens", async || {
            if let Some(status) = self.exited() {
                let why = self.stderr.whole().await;
                panic!("weir ended with {status} instead of listening:\n{why}");
            }
            let lines = self.stdout.lines();
            self.admin = lines
                .iter()
                .find_map(|line| after(line, "admin on http://"));
            self.listeners = lines
                .iter()
                .filter_map(|line| {
                    after(line, "listening on http://")
                        .or_else(|| after(line, "listening on https://"))
                })
                .collect();
            self.admin
        })
        .await;
    }

    /// The first listener.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        *self.listeners.first().expect("a listener")
    }

    /// All listeners, in the order of the file.
    #[must_use]
    pub fn listeners(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// The admin address.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin.expect("an admin address")
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder of the configuration and the log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.run.folder()
    }

    /// How many file descriptors it has open.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        sockets::descriptors(self.pid())
    }

    /// How many bytes of memory it holds.
    #[must_use]
    pub fn resident(&self) -> u64 {
        sockets::resident(self.pid())
    }

    /// One scrape of `/metrics`.
    pub async fn metrics(&self) -> Metrics {
        let answer = client::get(self.admin(), "/metrics", &["connection: close"]).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        Metrics::parse(&answer.text())
    }

    /// Scrapes until a series has this value, and gives that scrape.
    pub async fn wait_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) -> Metrics {
        let what = format!("{name}{labels:?} to be {value}");
        eventually(&what, async || {
            Some(self.metrics().await).filter(|seen| seen.value(name, labels) == value)
        })
        .await
    }

    /// All lines of the access log so far.
    ///
    /// # Panics
    /// When one is not JSON.
    #[must_use]
    pub fn log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder().join("access.log")).unwrap_or_default();
        // The last line may still be in the writing.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("not JSON ({error}): {line}"))
            })
            .collect()
    }

    /// Waits for a log line whose `path` is this.
    pub async fn logged(&self, path: &str) -> Value {
        eventually(&format!("a log line for {path}"), async || {
            self.log().into_iter().find(|line| line["path"] == path)
        })
        .await
    }

    /// The lines on standard output so far.
    #[must_use]
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lines()
    }

    /// What it wrote on standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Sends a signal: `signal("HUP")`.
    ///
    /// # Panics
    /// When there is no `kill` command or no such process.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status();
        assert!(
            status.expect("the kill command").success(),
            "kill -{name} failed"
        );
    }

    /// Replaces the configuration file, listener and log in front as with `start`, and does not ask weir to read it.
    pub fn rewrite(&self, config: &str) {
        self.run.write(config);
    }

    /// Runs another `weir ARGS` to its end in the same folder and environment.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Output {
        self.run.command(args)
    }

    /// Waits until the process has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("weir to end", async || self.exited()).await
    }

    /// Whether it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill and the wait only collects it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = std::fs::read_to_string(self.folder().join("access.log")).unwrap_or_default();
            eprintln!(
                "--- weir's stderr\n{}\n--- its access log\n{log}",
                self.stderr.text()
            );
        }
    }
}

/// What a child wrote to a pipe so far.
#[derive(Clone, Debug, Default)]
struct Said {
    lines: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
}

impl Said {
    /// Reads the pipe to its end on a thread, so that the child never waits for us.
    fn listen(pipe: impl Read + Send + 'static) -> Self {
        let said = Self::default();
        let lines = Arc::clone(&said.lines);
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                let Ok(line) = line else { return };
                lines
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
            }
        });
        said
    }

    fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// All of it, of a child that has ended.
    async fn whole(&self) -> String {
        eventually("the end of what weir said", async || {
            self.ended.load(Ordering::SeqCst).then_some(())
        })
        .await;
        self.text()
    }
}

/// The address that follows `mark` in a line.
fn after(line: &str, mark: &str) -> Option<SocketAddr> {
    let rest = &line[line.find(mark)? + mark.len()..];
    rest.split(|char: char| char.is_whitespace() || char == '/')
        .next()?
        .parse()
        .ok()
}
