//! What all workers of the process share: the gateway as configured now, the stage of life, the meter. Each has one owner who changes it.

use std::{sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use weir_meter::Meter;

use crate::{crowd::Crowd, gateway::Gateway, life::Stage};

/// See the module.
pub(crate) struct Shared {
    /// Swapped by reload, in one piece.
    pub(crate) gateway: ArcSwap<Gateway>,
    /// Moved on by signals, never back. Each open connection holds one receiver, so their number is its count of receivers.
    pub(crate) stage: watch::Sender<Stage>,
    /// Counts everything.
    pub(crate) meter: Arc<Meter>,
    /// When the process began to serve.
    pub(crate) started: Instant,
    /// Keeps the number of client connections within bounds.
    pub(crate) crowd: Crowd,
    /// How many threads serve.
    pub(crate) workers: usize,
}
