//! The series of one limit, and of one store that limits share.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use crate::{families::Families, words::Words};

/// Counts what a limit decided.
pub struct LimitSeries {
    decisions: Words,
}

impl LimitSeries {
    pub(crate) fn new(limit: &str, families: &Families) -> Self {
        Self {
            decisions: Words::new(&families.limit_decisions, &[limit]),
        }
    }

    /// `result` is a word of weir's own.
    pub fn decided(&self, result: &'static str) {
        self.decisions.inc(result);
    }
}

/// Counts what happens between weir and a store.
pub struct StoreSeries {
    up: IntGauge,
    evicting: IntGauge,
    outages: IntCounter,
    decision: Histogram,
    errors: IntCounter,
    unsettled: IntCounter,
}

impl StoreSeries {
    pub(crate) fn new(store: &str, families: &Families) -> Self {
        let store = &[store];
        Self {
            up: families.store_up.with_label_values(store),
            evicting: families.store_evicting.with_label_values(store),
            outages: families.store_outages.with_label_values(store),
            decision: families.store_decision.with_label_values(store),
            errors: families.store_errors.with_label_values(store),
            unsettled: families.store_unsettled.with_label_values(store),
        }
    }

    /// Whether it can be asked.
    pub fn up(&self, is: bool) {
        self.up.set(is.into());
    }

    /// Whether it may forget counters.
    pub fn evicting(&self, is: bool) {
        self.evicting.set(is.into());
    }

    /// It went away.
    pub fn went_away(&self) {
        self.outages.inc();
    }

    /// A request waited so long for a decision.
    pub fn decided(&self, took: Duration) {
        self.decision.observe(took.as_secs_f64());
    }

    /// It answered with an error.
    pub fn erred(&self) {
        self.errors.inc();
    }

    /// A settlement was lost.
    pub fn lost(&self) {
        self.unsettled.inc();
    }
}

impl std::fmt::Debug for LimitSeries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LimitSeries").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for StoreSeries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreSeries").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Meter;

    #[test]
    fn a_limit_and_its_store() {
        let meter = Meter::new();
        meter.limit("per_user").decided("refused");
        meter.limit("per_user").decided("refused");
        let store = meter.store("redis");
        store.up(true);
        store.up(false);
        store.evicting(true);
        store.went_away();
        store.lost();
        store.erred();
        store.decided(Duration::from_micros(700));
        let page = meter.render();
        for line in [
            r#"weir_limit_decisions_total{limit="per_user",result="refused"} 2"#,
            r#"weir_store_up{store="redis"} 0"#,
            r#"weir_store_evicting{store="redis"} 1"#,
            r#"weir_store_outages_total{store="redis"} 1"#,
            r#"weir_store_errors_total{store="redis"} 1"#,
            r#"weir_store_settlements_lost_total{store="redis"} 1"#,
            r#"weir_store_decision_seconds_bucket{store="redis",le="0.001"} 1"#,
            r#"weir_store_decision_seconds_bucket{store="redis",le="0.0005"} 0"#,
        ] {
            assert!(
                page.lines().any(|it| it == line),
                "{line} is missing in\n{page}"
            );
        }
    }
}
