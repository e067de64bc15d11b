//! The series of one server of an upstream. They last as long as somebody uses the server: a server that a reload removed must not
//! stand in an alert as unhealthy for ever.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use prometheus::{IntCounter, IntGauge};

use crate::{families::Families, words::Words};

/// Counts what happens with one server.
pub struct UpstreamSeries {
    key: Key,
    all: Arc<Upstreams>,
    healthy: IntGauge,
    in_flight: IntGauge,
    connects: Words,
    retries: IntCounter,
}

/// Upstream and server.
type Key = (String, String);

/// The servers in use.
pub(crate) struct Upstreams {
    families: Arc<Families>,
    used: Mutex<HashMap<Key, Weak<UpstreamSeries>>>,
}

impl UpstreamSeries {
    /// Whether the server may be given exchanges.
    pub fn healthy(&self, is: bool) {
        self.healthy.set(is.into());
    }

    /// So many more (or fewer) exchanges are with the server.
    pub fn in_flight(&self, change: i64) {
        self.in_flight.add(change);
    }

    /// A connection was tried; `result` is a word of weir's own. Counted per upstream.
    pub fn connected(&self, result: &'static str) {
        self.connects.inc(result);
    }

    /// A request was sent once more. Counted per upstream.
    pub fn retried(&self) {
        self.retries.inc();
    }
}

impl Upstreams {
    pub(crate) fn new(families: &Arc<Families>) -> Arc<Self> {
        Arc::new(Self {
            families: Arc::clone(families),
            used: Mutex::default(),
        })
    }

    pub(crate) fn get(self: &Arc<Self>, upstream: &str, server: &str) -> Arc<UpstreamSeries> {
        let key = (upstream.to_owned(), server.to_owned());
        let mut used = self.lock();
        if let Some(series) = used.get(&key).and_then(Weak::upgrade) {
            return series;
        }
        let families = &self.families;
        let series = Arc::new(UpstreamSeries {
            healthy: families
                .upstream_healthy
                .with_label_values(&[upstream, server]),
            in_flight: families
                .upstream_in_flight
                .with_label_values(&[upstream, server]),
            connects: Words::new(&families.upstream_connects, &[upstream]),
            retries: families.upstream_retries.with_label_values(&[upstream]),
            key: key.clone(),
            all: Arc::clone(self),
        });
        used.insert(key, Arc::downgrade(&series));
        series
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Weak<UpstreamSeries>>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UpstreamSeries {
    fn drop(&mut self) {
        let mut used = self.all.lock();
        // Between the last owner's going and this lock somebody may have asked for the same server: then the gauges are theirs.
        if used
            .get(&self.key)
            .is_none_or(|series| series.strong_count() == 0)
        {
            used.remove(&self.key);
            let labels = [&self.key.0, &self.key.1];
            // An error says that the series is not there: what was wanted.
            let _ = self
                .all
                .families
                .upstream_healthy
                .remove_label_values(&labels);
            let _ = self
                .all
                .families
                .upstream_in_flight
                .remove_label_values(&labels);
        }
    }
}

impl std::fmt::Debug for UpstreamSeries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamSeries")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::Meter;

    #[test]
    fn a_server_is_seen_for_as_long_as_it_is_used() {
        let meter = Meter::new();
        let old = meter.upstream("agents", "127.0.0.1:8002");
        old.healthy(true);
        old.in_flight(2);
        old.in_flight(-1);
        old.connected("ok");
        old.retried();
        let new = meter.upstream("agents", "127.0.0.1:8002");
        assert!(Arc::ptr_eq(&old, &new));
        drop(old);
        for line in [
            r#"weir_upstream_healthy{server="127.0.0.1:8002",upstream="agents"} 1"#,
            r#"weir_upstream_in_flight{server="127.0.0.1:8002",upstream="agents"} 1"#,
            r#"weir_upstream_connects_total{result="ok",upstream="agents"} 1"#,
            r#"weir_upstream_retries_total{upstream="agents"} 1"#,
        ] {
            assert!(meter.render().lines().any(|it| it == line), "{line}");
        }
        drop(new);
        let page = meter.render();
        assert!(!page.contains("weir_upstream_healthy{"), "{page}");
        assert!(
            page.contains("weir_upstream_connects_total{"),
            "a counter never goes back"
        );
        meter.upstream("agents", "127.0.0.1:8002").healthy(false);
    }
}
