//! What concerns the process as a whole: listeners, the admin address, the log, and the clocks of stopping and of clients.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use ipnet::IpNet;
use weir_meter::log::{Format, Target};

use super::{listen::redirect, route::headers, tls};
use crate::{
    node::Node,
    plan::{Admin, Client, Drain, Listener, Log},
    table::Table,
};

/// `[[listen]]`
pub(super) fn listeners(root: &Table<'_>, has_trusted: bool) -> Vec<Listener> {
    let Some(items) = root.need("listen", "no [[listen]] table says where clients connect") else {
        return Vec::new();
    };
    let items = items.items("[[listen]] tables").unwrap_or_default();
    let mut seen: Vec<(SocketAddr, usize)> = Vec::new();
    let mut listeners = Vec::new();
    for item in &items {
        let Some(table) = item.table("a [[listen]] table") else {
            continue;
        };
        let node = table.need("address", "where to listen, such as \"0.0.0.0:8080\"");
        let tls = table.get("tls").map(|node| tls::hosts(&node));
        let http2 = table
            .get("http2")
            .and_then(|node| node.boolean())
            .unwrap_or(true);
        let redirect = table.get("redirect").and_then(|node| redirect(&node));
        let proxy_protocol = table
            .get("proxy_protocol")
            .filter(|node| node.boolean() == Some(true));
        let headers = table.get("headers").map(|node| headers(&node));
        if let Some(node) = proxy_protocol.as_ref().filter(|_| !has_trusted) {
            node.mistake("needs `trusted_proxies`: nobody else may speak it");
        }
        table.finish();
        let Some((node, address)) =
            node.and_then(|node| node.address().map(|address| (node, address)))
        else {
            continue;
        };
        match seen
            .iter()
            .find(|(other, _)| *other == address && address.port() != 0)
        {
            Some((_, line)) => node.mistake(format!("the same address as in line {line}")),
            None => {
                seen.push((address, node.line()));
                listeners.push(Listener {
                    address,
                    http2,
                    tls: tls.unwrap_or_default(),
                    redirect,
                    proxy_protocol: proxy_protocol.is_some(),
                    headers: headers.unwrap_or_default(),
                });
            }
        }
    }
    listeners
}

/// `workers`
pub(super) fn workers(root: &Table<'_>) -> Option<NonZeroUsize> {
    root.get("workers")?
        .integer(1, 1024)
        .and_then(NonZeroUsize::new)
}

/// `service`
pub(super) fn service(root: &Table<'_>) -> String {
    root.get("service")
        .and_then(|node| node.string("a name"))
        .unwrap_or_else(|| "weir".to_owned())
}

/// `models`
pub(super) fn models(root: &Table<'_>) -> Vec<String> {
    root.get("models")
        .map(|node| strings(&node, "the name of a model"))
        .unwrap_or_default()
}

/// `[admin]`
pub(super) fn admin(root: &Table<'_>, listeners: &[Listener]) -> Option<Admin> {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 9901));
    let Some(node) = root.get("admin") else {
        return Some(Admin {
            address: default,
            allow: Vec::new(),
        });
    };
    let table = node.table("an [admin] table")?;
    let enabled = table
        .get("enabled")
        .and_then(|node| node.boolean())
        .unwrap_or(true);
    let at = table.get("address");
    let address = at.as_ref().and_then(Node::address).unwrap_or(default);
    let taken = |listener: &Listener| listener.address == address && address.port() != 0;
    if let Some(at) = at
        .as_ref()
        .filter(|_| enabled && listeners.iter().any(taken))
    {
        at.mistake("a [[listen]] table has the same address");
    }
    let allow = table
        .get("allow")
        .map(|node| networks(&node))
        .unwrap_or_default();
    if let Some(at) = at.filter(|_| enabled && allow.is_empty() && !address.ip().is_loopback()) {
        at.warning("is reachable from outside, but without `allow` only this machine is answered");
    }
    table.finish();
    enabled.then_some(Admin { address, allow })
}

/// `[log]`
pub(super) fn log(root: &Table<'_>) -> Log {
    let mut log = Log {
        format: Format::Json,
        to: Target::Stdout,
        level: "info".to_owned(),
    };
    let Some(table) = root.get("log").and_then(|node| node.table("a [log] table")) else {
        return log;
    };
    if let Some(node) = table.get("format") {
        log.format = node
            .choice(&[("json", Format::Json), ("text", Format::Text)])
            .unwrap_or_default();
    }
    if let Some(to) = target(&table) {
        log.to = to;
    }
    if let Some(node) = table.get("level") {
        let levels = ["error", "warn", "info", "debug", "trace"].map(|level| (level, level));
        node.choice(&levels)
            .unwrap_or_default()
            .clone_into(&mut log.level);
    }
    table.finish();
    log
}

/// `[audit]`
pub(super) fn audit(root: &Table<'_>) -> Option<Target> {
    let table = root.get("audit")?.table("an [audit] table")?;
    table.need("to", "\"stdout\" or the path of a file");
    let to = target(&table);
    table.finish();
    Some(to.unwrap_or_default())
}

/// `to`, `roll_at` and `keep`; `None` for standard output.
fn target(table: &Table<'_>) -> Option<Target> {
    let to = table
        .get("to")
        .and_then(|node| node.string("\"stdout\" or the path of a file"));
    let roll_at = table.get("roll_at").and_then(|node| {
        let size = node.size()?;
        if size < 4096 {
            node.mistake("found less than 4096 bytes, expected at least a few lines' worth");
        }
        Some(size)
    });
    let keep = table.get("keep").and_then(|node| node.integer(0, 1000));
    let path = to.filter(|to| to != "stdout")?;
    Some(Target::File {
        path: table.source.path(&path),
        roll_at: roll_at.unwrap_or(10_000_000),
        keep: keep.unwrap_or(8),
    })
}

/// `[drain]`
pub(super) fn drain(root: &Table<'_>) -> Drain {
    let mut drain = Drain {
        delay: Duration::ZERO,
        deadline: Duration::from_secs(30),
    };
    if let Some(table) = root
        .get("drain")
        .and_then(|node| node.table("a [drain] table"))
    {
        let clock = |key| table.get(key).and_then(|node| node.duration_or_zero());
        drain.delay = clock("delay").unwrap_or(drain.delay);
        drain.deadline = clock("deadline").unwrap_or(drain.deadline);
        table.finish();
    }
    drain
}

/// `[client]`
pub(super) fn client(root: &Table<'_>) -> Client {
    let mut client = Client {
        handshake: Duration::from_secs(10),
        head: Duration::from_secs(10),
        keep_alive: Duration::from_secs(75),
        body_idle: Duration::from_secs(60),
        write_stall: Duration::from_secs(120),
        max_connections: None,
        max_connections_per_address: None,
    };
    if let Some(table) = root
        .get("client")
        .and_then(|node| node.table("a [client] table"))
    {
        let clock = |key| table.get(key).and_then(|node| node.duration());
        client.handshake = clock("handshake").unwrap_or(client.handshake);
        client.head = clock("head").unwrap_or(client.head);
        client.keep_alive = clock("keep_alive").unwrap_or(client.keep_alive);
        client.body_idle = clock("body_idle").unwrap_or(client.body_idle);
        client.write_stall = clock("write_stall").unwrap_or(client.write_stall);
        let most = |key| table.get(key).and_then(|node| node.integer(1, 10_000_000));
        client.max_connections = most("max_connections").and_then(NonZeroU32::new);
        client.max_connections_per_address =
            most("max_connections_per_address").and_then(NonZeroU32::new);
        table.finish();
    }
    client
}

/// `["10.0.0.0/8", "192.0.2.7"]`: networks, or single addresses.
pub(super) fn networks(node: &Node<'_>) -> Vec<IpNet> {
    let expected = "a network such as \"10.0.0.0/8\" or an address";
    let network = |text: &str| {
        text.parse().ok().or_else(|| {
            text.parse()
                .ok()
                .map(|ip: std::net::IpAddr| IpNet::from(ip))
        })
    };
    let items = node
        .items("an array of networks such as [\"10.0.0.0/8\"]")
        .unwrap_or_default();
    items
        .iter()
        .filter_map(|item| item.meant(expected, network))
        .collect()
}

/// One string or an array of them.
pub(super) fn strings(node: &Node<'_>, expected: &str) -> Vec<String> {
    node.one_or_many()
        .iter()
        .filter_map(|item| item.string(expected))
        .collect()
}
