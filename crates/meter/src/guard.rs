//! What is so for as long as somebody holds it.

use prometheus::IntGauge;

/// Counts one on a gauge until it is dropped: an open stream, an open connection.
#[derive(Debug)]
#[must_use = "it counts for as long as it is held"]
pub struct Held(IntGauge);

impl Held {
    pub(crate) fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}
