//! `[upstream.NAME]`: its servers, how they are chosen and checked, and the clocks of an exchange with them.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use http::{HeaderValue, Uri};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use weir_proxy::settings::{
    Balance, HealthCheck, KeepAlive, Roots, Server, Timeouts, Tls, Upstream,
};
use weir_route::Authority;

use crate::{node::Node, table::Table};

const SERVER: &str =
    "HOST:PORT, such as \"127.0.0.1:8001\" or \"agents:8002\", perhaps with https:// before it";

pub(super) fn upstream(name: &str, node: &Node<'_>) -> Option<Upstream> {
    let table = node.table("an [upstream.NAME] table")?;
    let (servers, https) = table
        .need("servers", "the addresses of this upstream")
        .map(|node| servers(&node))
        .unwrap_or_default();
    let tls_table = table.get("tls");
    let secure = https || tls_table.is_some();
    let tls = tls_table.and_then(|node| tls(&node));
    let http2 = table
        .get("protocol")
        .is_some_and(|node| protocol(&node, secure));
    let upstream = Upstream {
        name: name.to_owned(),
        servers,
        tls: tls.or_else(|| https.then(Tls::default)),
        http2,
        balance: table
            .get("balance")
            .and_then(|node| {
                node.choice(&[
                    ("round-robin", Balance::RoundRobin),
                    ("least-in-flight", Balance::LeastInFlight),
                ])
            })
            .unwrap_or_default(),
        health: table.get("health").and_then(|node| health(&node)),
        timeout: timeouts(&table, Timeouts::default()),
        keep_alive: table
            .get("keep_alive")
            .and_then(|node| keep_alive(&node))
            .unwrap_or_default(),
        retries: table
            .get("retries")
            .and_then(|node| node.integer(0, 10))
            .unwrap_or(1),
        host: table.get("host").and_then(|node| {
            node.parse("the host that the upstream is to see", |text| {
                let authority = Authority::parse(text).map_err(|error| error.to_string())?;
                HeaderValue::try_from(authority.to_string()).map_err(|error| error.to_string())
            })
        }),
    };
    table.finish();
    Some(upstream)
}

/// Whether HTTP/2 is spoken: `h2` is by TLS, `h2c` in clear.
fn protocol(node: &Node<'_>, secure: bool) -> bool {
    let choice = node.choice(&[("http1", None), ("h2", Some(true)), ("h2c", Some(false))]);
    let Some(by_tls) = choice.flatten() else {
        return false;
    };
    if by_tls != secure {
        node.mistake(if by_tls {
            "\"h2\" needs servers with https://, or `tls`; in clear it is \"h2c\""
        } else {
            "\"h2c\" is in clear, and the servers are spoken to by TLS: there it is \"h2\""
        });
    }
    true
}

/// The servers, and whether they are spoken to by TLS: all of them or none, because one pool of clocks, names and trust serves them all.
fn servers(node: &Node<'_>) -> (Vec<Server>, bool) {
    let mut seen = BTreeMap::new();
    let mut servers = Vec::new();
    let mut https = None;
    let items = node.one_or_many();
    if items.is_empty() {
        node.mistake("found an empty array, expected at least one server");
    }
    for item in items {
        let Some((server, secure)) = item.parse(SERVER, with_scheme) else {
            continue;
        };
        if *https.get_or_insert(secure) != secure {
            item.mistake("some servers of this upstream have https:// and some have not");
        }
        match seen.insert(server.to_string(), item.line()) {
            Some(line) => item.mistake(format!("the same server as in line {line}")),
            None => servers.push(server),
        }
    }
    (servers, https == Some(true))
}

/// `https://HOST` or `https://HOST:PORT`, or a server in clear.
fn with_scheme(text: &str) -> Result<(Server, bool), &'static str> {
    let Some(rest) = text.strip_prefix("https://") else {
        return Ok((server(text)?, false));
    };
    let port = rest
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.ends_with(']'));
    if port {
        return Ok((server(rest)?, true));
    }
    Ok((server(&format!("{rest}:443"))?, true))
}

/// `tls = { ca = "…", server_name = "…" }`
fn tls(node: &Node<'_>) -> Option<Tls> {
    let table = node.table("a table such as { ca = \"certs/upstream-ca.crt\" }")?;
    let tls = Tls {
        roots: table
            .get("ca")
            .and_then(|node| authorities(&node))
            .map(Roots::Only)
            .unwrap_or_default(),
        server_name: table.get("server_name").and_then(|node| {
            node.parse("the name that the certificate is for", |text| {
                ServerName::try_from(text.to_owned())
            })
        }),
    };
    table.finish();
    Some(tls)
}

/// The certificates of a file. It is read with the configuration and again at each reload of it.
pub(super) fn authorities(node: &Node<'_>) -> Option<Vec<CertificateDer<'static>>> {
    node.parse("a file of certificates in PEM", |path| {
        let text = node
            .source
            .env()
            .file(&node.source.path(path))
            .map_err(|error| format!("it cannot be read: {error}"))?;
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        match certificates {
            Ok(some) if !some.is_empty() => Ok(some),
            Ok(_) => Err("there is no certificate in it".to_owned()),
            Err(_) => Err("it is cut short, or not PEM".to_owned()),
        }
    })
}

fn server(text: &str) -> Result<Server, &'static str> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() == 0 {
            Err("port 0 cannot be connected to")
        } else {
            Ok(Server::Address(address))
        };
    }
    if text.contains("://") {
        return Err("a server has no path, and no scheme but https");
    }
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port.parse() {
        Ok(0) => return Err("port 0 cannot be connected to"),
        Ok(port) if digits => port,
        _ => return Err("the port is not a number up to 65535"),
    };
    let name = |label: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(good)
    };
    // All digits and dots, but not an address: a resolver would read "10.1" as 10.0.0.1.
    let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let labels = host.strip_suffix('.').unwrap_or(host);
    if numeric || host.len() > 253 || !labels.split('.').all(name) {
        return Err("the host is neither an address nor a name");
    }
    Ok(Server::Name {
        host: host.to_owned(),
        port,
    })
}

fn health(node: &Node<'_>) -> Option<HealthCheck> {
    let table = node.table("a table such as { path = \"/health\" }")?;
    let path = table
        .need("path", "what to ask the servers for, such as \"/health\"")
        .and_then(|node| {
            node.parse("a path that starts with \"/\"", |text| {
                if !text.starts_with('/') {
                    return Err("it does not start with \"/\"".to_owned());
                }
                text.parse::<Uri>().map_err(|error| error.to_string())
            })
        });
    let clock = |key, default| {
        table
            .get(key)
            .and_then(|node| node.duration())
            .unwrap_or(default)
    };
    let count = |key, default| {
        table
            .get(key)
            .and_then(|node| node.integer(1, 1000))
            .unwrap_or(default)
    };
    let interval = clock("interval", Duration::from_secs(10));
    let timeout = clock("timeout", Duration::from_secs(2));
    let unhealthy_after = count("unhealthy_after", 3);
    let healthy_after = count("healthy_after", 2);
    table.finish();
    Some(HealthCheck {
        path: path?,
        interval,
        timeout,
        unhealthy_after,
        healthy_after,
    })
}

/// `timeout = {…}` of an upstream or a route; what it does not set is as in `default`.
pub(super) fn timeouts(table: &Table<'_>, default: Timeouts) -> Timeouts {
    let example = "a table such as { headers = \"60s\", idle = \"300s\" }";
    let Some(table) = table.get("timeout").and_then(|node| node.table(example)) else {
        return default;
    };
    let clock = |key| table.get(key).and_then(|node| node.duration());
    let optional = |key| table.get(key).and_then(|node| node.duration_or_none());
    let timeouts = Timeouts {
        connect: clock("connect").unwrap_or(default.connect),
        headers: clock("headers").unwrap_or(default.headers),
        first_event: optional("first_event").unwrap_or(default.first_event),
        idle: clock("idle").unwrap_or(default.idle),
        total: optional("total").unwrap_or(default.total),
        tunnel: clock("tunnel").unwrap_or(default.tunnel),
    };
    table.finish();
    timeouts
}

fn keep_alive(node: &Node<'_>) -> Option<KeepAlive> {
    let table = node.table("a table such as { idle = \"4s\", max = 256 }")?;
    let default = KeepAlive::default();
    let keep_alive = KeepAlive {
        idle: table
            .get("idle")
            .and_then(|node| node.duration())
            .unwrap_or(default.idle),
        max: table
            .get("max")
            .and_then(|node| node.integer(0, 100_000))
            .unwrap_or(default.max),
    };
    table.finish();
    Some(keep_alive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_stands_before_a_server_and_brings_its_port() {
        let read = |text| with_scheme(text).map(|(server, https)| (server.to_string(), https));
        assert_eq!(read("https://a.test"), Ok(("a.test:443".to_owned(), true)));
        assert_eq!(read("https://[::1]"), Ok(("[::1]:443".to_owned(), true)));
        assert_eq!(
            read("https://10.0.0.1:8443"),
            Ok(("10.0.0.1:8443".to_owned(), true))
        );
        assert_eq!(read("a.test:80"), Ok(("a.test:80".to_owned(), false)));
        for bad in [
            "https://",
            "https://a.test/",
            "http://a.test:80",
            "https://a.test:0",
        ] {
            assert!(with_scheme(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn servers_are_addresses_or_names_with_a_port() {
        for good in [
            "127.0.0.1:8001",
            "[::1]:8001",
            "agents:8002",
            "agents.prod.svc.cluster.local:80",
            "my_agents:1",
            "a.test.:9",
        ] {
            assert_eq!(server(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            ":",
            ":80",
            "agents",
            "agents:",
            "agents:0",
            "127.0.0.1:0",
            "agents:http",
            "agents:+80",
            "agents:65536",
            "http://agents:80",
            "agents:80/",
            "10.1:80",
            "999.1.1.1:80",
            "::1:80",
            "a..b:80",
            "a b:80",
            "agents:80 ",
        ] {
            assert!(server(bad).is_err(), "{bad}");
        }
    }
}
