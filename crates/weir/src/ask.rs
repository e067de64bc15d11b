//! The commands `status` and `reload`: questions to a running weir, over its admin address. One small request on one connection;
//! the standard library is enough for that.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    process::ExitCode,
    thread::sleep,
    time::Duration,
};

use anyhow::Context;
use serde_json::Value;

use crate::run::say;

/// For the connect, and for each read of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_secs(2);

/// `weir status`
pub(crate) fn status(admin: SocketAddr, json: bool, watch: bool) -> anyhow::Result<ExitCode> {
    loop {
        let (_, body) = ask(admin, "GET", "/status")?;
        let report: Value = serde_json::from_str(&body)
            .context("the answer is no status report; is this weir's admin address?")?;
        if json {
            say(body.trim_end())?;
        } else {
            say(&as_text(&report))?;
        }
        if !watch {
            return Ok(if report["health"] == "unhealthy" {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            });
        }
        sleep(EVERY);
    }
}

/// `weir reload`
pub(crate) fn reload(admin: SocketAddr) -> anyhow::Result<ExitCode> {
    let (status, body) = ask(admin, "POST", "/reload")?;
    if status == 200 {
        say(&format!("reloaded: {}", body.trim_end()))?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        io::stderr(),
        "not reloaded, the old configuration stays:\n{}",
        body.trim_end()
    )?;
    Ok(ExitCode::FAILURE)
}

fn as_text(report: &Value) -> String {
    let mut text = format!(
        "weir {} (pid {}): {}, {}, up {} s, {} connections",
        report["version"].as_str().unwrap_or("?"),
        report["pid"],
        report["stage"].as_str().unwrap_or("?"),
        report["health"].as_str().unwrap_or("?"),
        report["uptime_seconds"],
        report["connections"],
    );
    for (name, upstream) in report["upstreams"].as_object().into_iter().flatten() {
        for server in upstream["servers"].as_array().into_iter().flatten() {
            let health = if server["healthy"] == true {
                "healthy"
            } else {
                "UNHEALTHY"
            };
            text += &format!(
                "\n  {name:<16} {:<24} {health:<10} {} in flight",
                server["server"].as_str().unwrap_or("?"),
                server["in_flight"]
            );
        }
    }
    text
}

/// The status and body of one exchange. HTTP/1.0, so that the answer ends with the connection and needs no further framing.
fn ask(admin: SocketAddr, method: &str, path: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE)
        .with_context(|| format!("no weir answers on {admin}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {admin}\r\nX-Weir-Admin: 1\r\nContent-Length: 0\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("the answer broke off")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .context("the answer is not HTTP")?;
    Ok((status, body.to_owned()))
}
