//! A limit of the plan at work: its counters in this process, and the store it shares with others. Asking several of them for one
//! request is [`crate::admission`]'s.

use std::{sync::Arc, time::Duration};

use weir_config::plan::{Limit, LimitKind};
use weir_limit::{Algorithm, Headers, Key, Pace, RateLimit, StreamLimit, TokenBudget, Unit};
use weir_meter::{LimitSeries, Meter, StoreSeries};
use weir_store::{Counter, Store, StoreEvents};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct LimitState {
    /// What the file says.
    pub(crate) limit: Limit,
    /// Its name, for those who outlive the plan.
    pub(crate) name: Arc<str>,
    /// In this process.
    pub(crate) counter: Local,
    /// With others.
    pub(crate) store: Option<Arc<Store>>,
    /// What its clients are told; `None`: it has no quota to tell of.
    pub(crate) headers: Option<Headers>,
    /// What it decided.
    pub(crate) series: Arc<LimitSeries>,
}

/// The counters that live in this process: all there is without a store, and what stands in for one that is away.
#[derive(Clone, Debug)]
pub(crate) enum Local {
    /// Requests.
    Rate(Arc<RateLimit>),
    /// Tokens.
    Tokens(Arc<TokenBudget>),
    /// Streams open now.
    Streams(Arc<StreamLimit>),
}

impl LimitState {
    /// With the counters of the same limit in the plan before, if it counts the same.
    pub(crate) fn new(
        limit: &Limit,
        stores: &[Arc<Store>],
        before: Option<&Self>,
        meter: &Meter,
    ) -> Self {
        let same = before.filter(|had| had.limit.by == limit.by && had.limit.kind == limit.kind);
        let counter = same.map_or_else(
            || match limit.kind {
                LimitKind::Rate(quota, algorithm) => {
                    Local::Rate(Arc::new(RateLimit::new(quota, algorithm)))
                }
                LimitKind::Tokens { quota, .. } => Local::Tokens(Arc::new(TokenBudget::new(quota))),
                LimitKind::Streams(most) => Local::Streams(Arc::new(StreamLimit::new(most))),
            },
            |had| had.counter.clone(),
        );
        Self {
            name: limit.name.as_str().into(),
            counter,
            headers: headers(limit),
            store: limit.store.map(|index| Arc::clone(&stores[index])),
            series: before.map_or_else(
                || Arc::new(meter.limit(&limit.name)),
                |had| Arc::clone(&had.series),
            ),
            limit: limit.clone(),
        }
    }

    /// Takes back what another limit refused.
    pub(crate) fn give_back(&self, key: &Key, now: std::time::SystemTime) {
        match &self.counter {
            Local::Rate(rate) => rate.give_back(key, now),
            Local::Tokens(tokens) => {
                tokens.change(key, self.amount().into(), now);
            }
            Local::Streams(_) => {}
        }
    }

    /// Whether it is decided here and at once: a quota or a budget that is shared with no other process.
    pub(crate) fn is_alone(&self) -> bool {
        self.store.is_none() && !matches!(self.counter, Local::Streams(_))
    }

    /// How much one request asks for.
    pub(crate) fn amount(&self) -> u32 {
        match self.limit.kind {
            LimitKind::Tokens { estimate, .. } => estimate.get(),
            LimitKind::Rate(..) | LimitKind::Streams(_) => 1,
        }
    }

    /// How the store counts it, where a store can.
    pub(crate) fn shared(&self) -> Option<Counter> {
        match self.limit.kind {
            LimitKind::Rate(quota, Algorithm::Window) => Some(Counter::Window(quota)),
            LimitKind::Rate(quota, Algorithm::Gcra { burst, delay }) => Some(Counter::Gcra {
                pace: Pace::of(&quota, burst),
                delay,
            }),
            LimitKind::Tokens { quota, .. } => Some(Counter::Tokens(quota)),
            LimitKind::Streams(_) => None,
        }
    }
}

fn headers(limit: &Limit) -> Option<Headers> {
    let (quota, unit) = match limit.kind {
        LimitKind::Rate(quota, _) => (quota, Unit::Requests),
        LimitKind::Tokens { quota, .. } => (quota, Unit::Tokens),
        LimitKind::Streams(_) => return None,
    };
    Some(Headers::new(&limit.name, &quota, unit))
}

/// Counts what happens between weir and a store.
pub(crate) struct CountedStore(pub(crate) StoreSeries);

impl StoreEvents for CountedStore {
    fn up(&self, up: bool) {
        self.0.up(up);
    }

    fn went_away(&self) {
        self.0.went_away();
    }

    fn decided(&self, took: Duration) {
        self.0.decided(took);
    }

    fn evicting(&self, evicting: bool) {
        self.0.evicting(evicting);
    }

    fn erred(&self) {
        self.0.erred();
    }

    fn lost(&self) {
        self.0.lost();
    }
}
