//! The series of one route. What is counted at every request is resolved once and then takes no lock.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::Method;
use prometheus::{Histogram, IntCounter, IntGauge};

use crate::{
    families::Families,
    guard::Held,
    labels::{self, METHODS, Models, STATUSES},
    words::Words,
};

/// Counts what happens on one route. Kept by name in the [`Meter`](crate::Meter), so a reload goes on where the old configuration
/// stopped.
pub struct RouteSeries {
    name: Box<str>,
    families: Arc<Families>,
    models: Arc<Models>,
    methods: [MethodSeries; METHODS.len()],
    exchanges: Words,
    refusals: Words,
    forged: IntCounter,
    settlements: Words,
    /// Most routes never carry a stream; theirs stay out of the page.
    streams: OnceLock<StreamSeries>,
}

/// What one model answer used, as the stream reported it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens read.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Of the input, what came from a cache.
    pub cached_input: u64,
    /// Of the output, what was reasoning.
    pub reasoning: u64,
}

/// One method's: 8 KiB for the statuses once the method has been seen.
#[derive(Default)]
struct MethodSeries {
    duration: OnceLock<Histogram>,
    statuses: OnceLock<Box<[OnceLock<IntCounter>]>>,
}

struct StreamSeries {
    open: IntGauge,
    ended: Words,
    first_byte: Histogram,
    first_event: Histogram,
    gap: Histogram,
    events: IntCounter,
    bytes: IntCounter,
}

impl RouteSeries {
    pub(crate) fn new(name: &str, families: &Arc<Families>, models: &Arc<Models>) -> Self {
        Self {
            name: name.into(),
            families: Arc::clone(families),
            models: Arc::clone(models),
            methods: Default::default(),
            exchanges: Words::new(&families.exchanges, &[name]),
            refusals: Words::new(&families.refusals, &[name]),
            forged: families.forged.with_label_values(&[name]),
            settlements: Words::new(&families.token_settlements, &[name]),
            streams: OnceLock::new(),
        }
    }

    /// The `route` label.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// An exchange is over: `duration` from its head to its last byte, `outcome` a word of weir's own.
    pub fn finished(
        &self,
        method: &Method,
        status: u16,
        duration: Duration,
        outcome: &'static str,
    ) {
        let method = labels::method(method);
        let status = labels::status(status);
        let series = &self.methods[method];
        let statuses = series.statuses.get_or_init(|| {
            std::iter::repeat_with(OnceLock::new)
                .take(STATUSES)
                .collect()
        });
        let labels = || [&*self.name, METHODS[method]];
        statuses[status]
            .get_or_init(|| {
                let [route, method] = labels();
                self.families.requests.with_label_values(&[
                    route,
                    method,
                    &labels::status_label(status),
                ])
            })
            .inc();
        series
            .duration
            .get_or_init(|| self.families.duration.with_label_values(&labels()))
            .observe(duration.as_secs_f64());
        self.exchanges.inc(outcome);
    }

    /// weir answered by itself; `reason` is a word of weir's own.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.inc(reason);
    }

    /// A request claimed a caller of its own.
    pub fn forged(&self) {
        self.forged.inc();
    }

    /// An exchange of a token budget is over; `by` is a word of weir's own for what it was charged from.
    pub fn settled(&self, by: &'static str) {
        self.settlements.inc(by);
    }

    /// A stream has begun; it is open until the guard is dropped.
    pub fn stream_opened(&self) -> Held {
        Held::new(&self.streams().open)
    }

    /// From the request being sent to the body's first byte.
    pub fn first_byte(&self, after: Duration) {
        self.streams().first_byte.observe(after.as_secs_f64());
    }

    /// From the request being sent to the end of the first event.
    pub fn first_event(&self, after: Duration) {
        self.streams().first_event.observe(after.as_secs_f64());
    }

    /// Between two events.
    pub fn gap(&self, between: Duration) {
        self.streams().gap.observe(between.as_secs_f64());
    }

    /// So many more events were carried.
    pub fn events(&self, more: u64) {
        self.streams().events.inc_by(more);
    }

    /// So many more bytes of streams were carried.
    pub fn bytes(&self, more: u64) {
        self.streams().bytes.inc_by(more);
    }

    /// A stream is over.
    pub fn stream_ended(&self, outcome: &'static str) {
        self.streams().ended.inc(outcome);
    }

    /// A model's answer is over. Provider and model count under `other` unless they are known or configured, and under `unknown` if the
    /// stream did not tell them. Once per stream: takes the family's lock.
    pub fn llm(
        &self,
        provider: Option<&str>,
        model: Option<&str>,
        outcome: &'static str,
        tokens: Option<&Tokens>,
    ) {
        let families = &self.families;
        self.models.with_labels(provider, model, |provider, model| {
            families
                .llm_requests
                .with_label_values(&[&*self.name, provider, model, outcome])
                .inc();
            let Some(tokens) = tokens else { return };
            let kinds = [
                ("input", tokens.input),
                ("output", tokens.output),
                ("cached_input", tokens.cached_input),
                ("reasoning", tokens.reasoning),
            ];
            for (kind, count) in kinds {
                families
                    .llm_tokens
                    .with_label_values(&[&*self.name, provider, model, kind])
                    .inc_by(count);
            }
        });
    }

    fn streams(&self) -> &StreamSeries {
        let (families, route) = (&self.families, [&*self.name]);
        self.streams.get_or_init(|| StreamSeries {
            open: families.streams_open.with_label_values(&route),
            ended: Words::new(&families.streams, &route),
            first_byte: families.first_byte.with_label_values(&route),
            first_event: families.first_event.with_label_values(&route),
            gap: families.event_gap.with_label_values(&route),
            events: families.stream_events.with_label_values(&route),
            bytes: families.stream_bytes.with_label_values(&route),
        })
    }
}

impl std::fmt::Debug for RouteSeries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouteSeries")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Meter;

    #[test]
    fn an_exchange_is_counted_three_ways() {
        let meter = Meter::new();
        let route = meter.route("/chat/*");
        for _ in 0..3 {
            route.finished(&Method::POST, 200, Duration::from_millis(20), "complete");
        }
        route.finished(
            &Method::from_bytes(b"BREW").expect("a token"),
            999,
            Duration::from_secs(1),
            "client_gone",
        );
        route.refused("no_route");
        route.settled("encoded");
        let page = meter.render();
        for line in [
            r#"http_requests_total{method="POST",route="/chat/*",status="200"} 3"#,
            r#"http_requests_total{method="OTHER",route="/chat/*",status="0"} 1"#,
            r#"http_request_duration_seconds_bucket{method="POST",route="/chat/*",le="0.025"} 3"#,
            r#"http_request_duration_seconds_bucket{method="POST",route="/chat/*",le="0.01"} 0"#,
            r#"http_request_duration_seconds_count{method="OTHER",route="/chat/*"} 1"#,
            r#"weir_exchanges_total{outcome="complete",route="/chat/*"} 3"#,
            r#"weir_exchanges_total{outcome="client_gone",route="/chat/*"} 1"#,
            r#"weir_refusals_total{reason="no_route",route="/chat/*"} 1"#,
            r#"weir_token_settlements_total{by="encoded",route="/chat/*"} 1"#,
        ] {
            assert!(
                page.lines().any(|it| it == line),
                "{line} is missing in\n{page}"
            );
        }
        assert!(!page.contains("weir_streams_open"), "no stream, no series");
    }

    #[test]
    fn more_words_than_are_remembered_are_counted_all_the_same() {
        let meter = Meter::new();
        let route = meter.route("r");
        let words: Vec<&'static str> = (0..40)
            .map(|index| &*format!("word_{index}").leak())
            .collect();
        for word in words.iter().chain(&words) {
            route.refused(word);
        }
        let page = meter.render();
        for word in words {
            assert!(
                page.contains(&format!(
                    "weir_refusals_total{{reason=\"{word}\",route=\"r\"}} 2\n"
                )),
                "{word}"
            );
        }
    }

    #[test]
    fn a_stream_from_its_first_byte_to_its_tokens() {
        let meter = Meter::new();
        meter.set_models(["gpt-5".to_owned()]);
        let route = meter.route("r");
        let open = route.stream_opened();
        assert!(
            meter
                .render()
                .contains("weir_streams_open{route=\"r\"} 1\n")
        );
        route.first_byte(Duration::from_millis(2));
        route.first_event(Duration::from_millis(3));
        route.gap(Duration::from_millis(40));
        route.events(12);
        route.bytes(1000);
        route.stream_ended("complete");
        drop(open);
        let tokens = Tokens {
            input: 7,
            output: 5,
            ..Tokens::default()
        };
        route.llm(Some("openai"), Some("gpt-5"), "complete", Some(&tokens));
        route.llm(Some("openai"), Some("never heard of"), "client_gone", None);
        let page = meter.render();
        for line in [
            r#"weir_streams_open{route="r"} 0"#,
            r#"weir_streams_total{outcome="complete",route="r"} 1"#,
            r#"weir_stream_first_byte_seconds_bucket{route="r",le="0.0025"} 1"#,
            r#"weir_stream_first_event_seconds_bucket{route="r",le="0.005"} 1"#,
            r#"weir_stream_event_gap_seconds_bucket{route="r",le="0.05"} 1"#,
            r#"weir_stream_events_total{route="r"} 12"#,
            r#"weir_stream_bytes_total{route="r"} 1000"#,
            r#"llm_requests_total{model="gpt-5",outcome="complete",provider="openai",route="r"} 1"#,
            r#"llm_requests_total{model="other",outcome="client_gone",provider="openai",route="r"} 1"#,
            r#"llm_tokens_used_total{model="gpt-5",provider="openai",route="r",type="input"} 7"#,
            r#"llm_tokens_used_total{model="gpt-5",provider="openai",route="r",type="reasoning"} 0"#,
        ] {
            assert!(
                page.lines().any(|it| it == line),
                "{line} is missing in\n{page}"
            );
        }
    }
}
