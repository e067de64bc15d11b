//! A real Redis as a child process on a free port, that a test can kill, freeze and bring back. It keeps nothing on disk.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{clock::eventually, skip, sockets};

/// A Redis that runs, unless the test stopped it. It ends with the value.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    folder: TempDir,
    port: u16,
    tls: bool,
    args: Vec<String>,
}

impl Redis {
    /// Starts one for the test of this name; `None`, said aloud, where there is no redis-server.
    pub async fn start(test: &str) -> Option<Self> {
        Self::with(test, &[]).await
    }

    /// The same with more arguments; `FOLDER` in them is a folder of its own.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn with(test: &str, args: &[&str]) -> Option<Self> {
        let there = Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok();
        if skip::unless(there, test, "no redis-server here; tests/install brings it") {
            return None;
        }
        let folder = TempDir::with_prefix("weir-redis-").expect("a temporary folder");
        Some(Self::on(folder, sockets::free_port(), args, false).await)
    }

    /// One that speaks only TLS, with a certificate for `localhost` of an authority made for this test: `FOLDER/ca.crt`.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn with_tls(test: &str, args: &[&str]) -> Option<Self> {
        let there = ["redis-server", "openssl"].into_iter().all(|tool| {
            Command::new(tool)
                .arg("version")
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok()
        });
        if skip::unless(there, test, "no redis-server or no openssl here") {
            return None;
        }
        let folder = TempDir::with_prefix("weir-redis-").expect("a temporary folder");
        certificates(&folder);
        let tls = [
            "--tls-cert-file",
            "FOLDER/redis.crt",
            "--tls-key-file",
            "FOLDER/redis.key",
            "--tls-ca-cert-file",
            "FOLDER/ca.crt",
            "--tls-auth-clients",
            "no",
        ];
        let args: Vec<&str> = tls.iter().chain(args).copied().collect();
        Some(Self::on(folder, sockets::free_port(), &args, true).await)
    }

    async fn on(folder: TempDir, port: u16, args: &[&str], tls: bool) -> Self {
        let place = folder.path().display().to_string();
        let args: Vec<String> = args
            .iter()
            .map(|arg| arg.replace("FOLDER", &place))
            .collect();
        let mut redis = Self {
            child: spawn(&folder, port, tls, &args),
            folder,
            port,
            tls,
            args,
        };
        redis.answers().await;
        redis
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// `redis://127.0.0.1:PORT`, or `rediss://localhost:PORT` where it speaks TLS.
    #[must_use]
    pub fn url(&self) -> String {
        if self.tls {
            format!("rediss://localhost:{}", self.port)
        } else {
            format!("redis://{}", self.address())
        }
    }

    /// A file of its folder.
    #[must_use]
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Kills it: connections are reset, new ones are refused.
    pub fn stop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on the same port, with nothing of what it knew.
    pub async fn again(&mut self) {
        self.stop();
        self.child = spawn(&self.folder, self.port, self.tls, &self.args);
        self.answers().await;
    }

    /// Sends its process a signal: `signal("STOP")` freezes it, with all its connections open.
    ///
    /// # Panics
    /// When there is no `kill` command or no such process.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status();
        assert!(status.expect("the kill command").success());
    }

    /// What it answers to a command in one line, as it comes over the wire.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn ask(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(self.address())
            .await
            .expect("a connection to Redis");
        let line = format!("{command}\r\nQUIT\r\n");
        stream.write_all(line.as_bytes()).await.expect("a question");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    async fn answers(&mut self) {
        let what = "redis-server to accept connections";
        eventually(what, async || {
            let ended = self.child.try_wait().expect("a child of ours");
            assert_eq!(ended, None, "redis-server ended");
            TcpStream::connect(self.address()).await.ok()
        })
        .await;
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(folder: &TempDir, port: u16, tls: bool, args: &[String]) -> Child {
    let port = port.to_string();
    let ports = if tls {
        ["--port", "0", "--tls-port", &port]
    } else {
        ["--tls-port", "0", "--port", &port]
    };
    Command::new("redis-server")
        .current_dir(folder.path())
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(ports)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server")
}

/// An authority and a certificate of it for `localhost`.
fn certificates(folder: &TempDir) {
    let openssl = |line: &str| {
        let done = Command::new("openssl")
            .current_dir(folder.path())
            .args(line.split(' '))
            .output();
        let done = done.expect("openssl");
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(&format!(
        "req -x509 {key} -keyout ca.key -out ca.crt -subj /CN=test-authority"
    ));
    openssl(&format!(
        "req -x509 {key} -keyout redis.key -out redis.crt -subj /CN=localhost -CA ca.crt -CAkey ca.key \
         -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE"
    ));
}
