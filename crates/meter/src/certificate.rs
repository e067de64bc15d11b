//! The series of one certificate. They last as long as somebody serves it: one that a reload removed must not stand in an alert.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus::IntGauge;

use crate::families::Families;

const DAY: i64 = 24 * 60 * 60;

/// Tells how a certificate is.
pub struct CertificateSeries {
    name: String,
    all: Arc<Certificates>,
    ok: IntGauge,
    expiry: IntGauge,
    days: IntGauge,
}

/// The certificates in use.
pub(crate) struct Certificates {
    families: Arc<Families>,
    used: Mutex<HashMap<String, Weak<CertificateSeries>>>,
}

impl CertificateSeries {
    /// Whether all is well with it, and when the one that is served ends.
    pub fn state(&self, ok: bool, ends: SystemTime, now: SystemTime) {
        let (ends, now) = (unix(ends), unix(now));
        self.ok.set(ok.into());
        self.expiry.set(ends);
        self.days.set((ends - now).div_euclid(DAY));
    }
}

fn unix(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

impl Certificates {
    pub(crate) fn new(families: &Arc<Families>) -> Arc<Self> {
        Arc::new(Self {
            families: Arc::clone(families),
            used: Mutex::default(),
        })
    }

    pub(crate) fn get(self: &Arc<Self>, name: &str) -> Arc<CertificateSeries> {
        let mut used = self.lock();
        if let Some(series) = used.get(name).and_then(Weak::upgrade) {
            return series;
        }
        let families = &self.families;
        let series = Arc::new(CertificateSeries {
            ok: families.certificate_ok.with_label_values(&[name]),
            expiry: families.certificate_expiry.with_label_values(&[name]),
            days: families.certificate_days.with_label_values(&[name]),
            name: name.to_owned(),
            all: Arc::clone(self),
        });
        used.insert(name.to_owned(), Arc::downgrade(&series));
        series
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<CertificateSeries>>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CertificateSeries {
    fn drop(&mut self) {
        let mut used = self.all.lock();
        // Between the last owner's going and this lock somebody may have asked for the same name: then the gauges are theirs.
        if used
            .get(&self.name)
            .is_none_or(|series| series.strong_count() == 0)
        {
            used.remove(&self.name);
            let families = &self.all.families;
            for family in [
                &families.certificate_ok,
                &families.certificate_expiry,
                &families.certificate_days,
            ] {
                // An error says that the series is not there: what was wanted.
                let _ = family.remove_label_values(&[&self.name]);
            }
        }
    }
}

impl std::fmt::Debug for CertificateSeries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateSeries")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Meter;

    #[test]
    fn a_certificate_is_seen_for_as_long_as_it_is_served() {
        let meter = Meter::new();
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let series = meter.certificate("site.crt");
        series.state(true, now + Duration::from_secs(3 * 86_400 + 5), now);
        for line in [
            r#"weir_certificate_ok{certificate="site.crt"} 1"#,
            r#"weir_certificate_expiry_timestamp_seconds{certificate="site.crt"} 1259205"#,
            r#"weir_certificate_days_left{certificate="site.crt"} 3"#,
        ] {
            assert!(meter.render().lines().any(|it| it == line), "{line}");
        }
        series.state(false, now, now + Duration::from_secs(5));
        assert!(
            meter
                .render()
                .contains("weir_certificate_days_left{certificate=\"site.crt\"} -1\n")
        );
        drop(series);
        assert!(!meter.render().contains("weir_certificate_ok{"));
    }
}
