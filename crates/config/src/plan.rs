//! The configuration as ready objects: nothing here can be wrong any more, and nothing here is text that still needs a meaning.
//! The binary turns a `Plan` into a running gateway; reload makes a new one.

use std::{
    net::{IpAddr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use http::{HeaderName, HeaderValue, StatusCode, Uri};
use ipnet::IpNet;
use weir_auth::{
    Cors, Login, Require, Swapped, Verifier,
    aspnet::KeyRing,
    identity::{Reserved, Signer},
    jwt::{Algorithm as Signature, KeySet},
};
use weir_limit::{Algorithm, KeySource, Quota};
use weir_meter::log;
use weir_proxy::{
    compress::Coding,
    settings::{Roots, StreamPolicy, Timeouts, Upstream},
};
use weir_route::{Authority, HostPattern, Rewrite, Table};

/// Everything `weir run` needs to know.
#[derive(Debug)]
pub struct Plan {
    /// The file it was read from.
    pub file: PathBuf,
    /// The `service` field of every log line. Key `service`, default `weir`.
    pub service: String,
    /// Worker threads; `None`: one per CPU after the cgroup quota. Key `workers`.
    pub workers: Option<NonZeroUsize>,
    /// Where clients connect. At least one.
    pub listeners: Vec<Listener>,
    /// Whose word on a client's address is taken: X-Forwarded-For and its like, and the PROXY protocol. Key `trusted_proxies`, default nobody.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether weir names itself in `Via`, to upstreams and clients. Key `via`, default false.
    pub via: bool,
    /// The operator's own address. Table `[admin]`; absent: 127.0.0.1:9901; `admin = false`-like switch: `[admin] enabled = false` gives `None`.
    pub admin: Option<Admin>,
    /// The access log. Table `[log]`.
    pub log: Log,
    /// Who was refused what, and which keys changed. Table `[audit]`.
    pub audit: Option<log::Target>,
    /// Signs what upstreams are told of callers. Table `[identity]`.
    pub identity: Option<Signer>,
    /// Headers by which a client could claim to be somebody. Key `identity_headers`.
    pub reserved: Reserved,
    /// How a stop goes. Table `[drain]`.
    pub drain: Drain,
    /// Clocks and caps of client connections. Table `[client]`.
    pub client: Client,
    /// In the order of the file; a route's `Action::Proxy` indexes it.
    pub upstreams: Vec<Upstream>,
    /// In the order of the file; a route's `auth` indexes it.
    pub auth: Vec<Auth>,
    /// In the order of the file; a limit's `store` indexes it.
    pub stores: Vec<weir_store::Settings>,
    /// In the order of the file; a route's `limits` index it.
    pub limits: Vec<Limit>,
    /// In the order of the file; `table` answers with indices of it.
    pub routes: Vec<Route>,
    /// Which route serves a request.
    pub table: Table,
    /// Every host that a route names, in the order of the file: what may stand in a redirect.
    pub hosts: Vec<HostPattern>,
    /// Model names that may stand in metric labels; others count as `other`. Key `models`.
    pub models: Vec<String>,
    /// What is probably a slip but serves nobody wrongly, each with `file:line:column` and the key's path, in the order of the file.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Whether an address is one of [`Plan::trusted_proxies`].
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies
            .iter()
            .any(|network| network.contains(&address))
    }
}

/// One `[[listen]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where to bind; port 0 takes any free one.
    pub address: SocketAddr,
    /// Whether HTTP/2 is spoken: on a plain connection by a client that begins with its preface. Key `http2`, default true.
    pub http2: bool,
    /// `tls = {…}` or `[[listen.tls]]`; empty: in clear. The first one serves names that no other is for, and clients that name none.
    pub tls: Vec<Tls>,
    /// Sends everybody elsewhere instead of serving the routes. Key `redirect`.
    pub redirect: Option<Redirect>,
    /// Each connection begins with a PROXY protocol header, from a trusted proxy. Key `proxy_protocol`, default false.
    pub proxy_protocol: bool,
    /// Headers set on every answer, refusals too; a route's own come on top. Table `headers`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// One `[[listen.tls]]`: the certificates of some names, and what is asked of their clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The names it is for. Key `host`; empty: those in the first certificate.
    pub hosts: Vec<HostPattern>,
    /// At least one. Of several (ECDSA and RSA, say) a client gets the first whose signatures it can check.
    pub pairs: Vec<KeyPair>,
    /// Key `client_certificate`; `None`: none is asked for.
    pub clients: Option<ClientCertificates>,
}

/// A certificate chain and its key, in PEM. Only their places: files are watched while weir runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyPair {
    /// The site's certificate first, then the intermediate ones.
    pub certificate: PathBuf,
    /// PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// `client_certificate = { ca = "…", crl = ["…"], required = true }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// The authorities whose certificates are taken.
    pub ca: PathBuf,
    /// Lists of those that are revoked; empty: none is.
    pub crl: Vec<PathBuf>,
    /// Whether a client without one is turned away in the handshake. Default true.
    pub required: bool,
}

/// `redirect = "https"` or `{ to = "https", status = 308 | 301, host = "name" }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// 308, which keeps method and body, or 301.
    pub status: StatusCode,
    /// Where to, with the port if it is not 443; `None`: the host that was asked for, if it is one of [`Plan::hosts`].
    pub host: Option<Authority<'static>>,
}

/// `[admin]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where to bind.
    pub address: SocketAddr,
    /// Who may ask; empty: loopback only.
    pub allow: Vec<IpNet>,
}

/// `[log]`: `format = "json" | "text"`, `to = "stdout"` or a file's path, `roll_at = "10MB"`, `keep = 8`, `level`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// JSON for machines, text for people.
    pub format: log::Format,
    /// Standard output, or a file rolled at a size.
    pub to: log::Target,
    /// The least level of weir's own messages (not of the access log): error, warn, info, debug, trace.
    pub level: String,
}

/// `[drain]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long `/readyz` already fails while connections are still accepted. Key `delay`, default 0.
    pub delay: Duration,
    /// How long exchanges may then still run. Key `deadline`, default 30 s.
    pub deadline: Duration,
}

/// `[client]`: the clocks of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// For a TLS handshake. Key `handshake`, default 10 s.
    pub handshake: Duration,
    /// For the whole head of a request. Key `head`, default 10 s.
    pub head: Duration,
    /// How long a connection may wait between requests. Key `keep_alive`, default 75 s.
    pub keep_alive: Duration,
    /// The longest gap between two pieces of a request body. Key `body_idle`, default 60 s.
    pub body_idle: Duration,
    /// How long a client may take nothing of an answer that waits for it. Key `write_stall`, default 120 s.
    pub write_stall: Duration,
    /// Connections open at the same time. Key `max_connections`; `None`: as many as leave each its upstream's descriptor.
    pub max_connections: Option<NonZeroU32>,
    /// The same, of one address (IPv6: one /64 network); trusted proxies are not counted. Key `max_connections_per_address`.
    pub max_connections_per_address: Option<NonZeroU32>,
}

/// `[auth.NAME]`
#[derive(Debug)]
pub struct Auth {
    /// The name in the file.
    pub name: String,
    /// Who decides.
    pub verifier: Arc<Verifier>,
    /// Where browsers without a session are sent. Key `login`.
    pub login: Option<Login>,
    /// How many credentials of one address may fail. Key `failures`.
    pub failures: Option<Quota>,
    /// Origins beside our own that may send unsafe requests with the cookie. Key `trusted_origins`.
    pub trusted_origins: Vec<String>,
    /// Keys that change while weir runs; of `any`, those of all its members.
    pub live: Vec<LiveKeys>,
    /// Whether a token may stand in the query of an upgrade, from where it must then be taken away.
    pub reads_query: bool,
}

/// Keys that are read again, or fetched, while weir runs, and where newer ones are handed in.
#[derive(Clone, Debug)]
pub enum LiveKeys {
    /// The key ring of an ASP.NET Core application: `key_ring`.
    Ring {
        /// Where its files are.
        folder: PathBuf,
        /// The ring in use.
        ring: Arc<Swapped<KeyRing>>,
    },
    /// The key set of an issuer: `jwks_url`.
    Jwks(Jwks),
}

/// A key set that is fetched.
#[derive(Clone, Debug)]
pub struct Jwks {
    /// `https`, or `http` on loopback.
    pub url: Uri,
    /// The algorithms that its keys may be used for; empty: each key's own.
    pub allowed: Vec<Signature>,
    /// How often it is fetched. Key `jwks_refresh`.
    pub refresh: Duration,
    /// How long the last one is used when no newer one can be had. Key `jwks_stale`.
    pub stale: Duration,
    /// Whose certificates are believed. Key `jwks_ca`.
    pub roots: Roots,
    /// The set in use; empty until the first one has come.
    pub keys: Arc<Swapped<KeySet>>,
}

/// `[limit.NAME]`: one of `rate` (with `algorithm`, `burst`, `delay`), `tokens` (with `estimate`, `cut`) and `streams`.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// The name in the file, and in the RateLimit headers.
    pub name: String,
    /// Whose counter it is. Key `by`.
    pub by: KeySource,
    /// What is counted.
    pub kind: LimitKind,
    /// Where it is counted: index into `Plan::stores`; `None`: in this process. Key `store`.
    pub store: Option<usize>,
    /// What becomes of requests while the store is away. Key `on_store_failure`.
    pub on_store_failure: OnStoreFailure,
    /// Decides, counts and says so in metrics, but refuses nobody. Key `dry_run`.
    pub dry_run: bool,
}

/// What a limit does without its store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// `local`: every process counts by itself, to the whole quota.
    #[default]
    Local,
    /// `deny`: nobody passes.
    Deny,
    /// `allow`: everybody passes.
    Allow,
}

/// What a limit counts.
#[derive(Clone, Debug, PartialEq)]
pub enum LimitKind {
    /// `rate = "100/60s"`, `algorithm = "gcra" | "window"`, `burst = N` and `delay = true` (gcra only).
    Rate(Quota, Algorithm),
    /// `tokens = "100000/1d"`
    Tokens {
        /// How many in how long.
        quota: Quota,
        /// How many are set aside before a request goes on. Key `estimate`, default 1000.
        estimate: NonZeroU32,
        /// Whether a stream that runs out of tokens is ended. Key `cut`.
        cut: bool,
    },
    /// `streams = N`: concurrent streams.
    Streams(NonZeroU32),
}

/// One `[[route]]`.
#[derive(Debug)]
pub struct Route {
    /// Key `name`, default its `path`: the `route` label.
    pub name: String,
    /// The path pattern as written.
    pub path: String,
    /// What serves it.
    pub action: Action,
    /// Index into `Plan::auth`.
    pub auth: Option<usize>,
    /// Key `require = { role = […], scope = […] }`: what the caller needs beside being known.
    pub require: Require,
    /// Indices into `Plan::limits`, in order.
    pub limits: Vec<usize>,
    /// The most bytes of a request body. Key `max_body` (route, or top level as the default); default 10 MB.
    pub max_body: u64,
    /// Whether exchanges stand in the access log. Key `log`, default true.
    pub log: bool,
    /// Whose pages may read its answers; it answers their preflights. Key `cors`: the name of a `[cors]` table, or a table.
    pub cors: Option<Arc<Cors>>,
    /// How answers that are no streams may be compressed, best first; empty: not at all. Key `compress`.
    pub compress: Vec<Coding>,
    /// Headers set on every answer of this route, refusals too. Table `headers = { "X-Frame-Options" = "DENY" }`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// What serves a route.
#[derive(Debug)]
pub enum Action {
    /// `to = "NAME"`, `strip`, `rewrite`, `stream = true | { always, comment, error_event, on_disconnect = "cancel" | "drain", drain_time, drain_bytes }`, `timeout = {…}`.
    Proxy {
        /// Index into `Plan::upstreams`.
        upstream: usize,
        /// From the client's path to the upstream's.
        rewrite: Rewrite,
        /// What is asked of its streams.
        stream: StreamPolicy,
        /// The upstream's clocks, or the route's own where it sets them.
        timeout: Timeouts,
        /// Key `authorization`.
        authorization: Authorization,
        /// Key `cookies`.
        cookies: Cookies,
    },
    /// `files = { root, links, fallback, cache_control }`, with `strip` (default: the literal part of `path` before its wildcard).
    Files {
        /// The folder.
        root: PathBuf,
        /// Key `links`.
        links: Links,
        /// Served with 200 when nothing matches, relative to `root`; `.html` is tried first in any case.
        fallback: Option<String>,
        /// `Cache-Control` of what is served.
        cache_control: Option<HeaderValue>,
        /// From the client's path to the file's.
        rewrite: Rewrite,
    },
    /// `serve = "health" | "metrics" | "status"`, with `allow = [CIDR…]` for metrics and status (empty: loopback only; health: everyone).
    Serve {
        /// Which page.
        page: Page,
        /// Who may ask.
        allow: Vec<IpNet>,
    },
}

/// What the upstream sees of the Authorization header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authorization {
    /// The client's, except where weir itself took its caller from it. The default.
    #[default]
    Unless,
    /// The client's: `"pass"`.
    Pass,
    /// None: `"strip"`.
    Strip,
    /// weir's signed word on who is asking, as a bearer token: `"replace"`. Needs `[identity]`.
    Replace,
}

/// What the upstream sees of the cookies that some `[auth]` table reads. All others go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cookies {
    /// They go on: `"pass"`, the default, for the application whose session it is.
    #[default]
    Pass,
    /// None: `"strip"`, for everybody else.
    Strip,
}

/// Where symbolic links of a folder may lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// To what lies below the folder: `"within"`, the default.
    #[default]
    Within,
    /// Wherever weir may read: `"anywhere"`.
    Anywhere,
}

/// A page of weir's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Whether the upstreams are well: JSON, 200 or 503.
    Health,
    /// The Prometheus text format.
    Metrics,
    /// What runs, as JSON.
    Status,
}
