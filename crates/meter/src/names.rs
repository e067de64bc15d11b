//! Every metric by its name, with its labels and the sentence that becomes its HELP.
//!
//! These names are interface: dashboards and alerts outlive a release. `docs/metrics.md` is generated from this table, and a test
//! holds the two together.

/// One metric family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// As Prometheus knows it.
    pub name: &'static str,
    /// What it counts with.
    pub kind: Kind,
    /// In the order in which their values are given.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

/// What a metric counts with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// What is so now.
    Gauge,
    /// Observations by size, with the upper bounds of its buckets in seconds.
    Histogram(&'static [f64]),
}

use Kind::{Counter, Gauge, Histogram};

/// Whole exchanges: a file takes milliseconds, an answer of a language model minutes.
const EXCHANGE: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// Waits within a stream: tokens come milliseconds apart, a tool call may keep silent for minutes.
const WAIT: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0,
];

/// What a request waits for a counter on another machine: a local network's round trip, up to the usual patience and beyond.
const DECISION: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
];

/// Writes the constants and the list of them from one table, so that none can be left out of the other.
macro_rules! table {
    ($($constant:ident $kind:expr, $name:literal [$($label:literal)*] $help:literal)*) => {
        $(pub(crate) const $constant: Metric = Metric { name: $name, kind: $kind, labels: &[$($label),*], help: $help };)*

        /// All of weir's own metrics, in the order of the documentation. On Linux the `process_*` family comes on top.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

table! {
    REQUESTS Counter, "http_requests_total" ["route" "method" "status"]
        "Requests answered, refusals included."
    DURATION Histogram(EXCHANGE), "http_request_duration_seconds" ["route" "method"]
        "From the request's head to the last byte of its answer, streams included."
    EXCHANGES Counter, "weir_exchanges_total" ["route" "outcome"]
        "Exchanges by how they ended."
    REFUSALS Counter, "weir_refusals_total" ["route" "reason"]
        "Requests that weir answered itself instead of forwarding them, by why."

    FORGED Counter, "weir_forged_identities_total" ["route"]
        "Forwarded requests that claimed a caller in a header which only weir may write; the header was taken away."

    LLM_REQUESTS Counter, "llm_requests_total" ["route" "provider" "model" "outcome"]
        "Model answers carried, by how they ended."
    LLM_TOKENS Counter, "llm_tokens_used_total" ["route" "provider" "model" "type"]
        "Tokens used, as the answers reported them; cached_input is a part of input and reasoning a part of output where the provider counts so."
    TOKEN_SETTLEMENTS Counter, "weir_token_settlements_total" ["route" "by"]
        "Exchanges of token budgets, by what they were charged from: usage (the answer's own figure), estimate (no figure), encoded (no figure, because the answer came compressed), nothing (no answer)."
    CONVERSATIONS Gauge, "active_conversations" []
        "Distinct conversations with a stream open now."

    STREAMS_OPEN Gauge, "weir_streams_open" ["route"]
        "Streams open now."
    STREAMS Counter, "weir_streams_total" ["route" "outcome"]
        "Streams by how they ended."
    FIRST_BYTE Histogram(WAIT), "weir_stream_first_byte_seconds" ["route"]
        "From the request's head to the first byte of the stream's body."
    FIRST_EVENT Histogram(WAIT), "weir_stream_first_event_seconds" ["route"]
        "From the request's head to the end of the stream's first event."
    EVENT_GAP Histogram(WAIT), "weir_stream_event_gap_seconds" ["route"]
        "Between two events of a stream."
    STREAM_EVENTS Counter, "weir_stream_events_total" ["route"]
        "Events carried."
    STREAM_BYTES Counter, "weir_stream_bytes_total" ["route"]
        "Bytes of stream bodies carried."

    UPSTREAM_HEALTHY Gauge, "weir_upstream_healthy" ["upstream" "server"]
        "1 while the server may be given exchanges, else 0."
    UPSTREAM_IN_FLIGHT Gauge, "weir_upstream_in_flight" ["upstream" "server"]
        "Exchanges the server is busy with now."
    UPSTREAM_CONNECTS Counter, "weir_upstream_connects_total" ["upstream" "result"]
        "Connections opened to the upstream, by what came of it."
    UPSTREAM_RETRIES Counter, "weir_upstream_retries_total" ["upstream"]
        "Requests that were sent once more."

    LIMIT_DECISIONS Counter, "weir_limit_decisions_total" ["limit" "result"]
        "What limits decided: allowed, delayed or refused; would_refuse and would_delay of a dry run; local, allow or deny by what is done without its store."
    STORE_UP Gauge, "weir_store_up" ["store"]
        "1 while the store of shared limits can be asked, else 0."
    STORE_OUTAGES Counter, "weir_store_outages_total" ["store"]
        "Times the store went away, or was not there at first."
    STORE_DECISION Histogram(DECISION), "weir_store_decision_seconds" ["store"]
        "What asking the store added to a request."
    STORE_EVICTING Gauge, "weir_store_evicting" ["store"]
        "1 while Redis may forget counters when its memory is full, else 0."
    STORE_ERRORS Counter, "weir_store_errors_total" ["store"]
        "Decisions and settlements that the store answered with an error, a key of the wrong type for instance; it counts as up all the same."
    STORE_UNSETTLED Counter, "weir_store_settlements_lost_total" ["store"]
        "Token settlements lost, because too many were due while the store was away, or because it answered with an error."

    CONNECTIONS_OPEN Gauge, "weir_connections_open" []
        "Client connections open now."
    CONNECTIONS Counter, "weir_connections_total" []
        "Client connections accepted."
    CONNECTION_ERRORS Counter, "weir_connection_errors_total" ["reason"]
        "Client connections that ended in an error, by which."

    CERTIFICATE_OK Gauge, "weir_certificate_ok" ["certificate"]
        "1 while the certificate's files are what is served and within their time, 0 while files were refused and older ones are served, or time is up."
    CERTIFICATE_EXPIRY Gauge, "weir_certificate_expiry_timestamp_seconds" ["certificate"]
        "When the certificate that is served ends, in Unix time."
    CERTIFICATE_DAYS Gauge, "weir_certificate_days_left" ["certificate"]
        "Whole days until then; negative once it has ended."

    KEY_FETCHES Counter, "weir_key_fetches_total" ["auth" "result"]
        "Fetches of issuers' key sets: ok or failed."
    ISSUER_KEYS Gauge, "weir_issuer_keys" ["auth"]
        "Keys of the issuer's set that are in use; while it is 0 its tokens are refused."
    KEYS_FETCHED Gauge, "weir_issuer_keys_fetched_timestamp_seconds" ["auth"]
        "When the issuer's set came last, in Unix time; 0 if it never did."

    CONFIG_RELOADS Counter, "weir_config_reloads_total" ["result"]
        "Reloads of the configuration: ok or failed."
    CONFIG_OK Gauge, "weir_config_ok" []
        "0 while the file on disk was refused and an older one is running, else 1."
    CONFIG_LOADED Gauge, "weir_config_loaded_timestamp_seconds" []
        "When the running configuration was loaded, in Unix time."
    LOG_DROPPED Counter, "weir_log_lines_dropped_total" []
        "Access and audit lines that could not be written."
    BUILD_INFO Gauge, "weir_build_info" ["version"]
        "Always 1; the label says which weir this is."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_help_keep_to_the_conventions() {
        let mut seen = std::collections::HashSet::new();
        for metric in ALL {
            assert!(seen.insert(metric.name), "{} stands twice", metric.name);
            assert_eq!(
                metric.name.ends_with("_total"),
                metric.kind == Counter,
                "{}",
                metric.name
            );
            assert_eq!(
                metric.name.ends_with("_seconds") && metric.kind != Gauge,
                matches!(metric.kind, Histogram(_))
            );
            assert!(
                metric.help.ends_with('.') && !metric.help.contains(['\n', '|']),
                "{}",
                metric.name
            );
        }
    }
}
