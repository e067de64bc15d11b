//! The work that gateways are compared by, as a table: what each client does, how many there are, at which rate, and what is divided by.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One kind of work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) action: Action,
    pub(crate) carrier: Carrier,
    /// Who does what weir is for: token, limit, access log.
    pub(crate) features: Features,
    /// Clients of each system.
    pub(crate) clients: usize,
    /// Requests a second of each system, all clients together; 0: each client as fast as it can, or as the stream is.
    pub(crate) rate: f64,
    pub(crate) mode: Mode,
    pub(crate) unit: Unit,
    pub(crate) seconds: f64,
    /// Part of a quick run.
    pub(crate) quick: bool,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// GET of a few bytes.
    Get,
    /// POST of 2 KiB of JSON that come back.
    Post,
    /// An event stream with an event each so many milliseconds.
    Stream(u64),
    /// An event stream that is silent after its first event.
    Idle,
    /// GET of so many bytes.
    Download(u64),
    /// POST of so many bytes.
    Upload(u64),
}

/// What it does it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// HTTP/1.1 in clear, connections kept.
    Plain,
    /// The same with a new connection for each request.
    PlainOnce,
    /// HTTP/1.1 over TLS, connections kept.
    Tls,
    /// A new TLS connection for each request; `resume`: with the last one's ticket.
    TlsOnce { resume: bool },
    /// HTTP/2 over TLS, a few connections for all clients.
    H2,
}

/// For whom token, limit and access log are switched on, as far as a gateway has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Features {
    None,
    All,
    /// The peers are favoured.
    WeirOnly,
}

/// Who runs when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All systems at once, in the same window: they share the machine's weather.
    Duet,
    /// One after the other, in another order each round.
    Turns,
}

/// What CPU is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Unit {
    Request,
    Event,
    Gibibyte,
    /// Nothing: memory is what counts.
    Stream,
}

impl Workload {
    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// Whether memory per stream is wanted.
    pub(crate) fn memory(&self) -> bool {
        matches!(self.action, Action::Idle | Action::Stream(_)) && self.mode == Mode::Turns
    }

    /// Whether bytes are counted as they pass, not requests as they end.
    pub(crate) fn bulk(&self) -> bool {
        self.unit == Unit::Gibibyte
    }
}

const MIB: u64 = 1 << 20;

/// A row of the table, from its commonest form.
const fn duet(
    name: &'static str,
    title: &'static str,
    action: Action,
    carrier: Carrier,
    rate: f64,
) -> Workload {
    Workload {
        name,
        title,
        action,
        carrier,
        features: Features::None,
        clients: 32,
        rate,
        mode: Mode::Duet,
        unit: Unit::Request,
        seconds: 4.0,
        quick: true,
    }
}

const fn bulk(name: &'static str, title: &'static str, action: Action, quick: bool) -> Workload {
    Workload {
        clients: 4,
        mode: Mode::Turns,
        unit: Unit::Gibibyte,
        seconds: 2.0,
        quick,
        ..duet(name, title, action, Carrier::Plain, 0.0)
    }
}

/// Small GETs as many as go, one system after the other: with the caches its own.
const fn most(
    name: &'static str,
    title: &'static str,
    clients: usize,
    carrier: Carrier,
) -> Workload {
    Workload {
        clients,
        mode: Mode::Turns,
        seconds: 2.0,
        quick: false,
        ..duet(name, title, Action::Get, carrier, 0.0)
    }
}

const fn streams(
    name: &'static str,
    title: &'static str,
    every: u64,
    clients: usize,
    mode: Mode,
) -> Workload {
    Workload {
        clients,
        mode,
        unit: Unit::Event,
        quick: false,
        ..duet(name, title, Action::Stream(every), Carrier::Plain, 0.0)
    }
}

/// Every workload, in the order in which they run and are shown.
pub(crate) const ALL: &[Workload] = &[
    duet(
        "get",
        "small GET, kept connections, 1,000 a second",
        Action::Get,
        Carrier::Plain,
        1000.0,
    ),
    duet(
        "post",
        "POST of 2 KiB that come back, 1,000 a second",
        Action::Post,
        Carrier::Plain,
        1000.0,
    ),
    Workload {
        quick: true,
        ..streams(
            "sse",
            "100 event streams, an event each 50 ms",
            50,
            100,
            Mode::Duet,
        )
    },
    Workload {
        features: Features::All,
        ..duet(
            "get-full",
            "small GET, with token, limit, metrics and access log",
            Action::Get,
            Carrier::Plain,
            1000.0,
        )
    },
    Workload {
        features: Features::All,
        quick: true,
        ..streams(
            "sse-full",
            "100 event streams, an event each 50 ms, with token, limit, metrics and access log",
            50,
            100,
            Mode::Duet,
        )
    },
    Workload {
        features: Features::WeirOnly,
        ..duet(
            "get-uneven",
            "small GET; weir with token, limit and access log, the others without",
            Action::Get,
            Carrier::Plain,
            1000.0,
        )
    },
    Workload {
        features: Features::WeirOnly,
        quick: false,
        ..duet(
            "post-uneven",
            "POST of 2 KiB; weir with token, limit and access log, the others without",
            Action::Post,
            Carrier::Plain,
            1000.0,
        )
    },
    Workload {
        features: Features::WeirOnly,
        quick: true,
        ..streams(
            "sse-uneven",
            "100 event streams; weir with token, limit and access log, the others without",
            50,
            100,
            Mode::Duet,
        )
    },
    most(
        "get-max",
        "small GET, 64 clients as fast as they can",
        64,
        Carrier::Plain,
    ),
    streams(
        "sse-1000",
        "1,000 event streams, an event each 50 ms",
        50,
        1000,
        Mode::Turns,
    ),
    streams(
        "sse-5000",
        "5,000 event streams, an event each 200 ms",
        200,
        5000,
        Mode::Turns,
    ),
    Workload {
        clients: 2000,
        mode: Mode::Turns,
        unit: Unit::Stream,
        seconds: 1.0,
        ..duet(
            "idle",
            "2,000 silent event streams",
            Action::Idle,
            Carrier::Plain,
            0.0,
        )
    },
    bulk(
        "download-1m",
        "downloads of 1 MiB",
        Action::Download(MIB),
        false,
    ),
    bulk(
        "download",
        "downloads of 64 MiB",
        Action::Download(64 * MIB),
        true,
    ),
    bulk(
        "upload",
        "uploads of 64 MiB",
        Action::Upload(64 * MIB),
        false,
    ),
    duet(
        "churn",
        "small GET, a new connection each, 300 a second",
        Action::Get,
        Carrier::PlainOnce,
        300.0,
    ),
    most(
        "churn-max",
        "small GET, a new connection each, 32 clients as fast as they can",
        32,
        Carrier::PlainOnce,
    ),
    duet(
        "tls-new",
        "small GET, a new TLS connection each, 100 a second",
        Action::Get,
        Carrier::TlsOnce { resume: false },
        100.0,
    ),
    most(
        "tls-new-max",
        "small GET, a new TLS connection each, 16 clients as fast as they can",
        16,
        Carrier::TlsOnce { resume: false },
    ),
    Workload {
        quick: false,
        ..duet(
            "tls-resumed",
            "small GET, a resumed TLS connection each, 100 a second",
            Action::Get,
            Carrier::TlsOnce { resume: true },
            100.0,
        )
    },
    Workload {
        quick: false,
        ..duet(
            "tls-get",
            "small GET over TLS, kept connections, 1,000 a second",
            Action::Get,
            Carrier::Tls,
            1000.0,
        )
    },
    duet(
        "h2-get",
        "small GET over HTTP/2 and TLS, 1,000 a second",
        Action::Get,
        Carrier::H2,
        1000.0,
    ),
    most(
        "h2-max",
        "small GET over HTTP/2 and TLS, 128 clients as fast as they can",
        128,
        Carrier::H2,
    ),
    Workload {
        carrier: Carrier::H2,
        ..streams(
            "h2-sse",
            "100 event streams over HTTP/2 and TLS, an event each 50 ms",
            50,
            100,
            Mode::Duet,
        )
    },
];

/// The workload of this name.
pub(crate) fn named(name: &str) -> Option<&'static Workload> {
    ALL.iter().find(|workload| workload.name == name)
}
