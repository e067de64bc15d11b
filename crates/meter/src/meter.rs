//! The one place that counts: what belongs to a route or a server is handed out from here, the rest is counted here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus::{IntCounter, IntGauge, Registry, TextEncoder};

use crate::{
    certificate::{CertificateSeries, Certificates},
    conversations::{Conversation, Conversations},
    families::Families,
    guard::Held,
    issuer::{IssuerSeries, Issuers},
    labels::Models,
    limits::{LimitSeries, StoreSeries},
    route::RouteSeries,
    upstream::{UpstreamSeries, Upstreams},
    words::Words,
};

/// All series of one weir. One per process, shared by its workers; a test may have as many as it likes.
pub struct Meter {
    registry: Registry,
    families: Arc<Families>,
    models: Arc<Models>,
    routes: Mutex<HashMap<String, Arc<RouteSeries>>>,
    upstreams: Arc<Upstreams>,
    certificates: Arc<Certificates>,
    issuers: Arc<Issuers>,
    conversations: Arc<Conversations>,
    connections_open: IntGauge,
    connections: IntCounter,
    connection_errors: Words,
    config_ok: IntGauge,
    config_loaded: IntGauge,
    reloads: Words,
    log_dropped: IntCounter,
}

impl Meter {
    /// With a configuration that counts as loaded now.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(
                prometheus::process_collector::ProcessCollector::for_self(),
            ))
            .expect("its names are not in the table");
        let families = Arc::new(Families::new(&registry));
        families
            .build_info
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        let none: &[&str] = &[];
        let meter = Self {
            models: Arc::default(),
            routes: Mutex::default(),
            upstreams: Upstreams::new(&families),
            certificates: Certificates::new(&families),
            issuers: Issuers::new(&families),
            conversations: Conversations::new(families.conversations.with_label_values(none)),
            connections_open: families.connections_open.with_label_values(none),
            connections: families.connections.with_label_values(none),
            connection_errors: Words::new(&families.connection_errors, none),
            config_ok: families.config_ok.with_label_values(none),
            config_loaded: families.config_loaded.with_label_values(none),
            reloads: Words::new(&families.config_reloads, none),
            log_dropped: families.log_dropped.with_label_values(none),
            registry,
            families,
        };
        meter.loaded();
        Arc::new(meter)
    }

    /// The page Prometheus reads, in its text format 0.0.4 (`text/plain; version=0.0.4; charset=utf-8`).
    #[must_use]
    pub fn render(&self) -> String {
        let mut page = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut page) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot render the metrics"
            );
        }
        page
    }

    /// The series of the route of this name: always the same ones, so they survive a reload.
    pub fn route(&self, name: &str) -> Arc<RouteSeries> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = routes.get(name) {
            return Arc::clone(route);
        }
        let route = Arc::new(RouteSeries::new(name, &self.families, &self.models));
        routes.insert(name.to_owned(), Arc::clone(&route));
        route
    }

    /// The series of one server; the gauges among them vanish with the last owner.
    pub fn upstream(&self, upstream: &str, server: &str) -> Arc<UpstreamSeries> {
        self.upstreams.get(upstream, server)
    }

    /// The series of one certificate; they vanish with the last owner.
    pub fn certificate(&self, name: &str) -> Arc<CertificateSeries> {
        self.certificates.get(name)
    }

    /// The series of the key set that is fetched for this `[auth]` table; the gauges among them vanish with the last owner.
    pub fn issuer(&self, name: &str) -> Arc<IssuerSeries> {
        self.issuers.get(name)
    }

    /// The series of the limit of this name.
    pub fn limit(&self, name: &str) -> LimitSeries {
        LimitSeries::new(name, &self.families)
    }

    /// The series of the store of this name.
    pub fn store(&self, name: &str) -> StoreSeries {
        StoreSeries::new(name, &self.families)
    }

    /// The names of models, and of providers beyond the common ones, that may stand in a label. Replaces those set before.
    pub fn set_models(&self, names: impl IntoIterator<Item = String>) {
        self.models.set(names);
    }

    /// A stream of the conversation `id` is open until the guard is dropped.
    pub fn conversation(&self, id: &str) -> Conversation {
        self.conversations.open(id)
    }

    /// A client's connection was accepted; it is open until the guard is dropped.
    pub fn connection_opened(&self) -> Held {
        self.connections.inc();
        Held::new(&self.connections_open)
    }

    /// A client's connection ended in an error; `reason` is a word of weir's own.
    pub fn connection_error(&self, reason: &'static str) {
        self.connection_errors.inc(reason);
    }

    /// The configuration was read again: taken over, or refused while the old one goes on.
    pub fn reloaded(&self, ok: bool) {
        if ok {
            self.reloads.inc("ok");
            self.loaded();
        } else {
            self.reloads.inc("failed");
            self.config_ok.set(0);
        }
    }

    /// The counter of access lines that could not be written, for the log itself.
    pub(crate) fn log_dropped(&self) -> IntCounter {
        self.log_dropped.clone()
    }

    fn loaded(&self) {
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        self.config_loaded
            .set(i64::try_from(seconds).unwrap_or(i64::MAX));
        self.config_ok.set(1);
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;

    use super::*;
    use crate::{Tokens, names};

    /// Each family of the table is on the page once everything has happened, under its documented HELP.
    #[test]
    fn every_name_is_counted_by_somebody() {
        let meter = Meter::new();
        let route = meter.route("r");
        route.finished(&Method::GET, 200, Duration::ZERO, "complete");
        route.refused("no_route");
        route.settled("usage");
        route.stream_ended("complete");
        route.llm(None, None, "complete", Some(&Tokens::default()));
        let server = meter.upstream("u", "s");
        server.connected("ok");
        server.in_flight(1);
        meter.limit("l").decided("allowed");
        meter.store("s").went_away();
        meter.connection_error("tls");
        meter.reloaded(true);
        let certificate = meter.certificate("site.crt");
        certificate.state(true, SystemTime::now(), SystemTime::now());
        let issuer = meter.issuer("a");
        issuer.fetched(1, SystemTime::now());
        let _held = (
            route.stream_opened(),
            meter.conversation("c"),
            meter.connection_opened(),
        );
        let page = meter.render();
        for metric in names::ALL {
            assert!(
                page.contains(&format!("# HELP {} {}\n", metric.name, metric.help)),
                "{} is missing in\n{page}",
                metric.name
            );
        }
        let families = page
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter(|name| !name.starts_with("process_"));
        assert_eq!(families.count(), names::ALL.len());
        assert_eq!(
            cfg!(target_os = "linux"),
            page.contains("\nprocess_resident_memory_bytes ")
        );
    }

    #[test]
    fn a_route_is_the_same_after_a_reload() {
        let meter = Meter::new();
        assert!(Arc::ptr_eq(&meter.route("r"), &meter.route("r")));
        assert!(!Arc::ptr_eq(&meter.route("r"), &meter.route("s")));
    }

    #[test]
    fn what_is_counted_for_the_whole_process() {
        let meter = Meter::new();
        assert!(meter.render().contains("\nweir_config_ok 1\n"));
        meter.reloaded(true);
        meter.reloaded(false);
        meter.connection_error("tls");
        drop(meter.connection_opened());
        let _open = meter.connection_opened();
        let _conversations = (
            meter.conversation("a"),
            meter.conversation("a"),
            meter.conversation("b"),
        );
        let page = meter.render();
        for line in [
            "weir_config_ok 0",
            "weir_config_reloads_total{result=\"ok\"} 1",
            "weir_config_reloads_total{result=\"failed\"} 1",
            "weir_connections_open 1",
            "weir_connections_total 2",
            "weir_connection_errors_total{reason=\"tls\"} 1",
            "active_conversations 2",
            "weir_log_lines_dropped_total 0",
            concat!(
                "weir_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"} 1"
            ),
        ] {
            assert!(
                page.lines().any(|it| it == line),
                "{line} is missing in\n{page}"
            );
        }
    }
}
