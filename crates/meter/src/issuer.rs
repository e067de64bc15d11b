//! The series of one fetched key set. The gauges last as long as somebody uses it: one that a reload removed must not stand in an alert.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus::{IntCounter, IntGauge};

use crate::families::Families;

/// Tells how the fetches of one set go.
pub struct IssuerSeries {
    name: String,
    all: Arc<Issuers>,
    ok: IntCounter,
    failed: IntCounter,
    keys: IntGauge,
    fetched: IntGauge,
}

/// The sets in use.
pub(crate) struct Issuers {
    families: Arc<Families>,
    used: Mutex<HashMap<String, Weak<IssuerSeries>>>,
}

impl IssuerSeries {
    /// A set of so many keys came.
    pub fn fetched(&self, keys: usize, now: SystemTime) {
        self.ok.inc();
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.fetched
            .set(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        self.uses(keys);
    }

    /// None came; the one before is used on.
    pub fn failed(&self) {
        self.failed.inc();
    }

    /// So many keys are in use.
    pub fn uses(&self, keys: usize) {
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }
}

impl Issuers {
    pub(crate) fn new(families: &Arc<Families>) -> Arc<Self> {
        Arc::new(Self {
            families: Arc::clone(families),
            used: Mutex::default(),
        })
    }

    pub(crate) fn get(self: &Arc<Self>, name: &str) -> Arc<IssuerSeries> {
        let mut used = self.lock();
        if let Some(series) = used.get(name).and_then(Weak::upgrade) {
            return series;
        }
        let families = &self.families;
        let series = Arc::new(IssuerSeries {
            ok: families.key_fetches.with_label_values(&[name, "ok"]),
            failed: families.key_fetches.with_label_values(&[name, "failed"]),
            keys: families.issuer_keys.with_label_values(&[name]),
            fetched: families.keys_fetched.with_label_values(&[name]),
            name: name.to_owned(),
            all: Arc::clone(self),
        });
        used.insert(name.to_owned(), Arc::downgrade(&series));
        series
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<IssuerSeries>>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for IssuerSeries {
    fn drop(&mut self) {
        let mut used = self.all.lock();
        // Between the last owner's going and this lock somebody may have asked for the same one: then the gauges are theirs.
        let gone = used
            .get(&self.name)
            .is_none_or(|series| series.strong_count() == 0);
        if gone {
            used.remove(&self.name);
            let families = &self.all.families;
            for family in [&families.issuer_keys, &families.keys_fetched] {
                // An error says that the series is not there: what was wanted.
                let _ = family.remove_label_values(&[&self.name]);
            }
        }
    }
}

impl std::fmt::Debug for IssuerSeries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuerSeries")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::Meter;

    use super::*;

    #[test]
    fn a_set_is_seen_for_as_long_as_it_is_used() {
        let meter = Meter::new();
        let series = meter.issuer("portal");
        series.fetched(2, UNIX_EPOCH + Duration::from_secs(1_000_000));
        series.failed();
        for line in [
            r#"weir_key_fetches_total{auth="portal",result="ok"} 1"#,
            r#"weir_key_fetches_total{auth="portal",result="failed"} 1"#,
            r#"weir_issuer_keys{auth="portal"} 2"#,
            r#"weir_issuer_keys_fetched_timestamp_seconds{auth="portal"} 1000000"#,
        ] {
            assert!(meter.render().lines().any(|it| it == line), "{line}");
        }
        series.uses(0);
        let gone = "weir_issuer_keys{auth=\"portal\"} 0\n";
        assert!(meter.render().contains(gone));
        drop(series);
        assert!(!meter.render().contains("weir_issuer_keys{"));
        assert!(meter.render().contains("weir_key_fetches_total{"));
    }
}
