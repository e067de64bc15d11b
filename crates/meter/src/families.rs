//! The metric families, registered once from the table of names.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::names::{self, Kind, Metric};

/// One handle per family. Cloning a handle is cheap; resolving a series from it takes a lock, so the hot path keeps what it resolved.
pub(crate) struct Families {
    pub(crate) requests: IntCounterVec,
    pub(crate) duration: HistogramVec,
    pub(crate) exchanges: IntCounterVec,
    pub(crate) refusals: IntCounterVec,
    pub(crate) forged: IntCounterVec,
    pub(crate) llm_requests: IntCounterVec,
    pub(crate) llm_tokens: IntCounterVec,
    pub(crate) token_settlements: IntCounterVec,
    pub(crate) conversations: IntGaugeVec,
    pub(crate) streams_open: IntGaugeVec,
    pub(crate) streams: IntCounterVec,
    pub(crate) first_byte: HistogramVec,
    pub(crate) first_event: HistogramVec,
    pub(crate) event_gap: HistogramVec,
    pub(crate) stream_events: IntCounterVec,
    pub(crate) stream_bytes: IntCounterVec,
    pub(crate) upstream_healthy: IntGaugeVec,
    pub(crate) upstream_in_flight: IntGaugeVec,
    pub(crate) upstream_connects: IntCounterVec,
    pub(crate) upstream_retries: IntCounterVec,
    pub(crate) limit_decisions: IntCounterVec,
    pub(crate) store_up: IntGaugeVec,
    pub(crate) store_outages: IntCounterVec,
    pub(crate) store_decision: HistogramVec,
    pub(crate) store_evicting: IntGaugeVec,
    pub(crate) store_errors: IntCounterVec,
    pub(crate) store_unsettled: IntCounterVec,
    pub(crate) connections_open: IntGaugeVec,
    pub(crate) connections: IntCounterVec,
    pub(crate) connection_errors: IntCounterVec,
    pub(crate) certificate_ok: IntGaugeVec,
    pub(crate) certificate_expiry: IntGaugeVec,
    pub(crate) certificate_days: IntGaugeVec,
    pub(crate) key_fetches: IntCounterVec,
    pub(crate) issuer_keys: IntGaugeVec,
    pub(crate) keys_fetched: IntGaugeVec,
    pub(crate) config_reloads: IntCounterVec,
    pub(crate) config_ok: IntGaugeVec,
    pub(crate) config_loaded: IntGaugeVec,
    pub(crate) log_dropped: IntCounterVec,
    pub(crate) build_info: IntGaugeVec,
}

impl Families {
    pub(crate) fn new(registry: &Registry) -> Self {
        let counter = |metric| counter(registry, metric);
        let gauge = |metric| gauge(registry, metric);
        let histogram = |metric| histogram(registry, metric);
        Self {
            requests: counter(names::REQUESTS),
            duration: histogram(names::DURATION),
            exchanges: counter(names::EXCHANGES),
            refusals: counter(names::REFUSALS),
            forged: counter(names::FORGED),
            llm_requests: counter(names::LLM_REQUESTS),
            llm_tokens: counter(names::LLM_TOKENS),
            token_settlements: counter(names::TOKEN_SETTLEMENTS),
            conversations: gauge(names::CONVERSATIONS),
            streams_open: gauge(names::STREAMS_OPEN),
            streams: counter(names::STREAMS),
            first_byte: histogram(names::FIRST_BYTE),
            first_event: histogram(names::FIRST_EVENT),
            event_gap: histogram(names::EVENT_GAP),
            stream_events: counter(names::STREAM_EVENTS),
            stream_bytes: counter(names::STREAM_BYTES),
            upstream_healthy: gauge(names::UPSTREAM_HEALTHY),
            upstream_in_flight: gauge(names::UPSTREAM_IN_FLIGHT),
            upstream_connects: counter(names::UPSTREAM_CONNECTS),
            upstream_retries: counter(names::UPSTREAM_RETRIES),
            limit_decisions: counter(names::LIMIT_DECISIONS),
            store_up: gauge(names::STORE_UP),
            store_outages: counter(names::STORE_OUTAGES),
            store_decision: histogram(names::STORE_DECISION),
            store_evicting: gauge(names::STORE_EVICTING),
            store_errors: counter(names::STORE_ERRORS),
            store_unsettled: counter(names::STORE_UNSETTLED),
            connections_open: gauge(names::CONNECTIONS_OPEN),
            connections: counter(names::CONNECTIONS),
            connection_errors: counter(names::CONNECTION_ERRORS),
            certificate_ok: gauge(names::CERTIFICATE_OK),
            certificate_expiry: gauge(names::CERTIFICATE_EXPIRY),
            certificate_days: gauge(names::CERTIFICATE_DAYS),
            key_fetches: counter(names::KEY_FETCHES),
            issuer_keys: gauge(names::ISSUER_KEYS),
            keys_fetched: gauge(names::KEYS_FETCHED),
            config_reloads: counter(names::CONFIG_RELOADS),
            config_ok: gauge(names::CONFIG_OK),
            config_loaded: gauge(names::CONFIG_LOADED),
            log_dropped: counter(names::LOG_DROPPED),
            build_info: gauge(names::BUILD_INFO),
        }
    }
}

const VALID: &str = "the table of names holds valid names, each once";

fn counter(registry: &Registry, metric: Metric) -> IntCounterVec {
    let family =
        IntCounterVec::new(Opts::new(metric.name, metric.help), metric.labels).expect(VALID);
    registry.register(Box::new(family.clone())).expect(VALID);
    family
}

fn gauge(registry: &Registry, metric: Metric) -> IntGaugeVec {
    let family = IntGaugeVec::new(Opts::new(metric.name, metric.help), metric.labels).expect(VALID);
    registry.register(Box::new(family.clone())).expect(VALID);
    family
}

fn histogram(registry: &Registry, metric: Metric) -> HistogramVec {
    let mut options = HistogramOpts::new(metric.name, metric.help);
    if let Kind::Histogram(bounds) = metric.kind {
        options = options.buckets(bounds.to_vec());
    }
    let family = HistogramVec::new(options, metric.labels).expect(VALID);
    registry.register(Box::new(family.clone())).expect(VALID);
    family
}
